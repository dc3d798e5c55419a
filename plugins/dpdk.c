/* DPDK. A poller uses all of its PU, always, so a quota that cannot pay for whole PUs stalls it in
 * the middle of a packet: under one there are no more lcores than it pays for, one PU's time left
 * over. At least one PU stays outside the lcores, because control threads run on what is allowed
 * and no lcore; with one PU they share it. Lcores have small numbers of their own (number@PU), so a
 * PU above the build's largest lcore needs no -R. */
#include "plugin_api.h"

/* RTE_MAX_LCORE as built by default. */
#define LCORES_MAX 128u

static const struct sidecard_key keys[] = {
	{ "lcores-per-core", SIDECARD_KEY_WORD, .words = "one all", .value = "one",
	  .help = "one: each lcore has a core for itself; all: each PU of a core has one." },
	{ "memory", SIDECARD_KEY_UINT, .most = 1048576, .value = "0",
	  .help = "MiB of huge pages on each NUMA node that the memory should come from. 0: none "
		  "told." },
	{ "memory-option", SIDECARD_KEY_WORD, .words = "numa-mem socket-mem", .value = "numa-mem",
	  .help = "What this DPDK calls the option; older ones: socket-mem." },
};

static const struct sidecard_thread_rule thread_rules[] = {
	{ .comm = "dpdk-worker*", .class = SIDECARD_THREAD_DATA },
	{ .comm = "dpdk-*", .class = SIDECARD_THREAD_CONTROL },
	/* The main lcore polls too. */
	{ .birth = 1, .class = SIDECARD_THREAD_DATA },
};

static const struct sidecard_live lives[] = {
	{ .what = "the lcores", .change = SIDECARD_CHANGE_START_ONLY },
};

/* Whether the PU of row @i may be an lcore: always, or where it is the first of its core. */
static bool is_candidate(const struct sidecard_placement *placement, uint32_t i, bool all)
{
	const struct sidecard_pu *pu = sidecard_row(&placement->pus, i);
	const struct sidecard_pu *before = i > 0 ? sidecard_row(&placement->pus, i - 1) : NULL;

	return all || !before || before->core != pu->core;
}

/* How many lcores: at least one; one whole core stays outside where there are several, else a PU
 * where there are several. */
static uint32_t lcores_count(const struct sidecard_placement *placement, bool all)
{
	bool quota = placement->quota_mcpu < (uint64_t)placement->n_pu * 1000;
	uint32_t n = 0, n_last_core = 0, most = placement->parallelism;

	for (uint32_t i = 0; i < placement->pus.n_rows; i++) {
		if (is_candidate(placement, i, false))
			n_last_core = 0;
		n += is_candidate(placement, i, all);
		n_last_core += is_candidate(placement, i, all);
	}
	if (placement->n_core > 1)
		n -= n_last_core;
	else if (all && n > 1)
		n--;
	if (quota)
		most = most > 1 ? most - 1 : 1;
	n = n < most ? n : most;
	n = n < LCORES_MAX ? n : LCORES_MAX;
	return n > 0 ? n : 1;
}

static void lcores_make(const struct sidecard_placement *placement, bool all,
			struct sidecard_text *text)
{
	uint32_t wanted = lcores_count(placement, all), n = 0;

	for (uint32_t i = 0; i < placement->pus.n_rows && n < wanted; i++) {
		const struct sidecard_pu *pu = sidecard_row(&placement->pus, i);

		if (!is_candidate(placement, i, all))
			continue;
		sidecard_text_add(text, "%s%u@%u", n > 0 ? "," : "", n, pu->pu);
		n++;
	}
}

/* "1024,0,1024": a number for each node up to the last of @mems ("0,2"). */
static void memory_make(const char *mems, uint64_t mebibytes, struct sidecard_text *text)
{
	const char *at = mems;
	unsigned long node = 0;

	while (*at >= '0' && *at <= '9') {
		char *end;
		unsigned long first = strtoul(at, &end, 10);
		unsigned long last = *end == '-' ? strtoul(end + 1, &end, 10) : first;

		for (; node <= last && !text->full; node++)
			sidecard_text_add(text, "%s%llu", node > 0 ? "," : "",
					  node >= first ? (unsigned long long)mebibytes : 0);
		at = *end == ',' ? end + 1 : end;
	}
}

static int arguments(const struct sidecard_request *request, const struct sidecard_sink *sink)
{
	const struct sidecard_placement *placement = request->placement;
	uint64_t mebibytes = sidecard_setting_uint(request, "memory");
	char lcores[2048] = "", memory[2048] = "";
	struct sidecard_text text = SIDECARD_TEXT(lcores), memory_text = SIDECARD_TEXT(memory);
	int r;

	lcores_make(placement, sidecard_setting_is(request, "lcores-per-core", "all"), &text);
	if (text.full || text.used == 0)
		return 0;
	r = sidecard_argument(sink, "--lcores=%s", lcores);
	if (r == 0)
		r = sidecard_argument(sink, "--main-lcore=0");
	if (r < 0 || mebibytes == 0)
		return r;
	memory_make(placement->mems, mebibytes, &memory_text);
	return memory_text.full
		       ? -ENOSPC
		       : sidecard_argument(sink, "--%s=%s",
					   sidecard_setting(request, "memory-option"), memory);
}

SIDECARD_PLUGIN_EXPORT const struct sidecard_plugin sidecard_plugin = {
	.api_version = SIDECARD_PLUGIN_API_VERSION,
	.size = sizeof(sidecard_plugin),
	.name = "dpdk",
	.version = "1",
	.runtime = "DPDK",
	/* Pollers. */
	.rounding = SIDECARD_ROUND_DOWN,
	.modes = SIDECARD_MODE_FIXED,
	.overcommit_permille = 1000,
	.keys = SIDECARD_TABLE(keys),
	.thread_rules = SIDECARD_TABLE(thread_rules),
	.lives = SIDECARD_TABLE(lives),
	.arguments = arguments,
};
