/* The client library: what it opens, what it refuses, and that a wait ends when and only when
 * something happened. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "placement.h"
#include "publish/publish.h"

struct fixture {
	char path[40];
	int dirfd;
	struct placements *placements;
	struct pages *pages;
};

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	if (!fixture)
		return -1;
	strcpy(fixture->path, "/tmp/libsidecard-XXXXXX");
	assert_non_null(mkdtemp(fixture->path));
	fixture->dirfd = open(fixture->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(fixture->dirfd, "live", 0755), 0);
	assert_int_equal(fchdir(fixture->dirfd), 0);
	assert_int_equal(pages_open(fixture->dirfd, &fixture->pages, NULL), 0);
	fixture->placements = placements_new("w");
	assert_int_equal(unsetenv("SIDECARD_PAGE"), 0);
	assert_int_equal(unsetenv("SIDECARD_WORKLOAD"), 0);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	static const char *const made[] = { "live/w", "live/link", "live/fifo", "live/short",
					    "live/copy" };

	for (size_t i = 0; i < N_ELEMENTS(made); i++)
		unlinkat(fixture->dirfd, made[i], 0);
	unlinkat(fixture->dirfd, "live", AT_REMOVEDIR);
	assert_int_equal(chdir("/"), 0);
	rmdir(fixture->path);
	close(fixture->dirfd);
	pages_free(fixture->pages);
	placements_free(fixture->placements);
	free(fixture);
	return 0;
}

static void write_page(const struct fixture *fixture, uint64_t generation)
{
	assert_int_equal(pages_write(fixture->pages, placement_of(fixture->placements, generation),
				     generation, NULL),
			 0);
}

static unsigned count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void finds_the_page_by_path_and_by_variable(void **state)
{
	const struct fixture *fixture = *state;
	unsigned n_before = count_descriptors();
	const struct sidecard_page *page;
	struct sidecard_answer answer;

	write_page(fixture, 9);
	assert_int_equal(symlink("w", "live/link"), 0);
	/* A volume of an orchestrator is full of links. */
	for (unsigned i = 0; i < 3; i++) {
		if (i == 2)
			assert_int_equal(setenv("SIDECARD_PAGE", "live/w", 1), 0);
		page = sidecard_open(i == 0 ? "live/w" : i == 1 ? "live/link" : NULL);
		assert_non_null(page);
		sidecard_page_read(page, &answer);
		assert_true(answer_is_whole(fixture->placements, &answer));
		assert_int_equal(answer.generation, 9);
		assert_int_equal(sidecard_page_parallelism(page), answer.parallelism);
		sidecard_close(page);
	}
	assert_int_equal(count_descriptors(), n_before);
	sidecard_close(NULL);
}

