/* What must hold for every plan, worked out from the snapshot alone and without any of the
 * planner's own structures. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "property/life.h"

#define NOBODY UINT32_MAX

/* Everything about each PU of the machine, by dense index. */
struct view {
	const struct life *life;
	const struct snapshot *snapshot;
	const struct topology *topology;
	const struct plan *plan;
	uint32_t *owner; /* exclusive workload */
	bool *idle;	 /* beside a PU of Smt=one-per-core */
};

static bool pool_has(const struct pool *pool, const struct topology *topology,
		     const struct topo_pu *pu)
{
	bool names = !cpuset_is_empty(&pool->cpus) || !nodeset_is_empty(&pool->nodes);

	return names && (cpuset_is_empty(&pool->cpus) || cpuset_has(&pool->cpus, pu->pu_os)) &&
	       (nodeset_is_empty(&pool->nodes) ||
		nodeset_has(&pool->nodes, topology->nodes[pu->node].node_os));
}

/* The first pool that names it; -1: none. */
static int pool_of_pu(const struct view *view, uint32_t i)
{
	for (size_t p = 0; p < view->snapshot->n_pools; p++)
		if (pool_has(view->snapshot->pools[p], view->topology, &view->topology->pus[i]))
			return (int)p;
	return -1;
}

/* -1 for a pool that names nothing. */
static int pool_of(const struct view *view, const struct workload *conf)
{
	for (size_t p = 0; p < view->snapshot->n_pools; p++) {
		const struct pool *pool = view->snapshot->pools[p];

		if (strcmp(pool->name, conf->pool) == 0)
			return cpuset_is_empty(&pool->cpus) && nodeset_is_empty(&pool->nodes)
				       ? -1
				       : (int)p;
	}
	life_fail(view->life, "no pool '%s'", conf->pool);
}

/* May workload @w use PU @i at all, housekeeping aside? */
static bool may_use(const struct view *view, size_t w, uint32_t i)
{
	const struct snapshot_workload *workload = &view->snapshot->workloads[w];
	const struct topo_pu *pu = &view->topology->pus[i];

	return cpuset_has(view->snapshot->allowed, pu->pu_os) &&
	       (!workload->cpuset || cpuset_has(workload->cpuset, pu->pu_os)) &&
	       (nodeset_is_empty(&workload->conf->nodes) ||
		nodeset_has(&workload->conf->nodes, view->topology->nodes[pu->node].node_os)) &&
	       pool_of_pu(view, i) == pool_of(view, workload->conf);
}

static bool is_housekeeping(const struct view *view, uint32_t i)
{
	return cpuset_has(&view->plan->housekeeping, view->topology->pus[i].pu_os);
}

/* ---- the sets of one workload ---- */

static void check_facts(const struct view *view, size_t w)
{
	const struct plan_workload *workload = &view->plan->workloads[w];
	cleanup(nodeset_done) struct nodeset nodes = { 0 };

	if (workload->conf != view->snapshot->workloads[w].conf)
		life_fail(view->life, "workload %zu is another one", w);
	if (workload->placed != !cpuset_is_empty(&workload->cpus) ||
	    workload->placed != (workload->reason == NULL))
		life_fail(view->life,
			  "%s: placed, but without PUs or with a reason, or the reverse",
			  workload->conf->name);
	topology_nodes_of(view->topology, &workload->cpus, &nodes);
	if (cpuset_count(&workload->cpus) != workload->n_pu ||
	    topology_n_core_of(view->topology, &workload->cpus) != workload->n_core ||
	    !nodeset_equal(&nodes, &workload->nodes) ||
	    !nodeset_is_subset(&workload->nodes, &workload->mems))
		life_fail(view->life, "%s: counts or nodes do not fit its PUs",
			  workload->conf->name);
	cpuset_foreach (pu_os, &workload->cpus)
		if (!may_use(view, w, topology_pu_idx(view->topology, pu_os)))
			life_fail(view->life, "%s has PU %u, which it may not use",
				  workload->conf->name, pu_os);
	if (workload->placed && workload->n_pu < workload->conf->min_pu)
		life_fail(view->life, "%s has %u PUs", workload->conf->name, workload->n_pu);
}

