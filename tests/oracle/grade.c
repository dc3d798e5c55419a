#include "oracle/grade.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

uint32_t grade_weight(enum workload_role role)
{
	return role == ROLE_DATA_PLANE	    ? GRADE_DATA
	       : role == ROLE_CONTROL_PLANE ? GRADE_CONTROL
					    : GRADE_BATCH;
}

const char *grade_name(enum grade_item item)
{
	static const char *const names[] = {
		[GRADE_UNPLACED] = "unplaced", [GRADE_SHARED] = "shared",
		[GRADE_NODES] = "nodes",       [GRADE_PACKAGES] = "packages",
		[GRADE_DISTANCE] = "distance", [GRADE_NEAR] = "far from devices",
		[GRADE_L3] = "L3 groups",      [GRADE_DIES] = "dies",
		[GRADE_L2] = "L2 groups",      [GRADE_BESIDE] = "beside others",
		[GRADE_KIND] = "core type",
	};

	return names[item];
}

/* ---- one set ---- */

/* A column of the machine: who is in the same node, package, L3 group, die, L2 group. */
enum level { LEVEL_NODE, LEVEL_PACKAGE, LEVEL_L3, LEVEL_DIE, LEVEL_L2 };

static uint32_t index_at(const struct topo_pu *pu, enum level level)
{
	switch (level) {
	case LEVEL_NODE:
		return pu->node;
	case LEVEL_PACKAGE:
		return pu->package;
	case LEVEL_L3:
		return pu->l3;
	case LEVEL_DIE:
		return pu->die;
	case LEVEL_L2:
		break;
	}
	return pu->l2;
}

/* @marks: n_pu + n_node zeroes, and zeroes again afterwards. */
static uint64_t count_groups(const struct topology *topology, const struct cpuset *cpus,
			     enum level level, bool *marks)
{
	uint64_t n = 0;

	cpuset_foreach (pu_os, cpus) {
		uint32_t pu = topology_pu_idx(topology, pu_os);
		bool *mark;

		if (pu == TOPOLOGY_NONE)
			continue;
		mark = &marks[index_at(&topology->pus[pu], level)];
		n += !*mark;
		*mark = true;
	}
	cpuset_foreach (pu_os, cpus) {
		uint32_t pu = topology_pu_idx(topology, pu_os);

		if (pu != TOPOLOGY_NONE)
			marks[index_at(&topology->pus[pu], level)] = false;
	}
	return n;
}

static int sum_distances(const struct topology *topology, const struct cpuset *cpus,
			 uint64_t *ret_sum)
{
	cleanup(nodeset_done) struct nodeset nodes = { 0 };
	int r = topology_nodes_of(topology, cpus, &nodes);

	*ret_sum = 0;
	nodeset_foreach (a, &nodes)
		nodeset_foreach (b, &nodes)
			if (a != b)
				*ret_sum += topology->distances[topology_node_idx(topology, a) *
									topology->n_node +
								topology_node_idx(topology, b)];
	return r;
}

static int add_set(const struct topology *topology, const struct cpuset *cpus, uint32_t weight,
		   bool *marks, struct grade *grade)
{
	uint64_t n_distance = 0;
	int r = sum_distances(topology, cpus, &n_distance);

	grade->n_pu += cpuset_count(cpus);
	grade->items[GRADE_NODES] += weight * count_groups(topology, cpus, LEVEL_NODE, marks);
	grade->items[GRADE_PACKAGES] += count_groups(topology, cpus, LEVEL_PACKAGE, marks);
	grade->items[GRADE_DISTANCE] += n_distance;
	grade->items[GRADE_L3] += count_groups(topology, cpus, LEVEL_L3, marks);
	grade->items[GRADE_DIES] += count_groups(topology, cpus, LEVEL_DIE, marks);
	grade->items[GRADE_L2] += count_groups(topology, cpus, LEVEL_L2, marks);
	return r;
}

