#include "ctl/arguments.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "ctl/ctl.h"

int arguments_parse(int argc, char **argv, const char *help, int least, int most,
		    struct arguments *ret_arguments)
{
	static const struct option options[] = {
		{ "runtime-dir", required_argument, NULL, 'r' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct arguments arguments = { .runtime_dir = CLIENT_RUNTIME_DIR };
	int option;

	optind = 0; /* glibc: begin anew */
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'r':
			arguments.runtime_dir = optarg;
			break;
		case 'j':
			arguments.json = true;
			break;
		case 'h':
			fputs(help, stdout);
			return 0;
		default:
			fprintf(stderr, "Try 'sidecarctl %s --help'.\n", argv[0]);
			return EXIT_FAULT;
		}
	}
	arguments.operands = argv + optind;
	arguments.n_operands = argc - optind;
	if (arguments.n_operands < least || arguments.n_operands > most) {
		fprintf(stderr, "sidecarctl %s: %d arguments given, expected %d%s\n%s", argv[0],
			arguments.n_operands, least, most != least ? " or more" : "", help);
		return EXIT_FAULT;
	}
	if (arguments.n_operands > 0)
		arguments.workload = arguments.operands[0];
	*ret_arguments = arguments;
	return -1;
}

int verb_call(const struct arguments *arguments, const char *method, json_t *parameters,
	      json_t **ret_reply)
{
	cleanup(client_done) struct client client = { .fd = -1 };
	struct fault fault;
	int r = client_open(arguments->runtime_dir, &client, &fault);

	if (r < 0)
		json_decref(parameters);
	else
		r = client_call(&client, method, parameters, ret_reply, &fault);
	if (r < 0) {
		fprintf(stderr, "sidecarctl: %s\n", fault.text);
		return EXIT_FAULT;
	}
	return 0;
}

json_t *verb_name(const char *workload)
{
	json_t *parameters = json_object();

	json_object_set_new(parameters, "name", json_string(workload));
	return parameters;
}

int verb_print_json(const json_t *json)
{
	if (json_dumpf(json, stdout, JSON_INDENT(2)) < 0 || putchar('\n') == EOF ||
	    fflush(stdout) != 0)
		return EXIT_FAULT;
	return 0;
}

bool verb_has_colour(void)
{
	const char *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !getenv("NO_COLOR") && term && strcmp(term, "dumb") != 0;
}