static void own_pu(struct view *view, size_t w, uint32_t i)
{
	const struct workload *conf = view->plan->workloads[w].conf;
	const struct cpuset *cpus = grade_own(&view->plan->workloads[w]);

	if (view->owner[i] != NOBODY)
		life_fail(view->life, "PU %u has two owners, %s and %s",
			  view->topology->pus[i].pu_os,
			  view->plan->workloads[view->owner[i]].conf->name, conf->name);
	view->owner[i] = (uint32_t)w;
	if (is_housekeeping(view, i))
		life_fail(view->life, "%s has housekeeping PU %u", conf->name,
			  view->topology->pus[i].pu_os);
	for (uint32_t k = 0; k < view->topology->n_pu; k++) {
		bool has = cpuset_has(cpus, view->topology->pus[k].pu_os);

		if (k == i || view->topology->pus[k].core != view->topology->pus[i].core)
			continue;
		/* Of one that shares others beside them, any PUs may be its own. */
		if (conf->exclusive && ((conf->smt == SMT_WHOLE_CORE && !has) ||
					(conf->smt == SMT_ONE_PER_CORE && has)))
			life_fail(view->life, "%s: PU %u does not suit its Smt=", conf->name,
				  view->topology->pus[i].pu_os);
		if (conf->smt == SMT_ONE_PER_CORE)
			view->idle[k] = true;
	}
}

static void check_exclusive(struct view *view, size_t w)
{
	const struct plan_workload *workload = &view->plan->workloads[w];
	const struct cpuset *own = grade_own(workload);

	for (uint32_t i = 0; i < view->topology->n_pu; i++)
		if (cpuset_has(own, view->topology->pus[i].pu_os))
			own_pu(view, w, i);
	if (workload->conf->exclusive && workload->n_pu > workload->conf->max_pu)
		life_fail(view->life, "%s has %u PUs of its own", workload->conf->name,
			  workload->n_pu);
	if (!cpuset_is_subset(own, &view->plan->exclusive) ||
	    !cpuset_is_subset(own, &workload->cpus))
		life_fail(view->life, "%s: what is its own is not, or not among the exclusive",
			  workload->conf->name);
	if (workload->placed && cpuset_count(&workload->own) != workload->conf->n_exclusive)
		life_fail(view->life, "%s has %u PUs of its own, Exclusive=%u",
			  workload->conf->name, cpuset_count(&workload->own),
			  workload->conf->n_exclusive);
}

/* ---- what could be better ---- */

/* Could PU @i be @w's as things are? */
static bool is_open_to(const struct view *view, size_t w, uint32_t i)
{
	return (view->owner[i] == NOBODY || view->owner[i] == w) && !view->idle[i] &&
	       !is_housekeeping(view, i) && may_use(view, w, i);
}

/* PUs that stay free for those that are not exclusive: no more than all their minimums together. */
static uint32_t n_kept(const struct view *view)
{
	uint32_t n = 0;

	for (size_t w = 0; w < view->plan->n_workloads; w++)
		if (!view->plan->workloads[w].conf->exclusive)
			n += view->plan->workloads[w].conf->min_pu;
	return n;
}

/* Who is on several nodes though one could hold it. Whole cores are left to the tables. */
static void check_one_node(const struct view *view, size_t w)
{
	const struct plan_workload *workload = &view->plan->workloads[w];

	if (!workload->conf->exclusive || !workload->placed ||
	    nodeset_count(&workload->nodes) <= 1 || workload->conf->numa_policy == NUMA_SPREAD)
		return;
	if (workload->conf->numa_policy == NUMA_SINGLE)
		life_fail(view->life,
			  "%s (Policy=single) is on several nodes, with %u PUs of Min=%u",
			  workload->conf->name, workload->n_pu, workload->conf->min_pu);
	if (workload->conf->smt != SMT_ANY)
		return;
	for (uint32_t node = 0; node < view->topology->n_node; node++) {
		uint32_t n = 0;

		for (uint32_t i = 0; i < view->topology->n_pu; i++)
			n += view->topology->pus[i].node == node && is_open_to(view, w, i);
		if (n >= workload->n_pu + n_kept(view))
			life_fail(view->life, "%s is on several nodes, node %u could hold it",
				  workload->conf->name, view->topology->nodes[node].node_os);
	}
}

/* Who is not placed though what is free would do, even with every minimum of those that are not
 * exclusive beside it. */
