/* What the conf_*.c files share, and what their tests reach for: the table of keys, the loader of
 * one configuration, and the way from a text to an object. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "edge/conf.h"

/* A workload is a screenful; nobody writes this much by hand. */
#define CONF_FILE_MAX_BYTES 65536u
/* inih cuts or splits what does not fit into its 200 bytes, and cuts section names at 49. */
#define CONF_LINE_MAX_BYTES    180u
#define CONF_SECTION_MAX_BYTES 48u
/* Bounds that only a broken generator of files reaches. */
#define CONF_OBJECTS_MAX 32768u
#define CONF_ITEMS_MAX	 256u
#define CONF_N_ROOTS	 3

/* ---- the table ---- */

enum conf_kind { CONF_DAEMON, CONF_POOL, CONF_WORKLOAD };

struct conf_key;

struct conf_type {
	/* Sets @field from @text. The empty text is only given where the key's default is empty,
	 * and means that default. 0, or a negative errno with the sentence in @fault. */
	int (*parse)(const struct conf_key *key, const char *text, void *field,
		     struct fault *fault);
	/* What is expected, for faults and samples: "a whole number from 1 to 10000". */
	void (*expects)(const struct conf_key *key, char *buffer, size_t buffer_size);
};

#define CONF_LIST    1u /* each line adds one; an empty one forgets those before it */
#define CONF_MACHINE 2u /* the machine may contradict it, so its line is remembered */
#define CONF_OFFLINE 4u /* for plans without a cgroup only */

struct conf_key {
	enum conf_kind kind;
	const char *section, *name;
	const struct conf_type *type;
	uint64_t least, most;
	const char *const *words; /* NULL-terminated; the first one means @least */
	const char *text;	  /* the default as one would write it */
	size_t field;		  /* offset in struct conf, struct pool or struct workload */
	unsigned flags;
	const char *help;
};

extern const struct conf_key conf_keys[];
extern const uint32_t conf_n_keys;
#define CONF_N_KEYS_MAX 128

/* The section whose keys belong to the workload's plugin. */
#define CONF_PLUGIN_SECTION "Plugin"

/* Index into conf_keys; UINT32_MAX where there is no such key. */
uint32_t conf_key_find(enum conf_kind kind, const char *section, const char *name);
bool conf_section_exists(enum conf_kind kind, const char *section);
/* The section in which @kind has key @name; NULL. */
const char *conf_section_of(enum conf_kind kind, const char *name);
/* The key of @section, or the section (@section NULL), that @name probably means; NULL. */
const char *conf_nearest(enum conf_kind kind, const char *section, const char *name);
/* Sections of @kind in order: the @i-th, NULL at the end. */
const char *conf_section_at(enum conf_kind kind, size_t i);
/* Sets @key of @object; an empty @text is the default. */
int conf_key_set(const struct conf_key *key, const char *text, void *object, struct fault *fault);
/* Sets every key of @kind to its default. 0 or -ENOMEM. */
int conf_keys_default(enum conf_kind kind, void *object);

extern const struct conf_type conf_bool, conf_uint, conf_maximum, conf_word, conf_span, conf_size,
	conf_text, conf_name, conf_cpus, conf_nodes, conf_quota, conf_ratio, conf_housekeeping,
	conf_unit, conf_exclusive, conf_device, conf_slice, conf_cgroup, conf_path, conf_glob,
	conf_user, conf_environment;

/* ---- the loader ---- */

/* Where something was written. Any but @file may be absent: 0 or NULL. */
struct conf_at {
	const char *file;
	unsigned line;
	const char *section, *key;
};

/* Where one line set one key; a list has one mark for each of its items, in order. */
struct conf_mark {
	uint32_t object; /* index into pools or workloads; 0 for the daemon */
	uint32_t key;
	uint32_t file; /* 0: the file that defines the object; else 1 + index into drop_ins */
	uint32_t line;
};

struct conf_fault {
	char *text;    /* "file:line: [section] key: ..." */
	size_t n_file; /* length of the file's name in it */
	unsigned line;
	unsigned number; /* of arrival, so that sorting is stable */
};

struct conf_user {
	char *name;
	uint32_t uid;
};

struct conf_dir {
	char *path;
	int fd; /* -1: there is none */
};

struct conf_dirs {
	struct conf_dir items[CONF_N_ROOTS]; /* the highest first */
};

