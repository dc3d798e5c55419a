/* One domain, planned twice where that may pay: near what holds, and, where that left something to
 * wish, from scratch. The plan from scratch is the same, step for step, as if there had been no
 * previous one; it is taken where it is better in what comes before movement, so keeping what holds
 * costs nothing. */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "plan/plan_score.h"

/* Of the steps of a search the part that goes to staying near what holds, so that the rest does not
 * depend on whether anything held. */
#define KEEP_PART 4

/* One outcome, to come back to. */
struct outcome {
	uint32_t *owners;	/* by PU of the domain */
	struct demand *demands; /* in the order of work->order, as are the next two */
	struct plan_workload *workloads;
	bool *placed;
	uint32_t n_capacity;
	uint64_t n_got; /* PUs of all that have some of their own */
	struct score score;
};

struct twice {
	struct work *work;
	const struct grid_domain *domain;
	uint32_t at;	   /* its index */
	uint32_t first, n; /* of work->order */
	uint32_t mark;	   /* n_picked before anybody was placed */
	uint32_t *slots;   /* n_pu of the domain */
};

static struct demand *demand_at(const struct twice *twice, uint32_t i)
{
	return &twice->work->demands[twice->work->order[twice->first + i]];
}

/* ---- scoring ---- */

/* PUs that those have who share theirs; the plan says which. */
static int shared_union(const struct twice *twice, struct cpuset *shared)
{
	const uint64_t *last = NULL;
	int r = 0;

	for (uint32_t i = 0; i < twice->n && r == 0; i++) {
		const struct demand *demand = demand_at(twice, i);
		const struct cpuset *cpus = &demand->rest;

		if (!demand->owns)
			cpus = &twice->work->plan->workloads[demand->workload].cpus;
		/* Many have one set, mostly the same as the one before. */
		if (cpus->bits.words == last)
			continue;
		last = cpus->bits.words;
		r = cpuset_union(shared, cpus);
	}
	return r;
}

/* Who else has a part of the core of a data plane's PU. */
static void beside_of(const struct work *work, uint32_t pu, const struct cpuset *shared,
		      struct score *score)
{
	const struct grid_core *core = &work->grid.cores[work->grid.pus[pu].core];
	uint32_t owner = work->grid.pus[pu].owner;
	bool exclusive = false, other = core->n_pu < core->n_online;

	for (uint32_t i = core->first_pu; i < core->first_pu + core->n_pu; i++) {
		uint32_t who = work->grid.pus[i].owner;

		if (who < work->snapshot->n_workloads)
			exclusive |= who != owner;
		else
			other |= cpuset_has(shared, work->grid.pus[i].pu_os) ||
				 who == OWNER_HOUSEKEEPING;
	}
	score->items[SCORE_BESIDE] += exclusive;
	score->items[SCORE_BESIDE_SHARED] += other && !exclusive;
}

static int add_beside(const struct twice *twice, struct score *score)
{
	const struct work *work = twice->work;
	cleanup(cpuset_done) struct cpuset shared = { 0 };
	int r = shared_union(twice, &shared);

	score->items[SCORE_BESIDE] = 0;
	for (uint32_t pu = twice->domain->first_pu;
	     pu < twice->domain->first_pu + twice->domain->n_pu && r == 0; pu++) {
		uint32_t owner = work->grid.pus[pu].owner;

		if (owner < work->snapshot->n_workloads && demand_is_data(&work->demands[owner]))
			beside_of(work, pu, &shared, score);
	}
	return r;
}

/* Everything of items 3 and 5 to 8, from who has which PU. */
static int score_all(const struct twice *twice, struct score *ret_score)
{
	struct work *work = twice->work;
	struct score score = { 0 };

	score_slots(work, twice->at, twice->slots);
	for (uint32_t i = 0; i < twice->n; i++) {
		const struct demand *demand = demand_at(twice, i);

		score_span(work, demand, twice->slots + demand->first_slot, demand->n_slot, &score);
	}
	for (uint32_t i = 0; i < twice->domain->n_node; i++) {
		struct tally tally = score_tally(work, twice->domain->first_node + i);

		score_add(&score, &tally);
	}
	*ret_score = score;
	return add_beside(twice, ret_score);
}

