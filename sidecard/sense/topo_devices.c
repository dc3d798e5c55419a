/* What hwloc tells beside the tree of PUs: which node is near a device, and what kind of memory a
 * node has. The second and last file that knows hwloc, a part of topo_read.c's probe. */
#include "sense/topo_devices.h"

#include <errno.h>
#include <hwloc/memattrs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"

int topo_keep_devices(hwloc_topology_t tree)
{
	/* Bridges are needed for the devices below them to be found at all. */
	return hwloc_topology_set_io_types_filter(tree, HWLOC_TYPE_FILTER_KEEP_ALL) < 0 ? -errno
											: 0;
}

/* ---- devices ---- */

struct device_list {
	struct topo_device *items;
	uint32_t n_items;
};

static void device_list_done(struct device_list *list)
{
	for (uint32_t i = 0; i < list->n_items; i++) {
		free(list->items[i].name);
		nodeset_done(&list->items[i].nodes);
	}
	free(list->items);
}

/* A name that the answer's format can carry. */
static bool name_is_plain(const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < n; i++)
		if (name[i] <= ' ' || name[i] > '~')
			return false;
	return n > 0 && n <= TOPOLOGY_NAME_MAX_BYTES;
}

/* Nodes of the smallest part of the machine that the device hangs below; none where that is all of
 * it: then it is near nobody in particular. */
static int nodes_near(hwloc_topology_t tree, hwloc_obj_t device, struct nodeset *ret_nodes)
{
	hwloc_obj_t place = hwloc_get_non_io_ancestor_obj(tree, device);

	if (!place || !place->nodeset || hwloc_bitmap_last(place->nodeset) < 0 ||
	    hwloc_bitmap_isequal(place->nodeset, hwloc_get_root_obj(tree)->nodeset))
		return 0;
	for (int node_os = hwloc_bitmap_first(place->nodeset); node_os >= 0;
	     node_os = hwloc_bitmap_next(place->nodeset, node_os)) {
		int r = node_os < (int)TOPOLOGY_N_NODE_MAX
				? nodeset_add(ret_nodes, (uint32_t)node_os)
				: 0;

		if (r < 0)
			return r;
	}
	return 0;
}

/* What has a name too long or with blanks, and what is beyond the most, is left out: nobody can
 * name it. */
static int device_add(struct device_list *list, hwloc_topology_t tree, hwloc_obj_t obj,
		      const char *name)
{
	struct topo_device *device;

	if (!name || !name_is_plain(name) || list->n_items >= TOPOLOGY_N_DEVICE_MAX)
		return 0;
	if ((list->n_items & (list->n_items - 1)) == 0) {
		size_t n = list->n_items ? list->n_items * 2u : 1u;
		struct topo_device *items = realloc(list->items, n * sizeof(*items));

		if (!items)
			return -ENOMEM;
		list->items = items;
	}
	device = &list->items[list->n_items];
	*device = (struct topo_device){ .name = strdup(name) };
	if (!device->name)
		return -ENOMEM;
	list->n_items++;
	return nodes_near(tree, obj, &device->nodes);
}

static int pci_add(struct device_list *list, hwloc_topology_t tree, hwloc_obj_t obj)
{
	const struct hwloc_pcidev_attr_s *pci = &obj->attr->pcidev;
	char name[32];

	/* As Linux and lspci(8) write it. */
	snprintf(name, sizeof(name), "%04x:%02x:%02x.%01x", (unsigned)pci->domain,
		 (unsigned)pci->bus, (unsigned)pci->dev, (unsigned)pci->func);
	return device_add(list, tree, obj, name);
}

static int device_compare(const void *a, const void *b)
{
	const struct topo_device *x = a, *y = b;

	return strcmp(x->name, y->name);
}

/* Of one name the first stays. */
static void drop_doubles(struct device_list *list)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < list->n_items; i++) {
		if (n > 0 && strcmp(list->items[n - 1].name, list->items[i].name) == 0) {
			free(list->items[i].name);
			nodeset_done(&list->items[i].nodes);
			continue;
		}
		list->items[n++] = list->items[i];
	}
	list->n_items = n;
}

