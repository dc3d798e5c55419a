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

#define DIGIT_BITS 11u
#define N_DIGITS   (1u << DIGIT_BITS)
/* Below so many insertion is cheaper than clearing the counters. */
#define N_FEW 64u

static void insertion_sort(struct sort_item *items, size_t n_items)
{
	for (size_t i = 1; i < n_items; i++) {
		struct sort_item item = items[i];
		size_t k = i;

		for (; k > 0 && items[k - 1].key > item.key; k--)
			items[k] = items[k - 1];
		items[k] = item;
	}
}

/* Counting sort by one digit. */
static void digit_sort(const struct sort_item *from, struct sort_item *to, size_t n_items,
		       unsigned shift)
{
	uint32_t ends[N_DIGITS] = { 0 };
	uint32_t n = 0;

	for (size_t i = 0; i < n_items; i++)
		ends[from[i].key >> shift & (N_DIGITS - 1)]++;
	for (size_t d = 0; d < N_DIGITS; d++) {
		uint32_t n_digit = ends[d];

		ends[d] = n;
		n += n_digit;
	}
	for (size_t i = 0; i < n_items; i++)
		to[ends[from[i].key >> shift & (N_DIGITS - 1)]++] = from[i];
}

void plan_sort_keys(struct sort_item *items, struct sort_item *scratch, size_t n_items)
{
	uint64_t differs = 0;
	struct sort_item *from = items, *to = scratch;

	if (n_items <= N_FEW) {
		insertion_sort(items, n_items);
		return;
	}
	for (size_t i = 1; i < n_items; i++)
		differs |= items[i].key ^ items[0].key;
	for (unsigned shift = 0; shift < 64; shift += DIGIT_BITS) {
		struct sort_item *last = from;

		/* A digit that all have in common needs no pass. */
		if ((differs >> shift & (N_DIGITS - 1)) == 0)
			continue;
		digit_sort(from, to, n_items, shift);
		from = to;
		to = last;
	}
	if (from != items)
		memcpy(items, from, n_items * sizeof(*items));
}
