/* What workloads get of their plugins. Numbers never wait for it: pages, sockets and D-Bus are out
 * before a plugin is asked, and an env file stays what it was until its answer is there. */
#include "daemon_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/events.h"
#include "base/log.h"
#include "sense/topo_load.h"

/* A token is a serial number and, below it, the workload's index. */
#define TOKEN_INDEX_BITS 20
#define TOKEN_INDEX	 ((UINT64_C(1) << TOKEN_INDEX_BITS) - 1)

static struct plugin_question question_of(const struct daemon *daemon, size_t i)
{
	const struct plan_workload *placement = &daemon->edition.plan->workloads[i];
	const struct snapshot *snapshot = &daemon->snapshot;

	return (struct plugin_question){
		.placement = placement,
		.topology = daemon->topology,
		.leaf_mcpu = placement->limit < snapshot->n_limits
				     ? snapshot->limits[placement->limit].quota_mcpu
				     : QUOTA_UNLIMITED_MCPU,
	};
}

/* Moves the parts of @answer to where they are read. */
static void answer_keep(struct edition *edition, size_t i, struct plugin_answer *answer)
{
	struct strings *const kept[] = { &edition->environments[i], &edition->arguments[i],
					 &edition->appended[i], &edition->lines[i] };
	struct strings *const fresh[] = { &answer->environment, &answer->arguments,
					  &answer->appended, &answer->lines };

	for (size_t k = 0; k < N_ELEMENTS(kept); k++) {
		strings_done(kept[k]);
		*kept[k] = *fresh[k];
		*fresh[k] = (struct strings){ 0 };
	}
	edition->asks[i].made = edition->generations[i];
	plugin_answer_done(answer);
}

/* What is there without the plugin. Without memory the earlier environment stays. */
static void answer_generic(struct daemon *daemon, size_t i, const struct fault *fault)
{
	struct plugin_question question = question_of(daemon, i);
	struct plugin_answer answer = { 0 };
	char text[FAULT_TEXT_SIZE + 64];

	snprintf(text, sizeof(text), "%s, going on with plugin 'generic'", fault->text);
	event_degraded(text);
	if (plugins_generic(&question, &answer) == 0)
		answer_keep(&daemon->edition, i, &answer);
	else
		daemon->edition.asks[i].made = daemon->edition.generations[i];
}

static void on_answered(void *userdata, uint64_t token, const json_t *json,
			const struct fault *fault)
{
	struct daemon *daemon = userdata;
	struct edition *edition = &daemon->edition;
	size_t i = token & TOKEN_INDEX;
	struct plugin_answer answer = { 0 };
	struct plugin_question question;
	struct fault own;

	/* An answer to what nobody wants to know any more. */
	if (!edition_is_current(daemon) || i >= edition->plan->n_workloads ||
	    edition->asks[i].token != token)
		return;
	edition->asks[i].token = 0;
	if (edition->asks[i].asked == edition->generations[i]) {
		question = question_of(daemon, i);
		if (!json)
			answer_generic(daemon, i, fault);
		else if (plugins_take(&question, json, &answer, &own) < 0)
			answer_generic(daemon, i, &own);
		else
			answer_keep(edition, i, &answer);
	}
	edition_files_want(daemon);
}

int plugins_environment(void *userdata, size_t i)
{
	struct daemon *daemon = userdata;
	struct edition *edition = &daemon->edition;
	struct edition_ask *ask = &edition->asks[i];
	uint64_t generation = edition->generations[i], token;
	struct plugin_answer answer = { 0 };
	struct plugin_question question;
	struct fault fault;
	int r;

	if (!edition_is_current(daemon) || ask->made == generation)
		return 0;
	if (ask->token != 0 && ask->asked == generation)
		return PUBLISH_LATER;
	question = question_of(daemon, i);
	token = (++daemon->n_asked << TOKEN_INDEX_BITS & INT64_MAX) | i;
	r = plugins_ask(daemon->plugins, &question, token, &answer, &fault);
	ask->token = r == 0 ? token : 0;
	ask->asked = generation;
	if (r == 0)
		return PUBLISH_LATER;
	if (r < 0)
		answer_generic(daemon, i, &fault);
	else
		answer_keep(edition, i, &answer);
	return 0;
}

bool plugins_are_done(const struct daemon *daemon)
{
	const struct edition *edition = &daemon->edition;

	for (size_t i = 0; edition->plan && i < edition->plan->n_workloads; i++)
		if (edition->asks[i].token != 0)
			return false;
	return true;
}

/* ---- which plugins there are ---- */

void plugins_report(const struct plugins *plugins, const struct conf *conf,
		    struct fault_list *faults)
{
	size_t n_before = faults->n_texts;

	plugins_check(plugins, conf, faults);
	for (size_t i = n_before; i < faults->n_texts; i++) {
		char text[FAULT_TEXT_SIZE + 64];

		snprintf(text, sizeof(text), "%s, going on with plugin 'generic'",
			 faults->texts[i]);
		event_degraded(text);
	}
}

static void on_learned(void *userdata)
{
	daemon_learned(userdata);
}

int plugins_start(struct daemon *daemon, struct plugins **ret_plugins)
{
	cleanup(freep) char *program = helper_path("sidecard-plugin-host");
	struct plugins_options options = {
		.program = program,
		.directory = daemon->options->plugin_dir,
		.event = daemon->event,
		.userdata = daemon,
		.learned = on_learned,
		.answered = on_answered,
	};

	return program ? plugins_open(&options, ret_plugins) : -ENOMEM;
}
