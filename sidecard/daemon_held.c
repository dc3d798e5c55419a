/* The table of places that we have looked at or changed: what each has now, what it had before us,
 * and which values of ours may stand there. */
#include "daemon_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* By key, never by path or bare pid. */
static int place_compare(const struct place *a, const struct place *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	switch (a->kind) {
	case PLACE_UNIT:
		return strcmp(a->unit, b->unit);
	case PLACE_CGROUP:
		return a->cgroup_id < b->cgroup_id ? -1 : a->cgroup_id > b->cgroup_id;
	case PLACE_PROCESS:
		if (a->pid != b->pid)
			return a->pid < b->pid ? -1 : 1;
		return a->start_time < b->start_time ? -1 : a->start_time > b->start_time;
	}
	return 0;
}

/* The first one that is not before @place; helds are sorted. */
static size_t held_position(const struct daemon *daemon, const struct place *place)
{
	size_t low = 0, high = daemon->n_helds;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (place_compare(&daemon->helds[middle].place, place) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct held *held_find(struct daemon *daemon, const struct place *place)
{
	size_t i = held_position(daemon, place);

	return i < daemon->n_helds && place_compare(&daemon->helds[i].place, place) == 0
		       ? &daemon->helds[i]
		       : NULL;
}

static void held_settle(struct held *held)
{
	for (size_t i = 0; i < held->n_maybe; i++) {
		cpuset_done(&held->maybe[i].cpus);
		nodeset_done(&held->maybe[i].mems);
	}
	held->n_maybe = 0;
}

static void held_done(struct held *held)
{
	held_settle(held);
	free(held->maybe);
	free(held->place.unit);
	free(held->place.cgroup);
	cpuset_done(&held->cpus);
	nodeset_done(&held->mems);
	free(held->original);
	free(held->failure);
}

void helds_done(struct daemon *daemon)
{
	for (size_t i = 0; i < daemon->n_helds; i++)
		held_done(&daemon->helds[i]);
	free(daemon->helds);
	daemon->helds = NULL;
	daemon->n_helds = 0;
}

int held_add(struct daemon *daemon, const struct place *place, struct held **ret_held)
{
	struct held *helds = realloc(daemon->helds, (daemon->n_helds + 1) * sizeof(*helds));
	struct held held = { .place = *place };
	size_t position;

	if (!helds)
		return -ENOMEM;
	daemon->helds = helds;
	held.place.unit = place->unit ? strdup(place->unit) : NULL;
	held.place.cgroup = place->cgroup ? strdup(place->cgroup) : NULL;
	if ((place->unit && !held.place.unit) || (place->cgroup && !held.place.cgroup)) {
		held_done(&held);
		return -ENOMEM;
	}
	position = held_position(daemon, place);
	memmove(helds + position + 1, helds + position,
		(daemon->n_helds - position) * sizeof(*helds));
	helds[position] = held;
	daemon->n_helds++;
	*ret_held = &helds[position];
	return 0;
}

/* Somebody may have written: the applier is to look at every place again (it writes only what
 * differs). */
void helds_forget(struct daemon *daemon)
{
	daemon->n_forgets++;
	for (size_t i = 0; i < daemon->n_helds; i++)
		daemon->helds[i].is_verified = false;
}

static bool is_expected(const struct held *held, const struct cpuset *cpus,
			const struct nodeset *mems)
{
	if (cpuset_equal(&held->cpus, cpus) &&
	    (nodeset_is_empty(mems) || nodeset_equal(&held->mems, mems)))
		return true;
	for (size_t i = 0; i < held->n_maybe; i++)
		if (cpuset_equal(&held->maybe[i].cpus, cpus) &&
		    (nodeset_is_empty(mems) || nodeset_equal(&held->maybe[i].mems, mems)))
			return true;
	return false;
}

int held_expect(struct held *held, const struct cpuset *cpus, const struct nodeset *mems)
{
	struct ours *maybe, *ours;

	if (is_expected(held, cpus, mems))
		return 0;
	maybe = realloc(held->maybe, (held->n_maybe + 1) * sizeof(*maybe));
	if (!maybe)
		return -ENOMEM;
	held->maybe = maybe;
	ours = &maybe[held->n_maybe];
	*ours = (struct ours){ 0 };
	if (cpuset_copy(&ours->cpus, cpus) < 0 || nodeset_copy(&ours->mems, mems) < 0) {
		cpuset_done(&ours->cpus);
		return -ENOMEM;
	}
	held->n_maybe++;
	return 1;
}

int held_confirm(struct held *held, const struct cpuset *cpus, const struct nodeset *mems)
{
	free(held->failure);
	held->failure = NULL;
	/* What was asked for holds; the kernel's set may be smaller (an offline PU), and comparing
	 * with it would write again and again. A step that leaves memory alone does not take back
	 * what an earlier one set. */
	if (cpuset_copy(&held->cpus, cpus) < 0 ||
	    (!nodeset_is_empty(mems) && nodeset_copy(&held->mems, mems) < 0))
		return -ENOMEM;
	held->is_verified = true;
	return 0;
}

/* Nothing but the confirmed value can stand where the last write was read back. */
void helds_settle(struct daemon *daemon)
{
	for (size_t i = 0; i < daemon->n_helds; i++)
		if (daemon->helds[i].is_verified)
			held_settle(&daemon->helds[i]);
}

void helds_drop(struct daemon *daemon, bool (*is_dropped)(const struct held *held))
{
	size_t n_kept = 0;

	for (size_t i = 0; i < daemon->n_helds; i++)
		if (is_dropped(&daemon->helds[i]))
			held_done(&daemon->helds[i]);
		else
			daemon->helds[n_kept++] = daemon->helds[i];
	daemon->n_helds = n_kept;
}
