/* Registered children and their leases, and the checkpoint that lets a next life go on:
 * registrations, and what places had before us. */
#include "daemon_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/events.h"
#include "base/log.h"

#define STATE_FILE     "state.json"
#define STATE_FILE_NEW ".state.json.new"
#define STATE_SIZE_MAX (16u << 20)
/* Another one is set aside as unreadable. */
#define STATE_VERSION 2
/* Leases shorter than this would make the daemon a clock. */
#define LEASE_LEAST_US (100 * UINT64_C(1000))
/* Values that may stand in one place: one confirmed, two of each life that was killed in a row. */
#define OURS_MAX		  16
#define REGISTRATIONS_MAX	  10000
#define REGISTRATIONS_PER_UID_MAX 1000

static struct registration *registration_find(struct daemon *daemon, pid_t pid, uint64_t start_time)
{
	for (size_t i = 0; i < daemon->n_registrations; i++)
		if (daemon->registrations[i].pid == pid &&
		    daemon->registrations[i].start_time == start_time)
			return &daemon->registrations[i];
	return NULL;
}

bool registry_has(struct daemon *daemon, pid_t pid, uint64_t start_time)
{
	return registration_find(daemon, pid, start_time);
}

static void registration_drop(struct daemon *daemon, struct registration *registration)
{
	free(registration->workload);
	*registration = daemon->registrations[--daemon->n_registrations];
}

void registry_done(struct daemon *daemon)
{
	while (daemon->n_registrations > 0)
		registration_drop(daemon, daemon->registrations);
	free(daemon->registrations);
	daemon->registrations = NULL;
}

static int registration_add(struct daemon *daemon, const struct registration *registration)
{
	struct registration *registrations = realloc(
		daemon->registrations, (daemon->n_registrations + 1) * sizeof(*registrations));
	char *workload = strdup(registration->workload);

	if (registrations)
		daemon->registrations = registrations;
	if (!registrations || !workload) {
		free(workload);
		return -ENOMEM;
	}
	registrations[daemon->n_registrations] = *registration;
	registrations[daemon->n_registrations++].workload = workload;
	return 0;
}

/* ---- leases ---- */

static int on_lease(sd_event_source *source, uint64_t usec, void *userdata);

static void lease_arm(struct daemon *daemon)
{
	uint64_t first_us = UINT64_MAX;

	for (size_t i = 0; i < daemon->n_registrations; i++)
		if (daemon->registrations[i].deadline_us < first_us)
			first_us = daemon->registrations[i].deadline_us;
	if (first_us == UINT64_MAX) {
		if (daemon->lease_timer)
			sd_event_source_set_enabled(daemon->lease_timer, SD_EVENT_OFF);
		return;
	}
	if (daemon->lease_timer) {
		sd_event_source_set_time(daemon->lease_timer, first_us);
		sd_event_source_set_enabled(daemon->lease_timer, SD_EVENT_ONESHOT);
	} else if (sd_event_add_time(daemon->event, &daemon->lease_timer, CLOCK_MONOTONIC, first_us,
				     0, on_lease, daemon) < 0) {
		log_line(LOG_ERR, "no timer for leases, they last as long as their processes");
	}
}

static void registration_end(struct daemon *daemon, struct registration *registration,
			     const char *why)
{
	struct fault fault;

	event_registration_ended(registration->workload, registration->pid, why);
	registration_drop(daemon, registration);
	if (registry_save(daemon, &fault) < 0)
		event_degraded(fault.text);
	lease_arm(daemon);
	round_want(daemon);
}

static int on_lease(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct daemon *daemon = userdata;
	uint64_t now_us = daemon->sys.now_us(&daemon->sys);

	(void)source;
	(void)usec;
	for (size_t i = 0; i < daemon->n_registrations;) {
		struct registration *registration = &daemon->registrations[i];

		if (registration->deadline_us > now_us) {
			i++;
			continue;
		}
		world_release(daemon->world, registration->pid, registration->start_time);
		registration_end(daemon, registration, "its heartbeats stayed out");
	}
	lease_arm(daemon);
	return 0;
}

/* ---- what clients ask ---- */

static int register_check(struct daemon *daemon, const struct peer *peer, int index,
			  struct fault *fault)
{
	size_t n_of_uid = 0;

