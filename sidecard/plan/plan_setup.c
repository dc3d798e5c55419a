/* From the snapshot to the planner's desk. */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "plan/plan_work.h"

uint32_t cpuset_n_common(const struct cpuset *a, const struct cpuset *b)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < a->bits.n_words; i++) {
		uint32_t word = a->bits.first_word + i;

		if (word >= b->bits.first_word && word - b->bits.first_word < b->bits.n_words)
			n += (uint32_t)__builtin_popcountll(
				a->bits.words[i] & b->bits.words[word - b->bits.first_word]);
	}
	return n;
}

/* ---- base set and housekeeping ---- */

/* The planned PUs of one core, of those that are not in @without yet. PUs of a core are neighbours
 * in the topology. */
static int core_of(const struct work *work, uint32_t pu_os, const struct cpuset *without,
		   struct cpuset *ret_cpus)
{
	const struct topology *topology = work->snapshot->topology;
	uint32_t first = topology_pu_idx(topology, pu_os), core = topology->pus[first].core;
	int r = 0;

	while (first > 0 && topology->pus[first - 1].core == core)
		first--;
	for (uint32_t i = first; i < topology->n_pu && topology->pus[i].core == core && r == 0; i++)
		if (cpuset_has(&work->plan->cpus, topology->pus[i].pu_os) &&
		    !cpuset_has(without, topology->pus[i].pu_os))
			r = cpuset_add(ret_cpus, topology->pus[i].pu_os);
	return r;
}

/* Whole cores first, the lowest first; then single PUs. */
static int housekeeping_count(struct work *work, uint32_t n, struct cpuset *set)
{
	int r = 0;

	cpuset_foreach (pu_os, &work->plan->cpus) {
		cleanup(cpuset_done) struct cpuset core = { 0 };

		if (n == 0 || r < 0)
			break;
		if (cpuset_has(set, pu_os))
			continue;
		r = core_of(work, pu_os, set, &core);
		if (r < 0 || cpuset_count(&core) > n)
			continue;
		n -= cpuset_count(&core);
		r = cpuset_union(set, &core);
	}
	cpuset_foreach (pu_os, &work->plan->cpus) {
		if (n == 0 || r < 0)
			break;
		if (cpuset_has(set, pu_os))
			continue;
		r = cpuset_add(set, pu_os);
		n--;
	}
	return r;
}

/* Below so many PUs a whole core kept back is too large a part of the machine. */
#define HOUSEKEEPING_AUTO_N_PU 4u

static int housekeeping_make(struct work *work)
{
	const struct housekeeping *housekeeping = work->snapshot->housekeeping;
	struct plan *plan = work->plan;
	int r;

	if (!housekeeping || housekeeping->kind == HOUSEKEEPING_NONE)
		return 0;
	if (housekeeping->kind == HOUSEKEEPING_COUNT)
		return housekeeping_count(work, housekeeping->n_pu, &plan->housekeeping);
	if (housekeeping->kind == HOUSEKEEPING_LIST) {
		r = cpuset_copy(&plan->housekeeping, &housekeeping->cpus);
		cpuset_intersect(&plan->housekeeping, &plan->cpus);
		return r;
	}
	if (cpuset_count(&plan->cpus) < HOUSEKEEPING_AUTO_N_PU)
		return 0;
	return core_of(work, cpuset_first(&plan->cpus), &plan->housekeeping, &plan->housekeeping);
}

/* ---- pools ---- */

static bool pool_has(const struct work *work, const struct pool *pool, const struct topo_pu *pu)
{
	const struct topo_node *node = &work->snapshot->topology->nodes[pu->node];

	return (cpuset_is_empty(&pool->cpus) || cpuset_has(&pool->cpus, pu->pu_os)) &&
	       (nodeset_is_empty(&pool->nodes) || nodeset_has(&pool->nodes, node->node_os));
}

/* Each pool that names PUs or nodes owns them: a domain of its own. A PU that two pools name is the
 * first one's. @domain_of_pool and
 * @domain_of_pu are filled. */
static int domains_make(struct work *work, uint32_t *domain_of_pool, uint32_t *domain_of_pu)
{
	const struct snapshot *snapshot = work->snapshot;
	const struct topology *topology = snapshot->topology;
	struct grid *grid = &work->grid;
	uint32_t n_domain = 1;

	grid->domains = arena_alloc(work->scratch,
				    (snapshot->n_pools + 1) * sizeof(*grid->domains));
	if (!grid->domains)
		return -ENOMEM;
	for (size_t i = 0; i < snapshot->n_pools; i++) {
		domain_of_pool[i] = 0;
		if (!pool_names_pus(snapshot->pools[i]) &&
		    snapshot->pools[i]->isolation == ISOLATION_NONE)
			continue;
		grid->domains[n_domain].pool = snapshot->pools[i];
		domain_of_pool[i] = n_domain++;
	}
	for (uint32_t i = 0; i < topology->n_pu; i++) {
		const struct topo_pu *pu = &topology->pus[i];

		domain_of_pu[i] = GRID_NONE;
		if (!cpuset_has(&work->plan->cpus, pu->pu_os))
			continue;
		domain_of_pu[i] = 0;
		for (uint32_t d = 1; d < n_domain && domain_of_pu[i] == 0; d++)
			if (pool_names_pus(grid->domains[d].pool) &&
			    pool_has(work, grid->domains[d].pool, pu))
				domain_of_pu[i] = d;
	}
	grid->n_domain = n_domain;
	return isolate_make(work, domain_of_pool, domain_of_pu);
}

