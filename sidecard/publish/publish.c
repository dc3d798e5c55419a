/* One plan, four ways to read it: the order of the ways, what changed since the last time, what is
 * owed because it failed, and the directories that the files live in. The ways know nothing of each
 * other. */
#include "publish/publish.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"

/* Owner alone may open it: a lock on the directory itself could be taken by anybody who can read
 * it. */
#define LOCK_FILE ".lock"

enum owed { OWED_PAGE = 1 << 0, OWED_ENV = 1 << 1, OWED_ALL = OWED_PAGE | OWED_ENV };

struct publish {
	int dirfd, env_dirfd, conf_dirfd, lock_fd;
	struct pages *pages;
	struct sockets *sockets;
	struct bus *bus;
	struct publish_handler handler;
	const struct sys *sys;
	const struct publish_view *view; /* NULL before the first update */

	/* By workload of the latest view that could be followed: */
	struct strings names; /* sorted; before the first update: what an earlier life left */
	unsigned char
		*owed; /* bits of enum owed: to be written now, or what could not be; NULL before */
	uint32_t *todo; /* the workloads with a bit in owed, each once */
	size_t n_todo;
	bool is_behind; /* the latest view could not be followed, so no promise about it helps */
};

static void strings_donep(struct strings *strings)
{
	strings_done(strings);
}

/* ---- opening ---- */

/* Ours alone to write, readable by all where @mode says so. @shown: for fault texts. */
static int directory_check(int fd, const char *shown, struct fault *fault)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return fault_set(fault, -errno, "directory '%s': %s", shown, strerror(errno));
	if (status.st_uid != geteuid())
		return fault_set(fault, -EPERM,
				 "directory '%s' is owned by user %u, expected user %u: name a "
				 "directory below it, "
				 "to be made by sidecard",
				 shown, status.st_uid, geteuid());
	if (status.st_mode & 022)
		return fault_set(fault, -EPERM,
				 "directory '%s' may be written by others (mode %04o), expected "
				 "0755: name a "
				 "directory below it, to be made by sidecard",
				 shown, status.st_mode & 07777);
	return 0;
}

