/* The breaker and lending, on a simulated clock. */
#include "regulate_fixture.h"

/* ---- breaker ---- */

/* A loop that has just gone from 4 to 5 with no throttling and @pressure_permille. */
static void stepped(struct sim *sim, uint64_t pressure_permille)
{
	loop_at(sim, 8, 4);
	for (int i = 0; i < 30; i++) {
		sim->sample.pressure_us += 100 * pressure_permille;
		sim_step(sim, 100 * MS, 4000);
	}
	assert_int_equal(sim->state.value, 5);
}

static void worse(void **state)
{
	static const struct {
		const char *why;
		uint64_t before, after; /* pressure, permille */
		bool is_worse;
	} rows[] = {
		{ "the same", 100, 100, false },
		{ "better", 100, 0, false },
		{ "within tolerance and noise: 100 × 1.2 + 20", 100, 140, false },
		{ "beyond", 100, 142, true },
		{ "out of nothing, within noise", 0, 20, false },
		{ "out of nothing", 0, 22, true },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct sim sim;
		int back = 0;

		stepped(&sim, rows[i].before);
		for (int k = 1; k <= 49; k++) {
			sim.sample.pressure_us += 100 * rows[i].after;
			sim_step(&sim, 100 * MS, 3500);
			if (sim.advice.reason == REASON_ROLLED_BACK)
				back = k;
		}
		if (rows[i].is_worse != (back == 3) || sim.state.value != (back ? 4 : 5))
			fail_msg("%s: taken back after %d samples, %u threads", rows[i].why, back,
				 sim.state.value);
	}
}

static void worse_in_other_ways(void **state)
{
	struct sim sim;

	(void)state;
	/* Throttled periods. */
	loop_at(&sim, 8, 4);
	for (int i = 0; i < 30; i++) {
		sim.sample.n_periods++;
		sim.sample.n_throttled += i % 10 == 0;
		sim_step(&sim, 100 * MS, 4000);
	}
	assert_int_equal(sim.state.value, 5);
	for (int i = 0; i < 3; i++) {
		sim.sample.n_periods++;
		sim.sample.n_throttled++;
		sim_step(&sim, 100 * MS, 4000);
	}
	assert_int_equal(sim.advice.reason, REASON_ROLLED_BACK);
	assert_int_equal(sim.state.value, 4);

	/* Run queues, where they are known. */
	loop_at(&sim, 8, 4);
	sim.sample.wait_p99_us = 1000;
	assert_true(sim_slots(&sim, 3 * S, 1000));
	sim.sample.wait_p99_us = 1390;
	assert_false(sim_slots(&sim, 1 * S, 700));
	sim.sample.wait_p99_us = 2000;
	assert_true(sim_slots(&sim, 2 * S, 700));
	assert_int_equal(sim.advice.reason, REASON_ROLLED_BACK);

	/* Tolerance=0: no breaker. */
	loop_at(&sim, 8, 4);
	sim.rule.numbers.tolerance_permille = 0;
	assert_true(sim_slots(&sim, 3 * S, 1000));
	for (int i = 0; i < 49; i++) {
		sim.sample.pressure_us += 100 * MS;
		sim_step(&sim, 100 * MS, 3500);
	}
	assert_int_equal(sim.state.value, 5);
}

/* What comes after the window is the load's doing. */
static void worse_too_late(void **state)
{
	struct sim sim;

	(void)state;
	stepped(&sim, 0);
	assert_false(sim_slots(&sim, 5 * S, 700));
	assert_int_equal(sim.state.watch_from, 0);
	for (int i = 0; i < 100; i++) {
		sim.sample.pressure_us += 100 * MS;
		sim_step(&sim, 100 * MS, 3500);
	}
	assert_int_equal(sim.state.value, 5);
}

/* Full load and, with five threads, full pressure. Samples until the value changes; how long. */
static uint64_t until_change(struct sim *sim)
{
	uint64_t since_us = sim->now_us;

	for (uint32_t value = sim->state.value; sim->state.value == value;) {
		if (sim->state.value > 4)
			sim->sample.pressure_us += 50 * MS;
		sim_step(sim, 100 * MS, sim->state.value * UINT64_C(1000));
		assert_true(sim->now_us - since_us < 5000 * S);
	}
	return sim->now_us - since_us;
}

