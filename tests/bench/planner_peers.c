#include "bench/planner_peers.h"

#include <hwloc.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "bench/planner_times.h"

bool peer_hwloc_distrib(const char *synthetic, uint32_t n, double *times_us, uint32_t n_runs)
{
	cleanup(freep) hwloc_cpuset_t *sets = calloc(n, sizeof(hwloc_cpuset_t));
	hwloc_topology_t topology;
	hwloc_obj_t root;

	if (!sets || hwloc_topology_init(&topology) < 0)
		return false;
	if (hwloc_topology_set_synthetic(topology, synthetic) < 0 ||
	    hwloc_topology_load(topology) < 0) {
		hwloc_topology_destroy(topology);
		return false;
	}
	root = hwloc_get_root_obj(topology);
	for (uint32_t i = 0; i < n_runs; i++) {
		double before_us = times_now_us();

		hwloc_distrib(topology, &root, 1, sets, n, INT32_MAX, 0);
		times_us[i] = times_now_us() - before_us;
		for (uint32_t k = 0; k < n; k++)
			hwloc_bitmap_free(sets[k]);
	}
	hwloc_topology_destroy(topology);
	return true;
}

static int fullest_first(const void *a, const void *b)
{
	const struct peer_node *x = a, *y = b;
	/* cores of two at most, so a whole one counts double */
	uint32_t n_x = 2 * x->n_whole_core + x->n_single;
	uint32_t n_y = 2 * y->n_whole_core + y->n_single;

	return n_x < n_y ? -1 : n_x > n_y ? 1 : 0;
}

uint32_t peer_packed_nodes(struct peer_node *nodes, uint32_t n_nodes, uint32_t core_size,
			   uint32_t n)
{
	uint32_t n_used = 0;

	qsort(nodes, n_nodes, sizeof(*nodes), fullest_first);
	for (uint32_t pass = 0; pass < 2; pass++)
		for (uint32_t i = 0; i < n_nodes && n > 0; i++) {
			uint32_t n_cores = n / core_size, n_taken;

			if (pass == 0) {
				n_cores = n_cores < nodes[i].n_whole_core ? n_cores
									  : nodes[i].n_whole_core;
				n_taken = n_cores * core_size;
				nodes[i].n_whole_core -= n_cores;
			} else {
				/* the rest of whole cores, too */
				n_taken = nodes[i].n_single + nodes[i].n_whole_core * core_size;
				n_taken = n_taken < n ? n_taken : n;
			}
			n -= n_taken;
			n_used += n_taken > 0 && !nodes[i].is_used;
			nodes[i].is_used |= n_taken > 0;
		}
	return n_used;
}
