/* dlopen → a runtime's own settings: finds NAME.so in the plugin directory, checks owner and mode
 * of the file it opened, its table and every proposal. A plugin proposes, the host verifies. Only
 * sidecard-plugin-host does so (and tests): plugins are code from outside, and run where they can
 * be killed. Everybody else asks it: plugin_host.h. */
#pragma once

#include "base/err.h"
#include "edge/plugin_api.h"
#include "edge/plugin_check.h"
#include "edge/plugin_request.h"
#include "plan/plan.h"

struct plugin;

/* @directory NULL: the one it was built for (SIDECARD_PLUGIN_DIR in a build tree's tests). 0,
 * -ENOENT, -EPERM (owner or mode), -EPROTO (interface version), -EINVAL. */
int plugin_load(const char *directory, const char *name, struct plugin **ret_plugin,
		struct fault *fault);
struct plugin *plugin_free(struct plugin *plugin);

/* Checked by plugin_table_check(); valid as long as @plugin. */
const struct sidecard_plugin *plugin_table(const struct plugin *plugin);

/* Does the runtime want ceil (true) or floor (false) of a fraction? */
bool plugin_rounds_up(const struct plugin *plugin);

/* Every [Plugin] line of @workload that the plugin does not take is a fault: "file:line: [Plugin]
 * key: text". 0, -EINVAL or -ENOMEM. */
int plugin_check(const struct plugin *plugin, const struct workload *workload,
		 struct fault_list *faults);

/* What it proposes for one placement, checked and merged with what is there: anything that breaks a
 * rule is refused whole. 0, -EINVAL or -ENOMEM. */
int plugin_ask(const struct plugin *plugin, const struct plugin_question *question,
	       struct plugin_answer *ret_answer, struct fault *fault);
