/* The only file that knows libcgroup: which hierarchies are mounted where. It runs in the probe:
 * libcgroup keeps a global mount table and reads through paths, so its answers are checked (statfs)
 * and completed here. It lists a v2 mount by its controllers only, so a bare one (hybrid) and the
 * part of the hierarchy that a mount shows are read from mountinfo.
 *
 * Relies on: libcgroup 2.0 or 3.x. 3.x could name the mode itself (cgroup_setup_mode); what is
 * mounted says the same on both. Formats: proc(5) on /proc/self/mountinfo, cgroups(7) on
 * /proc/self/cgroup. */
#include "sense/cgroup_find.h"

#include <errno.h>
#include <fts.h>
#include <libcgroup.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/cleanup.h"

/* What a search for our own cgroup looks at before it gives up. */
#define N_SEARCHED_MAX 65536u

struct mounts {
	char *v2_path;
	char *v2_root; /* which cgroup is mounted there, seen from our cgroup namespace's root */
	bool has_v1;
};

static void mounts_done(struct mounts *mounts)
{
	free(mounts->v2_path);
	free(mounts->v2_root);
}

static void log_nothing(void *userdata, int level, const char *format, va_list args)
{
	(void)userdata;
	(void)level;
	(void)format;
	(void)args;
}

static bool is_cgroup2(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && (unsigned long)fs.f_type == CGROUP2_SUPER_MAGIC;
}

/* libcgroup's view: one entry a controller. Where it fails (none mounted, or /proc/cgroups hidden
 * in a container), mountinfo still tells. */
static int ask_libcgroup(struct mounts *mounts, struct fault *fault)
{
	struct cgroup_mount_point point;
	void *handle = NULL;
	int r;

	cgroup_set_logger(log_nothing, CGROUP_LOG_ERROR, NULL);
	if (cgroup_init() != 0)
		return 0;
	for (r = cgroup_get_controller_begin(&handle, &point); r == 0;
	     r = cgroup_get_controller_next(&handle, &point)) {
		if (!is_cgroup2(point.path)) {
			mounts->has_v1 = true;
		} else if (!mounts->v2_path) {
			mounts->v2_path = strdup(point.path);
			if (!mounts->v2_path)
				break;
		}
	}
	cgroup_get_controller_end(&handle);
	return r == 0 ? fault_set(fault, -ENOMEM, "no memory for what libcgroup found") : 0;
}

/* mountinfo writes blank, tab, newline and backslash as \ooo. */
static void unescape(char *text)
{
	char *out = text;

	for (const char *in = text; *in; out++) {
		if (in[0] == '\\' && in[1] >= '0' && in[1] <= '3' && in[2] >= '0' && in[2] <= '7' &&
		    in[3] >= '0' && in[3] <= '7') {
			*out = (char)((in[1] - '0') << 6 | (in[2] - '0') << 3 | (in[3] - '0'));
			in += 4;
		} else {
			*out = *in++;
		}
	}
	*out = '\0';
}

/* Splits "ID PARENT DEV ROOT POINT OPTIONS [TAG...] - TYPE SOURCE OPTIONS" in place. */
static int split_mount(char *line, char **ret_root, char **ret_point, const char **ret_type)
{
	char *rest = line, *field = NULL;

	for (unsigned i = 0; i < 5; i++) {
		field = strsep(&rest, " ");
		if (!rest)
			return -EINVAL;
		if (i == 3)
			*ret_root = field;
	}
	*ret_point = field;
	while ((field = strsep(&rest, " ")) && strcmp(field, "-") != 0)
		;
	*ret_type = strsep(&rest, " ");
	if (!*ret_type)
		return -EINVAL;
	unescape(*ret_root);
	unescape(*ret_point);
	return 0;
}

/* Takes the mount that libcgroup named; where it named none, the first that is a v2 one to who
 * looks there now. Of several on one point the last hides the others. */
