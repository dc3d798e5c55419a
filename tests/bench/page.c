/* Live pages: what a hot read costs beside its floor, a bare load of the same word; what an update
 * costs; and that no read against a writer at full speed is torn. Prints a line a figure; exits 1
 * where a read was torn.
 *
 *	page [N_READS]
 *
 * reads so often against the writer: a million times where not told, 100,000,000 for the record. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/cleanup.h"
#include "publish/publish.h"
#include "unit/placement.h"

/* A clock read costs some 25 ns: a thousand reads share two. */
#define N_BATCHES    10000
#define N_IN_BATCH   1000
#define N_READS_TEST 1000000

struct bench {
	char path[64];
	int dirfd;
	struct pages *pages;
	struct placements *placements;
	const struct sidecard_page *page;
	double *samples; /* N_BATCHES */
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int compare_doubles(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void print_samples(const char *what, double *samples)
{
	qsort(samples, N_BATCHES, sizeof(*samples), compare_doubles);
	printf("%-44s p50 %8.2f ns  p99 %8.2f ns\n", what, samples[N_BATCHES / 2],
	       samples[N_BATCHES / 100 * 99]);
}

/* One batch each; the sum keeps the compiler from leaving the reads out. */
static uint64_t batch_floor(const struct bench *bench)
{
	const volatile uint32_t *word = &bench->page->sequence;
	uint64_t sum = 0;

	for (unsigned i = 0; i < N_IN_BATCH; i++)
		sum += *word;
	return sum;
}

static uint64_t batch_parallelism(const struct bench *bench)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < N_IN_BATCH; i++)
		sum += sidecard_page_parallelism(bench->page);
	return sum;
}

static uint64_t batch_copy_floor(const struct bench *bench)
{
	struct sidecard_answer answer;
	uint64_t sum = 0;

	for (unsigned i = 0; i < N_IN_BATCH; i++) {
		memcpy(&answer, &bench->page->slots[bench->page->sequence % 2], sizeof(answer));
		__asm__ volatile("" : : "r"(&answer) : "memory");
		sum += answer.parallelism;
	}
	return sum;
}

static uint64_t batch_copy(const struct bench *bench)
{
	struct sidecard_answer answer;
	uint64_t sum = 0;

	for (unsigned i = 0; i < N_IN_BATCH; i++) {
		sidecard_page_read(bench->page, &answer);
		__asm__ volatile("" : : "r"(&answer) : "memory");
		sum += answer.parallelism;
	}
	return sum;
}

static void measure(struct bench *bench, const char *what, uint64_t (*batch)(const struct bench *))
{
	for (unsigned i = 0; i < N_BATCHES; i++) {
		uint64_t before = now_ns(), sum = batch(bench);

		__asm__ volatile("" : : "r"(sum));
		bench->samples[i] = (double)(now_ns() - before) / N_IN_BATCH;
	}
	print_samples(what, bench->samples);
}

/* An update includes the wake, which is a system call; its floor is the cheapest one. */
static void measure_updates(struct bench *bench)
{
	for (unsigned i = 0; i < N_BATCHES; i++) {
		uint64_t before = now_ns();

		for (unsigned k = 0; k < 10; k++)
			getppid();
		bench->samples[i] = (double)(now_ns() - before) / 10;
	}
	print_samples("floor: a system call (getppid)", bench->samples);
	for (uint64_t i = 0; i < N_BATCHES; i++) {
		uint64_t before = now_ns(), generation = 2 + i * 10;

		for (unsigned k = 0; k < 10; k++, generation++)
			pages_write(bench->pages, placement_of(bench->placements, generation),
				    generation, NULL);
		bench->samples[i] = (double)(now_ns() - before) / 10;
	}
	print_samples("update of a page, nobody waits", bench->samples);
}

enum end { FIRST_PU, LAST_PU };

/* Reader and writer that take turns on one PU never meet. Where there is but one, or more than a
 * cpu_set_t knows, they stay where they are. */
