/* What the files of D-Bus share: publish_bus.c (the name, the manager, who is told what),
 * publish_bus_change.c (methods that change something) and publish_bus_objects.c (one object per
 * workload, pool and NUMA node). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "publish/peer.h"
#include "publish/publish.h"

#define DRIVER_NAME	 "org.freedesktop.DBus"
#define DRIVER_PATH	 "/org/freedesktop/DBus"
#define DRIVER_INTERFACE "org.freedesktop.DBus"

#define BUS_NAME	   "io.sidecard1"
#define BUS_PATH	   "/io/sidecard1"
#define BUS_PATH_WORKLOADS BUS_PATH "/workload"
#define BUS_PATH_POOLS	   BUS_PATH "/pool"
#define BUS_PATH_NODES	   BUS_PATH "/node"
#define BUS_MANAGER	   "io.sidecard1.Manager"
#define BUS_WORKLOAD	   "io.sidecard1.Workload"
#define BUS_POOL	   "io.sidecard1.Pool"
#define BUS_NODE	   "io.sidecard1.Node"

/* What others on the bus know of a workload. */
struct bus_item {
	char *name;
	uint64_t told; /* generation of what was last signalled; 0: that it exists was not */
};

struct bus_call;
struct bus_limits;

#define N_BUS_SLOTS 12

struct bus {
	sd_bus *bus;
	struct publish_handler handler; /* a copy: only its userdata must outlive us */
	const struct publish_view *const *view;
	struct peer_rules rules;
	bool has_rules;

	sd_bus_slot *slots[N_BUS_SLOTS]; /* matches, vtables, enumerators */
	size_t n_slots;
	sd_bus_slot *name_slot;
	bool owns_name;
	int name_error;

	struct bus_item *items; /* the workloads of the newest update, sorted */
	size_t n_items;
	uint64_t told; /* generation of the manager's last signal */
	sd_event_source *soon, *later;

	struct bus_limits *limits;
	struct bus_call *calls; /* wait for the bus to say who sent them */
	unsigned n_calls;

	/* The object that was asked for last: its properties are read one by one. */
	char last_path[160];
	size_t last_index;
};

static inline const struct publish_view *bus_view(const struct bus *bus)
{
	const struct publish_view *view = *bus->view;

	return view && view->plan ? view : NULL; /* NULL: nothing is published yet */
}

/* publish_bus_change.c */
int bus_on_reload(sd_bus_message *message, void *userdata, sd_bus_error *ret_error);
/* Forgets the calls that still wait. */
void bus_calls_done(struct bus *bus);

/* Who sent the call, by the driver's answer to GetConnectionCredentials. 0, or -errno: not known.
 */
int bus_sender_of(const struct bus *bus, sd_bus_message *answer, struct peer *ret_peer);

/* publish_bus_limit.c: first of all, so that it sees every call. 0 or -errno. */
int bus_limits_open(struct bus *bus);
void bus_limits_done(struct bus *bus);

/* publish_bus_objects.c */
int bus_objects_open(struct bus *bus);
/* malloc'ed; NULL where memory is short. */
char *bus_workload_path(const char *name);
/* Names of the properties that may change, as sd_bus_emit_properties_changed_strv() wants them. */
char **bus_workload_changing(void);

/* Typed forms of what sd-bus leaves unchecked: 0 or -errno. */
int bus_append_string(sd_bus_message *message, const char *text);
int bus_append_path(sd_bus_message *message, const char *path);
int bus_append_u32(sd_bus_message *message, uint32_t number);
int bus_append_u64(sd_bus_message *message, uint64_t number);
int bus_append_flag(sd_bus_message *message, bool flag);
/* -ENOMEM where @text is NULL: for what *_format() returned. Frees @text. */
int bus_append_taken(sd_bus_message *message, char *text);
/* One more place for a slot that lives as long as @bus. */
sd_bus_slot **bus_slot(struct bus *bus);
