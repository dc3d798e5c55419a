/* The views that others see: limits, places, and what bounds each workload. Built aside from the
 * tree and the table of processes, put in place by one assignment, and compared with what was
 * there, so that a burst that ends where it began is no change. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sense/world_internal.h"

void views_done(struct views *views)
{
	for (size_t i = 0; i < views->n_places; i++) {
		free(views->places[i].unit);
		free(views->places[i].cgroup);
	}
	for (size_t i = 0; i < views->n_bounds; i++) {
		cpuset_done(&views->bounds[i].cpus);
		free(views->bounds[i].path);
	}
	free(views->limits);
	free(views->limit_nodes);
	free(views->places);
	free(views->place_nodes);
	free(views->bounds);
	*views = (struct views){ 0 };
}

static bool node_is_place(const struct node *node)
{
	return node->claim != PLACE_NOBODY || node->confined;
}

static void marks_reset(struct world *world)
{
	for (struct node *node = world->root; node; node = tree_next(node)) {
		node->holds = node->needed = node->confined = node->confine_scan = false;
		if (node->dir_fd < 0) /* an expectation holds only while PID 1 says so */
			node->claim = PLACE_NOBODY;
	}
}

static void marks_set(struct world *world)
{
	for (struct node *node = world->root; node; node = tree_next(node))
		if (node->claim != PLACE_NOBODY || node->n_processes > 0)
			for (struct node *up = node; up && !up->holds; up = up->parent)
				up->holds = true;
}

static void sweep(struct world *world)
{
	struct node *node, *next;

	for (node = world->root; node; node = tree_next(node))
		if (node->holds || node->scan || node->look || node->confined || node->confine_scan)
			for (struct node *up = node; up && !up->needed; up = up->parent)
				up->needed = true;
	for (node = world->root ? tree_next(world->root) : NULL; node; node = next) {
		next = node->needed ? tree_next(node) : tree_next_beside(node);
		if (!node->needed)
			tree_remove(world, node);
	}
}

static size_t count_limits(struct world *world)
{
	size_t n = 0;

	for (struct node *node = world->root; node; node = tree_next(node))
		n += node->holds;
	return n;
}

static int build_limits(struct world *world, struct views *views)
{
	size_t n = count_limits(world);

	views->limits = calloc(n + 1, sizeof(*views->limits));
	views->limit_nodes = calloc(n + 1, sizeof(struct node *));
	if (!views->limits || !views->limit_nodes)
		return -ENOMEM;
	for (struct node *node = world->root; node; node = tree_next(node)) {
		if (node->holds && !node->is_limit)
			level_open(world, node);
		else if (!node->holds && node->is_limit)
			level_close(world, node);
		if (!node->holds)
			continue;
		node->next_limit = (uint32_t)views->n_limits;
		views->limit_nodes[views->n_limits] = node;
		views->limits[views->n_limits++] = (struct limit){
			.parent = node->parent ? node->parent->next_limit : LIMIT_NONE,
			.quota_mcpu = node->quota_mcpu,
			.weight = node->weight,
			.path = node->path,
		};
	}
	return 0;
}

/* A place and its node while they are sorted. */
struct entry {
	struct place place;
	struct node *node;
};

struct entries {
	struct entry *items;
	size_t n_items;
};

static int entry_compare(const void *a, const void *b)
{
	const struct place *x = &((const struct entry *)a)->place;
	const struct place *y = &((const struct entry *)b)->place;
	int order;

	if (x->workload != y->workload)
		return x->workload < y->workload ? -1 : 1;
	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	if (x->kind == PLACE_PROCESS)
		return (x->pid > y->pid) - (x->pid < y->pid);
	order = x->kind == PLACE_UNIT ? strcmp(x->unit, y->unit) : 0;
	return order ? order : strcmp(x->cgroup, y->cgroup);
}

/* A unit is PID 1's to write; a cgroup that was named by its path and that PID 1 does not manage
 * (or nobody can ask it) is written directly. */
