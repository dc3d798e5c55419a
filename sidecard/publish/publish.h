/* Plan → what everybody reads: live pages, env files, the Varlink socket, D-Bus. In this order, the page first: it is the one that somebody waits on. */
#pragma once

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
	uint64_t generation;         /* of the newest change of anything */
	const uint64_t *generations; /* per workload: of its own last change */
	/* Extra environment per workload, from its plugin and Environment= lines: n_environments[i] strings KEY=VALUE. */
	const struct strings *environments;
};

/* Who asks, established by the kernel: never what they say. */
struct peer {
	uint32_t uid, gid;
	pid_t pid;
	uint64_t start_time;
	int pidfd;          /* borrowed; -1 where the bus gave none */
	bool is_privileged; /* root of the host's own namespaces, our own uid, or in group sidecard */
};

/* What publishers ask of the daemon. Each returns 0 or -errno with @fault: -EACCES, -ENOENT (no such workload), -EEXIST, -ENOSPC (too many). */
struct publish_handler {
	void *userdata;
	/* Registers the peer's own process; @lease_us 0: until it ends. */
	int (*register_process)(void *userdata, const struct peer *peer, const char *workload, uint64_t lease_us,
				struct fault *fault);
	int (*heartbeat)(void *userdata, const struct peer *peer, struct fault *fault);
	int (*release)(void *userdata, const struct peer *peer, struct fault *fault);
	/* Reads the configuration again; @faults gets every fault of every file. */
	int (*reload)(void *userdata, const struct peer *peer, struct fault_list *faults);
	/* malloc'ed text, NULL where there is no such workload. */
	char *(*explain)(void *userdata, const char *workload);
};

struct publish_options {
	const char *runtime_dir; /* /run/sidecard: env/, live/ and io.sidecard are made below it */
	sd_event *event;         /* NULL: files only, no socket (offline tools, tests) */
	sd_bus *bus;             /* NULL: no D-Bus */
	const struct sys *sys;   /* for the identity of peers */
};

int publish_open(const struct publish_options *options, const struct publish_handler *handler,
		 struct publish **ret_publish, struct fault *fault);
/* Closes; files and pages stay: a dead sidecard harms nobody. */
struct publish *publish_free(struct publish *publish);
void publish_freep(struct publish **publish);

/* Makes @view visible everywhere. @changed[i]: workload i's answer is new (its generation is view->generation). Workloads that were in the earlier view and
 * are not in this one lose their env file; their page is marked gone, then unlinked. A failure of one way (ENOSPC) does not stop the others: 0, or the last -errno
 * with @fault. */
int publish_update(struct publish *publish, const struct publish_view *view, const bool *changed,
		   struct fault *fault);

/* The highest generation found in pages that an earlier life left behind; 0 where there are none. */
uint64_t publish_found_generation(const struct publish *publish);

/* publish_page.c: one page per workload, /run/sidecard/live/NAME (layout: sidecard.h). */
struct pages;
int pages_open(int runtime_dirfd, struct pages **ret_pages, struct fault *fault);
struct pages *pages_free(struct pages *pages);
int pages_write(struct pages *pages, const struct plan_workload *workload, uint64_t generation, struct fault *fault);
int pages_remove(struct pages *pages, const char *name);
uint64_t pages_found_generation(const struct pages *pages);

/* publish_env.c: /run/sidecard/env/NAME.env, replaced atomically. */
char *env_format(const struct plan_workload *workload, uint64_t generation, const struct strings *extra);
int env_write(int env_dirfd, const struct plan_workload *workload, uint64_t generation, const struct strings *extra,
	      struct fault *fault);
int env_remove(int env_dirfd, const char *name);

/* publish_socket.c: Varlink on /run/sidecard/io.sidecard. */
struct sockets;
int sockets_open(const struct publish_options *options, const struct publish_handler *handler, int runtime_dirfd,
		 const struct publish_view *const *view, struct sockets **ret_sockets, struct fault *fault);
struct sockets *sockets_free(struct sockets *sockets);
void sockets_update(struct sockets *sockets, const bool *changed);

/* publish_bus.c: io.sidecard1. */
struct bus;
int bus_open(sd_bus *bus, const struct publish_handler *handler, const struct publish_view *const *view,
	     struct bus **ret_bus, struct fault *fault);
struct bus *bus_free(struct bus *bus);
void bus_update(struct bus *bus, const bool *changed);
