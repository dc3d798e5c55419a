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

static void plugins_free(struct daemon *daemon, size_t n)
{
	for (size_t i = 0; daemon->plugins && i < n; i++)
		plugin_free(daemon->plugins[i]);
	free(daemon->plugins);
	daemon->plugins = NULL;
}

/* A plugin that cannot be loaded costs its workload the runtime's own variables, nothing else. */
static void plugins_load(struct daemon *daemon)
{
	const struct conf *conf = daemon->conf;
	struct fault fault;

	for (size_t i = 0; i < conf->n_workloads; i++)
		if (plugin_load(daemon->options->plugin_dir, conf->workloads[i]->plugin,
				&daemon->plugins[i], &fault) < 0) {
			daemon->plugins[i] = NULL;
			event_degraded(fault.text);
		}
}

/* Room for everything that is one per workload. */
static int workloads_resize(struct daemon *daemon, size_t n)
{
	struct snapshot_workload *snapshot_workloads = calloc(n + 1, sizeof(*snapshot_workloads));
	struct plugin **plugins = calloc(n + 1, sizeof(struct plugin *));
	bool *changed = calloc(n + 1, sizeof(*changed));

	if (!snapshot_workloads || !plugins || !changed) {
		free(snapshot_workloads);
		free(plugins);
		free(changed);
		return -ENOMEM;
	}
	free(daemon->snapshot_workloads);
	free(daemon->changed);
	plugins_free(daemon, daemon->conf ? daemon->conf->n_workloads : 0);
	daemon->snapshot_workloads = snapshot_workloads;
	daemon->plugins = plugins;
	daemon->changed = changed;
	return 0;
}

static int conf_adopt(struct daemon *daemon, struct conf *conf, struct fault *fault)
{
	int r = workloads_resize(daemon, conf->n_workloads);

	if (r < 0)
		return fault_set(fault, r, "no memory for %zu workloads", conf->n_workloads);
	/* The published plan speaks of the old workloads until a new one is out. */
	conf_free(daemon->retired_conf);
	daemon->retired_conf = daemon->conf;
	daemon->conf = conf;
	if (daemon->options->log_level < 0)
		log_set_level(conf->log_level);
	plugins_load(daemon);
	world_set_confine_system(daemon->world, conf->confine_system);
	r = world_set_workloads(daemon->world, (const struct workload *const *)conf->workloads,
				conf->n_workloads, fault);
	return r < 0 ? r : round_snapshot(daemon);
}

void daemon_adopt_next_conf(struct daemon *daemon)
{
	struct fault fault;

	if (conf_adopt(daemon, TAKE_PTR(daemon->next_conf), &fault) < 0)
		log_line(LOG_ERR, "%s", fault.text);
	for (size_t i = 0; i < daemon->n_registrations;) {
		struct registration *registration = &daemon->registrations[i];

		if (daemon_index(daemon, registration->workload) >= 0)
			i++;
		else
			registry_process_ended(daemon, 0, registration->pid,
					       registration->start_time);
	}
	event_reloaded(daemon->conf->n_workloads);
}

/* All or nothing: the running configuration stays where a single fault is found. */
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
	conf_free(daemon->next_conf);
	daemon->next_conf = conf;
	round_want(daemon);
	return 0;
}

/* ---- what the stages call ---- */

int daemon_load_topology(struct daemon *daemon, struct fault *fault)
{
	struct topology *topology = NULL, *old = daemon->topology;
	int r = topo_load(daemon->options->machine, &topology, fault);

	if (r < 0)
		return r;
	daemon->topology = topology;
	/* The snapshot borrows from the topology, and answers are read off it at any time. */
	if (daemon->world && daemon->conf)
		round_snapshot(daemon);
	topology_free(old);
	return 0;
}

static void on_quota_changed(void *userdata, uint32_t limit)
{
	round_quota_changed(userdata, limit);
}

static void on_world_changed(void *userdata, unsigned changes)
{
	struct daemon *daemon = userdata;
	struct fault fault;

	if (!daemon->conf)
		return;
	if ((changes & WORLD_TOPOLOGY) && daemon_load_topology(daemon, &fault) < 0)
		log_line(LOG_ERR, "%s, keeping the previous topology", fault.text);
	if (changes & WORLD_PLACES)
		round_places_changed(daemon);
	if (changes & (WORLD_TOPOLOGY | WORLD_DRIFT | WORLD_CPUSETS))
		round_forget_held(daemon);
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

	(void)source;
	if (info->ssi_signo != SIGHUP)
		return sd_event_exit(daemon->event, 0);
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
		   (unsigned long long)daemon->sys.now_us(&daemon->sys));
	daemon_reload(daemon, &faults);
	fault_list_done(&faults);
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

