/* From what places have to what they should have, so that at no instant two exclusive workloads
 * share a PU.
 *
 * While steps are under way a place may use what it has kept and what nobody else has now. A place
 * that has nothing in common with its new set waits, until all have narrowed, on that part of the
 * new set which no exclusive workload has any more or yet; else on PUs that are nobody's; only
 * where there is no such PU at all does it go straight to the new set. */
#include "plan/plan_diff.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"

/* Who has a PU now, as far as known: index of an exclusive workload. */
#define HAS_NOBODY  UINT32_MAX
#define HAS_SEVERAL (UINT32_MAX - 1)

struct diff {
	const struct plan *plan;
	struct cpuset system;  /* for whom no PUs are planned: all that are not exclusive */
	uint32_t *has;	       /* a PU: who has it now; n_has */
	struct cpuset perhaps; /* what those have now who share some of theirs: which of it is their
				  own is not known */
	uint32_t n_has;
	struct steps steps;
	size_t n_room; /* steps.items */
};

static const struct plan_workload *workload_of(const struct diff *diff, const struct place *place)
{
	return place->workload < diff->plan->n_workloads ? &diff->plan->workloads[place->workload]
							 : NULL;
}

/* A workload that is not placed runs like everything that matches none. */
static const struct cpuset *target_of(const struct diff *diff, const struct place *place)
{
	const struct plan_workload *workload = workload_of(diff, place);

	return workload && workload->placed ? &workload->cpus : &diff->system;
}

/* Memory follows only where it costs no running process a stall: before the first process is there,
 * or with Migrate=yes. What Memory=preferred asks for is what the kernel does by itself on the PUs'
 * own nodes; a nodeset would make it strict. */
static const struct nodeset *mems_of(const struct diff *diff, const struct place *place)
{
	static const struct nodeset none;
	const struct plan_workload *workload = workload_of(diff, place);
	bool starts = place->kind != PLACE_PROCESS && place->cgroup_id == 0;

	if (!workload || !workload->placed || workload->conf->memory == MEMORY_NONE)
		return &none;
	if (workload->conf->migrate || (starts && workload->conf->memory != MEMORY_PREFERRED))
		return &workload->mems;
	return &none;
}

static bool is_exclusive(const struct diff *diff, const struct place *place)
{
	const struct plan_workload *workload = workload_of(diff, place);

	return workload && workload->conf->exclusive;
}

/* Exclusive=2: some of its PUs are its own. */
static bool is_mixed(const struct diff *diff, const struct place *place)
{
	const struct plan_workload *workload = workload_of(diff, place);

	return workload && workload->conf->n_exclusive > 0;
}

/* ---- who has what now ---- */

static int has_fill(struct diff *diff, const struct place *places, size_t n_places,
		    const struct cpuset *held)
{
	for (size_t i = 0; i < n_places; i++)
		if (!cpuset_is_empty(&held[i]) && cpuset_last(&held[i]) >= diff->n_has)
			diff->n_has = cpuset_last(&held[i]) + 1;
	diff->has = malloc((diff->n_has + 1) * sizeof(*diff->has));
	if (!diff->has)
		return -ENOMEM;
	for (uint32_t i = 0; i < diff->n_has; i++)
		diff->has[i] = HAS_NOBODY;
	for (size_t i = 0; i < n_places; i++) {
		if (is_mixed(diff, &places[i]) && cpuset_union(&diff->perhaps, &held[i]) < 0)
			return -ENOMEM;
		if (!is_exclusive(diff, &places[i]))
			continue;
		cpuset_foreach (pu_os, &held[i]) {
			uint32_t *has = &diff->has[pu_os];

			*has = *has == HAS_NOBODY || *has == places[i].workload ? places[i].workload
										: HAS_SEVERAL;
		}
	}
	return 0;
}

/* Takes away what another exclusive workload has now. */
static void remove_busy(const struct diff *diff, const struct place *place, struct cpuset *cpus)
{
	for (uint32_t pu_os = cpuset_first(cpus); pu_os != SET_END;
	     pu_os = cpuset_next(cpus, pu_os))
		if (pu_os < diff->n_has && diff->has[pu_os] != HAS_NOBODY &&
		    diff->has[pu_os] != place->workload)
			cpuset_remove(cpus, pu_os);
}

/* ---- steps ---- */

