/* Placements whose every number follows from the generation, so that an answer made of two shows.
 * For the tests and the benchmark of live pages. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edge/sidecard.h"
#include "plan/plan.h"

#define N_PLACEMENTS 64

struct placements {
	struct workload *conf;
	struct plan_workload items[N_PLACEMENTS];
	struct sidecard_answer
		answers[N_PLACEMENTS]; /* what a page should say; without generation */
};

static inline void placement_make(struct placements *all, uint32_t k)
{
	struct plan_workload *item = &all->items[k];
	struct sidecard_answer *answer = &all->answers[k];

	item->conf = all->conf;
	item->placed = true;
	cpuset_add_range(&item->cpus, k, 2 * k);
	cpuset_add(&item->cpus, CPUSET_MAX - 1 - k);
	nodeset_add(&item->nodes, k);
	nodeset_add(&item->mems, NODESET_MAX - 1 - k);
	item->n_pu = answer->n_pu = k + 2;
	item->n_core = answer->n_core = k + 1000;
	item->quota_mcpu = answer->quota_mcpu = k * 10 + 1;
	item->parallelism.advised = answer->parallelism = k + 1;
	item->parallelism.floor = answer->parallelism_floor = k + 2000;
	item->parallelism.ceil = answer->parallelism_ceil = k + 3000;
	item->limited_by = LIMITED_BY_QUOTA;
	if (asprintf(&item->limited_by_path, "/%0*u", (int)(k + 1), k) < 0)
		item->limited_by_path = NULL;
	snprintf(answer->limited_by, sizeof(answer->limited_by), "cpu.max of /%0*u", (int)(k + 1),
		 k);
	answer->flags = SIDECARD_FLAG_PLACED;
	answer->n_node = 1;
	for (uint32_t pu = k; pu <= 2 * k; pu++)
		answer->cpus[pu / 64] |= UINT64_C(1) << pu % 64;
	answer->cpus[(CPUSET_MAX - 1 - k) / 64] |= UINT64_C(1) << (CPUSET_MAX - 1 - k) % 64;
	answer->nodes[k / 64] |= UINT64_C(1) << k % 64;
	answer->mems[(NODESET_MAX - 1 - k) / 64] |= UINT64_C(1) << (NODESET_MAX - 1 - k) % 64;
}

static inline struct placements *placements_new(const char *name)
{
	struct placements *all = calloc(1, sizeof(*all));

	if (!all)
		return NULL;
	all->conf = workload_new(name);
	for (uint32_t k = 0; k < N_PLACEMENTS; k++)
		placement_make(all, k);
	return all;
}

static inline void placements_free(struct placements *all)
{
	for (uint32_t k = 0; all && k < N_PLACEMENTS; k++) {
		cpuset_done(&all->items[k].cpus);
		nodeset_done(&all->items[k].nodes);
		nodeset_done(&all->items[k].mems);
		free(all->items[k].limited_by_path);
	}
	if (all)
		workload_free(all->conf);
	free(all);
}

static inline const struct plan_workload *placement_of(const struct placements *all,
						       uint64_t generation)
{
	return &all->items[generation % N_PLACEMENTS];
}

/* Is every byte of @answer that of its generation? */
static inline bool answer_is_whole(const struct placements *all,
				   const struct sidecard_answer *answer)
{
	const size_t after = sizeof(answer->generation);

	return memcmp((const char *)answer + after,
		      (const char *)&all->answers[answer->generation % N_PLACEMENTS] + after,
		      sizeof(*answer) - after) == 0;
}
