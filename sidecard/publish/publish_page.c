/* Placement → /run/sidecard/live/NAME: one page per workload, mapped read-only by who asks often.
 *
 * The latch. A page has two slots; slot sequence % 2 is valid. The one writer (publish.c holds a
 * lock) does
 *
 *	s = sequence                       (1) acquire; its own store, or that of an earlier life
 *	release fence                      (2)
 *	slot[(s + 1) % 2] = answer         (3) relaxed, word by word
 *	sequence = s + 1                   (4) release
 *	futex wake                         (5)
 *
 * and a reader (sidecard.h) loads sequence = s, acquire (a); copies slot[s % 2] (b); acquire
 * fence (c); loads sequence again (d) and keeps the copy if it is still s. Such a copy is whole:
 *
 * - All of it had been written: (a) read what (4) stored with release, so it sees the whole of the
 *   (3) before it.
 * - None of it is newer: slot[s % 2] is written next by update s + 2, whose (1) reads s + 1. Had
 *   (b) read a word of that (3), then fence (2) before the store and fence (c) after the load
 *   synchronise (C17 7.17.4), (d) finds s + 1 or more, and the reader tries again. Without (2) a
 *   processor that reorders stores could let (3) of update s + 2 overtake (4) of update s + 1.
 * - A writer's death changes nothing in this: (1) of the next life reads the value that it goes on
 *   from, and by coherence nobody who has seen what follows finds an older one.
 *
 * The copy (b) is a plain memcpy(), which C calls a race, as for every such latch; between the two
 * barriers the compiler can neither move nor repeat it, and a torn copy is thrown away unread.
 *
 * A writer that dies in (3) leaves a half answer in the slot that nobody reads. One that dies
 * between (4) and (5) leaves waiters asleep until the next life's first update, which every start
 * brings. A reader is fooled only where 2^32 - 1 updates go by within its copy.
 *
 * The sequence wraps from 2^32 - 1 to 2: 0 means that nothing was published, and the parity has to
 * alternate. */
#include "publish/publish.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/cleanup.h"
#include "edge/sidecard.h"

static_assert(sizeof(struct sidecard_answer) == 1496, "the layout is a contract");
static_assert(sizeof(struct sidecard_page) <= SIDECARD_PAGE_SIZE, "one page");
static_assert(CPUSET_MAX == SIDECARD_PAGE_N_PU, "a page tells of every PU");
static_assert(NODESET_MAX == SIDECARD_PAGE_N_NODE, "a page tells of every node");
static_assert(QUOTA_UNLIMITED_MCPU == SIDECARD_UNLIMITED_MCPU, "one word for unlimited");

#define PAGE_VERSION 1

/* Pages that stay in our page tables: 512 KiB of resident memory, however many workloads there are.
 * A page beyond costs one minor fault at its next update. */
#define N_RESIDENT 128

/* A page that claims more was not written by us: at a million updates a second it takes 146,000
 * years. */
#define GENERATION_MAX (UINT64_MAX >> 2)

#define LIMITED_BY_SIZE sizeof(((struct sidecard_answer *)NULL)->limited_by)

#define N_BUCKETS_FIRST 64
#define NOT_RESIDENT	UINT32_MAX

struct page {
	struct page *next; /* in its bucket */
	struct sidecard_page *map;
	uint32_t resident; /* index into pages->residents, or NOT_RESIDENT */
	char name[];
};

struct pages {
	int dirfd; /* live/ */
	struct page **buckets;
	size_t n_buckets; /* a power of two */
	size_t n_pages;
	struct page *residents[N_RESIDENT]; /* a ring: first in, first out */
	uint32_t next_resident;
	uint64_t found_generation;
};

union answer_words {
	struct sidecard_answer answer;
	uint64_t words[sizeof(struct sidecard_answer) / sizeof(uint64_t)];
};

static_assert(sizeof(union answer_words) == sizeof(struct sidecard_answer),
	      "no rest after the last word");

/* ---- the latch ---- */

