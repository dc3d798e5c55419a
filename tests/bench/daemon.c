/* The real daemon against a tmpfs tree of ordinary files that stands in for cgroupfs: how long a
 * quota write takes to be visible in the live page (beside a bare inotify reader woken by the same
 * kind of write, in turns, in the same run), how long the start takes, what it costs when idle.
 *
 * usage: daemon SIDECARD [N_WORKLOADS [N_EVENTS [IDLE_S [N_PU]]]] */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "edge/sidecard.h"

/* Workloads below one ancestor that has a quota of its own: a pod. */
#define N_SIBLINGS 10

struct bench {
	const char *program;
	unsigned n_workloads, n_events, idle_s, n_pu;
	char root[64];
	pid_t daemon, reader;
	uint32_t *woken; /* shared with the bare reader: events it saw */
	int floor_fd;	 /* the file that wakes the bare reader */
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void die(const char *what)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	_exit(1);
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		die(path);
	close(fd);
}

static void make_group(const char *path)
{
	static const struct {
		const char *name, *text;
	} files[] = {
		{ "cgroup.controllers", "cpuset cpu\n" },
		{ "cgroup.subtree_control", "cpuset cpu\n" },
		{ "cgroup.procs", "" },
		{ "cgroup.events", "populated 1\nfrozen 0\n" },
		{ "cpu.max", "max 100000\n" },
		{ "cpu.weight", "100\n" },
		{ "cpuset.cpus", "\n" },
		{ "cpuset.cpus.effective", "0-8191\n" },
		{ "cpuset.mems.effective", "0-1023\n" },
	};
	char file[512];

	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		die(path);
	for (size_t i = 0; i < N_ELEMENTS(files); i++) {
		snprintf(file, sizeof(file), "%s/%s", path, files[i].name);
		put(file, files[i].text);
	}
}

static void make_tree(struct bench *bench)
{
	char path[256], text[512];

	snprintf(bench->root, sizeof(bench->root), "/dev/shm/sidecard-bench.XXXXXX");
	if (!mkdtemp(bench->root))
		die(bench->root);
	snprintf(path, sizeof(path), "%s/conf", bench->root);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/conf/workloads.d", bench->root);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/tree", bench->root);
	make_group(path);
	for (unsigned i = 0; i < bench->n_workloads; i++) {
		if (i % N_SIBLINGS == 0) {
			snprintf(path, sizeof(path), "%s/tree/g%04u", bench->root, i / N_SIBLINGS);
			make_group(path);
		}
		snprintf(path, sizeof(path), "%s/tree/g%04u/w%05u", bench->root, i / N_SIBLINGS, i);
		make_group(path);
		snprintf(path, sizeof(path), "%s/conf/workloads.d/w%05u.conf", bench->root, i);
		snprintf(text, sizeof(text), "[Match]\nCgroup=/g%04u/w%05u\n[CPU]\nMax=%u\n",
			 i / N_SIBLINGS, i, 1 + i % 8);
		put(path, text);
	}
}

/* How many pages are there; the last one in the order of the plan is written last. */
static const struct sidecard_page *wait_page(const struct bench *bench, unsigned i)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/run/live/w%05u", bench->root, i);
	for (unsigned tries = 0; tries < 600000; tries++) {
		const struct sidecard_page *page = sidecard_open(path);
		struct timespec pause = { 0, 100000 };

		if (page && __atomic_load_n(&page->sequence, __ATOMIC_ACQUIRE) > 0)
			return page;
		sidecard_close(page);
		nanosleep(&pause, NULL);
	}
	die("no page");
	return NULL;
}

/* The writer, which spins until it sees the answer, has a PU of its own, and daemon and bare reader
 * have the others: else they are often woken on the writer's and wait for the end of its slice, and
 * the figure is the scheduler's. Nothing is done where there is one PU. */
enum side { WRITER, READERS };

