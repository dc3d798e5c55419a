/* One object per workload, pool and NUMA node. They are not stored: a path is looked up in what is
 * published now, each time that it is asked for. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "publish/publish_bus_parts.h"

int bus_append_string(sd_bus_message *message, const char *text)
{
	return sd_bus_message_append_basic(message, SD_BUS_TYPE_STRING, text);
}

int bus_append_path(sd_bus_message *message, const char *path)
{
	return sd_bus_message_append_basic(message, SD_BUS_TYPE_OBJECT_PATH, path);
}

int bus_append_u32(sd_bus_message *message, uint32_t number)
{
	return sd_bus_message_append_basic(message, SD_BUS_TYPE_UINT32, &number);
}

int bus_append_u64(sd_bus_message *message, uint64_t number)
{
	return sd_bus_message_append_basic(message, SD_BUS_TYPE_UINT64, &number);
}

int bus_append_flag(sd_bus_message *message, bool flag)
{
	int number = flag; /* sd-bus reads a whole int */

	return sd_bus_message_append_basic(message, SD_BUS_TYPE_BOOLEAN, &number);
}

int bus_append_taken(sd_bus_message *message, char *text)
{
	int r = text ? bus_append_string(message, text) : -ENOMEM;

	free(text);
	return r;
}

char *bus_workload_path(const char *name)
{
	char *path;

	return sd_bus_path_encode(BUS_PATH_WORKLOADS, name, &path) < 0 ? NULL : path;
}

/* Index of the workload whose object is @path, or -1. */
static ssize_t workload_at(struct bus *bus, const char *path)
{
	const struct publish_view *view = bus_view(bus);
	const struct plan_workload *found;
	cleanup(freep) char *name = NULL;

	if (!view)
		return -1;
	if (strcmp(path, bus->last_path) == 0 && bus->last_index < view->plan->n_workloads)
		return (ssize_t)bus->last_index;
	if (sd_bus_path_decode(path, BUS_PATH_WORKLOADS, &name) <= 0)
		return -1;
	found = plan_find(view->plan, name);
	if (!found)
		return -1;
	if (strlen(path) < sizeof(bus->last_path)) {
		memcpy(bus->last_path, path, strlen(path) + 1);
		bus->last_index = (size_t)(found - view->plan->workloads);
	}
	return found - view->plan->workloads;
}

static int workload_find(sd_bus *connection, const char *path, const char *interface,
			 void *userdata, void **ret_found, sd_bus_error *ret_error)
{
	(void)connection;
	(void)interface;
	(void)ret_error;
	if (workload_at(userdata, path) < 0)
		return 0;
	*ret_found = userdata;
	return 1;
}

static int get_text(sd_bus *connection, const char *path, const char *interface,
		    const char *property, sd_bus_message *reply, void *userdata,
		    sd_bus_error *ret_error)
{
	struct bus *bus = userdata;
	ssize_t i = workload_at(bus, path);
	const struct plan_workload *workload;

	(void)connection;
	(void)interface;
	(void)ret_error;
	if (i < 0)
		return -ENOENT;
	workload = &bus_view(bus)->plan->workloads[i];
	if (strcmp(property, "Name") == 0)
		return bus_append_string(reply, workload->conf->name);
	if (strcmp(property, "Role") == 0)
		return bus_append_string(reply, workload_role_name(workload->conf->role));
	if (strcmp(property, "Pool") == 0)
		return bus_append_string(reply, workload->conf->pool);
	if (strcmp(property, "Reason") == 0)
		return bus_append_string(reply, workload->reason ? workload->reason : "");
	if (strcmp(property, "CPUs") == 0)
		return bus_append_taken(reply, cpuset_format(&workload->cpus));
	if (strcmp(property, "Nodes") == 0)
		return bus_append_taken(reply, nodeset_format(&workload->nodes));
	if (strcmp(property, "Mems") == 0)
		return bus_append_taken(reply, nodeset_format(&workload->mems));
	return bus_append_taken(reply, plan_limited_by_text(workload));
}

