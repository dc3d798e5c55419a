/* What a sidecard plugin is: one shared object that translates a placement into one runtime's own
 * settings. C and libc alone. A plugin consists of tables, which the host reads, and of pure
 * functions: they get everything as arguments, keep nothing, and do no I/O. It proposes, the host
 * verifies: what it says may be refused, and the workload then runs as with the plugin `generic`.
 *
 * Interface version 2. It grows at the end of structures: each carries its size or its row's size,
 * so both sides may be older than the other. plugins/README.md shows how one is made. */
#ifndef SIDECARD_PLUGIN_API_H
#define SIDECARD_PLUGIN_API_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIDECARD_PLUGIN_API_VERSION 2u

/* The loader finds this symbol, also where all else is hidden. */
#define SIDECARD_PLUGIN_EXPORT __attribute__((visibility("default")))

#define SIDECARD_UNLIMITED	 UINT32_MAX /* quota_mcpu */
#define SIDECARD_UNLIMITED_BYTES UINT64_MAX /* memory_limit_bytes: no limit, or none known */

/* A table within a table: rows of @row_size bytes each, which may be more than the reader knows. */
struct sidecard_table {
	const void *rows;
	uint32_t n_rows, row_size;
};

#define SIDECARD_TABLE(array)                                                               \
	{                                                                                   \
		(array), (uint32_t)(sizeof(array) / sizeof((array)[0])), sizeof((array)[0]) \
	}

/* ---- what the host tells ---- */

/* One PU of the placement. */
struct sidecard_pu {
	uint32_t pu;   /* the kernel's number */
	uint32_t core; /* the same for all PUs of one core, else without meaning */
	uint32_t node; /* the kernel's number of its NUMA node */
};

struct sidecard_placement {
	uint32_t size;	      /* of this structure */
	const char *workload; /* name */
	const char *cpus;     /* "4-7,12" */
	const char *nodes;
	const char *mems;
	uint32_t n_pu, n_core; /* each ≥ 1 */
	uint32_t n_node;
	uint32_t parallelism_floor, parallelism_ceil, parallelism; /* each ≥ 1 */
	uint32_t quota_mcpu;	     /* its share; SIDECARD_UNLIMITED */
	struct sidecard_table pus;   /* struct sidecard_pu, n_pu rows, neighbours of the chip next
					to each other; no row where the machine is not known */
	uint64_t memory_limit_bytes; /* the tightest memory.max; SIDECARD_UNLIMITED_BYTES */
};

/* A key of [Plugin], or a variable of an environment. */
struct sidecard_setting {
	const char *key, *value; /* never NULL */
};

enum sidecard_mode {
	SIDECARD_MODE_FIXED = 1, /* tell the runtime its number */
	SIDECARD_MODE_STEER = 2, /* propose nothing that switches the runtime's own tracking off:
				    the host saw to it that its own rule gives our number */
};

struct sidecard_request {
	uint32_t size;
	uint32_t mode; /* enum sidecard_mode, one that the plugin has in its @modes */
	const struct sidecard_placement *placement;
	/* Each row of the plugin's table of keys, in its order, checked against it; keys that the
	 * user did not give have their default. */
	const struct sidecard_setting *settings;
	/* What the program would get without us: the workload's Environment= lines or the caller's
	 * environment. To look at; append() keeps what is there. */
	const struct sidecard_setting *environment;
	uint32_t n_settings, n_environment;
};

/* Where proposals go. Each returns 0, or a negative errno that the plugin hands back at once. */
struct sidecard_sink {
	uint32_t size;
	void *userdata;
	/* NAME=VALUE. A value that the user gave for NAME stays in place of it. */
	int (*variable)(void *userdata, const char *name, const char *value);
	/* VALUE behind what NAME has already, separated by a blank; NAME=VALUE where it has
	 * nothing, no change where it ends so already. */
	int (*append)(void *userdata, const char *name, const char *value);
	/* One argument of the command line. */
	int (*argument)(void *userdata, const char *argument);
	/* One line of a configuration file. */
	int (*line)(void *userdata, const char *line);
};

