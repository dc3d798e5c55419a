/* A systemd unit as a place: runtime properties by D-Bus, since PID 1 is the single writer there.
 * PID 1 answers before, and whether or not, the kernel accepts: only cpuset.cpus.effective tells,
 * and systemd writes it a moment later. Never an empty AllowedCPUs (it would not clear the kernel's
 * value) and never RevertUnitFiles (it deletes the administrator's drop-ins too). Typed wrappers
 * stand around every variadic call of sd-bus. */
#include "apply/applier.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define MANAGER		 "org.freedesktop.systemd1"
#define MANAGER_PATH	 "/org/freedesktop/systemd1"
#define MANAGER_IFACE	 "org.freedesktop.systemd1.Manager"
#define UNIT_IFACE	 "org.freedesktop.systemd1.Unit"
#define UNIT_PATH_PREFIX "/org/freedesktop/systemd1/unit"

/* PID 1 does not answer during a reload, which takes seconds on a host with many units; sd-bus's
 * own default is 25 s. */
#define CALL_TIMEOUT_US (25 * UINT64_C(1000000))

/* How long the kernel's value may lag behind PID 1's answer: it is one turn of PID 1's loop, or all
 * that is queued there. Moving pages takes longer. */
#define SETTLE_US	  (5 * UINT64_C(1000000))
#define SETTLE_MIGRATE_US (60 * UINT64_C(1000000))
#define WAIT_FIRST_MS	  1u
#define WAIT_LAST_MS	  100u

#define DROPIN_BYTES 32768 /* one list of at most 8,192 PUs, twice */

struct unit {
	struct applier *applier;
	const char *name;
	char *path; /* of its D-Bus object */
	char iface[64];
	/* As PID 1 says. */
	bool is_known; /* there is a unit file, or it is active without one */
	bool is_active;
	struct cpuset cpus;
	struct nodeset mems;
	char *control_group;
	int cgroup_fd; /* -1: not active, or no cgroups to look at */
};

static void cgroup_close(struct unit *unit)
{
	if (unit->cgroup_fd >= 0)
		unit->applier->sys->close(unit->applier->sys, unit->cgroup_fd);
	unit->cgroup_fd = -1;
}

static void unit_done(struct unit *unit)
{
	cgroup_close(unit);
	free(unit->path);
	free(unit->control_group);
	cpuset_done(&unit->cpus);
	nodeset_done(&unit->mems);
}

/* ---- the bus ---- */

static int bus_connect(struct applier *applier, struct fault *fault)
{
	sd_bus *bus = NULL;
	int r;

	if (applier->bus)
		return 0;
	if (!applier->use_bus)
		return fault_set(fault, -ENOTCONN,
				 "PID 1 was not to be asked, and units are its own");
	r = sd_bus_new(&bus);
	if (r >= 0)
		r = sd_bus_set_address(bus, applier->bus_address
						    ? applier->bus_address
						    : "unix:path=/run/dbus/system_bus_socket");
	if (r >= 0)
		r = sd_bus_set_bus_client(bus, true);
	if (r >= 0)
		r = sd_bus_start(bus);
	if (r < 0) {
		sd_bus_close_unref(bus);
		/* ENOENT is the bus's socket, not the place. */
		return fault_set(fault, -ENOTCONN, "cannot connect to the bus: %s", strerror(-r));
	}
	applier->bus = bus;
	return 0;
}

/* Sorts a failed call. The unit is gone only where PID 1 says so by name; errno alone may mean the
 * bus, its socket or the machine. */
static int call_fault(struct unit *unit, const char *what, int r, const sd_bus_error *error,
		      struct fault *fault)
{
	const char *message = error->message ? error->message : strerror(-r);

