/* List and Watch. What a watcher has been told is one generation number; what it has yet to hear
 * follows from the workloads' own generations. So nothing is queued per watcher: a slow one hears
 * less often, never wrongly, and costs one piece of memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "plan/plan_text.h"
#include "publish/varlink_server.h"

/* Workloads a piece: enough for every machine of ordinary size in one instant, few enough (some
 * milliseconds) that a list of thousands does not keep the loop from a quota change. */
#define PIECE_N_WORKLOADS 256u
/* And bytes, since a set of scattered PUs of a large machine is some 40 KiB of text. */
#define PIECE_BYTES 65536u

ssize_t view_find(const struct publish_view *view, const char *name)
{
	const struct plan_workload *found = view && view->plan ? plan_find(view->plan, name) : NULL;

	return found ? found - view->plan->workloads : -1;
}

/* The first workload whose name is above @name. */
static size_t view_above(const struct publish_view *view, const char *name)
{
	size_t low = 0, high = view && view->plan ? view->plan->n_workloads : 0;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(view->plan->workloads[middle].conf->name, name) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const char *memory_word(enum memory_policy memory)
{
	static const char *const words[] = {
		[MEMORY_PREFERRED] = "preferred",
		[MEMORY_STRICT] = "strict",
		[MEMORY_INTERLEAVE] = "interleave",
		[MEMORY_NONE] = "none",
	};

	return words[memory];
}

json_t *placement_json(const struct publish_view *view, size_t i)
{
	const struct plan_workload *workload = &view->plan->workloads[i];
	json_t *json = plan_workload_json(workload);
	int r = json ? 0 : -1;

	if (r == 0)
		r = json_object_set_new(json, "generation",
					json_integer((json_int_t)view->generations[i]));
	if (r == 0)
		r = json_object_set_new(json, "memory",
					json_string(memory_word(workload->conf->memory)));
	if (r == 0 && workload->reason)
		r = json_object_set_new(json, "reason", json_string(workload->reason));
	if (r == 0)
		return json;
	json_decref(json);
	return NULL;
}

static void history_forget_oldest(struct history *history)
{
	history->known_since = history->departures[0].generation;
	free(history->departures[0].name);
	memmove(history->departures, history->departures + 1,
		--history->n_departures * sizeof(*history->departures));
}

/* Takes over @name. */
static void history_depart(struct history *history, char *name, uint64_t generation)
{
	struct departure *departures;

	if (history->n_departures == N_DEPARTURES_MAX)
		history_forget_oldest(history);
	departures = realloc(history->departures,
			     (history->n_departures + 1) * sizeof(*departures));
	if (!departures) {
		free(name);
		history->known_since = generation; /* watchers start afresh */
		return;
	}
	history->departures = departures;
	departures[history->n_departures++] = (struct departure){ generation, name };
}

static void names_free(char **names, size_t n_names)
{
	for (size_t i = 0; i < n_names; i++)
		free(names[i]);
	free(names);
}

/* Both lists are sorted: what is in the old one alone has gone. Names that stay move over. */
static int history_compare(struct history *history, const struct publish_view *view, char **names)
{
	size_t n_workloads = view->plan->n_workloads, old = 0;

	for (size_t i = 0; i < n_workloads; i++) {
		const char *name = view->plan->workloads[i].conf->name;

		for (; old < history->n_names && strcmp(history->names[old], name) < 0; old++)
			history_depart(history, TAKE_PTR(history->names[old]), view->generation);
		if (old < history->n_names && strcmp(history->names[old], name) == 0) {
			names[i] = TAKE_PTR(history->names[old]);
			old++;
		} else {
			names[i] = strdup(name);
		}
		if (!names[i])
			return -ENOMEM;
	}
	for (; old < history->n_names; old++)
		history_depart(history, TAKE_PTR(history->names[old]), view->generation);
	return 0;
}

void history_update(struct history *history, const struct publish_view *view)
{
	size_t n_workloads = view->plan->n_workloads;
	char **names;

	if (view->same_workloads && history->has_names && history->n_names == n_workloads)
		return;
	if (!history->has_names)
		history->known_since = view->generation;
	names = calloc(n_workloads + 1, sizeof(*names));
	if (!names || history_compare(history, view, names) < 0) {
		/* Without the names nobody can be told who goes: all start afresh, now and at the
		 * next update. */
		names_free(names, names ? n_workloads : 0);
		names = NULL;
		n_workloads = 0;
		history->known_since = view->generation;
	}
	names_free(history->names, history->n_names);
	history->names = names;
	history->n_names = n_workloads;
	history->has_names = names != NULL;
}

void history_done(struct history *history)
{
	for (size_t i = 0; i < history->n_departures; i++)
		free(history->departures[i].name);
	free(history->departures);
	names_free(history->names, history->n_names);
	*history = (struct history){ 0 };
}

static const struct publish_view *stream_view(const struct connection *connection)
{
	return *connection->sockets->view;
}

static int add_text(struct connection *connection, const char *text)
{
	return varlink_output_add(&connection->output, text, strlen(text));
}

static int add_number(struct connection *connection, const char *before, uint64_t number)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "%s%llu", before, (unsigned long long)number);

	return varlink_output_add(&connection->output, text, (size_t)n);
}

