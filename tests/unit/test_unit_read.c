/* Units that PID 1 knows but that do not run: a mock of org.freedesktop.systemd1 at the other end
 * of a socket. */
#include "world_fixture.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <systemd/sd-id128.h>

#define DESTINATION  "org.freedesktop.systemd1"
#define MANAGER_PATH "/org/freedesktop/systemd1"

struct mock_unit {
	const char *name, *load_state, *slice, *control_group;
	uint64_t quota_us, weight;
	bool transient;
};

struct mock {
	struct fixture *f;
	sd_bus *server, *client;
	struct mock_unit units[8];
	size_t n_units;
	unsigned n_gets, n_subscribes;
	const char *error; /* answer everything by this error */
	bool wrong_types;  /* answer strings for numbers and numbers for strings */
};

static const struct mock_unit *mock_find(const struct mock *mock, sd_bus_message *call)
{
	cleanup(freep) char *name = NULL;

	if (sd_bus_path_decode(sd_bus_message_get_path(call), MANAGER_PATH "/unit", &name) <= 0)
		return NULL;
	for (size_t i = 0; i < mock->n_units; i++)
		if (strcmp(mock->units[i].name, name) == 0)
			return &mock->units[i];
	return NULL;
}

static int reply_with(sd_bus_message *call, const char *type, const void *value)
{
	cleanup(sd_bus_message_unrefp) sd_bus_message *reply = NULL;

	assert_true(sd_bus_message_new_method_return(call, &reply) >= 0);
	assert_true(sd_bus_message_open_container(reply, 'v', type) >= 0);
	assert_true(sd_bus_message_append_basic(reply, *type, value) >= 0);
	assert_true(sd_bus_message_close_container(reply) >= 0);
	return sd_bus_send(NULL, reply, NULL);
}

static int mock_get(struct mock *mock, sd_bus_message *call)
{
	const struct mock_unit *unit = mock_find(mock, call);
	static const struct mock_unit unknown = { .load_state = "not-found",
						  .slice = "",
						  .control_group = "",
						  .quota_us = UINT64_MAX,
						  .weight = UINT64_MAX };
	const char *interface, *property;
	int flag;

	mock->n_gets++;
	assert_true(sd_bus_message_read_basic(call, 's', &interface) > 0);
	assert_true(sd_bus_message_read_basic(call, 's', &property) > 0);
	unit = unit ? unit : &unknown;
	flag = unit->transient;
	if (mock->error)
		return sd_bus_reply_method_errorf(call, mock->error, "so it is");
	if (mock->wrong_types)
		return reply_with(call, strcmp(property, "CPUWeight") == 0 ? "s" : "t",
				  strcmp(property, "CPUWeight") == 0 ? (const void *)"x"
								     : &unit->weight);
	if (strcmp(property, "LoadState") == 0)
		return reply_with(call, "s", unit->load_state);
	if (strcmp(property, "Transient") == 0)
		return reply_with(call, "b", &flag);
	if (strcmp(property, "Slice") == 0)
		return reply_with(call, "s", unit->slice);
	if (strcmp(property, "ControlGroup") == 0)
		return reply_with(call, "s", unit->control_group);
	if (strcmp(property, "CPUQuotaPerSecUSec") == 0)
		return reply_with(call, "t", &unit->quota_us);
	if (strcmp(property, "CPUWeight") == 0)
		return reply_with(call, "t", &unit->weight);
	fail_msg("asked for '%s' of '%s'", property, interface);
	return 0;
}

static int on_message(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct mock *mock = userdata;

	(void)error;
	if (sd_bus_message_is_method_call(message, "org.freedesktop.DBus.Properties", "Get"))
		return mock_get(mock, message) < 0 ? -EIO : 1;
	if (sd_bus_message_is_method_call(message, DESTINATION ".Manager", "Subscribe")) {
		mock->n_subscribes++;
		return 1;
	}
	return 0;
}

static void mock_start(struct mock *mock, struct fixture *f)
{
	sd_id128_t id = { .qwords = { 1, 2 } };
	int fds[2];

	*mock = (struct mock){ .f = f };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
			 0);
	assert_true(sd_bus_new(&mock->server) >= 0);
	assert_true(sd_bus_set_fd(mock->server, fds[0], fds[0]) >= 0);
	assert_true(sd_bus_set_server(mock->server, 1, id) >= 0);
	assert_true(sd_bus_start(mock->server) >= 0);
	assert_true(sd_bus_attach_event(mock->server, f->event, 0) >= 0);
	assert_true(sd_bus_add_filter(mock->server, NULL, on_message, mock) >= 0);
	assert_true(sd_bus_new(&mock->client) >= 0);
	assert_true(sd_bus_set_fd(mock->client, fds[1], fds[1]) >= 0);
	assert_true(sd_bus_start(mock->client) >= 0);
	assert_true(sd_bus_attach_event(mock->client, f->event, 0) >= 0);
}

