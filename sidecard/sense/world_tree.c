/* The tree of cgroup directories that matter to somebody. A node is known by its inode: the kept
 * descriptor makes sure that nobody else gets the number while it lives, and kernfs gives a number
 * once (K56). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "sense/world_internal.h"

/* Position of the child @name, or where it would go. */
static uint32_t child_position(const struct node *parent, const char *name, bool *ret_found)
{
	uint32_t low = 0, high = parent->n_children;

	*ret_found = false;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int order = strcmp(parent->children[middle]->name, name);

		if (order == 0) {
			*ret_found = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct node *tree_child(const struct node *parent, const char *name)
{
	bool found;
	uint32_t at = child_position(parent, name, &found);

	return found ? parent->children[at] : NULL;
}

struct node *tree_next_beside(const struct node *node)
{
	for (; node->parent; node = node->parent) {
		bool found;
		uint32_t at = child_position(node->parent, node->name, &found);

		if (at + 1 < node->parent->n_children)
			return node->parent->children[at + 1];
	}
	return NULL;
}

struct node *tree_next(const struct node *node)
{
	return node->n_children > 0 ? node->children[0] : tree_next_beside(node);
}

static void node_free(struct node *node)
{
	cpuset_done(&node->effective);
	free(node->children);
	free(node->path);
	free(node);
}

static struct node *node_alloc(struct node *parent, const char *path)
{
	struct node *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	node->path = strdup(path);
	if (!node->path) {
		free(node);
		return NULL;
	}
	node->name = strrchr(node->path, '/') + 1;
	node->parent = parent;
	node->dir_fd = node->max_fd = -1;
	node->limit = LIMIT_NONE;
	node->quota_mcpu = QUOTA_UNLIMITED_MCPU;
	node->weight = 100;
	node->claim = PLACE_NOBODY;
	return node;
}

static bool child_path(const struct node *parent, const char *name,
		       char path[static CGROUP_PATH_SIZE])
{
	int n = snprintf(path, CGROUP_PATH_SIZE, "%s/%s", parent->parent ? parent->path : "", name);

	return n > 0 && n < CGROUP_PATH_SIZE;
}

static int children_reserve(struct node *parent)
{
	uint32_t n_max = parent->n_children_max ? parent->n_children_max * 2 : 2;
	struct node **bigger;

	if (parent->n_children < parent->n_children_max)
		return 0;
	bigger = realloc(parent->children, n_max * sizeof(struct node *));
	if (!bigger)
		return -ENOMEM;
	parent->children = bigger;
	parent->n_children_max = n_max;
	return 0;
}

/* An expected node; node_realise() makes it a real one. */
static struct node *node_new(struct node *parent, const char *path)
{
	char unit[UNIT_NAME_SIZE];
	struct node *node;
	bool found;
	uint32_t at;

	if (children_reserve(parent) < 0)
		return NULL;
	node = node_alloc(parent, path);
	if (!node)
		return NULL;
	node->is_unit = unit_of_directory(path, unit);
	at = child_position(parent, node->name, &found);
	memmove(parent->children + at + 1, parent->children + at,
		(parent->n_children - at) * sizeof(struct node *));
	parent->children[at] = node;
	parent->n_children++;
	return node;
}

static void node_judge(struct world *world, struct node *node)
{
	struct verdict verdict = index_judge(world, node->path);

	node->claim = verdict.claim;
	node->scan = verdict.scan;
	node->look = verdict.look;
}

/* The directory is open as @fd from now on. The watch comes before anything is read, so that
 * nothing falls between. */
static void node_realise(struct world *world, struct node *node, int fd, uint64_t inode)
{
	int watch = watch_add(&world->watch, fd, node);

	if (watch < 0)
		world_notice(world,
			     "cannot watch every cgroup: %s (fs.inotify.max_user_watches), changes"
			     " in some are seen at the next full look only",
			     strerror(-watch));
	node->watch = watch > 0 ? watch : 0;
	node->dir_fd = fd;
	node->inode = inode;
	node->effective_is_read = false;
	node->is_fresh = true;
	if (node->is_limit)
		level_open(world, node);
	world_mark(world, DIRTY_PLACES);
}

static bool is_gone(int error)
{
	return error == -ENOENT || error == -ENODEV || error == -ENOTDIR || error == -ELOOP;
}

/* 0 with an open directory, a positive value where there is none, -errno where nobody can tell. */
static int directory_open(struct world *world, const struct node *parent, const char *name,
			  int *ret_fd, uint64_t *ret_inode)
{
	const struct sys *sys = world->sys;
	int fd = sys->open(sys, parent->dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW), r;

	if (fd < 0)
		return is_gone(fd) ? 1 : fd;
	r = sys->file_id(sys, fd, ret_inode);
	if (r < 0) {
		sys->close(sys, fd);
		return is_gone(r) ? 1 : r;
	}
	*ret_fd = fd;
	return 0;
}

static bool is_confine_name(const char *name)
{
	return strcmp(name, "system.slice") == 0 || strcmp(name, "user.slice") == 0 ||
	       strcmp(name, "init.scope") == 0;
}

static bool is_wanted(struct world *world, const struct node *parent, const char *name,
		      const char *path)
{
	struct verdict verdict;

	if (parent->confine_scan || (world->confine && !parent->parent && is_confine_name(name)))
		return true;
	verdict = index_judge(world, path);
	return verdict.claim != PLACE_NOBODY || verdict.scan || verdict.look;
}

static int check_children(struct world *world, struct node *node)
{
	int r = 0;

	/* Backwards: a child that is gone leaves the array. */
	for (uint32_t i = node->n_children; r == 0 && i > 0; i--)
		if (i <= node->n_children)
			r = tree_check(world, node, node->children[i - 1]->name);
	return r;
}

static int check(struct world *world, struct node *parent, const char *name, bool forced)
{
	char path[CGROUP_PATH_SIZE];
	struct node *node = tree_child(parent, name);
	uint64_t inode;
	int fd, r;

	if (parent->dir_fd < 0 || !child_path(parent, name, path))
		return 0;
	if (!node && !forced && !is_wanted(world, parent, name, path))
		return 0;
	r = directory_open(world, parent, name, &fd, &inode);
	if (r < 0) {
		world_notice(world, "cannot look into cgroup '%s': %s, ignoring", path,
			     strerror(-r));
		return r == -ENOMEM ? -ENOMEM : 0;
	}
	if (node && node->dir_fd >= 0 && (r > 0 || node->inode != inode)) {
		tree_remove(world, node);
		node = NULL;
	}
	if (r > 0)
		return 0;
	if (node && node->dir_fd >= 0) {
		world->sys->close(world->sys, fd);
		return 0;
	}
	if (!node)
		node = node_new(parent, path);
	if (!node) {
		world->sys->close(world->sys, fd);
		return -ENOMEM;
	}
	node_realise(world, node, fd, inode);
	node_judge(world, node);
	return tree_scan(world, node);
}

int tree_check(struct world *world, struct node *parent, const char *name)
{
	return check(world, parent, name, false);
}

struct name_list {
	char *names; /* each ended by NUL */
	size_t n_bytes, n_bytes_max;
};

static int name_add(void *userdata, const char *name, bool is_directory)
{
	struct name_list *list = userdata;
	size_t n = strlen(name) + 1;

	if (!is_directory)
		return 0;
	if (list->n_bytes + n > list->n_bytes_max) {
		size_t n_max = (list->n_bytes + n) * 2;
		char *bigger = realloc(list->names, n_max);

		if (!bigger)
			return -ENOMEM;
		list->names = bigger;
		list->n_bytes_max = n_max;
	}
	memcpy(list->names + list->n_bytes, name, n);
	list->n_bytes += n;
	return 0;
}

int tree_scan(struct world *world, struct node *node)
{
	struct name_list list = { 0 };
	int r = check_children(world, node);

	if (r < 0 || node->dir_fd < 0)
		return r;
	if (!node->scan && !node->confine_scan && !(world->confine && !node->parent))
		return 0;
	/* Names first, then the look at each: the listing holds a descriptor open, and trees may be
	 * deep. */
	r = world->sys->list(world->sys, node->dir_fd, name_add, &list);
	for (size_t at = 0; r == 0 && at < list.n_bytes; at += strlen(list.names + at) + 1)
		if (!tree_child(node, list.names + at))
			r = check(world, node, list.names + at, false);
	free(list.names);
	if (r < 0 && r != -ENOMEM && !is_gone(r)) {
		world_notice(world, "cannot list cgroup '%s': %s, ignoring", node->path,
			     strerror(-r));
		return 0;
	}
	return r == -ENOMEM ? r : 0;
}

int tree_rescan(struct world *world, struct node *from)
{
	for (struct node *node = from; node; node = tree_next(node))
		node->is_fresh = false;
	for (struct node *node = from; node; node = tree_next(node)) {
		int r;

		if (node->dir_fd < 0 || node->is_fresh)
			continue;
		node_judge(world, node);
		node->effective_is_read = false;
		if (node->watch == 0) {
			int watch = watch_add(&world->watch, node->dir_fd, node);

			node->watch = watch > 0 ? watch : 0;
		}
		if (node->is_limit) {
			node->stale |= STALE_QUOTA | STALE_WEIGHT;
			level_refresh(world, node);
		}
		r = tree_scan(world, node);
		if (r < 0)
			return r;
	}
	return 0;
}

void tree_remove(struct world *world, struct node *node)
{
	struct node *parent = node->parent;

	while (node->n_children > 0)
		tree_remove(world, node->children[node->n_children - 1]);
	if (parent) {
		bool found;
		uint32_t at = child_position(parent, node->name, &found);

		parent->n_children--;
		memmove(parent->children + at, parent->children + at + 1,
			(parent->n_children - at) * sizeof(struct node *));
	}
	level_close(world, node);
	watch_remove(&world->watch, node->watch);
	if (node->dir_fd >= 0)
		world->sys->close(world->sys, node->dir_fd);
	node->watch = 0;
	node->dir_fd = -1;
	procs_forget_node(world, node);
	node->next_dead = world->dead;
	world->dead = node;
	world_mark(world, DIRTY_PLACES);
}

void tree_bury(struct world *world)
{
	while (world->dead) {
		struct node *node = world->dead;

		world->dead = node->next_dead;
		node_free(node);
	}
}

/* Walks down @path; where a component is missing, @forced opens it and @expected invents it. */
static int walk(struct world *world, const char *path, bool forced, bool expected,
		struct node **ret_node)
{
	struct node *node = world->root;

	for (const char *p = path + strspn(path, "/"); node && *p; p += strspn(p, "/")) {
		char name[CGROUP_PATH_SIZE], below[CGROUP_PATH_SIZE];
		size_t n = strcspn(p, "/");
		struct node *child;

		if (n >= sizeof(name))
			return -EINVAL;
		memcpy(name, p, n);
		name[n] = '\0';
		p += n;
		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
		    !child_path(node, name, below))
			return -EINVAL;
		child = tree_child(node, name);
		if ((!child || child->dir_fd < 0) && forced) {
			int r = check(world, node, name, true);

			if (r < 0)
				return r;
			child = tree_child(node, name);
		}
		if (!child && expected) {
			child = node_new(node, below);
			if (!child)
				return -ENOMEM;
			world_mark(world, DIRTY_PLACES);
		}
		if (!child || (child->dir_fd < 0 && !expected))
			break;
		node = child;
	}
	*ret_node = node;
	return 0;
}

int tree_ensure(struct world *world, const char *path, struct node **ret_node)
{
	return walk(world, path, true, false, ret_node);
}

int tree_expect(struct world *world, const char *path, struct node **ret_node)
{
	struct node *node = tree_find(world, path);

	if (node) {
		*ret_node = node;
		return 0;
	}
	return walk(world, path, true, true, ret_node);
}

struct node *tree_find(const struct world *world, const char *path)
{
	struct node *node = world->root;

	for (const char *p = path + strspn(path, "/"); node && *p; p += strspn(p, "/")) {
		char name[CGROUP_PATH_SIZE];
		size_t n = strcspn(p, "/");

		if (n >= sizeof(name))
			return NULL;
		memcpy(name, p, n);
		name[n] = '\0';
		p += n;
		node = tree_child(node, name);
	}
	return node;
}

int tree_open(struct world *world, const char *path, struct fault *fault)
{
	/* The one path from outside: the operator's, or libcgroup's answer. All else is opened
	 * below it. */
	cleanup(close_fdp) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint64_t inode;
	int r;

	if (fd < 0)
		return fault_set(fault, -errno, "cannot open the cgroup hierarchy at '%s': %s",
				 path, strerror(errno));
	r = world->sys->file_id(world->sys, fd, &inode);
	if (r < 0)
		return fault_set(fault, r, "cannot look at the cgroup hierarchy '%s': %s", path,
				 strerror(-r));
	world->root = node_alloc(NULL, "/");
	if (!world->root)
		return fault_set(fault, -ENOMEM, "no memory for the tree of cgroups");
	node_realise(world, world->root, TAKE_FD(fd), inode);
	return 0;
}

void tree_free(struct world *world)
{
	if (world->root)
		tree_remove(world, world->root);
	world->root = NULL;
	tree_bury(world);
}
