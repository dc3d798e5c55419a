/* Quotas of common ancestors and what they make of parallelism: tables, and the three cases that
 * the project was made for. */
#include "plan_fixture.h"

/* A limit: parent (-1: none), quota, path. */
struct level {
	int parent;
	const char *quota, *path;
};

struct row {
	const char *why, *machine;
	struct level limits[6];
	const char *workloads, *answers;
};

/* "a 3 (2-4) cpu.max of /x": advised, floor, ceil, limited by; one workload after the other. */
static char *answers(const struct plan *plan)
{
	char *text = NULL;
	size_t n_text = 0;
	FILE *out = open_memstream(&text, &n_text);

	assert_non_null(out);
	for (size_t i = 0; i < plan->n_workloads; i++) {
		const struct plan_workload *workload = &plan->workloads[i];
		cleanup(freep) char *by = plan_limited_by_text(workload);

		fprintf(out, "%s%s %u (%u-%u) %s", i > 0 ? "; " : "", workload->conf->name,
			workload->parallelism.advised, workload->parallelism.floor,
			workload->parallelism.ceil, by);
	}
	fclose(out);
	return text;
}

static void add_limits(struct fixture *fixture, const struct level *limits)
{
	for (size_t i = 0; i < 6 && limits[i].quota; i++)
		fixture_limit(fixture,
			      limits[i].parent < 0 ? LIMIT_NONE : (uint32_t)limits[i].parent,
			      limits[i].quota, limits[i].path);
}

static void check_all(const struct row *rows, size_t n_rows)
{
	size_t n_wrong = 0;

	for (size_t i = 0; i < n_rows; i++) {
		struct fixture fixture;
		struct plan *plan;
		char *text;

		fixture_open(&fixture, rows[i].machine);
		add_limits(&fixture, rows[i].limits);
		fixture_add_all(&fixture, rows[i].workloads);
		plan = fixture_plan(&fixture, NULL);
		text = answers(plan);
		if (strcmp(text, rows[i].answers) != 0) {
			print_error("%s: got \"%s\", expected \"%s\"\n", rows[i].why, text,
				    rows[i].answers);
			n_wrong++;
		}
		free(text);
		plan_free(plan);
		fixture_close(&fixture);
	}
	assert_int_equal(n_wrong, 0);
}

static void one_workload(void **state)
{
	static const struct row rows[] = {
		{ "no limit", "1/1/1/8/1", { { 0 } }, "a own max=4", "a 4 (4-4) partition" },
		{ "unlimited at every level",
		  "1/1/1/8/1",
		  { { -1, "max", "/" }, { 0, "max", "/a" } },
		  "a own max=4 limit=1",
		  "a 4 (4-4) partition" },
		{ "1.5 PUs of the leaf, rounded down",
		  "1/1/1/8/1",
		  { { -1, "1.5", "/a" } },
		  "a own max=4 limit=0 floor",
		  "a 1 (1-2) cpu.max of /a" },
		{ "rounded up",
		  "1/1/1/8/1",
		  { { -1, "1.5", "/a" } },
		  "a own max=4 limit=0 ceil",
		  "a 2 (1-2) cpu.max of /a" },
		{ "nearest: half rounds up",
		  "1/1/1/8/1",
		  { { -1, "1.5", "/a" } },
		  "a own max=4 limit=0 nearest",
		  "a 2 (1-2) cpu.max of /a" },
		{ "nearest: less than half does not",
		  "1/1/1/8/1",
		  { { -1, "2.4", "/a" } },
		  "a own max=4 limit=0 nearest",
		  "a 2 (2-3) cpu.max of /a" },
		{ "the ancestor is tighter",
		  "1/1/1/8/1",
		  { { -1, "2", "/a" }, { 0, "3", "/a/b" } },
		  "a own max=4 limit=1",
		  "a 2 (2-2) cpu.max of /a" },
		{ "the child is tighter",
		  "1/1/1/8/1",
		  { { -1, "3", "/a" }, { 0, "2", "/a/b" } },
		  "a own max=4 limit=1",
		  "a 2 (2-2) cpu.max of /a/b" },
		{ "one in the middle",
		  "1/1/1/8/1",
		  { { -1, "max", "/" },
		    { 0, "3", "/a" },
		    { 1, "2", "/a/b" },
		    { 2, "max", "/a/b/c" } },
		  "a own max=4 limit=3",
		  "a 2 (2-2) cpu.max of /a/b" },
		{ "less than a PU is still one thread",
		  "1/1/1/8/1",
		  { { -1, "0.1", "/a" } },
		  "a own max=4 limit=0 floor",
		  "a 1 (1-1) cpu.max of /a" },
		{ "as much quota as PUs: the PUs are named",
		  "1/1/1/8/1",
		  { { -1, "4", "/a" } },
		  "a own max=4 limit=0",
		  "a 4 (4-4) partition" },
		{ "more quota than PUs",
		  "1/1/1/8/1",
		  { { -1, "40", "/a" } },
		  "a own max=4 limit=0",
		  "a 4 (4-4) partition" },
		{ "Max= of one that is not exclusive",
		  "1/1/1/8/1",
		  { { -1, "5", "/a" } },
		  "a batch max=3 limit=0",
		  "a 3 (3-3) max" },
		{ "3.999 of an inexact quota and period is 4",
		  "1/1/1/8/1",
		  { { -1, "3.999", "/a" } },
		  "a own max=8 limit=0 floor",
		  "a 4 (4-4) cpu.max of /a" },
		{ "2.001 is 2",
		  "1/1/1/8/1",
		  { { -1, "2.001", "/a" } },
		  "a own max=8 limit=0 ceil",
		  "a 2 (2-2) cpu.max of /a" },
		{ "a cpuset that is not ours",
		  "1/1/1/8/1",
		  { { 0 } },
		  "a batch cpuset=2-3",
		  "a 2 (2-2) cpuset of /outer" },
		{ "not placed: one thread",
		  "1/1/1/2/1",
		  { { 0 } },
		  "a own min=3",
		  "a 1 (1-1) nothing" },
	};

	(void)state;
	check_all(rows, N_ELEMENTS(rows));
}

