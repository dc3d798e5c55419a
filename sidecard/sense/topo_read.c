/* With topo_devices.c the only file that knows hwloc: loads a machine, flattens the tree to struct
 * topology. It runs in the probe, a process of its own with limits, because hwloc parses files from
 * outside and has no bounds of its own.
 *
 * Relies on: hwloc >= 2.9; topo_read_init() before anything else. */
#include "sense/topo_read.h"

#include <errno.h>
#include <hwloc.h>
#include <hwloc/cpukinds.h>
#include <hwloc/distances.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sense/topo_devices.h"

static void topology_destroyp(hwloc_topology_t *tree)
{
	if (*tree)
		hwloc_topology_destroy(*tree);
}

/* "stop" ends the list of discovery components: nothing but what is named, or what was chosen by a
 * call (XML, synthetic), describes the machine. */
static int use_components(const char *components, const char *fsroot)
{
	if (setenv("HWLOC_COMPONENTS", components, 1) < 0)
		return -errno;
	if (!fsroot)
		return 0;
	if (setenv("HWLOC_FSROOT", fsroot, 1) < 0 || setenv("HWLOC_THISSYSTEM", "0", 1) < 0)
		return -errno;
	return 0;
}

static int set_xml(hwloc_topology_t tree, const char *path, struct fault *fault)
{
	cleanup(freep) char *text = NULL;
	int r = topo_read_xml_file(path, &text, fault);

	if (r < 0)
		return r;
	r = use_components("stop", NULL);
	if (r < 0)
		return fault_set(fault, r, "no memory to choose hwloc's XML reader");
	if (hwloc_topology_set_xmlbuffer(tree, text, (int)strlen(text) + 1) < 0)
		return fault_set(fault, -EINVAL, "machine '%s' is not hwloc XML", path);
	return 0;
}

/* Our own capture holds topology.xml; anything else must look like the root of a file system. */
static int set_directory(hwloc_topology_t tree, const char *path, struct fault *fault)
{
	cleanup(freep) char *xml = NULL, *cpus = NULL;
	struct stat st;
	int r;

	if (asprintf(&xml, "%s/topology.xml", path) < 0)
		return fault_set(fault, -ENOMEM, "no memory for machine '%s'", path);
	if (lstat(xml, &st) == 0)
		return set_xml(tree, xml, fault);
	if (asprintf(&cpus, "%s/sys/devices/system/cpu", path) < 0)
		return fault_set(fault, -ENOMEM, "no memory for captured machine '%s'", path);
	if (stat(cpus, &st) < 0 || !S_ISDIR(st.st_mode))
		return fault_set(
			fault, -ENOENT,
			"machine '%s' holds neither topology.xml nor sys/devices/system/cpu", path);
	r = use_components("linux,stop", path);
	return r < 0 ? fault_set(fault, r, "no memory to read machine '%s'", path) : 0;
}

static int set_source(hwloc_topology_t tree, const char *machine, struct fault *fault)
{
	static const char synthetic[] = "synthetic:";
	struct stat st;
	int r;

	if (strcmp(machine, "live") == 0) {
		r = use_components("linux,stop", NULL);
		return r < 0 ? fault_set(fault, r, "no memory to read this machine") : 0;
	}
	if (strncmp(machine, synthetic, strlen(synthetic)) == 0) {
		const char *description = machine + strlen(synthetic);

		r = topo_check_synthetic(description, fault);
		if (r < 0)
			return r;
		r = use_components("stop", NULL);
		if (r < 0)
			return fault_set(fault, r, "no memory to make up a machine");
		if (hwloc_topology_set_synthetic(tree, description) < 0)
			return fault_set(fault, -EINVAL,
					 "hwloc does not accept synthetic machine '%.200s'",
					 description);
		return 0;
	}
	if (stat(machine, &st) < 0)
		return fault_set(
			fault, -errno,
			"machine '%s': %s; expected live, synthetic:STRING, a file or a directory",
			machine, strerror(errno));
	return S_ISDIR(st.st_mode) ? set_directory(tree, machine, fault)
				   : set_xml(tree, machine, fault);
}

/* Only the levels that struct topology has: on big machines most of the time goes into the others.
 */
