#include "sense/sample.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* Some ten lines of "name number" today, and two of four numbers in a pressure file. */
#define STAT_SIZE 4096u
/* Some forty lines of each a number for each node. */
#define MEMORY_SIZE (256u << 10)
#define FLAGS	    (O_RDONLY | O_NOFOLLOW | O_NONBLOCK)

/* ---- texts ---- */

/* Digits up to one of @ends. 0 or -EINVAL; @ret_rest stands on the end. */
static int number_parse(const char *text, const char *ends, uint64_t *ret_number,
			const char **ret_rest)
{
	uint64_t number = 0;
	size_t n = 0;

	for (; text[n] >= '0' && text[n] <= '9'; n++)
		if (__builtin_mul_overflow(number, 10u, &number) ||
		    __builtin_add_overflow(number, (uint64_t)(text[n] - '0'), &number))
			return -EINVAL;
	if (n == 0 || !(text[n] == '\0' || strchr(ends, text[n])))
		return -EINVAL;
	*ret_number = number;
	*ret_rest = text + n;
	return 0;
}

static bool is_word(const char *text, size_t n, const char *word)
{
	return n == strlen(word) && memcmp(text, word, n) == 0;
}

int sample_parse_stat(const char *text, struct sample_counters *ret_counters)
{
	struct sample_counters counters = *ret_counters;
	const struct {
		const char *name;
		uint64_t *number;
	} keys[] = {
		{ "usage_usec", &counters.usage_us },
		{ "nr_periods", &counters.n_periods },
		{ "nr_throttled", &counters.n_throttled },
		{ "throttled_usec", &counters.throttled_us },
	};
	bool has_usage = false;

	while (*text) {
		const char *name = text;
		size_t n = strcspn(name, " \n");
		uint64_t number;

		if (name[n] != ' ' || number_parse(name + n + 1, "\n", &number, &text) < 0)
			return -EINVAL;
		for (size_t i = 0; i < N_ELEMENTS(keys); i++)
			if (is_word(name, n, keys[i].name)) {
				*keys[i].number = number;
				has_usage |= i == 0;
			}
		text += *text == '\n';
	}
	if (!has_usage)
		return -EINVAL;
	*ret_counters = counters;
	return 0;
}

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" is the first line
 * (Documentation/accounting/psi.rst). */
int sample_parse_pressure(const char *text, uint64_t *ret_total_us)
{
	static const char some[] = "some ", total[] = " total=";
	const char *end = strchr(text, '\n'), *at, *rest;

	if (strncmp(text, some, sizeof(some) - 1) != 0)
		return -EINVAL;
	at = strstr(text, total);
	if (!at || (end && at > end))
		return -EINVAL;
	return number_parse(at + sizeof(total) - 1, " \n", ret_total_us, &rest);
}

/* " N0=4096 N1=0" to the end of the line. */
static int nodes_parse(const char *text, const struct nodeset *near, struct sample_memory *memory,
		       const char **ret_rest)
{
	while (*text == ' ') {
		uint64_t node, bytes;

		if (text[1] != 'N' || number_parse(text + 2, "=", &node, &text) < 0 ||
		    *text != '=' || number_parse(text + 1, " \n", &bytes, &text) < 0 ||
		    node >= NODESET_MAX)
			return -EINVAL;
		if (nodeset_has(near, (uint32_t)node))
			memory->near_bytes += bytes;
		else
			memory->remote_bytes += bytes;
	}
	*ret_rest = text;
	return *text == '\n' || *text == '\0' ? 0 : -EINVAL;
}

int sample_parse_memory(const char *text, const struct nodeset *near,
			struct sample_memory *ret_memory)
{
	struct sample_memory memory = *ret_memory, other = { 0 };

	while (*text) {
		size_t n = strcspn(text, " \n");
		bool counts = is_word(text, n, "anon") || is_word(text, n, "file");

		if (n == 0 || text[n] != ' ' ||
		    nodes_parse(text + n, near, counts ? &memory : &other, &text) < 0)
			return -EINVAL;
		text += *text == '\n';
	}
	*ret_memory = memory;
	return 0;
}

