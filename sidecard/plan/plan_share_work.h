/* Sharing of quotas, inside plan/: the tree of limits and the workloads below it, laid out for
 * plan_share.c.
 *
 * The tree is laid out in preorder, so that all below a level is one range [position, end): a
 * change costs what lies below the highest quota above it, and no allocation. */
#pragma once

#include "plan/plan_work.h"

#define SHARE_NONE UINT32_MAX

/* What a workload, or all below a level, must have first, and could use at most: thousandths of a
 * PU, each at least the one before. */
enum { SHARE_CONTROL, SHARE_ONE_EACH, SHARE_MINIMUM, SHARE_MOST, N_SHARES };

struct level {
	uint32_t limit;			    /* index in the snapshot */
	uint32_t above;			    /* SHARE_NONE at the top */
	uint32_t end;			    /* [position, end): it and all below */
	uint32_t first_user;		    /* its own workloads: up to the next level's first */
	uint32_t quota_mcpu, tightest_mcpu; /* own; over all ancestors */
	uint32_t sharer;     /* nearest level at or above it that has a quota; SHARE_NONE */
	uint32_t given_mcpu; /* where it has a quota: its part of the levels above */
	uint32_t cause;	     /* the level whose quota that comes from */
	uint32_t shares[N_SHARES], weight; /* sums of what divides it */
	int64_t n_spare; /* whole PUs of the quota that nobody was advised yet; below 0: too many
			    were */
	const char *path;
};

struct user {
	uint32_t workload;
	uint32_t level; /* SHARE_NONE: below no limit */
	uint32_t n_cap; /* PUs it can use at once */
	uint32_t shares[N_SHARES];
	uint32_t share_mcpu, n_floor;
	uint32_t n_advised, n_most; /* threads; what a regulator may ask for */
	uint32_t next;		    /* list of those that would round up */
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
	uint32_t *position;	 /* n_limits: where a limit is in levels; SHARE_NONE: no workload is
				    below */
	size_t n_limits;
	struct base *bases; /* by workload */
	char *paths;
};

static inline uint32_t least_of(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static inline uint32_t sum_of(uint32_t a, uint32_t b)
{
	return a < UINT32_MAX - b ? a + b : UINT32_MAX;
}

/* The level whose quota the workloads at @level divide; SHARE_NONE. */
static inline uint32_t sharer_of(const struct plan_share *share, uint32_t level)
{
	return level == SHARE_NONE ? SHARE_NONE : share->levels[level].sharer;
}

/* plan_share_tree.c: 0 or -ENOMEM. bases[] is left to the caller. */
int share_new(const struct plan *plan, const struct snapshot *snapshot,
	      struct plan_share **ret_share);

/* plan_share_threads.c: from share_mcpu to n_floor and rounds_up, for the users of levels [@first,
 * @end). */
void share_threads(struct plan_share *share, const struct snapshot *snapshot, uint32_t first,
		   uint32_t end);
/* The same for a user who is alone below its only quota. */
void share_single_thread(struct plan_share *share, const struct snapshot *snapshot, uint32_t user,
			 uint32_t quota_mcpu);
/* The same for those below no limit. */
void share_unlimited(struct plan_share *share, const struct snapshot *snapshot);
