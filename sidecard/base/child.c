#include "base/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>

static int prepare_files(posix_spawn_file_actions_t *files, const int *fds)
{
	int r = 0;

	for (int i = 0; r == 0 && i < 3; i++)
		r = fds[i] >= 0 ? posix_spawn_file_actions_adddup2(files, fds[i], i)
				: posix_spawn_file_actions_addopen(files, i, "/dev/null",
								   i == 0 ? O_RDONLY : O_WRONLY, 0);
	return r == 0 ? posix_spawn_file_actions_addclosefrom_np(files, 3) : r;
}

/* The daemon blocks the signals that it reads from a descriptor; a child would inherit that. */
static int prepare_signals(posix_spawnattr_t *attributes)
{
	sigset_t none, all;
	int r;

	sigemptyset(&none);
	sigfillset(&all);
	r = posix_spawnattr_setsigmask(attributes, &none);
	if (r == 0)
		r = posix_spawnattr_setsigdefault(attributes, &all);
	return r == 0 ? posix_spawnattr_setflags(attributes,
						 POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF)
		      : r;
}

int child_spawn(const char *path, const char *const *arguments, const int *fds, pid_t *ret_pid)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	char *argv[CHILD_N_ARGUMENTS_MAX + 2] = { (char *)path };
	char *environment[] = { NULL };
	int r;

	for (size_t i = 0; arguments[i]; i++) {
		if (i >= CHILD_N_ARGUMENTS_MAX)
			return -E2BIG;
		argv[i + 1] = (char *)arguments[i];
	}
	r = posix_spawn_file_actions_init(&files);
	if (r != 0)
		return -r;
	r = posix_spawnattr_init(&attributes);
	if (r != 0) {
		posix_spawn_file_actions_destroy(&files);
		return -r;
	}
	r = prepare_files(&files, fds);
	if (r == 0)
		r = prepare_signals(&attributes);
	if (r == 0)
		r = posix_spawn(ret_pid, path, &files, &attributes, argv, environment);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&files);
	return -r;
}
