/* Regulators in the daemon. Samples are read on descriptors that are kept; each pool has one timer,
 * set to the earliest sample that one of its regulators wants, and off where none does. */
#include "daemon_regulate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/events.h"
#include "base/log.h"
#include "daemon_internal.h"
#include "regulate/regulate_text.h"

/* A workload in more cgroups than this is sampled where all of them are below. */
#define CGROUPS_MAX 64u
/* A sample that could not be had (no plan is out yet, the cgroup is going) is tried again then. */
#define RETRY_US UINT64_C(1000000)
/* Timers may be late by this part of an interval, so that one wake-up serves several. */
#define ACCURACY_PART 10u
/* A sample that is due so soon is taken along. */
#define DUE_SOON_US 1000u

/* ---- cgroups ---- */

static void cgroup_done(const struct regulation *regulation, struct regulated_cgroup *cgroup)
{
	sample_close(&regulation->daemon->sys, &cgroup->source);
	free(cgroup->path);
}

void regulated_cgroups_done(const struct regulation *regulation, struct regulated_cgroups *cgroups)
{
	for (size_t i = 0; i < cgroups->n_items; i++)
		cgroup_done(regulation, &cgroups->items[i]);
	free(cgroups->items);
	*cgroups = (struct regulated_cgroups){ 0 };
}

