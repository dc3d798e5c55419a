#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "plan_fixture.h"

#include "plan/plan_steer.h"

#define NONE QUOTA_UNLIMITED_MCPU

/* clang-format off */
static const struct steer_rule go = { true, true, true, 2 }, jvm = { true, true, true, 1 },
			       beam = { true, true, false, 1 }, openmp = { false, true, false, 1 },
			       quota_only = { true, false, false, 1 };

static const struct {
	const char *why;
	const struct steer_rule *rule;
	struct steer_input input;
	struct steer_decision expected;
} rows[] = {
	{ "the PUs alone give the number: nothing is set", &jvm,
	  { 4, 4, NONE }, { STEER_NOTHING, NONE, 4, 4 } },
	{ "so does the quota that is there", &jvm,
	  { 2, 8, 1500 }, { STEER_NOTHING, 1500, 8, 2 } },
	{ "an ancestor's 1.5, which it cannot see: shown as 2, since it rounds up", &jvm,
	  { 2, 8, NONE }, { STEER_QUOTA, 2000, 8, 2 } },
	{ "a looser quota of its own does not do it", &jvm,
	  { 2, 8, 5000 }, { STEER_QUOTA, 2000, 8, 2 } },
	{ "who rounds down gets what is above too, below a half", &beam,
	  { 2, 8, NONE }, { STEER_QUOTA, 2499, 8, 2 } },
	{ "and never more than it had", &beam,
	  { 2, 8, 2100 }, { STEER_NOTHING, 2100, 8, 2 } },
	{ "one is a quota of one", &jvm, { 1, 8, NONE }, { STEER_QUOTA, 1000, 8, 1 } },
	{ "Go does not go below 2 by a quota: it gets one PU", &go,
	  { 1, 8, NONE }, { STEER_AFFINITY, NONE, 1, 1 } },
	{ "nor by a quota that is there", &go, { 1, 8, 500 }, { STEER_AFFINITY, 500, 1, 1 } },
	{ "at 2 a quota does", &go, { 2, 8, NONE }, { STEER_QUOTA, 2000, 8, 2 } },
	{ "one PU is one, whatever the quota", &go, { 1, 1, 500 }, { STEER_NOTHING, 500, 1, 1 } },
	{ "no quota is read: PUs", &openmp, { 3, 8, NONE }, { STEER_AFFINITY, NONE, 3, 3 } },
	{ "no affinity is read: a quota, although the PUs suffice", &quota_only,
	  { 4, 4, NONE }, { STEER_QUOTA, 4499, 4, 4 } },
	{ "its own quota leaves less than wanted, and no quota of ours is looser", &beam,
	  { 2, 8, 1500 }, { STEER_IN_VAIN, 1500, 8, 1 } },
	{ "more than PUs cannot be", &jvm, { 9, 4, NONE }, { STEER_NOTHING, NONE, 4, 4 } },
	{ "the largest machine", &beam, { 8191, 8192, NONE }, { STEER_QUOTA, 8191499, 8192, 8191 } },
};
/* clang-format on */

static void the_rule_arrives_at_our_number(void **state)
{
	int n_wrong = 0;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct steer_decision found = steer_decide(rows[i].rule, &rows[i].input);

		if (found.way != rows[i].expected.way ||
		    found.quota_mcpu != rows[i].expected.quota_mcpu ||
		    found.n_pu != rows[i].expected.n_pu ||
		    found.arrives != rows[i].expected.arrives) {
			print_error("%s: way %d, quota %u, %u PUs, arrives at %u\n", rows[i].why,
				    (int)found.way, found.quota_mcpu, found.n_pu, found.arrives);
			n_wrong++;
		}
	}
	assert_int_equal(n_wrong, 0);
}

/* Over all small inputs: what is decided does arrive, is never looser than what was there, and is
 * in vain only where the user's own quota is below the wish. */
static void nothing_is_loosened(void **state)
{
	static const struct steer_rule *const rules[] = { &go, &jvm, &beam, &openmp, &quota_only };

	(void)state;
	for (size_t r = 0; r < N_ELEMENTS(rules); r++)
		for (uint32_t n_pu = 1; n_pu <= 9; n_pu++)
			for (uint32_t wanted = 1; wanted <= 10; wanted++)
				for (uint32_t leaf = 100; leaf < 11000; leaf += 150) {
					struct steer_input input = { wanted, n_pu, leaf };
					struct steer_decision found = steer_decide(rules[r],
										   &input);
					struct steer_input then = { wanted, found.n_pu,
								    found.quota_mcpu };

					assert_true(found.quota_mcpu <= leaf);
					assert_true(found.n_pu >= 1 && found.n_pu <= n_pu);
					if (found.way == STEER_IN_VAIN) {
						assert_true(found.arrives < wanted ||
							    rules[r]->quota_least > 1 ||
							    !rules[r]->reads_affinity);
						continue;
					}
					assert_int_equal(found.arrives,
							 wanted < n_pu ? wanted : n_pu);
					/* Steered once it needs no more. */
					assert_int_equal(steer_decide(rules[r], &then).way,
							 STEER_NOTHING);
				}
}

static void the_first_pus_are_neighbours(void **state)
{
	cleanup(topology_freep) struct topology *topology = NULL;
	cleanup(cpuset_done) struct cpuset cpus = { 0 }, chosen = { 0 };
	cleanup(freep) char *text = NULL;
	const struct shape_of_machine shape = { 1, 1, 1, 4, 2, .siblings_apart = true };

	(void)state;
	/* Siblings apart: 0 and 4 are one core. */
	topology = fixture_machine(&shape);
	assert_int_equal(cpuset_parse("1-7", &cpus), 0);
	assert_int_equal(steer_cpus(topology, &cpus, 3, &chosen), 0);
	text = cpuset_format(&chosen);
	assert_string_equal(text, "1,4-5");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rule_arrives_at_our_number),
		cmocka_unit_test(nothing_is_loosened),
		cmocka_unit_test(the_first_pus_are_neighbours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
