/* The front's half against an applier that the test plays itself (order, holding back, death), and
 * --dry-run. */
#include "apply_fixture.h"

#include <time.h>

/* ---- the played applier ---- */

static bool next_request(struct fixture *fixture, struct apply_request *ret_request)
{
	ssize_t n = recv(fixture->far_fd, ret_request, sizeof(*ret_request), MSG_DONTWAIT);

	if (n < 0)
		return false;
	assert_int_equal(n, sizeof(*ret_request));
	assert_true(ret_request->magic == APPLY_MAGIC);
	return true;
}

static void answer(struct fixture *fixture, const struct apply_request *request, int error,
		   const char *effective)
{
	struct apply_answer message = {
		.magic = APPLY_MAGIC,
		.version = APPLY_VERSION,
		.serial = request->serial,
		.error = error,
		.is_written = 1,
		.n_writes = 1,
	};
	cleanup(cpuset_done) struct cpuset cpus = { 0 };

	assert_int_equal(cpuset_parse(effective, &cpus), 0);
	message_put_cpus(&cpus, message.effective);
	assert_int_equal(send(fixture->far_fd, &message, sizeof(message), 0), sizeof(message));
}

static void widen_waits_for_the_last_narrow(void **state)
{
	struct fixture fixture;
	struct apply_request first = { 0 }, request;
	size_t n = 0;

	(void)state;
	fixture_init(&fixture);
	/* More than fit the window, so that sending goes on in answers. */
	for (int i = 0; i < 20; i++)
		add_step(&fixture, STEP_NARROW, "loser.service", "0-1");
	for (int i = 0; i < 12; i++)
		add_step(&fixture, STEP_WIDEN, "winner.service", "2-3");
	assert_int_equal(begin(&fixture), 0);
	assert_true(apply_is_busy(fixture.apply));
	assert_int_equal(begin(&fixture), -EBUSY);
	while (n < 20) {
		turn(&fixture);
		assert_true(next_request(&fixture, &request));
		assert_int_equal(request.phase, STEP_NARROW);
		/* All but the first are answered at once: the next phase has to wait for it. */
		if (n++ == 0)
			first = request;
		else
			answer(&fixture, &request, 0, "0-1");
	}
	turn(&fixture);
	assert_false(next_request(&fixture, &request));
	answer(&fixture, &first, 0, "0-1");
	for (int i = 0; i < 12; i++) {
		turn(&fixture);
		assert_true(next_request(&fixture, &request));
		assert_int_equal(request.phase, STEP_WIDEN);
		assert_int_equal(fixture.n_finished, 0);
		answer(&fixture, &request, 0, "2-3");
	}
	turn(&fixture);
	assert_int_equal(fixture.n_finished, 1);
	assert_int_equal(fixture.n_outcomes, 32);
	assert_false(apply_is_busy(fixture.apply));
	fixture_done(&fixture);
}

static void failed_narrow_holds_back(void **state)
{
	static const struct {
		const char *why;
		const char *loser_wanted, *loser_has;
		int loser_error;
		const char *winner;
		const char *winner_wanted;
		int winner_error;
	} rows[] = {
		{ "it still runs where the winner wants to", "0-1", "0-3", -EBUSY, "w.service",
		  "2-5", -EAGAIN },
		{ "it still runs elsewhere only", "0-1", "0-3", -EBUSY, "w.service", "4-5", 0 },
		{ "what it has is not known", "0-1", "", -EIO, "w.service", "7", -EAGAIN },
		{ "not known, but the winner stays within its wish", "0-3", "", -EIO, "w.service",
		  "1-2", 0 },
		{ "its own widening takes nothing from anybody", "0-1", "", -EIO, "l.service",
		  "0-1,9", 0 },
		{ "it got less than it may have", "0-3", "0", -EREMOTEIO, "w.service", "1-9", 0 },
		{ "it has gone", "0-1", "", -ENOENT, "w.service", "2-5", 0 },
		{ "its cgroup has gone", "0-1", "", -ENODEV, "w.service", "2-5", 0 },
		{ "its process has gone", "0-1", "", -ESRCH, "w.service", "2-5", 0 },
		{ "it holds", "0-1", "0-1", 0, "w.service", "2-5", 0 },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct fixture fixture;
		struct apply_request request;

		fixture_init(&fixture);
		add_step(&fixture, STEP_NARROW, "l.service", rows[i].loser_wanted);
		add_step(&fixture, STEP_WIDEN, rows[i].winner, rows[i].winner_wanted);
		assert_int_equal(begin(&fixture), 0);
		turn(&fixture);
		assert_true(next_request(&fixture, &request));
		answer(&fixture, &request, rows[i].loser_error, rows[i].loser_has);
		turn(&fixture);
		if (next_request(&fixture, &request) != (rows[i].winner_error == 0))
			fail_msg("%s", rows[i].why);
		if (rows[i].winner_error == 0)
			answer(&fixture, &request, 0, rows[i].winner_wanted);
		turn(&fixture);
		assert_int_equal(fixture.n_finished, 1);
		assert_int_equal(fixture.errors[0], rows[i].loser_error);
		assert_int_equal(fixture.errors[1], rows[i].winner_error);
		fixture_done(&fixture);
	}
}