static int directory_open(int parent, const char *path, int *ret_fd, struct fault *fault)
{
	cleanup(close_fdp) int fd = -1;
	bool made = mkdirat(parent, path, 0755) == 0;
	int r;

	if (!made && errno != EEXIST)
		return fault_set(fault, -errno, "directory '%s' cannot be made: %s", path,
				 strerror(errno));
	fd = openat(parent, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return fault_set(fault, -errno, "'%s' cannot be opened as a directory: %s", path,
				 strerror(errno));
	r = directory_check(fd, path, fault);
	if (r < 0)
		return r;
	/* Not left to the umask, nor to a life that ended after mkdir. The mode of a runtime
	 * directory that was there is its owner's choice. */
	if ((made || parent != AT_FDCWD) && fchmod(fd, 0755) < 0)
		return fault_set(fault, -errno, "directory '%s' cannot be opened to readers: %s",
				 path, strerror(errno));
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* Two writers would tear each other's pages. The kernel drops the lock with its holder, however
 * that ends. */
static int lock_open(int dirfd, const char *runtime_dir, int *ret_fd, struct fault *fault)
{
	cleanup(close_fdp) int fd = openat(
		dirfd, LOCK_FILE, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);

	if (fd < 0)
		return fault_set(fault, -errno, "'%s/" LOCK_FILE "' cannot be opened: %s",
				 runtime_dir, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			return fault_set(fault, -EBUSY, "another sidecard publishes in '%s'",
					 runtime_dir);
		return fault_set(fault, -errno, "'%s/" LOCK_FILE "' cannot be locked: %s",
				 runtime_dir, strerror(errno));
	}
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* Adds the workloads that regular files NAME@suffix in @dirfd speak of. */
static int names_list(int dirfd, const char *suffix, struct strings *names)
{
	cleanup(closedirp) DIR *dir = NULL;
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;
	int r = 0;

	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	while (r == 0 && (entry = readdir(dir))) {
		size_t n = strlen(entry->d_name), n_suffix = strlen(suffix);
		struct stat status;

		if (n <= n_suffix || strcmp(entry->d_name + n - n_suffix, suffix) != 0 ||
		    fstatat(dirfd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(status.st_mode))
			continue;
		entry->d_name[n - n_suffix] = '\0';
		if (name_is_valid(entry->d_name))
			r = strings_add(names, entry->d_name);
	}
	return r;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* What an earlier life left, sorted; a name that has a page, an env file and a fragment is there
 * once. */
static int names_found(struct publish *publish)
{
	cleanup(close_fdp) int live_dirfd = openat(publish->dirfd, "live",
						   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct strings *names = &publish->names;
	size_t n_kept = 0;
	int r;

	if (live_dirfd < 0)
		return -errno;
	r = names_list(live_dirfd, "", names);
	if (r == 0)
		r = names_list(publish->env_dirfd, ".env", names);
	if (r == 0)
		r = names_list(publish->conf_dirfd, FRAGMENT_SUFFIX, names);
	if (r < 0)
		return r;
	if (names->n_items > 0)
		qsort(names->items, names->n_items, sizeof(*names->items), compare_names);
	for (size_t i = 0; i < names->n_items; i++) {
		if (n_kept > 0 && strcmp(names->items[n_kept - 1], names->items[i]) == 0)
			free(names->items[i]);
		else
			names->items[n_kept++] = names->items[i];
	}
	names->n_items = n_kept;
	return 0;
}

static int files_open(struct publish *publish, const char *runtime_dir, struct fault *fault)
{
	cleanup(close_fdp) int live_dirfd = -1;
	int r;

	r = directory_open(AT_FDCWD, runtime_dir, &publish->dirfd, fault);
	if (r == 0)
		r = directory_open(publish->dirfd, "env", &publish->env_dirfd, fault);
	if (r == 0)
		r = directory_open(publish->dirfd, "conf", &publish->conf_dirfd, fault);
	if (r == 0)
		r = directory_open(publish->dirfd, "live", &live_dirfd, fault);
	if (r == 0)
		r = lock_open(publish->dirfd, runtime_dir, &publish->lock_fd, fault);
	if (r == 0)
		r = pages_open(publish->dirfd, &publish->pages, fault);
	if (r < 0)
		return r;
	file_sweep(publish->dirfd);
	file_sweep(publish->env_dirfd);
	file_sweep(publish->conf_dirfd);
	r = names_found(publish);
	if (r < 0)
		return fault_set(fault, r, "'%s' cannot be listed: %s", runtime_dir, strerror(-r));
	return 0;
}

int publish_open(const struct publish_options *options, const struct publish_handler *handler,
		 struct publish **ret_publish, struct fault *fault)
{
	cleanup(publish_freep) struct publish *publish = calloc(1, sizeof(*publish));
	int r;

	if (!publish)
		return fault_set(fault, -ENOMEM, "publication: no memory");
	publish->dirfd = publish->env_dirfd = publish->conf_dirfd = publish->lock_fd = -1;
	if (fault)
		*fault = (struct fault){ 0 };
	r = files_open(publish, options->runtime_dir, fault);
	if (r < 0)
		return r;
	if (options->event)
		sockets_open(options, handler, publish->dirfd, &publish->view, &publish->sockets,
			     fault);
	publish->handler = *handler;
	publish->sys = options->sys;
	if (options->bus)
		publish_set_bus(publish, options->bus, fault);
	*ret_publish = TAKE_PTR(publish);
	return 0;
}

int publish_set_bus(struct publish *publish, sd_bus *bus, struct fault *fault)
{
	int r;

	if (publish->bus)
		publish->bus = bus_free(publish->bus);
	if (!bus)
		return 0;
	r = bus_open(bus, &publish->handler, &publish->view, &publish->bus, fault);
	if (r == 0)
		bus_set_sys(publish->bus, publish->sys);
	return r;
}

void publish_reload_finished(struct publish *publish, int result, const struct fault_list *faults)
{
	if (publish->sockets)
		sockets_reload_finished(publish->sockets, result, faults);
	if (publish->bus)
		bus_reload_finished(publish->bus, result, faults);
}

static bool is_ready(const void *userdata, size_t i)
{
	const struct publish *publish = userdata;

	return !publish->owed || !(publish->owed[i] & OWED_ENV);
}

void publish_registered(struct publish *publish)
{
	if (publish->sockets)
		sockets_registered(publish->sockets, is_ready, publish);
}

int publish_bus_state(const struct publish *publish)
{
	return publish->bus ? bus_state(publish->bus) : -ENOTCONN;
}

struct publish *publish_free(struct publish *publish)
{
	if (!publish)
		return NULL;
	if (publish->bus)
		bus_free(publish->bus);
	if (publish->sockets)
		sockets_free(publish->sockets);
	pages_free(publish->pages);
	strings_done(&publish->names);
	free(publish->owed);
	free(publish->todo);
	close_fdp(&publish->env_dirfd);
	close_fdp(&publish->conf_dirfd);
	close_fdp(&publish->dirfd);
	close_fdp(&publish->lock_fd);
	free(publish);
	return NULL;
}

void publish_freep(struct publish **publish)
{
	publish_free(*publish);
}

uint64_t publish_found_generation(const struct publish *publish)
{
	return pages_found_generation(publish->pages);
}

/* ---- what is to be done ---- */

static const char *view_name(const struct publish_view *view, size_t i)
{
	return view->plan->workloads[i].conf->name;
}

static int remove_workload(struct publish *publish, const char *name, struct fault *fault)
{
	int r = pages_remove(publish->pages, name), q;

	if (r < 0)
		fault_set(fault, r, "'live/%s' cannot be removed: %s", name, strerror(-r));
	q = env_remove(publish->env_dirfd, name);
	if (q < 0)
		r = fault_set(fault, q, "'env/%s.env' cannot be removed: %s", name, strerror(-q));
	q = fragment_remove(publish->conf_dirfd, name);
	if (q < 0)
		r = fault_set(fault, q, "'conf/%s" FRAGMENT_SUFFIX "' cannot be removed: %s", name,
			      strerror(-q));
	return r;
}

static bool names_are_those(const struct publish *publish, const struct publish_view *view)
{
	if (publish->names.n_items != view->plan->n_workloads)
		return false;
	for (size_t i = 0; i < publish->names.n_items; i++)
		if (strcmp(publish->names.items[i], view_name(view, i)) != 0)
			return false;
	return true;
}

static int names_copy(const struct publish_view *view, struct strings *ret_names)
{
	cleanup(strings_donep) struct strings names = { 0 };

	for (size_t i = 0; i < view->plan->n_workloads; i++) {
		int r = strings_add(&names, view_name(view, i));

		if (r < 0)
			return r;
	}
	*ret_names = names;
	names = (struct strings){ 0 };
	return 0;
}

static void todo_collect(struct publish *publish, size_t n_workloads)
{
	publish->n_todo = 0;
	for (size_t i = 0; i < n_workloads; i++)
		if (publish->owed[i])
			publish->todo[publish->n_todo++] = (uint32_t)i;
}

/* The view has other workloads than before: those that went are removed, those that came are owed
 * everything. Both lists are sorted. */
static int names_follow(struct publish *publish, const struct publish_view *view,
			struct fault *fault)
{
	size_t n = view->plan->n_workloads, k = 0;
	cleanup(strings_donep) struct strings names = { 0 };
	cleanup(freep) unsigned char *owed = calloc(n + 1, sizeof(*owed));
	cleanup(freep) uint32_t *todo = calloc(n + 1, sizeof(*todo));
	struct strings old;
	int r = 0, q;

	if (!owed || !todo || names_copy(view, &names) < 0)
		return fault_set(fault, -ENOMEM,
				 "publication: no memory for a new list of workloads");
	for (size_t i = 0; i <= n; i++) {
		int order = 1;

		while (k < publish->names.n_items &&
		       (i == n || (order = strcmp(publish->names.items[k], names.items[i])) < 0)) {
			q = remove_workload(publish, publish->names.items[k++], fault);
			r = q < 0 ? q : r;
		}
		if (i == n)
			break;
		owed[i] = order == 0 && publish->owed ? publish->owed[k] : OWED_ALL;
		k += order == 0 && k < publish->names.n_items;
	}
	old = publish->names;
	publish->names = names;
	names = old;
	free(publish->owed);
	free(publish->todo);
	publish->owed = TAKE_PTR(owed);
	publish->todo = TAKE_PTR(todo);
	publish->is_behind = false;
	todo_collect(publish, n);
	return r;
}

static void todo_add_changed(struct publish *publish, const bool *changed, size_t n_workloads)
{
	const bool *at = changed, *end = changed + n_workloads;

	/* One change among thousands is the usual case, and memchr() skips the rest a vector at a
	 * time. */
	while (at < end && (at = memchr(at, true, (size_t)(end - at)))) {
		size_t i = (size_t)(at++ - changed);

		if (!publish->owed[i])
			publish->todo[publish->n_todo++] = (uint32_t)i;
		publish->owed[i] = OWED_ALL;
	}
}

static void todo_drop_done(struct publish *publish)
{
	size_t n_kept = 0;

	for (size_t k = 0; k < publish->n_todo; k++)
		if (publish->owed[publish->todo[k]])
			publish->todo[n_kept++] = publish->todo[k];
	publish->n_todo = n_kept;
}

/* ---- doing it ---- */

static uint64_t generation_of(const struct publish_view *view, const bool *changed, size_t i)
{
	return changed[i] || !view->generations ? view->generation : view->generations[i];
}

static int write_pages(struct publish *publish, const struct publish_view *view,
		       const bool *changed, struct fault *fault)
{
	int r = 0;

	for (size_t k = 0; k < publish->n_todo; k++) {
		uint32_t i = publish->todo[k];
		int q;

		if (!(publish->owed[i] & OWED_PAGE))
			continue;
		q = pages_write(publish->pages, &view->plan->workloads[i],
				generation_of(view, changed, i), fault);
		if (q < 0)
			r = q;
		else
			publish->owed[i] &= (unsigned char)~OWED_PAGE;
	}
	return r;
}

static int update_pages(struct publish *publish, const struct publish_view *view,
			const bool *changed, struct fault *fault)
{
	bool same = publish->owed && ((view->same_workloads && !publish->is_behind) ||
				      names_are_those(publish, view));
	int r = 0, q;

	if (!same) {
		publish->is_behind = true;
		r = names_follow(publish, view, fault);
		if (publish->is_behind)
			return r;
	}
	publish->is_behind = false;
	todo_add_changed(publish, changed, view->plan->n_workloads);
	q = write_pages(publish, view, changed, fault);
	r = q < 0 ? q : r;
	todo_drop_done(publish);
	return r;
}

int publish_update(struct publish *publish, const struct publish_view *view, const bool *changed,
		   struct fault *fault)
{
	int r = update_pages(publish, view, changed, fault);

	publish->view = view;
	if (publish->sockets)
		sockets_update(publish->sockets, changed);
	if (publish->bus)
		bus_update(publish->bus, changed);
	return r;
}

static int write_fragment(struct publish *publish, uint32_t i, struct fault *fault)
{
	const struct publish_view *view = publish->view;
	const char *name = view_name(view, i);
	int r;

	if (view->lines && view->lines[i].n_items > 0)
		return fragment_write(publish->conf_dirfd, name, &view->lines[i], fault);
	r = fragment_remove(publish->conf_dirfd, name);
	return r < 0 ? fault_set(fault, r, "fragment of workload '%s' cannot be removed: %s", name,
				 strerror(-r))
		     : 0;
}

static int write_env(struct publish *publish, uint32_t i, struct fault *fault)
{
	const struct publish_handler *handler = &publish->handler;
	const struct publish_view *view = publish->view;
	int r, q;

	if (handler->environment_wanted &&
	    handler->environment_wanted(handler->userdata, i) == PUBLISH_LATER)
		return 0;
	/* First: who waits for a new generation in the env file finds the fragment that belongs to
	 * it. */
	q = write_fragment(publish, i, fault);
	r = env_write(publish->env_dirfd, &view->plan->workloads[i],
		      view->generations ? view->generations[i] : view->generation,
		      view->environments ? &view->environments[i] : NULL, fault);
	r = r < 0 ? r : q;
	if (r == 0)
		publish->owed[i] &= (unsigned char)~OWED_ENV;
	return r;
}

int publish_files(struct publish *publish, struct fault *fault)
{
	int r = 0, q;

	if (!publish->view || publish->is_behind)
		return 0;
	for (size_t k = 0; k < publish->n_todo; k++) {
		if (!(publish->owed[publish->todo[k]] & OWED_ENV))
			continue;
		q = write_env(publish, publish->todo[k], fault);
		r = q < 0 ? q : r;
	}
	todo_drop_done(publish);
	return r;
}
