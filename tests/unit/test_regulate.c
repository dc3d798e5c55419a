/* Every number of the regulators, each edge on both sides, on a simulated clock. */
#include "regulate_fixture.h"

/* ---- closed loop ---- */

static void loop_holds(void **state)
{
	static const struct {
		const char *why;
		uint64_t used_permille;
		uint32_t value;
		uint64_t early_us, due_us; /* UINT64_MAX: never */
		uint32_t becomes;
	} rows[] = {
		{ "above the upper mark for 3 s", 901, 4, 2900 * MS, 3 * S, 5 },
		{ "at the upper mark is not above it", 900, 4, 20 * S, UINT64_MAX, 4 },
		{ "below the lower mark for 10 s", 399, 4, 9900 * MS, 10 * S, 3 },
		{ "at the lower mark is not below it", 400, 4, 20 * S, UINT64_MAX, 4 },
		{ "between the marks nothing moves", 650, 4, 20 * S, UINT64_MAX, 4 },
		{ "down to 3 is allowed to go to 2", 399, 3, 9900 * MS, 10 * S, 2 },
		{ "never below the least", 0, 2, 60 * S, UINT64_MAX, 2 },
		{ "one below twice the PUs may rise", 950, 15, 2900 * MS, 3 * S, 16 },
		{ "never above twice the PUs", 1000, 16, 60 * S, UINT64_MAX, 16 },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct sim sim;

		loop_at(&sim, 8, rows[i].value);
		if (sim_slots(&sim, rows[i].early_us, rows[i].used_permille))
			fail_msg("%s: too early", rows[i].why);
		if (rows[i].due_us != UINT64_MAX &&
		    !sim_slots(&sim, rows[i].due_us - rows[i].early_us, rows[i].used_permille))
			fail_msg("%s: not in time", rows[i].why);
		if (sim.state.value != rows[i].becomes)
			fail_msg("%s: %u", rows[i].why, sim.state.value);
	}
}

/* The mean counts: moments below the mark do not begin the time anew. */
static void loop_means(void **state)
{
	struct sim sim;

	(void)state;
	loop_at(&sim, 8, 4);
	for (int i = 0; i < 29; i++) {
		sim_step(&sim, 100 * MS, i % 2 ? 4000 : 3400); /* 85% and 100%: 92.5% */
		assert_int_equal(sim.state.value, 4);
	}
	sim_step(&sim, 100 * MS, 4000);
	assert_int_equal(sim.state.value, 5);
	assert_int_equal(sim.advice.reason, REASON_BUSY);
	assert_int_equal(sim.advice.from, 4);
	assert_int_equal(sim.advice.span_us, 3 * S);
	assert_int_equal(sim.advice.used_permille, 925);
}

static void loop_pauses(void **state)
{
	struct sim sim;

	(void)state;
	loop_at(&sim, 8, 4);
	assert_true(sim_slots(&sim, 3 * S, 1000));
	assert_false(sim_slots(&sim, 4900 * MS, 1000)); /* 3 s are over, 5 s are not */
	assert_true(sim_slots(&sim, 100 * MS, 1000));
	assert_int_equal(sim.state.value, 6);

	loop_at(&sim, 8, 6);
	sim.rule.numbers.lower_hold_us = 1 * S;
	assert_true(sim_slots(&sim, 1 * S, 100));
	assert_false(sim_slots(&sim, 9900 * MS, 100));
	assert_true(sim_slots(&sim, 100 * MS, 100));
	assert_int_equal(sim.state.value, 4);
}

static void no_reversal(void **state)
{
	struct sim sim;

	(void)state;
	loop_at(&sim, 8, 4);
	sim.rule.numbers.lower_hold_us = sim.rule.numbers.lower_pause_us = 0;
	assert_true(sim_slots(&sim, 3 * S, 1000));
	assert_false(sim_slots(&sim, 9900 * MS, 100));
	assert_true(sim_slots(&sim, 100 * MS, 100));
	assert_int_equal(sim.state.value, 4);
	assert_int_equal(sim.advice.reason, REASON_IDLE);
}

