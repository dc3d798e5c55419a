/* A plan from scratch knows nothing of what held. Whoever had other PUs before is given them back
 * here, and who is on those goes where it was, as long as that makes nothing worse in what comes
 * before movement and moves fewer PUs in all. */
#include <errno.h>

#include "plan/plan_score.h"

/* Nodes and owners that one exchange may touch: beyond it judging costs more than it wins. */
#define TOUCHED_MOST 16u
#define PASSES_MOST  4u

struct settle {
	struct work *work;
	const struct grid_domain *domain;
	uint32_t *slots;     /* PUs of all, by owner */
	uint32_t *had, *has; /* n PUs that it had and has not; that it has and had not */
	uint32_t n, mark;
	uint32_t nodes[TOUCHED_MOST], owners[TOUCHED_MOST];
	uint32_t n_nodes, n_owners;
};

static bool list_add(uint32_t *list, uint32_t *n, uint32_t value)
{
	for (uint32_t i = 0; i < *n; i++)
		if (list[i] == value)
			return true;
	if (*n == TOUCHED_MOST)
		return false;
	list[(*n)++] = value;
	return true;
}

static bool had_before(const struct demand *demand, uint32_t pu_os)
{
	return demand->previous && cpuset_has(demand->previous, pu_os);
}

/* had[] and has[], both in the order of the machine as far as PU numbers are. */
static void lists_fill(struct settle *settle, uint32_t d)
{
	const struct grid *grid = &settle->work->grid;
	const struct demand *demand = &settle->work->demands[d];
	uint32_t n_had = 0, n_has = 0;

	cpuset_foreach (pu_os, demand->previous) {
		uint32_t pu = pu_os < grid->n_os ? grid->at_of_os[pu_os] : GRID_NONE;

		if (pu != GRID_NONE && pu >= settle->domain->first_pu &&
		    pu < settle->domain->first_pu + settle->domain->n_pu &&
		    grid->pus[pu].owner != d)
			settle->had[n_had++] = pu;
	}
	for (uint32_t i = 0; i < demand->n_slot; i++) {
		uint32_t pu = settle->slots[demand->first_slot + i];

		if (!had_before(demand, grid->pus[pu].pu_os))
			settle->has[n_has++] = pu;
	}
	settle->n = n_had < n_has ? n_had : n_has;
}

/* ---- may they be exchanged? ---- */

static bool all_on_one_node(const struct settle *settle)
{
	for (uint32_t i = 0; i < settle->n; i++)
		if (score_node_of(settle->work, settle->had[i]) !=
		    score_node_of(settle->work, settle->has[i]))
			return false;
	return true;
}

static bool may_go(const struct settle *settle, uint32_t d, uint32_t pu, bool same_node)
{
	const struct work *work = settle->work;
	const struct demand *demand = &work->demands[d];

	return demand->smt == SMT_ANY && demand_may_use(demand, work->grid.pus[pu].pu_os) &&
	       (same_node ||
		(demand->conf->memory_size_bytes == 0 && demand->conf->numa_policy == NUMA_PREFER &&
		 demand_may_use_node(work, demand, score_node_of(work, pu))));
}

/* Fills nodes[] and owners[]; false where the exchange is not allowed or moves no fewer PUs. */
static bool is_possible(struct settle *settle, uint32_t d)
{
	const struct work *work = settle->work;
	bool same_node = all_on_one_node(settle);
	int64_t n_won = settle->n;

	settle->n_nodes = settle->n_owners = 0;
	list_add(settle->owners, &settle->n_owners, d);
	for (uint32_t i = 0; i < settle->n; i++) {
		uint32_t had = settle->had[i], has = settle->has[i];
		uint32_t owner = work->grid.pus[had].owner;

		if (!may_go(settle, d, had, same_node) ||
		    !list_add(settle->nodes, &settle->n_nodes, score_node_of(work, had)) ||
		    !list_add(settle->nodes, &settle->n_nodes, score_node_of(work, has)))
			return false;
		if (owner == OWNER_NOBODY)
			continue;
		if (owner >= work->snapshot->n_workloads ||
		    !may_go(settle, owner, has, same_node) ||
		    !list_add(settle->owners, &settle->n_owners, owner))
			return false;
		n_won -= had_before(&work->demands[owner], work->grid.pus[had].pu_os);
		n_won += had_before(&work->demands[owner], work->grid.pus[has].pu_os);
	}
	return n_won > 0;
}

