/* Private to plan_improve.c and plan_score.c. */
#pragma once

#include "plan/plan_work.h"

/* What is counted in one node. */
struct tally {
	uint32_t n_l3s; /* L3 groups of each owner, all together */
	uint32_t n_dies, n_l2s;
	uint32_t n_beside; /* data planes' PUs beside somebody else's */
	uint32_t n_quiet;  /* free PUs beside data planes */
	uint32_t n_far;	   /* PUs far from the devices that their owners name */
	uint32_t n_wrong;  /* PUs of another kind of core than wanted */
};

struct wish {
	uint32_t n_nodes, n_l3s, n_beside; /* what it has beyond the least */
	uint32_t n_far, n_wrong;	   /* PUs; with several nodes: their distance */
};

/* Of one that has n_slot PUs, @pus. */
struct wish score_wish(const struct work *work, const struct demand *demand, const uint32_t *pus);
bool score_has_wish(const struct wish *wish);
/* Has everybody of the domain the fewest dies and L2 groups? */
bool score_is_compact(const struct work *work, uint32_t domain_idx, const uint32_t *slots_all);

/* Adds nodes, packages and distances of PUs that one workload has. */
void score_span(const struct work *work, const struct demand *demand, const uint32_t *pus,
		uint32_t n_pus, struct score *score);
/* Has somebody else a part of the PU's core? */
bool score_is_beside(const struct work *work, uint32_t pu);
struct tally score_tally(struct work *work, uint32_t node);
void score_add(struct score *score, const struct tally *tally);

/* Sets first_slot and n_slot of the domain's demands: where in @slots (n_pu of the domain) their
 * PUs are. */
void score_slots(struct work *work, uint32_t domain, uint32_t *slots);

uint32_t score_node_of(const struct work *work, uint32_t pu);
/* PUs of a node, whoever has them; free ones of a domain. */
uint32_t score_n_pu(const struct work *work, uint32_t node);
uint32_t score_n_free(const struct work *work, const struct grid_domain *domain);