	for (size_t i = 0; i < daemon->n_registrations; i++)
		n_of_uid += daemon->registrations[i].uid == peer->uid;
	if (daemon->n_registrations >= REGISTRATIONS_MAX ||
	    (!peer->is_privileged && n_of_uid >= REGISTRATIONS_PER_UID_MAX))
		return fault_set(fault, -ENOSPC,
				 "%zu processes are registered, %zu of user %u: no more",
				 daemon->n_registrations, n_of_uid, peer->uid);
	if (registration_find(daemon, peer->pid, peer->start_time))
		return fault_set(fault, -EEXIST, "process %lld is registered already",
				 (long long)peer->pid);
	/* A peer that is not trusted may take the place its own [Match] gives it, and no other. */
	if (!peer->is_privileged &&
	    (workload_is_registered_only(daemon->conf->workloads[index]) ||
	     !(process_matches(&daemon->sys, peer->pid, daemon->conf->workloads[index]) ||
	       world_has(daemon->world, (uint32_t)index, peer->pid, peer->start_time))))
		return fault_set(
			fault, -EACCES,
			"process %lld of user %u does not match workload '%s', expected root,"
			" group sidecard or a process that its [Match] names",
			(long long)peer->pid, peer->uid, daemon->conf->workloads[index]->name);
	return 0;
}

int registry_register(void *userdata, const struct peer *peer, const char *workload,
		      uint64_t lease_us, struct fault *fault)
{
	struct daemon *daemon = userdata;
	int index = daemon_index(daemon, workload), r, pidfd;
	struct registration registration = {
		.workload = (char *)workload,
		.pid = peer->pid,
		.start_time = peer->start_time,
		.uid = peer->uid,
		.deadline_us = UINT64_MAX,
	};

	if (index < 0)
		return fault_set(fault, -ENOENT, "no workload has that name");
	r = register_check(daemon, peer, index, fault);
	if (r < 0)
		return r;
	if (lease_us == 0)
		lease_us = daemon->conf->workloads[index]->lease_us;
	if (lease_us > 0) {
		registration.lease_us = lease_us < LEASE_LEAST_US ? LEASE_LEAST_US : lease_us;
		registration.deadline_us = daemon->sys.now_us(&daemon->sys) + registration.lease_us;
	}
	pidfd = fcntl(peer->pidfd, F_DUPFD_CLOEXEC, 3);
	if (pidfd < 0)
		return fault_set(fault, -errno, "no pidfd for process %lld: %s",
				 (long long)peer->pid, strerror(errno));
	r = world_register(daemon->world, (uint32_t)index, peer->pid, peer->start_time, pidfd);
	if (r < 0)
		return fault_set(fault, r, "cannot follow process %lld: %s", (long long)peer->pid,
				 strerror(-r));
	r = registration_add(daemon, &registration);
	/* Saved before it is acknowledged: an acknowledged registration survives kill -9. */
	if (r == 0)
		r = registry_save(daemon, fault);
	if (r < 0) {
		struct registration *added = registration_find(daemon, peer->pid, peer->start_time);

		world_release(daemon->world, peer->pid, peer->start_time);
		if (added)
			registration_drop(daemon, added);
		return fault_set(fault, r, "cannot keep the registration of process %lld: %s",
				 (long long)peer->pid, strerror(-r));
	}
	event_registered(workload, peer->pid);
	lease_arm(daemon);
	round_want(daemon);
	return PUBLISH_LATER;
}

/* A child's own cgroup may be tighter than all that the workload knew before: it is told its number
 * when the round that saw it is out, and not the one of the moment before. */
void registry_answer(struct daemon *daemon)
{
	int enabled = SD_EVENT_OFF;

	if (daemon->pending || daemon->round_wanted || daemon->next_conf ||
	    (daemon->settle_timer &&
	     sd_event_source_get_enabled(daemon->settle_timer, &enabled) > 0))
		return;
	publish_registered(daemon->publish);
}

int registry_heartbeat(void *userdata, const struct peer *peer, struct fault *fault)
{
	struct daemon *daemon = userdata;
	struct registration *registration = registration_find(daemon, peer->pid, peer->start_time);

	if (!registration)
		return fault_set(fault, -ENOENT, "process %lld is not registered",
				 (long long)peer->pid);
	if (registration->lease_us > 0) {
		registration->deadline_us = daemon->sys.now_us(&daemon->sys) +
					    registration->lease_us;
		lease_arm(daemon);
	}
	return 0;
}

int registry_release(void *userdata, const struct peer *peer, struct fault *fault)
{
	struct daemon *daemon = userdata;
	struct registration *registration = registration_find(daemon, peer->pid, peer->start_time);

	if (!registration)
		return fault_set(fault, -ENOENT, "process %lld is not registered",
				 (long long)peer->pid);
	world_release(daemon->world, peer->pid, peer->start_time);
	registration_end(daemon, registration, "it released its place");
	return 0;
}

void registry_process_ended(void *userdata, uint32_t workload, pid_t pid, uint64_t start_time)
{
	struct daemon *daemon = userdata;
	struct registration *registration = registration_find(daemon, pid, start_time);

	(void)workload;
	if (registration)
		registration_end(daemon, registration, "it ended");
}

