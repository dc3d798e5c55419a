/* "Something changed", nothing else: one inotify descriptor, its watches by number, its events one
 * by one.
 *
 * The kernel numbers watches upwards for as long as it can and never reuses a number soon
 * (idr_alloc_cyclic() in inotify_user.c), so an array indexed by the number would grow with every
 * cgroup that ever lived; the table here holds the live ones only, scattered, so that a look-up is
 * nearly always the first slot. */
#pragma once

#include <sys/inotify.h>

#include "base/sys.h"

/* What a cgroup directory can tell. Its own removal gives no event at all: watch_remove() belongs
 * to the parent's IN_DELETE. */
#define WATCH_DIRECTORY \
	(IN_MODIFY | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR)

struct watch_slot {
	int watch; /* 0: free; inotify numbers from 1 */
	void *target;
};

struct watch {
	const struct sys *sys;
	int fd;
	struct watch_slot *slots; /* a power of two of them, at most half in use */
	uint32_t n_slots, n_watches;
	void *buffer;
};

int watch_open(const struct sys *sys, struct watch *ret_watch);
void watch_close(struct watch *watch);
/* Watches the directory for @target. The watch's number (> 0) or -errno: -ENOSPC at
 * fs.inotify.max_user_watches. */
int watch_add(struct watch *watch, int dir_fd, void *target);
void watch_remove(struct watch *watch, int number);
/* The kernel removed it already (IN_IGNORED). */
void watch_forget(struct watch *watch, int number);
/* NULL where no such watch lives: an event that was queued before its removal. */
void *watch_target(const struct watch *watch, int number);

/* Reads what is pending, up to the buffer's size. Bytes, 0 where there is nothing, -errno. */
ssize_t watch_read(struct watch *watch);
/* The event at *@offset of the @n_bytes read, NULL at the end; moves on. A name is always
 * terminated. */
const struct inotify_event *watch_next(const struct watch *watch, size_t n_bytes, size_t *offset);