static void throttling(void **state)
{
	static const struct {
		const char *why;
		unsigned throttled; /* bit i: period i is */
		uint32_t n_periods; /* in one sample */
		int due;	    /* after so many samples; 0: never in six */
	} rows[] = {
		{ "none", 0, 1, 0 },
		{ "one of three", 0x9, 1, 0 },
		{ "two of three, side by side", 0x3, 1, 3 },
		{ "two of three, apart", 0x5, 1, 3 },
		{ "two of four, apart by two", 0x12, 1, 0 },
		{ "late ones", 0x30, 1, 6 },
		{ "samples of three periods: the same part of them", 0x6, 3, 1 },
		{ "samples of three periods with one each", 0x12, 3, 0 },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct sim sim;
		int due = 0;
		unsigned period = 0;

		loop_at(&sim, 8, 4);
		for (int k = 1; k <= 6 && due == 0; k++) {
			for (uint32_t n = 0; n < rows[i].n_periods; n++)
				sim.sample.n_throttled += rows[i].throttled >> period++ & 1;
			sim.sample.n_periods += rows[i].n_periods;
			sim_step(&sim, 100 * MS, 2600);
			if (sim.advice.reason == REASON_THROTTLED)
				due = k;
		}
		if (due != rows[i].due || sim.state.value != (due ? 3 : 4))
			fail_msg("%s: after %d samples, %u threads", rows[i].why, due,
				 sim.state.value);
	}
}

/* Throttled means that the quota is what is short, not threads. */
static void throttled_and_busy(void **state)
{
	struct sim sim;

	(void)state;
	loop_at(&sim, 8, 2);
	for (int i = 0; i < 100; i++) {
		sim.sample.n_periods++;
		sim.sample.n_throttled++;
		sim_step(&sim, 100 * MS, 2000);
		assert_int_equal(sim.state.value, 2);
	}
}

static void limits(void **state)
{
	struct sim sim;

	(void)state;
	loop_at(&sim, 8, 16);
	sim.sample.most = 5; /* a quota */
	sim_step(&sim, 100 * MS, 3000);
	assert_int_equal(sim.state.value, 5);
	assert_int_equal(sim.advice.reason, REASON_LIMITED);
	sim.sample.n_pu = 2;
	sim_step(&sim, 100 * MS, 1000);
	assert_int_equal(sim.state.value, 4);
	sim.sample.most = 1;
	sim_step(&sim, 100 * MS, 1000);
	assert_int_equal(sim.state.value, 1); /* the least gives way */

	/* More PUs alone are no reason for more threads, and begin the time anew. */
	loop_at(&sim, 2, 2);
	assert_false(sim_slots(&sim, 2900 * MS, 1000));
	sim.sample.n_pu = 8;
	assert_false(sim_slots(&sim, 3000 * MS, 1000));
	assert_true(sim_slots(&sim, 100 * MS, 1000));
	assert_int_equal(sim.state.value, 3);

	/* Without Overcommit= the PUs are the limit. */
	loop_at(&sim, 2, 2);
	sim.rule.overcommit_permille = 1000;
	assert_false(sim_slots(&sim, 60 * S, 1000));
}

static void safe_moments(void **state)
{
	struct sim sim;

	(void)state;
	loop_at(&sim, 8, 4);
	sim.rule.safe_us = 20 * S;
	assert_true(sim_slots(&sim, 3 * S, 1000)); /* the first one is as good as any */
	assert_false(sim_slots(&sim, 19900 * MS, 1000));
	assert_true(sim_slots(&sim, 100 * MS, 1000));

	loop_at(&sim, 8, 4);
	sim.sample.is_moving = 1;
	assert_false(sim_slots(&sim, 30 * S, 1000));
	sim.sample.is_moving = 0;
	assert_true(sim_slots(&sim, 100 * MS, 1000));
}

/* A workload that was started anew counts from nothing. */
static void other_counters(void **state)
{
	struct sim sim;

	(void)state;
	loop_at(&sim, 8, 4);
	assert_false(sim_slots(&sim, 2900 * MS, 1000));
	sim.sample.usage_us = 0;
	sim_step(&sim, 100 * MS, 0);
	assert_false(sim_slots(&sim, 2900 * MS, 1000));
	assert_true(sim_slots(&sim, 100 * MS, 1000));
	/* A sample of no new time is left out. */
	sim.sample.usage_us += 1000 * S;
	sim_sample(&sim);
	assert_int_equal(sim.advice.reason, REASON_NONE);
	assert_int_equal(sim.state.value, 5);
}

/* ---- staged ---- */

