/* Calls, replies, and clients that misbehave. */
#include "socket_fixture.h"

static void the_service_describes_itself(void **state)
{
	struct fixture *f = fixture_new(1);
	int fd = client_open(f);
	json_t *reply = client_ask(
		f, fd, "{\"method\":\"org.varlink.service.GetInfo\",\"parameters\":{}}");

	(void)state;
	/* varlinkctl info wants each of the five. */
	assert_string_equal(text_at(reply, "parameters.product"), "sidecard");
	assert_string_equal(text_at(reply, "parameters.version"), SIDECARD_VERSION);
	assert_true(json_is_string(at(reply, "parameters.vendor")));
	assert_true(json_is_string(at(reply, "parameters.url")));
	assert_string_equal(text_at(reply, "parameters.interfaces.0"), "io.sidecard");
	assert_string_equal(text_at(reply, "parameters.interfaces.1"), "org.varlink.service");
	assert_null(at(reply, "continues"));
	json_decref(reply);
	reply = client_ask(f, fd,
			   "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
			   "\"parameters\":{\"interface\":\"io.sidecard\"}}");
	assert_string_equal(text_at(reply, "parameters.description"),
			    varlink_interface_description("io.sidecard"));
	json_decref(reply);
	close(fd);
	fixture_free(f);
}

static void what_is_wrong_is_named(void **state)
{
	/* clang-format off */
	static const struct {
		const char *why, *call, *error, *field, *value;
	} rows[] = {
		{ "unknown interface", "{\"method\":\"a.b.C\"}",
		  "org.varlink.service.InterfaceNotFound", "interface", "a.b" },
		{ "unknown method", "{\"method\":\"io.sidecard.Nothing\"}",
		  "org.varlink.service.MethodNotFound", "method", "io.sidecard.Nothing" },
		{ "no interface", "{\"method\":\"Get\"}", "org.varlink.service.MethodNotFound",
		  "method", "Get" },
		{ "empty method", "{\"method\":\"\"}", "org.varlink.service.MethodNotFound",
		  "method", "" },
		{ "no description",
		  "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{"
		  "\"interface\":\"x.y\"}}", "org.varlink.service.InterfaceNotFound", "interface",
		  "x.y" },
		{ "missing parameter", "{\"method\":\"io.sidecard.Get\"}",
		  "org.varlink.service.InvalidParameter", "parameter", "name" },
		{ "unknown parameter", "{\"method\":\"io.sidecard.List\",\"parameters\":{\"x\":1}}",
		  "org.varlink.service.InvalidParameter", "parameter", "x" },
		{ "wrong type", "{\"method\":\"io.sidecard.Get\",\"parameters\":{\"name\":1}}",
		  "org.varlink.service.InvalidParameter", "parameter", "name" },
		{ "null where one is needed",
		  "{\"method\":\"io.sidecard.Get\",\"parameters\":{\"name\":null}}",
		  "org.varlink.service.InvalidParameter", "parameter", "name" },
		{ "negative", "{\"method\":\"io.sidecard.Watch\",\"parameters\":{\"after\":-1}}",
		  "org.varlink.service.InvalidParameter", "parameter", "after" },
		{ "a fraction", "{\"method\":\"io.sidecard.Watch\",\"parameters\":{\"after\":1.5}}",
		  "org.varlink.service.InvalidParameter", "parameter", "after" },
		{ "no other protocol", "{\"method\":\"io.sidecard.List\",\"upgrade\":true}",
		  "org.varlink.service.InvalidParameter", "parameter", "upgrade" },
		{ "no such workload",
		  "{\"method\":\"io.sidecard.Get\",\"parameters\":{\"name\":\"../x\"}}",
		  "io.sidecard.NoSuchWorkload", "name", "../x" },
		{ "none to explain",
		  "{\"method\":\"io.sidecard.Explain\",\"parameters\":{\"name\":\"x\"}}",
		  "io.sidecard.NoSuchWorkload", "name", "x" },
		{ "none to watch",
		  "{\"method\":\"io.sidecard.Watch\",\"parameters\":{\"name\":\"x\"},\"more\":tr"
		  "ue}", "io.sidecard.NoSuchWorkload", "name", "x" },
		{ "a path is no name",
		  "{\"method\":\"io.sidecard.Register\",\"parameters\":{\"workload\":\"a/b\"}}",
		  "io.sidecard.NoSuchWorkload", "name", "a/b" },
	};
	/* clang-format on */
	struct fixture *f = fixture_new(1);
	int fd = client_open(f);
	char path[64];

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		json_t *reply = client_ask(f, fd, rows[i].call);

		snprintf(path, sizeof(path), "parameters.%s", rows[i].field);
		if (strcmp(text_at(reply, "error"), rows[i].error) != 0 ||
		    strcmp(text_at(reply, path), rows[i].value) != 0)
			fail_msg("%s: %s", rows[i].why, json_dumps(reply, 0));
		json_decref(reply);
	}
	assert_int_equal(f->asked.n_register, 0);
	close(fd);
	fixture_free(f);
}

