/* The configuration as a whole: which file becomes which object, in what order, and either all of
 * it or a list of everything that is wrong with it. */
#include "edge/conf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "edge/conf_internal.h"

#define DEFAULT_POOL "default"

/* ---- faults ---- */

char *conf_at_format(const struct conf_at *at)
{
	cleanup(freep) char *place = NULL, *text = NULL;
	int n;

	if (at->line > 0)
		n = asprintf(&place, "%s:%u", at->file, at->line);
	else
		n = asprintf(&place, "%s", at->file);
	if (n < 0) {
		place = NULL; /* asprintf(3): undefined on failure */
		return NULL;
	}
	if (!at->section)
		n = asprintf(&text, "%s", place);
	else if (!at->key)
		n = asprintf(&text, "%s: [%s]", place, at->section);
	else
		n = asprintf(&text, "%s: [%s] %s", place, at->section, at->key);
	if (n < 0) {
		text = NULL;
		return NULL;
	}
	return TAKE_PTR(text);
}

void conf_fault_add(struct conf_loader *loader, const struct conf_at *at, const char *format, ...)
{
	cleanup(freep) char *place = NULL, *said = NULL, *text = NULL;
	struct conf_fault *faults;
	va_list args;
	int n;

	loader->n_lost++;
	if (loader->n_faults >= FAULT_LIST_MAX)
		return;
	va_start(args, format);
	n = vasprintf(&said, format, args);
	va_end(args);
	if (n < 0) {
		said = NULL;
		return;
	}
	place = conf_at_format(at);
	if (!place)
		return;
	if (asprintf(&text, "%s: %s", place, said) < 0) {
		text = NULL;
		return;
	}
	faults = realloc(loader->faults, (loader->n_faults + 1) * sizeof(*faults));
	if (!faults)
		return;
	loader->faults = faults;
	faults[loader->n_faults] = (struct conf_fault){
		.text = TAKE_PTR(text),
		.n_file = strlen(at->file),
		.line = at->line,
		.number = (unsigned)loader->n_faults,
	};
	loader->n_faults++;
	loader->n_lost--;
}