static void check_unplaced(const struct view *view, size_t w)
{
	const struct workload *conf = view->plan->workloads[w].conf;
	uint32_t n_free = 0;

	if (view->plan->workloads[w].placed || !conf->exclusive || conf->smt != SMT_ANY ||
	    conf->numa_policy == NUMA_SINGLE)
		return;
	for (uint32_t i = 0; i < view->topology->n_pu; i++)
		n_free += is_open_to(view, w, i);
	if (n_free >= conf->min_pu + n_kept(view))
		life_fail(view->life, "%s is not placed (%s), %u PUs are free", conf->name,
			  view->plan->workloads[w].reason, n_free);
}

/* PUs of those that are not exclusive are nobody's, and nobody's idle sibling. */
static void check_unheld(const struct view *view, size_t w)
{
	cpuset_foreach (pu_os, &view->plan->workloads[w].cpus) {
		uint32_t i = topology_pu_idx(view->topology, pu_os);

		if (view->owner[i] != w && (view->owner[i] != NOBODY || view->idle[i]))
			life_fail(view->life, "%s runs on PU %u, which is not free",
				  view->plan->workloads[w].conf->name, pu_os);
	}
}

/* Which core, L3 group or node a pool keeps to itself. */
static uint32_t group_of(const struct topo_pu *pu, enum pool_isolation isolation)
{
	return isolation == ISOLATION_CORE ? pu->core
	       : isolation == ISOLATION_L3 ? pu->l3
					   : pu->node;
}

static const struct pool *pool_named(const struct view *view, const char *name)
{
	for (size_t p = 0; p < view->snapshot->n_pools; p++)
		if (strcmp(view->snapshot->pools[p]->name, name) == 0)
			return view->snapshot->pools[p];
	life_fail(view->life, "no pool '%s'", name);
}

/* Nobody of another pool runs where an exclusive PU of @w is, as far as its pool forbids that. */
static void check_isolation(const struct view *view, size_t w)
{
	const struct plan_workload *workload = &view->plan->workloads[w];
	const struct pool *pool = pool_named(view, workload->conf->pool);
	const struct topology *topology = view->topology;

	if (pool->isolation == ISOLATION_NONE)
		return;
	cpuset_foreach (pu_os, grade_own(workload)) {
		const struct topo_pu *pu = &topology->pus[topology_pu_idx(topology, pu_os)];

		for (size_t other = 0; other < view->plan->n_workloads; other++) {
			const struct plan_workload *stranger = &view->plan->workloads[other];

			if (strcmp(stranger->conf->pool, pool->name) == 0)
				continue;
			cpuset_foreach (foreign, &stranger->cpus)
				if (group_of(&topology->pus[topology_pu_idx(topology, foreign)],
					     pool->isolation) == group_of(pu, pool->isolation))
					life_fail(view->life,
						  "%s of pool %s and %s share more than "
						  "Isolation= lets them",
						  workload->conf->name, pool->name,
						  stranger->conf->name);
		}
	}
}

/* What isolation leaves out is free and may not be used: what could be better is judged without. */
static bool has_isolation(const struct view *view)
{
	for (size_t p = 0; p < view->snapshot->n_pools; p++)
		if (view->snapshot->pools[p]->isolation != ISOLATION_NONE)
			return true;
	return false;
}

void check_places(const struct life *life, const struct plan *plan)
{
	const struct topology *topology = life->topology;
	cleanup(freep) uint32_t *owner = malloc(topology->n_pu * sizeof(*owner));
	cleanup(freep) bool *idle = calloc(topology->n_pu, sizeof(*idle));
	struct view view = { life, &life->snapshot, topology, plan, owner, idle };

	memset(owner, 0xff, topology->n_pu * sizeof(*owner));
	if (plan->n_workloads != life->snapshot.n_workloads)
		life_fail(life, "the plan has %zu workloads", plan->n_workloads);
	if (!cpuset_is_subset(&plan->cpus, &life->allowed) ||
	    !cpuset_is_subset(&plan->housekeeping, &plan->cpus) ||
	    cpuset_intersects(&plan->housekeeping, &plan->exclusive))
		life_fail(life, "PUs that may not be used, or housekeeping is exclusive");
	for (size_t w = 0; w < plan->n_workloads; w++) {
		check_facts(&view, w);
		check_exclusive(&view, w);
	}
	for (uint32_t i = 0; i < topology->n_pu; i++)
		if (idle[i] && owner[i] != NOBODY)
			life_fail(life, "PU %u should be idle", topology->pus[i].pu_os);
	for (size_t w = 0; w < plan->n_workloads; w++) {
		if (!plan->workloads[w].conf->exclusive)
			check_unheld(&view, w);
		check_isolation(&view, w);
		if (has_isolation(&view))
			continue;
		check_one_node(&view, w);
		check_unplaced(&view, w);
	}
}

