/* Counters of one cgroup: cpu.stat, cpu.pressure, io.pressure and memory.numa_stat, on descriptors
 * kept open, so that a sample is one pread(2) a file. Nothing of /proc is walked.
 *
 * Any of the files may be missing: nr_periods and what follows it stand in cpu.stat only where the
 * cpu controller is on (K5), pressure files only where the kernel counts pressure. What is missing
 * counts 0, and sample_missing() says so. */
#pragma once

#include "base/sys.h"
#include "model/cpuset.h"

struct sample_counters {
	uint64_t usage_us; /* CPU time of all its threads */
	uint64_t n_periods, n_throttled, throttled_us;
	/* "some" totals: time in which one or more threads waited for a PU, for storage. */
	uint64_t pressure_us, blocked_us;
};

struct sample_memory {
	uint64_t near_bytes, remote_bytes; /* anonymous and file pages */
};

struct sample_source {
	int stat_fd, pressure_fd, blocked_fd, memory_fd; /* -1: there is none */
};

/* @dir_fd: the cgroup; not kept. 0, or -errno where cpu.stat cannot be opened. */
int sample_open(const struct sys *sys, int dir_fd, struct sample_source *ret_source);
void sample_close(const struct sys *sys, struct sample_source *source);

/* Adds to @counters, which a workload of several cgroups is the sum of. 0; -ENODEV where the cgroup
 * is gone; -EINVAL where cpu.stat does not hold what the kernel prints. */
int sample_read(const struct sys *sys, const struct sample_source *source,
		struct sample_counters *counters);
/* The same for memory; @near: the nodes that count as near. -ENOENT where there is no such file. */
int sample_read_memory(const struct sys *sys, const struct sample_source *source,
		       const struct nodeset *near, struct sample_memory *memory);

/* "cpu.pressure", "cpu.pressure, io.pressure": malloc'ed; empty where nothing is missing. */
char *sample_missing(const struct sample_source *source);

/* What the files hold. 0 or -EINVAL; the result is untouched on failure, and keys that are not
 * there leave their number as it is. */
int sample_parse_stat(const char *text, struct sample_counters *ret_counters);
int sample_parse_pressure(const char *text, uint64_t *ret_total_us);
int sample_parse_memory(const char *text, const struct nodeset *near,
			struct sample_memory *ret_memory);
