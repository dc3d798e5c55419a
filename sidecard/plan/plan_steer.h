/* Mode=steer: a runtime that looks at its own cgroup's quota and at its affinity is not told a
 * number but finds one. Here is decided which quota of its own cgroup, or how many PUs of its
 * partition, make its own rule arrive at ours. Pure; who applies it writes the quota through the
 * unit's CPUQuotaPerSecUSec= or cpu.max, and the PUs as every other partition.
 *
 * What was set for steering must not be sensed as a limit afterwards: the ancestors' quotas are the
 * limit, ours only shows them to the runtime. So a quota of ours is left out of the snapshot, and
 * taken away when the workload or its mode goes. */
#pragma once

#include "model/cpuset.h"
#include "model/quota.h"
#include "model/topology.h"

/* How a runtime arrives at its number: struct sidecard_steer of its plugin. */
struct steer_rule {
	bool reads_quota, reads_affinity;
	bool rounds_up;	      /* a fraction of a PU */
	uint32_t quota_least; /* what a quota cannot bring it below, ≥ 1 */
};

struct steer_input {
	uint32_t wanted;    /* the advised parallelism, ≥ 1 */
	uint32_t n_pu;	    /* of its partition, ≥ 1 */
	uint32_t leaf_mcpu; /* its own cgroup's quota without ours; QUOTA_UNLIMITED_MCPU */
};

enum steer_way {
	STEER_NOTHING,	/* it arrives there by itself */
	STEER_QUOTA,	/* set quota_mcpu on its own cgroup */
	STEER_AFFINITY, /* give it n_pu PUs only */
	STEER_IN_VAIN,	/* neither helps: arrives tells how far it comes */
};

struct steer_decision {
	enum steer_way way;
	uint32_t quota_mcpu; /* of its own cgroup; as in the input where way is not STEER_QUOTA */
	uint32_t n_pu;	     /* as in the input where way is not STEER_AFFINITY */
	uint32_t arrives;    /* what its rule then gives; UINT32_MAX: the host's processors */
};

/* The quota is the loosest that gives the number, so that it throttles no more than it must, and
 * never looser than leaf_mcpu. PUs are only taken where a quota cannot do it (Go never goes below 2
 * by a quota). */
struct steer_decision steer_decide(const struct steer_rule *rule, const struct steer_input *input);

/* What the rule gives as things are; UINT32_MAX: the host's processors. */
uint32_t steer_arrives(const struct steer_rule *rule, const struct steer_input *input);

/* The first @n PUs of @cpus in the order of the machine, where neighbours are near: what the
 * runtime runs on by STEER_AFFINITY. 0 or -ENOMEM. */
int steer_cpus(const struct topology *topology, const struct cpuset *cpus, uint32_t n,
	       struct cpuset *ret_cpus);