static int get_number(sd_bus *connection, const char *path, const char *interface,
		      const char *property, sd_bus_message *reply, void *userdata,
		      sd_bus_error *ret_error)
{
	struct bus *bus = userdata;
	ssize_t i = workload_at(bus, path);
	const struct plan_workload *workload;

	(void)connection;
	(void)interface;
	(void)ret_error;
	if (i < 0)
		return -ENOENT;
	workload = &bus_view(bus)->plan->workloads[i];
	if (strcmp(property, "NPU") == 0)
		return bus_append_u32(reply, workload->n_pu);
	if (strcmp(property, "NCore") == 0)
		return bus_append_u32(reply, workload->n_core);
	if (strcmp(property, "QuotaMCPU") == 0)
		return bus_append_u32(reply, workload->quota_mcpu);
	if (strcmp(property, "ParallelismFloor") == 0)
		return bus_append_u32(reply, workload->parallelism.floor);
	if (strcmp(property, "ParallelismCeil") == 0)
		return bus_append_u32(reply, workload->parallelism.ceil);
	return bus_append_u32(reply, workload->parallelism.advised);
}

static int get_flag(sd_bus *connection, const char *path, const char *interface,
		    const char *property, sd_bus_message *reply, void *userdata,
		    sd_bus_error *ret_error)
{
	struct bus *bus = userdata;
	ssize_t i = workload_at(bus, path);
	const struct plan_workload *workload;

	(void)connection;
	(void)interface;
	(void)ret_error;
	if (i < 0)
		return -ENOENT;
	workload = &bus_view(bus)->plan->workloads[i];
	return bus_append_flag(reply, strcmp(property, "Placed") == 0 ? workload->placed
								      : workload->conf->exclusive);
}

static int get_generation(sd_bus *connection, const char *path, const char *interface,
			  const char *property, sd_bus_message *reply, void *userdata,
			  sd_bus_error *ret_error)
{
	struct bus *bus = userdata;
	ssize_t i = workload_at(bus, path);

	(void)connection;
	(void)interface;
	(void)property;
	(void)ret_error;
	return i < 0 ? -ENOENT : bus_append_u64(reply, bus_view(bus)->generations[i]);
}

#define CHANGES SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE
#define CONST	SD_BUS_VTABLE_PROPERTY_CONST

/* QuotaMCPU: thousandths of a PU, 4294967295 where unlimited (QUOTA_UNLIMITED_MCPU). */
static const sd_bus_vtable workload_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_PROPERTY("Name", "s", get_text, 0, CONST),
	SD_BUS_PROPERTY("Role", "s", get_text, 0, CHANGES),
	SD_BUS_PROPERTY("Pool", "s", get_text, 0, CHANGES),
	SD_BUS_PROPERTY("Placed", "b", get_flag, 0, CHANGES),
	SD_BUS_PROPERTY("Exclusive", "b", get_flag, 0, CHANGES),
	SD_BUS_PROPERTY("CPUs", "s", get_text, 0, CHANGES),
	SD_BUS_PROPERTY("Nodes", "s", get_text, 0, CHANGES),
	SD_BUS_PROPERTY("Mems", "s", get_text, 0, CHANGES),
	SD_BUS_PROPERTY("NPU", "u", get_number, 0, CHANGES),
	SD_BUS_PROPERTY("NCore", "u", get_number, 0, CHANGES),
	SD_BUS_PROPERTY("QuotaMCPU", "u", get_number, 0, CHANGES),
	SD_BUS_PROPERTY("Parallelism", "u", get_number, 0, CHANGES),
	SD_BUS_PROPERTY("ParallelismFloor", "u", get_number, 0, CHANGES),
	SD_BUS_PROPERTY("ParallelismCeil", "u", get_number, 0, CHANGES),
	SD_BUS_PROPERTY("LimitedBy", "s", get_text, 0, CHANGES),
	SD_BUS_PROPERTY("Reason", "s", get_text, 0, CHANGES),
	SD_BUS_PROPERTY("Generation", "t", get_generation, 0, CHANGES),
	SD_BUS_VTABLE_END,
};

