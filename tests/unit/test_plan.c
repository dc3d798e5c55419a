/* Who gets which PUs: tables, a rule a row. */
#include "plan_fixture.h"

struct row {
	const char *why, *machine, *housekeeping, *workloads, *places;
};

/* Prints what is wrong, so that one run shows every row. */
static bool holds(const struct row *row, const char *before)
{
	struct fixture fixture, earlier;
	bool same;
	struct plan *plan, *previous = NULL;
	char *places;

	fixture_open(&fixture, row->machine);
	fixture_housekeeping(&fixture, row->housekeeping);
	fixture_limit(&fixture, LIMIT_NONE, "2.5", "/a"); /* for who says limit=0 */
	fixture_add_all(&fixture, row->workloads);
	if (before) {
		fixture_open(&earlier, row->machine);
		fixture_housekeeping(&earlier, row->housekeeping);
		fixture_add_all(&earlier, before);
		previous = fixture_plan(&earlier, NULL);
	}
	plan = fixture_plan(&fixture, previous);
	places = fixture_places(plan);
	same = strcmp(places, row->places) == 0;
	if (!same)
		print_error("%s: got \"%s\", expected \"%s\"\n", row->why, places, row->places);
	free(places);
	plan_free(plan);
	plan_free(previous);
	if (before)
		fixture_close(&earlier);
	fixture_close(&fixture);
	return same;
}

static void check_all(const struct row *rows, size_t n_rows)
{
	size_t n_wrong = 0;

	for (size_t i = 0; i < n_rows; i++)
		n_wrong += !holds(&rows[i], NULL);
	assert_int_equal(n_wrong, 0);
}

static void keeps_housekeeping(void **state)
{
	static const struct row rows[] = {
		{ "auto: the core of the lowest PU", "1/4/1/2/2", "auto", "a own max=4", "a 4-7" },
		{ "auto: siblings apart", "1/1/1/4/2a", "auto", "a own", "a 1-3,5-7" },
		{ "auto: none below 4 PUs", "1/1/1/3/1", "auto", "a own", "a 0-2" },
		{ "none", "1/1/1/4/1", "none", "a own", "a 0-3" },
		{ "count: whole cores first, then single PUs", "1/1/1/4/2", "3", "a own", "a 3-7" },
		{ "list", "1/1/1/4/1", "=3", "a own", "a 0-2" },
		{ "more than there are", "1/1/1/2/1", "9", "a own", "a !" },
		{ "what is free is used before housekeeping", "1/1/1/4/1", "1",
		  "a own min=2 max=2\nb batch", "a 1-2, b 3" },
		{ "housekeeping where an exclusive minimum leaves nothing else", "1/1/1/4/1", "1",
		  "a own min=3\nb batch", "a 1-3, b 0" },
		{ "but exclusive workloads leave a minimum free before they grow", "1/1/1/4/1", "1",
		  "a own min=1\nb batch", "a 1-2, b 3" },
	};

	(void)state;
	check_all(rows, N_ELEMENTS(rows));
}

static void counts_by_priority_and_weight(void **state)
{
	static const struct row rows[] = {
		{ "minimum and maximum", "1/1/1/8/1", "none", "a own min=2 max=3", "a 0-2" },
		{ "all that is left, by weight", "1/1/1/8/1", "none",
		  "a own weight=300\nb own weight=100", "a 0-5, b 6-7" },
		{ "a maximum leaves the rest to the others", "1/1/1/8/1", "none",
		  "a own max=2 weight=300\nb own", "a 6-7, b 0-5" },
		{ "minimums before weights", "1/1/1/8/1", "none",
		  "a own weight=10000\nb own min=4 weight=1", "a 0-3, b 4-7" },
		{ "the higher priority first", "1/1/1/4/1", "none",
		  "a own min=3 prio=1\nb own min=3 prio=2", "a !, b 0-3" },
		{ "at equal priority as many as possible", "1/1/1/4/1", "none",
		  "a own min=3\nb own min=2\nc own min=2", "a !, b 0-1, c 2-3" },
		{ "at equal priority the control plane's share first", "1/1/1/4/1", "none",
		  "a own data min=3\nb own control min=2 max=2", "a !, b 0-1" },
		{ "a quota bounds who names no maximum, rounded up", "1/1/1/8/1", "none",
		  "a own limit=0", "a 0-2" },
		{ "a minimum above the quota holds", "1/1/1/8/1", "none", "a own min=4 limit=0",
		  "a 0-3" },
		{ "a maximum above the quota holds: PUs do not follow each quota change",
		  "1/1/1/8/1", "none", "a own max=4 limit=0", "a 0-3" },
		{ "PUs for the largest minimum of those that are not exclusive", "1/1/1/8/1",
		  "none", "a own\nb batch min=3\nc batch min=2", "a 0-4, b 5-7, c 5-7" },
		{ "one that is not exclusive by priority too", "1/1/1/4/1", "none",
		  "a own min=3 prio=1\nb batch min=2 prio=2", "a !, b 0-3" },
	};

	(void)state;
	check_all(rows, N_ELEMENTS(rows));
}

