/* Memory that runs out at any one allocation: planning fails as a whole, keeps nothing and crashes
 * nowhere. Linked with --wrap for the three functions below, which sees the calls of our own code
 * only. */
#include "plan_fixture.h"

static long n_until_failure = -1; /* below 0: never */

void *__real_malloc(size_t n_bytes);
void *__real_calloc(size_t n_items, size_t item_size);
void *__real_realloc(void *memory, size_t n_bytes);
void *__wrap_malloc(size_t n_bytes);
void *__wrap_calloc(size_t n_items, size_t item_size);
void *__wrap_realloc(void *memory, size_t n_bytes);

static bool fails_now(void)
{
	return n_until_failure >= 0 && n_until_failure-- == 0;
}

void *__wrap_malloc(size_t n_bytes)
{
	return fails_now() ? NULL : __real_malloc(n_bytes);
}

void *__wrap_calloc(size_t n_items, size_t item_size)
{
	return fails_now() ? NULL : __real_calloc(n_items, item_size);
}

void *__wrap_realloc(void *memory, size_t n_bytes)
{
	return fails_now() ? NULL : __real_realloc(memory, n_bytes);
}

static void fixture_fill(struct fixture *fixture)
{
	fixture_open(fixture, "1/4/2/2/2");
	fixture_housekeeping(fixture, "3");
	fixture_limit(fixture, LIMIT_NONE, "5", "/a");
	fixture_limit(fixture, 0, "2.5", "/a/b");
	fixture_pool(fixture, "gold", "", "3");
	fixture_add_all(fixture,
			"a own min=2 max=6 limit=1\nb own single min=9 max=9\nc own one min=3 "
			"max=3 limit=0\n"
			"d own whole single min=2 max=2 pool=gold\ne batch cpuset=0-9 size=9\nf "
			"control max=1\n"
			"g batch spread max=3 nodes=0-2 pool=default\nh own single min=4 max=4\n"
			"i own single min=4 max=4\nj own single min=3 max=4");
}

/* Each allocation of plan_make() fails once. */
static void planning_fails_whole(void **state)
{
	struct fixture fixture;
	struct plan *previous, *plan = NULL;
	struct fault fault = { 0 };
	unsigned n_failed = 0;
	int r;

	(void)state;
	fixture_fill(&fixture);
	previous = fixture_plan(&fixture, NULL);
	for (unsigned pass = 0; pass < 2; pass++)
		for (long n = 0, n_left = -1; n_left < 0; n++) {
			n_until_failure = n;
			r = plan_make(&fixture.snapshot, pass ? previous : NULL, 0, &plan, &fault);
			n_left = n_until_failure; /* below 0: it was reached */
			n_until_failure = -1;
			/* Without memory for its words a reason is a shorter one, and the plan goes
			 * on. */
			if (r == 0) {
				plan = plan_free(plan);
				continue;
			}
			assert_int_equal(r, -ENOMEM);
			assert_null(plan);
			assert_string_equal(fault.text, "no memory for a plan");
			n_failed++;
			assert_true(n < 10000);
		}
	assert_true(n_failed > 20);
	plan_free(previous);
	fixture_close(&fixture);
}

static void steps_fail_whole(void **state)
{
	struct fixture fixture;
	struct place places[10];
	struct cpuset held[10] = { 0 };
	struct steps steps;
	struct plan *plan;
	unsigned n_failed = 0;

	(void)state;
	fixture_fill(&fixture);
	plan = fixture_plan(&fixture, NULL);
	for (uint32_t i = 0; i < 10; i++) {
		places[i] = (struct place){ .workload = i };
		cpuset_add_range(&held[i], 8 + i, 12 + i);
	}
	for (long n = 0;; n++) {
		int r;

		n_until_failure = n;
		r = plan_diff(plan, places, 10, held, &steps);
		n_until_failure = -1;
		if (r == 0)
			break;
		assert_int_equal(r, -ENOMEM);
		n_failed++;
	}
	assert_true(n_failed > 10);
	steps_done(&steps);
	for (uint32_t i = 0; i < 10; i++)
		cpuset_done(&held[i]);
	plan_free(plan);
	fixture_close(&fixture);
}

/* A quota that changes needs no memory; a tree that changes does, and then nothing changes. */
static void sharing_needs_none(void **state)
{
	struct fixture fixture;
	struct plan *plan;

	(void)state;
	fixture_fill(&fixture);
	plan = fixture_plan(&fixture, NULL);
	n_until_failure = 0;
	fixture.limits[0].quota_mcpu = 1000;
	assert_true(plan_reshare(plan, &fixture.snapshot, 0, NULL) > 0);
	assert_int_equal(plan_reshare(plan, &fixture.snapshot, LIMIT_NONE, NULL), -ENOMEM);
	n_until_failure = -1;
	assert_int_equal(plan_reshare(plan, &fixture.snapshot, LIMIT_NONE, NULL), 0);
	plan_free(plan);
	fixture_close(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(planning_fails_whole),
		cmocka_unit_test(steps_fail_whole),
		cmocka_unit_test(sharing_needs_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