	if (sd_bus_error_has_name(error, "org.freedesktop.systemd1.NoSuchUnit") ||
	    sd_bus_error_has_name(error, "org.freedesktop.systemd1.UnitMasked") ||
	    sd_bus_error_has_name(error, "org.freedesktop.DBus.Error.UnknownObject"))
		return fault_set(fault, unit->is_active ? -ENOTSUP : -ENOENT,
				 "unit '%s': %s fails: %s", unit->name, what, message);
	if (!unit->applier->bus || sd_bus_is_open(unit->applier->bus) <= 0 || r == -ECONNRESET ||
	    r == -ENOTCONN || r == -EPIPE) {
		unit->applier->bus = sd_bus_close_unref(unit->applier->bus);
		return fault_set(fault, -ENOTCONN, "unit '%s': the bus was lost during %s",
				 unit->name, what);
	}
	if (r == -ENOENT || r == -ESRCH || r == -ENODEV)
		r = -EIO;
	return fault_set(fault, r, "unit '%s': %s fails: %s", unit->name, what, message);
}

static int get_text(struct unit *unit, const char *iface, const char *property, char **ret_text,
		    struct fault *fault)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	int r = sd_bus_get_property_string(unit->applier->bus, MANAGER, unit->path, iface, property,
					   &error, ret_text);

	if (r < 0)
		r = call_fault(unit, property, r, &error, fault);
	sd_bus_error_free(&error);
	return r < 0 ? r : 0;
}

/* Bytes of a little-endian bitmap, as AllowedCPUs and its like are on the bus. */
static int get_bytes(struct unit *unit, const char *property, uint8_t *bytes, size_t n_bytes,
		     struct fault *fault)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *reply = NULL;
	const void *array = NULL;
	size_t n_array = 0;
	int r = sd_bus_get_property(unit->applier->bus, MANAGER, unit->path, unit->iface, property,
				    &error, &reply, "ay");

	if (r >= 0)
		r = sd_bus_message_read_array(reply, 'y', &array, &n_array);
	if (r < 0)
		r = call_fault(unit, property, r, &error, fault);
	if (r >= 0) {
		memset(bytes, 0, n_bytes);
		/* PUs that no kernel can have (AllowedCPUs=99999) are of no interest. */
		memcpy(bytes, array ? array : "", n_array < n_bytes ? n_array : n_bytes);
	}
	sd_bus_message_unref(reply);
	sd_bus_error_free(&error);
	return r < 0 ? r : 0;
}

static int get_cpus(struct unit *unit, const char *property, struct cpuset *ret_cpus,
		    struct fault *fault)
{
	uint8_t bytes[CPUSET_MAX / 8];
	struct cpuset cpus = { 0 };
	int r = get_bytes(unit, property, bytes, sizeof(bytes), fault);

	for (uint32_t pu_os = 0; r == 0 && pu_os < CPUSET_MAX; pu_os++)
		if (bytes[pu_os / 8] >> (pu_os % 8) & 1)
			r = cpuset_add(&cpus, pu_os);
	if (r < 0) {
		cpuset_done(&cpus);
		return r == -ENOMEM ? fault_set(fault, r, "unit '%s': no memory for %s", unit->name,
						property)
				    : r;
	}
	cpuset_done(ret_cpus);
	*ret_cpus = cpus;
	return 0;
}

static int get_nodes(struct unit *unit, const char *property, struct nodeset *ret_nodes,
		     struct fault *fault)
{
	uint8_t bytes[NODESET_MAX / 8];
	struct nodeset nodes = { 0 };
	int r = get_bytes(unit, property, bytes, sizeof(bytes), fault);

	for (uint32_t node_os = 0; r == 0 && node_os < NODESET_MAX; node_os++)
		if (bytes[node_os / 8] >> (node_os % 8) & 1)
			r = nodeset_add(&nodes, node_os);
	if (r < 0) {
		nodeset_done(&nodes);
		return r == -ENOMEM ? fault_set(fault, r, "unit '%s': no memory for %s", unit->name,
						property)
				    : r;
	}
	nodeset_done(ret_nodes);
	*ret_nodes = nodes;
	return 0;
}

