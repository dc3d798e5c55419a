/* sidecarctl topology: packages, NUMA nodes, L3, cores and PUs, with their owners. */
#include "ctl/topology.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "ctl/arguments.h"
#include "ctl/ctl.h"
#include "sense/topo_load.h"

static const char help[] =
	"Usage: sidecarctl topology [--machine MACHINE] [--runtime-dir DIR] [--xml | --json]\n"
	"Prints packages, NUMA nodes with memory and distances, L3 caches, cores and PUs; of this "
	"machine\n"
	"with the workloads that own PUs, where the daemon runs.\n\n"
	"  --machine MACHINE  live (default), synthetic:STRING, FILE.xml or a captured DIR\n"
	"  --xml              hwloc XML, for lstopo: sidecarctl topology --xml | lstopo --if xml "
	"-i -\n"
	"  --json             as JSON\n";

/* A dozen backgrounds that tell from each other and from lstopo's own white and grey. */
static const char *const palette[] = { "#e6550d", "#3182bd", "#31a354", "#756bb1",
				       "#fdd049", "#9ecae1", "#a1d99b", "#dadaeb",
				       "#e377c2", "#17becf", "#8c564b", "#bcbd22" };

static json_t *pus_json(const struct topology *topology, const struct owner_table *owners)
{
	json_t *pus = json_array();

	for (uint32_t i = 0; pus && i < topology->n_pu; i++) {
		const struct topo_pu *pu = &topology->pus[i];
		uint32_t owner = owners->owner[i];
		json_t *item = json_pack("{si si si si si si si si ss?}", "pu_os", (int)pu->pu_os,
					 "core", (int)pu->core, "l2", (int)pu->l2, "l3",
					 (int)pu->l3, "die", (int)pu->die, "package",
					 (int)pu->package, "node_os",
					 (int)topology->nodes[pu->node].node_os, "efficiency_rank",
					 (int)pu->efficiency_rank, "owner",
					 owner == TOPOLOGY_NONE ? NULL : owners->names[owner]);

		if (!item || json_array_append_new(pus, item) < 0) {
			json_decref(pus);
			return NULL;
		}
	}
	return pus;
}

/* "0-3,8": the PUs that are local to node @idx. */
static char *cpus_of_node(const struct topology *topology, uint32_t idx)
{
	cleanup(cpuset_done) struct cpuset cpus = { 0 };

	for (uint32_t i = 0; i < topology->n_pu; i++)
		if (topology->pus[i].node == idx && cpuset_add(&cpus, topology->pus[i].pu_os) < 0)
			return NULL;
	return cpuset_format(&cpus);
}

static json_t *node_json(const struct topology *topology, uint32_t idx)
{
	const struct topo_node *node = &topology->nodes[idx];
	cleanup(freep) char *cpus = cpus_of_node(topology, idx);
	json_t *distances = json_object(), *package;
	char to[16];

	if (!cpus) {
		json_decref(distances);
		return NULL;
	}
	for (uint32_t i = 0; i < topology->n_node; i++) {
		snprintf(to, sizeof(to), "%u", topology->nodes[i].node_os);
		json_object_set_new(distances, to,
				    json_integer(topology->distances[idx * topology->n_node + i]));
	}
	package = node->package == TOPOLOGY_NONE ? json_null() : json_integer(node->package);
	/* "o" takes its value over, also where packing fails */
	return json_pack("{si so si ss sI so}", "node_os", (int)node->node_os, "package", package,
			 "n_pu", (int)node->n_pu, "cpus", cpus, "memory_bytes",
			 (json_int_t)node->memory_bytes, "distances", distances);
}

static json_t *nodes_json(const struct topology *topology)
{
	json_t *nodes = json_array();

	for (uint32_t i = 0; nodes && i < topology->n_node; i++) {
		json_t *item = node_json(topology, i);

		if (!item || json_array_append_new(nodes, item) < 0) {
			json_decref(nodes);
			return NULL;
		}
	}
	return nodes;
}

json_t *topology_json(const struct topology *topology, const struct topology_owners *owners)
{
	cleanup(owner_table_done) struct owner_table table = { 0 };
	cleanup(freep) char *cpus = cpuset_format(&topology->cpus);
	json_t *pus, *nodes;

	if (!cpus || owner_table_make(topology, owners, &table) < 0)
		return NULL;
	pus = pus_json(topology, &table);
	nodes = nodes_json(topology);
	if (!pus || !nodes) {
		json_decref(pus);
		json_decref(nodes);
		return NULL;
	}
	return json_pack("{si si si si si ss so so}", "n_pu", (int)topology->n_pu, "n_core",
			 (int)topology->n_core, "n_l3", (int)topology->n_l3, "n_package",
			 (int)topology->n_package, "n_numa", (int)topology->n_node, "pus", cpus,
			 "pu", pus, "node", nodes);
}