static bool is_placed(const struct demand *demand)
{
	return demand->n_got > 0 &&
	       (!demand->owns || !demand->shares || !cpuset_is_empty(&demand->rest));
}

/* Below 0: @a has more at the highest priority where the two differ. */
static int placed_compare(const struct twice *twice, const struct outcome *a,
			  const struct outcome *b)
{
	const struct work *work = twice->work;
	int n_more = 0;

	for (uint32_t i = 0; i < twice->n; i++) {
		uint32_t d = work->sorted[twice->first + i];

		if (i > 0 && n_more != 0 &&
		    work->demands[work->sorted[twice->first + i - 1]].conf->priority !=
			    work->demands[d].conf->priority)
			break;
		n_more += b->placed[i] - a->placed[i];
	}
	return n_more;
}

/* Is the second one, made from scratch, worth the moves? */
static bool is_better(const struct twice *twice, const struct outcome *scratch,
		      const struct outcome *near)
{
	int order = placed_compare(twice, scratch, near);

	if (order != 0)
		return order < 0;
	return scratch->n_got == near->n_got && score_compare(&scratch->score, &near->score) < 0;
}

/* ---- outcomes ---- */

static int outcome_keep(const struct twice *twice, struct outcome *outcome)
{
	const struct work *work = twice->work;

	outcome->owners = arena_alloc(work->scratch,
				      twice->domain->n_pu * sizeof(*outcome->owners) + 1);
	outcome->demands = arena_alloc(work->scratch, (twice->n + 1) * sizeof(*outcome->demands));
	outcome->workloads = arena_alloc(work->scratch,
					 (twice->n + 1) * sizeof(*outcome->workloads));
	outcome->placed = arena_alloc(work->scratch, (twice->n + 1) * sizeof(*outcome->placed));
	if (!outcome->owners || !outcome->demands || !outcome->workloads || !outcome->placed)
		return -ENOMEM;
	outcome->n_capacity = work->n_capacity;
	for (uint32_t i = 0; i < twice->domain->n_pu; i++)
		outcome->owners[i] = work->grid.pus[twice->domain->first_pu + i].owner;
	for (uint32_t i = 0; i < twice->n; i++) {
		const struct demand *demand = demand_at(twice, i);

		outcome->demands[i] = *demand;
		outcome->workloads[i] = work->plan->workloads[demand->workload];
		outcome->placed[i] = is_placed(&work->demands[work->sorted[twice->first + i]]);
		outcome->n_got += demand->owns ? demand->n_got : 0;
	}
	return 0;
}

static int outcome_score(const struct twice *twice, struct outcome *outcome)
{
	int r = score_all(twice, &outcome->score);

	return r < 0 ? r : outcome_keep(twice, outcome);
}

/* Back to an outcome; what it had in the previous plan stays as it is. */
static void outcome_return(const struct twice *twice, const struct outcome *outcome)
{
	struct work *work = twice->work;

	for (uint32_t i = 0; i < twice->domain->n_pu; i++) {
		uint32_t pu = twice->domain->first_pu + i;

		if (work->grid.pus[pu].owner != OWNER_NOBODY &&
		    work->grid.pus[pu].owner != OWNER_HOUSEKEEPING)
			grid_give(work, pu);
	}
	work->n_picked = twice->mark;
	for (uint32_t i = 0; i < twice->n; i++) {
		struct demand *demand = demand_at(twice, i);
		const struct cpuset *previous = demand->previous;

		*demand = outcome->demands[i];
		demand->previous = previous;
		work->plan->workloads[demand->workload] = outcome->workloads[i];
	}
	for (uint32_t i = 0; i < twice->domain->n_pu; i++)
		if (outcome->owners[i] != OWNER_NOBODY && outcome->owners[i] != OWNER_HOUSEKEEPING)
			grid_take(work, twice->domain->first_pu + i, outcome->owners[i]);
	work->n_picked = twice->mark; /* nobody takes those back any more */
	work->n_capacity = outcome->n_capacity;
}

/* ---- once, and again ---- */

/* Who runs where nobody else does stays there in either case. */
static int plan_once(const struct twice *twice, bool keeps)
{
	struct work *work = twice->work;
	int r = count_domain(work, twice->at);

	return r < 0 ? r : place_domain(work, twice->at, keeps);
}

