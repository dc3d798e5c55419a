/* A workload and its regulator on a simulated clock: the counters grow as a test says. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/cleanup.h"
#include "regulate/regulate.h"

#define MS UINT64_C(1000)
#define S  (1000 * MS)

/* The defaults of pools.d/; tests/unit/test_conf.c holds the table of keys to them. */
static inline struct regulate_rule rule_default(enum regulator_type type)
{
	return (struct regulate_rule){
		.numbers = {
			.type = type,
			.least = 2,
			.most_permille = 2000,
			.stable_us = 10 * S,
			.cold_us = 30 * S,
			.cold_least = 2,
			.cold_most = 4,
			.probe_us = 5 * S,
			.used_permille = 600,
			.blocked_permille = 400,
			.n_samples = 3,
			.depart_permille = 150,
			.settle_permille = 50,
			.step_most = 2,
			.steady_us = 300 * S,
			.interval_us = 100 * MS,
			.raise_permille = 900,
			.raise_hold_us = 3 * S,
			.raise_pause_us = 5 * S,
			.lower_permille = 400,
			.lower_hold_us = 10 * S,
			.lower_pause_us = 10 * S,
			.n_throttled = 2,
			.n_periods = 3,
			.tolerance_permille = 200,
			.watch_us = 5 * S,
			.cool_us = 30 * S,
			.cool_most_us = 600 * S,
		},
		.overcommit_permille = 1000,
	};
}

struct sim {
	struct regulate_rule rule;
	struct regulate_state state;
	struct regulate_sample sample;
	struct regulate_advice advice;
	uint64_t now_us;
};

static inline void sim_begin(struct sim *sim, enum regulator_type type, uint32_t n_pu)
{
	*sim = (struct sim){ .rule = rule_default(type), .now_us = 1000 * S };
	sim->sample = (struct regulate_sample){ .n_pu = n_pu,
						.most = UINT32_MAX,
						.wait_p99_us = REGULATE_UNKNOWN };
	regulate_begin(&sim->rule, 0, &sim->state);
}

static inline const struct regulate_advice *sim_sample(struct sim *sim)
{
	regulate(&sim->rule, &sim->state, &sim->sample, sim->now_us, &sim->advice);
	return &sim->advice;
}

/* One sample later: @used_mcpu of CPU time a second went by, in thousandths of a PU. */
static inline const struct regulate_advice *sim_step(struct sim *sim, uint64_t span_us,
						     uint64_t used_mcpu)
{
	sim->now_us += span_us;
	sim->sample.usage_us += span_us * used_mcpu / 1000;
	return sim_sample(sim);
}

/* Samples at the loop's interval with @used_permille of the present slots busy, until @span_us are
 * over or the value changes. True where it did. */
static inline bool sim_slots(struct sim *sim, uint64_t span_us, uint64_t used_permille)
{
	uint64_t end_us = sim->now_us + span_us;

	while (sim->now_us < end_us) {
		uint32_t value = sim->state.value;

		sim_step(sim, sim->rule.numbers.interval_us, used_permille * value);
		if (sim->state.value != value)
			return true;
	}
	return false;
}

/* A loop with @value threads on @n_pu PUs that has just begun. */
static inline void loop_at(struct sim *sim, uint32_t n_pu, uint32_t value)
{
	sim_begin(sim, REGULATOR_LOOP, n_pu);
	sim->rule.overcommit_permille = 2000;
	sim->state.value = value;
	sim_sample(sim);
	assert_int_equal(sim->advice.reason, REASON_BEGUN);
	assert_int_equal(sim->state.value, value);
}

static inline const struct regulate_advice *probe(struct sim *sim, uint64_t used_mcpu)
{
	return sim_step(sim, sim->rule.numbers.probe_us, used_mcpu);
}

/* Past the cold start, with @value threads and no sample yet. */
static inline void probing_at(struct sim *sim, uint32_t n_pu, uint32_t value)
{
	sim_begin(sim, REGULATOR_STAGED, n_pu);
	sim->rule.overcommit_permille = 2000;
	sim->state.value = value;
	sim->state.stage = STAGE_PROBING;
	sim_sample(sim);
}