/* One (sv) of SetUnitProperties. */
static int append_bytes(sd_bus_message *message, const char *property, const uint8_t *bytes,
			size_t n_bytes)
{
	int r = sd_bus_message_open_container(message, SD_BUS_TYPE_STRUCT, "sv");

	if (r >= 0)
		r = sd_bus_message_append_basic(message, 's', property);
	if (r >= 0)
		r = sd_bus_message_open_container(message, SD_BUS_TYPE_VARIANT, "ay");
	if (r >= 0)
		r = sd_bus_message_append_array(message, 'y', bytes, n_bytes);
	if (r >= 0)
		r = sd_bus_message_close_container(message);
	if (r >= 0)
		r = sd_bus_message_close_container(message);
	return r;
}

static int append_cpus(sd_bus_message *message, const struct cpuset *cpus)
{
	uint8_t bytes[CPUSET_MAX / 8] = { 0 };

	cpuset_foreach (pu_os, cpus)
		bytes[pu_os / 8] |= (uint8_t)(1u << (pu_os % 8));
	return append_bytes(message, "AllowedCPUs", bytes, cpuset_last(cpus) / 8 + 1);
}

static int append_nodes(sd_bus_message *message, const struct nodeset *nodes)
{
	uint8_t bytes[NODESET_MAX / 8] = { 0 };

	nodeset_foreach (node_os, nodes)
		bytes[node_os / 8] |= (uint8_t)(1u << (node_os % 8));
	return append_bytes(message, "AllowedMemoryNodes", bytes, nodeset_last(nodes) / 8 + 1);
}

/* SetUnitProperties(s name, b runtime, a(sv) properties) with what is not empty. */
static int set_properties(struct unit *unit, const struct cpuset *cpus, const struct nodeset *mems,
			  struct result *result, struct fault *fault)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *message = NULL;
	const int runtime = 1;
	int r = sd_bus_message_new_method_call(unit->applier->bus, &message, MANAGER, MANAGER_PATH,
					       MANAGER_IFACE, "SetUnitProperties");

	if (r >= 0)
		r = sd_bus_message_append_basic(message, 's', unit->name);
	if (r >= 0)
		r = sd_bus_message_append_basic(message, 'b', &runtime);
	if (r >= 0)
		r = sd_bus_message_open_container(message, SD_BUS_TYPE_ARRAY, "(sv)");
	if (r >= 0 && !cpuset_is_empty(cpus))
		r = append_cpus(message, cpus);
	if (r >= 0 && !nodeset_is_empty(mems))
		r = append_nodes(message, mems);
	if (r >= 0)
		r = sd_bus_message_close_container(message);
	if (r >= 0)
		r = sd_bus_call(unit->applier->bus, message, 0, &error, NULL);
	if (r < 0) {
		r = call_fault(unit, "SetUnitProperties", r, &error, fault);
	} else {
		result->is_written = true;
		result->n_writes++;
		r = 0;
	}
	sd_bus_message_unref(message);
	sd_bus_error_free(&error);
	return r;
}

/* ---- what there is ---- */

static int unit_init(struct unit *unit, struct fault *fault)
{
	const char *suffix = strrchr(unit->name, '.');

	/* ".service" is org.freedesktop.systemd1.Service. */
	snprintf(unit->iface, sizeof(unit->iface), "org.freedesktop.systemd1.%c%s",
		 suffix[1] - 'a' + 'A', suffix + 2);
	if (sd_bus_path_encode(UNIT_PATH_PREFIX, unit->name, &unit->path) < 0)
		return fault_set(fault, -ENOMEM, "unit '%s': no memory for its path", unit->name);
	return 0;
}

/* Does it have processes that the kernel's set is about? */
static bool runs(const struct unit *unit)
{
	return unit->is_active && unit->control_group[0] == '/';
}

static void unit_open_cgroup(struct unit *unit)
{
	cgroup_close(unit);
	if (runs(unit) && unit->applier->root_fd >= 0 &&
	    applier_open_cgroup(unit->applier, unit->control_group, &unit->cgroup_fd) < 0)
		unit->cgroup_fd = -1;
}

