/* A delegated or systemd-free cgroup as a place: cpuset.cpus and cpuset.mems written as files,
 * cpuset.cpus.effective read back, since the kernel gives the parent's whole set to a wish it
 * cannot grant and calls that success. The cpuset controller is switched on for it only where the
 * parent is nobody else's. */
#include "apply/applier.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define SMALL_FILE_BYTES 4096 /* cgroup.events, cgroup.controllers, cgroup.subtree_control */

/* How many levels may need the controller switched on; a delegated tree is a few deep. */
#define N_LEVELS_MAX 16

struct cgroup {
	const struct applier *applier;
	const char *path;
	int fd;
};

static void cgroup_done(struct cgroup *cgroup)
{
	const struct sys *sys = cgroup->applier->sys;

	if (cgroup->fd >= 0)
		sys->close(sys, cgroup->fd);
}

static bool is_gone(int error)
{
	return error == -ENOENT || error == -ENODEV;
}

/* Why the kernel said no, for people. */
static int write_fault(const char *path, const char *file, const char *value, int error,
		       struct fault *fault)
{
	static const struct {
		int error;
		const char *hint;
	} hints[] = {
		{ -EACCES, "its owner is somebody else" },
		{ -EPERM, "it is the root of our cgroup namespace, which is not ours to limit" },
		{ -EROFS,
		  "cgroupfs is read-only here, ProtectControlGroups=yes leaves units as the way" },
		{ -EBUSY, "SCHED_DEADLINE threads or a partition need what it would lose" },
		{ -ENOSPC, "its threads would be left without a PU or without memory" },
		{ -EINVAL, "not what the kernel takes, or in conflict with an exclusive sibling" },
		{ -ERANGE, "a number beyond what this kernel can have" },
	};
	const char *hint = strerror(-error);

	for (size_t i = 0; i < N_ELEMENTS(hints); i++)
		if (hints[i].error == error)
			hint = hints[i].hint;
	return fault_set(fault, error, "cgroup '%s': %s does not take '%s': %s", path, file, value,
			 hint);
}

/* O_TRUNC is for ordinary files; cgroupfs ignores it. */
static int write_text(const struct applier *applier, int dirfd, const char *file, const char *text)
{
	const struct sys *sys = applier->sys;
	int fd = sys->open(sys, dirfd, file, O_WRONLY | O_TRUNC);
	int r;

	if (fd < 0)
		return fd;
	r = sys->write(sys, fd, text, strlen(text));
	sys->close(sys, fd);
	return r;
}

/* Is the directory that we hold still the one at its path? A removed cgroup cannot come back. */
static bool has_gone(const struct cgroup *cgroup)
{
	const struct applier *applier = cgroup->applier;
	uint64_t held_id, id;
	int fd, r = applier_open_cgroup(applier, cgroup->path, &fd);

	if (r < 0)
		return is_gone(r);
	r = applier->sys->file_id(applier->sys, fd, &id);
	applier->sys->close(applier->sys, fd);
	return r == 0 && applier->sys->file_id(applier->sys, cgroup->fd, &held_id) == 0 &&
	       id != held_id;
}

/* A file that is not there (ENOENT), or not any more (ENODEV), goes with its cgroup or with the
 * controller: only the former means that nothing runs there. */
static int file_fault(const struct cgroup *cgroup, const char *file, int error, struct fault *fault)
{
	if (is_gone(error) && has_gone(cgroup))
		return fault_set(fault, -ENODEV, "cgroup '%s' has gone meanwhile", cgroup->path);
	if (is_gone(error))
		return fault_set(fault, -ENOTSUP,
				 "cgroup '%s': there is no %s, the cpuset controller is off",
				 cgroup->path, file);
	return fault_set(fault, error, "cgroup '%s': %s cannot be read: %s", cgroup->path, file,
			 strerror(-error));
}

