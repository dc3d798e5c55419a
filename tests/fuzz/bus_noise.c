/* Calls everything that io.sidecard1 has, and what it has not, with arguments of all types: each
 * call must be answered, by whatever error. bus_noise ADDRESS SEED N_CALLS; the seed replays the
 * calls. Exit 0, or 1 where one was not answered. */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "base/cleanup.h"

#define NAME	   "io.sidecard1"
#define TIMEOUT_US (20 * UINT64_C(1000000))
#define TEXT_MAX   70000u

struct noise {
	sd_bus *bus;
	uint64_t seed;
	char *text; /* TEXT_MAX + 1 */
	unsigned n_done, n_refused, n_lost;
};

static uint32_t any(struct noise *noise, uint32_t below)
{
	noise->seed = noise->seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (uint32_t)(noise->seed >> 33) % below;
}

static const char *const paths[] = {
	"/",
	"/io",
	"/io/sidecard1",
	"/io/sidecard1/workload",
	"/io/sidecard1/workload/proxy",
	"/io/sidecard1/workload/agent_2d1",
	"/io/sidecard1/workload/_2e_2e",
	"/io/sidecard1/pool/default",
	"/io/sidecard1/node/0",
	"/io/sidecard1/node/99999999999999999999",
	"/io/sidecard1/node/_",
	"/org/freedesktop/DBus/Local",
};

static const char *const interfaces[] = {
	"io.sidecard1.Manager",
	"io.sidecard1.Workload",
	"io.sidecard1.Pool",
	"io.sidecard1.Node",
	"org.freedesktop.DBus.Properties",
	"org.freedesktop.DBus.ObjectManager",
	"org.freedesktop.DBus.Introspectable",
	"org.freedesktop.DBus.Peer",
	"org.example.Nothing",
};

static const char *const members[] = {
	"Reload", "GetWorkload", "ListWorkloads", "Explain",	       "Get",	       "GetAll",
	"Set",	  "Introspect",	 "Ping",	  "GetManagedObjects", "GetMachineId", "Nothing",
};

/* Texts that somebody may stumble over; else random ones. */
static const char *text_any(struct noise *noise)
{
	static const char *const texts[] = {
		"",
		"proxy",
		"..",
		"../../etc/passwd",
		"%s%n%x",
		"a\nb",
		"a\tb\033[2J",
		"\xc3\xa4",
		"\xf0\x9f\x9a\x8d",
		"CPUs",
		"-1",
		"io.sidecard1.Manager",
		"Generation",
		"\"$(id)\"",
		"{\"a\":1}",
	};
	uint32_t n = any(noise, 4) ? any(noise, 40) : any(noise, TEXT_MAX);

	if (any(noise, 2))
		return texts[any(noise, N_ELEMENTS(texts))];
	for (uint32_t i = 0; i < n; i++)
		noise->text[i] = (char)(1 + any(noise, 126));
	noise->text[n] = '\0';
	return noise->text;
}

static int append_any(struct noise *noise, sd_bus_message *call);

static int append_container(struct noise *noise, sd_bus_message *call)
{
	static const struct {
		char type;
		const char *contents;
		char basic;
	} rows[] = { { 'v', "s", 's' }, { 'a', "s", 's' },  { 'v', "t", 't' },
		     { 'a', "y", 'y' }, { '(', "ss", 's' }, { 'a', "u", 'u' } };
	uint32_t i = any(noise, N_ELEMENTS(rows));
	uint32_t n = rows[i].type == 'a' ? any(noise, 50) : rows[i].type == '(' ? 2 : 1;
	uint64_t number = noise->seed;
	int r = sd_bus_message_open_container(call, rows[i].type == '(' ? 'r' : rows[i].type,
					      rows[i].contents);

	for (uint32_t k = 0; r >= 0 && k < n; k++)
		r = rows[i].basic == 's'
			    ? sd_bus_message_append_basic(call, 's', text_any(noise))
			    : sd_bus_message_append_basic(call, rows[i].basic, &number);
	return r < 0 ? r : sd_bus_message_close_container(call);
}