static void stays_on_one_node(void **state)
{
	static const struct row rows[] = {
		{ "one node where one holds it, though another is fuller", "1/4/1/2/2", "2",
		  "a own min=4 max=4", "a 4-7" },
		{ "best fit: the node that is broken already", "1/4/1/2/2", "2",
		  "a own min=2 max=2", "a 2-3" },
		{ "the large ones choose first", "1/2/1/4/1", "none",
		  "a own min=2 max=2\nb own min=2 max=2\nc own min=4 max=4",
		  "a 4-5, b 6-7, c 0-3" },
		{ "the fewest nodes where none holds it", "1/4/1/2/2", "none",
		  "a own min=6 max=6\nb own min=4 max=4", "a 4-9, b 0-3" },
		{ "single: not on two", "1/4/1/2/2", "none", "a own single min=6 max=6", "a !" },
		{ "single: less, where its minimum fits", "1/4/1/2/2", "none",
		  "a own single min=2 max=6", "a 0-3" },
		{ "single: all that one node has", "1/4/1/2/2", "auto", "a own single", "a 4-7" },
		{ "prefer: what it may have goes before one node", "1/4/1/2/2", "none",
		  "a own min=2 max=6", "a 0-5" },
		{ "spread: evenly", "1/4/1/2/2", "none", "a own spread min=6 max=6",
		  "a 0-1,4-5,8,12" },
		{ "Nodes=", "1/4/1/2/2", "none", "a own nodes=2-3 min=4 max=4", "a 8-11" },
		{ "Nodes= goes before who may go anywhere", "1/2/1/4/1", "none",
		  "a own min=4 max=4\nb own nodes=0 min=3 max=3", "a 4-7, b 0-2" },
		{ "Nodes= that do not hold it", "1/4/1/2/2", "none", "a own nodes=2 min=6 max=6",
		  "a !" },
		{ "a cpuset that is not ours", "1/4/1/2/2", "none", "a own cpuset=3,6-9 min=2",
		  "a 3,6-9" },
		{ "memory that fits decides between nodes", "1/2/1/4/1", "none",
		  "a own min=1 max=1 nodes=0 size=0\nb own min=2 max=2", "a 0, b 1-2" },
	};

	(void)state;
	check_all(rows, N_ELEMENTS(rows));
}

static void near_nodes_go_together(void **state)
{
	/* Four nodes of one core in a ring: 0-2 and 1-3 are near each other. */
	static const char machine[] =
		"sidecard-topology 1\n"
		"pu 0 0 0 0 0 0 0 0\npu 1 1 1 1 1 0 1 0\n"
		"pu 2 2 2 2 2 0 2 0\npu 3 3 3 3 3 0 3 0\n"
		"node 0 0 0\nnode 1 0 0\nnode 2 0 0\nnode 3 0 0\n"
		"distance 0 0 10\ndistance 0 1 30\ndistance 0 2 20\ndistance 0 3 30\n"
		"distance 1 0 30\ndistance 1 1 10\ndistance 1 2 30\ndistance 1 3 20\n"
		"distance 2 0 20\ndistance 2 1 30\ndistance 2 2 10\ndistance 2 3 30\n"
		"distance 3 0 30\ndistance 3 1 20\ndistance 3 2 30\ndistance 3 3 10\n"
		"end\n";
	static const struct row rows[] = {
		{ "two near nodes", machine, "none", "a own min=2 max=2", "a 0,2" },
		{ "the others for the next", machine, "none",
		  "a own min=2 max=2\nb own min=2 max=2", "a 0,2, b 1,3" },
	};

	(void)state;
	check_all(rows, N_ELEMENTS(rows));
}

