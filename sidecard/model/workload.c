#include "model/workload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

void strings_done(struct strings *strings)
{
	for (size_t i = 0; i < strings->n_items; i++)
		free(strings->items[i]);
	free(strings->items);
	*strings = (struct strings){ 0 };
}

int strings_add(struct strings *strings, const char *item)
{
	char **items = realloc(strings->items, (strings->n_items + 1) * sizeof(*items));

	if (!items)
		return -ENOMEM;
	strings->items = items;
	items[strings->n_items] = strdup(item);
	if (!items[strings->n_items])
		return -ENOMEM;
	strings->n_items++;
	return 0;
}

struct workload *workload_new(const char *name)
{
	cleanup(workload_freep) struct workload *workload = calloc(1, sizeof(*workload));

	if (!workload)
		return NULL;
	workload->name = strdup(name);
	workload->description = strdup("");
	workload->pool = strdup("default");
	workload->plugin = strdup("generic");
	if (!workload->name || !workload->description || !workload->pool || !workload->plugin)
		return NULL;
	workload->role = ROLE_DATA_PLANE;
	workload->priority = 100;
	workload->min_pu = 1;
	workload->max_pu = workload->max_mcpu = WORKLOAD_MAX_UNSET;
	workload->weight = 100;
	workload->quota_mcpu = QUOTA_UNLIMITED_MCPU;
	workload->overcommit_permille = 1000;
	return TAKE_PTR(workload);
}

static void match_done(struct match *match)
{
	strings_done(&match->units);
	strings_done(&match->slices);
	strings_done(&match->cgroups);
	strings_done(&match->executables);
	strings_done(&match->command_lines);
	strings_done(&match->users);
	free(match->uids);
}

struct workload *workload_free(struct workload *workload)
{
	if (!workload)
		return NULL;
	free(workload->name);
	free(workload->description);
	free(workload->pool);
	free(workload->plugin);
	match_done(&workload->match);
	nodeset_done(&workload->nodes);
	strings_done(&workload->near_devices);
	strings_done(&workload->environment);
	for (size_t i = 0; i < workload->n_settings; i++) {
		free(workload->settings[i].key);
		free(workload->settings[i].value);
	}
	free(workload->settings);
	free(workload->source);
	free(workload);
	return NULL;
}

void workload_freep(struct workload **workload)
{
	workload_free(*workload);
}

struct pool *pool_new(const char *name)
{
	cleanup(pool_freep) struct pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return NULL;
	pool->name = strdup(name);
	pool->description = strdup("");
	if (!pool->name || !pool->description)
		return NULL;
	return TAKE_PTR(pool);
}

struct pool *pool_free(struct pool *pool)
{
	if (!pool)
		return NULL;
	free(pool->name);
	free(pool->description);
	cpuset_done(&pool->cpus);
	nodeset_done(&pool->nodes);
	free(pool->source);
	free(pool);
	return NULL;
}

void pool_freep(struct pool **pool)
{
	pool_free(*pool);
}

bool workload_matches_processes(const struct workload *workload)
{
	const struct match *match = &workload->match;

	return match->executables.n_items || match->command_lines.n_items || match->users.n_items;
}

bool workload_is_registered_only(const struct workload *workload)
{
	const struct match *match = &workload->match;

	return !workload_matches_processes(workload) && !match->units.n_items &&
	       !match->slices.n_items && !match->cgroups.n_items;
}

const char *workload_role_name(enum workload_role role)
{
	static const char *const names[] = { "control-plane", "data-plane", "batch" };

	return (size_t)role < N_ELEMENTS(names) ? names[role] : NULL;
}
