/* libsidecard: finds and maps a live page, and sleeps until it changes. Everything else is inline
 * in sidecard.h.
 *
 * Loaded into other people's processes, so: libc alone, no state, no signals, no output; three
 * symbols. A page is data from another process: its header is checked before anybody sees it, and
 * sidecard.h uses nothing in it as an index. */
#include "sidecard.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LIVE_DIRECTORY "/run/sidecard/live/"
#define PAGE_VERSION   1
#define NAME_MAX_BYTES 63

#define EXPORT __attribute__((visibility("default")))

/* [a-z0-9][a-z0-9_.-]{0,62}, as sidecard names workloads: the variable cannot lead out of the
 * directory. */
static int name_is_sound(const char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_.-";
	size_t n = strspn(name, letters);

	return n > 0 && n <= NAME_MAX_BYTES && name[n] == '\0' && !strchr("_.-", name[0]);
}

static int open_default(void)
{
	/* A set-user-ID program does not let its caller choose. */
	const char *page = secure_getenv("SIDECARD_PAGE");
	const char *workload = secure_getenv("SIDECARD_WORKLOAD");
	char path[sizeof(LIVE_DIRECTORY) + NAME_MAX_BYTES];

	if (page && page[0])
		return open(page, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (!workload || !name_is_sound(workload)) {
		errno = ENOENT;
		return -1;
	}
	snprintf(path, sizeof(path), LIVE_DIRECTORY "%s", workload);
	return open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

static int page_is_known(const struct sidecard_page *page)
{
	return page->magic == SIDECARD_PAGE_MAGIC && page->version == PAGE_VERSION &&
	       page->answer_size == sizeof(struct sidecard_answer) &&
	       __atomic_load_n(&page->sequence, __ATOMIC_ACQUIRE) != 0;
}

static const struct sidecard_page *page_map(int fd)
{
	struct stat status;
	void *map;

	if (fstat(fd, &status) < 0)
		return NULL;
	if (!S_ISREG(status.st_mode) || status.st_size != SIDECARD_PAGE_SIZE) {
		errno = EPROTO;
		return NULL;
	}
	map = mmap(NULL, SIDECARD_PAGE_SIZE, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return NULL;
	if (!page_is_known(map)) {
		munmap(map, SIDECARD_PAGE_SIZE);
		errno = EPROTO;
		return NULL;
	}
	return map;
}

EXPORT const struct sidecard_page *sidecard_open(const char *path)
{
	int fd = path ? open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : open_default();
	const struct sidecard_page *page;
	int error;

	if (fd < 0)
		return NULL;
	page = page_map(fd);
	error = errno;
	close(fd);
	errno = error;
	return page;
}

EXPORT void sidecard_close(const struct sidecard_page *page)
{
	int error = errno;

	if (page)
		munmap((void *)(uintptr_t)page, SIDECARD_PAGE_SIZE);
	errno = error;
}

/* FUTEX_WAIT_BITSET takes an instant, so that waking for nothing does not begin the time anew. */
static void deadline_after(uint64_t timeout_us, struct timespec *ret_deadline)
{
	uint64_t now_us;

	clock_gettime(CLOCK_MONOTONIC, ret_deadline);
	now_us = (uint64_t)ret_deadline->tv_sec * 1000000 + (uint64_t)ret_deadline->tv_nsec / 1000;
	if (timeout_us > INT64_MAX / 1000 - now_us)
		timeout_us = INT64_MAX / 1000 - now_us;
	now_us += timeout_us;
	ret_deadline->tv_sec = (time_t)(now_us / 1000000);
	ret_deadline->tv_nsec = (long)(now_us % 1000000) * 1000 + ret_deadline->tv_nsec % 1000;
}

EXPORT int sidecard_wait(const struct sidecard_page *page, uint32_t sequence, uint64_t timeout_us)
{
	struct timespec deadline;
	int saved = errno, error;
	long r;

	if (timeout_us != UINT64_MAX)
		deadline_after(timeout_us, &deadline);
	while (__atomic_load_n(&page->sequence, __ATOMIC_ACQUIRE) == sequence) {
		r = syscall(SYS_futex, &page->sequence, FUTEX_WAIT_BITSET, sequence,
			    timeout_us != UINT64_MAX ? &deadline : NULL, NULL,
			    FUTEX_BITSET_MATCH_ANY);
		error = errno;
		errno = saved;
		/* EAGAIN: the value moved before we slept. */
		if (r < 0 && error != EAGAIN)
			return -error;
	}
	return 0;
}
