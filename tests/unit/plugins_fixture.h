/* Asks a plugin of the build tree one question, as the daemon would, and puts all that it answers
 * into one text. For the tables, the traps and the fuzzer of the plugins. */
#pragma once

#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "edge/plugin_check.h"
#include "edge/plugin_request.h"

#define CASE_SETTINGS_MAX 8u

struct plugin_case {
	uint32_t quota_mcpu; /* QUOTA_UNLIMITED_MCPU; 0 stands for it too */
	uint32_t n_pu, n_node;
	uint64_t memory_bytes;	 /* 0: no limit */
	const char *settings;	 /* "key=value\nkey=value"; NULL: none */
	const char *environment; /* likewise */
	bool steer;
	uint32_t leaf_mcpu; /* of the quota, what its own cgroup has; 0: nothing, an ancestor has it
			     */
};

/* @which: a name, or a path "/x/NAME.so". NULL where it cannot be had, which is said on stderr. */
static inline const struct sidecard_plugin *plugin_open(const char *which)
{
	const char *base = strrchr(which, '/') ? strrchr(which, '/') + 1 : which;
	const struct sidecard_plugin *table;
	struct fault fault;
	char path[512], name[64];
	void *handle;

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(base, "."), base);
	if (base != which)
		snprintf(path, sizeof(path), "%s", which);
	else
		snprintf(path, sizeof(path), "%s/%s.so", PLUGINS_DIR, name);
	handle = dlopen(path, RTLD_NOW | RTLD_LOCAL); /* stays open until the end */
	if (!handle) {
		fprintf(stderr, "%s\n", dlerror());
		return NULL;
	}
	table = dlsym(handle, "sidecard_plugin");
	if (!table || plugin_table_check(table, sizeof(*table), name, &fault) < 0) {
		fprintf(stderr, "%s\n", table ? fault.text : "no symbol");
		return NULL;
	}
	return table;
}

/* Cores of two PUs (the last one of an odd machine has one), whose numbers are half the machine
 * apart as Linux numbers siblings; cores of one PU where each node could not have a core else.
 * Cores are dealt to nodes in order, as evenly as they can be. The placement has all of it. */
static inline struct topology *case_topology(const struct plugin_case *row)
{
	struct topology *topology = calloc(1, sizeof(*topology));
	uint32_t n_sibling = row->n_pu / 2 >= row->n_node ? 2 : 1;
	uint32_t n_core = (row->n_pu + n_sibling - 1) / n_sibling;
	struct fault fault = { 0 };

	assert(topology);
	topology->n_pu = row->n_pu;
	topology->n_node = row->n_node;
	topology->pus = calloc(row->n_pu, sizeof(*topology->pus));
	topology->nodes = calloc(row->n_node, sizeof(*topology->nodes));
	topology->distances = calloc((size_t)row->n_node * row->n_node, sizeof(uint32_t));
	assert(topology->pus && topology->nodes && topology->distances);
	for (uint32_t i = 0; i < row->n_pu; i++) {
		uint32_t core = i / n_sibling;
		uint32_t node = core * row->n_node / n_core;

		topology->pus[i] = (struct topo_pu){ .pu_os = core + i % n_sibling * n_core,
						     .core = core,
						     .l2 = core,
						     .l3 = node,
						     .die = node,
						     .package = node,
						     .node = node };
	}
	for (uint32_t i = 0; i < row->n_node; i++) {
		topology->nodes[i] = (struct topo_node){ .node_os = i, .package = i };
		for (uint32_t k = 0; k < row->n_node; k++)
			topology->distances[i * row->n_node + k] = i == k ? 10 : 20;
	}
	if (topology_finish(topology, &fault) < 0) {
		fprintf(stderr, "%s\n", fault.text);
		abort();
	}
	return topology;
}

static inline struct workload *case_workload(const struct plugin_case *row)
{
	struct workload *workload = workload_new("proxy");
	cleanup(freep) char *copy = strdup(row->settings ? row->settings : "");
	cleanup(freep) char *variables = strdup(row->environment ? row->environment : "");
	char *at = copy, *line;

	assert(workload && copy && variables);
	workload->settings = calloc(CASE_SETTINGS_MAX, sizeof(*workload->settings));
	workload->publish_mode = row->steer ? PUBLISH_STEER : PUBLISH_FIXED;
	while ((line = strsep(&at, "\n")) && workload->n_settings < CASE_SETTINGS_MAX) {
		size_t n_key = strcspn(line, "=");

		if (line[n_key] == '=')
			workload->settings[workload->n_settings++] = (struct setting){
				strndup(line, n_key), strdup(line + n_key + 1), 7
			};
	}
	at = variables;
	while ((line = strsep(&at, "\n")))
		if (strchr(line, '=') && strings_add(&workload->environment, line) < 0)
			abort();
	return workload;
}

