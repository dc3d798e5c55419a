/* The search path: which files there are, which one counts, and reading one safely. A configuration
 * file is a regular file of at most 64 KiB; in the system's own search path it and its directory
 * belong to root (or to us) and nobody else can write them. In a directory given by name links are
 * followed: a volume that an orchestrator mounts consists of links. */
#include "edge/conf_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"

/* ---- directories ---- */

void conf_dirs_done(struct conf_dirs *dirs)
{
	for (size_t i = 0; i < CONF_N_ROOTS; i++) {
		/* Where there is no path the descriptor was never set. */
		if (dirs->items[i].path && dirs->items[i].fd >= 0)
			close(dirs->items[i].fd);
		free(dirs->items[i].path);
	}
	*dirs = (struct conf_dirs){ 0 };
}

/* True where only root or we ourselves can have written it. */
static bool is_trusted(struct conf_loader *loader, const struct stat *st, const char *path)
{
	const struct conf_at at = { path, 0, NULL, NULL };

	if (!loader->strict)
		return true;
	if (st->st_uid != 0 && st->st_uid != geteuid()) {
		conf_fault_add(loader, &at, "belongs to user %u, expected root", st->st_uid);
		return false;
	}
	if (st->st_mode & (S_IWGRP | S_IWOTH)) {
		conf_fault_add(loader, &at, "can be written by others (mode %04o)",
			       (unsigned)st->st_mode & 07777);
		return false;
	}
	return true;
}

/* Fills @dir; an absent or unusable directory has no descriptor. 0 or -ENOMEM. */
static int dir_open(struct conf_loader *loader, int parent_fd, const char *name, char *path,
		    struct conf_dir *dir)
{
	const struct conf_at at = { path, 0, NULL, NULL };
	int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | (loader->strict ? O_NOFOLLOW : 0);
	struct stat st;

	dir->path = path;
	dir->fd = -1;
	if (!path)
		return -ENOMEM;
	dir->fd = openat(parent_fd, name, flags);
	if (dir->fd < 0) {
		if (errno != ENOENT)
			conf_fault_add(loader, &at, "cannot open the directory: %s",
				       strerror(errno));
		return 0;
	}
	if (fstat(dir->fd, &st) < 0 || !is_trusted(loader, &st, path)) {
		close(dir->fd);
		dir->fd = -1;
	}
	return 0;
}

int conf_roots_open(struct conf_loader *loader, const char *const *paths, size_t n_paths,
		    bool must_exist)
{
	for (size_t i = 0; i < n_paths && i < CONF_N_ROOTS; i++) {
		struct conf_dir *dir = &loader->roots.items[i];
		const struct conf_at at = { paths[i], 0, NULL, NULL };
		size_t n_before = loader->n_faults;
		int r = dir_open(loader, AT_FDCWD, paths[i], strdup(paths[i]), dir);

		if (r < 0)
			return r;
		if (dir->fd < 0 && must_exist && loader->n_faults == n_before)
			conf_fault_add(loader, &at, "no such directory");
	}
	return 0;
}

int conf_dirs_open(struct conf_loader *loader, const struct conf_dirs *parents, const char *name,
		   struct conf_dirs *ret_dirs)
{
	cleanup(conf_dirs_done) struct conf_dirs dirs = { 0 };

	for (size_t i = 0; i < CONF_N_ROOTS; i++) {
		const struct conf_dir *parent = &parents->items[i];
		char *path;

		if (!parent->path || parent->fd < 0)
			continue;
		if (asprintf(&path, "%s/%s", parent->path, name) < 0)
			return -ENOMEM;
		if (dir_open(loader, parent->fd, name, path, &dirs.items[i]) < 0)
			return -ENOMEM;
	}
	*ret_dirs = dirs;
	dirs = (struct conf_dirs){ 0 };
	return 0;
}

/* ---- listing ---- */

void conf_listing_done(struct conf_listing *listing)
{
	free(listing->names);
	free(listing->entries);
	*listing = (struct conf_listing){ 0 };
}

static int listing_add(struct conf_listing *listing, const char *name, size_t n_name, uint8_t dir,
		       bool is_directory)
{
	if (listing->n_names + n_name + 1 > listing->n_names_room) {
		size_t n_room = 2 * (listing->n_names_room + n_name + 1) + 1024;
		char *names = realloc(listing->names, n_room);

		if (!names)
			return -ENOMEM;
		listing->names = names;
		listing->n_names_room = n_room;
	}
	if (listing->n_entries == listing->n_entries_room) {
		size_t n_room = 2 * listing->n_entries_room + 16;
		struct conf_entry *entries = realloc(listing->entries, n_room * sizeof(*entries));

		if (!entries)
			return -ENOMEM;
		listing->entries = entries;
		listing->n_entries_room = n_room;
	}
	listing->entries[listing->n_entries++] = (struct conf_entry){ listing->n_names, dir,
								      is_directory };
	memcpy(listing->names + listing->n_names, name, n_name);
	listing->n_names += n_name;
	listing->names[listing->n_names++] = '\0';
	return 0;
}

static bool has_suffix(const char *name, const char *suffix, size_t *ret_n_stem)
{
	size_t n = strlen(name), n_suffix = strlen(suffix);

	if (n < n_suffix || strcmp(name + n - n_suffix, suffix) != 0)
		return false;
	*ret_n_stem = n - n_suffix;
	return true;
}

static int list_one(struct conf_loader *loader, const struct conf_dir *dir, uint8_t number,
		    struct conf_listing *listing)
{
	const struct conf_at at = { dir->path, 0, NULL, NULL };
	/* A descriptor of its own: closedir() closes it, and its position is its own. */
	int fd = openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup(closedirp) DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;

