#include "edge/plugin_host.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/child.h"
#include "base/cleanup.h"

/* 1,024 proposals of 4 KiB are refused anyway. */
#define N_ANSWER_MAX (4u << 20)
/* After quotas and hotplug, before clients: env files wait for it. */
#define PRIORITY (SD_EVENT_PRIORITY_NORMAL + 5)

struct item {
	struct item *next;
	uint64_t token;
	json_int_t id;
	char *plugin;
	char *text; /* the line */
	size_t n_text;
	bool given_up;	    /* of a plugin that is not asked any more, or no host can be had */
	struct fault fault; /* why */
};

struct strike {
	char *plugin;
	unsigned n;
};

struct plugin_host {
	struct plugin_host_options options;
	char *program, *directory;
	struct item *first, **last;
	size_t n_items;
	json_int_t n_asked;

	pid_t pid; /* 0: none runs */
	int fd;
	struct item *sending; /* the first that is not wholly out; NULL: all are */
	size_t n_sent;	      /* bytes of it */
	char *input;
	size_t n_input, n_input_room;
	int64_t deadline_ms; /* of the first item's answer */

	struct strike *strikes;
	size_t n_strikes;

	sd_event_source *io, *timer;
	bool busy; /* within a call-back */
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- strikes ---- */

static struct strike *strike_find(const struct plugin_host *host, const char *plugin)
{
	for (size_t i = 0; i < host->n_strikes; i++)
		if (strcmp(host->strikes[i].plugin, plugin) == 0)
			return &host->strikes[i];
	return NULL;
}

static bool is_struck_out(const struct plugin_host *host, const char *plugin)
{
	const struct strike *strike = strike_find(host, plugin);

	return strike && strike->n >= PLUGIN_STRIKES_MAX;
}

static void item_strike_out(struct item *item)
{
	item->given_up = true;
	fault_set(&item->fault, -EIO,
		  "plugin '%s' has cost %u hosts their life and is not asked any more",
		  item->plugin, PLUGIN_STRIKES_MAX);
}

/* Without memory the plugin is forgiven. */
static void strike_add(struct plugin_host *host, const char *plugin)
{
	struct strike *strike = strike_find(host, plugin), *strikes;
	char *copy;

	if (strike) {
		strike->n++;
		for (struct item *item = host->first->next; item; item = item->next)
			if (!item->given_up && is_struck_out(host, item->plugin))
				item_strike_out(item);
		return;
	}
	strikes = realloc(host->strikes, (host->n_strikes + 1) * sizeof(*strikes));
	if (!strikes)
		return;
	host->strikes = strikes;
	copy = strdup(plugin);
	if (copy)
		strikes[host->n_strikes++] = (struct strike){ copy, 1 };
}

/* ---- the process ---- */

static void host_listen(struct plugin_host *host);

/* Ends and reaps the process; what was not answered is to be sent again. Its end is at hand: it
 * gets SIGKILL, and it has nothing open that could keep it in the kernel. */
static void host_stop(struct plugin_host *host)
{
	host->io = sd_event_source_disable_unref(host->io);
	if (host->pid > 0) {
		close(host->fd);
		kill(host->pid, SIGKILL); /* not reaped yet, so the number is still its own */
		while (waitpid(host->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	host->pid = 0;
	host->fd = -1;
	host->n_input = 0;
	host->n_sent = 0;
	host->sending = host->first;
}

static int host_start(struct plugin_host *host)
{
	const char *const arguments[] = { host->directory, NULL };
	cleanup(close_fdp) int ours = -1, theirs = -1;
	int ends[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	ours = ends[0];
	theirs = ends[1];
	if (fcntl(ours, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	r = child_spawn(host->program, arguments, (int[]){ theirs, theirs, -1 }, &host->pid);
	if (r < 0) {
		host->pid = 0;
		return r;
	}
	host->fd = TAKE_FD(ours);
	host->n_input = 0;
	host->sending = host->first;
	host->n_sent = 0;
	host->deadline_ms = now_ms() + host->options.deadline_ms;
	return 0;
}

/* ---- the queue ---- */

static struct item *item_free(struct item *item)
{
	if (!item)
		return NULL;
	free(item->plugin);
	free(item->text);
	free(item);
	return NULL;
}

static struct item *item_pop(struct plugin_host *host)
{
	struct item *item = host->first;

	host->first = item->next;
	if (!host->first)
		host->last = &host->first;
	if (host->sending == item) {
		host->sending = host->first;
		host->n_sent = 0;
	}
	host->n_items--;
	host->deadline_ms = now_ms() + host->options.deadline_ms;
	return item;
}

static void item_deliver(struct plugin_host *host, const json_t *answer, const struct fault *fault)
{
	struct item *item = item_pop(host);

	host->options.answered(host->options.userdata, item->token, answer, fault);
	item_free(item);
}

/* The first question cost the host its life. */
static void first_failed(struct plugin_host *host, int error, const char *what)
{
	struct fault fault;

	host_stop(host);
	if (!host->first)
		return; /* it ended with nothing to do: the next question starts another */
	strike_add(host, host->first->plugin);
	fault_set(&fault, error, "plugin '%s' %s and was ended", host->first->plugin, what);
	item_deliver(host, NULL, &fault);
}

/* Delivers what needs no host; true where the first item is one to be asked. */
static bool first_is_askable(struct plugin_host *host)
{
	while (host->first && host->first->given_up) {
		struct fault fault = host->first->fault;

		item_deliver(host, NULL, &fault);
	}
	return host->first != NULL;
}

static void give_up_all(struct plugin_host *host, int error)
{
	for (struct item *item = host->first; item; item = item->next) {
		if (item->given_up)
			continue;
		item->given_up = true;
		fault_set(&item->fault, error, "cannot start '%s' to ask plugin '%s': %s",
			  host->program, item->plugin, strerror(-error));
	}
}

/* ---- talking ---- */

static int host_send(struct plugin_host *host)
{
	while (host->sending) {
		struct item *item = host->sending;
		ssize_t n;

		if (item->given_up) {
			host->sending = item->next;
			continue;
		}
		n = send(host->fd, item->text + host->n_sent, item->n_text - host->n_sent,
			 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		host->n_sent += (size_t)n;
		if (host->n_sent < item->n_text)
			continue;
		host->sending = item->next;
		host->n_sent = 0;
	}
	return 0;
}

/* One line of the host: the answer to the first question, or it lies. */
static int line_take(struct plugin_host *host, const char *line, size_t n_line)
{
	json_error_t error;
	json_t *answer = json_loadb(line, n_line, JSON_REJECT_DUPLICATES, &error);
	int r = -EPROTO;

	if (first_is_askable(host) && host->first != host->sending && json_is_object(answer) &&
	    json_integer_value(json_object_get(answer, "id")) == host->first->id) {
		item_deliver(host, answer, NULL);
		r = 0;
	}
	json_decref(answer);
	return r;
}

static int lines_take(struct plugin_host *host)
{
	char *end;
	int r = 0;

	while (r == 0 && host->n_input > 0 && (end = memchr(host->input, '\n', host->n_input))) {
		size_t n_line = (size_t)(end - host->input);

		r = line_take(host, host->input, n_line);
		if (host->pid == 0)
			return r;
		host->n_input -= n_line + 1;
		memmove(host->input, end + 1, host->n_input);
	}
	return r;
}

/* 0, -EPIPE at its end, -EMSGSIZE, -EPROTO, -ENOMEM or -errno. */
static int host_receive(struct plugin_host *host)
{
	ssize_t n;

	if (host->n_input_room - host->n_input < 4096) {
		size_t room = 2 * host->n_input_room + 16384;
		char *input = realloc(host->input, room);

		if (!input)
			return -ENOMEM;
		host->input = input;
		host->n_input_room = room;
	}
	n = recv(host->fd, host->input + host->n_input, host->n_input_room - host->n_input,
		 MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -EPIPE;
	host->n_input += (size_t)n;
	if (host->n_input > N_ANSWER_MAX)
		return -EMSGSIZE;
	return lines_take(host);
}

/* Does what can be done now. */
static void host_step(struct plugin_host *host)
{
	int r;

	if (host->busy)
		return;
	host->busy = true;
	if (first_is_askable(host)) {
		r = host->pid > 0 ? 0 : host_start(host);
		if (r < 0) {
			give_up_all(host, r);
			first_is_askable(host);
		}
	}
	if (host->pid > 0) {
		r = host_receive(host);
		if (r == 0)
			r = host_send(host);
		if (r == -EMSGSIZE || r == -EPROTO)
			first_failed(host, -EPROTO, "answered with something that is no answer");
		else if (r < 0)
			first_failed(host, -EIO, "crashed");
		else if (host->first && now_ms() >= host->deadline_ms)
			first_failed(host, -ETIMEDOUT, "did not answer in time");
	}
	host->busy = false;
	host_listen(host);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	(void)source;
	(void)fd;
	(void)revents;
	host_step(userdata);
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)source;
	(void)usec;
	host_step(userdata);
	return 0;
}

/* Arms what the next step waits for: nothing where nothing is asked, so that an idle host wakes
 * nobody. Where a source cannot be made, the timer of plugin_host_open() goes on alone. */
static void host_listen(struct plugin_host *host)
{
	uint32_t events = EPOLLIN | (host->sending ? EPOLLOUT : 0);
	int64_t left_ms = host->deadline_ms - now_ms();

	if (!host->options.event)
		return;
	if (host->pid > 0 && !host->io &&
	    sd_event_add_io(host->options.event, &host->io, host->fd, events, on_io, host) >= 0)
		sd_event_source_set_priority(host->io, PRIORITY);
	if (host->io)
		sd_event_source_set_io_events(host->io, events);
	if (!host->first) {
		sd_event_source_set_enabled(host->timer, SD_EVENT_OFF);
		return;
	}
	if (host->pid == 0 || left_ms < 0)
		left_ms = 0; /* the next question starts a host, or an answer is overdue */
	sd_event_source_set_time_relative(host->timer, (uint64_t)left_ms * 1000);
	sd_event_source_set_enabled(host->timer, SD_EVENT_ONESHOT);
}

/* ---- for others ---- */

int plugin_host_open(const struct plugin_host_options *options, struct plugin_host **ret_host)
{
	struct plugin_host *host = calloc(1, sizeof(*host));
	int r = 0;

	if (!host)
		return -ENOMEM;
	host->options = *options;
	host->options.event = sd_event_ref(options->event);
	if (host->options.deadline_ms == 0)
		host->options.deadline_ms = PLUGIN_DEADLINE_MS;
	host->fd = -1;
	host->last = &host->first;
	host->program = strdup(options->program);
	host->directory = options->directory ? strdup(options->directory) : NULL;
	if (!host->program || (options->directory && !host->directory))
		r = -ENOMEM;
	if (r == 0 && options->event)
		r = sd_event_add_time_relative(options->event, &host->timer, CLOCK_MONOTONIC, 0, 0,
					       on_timer, host);
	if (r >= 0 && host->timer)
		r = sd_event_source_set_enabled(host->timer, SD_EVENT_OFF);
	if (r >= 0 && host->timer)
		r = sd_event_source_set_priority(host->timer, PRIORITY);
	if (r < 0) {
		plugin_host_free(host);
		return r;
	}
	*ret_host = host;
	return 0;
}

struct plugin_host *plugin_host_free(struct plugin_host *host)
{
	if (!host)
		return NULL;
	host_stop(host);
	for (struct item *item = host->first, *next; item; item = next) {
		next = item->next;
		item_free(item);
	}
	for (size_t i = 0; i < host->n_strikes; i++)
		free(host->strikes[i].plugin);
	free(host->strikes);
	sd_event_source_disable_unref(host->timer);
	sd_event_unref(host->options.event);
	free(host->input);
	free(host->program);
	free(host->directory);
	free(host);
	return NULL;
}

int plugin_host_ask(struct plugin_host *host, uint64_t token, const char *plugin, json_t *question)
{
	struct item *item = calloc(1, sizeof(*item));
	char *text = NULL;

	if (item && question &&
	    json_object_set_new(question, "id", json_integer(++host->n_asked)) == 0)
		text = json_dumps(question, JSON_COMPACT);
	json_decref(question);
	if (text) {
		item->n_text = strlen(text) + 1;
		text[item->n_text - 1] = '\n'; /* in place of the NUL: it ends by its length */
		item->text = text;
		item->plugin = strdup(plugin);
	}
	if (!text || !item->plugin) {
		item_free(item);
		return -ENOMEM;
	}
	item->token = token;
	item->id = host->n_asked;
	if (is_struck_out(host, plugin))
		item_strike_out(item);
	if (!host->first)
		host->deadline_ms = now_ms() + host->options.deadline_ms;
	*host->last = item;
	host->last = &item->next;
	if (!host->sending)
		host->sending = item;
	host->n_items++;
	if (!host->busy)
		host_listen(host);
	return 0;
}

void plugin_host_wait(struct plugin_host *host)
{
	while (host->first) {
		host_step(host);
		if (host->first && host->pid > 0) {
			struct pollfd fd = { .fd = host->fd,
					     .events = (short)(POLLIN |
							       (host->sending ? POLLOUT : 0)) };
			int64_t left_ms = host->deadline_ms - now_ms();

			poll(&fd, 1, left_ms > 0 ? (int)left_ms : 0);
		}
	}
}

size_t plugin_host_n_pending(const struct plugin_host *host)
{
	return host->n_items;
}
