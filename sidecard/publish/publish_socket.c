/* The Varlink socket: RUNTIME_DIR/io.sidecard, open to every user. Reading is for all; what changes
 * something is decided on the peer's identity (peer.h) by the method (varlink_methods.c).
 *
 * A bad client hurts itself only. It holds at most one message in and one piece of an answer out;
 * the next message is not looked at before the last answer has left; their number is capped, per
 * user too; one that never says anything is shown out; and the loop's time that a user's clients
 * take is counted and has a share (account.h). Nothing here waits, and nothing wakes up while
 * nobody talks. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "publish/varlink_server.h"

/* Two descriptors each (socket and pidfd), so that the usual limit of 1,024 is never reached by
 * clients alone. */
#define N_CONNECTIONS_MAX 256u
/* Kept for who may change something: strangers cannot lock the operator out. */
#define N_RESERVED     16u
#define N_PER_USER_MAX 64u
/* For a first complete message. Ours is sent at once; a second is plenty for one that was swapped
 * out. */
#define HANDSHAKE_US 5000000u
/* After a failed accept. Long enough to cost nothing, short enough that nobody notices. */
#define PAUSE_US 100000u
/* Per wake-up: the loop has others to serve. */
#define N_ACCEPTS_MAX  16u
#define N_MESSAGES_MAX 32u
/* And time: a quota event waits no longer for a client than that, and the call under way. */
#define WAKE_UP_US 1000u
/* After quota and hotplug events, which are what everybody here waits for. */
#define PRIORITY (SD_EVENT_PRIORITY_NORMAL + 10)

static void connection_fail(struct connection *connection)
{
	connection->failed = true;
}

static struct connection *connection_free(struct connection *connection)
{
	sd_event_source_disable_unref(connection->source);
	varlink_input_done(&connection->input);
	varlink_output_done(&connection->output);
	peer_done(&connection->peer);
	if (connection->fd >= 0)
		close(connection->fd);
	free(connection);
	return NULL;
}

static void handshake_arm(struct sockets *sockets)
{
	uint64_t deadline_us = UINT64_MAX, now_us = sockets->sys->now_us(sockets->sys);

	for (const struct connection *c = sockets->connections; c; c = c->next)
		if (c->deadline_us < deadline_us)
			deadline_us = c->deadline_us;
	if (deadline_us == UINT64_MAX) {
		sd_event_source_set_enabled(sockets->handshake_timer, SD_EVENT_OFF);
		return;
	}
	sd_event_source_set_time_relative(sockets->handshake_timer,
					  deadline_us > now_us ? deadline_us - now_us : 0);
	sd_event_source_set_enabled(sockets->handshake_timer, SD_EVENT_ONESHOT);
}

static uint64_t sockets_now_us(const struct sockets *sockets)
{
	return sockets->sys->now_us(sockets->sys);
}

static void overdraft_arm(struct sockets *sockets)
{
	uint64_t first_us = UINT64_MAX, now_us = sockets_now_us(sockets);

	for (const struct connection *c = sockets->connections; c; c = c->next)
		if (c->paused_until_us > 0 && c->paused_until_us < first_us)
			first_us = c->paused_until_us;
	if (first_us == UINT64_MAX) {
		sd_event_source_set_enabled(sockets->overdraft_timer, SD_EVENT_OFF);
		return;
	}
	sd_event_source_set_time_relative(sockets->overdraft_timer,
					  first_us > now_us ? first_us - now_us : 0);
	sd_event_source_set_enabled(sockets->overdraft_timer, SD_EVENT_ONESHOT);
}

/* False where the connection has to wait for its user's account. */
static bool connection_may_go_on(struct connection *connection)
{
	struct sockets *sockets = connection->sockets;
	uint64_t now_us = sockets_now_us(sockets), wait_us;

	if (connection->peer.is_privileged)
		return true;
	wait_us = accounts_wait_us(&sockets->accounts, connection->peer.uid, now_us);
	connection->paused_until_us = wait_us > 0 ? now_us + wait_us : 0;
	return wait_us == 0;
}

static void connection_charge(struct connection *connection, uint64_t since_us)
{
	struct sockets *sockets = connection->sockets;
	uint64_t now_us = sockets_now_us(sockets);

	if (!connection->peer.is_privileged)
		accounts_charge(&sockets->accounts, connection->peer.uid, now_us,
				(now_us > since_us ? now_us - since_us : 0) + sockets->extra_us);
	sockets->extra_us = 0;
}

