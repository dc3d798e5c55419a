/* From who has which PU to what is said about each workload. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "plan/plan_work.h"

struct range {
	uint32_t first, last;
};

/* Counts of what each exclusive workload has; ranges[]: its lowest and highest PU. */
static void count_owned(struct work *work, struct range *ranges)
{
	const struct grid *grid = &work->grid;

	for (uint32_t i = 0; i < grid->n_pu; i++) {
		const struct grid_pu *pu = &grid->pus[i];
		const struct grid_core *core = &grid->cores[pu->core];
		uint32_t node = grid->l3s[core->l3].node;
		struct plan_workload *workload;
		struct demand *demand;

		if (pu->owner >= work->snapshot->n_workloads)
			continue;
		demand = &work->demands[pu->owner];
		workload = &work->plan->workloads[pu->owner];
		if (workload->n_pu++ == 0) {
			ranges[pu->owner] = (struct range){ pu->pu_os, pu->pu_os };
			demand->first_node = GRID_NONE;
		}
		if (pu->pu_os < ranges[pu->owner].first)
			ranges[pu->owner].first = pu->pu_os;
		if (pu->pu_os > ranges[pu->owner].last)
			ranges[pu->owner].last = pu->pu_os;
		/* In the order of the machine, so each level shows up in one piece. */
		workload->n_core += demand->last_core != pu->core;
		demand->last_core = pu->core;
		demand->n_l3 += demand->last_l3 != core->l3;
		demand->last_l3 = core->l3;
		demand->n_node += demand->first_node != node;
		demand->first_node = node;
	}
}

/* The set of one node lies in the plan once, however many workloads are on it. */
static int nodes_fill(struct work *work, const struct demand *demand, struct nodeset *ones)
{
	const struct topology *topology = work->snapshot->topology;
	struct plan_workload *workload = &work->plan->workloads[demand->workload];
	cleanup(nodeset_done) struct nodeset nodes = { 0 };
	struct nodeset *one = &ones[demand->first_node];
	int r;

	if (demand->n_node == 1 && !nodeset_is_empty(one)) {
		workload->nodes = *one;
		return 0;
	}
	r = topology_nodes_of(topology, &workload->cpus, &nodes);
	if (r == 0)
		r = arena_copy_nodeset(work->plan->arena, &nodes, &workload->nodes);
	if (r == 0 && demand->n_node == 1)
		*one = workload->nodes;
	return r;
}

/* Adds what it shares to what is its own. */
static int rest_add(struct work *work, struct demand *demand)
{
	const struct topology *topology = work->snapshot->topology;
	struct plan_workload *workload = &work->plan->workloads[demand->workload];
	cleanup(cpuset_done) struct cpuset all = { 0 };
	cleanup(nodeset_done) struct nodeset nodes = { 0 };
	int r;

	if (cpuset_is_empty(&demand->rest) && workload->n_pu < demand->conf->min_pu) {
		/* Without it the minimum is not met: nobody gains by half of it. */
		cpuset_subtract(&work->plan->exclusive, &workload->cpus);
		workload->cpus = (struct cpuset){ 0 };
		workload->nodes = (struct nodeset){ 0 };
		workload->n_pu = workload->n_core = 0;
		return 0;
	}
	workload->own = workload->cpus;
	r = cpuset_copy(&all, &workload->own);
	if (r == 0)
		r = cpuset_union(&all, &demand->rest);
	if (r == 0)
		r = topology_nodes_of(topology, &all, &nodes);
	if (r == 0)
		r = arena_copy_cpuset(work->plan->arena, &all, &workload->cpus);
	if (r == 0)
		r = arena_copy_nodeset(work->plan->arena, &nodes, &workload->nodes);
	workload->n_pu = cpuset_count(&all);
	workload->n_core = topology_n_core_of(topology, &all);
	return r;
}

static int sets_fill(struct work *work)
{
	size_t n = work->snapshot->n_workloads;
	struct range *ranges = arena_alloc(work->scratch, (n + 1) * sizeof(*ranges));
	struct nodeset *ones = arena_alloc(work->scratch, (work->grid.n_node + 1) * sizeof(*ones));
	struct plan *plan = work->plan;
	int r = ranges && ones ? 0 : -ENOMEM;

	if (r == 0)
		count_owned(work, ranges);
	for (size_t i = 0; i < n && r == 0; i++)
		if (work->demands[i].owns && plan->workloads[i].n_pu > 0)
			r = arena_make_cpuset(plan->arena, ranges[i].first, ranges[i].last,
					      &plan->workloads[i].cpus);
	for (uint32_t i = 0; i < work->grid.n_pu && r == 0; i++) {
		const struct grid_pu *pu = &work->grid.pus[i];

		if (pu->owner >= n)
			continue;
		cpuset_add(&plan->workloads[pu->owner].cpus, pu->pu_os); /* has room */
		r = cpuset_add(&plan->exclusive, pu->pu_os);
	}
	for (size_t i = 0; i < n && r == 0; i++)
		if (work->demands[i].owns && plan->workloads[i].n_pu > 0)
			r = nodes_fill(work, &work->demands[i], ones);
	for (size_t i = 0; i < n && r == 0; i++)
		if (work->demands[i].owns && work->demands[i].shares && plan->workloads[i].n_pu > 0)
			r = rest_add(work, &work->demands[i]);
	return r;
}

/* ---- memory ---- */

static uint64_t memory_of(const struct topology *topology, uint32_t node)
{
	uint64_t bytes = topology->nodes[node].memory_bytes;

	return bytes ? bytes : UINT64_MAX; /* not told: assume that it does */
}

