/* sidecarctl watch [NAME]: a line for each change, as it comes. */
#include <inttypes.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "ctl/arguments.h"
#include "ctl/ctl.h"
#include "ctl/table.h"

static const char help[] =
	"Usage: sidecarctl watch [NAME] [--runtime-dir DIR] [--json]\n"
	"Prints the present state and then each change, until interrupted or the daemon stops.\n";

static void print_change(const json_t *change)
{
	json_int_t generation = json_integer_value(json_object_get(change, "generation"));
	char name[128], cpus[256], number[16], limited_by[256];
	const json_t *placement, *gone;
	size_t i;

	json_array_foreach (json_object_get(change, "changed"), i, placement)
		printf("%" JSON_INTEGER_FORMAT "  %s  PUs %s  parallelism %s  limited by %s\n",
		       generation, table_text(placement, "name", name, sizeof(name)),
		       table_text(placement, "cpus", cpus, sizeof(cpus)),
		       table_text(json_object_get(placement, "parallelism"), "advised", number,
				  sizeof(number)),
		       table_text(placement, "limited_by", limited_by, sizeof(limited_by)));
	json_array_foreach (json_object_get(change, "gone"), i, gone)
		printf("%" JSON_INTEGER_FORMAT "  %s  gone\n", generation, json_string_value(gone));
	fflush(stdout);
}

int verb_watch(int argc, char **argv)
{
	cleanup(client_done) struct client client = { .fd = -1 };
	struct arguments arguments;
	struct fault fault;
	bool continues = true;
	int r = arguments_parse(argc, argv, help, 0, 1, &arguments);

	if (r >= 0)
		return r;
	r = client_open(arguments.runtime_dir, &client, &fault);
	if (r == 0)
		r = client_send(&client, "io.sidecard.Watch",
				arguments.workload ? verb_name(arguments.workload) : NULL, true,
				&fault);
	while (r == 0 && continues) {
		cleanup(json_decrefp) json_t *change = NULL;

		r = client_receive(&client, &change, &continues, &fault);
		if (r == 0 && arguments.json)
			json_dumpf(change, stdout, JSON_COMPACT), putchar('\n'), fflush(stdout);
		else if (r == 0)
			print_change(change);
	}
	if (r < 0)
		fprintf(stderr, "sidecarctl: %s\n", fault.text);
	return r < 0 ? EXIT_FAULT : 0;
}
