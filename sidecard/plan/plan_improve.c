/* Local search over what is placed: whoever is on more nodes or L3 groups than it must be, or as a
 * data plane beside somebody else, is placed anew together with those who are in its way, and the
 * better outcome stays (large neighbourhood search, after Shaw, "Using Constraint Programming and
 * Local Search Methods to Solve Vehicle Routing Problems", 1998). Where all have the best that the
 * machine could give them alone, which is the usual case, there is nothing to do and it costs one
 * pass over the PUs.
 *
 * The search ends after a number of steps that Deadline= pays for, not at a time: equal input gives
 * equal plans on every machine. */
#include <errno.h>
#include <string.h>

#include "plan/plan_score.h"

/* Who is placed anew together, and what they had. */
struct group {
	uint32_t *members; /* n_members demands */
	uint32_t n_members;
	uint32_t *saved; /* their PUs, one after the other */
	uint32_t n_saved;
};

struct improve {
	struct work *work;
	uint32_t domain;
	uint32_t *by_size; /* those who have PUs of their own, the large first */
	uint32_t n_by_size;
	uint32_t *slots;       /* PUs of all, by owner: first_slot and n_slot of each demand */
	uint32_t *kept;	       /* the best slots yet */
	struct tally *tallies; /* by node of the domain */
	uint64_t n_quiet;      /* of all nodes */
	uint32_t *touched;     /* scratch: nodes of the domain */
	uint32_t n_touched;
	bool *is_touched;
	uint32_t mark;	 /* n_picked before anybody of the domain was placed */
	int64_t n_spare; /* PUs that may stay quiet beside data planes */
	struct group group;
	uint32_t *wishes; /* who still has one */
	uint32_t n_wishes;
	bool takes_equal; /* outcomes as good as before are kept too */
	bool was_taken;	  /* the last one was kept */
	uint64_t random;
	int64_t n_steps_all, n_steps_gain; /* left when it began; at the last gain */
};

/* The search ends where it has gone on so long without any gain: a part of all that it may take. */
#define IN_VAIN_PART 4

static bool has_steps(const struct improve *improve)
{
	int64_t n = improve->work->n_steps;

	return n > 0 && improve->n_steps_gain - n < improve->n_steps_all / IN_VAIN_PART;
}

/* ---- releasing and taking back ---- */

static uint32_t n_slots(const struct improve *improve, uint32_t d)
{
	return improve->work->demands[d].n_slot;
}

static uint32_t *slots_of(const struct improve *improve, uint32_t d)
{
	return improve->slots + improve->work->demands[d].first_slot;
}

static void touch(struct improve *improve, uint32_t node)
{
	node -= improve->work->grid.domains[improve->domain].first_node;
	if (improve->is_touched[node])
		return;
	improve->is_touched[node] = true;
	improve->touched[improve->n_touched++] = node;
}

static void touch_all(struct improve *improve, uint32_t d)
{
	for (uint32_t i = 0; i < n_slots(improve, d); i++)
		touch(improve, score_node_of(improve->work, slots_of(improve, d)[i]));
}

static void give_back(struct improve *improve, uint32_t d)
{
	struct work *work = improve->work;
	const struct demand *demand = &work->demands[d];

	for (uint32_t i = 0; i < demand->n_slot; i++) {
		uint32_t pu = slots_of(improve, d)[i];
		const struct grid_core *core = &work->grid.cores[work->grid.pus[pu].core];

		grid_give(work, pu);
		if (demand->smt != SMT_ONE_PER_CORE)
			continue;
		for (uint32_t k = core->first_pu; k < core->first_pu + core->n_pu; k++)
			if (work->grid.pus[k].owner == OWNER_IDLE)
				grid_give(work, k);
	}
}

static void take_back(struct improve *improve, uint32_t d)
{
	struct work *work = improve->work;

	for (uint32_t i = 0; i < n_slots(improve, d); i++)
		pick_pu(work, &work->demands[d], slots_of(improve, d)[i]);
}