static int keep_few_types(hwloc_topology_t tree)
{
	static const hwloc_obj_type_t kept[] = { HWLOC_OBJ_PACKAGE, HWLOC_OBJ_DIE,
						 HWLOC_OBJ_L3CACHE, HWLOC_OBJ_L2CACHE,
						 HWLOC_OBJ_CORE };

	if (hwloc_topology_set_all_types_filter(tree, HWLOC_TYPE_FILTER_KEEP_NONE) < 0)
		return -errno;
	for (size_t i = 0; i < N_ELEMENTS(kept); i++)
		if (hwloc_topology_set_type_filter(tree, kept[i], HWLOC_TYPE_FILTER_KEEP_ALL) < 0)
			return -errno;
	/* A node that belongs to a part of a package needs a group to hang below. */
	if (hwloc_topology_set_type_filter(tree, HWLOC_OBJ_GROUP,
					   HWLOC_TYPE_FILTER_KEEP_STRUCTURE) < 0)
		return -errno;
	return topo_keep_devices(tree);
}

/* The few levels of struct topology, or all that lstopo draws. */
enum tree_kind { TREE_FLAT, TREE_WHOLE };

static int tree_load(const char *machine, enum tree_kind kind, hwloc_topology_t *ret_tree,
		     struct fault *fault)
{
	cleanup(topology_destroyp) hwloc_topology_t tree = NULL;
	int is_live = strcmp(machine, "live") == 0, r;

	if (hwloc_topology_init(&tree) < 0)
		return fault_set(fault, -ENOMEM, "cannot set hwloc up: %s", strerror(errno));
	/* Without the first, we would see our own cpuset only; without the second, hwloc visits
	 * every PU, isolated ones too. */
	if (hwloc_topology_set_flags(tree, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED |
						   HWLOC_TOPOLOGY_FLAG_DONT_CHANGE_BINDING) < 0 ||
	    (kind == TREE_FLAT && keep_few_types(tree) < 0))
		return fault_set(fault, -EINVAL, "hwloc refuses our flags or filters: %s",
				 strerror(errno));
	r = set_source(tree, machine, fault);
	if (r < 0)
		return r;
	if (hwloc_topology_load(tree) < 0)
		return fault_set(fault, -EINVAL, "hwloc cannot load machine '%.200s': %s", machine,
				 strerror(errno));
	if (hwloc_topology_is_thissystem(tree) != is_live)
		return fault_set(fault, -EINVAL, "hwloc loaded %s for machine '%.200s'",
				 is_live ? "another machine" : "the machine we run on", machine);
	*ret_tree = TAKE_PTR(tree);
	return 0;
}

/* Where a PU sits: logical indices of hwloc, TOPOLOGY_NONE where there is no such level. In this
 * order they are the order of the machine. */
enum level {
	LEVEL_PACKAGE,
	LEVEL_NODE,
	LEVEL_DIE,
	LEVEL_L3,
	LEVEL_L2,
	LEVEL_CORE,
	LEVEL_PU,
	N_LEVELS
};

struct seat {
	uint32_t at[N_LEVELS]; /* at[LEVEL_PU] is the kernel's number */
	uint32_t rank;
};

static int seat_compare(const void *a, const void *b)
{
	const struct seat *x = a, *y = b;

	for (unsigned level = 0; level < N_LEVELS; level++)
		if (x->at[level] != y->at[level])
			return x->at[level] < y->at[level] ? -1 : 1;
	return 0;
}

static struct seat seat_of(hwloc_obj_t pu)
{
	struct seat seat;

	for (unsigned level = 0; level < N_LEVELS; level++)
		seat.at[level] = TOPOLOGY_NONE;
	seat.at[LEVEL_PU] = pu->os_index;
	seat.rank = 0;
	for (hwloc_obj_t obj = pu->parent; obj; obj = obj->parent) {
		if (obj->type == HWLOC_OBJ_CORE)
			seat.at[LEVEL_CORE] = obj->logical_index;
		else if (obj->type == HWLOC_OBJ_L2CACHE)
			seat.at[LEVEL_L2] = obj->logical_index;
		else if (obj->type == HWLOC_OBJ_L3CACHE)
			seat.at[LEVEL_L3] = obj->logical_index;
		else if (obj->type == HWLOC_OBJ_DIE)
			seat.at[LEVEL_DIE] = obj->logical_index;
		else if (obj->type == HWLOC_OBJ_PACKAGE)
			seat.at[LEVEL_PACKAGE] = obj->logical_index;
	}
	return seat;
}

