/* Who may change something over D-Bus. */
#include "bus_fixture.h"

static void who_reloads_is_what_the_bus_says(void **state)
{
	struct fixture *f;
	sd_bus_message *reply;

	(void)state;
	if (!dbus_daemon_is_installed())
		skip();
	f = fixture_new(1, POLICY_OPEN);
	reply = ask(f, PATH, MANAGER, "Reload", NULL, NULL);
	assert_string_equal(error_of(reply), "(none)");
	assert_int_equal(f->asked.n_reload, 1);
	assert_int_equal(f->asked.peer.pid, getpid());
	assert_int_equal(f->asked.peer.uid, getuid());
	assert_true(f->asked.peer.pidfd >= 0 && f->asked.peer.start_time > 0);
	assert_true(f->asked.peer.is_privileged);
	sd_bus_message_unref(reply);
	f->asked.result = -EINVAL;
	f->asked.fault = "a.conf:1: [CPU] Min: '0'";
	reply = ask(f, PATH, MANAGER, "Reload", NULL, NULL);
	assert_string_equal(error_of(reply), "io.sidecard1.Error.ConfigurationFaulty");
	assert_string_equal(sd_bus_message_get_error(reply)->message, "a.conf:1: [CPU] Min: '0'");
	sd_bus_message_unref(reply);
	fixture_free(f);
}

static void without_knowing_who_nothing_is_changed(void **state)
{
	struct fixture *f;
	struct fault fault;
	sd_bus_message *reply;

	(void)state;
	if (!dbus_daemon_is_installed())
		skip();
	f = fixture_new(1, POLICY_OPEN);
	bus_free(f->bus);
	assert_int_equal(
		bus_open(f->connection, &f->handler, &f->published->current, &f->bus, &fault), 0);
	settle(f);
	reply = ask(f, PATH, MANAGER, "Reload", NULL, NULL); /* no bus_set_sys() */
	assert_string_equal(error_of(reply), SD_BUS_ERROR_ACCESS_DENIED);
	assert_int_equal(f->asked.n_reload, 0);
	sd_bus_message_unref(reply);
	fixture_free(f);
}

static bool name_has_owner(sd_bus *bus, const char *name)
{
	sd_bus_message *call = NULL, *reply = NULL;
	int has_owner = 0;

	assert_true(sd_bus_message_new_method_call(bus, &call, "org.freedesktop.DBus",
						   "/org/freedesktop/DBus", "org.freedesktop.DBus",
						   "NameHasOwner") >= 0);
	assert_true(sd_bus_message_append_basic(call, 's', name) >= 0);
	assert_true(sd_bus_call(bus, call, 0, NULL, &reply) >= 0);
	assert_true(sd_bus_message_read_basic(reply, 'b', &has_owner) > 0);
	sd_bus_message_unref(call);
	sd_bus_message_unref(reply);
	return has_owner;
}

static void a_caller_that_vanished_changes_nothing(void **state)
{
	struct fixture *f;
	sd_bus *hasty, *witness;
	sd_bus_message *call = NULL;
	char unique[64];
	const char *name;

	(void)state;
	if (!dbus_daemon_is_installed())
		skip();
	f = fixture_new(1, POLICY_OPEN);
	hasty = connect_to(f);
	witness = connect_to(f);
	assert_true(sd_bus_get_unique_name(hasty, &name) >= 0);
	snprintf(unique, sizeof(unique), "%s", name);
	assert_true(sd_bus_message_new_method_call(hasty, &call, NAME, PATH, MANAGER, "Reload") >=
		    0);
	assert_true(sd_bus_send(hasty, call, NULL) >= 0);
	sd_bus_message_unref(call);
	assert_true(sd_bus_flush(hasty) >= 0);
	sd_bus_close_unref(hasty);
	while (name_has_owner(witness, unique))
		;
	sd_bus_close_unref(witness);
	settle(f); /* only now do we see the call, from nobody */
	assert_int_equal(f->asked.n_reload, 0);
	assert_property(f, PATH, MANAGER, "NWorkloads", "1"); /* and go on */
	fixture_free(f);
}

