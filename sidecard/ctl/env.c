/* sidecarctl env NAME: the variables of a workload, as its environment file has them, quoted for
 * who is to read them; without a daemon where a machine or a configuration is named.
 *
 * Relies on POSIX.1-2017 XCU 2.2.2 (single quotes), systemd.exec(5) EnvironmentFile=, and what
 * docker run --env-file does: each line is taken as it is, without quotes, up to its end. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "ctl/arguments.h"
#include "ctl/ctl.h"
#include "ctl/offline.h"
#include "publish/publish.h"

static const char help[] =
	"Usage: sidecarctl env NAME [OPTION]...\n"
	"Prints the variables of a workload.\n\n"
	"  --systemd          for EnvironmentFile= (default)\n"
	"  --shell            for a shell: eval \"$(sidecarctl env NAME --shell)\"\n"
	"  --docker           for docker run --env-file\n"
	"  --json             one JSON object\n"
	"  --machine M        without a daemon, as in sidecarctl plan: live, synthetic:STRING,\n"
	"                     FILE.xml, or a captured directory\n"
	"  --conf DIR         likewise: holds sidecard.conf, pools.d/ and workloads.d/\n"
	"  --allowed LIST     likewise: the only PUs that may be used\n"
	"  --quota PUS        likewise: of a cgroup that holds all workloads, such as 2.5\n"
	"  --plugin-dir DIR   likewise: where its plugin is\n"
	"  --runtime-dir DIR  where the daemon publishes\n"
	"  --help             print this\n\n"
	"Exit: 0 done, 1 not placed (printed all the same), 2 usage, configuration or daemon at "
	"fault.\n";

/* Larger than any environment that execve() takes (MAX_ARG_STRLEN is 128 KiB for each). */
#define FILE_MOST_BYTES (4u << 20)

enum format { FORMAT_SYSTEMD, FORMAT_SHELL, FORMAT_DOCKER, FORMAT_JSON };

struct options {
	struct offline_options offline;
	bool is_offline;
	enum format format;
	const char *runtime_dir, *name;
};

static void option_take(int option, struct options *options)
{
	switch (option) {
	case 'r':
		options->runtime_dir = optarg;
		break;
	case 's':
		options->format = FORMAT_SHELL;
		break;
	case 'd':
		options->format = FORMAT_DOCKER;
		break;
	case 'j':
		options->format = FORMAT_JSON;
		break;
	default:
		options->format = FORMAT_SYSTEMD;
	}
}

