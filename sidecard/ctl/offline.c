#include "ctl/offline.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "ctl/ctl.h"
#include "plan/plan_text.h"
#include "sense/topo_load.h"

void offline_done(struct offline *offline)
{
	plugins_free(offline->plugins);
	topology_free(offline->topology);
	cpuset_done(&offline->allowed);
	for (size_t i = 0; i < offline->snapshot.n_limits; i++)
		free(offline->paths[i]);
	free(offline->paths);
	free(offline->workloads);
	free(offline->limits);
	plan_free(offline->held);
	conf_free(offline->conf); /* last: the held plan borrows from it */
}

int offline_say(const struct offline_options *options, const struct fault *fault)
{
	fprintf(stderr, "sidecarctl %s: %s\n", options->verb, fault->text);
	return EXIT_FAULT;
}

static int say_all(const struct offline_options *options, const struct fault_list *faults)
{
	for (size_t i = 0; i < faults->n_texts; i++)
		fprintf(stderr, "%s\n", faults->texts[i]);
	if (faults->n_lost > 0)
		fprintf(stderr, "and %zu more\n", faults->n_lost);
	if (faults->n_texts == 0)
		fprintf(stderr, "sidecarctl %s: no memory for the configuration\n", options->verb);
	return EXIT_FAULT;
}

static int allowed_parse(const struct offline_options *options, struct offline *offline)
{
	int r = cpuset_parse(options->allowed, &offline->allowed);

	if (r == 0)
		cpuset_intersect(&offline->allowed, &offline->topology->cpus);
	if (r == 0 && !cpuset_is_empty(&offline->allowed))
		return 0;
	if (r == 0)
		fprintf(stderr,
			"sidecarctl %s: --allowed is '%s', the machine has none of these PUs\n",
			options->verb, options->allowed);
	else
		fprintf(stderr, "sidecarctl %s: --allowed is '%s', expected a list such as 0-3,8\n",
			options->verb, options->allowed);
	return EXIT_FAULT;
}

static int limit_add(struct offline *offline, uint32_t parent, uint32_t quota_mcpu,
		     const char *name)
{
	size_t n = offline->snapshot.n_limits;

	if (asprintf(&offline->paths[n], "/%s", name) < 0) {
		offline->paths[n] = NULL;
		return -ENOMEM;
	}
	offline->limits[n] = (struct limit){
		.parent = parent, .quota_mcpu = quota_mcpu, .weight = 100, .path = offline->paths[n]
	};
	offline->snapshot.n_limits++;
	return 0;
}

/* --quota is that of a cgroup that holds everybody; Quota= stands for a cgroup of the workload's
 * own, below it. */
