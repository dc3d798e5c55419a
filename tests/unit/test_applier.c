/* The front's half with the real program behind it: real processes, privileges, signals, the way
 * out. */
#include "apply_fixture.h"

static void fixture_init_real(struct fixture *fixture, bool may_inspect)
{
	struct applier_options options = { .path = SIDECARD_APPLY, .may_inspect = may_inspect };
	struct fault fault = { 0 };
	int fd;

	*fixture = (struct fixture){ .far_fd = -1 };
	if (applier_start(&options, &fd, &fixture->pid, &fault) < 0)
		fail_msg("%s", fault.text);
	fixture_open(fixture, APPLY_REAL, fd);
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

static pid_t sleeper(void)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nobody behind */
		for (;;)
			pause();
	}
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void cpus_of(pid_t pid, char text[64])
{
	cleanup(cpuset_done) struct cpuset cpus = { 0 };
	cleanup(freep) char *list = NULL;
	struct sys sys;

	assert_int_equal(sys_linux_open("/proc", &sys), 0);
	assert_int_equal(sys.affinity_get(&sys, pid, &cpus), 0);
	sys_linux_close(&sys);
	list = cpuset_format(&cpus);
	snprintf(text, 64, "%s", list);
}

/* One PU that we may use, as a list. */
static void first_pu(char text[16])
{
	cleanup(cpuset_done) struct cpuset cpus = { 0 };
	char all[64];

	cpus_of(getpid(), all);
	assert_int_equal(cpuset_parse(all, &cpus), 0);
	snprintf(text, 16, "%u", cpuset_first(&cpus));
}

static void real_applier_binds_and_restores(void **state)
{
	struct fixture fixture;
	struct restore restore;
	pid_t child = sleeper();
	char before[64], now[64], one[16];

	(void)state;
	first_pu(one);
	cpus_of(child, before);
	fixture_init_real(&fixture, false);
	fixture.looks[add_process(&fixture, child, start_time_of(child), one)] = true;
	assert_int_equal(begin(&fixture), 0);
	run_to_end(&fixture);
	assert_int_equal(fixture.n_finished, 1);
	assert_int_equal(fixture.n_looked, 1);
	assert_string_equal(fixture.originals[0], before);
	if (fixture.errors[0])
		fail_msg("%s", fixture.texts[0]);
	cpus_of(child, now);
	assert_string_equal(now, one);
	assert_string_equal(fixture.effective[0], one);
	if (strcmp(before, one) != 0)
		assert_int_equal(fixture.n_writes[0], 1);
	/* What holds is not written again. */
	fixture.looks[0] = false;
	assert_int_equal(begin(&fixture), 0);
	run_to_end(&fixture);
	assert_int_equal(fixture.errors[0], 0);
	assert_int_equal(fixture.n_writes[0], 0);
	assert_false(fixture.written[0]);
	restore = (struct restore){ &fixture.places[0], before, &fixture.items[0].cpus, NULL };
	assert_int_equal(apply_restore(fixture.apply, &restore, 1, 20000), 0);
	cpus_of(child, now);
	assert_string_equal(now, before);
	fixture_done(&fixture);
	end(child);
}

static void unfinished_steps_are_restored_too(void **state)
{
	struct fixture fixture;
	struct restore restore;
	pid_t child = sleeper();
	char before[64], now[64], one[16];

	(void)state;
	first_pu(one);
	cpus_of(child, before);
	fixture_init_real(&fixture, false);
	add_process(&fixture, child, start_time_of(child), one);
	assert_int_equal(begin(&fixture), 0);
	/* No turn of the loop: the answer is found by the drain. The caller knew before it began
	 * what was there and what would be written. */
	restore = (struct restore){ &fixture.places[0], before, &fixture.items[0].cpus, NULL };
	assert_int_equal(apply_restore(fixture.apply, &restore, 1, 20000), 0);
	assert_false(apply_is_busy(fixture.apply));
	cpus_of(child, now);
	assert_string_equal(now, before);
	turn(&fixture);
	assert_int_equal(fixture.n_finished, 0);
	fixture_done(&fixture);
	end(child);
}

