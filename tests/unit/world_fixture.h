/* A world on an ordinary directory tree that looks like cgroup v2, with everything it reports
 * written down, and a struct sys in between that counts calls and lets the Nth one fail. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sense/world.h"

#define N_WORKLOADS_MAX 16

struct fixture {
	char root[64];
	struct sys kernel, sys;
	sd_event *event;
	struct world *world;
	struct workload *workloads[N_WORKLOADS_MAX];
	size_t n_workloads;
	/* what was reported */
	unsigned n_quota, n_changed, n_ended, n_notices, changes;
	uint32_t last_limit;
	char last_notice[1024];
	char all_notices[16384];
	pid_t last_ended;
	bool confine;
	/* what is injected */
	bool overflow;	       /* the next read of events gives IN_Q_OVERFLOW alone */
	long n_calls, fail_at; /* the call with this number, from 1, fails; 0: none */
	int fail_with;
	int proc_events_error; /* 0: ask the kernel */
	/* A socket of process events that was handed over; [0] is the world's, 0: none. */
	int procs_fds[2];
	int (*procs_answer)(struct fixture *f); /* when the world asks for events on it */
	unsigned n_ignored;			/* how often it said that it wants no more */
	/* What the world is told of executables that it may not read; NULL: it may read all. */
	int (*identify)(void *userdata, pid_t pid, uint64_t start_time);
	pid_t asked_pids[64];
	size_t n_asked;
	int uevent_fds[2]; /* [0] is the world's */
};

static inline bool call_fails(const struct sys *sys)
{
	struct fixture *f = sys->state;

	f->n_calls++;
	return f->fail_at > 0 && f->n_calls == f->fail_at;
}

static inline const struct sys *kernel_of(const struct sys *sys)
{
	return &((struct fixture *)sys->state)->kernel;
}

static inline int injected(const struct sys *sys)
{
	return ((struct fixture *)sys->state)->fail_with;
}

static inline int fixture_open(const struct sys *sys, int dirfd, const char *path, int flags)
{
	return call_fails(sys) ? injected(sys)
			       : kernel_of(sys)->open(kernel_of(sys), dirfd, path, flags);
}

static inline ssize_t fixture_read(const struct sys *sys, int fd, char *buffer, size_t size)
{
	return call_fails(sys) ? injected(sys)
			       : kernel_of(sys)->read(kernel_of(sys), fd, buffer, size);
}

static inline ssize_t fixture_read_value(const struct sys *sys, int fd, char *buffer, size_t size)
{
	return call_fails(sys) ? injected(sys)
			       : kernel_of(sys)->read_value(kernel_of(sys), fd, buffer, size);
}

static inline int fixture_list(const struct sys *sys, int dirfd,
			       int (*each)(void *userdata, const char *name, bool is_directory),
			       void *userdata)
{
	return call_fails(sys) ? injected(sys)
			       : kernel_of(sys)->list(kernel_of(sys), dirfd, each, userdata);
}

static inline int fixture_file_id(const struct sys *sys, int fd, uint64_t *ret_inode)
{
	return call_fails(sys) ? injected(sys)
			       : kernel_of(sys)->file_id(kernel_of(sys), fd, ret_inode);
}

static inline int fixture_watch_add(const struct sys *sys, int watch_fd, int dirfd, uint32_t mask)
{
	return call_fails(sys) ? injected(sys)
			       : kernel_of(sys)->watch_add(kernel_of(sys), watch_fd, dirfd, mask);
}

static inline ssize_t fixture_netlink_read(const struct sys *sys, int fd, void *buffer, size_t size)
{
	struct fixture *f = sys->state;
	ssize_t n;

	if (fd != f->uevent_fds[0] && (fd <= 0 || fd != f->procs_fds[0]))
		return kernel_of(sys)->netlink_read(kernel_of(sys), fd, buffer, size);
	n = recv(fd, buffer, size, MSG_DONTWAIT);
	return n >= 0 ? n : errno == EAGAIN ? 0 : -errno;
}

static inline ssize_t fixture_watch_read(const struct sys *sys, int fd, void *buffer, size_t size)
{
	struct fixture *f = sys->state;

	if (f->overflow) {
		struct inotify_event event = { .wd = -1, .mask = IN_Q_OVERFLOW };

		/* What the queue holds is lost, as in the kernel. */
		f->kernel.watch_read(&f->kernel, fd, buffer, size);
		f->overflow = false;
		memcpy(buffer, &event, sizeof(event));
		return sizeof(event);
	}
	return call_fails(sys) ? injected(sys)
			       : kernel_of(sys)->watch_read(kernel_of(sys), fd, buffer, size);
}

static inline int fixture_uevent_open(const struct sys *sys)
{
	struct fixture *f = sys->state;

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, f->uevent_fds) < 0)
		return -errno;
	return f->uevent_fds[0];
}

