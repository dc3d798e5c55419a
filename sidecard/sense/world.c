/* The world's life: opening, what to look for, the settling round that follows a burst of events,
 * and the report of it. */
#include "sense/world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "sense/cgroup_read.h"
#include "sense/world_internal.h"

/* FNV-1a: only to say a thing once. */
static uint64_t text_hash(const char *text)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * UINT64_C(1099511628211);
	return hash;
}

void world_notice(struct world *world, const char *format, ...)
{
	char text[1024];
	va_list arguments;
	uint64_t hash;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	hash = text_hash(text);
	for (unsigned i = 0; i < world->n_noticed; i++)
		if (world->noticed[i] == hash)
			return;
	if (world->n_noticed == N_NOTICES_MAX)
		return;
	world->noticed[world->n_noticed++] = hash;
	world->listener.notice(world->listener.userdata, text);
}

void world_mark(struct world *world, unsigned dirty)
{
	world->dirty |= dirty;
	if (world->settle_source)
		sd_event_source_set_enabled(world->settle_source, SD_EVENT_ONESHOT);
}

static int stale_nodes(struct world *world)
{
	for (struct node *node = world->root; node; node = tree_next(node))
		if (node->stale)
			level_refresh(world, node);
	return 0;
}

/* In this order: what an earlier part marks, a later one sees. */
static int settle_parts(struct world *world, unsigned dirty)
{
	int r = 0;

	if ((dirty & DIRTY_RESCAN) && world->root)
		r = tree_rescan(world, world->root);
	if (r == 0 && (dirty & DIRTY_NODES))
		r = stale_nodes(world);
	if (r == 0 && (dirty & (DIRTY_RESCAN | DIRTY_MOVED | DIRTY_PROCESSES | DIRTY_PLACES)))
		r = procs_settle(world);
	if (r == 0 && (world->dirty & DIRTY_PLACES))
		r = views_build(world);
	if (r == 0 && (world->dirty & (DIRTY_PLACES | DIRTY_CPUSETS | DIRTY_RESCAN)))
		r = views_bounds(world);
	return r;
}

static void report(struct world *world)
{
	unsigned changes = world->changes;

	procs_report_ended(world);
	if (world->reloaded)
		changes |= WORLD_DRIFT;
	world->reloaded = false;
	world->changes = 0;
	if (changes && !world->quiet)
		world->listener.changed(world->listener.userdata, changes);
}

int world_settle(struct world *world)
{
	int r;

	world->n_reads = 0;
	r = settle_parts(world, world->dirty);
	if (r < 0) {
		/* No memory now: everything again at the next event. */
		world->dirty |= DIRTY_RESCAN | DIRTY_PLACES;
		sd_event_source_set_enabled(world->settle_source, SD_EVENT_OFF);
		world_notice(world,
			     "no memory to follow cgroups and processes, retrying at the next"
			     " event");
		return r;
	}
	world->dirty = 0;
	sd_event_source_set_enabled(world->settle_source, SD_EVENT_OFF);
	report(world);
	return 0;
}

static void on_units_changed(void *userdata)
{
	world_mark(userdata, DIRTY_PLACES);
}

static void on_units_reloaded(void *userdata)
{
	struct world *world = userdata;

	world->reloaded = true;
	world_mark(world, DIRTY_PLACES);
}

static void on_units_notice(void *userdata, const char *text)
{
	world_notice(userdata, "%s", text);
}

static void bus_start(struct world *world)
{
	const struct units_listener listener = { .userdata = world,
						 .changed = on_units_changed,
						 .reloaded = on_units_reloaded,
						 .notice = on_units_notice };
	int r;

	if (!world->options.bus)
		return;
	r = units_open(world->options.bus, &listener, &world->units);
	if (r < 0)
		world_notice(world,
			     "cannot ask PID 1: %s, units are known by their directories only",
			     strerror(-r));
}

