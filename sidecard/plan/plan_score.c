/* How good a placement is, for plan_improve.c: the items of the objective that the search works on.
 */
#include "plan/plan_score.h"

/* One step is about 13 ns on a slow machine: what looking at one PU costs. */
#define STEPS_PER_US 70u

int64_t search_steps(const struct snapshot *snapshot)
{
	uint64_t us = snapshot->deadline_us ? snapshot->deadline_us : SNAPSHOT_DEADLINE_US;

	return (int64_t)(us * STEPS_PER_US);
}

uint32_t score_n_free(const struct work *work, const struct grid_domain *domain)
{
	uint32_t n = 0;

	for (uint32_t i = domain->first_node; i < domain->first_node + domain->n_node; i++)
		n += work->grid.nodes[i].room.n_free;
	return n;
}

/* PUs of a node, whoever has them. */
uint32_t score_n_pu(const struct work *work, uint32_t node)
{
	const struct grid *grid = &work->grid;
	const struct grid_l3 *first = &grid->l3s[grid->nodes[node].first_l3];
	const struct grid_l3 *last = first + grid->nodes[node].n_l3 - 1;
	const struct grid_core *core = &grid->cores[last->first_core + last->n_core - 1];

	return core->first_pu + core->n_pu - grid->cores[first->first_core].first_pu;
}

uint32_t score_node_of(const struct work *work, uint32_t pu)
{
	return work->grid.l3s[work->grid.cores[work->grid.pus[pu].core].l3].node;
}

/* Weights of a node beyond the first: a data plane's counts most (item 3). */
static int64_t role_weight(const struct demand *demand)
{
	static const int64_t weights[] = {
		[ROLE_CONTROL_PLANE] = 2, [ROLE_DATA_PLANE] = 4, [ROLE_BATCH] = 1
	};

	return weights[demand->conf->role];
}

/* ---- the score ---- */

/* One more in a short list, where it is not in it yet. Neighbours are mostly alike: the last is
 * asked first. */
static bool list_add(uint32_t *list, uint32_t *n, uint32_t value)
{
	for (uint32_t k = *n; k > 0; k--)
		if (list[k - 1] == value)
			return false;
	list[(*n)++] = value;
	return true;
}

/* Nodes, packages and distances of PUs that one workload has. */
void score_span(const struct work *work, const struct demand *demand, const uint32_t *pus,
		uint32_t n_pus, struct score *score)
{
	const struct topology *topology = work->snapshot->topology;
	uint32_t nodes[SPAN_SCORED_MOST], packages[SPAN_SCORED_MOST];
	uint32_t n_nodes = 0, n_packages = 0;

	for (uint32_t i = 0; i < n_pus; i++) {
		const struct grid_core *core = &work->grid.cores[work->grid.pus[pus[i]].core];
		uint32_t node = work->grid.nodes[work->grid.l3s[core->l3].node].topo_idx;

		if (n_packages < SPAN_SCORED_MOST)
			list_add(packages, &n_packages, core->package);
		if (n_nodes == SPAN_SCORED_MOST || !list_add(nodes, &n_nodes, node))
			continue;
		for (uint32_t k = 0; k + 1 < n_nodes; k++)
			score->items[SCORE_DISTANCE] +=
				topology->distances[node * topology->n_node + nodes[k]] +
				topology->distances[nodes[k] * topology->n_node + node];
	}
	score->items[SCORE_NODES] += role_weight(demand) * n_nodes;
	score->items[SCORE_PACKAGES] += n_packages;
}

bool score_is_beside(const struct work *work, uint32_t pu)
{
	const struct grid_core *core = &work->grid.cores[work->grid.pus[pu].core];
	uint32_t owner = work->grid.pus[pu].owner;

	for (uint32_t i = core->first_pu; i < core->first_pu + core->n_pu; i++) {
		uint32_t other = work->grid.pus[i].owner;

		if (other != owner && other != OWNER_NOBODY && other != OWNER_IDLE)
			return true;
	}
	return core->n_pu < core->n_online; /* the rest is another domain's */
}

