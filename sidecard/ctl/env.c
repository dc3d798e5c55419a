/* sidecarctl env NAME: the variables of a workload, as its environment file has them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "ctl/arguments.h"
#include "ctl/ctl.h"

static const char help[] =
	"Usage: sidecarctl env NAME [--runtime-dir DIR] [--json]\n"
	"Prints the variables of a workload's environment file; a shell takes them with\n"
	"  set -a; eval \"$(sidecarctl env NAME)\"; set +a\n";

/* NAME=VALUE or NAME="VALUE" with \" \\ \$ \` inside: how sidecard writes them. */
static void unquote(char *value)
{
	size_t n = strlen(value), out = 0;

	if (n < 2 || value[0] != '"' || value[n - 1] != '"')
		return;
	for (size_t i = 1; i < n - 1; i++) {
		if (value[i] == '\\' && i + 1 < n - 1)
			i++;
		value[out++] = value[i];
	}
	value[out] = '\0';
}

static int print_json(FILE *file)
{
	cleanup(json_decrefp) json_t *object = json_object();
	cleanup(freep) char *line = NULL;
	size_t line_size = 0;
	ssize_t n;

	while ((n = getline(&line, &line_size, file)) > 0) {
		char *value = strchr(line, '=');

		if (line[n - 1] == '\n')
			line[n - 1] = '\0';
		if (!value)
			continue;
		*value++ = '\0';
		unquote(value);
		json_object_set_new(object, line, json_string(value));
	}
	return verb_print_json(object);
}

int verb_env(int argc, char **argv)
{
	cleanup(fclosep) FILE *file = NULL;
	struct arguments arguments;
	char path[512], buffer[4096];
	size_t n;
	int r = arguments_parse(argc, argv, help, 1, 1, &arguments);

	if (r >= 0)
		return r;
	if (!name_is_valid(arguments.workload)) {
		fprintf(stderr, "sidecarctl: not a workload's name; expected %s\n", NAME_RULE);
		return EXIT_FAULT;
	}
	snprintf(path, sizeof(path), "%s/env/%s.env", arguments.runtime_dir, arguments.workload);
	file = fopen(path, "re");
	if (!file) {
		fprintf(stderr, "sidecarctl: cannot read '%s': %s\n", path, strerror(errno));
		return EXIT_FAULT;
	}
	if (arguments.json)
		return print_json(file);
	while ((n = fread(buffer, 1, sizeof(buffer), file)) > 0)
		fwrite(buffer, 1, n, stdout);
	return fflush(stdout) == 0 ? 0 : EXIT_FAULT;
}