/* Frees what failed, unless a caller further up still holds a connection. */
static void sockets_sweep(struct sockets *sockets)
{
	bool had_deadline = false;

	if (sockets->n_busy > 0)
		return;
	for (struct connection **at = &sockets->connections; *at;) {
		struct connection *connection = *at;

		if (!connection->failed) {
			at = &connection->next;
			continue;
		}
		*at = connection->next;
		sockets->n_connections--;
		had_deadline |= connection->deadline_us != UINT64_MAX;
		connection_free(connection);
	}
	if (had_deadline)
		handshake_arm(sockets);
}

static int on_handshake_late(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct sockets *sockets = userdata;
	uint64_t now_us = sockets->sys->now_us(sockets->sys);

	(void)source;
	(void)usec;
	for (struct connection *c = sockets->connections; c; c = c->next)
		if (c->deadline_us <= now_us)
			connection_fail(c);
	sockets_sweep(sockets);
	handshake_arm(sockets);
	return 0;
}

/* Sends what the peer takes now. */
static void connection_flush(struct connection *connection)
{
	struct varlink_output *output = &connection->output;

	while (varlink_output_n_bytes(output) > 0) {
		ssize_t n = send(connection->fd, output->bytes + output->begin,
				 varlink_output_n_bytes(output), MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0)
			varlink_output_sent(output, (size_t)n);
		else if (errno == EAGAIN || errno == EWOULDBLOCK)
			return;
		else if (errno != EINTR) {
			connection_fail(connection);
			return;
		}
	}
}

/* Sends an answer as far as the peer takes it; true where all of it is out. At most one piece is in
 * memory. */
static bool connection_send(struct connection *connection)
{
	connection_flush(connection);
	/* One piece a wake-up: a long list for a quick reader must not keep the loop either. */
	if (!connection->failed && varlink_output_n_bytes(&connection->output) == 0 &&
	    stream_is_due(connection)) {
		if (stream_continue(connection) < 0)
			connection_fail(connection);
		else
			connection_flush(connection);
	}
	return !connection->failed && varlink_output_n_bytes(&connection->output) == 0 &&
	       !stream_is_due(connection);
}

/* Says what was wrong and closes: after bytes that are no call we cannot know where the next one
 * begins. */
static void connection_refuse(struct connection *connection, const struct fault *fault)
{
	if (varlink_reply_error(&connection->output, "io.sidecard.MalformedMessage",
				json_pack("{s:s}", "reason", fault->text)) == 0)
		connection_flush(connection);
	connection_fail(connection);
}

static void connection_message(struct connection *connection, const char *text, size_t n_text)
{
	struct varlink_call call = { 0 };
	struct fault fault = { 0 };
	int r = varlink_call_parse(text, n_text, &call, &fault);

	if (r == -EBADMSG) {
		connection_refuse(connection, &fault);
		return;
	}
	if (connection->deadline_us != UINT64_MAX) {
		connection->deadline_us = UINT64_MAX;
		handshake_arm(connection->sockets);
	}
	if (r == 0)
		r = methods_call(connection, &call);
	varlink_call_done(&call);
	if (r < 0)
		connection_fail(connection);
}

/* True while the next message may be looked at: the last one is answered, and that answer has left.
 */
static bool connection_is_free(const struct connection *connection)
{
	return !connection->failed && varlink_output_n_bytes(&connection->output) == 0 &&
	       connection->stream.kind == STREAM_NONE && !connection->reloads &&
	       !connection->registers[0];
}

/* Answers what has been received, in order. */
static void connection_answer(struct connection *connection)
{
	uint64_t begin_us = sockets_now_us(connection->sockets);
	const char *text;
	size_t n_text;

	for (unsigned i = 0; i < N_MESSAGES_MAX && connection_is_free(connection); i++) {
		if (i > 0 && sockets_now_us(connection->sockets) - begin_us > WAKE_UP_US)
			break;
		if (!varlink_input_next(&connection->input, &text, &n_text))
			break;
		connection_message(connection, text, n_text);
		if (!connection->failed)
			connection_send(connection);
	}
	varlink_input_trim(&connection->input);
}

