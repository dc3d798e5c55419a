/* PyTorch, and what else computes with OpenMP or MKL below Python. It counts the host's cores; its
 * threads spin at barriers, so one more than the quota pays for costs a multiple, and two on one
 * core gain nothing.
 *
 * ONNX Runtime has no variable: its sessions must be given intra_op_num_threads and
 * inter_op_num_threads (SIDECARD_PARALLELISM and 1), which also ends its own pinning to PUs of the
 * host, outside of a smaller cpuset. */
#include "plugin_api.h"

static const struct sidecard_key keys[] = {
	{ "processes", SIDECARD_KEY_UINT, .least = 1, .most = 1024, .value = "1",
	  .help = "Processes that share the placement, as torchrun starts them: each gets its part "
		  "of the threads." },
};

static const struct sidecard_thread_rule thread_rules[] = {
	{ .comm = "pt_data_pin*", .class = SIDECARD_THREAD_IO },
	{ .comm = "pt_data_worker*", .class = SIDECARD_THREAD_IO },
	{ .comm = "pt_elastic*", .class = SIDECARD_THREAD_CONTROL },
	{ .comm = "pt_*", .class = SIDECARD_THREAD_DATA },
};

static const struct sidecard_live lives[] = {
	{ .what = "threads",
	  .change = SIDECARD_CHANGE_LIVE,
	  .way = SIDECARD_WAY_ASK,
	  .interval_us = 1000000,
	  .note = "where the program calls torch.set_num_threads()" },
	{ .what = "the variables", .change = SIDECARD_CHANGE_START_ONLY },
};

static int environment(const struct sidecard_request *request, const struct sidecard_sink *sink)
{
	const struct sidecard_placement *placement = request->placement;
	uint64_t n = placement->parallelism < placement->n_core ? placement->parallelism
								: placement->n_core;
	int r;

	n /= sidecard_setting_uint(request, "processes");
	if (n == 0)
		n = 1;
	r = sidecard_variable_uint(sink, "OMP_NUM_THREADS", n);
	return r < 0 ? r : sidecard_variable_uint(sink, "MKL_NUM_THREADS", n);
}

SIDECARD_PLUGIN_EXPORT const struct sidecard_plugin sidecard_plugin = {
	.api_version = SIDECARD_PLUGIN_API_VERSION,
	.size = sizeof(sidecard_plugin),
	.name = "pytorch",
	.version = "1",
	.runtime = "PyTorch, ONNX Runtime",
	/* Barriers that spin. */
	.rounding = SIDECARD_ROUND_DOWN,
	.modes = SIDECARD_MODE_FIXED,
	.overcommit_permille = 1000,
	.keys = SIDECARD_TABLE(keys),
	.thread_rules = SIDECARD_TABLE(thread_rules),
	.lives = SIDECARD_TABLE(lives),
	.environment = environment,
};