/* A look's answer. */
static void answer_found(struct fixture *fixture, const struct apply_request *request, int error,
			 const char *found)
{
	struct apply_answer message = { .magic = APPLY_MAGIC,
					.version = APPLY_VERSION,
					.serial = request->serial,
					.error = error,
					.has_found = found != NULL };

	message_put_text(found ? found : "", message.found, sizeof(message.found));
	assert_int_equal(send(fixture->far_fd, &message, sizeof(message), 0), sizeof(message));
}

static void nothing_is_written_before_all_is_known(void **state)
{
	struct fixture fixture;
	struct apply_request request;

	(void)state;
	fixture_init(&fixture);
	add_step(&fixture, STEP_NARROW, "known.service", "0");
	fixture.looks[add_step(&fixture, STEP_NARROW, "new.service", "1")] = true;
	fixture.looks[add_step(&fixture, STEP_WIDEN, "newer.service", "2")] = true;
	fixture.looks[add_step(&fixture, STEP_WIDEN, "gone.service", "3")] = true;
	fixture.looks[add_step(&fixture, STEP_WIDEN, "empty.service", "4")] = true;
	assert_int_equal(begin(&fixture), 0);
	for (int i = 0; i < 4; i++) {
		turn(&fixture);
		assert_true(next_request(&fixture, &request));
		assert_int_equal(request.verb, APPLY_LOOK);
		assert_int_equal(request.cpus[0], 0);
		assert_int_equal(fixture.n_looked, 0);
		answer_found(&fixture, &request, i == 2 ? -ENOENT : 0,
			     i == 0   ? "0-3"
			     : i == 1 ? "4+;1"
				      : NULL);
	}
	turn(&fixture);
	/* Told once, with all that was found; the first write is on its way only now. */
	assert_int_equal(fixture.n_looked, 1);
	assert_string_equal(fixture.originals[0], "NULL");
	assert_string_equal(fixture.originals[1], "0-3");
	assert_string_equal(fixture.originals[2], "4+;1");
	assert_string_equal(fixture.originals[4], "NULL");
	for (int i = 0; i < 4; i++) {
		assert_true(next_request(&fixture, &request));
		assert_int_equal(request.verb, APPLY_SET);
		answer(&fixture, &request, 0, "0");
		turn(&fixture);
	}
	assert_false(next_request(&fixture, &request));
	assert_int_equal(fixture.n_finished, 1);
	assert_int_equal(fixture.errors[3], -ENOENT);
	assert_int_equal(fixture.errors[4], 0);
	assert_int_equal(fixture.n_looked, 1);
	fixture_done(&fixture);
}