/* May it be moved? What has its memory reserved on a node stays there. */
static bool is_movable(const struct improve *improve, uint32_t d)
{
	const struct demand *demand = &improve->work->demands[d];

	return demand->conf->memory_size_bytes == 0 && n_slots(improve, d) > 0;
}

static void group_add(struct improve *improve, uint32_t d)
{
	struct group *group = &improve->group;
	struct demand *demand = &improve->work->demands[d];

	if (demand->is_listed || !is_movable(improve, d))
		return;
	demand->is_listed = true;
	group->members[group->n_members++] = d;
}

static void group_add_node(struct improve *improve, uint32_t node)
{
	const struct work *work = improve->work;
	const struct grid_node *at = &work->grid.nodes[node];
	const struct grid_l3 *last = &work->grid.l3s[at->first_l3 + at->n_l3 - 1];
	const struct grid_core *last_core = &work->grid.cores[last->first_core + last->n_core - 1];
	uint32_t first = work->grid.cores[work->grid.l3s[at->first_l3].first_core].first_pu;

	improve->work->n_steps -= score_n_pu(work, node) / 2 + 2;
	for (uint32_t pu = first; pu < last_core->first_pu + last_core->n_pu; pu++)
		if (work->grid.pus[pu].owner < work->snapshot->n_workloads)
			group_add(improve, work->grid.pus[pu].owner);
}

static struct score group_score(struct improve *improve)
{
	struct work *work = improve->work;
	struct score score = { 0 };

	for (uint32_t i = 0; i < improve->group.n_members; i++) {
		uint32_t d = improve->group.members[i];

		score_span(work, &work->demands[d], slots_of(improve, d), n_slots(improve, d),
			   &score);
		work->n_steps -= n_slots(improve, d) / 2 + 2;
	}
	return score;
}

static void group_release(struct improve *improve)
{
	struct group *group = &improve->group;

	group->n_saved = 0;
	for (uint32_t i = 0; i < group->n_members; i++) {
		uint32_t d = group->members[i], n = n_slots(improve, d);

		touch_all(improve, d);
		memcpy(group->saved + group->n_saved, slots_of(improve, d),
		       n * sizeof(*group->saved));
		group->n_saved += n;
		give_back(improve, d);
	}
}

static void group_restore(struct improve *improve, uint32_t n_placed)
{
	struct group *group = &improve->group;
	uint32_t n_saved = 0;

	for (uint32_t i = 0; i < n_placed; i++)
		give_back(improve, group->members[i]);
	improve->work->n_picked = improve->mark; /* nobody takes those back any more */
	for (uint32_t i = 0; i < group->n_members; i++) {
		uint32_t d = group->members[i], n = n_slots(improve, d);

		memcpy(slots_of(improve, d), group->saved + n_saved, n * sizeof(*group->saved));
		n_saved += n;
		take_back(improve, d);
	}
}

/* ---- placing anew ---- */

/* Places one with as many PUs as it had; @node: there, or wherever (GRID_NONE). True where it found
 * room. */
static bool place_again(struct improve *improve, uint32_t d, uint32_t node)
{
	struct work *work = improve->work;
	struct demand *demand = &work->demands[d];
	uint32_t n = n_slots(improve, d), mark = work->n_picked, n_got, k = 0;
	uint32_t n_least = demand->n_least;
	char *reason = demand->reason;

	work->n_steps -= work->grid.domains[improve->domain].n_node / 2 + n * 2 + 10;
	if (node == GRID_NONE) {
		demand->n_least = n;
		n_got = nodes_place(work, demand, n);
		/* A refusal is no news here: it goes back to what it had. */
		demand->n_least = n_least;
		demand->reason = reason;
		demand->n_got = n;
	} else {
		n_got = pick_in_node(work, demand, node, n);
	}
	if (n_got != n) {
		grid_undo(work, mark);
		return false;
	}
	for (uint32_t i = mark; i < work->n_picked; i++)
		if (work->grid.pus[work->picked[i]].owner == d)
			slots_of(improve, d)[k++] = work->picked[i];
	return true;
}

