/* /run/sidecard/conf/NAME.conf: the lines of a configuration that a workload's plugin proposes, for
 * an include directive or a second -f. The runtimes' comments differ, so nothing is added to them.
 * A file that is right is left alone: a path unit may watch it to reload its server. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "publish/publish.h"

#define FRAGMENT_FILE_SIZE 80 /* name_is_valid(): at most 63 characters */

static void file_name(const char *name, char ret_file[static FRAGMENT_FILE_SIZE])
{
	snprintf(ret_file, FRAGMENT_FILE_SIZE, "%s" FRAGMENT_SUFFIX, name);
}

/* malloc'ed; NULL where memory is short. */
static char *text_make(const struct strings *lines)
{
	char *text = NULL;
	size_t n_text = 0;
	FILE *file = open_memstream(&text, &n_text);

	if (!file)
		return NULL;
	for (size_t i = 0; i < lines->n_items; i++)
		fprintf(file, "%s\n", lines->items[i]);
	if (fclose(file) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static bool file_is(int dirfd, const char *file, const char *text)
{
	cleanup(close_fdp) int fd = openat(dirfd, file,
					   O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	size_t n_text = strlen(text), used = 0;
	cleanup(freep) char *found = malloc(n_text + 1);

	if (fd < 0 || !found)
		return false;
	while (used <= n_text) {
		ssize_t n = read(fd, found + used, n_text + 1 - used);

		if (n < 0)
			return false;
		if (n == 0)
			break;
		used += (size_t)n;
	}
	return used == n_text && memcmp(found, text, n_text) == 0;
}

int fragment_write(int conf_dirfd, const char *name, const struct strings *lines,
		   struct fault *fault)
{
	cleanup(freep) char *text = NULL;
	char file[FRAGMENT_FILE_SIZE];
	int r;

	if (!name_is_valid(name))
		return fault_set(fault, -EINVAL, "fragment: '%s' is no name, expected %s", name,
				 NAME_RULE);
	file_name(name, file);
	text = text_make(lines);
	if (!text)
		return fault_set(fault, -ENOMEM, "fragment of workload '%s': no memory", name);
	if (file_is(conf_dirfd, file, text))
		return 0;
	r = file_replace(conf_dirfd, file, text, strlen(text));
	if (r < 0)
		return fault_set(fault, r,
				 "fragment '%s': cannot be replaced: %s, keeping the old one", file,
				 strerror(-r));
	return 0;
}

int fragment_remove(int conf_dirfd, const char *name)
{
	char file[FRAGMENT_FILE_SIZE];

	if (!name_is_valid(name))
		return -EINVAL;
	file_name(name, file);
	if (unlinkat(conf_dirfd, file, 0) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}