static void take_side(enum side side)
{
	cpu_set_t all, own;
	int first = 0;

	if (sched_getaffinity(0, sizeof(all), &all) < 0 || CPU_COUNT(&all) < 2)
		return;
	while (!CPU_ISSET(first, &all))
		first++;
	CPU_ZERO(&own);
	CPU_SET(first, &own);
	if (side == READERS)
		CPU_XOR(&own, &all, &own);
	sched_setaffinity(0, sizeof(own), &own);
}

static void start_daemon(struct bench *bench)
{
	char conf[128], run[128], tree[128], machine[128];

	snprintf(conf, sizeof(conf), "%s/conf", bench->root);
	snprintf(run, sizeof(run), "%s/run", bench->root);
	snprintf(tree, sizeof(tree), "%s/tree", bench->root);
	snprintf(machine, sizeof(machine), "synthetic:pack:4 [numa] l3:%u core:4 pu:2",
		 bench->n_pu / 32);
	bench->daemon = fork();
	if (bench->daemon < 0)
		die("fork");
	if (bench->daemon == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		take_side(READERS);
		execl(bench->program, bench->program, "--no-bus", "--dry-run", "--log-level", "err",
		      "--conf", conf, "--runtime-dir", run, "--cgroup-root", tree, "--machine",
		      machine, (char *)NULL);
		die(bench->program);
	}
}

/* The floor: a process that does nothing but wait for the event and say that it came. */
static void start_reader(struct bench *bench)
{
	char path[128];
	int fd;

	bench->woken = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	snprintf(path, sizeof(path), "%s/floor", bench->root);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/floor/cpu.max", bench->root);
	put(path, "max 100000\n");
	bench->floor_fd = open(path, O_WRONLY | O_CLOEXEC);
	fd = inotify_init1(IN_CLOEXEC);
	snprintf(path, sizeof(path), "%s/floor", bench->root);
	if (bench->woken == MAP_FAILED || fd < 0 || inotify_add_watch(fd, path, IN_MODIFY) < 0)
		die("inotify");
	bench->reader = fork();
	if (bench->reader == 0) {
		char buffer[4096];

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		take_side(READERS);
		for (;;)
			if (read(fd, buffer, sizeof(buffer)) > 0)
				__atomic_fetch_add(bench->woken, 1, __ATOMIC_RELEASE);
	}
	close(fd);
}

/* Both sides sleep before each event: the figure is for a daemon that was asleep. */
static void settle(void)
{
	struct timespec pause = { 0, 1500000 };

	nanosleep(&pause, NULL);
}

static uint64_t time_change(int fd, const uint32_t *word, unsigned i)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "%u 100000\n", 100000 + (i % 700) * 1000);
	uint32_t before = __atomic_load_n(word, __ATOMIC_ACQUIRE);
	uint64_t start_ns, limit_ns;

	settle();
	start_ns = now_ns();
	limit_ns = start_ns + 2000000000u;
	if (pwrite(fd, text, (size_t)n, 0) != n)
		die("write");
	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == before)
		if (now_ns() > limit_ns) {
			fprintf(stderr, "bench: a change was not seen within 2 s\n");
			return 2000000000u;
		}
	return now_ns() - start_ns;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void report(const char *what, uint64_t *times_ns, uint64_t *floors_ns, unsigned n)
{
	double p50, p99, floor50, floor99;

	qsort(times_ns, n, sizeof(*times_ns), compare);
	qsort(floors_ns, n, sizeof(*floors_ns), compare);
	p50 = (double)times_ns[n / 2] / 1000;
	p99 = (double)times_ns[n * 99 / 100] / 1000;
	floor50 = (double)floors_ns[n / 2] / 1000;
	floor99 = (double)floors_ns[n * 99 / 100] / 1000;
	printf("%-34s p50 %8.1f us (floor %6.1f, ratio %5.2f)   p99 %8.1f us (floor %6.1f, ratio "
	       "%5.2f)   worst %.1f us\n",
	       what, p50, floor50, p50 / floor50, p99, floor99, p99 / floor99,
	       (double)times_ns[n - 1] / 1000);
}

