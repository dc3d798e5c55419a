/* A client that asks too much waits on itself: the socket with accounts, thousands of clients, and
 * the same by way of D-Bus. */
#include "socket_fixture.h"

/* What the kernel would say of a client of another user; tests run without privilege. */
static struct connection *make_stranger(struct fixture *f, uint32_t uid)
{
	struct connection *newest = f->sockets->connections;

	newest->peer.is_privileged = false;
	newest->peer.uid = uid;
	return newest;
}

#define REGISTER "{\"method\":\"io.sidecard.Register\",\"parameters\":{\"workload\":\"w00000\"}}"
#define LIST	 "{\"method\":\"io.sidecard.List\"}"

/* The clock stands still, so that only what a registration costs beside its time counts: 5 ms. */
static void a_user_in_debt_waits_alone(void **state)
{
	struct fixture *f = fixture_new(1);
	json_t *reply;
	int greedy, other, good;

	(void)state;
	f->now_us = 5000000;
	greedy = client_open(f);
	make_stranger(f, 4711);
	other = client_open(f);
	make_stranger(f, 4712);
	good = client_open(f);
	for (unsigned i = 0; i < 21; i++) {
		reply = client_ask(f, greedy, REGISTER);
		assert_non_null(reply);
		json_decref(reply);
	}
	assert_int_equal(f->asked.n_register, 21);
	client_call(f, greedy, REGISTER);
	assert_true(client_is_waiting(f, greedy));
	/* Not refused, only later; meanwhile everybody else is served, the same user's reading not.
	 */
	json_decref(client_ask(f, other, REGISTER));
	json_decref(client_ask(f, good, LIST));
	for (unsigned i = 0; i < 50; i++)
		json_decref(client_ask(f, good, REGISTER)); /* who may change has no account */
	assert_int_equal(f->asked.n_register, 72);
	f->now_us += 60000;
	reply = client_reply(f, greedy);
	assert_non_null(reply);
	json_decref(reply);
	assert_int_equal(f->asked.n_register, 73);
	close(greedy);
	close(other);
	close(good);
	settle(f);
	fixture_free(f);
}

/* All of a user's connections are one account, and a new one is no way out. */
static void another_connection_is_no_way_out(void **state)
{
	struct fixture *f = fixture_new(1);
	int fds[4];

	(void)state;
	f->now_us = 5000000;
	for (size_t i = 0; i < N_ELEMENTS(fds); i++) {
		fds[i] = client_open(f);
		make_stranger(f, 4711);
	}
	for (unsigned i = 0; i < 21; i++)
		json_decref(client_ask(f, fds[i % 3], REGISTER));
	client_call(f, fds[3], LIST);
	assert_true(client_is_waiting(f, fds[3]));
	for (size_t i = 0; i < N_ELEMENTS(fds); i++)
		close(fds[i]);
	settle(f);
	assert_int_equal(f->sockets->n_connections, 0);
	fixture_free(f);
}

#define N_COMING 3000u

static int stranger_comes_and_goes(struct fixture *f)
{
	unsigned n_answered = 0;

	for (unsigned i = 0; i < N_COMING; i++) {
		int fd = child_connect(f);

		/* Every other one asks, and of those each tenth does not wait for the answer. */
		if (fd >= 0 && i % 2 && i % 10)
			n_answered += child_asks(fd, LIST, "w00000");
		else if (fd >= 0 && i % 2)
			send(fd, LIST, sizeof(LIST), MSG_NOSIGNAL);
		if (fd >= 0)
			close(fd);
	}
	return n_answered > 0 ? 0 : 1;
}

/* Thousands of them leave nothing behind, and the operator is served all the time. */
static void thousands_leave_nothing_behind(void **state)
{
	struct fixture *f;
	struct mallinfo2 before, after;
	int good;

	(void)state;
	if (getuid() != 0)
		skip(); /* only root can become somebody else */
	f = fixture_new(3);
	good = client_open(f);
	json_decref(client_ask(f, good, LIST));
	assert_int_equal(in_a_child(f, 65534, stranger_comes_and_goes), 0);
	before = mallinfo2();
	assert_int_equal(in_a_child(f, 65534, stranger_comes_and_goes), 0);
	json_decref(client_ask(f, good, LIST));
	after = mallinfo2();
	assert_int_equal(f->sockets->n_connections, 1);
	/* 6,000 connections took less than a page each to begin with. */
	assert_true(after.uordblks < before.uordblks + 65536);
	close(good);
	settle(f);
	fixture_free(f);
}

/* A reload that has to ask plugins first is answered when they are known, and others meanwhile. */
static void a_reload_may_take_its_time(void **state)
{
	struct fixture *f = fixture_new(1);
	struct fault_list faults = { 0 };
	json_t *reply;
	int waiting, gone, good;

	(void)state;
	waiting = client_open(f);
	gone = client_open(f);
	good = client_open(f);
	f->asked.result = PUBLISH_LATER;
	client_call(f, waiting, "{\"method\":\"io.sidecard.Reload\"}");
	client_call(f, gone, "{\"method\":\"io.sidecard.Reload\"}");
	assert_true(client_is_waiting(f, waiting));
	json_decref(client_ask(f, good, LIST));
	close(gone);
	settle(f);
	assert_int_equal(f->sockets->n_connections, 2);
	fault_list_add(&faults, "a.conf:2: [Workload] Plugin: not there");
	sockets_reload_finished(f->sockets, 0, &faults);
	reply = client_reply(f, waiting);
	assert_int_equal(json_array_size(at(reply, "parameters.faults")), 0);
	assert_string_equal(json_string_value(at(reply, "parameters.warnings.0")),
			    "a.conf:2: [Workload] Plugin: not there");
	json_decref(reply);
	fault_list_done(&faults);
	json_decref(client_ask(f, waiting, LIST));
	close(waiting);
	close(good);
	settle(f);
	fixture_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_user_in_debt_waits_alone),
		cmocka_unit_test(another_connection_is_no_way_out),
		cmocka_unit_test(a_reload_may_take_its_time),
		cmocka_unit_test(thousands_leave_nothing_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
