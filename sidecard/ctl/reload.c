/* sidecarctl reload: read the configuration again, all or nothing. */
#include <stdio.h>

#include "base/cleanup.h"
#include "ctl/arguments.h"
#include "ctl/ctl.h"

static const char help[] =
	"Usage: sidecarctl reload [--runtime-dir DIR] [--json]\n"
	"Has the daemon read its configuration again. With a single fault "
	"anywhere it prints all faults,\n"
	"keeps the running configuration and exits with 2. A fault that is a plugin's alone\n"
	"(Plugin=, [Plugin]) costs its workload that plugin and nothing else.\n";

int verb_reload(int argc, char **argv)
{
	cleanup(json_decrefp) json_t *reply = NULL;
	struct arguments arguments;
	const json_t *faults, *warnings, *fault;
	size_t i;
	int r = arguments_parse(argc, argv, help, 0, 0, &arguments);

	if (r >= 0)
		return r;
	r = verb_call(&arguments, "io.sidecard.Reload", NULL, &reply);
	if (r != 0)
		return r;
	faults = json_object_get(reply, "faults");
	warnings = json_object_get(reply, "warnings");
	if (arguments.json) {
		verb_print_json(reply);
	} else {
		json_array_foreach (faults, i, fault)
			fprintf(stderr, "%s\n", json_string_value(fault));
		json_array_foreach (warnings, i, fault)
			fprintf(stderr, "%s, going on with plugin 'generic'\n",
				json_string_value(fault));
	}
	return json_array_size(faults) > 0 ? EXIT_FAULT : 0;
}