static enum place_kind kind_of(const struct world *world, const struct node *node)
{
	const struct match *match;

	if (!node->is_unit)
		return PLACE_CGROUP;
	if (node->claim == PLACE_NOBODY || world->units)
		return PLACE_UNIT;
	match = &world->workloads[node->claim]->match;
	return match->units.n_items || match->slices.n_items ? PLACE_UNIT : PLACE_CGROUP;
}

static int add_node(struct world *world, struct entries *entries, struct node *node)
{
	struct entry *entry = &entries->items[entries->n_items];
	char unit[UNIT_NAME_SIZE];

	*entry = (struct entry){ .place = { .kind = kind_of(world, node),
					    .workload = node->claim,
					    .cgroup_id = node->dir_fd >= 0 ? node->inode : 0 },
				 .node = node };
	entries->n_items++;
	entry->place.cgroup = strdup(node->dir_fd >= 0 ? node->path : "");
	if (entry->place.kind == PLACE_UNIT && unit_of_directory(node->path, unit))
		entry->place.unit = strdup(unit);
	return entry->place.cgroup && (entry->place.kind != PLACE_UNIT || entry->place.unit)
		       ? 0
		       : -ENOMEM;
}

static int add_process(struct entries *entries, const struct process *process)
{
	struct entry *entry = &entries->items[entries->n_items];

	*entry = (struct entry){ .place = { .kind = PLACE_PROCESS,
					    .workload = process->workload,
					    .cgroup_id = process->node ? process->node->inode : 0,
					    .pid = process->pid,
					    .start_time = process->start_time },
				 .node = process->node };
	entries->n_items++;
	entry->place.cgroup = strdup(process->cgroup);
	return entry->place.cgroup ? 0 : -ENOMEM;
}

static int collect(struct world *world, struct entries *entries)
{
	size_t n = world->n_processes;
	int r = 0;

	for (struct node *node = world->root; node; node = tree_next(node))
		n += node_is_place(node);
	entries->items = calloc(n + 1, sizeof(*entries->items));
	if (!entries->items)
		return -ENOMEM;
	for (struct node *node = world->root; r == 0 && node; node = tree_next(node))
		if (node_is_place(node))
			r = add_node(world, entries, node);
	for (size_t i = 0; r == 0 && i < world->n_processes; i++)
		r = add_process(entries, world->processes[i]);
	if (entries->n_items > 1)
		qsort(entries->items, entries->n_items, sizeof(*entries->items), entry_compare);
	return r;
}

static void entries_done(struct entries *entries)
{
	for (size_t i = 0; i < entries->n_items; i++) {
		free(entries->items[i].place.unit);
		free(entries->items[i].place.cgroup);
	}
	free(entries->items);
}

static int build_places(struct world *world, struct views *views)
{
	cleanup(entries_done) struct entries entries = { 0 };
	int r = collect(world, &entries);

	if (r < 0)
		return r;
	views->places = calloc(entries.n_items + 1, sizeof(*views->places));
	views->place_nodes = calloc(entries.n_items + 1, sizeof(struct node *));
	views->bounds = calloc(world->n_workloads + 1, sizeof(*views->bounds));
	if (!views->places || !views->place_nodes || !views->bounds)
		return -ENOMEM;
	views->n_bounds = world->n_workloads;
	for (size_t i = 0; i < entries.n_items; i++) {
		struct bound *bound;

		views->places[i] = entries.items[i].place;
		views->place_nodes[i] = entries.items[i].node;
		if (views->places[i].workload >= views->n_bounds)
			continue;
		bound = &views->bounds[views->places[i].workload];
		bound->first_place = bound->n_places ? bound->first_place : i;
		bound->n_places++;
	}
	views->n_places = entries.n_items;
	entries.n_items = 0; /* the strings are the views' now */
	return 0;
}

