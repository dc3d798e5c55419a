/* Merge sort of indices: stable, so equal keys keep their order and equal input gives equal plans
 * whatever the C library. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sort_item {
	uint64_t key;
	uint32_t item;
};

/* By keys, the lowest first, stable. @scratch: n_items. A radix sort, since thousands of workloads
 * are sorted in every plan. */
void plan_sort_keys(struct sort_item *items, struct sort_item *scratch, size_t n_items);

/* @is_after(context, a, b): a must come after b. @scratch: n_items numbers. */
void plan_sort(uint32_t *items, uint32_t *scratch, size_t n_items,
	       bool (*is_after)(const void *context, uint32_t a, uint32_t b), const void *context);