/* ---- the checkpoint ---- */

static json_t *registration_json(const struct registration *registration)
{
	json_t *json = json_object();

	json_object_set_new(json, "workload", json_string(registration->workload));
	json_object_set_new(json, "pid", json_integer(registration->pid));
	json_object_set_new(json, "start_time", json_integer((json_int_t)registration->start_time));
	json_object_set_new(json, "uid", json_integer(registration->uid));
	json_object_set_new(json, "lease_us", json_integer((json_int_t)registration->lease_us));
	return json;
}

/* A value that may stand in a place. */
static json_t *ours_json(const struct cpuset *cpus, const struct nodeset *mems)
{
	cleanup(freep) char *cpu_list = cpuset_format(cpus);
	cleanup(freep) char *node_list = nodeset_format(mems);
	json_t *json = json_object();

	json_object_set_new(json, "cpus", json_string(cpu_list ? cpu_list : ""));
	json_object_set_new(json, "mems", json_string(node_list ? node_list : ""));
	return json;
}

static json_t *original_json(const struct held *held)
{
	const struct place *place = &held->place;
	json_t *json = json_object(), *ours = json_array();

	json_object_set_new(json, "original", json_string(held->original));
	json_array_append_new(ours, ours_json(&held->cpus, &held->mems));
	for (size_t i = 0; i < held->n_maybe; i++)
		json_array_append_new(ours, ours_json(&held->maybe[i].cpus, &held->maybe[i].mems));
	json_object_set_new(json, "ours", ours);
	if (place->kind == PLACE_UNIT)
		json_object_set_new(json, "unit", json_string(place->unit));
	if (place->cgroup)
		json_object_set_new(json, "cgroup", json_string(place->cgroup));
	if (place->kind == PLACE_CGROUP)
		json_object_set_new(json, "cgroup_id", json_integer((json_int_t)place->cgroup_id));
	if (place->kind == PLACE_PROCESS) {
		json_object_set_new(json, "pid", json_integer(place->pid));
		json_object_set_new(json, "start_time",
				    json_integer((json_int_t)place->start_time));
	}
	return json;
}

static json_t *state_json(const struct daemon *daemon)
{
	json_t *json = json_object(), *registrations = json_array(), *originals = json_array();

	json_object_set_new(json, "version", json_integer(STATE_VERSION));
	json_object_set_new(json, "generation", json_integer((json_int_t)daemon->generation));
	for (size_t i = 0; i < daemon->n_registrations; i++)
		json_array_append_new(registrations, registration_json(&daemon->registrations[i]));
	for (size_t i = 0; i < daemon->n_helds; i++)
		if (daemon->helds[i].original)
			json_array_append_new(originals, original_json(&daemon->helds[i]));
	json_object_set_new(json, "registrations", registrations);
	json_object_set_new(json, "originals", originals);
	json_object_set_new(json, "steady", steadies_json(daemon->regulation));
	return json;
}

