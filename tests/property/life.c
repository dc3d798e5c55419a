#include "property/life.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

void life_fail(const struct life *life, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	print_error("seed %llu, step %llu: %s\n", (unsigned long long)life->first_seed,
		    (unsigned long long)life->n_steps, text);
	fail();
	abort();
}

/* ---- machine ---- */

/* Numbers are dealt out in one of three ways: in order, siblings apart, or with gaps. */
static uint32_t number_of(uint32_t i, uint32_t n, unsigned way)
{
	if (way == 1)
		return i / 2 + i % 2 * ((n + 1) / 2);
	return way == 2 ? i * 7 + 3 : i;
}

/* Two, each near one node, and one that is near none. */
static void devices_make(struct life *life, struct topology *topology)
{
	static const char *const names[] = { "dev0", "dev1", "dev2" };

	topology->devices = calloc(N_ELEMENTS(names), sizeof(*topology->devices));
	topology->n_devices = N_ELEMENTS(names);
	for (uint32_t i = 0; i < N_ELEMENTS(names); i++) {
		uint32_t node = random_below(&life->seed, topology->n_node);

		topology->devices[i].name = strdup(names[i]);
		if (i < 2)
			nodeset_add(&topology->devices[i].nodes, topology->nodes[node].node_os);
	}
}

static void machine_make(struct life *life)
{
	uint64_t *seed = &life->seed;
	uint32_t n_node = random_between(seed, 1, 5), n_l3 = random_between(seed, 1, 3);
	uint32_t n_core = random_between(seed, 1, 4), n_smt = random_between(seed, 1, 3);
	bool uneven = random_once_in(seed, 3);
	unsigned way = random_below(seed, 3);
	struct topology *topology = calloc(1, sizeof(*topology));
	uint32_t core = 0, n = 0, n_most = n_node * n_l3 * n_core * n_smt;
	uint32_t n_package_node = random_between(seed, 1, 2), n_rank = random_once_in(seed, 3) + 1;
	struct fault fault;

	topology->pus = calloc(n_most, sizeof(*topology->pus));
	topology->n_node = n_node + random_once_in(seed, 3);
	topology->nodes = calloc(topology->n_node, sizeof(*topology->nodes));
	for (uint32_t i = 0; i < topology->n_node; i++)
		topology->nodes[i] = (struct topo_node){
			.node_os = i * (way == 2 ? 3 : 1),
			.package = TOPOLOGY_NONE,
			.memory_bytes = random_once_in(seed, 3) ? 0 : random_between(seed, 1, 99)
		};
	for (uint32_t i = 0; i < n_node * n_l3 * n_core; i++) {
		uint32_t n_here = uneven ? random_between(seed, n == 0, n_smt) : n_smt;
		uint32_t node = i / n_core / n_l3, rank = random_below(seed, n_rank);

		for (uint32_t k = 0; k < n_here; k++) {
			topology->pus[n] = (struct topo_pu){ .pu_os = number_of(n, n_most, way),
							     .core = core,
							     .l2 = core,
							     .l3 = i / n_core,
							     .die = node,
							     .package = node / n_package_node,
							     .node = node,
							     .efficiency_rank = rank };
			n++;
		}
		core += n_here > 0;
	}
	topology->n_pu = n;
	/* Dense indices are below the number of PUs; a machine with L3 groups that are all offline
	 * gets one L3 a core. */
	for (uint32_t i = 0; i < n; i++)
		if (n_node * n_l3 > n) {
			topology->pus[i].l3 = topology->pus[i].core;
			topology->pus[i].die = topology->pus[i].package = 0;
		}
	if (random_once_in(seed, 2)) {
		uint32_t n_nodes = topology->n_node;

		topology->distances = calloc(n_nodes * n_nodes, sizeof(uint32_t));
		for (uint32_t i = 0; i < n_nodes * n_nodes; i++)
			topology->distances[i] = i % (n_nodes + 1) == 0
							 ? TOPOLOGY_LOCAL
							 : random_between(seed, 11, 40);
	}
	devices_make(life, topology);
	if (topology_finish(topology, &fault) < 0)
		life_fail(life, "%s", fault.text);
	life->topology = topology;
}

static void some_pus(struct life *life, uint32_t n_of_ten, struct cpuset *ret_cpus)
{
	cpuset_done(ret_cpus);
	for (uint32_t i = 0; i < life->topology->n_pu; i++)
		if (random_below(&life->seed, 10) < n_of_ten)
			cpuset_add(ret_cpus, life->topology->pus[i].pu_os);
}

