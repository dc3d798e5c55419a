/* Weighted max-min shares: tables, then against their definition on random items. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "plan/plan_fill.h"

#define N_MOST 12

static void shares_by_weight(void **state)
{
	static const struct {
		const char *why;
		uint32_t capacity;
		struct fill_item items[4]; /* least, most, weight, step */
		uint32_t amounts[4];
	} rows[] = {
		{ "in proportion", 12, { { 0, 99, 1, 1 }, { 0, 99, 3, 1 } }, { 3, 9 } },
		{ "most leaves the rest", 12, { { 0, 2, 3, 1 }, { 0, 99, 1, 1 } }, { 2, 10 } },
		{ "least comes first", 12, { { 8, 99, 1, 1 }, { 0, 99, 1, 1 } }, { 8, 4 } },
		{ "no more than all want", 99, { { 0, 2, 1, 1 }, { 1, 3, 1, 1 } }, { 2, 3 } },
		{ "not even the least", 3, { { 2, 9, 1, 1 }, { 2, 9, 1, 1 } }, { 2, 2 } },
		{ "the odd one goes to the first",
		  4,
		  { { 0, 9, 1, 1 }, { 0, 9, 1, 1 }, { 0, 9, 1, 1 } },
		  { 2, 1, 1 } },
		{ "the larger remainder rounds up",
		  10,
		  { { 0, 99, 1, 1 }, { 0, 99, 6, 1 } },
		  { 1, 9 } },
		{ "one side is closed before the other",
		  10,
		  { { 0, 1, 10, 1 }, { 5, 9, 1, 1 }, { 0, 9, 1, 1 } },
		  { 1, 5, 4 } },
		{ "steps", 7, { { 0, 8, 1, 2 }, { 0, 8, 1, 2 } }, { 4, 2 } },
		{ "what no step takes goes to single ones",
		  7,
		  { { 0, 8, 1, 4 }, { 0, 8, 1, 1 } },
		  { 4, 3 } },
		{ "weight 0: never more than least",
		  9,
		  { { 1, 8, 0, 1 }, { 0, 8, 1, 1 } },
		  { 1, 8 } },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct fill_item items[4];
		size_t n = 0;

		for (; n < 4 && rows[i].items[n].step > 0; n++)
			items[n] = rows[i].items[n];
		plan_fill(items, n, rows[i].capacity);
		for (size_t k = 0; k < n; k++)
			if (items[k].amount != rows[i].amounts[k])
				fail_msg("%s: item %zu has %u", rows[i].why, k, items[k].amount);
	}
	plan_fill(NULL, 0, 9);
}

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* Nobody who could have more has less for its weight than somebody who could give, by more than
 * what rounding to whole numbers makes. */
static void nobody_is_envied(void **state)
{
	uint64_t seed = 20240611;

	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		uint64_t began = seed, sum = 0, least = 0, most = 0;
		struct fill_item items[N_MOST];
		size_t n = 1 + next_random(&seed) % N_MOST;
		uint32_t capacity;

		for (size_t i = 0; i < n; i++) {
			items[i] = (struct fill_item){ .least = (uint32_t)(next_random(&seed) % 20),
						       .weight = (uint32_t)(1 + next_random(&seed) %
											50),
						       .step = 1 };
			items[i].most = items[i].least + (uint32_t)(next_random(&seed) % 60);
			least += items[i].least;
			most += items[i].most;
		}
		capacity = (uint32_t)(least + next_random(&seed) % 300);
		plan_fill(items, n, capacity);
		for (size_t i = 0; i < n; i++) {
			sum += items[i].amount;
			if (items[i].amount < items[i].least || items[i].amount > items[i].most)
				fail_msg("seed %llu: item %zu is out of bounds",
					 (unsigned long long)began, i);
		}
		if (sum != (most < capacity ? most : capacity))
			fail_msg("seed %llu: %llu of %u", (unsigned long long)began,
				 (unsigned long long)sum, capacity);
		for (size_t i = 0; i < n; i++)
			for (size_t k = 0; k < n; k++)
				if (items[i].amount < items[i].most &&
				    items[k].amount > items[k].least &&
				    (items[i].amount + 1ull) * items[k].weight <
					    (items[k].amount - 1ull) * items[i].weight)
					fail_msg("seed %llu: item %zu envies %zu",
						 (unsigned long long)began, i, k);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shares_by_weight),
		cmocka_unit_test(nobody_is_envied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
