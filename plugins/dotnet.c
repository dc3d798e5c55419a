/* .NET. The runtime takes the smaller of affinity and its own cgroup's quota, rounded up, once. It
 * reads its variables in two ways: DOTNET_PROCESSOR_COUNT is decimal, what the collector reads
 * (DOTNET_GC...) is hexadecimal. The count beats the affinity, so it is never above the PUs. */
#include "plugin_api.h"

/* What DOTNET_PROCESSOR_COUNT takes. */
#define COUNT_MAX 65535u

static const struct sidecard_key keys[] = {
	{ "server-gc", SIDECARD_KEY_BOOL, .value = "no",
	  .help = "The program runs with the server collector: give it one heap for each "
		  "processor. Without it .NET 9 and later adapt the number of heaps themselves." },
	{ "gc-affinity", SIDECARD_KEY_WORD, .words = "none ranges", .value = "none",
	  .help = "With server-gc=yes: none leaves the collector's threads unpinned, which suits a "
		  "cpuset; ranges pins them to the PUs of the placement." },
};

static const struct sidecard_thread_rule thread_rules[] = {
	{ .comm = ".NET Server GC*", .class = SIDECARD_THREAD_GC },
	{ .comm = ".NET BGC*", .class = SIDECARD_THREAD_GC },
	{ .comm = ".NET Finalizer", .class = SIDECARD_THREAD_GC },
	{ .comm = ".NET Tiered*", .class = SIDECARD_THREAD_JIT },
	{ .comm = ".NET TP Gate", .class = SIDECARD_THREAD_CONTROL },
	{ .comm = ".NET TP Wait", .class = SIDECARD_THREAD_IO },
	{ .comm = ".NET Timer", .class = SIDECARD_THREAD_CONTROL },
	{ .comm = ".NET Synch*", .class = SIDECARD_THREAD_CONTROL },
	{ .comm = ".NET Sig*", .class = SIDECARD_THREAD_CONTROL },
	{ .comm = ".NET EventPipe", .class = SIDECARD_THREAD_CONTROL },
	{ .comm = ".NET TP Worker", .class = SIDECARD_THREAD_DATA },
	{ .comm = ".NET Long*", .class = SIDECARD_THREAD_DATA },
};

static const struct sidecard_live lives[] = {
	{ .what = "the number of processors", .change = SIDECARD_CHANGE_START_ONLY },
	{ .what = "the memory limit",
	  .change = SIDECARD_CHANGE_LIVE,
	  .way = SIDECARD_WAY_ASK,
	  .interval_us = 1000000,
	  .note = "where the program calls GC.RefreshMemoryLimit()" },
};

static const struct sidecard_steer steer = {
	.size = sizeof(steer),
	.rounding = SIDECARD_ROUND_UP,
	.quota_least = 1,
	.reads_quota = 1,
	.reads_affinity = 1,
};

static int collector(const struct sidecard_request *request, uint32_t count,
		     const struct sidecard_sink *sink)
{
	char buffer[24];
	int r;

	if (sidecard_setting_is(request, "gc-affinity", "ranges"))
		r = sink->variable(sink->userdata, "DOTNET_GCHeapAffinitizeRanges",
				   request->placement->cpus);
	else
		r = sidecard_variable_uint(sink, "DOTNET_GCNoAffinitize", 1);
	if (r < 0 || request->mode == SIDECARD_MODE_STEER)
		return r;
	snprintf(buffer, sizeof(buffer), "%x", count);
	return sink->variable(sink->userdata, "DOTNET_GCHeapCount", buffer);
}

static int environment(const struct sidecard_request *request, const struct sidecard_sink *sink)
{
	const struct sidecard_placement *placement = request->placement;
	uint32_t count = placement->parallelism < placement->n_pu ? placement->parallelism
								  : placement->n_pu;
	int r = 0;

	if (count > COUNT_MAX)
		count = COUNT_MAX;
	if (sidecard_setting_is(request, "server-gc", "yes"))
		r = collector(request, count, sink);
	if (r < 0 || request->mode == SIDECARD_MODE_STEER)
		return r;
	return sidecard_variable_uint(sink, "DOTNET_PROCESSOR_COUNT", count);
}

SIDECARD_PLUGIN_EXPORT const struct sidecard_plugin sidecard_plugin = {
	.api_version = SIDECARD_PLUGIN_API_VERSION,
	.size = sizeof(sidecard_plugin),
	.name = "dotnet",
	.version = "1",
	.runtime = ".NET",
	/* Its own rounding. */
	.rounding = SIDECARD_ROUND_UP,
	.modes = SIDECARD_MODE_FIXED | SIDECARD_MODE_STEER,
	.overcommit_permille = 1000,
	.keys = SIDECARD_TABLE(keys),
	.thread_rules = SIDECARD_TABLE(thread_rules),
	.lives = SIDECARD_TABLE(lives),
	.steer = &steer,
	.environment = environment,
};
