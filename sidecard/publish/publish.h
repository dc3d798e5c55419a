/* Plan → what everybody reads: live pages, the Varlink socket, D-Bus, env files. In this order: the
 * page is the one that somebody waits on, an env file the one that nobody does. */
#pragma once

#include <jansson.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "base/err.h"
#include "base/sys.h"
#include "plan/plan.h"

struct publish;

/* What is published now; borrowed until the next publish_update(). */
struct publish_view {
	const struct plan *plan;
	const struct snapshot *snapshot;
	uint64_t generation;	     /* of the newest change of anything */
	const uint64_t *generations; /* per workload: of its own last change */
	/* Extra environment per workload, from its plugin and Environment= lines: n_environments[i]
	 * strings KEY=VALUE. */
	const struct strings *environments;
	/* Per workload, for who registers: arguments that its plugin proposes, and the names of
	 * those variables that go behind what the caller's environment has. NULL: none. */
	const struct strings *arguments, *appended;
	/* Per workload: lines of a configuration that its plugin proposes. NULL: none. */
	const struct strings *lines;
	/* A promise that the workloads (names and order) are those of the earlier update, so that a
	 * change of one quota costs nothing per workload that kept its answer. False: every name is
	 * compared. */
	bool same_workloads;
};

/* Who asks, established by the kernel: never what they say. */
struct peer {
	uint32_t uid, gid;
	pid_t pid;
	uint64_t start_time;
	int pidfd;	    /* borrowed; -1 where the bus gave none */
	bool is_privileged; /* root of the host's own namespaces, our own uid, or in group sidecard
			     */
};

enum { PUBLISH_LATER = 1 };

/* What publishers ask of the daemon. Each returns 0 or -errno with @fault: -EACCES, -ENOENT (no
 * such workload), -EEXIST, -ENOSPC (too many). */
struct publish_handler {
	void *userdata;
	/* Registers the peer's own process; @lease_us 0: until it ends. PUBLISH_LATER: it is done,
	 * and publish_registered() tells when its place and numbers are those with it in. */
	int (*register_process)(void *userdata, const struct peer *peer, const char *workload,
				uint64_t lease_us, struct fault *fault);
	int (*heartbeat)(void *userdata, const struct peer *peer, struct fault *fault);
	int (*release)(void *userdata, const struct peer *peer, struct fault *fault);
	/* Reads the configuration again; @faults gets every fault of every file. 0 with faults: it
	 * is taken all the same, they cost a workload no more than its plugin. PUBLISH_LATER:
	 * publish_reload_finished() tells. */
	int (*reload)(void *userdata, const struct peer *peer, struct fault_list *faults);
	/* malloc'ed text, NULL where there is no such workload. */
	char *(*explain)(void *userdata, const char *workload);
	/* For peers that are privileged; each may be NULL. New references: what regulators were
	 * given and said since line @after, and what workloads whose names are above @after (NULL:
	 * all) use at this moment. NULL where memory is short. */
	json_t *(*samples)(void *userdata, uint64_t after);
	json_t *(*measure)(void *userdata, const char *after);
	/* The env file of workload @i is written next: the time to make view->environments[i],
	 * which nobody waits on within microseconds. NULL: all are there already. 0, or
	 * PUBLISH_LATER: the file stays owed until it is there. */
	int (*environment_wanted)(void *userdata, size_t i);
};

struct publish_options {
	const char *runtime_dir; /* /run/sidecard: env/, live/ and io.sidecard are made below it */
	sd_event *event;	 /* NULL: files only, no socket (offline tools, tests) */
	sd_bus *bus;		 /* NULL: no D-Bus */
	const struct sys *sys;	 /* for the identity of peers */
	/* A listening socket that the service manager passed, to be used in place of one of our
	 * own; taken over. Those begin at 3 (sd_listen_fds(3)); anything below: none. */
	int listen_fd;
};

/* Makes runtime_dir (its parent must exist), env/ and live/, 0755. Refuses (-EPERM) one that
 * another user owns or may write, and (-EBUSY) one that a living sidecard publishes in. Nothing is
 * published or removed before the first publish_update(). A socket or bus that cannot be opened
 * does not stop the others: 0, and fault->error tells (it is 0 where all is well). */
int publish_open(const struct publish_options *options, const struct publish_handler *handler,
		 struct publish **ret_publish, struct fault *fault);
/* Closes; files and pages stay: a dead sidecard harms nobody. */
struct publish *publish_free(struct publish *publish);
void publish_freep(struct publish **publish);

/* Another connection in place of the one that is gone, with all that is published now; NULL: none.
 * 0 or -errno. */
int publish_set_bus(struct publish *publish, sd_bus *bus, struct fault *fault);
/* As bus_state(); -ENOTCONN where there is no bus. */
int publish_bus_state(const struct publish *publish);

/* Makes @view visible everywhere. @changed[i]: workload i's answer is new (its generation is
 * view->generation). Workloads that were in the earlier view and are not in this one lose their env
 * file; their page is marked gone, then unlinked. A failure of one way (ENOSPC) does not stop the
 * others: 0, or the last -errno with @fault. What failed for a workload is tried again at the next
 * update. The first update writes every workload, changed or not, and removes pages and env files
 * that an earlier life left of others. Env files are owed from here on: publish_files(). */
