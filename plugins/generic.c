/* The plugin of workloads whose runtime has no settings of its own here: no variables beyond
 * sidecard's. A fraction of a PU is rounded down: one thread too few leaves a little unused, one
 * too many is throttled. */
#include "plugin_api.h"

static const struct sidecard_live lives[] = {
	{ .what = "the number of threads",
	  .change = SIDECARD_CHANGE_LIVE,
	  .way = SIDECARD_WAY_ASK,
	  .interval_us = 100000,
	  .note = "by libsidecard, where the program asks" },
};

/* Where nothing is told there is nothing to leave out: the quota that a program may look at itself
 * is that of its own cgroup, and counting down is the careful guess. */
static const struct sidecard_steer steer = {
	.size = sizeof(steer),
	.rounding = SIDECARD_ROUND_DOWN,
	.quota_least = 1,
	.reads_quota = 1,
	.reads_affinity = 1,
};

SIDECARD_PLUGIN_EXPORT const struct sidecard_plugin sidecard_plugin = {
	.api_version = SIDECARD_PLUGIN_API_VERSION,
	.size = sizeof(sidecard_plugin),
	.name = "generic",
	.version = "2",
	.runtime = "any program",
	.rounding = SIDECARD_ROUND_DOWN,
	.modes = SIDECARD_MODE_FIXED | SIDECARD_MODE_STEER,
	.overcommit_permille = 1000,
	.lives = SIDECARD_TABLE(lives),
	.steer = &steer,
};
