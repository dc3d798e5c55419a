/* Which NUMA nodes a workload gets: one where one holds it, else the fewest, near each other. */
#include "plan/plan_sort.h"
#include "plan/plan_work.h"

/* ---- what it had before ---- */

static uint32_t node_of(const struct work *work, uint32_t pu)
{
	return work->grid.l3s[work->grid.cores[work->grid.pus[pu].core].l3].node;
}

/* The PU where @demand may have it now, else GRID_NONE. */
static uint32_t usable(const struct work *work, const struct demand *demand, uint32_t pu_os)
{
	const struct grid_domain *domain = &work->grid.domains[demand->domain];
	uint32_t pu = pu_os < work->grid.n_os ? work->grid.at_of_os[pu_os] : GRID_NONE;

	if (pu == GRID_NONE || pu < domain->first_pu || pu >= domain->first_pu + domain->n_pu ||
	    work->grid.pus[pu].owner != OWNER_NOBODY || !demand_may_use(demand, pu_os) ||
	    !demand_may_use_node(work, demand, node_of(work, pu)))
		return GRID_NONE;
	return pu;
}

static void own_count(struct work *work, const struct demand *demand)
{
	work->n_own = 0;
	if (!demand->previous)
		return;
	cpuset_foreach (pu_os, demand->previous) {
		uint32_t pu = usable(work, demand, pu_os);

		if (pu == GRID_NONE)
			continue;
		work->own_nodes[node_of(work, pu)]++;
		work->own_l3s[work->grid.cores[work->grid.pus[pu].core].l3]++;
		work->n_own++;
	}
}

static void own_forget(struct work *work, const struct demand *demand)
{
	if (!demand->previous)
		return;
	cpuset_foreach (pu_os, demand->previous) {
		uint32_t pu = pu_os < work->grid.n_os ? work->grid.at_of_os[pu_os] : GRID_NONE;

		if (pu == GRID_NONE)
			continue;
		work->own_nodes[node_of(work, pu)] = 0;
		work->own_l3s[work->grid.cores[work->grid.pus[pu].core].l3] = 0;
	}
}

/* Does what it had still suit its Smt=, and share no more cores than it must? */
static bool own_cores_suit(const struct work *work, const struct demand *demand, uint32_t n)
{
	uint32_t core_size = work->grid.domains[demand->domain].core_size, n_split = 0;
	uint32_t last = GRID_NONE;

	cpuset_foreach (pu_os, demand->previous) {
		uint32_t core = work->grid.pus[work->grid.at_of_os[pu_os]].core, n_own = 0;
		const struct grid_core *at = &work->grid.cores[core];

		for (uint32_t i = at->first_pu; i < at->first_pu + at->n_pu; i++)
			n_own += cpuset_has(demand->previous, work->grid.pus[i].pu_os);
		if (demand->smt == SMT_WHOLE_CORE && n_own != at->n_online)
			return false;
		if (demand->smt == SMT_ONE_PER_CORE &&
		    (n_own != 1 || !room_of_core(work, demand, core).n_whole_core))
			return false;
		n_split += n_own != at->n_online && core != last;
		last = core;
	}
	return demand->smt != SMT_ANY || !demand_is_data(demand) || core_size == 0 ||
	       n_split <= (n % core_size > 0);
}

/* What it had, where that is exactly @n PUs on @n_node nodes, in no more L3 groups than it takes.
 */
static bool own_suits(const struct work *work, const struct demand *demand, uint32_t n,
		      uint32_t n_node)
{
	const struct grid_domain *domain = &work->grid.domains[demand->domain];

	if (work->n_own != n || cpuset_count(demand->previous) != n)
		return false;
	for (uint32_t i = domain->first_node; i < domain->first_node + domain->n_node; i++) {
		const struct grid_node *node = &work->grid.nodes[i];
		uint32_t n_l3 = 0;

		if (work->own_nodes[i] == 0)
			continue;
		for (uint32_t l3 = node->first_l3; l3 < node->first_l3 + node->n_l3; l3++)
			n_l3 += work->own_l3s[l3] > 0;
		if (n_node-- == 0 || n_l3 > pick_n_l3(work, demand, i, work->own_nodes[i]) ||
		    (demand->conf->memory_size_bytes > node->memory_left && domain->n_node > 1))
			return false;
	}
	return own_cores_suit(work, demand, n);
}