/* How far a node is from being the plain memory of its PUs. hwloc names the kind of memory where
 * nodes of several kinds exist. */
static unsigned node_strangeness(hwloc_obj_t node)
{
	if (!node->subtype || strcmp(node->subtype, "DRAM") == 0)
		return 0;
	return strcmp(node->subtype, "HBM") == 0 || strcmp(node->subtype, "MCDRAM") == 0 ? 1 : 2;
}

/* Several nodes may be near the same PUs (HBM, CXL and persistent memory hang beside the DRAM that
 * the kernel counts the PU to). The local one is plain memory, of the smallest set of PUs, of the
 * lowest number; the others are memory-only nodes. */
static bool node_is_more_local(hwloc_obj_t node, hwloc_obj_t than)
{
	unsigned a = node_strangeness(node), b = node_strangeness(than);
	int weight_a = hwloc_bitmap_weight(node->cpuset),
	    weight_b = hwloc_bitmap_weight(than->cpuset);

	if (a != b)
		return a < b;
	return weight_a != weight_b ? weight_a < weight_b : node->os_index < than->os_index;
}

static hwloc_obj_t node_by_index(hwloc_topology_t tree, unsigned idx)
{
	return hwloc_get_obj_by_depth(tree, HWLOC_TYPE_DEPTH_NUMANODE, idx);
}

/* A PU that no node claims belongs to the first node of the smallest object around it that has any.
 */
static uint32_t node_of_neighbours(hwloc_topology_t tree, hwloc_obj_t pu)
{
	for (hwloc_obj_t obj = pu; obj; obj = obj->parent) {
		int node_os = obj->nodeset ? hwloc_bitmap_first(obj->nodeset) : -1;
		hwloc_obj_t node = node_os >= 0 ? hwloc_get_numanode_obj_by_os_index(
							  tree, (unsigned)node_os)
						: NULL;

		if (node)
			return node->logical_index;
	}
	return 0;
}

/* All seats of a machine, in hwloc's order of PUs until they are sorted. */
struct seating {
	uint32_t n_pu;
	struct seat *seats;
	uint32_t *seat_of_os; /* TOPOLOGY_N_PU_MAX entries: index into seats[], or TOPOLOGY_NONE */
};

static void seating_done(struct seating *seating)
{
	free(seating->seats);
	free(seating->seat_of_os);
}

static int seating_init(hwloc_topology_t tree, struct seating *seating, struct fault *fault)
{
	int n_pu = hwloc_get_nbobjs_by_type(tree, HWLOC_OBJ_PU);

	if (n_pu < 1 || n_pu > (int)TOPOLOGY_N_PU_MAX)
		return fault_set(fault, -ERANGE, "machine has %d PUs, expected 1 to %u", n_pu,
				 TOPOLOGY_N_PU_MAX);
	seating->seats = calloc((size_t)n_pu, sizeof(*seating->seats));
	seating->seat_of_os = malloc(TOPOLOGY_N_PU_MAX * sizeof(*seating->seat_of_os));
	if (!seating->seats || !seating->seat_of_os)
		return fault_set(fault, -ENOMEM, "no memory for %d PUs", n_pu);
	for (uint32_t i = 0; i < TOPOLOGY_N_PU_MAX; i++)
		seating->seat_of_os[i] = TOPOLOGY_NONE;
	for (uint32_t i = 0; i < (uint32_t)n_pu; i++) {
		hwloc_obj_t pu = hwloc_get_obj_by_type(tree, HWLOC_OBJ_PU, i);

		if (pu->os_index >= TOPOLOGY_N_PU_MAX)
			return fault_set(fault, -ERANGE,
					 "machine has PU %u, the highest possible is %u",
					 pu->os_index, TOPOLOGY_N_PU_MAX - 1);
		seating->seats[i] = seat_of(pu);
		seating->seat_of_os[pu->os_index] = i;
	}
	seating->n_pu = (uint32_t)n_pu;
	return 0;
}

/* The seat of a PU's number; NULL where that PU is offline or unknown. */
static struct seat *seating_at(struct seating *seating, int pu_os)
{
	uint32_t i = pu_os >= 0 && pu_os < (int)TOPOLOGY_N_PU_MAX ? seating->seat_of_os[pu_os]
								  : TOPOLOGY_NONE;