static void cold_start(void **state)
{
	struct sim sim;

	(void)state;
	sim_begin(&sim, REGULATOR_STAGED, 16);
	assert_int_equal(sim.state.value, 2); /* before the first sample too */
	sim_sample(&sim);
	assert_int_equal(sim.state.value, 2);
	probe(&sim, 1800); /* 90% of two slots is not above it */
	assert_int_equal(sim.state.value, 2);
	probe(&sim, 1810);
	assert_int_equal(sim.state.value, 3);
	assert_int_equal(sim.advice.reason, REASON_COLD_BUSY);
	probe(&sim, 3000);
	assert_int_equal(sim.state.value, 4);
	probe(&sim, 4000);
	assert_int_equal(sim.state.value, 4); /* at most */
	assert_int_equal(sim.advice.stage, STAGE_COLD);
	sim_step(&sim, 10 * S - 1, 4000);
	assert_int_equal(sim.advice.stage, STAGE_COLD);
	sim_step(&sim, 1, 4000); /* 30 s */
	assert_int_equal(sim.advice.stage, STAGE_PROBING);
}

/* One with all of the time blocked: 0.4 threads a PU, and 0.6 for each PU used. */
static const struct regulate_advice *probe_blocked(struct sim *sim, uint64_t used_mcpu)
{
	sim->sample.blocked_us += sim->rule.numbers.probe_us;
	return probe(sim, used_mcpu);
}

static void targets(void **state)
{
	static const struct {
		const char *why;
		uint32_t n_pu, value;
		uint64_t used_mcpu, blocked_permille;
		uint32_t becomes; /* after three samples */
	} rows[] = {
		/* target = n_pu × (0.6 × used + 0.4 × blocked) */
		{ "blocked alone: 6.4", 16, 5, 0, 1000, 6 },
		{ "used and blocked: 3 + 5", 16, 6, 5000, 782, 8 },
		{ "down by two at most", 16, 9, 1600, 0, 7 },
		{ "down to the least", 16, 3, 0, 0, 2 },
		{ "15% above is not enough: 4.6", 23, 4, 0, 500, 4 },
		{ "more than 15% above is: 4.63", 23, 4, 0, 503, 5 },
		{ "13% below is not enough: 7.8 of 9", 39, 9, 0, 500, 9 },
		{ "16% below is: 7.56 of 9", 42, 9, 0, 450, 8 },
		{ "15% of two is less than half a thread: 2.4", 12, 2, 0, 500, 2 },
		/* at least what is used */
		{ "use that fills 90% of 8 slots keeps 9", 16, 9, 7200, 0, 9 },
		{ "use that fills 90% of 7 slots does not", 16, 9, 6300, 0, 7 },
		{ "95% of the slots busy: 4.2 would do", 16, 4, 3800, 0, 4 },
		{ "above 95%: one more", 16, 4, 3810, 0, 5 },
		{ "above 95% of many: 15% more, two at most", 32, 20, 19500, 0, 22 },
		{ "all slots busy: a whole step", 16, 4, 4000, 0, 6 },
		{ "99% is not all", 16, 4, 3960, 0, 5 },
		{ "at the limit", 8, 16, 16000, 0, 16 },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct sim sim;

		probing_at(&sim, rows[i].n_pu, rows[i].value);
		for (int k = 0; k < 3; k++) {
			if (sim.state.value != rows[i].value)
				fail_msg("%s: after %d samples", rows[i].why, k);
			sim.sample.blocked_us += 5 * S * rows[i].blocked_permille / 1000;
			probe(&sim, rows[i].used_mcpu);
		}
		if (sim.state.value != rows[i].becomes)
			fail_msg("%s: %u", rows[i].why, sim.state.value);
	}
}

/* Samples on both sides of the value, or one that is near it, are no direction. */
static void disagreement(void **state)
{
	struct sim sim;

	(void)state;
	probing_at(&sim, 10, 4);
	probe(&sim, 4000); /* more than 4 */
	probe(&sim, 1000); /* 2 */
	probe(&sim, 4000);
	assert_int_equal(sim.state.value, 4);
	probe(&sim, 4000);
	assert_int_equal(sim.state.value, 4);
	probe(&sim, 4000);
	assert_int_equal(sim.state.value, 6);
	assert_int_equal(sim.advice.reason, REASON_PROBED);
	/* After a step three new ones. */
	probe(&sim, 6000);
	probe(&sim, 6000);
	assert_int_equal(sim.state.value, 6);
	probe(&sim, 6000);
	assert_int_equal(sim.state.value, 8);
}

