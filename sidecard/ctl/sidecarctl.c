/* sidecarctl: one verb, one file. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "ctl/ctl.h"

static const struct verb {
	const char *name, *summary;
	int (*run)(int argc, char **argv);
} verbs[] = {
	{ "status", "what the daemon holds, in a few lines", verb_status },
	{ "list", "one line for each workload", verb_list },
	{ "show", "everything about one workload", verb_show },
	{ "topology", "a picture of packages, NUMA nodes, cores and PUs with their owners",
	  verb_topology },
	{ "plan", "plan without a daemon, for this or any other machine", verb_plan },
	{ "explain", "why a workload has what it has", verb_explain },
	{ "env", "a workload's environment variables", verb_env },
	{ "run", "register, take the placement, run a command", verb_run },
	{ "watch", "print each change as it comes", verb_watch },
	{ "check", "check a configuration", verb_check },
	{ "capture", "save a description of this machine", verb_capture },
	{ "top", "what each workload uses, live", verb_top },
	{ "record", "save what regulators see and say", verb_record },
	{ "replay", "put a recording through the regulators again", verb_replay },
	{ "reload", "read the configuration again", verb_reload },
};

static void print_help(FILE *out)
{
	fputs("Usage: sidecarctl VERB [OPTION]... [ARGUMENT]...\n"
	      "Asks sidecard about placements, plans without it, and runs commands in their "
	      "place.\n\n",
	      out);
	for (size_t i = 0; i < N_ELEMENTS(verbs); i++)
		fprintf(out, "  %-9s %s\n", verbs[i].name, verbs[i].summary);
	fputs("\nEach verb takes --json and --help. Exit: 0 done, 1 something is not placed, 2 "
	      "usage,\n"
	      "configuration or daemon at fault. See sidecarctl(1).\n",
	      out);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		print_help(stderr);
		return EXIT_FAULT;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
		print_help(stdout);
		return 0;
	}
	if (strcmp(argv[1], "--version") == 0) {
		puts("sidecarctl " SIDECARD_VERSION);
		return 0;
	}
	for (size_t i = 0; i < N_ELEMENTS(verbs); i++)
		if (strcmp(argv[1], verbs[i].name) == 0)
			return verbs[i].run(argc - 1, argv + 1);
	fprintf(stderr, "sidecarctl: unknown verb '%s', expected one of", argv[1]);
	for (size_t i = 0; i < N_ELEMENTS(verbs); i++)
		fprintf(stderr, " %s", verbs[i].name);
	fputc('\n', stderr);
	return EXIT_FAULT;
}
