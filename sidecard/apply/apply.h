/* Hands steps to the applier (a process of its own), reads its answers, sorts failures. The front's
 * half; touches nothing itself. */
#pragma once

#include <systemd/sd-event.h>

#include "base/err.h"
#include "plan/plan_diff.h"

struct apply;

/* What became of one step: always read back, never assumed. */
struct step_outcome {
	/* 0 or -errno. -ENOENT, -ESRCH, -ENODEV: the place is gone, no fault. Others: see text. */
	int error;
	bool written;	   /* false: it held already */
	uint32_t n_writes; /* system calls or bus calls that changed something */
	/* Read back. With error 0 never empty and never more than asked for; less where a PU is
	 * offline or an ancestor's cpuset is smaller. Empty: not known. */
	struct cpuset effective;
	/* Where written: what was there before this step, to be handed back for a restore; the
	 * caller keeps the first one of a place. Opaque (apply_message.h). NULL: nothing was
	 * written, or it is too long to be kept. */
	char *original;
	/* The failure in a sentence; with error 0 a remark ("unit 'x' is not active, ..."); NULL
	 * where there is none. */
	char *text;
};

struct apply_listener {
	void *userdata;
	/* All steps of one apply_steps() call are done, in order; @outcomes are borrowed. */
	void (*finished)(void *userdata, const struct step *steps,
			 const struct step_outcome *outcomes, size_t n_steps);
	/* The applier died or broke the protocol; everything pending is lost and finished() will
	 * not come. Every later call is -ENOTCONN: start another applier. */
	void (*died)(void *userdata);
	/* May memory nodes of running work change, and pages be moved (Migrate=yes)? NULL: never.
	 */
	bool (*may_migrate)(void *userdata, const struct place *place);
};

enum apply_mode {
	APPLY_REAL,
	/* --dry-run: the same interface; each step is told to @narrate, nothing is touched. */
	APPLY_NULL,
};

struct apply_options {
	enum apply_mode mode;
	int applier_fd; /* APPLY_REAL: our end of the socketpair; taken over */
	/* APPLY_NULL: "would narrow unit 'x' to PUs 0-3"; @userdata is the listener's. */
	void (*narrate)(void *userdata, const char *text);
};

int apply_open(sd_event *event, const struct apply_options *options,
	       const struct apply_listener *listener, struct apply **ret_apply,
	       struct fault *fault);
struct apply *apply_free(struct apply *apply);
void apply_freep(struct apply **apply);

/* Starts the steps; narrow steps are all answered before the first widen step is sent. Copies what
 * it needs. -EBUSY while an earlier call is not finished. A narrow step that fails (other than the
 * place being gone) holds back every widen step that would use its PUs: their outcome is -EAGAIN.
 */
int apply_steps(struct apply *apply, const struct steps *steps);
bool apply_is_busy(const struct apply *apply);

/* Puts back what was there before us, where the present value is still ours (@ours): blocks up to
 * @timeout_ms, for the way out. Steps of an unfinished apply_steps() end here: what is under way is
 * waited for, what it changed is put back too, the rest is dropped and finished() will not come.
 * All places are tried; a place that is gone or that somebody else has changed since is no failure.
 * 0, -ETIMEDOUT, -ENOTCONN, or the first failure. */
struct restore {
	const struct place *place;
	const char *original;
	const struct cpuset *ours;
	const struct nodeset *our_mems; /* NULL: we set no memory nodes there */
};
int apply_restore(struct apply *apply, const struct restore *restores, size_t n_restores,
		  unsigned timeout_ms);

/* Forks and executes sidecard-apply with an empty environment: before the caller drops its own
 * capabilities. @cgroup_root may be NULL. The applier ends when the socket does; it ignores
 * SIGTERM, SIGINT and SIGHUP, so that the front can still restore. */
struct applier_options {
	const char *path; /* of the program */
	const char *cgroup_root;
	bool use_bus;		 /* may it ask PID 1? */
	const char *bus_address; /* NULL: the system bus */
	/* Migrate=yes on processes: it keeps CAP_SYS_PTRACE beside CAP_SYS_NICE. */
	bool may_move_pages;
};
/* 0, or -errno with @fault where it could not be executed. @ret_fd is non-blocking. */
int applier_start(const struct applier_options *options, int *ret_fd, pid_t *ret_pid,
		  struct fault *fault);