static void shares_few_caches_and_cores(void **state)
{
	static const struct row rows[] = {
		{ "one L3 group where one holds it", "1/1/2/2/2", "2", "a own min=4 max=4",
		  "a 4-7" },
		{ "best fit among L3 groups", "1/1/3/2/2", "2", "a own min=2 max=2", "a 2-3" },
		{ "a data plane has whole cores", "1/1/1/4/2", "=0", "a own min=2 max=2", "a 2-3" },
		{ "its odd PU's sibling stays quiet", "1/1/1/4/2", "none",
		  "a own min=1 max=1\nb batch", "a 0, b 2-7" },
		{ "but not where it is missed", "1/1/1/1/2", "none", "a own min=1 max=1\nb batch",
		  "a 0, b 1" },
		{ "two odd data planes do not meet where there is room", "1/1/1/4/2", "none",
		  "a own min=1 max=1\nb own min=1 max=1", "a 0, b 2" },
		{ "where there is none they share a core", "1/1/1/1/2", "none",
		  "a own min=1 max=1\nb own min=1 max=1", "a 0, b 1" },
		{ "control planes use up partial cores", "1/1/1/4/2", "none",
		  "a own control min=1 max=1\nb own control min=1 max=1", "a 0, b 1" },
		{ "whole-core: a multiple", "1/1/1/4/2", "none", "a own whole min=3 max=5",
		  "a 0-3" },
		{ "whole-core: none between", "1/1/1/4/2", "none", "a own whole min=3 max=3",
		  "a !" },
		{ "whole-core: not one that is broken", "1/1/1/4/2", "=1",
		  "a own whole min=2 max=2", "a 2-3" },
		{ "one-per-core: siblings are taken away", "1/1/1/4/2", "none",
		  "a own one min=2 max=2\nb own min=4 max=4\nc batch", "a 0,2, b 4-7, c !" },
		{ "siblings apart", "1/1/1/4/2a", "none", "a own whole min=4 max=4", "a 0-1,4-5" },
	};

	(void)state;
	check_all(rows, N_ELEMENTS(rows));
}

static void membership_never_division(void **state)
{
	/* Core 0 has three PUs, core 1 two, core 2 one (its sibling is offline), numbers with gaps.
	 */
	static const char odd[] = "sidecard-topology 1\n"
				  "pu 0 0 0 0 0 0 0 0\npu 8 0 0 0 0 0 0 0\npu 4000 0 0 0 0 0 0 0\n"
				  "pu 1 1 1 0 0 0 0 0\npu 9 1 1 0 0 0 0 0\npu 2 2 2 0 0 0 0 0\n"
				  "node 5 0 0\nend\n";
	static const struct row rows[] = {
		{ "whole cores of different sizes: 3 is one core", odd, "none",
		  "a own whole min=3 max=3", "a 0,8,4000" },
		{ "5 is 3 and 2", odd, "none", "a own whole min=5 max=5", "a 0-1,8-9,4000" },
		{ "4 is 3 and 1", odd, "none", "a own whole min=4 max=4", "a 0,2,8,4000" },
		{ "an offline sibling: the core has one PU and is whole", odd, "none",
		  "a own whole min=1 max=1", "a 2" },
		{ "one a core", odd, "none", "a own one min=3 max=3", "a 0-2" },
		{ "no more cores than there are", odd, "none", "a own one min=4 max=4", "a !" },
		{ "numbers above 1,024 and a node with a gap before it", odd, "none",
		  "a own min=6 nodes=5", "a 0-2,8-9,4000" },
		{ "one PU in all", "1/1/1/1/1", "auto", "a own", "a 0" },
	};

	(void)state;
	check_all(rows, N_ELEMENTS(rows));
}