void stream_list(struct connection *connection)
{
	connection->stream = (struct stream){ .kind = STREAM_LIST };
}

void stream_watch(struct connection *connection, const char *only, uint64_t after, bool more)
{
	struct stream *stream = &connection->stream;

	*stream = (struct stream){ .kind = STREAM_WATCH, .more = more, .told = after };
	if (only) /* a valid name: at most 63 bytes */
		memcpy(stream->only, only, strlen(only));
}

/* The departures that this reply tells of; a name that came back is no departure. */
static int add_gone(struct connection *connection)
{
	const struct history *history = &connection->sockets->history;
	const struct publish_view *view = stream_view(connection);
	struct stream *stream = &connection->stream;
	const char *comma = "";
	int r = add_text(connection, ",\"gone\":[");

	for (size_t i = 0; r == 0 && !stream->full && i < history->n_departures; i++) {
		const struct departure *departure = &history->departures[i];

		if (departure->generation <= stream->after ||
		    view_find(view, departure->name) >= 0 ||
		    (stream->only[0] && strcmp(stream->only, departure->name) != 0))
			continue;
		/* Names hold nothing that JSON would escape: name_is_valid(). */
		r = add_text(connection, comma);
		if (r == 0)
			r = add_text(connection, "\"");
		if (r == 0)
			r = add_text(connection, departure->name);
		if (r == 0)
			r = add_text(connection, "\"");
		comma = ",";
	}
	return r == 0 ? add_text(connection, "]") : r;
}

static int stream_begin_watch_reply(struct connection *connection)
{
	struct stream *stream = &connection->stream;
	int r = add_number(connection, "{\"parameters\":{\"generation\":", stream->generation);

	if (r == 0)
		r = add_number(connection, ",\"previous\":", stream->after);
	if (r == 0)
		r = add_text(connection, stream->full ? ",\"full\":true" : ",\"full\":false");
	if (r == 0)
		r = add_gone(connection);
	return r == 0 ? add_text(connection, ",\"changed\":[") : r;
}

static int stream_begin_reply(struct connection *connection)
{
	const struct publish_view *view = stream_view(connection);
	struct stream *stream = &connection->stream;

	stream->in_reply = true;
	stream->has_elements = false;
	stream->name[0] = '\0';
	stream->generation = view ? view->generation : 0;
	stream->after = stream->told;
	/* "Nothing yet", before we can remember, or of another life whose numbers ran ahead of
	 * ours. */
	stream->full = stream->kind == STREAM_LIST || stream->told == 0 ||
		       stream->told < connection->sockets->history.known_since ||
		       stream->told > stream->generation;
	if (stream->kind == STREAM_LIST)
		return add_text(connection, "{\"parameters\":{\"workloads\":[");
	return stream_begin_watch_reply(connection);
}

static int stream_end_reply(struct connection *connection)
{
	struct stream *stream = &connection->stream;
	int r = add_text(connection, "]");

	if (r == 0 && stream->kind == STREAM_LIST)
		r = add_number(connection, ",\"generation\":", stream->generation);
	if (r == 0)
		r = add_text(connection, "}");
	if (r == 0 && stream->more)
		r = add_text(connection, ",\"continues\":true");
	if (r == 0)
		r = varlink_output_add(&connection->output, "}", 2); /* and its NUL */
	if (r < 0)
		return r;
	stream->in_reply = false;
	stream->told = stream->generation;
	if (!stream->more)
		stream->kind = STREAM_NONE;
	return 0;
}

static bool stream_wants(const struct stream *stream, const struct publish_view *view, size_t i)
{
	if (!stream->full && view->generations[i] <= stream->after)
		return false;
	return !stream->only[0] || strcmp(stream->only, view->plan->workloads[i].conf->name) == 0;
}

