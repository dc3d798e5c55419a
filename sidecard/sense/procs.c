#include "sense/procs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "sense/world.h"

/* A path of /proc/PID has at most 10 digits and the longest name we ask for. */
#define PROC_PATH_SIZE 32
/* All arguments of a process may take a quarter of its stack limit, 2 MiB by default (execve(2));
 * what is longer does not match. */
#define COMMAND_LINE_MAX (2u << 20)
/* Up to PATH_MAX for each hierarchy; a hybrid host has about a dozen. */
#define CGROUP_MAX (64u << 10)
#define STATUS_MAX (64u << 10)
/* PF_KTHREAD of include/linux/sched.h: what field 9 of PID/stat shows for kernel threads. */
#define FLAG_KERNEL_THREAD 0x00200000ul

pid_t pid_parse(const char *name)
{
	long pid = 0;

	if (*name < '1' || *name > '9')
		return 0;
	for (; *name >= '0' && *name <= '9' && pid <= INT_MAX / 10; name++)
		pid = pid * 10 + (*name - '0');
	return *name || pid > INT_MAX ? 0 : (pid_t)pid;
}

bool pidfd_is_alive(int pidfd)
{
	struct pollfd poll_fd = { .fd = pidfd, .events = POLLIN };
	int n;

	do
		n = poll(&poll_fd, 1, 0);
	while (n < 0 && errno == EINTR);
	return n == 0;
}

static int proc_open(const struct sys *sys, pid_t pid, const char *name)
{
	char path[PROC_PATH_SIZE];

	snprintf(path, sizeof(path), "%d/%s", (int)pid, name);
	return sys->open(sys, sys->proc_fd, path, O_RDONLY | O_NONBLOCK);
}

/* The whole file, malloc'ed and terminated, at most @max bytes; begins small, since nearly all are.
 */
static ssize_t proc_read(const struct sys *sys, pid_t pid, const char *name, size_t max,
			 char **ret_text)
{
	int fd = proc_open(sys, pid, name);
	ssize_t n = -EFBIG;
	char *text = NULL;

	if (fd < 0)
		return fd;
	for (size_t size = 4096; n == -EFBIG && size <= max; size *= 4) {
		char *bigger = realloc(text, size);

		if (!bigger) {
			n = -ENOMEM;
			break;
		}
		text = bigger;
		n = sys->read(sys, fd, text, size);
	}
	sys->close(sys, fd);
	if (n < 0) {
		free(text);
		return n;
	}
	*ret_text = text;
	return n;
}

int process_stat_parse(const char *text, uint64_t *ret_start_time)
{
	/* The name in parentheses is the process's own choice and may hold anything; the last ')'
	 * ends it. */
	const char *p = strrchr(text, ')');
	unsigned long long flags = 0, start_time = 0;
	char state;

	if (!p || p[1] != ' ' || !p[2])
		return -EINVAL;
	state = p[2];
	p += 3;
	for (int field = 4; field <= 22; field++) {
		char *end;
		unsigned long long value;

		if (*p++ != ' ')
			return -EINVAL;
		errno = 0;
		value = strtoull(p, &end, 10);
		if (end == p || errno != 0)
			return -EINVAL;
		if (field == 9)
			flags = value;
		start_time = value;
		p = end;
	}
	if (state == 'Z' || state == 'X' || state == 'x' || (flags & FLAG_KERNEL_THREAD))
		return -ESRCH;
	*ret_start_time = start_time;
	return 0;
}

/* Paths that lead out of what we see ("/../x", K8) or to what is no more. */
static bool cgroup_path_is_refused(const char *path, size_t n_path)
{
	static const char deleted[] = " (deleted)";
	size_t n = sizeof(deleted) - 1;

	if (n_path == 0 || path[0] != '/')
		return true;
	if (n_path >= n && memcmp(path + n_path - n, deleted, n) == 0)
		return true;
	for (size_t i = 0; i + 2 < n_path; i++)
		if (memcmp(path + i, "/..", 3) == 0 && (i + 3 == n_path || path[i + 3] == '/'))
			return true;
	return false;
}

int cgroup_line_parse(const char *text, char **ret_path)
{
	const char *path = NULL;
	char *copy;
	size_t n = 0;

	for (const char *line = text; *line; line += n + (line[n] == '\n')) {
		n = strcspn(line, "\n");
		if (n >= 3 && memcmp(line, "0::", 3) == 0) {
			path = line + 3;
			n -= 3;
			break;
		}
	}
	if (path && cgroup_path_is_refused(path, n))
		return -ESRCH;
	copy = path ? strndup(path, n) : strdup("");
	if (!copy)
		return -ENOMEM;
	*ret_path = copy;
	return 0;
}

int process_read(const struct sys *sys, pid_t pid, uint64_t *ret_start_time, char **ret_cgroup)
{
	cleanup(freep) char *stat = NULL, *text = NULL;
	uint64_t start_time;
	ssize_t n;
	int r;

	if (pid <= 0)
		return -ESRCH;
	n = proc_read(sys, pid, "stat", 16384, &stat);
	if (n < 0)
		return n == -ENOMEM ? -ENOMEM : -ESRCH;
	r = process_stat_parse(stat, &start_time);
	if (r < 0)
		return -ESRCH;
	if (ret_cgroup) {
		n = proc_read(sys, pid, "cgroup", CGROUP_MAX, &text);
		if (n < 0)
			return n == -ENOMEM ? -ENOMEM : -ESRCH;
		r = cgroup_line_parse(text, ret_cgroup);
		if (r < 0)
			return r;
	}
	if (ret_start_time)
		*ret_start_time = start_time;
	return 0;
}

