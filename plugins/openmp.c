/* OpenMP (libgomp, LLVM and Intel) and the BLAS libraries. None reads a quota. A team spins at its
 * barriers, so one thread more than the quota has time for costs a multiple.
 *
 * Places never go without the count: alone they stack threads on one place. GOMP_CPU_AFFINITY is
 * never told: it leaves the mask that a process inherited. BLIS runs one thread unless told,
 * OpenBLAS built for OpenMP looks at OMP_NUM_THREADS alone, MKL_DYNAMIC stays as it is. */
#include "plugin_api.h"

#define PLACES_SIZE 4096

static const struct sidecard_key keys[] = {
	{ "library", SIDECARD_KEY_WORD, .words = "any llvm", .value = "any",
	  .help = "llvm: LLVM's or Intel's, which is told KMP_BLOCKTIME=0 under a quota too." },
	{ "places", SIDECARD_KEY_BOOL, .value = "yes",
	  .help = "Publish OMP_PLACES and OMP_PROC_BIND. They are true until the PUs change, and "
		  "then until the next start." },
	{ "thread-limit", SIDECARD_KEY_BOOL, .value = "yes",
	  .help = "Publish OMP_THREAD_LIMIT, so that nested teams stay within the number too." },
	{ "blas", SIDECARD_KEY_WORD, .words = "same one none", .value = "same",
	  .help = "Threads of OpenBLAS, MKL and BLIS: the same number; one, where the program is "
		  "parallel already and calls them from many threads; or none published." },
};

static const struct sidecard_live lives[] = {
	{ .what = "the team", .change = SIDECARD_CHANGE_START_ONLY },
};

/* One place a core where the threads have a core each, else one a PU; "" where the PUs are not
 * known or are more than a variable holds. */
static void places_make(const struct sidecard_placement *placement, uint32_t n,
			struct sidecard_text *text)
{
	const struct sidecard_pu *before = NULL;
	bool by_core = n <= placement->n_core;

	for (uint32_t i = 0; i < placement->pus.n_rows; i++) {
		const struct sidecard_pu *pu = sidecard_row(&placement->pus, i);
		bool joins = by_core && before && before->core == pu->core;

		sidecard_text_add(text, "%s%u", !before ? "{" : joins ? "," : "},{", pu->pu);
		before = pu;
	}
	if (before)
		sidecard_text_add(text, "}");
}

static int bind(const struct sidecard_placement *placement, uint32_t n,
		const struct sidecard_sink *sink)
{
	char buffer[PLACES_SIZE] = "";
	struct sidecard_text text = SIDECARD_TEXT(buffer);
	int r;

	places_make(placement, n, &text);
	if (text.full || text.used == 0)
		return 0;
	r = sidecard_variable(sink, "OMP_PLACES", &text);
	if (r < 0)
		return r;
	return sink->variable(sink->userdata, "OMP_PROC_BIND",
			      placement->n_node > 1 ? "spread" : "close");
}

/* Whoever waits must not spend the quota on it. */
static int wait_policy(const struct sidecard_request *request, const struct sidecard_sink *sink)
{
	const struct sidecard_placement *placement = request->placement;
	int r;

	if (placement->quota_mcpu >= (uint64_t)placement->n_pu * 1000)
		return 0;
	r = sink->variable(sink->userdata, "OMP_WAIT_POLICY", "passive");
	if (r == 0 && sidecard_setting_is(request, "library", "llvm"))
		r = sidecard_variable_uint(sink, "KMP_BLOCKTIME", 0);
	return r;
}

static int blas(const struct sidecard_request *request, uint32_t n,
		const struct sidecard_sink *sink)
{
	static const char *const names[] = { "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
					     "BLIS_NUM_THREADS" };
	int r = 0;

	if (sidecard_setting_is(request, "blas", "none"))
		return 0;
	if (sidecard_setting_is(request, "blas", "one"))
		n = 1;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && r == 0; i++)
		r = sidecard_variable_uint(sink, names[i], n);
	return r;
}

static int environment(const struct sidecard_request *request, const struct sidecard_sink *sink)
{
	const struct sidecard_placement *placement = request->placement;
	uint32_t n = placement->parallelism < placement->n_pu ? placement->parallelism
							      : placement->n_pu;
	int r = sidecard_variable_uint(sink, "OMP_NUM_THREADS", n);

	if (r == 0 && sidecard_setting_is(request, "thread-limit", "yes"))
		r = sidecard_variable_uint(sink, "OMP_THREAD_LIMIT", n);
	if (r == 0 && sidecard_setting_is(request, "places", "yes"))
		r = bind(placement, n, sink);
	if (r == 0)
		r = wait_policy(request, sink);
	return r < 0 ? r : blas(request, n, sink);
}

SIDECARD_PLUGIN_EXPORT const struct sidecard_plugin sidecard_plugin = {
	.api_version = SIDECARD_PLUGIN_API_VERSION,
	.size = sizeof(sidecard_plugin),
	.name = "openmp",
	.version = "1",
	.runtime = "OpenMP, OpenBLAS, MKL and BLIS",
	/* Barriers that spin. */
	.rounding = SIDECARD_ROUND_DOWN,
	.modes = SIDECARD_MODE_FIXED,
	.overcommit_permille = 1000,
	.keys = SIDECARD_TABLE(keys),
	.lives = SIDECARD_TABLE(lives),
	.environment = environment,
};
