/* Varlink, the codec: calls come in as JSON objects ended by NUL, replies go out as such. Pure: it
 * touches no descriptor and knows no method; publish_socket.c moves the bytes.
 *
 * Foreign bytes are measured before they are parsed: a message is at most VARLINK_MESSAGE_MAX long
 * and VARLINK_DEPTH_MAX deep, so the parser's memory and stack are bounded by what stands here. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* Bytes of one call without its NUL. The longest call we know is below 200 bytes; the rest is room
 * for parameters of a later version. */
#define VARLINK_MESSAGE_MAX 65536u
/* Objects and arrays inside each other. Our own calls need 2. */
#define VARLINK_DEPTH_MAX 16u

#define VARLINK_SERVICE "org.varlink.service"

/* What was received and not yet answered. A zeroed one is empty and owns nothing. */
struct varlink_input {
	char *bytes;
	size_t size;
	size_t begin, end; /* received bytes are bytes[begin..end) */
	size_t n_scanned;  /* of them, from begin on, are known to hold no NUL */
};

void varlink_input_done(struct varlink_input *input);
/* Room for the next read, at least 1 byte. Call it only where varlink_input_next() found nothing.
 * 0, -ENOMEM, or -EMSGSIZE where an unfinished message is already VARLINK_MESSAGE_MAX long. */
int varlink_input_reserve(struct varlink_input *input, char **ret_at, size_t *ret_size);
void varlink_input_received(struct varlink_input *input, size_t n_bytes);
/* Takes the next complete message. The text ends with its NUL and stays valid until the next
 * reserve. */
bool varlink_input_next(struct varlink_input *input, const char **ret_text, size_t *ret_n_text);
/* True where a complete message waits. */
bool varlink_input_has_message(struct varlink_input *input);
/* Gives the memory back where nothing waits: an idle connection holds none. */
void varlink_input_trim(struct varlink_input *input);

/* What waits to be sent. A zeroed one is empty and owns nothing. */
struct varlink_output {
	char *bytes;
	size_t size;
	size_t begin, end;
};

void varlink_output_done(struct varlink_output *output);
static inline size_t varlink_output_n_bytes(const struct varlink_output *output)
{
	return output->end - output->begin;
}
/* 0 or -ENOMEM, with nothing added. */
int varlink_output_add(struct varlink_output *output, const char *text, size_t n_text);
/* Compact JSON of @json, without a NUL. 0 or -ENOMEM. */
int varlink_output_add_json(struct varlink_output *output, const json_t *json);
/* The first @n_bytes were sent. Memory goes back when nothing is left. */
void varlink_output_sent(struct varlink_output *output, size_t n_bytes);

/* A call as received: nothing in it is trusted, but it is well-formed. */
struct varlink_call {
	char *method;	    /* "io.sidecard.Get" */
	json_t *parameters; /* always an object */
	bool more, oneway, upgrade;
};

/* 0; -EBADMSG with @fault where this is no call (not JSON, not UTF-8, too deep, a key twice, an
 * unknown key, a wrong type, more and oneway at once); -ENOMEM. @ret_call is untouched on failure.
 */
int varlink_call_parse(const char *text, size_t n_text, struct varlink_call *ret_call,
		       struct fault *fault);
void varlink_call_done(struct varlink_call *call);

/* One reply with its NUL. They take over @parameters, an object; NULL means that memory was short
 * while it was made. 0 or -ENOMEM. */
int varlink_reply(struct varlink_output *output, json_t *parameters);
int varlink_reply_error(struct varlink_output *output, const char *error, json_t *parameters);

/* The interface descriptions (varlink_idl.c), NULL for an interface that we do not have. */
const char *varlink_interface_description(const char *interface);
/* NULL-terminated names of all interfaces. */
const char *const *varlink_interfaces(void);