static uint32_t own_take(struct work *work, const struct demand *demand)
{
	uint32_t n = 0;

	cpuset_foreach (pu_os, demand->previous) {
		pick_pu(work, demand, work->grid.at_of_os[pu_os]);
		n++;
	}
	return n;
}

/* ---- one node ---- */

struct node_choice {
	uint32_t node;
	bool lacks_memory;
	uint32_t n_l3;
	bool splits; /* a data plane would share a core there */
	uint32_t n_own;
	bool is_held; /* others had PUs there that it would need */
	uint32_t n_free;
};

/* In the order of the objective; the last rows are strict, so the result does not depend on the
 * order of asking. */
static bool node_is_better(const struct node_choice *a, const struct node_choice *b)
{
	if (a->lacks_memory != b->lacks_memory)
		return b->lacks_memory;
	if (a->n_l3 != b->n_l3)
		return a->n_l3 < b->n_l3;
	if (a->splits != b->splits)
		return b->splits;
	if (a->n_own != b->n_own)
		return a->n_own > b->n_own;
	if (a->is_held != b->is_held)
		return b->is_held;
	if (a->n_free != b->n_free)
		return a->n_free < b->n_free; /* keeps the largest free node whole */
	return a->node < b->node;
}

static uint32_t choose_node(const struct work *work, const struct demand *demand, uint32_t n)
{
	const struct grid_domain *domain = &work->grid.domains[demand->domain];
	struct node_choice best = { .node = GRID_NONE };

	for (uint32_t i = domain->first_node; i < domain->first_node + domain->n_node; i++) {
		const struct grid_node *node = &work->grid.nodes[i];
		const struct room *room = &work->rooms[i];
		uint32_t n_part = node->core_size > 1 ? n % node->core_size : 0;
		struct node_choice choice = {
			.node = i,
			.lacks_memory = demand->conf->memory_size_bytes > node->memory_left,
			.splits = demand_is_data(demand) && demand->smt == SMT_ANY &&
				  room->n_whole_pu < n - n_part,
			.n_own = work->own_nodes[i],
			.is_held = room->n_free - room->n_held < n,
			.n_free = room->n_free,
		};

		if (work->fits[i] < n)
			continue;
		choice.n_l3 = pick_n_l3(work, demand, i, n);
		if (best.node == GRID_NONE || node_is_better(&choice, &best))
			best = choice;
	}
	return best.node;
}

/* ---- several nodes ---- */

static bool has_less(const void *context, uint32_t a, uint32_t b)
{
	const struct work *work = context;

	return work->fits[a] != work->fits[b] ? work->fits[a] < work->fits[b] : a > b;
}

/* What it had first; then the small ones, so that what stays free is in one piece, on the largest.
 */
static bool filled_later(const void *context, uint32_t a, uint32_t b)
{
	const struct work *work = context;

	if (work->own_nodes[a] != work->own_nodes[b])
		return work->own_nodes[a] < work->own_nodes[b];
	return work->fits[a] != work->fits[b] ? work->fits[a] > work->fits[b] : a > b;
}

static bool spread_later(const void *context, uint32_t a, uint32_t b)
{
	const struct work *work = context;

	if (work->own_nodes[a] != work->own_nodes[b])
		return work->own_nodes[a] < work->own_nodes[b];
	return work->fits[a] != work->fits[b] ? work->fits[a] < work->fits[b] : a > b;
}

