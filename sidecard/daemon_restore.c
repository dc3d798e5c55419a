/* What was there before us. It is saved before the first write to a place, with the values that are
 * about to be written, so that a kill -9 at any moment leaves all that a next life needs to give it
 * back. A place that is no workload's any more gets it back at once, the others on the way out. */
#include "daemon_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "apply/apply_message.h"
#include "base/cleanup.h"
#include "base/events.h"
#include "base/log.h"
#include "sense/match.h"

/* All places together, on the way out: less than TimeoutStopSec= of the unit. */
#define RESTORE_TIMEOUT_MS 24000

/* ---- our own unit ---- */

/* A slice whose last unit with a cpuset goes has the controller switched off by PID 1, and the
 * first one to come switches it on again; before Linux 6.2 each of that makes the kernel forget the
 * threads' masks in the whole slice. So our own service has a cpuset for as long as it runs: all
 * PUs of the machine, which takes nothing from anybody. */
void own_unit_open(struct daemon *daemon)
{
	static const char suffix[] = ".service";
	char unit[UNIT_NAME_SIZE];
	size_t n;

	if (!daemon->options->use_bus || !daemon->mount.own ||
	    strcmp(daemon->options->machine, "live") != 0 ||
	    !unit_of_directory(daemon->mount.own, unit))
		return;
	n = strlen(unit);
	if (n < sizeof(suffix) || strcmp(unit + n - (sizeof(suffix) - 1), suffix) != 0)
		return; /* started by hand, in somebody's session */
	daemon->own_unit = (struct place){ .kind = PLACE_UNIT,
					   .workload = PLACE_NOBODY,
					   .unit = strdup(unit) };
}

/* One more step, where ConfineSystem= does not give it a place among the others. */
int own_unit_step(struct daemon *daemon, struct steps *steps)
{
	const struct held *held;
	/* It takes nothing from anybody, so nobody's failure holds it back. */
	struct step *items, step = { .phase = STEP_NARROW, .place = &daemon->own_unit };

	if (!daemon->own_unit.unit)
		return 0;
	held = held_find(daemon, &daemon->own_unit);
	if (held && (held->seen ||
		     (held->is_verified && cpuset_equal(&held->cpus, &daemon->topology->cpus))))
		return 0;
	items = realloc(steps->items, (steps->n_items + 1) * sizeof(*items));
	if (!items)
		return -ENOMEM;
	steps->items = items;
	if (cpuset_copy(&step.cpus, &daemon->topology->cpus) < 0)
		return -ENOMEM;
	items[steps->n_items++] = step;
	return 0;
}

/* ---- who leaves ---- */

static bool is_pinned(const struct daemon *daemon, const struct place *place)
{
	return place->kind != PLACE_PROCESS || place->workload >= daemon->conf->n_workloads ||
	       daemon->conf->workloads[place->workload]->pin != PIN_NONE;
}

/* Until the bus is there, a unit that does not run is nobody's place. */
static bool units_can_be_known(const struct daemon *daemon)
{
	return !daemon->options->use_bus || daemon->bus_is_given;
}

/* Does somebody live there who is nobody's any more? A unit that stopped keeps what it has for its
 * next start; only another configuration takes it away. */
static bool has_left(struct daemon *daemon, const struct held *held)
{
	uint64_t start_time;

	if (held->place.kind == PLACE_UNIT && !units_can_be_known(daemon))
		return false;
	if (held->place.kind != PLACE_PROCESS)
		return daemon->conf_is_new;
	return !registry_has(daemon, held->place.pid, held->place.start_time) &&
	       process_read(&daemon->sys, held->place.pid, &start_time, NULL) == 0 &&
	       start_time == held->place.start_time;
}

static bool is_forgotten(const struct held *held)
{
	return !held->seen && !held->leaves &&
	       (!held->original || held->place.kind == PLACE_PROCESS);
}

void helds_sweep(struct daemon *daemon, const struct place *places, size_t n_places)
{
	for (size_t i = 0; i < daemon->n_helds; i++)
		daemon->helds[i].seen = daemon->helds[i].leaves = false;
	for (size_t i = 0; i < n_places; i++) {
		struct held *held = held_find(daemon, &places[i]);

		if (held && is_pinned(daemon, &places[i])) {
			held->place.workload = places[i].workload;
			held->seen = true;
		}
	}
	/* While somebody is still asked who lives where, nobody has left. */
	daemon->sweep_waits = !world_is_known(daemon->world);
	if (daemon->sweep_waits)
		return;
	for (size_t i = 0; i < daemon->n_helds; i++) {
		struct held *held = &daemon->helds[i];

		if (daemon->own_unit.unit && held->place.kind == PLACE_UNIT &&
		    strcmp(held->place.unit, daemon->own_unit.unit) == 0)
			continue;
		if (held->seen)
			continue;
		held->place.workload = PLACE_NOBODY; /* the index may be another's by now */
		held->leaves = held->original && has_left(daemon, held);
	}
	daemon->conf_is_new = daemon->conf_is_new && !units_can_be_known(daemon);
	helds_drop(daemon, is_forgotten);
}

/* ---- restores ---- */

/* Is what was there before us what we have set anyway? A unit may have a drop-in of ours all the
 * same. */
static bool is_the_same(const struct held *held, const struct cpuset *cpus,
			const struct nodeset *mems)
{
	cleanup(original_done) struct original before = { 0 };

	return held->place.kind != PLACE_UNIT && original_parse(held->original, &before) == 0 &&
	       cpuset_equal(&before.cpus, cpus) &&
	       (nodeset_is_empty(mems) || nodeset_equal(&before.mems, mems));
}

