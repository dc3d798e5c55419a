#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "model/quota.h"

static void parses_what_the_kernel_prints(void **state)
{
	static const struct {
		const char *why, *text;
		int result;
		struct quota quota;
	} rows[] = {
		{ "unlimited, as after boot", "max 100000\n", 0, { QUOTA_UNLIMITED_US, 100000 } },
		{ "one and a half PUs", "150000 100000\n", 0, { 150000, 100000 } },
		{ "without the newline", "1000 1000", 0, { 1000, 1000 } },
		{ "the largest quota",
		  "18446744073709551 1000000",
		  0,
		  { 18446744073709551, 1000000 } },
		{ "empty file", "", -22, { 0 } },
		{ "one number", "100000\n", -22, { 0 } },
		{ "trailing junk", "70000 100000 junk", -22, { 0 } },
		{ "leading blank", " 70000 100000", -22, { 0 } },
		{ "period zero would divide by zero", "max 0", -22, { 0 } },
		{ "quota zero", "0 100000", -22, { 0 } },
		{ "negative", "-1 100000", -22, { 0 } },
		{ "more than 64 bits", "99999999999999999999999 100000", -22, { 0 } },
		{ "maxi", "maxi 100000", -22, { 0 } },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct quota quota = { 7, 7 };
		int r = quota_parse(rows[i].text, &quota);

		if (r != rows[i].result)
			fail_msg("%s: '%s' gave %d", rows[i].why, rows[i].text, r);
		assert_int_equal(quota.quota_us, r < 0 ? 7 : rows[i].quota.quota_us);
		assert_int_equal(quota.period_us, r < 0 ? 7 : rows[i].quota.period_us);
	}
}

static void tightest_level_wins(void **state)
{
	static const struct {
		const char *why;
		struct quota levels[3];
		uint32_t mcpu;
	} rows[] = {
		{ "the ancestor is tighter",
		  { { 800000, 100000 }, { 200000, 100000 }, { QUOTA_UNLIMITED_US, 100000 } },
		  2000 },
		{ "the leaf is tighter",
		  { { 50000, 100000 }, { 200000, 100000 }, { 300000, 100000 } },
		  500 },
		{ "periods differ",
		  { { 10000, 20000 }, { 900, 1000 }, { 1000000, 1000000 } },
		  500 },
		{ "unlimited at every level",
		  { { QUOTA_UNLIMITED_US, 1 },
		    { QUOTA_UNLIMITED_US, 1 },
		    { QUOTA_UNLIMITED_US, 1 } },
		  QUOTA_UNLIMITED_MCPU },
		{ "never 0",
		  { { 1, 1000000 }, { QUOTA_UNLIMITED_US, 1 }, { QUOTA_UNLIMITED_US, 1 } },
		  1 },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++)
		if (quota_effective_mcpu(rows[i].levels, 3) != rows[i].mcpu)
			fail_msg("%s: %u", rows[i].why, quota_effective_mcpu(rows[i].levels, 3));
	assert_int_equal(quota_effective_mcpu(NULL, 0), QUOTA_UNLIMITED_MCPU);
}

static void rounds_to_whole_pus(void **state)
{
	static const struct {
		uint32_t mcpu, floor, ceil;
	} rows[] = {
		{ 1, 1, 1 },	{ 500, 1, 1 },	   { 1000, 1, 1 },
		{ 1001, 1, 1 }, { 1002, 1, 2 },	   { 1500, 1, 2 },
		{ 2500, 2, 3 }, { 3999, 4, 4 },	   { 3998, 3, 4 },
		{ 4001, 4, 4 }, { 64000, 64, 64 }, { QUOTA_UNLIMITED_MCPU, UINT32_MAX, UINT32_MAX },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		assert_int_equal(quota_floor_pu(rows[i].mcpu), rows[i].floor);
		assert_int_equal(quota_ceil_pu(rows[i].mcpu), rows[i].ceil);
	}
}

static void parses_quotas_of_config(void **state)
{
	static const struct {
		const char *text;
		int result;
		uint32_t mcpu;
	} rows[] = {
		{ "2.5", 0, 2500 }, { "150%", 0, 1500 }, { "max", 0, QUOTA_UNLIMITED_MCPU },
		{ "0.001", 0, 1 },  { "0", -34, 0 },	 { "0.0001", -22, 0 },
		{ "1.", -22, 0 },   { ".5", -22, 0 },	 { "-1", -22, 0 },
		{ "1e3", -22, 0 },  { "", -22, 0 },	 { "4294967295", -34, 0 },
		{ "0%", -34, 0 },   { "1.5%", -22, 0 },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		uint32_t mcpu = 7;
		int r = quota_parse_pu(rows[i].text, &mcpu);

		if (r != rows[i].result || mcpu != (r < 0 ? 7 : rows[i].mcpu))
			fail_msg("'%s': %d, %u", rows[i].text, r, mcpu);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_what_the_kernel_prints),
		cmocka_unit_test(tightest_level_wins),
		cmocka_unit_test(rounds_to_whole_pus),
		cmocka_unit_test(parses_quotas_of_config),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