/* ---- files ---- */

int sample_open(const struct sys *sys, int dir_fd, struct sample_source *ret_source)
{
	struct sample_source source;

	source.stat_fd = sys->open(sys, dir_fd, "cpu.stat", FLAGS);
	if (source.stat_fd < 0)
		return source.stat_fd;
	source.pressure_fd = sys->open(sys, dir_fd, "cpu.pressure", FLAGS);
	source.blocked_fd = sys->open(sys, dir_fd, "io.pressure", FLAGS);
	source.memory_fd = sys->open(sys, dir_fd, "memory.numa_stat", FLAGS);
	*ret_source = source;
	return 0;
}

void sample_close(const struct sys *sys, struct sample_source *source)
{
	int *fds[] = { &source->stat_fd, &source->pressure_fd, &source->blocked_fd,
		       &source->memory_fd };

	for (size_t i = 0; i < N_ELEMENTS(fds); i++) {
		if (*fds[i] >= 0)
			sys->close(sys, *fds[i]);
		*fds[i] = -1;
	}
}

/* The whole text, without a NUL in it. 0 or -errno. */
static int text_read(const struct sys *sys, int fd, char *buffer, size_t buffer_size)
{
	ssize_t n = sys->read(sys, fd, buffer, buffer_size);

	if (n < 0)
		return n == -EFBIG ? -EINVAL : (int)n;
	return strlen(buffer) == (size_t)n ? 0 : -EINVAL;
}

/* Nothing where the kernel was told not to count pressure: the file is there then and cannot be
 * read (-EOPNOTSUPP). */
static int pressure_add(const struct sys *sys, int fd, uint64_t *total_us)
{
	char text[STAT_SIZE];
	uint64_t us = 0;
	int r = fd < 0 ? -ENOENT : text_read(sys, fd, text, sizeof(text));

	if (r == 0 && sample_parse_pressure(text, &us) == 0)
		*total_us += us;
	return r == -ENODEV ? r : 0;
}

int sample_read(const struct sys *sys, const struct sample_source *source,
		struct sample_counters *counters)
{
	struct sample_counters own = { 0 }, sum = *counters;
	char text[STAT_SIZE];
	int r = text_read(sys, source->stat_fd, text, sizeof(text));

	if (r == 0)
		r = sample_parse_stat(text, &own);
	if (r == 0)
		r = pressure_add(sys, source->pressure_fd, &own.pressure_us);
	if (r == 0)
		r = pressure_add(sys, source->blocked_fd, &own.blocked_us);
	if (r < 0)
		return r;
	sum.usage_us += own.usage_us;
	sum.n_periods += own.n_periods;
	sum.n_throttled += own.n_throttled;
	sum.throttled_us += own.throttled_us;
	sum.pressure_us += own.pressure_us;
	sum.blocked_us += own.blocked_us;
	*counters = sum;
	return 0;
}

int sample_read_memory(const struct sys *sys, const struct sample_source *source,
		       const struct nodeset *near, struct sample_memory *memory)
{
	cleanup(freep) char *text = NULL;
	int r;

	if (source->memory_fd < 0)
		return -ENOENT;
	text = malloc(MEMORY_SIZE);
	if (!text)
		return -ENOMEM;
	r = text_read(sys, source->memory_fd, text, MEMORY_SIZE);
	return r < 0 ? r : sample_parse_memory(text, near, memory);
}

char *sample_missing(const struct sample_source *source)
{
	char *text = NULL;
	bool first = source->pressure_fd < 0, second = source->blocked_fd < 0;

	if (asprintf(&text, "%s%s%s", first ? "cpu.pressure" : "", first && second ? ", " : "",
		     second ? "io.pressure" : "") < 0)
		return NULL;
	return text;
}
