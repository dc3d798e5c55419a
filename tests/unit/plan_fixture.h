/* Machines, workloads and limits in a few words, for tests of the planner. A spec of a test's own
 * making that is wrong ends the test. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "plan/plan_diff.h"
#include "plan/plan_text.h"

#define FIXTURE_N_MOST 64

struct fixture {
	struct topology *topology;
	struct housekeeping housekeeping;
	struct cpuset allowed;
	struct cpuset ceilings[FIXTURE_N_MOST];
	struct workload *confs[FIXTURE_N_MOST];
	struct snapshot_workload workloads[FIXTURE_N_MOST];
	struct pool *pools[FIXTURE_N_MOST];
	struct limit limits[FIXTURE_N_MOST];
	char paths[FIXTURE_N_MOST][64];
	struct snapshot snapshot;
};

/* How many of each, each inside the one before. */
struct shape_of_machine {
	uint32_t n_package, n_node, n_l3, n_core, n_pu;
	bool siblings_apart;   /* PU n and its sibling n + number of cores, as Linux numbers most
				  machines; else neighbours */
	uint64_t memory_bytes; /* of a node */
};

static inline struct topology *fixture_machine(const struct shape_of_machine *shape)
{
	uint32_t n_nodes = shape->n_package * shape->n_node;
	uint32_t n_l3s = n_nodes * shape->n_l3, n_cores = n_l3s * shape->n_core;
	struct topology *topology = calloc(1, sizeof(*topology));
	struct fault fault;

	assert_non_null(topology);
	topology->n_pu = n_cores * shape->n_pu;
	topology->n_node = n_nodes;
	topology->pus = calloc(topology->n_pu, sizeof(*topology->pus));
	topology->nodes = calloc(n_nodes, sizeof(*topology->nodes));
	for (uint32_t i = 0; i < n_nodes; i++)
		topology->nodes[i] = (struct topo_node){ .node_os = i,
							 .package = i / shape->n_node,
							 .memory_bytes = shape->memory_bytes };
	for (uint32_t i = 0; i < topology->n_pu; i++) {
		uint32_t core = i / shape->n_pu, l3 = core / shape->n_core;
		uint32_t node = l3 / shape->n_l3;

		topology->pus[i] = (struct topo_pu){
			.pu_os = shape->siblings_apart ? core + i % shape->n_pu * n_cores : i,
			.core = core,
			.l2 = core,
			.l3 = l3,
			.die = node / shape->n_node,
			.package = node / shape->n_node,
			.node = node,
		};
	}
	if (topology_finish(topology, &fault) < 0)
		fail_msg("%s", fault.text);
	return topology;
}

/* "P/N/L/C/T": packages, nodes, L3 groups, cores, PUs; a final "a": siblings apart. Anything longer
 * is a topology as text. */
static inline void fixture_open(struct fixture *fixture, const char *machine)
{
	struct shape_of_machine shape = { 0 };
	char apart = 0;
	struct fault fault;

	memset(fixture, 0, sizeof(*fixture));
	if (strchr(machine, '\n')) {
		if (topology_parse(machine, &fixture->topology, &fault) < 0)
			fail_msg("%s", fault.text);
	} else {
		assert_true(sscanf(machine, "%u/%u/%u/%u/%u%c", &shape.n_package, &shape.n_node,
				   &shape.n_l3, &shape.n_core, &shape.n_pu, &apart) >= 5);
		shape.siblings_apart = apart == 'a';
		fixture->topology = fixture_machine(&shape);
	}
	fixture->pools[0] = pool_new("default");
	fixture->housekeeping.kind = HOUSEKEEPING_NONE;
	fixture->snapshot = (struct snapshot){
		.topology = fixture->topology,
		.housekeeping = &fixture->housekeeping,
		.pools = (const struct pool *const *)fixture->pools,
		.n_pools = 1,
		.workloads = fixture->workloads,
		.limits = fixture->limits,
	};
}

static inline void fixture_close(struct fixture *fixture)
{
	for (size_t i = 0; i < fixture->snapshot.n_workloads; i++) {
		workload_free(fixture->confs[i]);
		cpuset_done(&fixture->ceilings[i]);
	}
	for (size_t i = 0; i < fixture->snapshot.n_pools; i++)
		pool_free(fixture->pools[i]);
	cpuset_done(&fixture->allowed);
	cpuset_done(&fixture->housekeeping.cpus);
	topology_free(fixture->topology);
	memset(fixture, 0, sizeof(*fixture));
}