static void places_are_given_back_before_others_widen(void **state)
{
	static const struct {
		const char *why;
		int error, reported, winner_error;
	} rows[] = {
		{ "it has left", 0, 0, 0 },
		{ "it has gone", -ENOENT, 0, 0 },
		{ "it is still there", -EREMOTEIO, -EREMOTEIO, -EAGAIN },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		static char unit[] = "leaver.service";
		const struct place leaver = { .kind = PLACE_UNIT, .unit = unit };
		cleanup(cpuset_done) struct cpuset ours = { 0 };
		struct fixture fixture;
		struct apply_request request;

		fixture_init(&fixture);
		assert_int_equal(cpuset_parse("4-5", &ours), 0);
		add_step(&fixture, STEP_NARROW, "loser.service", "0");
		add_step(&fixture, STEP_WIDEN, "winner.service", "1,4");
		fixture.restores[0] = (struct restore){ &leaver, "0-7", &ours, NULL };
		fixture.n_restores = 1;
		assert_int_equal(begin(&fixture), 0);
		turn(&fixture);
		assert_true(next_request(&fixture, &request));
		assert_string_equal(request.unit, "loser.service");
		assert_false(next_request(&fixture, &request));
		answer(&fixture, &request, 0, "0");
		turn(&fixture);
		assert_true(next_request(&fixture, &request));
		assert_int_equal(request.verb, APPLY_RESTORE);
		assert_string_equal(request.unit, "leaver.service");
		assert_string_equal(request.original, "0-7");
		assert_int_equal(request.cpus[0], 0x30);
		assert_int_equal(request.budget_ms, 0);
		assert_false(next_request(&fixture, &request));
		answer(&fixture, &request, rows[i].error, "0-7");
		turn(&fixture);
		if (next_request(&fixture, &request) != (rows[i].winner_error == 0))
			fail_msg("%s", rows[i].why);
		if (rows[i].winner_error == 0)
			answer(&fixture, &request, 0, "1,4");
		turn(&fixture);
		assert_int_equal(fixture.n_finished, 1);
		assert_int_equal(fixture.n_restored, 1);
		assert_int_equal(fixture.restore_errors[0], rows[i].reported);
		assert_int_equal(fixture.errors[1], rows[i].winner_error);
		fixture_done(&fixture);
	}
}

static void questions_wait_for_orders(void **state)
{
	struct fixture fixture;
	struct apply_request request;

	(void)state;
	fixture_init(&fixture);
	add_step(&fixture, STEP_NARROW, "a.service", "0");
	assert_int_equal(apply_identify(fixture.apply, 11, 1), 0);
	assert_int_equal(apply_identify(fixture.apply, 12, 2), 0);
	assert_int_equal(apply_identify(fixture.apply, 13, 3), 0);
	assert_int_equal(begin(&fixture), 0);
	turn(&fixture);
	assert_true(next_request(&fixture, &request));
	assert_int_equal(request.verb, APPLY_SET);
	answer(&fixture, &request, 0, "0");
	for (int i = 0; i < 3; i++) {
		turn(&fixture);
		assert_true(next_request(&fixture, &request));
		assert_int_equal(request.verb, APPLY_IDENTIFY);
		assert_int_equal(request.pid, 11 + i);
		answer_found(&fixture, &request, i == 1 ? -ESRCH : 0, i == 1 ? NULL : "/bin/a b");
	}
	turn(&fixture);
	assert_string_equal(fixture.identified, "11/1 /bin/a b;12/2 NULL;13/3 /bin/a b;");
	assert_int_equal(fixture.n_finished, 1);
	/* An answer to a question that was not asked. */
	answer_found(&fixture, &request, 0, "/bin/x");
	turn(&fixture);
	assert_int_equal(fixture.n_died, 1);
	assert_int_equal(apply_identify(fixture.apply, 14, 1), -ENOTCONN);
	fixture_done(&fixture);
}

/* The applier of the next test: answers each restore, as late as its budget says where the unit's
 * name begins with "slow". */
static void play_restores(int fd, struct fixture *fixture)
{
	struct apply_request request;

	close_fdp(&fixture->far_fd);
	while (recv(fd, &request, sizeof(request), 0) == sizeof(request)) {
		struct apply_answer message = { .magic = APPLY_MAGIC,
						.version = APPLY_VERSION,
						.serial = request.serial };

		if (strncmp(request.unit, "slow", 4) == 0) {
			struct timespec wait = { .tv_sec = request.budget_ms / 1000,
						 .tv_nsec = request.budget_ms % 1000 * 1000000L };

			message.error = -ETIMEDOUT;
			nanosleep(&wait, NULL);
		}
		if (send(fd, &message, sizeof(message), MSG_NOSIGNAL) < 0)
			break;
	}
	_exit(0);
}

