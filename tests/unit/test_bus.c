/* What can be read on D-Bus, and what is signalled. */
#include "bus_fixture.h"

static void everything_can_be_read(void **state)
{
	/* clang-format off */
	static const struct {
		const char *path, *interface, *property, *value;
	} rows[] = {
		{ PATH, MANAGER, "Version", SIDECARD_VERSION },
		{ PATH, MANAGER, "Generation", "2" },
		{ PATH, MANAGER, "Optimal", "true" },
		{ PATH, MANAGER, "BoundItem", "0" },
		{ PATH, MANAGER, "NWorkloads", "2" },
		{ PATH, MANAGER, "NUnplaced", "0" },
		{ PATH, MANAGER, "CPUs", "0-3" },
		{ PATH, MANAGER, "Housekeeping", "0" },
		{ PATH "/workload/w00001", WORKLOAD, "Name", "w00001" },
		{ PATH "/workload/w00001", WORKLOAD, "Role", "data-plane" },
		{ PATH "/workload/w00001", WORKLOAD, "Pool", "default" },
		{ PATH "/workload/w00001", WORKLOAD, "Placed", "true" },
		{ PATH "/workload/w00001", WORKLOAD, "Exclusive", "true" },
		{ PATH "/workload/w00001", WORKLOAD, "CPUs", "2-3" },
		{ PATH "/workload/w00001", WORKLOAD, "Nodes", "1" },
		{ PATH "/workload/w00001", WORKLOAD, "Mems", "1" },
		{ PATH "/workload/w00001", WORKLOAD, "NPU", "2" },
		{ PATH "/workload/w00001", WORKLOAD, "NCore", "1" },
		{ PATH "/workload/w00001", WORKLOAD, "QuotaMCPU", "4294967295" },
		{ PATH "/workload/w00001", WORKLOAD, "Parallelism", "7" },
		{ PATH "/workload/w00001", WORKLOAD, "ParallelismFloor", "2" },
		{ PATH "/workload/w00001", WORKLOAD, "ParallelismCeil", "3" },
		{ PATH "/workload/w00001", WORKLOAD, "LimitedBy", "partition" },
		{ PATH "/workload/w00001", WORKLOAD, "Reason", "" },
		{ PATH "/workload/w00001", WORKLOAD, "Generation", "2" },
		{ PATH "/workload/w00000", WORKLOAD, "Generation", "1" },
		{ PATH "/workload/w00000", WORKLOAD, "Exclusive", "false" },
		{ PATH "/pool/default", "io.sidecard1.Pool", "Name", "default" },
		{ PATH "/pool/default", "io.sidecard1.Pool", "CPUs", "" },
		{ PATH "/pool/default", "io.sidecard1.Pool", "Workloads", "w00000,w00001" },
		{ PATH "/node/1", "io.sidecard1.Node", "Number", "1" },
		{ PATH "/node/1", "io.sidecard1.Node", "CPUs", "2-3" },
		{ PATH "/node/1", "io.sidecard1.Node", "NPU", "2" },
		{ PATH "/node/1", "io.sidecard1.Node", "Memory", "2097152" },
		{ PATH "/node/1", "io.sidecard1.Node", "ExclusiveCPUs", "2-3" },
		{ PATH "/node/1", "io.sidecard1.Node", "Owners", "w00001" },
		{ PATH "/node/0", "io.sidecard1.Node", "ExclusiveCPUs", "" },
		{ PATH "/node/0", "io.sidecard1.Node", "Owners", "" },
	};
	/* clang-format on */
	struct fixture *f;

	(void)state;
	if (!dbus_daemon_is_installed())
		skip();
	f = fixture_new(2, POLICY_OPEN);
	f->published->confs[1]->exclusive = true;
	f->published->confs[1]->role = ROLE_DATA_PLANE;
	f->published->plan.workloads[1].parallelism.ceil = 3;
	cpuset_add_range(&f->published->plan.exclusive, 2, 3);
	published_change(f->published, 1, 7);
	bus_update(f->bus, f->published->changed);
	for (size_t i = 0; i < N_ELEMENTS(rows); i++)
		assert_property(f, rows[i].path, rows[i].interface, rows[i].property,
				rows[i].value);
	fixture_free(f);
}

