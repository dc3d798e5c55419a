/* sidecarctl show NAME: everything that is published about one workload. */
#include <stdio.h>

#include "base/cleanup.h"
#include "ctl/arguments.h"
#include "ctl/ctl.h"
#include "ctl/table.h"

static const char help[] = "Usage: sidecarctl show NAME [--runtime-dir DIR] [--json]\n"
			   "Prints everything about one workload.\n";

static void print_placement(const json_t *placement)
{
	static const struct {
		const char *title, *key;
	} rows[] = {
		{ "workload", "name" },
		{ "role", "role" },
		{ "pool", "pool" },
		{ "PUs", "cpus" },
		{ "PUs, count", "n_pu" },
		{ "cores", "n_core" },
		{ "NUMA nodes", "nodes" },
		{ "memory nodes", "mems" },
		{ "memory", "memory" },
		{ "limited by", "limited_by" },
		{ "generation", "generation" },
		{ "not placed", "reason" },
	};
	const json_t *parallelism = json_object_get(placement, "parallelism");
	char buffer[1024];

	for (size_t i = 0; i < N_ELEMENTS(rows); i++)
		if (json_object_get(placement, rows[i].key))
			printf("%-13s %s\n", rows[i].title,
			       table_text(placement, rows[i].key, buffer, sizeof(buffer)));
	printf("%-13s %s\n", "exclusive",
	       json_is_true(json_object_get(placement, "exclusive")) ? "yes" : "no");
	printf("%-13s %s PUs\n", "quota", table_quota(placement, buffer, sizeof(buffer)));
	printf("%-13s %s", "parallelism",
	       table_text(parallelism, "advised", buffer, sizeof(buffer)));
	printf(" (floor %s,", table_text(parallelism, "floor", buffer, sizeof(buffer)));
	printf(" ceil %s)\n", table_text(parallelism, "ceil", buffer, sizeof(buffer)));
}

int verb_show(int argc, char **argv)
{
	cleanup(json_decrefp) json_t *reply = NULL;
	struct arguments arguments;
	int r = arguments_parse(argc, argv, help, 1, 1, &arguments);

	if (r >= 0)
		return r;
	r = verb_call(&arguments, "io.sidecard.Get", verb_name(arguments.workload), &reply);
	if (r != 0)
		return r;
	if (arguments.json)
		return verb_print_json(json_object_get(reply, "workload"));
	print_placement(json_object_get(reply, "workload"));
	return 0;
}
