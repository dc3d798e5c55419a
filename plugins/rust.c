/* Rust: Tokio's and Rayon's pools. std::thread::available_parallelism() is right about every
 * visible quota and the affinity, so Mode=steer has nothing to do but to keep the numbers out.
 * Tokio aborts the program where TOKIO_WORKER_THREADS is 0 or no number. */
#include "plugin_api.h"

static const struct sidecard_key keys[] = {
	{ "tokio", SIDECARD_KEY_BOOL, .value = "yes", .help = "Publish TOKIO_WORKER_THREADS." },
	{ "rayon", SIDECARD_KEY_BOOL, .value = "yes", .help = "Publish RAYON_NUM_THREADS." },
};

/* Tokio's blocking pool has the name of its workers. */
static const struct sidecard_thread_rule thread_rules[] = {
	{ .comm = "tokio-rt-worker", .class = SIDECARD_THREAD_DATA },
	{ .comm = "tokio-runtime-w", .class = SIDECARD_THREAD_DATA },
};

static const struct sidecard_live lives[] = {
	{ .what = "the pools", .change = SIDECARD_CHANGE_START_ONLY },
};

static const struct sidecard_steer steer = {
	.size = sizeof(steer),
	.rounding = SIDECARD_ROUND_DOWN,
	.quota_least = 1,
	.reads_quota = 1,
	.reads_affinity = 1,
};

static int environment(const struct sidecard_request *request, const struct sidecard_sink *sink)
{
	uint32_t n = request->placement->parallelism;
	int r = 0;

	if (request->mode == SIDECARD_MODE_STEER)
		return 0;
	if (sidecard_setting_is(request, "tokio", "yes"))
		r = sidecard_variable_uint(sink, "TOKIO_WORKER_THREADS", n);
	if (r == 0 && sidecard_setting_is(request, "rayon", "yes"))
		r = sidecard_variable_uint(sink, "RAYON_NUM_THREADS", n);
	return r;
}

SIDECARD_PLUGIN_EXPORT const struct sidecard_plugin sidecard_plugin = {
	.api_version = SIDECARD_PLUGIN_API_VERSION,
	.size = sizeof(sidecard_plugin),
	.name = "rust",
	.version = "1",
	.runtime = "Rust with Tokio or Rayon",
	/* An event loop that is throttled delays all that it holds. */
	.rounding = SIDECARD_ROUND_DOWN,
	.modes = SIDECARD_MODE_FIXED | SIDECARD_MODE_STEER,
	.overcommit_permille = 1000,
	.keys = SIDECARD_TABLE(keys),
	.thread_rules = SIDECARD_TABLE(thread_rules),
	.lives = SIDECARD_TABLE(lives),
	.steer = &steer,
	.environment = environment,
};
