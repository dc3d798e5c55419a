#include "model/topology.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

struct topology *topology_free(struct topology *topology)
{
	if (!topology)
		return NULL;
	free(topology->pus);
	free(topology->nodes);
	for (uint32_t i = 0; i < topology->n_devices; i++) {
		free(topology->devices[i].name);
		nodeset_done(&topology->devices[i].nodes);
	}
	free(topology->devices);
	free(topology->distances);
	free(topology->pu_idx_of_os);
	cpuset_done(&topology->cpus);
	nodeset_done(&topology->mems);
	free(topology);
	return NULL;
}

void topology_freep(struct topology **topology)
{
	topology_free(*topology);
}

static int format_devices(const struct topology *topology, FILE *out)
{
	for (uint32_t i = 0; i < topology->n_devices; i++) {
		cleanup(freep) char *nodes = nodeset_format(&topology->devices[i].nodes);

		if (!nodes)
			return -ENOMEM;
		fprintf(out, "device %s %s\n", topology->devices[i].name, *nodes ? nodes : "-");
	}
	return 0;
}

char *topology_format(const struct topology *topology)
{
	char *text = NULL;
	size_t n_text = 0;
	FILE *out = open_memstream(&text, &n_text);
	bool failed;

	if (!out)
		return NULL;
	fputs("sidecard-topology 1\n", out);
	for (uint32_t i = 0; i < topology->n_pu; i++) {
		const struct topo_pu *pu = &topology->pus[i];

		fprintf(out, "pu %u %u %u %u %u %u %u %u\n", pu->pu_os, pu->core, pu->l2, pu->l3,
			pu->die, pu->package, pu->node, pu->efficiency_rank);
	}
	for (uint32_t i = 0; i < topology->n_node; i++) {
		const struct topo_node *node = &topology->nodes[i];

		fprintf(out, "node %u %d %" PRIu64 "\n", node->node_os,
			node->package == TOPOLOGY_NONE ? -1 : (int)node->package,
			node->memory_bytes);
	}
	for (uint32_t i = 0; i < topology->n_node; i++)
		if (topology->nodes[i].memory_kind != MEMORY_KIND_PLAIN)
			fprintf(out, "memory %u %u\n", i, topology->nodes[i].memory_kind);
	for (uint32_t from = 0; topology->distances && from < topology->n_node; from++)
		for (uint32_t to = 0; to < topology->n_node; to++)
			fprintf(out, "distance %u %u %u\n", from, to,
				topology->distances[from * topology->n_node + to]);
	failed = format_devices(topology, out) < 0;
	fputs("end\n", out);
	if (fclose(out) != 0 || failed) {
		free(text);
		return NULL;
	}
	return text;
}

static int grow(void *array, size_t n_items, size_t item_size)
{
	void **at = array;
	void *items;

	/* Doubling: room is made when the count reaches a power of two. */
	if (n_items & (n_items - 1) && n_items > 0)
		return 0;
	items = realloc(*at, (n_items ? n_items * 2 : 1) * item_size);
	if (!items)
		return -ENOMEM;
	*at = items;
	return 0;
}

/* "WORD N N ...": decimal numbers of at most @most, one blank before each, nothing else. sscanf
 * would take signs, blanks and numbers that wrap around. */
static int parse_numbers(const char *line, uint64_t most, uint64_t *ret_numbers, size_t n_numbers)
{
	const char *at = strchr(line, ' ');

	for (size_t i = 0; i < n_numbers; i++) {
		uint64_t number = 0;

		if (!at || *at++ != ' ' || *at < '0' || *at > '9')
			return -EINVAL;
		for (; *at >= '0' && *at <= '9'; at++) {
			uint64_t digit = (uint64_t)(*at - '0');

			if (number > (most - digit) / 10)
				return -EINVAL;
			number = number * 10 + digit;
		}
		ret_numbers[i] = number;
	}
	return *at ? -EINVAL : 0;
}

static int parse_pu(const char *line, struct topology *topology)
{
	uint64_t n[8];

	if (parse_numbers(line, TOPOLOGY_N_PU_MAX - 1, n, 8) < 0)
		return -EINVAL;
	if (topology->n_pu >= TOPOLOGY_N_PU_MAX)
		return -ERANGE;
	if (grow(&topology->pus, topology->n_pu, sizeof(*topology->pus)) < 0)
		return -ENOMEM;
	topology->pus[topology->n_pu++] = (struct topo_pu){
		.pu_os = (uint32_t)n[0],
		.core = (uint32_t)n[1],
		.l2 = (uint32_t)n[2],
		.l3 = (uint32_t)n[3],
		.die = (uint32_t)n[4],
		.package = (uint32_t)n[5],
		.node = (uint32_t)n[6],
		.efficiency_rank = (uint32_t)n[7],
	};
	return 0;
}