static int unit_read(struct unit *unit, struct fault *fault)
{
	cleanup(freep) char *load_state = NULL, *active_state = NULL;
	int r = get_text(unit, UNIT_IFACE, "ActiveState", &active_state, fault);

	if (r < 0)
		return r;
	unit->is_active = strcmp(active_state, "inactive") != 0 &&
			  strcmp(active_state, "failed") != 0;
	r = get_text(unit, UNIT_IFACE, "LoadState", &load_state, fault);
	if (r < 0)
		return r;
	/* A masked unit may still run, and its properties cannot be set: that is a failure, not an
	 * absence. */
	if (!unit->is_active &&
	    (strcmp(load_state, "not-found") == 0 || strcmp(load_state, "masked") == 0))
		return fault_set(fault, -ENOENT, "unit '%s' is %s", unit->name, load_state);
	r = get_cpus(unit, "AllowedCPUs", &unit->cpus, fault);
	if (r == 0)
		r = get_nodes(unit, "AllowedMemoryNodes", &unit->mems, fault);
	if (r == 0)
		r = get_text(unit, unit->iface, "ControlGroup", &unit->control_group, fault);
	return r;
}

/* ---- reading back ---- */

/* What the kernel has: 0 not what we want (yet), 1 it holds, 2 the wish is there and not granted;
 * -errno: no cgroup to look at. */
enum kernel_state { KERNEL_DIFFERS, KERNEL_HOLDS, KERNEL_REFUSES };

static int kernel_state(struct unit *unit, const struct cpuset *cpus, struct cpuset *ret_effective)
{
	cleanup(cpuset_done) struct cpuset wish = { 0 };
	int r = applier_read_cpus(unit->applier, unit->cgroup_fd, "cpuset.cpus", &wish);

	if (r == 0)
		r = applier_read_cpus(unit->applier, unit->cgroup_fd, "cpuset.cpus.effective",
				      ret_effective);
	if (r < 0)
		return r;
	if (!cpuset_equal(&wish, cpus))
		return KERNEL_DIFFERS;
	return !cpuset_is_empty(ret_effective) && cpuset_is_subset(ret_effective, cpus)
		       ? KERNEL_HOLDS
		       : KERNEL_REFUSES;
}

/* The same through PID 1, which reads the kernel's file for us; without a cgroup root of our own
 * there is no wish to compare. */
static int property_state(struct unit *unit, const struct cpuset *cpus,
			  struct cpuset *ret_effective, struct fault *fault)
{
	int r = get_cpus(unit, "EffectiveCPUs", ret_effective, fault);

	if (r < 0)
		return r;
	return !cpuset_is_empty(ret_effective) && cpuset_is_subset(ret_effective, cpus)
		       ? KERNEL_HOLDS
		       : KERNEL_DIFFERS;
}

static int present_state(struct unit *unit, const struct cpuset *cpus, struct cpuset *ret_effective,
			 struct fault *fault)
{
	int r;

	if (unit->cgroup_fd < 0)
		return property_state(unit, cpus, ret_effective, fault);
	r = kernel_state(unit, cpus, ret_effective);
	if (r != -ENOENT && r != -ENODEV)
		return r;
	/* The controller is switched on only once PID 1 writes; or the unit was restarted and has
	 * another cgroup of the same name, or ended and has none. */
	unit_open_cgroup(unit);
	return KERNEL_DIFFERS;
}

static int not_applied(struct unit *unit, const struct cpuset *cpus, const struct cpuset *effective,
		       struct fault *fault)
{
	cleanup(freep) char *asked = cpuset_format(cpus);
	cleanup(freep) char *got = cpuset_format(effective);

	return fault_set(fault, -EREMOTEIO,
			 "unit '%s': PID 1 accepted AllowedCPUs=%s, but the kernel still says '%s';"
			 " its journal may tell why",
			 unit->name, asked ? asked : "?", got ? got : "?");
}

