/* One round: snapshot → plan → steps → publication. A quota change takes the short way: no PU
 * moves, so it is published at once. */
#include "daemon_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/events.h"
#include "base/log.h"

/* A place that did not hold is tried again after this, doubling up to the second figure: drift is
 * an event, never a storm. */
#define RETRY_FIRST_US (1 * UINT64_C(1000000))
#define RETRY_LAST_US  (60 * UINT64_C(1000000))

static void round_soon_failed(const struct fault *fault)
{
	log_line(LOG_ERR, "%s, keeping the previous plan", fault->text);
}

/* ---- snapshot ---- */

int round_snapshot(struct daemon *daemon)
{
	const struct conf *conf = daemon->conf;
	const struct cpuset *allowed = world_allowed(daemon->world);
	struct snapshot *snapshot = &daemon->snapshot;
	int r;

	r = cpuset_copy(&daemon->allowed, &daemon->topology->cpus);
	if (r < 0)
		return r;
	/* A machine that is not this one (--machine) has PUs of its own. */
	if (allowed && strcmp(daemon->options->machine, "live") == 0)
		cpuset_intersect(&daemon->allowed, allowed);
	if (cpuset_is_empty(&daemon->allowed)) {
		r = cpuset_copy(&daemon->allowed, &daemon->topology->cpus);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < conf->n_workloads; i++) {
		struct snapshot_workload *workload = &daemon->snapshot_workloads[i];

		workload->conf = conf->workloads[i];
		workload->limit = world_limit_of(daemon->world, (uint32_t)i);
		workload->cpuset = world_cpuset_of(daemon->world, (uint32_t)i,
						   &workload->cpuset_path);
		workload->plugin_rounds_up = daemon->plugins[i] &&
					     plugin_rounds_up(daemon->plugins[i]);
	}
	*snapshot = (struct snapshot){
		.topology = daemon->topology,
		.allowed = &daemon->allowed,
		.housekeeping = &conf->housekeeping,
		.pools = (const struct pool *const *)conf->pools,
		.n_pools = conf->n_pools,
		.workloads = daemon->snapshot_workloads,
		.n_workloads = conf->n_workloads,
	};
	snapshot->limits = world_limits(daemon->world, &snapshot->n_limits);
	return 0;
}

/* ---- what places have now ---- */

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

