/* A runtime directory of its own for each test of live pages; the working directory is its live/.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "placement.h"
#include "publish/publish.h"

struct fixture {
	char path[64]; /* of the runtime directory */
	int dirfd;
	struct placements *placements;
};

static inline int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	if (!fixture)
		return -1;
	strcpy(fixture->path,
	       access("/dev/shm", W_OK) == 0 ? "/dev/shm/page-XXXXXX" : "/tmp/page-XXXXXX");
	assert_non_null(mkdtemp(fixture->path));
	assert_int_equal(chmod(fixture->path, 0755), 0);
	fixture->dirfd = open(fixture->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fixture->dirfd >= 0);
	assert_int_equal(mkdirat(fixture->dirfd, "live", 0755), 0);
	assert_int_equal(fchdir(fixture->dirfd), 0);
	assert_int_equal(chdir("live"), 0);
	fixture->placements = placements_new("w");
	*state = fixture;
	return 0;
}

static inline void remove_entries(int dirfd)
{
	DIR *dir = fdopendir(dirfd);
	struct dirent *entry;

	while ((entry = readdir(dir)))
		if (unlinkat(dirfd, entry->d_name, 0) < 0)
			unlinkat(dirfd, entry->d_name, AT_REMOVEDIR);
	closedir(dir);
}

static inline int tear_down(void **state)
{
	struct fixture *fixture = *state;

	remove_entries(openat(fixture->dirfd, "live", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	remove_entries(openat(fixture->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	assert_int_equal(chdir("/"), 0);
	rmdir(fixture->path);
	close(fixture->dirfd);
	placements_free(fixture->placements);
	free(fixture);
	return 0;
}

static inline struct pages *open_pages(const struct fixture *fixture)
{
	struct pages *pages = NULL;
	struct fault fault = { 0 };

	if (pages_open(fixture->dirfd, &pages, &fault) < 0)
		fail_msg("%s", fault.text);
	return pages;
}

static inline void write_page(struct pages *pages, const struct fixture *fixture,
			      uint64_t generation)
{
	struct fault fault = { 0 };

	if (pages_write(pages, placement_of(fixture->placements, generation), generation, &fault) <
	    0)
		fail_msg("%s", fault.text);
}

static inline void name_workload(const struct fixture *fixture, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static inline void name_workload(const struct fixture *fixture, const char *format, ...)
{
	struct workload *conf = fixture->placements->conf;
	va_list args;

	free(conf->name);
	va_start(args, format);
	if (vasprintf(&conf->name, format, args) < 0)
		conf->name = NULL;
	va_end(args);
}

static inline const struct sidecard_page *map_page(const char *name)
{
	int fd = open(name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	void *map;

	assert_true(fd >= 0);
	map = mmap(NULL, SIDECARD_PAGE_SIZE, PROT_READ, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(map, MAP_FAILED);
	close(fd);
	return map;
}

static inline void unmap_page(const struct sidecard_page *page)
{
	munmap((void *)(uintptr_t)page, SIDECARD_PAGE_SIZE);
}

/* What the page of @name says now; it must be whole. */
static inline struct sidecard_answer read_whole(const struct fixture *fixture, const char *name)
{
	const struct sidecard_page *page = map_page(name);
	struct sidecard_answer answer;

	assert_int_equal(page->magic, SIDECARD_PAGE_MAGIC);
	sidecard_page_read(page, &answer);
	assert_true(answer_is_whole(fixture->placements, &answer));
	assert_int_equal(sidecard_page_parallelism(page), answer.parallelism);
	unmap_page(page);
	return answer;
}

static inline unsigned count_entries(void)
{
	DIR *dir = opendir(".");
	struct dirent *entry;
	unsigned n = 0;

	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.' || strlen(entry->d_name) > 2;
	closedir(dir);
	return n;
}

#define PAGE_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