static void connection_receive(struct connection *connection)
{
	char *at;
	size_t size;
	ssize_t n;
	int r;

	if (varlink_input_has_message(&connection->input))
		return;
	r = varlink_input_reserve(&connection->input, &at, &size);
	if (r == -EMSGSIZE) {
		struct fault fault;

		fault_set(&fault, r, "the message is longer than %u bytes", VARLINK_MESSAGE_MAX);
		connection_refuse(connection, &fault);
		return;
	}
	if (r < 0) {
		connection_fail(connection);
		return;
	}
	/* Without room for control data the kernel drops descriptors that came along (unix(7)). */
	n = recv(connection->fd, at, size, MSG_DONTWAIT);
	if (n > 0)
		varlink_input_received(&connection->input, (size_t)n);
	else if (n == 0)
		connection->at_end = true;
	else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
		connection_fail(connection);
}

/* What to wait for now. A peer that hung up is always told of (EPOLLHUP); one that only ended its
 * own side may still be waiting for us. */
static void connection_listen(struct connection *connection)
{
	bool has_message = varlink_input_has_message(&connection->input);
	bool is_free = connection_is_free(connection);
	uint32_t events = 0;

	if (is_free && !has_message && connection->at_end)
		connection_fail(connection); /* nothing to answer any more */
	if (connection->failed)
		return;
	if (is_free && !has_message && connection->paused_until_us == 0)
		events |= EPOLLIN;
	/* Messages beyond a wake-up's share wait for the next one: the socket is writable at once.
	 */
	if (connection->paused_until_us > 0)
		events = 0; /* until the timer */
	else if (varlink_output_n_bytes(&connection->output) > 0 || stream_is_due(connection) ||
		 (is_free && has_message))
		events |= EPOLLOUT;
	if (events == connection->events)
		return;
	if (sd_event_source_set_io_events(connection->source, events) < 0)
		connection_fail(connection);
	connection->events = events;
}

static int on_connection(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct connection *connection = userdata;
	struct sockets *sockets = connection->sockets;
	uint64_t begin_us = sockets_now_us(sockets);

	(void)source;
	(void)fd;
	sockets->n_busy++;
	if (revents & (EPOLLHUP | EPOLLERR) && !(revents & EPOLLIN) &&
	    !varlink_input_has_message(&connection->input)) {
		connection_fail(connection); /* nobody is there to read an answer, and nothing is
						left to do */
	} else if (!connection_may_go_on(connection)) {
		connection_listen(connection);
		overdraft_arm(sockets);
	} else {
		connection_send(connection);
		if (revents & EPOLLIN && connection_is_free(connection))
			connection_receive(connection);
		connection_answer(connection);
		connection_listen(connection);
		connection_charge(connection, begin_us);
	}
	sockets->n_busy--;
	sockets_sweep(sockets);
	return 0;
}

static int on_overdraft_over(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct sockets *sockets = userdata;
	uint64_t now_us = sockets_now_us(sockets);

	(void)source;
	(void)usec;
	sockets->n_busy++;
	for (struct connection *c = sockets->connections; c; c = c->next)
		if (c->paused_until_us > 0 && c->paused_until_us <= now_us) {
			c->paused_until_us = 0;
			connection_listen(c);
		}
	sockets->n_busy--;
	sockets_sweep(sockets);
	overdraft_arm(sockets);
	return 0;
}

/* Longer than anybody patient waits; less, and a connection is let in and served then. */
#define OVERDRAWN_US 1000000u

/* Before anything is read about the process: who overdraws his account by far is not let in. */
static bool is_overdrawn(struct sockets *sockets, int fd)
{
	struct ucred cred = { 0 };
	socklen_t n_bytes = sizeof(cred);

	/* Who may change something has no account, so this finds none. */
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n_bytes) == 0 &&
	       accounts_wait_us(&sockets->accounts, cred.uid, sockets_now_us(sockets)) >
		       OVERDRAWN_US;
}

static bool sockets_have_room(const struct sockets *sockets, const struct peer *peer)
{
	unsigned n_of_user = 0;

	if (peer->is_privileged)
		return sockets->n_connections < N_CONNECTIONS_MAX;
	for (const struct connection *c = sockets->connections; c; c = c->next)
		n_of_user += !c->peer.is_privileged && c->peer.uid == peer->uid;
	return n_of_user < N_PER_USER_MAX &&
	       sockets->n_connections < N_CONNECTIONS_MAX - N_RESERVED;
}

