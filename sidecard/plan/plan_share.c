/* Quotas: what is left of each level after every ancestor has had its say, and how the workloads
 * below one common level share it, so that together they are never told to run more threads than it
 * pays for.
 *
 * A level with a quota divides what it was given among the workloads below it and the next levels
 * with quotas below it, by water-filling (plan_fill.h): first one PU's time for each control plane,
 * then one for each other, then the minimums of control planes, then all by planned PUs up to what
 * each can use; what one cannot use flows to the others. Thus floors sum up to no more than the
 * quota, unless there are more workloads than PUs in it (each has at least one thread). Fractions
 * round up only while the sum of what is advised stays within the quota's ceiling on every level,
 * the largest fraction first.
 */
#include <errno.h>
#include <string.h>

#include "plan/plan_share_work.h"

#define LEVEL_REF 0x80000000u /* in refs[]: a level, not a user */

/* ---- division ---- */

/* Exactly so many thousandths as the quota means: 3.999 PUs that come of an inexact quota and
 * period count as 4 (quota.h). */
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
		const struct level *above = p > first && level->above != SHARE_NONE &&
							    level->above >= first
						    ? &share->levels[level->above]
						    : NULL;
		uint32_t quota = snapshot->limits[level->limit].quota_mcpu;

		level->tightest_mcpu = quota;
		if (above && above->tightest_mcpu < quota)
			level->tightest_mcpu = above->tightest_mcpu;
		level->quota_mcpu = quota_snap(quota);
		level->sharer = quota != QUOTA_UNLIMITED_MCPU ? p
				: above			      ? above->sharer
							      : SHARE_NONE;
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
		uint32_t above = p > first ? level->above : SHARE_NONE;

		for (uint32_t u = level->first_user;
		     level->sharer != SHARE_NONE && u < share->levels[p + 1].first_user; u++)
			level_add(&share->levels[level->sharer], share->users[u].shares,
				  share->users[u].n_cap);
		if (level->sharer != p)
			continue;
		for (unsigned i = 0; i < N_SHARES; i++)
			level->shares[i] = least_of(level->shares[i], level->quota_mcpu);
		if (above != SHARE_NONE && share->levels[above].sharer != SHARE_NONE)
			level_add(&share->levels[share->levels[above].sharer], level->shares,
				  level->weight);
	}
}

static void item_add(struct plan_share *share, uint32_t *n, uint32_t ref, uint32_t weight)
{
	share->items[*n] = (struct fill_item){ .weight = weight, .step = 1 };
	share->refs[(*n)++] = ref;
}

/* Who divides the level: its workloads, those of levels below without a quota, and the next levels
 * with one. */
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

/* The first kind of share that is not met in full bounds everybody above; the one before it is
 * granted. */
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

	if (n_items == 1) {
		/* A pod's own cgroup: by far the most frequent case. */
		share->items[0].amount = least_of(level->given_mcpu, level->shares[SHARE_MOST]);
	} else {
		items_bound(share, n_items, level->given_mcpu);
		plan_fill(share->items, n_items, level->given_mcpu);
	}
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
		if (p == first || level->above == SHARE_NONE ||
		    share->levels[level->above].sharer == SHARE_NONE) {
			level->given_mcpu = least_of(level->quota_mcpu, level->shares[SHARE_MOST]);
			level->cause = p;
		}
		level_divide(share, p);
	}
}

/* ---- answers ---- */

struct answer {
	uint32_t quota_mcpu, share_mcpu;
	struct parallelism parallelism;
	uint32_t n_most;
	enum limited_by limited_by;
	char *path;
};

/* The regulator's number in place of the planned one. */
static struct answer answer_regulate(struct answer answer, const struct user *user)
{
	answer.n_most = user->n_most;
	if (user->n_advised == answer.parallelism.advised)
		return answer;
	answer.parallelism.advised = user->n_advised;
	answer.limited_by = LIMITED_BY_REGULATOR;
	answer.path = NULL;
	return answer;
}

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

	if (sharer == SHARE_NONE) {
		answer.parallelism.ceil = (user->shares[SHARE_MOST] + 999) / 1000;
		return answer_regulate(answer, user);
	}
	answer.quota_mcpu = share->levels[user->level].tightest_mcpu;
	answer.share_mcpu = least_of(user->share_mcpu, answer.quota_mcpu);
	answer.parallelism.ceil = least_of((user->share_mcpu + 999) / 1000, user->n_cap);
	answer.parallelism.advised = n_floor + user->next;
	/* Where the quota pays for all it could use, that is what limits it; an equal quota is not
	 * named. */
	if (user->share_mcpu < user->shares[SHARE_MOST]) {
		answer.limited_by = LIMITED_BY_QUOTA;
		answer.path = (char *)share->levels[share->levels[sharer].cause].path;
	}
	return answer_regulate(answer, user);
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
	workload->n_most = answer->n_most;
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

/* A level with one workload and nothing below it: a pod's own cgroup, thousands of times. Comes to
 * what the steps of range_share() do. */
static void single_share(struct plan_share *share, const struct snapshot *snapshot, uint32_t p)
{
	struct level *level = &share->levels[p];
	struct user *user = &share->users[level->first_user];
	uint32_t quota = snapshot->limits[level->limit].quota_mcpu;

	level->tightest_mcpu = quota;
	level->quota_mcpu = quota_snap(quota);
	level->sharer = level->cause = p;
	level->weight = user->n_cap;
	for (unsigned i = 0; i < N_SHARES; i++)
		level->shares[i] = least_of(user->shares[i], level->quota_mcpu);
	level->given_mcpu = level->shares[SHARE_MOST];
	user->share_mcpu = level->given_mcpu > 0 ? level->given_mcpu : 1;
	share_single_thread(share, snapshot, level->first_user, quota);
}

/* Everything at and below one level. */
static int range_share(struct plan *plan, const struct snapshot *snapshot, uint32_t first,
		       bool *ret_changed)
{
	struct plan_share *share = plan->share;
	uint32_t end = share->levels[first].end;

	if (end == first + 1 &&
	    share->levels[end].first_user == share->levels[first].first_user + 1 &&
	    snapshot->limits[share->levels[first].limit].quota_mcpu != QUOTA_UNLIMITED_MCPU) {
		single_share(share, snapshot, first);
		return users_answer(share, plan, share->levels[first].first_user,
				    share->levels[end].first_user, ret_changed);
	}
	levels_refresh(share, snapshot, first, end);
	levels_sum(share, first, end);
	levels_divide(share, first, end);
	share_threads(share, snapshot, first, end);
	return users_answer(share, plan, share->levels[first].first_user,
			    share->levels[end].first_user, ret_changed);
}

static int all_share(struct plan *plan, const struct snapshot *snapshot, bool *ret_changed)
{
	struct plan_share *share = plan->share;
	int n_changed = 0;

	for (uint32_t p = 0; p < share->n_levels; p = share->levels[p].end)
		n_changed += range_share(plan, snapshot, p, ret_changed);
	share_unlimited(share, snapshot);
	return n_changed + users_answer(share, plan, share->levels[share->n_levels].first_user,
					share->n_users, ret_changed);
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
	if (top == SHARE_NONE)
		return 0;
	/* What one level does not use goes to its neighbours, so all below the highest quota may
	 * change. */
	for (uint32_t p = share->levels[top].above; p != SHARE_NONE; p = share->levels[p].above)
		if (snapshot->limits[share->levels[p].limit].quota_mcpu != QUOTA_UNLIMITED_MCPU)
			top = p;
	return range_share(plan, snapshot, top, ret_changed);
}