int topo_fill_devices(hwloc_topology_t tree, struct topology *topology)
{
	cleanup(device_list_done) struct device_list list = { 0 };
	int r = 0;

	for (hwloc_obj_t obj = NULL; r == 0 && (obj = hwloc_get_next_pcidev(tree, obj));)
		r = pci_add(&list, tree, obj);
	for (hwloc_obj_t obj = NULL; r == 0 && (obj = hwloc_get_next_osdev(tree, obj));)
		r = device_add(&list, tree, obj, obj->name);
	if (r < 0)
		return r;
	if (list.n_items > 0)
		qsort(list.items, list.n_items, sizeof(*list.items), device_compare);
	drop_doubles(&list);
	topology->devices = list.items;
	topology->n_devices = list.n_items;
	list = (struct device_list){ 0 };
	return 0;
}

/* ---- memory ---- */

/* hwloc's own words for kinds of memory ("Memory Kinds" in its manual). */
static bool kind_of_word(const char *word, enum memory_kind *ret_kind)
{
	static const struct {
		const char *word;
		enum memory_kind kind;
	} words[] = {
		{ "DRAM", MEMORY_KIND_PLAIN },	   { "HBM", MEMORY_KIND_FAST },
		{ "MCDRAM", MEMORY_KIND_FAST },	   { "NVM", MEMORY_KIND_SLOW },
		{ "SPM", MEMORY_KIND_SLOW },	   { "CXL-DRAM", MEMORY_KIND_SLOW },
		{ "CXL-NVM", MEMORY_KIND_SLOW },   { "GPUMemory", MEMORY_KIND_DEVICE },
		{ "GPU-HBM", MEMORY_KIND_DEVICE },
	};

	for (size_t i = 0; word && i < N_ELEMENTS(words); i++)
		if (strcasecmp(words[i].word, word) == 0) {
			*ret_kind = words[i].kind;
			return true;
		}
	return false;
}

/* The best value that any PU sees; 0 where not told. */
static hwloc_uint64_t attribute_of(hwloc_topology_t tree, hwloc_memattr_id_t attribute,
				   hwloc_obj_t node)
{
	struct hwloc_location initiator;
	hwloc_uint64_t value = 0;

	if (hwloc_memattr_get_best_initiator(tree, attribute, node, 0, &initiator, &value) < 0)
		return 0;
	return value;
}

/* By the machine's own figures (ACPI HMAT): half as much again is no difference between two
 * modules of one kind. */
static enum memory_kind kind_of_figures(hwloc_topology_t tree, hwloc_obj_t node, hwloc_obj_t plain)
{
	hwloc_uint64_t bandwidth = attribute_of(tree, HWLOC_MEMATTR_ID_BANDWIDTH, node);
	hwloc_uint64_t plain_bandwidth = attribute_of(tree, HWLOC_MEMATTR_ID_BANDWIDTH, plain);
	hwloc_uint64_t latency = attribute_of(tree, HWLOC_MEMATTR_ID_LATENCY, node);
	hwloc_uint64_t plain_latency = attribute_of(tree, HWLOC_MEMATTR_ID_LATENCY, plain);

	if (bandwidth && plain_bandwidth && bandwidth / 3 > plain_bandwidth / 2)
		return MEMORY_KIND_FAST;
	if ((bandwidth && plain_bandwidth && plain_bandwidth / 3 > bandwidth / 2) ||
	    (latency && plain_latency && latency / 3 > plain_latency / 2))
		return MEMORY_KIND_SLOW;
	return MEMORY_KIND_PLAIN;
}

void topo_fill_memory(hwloc_topology_t tree, struct topology *topology)
{
	hwloc_obj_t plain = NULL;

	/* Memory that PUs call their own is what the others are compared with. */
	for (uint32_t i = 0; i < topology->n_node && !plain; i++)
		if (topology->nodes[i].n_pu > 0)
			plain = hwloc_get_obj_by_depth(tree, HWLOC_TYPE_DEPTH_NUMANODE, i);
	for (uint32_t i = 0; i < topology->n_node; i++) {
		hwloc_obj_t node = hwloc_get_obj_by_depth(tree, HWLOC_TYPE_DEPTH_NUMANODE, i);
		struct topo_node *at = &topology->nodes[i];

		if (!kind_of_word(node->subtype, &at->memory_kind) && at->n_pu == 0 && plain)
			at->memory_kind = kind_of_figures(tree, node, plain);
	}
}