/* largest[]: nodes with room for it, the roomiest first. Returns how many. */
static uint32_t list_nodes(struct work *work, const struct demand *demand)
{
	const struct grid_domain *domain = &work->grid.domains[demand->domain];
	uint32_t n = 0;

	for (uint32_t i = domain->first_node; i < domain->first_node + domain->n_node; i++)
		if (work->fits[i] > 0)
			work->largest[n++] = i;
	plan_sort(work->largest, work->trial, n, has_less, work);
	return n;
}

static uint32_t distance(const struct work *work, uint32_t a, uint32_t b)
{
	const struct topology *topology = work->snapshot->topology;
	uint32_t from = work->grid.nodes[a].topo_idx, to = work->grid.nodes[b].topo_idx;

	return topology->distances[from * topology->n_node + to] +
	       topology->distances[to * topology->n_node + from];
}

struct span {
	uint32_t n_nodes;    /* candidates: largest[] */
	uint32_t n_chosen;   /* as few as can hold n */
	uint32_t n;	     /* PUs to hold */
	uint64_t n_distance; /* sum over the pairs of the best set yet; chosen[] */
	uint32_t n_own;
};

#define IN_SET UINT32_MAX /* in distance[]: chosen already */

/* The nearest node that still lets the set be as small as it can be; GRID_NONE where there is none.
 */
static uint32_t next_node(const struct work *work, const struct span *span, uint32_t n_set,
			  uint32_t n_room)
{
	uint32_t n_more = span->n_chosen - n_set - 1, n_seen = 0, best = GRID_NONE;
	uint64_t n_top = 0;	  /* the n_more roomiest that are not in the set ... */
	uint32_t n_following = 0; /* ... and the one after them */

	for (uint32_t k = 0; k < span->n_nodes && n_seen <= n_more; k++) {
		uint32_t node = work->largest[k];

		if (work->distance[node] == IN_SET)
			continue;
		if (n_seen++ < n_more)
			n_top += work->fits[node];
		else
			n_following = work->fits[node];
	}
	n_seen = 0;
	for (uint32_t k = 0; k < span->n_nodes; k++) {
		uint32_t node = work->largest[k];
		uint64_t n_rest = n_top;

		if (work->distance[node] == IN_SET)
			continue;
		if (n_seen++ < n_more)
			n_rest += n_following - (uint64_t)work->fits[node];
		if (n_room + work->fits[node] + n_rest < span->n)
			break; /* the ones after it are smaller still */
		/* At equal distance what it had, then the roomiest: that one came first. */
		if (best == GRID_NONE || work->distance[node] < work->distance[best] ||
		    (work->distance[node] == work->distance[best] &&
		     work->own_nodes[node] > work->own_nodes[best]))
			best = node;
	}
	return best;
}

/* Grows a set from one node; keeps it in chosen[] where it is better than the best yet. */
static void span_try(struct work *work, struct span *span, uint32_t seed)
{
	uint32_t n_set = 0, n_room = 0, n_own = 0, node = seed;
	uint64_t n_distance = 0;

	for (uint32_t k = 0; k < span->n_nodes; k++)
		work->distance[work->largest[k]] = 0;
	for (;;) {
		n_distance += work->distance[node];
		n_room += work->fits[node];
		n_own += work->own_nodes[node];
		work->distance[node] = IN_SET;
		work->trial[n_set++] = node;
		if (n_set == span->n_chosen)
			break;
		for (uint32_t k = 0; k < span->n_nodes; k++)
			if (work->distance[work->largest[k]] != IN_SET)
				work->distance[work->largest[k]] += distance(work, work->largest[k],
									     node);
		node = next_node(work, span, n_set, n_room);
		if (node == GRID_NONE)
			return;
	}
	if (n_room < span->n || n_distance > span->n_distance ||
	    (n_distance == span->n_distance && n_own <= span->n_own))
		return;
	span->n_distance = n_distance;
	span->n_own = n_own;
	for (uint32_t i = 0; i < n_set; i++)
		work->chosen[i] = work->trial[i];
}

/* Seeds times nodes times set size: beyond this the first seeds must do. About a millisecond. */
#define SPAN_STEPS_MOST (1u << 20)

