#include "plan/plan_fill.h"

#include <stdbool.h>

#define N_BUCKETS 1024u
#define END	  UINT32_MAX
#define OPEN	  (UINT32_MAX - 1) /* in `next`: rises with the water; neither at least nor at most */
#define CLOSED	  (UINT32_MAX - 2)

struct water {
	uint64_t rest;	 /* for the open ones */
	uint64_t weight; /* of the open ones */
};

static void item_close(struct water *water, struct fill_item *item, uint32_t amount)
{
	item->amount = amount;
	item->next = CLOSED;
	water->rest -= amount;
	water->weight -= item->weight;
}

static struct water fill_begin(struct fill_item *items, size_t n_items, uint32_t capacity)
{
	struct water water = { .rest = capacity };
	uint64_t n_least = 0;

	for (size_t i = 0; i < n_items; i++) {
		items[i].amount = items[i].least;
		items[i].next = OPEN;
		water.weight += items[i].weight;
		n_least += items[i].least;
	}
	if (n_least > capacity)
		water.weight = 0;
	for (size_t i = 0; i < n_items && water.weight > 0; i++)
		if (items[i].weight == 0 || items[i].least >= items[i].most)
			item_close(&water, &items[i], items[i].least);
	return water;
}

/* At the present level of the water some would get less than least, others more than most. The side
 * whose error is larger in sum is certainly right to stop there; closing both at once would not be.
 * True where something was closed. */
static bool fill_round(struct fill_item *items, size_t n_items, struct water *water)
{
	struct water now = *water;
	unsigned __int128 short_of = 0, beyond = 0;

	for (size_t i = 0; i < n_items; i++) {
		uint64_t at = items[i].weight * now.rest;

		if (items[i].next != OPEN)
			continue;
		if (at < items[i].least * now.weight)
			short_of += items[i].least * now.weight - at;
		else if (at > items[i].most * now.weight)
			beyond += at - items[i].most * now.weight;
	}
	if (short_of == 0 && beyond == 0)
		return false;
	for (size_t i = 0; i < n_items; i++) {
		uint64_t at = items[i].weight * now.rest;

		if (items[i].next != OPEN)
			continue;
		if (short_of >= beyond && at < items[i].least * now.weight)
			item_close(water, &items[i], items[i].least);
		else if (beyond >= short_of && at > items[i].most * now.weight)
			item_close(water, &items[i], items[i].most);
	}
	return water->weight > 0;
}

/* Rounds the open ones down to steps and sorts them by what that cost them. */
static uint64_t fill_floor(struct fill_item *items, size_t n_items, const struct water *water,
			   uint32_t *heads)
{
	uint64_t n_left = water->rest;

	for (size_t i = n_items; i-- > 0;) {
		struct fill_item *item = &items[i];
		uint64_t at = item->weight * water->rest, step = item->step * water->weight,
			 n_steps;
		uint32_t bucket;

		if (item->next != OPEN)
			continue;
		n_steps = at / step;
		bucket = (uint32_t)((at - n_steps * step) * N_BUCKETS / step);
		item->amount = (uint32_t)n_steps * item->step;
		n_left -= item->amount;
		item->next = heads[bucket]; /* backwards, so that the first comes out first */
		heads[bucket] = (uint32_t)i;
	}
	return n_left;
}

static bool item_step(struct fill_item *item, uint64_t *n_left)
{
	if (*n_left < item->step || item->most - item->amount < item->step)
		return false;
	item->amount += item->step;
	*n_left -= item->step;
	return true;
}

void plan_fill(struct fill_item *items, size_t n_items, uint32_t capacity)
{
	struct water water = fill_begin(items, n_items, capacity);
	uint32_t heads[N_BUCKETS];
	uint64_t n_left;
	bool went_on = true;

	if (water.weight == 0)
		return;
	while (fill_round(items, n_items, &water))
		;
	if (water.weight == 0)
		return;
	for (size_t i = 0; i < N_BUCKETS; i++)
		heads[i] = END;
	n_left = fill_floor(items, n_items, &water, heads);
	for (uint32_t bucket = N_BUCKETS; bucket-- > 0 && n_left > 0;)
		for (uint32_t i = heads[bucket]; i != END && n_left > 0; i = items[i].next)
			item_step(&items[i], &n_left);
	/* Only where some step is above 1 can more than one each be left. */
	while (n_left > 0 && went_on) {
		went_on = false;
		for (size_t i = 0; i < n_items && n_left > 0; i++)
			if (items[i].weight > 0 && item_step(&items[i], &n_left))
				went_on = true;
	}
}
