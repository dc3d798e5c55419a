/* The runtime's rule, run forwards: what would it make of this quota and these PUs? The decision
 * tries what costs least first. */
#include "plan/plan_steer.h"

#include "base/cleanup.h"

/* Below a half, so that whoever rounds to the nearest arrives at the same number. */
#define ROUND_DOWN_SPARE_MCPU 499u

static uint32_t rule_count(const struct steer_rule *rule, uint32_t n_pu, uint32_t quota_mcpu)
{
	uint32_t n = UINT32_MAX, by_quota;

	if (rule->reads_affinity)
		n = n_pu;
	if (!rule->reads_quota || quota_mcpu == QUOTA_UNLIMITED_MCPU)
		return n;
	by_quota = quota_mcpu / 1000 + (rule->rounds_up && quota_mcpu % 1000 > 0);
	if (by_quota < rule->quota_least)
		by_quota = rule->quota_least;
	return by_quota < n ? by_quota : n;
}

static uint32_t quota_for(const struct steer_rule *rule, uint32_t wanted, uint32_t leaf_mcpu)
{
	uint64_t mcpu = (uint64_t)wanted * 1000 + (rule->rounds_up ? 0 : ROUND_DOWN_SPARE_MCPU);

	return mcpu < leaf_mcpu ? (uint32_t)mcpu : leaf_mcpu;
}

uint32_t steer_arrives(const struct steer_rule *rule, const struct steer_input *input)
{
	return rule_count(rule, input->n_pu, input->leaf_mcpu);
}

struct steer_decision steer_decide(const struct steer_rule *rule, const struct steer_input *input)
{
	uint32_t wanted = input->wanted < input->n_pu ? input->wanted : input->n_pu;
	struct steer_decision decision = {
		.way = STEER_NOTHING,
		.quota_mcpu = input->leaf_mcpu,
		.n_pu = input->n_pu,
		.arrives = steer_arrives(rule, input),
	};
	uint32_t quota_mcpu = quota_for(rule, wanted, input->leaf_mcpu);

	if (decision.arrives == wanted)
		return decision;
	if (rule->reads_quota && rule_count(rule, input->n_pu, quota_mcpu) == wanted) {
		decision.way = STEER_QUOTA;
		decision.quota_mcpu = quota_mcpu;
		decision.arrives = wanted;
	} else if (rule_count(rule, wanted, input->leaf_mcpu) == wanted) {
		decision.way = STEER_AFFINITY;
		decision.n_pu = wanted;
		decision.arrives = wanted;
	} else {
		decision.way = STEER_IN_VAIN;
	}
	return decision;
}

int steer_cpus(const struct topology *topology, const struct cpuset *cpus, uint32_t n,
	       struct cpuset *ret_cpus)
{
	cleanup(cpuset_done) struct cpuset chosen = { 0 };

	for (uint32_t i = 0; i < topology->n_pu && n > 0; i++) {
		int r;

		if (!cpuset_has(cpus, topology->pus[i].pu_os))
			continue;
		r = cpuset_add(&chosen, topology->pus[i].pu_os);
		if (r < 0)
			return r;
		n--;
	}
	*ret_cpus = cpuset_take(&chosen);
	return 0;
}