static void cool_down(void **state)
{
	uint64_t expected_us = 30 * S;
	struct sim sim;

	(void)state;
	stepped(&sim, 0);
	assert_true(until_change(&sim) == 300 * MS);
	assert_int_equal(sim.advice.reason, REASON_ROLLED_BACK);
	assert_int_equal(sim.advice.breaker, BREAKER_OPEN);
	for (int i = 0; i < 8; i++) {
		/* One on trial as soon as the cool-down is over; it fails as before. */
		assert_true(until_change(&sim) == expected_us);
		assert_int_equal(sim.advice.breaker, BREAKER_HALF_OPEN);
		assert_int_equal(sim.advice.reason, REASON_BUSY);
		assert_true(until_change(&sim) == 300 * MS);
		assert_int_equal(sim.advice.reason, REASON_ROLLED_BACK);
		assert_int_equal(sim.state.value, 4);
		expected_us = expected_us * 2 < 600 * S ? expected_us * 2 : 600 * S;
	}
	assert_true(expected_us == 600 * S);

	/* A trial that goes well closes it, and the next failure begins with the first cool-down.
	 */
	until_change(&sim);
	assert_int_equal(sim.state.value, 5);
	assert_false(sim_slots(&sim, 4900 * MS, 700));
	assert_int_equal(sim.advice.breaker, BREAKER_HALF_OPEN);
	assert_false(sim_slots(&sim, 100 * MS, 700));
	assert_int_equal(sim.advice.breaker, BREAKER_CLOSED);
	assert_true(sim_slots(&sim, 10 * S, 1000));
	assert_int_equal(sim.state.value, 6);
	for (int i = 0; i < 3; i++) {
		sim.sample.pressure_us += 100 * MS;
		sim_step(&sim, 100 * MS, 5000);
	}
	assert_int_equal(sim.state.value, 5);
	assert_true(sim.state.open_until_us == sim.now_us + 30 * S);
}

/* On trial means one step. */
static void one_on_trial(void **state)
{
	struct sim sim;

	(void)state;
	stepped(&sim, 0);
	until_change(&sim);
	sim.rule.numbers.raise_hold_us = sim.rule.numbers.raise_pause_us = 0;
	until_change(&sim);
	assert_int_equal(sim.advice.breaker, BREAKER_HALF_OPEN);
	assert_false(sim_slots(&sim, 4900 * MS, 1000));
	assert_true(sim_slots(&sim, 200 * MS, 1000));
	assert_int_equal(sim.advice.breaker, BREAKER_CLOSED);
}

/* A roll-back changes the number too, so it waits for a safe moment. */
static void rolled_back_at_a_safe_moment(void **state)
{
	struct sim sim;

	(void)state;
	stepped(&sim, 0);
	sim.rule.safe_us = 20 * S;
	assert_true(until_change(&sim) == 20 * S);
	assert_int_equal(sim.advice.reason, REASON_ROLLED_BACK);
}

/* The staged regulator takes three samples for the same, however short the window. */
static void staged_rolls_back(void **state)
{
	struct sim sim;

	(void)state;
	probing_at(&sim, 16, 4);
	for (int i = 0; i < 3; i++)
		probe(&sim, 16000);
	assert_int_equal(sim.state.value, 6);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(sim.state.value, 6);
		sim.sample.pressure_us += 1 * S;
		probe(&sim, 9900);
	}
	assert_int_equal(sim.state.value, 4);
	assert_int_equal(sim.advice.reason, REASON_ROLLED_BACK);
}

/* ---- lending ---- */

static void lending(void **state)
{
	struct regulate_loan loan = { 0 };
	struct regulate_sample sample = { .n_pu = 8, .most = 8 };
	static const struct {
		const char *why;
		uint32_t used_mcpu, pressure_permille, is_moving, lent;
	} rows[] = {
		{ "half of 7 idle ones", 1000, 0, 0, 3 },
		{ "half of the 4 that are left", 1000, 0, 0, 5 },
		{ "half of 2", 1000, 0, 0, 6 },
		{ "the last one stays", 1000, 0, 0, 6 },
		{ "its own two are busy: all come back", 1001, 0, 0, 0 },
		{ "half of 6", 1001, 0, 0, 3 },
		{ "pressure within noise", 1001, 10, 0, 4 },
		{ "its threads wait: all come back", 1001, 11, 0, 0 },
		{ "again", 1001, 0, 0, 3 },
		{ "nothing is lent while PUs move", 1001, 0, 1, 0 },
		{ "all busy", 7500, 0, 0, 0 },
		{ "one idle", 7000, 0, 0, 0 },
	};
	uint64_t now_us = 5 * S;

	(void)state;
	assert_int_equal(regulate_lend(&loan, &sample, now_us), 0); /* nothing is known yet */
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		now_us += 100 * MS;
		sample.usage_us += 100 * rows[i].used_mcpu;
		sample.pressure_us += 100 * rows[i].pressure_permille;
		sample.is_moving = rows[i].is_moving;
		if (regulate_lend(&loan, &sample, now_us) != rows[i].lent)
			fail_msg("%s: %u", rows[i].why, loan.n_lent);
	}
	/* Other counters: nothing is known again. */
	now_us += 100 * MS;
	sample.usage_us += 100 * 1000;
	assert_int_equal(regulate_lend(&loan, &sample, now_us), 3);
	now_us += 100 * MS;
	sample.usage_us = 0;
	assert_int_equal(regulate_lend(&loan, &sample, now_us), 0);
	/* Fewer PUs than are lent. */
	loan.n_lent = 7;
	sample.n_pu = 3;
	now_us += 100 * MS;
	assert_int_equal(regulate_lend(&loan, &sample, now_us), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(worse),
		cmocka_unit_test(worse_in_other_ways),
		cmocka_unit_test(worse_too_late),
		cmocka_unit_test(cool_down),
		cmocka_unit_test(one_on_trial),
		cmocka_unit_test(rolled_back_at_a_safe_moment),
		cmocka_unit_test(staged_rolls_back),
		cmocka_unit_test(lending),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
