#include "plan/plan.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "plan/plan_work.h"

/* ---- life ---- */

struct plan *plan_free(struct plan *plan)
{
	if (!plan)
		return NULL;
	for (size_t i = 0; !plan->arena && plan->workloads && i < plan->n_workloads; i++) {
		struct plan_workload *workload = &plan->workloads[i];

		free(workload->reason);
		cpuset_done(&workload->cpus);
		cpuset_done(&workload->own);
		nodeset_done(&workload->nodes);
		nodeset_done(&workload->mems);
		free(workload->limited_by_path);
	}
	free(plan->workloads);
	cpuset_done(&plan->cpus);
	cpuset_done(&plan->housekeeping);
	cpuset_done(&plan->exclusive);
	free(plan->fingerprints);
	share_free(plan->share);
	arena_free(plan->arena);
	free(plan);
	return NULL;
}

void plan_freep(struct plan **plan)
{
	plan_free(*plan);
}

/* ---- making ---- */

static int plan_alloc(struct work *work)
{
	const struct snapshot *snapshot = work->snapshot;
	struct plan *plan = work->plan;

	plan->arena = arena_new();
	plan->workloads = calloc(snapshot->n_workloads + 1, sizeof(*plan->workloads));
	/* A domain a pool at most, and the common one. */
	plan->fingerprints = calloc(snapshot->n_pools + 1, sizeof(*plan->fingerprints));
	if (!plan->arena || !plan->workloads || !plan->fingerprints)
		return -ENOMEM;
	plan->n_workloads = snapshot->n_workloads;
	plan->generation = work->previous ? work->previous->generation + 1 : 1;
	return 0;
}

static int plan_domains(struct work *work)
{
	for (uint32_t d = 0; d < work->grid.n_domain; d++) {
		int r;

		count_sizes(work, d);
		r = keep_domain(work, d);
		if (r == 0)
			r = domain_plan(work, d);
		if (r < 0)
			return r;
		work->plan->n_fingerprints = d + 1;
	}
	return 0;
}

static int plan_fill_in(struct work *work, struct fault *fault)
{
	int r = plan_alloc(work);

	if (r == 0)
		r = setup(work, fault);
	if (r == 0)
		r = plan_domains(work);
	if (r == 0)
		r = results_make(work);
	if (r == 0)
		r = share_make(work->plan, work->snapshot);
	if (r == 0)
		r = bound_make(work);
	return r;
}

/* Says what is wrong where that was not done yet. */
static int checked(int r, struct fault *fault)
{
	return r == -ENOMEM ? fault_set(fault, r, "no memory for a plan") : r;
}

struct planner *planner_new(void)
{
	cleanup(planner_freep) struct planner *planner = calloc(1, sizeof(*planner));

	if (!planner)
		return NULL;
	planner->scratch = arena_new();
	return planner->scratch ? TAKE_PTR(planner) : NULL;
}

struct planner *planner_free(struct planner *planner)
{
	if (planner)
		arena_free(planner->scratch);
	free(planner);
	return NULL;
}

void planner_freep(struct planner **planner)
{
	planner_free(*planner);
}

size_t planner_n_bytes(const struct planner *planner)
{
	return sizeof(*planner) + arena_n_bytes(planner->scratch);
}

int planner_make(struct planner *planner, const struct snapshot *snapshot,
		 const struct plan *previous, uint64_t now_us, struct plan **ret_plan,
		 struct fault *fault)
{
	cleanup(plan_freep) struct plan *plan = calloc(1, sizeof(*plan));
	int r;

	/* The search counts steps instead of looking at a clock (plan_work.h). */
	(void)now_us;
	if (!plan)
		return checked(-ENOMEM, fault);
	planner->plan = NULL;
	arena_reset(planner->scratch);
	planner->work = (struct work){ .snapshot = snapshot,
				       .previous = previous,
				       .plan = plan,
				       .scratch = planner->scratch };
	domain_steps(&planner->work);
	r = plan_fill_in(&planner->work, fault);
	if (r < 0)
		return checked(r, fault);
	planner->plan = plan;
	*ret_plan = TAKE_PTR(plan);
	return 0;
}

int plan_make(const struct snapshot *snapshot, const struct plan *previous, uint64_t now_us,
	      struct plan **ret_plan, struct fault *fault)
{
	cleanup(planner_freep) struct planner *planner = planner_new();

	if (!planner)
		return checked(-ENOMEM, fault);
	return planner_make(planner, snapshot, previous, now_us, ret_plan, fault);
}

/* ---- reading ---- */

const struct plan_workload *plan_find(const struct plan *plan, const char *name)
{
	size_t first = 0, end = plan->n_workloads;

	while (first < end) {
		size_t middle = first + (end - first) / 2;
		int order = strcmp(plan->workloads[middle].conf->name, name);

		if (order == 0)
			return &plan->workloads[middle];
		if (order < 0)
			first = middle + 1;
		else
			end = middle;
	}
	return NULL;
}

bool plan_workload_same_place(const struct plan_workload *a, const struct plan_workload *b)
{
	return a->placed == b->placed && cpuset_equal(&a->cpus, &b->cpus) &&
	       cpuset_equal(&a->own, &b->own) && nodeset_equal(&a->mems, &b->mems);
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

bool plan_workload_same_answer(const struct plan_workload *a, const struct plan_workload *b)
{
	return plan_workload_same_place(a, b) && nodeset_equal(&a->nodes, &b->nodes) &&
	       a->n_pu == b->n_pu && a->n_core == b->n_core && a->quota_mcpu == b->quota_mcpu &&
	       a->parallelism.floor == b->parallelism.floor &&
	       a->parallelism.ceil == b->parallelism.ceil &&
	       a->parallelism.advised == b->parallelism.advised && a->limited_by == b->limited_by &&
	       same_text(a->limited_by_path, b->limited_by_path) &&
	       same_text(a->reason, b->reason) && a->conf->exclusive == b->conf->exclusive &&
	       a->conf->n_exclusive == b->conf->n_exclusive && a->conf->role == b->conf->role &&
	       same_text(a->conf->pool, b->conf->pool);
}

char *plan_limited_by_text(const struct plan_workload *workload)
{
	static const char *const words[] = {
		[LIMITED_BY_NOTHING] = "nothing",     [LIMITED_BY_PARTITION] = "partition",
		[LIMITED_BY_QUOTA] = "cpu.max of ",   [LIMITED_BY_CPUSET] = "cpuset of ",
		[LIMITED_BY_POOL] = "pool ",	      [LIMITED_BY_MAX] = "max",
		[LIMITED_BY_REGULATOR] = "regulator",
	};
	const char *path = workload->limited_by_path ? workload->limited_by_path : "";
	char *text = NULL;

	return asprintf(&text, "%s%s", words[workload->limited_by], path) < 0 ? NULL : text;
}
