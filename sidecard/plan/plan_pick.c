/* Inside one node: the fewest L3 groups, then whole cores for data planes and used-up partial cores
 * for the others, then what the workload had before, then what nobody else had before, then the
 * smallest number. */
#include <string.h>

#include "plan/plan_work.h"

void pick_pu(struct work *work, const struct demand *demand, uint32_t pu)
{
	const struct grid_core *core = &work->grid.cores[work->grid.pus[pu].core];

	grid_take(work, pu, demand->owns ? demand->workload : OWNER_RESERVED);
	if (demand->smt != SMT_ONE_PER_CORE)
		return;
	for (uint32_t i = core->first_pu; i < core->first_pu + core->n_pu; i++)
		if (work->grid.pus[i].owner == OWNER_NOBODY)
			grid_take(work, i, OWNER_IDLE);
}

static bool is_own(const struct demand *demand, uint32_t pu_os)
{
	return demand->previous && cpuset_has(demand->previous, pu_os);
}

/* At most @n PUs of a core: first those it had, then those that nobody had, then the rest. */
static uint32_t take_in_core(struct work *work, const struct demand *demand, uint32_t core,
			     uint32_t n)
{
	const struct grid_core *at = &work->grid.cores[core];
	uint32_t n_taken = 0;

	for (unsigned pass = 0; pass < 3; pass++)
		for (uint32_t i = at->first_pu; i < at->first_pu + at->n_pu && n_taken < n; i++) {
			const struct grid_pu *pu = &work->grid.pus[i];
			bool own = is_own(demand, pu->pu_os), held = pu->holder != GRID_NONE;

			if (pu->owner != OWNER_NOBODY || !demand_may_use(demand, pu->pu_os) ||
			    (pass == 0 && !own) || (pass == 1 && held))
				continue;
			pick_pu(work, demand, i);
			n_taken++;
		}
	return n_taken;
}

/* ---- cores by rank ---- */

enum tier { TIER_WHOLE, TIER_PARTIAL, TIER_QUIET, N_TIERS };
/* The kind of core that it wants first (item 8 of the objective comes before movement). */
enum { RANK_OWN, RANK_FREE, RANK_HELD, RANK_OTHER_KIND, N_RANKS = 2 * RANK_OTHER_KIND };

struct ranks {
	uint32_t heads[N_TIERS][N_RANKS], tails[N_TIERS][N_RANKS];
};

static unsigned core_rank(const struct work *work, const struct demand *demand, uint32_t core,
			  const struct room *room)
{
	const struct grid_core *at = &work->grid.cores[core];

	if (demand->previous && work->own_l3s[at->l3] > 0)
		for (uint32_t i = at->first_pu; i < at->first_pu + at->n_pu; i++)
			if (work->grid.pus[i].owner == OWNER_NOBODY &&
			    is_own(demand, work->grid.pus[i].pu_os))
				return RANK_OWN;
	return room->n_held > 0 ? RANK_HELD : RANK_FREE;
}

static enum tier core_tier(const struct work *work, const struct demand *demand, uint32_t core,
			   const struct room *room)
{
	const struct grid_core *at = &work->grid.cores[core];
	bool all_own = at->n_pu == at->n_online;

	if (room->n_whole_core)
		return TIER_WHOLE;
	if (at->n_data == 0)
		return TIER_PARTIAL;
	/* One that it has a part of already is whole for it, where it grows. */
	for (uint32_t i = at->first_pu; i < at->first_pu + at->n_pu; i++)
		all_own &= work->grid.pus[i].owner == OWNER_NOBODY ||
			   work->grid.pus[i].owner == demand->workload;
	return all_own ? TIER_WHOLE : TIER_QUIET;
}

/* Lists the cores of an L3 group that have something free, by tier and rank, each list in the order
 * of the machine. */
static void ranks_fill(struct work *work, const struct demand *demand, uint32_t l3,
		       struct ranks *ranks)
{
	const struct grid_l3 *at = &work->grid.l3s[l3];

	memset(ranks, 0xff, sizeof(*ranks)); /* GRID_NONE everywhere */
	for (uint32_t core = at->first_core; core < at->first_core + at->n_core; core++) {
		struct room room = room_of_core(work, demand, core);
		enum tier tier;
		unsigned rank;
		uint32_t *tail;

		if (room.n_free == 0)
			continue;
		tier = core_tier(work, demand, core, &room);
		rank = core_rank(work, demand, core, &room);
		if (room_of_type(demand, &room) == 0)
			rank += RANK_OTHER_KIND;
		tail = &ranks->tails[tier][rank];
		if (*tail == GRID_NONE)
			ranks->heads[tier][rank] = core;
		else
			work->core_next[*tail] = core;
		work->core_next[core] = GRID_NONE;
		*tail = core;
	}
}

