/* sys.h on the running kernel: the one file that makes these system calls. */
#include "base/sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <linux/openat2.h>
#include <sched.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"

static uint64_t linux_now_us(const struct sys *sys)
{
	struct timespec now;

	(void)sys;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* The same by hand, a component at a time: RestrictSUIDSGID= makes openat2 fail with ENOSYS, since
 * its filter cannot look into the structure (systemd.exec(5)). No component may be a link or "..",
 * so nothing leads out of @dirfd. */
static int open_by_steps(int dirfd, const char *path, int flags)
{
	cleanup(close_fdp) int parent = -1;
	char component[NAME_MAX + 1];

	for (;;) {
		size_t n = strcspn(path, "/");
		bool is_last = path[n + strspn(path + n, "/")] == '\0';
		int fd;

		if (n == 0 || (n == 2 && path[0] == '.' && path[1] == '.'))
			return -EXDEV; /* as openat2: it would leave the directory */
		if (n > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(component, path, n);
		component[n] = '\0';
		fd = openat(parent < 0 ? dirfd : parent, component,
			    (is_last ? flags : O_PATH | O_DIRECTORY) | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return -errno;
		if (is_last)
			return fd;
		close_fdp(&parent);
		parent = fd;
		path += n + strspn(path + n, "/");
	}
}

static int linux_open(const struct sys *sys, int dirfd, const char *path, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)flags | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd;

	(void)sys;
	do /* openat2(2): EAGAIN where a rename or mount raced with RESOLVE_BENEATH */
		fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
	while (fd < 0 && (errno == EAGAIN || errno == EINTR));
	if (fd < 0 && errno == ENOSYS)
		return open_by_steps(dirfd, path, flags);
	return fd < 0 ? -errno : (int)fd;
}

static void linux_close(const struct sys *sys, int fd)
{
	(void)sys;
	close(fd);
}

static ssize_t linux_read(const struct sys *sys, int fd, char *buffer, size_t buffer_size)
{
	size_t used = 0;

	(void)sys;
	while (used < buffer_size) {
		ssize_t n = pread(fd, buffer + used, buffer_size - used, (off_t)used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0) {
			buffer[used] = '\0';
			return (ssize_t)used;
		}
		used += (size_t)n;
	}
	return -EFBIG;
}

static ssize_t linux_read_value(const struct sys *sys, int fd, char *buffer, size_t buffer_size)
{
	ssize_t n;

	(void)sys;
	do
		n = pread(fd, buffer, buffer_size, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if ((size_t)n == buffer_size)
		return -EFBIG;
	buffer[n] = '\0';
	return n;
}

static int linux_write(const struct sys *sys, int fd, const char *text, size_t n_text)
{
	ssize_t n;

	(void)sys;
	do
		n = pwrite(fd, text, n_text, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == n_text ? 0 : -EIO;
}

static int linux_list(const struct sys *sys, int dirfd,
		      int (*each)(void *userdata, const char *name, bool is_directory),
		      void *userdata)
{
	cleanup(closedirp) DIR *dir = NULL;
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)sys;
	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		int error = errno;

		close(fd);
		return -error;
	}
	for (;;) {
		struct dirent *entry;
		int r;

		errno = 0;
		entry = readdir(dir);
		if (!entry)
			return -errno;
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		r = each(userdata, entry->d_name, entry->d_type == DT_DIR);
		if (r < 0)
			return r;
	}
}

static int linux_file_id(const struct sys *sys, int fd, uint64_t *ret_inode)
{
	struct stat st;

	(void)sys;
	if (fstat(fd, &st) < 0)
		return -errno;
	*ret_inode = st.st_ino;
	return 0;
}

static ssize_t linux_read_link(const struct sys *sys, int dirfd, const char *path, char *buffer,
			       size_t buffer_size)
{
	ssize_t n;

	(void)sys;
	if (buffer_size == 0)
		return -EINVAL;
	n = readlinkat(dirfd, path, buffer, buffer_size - 1);
	if (n < 0)
		return -errno;
	buffer[n] = '\0';
	return n;
}

static int linux_owner(const struct sys *sys, int dirfd, const char *path, uint32_t *ret_uid)
{
	struct stat st;

	(void)sys;
	if (fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	*ret_uid = st.st_uid;
	return 0;
}

static int linux_watch_open(const struct sys *sys)
{
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	(void)sys;
	return fd < 0 ? -errno : fd;
}

static int linux_watch_add(const struct sys *sys, int watch_fd, int dirfd, uint32_t mask)
{
	char path[32];
	int watch;

	(void)sys;
	/* The kernel has no inotify call that takes a descriptor; its own link in /proc is the same
	 * object whatever happened to the path. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", dirfd);
	watch = inotify_add_watch(watch_fd, path, mask);
	return watch < 0 ? -errno : watch;
}

static int linux_watch_remove(const struct sys *sys, int watch_fd, int watch)
{
	(void)sys;
	return inotify_rm_watch(watch_fd, watch) < 0 ? -errno : 0;
}

static ssize_t linux_watch_read(const struct sys *sys, int fd, void *buffer, size_t buffer_size)
{
	ssize_t n;

	(void)sys;
	do
		n = read(fd, buffer, buffer_size);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	return n;
}

static ssize_t linux_netlink_read(const struct sys *sys, int fd, void *buffer, size_t buffer_size)
{
	struct sockaddr_nl sender = { 0 };
	struct iovec iov = { buffer, buffer_size };
	struct msghdr message = {
		.msg_name = &sender, .msg_namelen = sizeof(sender), .msg_iov = &iov, .msg_iovlen = 1
	};
	ssize_t n;

	(void)sys;
	for (;;) {
		n = recvmsg(fd, &message, MSG_DONTWAIT);
		if (n >= 0 && sender.nl_pid != 0)
			continue; /* not from the kernel: anybody may send to us */
		if (n >= 0)
			return n;
		if (errno == EINTR)
			continue;
		return errno == EAGAIN ? 0 : -errno;
	}
}

static int netlink_open(int protocol, uint32_t groups)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = groups };
	cleanup(close_fdp) int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
					   protocol);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static int linux_uevent_open(const struct sys *sys)
{
	(void)sys;
	return netlink_open(NETLINK_KOBJECT_UEVENT, 1);
}

