/* Workloads that are not exclusive run on PUs of their pool that nobody holds.
 *
 * - Max= given: on the node that has so many (all its free PUs, so that the kernel can balance);
 * among several the one with the least to do; where none has, on the fewest nodes that have. What
 * it had before stays while that node has no more to do than its part.
 * - Max= not given: on all free PUs of the pool; Policy=single: of one node; Nodes=: of those.
 * - Policy=spread: on the free PUs of all its nodes.
 * - Control planes share one small set with their like: as large as the largest Max= (or Min=)
 * among them and as all their minimums together; whole cores where one of them names no Max=. The
 * others may use those PUs too.
 *
 * Free siblings of exclusive data planes come second, housekeeping PUs last: only where the minimum
 * is not met without. */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "plan/plan_sort.h"
#include "plan/plan_work.h"

enum { LEVEL_OPEN, LEVEL_QUIET, LEVEL_HOUSEKEEPING, N_LEVELS };

#define N_RECENT 8u /* sets remembered, to be shared by those that come out alike */

/* A set that many workloads have. */
struct shape {
	struct cpuset cpus;
	struct nodeset nodes;
	uint32_t n_pu, n_core;
};

struct open_node {
	struct cpuset cpus[N_LEVELS]; /* each without the levels before */
	uint32_t n[N_LEVELS];	      /* each with the levels before */
	uint64_t n_load;	      /* PUs that workloads placed here may use at once */
	const struct shape *shapes[N_LEVELS];
};

struct unheld {
	struct work *work;
	uint32_t domain, first_node, n_node;
	struct open_node *nodes; /* n_node */
	const uint32_t *n_fits;	 /* of the workload at hand: n_node; own_fits or open_fits[] */
	uint32_t *own_fits, *open_fits[N_LEVELS];
	uint32_t n_open_sum[N_LEVELS], n_open_most[N_LEVELS];
	uint32_t *chosen, *scratch;
	const struct shape *all[N_LEVELS];
	const struct shape *recent[N_RECENT];
	uint32_t n_recent;
	const struct shape *control; /* the set of the control planes; NULL: none */
	uint64_t n_load;	     /* of all that one node is chosen for */
	uint32_t n_open;
};

/* ---- what is open ---- */

static unsigned level_of(const struct work *work, const struct grid_pu *pu)
{
	if (pu->owner == OWNER_HOUSEKEEPING)
		return LEVEL_HOUSEKEEPING;
	if (pu->owner == OWNER_RESERVED)
		return LEVEL_OPEN;
	if (pu->owner != OWNER_NOBODY)
		return N_LEVELS;
	return work->grid.cores[pu->core].n_data > 0 ? LEVEL_QUIET : LEVEL_OPEN;
}

static void node_pus(const struct grid *grid, uint32_t node, uint32_t *ret_first, uint32_t *ret_end)
{
	const struct grid_l3 *first = &grid->l3s[grid->nodes[node].first_l3];
	const struct grid_l3 *last = first + grid->nodes[node].n_l3 - 1;
	const struct grid_core *core = &grid->cores[last->first_core + last->n_core - 1];

	*ret_first = grid->cores[first->first_core].first_pu;
	*ret_end = core->first_pu + core->n_pu;
}

static int node_open(struct unheld *unheld, uint32_t node)
{
	struct work *work = unheld->work;
	struct open_node *open = &unheld->nodes[node - unheld->first_node];
	uint32_t first, end, least[N_LEVELS], most[N_LEVELS] = { 0 };

	memset(least, 0xff, sizeof(least));
	node_pus(&work->grid, node, &first, &end);
	for (uint32_t i = first; i < end; i++) {
		unsigned level = level_of(work, &work->grid.pus[i]);
		uint32_t pu_os = work->grid.pus[i].pu_os;

		if (level == N_LEVELS)
			continue;
		least[level] = pu_os < least[level] ? pu_os : least[level];
		most[level] = pu_os > most[level] ? pu_os : most[level];
		open->n[level]++;
	}
	for (unsigned level = 0; level < N_LEVELS; level++)
		if (open->n[level] > 0 && arena_make_cpuset(work->scratch, least[level],
							    most[level], &open->cpus[level]) < 0)
			return -ENOMEM;
	for (uint32_t i = first; i < end; i++) {
		unsigned level = level_of(work, &work->grid.pus[i]);

		if (level < N_LEVELS)
			cpuset_add(&open->cpus[level], work->grid.pus[i].pu_os); /* has room */
	}
	unheld->n_open += open->n[LEVEL_OPEN];
	for (unsigned level = 0; level < N_LEVELS; level++) {
		if (level > 0)
			open->n[level] += open->n[level - 1];
		unheld->open_fits[level][node - unheld->first_node] = open->n[level];
		unheld->n_open_sum[level] += open->n[level];
		if (open->n[level] > unheld->n_open_most[level])
			unheld->n_open_most[level] = open->n[level];
	}
	return 0;
}