int publish_update(struct publish *publish, const struct publish_view *view, const bool *changed,
		   struct fault *fault);
/* Writes the env files that are owed. Apart from the update, because making and replacing a file
 * takes longer than everything else together, and whoever wrote the quota often shares a PU with us
 * and waits until we sleep. 0, or the last -errno with @fault; what failed stays owed. */
int publish_files(struct publish *publish, struct fault *fault);

/* To everybody who waits since handler.reload() returned PUBLISH_LATER: as if it had returned
 * @result with @faults. */
void publish_reload_finished(struct publish *publish, int result, const struct fault_list *faults);

/* To everybody who waits since handler.register_process() returned PUBLISH_LATER: nothing is being
 * planned or applied. Who waits for a workload whose env file is owed goes on waiting. */
void publish_registered(struct publish *publish);

/* The highest generation found in pages that an earlier life left behind; 0 where there are none.
 */
uint64_t publish_found_generation(const struct publish *publish);

/* publish_page.c: one page per workload, /run/sidecard/live/NAME (layout: sidecard.h). */
struct pages;
/* Reads what an earlier life left behind; changes nothing but to remove half-made files. */
int pages_open(int runtime_dirfd, struct pages **ret_pages, struct fault *fault);
struct pages *pages_free(struct pages *pages);
/* Stores the answer and wakes who waits. The first write of a name goes on with the page of an
 * earlier life where that is sound (its readers stay), else replaces whatever has the name.
 * @generation: above that of every earlier answer. 0 or -errno. */
int pages_write(struct pages *pages, const struct plan_workload *workload, uint64_t generation,
		struct fault *fault);
/* Marks the page gone, wakes its readers, unlinks it. What has the name and is no regular file of
 * ours stays. 0 (also where there is none) or -errno. */
int pages_remove(struct pages *pages, const char *name);
uint64_t pages_found_generation(const struct pages *pages);

/* publish_env.c: /run/sidecard/env/NAME.env, replaced atomically.
 *
 * One NAME=VALUE a line, read alike by EnvironmentFile= and by a shell's `.`: a value of other than
 * harmless characters stands in double quotes. A value never leaves its line: control characters,
 * and whatever else systemd would refuse the file for, are written as \xNN; of a cgroup path also
 * every byte beyond ASCII. SIDECARD_QUOTA_MCPU is "max" where unlimited. A workload that is not
 * placed gets no _CPUS, _NODES, _MEMS, _N_PU and _N_CORE, because an empty set or a 0 would pin to
 * nothing or divide by it; its parallelism is still at least 1. Lines of @extra that are not
 * NAME=VALUE, or that would override one of ours, are left out. malloc'ed; NULL where memory is
 * short. */
char *env_format(const struct plan_workload *workload, uint64_t generation,
		 const struct strings *extra);
int env_write(int env_dirfd, const struct plan_workload *workload, uint64_t generation,
	      const struct strings *extra, struct fault *fault);
/* 0 (also where there is none) or -errno. */
int env_remove(int env_dirfd, const char *name);

/* publish_fragment.c: /run/sidecard/conf/NAME.conf, what plugins propose as lines of a
 * configuration, a line each. One that is there and the same is not written again. 0 or -errno. */
#define FRAGMENT_SUFFIX ".conf"
int fragment_write(int conf_dirfd, const char *name, const struct strings *lines,
		   struct fault *fault);
/* 0 (also where there is none) or -errno. */
int fragment_remove(int conf_dirfd, const char *name);

/* Whole-file replacement, for env files and new pages: @name in @dirfd becomes a file of mode 0644
 * with these bytes, or (-errno) stays what it was. Nobody sees a half one. */
int file_replace(int dirfd, const char *name, const void *data, size_t n_bytes);
/* Removes what a life that ended inside file_replace() left. */
void file_sweep(int dirfd);

/* publish_socket.c: Varlink on /run/sidecard/io.sidecard. */
struct sockets;
int sockets_open(const struct publish_options *options, const struct publish_handler *handler,
		 int runtime_dirfd, const struct publish_view *const *view,
		 struct sockets **ret_sockets, struct fault *fault);
struct sockets *sockets_free(struct sockets *sockets);
void sockets_update(struct sockets *sockets, const bool *changed);
void sockets_reload_finished(struct sockets *sockets, int result, const struct fault_list *faults);
/* @is_ready: the answer for workload i is complete. */
void sockets_registered(struct sockets *sockets, bool (*is_ready)(const void *userdata, size_t i),
			const void *userdata);

/* publish_bus.c: io.sidecard1. */
struct bus;
int bus_open(sd_bus *bus, const struct publish_handler *handler,
	     const struct publish_view *const *view, struct bus **ret_bus, struct fault *fault);
/* For the identity of callers: until it is known, every method that changes something is refused.
 */
void bus_set_sys(struct bus *bus, const struct sys *sys);
/* 0: the name is ours, or is being asked for; -ENOTCONN: the connection is gone, open another; else
 * why the name could not be had. */
int bus_state(const struct bus *bus);
struct bus *bus_free(struct bus *bus);
void bus_update(struct bus *bus, const bool *changed);
void bus_reload_finished(struct bus *bus, int result, const struct fault_list *faults);
