/* Every outside effect as one table of functions: the kernel (sys_linux.c), or a test's own. Sense
 * and apply see kernel files, threads and the clock through it alone, so that a captured tree, an
 * ordinary directory and an injected fault are all the same to them. All functions return -errno on
 * failure; descriptors are close-on-exec. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "model/cpuset.h"

struct sys {
	void *state; /* the implementation's own */
	int proc_fd; /* root of procfs, or of a captured or made-up copy */

	uint64_t (*now_us)(const struct sys *sys); /* CLOCK_MONOTONIC; never a wall clock */

	/* Opens @path (relative) below @dirfd: openat2 with RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS
	 * and RESOLVE_NO_MAGICLINKS. */
	int (*open)(const struct sys *sys, int dirfd, const char *path, int flags);
	void (*close)(const struct sys *sys, int fd);
	/* Reads the whole (small) file from its start; the result is always terminated. -EFBIG
	 * where it does not fit. Length. */
	ssize_t (*read)(const struct sys *sys, int fd, char *buffer, size_t buffer_size);
	/* One read(2) of the first @buffer_size - 1 bytes: for files of one value, which the kernel
	 * makes in one piece at each read (kernfs, seq_file), so that asking for what follows would
	 * make it again. Terminated; length; -EFBIG where the buffer is full. */
	ssize_t (*read_value)(const struct sys *sys, int fd, char *buffer, size_t buffer_size);
	/* One write(2) at offset 0 of the whole text, as kernel files want it. 0 or -errno; -EIO on
	 * a short write. */
	int (*write)(const struct sys *sys, int fd, const char *text, size_t n_text);
	/* Calls @each for each entry of @dirfd but "." and ".."; a negative return ends the listing
	 * and is returned. */
	int (*list)(const struct sys *sys, int dirfd,
		    int (*each)(void *userdata, const char *name, bool is_directory),
		    void *userdata);
	int (*file_id)(const struct sys *sys, int fd, uint64_t *ret_inode);
	/* The target of a symbolic link such as PID/exe; always terminated. Length or -errno. */
	ssize_t (*read_link)(const struct sys *sys, int dirfd, const char *path, char *buffer,
			     size_t buffer_size);
	/* Owner of the directory @path below @dirfd (/proc/PID: the process's effective uid). */
	int (*owner)(const struct sys *sys, int dirfd, const char *path, uint32_t *ret_uid);

	/* inotify: a descriptor; a watch on the directory that @dirfd is open on. */
	int (*watch_open)(const struct sys *sys);
	int (*watch_add)(const struct sys *sys, int watch_fd, int dirfd, uint32_t mask);
	int (*watch_remove)(const struct sys *sys, int watch_fd, int watch);
	/* Raw inotify events; length, 0 where there is none now. */
	ssize_t (*watch_read)(const struct sys *sys, int fd, void *buffer, size_t buffer_size);
	/* Netlink messages, only what the kernel itself sent (sender port 0); length, 0 where there
	 * is none now. -ENOBUFS where messages were lost. */
	ssize_t (*netlink_read)(const struct sys *sys, int fd, void *buffer, size_t buffer_size);
	/* Kernel uevents (group 1 of NETLINK_KOBJECT_UEVENT). */
	int (*uevent_open)(const struct sys *sys);
	/* The process connector, listening for fork and exec. -EPERM, -ECONNREFUSED where it is not
	 * to be had. */
	int (*proc_events_open)(const struct sys *sys);
	/* The same on a socket of the connector that somebody else has opened: forgets what is in
	 * it, then asks for events; and ends that and forgets. 0 or -errno. */
	int (*proc_events_listen)(const struct sys *sys, int fd);
	int (*proc_events_ignore)(const struct sys *sys, int fd);

	int (*pidfd_open)(const struct sys *sys, pid_t pid);
	/* One thread. get: -ESRCH gone. The set may be empty (a pinned task whose PU is offline).
	 */
	int (*affinity_get)(const struct sys *sys, pid_t tid, struct cpuset *ret_cpus);
	int (*affinity_set)(const struct sys *sys, pid_t tid, const struct cpuset *cpus);
};

/* The real one. @proc_root: "/proc". 0 or -errno. */
int sys_linux_open(const char *proc_root, struct sys *ret_sys);
void sys_linux_close(struct sys *sys);