/* ---- sets ---- */

/* @cpus, all of them on the nodes chosen[] (@n_chosen). */
static struct shape *shape_make(struct unheld *unheld, uint32_t n_chosen, const struct cpuset *cpus)
{
	struct work *work = unheld->work;
	const struct topology *topology = work->snapshot->topology;
	struct shape *shape = arena_alloc(work->scratch, sizeof(*shape));
	struct nodeset nodes = { 0 };
	uint32_t last = GRID_NONE;
	int r = shape ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < n_chosen && r == 0; i++) {
		uint32_t node = unheld->first_node + unheld->chosen[i], first, end;
		uint32_t n_before = shape ? shape->n_pu : 0;

		node_pus(&work->grid, node, &first, &end);
		for (uint32_t k = first; k < end; k++) {
			if (!cpuset_has(cpus, work->grid.pus[k].pu_os))
				continue;
			shape->n_pu++;
			shape->n_core += work->grid.pus[k].core != last;
			last = work->grid.pus[k].core;
		}
		if (shape->n_pu > n_before)
			r = nodeset_add(&nodes,
					topology->nodes[work->grid.nodes[node].topo_idx].node_os);
	}
	if (r == 0)
		r = arena_copy_cpuset(work->plan->arena, cpus, &shape->cpus);
	if (r == 0)
		r = arena_copy_nodeset(work->plan->arena, &nodes, &shape->nodes);
	nodeset_done(&nodes);
	return r < 0 ? NULL : shape;
}

/* The set of these nodes up to a level, within the workload's cpuset; an equal one made lately is
 * used again. */
static const struct shape *shape_of(struct unheld *unheld, const struct demand *demand,
				    uint32_t n_chosen, unsigned level)
{
	cleanup(cpuset_done) struct cpuset cpus = { 0 };
	const struct shape *shape;

	for (uint32_t i = 0; i < n_chosen; i++)
		for (unsigned l = 0; l <= level; l++)
			if (cpuset_union(&cpus, &unheld->nodes[unheld->chosen[i]].cpus[l]) < 0)
				return NULL;
	if (demand->ceiling)
		cpuset_intersect(&cpus, demand->ceiling);
	for (uint32_t i = 0; i < N_RECENT; i++)
		if (unheld->recent[i] && cpuset_equal(&unheld->recent[i]->cpus, &cpus))
			return unheld->recent[i];
	shape = shape_make(unheld, n_chosen, &cpus);
	unheld->recent[unheld->n_recent++ % N_RECENT] = shape;
	return shape;
}

static int shape_use(struct unheld *unheld, struct demand *demand, const struct shape *shape)
{
	struct plan_workload *workload = &unheld->work->plan->workloads[demand->workload];

	if (!shape)
		return -ENOMEM;
	workload->cpus = shape->cpus;
	workload->nodes = shape->nodes;
	workload->n_pu = demand->n_got = shape->n_pu;
	workload->n_core = shape->n_core;
	return 0;
}

/* All nodes that have something open. */
static int use_all(struct unheld *unheld, struct demand *demand, unsigned level)
{
	uint32_t n_chosen = 0;

	for (uint32_t i = 0; i < unheld->n_node && !unheld->all[level]; i++)
		if (unheld->nodes[i].n[level] > 0)
			unheld->chosen[n_chosen++] = i;
	if (!unheld->all[level])
		unheld->all[level] = shape_of(unheld, demand, n_chosen, level);
	return shape_use(unheld, demand, unheld->all[level]);
}

/* Those of chosen[] (n_chosen): one node, and anything else. */
static int use_chosen(struct unheld *unheld, struct demand *demand, uint32_t n_chosen,
		      unsigned level)
{
	const struct shape **kept = NULL;
	const struct shape *shape;

	if (!demand->ceiling && n_chosen == 1)
		kept = &unheld->nodes[unheld->chosen[0]].shapes[level];
	shape = kept && *kept ? *kept : shape_of(unheld, demand, n_chosen, level);
	if (kept)
		*kept = shape;
	return shape_use(unheld, demand, shape);
}

