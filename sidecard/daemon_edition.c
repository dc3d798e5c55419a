/* What is published: an edition is a plan that holds, and what belongs to each of its workloads. A
 * quota change takes the short way: no PU moves, so its numbers go out at once; env files and the
 * journal follow a moment later, many changes at a time. */
#include "daemon_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/events.h"
#include "base/log.h"

/* Env files and journal lines wait this long for more of the same burst; whoever wrote the quota
 * goes on meanwhile, and a program that starts within it reads the page or a file a moment old. */
#define FILES_DELAY_US 1000

/* ---- publication ---- */

static void words_free(struct strings *words, size_t n)
{
	for (size_t i = 0; words && i < n; i++)
		strings_done(&words[i]);
	free(words);
}

void edition_done(struct edition *edition)
{
	size_t n = edition->plan ? edition->plan->n_workloads : 0;

	words_free(edition->environments, n);
	words_free(edition->arguments, n);
	words_free(edition->appended, n);
	words_free(edition->lines, n);
	free(edition->asks);
	free(edition->generations);
	plan_free(edition->plan);
	*edition = (struct edition){ 0 };
}

/* Room for everything that is one per workload of @plan, which it takes over on success. */
static int edition_open(struct plan *plan, struct edition *ret_edition)
{
	size_t n = plan->n_workloads + 1;
	struct edition edition = {
		.generations = calloc(n, sizeof(*edition.generations)),
		.environments = calloc(n, sizeof(*edition.environments)),
		.arguments = calloc(n, sizeof(*edition.arguments)),
		.appended = calloc(n, sizeof(*edition.appended)),
		.lines = calloc(n, sizeof(*edition.lines)),
		.asks = calloc(n, sizeof(*edition.asks)),
	};

	if (!edition.generations || !edition.environments || !edition.arguments ||
	    !edition.appended || !edition.lines || !edition.asks) {
		edition_done(&edition);
		return -ENOMEM;
	}
	edition.plan = plan;
	*ret_edition = edition;
	return 0;
}

static struct strings strings_move(struct strings *from)
{
	struct strings moved = *from;

	*from = (struct strings){ 0 };
	return moved;
}

/* What a workload has already: workload @k of @from is workload @i of @to. */
static void edition_move(struct edition *from, size_t k, struct edition *to, size_t i)
{
	to->environments[i] = strings_move(&from->environments[k]);
	to->arguments[i] = strings_move(&from->arguments[k]);
	to->appended[i] = strings_move(&from->appended[k]);
	to->lines[i] = strings_move(&from->lines[k]);
	/* A question that is under way knows its workload by index. */
	to->asks[i] = from->asks[k];
	if (i != k)
		to->asks[i].token = 0;
}

bool edition_is_current(const struct daemon *daemon)
{
	return daemon->edition.plan && !daemon->retired_conf;
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
		.arguments = edition->arguments,
		.appended = edition->appended,
		.lines = edition->lines,
		.same_workloads = same_workloads,
	};
	if (publish_update(daemon->publish, &daemon->view, daemon->changed, &fault) < 0)
		event_degraded(fault.text);
}

/* What takes its time: env files and the journal. */
void edition_files(struct daemon *daemon)
{
	struct edition *edition = &daemon->edition;
	struct fault fault;

	if (daemon->files_timer)
		sd_event_source_set_enabled(daemon->files_timer, SD_EVENT_OFF);
	if (publish_files(daemon->publish, &fault) < 0)
		event_degraded(fault.text);
	daemon_ready_try(daemon);
	if (!edition_is_current(daemon))
		return;
	for (size_t i = 0; i < edition->plan->n_workloads; i++) {
		if (daemon->untold[i])
			tell_change(&edition->plan->workloads[i], edition->generations[i]);
		daemon->untold[i] = false;
	}
	registry_answer(daemon);
}

static bool strings_equal(const struct strings *a, const struct strings *b)
{
	if (a->n_items != b->n_items)
		return false;
	for (size_t i = 0; i < a->n_items; i++)
		if (strcmp(a->items[i], b->items[i]) != 0)
			return false;
	return true;
}