int grade_set(const struct topology *topology, const struct cpuset *cpus, enum workload_role role,
	      struct grade *ret_grade)
{
	cleanup(freep) bool *marks = calloc((size_t)topology->n_pu + topology->n_node,
					    sizeof(*marks));
	struct grade grade = { 0 };
	int r = marks ? add_set(topology, cpus, grade_weight(role), marks, &grade) : -ENOMEM;

	if (r == 0)
		*ret_grade = grade;
	return r;
}

/* ---- a plan ---- */

#define NOBODY UINT32_MAX

const struct cpuset *grade_own(const struct plan_workload *workload)
{
	return workload->conf->exclusive ? &workload->cpus : &workload->own;
}

/* The owner of each PU, by dense index; counts those with two. */
static uint32_t *owners_of(const struct snapshot *snapshot, const struct plan *plan,
			   struct grade *grade)
{
	const struct topology *topology = snapshot->topology;
	uint32_t *owners = malloc((topology->n_pu + 1) * sizeof(*owners));

	if (!owners)
		return NULL;
	memset(owners, 0xff, topology->n_pu * sizeof(*owners));
	for (uint32_t w = 0; w < plan->n_workloads; w++) {
		cpuset_foreach (pu_os, grade_own(&plan->workloads[w])) {
			uint32_t pu = topology_pu_idx(topology, pu_os);

			if (pu == TOPOLOGY_NONE || owners[pu] != NOBODY ||
			    (snapshot->allowed && !cpuset_has(snapshot->allowed, pu_os)) ||
			    cpuset_has(&plan->housekeeping, pu_os)) {
				grade->items[GRADE_SHARED]++;
				continue;
			}
			owners[pu] = w;
		}
	}
	return owners;
}

/* PUs of a core are neighbours. */
static void add_beside(const struct topology *topology, const struct plan *plan,
		       const uint32_t *owners, struct grade *grade)
{
	for (uint32_t i = 0; i < topology->n_pu; i++) {
		uint32_t core = topology->pus[i].core, first = i;
		bool beside = false;

		if (owners[i] == NOBODY || plan->workloads[owners[i]].conf->role != ROLE_DATA_PLANE)
			continue;
		while (first > 0 && topology->pus[first - 1].core == core)
			first--;
		for (; first < topology->n_pu && topology->pus[first].core == core; first++)
			beside |= owners[first] != NOBODY && owners[first] != owners[i];
		grade->items[GRADE_BESIDE] += beside;
	}
}

static uint64_t n_wrong_kind(const struct topology *topology, const struct plan_workload *workload)
{
	enum core_type type = workload->conf->core_type;
	uint64_t n = 0;

	if (type == CORE_ANY)
		return 0;
	cpuset_foreach (pu_os, &workload->cpus)
		n += !topology_pu_is(topology, topology_pu_idx(topology, pu_os),
				     type == CORE_PERFORMANCE);
	return n;
}

/* A device that the machine does not have, or that is near to all alike, asks for nothing. */
static uint64_t n_far(const struct topology *topology, const struct plan_workload *workload)
{
	const struct strings *names = &workload->conf->near_devices;
	uint64_t n = 0;
	bool asks = false;

	cpuset_foreach (pu_os, &workload->cpus) {
		uint32_t node = topology->pus[topology_pu_idx(topology, pu_os)].node;
		bool is_near = false;

		for (size_t i = 0; i < names->n_items; i++) {
			const struct topo_device *device = topology_device(topology,
									   names->items[i]);

			if (!device || nodeset_is_empty(&device->nodes))
				continue;
			asks = true;
			is_near |= nodeset_has(&device->nodes, topology->nodes[node].node_os);
		}
		n += asks && !is_near;
	}
	return n;
}

