/* The items of the objective for one workload: what is reached, what would be possible at best if
 * it were alone, and who is in the way. Worked out from plan and snapshot alone, so that a plan can
 * be asked long after it was made. */
#include "plan/plan_explain_items.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define NOBODY UINT32_MAX

struct view {
	const struct plan *plan;
	const struct snapshot *snapshot;
	const struct topology *topology;
	const struct plan_workload *workload;
	uint32_t self;
	uint32_t *owners; /* by dense PU index: exclusive workload, or NOBODY */
	bool *usable;	  /* by dense PU index: it could have this one if it were alone */
};

static void view_done(struct view *view)
{
	free(view->owners);
	free(view->usable);
}

/* PUs that are its own: all of an exclusive one, a part of one with Exclusive=2. */
static const struct cpuset *own_of(const struct plan_workload *workload)
{
	return workload->conf->exclusive ? &workload->cpus : &workload->own;
}

static bool pool_is_common(const struct pool *pool)
{
	return cpuset_is_empty(&pool->cpus) && nodeset_is_empty(&pool->nodes);
}

static bool pool_has(const struct pool *pool, const struct topology *topology,
		     const struct topo_pu *pu)
{
	return (cpuset_is_empty(&pool->cpus) || cpuset_has(&pool->cpus, pu->pu_os)) &&
	       (nodeset_is_empty(&pool->nodes) ||
		nodeset_has(&pool->nodes, topology->nodes[pu->node].node_os));
}

/* Is the PU in the workload's pool? A PU that no pool names is in those that name none. */
static bool in_pool(const struct view *view, const struct topo_pu *pu)
{
	for (size_t i = 0; i < view->snapshot->n_pools; i++) {
		const struct pool *pool = view->snapshot->pools[i];

		if (!pool_is_common(pool) && pool_has(pool, view->topology, pu))
			return strcmp(pool->name, view->workload->conf->pool) == 0;
	}
	for (size_t i = 0; i < view->snapshot->n_pools; i++)
		if (strcmp(view->snapshot->pools[i]->name, view->workload->conf->pool) == 0)
			return pool_is_common(view->snapshot->pools[i]);
	return false;
}

static int view_fill(struct view *view)
{
	const struct topology *topology = view->topology;
	const struct snapshot_workload *sensed = &view->snapshot->workloads[view->self];
	const struct workload *conf = view->workload->conf;

	view->owners = malloc((topology->n_pu + 1) * sizeof(*view->owners));
	view->usable = calloc(topology->n_pu + 1, sizeof(*view->usable));
	if (!view->owners || !view->usable)
		return -ENOMEM;
	for (uint32_t i = 0; i < topology->n_pu; i++) {
		const struct topo_pu *pu = &topology->pus[i];

		view->owners[i] = NOBODY;
		view->usable[i] = cpuset_has(&view->plan->cpus, pu->pu_os) &&
				  !cpuset_has(&view->plan->housekeeping, pu->pu_os) &&
				  (!sensed->cpuset || cpuset_has(sensed->cpuset, pu->pu_os)) &&
				  (nodeset_is_empty(&conf->nodes) ||
				   nodeset_has(&conf->nodes, topology->nodes[pu->node].node_os)) &&
				  in_pool(view, pu);
	}
	for (size_t w = 0; w < view->plan->n_workloads; w++)
		cpuset_foreach (pu_os, own_of(&view->plan->workloads[w])) {
			uint32_t i = topology_pu_idx(topology, pu_os);

			if (i != TOPOLOGY_NONE)
				view->owners[i] = (uint32_t)w;
		}
	return 0;
}

/* ---- levels ---- */

enum level { LEVEL_NODE, LEVEL_PACKAGE, LEVEL_L3, LEVEL_DIE, LEVEL_L2, N_LEVELS };

static uint32_t unit_of(const struct topo_pu *pu, enum level level)
{
	const uint32_t units[N_LEVELS] = { pu->node, pu->package, pu->l3, pu->die, pu->l2 };

	return units[level];
}

/* Units of one level that it has PUs in; the fewest that could hold as many; the one that holds
 * most. */
struct spread {
	uint32_t n_has, n_best;
	uint32_t largest;
};

static int by_size(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? 1 : -(*x > *y);
}