static void waiting_calls_are_bounded(void **state)
{
	enum { N = 40 };
	struct fixture *f;
	sd_bus_message *replies[N] = { 0 };
	sd_bus_slot *slots[N] = { 0 };
	unsigned n_refused = 0, n_done = 0;

	(void)state;
	if (!dbus_daemon_is_installed())
		skip();
	f = fixture_new(1, POLICY_OPEN);
	for (size_t i = 0; i < N; i++) {
		sd_bus_message *call = NULL;

		assert_true(sd_bus_message_new_method_call(f->client, &call, NAME, PATH, MANAGER,
							   "Reload") >= 0);
		assert_true(sd_bus_call_async(f->client, &slots[i], call, on_answer, &replies[i],
					      0) >= 0);
		sd_bus_message_unref(call);
	}
	settle(f);
	for (size_t i = 0; i < N; i++) {
		assert_non_null(replies[i]);
		n_refused += strcmp(error_of(replies[i]), SD_BUS_ERROR_LIMITS_EXCEEDED) == 0;
		n_done += !sd_bus_message_is_method_error(replies[i], NULL);
		sd_bus_message_unref(replies[i]);
		sd_bus_slot_unref(slots[i]);
	}
	assert_int_equal(n_refused + n_done, N);
	assert_int_equal(n_done, f->asked.n_reload);
	assert_true(n_done >= 16);
	fixture_free(f);
}

/* Runs in a process of another user: one blocking call. 0 done, 1 refused by the bus or by us, 2
 * anything else. */
static int stranger_calls(const struct fixture *f, const char *interface, const char *member)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *call = NULL, *reply = NULL;
	sd_bus *bus;
	int r;

	if (setgid(65534) < 0 || setuid(65534) < 0)
		return 2;
	bus = connect_to(f);
	if (!interface) { /* takes the name for itself */
		r = sd_bus_request_name(bus, NAME, 0);
		return r >= 0 ? 0 : r == -EACCES ? 1 : 2;
	}
	if (sd_bus_message_new_method_call(bus, &call, NAME, PATH, interface, member) < 0)
		return 2;
	r = sd_bus_call(bus, call, 0, &error, &reply);
	return r >= 0 ? 0 : sd_bus_error_has_name(&error, SD_BUS_ERROR_ACCESS_DENIED) ? 1 : 2;
}

static int in_a_child(struct fixture *f, const char *interface, const char *member)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		alarm(30);
		_exit(stranger_calls(f, interface, member));
	}
	while (waitpid(pid, &status, WNOHANG) == 0)
		turn(f);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 3;
}

static void strangers_read_and_change_nothing(void **state)
{
	static const struct {
		const char *interface, *member;
		int result;
	} rows[] = {
		{ MANAGER, "Reload", 1 },
		{ MANAGER, "ListWorkloads", 0 },
		{ "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", 0 },
		{ "org.freedesktop.DBus.Introspectable", "Introspect", 0 },
		{ "org.freedesktop.DBus.Peer", "Ping", 0 },
	};

	(void)state;
	if (!dbus_daemon_is_installed() || getuid() != 0)
		skip(); /* only root can become somebody else */
	for (enum bus_policy policy = POLICY_OPEN; policy <= POLICY_INSTALLED; policy++) {
		struct fixture *f = fixture_new(1, policy);

		for (size_t i = 0; i < N_ELEMENTS(rows); i++)
			if (in_a_child(f, rows[i].interface, rows[i].member) != rows[i].result)
				fail_msg("policy %d: %s", (int)policy, rows[i].member);
		assert_int_equal(f->asked.n_reload, 0);
		/* A method that the policy does not name is closed to strangers even before it
		 * exists here. */
		assert_int_equal(in_a_child(f, MANAGER, "Later"), policy == POLICY_OPEN ? 2 : 1);
		/* Open: somebody, we, has the name already. */
		assert_int_equal(in_a_child(f, NULL, NULL), policy == POLICY_OPEN ? 2 : 1);
		/* Root may, by the same policy. */
		sd_bus_message_unref(ask(f, PATH, MANAGER, "Reload", NULL, NULL));
		assert_int_equal(f->asked.n_reload, 1);
		fixture_free(f);
	}
}

/* In a process of another user: how many of @n calls to Explain were answered, at most 250; 255 on
 * any error but the one that is expected. */
