/* Units that PID 1 knows but that do not run yet, as limits where their directories will be; and
 * the parts of the system that are kept off exclusive PUs. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "sense/world_internal.h"

static size_t count_plain(const struct strings *names)
{
	size_t n = 0;

	for (size_t i = 0; i < names->n_items; i++)
		n += glob_is_plain(names->items[i]);
	return n;
}

/* The key that names units as places: Unit=, or Slice= where it stands alone. */
static const struct strings *asked_of(const struct workload *workload)
{
	static const struct strings none;
	const struct match *match = &workload->match;

	if (workload_matches_processes(workload))
		return &none;
	if (match->units.n_items)
		return &match->units;
	return match->cgroups.n_items ? &none : &match->slices;
}

int units_configure(struct world *world)
{
	struct plain_keys *asked = &world->asked_units;
	cleanup(freep) const char **names = NULL;
	size_t n = 0;

	free(asked->items);
	*asked = (struct plain_keys){ 0 };
	if (!world->units)
		return 0;
	for (uint32_t w = 0; w < world->n_workloads; w++)
		n += count_plain(asked_of(world->workloads[w]));
	asked->items = calloc(n + 1, sizeof(*asked->items));
	names = calloc(n + 1, sizeof(*names));
	if (!asked->items || !names)
		return -ENOMEM;
	for (uint32_t w = 0; w < world->n_workloads; w++) {
		const struct strings *units = asked_of(world->workloads[w]);

		for (size_t i = 0; i < units->n_items; i++) {
			if (!glob_is_plain(units->items[i]))
				continue;
			names[asked->n_items] = units->items[i];
			asked->items[asked->n_items++] = (struct plain_key){ units->items[i], w };
		}
	}
	return units_want(world->units, names, n);
}

/* @node and its ancestors that are not there yet carry what PID 1 states for their units. */
static void state_limits(struct world *world, struct node *node)
{
	for (; node && node->dir_fd < 0; node = node->parent) {
		char name[UNIT_NAME_SIZE];
		const struct unit *unit = NULL;

		if (unit_of_directory(node->path, name))
			unit = units_find(world->units, name);
		if (unit && unit->state == UNIT_LOADED)
			level_expect(world, node, unit->quota_mcpu, unit->weight);
	}
}

/* Have all slices above been answered for? Until then the limits would be wrong, and corrected a
 * moment later. */
static bool slices_are_known(const struct world *world, const struct unit *unit)
{
	char name[UNIT_NAME_SIZE], parent[UNIT_NAME_SIZE];

	snprintf(name, sizeof(name), "%s", unit_is_slice(unit->name) ? unit->name : unit->slice);
	for (; unit_slice_parent(name, parent); memcpy(name, parent, sizeof(name))) {
		const struct unit *slice = units_find(world->units, name);

		if (slice && slice->state == UNIT_UNKNOWN)
			return false;
	}
	return true;
}

static int expect(struct world *world, const struct plain_key *asked, const struct unit *unit)
{
	const struct match *match = &world->workloads[asked->workload]->match;
	cleanup(freep) char *path = NULL;
	char name[UNIT_NAME_SIZE];
	struct node *node = NULL;
	int r;

	if (*unit->control_group)
		path = strdup(unit->control_group);
	else if (unit_is_slice(unit->name))
		path = unit_path_predict(unit->name, NULL);
	else
		path = unit_path_predict(unit->slice, unit->name);
	/* PID 1's words are checked like everybody's: the path must be a unit's, and this one's. */
	if (!path || !unit_of_directory(path, name) || strcmp(name, unit->name) != 0)
		return 0;
	if ((match->slices.n_items || match->cgroups.n_items) &&
	    !match_directory(world->workloads[asked->workload], path))
		return 0;
	r = tree_expect(world, path, &node);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	if (!node)
		return 0;
	if (node->claim == PLACE_NOBODY)
		node->claim = asked->workload;
	else if (node->claim != asked->workload)
		world_notice(world, "workloads '%s' and '%s' both claim '%s', '%s' has it",
			     world->workloads[node->claim]->name,
			     world->workloads[asked->workload]->name, path,
			     world->workloads[node->claim]->name);
	state_limits(world, node);
	return 0;
}

int units_expect(struct world *world)
{
	int r = 0;

	for (size_t i = 0; r == 0 && world->root && i < world->asked_units.n_items; i++) {
		const struct plain_key *asked = &world->asked_units.items[i];
		const struct unit *unit = units_find(world->units, asked->text);

		if (unit && unit->state == UNIT_LOADED && slices_are_known(world, unit))
			r = expect(world, asked, unit);
	}
	return r;
}

/* Where nothing of a workload is inside, the whole of it; else its children one by one, those of a
 * workload left out. */
static int confine(struct world *world, struct node *node)
{
	int r;

	if (node->claim != PLACE_NOBODY || node->dir_fd < 0)
		return 0;
	if (!node->holds) {
		node->confined = !world->options.own_cgroup ||
				 strcmp(node->path, world->options.own_cgroup) != 0;
		return 0;
	}
	node->confine_scan = true;
	r = tree_scan(world, node);
	for (uint32_t i = 0; r == 0 && i < node->n_children; i++)
		r = confine(world, node->children[i]);
	return r;
}

int confine_mark(struct world *world)
{
	static const char *const names[] = { "system.slice", "user.slice", "init.scope" };
	int r = 0;

	for (size_t i = 0; r == 0 && world->root && i < N_ELEMENTS(names); i++) {
		struct node *node;

		r = tree_check(world, world->root, names[i]);
		node = r == 0 ? tree_child(world->root, names[i]) : NULL;
		if (node)
			r = confine(world, node);
	}
	return r;
}

bool world_is_identified(const struct world *world)
{
	return world->n_unidentified == 0;
}

bool world_is_known(const struct world *world)
{
	return world_is_identified(world) && (!world->units || units_are_known(world->units));
}