static void choose_span(struct work *work, struct span *span)
{
	uint32_t n_seeds = SPAN_STEPS_MOST / (span->n_chosen * span->n_nodes) + 1;

	/* The roomiest ones always do. */
	for (uint32_t i = 0; i < span->n_chosen; i++)
		work->chosen[i] = work->largest[i];
	span->n_distance = UINT64_MAX;
	if (span->n_chosen == span->n_nodes)
		return;
	for (uint32_t k = 0; k < span->n_nodes && k < n_seeds; k++)
		span_try(work, span, work->largest[k]);
}

/* ---- all together ---- */

static void refuse_now(struct work *work, struct demand *demand, uint32_t n_fit, uint32_t n_largest)
{
	bool single = demand->conf->numa_policy == NUMA_SINGLE;
	uint32_t n = single ? n_largest : n_fit;
	const char *smaller = n > 0 ? arena_printf(work->scratch, "; Min=%u would place it", n)
				    : "";

	demand_refuse(work, demand,
		      single ? "needs %s on one node, the largest free node has %u%s"
			     : "needs %s, %u are free%s",
		      demand_need_text(work, demand, demand->n_least), n, smaller ? smaller : "");
}

static uint32_t place_span(struct work *work, struct demand *demand, uint32_t n_target)
{
	struct span span = { .n_nodes = list_nodes(work, demand) };
	uint32_t mark = work->n_picked, n_room = 0, n_fit = 0, n_taken = 0;

	for (uint32_t k = 0; k < span.n_nodes; k++)
		n_fit += work->fits[work->largest[k]];
	span.n = n_target < n_fit ? n_target : n_fit;
	while (n_room < span.n)
		n_room += work->fits[work->largest[span.n_chosen++]];
	if (span.n >= demand->n_least && own_suits(work, demand, span.n, span.n_chosen))
		return own_take(work, demand);
	if (span.n >= demand->n_least) {
		choose_span(work, &span);
		plan_sort(work->chosen, work->trial, span.n_chosen, filled_later, work);
		for (uint32_t i = 0; i < span.n_chosen && n_taken < span.n; i++)
			n_taken += pick_in_node(work, demand, work->chosen[i], span.n - n_taken);
		if (n_taken >= demand->n_least)
			return n_taken;
	}
	grid_undo(work, mark);
	refuse_now(work, demand, n_fit, work->fits[work->largest[0]]);
	return 0;
}

/* True where what it had is spread as evenly as can be. */
static bool own_is_even(const struct work *work, const struct demand *demand, uint32_t n_nodes)
{
	uint32_t n_least = UINT32_MAX, n_most = 0;

	for (uint32_t k = 0; k < n_nodes; k++) {
		uint32_t n = work->own_nodes[work->largest[k]];

		n_least = n < n_least ? n : n_least;
		n_most = n > n_most ? n : n_most;
	}
	return n_most - n_least <= demand->step;
}

static uint32_t place_spread(struct work *work, struct demand *demand, uint32_t n_target)
{
	uint32_t n_nodes = list_nodes(work, demand), n_fit = 0, n_taken = 0, mark = work->n_picked;

	if (n_nodes > 0 && own_is_even(work, demand, n_nodes) &&
	    own_suits(work, demand, n_target, n_nodes))
		return own_take(work, demand);
	plan_sort(work->largest, work->trial, n_nodes, spread_later, work);
	for (uint32_t k = 0; k < n_nodes; k++) {
		uint32_t n = work->fits[work->largest[k]];

		work->items[k] = (struct fill_item){ .most = n, .weight = 1, .step = demand->step };
		n_fit += n;
	}
	plan_fill(work->items, n_nodes, n_target < n_fit ? n_target : n_fit);
	for (uint32_t k = 0; k < n_nodes; k++)
		n_taken += pick_in_node(work, demand, work->largest[k], work->items[k].amount);
	if (n_taken >= demand->n_least)
		return n_taken;
	grid_undo(work, mark);
	refuse_now(work, demand, n_fit, n_nodes ? work->fits[work->largest[0]] : 0);
	return 0;
}

