/* libsidecard-preload.so: for programs that ask the C library how many processors there are and
 * cannot be told otherwise. LD_PRELOADed by who wants it; answers with the workload's effective
 * parallelism, live from its page, and is the C library itself where there is no page.
 *
 * Loaded into other people's processes, so libc alone. After the constructor an answer is a few
 * loads from a read-only mapping: no lock, no allocation, no system call that the C library would
 * not make, so it may be asked in a signal handler and on both sides of fork().
 *
 * What is answered:
 * - sysconf(_SC_NPROCESSORS_ONLN, _CONF), get_nprocs(), get_nprocs_conf(): the parallelism.
 * - sched_getaffinity() of the caller, pthread_getaffinity_np(): the first so many PUs of the real
 *   set. Never a PU that is not in it, so whoever binds threads to what it was told stays where it
 *   may run; never more than there are. Another process's set is told as it is.
 * The kernel's own files and raw system calls (Go) are out of reach. */
#include "sidecard.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#define EXPORT	  __attribute__((visibility("default")))
#define WORD_BITS (8 * sizeof(unsigned long))

typeof(sysconf) __sysconf; /* glibc exports its own name for it: no look-up, no recursion */

/* Of one process each, set once. The state that there has to be: a C function has no other place
 * for it. NULL: not looked for; &no_page: there is none. */
static const struct sidecard_page no_page;
static const struct sidecard_page *the_page;
static typeof(pthread_getaffinity_np) *next_getaffinity;

/* Somebody else's constructor may ask before ours ran. Whoever is second, another thread or a
 * signal handler amid the first, gives its mapping back. */
static const struct sidecard_page *page_get(void)
{
	const struct sidecard_page *page = __atomic_load_n(&the_page, __ATOMIC_ACQUIRE);
	const struct sidecard_page *expected = NULL;
	int error = errno;

	if (page)
		return page;
	page = sidecard_open(NULL);
	errno = error;
	if (!page)
		page = &no_page;
	if (__atomic_compare_exchange_n(&the_page, &expected, page, 0, __ATOMIC_ACQ_REL,
					__ATOMIC_ACQUIRE))
		return page;
	if (page != &no_page)
		sidecard_close(page);
	return expected;
}

/* 0: ask the C library. A workload that is not placed, or is gone, has no answer that is better. */
static uint32_t parallelism_now(void)
{
	const struct sidecard_page *page = page_get();
	const struct sidecard_answer *slot;
	uint32_t before, flags, n;

	do {
		before = __atomic_load_n(&page->sequence, __ATOMIC_ACQUIRE);
		slot = &page->slots[before % 2];
		flags = __atomic_load_n(&slot->flags, __ATOMIC_RELAXED);
		n = __atomic_load_n(&slot->parallelism, __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
	} while (__atomic_load_n(&page->sequence, __ATOMIC_RELAXED) != before);
	if ((flags & (SIDECARD_FLAG_PLACED | SIDECARD_FLAG_GONE)) != SIDECARD_FLAG_PLACED)
		return 0;
	return n <= INT_MAX ? n : 0;
}

static void keep_first(cpu_set_t *set, size_t n_bytes)
{
	unsigned long *words = (unsigned long *)(void *)set;
	uint32_t n_left = parallelism_now();

	if (n_left == 0)
		return;
	for (size_t i = 0; i < n_bytes / sizeof(*words); i++) {
		unsigned long rest = words[i];

		for (; rest != 0 && n_left > 0; n_left--)
			rest &= rest - 1;
		words[i] &= ~rest;
	}
}

EXPORT long sysconf(int name)
{
	uint32_t n = 0;

	if (name == _SC_NPROCESSORS_ONLN || name == _SC_NPROCESSORS_CONF)
		n = parallelism_now();
	return n > 0 ? (long)n : __sysconf(name);
}

EXPORT int get_nprocs(void)
{
	return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

EXPORT int get_nprocs_conf(void)
{
	return (int)sysconf(_SC_NPROCESSORS_CONF);
}

/* The system call returns how many bytes it filled; what is beyond is ours to clear
 * (sched_setaffinity(2), C library/kernel differences). */
EXPORT int sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
	long n = syscall(SYS_sched_getaffinity, pid, size < INT_MAX ? size : INT_MAX, set);

	if (n < 0)
		return -1;
	memset((char *)set + n, 0, size - (size_t)n);
	if (pid == 0 || pid == getpid() || pid == gettid())
		keep_first(set, (size_t)n);
	return 0;
}

static typeof(pthread_getaffinity_np) *next_get(void)
{
	typeof(pthread_getaffinity_np) *next = __atomic_load_n(&next_getaffinity, __ATOMIC_ACQUIRE);
	void *symbol;

	if (next)
		return next;
	symbol = dlsym(RTLD_NEXT, "pthread_getaffinity_np");
	memcpy(&next, &symbol, sizeof(next)); /* as POSIX has it for functions */
	__atomic_store_n(&next_getaffinity, next, __ATOMIC_RELEASE);
	return next;
}

/* In glibc 2.31 and older the function is libpthread's, which a program may do without. */
EXPORT int pthread_getaffinity_np(pthread_t thread, size_t size, cpu_set_t *set)
{
	typeof(pthread_getaffinity_np) *next = next_get();
	int r = next ? next(thread, size, set) : ENOSYS;

	if (r == 0)
		keep_first(set, size);
	return r;
}

/* Whoever asked before the C library knew its environment was told that there is no page. */
__attribute__((constructor)) static void preload_init(void)
{
	if (__atomic_load_n(&the_page, __ATOMIC_ACQUIRE) == &no_page)
		__atomic_store_n(&the_page, NULL, __ATOMIC_RELEASE);
	page_get();
	next_get();
}
