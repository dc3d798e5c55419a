/* Isolation= of pools: whose cores, L3 groups or nodes are nobody else's. A pool of that kind is a
 * domain of its own made of whole units, so all that follows (who gets which PU, who runs on what
 * is free) keeps them apart without a thought. */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "plan/plan_work.h"

/* The unit of a PU, by dense index. */
static uint32_t unit_of(const struct topo_pu *pu, enum pool_isolation isolation)
{
	if (isolation == ISOLATION_NODE)
		return pu->node;
	return isolation == ISOLATION_L3 ? pu->l3 : pu->core;
}

static uint32_t n_units(const struct topology *topology, enum pool_isolation isolation)
{
	if (isolation == ISOLATION_NODE)
		return topology->n_node;
	return isolation == ISOLATION_L3 ? topology->n_l3 : topology->n_core;
}

struct isolate {
	struct work *work;
	uint32_t *domain_of_pu;
	struct unit {
		uint32_t n_own, n_common,
			n_other; /* PUs of the domain at hand, of domain 0, of others */
		uint32_t n_held; /* that the pool's workloads had before */
		uint32_t node;
	} * units;
	enum pool_isolation isolation;
};

static void units_count(struct isolate *isolate, uint32_t domain)
{
	const struct topology *topology = isolate->work->snapshot->topology;

	memset(isolate->units, 0, n_units(topology, isolate->isolation) * sizeof(*isolate->units));
	for (uint32_t i = 0; i < topology->n_pu; i++) {
		struct unit *unit = &isolate->units[unit_of(&topology->pus[i], isolate->isolation)];
		uint32_t of = isolate->domain_of_pu[i];

		unit->node = topology->pus[i].node;
		if (of == domain)
			unit->n_own++;
		else if (of == 0)
			unit->n_common++;
		else if (of != GRID_NONE)
			unit->n_other++;
	}
}

/* A pool that names PUs leaves units that it does not have alone. */
static void leave_shared(struct isolate *isolate, uint32_t domain)
{
	const struct topology *topology = isolate->work->snapshot->topology;

	units_count(isolate, domain);
	for (uint32_t i = 0; i < topology->n_pu; i++) {
		const struct unit *unit =
			&isolate->units[unit_of(&topology->pus[i], isolate->isolation)];

		if (isolate->domain_of_pu[i] == domain && unit->n_common + unit->n_other > 0)
			isolate->domain_of_pu[i] = GRID_NONE;
	}
}

/* What the pool's workloads need at least, and could use; counted, since who gets what is planned
 * later. */
struct need {
	uint64_t n_least, n_most;
	bool any;
};

static struct need need_of(const struct work *work, const char *pool, uint32_t n_pu)
{
	struct need need = { 0 };
	uint32_t n_shared = 0;

	for (size_t i = 0; i < work->snapshot->n_workloads; i++) {
		const struct workload *conf = work->snapshot->workloads[i].conf;
		bool unbounded = conf->max_pu == WORKLOAD_MAX_UNSET;

		if (strcmp(conf->pool, pool) != 0)
			continue;
		need.any = true;
		if (!conf->exclusive && conf->min_pu > n_shared)
			n_shared = conf->min_pu;
		if (!workload_owns(conf))
			continue;
		need.n_least += conf->exclusive ? conf->min_pu : conf->n_exclusive;
		need.n_most += !conf->exclusive ? conf->n_exclusive
			       : unbounded	? n_pu
						: conf->max_pu;
	}
	need.n_least += n_shared;
	need.n_most += n_shared;
	if (need.n_most > n_pu)
		need.n_most = n_pu;
	if (need.n_least > n_pu)
		need.n_least = n_pu;
	if (need.any && need.n_most < need.n_least)
		need.n_most = need.n_least;
	return need;
}

static const struct plan_carve *carve_before(const struct work *work, const char *pool)
{
	for (size_t i = 0; work->previous && i < work->previous->n_carves; i++)
		if (strcmp(work->previous->carves[i].pool, pool) == 0)
			return &work->previous->carves[i];
	return NULL;
}

static void add_held(struct isolate *isolate, const struct cpuset *cpus)
{
	const struct topology *topology = isolate->work->snapshot->topology;

	cpuset_foreach (pu_os, cpus) {
		uint32_t pu = topology_pu_idx(topology, pu_os);

		if (pu != TOPOLOGY_NONE)
			isolate->units[unit_of(&topology->pus[pu], isolate->isolation)].n_held++;
	}
}

/* What the pool had; of a plan that does not tell that, what its workloads had. */
static void units_held(struct isolate *isolate, const char *pool)
{
	const struct work *work = isolate->work;
	const struct plan_carve *before = carve_before(work, pool);

	if (before) {
		add_held(isolate, &before->cpus);
		return;
	}
	for (size_t i = 0; work->previous && i < work->previous->n_workloads; i++) {
		const struct plan_workload *workload = &work->previous->workloads[i];

		if (workload->placed && strcmp(workload->conf->pool, pool) == 0)
			add_held(isolate, &workload->cpus);
	}
}

