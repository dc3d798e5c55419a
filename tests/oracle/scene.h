/* A machine of any size with any number of workloads, for the proofs and the figures of the
 * planner. Whatever cannot be made (no memory, a shape that contradicts itself) ends the program:
 * nothing here comes from outside. */
#pragma once

#include "plan/plan.h"
#include "property/random.h"

/* How many of each in each of the one before. */
struct scene_shape {
	uint32_t n_package, n_node, n_l3, n_core, n_pu;
	uint32_t n_off_permille; /* PUs that are offline, chosen at random */
};

struct scene_want {
	uint32_t n_least, n_most; /* PUs; WORKLOAD_MAX_UNSET: no most */
	enum workload_role role;
	enum workload_smt smt;
	enum numa_policy policy;
	bool is_shared; /* else exclusive */
};

struct scene {
	struct topology *topology;
	struct housekeeping housekeeping;
	struct cpuset allowed;
	struct pool *pools[1];
	struct workload **confs;
	struct snapshot_workload *workloads;
	size_t n_allocated;
	struct snapshot snapshot;
};

/* @seed: for what is offline. At least one PU is online. */
void scene_open(struct scene *scene, const struct scene_shape *shape, uint64_t *seed);
/* Takes the machine over. */
void scene_open_machine(struct scene *scene, struct topology *topology);
void scene_close(struct scene *scene);
/* Names count up, so that the order of adding is that of names. Returns the index. */
size_t scene_add(struct scene *scene, const struct scene_want *want);
void scene_remove_all(struct scene *scene);
/* Only a part of the machine may be used: each PU is left out with a probability of @permille. */
void scene_allow_some(struct scene *scene, uint32_t permille, uint64_t *seed);

/* A plan, or the end of the program. */
struct plan *scene_plan(const struct scene *scene, const struct plan *previous);
/* The same by a planner that is kept. */
struct plan *scene_plan_by(const struct scene *scene, struct planner *planner,
			   const struct plan *previous);

/* Prints a line and ends the program. */
void scene_end(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void *scene_alloc(size_t n, size_t size);
/* A permutation of 0 .. n - 1; free it. */
uint32_t *scene_shuffle(uint32_t n, uint64_t *seed);