/* What a plan from scratch costs at least, for each PU and each workload: measured, and rather too
 * much, since it must not be late; a part of that is for bringing it nearer to what held. */
#define STEPS_EACH	24
#define STEPS_TO_SETTLE 8

static int settle(const struct twice *twice)
{
	struct work *work = twice->work;
	int64_t n_steps = work->n_steps;
	int r;

	work->n_picked = twice->mark;
	work->n_steps = ((int64_t)twice->domain->n_pu + twice->n) * STEPS_TO_SETTLE;
	r = settle_domain(work, twice->at);
	work->n_steps = n_steps;
	return r;
}

/* As if nothing had held. */
static int plan_scratch(const struct twice *twice, const struct outcome *nothing)
{
	struct work *work = twice->work;
	const struct plan *previous = work->previous;
	int64_t n_steps = work->n_steps;
	int r;

	for (uint32_t i = 0; i < twice->n; i++)
		grid_unhold(work, demand_at(twice, i));
	outcome_return(twice, nothing);
	for (uint32_t i = 0; i < twice->n; i++)
		demand_at(twice, i)->previous = NULL;
	work->previous = NULL;
	work->n_steps = work->n_steps_scratch;
	r = plan_once(twice, false);
	for (uint32_t i = 0; i < twice->n; i++)
		demand_at(twice, i)->previous = nothing->demands[i].previous;
	work->n_steps_scratch = work->n_steps;
	work->previous = previous;
	work->n_steps = n_steps;
	if (r == 0)
		r = settle(twice);
	return r < 0 ? r : unheld_domain(work, twice->at);
}

static bool has_time(const struct twice *twice)
{
	return twice->work->n_steps_scratch >
	       ((int64_t)twice->domain->n_pu + twice->n) * STEPS_EACH;
}

static bool all_placed(const struct twice *twice)
{
	for (uint32_t i = 0; i < twice->n; i++)
		if (!is_placed(demand_at(twice, i)))
			return false;
	return true;
}

/* Did anybody hold anything that keeping looks at? */
static bool has_previous(const struct twice *twice)
{
	bool any = false, owns = false;

	for (uint32_t i = 0; i < twice->n && !(any && owns); i++) {
		any |= demand_at(twice, i)->previous != NULL;
		owns |= demand_at(twice, i)->owns;
	}
	return any && owns;
}

int domain_plan(struct work *work, uint32_t domain)
{
	struct twice twice = {
		.work = work,
		.domain = &work->grid.domains[domain],
		.at = domain,
		.first = work->first_order[domain],
		.n = work->first_order[domain + 1] - work->first_order[domain],
		.mark = work->n_picked,
	};
	struct outcome nothing = { 0 }, near = { 0 }, scratch = { 0 };
	int r;

	if (!has_previous(&twice)) {
		int64_t n_steps = work->n_steps;

		work->n_steps = work->n_steps_scratch;
		r = plan_once(&twice, false);
		work->n_steps_scratch = work->n_steps;
		work->n_steps = n_steps;
		return r < 0 ? r : unheld_domain(work, domain);
	}
	twice.slots = arena_alloc(work->scratch, (twice.domain->n_pu + 1) * sizeof(*twice.slots));
	r = twice.slots ? outcome_keep(&twice, &nothing) : -ENOMEM;
	if (r == 0)
		r = plan_once(&twice, true);
	/* The search may have moved more than it won by. */
	if (r == 0 && !work->is_best)
		r = settle(&twice);
	if (r == 0)
		r = unheld_domain(work, domain);
	if (r < 0 || (work->is_best && all_placed(&twice)) || !has_time(&twice))
		return r;
	r = outcome_score(&twice, &near);
	if (r == 0)
		r = plan_scratch(&twice, &nothing);
	if (r == 0)
		r = outcome_score(&twice, &scratch);
	if (r == 0 && !is_better(&twice, &scratch, &near))
		outcome_return(&twice, &near);
	return r;
}

void domain_steps(struct work *work)
{
	int64_t n_steps = search_steps(work->snapshot);

	work->n_steps = n_steps / KEEP_PART;
	work->n_steps_scratch = n_steps - n_steps / KEEP_PART;
}