/* PUs that the pool already took on a node: units near each other go together. */
static uint32_t best_unit(const struct isolate *isolate, const uint32_t *n_taken_of_node,
			  const uint32_t *n_free_of_node, uint32_t n_wanted)
{
	const struct topology *topology = isolate->work->snapshot->topology;
	uint32_t best = GRID_NONE;

	for (uint32_t i = 0; i < n_units(topology, isolate->isolation); i++) {
		const struct unit *unit = &isolate->units[i], *other;
		uint32_t node = unit->node;
		bool holds, other_holds;

		if (unit->n_common == 0 || unit->n_other > 0)
			continue;
		if (best == GRID_NONE) {
			best = i;
			continue;
		}
		other = &isolate->units[best];
		/* What it had; where it is; a node that holds the rest, the fullest of those. */
		if ((unit->n_held > 0) != (other->n_held > 0)) {
			best = unit->n_held > 0 ? i : best;
			continue;
		}
		if ((n_taken_of_node[node] > 0) != (n_taken_of_node[other->node] > 0)) {
			best = n_taken_of_node[node] > 0 ? i : best;
			continue;
		}
		holds = n_free_of_node[node] >= n_wanted;
		other_holds = n_free_of_node[other->node] >= n_wanted;
		if (holds != other_holds)
			best = holds ? i : best;
		else if (n_free_of_node[node] != n_free_of_node[other->node] &&
			 holds == (n_free_of_node[node] < n_free_of_node[other->node]))
			best = i;
	}
	return best;
}

static int carve(struct isolate *isolate, uint32_t domain, uint32_t n_wanted)
{
	struct work *work = isolate->work;
	const struct topology *topology = work->snapshot->topology;
	uint32_t *n_taken = arena_alloc(work->scratch, topology->n_node * sizeof(*n_taken));
	uint32_t *n_free = arena_alloc(work->scratch, topology->n_node * sizeof(*n_free));

	if (!n_taken || !n_free)
		return -ENOMEM;
	units_count(isolate, domain);
	units_held(isolate, work->grid.domains[domain].pool->name);
	for (uint32_t i = 0; i < topology->n_pu; i++)
		n_free[topology->pus[i].node] += isolate->domain_of_pu[i] == 0;
	while (n_wanted > 0) {
		uint32_t best = best_unit(isolate, n_taken, n_free, n_wanted);

		if (best == GRID_NONE)
			break;
		for (uint32_t i = 0; i < topology->n_pu; i++) {
			const struct topo_pu *pu = &topology->pus[i];

			if (unit_of(pu, isolate->isolation) != best ||
			    isolate->domain_of_pu[i] != 0)
				continue;
			isolate->domain_of_pu[i] = domain;
			/* Housekeeping PUs are in it, and give it nothing. */
			if (!cpuset_has(&work->plan->housekeeping, pu->pu_os))
				n_wanted -= n_wanted > 0;
			n_taken[pu->node]++;
			n_free[pu->node]--;
		}
		isolate->units[best].n_common = 0;
	}
	return 0;
}

/* Pools that name no PU divide what no pool names: minimums first, then what each could use, in
 * proportion to that; what is left over is everybody else's. */
static int carve_all(struct isolate *isolate, const uint32_t *domain_of_pool)
{
	struct work *work = isolate->work;
	const struct snapshot *snapshot = work->snapshot;
	struct fill_item *items = arena_alloc(work->scratch,
					      (snapshot->n_pools + 1) * sizeof(*items));
	uint32_t n_pu = 0;
	int r = items ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < snapshot->topology->n_pu; i++)
		n_pu += isolate->domain_of_pu[i] == 0 &&
			!cpuset_has(&work->plan->housekeeping, snapshot->topology->pus[i].pu_os);
	for (size_t p = 0; p < snapshot->n_pools && r == 0; p++) {
		const struct pool *pool = snapshot->pools[p];
		struct need need = need_of(work, pool->name, n_pu);
		/* Those that share what is left are one. */
		size_t at = domain_of_pool[p] == 0 ? snapshot->n_pools : p;

		if (domain_of_pool[p] > 0 && pool_names_pus(pool))
			continue;
		items[at].least += (uint32_t)need.n_least;
		items[at].most += (uint32_t)need.n_most;
		items[at].weight += (uint32_t)need.n_most;
		items[at].step = 1;
	}
	for (size_t i = 0; i <= snapshot->n_pools && r == 0; i++) {
		items[i].step = 1;
		items[i].least = items[i].least < n_pu ? items[i].least : n_pu;
		items[i].most = items[i].most < n_pu ? items[i].most : n_pu;
	}
	if (r == 0)
		plan_fill(items, snapshot->n_pools + 1, n_pu);
	for (size_t p = 0; p < snapshot->n_pools && r == 0; p++) {
		const struct pool *pool = snapshot->pools[p];

		if (domain_of_pool[p] == 0 || pool_names_pus(pool))
			continue;
		isolate->isolation = pool->isolation;
		r = carve(isolate, domain_of_pool[p], items[p].amount);
	}
	return r;
}

/* ---- the same again ---- */

