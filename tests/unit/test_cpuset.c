#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "model/cpuset.h"

static void parses_and_formats(void **state)
{
	static const struct {
		const char *why, *text;
		int result;
		const char *formatted;
	} rows[] = {
		{ "empty: an offline node's cpulist", "\n", 0, "" },
		{ "no text at all", "", 0, "" },
		{ "one", "0", 0, "0" },
		{ "range and single", "0-3,8\n", 0, "0-3,8" },
		{ "out of order, overlapping, twice", "8,2-3,0-2,8", 0, "0-3,8" },
		{ "far above 1,024", "8191,1023-1025", 0, "1023-1025,8191" },
		{ "across words", "60-70,127-129", 0, "60-70,127-129" },
		{ "one beyond the maximum", "8192", -ERANGE, NULL },
		{ "overflow", "99999999999999999999", -ERANGE, NULL },
		{ "reversed", "3-0", -EINVAL, NULL },
		{ "trailing comma", "0,", -EINVAL, NULL },
		{ "leading comma", ",0", -EINVAL, NULL },
		{ "open range", "4-", -EINVAL, NULL },
		{ "blank", "0, 1", -EINVAL, NULL },
		{ "sign", "-1", -EINVAL, NULL },
		{ "hexadecimal", "0x10", -EINVAL, NULL },
		{ "a second line", "0\n1", -EINVAL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct cpuset set = { 0 };
		int r = cpuset_parse(rows[i].text, &set);
		cleanup(freep) char *formatted = cpuset_format(&set);

		if (r != rows[i].result)
			fail_msg("%s: '%s' gave %d", rows[i].why, rows[i].text, r);
		assert_string_equal(formatted, r < 0 ? "" : rows[i].formatted);
		cpuset_done(&set);
	}
}

/* Every operation against an array of booleans, on random sets; the seed is printed on failure. */
static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

#define N 300

static void fill(uint64_t *seed, bool *members, struct cpuset *set)
{
	uint64_t density = next_random(seed) % 8;

	for (uint32_t i = 0; i < N; i++) {
		members[i] = next_random(seed) % 8 < density;
		if (members[i])
			assert_int_equal(cpuset_add(set, i), 0);
	}
	for (unsigned k = 0; k < 5; k++) {
		uint32_t gone = (uint32_t)(next_random(seed) % N);

		members[gone] = false;
		cpuset_remove(set, gone);
	}
}

static void check_equals(const struct cpuset *set, const bool *members, uint64_t seed)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < N; i++) {
		count += members[i];
		if (cpuset_has(set, i) != members[i])
			fail_msg("seed %llu: member %u", (unsigned long long)seed, i);
	}
	assert_int_equal(cpuset_count(set), count);
	cpuset_foreach (i, set)
		assert_true(members[i]);
	assert_false(cpuset_has(set, 5000));
}

static void agrees_with_booleans(void **state)
{
	(void)state;
	for (uint64_t start = 1; start <= 3000; start++) {
		uint64_t seed = start * 0x9e3779b97f4a7c15;
		bool a[N], b[N], expected[N], subset = true, meets = false;
		struct cpuset x = { 0 }, y = { 0 }, z = { 0 }, reparsed = { 0 };
		cleanup(freep) char *text = NULL;

		fill(&seed, a, &x);
		fill(&seed, b, &y);
		for (uint32_t i = 0; i < N; i++) {
			subset = subset && (!a[i] || b[i]);
			meets = meets || (a[i] && b[i]);
		}
		assert_int_equal(cpuset_is_subset(&x, &y), subset);
		assert_int_equal(cpuset_intersects(&x, &y), meets);
		assert_int_equal(cpuset_copy(&z, &x), 0);
		assert_true(cpuset_equal(&z, &x));
		assert_int_equal(cpuset_union(&z, &y), 0);
		for (uint32_t i = 0; i < N; i++)
			expected[i] = a[i] || b[i];
		check_equals(&z, expected, start);
		text = cpuset_format(&z);
		assert_int_equal(cpuset_parse(text, &reparsed), 0);
		assert_true(cpuset_equal(&z, &reparsed));
		cpuset_subtract(&z, &y);
		for (uint32_t i = 0; i < N; i++)
			expected[i] = a[i] && !b[i];
		check_equals(&z, expected, start);
		assert_int_equal(cpuset_copy(&z, &x), 0);
		cpuset_intersect(&z, &y);
		for (uint32_t i = 0; i < N; i++)
			expected[i] = a[i] && b[i];
		check_equals(&z, expected, start);
		cpuset_done(&x);
		cpuset_done(&y);
		cpuset_done(&z);
		cpuset_done(&reparsed);
	}
}

static void ends_are_where_they_should_be(void **state)
{
	struct cpuset set = { 0 };

	(void)state;
	assert_true(cpuset_is_empty(&set));
	assert_int_equal(cpuset_first(&set), SET_END);
	assert_int_equal(cpuset_last(&set), SET_END);
	assert_int_equal(cpuset_add(&set, CPUSET_MAX), -ERANGE);
	assert_int_equal(cpuset_add_range(&set, 5, 4), -EINVAL);
	assert_int_equal(cpuset_add(&set, CPUSET_MAX - 1), 0);
	assert_int_equal(cpuset_first(&set), CPUSET_MAX - 1);
	assert_int_equal(cpuset_next(&set, CPUSET_MAX - 1), SET_END);
	assert_int_equal(cpuset_last(&set), CPUSET_MAX - 1);
	cpuset_remove(&set, CPUSET_MAX - 1);
	assert_true(cpuset_is_empty(&set));
	assert_int_equal(cpuset_last(&set), SET_END);
	cpuset_done(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_and_formats),
		cmocka_unit_test(agrees_with_booleans),
		cmocka_unit_test(ends_are_where_they_should_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
