/* Live pages: what they say, how a life goes on with those of an earlier one, and that nothing in
 * the directory does harm. */
#include "page_fixture.h"

static void a_page_is_born_complete(void **state)
{
	const struct fixture *fixture = *state;
	mode_t mask = umask(077);
	struct pages *pages = open_pages(fixture);
	struct stat status;

	umask(mask);
	assert_int_equal(pages_found_generation(pages), 0);
	umask(077);
	write_page(pages, fixture, 41);
	umask(mask);
	assert_int_equal(stat("w", &status), 0);
	assert_int_equal(status.st_mode & 07777, 0644);
	assert_int_equal(status.st_size, SIDECARD_PAGE_SIZE);
	assert_int_equal(read_whole(fixture, "w").generation, 41);
	assert_int_equal(count_entries(), 1);
	write_page(pages, fixture, 42);
	assert_int_equal(read_whole(fixture, "w").generation, 42);
	pages_free(pages);
	assert_int_equal(read_whole(fixture, "w").generation, 42);
}

static void the_ends_of_what_can_be_said(void **state)
{
	const struct fixture *fixture = *state;
	static const struct {
		const char *why;
		bool placed;
		enum limited_by limited_by;
		const char *path, *said;
		uint32_t flags;
	} rows[] = {
		{ "not placed: no PU is named, one thread is", false, LIMITED_BY_PARTITION, NULL,
		  "partition", 0 },
		{ "a cgroup may have any byte but newline and NUL", true, LIMITED_BY_QUOTA,
		  "/\x1b[2J\xff", "cpu.max of /\\x1b[2J\\xff", SIDECARD_FLAG_PLACED },
	};
	struct pages *pages = open_pages(fixture);
	const struct sidecard_page *page;
	struct sidecard_answer answer, empty = { 0 };
	char path[4000];

	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct plan_workload workload = fixture->placements->items[3];

		workload.placed = rows[i].placed;
		workload.limited_by = rows[i].limited_by;
		workload.limited_by_path = (char *)(uintptr_t)rows[i].path;
		workload.parallelism = (struct parallelism){ 0 };
		assert_int_equal(pages_write(pages, &workload, i + 1, NULL), 0);
		page = map_page("w");
		sidecard_page_read(page, &answer);
		if (strcmp(answer.limited_by, rows[i].said) != 0 || answer.flags != rows[i].flags)
			fail_msg("%s: '%s', flags %u", rows[i].why, answer.limited_by,
				 answer.flags);
		assert_int_equal(answer.parallelism, 1);
		assert_int_equal(answer.parallelism_floor, 1);
		assert_int_equal(answer.parallelism_ceil, 1);
		assert_int_equal(memcmp(answer.cpus, empty.cpus, sizeof(empty.cpus)) == 0,
				 !rows[i].placed);
		unmap_page(page);
	}
	{
		struct plan_workload workload = fixture->placements->items[3];

		memset(path, 'x', sizeof(path) - 1);
		path[sizeof(path) - 1] = '\0';
		workload.limited_by_path = path;
		assert_int_equal(pages_write(pages, &workload, 9, NULL), 0);
		page = map_page("w");
		sidecard_page_read(page, &answer);
		assert_int_equal(strlen(answer.limited_by), sizeof(answer.limited_by) - 1);
		unmap_page(page);
	}
	pages_free(pages);
}

static void the_next_life_goes_on_with_the_page(void **state)
{
	const struct fixture *fixture = *state;
	struct pages *pages = open_pages(fixture);
	const struct sidecard_page *reader;
	struct sidecard_answer answer;
	uint32_t sequence;

	write_page(pages, fixture, 100);
	write_page(pages, fixture, 101);
	pages_free(pages);
	reader = map_page("w");
	sequence = sidecard_page_read(reader, &answer);
	pages = open_pages(fixture);
	assert_int_equal(pages_found_generation(pages), 101);
	assert_int_equal(reader->sequence, sequence);
	write_page(pages, fixture, 102);
	assert_int_equal(sidecard_page_read(reader, &answer), sequence + 1);
	assert_int_equal(answer.generation, 102);
	assert_true(answer_is_whole(fixture->placements, &answer));
	unmap_page(reader);
	pages_free(pages);
}

