/* sidecarctl explain NAME: why a workload has what it has. */
#include <stdio.h>

#include "base/cleanup.h"
#include "ctl/arguments.h"
#include "ctl/ctl.h"

static const char help[] = "Usage: sidecarctl explain NAME [--runtime-dir DIR] [--json]\n"
			   "Says why a workload has the PUs and the number that it has.\n";

int verb_explain(int argc, char **argv)
{
	cleanup(json_decrefp) json_t *reply = NULL;
	struct arguments arguments;
	const json_t *line;
	size_t i;
	int r = arguments_parse(argc, argv, help, 1, 1, &arguments);

	if (r >= 0)
		return r;
	r = verb_call(&arguments, "io.sidecard.Explain", verb_name(arguments.workload), &reply);
	if (r != 0)
		return r;
	if (arguments.json)
		return verb_print_json(reply);
	json_array_foreach (json_object_get(reply, "text"), i, line)
		puts(json_string_value(line));
	return 0;
}
