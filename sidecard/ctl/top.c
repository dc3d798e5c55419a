/* sidecarctl top: what each workload makes of its parallelism, again and again. */
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
#include "ctl/table.h"

static const char help[] =
	"Usage: sidecarctl top [OPTION]...\n"
	"Shows for each workload what it used of its PUs and of its threads, how often it was\n"
	"throttled, how long threads of it waited, where its memory is and what its regulator "
	"says.\n"
	"Every figure is of the time since the last one.\n\n"
	"  --once             one picture after one interval; also where standard output is no\n"
	"                     terminal, but with --json\n"
	"  --interval SECONDS time between pictures (default: 2)\n"
	"  --runtime-dir DIR  where the daemon publishes\n"
	"  --json             an object a line for each picture\n"
	"  --help             print this\n";

struct options {
	const char *runtime_dir;
	unsigned interval_s;
	bool once, json;
};

static int options_parse(int argc, char **argv, struct options *ret_options)
{
	static const struct option options[] = {
		{ "once", no_argument, NULL, 'o' },
		{ "interval", required_argument, NULL, 'i' },
		{ "runtime-dir", required_argument, NULL, 'r' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct options found = { .runtime_dir = CLIENT_RUNTIME_DIR, .interval_s = 2 };
	int option;
	char *end;

	optind = 0; /* glibc: begin anew */
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'o':
			found.once = true;
			break;
		case 'i':
			found.interval_s = (unsigned)strtoul(optarg, &end, 10);
			if (optarg[0] < '1' || optarg[0] > '9' || *end || found.interval_s > 3600) {
				fprintf(stderr,
					"sidecarctl top: --interval is '%s', expected seconds up "
					"to 3600\n",
					optarg);
				return EXIT_FAULT;
			}
			break;
		case 'r':
			found.runtime_dir = optarg;
			break;
		case 'j':
			found.json = true;
			break;
		case 'h':
			fputs(help, stdout);
			return EXIT_DONE;
		default:
			fprintf(stderr, "Try 'sidecarctl top --help'.\n");
			return EXIT_FAULT;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "sidecarctl top: '%s' is no option. Try 'sidecarctl top --help'.\n",
			argv[optind]);
		return EXIT_FAULT;
	}
	*ret_options = found;
	return -1;
}

/* ---- figures ---- */

static double number_of(const json_t *json, const char *key)
{
	return (double)json_integer_value(json_object_get(json, key));
}

/* 0 where it went back: the workload was started anew. */
static double grown(const json_t *now, const json_t *before, const char *key)
{
	double difference = number_of(now, key) - number_of(before, key);

	return difference > 0 ? difference : 0;
}

static double share_of(double part, double whole)
{
	return whole > 0 ? part / whole : 0;
}

/* What happened to one workload between two measurements. */
static json_t *figures(const json_t *now, const json_t *before)
{
	double span_us = grown(now, before, "time_us"), used = grown(now, before, "usage_us");
	double near = number_of(now, "near_bytes"), remote = number_of(now, "remote_bytes");
	double slots = number_of(now, "parallelism");

	return json_pack(
		"{s:O, s:O, s:O, s:O, s:f, s:f, s:f, s:f, s:f, s:f, s:O}", "name",
		json_object_get(now, "name"), "runs", json_object_get(now, "runs"), "n_pu",
		json_object_get(now, "n_pu"), "parallelism", json_object_get(now, "parallelism"),
		"used_pu", share_of(used, span_us), "utilisation", share_of(used, span_us * slots),
		"throttled",
		share_of(grown(now, before, "n_throttled"), grown(now, before, "n_periods")),
		"pressure", share_of(grown(now, before, "pressure_us"), span_us), "blocked",
		share_of(grown(now, before, "blocked_us"), span_us), "remote",
		share_of(remote, near + remote), "regulator", json_object_get(now, "regulator"));
}

static const json_t *find(const json_t *workloads, const char *name)
{
	const json_t *workload;
	size_t i;

	json_array_foreach (workloads, i, workload) {
		const char *other = json_string_value(json_object_get(workload, "name"));

		if (other && name && strcmp(other, name) == 0)
			return workload;
	}
	return NULL;
}

/* Workloads that are in both. */
static json_t *picture(const json_t *now, const json_t *before)
{
	json_t *workloads = json_array();
	const json_t *workload;
	size_t i;

	json_array_foreach (now, i, workload) {
		const json_t *old = find(before,
					 json_string_value(json_object_get(workload, "name")));

		if (old)
			json_array_append_new(workloads, figures(workload, old));
	}
	return json_pack("{s:o}", "workloads", workloads);
}

/* ---- asking ---- */

