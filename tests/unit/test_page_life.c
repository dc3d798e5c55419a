/* Live pages among processes: readers against a writer, writers that are killed, other users, a
 * full file system. */
#include "page_fixture.h"

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#define SEED UINT64_C(0x5eed0001)

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* ---- readers against a writer ---- */

/* A writer of its own until it is killed, from the generation it finds on. */
static pid_t start_writer(const struct fixture *fixture, bool also_makes_and_removes)
{
	pid_t pid = fork();
	struct pages *pages;
	struct workload *conf = fixture->placements->conf;
	char *own = conf->name, other[] = "other"; /* neither is freed: it is killed */
	uint64_t generation;

	if (pid != 0)
		return pid;
	if (pages_open(fixture->dirfd, &pages, NULL) < 0)
		_exit(1);
	for (generation = pages_found_generation(pages) + 1;; generation++) {
		conf->name = own;
		if (pages_write(pages, placement_of(fixture->placements, generation), generation,
				NULL) < 0)
			_exit(2);
		if (!also_makes_and_removes)
			continue;
		conf->name = other;
		if (pages_write(pages, placement_of(fixture->placements, generation), generation,
				NULL) < 0)
			_exit(3);
		if (generation % 2 && pages_remove(pages, "other") < 0)
			_exit(4);
	}
}