static void workloads_are_told(void **state)
{
	struct fixture *f = fixture_new(3);
	int fd = client_open(f);
	json_t *reply;

	(void)state;
	published_change(f->published, 1, 7);
	sockets_update(f->sockets, f->published->changed);
	reply = client_ask(f, fd,
			   "{\"method\":\"io.sidecard.Get\",\"parameters\":{\"name\":\"w00001\"}}");
	assert_string_equal(text_at(reply, "parameters.workload.name"), "w00001");
	assert_string_equal(text_at(reply, "parameters.workload.cpus"), "2-3");
	assert_int_equal(number_at(reply, "parameters.workload.parallelism.advised"), 7);
	assert_int_equal(number_at(reply, "parameters.workload.generation"), 2);
	json_decref(reply);
	reply = client_ask(f, fd, "{\"method\":\"io.sidecard.List\"}");
	assert_int_equal(number_at(reply, "parameters.generation"), 2);
	assert_int_equal(json_array_size(at(reply, "parameters.workloads")), 3);
	assert_int_equal(number_at(reply, "parameters.workloads.2.generation"), 1);
	json_decref(reply);
	reply = client_ask(
		f, fd, "{\"method\":\"io.sidecard.Explain\",\"parameters\":{\"name\":\"w00000\"}}");
	assert_int_equal(json_array_size(at(reply, "parameters.text")), 2);
	assert_string_equal(text_at(reply, "parameters.text.1"), "second");
	json_decref(reply);
	close(fd);
	fixture_free(f);
}

static void before_anything_is_published_nothing_is_told(void **state)
{
	struct fixture *f = fixture_new(1);
	int fd = client_open(f), watcher = client_open(f);
	json_t *reply;

	(void)state;
	f->published->current = NULL;
	reply = client_ask(f, fd, "{\"method\":\"io.sidecard.List\"}");
	assert_int_equal(json_array_size(at(reply, "parameters.workloads")), 0);
	json_decref(reply);
	reply = client_ask(f, fd,
			   "{\"method\":\"io.sidecard.Get\",\"parameters\":{\"name\":\"w00000\"}}");
	assert_string_equal(text_at(reply, "error"), "io.sidecard.NoSuchWorkload");
	json_decref(reply);
	client_call(f, watcher, "{\"method\":\"io.sidecard.Watch\",\"more\":true}");
	assert_true(client_is_waiting(f, watcher));
	f->published->current = &f->published->view;
	sockets_update(f->sockets, f->published->changed);
	reply = client_reply(f, watcher);
	assert_true(json_is_true(at(reply, "parameters.full")));
	json_decref(reply);
	close(fd);
	close(watcher);
	fixture_free(f);
}

static void malformed_bytes_close_their_own_connection_only(void **state)
{
	static const struct {
		const char *why, *bytes;
		size_t n_bytes;
	} rows[] = {
		{ "no JSON", TEXT("GET / HTTP/1.1\r\n\r\n\0") },
		{ "NULs",
		  TEXT("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0") },
		{ "invalid UTF-8", TEXT("{\"method\":\"\xc3(\"}\0") },
		{ "a key twice", TEXT("{\"method\":\"a\",\"method\":\"b\"}\0") },
		{ "a reply", TEXT("{\"error\":\"x\"}\0") },
	};
	struct fixture *f = fixture_new(1);
	int good = client_open(f);

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		int bad = client_open(f);
		json_t *reply;

		client_send(f, bad, rows[i].bytes, rows[i].n_bytes);
		reply = client_reply(f, bad);
		if (strcmp(text_at(reply, "error"), "io.sidecard.MalformedMessage") != 0)
			fail_msg("%s: %s", rows[i].why, reply ? json_dumps(reply, 0) : "(closed)");
		json_decref(reply);
		assert_true(client_is_closed(f, bad));
		close(bad);
		reply = client_ask(f, good, "{\"method\":\"io.sidecard.List\"}");
		assert_non_null(at(reply, "parameters.workloads"));
		json_decref(reply);
	}
	close(good);
	fixture_free(f);
}