static void several_below_one_limit(void **state)
{
	static const struct row rows[] = {
		{ "in proportion to PUs",
		  "1/1/1/16/1",
		  { { -1, "6", "/a" } },
		  "a own max=8 limit=0\nb own max=4 limit=0",
		  "a 4 (4-4) cpu.max of /a; b 2 (2-2) cpu.max of /a" },
		{ "what one cannot use goes to the other",
		  "1/1/1/16/1",
		  { { -1, "8", "/a" } },
		  "a own max=2 limit=0\nb own max=14 limit=0",
		  "a 1 (1-1) cpu.max of /a; b 7 (7-7) cpu.max of /a" },
		{ "a deeper limit bounds one, the other has the rest",
		  "1/1/1/16/1",
		  { { -1, "8", "/a" }, { 0, "2", "/a/x" } },
		  "a own max=8 limit=1\nb own max=8 limit=0",
		  "a 2 (2-2) cpu.max of /a/x; b 6 (6-6) cpu.max of /a" },
		{ "the control plane's minimum first",
		  "1/1/1/16/1",
		  { { -1, "4", "/a" } },
		  "a own control min=2 max=2 limit=0\nb own max=14 limit=0",
		  "a 2 (2-2) partition; b 2 (2-2) cpu.max of /a" },
		{ "everybody has one before minimums of control planes",
		  "1/1/1/16/1",
		  { { -1, "4", "/a" } },
		  "a own control min=4 max=4 limit=0\nb own max=4 limit=0",
		  "a 3 (3-3) cpu.max of /a; b 1 (1-1) cpu.max of /a" },
		{ "three in four: fractions add up, the first has the odd one",
		  "1/1/1/9/1",
		  { { -1, "4", "/a" } },
		  "a own max=3 limit=0 ceil\nb own max=3 limit=0 ceil\nc own max=3 limit=0 ceil",
		  "a 2 (1-2) cpu.max of /a; b 1 (1-2) cpu.max of /a; c 1 (1-2) cpu.max of /a" },
		{ "the larger fraction rounds up",
		  "1/1/1/16/1",
		  { { -1, "4", "/a" } },
		  "a own max=3 limit=0 ceil\nb own max=4 limit=0 ceil",
		  "a 2 (1-2) cpu.max of /a; b 2 (2-3) cpu.max of /a" },
		{ "rounding up stops at the ceiling of a deeper level too",
		  "1/1/1/16/1",
		  { { -1, "6.5", "/a" }, { 0, "3", "/a/x" } },
		  "a own max=4 limit=1 ceil\nb own max=4 limit=1 ceil\nc own max=4 limit=0 ceil",
		  "a 2 (1-2) cpu.max of /a/x; b 1 (1-2) cpu.max of /a/x; c 4 (3-4) cpu.max of /a" },
		{ "more workloads than PUs: one each",
		  "1/1/1/16/1",
		  { { -1, "2", "/a" } },
		  "a own max=4 limit=0\nb own max=4 limit=0\nc own max=4 limit=0",
		  "a 1 (1-1) cpu.max of /a; b 1 (1-1) cpu.max of /a; c 1 (1-1) cpu.max of /a" },
		{ "cousins below levels without a quota share it",
		  "1/1/1/16/1",
		  { { -1, "4", "/a" }, { 0, "max", "/a/x" }, { 0, "max", "/a/y" } },
		  "a own max=6 limit=1\nb own max=2 limit=2",
		  "a 3 (3-3) cpu.max of /a; b 1 (1-1) cpu.max of /a" },
		{ "who is elsewhere is not concerned",
		  "1/1/1/16/1",
		  { { -1, "2", "/a" }, { -1, "max", "/b" } },
		  "a own max=4 limit=0\nb own max=4 limit=1\nc own max=4",
		  "a 2 (2-2) cpu.max of /a; b 4 (4-4) partition; c 4 (4-4) partition" },
	};

	(void)state;
	check_all(rows, N_ELEMENTS(rows));
}