static int parse_node(const char *line, struct topology *topology)
{
	const char *none = strstr(line, " -1 ");
	struct topo_node node = { .package = TOPOLOGY_NONE };
	char plain[64];
	uint64_t n[3];

	/* "-1" is the one number with a sign: package 0 stands in for it while the others are read.
	 */
	if (snprintf(plain, sizeof(plain), "%.*s%s%s",
		     none ? (int)(none - line) : (int)strlen(line), line, none ? " 0 " : "",
		     none ? none + 4 : "") >= (int)sizeof(plain) ||
	    parse_numbers(plain, UINT64_MAX, n, 3) < 0 || topology->distances)
		return -EINVAL;
	if (n[0] >= TOPOLOGY_N_NODE_MAX || topology->n_node >= TOPOLOGY_N_NODE_MAX)
		return -ERANGE;
	if (!none && n[1] >= TOPOLOGY_N_PU_MAX)
		return -EINVAL;
	if (grow(&topology->nodes, topology->n_node, sizeof(node)) < 0)
		return -ENOMEM;
	node.node_os = (uint32_t)n[0];
	if (!none)
		node.package = (uint32_t)n[1];
	node.memory_bytes = n[2];
	topology->nodes[topology->n_node++] = node;
	return 0;
}

static int parse_distance(const char *line, struct topology *topology)
{
	uint32_t *at;
	uint64_t n[3];

	if (parse_numbers(line, UINT32_MAX, n, 3) < 0 || n[0] >= topology->n_node ||
	    n[1] >= topology->n_node || n[2] == 0 || (n[0] == n[1] && n[2] != TOPOLOGY_LOCAL))
		return -EINVAL;
	if (!topology->distances) {
		topology->distances = calloc((size_t)topology->n_node * topology->n_node,
					     sizeof(uint32_t));
		if (!topology->distances)
			return -ENOMEM;
	}
	at = &topology->distances[n[0] * topology->n_node + n[1]];
	if (*at) /* told twice */
		return -EINVAL;
	*at = (uint32_t)n[2];
	return 0;
}

static int parse_memory(const char *line, struct topology *topology)
{
	uint64_t n[2];

	if (parse_numbers(line, UINT32_MAX, n, 2) < 0 || n[0] >= topology->n_node ||
	    n[1] >= N_MEMORY_KINDS)
		return -EINVAL;
	topology->nodes[n[0]].memory_kind = (enum memory_kind)n[1];
	return 0;
}

static bool device_name_is_valid(const char *name, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (name[i] <= ' ' || name[i] > '~')
			return false;
	return n > 0 && n <= TOPOLOGY_NAME_MAX_BYTES;
}

/* Sorted and told once each, so that a look-up may halve. */
static int parse_device(const char *line, struct topology *topology)
{
	const char *name = line + strlen("device "), *nodes = strchr(name, ' ');
	struct topo_device device = { 0 };

	if (!nodes || !device_name_is_valid(name, (size_t)(nodes - name)))
		return -EINVAL;
	if (topology->n_devices >= TOPOLOGY_N_DEVICE_MAX)
		return -ERANGE;
	if (nodeset_parse(strcmp(nodes + 1, "-") == 0 ? "" : nodes + 1, &device.nodes) < 0)
		return -EINVAL;
	device.name = strndup(name, (size_t)(nodes - name));
	if (device.name && grow(&topology->devices, topology->n_devices, sizeof(device)) == 0) {
		uint32_t n = topology->n_devices;

		topology->devices[topology->n_devices++] = device;
		return n == 0 || strcmp(topology->devices[n - 1].name, device.name) < 0 ? 0
											: -EINVAL;
	}
	free(device.name);
	nodeset_done(&device.nodes);
	return -ENOMEM;
}

static int parse_lines(char *text, struct topology *topology, struct fault *fault)
{
	char *line, *rest = text;

	for (unsigned n_line = 1; (line = strsep(&rest, "\n")); n_line++) {
		int r = -EINVAL;

		if (n_line == 1)
			r = strcmp(line, "sidecard-topology 1") == 0 ? 0 : -EINVAL;
		else if (strncmp(line, "pu ", 3) == 0)
			r = parse_pu(line, topology);
		else if (strncmp(line, "node ", 5) == 0)
			r = parse_node(line, topology);
		else if (strncmp(line, "distance ", 9) == 0)
			r = parse_distance(line, topology);
		else if (strncmp(line, "memory ", 7) == 0)
			r = parse_memory(line, topology);
		else if (strncmp(line, "device ", 7) == 0)
			r = parse_device(line, topology);
		else if (strcmp(line, "end") == 0)
			return 0;
		if (r < 0)
			return fault_set(fault, r, "topology line %u is '%.60s'", n_line, line);
	}
	return fault_set(fault, -EINVAL, "topology ends without its 'end' line");
}