static void pools_make(struct life *life)
{
	static const char *const names[LIFE_N_POOL] = { "default", "gold", "silver" };
	bool isolates = random_once_in(&life->seed, 3);

	for (size_t i = 0; i < LIFE_N_POOL; i++)
		life->pools[i] = pool_new(names[i]);
	for (size_t i = 0; i < LIFE_N_POOL && isolates; i++)
		if (random_once_in(&life->seed, 3))
			life->pools[i]->isolation = (enum pool_isolation)random_below(&life->seed,
										      4);
	if (random_once_in(&life->seed, 2))
		some_pus(life, 3, &life->pools[1]->cpus);
	if (random_once_in(&life->seed, 2)) {
		uint32_t i = random_below(&life->seed, life->topology->n_node);

		nodeset_add(&life->pools[2]->nodes, life->topology->nodes[i].node_os);
	}
}

/* ---- workloads and limits ---- */

static void workload_random(struct life *life, uint32_t slot)
{
	static const char *const pools[] = { "default", "default", "default", "gold", "silver" };
	uint64_t *seed = &life->seed;
	struct workload *conf;
	char name[8];

	snprintf(name, sizeof(name), "w%02u", slot);
	conf = workload_new(name);
	conf->role = (enum workload_role)random_below(seed, 3);
	conf->exclusive = !random_once_in(seed, 3);
	conf->min_pu = random_between(seed, 1, random_once_in(seed, 4) ? 8 : 3);
	if (!random_once_in(seed, 4))
		conf->max_pu = conf->min_pu + random_below(seed, 4);
	if (!conf->exclusive && conf->max_pu != WORKLOAD_MAX_UNSET && conf->max_pu > 1 &&
	    random_once_in(seed, 3)) {
		conf->n_exclusive = random_between(seed, 1, conf->max_pu - 1);
		conf->min_pu = conf->min_pu > conf->n_exclusive ? conf->min_pu : conf->n_exclusive;
	}
	conf->weight = random_once_in(seed, 3) ? random_between(seed, 1, 10000) : 100;
	conf->priority = random_once_in(seed, 3) ? random_below(seed, 300) : 100;
	conf->smt = random_once_in(seed, 2) ? (enum workload_smt)random_below(seed, 3) : SMT_ANY;
	conf->rounding = (enum workload_rounding)random_below(seed, 4);
	conf->numa_policy = random_once_in(seed, 2) ? (enum numa_policy)random_below(seed, 3)
						    : NUMA_PREFER;
	conf->core_type = random_once_in(seed, 4) ? (enum core_type)random_below(seed, 3)
						  : CORE_ANY;
	if (random_once_in(seed, 4)) {
		char device[] = "dev0";

		device[3] = (char)('0' + random_below(seed, 4));
		strings_add(&conf->near_devices, device);
	}
	conf->balance = (enum balance)random_below(seed, 2);
	if (random_once_in(seed, 6))
		for (unsigned i = 0; i < 2; i++)
			nodeset_add(
				&conf->nodes,
				life->topology->nodes[random_below(seed, life->topology->n_node)]
					.node_os);
	if (random_once_in(seed, 5))
		conf->memory_size_bytes = random_between(seed, 1, 120);
	free(conf->pool);
	conf->pool = strdup(pools[random_below(seed, 5)]);
	if (random_once_in(seed, 8))
		some_pus(life, 5, &life->ceilings[slot]);
	else
		cpuset_done(&life->ceilings[slot]);
	life->limit_of[slot] = random_below(seed, LIFE_N_LIMIT + 2);
	life->rounds_up[slot] = random_once_in(seed, 2);
	life->confs[slot] = conf;
}

static uint32_t quota_random(struct life *life)
{
	uint64_t *seed = &life->seed;

	if (random_once_in(seed, 2))
		return QUOTA_UNLIMITED_MCPU;
	return random_once_in(seed, 2) ? random_between(seed, 1, 12) * 1000
				       : random_between(seed, 1, 9999);
}

static void limits_make(struct life *life)
{
	for (uint32_t i = 0; i < LIFE_N_LIMIT; i++) {
		snprintf(life->paths[i], sizeof(life->paths[i]), "/l%u", i);
		life->limits[i] = (struct limit){
			.parent = i == 0 || random_once_in(&life->seed, 4)
					  ? LIMIT_NONE
					  : random_below(&life->seed, i),
			.quota_mcpu = quota_random(life),
			.weight = 100,
			.path = life->paths[i],
		};
	}
}

