/* sidecarctl run: this process registers with a workload, takes its place, and becomes the command.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apply/apply_threads.h"
#include "base/cleanup.h"
#include "ctl/arguments.h"
#include "ctl/ctl.h"

static const char help[] =
	"Usage: sidecarctl run --workload NAME [--runtime-dir DIR] [--] COMMAND [ARGUMENT]...\n"
	"Registers this process with a workload, takes its PUs, memory policy and environment, and "
	"executes\n"
	"COMMAND. The registration ends with the process.\n"
	"Exit: that of COMMAND; 2 where there is no place to be had, 126 and 127 as a shell's.\n";

enum { EXIT_NOT_EXECUTABLE = 126, EXIT_NOT_FOUND = 127 };

static enum memory_policy memory_of(const json_t *placement)
{
	const char *word = json_string_value(json_object_get(placement, "memory"));

	if (word && strcmp(word, "strict") == 0)
		return MEMORY_STRICT;
	if (word && strcmp(word, "interleave") == 0)
		return MEMORY_INTERLEAVE;
	if (word && strcmp(word, "none") == 0)
		return MEMORY_NONE;
	return MEMORY_PREFERRED;
}

/* The applier pins us too, but only a moment later: the command must begin in its place. */
static int take_place(const json_t *placement, struct fault *fault)
{
	cleanup(cpuset_done) struct cpuset cpus = { 0 };
	cleanup(nodeset_done) struct nodeset mems = { 0 };
	const char *pus = json_string_value(json_object_get(placement, "cpus"));
	const char *nodes = json_string_value(json_object_get(placement, "mems"));

	if ((pus && cpuset_parse(pus, &cpus) < 0) || (nodes && nodeset_parse(nodes, &mems) < 0))
		return fault_set(fault, -EPROTO,
				 "sidecard's placement is not a list: PUs '%s', nodes '%s'", pus,
				 nodes);
	return threads_bind_self(&cpus, &mems, memory_of(placement), fault);
}

static void take_environment(const struct arguments *arguments, const json_t *reply)
{
	const json_t *variable;
	size_t i;

	json_array_foreach (json_object_get(reply, "environment"), i, variable) {
		char *copy = strdup(json_string_value(variable));

		if (copy)
			putenv(copy); /* the environment keeps it */
	}
	setenv("SIDECARD_WORKLOAD", arguments->workload, 1);
	if (json_is_string(json_object_get(reply, "page")))
		setenv("SIDECARD_PAGE", json_string_value(json_object_get(reply, "page")), 1);
}

int verb_run(int argc, char **argv)
{
	cleanup(json_decrefp) json_t *reply = NULL;
	json_t *parameters = json_object();
	struct arguments arguments;
	struct fault fault;
	int r = arguments_parse(argc, argv, help, 1, -1, &arguments);

	if (r >= 0 || arguments.workload == arguments.operands[0]) {
		json_decref(parameters);
		if (r < 0)
			fprintf(stderr, "sidecarctl run: no --workload NAME given\n%s", help);
		return r < 0 ? EXIT_FAULT : r;
	}
	json_object_set_new(parameters, "workload", json_string(arguments.workload));
	r = verb_call(&arguments, "io.sidecard.Register", parameters, &reply);
	if (r != 0)
		return r;
	/* A command that runs in the wrong place is better than one that does not run. */
	if (take_place(json_object_get(reply, "workload"), &fault) < 0)
		fprintf(stderr, "sidecarctl: %s, going on without\n", fault.text);
	take_environment(&arguments, reply);
	execvp(arguments.operands[0], arguments.operands);
	fprintf(stderr, "sidecarctl: cannot execute '%s': %s\n", arguments.operands[0],
		strerror(errno));
	return errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
}
