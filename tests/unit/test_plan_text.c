/* A plan as JSON, as a table, as sentences, and back. */
#include "plan_fixture.h"

static void fixture_pair(struct fixture *fixture)
{
	fixture_open(fixture, "1/4/1/2/2");
	fixture_housekeeping(fixture, "auto");
	fixture_limit(fixture, LIMIT_NONE, "2.5", "/pods/a");
	fixture_add(fixture, "agent control min=1 max=1");
	fixture_add(fixture, "envoy own whole single min=4 max=4 limit=0");
	fixture_add(fixture, "x own single min=6 max=6");
}

/* Byte for byte: other programs rely on it. */
static void json_is_the_contract(void **state)
{
	static const char expected[] =
		"{\"generation\":1,\"optimal\":false,\"bound\":1.0,\"bound_item\":1,\"duration_"
		"us\":12.3,"
		"\"machine\":{\"n_pu\":16,\"n_core\":8,\"n_numa\":4,\"pus\":\"0-15\"},"
		"\"housekeeping\":{\"cpus\":\"0-1\"},\"workloads\":["
		"{\"name\":\"agent\",\"role\":\"control-plane\",\"pool\":\"default\",\"exclusive\":"
		"false,"
		"\"placed\":true,\"cpus\":\"2\",\"n_pu\":1,\"n_core\":1,\"nodes\":\"0\",\"mems\":"
		"\"0\","
		"\"quota_mcpu\":null,\"parallelism\":{\"floor\":1,\"ceil\":1,\"advised\":1},"
		"\"limited_by\":\"max\"},"
		"{\"name\":\"envoy\",\"role\":\"data-plane\",\"pool\":\"default\",\"exclusive\":"
		"true,"
		"\"placed\":true,\"cpus\":\"4-7\",\"n_pu\":4,\"n_core\":2,\"nodes\":\"1\",\"mems\":"
		"\"1\","
		"\"quota_mcpu\":2500,\"parallelism\":{\"floor\":2,\"ceil\":3,\"advised\":2},"
		"\"limited_by\":\"cpu.max of /pods/a\"},"
		"{\"name\":\"x\",\"role\":\"data-plane\",\"pool\":\"default\",\"exclusive\":true,"
		"\"placed\":false,\"cpus\":\"\",\"n_pu\":0,\"n_core\":0,\"nodes\":\"\",\"mems\":"
		"\"\","
		"\"quota_mcpu\":null,\"parallelism\":{\"floor\":1,\"ceil\":1,\"advised\":1},"
		"\"limited_by\":\"nothing\"}],"
		"\"unplaced\":[{\"name\":\"x\",\"reason\":\"needs 6 PUs on one node, the largest "
		"free "
		"node has "
		"4; Min=4 would place it, and so would Policy=prefer\"}]}";
	struct fixture fixture;
	struct plan *plan;
	json_t *json;
	char *text;

	(void)state;
	fixture_pair(&fixture);
	plan = fixture_plan(&fixture, NULL);
	plan->duration_us = 12.34;
	json = plan_json(plan, fixture.topology);
	assert_non_null(json);
	text = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(10));
	assert_string_equal(text, expected);
	free(text);
	json_decref(json);
	/* A bound is a number where there is one. */
	plan->bound = 0.25;
	json = plan_json(plan, fixture.topology);
	assert_true(json_real_value(json_object_get(json, "bound")) == 0.25);
	json_decref(json);
	plan_free(plan);
	fixture_close(&fixture);
}

static void table_is_aligned(void **state)
{
	static const char expected[] =
		"NAME   ROLE           POOL     USE   PUS  NODES  CORES  QUOTA  THREADS  LIMITED "
		"BY\n"
		"agent  control-plane  default  free  2    0      1      -      1        max\n"
		"envoy  data-plane     default  own   4-7  1      2      2.5    2        cpu.max "
		"of /pods/a\n"
		"x: not placed: needs 6 PUs on one node, the largest free node has 4; Min=4 would "
		"place "
		"it, and "
		"so would Policy=prefer\n"
		"PUs 0-15 planned (8 cores, 4 NUMA nodes), housekeeping 0-1\n";
	struct fixture fixture;
	struct plan *plan;
	char *text;

	(void)state;
	fixture_pair(&fixture);
	plan = fixture_plan(&fixture, NULL);
	text = plan_table(plan, fixture.topology);
	assert_string_equal(text, expected);
	free(text);
	plan_free(plan);
	fixture_close(&fixture);
}

static void explains(void **state)
{
	static const char envoy[] =
		"envoy is a data-plane workload of pool 'default', priority 100.\n"
		"It alone has PUs 4-7: 4 PUs in 2 cores on NUMA node 1.\n"
		"Its memory comes from node 1.\n"
		"It asks for at least 4 PUs and at most 4 of its own, in whole cores, one NUMA "
		"node in any "
		"case.\n"
		"cpu.max of /pods/a leaves 2.500 PUs.\n"
		"It should run 2 threads (2 rounded down, 3 rounded up), limited by cpu.max of "
		"/pods/a.\n"
		"Item 1, minimum: 4 of at least 4 PUs.\n"
		"Item 2, PUs of its own that another has too: 0, best possible 0.\n"
		"Item 3, NUMA nodes: 1, best possible 1.\n"
		"Item 3, packages: 1, best possible 1.\n"
		"Item 6, L3 groups: 1, best possible 1.\n"
		"Item 6, dies: 1, best possible 1.\n"
		"Item 6, L2 groups: 2, best possible 2.\n"
		"Item 7, PUs on a core that another has a part of: 0, best possible 0.\n";
	static const char x[] =
		"x is a data-plane workload of pool 'default', priority 100.\n"
		"It is not placed: needs 6 PUs on one node, the largest free node has 4; Min=4 "
		"would "
		"place it, "
		"and so would Policy=prefer.\n"
		"It asks for at least 6 PUs and at most 6 of its own, one NUMA node in any case.\n"
		"No quota limits it or anything above it.\n"
		"Of 14 PUs that it could have 4 are held by others; on node 1 envoy has 4.\n";
	struct fixture fixture;
	struct plan *plan;
	char *text;

	(void)state;
	fixture_pair(&fixture);
	plan = fixture_plan(&fixture, NULL);
	text = plan_explain(plan, &fixture.snapshot, "envoy");
	assert_string_equal(text, envoy);
	free(text);
	text = plan_explain(plan, &fixture.snapshot, "x");
	assert_string_equal(text, x);
	free(text);
	assert_null(plan_explain(plan, &fixture.snapshot, "nobody"));
	plan_free(plan);
	fixture_close(&fixture);
}

