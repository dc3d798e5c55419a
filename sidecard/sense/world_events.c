/* Where the world learns that something changed: inotify and kernel uevents. A quota is read and
 * told first; everything else of the same burst only marks what the settling round will look at. */
#include <errno.h>
#include <string.h>

#include "sense/world_internal.h"

/* Rounds of events that may go by before the settling round runs nevertheless: writers that never
 * stop cannot hold it off. */
#define N_READS_BEFORE_SETTLING 64u
/* One uevent is at most 2 KiB of environment and its header (UEVENT_BUFFER_SIZE in
 * include/linux/kobject.h). */
#define UEVENT_SIZE 8192u

static bool name_is(const struct inotify_event *event, const char *name)
{
	return event->len > 0 && strcmp(event->name, name) == 0;
}

/* inotify pads names with NULs to a multiple of 16 bytes, so eight may always be compared. */
static bool is_quota_write(const struct inotify_event *event)
{
	return (event->mask & IN_MODIFY) && event->len >= 8 &&
	       memcmp(event->name, "cpu.max", 8) == 0;
}

static void file_changed(struct world *world, struct node *node, const struct inotify_event *event)
{
	bool replaced = !(event->mask & IN_MODIFY); /* created, deleted or renamed */

	if (name_is(event, "cpu.max")) {
		if (replaced && node->is_limit) {
			node->stale |= STALE_QUOTA;
			world_mark(world, DIRTY_NODES);
		}
	} else if (name_is(event, "cpu.weight")) {
		if (node->is_limit) {
			node->stale |= STALE_WEIGHT;
			world_mark(world, DIRTY_NODES);
		}
	} else if (name_is(event, "cgroup.subtree_control")) {
		node->stale |= STALE_CHILDREN;
		world_mark(world, DIRTY_NODES | DIRTY_CPUSETS);
	} else if (name_is(event, "cpuset.cpus") || name_is(event, "cpuset.cpus.partition")) {
		if (node->claim != PLACE_NOBODY || node->confined || node->n_processes > 0)
			world->changes |= WORLD_DRIFT;
		world_mark(world, DIRTY_CPUSETS);
	} else if (name_is(event, "cpuset.cpus.effective")) {
		world_mark(world, DIRTY_CPUSETS);
	} else if (name_is(event, "cgroup.procs") || name_is(event, "cgroup.events")) {
		if (world->n_processes > 0)
			world_mark(world, DIRTY_MOVED);
		if (world->n_seekers > 0 && (node->look || !world->connector_works))
			world_mark(world, DIRTY_PROCESSES);
	}
}

static void event_handle(struct world *world, const struct inotify_event *event)
{
	struct node *node;

	if (event->mask & IN_Q_OVERFLOW) {
		world_mark(world, DIRTY_RESCAN);
		return;
	}
	node = watch_target(&world->watch, event->wd);
	if (!node)
		return;
	if (event->mask & IN_IGNORED) {
		watch_forget(&world->watch, event->wd);
		node->watch = 0;
	} else if (event->len == 0) {
		return;
	} else if (!(event->mask & IN_ISDIR)) {
		file_changed(world, node, event);
	} else if (!(event->mask & IN_MODIFY) && tree_check(world, node, event->name) < 0) {
		world_mark(world, DIRTY_RESCAN);
	}
}

static int on_watch(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct world *world = userdata;
	const struct inotify_event *event;
	ssize_t n = watch_read(&world->watch);
	size_t offset = 0;

	(void)source;
	(void)fd;
	(void)revents;
	if (n < 0) {
		world_mark(world, DIRTY_RESCAN);
		return 0;
	}
	while ((event = watch_next(&world->watch, (size_t)n, &offset)))
		if (is_quota_write(event)) {
			struct node *node = watch_target(&world->watch, event->wd);

			if (node && node->is_limit)
				level_read_quota(world, node);
		}
	offset = 0;
	while ((event = watch_next(&world->watch, (size_t)n, &offset)))
		if (!is_quota_write(event))
			event_handle(world, event);
	if (world->dirty && ++world->n_reads > N_READS_BEFORE_SETTLING)
		world_settle(world);
	return 0;
}

/* "online@/devices/system/cpu/cpu3" and a NUL; "offline@…" likewise. */
static bool is_hotplug(const char *message)
{
	static const char *const prefixes[] = { "online@/devices/system/cpu/cpu",
						"offline@/devices/system/cpu/cpu" };

	for (size_t i = 0; i < 2; i++) {
		size_t n = strlen(prefixes[i]);

		if (strncmp(message, prefixes[i], n) == 0)
			return message[n] >= '0' && message[n] <= '9';
	}
	return false;
}

static int on_uevent(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct world *world = userdata;
	char message[UEVENT_SIZE + 1];

	(void)source;
	(void)revents;
	for (;;) {
		ssize_t n = world->sys->netlink_read(world->sys, fd, message, UEVENT_SIZE);

		if (n == 0)
			return 0;
		if (n < 0 && n != -ENOBUFS) {
			world_notice(world,
				     "cannot read kernel uevents: %s, hotplug is not noticed",
				     strerror((int)-n));
			world->uevent_source = sd_event_source_disable_unref(world->uevent_source);
			return 0;
		}
		if (n > 0)
			message[n] = '\0';
		if (n < 0 || is_hotplug(message)) {
			/* Nothing else tells that effective sets changed with it. */
			world->changes |= WORLD_TOPOLOGY;
			world_mark(world, DIRTY_CPUSETS);
		}
	}
}

static int on_settle(sd_event_source *source, void *userdata)
{
	(void)source;
	world_settle(userdata);
	return 0;
}

static int watch_start(struct world *world)
{
	int r = watch_open(world->sys, &world->watch);

	if (r < 0)
		return r;
	r = sd_event_add_io(world->event, &world->watch_source, world->watch.fd, EPOLLIN, on_watch,
			    world);
	if (r >= 0)
		r = sd_event_source_set_priority(world->watch_source, SD_EVENT_PRIORITY_IMPORTANT);
	if (r >= 0)
		r = sd_event_add_defer(world->event, &world->settle_source, on_settle, world);
	if (r >= 0)
		r = sd_event_source_set_enabled(world->settle_source, SD_EVENT_OFF);
	return r;
}

int events_open(struct world *world, struct fault *fault)
{
	int r = watch_start(world);

	if (r < 0)
		return fault_set(fault, r, "cannot watch cgroups: %s", strerror(-r));
	world->uevent_fd = world->sys->uevent_open(world->sys);
	r = world->uevent_fd;
	if (r >= 0)
		r = sd_event_add_io(world->event, &world->uevent_source, world->uevent_fd, EPOLLIN,
				    on_uevent, world);
	if (r < 0)
		world_notice(world, "no kernel uevents: %s, hotplug is not noticed", strerror(-r));
	return 0;
}

void events_close(struct world *world)
{
	world->watch_source = sd_event_source_disable_unref(world->watch_source);
	world->settle_source = sd_event_source_disable_unref(world->settle_source);
	world->uevent_source = sd_event_source_disable_unref(world->uevent_source);
	if (world->uevent_fd >= 0)
		world->sys->close(world->sys, world->uevent_fd);
	world->uevent_fd = -1;
	watch_close(&world->watch);
}