char **bus_workload_changing(void)
{
	static const char *const names[] = {
		"Role",
		"Pool",
		"Placed",
		"Exclusive",
		"CPUs",
		"Nodes",
		"Mems",
		"NPU",
		"NCore",
		"QuotaMCPU",
		"Parallelism",
		"ParallelismFloor",
		"ParallelismCeil",
		"LimitedBy",
		"Reason",
		"Generation",
		NULL,
	};

	return (char **)names; /* sd-bus only reads them */
}

/* A list that sd-bus takes over: its own free() of each string, so they must be malloc'ed. */
struct path_list {
	char **paths;
	size_t n_paths;
};

static int path_list_open(struct path_list *list, size_t n_paths)
{
	*list = (struct path_list){ .paths = calloc(n_paths + 1, sizeof(char *)) };
	return list->paths ? 0 : -ENOMEM;
}

static int path_list_fail(struct path_list *list)
{
	for (size_t i = 0; i < list->n_paths; i++)
		free(list->paths[i]);
	free(list->paths);
	return -ENOMEM;
}

static int workloads_enumerate(sd_bus *connection, const char *prefix, void *userdata,
			       char ***ret_nodes, sd_bus_error *ret_error)
{
	const struct publish_view *view = bus_view(userdata);
	size_t n = view ? view->plan->n_workloads : 0;
	struct path_list list;

	(void)connection;
	(void)prefix;
	(void)ret_error;
	if (path_list_open(&list, n) < 0)
		return -ENOMEM;
	for (; list.n_paths < n; list.n_paths++) {
		char *path = bus_workload_path(view->plan->workloads[list.n_paths].conf->name);

		if (!path)
			return path_list_fail(&list);
		list.paths[list.n_paths] = path;
	}
	*ret_nodes = list.paths;
	return 0;
}

static const struct pool *pool_at(const struct bus *bus, const char *path)
{
	const struct publish_view *view = bus_view(bus);
	cleanup(freep) char *name = NULL;

	if (!view || !view->snapshot || sd_bus_path_decode(path, BUS_PATH_POOLS, &name) <= 0)
		return NULL;
	for (size_t i = 0; i < view->snapshot->n_pools; i++)
		if (strcmp(view->snapshot->pools[i]->name, name) == 0)
			return view->snapshot->pools[i];
	return NULL;
}

static int pool_find(sd_bus *connection, const char *path, const char *interface, void *userdata,
		     void **ret_found, sd_bus_error *ret_error)
{
	(void)connection;
	(void)interface;
	(void)ret_error;
	if (!pool_at(userdata, path))
		return 0;
	*ret_found = userdata;
	return 1;
}

static int pools_enumerate(sd_bus *connection, const char *prefix, void *userdata,
			   char ***ret_nodes, sd_bus_error *ret_error)
{
	const struct publish_view *view = bus_view(userdata);
	size_t n = view && view->snapshot ? view->snapshot->n_pools : 0;
	struct path_list list;

	(void)connection;
	(void)prefix;
	(void)ret_error;
	if (path_list_open(&list, n) < 0)
		return -ENOMEM;
	for (; list.n_paths < n; list.n_paths++)
		if (sd_bus_path_encode(BUS_PATH_POOLS, view->snapshot->pools[list.n_paths]->name,
				       &list.paths[list.n_paths]) < 0)
			return path_list_fail(&list);
	*ret_nodes = list.paths;
	return 0;
}

static int get_pool_text(sd_bus *connection, const char *path, const char *interface,
			 const char *property, sd_bus_message *reply, void *userdata,
			 sd_bus_error *ret_error)
{
	const struct pool *pool = pool_at(userdata, path);

	(void)connection;
	(void)interface;
	(void)ret_error;
	if (!pool)
		return -ENOENT;
	if (strcmp(property, "Name") == 0)
		return bus_append_string(reply, pool->name);
	if (strcmp(property, "Description") == 0)
		return bus_append_string(reply, pool->description ? pool->description : "");
	return bus_append_taken(reply, strcmp(property, "CPUs") == 0
					       ? cpuset_format(&pool->cpus)
					       : nodeset_format(&pool->nodes));
}

