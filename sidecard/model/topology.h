/* One machine, flattened: hwloc's tree as arrays. Const once built; knows nothing of hwloc.
 *
 * Everything is membership, never division: a core with one PU offline, a core with three PUs, a
 * node without PUs or of another size than its neighbour need no special case. Dense indices run in
 * the order of the machine (package, node, L3, L2, core, PU number), so neighbours in the array are
 * neighbours on the chip. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "model/cpuset.h"

#define TOPOLOGY_NONE	    UINT32_MAX
#define TOPOLOGY_LOCAL	    10u /* SLIT: distance of a node to itself */
#define TOPOLOGY_N_PU_MAX   CPUSET_MAX
#define TOPOLOGY_N_NODE_MAX NODESET_MAX
/* Each PCI function and each of its names is one; large servers have some hundred. */
#define TOPOLOGY_N_DEVICE_MAX	16384u
#define TOPOLOGY_NAME_MAX_BYTES 63u

struct topo_pu {
	uint32_t pu_os; /* the kernel's number */
	uint32_t core;	/* dense indices from here on; every PU has all of them: */
	uint32_t l2; /* where the machine tells of no such level, the next larger one stands in */
	uint32_t l3;
	uint32_t die;
	uint32_t package;
	uint32_t node;		  /* index into nodes[]: the node that is local to the PU */
	uint32_t efficiency_rank; /* hwloc cpukinds: 0 the most efficient kind; all 0 where not
				     known */
};

/* Memory of a node as its PUs see it. Of other than plain memory a workload gets some only where
 * plain memory does not hold its MemorySize=, the fast before the slow; a device's memory never. */
enum memory_kind {
	MEMORY_KIND_PLAIN,  /* DRAM, and what the machine does not tell of */
	MEMORY_KIND_FAST,   /* high-bandwidth memory */
	MEMORY_KIND_SLOW,   /* persistent or behind CXL */
	MEMORY_KIND_DEVICE, /* of a graphics card or the like */
	N_MEMORY_KINDS
};

struct topo_node {
	uint32_t node_os;
	uint32_t package;      /* TOPOLOGY_NONE where it spans several or holds no PU */
	uint32_t n_pu;	       /* 0: a memory-only node */
	uint64_t memory_bytes; /* 0 where not known */
	enum memory_kind memory_kind;
};

/* A device under one of its names: a network interface, block device or any other name that the
 * kernel gives (hwloc's OS devices), or a PCI address ("0000:3b:00.0"). */
struct topo_device {
	char *name;	      /* printable, without blanks, at most TOPOLOGY_NAME_MAX_BYTES */
	struct nodeset nodes; /* near it: node_os; empty: no nearer to one than to another */
};

struct topology {
	uint32_t n_pu, n_core, n_l2, n_l3, n_die, n_package, n_node;
	struct topo_pu *pus;	     /* n_pu, online ones only, in the order of the machine */
	struct topo_node *nodes;     /* n_node ≥ 1: a machine without NUMA has node 0 */
	struct topo_device *devices; /* n_devices, sorted by name, names unique */
	uint32_t n_devices;
	uint32_t *distances;	/* n_node × n_node, row: from; TOPOLOGY_LOCAL on the diagonal */
	uint32_t *pu_idx_of_os; /* n_os entries: dense index, or TOPOLOGY_NONE */
	uint32_t n_os;		/* highest pu_os + 1 */
	struct cpuset cpus;	/* all pu_os */
	struct nodeset mems;	/* all node_os, memory-only ones too */
	uint32_t n_rank;	/* kinds of cores: highest efficiency_rank + 1 */
};

/* The flattened machine as text, the form in which the probe hands it over: a line
 * "sidecard-topology 1", then "pu OS CORE L2 L3 DIE PACKAGE NODE RANK", "node OS PACKAGE(-1: none)
 * BYTES", "memory NODE-INDEX KIND" where it is not plain, "distance FROM TO VALUE", "device NAME
 * NODES" (a list such as 0-1, or "-"), "end". malloc'ed; NULL where memory is short. */
char *topology_format(const struct topology *topology);

/* The reverse; checks every index and count and derives the rest. 0, -EINVAL (malformed), -ERANGE,
 * -ENOMEM. */
int topology_parse(const char *text, struct topology **ret_topology, struct fault *fault);

/* Derives n_*, pu_idx_of_os, cpus, mems and nodes[].n_pu from pus[], nodes[], and checks all. */
int topology_finish(struct topology *topology, struct fault *fault);

struct topology *topology_free(struct topology *topology);
void topology_freep(struct topology **topology);

/* TOPOLOGY_NONE where the machine has no such PU or node. */
uint32_t topology_pu_idx(const struct topology *topology, uint32_t pu_os);
uint32_t topology_node_idx(const struct topology *topology, uint32_t node_os);
/* NULL where the machine has no device of that name. */
const struct topo_device *topology_device(const struct topology *topology, const char *name);
/* Is the PU (dense index) of that kind? Every PU is where the machine tells of one kind only. */
bool topology_pu_is(const struct topology *topology, uint32_t pu_idx, bool performance);

/* Nodes that are local to the PUs of @cpus. */
int topology_nodes_of(const struct topology *topology, const struct cpuset *cpus,
		      struct nodeset *ret_nodes);
/* Number of cores that have at least one PU in @cpus. */
uint32_t topology_n_core_of(const struct topology *topology, const struct cpuset *cpus);
