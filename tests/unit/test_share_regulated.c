/* What regulators ask for, inside what PUs and quotas leave. */
#include "plan_fixture.h"

#include "../property/random.h"

struct asked {
	const char *workload;
	uint32_t regulated, overcommit_permille;
	const char *answer; /* "advised (floor-ceil) of most, limited by" */
};

static const struct {
	const char *why;
	struct {
		uint32_t parent;
		const char *quota, *path;
	} limits[3];
	struct asked asked[4];
} rows[] = {
	{ "no regulator", { { 0 } }, { { "a own max=4", 0, 1000, "4 (4-4) of 4, partition" } } },
	{ "fewer than planned",
	  { { 0 } },
	  { { "a own max=4", 3, 1000, "3 (4-4) of 4, regulator" } } },
	{ "as many as planned: the regulator is not what limits",
	  { { 0 } },
	  { { "a own max=4", 4, 1000, "4 (4-4) of 4, partition" } } },
	{ "more than the PUs, without Overcommit=",
	  { { 0 } },
	  { { "a own max=4", 9, 1000, "4 (4-4) of 4, partition" } } },
	{ "with Overcommit=",
	  { { 0 } },
	  { { "a own max=4", 6, 2000, "6 (4-4) of 8, regulator" } } },
	{ "never beyond Overcommit=",
	  { { 0 } },
	  { { "a own max=4", 20, 1500, "6 (4-4) of 6, regulator" } } },
	{ "never above the quota, in whole PUs",
	  { { LIMIT_NONE, "5.5", "/a" } },
	  { { "a own max=4 limit=0", 8, 2000, "5 (4-4) of 5, regulator" } } },
	{ "a quota below the PUs: Overcommit= is nothing",
	  { { LIMIT_NONE, "2.5", "/a" } },
	  { { "a own max=4 limit=0", 8, 2000, "2 (2-3) of 2, cpu.max of /a" } } },
	{ "less than the quota",
	  { { LIMIT_NONE, "3", "/a" } },
	  { { "a own max=4 limit=0", 2, 1000, "2 (3-3) of 3, regulator" } } },
	{ "the tighter of two levels",
	  { { LIMIT_NONE, "6", "/a" }, { 0, "7", "/a/b" } },
	  { { "a own max=4 limit=1", 8, 2000, "6 (4-4) of 6, regulator" } } },
	{ "two share what is left, in the order of the tree",
	  { { LIMIT_NONE, "11", "/a" } },
	  { { "a own max=4 limit=0", 6, 2000, "6 (4-4) of 7, regulator" },
	    { "b own max=4 limit=0", 6, 2000, "5 (4-4) of 5, regulator" } } },
	{ "what one leaves is not the other's",
	  { { LIMIT_NONE, "8", "/a" } },
	  { { "a own max=4 limit=0", 2, 2000, "2 (4-4) of 4, regulator" },
	    { "b own max=4 limit=0", 6, 2000, "4 (4-4) of 4, partition" } } },
};

static char *answer_text(const struct plan_workload *workload)
{
	cleanup(freep) char *by = plan_limited_by_text(workload);
	char *text = NULL;

	assert_true(asprintf(&text, "%u (%u-%u) of %u, %s", workload->parallelism.advised,
			     workload->parallelism.floor, workload->parallelism.ceil,
			     workload->n_most, by) > 0);
	return text;
}

static void asked(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct fixture fixture;
		struct plan *plan;

		fixture_open(&fixture, "1/1/1/16/1");
		for (size_t k = 0; k < 3 && rows[i].limits[k].quota; k++)
			fixture_limit(&fixture, rows[i].limits[k].parent, rows[i].limits[k].quota,
				      rows[i].limits[k].path);
		for (size_t k = 0; k < 4 && rows[i].asked[k].workload; k++) {
			fixture_add(&fixture, rows[i].asked[k].workload);
			fixture.workloads[k].regulated = rows[i].asked[k].regulated;
			fixture.confs[k]->overcommit_permille =
				rows[i].asked[k].overcommit_permille;
		}
		plan = fixture_plan(&fixture, NULL);
		for (size_t k = 0; k < plan->n_workloads; k++) {
			cleanup(freep) char *text = answer_text(&plan->workloads[k]);

			if (strcmp(text, rows[i].asked[k].answer) != 0)
				fail_msg("%s: '%s', expected '%s'", rows[i].why, text,
					 rows[i].asked[k].answer);
		}
		plan_free(plan);
		fixture_close(&fixture);
	}
}