struct conf_loader {
	struct conf *conf;
	struct conf_dirs roots;
	bool offline;
	bool strict; /* the system's own search path: owner and mode count, links do not */
	bool no_memory;
	size_t n_marks_room; /* of conf->marks, which has all of them until conf_marks_keep() */
	struct conf_fault *faults;
	size_t n_faults, n_lost;
	struct conf_user *users; /* looked up already */
	size_t n_users;
	char *buffer; /* CONF_FILE_MAX_BYTES + 1, for one file at a time */
};

/* @paths: the highest first, NULL: none. The way in for tests; conf_load() passes the real ones. */
int conf_load_from(const char *const *paths, size_t n_paths, bool strict, bool offline,
		   struct conf **ret_conf, struct fault_list *faults);

void conf_loader_done(struct conf_loader *loader);

void conf_fault_add(struct conf_loader *loader, const struct conf_at *at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The same to a list that is the caller's: "file:line: [section] key: ...". malloc'ed, NULL where
 * memory is short. */
char *conf_at_format(const struct conf_at *at);

/* ---- conf_ini.c: one text into one object ---- */

struct conf_target {
	enum conf_kind kind;
	void *object;
	uint32_t object_index;
	const char *file;
	uint32_t file_index; /* as in struct conf_mark */
};

/* All faults go to the loader; what has none is set. */
void conf_read_text(struct conf_loader *loader, const struct conf_target *target, const char *text,
		    size_t n_text);

/* ---- conf_mark.c: where keys were written ---- */

int conf_mark_add(struct conf_loader *loader, const struct conf_mark *mark);
/* Forgets the marks that @key of the object that is being read has had so far. */
void conf_marks_forget(struct conf_loader *loader, uint32_t object, uint32_t key);
/* Where key @name was set, for a list its item @from_end counted from the last one. Where it was
 * not set, the object's file and the key's section alone. */
void conf_mark_find(const struct conf *conf, enum conf_kind kind, uint32_t object, const char *name,
		    size_t from_end, struct conf_at *ret_at);
struct conf_at conf_mark_at(const struct conf *conf, const struct conf_mark *mark);
/* Keeps what conf_check_machine() needs. 0 or -ENOMEM. */
int conf_marks_keep(struct conf *conf);

/* ---- conf_check.c: what one key alone cannot tell ---- */

/* After all files of a pool. */
void conf_check_pool(struct conf_loader *loader, uint32_t index);
/* After all files of a workload. */
void conf_check_workload(struct conf_loader *loader, uint32_t index);
/* After all workloads. 0 or -ENOMEM. */
int conf_check_claims(struct conf_loader *loader);

/* ---- conf_files.c: the search path ---- */

enum conf_file_state {
	CONF_FILE_READ,
	CONF_FILE_ABSENT,
	CONF_FILE_MASKED, /* empty, or a link to /dev/null */
	CONF_FILE_BAD,	  /* the fault is reported */
};

struct conf_entry {
	size_t name;	   /* offset into names; without the suffix */
	uint8_t dir;	   /* index into the directories */
	bool is_directory; /* NAME.conf.d, not NAME.conf */
};

/* What a directory of the search path holds, sorted by name, files first, then by precedence. */
struct conf_listing {
	char *names;
	size_t n_names, n_names_room;
	struct conf_entry *entries;
	size_t n_entries, n_entries_room;
};

void conf_dirs_done(struct conf_dirs *dirs);
/* Opens @paths as roots. @must_exist: a missing one is a fault. */
int conf_roots_open(struct conf_loader *loader, const char *const *paths, size_t n_paths,
		    bool must_exist);
/* Opens the sub-directory @name of each of @parents; a missing one is fine. 0 or -ENOMEM. */
int conf_dirs_open(struct conf_loader *loader, const struct conf_dirs *parents, const char *name,
		   struct conf_dirs *ret_dirs);
int conf_list(struct conf_loader *loader, const struct conf_dirs *dirs,
	      struct conf_listing *ret_listing);
void conf_listing_done(struct conf_listing *listing);
/* Reads @dir/@name into loader->buffer, terminated. @path is what faults call it. */
enum conf_file_state conf_file_read(struct conf_loader *loader, const struct conf_dir *dir,
				    const char *name, const char *path, size_t *ret_n_text);
