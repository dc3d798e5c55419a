/* llama.cpp. It counts the host's cores, whatever mask and quota say, and its threads spin at
 * barriers: one more than the quota pays for costs a multiple (ollama/ollama#17916: 44 times). Two
 * on one core gain nothing. --numa numactl keeps to the nodes that it was started on; distribute
 * would spread over the host's. */
#include "plugin_api.h"

static const struct sidecard_key keys[] = {
	{ "numa", SIDECARD_KEY_WORD, .words = "numactl none", .value = "numactl",
	  .help = "numactl: keep memory and threads to the nodes of the placement." },
};

static const struct sidecard_live lives[] = {
	{ .what = "threads", .change = SIDECARD_CHANGE_START_ONLY },
};

static uint32_t threads(const struct sidecard_placement *placement)
{
	return placement->parallelism < placement->n_core ? placement->parallelism
							  : placement->n_core;
}

static int arguments(const struct sidecard_request *request, const struct sidecard_sink *sink)
{
	static const char *const options[] = { "-t", "-tb" };
	int r = 0;

	for (uint32_t i = 0; i < 2 && r == 0; i++) {
		r = sidecard_argument(sink, "%s", options[i]);
		if (r == 0)
			r = sidecard_argument(sink, "%u", threads(request->placement));
	}
	if (r < 0 || !sidecard_setting_is(request, "numa", "numactl"))
		return r;
	r = sidecard_argument(sink, "--numa");
	return r < 0 ? r : sidecard_argument(sink, "numactl");
}

/* For what is started by somebody else's command line. */
static int environment(const struct sidecard_request *request, const struct sidecard_sink *sink)
{
	static const char *const names[] = { "LLAMA_ARG_THREADS", "OMP_NUM_THREADS" };
	int r = 0;

	for (uint32_t i = 0; i < 2 && r == 0; i++)
		r = sidecard_variable_uint(sink, names[i], threads(request->placement));
	return r;
}

SIDECARD_PLUGIN_EXPORT const struct sidecard_plugin sidecard_plugin = {
	.api_version = SIDECARD_PLUGIN_API_VERSION,
	.size = sizeof(sidecard_plugin),
	.name = "llamacpp",
	.version = "1",
	.runtime = "llama.cpp",
	/* Barriers that spin. */
	.rounding = SIDECARD_ROUND_DOWN,
	.modes = SIDECARD_MODE_FIXED,
	.overcommit_permille = 1000,
	.keys = SIDECARD_TABLE(keys),
	.lives = SIDECARD_TABLE(lives),
	.environment = environment,
	.arguments = arguments,
};