static inline int fixture_proc_events_open(const struct sys *sys)
{
	struct fixture *f = sys->state;

	return f->proc_events_error ? f->proc_events_error : f->kernel.proc_events_open(&f->kernel);
}

static inline int fixture_proc_events_listen(const struct sys *sys, int fd)
{
	struct fixture *f = sys->state;

	assert_int_equal(fd, f->procs_fds[0]);
	return f->procs_answer ? f->procs_answer(f) : 0;
}

static inline int fixture_proc_events_ignore(const struct sys *sys, int fd)
{
	struct fixture *f = sys->state;

	assert_int_equal(fd, f->procs_fds[0]);
	f->n_ignored++;
	return 0;
}

/* As for a process without capabilities: nobody's executable may be read. */
static inline ssize_t fixture_read_link(const struct sys *sys, int dirfd, const char *path,
					char *buffer, size_t size)
{
	struct fixture *f = sys->state;

	return f->identify ? -EACCES : f->kernel.read_link(&f->kernel, dirfd, path, buffer, size);
}

static inline void on_quota(void *userdata, uint32_t limit)
{
	struct fixture *f = userdata;

	f->n_quota++;
	f->last_limit = limit;
}

static inline void on_changed(void *userdata, unsigned changes)
{
	struct fixture *f = userdata;

	f->n_changed++;
	f->changes |= changes;
}

static inline void on_ended(void *userdata, uint32_t workload, pid_t pid, uint64_t start_time)
{
	struct fixture *f = userdata;

	(void)workload;
	(void)start_time;
	f->n_ended++;
	f->last_ended = pid;
}

static inline void on_notice(void *userdata, const char *text)
{
	struct fixture *f = userdata;
	size_t used = strlen(f->all_notices);

	f->n_notices++;
	snprintf(f->last_notice, sizeof(f->last_notice), "%s", text);
	snprintf(f->all_notices + used, sizeof(f->all_notices) - used, "%s\n", text);
}

static inline void fixture_path(const struct fixture *f, const char *path, char *buffer,
				size_t size)
{
	if ((size_t)snprintf(buffer, size, "%s%s", f->root, path) >= size)
		fail_msg("path too long: %s", path);
}

