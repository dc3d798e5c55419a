/* The machine as the planner sees it, and who has what: taking and giving back keep the counts of
 * every level right. */
#include <errno.h>
#include <string.h>

#include "plan/plan_sort.h"
#include "plan/plan_work.h"

/* Order of the machine: PUs of one core, cores of one L3, L3 groups of one node side by side. */
static bool is_after(const void *context, uint32_t a, uint32_t b)
{
	const struct topo_pu *pus = context;

	if (pus[a].node != pus[b].node)
		return pus[a].node > pus[b].node;
	if (pus[a].l3 != pus[b].l3)
		return pus[a].l3 > pus[b].l3;
	if (pus[a].core != pus[b].core)
		return pus[a].core > pus[b].core;
	return pus[a].pu_os > pus[b].pu_os;
}

/* PUs by domain, in the order of the machine inside it. The topology is in that order already, but
 * for a machine whose nodes span packages. */
static int order_pus(struct work *work, const uint32_t *domain_of_pu, uint32_t *order)
{
	const struct topology *topology = work->snapshot->topology;
	struct grid *grid = &work->grid;
	uint32_t *at = arena_alloc(work->scratch, (grid->n_domain + 1) * sizeof(*at));
	uint32_t *scratch = arena_alloc(work->scratch, topology->n_pu * sizeof(*scratch));

	if (!at || !scratch)
		return -ENOMEM;
	for (uint32_t i = 0; i < topology->n_pu; i++)
		if (domain_of_pu[i] != GRID_NONE)
			at[domain_of_pu[i] + 1]++;
	for (uint32_t d = 0; d < grid->n_domain; d++) {
		grid->domains[d].first_pu = at[d];
		grid->domains[d].n_pu = at[d + 1];
		at[d + 1] += at[d];
	}
	grid->n_pu = at[grid->n_domain];
	for (uint32_t i = 0; i < topology->n_pu; i++)
		if (domain_of_pu[i] != GRID_NONE)
			order[at[domain_of_pu[i]]++] = i;
	for (uint32_t d = 0; d < grid->n_domain; d++) {
		uint32_t *first = order + grid->domains[d].first_pu, n = grid->domains[d].n_pu;

		for (uint32_t i = 1; i < n; i++)
			if (is_after(topology->pus, first[i - 1], first[i])) {
				plan_sort(first, scratch, n, is_after, topology->pus);
				break;
			}
	}
	return 0;
}

/* Zeroed; counts what could not be had. */
static void *alloc_array(struct work *work, size_t n_items, size_t item_size, unsigned *n_failed)
{
	void *array = arena_alloc(work->scratch, (n_items + 1) * item_size);

	*n_failed += !array;
	return array;
}

/* How many of each level there will be. */
struct extent {
	uint32_t n_node, n_l3, n_core;
};

/* Each domain has its own view of a node, and none has an empty one. */
static struct extent measure(const struct work *work, const uint32_t *order)
{
	const struct topo_pu *pus = work->snapshot->topology->pus, *last = NULL;
	const struct grid *grid = &work->grid;
	struct extent extent = { 0 };

	for (uint32_t d = 0; d < grid->n_domain; d++, last = NULL)
		for (uint32_t i = 0; i < grid->domains[d].n_pu; i++) {
			const struct topo_pu *pu = &pus[order[grid->domains[d].first_pu + i]];
			bool new_node = !last || last->node != pu->node;
			bool new_l3 = new_node || last->l3 != pu->l3;

			extent.n_node += new_node;
			extent.n_l3 += new_l3;
			extent.n_core += new_l3 || last->core != pu->core;
			last = pu;
		}
	return extent;
}

