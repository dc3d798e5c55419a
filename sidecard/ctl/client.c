#include "ctl/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/cleanup.h"

/* A list of 10,000 workloads is some MiB; no answer of ours is longer. */
#define REPLY_SIZE_MAX (64u << 20)

int client_open(const char *runtime_dir, struct client *ret_client, struct fault *fault)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	cleanup(close_fdp) int fd = -1;
	int n = snprintf(address.sun_path, sizeof(address.sun_path), "%s/io.sidecard", runtime_dir);

	if (n < 0 || (size_t)n >= sizeof(address.sun_path))
		return fault_set(fault, -ENAMETOOLONG,
				 "runtime directory '%s' is too long for a socket", runtime_dir);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fault_set(fault, -errno, "cannot make a socket: %s", strerror(errno));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return fault_set(fault, -errno,
				 "cannot reach sidecard at '%s': %s; is it running (systemctl "
				 "status sidecard)?",
				 address.sun_path, strerror(errno));
	*ret_client = (struct client){ .fd = TAKE_FD(fd) };
	return 0;
}

void client_done(struct client *client)
{
	close_fdp(&client->fd);
	free(client->buffer);
	*client = (struct client){ .fd = -1 };
}

int client_send(struct client *client, const char *method, json_t *parameters, bool more,
		struct fault *fault)
{
	cleanup(json_decrefp) json_t *call = json_object();
	cleanup(freep) char *text = NULL;
	size_t n_text, done = 0;

	json_object_set_new(call, "method", json_string(method));
	json_object_set_new(call, "parameters", parameters ? parameters : json_object());
	if (more)
		json_object_set_new(call, "more", json_true());
	text = json_dumps(call, JSON_COMPACT);
	if (!text)
		return fault_set(fault, -EINVAL, "the arguments are not UTF-8");
	n_text = strlen(text) + 1; /* the NUL ends the message */
	while (done < n_text) {
		ssize_t n = send(client->fd, text + done, n_text - done, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fault_set(fault, -errno, "cannot send to sidecard: %s",
					 strerror(errno));
		done += (size_t)n;
	}
	return 0;
}

/* Reads until the buffer holds a whole message; its length without the NUL. */
static ssize_t receive_message(struct client *client, struct fault *fault)
{
	size_t searched = 0;

	for (;;) {
		char *end = client->n_buffer > searched ? memchr(client->buffer + searched, 0,
								 client->n_buffer - searched)
							: NULL;
		ssize_t n;

		if (end)
			return end - client->buffer;
		searched = client->n_buffer;
		if (client->n_buffer == client->buffer_size) {
			size_t size = client->buffer_size ? client->buffer_size * 2 : 16384;
			char *buffer = size <= REPLY_SIZE_MAX ? realloc(client->buffer, size)
							      : NULL;

			if (!buffer)
				return fault_set(fault, -EFBIG,
						 "a reply of sidecard is over %u MiB",
						 REPLY_SIZE_MAX >> 20);
			client->buffer = buffer;
			client->buffer_size = size;
		}
		n = recv(client->fd, client->buffer + client->n_buffer,
			 client->buffer_size - client->n_buffer, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fault_set(fault, -errno, "cannot read from sidecard: %s",
					 strerror(errno));
		if (n == 0)
			return fault_set(fault, -EPIPE, "sidecard closed the connection");
		client->n_buffer += (size_t)n;
	}
}

/* "io.sidecard.NoSuchWorkload" with {"reason": "..."} or {"name": "..."} → one sentence. */
static int reply_error(const json_t *reply, const char *error, struct fault *fault)
{
	const json_t *parameters = json_object_get(reply, "parameters");
	const char *text = json_string_value(json_object_get(parameters, "reason"));
	cleanup(freep) char *dump = json_dumps(parameters, JSON_COMPACT);

	if (text)
		return fault_set(fault, -EREMOTEIO, "%s (%s)", text, error);
	if (strcmp(error, "io.sidecard.NoSuchWorkload") == 0)
		return fault_set(fault, -EREMOTEIO, "no workload is called '%s' (sidecarctl list)",
				 json_string_value(json_object_get(parameters, "name")));
	return fault_set(fault, -EREMOTEIO, "sidecard answers %s %s", error, dump ? dump : "");
}

int client_receive(struct client *client, json_t **ret_parameters, bool *ret_continues,
		   struct fault *fault)
{
	cleanup(json_decrefp) json_t *reply = NULL;
	ssize_t n = receive_message(client, fault);
	const char *error;
	json_error_t where;
	json_t *parameters;

	if (n < 0)
		return (int)n;
	reply = json_loadb(client->buffer, (size_t)n, 0, &where);
	memmove(client->buffer, client->buffer + n + 1, client->n_buffer - (size_t)n - 1);
	client->n_buffer -= (size_t)n + 1;
	if (!reply)
		return fault_set(fault, -EPROTO, "sidecard's reply is not JSON: %s", where.text);
	error = json_string_value(json_object_get(reply, "error"));
	if (error)
		return reply_error(reply, error, fault);
	parameters = json_object_get(reply, "parameters");
	if (ret_continues)
		*ret_continues = json_is_true(json_object_get(reply, "continues"));
	*ret_parameters = parameters ? json_incref(parameters) : json_object();
	return 0;
}

int client_call(struct client *client, const char *method, json_t *parameters,
		json_t **ret_parameters, struct fault *fault)
{
	int r = client_send(client, method, parameters, false, fault);

	return r < 0 ? r : client_receive(client, ret_parameters, NULL, fault);
}
