/* What of a plugin is believed: its table, the user's settings for it, and each of its proposals
 * are checked here, whichever process they come from. Nothing here calls a plugin. */
#pragma once

#include "base/err.h"
#include "edge/plugin_api.h"
#include "model/workload.h"

/* @table_size: bytes that may be read of @table. 0, -EPROTO (another interface version), or
 * -EINVAL. Reads every string of every table, each up to its bound. */
int plugin_table_check(const struct sidecard_plugin *table, size_t table_size, const char *name,
		       struct fault *fault);

/* The settings of @workload in the order of the plugin's keys, defaults where the user gave none:
 * malloc'ed array of keys.n_rows rows that borrow from both. Each fault "file:line: [Plugin] key:
 * text" goes to @faults (may be NULL); with any: -EINVAL. 0 or -ENOMEM. */
int plugin_settings_make(const struct sidecard_plugin *table, const struct workload *workload,
			 struct sidecard_setting **ret_settings, struct fault_list *faults);

/* Which function of the sink was called. */
enum proposal { PROPOSAL_VARIABLE, PROPOSAL_APPEND, PROPOSAL_ARGUMENT, PROPOSAL_LINE };
#define N_PROPOSAL 4u

/* What a plugin proposed for one workload, checked and merged with what was there before. */
struct plugin_answer {
	struct strings environment; /* KEY=VALUE: the base with the plugin's own merged in */
	struct strings appended;    /* names of those variables that came by append() */
	struct strings arguments;
	struct strings lines;
};

void plugin_answer_done(struct plugin_answer *answer);

/* Collects proposals, one by one. */
struct plugin_proposals {
	const char *plugin, *workload;	  /* borrowed, for faults */
	struct strings items[N_PROPOSAL]; /* KEY=VALUE for the first two */
	size_t n_bytes;
	int error; /* the first one: what a plugin does after it does not count */
	struct fault *fault;
};

void plugin_proposals_done(struct plugin_proposals *proposals);

/* @name counts for variables only. 0, or -EINVAL (refused, and so is everything else of it) or
 * -ENOMEM with the sentence in proposals->fault. */
int plugin_proposals_add(struct plugin_proposals *proposals, enum proposal kind, const char *name,
			 const char *value);

/* Merges: @base (KEY=VALUE, may be NULL) keeps its order; a variable of the plugin that @base has
 * stays the user's; what is appended comes behind the user's. 0, -EINVAL (a value became too long)
 * or -ENOMEM. */
int plugin_answer_make(struct plugin_proposals *proposals, const struct strings *base,
		       struct plugin_answer *ret_answer);
