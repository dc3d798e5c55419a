/* CoreType=, Balance=, NearDevice=, Exclusive=2, Max=3.5, memory kinds and Isolation=: tables, a
 * rule a row. */
#include "plan_fixture.h"

struct row {
	const char *why, *machine, *workloads, *places;
};

static void check_all(const struct row *rows, size_t n_rows)
{
	size_t n_wrong = 0;

	for (size_t i = 0; i < n_rows; i++) {
		struct fixture fixture;
		struct plan *plan;
		char *places;

		fixture_open(&fixture, rows[i].machine);
		fixture_add_all(&fixture, rows[i].workloads);
		plan = fixture_plan(&fixture, NULL);
		places = fixture_places(plan);
		if (strcmp(places, rows[i].places) != 0) {
			print_error("%s: got \"%s\", expected \"%s\"\n", rows[i].why, places,
				    rows[i].places);
			n_wrong++;
		}
		free(places);
		plan_free(plan);
		fixture_close(&fixture);
	}
	assert_int_equal(n_wrong, 0);
}

/* Two efficient cores of one PU, two of performance with two PUs, all below one L3. */
#define HYBRID                                                                             \
	"sidecard-topology 1\n"                                                            \
	"pu 0 0 0 0 0 0 0 0\npu 1 1 1 0 0 0 0 0\npu 2 2 2 0 0 0 0 1\npu 3 2 2 0 0 0 0 1\n" \
	"pu 4 3 3 0 0 0 0 1\npu 5 3 3 0 0 0 0 1\nnode 0 0 0\nend\n"

static void prefers_a_kind_of_core(void **state)
{
	static const struct row rows[] = {
		{ "performance", HYBRID, "a own min=2 max=2 kind=performance", "a 2-3" },
		{ "efficient", HYBRID, "a own min=2 max=2 kind=efficient", "a 0-1" },
		{ "a wish, not a condition", HYBRID, "a own min=5 max=5 kind=performance",
		  "a 0,2-5" },
		{ "whole cores of different sizes", HYBRID,
		  "a own whole min=2 max=2 kind=efficient", "a 0-1" },
		{ "one a core", HYBRID, "a own one min=2 max=2 kind=performance", "a 2,4" },
		{ "both find theirs", HYBRID,
		  "a own min=2 max=2 kind=efficient\nb own min=4 max=4 kind=performance",
		  "a 0-1, b 2-5" },
		{ "a machine of one kind has what is wanted", "1/1/1/4/1",
		  "a own min=1 max=1 kind=performance", "a 0" },
	};

	(void)state;
	check_all(rows, N_ELEMENTS(rows));
}

static void spreads_where_it_is_told(void **state)
{
	static const struct row rows[] = {
		{ "pack: the node that is broken already", "1/2/1/4/1",
		  "a own min=2 max=2\nb own min=1 max=1", "a 0-1, b 2" },
		{ "spread: the empty one", "1/2/1/4/1",
		  "a own min=2 max=2\nb own min=1 max=1 balance=spread", "a 0-1, b 4" },
		{ "spread over L3 groups of one node too", "1/1/2/4/1",
		  "a own min=2 max=2\nb own min=1 max=1 balance=spread", "a 0-1, b 4" },
		{ "four equal ones on four equal nodes", "1/4/1/2/1",
		  "a own min=1 max=1 balance=spread\nb own min=1 max=1 balance=spread\n"
		  "c own min=1 max=1 balance=spread\nd own min=1 max=1 balance=spread",
		  "a 0, b 2, c 4, d 6" },
	};

	(void)state;
	check_all(rows, N_ELEMENTS(rows));
}

/* Two nodes of two PUs each; eth0 is near node 1, the disk near none. */
#define DEVICES                                                                            \
	"sidecard-topology 1\n"                                                            \
	"pu 0 0 0 0 0 0 0 0\npu 1 1 1 0 0 0 0 0\npu 2 2 2 1 1 1 1 0\npu 3 3 3 1 1 1 1 0\n" \
	"node 0 0 0\nnode 1 1 0\ndevice 0000:3b:00.0 1\ndevice eth0 1\ndevice sda -\nend\n"

