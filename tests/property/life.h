/* A random machine with workloads that come, change and go, and what must hold for every plan of
 * it. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "oracle/grade.h"
#include "plan/plan_diff.h"
#include "plan/plan_text.h"
#include "property/random.h"

#define LIFE_N_WORKLOAD 24
#define LIFE_N_LIMIT	8
#define LIFE_N_POOL	3
#define LIFE_N_GRAVE	64

struct life {
	uint64_t seed, first_seed;
	uint64_t n_steps;
	struct topology *topology;
	struct housekeeping housekeeping;
	struct cpuset allowed;
	struct pool *pools[LIFE_N_POOL];
	/* by slot; a workload's name is its slot, so the order of slots is that of names */
	struct workload *confs[LIFE_N_WORKLOAD];
	struct cpuset ceilings[LIFE_N_WORKLOAD];
	uint32_t limit_of[LIFE_N_WORKLOAD];
	bool rounds_up[LIFE_N_WORKLOAD];
	struct limit limits[LIFE_N_LIMIT];
	char paths[LIFE_N_LIMIT][16];
	/* confs that went, but that the previous plan still speaks of */
	struct workload *graves[LIFE_N_GRAVE];
	size_t n_graves;
	/* what the planner sees, made anew by life_snapshot() */
	struct snapshot_workload workloads[LIFE_N_WORKLOAD];
	struct snapshot snapshot;
};

void life_begin(struct life *life, uint64_t seed);
void life_end(struct life *life);
/* Something happens: arrival, departure, change, quota, hotplug. */
void life_change(struct life *life);
/* Only quotas: the limit that changed. */
uint32_t life_change_quota(struct life *life);
const struct snapshot *life_snapshot(struct life *life);
void life_bury(struct life *life);

/* Each ends the test with the seed and the step where something does not hold. */
void check_places(const struct life *life, const struct plan *plan);
void check_quotas(const struct life *life, const struct plan *plan);
void check_same(const struct life *life, const struct plan *a, const struct plan *b,
		const char *what);
enum comparison {
	COMPARISON_AS_GOOD, /* or better */
	COMPARISON_WORSE,
	COMPARISON_OTHER, /* more is placed, or others have more PUs than their minimum: items that
			     follow mean nothing then */
};

/* @ret_item: the first that is worse. */
enum comparison check_as_good(const struct life *life, const struct plan *plan,
			      const struct plan *scratch, enum grade_item *ret_item);
void check_steps(const struct life *life, const struct plan *before, const struct plan *after);

void life_fail(const struct life *life, const char *format, ...)
	__attribute__((format(printf, 2, 3), noreturn));