/* ---- quotas ---- */

static bool is_below(const struct snapshot *snapshot, uint32_t limit, uint32_t top)
{
	while (limit != LIMIT_NONE && limit != top)
		limit = snapshot->limits[limit].parent;
	return limit == top;
}

static void check_limit(const struct life *life, const struct plan *plan, uint32_t limit)
{
	const struct snapshot *snapshot = &life->snapshot;
	uint32_t quota = snapshot->limits[limit].quota_mcpu, n = 0;
	uint32_t n_floor = 0, n_advised = 0;

	for (size_t w = 0; w < plan->n_workloads; w++) {
		const struct plan_workload *workload = &plan->workloads[w];

		if (!is_below(snapshot, snapshot->workloads[w].limit, limit))
			continue;
		n++;
		n_floor += workload->parallelism.floor;
		n_advised += workload->parallelism.advised;
		if (quota != QUOTA_UNLIMITED_MCPU && workload->quota_mcpu > quota)
			life_fail(life, "%s has more than %s gives", workload->conf->name,
				  snapshot->limits[limit].path);
	}
	if (quota == QUOTA_UNLIMITED_MCPU)
		return;
	if (n_floor > n && n_floor > quota_floor_pu(quota))
		life_fail(life, "below %s (%u) floors sum up to %u", snapshot->limits[limit].path,
			  quota, n_floor);
	if (n_advised > n && n_advised > quota_ceil_pu(quota))
		life_fail(life, "below %s (%u) %u threads are advised",
			  snapshot->limits[limit].path, quota, n_advised);
}

void check_quotas(const struct life *life, const struct plan *plan)
{
	for (size_t w = 0; w < plan->n_workloads; w++) {
		const struct plan_workload *workload = &plan->workloads[w];
		const struct parallelism *parallelism = &workload->parallelism;
		uint32_t n_cap = workload->placed && workload->n_pu < workload->conf->max_pu
					 ? workload->n_pu
					 : workload->conf->max_pu;

		if (!workload->placed)
			n_cap = 1;
		if (parallelism->floor < 1 || parallelism->advised < parallelism->floor ||
		    parallelism->ceil < parallelism->advised || parallelism->ceil > n_cap)
			life_fail(life, "%s: parallelism %u, %u, %u on %u PUs",
				  workload->conf->name, parallelism->floor, parallelism->advised,
				  parallelism->ceil, workload->n_pu);
		/* One thousandth is forgiven: 3.999 of 4 is no limit. */
		if (workload->share_mcpu + 1ull != n_cap * 1000 &&
		    (workload->limited_by == LIMITED_BY_QUOTA) !=
			    (workload->share_mcpu < n_cap * 1000))
			life_fail(life, "%s: share %u of %u PUs, limited by %d",
				  workload->conf->name, workload->share_mcpu, n_cap,
				  workload->limited_by);
	}
	for (uint32_t limit = 0; limit < life->snapshot.n_limits; limit++)
		check_limit(life, plan, limit);
}

void check_same(const struct life *life, const struct plan *a, const struct plan *b,
		const char *what)
{
	for (size_t w = 0; w < a->n_workloads; w++) {
		cleanup(freep) char *ours = cpuset_format(&a->workloads[w].cpus);
		cleanup(freep) char *theirs = cpuset_format(&b->workloads[w].cpus);

		cleanup(freep) char *our_limit = plan_limited_by_text(&a->workloads[w]);
		cleanup(freep) char *their_limit = plan_limited_by_text(&b->workloads[w]);

		if (!plan_workload_same_answer(&a->workloads[w], &b->workloads[w]))
			life_fail(life, "%s: %s had %s (%u by %s), has %s (%u by %s); %s; %s", what,
				  a->workloads[w].conf->name, ours,
				  a->workloads[w].parallelism.advised, our_limit, theirs,
				  b->workloads[w].parallelism.advised, their_limit,
				  a->workloads[w].reason ? a->workloads[w].reason : "placed",
				  b->workloads[w].reason ? b->workloads[w].reason : "placed");
	}
}