static void controllers_check(struct world *world)
{
	static const char *const controllers[] = { "cpu", "cpuset" };

	if (!world->root) {
		world_notice(world,
			     "no cgroup v2 hierarchy: only processes are known, without limits");
		return;
	}
	for (size_t i = 0; i < N_ELEMENTS(controllers); i++)
		if (cgroup_has_controller(world->sys, world->root->dir_fd, controllers[i]) == 0)
			world_notice(world,
				     "no v2 %s controller at '%s' (hybrid hierarchy?), going on"
				     " without it",
				     controllers[i], world->options.cgroup_root);
}

/* Everything from the start, told to nobody. */
static int look_at_all(struct world *world)
{
	int r;

	world->quiet = true;
	world->dirty |= DIRTY_RESCAN | DIRTY_PLACES | DIRTY_PROCESSES;
	r = world_settle(world);
	world->quiet = false;
	return r;
}

int world_open(const struct sys *sys, sd_event *event, const struct world_options *options,
	       const struct world_listener *listener, struct world **ret_world, struct fault *fault)
{
	cleanup(world_freep) struct world *world = calloc(1, sizeof(*world));
	int r;

	if (!world)
		return fault_set(fault, -ENOMEM, "no memory for the world");
	world->sys = sys;
	world->event = sd_event_ref(event);
	world->options = *options;
	world->listener = *listener;
	world->uevent_fd = world->connector_fd = -1;
	r = events_open(world, fault);
	if (r < 0)
		return r;
	if (options->cgroup_root) {
		r = tree_open(world, options->cgroup_root, fault);
		if (r < 0)
			return r;
	}
	controllers_check(world);
	bus_start(world);
	r = look_at_all(world);
	if (r < 0)
		return fault_set(fault, r, "no memory for what is there");
	*ret_world = TAKE_PTR(world);
	return 0;
}

struct world *world_free(struct world *world)
{
	if (!world)
		return NULL;
	world->units = units_free(world->units);
	procs_close(world);
	if (world->options.proc_events_fd > 0) {
		/* The service manager has it still, and looks at what is in it. */
		world->sys->proc_events_ignore(world->sys, world->options.proc_events_fd);
		world->sys->close(world->sys, world->options.proc_events_fd);
	}
	if (world->watch.sys)
		tree_free(world);
	events_close(world);
	views_done(&world->views);
	index_done(world);
	free(world->asked_units.items);
	cpuset_done(&world->allowed);
	sd_event_unref(world->event);
	free(world);
	return NULL;
}

void world_freep(struct world **world)
{
	world_free(*world);
}

int world_set_workloads(struct world *world, const struct workload *const *workloads,
			size_t n_workloads, struct fault *fault)
{
	int r;

	world->workloads = workloads;
	world->n_workloads = n_workloads;
	r = index_build(world);
	if (r == 0)
		r = units_configure(world);
	procs_configure(world);
	if (r == 0)
		r = look_at_all(world);
	if (r < 0)
		return fault_set(fault, r, "no memory to look for %zu workloads", n_workloads);
	return 0;
}

int world_set_bus(struct world *world, sd_bus *bus)
{
	int r;

	world->options.bus = bus;
	if (world->units) {
		r = units_set_bus(world->units, bus);
	} else {
		bus_start(world);
		r = units_configure(world);
	}
	world_mark(world, DIRTY_PLACES);
	return r;
}

void world_set_confine_system(struct world *world, bool confine)
{
	if (world->confine == confine)
		return;
	world->confine = confine;
	look_at_all(world); /* where memory is short: at the next event */
}

int world_rescan(struct world *world, struct fault *fault)
{
	int r;

	world->dirty |= DIRTY_RESCAN | DIRTY_PLACES | DIRTY_PROCESSES | DIRTY_MOVED;
	r = world_settle(world);
	if (r < 0)
		return fault_set(fault, r, "no memory to look at all cgroups again");
	return 0;
}

size_t world_n_watched(const struct world *world)
{
	return world->watch.n_watches;
}

const struct limit *world_limits(const struct world *world, size_t *ret_n_limits)
{
	*ret_n_limits = world->views.n_limits;
	return world->views.limits;
}

const struct place *world_places(const struct world *world, size_t *ret_n_places)
{
	*ret_n_places = world->views.n_places;
	return world->views.places;
}

const struct cpuset *world_allowed(const struct world *world)
{
	return &world->allowed;
}
