/* A process as a place: the affinity of each of its threads, in passes over PID/task until one
 * finds nothing new, since threads are born while we walk (a new thread inherits its creator's set,
 * so passes converge). A process is its start time and a pidfd, both looked at before each pass:
 * the pidfd keeps nobody from using the number again, but tells that the process has ended. A
 * thread has its stat read through a descriptor that dies with it, right before it is changed. */
#include "apply/applier.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apply/apply_threads.h"
#include "base/cleanup.h"

/* Two passes are the rule with spawning threads, three were never seen to be needed; more is a fork
 * bomb. */
#define N_PASSES_MAX 16

#define STAT_BYTES 2048 /* PID/stat is some 350 bytes */

/* include/linux/sched.h; field 9 of PID/stat */
#define PF_KTHREAD 0x00200000u

struct walk {
	const struct applier *applier;
	pid_t pid;
	int pidfd;
	int task_fd;
	const struct cpuset *wanted;
	const struct cpuset *only; /* restoring: threads that have just this; NULL: all */
	struct cpuset online;	   /* wanted without what is offline: what the kernel can show */
	struct cpuset granted;	   /* what it gave where that was less still (a cpuset) */
	struct cpuset seen;	   /* union over the threads of a pass */
	uint32_t n_writes;
	uint32_t n_new; /* in this pass: threads that were changed */
	int error;	/* the first thread that refused */
	pid_t error_tid;
};

static void walk_done(struct walk *walk)
{
	const struct sys *sys = walk->applier->sys;

	if (walk->task_fd >= 0)
		sys->close(sys, walk->task_fd);
	cpuset_done(&walk->online);
	cpuset_done(&walk->granted);
	cpuset_done(&walk->seen);
}

/* proc(5): fields 3 (state), 9 (flags) and 22 (start time); the name before them may hold blanks
 * and ')'. */
static int stat_parse(const char *text, char *ret_state, unsigned *ret_flags,
		      uint64_t *ret_start_time)
{
	const char *rest = strrchr(text, ')');

	if (!rest || sscanf(rest + 1,
			    " %c %*d %*d %*d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
			    "%*d %*d %" SCNu64,
			    ret_state, ret_flags, ret_start_time) != 3)
		return -EBADMSG;
	return 0;
}

/* 0, or -ESRCH where the process ended or is another one. */
static int process_check(const struct applier *applier, const struct apply_request *request,
			 int pidfd, struct fault *fault)
{
	char path[32], text[STAT_BYTES], state;
	uint64_t start_time;
	unsigned flags;
	ssize_t n;
	int r;

	snprintf(path, sizeof(path), "%" PRId64 "/stat", request->pid);
	n = applier_read_text(applier, applier->sys->proc_fd, path, text, sizeof(text));
	if (n == -ENOENT || n == -ESRCH)
		return fault_set(fault, -ESRCH, "process %" PRId64 " has ended", request->pid);
	if (n < 0)
		return fault_set(fault, (int)n, "process %" PRId64 ": cannot read its stat: %s",
				 request->pid, strerror((int)-n));
	r = stat_parse(text, &state, &flags, &start_time);
	if (r < 0)
		return fault_set(fault, r, "process %" PRId64 ": stat is '%s', expected 22 fields",
				 request->pid, text);
	if (start_time != request->start_time || applier->calls->has_ended(pidfd))
		return fault_set(fault, -ESRCH,
				 "process %" PRId64 " has ended, its number is another's now",
				 request->pid);
	if (flags & PF_KTHREAD)
		return fault_set(fault, -EPERM, "process %" PRId64 " is a thread of the kernel",
				 request->pid);
	return 0;
}

static int parse_tid(const char *name, pid_t *ret_tid)
{
	char *end;
	long tid;

	if (name[0] < '1' || name[0] > '9')
		return -EINVAL;
	errno = 0;
	tid = strtol(name, &end, 10);
	if (errno || *end || tid > INT32_MAX)
		return -EINVAL;
	*ret_tid = (pid_t)tid;
	return 0;
}