int topology_parse(const char *text, struct topology **ret_topology, struct fault *fault)
{
	cleanup(topology_freep) struct topology *topology = calloc(1, sizeof(*topology));
	cleanup(freep) char *copy = strdup(text);
	int r;

	if (!topology || !copy)
		return fault_set(fault, -ENOMEM, "no memory for a topology");
	r = parse_lines(copy, topology, fault);
	if (r < 0)
		return r;
	r = topology_finish(topology, fault);
	if (r < 0)
		return r;
	*ret_topology = TAKE_PTR(topology);
	return 0;
}

/* Dense indices of one level must be below the number of PUs; the count is the highest + 1. */
static int count_level(uint32_t idx, uint32_t n_pu, uint32_t *n)
{
	if (idx >= n_pu)
		return -EINVAL;
	if (idx >= *n)
		*n = idx + 1;
	return 0;
}

static int finish_pu(struct topology *topology, uint32_t idx)
{
	const struct topo_pu *pu = &topology->pus[idx];
	uint32_t n_pu = topology->n_pu;

	if (pu->pu_os >= TOPOLOGY_N_PU_MAX || pu->node >= topology->n_node ||
	    cpuset_has(&topology->cpus, pu->pu_os))
		return -EINVAL;
	if (count_level(pu->core, n_pu, &topology->n_core) < 0 ||
	    count_level(pu->l2, n_pu, &topology->n_l2) < 0 ||
	    count_level(pu->l3, n_pu, &topology->n_l3) < 0 ||
	    count_level(pu->die, n_pu, &topology->n_die) < 0 ||
	    count_level(pu->package, n_pu, &topology->n_package) < 0)
		return -EINVAL;
	if (pu->efficiency_rank >= topology->n_rank)
		topology->n_rank = pu->efficiency_rank + 1;
	topology->nodes[pu->node].n_pu++;
	topology->pu_idx_of_os[pu->pu_os] = idx;
	return cpuset_add(&topology->cpus, pu->pu_os);
}

/* A core is a run of neighbours that agree on all else, and the numbers of cores have no gap: what
 * topology_n_core_of() and planners rely on. */
static bool cores_are_whole(const struct topology *topology)
{
	uint32_t n_core = 0;

	for (uint32_t i = 0; i < topology->n_pu; i++) {
		const struct topo_pu *pu = &topology->pus[i], *last = pu - 1;

		if (i == 0 || pu->core != last->core) {
			if (pu->core != n_core++)
				return false;
		} else if (pu->l2 != last->l2 || pu->l3 != last->l3 || pu->die != last->die ||
			   pu->package != last->package || pu->node != last->node) {
			return false;
		}
	}
	return true;
}

static bool node_packages_exist(const struct topology *topology)
{
	for (uint32_t i = 0; i < topology->n_node; i++)
		if (topology->nodes[i].package != TOPOLOGY_NONE &&
		    topology->nodes[i].package >= topology->n_package)
			return false;
	return true;
}

/* All or none: a machine that tells some distances tells them all. */
static int finish_distances(struct topology *topology)
{
	size_t n = topology->n_node;

	if (topology->distances) {
		for (size_t i = 0; i < n * n; i++)
			if (topology->distances[i] == 0)
				return -EINVAL;
		return 0;
	}
	topology->distances = calloc(n * n, sizeof(uint32_t));
	if (!topology->distances)
		return -ENOMEM;
	/* Where the kernel tells no distances: 10 local, 20 remote, its own default
	 * (drivers/base/node.c, LOCAL_DISTANCE and REMOTE_DISTANCE). */
	for (size_t from = 0; from < n; from++)
		for (size_t to = 0; to < n; to++)
			topology->distances[from * n + to] = from == to ? TOPOLOGY_LOCAL : 20;
	return 0;
}