/* ---- workloads ---- */

/* Thousandths of a PU left by each limit and all above it. */
static int quotas_fill(const struct snapshot *snapshot, uint32_t *quotas, struct fault *fault)
{
	for (size_t i = 0; i < snapshot->n_limits; i++) {
		const struct limit *limit = &snapshot->limits[i];

		quotas[i] = limit->quota_mcpu;
		if (limit->parent == LIMIT_NONE)
			continue;
		if (limit->parent >= i)
			return fault_set(fault, -EINVAL,
					 "limit %zu ('%s') has parent %u, expected a lower one", i,
					 limit->path ? limit->path : "", limit->parent);
		if (quotas[limit->parent] < quotas[i])
			quotas[i] = quotas[limit->parent];
	}
	return 0;
}

static int pool_find(const struct snapshot *snapshot, const char *name, size_t *pool)
{
	/* Workloads of one pool often follow each other: the last one found is asked first. */
	if (*pool < snapshot->n_pools && strcmp(snapshot->pools[*pool]->name, name) == 0)
		return 0;
	for (*pool = 0; *pool < snapshot->n_pools; (*pool)++)
		if (strcmp(snapshot->pools[*pool]->name, name) == 0)
			return 0;
	return -EINVAL;
}

/* Nodes near the devices that it names; those that the machine does not have, or that are near no
 * node in particular, say nothing. */
static int near_make(struct work *work, struct demand *demand)
{
	const struct strings *names = &demand->conf->near_devices;
	cleanup(nodeset_done) struct nodeset nodes = { 0 };

	for (size_t i = 0; i < names->n_items; i++) {
		const struct topo_device *device = topology_device(work->snapshot->topology,
								   names->items[i]);

		if (device && nodeset_union(&nodes, &device->nodes) < 0)
			return -ENOMEM;
	}
	if (nodeset_is_empty(&nodes))
		return 0;
	demand->near = arena_alloc(work->scratch, sizeof(*demand->near));
	return demand->near ? arena_copy_nodeset(work->scratch, &nodes, demand->near) : -ENOMEM;
}

/* Exclusive=2 of Max=3.5: two are its own, what is left of Min= and Max= it shares. At least one PU
 * is shared: it would be Exclusive=yes else. */
static void split_bounds(struct demand *demand)
{
	const struct workload *conf = demand->conf;
	uint32_t n = conf->n_exclusive;

	demand->own_min = demand->own_max = n;
	demand->rest_min = conf->min_pu > n ? conf->min_pu - n : 1;
	demand->rest_max = conf->max_pu;
	if (conf->max_pu != WORKLOAD_MAX_UNSET)
		demand->rest_max = conf->max_pu > n ? conf->max_pu - n : 1;
}

static int demand_make(struct work *work, size_t i, const uint32_t *quotas, struct fault *fault)
{
	const struct snapshot *snapshot = work->snapshot;
	const struct snapshot_workload *workload = &snapshot->workloads[i];
	struct demand *demand = &work->demands[i];

	if (i > 0 && strcmp(workload[-1].conf->name, workload->conf->name) >= 0)
		return fault_set(fault, -EINVAL,
				 "workload '%s' comes after '%s', expected names in order",
				 workload->conf->name, workload[-1].conf->name);
	if (workload->limit != LIMIT_NONE && workload->limit >= snapshot->n_limits)
		return fault_set(fault, -EINVAL, "workload '%s' has limit %u, there are %zu",
				 workload->conf->name, workload->limit, snapshot->n_limits);
	if (workload->conf->min_pu == 0 || workload->conf->max_pu < workload->conf->min_pu)
		return fault_set(fault, -EINVAL, "workload '%s' has Min=%u and Max=%u",
				 workload->conf->name, workload->conf->min_pu,
				 workload->conf->max_pu);
	*demand = (struct demand){
		.conf = workload->conf,
		.ceiling = workload->cpuset,
		.workload = (uint32_t)i,
		.smt = workload_owns(workload->conf) ? workload->conf->smt : SMT_ANY,
		.owns = workload_owns(workload->conf),
		.shares = !workload->conf->exclusive,
		.own_min = workload->conf->min_pu,
		.own_max = workload->conf->max_pu,
		.quota_mcpu = QUOTA_UNLIMITED_MCPU,
		.names_nodes = !nodeset_is_empty(&workload->conf->nodes),
		.step = 1,
		.cost = 1,
		.last_core = GRID_NONE,
		.last_l3 = GRID_NONE,
	};
	if (demand->owns && demand->shares)
		split_bounds(demand);
	demand->is_bounded = demand->ceiling || demand->names_nodes;
	if (snapshot->topology->n_rank > 1)
		demand->core_type = workload->conf->core_type;
	if (workload->conf->near_devices.n_items > 0 && near_make(work, demand) < 0)
		return -ENOMEM;
	if (workload->limit != LIMIT_NONE)
		demand->quota_mcpu = quotas[workload->limit];
	work->plan->workloads[i] = (struct plan_workload){ .conf = workload->conf,
							   .limit = workload->limit,
							   .quota_mcpu = demand->quota_mcpu };
	return 0;
}