/* Takes over @fd; one that there is no room for is closed without a word. */
static void sockets_adopt(struct sockets *sockets, int fd)
{
	struct connection *connection;
	uint64_t begin_us = sockets_now_us(sockets);

	connection = is_overdrawn(sockets, fd) ? NULL : calloc(1, sizeof(*connection));
	if (!connection) {
		close(fd);
		return;
	}
	*connection = (struct connection){
		.sockets = sockets, .fd = fd, .peer = { .pidfd = -1 }, .events = EPOLLIN
	};
	connection->deadline_us = sockets->sys->now_us(sockets->sys) + HANDSHAKE_US;
	if (peer_of_socket(&sockets->rules, fd, &connection->peer) < 0 ||
	    !sockets_have_room(sockets, &connection->peer) ||
	    sd_event_add_io(sockets->event, &connection->source, fd, EPOLLIN, on_connection,
			    connection) < 0 ||
	    sd_event_source_set_priority(connection->source, PRIORITY) < 0) {
		connection_charge(connection, begin_us);
		connection_free(connection);
		return;
	}
	connection_charge(connection, begin_us);
	connection->next = sockets->connections;
	sockets->connections = connection;
	sockets->n_connections++;
	handshake_arm(sockets);
}

static int on_pause_over(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct sockets *sockets = userdata;

	(void)source;
	(void)usec;
	if (sockets->reserve_fd < 0)
		sockets->reserve_fd = fcntl(sockets->listen_fd, F_DUPFD_CLOEXEC, 3);
	sd_event_source_set_enabled(sockets->listener, SD_EVENT_ON);
	return 0;
}

/* No descriptor or no memory is left. The one in reserve turns a client away, who would wait for
 * ever otherwise; then a pause, since the listener stays readable and would spin. */
static void sockets_turn_away(struct sockets *sockets)
{
	int fd;

	if (sockets->reserve_fd >= 0) {
		close(sockets->reserve_fd);
		fd = accept4(sockets->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0)
			close(fd);
		sockets->reserve_fd = fcntl(sockets->listen_fd, F_DUPFD_CLOEXEC, 3);
	}
	sd_event_source_set_enabled(sockets->listener, SD_EVENT_OFF);
	sd_event_source_set_time_relative(sockets->pause_timer, PAUSE_US);
	sd_event_source_set_enabled(sockets->pause_timer, SD_EVENT_ONESHOT);
}

static int on_listener(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct sockets *sockets = userdata;

	(void)source;
	(void)revents;
	for (unsigned i = 0; i < N_ACCEPTS_MAX; i++) {
		int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (client >= 0) {
			sockets_adopt(sockets, client);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
			   errno == ENOMEM) {
			sockets_turn_away(sockets);
			return 0;
		} else if (errno != EINTR && errno != ECONNABORTED) {
			return 0; /* EAGAIN: nobody else is waiting */
		}
	}
	return 0;
}

static int timer_make(struct sockets *sockets, sd_event_time_handler_t handler,
		      sd_event_source **ret_timer)
{
	int r = sd_event_add_time_relative(sockets->event, ret_timer, CLOCK_MONOTONIC, 0, 0,
					   handler, sockets);

	if (r < 0)
		return r;
	r = sd_event_source_set_enabled(*ret_timer, SD_EVENT_OFF);
	return r < 0 ? r : sd_event_source_set_priority(*ret_timer, PRIORITY);
}

static int sockets_listen(struct sockets *sockets, struct fault *fault)
{
	int r = timer_make(sockets, on_handshake_late, &sockets->handshake_timer);

	if (r >= 0)
		r = timer_make(sockets, on_pause_over, &sockets->pause_timer);
	if (r >= 0)
		r = timer_make(sockets, on_overdraft_over, &sockets->overdraft_timer);
	if (r >= 0)
		r = sd_event_add_io(sockets->event, &sockets->listener, sockets->listen_fd, EPOLLIN,
				    on_listener, sockets);
	if (r >= 0)
		r = sd_event_source_set_priority(sockets->listener, PRIORITY);
	if (r < 0)
		return fault_set(fault, r, "cannot wait for clients of the socket: %s",
				 strerror(-r));
	sockets->reserve_fd = fcntl(sockets->listen_fd, F_DUPFD_CLOEXEC, 3);
	return 0;
}

static struct sockets *sockets_new(const struct publish_options *options,
				   const struct publish_handler *handler,
				   const struct publish_view *const *view)
{
	struct sockets *sockets = calloc(1, sizeof(*sockets));

	if (!sockets)
		return NULL;
	*sockets = (struct sockets){
		.handler = *handler,
		.view = view,
		.sys = options->sys,
		.runtime_dir = strdup(options->runtime_dir),
		.event = sd_event_ref(options->event),
		.listen_fd = -1,
		.runtime_dirfd = -1,
		.reserve_fd = -1,
	};
	peer_rules_open(options->sys, &sockets->rules);
	if (sockets->runtime_dir)
		return sockets;
	return sockets_free(sockets);
}

