/* How processes that workloads match are found: the process connector tells of every fork and exec;
 * where it is not to be had, /proc is looked at when a cgroup says that something happened in it,
 * and by a timer that slows down while nothing does. Only where such workloads exist. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sense/procs.h"
#include "sense/world_internal.h"

/* Something happened just now: the next look comes soon; while nothing is found, the interval
 * doubles. */
#define LOOK_SOON_US (1u * 1000000u)
#define LOOK_LATE_US (30u * 1000000u)
/* Two looks at all of /proc are this far apart at least, however fast cgroups tell of changes: on a
 * host with thousands of processes one takes tens of milliseconds. */
#define LOOK_GAP_US 100000u
/* Messages of the connector handled before others get their turn. */
#define N_MESSAGES_MAX 256u

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata);

static void look_in(struct world *world, uint64_t delay_us)
{
	int r;

	if (world->timer_source) {
		r = sd_event_source_set_time_relative(world->timer_source, delay_us);
		if (r >= 0)
			r = sd_event_source_set_enabled(world->timer_source, SD_EVENT_ONESHOT);
	} else {
		r = sd_event_add_time_relative(world->event, &world->timer_source, CLOCK_MONOTONIC,
					       delay_us, delay_us / 10, on_timer, world);
	}
	if (r < 0)
		world_notice(world, "cannot set a timer: %s, new processes may be missed",
			     strerror(-r));
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct world *world = userdata;

	(void)source;
	(void)usec;
	if (world->look_again_us < LOOK_LATE_US)
		world->look_again_us *= 2;
	if (world->look_again_us > LOOK_LATE_US)
		world->look_again_us = LOOK_LATE_US;
	world->looked_us = 0;
	world_mark(world, DIRTY_PROCESSES);
	return 0;
}

void seek_hurry(struct world *world)
{
	if (world->n_seekers == 0 || world->connector_works)
		return;
	world->look_again_us = LOOK_SOON_US;
	look_in(world, LOOK_SOON_US);
}

/* The first workload in name order that matches; PLACE_NOBODY. */
static uint32_t seeker_of(struct world *world, const struct process_facts *facts)
{
	uint32_t owner = PLACE_NOBODY;

	for (size_t i = 0; i < world->n_seekers; i++) {
		uint32_t w = world->seekers[i];

		if (!match_process(world->workloads[w], facts))
			continue;
		if (owner != PLACE_NOBODY) {
			world_notice(world,
				     "workloads '%s' and '%s' both match processes ('%s'),"
				     " '%s' has them",
				     world->workloads[owner]->name, world->workloads[w]->name,
				     facts->executable ? facts->executable : facts->cgroup,
				     world->workloads[owner]->name);
			break;
		}
		owner = w;
	}
	return owner;
}

/* What one readlink can rule out; where we may not read it, nothing is. */
static bool executable_is_sought(struct world *world, pid_t pid)
{
	cleanup(freep) char *executable = NULL;

	if (!world->every_seeker_has_executable)
		return true;
	executable = process_executable(world->sys, pid);
	for (size_t i = 0; executable && i < world->n_seekers; i++)
		if (match_executable(world->workloads[world->seekers[i]], executable))
			return true;
	return !executable;
}

/* Would its executable decide? */
static bool executable_matters(const struct world *world, const struct process_facts *facts)
{
	for (size_t i = 0; i < world->n_seekers; i++) {
		const struct workload *workload = world->workloads[world->seekers[i]];

		if (workload->match.executables.n_items && match_process_otherwise(workload, facts))
			return true;
	}
	return false;
}

/* True where the answer will come, or where it is to be asked again. */
static bool ask_executable(struct world *world, pid_t pid, uint64_t start_time)
{
	int r = world->listener.identify
			? world->listener.identify(world->listener.userdata, pid, start_time)
			: -ENOTSUP;

	if (r == 0) {
		world->n_unidentified++;
		return true;
	}
	if (r == -EAGAIN) {
		look_in(world, LOOK_SOON_US);
		return true;
	}
	world_notice(world, "executables of other users' processes cannot be read here, so that"
			    " Executable= matches our own user's alone");
	return false;
}