/* ---- what a plugin tells ---- */

enum sidecard_rounding { SIDECARD_ROUND_DOWN, SIDECARD_ROUND_UP };

enum sidecard_key_type {
	SIDECARD_KEY_UINT, /* decimal, @least to @most */
	SIDECARD_KEY_BOOL, /* yes or no */
	SIDECARD_KEY_WORD, /* one of @words, which are separated by one blank */
	SIDECARD_KEY_TEXT, /* printable, @least to @most bytes, at most 1024 */
};

/* A key of the workload's section [Plugin]. */
struct sidecard_key {
	const char *name; /* [a-z0-9][a-z0-9-]{0,63} */
	uint32_t type;	  /* enum sidecard_key_type */
	uint64_t least, most;
	const char *words;
	const char *value; /* the default; "": none, and the user may write the empty one too */
	const char *help;  /* a sentence or two */
};

enum sidecard_thread_class {
	SIDECARD_THREAD_DATA, /* what the program is there for; also what nobody knows */
	SIDECARD_THREAD_IO,
	SIDECARD_THREAD_GC,
	SIDECARD_THREAD_JIT,
	SIDECARD_THREAD_CONTROL,
};
#define SIDECARD_N_THREAD_CLASSES 5u

struct sidecard_thread {
	uint32_t size;
	uint32_t birth;	  /* 1: the first of its process still alive, 2: the next …; 0: unknown */
	const char *comm; /* as the kernel has it, at most 15 bytes, any bytes */
	const char *argv; /* the arguments of its process joined by one blank, any bytes */
};

/* The first row that fits decides. A thread that none fits goes to thread_class(), or is
 * SIDECARD_THREAD_DATA where there is none. */
struct sidecard_thread_rule {
	const char *comm; /* * stands for any bytes, ? for one; NULL: any */
	const char *argv; /* likewise, of the whole text; NULL: any */
	uint32_t birth;	  /* 0: any */
	uint32_t class;	  /* enum sidecard_thread_class */
};

enum sidecard_change {
	SIDECARD_CHANGE_START_ONLY, /* the next start sees it */
	SIDECARD_CHANGE_RELOAD,	    /* a reload does, without an interruption */
	SIDECARD_CHANGE_LIVE,	    /* a running process does */
};

enum sidecard_way {
	SIDECARD_WAY_NONE,
	SIDECARD_WAY_RELOAD,  /* systemctl reload of the unit, after the new fragment is written */
	SIDECARD_WAY_SIGNAL,  /* @signal to the main process, once for each worker more or less */
	SIDECARD_WAY_COMMAND, /* the user's LiveCommand= and behind it the words of command() */
	SIDECARD_WAY_CGROUP,  /* quota and affinity as in SIDECARD_MODE_STEER */
	SIDECARD_WAY_ASK,     /* the program itself reads the live page or the environment file */
};

/* What changes how. The first row is the number of threads itself; the others are for people. */
struct sidecard_live {
	const char *what;
	uint32_t change;       /* enum sidecard_change */
	uint32_t way;	       /* enum sidecard_way */
	uint64_t interval_us;  /* between two changes, at least: what one costs the runtime; 0 where
				  it never changes */
	uint32_t signal_more;  /* SIDECARD_WAY_SIGNAL: one worker more, and */
	uint32_t signal_fewer; /* one fewer */
	const char *note;      /* "each change stops the world"; may be NULL */
};

/* How the runtime itself arrives at its number, for SIDECARD_MODE_STEER. */
struct sidecard_steer {
	uint32_t size;
	uint32_t rounding;	 /* enum sidecard_rounding, of the quota of its own cgroup */
	uint32_t quota_least;	 /* what a quota cannot bring it below (Go: 2), else 1 */
	uint32_t reads_quota;	 /* 1: it reads its own cgroup's cpu.max */
	uint32_t reads_affinity; /* 1: it counts the PUs of its affinity */
	uint32_t follows;	 /* 1: also while it runs */
};

