/* The table of processes that are places: matched ones and registered ones. A process is in it for
 * as long as its pidfd says that it lives. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "sense/procs.h"
#include "sense/world_internal.h"

static size_t process_position(const struct world *world, pid_t pid, bool *ret_found)
{
	size_t low = 0, high = world->n_processes;

	*ret_found = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (world->processes[middle]->pid == pid) {
			*ret_found = true;
			return middle;
		}
		if (world->processes[middle]->pid < pid)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct process *process_find(const struct world *world, pid_t pid)
{
	bool found;
	size_t at = process_position(world, pid, &found);

	return found ? world->processes[at] : NULL;
}

static void process_free(struct world *world, struct process *process)
{
	sd_event_source_disable_unref(process->source);
	if (process->pidfd >= 0)
		world->sys->close(world->sys, process->pidfd);
	free(process->workload_name);
	free(process->cgroup);
	free(process->executable);
	free(process);
}

static void process_take_out(struct world *world, struct process *process)
{
	bool found;
	size_t at = process_position(world, process->pid, &found);

	world->n_processes--;
	memmove(world->processes + at, world->processes + at + 1,
		(world->n_processes - at) * sizeof(struct process *));
	if (process->node)
		process->node->n_processes--;
	process->node = NULL;
	world_mark(world, DIRTY_PLACES);
}

void process_drop(struct world *world, struct process *process)
{
	process_take_out(world, process);
	process_free(world, process);
}

static void process_end(struct world *world, struct process *process)
{
	process_take_out(world, process);
	process->next_ended = world->ended;
	world->ended = process;
	seek_hurry(world);
}

static int on_pidfd(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct process *process = userdata;

	(void)fd;
	(void)revents;
	sd_event_source_set_enabled(source, SD_EVENT_OFF);
	process_end(process->world, process);
	return 0;
}

int process_place(struct world *world, struct process *process)
{
	struct node *node = NULL;
	int r;

	if (!world->root || !*process->cgroup)
		return 0;
	r = tree_ensure(world, process->cgroup, &node);
	if (r == -ENOMEM)
		return r;
	if (r < 0 || node == process->node)
		return 0;
	if (process->node)
		process->node->n_processes--;
	process->node = node;
	if (node)
		node->n_processes++;
	world_mark(world, DIRTY_PLACES);
	return 0;
}

/* Copies what @process says; its pidfd and strings are taken over on success only. */
int process_add(struct world *world, const struct process *process)
{
	struct process **bigger, *copy;
	bool found;
	size_t at = process_position(world, process->pid, &found);
	int r;

	bigger = realloc(world->processes, (world->n_processes + 1) * sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	world->processes = bigger;
	copy = malloc(sizeof(*copy));
	if (!copy)
		return -ENOMEM;
	*copy = *process;
	copy->world = world;
	copy->node = NULL;
	copy->source = NULL;
	r = sd_event_add_io(world->event, &copy->source, copy->pidfd, EPOLLIN, on_pidfd, copy);
	if (r < 0) {
		free(copy);
		return r;
	}
	memmove(bigger + at + 1, bigger + at, (world->n_processes - at) * sizeof(*bigger));
	bigger[at] = copy;
	world->n_processes++;
	world_mark(world, DIRTY_PLACES);
	process_place(world, copy); /* without memory for it: procs_settle() tries again */
	return 0;
}

/* Looks where the process is now. */
static int process_refresh(struct world *world, struct process *process)
{
	cleanup(freep) char *cgroup = NULL;
	uint64_t start_time;
	int r = process_read(world->sys, process->pid, &start_time, &cgroup);

	if (r == -ENOMEM)
		return r;
	if (r < 0 || start_time != process->start_time)
		return 0; /* its pidfd will tell */
	if (strcmp(cgroup, process->cgroup) != 0) {
		free(process->cgroup);
		process->cgroup = TAKE_PTR(cgroup);
		world_mark(world, DIRTY_PLACES);
	}
	return process_place(world, process);
}

int procs_settle(struct world *world)
{
	unsigned moved = world->dirty & (DIRTY_MOVED | DIRTY_RESCAN);
	int r = 0;

	for (size_t i = 0; r == 0 && i < world->n_processes; i++) {
		struct process *process = world->processes[i];

		if (moved || (!process->node && world->root && *process->cgroup))
			r = process_refresh(world, process);
	}
	return r < 0 ? r : seek_settle(world);
}

void procs_forget_node(struct world *world, const struct node *node)
{
	if (node->n_processes == 0)
		return;
	for (size_t i = 0; i < world->n_processes; i++)
		if (world->processes[i]->node == node)
			world->processes[i]->node = NULL;
}

void procs_report_ended(struct world *world)
{
	struct process *ended = world->ended;

	world->ended = NULL;
	while (ended) {
		struct process *process = ended;

		ended = process->next_ended;
		if (process->registered)
			world->listener.process_ended(world->listener.userdata, process->workload,
						      process->pid, process->start_time);
		process_free(world, process);
	}
}

static bool workload_by_name(const struct world *world, const char *name, uint32_t *ret_workload)
{
	for (uint32_t w = 0; w < world->n_workloads; w++)
		if (strcmp(world->workloads[w]->name, name) == 0) {
			*ret_workload = w;
			return true;
		}
	return false;
}

/* Back for another look, those with what was told of them: no answer is worth waiting for that is
 * here. */
static void procs_seek_again(struct world *world, struct process *dropped)
{
	while (dropped) {
		struct process *process = dropped;

		dropped = process->next_ended;
		if (process->executable)
			seek_check_as(world, process->pid, process->executable);
		process_free(world, process);
	}
}

void procs_configure(struct world *world)
{
	struct process **ended = &world->ended, *dropped = NULL;

	/* Backwards: who goes leaves the array. Matched ones are sought anew. */
	for (size_t i = world->n_processes; i > 0; i--) {
		struct process *process = world->processes[i - 1];

		if (process->registered &&
		    workload_by_name(world, process->workload_name, &process->workload))
			continue;
		process_take_out(world, process);
		process->next_ended = dropped;
		dropped = process;
	}
	while (*ended) {
		struct process *process = *ended;

		if (process->registered &&
		    workload_by_name(world, process->workload_name, &process->workload)) {
			ended = &process->next_ended;
			continue;
		}
		*ended = process->next_ended;
		process_free(world, process);
	}
	seek_configure(world);
	procs_seek_again(world, dropped);
}

void procs_close(struct world *world)
{
	seek_close(world);
	while (world->n_processes > 0)
		process_drop(world, world->processes[world->n_processes - 1]);
	while (world->ended) {
		struct process *process = world->ended;

		world->ended = process->next_ended;
		process_free(world, process);
	}
	free(world->processes);
	world->processes = NULL;
}

/* Fills in who the process is, checked after its pidfd was opened. */
static int registration_read(struct world *world, struct process *process)
{
	uint64_t start_time;
	int r;

	process->workload_name = strdup(world->workloads[process->workload]->name);
	if (!process->workload_name)
		return -ENOMEM;
	r = process_read(world->sys, process->pid, &start_time, &process->cgroup);
	if (r < 0)
		return r;
	return start_time == process->start_time && pidfd_is_alive(process->pidfd) ? 0 : -ESRCH;
}

int world_register(struct world *world, uint32_t workload, pid_t pid, uint64_t start_time,
		   int pidfd)
{
	struct process process = { .pid = pid,
				   .start_time = start_time,
				   .workload = workload,
				   .registered = true,
				   .pidfd = pidfd };
	struct process *known = process_find(world, pid);
	int r = workload < world->n_workloads && pid > 0 && pidfd >= 0 ? 0 : -ESRCH;

	if (r == 0 && known && known->registered && known->start_time == start_time)
		r = -EEXIST;
	if (r == 0)
		r = registration_read(world, &process);
	if (r == 0 && known) {
		/* A number that is somebody else's by now belonged to one that ended. */
		if (known->start_time == start_time)
			process_drop(world, known);
		else
			process_end(world, known);
	}
	if (r == 0)
		r = process_add(world, &process);
	if (r < 0) {
		free(process.workload_name);
		free(process.cgroup);
		if (pidfd >= 0)
			world->sys->close(world->sys, pidfd);
	}
	return r;
}

int world_release(struct world *world, pid_t pid, uint64_t start_time)
{
	struct process *process = process_find(world, pid);

	if (!process || !process->registered || process->start_time != start_time)
		return -ESRCH;
	process_drop(world, process);
	return seek_check(world, pid) == -ENOMEM ? -ENOMEM : 0;
}
