/* Units as places, on a private bus with a made-up PID 1 on it. */
#include "fake_manager.h"

/* ---- the bus and the applier ---- */

struct world {
	char root[64], address[128];
	int root_fd;
	pid_t bus_pid, manager_pid;
	struct sys sys;
	struct applier applier;
};

static void start_bus(struct world *world)
{
	char path[128], text[1024], address[256];
	int fds[2];

	snprintf(world->address, sizeof(world->address), "unix:path=%s/bus", world->root);
	snprintf(text, sizeof(text),
		 "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration "
		 "1.0//EN\"\n"
		 " \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n"
		 "<busconfig><type>custom</type><listen>%s</listen><auth>EXTERNAL</auth>"
		 "<policy context=\"default\"><allow user=\"*\"/><allow own=\"*\"/>"
		 "<allow send_destination=\"*\" eavesdrop=\"false\"/><allow "
		 "receive_sender=\"*\"/></policy>"
		 "</busconfig>\n",
		 world->address);
	put(world->root_fd, "bus.conf", text);
	unlinkat(world->root_fd, "bus", 0);
	assert_int_equal(pipe(fds), 0);
	snprintf(path, sizeof(path), "--config-file=%s/bus.conf", world->root);
	snprintf(text, sizeof(text), "--print-address=%d", fds[1]);
	world->bus_pid = fork();
	assert_true(world->bus_pid >= 0);
	if (world->bus_pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(fds[0]);
		dup2(open("/dev/null", O_WRONLY | O_CLOEXEC),
		     STDERR_FILENO); /* it cannot raise its limits here, and says so */
		execlp("dbus-daemon", "dbus-daemon", "--nofork", "--nopidfile", "--nosyslog", path,
		       text, (char *)NULL);
		_exit(127);
	}
	close(fds[1]);
	if (read(fds[0], address, sizeof(address)) <= 0) {
		close(fds[0]);
		print_message("no dbus-daemon to be had\n");
		skip();
	}
	close(fds[0]);
}

static void start_manager(struct world *world)
{
	int fds[2];
	char byte;

	assert_int_equal(pipe(fds), 0);
	world->manager_pid = fork();
	assert_true(world->manager_pid >= 0);
	if (world->manager_pid == 0) {
		struct manager manager = { .root_fd = world->root_fd, .bus_pid = world->bus_pid };

		close(fds[0]);
		manager_run(&manager, world->address, fds[1]);
	}
	close(fds[1]);
	assert_int_equal(read(fds[0], &byte, 1), 1);
	close(fds[0]);
}

static void stop(pid_t *pid)
{
	if (*pid > 0) {
		kill(*pid, SIGKILL);
		waitpid(*pid, NULL, 0);
	}
	*pid = 0;
}

static void make_cgroup(struct world *world, const char *unit)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "cgroup/system.slice/%s", unit);
	assert_int_equal(mkdirat(world->root_fd, path, 0755), 0);
	fd = openat(world->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	put(fd, "cpuset.cpus", "\n");
	put(fd, "cpuset.cpus.effective", KERNEL_CPUS "\n");
	close(fd);
}