/* Changes bytes of the page of "w" behind the writer's back. */
static void patch(size_t offset, const void *data, size_t n_bytes)
{
	int fd = open("w", O_WRONLY | O_CLOEXEC);

	assert_int_equal(pwrite(fd, data, n_bytes, (off_t)offset), n_bytes);
	close(fd);
}

static void a_half_written_slot_is_nobodys(void **state)
{
	const struct fixture *fixture = *state;
	struct pages *pages = open_pages(fixture);
	char junk[700];

	memset(junk, 0xa5, sizeof(junk));
	for (uint64_t generation = 1; generation < 6; generation++) {
		const struct sidecard_page *page;
		size_t slot;

		write_page(pages, fixture, generation);
		pages_free(pages);
		page = map_page("w");
		slot = offsetof(struct sidecard_page, slots) +
		       (page->sequence + 1) % 2 * sizeof(struct sidecard_answer);
		patch(slot, junk, sizeof(junk));
		assert_int_equal(read_whole(fixture, "w").generation, generation);
		pages = open_pages(fixture);
		assert_int_equal(pages_found_generation(pages), generation);
		unmap_page(page);
	}
	pages_free(pages);
}

static void the_sequence_never_returns_to_0(void **state)
{
	const struct fixture *fixture = *state;
	struct pages *pages = open_pages(fixture);
	const uint32_t last = UINT32_MAX;

	write_page(pages, fixture, 7);
	pages_free(pages);
	patch(offsetof(struct sidecard_page, sequence), &last, sizeof(last));
	assert_int_equal(read_whole(fixture, "w").generation, 7);
	pages = open_pages(fixture);
	for (uint64_t generation = 8; generation < 12; generation++) {
		const struct sidecard_page *page;

		write_page(pages, fixture, generation);
		assert_int_equal(read_whole(fixture, "w").generation, generation);
		page = map_page("w");
		assert_int_equal(page->sequence, generation - 6);
		unmap_page(page);
	}
	pages_free(pages);
}

/* ---- what may lie in the directory ---- */

#define PATCH(field, value, text)                                  \
	{                                                          \
		text, offsetof(struct sidecard_page, field), value \
	}

static void pages_that_are_not_ours_are_replaced(void **state)
{
	const struct fixture *fixture = *state;
	static const struct {
		const char *why;
		size_t offset;
		const char *bytes;
	} rows[] = {
		PATCH(magic, "SCDPAGE1", "another magic"),
		PATCH(version, "\2\0\0\0", "a later version"),
		PATCH(answer_size, "\1\0\0\0", "another layout"),
		PATCH(workload, "v", "the page of another workload"),
		PATCH(slots[1].generation, "\1\1\1\1\1\1\1\x7f",
		      "a generation that nobody reaches"),
		PATCH(slots[1].limited_by[175], "x", "a text without end"),
	};
	char run_on[sizeof(((struct sidecard_answer *)NULL)->limited_by)];

	memset(run_on, 'x', sizeof(run_on));
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct pages *pages = open_pages(fixture);
		struct stat before, after;

		unlink("w");
		write_page(pages, fixture, 5);
		pages_free(pages);
		assert_int_equal(stat("w", &before), 0);
		if (rows[i].bytes[0] == 'x')
			patch(offsetof(struct sidecard_page, slots[1].limited_by), run_on,
			      sizeof(run_on));
		patch(rows[i].offset, rows[i].bytes, strlen(rows[i].bytes));
		pages = open_pages(fixture);
		if (pages_found_generation(pages) != 0)
			fail_msg("%s: taken for ours", rows[i].why);
		write_page(pages, fixture, 6);
		assert_int_equal(read_whole(fixture, "w").generation, 6);
		assert_int_equal(stat("w", &after), 0);
		assert_true(before.st_ino != after.st_ino);
		assert_int_equal(count_entries(), 1);
		pages_free(pages);
	}
}

