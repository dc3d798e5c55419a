/* The tools' end of the Varlink socket: one connection, blocking, one call at a time. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"

#define CLIENT_RUNTIME_DIR "/run/sidecard"

struct client {
	int fd;
	char *buffer; /* what came beyond the last reply */
	size_t n_buffer, buffer_size;
};

/* Connects to RUNTIME_DIR/io.sidecard. 0, or -errno with a sentence that says what to do. */
int client_open(const char *runtime_dir, struct client *ret_client, struct fault *fault);
void client_done(struct client *client);

/* Sends a call; @parameters is taken over (NULL: none). 0 or -errno. */
int client_send(struct client *client, const char *method, json_t *parameters, bool more,
		struct fault *fault);
/* The next reply's parameters as a new reference. @ret_continues: more will come. An error reply is
 * -EREMOTEIO with its name and text in @fault; a closed connection is -EPIPE. */
int client_receive(struct client *client, json_t **ret_parameters, bool *ret_continues,
		   struct fault *fault);
/* Both, for a method with one reply. */
int client_call(struct client *client, const char *method, json_t *parameters,
		json_t **ret_parameters, struct fault *fault);