static void one_slow_place_leaves_time_for_the_others(void **state)
{
	static const char *const names[] = { "slow1.service", "slow2.service", "a.service",
					     "b.service" };
	cleanup(cpuset_done) struct cpuset ours = { 0 };
	struct restore restores[N_ELEMENTS(names)];
	struct place places[N_ELEMENTS(names)];
	struct fixture fixture;
	int flags;

	(void)state;
	fixture_init(&fixture);
	assert_int_equal(cpuset_parse("4-5", &ours), 0);
	for (size_t i = 0; i < N_ELEMENTS(names); i++) {
		places[i] = (struct place){ .kind = PLACE_UNIT, .unit = (char *)names[i] };
		restores[i] = (struct restore){ &places[i], "0-7", &ours, NULL };
	}
	flags = fcntl(fixture.far_fd, F_GETFL);
	assert_int_equal(fcntl(fixture.far_fd, F_SETFL, flags & ~O_NONBLOCK), 0);
	fixture.pid = fork();
	if (fixture.pid == 0) {
		int fd = dup(fixture.far_fd);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		apply_free(fixture.apply);
		play_restores(fd, &fixture);
	}
	close_fdp(&fixture.far_fd);
	fixture.far_fd = -1;
	/* The first failure is told, and it is not that the time was up: everyone had his turn. */
	assert_int_equal(apply_restore(fixture.apply, restores, N_ELEMENTS(names), 2000), -EBUSY);
	fixture_done(&fixture);
}

static void dies_once_and_says_so(void **state)
{
	static const struct {
		const char *why;
		int what;
	} rows[] = {
		{ "the socket ends", 0 },
		{ "a short answer", 1 },
		{ "an answer to nothing", 2 },
		{ "the same answer twice", 3 },
		{ "another magic number", 4 },
		{ "text without an end", 5 },
		{ "an answer while nothing is under way", 6 },
		{ "a positive error", 7 },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct fixture fixture;
		struct apply_request request = { 0 };
		struct apply_answer message = { .magic = APPLY_MAGIC, .version = APPLY_VERSION };

		fixture_init(&fixture);
		add_step(&fixture, STEP_NARROW, "a.service", "0");
		add_step(&fixture, STEP_NARROW, "b.service", "0");
		if (rows[i].what != 6) {
			assert_int_equal(begin(&fixture), 0);
			turn(&fixture);
			assert_true(next_request(&fixture, &request));
		}
		message.serial = request.serial;
		if (rows[i].what == 2)
			message.serial += 2;
		if (rows[i].what == 3)
			answer(&fixture, &request, 0, "0");
		if (rows[i].what == 4)
			message.magic++;
		if (rows[i].what == 5)
			memset(message.text, 'x', sizeof(message.text));
		if (rows[i].what == 7)
			message.error = EIO;
		if (rows[i].what == 0)
			close_fdp(&fixture.far_fd);
		else
			send(fixture.far_fd, &message, rows[i].what == 1 ? 100 : sizeof(message),
			     0);
		if (rows[i].what == 0)
			fixture.far_fd = -1;
		turn(&fixture);
		if (fixture.n_died != 1 || fixture.n_finished != 0)
			fail_msg("%s: died %d, finished %d", rows[i].why, fixture.n_died,
				 fixture.n_finished);
		assert_false(apply_is_busy(fixture.apply));
		assert_int_equal(begin(&fixture), -ENOTCONN);
		assert_int_equal(apply_restore(fixture.apply, &(struct restore){ 0 }, 0, 100), 0);
		fixture_done(&fixture);
	}
}

static void carries_what_the_step_says(void **state)
{
	struct fixture fixture;
	struct apply_request request;
	char deep[2000];

	(void)state;
	fixture_init(&fixture);
	memset(deep, 'd', sizeof(deep));
	deep[0] = '/';
	deep[sizeof(deep) - 1] = '\0';
	add_step(&fixture, STEP_NARROW, "a.service", "0-2,8191");
	assert_int_equal(nodeset_parse("1,1023", &fixture.items[0].mems), 0);
	add_process(&fixture, 4711, 99, "5");
	add_step(&fixture, STEP_NARROW, "", "1");
	fixture.places[2] = (struct place){ .kind = PLACE_CGROUP, .cgroup = deep, .cgroup_id = 1 };
	fixture.migrates = true;
	assert_int_equal(begin(&fixture), 0);
	/* The caller's steps need not live any longer. */
	memset(fixture.names[0], 'X', 5);
	turn(&fixture);
	assert_true(next_request(&fixture, &request));
	assert_string_equal(request.unit, "a.service");
	assert_int_equal(request.kind, PLACE_UNIT);
	assert_int_equal(request.flags, APPLY_FLAG_MIGRATE);
	assert_int_equal(request.cpus[0], 7);
	assert_true(request.cpus[127] == UINT64_C(1) << 63);
	assert_int_equal(request.mems[0], 2);
	assert_true(request.mems[15] == UINT64_C(1) << 63);
	answer(&fixture, &request, 0, "0-2");
	assert_true(next_request(&fixture, &request));
	assert_int_equal(request.pid, 4711);
	assert_int_equal(request.start_time, 99);
	answer(&fixture, &request, -ESRCH, "");
	turn(&fixture);
	assert_false(next_request(&fixture, &request));
	assert_int_equal(fixture.n_finished, 1);
	assert_int_equal(fixture.errors[2], -ENAMETOOLONG);
	fixture_done(&fixture);
}

