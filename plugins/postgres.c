/* PostgreSQL. A process for each connection, and numbers in its configuration for all that works
 * beside them; it looks at no quota. io_workers is there from 18 on, and a server that does not
 * know a parameter does not start, so the version is a setting. */
#include "plugin_api.h"

/* What io_workers takes. */
#define IO_WORKERS_MAX 32u
/* What max_parallel_workers takes. */
#define PARALLEL_WORKERS_MAX 1024u

static const struct sidecard_key keys[] = {
	{ "version", SIDECARD_KEY_UINT, .least = 10, .most = 99, .value = "17",
	  .help = "The server's major version: io_workers is told from 18 on." },
};

/* All processes have one comm; the title tells them apart. With cluster_name= that comes first. */
static const struct sidecard_thread_rule thread_rules[] = {
	{ .argv = "postgres: io worker*", .class = SIDECARD_THREAD_IO },
	{ .argv = "postgres: *: io worker*", .class = SIDECARD_THREAD_IO },
	{ .argv = "postgres: background writer*", .class = SIDECARD_THREAD_IO },
	{ .argv = "postgres: *: background writer*", .class = SIDECARD_THREAD_IO },
	{ .argv = "postgres: walwriter*", .class = SIDECARD_THREAD_IO },
	{ .argv = "postgres: *: walwriter*", .class = SIDECARD_THREAD_IO },
	{ .argv = "postgres: checkpointer*", .class = SIDECARD_THREAD_IO },
	{ .argv = "postgres: *: checkpointer*", .class = SIDECARD_THREAD_IO },
	{ .argv = "postgres: walsender*", .class = SIDECARD_THREAD_IO },
	{ .argv = "postgres: *: walsender*", .class = SIDECARD_THREAD_IO },
	{ .argv = "postgres: walreceiver*", .class = SIDECARD_THREAD_IO },
	{ .argv = "postgres: *: walreceiver*", .class = SIDECARD_THREAD_IO },
	{ .argv = "postgres: archiver*", .class = SIDECARD_THREAD_IO },
	{ .argv = "postgres: *: archiver*", .class = SIDECARD_THREAD_IO },
	{ .argv = "postgres: autovacuum launcher*", .class = SIDECARD_THREAD_CONTROL },
	{ .argv = "postgres: *: autovacuum launcher*", .class = SIDECARD_THREAD_CONTROL },
	/* The storage's collector of garbage. */
	{ .argv = "postgres: autovacuum worker*", .class = SIDECARD_THREAD_GC },
	{ .argv = "postgres: *: autovacuum worker*", .class = SIDECARD_THREAD_GC },
	{ .argv = "postgres: logical replication launcher*", .class = SIDECARD_THREAD_CONTROL },
	{ .argv = "postgres: *: logical replication launcher*", .class = SIDECARD_THREAD_CONTROL },
	{ .argv = "postgres: logger*", .class = SIDECARD_THREAD_CONTROL },
	{ .argv = "postgres: *: logger*", .class = SIDECARD_THREAD_CONTROL },
	{ .argv = "postgres: startup*", .class = SIDECARD_THREAD_CONTROL },
	{ .argv = "postgres: *: startup*", .class = SIDECARD_THREAD_CONTROL },
	{ .argv = "postgres: *", .class = SIDECARD_THREAD_DATA },
	/* The first process has kept its arguments. */
	{ .comm = "postgres", .birth = 1, .class = SIDECARD_THREAD_CONTROL },
};

static const struct sidecard_live lives[] = {
	{ .what = "parallel and I/O workers",
	  .change = SIDECARD_CHANGE_RELOAD,
	  .way = SIDECARD_WAY_RELOAD,
	  .interval_us = 5000000 },
	{ .what = "max_worker_processes", .change = SIDECARD_CHANGE_START_ONLY },
};

struct parameter {
	const char *name;
	uint32_t value;
};

#define PARAMETERS_MAX 4u

static uint32_t parameters_make(const struct sidecard_request *request,
				struct parameter parameters[PARAMETERS_MAX])
{
	uint32_t n = request->placement->parallelism;
	uint32_t half = n / 2 > 0 ? n / 2 : 1;
	uint32_t n_parameters = 0;

	if (n > PARALLEL_WORKERS_MAX)
		n = PARALLEL_WORKERS_MAX;
	parameters[n_parameters++] = (struct parameter){ "max_parallel_workers", n };
	/* The query's own process works too, and others want some. */
	parameters[n_parameters++] = (struct parameter){ "max_parallel_workers_per_gather",
							 half < n ? half : n };
	parameters[n_parameters++] = (struct parameter){ "max_parallel_maintenance_workers",
							 half < n ? half : n };
	if (sidecard_setting_uint(request, "version") >= 18)
		parameters[n_parameters++] = (struct parameter){
			"io_workers", n < IO_WORKERS_MAX ? n : IO_WORKERS_MAX
		};
	return n_parameters;
}

static int arguments(const struct sidecard_request *request, const struct sidecard_sink *sink)
{
	struct parameter parameters[PARAMETERS_MAX];
	uint32_t n = parameters_make(request, parameters);
	int r = 0;

	for (uint32_t i = 0; i < n && r == 0; i++) {
		r = sidecard_argument(sink, "-c");
		if (r == 0)
			r = sidecard_argument(sink, "%s=%u", parameters[i].name,
					      parameters[i].value);
	}
	return r;
}

static int fragment(const struct sidecard_request *request, const struct sidecard_sink *sink)
{
	struct parameter parameters[PARAMETERS_MAX];
	uint32_t n = parameters_make(request, parameters);
	int r = 0;

	for (uint32_t i = 0; i < n && r == 0; i++)
		r = sidecard_line(sink, "%s = %u", parameters[i].name, parameters[i].value);
	return r;
}

SIDECARD_PLUGIN_EXPORT const struct sidecard_plugin sidecard_plugin = {
	.api_version = SIDECARD_PLUGIN_API_VERSION,
	.size = sizeof(sidecard_plugin),
	.name = "postgres",
	.version = "1",
	.runtime = "PostgreSQL",
	/* A worker too many takes time from connections. */
	.rounding = SIDECARD_ROUND_DOWN,
	.modes = SIDECARD_MODE_FIXED,
	/* A worker waits for its disk now and then. */
	.overcommit_permille = 1500,
	.keys = SIDECARD_TABLE(keys),
	.thread_rules = SIDECARD_TABLE(thread_rules),
	.lives = SIDECARD_TABLE(lives),
	.arguments = arguments,
	.fragment = fragment,
};
