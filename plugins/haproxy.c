/* HAProxy. It counts the PUs that it is bound to and reads no quota; its policies know NUMA nodes
 * but not the quota. The fragment is a second file for -f, with a section of its own. */
#include "plugin_api.h"

/* One group of threads holds so many on 64 bits; an explicit nbthread= makes one group. */
#define GROUP_THREADS_MAX 64u

static const struct sidecard_key keys[] = {
	{ "count", SIDECARD_KEY_WORD, .words = "nbthread hard-limit", .value = "nbthread",
	  .help = "nbthread sets the number and ends the automatic grouping of threads; "
		  "hard-limit only bounds what HAProxy finds (2.8 and later). Above 64 it is "
		  "always "
		  "hard-limit." },
	{ "cpu-set", SIDECARD_KEY_BOOL, .value = "no",
	  .help = "Also say cpu-set only-cpu with the placement's PUs, which HAProxy knows from "
		  "3.2 on; older ones do not start with it." },
	{ "policy", SIDECARD_KEY_WORD,
	  .words = "none efficiency first-usable-node group-by-2-ccx group-by-2-clusters "
		   "group-by-3-ccx group-by-3-clusters group-by-4-ccx group-by-4-clusters "
		   "group-by-ccx group-by-cluster performance resource",
	  .value = "",
	  .help = "With cpu-set=yes: cpu-policy. Empty: HAProxy's own, which is another one from "
		  "3.3 on." },
};

static const struct sidecard_live lives[] = {
	{ .what = "nbthread",
	  .change = SIDECARD_CHANGE_RELOAD,
	  .way = SIDECARD_WAY_RELOAD,
	  /* The old process stays until its connections end. */
	  .interval_us = 10000000 },
};

static int fragment(const struct sidecard_request *request, const struct sidecard_sink *sink)
{
	uint32_t n = request->placement->parallelism;
	bool explicit_count = n <= GROUP_THREADS_MAX &&
			      sidecard_setting_is(request, "count", "nbthread");
	const char *policy = sidecard_setting(request, "policy");
	int r = sidecard_line(sink, "global");

	if (r == 0)
		r = sidecard_line(sink, "    %s %u",
				  explicit_count ? "nbthread" : "thread-hard-limit", n);
	if (r < 0 || !sidecard_setting_is(request, "cpu-set", "yes"))
		return r;
	r = sidecard_line(sink, "    cpu-set only-cpu %s", request->placement->cpus);
	if (r == 0 && policy[0])
		r = sidecard_line(sink, "    cpu-policy %s", policy);
	return r;
}

SIDECARD_PLUGIN_EXPORT const struct sidecard_plugin sidecard_plugin = {
	.api_version = SIDECARD_PLUGIN_API_VERSION,
	.size = sizeof(sidecard_plugin),
	.name = "haproxy",
	.version = "1",
	.runtime = "HAProxy",
	/* Event loops that poll each other. */
	.rounding = SIDECARD_ROUND_DOWN,
	.modes = SIDECARD_MODE_FIXED,
	.overcommit_permille = 1000,
	.keys = SIDECARD_TABLE(keys),
	.lives = SIDECARD_TABLE(lives),
	.fragment = fragment,
};
