/* D-Bus, io.sidecard1: for operators and management tools; never the data path. Everybody may read;
 * what changes something is for root and group sidecard, by the policy of the bus
 * (systemd/io.sidecard1.conf) and once more by ourselves (publish_bus_change.c).
 *
 * Signals go out when the loop has nothing better to do and are coalesced: a receiver always learns
 * of the newest generation, not of each one. The number of those that wait is bounded. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "publish/publish_bus_parts.h"

/* org.freedesktop.DBus.RequestName: D-Bus specification, message-bus-messages */
#define REPLY_PRIMARY_OWNER 1
#define REPLY_IN_QUEUE	    2
#define REPLY_ALREADY_OWNER 4

/* Messages that the bus has not taken yet, before we wait: some 1 KiB each. */
#define N_QUEUED_MAX 256u
#define BACKLOG_US   20000u
/* After everything else that the loop does. */
#define PRIORITY (SD_EVENT_PRIORITY_NORMAL + 20)

sd_bus_slot **bus_slot(struct bus *bus)
{
	return &bus->slots[bus->n_slots++];
}

static int no_such_workload(sd_bus_error *ret_error)
{
	return sd_bus_error_set(ret_error, "io.sidecard1.Error.NoSuchWorkload",
				"no workload has that name");
}

/* True where @name is a workload that is published now. */
static bool workload_exists(const struct bus *bus, const char *name)
{
	const struct publish_view *view = bus_view(bus);

	return view && name_is_valid(name) && plan_find(view->plan, name);
}

