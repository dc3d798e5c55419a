/* A test for each trap that other placers fell into, named after it. Most are properties of every
 * plan as well (life_check.c); here each has the smallest machine on which it bites. */
#include "unit/plan_fixture.h"

/* Workloads by their place: ends the test where it is another one. */
static void expect(const struct fixture *fixture, const char *places, const char *why)
{
	struct plan *plan = fixture_plan(fixture, NULL);
	cleanup(freep) char *text = fixture_places(plan);

	plan_free(plan);
	if (strcmp(text, places) != 0)
		fail_msg("%s: %s, expected %s", why, text, places);
}

static const struct cpuset *cpus_of(const struct plan *plan, size_t w)
{
	assert_true(plan->workloads[w].placed);
	return &plan->workloads[w].cpus;
}

/* One sibling is offline: PUs by cores by division would count one that is not there, and hand
 * another out twice. */
static void pus_per_core_by_division_offline(void **state)
{
	static const char machine[] = "sidecard-topology 1\n"
				      "pu 0 0 0 0 0 0 0 0\npu 4 0 0 0 0 0 0 0\n"
				      "pu 1 1 1 0 0 0 0 0\n" /* 5 is offline */
				      "pu 2 2 2 0 0 0 0 0\npu 6 2 2 0 0 0 0 0\n"
				      "pu 3 3 3 0 0 0 0 0\npu 7 3 3 0 0 0 0 0\n"
				      "node 0 0 0\nend\n";
	struct fixture fixture;

	(void)state;
	fixture_open(&fixture, machine);
	fixture_add_all(&fixture, "a data own min=3 max=3\nb data own min=4 max=4");
	expect(&fixture, "a 0-1,4, b 2-3,6-7", "the odd one takes the core of one PU");
	fixture_close(&fixture);

	fixture_open(&fixture, machine);
	fixture_add_all(&fixture, "a own min=1 max=1\nb own min=1 max=1\nc own min=1 max=1\n"
				  "d own min=1 max=1\ne own min=1 max=1\nf own min=1 max=1\n"
				  "g own min=1 max=1");
	{
		struct plan *plan = fixture_plan(&fixture, NULL);

		assert_int_equal(cpuset_count(&plan->exclusive), 7);
		plan_free(plan);
	}
	fixture_close(&fixture);
}

/* Two cores of two PUs, four of one: a division says one PU a core and finds the small ones alone.
 */
static void pus_per_core_by_division_hybrid(void **state)
{
	static const char machine[] = "sidecard-topology 1\n"
				      "pu 0 0 0 0 0 0 0 1\npu 1 0 0 0 0 0 0 1\n"
				      "pu 2 1 1 0 0 0 0 1\npu 3 1 1 0 0 0 0 1\n"
				      "pu 4 2 2 0 0 0 0 0\npu 5 3 2 0 0 0 0 0\n"
				      "pu 6 4 2 0 0 0 0 0\npu 7 5 2 0 0 0 0 0\n"
				      "node 0 0 0\nend\n";
	struct fixture fixture;
	struct plan *plan;

	(void)state;
	fixture_open(&fixture, machine);
	fixture_add(&fixture, "a data own whole min=4 max=4");
	fixture_add(&fixture, "b data own min=4 max=4");
	plan = fixture_plan(&fixture, NULL);
	assert_int_equal(cpuset_count(cpus_of(plan, 0)), 4);
	assert_int_equal(cpuset_count(cpus_of(plan, 1)), 4);
	assert_false(cpuset_intersects(cpus_of(plan, 0), cpus_of(plan, 1)));
	/* Neither has a half of a core of the other. */
	for (uint32_t pu = 0; pu < 4; pu += 2)
		assert_int_equal(cpuset_has(cpus_of(plan, 0), pu),
				 cpuset_has(cpus_of(plan, 0), pu + 1));
	plan_free(plan);
	fixture_close(&fixture);
}

/* Node 0 is nearly full, node 1 would hold it: who fills the fullest first straddles. */
static void fullest_node_first_and_spill(void **state)
{
	struct fixture fixture;

	(void)state;
	fixture_open(&fixture, "1/3/1/4/1");
	fixture_allow(&fixture, "2-3,4-6,8-11");
	fixture_add(&fixture, "a data own min=4 max=4");
	expect(&fixture, "a 8-11", "only the last node holds it");
	fixture_close(&fixture);

	/* And with many: every one of them could be on one node. */
	fixture_open(&fixture, "2/2/1/4/2");
	fixture_add_all(&fixture, "a data own min=5 max=5\nb data own min=3 max=3\n"
				  "c data own min=5 max=5\nd data own min=3 max=3\n"
				  "e data own min=5 max=5\nf data own min=3 max=3\n"
				  "g data own min=5 max=5\nh data own min=3 max=3");
	{
		struct plan *plan = fixture_plan(&fixture, NULL);

		for (size_t w = 0; w < plan->n_workloads; w++)
			assert_int_equal(nodeset_count(&plan->workloads[w].nodes), 1);
		plan_free(plan);
	}
	fixture_close(&fixture);
}