/* Plain before fast before slow: enum memory_kind is in that order. */
static bool joins_earlier(const struct topo_node *a, uint32_t distance_a, const struct topo_node *b,
			  uint32_t distance_b)
{
	if (a->memory_kind != b->memory_kind)
		return a->memory_kind < b->memory_kind;
	if (distance_a != distance_b)
		return distance_a < distance_b;
	return a->n_pu == 0 && b->n_pu > 0;
}

/* Of the plainest kind of memory that is left the node nearest to any of @mems; memory-only nodes
 * first, since nobody else calls them local. */
static uint32_t nearest_node(const struct topology *topology, const struct nodeset *mems)
{
	uint32_t best = TOPOLOGY_NONE, best_distance = UINT32_MAX;

	for (uint32_t to = 0; to < topology->n_node; to++) {
		uint32_t distance = UINT32_MAX;

		if (nodeset_has(mems, topology->nodes[to].node_os) ||
		    topology->nodes[to].memory_kind == MEMORY_KIND_DEVICE)
			continue;
		for (uint32_t from = 0; from < topology->n_node; from++) {
			uint32_t d = topology->distances[from * topology->n_node + to];

			if (nodeset_has(mems, topology->nodes[from].node_os) && d < distance)
				distance = d;
		}
		if (best == TOPOLOGY_NONE || joins_earlier(&topology->nodes[to], distance,
							   &topology->nodes[best], best_distance)) {
			best = to;
			best_distance = distance;
		}
	}
	return best;
}

/* The nodes of the PUs; with MemorySize= as many of the nearest others as it takes. */
static int mems_fill(struct work *work, struct plan_workload *workload)
{
	const struct topology *topology = work->snapshot->topology;
	uint64_t n_wanted = workload->conf->memory_size_bytes, n_bytes = 0;
	cleanup(nodeset_done) struct nodeset mems = { 0 };
	bool more = false;

	if (workload->conf->memory == MEMORY_NONE)
		return 0;
	for (uint32_t i = 0; n_wanted > 0 && i < topology->n_node; i++)
		if (nodeset_has(&workload->nodes, topology->nodes[i].node_os) &&
		    __builtin_add_overflow(n_bytes, memory_of(topology, i), &n_bytes))
			n_bytes = UINT64_MAX;
	workload->mems = workload->nodes;
	while (n_bytes < n_wanted) {
		uint32_t node;

		if (!more && nodeset_copy(&mems, &workload->nodes) < 0)
			return -ENOMEM;
		more = true;
		node = nearest_node(topology, &mems);
		if (node == TOPOLOGY_NONE)
			break;
		if (nodeset_add(&mems, topology->nodes[node].node_os) < 0)
			return -ENOMEM;
		if (__builtin_add_overflow(n_bytes, memory_of(topology, node), &n_bytes))
			n_bytes = UINT64_MAX;
	}
	return more ? arena_copy_nodeset(work->plan->arena, &mems, &workload->mems) : 0;
}

/* ---- limited_by, quotas aside ---- */

static int path_fill(struct work *work, struct plan_workload *workload, const char *path)
{
	workload->limited_by_path = arena_strdup(work->plan->arena, path ? path : "");
	return workload->limited_by_path ? 0 : -ENOMEM;
}

/* Does a cpuset that is not ours, rather than the pool, say how many there are? */
static bool ceiling_binds(const struct work *work, const struct demand *demand)
{
	const struct grid_domain *domain = &work->grid.domains[demand->domain];
	uint32_t n_usable = 0;

	if (!demand->ceiling)
		return false;
	for (uint32_t i = domain->first_pu; i < domain->first_pu + domain->n_pu; i++)
		n_usable += cpuset_has(demand->ceiling, work->grid.pus[i].pu_os);
	return n_usable < domain->n_pu && work->plan->workloads[demand->workload].n_pu >= n_usable;
}

static int limited_by_fill(struct work *work, struct demand *demand)
{
	const struct grid_domain *domain = &work->grid.domains[demand->domain];
	struct plan_workload *workload = &work->plan->workloads[demand->workload];
	const struct workload *conf = demand->conf;

	if (!workload->placed)
		return 0;
	workload->limited_by = LIMITED_BY_PARTITION;
	if (conf->max_pu <= workload->n_pu) {
		if (!conf->exclusive)
			workload->limited_by = LIMITED_BY_MAX;
		return 0;
	}
	if (ceiling_binds(work, demand)) {
		workload->limited_by = LIMITED_BY_CPUSET;
		return path_fill(work, workload,
				 work->snapshot->workloads[demand->workload].cpuset_path);
	}
	if (domain->pool && (!conf->exclusive || demand->n_got < demand_wanted(work, demand))) {
		workload->limited_by = LIMITED_BY_POOL;
		return path_fill(work, workload, conf->pool);
	}
	return 0;
}

static int reason_fill(struct work *work, struct demand *demand)
{
	const struct grid_domain *domain = &work->grid.domains[demand->domain];
	struct plan_workload *workload = &work->plan->workloads[demand->workload];

	if (domain->n_pu == 0)
		workload->reason = arena_printf(work->plan->arena,
						"pool '%s' has no PU that may be used",
						demand->conf->pool);
	else
		workload->reason = arena_strdup(
			work->plan->arena, demand->reason ? demand->reason : "no room is left");
	return workload->reason ? 0 : -ENOMEM;
}

int results_make(struct work *work)
{
	int r = sets_fill(work);

	for (size_t i = 0; i < work->snapshot->n_workloads && r == 0; i++) {
		struct plan_workload *workload = &work->plan->workloads[i];

		workload->placed = workload->n_pu > 0;
		if (!workload->placed) {
			r = reason_fill(work, &work->demands[i]);
			continue;
		}
		r = mems_fill(work, workload);
		if (r == 0)
			r = limited_by_fill(work, &work->demands[i]);
	}
	return r;
}
