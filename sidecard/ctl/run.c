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
#include "ctl/words.h"
#include "paths.h"

static const char help[] =
	"Usage: sidecarctl run --workload NAME [OPTION]... [--] COMMAND [ARGUMENT]...\n"
	"Registers this process with a workload, takes its PUs, memory policy and environment, and "
	"executes\n"
	"COMMAND. The registration ends with the process.\n\n"
	"  --preload          also tell programs that ask the C library how many PUs there are\n"
	"  --runtime-dir DIR  where the daemon publishes\n"
	"  --help             print this\n\n"
	"In COMMAND and each ARGUMENT %{parallelism}, %{parallelism_floor}, %{parallelism_ceil}, "
	"%{cpus}, %{n_pu},\n"
	"%{n_core}, %{nodes}, %{mems}, %{quota_mcpu}, %{workload} and %{page} are replaced; an "
	"ARGUMENT that is\n"
	"%{arguments} becomes what the workload's plugin proposes, if anything; %% is %.\n"
	"Exit: that of COMMAND; 2 where there is no place to be had, 126 and 127 as a shell's.\n";

enum { EXIT_NOT_EXECUTABLE = 126, EXIT_NOT_FOUND = 127 };

struct options {
	struct arguments arguments;
	bool preload;
};

/* -1 to go on, else the exit code. */
static int options_check(const struct options *options)
{
	if (options->arguments.workload && options->arguments.n_operands > 0)
		return -1;
	fprintf(stderr, "sidecarctl run: no %s given\n%s",
		options->arguments.workload ? "COMMAND" : "--workload NAME", help);
	return EXIT_FAULT;
}

