/* Any bytes from a client: each message is answered with whole replies or refused, however the
 * bytes were cut, and nothing that a message says lets it be more than the process that the kernel
 * named. The first byte is the size of the pieces. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "publish/varlink_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data);

static void must(bool condition)
{
	if (!condition)
		__builtin_trap();
}

static int on_register(void *userdata, const struct peer *peer, const char *workload,
		       uint64_t lease_us, struct fault *fault)
{
	(void)lease_us;
	must(peer == userdata && name_is_valid(workload));
	return fault_set(fault, -EACCES, "no");
}

static int on_heartbeat(void *userdata, const struct peer *peer, struct fault *fault)
{
	(void)fault;
	must(peer == userdata);
	return 0;
}

static int on_reload(void *userdata, const struct peer *peer, struct fault_list *faults)
{
	(void)userdata;
	(void)peer;
	(void)faults;
	must(false); /* this peer is not privileged, whatever it sends */
	return 0;
}

static char *on_explain(void *userdata, const char *workload)
{
	(void)userdata;
	must(name_is_valid(workload));
	return strdup("one\n\ntwo");
}

/* Two workloads, generation 5. */
struct world {
	struct plan_workload workloads[2];
	uint64_t generations[2];
	struct plan plan;
	struct publish_view view;
	const struct publish_view *current;
	struct sockets sockets;
	struct connection connection;
};

static void world_open(struct world *world)
{
	static const char *const names[] = { "agent", "proxy" };

	*world = (struct world){ .generations = { 3, 5 } };
	for (size_t i = 0; i < 2; i++) {
		struct workload *conf = workload_new(names[i]);

		must(conf != NULL);
		world->workloads[i] = (struct plan_workload){ .conf = conf,
							      .placed = true,
							      .parallelism = { 1, 2, 2 } };
	}
	world->plan = (struct plan){ .workloads = world->workloads, .n_workloads = 2 };
	world->view = (struct publish_view){ .plan = &world->plan,
					     .generation = 5,
					     .generations = world->generations };
	world->current = &world->view;
	world->sockets = (struct sockets){
		.handler = { &world->connection.peer, on_register, on_heartbeat, on_heartbeat,
			     on_reload, on_explain },
		.view = &world->current,
		.runtime_dir = (char *)"/run/sidecard",
	};
	world->sockets.history.known_since = 3;
	world->connection = (struct connection){ .sockets = &world->sockets };
	/* Nobody special, and its process is not known. */
	world->connection.peer = (struct peer){ .uid = 1, .pid = 1, .start_time = 1, .pidfd = -1 };
}

static void world_done(struct world *world)
{
	for (size_t i = 0; i < 2; i++)
		workload_free((struct workload *)world->workloads[i].conf);
	varlink_input_done(&world->connection.input);
	varlink_output_done(&world->connection.output);
}

/* Whole replies and nothing else. */
static void check_output(struct varlink_output *output)
{
	while (varlink_output_n_bytes(output) > 0) {
		const char *text = output->bytes + output->begin;
		const char *end = memchr(text, '\0', varlink_output_n_bytes(output));
		json_t *reply;

		must(end != NULL);
		reply = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
		must(json_is_object(reply) && json_is_object(json_object_get(reply, "parameters")));
		json_decref(reply);
		varlink_output_sent(output, (size_t)(end - text) + 1);
	}
}

static bool answer(struct connection *connection, const char *text, size_t n_text)
{
	struct varlink_call call = { 0 };
	struct fault fault = { 0 };
	int r = varlink_call_parse(text, n_text, &call, &fault);

	if (r < 0) {
		must(r == -EBADMSG && fault.text[0] && !call.method && !call.parameters);
		return false;
	}
	must(call.method && json_is_object(call.parameters) && !(call.more && call.oneway));
	must(methods_call(connection, &call) == 0);
	must(!call.oneway || (varlink_output_n_bytes(&connection->output) == 0 &&
			      connection->stream.kind == STREAM_NONE));
	while (stream_is_due(connection))
		must(stream_continue(connection) == 0);
	varlink_call_done(&call);
	check_output(&connection->output);
	connection->stream = (struct stream){ 0 }; /* as if what it watches had ended */
	return true;
}

static void feed(struct connection *connection, const uint8_t *data, size_t n_data, size_t n_piece)
{
	size_t at = 0;

	while (at < n_data) {
		const char *text;
		size_t size, n_text, n;
		char *room;

		if (varlink_input_reserve(&connection->input, &room, &size) < 0)
			return; /* too long */
		n = n_data - at < n_piece ? n_data - at : n_piece;
		n = n < size ? n : size;
		memcpy(room, data + at, n);
		varlink_input_received(&connection->input, n);
		at += n;
		while (varlink_input_next(&connection->input, &text, &n_text)) {
			must(n_text <= VARLINK_MESSAGE_MAX && text[n_text] == '\0');
			if (!answer(connection, text, n_text))
				return;
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data)
{
	struct world world;

	if (n_data < 1)
		return 0;
	world_open(&world);
	feed(&world.connection, data + 1, n_data - 1, data[0] ? data[0] : 65536);
	world_done(&world);
	return 0;
}