/* The bus may come later or never: everything but units and D-Bus goes on without it. */
static void open_bus(struct daemon *daemon)
{
	int r;

	if (!daemon->options->use_bus)
		return;
	r = sd_bus_open_system(&daemon->bus);
	if (r >= 0)
		r = sd_bus_attach_event(daemon->bus, daemon->event, SD_EVENT_PRIORITY_NORMAL);
	if (r < 0) {
		log_line(LOG_WARNING,
			 "no system bus (%s): units are not placed and D-Bus is not served",
			 strerror(-r));
		daemon->bus = sd_bus_unref(daemon->bus);
		return;
	}
	/* A bus that restarts forgets names, matches and PID 1's subscription. Starting anew is
	 * what kill -9 is proven to survive, and one way instead of two. */
	sd_bus_set_exit_on_disconnect(daemon->bus, true);
}

static int open_sense(struct daemon *daemon, struct fault *fault)
{
	const struct world_listener listener = { daemon, on_quota_changed, on_world_changed,
						 registry_process_ended, on_notice };
	struct world_options options = { .bus = daemon->bus };
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

static int open_apply(struct daemon *daemon, struct fault *fault)
{
	const struct apply_listener listener = {
		.userdata = daemon,
		.finished = round_finished,
		.died = on_applier_died,
		.may_migrate = on_may_migrate,
	};
	const struct apply_options options = {
		.mode = daemon->options->applier_fd < 0 || daemon->options->dry_run ||
					daemon->conf->dry_run
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
		.environments_wanted = round_environments,
		.explain = on_explain,
	};
	const struct publish_options options = {
		.runtime_dir = daemon->options->runtime_dir,
		.event = daemon->event,
		.bus = daemon->bus,
		.sys = &daemon->sys,
		.listen_fd = sd_listen_fds(1) == 1 ? SD_LISTEN_FDS_START : -1,
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

/* It starts always: a configuration with faults is refused and what can be read alone is not;
 * without any workload it waits for a better one. */
static int open_conf(struct daemon *daemon, struct fault *fault)
{
	struct fault_list faults = { 0 };
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
	return conf_adopt(daemon, conf, fault);
}

static int open_all(struct daemon *daemon, struct fault *fault)
{
	int r = open_loop(daemon, fault);

	if (r == 0)
		r = open_runtime_dir(daemon, fault);
	if (r < 0)
		return r;
	open_bus(daemon);
	r = open_sense(daemon, fault);
	if (r == 0)
		r = open_conf(daemon, fault);
	if (r == 0)
		r = open_apply(daemon, fault);
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
	if (daemon->round_is_known)
		return;
	sd_event_add_time_relative(daemon->event, &daemon->ready_timer, CLOCK_MONOTONIC,
				   READY_LATEST_US, 0, on_ready_latest, daemon);
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
	apply_free(daemon->apply);
	world_free(daemon->world);
	edition_done(&daemon->edition);
	plan_free(daemon->pending);
	helds_done(daemon);
	registry_done(daemon);
	plugins_free(daemon, daemon->conf ? daemon->conf->n_workloads : 0);
	conf_free(daemon->conf);
	conf_free(daemon->retired_conf);
	conf_free(daemon->next_conf);
	topology_free(daemon->topology);
	cgroup_mount_done(&daemon->mount);
	cpuset_done(&daemon->allowed);
	free(daemon->snapshot_workloads);
	free(daemon->changed);
	free(daemon->held_cpus);
	sd_event_source_unref(daemon->ready_timer);
	sd_event_source_unref(daemon->settle_timer);
	sd_event_source_unref(daemon->retry_timer);
	sd_event_source_unref(daemon->lease_timer);
	sd_bus_flush_close_unref(daemon->bus);
	sd_event_unref(daemon->event);
	sys_linux_close(&daemon->sys);
	close_fdp(&daemon->runtime_dirfd);
}

int daemon_run(const struct daemon_options *options, struct fault *fault)
{
	struct daemon daemon = { .options = options, .runtime_dirfd = -1, .sys.proc_fd = -1 };
	int r = open_all(&daemon, fault);

	if (r == 0) {
		registry_load(&daemon);
		round_begin(&daemon);
		r = sd_event_loop(daemon.event);
		sd_notify(0, "STOPPING=1");
		if (r != 0)
			fault_set(fault, r < 0 ? r : -ENOTCONN,
				  r < 0 ? "the event loop ended: %s"
					: "the system bus was lost%.0s",
				  strerror(r < 0 ? -r : ENOTCONN));
		else if (daemon.conf->restore_on_stop)
			round_restore(&daemon);
		event_stopped();
	}
	daemon_close(&daemon);
	return r > 0 ? -ENOTCONN : r;
}