/* The list that the probe reads, in a file that has no name. */
static int write_colours(const struct topology *topology, const struct owner_table *owners)
{
	cleanup(close_fdp) int fd = memfd_create("colours", MFD_CLOEXEC);
	FILE *out;
	int duplicate;

	if (fd < 0)
		return -errno;
	duplicate = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	out = duplicate < 0 ? NULL : fdopen(duplicate, "w");
	if (!out) {
		close_fdp(&duplicate);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < topology->n_pu; i++)
		if (owners->owner[i] != TOPOLOGY_NONE)
			fprintf(out, "%u %s %s\n", topology->pus[i].pu_os,
				palette[owners->owner[i] % N_ELEMENTS(palette)],
				owners->names[owners->owner[i]]);
	if (fclose(out) != 0)
		return -EIO;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int topology_xml(const char *machine, const struct topology *topology,
		 const struct topology_owners *owners, char **ret_xml, struct fault *fault)
{
	const char *const question[] = { "xml", machine, "-", NULL };
	cleanup(owner_table_done) struct owner_table table = { 0 };
	cleanup(close_fdp) int fd = -1;

	if (owner_table_make(topology, owners, &table) < 0)
		return fault_set(fault, -ENOMEM, "no memory for the owners of PUs");
	fd = write_colours(topology, &table);
	if (fd < 0)
		return fault_set(fault, fd, "cannot hand the owners' colours over: %s",
				 strerror(-fd));
	return probe_ask(question, fd, ret_xml, fault);
}

enum form { FORM_PICTURE, FORM_XML, FORM_JSON };

static int print_json(const struct topology *topology, const struct topology_owners *owners,
		      struct fault *fault)
{
	json_t *json = topology_json(topology, owners);
	int r = json ? verb_print_json(json) : -ENOMEM;

	json_decref(json);
	return r == 0 ? 0 : fault_set(fault, -EIO, "cannot print the machine as JSON");
}

/* The daemon's answer to List, where there is a daemon. */
struct placements {
	json_t *reply;
};

static void placements_done(struct placements *placements)
{
	json_decref(placements->reply);
}

/* Who has this PU to himself? */
static const char *placements_owner_of(const void *userdata, uint32_t pu_os)
{
	const struct placements *placements = userdata;
	const json_t *placement;
	size_t i;

	json_array_foreach (json_object_get(placements->reply, "workloads"), i, placement) {
		cleanup(cpuset_done) struct cpuset cpus = { 0 };
		const char *list = json_string_value(json_object_get(placement, "cpus"));

		if (json_is_true(json_object_get(placement, "exclusive")) && list &&
		    cpuset_parse(list, &cpus) == 0 && cpuset_has(&cpus, pu_os))
			return json_string_value(json_object_get(placement, "name"));
	}
	return NULL;
}

/* No daemon is no fault: the machine is drawn without owners. */
static void placements_ask(const char *runtime_dir, struct placements *placements)
{
	cleanup(client_done) struct client client = { .fd = -1 };

	if (client_open(runtime_dir, &client, NULL) == 0)
		client_call(&client, "io.sidecard.List", NULL, &placements->reply, NULL);
}

static int print_topology(const char *machine, const char *runtime_dir, enum form form,
			  struct fault *fault)
{
	cleanup(placements_done) struct placements placements = { 0 };
	const struct topology_owners owners = { &placements, placements_owner_of };
	cleanup(topology_freep) struct topology *topology = NULL;
	cleanup(freep) char *text = NULL;
	int r = topo_load(machine, &topology, fault);

	if (r < 0)
		return r;
	if (strcmp(machine, "live") == 0)
		placements_ask(runtime_dir, &placements);
	if (form == FORM_JSON)
		return print_json(topology, &owners, fault);
	if (form == FORM_XML) {
		r = topology_xml(machine, topology, &owners, &text, fault);
		if (r < 0)
			return r;
	} else {
		text = topology_picture(topology, &owners, verb_has_colour());
	}
	if (!text)
		return fault_set(fault, -ENOMEM, "no memory to draw machine '%.200s'", machine);
	if (fputs(text, stdout) < 0 || fflush(stdout) != 0)
		return fault_set(fault, -EIO, "cannot print the machine: %s", strerror(errno));
	return 0;
}

int verb_topology(int argc, char **argv)
{
	static const struct option options[] = {
		{ "machine", required_argument, NULL, 'm' },
		{ "runtime-dir", required_argument, NULL, 'r' },
		{ "xml", no_argument, NULL, 'x' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *machine = "live", *runtime_dir = CLIENT_RUNTIME_DIR;
	enum form form = FORM_PICTURE;
	struct fault fault = { 0 };
	int option;

	optind = 0;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'm') {
			machine = optarg;
		} else if (option == 'r') {
			runtime_dir = optarg;
		} else if (option == 'x' || option == 'j') {
			form = option == 'x' ? FORM_XML : FORM_JSON;
		} else if (option == 'h') {
			fputs(help, stdout);
			return EXIT_DONE;
		} else {
			fprintf(stderr, "Try 'sidecarctl topology --help'.\n");
			return EXIT_FAULT;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "sidecarctl: topology takes no argument '%s'\n", argv[optind]);
		return EXIT_FAULT;
	}
	if (print_topology(machine, runtime_dir, form, &fault) == 0)
		return EXIT_DONE;
	fprintf(stderr, "sidecarctl: %s\n", fault.text);
	return EXIT_FAULT;
}