/* ---- choice of nodes ---- */

/* n_fits[]: PUs that @demand could use of each node. Returns their sum, or for Policy=single the
 * largest. */
static uint32_t fits_fill(struct unheld *unheld, const struct demand *demand, unsigned level)
{
	uint32_t n_sum = 0, n_most = 0;
	bool single = demand->conf->numa_policy == NUMA_SINGLE;

	if (!demand->is_bounded) {
		unheld->n_fits = unheld->open_fits[level];
		return single ? unheld->n_open_most[level] : unheld->n_open_sum[level];
	}
	unheld->n_fits = unheld->own_fits;
	for (uint32_t i = 0; i < unheld->n_node; i++) {
		const struct open_node *node = &unheld->nodes[i];
		uint32_t n = 0;

		if (demand_may_use_node(unheld->work, demand, unheld->first_node + i)) {
			n = node->n[level];
			if (demand->ceiling)
				n = 0;
			for (unsigned l = 0; demand->ceiling && l <= level; l++)
				n += cpuset_n_common(&node->cpus[l], demand->ceiling);
		}
		unheld->own_fits[i] = n;
		n_sum += n;
		n_most = n > n_most ? n : n_most;
	}
	return single ? n_most : n_sum;
}

/* PUs it can use at once: what it adds to a node's load. */
static uint32_t load_of(const struct demand *demand)
{
	if (demand->owns)
		return demand->rest_max != WORKLOAD_MAX_UNSET ? demand->rest_max : demand->rest_min;
	return demand->conf->max_pu != WORKLOAD_MAX_UNSET ? demand->conf->max_pu
							  : demand->conf->min_pu;
}

static bool lacks_memory(const struct unheld *unheld, const struct demand *demand, uint32_t node)
{
	return demand->conf->memory_size_bytes >
	       unheld->work->grid.nodes[unheld->first_node + node].memory_left;
}

static bool is_far(const struct unheld *unheld, const struct demand *demand, uint32_t node)
{
	return demand_is_far(unheld->work, demand, unheld->first_node + node);
}

/* The node with the least to do that has @n PUs for it; GRID_NONE. */
static uint32_t least_loaded(const struct unheld *unheld, const struct demand *demand, uint32_t n)
{
	uint32_t best = GRID_NONE;

	bool sized = demand->conf->memory_size_bytes > 0, near = demand->near != NULL;

	for (uint32_t i = 0; i < unheld->n_node; i++) {
		uint64_t ours, theirs;

		if (unheld->n_fits[i] < n || unheld->n_fits[i] == 0)
			continue;
		if (best == GRID_NONE) {
			best = i;
			continue;
		}
		if (sized &&
		    lacks_memory(unheld, demand, i) != lacks_memory(unheld, demand, best)) {
			best = lacks_memory(unheld, demand, i) ? best : i;
			continue;
		}
		if (near && is_far(unheld, demand, i) != is_far(unheld, demand, best)) {
			best = is_far(unheld, demand, i) ? best : i;
			continue;
		}
		ours = (unheld->nodes[i].n_load + n) * unheld->n_fits[best];
		theirs = (unheld->nodes[best].n_load + n) * unheld->n_fits[i];
		if (ours < theirs || (ours == theirs && unheld->n_fits[i] > unheld->n_fits[best]))
			best = i;
	}
	return best;
}

/* The node it had, if that still has @n PUs for it and not more to do than its part of all. */
static uint32_t node_before(const struct unheld *unheld, const struct demand *demand, uint32_t n)
{
	const struct grid *grid = &unheld->work->grid;
	uint32_t pu_os = demand->previous ? cpuset_first(demand->previous) : SET_END;
	uint32_t pu = pu_os < grid->n_os ? grid->at_of_os[pu_os] : GRID_NONE, node;

	if (pu == GRID_NONE)
		return GRID_NONE;
	node = grid->l3s[grid->cores[grid->pus[pu].core].l3].node;
	if (node < unheld->first_node || node >= unheld->first_node + unheld->n_node)
		return GRID_NONE;
	node -= unheld->first_node;
	if (unheld->n_fits[node] < n || lacks_memory(unheld, demand, node) ||
	    unheld->nodes[node].n_load * unheld->n_open >
		    unheld->n_load * unheld->nodes[node].n[LEVEL_OPEN])
		return GRID_NONE;
	return node;
}