static bool is_right(const struct walk *walk, const struct cpuset *cpus)
{
	return cpuset_equal(cpus, walk->wanted) || cpuset_equal(cpus, &walk->online) ||
	       (!cpuset_is_empty(&walk->granted) && cpuset_equal(cpus, &walk->granted));
}

/* Sets one thread and reads it back into @cpus. 0, -ESRCH where it has gone. */
static int thread_set(struct walk *walk, pid_t tid, int stat_fd, struct cpuset *cpus)
{
	const struct sys *sys = walk->applier->sys;
	cleanup(cpuset_done) struct cpuset after = { 0 };
	char text[STAT_BYTES];
	ssize_t n = sys->read(sys, stat_fd, text, sizeof(text));
	int r;

	if (n < 0)
		return (int)n;
	r = sys->affinity_set(sys, tid, walk->wanted);
	if (r < 0)
		return r;
	r = sys->affinity_get(sys, tid, &after);
	if (r < 0)
		return r;
	if (cpuset_equal(&after,
			 cpus)) /* no more is to be had; not news, or passes would never end */
		return 0;
	walk->n_writes++;
	walk->n_new++;
	if (cpuset_is_subset(&after, walk->wanted) && !is_right(walk, &after)) {
		r = cpuset_copy(&walk->granted, &after);
		if (r < 0)
			return r;
	}
	cpuset_done(cpus);
	*cpus = cpuset_take(&after);
	return 0;
}

static int thread_visit(struct walk *walk, pid_t tid, int stat_fd)
{
	const struct sys *sys = walk->applier->sys;
	cleanup(cpuset_done) struct cpuset cpus = { 0 };
	int r = sys->affinity_get(sys, tid, &cpus);

	if (r < 0)
		return r;
	if (!is_right(walk, &cpus) && (!walk->only || cpuset_equal(&cpus, walk->only)))
		r = thread_set(walk, tid, stat_fd, &cpus);
	if (r == -ESRCH)
		return r;
	if (r < 0 && walk->error == 0) {
		walk->error = r;
		walk->error_tid = tid;
	}
	return cpuset_union(&walk->seen, &cpus);
}

static int on_thread(void *userdata, const char *name, bool is_directory)
{
	struct walk *walk = userdata;
	const struct sys *sys = walk->applier->sys;
	char path[64];
	pid_t tid;
	int fd, r;

	(void)is_directory; /* procfs tells, other file systems may not */
	if (parse_tid(name, &tid) < 0)
		return 0;
	snprintf(path, sizeof(path), "%d/stat", (int)tid);
	fd = sys->open(sys, walk->task_fd, path, O_RDONLY);
	if (fd == -ENOENT || fd == -ESRCH)
		return 0;
	if (fd < 0)
		return fd;
	r = thread_visit(walk, tid, fd);
	sys->close(sys, fd);
	return r == -ESRCH || r == -ENOENT ? 0 : r;
}

static int walk_pass(struct walk *walk)
{
	const struct sys *sys = walk->applier->sys;

	cpuset_done(&walk->seen);
	walk->n_new = 0;
	walk->error = 0;
	return sys->list(sys, walk->task_fd, on_thread, walk);
}

static int thread_fault(const struct walk *walk, struct fault *fault)
{
	static const struct {
		int error;
		const char *hint;
	} hints[] = {
		{ -EPERM, "it is another user's, CAP_SYS_NICE is needed" },
		{ -EACCES, "it is another user's, CAP_SYS_NICE is needed" },
		{ -EBUSY, "a SCHED_DEADLINE thread runs on all PUs of its domain or is refused" },
		{ -EINVAL,
		  "none of these PUs is online and in its cpuset, or its binding is fixed" },
	};
	cleanup(freep) char *cpus = cpuset_format(walk->wanted);
	const char *hint = strerror(-walk->error);

	for (size_t i = 0; i < N_ELEMENTS(hints); i++)
		if (hints[i].error == walk->error)
			hint = hints[i].hint;
	return fault_set(fault, walk->error,
			 "process %d: thread %d cannot be bound to PUs '%s': %s", (int)walk->pid,
			 (int)walk->error_tid, cpus ? cpus : "?", hint);
}