static void world_init(struct world *world)
{
	*world = (struct world){ .root = "/tmp/test_apply_unit.XXXXXX" };
	assert_non_null(mkdtemp(world->root));
	world->root_fd = open(world->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(world->root_fd, "cgroup", 0755), 0);
	assert_int_equal(mkdirat(world->root_fd, "cgroup/system.slice", 0755), 0);
	assert_int_equal(mkdirat(world->root_fd, "run", 0755), 0);
	assert_int_equal(mkdirat(world->root_fd, "run/system.control", 0755), 0);
	start_bus(world);
	start_manager(world);
	assert_int_equal(sys_linux_open("/proc", &world->sys), 0);
	world->applier = (struct applier){
		.sys = &world->sys,
		.calls = &applier_calls_linux,
		.root_fd = openat(world->root_fd, "cgroup", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
		.system_fd = -1,
		.manager_fd = openat(world->root_fd, "run", O_PATH | O_DIRECTORY | O_CLOEXEC),
		.front_fd = -1,
		.pid = getpid(),
		.use_bus = true,
		.bus_address = world->address,
	};
	assert_int_equal(cpuset_parse("0-15", &world->applier.possible), 0);
	assert_int_equal(nodeset_parse("0-3", &world->applier.possible_nodes), 0);
}

static void world_done(struct world *world)
{
	applier_done(&world->applier);
	close_fdp(&world->applier.root_fd);
	close_fdp(&world->applier.manager_fd);
	sys_linux_close(&world->sys);
	stop(&world->manager_pid);
	stop(&world->bus_pid);
	close(world->root_fd);
	assert_int_equal(nftw(world->root, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static void ask(struct world *world, enum apply_verb verb, const char *unit, const char *cpus,
		const char *mems, const char *original, struct apply_answer *ret_answer)
{
	struct apply_request request = {
		.magic = APPLY_MAGIC, .version = APPLY_VERSION, .verb = verb, .kind = PLACE_UNIT
	};
	cleanup(cpuset_done) struct cpuset cpuset = { 0 };
	cleanup(nodeset_done) struct nodeset nodeset = { 0 };

	assert_int_equal(cpuset_parse(cpus, &cpuset), 0);
	assert_int_equal(nodeset_parse(mems, &nodeset), 0);
	message_put_cpus(&cpuset, request.cpus);
	message_put_nodes(&nodeset, request.mems);
	assert_true(message_put_text(unit, request.unit, sizeof(request.unit)));
	assert_true(message_put_text(original, request.original, sizeof(request.original)));
	applier_handle(&world->applier, &request, sizeof(request), ret_answer);
}

/* What the unit has now, as it is given back. */
static void look(struct world *world, const char *unit, char original[APPLY_FOUND_SIZE])
{
	struct apply_answer answer;

	ask(world, APPLY_LOOK, unit, "", "", "", &answer);
	if (answer.error || !answer.has_found || answer.n_writes != 0)
		fail_msg("%d, %s", answer.error, answer.text);
	memcpy(original, answer.found, APPLY_FOUND_SIZE);
}

static void expect(const struct apply_answer *answer, int error, unsigned n_writes,
		   const char *effective)
{
	cleanup(cpuset_done) struct cpuset cpus = { 0 };
	cleanup(freep) char *list = NULL;

	if (answer->error != error)
		fail_msg("error %d, expected %d: '%s'", answer->error, error, answer->text);
	assert_int_equal(answer->n_writes, n_writes);
	assert_int_equal(message_get_cpus(answer->effective, &cpus), 0);
	list = cpuset_format(&cpus);
	assert_string_equal(list, effective);
}

static int n_calls(struct world *world)
{
	char text[16];

	get(world->root_fd, "calls", text, sizeof(text));
	return (int)strtol(text, NULL, 10);
}

/* ---- tests ---- */

static void sets_what_differs_and_reads_it_back(void **state)
{
	struct world world;
	struct apply_answer answer;
	char original[APPLY_FOUND_SIZE];

	(void)state;
	world_init(&world);
	make_cgroup(&world, "good.service");
	make_cgroup(&world, "late.service");
	make_cgroup(&world, "slow.service");
	look(&world, "good.service", original);
	assert_string_equal(original, "");
	assert_int_equal(n_calls(&world), 0);
	ask(&world, APPLY_SET, "good.service", "0-3", "", "", &answer);
	expect(&answer, 0, 1, "0-3");
	ask(&world, APPLY_SET, "good.service", "0-3", "", "", &answer);
	expect(&answer, 0, 0, "0-3");
	assert_int_equal(n_calls(&world), 1);
	look(&world, "good.service", original);
	assert_string_equal(original, "0-3+");
	/* Part of it is offline: the rest holds, and a second look writes nothing. */
	ask(&world, APPLY_SET, "good.service", "2,6-9", "", "", &answer);
	expect(&answer, 0, 1, "2,6-7");
	ask(&world, APPLY_SET, "good.service", "2,6-9", "", "", &answer);
	expect(&answer, 0, 0, "2,6-7");
	/* The answer comes before the write. */
	ask(&world, APPLY_SET, "late.service", "4", "", "", &answer);
	expect(&answer, 0, 1, "4");
	ask(&world, APPLY_SET, "slow.service", "5", "", "", &answer);
	expect(&answer, 0, 1, "5");
	world_done(&world);
}

static void success_of_pid_1_is_not_believed(void **state)
{
	struct world world;
	struct apply_answer answer;

	(void)state;
	world_init(&world);
	make_cgroup(&world, "stubborn.service");
	make_cgroup(&world, "good.service");
	ask(&world, APPLY_SET, "stubborn.service", "0-3", "", "", &answer);
	expect(&answer, -EREMOTEIO, 1, "0-7");
	assert_non_null(strstr(answer.text, "the kernel still says '0-7'"));
	/* None of these is online: the kernel falls back to all. Known at once. */
	ask(&world, APPLY_SET, "good.service", "8-9", "", "", &answer);
	expect(&answer, -EXDEV, 1, "0-7");
	world_done(&world);
}

static void foreign_writes_are_set_right_again(void **state)
{
	struct world world;
	struct apply_answer answer;

	(void)state;
	world_init(&world);
	make_cgroup(&world, "good.service");
	ask(&world, APPLY_SET, "good.service", "0-3", "", "", &answer);
	expect(&answer, 0, 1, "0-3");
	put(world.root_fd, "cgroup/system.slice/good.service/cpuset.cpus", "0-7\n");
	put(world.root_fd, "cgroup/system.slice/good.service/cpuset.cpus.effective", "0-7\n");
	ask(&world, APPLY_SET, "good.service", "0-3", "", "", &answer);
	expect(&answer, 0, 1, "0-3");
	world_done(&world);
}

static void failures_are_sorted(void **state)
{
	static const struct {
		const char *why, *unit;
		int error;
	} rows[] = {
		{ "no unit file, not running: gone", "missing.service", -ENOENT },
		{ "masked, yet running: not gone", "masked.service", -ENOTSUP },
		{ "not allowed to us", "refused.service", -EACCES },
		{ "PID 1 knows no such type", "x.slice", -EBADR },
	};
	struct world world;

	(void)state;
	world_init(&world);
	make_cgroup(&world, "masked.service");
	make_cgroup(&world, "refused.service");
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct apply_answer answer;

		ask(&world, APPLY_SET, rows[i].unit, "0-3", "", "", &answer);
		if (answer.error != rows[i].error)
			fail_msg("%s: %d, '%s'", rows[i].why, answer.error, answer.text);
		assert_true(answer.text[0] != '\0');
		assert_int_equal(answer.n_writes, 0);
	}
	world_done(&world);
}

static void memory_is_set_before_the_start(void **state)
{
	struct world world;
	struct apply_answer answer;
	char text[1024];

	(void)state;
	world_init(&world);
	make_cgroup(&world, "good.service");
	ask(&world, APPLY_SET, "inactive.service", "0-3", "1", "", &answer);
	expect(&answer, 0, 1, "0-3");
	assert_non_null(strstr(answer.text, "is not active"));
	get(world.root_fd, "run/system.control/inactive.service.d/50-AllowedMemoryNodes.conf", text,
	    sizeof(text));
	assert_non_null(strstr(text, "AllowedMemoryNodes=1\n"));
	ask(&world, APPLY_SET, "inactive.service", "0-3", "1", "", &answer);
	expect(&answer, 0, 0, "0-3");
	/* Running work keeps its pages. */
	ask(&world, APPLY_SET, "good.service", "0-3", "1", "", &answer);
	expect(&answer, 0, 1, "0-3");
	get(world.root_fd, "run/system.control/good.service.d/50-AllowedMemoryNodes.conf", text,
	    sizeof(text));
	assert_string_equal(text, "");
	world_done(&world);
}

static bool is_there(struct world *world, const char *path)
{
	return faccessat(world->root_fd, path, F_OK, 0) == 0;
}

static void restores_without_a_trace(void **state)
{
	struct world world;
	struct apply_answer answer;
	char original[APPLY_FOUND_SIZE];

	(void)state;
	world_init(&world);
	make_cgroup(&world, "good.service");
	look(&world, "good.service", original);
	ask(&world, APPLY_SET, "good.service", "0-3", "", "", &answer);
	expect(&answer, 0, 1, "0-3");
	assert_true(is_there(&world, "run/system.control/good.service.d/50-AllowedCPUs.conf"));
	/* It was not set before: all possible PUs, never an empty set, and no drop-in is left. */
	ask(&world, APPLY_RESTORE, "good.service", "0-3", "", original, &answer);
	expect(&answer, 0, 1, "0-7");
	assert_false(is_there(&world, "run/system.control/good.service.d"));
	/* Not ours any more: left alone. */
	ask(&world, APPLY_RESTORE, "good.service", "0-3", "", "4", &answer);
	expect(&answer, 0, 0, "");
	assert_non_null(strstr(answer.text, "somebody else"));
	/* Memory nodes that were set before the start. */
	look(&world, "inactive.service", original);
	ask(&world, APPLY_SET, "inactive.service", "0-3", "1", "", &answer);
	expect(&answer, 0, 1, "0-3");
	ask(&world, APPLY_RESTORE, "inactive.service", "0-3", "1", original, &answer);
	expect(&answer, 0, 1, "0-15");
	assert_false(is_there(&world, "run/system.control/inactive.service.d"));
	world_done(&world);
}

static void foreign_dropins_stay(void **state)
{
	struct world world;
	struct apply_answer answer;
	char text[1024], original[APPLY_FOUND_SIZE];

	(void)state;
	world_init(&world);
	make_cgroup(&world, "good.service");
	/* The administrator ran `systemctl set-property --runtime good.service AllowedCPUs=4-5`. */
	ask(&world, APPLY_SET, "good.service", "4-5", "", "", &answer);
	expect(&answer, 0, 1, "4-5");
	look(&world, "good.service", original);
	assert_string_equal(original, "4-5+");
	ask(&world, APPLY_SET, "good.service", "0-3", "", "", &answer);
	expect(&answer, 0, 1, "0-3");
	put(world.root_fd, "run/system.control/good.service.d/50-CPUWeight.conf",
	    "[Service]\nCPUWeight=1\n");
	ask(&world, APPLY_RESTORE, "good.service", "0-3", "", original, &answer);
	expect(&answer, 0, 1, "4-5");
	get(world.root_fd, "run/system.control/good.service.d/50-AllowedCPUs.conf", text,
	    sizeof(text));
	assert_non_null(strstr(text, "AllowedCPUs=4-5\n"));
	/* Ours goes, the neighbour stays, and with it the directory. */
	ask(&world, APPLY_SET, "good.service", "1", "", "", &answer);
	expect(&answer, 0, 1, "1");
	ask(&world, APPLY_RESTORE, "good.service", "1", "", "2-3", &answer);
	expect(&answer, 0, 1, "2-3");
	assert_false(is_there(&world, "run/system.control/good.service.d/50-AllowedCPUs.conf"));
	assert_true(is_there(&world, "run/system.control/good.service.d/50-CPUWeight.conf"));
	world_done(&world);
}

static void the_bus_may_vanish_and_come_back(void **state)
{
	struct world world;
	struct apply_answer answer;

	(void)state;
	world_init(&world);
	make_cgroup(&world, "good.service");
	make_cgroup(&world, "vanishing.service");
	ask(&world, APPLY_SET, "good.service", "0-3", "", "", &answer);
	expect(&answer, 0, 1, "0-3");
	ask(&world, APPLY_SET, "vanishing.service", "0-3", "", "", &answer);
	expect(&answer, -ENOTCONN, 0, "");
	/* Nobody answers: said at once, and never "gone", though the bus's socket is. */
	ask(&world, APPLY_SET, "good.service", "0-2", "", "", &answer);
	expect(&answer, -ENOTCONN, 0, "");
	stop(&world.manager_pid);
	stop(&world.bus_pid);
	start_bus(&world);
	start_manager(&world);
	ask(&world, APPLY_SET, "good.service", "0-2", "", "", &answer);
	expect(&answer, 0, 1, "0-2");
	/* Restarted while the connection was idle: one more try is made. */
	stop(&world.manager_pid);
	stop(&world.bus_pid);
	start_bus(&world);
	start_manager(&world);
	ask(&world, APPLY_SET, "good.service", "0-1", "", "", &answer);
	expect(&answer, 0, 1, "0-1");
	/* The bus without PID 1 on it. */
	stop(&world.manager_pid);
	ask(&world, APPLY_SET, "good.service", "0-2", "", "", &answer);
	assert_true(answer.error < 0 && answer.error != -ENOENT && answer.error != -ESRCH &&
		    answer.error != -ENODEV);
	world_done(&world);
}

static void units_need_the_bus(void **state)
{
	struct world world;
	struct apply_answer answer;

	(void)state;
	world_init(&world);
	world.applier.use_bus = false;
	ask(&world, APPLY_SET, "good.service", "0-3", "", "", &answer);
	expect(&answer, -ENOTCONN, 0, "");
	world_done(&world);
}

static void names_are_checked(void **state)
{
	static const char *const names[] = {
		"",
		"good",
		".service",
		"a/b.service",
		"../x.service",
		"a b.service",
		"a\nb.service",
		"-.slice",
		"x.target",
		"x.timer",
		"x.service\t",
		"\xff.service",
		"x.service/",
	};
	struct world world;

	(void)state;
	world_init(&world);
	for (size_t i = 0; i < N_ELEMENTS(names); i++) {
		struct apply_answer answer;

		ask(&world, APPLY_SET, names[i], "0", "", "", &answer);
		if (answer.error != -EINVAL)
			fail_msg("'%s': %d", names[i], answer.error);
	}
	assert_null(world.applier.bus); /* nobody was even asked */
	world_done(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sets_what_differs_and_reads_it_back),
		cmocka_unit_test(success_of_pid_1_is_not_believed),
		cmocka_unit_test(foreign_writes_are_set_right_again),
		cmocka_unit_test(failures_are_sorted),
		cmocka_unit_test(memory_is_set_before_the_start),
		cmocka_unit_test(restores_without_a_trace),
		cmocka_unit_test(foreign_dropins_stay),
		cmocka_unit_test(the_bus_may_vanish_and_come_back),
		cmocka_unit_test(units_need_the_bus),
		cmocka_unit_test(names_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
