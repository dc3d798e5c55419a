/* What others do with the same question, for the figures beside ours. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* hwloc_distrib() of @n over a machine of hwloc's synthetic format, one cpuset each; loading the
 * machine is not counted. Microseconds of each of @n_runs runs into @times_us. False where hwloc
 * does not take the description. */
bool peer_hwloc_distrib(const char *synthetic, uint32_t n, double *times_us, uint32_t n_runs);

/* What is free in a node. */
struct peer_node {
	uint32_t n_whole_core; /* of @core_size PUs each */
	uint32_t n_single;     /* PUs of cores that are not free as a whole */
	bool is_used;	       /* false before */
};

/* One request of @n PUs by packed filling, without a look ahead, as kubelet's static policy does it
 * (its takeByTopologyNUMAPacked: whole cores first, then single PUs, each time from the node with
 * the fewest free PUs that still has some). Returns the nodes that it takes; changes @nodes. */
uint32_t peer_packed_nodes(struct peer_node *nodes, uint32_t n_nodes, uint32_t core_size,
			   uint32_t n);