static void sizes_and_depths_are_bounded(void **state)
{
	/* clang-format off */
	static const struct {
		const char *why, *text;
		char fill;
		size_t n_fill;
	} rows[] = {
		{ "70 KiB without an end", "{\"method\":\"", 'x', 70 * 1024 },
		{ "a thousand levels", "{\"method\":\"m\",\"parameters\":{\"x\":", '[', 1000 },
	};
	/* clang-format on */
	struct fixture *f = fixture_new(1);

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		size_t n_text = strlen(rows[i].text), n = n_text + rows[i].n_fill + 1;
		cleanup(freep) char *bytes = calloc(1, n);
		int fd = client_open(f);
		json_t *reply;

		memcpy(bytes, rows[i].text, n_text);
		memset(bytes + n_text, rows[i].fill, rows[i].n_fill);
		client_send(f, fd, bytes, n);
		reply = client_reply(f, fd);
		if (strcmp(text_at(reply, "error"), "io.sidecard.MalformedMessage") != 0)
			fail_msg("%s", rows[i].why);
		json_decref(reply);
		assert_true(client_is_closed(f, fd));
		close(fd);
	}
	fixture_free(f);
}

static void bytes_may_come_one_by_one_and_calls_together(void **state)
{
	static const char call[] =
		"{\"method\":\"io.sidecard.Get\",\"parameters\":{\"name\":\"w00001\"}}";
	enum { N_CALLS = 200 };
	struct fixture *f = fixture_new(2);
	int fd = client_open(f);
	cleanup(freep) char *many = malloc(N_CALLS * sizeof(call));
	json_t *reply;

	(void)state;
	for (size_t i = 0; i < sizeof(call); i++)
		client_send(f, fd, call + i, 1);
	reply = client_reply(f, fd);
	assert_string_equal(text_at(reply, "parameters.workload.name"), "w00001");
	json_decref(reply);
	for (size_t i = 0; i < N_CALLS; i++)
		memcpy(many + i * sizeof(call), call, sizeof(call));
	client_send(f, fd, many, N_CALLS * sizeof(call));
	for (size_t i = 0; i < N_CALLS; i++) {
		reply = client_reply(f, fd);
		assert_string_equal(text_at(reply, "parameters.workload.name"), "w00001");
		json_decref(reply);
	}
	assert_true(client_is_waiting(f, fd));
	close(fd);
	fixture_free(f);
}

static void half_closed_clients_still_get_their_answer(void **state)
{
	struct fixture *f = fixture_new(1);
	int silent = client_open(f), asking = client_open(f), watching = client_open(f),
	    poll_fd = client_open(f);
	json_t *reply;

	(void)state;
	shutdown(silent, SHUT_WR);
	assert_true(client_is_closed(f, silent));
	client_call(f, asking, "{\"method\":\"io.sidecard.List\"}");
	shutdown(asking, SHUT_WR);
	reply = client_reply(f, asking);
	assert_non_null(at(reply, "parameters.workloads"));
	json_decref(reply);
	assert_true(client_is_closed(f, asking));
	client_call(f, watching, "{\"method\":\"io.sidecard.Watch\",\"more\":true}");
	client_call(f, poll_fd, "{\"method\":\"io.sidecard.Watch\",\"parameters\":{\"after\":1}}");
	shutdown(watching, SHUT_WR);
	shutdown(poll_fd, SHUT_WR);
	json_decref(client_reply(f, watching));
	assert_true(client_is_waiting(f, watching));
	published_change(f->published, 0, 9);
	sockets_update(f->sockets, f->published->changed);
	reply = client_reply(f, watching);
	assert_int_equal(number_at(reply, "parameters.generation"), 2);
	json_decref(reply);
	json_decref(client_reply(f, poll_fd));
	assert_true(client_is_closed(f, poll_fd)); /* answered, and it will not ask again */
	close(silent);
	close(asking);
	close(watching);
	close(poll_fd);
	settle(f);
	assert_int_equal(f->sockets->n_connections, 0);
	fixture_free(f);
}

static void oneway_calls_are_done_without_a_word(void **state)
{
	struct fixture *f = fixture_new(1);
	int fd = client_open(f);
	json_t *reply;

	(void)state;
	client_call(f, fd, "{\"method\":\"io.sidecard.Heartbeat\",\"oneway\":true}");
	client_call(f, fd, "{\"method\":\"io.sidecard.List\",\"oneway\":true}");
	client_call(f, fd, "{\"method\":\"io.sidecard.Nothing\",\"oneway\":true}");
	assert_true(client_is_waiting(f, fd));
	assert_int_equal(f->asked.n_heartbeat, 1);
	reply = client_ask(f, fd, "{\"method\":\"io.sidecard.List\"}");
	assert_null(at(reply, "error"));
	json_decref(reply);
	/* Sent and gone: what was said still counts. */
	assert_true(send(fd, TEXT("{\"method\":\"io.sidecard.Release\",\"oneway\":true}\0"), 0) >
		    0);
	close(fd);
	settle(f);
	assert_int_equal(f->asked.n_release, 1);
	assert_int_equal(f->sockets->n_connections, 0);
	fixture_free(f);
}