/* Of all that carve_all() looks at, what was carved before aside. */
static uint64_t carve_fingerprint(const struct isolate *isolate, const uint32_t *domain_of_pool)
{
	const struct work *work = isolate->work;
	const struct topology *topology = work->snapshot->topology;
	uint64_t hash = 1;

	for (uint32_t i = 0; i < topology->n_pu; i++) {
		const struct topo_pu *pu = &topology->pus[i];

		fingerprint_mix(&hash, (uint64_t)isolate->domain_of_pu[i] << 32 | pu->pu_os);
		fingerprint_mix(&hash, (uint64_t)pu->node << 32 | pu->l3);
		fingerprint_mix(&hash, (uint64_t)pu->core << 32 |
					       cpuset_has(&work->plan->housekeeping, pu->pu_os));
	}
	for (size_t p = 0; p < work->snapshot->n_pools; p++) {
		const struct pool *pool = work->snapshot->pools[p];
		struct need need = need_of(work, pool->name, UINT32_MAX);

		fingerprint_mix_text(&hash, pool->name);
		fingerprint_mix(&hash, (uint64_t)domain_of_pool[p] << 32 |
					       (uint64_t)pool_names_pus(pool) << 8 |
					       (uint64_t)pool->isolation);
		fingerprint_mix(&hash, need.n_least);
		fingerprint_mix(&hash, need.n_most);
	}
	return hash ? hash : 1;
}

/* What was carved, for the next plan. */
static int carves_keep(struct isolate *isolate, const uint32_t *domain_of_pool)
{
	const struct snapshot *snapshot = isolate->work->snapshot;
	struct plan *plan = isolate->work->plan;

	plan->carves = arena_alloc(plan->arena, (snapshot->n_pools + 1) * sizeof(*plan->carves));
	for (size_t p = 0; p < snapshot->n_pools && plan->carves; p++) {
		cleanup(cpuset_done) struct cpuset cpus = { 0 };
		struct plan_carve *carve = &plan->carves[plan->n_carves];

		if (domain_of_pool[p] == 0 || pool_names_pus(snapshot->pools[p]))
			continue;
		for (uint32_t i = 0; i < snapshot->topology->n_pu; i++)
			if (isolate->domain_of_pu[i] == domain_of_pool[p] &&
			    cpuset_add(&cpus, snapshot->topology->pus[i].pu_os) < 0)
				return -ENOMEM;
		carve->pool = arena_strdup(plan->arena, snapshot->pools[p]->name);
		if (!carve->pool || arena_copy_cpuset(plan->arena, &cpus, &carve->cpus) < 0)
			return -ENOMEM;
		plan->n_carves++;
	}
	return plan->carves ? 0 : -ENOMEM;
}

/* Nothing that matters changed: everybody keeps what was carved, whatever path led there. */
static bool carve_again(struct isolate *isolate, const uint32_t *domain_of_pool)
{
	const struct work *work = isolate->work;
	const struct topology *topology = work->snapshot->topology;

	if (!work->previous || work->previous->carve_fingerprint != work->plan->carve_fingerprint)
		return false;
	for (size_t p = 0; p < work->snapshot->n_pools; p++) {
		const struct pool *pool = work->snapshot->pools[p];
		const struct plan_carve *before = carve_before(work, pool->name);

		if (domain_of_pool[p] == 0 || pool_names_pus(pool) || !before)
			continue;
		for (uint32_t i = 0; i < topology->n_pu; i++)
			if (isolate->domain_of_pu[i] == 0 &&
			    cpuset_has(&before->cpus, topology->pus[i].pu_os))
				isolate->domain_of_pu[i] = domain_of_pool[p];
	}
	return true;
}

static int carve_pools(struct isolate *isolate, const uint32_t *domain_of_pool)
{
	struct plan *plan = isolate->work->plan;
	int r = 0;

	plan->carve_fingerprint = carve_fingerprint(isolate, domain_of_pool);
	if (!carve_again(isolate, domain_of_pool))
		r = carve_all(isolate, domain_of_pool);
	return r < 0 ? r : carves_keep(isolate, domain_of_pool);
}

int isolate_make(struct work *work, const uint32_t *domain_of_pool, uint32_t *domain_of_pu)
{
	const struct snapshot *snapshot = work->snapshot;
	struct isolate isolate = { .work = work, .domain_of_pu = domain_of_pu };
	bool any = false, any_carved = false;

	for (size_t p = 0; p < snapshot->n_pools; p++)
		any |= snapshot->pools[p]->isolation != ISOLATION_NONE;
	if (!any)
		return 0;
	isolate.units = arena_alloc(work->scratch,
				    (snapshot->topology->n_pu + snapshot->topology->n_node + 1u) *
					    sizeof(*isolate.units));
	if (!isolate.units)
		return -ENOMEM;
	for (size_t p = 0; p < snapshot->n_pools; p++) {
		const struct pool *pool = snapshot->pools[p];

		if (pool->isolation == ISOLATION_NONE)
			continue;
		isolate.isolation = pool->isolation;
		if (pool_names_pus(pool))
			leave_shared(&isolate, domain_of_pool[p]);
		else
			any_carved = true;
	}
	return any_carved ? carve_pools(&isolate, domain_of_pool) : 0;
}
