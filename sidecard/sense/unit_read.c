#include "sense/unit_read.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "model/quota.h"
#include "sense/match.h"

#define DESTINATION  "org.freedesktop.systemd1"
#define MANAGER_PATH "/org/freedesktop/systemd1"
#define UNIT_PREFIX  "/org/freedesktop/systemd1/unit"
#define PROPERTIES   "org.freedesktop.DBus.Properties"

/* Units read at the same time: PID 1 answers one after the other anyway, and a bus daemon limits
 * the replies that one client waits for. */
#define N_READING_MAX 16u
/* The same as sd-bus's own default (S19): PID 1 does not answer during a reload. */
#define CALL_TIMEOUT_USEC (25u * 1000000u)

enum property {
	PROPERTY_LOAD_STATE,
	PROPERTY_TRANSIENT,
	PROPERTY_SLICE,
	PROPERTY_CONTROL_GROUP,
	PROPERTY_QUOTA,
	PROPERTY_WEIGHT,
	N_PROPERTIES,
};

static const struct {
	const char *name;
	char type;
	bool of_unit; /* of the interface that all units share, not of the unit type's own */
} properties[N_PROPERTIES] = {
	[PROPERTY_LOAD_STATE] = { "LoadState", 's', true },
	[PROPERTY_TRANSIENT] = { "Transient", 'b', true },
	[PROPERTY_SLICE] = { "Slice", 's', false },
	[PROPERTY_CONTROL_GROUP] = { "ControlGroup", 's', false },
	[PROPERTY_QUOTA] = { "CPUQuotaPerSecUSec", 't', false },
	[PROPERTY_WEIGHT] = { "CPUWeight", 't', false },
};

struct record;

struct reading {
	struct record *record;
	enum property property;
	sd_bus_slot *slot; /* NULL: nothing pending */
};

struct record {
	struct units *units;
	struct unit unit;  /* as told to others */
	struct unit fresh; /* being read; moved to @unit when all is there */
	bool transient;
	bool gone; /* a transient unit that PID 1 removed: only UnitNew makes it interesting again
		    */
	bool wanted, must_read, failed;
	unsigned n_pending;
	char *path;
	sd_bus_slot *changed_slot;
	struct reading readings[N_PROPERTIES];
};

struct units {
	sd_bus *bus;
	struct units_listener listener;
	struct record **records; /* sorted by name */
	size_t n_records;
	unsigned n_reading;
	char *owner; /* unique name of PID 1 on the bus: a signal of anybody else is not its */
	sd_bus_slot *slots[6];
	bool noticed;
};

static void unit_done(struct unit *unit)
{
	free(unit->slice);
	free(unit->control_group);
	unit->slice = unit->control_group = NULL;
}

static void record_cancel(struct record *record)
{
	for (size_t i = 0; i < N_PROPERTIES; i++)
		record->readings[i].slot = sd_bus_slot_unref(record->readings[i].slot);
	if (record->n_pending > 0)
		record->units->n_reading--;
	record->n_pending = 0;
	unit_done(&record->fresh);
}

static void record_free(struct record *record)
{
	if (!record)
		return;
	record_cancel(record);
	sd_bus_slot_unref(record->changed_slot);
	free(record->path);
	unit_done(&record->unit);
	free(record->unit.name);
	free(record);
}