static int take_mount(struct mounts *mounts, const char *root, const char *point)
{
	char *copy;

	if (!is_cgroup2(point) || (mounts->v2_path && strcmp(mounts->v2_path, point) != 0))
		return 0;
	if (!mounts->v2_path)
		mounts->v2_path = strdup(point);
	copy = strdup(root);
	if (!mounts->v2_path || !copy) {
		free(copy);
		return -ENOMEM;
	}
	free(mounts->v2_root);
	mounts->v2_root = copy;
	return 0;
}

static int read_mountinfo(struct mounts *mounts, struct fault *fault)
{
	cleanup(fclosep) FILE *file = fopen("/proc/self/mountinfo", "re");
	cleanup(freep) char *line = NULL;
	size_t n_line = 0;

	if (!file)
		return fault_set(fault, -errno, "cannot open /proc/self/mountinfo: %s",
				 strerror(errno));
	while (getline(&line, &n_line, file) > 0) {
		char *root = NULL, *point = NULL;
		const char *type;

		line[strcspn(line, "\n")] = '\0';
		if (split_mount(line, &root, &point, &type) < 0)
			return fault_set(fault, -EINVAL, "/proc/self/mountinfo has line '%.200s'",
					 line);
		if (strcmp(type, "cgroup") == 0)
			mounts->has_v1 = true;
		if (strcmp(type, "cgroup2") == 0 && take_mount(mounts, root, point) < 0)
			return fault_set(fault, -ENOMEM, "no memory for cgroup mounts");
	}
	if (mounts->v2_path && !mounts->v2_root)
		return fault_set(fault, -ENOENT,
				 "libcgroup found cgroup v2 at '%s', mountinfo did not",
				 mounts->v2_path);
	if (mounts->v2_path && strchr(mounts->v2_path, '\n'))
		return fault_set(fault, -EINVAL,
				 "cgroup v2 is mounted at '%s', which no line can hold",
				 mounts->v2_path);
	return 0;
}

/* The v2 line of /proc/self/cgroup: "0::PATH", seen from our cgroup namespace's root. */
static int read_own(char **ret_own, struct fault *fault)
{
	cleanup(fclosep) FILE *file = fopen("/proc/self/cgroup", "re");
	cleanup(freep) char *line = NULL;
	size_t n_line = 0;

	if (!file)
		return fault_set(fault, -errno, "cannot open /proc/self/cgroup: %s",
				 strerror(errno));
	while (getline(&line, &n_line, file) > 0) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "0::/", 4) != 0)
			continue;
		*ret_own = strdup(line + 3);
		return *ret_own ? 0 : fault_set(fault, -ENOMEM, "no memory for our own cgroup");
	}
	return fault_set(fault, -ENOENT, "/proc/self/cgroup has no line for cgroup v2");
}

static bool holds_us(const char *directory)
{
	cleanup(freep) char *path = NULL, *line = NULL;
	cleanup(fclosep) FILE *file = NULL;
	size_t n_line = 0;
	long own = getpid();

	if (asprintf(&path, "%s/cgroup.procs", directory) < 0)
		return false;
	file = fopen(path, "re");
	if (!file)
		return false;
	while (getline(&line, &n_line, file) > 0)
		if (strtol(line, NULL, 10) == own)
			return true;
	return false;
}

/* Used where the mount shows a part of the hierarchy that does not begin at or above our
 * namespace's root: no path tells where we are in it, our process number does. */
static int search_own(const struct mounts *mounts, char **ret_own, struct fault *fault)
{
	char *const roots[] = { mounts->v2_path, NULL };
	FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
	size_t n_path = strlen(mounts->v2_path);
	char *own = NULL;
	FTSENT *entry;

	if (!tree)
		return fault_set(fault, -errno, "cannot search cgroups below '%s': %s",
				 mounts->v2_path, strerror(errno));
	for (unsigned n = 0; n < N_SEARCHED_MAX && !own && (entry = fts_read(tree));) {
		if (entry->fts_info != FTS_D)
			continue;
		n++;
		if (holds_us(entry->fts_path))
			own = strdup(entry->fts_path[n_path] ? entry->fts_path + n_path : "/");
	}
	fts_close(tree);
	if (!own)
		return fault_set(fault, -ENOENT,
				 "cgroup v2 at '%s' shows '%s', which does not hold our own cgroup",
				 mounts->v2_path, mounts->v2_root);
	*ret_own = own;
	return 0;
}