int registry_save(struct daemon *daemon, struct fault *fault)
{
	cleanup(json_decrefp) json_t *json = state_json(daemon);
	cleanup(freep) char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	cleanup(close_fdp) int fd = -1;
	size_t n_text = text ? strlen(text) : 0;

	if (!text)
		return fault_set(fault, -ENOMEM, "no memory to save the state");
	fd = openat(daemon->runtime_dirfd, STATE_FILE_NEW,
		    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fault_set(fault, -errno, "cannot create %s: %s, keeping the old state",
				 STATE_FILE_NEW, strerror(errno));
	for (size_t done = 0; done < n_text;) {
		ssize_t n = write(fd, text + done, n_text - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int error = errno;

			unlinkat(daemon->runtime_dirfd, STATE_FILE_NEW, 0);
			return fault_set(fault, -error,
					 "cannot write %s: %s, keeping the old state",
					 STATE_FILE_NEW, strerror(error));
		}
		done += (size_t)n;
	}
	if (renameat(daemon->runtime_dirfd, STATE_FILE_NEW, daemon->runtime_dirfd, STATE_FILE) < 0)
		return fault_set(fault, -errno, "cannot replace %s: %s", STATE_FILE,
				 strerror(errno));
	return 0;
}

static uint64_t json_number(const json_t *json, const char *key)
{
	json_int_t number = json_integer_value(json_object_get(json, key));

	return number > 0 ? (uint64_t)number : 0;
}

/* The process must be the very one that registered: same number, same start. */
static void registration_load(struct daemon *daemon, const json_t *json)
{
	const char *workload = json_string_value(json_object_get(json, "workload"));
	struct registration registration = {
		.workload = (char *)workload,
		.pid = (pid_t)json_number(json, "pid"),
		.start_time = json_number(json, "start_time"),
		.uid = (uint32_t)json_number(json, "uid"),
		.lease_us = json_number(json, "lease_us"),
		.deadline_us = UINT64_MAX,
	};
	int index = workload ? daemon_index(daemon, workload) : -1, pidfd;
	uint64_t start_time;

	if (index < 0 || registration.pid <= 1 || daemon->n_registrations >= REGISTRATIONS_MAX ||
	    registration_find(daemon, registration.pid, registration.start_time))
		return;
	pidfd = daemon->sys.pidfd_open(&daemon->sys, registration.pid);
	if (pidfd < 0)
		return;
	if (process_read(&daemon->sys, registration.pid, &start_time, NULL) < 0 ||
	    start_time != registration.start_time) {
		close(pidfd);
		return;
	}
	if (registration.lease_us > 0)
		registration.deadline_us = daemon->sys.now_us(&daemon->sys) + registration.lease_us;
	if (world_register(daemon->world, (uint32_t)index, registration.pid, start_time, pidfd) ==
	    0)
		registration_add(daemon, &registration);
}

/* The first one is what was confirmed last. Malformed ones are left out: what is not known to be
 * ours is left alone. */
static void ours_load(struct held *held, const json_t *json)
{
	json_t *item;
	size_t i;

	json_array_foreach (json, i, item) {
		const char *cpu_list = json_string_value(json_object_get(item, "cpus"));
		const char *node_list = json_string_value(json_object_get(item, "mems"));
		cleanup(cpuset_done) struct cpuset cpus = { 0 };
		cleanup(nodeset_done) struct nodeset mems = { 0 };

		if (i == OURS_MAX || !cpu_list || cpuset_parse(cpu_list, &cpus) < 0 ||
		    (node_list && nodeset_parse(node_list, &mems) < 0))
			return;
		if (i == 0) {
			held->cpus = cpuset_take(&cpus);
			held->mems = nodeset_take(&mems);
		} else {
			held_expect(held, &cpus, &mems);
		}
	}
}

static void original_load(struct daemon *daemon, const json_t *json)
{
	const char *original = json_string_value(json_object_get(json, "original"));
	const char *unit = json_string_value(json_object_get(json, "unit"));
	const char *cgroup = json_string_value(json_object_get(json, "cgroup"));
	struct place place = {
		.kind = unit ? PLACE_UNIT : PLACE_CGROUP,
		.workload = PLACE_NOBODY,
		.unit = (char *)unit,
		.cgroup = (char *)cgroup,
		.cgroup_id = json_number(json, "cgroup_id"),
		.pid = (pid_t)json_number(json, "pid"),
		.start_time = json_number(json, "start_time"),
	};
	struct held *held;

	if (place.pid > 0)
		place.kind = PLACE_PROCESS;
	if (!original || (place.kind == PLACE_CGROUP && (place.cgroup_id == 0 || !cgroup)) ||
	    held_find(daemon, &place) || held_add(daemon, &place, &held) < 0)
		return;
	held->original = strdup(original); /* NULL: looked at again */
	ours_load(held, json_object_get(json, "ours"));
}

static json_t *state_read(struct daemon *daemon)
{
	cleanup(close_fdp) int fd = openat(daemon->runtime_dirfd, STATE_FILE,
					   O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	cleanup(freep) char *text = NULL;
	json_error_t error;
	json_t *json = NULL;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return NULL; /* a first life */
	if (S_ISREG(st.st_mode) && st.st_uid == geteuid() && st.st_size < STATE_SIZE_MAX) {
		ssize_t n;

		text = malloc((size_t)st.st_size + 1);
		n = text ? pread(fd, text, (size_t)st.st_size, 0) : -1;
		if (n >= 0)
			json = json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, &error);
	}
	if (json && json_number(json, "version") == STATE_VERSION)
		return json;
	json_decref(json);
	renameat(daemon->runtime_dirfd, STATE_FILE, daemon->runtime_dirfd, STATE_FILE ".refused");
	event_degraded("the saved state is not readable and was set aside as " STATE_FILE
		       ".refused; registrations of an earlier life are lost");
	return NULL;
}

void registry_load(struct daemon *daemon)
{
	cleanup(json_decrefp) json_t *json = state_read(daemon);
	json_t *item;
	size_t i;

	if (!json)
		return;
	if (json_number(json, "generation") > daemon->generation)
		daemon->generation = json_number(json, "generation");
	json_array_foreach (json_object_get(json, "registrations"), i, item)
		registration_load(daemon, item);
	json_array_foreach (json_object_get(json, "originals"), i, item)
		original_load(daemon, item);
	steadies_load(daemon->regulation, json_object_get(json, "steady"));
	lease_arm(daemon);
}