/* Not active, or without a cgroup: only the property can be read back. */
static int verify_property(struct unit *unit, const struct cpuset *cpus, struct result *result,
			   struct fault *fault)
{
	int r = get_cpus(unit, "AllowedCPUs", &result->effective, fault);

	if (r < 0)
		return r;
	if (!cpuset_equal(&result->effective, cpus))
		return not_applied(unit, cpus, &result->effective, fault);
	fault_set(&result->remark, -EAGAIN,
		  "unit '%s' is not active, its property holds for its next start", unit->name);
	return 0;
}

/* Did the unit end while we waited? */
static bool has_ended(struct unit *unit)
{
	cleanup(freep) char *active_state = NULL;

	if (get_text(unit, UNIT_IFACE, "ActiveState", &active_state, NULL) < 0)
		return false;
	return strcmp(active_state, "inactive") == 0 || strcmp(active_state, "failed") == 0;
}

static int verify(struct unit *unit, const struct job *job, const struct cpuset *cpus,
		  struct result *result, struct fault *fault)
{
	const struct sys *sys = unit->applier->sys;
	uint64_t settle_us = job->may_migrate ? SETTLE_MIGRATE_US : SETTLE_US;
	uint64_t end_us = sys->now_us(sys) +
			  (settle_us < job->budget_us ? settle_us : job->budget_us);
	char what[APPLY_UNIT_SIZE + 16];
	unsigned wait_ms = WAIT_FIRST_MS;

	if (!runs(unit))
		return verify_property(unit, cpus, result, fault);
	snprintf(what, sizeof(what), "unit '%s'", unit->name);
	for (;;) {
		int r = present_state(unit, cpus, &result->effective, fault);

		if (r < 0)
			return r;
		if (r == KERNEL_HOLDS || r == KERNEL_REFUSES)
			return applier_judge(what, cpus, &result->effective, result, fault);
		if (sys->now_us(sys) >= end_us)
			return has_ended(unit) ? verify_property(unit, cpus, result, fault)
					       : not_applied(unit, cpus, &result->effective, fault);
		r = unit->applier->calls->wait(unit->applier->front_fd, wait_ms);
		if (r < 0)
			return fault_set(fault, r, "unit '%s': the front has gone", unit->name);
		wait_ms = wait_ms * 2 < WAIT_LAST_MS ? wait_ms * 2 : WAIT_LAST_MS;
		if (wait_ms == WAIT_LAST_MS && has_ended(unit))
			return verify_property(unit, cpus, result, fault);
	}
}

/* ---- our own drop-ins ---- */

/* Blanks between ranges, as PID 1 writes them, become commas. */
static void commas_for_blanks(char *list)
{
	for (; *list; list++)
		if (*list == ' ')
			*list = ',';
}

/* Is the file just what PID 1 wrote for us: comments, a section, and lines "PROPERTY=" of which the
 * last says @list? */
static bool dropin_is_ours(char *text, const char *property, const char *list)
{
	size_t n_property = strlen(property);
	bool is_ours = false;
	char *rest = text;

	while (rest && *rest) {
		char *line = rest;

		rest = strchr(line, '\n');
		if (rest)
			*rest++ = '\0';
		if (line[0] == '\0' || line[0] == '#' || line[0] == '[')
			continue;
		if (strncmp(line, property, n_property) != 0 || line[n_property] != '=')
			return false;
		commas_for_blanks(line + n_property + 1);
		is_ours = strcmp(line + n_property + 1, list) == 0;
	}
	return is_ours;
}

static int dropin_open(const struct unit *unit)
{
	const struct applier *applier = unit->applier;
	char path[APPLY_UNIT_SIZE + 32];

	if (applier->manager_fd < 0)
		return -ENOENT;
	snprintf(path, sizeof(path), "system.control/%s.d", unit->name);
	return applier->sys->open(applier->sys, applier->manager_fd, path, O_RDONLY | O_DIRECTORY);
}

