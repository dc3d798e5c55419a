/* One round: snapshot → plan → steps; what held is handed to daemon_edition.c. */
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
		workload->regulated = regulation_value(daemon->regulation, i);
		workload->limit = world_limit_of(daemon->world, (uint32_t)i);
		workload->cpuset = world_cpuset_of(daemon->world, (uint32_t)i,
						   &workload->cpuset_path);
		workload->plugin_rounds_up = plugins_rounds_up(daemon->plugins, workload->conf);
	}
	*snapshot = (struct snapshot){
		.topology = daemon->topology,
		.allowed = &daemon->allowed,
		.housekeeping = &conf->housekeeping,
		.pools = (const struct pool *const *)conf->pools,
		.n_pools = conf->n_pools,
		.workloads = daemon->snapshot_workloads,
		.n_workloads = conf->n_workloads,
		.deadline_us = conf->deadline_us,
	};
	snapshot->limits = world_limits(daemon->world, &snapshot->n_limits);
	return 0;
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

void round_want(struct daemon *daemon)
{
	int enabled = SD_EVENT_OFF;

	if (daemon->settle_timer && sd_event_source_get_enabled(daemon->settle_timer, &enabled) > 0)
		return; /* the burst's first event started the clock */
	round_want_in(daemon, daemon->conf->settle_us);
}

void round_want_in(struct daemon *daemon, uint64_t delay_us)
{
	if (daemon_timer_arm(daemon, &daemon->settle_timer, delay_us, on_settled) < 0)
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
	if (daemon_timer_arm(daemon, &daemon->retry_timer, daemon->retry_us, on_retry) < 0)
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
	if (r < 0)
		return r;
	steps_drop_unpinned(plan, ret_steps);
	return own_unit_step(daemon, ret_steps);
}

/* 0: goes on in round_finished(); 1: nothing is to be done. */
static int steps_begin(struct daemon *daemon, const struct steps *steps)
{
	cleanup(restores_done) struct restores restores = { 0 };
	cleanup(freep) bool *looks = NULL;
	int r = restore_prepare(daemon, steps, &looks, &restores);

	if (r < 0)
		return r;
	if (steps->n_items == 0 && restores.n_items == 0)
		return 1;
	daemon->n_forgets_begun = daemon->n_forgets;
	return apply_begin(daemon->apply, &(struct apply_orders){ .steps = steps,
								  .looks = looks,
								  .restores = restores.items,
								  .n_restores = restores.n_items });
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
	if (!daemon->planner)
		daemon->planner = planner_new();
	r = daemon->planner ? planner_make(daemon->planner, &daemon->snapshot, daemon->edition.plan,
					   daemon->sys.now_us(&daemon->sys), &plan, &fault)
			    : fault_set(&fault, -ENOMEM, "no memory for a planner");
	if (r < 0)
		return round_soon_failed(&fault);
	daemon->round_is_known = world_is_known(daemon->world);
	r = steps_make(daemon, plan, &steps);
	if (r == 0) {
		daemon->pending = plan;
		r = steps_begin(daemon, &steps);
		if (r == 0)
			return; /* goes on in round_finished() */
		daemon->pending = NULL;
	}
	if (r == 1)
		restore_finished(daemon);
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
			 const struct step_outcome *outcome)
{
	struct held *held = held_find(daemon, step->place);

	if (!held) /* restore_prepare() has added it */
		return true;
	held->is_verified = false;
	if (outcome->error < 0)
		return outcome_failed(daemon, held, step, outcome);
	if (held_confirm(held, &step->cpus, &step->mems) < 0)
		return true;
	held->is_verified = daemon->n_forgets == daemon->n_forgets_begun;
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
	bool retry = false;

	for (size_t i = 0; i < n_steps; i++)
		if (outcome_take(daemon, &steps[i], &outcomes[i]))
			retry = true;
	helds_settle(daemon);
	if (!restore_finished(daemon))
		retry = true;
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