/* Who is not exclusive must use PUs beside data planes where too few others are left. */
static int64_t n_missing(const struct improve *improve, uint64_t n_quiet)
{
	int64_t n = (int64_t)n_quiet - improve->n_spare;

	return n > 0 ? n : 0;
}

/* All members have a place again: above 0 where it is better than what they had, @before. */
static int group_compare(struct improve *improve, const struct score *before)
{
	uint32_t first_node = improve->work->grid.domains[improve->domain].first_node;
	struct score was = *before, after = group_score(improve);
	uint64_t n_quiet = improve->n_quiet;

	for (uint32_t i = 0; i < improve->n_touched; i++) {
		uint32_t at = improve->touched[i];
		struct tally tally = score_tally(improve->work, first_node + at);

		score_add(&was, &improve->tallies[at]);
		score_add(&after, &tally);
		n_quiet += (uint64_t)tally.n_quiet - improve->tallies[at].n_quiet;
	}
	was.items[SCORE_BESIDE] += n_missing(improve, improve->n_quiet);
	after.items[SCORE_BESIDE] += n_missing(improve, n_quiet);
	return score_compare(&was, &after);
}

/* True where all members have a place again and it is better than what they had. */
static bool group_try(struct improve *improve, uint32_t node, const struct score *before)
{
	struct work *work = improve->work;
	struct group *group = &improve->group;
	uint32_t n_placed = 0;
	int order;

	work->n_picked = improve->mark;
	work->n_slack = improve->n_spare - (int64_t)improve->n_quiet;
	while (n_placed < group->n_members &&
	       place_again(improve, group->members[n_placed], n_placed == 0 ? node : GRID_NONE))
		touch_all(improve, group->members[n_placed++]);
	order = n_placed == group->n_members ? group_compare(improve, before) : -1;
	improve->was_taken = order > 0 || (order == 0 && improve->takes_equal);
	if (!improve->was_taken)
		group_restore(improve, n_placed);
	return order > 0;
}

static void touched_end(struct improve *improve, bool changed)
{
	for (uint32_t i = 0; i < improve->n_touched; i++) {
		uint32_t at = improve->touched[i];

		improve->is_touched[at] = false;
		if (!changed)
			continue;
		improve->n_quiet -= improve->tallies[at].n_quiet;
		improve->tallies[at] = score_tally(
			improve->work,
			improve->work->grid.domains[improve->domain].first_node + at);
		improve->n_quiet += improve->tallies[at].n_quiet;
	}
	improve->n_touched = 0;
}

static uint32_t next_random(struct improve *improve, uint32_t n)
{
	/* xorshift64, Marsaglia 2003 */
	improve->random ^= improve->random << 13;
	improve->random ^= improve->random >> 7;
	improve->random ^= improve->random << 17;
	return (uint32_t)(improve->random >> 33) % n;
}

/* The large first, after the one that all this is for; from the second time on with a little
 * disorder, since the plain order is the one that led here. */
static void group_sort(struct improve *improve, unsigned time)
{
	struct work *work = improve->work;
	struct group *group = &improve->group;
	struct sort_item *items = work->sort_items;
	uint32_t n = group->n_members - 1;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t d = group->members[i + 1];
		uint64_t size = (uint64_t)n_slots(improve, d) * work->demands[d].cost * 64;

		work->n_steps -= 4;
		if (time > 0)
			size += next_random(improve, 64) + size / 8 * next_random(improve, 4);
		if (work->demands[d].is_bounded)
			size |= UINT64_C(1) << 62;
		items[i] = (struct sort_item){ UINT64_MAX - size, d };
	}
	plan_sort_keys(items, work->sort_scratch, n);
	for (uint32_t i = 0; i < n; i++)
		group->members[i + 1] = items[i].item;
}

