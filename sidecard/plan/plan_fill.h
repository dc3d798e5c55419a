/* Weighted max-min shares in whole numbers ("water-filling"): everybody gets what is least, then
 * all rise together in proportion to their weights; who has most leaves the rest to the others.
 * Exact but for the rounding to whole steps. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Amounts are in whatever unit the caller counts (PUs, thousandths of a PU). */
struct fill_item {
	uint32_t least, most; /* least ≤ most, both multiples of step */
	uint32_t weight;      /* 0: never more than least */
	uint32_t step;	      /* 1, or how many come only together (the PUs of a core) */
	uint32_t amount;      /* the answer */
	uint32_t next;	      /* scratch */
};

/* Divides @capacity. Where even the least amounts do not fit, everybody gets least. What rounding
 * leaves goes to the largest remainders (compared at 1/1024; finer ties: who comes first). Linear
 * in practice; no allocation. The weights of all together must stay below 2^31, so that weight
 * times amount fits 64 bits. */
void plan_fill(struct fill_item *items, size_t n_items, uint32_t capacity);