/* ---- as good as from scratch ---- */

/* Placed workloads of each priority, highest first: the first difference decides. Negative: @a has
 * more. */
static int compare_placed(const struct plan *a, const struct plan *b)
{
	uint32_t above = UINT32_MAX;

	for (;;) {
		uint32_t priority = 0;
		int n_more = 0;
		bool found = false;

		for (size_t w = 0; w < a->n_workloads; w++)
			if (a->workloads[w].conf->priority < above &&
			    (!found || a->workloads[w].conf->priority > priority)) {
				priority = a->workloads[w].conf->priority;
				found = true;
			}
		if (!found)
			return 0;
		for (size_t w = 0; w < a->n_workloads; w++)
			if (a->workloads[w].conf->priority == priority)
				n_more += b->workloads[w].placed - a->workloads[w].placed;
		if (n_more != 0)
			return n_more;
		above = priority;
	}
}

/* Growth beyond the minimum follows from the placement, and is compared where both grew alike. */
static bool has_same_sizes(const struct plan *a, const struct plan *b)
{
	for (size_t w = 0; w < a->n_workloads; w++)
		if (a->workloads[w].conf->exclusive && a->workloads[w].n_pu != b->workloads[w].n_pu)
			return false;
	return true;
}

enum comparison check_as_good(const struct life *life, const struct plan *plan,
			      const struct plan *scratch, enum grade_item *ret_item)
{
	struct grade ours, anew;
	int order = compare_placed(plan, scratch);

	*ret_item = GRADE_UNPLACED;
	if (order > 0)
		return COMPARISON_WORSE;
	if (order < 0 || !has_same_sizes(plan, scratch))
		return COMPARISON_OTHER;
	if (grade_plan(&life->snapshot, plan, &ours) < 0 ||
	    grade_plan(&life->snapshot, scratch, &anew) < 0)
		life_fail(life, "no memory");
	return grade_gap(&ours, &anew, ret_item) > 0 ? COMPARISON_WORSE : COMPARISON_AS_GOOD;
}

/* ---- steps ---- */

/* Places: each workload of the new plan twice, as a unit and as a process, and the system. */
#define N_PLACES (2 * LIFE_N_WORKLOAD + 1)

struct stage {
	const struct life *life;
	const struct plan *after;
	struct place places[N_PLACES];
	struct cpuset held[N_PLACES]; /* before the first step */
	struct cpuset now[N_PLACES];
	struct cpuset parking, system;
	size_t n;
};

static bool is_exclusive(const struct stage *stage, size_t i)
{
	uint32_t w = stage->places[i].workload;

	return w != PLACE_NOBODY && stage->after->workloads[w].conf->exclusive;
}

/* PUs that nobody has or will have exclusively: who has to wait waits there. */
static void parking_fill(struct stage *stage)
{
	cpuset_copy(&stage->parking, &stage->after->cpus);
	cpuset_subtract(&stage->parking, &stage->after->exclusive);
	for (size_t i = 0; i < stage->n; i++)
		if (is_exclusive(stage, i))
			cpuset_subtract(&stage->parking, &stage->held[i]);
}

static const char *place_name(const struct stage *stage, size_t i)
{
	uint32_t w = stage->places[i].workload;

	return w == PLACE_NOBODY ? "the system" : stage->after->workloads[w].conf->name;
}

static const struct cpuset *target_of(const struct stage *stage, size_t i)
{
	uint32_t w = stage->places[i].workload;

	return w != PLACE_NOBODY && stage->after->workloads[w].placed
		       ? &stage->after->workloads[w].cpus
		       : &stage->system;
}

/* No step may bring two exclusive workloads together that were apart, elsewhere than where they
 * wait. */
