/* The plugin of workloads whose runtime has no settings of its own here: no variables beyond
 * sidecard's. A fraction of a PU is rounded down: one thread too few leaves a little unused, one
 * too many is throttled. */
#include "plugin_api.h"

static int environment(const struct sidecard_placement *placement,
		       const struct sidecard_setting *settings, size_t n_settings,
		       int (*set)(void *userdata, const char *name, const char *value),
		       void *userdata)
{
	(void)placement;
	(void)settings;
	(void)n_settings;
	(void)set;
	(void)userdata;
	return 0;
}

const struct sidecard_plugin sidecard_plugin = {
	.api_version = SIDECARD_PLUGIN_API_VERSION,
	.name = "generic",
	.version = "1",
	.rounding = SIDECARD_ROUND_DOWN,
	.environment = environment,
};