static void locking(void **state)
{
	struct sim sim;

	(void)state;
	probing_at(&sim, 10, 4);
	probe_blocked(&sim, 0);
	probe_blocked(&sim, 0);
	assert_int_equal(sim.advice.stage, STAGE_PROBING);
	probe_blocked(&sim, 350); /* 4.0, 4.0, 4.21: more than 5% of their mean */
	assert_int_equal(sim.advice.stage, STAGE_PROBING);
	probe_blocked(&sim, 0);
	probe_blocked(&sim, 0);
	assert_int_equal(sim.advice.stage, STAGE_PROBING);
	probe_blocked(&sim, 300); /* 4.18: less than 5% */
	assert_int_equal(sim.advice.stage, STAGE_STEADY);
	assert_int_equal(sim.advice.reason, REASON_LOCKED);
	assert_int_equal(sim.state.cached, 4);
	assert_true(regulate_next_us(&sim.rule, &sim.state) == sim.now_us + 300 * S);
	sim.rule.numbers.steady_us = 0;
	assert_true(regulate_next_us(&sim.rule, &sim.state) == UINT64_MAX);

	/* 4.06 is locked: up to 15% off it stays, from there on it is probed. */
	probe_blocked(&sim, 1110); /* 4.666 */
	assert_int_equal(sim.advice.stage, STAGE_STEADY);
	probe_blocked(&sim, 1120); /* 4.672 */
	assert_int_equal(sim.advice.stage, STAGE_PROBING);
	assert_int_equal(sim.advice.reason, REASON_UNLOCKED);
	assert_int_equal(sim.state.value, 4);
	assert_true(regulate_next_us(&sim.rule, &sim.state) == sim.now_us + 5 * S);
}

/* Whatever it uses, it comes to rest, with slots for all of it and few more. */
static void comes_to_rest(void **state)
{
	(void)state;
	for (uint32_t demand_mcpu = 0; demand_mcpu <= 20000; demand_mcpu += 250) {
		uint32_t needs = demand_mcpu * 10 / 9, value = 0;
		struct sim sim;

		probing_at(&sim, 16, 2);
		sim.rule.overcommit_permille = 1000;
		for (int i = 0; i < 200 && sim.advice.stage != STAGE_STEADY; i++) {
			value = sim.state.value;
			probe(&sim, demand_mcpu < value * 1000 ? demand_mcpu : value * 1000);
		}
		if (sim.advice.stage != STAGE_STEADY ||
		    (value * 1150 < 16000 && value * 950 < demand_mcpu) ||
		    (value > 2 && value * 850 > needs + 1000))
			fail_msg("%u mcpu: stage %u with %u threads", demand_mcpu, sim.advice.stage,
				 value);
	}
}

static void locked_until_a_limit_changes(void **state)
{
	struct sim sim;

	(void)state;
	for (int which = 0; which < 2; which++) {
		probing_at(&sim, 10, 4);
		for (int i = 0; i < 3; i++)
			probe_blocked(&sim, 0);
		assert_int_equal(sim.advice.stage, STAGE_STEADY);
		if (which == 0)
			sim.sample.most = 9;
		else
			sim.sample.n_pu = 11;
		probe_blocked(&sim, 0);
		assert_int_equal(sim.advice.stage, STAGE_PROBING);
		assert_int_equal(sim.state.value, 4);
	}
}

/* The next start begins where the last one was steady. */
static void cached_start(void **state)
{
	struct sim sim;

	(void)state;
	sim_begin(&sim, REGULATOR_STAGED, 16);
	regulate_begin(&sim.rule, 7, &sim.state);
	assert_int_equal(sim.state.value, 7);
	sim_sample(&sim);
	assert_int_equal(sim.state.value, 7);
	assert_int_equal(sim.advice.stage, STAGE_PROBING);
	/* What the machine of today does not hold is cut. */
	regulate_begin(&sim.rule, 70, &sim.state);
	sim_step(&sim, 1, 0);
	assert_int_equal(sim.state.value, 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loop_holds),
		cmocka_unit_test(loop_means),
		cmocka_unit_test(loop_pauses),
		cmocka_unit_test(no_reversal),
		cmocka_unit_test(throttling),
		cmocka_unit_test(throttled_and_busy),
		cmocka_unit_test(limits),
		cmocka_unit_test(safe_moments),
		cmocka_unit_test(other_counters),
		cmocka_unit_test(cold_start),
		cmocka_unit_test(targets),
		cmocka_unit_test(disagreement),
		cmocka_unit_test(locking),
		cmocka_unit_test(comes_to_rest),
		cmocka_unit_test(locked_until_a_limit_changes),
		cmocka_unit_test(cached_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