static void is_near_its_device(void **state)
{
	static const struct row rows[] = {
		{ "the node near it", DEVICES, "a own min=1 max=1 near=eth0", "a 2" },
		{ "by its PCI address", DEVICES, "a own min=1 max=1 near=0000:3b:00.0", "a 2" },
		{ "near none in particular", DEVICES, "a own min=1 max=1 near=sda", "a 0" },
		{ "one that the machine does not have", DEVICES, "a own min=1 max=1 near=eth7",
		  "a 0" },
		{ "fewer nodes come before it", DEVICES,
		  "a own min=1 max=1 near=eth0\nb own min=2 max=2", "a 2, b 0-1" },
		{ "shared PUs too", DEVICES, "a batch max=1 near=eth0", "a 2-3" },
	};

	(void)state;
	check_all(rows, N_ELEMENTS(rows));
}

static void has_own_and_shared(void **state)
{
	struct fixture fixture;
	struct plan *plan;
	const struct plan_workload *a;
	char *places, *own;

	(void)state;
	fixture_open(&fixture, "1/2/1/4/1");
	fixture_add_all(&fixture, "a own=2 mcpu=3500\nb batch\nc own min=4 max=4");
	plan = fixture_plan(&fixture, NULL);
	places = fixture_places(plan);
	a = &plan->workloads[0];
	own = cpuset_format(&a->own);
	/* What is shared lies on the node of its own PUs. */
	assert_string_equal(places, "a 4-7, b 6-7, c 0-3");
	assert_string_equal(own, "4-5");
	assert_int_equal(a->parallelism.floor, 3);
	assert_int_equal(a->parallelism.ceil, 4);
	assert_true(cpuset_is_subset(&a->own, &plan->exclusive));
	assert_false(cpuset_intersects(&plan->workloads[1].cpus, &plan->exclusive));
	free(places);
	free(own);
	plan_free(plan);
	fixture_close(&fixture);
}

/* Its own PUs stay when all is planned again, and nobody gets them meanwhile. */
static void own_part_stays(void **state)
{
	struct fixture fixture;
	struct plan *plan, *next;

	(void)state;
	fixture_open(&fixture, "1/2/1/4/1");
	fixture_add_all(&fixture, "b own=2 max=4\nc batch");
	plan = fixture_plan(&fixture, NULL);
	fixture_add(&fixture, "d own min=2 max=2");
	next = fixture_plan(&fixture, plan);
	assert_true(cpuset_equal(&plan->workloads[0].own, &next->workloads[0].own));
	assert_false(cpuset_intersects(&next->workloads[2].cpus, &next->workloads[0].own));
	plan_free(plan);
	plan_free(next);
	fixture_close(&fixture);
}

static void shares_a_fraction(void **state)
{
	static const struct {
		const char *why, *workload;
		uint32_t floor, ceil;
	} rows[] = {
		{ "half a PU is one thread", "a batch mcpu=500", 1, 1 },
		{ "two and a half", "a batch mcpu=2500", 2, 3 },
		{ "a tighter quota", "a batch mcpu=2500 limit=0", 1, 2 },
		{ "whole", "a batch max=3", 3, 3 },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct fixture fixture;
		struct plan *plan;
		const struct parallelism *got;

		fixture_open(&fixture, "1/1/1/8/1");
		fixture_limit(&fixture, LIMIT_NONE, "1.5", "/a");
		fixture_add(&fixture, rows[i].workload);
		plan = fixture_plan(&fixture, NULL);
		got = &plan->workloads[0].parallelism;
		if (got->floor != rows[i].floor || got->ceil != rows[i].ceil)
			fail_msg("%s: %u to %u", rows[i].why, got->floor, got->ceil);
		plan_free(plan);
		fixture_close(&fixture);
	}
}

