/* Is the plan as good as any can be? Compares with what each workload could have at best if it had
 * its domain to itself. Where all reach that, nothing better exists; where one does not, nothing is
 * claimed. */
#include <errno.h>
#include <math.h>

#include "base/cleanup.h"
#include "plan/plan_work.h"

#define N_ITEMS 10u /* of the objective, from 1 on */

/* PUs of the largest L3 group and core of a domain, before anybody was placed. */
struct best {
	uint32_t n_l3_most, n_core_most;
};

static bool counts_for_room(const struct grid_pu *pu)
{
	return pu->owner != OWNER_HOUSEKEEPING;
}

static struct best best_of(const struct work *work, const struct grid_domain *domain)
{
	const struct grid *grid = &work->grid;
	struct best best = { 0 };
	uint32_t n_in_l3 = 0, n_in_core = 0, l3 = GRID_NONE, core = GRID_NONE;

	for (uint32_t i = domain->first_pu; i < domain->first_pu + domain->n_pu; i++) {
		const struct grid_pu *pu = &grid->pus[i];

		if (grid->cores[pu->core].l3 != l3)
			n_in_l3 = 0;
		if (pu->core != core)
			n_in_core = 0;
		core = pu->core;
		l3 = grid->cores[core].l3;
		if (!counts_for_room(pu))
			continue;
		if (++n_in_l3 > best.n_l3_most)
			best.n_l3_most = n_in_l3;
		if (++n_in_core > best.n_core_most)
			best.n_core_most = n_in_core;
	}
	return best;
}

static bool demand_is_best(const struct work *work, const struct demand *demand,
			   const struct best *best)
{
	const struct plan_workload *workload = &work->plan->workloads[demand->workload];
	uint32_t n = workload->n_pu, n_core = (n + best->n_core_most - 1) / best->n_core_most;
	uint32_t n_before = demand->previous ? cpuset_count(demand->previous) : 0;

	if (!workload->placed)
		return false;
	if (demand->conf->memory != MEMORY_NONE &&
	    !nodeset_equal(&workload->mems, &workload->nodes))
		return false;
	if (demand->previous &&
	    cpuset_n_common(demand->previous, &workload->cpus) < (n_before < n ? n_before : n))
		return false;
	if (!demand->owns)
		return demand->conf->max_pu == WORKLOAD_MAX_UNSET ||
		       demand->conf->numa_policy == NUMA_SPREAD ||
		       nodeset_count(&workload->nodes) == 1;
	if (demand->n_got < demand->n_most)
		return false;
	/* Of several nodes the fewest and nearest should be taken: that is not proven here. */
	if (demand->n_node > 1 || demand->n_l3 > (n + best->n_l3_most - 1) / best->n_l3_most)
		return false;
	return demand->smt == SMT_ONE_PER_CORE || workload->n_core <= n_core;
}

/* No sibling of a data plane's PU is somebody else's. */
static bool data_cores_are_alone(const struct work *work, const struct grid_domain *domain)
{
	const struct grid *grid = &work->grid;
	const struct plan_workload *workloads = work->plan->workloads;

	for (uint32_t i = domain->first_pu; i < domain->first_pu + domain->n_pu; i++) {
		const struct grid_core *core = &grid->cores[grid->pus[i].core];
		uint32_t owner = grid->pus[i].owner;

		if (core->n_data == 0 || owner == OWNER_NOBODY || owner == OWNER_IDLE)
			continue;
		if (owner >= work->snapshot->n_workloads ||
		    workloads[owner].conf->role != ROLE_DATA_PLANE)
			return false;
		for (uint32_t k = core->first_pu; k < core->first_pu + core->n_pu; k++)
			if (grid->pus[k].owner < work->snapshot->n_workloads &&
			    grid->pus[k].owner != owner)
				return false;
	}
	return true;
}

#define N_SEEN 257u /* sets remembered; a prime, since addresses have patterns */

/* No workload that is not exclusive runs beside one either. */
static int data_cores_are_quiet(const struct work *work, const struct grid_domain *domain,
				bool *ret_quiet)
{
	cleanup(cpuset_done) struct cpuset beside = { 0 };
	const struct grid *grid = &work->grid;
	const uint64_t *seen[N_SEEN] = { NULL };

	for (uint32_t i = domain->first_pu; i < domain->first_pu + domain->n_pu; i++)
		if (grid->cores[grid->pus[i].core].n_data > 0 &&
		    grid->pus[i].owner == OWNER_NOBODY &&
		    cpuset_add(&beside, grid->pus[i].pu_os) < 0)
			return -ENOMEM;
	*ret_quiet = true;
	for (size_t i = 0; i < work->snapshot->n_workloads && !cpuset_is_empty(&beside); i++) {
		const struct plan_workload *workload = &work->plan->workloads[i];

		const uint64_t *words = workload->cpus.bits.words;
		const uint64_t **at = &seen[((uintptr_t)words >> 4) % N_SEEN];

		if (workload_owns(workload->conf) || *at == words)
			continue;
		*at = words; /* many share one set */
		*ret_quiet &= !cpuset_intersects(&workload->cpus, &beside);
	}
	return 0;
}