/* Takes at most @n PUs from the cores of one tier; @whole: only cores that are used up by it. */
static uint32_t take_tier(struct work *work, const struct demand *demand, const uint32_t *heads,
			  uint32_t n, bool whole)
{
	uint32_t n_taken = 0;

	for (unsigned rank = 0; rank < N_RANKS; rank++)
		for (uint32_t core = heads[rank]; core != GRID_NONE && n_taken < n;
		     core = work->core_next[core]) {
			uint32_t n_free = work->grid.cores[core].n_free;

			if (whole && n_free > n - n_taken)
				continue;
			n_taken += take_in_core(work, demand, core, n - n_taken);
		}
	return n_taken;
}

/* A data plane: whole cores; for what is no whole core a new one, whose rest then stays quiet as
 * long as nobody misses it. */
static uint32_t take_any_data(struct work *work, const struct demand *demand,
			      const struct ranks *ranks, uint32_t n)
{
	static const enum tier roomy[] = { TIER_WHOLE, TIER_PARTIAL, TIER_QUIET };
	static const enum tier tight[] = { TIER_PARTIAL, TIER_WHOLE, TIER_QUIET };
	uint32_t n_taken = take_tier(work, demand, ranks->heads[TIER_WHOLE], n, true);
	int64_t n_idle = (int64_t)work->grid.domains[demand->domain].core_most - (n - n_taken);
	const enum tier *order = work->n_slack >= n_idle ? roomy : tight;

	for (unsigned i = 0; i < N_TIERS && n_taken < n; i++) {
		uint32_t n_more = take_tier(work, demand, ranks->heads[order[i]], n - n_taken,
					    false);

		if (order[i] == TIER_WHOLE && n_more > 0)
			work->n_slack -= n_idle;
		n_taken += n_more;
	}
	return n_taken;
}

static uint32_t pick_in_l3(struct work *work, const struct demand *demand, uint32_t l3, uint32_t n)
{
	static const enum tier order[] = { TIER_PARTIAL, TIER_WHOLE, TIER_QUIET };
	struct ranks ranks;
	uint32_t n_taken = 0;

	ranks_fill(work, demand, l3, &ranks);
	if (demand->smt == SMT_WHOLE_CORE)
		return take_tier(work, demand, ranks.heads[TIER_WHOLE], n, true);
	if (demand->smt == SMT_ONE_PER_CORE) {
		for (unsigned rank = 0; rank < N_RANKS; rank++)
			for (uint32_t core = ranks.heads[TIER_WHOLE][rank];
			     core != GRID_NONE && n_taken < n; core = work->core_next[core])
				n_taken += take_in_core(work, demand, core, 1);
		return n_taken;
	}
	if (demand_is_data(demand))
		return take_any_data(work, demand, &ranks, n);
	for (unsigned i = 0; i < N_TIERS && n_taken < n; i++)
		n_taken += take_tier(work, demand, ranks.heads[order[i]], n - n_taken, false);
	return n_taken;
}

/* ---- L3 groups ---- */

struct l3_choice {
	uint32_t l3;
	bool splits;	 /* a data plane would share a core there */
	uint32_t n_lack; /* PUs that would be of another kind of core than it wants */
	uint32_t n_own;
	bool is_held;	 /* others had PUs there that it would need */
	uint32_t n_room; /* best fit: small where it holds all, large where it does not */
};

static bool l3_is_better(const struct l3_choice *a, const struct l3_choice *b, bool holds,
			 bool spreads)
{
	if (a->splits != b->splits)
		return b->splits;
	if (!holds && a->n_room != b->n_room)
		return a->n_room > b->n_room;
	if (a->n_lack != b->n_lack)
		return a->n_lack < b->n_lack;
	if (a->n_own != b->n_own)
		return a->n_own > b->n_own;
	if (a->is_held != b->is_held)
		return b->is_held;
	if (holds && a->n_room != b->n_room)
		return spreads ? a->n_room > b->n_room : a->n_room < b->n_room;
	return a->l3 < b->l3;
}

