/* Node.js. Its pools have fixed sizes (libuv 4, V8 4), and libuv's own count takes the topmost
 * limited cgroup instead of the tightest one, so the numbers are told: there is no steering.
 * NODE_OPTIONS may hold options of the user's; ours come behind them. */
#include "plugin_api.h"

/* libuv src/threadpool.c: the default, and the largest that it takes. */
#define UV_THREADS_DEFAULT 4u
#define UV_THREADS_MAX	   1024u

static const struct sidecard_key keys[] = {
	{ "io-threads", SIDECARD_KEY_UINT, .least = 1, .most = UV_THREADS_MAX, .value = "",
	  .help = "UV_THREADPOOL_SIZE: threads that wait for files, names and compression. Empty: "
		  "as many as the parallelism, and at least the 4 that libuv starts anyway." },
	{ "web-concurrency", SIDECARD_KEY_BOOL, .value = "yes",
	  .help = "Publish WEB_CONCURRENCY, the number of processes that cluster managers start." },
	{ "memory-percent", SIDECARD_KEY_UINT, .most = 95, .value = "0",
	  .help = "--max-old-space-size as a part of the memory limit, where there is one. 0: "
		  "Node's own." },
};

/* Before Node 22 or so all threads are called node, and then all are data. */
static const struct sidecard_thread_rule thread_rules[] = {
	{ .comm = "node-MainThread", .class = SIDECARD_THREAD_DATA },
	{ .comm = "MainThread", .class = SIDECARD_THREAD_DATA },
	{ .comm = "libuv-worker", .class = SIDECARD_THREAD_IO },
	{ .comm = "node-V8Worker", .class = SIDECARD_THREAD_GC },
	{ .comm = "V8Worker", .class = SIDECARD_THREAD_GC },
	{ .comm = "DelayedTaskSche", .class = SIDECARD_THREAD_JIT },
	{ .comm = "SignalInspector", .class = SIDECARD_THREAD_CONTROL },
	{ .comm = "InspectorIo", .class = SIDECARD_THREAD_CONTROL },
};

static const struct sidecard_live lives[] = {
	{ .what = "the pools", .change = SIDECARD_CHANGE_START_ONLY },
};

static int options(const struct sidecard_request *request, const struct sidecard_sink *sink)
{
	uint64_t limit = request->placement->memory_limit_bytes;
	uint64_t percent = sidecard_setting_uint(request, "memory-percent");
	uint64_t mebibytes = limit / 100 * percent >> 20;
	char buffer[128];
	struct sidecard_text text = SIDECARD_TEXT(buffer);

	sidecard_text_add(&text, "--v8-pool-size=%u", request->placement->parallelism);
	if (limit != SIDECARD_UNLIMITED_BYTES && mebibytes > 0)
		sidecard_text_add(&text, " --max-old-space-size=%llu",
				  (unsigned long long)mebibytes);
	return sidecard_append(sink, "NODE_OPTIONS", &text);
}

static int environment(const struct sidecard_request *request, const struct sidecard_sink *sink)
{
	uint32_t n = request->placement->parallelism;
	uint64_t io_threads = sidecard_setting_uint(request, "io-threads");
	int r;

	if (io_threads == 0)
		io_threads = n > UV_THREADS_DEFAULT ? n : UV_THREADS_DEFAULT;
	if (io_threads > UV_THREADS_MAX)
		io_threads = UV_THREADS_MAX;
	r = sidecard_variable_uint(sink, "UV_THREADPOOL_SIZE", io_threads);
	if (r == 0 && sidecard_setting_is(request, "web-concurrency", "yes"))
		r = sidecard_variable_uint(sink, "WEB_CONCURRENCY", n);
	return r < 0 ? r : options(request, sink);
}

SIDECARD_PLUGIN_EXPORT const struct sidecard_plugin sidecard_plugin = {
	.api_version = SIDECARD_PLUGIN_API_VERSION,
	.size = sizeof(sidecard_plugin),
	.name = "node",
	.version = "1",
	.runtime = "Node.js",
	/* Event loops. */
	.rounding = SIDECARD_ROUND_DOWN,
	.modes = SIDECARD_MODE_FIXED,
	.overcommit_permille = 1000,
	.keys = SIDECARD_TABLE(keys),
	.thread_rules = SIDECARD_TABLE(thread_rules),
	.lives = SIDECARD_TABLE(lives),
	.environment = environment,
};
