/* Topology + quotas + workloads at one instant. A view: it borrows everything, is filled by the
 * caller (daemon.c or the offline tools) and is const for the planner. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/cpuset.h"
#include "model/topology.h"
#include "model/workload.h"

#define LIMIT_NONE UINT32_MAX

/* One level of bandwidth control: a cgroup that a workload lives in or below. A parent has a lower
 * index than its children, so one pass in order sees ancestors first. */
struct limit {
	uint32_t parent;     /* LIMIT_NONE at the top */
	uint32_t quota_mcpu; /* this level's own cpu.max; QUOTA_UNLIMITED_MCPU */
	uint32_t weight;     /* cpu.weight 1..10000, 100 where not known */
	const char *path;    /* "/a/b", for limited_by */
};

enum housekeeping_kind {
	HOUSEKEEPING_AUTO,
	HOUSEKEEPING_NONE,
	HOUSEKEEPING_COUNT,
	HOUSEKEEPING_LIST
};

struct housekeeping {
	enum housekeeping_kind kind;
	uint32_t n_pu;	    /* HOUSEKEEPING_COUNT */
	struct cpuset cpus; /* HOUSEKEEPING_LIST */
};

struct snapshot_workload {
	const struct workload *conf;
	uint32_t limit; /* index into limits[]: the deepest cgroup that holds all of it; LIMIT_NONE
			 */
	const struct cpuset *cpuset; /* PUs that cpusets which are not ours allow it; NULL: all */
	const char *cpuset_path;     /* the cgroup that says so, for limited_by */
	bool plugin_rounds_up;	     /* Rounding=plugin: its plugin wants ceil */
	uint32_t regulated;	     /* threads that its regulator asks for; 0: it has none */
};

struct snapshot {
	const struct topology *topology;
	const struct cpuset
		*allowed; /* only these PUs may be used, as a subset of topology->cpus; NULL: all */
	const struct housekeeping *housekeeping;
	const struct pool *const *pools; /* n_pools, "default" among them */
	size_t n_pools;
	const struct snapshot_workload *workloads; /* sorted by name, names unique */
	size_t n_workloads;
	const struct limit *limits;
	size_t n_limits;
	uint64_t deadline_us; /* [Planner] Deadline=: how long a search may take; 0: the default */
};

#define SNAPSHOT_DEADLINE_US 2000u /* where deadline_us is 0 */