	return i == TOPOLOGY_NONE ? NULL : &seating->seats[i];
}

static void seating_find_nodes(hwloc_topology_t tree, struct seating *seating, uint32_t n_node)
{
	for (uint32_t i = 0; i < n_node; i++) {
		hwloc_obj_t node = node_by_index(tree, i);
		/* A node may have no set, and the last bit of an infinite one is -1 too. */
		bool is_finite = node->cpuset && hwloc_bitmap_last(node->cpuset) >= 0;

		for (int pu_os = is_finite ? hwloc_bitmap_first(node->cpuset) : -1; pu_os >= 0;
		     pu_os = hwloc_bitmap_next(node->cpuset, pu_os)) {
			struct seat *seat = seating_at(seating, pu_os);
			uint32_t *at = seat ? &seat->at[LEVEL_NODE] : NULL;

			if (at && (*at == TOPOLOGY_NONE ||
				   node_is_more_local(node, node_by_index(tree, *at))))
				*at = i;
		}
	}
	for (uint32_t i = 0; i < seating->n_pu; i++)
		if (seating->seats[i].at[LEVEL_NODE] == TOPOLOGY_NONE)
			seating->seats[i].at[LEVEL_NODE] = node_of_neighbours(
				tree, hwloc_get_obj_by_type(tree, HWLOC_OBJ_PU, i));
}

/* What hwloc tells of a kind of cores. */
struct kind {
	const char *core_type;
	double figures[3]; /* capacity, base and highest frequency; 0 where not known */
};

static struct kind kind_of(const struct hwloc_info_s *infos, unsigned n_infos)
{
	static const char *const figures[] = { "LinuxCapacity", "FrequencyBaseMHz",
					       "FrequencyMaxMHz" };
	struct kind kind = { 0 };

	for (unsigned i = 0; i < n_infos; i++) {
		if (strcmp(infos[i].name, "CoreType") == 0)
			kind.core_type = infos[i].value;
		for (size_t k = 0; k < N_ELEMENTS(figures); k++)
			if (strcmp(infos[i].name, figures[k]) == 0)
				kind.figures[k] = strtod(infos[i].value, NULL);
	}
	return kind;
}

/* hwloc makes a kind of every difference, but firmware gives the cores of one kind slightly
 * different frequencies and capacities (preferred cores): some per cent, where kinds proper differ
 * by a quarter or more. */
static bool kinds_differ(const struct kind *a, const struct kind *b)
{
	if (a->core_type && b->core_type)
		return strcmp(a->core_type, b->core_type) != 0;
	for (size_t i = 0; i < N_ELEMENTS(a->figures); i++) {
		double least = a->figures[i], most = b->figures[i];

		if (least > most) {
			least = b->figures[i];
			most = a->figures[i];
		}
		if (least > 0 && least < 0.9 * most)
			return true;
	}
	return false;
}

static void seating_set_rank(struct seating *seating, hwloc_const_bitmap_t cpus, uint32_t rank)
{
	if (hwloc_bitmap_last(cpus) < 0) /* empty, or infinite */
		return;
	for (int pu_os = hwloc_bitmap_first(cpus); pu_os >= 0;
	     pu_os = hwloc_bitmap_next(cpus, pu_os)) {
		struct seat *seat = seating_at(seating, pu_os);

		if (seat)
			seat->rank = rank;
	}
}

/* Kinds come in the order of their efficiency where hwloc knows it. */
static int seating_find_ranks(hwloc_topology_t tree, struct seating *seating)
{
	hwloc_bitmap_t cpus = hwloc_bitmap_alloc();
	struct kind first = { 0 }; /* of the current rank */
	uint32_t rank = 0;

	if (!cpus)
		return -ENOMEM;
	for (int i = 0; i < hwloc_cpukinds_get_nr(tree, 0); i++) {
		struct hwloc_info_s *infos = NULL;
		unsigned n_infos = 0;
		struct kind kind;
		int efficiency = -1;

		if (hwloc_cpukinds_get_info(tree, (unsigned)i, cpus, &efficiency, &n_infos, &infos,
					    0) < 0 ||
		    efficiency < 0)
			break;
		kind = kind_of(infos, n_infos);
		if (i == 0) {
			first = kind;
		} else if (kinds_differ(&first, &kind)) {
			first = kind;
			rank++;
		}
		seating_set_rank(seating, cpus, rank);
	}
	hwloc_bitmap_free(cpus);
	return 0;
}

