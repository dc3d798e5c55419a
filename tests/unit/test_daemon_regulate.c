/* The real daemon and its regulators on a directory that stands in for cgroupfs: its counters grow
 * as a load would make them, and what is published follows. Nothing here depends on how fast; a
 * step that never comes fails after LONGEST_S. Argument: the build's directory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "edge/sidecard.h"

#define LONGEST_S 60
#define N_LOADS	  3

static const char *build;

/* One workload's cgroup and what it uses now. */
struct load {
	const char *name;
	const struct sidecard_page *page;
	int stat_fd;
	double used_us;
	double slots_permille; /* of the threads that it was told; below 0: of nothing else */
	uint64_t n_periods, n_throttled;
	uint64_t period_us; /* since the last one ended */
	bool throttled;
};

struct world {
	char root[64];
	pid_t daemon;
	struct load loads[N_LOADS];
	uint64_t last_us;
};

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000;
}

static void pause_ms(unsigned ms)
{
	struct timespec span = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&span, NULL);
}

static void put(const struct world *world, const char *path, const char *text)
{
	char full[256];
	FILE *file;

	snprintf(full, sizeof(full), "%s/%s", world->root, path);
	for (char *slash = strchr(full + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(full, 0755);
		*slash = '/';
	}
	file = fopen(full, "we");
	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static void put_group(const struct world *world, const char *name)
{
	static const struct {
		const char *file, *text;
	} files[] = {
		{ "cgroup.controllers", "cpuset cpu\n" },
		{ "cgroup.subtree_control", "\n" },
		{ "cgroup.procs", "" },
		{ "cgroup.events", "populated 1\nfrozen 0\n" },
		{ "cpu.max", "max 100000\n" },
		{ "cpu.weight", "100\n" },
		{ "cpuset.cpus", "\n" },
		{ "cpuset.cpus.effective", "0-31\n" },
		{ "cpuset.mems.effective", "0\n" },
		{ "cpu.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n" },
		{ "io.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n" },
		{ "memory.numa_stat", "anon N0=3000\nfile N0=1000\n" },
		{ "cpu.stat", "usage_usec 0\n" },
	};
	char path[256];

	for (size_t i = 0; i < N_ELEMENTS(files); i++) {
		snprintf(path, sizeof(path), "tree%s/%s", name, files[i].file);
		put(world, path, files[i].text);
	}
}

static void put_conf(const struct world *world)
{
	put(world, "conf/sidecard.conf", "[Partition]\nHousekeeping=none\n");
	put(world, "conf/pools.d/fast.conf",
	    "[Regulator]\nType=loop\nInterval=20ms\nRaiseHold=100ms\nRaisePause=100ms\n"
	    "LowerHold=100ms\nLowerPause=100ms\nStabilisation=0\nTolerance=0\n");
	put(world, "conf/pools.d/slow.conf",
	    "[Regulator]\nType=staged\nColdStart=300ms\nProbe=100ms\nStabilisation=0\n"
	    "Tolerance=0\nSteadyCheck=0\n");
	put(world, "conf/workloads.d/loop.conf",
	    "[Workload]\nPool=fast\n[Match]\nCgroup=/loop\n[CPU]\nMax=6\n"
	    "[Regulator]\nOvercommit=2\n");
	put(world, "conf/workloads.d/stages.conf",
	    "[Workload]\nPool=slow\n[Match]\nCgroup=/stages\n[CPU]\nMax=6\n");
	put(world, "conf/workloads.d/free.conf", "[Match]\nCgroup=/free\n[CPU]\nMax=6\n");
}

static void start(struct world *world)
{
	char program[256], conf[128], run[128], tree[128], log[128];

	snprintf(program, sizeof(program), "%s/sidecard/sidecard", build);
	snprintf(conf, sizeof(conf), "%s/conf", world->root);
	snprintf(run, sizeof(run), "%s/run", world->root);
	snprintf(tree, sizeof(tree), "%s/tree", world->root);
	snprintf(log, sizeof(log), "%s/log", world->root);
	world->daemon = fork();
	assert_true(world->daemon >= 0);
	if (world->daemon == 0) {
		int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(fd, STDOUT_FILENO);
		dup2(fd, STDERR_FILENO);
		execl(program, program, "--no-bus", "--dry-run", "--conf", conf, "--runtime-dir",
		      run, "--cgroup-root", tree, "--machine", "synthetic:numa:1 core:32 pu:1",
		      (char *)NULL);
		_exit(127);
	}
}

static char *log_text(const struct world *world)
{
	char path[128];
	char *text = calloc(1, 1 << 20);
	cleanup(fclosep) FILE *file = NULL;

	snprintf(path, sizeof(path), "%s/log", world->root);
	file = fopen(path, "re");
	if (file && fread(text, 1, (1 << 20) - 1, file) == 0)
		text[0] = '\0';
	return text;
}

static void give_up(const struct world *world, const char *why)
{
	char *text = log_text(world);

	print_error("the daemon said:\n%s\n", text);
	free(text);
	fail_msg("%s", why);
}

static uint32_t told(const struct load *load)
{
	struct sidecard_answer answer;

	sidecard_page_read(load->page, &answer);
	return answer.parallelism;
}

static void loads_open(struct world *world)
{
	static const char *const names[N_LOADS] = { "loop", "stages", "free" };

	for (size_t i = 0; i < N_LOADS; i++) {
		struct load *load = &world->loads[i];
		uint64_t end_us = now_us() + LONGEST_S * UINT64_C(1000000);
		char path[256];

		snprintf(path, sizeof(path), "%s/run/live/%s", world->root, names[i]);
		sidecard_close(load->page);
		load->page = NULL;
		while (!load->page || load->page->sequence == 0) {
			if (now_us() > end_us)
				give_up(world, "no page");
			pause_ms(5);
			sidecard_close(load->page);
			load->page = sidecard_open(path);
		}
		if (load->name)
			continue;
		load->name = names[i];
		snprintf(path, sizeof(path), "%s/tree/%s/cpu.stat", world->root, names[i]);
		load->stat_fd = open(path, O_WRONLY | O_CLOEXEC);
		assert_true(load->stat_fd >= 0);
	}
}

/* Time goes by: each load uses what its threads would have. */
static void work(struct world *world)
{
	uint64_t now = now_us(), span_us;

	span_us = world->last_us ? now - world->last_us : 0;
	world->last_us = now;
	for (size_t i = 0; i < N_LOADS; i++) {
		struct load *load = &world->loads[i];
		char text[256];
		int n;

		load->used_us += (double)span_us * told(load) * load->slots_permille / 1000;
		load->period_us += span_us;
		if (load->period_us >= 20000) {
			load->period_us = 0;
			load->n_periods++;
			load->n_throttled += load->throttled;
		}
		n = snprintf(text, sizeof(text),
			     "usage_usec %020.0f\nnr_periods %020llu\nnr_throttled %020llu\n"
			     "throttled_usec %020u\n",
			     load->used_us, (unsigned long long)load->n_periods,
			     (unsigned long long)load->n_throttled, 0u);
		assert_int_equal(pwrite(load->stat_fd, text, (size_t)n, 0), n);
	}
	pause_ms(4);
}

static void until_told(struct world *world, const struct load *load, uint32_t parallelism)
{
	uint64_t end_us = now_us() + LONGEST_S * UINT64_C(1000000);

	while (told(load) != parallelism) {
		char why[128];

		work(world);
		snprintf(why, sizeof(why), "%s: %u threads, never %u", load->name, told(load),
			 parallelism);
		if (now_us() > end_us)
			give_up(world, why);
	}
}

static void until_said(struct world *world, const char *words)
{
	uint64_t end_us = now_us() + LONGEST_S * UINT64_C(1000000);

	for (;;) {
		char *text = log_text(world);
		bool found = strstr(text, words) != NULL;
		char why[256];

		free(text);
		if (found)
			return;
		work(world);
		snprintf(why, sizeof(why), "never said: %s", words);
		if (now_us() > end_us)
			give_up(world, why);
	}
}

static void limited_by_is(const struct load *load, const char *expected)
{
	struct sidecard_answer answer;

	sidecard_page_read(load->page, &answer);
	assert_string_equal(answer.limited_by, expected);
}

static void stop(struct world *world)
{
	int status;

	kill(world->daemon, SIGTERM);
	assert_int_equal(waitpid(world->daemon, &status, 0), world->daemon);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		give_up(world, "it did not end well");
	world->daemon = 0;
}

/* ---- tools ---- */

/* Runs sidecarctl with the words of @line; its standard output goes to FILE of the root. */
static int tool(const struct world *world, const char *line, const char *file)
{
	char command[1024];
	int status;

	snprintf(command, sizeof(command), "exec %s/sidecard/ctl/sidecarctl %s >%s/%s 2>>%s/tool",
		 build, line, world->root, file, world->root);
	status = system(command); // NOLINT: a test, with words of its own
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static char *file_text(const struct world *world, const char *name)
{
	char path[256];
	char *text = calloc(1, 4 << 20);
	cleanup(fclosep) FILE *file = NULL;

	snprintf(path, sizeof(path), "%s/%s", world->root, name);
	file = fopen(path, "re");
	if (file && fread(text, 1, (4 << 20) - 1, file) == 0)
		text[0] = '\0';
	return text;
}

static void expect_in(const struct world *world, const char *file, const char *words)
{
	char *text = file_text(world, file);

	if (!strstr(text, words))
		fail_msg("%s lacks '%s':\n%.2000s", file, words, text);
	free(text);
}

/* The lines of the recording that are advice. */
static char *advice_of(const char *recording)
{
	char *advice = calloc(1, strlen(recording) + 1), *at = advice;

	for (const char *line = recording; *line;) {
		size_t n = strcspn(line, "\n") + 1;

		if (strncmp(line, "{\"advice\"", 9) == 0) {
			memcpy(at, line, n);
			at += n;
		}
		line += n;
	}
	return advice;
}

static void replay_gives_the_same(const struct world *world)
{
	char line[256];
	char *recorded, *advice, *replayed;

	snprintf(line, sizeof(line), "replay --json %s/recording", world->root);
	assert_int_equal(tool(world, line, "replayed"), 0);
	recorded = file_text(world, "recording");
	advice = advice_of(recorded);
	replayed = file_text(world, "replayed");
	assert_true(strlen(advice) > 0);
	assert_string_equal(replayed, advice);
	/* With a mark that is never reached nothing is raised. */
	snprintf(line, sizeof(line),
		 "replay --set RaiseAbove=100%% --set LowerBelow=0 %s/recording", world->root);
	assert_int_equal(tool(world, line, "other"), 0);
	free(recorded);
	free(advice);
	free(replayed);
}

/* Somebody changed it since. */
static void a_forged_recording_is_told(const struct world *world)
{
	char *recorded = file_text(world, "recording");
	char *at = strstr(recorded, "\"reason\":\"busy\""), line[256];

	assert_non_null(at);
	memcpy(at, "\"reason\":\"idle\"", 15);
	put(world, "forged", recorded);
	snprintf(line, sizeof(line), "replay %s/forged", world->root);
	assert_int_equal(tool(world, line, "other"), 1);
	put(world, "forged", "{\"a\":1}\n");
	assert_int_equal(tool(world, line, "other"), 2);
	free(recorded);
}

/* ---- the story ---- */

static unsigned long n_wakeups(const struct world *world)
{
	char path[64], text[256];
	unsigned long n = 0;
	cleanup(fclosep) FILE *file = NULL;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)world->daemon);
	file = fopen(path, "re");
	while (file && fgets(text, sizeof(text), file))
		if (strncmp(text, "voluntary_ctxt_switches:", 24) == 0)
			n = strtoul(text + 24, NULL, 10);
	return n;
}

static void the_loop_follows(struct world *world)
{
	struct load *load = &world->loads[0];

	until_told(world, load, 6); /* it begins with its PUs */
	load->slots_permille = 1000;
	until_told(world, load, 8);
	limited_by_is(load, "regulator");
	load->throttled = true;
	until_told(world, load, 5);
	expect_in(world, "log", "throttled: ");
	load->throttled = false;
	load->slots_permille = 100;
	until_told(world, load, 2);
	expect_in(world, "log", "workload 'loop': parallelism 6 → 7 (busy: ");
	expect_in(world, "log", "workload 'loop': parallelism 3 → 2 (idle: ");
	/* A quota at once, whatever the regulator would like. */
	load->slots_permille = 1000;
	until_told(world, load, 12); /* twice its PUs */
	put(world, "tree/loop/cpu.max", "450000 100000\n");
	until_told(world, load, 4);
	put(world, "tree/loop/cpu.max", "max 100000\n");
}

static void the_stages_pass(struct world *world)
{
	struct load *load = &world->loads[1];

	load->slots_permille = 700; /* of two threads that is little for six PUs */
	until_said(world, "workload 'stages': regulator in stage steady at parallelism 2");
	expect_in(world, "run/state.json", "\"steady\":[{\"workload\":\"stages\"");
	limited_by_is(load, "regulator");
	assert_int_equal(told(&world->loads[2]), 6); /* no regulator: the plan's own number */
	limited_by_is(&world->loads[2], "max");
}

/* The loop's pool is off, the other one is locked: nothing wakes the daemon. */
static void locked_means_asleep(struct world *world)
{
	uint64_t end_us = now_us() + LONGEST_S * UINT64_C(1000000);
	unsigned long before;

	put(world, "conf/pools.d/fast.conf", "[Regulator]\nType=none\n");
	kill(world->daemon, SIGHUP);
	until_told(world, &world->loads[0], 6);
	/* What the reload brought with it may take a while where the machine is busy. */
	do {
		if (now_us() > end_us)
			give_up(world, "it never sleeps for two seconds");
		before = n_wakeups(world);
		pause_ms(2000);
	} while (n_wakeups(world) != before);
}

/* The next life begins where this one was steady: with three threads, which no cold start has. */
static void steady_values_are_kept(struct world *world)
{
	char *state = file_text(world, "run/state.json");
	char *at = strstr(state, "\"steady\":[");

	assert_non_null(at);
	at = strstr(at, "\"parallelism\":2");
	assert_non_null(at);
	stop(world);
	at[strlen("\"parallelism\":")] = '5';
	put(world, "run/state.json", state);
	free(state);
	start(world);
	loads_open(world);
	until_told(world, &world->loads[1], 5);
}

static void story(void **state)
{
	struct world world = { .root = "/dev/shm/sidecard-regulate.XXXXXX" };
	char line[256];

	(void)state;
	assert_non_null(mkdtemp(world.root));
	put_conf(&world);
	put_group(&world, "");
	put_group(&world, "/loop");
	put_group(&world, "/stages");
	put_group(&world, "/free");
	start(&world);
	loads_open(&world);
	for (int i = 0; i < 50; i++)
		work(&world);
	/* In the background, for as long as the load lasts. */
	snprintf(line, sizeof(line),
		 "record --runtime-dir %s/run %s/recording & echo $! >%s/pid; :", world.root,
		 world.root, world.root);
	{
		char command[1024];

		snprintf(command, sizeof(command), "%s/sidecard/ctl/sidecarctl %s", build, line);
		assert_int_equal(system(command), 0); // NOLINT: as above
	}
	for (int i = 0; i < 100; i++)
		work(&world);
	the_loop_follows(&world);
	the_stages_pass(&world);
	{
		char *pid = file_text(&world, "pid");

		kill((pid_t)strtol(pid, NULL, 10), SIGTERM);
		free(pid);
		pause_ms(500);
	}
	replay_gives_the_same(&world);
	a_forged_recording_is_told(&world);
	snprintf(line, sizeof(line), "top --once --interval 1 --runtime-dir %s/run", world.root);
	assert_int_equal(tool(&world, line, "top"), 0);
	expect_in(&world, "top", "WORKLOAD");
	expect_in(&world, "top", "loop");
	snprintf(line, sizeof(line), "top --once --json --interval 1 --runtime-dir %s/run",
		 world.root);
	assert_int_equal(tool(&world, line, "top"), 0);
	expect_in(&world, "top", "\"name\":\"free\",\"runs\":true,\"n_pu\":");
	expect_in(&world, "top", "\"regulator\":null");
	expect_in(&world, "top", "\"stage\":\"loop\"");
	locked_means_asleep(&world);
	steady_values_are_kept(&world);
	stop(&world);
	for (size_t i = 0; i < N_LOADS; i++) {
		sidecard_close(world.loads[i].page);
		close(world.loads[i].stat_fd);
	}
	snprintf(line, sizeof(line), "rm -rf '%s'", world.root);
	assert_int_equal(system(line), 0); // NOLINT: as above
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(story) };

	if (argc < 2)
		return 2;
	build = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