static int spread_of(const struct view *view, enum level level, struct spread *ret_spread)
{
	const struct topology *topology = view->topology;
	cleanup(freep) uint32_t *n_usable = calloc(topology->n_pu + topology->n_node + 1,
						   sizeof(*n_usable));
	cleanup(freep) bool *has = calloc(topology->n_pu + topology->n_node + 1, sizeof(*has));
	struct spread spread = { .largest = NOBODY };
	uint32_t n_left = cpuset_count(own_of(view->workload)), n_unit = 0;

	if (!n_usable || !has)
		return -ENOMEM;
	for (uint32_t i = 0; i < topology->n_pu; i++) {
		uint32_t unit = unit_of(&topology->pus[i], level);

		n_usable[unit] += view->usable[i];
		n_unit = unit >= n_unit ? unit + 1 : n_unit;
		if (view->owners[i] == view->self && !has[unit]) {
			has[unit] = true;
			spread.n_has++;
		}
	}
	for (uint32_t u = 0; u < n_unit; u++)
		if (n_usable[u] > 0 &&
		    (spread.largest == NOBODY || n_usable[u] > n_usable[spread.largest]))
			spread.largest = u;
	qsort(n_usable, n_unit, sizeof(*n_usable), by_size);
	while (n_left > 0 && spread.n_best < n_unit && n_usable[spread.n_best] > 0) {
		uint32_t n = n_usable[spread.n_best++];

		n_left -= n < n_left ? n : n_left;
	}
	*ret_spread = spread;
	return 0;
}

/* ---- who is in the way ---- */

/* So many are named; the others are counted. */
#define NAMED_MOST 4u

/* "b has 4 of its PUs, c has 2, nobody else" for one unit. */
static void say_owners(FILE *out, const struct view *view, enum level level, uint32_t unit)
{
	uint32_t n_named = 0, n_more = 0;

	for (uint32_t w = 0; w < view->plan->n_workloads; w++) {
		uint32_t n = 0;

		if (w == view->self || cpuset_is_empty(own_of(&view->plan->workloads[w])))
			continue;
		for (uint32_t i = 0; i < view->topology->n_pu; i++)
			n += view->owners[i] == w && view->usable[i] &&
			     unit_of(&view->topology->pus[i], level) == unit;
		if (n == 0)
			continue;
		if (n_named++ < NAMED_MOST)
			fprintf(out, "%s%s has %u", n_named > 1 ? ", " : "",
				view->plan->workloads[w].conf->name, n);
		else
			n_more++;
	}
	if (n_more > 0)
		fprintf(out, " and %u more have some", n_more);
	if (n_named == 0)
		fputs("nobody holds them alone: shares, siblings or a pool's bounds", out);
}

static int say_spread(FILE *out, const struct view *view, enum level level, const char *text)
{
	static const char *const units[] = { "node", "package", "L3 group", "die", "L2 group" };
	struct spread spread = { 0 };
	int r = spread_of(view, level, &spread);

	if (r < 0)
		return r;
	fprintf(out, "%s: %u, best possible %u", text, spread.n_has, spread.n_best);
	if (spread.n_has > spread.n_best && spread.largest != NOBODY) {
		uint32_t number = level == LEVEL_NODE
					  ? view->topology->nodes[spread.largest].node_os
					  : spread.largest;

		fprintf(out, "; in %s %u ", units[level], number);
		say_owners(out, view, level, spread.largest);
	}
	fputs(".\n", out);
	return 0;
}

/* ---- items that are counts of PUs ---- */

static bool same_core(const struct view *view, uint32_t a, uint32_t b)
{
	return view->topology->pus[a].core == view->topology->pus[b].core;
}

/* Item 7: its PUs whose core somebody else has a part of. PUs of a core are neighbours. */
static void say_beside(FILE *out, const struct view *view)
{
	const struct topology *topology = view->topology;
	uint32_t n = 0, who = NOBODY;

	for (uint32_t i = 0; i < topology->n_pu; i++) {
		bool beside = false;

		if (view->owners[i] != view->self)
			continue;
		for (uint32_t k = i; k-- > 0 && same_core(view, k, i);)
			if (view->owners[k] != NOBODY && view->owners[k] != view->self) {
				beside = true;
				who = view->owners[k];
			}
		for (uint32_t k = i + 1; k < topology->n_pu && same_core(view, k, i); k++)
			if (view->owners[k] != NOBODY && view->owners[k] != view->self) {
				beside = true;
				who = view->owners[k];
			}
		n += beside;
	}
	fprintf(out, "Item 7, PUs on a core that another has a part of: %u, best possible 0", n);
	if (who != NOBODY)
		fprintf(out, "; %s is one of those", view->plan->workloads[who].conf->name);
	fputs(".\n", out);
}

static void say_kind(FILE *out, const struct view *view)
{
	enum core_type wanted = view->workload->conf->core_type;
	uint32_t n_wrong = 0, n_right = 0, n_has = 0;

	if (wanted == CORE_ANY)
		return;
	for (uint32_t i = 0; i < view->topology->n_pu; i++) {
		bool right = topology_pu_is(view->topology, i, wanted == CORE_PERFORMANCE);

		n_right += right && view->usable[i];
		n_has += view->owners[i] == view->self;
		n_wrong += !right && view->owners[i] == view->self;
	}
	fprintf(out, "Item 8, PUs of another kind of core than wanted: %u, best possible %u.\n",
		n_wrong, n_has > n_right ? n_has - n_right : 0);
}