static void pin_to(enum end end)
{
	cpu_set_t all, one;
	int chosen = -1;

	if (sched_getaffinity(0, sizeof(all), &all) < 0)
		return;
	for (int pu = 0; pu < CPU_SETSIZE; pu++)
		if (CPU_ISSET(pu, &all) && (end == LAST_PU || chosen < 0))
			chosen = pu;
	CPU_ZERO(&one);
	CPU_SET(chosen, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

/* Updates as fast as it can until it is killed. */
static pid_t start_writer(const struct bench *bench, uint64_t generation)
{
	pid_t pid = fork();

	if (pid != 0) {
		pin_to(FIRST_PU);
		return pid;
	}
	pin_to(LAST_PU);
	for (;; generation++)
		pages_write(bench->pages, placement_of(bench->placements, generation), generation,
			    NULL);
}

/* Returns how many reads were torn. */
static uint64_t read_against_writer(const struct bench *bench, uint64_t n_reads)
{
	struct sidecard_answer answer;
	uint64_t n_torn = 0, n_seen = 0, first, last, begin = now_ns();
	pid_t writer;

	sidecard_page_read(bench->page, &answer);
	first = last = answer.generation;
	writer = start_writer(bench, first + 1);
	for (uint64_t i = 0; i < n_reads; i++) {
		sidecard_page_read(bench->page, &answer);
		n_seen += answer.generation != last;
		if (answer.generation < last || !answer_is_whole(bench->placements, &answer))
			n_torn++;
		last = answer.generation;
	}
	kill(writer, SIGKILL);
	waitpid(writer, NULL, 0);
	printf("%llu whole reads in %.1f s against %llu updates, of which %llu were seen: %llu "
	       "torn\n",
	       (unsigned long long)n_reads, (double)(now_ns() - begin) / 1e9,
	       (unsigned long long)(last - first), (unsigned long long)n_seen,
	       (unsigned long long)n_torn);
	return n_torn;
}

static int bench_open(struct bench *bench, struct fault *fault)
{
	char path[96];
	int r, fd;

	snprintf(bench->path, sizeof(bench->path), "%s/bench-page-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(bench->path))
		return fault_set(fault, -errno, "'%s': %s", bench->path, strerror(errno));
	bench->dirfd = open(bench->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mkdirat(bench->dirfd, "live", 0755) < 0)
		return fault_set(fault, -errno, "'%s/live': %s", bench->path, strerror(errno));
	bench->placements = placements_new("w");
	bench->samples = calloc(N_BATCHES, sizeof(*bench->samples));
	if (!bench->placements || !bench->samples)
		return fault_set(fault, -ENOMEM, "no memory");
	r = pages_open(bench->dirfd, &bench->pages, fault);
	if (r == 0)
		r = pages_write(bench->pages, placement_of(bench->placements, 1), 1, fault);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "%s/live/w", bench->path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	bench->page = mmap(NULL, SIDECARD_PAGE_SIZE, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	return bench->page == MAP_FAILED
		       ? fault_set(fault, -errno, "'%s': %s", path, strerror(errno))
		       : 0;
}

static void bench_close(struct bench *bench)
{
	pages_remove(bench->pages, "w");
	pages_free(bench->pages);
	unlinkat(bench->dirfd, "live", AT_REMOVEDIR);
	rmdir(bench->path);
	close(bench->dirfd);
	placements_free(bench->placements);
	free(bench->samples);
}

int main(int argc, char **argv)
{
	uint64_t n_reads = argc > 1 ? strtoull(argv[1], NULL, 10) : N_READS_TEST, n_torn;
	struct bench bench = { .dirfd = -1 };
	struct fault fault = { 0 };

	if (bench_open(&bench, &fault) < 0) {
		fprintf(stderr, "page: %s\n", fault.text);
		return 1;
	}
	measure(&bench, "floor: a bare load", batch_floor);
	measure(&bench, "hot read, parallelism", batch_parallelism);
	measure(&bench, "floor: a bare copy of 1,496 bytes", batch_copy_floor);
	measure(&bench, "hot read, whole answer", batch_copy);
	measure_updates(&bench);
	n_torn = read_against_writer(&bench, n_reads);
	bench_close(&bench);
	return n_torn > 0;
}