static int walk_all(struct walk *walk, const struct apply_request *request, struct fault *fault)
{
	for (unsigned n = 0; n < N_PASSES_MAX; n++) {
		int r = process_check(walk->applier, request, walk->pidfd, fault);

		if (r < 0)
			return r;
		r = walk_pass(walk);
		if (r < 0)
			return fault_set(fault, r, "process %d: cannot walk its threads: %s",
					 (int)walk->pid, strerror(-r));
		if (walk->n_new > 0)
			continue;
		/* An empty directory is that of a process which is just going. */
		if (cpuset_is_empty(&walk->seen) && walk->error == 0)
			return process_check(walk->applier, request, walk->pidfd, fault);
		return walk->error < 0 ? thread_fault(walk, fault) : 0;
	}
	return fault_set(fault, -EAGAIN, "process %d: new threads were found in each of %d passes",
			 (int)walk->pid, N_PASSES_MAX);
}

static int walk_open(struct walk *walk, struct fault *fault)
{
	const struct sys *sys = walk->applier->sys;
	char path[32];
	int r;

	snprintf(path, sizeof(path), "%d/task", (int)walk->pid);
	walk->task_fd = sys->open(sys, sys->proc_fd, path, O_RDONLY | O_DIRECTORY);
	if (walk->task_fd == -ENOENT || walk->task_fd == -ESRCH)
		return fault_set(fault, -ESRCH,
				 "process %d has ended before its threads were listed",
				 (int)walk->pid);
	if (walk->task_fd < 0)
		return fault_set(fault, walk->task_fd, "process %d: cannot list its threads: %s",
				 (int)walk->pid, strerror(-walk->task_fd));
	r = applier_online(walk->applier, &walk->online);
	if (r < 0)
		return fault_set(fault, r, "process %d: no memory for a set", (int)walk->pid);
	cpuset_intersect(&walk->online, walk->wanted);
	return 0;
}

static int process_look(const struct applier *applier, const struct job *job, struct result *result,
			struct fault *fault)
{
	struct original original = { 0 };
	pid_t pid = (pid_t)job->request->pid;
	int r = applier->sys->affinity_get(applier->sys, pid, &original.cpus);

	/* A pinned thread whose only PU is offline has an empty set: there is nothing to give back.
	 */
	if (r == 0 && !cpuset_is_empty(&original.cpus))
		return applier_found(&original, result, fault);
	original_done(&original);
	return r < 0 ? fault_set(fault, r, "process %d: its PUs cannot be read: %s", (int)pid,
				 strerror(-r))
		     : 0;
}

/* The target of PID/exe: ptrace(2), "PTRACE_MODE_READ_FSCREDS", guards it, so the front cannot. */
static int process_identify(const struct applier *applier, const struct job *job, int pidfd,
			    struct result *result, struct fault *fault)
{
	const struct sys *sys = applier->sys;
	char path[32], target[APPLY_FOUND_SIZE + 1];
	ssize_t n;
	int r;

	snprintf(path, sizeof(path), "%" PRId64 "/exe", job->request->pid);
	n = sys->read_link(sys, sys->proc_fd, path, target, sizeof(target));
	if (n < 0)
		return fault_set(fault, (int)n, "process %" PRId64 ": its executable: %s",
				 job->request->pid, strerror((int)-n));
	if (n >= APPLY_FOUND_SIZE)
		return fault_set(fault, -ENAMETOOLONG,
				 "process %" PRId64 ": the path of its executable is too long",
				 job->request->pid);
	/* What was read is about this process only if it still is this one. */
	r = process_check(applier, job->request, pidfd, fault);
	if (r < 0)
		return r;
	result->found = strdup(target);
	return result->found ? 0 : fault_set(fault, -ENOMEM, "no memory for an executable");
}

