/* Planted optima: a machine is cut into pieces that each have what is best for them (one node, or
 * whole nodes; the fewest L3 groups; whole cores), some pieces are thrown away, and the sizes of
 * the others are planned in another order. Nobody can do better than the cut, and the planner
 * should do as well. */
#pragma once

#include <stdint.h>

struct planted_tally {
	uint32_t n_cases, n_gap, n_unplaced;
	uint32_t n_gap_nodes, n_gap_l3, n_gap_beside;
	double worst; /* of the first item that differs, as a fraction of the best; for PUs beside
			 others, of all PUs asked for */
	uint64_t worst_seed;
};

void planted_case(uint64_t seed, uint32_t n_pu_most, struct planted_tally *tally);
void planted_print(const struct planted_tally *tally);
