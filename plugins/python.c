/* CPython and the numeric libraries below it. It reads no quota; from 3.13 on PYTHON_CPU_COUNT is
 * believed, for os.cpu_count() as well as for os.process_cpu_count(). The numeric libraries each
 * size a pool of their own, and a server starts processes beside that: which of the two gets the
 * number is a setting, because both would multiply. */
#include "plugin_api.h"

static const struct sidecard_key keys[] = {
	{ "parallel", SIDECARD_KEY_WORD, .words = "threads processes", .value = "threads",
	  .help = "threads: one process whose numeric libraries run the parallelism; processes: "
		  "WEB_CONCURRENCY is the parallelism, and the libraries in each run one thread." },
	{ "cpu-count", SIDECARD_KEY_BOOL, .value = "yes",
	  .help = "Publish PYTHON_CPU_COUNT (3.13 and later). It changes os.cpu_count() too, which "
		  "misleads a program that wants the host's size." },
};

static const struct sidecard_live lives[] = {
	{ .what = "the counts", .change = SIDECARD_CHANGE_START_ONLY },
};

static int environment(const struct sidecard_request *request, const struct sidecard_sink *sink)
{
	static const char *const libraries[] = { "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
						 "MKL_NUM_THREADS", "BLIS_NUM_THREADS" };
	bool processes = sidecard_setting_is(request, "parallel", "processes");
	uint32_t n = request->placement->parallelism;
	int r = 0;

	if (sidecard_setting_is(request, "cpu-count", "yes"))
		r = sidecard_variable_uint(sink, "PYTHON_CPU_COUNT", n);
	for (size_t i = 0; i < sizeof(libraries) / sizeof(libraries[0]) && r == 0; i++)
		r = sidecard_variable_uint(sink, libraries[i], processes ? 1 : n);
	if (r == 0 && processes)
		r = sidecard_variable_uint(sink, "WEB_CONCURRENCY", n);
	return r;
}

SIDECARD_PLUGIN_EXPORT const struct sidecard_plugin sidecard_plugin = {
	.api_version = SIDECARD_PLUGIN_API_VERSION,
	.size = sizeof(sidecard_plugin),
	.name = "python",
	.version = "1",
	.runtime = "CPython",
	/* The numeric libraries spin at their barriers. */
	.rounding = SIDECARD_ROUND_DOWN,
	.modes = SIDECARD_MODE_FIXED,
	.overcommit_permille = 1000,
	.keys = SIDECARD_TABLE(keys),
	.lives = SIDECARD_TABLE(lives),
	.environment = environment,
};