static uint32_t look_at_nodes(struct work *work, const struct demand *demand, uint32_t n_target)
{
	const struct grid_domain *domain = &work->grid.domains[demand->domain];
	uint32_t n_largest = 0;

	for (uint32_t i = domain->first_node; i < domain->first_node + domain->n_node; i++) {
		work->rooms[i] = room_of_node(work, demand, i);
		work->fits[i] = room_fit(demand, &work->rooms[i]);
		if (demand->smt == SMT_WHOLE_CORE && domain->core_size == 0)
			work->fits[i] = pick_reach(work, demand, i, n_target);
		n_largest = work->fits[i] > n_largest ? work->fits[i] : n_largest;
	}
	return n_largest;
}

static uint32_t place(struct work *work, struct demand *demand, uint32_t n_target)
{
	uint32_t n_largest = look_at_nodes(work, demand, n_target);
	uint32_t n = n_target < n_largest ? n_target : n_largest;

	if (demand->conf->numa_policy == NUMA_SPREAD)
		return place_spread(work, demand, n_target);
	if (n < n_target && demand->conf->numa_policy != NUMA_SINGLE && n_largest > 0)
		return place_span(work, demand, n_target);
	if (n < demand->n_least || n == 0) {
		refuse_now(work, demand, n_largest, n_largest);
		return 0;
	}
	if (own_suits(work, demand, n, 1))
		return own_take(work, demand);
	return pick_in_node(work, demand, choose_node(work, demand, n), n);
}

/* Its MemorySize= in equal parts to the PUs picked since @mark. */
static void spend_memory(struct work *work, const struct demand *demand, uint32_t mark)
{
	uint32_t n_picked = work->n_picked - mark;
	uint64_t per_pu = n_picked ? demand->conf->memory_size_bytes / n_picked : 0;

	for (uint32_t i = mark; per_pu > 0 && i < work->n_picked; i++) {
		struct grid_node *node = &work->grid.nodes[node_of(work, work->picked[i])];

		if (node->memory_left != UINT64_MAX)
			node->memory_left -= per_pu < node->memory_left ? per_pu
									: node->memory_left;
	}
}

uint32_t nodes_place(struct work *work, struct demand *demand, uint32_t n_target)
{
	uint32_t mark = work->n_picked, n;

	demand->reason = NULL;
	grid_unhold(work, demand);
	own_count(work, demand);
	n = place(work, demand, n_target);
	own_forget(work, demand);
	spend_memory(work, demand, mark);
	return n;
}

/* Gives back all that @demand has, and drops it from the picks from @mark on. Its memory stays
 * spoken for: it is still to be had nearby. */
static void release(struct work *work, const struct demand *demand, uint32_t mark)
{
	const struct grid *grid = &work->grid;
	uint32_t n = mark;

	for (uint32_t i = mark; i < work->n_picked; i++) {
		const struct grid_core *core = &grid->cores[grid->pus[work->picked[i]].core];

		if (grid->pus[work->picked[i]].owner != demand->workload)
			continue;
		grid_give(work, work->picked[i]);
		for (uint32_t k = core->first_pu; k < core->first_pu + core->n_pu; k++)
			if (grid->pus[k].owner == OWNER_IDLE)
				grid_give(work, k);
	}
	for (uint32_t i = mark; i < work->n_picked; i++)
		if (grid->pus[work->picked[i]].owner != OWNER_NOBODY)
			work->picked[n++] = work->picked[i];
	work->n_picked = n;
}

void nodes_replace(struct work *work, struct demand *demand, uint32_t n_picked)
{
	uint32_t n_before = demand->n_got, n;

	release(work, demand, n_picked);
	n = look_at_nodes(work, demand, demand->n_target);
	n = n < demand->n_target ? n : demand->n_target;
	demand->n_got = nodes_place(work, demand, n > n_before ? n : n_before);
}
