/* sidecard.h: how a process asks for its effective parallelism. C99, C11 or C++; no dependency but
 * libc; link with -lsidecard only for the functions at the end.
 *
 * The live page, /run/sidecard/live/NAME, is one page that any user may map read-only. It holds two
 * slots: the writer fills the slot that nobody reads and then moves `sequence` on, so a reader
 * always finds one complete slot, even where the writer died in the middle. A read costs about a
 * nanosecond and no system call. */
#ifndef SIDECARD_H
#define SIDECARD_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SIDECARD_PAGE_MAGIC	UINT64_C(0x3165676170646373) /* "scdpage1" in memory order */
#define SIDECARD_PAGE_SIZE	4096
#define SIDECARD_PAGE_N_PU	8192 /* highest PU number a page can tell + 1 */
#define SIDECARD_PAGE_N_NODE	1024
#define SIDECARD_UNLIMITED_MCPU UINT32_MAX
#define SIDECARD_FLAG_GONE	1u /* the workload was removed; the values are its last ones */
#define SIDECARD_FLAG_PLACED	2u

/* What a workload knows. 1,496 bytes. */
struct sidecard_answer {
	uint64_t generation; /* only grows */
	uint32_t flags;
	uint32_t parallelism; /* how many threads to run, ≥ 1 */
	uint32_t parallelism_floor, parallelism_ceil;
	uint32_t n_pu, n_core;
	uint32_t quota_mcpu; /* thousandths of a PU; SIDECARD_UNLIMITED_MCPU */
	uint32_t n_node;
	char limited_by[176]; /* "cpu.max of /a/b", cut where longer; always terminated */
	uint64_t cpus[SIDECARD_PAGE_N_PU / 64]; /* bit n % 64 of word n / 64: PU number n */
	uint64_t nodes[SIDECARD_PAGE_N_NODE / 64];
	uint64_t mems[SIDECARD_PAGE_N_NODE / 64];
};

struct sidecard_page {
	uint64_t magic;
	uint32_t version; /* 1 */
	uint32_t answer_size;
	char workload[64];
	uint32_t sequence; /* the futex word: slot sequence % 2 is the valid one; 0: nothing
			      published yet */
	uint32_t reserved[27];
	struct sidecard_answer slots[2];
};

/* How many threads to run: the one number, without copying the rest. ≥ 1. */
static inline uint32_t sidecard_page_parallelism(const struct sidecard_page *page)
{
	for (;;) {
		uint32_t before = __atomic_load_n(&page->sequence, __ATOMIC_ACQUIRE);
		uint32_t n = __atomic_load_n(&page->slots[before % 2].parallelism,
					     __ATOMIC_RELAXED);

		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (__atomic_load_n(&page->sequence, __ATOMIC_RELAXED) == before)
			return n > 0 ? n : 1;
	}
}

/* Copies the whole answer; the copy is of one instant. Returns the sequence it had, for
 * sidecard_wait(). */
static inline uint32_t sidecard_page_read(const struct sidecard_page *page,
					  struct sidecard_answer *ret_answer)
{
	for (;;) {
		uint32_t before = __atomic_load_n(&page->sequence, __ATOMIC_ACQUIRE);

		__builtin_memcpy(ret_answer, &page->slots[before % 2], sizeof(*ret_answer));
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (__atomic_load_n(&page->sequence, __ATOMIC_RELAXED) == before)
			return before;
	}
}

/* libsidecard: maps a page. @path: a file; NULL: $SIDECARD_PAGE, else
 * /run/sidecard/live/$SIDECARD_WORKLOAD. Returns NULL with errno set: ENOENT, EPROTO (not such a
 * page or another version). Thread safe. */
const struct sidecard_page *sidecard_open(const char *path);
void sidecard_close(const struct sidecard_page *page);

/* Sleeps until the page's sequence is no longer @sequence. @timeout_us: UINT64_MAX waits for ever.
 * 0, or -ETIMEDOUT, -EINTR. */
int sidecard_wait(const struct sidecard_page *page, uint32_t sequence, uint64_t timeout_us);

#ifdef __cplusplus
}
#endif

#endif