/* A step needs no new plan, and is told as a change of this workload alone. */
static void steps(void **state)
{
	struct fixture fixture;
	struct plan *plan;
	bool changed[2] = { false, false };

	(void)state;
	fixture_open(&fixture, "1/1/1/16/1");
	fixture_limit(&fixture, LIMIT_NONE, "8", "/a");
	fixture_add(&fixture, "a own max=4 limit=0");
	fixture_add(&fixture, "b own max=4 limit=0");
	plan = fixture_plan(&fixture, NULL);
	fixture.workloads[1].regulated = 3;
	assert_int_equal(plan_reshare(plan, &fixture.snapshot, 0, changed), 1);
	assert_false(changed[0]);
	assert_true(changed[1]);
	assert_int_equal(plan->workloads[1].parallelism.advised, 3);
	assert_int_equal(plan->workloads[1].limited_by, LIMITED_BY_REGULATOR);
	assert_null(plan->workloads[1].limited_by_path);
	assert_int_equal(plan_reshare(plan, &fixture.snapshot, 0, NULL), 0);
	fixture.workloads[1].regulated = 0;
	assert_int_equal(plan_reshare(plan, &fixture.snapshot, LIMIT_NONE, NULL), 1);
	assert_int_equal(plan->workloads[1].parallelism.advised, 4);
	assert_int_equal(plan->workloads[1].limited_by, LIMITED_BY_PARTITION);
	plan_free(plan);
	fixture_close(&fixture);
}

#define N_RANDOM 6

/* The sum of what is advised below @limit. */
static uint32_t advised_below(const struct fixture *fixture, const struct plan *plan,
			      uint32_t limit, uint32_t *ret_n)
{
	uint32_t sum = 0;

	*ret_n = 0;
	for (size_t i = 0; i < plan->n_workloads; i++)
		for (uint32_t at = fixture->workloads[i].limit; at != LIMIT_NONE;
		     at = fixture->limits[at].parent)
			if (at == limit) {
				sum += plan->workloads[i].parallelism.advised;
				++*ret_n;
			}
	return sum;
}

static void random_case(uint64_t seed)
{
	uint64_t random = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15) | 1;
	struct fixture fixture;
	struct plan *plain, *plan;

	fixture_open(&fixture, "1/1/1/32/1");
	for (uint32_t i = 0; i < 3; i++) {
		char quota[32];

		snprintf(quota, sizeof(quota), "%u.%u", random_below(&random, 30) + 1,
			 random_below(&random, 10));
		fixture_limit(&fixture, i == 0 ? LIMIT_NONE : random_below(&random, i), quota,
			      i == 0   ? "/a"
			      : i == 1 ? "/a/b"
				       : "/a/c");
	}
	for (uint32_t i = 0; i < N_RANDOM; i++) {
		char spec[64];

		snprintf(spec, sizeof(spec), "%c %s max=%u%s limit=%u", 'a' + (int)i,
			 random_once_in(&random, 2) ? "own" : "batch", 1 + random_below(&random, 6),
			 random_once_in(&random, 2) ? " ceil" : "", random_below(&random, 3));
		fixture_add(&fixture, spec);
		fixture.confs[i]->overcommit_permille = 1000 + 500 * random_below(&random, 4);
	}
	plain = fixture_plan(&fixture, NULL);
	for (uint32_t i = 0; i < N_RANDOM; i++)
		fixture.workloads[i].regulated = random_below(&random, 16);
	plan = fixture_plan(&fixture, NULL);
	for (uint32_t i = 0; i < N_RANDOM; i++) {
		const struct plan_workload *a = &plain->workloads[i], *b = &plan->workloads[i];
		uint32_t asked_for = fixture.workloads[i].regulated;

		if (a->parallelism.floor != b->parallelism.floor ||
		    a->parallelism.ceil != b->parallelism.ceil || a->share_mcpu != b->share_mcpu ||
		    !cpuset_equal(&a->cpus, &b->cpus) || b->parallelism.advised < 1 ||
		    b->parallelism.advised > b->n_most ||
		    (asked_for == 0 && b->parallelism.advised != a->parallelism.advised) ||
		    (asked_for > 0 && b->parallelism.advised > asked_for) ||
		    (asked_for > 0 && asked_for <= a->parallelism.advised &&
		     b->parallelism.advised != asked_for) ||
		    (b->limited_by == LIMITED_BY_REGULATOR) !=
			    (b->parallelism.advised != a->parallelism.advised))
			fail_msg("seed %llu: workload %u", (unsigned long long)seed, i);
	}
	for (uint32_t i = 0; i < 3; i++) {
		uint32_t n, sum = advised_below(&fixture, plan, i, &n);
		uint32_t ceiling = quota_ceil_pu(fixture.limits[i].quota_mcpu);

		if (sum > ceiling && sum > n && sum > advised_below(&fixture, plain, i, &n))
			fail_msg("seed %llu: %u threads below a quota of %u",
				 (unsigned long long)seed, sum, ceiling);
	}
	plan_free(plain);
	plan_free(plan);
	fixture_close(&fixture);
}

static void sums_stay(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 3000; seed++)
		random_case(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asked),
		cmocka_unit_test(steps),
		cmocka_unit_test(sums_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