/* Do two neighbours in the order of the machine share @level? Where there is no such level, the
 * next larger one stands in, but PUs of different nodes never share a made-up L3, and a PU without
 * a core is a core of its own. */
static bool seats_share(const struct seat *a, const struct seat *b, enum level level)
{
	if (level == LEVEL_PACKAGE || a->at[level] != TOPOLOGY_NONE ||
	    b->at[level] != TOPOLOGY_NONE)
		return a->at[level] == b->at[level];
	if (level == LEVEL_DIE)
		return seats_share(a, b, LEVEL_PACKAGE);
	if (level == LEVEL_L3)
		return a->at[LEVEL_NODE] == b->at[LEVEL_NODE] && seats_share(a, b, LEVEL_DIE);
	return level == LEVEL_L2 && seats_share(a, b, LEVEL_L3);
}

/* Dense numbers of one level, given in the order of the machine. */
struct numbering {
	uint32_t n;
	uint32_t of_logical[TOPOLOGY_N_PU_MAX];
};

/* An L3 that several nodes share need not be one run of neighbours, so an object that exists is
 * looked up among those numbered before. */
static uint32_t number(struct numbering *numbering, const struct seat *seats, uint32_t i,
		       enum level level)
{
	uint32_t logical = seats[i].at[level];

	if (logical < TOPOLOGY_N_PU_MAX) {
		if (numbering->of_logical[logical] == TOPOLOGY_NONE)
			numbering->of_logical[logical] = numbering->n++;
		return numbering->of_logical[logical];
	}
	if (i == 0 || !seats_share(&seats[i - 1], &seats[i], level))
		numbering->n++;
	return numbering->n - 1;
}

static int fill_pus(struct topology *topology, const struct seating *seating, struct fault *fault)
{
	cleanup(freep) struct numbering *numberings = malloc(N_LEVELS * sizeof(*numberings));
	const struct seat *seats = seating->seats;

	topology->pus = calloc(seating->n_pu, sizeof(*topology->pus));
	if (!numberings || !topology->pus)
		return fault_set(fault, -ENOMEM, "no memory for the machine's %u PUs",
				 seating->n_pu);
	memset(numberings, 0xff, N_LEVELS * sizeof(*numberings)); /* all TOPOLOGY_NONE */
	for (unsigned level = 0; level < N_LEVELS; level++)
		numberings[level].n = 0;
	for (uint32_t i = 0; i < seating->n_pu; i++)
		topology->pus[i] = (struct topo_pu){
			.pu_os = seats[i].at[LEVEL_PU],
			.core = number(&numberings[LEVEL_CORE], seats, i, LEVEL_CORE),
			.l2 = number(&numberings[LEVEL_L2], seats, i, LEVEL_L2),
			.l3 = number(&numberings[LEVEL_L3], seats, i, LEVEL_L3),
			.die = number(&numberings[LEVEL_DIE], seats, i, LEVEL_DIE),
			.package = number(&numberings[LEVEL_PACKAGE], seats, i, LEVEL_PACKAGE),
			.node = seats[i].at[LEVEL_NODE],
			.efficiency_rank = seats[i].rank,
		};
	topology->n_pu = seating->n_pu;
	return 0;
}

static int fill_nodes(struct topology *topology, hwloc_topology_t tree, uint32_t n_node,
		      struct fault *fault)
{
	topology->nodes = calloc(n_node, sizeof(*topology->nodes));
	if (!topology->nodes)
		return fault_set(fault, -ENOMEM, "no memory for the machine's %u nodes", n_node);
	for (uint32_t i = 0; i < n_node; i++) {
		hwloc_obj_t node = node_by_index(tree, i);

		if (node->os_index >= TOPOLOGY_N_NODE_MAX)
			return fault_set(fault, -ERANGE,
					 "machine has node %u, the highest possible is %u",
					 node->os_index, TOPOLOGY_N_NODE_MAX - 1);
		topology->nodes[i] = (struct topo_node){
			.node_os = node->os_index,
			.package = TOPOLOGY_NONE,
			.memory_bytes = node->attr->numanode.local_memory,
		};
	}
	topology->n_node = n_node;
	/* n_pu serves as "seen" here; topology_finish() counts anew. */
	for (uint32_t i = 0; i < topology->n_pu; i++) {
		const struct topo_pu *pu = &topology->pus[i];
		struct topo_node *node = &topology->nodes[pu->node];

		if (node->n_pu++ == 0)
			node->package = pu->package;
		else if (node->package != pu->package)
			node->package = TOPOLOGY_NONE;
	}
	return 0;
}