static int process_set(struct applier *applier, const struct job *job, int pidfd,
		       struct result *result, struct fault *fault)
{
	cleanup(walk_done) struct walk walk = { .applier = applier,
						.pid = (pid_t)job->request->pid,
						.pidfd = pidfd,
						.task_fd = -1,
						.wanted = &job->cpus };
	char what[32];
	int r = walk_open(&walk, fault);

	if (r < 0)
		return r;
	r = walk_all(&walk, job->request, fault);
	result->n_writes = walk.n_writes;
	result->is_written = walk.n_writes > 0;
	result->effective = cpuset_take(&walk.seen);
	if (r < 0)
		return r;
	snprintf(what, sizeof(what), "process %d", (int)walk.pid);
	r = applier_judge(what, &job->cpus, &result->effective, result, fault);
	if (r < 0 || !job->may_migrate || nodeset_is_empty(&job->mems))
		return r;
	r = threads_migrate(walk.pid, &applier->possible_nodes, &job->mems, fault);
	if (r <= 0)
		return r;
	result->is_written = true;
	fault_set(&result->remark, -EBUSY, "process %d: %d of its pages could not be moved",
		  (int)walk.pid, r);
	return 0;
}

static int process_restore(struct applier *applier, const struct job *job, int pidfd,
			   struct result *result, struct fault *fault)
{
	cleanup(cpuset_done) struct cpuset ours = { 0 };
	cleanup(walk_done) struct walk walk = { .applier = applier,
						.pid = (pid_t)job->request->pid,
						.pidfd = pidfd,
						.task_fd = -1,
						.wanted = &job->original.cpus,
						.only = &ours };
	int r = walk_open(&walk, fault);

	if (r < 0)
		return r;
	/* The kernel shows only what is online of our set. */
	r = applier_online(applier, &ours);
	if (r < 0)
		return fault_set(fault, r, "process %d: no memory to restore", (int)walk.pid);
	cpuset_intersect(&ours, &job->cpus);
	r = walk_all(&walk, job->request, fault);
	result->n_writes = walk.n_writes;
	result->is_written = walk.n_writes > 0;
	result->effective = cpuset_take(&walk.seen);
	if (r == 0 && !result->is_written)
		fault_set(&result->remark, -EXDEV,
			  "process %d: somebody else has bound it since, left alone",
			  (int)walk.pid);
	return r;
}

int process_apply(struct applier *applier, const struct job *job, struct result *result,
		  struct fault *fault)
{
	const struct sys *sys = applier->sys;
	int pidfd = sys->pidfd_open(sys, (pid_t)job->request->pid);
	int r;

	/* EINVAL, ENOENT since 6.15: the number is a thread's, not a process's. */
	if (pidfd == -ESRCH || pidfd == -EINVAL || pidfd == -ENOENT)
		return fault_set(fault, -ESRCH, "there is no process %" PRId64, job->request->pid);
	if (pidfd < 0)
		return fault_set(fault, pidfd, "process %" PRId64 ": cannot hold on to it: %s",
				 job->request->pid, strerror(-pidfd));
	r = process_check(applier, job->request, pidfd, fault);
	if (r == 0 && job->request->verb == APPLY_LOOK)
		r = process_look(applier, job, result, fault);
	else if (r == 0 && job->request->verb == APPLY_IDENTIFY)
		r = process_identify(applier, job, pidfd, result, fault);
	else if (r == 0 && job->request->verb == APPLY_SET)
		r = process_set(applier, job, pidfd, result, fault);
	else if (r == 0)
		r = process_restore(applier, job, pidfd, result, fault);
	sys->close(sys, pidfd);
	return r;
}