static void measure_changes(struct bench *bench, const char *group, const char *what)
{
	uint64_t *times = calloc(bench->n_events, sizeof(*times));
	uint64_t *floors = calloc(bench->n_events, sizeof(*floors));
	const struct sidecard_page *page = wait_page(bench, bench->n_workloads / 2);
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/tree/%s/cpu.max", bench->root, group);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || !times || !floors)
		die(path);
	for (unsigned i = 0; i < bench->n_events; i++) {
		/* In turns, so that whatever disturbs the machine disturbs both. Every value
		 * differs from the one before, or nothing would be published. */
		floors[i] = time_change(bench->floor_fd, bench->woken, i);
		times[i] = time_change(fd, &page->sequence, i);
	}
	report(what, times, floors, bench->n_events);
	if (pwrite(fd, "max 100000\n", 11, 0) < 0 || ftruncate(fd, 11) < 0)
		die("write");
	close(fd);
	free(times);
	free(floors);
	sidecard_close(page);
}

static uint64_t status_number(pid_t pid, const char *key)
{
	char path[64], line[256];
	uint64_t number = 0;
	cleanup(fclosep) FILE *file = NULL;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (strncmp(line, key, strlen(key)) == 0)
			number = strtoull(line + strlen(key) + 1, NULL, 10);
	return number;
}

int main(int argc, char **argv)
{
	struct bench bench = {
		.program = argc > 1 ? argv[1] : "sidecard",
		.n_workloads = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 100,
		.n_events = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 10000,
		.idle_s = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 60,
		.n_pu = argc > 5 ? (unsigned)strtoul(argv[5], NULL, 10) : 256,
	};
	char group[64], command[128];
	unsigned middle;
	uint64_t start_ns, wakeups;
	struct timespec idle;

	make_tree(&bench);
	start_ns = now_ns();
	start_daemon(&bench);
	sidecard_close(wait_page(&bench, 0));
	printf("%u workloads, %u PUs, %u events\n", bench.n_workloads, bench.n_pu, bench.n_events);
	printf("%-34s %.1f ms\n", "start to first publication",
	       (double)(now_ns() - start_ns) / 1e6);
	sidecard_close(wait_page(&bench, bench.n_workloads - 1));
	printf("%-34s %.1f ms\n", "start to last page", (double)(now_ns() - start_ns) / 1e6);
	start_reader(&bench);
	take_side(WRITER);
	sleep(1);
	middle = bench.n_workloads / 2;
	snprintf(group, sizeof(group), "g%04u/w%05u", middle / N_SIBLINGS, middle);
	if (bench.n_events > 0) {
		measure_changes(&bench, group, "quota write at the leaf");
		snprintf(group, sizeof(group), "g%04u", middle / N_SIBLINGS);
		measure_changes(&bench, group, "quota write at the ancestor of 10");
	}
	sleep(1);
	wakeups = status_number(bench.daemon, "voluntary_ctxt_switches:");
	idle = (struct timespec){ (time_t)bench.idle_s, 0 };
	nanosleep(&idle, NULL);
	printf("%-34s %" PRIu64 " in %u s\n", "wakeups when idle",
	       status_number(bench.daemon, "voluntary_ctxt_switches:") - wakeups, bench.idle_s);
	printf("%-34s %.2f MiB\n", "resident",
	       (double)status_number(bench.daemon, "VmRSS:") / 1024);
	kill(bench.daemon, SIGTERM);
	kill(bench.reader, SIGKILL);
	while (wait(NULL) > 0)
		;
	snprintf(command, sizeof(command), "%s", bench.root);
	if (strncmp(command, "/dev/shm/sidecard-bench.", 24) == 0 && fork() == 0)
		execlp("rm", "rm", "-rf", command, (char *)NULL);
	wait(NULL);
	return 0;
}