/* What @distances leave open keeps the kernel's own default (drivers/base/node.c, REMOTE_DISTANCE).
 */
static void copy_distances(struct topology *topology, const struct hwloc_distances_s *distances)
{
	uint32_t n = topology->n_node;

	for (uint32_t from = 0; from < n; from++)
		for (uint32_t to = 0; to < n; to++)
			topology->distances[from * n + to] = from == to ? TOPOLOGY_LOCAL : 20;
	for (unsigned i = 0; i < distances->nbobjs; i++) {
		for (unsigned k = 0; k < distances->nbobjs; k++) {
			uint64_t value = distances->values[i * distances->nbobjs + k];
			hwloc_obj_t from = distances->objs[i], to = distances->objs[k];

			if (i == k || !from || !to || from->logical_index >= n ||
			    to->logical_index >= n || value == 0)
				continue;
			topology->distances[from->logical_index * n + to->logical_index] =
				value > UINT16_MAX ? UINT16_MAX : (uint32_t)value;
		}
	}
}

static int fill_distances(struct topology *topology, hwloc_topology_t tree, struct fault *fault)
{
	struct hwloc_distances_s *distances = NULL;
	unsigned n_matrices = 1;
	size_t n = topology->n_node;

	if (n < 2 ||
	    hwloc_distances_get_by_type(tree, HWLOC_OBJ_NUMANODE, &n_matrices, &distances,
					HWLOC_DISTANCES_KIND_MEANS_LATENCY, 0) < 0 ||
	    n_matrices < 1 || !distances)
		return 0;
	topology->distances = calloc(n * n, sizeof(uint32_t));
	if (topology->distances)
		copy_distances(topology, distances);
	hwloc_distances_release(tree, distances);
	return topology->distances
		       ? 0
		       : fault_set(fault, -ENOMEM, "no memory for distances of %zu nodes", n);
}

static int flatten(hwloc_topology_t tree, struct topology *topology, struct fault *fault)
{
	cleanup(seating_done) struct seating seating = { 0 };
	int n_node = hwloc_get_nbobjs_by_depth(tree, HWLOC_TYPE_DEPTH_NUMANODE);
	int r = seating_init(tree, &seating, fault);

	if (r < 0)
		return r;
	if (n_node < 1 || n_node > (int)TOPOLOGY_N_NODE_MAX)
		return fault_set(fault, -ERANGE, "machine has %d NUMA nodes, expected 1 to %u",
				 n_node, TOPOLOGY_N_NODE_MAX);
	seating_find_nodes(tree, &seating, (uint32_t)n_node);
	r = seating_find_ranks(tree, &seating);
	if (r < 0)
		return fault_set(fault, r, "no memory for kinds of cores");
	qsort(seating.seats, seating.n_pu, sizeof(*seating.seats), seat_compare);
	r = fill_pus(topology, &seating, fault);
	if (r < 0)
		return r;
	r = fill_nodes(topology, tree, (uint32_t)n_node, fault);
	if (r < 0)
		return r;
	topo_fill_memory(tree, topology);
	if (topo_fill_devices(tree, topology) < 0)
		return fault_set(fault, -ENOMEM, "no memory for the machine's devices");
	return fill_distances(topology, tree, fault);
}

int topo_read(const char *machine, struct topology **ret_topology, struct fault *fault)
{
	cleanup(topology_destroyp) hwloc_topology_t tree = NULL;
	cleanup(topology_freep) struct topology *topology = NULL;
	int r = tree_load(machine, TREE_FLAT, &tree, fault);

	if (r < 0)
		return r;
	topology = calloc(1, sizeof(*topology));
	if (!topology)
		return fault_set(fault, -ENOMEM, "no memory for machine '%.200s'", machine);
	r = flatten(tree, topology, fault);
	if (r < 0)
		return r;
	*ret_topology = TAKE_PTR(topology);
	return 0;
}

