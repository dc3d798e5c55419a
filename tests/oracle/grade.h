/* How good a plan is, measured from the machine and the sets of PUs alone: nothing of the planner's
 * own is looked at. Less is better everywhere. Counts exclusive workloads that are placed; the
 * others run wherever there is room. */
#pragma once

#include "plan/plan.h"

/* What a node beyond the minimum costs: the data plane first. */
#define GRADE_DATA    4u
#define GRADE_CONTROL 2u
#define GRADE_BATCH   1u

enum grade_item {
	GRADE_UNPLACED, /* item 1: workloads without their minimum */
	GRADE_SHARED,	/* item 2: exclusive PUs with two owners, or outside the allowed set */
	GRADE_NODES,	/* item 3: nodes, weighted by role */
	GRADE_PACKAGES, /* item 3: packages */
	GRADE_DISTANCE, /* item 3: sum over the pairs of each workload's nodes, both ways */
	GRADE_NEAR,	/* item 5: PUs on nodes that are near none of NearDevice= */
	GRADE_L3,	/* item 6: L3 groups */
	GRADE_DIES,	/* item 6: dies */
	GRADE_L2,	/* item 6: L2 groups */
	GRADE_BESIDE,	/* item 7: PUs of data planes with somebody else's PU on their core */
	GRADE_KIND,	/* item 8: PUs of another kind than CoreType= asks for */
	GRADE_N_ITEMS
};

struct grade {
	uint64_t items[GRADE_N_ITEMS]; /* absolute, not beyond the minimum */
	uint64_t n_pu;		       /* PUs handed out */
	uint64_t n_straddling; /* workloads on several nodes that one empty node could hold */
};

/* 0 or -ENOMEM. */
int grade_plan(const struct snapshot *snapshot, const struct plan *plan, struct grade *ret_grade);
/* The same for one set of PUs by itself. */
int grade_set(const struct topology *topology, const struct cpuset *cpus, enum workload_role role,
	      struct grade *ret_grade);

/* Which of its PUs are its own. */
const struct cpuset *grade_own(const struct plan_workload *workload);
uint32_t grade_weight(enum workload_role role);
const char *grade_name(enum grade_item item);
/* The first item in which the two differ and by how much of @b's value; 0: alike. Negative: @a is
 * better. Both must be of the same workloads. */
double grade_gap(const struct grade *a, const struct grade *b, enum grade_item *ret_item);

/* The fewest nodes (or L3 groups) of the allowed part of the machine that hold @n PUs. */
uint32_t grade_fewest_nodes(const struct snapshot *snapshot, uint32_t n, bool in_whole_cores);
uint32_t grade_fewest_l3s(const struct snapshot *snapshot, uint32_t n, bool in_whole_cores);
/* PUs taken from workloads that were placed in both plans. */
uint64_t grade_moved(const struct plan *before, const struct plan *after);