static void an_allowed_set_cuts_through_cores(void **state)
{
	struct fixture fixture;
	struct plan *plan;
	char *places;

	(void)state;
	fixture_open(&fixture, "1/2/1/4/2");
	fixture_allow(&fixture, "1-3,8-11,14");
	fixture_add_all(&fixture, "a own whole min=4 max=4\nb own min=3 max=3\nc batch");
	plan = fixture_plan(&fixture, NULL);
	places = fixture_places(plan);
	/* PU 1 and 14 lie on cores that are not wholly ours. */
	assert_string_equal(places, "a 8-11, b 1-3, c 14");
	free(places);
	plan_free(plan);
	fixture_close(&fixture);
}

static void pools_do_not_mix(void **state)
{
	struct fixture fixture;
	struct plan *plan, *next;
	char *places;

	(void)state;
	fixture_open(&fixture, "1/4/1/2/2");
	fixture_pool(&fixture, "gold", "4-7", "");
	fixture_pool(&fixture, "silver", "", "2");
	fixture_pool(&fixture, "tin", "", "");
	fixture_add_all(&fixture, "a own\nb own pool=gold\nc batch pool=silver\nd batch pool=tin");
	plan = fixture_plan(&fixture, NULL);
	places = fixture_places(plan);
	assert_string_equal(places, "a 0-3,12-14, b 4-7, c 8-11, d 15");
	assert_int_equal(plan->workloads[2].limited_by, LIMITED_BY_POOL);
	assert_string_equal(plan->workloads[2].limited_by_path, "silver");
	free(places);
	/* A new workload in one pool moves nobody of another. */
	fixture_add(&fixture, "e own pool=gold min=2");
	next = fixture_plan(&fixture, plan);
	assert_true(plan_workload_same_place(&plan->workloads[0], &next->workloads[0]));
	assert_true(plan_workload_same_place(&plan->workloads[2], &next->workloads[2]));
	assert_int_equal(next->workloads[1].n_pu, 2);
	assert_int_equal(next->workloads[4].n_pu, 2);
	plan_free(plan);
	plan_free(next);
	fixture_close(&fixture);
}

static void places_what_is_not_exclusive(void **state)
{
	static const struct row rows[] = {
		{ "all that nobody holds", "1/4/1/2/2", "auto", "a own min=4 max=4\nb batch",
		  "a 4-7, b 2-3,8-15" },
		{ "with a maximum: one node that has it", "1/4/1/2/2", "auto", "a batch max=4",
		  "a 4-7" },
		{ "several: where there is least to do", "1/4/1/2/2", "auto",
		  "a batch max=4\nb batch max=4\nc batch max=2\nd batch max=2",
		  "a 4-7, b 8-11, c 12-15, d 12-15" },
		{ "a maximum above a node: the fewest", "1/4/1/2/2", "auto", "a batch max=8",
		  "a 4-11" },
		{ "single without a maximum: one node", "1/4/1/2/2", "auto", "a batch single",
		  "a 4-7" },
		{ "spread", "1/2/1/2/1", "none", "a batch spread max=2", "a 0-3" },
		{ "Nodes=", "1/4/1/2/2", "auto", "a batch nodes=1,3", "a 4-7,12-15" },
		{ "a cpuset that is not ours", "1/4/1/2/2", "auto", "a batch cpuset=1,3-5",
		  "a 3-5" },
		{ "housekeeping where the cpuset has nothing else", "1/4/1/2/2", "auto",
		  "a batch cpuset=0-1", "a 0-1" },
		{ "PUs kept where Nodes= says", "1/2/1/2/1", "none", "a own\nb batch nodes=0",
		  "a 1-3, b 0" },
		{ "control planes share a small set", "1/4/1/2/2", "auto",
		  "a control max=1\nb control max=1\nc batch", "a 2-3, b 2-3, c 2-15" },
		{ "one control plane with a maximum of 1 has one PU", "1/4/1/2/2", "auto",
		  "a control max=1", "a 2" },
		{ "without a maximum it has a whole core", "1/4/1/2/2", "auto", "a control",
		  "a 2-3" },
	};

	(void)state;
	check_all(rows, N_ELEMENTS(rows));
}