static void restore_put(const struct held *held, const struct cpuset *cpus,
			const struct nodeset *mems, struct restores *restores)
{
	if (cpuset_is_empty(cpus) || is_the_same(held, cpus, mems))
		return;
	restores->items[restores->n_items++] = (struct restore){ .place = &held->place,
								 .original = held->original,
								 .ours = cpus,
								 .our_mems = nodeset_is_empty(mems)
										     ? NULL
										     : mems };
}

/* One restore for each value of ours that may stand in a place; of all places, or of those that
 * leave. Borrowed from the table. 0 or -ENOMEM. */
static int restores_make(struct daemon *daemon, bool only_leaving, struct restores *ret_restores)
{
	size_t n = 0;

	for (size_t i = 0; i < daemon->n_helds; i++)
		n += 1 + daemon->helds[i].n_maybe;
	*ret_restores = (struct restores){ .items = calloc(n + 1, sizeof(*ret_restores->items)) };
	if (!ret_restores->items)
		return -ENOMEM;
	for (size_t i = 0; i < daemon->n_helds; i++) {
		struct held *held = &daemon->helds[i];

		if (!held->original || (only_leaving && !held->leaves))
			continue;
		restore_put(held, &held->cpus, &held->mems, ret_restores);
		for (size_t k = 0; k < held->n_maybe; k++)
			restore_put(held, &held->maybe[k].cpus, &held->maybe[k].mems, ret_restores);
	}
	return 0;
}

void restores_done(struct restores *restores)
{
	free(restores->items);
	*restores = (struct restores){ 0 };
}

static void state_save(struct daemon *daemon)
{
	struct fault fault;

	if (registry_save(daemon, &fault) < 0)
		event_degraded(fault.text);
}

/* What has to be known before @steps may be written: @ret_looks (malloc'ed, one a step) says where
 * that is still to be found out; the rest is saved here. */
int restore_prepare(struct daemon *daemon, const struct steps *steps, bool **ret_looks,
		    struct restores *ret_restores)
{
	bool *looks = calloc(steps->n_items + 1, sizeof(*looks));
	bool any_look = false, any_news = false;

	if (!looks)
		return -ENOMEM;
	for (size_t i = 0; i < steps->n_items; i++) {
		const struct step *step = &steps->items[i];
		struct held *held = held_find(daemon, step->place);
		int r = held ? 0 : held_add(daemon, step->place, &held);

		if (r == 0)
			r = held_expect(held, &step->cpus, &step->mems);
		if (r < 0) {
			free(looks);
			return r;
		}
		any_news = any_news || r > 0;
		looks[i] = !held->original;
		any_look = any_look || looks[i];
	}
	*ret_looks = looks;
	/* Not before all are in the table: it moves while it grows. */
	if (restores_make(daemon, true, ret_restores) < 0) {
		free(looks);
		return -ENOMEM;
	}
	if (any_news && !any_look)
		state_save(daemon);
	return 0;
}

void restore_looked(void *userdata, const struct step *steps, const struct step_outcome *outcomes,
		    size_t n_steps)
{
	struct daemon *daemon = userdata;

	for (size_t i = 0; i < n_steps; i++) {
		struct held *held = held_find(daemon, steps[i].place);

		/* The first one: what a later step finds may be ours. */
		if (held && !held->original && outcomes[i].original)
			held->original = strdup(outcomes[i].original);
	}
	state_save(daemon);
}

void restore_done(void *userdata, const struct restore *restore, int error, const char *text)
{
	struct daemon *daemon = userdata;
	struct held *held = held_find(daemon, restore->place);

	if (!held || error == 0)
		return;
	held->leaves = false; /* it is tried again with the next round */
	daemon->conf_is_new = true;
	daemon->restore_failed = true;
	if (!text)
		text = strerror(-error);
	if (!held->failure || strcmp(held->failure, text) != 0) {
		event_place_failed("-", "a place that is no workload's any more", text);
		free(held->failure);
		held->failure = strdup(text);
	}
}

static bool is_given_back(const struct held *held)
{
	return held->leaves;
}

bool restore_finished(struct daemon *daemon)
{
	size_t n = daemon->n_helds;
	bool failed = daemon->restore_failed;

	daemon->restore_failed = false;
	helds_drop(daemon, is_given_back);
	if (daemon->n_helds < n) {
		event_restored(n - daemon->n_helds);
		state_save(daemon);
	}
	return !failed;
}

/* ---- the way out ---- */

void restore_all(struct daemon *daemon)
{
	struct restores restores;
	int r;

	if (restores_make(daemon, false, &restores) < 0) {
		log_line(LOG_ERR, "no memory to give places back");
		return;
	}
	if (restores.n_items > 0) {
		r = apply_restore(daemon->apply, restores.items, restores.n_items,
				  RESTORE_TIMEOUT_MS);
		if (r < 0)
			log_line(LOG_WARNING, "could not give back every place: %s", strerror(-r));
		else
			event_restored(restores.n_items);
		/* A next life finds the world as it was before this one. */
		for (size_t i = 0; r == 0 && i < daemon->n_helds; i++) {
			free(daemon->helds[i].original);
			daemon->helds[i].original = NULL;
		}
		state_save(daemon);
	}
	restores_done(&restores);
}