	if (!stream) {
		conf_fault_add(loader, &at, "cannot list: %s", strerror(errno));
		if (fd >= 0)
			close(fd);
		return 0;
	}
	while ((entry = readdir(stream))) {
		size_t n_stem = 0;
		int r = 0;

		/* Editors, package managers and mounted volumes hide what is not to be read. */
		if (entry->d_name[0] == '.')
			continue;
		if (listing->n_entries >= CONF_OBJECTS_MAX) {
			conf_fault_add(loader, &at, "more than %u files", CONF_OBJECTS_MAX);
			return 0;
		}
		if (has_suffix(entry->d_name, ".conf", &n_stem))
			r = listing_add(listing, entry->d_name, n_stem, number, false);
		else if (has_suffix(entry->d_name, ".conf.d", &n_stem))
			r = listing_add(listing, entry->d_name, n_stem, number, true);
		if (r < 0)
			return r;
	}
	return 0;
}

static int entry_compare(const void *a, const void *b, void *names)
{
	const struct conf_entry *x = a, *y = b;
	int r = strcmp((char *)names + x->name, (char *)names + y->name);

	if (r != 0)
		return r;
	if (x->is_directory != y->is_directory)
		return x->is_directory ? 1 : -1;
	return x->dir < y->dir ? -1 : x->dir > y->dir;
}

int conf_list(struct conf_loader *loader, const struct conf_dirs *dirs,
	      struct conf_listing *ret_listing)
{
	cleanup(conf_listing_done) struct conf_listing listing = { 0 };

	for (uint8_t i = 0; i < CONF_N_ROOTS; i++) {
		const struct conf_dir *dir = &dirs->items[i];
		int r = dir->path && dir->fd >= 0 ? list_one(loader, dir, i, &listing) : 0;

		if (r < 0)
			return r;
	}
	if (listing.n_entries > 0)
		qsort_r(listing.entries, listing.n_entries, sizeof(*listing.entries), entry_compare,
			listing.names);
	*ret_listing = listing;
	listing = (struct conf_listing){ 0 };
	return 0;
}

/* ---- one file ---- */

static bool is_dev_null(const struct stat *st)
{
	/* Documentation/admin-guide/devices.txt: character device 1:3. */
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3);
}

static const char *type_name(mode_t mode)
{
	if (S_ISDIR(mode))
		return "a directory";
	if (S_ISFIFO(mode))
		return "a FIFO";
	if (S_ISSOCK(mode))
		return "a socket";
	return "a device";
}

/* Opens without waiting for the other end of a FIFO. */
static int file_open(struct conf_loader *loader, int dirfd, const char *name, const char *path,
		     enum conf_file_state *ret_state)
{
	const struct conf_at at = { path, 0, NULL, NULL };
	int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY |
		    (loader->strict ? O_NOFOLLOW : 0);
	int fd = openat(dirfd, name, flags);
	char target[16];
	ssize_t n;

	if (fd >= 0)
		return fd;
	*ret_state = CONF_FILE_ABSENT;
	if (errno == ENOENT)
		return -1;
	if (errno == ELOOP && loader->strict) {
		n = readlinkat(dirfd, name, target, sizeof(target));
		if (n == 9 && memcmp(target, "/dev/null", 9) == 0) {
			*ret_state = CONF_FILE_MASKED;
			return -1;
		}
		errno = ELOOP;
	}
	*ret_state = CONF_FILE_BAD;
	if (errno == ELOOP && loader->strict)
		conf_fault_add(
			loader, &at,
			"is a symbolic link, expected a regular file or a link to /dev/null");
	else
		conf_fault_add(loader, &at, "cannot open: %s", strerror(errno));
	return -1;
}

/* Reads until the end, or one byte more than is allowed. -errno or the length. */
static ssize_t read_all(int fd, char *buffer, size_t buffer_size)
{
	size_t used = 0;

	while (used < buffer_size) {
		ssize_t n = read(fd, buffer + used, buffer_size - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		used += (size_t)n;
	}
	return (ssize_t)used;
}

enum conf_file_state conf_file_read(struct conf_loader *loader, const struct conf_dir *dir,
				    const char *name, const char *path, size_t *ret_n_text)
{
	const struct conf_at at = { path, 0, NULL, NULL };
	enum conf_file_state state = CONF_FILE_BAD;
	cleanup(close_fdp) int fd = file_open(loader, dir->fd, name, path, &state);
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return state;
	if (fstat(fd, &st) < 0) {
		conf_fault_add(loader, &at, "cannot examine: %s", strerror(errno));
		return CONF_FILE_BAD;
	}
	if (is_dev_null(&st))
		return CONF_FILE_MASKED;
	if (!S_ISREG(st.st_mode)) {
		conf_fault_add(loader, &at, "is %s, expected a regular file",
			       type_name(st.st_mode));
		return CONF_FILE_BAD;
	}
	if (!is_trusted(loader, &st, path))
		return CONF_FILE_BAD;
	n = read_all(fd, loader->buffer, CONF_FILE_MAX_BYTES + 1);
	if (n < 0) {
		conf_fault_add(loader, &at, "cannot read: %s", strerror((int)-n));
		return CONF_FILE_BAD;
	}
	if (n > (ssize_t)CONF_FILE_MAX_BYTES) {
		conf_fault_add(loader, &at, "more than %u bytes", CONF_FILE_MAX_BYTES);
		return CONF_FILE_BAD;
	}
	*ret_n_text = (size_t)n;
	return n == 0 ? CONF_FILE_MASKED : CONF_FILE_READ;
}