static void keeps_what_holds(void **state)
{
	static const struct {
		struct row row;
		const char *before;
	} rows[] = {
		{ { "who stays does not move when another goes", "1/4/1/2/2", "none",
		    "b own min=2 max=2", "b 2-3" },
		  "a own min=2 max=2\nb own min=2 max=2" },
		{ { "a new one does not push out an old one", "1/2/1/2/2", "none",
		    "a own min=2 max=2\nb own min=2 max=2", "a 2-3, b 0-1" },
		  "b own min=2 max=2" },
		{ { "a large new one takes the node that nobody has", "1/2/1/2/2", "none",
		    "a own min=4 max=4\nb own min=2 max=2", "a 4-7, b 0-1" },
		  "b own min=2 max=2" },
		{ { "who grows stays where it is", "1/4/1/2/2", "none",
		    "a own min=2 max=2\nb own min=4 max=4", "a 4-5, b 0-3" },
		  "a own min=2 max=2\nb own min=3 max=3" },
		{ { "one node goes before staying", "1/2/1/4/1", "none", "b own min=3 max=3",
		    "b 0-2" },
		  "a own min=3 max=3 nodes=1\nb own min=3 max=3 cpuset=0-1,7" },
		{ { "one that is not exclusive stays on its node", "1/4/1/2/2", "none",
		    "b batch max=2\nc batch max=4", "b 4-7, c 0-3" },
		  "a batch max=4\nb batch max=2" },
		{ { "control planes keep their set", "1/2/1/2/2", "none",
		    "a own min=2 max=2\nb control max=1", "a 2-3, b 0" },
		  "b control max=1" },
	};
	size_t n_wrong = 0;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++)
		n_wrong += !holds(&rows[i].row, rows[i].before);
	assert_int_equal(n_wrong, 0);
}

/* The three tries of plan_place.c. */
static void finds_room_for_minimums(void **state)
{
	static const struct row rows[] = {
		{ "full shares leave no node for c: the others begin with their minimums",
		  "1/2/1/4/1", "none",
		  "a own min=2 max=3\nb own min=2 max=3\nc own single min=2 max=2",
		  "a 0-1, b 2-3, c 4-5" },
		{ "and then grow where they are", "1/2/1/4/1", "none",
		  "a own min=1 max=3\nb own single min=2 max=3\nc own single min=2 max=2",
		  "a 0,3, b 1-2, c 4-5" },
		{ "or on another node", "1/2/1/4/1", "none",
		  "a own min=1 max=3\nb own single min=3 max=3\nc own single min=2 max=2",
		  "a 6-7, b 1-3, c 4-5" },
		{ "too little in one piece: the higher priority is placed", "1/2/1/4/1", "none",
		  "a own single min=3 max=3 prio=1\nb own single min=3 max=3 prio=2\n"
		  "c own single min=2 max=2 prio=3",
		  "a !, b 4-6, c 0-1" },
	};

	(void)state;
	check_all(rows, N_ELEMENTS(rows));
}