/* Who was who in the previous plan: both are sorted by name. */
static void match_previous(struct work *work)
{
	const struct plan *previous = work->previous;
	size_t k = 0;

	for (size_t i = 0; previous && i < work->snapshot->n_workloads; i++) {
		struct demand *demand = &work->demands[i];
		int order = 1;

		/* Mostly the same object: then no name needs to be read. */
		if (k < previous->n_workloads && previous->workloads[k].conf == demand->conf)
			order = 0;
		while (order != 0 && k < previous->n_workloads &&
		       (order = strcmp(previous->workloads[k].conf->name, demand->conf->name)) < 0)
			k++;
		if (k == previous->n_workloads || order != 0)
			continue;
		demand->before = &previous->workloads[k];
		if (!demand->before->placed || cpuset_is_empty(&demand->before->cpus))
			continue;
		demand->previous = &demand->before->cpus;
		if (demand->owns && demand->shares)
			demand->previous = cpuset_is_empty(&demand->before->own)
						   ? NULL
						   : &demand->before->own;
	}
}

/* order[] and first_order[]: workloads by domain, by name inside. */
static void order_make(struct work *work)
{
	size_t n = work->snapshot->n_workloads;
	uint32_t *first = work->first_order;

	for (size_t i = 0; i < n; i++)
		first[work->demands[i].domain + 1]++;
	for (uint32_t d = 0; d < work->grid.n_domain; d++)
		first[d + 1] += first[d];
	for (size_t i = n; i-- > 0;) /* from the end, so that first[d] ends where d begins */
		work->order[--first[work->demands[i].domain + 1]] = (uint32_t)i;
	for (uint32_t d = 0; d < work->grid.n_domain; d++)
		first[d] = first[d + 1];
	first[work->grid.n_domain] = (uint32_t)n;
}

static int demands_make(struct work *work, const uint32_t *domain_of_pool, struct fault *fault)
{
	const struct snapshot *snapshot = work->snapshot;
	uint32_t *quotas = arena_alloc(work->scratch, snapshot->n_limits * sizeof(*quotas) + 1);
	size_t pool = 0, n = snapshot->n_workloads;
	int r;

	work->demands = arena_alloc(work->scratch, (n + 1) * sizeof(*work->demands));
	work->order = arena_alloc(work->scratch, (n + 1) * sizeof(*work->order));
	work->sorted = arena_alloc(work->scratch, (n + 1) * sizeof(*work->sorted));
	work->sort_items = arena_alloc(work->scratch, (n + 1) * sizeof(*work->sort_items));
	work->sort_scratch = arena_alloc(work->scratch, (n + 1) * sizeof(*work->sort_scratch));
	work->first_order = arena_alloc(work->scratch,
					(work->grid.n_domain + 2) * sizeof(*work->first_order));
	if (!quotas || !work->demands || !work->order || !work->sorted || !work->sort_items ||
	    !work->sort_scratch || !work->first_order)
		return -ENOMEM;
	r = quotas_fill(snapshot, quotas, fault);
	for (size_t i = 0; i < n && r == 0; i++) {
		r = demand_make(work, i, quotas, fault);
		if (r == 0 && pool_find(snapshot, snapshot->workloads[i].conf->pool, &pool) < 0)
			r = fault_set(fault, -EINVAL,
				      "workload '%s' is of pool '%s', which is not there",
				      snapshot->workloads[i].conf->name,
				      snapshot->workloads[i].conf->pool);
		if (r == 0)
			work->demands[i].domain = domain_of_pool[pool];
	}
	if (r < 0)
		return r;
	match_previous(work);
	order_make(work);
	return 0;
}

int setup(struct work *work, struct fault *fault)
{
	const struct snapshot *snapshot = work->snapshot;
	uint32_t *domain_of_pool, *domain_of_pu;
	int r = cpuset_copy(&work->plan->cpus, &snapshot->topology->cpus);

	if (r == 0 && snapshot->allowed)
		cpuset_intersect(&work->plan->cpus, snapshot->allowed);
	if (r == 0)
		r = housekeeping_make(work);
	domain_of_pool = arena_alloc(work->scratch, (snapshot->n_pools + 1) * sizeof(uint32_t));
	domain_of_pu = arena_alloc(work->scratch, snapshot->topology->n_pu * sizeof(uint32_t));
	if (!domain_of_pool || !domain_of_pu)
		r = -ENOMEM;
	if (r == 0)
		r = domains_make(work, domain_of_pool, domain_of_pu);
	if (r == 0)
		r = demands_make(work, domain_of_pool, fault);
	if (r == 0)
		r = grid_make(work, domain_of_pu, work->grid.n_domain);
	return r;
}