/* "auto", "none", "=LIST", or a count */
static inline void fixture_housekeeping(struct fixture *fixture, const char *text)
{
	struct housekeeping *housekeeping = &fixture->housekeeping;

	if (strcmp(text, "auto") == 0) {
		housekeeping->kind = HOUSEKEEPING_AUTO;
	} else if (strcmp(text, "none") == 0) {
		housekeeping->kind = HOUSEKEEPING_NONE;
	} else if (*text == '=') {
		housekeeping->kind = HOUSEKEEPING_LIST;
		assert_int_equal(cpuset_parse(text + 1, &housekeeping->cpus), 0);
	} else {
		housekeeping->kind = HOUSEKEEPING_COUNT;
		housekeeping->n_pu = (uint32_t)strtoul(text, NULL, 10);
	}
}

static inline void fixture_allow(struct fixture *fixture, const char *list)
{
	assert_int_equal(cpuset_parse(list, &fixture->allowed), 0);
	fixture->snapshot.allowed = &fixture->allowed;
}

static inline void fixture_pool(struct fixture *fixture, const char *name, const char *cpus,
				const char *nodes)
{
	struct pool *pool = pool_new(name);

	assert_non_null(pool);
	assert_int_equal(cpuset_parse(cpus, &pool->cpus), 0);
	assert_int_equal(nodeset_parse(nodes, &pool->nodes), 0);
	fixture->pools[fixture->snapshot.n_pools++] = pool;
}

/* A level; @parent LIMIT_NONE at the top. Returns its index. */
static inline uint32_t fixture_limit(struct fixture *fixture, uint32_t parent, const char *quota,
				     const char *path)
{
	uint32_t n = (uint32_t)fixture->snapshot.n_limits++;

	fixture->limits[n] = (struct limit){ .parent = parent, .weight = 100 };
	assert_int_equal(quota_parse_pu(quota, &fixture->limits[n].quota_mcpu), 0);
	snprintf(fixture->paths[n], sizeof(fixture->paths[n]), "%s", path);
	fixture->limits[n].path = fixture->paths[n];
	return n;
}

static inline bool fixture_word(struct workload *conf, const char *word)
{
	static const struct {
		const char *word;
		int role, exclusive, smt, policy, rounding, memory, migrate;
	} words[] = {
		{ "control", ROLE_CONTROL_PLANE, -1, -1, -1, -1, -1, -1 },
		{ "data", ROLE_DATA_PLANE, -1, -1, -1, -1, -1, -1 },
		{ "batch", ROLE_BATCH, -1, -1, -1, -1, -1, -1 },
		{ "own", -1, 1, -1, -1, -1, -1, -1 },
		{ "whole", -1, -1, SMT_WHOLE_CORE, -1, -1, -1, -1 },
		{ "one", -1, -1, SMT_ONE_PER_CORE, -1, -1, -1, -1 },
		{ "single", -1, -1, -1, NUMA_SINGLE, -1, -1, -1 },
		{ "spread", -1, -1, -1, NUMA_SPREAD, -1, -1, -1 },
		{ "floor", -1, -1, -1, -1, ROUNDING_FLOOR, -1, -1 },
		{ "ceil", -1, -1, -1, -1, ROUNDING_CEIL, -1, -1 },
		{ "nearest", -1, -1, -1, -1, ROUNDING_NEAREST, -1, -1 },
		{ "nomem", -1, -1, -1, -1, -1, MEMORY_NONE, -1 },
		{ "strict", -1, -1, -1, -1, -1, MEMORY_STRICT, -1 },
		{ "migrate", -1, -1, -1, -1, -1, -1, 1 },
	};

	for (size_t i = 0; i < N_ELEMENTS(words); i++) {
		if (strcmp(words[i].word, word) != 0)
			continue;
		if (words[i].role >= 0)
			conf->role = (enum workload_role)words[i].role;
		if (words[i].exclusive >= 0)
			conf->exclusive = true;
		if (words[i].smt >= 0)
			conf->smt = (enum workload_smt)words[i].smt;
		if (words[i].policy >= 0)
			conf->numa_policy = (enum numa_policy)words[i].policy;
		if (words[i].rounding >= 0)
			conf->rounding = (enum workload_rounding)words[i].rounding;
		if (words[i].memory >= 0)
			conf->memory = (enum memory_policy)words[i].memory;
		if (words[i].migrate >= 0)
			conf->migrate = true;
		return true;
	}
	return false;
}

