/* All that others need of plugins: what each one says of itself, whether a configuration fits it,
 * and what it proposes for a placement. Code of plugins runs in a host process (plugin_host.h); a
 * plugin that is missing, refused, slow, dead or lying costs its workload the runtime's own words
 * and nothing else: it then is as with the plugin `generic`, which is built in and needs no host.
 */
#pragma once

#include <jansson.h>
#include <systemd/sd-event.h>

#include "edge/conf.h"
#include "edge/plugin_check.h"
#include "edge/plugin_request.h"

struct plugins;

struct plugins_options {
	const char *program;   /* sidecard-plugin-host */
	const char *directory; /* NULL: the one it was built for */
	sd_event *event;       /* NULL: for tools, which use the functions that block */
	unsigned deadline_ms;  /* for one answer; 0: PLUGIN_DEADLINE_MS */
	void *userdata;
	/* What plugins_learn() asked for is known. May be NULL. */
	void (*learned)(void *userdata);
	/* To plugins_ask(): for plugins_take(). @answer NULL: there is none, @fault says why. */
	void (*answered)(void *userdata, uint64_t token, const json_t *answer,
			 const struct fault *fault);
};

/* 0 or -ENOMEM. Starts nothing yet. */
int plugins_open(const struct plugins_options *options, struct plugins **ret_plugins);
struct plugins *plugins_free(struct plugins *plugins);
void plugins_freep(struct plugins **plugins);

/* Asks for what every plugin that @conf names says of itself, unless it is known. How many are
 * still asked: 0 where all is known already, else learned() is called later; or -ENOMEM. Without an
 * event it blocks until all is known. */
int plugins_learn(struct plugins *plugins, const struct conf *conf);
/* Blocks until every question is answered: bounded by the deadline for each. */
void plugins_wait(struct plugins *plugins);

/* The table of the workload's plugin; generic's where that cannot be had or the workload's settings
 * do not fit it. Its functions are not there to be called. */
const struct sidecard_plugin *plugins_table(const struct plugins *plugins,
					    const struct workload *workload);
/* The same as a fact for plans: ceil (true) or floor of a fraction? */
bool plugins_rounds_up(const struct plugins *plugins, const struct workload *workload);

/* Every plugin that cannot be had, every [Plugin] line and Mode= that its plugin does not take:
 * "file:line: [section] key: text". 0, -EINVAL or -ENOMEM. Learn first. */
int plugins_check(const struct plugins *plugins, const struct conf *conf,
		  struct fault_list *faults);

/* 1: @ret_answer is all there is (generic). 0: answered() is called later with @token, below
 * 2^63. -EINVAL or -ENOMEM. */
int plugins_ask(struct plugins *plugins, const struct plugin_question *question, uint64_t token,
		struct plugin_answer *ret_answer, struct fault *fault);
/* Checks the proposals of @answer and merges them. 0, -EINVAL or -ENOMEM with @fault; then use
 * plugins_generic(). */
int plugins_take(const struct plugin_question *question, const json_t *answer,
		 struct plugin_answer *ret_answer, struct fault *fault);
/* What is there without any plugin: the environment alone. 0 or -ENOMEM. */
int plugins_generic(const struct plugin_question *question, struct plugin_answer *ret_answer);
/* All of it, blocking. 0, or a negative errno with @fault and generic's answer. */
int plugins_ask_now(struct plugins *plugins, const struct plugin_question *question,
		    struct plugin_answer *ret_answer, struct fault *fault);