static void page_store(struct sidecard_page *page, const union answer_words *answer)
{
	uint32_t next = __atomic_load_n(&page->sequence, __ATOMIC_ACQUIRE) + 1;
	union answer_words *slot;

	if (next == 0)
		next = 2;
	slot = (union answer_words *)&page->slots[next % 2];
	__atomic_thread_fence(__ATOMIC_RELEASE);
	for (size_t i = 0; i < N_ELEMENTS(answer->words); i++)
		__atomic_store_n(&slot->words[i], answer->words[i], __ATOMIC_RELAXED);
	__atomic_store_n(&page->sequence, next, __ATOMIC_RELEASE);
	/* Readers leave no trace that would tell whether anybody sleeps; without
	 * FUTEX_PRIVATE_FLAG, since they are other processes. */
	syscall(SYS_futex, &page->sequence, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* ---- what an answer says ---- */

static void bits_store(const struct bits *bits, uint64_t *words, uint32_t n_words)
{
	(void)n_words; /* with -DNDEBUG */
	assert(bits->n_words <= n_words && bits->first_word <= n_words - bits->n_words);
	if (bits->n_words > 0)
		memcpy(words + bits->first_word, bits->words, bits->n_words * sizeof(*words));
}

static uint32_t at_least_one(uint32_t n)
{
	return n > 0 ? n : 1;
}

/* Nearly every path is plain, and escaping takes a quarter of an update's time. */
static void limited_by_store(const char *text, char ret_text[static LIMITED_BY_SIZE])
{
	size_t n = 0;

	while (n < LIMITED_BY_SIZE - 1 && text[n] >= 0x20 && text[n] < 0x7f)
		n++;
	if (text[n] == '\0' || n == LIMITED_BY_SIZE - 1)
		memcpy(ret_text, text, n); /* what follows is 0 already */
	else
		text_escape(text, strlen(text), ret_text, LIMITED_BY_SIZE);
}

static void answer_fill(const struct plan_workload *workload, uint64_t generation,
			struct sidecard_answer *ret_answer)
{
	cleanup(freep) char *limited_by = plan_limited_by_text(workload);

	*ret_answer = (struct sidecard_answer){
		.generation = generation,
		.parallelism = at_least_one(workload->parallelism.advised),
		.parallelism_floor = at_least_one(workload->parallelism.floor),
		.parallelism_ceil = at_least_one(workload->parallelism.ceil),
		.quota_mcpu = workload->quota_mcpu,
	};
	/* Short of memory the number goes out without its reason. */
	if (limited_by)
		limited_by_store(limited_by, ret_answer->limited_by);
	if (!workload->placed)
		return;
	ret_answer->flags = SIDECARD_FLAG_PLACED;
	ret_answer->n_pu = workload->n_pu;
	ret_answer->n_core = workload->n_core;
	ret_answer->n_node = nodeset_count(&workload->nodes);
	bits_store(&workload->cpus.bits, ret_answer->cpus, N_ELEMENTS(ret_answer->cpus));
	bits_store(&workload->nodes.bits, ret_answer->nodes, N_ELEMENTS(ret_answer->nodes));
	bits_store(&workload->mems.bits, ret_answer->mems, N_ELEMENTS(ret_answer->mems));
}

/* ---- pages as files ---- */

static bool page_is_sound(const struct sidecard_page *page, const char *name)
{
	const struct sidecard_answer *answer = &page->slots[page->sequence % 2];

	return page->magic == SIDECARD_PAGE_MAGIC && page->version == PAGE_VERSION &&
	       page->answer_size == sizeof(struct sidecard_answer) &&
	       strncmp(page->workload, name, sizeof(page->workload)) == 0 &&
	       answer->generation <= GENERATION_MAX &&
	       memchr(answer->limited_by, '\0', sizeof(answer->limited_by));
}

static bool file_is_ours(const struct stat *status)
{
	return S_ISREG(status->st_mode) && status->st_uid == geteuid();
}

/* The page of an earlier life: a descriptor. -ENOENT; -EPROTO: what has the name is no sound page
 * of ours. Looks before it opens, because opening a device or a FIFO may do something. */
static int page_file_open(int dirfd, const char *name, struct sidecard_page *ret_page)
{
	cleanup(close_fdp) int fd = -1;
	struct sidecard_page page;
	struct stat status;

	if (fstatat(dirfd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!file_is_ours(&status))
		return -EPROTO;
	fd = openat(dirfd, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &status) < 0)
		return errno == ELOOP || errno == EACCES ? -EPROTO : -errno;
	if (!file_is_ours(&status) || status.st_size != SIDECARD_PAGE_SIZE ||
	    (status.st_mode & 022) != 0)
		return -EPROTO;
	if (pread(fd, &page, sizeof(page), 0) != (ssize_t)sizeof(page) ||
	    !page_is_sound(&page, name))
		return -EPROTO;
	*ret_page = page;
	return TAKE_FD(fd);
}

static int page_map(int fd, struct sidecard_page **ret_map)
{
	void *map;
	int r;

	/* A life that ended between open and chmod, or an old umask. */
	if (fchmod(fd, 0644) < 0)
		return -errno;
	/* A hole would turn a store into SIGBUS once the file system is full. */
	r = posix_fallocate(fd, 0, SIDECARD_PAGE_SIZE);
	if (r != 0)
		return -r;
	map = mmap(NULL, SIDECARD_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	*ret_map = map;
	return 0;
}

static int page_file_create(int dirfd, const char *name, const struct sidecard_answer *answer)
{
	union {
		struct sidecard_page page;
		char bytes[SIDECARD_PAGE_SIZE];
	} file;

	memset(&file, 0, sizeof(file));
	file.page.magic = SIDECARD_PAGE_MAGIC;
	file.page.version = PAGE_VERSION;
	file.page.answer_size = sizeof(struct sidecard_answer);
	memcpy(file.page.workload, name, strlen(name));
	file.page.sequence = 1;
	file.page.slots[1] = *answer;
	return file_replace(dirfd, name, &file, sizeof(file));
}

/* ---- the table of pages ---- */

/* FNV-1a. */
static size_t name_hash(const char *name)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
	return (size_t)(hash ^ hash >> 32);
}

/* Where the page of @name hangs, or where it would. */
static struct page **pages_find(const struct pages *pages, const char *name)
{
	struct page **at = &pages->buckets[name_hash(name) & (pages->n_buckets - 1)];

	while (*at && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	return at;
}

/* Short of memory the chains grow longer, nothing else. */
static void pages_grow(struct pages *pages)
{
	size_t n_buckets = pages->n_buckets * 2;
	struct page **buckets = calloc(n_buckets, sizeof(struct page *));

	if (!buckets)
		return;
	for (size_t i = 0; i < pages->n_buckets; i++) {
		struct page *page = pages->buckets[i], *next;

		for (; page; page = next) {
			struct page **at = &buckets[name_hash(page->name) & (n_buckets - 1)];

			next = page->next;
			page->next = *at;
			*at = page;
		}
	}
	free(pages->buckets);
	pages->buckets = buckets;
	pages->n_buckets = n_buckets;
}

static void page_rest(struct pages *pages, struct page *page)
{
	if (page->resident == NOT_RESIDENT)
		return;
	pages->residents[page->resident] = NULL;
	page->resident = NOT_RESIDENT;
}

/* MADV_DONTNEED on a shared file mapping drops our page table entry; the data stays in the file
 * (madvise(2)). */
static void page_touch(struct pages *pages, struct page *page)
{
	struct page *oldest = pages->residents[pages->next_resident];

	if (page->resident != NOT_RESIDENT)
		return;
	if (oldest) {
		page_rest(pages, oldest);
		madvise(oldest->map, SIDECARD_PAGE_SIZE, MADV_DONTNEED);
	}
	page->resident = pages->next_resident;
	pages->residents[page->resident] = page;
	pages->next_resident = (pages->next_resident + 1) % N_RESIDENT;
}

static int pages_add(struct pages *pages, const char *name, int fd, struct page **ret_page)
{
	struct page *page = malloc(sizeof(*page) + strlen(name) + 1);
	struct page **at;
	int r;

	if (!page)
		return -ENOMEM;
	r = page_map(fd, &page->map);
	if (r < 0) {
		free(page);
		return r;
	}
	if (pages->n_pages >= pages->n_buckets)
		pages_grow(pages);
	strcpy(page->name, name);
	page->next = NULL;
	page->resident = NOT_RESIDENT;
	at = pages_find(pages, name);
	*at = page;
	pages->n_pages++;
	*ret_page = page;
	return 0;
}

static void page_free(struct page *page)
{
	munmap(page->map, SIDECARD_PAGE_SIZE);
	free(page);
}

/* Every page that an earlier life left, for its generation. */
static int pages_scan(struct pages *pages)
{
	cleanup(closedirp) DIR *dir = NULL;
	int fd = openat(pages->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;

	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	while ((entry = readdir(dir))) {
		cleanup(close_fdp) int page_fd = -1;
		struct sidecard_page page;
		uint64_t generation;

		if (!name_is_valid(entry->d_name))
			continue;
		page_fd = page_file_open(pages->dirfd, entry->d_name, &page);
		if (page_fd < 0)
			continue;
		generation = page.slots[page.sequence % 2].generation;
		if (generation > pages->found_generation)
			pages->found_generation = generation;
	}
	return 0;
}

static void pages_freep(struct pages **pages)
{
	pages_free(*pages);
}

int pages_open(int runtime_dirfd, struct pages **ret_pages, struct fault *fault)
{
	cleanup(pages_freep) struct pages *pages = calloc(1, sizeof(*pages));
	int r;

	if (!pages)
		return fault_set(fault, -ENOMEM, "live pages: no memory");
	pages->n_buckets = N_BUCKETS_FIRST;
	pages->buckets = calloc(pages->n_buckets, sizeof(struct page *));
	pages->dirfd = openat(runtime_dirfd, "live",
			      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (pages->dirfd < 0)
		return fault_set(fault, -errno, "directory 'live' cannot be opened: %s",
				 strerror(errno));
	if (!pages->buckets)
		return fault_set(fault, -ENOMEM, "live pages: no memory for a table");
	file_sweep(pages->dirfd);
	r = pages_scan(pages);
	if (r < 0)
		return fault_set(fault, r, "directory 'live' cannot be listed: %s", strerror(-r));
	*ret_pages = TAKE_PTR(pages);
	return 0;
}

struct pages *pages_free(struct pages *pages)
{
	if (!pages)
		return NULL;
	for (size_t i = 0; pages->buckets && i < pages->n_buckets; i++) {
		struct page *page = pages->buckets[i], *next;

		for (; page; page = next) {
			next = page->next;
			page_free(page);
		}
	}
	free(pages->buckets);
	close_fdp(&pages->dirfd);
	free(pages);
	return NULL;
}

/* A name that is new in this life: the page of an earlier one goes on, so that its readers stay;
 * anything else is replaced by a page that is born with the answer in it. */
static int pages_write_first(struct pages *pages, const char *name,
			     const union answer_words *answer)
{
	cleanup(close_fdp) int fd = -1;
	struct sidecard_page found;
	struct page *page;
	bool adopted = true;
	int r;

	fd = page_file_open(pages->dirfd, name, &found);
	if (fd == -ENOENT || fd == -EPROTO) {
		adopted = false;
		r = page_file_create(pages->dirfd, name, &answer->answer);
		if (r < 0)
			return r;
		fd = page_file_open(pages->dirfd, name, &found);
	}
	if (fd < 0)
		return fd;
	r = pages_add(pages, name, fd, &page);
	if (r < 0)
		return r;
	page_touch(pages, page);
	if (adopted)
		page_store(page->map, answer);
	return 0;
}

int pages_write(struct pages *pages, const struct plan_workload *workload, uint64_t generation,
		struct fault *fault)
{
	const char *name = workload->conf->name;
	union answer_words answer;
	struct page *page;
	int r;

	answer_fill(workload, generation, &answer.answer);
	page = *pages_find(pages, name);
	if (page) {
		page_touch(pages, page);
		page_store(page->map, &answer);
		return 0;
	}
	if (!name_is_valid(name))
		return fault_set(fault, -EINVAL, "live page: '%s' is no name, expected %s", name,
				 NAME_RULE);
	r = pages_write_first(pages, name, &answer);
	if (r < 0)
		return fault_set(fault, r, "live page 'live/%s' cannot be made: %s", name,
				 strerror(-r));
	return 0;
}

static void page_mark_gone(struct sidecard_page *page)
{
	union answer_words answer;

	/* Nobody but us writes it. */
	answer.answer = page->slots[page->sequence % 2];
	answer.answer.flags |= SIDECARD_FLAG_GONE;
	page_store(page, &answer);
}

/* What an earlier life left: sound, or of another version. */
static int page_file_remove(int dirfd, const char *name)
{
	cleanup(close_fdp) int fd = -1;
	struct sidecard_page found, *map;
	struct stat status;

	fd = page_file_open(dirfd, name, &found);
	if (fd == -ENOENT)
		return 0;
	if (fd >= 0 && page_map(fd, &map) == 0) {
		page_mark_gone(map);
		munmap(map, SIDECARD_PAGE_SIZE);
	}
	if (fstatat(dirfd, name, &status, AT_SYMLINK_NOFOLLOW) < 0 || !file_is_ours(&status))
		return 0;
	return unlinkat(dirfd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

int pages_remove(struct pages *pages, const char *name)
{
	struct page **at, *page;

	if (!name_is_valid(name))
		return -EINVAL;
	at = pages_find(pages, name);
	page = *at;
	if (!page)
		return page_file_remove(pages->dirfd, name);
	page_mark_gone(page->map);
	page_rest(pages, page);
	*at = page->next;
	pages->n_pages--;
	page_free(page);
	return unlinkat(pages->dirfd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

uint64_t pages_found_generation(const struct pages *pages)
{
	return pages->found_generation;
}