static int stranger_floods(struct fixture *f)
{
	int fds[100];
	unsigned n_open = 0;

	for (size_t i = 0; i < N_ELEMENTS(fds); i++)
		fds[i] = child_connect(f);
	for (size_t i = 0; i < N_ELEMENTS(fds); i++)
		n_open += fds[i] >= 0 &&
			  child_asks(fds[i], "{\"method\":\"io.sidecard.List\"}", "w00000");
	return (int)n_open;
}

static void connections_are_counted_by_user(void **state)
{
	struct fixture *f;
	int good;

	(void)state;
	if (getuid() != 0)
		skip(); /* only root can become somebody else */
	f = fixture_new(1);
	good = client_open(f);
	assert_int_equal(in_a_child(f, 65534, stranger_floods), 64);
	json_decref(client_ask(f, good, "{\"method\":\"io.sidecard.List\"}"));
	close(good);
	fixture_free(f);
}

static void there_is_room_for_256(void **state)
{
	struct fixture *f = fixture_new(1);
	enum { N = 300 };
	unsigned n_served = 0;
	int fds[N];

	(void)state;
	for (size_t i = 0; i < N; i++) {
		fds[i] = client_try(f);
		assert_true(fds[i] >= 0);
		settle(f);
	}
	for (size_t i = 0; i < N; i++) {
		json_t *reply;

		client_call(f, fds[i], "{\"method\":\"io.sidecard.List\"}");
		reply = client_reply(f, fds[i]);
		n_served += reply != NULL;
		json_decref(reply);
	}
	assert_int_equal(n_served, 256);
	for (size_t i = 0; i < N; i++)
		close(fds[i]);
	settle(f);
	assert_int_equal(f->sockets->n_connections, 0);
	fds[0] = client_open(f);
	json_decref(client_ask(f, fds[0], "{\"method\":\"io.sidecard.List\"}"));
	close(fds[0]);
	fixture_free(f);
}

static bool timer_is_on(sd_event_source *source)
{
	int enabled = 0;

	assert_true(sd_event_source_get_enabled(source, &enabled) >= 0);
	return enabled != SD_EVENT_OFF;
}

static void the_silent_are_shown_out(void **state)
{
	struct fixture *f = fixture_new(1);
	int silent, half, spoken;

	(void)state;
	f->now_us = 1000000;
	assert_false(timer_is_on(f->sockets->handshake_timer));
	silent = client_open(f);
	half = client_open(f);
	spoken = client_open(f);
	client_send(f, half, TEXT("{\"method\":"));
	json_decref(client_ask(f, spoken, "{\"method\":\"io.sidecard.List\"}"));
	assert_true(timer_is_on(f->sockets->handshake_timer));
	f->now_us += 4999999;
	assert_true(client_is_waiting(f, silent));
	f->now_us += 1;
	close(client_open(f)); /* the timer is set anew by whoever comes */
	assert_true(client_is_closed(f, silent));
	assert_true(client_is_closed(f, half));
	assert_true(client_is_waiting(f, spoken));
	settle(f);
	assert_int_equal(f->sockets->n_connections, 1);
	assert_false(timer_is_on(f->sockets->handshake_timer)); /* idle clients wake nobody */
	close(silent);
	close(half);
	close(spoken);
	fixture_free(f);
}

