/* PHP-FPM. It counts no processors: each pool has the number of children that its file says, so a
 * fragment says it. A section that names a pool a second time goes on with it (fpm_conf.c). The
 * numbers of spare children are checked against each other when it starts, so whoever sets one sets
 * all. */
#include "plugin_api.h"

static const struct sidecard_key keys[] = {
	{ "pool", SIDECARD_KEY_TEXT, .least = 1, .most = 64, .value = "www",
	  .help = "The pool that the fragment goes on with: letters, digits, '_', '-' and '.'." },
	{ "pm", SIDECARD_KEY_WORD, .words = "static dynamic ondemand", .value = "static",
	  .help = "How children are kept: all, some spare ones, or none." },
	{ "children", SIDECARD_KEY_UINT, .least = 1, .most = 64, .value = "1",
	  .help = "Children for each thread of the parallelism. More than 1 where requests mostly "
		  "wait, for a database for example." },
};

/* All processes have one comm; the title tells them apart. */
static const struct sidecard_thread_rule thread_rules[] = {
	{ .argv = "php-fpm: master process*", .class = SIDECARD_THREAD_CONTROL },
	{ .argv = "php-fpm: pool *", .class = SIDECARD_THREAD_DATA },
};

static const struct sidecard_live lives[] = {
	{ .what = "pm.max_children",
	  .change = SIDECARD_CHANGE_RELOAD,
	  .way = SIDECARD_WAY_RELOAD,
	  /* Every child begins anew, with a cold cache. */
	  .interval_us = 30000000 },
};

static bool is_pool_name(const char *name)
{
	return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") ==
	       strlen(name);
}

static int spare_children(const struct sidecard_sink *sink, uint64_t n)
{
	int r = sidecard_line(sink, "pm.start_servers = %llu",
			      (unsigned long long)(n / 2 > 0 ? n / 2 : 1));

	if (r == 0)
		r = sidecard_line(sink, "pm.min_spare_servers = 1");
	if (r == 0)
		r = sidecard_line(sink, "pm.max_spare_servers = %llu", (unsigned long long)n);
	return r;
}

static int fragment(const struct sidecard_request *request, const struct sidecard_sink *sink)
{
	uint64_t n = sidecard_setting_uint(request, "children") * request->placement->parallelism;
	const char *pool = sidecard_setting(request, "pool");
	int r;

	if (!is_pool_name(pool))
		return -EINVAL;
	r = sidecard_line(sink, "[%s]", pool);
	if (r == 0)
		r = sidecard_line(sink, "pm = %s", sidecard_setting(request, "pm"));
	if (r == 0)
		r = sidecard_line(sink, "pm.max_children = %llu", (unsigned long long)n);
	if (r == 0 && sidecard_setting_is(request, "pm", "dynamic"))
		r = spare_children(sink, n);
	return r;
}

SIDECARD_PLUGIN_EXPORT const struct sidecard_plugin sidecard_plugin = {
	.api_version = SIDECARD_PLUGIN_API_VERSION,
	.size = sizeof(sidecard_plugin),
	.name = "php-fpm",
	.version = "1",
	.runtime = "PHP-FPM",
	/* A child is a process that runs one request at a time. */
	.rounding = SIDECARD_ROUND_DOWN,
	.modes = SIDECARD_MODE_FIXED,
	/* A child waits for its database for most of a request. */
	.overcommit_permille = 4000,
	.keys = SIDECARD_TABLE(keys),
	.thread_rules = SIDECARD_TABLE(thread_rules),
	.lives = SIDECARD_TABLE(lives),
	.fragment = fragment,
};