static void a_variable_leads_nowhere_else(void **state)
{
	static const struct {
		const char *why, *workload;
	} rows[] = {
		{ "not set", NULL },
		{ "empty", "" },
		{ "out of the directory", "../../../etc/passwd" },
		{ "a path", "a/b" },
		{ "hidden", ".lock" },
		{ "longer than a name",
		  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" },
		{ "no such workload", "no-such-workload-anywhere" },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		if (rows[i].workload)
			assert_int_equal(setenv("SIDECARD_WORKLOAD", rows[i].workload, 1), 0);
		errno = 0;
		if (sidecard_open(NULL) || errno != ENOENT)
			fail_msg("%s: errno %d", rows[i].why, errno);
	}
}

/* A page of "w" with @n_bytes at @offset changed, and @size bytes long. */
static void put_copy(size_t offset, const void *data, size_t n_bytes, size_t size)
{
	char bytes[2 * SIDECARD_PAGE_SIZE] = { 0 };
	int from = open("live/w", O_RDONLY | O_CLOEXEC), to;

	assert_int_equal(read(from, bytes, SIDECARD_PAGE_SIZE), SIDECARD_PAGE_SIZE);
	close(from);
	memcpy(bytes + offset, data, n_bytes);
	to = open("live/copy", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_int_equal(write(to, bytes, size), size);
	close(to);
}

static void what_is_no_page_is_refused(void **state)
{
	const struct fixture *fixture = *state;
	static const struct {
		const char *why;
		size_t offset, n_bytes, size;
		int error;
	} rows[] = {
		{ "as it is", 0, 0, SIDECARD_PAGE_SIZE, 0 },
		{ "another magic", offsetof(struct sidecard_page, magic), 8, SIDECARD_PAGE_SIZE,
		  EPROTO },
		{ "another version", offsetof(struct sidecard_page, version), 4, SIDECARD_PAGE_SIZE,
		  EPROTO },
		{ "another layout", offsetof(struct sidecard_page, answer_size), 4,
		  SIDECARD_PAGE_SIZE, EPROTO },
		{ "nothing published", offsetof(struct sidecard_page, sequence), 4,
		  SIDECARD_PAGE_SIZE, EPROTO },
		{ "reading it would be SIGBUS", 0, 0, 0, EPROTO },
		{ "cut", 0, 0, SIDECARD_PAGE_SIZE - 1, EPROTO },
		{ "longer", 0, 0, SIDECARD_PAGE_SIZE + 1, EPROTO },
	};
	static const char zeros[8];
	unsigned n_before = count_descriptors();

	write_page(fixture, 9);
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		const struct sidecard_page *page;

		put_copy(rows[i].offset, zeros, rows[i].n_bytes, rows[i].size);
		errno = 0;
		page = sidecard_open("live/copy");
		if (!page != (rows[i].error != 0) || errno != rows[i].error)
			fail_msg("%s: errno %d", rows[i].why, errno);
		sidecard_close(page);
	}
	assert_int_equal(mkfifo("live/fifo", 0644), 0);
	assert_null(sidecard_open("live/fifo"));
	assert_int_equal(errno, EPROTO);
	assert_null(sidecard_open("live"));
	assert_int_equal(errno, EPROTO);
	assert_null(sidecard_open("live/none"));
	assert_int_equal(errno, ENOENT);
	assert_int_equal(count_descriptors(), n_before);
}

static void a_wait_on_the_past_does_not_wait(void **state)
{
	const struct fixture *fixture = *state;
	const struct sidecard_page *page;
	struct sidecard_answer answer;
	uint32_t sequence;

	write_page(fixture, 1);
	page = sidecard_open("live/w");
	sequence = sidecard_page_read(page, &answer);
	assert_int_equal(sidecard_wait(page, sequence, 0), -ETIMEDOUT);
	assert_int_equal(sidecard_wait(page, sequence, 1000), -ETIMEDOUT);
	write_page(fixture, 2);
	assert_int_equal(sidecard_wait(page, sequence, 0), 0);
	assert_int_equal(sidecard_wait(page, sequence, UINT64_MAX), 0);
	assert_int_equal(sidecard_wait(page, sequence, UINT64_MAX - 1), 0);
	sidecard_close(page);
}

static void on_alarm(int signal)
{
	(void)signal;
}

static void a_signal_ends_a_wait(void **state)
{
	const struct fixture *fixture = *state;
	/* Again and again, since the first may come before the wait has begun. */
	const struct itimerval often = { { 0, 10000 }, { 0, 10000 } }, never = { 0 };
	const struct sigaction action = { .sa_handler = on_alarm };
	const struct sidecard_page *page;

	write_page(fixture, 1);
	page = sidecard_open("live/w");
	assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
	assert_int_equal(sidecard_wait(page, page->sequence, UINT64_MAX), -EINTR);
	assert_int_equal(sidecard_wait(page, page->sequence, UINT64_MAX - 1), -EINTR);
	assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
	sidecard_close(page);
}

/* Two processes in turn: each update of ours wakes the other, whose answer is what lets us go on. A
 * lost wake-up would hang until its time is up. */
static void every_update_wakes_who_waits(void **state)
{
	const struct fixture *fixture = *state;
	const unsigned n_updates = 2000;
	const struct sidecard_page *page;
	int fds[2], status;
	pid_t pid;

	write_page(fixture, 1);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		struct sidecard_answer answer;
		uint32_t sequence;

		page = sidecard_open("live/w");
		sequence = page ? sidecard_page_read(page, &answer) : 0;
		for (;;) {
			if (!page || write(fds[1], "", 1) != 1)
				_exit(1);
			if (sidecard_wait(page, sequence, 30000000) < 0)
				_exit(2);
			sequence = sidecard_page_read(page, &answer);
			if (!answer_is_whole(fixture->placements, &answer))
				_exit(3);
			if (answer.flags & SIDECARD_FLAG_GONE || answer.generation == n_updates)
				_exit(0);
		}
	}
	close(fds[1]);
	for (uint64_t generation = 2; generation <= n_updates; generation++) {
		char byte;

		if (read(fds[0], &byte, 1) != 1)
			break;
		write_page(fixture, generation);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(fds[0]);
}

static void removal_wakes_who_waits(void **state)
{
	const struct fixture *fixture = *state;
	int status;
	pid_t pid;

	write_page(fixture, 1);
	pid = fork();
	if (pid == 0) {
		const struct sidecard_page *page = sidecard_open("live/w");
		struct sidecard_answer answer;

		/* Removed before we came: as good. */
		if (!page)
			_exit(errno == ENOENT ? 0 : 1);
		while (sidecard_page_read(page, &answer), !(answer.flags & SIDECARD_FLAG_GONE))
			if (sidecard_wait(page, page->sequence, 30000000) < 0 &&
			    (sidecard_page_read(page, &answer),
			     !(answer.flags & SIDECARD_FLAG_GONE)))
				_exit(2);
		_exit(0);
	}
	for (uint64_t generation = 2; generation < 1000; generation++)
		write_page(fixture, generation);
	assert_int_equal(pages_remove(fixture->pages, "w"), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void three_symbols_are_exported(void **state)
{
	char command[4200], line[512];
	unsigned n_known = 0;
	Dl_info info;
	FILE *file;

	(void)state;
	assert_true(dladdr((const void *)(uintptr_t)sidecard_open, &info) != 0);
	if (!strstr(info.dli_fname, "libsidecard.so")) {
		print_message("linked statically: nothing is exported\n");
		skip();
	}
	snprintf(command, sizeof(command), "nm -D --defined-only '%s' 2>&1", info.dli_fname);
	file = popen(command, "re");
	while (file && fgets(line, sizeof(line), file)) {
		const char *name = strrchr(line, ' ');

		/* What begins with an underscore belongs to the linker or a sanitizer. */
		if (!name || name[1] == '_')
			continue;
		if (strcmp(name, " sidecard_open\n") != 0 &&
		    strcmp(name, " sidecard_close\n") != 0 && strcmp(name, " sidecard_wait\n") != 0)
			fail_msg("%s", line);
		n_known++;
	}
	assert_non_null(file);
	pclose(file);
	assert_int_equal(n_known, 3);
}

#define LIBRARY_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIBRARY_TEST(finds_the_page_by_path_and_by_variable),
		LIBRARY_TEST(a_variable_leads_nowhere_else),
		LIBRARY_TEST(what_is_no_page_is_refused),
		LIBRARY_TEST(a_wait_on_the_past_does_not_wait),
		LIBRARY_TEST(a_signal_ends_a_wait),
		LIBRARY_TEST(every_update_wakes_who_waits),
		LIBRARY_TEST(removal_wakes_who_waits),
		cmocka_unit_test(three_symbols_are_exported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
