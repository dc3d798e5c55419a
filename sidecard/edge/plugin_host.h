/* The process that plugins run in, seen from those that ask: questions go out in a batch, answers
 * come in the same order. An answer that stays out costs the host its life and the plugin that was
 * asked a strike; the questions behind it are put to the next host. Nothing here looks into an
 * answer beyond its number. */
#pragma once

#include <jansson.h>
#include <systemd/sd-event.h>

#include "base/err.h"

/* For one answer, the start of a host and the loading of a plugin included. Pure functions take
 * microseconds; a second is for a machine that swaps. */
#define PLUGIN_DEADLINE_MS 2000

/* A plugin that cost that many hosts is not asked any more. */
#define PLUGIN_STRIKES_MAX 3u

struct plugin_host;

struct plugin_host_options {
	const char *program;   /* sidecard-plugin-host */
	const char *directory; /* NULL: the one it was built for */
	sd_event *event;       /* NULL: answers come within plugin_host_wait() alone */
	unsigned deadline_ms;  /* 0: PLUGIN_DEADLINE_MS */
	void *userdata;
	/* @answer: borrowed; NULL: there is none, and @fault says why. May ask again, must not free
	 * the host. */
	void (*answered)(void *userdata, uint64_t token, const json_t *answer,
			 const struct fault *fault);
};

/* Copies what the strings of @options say. Starts nothing yet: 0 or -ENOMEM. */
int plugin_host_open(const struct plugin_host_options *options, struct plugin_host **ret_host);
/* Ends the process; what is not answered yet never is. */
struct plugin_host *plugin_host_free(struct plugin_host *host);

/* @plugin: whom the question is for. Takes over @question (NULL is fine: -ENOMEM). 0 or -ENOMEM.
 * The answer never comes before this returns. */
int plugin_host_ask(struct plugin_host *host, uint64_t token, const char *plugin, json_t *question);
/* Blocks until everything is answered. */
void plugin_host_wait(struct plugin_host *host);
size_t plugin_host_n_pending(const struct plugin_host *host);
