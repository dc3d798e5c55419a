/* Laying out the tree of limits and the workloads below it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "plan/plan_share_work.h"

struct plan_share *share_free(struct plan_share *share)
{
	if (!share)
		return NULL;
	free(share->levels);
	free(share->users);
	free(share->items);
	free(share->refs);
	free(share->position);
	free(share->bases);
	free(share->paths);
	free(share);
	return NULL;
}

static void share_freep(struct plan_share **share)
{
	share_free(*share);
}

/* ---- the tree ---- */

struct tree {
	uint32_t *child, *last, *sibling; /* first and last below; next beside */
	uint32_t top, top_last;
};

/* Only limits that have a workload below them, those side by side in the order of their first
 * workloads: so the plan does not depend on how limits are numbered. position[] is 0 for them,
 * SHARE_NONE for the others. */
static void tree_link(struct plan_share *share, const struct snapshot *snapshot, struct tree *tree)
{
	tree->top = tree->top_last = SHARE_NONE;
	for (size_t i = 0; i < snapshot->n_limits; i++)
		share->position[i] = tree->child[i] = tree->last[i] = tree->sibling[i] = SHARE_NONE;
	for (size_t i = 0; i < snapshot->n_workloads; i++)
		for (uint32_t limit = snapshot->workloads[i].limit, parent;
		     limit != LIMIT_NONE && share->position[limit] == SHARE_NONE; limit = parent) {
			uint32_t *first, *last;

			parent = snapshot->limits[limit].parent;
			first = parent == LIMIT_NONE ? &tree->top : &tree->child[parent];
			last = parent == LIMIT_NONE ? &tree->top_last : &tree->last[parent];
			*(*first == SHARE_NONE ? first : &tree->sibling[*last]) = limit;
			*last = limit;
			share->position[limit] = 0;
			share->n_levels++;
		}
}

static void tree_walk(struct plan_share *share, const struct snapshot *snapshot,
		      const struct tree *tree)
{
	uint32_t limit = tree->top, n = 0;

	while (limit != SHARE_NONE) {
		uint32_t parent = snapshot->limits[limit].parent;

		share->position[limit] = n;
		share->levels[n++] = (struct level){
			.limit = limit,
			.above = parent == LIMIT_NONE ? SHARE_NONE : share->position[parent],
		};
		if (tree->child[limit] != SHARE_NONE) {
			limit = tree->child[limit];
			continue;
		}
		/* Up until something beside is left; what is left behind ends here. */
		while (limit != SHARE_NONE && tree->sibling[limit] == SHARE_NONE) {
			share->levels[share->position[limit]].end = n;
			limit = snapshot->limits[limit].parent;
		}
		if (limit != SHARE_NONE) {
			share->levels[share->position[limit]].end = n;
			limit = tree->sibling[limit];
		}
	}
}

static int paths_copy(struct plan_share *share, const struct snapshot *snapshot)
{
	size_t n_bytes = 1;
	char *at;

	for (uint32_t p = 0; p < share->n_levels; p++) {
		const char *path = snapshot->limits[share->levels[p].limit].path;

		n_bytes += path ? strlen(path) + 1 : 1;
	}
	at = share->paths = calloc(1, n_bytes);
	if (!at)
		return -ENOMEM;
	for (uint32_t p = 0; p < share->n_levels; p++) {
		const char *path = snapshot->limits[share->levels[p].limit].path;
		size_t n = path ? strlen(path) : 0;

		share->levels[p].path = path ? memcpy(at, path, n) : at;
		at += n + 1;
	}
	return 0;
}

static int levels_make(struct plan_share *share, const struct snapshot *snapshot)
{
	size_t n = snapshot->n_limits;
	cleanup(freep) uint32_t *links = calloc(3 * n + 1, sizeof(*links));
	struct tree tree = { .child = links, .last = links + n, .sibling = links + 2 * n };

	share->n_limits = n;
	share->position = calloc(n + 1, sizeof(*share->position));
	if (!links || !share->position)
		return -ENOMEM;
	tree_link(share, snapshot, &tree);
	/* One more, so that the last level's workloads have an end too. */
	share->levels = calloc(share->n_levels + 1u, sizeof(*share->levels));
	if (!share->levels)
		return -ENOMEM;
	tree_walk(share, snapshot, &tree);
	return paths_copy(share, snapshot);
}