static int on_get_workload(sd_bus_message *message, void *userdata, sd_bus_error *ret_error)
{
	cleanup(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	cleanup(freep) char *path = NULL;
	const char *name;
	int r = sd_bus_message_read_basic(message, SD_BUS_TYPE_STRING, &name);

	if (r < 0)
		return r;
	if (!workload_exists(userdata, name))
		return no_such_workload(ret_error);
	path = bus_workload_path(name);
	if (!path)
		return -ENOMEM;
	r = sd_bus_message_new_method_return(message, &reply);
	if (r >= 0)
		r = bus_append_path(reply, path);
	return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int on_explain(sd_bus_message *message, void *userdata, sd_bus_error *ret_error)
{
	const struct bus *bus = userdata;
	cleanup(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	cleanup(freep) char *text = NULL;
	const char *name;
	int r = sd_bus_message_read_basic(message, SD_BUS_TYPE_STRING, &name);

	if (r < 0)
		return r;
	if (name_is_valid(name))
		text = bus->handler.explain(bus->handler.userdata, name);
	if (!text)
		return no_such_workload(ret_error);
	r = sd_bus_message_new_method_return(message, &reply);
	if (r >= 0)
		r = bus_append_string(reply, text);
	return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int append_workload(sd_bus_message *reply, const char *name)
{
	cleanup(freep) char *path = bus_workload_path(name);
	int r = path ? sd_bus_message_open_container(reply, SD_BUS_TYPE_STRUCT, "so") : -ENOMEM;

	if (r >= 0)
		r = bus_append_string(reply, name);
	if (r >= 0)
		r = bus_append_path(reply, path);
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int on_list_workloads(sd_bus_message *message, void *userdata, sd_bus_error *ret_error)
{
	const struct publish_view *view = bus_view(userdata);
	cleanup(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	int r = sd_bus_message_new_method_return(message, &reply);

	(void)ret_error;
	if (r >= 0)
		r = sd_bus_message_open_container(reply, SD_BUS_TYPE_ARRAY, "(so)");
	for (size_t i = 0; r >= 0 && view && i < view->plan->n_workloads; i++)
		r = append_workload(reply, view->plan->workloads[i].conf->name);
	if (r >= 0)
		r = sd_bus_message_close_container(reply);
	return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int get_version(sd_bus *connection, const char *path, const char *interface,
		       const char *property, sd_bus_message *reply, void *userdata,
		       sd_bus_error *ret_error)
{
	(void)connection;
	(void)path;
	(void)interface;
	(void)property;
	(void)userdata;
	(void)ret_error;
	return bus_append_string(reply, SIDECARD_VERSION);
}

static uint32_t n_unplaced(const struct plan *plan)
{
	uint32_t n = 0;

	for (size_t i = 0; i < plan->n_workloads; i++)
		n += !plan->workloads[i].placed;
	return n;
}

static int get_manager(sd_bus *connection, const char *path, const char *interface,
		       const char *property, sd_bus_message *reply, void *userdata,
		       sd_bus_error *ret_error)
{
	static const struct cpuset none = { 0 };
	const struct publish_view *view = bus_view(userdata);
	const struct plan *plan = view ? view->plan : NULL;
	const double unknown = NAN;

	(void)connection;
	(void)path;
	(void)interface;
	(void)ret_error;
	if (strcmp(property, "Generation") == 0)
		return bus_append_u64(reply, view ? view->generation : 0);
	if (strcmp(property, "Optimal") == 0)
		return bus_append_flag(reply, plan && plan->optimal);
	if (strcmp(property, "Bound") == 0)
		return sd_bus_message_append_basic(reply, SD_BUS_TYPE_DOUBLE,
						   plan ? &plan->bound : &unknown);
	if (strcmp(property, "BoundItem") == 0)
		return bus_append_u32(reply, plan ? plan->bound_item : 0);
	if (strcmp(property, "NWorkloads") == 0)
		return bus_append_u32(reply, plan ? (uint32_t)plan->n_workloads : 0);
	if (strcmp(property, "NUnplaced") == 0)
		return bus_append_u32(reply, plan ? n_unplaced(plan) : 0);
	if (strcmp(property, "CPUs") == 0)
		return bus_append_taken(reply, cpuset_format(plan ? &plan->cpus : &none));
	return bus_append_taken(reply, cpuset_format(plan ? &plan->housekeeping : &none));
}

#define CHANGES SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE
/* sd-bus's own check would be the blocking one (see above), and it lets CAP_SYS_ADMIN decide, which
 * is not our rule. */
#define OPEN SD_BUS_VTABLE_UNPRIVILEGED

static const sd_bus_vtable manager_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD_WITH_ARGS("Reload", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, bus_on_reload, OPEN),
	SD_BUS_METHOD_WITH_ARGS("GetWorkload", SD_BUS_ARGS("s", name), SD_BUS_RESULT("o", path),
				on_get_workload, OPEN),
	SD_BUS_METHOD_WITH_ARGS("ListWorkloads", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(so)", workloads),
				on_list_workloads, OPEN),
	SD_BUS_METHOD_WITH_ARGS("Explain", SD_BUS_ARGS("s", name), SD_BUS_RESULT("s", text),
				on_explain, OPEN),
	SD_BUS_PROPERTY("Version", "s", get_version, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_PROPERTY("Generation", "t", get_manager, 0, CHANGES),
	SD_BUS_PROPERTY("Optimal", "b", get_manager, 0, CHANGES),
	SD_BUS_PROPERTY("Bound", "d", get_manager, 0, CHANGES),
	SD_BUS_PROPERTY("BoundItem", "u", get_manager, 0, CHANGES),
	SD_BUS_PROPERTY("NWorkloads", "u", get_manager, 0, CHANGES),
	SD_BUS_PROPERTY("NUnplaced", "u", get_manager, 0, CHANGES),
	SD_BUS_PROPERTY("CPUs", "s", get_manager, 0, CHANGES),
	SD_BUS_PROPERTY("Housekeeping", "s", get_manager, 0, CHANGES),
	SD_BUS_SIGNAL_WITH_ARGS("Changed", SD_BUS_ARGS("t", generation, "as", workloads), 0),
	SD_BUS_VTABLE_END,
};

static char **manager_changing(void)
{
	static const char *const names[] = { "Generation", "Optimal",	   "Bound",
					     "BoundItem",  "NWorkloads",   "NUnplaced",
					     "CPUs",	   "Housekeeping", NULL };

	return (char **)names; /* sd-bus only reads them */
}

static char **workload_interfaces(void)
{
	static const char *const names[] = { BUS_WORKLOAD, NULL };

	return (char **)names;
}

/* Changed(generation, names): after the objects' own signals, so that a receiver finds everything
 * in place. */
static int emit_changed(const struct bus *bus, const struct publish_view *view)
{
	cleanup(sd_bus_message_unrefp) sd_bus_message *signal = NULL;
	int r = sd_bus_message_new_signal(bus->bus, &signal, BUS_PATH, BUS_MANAGER, "Changed");

	if (r >= 0)
		r = bus_append_u64(signal, view->generation);
	if (r >= 0)
		r = sd_bus_message_open_container(signal, SD_BUS_TYPE_ARRAY, "s");
	for (size_t i = 0; r >= 0 && i < view->plan->n_workloads; i++)
		if (view->generations[i] > bus->told)
			r = bus_append_string(signal, view->plan->workloads[i].conf->name);
	if (r >= 0)
		r = sd_bus_message_close_container(signal);
	return r < 0 ? r : sd_bus_send(bus->bus, signal, NULL);
}

static int emit_item(const struct bus *bus, const struct bus_item *item)
{
	cleanup(freep) char *path = bus_workload_path(item->name);

	if (!path)
		return -ENOMEM;
	if (item->told == 0)
		return sd_bus_emit_interfaces_added_strv(bus->bus, path, workload_interfaces());
	return sd_bus_emit_properties_changed_strv(bus->bus, path, BUS_WORKLOAD,
						   bus_workload_changing());
}

static void emit_gone(const struct bus *bus, const char *name)
{
	cleanup(freep) char *path = bus_workload_path(name);

	if (path && bus->owns_name)
		sd_bus_emit_interfaces_removed_strv(bus->bus, path, workload_interfaces());
}

/* Nobody listens to what has no name: who comes later asks for everything. */
static void bus_skip(struct bus *bus, const struct publish_view *view)
{
	for (size_t i = 0; i < bus->n_items; i++)
		bus->items[i].told = view->generations[i];
	bus->told = view->generation;
}

static bool bus_is_backed_up(const struct bus *bus)
{
	uint64_t n_queued = 0;

	return sd_bus_get_n_queued_write(bus->bus, &n_queued) >= 0 && n_queued > N_QUEUED_MAX;
}

/* Tells what others do not know yet, as far as the bus takes it; false where some of it must wait.
 */
static bool bus_tell(struct bus *bus)
{
	const struct publish_view *view = bus_view(bus);

	if (!view || sd_bus_is_open(bus->bus) <= 0)
		return true;
	if (!bus->owns_name) {
		bus_skip(bus, view);
		return true;
	}
	for (size_t i = 0; i < bus->n_items; i++) {
		struct bus_item *item = &bus->items[i];

		if (item->told != 0 && view->generations[i] <= item->told)
			continue;
		if (bus_is_backed_up(bus))
			return false;
		/* A signal that cannot be made is lost, as on any bus; the next change tells all
		 * again. */
		emit_item(bus, item);
		item->told = view->generations[i];
	}
	if (view->generation > bus->told) {
		sd_bus_emit_properties_changed_strv(bus->bus, BUS_PATH, BUS_MANAGER,
						    manager_changing());
		emit_changed(bus, view);
		bus->told = view->generation;
	}
	return true;
}

static void bus_tell_or_wait(struct bus *bus)
{
	if (bus_tell(bus) || !bus->later)
		return;
	sd_event_source_set_time_relative(bus->later, BACKLOG_US);
	sd_event_source_set_enabled(bus->later, SD_EVENT_ONESHOT);
}

static int on_soon(sd_event_source *source, void *userdata)
{
	(void)source;
	bus_tell_or_wait(userdata);
	return 0;
}

static int on_later(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)source;
	(void)usec;
	bus_tell_or_wait(userdata);
	return 0;
}

static void items_free(struct bus_item *items, size_t n_items)
{
	for (size_t i = 0; i < n_items; i++)
		free(items[i].name);
	free(items);
}

/* Both lists are sorted. What stays keeps what was told of it; what has gone is signalled at once.
 */
static int items_merge(struct bus *bus, const struct publish_view *view, struct bus_item *items)
{
	size_t old = 0;

	for (size_t i = 0; i < view->plan->n_workloads; i++) {
		const char *name = view->plan->workloads[i].conf->name;

		for (; old < bus->n_items && strcmp(bus->items[old].name, name) < 0; old++)
			emit_gone(bus, bus->items[old].name);
		if (old < bus->n_items && strcmp(bus->items[old].name, name) == 0) {
			items[i].told = bus->items[old].told;
			items[i].name = TAKE_PTR(bus->items[old].name);
			old++;
		} else {
			items[i].name = strdup(name);
		}
		if (!items[i].name)
			return -ENOMEM;
	}
	for (; old < bus->n_items; old++)
		emit_gone(bus, bus->items[old].name);
	return 0;
}

static void items_update(struct bus *bus, const struct publish_view *view)
{
	size_t n_items = view->plan->n_workloads;
	struct bus_item *items;

	if (view->same_workloads && bus->n_items == n_items)
		return;
	items = calloc(n_items + 1, sizeof(*items));
	if (!items || items_merge(bus, view, items) < 0) {
		/* Nothing is signalled until the next change of the set; whoever asks still gets
		 * the truth. */
		items_free(items, items ? n_items : 0);
		items = NULL;
		n_items = 0;
	}
	for (size_t i = 0; i < bus->n_items; i++)
		free(bus->items[i].name);
	free(bus->items);
	bus->items = items;
	bus->n_items = n_items;
}

void bus_update(struct bus *bus, const bool *changed)
{
	const struct publish_view *view = bus_view(bus);

	(void)changed;
	bus->last_path[0] = '\0';
	if (!view)
		return;
	items_update(bus, view);
	if (bus->soon)
		sd_event_source_set_enabled(bus->soon, SD_EVENT_ONESHOT);
	else
		bus_tell(bus);
}

static int on_name_reply(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
	struct bus *bus = userdata;
	uint32_t code = 0;

	(void)ret_error;
	if (sd_bus_message_is_method_error(reply, NULL)) {
		bus->name_error = -sd_bus_message_get_errno(reply);
		return 1;
	}
	if (sd_bus_message_read_basic(reply, SD_BUS_TYPE_UINT32, &code) < 0)
		bus->name_error = -EBADMSG;
	else if (code == REPLY_PRIMARY_OWNER || code == REPLY_ALREADY_OWNER)
		bus->owns_name = true;
	else if (code != REPLY_IN_QUEUE) /* there it is ours once its owner, our dying predecessor,
					    is gone */
		bus->name_error = -EEXIST;
	return 1;
}

/* NameAcquired and NameLost come from the driver alone: the match names it. */
static int on_name_moved(sd_bus_message *signal, void *userdata, sd_bus_error *ret_error)
{
	struct bus *bus = userdata;
	const char *name;

	(void)ret_error;
	if (sd_bus_message_read_basic(signal, SD_BUS_TYPE_STRING, &name) < 0 ||
	    strcmp(name, BUS_NAME) != 0)
		return 0;
	bus->owns_name = strcmp(sd_bus_message_get_member(signal), "NameAcquired") == 0;
	bus->name_error = bus->owns_name ? 0 : -EEXIST;
	return 0;
}

/* A match that the driver refuses must not end the connection, which is what sd-bus does without
 * this. */
static int on_match_reply(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
	struct bus *bus = userdata;

	(void)ret_error;
	if (sd_bus_message_is_method_error(reply, NULL))
		bus->name_error = -sd_bus_message_get_errno(reply);
	return 1;
}

static int bus_follow_name(struct bus *bus)
{
	static const char *const members[] = { "NameAcquired", "NameLost" };

	for (size_t i = 0; i < N_ELEMENTS(members); i++) {
		int r = sd_bus_match_signal_async(bus->bus, bus_slot(bus), DRIVER_NAME, DRIVER_PATH,
						  DRIVER_INTERFACE, members[i], on_name_moved,
						  on_match_reply, bus);

		if (r < 0)
			return r;
	}
	return sd_bus_request_name_async(bus->bus, &bus->name_slot, BUS_NAME, SD_BUS_NAME_QUEUE,
					 on_name_reply, bus);
}

static int bus_attach(struct bus *bus)
{
	sd_event *event = sd_bus_get_event(bus->bus);
	int r;

	if (!event)
		return 0; /* then each update signals at once */
	r = sd_event_add_defer(event, &bus->soon, on_soon, bus);
	if (r >= 0)
		r = sd_event_source_set_enabled(bus->soon, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_source_set_priority(bus->soon, PRIORITY);
	if (r >= 0)
		r = sd_event_add_time_relative(event, &bus->later, CLOCK_MONOTONIC, 0, 0, on_later,
					       bus);
	if (r >= 0)
		r = sd_event_source_set_enabled(bus->later, SD_EVENT_OFF);
	return r < 0 ? r : sd_event_source_set_priority(bus->later, PRIORITY);
}

static void bus_freep(struct bus **bus)
{
	bus_free(*bus);
}

int bus_open(sd_bus *connection, const struct publish_handler *handler,
	     const struct publish_view *const *view, struct bus **ret_bus, struct fault *fault)
{
	cleanup(bus_freep) struct bus *bus = calloc(1, sizeof(*bus));
	int r;

	if (!bus)
		return fault_set(fault, -ENOMEM, "no memory for the D-Bus interface");
	*bus = (struct bus){ .bus = sd_bus_ref(connection), .handler = *handler, .view = view };
	r = bus_limits_open(bus);
	if (r >= 0)
		r = sd_bus_add_object_vtable(connection, bus_slot(bus), BUS_PATH, BUS_MANAGER,
					     manager_vtable, bus);
	if (r >= 0)
		r = sd_bus_add_object_manager(connection, bus_slot(bus), BUS_PATH);
	if (r >= 0)
		r = bus_objects_open(bus);
	if (r >= 0)
		r = bus_attach(bus);
	/* Last: with the name come the first calls. */
	if (r >= 0)
		r = bus_follow_name(bus);
	if (r < 0)
		return fault_set(fault, r, "D-Bus: cannot offer '" BUS_NAME "': %s", strerror(-r));
	if (bus_view(bus)) {
		items_update(bus, bus_view(bus));
		bus_skip(bus, bus_view(bus));
	}
	*ret_bus = TAKE_PTR(bus);
	return 0;
}

void bus_set_sys(struct bus *bus, const struct sys *sys)
{
	if (bus->has_rules)
		peer_rules_done(&bus->rules);
	peer_rules_open(sys, &bus->rules);
	bus->has_rules = true;
}

int bus_state(const struct bus *bus)
{
	return sd_bus_is_open(bus->bus) <= 0 ? -ENOTCONN : bus->name_error;
}

static int on_release_reply(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
	(void)reply;
	(void)userdata;
	(void)ret_error;
	return 1; /* whatever it says, we are gone */
}

struct bus *bus_free(struct bus *bus)
{
	if (!bus)
		return NULL;
	/* The connection is the daemon's and may live on. */
	if (sd_bus_is_open(bus->bus) > 0)
		sd_bus_release_name_async(bus->bus, NULL, BUS_NAME, on_release_reply, NULL);
	bus_calls_done(bus);
	bus_limits_done(bus);
	sd_event_source_disable_unref(bus->soon);
	sd_event_source_disable_unref(bus->later);
	sd_bus_slot_unref(bus->name_slot);
	for (size_t i = 0; i < bus->n_slots; i++)
		sd_bus_slot_unref(bus->slots[i]);
	items_free(bus->items, bus->n_items);
	if (bus->has_rules)
		peer_rules_done(&bus->rules);
	sd_bus_unref(bus->bus);
	free(bus);
	return NULL;
}