/* An empty list clears, and only a newline says that: a write of no bytes changes nothing. */
static int write_list(const struct cgroup *cgroup, const char *file, const char *list,
		      struct result *result, struct fault *fault)
{
	int r = write_text(cgroup->applier, cgroup->fd, file, list[0] ? list : "\n");

	if (is_gone(r))
		return file_fault(cgroup, file, r, fault);
	if (r < 0)
		return write_fault(cgroup->path, file, list, r, fault);
	result->is_written = true;
	result->n_writes++;
	return 0;
}

/* ---- the controller ---- */

static bool word_is_in(const char *text, const char *word)
{
	size_t n_word = strlen(word);

	for (text += strspn(text, " \n"); *text; text += strspn(text, " \n")) {
		size_t n = strcspn(text, " \n");

		if (n == n_word && memcmp(text, word, n) == 0)
			return true;
		text += n;
	}
	return false;
}

static int file_has_word(const struct applier *applier, int dirfd, const char *file,
			 const char *word)
{
	char text[SMALL_FILE_BYTES];
	ssize_t n = applier_read_text(applier, dirfd, file, text, sizeof(text));

	return n < 0 ? (int)n : word_is_in(text, word);
}

static bool ends_in(const char *text, const char *suffix)
{
	size_t n = strlen(text), n_suffix = strlen(suffix);

	return n >= n_suffix && strcmp(text + n - n_suffix, suffix) == 0;
}

/* May we switch controllers for the children of @path? Not in a slice or at the top: those are PID
 * 1's, which would switch it off again. In a unit's own cgroup only where it is marked as
 * delegated. What lies below such a unit, or outside of all units, is ours as soon as a workload
 * names it. */
static bool parent_is_ours(const struct applier *applier, const char *path, int fd)
{
	static const char *const suffixes[] = { ".service", ".scope", ".socket", ".mount",
						".swap" };

	if (strcmp(path, "/") == 0) {
		char text[SMALL_FILE_BYTES];

		/* Only the true root has no cgroup.type; any other "/" is that of a cgroup
		 * namespace. */
		return applier_read_text(applier, fd, "cgroup.type", text, sizeof(text)) >= 0 ||
		       !applier->calls->manager_is_systemd();
	}
	if (ends_in(path, ".slice"))
		return false;
	for (size_t i = 0; i < N_ELEMENTS(suffixes); i++)
		if (ends_in(path, suffixes[i]))
			return applier->calls->is_delegated(fd);
	return true;
}

static bool has_tasks(const struct applier *applier, int fd)
{
	char text[SMALL_FILE_BYTES];

	/* -EFBIG is many, -EOPNOTSUPP a threaded cgroup: both are yes. */
	return applier_read_text(applier, fd, "cgroup.procs", text, sizeof(text)) != 0;
}

/* Switches cpuset on for the children of @path, where that is missing and ours to do. */
static int enable_in(const struct applier *applier, const char *path, struct result *result,
		     struct fault *fault)
{
	const struct sys *sys = applier->sys;
	int fd, r = applier_open_cgroup(applier, path, &fd);

	if (r < 0)
		return fault_set(fault, r, "cgroup '%s': cannot be opened: %s", path, strerror(-r));
	r = file_has_word(applier, fd, "cgroup.subtree_control", "cpuset");
	if (r == 0) {
		if (!parent_is_ours(applier, path, fd))
			r = fault_set(fault, -ENOTSUP,
				      "cgroup '%s': cpuset is off for its children and it is PID "
				      "1's, expected"
				      " Delegate=yes or AllowedCPUs= on a unit of it",
				      path);
		/* The kernel would not refuse: it would turn the cgroup into a "domain threaded"
		 * one. */
		else if (has_tasks(applier, fd) && strcmp(path, "/") != 0)
			r = fault_set(fault, -ENOTSUP,
				      "cgroup '%s': cpuset is off for its children and cannot be "
				      "switched on"
				      " while it has processes of its own",
				      path);
		else
			r = write_text(applier, fd, "cgroup.subtree_control", "+cpuset");
		if (r == 0)
			result->n_writes++;
		else if (r != -ENOTSUP)
			r = write_fault(path, "cgroup.subtree_control", "+cpuset", r, fault);
	} else if (r < 0) {
		r = fault_set(fault, r, "cgroup '%s': cgroup.subtree_control cannot be read: %s",
			      path, strerror(-r));
	}
	sys->close(sys, fd);
	return r < 0 ? r : 0;
}

