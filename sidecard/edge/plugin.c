/* Plugins: code from outside in our own process, so nothing of it is believed. The file is opened
 * once, the open file is examined and that same file is loaded; then the table it brings, and later
 * each answer, is checked before use. What a plugin may do is propose variables; what it may not is
 * listed in variable_check(). */
#include "edge/plugin.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "edge/plugin_api.h"
#include "paths.h"

#define SYMBOL "sidecard_plugin"

#define VARIABLE_NAME_MAX_BYTES	 64u
#define VARIABLE_VALUE_MAX_BYTES 4096u
/* More than any runtime has; an answer without end is cut off here. */
#define VARIABLES_MAX 64u
#define KEYS_MAX      64u

struct plugin {
	void *handle;
	const struct sidecard_plugin *table; /* in the shared object: as long as @handle is open */
};

/* ---- loading ---- */

static int trust_check(int fd, const char *path, mode_t type, struct fault *fault)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return fault_set(fault, -errno, "cannot examine '%s': %s", path, strerror(errno));
	if ((st.st_mode & S_IFMT) != type)
		return fault_set(fault, -EPERM, "'%s' is not a %s", path,
				 type == S_IFDIR ? "directory" : "regular file");
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return fault_set(fault, -EPERM, "'%s' belongs to user %u, expected root", path,
				 st.st_uid);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return fault_set(fault, -EPERM, "'%s' can be written by others (mode %04o)", path,
				 (unsigned)st.st_mode & 07777);
	return 0;
}

/* A descriptor of the checked file, or -errno. */
static int file_open(const char *directory, const char *name, struct fault *fault)
{
	cleanup(close_fdp) int dirfd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup(close_fdp) int fd = -1;
	cleanup(freep) char *path = NULL;
	int r;

	if (asprintf(&path, "%s/%s.so", directory, name) < 0) {
		path = NULL;
		return fault_set(fault, -ENOMEM, "no memory to load plugin '%s'", name);
	}
	if (dirfd < 0)
		return fault_set(fault, -errno, "plugin '%s': cannot open directory '%s': %s", name,
				 directory, strerror(errno));
	r = trust_check(dirfd, directory, S_IFDIR, fault);
	if (r < 0)
		return r;
	fd = openat(dirfd, path + strlen(directory) + 1,
		    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0) {
		/* open(2): ELOOP is what O_NOFOLLOW says of a link. */
		r = errno == ELOOP ? -EPERM : -errno;
		return fault_set(fault, r, "plugin '%s': cannot open '%s': %s", name, path,
				 r == -EPERM ? "it is a symbolic link" : strerror(errno));
	}
	r = trust_check(fd, path, S_IFREG, fault);
	return r < 0 ? r : TAKE_FD(fd);
}

/* Room for 128 parts of two bytes, the two ends and a descriptor's number. */
#define FD_PATH_SIZE 320

/* A path that leads to the file that @fd is open on, and that no other file ever had. The linker
 * takes a name that it has seen before for the same object without looking at the file, and
 * descriptor numbers are used again: so device and inode are part of the name, as a row of "/" (0)
 * and "/." (1), which lead nowhere else. The inode stays taken as long as the object is mapped. */
static int fd_path(int fd, char *buffer, size_t buffer_size)
{
	struct stat st;
	size_t used;
	uint64_t parts[2];

	if (fstat(fd, &st) < 0)
		return -errno;
	parts[0] = st.st_dev;
	parts[1] = st.st_ino;
	used = (size_t)snprintf(buffer, buffer_size, "/proc/self/fd");
	for (unsigned i = 0; i < 128; i++)
		used += (size_t)snprintf(buffer + used, buffer_size - used, "%s",
					 parts[i / 64] >> (i % 64) & 1 ? "/." : "/");
	snprintf(buffer + used, buffer_size - used, "/%d", fd);
	return 0;
}

static void handlep(void **handle)
{
	if (*handle)
		dlclose(*handle);
}

/* True where the object says that its table is as large as we know it. */
static bool table_is_whole(const void *table)
{
	const ElfW(Sym) *symbol = NULL;
	Dl_info info;

	return dladdr1(table, &info, (void **)&symbol, RTLD_DL_SYMENT) != 0 && symbol &&
	       info.dli_saddr == table && symbol->st_size >= sizeof(struct sidecard_plugin);
}

static bool key_is_valid(const char *key)
{
	size_t n = key ? strnlen(key, VARIABLE_NAME_MAX_BYTES) : 0;

	return n > 0 && n < VARIABLE_NAME_MAX_BYTES &&
	       strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") ==
		       n;
}

