/* Triton inference server: one host policy for each NUMA node of the placement, node0, node1 … by
 * the kernel's numbers, which the models' instance groups name. The server takes ranges only, so a
 * single PU is a range of one; its mask of nodes is one word of 64 bits. Backends compute with
 * OpenMP or MKL: their threads are those of the plugin pytorch. */
#include "plugin_api.h"

/* numa_utils.cc keeps the nodes in one word. */
#define NODES_MAX 64u

static const struct sidecard_key keys[] = {
	{ "policy", SIDECARD_KEY_TEXT, .least = 1, .most = 32, .value = "node",
	  .help = "What the policies' names begin with: letters, digits, '_' and '-'." },
};

static const struct sidecard_live lives[] = {
	{ .what = "the policies",
	  .change = SIDECARD_CHANGE_START_ONLY,
	  .note = "a reload of a model places it anew within the same policies" },
};

/* The PUs of @node as "4-7,12-12", in ascending order. */
static void ranges_make(const struct sidecard_placement *placement, uint32_t node,
			struct sidecard_text *text)
{
	uint32_t first = 0, last = 0;
	bool open = false;

	for (uint64_t at = 0;;) {
		const struct sidecard_pu *next = NULL;

		for (uint32_t i = 0; i < placement->pus.n_rows; i++) {
			const struct sidecard_pu *pu = sidecard_row(&placement->pus, i);

			if (pu->node == node && pu->pu >= at && (!next || pu->pu < next->pu))
				next = pu;
		}
		if (open && (!next || next->pu != last + 1)) {
			sidecard_text_add(text, "%s%u-%u", text->used > 0 ? "," : "", first, last);
			open = false;
		}
		if (!next)
			return;
		if (!open)
			first = next->pu;
		open = true;
		last = next->pu;
		at = (uint64_t)last + 1;
	}
}

static int policy(const struct sidecard_request *request, uint32_t node,
		  const struct sidecard_sink *sink)
{
	const char *name = sidecard_setting(request, "policy");
	char buffer[2048] = "";
	struct sidecard_text text = SIDECARD_TEXT(buffer);
	int r = 0;

	ranges_make(request->placement, node, &text);
	if (text.full)
		return -ENOSPC;
	if (node < NODES_MAX)
		r = sidecard_argument(sink, "--host-policy=%s%u,numa-node=%u", name, node, node);
	return r < 0 ? r
		     : sidecard_argument(sink, "--host-policy=%s%u,cpu-cores=%s", name, node,
					 buffer);
}

static bool node_is_new(const struct sidecard_placement *placement, uint32_t i)
{
	const struct sidecard_pu *pu = sidecard_row(&placement->pus, i);

	for (uint32_t k = 0; k < i; k++) {
		const struct sidecard_pu *before = sidecard_row(&placement->pus, k);

		if (before->node == pu->node)
			return false;
	}
	return true;
}

static int arguments(const struct sidecard_request *request, const struct sidecard_sink *sink)
{
	const struct sidecard_placement *placement = request->placement;
	const char *name = sidecard_setting(request, "policy");
	int r = 0;

	if (strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") !=
	    strlen(name))
		return -EINVAL;
	for (uint32_t i = 0; i < placement->pus.n_rows && r == 0; i++) {
		const struct sidecard_pu *pu = sidecard_row(&placement->pus, i);

		if (node_is_new(placement, i))
			r = policy(request, pu->node, sink);
	}
	return r;
}

static int environment(const struct sidecard_request *request, const struct sidecard_sink *sink)
{
	const struct sidecard_placement *placement = request->placement;
	uint32_t n = placement->parallelism < placement->n_core ? placement->parallelism
								: placement->n_core;
	int r = sidecard_variable_uint(sink, "OMP_NUM_THREADS", n);

	return r < 0 ? r : sidecard_variable_uint(sink, "MKL_NUM_THREADS", n);
}

SIDECARD_PLUGIN_EXPORT const struct sidecard_plugin sidecard_plugin = {
	.api_version = SIDECARD_PLUGIN_API_VERSION,
	.size = sizeof(sidecard_plugin),
	.name = "triton",
	.version = "1",
	.runtime = "Triton inference server",
	/* Backends spin at barriers. */
	.rounding = SIDECARD_ROUND_DOWN,
	.modes = SIDECARD_MODE_FIXED,
	.overcommit_permille = 1000,
	.keys = SIDECARD_TABLE(keys),
	.lives = SIDECARD_TABLE(lives),
	.environment = environment,
	.arguments = arguments,
};
