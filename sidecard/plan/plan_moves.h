/* What a plan changes against an earlier one: PUs that move and memory that stays behind. */
#pragma once

#include <jansson.h>

#include "plan/plan.h"

struct moves {
	uint32_t n_moved; /* PUs that workloads had and others of theirs now stand in for */
	uint32_t n_gained, n_lost; /* beyond that: where a workload has more or less of them */
	uint32_t n_workloads;	   /* whose PUs differ */
	uint64_t remote_bytes;	   /* MemorySize= on nodes that are near no more */
};

/* Of all workloads that both plans place. 0 or -ENOMEM. */
int plan_moves(const struct plan *plan, const struct plan *held, const struct topology *topology,
	       struct moves *ret_moves);

/* {"n_moved","n_gained","n_lost","remote_bytes","workloads":[{"name","before","after","n_moved",
 * "remote_nodes"}]}: those whose PUs differ. New reference; NULL where memory is short. */
json_t *plan_moves_json(const struct plan *plan, const struct plan *held,
			const struct topology *topology);

/* The same for people, a line a workload and one in all: malloc'ed; NULL where memory is short. */
char *plan_moves_text(const struct plan *plan, const struct plan *held,
		      const struct topology *topology);