static bool has_dropin(const struct unit *unit, const char *property)
{
	const struct applier *applier = unit->applier;
	int dirfd = dropin_open(unit), fd;
	char file[64];

	if (dirfd < 0)
		return false;
	snprintf(file, sizeof(file), "50-%s.conf", property);
	fd = applier->sys->open(applier->sys, dirfd, file, O_RDONLY);
	applier->sys->close(applier->sys, dirfd);
	if (fd >= 0)
		applier->sys->close(applier->sys, fd);
	return fd >= 0;
}

/* Removes the drop-in that our last write left behind (systemd: 50-PROPERTY.conf), and its
 * directory where that was all. */
static int dropin_remove(const struct unit *unit, const char *property, const char *list,
			 struct fault *fault)
{
	const struct applier *applier = unit->applier;
	char file[64], directory[APPLY_UNIT_SIZE + 32], text[DROPIN_BYTES / 2];
	int dirfd = dropin_open(unit), control_fd, r = 0;
	ssize_t n;

	if (dirfd < 0)
		return 0;
	snprintf(file, sizeof(file), "50-%s.conf", property);
	n = applier_read_text(applier, dirfd, file, text, sizeof(text));
	if (n > 0 && dropin_is_ours(text, property, list))
		r = applier->calls->remove(dirfd, file, false);
	applier->sys->close(applier->sys, dirfd);
	if (r < 0 && r != -ENOENT)
		return fault_set(fault, r == -ESRCH || r == -ENODEV ? -EIO : r,
				 "unit '%s': its drop-in %s cannot be removed: %s", unit->name,
				 file, strerror(-r));
	control_fd = applier->sys->open(applier->sys, applier->manager_fd, "system.control",
					O_RDONLY | O_DIRECTORY);
	if (control_fd < 0)
		return 0;
	snprintf(directory, sizeof(directory), "%s.d", unit->name);
	applier->calls->remove(control_fd, directory, true); /* refused while anything is in it */
	applier->sys->close(applier->sys, control_fd);
	return 0;
}

/* ---- the place ---- */

static int unit_look(struct unit *unit, struct result *result, struct fault *fault)
{
	struct original original = { .cpus = cpuset_take(&unit->cpus),
				     .mems = nodeset_take(&unit->mems),
				     .cpus_have_dropin = has_dropin(unit, "AllowedCPUs"),
				     .mems_have_dropin = has_dropin(unit, "AllowedMemoryNodes") };

	return applier_found(&original, result, fault);
}

static int unit_set(struct unit *unit, const struct job *job, struct result *result,
		    struct fault *fault)
{
	static const struct cpuset no_cpus;
	static const struct nodeset no_nodes;
	bool sets_mems = !nodeset_is_empty(&job->mems) && (!unit->is_active || job->may_migrate) &&
			 !nodeset_equal(&unit->mems, &job->mems);
	bool sets_cpus = !cpuset_equal(&unit->cpus, &job->cpus);
	int r;

	if (!sets_cpus && runs(unit)) {
		r = present_state(unit, &job->cpus, &result->effective, fault);
		if (r < 0)
			return r;
		/* Somebody wrote into the kernel's file behind PID 1's back. */
		sets_cpus = r == KERNEL_DIFFERS;
	}
	if (sets_cpus || sets_mems) {
		r = set_properties(unit, sets_cpus ? &job->cpus : &no_cpus,
				   sets_mems ? &job->mems : &no_nodes, result, fault);
		if (r < 0)
			return r;
	}
	return verify(unit, job, &job->cpus, result, fault);
}

/* The properties to write so that all is as it was: what is still ours gets its original, or
 * everything possible where that was not set. Empty: leave. */
static int restore_sets(const struct unit *unit, const struct job *job, struct cpuset *ret_cpus,
			struct nodeset *ret_mems)
{
	const struct applier *applier = unit->applier;
	const struct original *original = &job->original;
	int r = 0;