static void methods_answer(void **state)
{
	/* clang-format off */
	static const struct {
		const char *why, *path, *interface, *member, *first, *second, *error;
	} rows[] = {
		{ "no such workload", PATH, MANAGER, "GetWorkload", "x", NULL,
		  "io.sidecard1.Error.NoSuchWorkload" },
		{ "a path is no name", PATH, MANAGER, "GetWorkload", "../x", NULL,
		  "io.sidecard1.Error.NoSuchWorkload" },
		{ "nothing to explain", PATH, MANAGER, "Explain", "x", NULL,
		  "io.sidecard1.Error.NoSuchWorkload" },
		{ "wrong arguments", PATH, MANAGER, "GetWorkload", NULL, NULL,
		  SD_BUS_ERROR_INVALID_ARGS },
		{ "no such method", PATH, MANAGER, "Nothing", NULL, NULL,
		  SD_BUS_ERROR_UNKNOWN_METHOD },
		{ "no such object", PATH "/workload/x", "org.freedesktop.DBus.Properties", "Get",
		  WORKLOAD, "Name", SD_BUS_ERROR_UNKNOWN_OBJECT },
		{ "no such node", PATH "/node/2", "org.freedesktop.DBus.Properties", "Get",
		  "io.sidecard1.Node", "Number", SD_BUS_ERROR_UNKNOWN_OBJECT },
		{ "one number, one path", PATH "/node/01", "org.freedesktop.DBus.Properties", "Get",
		  "io.sidecard1.Node", "Number", SD_BUS_ERROR_UNKNOWN_OBJECT },
		{ "no such pool", PATH "/pool/gold", "org.freedesktop.DBus.Properties", "Get",
		  "io.sidecard1.Pool", "Name", SD_BUS_ERROR_UNKNOWN_OBJECT },
		{ "nothing to write", PATH, "org.freedesktop.DBus.Properties", "Set", MANAGER,
		  "Generation", SD_BUS_ERROR_PROPERTY_READ_ONLY },
	};
	/* clang-format on */
	struct fixture *f;
	sd_bus_message *reply;
	const char *text;

	(void)state;
	if (!dbus_daemon_is_installed())
		skip();
	f = fixture_new(2, POLICY_OPEN);
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		reply = ask(f, rows[i].path, rows[i].interface, rows[i].member, rows[i].first,
			    rows[i].second);
		if (strcmp(error_of(reply), rows[i].error) != 0)
			fail_msg("%s: %s", rows[i].why, error_of(reply));
		sd_bus_message_unref(reply);
	}
	reply = ask(f, PATH, MANAGER, "GetWorkload", "w00001", NULL);
	assert_true(sd_bus_message_read_basic(reply, 'o', &text) > 0);
	assert_string_equal(text, PATH "/workload/w00001");
	sd_bus_message_unref(reply);
	reply = ask(f, PATH, MANAGER, "Explain", "w00000", NULL);
	assert_true(sd_bus_message_read_basic(reply, 's', &text) > 0);
	assert_string_equal(text, "because\n");
	sd_bus_message_unref(reply);
	reply = ask(f, PATH, MANAGER, "ListWorkloads", NULL, NULL);
	assert_string_equal(sd_bus_message_get_signature(reply, 1), "a(so)");
	sd_bus_message_unref(reply);
	fixture_free(f);
}