static void group_forget(struct improve *improve)
{
	struct group *group = &improve->group;

	for (uint32_t i = 0; i < group->n_members; i++)
		improve->work->demands[group->members[i]].is_listed = false;
	group->n_members = 0;
}

#define TIMES 3u /* orders tried for one group */

/* Tries members[] with the first of them on @node. */
static bool group_improve(struct improve *improve, uint32_t node)
{
	struct work *work = improve->work;
	struct group *group = &improve->group;
	struct score before = group_score(improve);
	bool better = false;

	for (unsigned time = 0; time < TIMES && !better && has_steps(improve); time++) {
		group_sort(improve, time);
		group_release(improve);
		better = group_try(improve, node, &before);
		touched_end(improve, better);
		if (group->n_members < 2)
			break;
	}
	group_forget(improve);
	if (better)
		improve->n_steps_gain = work->n_steps;
	return better;
}

/* ---- who could have it better ---- */

static struct wish wish_of(const struct improve *improve, uint32_t d)
{
	/* PUs of one group come together, or it looks like more: then it is tried in vain. */
	return score_wish(improve->work, &improve->work->demands[d], slots_of(improve, d));
}

/* Largest groups that are tried: beyond this a try costs more than it wins. */
#define GROUP_MOST 256u

/* One workload: each node in turn, with those who are there; then with those of its own node too.
 */
static bool improve_one(struct improve *improve, uint32_t d)
{
	struct work *work = improve->work;
	const struct grid_domain *domain = &work->grid.domains[improve->domain];
	uint32_t home = score_node_of(work, slots_of(improve, d)[0]);
	uint32_t n = n_slots(improve, d);

	group_add(improve, d);
	if (group_improve(improve, GRID_NONE))
		return true;
	for (unsigned pass = 0; pass < 2; pass++)
		for (uint32_t k = 0; k < domain->n_node && has_steps(improve); k++) {
			/* Its own node first. */
			uint32_t node = domain->first_node +
					(home - domain->first_node + k) % domain->n_node;

			if (score_n_pu(work, node) < n ||
			    !demand_may_use_node(work, &work->demands[d], node))
				continue;
			group_add(improve, d);
			group_add_node(improve, node);
			if (pass > 0)
				group_add_node(improve, home);
			if (improve->group.n_members > GROUP_MOST || (pass > 0 && k == 0)) {
				group_forget(improve);
				continue;
			}
			if (group_improve(improve, node))
				return true;
		}
	return false;
}

/* slots[], and whether anybody has a wish. */
static bool slots_fill(struct improve *improve)
{
	struct work *work = improve->work;
	bool any = false;

	score_slots(work, improve->domain, improve->slots);
	for (uint32_t i = work->first_order[improve->domain];
	     i < work->first_order[improve->domain + 1] && !any; i++) {
		struct wish wish = wish_of(improve, work->order[i]);

		any = n_slots(improve, work->order[i]) > 0 && score_has_wish(&wish);
	}
	return any;
}

static int improve_alloc(struct improve *improve)
{
	struct work *work = improve->work;
	const struct grid_domain *domain = &work->grid.domains[improve->domain];

	improve->group.saved = arena_alloc(work->scratch, (domain->n_pu + 1u) * sizeof(uint32_t));
	improve->group.members = arena_alloc(work->scratch, (domain->n_pu + 1u) * sizeof(uint32_t));
	improve->kept = arena_alloc(work->scratch, (domain->n_pu + 1u) * sizeof(uint32_t));
	improve->wishes = arena_alloc(work->scratch, (domain->n_pu + 1u) * sizeof(uint32_t));
	improve->by_size = arena_alloc(work->scratch, (domain->n_pu + 1u) * sizeof(uint32_t));
	improve->tallies = arena_alloc(work->scratch,
				       (domain->n_node + 1u) * sizeof(*improve->tallies));
	improve->touched = arena_alloc(work->scratch, (domain->n_node + 1u) * sizeof(uint32_t));
	improve->is_touched = arena_alloc(work->scratch, domain->n_node + 1u);
	return improve->group.saved && improve->group.members && improve->kept && improve->wishes &&
			       improve->by_size && improve->tallies && improve->touched &&
			       improve->is_touched
		       ? 0
		       : -ENOMEM;
}

