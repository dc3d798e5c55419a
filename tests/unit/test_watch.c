/* List and Watch: long answers, slow readers, and that nobody is told anything wrong. */
#include "socket_fixture.h"

static void watchers_hear_of_every_change(void **state)
{
	struct fixture *f = fixture_new(3);
	int all = client_open(f), one = client_open(f);
	json_t *reply;

	(void)state;
	reply = client_ask(f, all, "{\"method\":\"io.sidecard.Watch\",\"more\":true}");
	assert_true(json_is_true(at(reply, "parameters.full")));
	assert_true(json_is_true(at(reply, "continues")));
	assert_int_equal(json_array_size(at(reply, "parameters.changed")), 3);
	assert_int_equal(number_at(reply, "parameters.previous"), 0);
	json_decref(reply);
	reply = client_ask(f, one,
			   "{\"method\":\"io.sidecard.Watch\",\"parameters\":{\"name\":\"w00001\"},"
			   "\"more\":true}");
	assert_int_equal(json_array_size(at(reply, "parameters.changed")), 1);
	json_decref(reply);

	published_change(f->published, 0, 5);
	sockets_update(f->sockets, f->published->changed);
	reply = client_reply(f, all);
	assert_int_equal(number_at(reply, "parameters.previous"), 1);
	assert_int_equal(number_at(reply, "parameters.generation"), 2);
	assert_true(json_is_false(at(reply, "parameters.full")));
	assert_int_equal(json_array_size(at(reply, "parameters.changed")), 1);
	assert_string_equal(text_at(reply, "parameters.changed.0.name"), "w00000");
	assert_int_equal(number_at(reply, "parameters.changed.0.generation"), 2);
	json_decref(reply);
	assert_true(client_is_waiting(f, one)); /* not its workload */

	published_change(f->published, 1, 6);
	sockets_update(f->sockets, f->published->changed);
	reply = client_reply(f, one);
	assert_int_equal(number_at(reply, "parameters.previous"), 1);
	assert_int_equal(number_at(reply, "parameters.generation"), 3);
	assert_string_equal(text_at(reply, "parameters.changed.0.name"), "w00001");
	json_decref(reply);
	json_decref(client_reply(f, all));

	/* One goes, one comes, in one update. */
	f->published->view.generation++;
	published_remove(f->published, 1);
	published_add(f->published, "x", f->published->view.generation);
	sockets_update(f->sockets, f->published->changed);
	reply = client_reply(f, all);
	assert_int_equal(number_at(reply, "parameters.previous"), 3);
	assert_string_equal(text_at(reply, "parameters.gone.0"), "w00001");
	assert_int_equal(json_array_size(at(reply, "parameters.gone")), 1);
	assert_string_equal(text_at(reply, "parameters.changed.0.name"), "x");
	json_decref(reply);
	reply = client_reply(f, one);
	assert_string_equal(text_at(reply, "parameters.gone.0"), "w00001");
	assert_int_equal(json_array_size(at(reply, "parameters.changed")), 0);
	json_decref(reply);

	/* And is back. */
	f->published->view.generation++;
	published_add(f->published, "w00001", f->published->view.generation);
	sockets_update(f->sockets, f->published->changed);
	reply = client_reply(f, one);
	assert_int_equal(json_array_size(at(reply, "parameters.gone")), 0);
	assert_int_equal(number_at(reply, "parameters.generation"), 5);
	assert_int_equal(number_at(reply, "parameters.previous"), 4);
	json_decref(reply);
	close(all);
	close(one);
	fixture_free(f);
}

