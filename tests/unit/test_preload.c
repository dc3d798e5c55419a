/* libsidecard-preload.so in real programs: one of our own that asks in every way, and those that
 * this machine has. Each prints what it was told; the page says what that must be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sched.h>
#include <signal.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>

#include "page_fixture.h"

#define CHILD	PRELOAD_CHILD
#define LIBRARY PRELOAD_LIBRARY

/* The parallelism of a placement is its generation % N_PLACEMENTS + 1 (placement.h). */
static void write_parallelism(struct pages *pages, const struct fixture *fixture, unsigned n)
{
	static uint64_t round = 1;

	write_page(pages, fixture, round++ * N_PLACEMENTS + n - 1);
}

static int n_own(void)
{
	cpu_set_t set;

	assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
	return CPU_COUNT(&set);
}

/* A child with the library and @page (NULL: without one) whose output is in *ret_out and whose
 * input is *ret_in. */
static pid_t start(const char *page, const char *const *command, FILE **ret_out, int *ret_in)
{
	int in[2], out[2];
	pid_t pid;

	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		unsetenv("SIDECARD_WORKLOAD");
		unsetenv("SIDECARD_PAGE");
		if (page)
			setenv("SIDECARD_PAGE", page, 1);
		setenv("LD_PRELOAD", LIBRARY, 1);
		execvp(command[0], (char *const *)(uintptr_t)command);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	*ret_in = in[1];
	*ret_out = fdopen(out[0], "r");
	return pid;
}

/* Its exit code; -1 where a signal ended it. */
static int stop(pid_t pid, FILE *out, int in)
{
	int status;

	if (in >= 0)
		close(in);
	while (getc(out) != EOF)
		;
	fclose(out);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* What it printed, without the last newline; NULL where there is no such program. malloc'ed. */
static char *output_of(const char *page, const char *const *command)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out;
	ssize_t n;
	int in, status;
	pid_t pid = start(page, command, &out, &in);

	close(in);
	n = getdelim(&text, &size, '\0', out);
	status = stop(pid, out, -1);
	if (status == 127) {
		free(text);
		return NULL;
	}
	assert_int_equal(status, 0);
	assert_true(n > 0);
	text[n - 1] = '\0';
	return text;
}

static int smaller(int a, int b)
{
	return a < b ? a : b;
}

static void each_way_of_asking_gets_the_number(void **state)
{
	static const struct {
		const char *why, *what;
		unsigned n;
	} rows[] = {
		{ "one of many", "print", 1 },
		{ "more than the set has: the set stays", "print", 64 },
		{ "in a child", "fork", 1 },
		{ "in a child, more", "fork", 17 },
	};
	const struct fixture *fixture = *state;
	struct pages *pages = open_pages(fixture);

	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		const char *const command[] = { CHILD, rows[i].what, NULL };
		int n_set = smaller((int)rows[i].n, n_own());
		cleanup(freep) char *output = NULL;
		char wanted[64];

		write_parallelism(pages, fixture, rows[i].n);
		output = output_of("w", command);
		snprintf(wanted, sizeof(wanted), "%u %u %u %u %d %d", rows[i].n, rows[i].n,
			 rows[i].n, rows[i].n, n_set, n_set);
		if (strcmp(output, wanted) != 0)
			fail_msg("%s: '%s', wanted '%s'", rows[i].why, output, wanted);
	}
	pages_free(pages);
}