/* @path is @above or lies in it. */
static bool is_within(const char *path, const char *above)
{
	size_t n = strcmp(above, "/") == 0 ? 0 : strlen(above);

	return strncmp(path, above, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

/* Its counters hold those of all below it already. */
static bool is_covered(const struct regulated_cgroups *cgroups, const char *path)
{
	for (size_t i = 0; i < cgroups->n_items; i++)
		if (is_within(path, cgroups->items[i].path))
			return true;
	return false;
}

static void drop_covered_by(const struct regulation *regulation, struct regulated_cgroups *cgroups,
			    const char *path)
{
	size_t n_kept = 0;

	for (size_t i = 0; i < cgroups->n_items; i++) {
		if (is_within(cgroups->items[i].path, path))
			cgroup_done(regulation, &cgroups->items[i]);
		else
			cgroups->items[n_kept++] = cgroups->items[i];
	}
	cgroups->n_items = n_kept;
}

static int cgroup_add(const struct regulation *regulation, struct regulated_cgroups *cgroups,
		      const char *path, uint64_t id)
{
	struct regulated_cgroup *items;
	char *copy;

	if (path[0] != '/' || is_covered(cgroups, path))
		return 0;
	drop_covered_by(regulation, cgroups, path);
	items = realloc(cgroups->items, (cgroups->n_items + 1) * sizeof(*items));
	if (!items)
		return -ENOMEM;
	cgroups->items = items;
	copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	items[cgroups->n_items++] = (struct regulated_cgroup){ copy, id, { -1, -1, -1, -1 } };
	return 0;
}

/* They are sorted by workload. */
static size_t places_first(const struct place *places, size_t n_places, uint32_t workload)
{
	size_t low = 0, high = n_places;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (places[middle].workload < workload)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* A process is sampled by its cgroup, so what else runs there counts too: the kernel has no
 * counters of several processes, and /proc is not walked. */
int regulated_cgroups_make(struct regulation *regulation, size_t index,
			   struct regulated_cgroups *cgroups)
{
	const struct daemon *daemon = regulation->daemon;
	uint32_t limit = world_limit_of(daemon->world, (uint32_t)index);
	size_t n_places, n_limits;
	const struct place *places = world_places(daemon->world, &n_places);
	const struct limit *limits = world_limits(daemon->world, &n_limits);
	int r = 0;

	regulated_cgroups_done(regulation, cgroups);
	for (size_t i = places_first(places, n_places, (uint32_t)index);
	     r == 0 && i < n_places && places[i].workload == index; i++)
		if (places[i].cgroup &&
		    (places[i].cgroup_id != 0 || places[i].kind == PLACE_PROCESS))
			r = cgroup_add(regulation, cgroups, places[i].cgroup, places[i].cgroup_id);
	if (r == 0 && cgroups->n_items > CGROUPS_MAX && limit < n_limits && limits[limit].path)
		r = cgroup_add(regulation, cgroups, limits[limit].path, 0);
	if (r < 0)
		regulated_cgroups_done(regulation, cgroups);
	return r;
}

int regulated_cgroup_open(const struct regulation *regulation, struct regulated_cgroup *cgroup)
{
	const struct sys *sys = &regulation->daemon->sys;
	int dir_fd, r;

	if (strcmp(cgroup->path, "/") == 0)
		return sample_open(sys, regulation->root_fd, &cgroup->source);
	dir_fd = sys->open(sys, regulation->root_fd, cgroup->path + 1, O_PATH | O_DIRECTORY);
	if (dir_fd < 0)
		return dir_fd;
	r = sample_open(sys, dir_fd, &cgroup->source);
	sys->close(sys, dir_fd);
	return r;
}

/* ---- one sample ---- */

/* 0, or -EAGAIN where there is no plan or cgroup that a sample could be of. */
static int sample_take(struct regulation *regulation, struct regulated *regulated,
		       struct regulate_sample *ret_sample)
{
	const struct daemon *daemon = regulation->daemon;
	const struct plan *plan = daemon->retired_conf ? NULL : daemon->edition.plan;
	const struct plan_workload *placed;
	struct sample_counters counters = { 0 };
	bool any = false;

	if (!plan || regulated->index >= plan->n_workloads)
		return -EAGAIN;
	placed = &plan->workloads[regulated->index];
	if (!placed->placed || placed->n_pu == 0 || placed->n_most == 0)
		return -EAGAIN;
	for (size_t i = 0; i < regulated->cgroups.n_items; i++)
		if (regulated->cgroups.items[i].source.stat_fd >= 0 &&
		    sample_read(&daemon->sys, &regulated->cgroups.items[i].source, &counters) == 0)
			any = true;
	if (!any)
		return -EAGAIN;
	*ret_sample = (struct regulate_sample){
		.n_pu = placed->n_pu,
		.most = placed->n_most,
		.usage_us = counters.usage_us,
		.n_periods = counters.n_periods,
		.n_throttled = counters.n_throttled,
		.throttled_us = counters.throttled_us,
		.pressure_us = counters.pressure_us,
		.blocked_us = counters.blocked_us,
		.wait_p99_us = REGULATE_UNKNOWN,
		.is_moving = daemon->pending || apply_is_busy(daemon->apply),
	};
	return 0;
}

static void tell(struct regulated *regulated, const struct regulate_advice *advice)
{
	cleanup(freep) char *samples = regulate_advice_text(advice);
	const char *text = samples ? samples : "no memory to say why";

	if (advice->reason == REASON_ROLLED_BACK)
		event_rolled_back(regulated->name, advice->from, advice->parallelism, text);
	else if (advice->parallelism != advice->from && advice->from != 0)
		event_regulated(regulated->name, advice->from, advice->parallelism, text);
	else if (advice->reason != REASON_LIMITED)
		event_regulator_stage(regulated->name, advice->parallelism,
				      regulate_stage_name(advice->stage), text);
	regulated->last = *advice;
}

/* Steady: the next start begins there. */
static void remember(struct regulation *regulation, const struct regulated *regulated)
{
	struct fault fault;

	if (steady_set(regulation, regulated->name, regulated->state.cached) > 0 &&
	    registry_save(regulation->daemon, &fault) < 0)
		event_degraded(fault.text);
}

static void sample_one(struct regulation *regulation, struct regulated *regulated, uint64_t now_us)
{
	struct daemon *daemon = regulation->daemon;
	struct regulate_sample sample;
	struct regulate_advice advice;

	if (sample_take(regulation, regulated, &sample) < 0) {
		regulated->retry_us = now_us + RETRY_US;
		return;
	}
	regulate(&regulated->rule, &regulated->state, &sample, now_us, &advice);
	recording_sample(regulation, regulated, &sample, now_us, &advice);
	if (regulated->lend != LEND_NONE)
		regulate_lend(&regulated->loan, &sample, now_us);
	if (advice.reason == REASON_LOCKED)
		remember(regulation, regulated);
	if (daemon->snapshot_workloads[regulated->index].regulated != advice.parallelism) {
		daemon->snapshot_workloads[regulated->index].regulated = advice.parallelism;
		edition_advice_changed(daemon, daemon->snapshot_workloads[regulated->index].limit);
	}
	if (advice.reason != REASON_NONE)
		tell(regulated, &advice);
}

/* ---- time ---- */

static bool belongs(const struct regulated *regulated, const struct regulated_pool *pool)
{
	return regulated && regulated->cgroups.n_items > 0 &&
	       strcmp(regulated->pool, pool->name) == 0;
}

static uint64_t regulated_next(const struct regulated *regulated)
{
	uint64_t next_us = regulate_next_us(&regulated->rule, &regulated->state);

	return next_us > regulated->retry_us ? next_us : regulated->retry_us;
}

static int on_pool_timer(sd_event_source *source, uint64_t usec, void *userdata);

/* The earliest sample that is wanted, UINT64_MAX: none; and how precisely. */
static uint64_t pool_next(const struct regulated_pool *pool, uint64_t now_us,
			  uint64_t *ret_accuracy_us)
{
	const struct regulation *regulation = pool->regulation;
	uint64_t first_us = UINT64_MAX;

	for (size_t i = 0; i < regulation->n_items; i++) {
		const struct regulated *regulated = regulation->items[i];
		uint64_t next_us;

		if (!belongs(regulated, pool))
			continue;
		next_us = regulated_next(regulated);
		if (next_us < first_us)
			first_us = next_us;
	}
	*ret_accuracy_us = first_us > now_us && first_us != UINT64_MAX
				   ? (first_us - now_us) / ACCURACY_PART + 1
				   : 1;
	return first_us;
}

static void pool_arm(struct regulated_pool *pool)
{
	struct daemon *daemon = pool->regulation->daemon;
	uint64_t now_us = daemon->sys.now_us(&daemon->sys), accuracy_us;
	uint64_t next_us = pool_next(pool, now_us, &accuracy_us);
	int r = 0;

	if (next_us == UINT64_MAX) {
		pool->timer = sd_event_source_disable_unref(pool->timer);
		return;
	}
	if (!pool->timer)
		r = sd_event_add_time(daemon->event, &pool->timer, CLOCK_MONOTONIC, next_us,
				      accuracy_us, on_pool_timer, pool);
	if (r >= 0)
		r = sd_event_source_set_time(pool->timer, next_us);
	if (r >= 0)
		r = sd_event_source_set_time_accuracy(pool->timer, accuracy_us);
	if (r >= 0)
		r = sd_event_source_set_enabled(pool->timer, SD_EVENT_ONESHOT);
	if (r < 0)
		log_line(LOG_ERR, "no timer for the regulators of pool '%s': they stand still",
			 pool->name);
}

static int on_pool_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct regulated_pool *pool = userdata;
	struct regulation *regulation = pool->regulation;
	const struct sys *sys = &regulation->daemon->sys;

	(void)source;
	(void)usec;
	for (size_t i = 0; i < regulation->n_items; i++) {
		struct regulated *regulated = regulation->items[i];
		uint64_t now_us = sys->now_us(sys);

		if (belongs(regulated, pool) && regulated_next(regulated) <= now_us + DUE_SOON_US)
			sample_one(regulation, regulated, now_us);
	}
	pool_arm(pool);
	return 0;
}

/* ---- places ---- */

static bool cgroups_same(const struct regulated_cgroups *a, const struct regulated_cgroups *b)
{
	if (a->n_items != b->n_items)
		return false;
	for (size_t i = 0; i < a->n_items; i++)
		if (a->items[i].id != b->items[i].id ||
		    strcmp(a->items[i].path, b->items[i].path) != 0)
			return false;
	return true;
}

static bool cgroups_share(const struct regulated_cgroups *a, const struct regulated_cgroups *b)
{
	for (size_t i = 0; i < a->n_items; i++)
		for (size_t k = 0; k < b->n_items; k++)
			if (a->items[i].id == b->items[k].id &&
			    strcmp(a->items[i].path, b->items[k].path) == 0)
				return true;
	return false;
}

static void cgroups_open(struct regulation *regulation, struct regulated *regulated)
{
	size_t n_kept = 0;

	for (size_t i = 0; i < regulated->cgroups.n_items; i++) {
		struct regulated_cgroup *cgroup = &regulated->cgroups.items[i];
		cleanup(freep) char *missing = NULL;

		if (regulated_cgroup_open(regulation, cgroup) < 0) {
			cgroup_done(regulation, cgroup); /* gone: sense will say so */
			continue;
		}
		missing = sample_missing(&cgroup->source);
		if (missing && missing[0] != '\0')
			log_line(LOG_DEBUG, "regulator of workload '%s': no %s in '%s'",
				 regulated->name, missing, cgroup->path);
		regulated->cgroups.items[n_kept++] = *cgroup;
	}
	regulated->cgroups.n_items = n_kept;
}

/* A workload whose cgroups are all new, or that stopped, begins anew; where some stay, only what
 * was counted so far cannot be compared with what is counted from now on. */
static void regulated_follow(struct regulation *regulation, struct regulated *regulated)
{
	cleanup(freep) struct regulated_cgroups *old = malloc(sizeof(*old));
	struct regulated_cgroups cgroups = { 0 };

	if (!old || regulated_cgroups_make(regulation, regulated->index, &cgroups) < 0)
		return event_degraded("no memory for the cgroups of a regulator");
	if (cgroups_same(&cgroups, &regulated->cgroups)) {
		regulated_cgroups_done(regulation, &cgroups);
		return;
	}
	*old = regulated->cgroups;
	regulated->cgroups = cgroups;
	if (cgroups_share(old, &cgroups))
		regulate_rebase(&regulated->state);
	else
		regulate_begin(&regulated->rule, steady_find(regulation, regulated->name),
			       &regulated->state);
	regulated->loan = (struct regulate_loan){ 0 };
	regulated->retry_us = 0;
	regulated_cgroups_done(regulation, old);
	cgroups_open(regulation, regulated);
	recording_begin(regulation, regulated);
	regulation->daemon->snapshot_workloads[regulated->index].regulated = regulated->state.value;
}

void regulation_places_changed(struct regulation *regulation)
{
	for (size_t i = 0; i < regulation->n_items; i++)
		if (regulation->items[i])
			regulated_follow(regulation, regulation->items[i]);
	for (size_t i = 0; i < regulation->n_pools; i++)
		pool_arm(regulation->pools[i]);
}

uint32_t regulation_value(const struct regulation *regulation, size_t i)
{
	return i < regulation->n_items && regulation->items[i] ? regulation->items[i]->state.value
							       : 0;
}

/* ---- configuration ---- */

static struct regulated *regulated_free(const struct regulation *regulation,
					struct regulated *regulated)
{
	if (!regulated)
		return NULL;
	regulated_cgroups_done(regulation, &regulated->cgroups);
	free(regulated->name);
	free(regulated->pool);
	free(regulated);
	return NULL;
}

static const struct pool *pool_of(const struct conf *conf, const struct workload *workload)
{
	for (size_t i = 0; i < conf->n_pools; i++)
		if (strcmp(conf->pools[i]->name, workload->pool) == 0)
			return conf->pools[i];
	return NULL;
}

/* What a change costs the runtime, as its plugin says. */
static uint64_t plugin_interval_us(const struct daemon *daemon, const struct workload *workload)
{
	const struct sidecard_plugin *table = plugins_table(daemon->plugins, workload);
	const struct sidecard_live *live = table ? sidecard_row(&table->lives, 0) : NULL;

	return live ? live->interval_us : 0;
}

/* False where the workload has no regulator. */
static bool rule_make(const struct daemon *daemon, const struct workload *workload,
		      struct regulate_rule *ret_rule)
{
	const struct pool *pool = pool_of(daemon->conf, workload);
	uint64_t plugin_us;

	if (!pool || !daemon->conf->regulators_enabled)
		return false;
	plugin_us = plugin_interval_us(daemon, workload);
	ret_rule->numbers = pool->regulator;
	if (workload->regulator != REGULATOR_POOL)
		ret_rule->numbers.type = workload->regulator;
	ret_rule->overcommit_permille = workload->overcommit_permille;
	ret_rule->safe_us = workload->safe_us > plugin_us ? workload->safe_us : plugin_us;
	return ret_rule->numbers.type == REGULATOR_STAGED ||
	       ret_rule->numbers.type == REGULATOR_LOOP;
}

static bool rules_same(const struct regulate_rule *a, const struct regulate_rule *b)
{
	return memcmp(&a->numbers, &b->numbers, sizeof(a->numbers)) == 0 &&
	       a->overcommit_permille == b->overcommit_permille && a->safe_us == b->safe_us;
}

/* The old one of that name, taken out of the list, where nothing has changed for it. */
static struct regulated *take_same(struct regulation *regulation, const struct workload *workload,
				   const struct regulate_rule *rule)
{
	for (size_t i = 0; i < regulation->n_items; i++) {
		struct regulated *regulated = regulation->items[i];

		if (!regulated || strcmp(regulated->name, workload->name) != 0)
			continue;
		if (!rules_same(&regulated->rule, rule) ||
		    strcmp(regulated->pool, workload->pool) != 0)
			return NULL;
		return TAKE_PTR(regulation->items[i]);
	}
	return NULL;
}

static struct regulated *regulated_new(struct regulation *regulation,
				       const struct workload *workload,
				       const struct regulate_rule *rule)
{
	struct regulated *regulated = calloc(1, sizeof(*regulated));

	if (!regulated)
		return NULL;
	regulated->name = strdup(workload->name);
	regulated->pool = strdup(workload->pool);
	if (!regulated->name || !regulated->pool)
		return regulated_free(regulation, regulated);
	regulated->rule = *rule;
	regulate_begin(rule, steady_find(regulation, workload->name), &regulated->state);
	return regulated;
}

static struct regulated_pool *regulated_pool_free(struct regulated_pool *pool)
{
	sd_event_source_disable_unref(pool->timer);
	free(pool->name);
	free(pool);
	return NULL;
}

/* Pools that stay keep their timers, ticking as they were. */
static int pools_adopt(struct regulation *regulation, const struct conf *conf)
{
	struct regulated_pool **pools = calloc(conf->n_pools + 1, sizeof(struct regulated_pool *));

	if (!pools)
		return -ENOMEM;
	for (size_t i = 0; i < conf->n_pools; i++) {
		for (size_t k = 0; k < regulation->n_pools; k++)
			if (regulation->pools[k] &&
			    strcmp(regulation->pools[k]->name, conf->pools[i]->name) == 0)
				pools[i] = TAKE_PTR(regulation->pools[k]);
		if (pools[i])
			continue;
		pools[i] = calloc(1, sizeof(*pools[i]));
		if (pools[i])
			pools[i]->name = strdup(conf->pools[i]->name);
		if (!pools[i] || !pools[i]->name) {
			for (size_t k = 0; k <= i; k++)
				if (pools[k])
					regulated_pool_free(pools[k]);
			free(pools);
			return -ENOMEM;
		}
		pools[i]->regulation = regulation;
	}
	for (size_t k = 0; k < regulation->n_pools; k++)
		if (regulation->pools[k])
			regulated_pool_free(regulation->pools[k]);
	free(regulation->pools);
	regulation->pools = pools;
	regulation->n_pools = conf->n_pools;
	return 0;
}

static void items_done(struct regulation *regulation)
{
	for (size_t i = 0; i < regulation->n_items; i++)
		regulated_free(regulation, regulation->items[i]);
	free(regulation->items);
	regulation->items = NULL;
	regulation->n_items = 0;
}

void regulation_adopt_conf(struct regulation *regulation)
{
	const struct daemon *daemon = regulation->daemon;
	const struct conf *conf = daemon->conf;
	struct regulated **items = calloc(conf->n_workloads + 1, sizeof(struct regulated *));
	struct regulate_rule rule;

	if (!items || pools_adopt(regulation, conf) < 0) {
		free(items);
		items_done(regulation);
		return event_degraded("no memory for the regulators, nothing is regulated");
	}
	for (size_t i = 0; regulation->root_fd >= 0 && i < conf->n_workloads; i++) {
		if (!rule_make(daemon, conf->workloads[i], &rule))
			continue;
		items[i] = take_same(regulation, conf->workloads[i], &rule);
		if (!items[i])
			items[i] = regulated_new(regulation, conf->workloads[i], &rule);
		if (!items[i]) {
			event_degraded("no memory for a regulator");
			continue;
		}
		items[i]->index = (uint32_t)i;
		items[i]->lend = conf->workloads[i]->exclusive ? conf->workloads[i]->lend
							       : LEND_NONE;
	}
	items_done(regulation);
	regulation->items = items;
	regulation->n_items = conf->n_workloads;
	regulation_places_changed(regulation);
}

/* ---- life ---- */

int regulation_open(struct daemon *daemon, struct regulation **ret_regulation)
{
	struct regulation *regulation = calloc(1, sizeof(*regulation));
	const char *root = daemon->options->cgroup_root ? daemon->options->cgroup_root
							: daemon->mount.path;

	if (!regulation)
		return -ENOMEM;
	regulation->daemon = daemon;
	regulation->root_fd = root ? open(root, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	*ret_regulation = regulation;
	return 0;
}

struct regulation *regulation_free(struct regulation *regulation)
{
	if (!regulation)
		return NULL;
	items_done(regulation);
	for (size_t i = 0; i < regulation->n_pools; i++)
		regulated_pool_free(regulation->pools[i]);
	free(regulation->pools);
	steadies_done(regulation);
	recording_free(regulation->recording);
	close_fdp(&regulation->root_fd);
	free(regulation);
	return NULL;
}
