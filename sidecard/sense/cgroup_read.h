/* The files of one cgroup directory, read on kept descriptors and checked. Any of them may be
 * missing: the root cgroup, a hybrid host, a controller that is off, an ordinary directory in a
 * test. Pitfall: only `.effective` tells what holds, never cpuset.cpus (K10). */
#pragma once

#include "base/sys.h"
#include "model/quota.h"

/* "18446744073709551615 18446744073709551615\n" and the NUL, rounded up. */
#define CGROUP_LINE_SIZE 64

/* @fd: open on cpu.max. 0; -EINVAL where it does not hold what the kernel prints; -ENODEV, -ENOENT
 * where the cgroup is gone. */
int cgroup_read_quota(const struct sys *sys, int fd, struct quota *ret_quota);
/* cpu.weight, 1..10000. 0 or -errno. */
int cgroup_read_weight(const struct sys *sys, int dir_fd, uint32_t *ret_weight);
/* cpuset.cpus.effective. 0 or -errno; -ENODATA where it is empty, which in a cgroup that nobody
 * lives in may be. */
int cgroup_read_effective(const struct sys *sys, int dir_fd, struct cpuset *ret_cpus);
/* Does cgroup.controllers name @controller? -ENOENT where there is no such file. 1, 0 or -errno. */
int cgroup_has_controller(const struct sys *sys, int dir_fd, const char *controller);
