/* What each method does. Parameters are checked by the table before a method sees them; whatever
 * changes something is decided by the daemon on the identity that the kernel gave, never on a
 * parameter. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "publish/varlink_server.h"

#define ERROR_INVALID_PARAMETER VARLINK_SERVICE ".InvalidParameter"

enum parameter_type { PARAMETER_NONE, PARAMETER_STRING, PARAMETER_COUNT };

struct parameter {
	const char *name;
	enum parameter_type type;
	bool is_optional;
};

#define N_PARAMETERS_MAX 2

struct method {
	const char *name;
	int (*run)(struct connection *connection, const struct varlink_call *call);
	struct parameter parameters[N_PARAMETERS_MAX];
};

static const struct publish_view *view_of(const struct connection *connection)
{
	return *connection->sockets->view;
}

static int reply(struct connection *connection, json_t *parameters)
{
	return varlink_reply(&connection->output, parameters);
}

/* An error with its one field. */
static int reply_error(struct connection *connection, const char *error, const char *field,
		       const char *text)
{
	return varlink_reply_error(&connection->output, error, json_pack("{s:s}", field, text));
}

static const char *string_of(const struct varlink_call *call, const char *name)
{
	return json_string_value(json_object_get(call->parameters, name));
}

/* 0 where it was not given. */
static uint64_t count_of(const struct varlink_call *call, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(call->parameters, name));
}

/* The lines of @text, without empty ones at the end; NULL where memory is short. */
static json_t *lines_json(const char *text)
{
	json_t *lines = json_array();

	while (lines && *text) {
		size_t n = strcspn(text, "\n");

		if (json_array_append_new(lines, json_stringn(text, n)) < 0) {
			json_decref(lines);
			return NULL;
		}
		text += n + (text[n] == '\n');
	}
	return lines;
}

static int run_get_info(struct connection *connection, const struct varlink_call *call)
{
	json_t *interfaces = json_array();

	(void)call;
	for (const char *const *name = varlink_interfaces(); *name; name++)
		if (json_array_append_new(interfaces, json_string(*name)) < 0) {
			json_decref(interfaces);
			return -ENOMEM;
		}
	return reply(connection, json_pack("{s:s, s:s, s:s, s:s, s:o}", "vendor", "sidecard",
					   "product", "sidecard", "version", SIDECARD_VERSION,
					   "url", "man:sidecard(8)", "interfaces", interfaces));
}

static int run_get_interface_description(struct connection *connection,
					 const struct varlink_call *call)
{
	const char *interface = string_of(call, "interface");
	const char *description = varlink_interface_description(interface);

	if (!description)
		return reply_error(connection, VARLINK_SERVICE ".InterfaceNotFound", "interface",
				   interface);
	return reply(connection, json_pack("{s:s}", "description", description));
}

static int run_get(struct connection *connection, const struct varlink_call *call)
{
	const char *name = string_of(call, "name");
	ssize_t i = view_find(view_of(connection), name);

	if (i < 0)
		return reply_error(connection, "io.sidecard.NoSuchWorkload", "name", name);
	return reply(connection, json_pack("{s:o}", "workload",
					   placement_json(view_of(connection), (size_t)i)));
}

static int run_list(struct connection *connection, const struct varlink_call *call)
{
	(void)call;
	stream_list(connection);
	return 0;
}

static int run_watch(struct connection *connection, const struct varlink_call *call)
{
	const char *only = string_of(call, "name");

	if (only && view_find(view_of(connection), only) < 0)
		return reply_error(connection, "io.sidecard.NoSuchWorkload", "name", only);
	stream_watch(connection, only, count_of(call, "after"), call->more);
	return 0;
}

/* What the daemon said no with. @not_found: what -ENOENT means for this method. */
static int reply_refusal(struct connection *connection, int error, const char *not_found,
			 const struct fault *fault)
{
	const char *name = error == -ENOENT			 ? not_found
			   : error == -EACCES || error == -EPERM ? "io.sidecard.NotAuthorized"
			   : error == -EEXIST			 ? "io.sidecard.AlreadyRegistered"
			   : error == -ENOSPC ? "io.sidecard.TooManyRegistrations"
					      : "io.sidecard.Failed";

	return reply_error(connection, name, "reason",
			   fault->text[0] ? fault->text : strerror(-error));
}

/* A process that we cannot see, or that has ended, can be neither followed nor told from the next
 * one with its number. */
