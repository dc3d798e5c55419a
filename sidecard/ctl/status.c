/* sidecarctl status: the first thing somebody looks at when something is wrong. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "ctl/arguments.h"
#include "ctl/ctl.h"
#include "ctl/table.h"

static const char help[] =
	"Usage: sidecarctl status [--runtime-dir DIR] [--json]\n"
	"Prints what the daemon holds. Exit: 0, 1 where a workload is not placed, 2 no daemon.\n";

static size_t n_unplaced_of(const json_t *workloads)
{
	const json_t *placement;
	size_t i, n = 0;

	json_array_foreach (workloads, i, placement)
		n += json_is_false(json_object_get(placement, "placed"));
	return n;
}

static void print_unplaced(const json_t *workloads)
{
	const json_t *placement;
	char name[128], reason[512];
	size_t i;

	json_array_foreach (workloads, i, placement)
		if (json_is_false(json_object_get(placement, "placed")))
			printf("  %s: %s\n", table_text(placement, "name", name, sizeof(name)),
			       table_text(placement, "reason", reason, sizeof(reason)));
}

int verb_status(int argc, char **argv)
{
	cleanup(json_decrefp) json_t *reply = NULL;
	struct arguments arguments;
	const json_t *workloads;
	size_t n_unplaced;
	int r = arguments_parse(argc, argv, help, 0, 0, &arguments);

	if (r >= 0)
		return r;
	r = verb_call(&arguments, "io.sidecard.List", NULL, &reply);
	if (r != 0)
		return r;
	workloads = json_object_get(reply, "workloads");
	n_unplaced = n_unplaced_of(workloads);
	if (arguments.json) {
		r = verb_print_json(reply);
		return r != 0 ? r : n_unplaced > 0 ? EXIT_UNPLACED : 0;
	}
	printf("generation %" JSON_INTEGER_FORMAT ", %zu workloads",
	       json_integer_value(json_object_get(reply, "generation")),
	       json_array_size(workloads));
	if (n_unplaced > 0) {
		printf(", %zu of them not placed:\n", n_unplaced);
		print_unplaced(workloads);
	} else {
		puts(", all placed");
	}
	if (json_array_size(workloads) > 0) {
		putchar('\n');
		table_print(workloads);
	}
	return n_unplaced > 0 ? EXIT_UNPLACED : 0;
}
