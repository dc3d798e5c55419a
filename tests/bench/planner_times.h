/* Times of many runs, and a line of the table that they become. */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* The processor's time, which other work on the machine does not lengthen: nothing here waits. */
static inline double times_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static inline int times_compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y ? 1 : 0;
}

static inline void times_sort(double *times_us, uint32_t n)
{
	qsort(times_us, n, sizeof(*times_us), times_compare);
}

/* Of sorted times: the value that @permille of them do not exceed. */
static inline double times_at(const double *times_us, uint32_t n, uint32_t permille)
{
	uint64_t at = ((uint64_t)n * permille + 999) / 1000;

	return times_us[at > 0 ? at - 1 : 0];
}

/* what | target | median | p99 | runs | remark */
static inline void row_print(const char *what, const char *target, const char *median,
			     const char *p99, const char *runs, const char *remark)
{
	printf("%-58s | %-14s | %12s | %12s | %7s | %s\n", what, target, median, p99, runs, remark);
	fflush(stdout);
}

static inline void row_times(const char *what, const char *target, double *times_us, uint32_t n,
			     const char *remark)
{
	char median[32], p99[32], runs[16];

	times_sort(times_us, n);
	snprintf(median, sizeof(median), "%.1f us", times_at(times_us, n, 500));
	snprintf(p99, sizeof(p99), "%.1f us", times_at(times_us, n, 990));
	snprintf(runs, sizeof(runs), "%u", n);
	row_print(what, target, median, p99, runs, remark);
}