static void memory_of_other_kinds_joins_late(void **state)
{
	/* Node 1 is high-bandwidth, 2 persistent, 3 plain and far, 4 a graphics card's. */
	static const char machine[] = "sidecard-topology 1\n"
				      "pu 0 0 0 0 0 0 0 0\n"
				      "node 0 0 1000\nnode 1 -1 1000\nnode 2 -1 1000\n"
				      "node 3 -1 1000\nnode 4 -1 1000\n"
				      "memory 1 1\nmemory 2 2\nmemory 4 3\nend\n";
	static const struct {
		const char *why, *workload, *mems;
	} rows[] = {
		{ "its own", "a own max=1 size=1000", "0" },
		{ "plain memory first", "a own max=1 size=2000", "0,3" },
		{ "then fast memory", "a own max=1 size=3000", "0-1,3" },
		{ "then slow memory, never a device's", "a own max=1 size=9000", "0-3" },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct fixture fixture;
		struct plan *plan;
		char *mems;

		fixture_open(&fixture, machine);
		fixture_add(&fixture, rows[i].workload);
		plan = fixture_plan(&fixture, NULL);
		mems = nodeset_format(&plan->workloads[0].mems);
		if (strcmp(mems, rows[i].mems) != 0)
			fail_msg("%s: memory %s", rows[i].why, mems);
		free(mems);
		plan_free(plan);
		fixture_close(&fixture);
	}
}

static void pools_are_isolated(void **state)
{
	static const struct {
		const char *why, *machine;
		enum pool_isolation isolation;
		const char *cpus, *workloads, *places;
	} rows[] = {
		{ "none: siblings of one core", "1/1/1/2/2", ISOLATION_NONE, "",
		  "a own control min=1 max=1\nb own control min=1 max=1 pool=gold", "a 0, b 1" },
		{ "core", "1/1/1/2/2", ISOLATION_CORE, "",
		  "a own control min=1 max=1\nb own control min=1 max=1 pool=gold", "a 2, b 0" },
		{ "L3", "1/1/2/2/1", ISOLATION_L3, "",
		  "a own min=1 max=1\nb own min=1 max=1 pool=gold", "a 2, b 0" },
		{ "node", "1/2/1/4/1", ISOLATION_NODE, "",
		  "a batch\nb own min=1 max=1 pool=gold\nc batch pool=gold", "a 4-7, b 0, c 1-3" },
		{ "a list that cuts through a core loses that part", "1/1/1/4/2", ISOLATION_CORE,
		  "1-3", "a batch\nb own pool=gold", "a 0,4-7, b 2-3" },
		{ "what does not fit whole is not placed", "1/1/1/2/2", ISOLATION_CORE, "1",
		  "a batch\nb own pool=gold", "a 0,2-3, b !" },
		{ "it gets no more than it needs", "1/4/1/4/1", ISOLATION_NODE, "",
		  "a own min=8\nb own min=5 max=5 pool=gold", "a 8-15, b 0-4" },
	};
	size_t n_wrong = 0;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct fixture fixture;
		struct plan *plan;
		char *places;

		fixture_open(&fixture, rows[i].machine);
		fixture_pool(&fixture, "gold", rows[i].cpus, "");
		fixture.pools[1]->isolation = rows[i].isolation;
		fixture_add_all(&fixture, rows[i].workloads);
		plan = fixture_plan(&fixture, NULL);
		places = fixture_places(plan);
		if (strcmp(places, rows[i].places) != 0) {
			print_error("%s: got \"%s\", expected \"%s\"\n", rows[i].why, places,
				    rows[i].places);
			n_wrong++;
		}
		free(places);
		plan_free(plan);
		fixture_close(&fixture);
	}
	assert_int_equal(n_wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prefers_a_kind_of_core),
		cmocka_unit_test(spreads_where_it_is_told),
		cmocka_unit_test(is_near_its_device),
		cmocka_unit_test(has_own_and_shared),
		cmocka_unit_test(own_part_stays),
		cmocka_unit_test(shares_a_fraction),
		cmocka_unit_test(memory_of_other_kinds_joins_late),
		cmocka_unit_test(pools_are_isolated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