static bool fits_less(const void *context, uint32_t a, uint32_t b)
{
	const struct unheld *unheld = context;

	return unheld->n_fits[a] != unheld->n_fits[b] ? unheld->n_fits[a] < unheld->n_fits[b]
						      : a > b;
}

/* Several nodes: the roomiest until @n are there. Fills chosen[]; returns how many nodes. */
static uint32_t choose_several(struct unheld *unheld, uint32_t n)
{
	uint32_t n_nodes = 0, n_chosen = 0, n_room = 0;

	for (uint32_t i = 0; i < unheld->n_node; i++)
		if (unheld->n_fits[i] > 0)
			unheld->chosen[n_nodes++] = i;
	plan_sort(unheld->chosen, unheld->scratch, n_nodes, fits_less, unheld);
	while (n_chosen < n_nodes && n_room < n)
		n_room += unheld->n_fits[unheld->chosen[n_chosen++]];
	return n_chosen;
}

static bool wants_all(const struct demand *demand)
{
	return demand->conf->numa_policy == NUMA_SPREAD ||
	       (demand->conf->max_pu == WORKLOAD_MAX_UNSET &&
		demand->conf->numa_policy != NUMA_SINGLE);
}

static int place_one(struct unheld *unheld, struct demand *demand, unsigned level, uint32_t node)
{
	struct grid_node *at = &unheld->work->grid.nodes[unheld->first_node + node];
	uint64_t bytes = demand->conf->memory_size_bytes;

	unheld->chosen[0] = node;
	unheld->nodes[node].n_load += load_of(demand);
	if (at->memory_left != UINT64_MAX)
		at->memory_left -= bytes < at->memory_left ? bytes : at->memory_left;
	return use_chosen(unheld, demand, 1, level);
}

/* Places it. @before: only where it was before; then 0 without a place means "later". */
static int place(struct unheld *unheld, struct demand *demand, bool before)
{
	uint32_t n = load_of(demand), n_room = 0, node;
	uint32_t n_min = demand->owns ? demand->rest_min : demand->conf->min_pu;
	unsigned level = LEVEL_OPEN;

	while (level < N_LEVELS && (n_room = fits_fill(unheld, demand, level)) < n_min)
		level++;
	if (level == N_LEVELS) {
		bool single = demand->conf->numa_policy == NUMA_SINGLE;
		const char *smaller = n_room > 0 ? arena_printf(unheld->work->scratch,
								"; Min=%u would place it", n_room)
						 : "";

		demand_refuse(unheld->work, demand,
			      "needs %u PU%s that nobody holds%s, there %s %u %s%s", n_min,
			      n_min == 1 ? "" : "s", single ? " on one node" : "",
			      n_room == 1 ? "is" : "are", n_room,
			      demand_where_text(unheld->work, demand), smaller ? smaller : "");
		return 0;
	}
	if (wants_all(demand) && !demand->is_bounded)
		return use_all(unheld, demand, level);
	if (wants_all(demand))
		return use_chosen(unheld, demand, choose_several(unheld, UINT32_MAX), level);
	if (demand->conf->numa_policy == NUMA_SINGLE && n > n_room)
		n = n_room;
	node = node_before(unheld, demand, n);
	if (node == GRID_NONE && before)
		return 0;
	if (node == GRID_NONE)
		node = least_loaded(unheld, demand, n);
	if (node != GRID_NONE)
		return place_one(unheld, demand, level, node);
	return use_chosen(unheld, demand, choose_several(unheld, n), level);
}

/* ---- control planes ---- */

static bool shares_control(const struct demand *demand)
{
	return demand->is_admitted && !demand->owns && demand->conf->role == ROLE_CONTROL_PLANE &&
	       !demand_is_bounded(demand) && demand->conf->numa_policy != NUMA_SPREAD;
}

static bool is_open(const struct unheld *unheld, uint32_t pu)
{
	return level_of(unheld->work, &unheld->work->grid.pus[pu]) == LEVEL_OPEN;
}

