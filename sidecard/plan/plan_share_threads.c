/* From thousandths of a PU to whole threads. */
#include <string.h>

#include "plan/plan_share_work.h"

/* The next level up from @level that has a quota, itself included, as far as [first, ...) goes. */
static uint32_t sharer_from(const struct plan_share *share, uint32_t level, uint32_t first)
{
	uint32_t sharer = sharer_of(share, level);

	return sharer != SHARE_NONE && sharer >= first ? sharer : SHARE_NONE;
}

/* Adds to n_spare of every level above the user. */
static void spare_add(struct plan_share *share, const struct user *user, uint32_t first, int64_t n)
{
	for (uint32_t p = sharer_from(share, user->level, first); p != SHARE_NONE;
	     p = sharer_from(share, share->levels[p].above, first))
		share->levels[p].n_spare += n;
}

/* n_floor of each, and what that leaves of each quota in whole PUs. True where some level is
 * overdrawn: somebody whose own limit is below one PU runs a thread all the same. */
static bool floors_fill(struct plan_share *share, const struct snapshot *snapshot, uint32_t first,
			uint32_t end)
{
	bool overdrawn = false;

	for (uint32_t p = first; p < end; p++)
		share->levels[p].n_spare = quota_floor_pu(
			snapshot->limits[share->levels[p].limit].quota_mcpu);
	for (uint32_t u = share->levels[first].first_user; u < share->levels[end].first_user; u++) {
		struct user *user = &share->users[u];

		user->n_floor = user->n_cap;
		if (sharer_of(share, user->level) == SHARE_NONE)
			continue;
		user->n_floor = user->share_mcpu < 2000
					? 1
					: least_of(user->share_mcpu / 1000, user->n_cap);
		spare_add(share, user, first, -(int64_t)user->n_floor);
	}
	for (uint32_t p = first; p < end; p++)
		overdrawn |= share->levels[p].sharer == p && share->levels[p].n_spare < 0;
	return overdrawn;
}

static bool is_overdrawn(const struct plan_share *share, const struct user *user, uint32_t first)
{
	for (uint32_t p = sharer_from(share, user->level, first); p != SHARE_NONE;
	     p = sharer_from(share, share->levels[p].above, first))
		if (share->levels[p].n_spare < 0)
			return true;
	return false;
}

/* Takes back whole threads, the smallest fractions first, one each and again, until the sums fit or
 * everybody is down to one. */
