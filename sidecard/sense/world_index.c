/* Which workload a directory belongs to, without asking each of thousands of workloads: plain names
 * are looked up, only globs are tried. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "sense/procs.h"
#include "sense/world_internal.h"

static int key_compare(const void *a, const void *b)
{
	const struct plain_key *x = a, *y = b;
	int order = strcmp(x->text, y->text);

	return order ? order : (x->workload > y->workload) - (x->workload < y->workload);
}

static int keys_add(struct plain_keys *keys, const struct strings *strings, uint32_t workload)
{
	struct plain_key *items;

	if (strings->n_items == 0)
		return 0;
	items = realloc(keys->items, (keys->n_items + strings->n_items) * sizeof(*items));
	if (!items)
		return -ENOMEM;
	keys->items = items;
	for (size_t i = 0; i < strings->n_items; i++)
		items[keys->n_items++] = (struct plain_key){ strings->items[i], workload };
	return 0;
}

/* The first key that is not below @text. */
static size_t keys_at(const struct plain_keys *keys, const char *text)
{
	size_t low = 0, high = keys->n_items;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(keys->items[middle].text, text) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool strings_are_plain(const struct strings *strings)
{
	for (size_t i = 0; i < strings->n_items; i++)
		if (!glob_is_plain(strings->items[i]))
			return false;
	return true;
}

/* A path as the tree writes it: one slash before each component, none at the end. */
static bool strings_are_plain_paths(const struct strings *strings)
{
	for (size_t i = 0; i < strings->n_items; i++) {
		const char *path = strings->items[i];
		size_t n = strlen(path);

		if (path[0] != '/' || n < 2 || path[n - 1] == '/' || strstr(path, "//") ||
		    !glob_is_plain(path))
			return false;
	}
	return true;
}

static int index_add(struct world *world, uint32_t w)
{
	const struct workload *workload = world->workloads[w];
	const struct match *match = &workload->match;

	if (workload_is_registered_only(workload))
		return 0;
	if (workload_matches_processes(workload)) {
		world->seekers[world->n_seekers++] = w;
		world->process_wants |= process_wants(workload);
		if (match->units.n_items || match->slices.n_items || match->cgroups.n_items)
			world->others[world->n_others++] = w;
		return 0;
	}
	if (!match->slices.n_items && !match->cgroups.n_items && strings_are_plain(&match->units))
		return keys_add(&world->plain_units, &match->units, w);
	if (!match->slices.n_items && !match->units.n_items &&
	    strings_are_plain_paths(&match->cgroups))
		return keys_add(&world->plain_cgroups, &match->cgroups, w);
	world->others[world->n_others++] = w;
	return 0;
}

static void keys_sort(struct plain_keys *keys)
{
	if (keys->n_items > 1)
		qsort(keys->items, keys->n_items, sizeof(*keys->items), key_compare);
}

int index_build(struct world *world)
{
	int r = 0;

	index_done(world);
	world->others = calloc(world->n_workloads + 1, sizeof(*world->others));
	world->seekers = calloc(world->n_workloads + 1, sizeof(*world->seekers));
	if (!world->others || !world->seekers)
		return -ENOMEM;
	for (uint32_t w = 0; r == 0 && w < world->n_workloads; w++)
		r = index_add(world, w);
	keys_sort(&world->plain_units);
	keys_sort(&world->plain_cgroups);
	world->every_seeker_has_executable = true;
	for (size_t i = 0; i < world->n_seekers; i++)
		if (!world->workloads[world->seekers[i]]->match.executables.n_items)
			world->every_seeker_has_executable = false;
	return r;
}

void index_done(struct world *world)
{
	free(world->plain_units.items);
	free(world->plain_cgroups.items);
	free(world->others);
	free(world->seekers);
	world->plain_units = world->plain_cgroups = (struct plain_keys){ 0 };
	world->others = world->seekers = NULL;
	world->n_others = world->n_seekers = 0;
	world->process_wants = 0;
}

/* The first in name order has it; workloads come sorted by name. */
static void verdict_claim(struct world *world, struct verdict *verdict, uint32_t w,
			  const char *path)
{
	uint32_t other = verdict->claim;

	if (other == w)
		return;
	verdict->claim = w < other ? w : other;
	if (other != PLACE_NOBODY)
		world_notice(world, "workloads '%s' and '%s' both claim '%s', '%s' has it",
			     world->workloads[w < other ? w : other]->name,
			     world->workloads[w < other ? other : w]->name, path,
			     world->workloads[verdict->claim]->name);
}

static void judge_plain(struct world *world, struct verdict *verdict, const struct plain_keys *keys,
			const char *text, const char *path)
{
	for (size_t i = keys_at(keys, text);
	     i < keys->n_items && strcmp(keys->items[i].text, text) == 0; i++)
		verdict_claim(world, verdict, keys->items[i].workload, path);
}

/* Is a plain path below the directory @path? All of them are neighbours in the order of texts. */
static bool plain_is_below(const struct plain_keys *keys, const char *path)
{
	char prefix[CGROUP_PATH_SIZE + 1];
	int n = snprintf(prefix, sizeof(prefix), "%s/", strcmp(path, "/") == 0 ? "" : path);
	size_t at;

	if (n < 0 || (size_t)n >= sizeof(prefix))
		return false;
	at = keys_at(keys, prefix);
	return at < keys->n_items && strncmp(keys->items[at].text, prefix, (size_t)n) == 0;
}

static void judge_other(struct world *world, struct verdict *verdict, uint32_t w, const char *path)
{
	const struct workload *workload = world->workloads[w];

	verdict->scan = verdict->scan || match_may_be_below(workload, path);
	if (!workload_matches_processes(workload)) {
		if (match_directory(workload, path))
			verdict_claim(world, verdict, w, path);
	} else if (match_directory(workload, path)) {
		verdict->look = true;
	}
}

struct verdict index_judge(struct world *world, const char *path)
{
	struct verdict verdict = { .claim = PLACE_NOBODY };
	char unit[UNIT_NAME_SIZE];

	if (world->plain_units.n_items > 0 && unit_of_directory(path, unit))
		judge_plain(world, &verdict, &world->plain_units, unit, path);
	if (world->plain_units.n_items > 0 && unit_may_be_below(path))
		verdict.scan = true;
	if (world->plain_cgroups.n_items > 0) {
		judge_plain(world, &verdict, &world->plain_cgroups, path, path);
		verdict.scan = verdict.scan || plain_is_below(&world->plain_cgroups, path);
	}
	for (size_t i = 0; i < world->n_others; i++)
		judge_other(world, &verdict, world->others[i], path);
	return verdict;
}