/* What they had, where all of it is open and it is as large as it should be. */
static bool control_before(const struct unheld *unheld, const struct cpuset *previous,
			   uint32_t n_least, uint32_t n_most)
{
	const struct grid *grid = &unheld->work->grid;
	const struct grid_domain *domain = &grid->domains[unheld->domain];
	uint32_t n = previous ? cpuset_count(previous) : 0;

	if (n < n_least || n > n_most)
		return false;
	cpuset_foreach (pu_os, previous) {
		uint32_t pu = pu_os < grid->n_os ? grid->at_of_os[pu_os] : GRID_NONE;

		if (pu == GRID_NONE || pu < domain->first_pu ||
		    pu >= domain->first_pu + domain->n_pu || !is_open(unheld, pu))
			return false;
	}
	return true;
}

/* Adds open PUs of a node until there are @n: first from cores that are broken already. @whole:
 * finishes the last core. */
static int control_pick(const struct unheld *unheld, uint32_t node, uint32_t n, bool whole,
			struct cpuset *cpus)
{
	const struct work *work = unheld->work;
	uint32_t first, end, last = GRID_NONE, n_have = cpuset_count(cpus);

	node_pus(&work->grid, unheld->first_node + node, &first, &end);
	for (unsigned pass = 0; pass < 2; pass++)
		for (uint32_t i = first; i < end; i++) {
			const struct grid_core *core = &work->grid.cores[work->grid.pus[i].core];
			bool broken = core->n_free != core->n_online;

			if (!is_open(unheld, i) || broken != (pass == 0))
				continue;
			if (n_have >= n && !(whole && work->grid.pus[i].core == last))
				continue;
			if (cpuset_add(cpus, work->grid.pus[i].pu_os) < 0)
				return -ENOMEM;
			last = work->grid.pus[i].core;
			n_have++;
		}
	return 0;
}

struct control {
	uint32_t n;	/* PUs */
	uint32_t n_min; /* the largest minimum */
	bool whole;	/* whole cores */
	const struct cpuset *previous;
};

static uint32_t choose_all(struct unheld *unheld)
{
	for (uint32_t i = 0; i < unheld->n_node; i++)
		unheld->chosen[i] = i;
	return unheld->n_node;
}

static struct control control_count(const struct unheld *unheld)
{
	const struct work *work = unheld->work;
	struct control control = { 0 };
	uint64_t n_sum = 0;

	for (uint32_t i = work->first_order[unheld->domain];
	     i < work->first_order[unheld->domain + 1]; i++) {
		const struct demand *demand = &work->demands[work->order[i]];

		if (!shares_control(demand))
			continue;
		n_sum += demand->conf->min_pu;
		control.n = load_of(demand) > control.n ? load_of(demand) : control.n;
		if (demand->conf->min_pu > control.n_min)
			control.n_min = demand->conf->min_pu;
		control.whole |= demand->conf->max_pu == WORKLOAD_MAX_UNSET;
		if (!control.previous && demand->previous)
			control.previous = demand->previous;
	}
	if (n_sum > control.n)
		control.n = n_sum < unheld->n_open ? (uint32_t)n_sum : unheld->n_open;
	if (control.n > unheld->n_open)
		control.n = unheld->n_open;
	return control;
}

/* The small set of the control planes; none where the free PUs do not hold the largest minimum
 * among them. */
static int control_make(struct unheld *unheld)
{
	struct control control = control_count(unheld);
	const struct grid_domain *domain = &unheld->work->grid.domains[unheld->domain];
	cleanup(cpuset_done) struct cpuset cpus = { 0 };
	uint32_t best = GRID_NONE;

	if (control.n == 0 || control.n < control.n_min)
		return 0;
	if (control_before(unheld, control.previous, control.n,
			   control.n + (control.whole ? domain->core_most - 1 : 0))) {
		unheld->control = shape_make(unheld, choose_all(unheld), control.previous);
		return unheld->control ? 0 : -ENOMEM;
	}
	for (uint32_t i = 0; i < unheld->n_node; i++)
		if (unheld->nodes[i].n[LEVEL_OPEN] >= control.n &&
		    (best == GRID_NONE ||
		     unheld->nodes[i].n[LEVEL_OPEN] < unheld->nodes[best].n[LEVEL_OPEN]))
			best = i;
	for (uint32_t i = best == GRID_NONE ? 0 : best; i < unheld->n_node; i++) {
		if (control_pick(unheld, i, control.n, control.whole, &cpus) < 0)
			return -ENOMEM;
		if (cpuset_count(&cpus) >= control.n)
			break;
	}
	unheld->control = shape_make(unheld, choose_all(unheld), &cpus);
	return unheld->control ? 0 : -ENOMEM;
}

/* ---- all ---- */