static int get_pool_workloads(sd_bus *connection, const char *path, const char *interface,
			      const char *property, sd_bus_message *reply, void *userdata,
			      sd_bus_error *ret_error)
{
	const struct pool *pool = pool_at(userdata, path);
	const struct plan *plan = pool ? bus_view(userdata)->plan : NULL;
	int r = plan ? sd_bus_message_open_container(reply, SD_BUS_TYPE_ARRAY, "s") : -ENOENT;

	(void)connection;
	(void)interface;
	(void)property;
	(void)ret_error;
	for (size_t i = 0; r >= 0 && i < plan->n_workloads; i++)
		if (strcmp(plan->workloads[i].conf->pool, pool->name) == 0)
			r = bus_append_string(reply, plan->workloads[i].conf->name);
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

/* Pools and nodes are views of what the workloads say; only the workloads and the manager signal.
 * CPUs and Nodes as configured: "" is any. */
static const sd_bus_vtable pool_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_PROPERTY("Name", "s", get_pool_text, 0, CONST),
	SD_BUS_PROPERTY("Description", "s", get_pool_text, 0, 0),
	SD_BUS_PROPERTY("CPUs", "s", get_pool_text, 0, 0),
	SD_BUS_PROPERTY("Nodes", "s", get_pool_text, 0, 0),
	SD_BUS_PROPERTY("Workloads", "as", get_pool_workloads, 0, 0),
	SD_BUS_VTABLE_END,
};

/* The node of /io/sidecard1/node/N, N without leading zeros; TOPOLOGY_NONE. */
static uint32_t node_at(const struct bus *bus, const char *path)
{
	const struct publish_view *view = bus_view(bus);
	const char *text = path + strlen(BUS_PATH_NODES "/");
	char again[64];
	unsigned long number;

	if (!view || !view->snapshot ||
	    strncmp(path, BUS_PATH_NODES "/", strlen(BUS_PATH_NODES "/")) != 0)
		return TOPOLOGY_NONE;
	number = strtoul(text, NULL, 10);
	snprintf(again, sizeof(again), "%lu", number);
	if (number >= NODESET_MAX || strcmp(again, text) != 0)
		return TOPOLOGY_NONE;
	return topology_node_idx(view->snapshot->topology, (uint32_t)number);
}

static int node_find(sd_bus *connection, const char *path, const char *interface, void *userdata,
		     void **ret_found, sd_bus_error *ret_error)
{
	(void)connection;
	(void)interface;
	(void)ret_error;
	if (node_at(userdata, path) == TOPOLOGY_NONE)
		return 0;
	*ret_found = userdata;
	return 1;
}

static int nodes_enumerate(sd_bus *connection, const char *prefix, void *userdata,
			   char ***ret_nodes, sd_bus_error *ret_error)
{
	const struct publish_view *view = bus_view(userdata);
	size_t n = view && view->snapshot ? view->snapshot->topology->n_node : 0;
	struct path_list list;

	(void)connection;
	(void)prefix;
	(void)ret_error;
	if (path_list_open(&list, n) < 0)
		return -ENOMEM;
	for (; list.n_paths < n; list.n_paths++) {
		uint32_t node_os = view->snapshot->topology->nodes[list.n_paths].node_os;

		if (asprintf(&list.paths[list.n_paths], BUS_PATH_NODES "/%u", node_os) < 0)
			return path_list_fail(&list);
	}
	*ret_nodes = list.paths;
	return 0;
}

static int node_cpus(const struct topology *topology, uint32_t node, struct cpuset *ret_cpus)
{
	cleanup(cpuset_done) struct cpuset cpus = { 0 };

	for (uint32_t i = 0; i < topology->n_pu; i++) {
		int r = topology->pus[i].node == node ? cpuset_add(&cpus, topology->pus[i].pu_os)
						      : 0;

		if (r < 0)
			return r;
	}
	*ret_cpus = cpuset_take(&cpus);
	return 0;
}

