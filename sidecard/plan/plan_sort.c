#include "plan/plan_sort.h"

#include <string.h>

static size_t least_of(size_t a, size_t b)
{
	return a < b ? a : b;
}

void plan_sort(uint32_t *items, uint32_t *scratch, size_t n_items,
	       bool (*is_after)(const void *context, uint32_t a, uint32_t b), const void *context)
{
	for (size_t width = 1; width < n_items; width *= 2) {
		for (size_t first = 0; first < n_items; first += 2 * width) {
			size_t middle = least_of(first + width, n_items);
			size_t end = least_of(first + 2 * width, n_items), a = first, b = middle;

			for (size_t at = first; at < end; at++) {
				bool take_b = a >= middle ||
					      (b < end && is_after(context, items[a], items[b]));

				scratch[at] = take_b ? items[b++] : items[a++];
			}
		}
		memcpy(items, scratch, n_items * sizeof(*items));
	}
}
