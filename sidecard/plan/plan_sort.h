/* Merge sort of indices: stable, so equal keys keep their order and equal input gives equal plans
 * whatever the C library. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* @is_after(context, a, b): a must come after b. @scratch: n_items numbers. */
void plan_sort(uint32_t *items, uint32_t *scratch, size_t n_items,
	       bool (*is_after)(const void *context, uint32_t a, uint32_t b), const void *context);