static int table_check(const struct sidecard_plugin *table, const char *name, struct fault *fault)
{
	if (table->api_version != SIDECARD_PLUGIN_API_VERSION)
		return fault_set(fault, -EPROTO,
				 "plugin '%s' has interface version %u, expected %u", name,
				 table->api_version, SIDECARD_PLUGIN_API_VERSION);
	if (!table_is_whole(table))
		return fault_set(fault, -EINVAL, "plugin '%s': its table is too short", name);
	if (!table->name || strncmp(table->name, name, 64) != 0)
		return fault_set(fault, -EINVAL, "plugin '%s' calls itself '%.64s'", name,
				 table->name ? table->name : "");
	if (!table->environment)
		return fault_set(fault, -EINVAL, "plugin '%s' has no function 'environment'", name);
	if (table->rounding != SIDECARD_ROUND_DOWN && table->rounding != SIDECARD_ROUND_UP)
		return fault_set(fault, -EINVAL, "plugin '%s' has unknown rounding %d", name,
				 (int)table->rounding);
	for (size_t i = 0; table->keys && table->keys[i]; i++)
		if (i >= KEYS_MAX || !key_is_valid(table->keys[i]))
			return fault_set(fault, -EINVAL, "plugin '%s' has a bad table of keys",
					 name);
	return 0;
}

int plugin_load(const char *directory, const char *name, struct plugin **ret_plugin,
		struct fault *fault)
{
	cleanup(close_fdp) int fd = -1;
	cleanup(handlep) void *handle = NULL;
	const struct sidecard_plugin *table;
	char path[FD_PATH_SIZE];
	struct plugin *plugin;
	int r;

	if (!name_is_valid(name))
		return fault_set(fault, -EINVAL, "'%s' is no name of a plugin, expected %s", name,
				 NAME_RULE);
	fd = file_open(directory ? directory : SIDECARD_PLUGIN_DIR, name, fault);
	if (fd < 0)
		return fd;
	r = fd_path(fd, path, sizeof(path));
	if (r < 0)
		return fault_set(fault, r, "plugin '%s': cannot name its file: %s", name,
				 strerror(-r));
	handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!handle)
		return fault_set(fault, -EINVAL, "plugin '%s' cannot be loaded: %s", name,
				 dlerror());
	table = dlsym(handle, SYMBOL);
	if (!table)
		return fault_set(fault, -EINVAL, "plugin '%s' has no symbol '%s'", name, SYMBOL);
	r = table_check(table, name, fault);
	if (r < 0)
		return r;
	plugin = calloc(1, sizeof(*plugin));
	if (!plugin)
		return fault_set(fault, -ENOMEM, "no memory for plugin '%s'", name);
	plugin->handle = TAKE_PTR(handle);
	plugin->table = table;
	*ret_plugin = plugin;
	return 0;
}

struct plugin *plugin_free(struct plugin *plugin)
{
	if (!plugin)
		return NULL;
	dlclose(plugin->handle);
	free(plugin);
	return NULL;
}

bool plugin_rounds_up(const struct plugin *plugin)
{
	return plugin->table->rounding == SIDECARD_ROUND_UP;
}

/* ---- settings ---- */

static bool knows_key(const struct plugin *plugin, const char *key)
{
	for (const char *const *known = plugin->table->keys; known && *known; known++)
		if (strcmp(*known, key) == 0)
			return true;
	return false;
}

int plugin_check(const struct plugin *plugin, const struct workload *workload,
		 struct fault_list *faults)
{
	int r = 0;

	for (size_t i = 0; i < workload->n_settings; i++) {
		const struct setting *setting = &workload->settings[i];

		if (knows_key(plugin, setting->key))
			continue;
		fault_list_add(faults, "%s:%u: [Plugin] %s: plugin '%s' has no such key",
			       workload->source ? workload->source : workload->name, setting->line,
			       setting->key, plugin->table->name);
		r = -EINVAL;
	}
	return r;
}

/* Those that the plugin knows. 0 or -ENOMEM. */
static int settings_borrow(const struct plugin *plugin, const struct workload *workload,
			   struct sidecard_setting **ret_settings, size_t *ret_n_settings)
{
	struct sidecard_setting *settings = calloc(workload->n_settings + 1, sizeof(*settings));
	size_t n = 0;

	if (!settings)
		return -ENOMEM;
	for (size_t i = 0; i < workload->n_settings; i++)
		if (knows_key(plugin, workload->settings[i].key))
			settings[n++] = (struct sidecard_setting){ workload->settings[i].key,
								   workload->settings[i].value };
	*ret_settings = settings;
	*ret_n_settings = n;
	return 0;
}

/* ---- variables ---- */

struct answer {
	const char *plugin, *workload;
	struct strings variables;
	struct fault *fault;
	int error; /* the first one: what a plugin does after it does not count */
};

