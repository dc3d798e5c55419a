/* What PID 1 states for units that are configured, running or not: whether they exist, their slice,
 * their quota and weight. All calls are asynchronous; a PID 1 that reloads, restarts or is not
 * there costs nothing but the answer: what was known is kept, and it is asked again when it is
 * back. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

enum unit_state {
	UNIT_UNKNOWN, /* no answer yet */
	UNIT_LOADED,
	UNIT_ABSENT, /* not found, masked, a transient unit that is gone, or one that PID 1 would
			never tell of */
};

struct unit {
	char *name;
	enum unit_state state;
	char *slice;	     /* "" for none; a slice's own parent */
	char *control_group; /* path of its cgroup; "" while it has none */
	uint32_t quota_mcpu; /* CPUQuotaPerSecUSec=; QUOTA_UNLIMITED_MCPU */
	uint32_t weight;     /* CPUWeight=, 1..10000; 100 where not set */
};

struct units_listener {
	void *userdata;
	void (*changed)(void *userdata); /* an answer differs from what was known */
	void (*reloaded)(
		void *userdata); /* PID 1 has read its configuration again, or started again */
	void (*notice)(void *userdata, const char *text);
};

struct units;

/* Borrows @bus, which must be attached to the event loop that runs. 0 or -errno. */
int units_open(sd_bus *bus, const struct units_listener *listener, struct units **ret_units);
struct units *units_free(struct units *units);

/* Another connection in place of one that is gone. All that is known stays, and is asked for again.
 * 0 or -errno: then nothing is asked. */
int units_set_bus(struct units *units, sd_bus *bus);

/* These units, the slices they turn out to be in and those slices' parents are asked for and
 * followed; others are forgotten. 0 or -ENOMEM. */
int units_want(struct units *units, const char *const *names, size_t n_names);
/* True where PID 1 has answered for every unit that is wanted. */
bool units_are_known(const struct units *units);
/* NULL where it was not wanted. Borrowed until the event loop runs again. */
const struct unit *units_find(const struct units *units, const char *name);
