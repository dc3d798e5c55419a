/* The daemon's life: it opens what it needs in the order of the stages, then lives in one event
 * loop until it is told to stop. */
#include "daemon_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/events.h"
#include "base/log.h"
#include "sense/topo_load.h"

int daemon_index(const struct daemon *daemon, const char *workload)
{
	size_t low = 0, high = daemon->conf->n_workloads;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(daemon->conf->workloads[middle]->name, workload);

		if (order == 0)
			return (int)middle;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return -1;
}

/* ---- configuration ---- */

int daemon_timer_arm(struct daemon *daemon, sd_event_source **timer, uint64_t delay_us,
		     sd_event_time_handler_t handler)
{
	int r;

	if (*timer) {
		r = sd_event_source_set_time_relative(*timer, delay_us);
		return r < 0 ? r : sd_event_source_set_enabled(*timer, SD_EVENT_ONESHOT);
	}
	return sd_event_add_time_relative(daemon->event, timer, CLOCK_MONOTONIC, delay_us, 1,
					  handler, daemon);
}

/* Room for everything that is one per workload. */
static int workloads_resize(struct daemon *daemon, size_t n)
{
	struct snapshot_workload *snapshot_workloads = calloc(n + 1, sizeof(*snapshot_workloads));
	bool *changed = calloc(n + 1, sizeof(*changed)), *untold = calloc(n + 1, sizeof(*untold));

	if (!snapshot_workloads || !changed || !untold) {
		free(snapshot_workloads);
		free(changed);
		free(untold);
		return -ENOMEM;
	}
	/* By the old indices, while they are good. */
	if (daemon->edition.plan)
		edition_files(daemon);
	free(daemon->snapshot_workloads);
	free(daemon->changed);
	free(daemon->untold);
	daemon->snapshot_workloads = snapshot_workloads;
	daemon->changed = changed;
	daemon->untold = untold;
	return 0;
}

/* Takes both over. */
static int conf_adopt(struct daemon *daemon, struct conf *conf, struct plugins *plugins,
		      struct fault *fault)
{
	int r = workloads_resize(daemon, conf->n_workloads);

	if (r < 0)
		return fault_set(fault, r, "no memory for %zu workloads", conf->n_workloads);
	/* The published plan speaks of the old workloads until a new one is out. */
	conf_free(daemon->retired_conf);
	daemon->retired_conf = daemon->conf;
	daemon->conf = conf;
	plugins_free(daemon->plugins);
	daemon->plugins = plugins;
	if (daemon->options->log_level < 0)
		log_set_level(conf->log_level);
	world_set_confine_system(daemon->world, conf->confine_system);
	r = world_set_workloads(daemon->world, (const struct workload *const *)conf->workloads,
				conf->n_workloads, fault);
	regulation_adopt_conf(daemon->regulation);
	return r < 0 ? r : round_snapshot(daemon);
}

void daemon_adopt_next_conf(struct daemon *daemon)
{
	struct fault fault;

	if (conf_adopt(daemon, TAKE_PTR(daemon->next_conf), TAKE_PTR(daemon->next_plugins),
		       &fault) < 0)
		log_line(LOG_ERR, "%s", fault.text);
	for (size_t i = 0; i < daemon->n_registrations;) {
		struct registration *registration = &daemon->registrations[i];

		if (daemon_index(daemon, registration->workload) >= 0)
			i++;
		else
			registry_process_ended(daemon, 0, registration->pid,
					       registration->start_time);
	}
	daemon->conf_is_new = true;
	event_reloaded(daemon->conf->n_workloads);
}

static void learning_done(struct daemon *daemon)
{
	daemon->learning_conf = conf_free(daemon->learning_conf);
	daemon->learning_plugins = plugins_free(daemon->learning_plugins);
}