static void mock_unit(struct mock *mock, const char *name, const char *slice, uint64_t quota_us)
{
	mock->units[mock->n_units++] = (struct mock_unit){ .name = name,
							   .load_state = "loaded",
							   .slice = slice,
							   .control_group = "",
							   .quota_us = quota_us,
							   .weight = UINT64_MAX };
}

static void mock_signal(struct mock *mock, const char *member, const char *name)
{
	cleanup(sd_bus_message_unrefp) sd_bus_message *signal = NULL;
	int off = 0;

	assert_true(sd_bus_message_new_signal(mock->server, &signal, MANAGER_PATH,
					      DESTINATION ".Manager", member) >= 0);
	if (name) {
		assert_true(sd_bus_message_append_basic(signal, 's', name) >= 0);
		assert_true(sd_bus_message_append_basic(signal, 'o', MANAGER_PATH "/unit/x") >= 0);
	} else {
		assert_true(sd_bus_message_append_basic(signal, 'b', &off) >= 0);
	}
	assert_true(sd_bus_send(mock->server, signal, NULL) >= 0);
	fixture_run(mock->f);
}

static void mock_changed(struct mock *mock, const char *name)
{
	cleanup(freep) char *path = NULL;

	assert_true(sd_bus_path_encode(MANAGER_PATH "/unit", name, &path) >= 0);
	assert_true(sd_bus_emit_signal(mock->server, path, "org.freedesktop.DBus.Properties",
				       "PropertiesChanged", "sa{sv}as", DESTINATION ".Unit", 0,
				       0) >= 0);
	fixture_run(mock->f);
}

static void mock_done(struct mock *mock)
{
	fixture_free(mock->f);
	sd_bus_close_unref(mock->client);
	sd_bus_close_unref(mock->server);
}

static void inactive_units_have_their_limits(void **state)
{
	struct fixture *f = fixture_new();
	struct mock mock;
	size_t n;
	const struct place *place;

	(void)state;
	mock_start(&mock, f);
	mock_unit(&mock, "proxy.service", "net-proxy.slice", 1500000);
	mock_unit(&mock, "net-proxy.slice", "net.slice", UINT64_MAX);
	mock_unit(&mock, "net.slice", "", 1000000);
	mock.units[2].weight = 300;
	workload_unit(f, "p", "proxy.service");
	workload_unit(f, "q", "absent.service");
	workload_unit(f, "r", "glob*.service");
	fixture_start_with(f, mock.client, NULL);
	fixture_run(f);
	assert_int_equal(mock.n_subscribes, 1);
	assert_int_equal(f->changes, WORLD_PLACES);
	place = world_places(f->world, &n);
	assert_int_equal(n, 1);
	assert_string_equal(place->unit, "proxy.service");
	assert_string_equal(place->cgroup, "");
	assert_int_equal(place->cgroup_id, 0);
	assert_int_equal(quota_at(f, "/net.slice/net-proxy.slice/proxy.service"), 1500);
	assert_int_equal(quota_at(f, "/net.slice/net-proxy.slice"), QUOTA_UNLIMITED_MCPU);
	assert_int_equal(quota_at(f, "/net.slice"), 1000);
	assert_int_equal(world_limits(f->world, &n)[limit_at(f, "/net.slice")].weight, 300);
	assert_int_equal(world_limit_of(f->world, 0),
			 limit_at(f, "/net.slice/net-proxy.slice/proxy.service"));

	/* Its quota changes while it does not run: straight to the limit, indices kept. */
	fixture_forget(f);
	mock.units[0].quota_us = 500000;
	mock_changed(&mock, "proxy.service");
	assert_int_equal(quota_at(f, "/net.slice/net-proxy.slice/proxy.service"), 500);
	assert_int_equal(f->n_quota, 1);
	assert_int_equal(f->n_changed, 0);

	/* It starts: the same limits, now real ones. */
	cgroup_make(f, "/net.slice");
	cgroup_make(f, "/net.slice/net-proxy.slice");
	cgroup_make(f, "/net.slice/net-proxy.slice/proxy.service");
	put(f, "/net.slice/net-proxy.slice/proxy.service/cpu.max", "50000 100000\n");
	put(f, "/net.slice/cpu.max", "100000 100000\n");
	fixture_run(f);
	place = world_places(f->world, &n);
	assert_int_equal(n, 1);
	assert_string_equal(place->cgroup, "/net.slice/net-proxy.slice/proxy.service");
	assert_true(place->cgroup_id != 0);
	assert_int_equal(quota_at(f, "/net.slice"), 1000);
	put(f, "/net.slice/net-proxy.slice/proxy.service/cpu.max", "70000 100000\n");
	fixture_forget(f);
	fixture_run(f);
	assert_int_equal(f->n_quota, 1);

	/* It stops: expected again. */
	cgroup_remove(f, "/net.slice");
	fixture_run(f);
	place = world_places(f->world, &n);
	assert_int_equal(n, 1);
	assert_string_equal(place->cgroup, "");
	assert_int_equal(quota_at(f, "/net.slice/net-proxy.slice/proxy.service"), 500);

	/* The unit file goes, another comes: only a reload says so. */
	mock.units[0].load_state = "not-found";
	mock_unit(&mock, "absent.service", "system.slice", 250000);
	mock_signal(&mock, "Reloading", NULL);
	assert_true(f->changes & WORLD_DRIFT);
	place = world_places(f->world, &n);
	assert_int_equal(n, 1);
	assert_string_equal(place->unit, "absent.service");
	assert_int_equal(quota_at(f, "/system.slice/absent.service"), 250);
	mock_done(&mock);
}

