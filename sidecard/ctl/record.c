/* sidecarctl record FILE: what regulators are given and say, until interrupted. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "ctl/arguments.h"
#include "ctl/ctl.h"
#include "ctl/recording.h"

static const char help[] =
	"Usage: sidecarctl record [OPTION]... FILE\n"
	"Writes each sample that a regulator is given, and what it makes of it, to FILE (-: "
	"standard\n"
	"output), until interrupted. Not more is sampled than without it.\n\n"
	"  --for SECONDS      end by itself\n"
	"  --runtime-dir DIR  where the daemon publishes\n"
	"  --json             has no effect: a recording is JSON, one object a line\n"
	"  --help             print this\n";

/* Lines come in pieces of up to 256 KiB; a daemon with many regulators fills one in a second. */
#define POLL_NS 250000000

struct options {
	const char *runtime_dir, *file;
	uint64_t for_s; /* 0: until interrupted */
};

static int options_parse(int argc, char **argv, struct options *ret_options)
{
	static const struct option options[] = {
		{ "for", required_argument, NULL, 'f' },
		{ "runtime-dir", required_argument, NULL, 'r' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct options found = { .runtime_dir = CLIENT_RUNTIME_DIR };
	int option;
	char *end;

	optind = 0; /* glibc: begin anew */
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'f':
			found.for_s = strtoul(optarg, &end, 10);
			if (optarg[0] < '1' || optarg[0] > '9' || *end || found.for_s > 1000000) {
				fprintf(stderr,
					"sidecarctl record: --for is '%s', expected seconds up to "
					"1000000\n",
					optarg);
				return EXIT_FAULT;
			}
			break;
		case 'r':
			found.runtime_dir = optarg;
			break;
		case 'j':
			break;
		case 'h':
			fputs(help, stdout);
			return EXIT_DONE;
		default:
			fprintf(stderr, "Try 'sidecarctl record --help'.\n");
			return EXIT_FAULT;
		}
	}
	if (optind + 1 != argc) {
		fprintf(stderr, "sidecarctl record: expected one file\n%s", help);
		return EXIT_FAULT;
	}
	found.file = argv[optind];
	*ret_options = found;
	return -1;
}

static int lines_write(const json_t *reply, FILE *out, uint64_t *n_lines)
{
	const json_t *line;
	size_t i;

	if (json_is_true(json_object_get(reply, "lost"))) {
		fputs(RECORDING_GAP "\n", out);
		fprintf(stderr, "sidecarctl record: some samples were lost in between\n");
	}
	json_array_foreach (json_object_get(reply, "lines"), i, line) {
		const char *text = json_string_value(line);

		if (text && fprintf(out, "%s\n", text) < 0)
			return -errno;
		++*n_lines;
	}
	return fflush(out) == 0 ? 0 : -errno;
}

/* True where it was interrupted, or standard output was closed. */
static bool wait_for(long ns)
{
	const struct timespec span = { .tv_nsec = ns };
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	return sigtimedwait(&signals, NULL, &span) > 0;
}

static void signals_block(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
}

static uint64_t now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec;
}

static int record(const struct options *options, struct client *client, FILE *out,
		  struct fault *fault)
{
	uint64_t after = 0, n_lines = 0, end_s = now_s() + options->for_s;
	int r = 0;

	if (fputs(RECORDING_HEAD "\n", out) < 0)
		r = -errno;
	while (r == 0) {
		cleanup(json_decrefp) json_t *reply = NULL;

		r = client_call(client, "io.sidecard.Samples",
				after > 0 ? json_pack("{s:I}", "after", (json_int_t)after) : NULL,
				&reply, fault);
		if (r < 0)
			return r;
		r = lines_write(reply, out, &n_lines);
		after = (uint64_t)json_integer_value(json_object_get(reply, "next"));
		if (wait_for(POLL_NS) || (options->for_s > 0 && now_s() >= end_s))
			break;
	}
	if (r < 0)
		return fault_set(fault, r, "cannot write '%s': %s", options->file, strerror(-r));
	fprintf(stderr, "%" PRIu64 " lines recorded\n", n_lines);
	return 0;
}

int verb_record(int argc, char **argv)
{
	cleanup(client_done) struct client client = { .fd = -1 };
	cleanup(fclosep) FILE *file = NULL;
	struct options options;
	struct fault fault;
	int r = options_parse(argc, argv, &options);

	if (r >= 0)
		return r;
	r = client_open(options.runtime_dir, &client, &fault);
	if (r == 0 && strcmp(options.file, "-") != 0) {
		file = fopen(options.file, "we");
		if (!file)
			r = fault_set(&fault, -errno, "cannot create '%s': %s", options.file,
				      strerror(errno));
	}
	signals_block();
	if (r == 0)
		r = record(&options, &client, file ? file : stdout, &fault);
	if (r < 0)
		fprintf(stderr, "sidecarctl: %s\n", fault.text);
	return r < 0 ? EXIT_FAULT : EXIT_DONE;
}
