/* dlopen → a runtime's own settings: finds NAME.so in the plugin directory, checks owner and mode
 * of the file it opened, its interface version and every answer. A plugin proposes, the host
 * verifies. */
#pragma once

#include "base/err.h"
#include "plan/plan.h"

struct plugin;

/* @directory NULL: the one it was built for (SIDECARD_PLUGIN_DIR in a build tree's tests). 0,
 * -ENOENT, -EPERM (owner or mode), -EPROTO (interface version), -EINVAL. */
int plugin_load(const char *directory, const char *name, struct plugin **ret_plugin,
		struct fault *fault);
struct plugin *plugin_free(struct plugin *plugin);

/* Does the runtime want ceil (true) or floor (false) of a fraction? */
bool plugin_rounds_up(const struct plugin *plugin);

/* Every [Plugin] key of @workload that the plugin does not know is a fault: "file:line: [Plugin]
 * key: text". 0 or -EINVAL. */
int plugin_check(const struct plugin *plugin, const struct workload *workload,
		 struct fault_list *faults);

/* KEY=VALUE strings for one placement: names [A-Z_][A-Z0-9_]{0,63}, values printable without
 * newline; anything else is refused whole. */
int plugin_environment(const struct plugin *plugin, const struct plan_workload *placement,
		       struct strings *ret_environment, struct fault *fault);