/* Agent and proxy as in the issue: 1 PU and 4 PUs of their own on four nodes. */
#define PAIR "agent control min=1 max=1 limit=1\nproxy own whole single min=4 max=4 limit=1"

static void agent_and_proxy(void **state)
{
	static const struct row rows[] = {
		{ "one cgroup with 4 PUs",
		  "1/4/1/2/2",
		  { { -1, "max", "/" }, { 0, "4", "/pair" } },
		  PAIR,
		  "agent 1 (1-1) max; proxy 3 (3-3) cpu.max of /pair" },
		{ "1.5 PUs on the ancestor",
		  "1/4/1/2/2",
		  { { -1, "1.5", "/" }, { 0, "4", "/pair" } },
		  PAIR,
		  "agent 1 (1-1) max; proxy 1 (1-1) cpu.max of /" },
		{ "unlimited",
		  "1/4/1/2/2",
		  { { -1, "max", "/" }, { 0, "max", "/pair" } },
		  PAIR,
		  "agent 1 (1-1) max; proxy 4 (4-4) partition" },
		{ "a limit of each",
		  "1/4/1/2/2",
		  { { -1, "0.5", "/agent" }, { -1, "2.5", "/proxy" } },
		  "agent control min=1 max=1 limit=0\nproxy own whole single min=4 max=4 limit=1 "
		  "ceil",
		  "agent 1 (1-1) cpu.max of /agent; proxy 3 (2-3) cpu.max of /proxy" },
	};

	(void)state;
	check_all(rows, N_ELEMENTS(rows));
}

static void a_quota_changes(void **state)
{
	struct fixture fixture;
	bool changed[3] = { 0 };
	struct plan *plan;

	(void)state;
	fixture_open(&fixture, "1/1/1/16/1");
	fixture_limit(&fixture, LIMIT_NONE, "max", "/");
	fixture_limit(&fixture, 0, "4", "/a");
	fixture_limit(&fixture, 1, "max", "/a/x");
	fixture_limit(&fixture, 0, "max", "/b");
	fixture_limit(&fixture, 0, "max", "/nobody");
	fixture_add_all(&fixture, "a own max=4 limit=2\nb own max=4 limit=1\nc own max=4 limit=3");
	plan = fixture_plan(&fixture, NULL);
	assert_int_equal(plan->workloads[0].share_mcpu, 2000);
	assert_int_equal(plan->workloads[0].quota_mcpu, 4000);

	/* Written again with the same value. */
	assert_int_equal(plan_reshare(plan, &fixture.snapshot, 1, changed), 0);
	assert_false(changed[0] || changed[1] || changed[2]);

	/* Only a has less; b may have what a leaves. */
	fixture.limits[2].quota_mcpu = 1000;
	assert_int_equal(plan_reshare(plan, &fixture.snapshot, 2, changed), 2);
	assert_true(changed[0] && changed[1] && !changed[2]);
	assert_int_equal(plan->workloads[0].parallelism.advised, 1);
	assert_string_equal(plan->workloads[0].limited_by_path, "/a/x");
	assert_int_equal(plan->workloads[1].parallelism.advised, 3);
	assert_string_equal(plan->workloads[1].limited_by_path, "/a");

	/* The root, above all; a has no more than its own limit leaves it anyway. */
	memset(changed, 0, sizeof(changed));
	fixture.limits[0].quota_mcpu = 3000;
	assert_int_equal(plan_reshare(plan, &fixture.snapshot, 0, changed), 2);
	assert_false(changed[0]);
	assert_int_equal(plan->workloads[0].parallelism.advised, 1);
	assert_int_equal(plan->workloads[1].parallelism.advised, 1);
	assert_int_equal(plan->workloads[2].parallelism.advised, 1);
	assert_string_equal(plan->workloads[2].limited_by_path, "/");

	/* All unlimited again. */
	fixture.limits[0].quota_mcpu = fixture.limits[1].quota_mcpu = fixture.limits[2].quota_mcpu =
		QUOTA_UNLIMITED_MCPU;
	assert_int_equal(plan_reshare(plan, &fixture.snapshot, LIMIT_NONE, NULL), 3);
	assert_int_equal(plan->workloads[0].parallelism.advised, 4);
	assert_int_equal(plan->workloads[0].limited_by, LIMITED_BY_PARTITION);
	assert_int_equal(plan->workloads[0].quota_mcpu, QUOTA_UNLIMITED_MCPU);

	/* A limit that nobody is below, and one that is not there. */
	assert_int_equal(plan_reshare(plan, &fixture.snapshot, 4, NULL), 0);
	assert_int_equal(plan_reshare(plan, &fixture.snapshot, 5, NULL), -EINVAL);
	plan_free(plan);
	fixture_close(&fixture);
}