static void sockets_freep(struct sockets **sockets)
{
	sockets_free(*sockets);
}

int sockets_open(const struct publish_options *options, const struct publish_handler *handler,
		 int runtime_dirfd, const struct publish_view *const *view,
		 struct sockets **ret_sockets, struct fault *fault)
{
	cleanup(sockets_freep) struct sockets *sockets = sockets_new(options, handler, view);
	int r;

	if (!sockets)
		return fault_set(fault, -ENOMEM, "no memory for the socket");
	sockets->runtime_dirfd = fcntl(runtime_dirfd, F_DUPFD_CLOEXEC, 3);
	if (sockets->runtime_dirfd < 0)
		return fault_set(fault, -errno, "no descriptor for the directory of the socket: %s",
				 strerror(errno));
	r = listener_open(sockets, options->listen_fd, fault);
	if (r == 0)
		r = sockets_listen(sockets, fault);
	if (r < 0)
		return r;
	if (*view && (*view)->plan)
		history_update(&sockets->history, *view);
	*ret_sockets = TAKE_PTR(sockets);
	return 0;
}

struct sockets *sockets_free(struct sockets *sockets)
{
	if (!sockets)
		return NULL;
	for (struct connection *c = sockets->connections, *next; c; c = next) {
		next = c->next;
		connection_free(c);
	}
	listener_remove(sockets);
	sd_event_source_disable_unref(sockets->listener);
	sd_event_source_disable_unref(sockets->pause_timer);
	sd_event_source_disable_unref(sockets->handshake_timer);
	sd_event_source_disable_unref(sockets->overdraft_timer);
	sd_event_unref(sockets->event);
	for (size_t i = 0; i < 3; i++) {
		int fd = (const int[]){ sockets->listen_fd, sockets->reserve_fd,
					sockets->runtime_dirfd }[i];

		if (fd >= 0)
			close(fd);
	}
	peer_rules_done(&sockets->rules);
	history_done(&sockets->history);
	free(sockets->runtime_dir);
	free(sockets);
	return NULL;
}

/* Which workloads changed follows from their generations, and is so even for a watcher that missed
 * some updates. */
void sockets_update(struct sockets *sockets, const bool *changed)
{
	const struct publish_view *view = *sockets->view;

	(void)changed;
	if (!view || !view->plan)
		return;
	history_update(&sockets->history, view);
	sockets->n_busy++;
	stream_share(sockets, true);
	for (struct connection *c = sockets->connections; c; c = c->next) {
		if (c->failed || c->stream.kind != STREAM_WATCH ||
		    varlink_output_n_bytes(&c->output) > 0 || !stream_is_due(c))
			continue;
		connection_send(c);
		connection_listen(c);
	}
	stream_share(sockets, false);
	sockets->n_busy--;
	sockets_sweep(sockets);
}

void sockets_registered(struct sockets *sockets, bool (*is_ready)(const void *userdata, size_t i),
			const void *userdata)
{
	sockets->n_busy++;
	for (struct connection *c = sockets->connections; c; c = c->next) {
		ssize_t i = c->registers[0] ? view_find(*sockets->view, c->registers) : -1;

		if (!c->registers[0] || (i >= 0 && !is_ready(userdata, (size_t)i)))
			continue;
		if (!c->failed && !c->oneway) {
			if (methods_registered(c) < 0)
				connection_fail(c);
			else
				connection_send(c);
		}
		c->registers[0] = '\0';
		connection_listen(c);
	}
	sockets->n_busy--;
	sockets_sweep(sockets);
}

void sockets_reload_finished(struct sockets *sockets, int result, const struct fault_list *faults)
{
	sockets->n_busy++;
	for (struct connection *c = sockets->connections; c; c = c->next) {
		if (!c->reloads)
			continue;
		c->reloads = false;
		if (c->failed || c->oneway) {
			connection_listen(c);
			continue;
		}
		if (methods_reloaded(c, result, faults) < 0)
			connection_fail(c);
		else
			connection_send(c);
		connection_listen(c);
	}
	sockets->n_busy--;
	sockets_sweep(sockets);
}
