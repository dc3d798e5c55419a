/* What the probe does before hwloc sees anything: the environment that steers hwloc, the size of
 * made-up machines, and files from outside. Needs no hwloc itself. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sense/topo_read.h"

/* XML of 8,192 PUs in 1,024 nodes takes 5 MiB, with all their distances some 10 more. */
#define XML_SIZE_MAX (32u << 20)

/* indexes= of 8,192 PUs takes 40 KiB. */
#define SYNTHETIC_SIZE_MAX (64u << 10)

int topo_read_init(struct fault *fault)
{
	static const struct {
		const char *name, *value;
	} settings[] = {
		/* No plugin: they are shared objects for graphics and I/O, which take 100 ms to
		 * load and may hang; and the built-in XML reader is the smaller one. */
		{ "HWLOC_PLUGINS_PATH", "/nonexistent" },
		{ "HWLOC_LIBXML", "0" },
		/* A machine with broken tables is reported to its maker, not to our caller. */
		{ "HWLOC_HIDE_ERRORS", "2" },
	};

	if (clearenv() != 0)
		return fault_set(fault, -ENOMEM, "cannot clear the environment");
	for (size_t i = 0; i < N_ELEMENTS(settings); i++)
		if (setenv(settings[i].name, settings[i].value, 1) < 0)
			return fault_set(fault, -errno, "cannot set %s", settings[i].name);
	return 0;
}

/* One "COUNT" or "TYPE:COUNT" of a synthetic description; moves *@at behind it. */
static int synthetic_level(const char **at, unsigned *ret_count, bool *ret_is_node)
{
	const char *p = *at;
	unsigned count = 0;
	size_t n_digits;

	*ret_is_node = *p == 'n' || *p == 'N'; /* "numa", "node" and their short forms */
	if (*p < '0' || *p > '9') {
		size_t n_type = strspn(
			p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");

		if (n_type == 0 || p[n_type] != ':')
			return -EINVAL;
		p += n_type + 1;
	}
	n_digits = strspn(p, "0123456789");
	if (n_digits == 0)
		return -EINVAL;
	for (size_t i = 0; i < n_digits; i++) {
		count = count * 10 + (unsigned)(p[i] - '0');
		if (count > TOPOLOGY_N_PU_MAX)
			return -ERANGE;
	}
	*at = p + n_digits;
	*ret_count = count;
	return count > 0 ? 0 : -EINVAL;
}

/* Skips "(attributes)" or a memory node "[numa(attributes)]". */
static int synthetic_skip(const char **at, char closing)
{
	const char *end = strchr(*at, closing);

	if (!end)
		return -EINVAL;
	*at = end + 1;
	return 0;
}

static int synthetic_count(const char *at, uint32_t *ret_n_pu, uint32_t *ret_n_node)
{
	uint32_t n_pu = 1, n_node = 0;
	bool any = false;

	while (*(at += strspn(at, " "))) {
		unsigned count;
		bool is_node;
		int r;

		if (*at == '[') {
			n_node += n_pu;
			r = synthetic_skip(&at, ']');
		} else if (*at == '(') {
			r = synthetic_skip(&at, ')');
		} else {
			r = synthetic_level(&at, &count, &is_node);
			if (r < 0)
				return r;
			any = true;
			n_pu *= count; /* both are at most 8,192 */
			if (is_node)
				n_node += n_pu;
		}
		if (r < 0)
			return r;
		if (n_pu > TOPOLOGY_N_PU_MAX || n_node > TOPOLOGY_N_NODE_MAX)
			return -ERANGE;
	}
	*ret_n_pu = n_pu;
	*ret_n_node = n_node;
	return any ? 0 : -EINVAL;
}

int topo_check_synthetic(const char *description, struct fault *fault)
{
	uint32_t n_pu, n_node;
	int r;

	if (strnlen(description, SYNTHETIC_SIZE_MAX) >= SYNTHETIC_SIZE_MAX)
		return fault_set(fault, -ERANGE,
				 "synthetic machine: description of more than %u bytes",
				 SYNTHETIC_SIZE_MAX);
	r = synthetic_count(description, &n_pu, &n_node);
	if (r == -ERANGE)
		return fault_set(fault, r,
				 "synthetic machine '%.200s' has more than %u PUs or %u nodes",
				 description, TOPOLOGY_N_PU_MAX, TOPOLOGY_N_NODE_MAX);
	if (r < 0)
		return fault_set(fault, r,
				 "synthetic machine '%.200s' is not a list of TYPE:COUNT, such as"
				 " 'package:2 numa:2 l3:1 core:4 pu:2'",
				 description);
	return 0;
}

/* Reads a whole regular file. Opened without blocking: a FIFO would wait for its writer. */
int topo_read_xml_file(const char *path, char **ret_text, struct fault *fault)
{
	cleanup(close_fdp) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	cleanup(freep) char *text = NULL;
	struct stat st;
	size_t used = 0;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fault_set(fault, -errno, "cannot open machine '%s': %s", path,
				 strerror(errno));
	if (!S_ISREG(st.st_mode))
		return fault_set(fault, -EINVAL,
				 "machine '%s' is neither a regular file nor a directory", path);
	if (st.st_size > (off_t)XML_SIZE_MAX)
		return fault_set(fault, -EFBIG, "machine '%s' has %lld bytes, at most %u are read",
				 path, (long long)st.st_size, XML_SIZE_MAX);
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return fault_set(fault, -ENOMEM, "no memory for machine '%s'", path);
	while (used < (size_t)st.st_size) {
		ssize_t n = read(fd, text + used, (size_t)st.st_size - used);

		if (n < 0)
			return fault_set(fault, -errno, "cannot read machine '%s': %s", path,
					 strerror(errno));
		if (n == 0)
			break;
		used += (size_t)n;
	}
	text[used] = '\0';
	if (strlen(text) != used)
		return fault_set(fault, -EINVAL,
				 "machine '%s' holds a NUL byte, expected hwloc XML", path);
	*ret_text = TAKE_PTR(text);
	return 0;
}
