/* --dry-run: the same orders in the same order, as words. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "apply/apply_internal.h"
#include "base/cleanup.h"

static const char *place_text(const struct place *place, char *buffer, size_t buffer_size)
{
	if (place->kind == PLACE_UNIT)
		snprintf(buffer, buffer_size, "unit '%s'", place->unit);
	else if (place->kind == PLACE_CGROUP)
		snprintf(buffer, buffer_size, "cgroup '%s'", place->cgroup);
	else
		snprintf(buffer, buffer_size, "process %d", (int)place->pid);
	return buffer;
}

/* As if it held. 0 or -ENOMEM. */
static int narrate_step(const struct apply *apply, const struct step *step,
			struct step_outcome *outcome)
{
	cleanup(freep) char *cpus = cpuset_format(&step->cpus);
	cleanup(freep) char *mems = nodeset_format(&step->mems);
	cleanup(freep) char *text = NULL;
	char place[APPLY_CGROUP_SIZE + 16];

	if (!cpus || !mems || cpuset_copy(&outcome->effective, &step->cpus) < 0)
		return -ENOMEM;
	if (asprintf(&text, "would %s %s to PUs %s%s%s",
		     step->phase == STEP_NARROW ? "narrow" : "widen",
		     place_text(step->place, place, sizeof(place)), cpus,
		     mems[0] ? ", its memory to NUMA nodes " : "", mems) < 0) {
		text = NULL;
		return -ENOMEM;
	}
	if (apply->narrate)
		apply->narrate(apply->listener.userdata, text);
	return 0;
}

void narrate_restore(const struct apply *apply, const struct restore *restore)
{
	cleanup(freep) char *text = NULL;
	char place[APPLY_CGROUP_SIZE + 16];

	if (asprintf(&text, "would give %s back PUs '%s'",
		     place_text(restore->place, place, sizeof(place)), restore->original) < 0) {
		text = NULL;
		return;
	}
	if (apply->narrate)
		apply->narrate(apply->listener.userdata, text);
}

int narrate_all(struct apply *apply)
{
	struct batch *batch = &apply->batch;

	/* Nothing is looked at: there is nothing to give back afterwards. */
	batch->has_looked = false;
	while (!batch_is_finished(batch)) {
		size_t i = batch_next(batch);
		int r = 0;

		if (batch->entries[i].phase == PHASE_RESTORE)
			narrate_restore(apply, &batch->restores[i - batch->n_steps]);
		else if (batch->entries[i].phase != PHASE_LOOK)
			r = narrate_step(apply, &batch->steps[i], &batch->outcomes[i]);
		if (r < 0)
			return r;
		batch_advance(batch, i);
	}
	return sd_event_source_set_enabled(apply->done, SD_EVENT_ONESHOT);
}
