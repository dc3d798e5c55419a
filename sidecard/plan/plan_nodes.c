/* Which NUMA nodes a workload gets: one where one holds it, else the fewest, near each other. */
#include "plan/plan_sort.h"
#include "plan/plan_span.h"

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
static bool own_suits(struct work *work, const struct demand *demand, uint32_t n, uint32_t n_node)
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

static uint32_t least_of(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

struct node_choice {
	uint32_t node;
	bool lacks_memory;
	bool is_far; /* from the devices that it names */
	uint32_t n_l3;
	bool splits;	 /* a data plane would share a core there */
	uint32_t n_lack; /* PUs that would be of another kind of core than it wants */
	uint32_t n_own;
	bool is_held; /* others had PUs there that it would need */
	uint32_t n_free;
};

/* In the order of the objective; the last rows are strict, so the result does not depend on the
 * order of asking. */
static bool node_is_better(const struct node_choice *a, const struct node_choice *b, bool spreads)
{
	if (a->lacks_memory != b->lacks_memory)
		return b->lacks_memory;
	if (a->is_far != b->is_far)
		return b->is_far;
	if (a->n_l3 != b->n_l3)
		return a->n_l3 < b->n_l3;
	if (a->splits != b->splits)
		return b->splits;
	if (a->n_lack != b->n_lack)
		return a->n_lack < b->n_lack;
	if (a->n_own != b->n_own)
		return a->n_own > b->n_own;
	if (a->is_held != b->is_held)
		return b->is_held;
	if (a->n_free != b->n_free) /* else it keeps the largest free node whole */
		return spreads ? a->n_free > b->n_free : a->n_free < b->n_free;
	return a->node < b->node;
}

/* Of a node that holds @n, with @room for @demand. */
static struct node_choice choice_of(struct work *work, const struct demand *demand, uint32_t i,
				    const struct room *room, uint32_t n)
{
	const struct grid_node *node = &work->grid.nodes[i];
	bool is_data = demand_is_data(demand) && demand->smt == SMT_ANY;
	uint32_t n_part = is_data && node->core_size > 1 ? n % node->core_size : 0;
	struct node_choice choice = {
		.node = i,
		.lacks_memory = demand->conf->memory_size_bytes > node->memory_left,
		.is_far = demand_is_far(work, demand, i),
		.splits = is_data && room->n_whole_pu < n - n_part,
		.n_lack = n - least_of(n, room_of_type(demand, room)),
		.n_own = work->own_nodes[i],
		.is_held = room->n_free - room->n_held < n,
		.n_free = room->n_free,
	};

	choice.n_l3 = pick_n_l3(work, demand, i, n);
	return choice;
}

static uint32_t choose_node(struct work *work, const struct demand *demand, uint32_t n)
{
	const struct grid_domain *domain = &work->grid.domains[demand->domain];
	struct node_choice best = { .node = GRID_NONE };
	bool spreads = demand->conf->balance == BALANCE_SPREAD;

	for (uint32_t i = domain->first_node; i < domain->first_node + domain->n_node; i++) {
		struct node_choice choice;

		if (work->fits[i] < n)
			continue;
		choice = choice_of(work, demand, i, &work->rooms[i], n);
		if (best.node == GRID_NONE || node_is_better(&choice, &best, spreads))
			best = choice;
	}
	return best.node;
}

/* The node with least room of those that are perfect in all that comes before that: what it had is
 * nowhere, so that any will do. One pass over few numbers, since most workloads find theirs here.
 */
static uint32_t choose_perfect_node(struct work *work, const struct demand *demand, uint32_t n)
{
	const struct grid_domain *domain = &work->grid.domains[demand->domain];
	bool is_data = demand_is_data(demand) && demand->smt == SMT_ANY;
	uint32_t best = GRID_NONE, n_least = UINT32_MAX;

	for (uint32_t i = domain->first_node; i < domain->first_node + domain->n_node; i++) {
		const struct grid_node *node = &work->grid.nodes[i];
		uint32_t n_free = node->room.n_free;

		if (n_free - node->room.n_held < n || n_free >= n_least ||
		    demand->conf->memory_size_bytes > node->memory_left ||
		    room_of_type(demand, &node->room) < n || demand_is_far(work, demand, i))
			continue;
		grid_look_at_l3s(&work->grid, i);
		if (room_fit(demand, &node->l3_most) < n ||
		    (is_data && node->room.n_whole_pu < n &&
		     (node->core_size <= 1 || node->room.n_whole_pu < n - n % node->core_size)))
			continue;
		best = i;
		n_least = n_free;
	}
	return best;
}

/* The same where all of the domain's PUs may be used, without looking at what each node has for it
 * first: by far the most frequent case. GRID_NONE where no node holds @n. */
static uint32_t choose_any_node(struct work *work, const struct demand *demand, uint32_t n)
{
	const struct grid_domain *domain = &work->grid.domains[demand->domain];
	struct node_choice best = { .node = GRID_NONE };
	bool spreads = demand->conf->balance == BALANCE_SPREAD;
	uint32_t perfect = work->n_own == 0 && !spreads ? choose_perfect_node(work, demand, n)
							: GRID_NONE;

	if (perfect != GRID_NONE)
		return perfect;

	for (uint32_t i = domain->first_node; i < domain->first_node + domain->n_node; i++) {
		const struct room *room = &work->grid.nodes[i].room;
		struct node_choice choice;

		if (room_fit(demand, room) < n)
			continue;
		choice = choice_of(work, demand, i, room, n);
		if (best.node == GRID_NONE || node_is_better(&choice, &best, spreads))
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

/* Where it takes all L3 groups: one node after the other, so that fewer cores are split; a data
 * plane gets all whole cores before anything else. */
static void split_all(struct work *work, const struct demand *demand, const struct span *span)
{
	bool whole = demand_is_data(demand) && demand->smt == SMT_ANY;
	uint32_t n_left = span->n;

	for (uint32_t i = 0; i < span->n_chosen; i++) {
		uint32_t n = whole ? work->rooms[work->chosen[i]].n_whole_pu : 0;

		work->items[i].amount = n < n_left ? n : n_left;
		n_left -= work->items[i].amount;
	}
	for (uint32_t i = 0; i < span->n_chosen && n_left > 0; i++) {
		uint32_t n = work->fits[work->chosen[i]] - work->items[i].amount;

		n = n < n_left ? n : n_left;
		work->items[i].amount += n;
		n_left -= n;
	}
}

/* PUs of each node of the set, in the fewest L3 groups: the largest, of equals those it had. */
static void split_span(struct work *work, const struct demand *demand, const struct span *span)
{
	uint32_t n_l3s = 0, n_left = span->n, k = 0;

	for (uint32_t i = 0; i < span->n_chosen; i++) {
		const struct grid_node *node = &work->grid.nodes[work->chosen[i]];

		work->items[i].amount = 0;
		for (uint32_t l3 = node->first_l3; l3 < node->first_l3 + node->n_l3; l3++) {
			struct room room = room_of_l3(work, demand, l3);
			uint32_t n = room_fit(demand, &room);

			if (n > 0)
				work->l3_items[n_l3s++] = (struct sort_item){
					(uint64_t)(UINT32_MAX - n) << 32 |
						(UINT32_MAX - work->own_l3s[l3]),
					i << 16 | n
				};
		}
	}
	plan_sort_keys(work->l3_items, work->l3_scratch, n_l3s);
	for (; k < n_l3s && n_left > 0; k++) {
		uint32_t i = work->l3_items[k].item >> 16, n = work->l3_items[k].item & 0xffff;

		n = n < n_left ? n : n_left;
		work->items[i].amount += n;
		n_left -= n;
	}
	if (k == n_l3s)
		split_all(work, demand, span);
}

/* What split_span() says; where that could not be had (unequal cores) whatever there is. */
static uint32_t fill_span(struct work *work, const struct demand *demand, const struct span *span)
{
	uint32_t n_taken = 0;

	plan_sort(work->chosen, work->trial, span->n_chosen, filled_later, work);
	split_span(work, demand, span);
	for (uint32_t i = 0; i < span->n_chosen; i++)
		n_taken += pick_in_node(work, demand, work->chosen[i], work->items[i].amount);
	for (uint32_t i = 0; i < span->n_chosen && n_taken < span->n; i++)
		n_taken += pick_in_node(work, demand, work->chosen[i], span->n - n_taken);
	return n_taken;
}

static uint32_t place_span(struct work *work, struct demand *demand, uint32_t n_target)
{
	struct span span = { .demand = demand, .n_nodes = list_nodes(work, demand) };
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
		n_taken = fill_span(work, demand, &span);
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

/* Whole cores of different sizes: what a node holds is not a matter of counting. */
static bool picks_sums(const struct work *work, const struct demand *demand)
{
	return demand->smt == SMT_WHOLE_CORE && work->grid.domains[demand->domain].core_size == 0;
}

static uint32_t look_at_nodes(struct work *work, const struct demand *demand, uint32_t n_target)
{
	const struct grid_domain *domain = &work->grid.domains[demand->domain];
	uint32_t n_largest = 0;

	for (uint32_t i = domain->first_node; i < domain->first_node + domain->n_node; i++) {
		work->rooms[i] = demand->is_bounded ? room_of_node(work, demand, i)
						    : work->grid.nodes[i].room;
		work->fits[i] = room_fit(demand, &work->rooms[i]);
		if (picks_sums(work, demand))
			work->fits[i] = pick_reach(work, demand, i, n_target);
		n_largest = work->fits[i] > n_largest ? work->fits[i] : n_largest;
	}
	return n_largest;
}

/* PUs that it can keep busy: one node that has so many is better than two that have all it may
 * have, most of it idle. */
static uint32_t n_paid(const struct demand *demand)
{
	uint32_t n = quota_ceil_pu(demand->quota_mcpu);

	return n > demand->n_least ? n : demand->n_least;
}

static uint32_t place(struct work *work, struct demand *demand, uint32_t n_target)
{
	uint32_t n_largest, n, node;

	if (!demand->is_bounded && demand->conf->numa_policy != NUMA_SPREAD && n_target > 0 &&
	    !picks_sums(work, demand) &&
	    (node = choose_any_node(work, demand, n_target)) != GRID_NONE)
		return own_suits(work, demand, n_target, 1)
			       ? own_take(work, demand)
			       : pick_in_node(work, demand, node, n_target);
	n_largest = look_at_nodes(work, demand, n_target);
	n = n_target < n_largest ? n_target : n_largest;
	if (demand->conf->numa_policy == NUMA_SPREAD)
		return place_spread(work, demand, n_target);
	if (n < n_target && demand->conf->numa_policy != NUMA_SINGLE && n_largest > 0 &&
	    n_largest < n_paid(demand))
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

/* Smt= is kept by what it had, whole or alone. */
static bool own_smt_holds(const struct work *work, const struct demand *demand)
{
	if (demand->smt == SMT_ANY)
		return true;
	cpuset_foreach (pu_os, demand->previous) {
		uint32_t core = work->grid.pus[work->grid.at_of_os[pu_os]].core, n_own = 0;
		const struct grid_core *at = &work->grid.cores[core];

		for (uint32_t i = at->first_pu; i < at->first_pu + at->n_pu; i++)
			n_own += cpuset_has(demand->previous, work->grid.pus[i].pu_os);
		if (demand->smt == SMT_WHOLE_CORE
			    ? n_own != at->n_online
			    : n_own != 1 || !room_of_core(work, demand, core).n_whole_core)
			return false;
	}
	return true;
}

bool nodes_keep(struct work *work, struct demand *demand, uint32_t n)
{
	uint32_t mark = work->n_picked, n_nodes = 0;
	bool keeps;

	if (!demand->previous || demand->conf->numa_policy == NUMA_SPREAD)
		return false;
	grid_unhold(work, demand);
	own_count(work, demand);
	for (uint32_t i = 0; i < work->grid.domains[demand->domain].n_node; i++) {
		uint32_t node = work->grid.domains[demand->domain].first_node + i;

		n_nodes += work->own_nodes[node] > 0;
		/* Memory may be short there now. */
		if (work->own_nodes[node] > 0 &&
		    demand->conf->memory_size_bytes > work->grid.nodes[node].memory_left)
			n_nodes++;
	}
	keeps = work->n_own == n && cpuset_count(demand->previous) == n &&
		(n_nodes == 1 || demand->conf->numa_policy != NUMA_SINGLE) &&
		(n_nodes == 1 || demand->conf->memory_size_bytes == 0) &&
		own_smt_holds(work, demand);
	if (keeps)
		own_take(work, demand);
	own_forget(work, demand);
	spend_memory(work, demand, mark);
	return keeps;
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