static void reasons_say_what_would_do(void **state)
{
	static const struct {
		const char *why, *machine, *workloads, *reason;
	} rows[] = {
		{ "the contract's own example", "1/4/1/2/2", "x own single min=6 max=6",
		  "needs 6 PUs on one node, the largest free node has 4; Min=4 would place it, and "
		  "so "
		  "would "
		  "Policy=prefer" },
		{ "more than there is", "1/1/1/4/1", "x own min=6",
		  "needs 6 PUs, there are 4 in pool 'default'; Min=4 would place it" },
		{ "Nodes=", "1/4/1/2/2", "x own min=6 nodes=1",
		  "needs 6 PUs, there are 4 in pool 'default' on nodes 1; Min=4 would place it" },
		{ "a cpuset", "1/4/1/2/2", "x own min=6 cpuset=3-5",
		  "needs 6 PUs, there are 3 in pool 'default' within cpuset of /outer; Min=3 would "
		  "place it" },
		{ "whole cores", "1/1/1/4/2", "x own whole min=3 max=3",
		  "needs whole cores of 2 PUs, none to be had between Min=3 and Max=3; Max=4 would "
		  "place "
		  "it" },
		{ "others were first", "1/1/1/4/1", "a own min=3 prio=200\nx own min=2",
		  "needs 2 PUs, 1 is left in pool 'default' after minimums of the same or a higher "
		  "priority; Min=1 would place it" },
		{ "no node free", "1/2/1/4/1",
		  "a own single min=3 prio=200\nb own single min=3 prio=200\n"
		  "x own single min=2 max=2",
		  "needs 2 PUs on one node, the largest free node has 1; Min=1 would place it" },
		{ "not exclusive", "1/1/1/4/1", "x batch min=6",
		  "needs 6 PUs that nobody holds, there are 4 in pool 'default'; Min=4 would place "
		  "it" },
		{ "a pool without PUs", "1/1/1/4/1", "x own pool=empty",
		  "pool 'empty' has no PU that may be used" },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct fixture fixture;
		const struct plan_workload *x;
		struct plan *plan;

		fixture_open(&fixture, rows[i].machine);
		fixture_pool(&fixture, "empty", "99", "");
		fixture_add_all(&fixture, rows[i].workloads);
		plan = fixture_plan(&fixture, NULL);
		x = plan_find(plan, "x");
		assert_non_null(x);
		if (x->placed || strcmp(x->reason, rows[i].reason) != 0)
			fail_msg("%s: \"%s\"", rows[i].why, x->placed ? "placed" : x->reason);
		plan_free(plan);
		fixture_close(&fixture);
	}
}

static void memory_follows(void **state)
{
	/* Two nodes with PUs, node 2 is memory only and nearer to node 1. */
	static const char machine[] = "sidecard-topology 1\n"
				      "pu 0 0 0 0 0 0 0 0\npu 1 1 1 1 1 0 1 0\n"
				      "node 0 0 1000\nnode 1 0 2000\nnode 2 -1 4000\n"
				      "distance 0 0 10\ndistance 0 1 20\ndistance 0 2 30\n"
				      "distance 1 0 20\ndistance 1 1 10\ndistance 1 2 15\n"
				      "distance 2 0 30\ndistance 2 1 15\ndistance 2 2 10\nend\n";
	static const struct {
		const char *why, *workload, *cpus, *mems;
	} rows[] = {
		{ "the nodes of its PUs", "a own max=1", "0", "0" },
		{ "none asked for", "a own max=1 nomem", "0", "" },
		{ "the node that fits", "a own max=1 size=1500", "1", "1" },
		{ "a memory-only node joins where none fits", "a own max=1 size=5000 nodes=1", "1",
		  "1-2" },
		{ "the nearest first", "a own max=1 size=2500 nodes=0", "0", "0-1" },
		{ "more than there is: all", "a own max=1 size=99999", "0", "0-2" },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct fixture fixture;
		struct plan *plan;
		char *cpus, *mems;

		fixture_open(&fixture, machine);
		fixture_add(&fixture, rows[i].workload);
		plan = fixture_plan(&fixture, NULL);
		cpus = cpuset_format(&plan->workloads[0].cpus);
		mems = nodeset_format(&plan->workloads[0].mems);
		if (strcmp(cpus, rows[i].cpus) != 0 || strcmp(mems, rows[i].mems) != 0)
			fail_msg("%s: PUs %s, memory %s", rows[i].why, cpus, mems);
		free(cpus);
		free(mems);
		plan_free(plan);
		fixture_close(&fixture);
	}
}

/* The first proof of the issue: four nodes, SMT, agent and proxy. */
static void proof_machine(void **state)
{
	struct fixture fixture;
	struct plan *plan;
	const struct plan_workload *agent, *proxy;
	char *places;

	(void)state;
	fixture_open(&fixture, "1/4/1/2/2");
	fixture_housekeeping(&fixture, "auto");
	fixture_add(&fixture, "agent control min=1 max=1");
	fixture_add(&fixture, "proxy own whole single min=4 max=4");
	plan = fixture_plan(&fixture, NULL);
	places = fixture_places(plan);
	assert_string_equal(places, "agent 2, proxy 4-7");
	agent = plan_find(plan, "agent");
	proxy = plan_find(plan, "proxy");
	assert_int_equal(agent->parallelism.advised, 1);
	assert_int_equal(agent->limited_by, LIMITED_BY_MAX);
	assert_int_equal(proxy->parallelism.advised, 4);
	assert_int_equal(proxy->limited_by, LIMITED_BY_PARTITION);
	assert_int_equal(proxy->n_core, 2);
	assert_int_equal(proxy->quota_mcpu, QUOTA_UNLIMITED_MCPU);
	assert_true(plan->optimal);
	assert_int_equal(plan->generation, 1);
	assert_null(plan_find(plan, "nobody"));
	free(places);
	plan_free(plan);
	fixture_close(&fixture);
}