static void play(struct stage *stage, const struct step *step)
{
	size_t at = (size_t)(step->place - stage->places);

	if (cpuset_is_empty(&step->cpus))
		life_fail(stage->life, "a step with no PU");
	for (size_t i = 0; i < stage->n; i++) {
		cleanup(cpuset_done) struct cpuset both = { 0 };

		/* Two that are not placed both run like the system now. */
		if (stage->places[i].workload == stage->places[at].workload ||
		    !is_exclusive(stage, i) || !is_exclusive(stage, at) ||
		    (target_of(stage, i) == &stage->system &&
		     target_of(stage, at) == &stage->system) ||
		    cpuset_intersects(&stage->now[i], &stage->now[at]))
			continue;
		cpuset_copy(&both, &step->cpus);
		cpuset_intersect(&both, &stage->now[i]);
		/* Once all have narrowed, only what is exclusive from now on counts. */
		cpuset_subtract(&both,
				step->phase == STEP_WIDEN ? &stage->system : &stage->parking);
		if (!cpuset_is_empty(&both))
			life_fail(stage->life, "a step of %s runs into %s", place_name(stage, at),
				  place_name(stage, i));
	}
	cpuset_copy(&stage->now[at], &step->cpus);
}

/* Before anybody is widened, everybody else is off what it will get. */
static void check_narrowed(const struct stage *stage)
{
	for (size_t i = 0; i < stage->n; i++)
		for (size_t k = 0; k < stage->n; k++)
			if (is_exclusive(stage, i) && target_of(stage, i) != &stage->system &&
			    stage->places[k].workload != stage->places[i].workload &&
			    !cpuset_is_empty(target_of(stage, k)) &&
			    cpuset_intersects(target_of(stage, i), &stage->now[k]))
				life_fail(stage->life, "%s is still on what %s gets",
					  place_name(stage, k), place_name(stage, i));
}

static void stage_fill(struct stage *stage, const struct plan *before)
{
	for (uint32_t w = 0; w < stage->after->n_workloads; w++) {
		const struct plan_workload *old =
			before ? plan_find(before, stage->after->workloads[w].conf->name) : NULL;

		for (unsigned k = 0; k < 2; k++) {
			stage->places[stage->n] = (struct place){ .kind = k ? PLACE_PROCESS
									    : PLACE_UNIT,
								  .workload = w,
								  .cgroup_id = 1 };
			if (old && old->placed)
				cpuset_copy(&stage->held[stage->n], &old->cpus);
			cpuset_copy(&stage->now[stage->n], &stage->held[stage->n]);
			stage->n++;
		}
	}
	stage->places[stage->n] = (struct place){ .workload = PLACE_NOBODY };
	cpuset_copy(&stage->held[stage->n], &stage->life->topology->cpus);
	cpuset_copy(&stage->now[stage->n], &stage->life->topology->cpus);
	stage->n++;
}

static void check_end(const struct stage *stage)
{
	for (size_t i = 0; i < stage->n; i++)
		if (!cpuset_is_empty(target_of(stage, i)) &&
		    !cpuset_equal(&stage->now[i], target_of(stage, i)))
			life_fail(stage->life, "place %zu is not where it should be", i);
}

void check_steps(const struct life *life, const struct plan *before, const struct plan *after)
{
	struct stage stage = { .life = life, .after = after };
	struct steps steps;
	bool widening = false, parking;

	cpuset_copy(&stage.system, &after->cpus);
	cpuset_subtract(&stage.system, &after->exclusive);
	stage_fill(&stage, before);
	parking_fill(&stage);
	/* On a machine that is full to the last PU two workloads cannot change places without
	 * meeting. */
	parking = !cpuset_is_empty(&stage.parking);
	if (plan_diff(after, stage.places, stage.n, stage.held, &steps) < 0)
		life_fail(life, "no memory");
	for (size_t i = 0; i < steps.n_items; i++) {
		const struct step *step = &steps.items[i];

		if (widening && step->phase == STEP_NARROW)
			life_fail(life, "narrowing after widening");
		if (!widening && step->phase == STEP_WIDEN && parking)
			check_narrowed(&stage);
		widening |= step->phase == STEP_WIDEN;
		if (parking)
			play(&stage, step);
		else
			cpuset_copy(&stage.now[step->place - stage.places], &step->cpus);
	}
	check_end(&stage);
	steps_done(&steps);
	/* What holds is not written again. */
	if (plan_diff(after, stage.places, stage.n, stage.now, &steps) < 0)
		life_fail(life, "no memory");
	for (size_t i = 0; i < steps.n_items; i++)
		life_fail(life, "a step for what holds already");
	steps_done(&steps);
	for (size_t i = 0; i < stage.n; i++) {
		cpuset_done(&stage.held[i]);
		cpuset_done(&stage.now[i]);
	}
	cpuset_done(&stage.parking);
	cpuset_done(&stage.system);
}
