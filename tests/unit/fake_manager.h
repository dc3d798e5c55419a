/* A made-up PID 1 for a private bus: it keeps properties, writes "kernel" files and drop-ins as
 * systemd does, and has units that misbehave in the ways of the real one. The name of a unit says
 * how. It runs in a process of its own. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "apply/applier.h"
#include "base/cleanup.h"

#define KERNEL_CPUS "0-7" /* what this made-up machine has online; 0-15 are possible */

/* ---- files ---- */

static inline void put(int dirfd, const char *file, const char *text)
{
	int fd = openat(dirfd, file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		_exit(99);
	close(fd);
}

/* "" where there is no such file. */
static inline void get(int dirfd, const char *file, char *text, size_t size)
{
	int fd = openat(dirfd, file, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, size - 1);

	text[n > 0 ? n : 0] = '\0';
	if (fd >= 0)
		close(fd);
}

static inline int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* ---- PID 1 ---- */

#define N_UNITS 16

struct fake_unit {
	char name[64];
	uint8_t cpus[CPUSET_MAX / 8];
	size_t n_cpus;
	uint8_t mems[NODESET_MAX / 8];
	size_t n_mems;
};

struct manager {
	int root_fd; /* of the test's directory: cgroup/, run/ */
	pid_t bus_pid;
	struct fake_unit units[N_UNITS];
	size_t n_units;
};

static inline struct fake_unit *fake_find(struct manager *manager, const char *name)
{
	for (size_t i = 0; i < manager->n_units; i++)
		if (strcmp(manager->units[i].name, name) == 0)
			return &manager->units[i];
	if (manager->n_units == N_UNITS)
		_exit(98);
	snprintf(manager->units[manager->n_units].name, 64, "%s", name);
	return &manager->units[manager->n_units++];
}

static inline void list_of(const uint8_t *bytes, size_t n_bytes, char separator, char *text,
			   size_t size)
{
	cleanup(cpuset_done) struct cpuset cpus = { 0 };
	cleanup(freep) char *list = NULL;

	for (uint32_t i = 0; i < n_bytes * 8; i++)
		if (bytes[i / 8] >> (i % 8) & 1)
			cpuset_add(&cpus, i);
	list = cpuset_format(&cpus);
	for (char *c = list; *c; c++)
		if (*c == ',')
			*c = separator;
	snprintf(text, size, "%s", list);
}

/* unit_write_setting() of systemd 252 to 257. */
static inline void fake_dropin(struct manager *manager, const char *unit, const char *property,
			       const char *list)
{
	char path[256], text[1024];

	snprintf(path, sizeof(path), "run/system.control/%s.d", unit);
	mkdirat(manager->root_fd, path, 0755);
	snprintf(path, sizeof(path), "run/system.control/%s.d/50-%s.conf", unit, property);
	snprintf(text, sizeof(text),
		 "# This is a drop-in unit file extension, created via \"systemctl set-property\"\n"
		 "# or an equivalent operation. Do not edit.\n[Service]\n%s=\n%s=%s\n",
		 property, property, list);
	put(manager->root_fd, path, text);
}

static inline void fake_kernel(struct manager *manager, const char *unit, const char *list)
{
	cleanup(cpuset_done) struct cpuset cpus = { 0 }, online = { 0 };
	cleanup(freep) char *effective = NULL;
	char path[256];

	cpuset_parse(list, &cpus);
	cpuset_parse(KERNEL_CPUS, &online);
	cpuset_intersect(&cpus, &online);
	effective = cpuset_format(cpuset_is_empty(&cpus) ? &online : &cpus);
	snprintf(path, sizeof(path), "cgroup/system.slice/%s/cpuset.cpus.effective", unit);
	put(manager->root_fd, path, effective);
	snprintf(path, sizeof(path), "cgroup/system.slice/%s/cpuset.cpus", unit);
	put(manager->root_fd, path, list);
}

static inline bool starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static inline int read_property(struct manager *manager, struct fake_unit *unit,
				sd_bus_message *message)
{
	const char *property;
	const void *bytes;
	char list[512];
	size_t n;

	if (sd_bus_message_enter_container(message, 'r', "sv") <= 0)
		return 0;
	sd_bus_message_read_basic(message, 's', &property);
	sd_bus_message_enter_container(message, 'v', "ay");
	sd_bus_message_read_array(message, 'y', &bytes, &n);
	if (strcmp(property, "AllowedCPUs") == 0) {
		memcpy(unit->cpus, bytes, n);
		unit->n_cpus = n;
		list_of(unit->cpus, n, ' ', list, sizeof(list));
		fake_dropin(manager, unit->name, property, list);
		list_of(unit->cpus, n, ',', list, sizeof(list));
		if (!starts_with(unit->name, "stubborn") && !starts_with(unit->name, "inactive"))
			fake_kernel(manager, unit->name, list);
	} else {
		memcpy(unit->mems, bytes, n);
		unit->n_mems = n;
		list_of(unit->mems, n, ' ', list, sizeof(list));
		fake_dropin(manager, unit->name, property, list);
	}
	sd_bus_message_exit_container(message);
	return sd_bus_message_exit_container(message) < 0 ? 0 : 1;
}

static inline int on_set(struct manager *manager, sd_bus_message *message)
{
	struct timespec while_ = { .tv_nsec = 300000000 };
	const char *name;
	char calls[16];
	int runtime;

	sd_bus_message_read_basic(message, 's', &name);
	sd_bus_message_read_basic(message, 'b', &runtime);
	get(manager->root_fd, "calls", calls, sizeof(calls));
	snprintf(calls, sizeof(calls), "%d", (int)strtol(calls, NULL, 10) + 1);
	put(manager->root_fd, "calls", calls);
	if (!runtime)
		_exit(97);
	if (starts_with(name, "masked"))
		return sd_bus_reply_method_errorf(message, "org.freedesktop.systemd1.UnitMasked",
						  "Unit %s is masked.", name);
	if (starts_with(name, "refused"))
		return sd_bus_reply_method_errorf(message, SD_BUS_ERROR_ACCESS_DENIED, "not you");
	if (starts_with(name, "vanishing")) {
		kill(manager->bus_pid, SIGKILL);
		_exit(0);
	}
	if (starts_with(name, "late")) /* answers first, writes a while after */
		sd_bus_reply_method_return(message, "");
	if (starts_with(name, "late") || starts_with(name, "slow"))
		nanosleep(&while_, NULL);
	sd_bus_message_enter_container(message, 'a', "(sv)");
	while (read_property(manager, fake_find(manager, name), message) > 0)
		;
	return starts_with(name, "late") ? 1 : sd_bus_reply_method_return(message, "");
}

static inline int reply_bytes(sd_bus_message *message, const uint8_t *bytes, size_t n_bytes)
{
	sd_bus_message *reply;
	int r = sd_bus_message_new_method_return(message, &reply);

	if (r < 0)
		return r;
	sd_bus_message_open_container(reply, 'v', "ay");
	sd_bus_message_append_array(reply, 'y', bytes, n_bytes);
	sd_bus_message_close_container(reply);
	r = sd_bus_send(NULL, reply, NULL);
	sd_bus_message_unref(reply);
	return r < 0 ? r : 1;
}

static inline int on_get(struct manager *manager, sd_bus_message *message)
{
	const char *iface, *property;
	char group[128] = "";
	char *name;
	struct fake_unit *unit;

	if (sd_bus_path_decode(sd_bus_message_get_path(message), "/org/freedesktop/systemd1/unit",
			       &name) <= 0)
		return 0;
	unit = fake_find(manager, name);
	free(name);
	name = unit->name;
	sd_bus_message_read_basic(message, 's', &iface);
	sd_bus_message_read_basic(message, 's', &property);
	if (strcmp(property, "ActiveState") == 0)
		return sd_bus_reply_method_return(
			message, "v", "s",
			starts_with(name, "inactive") || starts_with(name, "missing") ? "inactive"
										      : "active");
	if (strcmp(property, "LoadState") == 0)
		return sd_bus_reply_method_return(message, "v", "s",
						  starts_with(name, "missing")	? "not-found"
						  : starts_with(name, "masked") ? "masked"
										: "loaded");
	if (strcmp(iface, "org.freedesktop.systemd1.Service") != 0)
		return sd_bus_reply_method_errorf(message, SD_BUS_ERROR_UNKNOWN_INTERFACE, "no %s",
						  iface);
	if (strcmp(property, "ControlGroup") == 0) {
		if (!starts_with(name, "inactive"))
			snprintf(group, sizeof(group), "/system.slice/%s", name);
		return sd_bus_reply_method_return(message, "v", "s", group);
	}
	if (strcmp(property, "AllowedCPUs") == 0)
		return reply_bytes(message, unit->cpus, unit->n_cpus);
	if (strcmp(property, "AllowedMemoryNodes") == 0)
		return reply_bytes(message, unit->mems, unit->n_mems);
	if (strcmp(property, "EffectiveCPUs") == 0)
		return reply_bytes(message, unit->cpus, unit->n_cpus);
	return sd_bus_reply_method_errorf(message, SD_BUS_ERROR_UNKNOWN_PROPERTY, "no %s",
					  property);
}

static inline int on_message(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	(void)error;
	if (sd_bus_message_is_method_call(message, "org.freedesktop.systemd1.Manager",
					  "SetUnitProperties") > 0)
		return on_set(userdata, message);
	if (sd_bus_message_is_method_call(message, "org.freedesktop.DBus.Properties", "Get") > 0)
		return on_get(userdata, message);
	return 0;
}

static inline int bus_to(const char *address, sd_bus **ret_bus)
{
	int r = sd_bus_new(ret_bus);

	if (r >= 0)
		r = sd_bus_set_address(*ret_bus, address);
	if (r >= 0)
		r = sd_bus_set_bus_client(*ret_bus, true);
	return r < 0 ? r : sd_bus_start(*ret_bus);
}

static inline void manager_run(struct manager *manager, const char *address, int ready_fd)
{
	sd_bus *bus;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (bus_to(address, &bus) < 0 || sd_bus_add_filter(bus, NULL, on_message, manager) < 0 ||
	    sd_bus_request_name(bus, "org.freedesktop.systemd1", 0) < 0 ||
	    write(ready_fd, "x", 1) != 1)
		_exit(96);
	for (;;) {
		int r = sd_bus_process(bus, NULL);

		if (r < 0)
			_exit(0);
		if (r == 0)
			sd_bus_wait(bus, UINT64_MAX);
	}
}