/* The checked configuration is the next one, whatever its plugins are like. */
static void learning_take(struct daemon *daemon, struct fault_list *faults)
{
	plugins_report(daemon->learning_plugins, daemon->learning_conf, faults);
	conf_free(daemon->next_conf);
	plugins_free(daemon->next_plugins);
	daemon->next_conf = TAKE_PTR(daemon->learning_conf);
	daemon->next_plugins = TAKE_PTR(daemon->learning_plugins);
	round_want(daemon);
}

void daemon_learned(struct daemon *daemon)
{
	struct fault_list faults = { 0 };

	if (!daemon->learning_conf || !daemon->publish)
		return; /* at the start it is waited for */
	learning_take(daemon, &faults);
	publish_reload_finished(daemon->publish, 0, &faults);
	fault_list_done(&faults);
	if (daemon->is_ready)
		sd_notify(0, "READY=1"); /* after RELOADING=1 */
}

/* All or nothing: the running configuration stays where a single fault is found. What plugins say
 * of themselves is asked for meanwhile: PUBLISH_LATER, and then daemon_learned(). */
int daemon_reload(struct daemon *daemon, struct fault_list *faults)
{
	struct conf *conf = NULL;
	int r = conf_load(daemon->options->conf_dir, false, &conf, faults);

	if (r == 0)
		r = conf_check_machine(conf, daemon->topology, faults);
	for (size_t i = 0; i < faults->n_texts; i++)
		event_config_refused(faults->texts[i]);
	if (r < 0) {
		conf_free(conf);
		return r;
	}
	/* Who waits for an earlier one learns of this one. */
	learning_done(daemon);
	daemon->learning_conf = conf;
	r = plugins_start(daemon, &daemon->learning_plugins);
	if (r == 0)
		r = plugins_learn(daemon->learning_plugins, conf);
	if (r < 0) {
		fault_list_add(faults, "no memory for the plugins of a new configuration");
		learning_done(daemon);
		return r;
	}
	if (r > 0)
		return PUBLISH_LATER;
	learning_take(daemon, faults);
	return 0;
}

/* ---- what the stages call ---- */

static void on_quota_changed(void *userdata, uint32_t limit)
{
	edition_quota_changed(userdata, limit);
}

static void on_world_changed(void *userdata, unsigned changes)
{
	struct daemon *daemon = userdata;

	if (!daemon->conf)
		return;
	if (changes & WORLD_TOPOLOGY)
		topology_want(daemon);
	if (changes & WORLD_PLACES) {
		regulation_places_changed(daemon->regulation);
		edition_places_changed(daemon);
	}
	if (changes & (WORLD_TOPOLOGY | WORLD_DRIFT | WORLD_CPUSETS))
		helds_forget(daemon);
	if (changes & ~(unsigned)WORLD_WEIGHTS) /* shares do not follow cpu.weight */
		round_want(daemon);
}

static void on_notice(void *userdata, const char *text)
{
	(void)userdata;
	event_degraded(text);
}

static void on_applier_died(void *userdata)
{
	struct daemon *daemon = userdata;

	/* The service manager starts both anew; without one we go on publishing what holds. */
	event_applier_died("ending, so that the service manager starts both again");
	sd_event_exit(daemon->event, -EPIPE);
}

static bool on_may_migrate(void *userdata, const struct place *place)
{
	struct daemon *daemon = userdata;

	return place->workload < daemon->conf->n_workloads &&
	       daemon->conf->workloads[place->workload]->migrate;
}

static void on_narrate(void *userdata, const char *text)
{
	(void)userdata;
	log_line(LOG_NOTICE, "%s", text);
}

static int on_reload_asked(void *userdata, const struct peer *peer, struct fault_list *faults)
{
	if (!peer->is_privileged) {
		fault_list_add(faults, "user %u may not reload, expected root or group sidecard",
			       peer->uid);
		return -EACCES;
	}
	return daemon_reload(userdata, faults);
}

static json_t *on_samples(void *userdata, uint64_t after)
{
	struct daemon *daemon = userdata;

	return samples_told(daemon->regulation, after);
}