/* Between planning and publishing cgroups may come and go: the tree is another one then. */
static void the_tree_changes(void **state)
{
	struct fixture fixture;
	struct plan *plan;

	(void)state;
	fixture_open(&fixture, "1/1/1/16/1");
	fixture_limit(&fixture, LIMIT_NONE, "2", "/a");
	fixture_add_all(&fixture, "a own max=4 limit=0\nb own max=4");
	plan = fixture_plan(&fixture, NULL);
	fixture_limit(&fixture, 0, "1", "/a/deeper");
	fixture_limit(&fixture, LIMIT_NONE, "3", "/b");
	fixture.workloads[0].limit = 1;
	fixture.workloads[1].limit = 2;
	assert_int_equal(plan_reshare(plan, &fixture.snapshot, 0, NULL), -EINVAL);
	assert_int_equal(plan_reshare(plan, &fixture.snapshot, LIMIT_NONE, NULL), 2);
	assert_int_equal(plan->workloads[0].parallelism.advised, 1);
	assert_string_equal(plan->workloads[0].limited_by_path, "/a/deeper");
	assert_int_equal(plan->workloads[0].limit, 1);
	assert_int_equal(plan->workloads[1].parallelism.advised, 3);
	assert_string_equal(plan->workloads[1].limited_by_path, "/b");
	/* Everything goes: what it was limited by before any quota is still known. */
	fixture.workloads[0].limit = fixture.workloads[1].limit = LIMIT_NONE;
	fixture.snapshot.n_limits = 0;
	assert_int_equal(plan_reshare(plan, &fixture.snapshot, LIMIT_NONE, NULL), 2);
	assert_int_equal(plan->workloads[1].parallelism.advised, 4);
	assert_int_equal(plan->workloads[1].limited_by, LIMITED_BY_PARTITION);
	fixture.snapshot.n_workloads = 1;
	assert_int_equal(plan_reshare(plan, &fixture.snapshot, LIMIT_NONE, NULL), -EINVAL);
	fixture.snapshot.n_workloads = 2;
	plan_free(plan);
	fixture_close(&fixture);
}

static void a_plugin_rounds(void **state)
{
	struct fixture fixture;
	struct plan *plan;

	(void)state;
	fixture_open(&fixture, "1/1/1/8/1");
	fixture_limit(&fixture, LIMIT_NONE, "1.2", "/a");
	fixture_add_all(&fixture, "a own max=4 limit=0");
	plan = fixture_plan(&fixture, NULL);
	assert_int_equal(plan->workloads[0].parallelism.advised, 1);
	plan_free(plan);
	fixture.workloads[0].plugin_rounds_up = true;
	plan = fixture_plan(&fixture, NULL);
	assert_int_equal(plan->workloads[0].parallelism.advised, 2);
	plan_free(plan);
	fixture_close(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_workload),	    cmocka_unit_test(several_below_one_limit),
		cmocka_unit_test(agent_and_proxy),  cmocka_unit_test(a_quota_changes),
		cmocka_unit_test(the_tree_changes), cmocka_unit_test(a_plugin_rounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