static void floors_lower(struct plan_share *share, uint32_t first, uint32_t end)
{
	bool lowered = true;

	while (lowered) {
		uint32_t heads[1000];

		lowered = false;
		memset(heads, 0xff, sizeof(heads)); /* SHARE_NONE */
		for (uint32_t u = share->levels[end].first_user;
		     u-- > share->levels[first].first_user;) {
			struct user *user = &share->users[u];

			if (user->n_floor <= 1 || !is_overdrawn(share, user, first))
				continue;
			user->next = heads[user->share_mcpu % 1000];
			heads[user->share_mcpu % 1000] = u;
		}
		for (uint32_t fraction = 0; fraction < 1000; fraction++)
			for (uint32_t u = heads[fraction]; u != SHARE_NONE;
			     u = share->users[u].next) {
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
	for (uint32_t p = sharer_from(share, user->level, first); p != SHARE_NONE;
	     p = sharer_from(share, share->levels[p].above, first))
		if (share->levels[p].n_spare <= 0)
			return false;
	spare_add(share, user, first, -1);
	return true;
}

static bool wants_up(const struct plan_share *share, const struct user *user)
{
	uint32_t fraction = user->share_mcpu % 1000;

	return fraction > 0 && fraction >= user->up_from * 100u && user->share_mcpu > 1000 &&
	       user->share_mcpu / 1000 < user->n_cap && sharer_of(share, user->level) != SHARE_NONE;
}

/* Who rounds up: the largest fractions first; equal ones in the order of the tree. Sets `next` to 1
 * for them, else 0. */
static void users_round(struct plan_share *share, uint32_t first, uint32_t end)
{
	uint32_t first_user = share->levels[first].first_user, heads[1000];
	bool any = false;

	for (uint32_t u = share->levels[end].first_user; u-- > first_user;) {
		struct user *user = &share->users[u];

		user->next = 0;
		if (!wants_up(share, user))
			continue;
		if (!any)
			memset(heads, 0xff, sizeof(heads)); /* SHARE_NONE */
		any = true;
		user->next = heads[user->share_mcpu % 1000];
		heads[user->share_mcpu % 1000] = u;
	}
	for (uint32_t fraction = 1000; any && fraction-- > 1;)
		for (uint32_t u = heads[fraction], next; u != SHARE_NONE; u = next) {
			next = share->users[u].next;
			share->users[u].next = spare_take(share, &share->users[u], first);
		}
}

/* Threads above its PUs that every quota above it pays for in full. */
static uint32_t spare_beyond(const struct plan_share *share, const struct snapshot *snapshot,
			     const struct user *user, uint32_t first)
{
	int64_t n_beyond = UINT32_MAX;

	for (uint32_t p = sharer_from(share, user->level, first); p != SHARE_NONE;
	     p = sharer_from(share, share->levels[p].above, first)) {
		uint32_t quota = snapshot->limits[share->levels[p].limit].quota_mcpu;
		int64_t n = share->levels[p].n_spare -
			    ((int64_t)quota_ceil_pu(quota) - quota_floor_pu(quota));

		n_beyond = n < n_beyond ? n : n_beyond;
	}
	return n_beyond > 0 ? (uint32_t)n_beyond : 0;
}

/* What regulators ask for. Fewer threads than planned leave the quota as it is divided, so that one
 * regulator's step is nobody else's change of limits; more (Overcommit=) come out of what the
 * quotas have left when everybody has his. */
static void users_regulate(struct plan_share *share, const struct snapshot *snapshot,
			   uint32_t first, uint32_t first_user, uint32_t end_user)
{
	for (uint32_t u = first_user; u < end_user; u++) {
		struct user *user = &share->users[u];
		const struct snapshot_workload *workload = &snapshot->workloads[user->workload];
		uint32_t n_planned = user->n_floor + user->next, n_asked = workload->regulated;
		uint64_t n_told = (uint64_t)user->n_cap * workload->conf->overcommit_permille /
				  1000;
		uint32_t n_beyond = 0;

		if (n_planned == user->n_cap && n_told > user->n_cap)
			n_beyond = least_of((uint32_t)(n_told - user->n_cap),
					    spare_beyond(share, snapshot, user, first));
		user->n_most = n_planned + n_beyond;
		user->n_advised = n_asked > 0 ? least_of(n_asked, user->n_most) : n_planned;
		if (user->n_advised > n_planned && sharer_of(share, user->level) != SHARE_NONE)
			spare_add(share, user, first, -(int64_t)(user->n_advised - n_planned));
	}
}

void share_threads(struct plan_share *share, const struct snapshot *snapshot, uint32_t first,
		   uint32_t end)
{
	if (floors_fill(share, snapshot, first, end))
		floors_lower(share, first, end);
	spare_to_ceiling(share, snapshot, first, end);
	users_round(share, first, end);
	users_regulate(share, snapshot, first, share->levels[first].first_user,
		       share->levels[end].first_user);
}

void share_single_thread(struct plan_share *share, const struct snapshot *snapshot, uint32_t u,
			 uint32_t quota_mcpu)
{
	struct user *user = &share->users[u];

	user->n_floor = user->share_mcpu < 2000 ? 1
						: least_of(user->share_mcpu / 1000, user->n_cap);
	user->next = wants_up(share, user) && quota_ceil_pu(quota_mcpu) > user->n_floor;
	share->levels[user->level].n_spare = (int64_t)quota_ceil_pu(quota_mcpu) - user->n_floor -
					     user->next;
	users_regulate(share, snapshot, user->level, u, u + 1);
}

void share_unlimited(struct plan_share *share, const struct snapshot *snapshot)
{
	users_regulate(share, snapshot, 0, share->levels[share->n_levels].first_user,
		       share->n_users);
}
