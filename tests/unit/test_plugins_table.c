/* Every plugin × quota × PUs × NUMA nodes → exactly what it tells, as tests/golden/plugins/NAME
 * says. SIDECARD_GOLDEN=write writes these anew; the difference is reviewed. What no answer may
 * ever contain is checked beside that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "plugins_fixture.h"

static int n_plugins;
static char **plugins;

static const struct {
	uint32_t mcpu;
	const char *text;
} quotas[] = {
	{ 500, "0.5" },	 { 1000, "1" }, { 1500, "1.5" },
	{ 2500, "2.5" }, { 8000, "8" }, { 0, "none" },
};
static const uint32_t n_pus[] = { 1, 2, 6, 64 };

/* The whole table of one plugin; malloc'ed. */
static char *table_make(const struct sidecard_plugin *plugin)
{
	char *text = NULL;
	size_t n_text = 0;
	FILE *file = open_memstream(&text, &n_text);

	assert_non_null(file);
	for (size_t q = 0; q < N_ELEMENTS(quotas); q++)
		for (size_t p = 0; p < N_ELEMENTS(n_pus); p++)
			for (uint32_t n_node = 1; n_node <= 2 && n_node <= n_pus[p]; n_node++) {
				struct plugin_case row = { .quota_mcpu = quotas[q].mcpu,
							   .n_pu = n_pus[p],
							   .n_node = n_node };
				cleanup(freep) char *answer = case_answer(plugin, &row);

				fprintf(file, "quota %s, %u PU, %u node: %s\n", quotas[q].text,
					n_pus[p], n_node, answer);
			}
	fclose(file);
	return text;
}

static char *table_read(const char *path)
{
	cleanup(fclosep) FILE *file = fopen(path, "re");
	char *text = NULL;
	size_t size = 0;

	if (!file || getdelim(&text, &size, '\0', file) < 0) {
		free(text);
		return NULL;
	}
	return text;
}

/* "golden/plugins/go" → "go" */
static const char *name_of(const char *path)
{
	return strrchr(path, '/') + 1;
}

static void tables_are_as_reviewed(void **state)
{
	const char *mode = getenv("SIDECARD_GOLDEN");
	int n_wrong = 0;

	(void)state;
	assert_true(n_plugins > 0);
	for (int i = 0; i < n_plugins; i++) {
		const struct sidecard_plugin *plugin = plugin_open(name_of(plugins[i]));
		cleanup(freep) char *expected = table_read(plugins[i]);
		cleanup(freep) char *text = NULL;

		assert_non_null(plugin);
		text = table_make(plugin);
		if (mode && strcmp(mode, "write") == 0) {
			cleanup(fclosep) FILE *file = fopen(plugins[i], "we");

			assert_non_null(file);
			assert_true(fputs(text, file) >= 0);
		} else if (!expected || strcmp(expected, text) != 0) {
			print_error("%s: the table is now\n%s", plugins[i], text);
			n_wrong++;
		}
	}
	assert_int_equal(n_wrong, 0);
}

/* Numbers of threads are never 0 and never above what the quota, rounded as the plugin wants, and
 * the PUs allow. 0: no number of threads. */
static uint64_t bound_of(const char *name, uint32_t parallelism)
{
	/* PUs. */
	if (strcmp(name, "VLLM_CPU_OMP_THREADS_BIND") == 0 || strcmp(name, "OMP_PLACES") == 0)
		return 0;
	/* These threads wait for files: Node starts 4 of them anyway. */
	if (strcmp(name, "UV_THREADPOOL_SIZE") == 0)
		return parallelism > 4 ? parallelism : 4;
	return parallelism;
}

static void no_number_is_0_or_above_the_quota(void **state)
{
	uint32_t n_seen = 0;

	(void)state;
	for (int i = 0; i < n_plugins; i++) {
		const struct sidecard_plugin *plugin = plugin_open(name_of(plugins[i]));

		for (uint32_t quota = 100; quota < 12000; quota += 317) {
			struct plugin_case row = { .quota_mcpu = quota,
						   .n_pu = quota % 7 + 1,
						   .n_node = 1 };
			uint32_t most = case_parallelism(&row, plugin->rounding);
			cleanup(plugin_answer_done) struct plugin_answer answer = { 0 };
			struct fault fault;

			assert_int_equal(case_ask(plugin, &row, &answer, &fault), 0);
			for (size_t k = 0; k < answer.environment.n_items; k++) {
				char *name = answer.environment.items[k], *end;
				char *value = strchr(name, '=');
				uint64_t n, bound;

				*value++ = '\0';
				n = strtoull(value, &end, 10);
				bound = bound_of(name, most);
				if (*end || bound == 0)
					continue;
				n_seen++;
				if (n < 1 || n > bound)
					fail_msg("%s: %s=%s at %u mcpu, %u PUs", plugin->name, name,
						 value, quota, row.n_pu);
			}
		}
	}
	assert_true(n_seen > 500);
}

/* What runtimes.md's column of traps forbids outright. */
static void some_words_are_never_told(void **state)
{
	static const char *const words[] = {
		"GOMP_CPU_AFFINITY", "KMP_AFFINITY", "=auto", "worker_cpu_affinity auto",
		"CICompilerCount",   "MKL_DYNAMIC",  "+sbt ", "--concurrency | arg 0",
		"norespect",	     "cpu-set reset"
	};

	(void)state;
	for (int i = 0; i < n_plugins; i++) {
		const struct sidecard_plugin *plugin = plugin_open(name_of(plugins[i]));
		cleanup(freep) char *text = table_make(plugin);

		for (size_t k = 0; k < N_ELEMENTS(words); k++)
			if (strstr(text, words[k]))
				fail_msg("%s tells '%s'", plugin->name, words[k]);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables_are_as_reviewed),
		cmocka_unit_test(no_number_is_0_or_above_the_quota),
		cmocka_unit_test(some_words_are_never_told),
	};

	n_plugins = argc - 1;
	plugins = argv + 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