/* What is beyond the least that is possible, by item of the objective; all of it lower bounds: each
 * workload is compared with what it could have were the machine its own. */
struct beyond {
	int64_t items[N_ITEMS];
};

static int64_t beyond_of(int64_t n_has, uint64_t n, uint32_t n_piece)
{
	int64_t n_least = n_piece > 0 ? (int64_t)((n + n_piece - 1) / n_piece) : n_has;

	return n_has > n_least ? n_has - n_least : 0;
}

static void beyond_add(const struct work *work, const struct demand *demand, struct beyond *beyond)
{
	static const int64_t weights[] = {
		[ROLE_CONTROL_PLANE] = 2, [ROLE_DATA_PLANE] = 4, [ROLE_BATCH] = 1
	};
	const struct grid_domain *domain = &work->grid.domains[demand->domain];
	const struct plan_workload *workload = &work->plan->workloads[demand->workload];
	uint32_t n_before = demand->previous ? cpuset_count(demand->previous) : 0, n_kept;
	uint64_t n = (uint64_t)demand->n_got * demand->cost;

	if (!workload->placed) {
		beyond->items[1]++;
		return;
	}
	if (demand->conf->memory != MEMORY_NONE)
		beyond->items[4] += !nodeset_equal(&workload->mems, &workload->nodes);
	if (!demand->owns)
		return;
	if (demand->conf->numa_policy != NUMA_SPREAD) {
		beyond->items[3] += weights[demand->conf->role] *
				    beyond_of(demand->n_node, n, domain->n_largest_node);
		beyond->items[6] += beyond_of(demand->n_l3, n, domain->n_largest_l3);
	}
	n_kept = demand->previous ? cpuset_n_common(demand->previous, &workload->cpus) : 0;
	if (n_before > workload->n_pu)
		n_before = workload->n_pu;
	beyond->items[9] += n_before > n_kept ? n_before - n_kept : 0;
}

/* Items 5, 7 and 8, which are counts of PUs. */
static void beyond_add_pus(const struct work *work, const struct grid_domain *domain,
			   struct beyond *beyond)
{
	const struct grid *grid = &work->grid;

	for (uint32_t i = domain->first_pu; i < domain->first_pu + domain->n_pu; i++) {
		const struct grid_core *core = &grid->cores[grid->pus[i].core];
		uint32_t owner = grid->pus[i].owner;
		const struct demand *demand;

		if (owner >= work->snapshot->n_workloads)
			continue;
		demand = &work->demands[owner];
		beyond->items[5] += demand_is_far(work, demand, grid->l3s[core->l3].node);
		beyond->items[8] += demand->core_type != CORE_ANY &&
				    core->is_fast != (demand->core_type == CORE_PERFORMANCE);
		for (uint32_t k = core->first_pu;
		     demand_is_data(demand) && k < core->first_pu + core->n_pu; k++)
			if (grid->pus[k].owner != owner && grid->pus[k].owner != OWNER_NOBODY &&
			    grid->pus[k].owner != OWNER_IDLE) {
				beyond->items[7]++;
				break;
			}
	}
}

static void bound_fill(struct work *work)
{
	struct beyond beyond = { 0 };

	for (size_t i = 0; i < work->snapshot->n_workloads; i++)
		beyond_add(work, &work->demands[i], &beyond);
	for (uint32_t d = 0; d < work->grid.n_domain; d++)
		beyond_add_pus(work, &work->grid.domains[d], &beyond);
	for (uint32_t item = 1; item < N_ITEMS; item++)
		if (beyond.items[item] > 0) {
			work->plan->bound = (double)beyond.items[item];
			work->plan->bound_item = item;
			return;
		}
}

int bound_make(struct work *work)
{
	bool optimal = true;

	for (uint32_t d = 0; d < work->grid.n_domain && optimal; d++) {
		const struct grid_domain *domain = &work->grid.domains[d];
		struct best best;

		if (work->first_order[d] == work->first_order[d + 1])
			continue;
		if (data_cores_are_quiet(work, domain, &optimal) < 0)
			return -ENOMEM;
		best = best_of(work, domain);
		optimal &= best.n_core_most > 0 && data_cores_are_alone(work, domain);
		for (uint32_t i = work->first_order[d]; i < work->first_order[d + 1] && optimal;
		     i++)
			optimal = demand_is_best(work, &work->demands[work->order[i]], &best);
	}
	work->plan->optimal = optimal;
	work->plan->bound = optimal ? 0 : NAN;
	if (!optimal)
		bound_fill(work);
	return 0;
}
