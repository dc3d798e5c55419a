/* Plugins that misbehave, for test_plugin.c. Built once for each VICE_ that shows when the table is
 * read; what shows when the plugin is asked is chosen by its key "vice". */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "plugin_api.h"

#if defined(VICE_SHORT)
/* Under the right name, which C would not let have another type. */
extern const uint32_t short_table[1] __asm__("sidecard_plugin");
const uint32_t short_table[1] = { SIDECARD_PLUGIN_API_VERSION };
#elif defined(VICE_SYMBOL)
extern const struct sidecard_plugin another_symbol;
const struct sidecard_plugin another_symbol = { .api_version = SIDECARD_PLUGIN_API_VERSION };
#else

#ifdef VICE_VERSION
#define VERSION (SIDECARD_PLUGIN_API_VERSION + 1)
#else
#define VERSION SIDECARD_PLUGIN_API_VERSION
#endif
#if defined(VICE_NAME)
#define NAME "somebody-else"
#elif defined(VICE_NULL)
#define NAME NULL
#else
#define NAME "unruly"
#endif
#ifdef VICE_KEYS
#define KEY "ke\ny"
#else
#define KEY "vice"
#endif
#ifdef VICE_ROUNDING
#define ROUNDING 7
#else
#define ROUNDING SIDECARD_ROUND_UP
#endif

static int set(const struct sidecard_sink *sink, const char *name, const char *value)
{
	return sink->variable(sink->userdata, name, value);
}

static int tell_everything(const struct sidecard_request *request, const struct sidecard_sink *sink)
{
	const struct sidecard_placement *placement = request->placement;
	char text[256];
	int r;

	snprintf(text, sizeof(text), "%u %s %s %s %s %u %u %u %u %u %u %u", placement->size > 0,
		 placement->workload, placement->cpus, placement->nodes, placement->mems,
		 placement->n_pu, placement->n_core, placement->n_node,
		 placement->parallelism_floor, placement->parallelism_ceil, placement->parallelism,
		 placement->quota_mcpu);
	r = set(sink, "TOLD", text);
	if (r < 0)
		return r;
	snprintf(text, sizeof(text), "%u", request->n_settings);
	r = set(sink, "N_SETTINGS", text);
	return r < 0 ? r : set(sink, "_OTHER", sidecard_setting(request, "other"));
}

static int many(const struct sidecard_sink *sink, unsigned n)
{
	int r = 0;

	for (unsigned i = 0; i < n && r == 0; i++) {
		char name[16];

		snprintf(name, sizeof(name), "V%u", i);
		r = set(sink, name, "1");
	}
	return r;
}

static int one(const struct sidecard_sink *sink, const char *vice)
{
	/* clang-format off */
	static const struct {
		const char *vice, *name, *value;
	} rows[] = {
		{ "newline", "A", "1\nLD_PRELOAD=/x" },
		{ "escape", "A", "\033[2J" },
		{ "c1", "A", "\xc2\x9b" },
		{ "bytes", "A", "\xff" },
		{ "preload", "LD_PRELOAD", "/x" },
		{ "ours", "SIDECARD_PARALLELISM", "9" },
		{ "hyphen", "A-B", "/x" },
		{ "path", "PATH", "/x" },
		{ "lower", "DOTNET_GCHeapCount", "a" },
		{ "digit", "1A", "/x" },
		{ "equals", "A=B", "/x" },
		{ "empty", "", "/x" },
		{ "nameless", NULL, "/x" },
		{ "valueless", "A", NULL },
	};
	/* clang-format on */
	char text[4200];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strcmp(rows[i].vice, vice) == 0)
			return set(sink, rows[i].name, rows[i].value);
	memset(text, 'A', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	if (strcmp(vice, "long-value") == 0)
		return set(sink, "A", text);
	text[4096] = '\0';
	if (strcmp(vice, "longest-value") == 0)
		return set(sink, "A", text);
	text[65] = '\0';
	if (strcmp(vice, "long-name") == 0)
		return set(sink, text, "1");
	text[64] = '\0';
	return set(sink, text, "1");
}

static int environment(const struct sidecard_request *request, const struct sidecard_sink *sink)
{
	const char *vice = sidecard_setting(request, "vice");

	if (strcmp(vice, "") == 0)
		return tell_everything(request, sink);
	if (strcmp(vice, "thousand") == 0)
		return many(sink, 1000);
	if (strcmp(vice, "64") == 0)
		return many(sink, 64);
	if (strcmp(vice, "twice") == 0)
		return set(sink, "AB", "1") < 0 ? -1 : set(sink, "AB", "1");
	if (strcmp(vice, "prefix") == 0)
		return set(sink, "AB", "1") < 0 ? -1 : set(sink, "A", "1");
	if (strcmp(vice, "fails") == 0)
		return -EIO;
	if (strcmp(vice, "fails-upwards") == 0)
		return 1;
	if (strcmp(vice, "stubborn") == 0) {
		set(sink, "LD_AUDIT", "/x");
		set(sink, "A", "1");
		return 0;
	}
	return one(sink, vice);
}

static const struct sidecard_key keys[] = {
	{ "other", SIDECARD_KEY_UINT, .most = 9, .value = "3", .help = "A number." },
	{ KEY, SIDECARD_KEY_TEXT, .most = 64, .value = "", .help = "What it does wrong." },
};

static const struct sidecard_live lives[] = { { .what = "nothing" } };

extern const struct sidecard_plugin sidecard_plugin;
const struct sidecard_plugin sidecard_plugin = {
	.api_version = VERSION,
	.size = sizeof(sidecard_plugin),
	.name = NAME,
	.version = "1",
	.runtime = "none",
	.rounding = ROUNDING,
	.modes = SIDECARD_MODE_FIXED,
	.overcommit_permille = 1000,
	.keys = SIDECARD_TABLE(keys),
#ifdef VICE_FUNCTION
	.lives = { lives, 0, sizeof(lives[0]) },
#else
	.lives = SIDECARD_TABLE(lives),
#endif
	.environment = environment,
};
#endif