/* The group that holds @n best or, where none holds it, the one that holds most. */
static uint32_t choose_l3(const struct work *work, const struct demand *demand, uint32_t node,
			  uint32_t n)
{
	const struct grid_node *at = &work->grid.nodes[node];
	struct l3_choice best = { .l3 = GRID_NONE };
	bool best_holds = false;

	for (uint32_t l3 = at->first_l3; l3 < at->first_l3 + at->n_l3; l3++) {
		struct room room = room_of_l3(work, demand, l3);
		uint32_t n_fit = room_fit(demand, &room);
		bool holds = n_fit >= n;
		struct l3_choice choice = {
			.l3 = l3,
			.splits = holds && demand_is_data(demand) && demand->smt == SMT_ANY &&
				  room.n_whole_pu < n,
			.n_lack = n - (room_of_type(demand, &room) < n ? room_of_type(demand, &room)
								       : n),
			.n_own = work->own_l3s[l3],
			.is_held = room.n_free - room.n_held < n,
			.n_room = holds ? room.n_free : n_fit,
		};

		if (n_fit == 0 || (best_holds && !holds))
			continue;
		if (best.l3 == GRID_NONE || (holds && !best_holds) ||
		    l3_is_better(&choice, &best, holds, demand->conf->balance == BALANCE_SPREAD)) {
			best = choice;
			best_holds = holds;
		}
	}
	return best.l3;
}

uint32_t pick_n_l3(struct work *work, const struct demand *demand, uint32_t node, uint32_t n)
{
	const struct grid_node *at = &work->grid.nodes[node];
	uint32_t n_most = 0, n_all = 0, n_l3 = 0;

	if (!demand->ceiling) {
		grid_look_at_l3s(&work->grid, node);
		n_most = room_fit(demand, &at->l3_most);
		n_all = room_fit(demand, &at->l3_some);
	}
	for (uint32_t l3 = at->first_l3; demand->ceiling && l3 < at->first_l3 + at->n_l3; l3++) {
		struct room room = room_of_l3(work, demand, l3);
		uint32_t n_fit = room_fit(demand, &room);

		n_most = n_fit > n_most ? n_fit : n_most;
		n_all += n_fit > 0;
	}
	/* Groups are of one size on nearly every machine: what the largest holds tells how many it
	 * takes at least. */
	if (n_most >= n)
		n_l3 = 1;
	else if (n_most > 0)
		n_l3 = (n + n_most - 1) / n_most;
	return n_l3 < n_all ? n_l3 : n_all;
}

/* ---- cores of different sizes ---- */

/* Marks which sums of whole cores can be had: reach[sum] is the last core of one way there. Returns
 * the largest sum up to @n. */
static uint32_t reach_fill(struct work *work, const struct demand *demand, uint32_t node,
			   uint32_t n, bool typed)
{
	const struct grid_node *at = &work->grid.nodes[node];
	const struct grid_l3 *last = &work->grid.l3s[at->first_l3 + at->n_l3 - 1];
	uint32_t first = work->grid.l3s[at->first_l3].first_core, n_most = 0;
	uint32_t n_whole = room_of_node(work, demand, node).n_whole_pu;

	if (n > n_whole)
		n = n_whole;
	for (uint32_t sum = 0; sum <= n; sum++)
		work->reach[sum] = GRID_NONE;
	for (uint32_t core = first; core < last->first_core + last->n_core && n_most < n; core++) {
		uint32_t size = work->grid.cores[core].n_online;

		struct room room = room_of_core(work, demand, core);

		if (!room.n_whole_core || (typed && room_of_type(demand, &room) == 0))
			continue;
		/* Downwards, so that no core is counted twice. */
		for (uint32_t sum = n; sum >= size; sum--)
			if (work->reach[sum] == GRID_NONE &&
			    (sum == size || work->reach[sum - size] != GRID_NONE)) {
				work->reach[sum] = core;
				n_most = sum > n_most ? sum : n_most;
			}
	}
	return n_most;
}

uint32_t pick_reach(struct work *work, const struct demand *demand, uint32_t node, uint32_t n)
{
	return reach_fill(work, demand, node, n, false);
}

static uint32_t pick_sum(struct work *work, const struct demand *demand, uint32_t node, uint32_t n)
{
	uint32_t n_taken = 0;

	/* Of the kind that it wants, where those come to the same sum. */
	if (demand->core_type == CORE_ANY || reach_fill(work, demand, node, n, true) < n)
		n = reach_fill(work, demand, node, n, false);
	while (n > 0) {
		uint32_t core = work->reach[n], size = work->grid.cores[core].n_online;

		n_taken += take_in_core(work, demand, core, size);
		n -= size;
	}
	return n_taken;
}

uint32_t pick_in_node(struct work *work, const struct demand *demand, uint32_t node, uint32_t n)
{
	uint32_t n_taken = 0;

	if (demand->smt == SMT_WHOLE_CORE && work->grid.nodes[node].core_size == 0)
		return pick_sum(work, demand, node, n);
	while (n_taken < n) {
		uint32_t l3 = choose_l3(work, demand, node, n - n_taken), n_more;

		if (l3 == GRID_NONE)
			break;
		n_more = pick_in_l3(work, demand, l3, n - n_taken);
		if (n_more == 0)
			break;
		n_taken += n_more;
	}
	return n_taken;
}