static int refuse_unknown(struct connection *connection)
{
	return reply_error(connection, "io.sidecard.NotAuthorized", "reason",
			   "the process that connected has ended, or is not visible from here");
}

/* Takes the quotes of publish_env.c off again: a value that is quoted is one piece, in which a
 * backslash stands before '"', '\', '`' and
 * '$' only. */
static json_t *environment_line(const char *line, size_t n_line)
{
	cleanup(freep) char *plain = malloc(n_line + 1);
	const char *value = memchr(line, '=', n_line);
	size_t n_key = value ? (size_t)(value - line) + 1 : n_line, n = 0;
	bool is_quoted = n_line >= n_key + 2 && line[n_key] == '"';

	if (!plain)
		return NULL;
	for (size_t i = 0; i < n_line; i++) {
		if (is_quoted && (i == n_key || i == n_line - 1))
			continue;
		if (is_quoted && i > n_key && line[i] == '\\')
			i++;
		plain[n++] = line[i];
	}
	return json_stringn(plain, n);
}

/* Everything that NAME.env tells, and where the page is. NULL where memory is short. */
static json_t *environment_json(const struct publish_view *view, size_t i, const char *page)
{
	cleanup(freep) char *text = env_format(&view->plan->workloads[i], view->generations[i],
					       view->environments ? &view->environments[i] : NULL);
	json_t *lines = text ? json_array() : NULL;
	int r = json_array_append_new(lines, json_sprintf("SIDECARD_PAGE=%s", page));

	for (const char *at = text; r == 0 && at && *at;) {
		size_t n = strcspn(at, "\n");

		r = json_array_append_new(lines, environment_line(at, n));
		at += n + (at[n] == '\n');
	}
	if (r == 0)
		return lines;
	json_decref(lines);
	return NULL;
}

static json_t *strings_json(const struct strings *strings)
{
	json_t *array = json_array();

	for (size_t i = 0; array && strings && i < strings->n_items; i++)
		if (json_array_append_new(array, json_string(strings->items[i])) < 0) {
			json_decref(array);
			return NULL;
		}
	return array;
}

/* What a child does to itself before it becomes its program. */
static json_t *registered_json(const struct publish_view *view, size_t i, const char *page)
{
	const struct workload *conf = view->plan->workloads[i].conf;

	return json_pack("{s:o, s:s, s:o, s:o, s:o, s:s, s:b}", "workload", placement_json(view, i),
			 "page", page, "environment", environment_json(view, i, page), "append",
			 strings_json(view->appended ? &view->appended[i] : NULL), "arguments",
			 strings_json(view->arguments ? &view->arguments[i] : NULL), "memory",
			 memory_word(conf->memory), "pin", conf->pin != PIN_NONE);
}

static int reply_registered(struct connection *connection, const char *name)
{
	const struct publish_view *view = view_of(connection);
	ssize_t i = view_find(view, name);
	cleanup(freep) char *page = NULL;

	if (asprintf(&page, "%s/live/%s", connection->sockets->runtime_dir, name) < 0) {
		page = NULL;
		return -ENOMEM;
	}
	if (i < 0)
		return reply(connection,
			     json_pack("{s:n, s:s, s:[], s:[], s:[], s:s, s:b}", "workload", "page",
				       page, "environment", "append", "arguments", "memory", "none",
				       "pin", 0));
	return reply(connection, registered_json(view, (size_t)i, page));
}

/* What a changed set of registrations costs beside the call: a round of planning, lines in the
 * journal, the checkpoint. Twenty at once, then twenty a second, are more than anybody starts. */
#define CHANGE_US 5000u

static int run_register(struct connection *connection, const struct varlink_call *call)
{
	const struct publish_handler *handler = &connection->sockets->handler;
	const char *name = string_of(call, "workload");
	struct fault fault = { 0 };
	int r;

	if (!peer_is_alive(&connection->peer))
		return refuse_unknown(connection);
	connection->sockets->extra_us += CHANGE_US;
	r = name_is_valid(name)
		    ? handler->register_process(handler->userdata, &connection->peer, name,
						count_of(call, "lease_us"), &fault)
		    : -ENOENT;
	if (r == -ENOENT)
		return reply_error(connection, "io.sidecard.NoSuchWorkload", "name", name);
	if (r < 0)
		return reply_refusal(connection, r, NULL, &fault);
	if (r != PUBLISH_LATER)
		return reply_registered(connection, name);
	snprintf(connection->registers, sizeof(connection->registers), "%s", name);
	connection->oneway = call->oneway;
	return 0;
}

