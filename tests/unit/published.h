/* A small machine with any number of workloads, published by hand: what the tests of the socket and
 * of D-Bus talk about. */
#pragma once

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "publish/publish.h"

#define N_PUBLISHED_MAX 10000u

struct published {
	struct topology *topology;
	struct pool *pool;
	const struct pool *pools[1];
	struct plan plan;
	struct snapshot snapshot;
	struct workload **confs; /* parallel to plan.workloads */
	uint64_t *generations;
	struct strings *environments;
	bool *changed;
	struct publish_view view;
	const struct publish_view *current; /* what publishers are given */
};

/* Two nodes with a core of two PUs each. */
static inline struct topology *published_machine(void)
{
	static const char text[] =
		"sidecard-topology 1\n"
		"pu 0 0 0 0 0 0 0 0\npu 1 0 0 0 0 0 0 0\n"
		"pu 2 1 1 1 0 0 1 0\npu 3 1 1 1 0 0 1 0\n"
		"node 0 0 1048576\nnode 1 0 2097152\n"
		"distance 0 0 10\ndistance 0 1 20\ndistance 1 0 20\ndistance 1 1 10\n"
		"end\n";
	struct topology *topology = NULL;
	struct fault fault = { 0 };
	int r = topology_parse(text, &topology, &fault);

	if (r < 0)
		fprintf(stderr, "machine: %s\n", fault.text);
	assert(r == 0);
	return topology;
}

static inline void published_fill(struct plan_workload *workload, struct workload *conf)
{
	workload->conf = conf;
	workload->placed = true;
	cpuset_add_range(&workload->cpus, 2, 3);
	nodeset_add(&workload->nodes, 1);
	nodeset_add(&workload->mems, 1);
	workload->n_pu = 2;
	workload->n_core = 1;
	workload->limit = LIMIT_NONE;
	workload->quota_mcpu = QUOTA_UNLIMITED_MCPU;
	workload->share_mcpu = QUOTA_UNLIMITED_MCPU;
	workload->parallelism = (struct parallelism){ 2, 2, 2 };
	workload->limited_by = LIMITED_BY_PARTITION;
}

static inline void published_done_workload(struct plan_workload *workload)
{
	cpuset_done(&workload->cpus);
	nodeset_done(&workload->nodes);
	nodeset_done(&workload->mems);
	free(workload->limited_by_path);
	free(workload->reason);
	*workload = (struct plan_workload){ 0 };
}

/* Puts a workload where its name belongs; it counts as changed at generation @generation. */
static inline size_t published_add(struct published *p, const char *name, uint64_t generation)
{
	size_t n = p->plan.n_workloads, at = 0;
	struct workload *conf = workload_new(name);

	assert(conf && n < N_PUBLISHED_MAX);
	while (at < n && strcmp(p->confs[at]->name, name) < 0)
		at++;
	memmove(&p->plan.workloads[at + 1], &p->plan.workloads[at],
		(n - at) * sizeof(*p->plan.workloads));
	memmove(&p->confs[at + 1], &p->confs[at], (n - at) * sizeof(*p->confs));
	memmove(&p->generations[at + 1], &p->generations[at], (n - at) * sizeof(*p->generations));
	memmove(&p->environments[at + 1], &p->environments[at],
		(n - at) * sizeof(*p->environments));
	p->plan.workloads[at] = (struct plan_workload){ 0 };
	p->environments[at] = (struct strings){ 0 };
	p->confs[at] = conf;
	p->generations[at] = generation;
	published_fill(&p->plan.workloads[at], conf);
	p->plan.n_workloads++;
	p->view.same_workloads = false;
	return at;
}

static inline void published_remove(struct published *p, size_t at)
{
	size_t n_after = p->plan.n_workloads - at - 1;

	published_done_workload(&p->plan.workloads[at]);
	strings_done(&p->environments[at]);
	workload_free(p->confs[at]);
	memmove(&p->plan.workloads[at], &p->plan.workloads[at + 1],
		n_after * sizeof(*p->plan.workloads));
	memmove(&p->confs[at], &p->confs[at + 1], n_after * sizeof(*p->confs));
	memmove(&p->generations[at], &p->generations[at + 1], n_after * sizeof(*p->generations));
	memmove(&p->environments[at], &p->environments[at + 1], n_after * sizeof(*p->environments));
	p->plan.n_workloads--;
	p->view.same_workloads = false;
}

/* The next generation, in which workload @at has parallelism @advised. */
static inline void published_change(struct published *p, size_t at, uint32_t advised)
{
	p->view.generation++;
	p->plan.workloads[at].parallelism.advised = advised;
	p->generations[at] = p->view.generation;
}

/* @n_workloads named w00000, w00001, …; generation 1. */
static inline struct published *published_new(size_t n_workloads)
{
	struct published *p = calloc(1, sizeof(*p));
	char name[32];

	assert(p);
	p->topology = published_machine();
	p->pool = pool_new("default");
	p->pools[0] = p->pool;
	p->plan.workloads = calloc(N_PUBLISHED_MAX, sizeof(*p->plan.workloads));
	p->confs = calloc(N_PUBLISHED_MAX, sizeof(*p->confs));
	p->generations = calloc(N_PUBLISHED_MAX, sizeof(*p->generations));
	p->environments = calloc(N_PUBLISHED_MAX, sizeof(*p->environments));
	p->changed = calloc(N_PUBLISHED_MAX, sizeof(*p->changed));
	assert(p->pool && p->plan.workloads && p->confs && p->generations && p->environments &&
	       p->changed);
	cpuset_add_range(&p->plan.cpus, 0, 3);
	cpuset_add(&p->plan.housekeeping, 0);
	p->plan.optimal = true;
	p->snapshot.topology = p->topology;
	p->snapshot.pools = p->pools;
	p->snapshot.n_pools = 1;
	p->view = (struct publish_view){ .plan = &p->plan,
					 .snapshot = &p->snapshot,
					 .generation = 1,
					 .generations = p->generations,
					 .environments = p->environments };
	p->current = &p->view;
	for (size_t i = 0; i < n_workloads; i++) {
		snprintf(name, sizeof(name), "w%05zu", i);
		published_add(p, name, 1);
	}
	return p;
}

static inline void published_free(struct published *p)
{
	while (p->plan.n_workloads > 0)
		published_remove(p, p->plan.n_workloads - 1);
	free(p->plan.workloads);
	free(p->confs);
	free(p->generations);
	free(p->environments);
	free(p->changed);
	cpuset_done(&p->plan.cpus);
	cpuset_done(&p->plan.housekeeping);
	cpuset_done(&p->plan.exclusive);
	pool_free(p->pool);
	topology_free(p->topology);
	free(p);
}
