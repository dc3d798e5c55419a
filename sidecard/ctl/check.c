/* sidecarctl check [DIR]: every fault of a configuration, without a daemon. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "ctl/arguments.h"
#include "ctl/ctl.h"
#include "ctl/offline.h"
#include "edge/conf.h"
#include "sense/topo_load.h"

static const char help[] =
	"Usage: sidecarctl check [DIR] [--json]\n"
	"Checks the configuration below DIR (default: as the daemon searches) against this "
	"machine, and\n"
	"prints every fault as file:line: [section] key: text, those of plugins too. Exit: 0 "
	"right, 2 "
	"faults.\n";

static void print_faults(const struct fault_list *faults, bool json)
{
	cleanup(json_decrefp) json_t *object = json_object();
	json_t *texts = json_array();

	for (size_t i = 0; i < faults->n_texts; i++) {
		json_array_append_new(texts, json_string(faults->texts[i]));
		if (!json)
			fprintf(stderr, "%s\n", faults->texts[i]);
	}
	if (!json && faults->n_lost > 0)
		fprintf(stderr, "and %zu more\n", faults->n_lost);
	json_object_set_new(object, "faults", texts);
	if (json)
		verb_print_json(object);
}

/* A daemon would go on without them; who asks for faults gets them all. */
static int check_plugins(const struct conf *conf, struct fault_list *faults)
{
	cleanup(plugins_freep) struct plugins *plugins = NULL;
	int r = offline_plugins(NULL, conf, &plugins);

	if (r == 0)
		return plugins_check(plugins, conf, faults);
	fault_list_add(faults, "no memory for plugins");
	return r;
}

int verb_check(int argc, char **argv)
{
	cleanup(topology_freep) struct topology *topology = NULL;
	cleanup(conf_freep) struct conf *conf = NULL;
	cleanup(fault_list_done) struct fault_list faults = { 0 };
	struct arguments arguments;
	struct fault fault;
	int r = arguments_parse(argc, argv, help, 0, 1, &arguments);

	if (r >= 0)
		return r;
	r = conf_load(arguments.workload, false, &conf, &faults);
	if (r == 0 && topo_load("live", &topology, &fault) < 0)
		fprintf(stderr, "sidecarctl: %s, checking without the machine\n", fault.text);
	else if (r == 0)
		r = conf_check_machine(conf, topology, &faults);
	if (conf && check_plugins(conf, &faults) < 0)
		r = -EINVAL;
	print_faults(&faults, arguments.json);
	if (r == 0 && !arguments.json)
		printf("%zu workloads and %zu pools, no fault\n", conf->n_workloads, conf->n_pools);
	return r < 0 ? EXIT_FAULT : 0;
}
