/* OpenJDK (HotSpot). It takes the smaller of affinity and quota, rounded up, and derives its
 * collector's and compilers' threads from that once. -XX:ActiveProcessorCount overrides both and
 * ends its own tracking, so Mode=steer leaves it out.
 *
 * What is told comes behind what JAVA_TOOL_OPTIONS has already: of an option given twice the last
 * one holds. The JVM prints a line "Picked up ..." on stderr for it, and a launcher that changes
 * its user ignores it.
 *
 * With one processor HotSpot takes the serial collector, silently.
 * -XX:+AlwaysActAsServerClassMachine keeps the choice that it makes with more; naming a collector
 * would keep a JVM from starting whose command line names another one. CICompilerCount is left
 * alone for the same reason: 1 is refused where the tiered compiler is on. (Seen on 17.0.15;
 * os::is_server_class_machine() in HotSpot.) */
#include "plugin_api.h"

/* os::is_server_class_machine(): with less it is none, with any number of processors. */
#define SERVER_CLASS_BYTES (UINT64_C(1792) << 20)

static const struct sidecard_key keys[] = {
	{ "variable", SIDECARD_KEY_WORD, .words = "JAVA_TOOL_OPTIONS JDK_JAVA_OPTIONS",
	  .value = "JAVA_TOOL_OPTIONS",
	  .help = "Where the options go. The second one is read by the java command alone, from "
		  "9 on." },
	{ "keep-collector", SIDECARD_KEY_BOOL, .value = "yes",
	  .help = "With one processor, keep the collector that the JVM chooses with more rather "
		  "than the serial one." },
	{ "pools", SIDECARD_KEY_BOOL, .value = "no",
	  .help = "Also set the collector's threads, the common pool, the scheduler of virtual "
		  "threads and Netty, each of which is otherwise derived from the number of "
		  "processors." },
	{ "numa", SIDECARD_KEY_WORD, .words = "auto yes no", .value = "auto",
	  .help = "-XX:+UseNUMA; auto: where the placement has several NUMA nodes." },
	{ "memory-percent", SIDECARD_KEY_UINT, .most = 95, .value = "0",
	  .help = "-XX:MaxRAMPercentage. 0: the JVM's own." },
};

/* Two sets: to 25 a long name is cut at 15 bytes, from 26 on its middle is left out (JDK-8368124).
 */
static const struct sidecard_thread_rule thread_rules[] = {
	{ .comm = "GC Thread#*", .class = SIDECARD_THREAD_GC },
	{ .comm = "G1 *", .class = SIDECARD_THREAD_GC },
	{ .comm = "ZWorker*", .class = SIDECARD_THREAD_GC },
	{ .comm = "ZDriver*", .class = SIDECARD_THREAD_GC },
	{ .comm = "ZDirector", .class = SIDECARD_THREAD_GC },
	{ .comm = "ZStat", .class = SIDECARD_THREAD_GC },
	{ .comm = "ZUncommitter*", .class = SIDECARD_THREAD_GC },
	{ .comm = "RuntimeWorker#*", .class = SIDECARD_THREAD_GC },
	{ .comm = "Shenand*", .class = SIDECARD_THREAD_GC },
	{ .comm = "Safepoi..read#*", .class = SIDECARD_THREAD_GC },
	{ .comm = "C1 Comp*", .class = SIDECARD_THREAD_JIT },
	{ .comm = "C2 Comp*", .class = SIDECARD_THREAD_JIT },
	{ .comm = "Sweeper*", .class = SIDECARD_THREAD_JIT },
	{ .comm = "VM Thread", .class = SIDECARD_THREAD_CONTROL },
	{ .comm = "VM Peri*", .class = SIDECARD_THREAD_CONTROL },
	{ .comm = "Signal *", .class = SIDECARD_THREAD_CONTROL },
	{ .comm = "Service Thread", .class = SIDECARD_THREAD_CONTROL },
	{ .comm = "Monitor*", .class = SIDECARD_THREAD_CONTROL },
	{ .comm = "Notific*", .class = SIDECARD_THREAD_CONTROL },
	{ .comm = "Referen*", .class = SIDECARD_THREAD_CONTROL },
	{ .comm = "Finalizer", .class = SIDECARD_THREAD_CONTROL },
	{ .comm = "Common-Cleaner", .class = SIDECARD_THREAD_CONTROL },
};