/* One request to the process connector: an operation alone, or (Linux 6.6 and later, where each
 * socket has a filter) an operation and the events wanted; older kernels ignore the longer one. */
static int connector_request(int fd, const uint32_t *words, uint16_t n_bytes)
{
	const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	const struct cn_msg message = { .id = { CN_IDX_PROC, CN_VAL_PROC }, .len = n_bytes };
	char request[NLMSG_LENGTH(sizeof(message) + 2 * sizeof(*words))]
		__attribute__((aligned(NLMSG_ALIGNTO)));
	const struct nlmsghdr header = { .nlmsg_len = NLMSG_LENGTH(sizeof(message) + n_bytes),
					 .nlmsg_type = NLMSG_DONE };

	memcpy(request, &header, sizeof(header));
	memcpy(request + NLMSG_HDRLEN, &message, sizeof(message));
	memcpy(request + NLMSG_HDRLEN + sizeof(message), words, n_bytes);
	if (sendto(fd, request, header.nlmsg_len, 0, (const struct sockaddr *)&kernel,
		   sizeof(kernel)) < 0)
		return -errno;
	return 0;
}

/* The short request is the one that is acknowledged: with the filter on, its own acknowledgement
 * would be filtered. */
static int connector_listen(int fd)
{
	const uint32_t words[] = { PROC_CN_MCAST_LISTEN,
				   PROC_EVENT_FORK | PROC_EVENT_EXEC | PROC_EVENT_UID };
	int r = connector_request(fd, words, sizeof(words[0]));

	return r < 0 ? r : connector_request(fd, words, sizeof(words));
}

static int linux_proc_events_open(const struct sys *sys)
{
	cleanup(close_fdp) int fd = netlink_open(NETLINK_CONNECTOR, CN_IDX_PROC);
	int r;

	(void)sys;
	if (fd < 0)
		return fd;
	r = connector_listen(fd);
	return r < 0 ? r : TAKE_FD(fd);
}

