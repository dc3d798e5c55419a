/* The socket with real clients: everything runs in one thread, the daemon's side by sd-event, the
 * clients by non-blocking descriptors of their own. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "publish/varlink_server.h"
#include "published.h"

#define TEXT(literal) literal, sizeof(literal) - 1
/* Turns of the loop, 10 ms each at most, before a test gives up. */
#define N_TURNS 3000

/* What the daemon was asked, and what it answers. */
struct asked {
	int result;
	const char *fault;
	int register_result; /* PUBLISH_LATER, where it is not refused */
	unsigned n_register, n_heartbeat, n_release, n_reload;
	struct peer peer;
	char workload[64];
	uint64_t lease_us;
	const char *faults[2];
};

struct fixture {
	char directory[64];
	int dirfd;
	sd_event *event;
	struct sys sys;
	uint64_t now_us; /* 0: the real clock */
	struct asked asked;
	struct published *published;
	struct sockets *sockets;
	struct publish_options options;
	struct publish_handler handler;
};

static struct fixture *the_fixture; /* for the clock, which gets no pointer of ours */

static inline uint64_t test_now_us(const struct sys *sys)
{
	struct timespec now;

	(void)sys;
	if (the_fixture->now_us > 0)
		return the_fixture->now_us;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static inline int answer(struct asked *asked, const struct peer *peer, struct fault *fault)
{
	asked->peer = *peer;
	return asked->result < 0
		       ? fault_set(fault, asked->result, "%s", asked->fault ? asked->fault : "no")
		       : 0;
}

static inline int on_register(void *userdata, const struct peer *peer, const char *workload,
			      uint64_t lease_us, struct fault *fault)
{
	struct asked *asked = userdata;

	asked->n_register++;
	asked->lease_us = lease_us;
	snprintf(asked->workload, sizeof(asked->workload), "%s", workload);
	return answer(asked, peer, fault) < 0 ? asked->result : asked->register_result;
}

static inline int on_heartbeat(void *userdata, const struct peer *peer, struct fault *fault)
{
	((struct asked *)userdata)->n_heartbeat++;
	return answer(userdata, peer, fault);
}

static inline int on_release(void *userdata, const struct peer *peer, struct fault *fault)
{
	((struct asked *)userdata)->n_release++;
	return answer(userdata, peer, fault);
}

static inline int on_reload(void *userdata, const struct peer *peer, struct fault_list *faults)
{
	struct asked *asked = userdata;

	asked->n_reload++;
	for (size_t i = 0; i < N_ELEMENTS(asked->faults) && asked->faults[i]; i++)
		fault_list_add(faults, "%s", asked->faults[i]);
	answer(asked, peer, NULL);
	return asked->result;
}

static inline char *on_explain(void *userdata, const char *workload)
{
	(void)userdata;
	return strcmp(workload, "w00000") == 0 ? strdup("first\nsecond\n") : NULL;
}

static inline void fixture_open_sockets(struct fixture *f)
{
	struct fault fault = { 0 };
	int r = sockets_open(&f->options, &f->handler, f->dirfd, &f->published->current,
			     &f->sockets, &fault);

	if (r < 0)
		fail_msg("%s", fault.text);
}

static inline struct fixture *fixture_new(size_t n_workloads)
{
	struct fixture *f = calloc(1, sizeof(*f));

	the_fixture = f;
	strcpy(f->directory, "/tmp/sidecard-socket-XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	chmod(f->directory, 0755); /* clients of another user too */
	f->dirfd = open(f->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->dirfd >= 0);
	assert_true(sd_event_new(&f->event) >= 0);
	assert_int_equal(sys_linux_open("/proc", &f->sys), 0);
	f->sys.now_us = test_now_us;
	f->published = published_new(n_workloads);
	f->options = (struct publish_options){ .runtime_dir = f->directory,
					       .event = f->event,
					       .sys = &f->sys };
	f->handler = (struct publish_handler){ &f->asked,  on_register, on_heartbeat,
					       on_release, on_reload,	on_explain };
	fixture_open_sockets(f);
	return f;
}

static inline void fixture_free(struct fixture *f)
{
	char path[128];

	f->sockets = sockets_free(f->sockets);
	published_free(f->published);
	sys_linux_close(&f->sys);
	sd_event_unref(f->event);
	close(f->dirfd);
	snprintf(path, sizeof(path), "%s/io.sidecard", f->directory);
	unlink(path);
	assert_int_equal(rmdir(f->directory), 0); /* nothing else was left behind */
	free(f);
}

static inline void turn(struct fixture *f)
{
	assert_true(sd_event_run(f->event, 10000) >= 0);
}

/* Until there is nothing to do at this moment. */
static inline void settle(struct fixture *f)
{
	unsigned n = 0;

	while (sd_event_run(f->event, 0) > 0)
		if (++n > 100000)
			fail_msg("the loop never rests");
}

static inline int client_try(struct fixture *f)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/io.sidecard", f->directory);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

static inline int client_open(struct fixture *f)
{
	int fd = client_try(f);

	assert_true(fd >= 0);
	settle(f);
	return fd;
}

static inline void client_send(struct fixture *f, int fd, const char *bytes, size_t n_bytes)
{
	for (unsigned i = 0; n_bytes > 0 && i < N_TURNS; i++) {
		ssize_t n = send(fd, bytes, n_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0) {
			bytes += n;
			n_bytes -= (size_t)n;
		} else if (errno != EAGAIN) {
			return; /* closed: what follows tells */
		}
		settle(f);
	}
}

static inline void client_call(struct fixture *f, int fd, const char *text)
{
	client_send(f, fd, text, strlen(text) + 1);
}

/* Bytes up to and with the first NUL, as far as they are there; looks before it takes. */
static inline ssize_t client_take(int fd, char *bytes, size_t size)
{
	ssize_t n = recv(fd, bytes, size, MSG_DONTWAIT | MSG_PEEK);
	const char *end = n > 0 ? memchr(bytes, '\0', (size_t)n) : NULL;

	return n > 0 ? recv(fd, bytes, end ? (size_t)(end - bytes) + 1 : (size_t)n, MSG_DONTWAIT)
		     : n;
}

/* The next reply; NULL where the other side closed. */
static inline json_t *client_reply(struct fixture *f, int fd)
{
	cleanup(freep) char *text = NULL;
	size_t n = 0, size = 0;

	for (unsigned i = 0; i < N_TURNS;) {
		ssize_t got;

		if (size - n < 65536) {
			size = size * 2 + 65536;
			text = realloc(text, size);
			assert_non_null(text);
		}
		got = client_take(fd, text + n, size - n);
		if (got == 0 || (got < 0 && errno != EAGAIN))
			return NULL;
		if (got < 0) {
			turn(f);
			i++;
			continue;
		}
		n += (size_t)got;
		if (text[n - 1] == '\0') {
			json_error_t error;
			json_t *reply = json_loads(text, JSON_REJECT_DUPLICATES, &error);

			if (!reply)
				fail_msg("no JSON: %s: %.200s", error.text, text);
			return reply;
		}
	}
	fail_msg("no reply came");
	return NULL;
}

static inline json_t *client_ask(struct fixture *f, int fd, const char *text)
{
	json_t *reply;

	client_call(f, fd, text);
	reply = client_reply(f, fd);
	assert_non_null(reply);
	return reply;
}

static inline bool client_is_closed(struct fixture *f, int fd)
{
	char bytes[4096];

	for (unsigned i = 0; i < 300; i++) {
		ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno != EAGAIN))
			return true;
		if (n < 0)
			turn(f);
	}
	return false;
}