static bool uses_control(const struct unheld *unheld, const struct demand *demand)
{
	return unheld->control && shares_control(demand) &&
	       (demand->conf->numa_policy != NUMA_SINGLE ||
		nodeset_count(&unheld->control->nodes) == 1);
}

static int unheld_alloc(struct unheld *unheld)
{
	struct work *work = unheld->work;
	size_t n = unheld->n_node + 1u;

	unheld->nodes = arena_alloc(work->scratch, n * sizeof(*unheld->nodes));
	unheld->own_fits = arena_alloc(work->scratch, n * sizeof(*unheld->own_fits));
	for (unsigned level = 0; level < N_LEVELS; level++) {
		unheld->open_fits[level] = arena_alloc(work->scratch,
						       n * sizeof(*unheld->own_fits));
		if (!unheld->open_fits[level])
			return -ENOMEM;
	}
	unheld->chosen = arena_alloc(work->scratch, n * sizeof(*unheld->chosen));
	unheld->scratch = arena_alloc(work->scratch, n * sizeof(*unheld->scratch));
	return unheld->nodes && unheld->own_fits && unheld->chosen && unheld->scratch ? 0 : -ENOMEM;
}

/* What one with Exclusive=2 shares: on the node of its own PUs where that has enough. */
static int place_rest(struct unheld *unheld, struct demand *demand)
{
	const struct grid *grid = &unheld->work->grid;
	const struct grid_domain *domain = &grid->domains[demand->domain];
	struct plan_workload *workload = &unheld->work->plan->workloads[demand->workload];
	uint32_t n_own = demand->n_got, node = GRID_NONE;
	int r = 0;

	for (uint32_t pu = domain->first_pu; pu < domain->first_pu + domain->n_pu; pu++)
		if (grid->pus[pu].owner == demand->workload) {
			node = grid->l3s[grid->cores[grid->pus[pu].core].l3].node;
			break;
		}
	fits_fill(unheld, demand, LEVEL_OPEN);
	if (node != GRID_NONE && unheld->n_fits[node - unheld->first_node] >= demand->rest_min)
		r = place_one(unheld, demand, LEVEL_OPEN, node - unheld->first_node);
	else if (demand->conf->numa_policy != NUMA_SINGLE)
		r = place(unheld, demand, false);
	demand->n_got = n_own;
	demand->rest = workload->cpus;
	*workload = (struct plan_workload){ .conf = workload->conf,
					    .limit = workload->limit,
					    .quota_mcpu = workload->quota_mcpu };
	return r;
}

/* Two passes: who stays where it was, then the others, so that a new one does not take the place of
 * an old one. */
static int place_all(struct unheld *unheld)
{
	struct work *work = unheld->work;
	int r = 0;

	for (unsigned pass = 0; pass < 2; pass++)
		for (uint32_t i = work->first_order[unheld->domain];
		     i < work->first_order[unheld->domain + 1] && r == 0; i++) {
			struct demand *demand = &work->demands[work->order[i]];

			if (!demand->shares || !demand->is_admitted ||
			    (!demand->owns && demand->n_got > 0))
				continue;
			if (demand->owns) {
				if (pass == 1 && demand->n_got > 0)
					r = place_rest(unheld, demand);
				continue;
			}
			if (uses_control(unheld, demand))
				r = shape_use(unheld, demand, unheld->control);
			else if (pass == 1 || (demand->previous && !wants_all(demand)))
				r = place(unheld, demand, pass == 0);
		}
	return r;
}

int unheld_domain(struct work *work, uint32_t domain)
{
	const struct grid_domain *at = &work->grid.domains[domain];
	struct unheld unheld = {
		.work = work, .domain = domain, .first_node = at->first_node, .n_node = at->n_node
	};
	bool any = false;
	int r;

	for (uint32_t i = work->first_order[domain]; i < work->first_order[domain + 1]; i++) {
		struct demand *demand = &work->demands[work->order[i]];

		if (!demand->shares || !demand->is_admitted)
			continue;
		any = true;
		if (demand->owns)
			continue;
		demand->n_got = 0;
		if (!wants_all(demand) && !shares_control(demand))
			unheld.n_load += load_of(demand);
	}
	if (!any)
		return 0;
	r = unheld_alloc(&unheld);
	for (uint32_t node = at->first_node; node < at->first_node + at->n_node && r == 0; node++)
		r = node_open(&unheld, node);
	if (r == 0)
		r = control_make(&unheld);
	return r < 0 ? r : place_all(&unheld);
}