/* lstopo(1), "CUSTOM COLORS": info lstopoStyle, attributes Background and Text. Text stays
 * readable: black on light, white on dark, by the luma weights of ITU-R BT.601. */
static int paint(hwloc_obj_t obj, const char *colour, const char *owner)
{
	unsigned long rgb = strtoul(colour + 1, NULL, 16);
	unsigned long luma = 299 * (rgb >> 16) + 587 * (rgb >> 8 & 0xff) + 114 * (rgb & 0xff);
	char style[64];

	snprintf(style, sizeof(style), "Background=%s;Text=%s", colour,
		 luma < 128000 ? "#ffffff" : "#000000");
	if (hwloc_obj_add_info(obj, "lstopoStyle", style) < 0 ||
	    hwloc_obj_add_info(obj, "SidecardWorkload", owner) < 0)
		return -ENOMEM;
	return 0;
}

static int paint_line(hwloc_topology_t tree, const char *line, struct fault *fault)
{
	unsigned pu_os;
	char colour[8], owner[64];
	int end = 0;
	hwloc_obj_t pu;

	if (sscanf(line, "%u %7[#0-9a-f] %63s%n", &pu_os, colour, owner, &end) != 3 || line[end] ||
	    colour[0] != '#' || strlen(colour) != 7 ||
	    strspn(colour + 1, "0123456789abcdef") != 6 || !name_is_valid(owner))
		return fault_set(fault, -EINVAL, "colours: '%.100s' is not 'PU #rrggbb NAME'",
				 line);
	pu = hwloc_get_pu_obj_by_os_index(tree, pu_os);
	if (!pu)
		return fault_set(fault, -EINVAL, "colours: the machine has no PU %u", pu_os);
	if (hwloc_obj_get_info_by_name(pu, "lstopoStyle"))
		return fault_set(fault, -EINVAL, "colours: PU %u has two", pu_os);
	if (paint(pu, colour, owner) < 0)
		return fault_set(fault, -ENOMEM, "no memory for the colour of PU %u", pu_os);
	return 0;
}

/* A core takes the colour that all its PUs have. */
static int paint_core(hwloc_obj_t core)
{
	const char *colour = NULL, *owner = NULL;
	char background[8];

	for (hwloc_obj_t pu = core->first_child; pu; pu = pu->next_sibling) {
		const char *own = hwloc_obj_get_info_by_name(pu, "SidecardWorkload");

		if (!own || (owner && strcmp(own, owner) != 0))
			return 0;
		owner = own;
		colour = hwloc_obj_get_info_by_name(pu, "lstopoStyle");
	}
	if (!colour)
		return 0;
	snprintf(background, sizeof(background), "%s", colour + strlen("Background="));
	return paint(core, background, owner);
}

static int paint_all(hwloc_topology_t tree, const char *colours, struct fault *fault)
{
	cleanup(freep) char *copy = strdup(colours);
	char *line, *rest = copy;

	if (!copy)
		return fault_set(fault, -ENOMEM, "no memory for colours");
	while ((line = strsep(&rest, "\n"))) {
		int r = *line ? paint_line(tree, line, fault) : 0;

		if (r < 0)
			return r;
	}
	for (hwloc_obj_t core = NULL;
	     (core = hwloc_get_next_obj_by_type(tree, HWLOC_OBJ_CORE, core));)
		if (paint_core(core) < 0)
			return fault_set(fault, -ENOMEM, "no memory for the colour of a core");
	return 0;
}

int topo_read_xml(const char *machine, const char *colours, char **ret_xml, struct fault *fault)
{
	cleanup(topology_destroyp) hwloc_topology_t tree = NULL;
	char *buffer = NULL;
	int n_buffer, r = tree_load(machine, TREE_WHOLE, &tree, fault);

	if (r == 0 && colours)
		r = paint_all(tree, colours, fault);
	if (r < 0)
		return r;
	if (hwloc_topology_export_xmlbuffer(tree, &buffer, &n_buffer, 0) < 0)
		return fault_set(fault, -EIO, "hwloc cannot write machine '%.200s' as XML",
				 machine);
	*ret_xml = strdup(buffer);
	hwloc_free_xmlbuffer(tree, buffer);
	return *ret_xml ? 0 : fault_set(fault, -ENOMEM, "no memory for %d bytes of XML", n_buffer);
}
