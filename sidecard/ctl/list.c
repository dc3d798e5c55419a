/* sidecarctl list: one line a workload. */
#include "base/cleanup.h"
#include "ctl/arguments.h"
#include "ctl/ctl.h"
#include "ctl/table.h"

static const char help[] =
	"Usage: sidecarctl list [--runtime-dir DIR] [--json]\n"
	"Prints one line for each workload: where it may run and how many threads it should run.\n";

int verb_list(int argc, char **argv)
{
	cleanup(json_decrefp) json_t *reply = NULL;
	struct arguments arguments;
	int r = arguments_parse(argc, argv, help, 0, 0, &arguments);

	if (r >= 0)
		return r;
	r = verb_call(&arguments, "io.sidecard.List", NULL, &reply);
	if (r != 0)
		return r;
	if (arguments.json)
		return verb_print_json(reply);
	table_print(json_object_get(reply, "workloads"));
	return 0;
}