static int put_link(void)
{
	return symlink("../outside", "w");
}

static int put_dangling(void)
{
	return symlink("/nonexistent/x", "w");
}

static int put_fifo(void)
{
	return mkfifo("w", 0666);
}

static int put_file(const char *text, size_t n_text, mode_t mode)
{
	int fd = open("w", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, text, n_text), n_text);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
	return 0;
}

static int put_short(void)
{
	return put_file("scdpage1", 8, 0644);
}

static int put_empty(void)
{
	return put_file("", 0, 0644);
}

static int put_unreadable(void)
{
	return put_file("", 0, 0);
}

static int put_hole(void)
{
	put_file("", 0, 0644);
	return truncate("w", SIDECARD_PAGE_SIZE);
}

static int put_long(void)
{
	put_file("", 0, 0644);
	return truncate("w", 3 * SIDECARD_PAGE_SIZE);
}

static int put_writable_by_others(void)
{
	int from = open("../sound", O_RDONLY | O_CLOEXEC);
	char page[SIDECARD_PAGE_SIZE];

	assert_int_equal(read(from, page, sizeof(page)), sizeof(page));
	close(from);
	return put_file(page, sizeof(page), 0646);
}

static int put_directory(void)
{
	return mkdir("w", 0755);
}

static void strange_entries_do_no_harm(void **state)
{
	const struct fixture *fixture = *state;
	static const struct {
		const char *why;
		int (*put)(void);
		int result;
	} rows[] = {
		{ "a link would have us write elsewhere", put_link, 0 },
		{ "a link to nowhere", put_dangling, 0 },
		{ "opening a FIFO may wait for ever", put_fifo, 0 },
		{ "a store beyond the end is SIGBUS", put_short, 0 },
		{ "empty", put_empty, 0 },
		{ "may not be opened", put_unreadable, 0 },
		{ "a page of holes", put_hole, 0 },
		{ "longer than a page", put_long, 0 },
		{ "others may have written it", put_writable_by_others, 0 },
		{ "a directory cannot be replaced by a file", put_directory, -EISDIR },
	};
	struct pages *pages = open_pages(fixture);
	struct fault fault;
	struct stat status;
	int fd;

	write_page(pages, fixture, 77);
	pages_free(pages);
	assert_int_equal(rename("w", "../sound"), 0);
	fd = open("../outside", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	close(fd);
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		int r;

		assert_int_equal(rows[i].put(), 0);
		pages = open_pages(fixture);
		assert_int_equal(pages_found_generation(pages), 0);
		fault = (struct fault){ 0 };
		r = pages_write(pages, placement_of(fixture->placements, 3), 3, &fault);
		if (r != rows[i].result || (r < 0) != (fault.text[0] != '\0'))
			fail_msg("%s: %d '%s'", rows[i].why, r, fault.text);
		if (r == 0)
			assert_int_equal(read_whole(fixture, "w").generation, 3);
		assert_int_equal(count_entries(), 1);
		assert_int_equal(stat("../outside", &status), 0);
		assert_int_equal(status.st_size, 0);
		pages_free(pages);
		assert_true(unlink("w") == 0 || rmdir("w") == 0);
	}
}

static void names_that_are_none_are_left_alone(void **state)
{
	const struct fixture *fixture = *state;
	struct pages *pages;

	assert_int_equal(mkdir(".new.1.0", 0755), 0);
	assert_int_equal(symlink("..", "Upper"), 0);
	assert_int_equal(mkfifo("a b\n", 0666), 0);
	assert_int_equal(mkdir("dir", 0755), 0);
	assert_int_equal(put_empty(), 0);
	assert_int_equal(rename("w", ".new.4711.3"), 0);
	pages = open_pages(fixture);
	/* The half-made file of an earlier life is gone, the rest is there. */
	assert_int_equal(count_entries(), 4);
	write_page(pages, fixture, 3);
	assert_int_equal(pages_remove(pages, "dir"), 0);
	assert_int_equal(pages_remove(pages, "../x"), -EINVAL);
	assert_int_equal(pages_remove(pages, ""), -EINVAL);
	assert_int_equal(count_entries(), 5);
	pages_free(pages);
}