static int stranger_explains(const struct fixture *f, unsigned n)
{
	unsigned n_done = 0;
	sd_bus *bus;

	if (setgid(65534) < 0 || setuid(65534) < 0)
		return 255;
	bus = connect_to(f);
	for (unsigned i = 0; i < n; i++) {
		sd_bus_error error = SD_BUS_ERROR_NULL;
		sd_bus_message *call = NULL;

		if (sd_bus_message_new_method_call(bus, &call, NAME, PATH, MANAGER, "Explain") <
			    0 ||
		    sd_bus_message_append_basic(call, 's', "w00000") < 0)
			return 255;
		if (sd_bus_call(bus, call, 0, &error, NULL) >= 0)
			n_done++;
		else if (!sd_bus_error_has_name(&error, SD_BUS_ERROR_LIMITS_EXCEEDED))
			return 255;
		sd_bus_error_free(&error);
		sd_bus_message_unref(call);
	}
	return (int)(n_done < 250 ? n_done : 250);
}

static int explains_in_a_child(struct fixture *f, unsigned n)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		alarm(60);
		_exit(stranger_explains(f, n));
	}
	while (waitpid(pid, &status, WNOHANG) == 0)
		turn(f);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static uint64_t frozen_now_us(const struct sys *sys)
{
	(void)sys;
	return 5000000;
}

/* The clock stands still: 51 explanations of 2 ms are what a user has at once. */
static void who_asks_too_much_is_refused(void **state)
{
	struct fixture *f;
	sd_bus_message *reply;

	(void)state;
	if (!dbus_daemon_is_installed() || getuid() != 0)
		skip(); /* only root can become somebody else */
	f = fixture_new(1, POLICY_OPEN);
	f->sys.now_us = frozen_now_us;
	assert_int_equal(explains_in_a_child(f, 200), 51);
	/* Another connection is no way out, but for the moment until the bus has told whose it is.
	 */
	assert_in_range(explains_in_a_child(f, 200), 0, 32);
	for (unsigned i = 0; i < 100; i++) {
		reply = ask(f, PATH, MANAGER, "Explain", "w00000", NULL);
		assert_false(sd_bus_message_is_method_error(reply, NULL));
		sd_bus_message_unref(reply);
	}
	fixture_free(f);
}

/* A reload that has to ask plugins first is answered when they are known. */
static void a_reload_may_take_its_time(void **state)
{
	struct fixture *f;
	sd_bus_message *replies[2] = { 0 };
	sd_bus_slot *slots[2] = { 0 };
	struct fault_list faults = { 0 };

	(void)state;
	if (!dbus_daemon_is_installed())
		skip();
	f = fixture_new(1, POLICY_OPEN);
	f->asked.result = PUBLISH_LATER;
	for (size_t i = 0; i < 2; i++) {
		sd_bus_message *call = NULL;

		assert_true(sd_bus_message_new_method_call(f->client, &call, NAME, PATH, MANAGER,
							   "Reload") >= 0);
		assert_true(sd_bus_call_async(f->client, &slots[i], call, on_answer, &replies[i],
					      0) >= 0);
		sd_bus_message_unref(call);
	}
	settle(f);
	assert_int_equal(f->asked.n_reload, 2);
	assert_null(replies[0]);
	assert_null(replies[1]);
	fault_list_add(&faults, "a.conf:2: [Workload] Plugin: not there");
	bus_reload_finished(f->bus, 0, &faults);
	settle(f);
	for (size_t i = 0; i < 2; i++) {
		assert_non_null(replies[i]);
		assert_false(sd_bus_message_is_method_error(replies[i], NULL));
		sd_bus_message_unref(replies[i]);
		sd_bus_slot_unref(slots[i]);
	}
	fault_list_done(&faults);
	fixture_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_reloads_is_what_the_bus_says),
		cmocka_unit_test(without_knowing_who_nothing_is_changed),
		cmocka_unit_test(a_caller_that_vanished_changes_nothing),
		cmocka_unit_test(waiting_calls_are_bounded),
		cmocka_unit_test(strangers_read_and_change_nothing),
		cmocka_unit_test(who_asks_too_much_is_refused),
		cmocka_unit_test(a_reload_may_take_its_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