/* Nothing to read, and open. */
static inline bool client_is_waiting(struct fixture *f, int fd)
{
	char byte;

	settle(f);
	return recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
}

static inline json_t *at(const json_t *json, const char *path)
{
	char key[64];
	json_t *found = (json_t *)json;

	while (found && *path) {
		size_t n = strcspn(path, ".");

		snprintf(key, sizeof(key), "%.*s", (int)n, path);
		found = json_is_array(found) ? json_array_get(found, (size_t)atol(key))
					     : json_object_get(found, key);
		path += n + (path[n] == '.');
	}
	return found;
}

static inline const char *text_at(const json_t *json, const char *path)
{
	const char *text = json_string_value(at(json, path));

	return text ? text : "(none)";
}

static inline long long number_at(const json_t *json, const char *path)
{
	return json_is_integer(at(json, path)) ? json_integer_value(at(json, path)) : -1;
}

/* Runs @client in a child process while the daemon's side turns here; returns what the child
 * returned. */
static inline int in_a_child(struct fixture *f, uid_t uid, int (*client)(struct fixture *f))
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		alarm(60);
		if (uid != getuid() && (setgid(uid) < 0 || setuid(uid) < 0))
			_exit(100);
		_exit(client(f));
	}
	assert_true(pid > 0);
	while (waitpid(pid, &status, WNOHANG) == 0)
		turn(f);
	settle(f);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 101;
}

static inline int child_connect(struct fixture *f)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/io.sidecard", f->directory);
	return connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 ? fd : -1;
}

static inline bool child_asks(int fd, const char *call, const char *expected)
{
	char text[8192] = "";
	size_t n = 0;

	if (send(fd, call, strlen(call) + 1, MSG_NOSIGNAL) < 0)
		return false;
	while (n < sizeof(text) - 1) {
		ssize_t got = recv(fd, text + n, sizeof(text) - 1 - n, 0);

		if (got <= 0)
			return false;
		n += (size_t)got;
		if (text[n - 1] == '\0')
			return strstr(text, expected) != NULL;
	}
	return false;
}