static bool name_is_allowed(const char *name, size_t n_name)
{
	if (n_name == 0 || n_name > VARIABLE_NAME_MAX_BYTES || (name[0] >= '0' && name[0] <= '9'))
		return false;
	return strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == n_name;
}

static bool value_is_printable(const char *value, size_t n_value)
{
	for (size_t i = 0; i < n_value; i++) {
		unsigned char c = (unsigned char)value[i];

		/* U+0080..U+009F, written c2 80..9f, are control characters too. */
		if (c < 0x20 || c == 0x7f || (c == 0xc2 && (unsigned char)value[i + 1] < 0xa0))
			return false;
	}
	return text_is_utf8(value, n_value);
}

static int variable_check(struct answer *answer, const char *name, const char *value)
{
	size_t n_name = name ? strnlen(name, VARIABLE_NAME_MAX_BYTES + 1) : 0;
	size_t n_value = value ? strnlen(value, VARIABLE_VALUE_MAX_BYTES + 1) : 0;
	const char *what = NULL;

	if (!name_is_allowed(name, n_name))
		what = "a name other than [A-Z_][A-Z0-9_]{0,63}";
	else if (strncmp(name, "SIDECARD_", 9) == 0)
		what = "a name that is sidecard's own";
	else if (strncmp(name, "LD_", 3) == 0)
		what = "a name that steers the dynamic linker";
	else if (!value)
		what = "no value";
	else if (n_value > VARIABLE_VALUE_MAX_BYTES)
		what = "a value longer than 4096 bytes";
	else if (!value_is_printable(value, n_value))
		what = "a value that is not printable UTF-8";
	else if (answer->variables.n_items >= VARIABLES_MAX)
		what = "more than 64 variables";
	for (size_t i = 0; !what && i < answer->variables.n_items; i++)
		if (strncmp(answer->variables.items[i], name, n_name) == 0 &&
		    answer->variables.items[i][n_name] == '=')
			what = "one variable twice";
	if (!what)
		return 0;
	return fault_set(answer->fault, -EINVAL,
			 "plugin '%s' proposes %s for workload '%s' ('%.64s')", answer->plugin,
			 what, answer->workload, name ? name : "");
}

static int variable_set(void *userdata, const char *name, const char *value)
{
	struct answer *answer = userdata;
	cleanup(freep) char *variable = NULL;

	if (answer->error < 0)
		return answer->error;
	answer->error = variable_check(answer, name, value);
	if (answer->error < 0)
		return answer->error;
	if (asprintf(&variable, "%s=%s", name, value) < 0) {
		variable = NULL;
		answer->error = -ENOMEM;
	} else {
		answer->error = strings_add(&answer->variables, variable);
	}
	if (answer->error < 0)
		fault_set(answer->fault, answer->error, "no memory for variables of plugin '%s'",
			  answer->plugin);
	return answer->error;
}

static int ask(const struct plugin *plugin, const struct plan_workload *placement,
	       struct answer *answer)
{
	cleanup(freep) char *cpus = cpuset_format(&placement->cpus);
	cleanup(freep) char *nodes = nodeset_format(&placement->nodes);
	cleanup(freep) char *mems = nodeset_format(&placement->mems);
	cleanup(freep) struct sidecard_setting *settings = NULL;
	size_t n_settings = 0;
	struct sidecard_placement asked = {
		.size = sizeof(asked),
		.workload = placement->conf->name,
		.cpus = cpus,
		.nodes = nodes,
		.mems = mems,
		.n_pu = placement->n_pu,
		.n_core = placement->n_core,
		.n_node = nodeset_count(&placement->nodes),
		.parallelism_floor = placement->parallelism.floor,
		.parallelism_ceil = placement->parallelism.ceil,
		.parallelism = placement->parallelism.advised,
		.quota_mcpu = placement->quota_mcpu,
	};
	int r;

	if (!cpus || !nodes || !mems ||
	    settings_borrow(plugin, placement->conf, &settings, &n_settings) < 0)
		return fault_set(answer->fault, -ENOMEM, "no memory to ask plugin '%s'",
				 answer->plugin);
	r = plugin->table->environment(&asked, settings, n_settings, variable_set, answer);
	if (r != 0 && answer->error == 0)
		answer->error = fault_set(answer->fault, -EINVAL,
					  "plugin '%s' failed for workload '%s': %d",
					  answer->plugin, answer->workload, r);
	return answer->error;
}

int plugin_environment(const struct plugin *plugin, const struct plan_workload *placement,
		       struct strings *ret_environment, struct fault *fault)
{
	struct answer answer = {
		.plugin = plugin->table->name,
		.workload = placement->conf->name,
		.fault = fault,
	};
	int r = ask(plugin, placement, &answer);

	if (r < 0) {
		strings_done(&answer.variables);
		return r;
	}
	*ret_environment = answer.variables;
	return 0;
}