/* -1 to go on, else the exit code. */
static int options_parse(int argc, char **argv, struct options *ret_options)
{
	static const struct option rows[] = {
		OFFLINE_OPTIONS,
		{ "runtime-dir", required_argument, NULL, 'r' },
		{ "systemd", no_argument, NULL, 'e' },
		{ "shell", no_argument, NULL, 's' },
		{ "docker", no_argument, NULL, 'd' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct options found = { .offline = OFFLINE_DEFAULTS("env"),
				 .runtime_dir = CLIENT_RUNTIME_DIR };
	int option, r;

	optind = 0; /* glibc: begin anew */
	while ((option = getopt_long(argc, argv, "", rows, NULL)) != -1) {
		if (option == 'h') {
			fputs(help, stdout);
			return EXIT_DONE;
		}
		if (option == '?') {
			fprintf(stderr, "Try 'sidecarctl env --help'.\n");
			return EXIT_FAULT;
		}
		r = offline_option(option, optarg, &found.offline);
		if (r == EXIT_FAULT)
			return EXIT_FAULT;
		if (r == 1)
			found.is_offline = true;
		else
			option_take(option, &found);
	}
	if (argc - optind != 1) {
		fprintf(stderr, "sidecarctl env: %d arguments given, expected 1\n%s", argc - optind,
			help);
		return EXIT_FAULT;
	}
	found.name = argv[optind];
	if (!name_is_valid(found.name)) {
		fprintf(stderr, "sidecarctl: not a workload's name; expected %s\n", NAME_RULE);
		return EXIT_FAULT;
	}
	*ret_options = found;
	return -1;
}

/* ---- where the variables come from: each a text as the environment file has it ---- */

/* 0 or the exit code. */
static int file_read(const struct options *options, char **ret_text)
{
	cleanup(fclosep) FILE *file = NULL;
	cleanup(freep) char *path = NULL, *text = NULL;
	size_t n;

	if (asprintf(&path, "%s/env/%s.env", options->runtime_dir, options->name) < 0) {
		path = NULL;
		errno = ENOMEM;
	} else {
		file = fopen(path, "re");
	}
	if (!file) {
		fprintf(stderr, "sidecarctl: cannot read '%s': %s\n", path ? path : options->name,
			strerror(errno));
		return EXIT_FAULT;
	}
	text = malloc(FILE_MOST_BYTES + 1);
	n = text ? fread(text, 1, FILE_MOST_BYTES, file) : 0;
	if (!text || ferror(file) || memchr(text, '\0', n)) {
		fprintf(stderr, "sidecarctl: '%s' is no environment file\n", path);
		return EXIT_FAULT;
	}
	text[n] = '\0';
	*ret_text = TAKE_PTR(text);
	return 0;
}

static int unknown(const struct options *options)
{
	fprintf(stderr, "sidecarctl env: the configuration has no workload '%s'\n", options->name);
	return EXIT_FAULT;
}

/* 0, EXIT_UNPLACED with the text all the same, or EXIT_FAULT. */
static int offline_make(const struct options *options, char **ret_text)
{
	cleanup(offline_done) struct offline offline = { 0 };
	cleanup(plan_freep) struct plan *plan = NULL;
	cleanup(strings_done) struct strings environment = { 0 };
	const struct plan_workload *workload;
	struct fault fault;
	int r = offline_load(&options->offline, &offline);

	if (r != 0)
		return r;
	if (plan_make(&offline.snapshot, NULL, 0, &plan, &fault) < 0)
		return offline_say(&options->offline, &fault);
	workload = plan_find(plan, options->name);
	if (!workload)
		return unknown(options);
	if (offline_environment(&offline, &options->offline, workload, &environment) != 0)
		return EXIT_FAULT;
	*ret_text = env_format(workload, plan->generation, &environment);
	if (!*ret_text) {
		fprintf(stderr, "sidecarctl env: no memory for the variables\n");
		return EXIT_FAULT;
	}
	return workload->placed ? EXIT_DONE : EXIT_UNPLACED;
}

/* ---- how they are printed ---- */

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

/* In single quotes every byte but the quote itself is what it is, in every locale. */
static int print_shell(const char *key, const char *value)
{
	printf("export %s='", key);
	for (; *value; value++)
		if (*value == '\'')
			fputs("'\\''", stdout);
		else
			putchar(*value);
	return puts("'") < 0 ? EXIT_FAULT : 0;
}

/* The file that sidecard writes has no control characters; one that somebody else put there may
 * end a line where docker sees its end and we do not. */
static int print_docker(const char *key, const char *value)
{
	for (const char *at = value; *at; at++)
		if ((unsigned char)*at < 0x20 && *at != '\t') {
			fprintf(stderr,
				"sidecarctl env: %s has a control character, which docker's file "
				"cannot tell\n",
				key);
			return EXIT_FAULT;
		}
	return printf("%s=%s\n", key, value) < 0 ? EXIT_FAULT : 0;
}

static int print_one(enum format format, json_t *object, const char *key, const char *value)
{
	if (format == FORMAT_SHELL)
		return print_shell(key, value);
	if (format == FORMAT_DOCKER)
		return print_docker(key, value);
	if (json_object_set_new(object, key, json_string(value)) < 0) {
		fprintf(stderr, "sidecarctl env: %s cannot be told as JSON\n", key);
		return EXIT_FAULT;
	}
	return 0;
}

/* Shells would execute what stands in front of '=' where it is no name. */
static bool key_is_name(const char *key)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";

	return key[0] && !(key[0] >= '0' && key[0] <= '9') && key[strspn(key, letters)] == '\0';
}

/* 0 or EXIT_FAULT; @text is taken apart. */
static int print(enum format format, char *text)
{
	cleanup(json_decrefp) json_t *object = json_object();
	char *line;
	int r = 0;

	if (format == FORMAT_SYSTEMD)
		return fputs(text, stdout) < 0 || fflush(stdout) != 0 ? EXIT_FAULT : 0;
	while (r == 0 && (line = strsep(&text, "\n"))) {
		char *value = strchr(line, '=');

		if (!value)
			continue;
		*value++ = '\0';
		unquote(value);
		if (key_is_name(line))
			r = print_one(format, object, line, value);
	}
	if (r != 0)
		return r;
	if (format == FORMAT_JSON)
		return verb_print_json(object);
	return fflush(stdout) == 0 ? 0 : EXIT_FAULT;
}

int verb_env(int argc, char **argv)
{
	cleanup(freep) char *text = NULL;
	struct options options;
	int r = options_parse(argc, argv, &options), printed;

	if (r >= 0)
		return r;
	r = options.is_offline ? offline_make(&options, &text) : file_read(&options, &text);
	if (!text)
		return r;
	printed = print(options.format, text);
	return printed != 0 ? printed : r;
}