static json_t *on_measure(void *userdata, const char *after)
{
	struct daemon *daemon = userdata;

	return measurements_told(daemon->regulation, after);
}

static char *on_explain(void *userdata, const char *workload)
{
	struct daemon *daemon = userdata;

	if (!daemon->edition.plan)
		return NULL;
	if (daemon->retired_conf)
		return strdup("a new configuration is being applied; ask again in a moment\n");
	return plan_explain(daemon->edition.plan, &daemon->snapshot, workload);
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	struct daemon *daemon = userdata;
	struct fault_list faults = { 0 };
	int r;

	(void)source;
	if (info->ssi_signo != SIGHUP)
		return sd_event_exit(daemon->event, 0);
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
		   (unsigned long long)daemon->sys.now_us(&daemon->sys));
	r = daemon_reload(daemon, &faults);
	fault_list_done(&faults);
	if (r != PUBLISH_LATER)
		sd_notify(0, "READY=1");
	return 0;
}

/* ---- opening, in the order of the stages ---- */

static int open_loop(struct daemon *daemon, struct fault *fault)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
	sigset_t mask;
	int r;

	sigemptyset(&mask);
	for (size_t i = 0; i < N_ELEMENTS(signals); i++)
		sigaddset(&mask, signals[i]);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	signal(SIGPIPE, SIG_IGN);
	r = sys_linux_open("/proc", &daemon->sys);
	if (r < 0)
		return fault_set(fault, r, "cannot open /proc: %s", strerror(-r));
	r = sd_event_default(&daemon->event);
	for (size_t i = 0; r >= 0 && i < N_ELEMENTS(signals); i++)
		r = sd_event_add_signal(daemon->event, NULL, signals[i], on_signal, daemon);
	if (r >= 0)
		r = sd_event_set_watchdog(daemon->event, true);
	return r < 0 ? fault_set(fault, r, "cannot open an event loop: %s", strerror(-r)) : 0;
}

static int open_runtime_dir(struct daemon *daemon, struct fault *fault)
{
	const char *path = daemon->options->runtime_dir;

	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return fault_set(fault, -errno, "cannot create the runtime directory '%s': %s",
				 path, strerror(errno));
	daemon->runtime_dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (daemon->runtime_dirfd < 0)
		return fault_set(fault, -errno, "cannot open the runtime directory '%s': %s", path,
				 strerror(errno));
	return 0;
}

static int open_sense(struct daemon *daemon, struct fault *fault)
{
	const struct world_listener listener = { daemon,	   on_quota_changed,
						 on_world_changed, registry_process_ended,
						 on_notice,	   procs_identify };
	/* Half of all for directories, which there is no doing without. */
	struct world_options options = { .bus = bus_of(daemon),
					 .proc_events_fd = daemon->proc_events_fd,
					 .keep_below_fd = daemon->options->n_files_most / 2 };
	int r = daemon_load_topology(daemon, fault);

	if (r < 0)
		return r;
	r = cgroup_find_load(&daemon->mount, fault);
	if (r < 0)
		return r;
	options.own_cgroup = daemon->mount.own;
	options.cgroup_root = daemon->options->cgroup_root ? daemon->options->cgroup_root
							   : daemon->mount.path;
	return world_open(&daemon->sys, daemon->event, &options, &listener, &daemon->world, fault);
}

static int open_apply(struct daemon *daemon, const struct conf *conf, struct fault *fault)
{
	const struct apply_listener listener = {
		.userdata = daemon,
		.looked = restore_looked,
		.restored = restore_done,
		.finished = round_finished,
		.died = on_applier_died,
		.may_migrate = on_may_migrate,
		.identified = procs_identified,
	};
	const struct apply_options options = {
		.mode = daemon->options->applier_fd < 0 || daemon->options->dry_run || conf->dry_run
				? APPLY_NULL
				: APPLY_REAL,
		.applier_fd = daemon->options->applier_fd,
		.narrate = on_narrate,
	};
	int applier_fd = daemon->options->applier_fd;

	/* DryRun=yes was read after the applier had been started: it ends with its socket. */
	if (options.mode == APPLY_NULL)
		close_fdp(&applier_fd);

	return apply_open(daemon->event, &options, &listener, &daemon->apply, fault);
}