struct sidecard_plugin {
	uint32_t api_version; /* SIDECARD_PLUGIN_API_VERSION; these two never move */
	uint32_t size;	      /* of this structure */
	const char *name;     /* as in Plugin= */
	const char *version;  /* of the plugin */
	const char *runtime;  /* "Go 1.25 and later", for people */
	uint32_t rounding;    /* enum sidecard_rounding: what suits a fraction of a PU */
	uint32_t modes;	      /* SIDECARD_MODE_FIXED | SIDECARD_MODE_STEER */
	/* Workers for each 1000 PUs that still raise the throughput, since they wait most of the
	 * time; 1000: more than PUs only harm. What Overcommit= may be worth, no advice. */
	uint32_t overcommit_permille;
	struct sidecard_table keys;	    /* struct sidecard_key */
	struct sidecard_table thread_rules; /* struct sidecard_thread_rule */
	struct sidecard_table lives;	    /* struct sidecard_live, at least one row */
	const struct sidecard_steer *steer; /* where SIDECARD_MODE_STEER is in @modes */

	/* Each may be NULL: nothing to propose. 0 or a negative errno. The first three propose
	 * through the function of @sink that they are named after. */
	int (*environment)(const struct sidecard_request *request,
			   const struct sidecard_sink *sink); /* variable() and append() */
	int (*arguments)(const struct sidecard_request *request, const struct sidecard_sink *sink);
	int (*fragment)(const struct sidecard_request *request,
			const struct sidecard_sink *sink); /* line() */
	/* SIDECARD_WAY_COMMAND: argument() is called for each word behind the user's command. The
	 * first makes the number so, the second prints the number that holds. -EOPNOTSUPP: not with
	 * these settings. */
	int (*command)(const struct sidecard_request *request, const struct sidecard_sink *sink);
	int (*query)(const struct sidecard_request *request, const struct sidecard_sink *sink);
	/* enum sidecard_thread_class, for what no row of @thread_rules fits. */
	uint32_t (*thread_class)(const struct sidecard_thread *thread);
};

/* The one symbol that a plugin exports. */
extern const struct sidecard_plugin sidecard_plugin;

/* ---- helpers ---- */

/* The row @i; NULL behind the last one. */
static inline const void *sidecard_row(const struct sidecard_table *table, uint32_t i)
{
	return i < table->n_rows ? (const char *)table->rows + (size_t)i * table->row_size : NULL;
}

/* "" where the plugin's table has no such key. */
static inline const char *sidecard_setting(const struct sidecard_request *request, const char *key)
{
	for (uint32_t i = 0; i < request->n_settings; i++)
		if (strcmp(request->settings[i].key, key) == 0)
			return request->settings[i].value;
	return "";
}

/* 0 where it is empty. */
static inline uint64_t sidecard_setting_uint(const struct sidecard_request *request,
					     const char *key)
{
	return strtoull(sidecard_setting(request, key), NULL, 10);
}

static inline bool sidecard_setting_is(const struct sidecard_request *request, const char *key,
				       const char *value)
{
	return strcmp(sidecard_setting(request, key), value) == 0;
}

/* What the program would get without us; NULL where the variable is not set. */
static inline const char *sidecard_existing(const struct sidecard_request *request,
					    const char *name)
{
	for (uint32_t i = 0; i < request->n_environment; i++)
		if (strcmp(request->environment[i].key, name) == 0)
			return request->environment[i].value;
	return NULL;
}

/* A text that grows to what its buffer holds; what does not fit makes every later use of it
 * -ENOSPC, so that nothing cut short is ever proposed. */
struct sidecard_text {
	char *buffer;
	size_t size, used;
	bool full;
};

