/* Regulators: (state, sample, now) → (state, advice). Pure: no clock, no file, no memory of its
 * own, so that a test, `sidecarctl replay` and the daemon do the very same with the same samples.
 *
 * A sample is the counters as the kernel gives them, which only grow; the differences are made
 * here. Two regulators (model/regulator.h has their numbers), and around both: limits, a
 * stabilisation window, the runtime's safe interval, and a breaker that takes back a step after
 * which things are worse. */
#pragma once

#include "model/regulator.h"

/* What one workload is regulated by: its pool's numbers and its own. */
struct regulate_rule {
	struct regulator numbers;     /* type is never REGULATOR_POOL */
	uint32_t overcommit_permille; /* of its PUs, 1000 or more: threads that its runtime can use
				       */
	uint64_t safe_us; /* at least between two changes: what a change costs the runtime */
};

#define REGULATE_UNKNOWN UINT32_MAX

struct regulate_sample {
	uint32_t n_pu; /* PUs of its partition, ≥ 1 */
	uint32_t most; /* threads that its quotas leave, ≥ 1 */
	/* cpu.stat; the last three stay 0 where no quota is set or the controller is off. */
	uint64_t usage_us, n_periods, n_throttled, throttled_us;
	/* "some" totals of cpu.pressure and io.pressure: the time in which one or more of its
	 * threads waited for a PU, and for storage. 0 where the kernel counts none. */
	uint64_t pressure_us, blocked_us;
	uint32_t wait_p99_us; /* on run queues since the last sample; REGULATE_UNKNOWN */
	uint32_t is_moving;   /* its PUs are being handed over: nothing is to change now */
};

enum regulate_stage { STAGE_COLD, STAGE_PROBING, STAGE_STEADY, STAGE_LOOP };
enum regulate_breaker { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };

enum regulate_reason {
	REASON_NONE,	    /* nothing happened */
	REASON_BEGUN,	    /* the first value */
	REASON_LIMITED,	    /* PUs or quotas changed */
	REASON_COLD_BUSY,   /* cold start: all slots are busy */
	REASON_PROBED,	    /* samples in a row ask for it */
	REASON_LOCKED,	    /* steady; no step */
	REASON_UNLOCKED,    /* a sample departs; no step */
	REASON_BUSY,	    /* slots above the upper mark */
	REASON_IDLE,	    /* slots below the lower mark */
	REASON_THROTTLED,   /* the quota was used up in too many periods */
	REASON_ROLLED_BACK, /* things were worse after the last step */
};

/* As the counters were at one time. */
struct regulate_reading {
	uint64_t time_us, usage_us, n_periods, n_throttled, throttled_us, pressure_us, blocked_us;
	uint64_t wait_sum_us, n_waits; /* of the samples' p99, where known */
};

#define REGULATE_N_READINGS 128u

/* Fixed size and no pointer: copied by assignment, saved by a table of its fields. All-zero is the
 * state before regulate_begin(). */
struct regulate_state {
	uint32_t value; /* threads; 0: none yet */
	uint32_t n_pu, most;
	uint32_t stage, breaker;
	uint64_t begun_us;   /* of the first sample */
	uint64_t floor_us;   /* utilisation counts from here: the last step or change of limits */
	uint64_t changed_us; /* value was last changed; only where has_changed */
	uint64_t stepped_us; /* the last step up or down; only where direction is not 0 */
	uint32_t has_begun, has_changed;
	uint32_t direction; /* of the last step: 0 none, 1 up, 2 down */

	/* Readings kept, thinned so that they reach back as far as any decision looks. */
	struct regulate_reading last, before;
	struct regulate_reading kept[REGULATE_N_READINGS];
	uint32_t first_kept, n_kept, n_read;

	/* Staged. Targets in thousandths of a thread, the newest last. */
	uint32_t targets_milli[REGULATOR_SAMPLES_MAX];
	uint32_t n_targets, locked_milli;
	uint32_t cached; /* the value it was locked at last; 0: never */

	/* Breaker. */
	uint32_t watch_from; /* the value before the step that is being watched; 0: none is */
	uint32_t n_watched;
	struct regulate_reading watch; /* at the step */
	uint32_t base_throttled_permille, base_pressure_permille, base_wait_us;
	uint64_t cool_us, open_until_us;
};

struct regulate_advice {
	uint32_t parallelism; /* threads, 0: none yet */
	uint32_t from;	      /* before this sample */
	enum regulate_reason reason;
	enum regulate_stage stage;
	enum regulate_breaker breaker;
	/* The samples that caused it: over span_us of them. */
	uint64_t span_us;
	uint32_t used_permille;	   /* of its slots */
	uint32_t blocked_permille; /* of the time */
	uint32_t n_periods, n_throttled;
	uint32_t pressure_permille;
	uint32_t wait_p99_us; /* mean of the samples'; REGULATE_UNKNOWN */
};

/* A new life of the workload. @cached: where it was steady in an earlier one; 0: not known. */
void regulate_begin(const struct regulate_rule *rule, uint32_t cached,
		    struct regulate_state *ret_state);

/* The counters that follow cannot be compared with those so far: what was told stays, what was seen
 * is forgotten. */
void regulate_rebase(struct regulate_state *state);

/* One sample. @now_us: any clock that does not go back; a sample that is not newer than the last
 * one is left out. */
void regulate(const struct regulate_rule *rule, struct regulate_state *state,
	      const struct regulate_sample *sample, uint64_t now_us,
	      struct regulate_advice *ret_advice);

/* When the next sample is wanted; UINT64_MAX: none until something else happens. */
uint64_t regulate_next_us(const struct regulate_rule *rule, const struct regulate_state *state);

/* Lending: how many of an exclusive workload's PUs others may use until the next sample. */
struct regulate_loan {
	uint32_t n_lent, has_last;
	uint64_t last_us, usage_us, pressure_us;
};
/* Half of what is idle at a time, never the last idle one; all of it comes back as soon as a sample
 * shows the owner waiting or without an idle PU of its own. */
uint32_t regulate_lend(struct regulate_loan *loan, const struct regulate_sample *sample,
		       uint64_t now_us);