static inline void put(const struct fixture *f, const char *path, const char *text)
{
	char full[512];
	int fd;

	fixture_path(f, path, full, sizeof(full));
	fd = open(full, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		fail_msg("%s: %s", full, strerror(errno));
	assert_int_equal(pwrite(fd, text, strlen(text), 0), (ssize_t)strlen(text));
	assert_int_equal(ftruncate(fd, (off_t)strlen(text)), 0);
	close(fd);
}

/* A cgroup with the files that a domain with cpu and cpuset has; its parents must be there. */
static inline void cgroup_make(const struct fixture *f, const char *path)
{
	char full[512];

	fixture_path(f, path, full, sizeof(full));
	if (mkdir(full, 0755) < 0)
		fail_msg("%s: %s", full, strerror(errno));
	snprintf(full, sizeof(full), "%s/cpu.max", path);
	put(f, full, "max 100000\n");
	snprintf(full, sizeof(full), "%s/cpu.weight", path);
	put(f, full, "100\n");
}

static inline int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void cgroup_remove(const struct fixture *f, const char *path)
{
	char full[512];

	fixture_path(f, path, full, sizeof(full));
	assert_int_equal(nftw(full, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static inline struct workload *workload_put(struct fixture *f, const char *name)
{
	assert_true(f->n_workloads < N_WORKLOADS_MAX);
	f->workloads[f->n_workloads] = workload_new(name);
	assert_non_null(f->workloads[f->n_workloads]);
	return f->workloads[f->n_workloads++];
}

static inline void workload_unit(struct fixture *f, const char *name, const char *unit)
{
	assert_int_equal(strings_add(&workload_put(f, name)->match.units, unit), 0);
}

static inline void workload_cgroup(struct fixture *f, const char *name, const char *glob)
{
	assert_int_equal(strings_add(&workload_put(f, name)->match.cgroups, glob), 0);
}

static inline struct fixture *fixture_new(void)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	snprintf(f->root, sizeof(f->root), "/tmp/test-world-XXXXXX");
	assert_non_null(mkdtemp(f->root));
	assert_int_equal(sys_linux_open("/proc", &f->kernel), 0);
	f->sys = f->kernel;
	f->sys.state = f;
	f->sys.open = fixture_open;
	f->sys.read = fixture_read;
	f->sys.read_value = fixture_read_value;
	f->sys.list = fixture_list;
	f->sys.file_id = fixture_file_id;
	f->sys.watch_add = fixture_watch_add;
	f->sys.watch_read = fixture_watch_read;
	f->sys.netlink_read = fixture_netlink_read;
	f->sys.uevent_open = fixture_uevent_open;
	f->sys.proc_events_open = fixture_proc_events_open;
	f->sys.proc_events_listen = fixture_proc_events_listen;
	f->sys.proc_events_ignore = fixture_proc_events_ignore;
	f->sys.read_link = fixture_read_link;
	f->uevent_fds[0] = f->uevent_fds[1] = -1;
	assert_true(sd_event_new(&f->event) >= 0);
	return f;
}

static inline void fixture_forget(struct fixture *f)
{
	f->n_quota = f->n_changed = f->n_ended = f->changes = 0;
	f->last_limit = LIMIT_NONE;
}

static inline void fixture_configure(struct fixture *f)
{
	struct fault fault = { 0 };

	assert_int_equal(world_set_workloads(f->world, (const struct workload *const *)f->workloads,
					     f->n_workloads, &fault),
			 0);
	fixture_forget(f);
}

static inline void fixture_start_with(struct fixture *f, sd_bus *bus, const char *own_cgroup)
{
	const struct world_options options = { .cgroup_root = f->root,
					       .own_cgroup = own_cgroup,
					       .bus = bus,
					       .proc_events_fd = f->procs_fds[0] };
	const struct world_listener listener = { f,	   on_quota,  on_changed,
						 on_ended, on_notice, f->identify };
	struct fault fault = { 0 };

	if (world_open(&f->sys, f->event, &options, &listener, &f->world, &fault) < 0)
		fail_msg("%s", fault.text);
	fixture_configure(f);
}

static inline void fixture_start(struct fixture *f)
{
	fixture_start_with(f, NULL, NULL);
}

/* Runs the loop until nothing is pending; how often it woke up. */
static inline unsigned fixture_run(struct fixture *f)
{
	unsigned n = 0;

	while (sd_event_run(f->event, 0) > 0)
		n++;
	return n;
}

static inline void fixture_free(struct fixture *f)
{
	world_free(f->world);
	for (size_t i = 0; i < f->n_workloads; i++)
		workload_free(f->workloads[i]);
	sd_event_unref(f->event);
	if (f->uevent_fds[1] >= 0)
		close(f->uevent_fds[1]);
	if (f->procs_fds[1] > 0)
		close(f->procs_fds[1]);
	sys_linux_close(&f->kernel);
	cgroup_remove(f, "");
	free(f);
}

static inline uint32_t limit_at(const struct fixture *f, const char *path)
{
	size_t n;
	const struct limit *limits = world_limits(f->world, &n);

	for (uint32_t i = 0; i < n; i++)
		if (strcmp(limits[i].path, path) == 0)
			return i;
	return LIMIT_NONE;
}

static inline uint32_t quota_at(const struct fixture *f, const char *path)
{
	size_t n;
	const struct limit *limits = world_limits(f->world, &n);
	uint32_t limit = limit_at(f, path);

	if (limit == LIMIT_NONE)
		fail_msg("no limit '%s'", path);
	return limits[limit].quota_mcpu;
}

static inline const struct place *place_at(const struct fixture *f, const char *cgroup)
{
	size_t n;
	const struct place *places = world_places(f->world, &n);

	for (size_t i = 0; i < n; i++)
		if (strcmp(places[i].cgroup, cgroup) == 0)
			return &places[i];
	return NULL;
}

static inline size_t n_places(const struct fixture *f)
{
	size_t n;

	world_places(f->world, &n);
	return n;
}

/* The views as one text, to compare two worlds. @with_ids: inodes too. */
static inline char *views_text(const struct world *world, size_t n_workloads)
{
	char *text = NULL;
	size_t size, n;
	FILE *out = open_memstream(&text, &size);
	const struct limit *limits = world_limits(world, &n);
	const struct place *places;

	for (size_t i = 0; i < n; i++)
		fprintf(out, "limit %zu %d %u %u %s\n", i, (int)limits[i].parent,
			limits[i].quota_mcpu, limits[i].weight, limits[i].path);
	places = world_places(world, &n);
	for (size_t i = 0; i < n; i++)
		fprintf(out, "place %d %d %s %s %lu %d\n", (int)places[i].kind,
			(int)places[i].workload, places[i].unit ? places[i].unit : "-",
			places[i].cgroup, (unsigned long)places[i].cgroup_id, (int)places[i].pid);
	for (uint32_t w = 0; w < n_workloads; w++) {
		const char *path = "-";
		const struct cpuset *cpus = world_cpuset_of(world, w, &path);
		char *list = cpus ? cpuset_format(cpus) : NULL;

		fprintf(out, "workload %u limit %d cpus %s of %s\n", w,
			(int)world_limit_of(world, w), list ? list : "all", path);
		free(list);
	}
	fclose(out);
	return text;
}
