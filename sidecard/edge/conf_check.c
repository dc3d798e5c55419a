/* What one key alone cannot tell: keys of one workload against each other, names of others,
 * workloads against each other. */
#include "edge/conf_internal.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* ---- users ---- */

/* The largest entry that is asked for: far above any real one. */
#define PASSWD_MAX_BYTES (1u << 20)

/* 0, -ENOENT (no such user), -ENOMEM or what the name service said. */
static int passwd_find(const char *name, uint32_t *ret_uid)
{
	cleanup(freep) char *buffer = NULL;

	for (size_t n = 1024; n <= PASSWD_MAX_BYTES; n *= 4) {
		struct passwd passwd, *found = NULL;
		char *larger = realloc(buffer, n);
		int r;

		if (!larger)
			return -ENOMEM;
		buffer = larger;
		r = getpwnam_r(name, &passwd, buffer, n, &found);
		if (r == ERANGE)
			continue;
		/* getpwnam(3): several errors are used where there is just no such name. */
		if (!found)
			return r == 0 || r == ESRCH || r == EBADF || r == EPERM ? -ENOENT : -r;
		*ret_uid = passwd.pw_uid;
		return 0;
	}
	return -ERANGE;
}

/* Names are asked for once: thousands of workloads have the same few users. */
static int user_find(struct conf_loader *loader, const char *name, uint32_t *ret_uid)
{
	struct conf_user *users;
	int r;

	if (name[0] >= '0' && name[0] <= '9') {
		*ret_uid = (uint32_t)strtoul(name, NULL, 10); /* checked when it was read */
		return 0;
	}
	for (size_t i = 0; i < loader->n_users; i++)
		if (strcmp(loader->users[i].name, name) == 0) {
			*ret_uid = loader->users[i].uid;
			return 0;
		}
	r = passwd_find(name, ret_uid);
	if (r < 0)
		return r;
	users = realloc(loader->users, (loader->n_users + 1) * sizeof(*users));
	if (!users)
		return -ENOMEM;
	loader->users = users;
	users[loader->n_users] = (struct conf_user){ strdup(name), *ret_uid };
	if (!users[loader->n_users].name)
		return -ENOMEM;
	loader->n_users++;
	return 0;
}

static void users_check(struct conf_loader *loader, uint32_t index)
{
	struct match *match = &loader->conf->workloads[index]->match;
	size_t n = match->users.n_items;

	if (n == 0)
		return;
	free(match->uids);
	match->uids = calloc(n, sizeof(*match->uids));
	if (!match->uids) {
		loader->no_memory = true;
		return;
	}
	for (size_t i = 0; i < n; i++) {
		const char *name = match->users.items[i];
		int r = user_find(loader, name, &match->uids[i]);
		struct conf_at at;

		if (r == -ENOMEM)
			loader->no_memory = true;
		if (r == -ENOMEM || r == 0)
			continue;
		conf_mark_find(loader->conf, CONF_WORKLOAD, index, "User", n - 1 - i, &at);
		if (r == -ENOENT)
			conf_fault_add(loader, &at, "there is no user '%s'", name);
		else
			conf_fault_add(loader, &at, "cannot look up user '%s': %s", name,
				       strerror(-r));
	}
}

/* ---- one pool ---- */

/* Two keys of [Regulator] that contradict each other: @lower must not be above @upper. */
static void pair_check(struct conf_loader *loader, uint32_t index, const char *lower,
		       const char *upper, bool is_right)
{
	struct conf_at at;

	if (is_right)
		return;
	conf_mark_find(loader->conf, CONF_POOL, index, lower, 0, &at);
	/* Where the one is the default, the other is what was written. */
	if (at.line == 0)
		conf_mark_find(loader->conf, CONF_POOL, index, upper, 0, &at);
	conf_fault_add(loader, &at, "%s= is above %s=", lower, upper);
}

void conf_check_pool(struct conf_loader *loader, uint32_t index)
{
	const struct regulator *regulator = &loader->conf->pools[index]->regulator;

	pair_check(loader, index, "ColdParallelism", "ColdMost",
		   regulator->cold_least <= regulator->cold_most);
	pair_check(loader, index, "LowerBelow", "RaiseAbove",
		   regulator->lower_permille <= regulator->raise_permille);
	pair_check(loader, index, "ThrottledPeriods", "ThrottledOf",
		   regulator->n_throttled <= regulator->n_periods);
	pair_check(loader, index, "CoolDown", "CoolDownMost",
		   regulator->cool_us <= regulator->cool_most_us);
}

