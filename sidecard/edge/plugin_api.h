/* What a sidecard plugin is: one shared object that translates a placement into one runtime's own
 * settings. Depends on libc alone. The functions are pure: they get everything as arguments, keep
 * nothing and do no I/O. Interface version 1; a later issue grows it. */
#ifndef SIDECARD_PLUGIN_API_H
#define SIDECARD_PLUGIN_API_H

#include <stddef.h>
#include <stdint.h>

#define SIDECARD_PLUGIN_API_VERSION 1u

struct sidecard_placement {
	uint32_t size;	      /* of this structure, so that it can grow */
	const char *workload; /* name */
	const char *cpus;     /* "4-7,12" */
	const char *nodes;
	const char *mems;
	uint32_t n_pu, n_core;
	uint32_t n_node;
	uint32_t parallelism_floor, parallelism_ceil, parallelism; /* each ≥ 1 */
	uint32_t quota_mcpu;					   /* UINT32_MAX: unlimited */
};

struct sidecard_setting {
	const char *key, *value;
};

enum sidecard_rounding { SIDECARD_ROUND_DOWN, SIDECARD_ROUND_UP };

struct sidecard_plugin {
	uint32_t api_version; /* SIDECARD_PLUGIN_API_VERSION */
	const char *name;     /* as in Plugin= */
	const char *version;
	enum sidecard_rounding rounding;
	/* NULL-terminated table of the [Plugin] keys it takes; NULL: none. */
	const char *const *keys;
	/* Calls @set(userdata, "NAME", "value") for each variable. 0 or a negative errno. */
	int (*environment)(const struct sidecard_placement *placement,
			   const struct sidecard_setting *settings, size_t n_settings,
			   int (*set)(void *userdata, const char *name, const char *value),
			   void *userdata);
};

/* The one symbol that a plugin exports. */
extern const struct sidecard_plugin sidecard_plugin;

#endif