static void gives_back_between_the_phases(void **state)
{
	struct fixture fixture;
	pid_t child = sleeper(), other = sleeper();
	cleanup(cpuset_done) struct cpuset ours = { 0 };
	char before[64], now[64], one[16];
	struct place place;

	(void)state;
	first_pu(one);
	cpus_of(child, before);
	if (strcmp(before, one) == 0)
		skip();
	fixture_init_real(&fixture, false);
	add_process(&fixture, child, start_time_of(child), one);
	assert_int_equal(begin(&fixture), 0);
	run_to_end(&fixture);
	/* It is released, and somebody else takes its PU. */
	place = fixture.places[0];
	assert_int_equal(cpuset_parse(one, &ours), 0);
	fixture_clear_steps(&fixture);
	add_process(&fixture, other, start_time_of(other), one);
	fixture.restores[0] = (struct restore){ &place, before, &ours, NULL };
	fixture.n_restores = 1;
	fixture.n_finished = 0;
	assert_int_equal(begin(&fixture), 0);
	run_to_end(&fixture);
	assert_int_equal(fixture.n_restored, 1);
	assert_int_equal(fixture.restore_errors[0], 0);
	cpus_of(child, now);
	assert_string_equal(now, before);
	cpus_of(other, now);
	assert_string_equal(now, one);
	fixture_done(&fixture);
	end(child);
	end(other);
}

static int read_proc(pid_t pid, const char *file, char *text, size_t size);

static bool may_trace(void)
{
	unsigned long long effective;
	char text[4096];

	assert_true(read_proc(getpid(), "status", text, sizeof(text)) > 0);
	assert_int_equal(sscanf(strstr(text, "CapEff:"), "CapEff: %llx", &effective), 1);
	return effective >> 19 & 1; /* CAP_SYS_PTRACE */
}

static void tells_executables(void **state)
{
	struct fixture fixture;
	pid_t child = sleeper();
	char own[128] = "", expected[256];

	(void)state;
	assert_true(readlink("/proc/self/exe", own, sizeof(own) - 1) > 0);
	fixture_init_real(&fixture, true);
	assert_int_equal(apply_identify(fixture.apply, child, start_time_of(child)), 0);
	assert_int_equal(apply_identify(fixture.apply, child, 1), 0);
	while (fixture.n_identified < 2)
		assert_true(sd_event_run(fixture.event, UINT64_MAX) >= 0);
	/* Root with less than root's privileges (a container) may not look at his equals. */
	snprintf(expected, sizeof(expected), "%d/%" PRIu64 " %s;%d/1 NULL;", (int)child,
		 start_time_of(child), geteuid() == 0 && !may_trace() ? "" : own, (int)child);
	assert_string_equal(fixture.identified, expected);
	fixture_done(&fixture);
	end(child);
}

static void strangers_are_left_alone(void **state)
{
	struct fixture fixture;
	pid_t child = sleeper(), gone = sleeper();
	char before[64], now[64], one[16];

	(void)state;
	first_pu(one);
	end(gone);
	cpus_of(child, before);
	fixture_init_real(&fixture, false);
	add_process(&fixture, child, start_time_of(child) + 1, one);
	add_process(&fixture, gone, 1, one);
	add_process(&fixture, 1, 1, one);
	add_process(&fixture, fixture.pid, start_time_of(fixture.pid), one);
	assert_int_equal(begin(&fixture), 0);
	run_to_end(&fixture);
	assert_int_equal(fixture.errors[0], -ESRCH);
	assert_int_equal(fixture.errors[1], -ESRCH);
	assert_int_equal(fixture.errors[2], -EINVAL);
	assert_int_equal(fixture.errors[3], -EINVAL); /* the applier itself */
	cpus_of(child, now);
	assert_string_equal(now, before);
	fixture_done(&fixture);
	end(child);
}