static int open_publish(struct daemon *daemon, struct fault *fault)
{
	const struct publish_handler handler = {
		.userdata = daemon,
		.register_process = registry_register,
		.heartbeat = registry_heartbeat,
		.release = registry_release,
		.reload = on_reload_asked,
		.environment_wanted = plugins_environment,
		.explain = on_explain,
		.samples = on_samples,
		.measure = on_measure,
	};
	const struct publish_options options = {
		.runtime_dir = daemon->options->runtime_dir,
		.event = daemon->event,
		.bus = bus_of(daemon),
		.sys = &daemon->sys,
		.listen_fd = daemon->listen_fd,
	};
	int r;

	*fault = (struct fault){ 0 };
	r = publish_open(&options, &handler, &daemon->publish, fault);

	if (r < 0)
		return r;
	/* A socket or bus that cannot be had does not stop the files. */
	if (fault->error < 0)
		event_degraded(fault->text);
	daemon->generation = publish_found_generation(daemon->publish);
	return 0;
}

/* At the start there is nobody to keep waiting: what plugins say of themselves decides on the first
 * plan. */
static int plugins_first(struct daemon *daemon, const struct conf *conf,
			 struct plugins **ret_plugins)
{
	cleanup(plugins_freep) struct plugins *plugins = NULL;
	struct fault_list faults = { 0 };
	int r = plugins_start(daemon, &plugins);

	if (r == 0)
		r = plugins_learn(plugins, conf);
	if (r < 0)
		return r;
	plugins_wait(plugins);
	plugins_report(plugins, conf, &faults);
	fault_list_done(&faults);
	*ret_plugins = TAKE_PTR(plugins);
	return 0;
}

/* It starts always: a configuration with faults is refused and what can be read alone is not;
 * without any workload it waits for a better one. */
static int open_conf(struct daemon *daemon, struct fault *fault)
{
	struct fault_list faults = { 0 };
	struct plugins *plugins = NULL;
	struct conf *conf = NULL;
	int r = conf_load(daemon->options->conf_dir, false, &conf, &faults);

	/* What the machine lacks today (a PU offline) costs the workload that names it, not all. */
	if (r == 0)
		conf_check_machine(conf, daemon->topology, &faults);
	for (size_t i = 0; i < faults.n_texts; i++)
		event_config_refused(faults.texts[i]);
	fault_list_done(&faults);
	if (r < 0) {
		log_line(LOG_ERR, "the configuration has faults: running without workloads until a "
				  "reload finds it right");
		conf = conf_default();
	}
	if (!conf)
		return fault_set(fault, -ENOMEM, "no memory for a configuration");
	r = plugins_first(daemon, conf, &plugins);
	if (r < 0) {
		conf_free(conf);
		return fault_set(fault, r, "cannot prepare for plugins: %s", strerror(-r));
	}
	/* The world asks it for executables. */
	r = open_apply(daemon, conf, fault);
	if (r < 0) {
		conf_free(conf);
		plugins_free(plugins);
		return r;
	}
	return conf_adopt(daemon, conf, plugins, fault);
}

static int open_all(struct daemon *daemon, struct fault *fault)
{
	int r = open_loop(daemon, fault);

	if (r == 0)
		r = open_runtime_dir(daemon, fault);
	if (r < 0)
		return r;
	listen_take(daemon);
	bus_open_first(daemon);
	r = open_sense(daemon, fault);
	if (r == 0)
		r = regulation_open(daemon, &daemon->regulation);
	if (r == 0)
		r = open_conf(daemon, fault);
	if (r == 0)
		r = open_publish(daemon, fault);
	return r;
}

