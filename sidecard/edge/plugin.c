/* Plugins: code from outside in our own process, so nothing of it is believed. The file is opened
 * once, the open file is examined and that same file is loaded; then the table it brings, and later
 * each answer, is checked before use by the rules of plugin_check.c. */
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
#include "edge/plugin_check.h"
#include "paths.h"

#define SYMBOL "sidecard_plugin"

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

/* How large the object says that its table is; 0 where it does not. */
static size_t table_size(const void *table)
{
	const ElfW(Sym) *symbol = NULL;
	Dl_info info;

	if (dladdr1(table, &info, (void **)&symbol, RTLD_DL_SYMENT) == 0 || !symbol ||
	    info.dli_saddr != table)
		return 0;
	return symbol->st_size;
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
	r = plugin_table_check(table, table_size(table), name, fault);
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

const struct sidecard_plugin *plugin_table(const struct plugin *plugin)
{
	return plugin->table;
}

bool plugin_rounds_up(const struct plugin *plugin)
{
	return plugin->table->rounding == SIDECARD_ROUND_UP;
}

int plugin_check(const struct plugin *plugin, const struct workload *workload,
		 struct fault_list *faults)
{
	cleanup(freep) struct sidecard_setting *settings = NULL;

	return plugin_settings_make(plugin->table, workload, &settings, faults);
}

/* ---- asking ---- */

static int propose_variable(void *userdata, const char *name, const char *value)
{
	return plugin_proposals_add(userdata, PROPOSAL_VARIABLE, name, value);
}

static int propose_append(void *userdata, const char *name, const char *value)
{
	return plugin_proposals_add(userdata, PROPOSAL_APPEND, name, value);
}

static int propose_argument(void *userdata, const char *argument)
{
	return plugin_proposals_add(userdata, PROPOSAL_ARGUMENT, NULL, argument);
}

static int propose_line(void *userdata, const char *line)
{
	return plugin_proposals_add(userdata, PROPOSAL_LINE, NULL, line);
}

static int call(int (*function)(const struct sidecard_request *, const struct sidecard_sink *),
		const struct sidecard_request *request, struct plugin_proposals *proposals)
{
	const struct sidecard_sink sink = {
		.size = sizeof(sink),
		.userdata = proposals,
		.variable = propose_variable,
		.append = propose_append,
		.argument = propose_argument,
		.line = propose_line,
	};
	int r = function ? function(request, &sink) : 0;

	if (r != 0 && proposals->error == 0)
		proposals->error = fault_set(proposals->fault, -EINVAL,
					     "plugin '%s' failed for workload '%s': %d",
					     proposals->plugin, proposals->workload, r);
	return proposals->error;
}

static int ask(const struct plugin *plugin, const struct sidecard_request *request,
	       const struct strings *base, struct plugin_proposals *proposals,
	       struct plugin_answer *ret_answer)
{
	if (call(plugin->table->environment, request, proposals) < 0 ||
	    call(plugin->table->arguments, request, proposals) < 0 ||
	    call(plugin->table->fragment, request, proposals) < 0)
		return proposals->error;
	return plugin_answer_make(proposals, base, ret_answer);
}

int plugin_ask(const struct plugin *plugin, const struct plugin_question *question,
	       struct plugin_answer *ret_answer, struct fault *fault)
{
	const struct workload *workload = question->placement->conf;
	const struct strings *base = question->environment ? question->environment
							   : &workload->environment;
	cleanup(plugin_request_done) struct plugin_request request = { 0 };
	cleanup(plugin_proposals_done) struct plugin_proposals proposals = {
		.plugin = plugin->table->name,
		.workload = workload->name,
		.fault = fault,
	};
	int r = plugin_request_make(plugin->table, question, &request, fault);

	if (r < 0)
		return r;
	return ask(plugin, &request.request, base, &proposals, ret_answer);
}
