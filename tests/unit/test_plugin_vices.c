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
#define VERSION 2
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
#define ROUNDING ((enum sidecard_rounding)7)
#else
#define ROUNDING SIDECARD_ROUND_UP
#endif

typedef int set_function(void *userdata, const char *name, const char *value);

static int tell_everything(const struct sidecard_placement *placement,
			   const struct sidecard_setting *settings, size_t n_settings,
			   set_function *set, void *userdata)
{
	char text[256];
	int r;

	snprintf(text, sizeof(text), "%u %s %s %s %s %u %u %u %u %u %u %u", placement->size > 0,
		 placement->workload, placement->cpus, placement->nodes, placement->mems,
		 placement->n_pu, placement->n_core, placement->n_node,
		 placement->parallelism_floor, placement->parallelism_ceil, placement->parallelism,
		 placement->quota_mcpu);
	r = set(userdata, "TOLD", text);
	if (r < 0)
		return r;
	snprintf(text, sizeof(text), "%zu", n_settings);
	r = set(userdata, "N_SETTINGS", text);
	return r < 0 || n_settings == 0 ? r : set(userdata, "_LAST", settings[n_settings - 1].key);
}

static int many(set_function *set, void *userdata, unsigned n)
{
	int r = 0;

	for (unsigned i = 0; i < n && r == 0; i++) {
		char name[16];

		snprintf(name, sizeof(name), "V%u", i);
		r = set(userdata, name, "1");
	}
	return r;
}

static int one(set_function *set, void *userdata, const char *vice)
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
		{ "lower", "path", "/x" },
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
			return set(userdata, rows[i].name, rows[i].value);
	memset(text, 'A', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	if (strcmp(vice, "long-value") == 0)
		return set(userdata, "A", text);
	text[4096] = '\0';
	if (strcmp(vice, "longest-value") == 0)
		return set(userdata, "A", text);
	text[65] = '\0';
	if (strcmp(vice, "long-name") == 0)
		return set(userdata, text, "1");
	text[64] = '\0';
	return set(userdata, text, "1");
}

static int environment(const struct sidecard_placement *placement,
		       const struct sidecard_setting *settings, size_t n_settings,
		       set_function *set, void *userdata)
{
	const char *vice = "";

	for (size_t i = 0; i < n_settings; i++)
		if (strcmp(settings[i].key, "vice") == 0)
			vice = settings[i].value;
	if (strcmp(vice, "") == 0)
		return tell_everything(placement, settings, n_settings, set, userdata);
	if (strcmp(vice, "thousand") == 0)
		return many(set, userdata, 1000);
	if (strcmp(vice, "64") == 0)
		return many(set, userdata, 64);
	if (strcmp(vice, "twice") == 0)
		return set(userdata, "AB", "1") < 0 ? -1 : set(userdata, "AB", "1");
	if (strcmp(vice, "prefix") == 0)
		return set(userdata, "AB", "1") < 0 ? -1 : set(userdata, "A", "1");
	if (strcmp(vice, "fails") == 0)
		return -EIO;
	if (strcmp(vice, "fails-upwards") == 0)
		return 1;
	if (strcmp(vice, "stubborn") == 0) {
		set(userdata, "LD_AUDIT", "/x");
		set(userdata, "A", "1");
		return 0;
	}
	return one(set, userdata, vice);
}

static const char *const keys[] = { "other", KEY, NULL };

const struct sidecard_plugin sidecard_plugin = {
	.api_version = VERSION,
	.name = NAME,
	.version = "1",
	.rounding = ROUNDING,
	.keys = keys,
#ifndef VICE_FUNCTION
	.environment = environment,
#endif
};

#ifdef VICE_FUNCTION
/* Left out of the table on purpose. */
void *unused_environment(void);
void *unused_environment(void)
{
	return (void *)environment;
}
#endif
#endif
