/* Processes as /proc and the process connector show them. Every byte of it but the numbers was
 * chosen by somebody else.
 *
 * Identity on kernels that have no better: open a pidfd, read /proc/PID, then ask the pidfd whether
 * the process still lives; only then is what was read about that process and not about the next one
 * with its number (K71). */
#pragma once

#include <sys/types.h>

#include "base/sys.h"
#include "sense/match.h"

/* What process_facts_read() shall find out beside start time and cgroup. */
enum process_want {
	WANT_EXECUTABLE = 1 << 0,
	WANT_COMMAND_LINE = 1 << 1,
	WANT_UID = 1 << 2,
};

/* -ESRCH: gone, a zombie, a kernel thread, or in a cgroup that is deleted or outside of what we
 * see. Else 0 or -ENOMEM; what we may not read stays NULL. */
int process_facts_read(const struct sys *sys, pid_t pid, unsigned wants,
		       struct process_facts *ret_facts);
void process_facts_done(struct process_facts *facts);
/* What match_process() will need for @workload: bits of enum process_want. */
unsigned process_wants(const struct workload *workload);
/* The target of PID/exe: malloc'ed, NULL where there is none or we may not know. */
char *process_executable(const struct sys *sys, pid_t pid);

/* "0::/a/b" of PID/cgroup; other lines belong to v1 hierarchies of a hybrid host. @ret_path: ""
 * where no line is v2's. 0; -ESRCH where the path is refused (deleted, outside our namespace, not
 * absolute); -ENOMEM. */
int cgroup_line_parse(const char *text, char **ret_path);
/* PID/stat. 0, -ESRCH for zombies and kernel threads, -EINVAL malformed. */
int process_stat_parse(const char *text, uint64_t *ret_start_time);

/* The name of a directory of /proc that is a process: > 0; else 0. */
pid_t pid_parse(const char *name);
bool pidfd_is_alive(int pidfd);

enum proc_event_kind {
	PROC_LISTENING, /* the kernel accepted us; in a container it never says so, and nothing
			   comes */
	/* It refused a request: we may not switch events on. That it says so means that somebody
	 * has (cn_proc_ack() of Linux before 6.6: one switch for all, and no word while it is off).
	 */
	PROC_REFUSED,
	PROC_FORKED,  /* a new process (not a thread) of @parent */
	PROC_CHANGED, /* exec, or another uid */
};

struct proc_event_seen {
	enum proc_event_kind kind;
	pid_t pid, parent;
};

/* The next message of interest in the @n_bytes that the process connector gave, from *@offset on;
 * false at the end. */
bool proc_event_next(const void *data, size_t n_bytes, size_t *offset,
		     struct proc_event_seen *ret_event);