static int grid_alloc(struct work *work, const struct extent *extent)
{
	const struct topology *topology = work->snapshot->topology;
	struct grid *grid = &work->grid;
	size_t n = topology->n_pu, n_node = extent->n_node, n_l3 = extent->n_l3;
	unsigned n_failed = 0;

	grid->n_os = topology->n_os;
	grid->pus = alloc_array(work, n, sizeof(*grid->pus), &n_failed);
	grid->cores = alloc_array(work, extent->n_core, sizeof(*grid->cores), &n_failed);
	grid->l3s = alloc_array(work, n_l3, sizeof(*grid->l3s), &n_failed);
	grid->nodes = alloc_array(work, n_node, sizeof(*grid->nodes), &n_failed);
	grid->at_of_os = alloc_array(work, grid->n_os, sizeof(*grid->at_of_os), &n_failed);
	work->rooms = alloc_array(work, n_node, sizeof(*work->rooms), &n_failed);
	work->fits = alloc_array(work, n_node, sizeof(*work->fits), &n_failed);
	work->own_nodes = alloc_array(work, n_node, sizeof(*work->own_nodes), &n_failed);
	work->own_l3s = alloc_array(work, n_l3, sizeof(*work->own_l3s), &n_failed);
	work->largest = alloc_array(work, n_node, sizeof(*work->largest), &n_failed);
	/* Also owners in one node: as many as it has PUs. */
	work->chosen = alloc_array(work, n, sizeof(*work->chosen), &n_failed);
	work->trial = alloc_array(work, n_node, sizeof(*work->trial), &n_failed);
	work->distance = alloc_array(work, n_node, sizeof(*work->distance), &n_failed);
	work->items = alloc_array(work, n_node, sizeof(*work->items), &n_failed);
	work->l3_items = alloc_array(work, n_l3, sizeof(*work->l3_items), &n_failed);
	work->l3_scratch = alloc_array(work, n_l3, sizeof(*work->l3_scratch), &n_failed);
	work->core_next = alloc_array(work, extent->n_core, sizeof(*work->core_next), &n_failed);
	work->reach = alloc_array(work, n, sizeof(*work->reach), &n_failed);
	work->picked = alloc_array(work, n, sizeof(*work->picked), &n_failed);
	if (n_failed > 0)
		return -ENOMEM;
	for (uint32_t i = 0; i < grid->n_os; i++)
		grid->at_of_os[i] = GRID_NONE;
	return 0;
}

static void add_node(struct work *work, const struct topo_pu *pu)
{
	const struct topo_node *topo_node = &work->snapshot->topology->nodes[pu->node];

	work->grid.nodes[work->grid.n_node++] = (struct grid_node){
		.first_l3 = work->grid.n_l3,
		.topo_idx = pu->node,
		.core_size = GRID_NONE,
		.memory_left = topo_node->memory_bytes ? topo_node->memory_bytes : UINT64_MAX,
	};
}

static void add_core(struct grid *grid, const struct topo_pu *pu, uint32_t n_online, bool is_fast)
{
	struct grid_node *node = &grid->nodes[grid->n_node - 1];

	grid->cores[grid->n_core++] = (struct grid_core){
		.first_pu = grid->n_pu,
		.l3 = grid->n_l3 - 1,
		.l2 = pu->l2,
		.die = pu->die,
		.package = pu->package,
		.n_online = n_online,
		.is_fast = is_fast,
	};
	grid->l3s[grid->n_l3 - 1].n_core++;
	if (node->core_size == GRID_NONE)
		node->core_size = n_online;
	else if (node->core_size != n_online)
		node->core_size = 0;
}

static void add_pu(struct work *work, const struct topo_pu *pu, const struct topo_pu *last,
		   uint32_t n_online)
{
	const struct topology *topology = work->snapshot->topology;
	struct grid *grid = &work->grid;
	bool new_node = !last || last->node != pu->node;
	bool new_l3 = new_node || last->l3 != pu->l3;

	if (new_node)
		add_node(work, pu);
	if (new_l3) {
		grid->l3s[grid->n_l3++] = (struct grid_l3){ .first_core = grid->n_core,
							    .node = grid->n_node - 1 };
		grid->nodes[grid->n_node - 1].n_l3++;
	}
	if (new_l3 || last->core != pu->core)
		add_core(grid, pu, n_online,
			 topology->n_rank > 1 && pu->efficiency_rank + 1 == topology->n_rank);
	grid->cores[grid->n_core - 1].n_pu++;
	grid->at_of_os[pu->pu_os] = grid->n_pu;
	grid->pus[grid->n_pu++] = (struct grid_pu){ .pu_os = pu->pu_os,
						    .core = grid->n_core - 1,
						    .owner = OWNER_NOBODY,
						    .holder = GRID_NONE };
}