static size_t record_position(const struct units *units, const char *name, bool *ret_found)
{
	size_t low = 0, high = units->n_records;

	*ret_found = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(units->records[middle]->unit.name, name);

		if (order == 0) {
			*ret_found = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct record *record_find(const struct units *units, const char *name)
{
	bool found;
	size_t at = record_position(units, name, &found);

	return found ? units->records[at] : NULL;
}

static void pump(struct units *units);

/* Is @message from PID 1 itself? A peer connection (its private socket) has nobody else on it. */
static bool is_from_manager(const struct units *units, sd_bus_message *message)
{
	const char *sender = sd_bus_message_get_sender(message);

	return !units->owner || !sender || strcmp(sender, units->owner) == 0;
}

static int on_unit_changed(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct record *record = userdata;

	(void)error;
	if (is_from_manager(record->units, message)) {
		record->must_read = true;
		pump(record->units);
	}
	return 0;
}

/* A match that the bus refuses is one signal less. Without a function of our own sd-bus would close
 * the whole connection (sd_bus_add_match(3)). */
static int on_match_installed(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	(void)message;
	(void)userdata;
	(void)error;
	return 1;
}

static const char *manager_sender(const struct units *units)
{
	return sd_bus_is_bus_client(units->bus) > 0 ? DESTINATION : NULL;
}

/* Without it changes of an inactive unit are seen at the next reload only. */
static void record_follow(struct record *record)
{
	sd_bus_match_signal_async(record->units->bus, &record->changed_slot,
				  manager_sender(record->units), record->path, PROPERTIES,
				  "PropertiesChanged", on_unit_changed, on_match_installed, record);
}

static struct record *record_new(struct units *units, const char *name)
{
	struct record *record = calloc(1, sizeof(*record));

	if (!record)
		return NULL;
	record->units = units;
	record->unit.name = strdup(name);
	record->unit.slice = strdup("");
	record->unit.control_group = strdup("");
	record->unit.quota_mcpu = QUOTA_UNLIMITED_MCPU;
	record->unit.weight = 100;
	record->must_read = true;
	for (size_t i = 0; i < N_PROPERTIES; i++)
		record->readings[i] = (struct reading){ record, (enum property)i, NULL };
	if (!record->unit.name || !record->unit.slice || !record->unit.control_group ||
	    sd_bus_path_encode(UNIT_PREFIX, name, &record->path) < 0) {
		record_free(record);
		return NULL;
	}
	record_follow(record);
	return record;
}

/* Finds or makes the record and marks it wanted, with its parents where it is a slice. */
static int record_want(struct units *units, const char *name)
{
	char parent[UNIT_NAME_SIZE];
	struct record *record, **bigger;
	bool found;
	size_t at = record_position(units, name, &found);

	if (found) {
		units->records[at]->wanted = true;
	} else {
		bigger = realloc(units->records, (units->n_records + 1) * sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		units->records = bigger;
		record = record_new(units, name);
		if (!record)
			return -ENOMEM;
		record->wanted = true;
		memmove(bigger + at + 1, bigger + at, (units->n_records - at) * sizeof(*bigger));
		bigger[at] = record;
		units->n_records++;
	}
	if (unit_slice_parent(name, parent) && *parent)
		return record_want(units, parent);
	return 0;
}

/* The interface of the unit's type: ".service" → "org.freedesktop.systemd1.Service". */
static const char *type_interface(const char *name)
{
	static const struct {
		const char *suffix, *interface;
	} types[] = {
		{ ".service", DESTINATION ".Service" }, { ".scope", DESTINATION ".Scope" },
		{ ".slice", DESTINATION ".Slice" },	{ ".socket", DESTINATION ".Socket" },
		{ ".mount", DESTINATION ".Mount" },	{ ".swap", DESTINATION ".Swap" },
	};
	const char *dot = strrchr(name, '.');

	for (size_t i = 0; dot && i < N_ELEMENTS(types); i++)
		if (strcmp(dot, types[i].suffix) == 0)
			return types[i].interface;
	return NULL;
}

static int take_string(char **target, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		return -ENOMEM;
	free(*target);
	*target = copy;
	return 0;
}

static int take_value(struct record *record, enum property property, sd_bus_message *reply)
{
	struct unit *fresh = &record->fresh;
	const char type[] = { properties[property].type, '\0' };
	union {
		const char *text;
		uint64_t number;
		int flag;
	} value = { 0 };
	int r = sd_bus_message_enter_container(reply, 'v', type);

	if (r <= 0)
		return r < 0 ? r : -EBADMSG;
	r = sd_bus_message_read_basic(reply, type[0], &value);
	if (r <= 0)
		return r < 0 ? r : -EBADMSG;
	switch (property) {
	case PROPERTY_LOAD_STATE:
		fresh->state = strcmp(value.text, "loaded") == 0 ? UNIT_LOADED : UNIT_ABSENT;
		return 0;
	case PROPERTY_TRANSIENT:
		record->transient = value.flag;
		return 0;
	case PROPERTY_SLICE:
		return take_string(&fresh->slice, value.text);
	case PROPERTY_CONTROL_GROUP:
		return take_string(&fresh->control_group, value.text);
	case PROPERTY_QUOTA: /* µs of PU time per second of wall time */
		fresh->quota_mcpu = value.number / 1000 < QUOTA_UNLIMITED_MCPU
					    ? (uint32_t)(value.number / 1000)
					    : QUOTA_UNLIMITED_MCPU;
		if (fresh->quota_mcpu == 0)
			fresh->quota_mcpu = 1;
		return 0;
	case PROPERTY_WEIGHT: /* UINT64_MAX: not set; 0: "idle" */
		fresh->weight = value.number == 0      ? 1
				: value.number > 10000 ? 100
						       : (uint32_t)value.number;
		return 0;
	case N_PROPERTIES:
		break;
	}
	return -EINVAL;
}

static bool unit_equal(const struct unit *a, const struct unit *b)
{
	return a->state == b->state && a->quota_mcpu == b->quota_mcpu && a->weight == b->weight &&
	       strcmp(a->slice, b->slice) == 0 && strcmp(a->control_group, b->control_group) == 0;
}

/* All answers are there: they become what is known, together. */
static void record_finish(struct record *record)
{
	struct units *units = record->units;
	struct unit fresh = record->fresh;
	bool failed = record->failed;

	units->n_reading--;
	record->fresh = (struct unit){ 0 };
	if (failed || !fresh.slice || !fresh.control_group || record->gone) {
		unit_done(&fresh);
		pump(units);
		if (record->unit.state == UNIT_UNKNOWN) {
			record->unit.state = UNIT_ABSENT; /* nobody need wait for it */
			units->listener.changed(units->listener.userdata);
		}
		return;
	}
	fresh.name = record->unit.name;
	if (!unit_equal(&fresh, &record->unit)) {
		struct unit old = record->unit;

		record->unit = fresh;
		unit_done(&old);
		if (fresh.state == UNIT_LOADED && *fresh.slice && unit_is_slice(fresh.slice))
			record_want(units, fresh.slice);
		pump(units);
		units->listener.changed(units->listener.userdata);
		return;
	}
	unit_done(&fresh);
	pump(units);
}

static void read_failed(struct record *record, const sd_bus_error *error)
{
	struct units *units = record->units;
	char text[512];

	/* A unit whose name PID 1 cannot load is one that does not exist; everything else leaves
	 * what was known. */
	if (error && (sd_bus_error_has_name(error, SD_BUS_ERROR_UNKNOWN_OBJECT) ||
		      sd_bus_error_has_name(error, "org.freedesktop.systemd1.NoSuchUnit"))) {
		record->fresh.state = UNIT_ABSENT;
		return;
	}
	record->failed = true;
	if (units->noticed)
		return;
	units->noticed = true;
	snprintf(text, sizeof(text),
		 "PID 1 does not tell of unit '%s' (%s), going by the names of directories until "
		 "it does",
		 record->unit.name, error && error->name ? error->name : "malformed answer");
	units->listener.notice(units->listener.userdata, text);
}

static int on_property(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
	struct reading *reading = userdata;
	struct record *record = reading->record;

	(void)ret_error;
	reading->slot = sd_bus_slot_unref(reading->slot);
	if (sd_bus_message_is_method_error(reply, NULL))
		read_failed(record, sd_bus_message_get_error(reply));
	else if (take_value(record, reading->property, reply) < 0)
		read_failed(record, NULL);
	if (--record->n_pending == 0)
		record_finish(record);
	return 0;
}

/* A call to PID 1, which is there or not: a bus daemon shall not try to start it. */
static int manager_call(struct units *units, const char *path, const char *interface,
			const char *member, sd_bus_message **ret_call)
{
	int r = sd_bus_message_new_method_call(units->bus, ret_call, DESTINATION, path, interface,
					       member);

	return r < 0 ? r : sd_bus_message_set_auto_start(*ret_call, 0);
}

static int record_read(struct record *record)
{
	const char *interface = type_interface(record->unit.name);

	record->must_read = false;
	if (!interface)
		return -EINVAL;
	record->failed = false;
	record->fresh = (struct unit){ .slice = strdup(""),
				       .control_group = strdup(""),
				       .quota_mcpu = QUOTA_UNLIMITED_MCPU,
				       .weight = 100 };
	record->units->n_reading++;
	for (size_t i = 0; i < N_PROPERTIES; i++) {
		const char *of = properties[i].of_unit ? DESTINATION ".Unit" : interface;
		cleanup(sd_bus_message_unrefp) sd_bus_message *call = NULL;
		int r = manager_call(record->units, record->path, PROPERTIES, "Get", &call);

		if (r >= 0)
			r = sd_bus_message_append_basic(call, 's', of);
		if (r >= 0)
			r = sd_bus_message_append_basic(call, 's', properties[i].name);
		if (r >= 0)
			r = sd_bus_call_async(record->units->bus, &record->readings[i].slot, call,
					      on_property, &record->readings[i], CALL_TIMEOUT_USEC);
		if (r < 0) {
			record->n_pending++; /* so that it counts as begun, whichever call failed */
			record_cancel(record);
			return r;
		}
		record->n_pending++;
	}
	return 0;
}

static void pump(struct units *units)
{
	for (size_t i = 0; i < units->n_records && units->n_reading < N_READING_MAX; i++) {
		struct record *record = units->records[i];

		if (record->must_read && record->n_pending == 0)
			record_read(record);
	}
}

static void read_all_again(struct units *units)
{
	for (size_t i = 0; i < units->n_records; i++) {
		units->records[i]->must_read = true;
		units->records[i]->gone = false;
	}
	units->noticed = false;
	pump(units);
}

static int on_reloading(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct units *units = userdata;
	int active;

	(void)error;
	if (!is_from_manager(units, message) ||
	    sd_bus_message_read_basic(message, 'b', &active) <= 0 || active)
		return 0;
	read_all_again(units);
	units->listener.reloaded(units->listener.userdata);
	return 0;
}

static struct record *record_of_signal(struct units *units, sd_bus_message *message)
{
	const char *name;

	if (!is_from_manager(units, message) || sd_bus_message_read_basic(message, 's', &name) <= 0)
		return NULL;
	return record_find(units, name);
}

/* PID 1 forgets an inactive unit that nobody refers to, and loads it again as soon as somebody
 * asks; asking again at each of these signals would go round for ever. So only a transient unit is
 * believed to be gone, and only such a one to be new. */
static int on_unit_removed(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct units *units = userdata;
	struct record *record = record_of_signal(units, message);

	(void)error;
	if (!record || !record->transient || record->gone)
		return 0;
	record->gone = true;
	if (record->unit.state == UNIT_LOADED) {
		record->unit.state = UNIT_ABSENT;
		units->listener.changed(units->listener.userdata);
	}
	return 0;
}

static int on_unit_new(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct units *units = userdata;
	struct record *record = record_of_signal(units, message);

	(void)error;
	if (record && record->gone) {
		record->gone = false;
		record->must_read = true;
		pump(units);
	}
	return 0;
}

static void subscribe(struct units *units)
{
	cleanup(sd_bus_message_unrefp) sd_bus_message *call = NULL;

	/* No reply wanted: without the signals everything still works, only later. */
	if (manager_call(units, MANAGER_PATH, DESTINATION ".Manager", "Subscribe", &call) >= 0)
		sd_bus_send(units->bus, call, NULL);
}

static void owner_set(struct units *units, const char *owner)
{
	free(units->owner);
	units->owner = *owner ? strdup(owner) : NULL;
}

static int on_owner(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct units *units = userdata;
	const char *owner;

	(void)error;
	if (!sd_bus_message_is_method_error(reply, NULL) &&
	    sd_bus_message_read_basic(reply, 's', &owner) > 0)
		owner_set(units, owner);
	return 0;
}

static int on_owner_changed(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct units *units = userdata;
	const char *names[3];

	(void)error;
	for (size_t i = 0; i < N_ELEMENTS(names); i++)
		if (sd_bus_message_read_basic(message, 's', &names[i]) <= 0)
			return 0;
	if (strcmp(names[0], DESTINATION) != 0)
		return 0;
	owner_set(units, names[2]);
	if (!*names[2])
		return 0; /* gone: what is known stays; the directories tell the rest */
	subscribe(units);
	read_all_again(units);
	units->listener.reloaded(units->listener.userdata);
	return 0;
}

#define NAME_OWNER_MATCH                                                            \
	"type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus'," \
	"interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='" DESTINATION "'"

static int match_signals(struct units *units)
{
	static const struct {
		const char *member;
		sd_bus_message_handler_t handler;
	} signals[] = {
		{ "Reloading", on_reloading },
		{ "UnitRemoved", on_unit_removed },
		{ "UnitNew", on_unit_new },
	};
	size_t n = 0;
	int r;

	for (; n < N_ELEMENTS(signals); n++) {
		r = sd_bus_match_signal_async(units->bus, &units->slots[n], manager_sender(units),
					      MANAGER_PATH, DESTINATION ".Manager",
					      signals[n].member, signals[n].handler,
					      on_match_installed, units);
		if (r < 0)
			return r;
	}
	if (!manager_sender(units))
		return 0;
	r = sd_bus_add_match_async(units->bus, &units->slots[n++], NAME_OWNER_MATCH,
				   on_owner_changed, on_match_installed, units);
	if (r < 0)
		return r;
	return sd_bus_call_method_async(units->bus, &units->slots[n], "org.freedesktop.DBus",
					"/org/freedesktop/DBus", "org.freedesktop.DBus",
					"GetNameOwner", on_owner, units, "s", DESTINATION);
}

int units_open(sd_bus *bus, const struct units_listener *listener, struct units **ret_units)
{
	struct units *units = calloc(1, sizeof(*units));
	int r;

	if (!units)
		return -ENOMEM;
	units->bus = sd_bus_ref(bus);
	units->listener = *listener;
	r = match_signals(units);
	if (r < 0) {
		units_free(units);
		return r;
	}
	subscribe(units);
	*ret_units = units;
	return 0;
}

int units_set_bus(struct units *units, sd_bus *bus)
{
	int r;

	for (size_t i = 0; i < units->n_records; i++) {
		record_cancel(units->records[i]);
		units->records[i]->changed_slot = sd_bus_slot_unref(
			units->records[i]->changed_slot);
	}
	for (size_t i = 0; i < N_ELEMENTS(units->slots); i++)
		units->slots[i] = sd_bus_slot_unref(units->slots[i]);
	free(units->owner);
	units->owner = NULL;
	sd_bus_unref(units->bus);
	units->bus = sd_bus_ref(bus);
	r = match_signals(units);
	if (r < 0)
		return r;
	for (size_t i = 0; i < units->n_records; i++)
		record_follow(units->records[i]);
	subscribe(units);
	read_all_again(units);
	return 0;
}

struct units *units_free(struct units *units)
{
	if (!units)
		return NULL;
	for (size_t i = 0; i < units->n_records; i++)
		record_free(units->records[i]);
	for (size_t i = 0; i < N_ELEMENTS(units->slots); i++)
		sd_bus_slot_unref(units->slots[i]);
	free(units->records);
	free(units->owner);
	sd_bus_unref(units->bus);
	free(units);
	return NULL;
}

int units_want(struct units *units, const char *const *names, size_t n_names)
{
	size_t n_kept = 0;
	int r = 0;

	for (size_t i = 0; i < units->n_records; i++)
		units->records[i]->wanted = false;
	for (size_t i = 0; r == 0 && i < n_names; i++) {
		const struct record *record;

		r = record_want(units, names[i]);
		record = r == 0 ? record_find(units, names[i]) : NULL;
		if (record && unit_is_slice(record->unit.slice))
			r = record_want(units, record->unit.slice);
	}
	if (r < 0)
		return r;
	for (size_t i = 0; i < units->n_records; i++)
		if (units->records[i]->wanted)
			units->records[n_kept++] = units->records[i];
		else
			record_free(units->records[i]);
	units->n_records = n_kept;
	pump(units);
	return 0;
}

const struct unit *units_find(const struct units *units, const char *name)
{
	const struct record *record = record_find(units, name);

	return record ? &record->unit : NULL;
}

bool units_are_known(const struct units *units)
{
	for (size_t i = 0; i < units->n_records; i++)
		if (units->records[i]->wanted && units->records[i]->unit.state == UNIT_UNKNOWN)
			return false;
	return true;
}
