#include "edge/plugins.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "edge/conf_internal.h"
#include "edge/plugin_host.h"
#include "edge/plugin_wire.h"

/* Tokens of our own have the highest bit, and then an index into @known; those of others have not.
 */
#define TOKEN_DESCRIBE (UINT64_C(1) << 63)
#define TOKEN_NOW      UINT64_MAX

#define GENERIC "generic"

static const struct sidecard_live generic_lives[] = {
	{ .what = "the number of threads",
	  .change = SIDECARD_CHANGE_LIVE,
	  .way = SIDECARD_WAY_ASK,
	  .interval_us = 100000 },
};

static const struct sidecard_steer generic_steer = {
	.size = sizeof(generic_steer),
	.rounding = SIDECARD_ROUND_DOWN,
	.quota_least = 1,
	.reads_quota = 1,
	.reads_affinity = 1,
};

/* As plugins/generic.c. */
static const struct sidecard_plugin generic = {
	.api_version = SIDECARD_PLUGIN_API_VERSION,
	.size = sizeof(generic),
	.name = GENERIC,
	.version = "built in",
	.runtime = "any program",
	.rounding = SIDECARD_ROUND_DOWN,
	.modes = SIDECARD_MODE_FIXED | SIDECARD_MODE_STEER,
	.overcommit_permille = 1000,
	.lives = SIDECARD_TABLE(generic_lives),
	.steer = &generic_steer,
};

/* One plugin, as far as it is known. */
struct known {
	char *name;
	struct plugin_copy *copy; /* NULL: being asked, or @fault says why it cannot be had */
	struct fault fault;
};

struct plugins {
	struct plugins_options options;
	struct plugin_host *host;
	struct known *known;
	size_t n_known;
	size_t n_unknown; /* of them, those that are still asked */

	json_t *now; /* the answer that plugins_ask_now() waits for */
	struct fault now_fault;
};

static void described(struct plugins *plugins, uint64_t token, const json_t *answer,
		      const struct fault *fault)
{
	struct known *known = &plugins->known[token & ~TOKEN_DESCRIBE];

	if (answer)
		wire_table_parse(answer, known->name, &known->copy, &known->fault);
	else
		known->fault = *fault;
	if (--plugins->n_unknown == 0 && plugins->options.event && plugins->options.learned)
		plugins->options.learned(plugins->options.userdata);
}

static void on_answered(void *userdata, uint64_t token, const json_t *answer,
			const struct fault *fault)
{
	struct plugins *plugins = userdata;

	if (token != TOKEN_NOW && (token & TOKEN_DESCRIBE)) {
		described(plugins, token, answer, fault);
		return;
	}
	if (token != TOKEN_NOW) {
		plugins->options.answered(plugins->options.userdata, token, answer, fault);
		return;
	}
	plugins->now = json_incref((json_t *)answer);
	if (fault)
		plugins->now_fault = *fault;
}

int plugins_open(const struct plugins_options *options, struct plugins **ret_plugins)
{
	cleanup(plugins_freep) struct plugins *plugins = calloc(1, sizeof(*plugins));
	struct plugin_host_options host = {
		.program = options->program,
		.directory = options->directory,
		.event = options->event,
		.deadline_ms = options->deadline_ms,
		.userdata = plugins,
		.answered = on_answered,
	};
	int r;

	if (!plugins)
		return -ENOMEM;
	plugins->options = *options;
	r = plugin_host_open(&host, &plugins->host);
	if (r < 0)
		return r;
	*ret_plugins = TAKE_PTR(plugins);
	return 0;
}

struct plugins *plugins_free(struct plugins *plugins)
{
	if (!plugins)
		return NULL;
	plugin_host_free(plugins->host);
	for (size_t i = 0; i < plugins->n_known; i++) {
		plugin_copy_free(plugins->known[i].copy);
		free(plugins->known[i].name);
	}
	free(plugins->known);
	json_decref(plugins->now);
	free(plugins);
	return NULL;
}

void plugins_freep(struct plugins **plugins)
{
	plugins_free(*plugins);
}

/* ---- what they say of themselves ---- */

static const struct known *known_find(const struct plugins *plugins, const char *name)
{
	for (size_t i = 0; i < plugins->n_known; i++)
		if (strcmp(plugins->known[i].name, name) == 0)
			return &plugins->known[i];
	return NULL;
}

static int learn_one(struct plugins *plugins, const char *name)
{
	struct known *known;
	char *copy;
	int r;

	if (strcmp(name, GENERIC) == 0 || known_find(plugins, name))
		return 0;
	known = realloc(plugins->known, (plugins->n_known + 1) * sizeof(*known));
	if (!known)
		return -ENOMEM;
	plugins->known = known;
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	known[plugins->n_known] = (struct known){ .name = copy };
	r = plugin_host_ask(plugins->host, TOKEN_DESCRIBE | plugins->n_known, name,
			    wire_describe(name));
	if (r < 0) {
		free(copy);
		return r;
	}
	plugins->n_known++;
	plugins->n_unknown++;
	return 0;
}