static void room_add(struct room *to, const struct room *room)
{
	to->n_free += room->n_free;
	to->n_whole_core += room->n_whole_core;
	to->n_whole_pu += room->n_whole_pu;
	to->n_held += room->n_held;
	to->n_fast += room->n_fast;
}

static struct room core_room(const struct grid_core *core)
{
	struct room room = { .n_free = core->n_free,
			     .n_held = core->n_held,
			     .n_fast = core->is_fast ? core->n_free : 0 };

	if (core->n_free == core->n_online) {
		room.n_whole_core = 1;
		room.n_whole_pu = core->n_online;
	}
	return room;
}

/* Counts what is free on every level, housekeeping left out. */
static void count_domain_room(struct grid *grid, struct grid_domain *domain)
{
	uint32_t end_pu = domain->first_pu + domain->n_pu;
	uint32_t n_l2 = 0, n_die = 0, l2 = GRID_NONE, die = GRID_NONE;

	for (uint32_t pu = domain->first_pu; pu < end_pu; pu++) {
		struct grid_core *core = &grid->cores[grid->pus[pu].core];

		/* PUs of an L2 group and of a die come together. */
		n_l2 = core->l2 == l2 ? n_l2 : 0;
		n_die = core->die == die ? n_die : 0;
		l2 = core->l2;
		die = core->die;
		if (grid->pus[pu].owner == OWNER_NOBODY) {
			core->n_free++;
			n_l2++;
			n_die++;
		} else {
			domain->n_housekeeping++;
		}
		if (n_l2 > domain->n_largest_l2)
			domain->n_largest_l2 = n_l2;
		if (n_die > domain->n_largest_die)
			domain->n_largest_die = n_die;
		if (core->n_online > domain->core_most)
			domain->core_most = core->n_online;
		if (pu + 1 == core->first_pu + core->n_pu) {
			struct room room = core_room(core);

			room_add(&grid->l3s[core->l3].room, &room);
		}
	}
	domain->core_size = GRID_NONE;
	for (uint32_t n = domain->first_node; n < domain->first_node + domain->n_node; n++) {
		struct grid_node *node = &grid->nodes[n];

		for (uint32_t l3 = node->first_l3; l3 < node->first_l3 + node->n_l3; l3++) {
			room_add(&node->room, &grid->l3s[l3].room);
			if (grid->l3s[l3].room.n_free > domain->n_largest_l3)
				domain->n_largest_l3 = grid->l3s[l3].room.n_free;
		}
		room_add(&domain->room, &node->room);
		if (node->room.n_free > domain->n_largest_node)
			domain->n_largest_node = node->room.n_free;
		if (node->room.n_whole_core > domain->n_largest_cores)
			domain->n_largest_cores = node->room.n_whole_core;
		if (node->room.n_whole_pu > domain->n_largest_whole)
			domain->n_largest_whole = node->room.n_whole_pu;
		if (domain->core_size == GRID_NONE)
			domain->core_size = node->core_size;
		else if (domain->core_size != node->core_size)
			domain->core_size = 0;
	}
}