static int options_parse(int argc, char **argv, struct options *ret_options)
{
	static const struct option rows[] = {
		{ "workload", required_argument, NULL, 'w' },
		{ "runtime-dir", required_argument, NULL, 'r' },
		{ "preload", no_argument, NULL, 'p' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct options found = { .arguments = { .runtime_dir = CLIENT_RUNTIME_DIR } };
	int option;

	optind = 0; /* glibc: begin anew */
	while ((option = getopt_long(argc, argv, "+", rows, NULL)) != -1) {
		switch (option) {
		case 'w':
			found.arguments.workload = optarg;
			break;
		case 'r':
			found.arguments.runtime_dir = optarg;
			break;
		case 'p':
			found.preload = true;
			break;
		case 'h':
			fputs(help, stdout);
			return EXIT_DONE;
		default:
			fprintf(stderr, "Try 'sidecarctl run --help'.\n");
			return EXIT_FAULT;
		}
	}
	found.arguments.operands = argv + optind;
	found.arguments.n_operands = argc - optind;
	*ret_options = found;
	return options_check(&found);
}

static enum memory_policy memory_of(const json_t *reply)
{
	const char *word = json_string_value(json_object_get(reply, "memory"));

	if (word && strcmp(word, "strict") == 0)
		return MEMORY_STRICT;
	if (word && strcmp(word, "interleave") == 0)
		return MEMORY_INTERLEAVE;
	if (word && strcmp(word, "none") == 0)
		return MEMORY_NONE;
	return MEMORY_PREFERRED;
}

/* The applier pins us too, but only a moment later: the command must begin in its place. */
static int take_place(const json_t *reply, struct fault *fault)
{
	cleanup(cpuset_done) struct cpuset cpus = { 0 };
	cleanup(nodeset_done) struct nodeset mems = { 0 };
	const json_t *placement = json_object_get(reply, "workload");
	const char *pus = json_string_value(json_object_get(placement, "cpus"));
	const char *nodes = json_string_value(json_object_get(placement, "mems"));

	/* Pin=none: the threads are the program's own business. */
	if (json_is_false(json_object_get(reply, "pin")))
		pus = NULL;
	if ((pus && cpuset_parse(pus, &cpus) < 0) || (nodes && nodeset_parse(nodes, &mems) < 0))
		return fault_set(fault, -EPROTO,
				 "sidecard's placement is not a list: PUs '%s', nodes '%s'", pus,
				 nodes);
	return threads_bind_self(&cpus, &mems, memory_of(reply), fault);
}

static bool appends(const json_t *reply, const char *name, size_t n_name)
{
	const json_t *appended;
	size_t i;

	json_array_foreach (json_object_get(reply, "append"), i, appended) {
		const char *known = json_string_value(appended);

		if (known && strlen(known) == n_name && memcmp(known, name, n_name) == 0)
			return true;
	}
	return false;
}

static bool ends_with(const char *text, const char *end)
{
	size_t n_text = strlen(text), n_end = strlen(end);

	return n_text >= n_end && strcmp(text + n_text - n_end, end) == 0;
}

/* NAME=VALUE as it is, or behind what NAME has, as options such as JAVA_TOOL_OPTIONS are a list.
 * Whoever runs sidecarctl in a unit with our environment file has it there already. 0 or -1. */
static int take_variable(const json_t *reply, const char *line)
{
	cleanup(freep) char *name = strdup(line), *longer = NULL;
	char *value = name ? strchr(name, '=') : NULL;
	const char *own;

	if (!value)
		return -1;
	*value++ = '\0';
	own = getenv(name);
	if (!own || !*own || !appends(reply, name, strlen(name)))
		return setenv(name, value, 1);
	if (ends_with(own, value))
		return 0;
	if (asprintf(&longer, "%s %s", own, value) < 0) {
		longer = NULL;
		return -1;
	}
	return setenv(name, longer, 1);
}

static void take_environment(const struct options *options, const json_t *reply)
{
	const char *page = json_string_value(json_object_get(reply, "page"));
	const char *preloaded = getenv("LD_PRELOAD");
	const json_t *variable;
	size_t i;

	json_array_foreach (json_object_get(reply, "environment"), i, variable)
		if (!json_is_string(variable) ||
		    take_variable(reply, json_string_value(variable)) < 0)
			fprintf(stderr, "sidecarctl: no memory for a variable, going on without\n");
	setenv("SIDECARD_WORKLOAD", options->arguments.workload, 1);
	if (page)
		setenv("SIDECARD_PAGE", page, 1);
	if (options->preload) {
		cleanup(freep) char *both = NULL;

		if (asprintf(&both, "%s%s%s", SIDECARD_PRELOAD, preloaded ? ":" : "",
			     preloaded ? preloaded : "") > 0)
			setenv("LD_PRELOAD", both, 1);
	}
}

static int become(const struct strings *words)
{
	cleanup(freep) char **argv = calloc(words->n_items + 1, sizeof(char *));

	if (!argv) {
		fprintf(stderr, "sidecarctl: no memory for the command\n");
		return EXIT_FAULT;
	}
	memcpy(argv, words->items, words->n_items * sizeof(char *));
	execvp(argv[0], argv);
	fprintf(stderr, "sidecarctl: cannot execute '%s': %s\n", argv[0], strerror(errno));
	return errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
}

int verb_run(int argc, char **argv)
{
	cleanup(json_decrefp) json_t *reply = NULL;
	cleanup(strings_done) struct strings words = { 0 };
	struct options options;
	struct fault fault;
	int r = options_parse(argc, argv, &options);

	if (r >= 0)
		return r;
	r = verb_call(&options.arguments, "io.sidecard.Register",
		      json_pack("{s:s}", "workload", options.arguments.workload), &reply);
	if (r != 0)
		return r;
	if (words_expand(options.arguments.operands, (size_t)options.arguments.n_operands, reply,
			 &words, &fault) < 0) {
		fprintf(stderr, "sidecarctl run: %s\n", fault.text);
		return EXIT_FAULT;
	}
	if (words.n_items == 0) {
		fprintf(stderr, "sidecarctl run: the plugin proposes no arguments, and there is no "
				"other COMMAND\n");
		return EXIT_FAULT;
	}
	/* A command that runs in the wrong place is better than one that does not run. */
	if (take_place(reply, &fault) < 0)
		fprintf(stderr, "sidecarctl: %s, going on without\n", fault.text);
	take_environment(&options, reply);
	return become(&words);
}
