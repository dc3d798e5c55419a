/* What each user's clients may take of the loop by way of D-Bus (account.h). A call names its
 * sender, not the user: the driver is asked once for each connection, and until it has answered a
 * few of its calls are served all the same. Nothing here waits for the bus. Calls of a user in debt
 * are refused, since unlike a connection of our own a bus cannot be left unread. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "publish/account.h"
#include "publish/publish_bus_parts.h"

/* Connections whose user is remembered; a bus daemon lets a user have 256. Another one beyond takes
 * the place of one of them, and costs the driver a question more. */
#define N_SENDERS_MAX 512u
/* Of which so many may be unknown at a time, and be served that often until they are known. */
#define N_UNKNOWN_MAX	    64u
#define N_CALLS_UNKNOWN_MAX 32u
#define QUESTION_US	    10000000u

/* What a call costs, roughly: the time itself is spent in sd-bus, where nobody measures. */
#define CALL_US		100u
#define EXPLAIN_US	2000u
#define PER_WORKLOAD_US 20u

struct sender {
	struct bus_limits *limits;
	char *name; /* unique, so never another connection's on this bus */
	uint32_t uid;
	bool is_known, has_account;
	unsigned n_calls; /* while it is not known */
	uint64_t owed_us;
	sd_bus_slot *slot;
};

struct bus_limits {
	struct bus *bus;
	struct accounts accounts;
	struct sender *senders[N_SENDERS_MAX]; /* the first n_senders */
	size_t n_senders, n_unknown, next;     /* @next: whose place is taken then */
};

static struct sender *sender_free(struct sender *sender)
{
	sd_bus_slot_unref(sender->slot);
	free(sender->name);
	free(sender);
	return NULL;
}

static uint64_t now_us(const struct bus_limits *limits)
{
	const struct sys *sys = limits->bus->rules.sys;

	return sys->now_us(sys);
}

static int on_sender(sd_bus_message *answer, void *userdata, sd_bus_error *ret_error)
{
	struct sender *sender = userdata;
	struct bus_limits *limits = sender->limits;
	struct peer peer = { .pidfd = -1 };

	(void)ret_error;
	sender->is_known = true;
	limits->n_unknown--;
	/* Whom the driver does not know shares an account with all of those. */
	sender->uid = UINT32_MAX;
	sender->has_account = true;
	if (bus_sender_of(limits->bus, answer, &peer) == 0) {
		sender->uid = peer.uid;
		sender->has_account = !peer.is_privileged;
		peer_done(&peer);
	}
	if (sender->has_account)
		accounts_charge(&limits->accounts, sender->uid, now_us(limits), sender->owed_us);
	return 1;
}

static struct sender *sender_new(struct bus_limits *limits, const char *name)
{
	struct sender *sender = calloc(1, sizeof(*sender));
	cleanup(sd_bus_message_unrefp) sd_bus_message *question = NULL;
	int r = -ENOMEM;

	if (!sender)
		return NULL;
	*sender = (struct sender){ .limits = limits, .name = strdup(name) };
	if (sender->name)
		r = sd_bus_message_new_method_call(limits->bus->bus, &question, DRIVER_NAME,
						   DRIVER_PATH, DRIVER_INTERFACE,
						   "GetConnectionCredentials");
	if (r >= 0)
		r = bus_append_string(question, name);
	if (r >= 0)
		r = sd_bus_call_async(limits->bus->bus, &sender->slot, question, on_sender, sender,
				      QUESTION_US);
	if (r < 0)
		return sender_free(sender);
	limits->n_unknown++;
	return sender;
}

/* Finds or makes; NULL where too many are unknown, or there is no memory. */
static struct sender *sender_of(struct bus_limits *limits, const char *name)
{
	struct sender *sender;

	for (size_t i = 0; i < limits->n_senders; i++)
		if (strcmp(limits->senders[i]->name, name) == 0)
			return limits->senders[i];
	if (limits->n_unknown >= N_UNKNOWN_MAX)
		return NULL;
	sender = sender_new(limits, name);
	if (!sender)
		return NULL;
	if (limits->n_senders < N_SENDERS_MAX) {
		limits->senders[limits->n_senders++] = sender;
		return sender;
	}
	/* Never one that waits for an answer: what it owes would be forgotten. */
	while (!limits->senders[limits->next]->is_known)
		limits->next = (limits->next + 1) % N_SENDERS_MAX;
	sender_free(limits->senders[limits->next]);
	limits->senders[limits->next] = sender;
	limits->next = (limits->next + 1) % N_SENDERS_MAX;
	return sender;
}

static uint64_t cost_of(const struct bus_limits *limits, sd_bus_message *call)
{
	const struct publish_view *view = bus_view(limits->bus);
	const char *member = sd_bus_message_get_member(call);
	uint64_t n = view ? view->plan->n_workloads : 0;

	if (member && strcmp(member, "Explain") == 0)
		return EXPLAIN_US;
	if (member && (strcmp(member, "GetManagedObjects") == 0 ||
		       strcmp(member, "ListWorkloads") == 0 || strcmp(member, "Introspect") == 0))
		return CALL_US + n * PER_WORKLOAD_US;
	return CALL_US;
}

static int refuse(sd_bus_message *call, const char *text)
{
	cleanup(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

	sd_bus_error_set(&error, SD_BUS_ERROR_LIMITS_EXCEEDED, text);
	sd_bus_reply_method_error(call, &error);
	return 1;
}

/* Every message that comes in, before sd-bus looks for an object. */
static int on_message(sd_bus_message *message, void *userdata, sd_bus_error *ret_error)
{
	struct bus_limits *limits = userdata;
	const char *name = sd_bus_message_get_sender(message);
	struct sender *sender;
	uint64_t cost_us;
	uint8_t type;

	(void)ret_error;
	if (!limits->bus->has_rules || sd_bus_message_get_type(message, &type) < 0 ||
	    type != SD_BUS_MESSAGE_METHOD_CALL || !name)
		return 0;
	sender = sender_of(limits, name);
	if (!sender)
		return refuse(message, "too many callers at a time");
	cost_us = cost_of(limits, message);
	if (!sender->is_known) {
		if (sender->n_calls++ >= N_CALLS_UNKNOWN_MAX)
			return refuse(message, "too many calls before the bus told who calls");
		sender->owed_us += cost_us;
		return 0;
	}
	if (!sender->has_account)
		return 0;
	if (accounts_wait_us(&limits->accounts, sender->uid, now_us(limits)) > 0)
		return refuse(message, "too many calls of this user, try again in a moment");
	accounts_charge(&limits->accounts, sender->uid, now_us(limits), cost_us);
	return 0;
}

int bus_limits_open(struct bus *bus)
{
	struct bus_limits *limits = calloc(1, sizeof(*limits));

	if (!limits)
		return -ENOMEM;
	limits->bus = bus;
	bus->limits = limits;
	return sd_bus_add_filter(bus->bus, bus_slot(bus), on_message, limits);
}

void bus_limits_done(struct bus *bus)
{
	for (size_t i = 0; bus->limits && i < bus->limits->n_senders; i++)
		sender_free(bus->limits->senders[i]);
	free(bus->limits);
	bus->limits = NULL;
}