static void a_removed_page_says_so(void **state)
{
	const struct fixture *fixture = *state;

	/* Once in the life that made it, once left by an earlier one. */
	for (unsigned again = 0; again < 2; again++) {
		struct pages *pages = open_pages(fixture);
		const struct sidecard_page *reader;
		struct sidecard_answer answer;
		uint32_t sequence;

		write_page(pages, fixture, 10);
		reader = map_page("w");
		sequence = reader->sequence;
		if (again) {
			pages_free(pages);
			pages = open_pages(fixture);
		}
		assert_int_equal(pages_remove(pages, "w"), 0);
		assert_int_equal(sidecard_page_read(reader, &answer), sequence + 1);
		assert_int_equal(answer.flags, SIDECARD_FLAG_GONE | SIDECARD_FLAG_PLACED);
		answer.flags &= ~SIDECARD_FLAG_GONE;
		assert_true(answer_is_whole(fixture->placements, &answer));
		assert_int_equal(answer.generation, 10);
		assert_int_equal(count_entries(), 0);
		assert_int_equal(pages_remove(pages, "w"), 0);
		/* It comes back as a page of its own. */
		write_page(pages, fixture, 11);
		assert_int_equal(read_whole(fixture, "w").generation, 11);
		assert_int_equal(pages_remove(pages, "w"), 0);
		pages_free(pages);
		unmap_page(reader);
	}
}

/* ---- many workloads ---- */

/* Resident KiB of all mappings of files below @path. */
static unsigned long resident_kib(const char *path)
{
	FILE *file = fopen("/proc/self/smaps", "re");
	char line[4400];
	unsigned long sum = 0, n;
	bool ours = false;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		if (strchr(line, '-') && strstr(line, " rw-s "))
			ours = strstr(line, path) != NULL;
		else if (ours && sscanf(line, "Rss: %lu kB", &n) == 1)
			sum += n, ours = false;
	}
	fclose(file);
	return sum;
}

static void thousands_of_pages_do_not_stay_in_memory(void **state)
{
	const struct fixture *fixture = *state;
	const struct workload *conf = fixture->placements->conf;
	const unsigned n_names = 1000;
	struct pages *pages = open_pages(fixture);

	for (uint64_t generation = 1; generation <= 3; generation++) {
		for (unsigned i = 0; i < n_names; i++) {
			name_workload(fixture, "w%u", i);
			write_page(pages, fixture, generation * 1000 + i);
		}
		/* A page is born by write(2); only from then on is it stored to. */
		assert_in_range(resident_kib(fixture->path), generation > 1, 128 * 4);
	}
	for (unsigned i = 0; i < n_names; i++) {
		name_workload(fixture, "w%u", i);
		assert_int_equal(read_whole(fixture, conf->name).generation, 3000 + i);
	}
	for (unsigned i = 0; i < n_names; i += 2) {
		name_workload(fixture, "w%u", i);
		assert_int_equal(pages_remove(pages, conf->name), 0);
	}
	for (unsigned i = 1; i < n_names; i += 2) {
		name_workload(fixture, "w%u", i);
		write_page(pages, fixture, 4000 + i);
		assert_int_equal(read_whole(fixture, conf->name).generation, 4000 + i);
	}
	assert_int_equal(count_entries(), n_names / 2);
	pages_free(pages);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAGE_TEST(a_page_is_born_complete),
		PAGE_TEST(the_ends_of_what_can_be_said),
		PAGE_TEST(the_next_life_goes_on_with_the_page),
		PAGE_TEST(a_half_written_slot_is_nobodys),
		PAGE_TEST(the_sequence_never_returns_to_0),
		PAGE_TEST(pages_that_are_not_ours_are_replaced),
		PAGE_TEST(strange_entries_do_no_harm),
		PAGE_TEST(names_that_are_none_are_left_alone),
		PAGE_TEST(a_removed_page_says_so),
		PAGE_TEST(thousands_of_pages_do_not_stay_in_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