static void stop_writer(pid_t pid)
{
	int status;

	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* Returns how many of @n_reads were torn or older than the one before. */
static unsigned long count_bad(const struct fixture *fixture, const struct sidecard_page *page,
			       unsigned long n_reads, uint64_t *ret_last)
{
	struct sidecard_answer answer;
	unsigned long n_bad = 0;
	uint64_t last = 0;

	for (unsigned long i = 0; i < n_reads; i++) {
		uint32_t parallelism = sidecard_page_parallelism(page);

		sidecard_page_read(page, &answer);
		if (!answer_is_whole(fixture->placements, &answer) || answer.generation < last ||
		    parallelism < 1 || parallelism > N_PLACEMENTS)
			n_bad++;
		last = answer.generation;
	}
	*ret_last = last;
	return n_bad;
}

static void no_reader_finds_a_torn_answer(void **state)
{
	const struct fixture *fixture = *state;
	const unsigned long n_reads = 2000000;
	struct pages *pages = open_pages(fixture);
	const struct sidecard_page *page;
	uint64_t last;
	pid_t writer, reader;
	int status;

	write_page(pages, fixture, 1);
	pages_free(pages);
	page = map_page("w");
	writer = start_writer(fixture, false);
	reader = fork();
	if (reader == 0)
		_exit(count_bad(fixture, page, n_reads, &last) != 0);
	assert_int_equal(count_bad(fixture, page, n_reads, &last), 0);
	/* There was something to read. */
	assert_true(last > 1000);
	assert_int_equal(waitpid(reader, &status, 0), reader);
	assert_int_equal(status, 0);
	stop_writer(writer);
	unmap_page(page);
}

static void no_death_of_a_writer_harms_a_reader(void **state)
{
	const struct fixture *fixture = *state;
	uint64_t seed = SEED, generation = 1;
	struct pages *pages = open_pages(fixture);
	const struct sidecard_page *page;

	print_message("seed %#llx\n", (unsigned long long)seed);
	write_page(pages, fixture, generation);
	pages_free(pages);
	page = map_page("w");
	for (unsigned i = 0; i < 300; i++) {
		pid_t writer = start_writer(fixture, i % 2);
		struct sidecard_answer answer;
		uint32_t sequence = page->sequence;
		int status;

		/* The new life has adopted the page once it moves; then it is killed wherever it
		 * happens to be. */
		while (__atomic_load_n(&page->sequence, __ATOMIC_ACQUIRE) == sequence)
			assert_int_equal(waitpid(writer, &status, WNOHANG), 0);
		for (uint64_t n = random_next(&seed) % 100000; n > 0; n--)
			__asm__ volatile("");
		stop_writer(writer);
		sidecard_page_read(page, &answer);
		assert_true(answer_is_whole(fixture->placements, &answer));
		assert_true(answer.generation > generation);
		generation = answer.generation;
		assert_int_equal(read_whole(fixture, "w").generation, generation);
		/* Either there is no such page or a whole one; a removal may have marked it. */
		if (access("other", F_OK) == 0) {
			const struct sidecard_page *other = map_page("other");

			assert_int_equal(other->magic, SIDECARD_PAGE_MAGIC);
			sidecard_page_read(other, &answer);
			answer.flags &= ~SIDECARD_FLAG_GONE;
			assert_true(answer_is_whole(fixture->placements, &answer));
			unmap_page(other);
		}
		pages = open_pages(fixture);
		assert_true(pages_found_generation(pages) >= generation);
		assert_in_range(count_entries(), 1, 2);
		pages_free(pages);
	}
	unmap_page(page);
}

/* ---- what needs privilege ---- */

static void any_user_reads_and_none_writes(void **state)
{
	const struct fixture *fixture = *state;
	struct pages *pages;
	int status;
	pid_t pid;

	if (geteuid() != 0) {
		print_message("only root can become another user\n");
		skip();
	}
	pages = open_pages(fixture);
	write_page(pages, fixture, 12);
	pid = fork();
	if (pid == 0) {
		const struct sidecard_page *page;
		struct sidecard_answer answer;

		if (setgid(65534) < 0 || setuid(65534) < 0)
			_exit(1);
		page = map_page("w");
		sidecard_page_read(page, &answer);
		if (!answer_is_whole(fixture->placements, &answer))
			_exit(2);
		if (open("w", O_RDWR | O_CLOEXEC) >= 0 || errno != EACCES)
			_exit(3);
		if (mprotect((void *)(uintptr_t)page, SIDECARD_PAGE_SIZE, PROT_READ | PROT_WRITE) ==
		    0)
			_exit(4);
		_exit(unlink("w") == 0 ? 5 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	pages_free(pages);
}

/* In a mount namespace of its own, in a file system of four pages; the exit status is the line that
 * failed. */
#define OR_EXIT(condition)                         \
	do {                                       \
		if (!(condition))                  \
			_exit(__LINE__ % 251 + 2); \
	} while (0)

static void full_file_system(struct fixture *fixture)
{
	struct pages *pages;
	struct fault fault = { 0 };
	int dirfd;

	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", fixture->path, "tmpfs", 0, "size=16k") < 0)
		_exit(1);
	dirfd = open(fixture->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	OR_EXIT(mkdirat(dirfd, "live", 0755) == 0);
	OR_EXIT(fchdir(dirfd) == 0 && chdir("live") == 0);
	OR_EXIT(pages_open(dirfd, &pages, NULL) == 0);
	for (unsigned i = 0; i < 6; i++) {
		int r;

		name_workload(fixture, "w%u", i);
		r = pages_write(pages, placement_of(fixture->placements, i), i, &fault);
		OR_EXIT(r == (i < 4 ? 0 : -ENOSPC));
	}
	OR_EXIT(strstr(fault.text, "live/w5") && strstr(fault.text, "No space left"));
	OR_EXIT(count_entries() == 4);
	/* Those that have a page go on. */
	for (unsigned i = 0; i < 4; i++) {
		name_workload(fixture, "w%u", i);
		OR_EXIT(pages_write(pages, placement_of(fixture->placements, 50 + i), 50 + i,
				    NULL) == 0);
		OR_EXIT(read_whole(fixture, fixture->placements->conf->name).generation == 50 + i);
	}
	/* The next life goes on with them, and what one gives back another one gets. */
	OR_EXIT(pages_free(pages) == NULL && pages_open(dirfd, &pages, NULL) == 0);
	OR_EXIT(pages_found_generation(pages) == 53);
	OR_EXIT(pages_write(pages, placement_of(fixture->placements, 60), 60, NULL) == 0);
	OR_EXIT(read_whole(fixture, "w3").generation == 60);
	OR_EXIT(pages_remove(pages, "w0") == 0 && count_entries() == 3);
	name_workload(fixture, "w5");
	OR_EXIT(pages_write(pages, placement_of(fixture->placements, 61), 61, NULL) == 0);
	OR_EXIT(read_whole(fixture, "w5").generation == 61);
	_exit(0);
}

static void a_full_file_system_stops_only_who_needs_room(void **state)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		full_file_system(*state);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 1) {
		print_message("a small tmpfs cannot be mounted here: no privilege\n");
		skip();
	}
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAGE_TEST(no_reader_finds_a_torn_answer),
		PAGE_TEST(no_death_of_a_writer_harms_a_reader),
		PAGE_TEST(any_user_reads_and_none_writes),
		PAGE_TEST(a_full_file_system_stops_only_who_needs_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
