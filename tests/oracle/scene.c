#include "oracle/scene.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void scene_end(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(EXIT_FAILURE);
}

void *scene_alloc(size_t n, size_t size)
{
	void *memory = calloc(n ? n : 1, size);

	if (!memory)
		scene_end("no memory");
	return memory;
}

uint32_t *scene_shuffle(uint32_t n, uint64_t *seed)
{
	uint32_t *order = scene_alloc(n, sizeof(*order));

	for (uint32_t i = 0; i < n; i++) {
		uint32_t k = random_below(seed, i + 1);

		order[i] = order[k];
		order[k] = i;
	}
	return order;
}

/* ---- machine ---- */

/* Indices count what is online only, so that they stay dense. */
struct numbering {
	uint32_t last, n;
};

static uint32_t number(struct numbering *numbering, uint32_t raw)
{
	if (numbering->n == 0 || raw != numbering->last) {
		numbering->last = raw;
		numbering->n++;
	}
	return numbering->n - 1;
}

static void pus_make(struct topology *topology, const struct scene_shape *shape, uint64_t *seed)
{
	uint32_t n_l3s = shape->n_package * shape->n_node * shape->n_l3;
	uint32_t n_cores = n_l3s * shape->n_core, n = n_cores * shape->n_pu;
	struct numbering cores = { 0 }, l3s = { 0 }, packages = { 0 };

	topology->pus = scene_alloc(n, sizeof(*topology->pus));
	for (uint32_t i = 0; i < n; i++) {
		uint32_t core = i / shape->n_pu, l3 = core / shape->n_core;
		uint32_t node = l3 / shape->n_l3, package = node / shape->n_node;
		struct topo_pu *pu = &topology->pus[topology->n_pu];

		if (random_below(seed, 1000) < shape->n_off_permille &&
		    (topology->n_pu > 0 || i + 1 < n))
			continue;
		*pu = (struct topo_pu){ .pu_os = core + i % shape->n_pu * n_cores, .node = node };
		pu->core = pu->l2 = number(&cores, core);
		pu->l3 = number(&l3s, l3);
		pu->package = pu->die = number(&packages, package);
		topology->nodes[node].package = pu->package;
		topology->n_pu++;
	}
}

void scene_open(struct scene *scene, const struct scene_shape *shape, uint64_t *seed)
{
	struct topology *topology = scene_alloc(1, sizeof(*topology));
	struct fault fault;

	topology->n_node = shape->n_package * shape->n_node;
	topology->nodes = scene_alloc(topology->n_node, sizeof(*topology->nodes));
	for (uint32_t i = 0; i < topology->n_node; i++)
		topology->nodes[i] = (struct topo_node){ .node_os = i, .package = TOPOLOGY_NONE };
	pus_make(topology, shape, seed);
	if (topology_finish(topology, &fault) < 0)
		scene_end("%s", fault.text);
	scene_open_machine(scene, topology);
}

void scene_open_machine(struct scene *scene, struct topology *topology)
{
	*scene = (struct scene){ .topology = topology };
	scene->pools[0] = pool_new("default");
	scene->housekeeping.kind = HOUSEKEEPING_NONE;
	if (!scene->pools[0] || cpuset_copy(&scene->allowed, &topology->cpus) < 0)
		scene_end("no memory");
	scene->snapshot = (struct snapshot){
		.topology = topology,
		.allowed = &scene->allowed,
		.housekeeping = &scene->housekeeping,
		.n_pools = 1,
	};
}

void scene_remove_all(struct scene *scene)
{
	for (size_t i = 0; i < scene->snapshot.n_workloads; i++)
		workload_free(scene->confs[i]);
	scene->snapshot.n_workloads = 0;
}

void scene_close(struct scene *scene)
{
	scene_remove_all(scene);
	free(scene->confs);
	free(scene->workloads);
	pool_free(scene->pools[0]);
	cpuset_done(&scene->allowed);
	topology_free(scene->topology);
	*scene = (struct scene){ 0 };
}

void scene_allow_some(struct scene *scene, uint32_t permille, uint64_t *seed)
{
	const struct topology *topology = scene->topology;

	cpuset_done(&scene->allowed);
	for (uint32_t i = 0; i < topology->n_pu; i++)
		if (random_below(seed, 1000) >= permille &&
		    cpuset_add(&scene->allowed, topology->pus[i].pu_os) < 0)
			scene_end("no memory");
}

/* ---- workloads ---- */

static void grow(struct scene *scene)
{
	size_t n = scene->n_allocated ? scene->n_allocated * 2 : 64;

	scene->confs = reallocarray(scene->confs, n, sizeof(*scene->confs));
	scene->workloads = reallocarray(scene->workloads, n, sizeof(*scene->workloads));
	if (!scene->confs || !scene->workloads)
		scene_end("no memory");
	scene->n_allocated = n;
}

size_t scene_add(struct scene *scene, const struct scene_want *want)
{
	size_t n = scene->snapshot.n_workloads;
	struct workload *conf;
	char name[32];

	if (n == scene->n_allocated)
		grow(scene);
	snprintf(name, sizeof(name), "w%06zu", n);
	conf = workload_new(name);
	if (!conf)
		scene_end("no memory");
	conf->min_pu = want->n_least;
	conf->max_pu = want->n_most;
	conf->role = want->role;
	conf->smt = want->smt;
	conf->numa_policy = want->policy;
	conf->exclusive = !want->is_shared;
	scene->confs[n] = conf;
	scene->workloads[n] = (struct snapshot_workload){ .conf = conf, .limit = LIMIT_NONE };
	scene->snapshot.n_workloads++;
	return n;
}

static struct snapshot snapshot_of(const struct scene *scene)
{
	struct snapshot snapshot = scene->snapshot;

	snapshot.workloads = scene->workloads;
	snapshot.pools = (const struct pool *const *)scene->pools;
	return snapshot;
}

struct plan *scene_plan(const struct scene *scene, const struct plan *previous)
{
	const struct snapshot snapshot = snapshot_of(scene);
	struct plan *plan = NULL;
	struct fault fault;

	if (plan_make(&snapshot, previous, 0, &plan, &fault) < 0)
		scene_end("%s", fault.text);
	return plan;
}

struct plan *scene_plan_by(const struct scene *scene, struct planner *planner,
			   const struct plan *previous)
{
	const struct snapshot snapshot = snapshot_of(scene);
	struct plan *plan = NULL;
	struct fault fault;

	if (planner_make(planner, &snapshot, previous, 0, &plan, &fault) < 0)
		scene_end("%s", fault.text);
	return plan;
}
