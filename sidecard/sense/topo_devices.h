/* The parts of topo_read.c that look at devices and memory; for it alone, since hwloc's types stay
 * in the probe. */
#pragma once

#include <hwloc.h>

#include "model/topology.h"

/* Before the tree is loaded. 0 or -errno. */
int topo_keep_devices(hwloc_topology_t tree);

/* Fills devices[]. 0 or -ENOMEM. */
int topo_fill_devices(hwloc_topology_t tree, struct topology *topology);

/* Fills memory_kind of nodes[], whose n_pu is known. */
void topo_fill_memory(hwloc_topology_t tree, struct topology *topology);