static uint64_t memory_of(const struct view *view, const struct nodeset *nodes)
{
	uint64_t n_bytes = 0;

	for (uint32_t i = 0; i < view->topology->n_node; i++)
		if (nodeset_has(nodes, view->topology->nodes[i].node_os))
			n_bytes += view->topology->nodes[i].memory_bytes;
	return n_bytes;
}

static void say_memory(FILE *out, const struct view *view)
{
	const struct plan_workload *workload = view->workload;
	uint64_t n_bytes = workload->conf->memory_size_bytes;
	uint32_t n_more;

	if (n_bytes == 0)
		return;
	n_more = nodeset_count(&workload->mems) - nodeset_count(&workload->nodes);
	fprintf(out,
		"Item 4, memory: %llu MiB wanted, its nodes have %llu MiB in all; nodes joined for "
		"it: "
		"%u, best possible 0.\n",
		(unsigned long long)(n_bytes >> 20),
		(unsigned long long)(memory_of(view, &workload->nodes) >> 20), n_more);
}

static int say_devices(FILE *out, const struct view *view)
{
	const struct strings *names = &view->workload->conf->near_devices;
	cleanup(nodeset_done) struct nodeset near = { 0 };
	uint32_t n_far = 0, n_near = 0, n_has = 0;

	if (names->n_items == 0)
		return 0;
	for (size_t i = 0; i < names->n_items; i++) {
		const struct topo_device *device = topology_device(view->topology, names->items[i]);

		if (!device)
			fprintf(out, "Item 5: the machine has no device '%s'.\n", names->items[i]);
		else if (nodeset_union(&near, &device->nodes) < 0)
			return -ENOMEM;
	}
	for (uint32_t i = 0; i < view->topology->n_pu && !nodeset_is_empty(&near); i++) {
		uint32_t node = view->topology->pus[i].node;
		bool is_near = nodeset_has(&near, view->topology->nodes[node].node_os);
		bool has = cpuset_has(&view->workload->cpus, view->topology->pus[i].pu_os);

		n_near += is_near && view->usable[i];
		n_has += has;
		n_far += has && !is_near;
	}
	fprintf(out, "Item 5, PUs far from its devices: %u, best possible %u.\n", n_far,
		n_has > n_near ? n_has - n_near : 0);
	return 0;
}

/* ---- all ---- */

static int say_all(FILE *out, const struct view *view)
{
	static const struct {
		enum level level;
		const char *text;
	} spans[] = {
		{ LEVEL_NODE, "Item 3, NUMA nodes" }, { LEVEL_PACKAGE, "Item 3, packages" },
		{ LEVEL_L3, "Item 6, L3 groups" },    { LEVEL_DIE, "Item 6, dies" },
		{ LEVEL_L2, "Item 6, L2 groups" },
	};
	int r = 0;

	fprintf(out, "Item 1, minimum: %u of at least %u PUs.\n", view->workload->n_pu,
		view->workload->conf->min_pu);
	fprintf(out, "Item 2, PUs of its own that another has too: 0, best possible 0.\n");
	for (size_t i = 0; i < N_ELEMENTS(spans) && r == 0; i++) {
		if (i == 2) {
			say_memory(out, view);
			r = say_devices(out, view);
		}
		if (r == 0)
			r = say_spread(out, view, spans[i].level, spans[i].text);
	}
	if (r == 0) {
		say_beside(out, view);
		say_kind(out, view);
	}
	return r;
}

/* Who holds the PUs that one that is not placed could have: the whole pool. */
static void say_holders(FILE *out, const struct view *view)
{
	uint32_t n_usable = 0, n_held = 0;

	for (uint32_t i = 0; i < view->topology->n_pu; i++) {
		n_usable += view->usable[i];
		n_held += view->usable[i] && view->owners[i] != NOBODY;
	}
	fprintf(out, "Of %u PUs that it could have %u are held by others", n_usable, n_held);
	for (uint32_t node = 0; node < view->topology->n_node && n_held > 0; node++) {
		bool any = false;

		for (uint32_t i = 0; i < view->topology->n_pu && !any; i++)
			any = view->topology->pus[i].node == node && view->usable[i] &&
			      view->owners[i] != NOBODY;
		if (!any)
			continue;
		fprintf(out, "; on node %u ", view->topology->nodes[node].node_os);
		say_owners(out, view, LEVEL_NODE, node);
	}
	fputs(".\n", out);
}

int explain_items(FILE *out, const struct plan *plan, const struct snapshot *snapshot,
		  uint32_t workload)
{
	cleanup(view_done) struct view view = {
		.plan = plan,
		.snapshot = snapshot,
		.topology = snapshot->topology,
		.workload = &plan->workloads[workload],
		.self = workload,
	};

	if (view_fill(&view) < 0)
		return -ENOMEM;
	if (!view.workload->placed) {
		say_holders(out, &view);
		return 0;
	}
	if (!workload_owns(view.workload->conf))
		return say_devices(out, &view);
	return say_all(out, &view);
}
