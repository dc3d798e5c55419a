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
	/* Of a step that was to be looked at first: what the place had, to be handed back for a
	 * restore. Opaque (apply_message.h). NULL: there is nothing that could be given back, or
	 * it is too long to be kept. */
	char *original;
	/* The failure in a sentence; with error 0 a remark ("unit 'x' is not active, ..."); NULL
	 * where there is none. */
	char *text;
};

/* What was there before us is put back where the present value is still ours. A place that may have
 * one of several values of ours comes once for each. */
struct restore {
	const struct place *place;
	const char *original;
	const struct cpuset *ours;
	const struct nodeset *our_mems; /* NULL: we set no memory nodes there */
};

struct apply_listener {
	void *userdata;
	/* Everything that was to be looked at has been: @outcomes hold what there was (or the
	 * error that ends a step). The first write leaves when this returns, so what is saved here
	 * is saved before. Not called where nothing was looked at. */
	void (*looked)(void *userdata, const struct step *steps,
		       const struct step_outcome *outcomes, size_t n_steps);
	/* One restore of the orders is done: 0, or the failure and its text. A place that is gone,
	 * or that somebody else has changed since, is none. Always before finished(). */
	void (*restored)(void *userdata, const struct restore *restore, int error,
			 const char *text);
	/* All orders of one apply_begin() call are done, in order; @outcomes are borrowed. */
	void (*finished)(void *userdata, const struct step *steps,
			 const struct step_outcome *outcomes, size_t n_steps);
	/* The applier died or broke the protocol; everything pending is lost and finished() will
	 * not come. Every later call is -ENOTCONN: start another applier. */
	void (*died)(void *userdata);
	/* May memory nodes of running work change, and pages be moved (Migrate=yes)? NULL: never.
	 */
	bool (*may_migrate)(void *userdata, const struct place *place);
	/* The answer to apply_identify(): what PID/exe says, with its " (deleted)"; "" where the
	 * applier may not read it either; NULL: it has ended, or has none. NULL: nobody asks. */
	void (*identified)(void *userdata, pid_t pid, uint64_t start_time, const char *executable);
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

/* What is to be done at once. */
struct apply_orders {
	const struct steps *steps;
	/* One a step: is the place to be looked at first, since we have not written there yet?
	 * NULL: none is. */
	const bool *looks;
	const struct restore *restores;
	size_t n_restores;
};

/* Starts the orders, in phases; each is answered before the first of the next is sent: look, narrow
 * (and verify), restore, widen. Copies what it needs. -EBUSY while an earlier call is not finished.
 * A narrow step or a restore that fails (other than the place being gone) holds back every widen
 * step that would use its PUs: their outcome is -EAGAIN. */
int apply_begin(struct apply *apply, const struct apply_orders *orders);
bool apply_is_busy(const struct apply *apply);

/* Asks which executable a process runs, for those of other users; the answer is identified(), later
 * and in the order of the questions. 0; -ENOTSUP (a dry run), -ENOTCONN, -ENOMEM; -EAGAIN: too many
 * questions are open, ask again later. */
int apply_identify(struct apply *apply, pid_t pid, uint64_t start_time);

/* For the way out: blocks up to @timeout_ms. Orders of an unfinished apply_begin() end here: what
 * is under way is waited for, the rest is dropped and finished() will not come. Every place gets
 * its turn: processes and cgroups first, then units, each with its share of the time that is left.
 * 0, -ETIMEDOUT, -ENOTCONN, or the first failure. */
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
	/* Executable= and Migrate=yes on other users' processes: it keeps CAP_SYS_PTRACE beside
	 * CAP_SYS_NICE. */
	bool may_inspect;
};
/* 0, or -errno with @fault where it could not be executed. @ret_fd is non-blocking. */
int applier_start(const struct applier_options *options, int *ret_fd, pid_t *ret_pid,
		  struct fault *fault);
