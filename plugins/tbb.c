/* oneTBB. There is no variable: the library takes the smaller of affinity and its own cgroup's
 * quota, rounded up, once. So the two modes differ in what the host does before the program starts
 * only, and Mode=steer is the one that helps. */
#include "plugin_api.h"

static const struct sidecard_live lives[] = {
	{ .what = "the arena", .change = SIDECARD_CHANGE_START_ONLY },
};

static const struct sidecard_steer steer = {
	.size = sizeof(steer),
	.rounding = SIDECARD_ROUND_UP,
	.quota_least = 1,
	.reads_quota = 1,
	.reads_affinity = 1,
};

SIDECARD_PLUGIN_EXPORT const struct sidecard_plugin sidecard_plugin = {
	.api_version = SIDECARD_PLUGIN_API_VERSION,
	.size = sizeof(sidecard_plugin),
	.name = "tbb",
	.version = "1",
	.runtime = "oneTBB",
	/* Its own rounding. */
	.rounding = SIDECARD_ROUND_UP,
	.modes = SIDECARD_MODE_FIXED | SIDECARD_MODE_STEER,
	.overcommit_permille = 1000,
	.lives = SIDECARD_TABLE(lives),
	.steer = &steer,
};