static void transient_units_go(void **state)
{
	struct fixture *f = fixture_new();
	struct mock mock;
	unsigned n_gets;

	(void)state;
	mock_start(&mock, f);
	mock_unit(&mock, "run.service", "system.slice", UINT64_MAX);
	mock_unit(&mock, "file.service", "system.slice", UINT64_MAX);
	mock.units[0].transient = true;
	workload_unit(f, "a", "run.service");
	workload_unit(f, "b", "file.service");
	fixture_start_with(f, mock.client, NULL);
	fixture_run(f);
	assert_int_equal(n_places(f), 2);
	n_gets = mock.n_gets;
	/* PID 1 forgets both; the one with a file is still there for whoever asks, and asking would
	 * go round for ever. */
	mock_signal(&mock, "UnitRemoved", "run.service");
	mock_signal(&mock, "UnitRemoved", "file.service");
	mock_signal(&mock, "UnitNew", "file.service");
	assert_int_equal(n_places(f), 1);
	assert_int_equal(mock.n_gets, n_gets);
	mock_signal(&mock, "UnitNew", "run.service");
	assert_int_equal(n_places(f), 2);
	mock_done(&mock);
}

/* Another connection, as after a restart of the bus: what is known stays until PID 1 tells again.
 */
static void a_bus_that_comes_back_is_asked_again(void **state)
{
	struct fixture *f = fixture_new();
	struct mock first, second;

	(void)state;
	mock_start(&first, f);
	mock_unit(&first, "a.service", "system.slice", 1500000);
	workload_unit(f, "a", "a.service");
	fixture_start_with(f, first.client, NULL);
	fixture_run(f);
	assert_int_equal(quota_at(f, "/system.slice/a.service"), 1500);
	sd_bus_close(first.server);
	fixture_run(f);
	assert_int_equal(n_places(f), 1);
	assert_int_equal(quota_at(f, "/system.slice/a.service"), 1500);

	mock_start(&second, f);
	mock_unit(&second, "a.service", "system.slice", 2500000);
	assert_int_equal(world_set_bus(f->world, second.client), 0);
	assert_int_equal(quota_at(f, "/system.slice/a.service"), 1500);
	assert_true(world_is_known(f->world));
	fixture_run(f);
	assert_int_equal(second.n_subscribes, 1);
	assert_int_equal(quota_at(f, "/system.slice/a.service"), 2500);
	assert_int_equal(n_places(f), 1);
	/* It is followed again too. */
	second.units[0].quota_us = 500000;
	mock_changed(&second, "a.service");
	assert_int_equal(quota_at(f, "/system.slice/a.service"), 500);
	mock_done(&first);
	sd_bus_close_unref(second.client);
	sd_bus_close_unref(second.server);
}