/* 2^34 sets of nodes: who lists them does not end. */
static void all_subsets_of_nodes(void **state)
{
	struct fixture fixture;
	struct plan *plan;

	(void)state;
	fixture_open(&fixture, "17/2/1/2/1");
	fixture_add_all(&fixture, "a data own min=33 max=33\nb data own min=17 max=17\n"
				  "c data own min=9 max=9\nd data own min=9 max=9");
	plan = fixture_plan(&fixture, NULL);
	assert_int_equal(nodeset_count(&plan->workloads[0].nodes), 17);
	assert_int_equal(cpuset_count(&plan->exclusive), 68);
	plan_free(plan);
	fixture_close(&fixture);
}

/* Three nodes at distances that go round: "nearer than" is no order there, and who compares pairs
 * gets another answer for another order of asking. */
static void comparison_that_is_no_order(void **state)
{
	static const uint32_t turns[][3] = { { 0, 1, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
	static const uint32_t sizes[] = { 5, 3, 2 };
	uint64_t first[2] = { 0 };

	(void)state;
	for (size_t turn = 0; turn < N_ELEMENTS(turns); turn++) {
		struct fixture fixture;
		struct plan *plan;
		uint64_t totals[2] = { 0 };

		fixture_open(&fixture, "3/1/1/4/1");
		for (uint32_t a = 0; a < 3; a++)
			for (uint32_t b = 0; b < 3; b++)
				if (a != b)
					fixture.topology->distances[a * 3 + b] = (b + 3 - a) % 3 ==
												 1
											 ? 12
											 : 32;
		for (uint32_t i = 0; i < 3; i++) {
			char spec[64];

			snprintf(spec, sizeof(spec), "w%u data own min=%u max=%u", i,
				 sizes[turns[turn][i]], sizes[turns[turn][i]]);
			fixture_add(&fixture, spec);
		}
		plan = fixture_plan(&fixture, NULL);
		for (size_t w = 0; w < 3; w++) {
			totals[0] += nodeset_count(&plan->workloads[w].nodes);
			totals[1] += plan->workloads[w].n_pu;
		}
		if (turn == 0)
			memcpy(first, totals, sizeof(first));
		assert_memory_equal(first, totals, sizeof(first));
		plan_free(plan);
		fixture_close(&fixture);
	}
}

/* The best pair of nodes is met first, then worse ones: who remembers it by reference to the buffer
 * of the search ends with the last one. And the same with the best one in the middle, and last. */
static void candidate_kept_by_reference(void **state)
{
	(void)state;
	for (uint32_t best = 0; best < 5; best++) {
		struct fixture fixture;
		struct plan *plan;

		fixture_open(&fixture, "6/1/1/2/1");
		for (uint32_t a = 0; a < 6; a++)
			for (uint32_t b = 0; b < 6; b++)
				if (a != b)
					fixture.topology->distances[a * 6 + b] =
						(a == best && b == best + 1) ||
								(b == best && a == best + 1)
							? 11
							: 30;
		fixture_add(&fixture, "a data own min=4 max=4");
		plan = fixture_plan(&fixture, NULL);
		assert_true(nodeset_has(&plan->workloads[0].nodes, best));
		assert_true(nodeset_has(&plan->workloads[0].nodes, best + 1));
		assert_int_equal(nodeset_count(&plan->workloads[0].nodes), 2);
		plan_free(plan);
		fixture_close(&fixture);
	}
}

/* PU numbers beyond 1,024 up to the highest there is, and core numbers that the two packages both
 * have (the machine as text knows dense numbers alone, so nothing else can be mixed up). */
static void masks_of_1024_bits(void **state)
{
	static const char machine[] = "sidecard-topology 1\n"
				      "pu 1023 0 0 0 0 0 0 0\npu 1024 0 0 0 0 0 0 0\n"
				      "pu 1025 1 1 1 1 1 1 0\npu 8191 1 1 1 1 1 1 0\n"
				      "node 0 0 0\nnode 1023 1 0\nend\n";
	struct fixture fixture;

	(void)state;
	fixture_open(&fixture, machine);
	fixture_add_all(&fixture, "a data own min=2 max=2 nodes=1023\nb data own min=2 max=2");
	expect(&fixture, "a 1025,8191, b 1023-1024", "high numbers");
	fixture_close(&fixture);
}

/* Two cores are left on each node: a data plane that wants four PUs of its own cores gets four
 * cores on two nodes, not four siblings on one. */
static void packed_onto_siblings(void **state)
{
	struct fixture fixture;
	struct plan *plan;

	(void)state;
	fixture_open(&fixture, "2/1/1/2/2");
	fixture_add(&fixture, "a data own one min=4 max=4");
	plan = fixture_plan(&fixture, NULL);
	assert_int_equal(plan->workloads[0].n_core, 4);
	assert_int_equal(plan->workloads[0].n_pu, 4);
	plan_free(plan);
	fixture_close(&fixture);

	/* Two data planes of one PU each: a core for each, while there are cores. */
	fixture_open(&fixture, "1/1/1/2/2");
	fixture_add_all(&fixture, "a data own min=1 max=1\nb data own min=1 max=1");
	plan = fixture_plan(&fixture, NULL);
	assert_int_not_equal(cpuset_first(cpus_of(plan, 0)) / 2,
			     cpuset_first(cpus_of(plan, 1)) / 2);
	plan_free(plan);
	fixture_close(&fixture);
}

/* Four equal nodes, four equal workloads: spread, each has a node; and the same in every plan. */
static void node_0_on_every_tie(void **state)
{
	struct fixture fixture;
	struct nodeset used = { 0 };
	struct plan *plan, *again;

	(void)state;
	fixture_open(&fixture, "2/2/1/4/1");
	fixture_add_all(&fixture, "a data own min=1 max=1\nb data own min=1 max=1\n"
				  "c data own min=1 max=1\nd data own min=1 max=1");
	for (size_t w = 0; w < 4; w++)
		fixture.confs[w]->balance = BALANCE_SPREAD;
	plan = fixture_plan(&fixture, NULL);
	again = fixture_plan(&fixture, NULL);
	for (size_t w = 0; w < 4; w++) {
		assert_true(plan_workload_same_answer(&plan->workloads[w], &again->workloads[w]));
		assert_int_equal(nodeset_union(&used, &plan->workloads[w].nodes), 0);
	}
	assert_int_equal(nodeset_count(&used), 4);
	nodeset_done(&used);
	plan_free(plan);
	plan_free(again);
	fixture_close(&fixture);
}

/* What a place has is what was read back from it, not what was written: an unchanged plan makes no
 * step where it holds, and one where it does not. */
static void unchanged_masks_written_again(void **state)
{
	struct place place = { .kind = PLACE_CGROUP, .workload = 0, .cgroup_id = 7 };
	struct cpuset held = { 0 };
	struct steps steps = { 0 };
	struct fixture fixture;
	struct plan *plan, *next;

	(void)state;
	fixture_open(&fixture, "1/1/1/4/1");
	fixture_add(&fixture, "a data own min=2 max=2");
	plan = fixture_plan(&fixture, NULL);
	next = fixture_plan(&fixture, plan);
	assert_int_equal(cpuset_copy(&held, cpus_of(plan, 0)), 0);
	assert_int_equal(plan_diff(next, &place, 1, &held, &steps), 0);
	assert_int_equal(steps.n_items, 0);
	steps_done(&steps);

	cpuset_remove(&held, cpuset_first(&held));
	assert_int_equal(plan_diff(next, &place, 1, &held, &steps), 0);
	assert_int_equal(steps.n_items, 1);
	assert_true(cpuset_equal(&steps.items[0].cpus, cpus_of(next, 0)));
	steps_done(&steps);
	cpuset_done(&held);
	plan_free(plan);
	plan_free(next);
	fixture_close(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pus_per_core_by_division_offline),
		cmocka_unit_test(pus_per_core_by_division_hybrid),
		cmocka_unit_test(fullest_node_first_and_spill),
		cmocka_unit_test(all_subsets_of_nodes),
		cmocka_unit_test(comparison_that_is_no_order),
		cmocka_unit_test(candidate_kept_by_reference),
		cmocka_unit_test(masks_of_1024_bits),
		cmocka_unit_test(packed_onto_siblings),
		cmocka_unit_test(node_0_on_every_tie),
		cmocka_unit_test(unchanged_masks_written_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
