/* Whole configurations on whole machines against the plan that was read and found good.
 *
 * A case is a folder with the files of a configuration (sidecard.conf, pools.d/, workloads.d/), and
 * - machine: a topology as text, as `sidecard-probe topology MACHINE` prints it;
 * - limits: lines "PARENT QUOTA PATH WORKLOAD...", PARENT a line number from 0 or "-"; may be
 * absent;
 * - plan: what comes out, a table and then JSON.
 *
 * With SIDECARD_GOLDEN=write the plans are written anew; read the difference before you keep it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "edge/conf.h"
#include "plan/plan_text.h"

#define N_LIMITS_MOST 16

struct golden {
	const char *directory;
	struct topology *topology;
	struct conf *conf;
	struct snapshot_workload *workloads;
	struct limit limits[N_LIMITS_MOST];
	char paths[N_LIMITS_MOST][64];
	struct snapshot snapshot;
};

static int n_cases;
static char **cases;

/* malloc'ed; NULL where there is no such file. */
static char *file_read(const char *directory, const char *name)
{
	cleanup(freep) char *path = NULL;
	cleanup(fclosep) FILE *file = NULL;
	char *text = NULL;
	size_t n = 0;

	if (asprintf(&path, "%s/%s", directory, name) < 0)
		return NULL;
	file = fopen(path, "re");
	if (!file)
		return NULL;
	if (getdelim(&text, &n, '\0', file) < 0) {
		free(text);
		return strdup("");
	}
	return text;
}

static void machine_load(struct golden *golden)
{
	cleanup(freep) char *text = file_read(golden->directory, "machine");
	struct fault fault;

	assert_non_null(text);
	if (topology_parse(text, &golden->topology, &fault) < 0)
		fail_msg("%s: %s", golden->directory, fault.text);
}

static void limit_of(struct golden *golden, uint32_t limit, const char *name)
{
	for (size_t i = 0; i < golden->conf->n_workloads; i++)
		if (strcmp(golden->conf->workloads[i]->name, name) == 0) {
			golden->workloads[i].limit = limit;
			return;
		}
	fail_msg("%s: limits: no workload '%s'", golden->directory, name);
}

static void limit_add(struct golden *golden, char *line)
{
	uint32_t n = (uint32_t)golden->snapshot.n_limits++;
	char *parent = strsep(&line, " "), *quota = strsep(&line, " "), *path = strsep(&line, " ");
	struct limit *limit = &golden->limits[n];

	assert_true(n < N_LIMITS_MOST && path);
	*limit = (struct limit){
		.parent = strcmp(parent, "-") == 0 ? LIMIT_NONE
						   : (uint32_t)strtoul(parent, NULL, 10),
		.weight = 100,
		.path = golden->paths[n],
	};
	assert_int_equal(quota_parse_pu(quota, &limit->quota_mcpu), 0);
	snprintf(golden->paths[n], sizeof(golden->paths[n]), "%s", path);
	while (line)
		limit_of(golden, n, strsep(&line, " "));
}

static void limits_load(struct golden *golden)
{
	cleanup(freep) char *text = file_read(golden->directory, "limits");
	char *rest = text, *line;

	while (rest && (line = strsep(&rest, "\n")))
		if (*line)
			limit_add(golden, line);
}

/* Quota= stands for a cgroup of the workload's own. */
static void quotas_load(struct golden *golden)
{
	for (size_t i = 0; i < golden->conf->n_workloads; i++) {
		const struct workload *conf = golden->conf->workloads[i];
		uint32_t n = (uint32_t)golden->snapshot.n_limits;

		if (conf->quota_mcpu == QUOTA_UNLIMITED_MCPU)
			continue;
		assert_true(n < N_LIMITS_MOST && golden->workloads[i].limit == LIMIT_NONE);
		snprintf(golden->paths[n], sizeof(golden->paths[n]), "/%.62s", conf->name);
		golden->limits[n] = (struct limit){ .parent = LIMIT_NONE,
						    .quota_mcpu = conf->quota_mcpu,
						    .weight = 100,
						    .path = golden->paths[n] };
		golden->workloads[i].limit = n;
		golden->snapshot.n_limits++;
	}
}

static void golden_open(struct golden *golden, const char *directory)
{
	struct fault_list faults = { 0 };
	const struct conf *conf;

	*golden = (struct golden){ .directory = directory };
	machine_load(golden);
	if (conf_load(directory, true, &golden->conf, &faults) < 0)
		fail_msg("%s: %s", directory, faults.n_texts ? faults.texts[0] : "no memory");
	conf = golden->conf;
	golden->workloads = calloc(conf->n_workloads + 1, sizeof(*golden->workloads));
	assert_non_null(golden->workloads);
	for (size_t i = 0; i < conf->n_workloads; i++)
		golden->workloads[i] = (struct snapshot_workload){ .conf = conf->workloads[i],
								   .limit = LIMIT_NONE };
	golden->snapshot = (struct snapshot){
		.topology = golden->topology,
		.housekeeping = &conf->housekeeping,
		.pools = (const struct pool *const *)conf->pools,
		.n_pools = conf->n_pools,
		.workloads = golden->workloads,
		.n_workloads = conf->n_workloads,
		.limits = golden->limits,
	};
	limits_load(golden);
	quotas_load(golden);
}

static void golden_close(struct golden *golden)
{
	topology_free(golden->topology);
	conf_free(golden->conf);
	free(golden->workloads);
}

/* malloc'ed. */
static char *plan_print(const struct golden *golden)
{
	struct plan *plan = NULL;
	cleanup(freep) char *table = NULL, *json_text = NULL;
	struct fault fault;
	char *text = NULL;
	json_t *json;

	if (plan_make(&golden->snapshot, NULL, 0, &plan, &fault) < 0)
		fail_msg("%s: %s", golden->directory, fault.text);
	table = plan_table(plan, golden->topology);
	json = plan_json(plan, golden->topology);
	json_text = json_dumps(json, JSON_INDENT(1) | JSON_REAL_PRECISION(10));
	json_decref(json);
	plan_free(plan);
	assert_non_null(table);
	assert_non_null(json_text);
	assert_true(asprintf(&text, "%s\n%s\n", table, json_text) > 0);
	return text;
}

static void plan_write(const char *directory, const char *text)
{
	cleanup(freep) char *path = NULL;
	cleanup(fclosep) FILE *file = NULL;

	assert_true(asprintf(&path, "%s/plan", directory) > 0);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
}

static void plans_are_as_before(void **state)
{
	const char *mode = getenv("SIDECARD_GOLDEN");
	int n_wrong = 0;

	(void)state;
	assert_true(n_cases > 0);
	for (int i = 0; i < n_cases; i++) {
		cleanup(freep) char *expected = file_read(cases[i], "plan");
		cleanup(freep) char *text = NULL;
		struct golden golden;

		golden_open(&golden, cases[i]);
		text = plan_print(&golden);
		golden_close(&golden);
		if (mode && strcmp(mode, "write") == 0) {
			plan_write(cases[i], text);
		} else if (!expected || strcmp(expected, text) != 0) {
			print_error("%s: the plan is now\n%s", cases[i], text);
			n_wrong++;
		}
	}
	assert_int_equal(n_wrong, 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(plans_are_as_before) };

	n_cases = argc - 1;
	cases = argv + 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