/* A host where the bus came after us. */
static void a_bus_may_come_late(void **state)
{
	struct fixture *f = fixture_new();
	struct mock mock;

	(void)state;
	mock_start(&mock, f);
	mock_unit(&mock, "a.service", "system.slice", 1500000);
	workload_unit(f, "a", "a.service");
	fixture_start_with(f, NULL, NULL);
	fixture_run(f);
	assert_true(world_is_known(f->world));
	assert_int_equal(n_places(f), 0);
	assert_int_equal(world_set_bus(f->world, mock.client), 0);
	fixture_run(f);
	assert_int_equal(n_places(f), 1);
	assert_int_equal(quota_at(f, "/system.slice/a.service"), 1500);
	mock_done(&mock);
}

static void bad_answers_cost_nothing_but_the_answer(void **state)
{
	static const struct {
		const char *why, *error;
		bool wrong_types, kept;
	} rows[] = {
		{ "no answer in time", SD_BUS_ERROR_NO_REPLY, false, true },
		{ "PID 1 is not on the bus", SD_BUS_ERROR_SERVICE_UNKNOWN, false, true },
		{ "refused", SD_BUS_ERROR_ACCESS_DENIED, false, true },
		{ "not what was asked for", NULL, true, true },
		{ "no such unit", DESTINATION ".NoSuchUnit", false, false },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct fixture *f = fixture_new();
		struct mock mock;

		mock_start(&mock, f);
		mock_unit(&mock, "a.service", "system.slice", 1500000);
		workload_unit(f, "a", "a.service");
		fixture_start_with(f, mock.client, NULL);
		fixture_run(f);
		assert_int_equal(n_places(f), 1);
		mock.error = rows[i].error;
		mock.wrong_types = rows[i].wrong_types;
		mock_signal(&mock, "Reloading", NULL);
		if (n_places(f) != rows[i].kept)
			fail_msg("%s: %zu places", rows[i].why, n_places(f));
		assert_int_equal(!!strstr(f->all_notices, "PID 1 does not tell of unit"),
				 rows[i].kept);
		/* Directories still tell. */
		cgroup_make(f, "/system.slice");
		cgroup_make(f, "/system.slice/a.service");
		fixture_run(f);
		assert_non_null(place_at(f, "/system.slice/a.service"));
		mock.error = NULL;
		mock.wrong_types = false;
		cgroup_remove(f, "/system.slice");
		mock_signal(&mock, "Reloading", NULL);
		assert_int_equal(quota_at(f, "/system.slice/a.service"), 1500);
		mock_done(&mock);
	}
}

static void lies_of_pid_1_lead_nowhere(void **state)
{
	static const struct {
		const char *why, *slice, *control_group;
	} rows[] = {
		{ "a path out of the tree", "system.slice", "/../../etc/a.service" },
		{ "another unit's path", "system.slice", "/system.slice/b.service" },
		{ "payload of another", "system.slice", "/system.slice/b.service/a.service" },
		{ "no slice's name", "../x", "" },
		{ "a slice that is none", "-x.slice", "" },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct fixture *f = fixture_new();
		struct mock mock;

		mock_start(&mock, f);
		mock_unit(&mock, "a.service", rows[i].slice, UINT64_MAX);
		mock.units[0].control_group = rows[i].control_group;
		workload_unit(f, "a", "a.service");
		fixture_start_with(f, mock.client, NULL);
		fixture_run(f);
		if (n_places(f) != 0)
			fail_msg("%s: a place", rows[i].why);
		mock_done(&mock);
	}
}

static void the_bus_goes_away(void **state)
{
	struct fixture *f = fixture_new();
	struct mock mock;

	(void)state;
	mock_start(&mock, f);
	mock_unit(&mock, "a.service", "system.slice", 1500000);
	workload_unit(f, "a", "a.service");
	fixture_start_with(f, mock.client, NULL);
	fixture_run(f);
	sd_bus_close(mock.server);
	fixture_run(f);
	assert_int_equal(quota_at(f, "/system.slice/a.service"), 1500);
	assert_int_equal(world_rescan(f->world, NULL), 0);
	fixture_configure(f);
	assert_int_equal(n_places(f), 1); /* what was known */
	cgroup_make(f, "/system.slice");
	cgroup_make(f, "/system.slice/a.service");
	fixture_run(f);
	assert_non_null(place_at(f, "/system.slice/a.service"));
	mock_done(&mock);
}

