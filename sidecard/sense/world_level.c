/* One cgroup as a limit: its quota and weight, kept current on descriptors that stay open. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "sense/cgroup_read.h"
#include "sense/world_internal.h"

static void quota_is(struct world *world, struct node *node, uint32_t quota_mcpu)
{
	if (quota_mcpu == node->quota_mcpu)
		return;
	node->quota_mcpu = quota_mcpu;
	if (node->limit == LIMIT_NONE || world->quiet)
		return;
	world->views.limits[node->limit].quota_mcpu = quota_mcpu;
	world->listener.quota_changed(world->listener.userdata, node->limit);
}

/* Opens cpu.max anew, reads it, and keeps the descriptor where there are enough of them: the kernel
 * gives the lowest free number, so a number tells how many are in use. */
static int quota_open(struct world *world, struct node *node, struct quota *ret_quota)
{
	const struct sys *sys = world->sys;
	int fd, r;

	if (node->max_fd >= 0)
		sys->close(sys, node->max_fd);
	node->max_fd = -1;
	fd = sys->open(sys, node->dir_fd, "cpu.max", O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return fd;
	r = cgroup_read_quota(sys, fd, ret_quota);
	if (world->options.keep_below_fd == 0 || fd < world->options.keep_below_fd)
		node->max_fd = fd;
	else
		sys->close(sys, fd);
	return r;
}

void level_read_quota(struct world *world, struct node *node)
{
	struct quota quota;
	int r = -ENOENT;

	if (node->max_fd >= 0)
		r = cgroup_read_quota(world->sys, node->max_fd, &quota);
	else if (node->dir_fd >= 0)
		r = quota_open(world, node, &quota);
	if (r == 0) {
		quota_is(world, node, quota_mcpu(&quota));
		return;
	}
	/* Another file by now (the controller was off in between), or an ordinary file caught
	 * between its truncation and its text: both show on the second look. */
	node->stale |= STALE_QUOTA;
	world_mark(world, DIRTY_NODES);
}

static void quota_refresh(struct world *world, struct node *node)
{
	struct quota quota;
	int r = quota_open(world, node, &quota);

	if (r == 0) {
		quota_is(world, node, quota_mcpu(&quota));
	} else if (r == -ENOENT || r == -ENODEV) {
		/* No such file: the root cgroup, a hybrid host, the controller is off: this level
		 * does not limit. */
		quota_is(world, node, QUOTA_UNLIMITED_MCPU);
	} else {
		world_notice(world,
			     "cannot read cpu.max of cgroup '%s': %s, keeping what was known",
			     node->path,
			     r == -EINVAL ? "not 'QUOTA PERIOD' or 'max PERIOD'" : strerror(-r));
	}
}

static void weight_is(struct world *world, struct node *node, uint32_t weight)
{
	if (weight == node->weight)
		return;
	node->weight = weight;
	if (node->limit == LIMIT_NONE)
		return;
	world->views.limits[node->limit].weight = weight;
	world->changes |= WORLD_WEIGHTS;
}

static void weight_refresh(struct world *world, struct node *node)
{
	uint32_t weight = 100;
	int r = cgroup_read_weight(world->sys, node->dir_fd, &weight);

	if (r == 0 || r == -ENOENT || r == -ENODEV)
		weight_is(world, node, weight);
}

void level_expect(struct world *world, struct node *node, uint32_t quota_mcpu_stated,
		  uint32_t weight)
{
	quota_is(world, node, quota_mcpu_stated);
	weight_is(world, node, weight);
}

void level_refresh(struct world *world, struct node *node)
{
	unsigned stale = node->stale;

	node->stale = 0;
	if (stale & STALE_CHILDREN)
		for (uint32_t i = 0; i < node->n_children; i++) {
			struct node *child = node->children[i];

			child->effective_is_read = false;
			if (child->is_limit && child->dir_fd >= 0)
				quota_refresh(world, child);
			if (child->is_limit && child->dir_fd >= 0)
				weight_refresh(world, child);
		}
	if (!node->is_limit || node->dir_fd < 0)
		return;
	if (stale & STALE_QUOTA)
		quota_refresh(world, node);
	if (stale & STALE_WEIGHT)
		weight_refresh(world, node);
}

void level_open(struct world *world, struct node *node)
{
	node->is_limit = true;
	if (node->dir_fd < 0)
		return;
	quota_refresh(world, node);
	weight_refresh(world, node);
}

void level_close(struct world *world, struct node *node)
{
	node->is_limit = false;
	if (node->max_fd >= 0)
		world->sys->close(world->sys, node->max_fd);
	node->max_fd = -1;
}

const struct cpuset *level_effective(struct world *world, struct node *node)
{
	struct cpuset cpus = { 0 };

	if (!node->effective_is_read && node->dir_fd >= 0) {
		int r = cgroup_read_effective(world->sys, node->dir_fd, &cpus);

		/* What cannot be read for a while (-EMFILE, -ENOMEM) is as it was. */
		if (r == 0 || r == -ENOENT || r == -ENODEV || r == -ENODATA) {
			cpuset_done(&node->effective);
			node->effective = cpuset_take(&cpus);
		} else {
			world_notice(world,
				     "cannot read cpuset.cpus.effective of cgroup '%s': %s,"
				     " keeping what was known",
				     node->path, strerror(-r));
		}
		node->effective_is_read = true;
	}
	return &node->effective;
}
