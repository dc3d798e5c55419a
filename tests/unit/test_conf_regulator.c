/* [Regulator] in the three kinds of files. */
#include "conf_fixture.h"
#include "regulate_fixture.h"

/* What the regulators' own tests take for the defaults, and a pool with a file or without has. */
static void defaults(void **state)
{
	struct regulator expected = rule_default(REGULATOR_NONE).numbers;
	cleanup(conf_freep) struct conf *bare = conf_default(), *conf = NULL;

	write_file(*state, "pools.d/gold.conf", "[Pool]\nCPUs=0\n");
	conf = load_good(*state);
	assert_memory_equal(&bare->pools[0]->regulator, &expected, sizeof(expected));
	assert_int_equal(conf->n_pools, 2);
	for (size_t i = 0; i < 2; i++)
		assert_memory_equal(&conf->pools[i]->regulator, &expected, sizeof(expected));
	assert_true(conf->regulators_enabled);
}

static void every_key_reaches_its_field(void **state)
{
	cleanup(conf_freep) struct conf *conf = NULL;
	struct regulator expected = {
		.type = REGULATOR_LOOP,
		.least = 3,
		.most_permille = 1500,
		.stable_us = 11 * S,
		.cold_us = 0,
		.cold_least = 5,
		.cold_most = 6,
		.probe_us = 7 * S,
		.used_permille = 800,
		.blocked_permille = 0,
		.n_samples = 16,
		.depart_permille = 200,
		.settle_permille = 25,
		.step_most = 1,
		.steady_us = 0,
		.interval_us = 10 * MS,
		.raise_permille = 950,
		.raise_hold_us = 1 * S,
		.raise_pause_us = 2 * S,
		.lower_permille = 300,
		.lower_hold_us = 3 * S,
		.lower_pause_us = 4 * S,
		.n_throttled = 4,
		.n_periods = 5,
		.tolerance_permille = 0,
		.watch_us = 6 * S,
		.cool_us = 60 * S,
		.cool_most_us = 3600 * S,
	};

	write_file(*state, "sidecard.conf", "[Regulator]\nEnabled=no\n");
	write_file(*state, "pools.d/gold.conf",
		   "[Regulator]\nType=loop\nLeast=3\nMost=1.5\nStabilisation=11\nColdStart=0\n"
		   "ColdParallelism=5\nColdMost=6\nProbe=7s\nUsedWeight=80%\nBlockedWeight=0\n"
		   "Samples=16\nDeparture=20%\nVariation=0.025\nStep=1\nSteadyCheck=0\n"
		   "Interval=10ms\nRaiseAbove=0.95\nRaiseHold=1\nRaisePause=2\nLowerBelow=30%\n"
		   "LowerHold=3\nLowerPause=4\nThrottledPeriods=4\nThrottledOf=5\nTolerance=0%\n"
		   "Watch=6\nCoolDown=1min\nCoolDownMost=1h\n");
	write_file(*state, "workloads.d/w.conf",
		   "[Regulator]\nType=staged\nOvercommit=2.5\nSafeInterval=2s\nLend=l3\n");
	conf = load_good(*state);
	assert_false(conf->regulators_enabled);
	assert_memory_equal(&conf->pools[1]->regulator, &expected, sizeof(expected));
	assert_int_equal(conf->workloads[0]->regulator, REGULATOR_STAGED);
	assert_int_equal(conf->workloads[0]->overcommit_permille, 2500);
	assert_int_equal(conf->workloads[0]->safe_us, 2 * S);
	assert_int_equal(conf->workloads[0]->lend, LEND_L3);
}

#define A_SHARE(least, most) ", expected a share or factor from " least " to " most ", or in %"

static void bad_ones(void **state)
{
	static const struct {
		const char *why, *pool, *workload, *fault;
	} rows[] = {
		{ "a share above all", "[Regulator]\nRaiseAbove=101%\n", "",
		  "pools.d/p.conf:2: [Regulator] RaiseAbove: '101%' is out of range" A_SHARE(
			  "0.001", "1.000") },
		{ "slots that are never busy enough", "[Regulator]\nRaiseAbove=0\n", "",
		  "pools.d/p.conf:2: [Regulator] RaiseAbove: '0' is out of range" A_SHARE(
			  "0.001", "1.000") },
		{ "no share", "[Regulator]\nDeparture=much\n", "",
		  "pools.d/p.conf:2: [Regulator] Departure: 'much' is no share" A_SHARE("0.000",
											"1.000") },
		{ "unlimited is none either", "[Regulator]\nDeparture=max\n", "",
		  "pools.d/p.conf:2: [Regulator] Departure: 'max' is no share" A_SHARE("0.000",
										       "1.000") },
		{ "a pool has no pool to ask", "[Regulator]\nType=pool\n", "",
		  "pools.d/p.conf:2: [Regulator] Type: 'pool' is unknown, expected one of "
		  "none|staged|loop" },
		{ "marks the wrong way round", "[Regulator]\nLowerBelow=95%\n", "",
		  "pools.d/p.conf:2: [Regulator] LowerBelow: LowerBelow= is above RaiseAbove=" },
		{ "the other one of a pair", "[Regulator]\nColdMost=1\n", "",
		  "pools.d/p.conf:2: [Regulator] ColdMost: ColdParallelism= is above ColdMost=" },
		{ "more than all", "[Regulator]\nThrottledPeriods=4\n", "",
		  "pools.d/p.conf:2: [Regulator] ThrottledPeriods: ThrottledPeriods= is above "
		  "ThrottledOf=" },
		{ "a cool-down above its end", "[Regulator]\nCoolDown=1h\n", "",
		  "pools.d/p.conf:2: [Regulator] CoolDown: CoolDown= is above CoolDownMost=" },
		{ "a pool's number in a workload", "", "[Regulator]\nRaiseAbove=80%\n",
		  "workloads.d/w.conf:2: [Regulator] RaiseAbove: unknown key" },
		{ "fewer threads than PUs", "", "[Regulator]\nOvercommit=0.5\n",
		  "workloads.d/w.conf:2: [Regulator] Overcommit: '0.5' is out of range" A_SHARE(
			  "1.000", "16.000") },
	};

	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		write_file(*state, "pools.d/p.conf", rows[i].pool);
		write_file(*state, "workloads.d/w.conf", rows[i].workload);
		expect_refused(rows[i].why, *state, true, rows[i].fault);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(defaults),
		TEST(every_key_reaches_its_field),
		TEST(bad_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