static const struct sidecard_live lives[] = {
	{ .what = "the number of processors",
	  .change = SIDECARD_CHANGE_LIVE,
	  .way = SIDECARD_WAY_CGROUP,
	  /* It keeps what it read for 20 ms; pools that follow it want longer. */
	  .interval_us = 1000000,
	  .note = "with Mode=steer; at the level of the cgroup that it chose when it started" },
	{ .what = "the scheduler of virtual threads",
	  .change = SIDECARD_CHANGE_LIVE,
	  .way = SIDECARD_WAY_ASK,
	  .interval_us = 1000000,
	  .note = "by its MXBean, from 24 on" },
	{ .what = "threads of collector and compilers, the common pool",
	  .change = SIDECARD_CHANGE_START_ONLY },
};

static const struct sidecard_steer steer = {
	.size = sizeof(steer),
	.rounding = SIDECARD_ROUND_UP,
	.quota_least = 1,
	.reads_quota = 1,
	.reads_affinity = 1,
	.follows = 1,
};

static void add(struct sidecard_text *text, const char *option, uint64_t value)
{
	sidecard_text_add(text, "%s%s%llu", text->used > 0 ? " " : "", option,
			  (unsigned long long)value);
}

static void add_pools(struct sidecard_text *text, uint32_t n)
{
	add(text, "-XX:ParallelGCThreads=", n);
	/* The JVM's own proportion; more than ParallelGCThreads= keeps it from starting. */
	add(text, "-XX:ConcGCThreads=", n / 4 > 0 ? n / 4 : 1);
	/* One less: whoever submits to the common pool works too. */
	add(text, "-Djava.util.concurrent.ForkJoinPool.common.parallelism=", n > 1 ? n - 1 : 1);
	add(text, "-Djdk.virtualThreadScheduler.parallelism=", n);
	add(text, "-Dio.netty.availableProcessors=", n);
}

static int environment(const struct sidecard_request *request, const struct sidecard_sink *sink)
{
	const struct sidecard_placement *placement = request->placement;
	const char *numa = sidecard_setting(request, "numa");
	uint64_t percent = sidecard_setting_uint(request, "memory-percent");
	char buffer[1024] = "";
	struct sidecard_text text = SIDECARD_TEXT(buffer);

	if (request->mode == SIDECARD_MODE_FIXED)
		add(&text, "-XX:ActiveProcessorCount=", placement->parallelism);
	if (placement->parallelism == 1 && placement->memory_limit_bytes >= SERVER_CLASS_BYTES &&
	    sidecard_setting_is(request, "keep-collector", "yes"))
		sidecard_text_add(&text, "%s-XX:+AlwaysActAsServerClassMachine",
				  text.used > 0 ? " " : "");
	if (sidecard_setting_is(request, "pools", "yes"))
		add_pools(&text, placement->parallelism);
	if (strcmp(numa, "yes") == 0 || (strcmp(numa, "auto") == 0 && placement->n_node > 1))
		sidecard_text_add(&text, "%s-XX:+UseNUMA", text.used > 0 ? " " : "");
	if (percent > 0)
		sidecard_text_add(&text, "%s-XX:MaxRAMPercentage=%llu.0", text.used > 0 ? " " : "",
				  (unsigned long long)percent);
	return text.used > 0 ? sidecard_append(sink, sidecard_setting(request, "variable"), &text)
			     : 0;
}

SIDECARD_PLUGIN_EXPORT const struct sidecard_plugin sidecard_plugin = {
	.api_version = SIDECARD_PLUGIN_API_VERSION,
	.size = sizeof(sidecard_plugin),
	.name = "jvm",
	.version = "1",
	.runtime = "OpenJDK and other HotSpot JVMs",
	/* Its own rounding; collector and compilers use what is left of a PU. */
	.rounding = SIDECARD_ROUND_UP,
	.modes = SIDECARD_MODE_FIXED | SIDECARD_MODE_STEER,
	.overcommit_permille = 1000,
	.keys = SIDECARD_TABLE(keys),
	.thread_rules = SIDECARD_TABLE(thread_rules),
	.lives = SIDECARD_TABLE(lives),
	.steer = &steer,
	.environment = environment,
};