static void a_long_poll_is_answered_once(void **state)
{
	/* clang-format off */
	static const struct {
		const char *why, *parameters;
		bool waits, full;
	} rows[] = {
		{ "knows nothing", "{}", false, true },
		{ "knows nothing, in words", "{\"after\":0}", false, true },
		{ "of an earlier life, whose departures are not known", "{\"after\":4}", false,
		  true },
		{ "of another life that ran ahead", "{\"after\":99}", false, true },
		{ "heard of the first update", "{\"after\":5}", false, false },
		{ "is current", "{\"after\":6}", true, false },
		{ "the other one changed", "{\"after\":5,\"name\":\"w00001\"}", true, false },
		{ "this one changed", "{\"after\":5,\"name\":\"w00000\"}", false, false },
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct fixture *f = fixture_new(2);
		int fd = client_open(f);
		char call[256];
		json_t *reply;

		f->published->view.generation = 5;
		sockets_free(f->sockets);
		fixture_open_sockets(f);
		close(fd);
		fd = client_open(f);
		published_change(f->published, 0, 5);
		sockets_update(f->sockets, f->published->changed);
		snprintf(call, sizeof(call), "{\"method\":\"io.sidecard.Watch\",\"parameters\":%s}",
			 rows[i].parameters);
		client_call(f, fd, call);
		if (client_is_waiting(f, fd) != rows[i].waits)
			fail_msg("%s", rows[i].why);
		if (rows[i].waits) {
			published_change(f->published, 1, 5);
			sockets_update(f->sockets, f->published->changed);
		}
		reply = client_reply(f, fd);
		if (!!json_is_true(at(reply, "parameters.full")) != rows[i].full ||
		    at(reply, "continues"))
			fail_msg("%s: %s", rows[i].why, json_dumps(reply, 0));
		json_decref(reply);
		published_change(f->published, 1, 6);
		sockets_update(f->sockets, f->published->changed);
		assert_true(client_is_waiting(f, fd));
		close(fd);
		fixture_free(f);
	}
}

/* What a client knows: applies a Watch reply, checks that it follows on what was told before. */
struct picture {
	long long generation;
	json_t *workloads; /* name → placement */
	unsigned n_full;
};

static void picture_apply(struct picture *picture, const json_t *reply)
{
	json_t *item;
	size_t i;

	assert_int_equal(number_at(reply, "parameters.previous"), picture->generation);
	if (json_is_true(at(reply, "parameters.full"))) {
		json_object_clear(picture->workloads);
		picture->n_full++;
	}
	json_array_foreach (at(reply, "parameters.gone"), i, item)
		json_object_del(picture->workloads, json_string_value(item));
	json_array_foreach (at(reply, "parameters.changed"), i, item)
		json_object_set(picture->workloads, text_at(item, "name"), item);
	assert_true(number_at(reply, "parameters.generation") > picture->generation);
	picture->generation = number_at(reply, "parameters.generation");
}

static void picture_check(const struct picture *picture, const struct published *published)
{
	assert_int_equal(picture->generation, published->view.generation);
	assert_int_equal(json_object_size(picture->workloads), published->plan.n_workloads);
	for (size_t i = 0; i < published->plan.n_workloads; i++) {
		const json_t *item = json_object_get(picture->workloads, published->confs[i]->name);

		assert_int_equal(number_at(item, "generation"), published->generations[i]);
		assert_int_equal(number_at(item, "parallelism.advised"),
				 published->plan.workloads[i].parallelism.advised);
	}
}

static size_t heap_bytes(void)
{
	return mallinfo2()
		.uordblks; /* 0 under a sanitizer: then only the counts below are checked */
}

static void a_watcher_that_never_reads_costs_one_piece(void **state)
{
	struct fixture *f = fixture_new(500);
	struct picture picture = { .workloads = json_object() };
	int fd = client_open(f);
	unsigned n_replies = 0;
	size_t before;

	(void)state;
	client_call(f, fd, "{\"method\":\"io.sidecard.Watch\",\"more\":true}");
	settle(f);
	before = heap_bytes();
	for (unsigned i = 0; i < 10000; i++) {
		published_change(f->published, i % 500, i + 1);
		f->published->view.same_workloads = true;
		sockets_update(f->sockets, f->published->changed);
		assert_true(varlink_output_n_bytes(&f->sockets->connections->output) < 256 * 1024);
	}
	settle(f);
	assert_true(heap_bytes() < before + 256 * 1024);
	while (picture.generation < (long long)f->published->view.generation) {
		json_t *reply = client_reply(f, fd);

		assert_non_null(reply);
		picture_apply(&picture, reply);
		json_decref(reply);
		n_replies++;
	}
	picture_check(&picture, f->published);
	assert_true(n_replies < 5000); /* what it missed came in one */
	assert_true(client_is_waiting(f, fd));

	/* More departures than are remembered: it starts afresh. */
	picture.n_full = 0;
	for (unsigned i = 0; i < N_DEPARTURES_MAX + 2000; i++) {
		f->published->view.generation++;
		if (i % 2 == 0)
			published_add(f->published, "coming-and-going",
				      f->published->view.generation);
		else
			published_remove(f->published, 0);
		sockets_update(f->sockets, f->published->changed);
	}
	while (picture.generation < (long long)f->published->view.generation) {
		json_t *reply = client_reply(f, fd);

		picture_apply(&picture, reply);
		json_decref(reply);
	}
	assert_true(picture.n_full > 0);
	picture_check(&picture, f->published);
	json_decref(picture.workloads);
	close(fd);
	fixture_free(f);
}