/* The order of asking: names say nothing but who of two that are alike comes first. */
static void order_by_size(struct improve *improve)
{
	struct work *work = improve->work;
	struct sort_item *items = work->sort_items;
	uint32_t n = 0;

	for (uint32_t i = work->first_order[improve->domain];
	     i < work->first_order[improve->domain + 1]; i++) {
		uint32_t d = work->order[i];
		const struct demand *demand = &work->demands[d];

		if (demand->n_slot > 0)
			items[n++] = (struct sort_item){
				(uint64_t)(UINT32_MAX - demand->n_slot) << 8 |
					(uint64_t)!demand_is_data(demand) << 4 |
					(uint64_t)demand->smt << 2 | (uint64_t)demand->conf->role,
				d
			};
	}
	plan_sort_keys(items, work->sort_scratch, n);
	for (uint32_t i = 0; i < n; i++)
		improve->by_size[i] = items[i].item;
	improve->n_by_size = n;
}

/* Everybody with a wish in turn, until nobody's can be met any more. Leaves those who still have
 * one in wishes[]. */
static void improve_all(struct improve *improve)
{
	struct work *work = improve->work;
	bool better = true;

	while (better && has_steps(improve)) {
		better = false;
		improve->n_wishes = 0;
		for (uint32_t i = 0; i < improve->n_by_size && has_steps(improve); i++) {
			uint32_t d = improve->by_size[i];
			struct wish wish;

			if (!is_movable(improve, d))
				continue;
			wish = wish_of(improve, d);
			work->n_steps -= n_slots(improve, d);
			if (!score_has_wish(&wish))
				continue;
			if (improve_one(improve, d))
				better = true;
			else
				improve->wishes[improve->n_wishes++] = d;
		}
	}
}

/* So many tries in a row without any gain end the search. */
#define N_IN_VAIN_MOST 400u
/* Nodes whose owners are placed anew together, beside those of the one with the wish. */
#define N_NODES_MORE 3u

/* One with a wish and all who are on some nodes, its own among them, in a random order. Outcomes
 * that are equally good are taken too: they lead to where others are better. */
static bool improve_random(struct improve *improve)
{
	struct work *work = improve->work;
	const struct grid_domain *domain = &work->grid.domains[improve->domain];
	uint32_t d = improve->wishes[next_random(improve, improve->n_wishes)];
	uint32_t slot = slots_of(improve, d)[next_random(improve, n_slots(improve, d))];
	uint32_t n_more = next_random(improve, N_NODES_MORE + 1);
	struct score before;
	bool better;

	group_add(improve, d);
	group_add_node(improve, score_node_of(work, slot));
	for (uint32_t i = 0; i < n_more; i++)
		group_add_node(improve, domain->first_node + next_random(improve, domain->n_node));
	work->n_steps -= 10;
	if (improve->group.n_members > GROUP_MOST) {
		group_forget(improve);
		return false;
	}
	before = group_score(improve);
	group_sort(improve, 1);
	if (next_random(improve, 2)) {
		uint32_t k = next_random(improve, improve->group.n_members);

		improve->group.members[0] = improve->group.members[k];
		improve->group.members[k] = d;
	}
	group_release(improve);
	better = group_try(improve, GRID_NONE, &before);
	touched_end(improve, improve->was_taken);
	group_forget(improve);
	return better;
}

/* Drops who has nothing left to wish. */
static void wishes_look(struct improve *improve)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < improve->n_wishes; i++) {
		struct wish wish = wish_of(improve, improve->wishes[i]);

		if (score_has_wish(&wish))
			improve->wishes[n++] = improve->wishes[i];
	}
	improve->n_wishes = n;
}