/* ---- one workload ---- */

static bool pool_exists(const struct conf *conf, const char *name)
{
	for (size_t i = 0; i < conf->n_pools; i++)
		if (strcmp(conf->pools[i]->name, name) == 0)
			return true;
	return false;
}

void conf_check_workload(struct conf_loader *loader, uint32_t index)
{
	const struct workload *workload = loader->conf->workloads[index];
	struct conf_at at;

	if (workload->min_pu > workload->max_pu) {
		conf_mark_find(loader->conf, CONF_WORKLOAD, index, "Min", 0, &at);
		/* Where Min= is the default, Max= is what was written. */
		if (at.line == 0)
			conf_mark_find(loader->conf, CONF_WORKLOAD, index, "Max", 0, &at);
		conf_fault_add(loader, &at, "Min=%u is above Max=%u", workload->min_pu,
			       workload->max_pu);
	}
	if (!pool_exists(loader->conf, workload->pool)) {
		conf_mark_find(loader->conf, CONF_WORKLOAD, index, "Pool", 0, &at);
		conf_fault_add(loader, &at, "there is no pool '%s'", workload->pool);
	}
	users_check(loader, index);
}

/* ---- all workloads ---- */

/* A workload without process keys claims whole cgroups: those of its narrowest key. */
struct claim {
	const char *text;
	const struct conf_mark *mark;
};

static const struct strings *claimed(const struct workload *workload, const char **ret_key)
{
	const struct match *match = &workload->match;

	if (workload_matches_processes(workload))
		return NULL;
	if (match->units.n_items > 0) {
		*ret_key = "Unit";
		return &match->units;
	}
	if (match->cgroups.n_items > 0) {
		*ret_key = "Cgroup";
		return &match->cgroups;
	}
	*ret_key = "Slice";
	return match->slices.n_items > 0 ? &match->slices : NULL;
}

static int claim_compare(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;
	int r = strcmp(x->text, y->text);

	if (r != 0)
		return r;
	if (x->mark->key != y->mark->key)
		return x->mark->key < y->mark->key ? -1 : 1;
	return x->mark->object < y->mark->object ? -1 : x->mark->object > y->mark->object;
}

/* Marks of a list stand in the order of its items. */
static size_t claims_collect(const struct conf *conf, struct claim *claims)
{
	const char *key = NULL;
	const struct strings *strings = NULL;
	uint32_t object = UINT32_MAX;
	size_t n = 0, item = 0;

	for (size_t i = 0; i < conf->n_marks; i++) {
		const struct conf_mark *mark = &conf->marks[i];

		if (conf_keys[mark->key].kind != CONF_WORKLOAD)
			continue;
		if (mark->object != object) {
			object = mark->object;
			strings = claimed(conf->workloads[object], &key);
			item = 0;
		}
		if (strings && item < strings->n_items &&
		    strcmp(conf_keys[mark->key].name, key) == 0)
			claims[n++] = (struct claim){ strings->items[item++], mark };
	}
	return n;
}

int conf_check_claims(struct conf_loader *loader)
{
	const struct conf *conf = loader->conf;
	cleanup(freep) struct claim *claims = calloc(conf->n_marks + 1, sizeof(*claims));
	size_t n;

	if (!claims)
		return -ENOMEM;
	n = claims_collect(conf, claims);
	if (n > 0)
		qsort(claims, n, sizeof(*claims), claim_compare);
	for (size_t i = 1; i < n; i++) {
		const struct conf_mark *first = claims[i - 1].mark, *second = claims[i].mark;
		struct conf_at at = conf_mark_at(conf, second), other = conf_mark_at(conf, first);

		if (first->key != second->key || first->object == second->object ||
		    strcmp(claims[i - 1].text, claims[i].text) != 0)
			continue;
		conf_fault_add(loader, &at, "'%s' is claimed by workload '%s' already (%s:%u)",
			       claims[i].text, conf->workloads[first->object]->name, other.file,
			       other.line);
	}
	return 0;
}
