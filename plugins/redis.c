/* Redis and Valkey. io-threads counts the main thread too and one thread is left to what works
 * beside them (files, freeing, the allocator). Main and I/O threads share one list of PUs. Redis
 * refuses a change at run time; Valkey 9 takes it live. */
#include "plugin_api.h"

/* IO_THREADS_MAX_NUM of both. */
#define IO_THREADS_MAX 128u

static const struct sidecard_key keys[] = {
	{ "server", SIDECARD_KEY_WORD, .words = "redis valkey", .value = "redis",
	  .help = "Which of the two it is: only Valkey, from 9 on, changes live." },
	{ "cpulists", SIDECARD_KEY_BOOL, .value = "no",
	  .help = "From 2 PUs on, give the last one to the work behind the scenes (bio-cpulist, "
		  "aof-rewrite-cpulist, bgsave-cpulist), and the others to the server." },
	{ "memory-percent", SIDECARD_KEY_UINT, .most = 95, .value = "0",
	  .help = "maxmemory as a part of the memory limit, where there is one. 0: none told." },
};

static const struct sidecard_thread_rule thread_rules[] = {
	{ .comm = "redis-server", .class = SIDECARD_THREAD_DATA },
	{ .comm = "valkey-server", .class = SIDECARD_THREAD_DATA },
	{ .comm = "io_thd_*", .class = SIDECARD_THREAD_DATA },
	{ .comm = "bio_*", .class = SIDECARD_THREAD_CONTROL },
	{ .comm = "jemalloc_bg_thd", .class = SIDECARD_THREAD_CONTROL },
};

static const struct sidecard_live lives[] = {
	{ .what = "io-threads",
	  .change = SIDECARD_CHANGE_LIVE,
	  .way = SIDECARD_WAY_COMMAND,
	  .interval_us = 1000000,
	  .note = "Valkey 9 and later; Redis sees it at its next start" },
	{ .what = "lists of PUs", .change = SIDECARD_CHANGE_START_ONLY },
};

static uint32_t io_threads(const struct sidecard_placement *placement)
{
	uint32_t n = placement->parallelism > 1 ? placement->parallelism - 1 : 1;

	return n < IO_THREADS_MAX ? n : IO_THREADS_MAX;
}

struct directive {
	const char *name;
	char value[1024];
};

/* All but the last PU, and the last one, which is also the one that is nobody's neighbour. False
 * where they are not known or too many. */
static bool cpulists_make(const struct sidecard_placement *placement, struct directive *server,
			  struct directive *others)
{
	struct sidecard_text text = SIDECARD_TEXT(server->value);
	const struct sidecard_pu *pu;

	if (placement->pus.n_rows < 2)
		return false;
	for (uint32_t i = 0; i + 1 < placement->pus.n_rows; i++) {
		pu = sidecard_row(&placement->pus, i);
		sidecard_text_add(&text, "%s%u", i > 0 ? "," : "", pu->pu);
	}
	pu = sidecard_row(&placement->pus, placement->pus.n_rows - 1);
	snprintf(others->value, sizeof(others->value), "%u", pu->pu);
	return !text.full;
}

#define DIRECTIVES_MAX 6u

static uint32_t directives_make(const struct sidecard_request *request,
				struct directive directives[DIRECTIVES_MAX])
{
	static const char *const lists[] = { "server-cpulist", "bio-cpulist", "aof-rewrite-cpulist",
					     "bgsave-cpulist" };
	const struct sidecard_placement *placement = request->placement;
	uint64_t percent = sidecard_setting_uint(request, "memory-percent");
	uint32_t n = 0;

	directives[n].name = "io-threads";
	snprintf(directives[n++].value, sizeof(directives[0].value), "%u", io_threads(placement));
	if (placement->memory_limit_bytes != SIDECARD_UNLIMITED_BYTES && percent > 0) {
		directives[n].name = "maxmemory";
		snprintf(directives[n++].value, sizeof(directives[0].value), "%llu",
			 (unsigned long long)(placement->memory_limit_bytes / 100 * percent));
	}
	if (!sidecard_setting_is(request, "cpulists", "yes") ||
	    !cpulists_make(placement, &directives[n], &directives[n + 1]))
		return n;
	for (uint32_t i = 0; i < 4; i++) {
		directives[n + i].name = lists[i];
		if (i > 1)
			memcpy(directives[n + i].value, directives[n + 1].value,
			       sizeof(directives[0].value));
	}
	return n + 4;
}

static int arguments(const struct sidecard_request *request, const struct sidecard_sink *sink)
{
	struct directive directives[DIRECTIVES_MAX] = { 0 };
	uint32_t n = directives_make(request, directives);
	int r = 0;

	for (uint32_t i = 0; i < n && r == 0; i++) {
		r = sidecard_argument(sink, "--%s", directives[i].name);
		if (r == 0)
			r = sidecard_argument(sink, "%s", directives[i].value);
	}
	return r;
}

static int fragment(const struct sidecard_request *request, const struct sidecard_sink *sink)
{
	struct directive directives[DIRECTIVES_MAX] = { 0 };
	uint32_t n = directives_make(request, directives);
	int r = 0;

	for (uint32_t i = 0; i < n && r == 0; i++)
		r = sidecard_line(sink, "%s %s", directives[i].name, directives[i].value);
	return r;
}

static int command(const struct sidecard_request *request, const struct sidecard_sink *sink)
{
	static const char *const words[] = { "CONFIG", "SET", "io-threads" };
	int r = 0;

	if (!sidecard_setting_is(request, "server", "valkey"))
		return -EOPNOTSUPP;
	for (uint32_t i = 0; i < 3 && r == 0; i++)
		r = sidecard_argument(sink, "%s", words[i]);
	return r < 0 ? r : sidecard_argument(sink, "%u", io_threads(request->placement));
}

static int query(const struct sidecard_request *request, const struct sidecard_sink *sink)
{
	static const char *const words[] = { "CONFIG", "GET", "io-threads" };
	int r = 0;

	(void)request;
	for (uint32_t i = 0; i < 3 && r == 0; i++)
		r = sidecard_argument(sink, "%s", words[i]);
	return r;
}

SIDECARD_PLUGIN_EXPORT const struct sidecard_plugin sidecard_plugin = {
	.api_version = SIDECARD_PLUGIN_API_VERSION,
	.size = sizeof(sidecard_plugin),
	.name = "redis",
	.version = "1",
	.runtime = "Redis and Valkey",
	/* I/O threads spin for the main thread. */
	.rounding = SIDECARD_ROUND_DOWN,
	.modes = SIDECARD_MODE_FIXED,
	.overcommit_permille = 1000,
	.keys = SIDECARD_TABLE(keys),
	.thread_rules = SIDECARD_TABLE(thread_rules),
	.lives = SIDECARD_TABLE(lives),
	.arguments = arguments,
	.fragment = fragment,
	.command = command,
	.query = query,
};