int methods_registered(struct connection *connection)
{
	return reply_registered(connection, connection->registers);
}

static int run_heartbeat(struct connection *connection, const struct varlink_call *call)
{
	const struct publish_handler *handler = &connection->sockets->handler;
	struct fault fault = { 0 };
	int r;

	(void)call;
	if (!peer_is_alive(&connection->peer))
		return refuse_unknown(connection);
	r = handler->heartbeat(handler->userdata, &connection->peer, &fault);
	if (r < 0)
		return reply_refusal(connection, r, "io.sidecard.NotRegistered", &fault);
	return reply(connection, json_object());
}

static int run_release(struct connection *connection, const struct varlink_call *call)
{
	const struct publish_handler *handler = &connection->sockets->handler;
	struct fault fault = { 0 };
	int r;

	(void)call;
	if (!peer_is_alive(&connection->peer))
		return refuse_unknown(connection);
	connection->sockets->extra_us += CHANGE_US;
	r = handler->release(handler->userdata, &connection->peer, &fault);
	if (r < 0)
		return reply_refusal(connection, r, "io.sidecard.NotRegistered", &fault);
	return reply(connection, json_object());
}

static int run_explain(struct connection *connection, const struct varlink_call *call)
{
	const struct publish_handler *handler = &connection->sockets->handler;
	const char *name = string_of(call, "name");
	cleanup(freep) char *text = NULL;

	if (name_is_valid(name))
		text = handler->explain(handler->userdata, name);
	if (!text)
		return reply_error(connection, "io.sidecard.NoSuchWorkload", "name", name);
	return reply(connection, json_pack("{s:o}", "text", lines_json(text)));
}

static json_t *faults_json(const struct fault_list *faults)
{
	json_t *json = json_array();
	int r = json ? 0 : -1;

	for (size_t i = 0; r == 0 && i < faults->n_texts; i++)
		r = json_array_append_new(json, json_string(faults->texts[i]));
	if (r == 0 && faults->n_lost > 0)
		r = json_array_append_new(json, json_sprintf("and %zu more", faults->n_lost));
	if (r == 0)
		return json;
	json_decref(json);
	return NULL;
}

static int run_reload(struct connection *connection, const struct varlink_call *call)
{
	const struct publish_handler *handler = &connection->sockets->handler;
	struct fault_list faults = { 0 };
	int r;

	if (!connection->peer.is_privileged)
		return reply_error(connection, "io.sidecard.NotAuthorized", "reason",
				   "only root and group sidecard of this host may do this");
	r = handler->reload(handler->userdata, &connection->peer, &faults);
	if (r == PUBLISH_LATER) {
		connection->reloads = true;
		connection->oneway = call->oneway;
		r = 0;
	} else {
		r = methods_reloaded(connection, r, &faults);
	}
	fault_list_done(&faults);
	return r;
}

int methods_reloaded(struct connection *connection, int result, const struct fault_list *faults)
{
	static const struct fault_list none = { 0 };
	struct fault fault = { 0 };

	/* A failure without a text would look like success. */
	if (result < 0 && faults->n_texts == 0 && faults->n_lost == 0)
		return reply_refusal(connection, result, "io.sidecard.Failed", &fault);
	return reply(connection,
		     json_pack("{s:o, s:o}", "faults", faults_json(result < 0 ? faults : &none),
			       "warnings", faults_json(result < 0 ? &none : faults)));
}

/* Both make the daemon read files: not for everybody. */
static int reply_told(struct connection *connection, json_t *told)
{
	return told ? reply(connection, told) : -ENOMEM;
}

static int refuse_unprivileged(struct connection *connection)
{
	return reply_error(connection, "io.sidecard.NotAuthorized", "reason",
			   "only root and group sidecard of this host may do this");
}

static int reply_not_implemented(struct connection *connection, const struct varlink_call *call)
{
	return reply_error(connection, VARLINK_SERVICE ".MethodNotImplemented", "method",
			   call->method);
}

static int run_samples(struct connection *connection, const struct varlink_call *call)
{
	const struct publish_handler *handler = &connection->sockets->handler;

	if (!connection->peer.is_privileged)
		return refuse_unprivileged(connection);
	if (!handler->samples)
		return reply_not_implemented(connection, call);
	return reply_told(connection, handler->samples(handler->userdata, count_of(call, "after")));
}