static bool limits_equal(const struct views *a, const struct views *b)
{
	if (a->n_limits != b->n_limits)
		return false;
	for (size_t i = 0; i < a->n_limits; i++)
		if (a->limits[i].parent != b->limits[i].parent ||
		    a->limits[i].quota_mcpu != b->limits[i].quota_mcpu ||
		    a->limits[i].weight != b->limits[i].weight ||
		    strcmp(a->limits[i].path, b->limits[i].path) != 0)
			return false;
	return true;
}

static bool place_equal(const struct place *a, const struct place *b)
{
	return a->kind == b->kind && a->workload == b->workload && a->cgroup_id == b->cgroup_id &&
	       a->pid == b->pid && a->start_time == b->start_time && !a->unit == !b->unit &&
	       (!a->unit || strcmp(a->unit, b->unit) == 0) && strcmp(a->cgroup, b->cgroup) == 0;
}

static bool places_equal(const struct views *a, const struct views *b)
{
	if (a->n_places != b->n_places)
		return false;
	for (size_t i = 0; i < a->n_places; i++)
		if (!place_equal(&a->places[i], &b->places[i]))
			return false;
	return true;
}

static void publish(struct world *world, struct views *views)
{
	struct views old = world->views;

	if (!limits_equal(&old, views) || !places_equal(&old, views))
		world->changes |= WORLD_PLACES;
	for (size_t i = 0; i < old.n_limits; i++)
		old.limit_nodes[i]->limit = LIMIT_NONE;
	for (size_t i = 0; i < views->n_limits; i++)
		views->limit_nodes[i]->limit = (uint32_t)i;
	/* What bounded a workload is compared with what does now, by views_bounds(). */
	for (size_t i = 0; i < views->n_bounds && i < old.n_bounds; i++) {
		views->bounds[i].cpus = cpuset_take(&old.bounds[i].cpus);
		views->bounds[i].path = TAKE_PTR(old.bounds[i].path);
	}
	world->views = *views;
	views_done(&old);
	tree_bury(world);
}

int views_build(struct world *world)
{
	struct views views = { 0 };
	int r = 0;

	marks_reset(world);
	if (world->units)
		r = units_expect(world);
	marks_set(world);
	if (r == 0 && world->confine)
		r = confine_mark(world);
	marks_set(
		world); /* that look may have found a workload's directory that no event told of */
	sweep(world);
	if (r == 0)
		r = build_limits(world, &views);
	if (r == 0)
		r = build_places(world, &views);
	if (r < 0) {
		views_done(&views);
		return r;
	}
	publish(world, &views);
	return 0;
}

/* The nearest node that says which PUs may be used and that is not ours to write. A unit's own file
 * is ours; a process lives in a cgroup that is not. */
static struct node *bounding_node(struct world *world, const struct place *place, struct node *node)
{
	if (node && place->kind != PLACE_PROCESS)
		node = node->parent;
	for (; node; node = node->parent)
		if (!node_is_place(node) && !cpuset_is_empty(level_effective(world, node)))
			return node;
	return NULL;
}

/* What all places of the workload are allowed together; where they have nothing in common, what the
 * narrowest is. */
static int bound_compute(struct world *world, const struct bound *bound, struct bound *ret_bound)
{
	cleanup(cpuset_done) struct cpuset cpus = { 0 };
	const struct node *narrowest = NULL, *last = NULL;
	int r = 0;

	for (size_t i = 0; r == 0 && i < bound->n_places; i++) {
		size_t at = bound->first_place + i;
		struct node *node = bounding_node(world, &world->views.places[at],
						  world->views.place_nodes[at]);

		if (!node || node == last)
			continue;
		if (!last)
			r = cpuset_copy(&cpus, &node->effective);
		else
			cpuset_intersect(&cpus, &node->effective);
		if (!narrowest ||
		    cpuset_count(&node->effective) < cpuset_count(&narrowest->effective))
			narrowest = node;
		last = node;
	}
	if (r == 0 && narrowest && cpuset_is_empty(&cpus))
		r = cpuset_copy(&cpus, &narrowest->effective);
	if (r < 0 || !narrowest || cpuset_is_subset(&world->allowed, &cpus))
		return r;
	ret_bound->path = strdup(narrowest->path);
	if (!ret_bound->path)
		return -ENOMEM;
	ret_bound->cpus = cpuset_take(&cpus);
	return 0;
}