static int measure(struct client *client, json_t **ret_workloads, struct fault *fault)
{
	json_t *workloads = json_array();
	cleanup(freep) char *after = NULL;

	for (;;) {
		cleanup(json_decrefp) json_t *reply = NULL;
		const char *next;
		int r = client_call(client, "io.sidecard.Measure",
				    after ? json_pack("{s:s}", "after", after) : NULL, &reply,
				    fault);

		if (r < 0) {
			json_decref(workloads);
			return r;
		}
		json_array_extend(workloads, json_object_get(reply, "workloads"));
		next = json_string_value(json_object_get(reply, "next"));
		if (!next)
			break;
		free(after);
		after = strdup(next);
	}
	*ret_workloads = workloads;
	return 0;
}

/* ---- showing ---- */

static double real_of(const json_t *json, const char *key)
{
	return json_number_value(json_object_get(json, key));
}

static void line_print(const json_t *figures)
{
	const json_t *regulator = json_object_get(figures, "regulator");
	const char *stage = json_string_value(json_object_get(regulator, "stage"));
	const char *breaker = json_string_value(json_object_get(regulator, "breaker"));
	const char *reason = json_string_value(json_object_get(regulator, "reason"));
	json_int_t n_lendable = json_integer_value(json_object_get(regulator, "n_lendable"));
	char name[64];

	printf("%-24.24s %4" JSON_INTEGER_FORMAT " %4" JSON_INTEGER_FORMAT,
	       table_text(figures, "name", name, sizeof(name)),
	       json_integer_value(json_object_get(figures, "n_pu")),
	       json_integer_value(json_object_get(figures, "parallelism")));
	if (!json_is_true(json_object_get(figures, "runs"))) {
		printf("  does not run\n");
		return;
	}
	printf(" %7.2f %5.0f%% %5.0f%% %5.1f%% %5.1f%% %5.0f%%  %s", real_of(figures, "used_pu"),
	       100 * real_of(figures, "utilisation"), 100 * real_of(figures, "throttled"),
	       100 * real_of(figures, "pressure"), 100 * real_of(figures, "blocked"),
	       100 * real_of(figures, "remote"), stage ? stage : "-");
	if (breaker && strcmp(breaker, "closed") != 0)
		printf(", breaker %s", breaker);
	if (n_lendable > 0)
		printf(", %" JSON_INTEGER_FORMAT " PUs to lend", n_lendable);
	printf("%s%s\n", reason ? "; " : "", reason ? reason : "");
}

static void table_of(const json_t *picture)
{
	const json_t *figures;
	size_t i;

	printf("%-24s %4s %4s %7s %6s %6s %6s %6s %6s  %s\n", "WORKLOAD", "PUS", "PAR", "USED",
	       "UTIL", "THROT", "WAIT", "BLOCK", "REMOTE", "REGULATOR");
	json_array_foreach (json_object_get(picture, "workloads"), i, figures)
		line_print(figures);
	printf("\nUSED: PUs. UTIL: of the threads in PAR. THROT: of the quota's periods. WAIT, "
	       "BLOCK: time in\nwhich a thread waited for a PU, for storage. Run queues and "
	       "foreign time need eBPF, which\nthis build does without.\n");
}

/* True where it was interrupted. */
static bool wait_for(unsigned seconds)
{
	const struct timespec span = { .tv_sec = seconds };
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	return sigtimedwait(&signals, NULL, &span) > 0;
}

static int top(const struct options *options, struct client *client, struct fault *fault)
{
	bool is_live = !options->once && !options->json && isatty(STDOUT_FILENO);
	cleanup(json_decrefp) json_t *before = NULL;
	int r = measure(client, &before, fault);

	while (r == 0 && !wait_for(options->interval_s)) {
		cleanup(json_decrefp) json_t *shown = NULL;
		json_t *now = NULL;

		r = measure(client, &now, fault);
		if (r < 0)
			break;
		shown = picture(now, before);
		json_decref(before);
		before = now;
		if (is_live)
			fputs("\033[H\033[2J", stdout); /* home, clear: ECMA-48 */
		if (options->json)
			json_dumpf(shown, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6)),
				putchar('\n');
		else
			table_of(shown);
		if (fflush(stdout) != 0)
			return fault_set(fault, -errno, "cannot write: %s", strerror(errno));
		if (options->once || (!is_live && !options->json))
			break;
	}
	return r;
}

int verb_top(int argc, char **argv)
{
	cleanup(client_done) struct client client = { .fd = -1 };
	struct options options;
	struct fault fault;
	int r = options_parse(argc, argv, &options);

	if (r >= 0)
		return r;
	r = client_open(options.runtime_dir, &client, &fault);
	if (r == 0)
		r = top(&options, &client, &fault);
	if (r < 0)
		fprintf(stderr, "sidecarctl: %s\n", fault.text);
	return r < 0 ? EXIT_FAULT : EXIT_DONE;
}
