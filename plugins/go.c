/* Go. Since 1.25 the runtime itself takes the smaller of its affinity and its own cgroup's quota,
 * rounded up but never below 2 by a quota, and looks again about once a second (golang/go
 * src/runtime/cgroup_linux.go, proc.go). GOMAXPROCS= ends that, so Mode=steer leaves it out.
 *
 * It sees no ancestor's quota, and modules that declare a language before 1.25 see none at all, on
 * newer toolchains too. uber-go/automaxprocs counts no affinity and ends the runtime's own updates
 * unless GOMAXPROCS= is there. For both the number is told in either mode. */
#include "plugin_api.h"

static const struct sidecard_key keys[] = {
	{ "language", SIDECARD_KEY_WORD, .words = "1.25 older", .value = "1.25",
	  .help = "What the program's main module declares: 1.25 and later follow their limits "
		  "themselves, older ones never, whatever built them." },
	{ "automaxprocs", SIDECARD_KEY_BOOL, .value = "no",
	  .help = "The program imports uber-go/automaxprocs, so it must be told its number in "
		  "Mode=steer too." },
	{ "automemlimit", SIDECARD_KEY_BOOL, .value = "no",
	  .help = "The program imports automemlimit, so GOMEMLIMIT is left to it." },
	{ "memory-percent", SIDECARD_KEY_UINT, .most = 100, .value = "90",
	  .help = "GOMEMLIMIT as a part of the memory limit, where there is one. 0: none." },
};

/* No name tells Go's threads apart: all have that of the program. The second one that is born is
 * sysmon, which retakes processors and polls the quota. */
static const struct sidecard_thread_rule thread_rules[] = {
	{ .birth = 2, .class = SIDECARD_THREAD_CONTROL },
};

static const struct sidecard_live lives[] = {
	{ .what = "GOMAXPROCS",
	  .change = SIDECARD_CHANGE_LIVE,
	  .way = SIDECARD_WAY_CGROUP,
	  /* The runtime looks at most once a second. */
	  .interval_us = 1000000,
	  .note = "with Mode=steer and Go 1.25; each change stops the world, and a process that is "
		  "moved to another cgroup never notices" },
	{ .what = "GOMEMLIMIT", .change = SIDECARD_CHANGE_START_ONLY },
};

static const struct sidecard_steer steer = {
	.size = sizeof(steer),
	.rounding = SIDECARD_ROUND_UP,
	.quota_least = 2,
	.reads_quota = 1,
	.reads_affinity = 1,
	.follows = 1,
};

static int memory_limit(const struct sidecard_request *request, const struct sidecard_sink *sink)
{
	uint64_t limit = request->placement->memory_limit_bytes;
	uint64_t percent = sidecard_setting_uint(request, "memory-percent");

	if (limit == SIDECARD_UNLIMITED_BYTES || percent == 0 || limit / 100 * percent == 0 ||
	    sidecard_setting_is(request, "automemlimit", "yes") ||
	    sidecard_existing(request, "AUTOMEMLIMIT"))
		return 0;
	return sidecard_variable_uint(sink, "GOMEMLIMIT", limit / 100 * percent);
}

static int environment(const struct sidecard_request *request, const struct sidecard_sink *sink)
{
	int r = memory_limit(request, sink);

	if (r < 0 || (request->mode == SIDECARD_MODE_STEER &&
		      sidecard_setting_is(request, "language", "1.25") &&
		      sidecard_setting_is(request, "automaxprocs", "no")))
		return r;
	return sidecard_variable_uint(sink, "GOMAXPROCS", request->placement->parallelism);
}

SIDECARD_PLUGIN_EXPORT const struct sidecard_plugin sidecard_plugin = {
	.api_version = SIDECARD_PLUGIN_API_VERSION,
	.size = sizeof(sidecard_plugin),
	.name = "go",
	.version = "1",
	.runtime = "Go",
	/* An m:n scheduler with a collector beside it: it uses what is left of a PU. */
	.rounding = SIDECARD_ROUND_UP,
	.modes = SIDECARD_MODE_FIXED | SIDECARD_MODE_STEER,
	.overcommit_permille = 1000,
	.keys = SIDECARD_TABLE(keys),
	.thread_rules = SIDECARD_TABLE(thread_rules),
	.lives = SIDECARD_TABLE(lives),
	.steer = &steer,
	.environment = environment,
};
