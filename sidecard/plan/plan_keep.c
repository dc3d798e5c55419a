/* A domain whose input is the same as for the previous plan keeps everything as it was: nothing
 * moves where nothing changed, whatever path led there. "The same" is a 64-bit fingerprint of all
 * that placing looks at; what it says is checked again while PUs are taken, so a chance collision
 * costs a plan from scratch and no more. */
#include <errno.h>
#include <string.h>

#include "plan/plan_work.h"

/* Sets remembered: workloads that shared one share it again. A node has one or two of its own. */
#define N_RECENT 256u

void fingerprint_mix(uint64_t *hash, uint64_t value)
{
	/* Multiply and fold; the constant is 2^64 over the golden ratio, an odd number with bits
	 * everywhere. */
	*hash = (*hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
	*hash ^= *hash >> 32;
}

void fingerprint_mix_text(uint64_t *hash, const char *text)
{
	size_t n = strlen(text);

	fingerprint_mix(hash, n);
	while (n > 0) {
		uint64_t word = 0;
		size_t n_now = n < sizeof(word) ? n : sizeof(word);

		memcpy(&word, text, n_now);
		fingerprint_mix(hash, word);
		text += n_now;
		n -= n_now;
	}
}

static void mix_bits(uint64_t *hash, const struct bits *bits)
{
	uint64_t n_words = 0;

	/* Members, not storage: two equal sets may keep a different range of words. */
	for (uint32_t i = 0; i < bits->n_words; i++)
		if (bits->words[i]) {
			fingerprint_mix(hash, bits->first_word + i);
			fingerprint_mix(hash, bits->words[i]);
			n_words++;
		}
	fingerprint_mix(hash, n_words);
}

static void mix_machine(const struct work *work, const struct grid_domain *domain, uint64_t *hash)
{
	const struct topology *topology = work->snapshot->topology;
	const struct grid *grid = &work->grid;

	fingerprint_mix(hash, domain->n_pu);
	for (uint32_t i = domain->first_pu; i < domain->first_pu + domain->n_pu; i++) {
		const struct grid_pu *pu = &grid->pus[i];
		const struct grid_core *core = &grid->cores[pu->core];

		fingerprint_mix(hash,
				(uint64_t)pu->pu_os << 32 | (pu->owner == OWNER_HOUSEKEEPING));
		fingerprint_mix(hash,
				(uint64_t)(pu->core - grid->pus[domain->first_pu].core) << 32 |
					(core->l3 - grid->nodes[domain->first_node].first_l3));
		fingerprint_mix(hash, (uint64_t)core->is_fast << 32 | core->n_online);
	}
	for (uint32_t n = domain->first_node; n < domain->first_node + domain->n_node; n++) {
		const struct topo_node *node = &topology->nodes[grid->nodes[n].topo_idx];

		fingerprint_mix(hash, (uint64_t)node->node_os << 32 | grid->nodes[n].n_l3);
		fingerprint_mix(hash, node->memory_bytes);
		for (uint32_t m = domain->first_node; m < domain->first_node + domain->n_node; m++)
			fingerprint_mix(
				hash,
				topology->distances[grid->nodes[n].topo_idx * topology->n_node +
						    grid->nodes[m].topo_idx]);
	}
}

static void mix_demand(const struct work *work, const struct demand *demand, uint64_t *hash)
{
	const struct workload *conf = demand->conf;

	fingerprint_mix_text(hash, conf->name);
	fingerprint_mix(hash, (uint64_t)conf->role << 40 | (uint64_t)conf->core_type << 50 |
				      (uint64_t)conf->balance << 48 |
				      (uint64_t)conf->exclusive << 36 |
				      (uint64_t)demand->smt << 34 |
				      (uint64_t)conf->numa_policy << 32 | conf->priority);
	fingerprint_mix(hash, (uint64_t)conf->min_pu << 32 | conf->max_pu);
	fingerprint_mix(hash, (uint64_t)conf->weight << 32 |
				      (demand->owns ? demand_wanted(work, demand) : 0));
	fingerprint_mix(hash, conf->n_exclusive);
	fingerprint_mix(hash, demand->near != NULL);
	if (demand->near)
		mix_bits(hash, &demand->near->bits);
	fingerprint_mix(hash, conf->memory_size_bytes);
	mix_bits(hash, &conf->nodes.bits);
	fingerprint_mix(hash, demand->ceiling != NULL);
	if (demand->ceiling)
		mix_bits(hash, &demand->ceiling->bits);
}

static uint64_t fingerprint(const struct work *work, uint32_t domain)
{
	const struct grid_domain *at = &work->grid.domains[domain];
	uint64_t hash = 1;

	fingerprint_mix_text(&hash, at->pool ? at->pool->name : "");
	mix_machine(work, at, &hash);
	for (uint32_t i = work->first_order[domain]; i < work->first_order[domain + 1]; i++)
		mix_demand(work, &work->demands[work->order[i]], &hash);
	return hash;
}

/* ---- keeping ---- */

/* Sets that several workloads had together are copied once. */
struct copies {
	const struct plan_workload *from[N_RECENT], *to[N_RECENT]; /* at recent_of() of the words */
};

static uint32_t recent_of(const struct cpuset *cpus)
{
	return (uint32_t)(((uintptr_t)cpus->bits.words >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 56);
}

/* The shared PUs of one that has some of its own too. */
static int keep_rest(struct work *work, struct demand *demand)
{
	const struct plan_workload *before = demand->before;

	if (!cpuset_is_subset(&before->cpus, &work->plan->cpus))
		return 0;
	if (arena_copy_cpuset(work->scratch, &before->cpus, &demand->rest) < 0)
		return -ENOMEM;
	cpuset_subtract(&demand->rest, &before->own);
	return 1;
}

static int keep_exclusive(struct work *work, struct demand *demand)
{
	const struct grid *grid = &work->grid;
	const struct grid_domain *domain = &grid->domains[demand->domain];

	cpuset_foreach (pu_os, demand->previous) {
		uint32_t pu = pu_os < grid->n_os ? grid->at_of_os[pu_os] : GRID_NONE;

		if (pu == GRID_NONE || pu < domain->first_pu ||
		    pu >= domain->first_pu + domain->n_pu || grid->pus[pu].owner != OWNER_NOBODY ||
		    !demand_may_use(demand, pu_os))
			return 0;
		pick_pu(work, demand, pu);
		demand->n_got++;
	}
	return demand->shares ? keep_rest(work, demand) : 1;
}

static int keep_unheld(struct work *work, struct demand *demand, struct copies *copies)
{
	const struct plan_workload *before = demand->before, *same = NULL;
	struct plan_workload *workload = &work->plan->workloads[demand->workload];

	uint32_t at = recent_of(&before->cpus);

	if (copies->from[at] && copies->from[at]->cpus.bits.words == before->cpus.bits.words)
		same = copies->to[at];
	if (!same && !cpuset_is_subset(&before->cpus, &work->plan->cpus))
		return 0;
	if (same) {
		workload->cpus = same->cpus;
		workload->nodes = same->nodes;
	} else {
		if (arena_copy_cpuset(work->plan->arena, &before->cpus, &workload->cpus) < 0 ||
		    arena_copy_nodeset(work->plan->arena, &before->nodes, &workload->nodes) < 0)
			return -ENOMEM;
		copies->from[at] = before;
		copies->to[at] = workload;
	}
	workload->n_pu = demand->n_got = before->n_pu;
	workload->n_core = before->n_core;
	return 1;
}

/* 1: as before; 0: not possible after all. */
static int keep_all(struct work *work, uint32_t domain)
{
	struct copies copies = { 0 };
	int r = 1;

	for (uint32_t i = work->first_order[domain]; i < work->first_order[domain + 1] && r == 1;
	     i++) {
		struct demand *demand = &work->demands[work->order[i]];

		if (!demand->before)
			return 0;
		if (demand->previous)
			r = demand->owns ? keep_exclusive(work, demand)
					 : keep_unheld(work, demand, &copies);
		else if (demand->before->reason)
			demand->reason = arena_strdup(work->scratch, demand->before->reason);
		else
			return 0;
	}
	return r;
}

int keep_domain(struct work *work, uint32_t domain)
{
	const struct plan *previous = work->previous;
	uint64_t hash = fingerprint(work, domain);
	uint32_t mark = work->n_picked;
	bool known = false;
	int r;

	work->plan->fingerprints[domain] = hash;
	for (size_t i = 0; previous && i < previous->n_fingerprints; i++)
		known |= previous->fingerprints[i] == hash;
	if (!known)
		return 0;
	r = keep_all(work, domain);
	if (r == 1)
		return 1;
	grid_undo(work, mark);
	for (uint32_t i = work->first_order[domain]; i < work->first_order[domain + 1]; i++) {
		struct demand *demand = &work->demands[work->order[i]];
		struct plan_workload *workload = &work->plan->workloads[demand->workload];

		demand->n_got = 0;
		demand->reason = NULL;
		*workload = (struct plan_workload){ .conf = demand->conf,
						    .limit = workload->limit,
						    .quota_mcpu = workload->quota_mcpu };
	}
	count_sizes(work, domain); /* the reasons it gave are gone with the others */
	return r;
}
