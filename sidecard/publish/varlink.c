#include "publish/varlink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* A first read: larger than any call of today, so that growing is the exception. */
#define INPUT_FIRST_SIZE 512u
#define INPUT_SIZE_MAX	 (VARLINK_MESSAGE_MAX + 1u)

void varlink_input_done(struct varlink_input *input)
{
	free(input->bytes);
	*input = (struct varlink_input){ 0 };
}

static int input_grow(struct varlink_input *input)
{
	size_t size = input->size ? input->size * 2 : INPUT_FIRST_SIZE;
	char *bytes;

	if (size > INPUT_SIZE_MAX)
		size = INPUT_SIZE_MAX;
	if (size == input->size)
		return -EMSGSIZE;
	bytes = realloc(input->bytes, size);
	if (!bytes)
		return -ENOMEM;
	input->bytes = bytes;
	input->size = size;
	return 0;
}

int varlink_input_reserve(struct varlink_input *input, char **ret_at, size_t *ret_size)
{
	if (input->begin > 0) {
		memmove(input->bytes, input->bytes + input->begin, input->end - input->begin);
		input->end -= input->begin;
		input->begin = 0;
	}
	if (input->end == input->size) {
		int r = input_grow(input);

		if (r < 0)
			return r;
	}
	*ret_at = input->bytes + input->end;
	*ret_size = input->size - input->end;
	return 0;
}

void varlink_input_received(struct varlink_input *input, size_t n_bytes)
{
	input->end += n_bytes;
}

/* Looks for the NUL among the new bytes only, so that a message in single bytes costs no more than
 * one at once. */
static const char *input_find_end(struct varlink_input *input)
{
	const char *from, *end;

	if (input->end - input->begin == input->n_scanned)
		return NULL;
	from = input->bytes + input->begin + input->n_scanned;
	end = memchr(from, '\0', input->end - input->begin - input->n_scanned);
	if (!end)
		input->n_scanned = input->end - input->begin;
	return end;
}

bool varlink_input_has_message(struct varlink_input *input)
{
	return input_find_end(input) != NULL;
}

bool varlink_input_next(struct varlink_input *input, const char **ret_text, size_t *ret_n_text)
{
	const char *end = input_find_end(input);

	if (!end)
		return false;
	*ret_text = input->bytes + input->begin;
	*ret_n_text = (size_t)(end - *ret_text);
	input->begin += *ret_n_text + 1;
	input->n_scanned = 0;
	return true;
}

void varlink_input_trim(struct varlink_input *input)
{
	if (input->begin == input->end)
		varlink_input_done(input);
}

void varlink_output_done(struct varlink_output *output)
{
	free(output->bytes);
	*output = (struct varlink_output){ 0 };
}

int varlink_output_add(struct varlink_output *output, const char *text, size_t n_text)
{
	if (n_text > output->size - output->end) {
		size_t size = output->size ? output->size : 256;
		char *bytes;

		while (size - output->end < n_text)
			size *= 2;
		bytes = realloc(output->bytes, size);
		if (!bytes)
			return -ENOMEM;
		output->bytes = bytes;
		output->size = size;
	}
	if (n_text > 0)
		memcpy(output->bytes + output->end, text, n_text);
	output->end += n_text;
	return 0;
}

struct dump {
	struct varlink_output *output;
	bool has_failed;
};

static int add_dumped(const char *text, size_t n_text, void *userdata)
{
	struct dump *dump = userdata;

	if (!dump->has_failed)
		dump->has_failed = varlink_output_add(dump->output, text, n_text) < 0;
	return dump->has_failed ? -1 : 0;
}

int varlink_output_add_json(struct varlink_output *output, const json_t *json)
{
	struct dump dump = { .output = output };
	size_t end = output->end;

	/* A failure is remembered by ourselves: jansson 2.14 drops the one of a key. */
	if (json_dump_callback(json, add_dumped, &dump, JSON_COMPACT) == 0 && !dump.has_failed)
		return 0;
	output->end = end;
	return -ENOMEM;
}

void varlink_output_sent(struct varlink_output *output, size_t n_bytes)
{
	output->begin += n_bytes;
	if (output->begin == output->end)
		varlink_output_done(output);
}

/* Nesting of @text before a parser that recurses sees it. Quotes and backslashes are all that
 * matters here; whether the rest is JSON is the parser's question. */
static bool depth_is_fine(const char *text, size_t n_text)
{
	bool in_string = false;
	unsigned depth = 0;

	for (size_t i = 0; i < n_text; i++) {
		char c = text[i];

		if (in_string && c == '\\')
			i++;
		else if (c == '"')
			in_string = !in_string;
		else if (!in_string && (c == '{' || c == '[') && ++depth > VARLINK_DEPTH_MAX)
			return false;
		else if (!in_string && (c == '}' || c == ']') && depth > 0)
			depth--;
	}
	return true;
}

