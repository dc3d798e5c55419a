/* The applier's inside: the small privileged process that does what a checked request says, and
 * reads back. One request at a time, blocking. Kernel files, threads and the clock come through
 * struct sys; the few calls that it lacks are in struct applier_calls, so that tests can fail each.
 */
#pragma once

#include <systemd/sd-bus.h>

#include "apply/apply_message.h"
#include "base/err.h"
#include "base/sys.h"
#include "plan/plan_diff.h"

struct applier_calls {
	bool (*is_cgroup2)(int fd);	  /* is the file on cgroupfs v2? */
	bool (*is_delegated)(int fd);	  /* has PID 1 marked the cgroup as delegated? */
	bool (*manager_is_systemd)(void); /* does PID 1 own the top of the tree? */
	bool (*has_ended)(int pidfd);
	int (*remove)(int dirfd, const char *name, bool is_directory); /* 0 or -errno */
	/* Waits; ends early where @hangup_fd (or -1) is hung up: -ECONNABORTED, nobody is left to
	 * answer. */
	int (*wait)(int hangup_fd, unsigned wait_ms);
};
extern const struct applier_calls applier_calls_linux;

struct applier {
	const struct sys *sys;
	const struct applier_calls *calls;
	int root_fd;	      /* the cgroup v2 hierarchy; -1: none */
	bool root_is_cgroup2; /* else an ordinary directory, without a kernel behind it */
	int system_fd;	      /* devices/system of sysfs */
	int manager_fd; /* PID 1's runtime directory, whose system.control/ holds drop-ins; -1: none
			 */
	int front_fd;	/* the socket to the front; -1 in tests */
	pid_t pid;	/* our own */
	bool use_bus;
	const char *bus_address; /* NULL: the system bus */
	sd_bus *bus;		 /* NULL until first needed, and after it was lost */
	struct cpuset possible;
	struct nodeset possible_nodes;
};

/* A request that passed the check. */
struct job {
	const struct apply_request *request;
	struct cpuset cpus; /* SET: wanted; RESTORE: ours */
	struct nodeset mems;
	struct original original; /* RESTORE; only possible PUs and nodes */
	bool may_migrate;
	uint64_t budget_us; /* UINT64_MAX: as long as it takes */
};

struct result {
	bool is_written;
	uint32_t n_writes;
	struct cpuset effective;
	char *found;	     /* LOOK: original_format(); IDENTIFY: a path; NULL: nothing */
	struct fault remark; /* text "": none */
};

void job_done(struct job *job);
void result_done(struct result *result);

/* applier.c: reads what is possible; 0 or -errno with @fault. */
int applier_init(struct applier *applier, struct fault *fault);
void applier_done(struct applier *applier);
/* 0, -EINVAL or -ENOMEM. Touches nothing. */
int applier_check(const struct applier *applier, const void *bytes, size_t n_bytes,
		  struct job *ret_job, struct fault *fault);
/* Checks, does, reads back, fills the answer. */
void applier_handle(struct applier *applier, const void *bytes, size_t n_bytes,
		    struct apply_answer *ret_answer);
/* PUs that are online now; all possible ones where that cannot be read. */
int applier_online(const struct applier *applier, struct cpuset *ret_cpus);
/* A set out of a kernel file below @dirfd. 0 or -errno. */
int applier_read_cpus(const struct applier *applier, int dirfd, const char *file,
		      struct cpuset *ret_cpus);
int applier_read_nodes(const struct applier *applier, int dirfd, const char *file,
		       struct nodeset *ret_nodes);
/* A small text file; always terminated. Length or -errno. */
ssize_t applier_read_text(const struct applier *applier, int dirfd, const char *file, char *buffer,
			  size_t buffer_size);
/* Directory of a cgroup ("/a/b") on the right file system; -ENOENT and -ENODEV: gone. */
int applier_open_cgroup(const struct applier *applier, const char *cgroup, int *ret_fd);
/* LOOK: what the place has is @original (taken over). 0 or -ENOMEM with @fault. */
int applier_found(struct original *original, struct result *result, struct fault *fault);
/* Did we get it? 0 (@effective lies within @wanted, a remark where it is less), or -EXDEV with
 * @fault. @what: "cgroup '/a'". */
int applier_judge(const char *what, const struct cpuset *wanted, const struct cpuset *effective,
		  struct result *result, struct fault *fault);

/* One kind of place each. 0 or -errno with @fault; @result is filled as far as it went. -ENOENT,
 * -ENODEV and -ESRCH only where the place is gone. */
int unit_apply(struct applier *applier, const struct job *job, struct result *result,
	       struct fault *fault);
int cgroup_apply(struct applier *applier, const struct job *job, struct result *result,
		 struct fault *fault);
int process_apply(struct applier *applier, const struct job *job, struct result *result,
		  struct fault *fault);
