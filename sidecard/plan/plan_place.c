/* In which order exclusive workloads choose. Who can only live in one node chooses before who may
 * be split, the large before the small, so that nobody is split because a smaller one took its
 * node; priority decides over minimums alone. Three tries, each only where the one before left
 * somebody without its minimum: full shares; minimums, then growing where they stand; minimums in
 * the order of priority. */
#include <errno.h>
#include <string.h>

#include "plan/plan_sort.h"
#include "plan/plan_work.h"

struct attempt {
	struct work *work;
	uint32_t domain;
	uint32_t mark;	 /* n_picked before anybody was placed */
	uint32_t *order; /* n_order demands */
	uint32_t n_order;
};

static uint32_t target_of(const struct demand *demand, bool least)
{
	return least ? demand->n_least : demand->n_target;
}

/* Several nodes are needed whatever happens. */
static bool is_split(const struct work *work, const struct demand *demand)
{
	return demand->conf->numa_policy == NUMA_SPREAD ||
	       (uint64_t)demand->n_target * demand->cost >
		       work->grid.domains[demand->domain].n_largest_node;
}

/* Who may use only some PUs, who fits one node, who wants whole cores, who is large, data planes,
 * then the name: the sort is stable. */
static uint64_t placing_key(const struct work *work, const struct demand *demand)
{
	uint64_t n = (uint64_t)demand->n_target * demand->cost;

	return (uint64_t)!demand_is_bounded(demand) << 63 | (uint64_t)is_split(work, demand) << 62 |
	       (uint64_t)(demand->smt == SMT_ANY) << 61 | (UINT32_MAX - n) << 1 |
	       !demand_is_data(demand);
}

/* order[] by key; admission went by priority, so names are restored first. */
static void order_by_size(struct attempt *attempt)
{
	struct work *work = attempt->work;
	uint32_t first = work->first_order[attempt->domain], n = 0;
	struct sort_item *items = work->sort_items + first;

	for (uint32_t i = first; i < work->first_order[attempt->domain + 1]; i++) {
		const struct demand *demand = &work->demands[work->order[i]];

		if (demand->owns && demand->is_admitted)
			items[n++] = (struct sort_item){ placing_key(work, demand),
							 work->order[i] };
	}
	plan_sort_keys(items, work->sort_scratch, n);
	for (uint32_t i = 0; i < n; i++)
		attempt->order[i] = items[i].item;
}

/* Back to before the first one chose. */
static void attempt_reset(struct attempt *attempt)
{
	struct work *work = attempt->work;
	const struct grid_domain *domain = &work->grid.domains[attempt->domain];
	const struct topology *topology = work->snapshot->topology;
	int64_t n_slack = work->n_capacity;

	grid_undo(work, attempt->mark);
	for (uint32_t i = domain->first_node; i < domain->first_node + domain->n_node; i++) {
		uint64_t bytes = topology->nodes[work->grid.nodes[i].topo_idx].memory_bytes;

		work->grid.nodes[i].memory_left = bytes ? bytes : UINT64_MAX;
	}
	for (uint32_t i = 0; i < attempt->n_order; i++) {
		const struct demand *demand = &work->demands[attempt->order[i]];

		n_slack -= (int64_t)demand->n_target * demand->cost;
	}
	work->n_slack = n_slack;
	grid_hold(work, attempt->domain);
}

/* Returns how many found no place. */
static uint32_t attempt_run(struct attempt *attempt, bool least)
{
	struct work *work = attempt->work;
	uint32_t n_failed = 0;

	attempt_reset(attempt);
	for (uint32_t i = 0; i < attempt->n_order; i++) {
		struct demand *demand = &work->demands[attempt->order[i]];

		demand->n_got = nodes_place(work, demand, target_of(demand, least));
		n_failed += demand->n_got == 0;
	}
	return n_failed;
}

/* ---- growing ---- */

/* Who has PUs in the node, each once: chosen[]. */
static uint32_t owners_in(struct work *work, uint32_t node)
{
	const struct grid *grid = &work->grid;
	const struct grid_l3 *first = &grid->l3s[grid->nodes[node].first_l3];
	const struct grid_l3 *last = first + grid->nodes[node].n_l3 - 1;
	const struct grid_core *last_core = &grid->cores[last->first_core + last->n_core - 1];
	uint32_t n = 0;

	for (uint32_t pu = grid->cores[first->first_core].first_pu;
	     pu < last_core->first_pu + last_core->n_pu; pu++) {
		uint32_t owner = grid->pus[pu].owner;

		if (owner >= work->snapshot->n_workloads || work->demands[owner].is_listed)
			continue;
		work->demands[owner].is_listed = true;
		work->chosen[n++] = owner;
	}
	for (uint32_t i = 0; i < n; i++)
		work->demands[work->chosen[i]].is_listed = false;
	return n;
}

