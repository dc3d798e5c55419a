#include "sense/cgroup_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* The longest list of PUs: every other one of CPUSET_MAX, five bytes each. */
#define LIST_SIZE (CPUSET_MAX / 2 * 5 + 2)

static ssize_t read_file(const struct sys *sys, int dir_fd, const char *name, char *buffer,
			 size_t buffer_size)
{
	int fd = sys->open(sys, dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = sys->read(sys, fd, buffer, buffer_size);
	sys->close(sys, fd);
	if (n >= 0 && strlen(buffer) != (size_t)n)
		return -EINVAL; /* a NUL hides the rest */
	return n;
}

int cgroup_read_quota(const struct sys *sys, int fd, struct quota *ret_quota)
{
	char text[CGROUP_LINE_SIZE];
	ssize_t n = sys->read_value(sys, fd, text, sizeof(text));

	if (n < 0)
		return n == -EFBIG ? -EINVAL : (int)n;
	if (strlen(text) != (size_t)n)
		return -EINVAL;
	return quota_parse(text, ret_quota);
}

int cgroup_read_weight(const struct sys *sys, int dir_fd, uint32_t *ret_weight)
{
	char text[CGROUP_LINE_SIZE], *end;
	ssize_t n = read_file(sys, dir_fd, "cpu.weight", text, sizeof(text));
	unsigned long weight;

	if (n < 0)
		return (int)n;
	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	weight = strtoul(text, &end, 10);
	/* 1..10000: Documentation/admin-guide/cgroup-v2.rst; a cgroup with cpu.idle prints 0 and
	 * gets as good as nothing. */
	if ((*end && strcmp(end, "\n") != 0) || weight > 10000)
		return -EINVAL;
	*ret_weight = weight > 0 ? (uint32_t)weight : 1;
	return 0;
}

int cgroup_read_effective(const struct sys *sys, int dir_fd, struct cpuset *ret_cpus)
{
	cleanup(freep) char *text = malloc(LIST_SIZE);
	struct cpuset cpus = { 0 };
	ssize_t n;
	int r;

	if (!text)
		return -ENOMEM;
	n = read_file(sys, dir_fd, "cpuset.cpus.effective", text, LIST_SIZE);
	if (n < 0)
		return (int)n;
	r = cpuset_parse(text, &cpus);
	if (r < 0)
		return r;
	if (cpuset_is_empty(&cpus)) {
		cpuset_done(&cpus);
		return -ENODATA;
	}
	*ret_cpus = cpus;
	return 0;
}

int cgroup_has_controller(const struct sys *sys, int dir_fd, const char *controller)
{
	char text[1024];
	size_t n_controller = strlen(controller);
	ssize_t n = read_file(sys, dir_fd, "cgroup.controllers", text, sizeof(text));

	if (n < 0)
		return (int)n;
	for (const char *p = text; *(p += strspn(p, " \n"));) {
		size_t n_word = strcspn(p, " \n");

		if (n_word == n_controller && memcmp(p, controller, n_word) == 0)
			return 1;
		p += n_word;
	}
	return 0;
}
