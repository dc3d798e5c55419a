#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "publish/account.h"

#define SECOND UINT64_C(1000000)

static void a_debt_is_waited_for(void **state)
{
	static const struct {
		const char *why;
		uint64_t cost_us, later_us, wait_us;
	} rows[] = {
		{ "nothing was taken", 0, 0, 0 },
		{ "what a rest gives is free", 100000, 0, 0 },
		{ "a microsecond too much costs ten", 100001, 0, 10 },
		{ "a tenth of the time is one's own", 100001, 10, 0 },
		{ "and not a little before", 100002, 10, 10 },
		{ "half a second taken", 500000, 0, 4 * SECOND },
		{ "half of it paid", 500000, 2 * SECOND, 2 * SECOND },
		{ "all of it paid", 500000, 4 * SECOND, 0 },
		{ "a debt has an end", UINT64_MAX / 2, 0, 3599 * SECOND },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct accounts accounts = { 0 };

		accounts_charge(&accounts, 7, SECOND, rows[i].cost_us);
		if (accounts_wait_us(&accounts, 7, SECOND + rows[i].later_us) != rows[i].wait_us)
			fail_msg("%s", rows[i].why);
		assert_int_equal(accounts_wait_us(&accounts, 8, SECOND), 0);
	}
}

/* Asking often must not keep a debt from being paid, nor pay it sooner. */
static void looking_costs_nothing(void **state)
{
	struct accounts often = { 0 }, once = { 0 };
	uint64_t now_us = SECOND;

	(void)state;
	accounts_charge(&often, 1, now_us, 300000);
	accounts_charge(&once, 1, now_us, 300000);
	for (unsigned i = 0; i < 100000; i++)
		accounts_wait_us(&often, 1, now_us += 3);
	assert_int_equal(accounts_wait_us(&often, 1, now_us), accounts_wait_us(&once, 1, now_us));
	assert_int_equal(accounts_wait_us(&once, 1, now_us), 2 * SECOND - 300000);
	/* A clock that goes back forgives nothing and takes nothing. */
	assert_int_equal(accounts_wait_us(&once, 1, 5), 2 * SECOND - 300000);
}

/* Thousands of users cannot make each other's debts be forgotten. */
static void nobody_is_forgotten(void **state)
{
	struct accounts accounts = { 0 };

	(void)state;
	for (uint32_t uid = 0; uid < 5000; uid++)
		accounts_charge(&accounts, uid, SECOND, 200000);
	assert_int_equal(accounts.n_items, N_ACCOUNTS_MAX);
	for (uint32_t uid = 0; uid < 5000; uid++)
		assert_true(accounts_wait_us(&accounts, uid, SECOND) >= SECOND);
	/* Accounts that are settled are closed: there is room for others. */
	assert_int_equal(accounts_wait_us(&accounts, 4711, 7200 * SECOND), 0);
	assert_int_equal(accounts.n_items, 0);
}

static void random_lives_keep_the_share(void **state)
{
	const char *given = getenv("SIDECARD_TEST_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 10) : 42, now_us = 0, taken_us = 0;
	struct accounts accounts = { 0 };

	(void)state;
	print_message("seed %llu\n", (unsigned long long)seed);
	for (unsigned i = 0; i < 200000; i++) {
		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
		now_us += (seed >> 33) % 2000;
		if (accounts_wait_us(&accounts, 3, now_us) > 0)
			continue;
		accounts_charge(&accounts, 3, now_us, (seed >> 40) % 5000);
		taken_us += (seed >> 40) % 5000;
	}
	/* The share, what a rest gives, and the last one that began in credit. */
	assert_true(taken_us <= now_us / 10 + ACCOUNT_CREDIT_US + 5000);
	assert_true(taken_us >= now_us / 10 - 5000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_debt_is_waited_for),
		cmocka_unit_test(looking_costs_nothing),
		cmocka_unit_test(nobody_is_forgotten),
		cmocka_unit_test(random_lives_keep_the_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
