/* D-Bus on a bus of our own: dbus-daemon is started by each test, with the policy that is installed
 * or with an open one. The daemon's side and the clients share one thread and one loop, so every
 * call is asynchronous. */
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
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "published.h"

#define NAME	 "io.sidecard1"
#define PATH	 "/io/sidecard1"
#define MANAGER	 "io.sidecard1.Manager"
#define WORKLOAD "io.sidecard1.Workload"
#define N_TURNS	 3000

enum bus_policy { POLICY_OPEN, POLICY_INSTALLED };

struct asked {
	unsigned n_reload;
	int result;
	const char *fault;
	struct peer peer;
};

struct fixture {
	char directory[64];
	char address[128];
	pid_t daemon;
	sd_event *event;
	struct sys sys;
	struct asked asked;
	struct published *published;
	sd_bus *connection, *client;
	struct bus *bus;
	struct publish_handler handler;
};

static inline int on_reload(void *userdata, const struct peer *peer, struct fault_list *faults)
{
	struct asked *asked = userdata;

	asked->n_reload++;
	asked->peer = *peer;
	if (asked->fault)
		fault_list_add(faults, "%s", asked->fault);
	return asked->result;
}

static inline char *on_explain(void *userdata, const char *workload)
{
	(void)userdata;
	return strcmp(workload, "w00000") == 0 ? strdup("because\n") : NULL;
}

static inline void write_config(const struct fixture *f, enum bus_policy policy)
{
	cleanup(freep) char *here = strdup(__FILE__);
	char path[128], *end = strrchr(here, '/');
	cleanup(freep) char *installed = NULL;
	FILE *file;

	*end = '\0';
	snprintf(path, sizeof(path), "%s/../../systemd/io.sidecard1.conf", here);
	installed = realpath(path, NULL);
	assert_non_null(installed);
	snprintf(path, sizeof(path), "%s/bus.conf", f->directory);
	file = fopen(path, "we");
	assert_non_null(file);
	fprintf(file,
		"<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\""
		" \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n"
		"<busconfig><listen>unix:path=%s/bus</listen><auth>EXTERNAL</auth>\n"
		"<policy context=\"default\"><allow user=\"*\"/>\n",
		f->directory);
	/* As the system bus of Debian does before it reads what services install. */
	fputs(policy == POLICY_OPEN
		      ? "<allow own=\"*\"/><allow send_destination=\"*\" "
			"eavesdrop=\"true\"/><allow eavesdrop=\"true\"/>\n"
		      : "<deny own=\"*\"/><deny send_type=\"method_call\"/><allow "
			"send_type=\"signal\"/>\n"
			"<allow send_requested_reply=\"true\" send_type=\"method_return\"/>\n"
			"<allow send_requested_reply=\"true\" send_type=\"error\"/>\n"
			"<allow receive_type=\"method_call\"/><allow "
			"receive_type=\"method_return\"/>\n"
			"<allow receive_type=\"error\"/><allow receive_type=\"signal\"/>\n"
			"<allow send_destination=\"org.freedesktop.DBus\"/>\n",
	      file);
	fputs("</policy>\n", file);
	if (policy == POLICY_INSTALLED)
		fprintf(file, "<include>%s</include>\n", installed);
	fputs("</busconfig>\n", file);
	fclose(file);
}

static inline void bus_daemon_start(struct fixture *f)
{
	char config[128];
	char byte;
	int ready[2];

	snprintf(config, sizeof(config), "--config-file=%s/bus.conf", f->directory);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	f->daemon = fork();
	if (f->daemon == 0) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(ready[1], 1);
		dup2(null, 2); /* it complains of its own limits */
		execlp("dbus-daemon", "dbus-daemon", config, "--nofork", "--nopidfile",
		       "--print-address=1", NULL);
		_exit(127);
	}
	close(ready[1]);
	/* It prints its address when it listens. */
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
}

static inline sd_bus *connect_to(const struct fixture *f)
{
	sd_bus *bus = NULL;

	assert_true(sd_bus_new(&bus) >= 0);
	assert_true(sd_bus_set_address(bus, f->address) >= 0);
	assert_true(sd_bus_set_bus_client(bus, 1) >= 0);
	assert_true(sd_bus_start(bus) >= 0);
	return bus;
}

static inline sd_bus *connect_in_loop(const struct fixture *f)
{
	sd_bus *bus = connect_to(f);

	assert_true(sd_bus_attach_event(bus, f->event, SD_EVENT_PRIORITY_NORMAL) >= 0);
	return bus;
}

static inline void turn(struct fixture *f)
{
	assert_true(sd_event_run(f->event, 10000) >= 0);
}

/* Until nothing has come for a while: the bus between us is a process of its own. */
static inline void settle(struct fixture *f)
{
	for (unsigned n_idle = 0; n_idle < 5;)
		n_idle = sd_event_run(f->event, 10000) > 0 ? 0 : n_idle + 1;
}

static inline void bus_start(struct fixture *f)
{
	struct fault fault = { 0 };

	f->connection = connect_in_loop(f);
	if (bus_open(f->connection, &f->handler, &f->published->current, &f->bus, &fault) < 0)
		fail_msg("%s", fault.text);
	bus_set_sys(f->bus, &f->sys);
}

static inline bool dbus_daemon_is_installed(void)
{
	return access("/usr/bin/dbus-daemon", X_OK) == 0;
}