static int call_load(const char *text, size_t n_text, json_t **ret_object, struct fault *fault)
{
	json_error_t error;
	json_t *object;

	if (n_text == 0)
		return fault_set(fault, -EBADMSG, "the message is empty");
	if (!text_is_utf8(text, n_text))
		return fault_set(fault, -EBADMSG, "the message is not UTF-8");
	if (!depth_is_fine(text, n_text))
		return fault_set(fault, -EBADMSG, "the message is nested deeper than %u levels",
				 VARLINK_DEPTH_MAX);
	object = json_loadb(text, n_text, JSON_REJECT_DUPLICATES, &error);
	if (!object && json_error_code(&error) == json_error_out_of_memory)
		return fault_set(fault, -ENOMEM, "no memory for the message");
	if (!object)
		return fault_set(fault, -EBADMSG, "the message is not JSON: %s", error.text);
	if (!json_is_object(object)) {
		json_decref(object);
		return fault_set(fault, -EBADMSG, "the message is not a JSON object");
	}
	*ret_object = object;
	return 0;
}

static int call_flag(const char *key, const json_t *value, bool *ret_flag, struct fault *fault)
{
	if (json_is_null(value))
		return 0; /* as if it were not there */
	if (!json_is_boolean(value))
		return fault_set(fault, -EBADMSG, "'%s' of the call is not true or false", key);
	*ret_flag = json_is_true(value);
	return 0;
}

static int call_field(struct varlink_call *call, const char *key, json_t *value,
		      struct fault *fault)
{
	if (strcmp(key, "more") == 0)
		return call_flag(key, value, &call->more, fault);
	if (strcmp(key, "oneway") == 0)
		return call_flag(key, value, &call->oneway, fault);
	if (strcmp(key, "upgrade") == 0)
		return call_flag(key, value, &call->upgrade, fault);
	if (strcmp(key, "method") == 0) {
		if (!json_is_string(value))
			return fault_set(fault, -EBADMSG, "'method' of the call is not a string");
		call->method = strdup(json_string_value(value));
		return call->method ? 0 : -ENOMEM;
	}
	if (strcmp(key, "parameters") == 0) {
		if (json_is_null(value))
			return 0;
		if (!json_is_object(value))
			return fault_set(fault, -EBADMSG,
					 "'parameters' of the call is not an object");
		call->parameters = json_incref(value);
		return 0;
	}
	return fault_set(fault, -EBADMSG, "a call has no '%s'", key);
}

static int call_fill(struct varlink_call *call, json_t *object, struct fault *fault)
{
	const char *key;
	json_t *value;

	json_object_foreach (object, key, value) {
		int r = call_field(call, key, value, fault);

		if (r < 0)
			return r;
	}
	if (!call->method)
		return fault_set(fault, -EBADMSG, "the call names no method");
	if (call->more && call->oneway)
		return fault_set(fault, -EBADMSG, "the call wants both several replies and none");
	if (!call->parameters)
		call->parameters = json_object();
	return call->parameters ? 0 : -ENOMEM;
}

int varlink_call_parse(const char *text, size_t n_text, struct varlink_call *ret_call,
		       struct fault *fault)
{
	struct varlink_call call = { 0 };
	json_t *object = NULL;
	int r;

	r = call_load(text, n_text, &object, fault);
	if (r < 0)
		return r;
	r = call_fill(&call, object, fault);
	json_decref(object);
	if (r < 0)
		varlink_call_done(&call);
	else
		*ret_call = call;
	return r;
}

void varlink_call_done(struct varlink_call *call)
{
	free(call->method);
	json_decref(call->parameters);
	*call = (struct varlink_call){ 0 };
}

/* Takes over @reply. All or nothing: a cut reply would be read as the beginning of the next one. */
static int add_reply(struct varlink_output *output, json_t *reply)
{
	size_t end = output->end;
	int r = reply ? varlink_output_add_json(output, reply) : -ENOMEM;

	if (r == 0)
		r = varlink_output_add(output, "", 1);
	if (r < 0)
		output->end = end;
	json_decref(reply);
	return r;
}

int varlink_reply(struct varlink_output *output, json_t *parameters)
{
	return add_reply(output, json_pack("{s:o}", "parameters", parameters));
}

int varlink_reply_error(struct varlink_output *output, const char *error, json_t *parameters)
{
	return add_reply(output, json_pack("{s:s, s:o}", "error", error, "parameters", parameters));
}
