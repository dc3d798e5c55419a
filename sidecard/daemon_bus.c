/* The connection to the system bus: it may come late, go, and come back, as often as it likes. With
 * it go units and D-Bus, and nothing else: numbers, pages, the socket and files know nothing of it.
 * What PID 1 has told is kept while it is gone. */
#include "daemon_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/events.h"
#include "base/log.h"

/* A bus that restarts is back within a second; one that is not there costs two wake-ups a minute.
 */
#define RETRY_FIRST_US (100 * UINT64_C(1000))
#define RETRY_LAST_US  (30 * UINT64_C(1000000))

/* Signals that sd-bus makes itself: sd_bus_set_connected_signal(3) and
 * sd_bus_set_exit_on_disconnect(3). */
#define LOCAL_NAME "org.freedesktop.DBus.Local"
#define LOCAL_PATH "/org/freedesktop/DBus/Local"

static int on_bus_retry(sd_event_source *source, uint64_t usec, void *userdata);

static void bus_retry_later(struct daemon *daemon)
{
	daemon->bus_retry_us = daemon->bus_retry_us ? daemon->bus_retry_us * 2 : RETRY_FIRST_US;
	if (daemon->bus_retry_us > RETRY_LAST_US)
		daemon->bus_retry_us = RETRY_LAST_US;
	if (daemon_timer_arm(daemon, &daemon->bus_timer, daemon->bus_retry_us, on_bus_retry) < 0)
		log_line(LOG_ERR, "no timer to look for the system bus again");
}

/* Everybody who needs the bus gets this one. At the start they take it as they are opened. */
static void bus_give(struct daemon *daemon)
{
	struct fault fault;

	if (daemon->world && world_set_bus(daemon->world, daemon->bus) < 0)
		log_line(LOG_ERR, "cannot ask PID 1 again, units are known by their directories "
				  "only");
	if (daemon->publish && publish_set_bus(daemon->publish, daemon->bus, &fault) < 0)
		event_degraded(fault.text);
	daemon->bus_is_given = true;
}

static int on_bus_connected(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct daemon *daemon = userdata;

	(void)message;
	(void)error;
	daemon->bus_retry_us = 0;
	if (daemon->bus_was_lost)
		log_line(LOG_NOTICE, "the system bus is there");
	daemon->bus_was_lost = false;
	if (!daemon->bus_is_given)
		bus_give(daemon);
	/* What could not be asked of PID 1 meanwhile. Drift is looked for as well: whoever wrote
	 * was not heard. */
	if (daemon->started) {
		helds_forget(daemon);
		round_want(daemon);
	}
	return 0;
}

/* The connection itself is in use by the caller: everything else of it happens in the timer. */
static int on_bus_lost(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct daemon *daemon = userdata;

	(void)message;
	(void)error;
	if (!daemon->bus_was_lost)
		event_degraded("the system bus was lost: units are not placed and D-Bus is not "
			       "served, retrying");
	daemon->bus_was_lost = true;
	bus_retry_later(daemon);
	return 0;
}

static int local_match(struct daemon *daemon, sd_bus *bus, const char *member,
		       sd_bus_message_handler_t handler)
{
	return sd_bus_match_signal(bus, NULL, LOCAL_NAME, LOCAL_PATH, LOCAL_NAME, member, handler,
				   daemon);
}

enum bus_wait { BUS_MUST_LISTEN, BUS_MAY_LISTEN_LATER };

/* Returns before the bus has answered anything. 0 or -errno. */
static int bus_connect(struct daemon *daemon, enum bus_wait wait)
{
	const char *address = daemon->options->bus_address;
	sd_bus *bus = NULL;
	int r = sd_bus_new(&bus);

	if (r >= 0)
		r = sd_bus_set_address(bus,
				       address ? address : "unix:path=/run/dbus/system_bus_socket");
	if (r >= 0)
		r = sd_bus_set_bus_client(bus, true);
	if (r >= 0)
		r = sd_bus_set_connected_signal(bus, true);
	/* inotify(7) on the socket's directory: nobody wakes up for a bus that never comes. */
	if (r >= 0)
		r = sd_bus_set_watch_bind(bus, wait == BUS_MAY_LISTEN_LATER);
	if (r >= 0)
		r = local_match(daemon, bus, "Connected", on_bus_connected);
	if (r >= 0)
		r = local_match(daemon, bus, "Disconnected", on_bus_lost);
	if (r >= 0)
		r = sd_bus_start(bus);
	if (r >= 0)
		r = sd_bus_attach_event(bus, daemon->event, SD_EVENT_PRIORITY_NORMAL);
	if (r < 0) {
		sd_bus_close_unref(bus);
		return r;
	}
	sd_bus_close_unref(daemon->bus);
	daemon->bus = bus;
	return 0;
}

/* One that listens is given to everybody at once, so that their questions are on the way; another
 * one once it does. 0, or -errno: not even that, another time. */
static int bus_try(struct daemon *daemon)
{
	int r = bus_connect(daemon, BUS_MUST_LISTEN), q;

	daemon->bus_is_given = false;
	if (r == 0) {
		bus_give(daemon);
		return 0;
	}
	q = bus_connect(daemon, BUS_MAY_LISTEN_LATER);
	if (q < 0)
		bus_retry_later(daemon);
	return r;
}

static int on_bus_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)source;
	(void)usec;
	bus_try(userdata);
	return 0;
}

void bus_open_first(struct daemon *daemon)
{
	int r;

	if (!daemon->options->use_bus)
		return;
	r = bus_try(daemon);
	if (r == 0)
		return;
	daemon->bus_was_lost = true;
	log_line(LOG_WARNING,
		 "no system bus (%s): units are not placed and D-Bus is not served until there is "
		 "one",
		 strerror(-r));
}

sd_bus *bus_of(const struct daemon *daemon)
{
	return daemon->bus_is_given ? daemon->bus : NULL;
}
