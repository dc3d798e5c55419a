/* Questions to sidecard-plugin-host and its answers, as JSON. The front's half is plugin_wire.c,
 * the host's plugin_shelf.c.
 *
 *   {"plugin":"go","ask":"describe"}
 *   {"plugin":"go","ask":"propose","mode":1|2,"placement":{…},"settings":[["key","value"]…],
 *    "environment":[["NAME","value"]…]}
 *
 * Answered by {"table":{…}}, {"proposals":[[kind,name or null,"value"]…]} (kind: enum proposal), or
 * {"fault":"…","error":-22}. */
#pragma once

#include <jansson.h>

#include "edge/plugin.h"

/* ---- front ---- */

/* New references; NULL where memory is short. */
json_t *wire_describe(const char *plugin);
json_t *wire_propose(const char *plugin, const struct sidecard_request *request);

/* A plugin's table without its functions, for plugin_check.h: what the host told of it. */
struct plugin_copy;

/* 0; what the host said, the table's fault (plugin_table_check()), or -ENOMEM. */
int wire_table_parse(const json_t *answer, const char *name, struct plugin_copy **ret_copy,
		     struct fault *fault);
const struct sidecard_plugin *plugin_copy_table(const struct plugin_copy *copy);
struct plugin_copy *plugin_copy_free(struct plugin_copy *copy);

/* Adds and so checks each. 0 or what the host or the check said, in proposals->fault. */
int wire_proposals_parse(const json_t *answer, struct plugin_proposals *proposals);

/* ---- host ---- */

/* Plugins stay loaded once they were asked. */
struct plugin_shelf {
	const char *directory; /* NULL: the one it was built for */
	struct plugin **plugins;
	size_t n_plugins;
};

void plugin_shelf_done(struct plugin_shelf *shelf);
/* New reference; NULL where memory is short. */
json_t *plugin_shelf_answer(struct plugin_shelf *shelf, const json_t *question);
