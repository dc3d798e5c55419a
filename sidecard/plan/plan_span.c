/* Which nodes, where one is not enough: as few as can be, the nearest to each other. Grown from
 * each node in turn by the nearest next one, which is exact for pairs and near it beyond. */
#include "plan/plan_span.h"

static uint32_t distance(const struct work *work, uint32_t a, uint32_t b)
{
	const struct topology *topology = work->snapshot->topology;
	uint32_t from = work->grid.nodes[a].topo_idx, to = work->grid.nodes[b].topo_idx;

	return topology->distances[from * topology->n_node + to] +
	       topology->distances[to * topology->n_node + from];
}

#define IN_SET UINT32_MAX /* in distance[]: chosen already */

/* The nearest node that still lets the set be as small as it can be; GRID_NONE where there is none.
 */
static uint32_t next_node(const struct work *work, const struct span *span, uint32_t n_set,
			  uint32_t n_room)
{
	uint32_t n_more = span->n_chosen - n_set - 1, n_seen = 0, best = GRID_NONE;
	uint64_t n_top = 0;	  /* the n_more roomiest that are not in the set ... */
	uint32_t n_following = 0; /* ... and the one after them */

	for (uint32_t k = 0; k < span->n_nodes && n_seen <= n_more; k++) {
		uint32_t node = work->largest[k];

		if (work->distance[node] == IN_SET)
			continue;
		if (n_seen++ < n_more)
			n_top += work->fits[node];
		else
			n_following = work->fits[node];
	}
	n_seen = 0;
	for (uint32_t k = 0; k < span->n_nodes; k++) {
		uint32_t node = work->largest[k];
		uint64_t n_rest = n_top;

		if (work->distance[node] == IN_SET)
			continue;
		if (n_seen++ < n_more)
			n_rest += n_following - (uint64_t)work->fits[node];
		if (n_room + work->fits[node] + n_rest < span->n)
			break; /* the ones after it are smaller still */
		/* At equal distance what it had, then the roomiest: that one came first. */
		if (best == GRID_NONE || work->distance[node] < work->distance[best] ||
		    (work->distance[node] == work->distance[best] &&
		     work->own_nodes[node] > work->own_nodes[best]))
			best = node;
	}
	return best;
}

/* Grows a set from one node; keeps it in chosen[] where it is better than the best yet. */
static void span_try(struct work *work, struct span *span, uint32_t seed)
{
	uint32_t n_set = 0, n_room = 0, n_own = 0, n_far = 0, node = seed;
	uint64_t n_distance = 0;

	for (uint32_t k = 0; k < span->n_nodes; k++)
		work->distance[work->largest[k]] = 0;
	for (;;) {
		n_distance += work->distance[node];
		n_room += work->fits[node];
		n_own += work->own_nodes[node];
		work->distance[node] = IN_SET;
		work->trial[n_set++] = node;
		if (n_set == span->n_chosen)
			break;
		for (uint32_t k = 0; k < span->n_nodes; k++)
			if (work->distance[work->largest[k]] != IN_SET)
				work->distance[work->largest[k]] += distance(work, work->largest[k],
									     node);
		node = next_node(work, span, n_set, n_room);
		if (node == GRID_NONE)
			return;
	}
	for (uint32_t i = 0; i < n_set; i++)
		n_far += demand_is_far(work, span->demand, work->trial[i]);
	if (n_room < span->n || n_distance > span->n_distance)
		return;
	if (n_distance == span->n_distance &&
	    (n_far > span->n_far || (n_far == span->n_far && n_own <= span->n_own)))
		return;
	span->n_distance = n_distance;
	span->n_far = n_far;
	span->n_own = n_own;
	for (uint32_t i = 0; i < n_set; i++)
		work->chosen[i] = work->trial[i];
}

/* Seeds times nodes times set size: beyond this the first seeds must do. About a millisecond. */
#define SPAN_STEPS_MOST (1u << 20)

void choose_span(struct work *work, struct span *span)
{
	uint32_t n_seeds = SPAN_STEPS_MOST / (span->n_chosen * span->n_nodes) + 1;

	/* The roomiest ones always do. */
	for (uint32_t i = 0; i < span->n_chosen; i++)
		work->chosen[i] = work->largest[i];
	span->n_distance = UINT64_MAX;
	if (span->n_chosen == span->n_nodes)
		return;
	for (uint32_t k = 0; k < span->n_nodes && k < n_seeds; k++)
		span_try(work, span, work->largest[k]);
}
