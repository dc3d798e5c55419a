/* How parallelism is regulated, as configured: every number that regulate/ decides with. The
 * numbers are a pool's (pools.d/, [Regulator]); a workload adds what belongs to its runtime. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* REGULATOR_POOL: as its pool says; never a pool's own. */
enum regulator_type { REGULATOR_POOL, REGULATOR_NONE, REGULATOR_STAGED, REGULATOR_LOOP };
enum lend_locality { LEND_NONE, LEND_CORE, LEND_L3, LEND_NODE };

/* Most samples in a row that a decision of the staged regulator may ask for. */
#define REGULATOR_SAMPLES_MAX 16u

/* Without gaps between its numbers, so that two can be compared as bytes. */
struct regulator {
	enum regulator_type type;
	uint32_t least;		/* threads, never fewer where the PUs and quotas allow them */
	uint32_t most_permille; /* of the PUs: never more threads */

	/* Staged: cold start, probing, steady. */
	uint32_t cold_least, cold_most;		  /* threads */
	uint32_t used_permille, blocked_permille; /* weights of the two parts of the target */
	uint32_t n_samples;			  /* in a row, for a step and for a lock */
	uint32_t depart_permille;		  /* above: a sample differs */
	uint32_t settle_permille;		  /* below: samples agree */
	uint32_t step_most;			  /* threads */

	/* Closed loop. */
	uint32_t raise_permille;	 /* above, of the slots: one more */
	uint32_t lower_permille;	 /* below: one less */
	uint32_t n_throttled, n_periods; /* so many periods of so many: one less at once */

	uint32_t tolerance_permille; /* of the breaker; 0: there is none */

	uint64_t stable_us; /* no step back within this time after a step */
	uint64_t cold_us, probe_us;
	uint64_t steady_us; /* a look while locked; 0: none */
	uint64_t interval_us, raise_hold_us, raise_pause_us, lower_hold_us, lower_pause_us;
	uint64_t watch_us, cool_us, cool_most_us;
};
_Static_assert(sizeof(struct regulator) == 16 * 4 + 12 * 8, "no gaps");