/* The next look may come to the same group first. */
static void score_forget(struct work *work, uint32_t node)
{
	const struct grid *grid = &work->grid;
	uint32_t first = grid->cores[grid->l3s[grid->nodes[node].first_l3].first_core].first_pu;

	for (uint32_t pu = first; pu < first + score_n_pu(work, node); pu++) {
		struct demand *demand;

		if (grid->pus[pu].owner >= work->snapshot->n_workloads)
			continue;
		demand = &work->demands[grid->pus[pu].owner];
		demand->seen_l3 = demand->seen_die = demand->seen_l2 = GRID_NONE;
	}
}

struct tally score_tally(struct work *work, uint32_t node)
{
	const struct grid *grid = &work->grid;
	const struct grid_node *at = &grid->nodes[node];
	struct tally tally = { 0 };

	for (uint32_t l3 = at->first_l3; l3 < at->first_l3 + at->n_l3; l3++) {
		const struct grid_l3 *group = &grid->l3s[l3];
		const struct grid_core *last = &grid->cores[group->first_core + group->n_core - 1];

		for (uint32_t pu = grid->cores[group->first_core].first_pu;
		     pu < last->first_pu + last->n_pu; pu++) {
			const struct grid_core *core = &grid->cores[grid->pus[pu].core];
			uint32_t owner = grid->pus[pu].owner;
			struct demand *demand;

			tally.n_quiet += owner == OWNER_NOBODY && core->n_data > 0;
			if (owner >= work->snapshot->n_workloads)
				continue;
			demand = &work->demands[owner];
			tally.n_far += demand_is_far(work, demand, node);
			tally.n_wrong += demand->core_type != CORE_ANY &&
					 core->is_fast != (demand->core_type == CORE_PERFORMANCE);
			tally.n_l3s += demand->seen_l3 != l3;
			demand->seen_l3 = l3;
			tally.n_dies += demand->seen_die != core->die;
			demand->seen_die = core->die;
			tally.n_l2s += demand->seen_l2 != core->l2;
			demand->seen_l2 = core->l2;
			tally.n_beside += demand_is_data(demand) && core->n_pu > 1 &&
					  score_is_beside(work, pu);
		}
	}
	score_forget(work, node);
	work->n_steps -= score_n_pu(work, node);
	return tally;
}

int score_compare(const struct score *a, const struct score *b)
{
	for (unsigned i = 0; i < N_SCORES; i++)
		if (a->items[i] != b->items[i])
			return a->items[i] < b->items[i] ? -1 : 1;
	return 0;
}

void score_add(struct score *score, const struct tally *tally)
{
	score->items[SCORE_FAR] += tally->n_far;
	score->items[SCORE_KIND] += tally->n_wrong;
	score->items[SCORE_L3S] += tally->n_l3s;
	score->items[SCORE_DIES] += tally->n_dies;
	score->items[SCORE_L2S] += tally->n_l2s;
	score->items[SCORE_BESIDE] += tally->n_beside;
}

void score_slots(struct work *work, uint32_t domain, uint32_t *slots)
{
	const struct grid_domain *at = &work->grid.domains[domain];
	uint32_t n = 0;

	for (uint32_t i = work->first_order[domain]; i < work->first_order[domain + 1]; i++) {
		struct demand *demand = &work->demands[work->order[i]];

		demand->first_slot = n;
		demand->n_slot = 0;
		demand->seen_l3 = demand->seen_l2 = demand->seen_die = GRID_NONE;
		n += demand->owns ? demand->n_got : 0;
	}
	for (uint32_t pu = at->first_pu; pu < at->first_pu + at->n_pu; pu++)
		if (work->grid.pus[pu].owner < work->snapshot->n_workloads) {
			struct demand *demand = &work->demands[work->grid.pus[pu].owner];

			slots[demand->first_slot + demand->n_slot++] = pu;
		}
}

/* ---- who could have it better ---- */