int plugins_learn(struct plugins *plugins, const struct conf *conf)
{
	for (size_t i = 0; i < conf->n_workloads; i++) {
		int r = learn_one(plugins, conf->workloads[i]->plugin);

		if (r < 0)
			return r;
	}
	if (!plugins->options.event)
		plugins_wait(plugins);
	return (int)plugins->n_unknown;
}

void plugins_wait(struct plugins *plugins)
{
	plugin_host_wait(plugins->host);
}

static bool settings_fit(const struct sidecard_plugin *table, const struct workload *workload)
{
	cleanup(freep) struct sidecard_setting *settings = NULL;

	return plugin_settings_make(table, workload, &settings, NULL) == 0;
}

const struct sidecard_plugin *plugins_table(const struct plugins *plugins,
					    const struct workload *workload)
{
	const struct known *known = known_find(plugins, workload->plugin);
	const struct sidecard_plugin *table = known && known->copy ? plugin_copy_table(known->copy)
								   : NULL;

	return table && settings_fit(table, workload) ? table : &generic;
}

bool plugins_rounds_up(const struct plugins *plugins, const struct workload *workload)
{
	return plugins_table(plugins, workload)->rounding == SIDECARD_ROUND_UP;
}

static void report(const struct conf *conf, size_t index, const char *text,
		   struct fault_list *faults)
{
	struct conf_at at;
	cleanup(freep) char *place = NULL;

	conf_mark_find(conf, CONF_WORKLOAD, (uint32_t)index, "Plugin", 0, &at);
	place = conf_at_format(&at);
	if (place)
		fault_list_add(faults, "%s: %s", place, text);
	else
		faults->n_lost++;
}

int plugins_check(const struct plugins *plugins, const struct conf *conf, struct fault_list *faults)
{
	int r = 0, q;

	for (size_t i = 0; i < conf->n_workloads; i++) {
		const struct workload *workload = conf->workloads[i];
		const struct known *known = known_find(plugins, workload->plugin);
		cleanup(freep) struct sidecard_setting *settings = NULL;

		if (known && !known->copy) {
			report(conf, i,
			       known->fault.text[0] ? known->fault.text : "is not known yet",
			       faults);
			r = r < 0 ? r : -EINVAL;
			continue;
		}
		q = plugin_settings_make(known ? plugin_copy_table(known->copy) : &generic,
					 workload, &settings, faults);
		r = q < 0 && r != -ENOMEM ? q : r;
	}
	return r;
}

/* ---- what they propose ---- */

static const struct strings *base_of(const struct plugin_question *question)
{
	return question->environment ? question->environment
				     : &question->placement->conf->environment;
}

int plugins_generic(const struct plugin_question *question, struct plugin_answer *ret_answer)
{
	struct plugin_proposals none = { .plugin = GENERIC,
					 .workload = question->placement->conf->name };

	return plugin_answer_make(&none, base_of(question), ret_answer);
}

int plugins_ask(struct plugins *plugins, const struct plugin_question *question, uint64_t token,
		struct plugin_answer *ret_answer, struct fault *fault)
{
	const struct workload *workload = question->placement->conf;
	const struct sidecard_plugin *table = plugins_table(plugins, workload);
	cleanup(plugin_request_done) struct plugin_request request = { 0 };
	int r;

	if (table == &generic || !question->placement->placed) {
		r = plugins_generic(question, ret_answer);
		return r < 0 ? fault_set(fault, r, "no memory for the environment of '%s'",
					 workload->name)
			     : 1;
	}
	r = plugin_request_make(table, question, &request, fault);
	if (r < 0)
		return r;
	r = plugin_host_ask(plugins->host, token, table->name,
			    wire_propose(table->name, &request.request));
	return r < 0 ? fault_set(fault, r, "no memory to ask plugin '%s'", table->name) : 0;
}

int plugins_take(const struct plugin_question *question, const json_t *answer,
		 struct plugin_answer *ret_answer, struct fault *fault)
{
	cleanup(plugin_proposals_done) struct plugin_proposals proposals = {
		.plugin = question->placement->conf->plugin,
		.workload = question->placement->conf->name,
		.fault = fault,
	};
	int r = wire_proposals_parse(answer, &proposals);

	return r < 0 ? r : plugin_answer_make(&proposals, base_of(question), ret_answer);
}

int plugins_ask_now(struct plugins *plugins, const struct plugin_question *question,
		    struct plugin_answer *ret_answer, struct fault *fault)
{
	int r = plugins_ask(plugins, question, TOKEN_NOW, ret_answer, fault);

	if (r == 1)
		return 0;
	if (r == 0) {
		plugin_host_wait(plugins->host);
		if (plugins->now)
			r = plugins_take(question, plugins->now, ret_answer, fault);
		else
			r = fault_set(fault, plugins->now_fault.error, "%s",
				      plugins->now_fault.text);
		json_decref(plugins->now);
		plugins->now = NULL;
	}
	if (r < 0)
		plugins_generic(question, ret_answer);
	return r;
}