/* What was read is about the process of @pidfd; @was_told: we could not read its executable. */
static int seek_decide(struct world *world, pid_t pid, int pidfd, struct process_facts *facts,
		       bool was_told)
{
	struct process *known = process_find(world, pid);
	struct process process = { .pid = pid,
				   .start_time = facts->start_time,
				   .workload = seeker_of(world, facts),
				   .pidfd = pidfd };
	int r;

	if (known && known->start_time == facts->start_time &&
	    known->workload == process.workload) {
		world->sys->close(world->sys, pidfd);
		return 0;
	}
	if (known)
		process_drop(world, known);
	if (process.workload == PLACE_NOBODY) {
		world->sys->close(world->sys, pidfd);
		return 0;
	}
	process.cgroup = facts->cgroup;
	process.executable = was_told ? facts->executable : NULL;
	r = process_add(world, &process);
	if (r < 0) {
		world->sys->close(world->sys, pidfd);
		return r;
	}
	facts->cgroup = NULL;
	if (was_told)
		facts->executable = NULL;
	seek_hurry(world);
	return 0;
}

int seek_check_as(struct world *world, pid_t pid, const char *executable)
{
	cleanup(process_facts_done) struct process_facts facts = { 0 };
	struct process *known = process_find(world, pid);
	cleanup(close_fdp) int pidfd = -1;
	bool was_told = false;
	int r;

	if (world->n_seekers == 0 || pid == getpid() || (known && known->registered))
		return 0;
	if (!executable && !executable_is_sought(world, pid)) {
		if (known)
			process_drop(world, known);
		return 0;
	}
	pidfd = world->sys->pidfd_open(world->sys, pid);
	if (pidfd < 0) {
		if (pidfd != -ESRCH && pidfd != -EINVAL)
			world_notice(world, "cannot hold on to every process: %s, some are missed",
				     strerror(-pidfd));
		return pidfd == -ENOMEM ? pidfd : 0;
	}
	r = process_facts_read(world->sys, pid, world->process_wants, &facts);
	if (r < 0 || !pidfd_is_alive(pidfd))
		return r == -ENOMEM ? r : 0;
	if (!facts.executable && executable && *executable) {
		facts.executable = strdup(executable);
		was_told = facts.executable;
	}
	if (!facts.executable && !executable && executable_matters(world, &facts) &&
	    ask_executable(world, pid, facts.start_time))
		return 0;
	return seek_decide(world, pid, TAKE_FD(pidfd), &facts, was_told);
}

int seek_check(struct world *world, pid_t pid)
{
	return seek_check_as(world, pid, NULL);
}

int world_identified(struct world *world, pid_t pid, uint64_t start_time, const char *executable)
{
	uint64_t present;
	int r;

	world->n_unidentified--;
	/* Who executes something just now is told of by his next event; somebody else with the same
	 * number is asked for by himself. */
	if (!executable || process_read(world->sys, pid, &present, NULL) < 0 ||
	    present != start_time)
		return 0;
	if (!*executable)
		world_notice(world, "executables of other users' processes cannot be read here, so"
				    " that Executable= matches our own user's alone");
	r = seek_check_as(world, pid, executable);
	if (r == -ENOMEM)
		world_mark(world, DIRTY_PROCESSES);
	return r;
}

bool world_has(const struct world *world, uint32_t workload, pid_t pid, uint64_t start_time)
{
	const struct process *process = process_find(world, pid);

	return process && process->start_time == start_time && process->workload == workload;
}

struct pid_list {
	pid_t *pids;
	size_t n_pids, n_pids_max;
};

