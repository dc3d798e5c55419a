/* What is there now: the cgroups, units and processes that workloads match, and the limits above
 * them. Kept current by events alone (inotify on directories, kernel uevents, PID 1's signals,
 * pidfds, the process connector); nothing here decides or touches.
 *
 * A cgroup that carries or contains a workload's place, and each of its ancestors up to the root we
 * see, is a limit. A unit that is configured but not running has the limits that PID 1 states for
 * it and its slices, so that its first process already finds the right number. */
#pragma once

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "base/err.h"
#include "base/sys.h"
#include "model/snapshot.h"
#include "plan/plan_diff.h"

struct world;

enum world_change {
	/* A place appeared, ended or moved; limits may be new: indices changed. */
	WORLD_PLACES = 1 << 0,
	/* What a foreign cpuset allows changed. */
	WORLD_CPUSETS = 1 << 1,
	/* Somebody wrote cpuset.cpus of a place, or a unit was reloaded: look again. */
	WORLD_DRIFT = 1 << 2,
	/* A PU went online or offline: load the topology again. */
	WORLD_TOPOLOGY = 1 << 3,
	/* Quota of some limit changed, indices kept; told by quota_changed, not by changed. */
	WORLD_BANDWIDTH = 1 << 4,
	/* cpu.weight of some limit changed, indices kept. */
	WORLD_WEIGHTS = 1 << 5,
};

struct world_listener {
	void *userdata;
	/* At once, straight from the event: the quota of limits[@limit] has changed. The hot path.
	 * Must not call what changes the world (world_set_*, world_rescan, world_register,
	 * world_release). */
	void (*quota_changed)(void *userdata, uint32_t limit);
	/* Once per burst, after all that was pending was read: bits of enum world_change. */
	void (*changed)(void *userdata, unsigned changes);
	/* A registered process ended; its place is gone already. */
	void (*process_ended)(void *userdata, uint32_t workload, pid_t pid, uint64_t start_time);
	/* Something worth a line in the log, once: "no v2 cpu controller at …", "process connector
	 * not to be had: …". May come from within world_open(). */
	void (*notice)(void *userdata, const char *text);
	/* Which executable does another user's process run? We may not read that ourselves; the
	 * answer is world_identified(). 0; -EAGAIN: later; other -errno: nobody can tell. NULL:
	 * nobody can. */
	int (*identify)(void *userdata, pid_t pid, uint64_t start_time);
};

struct world_options {
	/* Directory of the v2 hierarchy, or any directory tree that looks like one; NULL: no
	 * cgroups at all. Each watched cgroup takes a descriptor of its directory, and one of its
	 * cpu.max where that gets a number below @keep_below_fd (0: always); the others' is opened
	 * at each change. */
	const char *cgroup_root;
	int keep_below_fd;
	/* Where we are below it; NULL where not known. */
	const char *own_cgroup;
	/* PID 1's bus, attached to @event; NULL: units are known by their directories' names only.
	 */
	sd_bus *bus;
	/* A socket of the process connector from where such sockets can be had (we may be in a
	 * network namespace without); taken over. 0: none. */
	int proc_events_fd;
};

/* @sys, @event and the strings of @options must outlive it. 0 or -errno. */
int world_open(const struct sys *sys, sd_event *event, const struct world_options *options,
	       const struct world_listener *listener, struct world **ret_world,
	       struct fault *fault);
struct world *world_free(struct world *world);
void world_freep(struct world **world);

/* What to look for from now on; looks at once and reads all, so nothing of it is reported. The
 * workloads are sorted by name, as in the snapshot, and borrowed until the next call. Registered
 * processes whose workload is still there by name are kept. 0 or -ENOMEM, with @fault: then it
 * looks again at the next event. */
int world_set_workloads(struct world *world, const struct workload *const *workloads,
			size_t n_workloads, struct fault *fault);
/* Another connection to PID 1's bus in place of one that is gone, or the first. What PID 1 told is
 * kept until it tells again. 0 or -errno: then units are known by their directories only. */
int world_set_bus(struct world *world, sd_bus *bus);
/* Also report as places of PLACE_NOBODY what ConfineSystem= keeps off exclusive PUs: system.slice,
 * user.slice and init.scope, or, where a workload's cgroup lies inside one of them, its other
 * children. */
void world_set_confine_system(struct world *world, bool confine);

/* Reads everything again: after SIGCONT or when in doubt (after IN_Q_OVERFLOW and ENOBUFS it does
 * so itself). What turned out to have changed is reported before it returns. 0 or -ENOMEM. */
int world_rescan(struct world *world, struct fault *fault);

/* Views, valid until the event loop runs again. Limits: a parent before its children; the same tree
 * always gives the same indices. Places are sorted by workload, kind and key: unit name, cgroup
 * path, pid. They change only together with the report of WORLD_PLACES; until then an index that
 * quota_changed gives is one of theirs. */
const struct limit *world_limits(const struct world *world, size_t *ret_n_limits);
const struct place *world_places(const struct world *world, size_t *ret_n_places);
/* The deepest limit that all places of the workload are under (their tightest one where they are
 * apart); LIMIT_NONE. */
uint32_t world_limit_of(const struct world *world, uint32_t workload);
/* cpuset.cpus.effective of the nearest ancestor that is not ours to write; NULL: no bound. */
const struct cpuset *world_cpuset_of(const struct world *world, uint32_t workload,
				     const char **ret_path);
/* The PUs we may use at all: cpuset.cpus.effective of the root we see, or our own inherited
 * affinity where there is no cpuset. */
const struct cpuset *world_allowed(const struct world *world);

/* A registered child: a place of PLACE_PROCESS that lives as long as the process. Takes over
 * @pidfd, also on failure. A process that a workload matched by itself becomes the registered
 * one's. The views have it when WORLD_PLACES is reported, in the same turn of the event loop;
 * likewise for a release. 0, -ESRCH (not, or no longer, this process; no such workload), -EEXIST,
 * -ENOMEM. */
int world_register(struct world *world, uint32_t workload, pid_t pid, uint64_t start_time,
		   int pidfd);
int world_release(struct world *world, pid_t pid, uint64_t start_time);

/* The answer to listener.identify(), each exactly once: the target of PID/exe; "" where nobody may
 * read it; NULL: it has ended, or has none. 0 or -ENOMEM. */
int world_identified(struct world *world, pid_t pid, uint64_t start_time, const char *executable);
/* Is the process known as one that @workload matches? */
bool world_has(const struct world *world, uint32_t workload, pid_t pid, uint64_t start_time);

/* True where nobody is still asked about what is configured: with PID 1's bus, false until it has
 * answered for every unit (WORLD_PLACES is reported with the last answer), and while an executable
 * is being asked for. */
bool world_is_known(const struct world *world);
/* The second half of it: every executable that was asked for is known. */
bool world_is_identified(const struct world *world);

/* How many cgroups are watched: for GetInfo and tests. */
size_t world_n_watched(const struct world *world);

/* Start time (field 22 of PID/stat) and cgroup v2 path of a process. 0 or -ESRCH. @ret_cgroup
 * malloc'ed; either may be NULL. Check a pidfd afterwards. */
int process_read(const struct sys *sys, pid_t pid, uint64_t *ret_start_time, char **ret_cgroup);
/* Does the process match the process keys and cgroup keys of @workload? For a registration's
 * authority. */
bool process_matches(const struct sys *sys, pid_t pid, const struct workload *workload);