#define SIDECARD_TEXT(array)                                       \
	{                                                          \
		.buffer = (array), .size = sizeof(array), 0, false \
	}

__attribute__((format(printf, 2, 3))) static inline void sidecard_text_add(
	struct sidecard_text *text, const char *format, ...)
{
	size_t room = text->size - text->used;
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(text->buffer + text->used, room, format, arguments);
	va_end(arguments);
	if (n < 0 || (size_t)n >= room) {
		text->full = true;
		text->buffer[text->used] = '\0';
	} else {
		text->used += (size_t)n;
	}
}

static inline int sidecard_variable(const struct sidecard_sink *sink, const char *name,
				    const struct sidecard_text *text)
{
	return text->full ? -ENOSPC : sink->variable(sink->userdata, name, text->buffer);
}

static inline int sidecard_variable_uint(const struct sidecard_sink *sink, const char *name,
					 uint64_t value)
{
	char buffer[24];

	snprintf(buffer, sizeof(buffer), "%llu", (unsigned long long)value);
	return sink->variable(sink->userdata, name, buffer);
}

static inline int sidecard_append(const struct sidecard_sink *sink, const char *name,
				  const struct sidecard_text *text)
{
	return text->full ? -ENOSPC : sink->append(sink->userdata, name, text->buffer);
}

/* One argument, as printf(3); at most 4095 bytes. */
__attribute__((format(printf, 2, 3))) static inline int sidecard_argument(
	const struct sidecard_sink *sink, const char *format, ...)
{
	char buffer[4096];
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(buffer, sizeof(buffer), format, arguments);
	va_end(arguments);
	if (n < 0 || (size_t)n >= sizeof(buffer))
		return -ENOSPC;
	return sink->argument(sink->userdata, buffer);
}

/* One line, as printf(3); at most 4095 bytes. */
__attribute__((format(printf, 2, 3))) static inline int sidecard_line(
	const struct sidecard_sink *sink, const char *format, ...)
{
	char buffer[4096];
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(buffer, sizeof(buffer), format, arguments);
	va_end(arguments);
	if (n < 0 || (size_t)n >= sizeof(buffer))
		return -ENOSPC;
	return sink->line(sink->userdata, buffer);
}

/* * stands for any bytes, ? for one, all else for itself. Its time is at most the product of both
 * lengths: only the last * is ever tried again. */
static inline bool sidecard_glob(const char *pattern, const char *text)
{
	const char *star = NULL, *resume = NULL;

	while (*text) {
		if (*pattern == '*') {
			star = ++pattern;
			resume = text;
		} else if (*pattern == '?' || (*pattern && *pattern == *text)) {
			pattern++;
			text++;
		} else if (star) {
			pattern = star;
			text = ++resume;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

/* What the host does with a thread; here, so that a plugin's own tests can do the same. */
static inline enum sidecard_thread_class sidecard_thread_classify(
	const struct sidecard_plugin *plugin, const struct sidecard_thread *thread)
{
	uint32_t class = SIDECARD_THREAD_DATA;

	for (uint32_t i = 0; i < plugin->thread_rules.n_rows; i++) {
		const struct sidecard_thread_rule *rule = sidecard_row(&plugin->thread_rules, i);

		if ((!rule->birth || rule->birth == thread->birth) &&
		    (!rule->comm || sidecard_glob(rule->comm, thread->comm)) &&
		    (!rule->argv || sidecard_glob(rule->argv, thread->argv)))
			return rule->class < SIDECARD_N_THREAD_CLASSES
				       ? (enum sidecard_thread_class)rule->class
				       : SIDECARD_THREAD_DATA;
	}
	if (plugin->thread_class)
		class = plugin->thread_class(thread);
	return class < SIDECARD_N_THREAD_CLASSES ? (enum sidecard_thread_class) class
						 : SIDECARD_THREAD_DATA;
}

#endif
