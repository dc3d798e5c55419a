/* What every verb's command line has in common. */
#pragma once

#include <getopt.h>
#include <stdbool.h>

#include "ctl/client.h"

struct arguments {
	const char *runtime_dir;
	bool json;
	const char *workload; /* run --workload, or the first operand */
	char **operands;      /* n_operands left on the line */
	int n_operands;
};

/* Parses the common options (--runtime-dir DIR, --json, --help) and the operands of a verb. @help
 * is printed for --help; the verb takes between @least and
 * @most operands. Returns -1 to go on, else the exit code. */
int arguments_parse(int argc, char **argv, const char *help, int least, int most,
		    struct arguments *ret_arguments);

/* Opens the socket and makes one call; prints the fault to stderr. 0, or the exit code 2. */
int verb_call(const struct arguments *arguments, const char *method, json_t *parameters,
	      json_t **ret_reply);

/* {"name": operand} for the methods that take one workload. */
json_t *verb_name(const char *workload);

/* Prints JSON with a final newline; 0 or 2. */
int verb_print_json(const json_t *json);

/* True where stdout is a terminal that wants colour (no NO_COLOR, TERM not dumb). */
bool verb_has_colour(void);