static unsigned n_objects(sd_bus_message *reply, const char *prefix)
{
	unsigned n = 0;
	const char *path;

	assert_true(sd_bus_message_enter_container(reply, 'a', "{oa{sa{sv}}}") > 0);
	while (sd_bus_message_enter_container(reply, 'e', "oa{sa{sv}}") > 0) {
		assert_true(sd_bus_message_read_basic(reply, 'o', &path) > 0);
		n += strncmp(path, prefix, strlen(prefix)) == 0;
		assert_true(sd_bus_message_skip(reply, "a{sa{sv}}") >= 0);
		assert_true(sd_bus_message_exit_container(reply) >= 0);
	}
	assert_true(sd_bus_message_rewind(reply, 1) >= 0);
	return n;
}

static void all_objects_are_listed(void **state)
{
	struct fixture *f;
	sd_bus_message *reply;

	(void)state;
	if (!dbus_daemon_is_installed())
		skip();
	f = fixture_new(40, POLICY_OPEN);
	published_add(f->published, "0.a_b-c", 1);
	bus_update(f->bus, f->published->changed);
	reply = ask(f, PATH, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", NULL, NULL);
	assert_int_equal(n_objects(reply, PATH "/workload/"), 41);
	assert_int_equal(n_objects(reply, PATH "/pool/"), 1);
	assert_int_equal(n_objects(reply, PATH "/node/"), 2);
	sd_bus_message_unref(reply);
	/* A name that a path cannot hold as it is. */
	reply = ask(f, PATH, MANAGER, "GetWorkload", "0.a_b-c", NULL);
	const char *path;
	assert_true(sd_bus_message_read_basic(reply, 'o', &path) > 0);
	assert_property(f, path, WORKLOAD, "Name", "0.a_b-c");
	sd_bus_message_unref(reply);
	fixture_free(f);
}

/* Signals as lines of text. */
struct heard {
	char text[8192];
	size_t n_text;
	unsigned n_properties, n_changed, n_added, n_removed;
	uint64_t generation; /* of the last Changed */
};

static void hear(struct heard *heard, const char *line)
{
	size_t n = strlen(line);

	if (heard->n_text + n + 1 < sizeof(heard->text)) {
		memcpy(heard->text + heard->n_text, line, n + 1);
		heard->n_text += n;
	}
}

/* "PATH PropertiesChanged Generation=N" */
static void hear_properties(struct heard *heard, sd_bus_message *signal)
{
	char line[512], value[256];
	const char *name;

	heard->n_properties++;
	assert_true(sd_bus_message_skip(signal, "s") >= 0);
	assert_true(sd_bus_message_enter_container(signal, 'a', "{sv}") > 0);
	while (sd_bus_message_enter_container(signal, 'e', "sv") > 0) {
		assert_true(sd_bus_message_read_basic(signal, 's', &name) > 0);
		variant_text(signal, value, sizeof(value));
		if (strcmp(name, "Generation") == 0) {
			snprintf(line, sizeof(line), "%s %s\n", sd_bus_message_get_path(signal),
				 value);
			hear(heard, line);
		}
		assert_true(sd_bus_message_exit_container(signal) >= 0);
	}
}

static int on_signal(sd_bus_message *signal, void *userdata, sd_bus_error *ret_error)
{
	struct heard *heard = userdata;
	const char *member = sd_bus_message_get_member(signal), *text;
	char line[512];
	uint64_t generation;

	(void)ret_error;
	if (strcmp(member, "PropertiesChanged") == 0) {
		hear_properties(heard, signal);
	} else if (strcmp(member, "Changed") == 0) {
		heard->n_changed++;
		assert_true(sd_bus_message_read_basic(signal, 't', &generation) > 0);
		heard->generation = generation;
		snprintf(line, sizeof(line), "Changed %llu", (unsigned long long)generation);
		hear(heard, line);
		assert_true(sd_bus_message_enter_container(signal, 'a', "s") > 0);
		while (sd_bus_message_read_basic(signal, 's', &text) > 0) {
			snprintf(line, sizeof(line), " %s", text);
			hear(heard, line);
		}
		hear(heard, "\n");
	} else {
		bool is_added = strcmp(member, "InterfacesAdded") == 0;

		heard->n_added += is_added;
		heard->n_removed += !is_added;
		assert_true(sd_bus_message_read_basic(signal, 'o', &text) > 0);
		snprintf(line, sizeof(line), "%c%s\n", is_added ? '+' : '-', text);
		hear(heard, line);
	}
	return 0;
}

static void listen_to_signals(struct fixture *f, struct heard *heard)
{
	assert_true(sd_bus_add_match_async(f->client, NULL,
					   "type='signal',sender='" NAME "',path_namespace='" PATH
					   "'",
					   on_signal, NULL, heard) >= 0);
	settle(f);
}

static void changes_are_signalled_once_with_one_generation(void **state)
{
	struct fixture *f;
	struct heard heard = { 0 };

	(void)state;
	if (!dbus_daemon_is_installed())
		skip();
	f = fixture_new(3, POLICY_OPEN);
	listen_to_signals(f, &heard);
	published_change(f->published, 1, 7);
	f->published->view.same_workloads = true;
	bus_update(f->bus, f->published->changed);
	settle(f);
	assert_string_equal(heard.text, PATH "/workload/w00001 2\n" PATH " 2\nChanged 2 w00001\n");
	/* An update in which nothing is new. */
	bus_update(f->bus, f->published->changed);
	settle(f);
	assert_int_equal(heard.n_changed, 1);
	assert_int_equal(heard.n_properties, 2);
	/* Two before the loop runs are one. */
	heard = (struct heard){ 0 };
	published_change(f->published, 0, 7);
	bus_update(f->bus, f->published->changed);
	published_change(f->published, 1, 8);
	bus_update(f->bus, f->published->changed);
	settle(f);
	assert_string_equal(heard.text, PATH "/workload/w00000 3\n" PATH "/workload/w00001 4\n" PATH
					     " 4\nChanged 4 w00000 w00001\n");
	fixture_free(f);
}

static void objects_come_and_go(void **state)
{
	struct fixture *f;
	struct heard heard = { 0 };

	(void)state;
	if (!dbus_daemon_is_installed())
		skip();
	f = fixture_new(3, POLICY_OPEN);
	listen_to_signals(f, &heard);
	f->published->view.generation++;
	published_remove(f->published, 1);
	published_add(f->published, "x", 2);
	bus_update(f->bus, f->published->changed);
	settle(f);
	assert_string_equal(heard.text, "-" PATH "/workload/w00001\n+" PATH "/workload/x\n" PATH
					" 2\nChanged 2 x\n");
	assert_property(f, PATH "/workload/x", WORKLOAD, "Generation", "2");
	assert_property(f, PATH "/workload/w00002", WORKLOAD, "Generation", "1");
	fixture_free(f);
}

static void a_bus_that_hangs_costs_little(void **state)
{
	enum { N = 3000 };
	struct fixture *f;
	struct heard heard = { 0 };
	uint64_t n_queued = 0, n_most = 0;

	(void)state;
	if (!dbus_daemon_is_installed())
		skip();
	f = fixture_new(N, POLICY_OPEN);
	listen_to_signals(f, &heard);
	kill(f->daemon, SIGSTOP);
	/* sd-bus asks for 8 MiB of socket buffer; three more rounds once that is full. */
	for (unsigned round = 0, n_full = 0; round < 60 && n_full < 3; round++) {
		for (size_t i = 0; i < N; i++)
			published_change(f->published, i, round + 3);
		bus_update(f->bus, f->published->changed);
		for (unsigned i = 0; i < 20; i++)
			sd_event_run(f->event, 1000);
		assert_true(sd_bus_get_n_queued_write(f->connection, &n_queued) >= 0);
		n_most = n_queued > n_most ? n_queued : n_most;
		n_full += n_most > 0;
	}
	assert_true(n_most > 0);
	assert_true(n_most < 300);
	kill(f->daemon, SIGCONT);
	for (unsigned i = 0; i < 100 * N_TURNS && heard.generation < f->published->view.generation;
	     i++)
		turn(f);
	assert_int_equal(heard.generation, f->published->view.generation);
	assert_true(heard.n_properties >= N); /* everybody's newest state was told */
	fixture_free(f);
}

static void the_next_one_gets_the_name(void **state)
{
	struct fixture *f;
	struct bus *next = NULL;
	struct fault fault = { 0 };
	sd_bus *connection;

	(void)state;
	if (!dbus_daemon_is_installed())
		skip();
	f = fixture_new(1, POLICY_OPEN);
	connection = connect_in_loop(f);
	assert_int_equal(bus_open(connection, &f->handler, &f->published->current, &next, &fault),
			 0);
	settle(f);
	assert_int_equal(bus_state(next), 0);
	f->bus = bus_free(f->bus); /* the connection stays open */
	settle(f);
	assert_property(f, PATH, MANAGER, "NWorkloads", "1");
	assert_int_equal(bus_state(next), 0);
	bus_free(next);
	sd_bus_close_unref(connection);
	fixture_free(f);
}

static void a_bus_that_dies_is_survived(void **state)
{
	struct fixture *f;

	(void)state;
	if (!dbus_daemon_is_installed())
		skip();
	f = fixture_new(1, POLICY_OPEN);
	assert_int_equal(bus_state(f->bus), 0);
	kill(f->daemon, SIGKILL);
	waitpid(f->daemon, NULL, 0);
	settle(f);
	assert_int_equal(bus_state(f->bus), -ENOTCONN);
	published_change(f->published, 0, 9);
	bus_update(f->bus, f->published->changed);
	settle(f);
	/* As the daemon does: another connection, everything anew. */
	bus_free(f->bus);
	sd_bus_close_unref(f->connection);
	sd_bus_close_unref(f->client);
	bus_daemon_start(f);
	bus_start(f);
	f->client = connect_in_loop(f);
	settle(f);
	assert_int_equal(bus_state(f->bus), 0);
	assert_property(f, PATH "/workload/w00000", WORKLOAD, "Parallelism", "9");
	fixture_free(f);
}

static int run_busctl(struct fixture *f, const char *verb, const char *path)
{
	char address[160];
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

		alarm(30);
		snprintf(address, sizeof(address), "--address=%s", f->address);
		dup2(null, 1);
		execlp("busctl", "busctl", address, verb, NAME, path, NULL);
		_exit(127);
	}
	while (waitpid(pid, &status, WNOHANG) == 0)
		turn(f);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static void busctl_understands_us(void **state)
{
	static const char *const paths[] = { PATH, PATH "/workload/w00000", PATH "/pool/default",
					     PATH "/node/0" };
	struct fixture *f;

	(void)state;
	if (!dbus_daemon_is_installed() || access("/usr/bin/busctl", X_OK) < 0)
		skip();
	f = fixture_new(1, POLICY_OPEN);
	for (size_t i = 0; i < N_ELEMENTS(paths); i++)
		assert_int_equal(run_busctl(f, "introspect", paths[i]), 0);
	assert_int_equal(run_busctl(f, "tree", NULL), 0);
	fixture_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_can_be_read),
		cmocka_unit_test(methods_answer),
		cmocka_unit_test(all_objects_are_listed),
		cmocka_unit_test(changes_are_signalled_once_with_one_generation),
		cmocka_unit_test(objects_come_and_go),
		cmocka_unit_test(a_bus_that_hangs_costs_little),
		cmocka_unit_test(the_next_one_gets_the_name),
		cmocka_unit_test(a_bus_that_dies_is_survived),
		cmocka_unit_test(busctl_understands_us),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
