/* D-Bus methods that change something: who asks is settled first.
 *
 * Nothing here waits for the bus. sd_bus_query_sender_creds() would: it asks the bus driver and
 * blocks until it answers, and a pid that it then reads from /proc may be another process by that
 * time. So a changing call is put aside, the driver is asked for the sender's credentials with a
 * call of its own, and what the driver noted when the sender connected decides. A sender that
 * vanished meanwhile, an answer of somebody else, an error or a missing field: refused. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "publish/publish_bus_parts.h"

/* Changing calls that wait for the driver. Each is one message of a sender that the policy let
 * through. */
#define N_CALLS_MAX    16u
#define CREDENTIALS_US 10000000u

struct bus_call {
	struct bus_call *next;
	struct bus *bus;
	sd_bus_message *call;
	sd_bus_slot *slot;
	bool reloads; /* waits for bus_reload_finished() */
};

/* Replies to a call that was put aside. */
static void reply_error(sd_bus_message *call, const char *name, const char *text)
{
	cleanup(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

	sd_bus_error_set(&error, name, text);
	sd_bus_reply_method_error(call, &error);
}

static void reply_empty(sd_bus_message *call)
{
	cleanup(sd_bus_message_unrefp) sd_bus_message *reply = NULL;

	if (sd_bus_message_new_method_return(call, &reply) >= 0)
		sd_bus_send(NULL, reply, NULL);
}

static struct bus_call *bus_call_free(struct bus_call *waiting)
{
	for (struct bus_call **at = &waiting->bus->calls; *at; at = &(*at)->next)
		if (*at == waiting) {
			*at = waiting->next;
			waiting->bus->n_calls--;
			break;
		}
	sd_bus_slot_unref(waiting->slot);
	sd_bus_message_unref(waiting->call);
	free(waiting);
	return NULL;
}

struct credentials {
	struct peer noted;
	bool has_user, has_process;
	const uint32_t *gids; /* borrowed from the message */
	size_t n_gids;
};

static int credentials_field(sd_bus_message *message, const char *key,
			     struct credentials *credentials)
{
	uint32_t number;
	size_t n_bytes;
	int r;

	if (strcmp(key, "UnixGroupIDs") == 0) {
		const void *gids;

		r = sd_bus_message_enter_container(message, SD_BUS_TYPE_VARIANT, "au");
		if (r >= 0)
			r = sd_bus_message_read_array(message, SD_BUS_TYPE_UINT32, &gids, &n_bytes);
		if (r < 0)
			return r;
		credentials->gids = gids;
		credentials->n_gids = n_bytes / sizeof(uint32_t);
		return sd_bus_message_exit_container(message);
	}
	if (strcmp(key, "UnixUserID") != 0 && strcmp(key, "ProcessID") != 0)
		return sd_bus_message_skip(message, "v");
	r = sd_bus_message_enter_container(message, SD_BUS_TYPE_VARIANT, "u");
	if (r >= 0)
		r = sd_bus_message_read_basic(message, SD_BUS_TYPE_UINT32, &number);
	if (r < 0)
		return r;
	if (key[0] == 'U') {
		credentials->noted.uid = number;
		credentials->has_user = true;
	} else {
		credentials->noted.pid = (pid_t)number;
		credentials->has_process = number > 0 && number <= INT32_MAX;
	}
	return sd_bus_message_exit_container(message);
}

/* The driver's a{sv}: D-Bus specification, GetConnectionCredentials. 0 or -errno. */
static int credentials_read(sd_bus_message *message, struct credentials *credentials)
{
	int r = sd_bus_message_enter_container(message, SD_BUS_TYPE_ARRAY, "{sv}");

	while (r >= 0) {
		const char *key;

		r = sd_bus_message_enter_container(message, SD_BUS_TYPE_DICT_ENTRY, "sv");
		if (r <= 0)
			break;
		r = sd_bus_message_read_basic(message, SD_BUS_TYPE_STRING, &key);
		if (r >= 0)
			r = credentials_field(message, key, credentials);
		if (r >= 0)
			r = sd_bus_message_exit_container(message);
	}
	if (r < 0)
		return r;
	return credentials->has_user && credentials->has_process ? 0 : -ENODATA;
}

int bus_sender_of(const struct bus *bus, sd_bus_message *answer, struct peer *ret_peer)
{
	struct credentials credentials = { .noted = { .pidfd = -1 } };
	const char *sender = sd_bus_message_get_sender(answer);
	int r;

	if (!bus->has_rules)
		return -EACCES;
	if (sd_bus_message_is_method_error(answer, NULL) || !sender ||
	    strcmp(sender, DRIVER_NAME) != 0)
		return -ESRCH;
	r = credentials_read(answer, &credentials);
	if (r < 0)
		return r;
	peer_of_bus(&bus->rules, &credentials.noted, credentials.gids, credentials.n_gids,
		    ret_peer);
	return 0;
}

/* Warnings are in the journal: a method that did what it was told says nothing. */
static void reply_reloaded(sd_bus_message *call, int result, const struct fault_list *faults)
{
	cleanup(freep) char *text = NULL;
	size_t n_text;
	FILE *file;

	if (result >= 0) {
		reply_empty(call);
		return;
	}
	file = open_memstream(&text, &n_text);
	for (size_t i = 0; file && i < faults->n_texts; i++)
		fprintf(file, "%s%s", i > 0 ? "\n" : "", faults->texts[i]);
	if (file)
		fclose(file);
	reply_error(call, "io.sidecard1.Error.ConfigurationFaulty",
		    faults->n_texts > 0 && text ? text : strerror(-result));
}

/* True where the answer comes later. */
static bool do_reload(const struct bus *bus, const struct peer *peer, sd_bus_message *call)
{
	struct fault_list faults = { 0 };
	int r = bus->handler.reload(bus->handler.userdata, peer, &faults);

	if (r != PUBLISH_LATER)
		reply_reloaded(call, r, &faults);
	fault_list_done(&faults);
	return r == PUBLISH_LATER;
}

void bus_reload_finished(struct bus *bus, int result, const struct fault_list *faults)
{
	for (struct bus_call *waiting = bus->calls, *next; waiting; waiting = next) {
		next = waiting->next;
		if (!waiting->reloads)
			continue;
		reply_reloaded(waiting->call, result, faults);
		bus_call_free(waiting);
	}
}

static int on_credentials(sd_bus_message *answer, void *userdata, sd_bus_error *ret_error)
{
	struct bus_call *waiting = userdata;
	struct peer peer = { .pidfd = -1 };

	(void)ret_error;
	if (bus_sender_of(waiting->bus, answer, &peer) < 0 || !peer.is_privileged)
		reply_error(waiting->call, SD_BUS_ERROR_ACCESS_DENIED,
			    "only root and group sidecard of this host may do this");
	else
		waiting->reloads = do_reload(waiting->bus, &peer, waiting->call);
	peer_done(&peer);
	if (!waiting->reloads)
		bus_call_free(waiting);
	return 1;
}

/* Asks the driver about @sender; the answer comes to on_credentials(). */
static int credentials_ask(struct bus_call *waiting, const char *sender)
{
	cleanup(sd_bus_message_unrefp) sd_bus_message *question = NULL;
	int r = sd_bus_message_new_method_call(waiting->bus->bus, &question, DRIVER_NAME,
					       DRIVER_PATH, DRIVER_INTERFACE,
					       "GetConnectionCredentials");

	if (r >= 0)
		r = bus_append_string(question, sender);
	if (r >= 0)
		r = sd_bus_call_async(waiting->bus->bus, &waiting->slot, question, on_credentials,
				      waiting, CREDENTIALS_US);
	return r;
}

int bus_on_reload(sd_bus_message *message, void *userdata, sd_bus_error *ret_error)
{
	struct bus *bus = userdata;
	const char *sender = sd_bus_message_get_sender(message);
	struct bus_call *waiting;
	int r;

	if (!sender)
		return sd_bus_error_set(ret_error, SD_BUS_ERROR_ACCESS_DENIED,
					"the call names no sender");
	if (bus->n_calls >= N_CALLS_MAX)
		return sd_bus_error_set(ret_error, SD_BUS_ERROR_LIMITS_EXCEEDED,
					"too many calls wait already");
	waiting = calloc(1, sizeof(*waiting));
	if (!waiting)
		return -ENOMEM;
	*waiting = (struct bus_call){ .bus = bus,
				      .call = sd_bus_message_ref(message),
				      .next = bus->calls };
	bus->calls = waiting;
	bus->n_calls++;
	r = credentials_ask(waiting, sender);
	if (r < 0) {
		bus_call_free(waiting);
		return r;
	}
	return 1; /* the answer comes later */
}

void bus_calls_done(struct bus *bus)
{
	while (bus->calls)
		bus_call_free(bus->calls);
}
