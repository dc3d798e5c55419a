/* Hands steps to the applier (a process of its own), reads its answers, sorts failures. The front's half; touches nothing itself. */
#pragma once

#include <systemd/sd-event.h>

#include "base/err.h"
#include "plan/plan_diff.h"

struct apply;

/* What became of one step: always read back, never assumed. */
struct step_outcome {
	int error;               /* 0; or -errno: -ENOENT/-ESRCH/-ENODEV: the place is gone (no fault), others: see text */
	bool written;            /* false: it held already */
	uint32_t n_writes;       /* system calls or bus calls that changed something */
	struct cpuset effective; /* what was read back */
	char *original;          /* first time only: what was there before us, to be handed back for a restore; NULL */
	char *text;              /* the failure in a sentence; NULL where there is none */
};

struct apply_listener {
	void *userdata;
	/* All steps of one apply_steps() call are done, in order; @outcomes are borrowed. */
	void (*finished)(void *userdata, const struct step *steps, const struct step_outcome *outcomes,
			 size_t n_steps);
	/* The applier died; everything pending is lost and finished() will not come. */
	void (*died)(void *userdata);
};

enum apply_mode {
	APPLY_REAL,
	APPLY_NULL, /* --dry-run: the same interface; each step is told to @narrate, nothing is touched */
};

struct apply_options {
	enum apply_mode mode;
	int applier_fd; /* APPLY_REAL: our end of the socketpair; taken over */
	void (*narrate)(void *userdata, const char *text); /* APPLY_NULL: "would narrow unit 'x' to PUs 0-3" */
};

int apply_open(sd_event *event, const struct apply_options *options, const struct apply_listener *listener,
	       struct apply **ret_apply, struct fault *fault);
struct apply *apply_free(struct apply *apply);
void apply_freep(struct apply **apply);

/* Starts the steps; narrow steps are all answered before the first widen step is sent. Copies what it needs. -EBUSY while an earlier call is not finished.
 * A narrow step that fails (other than the place being gone) holds back every widen step that would use its PUs: their outcome is -EAGAIN. */
int apply_steps(struct apply *apply, const struct steps *steps);
bool apply_is_busy(const struct apply *apply);

/* Puts back what was there before us, where the present value is still ours (@ours): blocks up to @timeout_ms, for the way out. */
struct restore {
	const struct place *place;
	const char *original;
	const struct cpuset *ours;
};
int apply_restore(struct apply *apply, const struct restore *restores, size_t n_restores,
		  unsigned timeout_ms);

/* Forks and executes sidecard-apply with a clean environment: before the caller drops its own capabilities. @cgroup_root may be NULL. */
struct applier_options {
	const char *path; /* of the program */
	const char *cgroup_root;
	bool use_bus; /* may it ask PID 1? */
};
int applier_start(const struct applier_options *options, int *ret_fd, pid_t *ret_pid, struct fault *fault);