int grid_make(struct work *work, const uint32_t *domain_of_pu, uint32_t n_domain)
{
	const struct topology *topology = work->snapshot->topology;
	struct grid *grid = &work->grid;
	uint32_t *order = arena_alloc(work->scratch, topology->n_pu * sizeof(*order));
	uint32_t *n_online = arena_alloc(work->scratch, topology->n_core * sizeof(*n_online));
	struct extent extent;

	grid->n_domain = n_domain;
	if (!order || !n_online || order_pus(work, domain_of_pu, order) < 0)
		return -ENOMEM;
	extent = measure(work, order);
	if (grid_alloc(work, &extent) < 0)
		return -ENOMEM;
	for (uint32_t i = 0; i < topology->n_pu; i++)
		n_online[topology->pus[i].core]++;
	grid->n_pu = 0;
	for (uint32_t d = 0; d < n_domain; d++) {
		struct grid_domain *domain = &grid->domains[d];
		const struct topo_pu *last = NULL;

		domain->first_node = grid->n_node;
		for (uint32_t i = 0; i < domain->n_pu; i++) {
			const struct topo_pu *pu = &topology->pus[order[domain->first_pu + i]];

			add_pu(work, pu, last, n_online[pu->core]);
			if (cpuset_has(&work->plan->housekeeping, pu->pu_os))
				grid->pus[grid->n_pu - 1].owner = OWNER_HOUSEKEEPING;
			last = pu;
		}
		domain->n_node = grid->n_node - domain->first_node;
		count_domain_room(grid, domain);
	}
	return 0;
}

/* ---- who has what ---- */

static bool owner_is_data(const struct work *work, uint32_t owner)
{
	return owner < work->snapshot->n_workloads && demand_is_data(&work->demands[owner]);
}

/* Unsigned differences wrap, and so come out right in both directions. */
static void room_change(struct room *room, const struct room *before, const struct room *after)
{
	room->n_free += after->n_free - before->n_free;
	room->n_whole_core += after->n_whole_core - before->n_whole_core;
	room->n_whole_pu += after->n_whole_pu - before->n_whole_pu;
	room->n_held += after->n_held - before->n_held;
	room->n_fast += after->n_fast - before->n_fast;
}

static void core_changed(struct grid *grid, const struct grid_core *core, const struct room *before)
{
	struct room after = core_room(core);
	struct grid_l3 *l3 = &grid->l3s[core->l3];

	room_change(&l3->room, before, &after);
	room_change(&grid->nodes[l3->node].room, before, &after);
	grid->nodes[l3->node].l3_is_known = false;
}

static void most_of(uint32_t n, uint32_t *most, uint32_t *some)
{
	*most = n > *most ? n : *most;
	*some += n > 0;
}

void grid_sum_l3s(struct grid *grid, uint32_t node)
{
	struct grid_node *at = &grid->nodes[node];

	at->l3_most = at->l3_some = (struct room){ 0 };
	at->l3_is_known = true;
	for (uint32_t l3 = at->first_l3; l3 < at->first_l3 + at->n_l3; l3++) {
		const struct room *room = &grid->l3s[l3].room;

		most_of(room->n_free, &at->l3_most.n_free, &at->l3_some.n_free);
		most_of(room->n_whole_core, &at->l3_most.n_whole_core, &at->l3_some.n_whole_core);
		most_of(room->n_whole_pu, &at->l3_most.n_whole_pu, &at->l3_some.n_whole_pu);
	}
}

void grid_take(struct work *work, uint32_t pu, uint32_t owner)
{
	struct grid_pu *at = &work->grid.pus[pu];
	struct grid_core *core = &work->grid.cores[at->core];
	struct room before = core_room(core);

	core->n_free--;
	if (at->holder != GRID_NONE)
		core->n_held--;
	core->n_data += owner_is_data(work, owner);
	at->holder = GRID_NONE;
	at->owner = owner;
	core_changed(&work->grid, core, &before);
	work->picked[work->n_picked++] = pu;
}

void grid_give(struct work *work, uint32_t pu)
{
	struct grid_pu *at = &work->grid.pus[pu];
	struct grid_core *core = &work->grid.cores[at->core];
	struct room before = core_room(core);

	core->n_free++;
	core->n_data -= owner_is_data(work, at->owner);
	at->owner = OWNER_NOBODY;
	core_changed(&work->grid, core, &before);
}

void grid_undo(struct work *work, uint32_t n_picked)
{
	while (work->n_picked > n_picked)
		grid_give(work, work->picked[--work->n_picked]);
}

static void set_holder(struct work *work, uint32_t pu, uint32_t holder)
{
	struct grid_pu *at = &work->grid.pus[pu];
	struct grid_core *core = &work->grid.cores[at->core];
	struct room before = core_room(core);

	core->n_held += (holder != GRID_NONE) - (at->holder != GRID_NONE);
	at->holder = holder;
	core_changed(&work->grid, core, &before);
}