int topology_finish(struct topology *topology, struct fault *fault)
{
	int r;

	if (topology->n_pu == 0 || topology->n_node == 0)
		return fault_set(fault, -EINVAL,
				 "topology has %u PUs and %u nodes, expected some of both",
				 topology->n_pu, topology->n_node);
	for (uint32_t i = 0; i < topology->n_pu; i++)
		if (topology->pus[i].pu_os < TOPOLOGY_N_PU_MAX &&
		    topology->pus[i].pu_os >= topology->n_os)
			topology->n_os = topology->pus[i].pu_os + 1;
	topology->pu_idx_of_os = malloc((topology->n_os + 1) * sizeof(uint32_t));
	if (!topology->pu_idx_of_os)
		return fault_set(fault, -ENOMEM, "no memory for a topology");
	for (uint32_t i = 0; i < topology->n_os; i++)
		topology->pu_idx_of_os[i] = TOPOLOGY_NONE;
	for (uint32_t i = 0; i < topology->n_node; i++) {
		topology->nodes[i].n_pu = 0;
		if (nodeset_has(&topology->mems, topology->nodes[i].node_os))
			return fault_set(fault, -EINVAL, "topology names node %u twice",
					 topology->nodes[i].node_os);
		r = nodeset_add(&topology->mems, topology->nodes[i].node_os);
		if (r < 0)
			return fault_set(fault, r,
					 "topology has node %u, the highest possible is %u",
					 topology->nodes[i].node_os, TOPOLOGY_N_NODE_MAX - 1);
	}
	for (uint32_t i = 0; i < topology->n_pu; i++) {
		r = finish_pu(topology, i);
		if (r < 0)
			return fault_set(
				fault, r,
				"topology: PU %u is listed twice or has an index out of range",
				topology->pus[i].pu_os);
	}
	if (!cores_are_whole(topology) || !node_packages_exist(topology))
		return fault_set(
			fault, -EINVAL,
			"topology: a core is torn, or a node is in a package that is not there");
	r = finish_distances(topology);
	if (r == -EINVAL)
		return fault_set(fault, r, "topology leaves distances of %u nodes out",
				 topology->n_node);
	if (r < 0)
		return fault_set(fault, r, "no memory for %u node distances", topology->n_node);
	for (uint32_t i = 0; i < topology->n_devices; i++)
		if (!nodeset_is_subset(&topology->devices[i].nodes, &topology->mems))
			return fault_set(fault, -EINVAL,
					 "topology: device '%s' is near a node that is not there",
					 topology->devices[i].name);
	return 0;
}

uint32_t topology_pu_idx(const struct topology *topology, uint32_t pu_os)
{
	return pu_os < topology->n_os ? topology->pu_idx_of_os[pu_os] : TOPOLOGY_NONE;
}

uint32_t topology_node_idx(const struct topology *topology, uint32_t node_os)
{
	for (uint32_t i = 0; i < topology->n_node; i++)
		if (topology->nodes[i].node_os == node_os)
			return i;
	return TOPOLOGY_NONE;
}

const struct topo_device *topology_device(const struct topology *topology, const char *name)
{
	uint32_t first = 0, end = topology->n_devices;

	while (first < end) {
		uint32_t middle = first + (end - first) / 2;
		int order = strcmp(topology->devices[middle].name, name);

		if (order == 0)
			return &topology->devices[middle];
		if (order < 0)
			first = middle + 1;
		else
			end = middle;
	}
	return NULL;
}

bool topology_pu_is(const struct topology *topology, uint32_t pu_idx, bool performance)
{
	return topology->n_rank <= 1 ||
	       (topology->pus[pu_idx].efficiency_rank + 1 == topology->n_rank) == performance;
}

int topology_nodes_of(const struct topology *topology, const struct cpuset *cpus,
		      struct nodeset *ret_nodes)
{
	struct nodeset nodes = { 0 };

	cpuset_foreach (pu_os, cpus) {
		uint32_t idx = topology_pu_idx(topology, pu_os);
		int r = 0;

		if (idx != TOPOLOGY_NONE)
			r = nodeset_add(&nodes, topology->nodes[topology->pus[idx].node].node_os);
		if (r < 0) {
			nodeset_done(&nodes);
			return r;
		}
	}
	nodeset_done(ret_nodes);
	*ret_nodes = nodes;
	return 0;
}

uint32_t topology_n_core_of(const struct topology *topology, const struct cpuset *cpus)
{
	uint32_t n_core = 0, last = TOPOLOGY_NONE;

	/* PUs of one core are neighbours in the order of the machine. */
	for (uint32_t i = 0; i < topology->n_pu; i++) {
		if (topology->pus[i].core == last || !cpuset_has(cpus, topology->pus[i].pu_os))
			continue;
		last = topology->pus[i].core;
		n_core++;
	}
	return n_core;
}
