/* Private to plan_nodes.c and plan_span.c. */
#pragma once

#include "plan/plan_work.h"

struct span {
	const struct demand *demand;
	uint32_t n_nodes;    /* candidates: largest[] */
	uint32_t n_chosen;   /* as few as can hold n */
	uint32_t n;	     /* PUs to hold */
	uint64_t n_distance; /* sum over the pairs of the best set yet; chosen[] */
	uint32_t n_far;	     /* nodes far from the devices that it names */
	uint32_t n_own;
};

/* chosen[]: which n_chosen of the nodes largest[], roomiest first, that hold n PUs; the nearest to
 * each other, of equals those near the devices, of equals those that it had. */
void choose_span(struct work *work, struct span *span);
