/* sidecarctl plan: plans without a daemon, for this or any other machine. Other programs rely on
 * its JSON and exit codes. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/cleanup.h"
#include "ctl/arguments.h"
#include "ctl/ctl.h"
#include "ctl/offline.h"
#include "plan/plan_moves.h"
#include "plan/plan_text.h"

static const char help[] =
	"Usage: sidecarctl plan [OPTION]...\n"
	"Plans all workloads of a configuration and prints who gets which PUs.\n\n"
	"  --machine M      live (default), synthetic:STRING, FILE.xml, or a captured directory\n"
	"  --conf DIR       holds sidecard.conf, pools.d/ and workloads.d/ (default: as the daemon "
	"searches)\n"
	"  --allowed LIST   the only PUs that may be used, such as 0-3,8\n"
	"  --quota PUS      of a cgroup that holds all workloads, such as 2.5 or 250%\n"
	"  --plugin-dir DIR where the plugins of the workloads are\n"
	"  --held FILE      an earlier plan as JSON: what it placed stays where that costs "
	"nothing,\n"
	"                   and what moves all the same is told\n"
	"  --json           print JSON\n"
	"  --help           print this\n\n"
	"Exit: 0 all placed, 1 something not placed (the plan is printed), 2 usage, configuration\n"
	"or machine at fault (nothing is printed).\n";

struct options {
	struct offline_options offline;
	bool json;
};

/* -1 to go on, else the exit code. */
static int options_parse(int argc, char **argv, struct options *ret_options)
{
	static const struct option options[] = {
		OFFLINE_OPTIONS,
		{ "held", required_argument, NULL, 'o' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct options found = { .offline = OFFLINE_DEFAULTS("plan") };
	int option, r;

	optind = 0; /* glibc: begin anew */
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		r = offline_option(option, optarg, &found.offline);
		if (r == EXIT_FAULT)
			return EXIT_FAULT;
		if (r == 1)
			continue;
		switch (option) {
		case 'o':
			found.offline.held = optarg;
			break;
		case 'j':
			found.json = true;
			break;
		case 'h':
			fputs(help, stdout);
			return EXIT_DONE;
		default:
			fprintf(stderr, "Try 'sidecarctl plan --help'.\n");
			return EXIT_FAULT;
		}
	}
	if (optind < argc) {
		fprintf(stderr,
			"sidecarctl plan: '%s' is no option. Try 'sidecarctl plan --help'.\n",
			argv[optind]);
		return EXIT_FAULT;
	}
	*ret_options = found;
	return -1;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Ten digits: duration_us is in tenths, and 17 digits would show them as 12.300000000000001. */
#define JSON_FORMAT (JSON_INDENT(2) | JSON_REAL_PRECISION(10))

/* With an earlier plan: also what moves against it. NULL where memory is short. */
static char *json_text(const struct plan *plan, const struct offline *offline)
{
	cleanup(json_decrefp) json_t *object = plan_json(plan, offline->topology);

	if (object && offline->held &&
	    json_object_set_new(object, "moves",
				plan_moves_json(plan, offline->held, offline->topology)) < 0)
		return NULL;
	return object ? json_dumps(object, JSON_FORMAT) : NULL;
}

static int print(const struct plan *plan, const struct offline *offline, bool json)
{
	cleanup(freep) char *text = json ? json_text(plan, offline)
					 : plan_table(plan, offline->topology);
	cleanup(freep) char *moves = NULL;

	if (!json && offline->held)
		moves = plan_moves_text(plan, offline->held, offline->topology);
	if (!text || (!json && offline->held && !moves)) {
		fprintf(stderr, "sidecarctl plan: no memory to print the plan\n");
		return EXIT_FAULT;
	}
	if (printf("%s%s", text, json ? "\n" : moves ? moves : "") < 0 || fflush(stdout) != 0)
		return EXIT_FAULT;
	for (size_t i = 0; i < plan->n_workloads; i++)
		if (!plan->workloads[i].placed)
			return EXIT_UNPLACED;
	return EXIT_DONE;
}

int verb_plan(int argc, char **argv)
{
	cleanup(offline_done) struct offline offline = { 0 };
	cleanup(plan_freep) struct plan *plan = NULL;
	struct options options;
	struct fault fault;
	uint64_t before_ns;
	int r = options_parse(argc, argv, &options);

	if (r >= 0)
		return r;
	r = offline_load(&options.offline, &offline);
	if (r != 0)
		return r;
	before_ns = now_ns();
	if (plan_make(&offline.snapshot, offline.held, before_ns / 1000, &plan, &fault) < 0)
		return offline_say(&options.offline, &fault);
	plan->duration_us = (double)(now_ns() - before_ns) / 1000;
	return print(plan, &offline, options.json);
}
