/* The orders under way: what is in which phase, what may be sent next, and which widen steps have
 * to wait because somebody could not be driven from their PUs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "apply/apply_internal.h"
#include "base/cleanup.h"

bool is_gone(int error)
{
	return error == -ENOENT || error == -ESRCH || error == -ENODEV;
}

size_t batch_n_entries(const struct batch *batch)
{
	return batch->n_steps + batch->n_restores;
}

static void outcome_done(struct step_outcome *outcome)
{
	cpuset_done(&outcome->effective);
	free(outcome->original);
	free(outcome->text);
	*outcome = (struct step_outcome){ 0 };
}

void batch_done(struct batch *batch)
{
	for (size_t i = 0; batch->places && i < batch_n_entries(batch); i++) {
		free(batch->places[i].unit);
		free(batch->places[i].cgroup);
	}
	for (size_t i = 0; batch->outcomes && i < batch_n_entries(batch); i++)
		outcome_done(&batch->outcomes[i]);
	for (size_t i = 0; batch->steps && i < batch->n_steps; i++) {
		cpuset_done(&batch->steps[i].cpus);
		nodeset_done(&batch->steps[i].mems);
	}
	for (size_t i = 0; i < batch->n_restores; i++) {
		if (batch->restores)
			free((char *)batch->restores[i].original);
		if (batch->ours)
			cpuset_done(&batch->ours[i]);
		if (batch->our_mems)
			nodeset_done(&batch->our_mems[i]);
	}
	free(batch->places);
	free(batch->entries);
	free(batch->steps);
	free(batch->outcomes);
	free(batch->restores);
	free(batch->ours);
	free(batch->our_mems);
	free(batch->failed);
	*batch = (struct batch){ 0 };
}

static int place_copy(const struct place *place, struct place *copy)
{
	*copy = *place;
	copy->unit = place->unit ? strdup(place->unit) : NULL;
	copy->cgroup = place->cgroup ? strdup(place->cgroup) : NULL;
	return (place->unit && !copy->unit) || (place->cgroup && !copy->cgroup) ? -ENOMEM : 0;
}

static int step_copy(struct batch *batch, size_t i, const struct step *step, bool looks)
{
	batch->entries[i].phase = looks			       ? PHASE_LOOK
				  : step->phase == STEP_NARROW ? PHASE_NARROW
							       : PHASE_WIDEN;
	batch->steps[i].phase = step->phase;
	batch->steps[i].place = &batch->places[i];
	if (place_copy(step->place, &batch->places[i]) < 0 ||
	    cpuset_copy(&batch->steps[i].cpus, &step->cpus) < 0 ||
	    nodeset_copy(&batch->steps[i].mems, &step->mems) < 0)
		return -ENOMEM;
	return 0;
}

static int restore_copy(struct batch *batch, size_t k, const struct restore *restore)
{
	size_t i = batch->n_steps + k;

	batch->entries[i].phase = PHASE_RESTORE;
	batch->restores[k] = (struct restore){ .place = &batch->places[i],
					       .original = strdup(restore->original),
					       .ours = &batch->ours[k],
					       .our_mems = restore->our_mems ? &batch->our_mems[k]
									     : NULL };
	if (!batch->restores[k].original || place_copy(restore->place, &batch->places[i]) < 0 ||
	    cpuset_copy(&batch->ours[k], restore->ours) < 0)
		return -ENOMEM;
	return restore->our_mems ? nodeset_copy(&batch->our_mems[k], restore->our_mems) : 0;
}

static int batch_allocate(struct batch *batch)
{
	size_t n = batch_n_entries(batch) + 1;

	batch->places = calloc(n, sizeof(*batch->places));
	batch->entries = calloc(n, sizeof(*batch->entries));
	batch->outcomes = calloc(n, sizeof(*batch->outcomes));
	batch->failed = calloc(n, sizeof(*batch->failed));
	batch->steps = calloc(batch->n_steps + 1, sizeof(*batch->steps));
	batch->restores = calloc(batch->n_restores + 1, sizeof(*batch->restores));
	batch->ours = calloc(batch->n_restores + 1, sizeof(*batch->ours));
	batch->our_mems = calloc(batch->n_restores + 1, sizeof(*batch->our_mems));
	return batch->places && batch->entries && batch->outcomes && batch->failed &&
			       batch->steps && batch->restores && batch->ours && batch->our_mems
		       ? 0
		       : -ENOMEM;
}

int batch_init(struct batch *batch, const struct apply_orders *orders, uint64_t first_serial)
{
	int r;

	*batch = (struct batch){ .n_steps = orders->steps->n_items,
				 .n_restores = orders->n_restores,
				 .first_serial = first_serial };
	r = batch_allocate(batch);
	for (size_t i = 0; r == 0 && i < batch->n_steps; i++)
		r = step_copy(batch, i, &orders->steps->items[i],
			      orders->looks && orders->looks[i]);
	for (size_t k = 0; r == 0 && k < batch->n_restores; k++)
		r = restore_copy(batch, k, &orders->restores[k]);
	if (r < 0)
		return r;
	for (size_t i = 0; i < batch_n_entries(batch); i++)
		batch->n_left[batch->entries[i].phase]++;
	batch->has_looked = batch->n_left[PHASE_LOOK] > 0;
	return 0;
}

static enum batch_phase present_phase(const struct batch *batch)
{
	enum batch_phase phase = PHASE_LOOK;

	while (phase < PHASE_WIDEN && batch->n_left[phase] == 0)
		phase++;
	return phase;
}

bool batch_is_finished(const struct batch *batch)
{
	return present_phase(batch) == PHASE_WIDEN && batch->n_left[PHASE_WIDEN] == 0;
}

size_t batch_next(struct batch *batch)
{
	enum batch_phase phase = present_phase(batch);
	size_t *next = &batch->next[phase];

	while (*next < batch_n_entries(batch) &&
	       (batch->entries[*next].phase != phase || batch->entries[*next].state != ENTRY_WAITS))
		++*next;
	return *next;
}

void batch_advance(struct batch *batch, size_t i)
{
	struct entry *entry = &batch->entries[i];
	int error = batch->outcomes[i].error;

	batch->n_left[entry->phase]--;
	if (entry->phase == PHASE_LOOK && error == 0) {
		entry->phase = batch->steps[i].phase == STEP_NARROW ? PHASE_NARROW : PHASE_WIDEN;
		entry->state = ENTRY_WAITS;
		batch->n_left[entry->phase]++;
		return;
	}
	entry->state = ENTRY_DONE;
	if (error < 0 && !is_gone(error) &&
	    (entry->phase == PHASE_RESTORE || batch->steps[i].phase == STEP_NARROW))
		batch->failed[batch->n_failed++] = i;
}

void batch_fail(struct batch *batch, size_t i, int error, const char *text)
{
	batch->outcomes[i].error = error;
	batch->outcomes[i].text = strdup(text);
	batch_advance(batch, i);
}

static bool place_is(const struct place *a, const struct place *b)
{
	if (a->kind != b->kind)
		return false;
	if (a->kind == PLACE_UNIT)
		return strcmp(a->unit, b->unit) == 0;
	if (a->kind == PLACE_CGROUP)
		return a->cgroup_id == b->cgroup_id;
	return a->pid == b->pid && a->start_time == b->start_time;
}

/* May the place of entry @failed still run on PUs that step @i would use? Where it is not known
 * what a loser has: on any PU that it should not have. Who could not be given back has what was
 * ours. */
static bool failure_blocks(const struct batch *batch, size_t failed, size_t i)
{
	const struct cpuset *has = &batch->outcomes[failed].effective;

	if (place_is(&batch->places[failed], &batch->places[i]))
		return false;
	cpuset_foreach (pu_os, &batch->steps[i].cpus) {
		if (failed >= batch->n_steps) {
			if (cpuset_has(&batch->ours[failed - batch->n_steps], pu_os))
				return true;
		} else if (!cpuset_has(&batch->steps[failed].cpus, pu_os) &&
			   (cpuset_is_empty(has) || cpuset_has(has, pu_os))) {
			return true;
		}
	}
	return false;
}

bool batch_is_held_back(const struct batch *batch, size_t i)
{
	for (size_t k = 0; k < batch->n_failed; k++)
		if (failure_blocks(batch, batch->failed[k], i))
			return true;
	return false;
}
