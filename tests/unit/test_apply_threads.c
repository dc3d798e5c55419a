/* Processes as places: real children with real threads on this machine's own PUs, and a struct sys
 * that fails any call, plays a busy machine, or hides a process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <numaif.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "apply/applier.h"
#include "apply/apply_threads.h"
#include "base/cleanup.h"

/* ---- children ---- */

static void *wait_forever(void *argument)
{
	for (;;)
		pause();
	return argument;
}

static void *end_soon(void *argument)
{
	struct timespec soon = { .tv_nsec = 2000000 };

	(void)argument;
	nanosleep(&soon, NULL);
	return NULL;
}

static void *keep_spawning(void *argument)
{
	for (;;) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, end_soon, NULL) == 0)
			pthread_join(thread, NULL);
	}
	return argument;
}

/* A child with @n threads of @body beside its first one; it says when they are there. */
static pid_t child_with(int n, void *(*body)(void *))
{
	int fds[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nobody behind */
		for (int i = 0; i < n; i++) {
			pthread_t thread;

			if (pthread_create(&thread, NULL, body, NULL) != 0)
				_exit(1);
		}
		if (write(fds[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(fds[1]);
	assert_int_equal(read(fds[0], &byte, 1), 1);
	close(fds[0]);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static uint64_t start_time_of(pid_t pid)
{
	char path[64], text[2048];
	unsigned long long start_time;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	assert_true(n > 0);
	text[n] = '\0';
	assert_int_equal(
		sscanf(strrchr(text, ')') + 1,
		       " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
		       "%*d %llu",
		       &start_time),
		1);
	return start_time;
}

/* ---- the applier in this process ---- */

struct bench {
	struct sys real, sys;
	struct applier_calls calls;
	struct applier applier;
	struct cpuset all, one, last; /* ours to use; its first PU; its last PU */
	unsigned n_calls, fail_call;
	int fail_error;
	int set_error; /* of every affinity_set; 0: none */
	unsigned n_sets;
	bool is_undone; /* each set is, at once, by somebody else */
};

static bool must_fail(struct bench *bench)
{
	return ++bench->n_calls == bench->fail_call;
}

static int bench_open(const struct sys *sys, int dirfd, const char *path, int flags)
{
	struct bench *bench = sys->state;

	return must_fail(bench) ? bench->fail_error
				: bench->real.open(&bench->real, dirfd, path, flags);
}

static void bench_close(const struct sys *sys, int fd)
{
	struct bench *bench = sys->state;

	bench->real.close(&bench->real, fd);
}

static ssize_t bench_read(const struct sys *sys, int fd, char *buffer, size_t buffer_size)
{
	struct bench *bench = sys->state;

	return must_fail(bench) ? bench->fail_error
				: bench->real.read(&bench->real, fd, buffer, buffer_size);
}

static int bench_list(const struct sys *sys, int dirfd,
		      int (*each)(void *userdata, const char *name, bool is_directory),
		      void *userdata)
{
	struct bench *bench = sys->state;

	return must_fail(bench) ? bench->fail_error
				: bench->real.list(&bench->real, dirfd, each, userdata);
}

static int bench_pidfd_open(const struct sys *sys, pid_t pid)
{
	struct bench *bench = sys->state;

	return must_fail(bench) ? bench->fail_error : bench->real.pidfd_open(&bench->real, pid);
}

static int bench_affinity_get(const struct sys *sys, pid_t tid, struct cpuset *ret_cpus)
{
	struct bench *bench = sys->state;

	return must_fail(bench) ? bench->fail_error
				: bench->real.affinity_get(&bench->real, tid, ret_cpus);
}

static int bench_affinity_set(const struct sys *sys, pid_t tid, const struct cpuset *cpus)
{
	struct bench *bench = sys->state;
	int r;

	if (must_fail(bench))
		return bench->fail_error;
	if (bench->set_error)
		return bench->set_error;
	bench->n_sets++;
	r = bench->real.affinity_set(&bench->real, tid, cpus);
	if (bench->is_undone)
		bench->real.affinity_set(&bench->real, tid,
					 bench->n_sets % 2 ? &bench->last : &bench->all);
	return r;
}

static void bench_init(struct bench *bench)
{
	struct fault fault = { 0 };

	*bench = (struct bench){ 0 };
	assert_int_equal(sys_linux_open("/proc", &bench->real), 0);
	bench->sys = bench->real;
	bench->sys.state = bench;
	bench->sys.open = bench_open;
	bench->sys.close = bench_close;
	bench->sys.read = bench_read;
	bench->sys.list = bench_list;
	bench->sys.pidfd_open = bench_pidfd_open;
	bench->sys.affinity_get = bench_affinity_get;
	bench->sys.affinity_set = bench_affinity_set;
	bench->calls = applier_calls_linux;
	bench->applier = (struct applier){
		.sys = &bench->sys,
		.calls = &bench->calls,
		.root_fd = -1,
		.system_fd = open("/sys/devices/system", O_PATH | O_DIRECTORY | O_CLOEXEC),
		.manager_fd = -1,
		.front_fd = -1,
		.pid = getpid(),
	};
	if (applier_init(&bench->applier, &fault) < 0)
		fail_msg("%s", fault.text);
	assert_int_equal(bench->real.affinity_get(&bench->real, getpid(), &bench->all), 0);
	assert_int_equal(cpuset_add(&bench->one, cpuset_first(&bench->all)), 0);
	assert_int_equal(cpuset_add(&bench->last, cpuset_last(&bench->all)), 0);
	bench->n_calls = 0;
}

static void bench_done(struct bench *bench)
{
	close_fdp(&bench->applier.system_fd);
	applier_done(&bench->applier);
	cpuset_done(&bench->all);
	cpuset_done(&bench->one);
	cpuset_done(&bench->last);
	sys_linux_close(&bench->real);
}

static void handle(struct bench *bench, enum apply_verb verb, pid_t pid, uint64_t start_time,
		   const struct cpuset *cpus, const char *original, struct apply_answer *ret_answer)
{
	struct apply_request request = { .magic = APPLY_MAGIC,
					 .version = APPLY_VERSION,
					 .verb = verb,
					 .kind = PLACE_PROCESS,
					 .pid = pid,
					 .start_time = start_time };

	message_put_cpus(cpus, request.cpus);
	message_put_text(original, request.original, sizeof(request.original));
	applier_handle(&bench->applier, &request, sizeof(request), ret_answer);
}

static void set(struct bench *bench, pid_t pid, const struct cpuset *cpus,
		struct apply_answer *ret_answer)
{
	handle(bench, APPLY_SET, pid, start_time_of(pid), cpus, "", ret_answer);
}

static void look(struct bench *bench, enum apply_verb verb, pid_t pid,
		 struct apply_answer *ret_answer)
{
	static const struct cpuset none;

	handle(bench, verb, pid, start_time_of(pid), &none, "", ret_answer);
}

/* How many threads of @pid have just @cpus, and how many there are. */
static size_t n_threads_with(struct bench *bench, pid_t pid, const struct cpuset *cpus,
			     size_t *ret_n)
{
	cleanup(closedirp) DIR *dir = NULL;
	char path[64];
	size_t n_with = 0;
	struct dirent *entry;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	assert_non_null(dir);
	*ret_n = 0;
	while ((entry = readdir(dir))) {
		cleanup(cpuset_done) struct cpuset has = { 0 };

		if (entry->d_name[0] == '.')
			continue;
		if (bench->real.affinity_get(&bench->real, (pid_t)strtol(entry->d_name, NULL, 10),
					     &has) < 0)
			continue; /* it ended */
		++*ret_n;
		n_with += cpuset_equal(&has, cpus);
	}
	return n_with;
}

/* ---- tests ---- */

static void binds_every_thread_once(void **state)
{
	struct bench bench;
	struct apply_answer answer;
	pid_t pid = child_with(50, wait_forever);
	cleanup(freep) char *all = NULL;
	size_t n;

	(void)state;
	bench_init(&bench);
	if (cpuset_count(&bench.all) < 2)
		skip();
	look(&bench, APPLY_LOOK, pid, &answer);
	all = cpuset_format(&bench.all);
	assert_true(answer.has_found);
	assert_string_equal(answer.found, all);
	assert_int_equal(answer.n_writes, 0);
	set(&bench, pid, &bench.one, &answer);
	if (answer.error)
		fail_msg("%s", answer.text);
	assert_int_equal(answer.n_writes, 51);
	assert_int_equal(n_threads_with(&bench, pid, &bench.one, &n), 51);
	assert_int_equal(n, 51);
	/* What holds is not set again. */
	bench.n_sets = 0;
	set(&bench, pid, &bench.one, &answer);
	assert_int_equal(answer.error, 0);
	assert_int_equal(answer.n_writes, 0);
	assert_int_equal(bench.n_sets, 0);
	end(pid);
	bench_done(&bench);
}

static void tells_executables(void **state)
{
	struct bench bench;
	struct apply_answer answer;
	pid_t pid = child_with(1, wait_forever);
	char own[PATH_MAX] = "";
	static const struct cpuset none;

	(void)state;
	assert_true(readlink("/proc/self/exe", own, sizeof(own) - 1) > 0);
	bench_init(&bench);
	look(&bench, APPLY_IDENTIFY, pid, &answer);
	assert_int_equal(answer.error, 0);
	assert_true(answer.has_found);
	assert_string_equal(answer.found, own);
	assert_int_equal(answer.n_writes, 0);
	/* The number is somebody else's by now. */
	handle(&bench, APPLY_IDENTIFY, pid, start_time_of(pid) + 1, &none, "", &answer);
	assert_int_equal(answer.error, -ESRCH);
	assert_false(answer.has_found);
	/* Nothing is set on the way. */
	handle(&bench, APPLY_IDENTIFY, pid, start_time_of(pid), &bench.one, "", &answer);
	assert_int_equal(answer.error, -EINVAL);
	end(pid);
	handle(&bench, APPLY_IDENTIFY, pid, 1, &none, "", &answer);
	assert_int_equal(answer.error, -ESRCH);
	bench_done(&bench);
}

static void catches_threads_that_are_born_meanwhile(void **state)
{
	struct bench bench;
	pid_t pid = child_with(4, keep_spawning);

	(void)state;
	bench_init(&bench);
	if (cpuset_count(&bench.all) < 2)
		skip();
	for (int i = 0; i < 10; i++) {
		const struct cpuset *cpus = i % 2 ? &bench.all : &bench.one;
		struct apply_answer answer;
		size_t n;

		set(&bench, pid, cpus, &answer);
		if (answer.error)
			fail_msg("round %d: %s", i, answer.text);
		/* What is born from now on has a bound parent: a count that differs is a straggler.
		 */
		if (n_threads_with(&bench, pid, cpus, &n) != n)
			fail_msg("round %d: stragglers among %zu threads", i, n);
	}
	end(pid);
	bench_done(&bench);
}

static void gives_back_to_threads_that_are_still_ours(void **state)
{
	struct bench bench;
	struct apply_answer answer;
	pid_t pid = child_with(3, wait_forever);
	cleanup(freep) char *all = NULL;
	size_t n;

	(void)state;
	bench_init(&bench);
	if (cpuset_count(&bench.all) < 2)
		skip();
	all = cpuset_format(&bench.all);
	set(&bench, pid, &bench.one, &answer);
	assert_int_equal(answer.error, 0);
	/* Somebody binds the first thread elsewhere. */
	assert_int_equal(bench.real.affinity_set(&bench.real, pid, &bench.last), 0);
	handle(&bench, APPLY_RESTORE, pid, start_time_of(pid), &bench.one, all, &answer);
	if (answer.error)
		fail_msg("%s", answer.text);
	assert_int_equal(answer.n_writes, 3);
	assert_int_equal(n_threads_with(&bench, pid, &bench.all, &n), 3);
	assert_int_equal(n_threads_with(&bench, pid, &bench.last, &n), 1);
	end(pid);
	bench_done(&bench);
}

static void another_process_is_never_touched(void **state)
{
	struct bench bench;
	struct apply_answer answer;
	pid_t pid = child_with(2, wait_forever), ended = child_with(0, wait_forever);
	uint64_t start_time = start_time_of(pid);

	(void)state;
	end(ended);
	bench_init(&bench);
	handle(&bench, APPLY_SET, pid, start_time - 1, &bench.one, "", &answer);
	assert_int_equal(answer.error, -ESRCH);
	handle(&bench, APPLY_RESTORE, pid, start_time + 1, &bench.one, "0", &answer);
	assert_int_equal(answer.error, -ESRCH);
	handle(&bench, APPLY_SET, ended, start_time, &bench.one, "", &answer);
	assert_int_equal(answer.error, -ESRCH);
	assert_int_equal(bench.n_sets, 0);
	end(pid);
	bench_done(&bench);
}

static void refusals_are_sorted(void **state)
{
	static const struct {
		int error;
		const char *text;
	} rows[] = {
		{ -EPERM, "CAP_SYS_NICE" },
		{ -EBUSY, "SCHED_DEADLINE" },
		{ -EINVAL, "none of these PUs is online" },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct bench bench;
		struct apply_answer answer;
		pid_t pid = child_with(1, wait_forever);

		bench_init(&bench);
		if (cpuset_count(&bench.all) < 2)
			skip();
		bench.set_error = rows[i].error;
		set(&bench, pid, &bench.one, &answer);
		assert_int_equal(answer.error, rows[i].error);
		if (!strstr(answer.text, rows[i].text))
			fail_msg("%s", answer.text);
		/* The front needs to know what may still run where. */
		{
			cleanup(cpuset_done) struct cpuset effective = { 0 };

			assert_int_equal(message_get_cpus(answer.effective, &effective), 0);
			assert_true(cpuset_equal(&effective, &bench.all));
		}
		end(pid);
		bench_done(&bench);
	}
}

static void passes_are_bounded(void **state)
{
	struct bench bench;
	struct apply_answer answer;
	pid_t pid = child_with(0, wait_forever);

	(void)state;
	bench_init(&bench);
	if (cpuset_count(&bench.all) < 2)
		skip();
	bench.is_undone = true;
	set(&bench, pid, &bench.one, &answer);
	assert_int_equal(answer.error, -EAGAIN);
	assert_int_equal(bench.n_sets, 16);
	end(pid);
	bench_done(&bench);
}

static size_t n_open_files(void)
{
	cleanup(closedirp) DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	while (readdir(dir))
		n++;
	return n;
}

static void every_call_may_fail(void **state)
{
	static const int errors[] = { -EACCES, -ESRCH, -ENOENT, -EINVAL, -EBUSY, -EMFILE, -ENOMEM };
	unsigned n_injected = 0;
	pid_t pid = child_with(2, wait_forever);

	(void)state;
	for (size_t e = 0; e < N_ELEMENTS(errors); e++)
		for (unsigned call = 1;; call++) {
			struct bench bench;
			struct apply_answer answer;
			size_t n_before, n;
			unsigned n_calls;

			bench_init(&bench);
			if (cpuset_count(&bench.all) < 2)
				skip();
			set(&bench, pid, &bench.all, &answer);
			n_before = n_open_files();
			bench.n_calls = 0;
			bench.fail_call = call;
			bench.fail_error = errors[e];
			set(&bench, pid, &bench.one, &answer);
			n_calls = bench.n_calls;
			n_injected++;
			assert_int_equal(n_open_files(), n_before);
			if (answer.error < 0)
				assert_true(answer.text[0] != '\0');
			/* A thread that "ended" is skipped by right; all else must hold. */
			if (answer.error == 0 && errors[e] != -ESRCH && errors[e] != -ENOENT &&
			    n_threads_with(&bench, pid, &bench.one, &n) != n)
				fail_msg("call %u with %d: a success that does not hold", call,
					 errors[e]);
			bench.fail_call = 0;
			set(&bench, pid, &bench.one, &answer);
			assert_int_equal(answer.error, 0);
			bench_done(&bench);
			if (n_calls < call)
				break;
		}
	assert_true(n_injected > 70);
	end(pid);
}

/* ---- the launcher's half ---- */

/* In a child, whose binding is its own. 0 where all is as it should be, else the line. */
static int bind_in_child(const char *cpus_text, const char *mems_text, enum memory_policy policy,
			 int mode)
{
	cleanup(cpuset_done) struct cpuset cpus = { 0 }, has = { 0 };
	cleanup(nodeset_done) struct nodeset mems = { 0 };
	struct fault fault = { 0 };
	unsigned long nodes[NODESET_MAX / 64] = { 0 };
	struct sys sys;
	int got;

	if (cpuset_parse(cpus_text, &cpus) < 0 || nodeset_parse(mems_text, &mems) < 0)
		return __LINE__;
	if (threads_bind_self(&cpus, &mems, policy, &fault) < 0) {
		fprintf(stderr, "%s\n", fault.text);
		return __LINE__;
	}
	if (sys_linux_open("/proc", &sys) < 0 || sys.affinity_get(&sys, getpid(), &has) < 0)
		return __LINE__;
	sys_linux_close(&sys);
	if (!cpuset_is_empty(&cpus) && !cpuset_equal(&cpus, &has))
		return __LINE__;
	if (get_mempolicy(&got, nodes, NODESET_MAX, NULL, 0) < 0)
		return errno == ENOSYS ? 0 : __LINE__;
	if (got != mode || (mode != MPOL_DEFAULT && nodes[0] != 1))
		return __LINE__;
	return 0;
}

static void binds_itself_before_exec(void **state)
{
	static const struct {
		const char *why, *mems;
		enum memory_policy policy;
		int mode;
	} rows[] = {
		{ "a preference", "0", MEMORY_PREFERRED, MPOL_PREFERRED },
		{ "nothing else", "0", MEMORY_STRICT, MPOL_BIND },
		{ "spread", "0", MEMORY_INTERLEAVE, MPOL_INTERLEAVE },
		{ "no policy", "0", MEMORY_NONE, MPOL_DEFAULT },
		{ "no nodes", "", MEMORY_STRICT, MPOL_DEFAULT },
	};
	struct bench bench;
	cleanup(freep) char *one = NULL;

	(void)state;
	bench_init(&bench);
	one = cpuset_format(&bench.one);
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		int status;
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0)
			_exit(bind_in_child(one, rows[i].mems, rows[i].policy, rows[i].mode) ? 1
											     : 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
			fail_msg("%s", rows[i].why);
	}
	bench_done(&bench);
}

static void says_why_it_cannot_bind_itself(void **state)
{
	cleanup(cpuset_done) struct cpuset cpus = { 0 };
	cleanup(nodeset_done) struct nodeset mems = { 0 };
	struct fault fault = { 0 };

	(void)state;
	/* No machine of a test has these; both are far beyond 1,024 bits or at the end. */
	assert_int_equal(cpuset_add(&cpus, 8191), 0);
	assert_int_equal(threads_bind_self(&cpus, NULL, MEMORY_NONE, &fault), -EINVAL);
	assert_non_null(strstr(fault.text, "cannot bind to PUs '8191'"));
	cpuset_done(&cpus);
	assert_int_equal(nodeset_add(&mems, 1023), 0);
	assert_int_equal(threads_bind_self(&cpus, &mems, MEMORY_STRICT, &fault), -EINVAL);
	assert_non_null(strstr(fault.text, "NUMA nodes '1023'"));
}

static void moves_pages_of_others(void **state)
{
	cleanup(nodeset_done) struct nodeset possible = { 0 }, mems = { 0 };
	struct fault fault = { 0 };
	pid_t pid = child_with(0, wait_forever);

	(void)state;
	assert_int_equal(nodeset_add(&possible, 0), 0);
	assert_int_equal(nodeset_add(&mems, 0), 0);
	/* All nodes are wanted ones: nothing to move. */
	assert_int_equal(threads_migrate(pid, &possible, &mems, &fault), 0);
	/* From a node that need not exist to one that does; who may not ask for it is told so. */
	assert_int_equal(nodeset_add(&possible, 1), 0);
	{
		int r = threads_migrate(pid, &possible, &mems, &fault);

		assert_true(r >= 0 || r == -EPERM || r == -EINVAL);
	}
	end(pid);
	assert_int_equal(threads_migrate(pid, &possible, &mems, &fault), -ESRCH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(binds_every_thread_once),
		cmocka_unit_test(tells_executables),
		cmocka_unit_test(catches_threads_that_are_born_meanwhile),
		cmocka_unit_test(gives_back_to_threads_that_are_still_ours),
		cmocka_unit_test(another_process_is_never_touched),
		cmocka_unit_test(refusals_are_sorted),
		cmocka_unit_test(passes_are_bounded),
		cmocka_unit_test(every_call_may_fail),
		cmocka_unit_test(binds_itself_before_exec),
		cmocka_unit_test(says_why_it_cannot_bind_itself),
		cmocka_unit_test(moves_pages_of_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