/* Is all the same that env files have beside the numbers? */
static bool same_words(const struct workload *a, const struct workload *b)
{
	if (a == b)
		return true;
	if (strcmp(a->plugin, b->plugin) != 0 || a->publish_mode != b->publish_mode ||
	    a->n_settings != b->n_settings || !strings_equal(&a->environment, &b->environment))
		return false;
	for (size_t i = 0; i < a->n_settings; i++)
		if (strcmp(a->settings[i].key, b->settings[i].key) != 0 ||
		    strcmp(a->settings[i].value, b->settings[i].value) != 0)
			return false;
	return true;
}

/* The new edition out of @plan (taken over): numbers that did not change keep their generation. */
static int edition_make(struct daemon *daemon, struct plan *plan, struct edition *ret_edition,
			size_t *ret_n_changed)
{
	const struct plan *old = daemon->edition.plan;
	struct edition edition;
	size_t n = plan->n_workloads, n_changed = 0;

	if (edition_open(plan, &edition) < 0)
		return -ENOMEM;
	for (size_t i = 0, k = 0; i < n; i++) {
		const struct plan_workload *workload = &plan->workloads[i];
		int order = 1;

		/* Both are sorted by name. */
		while (old && k < old->n_workloads &&
		       (order = strcmp(old->workloads[k].conf->name, workload->conf->name)) < 0)
			k++;
		daemon->changed[i] = !(old && k < old->n_workloads && order == 0 &&
				       plan_workload_same_answer(&old->workloads[k], workload) &&
				       same_words(old->workloads[k].conf, workload->conf));
		if (old && k < old->n_workloads && order == 0)
			edition_move(&daemon->edition, k, &edition, i);
		if (!daemon->changed[i])
			edition.generations[i] = daemon->edition.generations[k];
		else
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
void edition_publish(struct daemon *daemon, struct plan *plan)
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
		daemon->untold[i] = true;
	}
	{
		struct edition old = daemon->edition;

		daemon->edition = edition;
		if (n_changed > 0 || !same_names || !daemon->started)
			publish_now(daemon, same_names && daemon->started);
		else
			daemon->view.plan = edition.plan,
			daemon->view.generations = edition.generations,
			daemon->view.environments = edition.environments,
			daemon->view.arguments = edition.arguments,
			daemon->view.appended = edition.appended,
			daemon->view.lines = edition.lines;
		edition_done(&old);
	}
	daemon->retired_conf = conf_free(daemon->retired_conf);
	edition_files(daemon);
	if (!daemon->started)
		daemon_started(daemon);
	daemon_ready_try(daemon);
}

/* ---- the short way ---- */

static int on_files(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)source;
	(void)usec;
	edition_files(userdata);
	return 0;
}

/* The first of a burst starts the clock. */
void edition_files_want(struct daemon *daemon)
{
	int enabled = SD_EVENT_OFF;

	if (daemon->files_timer && sd_event_source_get_enabled(daemon->files_timer, &enabled) > 0)
		return;
	if (daemon_timer_arm(daemon, &daemon->files_timer, FILES_DELAY_US, on_files) < 0)
		edition_files(daemon);
}

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
		daemon->untold[i] = true;
	}
	publish_now(daemon, true);
	edition_files_want(daemon);
}

void edition_quota_changed(struct daemon *daemon, uint32_t limit)
{
	if (edition_is_current(daemon))
		reshare(daemon, limit);
	if (plan_follows_quota(daemon->conf))
		round_want(daemon);
}

void edition_advice_changed(struct daemon *daemon, uint32_t limit)
{
	if (edition_is_current(daemon))
		reshare(daemon, limit);
}

/* Cgroups came or went, so limits have new numbers and workloads other limits: what is published
 * follows at once, the places within the next round. */
void edition_places_changed(struct daemon *daemon)
{
	if (round_snapshot(daemon) == 0 && edition_is_current(daemon))
		reshare(daemon, LIMIT_NONE);
}