/* ---- exchanging ---- */

static struct score score_touched(struct settle *settle)
{
	struct work *work = settle->work;
	struct score score = { 0 };

	for (uint32_t i = 0; i < settle->n_owners; i++) {
		const struct demand *demand = &work->demands[settle->owners[i]];

		score_span(work, demand, settle->slots + demand->first_slot, demand->n_slot,
			   &score);
		work->n_steps -= demand->n_slot;
	}
	for (uint32_t i = 0; i < settle->n_nodes; i++) {
		struct tally tally = score_tally(work, settle->nodes[i]);

		score_add(&score, &tally);
		score.items[SCORE_BESIDE_SHARED] += tally.n_quiet;
	}
	return score;
}

static void slot_replace(struct settle *settle, uint32_t d, uint32_t from, uint32_t to)
{
	const struct demand *demand = &settle->work->demands[d];
	uint32_t *slots = settle->slots + demand->first_slot;

	for (uint32_t i = 0; i < demand->n_slot; i++)
		if (slots[i] == from) {
			slots[i] = to;
			return;
		}
}

/* Doing it twice undoes it. */
static void exchange(struct settle *settle)
{
	struct work *work = settle->work;

	for (uint32_t i = 0; i < settle->n; i++) {
		uint32_t a = settle->had[i], b = settle->has[i];
		uint32_t of_a = work->grid.pus[a].owner, of_b = work->grid.pus[b].owner;

		if (of_a != OWNER_NOBODY)
			grid_give(work, a);
		if (of_b != OWNER_NOBODY)
			grid_give(work, b);
		if (of_b != OWNER_NOBODY) {
			grid_take(work, a, of_b);
			slot_replace(settle, of_b, b, a);
		}
		if (of_a != OWNER_NOBODY) {
			grid_take(work, b, of_a);
			/* Not the one that has just arrived there, where both are one's. */
			if (of_a != of_b)
				slot_replace(settle, of_a, a, b);
		}
		work->n_picked = settle->mark; /* nobody takes those back */
	}
}

static bool settle_one(struct settle *settle, uint32_t d)
{
	struct score before, after;

	lists_fill(settle, d);
	settle->work->n_steps -= settle->n + settle->work->demands[d].n_slot;
	if (settle->n == 0 || !is_possible(settle, d))
		return false;
	before = score_touched(settle);
	exchange(settle);
	after = score_touched(settle);
	if (score_compare(&after, &before) <= 0)
		return true;
	exchange(settle);
	return false;
}

int settle_domain(struct work *work, uint32_t domain)
{
	const struct grid_domain *at = &work->grid.domains[domain];
	struct settle settle = { .work = work, .domain = at, .mark = work->n_picked };
	bool more = true;

	settle.slots = arena_alloc(work->scratch, (at->n_pu + 1) * sizeof(*settle.slots));
	settle.had = arena_alloc(work->scratch, (at->n_pu + 1) * sizeof(*settle.had));
	settle.has = arena_alloc(work->scratch, (at->n_pu + 1) * sizeof(*settle.has));
	if (!settle.slots || !settle.had || !settle.has)
		return -ENOMEM;
	score_slots(work, domain, settle.slots);
	for (unsigned pass = 0; pass < PASSES_MOST && more; pass++) {
		more = false;
		for (uint32_t i = work->first_order[domain];
		     i < work->first_order[domain + 1] && work->n_steps > 0; i++) {
			const struct demand *demand = &work->demands[work->order[i]];

			if (demand->owns && demand->previous && demand->n_slot > 0)
				more |= settle_one(&settle, work->order[i]);
		}
	}
	return 0;
}