static int add_element(struct connection *connection, const struct publish_view *view, size_t i)
{
	struct stream *stream = &connection->stream;
	const char *name = view->plan->workloads[i].conf->name;
	json_t *json = placement_json(view, i);
	int r = json && stream->has_elements ? add_text(connection, ",") : 0;

	if (!json)
		return -ENOMEM;
	if (r == 0)
		r = varlink_output_add_json(&connection->output, json);
	json_decref(json);
	if (r < 0)
		return r;
	stream->has_elements = true;
	snprintf(stream->name, sizeof(stream->name), "%s", name);
	return 0;
}

/* The indices that this reply may still speak of. */
static size_t stream_range(const struct stream *stream, const struct publish_view *view,
			   size_t *ret_end)
{
	ssize_t only;

	*ret_end = view && view->plan ? view->plan->n_workloads : 0;
	if (!stream->only[0])
		return view_above(view, stream->name);
	only = stream->has_elements ? -1 : view_find(view, stream->only);
	if (only < 0)
		return *ret_end;
	*ret_end = (size_t)only + 1;
	return (size_t)only;
}

/* Adds what is still to be told, a piece at most. 1 where that was all, 0 where there is more,
 * -ENOMEM. */
static int stream_add_elements(struct connection *connection)
{
	struct stream *stream = &connection->stream;
	const struct publish_view *view = stream_view(connection);
	size_t end, n_added = 0;

	for (size_t i = stream_range(stream, view, &end); i < end; i++) {
		int r;

		if (!stream_wants(stream, view, i))
			continue;
		if (n_added == PIECE_N_WORKLOADS ||
		    varlink_output_n_bytes(&connection->output) > PIECE_BYTES)
			return 0;
		r = add_element(connection, view, i);
		if (r < 0)
			return r;
		n_added++;
	}
	return 1;
}

static bool stream_may_share(const struct connection *connection)
{
	const struct stream *stream = &connection->stream;

	return connection->sockets->shared.is_open && stream->kind == STREAM_WATCH &&
	       !stream->only[0] && !stream->in_reply;
}

/* The reply of another watcher that was told as much as this one. */
static int stream_copy_reply(struct connection *connection)
{
	const struct shared_reply *shared = &connection->sockets->shared;
	int r = varlink_output_add(&connection->output, shared->text.bytes + shared->text.begin,
				   varlink_output_n_bytes(&shared->text));

	connection->stream.generation = stream_view(connection)->generation;
	return r < 0 ? r : stream_end_reply(connection);
}

/* Keeps the reply for the next one. Where there is no memory for that, it is made again. */
static void stream_share_reply(struct connection *connection)
{
	struct shared_reply *shared = &connection->sockets->shared;
	const struct varlink_output *output = &connection->output;

	varlink_output_done(&shared->text);
	shared->after = connection->stream.after;
	shared->is_made = varlink_output_add(&shared->text, output->bytes + output->begin,
					     varlink_output_n_bytes(output)) == 0;
}

int stream_continue(struct connection *connection)
{
	const struct shared_reply *shared = &connection->sockets->shared;
	struct stream *stream = &connection->stream;
	bool may_share = stream_may_share(connection);
	int r = 0;

	if (may_share && shared->is_made && shared->after == stream->told)
		return stream_copy_reply(connection);
	if (!stream->in_reply)
		r = stream_begin_reply(connection);
	if (r == 0)
		r = stream_add_elements(connection);
	if (r <= 0)
		return r;
	if (may_share)
		stream_share_reply(connection);
	return stream_end_reply(connection);
}

void stream_share(struct sockets *sockets, bool is_open)
{
	varlink_output_done(&sockets->shared.text);
	sockets->shared = (struct shared_reply){ .is_open = is_open };
}

static bool only_is_new(const struct connection *connection, const struct publish_view *view)
{
	const struct stream *stream = &connection->stream;
	const struct history *history = &connection->sockets->history;
	ssize_t i = view_find(view, stream->only);

	if (i >= 0)
		return view->generations[i] > stream->told;
	for (size_t j = 0; j < history->n_departures; j++)
		if (history->departures[j].generation > stream->told &&
		    strcmp(history->departures[j].name, stream->only) == 0)
			return true;
	return false;
}

bool stream_is_due(const struct connection *connection)
{
	const struct stream *stream = &connection->stream;
	const struct publish_view *view = stream_view(connection);

	if (stream->kind == STREAM_NONE)
		return false;
	if (stream->kind == STREAM_LIST || stream->in_reply)
		return true;
	if (!view || view->generation == 0)
		return false; /* nothing is published yet */
	if (stream->told == 0 || stream->told > view->generation ||
	    stream->told < connection->sockets->history.known_since)
		return true;
	return stream->only[0] ? only_is_new(connection, view) : view->generation > stream->told;
}