/* What @n_has is above what it takes to hold @n in pieces of @n_piece. */
static uint32_t beyond(uint32_t n_has, uint32_t n, uint32_t n_piece)
{
	uint32_t n_least = n_piece > 0 ? (n + n_piece - 1) / n_piece : n_has;

	return n_has > n_least ? n_has - n_least : 0;
}

struct wish score_wish(const struct work *work, const struct demand *demand, const uint32_t *pus)
{
	const struct grid_domain *domain = &work->grid.domains[demand->domain];
	uint32_t n = demand->n_slot, last_node = GRID_NONE, last_l3 = GRID_NONE;
	uint32_t n_l2s = 0, last_l2 = GRID_NONE;
	uint32_t n_nodes = 0, n_l3s = 0, n_node_most = domain->n_largest_node;
	struct wish wish = { 0 };

	for (uint32_t i = 0; i < n; i++) {
		uint32_t pu = pus[i];
		uint32_t l3 = work->grid.cores[work->grid.pus[pu].core].l3;

		/* PUs of one group come together, or it looks like more: then it is tried in vain.
		 */
		n_l3s += l3 != last_l3;
		last_l3 = l3;
		n_l2s += work->grid.cores[work->grid.pus[pu].core].l2 != last_l2;
		last_l2 = work->grid.cores[work->grid.pus[pu].core].l2;
		n_nodes += score_node_of(work, pu) != last_node;
		last_node = score_node_of(work, pu);
		wish.n_beside += demand_is_data(demand) && score_is_beside(work, pu);
		wish.n_far += demand_is_far(work, demand, last_node);
		wish.n_wrong += demand->core_type != CORE_ANY &&
				work->grid.cores[work->grid.pus[pu].core].is_fast !=
					(demand->core_type == CORE_PERFORMANCE);
	}
	if (demand->conf->numa_policy == NUMA_SPREAD)
		return wish;
	/* Near what holds the search must find what a plan from scratch would: that costs more
	 * moves. */
	if (work->previous)
		wish.n_far += (n_nodes > 1) + beyond(n_l2s, n * demand->cost, domain->n_largest_l2);
	wish.n_nodes = beyond(n_nodes, n * demand->cost, n_node_most);
	wish.n_l3s = beyond(n_l3s, n * demand->cost, domain->n_largest_l3);
	return wish;
}

bool score_has_wish(const struct wish *wish)
{
	return wish->n_nodes > 0 || wish->n_l3s > 0 || wish->n_beside > 0 || wish->n_far > 0 ||
	       wish->n_wrong > 0;
}

/* Dies and L2 groups are no wishes, since nobody is moved for them alone; but a plan is the best
 * only where they are the fewest too. The slots as score_slots() leaves them. */
bool score_is_compact(const struct work *work, uint32_t domain_idx, const uint32_t *slots_all)
{
	const struct grid_domain *domain = &work->grid.domains[domain_idx];

	for (uint32_t i = work->first_order[domain_idx]; i < work->first_order[domain_idx + 1];
	     i++) {
		const struct demand *demand = &work->demands[work->order[i]];
		const uint32_t *slots = slots_all + demand->first_slot;
		uint32_t n_dies = 0, n_l2s = 0, n = demand->n_slot, l2 = GRID_NONE, die = GRID_NONE;

		for (uint32_t k = 0; k < n; k++) {
			const struct grid_core *core =
				&work->grid.cores[work->grid.pus[slots[k]].core];

			n_dies += core->die != die;
			die = core->die;
			n_l2s += core->l2 != l2;
			l2 = core->l2;
		}
		/* One that is spread has no wishes, and its L3 groups were not counted. */
		if ((n > 0 && demand->conf->numa_policy == NUMA_SPREAD) ||
		    beyond(n_dies, n * demand->cost, domain->n_largest_die) > 0 ||
		    beyond(n_l2s, n * demand->cost, domain->n_largest_l2) > 0)
			return false;
	}
	return true;
}