char *process_executable(const struct sys *sys, pid_t pid)
{
	char path[PROC_PATH_SIZE], target[PATH_MAX + 16];

	snprintf(path, sizeof(path), "%d/exe", (int)pid);
	if (sys->read_link(sys, sys->proc_fd, path, target, sizeof(target)) <= 0)
		return NULL;
	return strdup(target);
}

/* Arguments are separated and ended by NUL; they come back joined by one blank. */
static char *command_line_read(const struct sys *sys, pid_t pid)
{
	char *text = NULL;
	ssize_t n = proc_read(sys, pid, "cmdline", COMMAND_LINE_MAX, &text);

	if (n < 0)
		return NULL;
	while (n > 0 && text[n - 1] == '\0')
		n--;
	for (ssize_t i = 0; i < n; i++)
		if (text[i] == '\0')
			text[i] = ' ';
	if (n == 0) {
		free(text);
		return NULL;
	}
	return text;
}

/* "Uid:\treal\teffective\t…" of PID/status. Not the owner of the directory: that is root as soon as
 * a process has changed its user (proc(5), dumpable). */
static bool uid_read(const struct sys *sys, pid_t pid, uint32_t *ret_uid)
{
	cleanup(freep) char *text = NULL;
	const char *line;
	unsigned uid;

	if (proc_read(sys, pid, "status", STATUS_MAX, &text) < 0)
		return false;
	/* The name in the first line is escaped by the kernel, so no process can write a line of
	 * its own here. */
	line = strstr(text, "\nUid:");
	if (!line || sscanf(line, "\nUid: %*u %u", &uid) != 1)
		return false;
	*ret_uid = uid;
	return true;
}

int process_facts_read(const struct sys *sys, pid_t pid, unsigned wants,
		       struct process_facts *ret_facts)
{
	struct process_facts facts = { 0 };
	int r = process_read(sys, pid, &facts.start_time, &facts.cgroup);

	if (r < 0)
		return r;
	if (wants & WANT_EXECUTABLE)
		facts.executable = process_executable(sys, pid);
	if (wants & WANT_COMMAND_LINE)
		facts.command_line = command_line_read(sys, pid);
	if (wants & WANT_UID)
		facts.has_uid = uid_read(sys, pid, &facts.uid);
	*ret_facts = facts;
	return 0;
}

void process_facts_done(struct process_facts *facts)
{
	free(facts->cgroup);
	free(facts->executable);
	free(facts->command_line);
	*facts = (struct process_facts){ 0 };
}

unsigned process_wants(const struct workload *workload)
{
	const struct match *match = &workload->match;

	return (match->executables.n_items ? WANT_EXECUTABLE : 0u) |
	       (match->command_lines.n_items ? WANT_COMMAND_LINE : 0u) |
	       (match->users.n_items ? WANT_UID : 0u);
}

bool process_matches(const struct sys *sys, pid_t pid, const struct workload *workload)
{
	cleanup(process_facts_done) struct process_facts facts = { 0 };

	return process_facts_read(sys, pid, process_wants(workload), &facts) == 0 &&
	       match_process(workload, &facts);
}

/* What one event of the connector tells us; false where it is none of our business. */
static bool proc_event_classify(const struct proc_event *event, struct proc_event_seen *ret_event)
{
	struct proc_event_seen seen = { 0 };

	switch ((unsigned)event->what) {
	case PROC_EVENT_NONE:
		seen.kind = event->event_data.ack.err == 0 ? PROC_LISTENING : PROC_REFUSED;
		break;
	case PROC_EVENT_FORK:
		if (event->event_data.fork.child_pid != event->event_data.fork.child_tgid)
			return false; /* a thread */
		seen.kind = PROC_FORKED;
		seen.pid = event->event_data.fork.child_tgid;
		seen.parent = event->event_data.fork.parent_tgid;
		break;
	case PROC_EVENT_EXEC:
		seen.kind = PROC_CHANGED;
		seen.pid = event->event_data.exec.process_tgid;
		break;
	case PROC_EVENT_UID:
		seen.kind = PROC_CHANGED;
		seen.pid = event->event_data.id.process_tgid;
		break;
	default:
		return false;
	}
	if (seen.kind != PROC_LISTENING && seen.kind != PROC_REFUSED && seen.pid <= 0)
		return false;
	*ret_event = seen;
	return true;
}

bool proc_event_next(const void *data, size_t n_bytes, size_t *offset,
		     struct proc_event_seen *ret_event)
{
	while (*offset <= n_bytes && n_bytes - *offset >= NLMSG_HDRLEN) {
		const char *at = (const char *)data + *offset;
		size_t n_payload,
			n_head = sizeof(struct cn_msg) + offsetof(struct proc_event, event_data);
		struct proc_event event = { 0 };
		struct nlmsghdr header;
		struct cn_msg message;

		memcpy(&header, at, sizeof(header));
		if (header.nlmsg_len < NLMSG_HDRLEN || header.nlmsg_len > n_bytes - *offset)
			return false;
		*offset += NLMSG_ALIGN(header.nlmsg_len);
		n_payload = header.nlmsg_len - NLMSG_HDRLEN;
		if (header.nlmsg_type != NLMSG_DONE || n_payload < n_head)
			continue;
		memcpy(&message, at + NLMSG_HDRLEN, sizeof(message));
		if (message.id.idx != CN_IDX_PROC || message.id.val != CN_VAL_PROC)
			continue;
		n_payload -= sizeof(message);
		if (n_payload > sizeof(event))
			n_payload = sizeof(event);
		memcpy(&event, at + NLMSG_HDRLEN + sizeof(message), n_payload);
		if (proc_event_classify(&event, ret_event))
			return true;
	}
	return false;
}