static int fault_compare(const void *a, const void *b)
{
	const struct conf_fault *x = a, *y = b;
	size_t n = x->n_file < y->n_file ? x->n_file : y->n_file;
	int r = strncmp(x->text, y->text, n);

	if (r != 0)
		return r;
	if (x->n_file != y->n_file)
		return x->n_file < y->n_file ? -1 : 1;
	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

static void faults_give(struct conf_loader *loader, struct fault_list *faults)
{
	if (loader->n_faults > 0)
		qsort(loader->faults, loader->n_faults, sizeof(*loader->faults), fault_compare);
	for (size_t i = 0; i < loader->n_faults; i++)
		fault_list_add(faults, "%s", loader->faults[i].text);
	faults->n_lost += loader->n_lost;
}

/* ---- objects ---- */

struct conf *conf_default(void)
{
	cleanup(conf_freep) struct conf *conf = calloc(1, sizeof(*conf));

	if (!conf || conf_keys_default(CONF_DAEMON, conf) < 0)
		return NULL;
	conf->pools = calloc(1, sizeof(struct pool *));
	if (!conf->pools)
		return NULL;
	conf->pools[0] = pool_new(DEFAULT_POOL);
	if (!conf->pools[0])
		return NULL;
	conf->n_pools = 1;
	if (conf_keys_default(CONF_POOL, conf->pools[0]) < 0)
		return NULL;
	return TAKE_PTR(conf);
}

struct conf *conf_free(struct conf *conf)
{
	if (!conf)
		return NULL;
	for (size_t i = 0; i < conf->n_pools; i++)
		pool_free(conf->pools[i]);
	for (size_t i = 0; i < conf->n_workloads; i++)
		workload_free(conf->workloads[i]);
	free(conf->pools);
	free(conf->workloads);
	cpuset_done(&conf->housekeeping.cpus);
	free(conf->marks);
	free(conf->source);
	strings_done(&conf->drop_ins);
	free(conf);
	return NULL;
}

void conf_freep(struct conf **conf)
{
	conf_free(*conf);
}

/* ---- files of one object ---- */

static char *path_of(const struct conf_dir *dir, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s.conf", dir->path, name) < 0 ? NULL : path;
}

static int drop_in_read(struct conf_loader *loader, const struct conf_dir *dir, const char *name,
			struct conf_target *target)
{
	cleanup(freep) char *path = path_of(dir, name);
	const char *file_name = path ? path + strlen(dir->path) + 1 : NULL;
	size_t n_text = 0;
	int r;

	if (!path)
		return -ENOMEM;
	if (conf_file_read(loader, dir, file_name, path, &n_text) != CONF_FILE_READ)
		return 0;
	r = strings_add(&loader->conf->drop_ins, path);
	if (r < 0)
		return r;
	target->file_index = (uint32_t)loader->conf->drop_ins.n_items;
	target->file = loader->conf->drop_ins.items[target->file_index - 1];
	conf_read_text(loader, target, loader->buffer, n_text);
	return 0;
}

/* @name: "proxy.conf.d". Of files of one name only the one that is highest up counts. */
static int drop_ins_read(struct conf_loader *loader, const struct conf_dirs *parents,
			 const char *name, struct conf_target *target)
{
	cleanup(conf_dirs_done) struct conf_dirs dirs = { 0 };
	cleanup(conf_listing_done) struct conf_listing listing = { 0 };
	const char *last = NULL;
	int r = conf_dirs_open(loader, parents, name, &dirs);

	if (r == 0)
		r = conf_list(loader, &dirs, &listing);
	for (size_t i = 0; r == 0 && i < listing.n_entries; i++) {
		const struct conf_entry *entry = &listing.entries[i];
		const char *file = listing.names + entry->name;

		if (entry->is_directory || (last && strcmp(last, file) == 0))
			continue;
		last = file;
		r = drop_in_read(loader, &dirs.items[entry->dir], file, target);
	}
	return r;
}

static int daemon_read(struct conf_loader *loader)
{
	struct conf_target target = { CONF_DAEMON, loader->conf, 0, NULL, 0 };

	for (size_t i = 0; i < CONF_N_ROOTS; i++) {
		const struct conf_dir *dir = &loader->roots.items[i];
		enum conf_file_state state;
		cleanup(freep) char *path = NULL;
		size_t n_text = 0;

		if (!dir->path || dir->fd < 0)
			continue;
		path = path_of(dir, "sidecard");
		if (!path)
			return -ENOMEM;
		state = conf_file_read(loader, dir, "sidecard.conf", path, &n_text);
		if (state == CONF_FILE_ABSENT)
			continue;
		loader->conf->source = TAKE_PTR(path);
		target.file = loader->conf->source;
		if (state == CONF_FILE_READ)
			conf_read_text(loader, &target, loader->buffer, n_text);
		break;
	}
	return drop_ins_read(loader, &loader->roots, "sidecard.conf.d", &target);
}

/* ---- pools.d and workloads.d ---- */

static int object_add(struct conf *conf, enum conf_kind kind, const char *name,
		      struct conf_target *ret_target)
{
	if (kind == CONF_POOL) {
		struct pool *pool = pool_new(name);

		if (!pool)
			return -ENOMEM;
		conf->pools[conf->n_pools++] = pool;
		if (conf_keys_default(kind, pool) < 0)
			return -ENOMEM;
		*ret_target = (struct conf_target){ kind, pool, (uint32_t)conf->n_pools - 1, NULL,
						    0 };
	} else {
		struct workload *workload = workload_new(name);

		if (!workload)
			return -ENOMEM;
		conf->workloads[conf->n_workloads++] = workload;
		*ret_target = (struct conf_target){ kind, workload, (uint32_t)conf->n_workloads - 1,
						    NULL, 0 };
	}
	return 0;
}

/* The line of the first key, for faults that are found later. */
static unsigned first_line(const struct conf *conf, const struct conf_target *target)
{
	unsigned first = 0;

	for (size_t i = conf->n_marks; i > 0; i--) {
		const struct conf_mark *mark = &conf->marks[i - 1];

		if (mark->object != target->object_index ||
		    conf_keys[mark->key].kind != target->kind)
			break;
		if (mark->file == 0 && (first == 0 || mark->line < first))
			first = mark->line;
	}
	return first;
}

/* Takes over @path. */
static void source_set(struct conf_target *target, char *path)
{
	if (target->kind == CONF_POOL) {
		struct pool *pool = target->object;

		pool->source = path;
	} else {
		struct workload *workload = target->object;

		workload->source = path;
	}
	target->file = path;
}

/* One name: the file that counts, then its drop-ins. The object is there even where its file is
 * bad, so that the next fault is not about its absence. */
static int object_read(struct conf_loader *loader, enum conf_kind kind,
		       const struct conf_dirs *dirs, const struct conf_dir *dir, const char *name)
{
	cleanup(freep) char *path = path_of(dir, name);
	const struct conf_at at = { path, 0, NULL, NULL };
	cleanup(freep) char *drop_ins = NULL;
	struct conf_target target;
	enum conf_file_state state;
	size_t n_text = 0;
	int r;

	if (!path)
		return -ENOMEM;
	if (!name_is_valid(name)) {
		conf_fault_add(loader, &at, "'%s' is no name, expected %s", name, NAME_RULE);
		return 0;
	}
	state = conf_file_read(loader, dir, path + strlen(dir->path) + 1, path, &n_text);
	if (state == CONF_FILE_MASKED || state == CONF_FILE_ABSENT)
		return 0;
	r = object_add(loader->conf, kind, name, &target);
	if (r < 0)
		return r;
	source_set(&target, TAKE_PTR(path));
	if (state == CONF_FILE_READ)
		conf_read_text(loader, &target, loader->buffer, n_text);
	if (asprintf(&drop_ins, "%s.conf.d", name) < 0) {
		drop_ins = NULL;
		return -ENOMEM;
	}
	/* Without a listed directory there is nothing to open. */
	r = dirs ? drop_ins_read(loader, dirs, drop_ins, &target) : 0;
	if (r < 0)
		return r;
	if (kind == CONF_POOL) {
		conf_check_pool(loader, target.object_index);
		return 0;
	}
	loader->conf->workloads[target.object_index]->source_line = first_line(loader->conf,
									       &target);
	conf_check_workload(loader, target.object_index);
	return 0;
}

/* Pool "default" is there without a file. It is added where it belongs in the order. */
static int default_pool_add(struct conf_loader *loader, const char *before)
{
	struct conf *conf = loader->conf;
	struct conf_target target;

	if (before && strcmp(before, DEFAULT_POOL) <= 0)
		return 0;
	for (size_t i = 0; i < conf->n_pools; i++)
		if (strcmp(conf->pools[i]->name, DEFAULT_POOL) == 0)
			return 0;
	return object_add(conf, CONF_POOL, DEFAULT_POOL, &target);
}

static int objects_room(struct conf *conf, enum conf_kind kind, size_t n)
{
	if (kind == CONF_WORKLOAD) {
		conf->workloads = calloc(n + 1, sizeof(struct workload *));
		return conf->workloads ? 0 : -ENOMEM;
	}
	for (size_t i = 0; i < conf->n_pools; i++)
		pool_free(conf->pools[i]);
	conf->n_pools = 0;
	free(conf->pools);
	conf->pools = calloc(n + 2, sizeof(struct pool *));
	return conf->pools ? 0 : -ENOMEM;
}

/* Listed are, of each name, first its files, the highest first, then its directories of drop-ins.
 */
static int objects_read(struct conf_loader *loader, enum conf_kind kind, const char *directory)
{
	cleanup(conf_dirs_done) struct conf_dirs dirs = { 0 };
	cleanup(conf_listing_done) struct conf_listing listing = { 0 };
	int r = conf_dirs_open(loader, &loader->roots, directory, &dirs);

	if (r == 0)
		r = conf_list(loader, &dirs, &listing);
	if (r == 0)
		r = objects_room(loader->conf, kind, listing.n_entries);
	for (size_t i = 0, end = 0; r == 0 && i < listing.n_entries; i = end) {
		const struct conf_entry *entry = &listing.entries[i];
		const char *name = listing.names + entry->name;
		bool has_drop_ins = false;

		for (end = i; end < listing.n_entries; end++) {
			if (strcmp(listing.names + listing.entries[end].name, name) != 0)
				break;
			has_drop_ins |= listing.entries[end].is_directory;
		}
		if (kind == CONF_POOL)
			r = default_pool_add(loader, name);
		if (r == 0 && !entry->is_directory)
			r = object_read(loader, kind, has_drop_ins ? &dirs : NULL,
					&dirs.items[entry->dir], name);
	}
	if (r == 0 && kind == CONF_POOL)
		r = default_pool_add(loader, NULL);
	return r;
}

/* ---- everything ---- */

void conf_loader_done(struct conf_loader *loader)
{
	conf_free(loader->conf);
	conf_dirs_done(&loader->roots);
	for (size_t i = 0; i < loader->n_faults; i++)
		free(loader->faults[i].text);
	free(loader->faults);
	for (size_t i = 0; i < loader->n_users; i++)
		free(loader->users[i].name);
	free(loader->users);
	free(loader->buffer);
}

static int all_read(struct conf_loader *loader)
{
	int r = daemon_read(loader);

	if (r == 0)
		r = objects_read(loader, CONF_POOL, "pools.d");
	if (r == 0)
		r = objects_read(loader, CONF_WORKLOAD, "workloads.d");
	if (r == 0)
		r = conf_check_claims(loader);
	if (r == 0)
		r = conf_marks_keep(loader->conf);
	return r < 0 || loader->no_memory ? -ENOMEM : 0;
}

int conf_load_from(const char *const *paths, size_t n_paths, bool strict, bool offline,
		   struct conf **ret_conf, struct fault_list *faults)
{
	cleanup(conf_loader_done) struct conf_loader loader = { .strict = strict,
								.offline = offline };
	int r;

	loader.conf = conf_default();
	loader.buffer = malloc(CONF_FILE_MAX_BYTES + 1);
	if (!loader.conf || !loader.buffer)
		return -ENOMEM;
	r = conf_roots_open(&loader, paths, n_paths, !strict);
	if (r == 0)
		r = all_read(&loader);
	if (r < 0)
		return r;
	faults_give(&loader, faults);
	if (loader.n_faults > 0 || loader.n_lost > 0)
		return -EINVAL;
	*ret_conf = TAKE_PTR(loader.conf);
	return 0;
}

int conf_load(const char *directory, bool offline, struct conf **ret_conf,
	      struct fault_list *faults)
{
	/* systemd's order: what an administrator wrote, what holds until the next boot, what
	 * packages bring. */
	static const char *const system_paths[] = { "/etc/sidecard", "/run/sidecard",
						    "/usr/lib/sidecard" };

	if (directory)
		return conf_load_from(&directory, 1, false, offline, ret_conf, faults);
	return conf_load_from(system_paths, N_ELEMENTS(system_paths), true, offline, ret_conf,
			      faults);
}