static void is_the_c_library_where_there_is_no_answer(void **state)
{
	static const struct {
		const char *why, *page;
	} rows[] = {
		{ "no page is named", NULL },	    { "there is no such page", "none" },
		{ "it is no page", "short" },	    { "the workload is not placed", "unplaced" },
		{ "the workload is gone", "gone" },
	};
	const char *const command[] = { CHILD, "print", NULL };
	const struct fixture *fixture = *state;
	struct pages *pages = open_pages(fixture);
	struct plan_workload unplaced = *placement_of(fixture->placements, 0);
	char wanted[64];

	snprintf(wanted, sizeof(wanted), "%d %d %d %d %d %d", get_nprocs_conf(), get_nprocs(),
		 get_nprocs_conf(), get_nprocs(), n_own(), n_own());
	close(open("short", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
	unplaced.placed = false;
	name_workload(fixture, "unplaced");
	assert_int_equal(pages_write(pages, &unplaced, 1, NULL), 0);
	name_workload(fixture, "leaving");
	write_parallelism(pages, fixture, 1);
	/* Its page is unlinked, but who has it mapped, or linked, sees that it is gone. */
	assert_int_equal(link("leaving", "gone"), 0);
	pages_remove(pages, "leaving");
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		cleanup(freep) char *output = output_of(rows[i].page, command);

		if (strcmp(output, wanted) != 0)
			fail_msg("%s: '%s', wanted '%s'", rows[i].why, output, wanted);
	}
	pages_free(pages);
}

static void a_change_is_seen_at_once(void **state)
{
	const char *const command[] = { CHILD, "change", NULL };
	const struct fixture *fixture = *state;
	struct pages *pages = open_pages(fixture);
	FILE *out;
	pid_t pid;
	int in;

	write_parallelism(pages, fixture, 5);
	pid = start("w", command, &out, &in);
	for (int n = 5; n < 20; n++) {
		int configured = 0, online = 0;
		char line[64];

		assert_non_null(fgets(line, sizeof(line), out));
		assert_int_equal(sscanf(line, "%d %d", &configured, &online), 2);
		assert_int_equal(configured, n);
		assert_int_equal(online, n);
		write_parallelism(pages, fixture, (unsigned)n + 1);
		assert_int_equal(write(in, "", 1), 1);
	}
	assert_int_equal(stop(pid, out, in), 0);
	pages_free(pages);
}

static void another_process_is_told_as_it_is(void **state)
{
	const char *const command[] = { CHILD, "other", NULL };
	const struct fixture *fixture = *state;
	struct pages *pages = open_pages(fixture);
	cleanup(freep) char *output = NULL;
	char wanted[32];

	write_parallelism(pages, fixture, 1);
	output = output_of("w", command);
	snprintf(wanted, sizeof(wanted), "%d 1", n_own());
	assert_string_equal(output, wanted);
	pages_free(pages);
}

/* The C library does not know its environment yet: whatever is answered then, later it is right. */
static void who_asks_before_all_constructors_spoils_nothing(void **state)
{
	const char *const command[] = { CHILD, "early", NULL };
	const struct fixture *fixture = *state;
	struct pages *pages = open_pages(fixture);
	cleanup(freep) char *output = NULL;
	char wanted[64];
	int n = smaller(33, n_own());

	write_parallelism(pages, fixture, 33);
	output = output_of("w", command);
	snprintf(wanted, sizeof(wanted), "1 33 33 33 33 %d %d", n, n);
	assert_string_equal(output, wanted);
	pages_free(pages);
}

static void signal_handlers_may_ask(void **state)
{
	const char *const command[] = { CHILD, "signal", NULL };
	const struct fixture *fixture = *state;
	struct pages *pages = open_pages(fixture);
	cleanup(freep) char *output = NULL;

	write_parallelism(pages, fixture, 1);
	output = output_of("w", command);
	assert_string_equal(output, "0 wrong\n1 1 1 1 1 1");
	pages_free(pages);
}

static void programs_of_this_machine_believe_it(void **state)
{
	static const struct {
		const char *why;
		const char *command[4];
		const char *output;
	} rows[] = {
		{ "coreutils takes the smaller of both", { "nproc" }, "1" },
		{ "getconf asks sysconf() alone", { "getconf", "_NPROCESSORS_ONLN" }, "1" },
		{ "the configured count too", { "getconf", "_NPROCESSORS_CONF" }, "1" },
		{ "sysconf() and the set",
		  { "python3", "-c",
		    "import os; print(os.cpu_count(), len(os.sched_getaffinity(0)))" },
		  "1 1" },
		{ "what is not asked for is the C library's",
		  { "python3", "-c",
		    "import os; print(os.sysconf('SC_PAGESIZE') >= 4096, os.sysconf('SC_OPEN_MAX') "
		    "> "
		    "0)" },
		  "True True" },
	};
	const struct fixture *fixture = *state;
	struct pages *pages = open_pages(fixture);
	unsigned n_run = 0;

	write_parallelism(pages, fixture, 1);
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		cleanup(freep) char *output = output_of("w", rows[i].command);

		if (!output)
			continue; /* python3 need not be there */
		n_run++;
		if (strcmp(output, rows[i].output) != 0)
			fail_msg("%s: '%s', wanted '%s'", rows[i].why, output, rows[i].output);
	}
	assert_true(n_run >= 3);
	pages_free(pages);
}

/* `auto` is the number of online processors, as nginx asks for it. */
static void nginx_starts_as_many_workers(void **state)
{
	static const char configuration[] =
		"daemon off;\nmaster_process on;\nworker_processes auto;\npid nginx.pid;\n"
		"error_log stderr info;\nevents { }\n";
	const struct fixture *fixture = *state;
	const char *const command[] = {
		"sh", "-c",
		"command -v nginx >/dev/null || exit 127; exec nginx -p . -c \"$PWD/nginx.conf\" "
		"2>&1",
		NULL
	};
	struct pages *pages = open_pages(fixture);
	unsigned n_workers = 0;
	char line[512];
	FILE *out, *file;
	pid_t pid;
	int in;

	file = fopen("nginx.conf", "we");
	assert_non_null(file);
	fputs(configuration, file);
	fclose(file);
	write_parallelism(pages, fixture, 3);
	pid = start("w", command, &out, &in);
	while (n_workers < 3 && fgets(line, sizeof(line), out))
		n_workers += strstr(line, "start worker process ") != NULL;
	kill(pid, SIGQUIT);
	/* One more would be told before the end. */
	while (fgets(line, sizeof(line), out))
		n_workers += strstr(line, "start worker process ") != NULL;
	pages_free(pages);
	if (stop(pid, out, in) == 127)
		skip();
	assert_int_equal(n_workers, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAGE_TEST(each_way_of_asking_gets_the_number),
		PAGE_TEST(is_the_c_library_where_there_is_no_answer),
		PAGE_TEST(a_change_is_seen_at_once),
		PAGE_TEST(another_process_is_told_as_it_is),
		PAGE_TEST(who_asks_before_all_constructors_spoils_nothing),
		PAGE_TEST(signal_handlers_may_ask),
		PAGE_TEST(programs_of_this_machine_believe_it),
		PAGE_TEST(nginx_starts_as_many_workers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