	if (cpuset_equal(&unit->cpus, &job->cpus))
		r = cpuset_copy(ret_cpus, cpuset_is_empty(&original->cpus) ? &applier->possible
									   : &original->cpus);
	if (r < 0 || nodeset_is_empty(&job->mems) || !nodeset_equal(&unit->mems, &job->mems))
		return r;
	r = nodeset_copy(ret_mems, nodeset_is_empty(&original->mems) ? &applier->possible_nodes
								     : &original->mems);
	/* Nodes that grow move no page of running work; nodes that shrink or change would. */
	if (r == 0 && unit->is_active && !job->may_migrate &&
	    !nodeset_is_subset(&job->mems, ret_mems))
		nodeset_done(ret_mems);
	return r;
}

static int restore_dropins(const struct unit *unit, const struct job *job,
			   const struct cpuset *cpus, const struct nodeset *mems,
			   struct fault *fault)
{
	cleanup(freep) char *cpu_list = cpuset_format(cpus);
	cleanup(freep) char *node_list = nodeset_format(mems);
	int r = 0;

	if (!cpu_list || !node_list)
		return fault_set(fault, -ENOMEM, "unit '%s': no memory to tidy up", unit->name);
	if (cpu_list[0] && !job->original.cpus_have_dropin)
		r = dropin_remove(unit, "AllowedCPUs", cpu_list, fault);
	if (r == 0 && node_list[0] && !job->original.mems_have_dropin)
		r = dropin_remove(unit, "AllowedMemoryNodes", node_list, fault);
	return r;
}

static int unit_restore(struct unit *unit, const struct job *job, struct result *result,
			struct fault *fault)
{
	cleanup(cpuset_done) struct cpuset cpus = { 0 };
	cleanup(nodeset_done) struct nodeset mems = { 0 };
	int r = restore_sets(unit, job, &cpus, &mems);

	if (r < 0)
		return fault_set(fault, r, "unit '%s': no memory to restore", unit->name);
	if (cpuset_is_empty(&cpus) && nodeset_is_empty(&mems)) {
		fault_set(&result->remark, -EXDEV,
			  "unit '%s': somebody else has set it since, left alone", unit->name);
		return 0;
	}
	r = set_properties(unit, &cpus, &mems, result, fault);
	if (r == 0 && !cpuset_is_empty(&cpus))
		r = verify(unit, job, &cpus, result, fault);
	/* What was not set before leaves no trace: PID 1 keeps "all PUs" in memory until it reads
	 * its files again, which says the same. */
	if (r == 0)
		r = restore_dropins(unit, job, &cpus, &mems, fault);
	return r;
}

static int unit_try(struct applier *applier, const struct job *job, struct result *result,
		    struct fault *fault)
{
	cleanup(unit_done) struct unit unit = { .applier = applier,
						.name = job->request->unit,
						.cgroup_fd = -1 };
	int r = bus_connect(applier, fault);

	if (r == 0)
		sd_bus_set_method_call_timeout(applier->bus, job->budget_us < CALL_TIMEOUT_US
								     ? job->budget_us
								     : CALL_TIMEOUT_US);
	if (r == 0)
		r = unit_init(&unit, fault);
	if (r == 0)
		r = unit_read(&unit, fault);
	if (r < 0)
		return r;
	if (job->request->verb == APPLY_LOOK)
		return unit_look(&unit, result, fault);
	unit_open_cgroup(&unit);
	return job->request->verb == APPLY_SET ? unit_set(&unit, job, result, fault)
					       : unit_restore(&unit, job, result, fault);
}

int unit_apply(struct applier *applier, const struct job *job, struct result *result,
	       struct fault *fault)
{
	bool was_connected = applier->bus;
	int r = unit_try(applier, job, result, fault);

	/* The bus was restarted since it was last used; all that was asked is compared again, so
	 * once more does no harm. */
	if (r == -ENOTCONN && was_connected && !applier->bus)
		r = unit_try(applier, job, result, fault);
	return r;
}