static void held_done(struct held *held)
{
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
void round_forget_held(struct daemon *daemon)
{
	for (size_t i = 0; i < daemon->n_helds; i++)
		daemon->helds[i].is_verified = false;
}

/* Drops what is no place any more. An inactive unit stays a place, so a unit that merely stopped
 * keeps its original. */
static void helds_sweep(struct daemon *daemon, const struct place *places, size_t n_places)
{
	size_t n_kept = 0;

	for (size_t i = 0; i < daemon->n_helds; i++)
		daemon->helds[i].seen = false;
	for (size_t i = 0; i < n_places; i++) {
		struct held *held = held_find(daemon, &places[i]);

		if (held)
			held->seen = true;
	}
	for (size_t i = 0; i < daemon->n_helds; i++) {
		struct held *held = &daemon->helds[i];

		/* A unit that is not ours any more (its workload file went) still gets its original
		 * back at the end. */
		if (held->seen || (held->original && held->place.kind != PLACE_PROCESS))
			daemon->helds[n_kept++] = *held;
		else
			held_done(held);
	}
	daemon->n_helds = n_kept;
}

/* ---- publication ---- */

void edition_done(struct edition *edition)
{
	for (size_t i = 0; edition->plan && i < edition->plan->n_workloads; i++)
		strings_done(&edition->environments[i]);
	free(edition->environments);
	free(edition->generations);
	plan_free(edition->plan);
	*edition = (struct edition){ 0 };
}

static int environment_make(struct daemon *daemon, size_t i, const struct plan_workload *workload,
			    struct strings *ret_environment)
{
	struct strings environment = { 0 };
	struct fault fault;
	int r = 0;

	/* Mode=steer: a variable would switch the runtime's own tracking off. */
	if (daemon->plugins[i] && workload->placed &&
	    workload->conf->publish_mode == PUBLISH_FIXED) {
		r = plugin_environment(daemon->plugins[i], workload, &environment, &fault);
		if (r < 0) /* a plugin that fails costs its variables, nothing else */
			event_degraded(fault.text);
	}
	for (size_t k = 0; k < workload->conf->environment.n_items; k++) {
		r = strings_add(&environment, workload->conf->environment.items[k]);
		if (r < 0) {
			strings_done(&environment);
			return r;
		}
	}
	strings_done(ret_environment);
	*ret_environment = environment;
	return 0;
}

void round_environments(void *userdata)
{
	struct daemon *daemon = userdata;
	struct edition *edition = &daemon->edition;

	for (size_t i = 0; i < edition->plan->n_workloads; i++)
		if (daemon->changed[i] && environment_make(daemon, i, &edition->plan->workloads[i],
							   &edition->environments[i]) < 0)
			event_degraded("no memory for an environment");
}

static void tell_change(const struct plan_workload *workload, uint64_t generation)
{
	cleanup(freep) char *pus = cpuset_format(&workload->cpus);
	cleanup(freep) char *limited_by = plan_limited_by_text(workload);

	if (!workload->placed)
		event_unplaced(workload->conf->name,
			       workload->reason ? workload->reason : "no reason");
	else
		event_plan_changed(workload->conf->name, pus ? pus : "?",
				   workload->parallelism.advised, limited_by ? limited_by : "?",
				   generation);
}

static void publish_now(struct daemon *daemon, bool same_workloads)
{
	struct edition *edition = &daemon->edition;
	struct fault fault;

	daemon->view = (struct publish_view){
		.plan = edition->plan,
		.snapshot = &daemon->snapshot,
		.generation = daemon->generation,
		.generations = edition->generations,
		.environments = edition->environments,
		.same_workloads = same_workloads,
	};
	if (publish_update(daemon->publish, &daemon->view, daemon->changed, &fault) < 0)
		event_degraded(fault.text);
}

/* The new edition out of @plan (taken over): numbers that did not change keep their generation. */
static int edition_make(struct daemon *daemon, struct plan *plan, struct edition *ret_edition,
			size_t *ret_n_changed)
{
	const struct plan *old = daemon->edition.plan;
	struct edition edition = { .plan = plan };
	size_t n = plan->n_workloads, n_changed = 0;

	edition.generations = calloc(n + 1, sizeof(*edition.generations));
	edition.environments = calloc(n + 1, sizeof(*edition.environments));
	if (!edition.generations || !edition.environments) {
		edition_done(&edition);
		return -ENOMEM;
	}
	for (size_t i = 0, k = 0; i < n; i++) {
		const struct plan_workload *workload = &plan->workloads[i];
		int order = 1;

		/* Both are sorted by name. */
		while (old && k < old->n_workloads &&
		       (order = strcmp(old->workloads[k].conf->name, workload->conf->name)) < 0)
			k++;
		daemon->changed[i] = !(old && k < old->n_workloads && order == 0 &&
				       plan_workload_same_answer(&old->workloads[k], workload));
		if (!daemon->changed[i]) {
			edition.generations[i] = daemon->edition.generations[k];
			edition.environments[i] = daemon->edition.environments[k];
			daemon->edition.environments[k] = (struct strings){ 0 };
			continue;
		}
		n_changed++;
	}
	*ret_edition = edition;
	*ret_n_changed = n_changed;
	return 0;
}

static bool names_equal(const struct plan *a, const struct plan *b)
{
	if (!a || a->n_workloads != b->n_workloads)
		return false;
	for (size_t i = 0; i < a->n_workloads; i++)
		if (strcmp(a->workloads[i].conf->name, b->workloads[i].conf->name) != 0)
			return false;
	return true;
}

/* @plan holds (it was applied and read back, or moves nothing): everybody may know. Takes it over.
 */
static void edition_publish(struct daemon *daemon, struct plan *plan)
{
	struct edition edition;
	size_t n_changed;
	bool same_names = names_equal(daemon->edition.plan, plan);

	/* Quotas may have moved while the steps were under way. */
	plan_reshare(plan, &daemon->snapshot, LIMIT_NONE, NULL);
	if (edition_make(daemon, plan, &edition, &n_changed) < 0) {
		log_line(LOG_ERR, "no memory for a new edition, keeping the previous plan");
		plan_free(plan);
		return;
	}
	if (n_changed > 0 || !same_names)
		daemon->generation++;
	edition.plan->generation = daemon->generation;
	for (size_t i = 0; i < plan->n_workloads; i++) {
		if (!daemon->changed[i])
			continue;
		edition.generations[i] = daemon->generation;
		tell_change(&plan->workloads[i], daemon->generation);
	}
	{
		struct edition old = daemon->edition;

		daemon->edition = edition;
		if (n_changed > 0 || !same_names || !daemon->started)
			publish_now(daemon, same_names && daemon->started);
		else
			daemon->view.plan = edition.plan,
			daemon->view.generations = edition.generations,
			daemon->view.environments = edition.environments;
		edition_done(&old);
	}
	daemon->retired_conf = conf_free(daemon->retired_conf);
	if (!daemon->started)
		daemon_started(daemon);
	/* Units that are ordered after us begin in their place only where PID 1 has told of them
	 * and been told. */
	if (!daemon->is_ready && daemon->round_is_known)
		daemon_ready(daemon);
}

/* ---- the short way ---- */

/* An exclusive workload without Max= is as large as its quota: its PUs move with it. */
static bool plan_follows_quota(const struct conf *conf)
{
	for (size_t i = 0; i < conf->n_workloads; i++)
		if (conf->workloads[i]->exclusive &&
		    conf->workloads[i]->max_pu == WORKLOAD_MAX_UNSET)
			return true;
	return false;
}

static void reshare(struct daemon *daemon, uint32_t limit)
{
	struct edition *edition = &daemon->edition;
	int n_changed;

	memset(daemon->changed, 0, daemon->conf->n_workloads * sizeof(*daemon->changed));
	n_changed = plan_reshare(edition->plan, &daemon->snapshot, limit, daemon->changed);
	if (n_changed <= 0)
		return;
	daemon->generation++;
	edition->plan->generation = daemon->generation;
	for (size_t i = 0; i < edition->plan->n_workloads; i++) {
		if (!daemon->changed[i])
			continue;
		edition->generations[i] = daemon->generation;
	}
	publish_now(daemon, true);
	for (size_t i = 0; i < edition->plan->n_workloads; i++)
		if (daemon->changed[i])
			tell_change(&edition->plan->workloads[i], daemon->generation);
}

/* While a plan of another configuration is being applied the published one has other workloads; the
 * pending one is shared anew when it is out. */
static bool edition_is_current(const struct daemon *daemon)
{
	return daemon->edition.plan && !daemon->retired_conf;
}

void round_quota_changed(struct daemon *daemon, uint32_t limit)
{
	if (edition_is_current(daemon))
		reshare(daemon, limit);
	if (plan_follows_quota(daemon->conf))
		round_want(daemon);
}

/* Cgroups came or went, so limits have new numbers and workloads other limits: what is published
 * follows at once, the places within the next round. */
void round_places_changed(struct daemon *daemon)
{
	if (round_snapshot(daemon) == 0 && edition_is_current(daemon))
		reshare(daemon, LIMIT_NONE);
}

/* ---- the whole way ---- */

static int on_settled(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct daemon *daemon = userdata;

	(void)source;
	(void)usec;
	round_begin(daemon);
	return 0;
}

static int timer_arm(struct daemon *daemon, sd_event_source **timer, uint64_t delay_us,
		     sd_event_time_handler_t handler)
{
	int r;

	if (*timer) {
		r = sd_event_source_set_time_relative(*timer, delay_us);
		return r < 0 ? r : sd_event_source_set_enabled(*timer, SD_EVENT_ONESHOT);
	}
	return sd_event_add_time_relative(daemon->event, timer, CLOCK_MONOTONIC, delay_us, 0,
					  handler, daemon);
}

void round_want(struct daemon *daemon)
{
	int enabled = SD_EVENT_OFF;

	if (daemon->settle_timer && sd_event_source_get_enabled(daemon->settle_timer, &enabled) > 0)
		return; /* the burst's first event started the clock */
	if (timer_arm(daemon, &daemon->settle_timer, daemon->conf->settle_us, on_settled) < 0)
		round_begin(daemon);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct daemon *daemon = userdata;

	(void)source;
	(void)usec;
	round_begin(daemon);
	return 0;
}

static void retry_later(struct daemon *daemon)
{
	daemon->retry_us = daemon->retry_us ? daemon->retry_us * 2 : RETRY_FIRST_US;
	if (daemon->retry_us > RETRY_LAST_US)
		daemon->retry_us = RETRY_LAST_US;
	if (timer_arm(daemon, &daemon->retry_timer, daemon->retry_us, on_retry) < 0)
		log_line(LOG_ERR, "no timer for another try");
}

/* Pin=none: the number is published, the threads run where they like. */
static void steps_drop_unpinned(const struct plan *plan, struct steps *steps)
{
	size_t n_kept = 0;

	for (size_t i = 0; i < steps->n_items; i++) {
		const struct place *place = steps->items[i].place;

		if (place->kind == PLACE_PROCESS && place->workload < plan->n_workloads &&
		    plan->workloads[place->workload].conf->pin == PIN_NONE) {
			cpuset_done(&steps->items[i].cpus);
			nodeset_done(&steps->items[i].mems);
		} else {
			steps->items[n_kept++] = steps->items[i];
		}
	}
	steps->n_items = n_kept;
}

static int steps_make(struct daemon *daemon, const struct plan *plan, struct steps *ret_steps)
{
	size_t n_places;
	const struct place *places = world_places(daemon->world, &n_places);
	struct cpuset *held_cpus;
	int r;

	helds_sweep(daemon, places, n_places);
	held_cpus = realloc(daemon->held_cpus, (n_places + 1) * sizeof(*held_cpus));
	if (!held_cpus)
		return -ENOMEM;
	daemon->held_cpus = held_cpus;
	for (size_t i = 0; i < n_places; i++) {
		const struct held *held = held_find(daemon, &places[i]);

		/* A loan: plan_diff() only reads. */
		held_cpus[i] = held && held->is_verified ? held->cpus : (struct cpuset){ 0 };
	}
	r = plan_diff(plan, places, n_places, held_cpus, ret_steps);
	if (r == 0)
		steps_drop_unpinned(plan, ret_steps);
	return r;
}

void round_begin(struct daemon *daemon)
{
	cleanup(steps_done) struct steps steps = { 0 };
	struct plan *plan = NULL;
	struct fault fault;
	int r;

	if (daemon->pending || apply_is_busy(daemon->apply)) {
		daemon->round_wanted = true;
		return;
	}
	daemon->round_wanted = false;
	if (daemon->next_conf)
		daemon_adopt_next_conf(daemon);
	r = round_snapshot(daemon);
	if (r < 0) {
		fault_set(&fault, r, "no memory for a snapshot");
		return round_soon_failed(&fault);
	}
	r = plan_make(&daemon->snapshot, daemon->edition.plan, daemon->sys.now_us(&daemon->sys),
		      &plan, &fault);
	if (r < 0)
		return round_soon_failed(&fault);
	daemon->round_is_known = world_is_known(daemon->world);
	r = steps_make(daemon, plan, &steps);
	if (r == 0 && steps.n_items > 0) {
		daemon->pending = plan;
		r = apply_steps(daemon->apply, &steps);
		if (r == 0)
			return; /* goes on in round_finished() */
		daemon->pending = NULL;
	}
	if (r < 0)
		log_line(LOG_ERR, "cannot apply the plan: %s, publishing it all the same",
			 strerror(-r));
	edition_publish(daemon, plan);
}

static const char *place_text(const struct place *place, char *buffer, size_t buffer_size)
{
	if (place->kind == PLACE_UNIT)
		snprintf(buffer, buffer_size, "unit '%s'", place->unit);
	else if (place->kind == PLACE_CGROUP)
		snprintf(buffer, buffer_size, "cgroup '%s'", place->cgroup);
	else
		snprintf(buffer, buffer_size, "process %lld", (long long)place->pid);
	return buffer;
}

/* Says a failure once per text. True where another try makes sense. */
static bool outcome_failed(struct daemon *daemon, struct held *held, const struct step *step,
			   const struct step_outcome *outcome)
{
	const char *text = outcome->text ? outcome->text : strerror(-outcome->error);
	const char *workload = "-";
	char place[512];

	if (outcome->error == -ENOENT || outcome->error == -ESRCH || outcome->error == -ENODEV)
		return false; /* gone: sense will say so */
	if (step->place->workload < daemon->conf->n_workloads)
		workload = daemon->conf->workloads[step->place->workload]->name;
	if (!held->failure || strcmp(held->failure, text) != 0) {
		event_place_failed(workload, place_text(step->place, place, sizeof(place)), text);
		free(held->failure);
		held->failure = strdup(text);
	}
	return true;
}

static bool outcome_take(struct daemon *daemon, const struct step *step,
			 const struct step_outcome *outcome, bool *ret_state_changed)
{
	struct held *held = held_find(daemon, step->place);

	if (!held && held_add(daemon, step->place, &held) < 0)
		return true;
	held->is_verified = false;
	if (outcome->original && !held->original && outcome->written) {
		held->original = strdup(outcome->original);
		*ret_state_changed = true;
	}
	if (outcome->error < 0)
		return outcome_failed(daemon, held, step, outcome);
	free(held->failure);
	held->failure = NULL;
	/* What was asked for holds; the kernel's set may be smaller (an offline PU), and comparing
	 * with it would write again and again. */
	if (outcome->written)
		*ret_state_changed = true;
	/* A step that leaves memory alone does not take back what an earlier one set. */
	if (cpuset_copy(&held->cpus, &step->cpus) < 0 ||
	    (!nodeset_is_empty(&step->mems) && nodeset_copy(&held->mems, &step->mems) < 0))
		return true;
	held->is_verified = true;
	return false;
}

/* Before Linux 6.2 a write to a cpuset makes the kernel forget the masks of every thread below it
 * (kernel/cgroup/cpuset.c, update_tasks_cpumask): what we bound by affinity is to be looked at
 * again. Right masks are not written. */
static bool forget_processes(struct daemon *daemon, const struct step *steps,
			     const struct step_outcome *outcomes, size_t n_steps)
{
	bool any = false;

	for (size_t i = 0; i < n_steps && !any; i++)
		any = steps[i].place->kind != PLACE_PROCESS && outcomes[i].written;
	if (!any)
		return false;
	any = false;
	for (size_t i = 0; i < daemon->n_helds; i++)
		if (daemon->helds[i].place.kind == PLACE_PROCESS) {
			daemon->helds[i].is_verified = false;
			any = true;
		}
	return any;
}

void round_finished(void *userdata, const struct step *steps, const struct step_outcome *outcomes,
		    size_t n_steps)
{
	struct daemon *daemon = userdata;
	struct plan *plan = TAKE_PTR(daemon->pending);
	bool retry = false, state_changed = false;
	struct fault fault;

	for (size_t i = 0; i < n_steps; i++)
		if (outcome_take(daemon, &steps[i], &outcomes[i], &state_changed))
			retry = true;
	if (state_changed && registry_save(daemon, &fault) < 0)
		event_degraded(fault.text);
	if (plan)
		edition_publish(daemon, plan);
	if (retry)
		retry_later(daemon);
	else
		daemon->retry_us = 0;
	if (forget_processes(daemon, steps, outcomes, n_steps) || daemon->round_wanted ||
	    daemon->next_conf)
		round_want(daemon);
}

/* ---- the way out ---- */

#define RESTORE_TIMEOUT_MS 5000

void round_restore(struct daemon *daemon)
{
	struct restore *restores = calloc(daemon->n_helds + 1, sizeof(*restores));
	struct fault fault;
	size_t n = 0;

	for (size_t i = 0; restores && i < daemon->n_helds; i++) {
		const struct held *held = &daemon->helds[i];

		if (held->original && !cpuset_is_empty(&held->cpus))
			restores[n++] = (struct restore){
				.place = &held->place,
				.original = held->original,
				.ours = &held->cpus,
				.our_mems = nodeset_is_empty(&held->mems) ? NULL : &held->mems,
			};
	}
	if (n > 0) {
		int r = apply_restore(daemon->apply, restores, n, RESTORE_TIMEOUT_MS);

		if (r < 0)
			log_line(LOG_WARNING, "could not give back every place: %s", strerror(-r));
		else
			event_restored(n);
		/* A next life finds the world as it was before this one. */
		for (size_t i = 0; r == 0 && i < daemon->n_helds; i++) {
			free(daemon->helds[i].original);
			daemon->helds[i].original = NULL;
		}
		if (registry_save(daemon, &fault) < 0)
			event_degraded(fault.text);
	}
	free(restores);
}