static int pid_add(void *userdata, const char *name, bool is_directory)
{
	struct pid_list *list = userdata;
	pid_t pid = pid_parse(name);

	if (!is_directory || pid == 0)
		return 0;
	if (list->n_pids == list->n_pids_max) {
		size_t n_max = list->n_pids_max ? list->n_pids_max * 2 : 256;
		pid_t *bigger = realloc(list->pids, n_max * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		list->pids = bigger;
		list->n_pids_max = n_max;
	}
	list->pids[list->n_pids++] = pid;
	return 0;
}

static int look_at_all(struct world *world)
{
	struct pid_list list = { 0 };
	int r = world->sys->list(world->sys, world->sys->proc_fd, pid_add, &list);

	world->looked_us = world->sys->now_us(world->sys);
	if (r < 0 && r != -ENOMEM) {
		world_notice(world, "cannot list processes: %s, retrying", strerror(-r));
		r = 0;
	}
	for (size_t i = 0; r == 0 && i < list.n_pids; i++)
		r = seek_check(world, list.pids[i]);
	free(list.pids);
	return r;
}

int seek_settle(struct world *world)
{
	uint64_t since_us = world->sys->now_us(world->sys) - world->looked_us;
	int r;

	if (world->n_seekers == 0)
		return 0;
	if (!(world->dirty & (DIRTY_PROCESSES | DIRTY_RESCAN)))
		return 0;
	if (!(world->dirty & DIRTY_RESCAN) && world->looked_us > 0 && since_us < LOOK_GAP_US) {
		look_in(world, LOOK_GAP_US - since_us);
		return 0;
	}
	r = look_at_all(world);
	if (!world->connector_works)
		look_in(world, world->look_again_us);
	return r;
}

static bool connector_is_given(const struct world *world)
{
	return world->options.proc_events_fd > 0;
}

static void connector_close(struct world *world)
{
	world->connector_source = sd_event_source_disable_unref(world->connector_source);
	if (world->connector_fd >= 0 && !connector_is_given(world))
		world->sys->close(world->sys, world->connector_fd);
	world->connector_fd = -1;
	world->connector_works = false;
}

static void connector_begins(struct world *world)
{
	world->connector_works = true;
	if (world->timer_source)
		sd_event_source_set_enabled(world->timer_source, SD_EVENT_OFF);
}

static int connector_event(struct world *world, const struct proc_event_seen *seen)
{
	const struct process *parent;

	switch (seen->kind) {
	case PROC_LISTENING:
		connector_begins(world);
		return 0;
	case PROC_REFUSED:
		/* Who gave us the socket has seen to the switch as well. */
		if (connector_is_given(world))
			connector_begins(world);
		return 0;
	case PROC_FORKED:
		/* The child has its parent's executable and arguments; only where those matched is
		 * it of interest before its own exec. */
		parent = process_find(world, seen->parent);
		if (!parent || parent->registered)
			return 0;
		break;
	case PROC_CHANGED:
		break;
	}
	return seek_check(world, seen->pid);
}

static void connector_read(struct world *world)
{
	for (unsigned i = 0; i < N_MESSAGES_MAX && world->connector_fd >= 0; i++) {
		char data[4096] __attribute__((aligned(8)));
		struct proc_event_seen seen;
		size_t offset = 0;
		ssize_t n = world->sys->netlink_read(world->sys, world->connector_fd, data,
						     sizeof(data));

		if (n == 0)
			return;
		if (n == -ENOBUFS) {
			world->looked_us = 0;
			world_mark(world, DIRTY_PROCESSES | DIRTY_MOVED);
			continue;
		}
		if (n < 0) {
			world_notice(world,
				     "process connector failed: %s, looking at /proc instead",
				     strerror((int)-n));
			connector_close(world);
			seek_hurry(world);
			return;
		}
		while (proc_event_next(data, (size_t)n, &offset, &seen))
			if (connector_event(world, &seen) < 0)
				world_mark(world, DIRTY_PROCESSES);
	}
}

static int on_connector(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	(void)source;
	(void)fd;
	(void)revents;
	connector_read(userdata);
	return 0;
}

static void connector_open(struct world *world)
{
	int r;

	if (connector_is_given(world)) {
		r = world->sys->proc_events_listen(world->sys, world->options.proc_events_fd);
		if (r >= 0)
			r = world->options.proc_events_fd;
	} else {
		r = world->sys->proc_events_open(world->sys);
	}
	world->connector_fd = r >= 0 ? r : -1;
	if (r >= 0)
		r = sd_event_add_io(world->event, &world->connector_source, world->connector_fd,
				    EPOLLIN, on_connector, world);
	if (r >= 0)
		/* The kernel's acknowledgement is there at once, or never: outside of the first
		 * namespaces it ignores the request without a word (cn_proc_mcast_ctl() in
		 * drivers/connector/cn_proc.c). */
		connector_read(world);
	if (world->connector_works)
		return;
	world_notice(world,
		     "process connector not to be had: %s, looking at /proc when cgroups change"
		     " and every 1 to 30 s",
		     r < 0 ? strerror(-r) : "no answer, as in a container");
	if (r < 0)
		connector_close(world);
	seek_hurry(world);
}

void seek_configure(struct world *world)
{
	world->looked_us = 0;
	world->look_again_us = LOOK_SOON_US;
	if (world->n_seekers == 0) {
		seek_close(world);
		/* A socket that was never told gets what others ask for. */
		if (connector_is_given(world))
			world->sys->proc_events_ignore(world->sys, world->options.proc_events_fd);
	} else if (world->connector_fd < 0) {
		connector_open(world);
	}
}

void seek_close(struct world *world)
{
	connector_close(world);
	world->timer_source = sd_event_source_disable_unref(world->timer_source);
}