static int limits_make(struct offline *offline, const struct offline_options *options)
{
	const struct conf *conf = offline->conf;
	uint32_t all = LIMIT_NONE;

	if (options->quota_mcpu != QUOTA_UNLIMITED_MCPU) {
		all = 0;
		if (limit_add(offline, LIMIT_NONE, options->quota_mcpu, "") < 0)
			return -ENOMEM;
	}
	for (size_t i = 0; i < conf->n_workloads; i++) {
		const struct workload *workload = conf->workloads[i];

		offline->workloads[i].limit = all;
		if (workload->quota_mcpu == QUOTA_UNLIMITED_MCPU)
			continue;
		offline->workloads[i].limit = (uint32_t)offline->snapshot.n_limits;
		if (limit_add(offline, all, workload->quota_mcpu, workload->name) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int snapshot_make(struct offline *offline, const struct offline_options *options)
{
	const struct conf *conf = offline->conf;
	size_t n = conf->n_workloads;

	offline->workloads = calloc(n + 1, sizeof(*offline->workloads));
	offline->limits = calloc(n + 2, sizeof(*offline->limits));
	offline->paths = calloc(n + 2, sizeof(*offline->paths));
	if (!offline->workloads || !offline->limits || !offline->paths)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct snapshot_workload *workload = &offline->workloads[i];

		*workload = (struct snapshot_workload){ .conf = conf->workloads[i],
							.limit = LIMIT_NONE };
		workload->plugin_rounds_up = plugins_rounds_up(offline->plugins, workload->conf);
	}
	if (limits_make(offline, options) < 0)
		return -ENOMEM;
	offline->snapshot.topology = offline->topology;
	offline->snapshot.allowed = options->allowed ? &offline->allowed : NULL;
	offline->snapshot.housekeeping = &conf->housekeeping;
	offline->snapshot.pools = (const struct pool *const *)conf->pools;
	offline->snapshot.n_pools = conf->n_pools;
	offline->snapshot.deadline_us = conf->deadline_us;
	offline->snapshot.workloads = offline->workloads;
	offline->snapshot.n_workloads = n;
	offline->snapshot.limits = offline->limits;
	return 0;
}

int offline_option(int option, const char *value, struct offline_options *options)
{
	switch (option) {
	case OFFLINE_MACHINE:
		options->machine = value;
		break;
	case OFFLINE_CONF:
		options->conf = value;
		break;
	case OFFLINE_ALLOWED:
		options->allowed = value;
		break;
	case OFFLINE_PLUGIN_DIR:
		options->plugin_dir = value;
		break;
	case OFFLINE_QUOTA:
		if (quota_parse_pu(value, &options->quota_mcpu) == 0)
			break;
		fprintf(stderr,
			"sidecarctl %s: --quota is '%s', expected a number of PUs such as 2.5, or "
			"250%%\n",
			options->verb, value);
		return EXIT_FAULT;
	default:
		return 0;
	}
	return 1;
}

static int held_load(const struct offline_options *options, struct offline *offline)
{
	json_error_t error;
	cleanup(json_decrefp)
		json_t *json = json_load_file(options->held, JSON_REJECT_DUPLICATES, &error);
	struct fault fault;

	if (!json) {
		fprintf(stderr, "sidecarctl %s: --held '%s': line %d: %s\n", options->verb,
			options->held, error.line, error.text);
		return EXIT_FAULT;
	}
	if (plan_parse_held(json, &offline->snapshot, &offline->held, &fault) < 0)
		return offline_say(options, &fault);
	return 0;
}

int offline_plugins(const char *plugin_dir, const struct conf *conf, struct plugins **ret_plugins)
{
	cleanup(freep) char *program = helper_path("sidecard-plugin-host");
	const struct plugins_options options = { .program = program, .directory = plugin_dir };
	cleanup(plugins_freep) struct plugins *plugins = NULL;
	int r = program ? plugins_open(&options, &plugins) : -ENOMEM;

	if (r == 0)
		r = plugins_learn(plugins, conf);
	if (r < 0)
		return r;
	*ret_plugins = TAKE_PTR(plugins);
	return 0;
}

/* What is wrong with plugins costs their workloads the runtime's own words, not the plan. */
static int plugins_load(const struct offline_options *options, struct offline *offline)
{
	cleanup(fault_list_done) struct fault_list faults = { 0 };

	if (offline_plugins(options->plugin_dir, offline->conf, &offline->plugins) < 0) {
		fprintf(stderr, "sidecarctl %s: no memory for plugins\n", options->verb);
		return EXIT_FAULT;
	}
	plugins_check(offline->plugins, offline->conf, &faults);
	for (size_t i = 0; i < faults.n_texts; i++)
		fprintf(stderr, "%s, going on with plugin 'generic'\n", faults.texts[i]);
	return 0;
}

int offline_load(const struct offline_options *options, struct offline *offline)
{
	cleanup(fault_list_done) struct fault_list faults = { 0 };
	struct fault fault;

	if (conf_load(options->conf, true, &offline->conf, &faults) < 0)
		return say_all(options, &faults);
	if (topo_load(options->machine, &offline->topology, &fault) < 0)
		return offline_say(options, &fault);
	if (conf_check_machine(offline->conf, offline->topology, &faults) < 0)
		return say_all(options, &faults);
	if (plugins_load(options, offline) != 0)
		return EXIT_FAULT;
	if (options->allowed && allowed_parse(options, offline) != 0)
		return EXIT_FAULT;
	if (snapshot_make(offline, options) < 0) {
		fprintf(stderr, "sidecarctl %s: no memory for a snapshot\n", options->verb);
		return EXIT_FAULT;
	}
	return options->held ? held_load(options, offline) : 0;
}

int offline_environment(const struct offline *offline, const struct offline_options *options,
			const struct plan_workload *workload, struct strings *ret_environment)
{
	const struct plugin_question question = { workload, offline->topology, NULL };
	cleanup(plugin_answer_done) struct plugin_answer answer = { 0 };
	struct fault fault;

	if (plugins_ask_now(offline->plugins, &question, &answer, &fault) < 0) {
		fprintf(stderr, "sidecarctl %s: %s, going on with plugin 'generic'\n",
			options->verb, fault.text);
		if (fault.error == -ENOMEM)
			return EXIT_FAULT;
	}
	*ret_environment = answer.environment;
	answer.environment = (struct strings){ 0 };
	return 0;
}
