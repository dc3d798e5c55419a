/* Checks a request, hands it to its kind of place, fills the answer. The front is not trusted:
 * whatever bytes come, only what a sane request names is touched. */
#include "apply/applier.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/cleanup.h"

/* The longest list the kernel can print: every other one of 8,192 PUs, at most five bytes each. */
#define LIST_BYTES 24576

/* ---- calls that struct sys lacks ---- */

static bool linux_is_cgroup2(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

/* systemd sets both attributes to "1" on a unit with Delegate=yes; without CAP_SYS_ADMIN only the
 * second is visible (251 and later). */
static bool linux_is_delegated(int fd)
{
	char value[2];

	return (fgetxattr(fd, "user.delegate", value, sizeof(value)) == 1 && value[0] == '1') ||
	       (fgetxattr(fd, "trusted.delegate", value, sizeof(value)) == 1 && value[0] == '1');
}

static bool linux_manager_is_systemd(void)
{
	return sd_booted() > 0;
}

/* pidfd_open(2): readable once the process has ended. */
static bool linux_has_ended(int pidfd)
{
	struct pollfd fd = { .fd = pidfd, .events = POLLIN };

	return poll(&fd, 1, 0) > 0;
}

static int linux_remove(int dirfd, const char *name, bool is_directory)
{
	return unlinkat(dirfd, name, is_directory ? AT_REMOVEDIR : 0) < 0 ? -errno : 0;
}

static int linux_wait(int hangup_fd, unsigned wait_ms)
{
	struct pollfd fd = { .fd = hangup_fd };

	if (poll(&fd, 1, (int)wait_ms) > 0 && fd.revents & (POLLHUP | POLLERR | POLLNVAL))
		return -ECONNABORTED;
	return 0;
}

const struct applier_calls applier_calls_linux = {
	.is_cgroup2 = linux_is_cgroup2,
	.is_delegated = linux_is_delegated,
	.manager_is_systemd = linux_manager_is_systemd,
	.has_ended = linux_has_ended,
	.remove = linux_remove,
	.wait = linux_wait,
};

/* ---- reading ---- */

ssize_t applier_read_text(const struct applier *applier, int dirfd, const char *file, char *buffer,
			  size_t buffer_size)
{
	const struct sys *sys = applier->sys;
	int fd = sys->open(sys, dirfd, file, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = sys->read(sys, fd, buffer, buffer_size);
	sys->close(sys, fd);
	return n;
}

int applier_read_cpus(const struct applier *applier, int dirfd, const char *file,
		      struct cpuset *ret_cpus)
{
	struct cpuset cpus = { 0 };
	char text[LIST_BYTES];
	ssize_t n = applier_read_text(applier, dirfd, file, text, sizeof(text));
	int r;

	if (n < 0)
		return (int)n;
	r = cpuset_parse(text, &cpus);
	if (r < 0)
		return r;
	cpuset_done(ret_cpus);
	*ret_cpus = cpus;
	return 0;
}

int applier_read_nodes(const struct applier *applier, int dirfd, const char *file,
		       struct nodeset *ret_nodes)
{
	struct nodeset nodes = { 0 };
	char text[LIST_BYTES];
	ssize_t n = applier_read_text(applier, dirfd, file, text, sizeof(text));
	int r;

	if (n < 0)
		return (int)n;
	r = nodeset_parse(text, &nodes);
	if (r < 0)
		return r;
	nodeset_done(ret_nodes);
	*ret_nodes = nodes;
	return 0;
}

int applier_online(const struct applier *applier, struct cpuset *ret_cpus)
{
	int r = applier_read_cpus(applier, applier->system_fd, "cpu/online", ret_cpus);

	return r == 0 ? 0 : cpuset_copy(ret_cpus, &applier->possible);
}

int applier_open_cgroup(const struct applier *applier, const char *cgroup, int *ret_fd)
{
	const struct sys *sys = applier->sys;
	const char *path = cgroup[1] ? cgroup + 1 : ".";
	int fd;

	if (applier->root_fd < 0)
		return -ENOTSUP;
	fd = sys->open(sys, applier->root_fd, path, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd;
	/* Something else may be mounted below the root. */
	if (applier->root_is_cgroup2 && !applier->calls->is_cgroup2(fd)) {
		sys->close(sys, fd);
		return -EMEDIUMTYPE;
	}
	*ret_fd = fd;
	return 0;
}

int applier_judge(const char *what, const struct cpuset *wanted, const struct cpuset *effective,
		  struct result *result, struct fault *fault)
{
	cleanup(freep) char *asked = cpuset_format(wanted);
	cleanup(freep) char *got = cpuset_format(effective);

	if (!asked || !got)
		return fault_set(fault, -ENOMEM, "%s: no memory to compare sets", what);
	if (cpuset_equal(effective, wanted))
		return 0;
	if (cpuset_is_empty(effective) || !cpuset_is_subset(effective, wanted))
		return fault_set(fault, -EXDEV,
				 "%s: the kernel lets it run on PUs '%s', expected '%s'", what, got,
				 asked);
	fault_set(
		&result->remark, -ERANGE,
		"%s: only PUs '%s' of '%s' are granted, the others are offline or not its parent's",
		what, got, asked);
	return 0;
}

/* ---- what is possible ---- */

int applier_init(struct applier *applier, struct fault *fault)
{
	int r = applier_read_cpus(applier, applier->system_fd, "cpu/possible", &applier->possible);

	if (r < 0 || cpuset_is_empty(&applier->possible))
		return fault_set(fault, r < 0 ? r : -EINVAL,
				 "cannot read which PUs are possible: %s",
				 strerror(r < 0 ? -r : EINVAL));
	r = applier_read_nodes(applier, applier->system_fd, "node/possible",
			       &applier->possible_nodes);
	if (r == -ENOENT) /* a kernel without NUMA has no node directory: one node, 0 */
		r = nodeset_add(&applier->possible_nodes, 0);
	if (r < 0)
		return fault_set(fault, r, "cannot read which NUMA nodes are possible: %s",
				 strerror(-r));
	return 0;
}

void applier_done(struct applier *applier)
{
	applier->bus = sd_bus_close_unref(applier->bus);
	cpuset_done(&applier->possible);
	nodeset_done(&applier->possible_nodes);
}

/* ---- the check ---- */

static bool cgroup_path_is_sane(const char *path)
{
	if (path[0] != '/' || strchr(path, '\n'))
		return false;
	if (path[1] == '\0')
		return true;
	while (*path == '/') {
		size_t n = strcspn(path + 1, "/");

		if (n == 0 || (n == 1 && path[1] == '.') ||
		    (n == 2 && path[1] == '.' && path[2] == '.'))
			return false;
		path += 1 + n;
	}
	return true;
}

/* systemd.unit(5): the characters of a unit name. Only types that own a cgroup, and never the root
 * slice. */
static bool unit_name_is_sane(const char *name)
{
	static const char *const suffixes[] = { ".service", ".slice", ".scope",
						".socket",  ".mount", ".swap" };
	size_t n = strlen(name);

	if (strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@") !=
		    n ||
	    strcmp(name, "-.slice") == 0)
		return false;
	for (size_t i = 0; i < N_ELEMENTS(suffixes); i++) {
		size_t n_suffix = strlen(suffixes[i]);

		if (n > n_suffix && strcmp(name + n - n_suffix, suffixes[i]) == 0)
			return true;
	}
	return false;
}

static const char *check_head(const struct apply_request *request)
{
	bool restores = request->verb == APPLY_RESTORE;

	if (request->magic != APPLY_MAGIC || request->version != APPLY_VERSION)
		return "not of this build";
	if (request->verb < APPLY_SET || request->verb > APPLY_IDENTIFY)
		return "unknown verb";
	if (request->verb == APPLY_IDENTIFY && request->kind != PLACE_PROCESS)
		return "an executable where the place is no process";
	if (request->phase != STEP_NARROW &&
	    (request->verb != APPLY_SET || request->phase != STEP_WIDEN))
		return "unknown phase";
	if (request->flags & ~APPLY_FLAG_MIGRATE || request->unused != 0)
		return "unknown flag";
	if (!message_text_is_sane(request->unit, sizeof(request->unit)) ||
	    !message_text_is_sane(request->cgroup, sizeof(request->cgroup)) ||
	    !message_text_is_sane(request->original, sizeof(request->original)))
		return "text field not terminated and zero after that";
	if (!restores && (request->original[0] || request->budget_ms != 0))
		return "an original or a budget where nothing is restored";
	return NULL;
}

static const char *check_place(const struct applier *applier, const struct apply_request *request)
{
	bool is_process = request->kind == PLACE_PROCESS;

	if (!is_process && (request->pid != 0 || request->start_time != 0))
		return "a process where the place is none";
	switch (request->kind) {
	case PLACE_UNIT:
		if (!unit_name_is_sane(request->unit))
			return "unit name";
		/* PID 1 knows where its unit is. */
		return request->cgroup[0] || request->cgroup_id != 0
			       ? "a cgroup where the place is a unit"
			       : NULL;
	case PLACE_CGROUP:
		if (request->unit[0] || request->cgroup_id == 0)
			return "a unit, or no cgroup id, where the place is a cgroup";
		return cgroup_path_is_sane(request->cgroup) ? NULL : "cgroup path";
	case PLACE_PROCESS:
		if (request->unit[0] || request->cgroup[0] || request->cgroup_id != 0)
			return "a unit or cgroup where the place is a process";
		/* 0 is the caller itself to the kernel, negative numbers are groups, 1 is PID 1. */
		if (request->pid <= 1 || request->pid > INT32_MAX || request->pid == applier->pid)
			return "process number";
		return request->start_time == 0 ? "start time" : NULL;
	}
	return "unknown kind of place";
}

/* Checks the sets and moves them into @job. NULL where they are sane; @ret_error tells -EINVAL from
 * -ENOMEM. */
static const char *check_sets(const struct applier *applier, const struct apply_request *request,
			      struct job *job, int *ret_error)
{
	*ret_error = -ENOMEM;
	if (message_get_cpus(request->cpus, &job->cpus) < 0 ||
	    message_get_nodes(request->mems, &job->mems) < 0)
		return "no memory for sets";
	*ret_error = -EINVAL;
	if (request->verb == APPLY_LOOK || request->verb == APPLY_IDENTIFY)
		return cpuset_is_empty(&job->cpus) && nodeset_is_empty(&job->mems)
			       ? NULL
			       : "sets where nothing is set";
	if (cpuset_is_empty(&job->cpus) || !cpuset_is_subset(&job->cpus, &applier->possible))
		return "PUs none or not possible on this machine";
	if (!nodeset_is_subset(&job->mems, &applier->possible_nodes))
		return "NUMA nodes not possible on this machine";
	if (request->verb != APPLY_RESTORE)
		return NULL;
	*ret_error = original_parse(request->original, &job->original);
	if (*ret_error < 0)
		return "original";
	*ret_error = -EINVAL;
	/* Somebody may have configured PUs that this machine never had; the kernel refuses a whole
	 * list for one of them. */
	cpuset_intersect(&job->original.cpus, &applier->possible);
	nodeset_intersect(&job->original.mems, &applier->possible_nodes);
	if (request->kind == PLACE_PROCESS && cpuset_is_empty(&job->original.cpus))
		return "original of a process without PUs";
	return NULL;
}

int applier_check(const struct applier *applier, const void *bytes, size_t n_bytes,
		  struct job *ret_job, struct fault *fault)
{
	const struct apply_request *request = bytes;
	cleanup(job_done) struct job job = { .request = request };
	const char *wrong;
	int error = -EINVAL;

	if (n_bytes != sizeof(*request))
		return fault_set(fault, -EINVAL, "request refused: %zu bytes, expected %zu",
				 n_bytes, sizeof(*request));
	wrong = check_head(request);
	if (!wrong)
		wrong = check_place(applier, request);
	if (!wrong)
		wrong = check_sets(applier, request, &job, &error);
	if (wrong)
		return fault_set(fault, error, "request refused: %s", wrong);
	job.may_migrate = request->flags & APPLY_FLAG_MIGRATE;
	job.budget_us = request->budget_ms ? request->budget_ms * UINT64_C(1000) : UINT64_MAX;
	*ret_job = job;
	job = (struct job){ 0 };
	return 0;
}

/* ---- doing ---- */

void job_done(struct job *job)
{
	cpuset_done(&job->cpus);
	nodeset_done(&job->mems);
	original_done(&job->original);
	*job = (struct job){ 0 };
}

void result_done(struct result *result)
{
	cpuset_done(&result->effective);
	free(result->found);
	*result = (struct result){ 0 };
}

static int dispatch(struct applier *applier, const struct job *job, struct result *result,
		    struct fault *fault)
{
	switch (job->request->kind) {
	case PLACE_UNIT:
		return unit_apply(applier, job, result, fault);
	case PLACE_CGROUP:
		return cgroup_apply(applier, job, result, fault);
	default:
		return process_apply(applier, job, result, fault);
	}
}

/* Cuts @text where it does not fit, at a character's border. */
static void put_cut(const char *text, char *field, size_t size)
{
	size_t n = strlen(text);

	if (n >= size) {
		n = size - 1;
		while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
			n--;
	}
	memcpy(field, text, n);
}

static void fill_answer(const struct result *result, struct apply_answer *answer)
{
	answer->is_written = result->is_written;
	answer->n_writes = result->n_writes;
	message_put_cpus(&result->effective, answer->effective);
	answer->has_found = result->found &&
			    message_put_text(result->found, answer->found, sizeof(answer->found));
}

int applier_found(struct original *original, struct result *result, struct fault *fault)
{
	result->found = original_format(original);
	original_done(original);
	return result->found ? 0 : fault_set(fault, -ENOMEM, "no memory for what was found");
}

void applier_handle(struct applier *applier, const void *bytes, size_t n_bytes,
		    struct apply_answer *ret_answer)
{
	cleanup(job_done) struct job job = { 0 };
	cleanup(result_done) struct result result = { 0 };
	struct fault fault = { 0 };
	int r;

	*ret_answer = (struct apply_answer){ .magic = APPLY_MAGIC, .version = APPLY_VERSION };
	if (n_bytes == sizeof(struct apply_request))
		ret_answer->serial = ((const struct apply_request *)bytes)->serial;
	r = applier_check(applier, bytes, n_bytes, &job, &fault);
	if (r == 0)
		r = dispatch(applier, &job, &result, &fault);
	ret_answer->error = r;
	fill_answer(&result, ret_answer);
	put_cut(r < 0 ? fault.text : result.remark.text, ret_answer->text,
		sizeof(ret_answer->text));
}
