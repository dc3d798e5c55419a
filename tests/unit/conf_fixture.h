/* A directory to break: made before each test of the configuration, filled by it, and removed
 * afterwards. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "edge/conf_internal.h"

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline int set_up(void **state)
{
	char *directory = strdup("/tmp/sidecard-conf-XXXXXX");

	assert_non_null(mkdtemp(directory));
	*state = directory;
	return 0;
}

static inline int tear_down(void **state)
{
	nftw(*state, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(*state);
	return 0;
}

static inline char *path_in(const char *directory, const char *path)
{
	char *whole = NULL;

	assert_true(asprintf(&whole, "%s/%s", directory, path) > 0);
	return whole;
}

/* Every directory on the way is made, too. */
static inline void make_parents(const char *path)
{
	cleanup(freep) char *copy = strdup(path);

	for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(copy, 0755) == 0)
			assert_int_equal(chmod(copy, 0755), 0);
		*slash = '/';
	}
}

static inline void write_bytes(const char *directory, const char *path, const char *text, size_t n)
{
	cleanup(freep) char *whole = path_in(directory, path);
	FILE *file;

	make_parents(whole);
	/* ext4 waits for the disk where a file that was cut to nothing is closed. */
	unlink(whole);
	file = fopen(whole, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, n, file), n);
	assert_int_equal(fchmod(fileno(file), 0644), 0);
	assert_int_equal(fclose(file), 0);
}

static inline void write_file(const char *directory, const char *path, const char *text)
{
	write_bytes(directory, path, text, strlen(text));
}

static inline struct conf *load_good(const char *directory)
{
	struct fault_list faults = { 0 };
	struct conf *conf = NULL;
	int r = conf_load(directory, true, &conf, &faults);

	if (r < 0)
		fail_msg("%d: %s", r, faults.n_texts ? faults.texts[0] : "no fault");
	assert_int_equal(faults.n_texts, 0);
	return conf;
}

/* @expected: one a line, each beginning behind "DIRECTORY/". */
static inline void expect_faults(const char *why, const char *directory,
				 const struct fault_list *faults, const char *expected)
{
	size_t n_directory = strlen(directory);
	const char *at = expected;

	for (size_t i = 0; i < faults->n_texts; i++) {
		const char *text = faults->texts[i];
		size_t n = strcspn(at, "\n");

		if (strncmp(text, directory, n_directory) == 0)
			text += n_directory + (text[n_directory] == '/');
		if (strlen(text) != n || strncmp(text, at, n) != 0)
			fail_msg("%s: fault %zu is\n%s\nexpected\n%.*s", why, i, text, (int)n, at);
		at += n + (at[n] == '\n');
	}
	if (*at != '\0')
		fail_msg("%s: missing\n%s", why, at);
}

static inline void expect_refused(const char *why, const char *directory, bool offline,
				  const char *expected)
{
	struct fault_list faults = { 0 };
	struct conf *conf = NULL;
	int r = conf_load(directory, offline, &conf, &faults);

	if (r != -EINVAL)
		fail_msg("%s: %d", why, r);
	assert_null(conf);
	expect_faults(why, directory, &faults, expected);
	fault_list_done(&faults);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