static uint32_t n_slots_all(const struct improve *improve)
{
	const struct work *work = improve->work;
	uint32_t n = 0;

	for (uint32_t i = work->first_order[improve->domain];
	     i < work->first_order[improve->domain + 1]; i++)
		n += n_slots(improve, work->order[i]);
	return n;
}

static void slots_keep(struct improve *improve)
{
	improve->work->n_steps -= n_slots_all(improve) / 4;
	memcpy(improve->kept, improve->slots, n_slots_all(improve) * sizeof(*improve->kept));
}

static void slots_return(struct improve *improve)
{
	struct work *work = improve->work;
	uint32_t n = n_slots_all(improve);

	if (memcmp(improve->kept, improve->slots, n * sizeof(*improve->kept)) == 0)
		return;
	for (uint32_t i = work->first_order[improve->domain];
	     i < work->first_order[improve->domain + 1]; i++)
		give_back(improve, work->order[i]);
	memcpy(improve->slots, improve->kept, n * sizeof(*improve->kept));
	work->n_picked = improve->mark;
	for (uint32_t i = work->first_order[improve->domain];
	     i < work->first_order[improve->domain + 1]; i++)
		take_back(improve, work->order[i]);
}

static void improve_randomly(struct improve *improve)
{
	uint32_t n_in_vain = 0;

	slots_keep(improve);
	improve->takes_equal = true;
	while (improve->n_wishes > 0 && n_in_vain < N_IN_VAIN_MOST && has_steps(improve)) {
		n_in_vain++;
		if (!improve_random(improve))
			continue;
		improve->n_steps_gain = improve->work->n_steps;
		/* What was won may be another's loss: all are asked again. */
		n_in_vain = 0;
		improve->takes_equal = false;
		improve_all(improve);
		improve->takes_equal = true;
		wishes_look(improve);
		slots_keep(improve);
	}
	/* What was won by nothing is given up again: plans keep to the smallest numbers. */
	slots_return(improve);
}

/* One alone chose first and has nobody to change places with. */
static bool has_others(const struct work *work, uint32_t domain)
{
	uint32_t n = 0;

	for (uint32_t i = work->first_order[domain]; i < work->first_order[domain + 1] && n < 2;
	     i++)
		n += work->demands[work->order[i]].n_slot > 0;
	return n >= 2;
}

int improve_domain(struct work *work, uint32_t domain, uint32_t mark, bool *ret_best)
{
	const struct grid_domain *at = &work->grid.domains[domain];
	struct improve improve = { .work = work, .domain = domain, .mark = mark };

	improve.slots = arena_alloc(work->scratch, (at->n_pu + 1u) * sizeof(uint32_t));
	if (!improve.slots)
		return -ENOMEM;
	*ret_best = false;
	if (!slots_fill(&improve)) {
		*ret_best = score_is_compact(work, domain, improve.slots);
		return 0;
	}
	if (!work->previous && !has_others(work, domain))
		return 0;
	if (improve_alloc(&improve) < 0)
		return -ENOMEM;
	improve.n_steps_all = improve.n_steps_gain = work->n_steps;
	/* Near what holds it has few, and what it does not find costs moves. */
	if (work->previous)
		improve.n_steps_all *= IN_VAIN_PART;
	improve.random = UINT64_C(0x9e3779b97f4a7c15); /* any but 0 */
	improve.n_spare = (int64_t)score_n_free(work, at) -
			  ((int64_t)at->room.n_free - work->n_capacity);
	for (uint32_t i = 0; i < at->n_node; i++) {
		improve.tallies[i] = score_tally(work, at->first_node + i);
		improve.n_quiet += improve.tallies[i].n_quiet;
	}
	improve.n_wishes = 1;
	if (has_others(work, domain)) {
		order_by_size(&improve);
		improve_all(&improve);
		improve_randomly(&improve);
	}
	*ret_best = improve.n_wishes == 0 && score_is_compact(work, domain, improve.slots);
	return 0;
}