/* A bus of our own: its daemon ends with it. False where there is none to be had. */
static bool bus_daemon_start(char address[static 256], pid_t *ret_pid)
{
	int fds[2];
	ssize_t n;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	*ret_pid = fork();
	if (*ret_pid == 0) {
		dup2(fds[1], 1);
		execlp("dbus-daemon", "dbus-daemon", "--session", "--nofork", "--nopidfile",
		       "--print-address=1", NULL);
		_exit(127);
	}
	close(fds[1]);
	n = read(fds[0], address, 255);
	close(fds[0]);
	address[n > 0 ? n : 0] = '\0';
	address[strcspn(address, "\n")] = '\0';
	if (n <= 0)
		waitpid(*ret_pid, NULL, 0);
	return n > 0;
}

static sd_bus *bus_connect(const char *address, sd_event *event)
{
	sd_bus *bus;

	assert_true(sd_bus_new(&bus) >= 0);
	assert_true(sd_bus_set_address(bus, address) >= 0);
	assert_true(sd_bus_set_bus_client(bus, 1) >= 0);
	assert_true(sd_bus_start(bus) >= 0);
	assert_true(sd_bus_attach_event(bus, event, 0) >= 0);
	return bus;
}

/* A generous bound, no measure. */
static void run_until_quota(struct fixture *f, uint32_t mcpu)
{
	for (int i = 0; i < 300; i++) {
		if (limit_at(f, "/system.slice/a.service") != LIMIT_NONE &&
		    quota_at(f, "/system.slice/a.service") == mcpu)
			return;
		sd_event_run(f->event, 100000);
	}
	fail_msg("never became %u", mcpu);
}

static void pid_1_restarts(void **state)
{
	struct mock mock = { 0 };
	char address[256];
	sd_bus *stranger;
	unsigned n_gets;
	pid_t pid;

	(void)state;
	if (!bus_daemon_start(address, &pid))
		skip();
	mock.f = fixture_new();
	mock.server = bus_connect(address, mock.f->event);
	mock.client = bus_connect(address, mock.f->event);
	stranger = bus_connect(address, mock.f->event);
	assert_true(sd_bus_add_filter(mock.server, NULL, on_message, &mock) >= 0);
	mock_unit(&mock, "a.service", "system.slice", 1500000);
	workload_unit(mock.f, "a", "a.service");
	/* PID 1 is not there yet. */
	fixture_start_with(mock.f, mock.client, NULL);
	for (int i = 0; i < 300 && !strstr(mock.f->all_notices, "PID 1 does not tell"); i++)
		sd_event_run(mock.f->event, 100000);
	assert_non_null(strstr(mock.f->all_notices, "PID 1 does not tell of unit"));
	assert_true(sd_bus_request_name(mock.server, DESTINATION, 0) >= 0);
	run_until_quota(mock.f, 1500);
	assert_true(mock.n_subscribes > 0);
	/* Its signals count; those of others, sent straight to us, do not. */
	mock.units[0].quota_us = 700000;
	n_gets = mock.n_gets;
	{
		cleanup(sd_bus_message_unrefp) sd_bus_message *forged = NULL;
		const char *us;
		int off = 0;

		assert_true(sd_bus_get_unique_name(mock.client, &us) >= 0);
		assert_true(sd_bus_message_new_signal(stranger, &forged, MANAGER_PATH,
						      DESTINATION ".Manager", "Reloading") >= 0);
		assert_true(sd_bus_message_append_basic(forged, 'b', &off) >= 0);
		assert_true(sd_bus_message_set_destination(forged, us) >= 0);
		assert_true(sd_bus_send(stranger, forged, NULL) >= 0);
		assert_true(sd_bus_flush(stranger) >= 0);
	}
	for (int i = 0; i < 5; i++)
		sd_event_run(mock.f->event, 100000);
	assert_int_equal(mock.n_gets, n_gets);
	mock_changed(&mock, "a.service");
	run_until_quota(mock.f, 700);
	/* It goes and comes back, as at daemon-reexec. */
	assert_true(sd_bus_release_name(mock.server, DESTINATION) >= 0);
	fixture_run(mock.f);
	mock.units[0].quota_us = 300000;
	assert_true(sd_bus_request_name(mock.server, DESTINATION, 0) >= 0);
	run_until_quota(mock.f, 300);
	mock_done(&mock);
	sd_bus_close_unref(stranger);
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(inactive_units_have_their_limits),
		cmocka_unit_test(transient_units_go),
		cmocka_unit_test(a_bus_that_comes_back_is_asked_again),
		cmocka_unit_test(a_bus_may_come_late),
		cmocka_unit_test(bad_answers_cost_nothing_but_the_answer),
		cmocka_unit_test(lies_of_pid_1_lead_nowhere),
		cmocka_unit_test(the_bus_goes_away),
		cmocka_unit_test(pid_1_restarts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