int grade_plan(const struct snapshot *snapshot, const struct plan *plan, struct grade *ret_grade)
{
	const struct topology *topology = snapshot->topology;
	cleanup(freep) bool *marks = calloc((size_t)topology->n_pu + topology->n_node,
					    sizeof(*marks));
	struct grade grade = { 0 };
	cleanup(freep) uint32_t *owners = owners_of(snapshot, plan, &grade);
	int r = marks && owners ? 0 : -ENOMEM;

	for (size_t w = 0; w < plan->n_workloads && r == 0; w++) {
		const struct plan_workload *workload = &plan->workloads[w];
		bool whole = workload->conf->smt == SMT_WHOLE_CORE;

		grade.items[GRADE_UNPLACED] += !workload->placed;
		if (!workload->placed || !workload->conf->exclusive)
			continue;
		r = add_set(topology, &workload->cpus, grade_weight(workload->conf->role), marks,
			    &grade);
		grade.items[GRADE_NEAR] += n_far(topology, workload);
		grade.items[GRADE_KIND] += n_wrong_kind(topology, workload);
		grade.n_straddling += nodeset_count(&workload->nodes) > 1 &&
				      grade_fewest_nodes(snapshot, workload->n_pu, whole) == 1;
	}
	if (r < 0)
		return r;
	add_beside(topology, plan, owners, &grade);
	*ret_grade = grade;
	return 0;
}

double grade_gap(const struct grade *a, const struct grade *b, enum grade_item *ret_item)
{
	for (unsigned i = 0; i < GRADE_N_ITEMS; i++) {
		double ours = (double)a->items[i], theirs = (double)b->items[i];

		if (a->items[i] == b->items[i])
			continue;
		*ret_item = (enum grade_item)i;
		return (ours - theirs) / (theirs > 0 ? theirs : 1);
	}
	*ret_item = GRADE_N_ITEMS;
	return 0;
}

/* ---- lower bounds ---- */

static int roomier_first(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? 1 : *x > *y ? -1 : 0;
}

/* PUs of a group; with whole cores only those of cores that are allowed as a whole. */
static uint32_t fewest(const struct snapshot *snapshot, uint32_t n, bool in_whole_cores,
		       enum level level)
{
	const struct topology *topology = snapshot->topology;
	cleanup(freep)
		uint32_t *rooms = calloc((size_t)topology->n_pu + topology->n_node, sizeof(*rooms));
	uint32_t n_rooms = level == LEVEL_NODE ? topology->n_node : topology->n_l3, n_fewest = 0;

	for (uint32_t i = 0; rooms && i < topology->n_pu;) {
		uint32_t end = i, n_allowed = 0;

		for (; end < topology->n_pu && topology->pus[end].core == topology->pus[i].core;
		     end++)
			n_allowed += !snapshot->allowed ||
				     cpuset_has(snapshot->allowed, topology->pus[end].pu_os);
		if (!in_whole_cores || n_allowed == end - i)
			rooms[index_at(&topology->pus[i], level)] += n_allowed;
		i = end;
	}
	if (rooms)
		qsort(rooms, n_rooms, sizeof(*rooms), roomier_first);
	for (uint32_t held = 0; rooms && held < n && n_fewest < n_rooms; n_fewest++)
		held += rooms[n_fewest];
	return n_fewest;
}

uint32_t grade_fewest_nodes(const struct snapshot *snapshot, uint32_t n, bool in_whole_cores)
{
	return fewest(snapshot, n, in_whole_cores, LEVEL_NODE);
}

uint32_t grade_fewest_l3s(const struct snapshot *snapshot, uint32_t n, bool in_whole_cores)
{
	return fewest(snapshot, n, in_whole_cores, LEVEL_L3);
}

/* ---- movement ---- */

uint64_t grade_moved(const struct plan *before, const struct plan *after)
{
	uint64_t n_moved = 0;

	for (size_t w = 0; w < after->n_workloads; w++) {
		const struct plan_workload *now = &after->workloads[w];
		const struct plan_workload *then = plan_find(before, now->conf->name);

		if (!then || !then->placed || !now->placed || !now->conf->exclusive)
			continue;
		cpuset_foreach (pu_os, &then->cpus)
			n_moved += !cpuset_has(&now->cpus, pu_os);
	}
	return n_moved;
}