static inline void fixture_key(struct fixture *fixture, size_t n, const char *key,
			       const char *value)
{
	struct workload *conf = fixture->confs[n];
	uint32_t number = (uint32_t)strtoul(value, NULL, 10);

	if (strcmp(key, "kind") == 0) {
		conf->core_type = *value == 'p' ? CORE_PERFORMANCE : CORE_EFFICIENT;
	} else if (strcmp(key, "balance") == 0) {
		conf->balance = *value == 's' ? BALANCE_SPREAD : BALANCE_PACK;
	} else if (strcmp(key, "min") == 0) {
		conf->min_pu = number;
	} else if (strcmp(key, "max") == 0) {
		conf->max_pu = number;
	} else if (strcmp(key, "weight") == 0) {
		conf->weight = number;
	} else if (strcmp(key, "prio") == 0) {
		conf->priority = number;
	} else if (strcmp(key, "own") == 0) {
		conf->n_exclusive = number;
	} else if (strcmp(key, "mcpu") == 0) {
		conf->max_mcpu = number;
		conf->max_pu = (number + 999) / 1000;
	} else if (strcmp(key, "near") == 0) {
		assert_int_equal(strings_add(&conf->near_devices, value), 0);
	} else if (strcmp(key, "limit") == 0) {
		fixture->workloads[n].limit = number;
	} else if (strcmp(key, "size") == 0) {
		conf->memory_size_bytes = number;
	} else if (strcmp(key, "nodes") == 0) {
		assert_int_equal(nodeset_parse(value, &conf->nodes), 0);
	} else if (strcmp(key, "cpuset") == 0) {
		assert_int_equal(cpuset_parse(value, &fixture->ceilings[n]), 0);
		fixture->workloads[n].cpuset = &fixture->ceilings[n];
		fixture->workloads[n].cpuset_path = "/outer";
	} else if (strcmp(key, "pool") == 0) {
		free(conf->pool);
		conf->pool = strdup(value);
	} else {
		fail_msg("'%s=%s' is no key of a fixture", key, value);
	}
}

/* "NAME WORD... KEY=VALUE...": words as above; min, max, mcpu (of Max=), own (how many are its
 * own), weight, prio, limit, size, nodes, cpuset, pool, near (a device), kind (performance,
 * efficient), balance (spread, pack). In the order of names. */
static inline void fixture_add(struct fixture *fixture, const char *spec)
{
	size_t n = fixture->snapshot.n_workloads;
	cleanup(freep) char *copy = strdup(spec);
	char *rest = copy, *word = strsep(&rest, " ");

	assert_true(n < FIXTURE_N_MOST);
	fixture->confs[n] = workload_new(word);
	fixture->workloads[n] = (struct snapshot_workload){ .limit = LIMIT_NONE };
	while ((word = strsep(&rest, " "))) {
		char *value = strchr(word, '=');

		if (value) {
			*value++ = '\0';
			fixture_key(fixture, n, word, value);
		} else if (!fixture_word(fixture->confs[n], word)) {
			fail_msg("'%s' is no word of a fixture", word);
		}
	}
	fixture->workloads[n].conf = fixture->confs[n];
	fixture->snapshot.n_workloads++;
}

/* Several, one a line. */
static inline void fixture_add_all(struct fixture *fixture, const char *specs)
{
	cleanup(freep) char *copy = strdup(specs);
	char *rest = copy, *line;

	while ((line = strsep(&rest, "\n")))
		if (*line)
			fixture_add(fixture, line);
}

static inline struct plan *fixture_plan(const struct fixture *fixture, const struct plan *previous)
{
	struct plan *plan = NULL;
	struct fault fault;

	if (plan_make(&fixture->snapshot, previous, 0, &plan, &fault) < 0)
		fail_msg("%s", fault.text);
	return plan;
}

/* "a 0-3, b !": who has which PUs, "!" where not placed. */
static inline char *fixture_places(const struct plan *plan)
{
	char *text = NULL;
	size_t n_text = 0;
	FILE *out = open_memstream(&text, &n_text);

	assert_non_null(out);
	for (size_t i = 0; i < plan->n_workloads; i++) {
		cleanup(freep) char *cpus = cpuset_format(&plan->workloads[i].cpus);

		fprintf(out, "%s%s %s", i > 0 ? ", " : "", plan->workloads[i].conf->name,
			plan->workloads[i].placed ? cpus : "!");
	}
	fclose(out);
	return text;
}