static void refuses_contradictions(void **state)
{
	static const struct {
		const char *why, *workloads, *text;
	} rows[] = {
		{ "not sorted", "b own\na own",
		  "workload 'a' comes after 'b', expected names in order" },
		{ "twice", "a own\na own",
		  "workload 'a' comes after 'a', expected names in order" },
		{ "no such pool", "a own pool=none",
		  "workload 'a' is of pool 'none', which is not there" },
		{ "no such limit", "a own limit=7", "workload 'a' has limit 7, there are 1" },
		{ "minimum above maximum", "a own min=3 max=2",
		  "workload 'a' has Min=3 and Max=2" },
		{ "minimum 0", "a own min=0", "workload 'a' has Min=0 and Max=4294967295" },
	};
	struct fixture fixture;
	struct plan *plan = NULL;
	struct fault fault;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		fixture_open(&fixture, "1/1/1/4/1");
		fixture_limit(&fixture, LIMIT_NONE, "max", "/");
		fixture_add_all(&fixture, rows[i].workloads);
		assert_int_equal(plan_make(&fixture.snapshot, NULL, 0, &plan, &fault), -EINVAL);
		if (strcmp(fault.text, rows[i].text) != 0)
			fail_msg("%s: \"%s\"", rows[i].why, fault.text);
		assert_null(plan);
		fixture_close(&fixture);
	}
	fixture_open(&fixture, "1/1/1/4/1");
	fixture_limit(&fixture, LIMIT_NONE, "max", "/");
	fixture_limit(&fixture, LIMIT_NONE, "max", "/a");
	fixture.limits[0].parent = 1;
	assert_int_equal(plan_make(&fixture.snapshot, NULL, 0, &plan, &fault), -EINVAL);
	assert_string_equal(fault.text, "limit 0 ('/') has parent 1, expected a lower one");
	fixture_close(&fixture);
}

static void an_empty_plan_is_a_plan(void **state)
{
	struct fixture fixture;
	struct plan *plan;

	(void)state;
	fixture_open(&fixture, "1/1/1/4/1");
	plan = fixture_plan(&fixture, NULL);
	assert_int_equal(plan->n_workloads, 0);
	assert_int_equal(cpuset_count(&plan->cpus), 4);
	plan_free(plan);
	/* Nothing may be used: nothing is placed, and each says so. */
	fixture_allow(&fixture, "77");
	fixture_add_all(&fixture, "a own\nb batch");
	plan = fixture_plan(&fixture, NULL);
	assert_false(plan->workloads[0].placed || plan->workloads[1].placed);
	assert_string_equal(plan->workloads[1].reason, "pool 'default' has no PU that may be used");
	assert_int_equal(plan->workloads[1].parallelism.advised, 1);
	plan_free(plan);
	fixture_close(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_housekeeping),
		cmocka_unit_test(counts_by_priority_and_weight),
		cmocka_unit_test(stays_on_one_node),
		cmocka_unit_test(near_nodes_go_together),
		cmocka_unit_test(shares_few_caches_and_cores),
		cmocka_unit_test(membership_never_division),
		cmocka_unit_test(an_allowed_set_cuts_through_cores),
		cmocka_unit_test(pools_do_not_mix),
		cmocka_unit_test(places_what_is_not_exclusive),
		cmocka_unit_test(keeps_what_holds),
		cmocka_unit_test(finds_room_for_minimums),
		cmocka_unit_test(reasons_say_what_would_do),
		cmocka_unit_test(memory_follows),
		cmocka_unit_test(proof_machine),
		cmocka_unit_test(refuses_contradictions),
		cmocka_unit_test(an_empty_plan_is_a_plan),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