static void limited_by_has_words(void **state)
{
	static const struct {
		enum limited_by limited_by;
		const char *path, *text;
	} rows[] = {
		{ LIMITED_BY_NOTHING, NULL, "nothing" },
		{ LIMITED_BY_PARTITION, NULL, "partition" },
		{ LIMITED_BY_QUOTA, "/a/b", "cpu.max of /a/b" },
		{ LIMITED_BY_CPUSET, "/a", "cpuset of /a" },
		{ LIMITED_BY_POOL, "gold", "pool gold" },
		{ LIMITED_BY_MAX, NULL, "max" },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct plan_workload workload = { .limited_by = rows[i].limited_by,
						  .limited_by_path = (char *)rows[i].path };
		cleanup(freep) char *text = plan_limited_by_text(&workload);

		assert_string_equal(text, rows[i].text);
	}
}

/* parse(format(plan)) is a previous plan that changes nothing. */
static void held_comes_back(void **state)
{
	struct fixture fixture;
	struct plan *plan, *held = NULL, *next;
	struct fault fault;
	json_t *json;

	(void)state;
	fixture_pair(&fixture);
	plan = fixture_plan(&fixture, NULL);
	json = plan_json(plan, fixture.topology);
	assert_int_equal(plan_parse_held(json, &fixture.snapshot, &held, &fault), 0);
	assert_int_equal(held->generation, 1);
	assert_int_equal(held->n_workloads, 3);
	assert_false(held->workloads[2].placed);
	next = fixture_plan(&fixture, held);
	assert_int_equal(next->generation, 2);
	for (size_t i = 0; i < 3; i++)
		assert_true(plan_workload_same_answer(&plan->workloads[i], &next->workloads[i]));
	json_decref(json);
	plan_free(plan);
	plan_free(held);
	plan_free(next);
	fixture_close(&fixture);
}

static void held_is_checked(void **state)
{
	static const struct {
		const char *why, *json, *text;
		size_t n_workloads;
	} rows[] = {
		{ "empty list", "{\"workloads\":[]}", NULL, 0 },
		{ "unknown names are left out",
		  "{\"workloads\":[{\"name\":\"gone\",\"placed\":true,\"cpus\":\"1\"},"
		  "{\"name\":\"x\",\"placed\":true,\"cpus\":\"1\"}]}",
		  NULL, 1 },
		{ "PUs that the machine does not have are no fault",
		  "{\"workloads\":[{\"name\":\"x\",\"placed\":true,\"cpus\":\"8191\"}]}", NULL, 1 },
		{ "no object", "[1]", "held plan: no list 'workloads'", 0 },
		{ "no list", "{\"workloads\":7}", "held plan: no list 'workloads'", 0 },
		{ "no name", "{\"workloads\":[{\"cpus\":\"1\"}]}",
		  "held plan: workload number 1 has no texts 'name' and 'cpus'", 0 },
		{ "cpus are a number", "{\"workloads\":[{\"name\":\"x\",\"cpus\":1}]}",
		  "held plan: workload number 1 has no texts 'name' and 'cpus'", 0 },
		{ "cpus are nonsense", "{\"workloads\":[{\"name\":\"x\",\"cpus\":\"3-0\"}]}",
		  "held plan: workload 'x' has cpus '3-0', expected a list such as '0-3,8'", 0 },
		{ "twice",
		  "{\"workloads\":[{\"name\":\"x\",\"cpus\":\"1\"},{\"name\":\"x\",\"cpus\":\"1\"}]"
		  "}",
		  "held plan: workload 'x' comes twice", 0 },
		{ "generation is no number", "{\"generation\":\"1\",\"workloads\":[]}",
		  "held plan: 'generation' is no number from 0 on", 0 },
		{ "generation is negative", "{\"generation\":-1,\"workloads\":[]}",
		  "held plan: 'generation' is no number from 0 on", 0 },
	};
	struct fixture fixture;

	(void)state;
	fixture_pair(&fixture);
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		json_t *json = json_loads(rows[i].json, 0, NULL);
		struct plan *held = NULL;
		struct fault fault;
		int r;

		assert_non_null(json);
		r = plan_parse_held(json, &fixture.snapshot, &held, &fault);
		if ((r < 0) != (rows[i].text != NULL) || (r < 0) != (held == NULL))
			fail_msg("%s: %d", rows[i].why, r);
		if (rows[i].text)
			assert_string_equal(fault.text, rows[i].text);
		else
			assert_int_equal(held->n_workloads, rows[i].n_workloads);
		plan_free(held);
		json_decref(json);
	}
	fixture_close(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_is_the_contract),
		cmocka_unit_test(table_is_aligned),
		cmocka_unit_test(explains),
		cmocka_unit_test(limited_by_has_words),
		cmocka_unit_test(held_comes_back),
		cmocka_unit_test(held_is_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