static void pictures_stay_true_whatever_happens(void **state)
{
	unsigned seed = (unsigned)getpid();
	struct fixture *f = fixture_new(700);
	struct picture pictures[4] = { 0 };
	int fds[4];
	unsigned n_named = 0;

	(void)state;
	print_message("seed %u\n", seed);
	srand(seed);
	for (size_t i = 0; i < 4; i++) {
		pictures[i].workloads = json_object();
		fds[i] = client_open(f);
		client_call(f, fds[i], "{\"method\":\"io.sidecard.Watch\",\"more\":true}");
	}
	for (unsigned round = 0; round < 3000; round++) {
		size_t n = f->published->plan.n_workloads;
		char name[32], byte;

		f->published->view.same_workloads = false;
		if (rand() % 10 == 0 && n > 400) {
			f->published->view.generation++;
			published_remove(f->published, (size_t)rand() % n);
		} else if (rand() % 10 == 0 && n < 1000) {
			snprintf(name, sizeof(name), "%c%u", 'a' + rand() % 26, n_named++);
			f->published->view.generation++;
			published_add(f->published, name, f->published->view.generation);
		} else {
			published_change(f->published, (size_t)rand() % n,
					 1 + (uint32_t)rand() % 100);
			f->published->view.same_workloads = true;
		}
		sockets_update(f->sockets, f->published->changed);
		if (rand() % 4 == 0)
			sd_event_run(f->event, 0);
		for (size_t i = 0; i < 4; i++) {
			/* The higher its number, the lazier it reads. */
			if ((unsigned)rand() % (1 + 20 * (unsigned)i) != 0 ||
			    recv(fds[i], &byte, 1, MSG_DONTWAIT | MSG_PEEK) != 1)
				continue;
			json_t *reply = client_reply(f, fds[i]);

			picture_apply(&pictures[i], reply);
			json_decref(reply);
		}
	}
	for (size_t i = 0; i < 4; i++) {
		while (pictures[i].generation < (long long)f->published->view.generation) {
			json_t *reply = client_reply(f, fds[i]);

			picture_apply(&pictures[i], reply);
			json_decref(reply);
		}
		picture_check(&pictures[i], f->published);
		json_decref(pictures[i].workloads);
		close(fds[i]);
	}
	fixture_free(f);
}

static void long_lists_come_in_pieces(void **state)
{
	struct fixture *f = fixture_new(6000);
	int fd = client_open(f);
	json_t *reply, *item;
	size_t i;

	(void)state;
	client_call(f, fd, "{\"method\":\"io.sidecard.List\"}");
	settle(f); /* as far as the peer takes it, which reads nothing yet */
	assert_true(varlink_output_n_bytes(&f->sockets->connections->output) < 256 * 1024);
	published_change(f->published, 5999, 77);
	sockets_update(f->sockets, f->published->changed);
	reply = client_reply(f, fd);
	assert_int_equal(json_array_size(at(reply, "parameters.workloads")), 6000);
	json_array_foreach (at(reply, "parameters.workloads"), i, item)
		assert_string_equal(text_at(item, "name"), f->published->confs[i]->name);
	/* As old as its oldest part; what changed meanwhile says so. */
	assert_int_equal(number_at(reply, "parameters.generation"), 1);
	assert_int_equal(number_at(reply, "parameters.workloads.5999.generation"), 2);
	json_decref(reply);
	assert_true(client_is_waiting(f, fd));
	close(fd);
	fixture_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(watchers_hear_of_every_change),
		cmocka_unit_test(a_long_poll_is_answered_once),
		cmocka_unit_test(a_watcher_that_never_reads_costs_one_piece),
		cmocka_unit_test(pictures_stay_true_whatever_happens),
		cmocka_unit_test(long_lists_come_in_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