/* Bounded: others may fork faster than we read. */
#define N_STALE_MAX 65536

static void connector_drain(int fd)
{
	char byte;

	for (unsigned i = 0; i < N_STALE_MAX; i++)
		if (recv(fd, &byte, sizeof(byte), MSG_DONTWAIT) < 0 && errno != ENOBUFS &&
		    errno != EINTR)
			break;
}

static int linux_proc_events_listen(const struct sys *sys, int fd)
{
	(void)sys;
	connector_drain(fd);
	return connector_listen(fd);
}

static int linux_proc_events_ignore(const struct sys *sys, int fd)
{
	const uint32_t operation = PROC_CN_MCAST_IGNORE;
	int r = connector_request(fd, &operation, sizeof(operation));

	(void)sys;
	connector_drain(fd);
	return r;
}

static int linux_pidfd_open(const struct sys *sys, pid_t pid)
{
	long fd;

	(void)sys;
	if (pid <= 0) /* 0 would be ourselves */
		return -EINVAL;
	fd = syscall(SYS_pidfd_open, pid, 0);
	return fd < 0 ? -errno : (int)fd;
}

#define MASK_BYTES (CPUSET_MAX / 8)

static int linux_affinity_get(const struct sys *sys, pid_t tid, struct cpuset *ret_cpus)
{
	unsigned long words[MASK_BYTES / sizeof(unsigned long)] = { 0 };
	struct cpuset cpus = { 0 };
	long n_bytes;

	(void)sys;
	if (tid <= 0)
		return -EINVAL;
	/* The raw call: glibc's cpu_set_t ends at PU 1023, and only the raw call tells how much the
	 * kernel wrote. */
	n_bytes = syscall(SYS_sched_getaffinity, tid, sizeof(words), words);
	if (n_bytes < 0)
		return -errno;
	for (uint32_t pu_os = 0; pu_os < (uint32_t)n_bytes * 8; pu_os++) {
		int r = 0;

		if (words[pu_os / 64] >> (pu_os % 64) & 1)
			r = cpuset_add(&cpus, pu_os);
		if (r < 0) {
			cpuset_done(&cpus);
			return r;
		}
	}
	*ret_cpus = cpus;
	return 0;
}

static int linux_affinity_set(const struct sys *sys, pid_t tid, const struct cpuset *cpus)
{
	unsigned long words[MASK_BYTES / sizeof(unsigned long)] = { 0 };

	(void)sys;
	if (tid <= 0)
		return -EINVAL;
	cpuset_foreach (pu_os, cpus)
		words[pu_os / 64] |= 1UL << (pu_os % 64);
	return syscall(SYS_sched_setaffinity, tid, sizeof(words), words) < 0 ? -errno : 0;
}

int sys_linux_open(const char *proc_root, struct sys *ret_sys)
{
	int fd = open(proc_root, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	*ret_sys = (struct sys){
		.proc_fd = fd,
		.now_us = linux_now_us,
		.open = linux_open,
		.close = linux_close,
		.read = linux_read,
		.read_value = linux_read_value,
		.write = linux_write,
		.list = linux_list,
		.file_id = linux_file_id,
		.read_link = linux_read_link,
		.owner = linux_owner,
		.watch_open = linux_watch_open,
		.watch_add = linux_watch_add,
		.watch_remove = linux_watch_remove,
		.watch_read = linux_watch_read,
		.netlink_read = linux_netlink_read,
		.uevent_open = linux_uevent_open,
		.proc_events_open = linux_proc_events_open,
		.proc_events_listen = linux_proc_events_listen,
		.proc_events_ignore = linux_proc_events_ignore,
		.pidfd_open = linux_pidfd_open,
		.affinity_get = linux_affinity_get,
		.affinity_set = linux_affinity_set,
	};
	return 0;
}

void sys_linux_close(struct sys *sys)
{
	if (sys->proc_fd >= 0)
		close(sys->proc_fd);
	sys->proc_fd = -1;
}
