/* nginx. `worker_processes auto` counts the host's online processors, whatever mask and quota say,
 * and `worker_cpu_affinity auto` pins workers to the PUs 0, 1, 2 …, outside the inherited mask. So
 * the number is told, and where pinning is wanted, with the placement's own PUs. Either directive
 * may stand in the configuration once: leave it out of nginx.conf. */
#include "plugin_api.h"

/* A mask has a digit a PU; of more PUs than this no mask is told. */
#define MASK_MAX_DIGITS 1024u

static const struct sidecard_key keys[] = {
	{ "affinity", SIDECARD_KEY_WORD, .words = "none masks", .value = "none",
	  .help = "masks: each worker is pinned to its own part of the PUs, neighbours of the "
		  "chip together; none: workers move within the placement." },
};

/* All processes have one comm, their threads too; the title tells processes apart. */
static const struct sidecard_thread_rule thread_rules[] = {
	{ .argv = "nginx: master process*", .class = SIDECARD_THREAD_CONTROL },
	{ .argv = "nginx: cache *", .class = SIDECARD_THREAD_CONTROL },
	{ .argv = "nginx: worker process*", .class = SIDECARD_THREAD_DATA },
};

static const struct sidecard_live lives[] = {
	{ .what = "worker_processes",
	  .change = SIDECARD_CHANGE_RELOAD,
	  .way = SIDECARD_WAY_RELOAD,
	  /* Old workers stay until their connections end. */
	  .interval_us = 10000000 },
};

/* The PUs from @first to before @end of the placement as binary digits, the highest PU first. */
static bool mask_make(const struct sidecard_placement *placement, uint32_t first, uint32_t end,
		      char *buffer)
{
	uint32_t n_digits = 0;

	for (uint32_t i = first; i < end; i++) {
		const struct sidecard_pu *pu = sidecard_row(&placement->pus, i);

		if (pu->pu >= n_digits)
			n_digits = pu->pu + 1;
	}
	if (n_digits > MASK_MAX_DIGITS)
		return false;
	memset(buffer, '0', n_digits);
	buffer[n_digits] = '\0';
	for (uint32_t i = first; i < end; i++) {
		const struct sidecard_pu *pu = sidecard_row(&placement->pus, i);

		buffer[n_digits - 1 - pu->pu] = '1';
	}
	return true;
}

/* " MASK MASK …", one of each worker; "" where none is wanted or they are too large. */
static void masks_make(const struct sidecard_request *request, uint32_t n,
		       struct sidecard_text *text)
{
	const struct sidecard_placement *placement = request->placement;
	uint32_t n_pu = placement->pus.n_rows;
	char mask[MASK_MAX_DIGITS + 1];

	if (!sidecard_setting_is(request, "affinity", "masks") || n > n_pu)
		return;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t first = (uint32_t)((uint64_t)i * n_pu / n);
		uint32_t end = (uint32_t)((uint64_t)(i + 1) * n_pu / n);

		if (!mask_make(placement, first, end, mask)) {
			text->full = true;
			return;
		}
		sidecard_text_add(text, " %s", mask);
	}
}

static int arguments(const struct sidecard_request *request, const struct sidecard_sink *sink)
{
	uint32_t n = request->placement->parallelism;
	char buffer[3900] = "";
	struct sidecard_text text = SIDECARD_TEXT(buffer);
	int r = sidecard_argument(sink, "-g");

	if (r < 0)
		return r;
	masks_make(request, n, &text);
	if (text.full || text.used == 0)
		return sidecard_argument(sink, "worker_processes %u;", n);
	return sidecard_argument(sink, "worker_processes %u; worker_cpu_affinity%s;", n, buffer);
}

static int fragment(const struct sidecard_request *request, const struct sidecard_sink *sink)
{
	uint32_t n = request->placement->parallelism;
	char buffer[3900] = "";
	struct sidecard_text text = SIDECARD_TEXT(buffer);
	int r = sidecard_line(sink, "worker_processes %u;", n);

	masks_make(request, n, &text);
	if (r < 0 || text.full || text.used == 0)
		return r;
	return sidecard_line(sink, "worker_cpu_affinity%s;", buffer);
}

SIDECARD_PLUGIN_EXPORT const struct sidecard_plugin sidecard_plugin = {
	.api_version = SIDECARD_PLUGIN_API_VERSION,
	.size = sizeof(sidecard_plugin),
	.name = "nginx",
	.version = "1",
	.runtime = "nginx",
	/* Event loops. */
	.rounding = SIDECARD_ROUND_DOWN,
	.modes = SIDECARD_MODE_FIXED,
	.overcommit_permille = 1000,
	.keys = SIDECARD_TABLE(keys),
	.thread_rules = SIDECARD_TABLE(thread_rules),
	.lives = SIDECARD_TABLE(lives),
	.arguments = arguments,
	.fragment = fragment,
};