static int append_any(struct noise *noise, sd_bus_message *call)
{
	static const char numbers[] = "ynqiuxtd";
	uint64_t number = any(noise, 2) ? noise->seed : 0;
	int flag = 1;

	switch (any(noise, 6)) {
	case 0:
		return append_container(noise, call);
	case 1:
		return sd_bus_message_append_basic(call, numbers[any(noise, 8)], &number);
	case 2:
		return sd_bus_message_append_basic(call, 'b', &flag);
	case 3:
		return sd_bus_message_append_basic(call, 'o', paths[any(noise, N_ELEMENTS(paths))]);
	default:
		return sd_bus_message_append_basic(call, 's', text_any(noise));
	}
}

/* What there is, as it is meant to be called but for what its texts say. */
static const struct {
	const char *path, *interface, *member;
	uint32_t n_texts;
} rightful[] = {
	{ "/io/sidecard1", "io.sidecard1.Manager", "GetWorkload", 1 },
	{ "/io/sidecard1", "io.sidecard1.Manager", "Explain", 1 },
	{ "/io/sidecard1", "io.sidecard1.Manager", "ListWorkloads", 0 },
	{ "/io/sidecard1", "io.sidecard1.Manager", "Reload", 0 },
	{ "/io/sidecard1", "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", 0 },
	{ "/io/sidecard1", "org.freedesktop.DBus.Properties", "Get", 2 },
	{ "/io/sidecard1/workload/proxy", "org.freedesktop.DBus.Properties", "GetAll", 1 },
	{ "/io/sidecard1/workload", "org.freedesktop.DBus.Introspectable", "Introspect", 0 },
};

static void one_call(struct noise *noise)
{
	bool is_rightful = any(noise, 2);
	uint32_t which = any(noise, N_ELEMENTS(rightful)), n = any(noise, 4);
	const char *path = paths[any(noise, N_ELEMENTS(paths) - 1)];
	const char *interface = interfaces[any(noise, N_ELEMENTS(interfaces))];
	const char *member = members[any(noise, N_ELEMENTS(members))];
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *call = NULL, *reply = NULL;
	int r;

	if (is_rightful) {
		path = rightful[which].path;
		interface = rightful[which].interface;
		member = rightful[which].member;
		n = rightful[which].n_texts;
	}
	r = sd_bus_message_new_method_call(noise->bus, &call, NAME, path, interface, member);
	for (uint32_t i = 0; r >= 0 && i < n; i++)
		r = is_rightful ? sd_bus_message_append_basic(call, 's', text_any(noise))
				: append_any(noise, call);
	if (r < 0) {
		/* A text that D-Bus itself does not carry. */
		sd_bus_message_unref(call);
		return;
	}
	r = sd_bus_call(noise->bus, call, TIMEOUT_US, &error, &reply);
	if (r >= 0) {
		noise->n_done++;
	} else if (r == -ETIMEDOUT || r == -ECONNRESET || r == -ENOTCONN ||
		   sd_bus_error_has_name(&error, SD_BUS_ERROR_NO_REPLY) ||
		   sd_bus_error_has_name(&error, SD_BUS_ERROR_SERVICE_UNKNOWN)) {
		printf("%s %s.%s: not answered: %s\n", path, interface, member, strerror(-r));
		noise->n_lost++;
	} else {
		noise->n_refused++;
	}
	sd_bus_error_free(&error);
	sd_bus_message_unref(reply);
	sd_bus_message_unref(call);
}

int main(int argc, char **argv)
{
	struct noise noise = { 0 };
	unsigned long n;

	if (argc != 4) {
		fprintf(stderr, "usage: bus_noise ADDRESS SEED N_CALLS\n");
		return 2;
	}
	noise.seed = strtoull(argv[2], NULL, 10);
	noise.text = malloc(TEXT_MAX + 1);
	if (!noise.text)
		return 2;
	n = strtoul(argv[3], NULL, 10);
	if (sd_bus_new(&noise.bus) < 0 || sd_bus_set_address(noise.bus, argv[1]) < 0 ||
	    sd_bus_set_bus_client(noise.bus, 1) < 0 || sd_bus_start(noise.bus) < 0) {
		fprintf(stderr, "cannot connect to '%s'\n", argv[1]);
		return 2;
	}
	for (unsigned long i = 0; i < n && noise.n_lost == 0; i++)
		one_call(&noise);
	printf("seed %s: %u answered, %u refused, %u lost\n", argv[2], noise.n_done,
	       noise.n_refused, noise.n_lost);
	sd_bus_flush_close_unref(noise.bus);
	free(noise.text);
	return noise.n_lost > 0 || noise.n_done == 0;
}
