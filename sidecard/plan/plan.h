/* The answer for all workloads at one instant: a pure function of a snapshot, the previous plan and
 * a clock value. Same input, same plan, byte for byte. No system call, no log, no clock read. */
#pragma once

#include "base/err.h"
#include "model/snapshot.h"

/* What keeps a workload from running more threads. A quota is named only where it leaves less than
 * the PUs do; where both leave the same it is the PUs that are named, and of those Max= before a
 * cpuset before the pool. */
enum limited_by {
	LIMITED_BY_NOTHING,   /* it is not placed */
	LIMITED_BY_PARTITION, /* the PUs of its partition */
	LIMITED_BY_QUOTA,     /* cpu.max of limited_by_path */
	LIMITED_BY_CPUSET,    /* cpuset of limited_by_path */
	LIMITED_BY_POOL,      /* the pool's PUs */
	LIMITED_BY_MAX,	      /* Max=, of one that is not exclusive */
	LIMITED_BY_REGULATOR, /* what is advised is what its regulator asks for */
};

struct parallelism {
	uint32_t floor, ceil, advised; /* whole threads, each ≥ 1 */
};

struct plan_workload {
	const struct workload *conf; /* borrowed from the snapshot: it must outlive the plan */
	bool placed;
	char *reason; /* why it is not placed, and the smallest change that would place it; NULL
			 where placed */
	struct cpuset cpus; /* where it may run; empty where not placed */
	struct cpuset own;  /* with Exclusive=2 those of cpus that are its own; else empty: all are
			       (Exclusive=yes) or none */
	struct nodeset nodes; /* NUMA nodes of cpus */
	struct nodeset mems;  /* nodes its memory should come from */
	uint32_t n_pu, n_core;
	uint32_t limit;	     /* as in the snapshot */
	uint32_t quota_mcpu; /* tightest level over all ancestors, before sharing */
	uint32_t share_mcpu; /* its part of it once shared with the others below the same level */
	struct parallelism parallelism;
	uint32_t n_most; /* threads that a regulator may ask for */
	enum limited_by limited_by;
	char *limited_by_path; /* cgroup path or pool name; NULL where none belongs to it */
};

/* What only plan/ itself reads: numbers kept for plan_reshare(), memory that sets and texts of the
 * plan lie in. */
struct plan_share;
struct plan_arena;
struct plan_carve;

struct plan {
	uint64_t generation;
	/* True: no plan is better in what is looked at, since all of it is at its lower bound for
	 * this machine: everything is placed with all it may have, on one NUMA node with memory
	 * that fits, in the fewest L3 groups and cores that hold it, and no PU was taken from
	 * anybody who had it before. Dies, L2 groups and devices are not looked at. */
	bool optimal;
	/* How much better any plan could be at most: what is reached less a lower bound, in the
	 * first item of the objective where the two differ; never too small. 0 where optimal; NAN
	 * where none is known. Items and their units: 1 workloads that are not placed; 3 NUMA nodes
	 * beyond the fewest, a data plane's times 4, a control plane's times 2; 4 workloads whose
	 * nodes lack memory; 5 PUs far from the devices named; 6 L3 groups beyond the fewest; 7 PUs
	 * of data planes on a core that another has a part of; 8 PUs of another kind of core than
	 * wanted; 9 PUs taken from who had them. All of them sums over all workloads. */
	double bound;
	uint32_t bound_item;		 /* that item; 0 where optimal or not known */
	double duration_us;		 /* filled by the caller who measured; 0 otherwise */
	struct cpuset cpus;		 /* all PUs planned over: allowed and online */
	struct cpuset housekeeping;	 /* kept for unmatched processes */
	struct cpuset exclusive;	 /* union of all exclusive partitions */
	struct plan_workload *workloads; /* n_workloads, the snapshot's order: sorted by name */
	size_t n_workloads;

	/* Private. Sets, reasons and paths of the workloads lie in the arena or belong to the
	 * confs: read them, never free them one by one. A plan put together by hand has none of
	 * these three, and plan_free() then frees each set and text of each workload. */
	struct plan_arena *arena;
	struct plan_share *share;
	uint64_t *fingerprints; /* n_fingerprints: of each domain's input, so that what did not
				   change is kept as it is */
	size_t n_fingerprints;
	struct plan_carve *carves; /* n_carves: what pools with Isolation= that name no PU got */
	size_t n_carves;
	uint64_t carve_fingerprint; /* of all that decided it; 0: nothing was carved */
};

/* Plans everything. @previous may be NULL; its placements are kept where that costs nothing. The
 * plan's generation is the previous one's + 1, or 1. Returns 0, -ENOMEM, or -EINVAL where the
 * snapshot contradicts itself. A workload that cannot be placed is no failure: it is in the plan
 * with its reason. */
int plan_make(const struct snapshot *snapshot, const struct plan *previous, uint64_t now_us,
	      struct plan **ret_plan, struct fault *fault);

/* Plans again and again: keeps its memory, so that a plan costs no page that is new to the process,
 * and its view of the machine. One at a time; holds nothing of a snapshot or a plan that was not
 * said below. */
struct planner;

/* NULL where memory is short. */
struct planner *planner_new(void);
struct planner *planner_free(struct planner *planner);
void planner_freep(struct planner **planner);

/* plan_make() on that memory. */
int planner_make(struct planner *planner, const struct snapshot *snapshot,
		 const struct plan *previous, uint64_t now_us, struct plan **ret_plan,
		 struct fault *fault);

/* Bytes that the planner keeps between plans. */
size_t planner_n_bytes(const struct planner *planner);

/* Only bandwidth changed: recomputes quota, share, parallelism and limited_by of every workload
 * below limit @changed (all with LIMIT_NONE, and then the tree of limits may be another one) in
 * place. PUs do not move. Sets @ret_changed[i] (n_workloads bools, may be NULL) to true for each
 * workload whose numbers differ, leaves the others as they are, and returns how many; -ENOMEM, or
 * -EINVAL where the snapshot has other workloads or contradicts itself. Without LIMIT_NONE it
 * allocates nothing. The generation is the caller's business. */
int plan_reshare(struct plan *plan, const struct snapshot *snapshot, uint32_t changed,
		 bool *ret_changed);

/* NULL where the plan has no such workload. */
const struct plan_workload *plan_find(const struct plan *plan, const char *name);

/* True where both say the same of @name's partition (cpus and mems). */
bool plan_workload_same_place(const struct plan_workload *a, const struct plan_workload *b);
/* True where both would be published alike. */
bool plan_workload_same_answer(const struct plan_workload *a, const struct plan_workload *b);

struct plan *plan_free(struct plan *plan);
void plan_freep(struct plan **plan);

/* "cpu.max of /a/b", "partition", "cpuset of /a", "pool gold", "max", "regulator", "nothing":
 * malloc'ed, NULL where memory is short. */
char *plan_limited_by_text(const struct plan_workload *workload);