void grid_hold(struct work *work, uint32_t domain)
{
	const struct grid *grid = &work->grid;
	const struct cpuset *last = NULL;

	for (uint32_t i = work->first_order[domain]; i < work->first_order[domain + 1]; i++) {
		const struct demand *demand = &work->demands[work->order[i]];

		/* Control planes that are not exclusive have a small set of their own kind: it had
		 * better stay too. */
		if (!demand->previous || !demand->is_admitted ||
		    (!demand->owns && demand->conf->role != ROLE_CONTROL_PLANE))
			continue;
		/* Thousands may have that set: once will do. */
		if (!demand->owns) {
			if (last && (last->bits.words == demand->previous->bits.words ||
				     cpuset_equal(last, demand->previous)))
				continue;
			last = demand->previous;
		}
		cpuset_foreach (pu_os, demand->previous) {
			uint32_t pu = pu_os < grid->n_os ? grid->at_of_os[pu_os] : GRID_NONE;

			if (pu != GRID_NONE && grid->pus[pu].owner == OWNER_NOBODY)
				set_holder(work, pu, demand->workload);
		}
	}
}

void grid_unhold(struct work *work, const struct demand *demand)
{
	const struct grid *grid = &work->grid;

	if (!demand->previous)
		return;
	cpuset_foreach (pu_os, demand->previous) {
		uint32_t pu = pu_os < grid->n_os ? grid->at_of_os[pu_os] : GRID_NONE;

		if (pu != GRID_NONE && grid->pus[pu].holder == demand->workload)
			set_holder(work, pu, GRID_NONE);
	}
}

/* ---- what somebody may have ---- */

bool demand_may_use_node(const struct work *work, const struct demand *demand, uint32_t node)
{
	const struct topology *topology = work->snapshot->topology;

	return !demand->names_nodes ||
	       nodeset_has(&demand->conf->nodes,
			   topology->nodes[work->grid.nodes[node].topo_idx].node_os);
}

bool demand_is_far(const struct work *work, const struct demand *demand, uint32_t node)
{
	const struct topology *topology = work->snapshot->topology;

	return demand->near &&
	       !nodeset_has(demand->near, topology->nodes[work->grid.nodes[node].topo_idx].node_os);
}

struct room room_of_core(const struct work *work, const struct demand *demand, uint32_t core)
{
	const struct grid_core *at = &work->grid.cores[core];
	struct room room = { 0 };

	if (!demand->ceiling)
		return core_room(at);
	for (uint32_t pu = at->first_pu; pu < at->first_pu + at->n_pu; pu++) {
		const struct grid_pu *slot = &work->grid.pus[pu];

		if (slot->owner != OWNER_NOBODY || !demand_may_use(demand, slot->pu_os))
			continue;
		room.n_free++;
		room.n_held += slot->holder != GRID_NONE;
	}
	room.n_fast = at->is_fast ? room.n_free : 0;
	if (room.n_free == at->n_online) {
		room.n_whole_core = 1;
		room.n_whole_pu = at->n_online;
	}
	return room;
}

struct room room_of_l3(const struct work *work, const struct demand *demand, uint32_t l3)
{
	const struct grid_l3 *at = &work->grid.l3s[l3];
	struct room room = { 0 };

	if (!demand->ceiling)
		return at->room;
	for (uint32_t core = at->first_core; core < at->first_core + at->n_core; core++) {
		struct room more = room_of_core(work, demand, core);

		room_add(&room, &more);
	}
	return room;
}

struct room room_of_node(const struct work *work, const struct demand *demand, uint32_t node)
{
	const struct grid_node *at = &work->grid.nodes[node];
	struct room room = { 0 };

	if (!demand_may_use_node(work, demand, node))
		return room;
	if (!demand->ceiling)
		return at->room;
	for (uint32_t l3 = at->first_l3; l3 < at->first_l3 + at->n_l3; l3++) {
		struct room more = room_of_l3(work, demand, l3);

		room_add(&room, &more);
	}
	return room;
}
