/* Ruby's server Puma. WEB_CONCURRENCY is a number of processes, and 0 makes Puma run without any,
 * silently; `auto` comes to 0 with less than one PU and looks at the mount's root only, so it is
 * never told. */
#include "plugin_api.h"

static const struct sidecard_key keys[] = {
	{ "threads", SIDECARD_KEY_UINT, .least = 1, .most = 256, .value = "",
	  .help = "PUMA_MAX_THREADS: threads of each worker, of which one at a time runs Ruby. "
		  "Empty: Puma's own." },
};

static const struct sidecard_thread_rule thread_rules[] = {
	{ .comm = "puma srv tp rea", .class = SIDECARD_THREAD_CONTROL },
	{ .comm = "puma srv tp *", .class = SIDECARD_THREAD_DATA },
	{ .comm = "puma*", .class = SIDECARD_THREAD_CONTROL },
};

static const struct sidecard_live lives[] = {
	{ .what = "workers",
	  .change = SIDECARD_CHANGE_LIVE,
	  .way = SIDECARD_WAY_SIGNAL,
	  /* A worker loads the application first. */
	  .interval_us = 10000000,
	  .signal_more = 21,  /* SIGTTIN */
	  .signal_fewer = 22, /* SIGTTOU */
	  .note = "each signal is one worker; in cluster mode only" },
	{ .what = "threads of each worker", .change = SIDECARD_CHANGE_START_ONLY },
};

static int environment(const struct sidecard_request *request, const struct sidecard_sink *sink)
{
	uint64_t threads = sidecard_setting_uint(request, "threads");
	int r = sidecard_variable_uint(sink, "WEB_CONCURRENCY", request->placement->parallelism);

	if (r == 0 && threads > 0)
		r = sidecard_variable_uint(sink, "PUMA_MAX_THREADS", threads);
	return r;
}

SIDECARD_PLUGIN_EXPORT const struct sidecard_plugin sidecard_plugin = {
	.api_version = SIDECARD_PLUGIN_API_VERSION,
	.size = sizeof(sidecard_plugin),
	.name = "puma",
	.version = "1",
	.runtime = "Ruby with Puma",
	/* Each worker is a process with all its memory. */
	.rounding = SIDECARD_ROUND_DOWN,
	.modes = SIDECARD_MODE_FIXED,
	/* A worker waits for its database for a good part of a request. */
	.overcommit_permille = 1500,
	.keys = SIDECARD_TABLE(keys),
	.thread_rules = SIDECARD_TABLE(thread_rules),
	.lives = SIDECARD_TABLE(lives),
	.environment = environment,
};
