/* sidecarctl plan: plans without a daemon, for this or any other machine. Other programs rely on
 * its JSON and exit codes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "ctl/arguments.h"
#include "ctl/ctl.h"
#include "edge/conf.h"
#include "edge/plugin.h"
#include "plan/plan_text.h"
#include "sense/topo_load.h"

static const char help[] =
	"Usage: sidecarctl plan [OPTION]...\n"
	"Plans all workloads of a configuration and prints who gets which PUs.\n\n"
	"  --machine M      live (default), synthetic:STRING, FILE.xml, or a captured directory\n"
	"  --conf DIR       holds sidecard.conf, pools.d/ and workloads.d/ (default: as the daemon "
	"searches)\n"
	"  --allowed LIST   the only PUs that may be used, such as 0-3,8\n"
	"  --held FILE      an earlier plan as JSON: what it placed stays where that costs "
	"nothing\n"
	"  --json           print JSON\n"
	"  --help           print this\n\n"
	"Exit: 0 all placed, 1 something not placed (the plan is printed), 2 usage, configuration\n"
	"or machine at fault (nothing is printed).\n";

struct options {
	const char *machine, *conf, *allowed, *held;
	bool json;
};

/* -1 to go on, else the exit code. */
static int options_parse(int argc, char **argv, struct options *ret_options)
{
	static const struct option options[] = {
		{ "machine", required_argument, NULL, 'm' },
		{ "conf", required_argument, NULL, 'c' },
		{ "allowed", required_argument, NULL, 'a' },
		{ "held", required_argument, NULL, 'o' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct options found = { .machine = "live" };
	int option;

	optind = 0; /* glibc: begin anew */
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'm':
			found.machine = optarg;
			break;
		case 'c':
			found.conf = optarg;
			break;
		case 'a':
			found.allowed = optarg;
			break;
		case 'o':
			found.held = optarg;
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

/* Everything that a plan is made of. */
struct input {
	struct topology *topology;
	struct conf *conf;
	struct cpuset allowed;
	struct snapshot_workload *workloads;
	struct limit *limits;
	char **paths; /* of the limits: n_limits */
	struct snapshot snapshot;
	struct plan *held;
};

static void input_done(struct input *input)
{
	topology_free(input->topology);
	cpuset_done(&input->allowed);
	for (size_t i = 0; i < input->snapshot.n_limits; i++)
		free(input->paths[i]);
	free(input->paths);
	free(input->workloads);
	free(input->limits);
	plan_free(input->held);
	conf_free(input->conf); /* last: the held plan borrows from it */
}

static int say(const struct fault *fault)
{
	fprintf(stderr, "sidecarctl plan: %s\n", fault->text);
	return EXIT_FAULT;
}

static int say_all(const struct fault_list *faults)
{
	for (size_t i = 0; i < faults->n_texts; i++)
		fprintf(stderr, "%s\n", faults->texts[i]);
	if (faults->n_lost > 0)
		fprintf(stderr, "and %zu more\n", faults->n_lost);
	if (faults->n_texts == 0)
		fprintf(stderr, "sidecarctl plan: no memory for the configuration\n");
	return EXIT_FAULT;
}

static int allowed_parse(const char *text, struct input *input)
{
	int r = cpuset_parse(text, &input->allowed);

	if (r == 0)
		cpuset_intersect(&input->allowed, &input->topology->cpus);
	if (r == 0 && !cpuset_is_empty(&input->allowed))
		return 0;
	if (r == 0)
		fprintf(stderr,
			"sidecarctl plan: --allowed is '%s', the machine has none of these PUs\n",
			text);
	else
		fprintf(stderr,
			"sidecarctl plan: --allowed is '%s', expected a list such as 0-3,8\n",
			text);
	return EXIT_FAULT;
}

/* Where the plugin cannot be had, its rounding is taken to be down: the careful choice. */
static bool rounds_up(const struct workload *workload)
{
	struct plugin *plugin = NULL;
	bool up = false;

	if (workload->rounding == ROUNDING_PLUGIN &&
	    plugin_load(NULL, workload->plugin, &plugin, NULL) == 0)
		up = plugin_rounds_up(plugin);
	plugin_free(plugin);
	return up;
}

/* Quota= stands for a cgroup of the workload's own. */
static int limit_add(struct input *input, const struct workload *workload, uint32_t *ret_limit)
{
	size_t n = input->snapshot.n_limits;

	if (asprintf(&input->paths[n], "/%s", workload->name) < 0) {
		input->paths[n] = NULL;
		return -ENOMEM;
	}
	input->limits[n] = (struct limit){ .parent = LIMIT_NONE,
					   .quota_mcpu = workload->quota_mcpu,
					   .weight = 100,
					   .path = input->paths[n] };
	*ret_limit = (uint32_t)n;
	input->snapshot.n_limits++;
	return 0;
}

static int snapshot_make(struct input *input, const struct options *options)
{
	const struct conf *conf = input->conf;
	size_t n = conf->n_workloads;

	input->workloads = calloc(n + 1, sizeof(*input->workloads));
	input->limits = calloc(n + 1, sizeof(*input->limits));
	input->paths = calloc(n + 1, sizeof(*input->paths));
	if (!input->workloads || !input->limits || !input->paths)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct snapshot_workload *workload = &input->workloads[i];

		*workload = (struct snapshot_workload){ .conf = conf->workloads[i],
							.limit = LIMIT_NONE };
		workload->plugin_rounds_up = rounds_up(workload->conf);
		if (workload->conf->quota_mcpu != QUOTA_UNLIMITED_MCPU &&
		    limit_add(input, workload->conf, &workload->limit) < 0)
			return -ENOMEM;
	}
	input->snapshot.topology = input->topology;
	input->snapshot.allowed = options->allowed ? &input->allowed : NULL;
	input->snapshot.housekeeping = &conf->housekeeping;
	input->snapshot.pools = (const struct pool *const *)conf->pools;
	input->snapshot.n_pools = conf->n_pools;
	input->snapshot.workloads = input->workloads;
	input->snapshot.n_workloads = n;
	input->snapshot.limits = input->limits;
	return 0;
}

static int held_load(struct input *input, const char *path)
{
	json_error_t error;
	cleanup(json_decrefp) json_t *json = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
	struct fault fault;

	if (!json) {
		fprintf(stderr, "sidecarctl plan: --held '%s': line %d: %s\n", path, error.line,
			error.text);
		return EXIT_FAULT;
	}
	return plan_parse_held(json, &input->snapshot, &input->held, &fault) < 0 ? say(&fault) : 0;
}

/* PUs and nodes that the machine does not have are the configuration's fault. A minimum that does
 * not fit is not: the plan says so, with what would do instead. */
static int machine_check(const struct input *input, struct fault_list *faults)
{
	const struct conf *conf = input->conf;
	cleanup(freep) uint32_t *minimums = calloc(conf->n_workloads + 1, sizeof(*minimums));
	int r;

	if (!minimums)
		return -ENOMEM;
	for (size_t i = 0; i < conf->n_workloads; i++) {
		minimums[i] = conf->workloads[i]->min_pu;
		conf->workloads[i]->min_pu = 1;
	}
	r = conf_check_machine(conf, input->topology, faults);
	for (size_t i = 0; i < conf->n_workloads; i++)
		conf->workloads[i]->min_pu = minimums[i];
	return r;
}

/* 0 or the exit code. */
static int input_load(const struct options *options, struct input *input)
{
	cleanup(fault_list_done) struct fault_list faults = { 0 };
	struct fault fault;

	if (conf_load(options->conf, true, &input->conf, &faults) < 0)
		return say_all(&faults);
	if (topo_load(options->machine, &input->topology, &fault) < 0)
		return say(&fault);
	if (machine_check(input, &faults) < 0)
		return say_all(&faults);
	if (options->allowed && allowed_parse(options->allowed, input) != 0)
		return EXIT_FAULT;
	if (snapshot_make(input, options) < 0) {
		fprintf(stderr, "sidecarctl plan: no memory for a snapshot\n");
		return EXIT_FAULT;
	}
	return options->held ? held_load(input, options->held) : 0;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Ten digits: duration_us is in tenths, and 17 digits would show them as 12.300000000000001. */
#define JSON_FORMAT (JSON_INDENT(2) | JSON_REAL_PRECISION(10))

static int print(const struct plan *plan, const struct topology *topology, bool json)
{
	cleanup(json_decrefp) json_t *object = json ? plan_json(plan, topology) : NULL;
	cleanup(freep) char *text = json && object ? json_dumps(object, JSON_FORMAT) : NULL;

	if (!json)
		text = plan_table(plan, topology);
	if (!text) {
		fprintf(stderr, "sidecarctl plan: no memory to print the plan\n");
		return EXIT_FAULT;
	}
	if (printf("%s%s", text, json ? "\n" : "") < 0 || fflush(stdout) != 0)
		return EXIT_FAULT;
	for (size_t i = 0; i < plan->n_workloads; i++)
		if (!plan->workloads[i].placed)
			return EXIT_UNPLACED;
	return EXIT_DONE;
}

int verb_plan(int argc, char **argv)
{
	cleanup(input_done) struct input input = { 0 };
	cleanup(plan_freep) struct plan *plan = NULL;
	struct options options;
	struct fault fault;
	uint64_t before_ns;
	int r = options_parse(argc, argv, &options);

	if (r >= 0)
		return r;
	r = input_load(&options, &input);
	if (r != 0)
		return r;
	before_ns = now_ns();
	if (plan_make(&input.snapshot, input.held, before_ns / 1000, &plan, &fault) < 0)
		return say(&fault);
	plan->duration_us = (double)(now_ns() - before_ns) / 1000;
	return print(plan, input.topology, options.json);
}