static void real_applier_dies_with_a_word(void **state)
{
	struct fixture fixture;

	(void)state;
	fixture_init_real(&fixture, false);
	/* It outlives what a terminal or a service manager sends to the whole group. */
	kill(fixture.pid, SIGTERM);
	kill(fixture.pid, SIGINT);
	kill(fixture.pid, SIGHUP);
	add_process(&fixture, 1, 1, "0");
	assert_int_equal(begin(&fixture), 0);
	run_to_end(&fixture);
	assert_int_equal(fixture.n_finished, 1);
	kill(fixture.pid, SIGKILL);
	run_to_end(&fixture);
	assert_int_equal(fixture.n_died, 1);
	fixture_done(&fixture);
}

static int read_proc(pid_t pid, const char *file, char *text, size_t size)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, text, size - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return (int)n;
}

static void real_applier_has_little(void **state)
{
	struct fixture fixture;
	char text[4096];
	unsigned long long effective, permitted;
	int leak = open("/dev/null", O_RDONLY); /* without O_CLOEXEC, on purpose */

	(void)state;
	assert_int_equal(setenv("HWLOC_XMLFILE", "/nowhere", 1), 0);
	fixture_init_real(&fixture, false);
	add_process(&fixture, 1, 1, "0");
	assert_int_equal(begin(&fixture), 0);
	run_to_end(&fixture); /* it is past its own start now */
	assert_int_equal(read_proc(fixture.pid, "environ", text, sizeof(text)), 0);
	assert_true(read_proc(fixture.pid, "status", text, sizeof(text)) > 0);
	assert_int_equal(sscanf(strstr(text, "CapPrm:"), "CapPrm: %llx", &permitted), 1);
	assert_int_equal(sscanf(strstr(text, "CapEff:"), "CapEff: %llx", &effective), 1);
	assert_true((permitted & ~(1ULL << 23)) == 0); /* CAP_SYS_NICE */
	assert_true(effective == permitted);
	assert_non_null(strstr(text, "NoNewPrivs:\t1"));
	for (int fd = 0; fd < 64; fd++) {
		char path[64], target[256];
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)fixture.pid, fd);
		n = readlink(path, target, sizeof(target) - 1);
		if (n < 0 || fd == 1 || fd == 2)
			continue;
		target[n] = '\0';
		if (fd == 0)
			assert_string_equal(target, "/dev/null");
		else if (fd > 3 && strcmp(target, "/proc") != 0 &&
			 strcmp(target, "/sys/devices/system") != 0 &&
			 strcmp(target, "/run/systemd") != 0)
			fail_msg("descriptor %d is '%s'", fd, target);
	}
	close(leak);
	unsetenv("HWLOC_XMLFILE");
	fixture_done(&fixture);
}

static void start_says_why_not(void **state)
{
	static const struct {
		const char *path;
		int error;
	} rows[] = {
		{ "/nonexistent/sidecard-apply", -ENOENT },
		{ "/", -EACCES },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct applier_options options = { .path = rows[i].path };
		struct fault fault = { 0 };
		pid_t pid = -7;
		int fd = -7;

		assert_int_equal(applier_start(&options, &fd, &pid, &fault), rows[i].error);
		assert_int_equal(fd, -7);
		assert_int_equal(pid, -7);
		assert_non_null(strstr(fault.text, "cannot execute '"));
	}
}
int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(real_applier_binds_and_restores),
		cmocka_unit_test(unfinished_steps_are_restored_too),
		cmocka_unit_test(gives_back_between_the_phases),
		cmocka_unit_test(tells_executables),
		cmocka_unit_test(strangers_are_left_alone),
		cmocka_unit_test(real_applier_dies_with_a_word),
		cmocka_unit_test(real_applier_has_little),
		cmocka_unit_test(start_says_why_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