static int allowed_read(struct world *world)
{
	const struct cpuset *effective = world->root ? level_effective(world, world->root) : NULL;
	struct cpuset cpus = { 0 };
	int r;

	if (effective && !cpuset_is_empty(effective))
		r = cpuset_copy(&cpus, effective);
	else
		r = world->sys->affinity_get(world->sys, getpid(), &cpus);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	if (!cpuset_equal(&cpus, &world->allowed))
		world->changes |= WORLD_CPUSETS;
	cpuset_done(&world->allowed);
	world->allowed = cpus;
	return 0;
}

static bool text_equal(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

int views_bounds(struct world *world)
{
	int r;

	if (world->dirty & (DIRTY_CPUSETS | DIRTY_RESCAN))
		for (struct node *node = world->root; node; node = tree_next(node))
			node->effective_is_read = false;
	r = allowed_read(world);
	for (size_t i = 0; r == 0 && i < world->views.n_bounds; i++) {
		struct bound *bound = &world->views.bounds[i], fresh = { 0 };

		r = bound_compute(world, bound, &fresh);
		if (r < 0)
			break;
		if (!cpuset_equal(&bound->cpus, &fresh.cpus) ||
		    !text_equal(bound->path, fresh.path))
			world->changes |= WORLD_CPUSETS;
		cpuset_done(&bound->cpus);
		free(bound->path);
		bound->cpus = fresh.cpus;
		bound->path = fresh.path;
	}
	return r;
}

const struct cpuset *world_cpuset_of(const struct world *world, uint32_t workload,
				     const char **ret_path)
{
	const struct bound *bound;

	if (workload >= world->views.n_bounds)
		return NULL;
	bound = &world->views.bounds[workload];
	if (!bound->path)
		return NULL;
	if (ret_path)
		*ret_path = bound->path;
	return &bound->cpus;
}

/* A parent has the lower index, so the higher one is never above the other. */
static uint32_t common_limit(const struct limit *limits, uint32_t a, uint32_t b)
{
	while (a != b) {
		if (a == LIMIT_NONE || b == LIMIT_NONE)
			return LIMIT_NONE;
		if (a > b)
			a = limits[a].parent;
		else
			b = limits[b].parent;
	}
	return a;
}

static uint32_t tightest_mcpu(const struct limit *limits, uint32_t limit)
{
	uint32_t tightest = QUOTA_UNLIMITED_MCPU;

	for (; limit != LIMIT_NONE; limit = limits[limit].parent)
		if (limits[limit].quota_mcpu < tightest)
			tightest = limits[limit].quota_mcpu;
	return tightest;
}

uint32_t world_limit_of(const struct world *world, uint32_t workload)
{
	const struct limit *limits = world->views.limits;
	uint32_t common = LIMIT_NONE, tightest = LIMIT_NONE;
	const struct bound *bound;

	if (workload >= world->views.n_bounds)
		return LIMIT_NONE;
	bound = &world->views.bounds[workload];
	for (size_t i = 0; i < bound->n_places; i++) {
		const struct node *node = world->views.place_nodes[bound->first_place + i];
		uint32_t limit = node ? node->limit : LIMIT_NONE;

		if (limit == LIMIT_NONE)
			continue;
		common = tightest == LIMIT_NONE ? limit : common_limit(limits, common, limit);
		if (tightest == LIMIT_NONE ||
		    tightest_mcpu(limits, limit) < tightest_mcpu(limits, tightest))
			tightest = limit;
	}
	/* Having nothing but the root in common is to be apart: it says nothing of either, or the
	 * same of all. */
	return common != LIMIT_NONE && limits[common].parent != LIMIT_NONE ? common : tightest;
}
