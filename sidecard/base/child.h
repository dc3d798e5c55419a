/* Starts another program of ours: an empty environment, no signal blocked or ignored, no descriptor
 * but the three it is given. The process that starts it may be any, so nothing of its state gets
 * there. Relies on posix_spawn's closefrom (glibc 2.34). */
#pragma once

#include <sys/types.h>

#define CHILD_N_ARGUMENTS_MAX 12

/* @arguments: without the program's own name; ended by NULL. @fds: its standard input, output and
 * error; -1: /dev/null. 0, -E2BIG or -errno. */
int child_spawn(const char *path, const char *const *arguments, const int *fds, pid_t *ret_pid);