/* From the highest ancestor that lacks it down to the parent. */
static int enable_cpuset(const struct cgroup *cgroup, struct result *result, struct fault *fault)
{
	const struct applier *applier = cgroup->applier;
	char parents[N_LEVELS_MAX][APPLY_CGROUP_SIZE];
	size_t n = 0;

	snprintf(parents[0], sizeof(parents[0]), "%s", cgroup->path);
	for (;; n++) {
		char *slash = strrchr(parents[n], '/');
		int fd, r;

		if (n + 1 == N_LEVELS_MAX || strcmp(parents[n], "/") == 0)
			return fault_set(fault, -ENOTSUP,
					 "cgroup '%s': no ancestor offers the cpuset controller",
					 cgroup->path);
		slash[slash == parents[n]] = '\0';
		r = applier_open_cgroup(applier, parents[n], &fd);
		if (r < 0)
			return fault_set(fault, r, "cgroup '%s': its ancestor cannot be opened: %s",
					 cgroup->path, strerror(-r));
		r = file_has_word(applier, fd, "cgroup.controllers", "cpuset");
		applier->sys->close(applier->sys, fd);
		if (r < 0)
			return fault_set(fault, -ENOTSUP,
					 "cgroup '%s': cgroup.controllers cannot be read: %s",
					 parents[n], strerror(-r));
		if (r > 0)
			break;
		memcpy(parents[n + 1], parents[n], sizeof(parents[n]));
	}
	for (size_t i = n + 1; i-- > 0;) {
		int r = enable_in(applier, parents[i], result, fault);

		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- the place ---- */

static int cgroup_open(struct cgroup *cgroup, const struct job *job, struct fault *fault)
{
	const struct applier *applier = cgroup->applier;
	uint64_t id;
	int r = applier_open_cgroup(applier, cgroup->path, &cgroup->fd);

	if (is_gone(r))
		return fault_set(fault, r, "cgroup '%s' has gone", cgroup->path);
	if (r < 0)
		return fault_set(fault, r, "cgroup '%s': cannot be opened: %s", cgroup->path,
				 r == -EMEDIUMTYPE ? "not on cgroupfs v2" : strerror(-r));
	r = applier->sys->file_id(applier->sys, cgroup->fd, &id);
	if (r < 0)
		return file_fault(cgroup, "id", r, fault);
	if (id != job->request->cgroup_id)
		return fault_set(fault, -ENOENT,
				 "cgroup '%s' has gone, another one (id %" PRIu64
				 ", expected %" PRIu64 ") has its name",
				 cgroup->path, id, job->request->cgroup_id);
	return 0;
}

static int read_cpus(const struct cgroup *cgroup, const char *file, struct cpuset *ret_cpus,
		     struct fault *fault)
{
	int r = applier_read_cpus(cgroup->applier, cgroup->fd, file, ret_cpus);

	return r < 0 ? file_fault(cgroup, file, r, fault) : 0;
}

static int read_nodes(const struct cgroup *cgroup, const char *file, struct nodeset *ret_nodes,
		      struct fault *fault)
{
	int r = applier_read_nodes(cgroup->applier, cgroup->fd, file, ret_nodes);

	return r < 0 ? file_fault(cgroup, file, r, fault) : 0;
}

/* In an ordinary directory there is no kernel that would compute it. */
static int read_effective(const struct cgroup *cgroup, struct cpuset *ret_cpus, struct fault *fault)
{
	if (!cgroup->applier->root_is_cgroup2) {
		int r = applier_read_cpus(cgroup->applier, cgroup->fd, "cpuset.cpus.effective",
					  ret_cpus);

		if (r != -ENOENT)
			return r < 0 ? file_fault(cgroup, "cpuset.cpus.effective", r, fault) : 0;
		return read_cpus(cgroup, "cpuset.cpus", ret_cpus, fault);
	}
	return read_cpus(cgroup, "cpuset.cpus.effective", ret_cpus, fault);
}

static int read_present(const struct cgroup *cgroup, struct original *present, struct fault *fault)
{
	int r = read_cpus(cgroup, "cpuset.cpus", &present->cpus, fault);

	return r < 0 ? r : read_nodes(cgroup, "cpuset.mems", &present->mems, fault);
}

/* Without the controller nothing is set. */
static int cgroup_look(const struct cgroup *cgroup, struct result *result, struct fault *fault)
{
	struct original present = { 0 };
	int r = read_present(cgroup, &present, fault);

	if (r < 0 && r != -ENOTSUP) {
		original_done(&present);
		return r;
	}
	return applier_found(&present, result, fault);
}

/* The controller is switched on where that is missing. */
static int prepare(const struct cgroup *cgroup, struct result *result, struct fault *fault)
{
	cleanup(cpuset_done) struct cpuset cpus = { 0 };
	int r = applier_read_cpus(cgroup->applier, cgroup->fd, "cpuset.cpus", &cpus);

	if (r != -ENOENT || !cgroup->path[1])
		return 0; /* what is wrong is found again */
	r = enable_cpuset(cgroup, result, fault);
	return is_gone(r) ? file_fault(cgroup, "cpuset.cpus", r, fault) : r;
}

/* Memory nodes are written before work arrives; a change under running work moves its pages and can
 * hold every cgroup operation of the host meanwhile. */
static bool may_write_mems(const struct cgroup *cgroup, const struct job *job)
{
	char text[SMALL_FILE_BYTES];

	if (job->may_migrate)
		return true;
	return applier_read_text(cgroup->applier, cgroup->fd, "cgroup.events", text, sizeof(text)) >
		       0 &&
	       strstr(text, "populated 0");
}

static int write_mems(const struct cgroup *cgroup, const struct nodeset *mems,
		      struct result *result, struct fault *fault)
{
	cleanup(freep) char *list = nodeset_format(mems);
	cleanup(nodeset_done) struct nodeset after = { 0 };
	int r;

	if (!list)
		return fault_set(fault, -ENOMEM, "cgroup '%s': no memory for its nodes",
				 cgroup->path);
	r = write_list(cgroup, "cpuset.mems", list, result, fault);
	if (r < 0 || !cgroup->applier->root_is_cgroup2)
		return r;
	r = read_nodes(cgroup, "cpuset.mems.effective", &after, fault);
	if (r < 0)
		return r;
	if (!nodeset_is_empty(mems) && !nodeset_is_subset(&after, mems)) {
		cleanup(freep) char *got = nodeset_format(&after);

		return fault_set(
			fault, -EXDEV,
			"cgroup '%s': its memory comes from NUMA nodes '%s', expected '%s'",
			cgroup->path, got ? got : "?", list);
	}
	return 0;
}

static int verify(const struct cgroup *cgroup, const struct cpuset *wanted, struct result *result,
		  struct fault *fault)
{
	cleanup(cpuset_done) struct cpuset wish = { 0 };
	char what[APPLY_CGROUP_SIZE + 16];
	int r = read_effective(cgroup, &result->effective, fault);

	if (r == 0)
		r = read_cpus(cgroup, "cpuset.cpus", &wish, fault);
	if (r < 0)
		return r;
	if (!cpuset_equal(&wish, wanted))
		return fault_set(
			fault, -EREMOTEIO,
			"cgroup '%s': cpuset.cpus reads back as something else, somebody writes"
			" it at the same time",
			cgroup->path);
	snprintf(what, sizeof(what), "cgroup '%s'", cgroup->path);
	return applier_judge(what, wanted, &result->effective, result, fault);
}

static int cgroup_set(const struct cgroup *cgroup, const struct job *job, struct result *result,
		      struct fault *fault)
{
	cleanup(original_done) struct original present = { 0 };
	cleanup(freep) char *list = cpuset_format(&job->cpus);
	int r;

	if (!list)
		return fault_set(fault, -ENOMEM, "cgroup '%s': no memory for its PUs",
				 cgroup->path);
	r = prepare(cgroup, result, fault);
	if (r == 0)
		r = read_present(cgroup, &present, fault);
	if (r < 0)
		return r;
	if (!cpuset_equal(&job->cpus, &present.cpus)) {
		r = write_list(cgroup, "cpuset.cpus", list, result, fault);
		if (r < 0) {
			/* Who runs where is what the front needs to know now. */
			read_effective(cgroup, &result->effective, NULL);
			return r;
		}
	}
	r = verify(cgroup, &job->cpus, result, fault);
	if (r == 0 && !nodeset_is_empty(&job->mems) && !nodeset_equal(&job->mems, &present.mems) &&
	    may_write_mems(cgroup, job))
		r = write_mems(cgroup, &job->mems, result, fault);
	return r;
}

/* The kernel does not let a populated cgroup's set be cleared (ENOSPC); all possible PUs have the
 * same effect. */
static int restore_cpus(const struct cgroup *cgroup, const struct cpuset *cpus,
			struct result *result, struct fault *fault)
{
	cleanup(freep) char *list = cpuset_format(cpus);
	cleanup(freep) char *all = cpuset_format(&cgroup->applier->possible);
	int r;

	if (!list || !all)
		return fault_set(fault, -ENOMEM, "cgroup '%s': no memory to restore", cgroup->path);
	r = write_list(cgroup, "cpuset.cpus", list, result, fault);
	if (r == -ENOSPC && cpuset_is_empty(cpus))
		r = write_list(cgroup, "cpuset.cpus", all, result, fault);
	return r;
}

static int restore_mems(const struct cgroup *cgroup, const struct nodeset *mems,
			struct result *result, struct fault *fault)
{
	int r = write_mems(cgroup, mems, result, fault);

	if (r == -ENOSPC && nodeset_is_empty(mems))
		r = write_mems(cgroup, &cgroup->applier->possible_nodes, result, fault);
	return r;
}

static int cgroup_restore(const struct cgroup *cgroup, const struct job *job, struct result *result,
			  struct fault *fault)
{
	cleanup(original_done) struct original present = { 0 };
	int r = read_present(cgroup, &present, fault);

	if (r < 0)
		return r;
	if (cpuset_equal(&present.cpus, &job->cpus))
		r = restore_cpus(cgroup, &job->original.cpus, result, fault);
	else
		fault_set(&result->remark, -EXDEV,
			  "cgroup '%s': somebody else has set it since, left alone", cgroup->path);
	/* Nodes that grow move no page; nodes that shrink or change would. */
	if (r == 0 && !nodeset_is_empty(&job->mems) && nodeset_equal(&present.mems, &job->mems) &&
	    (may_write_mems(cgroup, job) || nodeset_is_empty(&job->original.mems) ||
	     nodeset_is_subset(&job->mems, &job->original.mems)))
		r = restore_mems(cgroup, &job->original.mems, result, fault);
	if (r < 0)
		return r;
	return read_effective(cgroup, &result->effective, fault);
}

int cgroup_apply(struct applier *applier, const struct job *job, struct result *result,
		 struct fault *fault)
{
	cleanup(cgroup_done) struct cgroup cgroup = { applier, job->request->cgroup, -1 };
	int r = cgroup_open(&cgroup, job, fault);

	if (r < 0)
		return r;
	if (job->request->verb == APPLY_LOOK)
		return cgroup_look(&cgroup, result, fault);
	return job->request->verb == APPLY_SET ? cgroup_set(&cgroup, job, result, fault)
					       : cgroup_restore(&cgroup, job, result, fault);
}
