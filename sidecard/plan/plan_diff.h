/* Two plans and the places that workloads live in → ordered steps: narrow the losers, verify that
 * nothing of theirs can run there any more, widen the winners. Pure. */
#pragma once

#include <sys/types.h>

#include "plan/plan.h"

enum place_kind {
	PLACE_UNIT,    /* a systemd unit: D-Bus runtime properties */
	PLACE_CGROUP,  /* a delegated or systemd-free cgroup: cpuset files */
	PLACE_PROCESS, /* every thread of a process: affinity */
};

/* Something that a workload lives in, as sensed. Keys are the cgroup id and pid + start time, never
 * a path or a bare pid. */
struct place {
	enum place_kind kind;
	uint32_t workload; /* index into the snapshot's workloads; PLACE_NOBODY for the system's own
			    */
	char *unit;	   /* PLACE_UNIT */
	char *cgroup;	   /* path below the cgroup root, "/" first; "" where not known (an inactive
			      unit) */
	uint64_t cgroup_id;  /* inode; 0 where not known */
	pid_t pid;	     /* PLACE_PROCESS */
	uint64_t start_time; /* field 22 of /proc/PID/stat, clock ticks since boot */
};

/* A place of the system that is kept off exclusive PUs (ConfineSystem=). */
#define PLACE_NOBODY UINT32_MAX

enum step_phase { STEP_NARROW, STEP_WIDEN };

struct step {
	enum step_phase phase;
	const struct place *place; /* borrowed */
	struct cpuset cpus;	   /* never empty */
	struct nodeset mems;	   /* empty: leave memory alone */
};

struct steps {
	struct step *items;
	size_t n_items;
};

/* What each place should have, @held what it is known to have now (n_places sets; an empty set: not
 * known, so it is written). A place whose set is right already gets no step. All narrow steps come
 * first, ordered by place; a place that both loses and gains is narrowed to the intersection first.
 * Where that is empty it is moved in the narrow phase: to what of its new set no exclusive workload
 * has now, else to PUs that are nobody's, where it waits for the widen phase; so no two exclusive
 * workloads ever meet, unless the machine is exclusive to the last PU. Places of PLACE_NOBODY, and
 * of workloads that are not placed, get every planned PU that is not exclusive, or no step where
 * there is none. Memory is set where the place has no process yet (cgroup_id 0; not with
 * Memory=preferred, which is what the kernel does anyway) or with Migrate=yes. 0 or -ENOMEM. */
int plan_diff(const struct plan *plan, const struct place *places, size_t n_places,
	      const struct cpuset *held, struct steps *ret_steps);

void steps_done(struct steps *steps);