static int run_measure(struct connection *connection, const struct varlink_call *call)
{
	const struct publish_handler *handler = &connection->sockets->handler;

	if (!connection->peer.is_privileged)
		return refuse_unprivileged(connection);
	if (!handler->measure)
		return reply_not_implemented(connection, call);
	return reply_told(connection,
			  handler->measure(handler->userdata, string_of(call, "after")));
}

/* clang-format off */
static const struct method methods[] = {
	{ VARLINK_SERVICE ".GetInfo", run_get_info, { { 0 } } },
	{ VARLINK_SERVICE ".GetInterfaceDescription", run_get_interface_description,
	  { { "interface", PARAMETER_STRING, false } } },
	{ "io.sidecard.Get", run_get, { { "name", PARAMETER_STRING, false } } },
	{ "io.sidecard.List", run_list, { { 0 } } },
	{ "io.sidecard.Watch", run_watch,
	  { { "name", PARAMETER_STRING, true }, { "after", PARAMETER_COUNT, true } } },
	{ "io.sidecard.Register", run_register,
	  { { "workload", PARAMETER_STRING, false }, { "lease_us", PARAMETER_COUNT, true } } },
	{ "io.sidecard.Heartbeat", run_heartbeat, { { 0 } } },
	{ "io.sidecard.Release", run_release, { { 0 } } },
	{ "io.sidecard.Explain", run_explain, { { "name", PARAMETER_STRING, false } } },
	{ "io.sidecard.Reload", run_reload, { { 0 } } },
	{ "io.sidecard.Samples", run_samples, { { "after", PARAMETER_COUNT, true } } },
	{ "io.sidecard.Measure", run_measure, { { "after", PARAMETER_STRING, true } } },
};
/* clang-format on */

const char *methods_name(size_t i)
{
	return i < N_ELEMENTS(methods) ? methods[i].name : NULL;
}

static const struct parameter *method_parameter(const struct method *method, const char *name)
{
	for (size_t i = 0; i < N_PARAMETERS_MAX; i++)
		if (method->parameters[i].name && strcmp(method->parameters[i].name, name) == 0)
			return &method->parameters[i];
	return NULL;
}

static bool parameter_fits(const struct parameter *parameter, const json_t *value)
{
	if (!parameter)
		return false;
	if (json_is_null(value))
		return parameter->is_optional;
	if (parameter->type == PARAMETER_STRING)
		return json_is_string(value);
	return json_is_integer(value) && json_integer_value(value) >= 0;
}

/* The name of the first parameter that does not fit, is unknown or is missing; NULL where all are
 * right. */
static const char *parameters_fault(const struct method *method, json_t *parameters)
{
	const char *name;
	json_t *value;

	json_object_foreach (parameters, name, value) {
		if (!parameter_fits(method_parameter(method, name), value))
			return name;
	}
	for (size_t i = 0; i < N_PARAMETERS_MAX; i++) {
		const struct parameter *parameter = &method->parameters[i];

		if (parameter->name && !parameter->is_optional &&
		    !json_object_get(parameters, parameter->name))
			return parameter->name;
	}
	return NULL;
}

/* io.sidecard.Nonsense: we know the interface but not the method. */
static int reply_not_found(struct connection *connection, const char *name)
{
	const char *dot = strrchr(name, '.');
	cleanup(freep) char *interface = strndup(name, dot ? (size_t)(dot - name) : 0);

	if (!interface)
		return -ENOMEM;
	if (dot && !varlink_interface_description(interface))
		return reply_error(connection, VARLINK_SERVICE ".InterfaceNotFound", "interface",
				   interface);
	return reply_error(connection, VARLINK_SERVICE ".MethodNotFound", "method", name);
}

static int dispatch(struct connection *connection, const struct varlink_call *call)
{
	const char *fault;

	for (size_t i = 0; i < N_ELEMENTS(methods); i++) {
		if (strcmp(methods[i].name, call->method) != 0)
			continue;
		/* We never hand the connection over to another protocol. */
		fault = call->upgrade ? "upgrade" : parameters_fault(&methods[i], call->parameters);
		if (fault)
			return reply_error(connection, ERROR_INVALID_PARAMETER, "parameter", fault);
		return methods[i].run(connection, call);
	}
	return reply_not_found(connection, call->method);
}

int methods_call(struct connection *connection, const struct varlink_call *call)
{
	int r = dispatch(connection, call);

	if (call->oneway) { /* done, and nobody wants to hear of it */
		varlink_output_done(&connection->output);
		connection->stream = (struct stream){ 0 };
	}
	return r;
}
