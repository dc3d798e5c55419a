/* What test_preload runs with the library preloaded: a program that asks the C library how many
 * processors there are in each way there is, and prints them on one line: configured, online,
 * get_nprocs_conf, get_nprocs, own set, own set by thread.
 *
 *	preload_child print|fork|change|other|early|signal */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_SIGNALS 2000

struct answers {
	long configured, online, nprocs_conf, nprocs;
	int set, thread_set;
};

static volatile sig_atomic_t n_signals, n_wrong;
static struct answers expected;
static long before_anything;

/* Before any library's constructor, even the C library's own. */
static void ask_early(void)
{
	before_anything = sysconf(_SC_NPROCESSORS_ONLN);
}

__attribute__((section(".preinit_array"), used)) static void (*const preinit)(void) = ask_early;

static struct answers ask(void)
{
	struct answers answers = {
		.configured = sysconf(_SC_NPROCESSORS_CONF),
		.online = sysconf(_SC_NPROCESSORS_ONLN),
		.nprocs_conf = get_nprocs_conf(),
		.nprocs = get_nprocs(),
	};
	cpu_set_t set;

	answers.set = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : -1;
	answers.thread_set = pthread_getaffinity_np(pthread_self(), sizeof(set), &set) == 0
				     ? CPU_COUNT(&set)
				     : -1;
	return answers;
}

static int print(const struct answers *answers)
{
	return printf("%ld %ld %ld %ld %d %d\n", answers->configured, answers->online,
		      answers->nprocs_conf, answers->nprocs, answers->set,
		      answers->thread_set) < 0 ||
	       fflush(stdout) != 0;
}

static int print_now(void)
{
	struct answers answers = ask();

	return print(&answers);
}

static int in_child(void)
{
	int status = 1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(print_now());
	return waitpid(pid, &status, 0) != pid || status != 0;
}

/* Prints again for each byte on standard input. */
static int on_change(void)
{
	char byte;

	do
		print_now();
	while (read(STDIN_FILENO, &byte, 1) == 1);
	return 0;
}

/* Its parent's set, and what is beyond the kernel's size of a set. */
static int other(void)
{
	char large[4096];
	cpu_set_t set;
	size_t n_set = 0;

	memset(large, 0xff, sizeof(large));
	if (sched_getaffinity(getppid(), sizeof(set), &set) < 0 ||
	    sched_getaffinity(0, sizeof(large), (cpu_set_t *)(void *)large) < 0)
		return 1;
	for (size_t i = 0; i < sizeof(large); i++)
		n_set += (size_t)__builtin_popcount((unsigned char)large[i]);
	errno = 0;
	if (sched_getaffinity(0, 1, &set) != -1 || errno != EINVAL)
		return 2;
	printf("%d %zu\n", CPU_COUNT(&set), n_set);
	return 0;
}

static void on_signal(int signal)
{
	int error = errno;
	struct answers answers = ask();

	(void)signal;
	n_wrong += memcmp(&answers, &expected, sizeof(answers)) != 0;
	n_signals++;
	errno = error;
}

/* Asks in a handler on the smallest stack there may be, while the program below it allocates, asks
 * and forks; then counts what asking allocates. */
static int in_handler(void)
{
	static char stack[16384];
	const stack_t alternative = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_ONSTACK | SA_RESTART };
	const struct itimerval often = { { 0, 200 }, { 0, 200 } }, never = { 0 };
	size_t n_before;

	memset(&expected, 0, sizeof(expected));
	expected = ask();
	if (sigaltstack(&alternative, NULL) < 0 || sigaction(SIGALRM, &action, NULL) < 0 ||
	    setitimer(ITIMER_REAL, &often, NULL) < 0)
		return 1;
	for (unsigned i = 0; n_signals < N_SIGNALS; i++) {
		struct answers answers = ask();

		n_wrong += memcmp(&answers, &expected, sizeof(answers)) != 0;
		free(malloc(i % 5000));
		if (i % 1000 == 0 && fork() == 0)
			_exit(sysconf(_SC_NPROCESSORS_ONLN) != expected.online);
	}
	if (setitimer(ITIMER_REAL, &never, NULL) < 0)
		return 1;
	for (int status; wait(&status) > 0;)
		n_wrong += status != 0;
	n_before = mallinfo2().uordblks;
	ask();
	n_wrong += mallinfo2().uordblks != n_before;
	printf("%d wrong\n", (int)n_wrong);
	return print(&expected);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (strcmp(what, "print") == 0)
		return print_now();
	if (strcmp(what, "fork") == 0)
		return in_child();
	if (strcmp(what, "change") == 0)
		return on_change();
	if (strcmp(what, "other") == 0)
		return other();
	if (strcmp(what, "early") == 0)
		return printf("%d ", before_anything > 0) < 0 || print_now();
	if (strcmp(what, "signal") == 0)
		return in_handler();
	return 2;
}