static void says_what_a_dry_run_would_do(void **state)
{
	struct fixture fixture = { .far_fd = -1 };
	struct restore restore;

	(void)state;
	fixture_open(&fixture, APPLY_NULL, -1);
	/* Out of order on purpose: the narration has the order of a real run. */
	add_step(&fixture, STEP_WIDEN, "w.service", "2-3");
	add_step(&fixture, STEP_NARROW, "l.service", "0-1");
	assert_int_equal(nodeset_parse("1", &fixture.items[0].mems), 0);
	add_process(&fixture, 77, 1, "5");
	assert_int_equal(begin(&fixture), 0);
	assert_true(apply_is_busy(fixture.apply));
	assert_int_equal(fixture.n_finished, 0); /* never from inside the call */
	turn(&fixture);
	assert_int_equal(fixture.n_finished, 1);
	assert_string_equal(
		fixture.narrated,
		"would narrow unit 'l.service' to PUs 0-1\n"
		"would narrow process 77 to PUs 5\n"
		"would widen unit 'w.service' to PUs 2-3, its memory to NUMA nodes 1\n");
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(fixture.errors[i], 0);
		assert_false(fixture.written[i]);
	}
	assert_string_equal(fixture.effective[0], "2-3");
	restore = (struct restore){ &fixture.places[0], "0-7", &fixture.items[0].cpus, NULL };
	assert_int_equal(apply_restore(fixture.apply, &restore, 1, 0), 0);
	assert_non_null(strstr(fixture.narrated, "would give unit 'w.service' back PUs '0-7'\n"));
	fixture_done(&fixture);
}

static void nothing_to_do_is_finished_too(void **state)
{
	struct fixture fixture;

	(void)state;
	fixture_init(&fixture);
	assert_int_equal(begin(&fixture), 0);
	turn(&fixture);
	assert_int_equal(fixture.n_finished, 1);
	fixture_done(&fixture);
}

static void originals_come_back(void **state)
{
	static const struct {
		const char *why, *text;
		int result;
	} rows[] = {
		{ "not set", "", 0 },
		{ "PUs alone", "0-3,8", 0 },
		{ "somebody's drop-in stood behind it", "0-3+", 0 },
		{ "nodes alone", ";1", 0 },
		{ "all at once", "0-3+;0-1+", 0 },
		{ "an empty drop-in", "+", 0 },
		{ "letters", "x", -EINVAL },
		{ "two parts are all", "0;1;2", -EINVAL },
		{ "a newline", "0\n", -EINVAL },
		{ "a plus in the middle", "0+1", -EINVAL },
		{ "too large", "8192", -ERANGE },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		cleanup(original_done) struct original original = { 0 };
		cleanup(freep) char *text = NULL;
		int r = original_parse(rows[i].text, &original);

		if (r != rows[i].result)
			fail_msg("%s: %d", rows[i].why, r);
		if (r < 0)
			continue;
		text = original_format(&original);
		assert_string_equal(text, rows[i].text);
	}
}
int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(widen_waits_for_the_last_narrow),
		cmocka_unit_test(failed_narrow_holds_back),
		cmocka_unit_test(nothing_is_written_before_all_is_known),
		cmocka_unit_test(places_are_given_back_before_others_widen),
		cmocka_unit_test(questions_wait_for_orders),
		cmocka_unit_test(one_slow_place_leaves_time_for_the_others),
		cmocka_unit_test(dies_once_and_says_so),
		cmocka_unit_test(carries_what_the_step_says),
		cmocka_unit_test(says_what_a_dry_run_would_do),
		cmocka_unit_test(nothing_to_do_is_finished_too),
		cmocka_unit_test(originals_come_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