static int get_node_cpus(sd_bus *connection, const char *path, const char *interface,
			 const char *property, sd_bus_message *reply, void *userdata,
			 sd_bus_error *ret_error)
{
	const struct publish_view *view = bus_view(userdata);
	cleanup(cpuset_done) struct cpuset cpus = { 0 };
	uint32_t node = node_at(userdata, path);
	int r = node == TOPOLOGY_NONE ? -ENOENT : node_cpus(view->snapshot->topology, node, &cpus);

	(void)connection;
	(void)interface;
	(void)ret_error;
	if (r < 0)
		return r;
	if (strcmp(property, "ExclusiveCPUs") == 0)
		cpuset_intersect(&cpus, &view->plan->exclusive);
	return bus_append_taken(reply, cpuset_format(&cpus));
}

static int get_node_number(sd_bus *connection, const char *path, const char *interface,
			   const char *property, sd_bus_message *reply, void *userdata,
			   sd_bus_error *ret_error)
{
	uint32_t node = node_at(userdata, path);
	const struct topo_node *found;

	(void)connection;
	(void)interface;
	(void)ret_error;
	if (node == TOPOLOGY_NONE)
		return -ENOENT;
	found = &bus_view(userdata)->snapshot->topology->nodes[node];
	if (strcmp(property, "Memory") == 0)
		return bus_append_u64(reply, found->memory_bytes);
	return bus_append_u32(reply, strcmp(property, "NPU") == 0 ? found->n_pu : found->node_os);
}

static int get_node_owners(sd_bus *connection, const char *path, const char *interface,
			   const char *property, sd_bus_message *reply, void *userdata,
			   sd_bus_error *ret_error)
{
	const struct publish_view *view = bus_view(userdata);
	cleanup(cpuset_done) struct cpuset cpus = { 0 };
	uint32_t node = node_at(userdata, path);
	int r = node == TOPOLOGY_NONE ? -ENOENT : node_cpus(view->snapshot->topology, node, &cpus);

	(void)connection;
	(void)interface;
	(void)property;
	(void)ret_error;
	if (r >= 0)
		r = sd_bus_message_open_container(reply, SD_BUS_TYPE_ARRAY, "s");
	for (size_t i = 0; r >= 0 && i < view->plan->n_workloads; i++) {
		const struct plan_workload *workload = &view->plan->workloads[i];

		if (workload->conf->exclusive && cpuset_intersects(&workload->cpus, &cpus))
			r = bus_append_string(reply, workload->conf->name);
	}
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

/* Memory in bytes, 0 where not known. Owners: the workloads with exclusive PUs there. */
static const sd_bus_vtable node_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_PROPERTY("Number", "u", get_node_number, 0, CONST),
	SD_BUS_PROPERTY("Memory", "t", get_node_number, 0, 0),
	SD_BUS_PROPERTY("NPU", "u", get_node_number, 0, 0),
	SD_BUS_PROPERTY("CPUs", "s", get_node_cpus, 0, 0),
	SD_BUS_PROPERTY("ExclusiveCPUs", "s", get_node_cpus, 0, 0),
	SD_BUS_PROPERTY("Owners", "as", get_node_owners, 0, 0),
	SD_BUS_VTABLE_END,
};

int bus_objects_open(struct bus *bus)
{
	/* clang-format off */
	static const struct {
		const char *prefix, *interface;
		const sd_bus_vtable *vtable;
		sd_bus_object_find_t find;
		sd_bus_node_enumerator_t enumerate;
	} kinds[] = {
		{ BUS_PATH_WORKLOADS, BUS_WORKLOAD, workload_vtable, workload_find,
		  workloads_enumerate },
		{ BUS_PATH_POOLS, BUS_POOL, pool_vtable, pool_find, pools_enumerate },
		{ BUS_PATH_NODES, BUS_NODE, node_vtable, node_find, nodes_enumerate },
	};
	/* clang-format on */

	for (size_t i = 0; i < N_ELEMENTS(kinds); i++) {
		int r = sd_bus_add_fallback_vtable(bus->bus, bus_slot(bus), kinds[i].prefix,
						   kinds[i].interface, kinds[i].vtable,
						   kinds[i].find, bus);

		if (r >= 0)
			r = sd_bus_add_node_enumerator(bus->bus, bus_slot(bus), kinds[i].prefix,
						       kinds[i].enumerate, bus);
		if (r < 0)
			return r;
	}
	return 0;
}