/* Everybody takes more where it is already, up to its share. */
static void grow(struct attempt *attempt)
{
	struct work *work = attempt->work;
	const struct grid_domain *domain = &work->grid.domains[attempt->domain];

	for (uint32_t node = domain->first_node; node < domain->first_node + domain->n_node;
	     node++) {
		uint32_t n = owners_in(work, node);

		for (uint32_t i = 0; i < n; i++) {
			struct demand *demand = &work->demands[work->chosen[i]];

			if (demand->n_got < demand->n_target)
				demand->n_got += pick_in_node(work, demand, node,
							      demand->n_target - demand->n_got);
		}
	}
}

/* Looking for a roomier node costs a pass over the domain; so many may. */
#define REPLACE_MOST 64u

static bool is_apart(const struct attempt *attempt, const struct demand *demand)
{
	const struct work *work = attempt->work;
	const struct grid *grid = &work->grid;
	uint32_t node = GRID_NONE;

	for (uint32_t i = attempt->mark; i < work->n_picked; i++) {
		const struct grid_pu *pu = &grid->pus[work->picked[i]];

		if (pu->owner != demand->workload)
			continue;
		if (node != GRID_NONE && node != grid->l3s[grid->cores[pu->core].l3].node)
			return true;
		node = grid->l3s[grid->cores[pu->core].l3].node;
	}
	return false;
}

/* Who has no room to grow where it is may have it elsewhere; who was split may find one node now.
 * True where that helped somebody. */
static bool replace(struct attempt *attempt)
{
	struct work *work = attempt->work;
	uint32_t n = 0;
	bool helped = false;

	for (uint32_t i = work->first_order[attempt->domain];
	     i < work->first_order[attempt->domain + 1] && n < REPLACE_MOST; i++) {
		struct demand *demand = &work->demands[work->sorted[i]];
		uint32_t n_before = demand->n_got;
		bool apart;

		if (!demand->owns || demand->n_got == 0 || demand->conf->numa_policy == NUMA_SPREAD)
			continue;
		apart = is_apart(attempt, demand);
		if (demand->n_got >= demand->n_target && !apart)
			continue;
		nodes_replace(work, demand, attempt->mark);
		helped |= demand->n_got > n_before || (apart && !is_apart(attempt, demand));
		n++;
	}
	return helped;
}

/* ---- tries ---- */

/* True where the first set of placed workloads is the better one: at the highest priority where
 * they differ it has more. */
static bool minimums_better(const struct attempt *attempt, const uint32_t *by_priority,
			    const bool *first)
{
	const struct work *work = attempt->work;
	int64_t n_more = 0;

	for (uint32_t i = 0; i < attempt->n_order; i++) {
		const struct demand *demand = &work->demands[by_priority[i]];

		if (i > 0 && n_more != 0 &&
		    work->demands[by_priority[i - 1]].conf->priority != demand->conf->priority)
			break;
		n_more += (int64_t)first[demand->workload] - (demand->n_got > 0);
	}
	return n_more > 0;
}

/* Minimums for as many as possible; @by_priority: the order of admission. */
static int place_least(struct attempt *attempt, uint32_t *by_priority)
{
	struct work *work = attempt->work;
	uint32_t *by_size = attempt->order;
	bool *placed;

	if (attempt_run(attempt, true) == 0)
		return 0;
	placed = arena_alloc(work->scratch, work->snapshot->n_workloads * sizeof(*placed));
	if (!placed)
		return -ENOMEM;
	for (uint32_t i = 0; i < attempt->n_order; i++)
		placed[by_size[i]] = work->demands[by_size[i]].n_got > 0;
	attempt->order = by_priority;
	if (attempt_run(attempt, true) > 0 && minimums_better(attempt, by_priority, placed)) {
		attempt->order = by_size;
		attempt_run(attempt, true);
	}
	return 0;
}

/* PUs that are free and not kept for those that are not exclusive: counting by Smt= may have taken
 * more than was used in the end. */
static uint32_t n_left(const struct attempt *attempt)
{
	const struct work *work = attempt->work;
	const struct grid_domain *domain = &work->grid.domains[attempt->domain];
	uint32_t n_kept = domain->room.n_free - work->n_capacity, n_free = 0;

	/* What is reserved for those at a certain place is a part of what is kept for them. */
	for (uint32_t i = domain->first_pu; i < domain->first_pu + domain->n_pu; i++)
		n_free += work->grid.pus[i].owner == OWNER_NOBODY ||
			  work->grid.pus[i].owner == OWNER_RESERVED;
	return n_free > n_kept ? n_free - n_kept : 0;
}