/* A PID 1 that does not answer for longer keeps nobody from starting: the numbers are out, the
 * places follow. */
#define READY_LATEST_US (10 * UINT64_C(1000000))

static int on_ready_latest(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)source;
	(void)usec;
	daemon_ready(userdata);
	return 0;
}

void daemon_started(struct daemon *daemon)
{
	daemon->started = true;
	event_started(SIDECARD_VERSION, daemon->conf->n_workloads, daemon->topology->n_pu,
		      daemon->topology->n_node);
	sd_event_add_time_relative(daemon->event, &daemon->ready_timer, CLOCK_MONOTONIC,
				   READY_LATEST_US, 0, on_ready_latest, daemon);
}

void daemon_ready_try(struct daemon *daemon)
{
	if (!daemon->is_ready && daemon->round_is_known && daemon->started &&
	    plugins_are_done(daemon))
		daemon_ready(daemon);
}

void daemon_ready(struct daemon *daemon)
{
	if (daemon->is_ready)
		return;
	daemon->is_ready = true;
	daemon->ready_timer = sd_event_source_unref(daemon->ready_timer);
	sd_notifyf(0, "READY=1\nSTATUS=%zu workloads on %u PUs", daemon->conf->n_workloads,
		   daemon->topology->n_pu);
}

static void daemon_close(struct daemon *daemon)
{
	publish_free(daemon->publish);
	regulation_free(daemon->regulation);
	apply_free(daemon->apply);
	world_free(daemon->world);
	planner_free(daemon->planner);
	edition_done(&daemon->edition);
	plan_free(daemon->pending);
	helds_done(daemon);
	free(daemon->own_unit.unit);
	registry_done(daemon);
	plugins_free(daemon->plugins);
	plugins_free(daemon->next_plugins);
	learning_done(daemon);
	conf_free(daemon->conf);
	conf_free(daemon->retired_conf);
	conf_free(daemon->next_conf);
	topo_loading_free(daemon->topology_loading);
	topology_free(daemon->topology);
	cgroup_mount_done(&daemon->mount);
	cpuset_done(&daemon->allowed);
	free(daemon->snapshot_workloads);
	free(daemon->changed);
	free(daemon->untold);
	free(daemon->held_cpus);
	sd_event_source_unref(daemon->files_timer);
	sd_event_source_unref(daemon->ready_timer);
	sd_event_source_unref(daemon->settle_timer);
	sd_event_source_unref(daemon->retry_timer);
	sd_event_source_unref(daemon->lease_timer);
	sd_event_source_unref(daemon->bus_timer);
	sd_bus_flush_close_unref(daemon->bus);
	sd_event_unref(daemon->event);
	sys_linux_close(&daemon->sys);
	close_fdp(&daemon->runtime_dirfd);
}

int daemon_run(const struct daemon_options *options, struct fault *fault)
{
	struct daemon daemon = { .options = options, .runtime_dirfd = -1, .sys.proc_fd = -1 };
	struct fault late;
	int r = open_all(&daemon, fault);

	if (r == 0) {
		own_unit_open(&daemon);
		registry_load(&daemon);
		/* Who registered in an earlier life has a part in the first plan: without him the
		 * slice that he lives in would be kept off exclusive PUs as a whole. */
		if (daemon.n_registrations > 0 && world_rescan(daemon.world, &late) < 0)
			log_line(LOG_ERR, "%s", late.text);
		daemon.conf_is_new = true;
		procs_first_round(&daemon);
		r = sd_event_loop(daemon.event);
		sd_notify(0, "STOPPING=1");
		if (r < 0)
			fault_set(fault, r, "the event loop ended: %s", strerror(-r));
		else if (daemon.conf->restore_on_stop)
			restore_all(&daemon);
		event_stopped();
	}
	daemon_close(&daemon);
	return r;
}
