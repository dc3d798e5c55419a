/* What libnuma does for us: the caller's own memory policy, and moving another process's pages.
 * Small and alone, so that sidecarctl can link it without the applier; libnuma's types stay in
 * apply_threads.c. */
#pragma once

#include <sys/types.h>

#include "base/err.h"
#include "model/cpuset.h"
#include "model/workload.h"

/* Binds the calling thread before it executes something else: PUs, then memory. @cpus empty: not
 * touched. Memory is left alone with MEMORY_NONE, with @mems NULL or empty, and on a kernel without
 * NUMA. A preference for several nodes falls back to the first one before Linux 5.15. 0 or -errno
 * with @fault; the PUs may be set already where the memory fails. */
int threads_bind_self(const struct cpuset *cpus, const struct nodeset *mems,
		      enum memory_policy policy, struct fault *fault);

/* Moves all pages of a process that lie on other nodes of @possible to @mems. Blocks as long as
 * that takes; needs CAP_SYS_PTRACE for others' processes. How many pages could not be moved, or
 * -errno with @fault (-ESRCH: gone). */
int threads_migrate(pid_t pid, const struct nodeset *possible, const struct nodeset *mems,
		    struct fault *fault);