/* Somebody whose minimum fitted by count found no place: its PUs are for those who were refused by
 * count. And who found none may find one now that others have moved. */
static void give_chance(struct attempt *attempt)
{
	struct work *work = attempt->work;
	uint32_t first = work->first_order[attempt->domain];
	uint32_t end = work->first_order[attempt->domain + 1];
	uint64_t n_used = 0;

	for (uint32_t i = first; i < end; i++) {
		const struct demand *demand = &work->demands[work->order[i]];

		if (demand->owns && demand->is_admitted)
			n_used += (uint64_t)demand->n_got * demand->cost;
	}
	for (uint32_t i = first; i < end; i++) {
		struct demand *demand = &work->demands[work->sorted[i]];
		uint32_t n = demand->n_least * demand->cost;

		if (!demand->is_sized || demand->n_got > 0 ||
		    (n_used + n > work->n_capacity && demand->n_least > n_left(attempt)))
			continue;
		demand->n_got = nodes_place(work, demand, demand->n_least);
		demand->is_admitted |= demand->n_got > 0;
		n_used += demand->n_got > 0 ? n : 0;
	}
}

/* What one gives up may be what another waits for; so often it is looked at again. */
#define MEND_MOST 4u

/* Not everybody got a minimum at the first try: makes the best of what the second left. */
static int mend(struct attempt *attempt)
{
	struct work *work = attempt->work;
	bool more, helped = true;
	int r;

	give_chance(attempt);
	grow(attempt);
	r = count_again(work, attempt->domain, &more);
	if (r == 0 && more)
		grow(attempt);
	for (unsigned i = 0; i < MEND_MOST && r == 0 && helped; i++) {
		helped = replace(attempt);
		give_chance(attempt);
	}
	return r;
}

/* Everybody anew; what they had counts as far as their demands say. */
static int place_anew(struct attempt *attempt, uint32_t *by_priority)
{
	struct work *work = attempt->work;
	bool more;
	int r;

	if (attempt_run(attempt, false) > 0) {
		r = place_least(attempt, by_priority);
		return r < 0 ? r : mend(attempt);
	}
	r = count_again(work, attempt->domain, &more);
	if (r == 0 && more)
		grow(attempt);
	return r;
}

/* Who need not move does not, and the others find room around them. False where somebody found
 * none. */
static bool place_around(struct attempt *attempt)
{
	struct work *work = attempt->work;
	bool all = true;

	attempt_reset(attempt);
	for (uint32_t i = 0; i < attempt->n_order; i++) {
		struct demand *demand = &work->demands[attempt->order[i]];

		demand->n_got = 0;
		if (nodes_keep(work, demand, demand->n_target))
			demand->n_got = demand->n_target;
	}
	for (uint32_t i = 0; i < attempt->n_order && all; i++) {
		struct demand *demand = &work->demands[attempt->order[i]];

		if (demand->n_got == 0)
			demand->n_got = nodes_place(work, demand, demand->n_target);
		all = demand->n_got == demand->n_target;
	}
	return all;
}

static uint32_t n_unplaced(const struct attempt *attempt)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < attempt->n_order; i++)
		n += attempt->work->demands[attempt->order[i]].n_got == 0;
	return n;
}

int place_domain(struct work *work, uint32_t domain, bool keeps)
{
	struct attempt attempt = { .work = work, .domain = domain, .mark = work->n_picked };
	uint32_t first = work->first_order[domain], end = work->first_order[domain + 1];
	uint32_t *by_priority = arena_alloc(work->scratch, (end - first) * sizeof(*by_priority));
	bool best = false;
	int r = 0;

	attempt.order = arena_alloc(work->scratch, (end - first) * sizeof(*attempt.order));
	if (!by_priority || !attempt.order)
		return -ENOMEM;
	for (uint32_t i = first; i < end; i++) {
		const struct demand *demand = &work->demands[work->sorted[i]];

		if (demand->owns && demand->is_admitted)
			by_priority[attempt.n_order++] = demand->workload;
	}
	order_by_size(&attempt);
	if (!keeps || !place_around(&attempt))
		r = place_anew(&attempt, by_priority);
	if (r == 0)
		r = improve_domain(work, domain, attempt.mark, &best);
	work->is_best = best && n_unplaced(&attempt) == 0;
	if (r == 0)
		give_chance(&attempt);
	return r;
}