/* ---- the workloads ---- */

static uint8_t rounds_up_from(const struct snapshot_workload *workload)
{
	switch (workload->conf->rounding) {
	case ROUNDING_CEIL:
		return 0;
	case ROUNDING_NEAREST:
		return 5;
	case ROUNDING_FLOOR:
		return UINT8_MAX;
	case ROUNDING_PLUGIN:
		break;
	}
	return workload->plugin_rounds_up ? 0 : UINT8_MAX;
}

static struct user user_make(const struct plan *plan, const struct snapshot *snapshot, uint32_t i)
{
	const struct plan_workload *workload = &plan->workloads[i];
	const struct workload *conf = workload->conf;
	bool control = conf->role == ROLE_CONTROL_PLANE && workload->placed;
	struct user user = {
		.workload = i,
		.n_cap = workload->placed ? least_of(workload->n_pu, conf->max_pu) : 1,
		.up_from = rounds_up_from(&snapshot->workloads[i]),
		.level = SHARE_NONE,
	};
	uint32_t n_first = control ? least_of(conf->min_pu, user.n_cap) : 1;

	user.shares[SHARE_CONTROL] = control ? 1000 : 0;
	user.shares[SHARE_ONE_EACH] = 1000;
	user.shares[SHARE_MINIMUM] = n_first * 1000;
	user.shares[SHARE_MOST] = user.n_cap * 1000;
	/* Max=3.5 of PUs that are shared is three and a half at once. */
	if (!conf->exclusive && conf->max_mcpu < user.shares[SHARE_MOST])
		user.shares[SHARE_MOST] = conf->max_mcpu > 1000 ? conf->max_mcpu : 1000;
	user.shares[SHARE_MINIMUM] = least_of(user.shares[SHARE_MINIMUM], user.shares[SHARE_MOST]);
	user.n_floor = user.shares[SHARE_MOST] / 1000;
	return user;
}

static int users_make(struct plan_share *share, const struct plan *plan,
		      const struct snapshot *snapshot)
{
	uint32_t n_levels = share->n_levels;
	cleanup(freep) uint32_t *ends = calloc(n_levels + 2u, sizeof(*ends));

	share->n_users = (uint32_t)snapshot->n_workloads;
	share->users = calloc(share->n_users + 1u, sizeof(*share->users));
	share->items = calloc(share->n_users + 1u, sizeof(*share->items));
	share->refs = calloc(share->n_users + 1u, sizeof(*share->refs));
	if (!ends || !share->users || !share->items || !share->refs)
		return -ENOMEM;
	for (uint32_t i = 0; i < share->n_users; i++) {
		uint32_t limit = snapshot->workloads[i].limit;

		ends[limit == LIMIT_NONE ? n_levels : share->position[limit]]++;
	}
	for (uint32_t p = 1; p <= n_levels; p++)
		ends[p] += ends[p - 1];
	for (uint32_t i = share->n_users; i-- > 0;) {
		uint32_t limit = snapshot->workloads[i].limit;
		uint32_t level = limit == LIMIT_NONE ? SHARE_NONE : share->position[limit];
		uint32_t at = --ends[level == SHARE_NONE ? n_levels : level];

		share->users[at] = user_make(plan, snapshot, i);
		share->users[at].level = level;
	}
	for (uint32_t p = 0; p <= n_levels; p++)
		share->levels[p].first_user = ends[p];
	return 0;
}

int share_new(const struct plan *plan, const struct snapshot *snapshot,
	      struct plan_share **ret_share)
{
	cleanup(share_freep) struct plan_share *share = calloc(1, sizeof(*share));

	if (!share || levels_make(share, snapshot) < 0 || users_make(share, plan, snapshot) < 0)
		return -ENOMEM;
	share->bases = calloc(share->n_users + 1u, sizeof(*share->bases));
	if (!share->bases)
		return -ENOMEM;
	*ret_share = TAKE_PTR(share);
	return 0;
}