static inline struct fixture *fixture_new(size_t n_workloads, enum bus_policy policy)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->directory, "/tmp/sidecard-bus-XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	chmod(f->directory, 0755);
	snprintf(f->address, sizeof(f->address), "unix:path=%s/bus", f->directory);
	write_config(f, policy);
	bus_daemon_start(f);
	assert_true(sd_event_new(&f->event) >= 0);
	assert_int_equal(sys_linux_open("/proc", &f->sys), 0);
	f->published = published_new(n_workloads);
	f->handler = (struct publish_handler){ .userdata = &f->asked,
					       .reload = on_reload,
					       .explain = on_explain };
	bus_start(f);
	f->client = connect_in_loop(f);
	settle(f);
	return f;
}

static inline int remove_one(const char *path, const struct stat *status, int kind,
			     struct FTW *walk)
{
	(void)status;
	(void)kind;
	(void)walk;
	return remove(path);
}

static inline void fixture_free(struct fixture *f)
{
	bus_free(f->bus);
	sd_bus_close_unref(f->client);
	sd_bus_close_unref(f->connection);
	kill(f->daemon, SIGKILL);
	waitpid(f->daemon, NULL, 0);
	published_free(f->published);
	sys_linux_close(&f->sys);
	sd_event_unref(f->event);
	assert_int_equal(nftw(f->directory, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
	free(f);
}

static inline int on_answer(sd_bus_message *message, void *userdata, sd_bus_error *ret_error)
{
	(void)ret_error;
	*(sd_bus_message **)userdata = sd_bus_message_ref(message);
	return 1;
}

static inline sd_bus_message *send_and_wait(struct fixture *f, sd_bus_message *call)
{
	sd_bus_message *reply = NULL;
	sd_bus_slot *slot = NULL;

	assert_true(sd_bus_call_async(f->client, &slot, call, on_answer, &reply, 0) >= 0);
	for (unsigned i = 0; !reply && i < N_TURNS; i++)
		turn(f);
	sd_bus_slot_unref(slot);
	sd_bus_message_unref(call);
	assert_non_null(reply);
	return reply;
}

/* Calls with up to two strings. The answer, or an error. */
static inline sd_bus_message *ask(struct fixture *f, const char *path, const char *interface,
				  const char *member, const char *first, const char *second)
{
	sd_bus_message *call = NULL;

	assert_true(sd_bus_message_new_method_call(f->client, &call, NAME, path, interface,
						   member) >= 0);
	if (first)
		assert_true(sd_bus_message_append_basic(call, 's', first) >= 0);
	if (second)
		assert_true(sd_bus_message_append_basic(call, 's', second) >= 0);
	return send_and_wait(f, call);
}

static const char *error_of(sd_bus_message *reply)
{
	const sd_bus_error *error = sd_bus_message_get_error(reply);

	return error ? error->name : "(none)";
}

/* Writes the value that @message is at, a variant, as text. */
static inline void variant_text(sd_bus_message *message, char *text, size_t size)
{
	const char *contents, *s;
	double d;
	uint64_t t;
	uint32_t u;
	char type;
	int b;

	assert_true(sd_bus_message_peek_type(message, &type, &contents) > 0);
	assert_int_equal(type, 'v');
	assert_true(sd_bus_message_enter_container(message, 'v', contents) > 0);
	if (strcmp(contents, "as") == 0) {
		size_t n = 0;

		assert_true(sd_bus_message_enter_container(message, 'a', "s") > 0);
		text[0] = '\0';
		while (sd_bus_message_read_basic(message, 's', &s) > 0)
			n += (size_t)snprintf(text + n, size - n, "%s%s", n ? "," : "", s);
		assert_true(sd_bus_message_exit_container(message) >= 0);
	} else if (contents[0] == 's') {
		assert_true(sd_bus_message_read_basic(message, 's', &s) > 0);
		snprintf(text, size, "%s", s);
	} else if (contents[0] == 'b') {
		assert_true(sd_bus_message_read_basic(message, 'b', &b) > 0);
		snprintf(text, size, "%s", b ? "true" : "false");
	} else if (contents[0] == 'u') {
		assert_true(sd_bus_message_read_basic(message, 'u', &u) > 0);
		snprintf(text, size, "%u", u);
	} else if (contents[0] == 'd') {
		assert_true(sd_bus_message_read_basic(message, 'd', &d) > 0);
		snprintf(text, size, "%g", d);
	} else {
		assert_true(sd_bus_message_read_basic(message, 't', &t) > 0);
		snprintf(text, size, "%llu", (unsigned long long)t);
	}
	assert_true(sd_bus_message_exit_container(message) >= 0);
}

static inline void assert_property(struct fixture *f, const char *path, const char *interface,
				   const char *name, const char *expected)
{
	sd_bus_message *reply = ask(f, path, "org.freedesktop.DBus.Properties", "Get", interface,
				    name);
	char text[256];

	if (sd_bus_message_is_method_error(reply, NULL))
		fail_msg("%s %s: %s", path, name, error_of(reply));
	variant_text(reply, text, sizeof(text));
	if (strcmp(text, expected) != 0)
		fail_msg("%s %s: '%s', expected '%s'", path, name, text, expected);
	sd_bus_message_unref(reply);
}