/* Whole PUs of the quota, within the PUs: what the planner advises where nothing is shared. */
static inline uint32_t case_parallelism(const struct plugin_case *row, bool up)
{
	uint64_t quota = row->quota_mcpu ? row->quota_mcpu : QUOTA_UNLIMITED_MCPU;
	uint64_t n = (quota + (up ? 999 : 0)) / 1000;

	n = quota == QUOTA_UNLIMITED_MCPU || n > row->n_pu ? row->n_pu : n;
	return n > 0 ? (uint32_t)n : 1;
}

static inline int case_variable(void *userdata, const char *name, const char *value)
{
	return plugin_proposals_add(userdata, PROPOSAL_VARIABLE, name, value);
}

static inline int case_append(void *userdata, const char *name, const char *value)
{
	return plugin_proposals_add(userdata, PROPOSAL_APPEND, name, value);
}

static inline int case_argument(void *userdata, const char *argument)
{
	return plugin_proposals_add(userdata, PROPOSAL_ARGUMENT, NULL, argument);
}

static inline int case_line(void *userdata, const char *line)
{
	return plugin_proposals_add(userdata, PROPOSAL_LINE, NULL, line);
}

static inline int case_propose(const struct sidecard_plugin *plugin,
			       const struct sidecard_request *request,
			       struct plugin_proposals *proposals)
{
	const struct sidecard_sink sink = {
		.size = sizeof(sink),
		.userdata = proposals,
		.variable = case_variable,
		.append = case_append,
		.argument = case_argument,
		.line = case_line,
	};
	int r = 0;

	if (plugin->environment)
		r = plugin->environment(request, &sink);
	if (r == 0 && plugin->arguments)
		r = plugin->arguments(request, &sink);
	if (r == 0 && plugin->fragment)
		r = plugin->fragment(request, &sink);
	return r;
}

/* 0 with an answer, or what refused it, with the sentence in @fault. */
static inline int case_ask(const struct sidecard_plugin *plugin, const struct plugin_case *row,
			   struct plugin_answer *ret_answer, struct fault *fault)
{
	cleanup(topology_freep) struct topology *topology = case_topology(row);
	cleanup(workload_freep) struct workload *workload = case_workload(row);
	struct plan_workload placement = {
		.conf = workload,
		.placed = true,
		.n_pu = row->n_pu,
		.n_core = topology->n_core,
		.quota_mcpu = row->quota_mcpu ? row->quota_mcpu : QUOTA_UNLIMITED_MCPU,
		.share_mcpu = row->quota_mcpu ? row->quota_mcpu : QUOTA_UNLIMITED_MCPU,
		.parallelism = { case_parallelism(row, false), case_parallelism(row, true),
				 case_parallelism(row, plugin->rounding == SIDECARD_ROUND_UP) },
		.cpus = topology->cpus,
		.nodes = topology->mems,
		.mems = topology->mems,
	};
	struct plugin_question question = { &placement, topology, NULL, row->leaf_mcpu };
	cleanup(plugin_request_done) struct plugin_request request = { 0 };
	cleanup(plugin_proposals_done) struct plugin_proposals proposals = { .plugin = plugin->name,
									     .workload = "proxy",
									     .fault = fault };
	int r = plugin_request_make(plugin, &question, &request, fault);

	if (r < 0)
		return r;
	if (row->memory_bytes)
		request.placement.memory_limit_bytes = row->memory_bytes;
	r = case_propose(plugin, &request.request, &proposals);
	if (proposals.error < 0)
		return proposals.error;
	if (r < 0)
		return fault_set(fault, r, "the plugin failed: %d", r);
	return plugin_answer_make(&proposals, &workload->environment, ret_answer);
}

static inline void case_print(FILE *file, const char *kind, const struct strings *strings,
			      bool *first)
{
	for (size_t i = 0; i < strings->n_items; i++) {
		fprintf(file, "%s%s%s", *first ? "" : " | ", kind, strings->items[i]);
		*first = false;
	}
}

/* "A=1 | B=2 | arg -t | line threads 4", "nothing", or "refused: sentence". malloc'ed. */
static inline char *case_answer(const struct sidecard_plugin *plugin, const struct plugin_case *row)
{
	cleanup(plugin_answer_done) struct plugin_answer answer = { 0 };
	struct fault fault = { 0 };
	char *text = NULL;
	size_t n_text = 0;
	FILE *file = open_memstream(&text, &n_text);
	bool first = true;

	assert(file);
	if (case_ask(plugin, row, &answer, &fault) < 0) {
		fprintf(file, "refused: %s", fault.text);
		first = false;
	}
	case_print(file, "", &answer.environment, &first);
	case_print(file, "arg ", &answer.arguments, &first);
	case_print(file, "line ", &answer.lines, &first);
	if (first)
		fprintf(file, "nothing");
	fclose(file);
	return text;
}
