/* Quotas: what is left of each level after every ancestor has had its say, and how the workloads below one common level
 * share it, so that together they are never told to run more threads than it pays for.
 *
 * A level with a quota divides what it was given among the workloads below it and the next levels with quotas below it, by
 * water-filling (plan_fill.h): first one PU's time for each control plane, then one for each other, then the minimums of control planes, then
 * all by planned PUs up to what each can use; what one cannot use flows to the others. Thus floors sum up to no more than the quota,
 * unless there are more workloads than PUs in it (each has at least one thread). Fractions round up only while the sum of what is
 * advised stays within the quota's ceiling on every level, the largest fraction first.
 *
 * The tree is laid out in preorder, so that all below a level is one range: a change costs what lies below the highest quota above
 * it, and no allocation. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "plan/plan_work.h"

#define NONE UINT32_MAX

/* What a workload, or all below a level, must have first, and could use at most: thousandths of a PU, each at least the one before. */
enum { SHARE_CONTROL, SHARE_ONE_EACH, SHARE_MINIMUM, SHARE_MOST, N_SHARES };

struct level {
	uint32_t limit;	     /* index in the snapshot */
	uint32_t above;	     /* NONE at the top */
	uint32_t end;	     /* [position, end): it and all below */
	uint32_t first_user; /* its own workloads: up to the next level's first */
	uint32_t quota_mcpu, tightest_mcpu; /* own; over all ancestors */
	uint32_t sharer;     /* nearest level at or above it that has a quota; NONE */
	uint32_t given_mcpu; /* where it has a quota: its part of the levels above */
	uint32_t cause;	     /* the level whose quota that comes from */
	uint32_t shares[N_SHARES], weight; /* sums of what divides it */
	int64_t n_spare;     /* whole PUs of the quota that nobody was advised yet; below 0: too many were */
	const char *path;
};

struct user {
	uint32_t workload;
	uint32_t level; /* NONE: below no limit */
	uint32_t n_cap; /* PUs it can use at once */
	uint32_t shares[N_SHARES];
	uint32_t share_mcpu, n_floor;
	uint32_t next; /* list of those that would round up */
	uint8_t up_from; /* tenths of a PU: fractions from here on round up; above 9: never */
};

/* What limits it where no quota does. */
struct base {
	enum limited_by limited_by;
	char *path;
};

struct plan_share {
	struct level *levels;
	uint32_t n_levels;
	struct user *users; /* in the order of the levels; those below no limit come last */
	uint32_t n_users;
	struct fill_item *items; /* n_users: every divided item has a workload of its own */
	uint32_t *refs;		 /* an item: a user, or LEVEL_REF + a level */
	uint32_t *position;	 /* n_limits: where a limit is in levels; NONE: no workload is below */
	size_t n_limits;
	struct base *bases; /* by workload */
	char *paths;
};

#define LEVEL_REF 0x80000000u

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