/* True where @path goes up from our namespace's root. */
static bool is_outside(const char *path)
{
	return strcmp(path, "/..") == 0 || strncmp(path, "/../", 4) == 0;
}

/* Our own cgroup below the mount: both are known as seen from our namespace's root. */
static int find_own(const struct mounts *mounts, char **ret_own, struct fault *fault)
{
	cleanup(freep) char *own = NULL;
	const char *root = mounts->v2_root, *below;
	int r = read_own(&own, fault);

	if (r < 0)
		return r;
	below = own;
	if (strcmp(root, "/") != 0) {
		size_t n_root = strlen(root);

		if (strncmp(own, root, n_root) != 0 || (own[n_root] && own[n_root] != '/'))
			return search_own(mounts, ret_own, fault);
		below = own[n_root] ? own + n_root : "/";
	}
	if (is_outside(below) || is_outside(root))
		return search_own(mounts, ret_own, fault);
	*ret_own = strdup(below);
	return *ret_own ? 0 : fault_set(fault, -ENOMEM, "no memory for our own cgroup's path");
}

static int read_controllers(struct cgroup_mount *mount, struct fault *fault)
{
	cleanup(freep) char *path = NULL, *line = NULL;
	cleanup(fclosep) FILE *file = NULL;
	char *rest, *name;
	size_t n_line = 0;

	if (asprintf(&path, "%s/cgroup.controllers", mount->path) < 0)
		return fault_set(fault, -ENOMEM, "no memory for the controllers of '%s'",
				 mount->path);
	file = fopen(path, "re");
	if (!file)
		return fault_set(fault, -errno, "cannot open '%s': %s", path, strerror(errno));
	if (getline(&line, &n_line, file) < 0)
		return 0; /* empty: v1 has them all */
	for (rest = line; (name = strsep(&rest, " \n"));) {
		mount->has_cpu = mount->has_cpu || strcmp(name, "cpu") == 0;
		mount->has_cpuset = mount->has_cpuset || strcmp(name, "cpuset") == 0;
		mount->has_memory = mount->has_memory || strcmp(name, "memory") == 0;
	}
	return 0;
}

/* cgroup.events exists in every cgroup but the host's root (cgroup-v2.rst, "Core Interface Files").
 */
static int root_is_namespaced(const char *path, bool *ret_namespaced)
{
	cleanup(freep) char *events = NULL;

	if (asprintf(&events, "%s/cgroup.events", path) < 0)
		return -ENOMEM;
	*ret_namespaced = access(events, F_OK) == 0;
	return 0;
}

int cgroup_find(struct cgroup_mount *ret_mount, struct fault *fault)
{
	cleanup(cgroup_mount_done) struct cgroup_mount mount = { 0 };
	cleanup(mounts_done) struct mounts mounts = { 0 };
	int r = ask_libcgroup(&mounts, fault);

	if (r == 0)
		r = read_mountinfo(&mounts, fault);
	if (r < 0)
		return r;
	if (mounts.v2_path) {
		mount.mode = mounts.has_v1 ? CGROUP_HYBRID : CGROUP_UNIFIED;
		mount.path = strdup(mounts.v2_path);
		if (!mount.path || root_is_namespaced(mount.path, &mount.namespaced) < 0)
			return fault_set(fault, -ENOMEM, "no memory for the cgroup root");
		r = find_own(&mounts, &mount.own, fault);
		if (r == 0)
			r = read_controllers(&mount, fault);
		if (r < 0)
			return r;
	} else if (mounts.has_v1) {
		mount.mode = CGROUP_LEGACY;
	}
	*ret_mount = mount;
	mount = (struct cgroup_mount){ 0 };
	return 0;
}