static int step_add(struct diff *diff, enum step_phase phase, const struct place *place,
		    const struct cpuset *cpus)
{
	struct step *step;

	if (diff->steps.n_items == diff->n_room) {
		size_t n_room = diff->n_room ? diff->n_room * 2 : 8;
		struct step *items = realloc(diff->steps.items, n_room * sizeof(*items));

		if (!items)
			return -ENOMEM;
		diff->steps.items = items;
		diff->n_room = n_room;
	}
	step = &diff->steps.items[diff->steps.n_items];
	*step = (struct step){ .phase = phase, .place = place };
	if (cpuset_copy(&step->cpus, cpus) < 0)
		return -ENOMEM;
	diff->steps.n_items++;
	/* Memory comes with the step that sets the PUs for good. */
	if (cpuset_equal(cpus, target_of(diff, place)))
		return nodeset_copy(&step->mems, mems_of(diff, place));
	return 0;
}

/* That part of @cpus which nobody has, or at least no exclusive workload. */
static int wait_on(const struct diff *diff, const struct place *place, const struct cpuset *cpus,
		   bool perhaps, struct cpuset *ret_cpus)
{
	int r = cpuset_copy(ret_cpus, cpus);

	if (r < 0)
		return r;
	remove_busy(diff, place, ret_cpus);
	if (!perhaps)
		cpuset_subtract(ret_cpus, &diff->perhaps);
	return cpuset_is_empty(ret_cpus) ? 0 : 1;
}

/* Where a place is between the two phases. */
static int narrow_to(const struct diff *diff, const struct place *place, const struct cpuset *held,
		     struct cpuset *ret_cpus)
{
	const struct cpuset *target = target_of(diff, place);
	int r = cpuset_copy(ret_cpus, target);

	if (r < 0)
		return r;
	cpuset_intersect(ret_cpus, held);
	if (!cpuset_is_empty(ret_cpus))
		return 0;
	r = 0;
	for (unsigned pass = 0; pass < 2 && r == 0; pass++) {
		r = wait_on(diff, place, target, pass > 0, ret_cpus);
		if (r == 0)
			r = wait_on(diff, place, &diff->system, pass > 0, ret_cpus);
	}
	if (r == 0)
		r = cpuset_copy(ret_cpus, target);
	return r < 0 ? r : 0;
}

/* Both phases of one place at once; the widening steps are sorted behind afterwards. */
static int place_diff(struct diff *diff, const struct place *place, const struct cpuset *held)
{
	const struct cpuset *target = target_of(diff, place);
	cleanup(cpuset_done) struct cpuset between = { 0 };
	int r = 0;

	if (cpuset_is_empty(target) || cpuset_equal(target, held))
		return 0;
	if (!cpuset_is_empty(held) && cpuset_is_subset(held, target))
		return step_add(diff, STEP_WIDEN, place, target);
	r = narrow_to(diff, place, held, &between);
	if (r == 0)
		r = step_add(diff, STEP_NARROW, place, &between);
	if (r == 0 && !cpuset_equal(&between, target))
		r = step_add(diff, STEP_WIDEN, place, target);
	return r;
}

static int narrow_first(struct steps *steps)
{
	struct step *items = calloc(steps->n_items + 1, sizeof(*items));
	size_t n = 0;

	if (!items)
		return -ENOMEM;
	for (enum step_phase phase = STEP_NARROW; phase <= STEP_WIDEN; phase++)
		for (size_t i = 0; i < steps->n_items; i++)
			if (steps->items[i].phase == phase)
				items[n++] = steps->items[i];
	free(steps->items);
	steps->items = items;
	return 0;
}

int plan_diff(const struct plan *plan, const struct place *places, size_t n_places,
	      const struct cpuset *held, struct steps *ret_steps)
{
	struct diff diff = { .plan = plan };
	int r = cpuset_copy(&diff.system, &plan->cpus);

	if (r == 0) {
		cpuset_subtract(&diff.system, &plan->exclusive);
		r = has_fill(&diff, places, n_places, held);
	}
	for (size_t i = 0; i < n_places && r == 0; i++)
		r = place_diff(&diff, &places[i], &held[i]);
	if (r == 0)
		r = narrow_first(&diff.steps);
	cpuset_done(&diff.system);
	cpuset_done(&diff.perhaps);
	free(diff.has);
	if (r < 0) {
		steps_done(&diff.steps);
		return r;
	}
	*ret_steps = diff.steps;
	return 0;
}

void steps_done(struct steps *steps)
{
	for (size_t i = 0; i < steps->n_items; i++) {
		cpuset_done(&steps->items[i].cpus);
		nodeset_done(&steps->items[i].mems);
	}
	free(steps->items);
	*steps = (struct steps){ 0 };
}
