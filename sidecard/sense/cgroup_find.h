/* Where cgroup v2 is mounted, in which mode and with which controllers; libcgroup stays in
 * cgroup_find.c, which runs in the probe. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

enum cgroup_mode { CGROUP_NONE, CGROUP_UNIFIED, CGROUP_HYBRID, CGROUP_LEGACY };

struct cgroup_mount {
	enum cgroup_mode mode;
	char *path; /* where the v2 hierarchy is mounted; NULL where there is none */
	char *own;  /* our own cgroup below it, "/" first (from /proc/self/cgroup); NULL without
		       path */
	bool namespaced; /* the root that we see is a cgroup namespace's, not the host's */
	bool has_cpu;	 /* the v2 controllers there are at the root we see */
	bool has_cpuset;
	bool has_memory;
};

/* By libcgroup, in this process: for the probe. 0 or -errno. */
int cgroup_find(struct cgroup_mount *ret_mount, struct fault *fault);
/* The same through the probe (`sidecard-probe cgroup`), as topo_load() does. */
int cgroup_find_load(struct cgroup_mount *ret_mount, struct fault *fault);
void cgroup_mount_done(struct cgroup_mount *mount);

/* The probe's answer: lines "mode unified|hybrid|legacy|none", "namespaced 0|1", "cpu 0|1", "cpuset
 * 0|1", "memory 0|1", where there is a v2 mount "path PATH" and "own PATH", then "end". malloc'ed;
 * NULL where memory is short. */
char *cgroup_mount_format(const struct cgroup_mount *mount);
/* The reverse. 0, -EINVAL, -ENOMEM. */
int cgroup_mount_parse(const char *text, struct cgroup_mount *ret_mount, struct fault *fault);