static void without_descriptors_others_live_on(void **state)
{
	struct fixture *f = fixture_new(1);
	int good = client_open(f), late[3], again, fd;
	struct rlimit old, tight;

	(void)state;
	json_decref(client_ask(f, good, "{\"method\":\"io.sidecard.List\"}"));
	for (size_t i = 0; i < N_ELEMENTS(late); i++) {
		late[i] = client_try(f);
		assert_true(late[i] >= 0);
	}
	fd = dup(good);
	close(fd);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	tight = (struct rlimit){ (rlim_t)fd, old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	turn(f);
	settle(f);
	assert_false(timer_is_on(f->sockets->listener)); /* a pause, no spin */
	assert_true(timer_is_on(f->sockets->pause_timer));
	json_decref(client_ask(f, good, "{\"method\":\"io.sidecard.List\"}"));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	/* The first one was turned away, the others are served after the pause. */
	assert_true(client_is_closed(f, late[0]));
	json_decref(client_ask(f, late[1], "{\"method\":\"io.sidecard.List\"}"));
	json_decref(client_ask(f, late[2], "{\"method\":\"io.sidecard.List\"}"));
	again = client_open(f);
	json_decref(client_ask(f, again, "{\"method\":\"io.sidecard.List\"}"));
	for (size_t i = 0; i < N_ELEMENTS(late); i++)
		close(late[i]);
	close(again);
	close(good);
	fixture_free(f);
}

static void a_stale_socket_is_replaced_and_a_living_one_is_not(void **state)
{
	struct fixture *f = fixture_new(1);
	struct sockets *second = NULL;
	struct fault fault = { 0 };
	struct stat status;
	char path[128];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/io.sidecard", f->directory);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0666);
	assert_int_equal(sockets_open(&f->options, &f->handler, f->dirfd, &f->published->current,
				      &second, &fault),
			 -EADDRINUSE);
	assert_null(second);
	settle(f);
	fd = client_open(f);
	json_decref(client_ask(f, fd, "{\"method\":\"io.sidecard.List\"}"));
	close(fd);

	/* Dead, its file left behind. */
	f->sockets->is_own_listener = false;
	f->sockets = sockets_free(f->sockets);
	assert_int_equal(stat(path, &status), 0);
	fixture_open_sockets(f);
	fd = client_open(f);
	json_decref(client_ask(f, fd, "{\"method\":\"io.sidecard.List\"}"));
	close(fd);

	/* What somebody else put in its place is not ours to remove. */
	assert_int_equal(unlink(path), 0);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	f->sockets = sockets_free(f->sockets);
	assert_int_equal(stat(path, &status), 0);
	assert_true(S_ISREG(status.st_mode));
	fixture_free(f);
}

static void a_passed_socket_is_used(void **state)
{
	struct fixture *f = fixture_new(1);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct fault fault = { 0 };
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), fd;
	struct stat status;

	(void)state;
	f->sockets = sockets_free(f->sockets);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/io.sidecard", f->directory);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	/* Not listening: of no use, and not hung on to. */
	f->options.listen_fd = dup(listener);
	assert_int_equal(sockets_open(&f->options, &f->handler, f->dirfd, &f->published->current,
				      &f->sockets, &fault),
			 -EINVAL);
	assert_true(fcntl(f->options.listen_fd, F_GETFD) < 0);
	assert_int_equal(listen(listener, 16), 0);
	f->options.listen_fd = listener;
	fixture_open_sockets(f);
	assert_true(fcntl(listener, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(listener, F_GETFL) & O_NONBLOCK);
	fd = client_open(f);
	json_decref(client_ask(f, fd, "{\"method\":\"io.sidecard.List\"}"));
	close(fd);
	f->sockets = sockets_free(f->sockets);
	assert_int_equal(stat(address.sun_path, &status),
			 0); /* the service manager's, over our end */
	fixture_free(f);
}

static void a_path_too_long_is_a_fault(void **state)
{
	struct fixture *f = fixture_new(1);
	struct sockets *sockets = NULL;
	struct fault fault = { 0 };
	char longer[200];

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[0] = '/';
	longer[sizeof(longer) - 1] = '\0';
	f->options.runtime_dir = longer;
	assert_int_equal(sockets_open(&f->options, &f->handler, f->dirfd, &f->published->current,
				      &sockets, &fault),
			 -ENAMETOOLONG);
	assert_non_null(strstr(fault.text, "too long"));
	fixture_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_service_describes_itself),
		cmocka_unit_test(what_is_wrong_is_named),
		cmocka_unit_test(workloads_are_told),
		cmocka_unit_test(before_anything_is_published_nothing_is_told),
		cmocka_unit_test(malformed_bytes_close_their_own_connection_only),
		cmocka_unit_test(sizes_and_depths_are_bounded),
		cmocka_unit_test(bytes_may_come_one_by_one_and_calls_together),
		cmocka_unit_test(half_closed_clients_still_get_their_answer),
		cmocka_unit_test(oneway_calls_are_done_without_a_word),
		cmocka_unit_test(connections_are_counted_by_user),
		cmocka_unit_test(there_is_room_for_256),
		cmocka_unit_test(the_silent_are_shown_out),
		cmocka_unit_test(without_descriptors_others_live_on),
		cmocka_unit_test(a_stale_socket_is_replaced_and_a_living_one_is_not),
		cmocka_unit_test(a_passed_socket_is_used),
		cmocka_unit_test(a_path_too_long_is_a_fault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