static void housekeeping_random(struct life *life)
{
	life->housekeeping.kind = (enum housekeeping_kind)random_below(&life->seed, 4);
	life->housekeeping.n_pu = random_below(&life->seed, 4);
	some_pus(life, 1, &life->housekeeping.cpus);
}

/* ---- life ---- */

void life_begin(struct life *life, uint64_t seed)
{
	uint32_t n;

	memset(life, 0, sizeof(*life));
	life->seed = life->first_seed = seed;
	machine_make(life);
	pools_make(life);
	limits_make(life);
	housekeeping_random(life);
	cpuset_copy(&life->allowed, &life->topology->cpus);
	n = random_between(&life->seed, 0, 10);
	for (uint32_t i = 0; i < n; i++)
		workload_random(life, i * 2);
}

void life_bury(struct life *life)
{
	while (life->n_graves > 0)
		workload_free(life->graves[--life->n_graves]);
}

void life_end(struct life *life)
{
	life_bury(life);
	for (size_t i = 0; i < LIFE_N_WORKLOAD; i++) {
		workload_free(life->confs[i]);
		cpuset_done(&life->ceilings[i]);
	}
	for (size_t i = 0; i < LIFE_N_POOL; i++)
		pool_free(life->pools[i]);
	cpuset_done(&life->allowed);
	cpuset_done(&life->housekeeping.cpus);
	topology_free(life->topology);
}

static void workload_leave(struct life *life, uint32_t slot)
{
	if (life->confs[slot])
		life->graves[life->n_graves++] = life->confs[slot];
	life->confs[slot] = NULL;
}

uint32_t life_change_quota(struct life *life)
{
	uint32_t limit = random_below(&life->seed, LIFE_N_LIMIT);

	life->limits[limit].quota_mcpu = quota_random(life);
	return limit;
}

static void hotplug(struct life *life)
{
	const struct topology *topology = life->topology;
	uint32_t i = random_below(&life->seed, topology->n_pu);

	switch (random_below(&life->seed, 6)) {
	case 0: /* everything is back */
		cpuset_copy(&life->allowed, &topology->cpus);
		break;
	case 1: /* a node loses all its PUs */
		for (uint32_t k = 0; k < topology->n_pu; k++)
			if (topology->pus[k].node == topology->pus[i].node)
				cpuset_remove(&life->allowed, topology->pus[k].pu_os);
		break;
	default:
		if (cpuset_has(&life->allowed, topology->pus[i].pu_os))
			cpuset_remove(&life->allowed, topology->pus[i].pu_os);
		else
			cpuset_add(&life->allowed, topology->pus[i].pu_os);
	}
}

void life_change(struct life *life)
{
	uint32_t slot = random_below(&life->seed, LIFE_N_WORKLOAD);

	life->n_steps++;
	switch (random_below(&life->seed, 10)) {
	case 0:
	case 1:
	case 2: /* one comes, or is configured anew */
		workload_leave(life, slot);
		workload_random(life, slot);
		break;
	case 3:
	case 4:
	case 5:
		workload_leave(life, slot);
		break;
	case 6:
		life_change_quota(life);
		break;
	case 7:
		hotplug(life);
		break;
	case 8:
		if (life->confs[slot])
			some_pus(life, random_below(&life->seed, 10), &life->ceilings[slot]);
		break;
	case 9: /* a reload */
		housekeeping_random(life);
		for (uint32_t i = 0; i < LIFE_N_WORKLOAD; i++)
			if (life->confs[i] && random_once_in(&life->seed, 3)) {
				workload_leave(life, i);
				workload_random(life, i);
			}
		break;
	}
}

const struct snapshot *life_snapshot(struct life *life)
{
	size_t n = 0;

	for (uint32_t i = 0; i < LIFE_N_WORKLOAD; i++) {
		uint32_t limit = life->limit_of[i];

		if (!life->confs[i])
			continue;
		life->workloads[n++] = (struct snapshot_workload){
			.conf = life->confs[i],
			.limit = limit < LIFE_N_LIMIT ? limit : LIMIT_NONE,
			.cpuset = cpuset_is_empty(&life->ceilings[i]) ? NULL : &life->ceilings[i],
			.cpuset_path = "/outer",
			.plugin_rounds_up = life->rounds_up[i],
		};
	}
	life->snapshot = (struct snapshot){
		.topology = life->topology,
		.allowed = &life->allowed,
		.housekeeping = &life->housekeeping,
		.pools = (const struct pool *const *)life->pools,
		.n_pools = LIFE_N_POOL,
		.workloads = life->workloads,
		.n_workloads = n,
		.limits = life->limits,
		.n_limits = LIFE_N_LIMIT,
	};
	return &life->snapshot;
}
