/* vLLM. On processors each rank computes with a team of OpenMP threads that spin at barriers, one a
 * core, and a scheduler wants a core of its own. VLLM_CPU_OMP_THREADS_BIND is a list of PUs for
 * each rank, separated by bars; its own `auto` looks at nodes and not at a quota. With a GPU it is
 * PyTorch. */
#include "plugin_api.h"

#define RANKS_MAX 64u

static const struct sidecard_key keys[] = {
	{ "device", SIDECARD_KEY_WORD, .words = "cpu gpu", .value = "cpu",
	  .help = "gpu: only the number of threads is told." },
	{ "ranks", SIDECARD_KEY_UINT, .least = 1, .most = RANKS_MAX, .value = "1",
	  .help = "Tensor times pipeline parallel size. Ranks get neighbouring cores; one for each "
		  "NUMA node suits most machines." },
	{ "kvcache", SIDECARD_KEY_UINT, .most = 65536, .value = "0",
	  .help = "VLLM_CPU_KVCACHE_SPACE in GiB. 0: vLLM's own." },
};

static const struct sidecard_thread_rule thread_rules[] = {
	{ .comm = "VLLM::Worker*", .class = SIDECARD_THREAD_DATA },
	{ .comm = "VLLM::EngineCor*", .class = SIDECARD_THREAD_CONTROL },
	{ .comm = "VLLM::APIServer*", .class = SIDECARD_THREAD_IO },
	{ .comm = "pt_data_*", .class = SIDECARD_THREAD_IO },
};

static const struct sidecard_live lives[] = {
	{ .what = "ranks and their threads", .change = SIDECARD_CHANGE_START_ONLY },
};

/* The first PU of the core that follows row @i - 1; NULL behind the last. Moves @i behind it. */
static const struct sidecard_pu *core_next(const struct sidecard_placement *placement, uint32_t *i)
{
	while (*i < placement->pus.n_rows) {
		const struct sidecard_pu *before = *i > 0 ? sidecard_row(&placement->pus, *i - 1)
							  : NULL;
		const struct sidecard_pu *pu = sidecard_row(&placement->pus, (*i)++);

		if (!before || before->core != pu->core)
			return pu;
	}
	return NULL;
}

/* Threads of all ranks together: a core each, one core left to the scheduler where there are more,
 * and under a quota no more than it pays for. */
static uint32_t threads(const struct sidecard_placement *placement)
{
	uint32_t n = placement->n_core > 1 ? placement->n_core - 1 : 1;

	return n < placement->parallelism ? n : placement->parallelism;
}

/* The rank of each core: that of its NUMA node where there is one for each, else the cores are cut
 * into even runs. Called for the cores in their order, with @core and @node counted up. */
static uint32_t rank_of(const struct sidecard_placement *placement, uint32_t n_ranks, uint32_t core,
			uint32_t node)
{
	if (n_ranks == placement->n_node)
		return node < n_ranks ? node : n_ranks - 1;
	return (uint32_t)((uint64_t)core * n_ranks / placement->n_core);
}

/* What visits the cores once: the n_most first ones of each rank go to @text ("0,2|4,6"). Returns
 * how many cores the rank with the fewest has. */
static uint32_t cores_visit(const struct sidecard_placement *placement, uint32_t n_ranks,
			    uint32_t n_most, struct sidecard_text *text)
{
	uint32_t sizes[RANKS_MAX] = { 0 }, fewest = UINT32_MAX;
	uint32_t row = 0, node = 0, last_node = 0, last_rank = 0;

	for (uint32_t core = 0; core < placement->n_core; core++) {
		const struct sidecard_pu *pu = core_next(placement, &row);
		uint32_t rank;

		if (!pu)
			return 0;
		node += core > 0 && pu->node != last_node;
		last_node = pu->node;
		rank = rank_of(placement, n_ranks, core, node);
		if (sizes[rank]++ < n_most)
			sidecard_text_add(text, "%s%u",
					  core == 0	      ? ""
					  : rank != last_rank ? "|"
							      : ",",
					  pu->pu);
		last_rank = rank;
	}
	for (uint32_t rank = 0; rank < n_ranks; rank++)
		fewest = sizes[rank] < fewest ? sizes[rank] : fewest;
	return fewest;
}

static int environment(const struct sidecard_request *request, const struct sidecard_sink *sink)
{
	const struct sidecard_placement *placement = request->placement;
	uint32_t n = threads(placement);
	uint32_t n_ranks = (uint32_t)sidecard_setting_uint(request, "ranks");
	uint64_t kvcache = sidecard_setting_uint(request, "kvcache");
	char buffer[4096] = "", unused[1];
	struct sidecard_text text = SIDECARD_TEXT(buffer), none = SIDECARD_TEXT(unused);
	/* All ranks compute in step, so all have as many as the one with the fewest. */
	uint32_t fewest = cores_visit(placement, n_ranks, 0, &none);
	uint32_t n_each = n / n_ranks > 0 ? n / n_ranks : 1;
	int r;

	if (fewest > 0 && fewest < n_each)
		n_each = fewest;
	r = sidecard_variable_uint(sink, "OMP_NUM_THREADS", n_each);
	if (r < 0 || sidecard_setting_is(request, "device", "gpu"))
		return r;
	/* Each rank needs a core; with fewer it is left to vLLM, which says what is wrong. */
	if (n_ranks <= n && fewest > 0)
		cores_visit(placement, n_ranks, n_each, &text);
	if (!text.full && text.used > 0)
		r = sidecard_variable(sink, "VLLM_CPU_OMP_THREADS_BIND", &text);
	if (r == 0 && kvcache > 0)
		r = sidecard_variable_uint(sink, "VLLM_CPU_KVCACHE_SPACE", kvcache);
	return r;
}

SIDECARD_PLUGIN_EXPORT const struct sidecard_plugin sidecard_plugin = {
	.api_version = SIDECARD_PLUGIN_API_VERSION,
	.size = sizeof(sidecard_plugin),
	.name = "vllm",
	.version = "1",
	.runtime = "vLLM",
	/* Barriers that spin. */
	.rounding = SIDECARD_ROUND_DOWN,
	.modes = SIDECARD_MODE_FIXED,
	.overcommit_permille = 1000,
	.keys = SIDECARD_TABLE(keys),
	.thread_rules = SIDECARD_TABLE(thread_rules),
	.lives = SIDECARD_TABLE(lives),
	.environment = environment,
};
