/* quota/period arithmetic: the two numbers of cpu.max and what they allow. Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define QUOTA_UNLIMITED_US UINT64_MAX
/* Thousandths of one PU's time; this value where no level limits. Never 0 where limited. */
#define QUOTA_UNLIMITED_MCPU UINT32_MAX

struct quota {
	uint64_t quota_us;  /* QUOTA_UNLIMITED_US where the kernel says "max" */
	uint64_t period_us; /* never 0 */
};

/* Parses the kernel's "QUOTA PERIOD" or "max PERIOD" (a final newline is fine). 0 or -EINVAL;
 * @ret_quota stays untouched on failure. Stricter than the kernel's own parser, which accepts
 * trailing junk on write but never prints it (kernel/sched/core.c: cpu_max_show). */
int quota_parse(const char *text, struct quota *ret_quota);

/* One level as thousandths of a PU, rounded down but never below 1 where limited. */
uint32_t quota_mcpu(const struct quota *quota);

/* Bandwidth left after every ancestor has had its say. The tightest level
 * wins at whatever depth it sits, so the order of @levels is irrelevant. */
uint32_t quota_effective_mcpu(const struct quota *levels, size_t n_levels);

/* Whole PUs of a bandwidth: rounded down or up, at least 1; UINT32_MAX where unlimited. 3.999 PUs
 * that come of an inexact quota/period count as 4: one thousandth is forgiven in both directions.
 */
uint32_t quota_floor_pu(uint32_t mcpu);
uint32_t quota_ceil_pu(uint32_t mcpu);

/* "2.5", "150%" or "max" → thousandths of a PU, 1..4,294,967,294 or QUOTA_UNLIMITED_MCPU. 0 or
 * -EINVAL, -ERANGE. */
int quota_parse_pu(const char *text, uint32_t *ret_mcpu);