static uint32_t least_of(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint32_t sum_of(uint32_t a, uint32_t b)
{
	return a < UINT32_MAX - b ? a + b : UINT32_MAX;
}

/* ---- the tree ---- */

struct tree {
	uint32_t *child, *last, *sibling; /* first and last below; next beside */
	uint32_t top, top_last;
};

/* Only limits that have a workload below them, those side by side in the order of their first workloads: so the plan does not
 * depend on how limits are numbered. position[] is 0 for them, NONE for the others. */
static void tree_link(struct plan_share *share, const struct snapshot *snapshot, struct tree *tree)
{
	tree->top = tree->top_last = NONE;
	for (size_t i = 0; i < snapshot->n_limits; i++)
		share->position[i] = tree->child[i] = tree->last[i] = tree->sibling[i] = NONE;
	for (size_t i = 0; i < snapshot->n_workloads; i++)
		for (uint32_t limit = snapshot->workloads[i].limit, parent;
		     limit != LIMIT_NONE && share->position[limit] == NONE; limit = parent) {
			uint32_t *first, *last;

			parent = snapshot->limits[limit].parent;
			first = parent == LIMIT_NONE ? &tree->top : &tree->child[parent];
			last = parent == LIMIT_NONE ? &tree->top_last : &tree->last[parent];
			*(*first == NONE ? first : &tree->sibling[*last]) = limit;
			*last = limit;
			share->position[limit] = 0;
			share->n_levels++;
		}
}

static void tree_walk(struct plan_share *share, const struct snapshot *snapshot,
		      const struct tree *tree)
{
	uint32_t limit = tree->top, n = 0;

	while (limit != NONE) {
		uint32_t parent = snapshot->limits[limit].parent;

		share->position[limit] = n;
		share->levels[n++] = (struct level){
			.limit = limit,
			.above = parent == LIMIT_NONE ? NONE : share->position[parent],
		};
		if (tree->child[limit] != NONE) {
			limit = tree->child[limit];
			continue;
		}
		/* Up until something beside is left; what is left behind ends here. */
		while (limit != NONE && tree->sibling[limit] == NONE) {
			share->levels[share->position[limit]].end = n;
			limit = snapshot->limits[limit].parent;
		}
		if (limit != NONE) {
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
		.level = NONE,
	};
	uint32_t n_first = control ? least_of(conf->min_pu, user.n_cap) : 1;

	user.shares[SHARE_CONTROL] = control ? 1000 : 0;
	user.shares[SHARE_ONE_EACH] = 1000;
	user.shares[SHARE_MINIMUM] = n_first * 1000;
	user.shares[SHARE_MOST] = user.n_cap * 1000;
	user.n_floor = user.n_cap;
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
		uint32_t level = limit == LIMIT_NONE ? NONE : share->position[limit];
		uint32_t at = --ends[level == NONE ? n_levels : level];

		share->users[at] = user_make(plan, snapshot, i);
		share->users[at].level = level;
	}
	for (uint32_t p = 0; p <= n_levels; p++)
		share->levels[p].first_user = ends[p];
	return 0;
}

/* ---- division ---- */

/* Exactly so many thousandths as the quota means: 3.999 PUs that come of an inexact quota and period count as 4 (quota.h). */
static uint32_t quota_snap(uint32_t mcpu)
{
	if (mcpu == QUOTA_UNLIMITED_MCPU || mcpu < 2)
		return mcpu;
	if (mcpu % 1000 == 999)
		return mcpu + 1;
	return mcpu % 1000 == 1 ? mcpu - 1 : mcpu;
}

static void levels_refresh(struct plan_share *share, const struct snapshot *snapshot,
			   uint32_t first, uint32_t end)
{
	for (uint32_t p = first; p < end; p++) {
		struct level *level = &share->levels[p];
		const struct level *above =
			p > first && level->above != NONE && level->above >= first ?
				&share->levels[level->above] :
				NULL;
		uint32_t quota = snapshot->limits[level->limit].quota_mcpu;

		level->tightest_mcpu = quota;
		if (above && above->tightest_mcpu < quota)
			level->tightest_mcpu = above->tightest_mcpu;
		level->quota_mcpu = quota_snap(quota);
		level->sharer = quota != QUOTA_UNLIMITED_MCPU ? p : above ? above->sharer : NONE;
		level->given_mcpu = 0;
		level->weight = 0;
		memset(level->shares, 0, sizeof(level->shares));
	}
}

static void level_add(struct level *level, const uint32_t *shares, uint32_t weight)
{
	for (unsigned i = 0; i < N_SHARES; i++)
		level->shares[i] = sum_of(level->shares[i], shares[i]);
	level->weight += weight;
}

/* What all below each level with a quota could use, from the leaves up. */
static void levels_sum(struct plan_share *share, uint32_t first, uint32_t end)
{
	for (uint32_t p = end; p-- > first;) {
		struct level *level = &share->levels[p];
		uint32_t above = p > first ? level->above : NONE;

		for (uint32_t u = level->first_user;
		     level->sharer != NONE && u < share->levels[p + 1].first_user; u++)
			level_add(&share->levels[level->sharer], share->users[u].shares,
				  share->users[u].n_cap);
		if (level->sharer != p)
			continue;
		for (unsigned i = 0; i < N_SHARES; i++)
			level->shares[i] = least_of(level->shares[i], level->quota_mcpu);
		if (above != NONE && share->levels[above].sharer != NONE)
			level_add(&share->levels[share->levels[above].sharer], level->shares,
				  level->weight);
	}
}

static void item_add(struct plan_share *share, uint32_t *n, uint32_t ref, uint32_t weight)
{
	share->items[*n] = (struct fill_item){ .weight = weight, .step = 1 };
	share->refs[(*n)++] = ref;
}

/* Who divides the level: its workloads, those of levels below without a quota, and the next levels with one. */
static uint32_t items_collect(struct plan_share *share, uint32_t position)
{
	uint32_t n = 0, end = share->levels[position].end;

	for (uint32_t p = position; p < end;) {
		const struct level *level = &share->levels[p];

		if (p != position && level->sharer == p) {
			item_add(share, &n, LEVEL_REF | p, level->weight);
			p = level->end;
			continue;
		}
		for (uint32_t u = level->first_user; u < share->levels[p + 1].first_user; u++)
			item_add(share, &n, u, share->users[u].n_cap);
		p++;
	}
	return n;
}

static const uint32_t *shares_of(const struct plan_share *share, uint32_t ref)
{
	return ref & LEVEL_REF ? share->levels[ref & ~LEVEL_REF].shares : share->users[ref].shares;
}

/* The first kind of share that is not met in full bounds everybody above; the one before it is granted. */
static void items_bound(struct plan_share *share, uint32_t n_items, uint32_t given_mcpu)
{
	unsigned most = 0;

	for (; most < SHARE_MOST; most++) {
		uint64_t sum = 0;

		for (uint32_t k = 0; k < n_items; k++)
			sum += shares_of(share, share->refs[k])[most];
		if (sum > given_mcpu)
			break;
	}
	for (uint32_t k = 0; k < n_items; k++) {
		const uint32_t *shares = shares_of(share, share->refs[k]);

		share->items[k].least = most > 0 ? shares[most - 1] : 0;
		share->items[k].most = shares[most];
	}
}

static void level_divide(struct plan_share *share, uint32_t position)
{
	const struct level *level = &share->levels[position];
	uint32_t n_items = items_collect(share, position);

	items_bound(share, n_items, level->given_mcpu);
	plan_fill(share->items, n_items, level->given_mcpu);
	for (uint32_t k = 0; k < n_items; k++) {
		uint32_t ref = share->refs[k], mcpu = share->items[k].amount;
		struct level *below = &share->levels[ref & ~LEVEL_REF];

		if (!(ref & LEVEL_REF)) {
			share->users[ref].share_mcpu = mcpu > 0 ? mcpu : 1;
			continue;
		}
		below->given_mcpu = mcpu;
		below->cause = mcpu < below->quota_mcpu ? level->cause : ref & ~LEVEL_REF;
	}
}

static void levels_divide(struct plan_share *share, uint32_t first, uint32_t end)
{
	for (uint32_t p = first; p < end; p++) {
		struct level *level = &share->levels[p];

		if (level->sharer != p)
			continue;
		if (p == first || level->above == NONE ||
		    share->levels[level->above].sharer == NONE) {
			level->given_mcpu = least_of(level->quota_mcpu, level->shares[SHARE_MOST]);
			level->cause = p;
		}
		level_divide(share, p);
	}
}

/* ---- whole threads ---- */

static uint32_t sharer_of(const struct plan_share *share, uint32_t level)
{
	return level == NONE ? NONE : share->levels[level].sharer;
}

/* The next level up from @level that has a quota, itself included, as far as [first, ...) goes. */
static uint32_t sharer_from(const struct plan_share *share, uint32_t level, uint32_t first)
{
	uint32_t sharer = sharer_of(share, level);

	return sharer != NONE && sharer >= first ? sharer : NONE;
}

/* Adds to n_spare of every level above the user. */
static void spare_add(struct plan_share *share, const struct user *user, uint32_t first, int64_t n)
{
	for (uint32_t p = sharer_from(share, user->level, first); p != NONE;
	     p = sharer_from(share, share->levels[p].above, first))
		share->levels[p].n_spare += n;
}

/* n_floor of each, and what that leaves of each quota in whole PUs. True where some level is overdrawn: somebody whose own limit is below one
 * PU runs a thread all the same. */
static bool floors_fill(struct plan_share *share, const struct snapshot *snapshot, uint32_t first,
			uint32_t end)
{
	bool overdrawn = false;

	for (uint32_t p = first; p < end; p++)
		share->levels[p].n_spare =
			quota_floor_pu(snapshot->limits[share->levels[p].limit].quota_mcpu);
	for (uint32_t u = share->levels[first].first_user; u < share->levels[end].first_user; u++) {
		struct user *user = &share->users[u];

		user->n_floor = user->n_cap;
		if (sharer_of(share, user->level) == NONE)
			continue;
		user->n_floor = user->share_mcpu < 2000 ? 1 : least_of(user->share_mcpu / 1000,
								       user->n_cap);
		spare_add(share, user, first, -(int64_t)user->n_floor);
	}
	for (uint32_t p = first; p < end; p++)
		overdrawn |= share->levels[p].sharer == p && share->levels[p].n_spare < 0;
	return overdrawn;
}

static bool is_overdrawn(const struct plan_share *share, const struct user *user, uint32_t first)
{
	for (uint32_t p = sharer_from(share, user->level, first); p != NONE;
	     p = sharer_from(share, share->levels[p].above, first))
		if (share->levels[p].n_spare < 0)
			return true;
	return false;
}

/* Takes back whole threads, the smallest fractions first, one each and again, until the sums fit or everybody is down to one. */
static void floors_lower(struct plan_share *share, uint32_t first, uint32_t end)
{
	bool lowered = true;

	while (lowered) {
		uint32_t heads[1000];

		lowered = false;
		memset(heads, 0xff, sizeof(heads)); /* NONE */
		for (uint32_t u = share->levels[end].first_user;
		     u-- > share->levels[first].first_user;) {
			struct user *user = &share->users[u];

			if (user->n_floor <= 1 || !is_overdrawn(share, user, first))
				continue;
			user->next = heads[user->share_mcpu % 1000];
			heads[user->share_mcpu % 1000] = u;
		}
		for (uint32_t fraction = 0; fraction < 1000; fraction++)
			for (uint32_t u = heads[fraction]; u != NONE; u = share->users[u].next) {
				if (!is_overdrawn(share, &share->users[u], first))
					continue;
				share->users[u].n_floor--;
				spare_add(share, &share->users[u], first, 1);
				lowered = true;
			}
	}
}

/* From what the quotas leave rounded down to what they leave rounded up. */
static void spare_to_ceiling(struct plan_share *share, const struct snapshot *snapshot,
			     uint32_t first, uint32_t end)
{
	for (uint32_t p = first; p < end; p++) {
		uint32_t quota = snapshot->limits[share->levels[p].limit].quota_mcpu;

		share->levels[p].n_spare += (int64_t)quota_ceil_pu(quota) - quota_floor_pu(quota);
	}
}

/* One thread more, where every level above can spare one. */
static bool spare_take(struct plan_share *share, const struct user *user, uint32_t first)
{
	for (uint32_t p = sharer_from(share, user->level, first); p != NONE;
	     p = sharer_from(share, share->levels[p].above, first))
		if (share->levels[p].n_spare <= 0)
			return false;
	spare_add(share, user, first, -1);
	return true;
}

/* Who rounds up: the largest fractions first; equal ones in the order of the tree. Sets `next` to 1 for them, else 0. */
static void users_round(struct plan_share *share, uint32_t first, uint32_t end)
{
	uint32_t heads[1000];

	memset(heads, 0xff, sizeof(heads)); /* NONE */
	for (uint32_t u = share->levels[end].first_user;
	     u-- > share->levels[first].first_user;) {
		struct user *user = &share->users[u];
		uint32_t fraction = user->share_mcpu % 1000;

		user->next = 0;
		if (sharer_of(share, user->level) == NONE || fraction == 0 ||
		    user->share_mcpu < 1000 || fraction < user->up_from * 100u ||
		    user->share_mcpu / 1000 >= user->n_cap)
			continue;
		user->next = heads[fraction];
		heads[fraction] = u;
	}
	for (uint32_t fraction = 1000; fraction-- > 1;)
		for (uint32_t u = heads[fraction], next; u != NONE; u = next) {
			next = share->users[u].next;
			share->users[u].next = spare_take(share, &share->users[u], first);
		}
}

/* ---- answers ---- */

struct answer {
	uint32_t quota_mcpu, share_mcpu;
	struct parallelism parallelism;
	enum limited_by limited_by;
	char *path;
};

static struct answer user_answer(const struct plan_share *share, const struct user *user)
{
	const struct base *base = &share->bases[user->workload];
	uint32_t sharer = sharer_of(share, user->level), n_floor = user->n_floor;
	struct answer answer = {
		.quota_mcpu = QUOTA_UNLIMITED_MCPU,
		.share_mcpu = QUOTA_UNLIMITED_MCPU,
		.parallelism = { n_floor, n_floor, n_floor },
		.limited_by = base->limited_by,
		.path = base->path,
	};

	if (sharer == NONE)
		return answer;
	answer.quota_mcpu = share->levels[user->level].tightest_mcpu;
	answer.share_mcpu = least_of(user->share_mcpu, answer.quota_mcpu);
	answer.parallelism.ceil = least_of((user->share_mcpu + 999) / 1000, user->n_cap);
	answer.parallelism.advised = n_floor + user->next;
	/* Where the quota pays for all it could use, that is what limits it; an equal quota is not named. */
	if (user->share_mcpu < user->n_cap * 1000) {
		answer.limited_by = LIMITED_BY_QUOTA;
		answer.path = (char *)share->levels[share->levels[sharer].cause].path;
	}
	return answer;
}

static bool same_path(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool answer_give(struct plan_workload *workload, const struct answer *answer)
{
	bool same = workload->quota_mcpu == answer->quota_mcpu &&
		    workload->share_mcpu == answer->share_mcpu &&
		    workload->parallelism.floor == answer->parallelism.floor &&
		    workload->parallelism.ceil == answer->parallelism.ceil &&
		    workload->parallelism.advised == answer->parallelism.advised &&
		    workload->limited_by == answer->limited_by &&
		    same_path(workload->limited_by_path, answer->path);

	workload->quota_mcpu = answer->quota_mcpu;
	workload->share_mcpu = answer->share_mcpu;
	workload->parallelism = answer->parallelism;
	workload->limited_by = answer->limited_by;
	workload->limited_by_path = answer->path;
	return !same;
}

static int users_answer(const struct plan_share *share, struct plan *plan, uint32_t first_user,
			uint32_t end_user, bool *ret_changed)
{
	int n_changed = 0;

	for (uint32_t u = first_user; u < end_user; u++) {
		const struct user *user = &share->users[u];
		struct answer answer = user_answer(share, user);

		if (!answer_give(&plan->workloads[user->workload], &answer))
			continue;
		n_changed++;
		if (ret_changed)
			ret_changed[user->workload] = true;
	}
	return n_changed;
}

/* Everything at and below one level. */
static int range_share(struct plan *plan, const struct snapshot *snapshot, uint32_t first,
		       bool *ret_changed)
{
	struct plan_share *share = plan->share;
	uint32_t end = share->levels[first].end;

	levels_refresh(share, snapshot, first, end);
	levels_sum(share, first, end);
	levels_divide(share, first, end);
	if (floors_fill(share, snapshot, first, end))
		floors_lower(share, first, end);
	spare_to_ceiling(share, snapshot, first, end);
	users_round(share, first, end);
	return users_answer(share, plan, share->levels[first].first_user,
			    share->levels[end].first_user, ret_changed);
}

static int all_share(struct plan *plan, const struct snapshot *snapshot, bool *ret_changed)
{
	struct plan_share *share = plan->share;
	int n_changed = 0;

	for (uint32_t p = 0; p < share->n_levels; p = share->levels[p].end)
		n_changed += range_share(plan, snapshot, p, ret_changed);
	return n_changed + users_answer(share, plan, share->levels[share->n_levels].first_user,
					share->n_users, ret_changed);
}

static int share_new(const struct plan *plan, const struct snapshot *snapshot,
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

int share_make(struct plan *plan, const struct snapshot *snapshot)
{
	int r = share_new(plan, snapshot, &plan->share);

	if (r < 0)
		return r;
	for (size_t i = 0; i < plan->n_workloads; i++)
		plan->share->bases[i] = (struct base){ plan->workloads[i].limited_by,
						       plan->workloads[i].limited_by_path };
	all_share(plan, snapshot, NULL);
	return 0;
}

/* ---- again ---- */

static bool snapshot_fits(const struct plan *plan, const struct snapshot *snapshot)
{
	if (snapshot->n_workloads != plan->n_workloads)
		return false;
	for (size_t i = 0; i < plan->n_workloads; i++) {
		const struct snapshot_workload *workload = &snapshot->workloads[i];

		if (strcmp(workload->conf->name, plan->workloads[i].conf->name) != 0 ||
		    (workload->limit != LIMIT_NONE && workload->limit >= snapshot->n_limits))
			return false;
	}
	for (size_t i = 0; i < snapshot->n_limits; i++)
		if (snapshot->limits[i].parent != LIMIT_NONE && snapshot->limits[i].parent >= i)
			return false;
	return true;
}

/* The tree may be another one than when the plan was made. */
static int reshare_all(struct plan *plan, const struct snapshot *snapshot, bool *ret_changed)
{
	struct plan_share *share, *old = plan->share;
	int r;

	if (!snapshot_fits(plan, snapshot))
		return -EINVAL;
	r = share_new(plan, snapshot, &share);
	if (r < 0)
		return r;
	memcpy(share->bases, old->bases, plan->n_workloads * sizeof(*share->bases));
	for (size_t i = 0; i < plan->n_workloads; i++)
		plan->workloads[i].limit = snapshot->workloads[i].limit;
	plan->share = share;
	r = all_share(plan, snapshot, ret_changed);
	share_free(old); /* only now: its paths were compared with the new ones */
	return r;
}

int plan_reshare(struct plan *plan, const struct snapshot *snapshot, uint32_t changed,
		 bool *ret_changed)
{
	struct plan_share *share = plan->share;
	uint32_t top;

	if (!share)
		return -EINVAL; /* put together by hand */
	if (changed == LIMIT_NONE)
		return reshare_all(plan, snapshot, ret_changed);
	if (changed >= share->n_limits || snapshot->n_limits != share->n_limits ||
	    snapshot->n_workloads != plan->n_workloads)
		return -EINVAL;
	top = share->position[changed];
	if (top == NONE)
		return 0;
	/* What one level does not use goes to its neighbours, so all below the highest quota may change. */
	for (uint32_t p = share->levels[top].above; p != NONE; p = share->levels[p].above)
		if (snapshot->limits[share->levels[p].limit].quota_mcpu != QUOTA_UNLIMITED_MCPU)
			top = p;
	return range_share(plan, snapshot, top, ret_changed);
}
