/* Envoy. Its own detection of a quota came late, behind a flag, and changed since, so the number is
 * told. --concurrency 0 means one worker; it is never told. */
#include "plugin_api.h"

static const struct sidecard_thread_rule thread_rules[] = {
	{ .comm = "wrk:worker_*", .class = SIDECARD_THREAD_DATA },
	{ .comm = "dog:*", .class = SIDECARD_THREAD_CONTROL },
	{ .comm = "GrpcGoogClient", .class = SIDECARD_THREAD_IO },
	{ .comm = "grpc_*", .class = SIDECARD_THREAD_IO },
	{ .comm = "*-execut*", .class = SIDECARD_THREAD_IO },
	{ .comm = "envoy*", .class = SIDECARD_THREAD_CONTROL },
};

static const struct sidecard_live lives[] = {
	{ .what = "--concurrency",
	  .change = SIDECARD_CHANGE_START_ONLY,
	  .note = "a hot restart is a start" },
};

static int arguments(const struct sidecard_request *request, const struct sidecard_sink *sink)
{
	int r = sidecard_argument(sink, "--concurrency");

	return r < 0 ? r : sidecard_argument(sink, "%u", request->placement->parallelism);
}

SIDECARD_PLUGIN_EXPORT const struct sidecard_plugin sidecard_plugin = {
	.api_version = SIDECARD_PLUGIN_API_VERSION,
	.size = sizeof(sidecard_plugin),
	.name = "envoy",
	.version = "1",
	.runtime = "Envoy",
	/* Event loops. */
	.rounding = SIDECARD_ROUND_DOWN,
	.modes = SIDECARD_MODE_FIXED,
	.overcommit_permille = 1000,
	.thread_rules = SIDECARD_TABLE(thread_rules),
	.lives = SIDECARD_TABLE(lives),
	.arguments = arguments,
};
