/* The daemon itself on a tree of ordinary files: what was there before it comes back, whenever a
 * workload is left to itself and at whatever moment the daemon is killed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "apply/apply_message.h"
#include "base/cleanup.h"

struct life {
	char root[64];
	pid_t daemon;
};

static void path_of(const struct life *life, const char *name, char path[256])
{
	assert_true(snprintf(path, 256, "%s/%s", life->root, name) < 256);
}

static void put(const struct life *life, const char *name, const char *text)
{
	char path[256];
	int fd;

	path_of(life, name, path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

/* "" where there is no such file. */
static void get(const struct life *life, const char *name, char *text, size_t size)
{
	char path[256];
	ssize_t n;
	int fd;

	path_of(life, name, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? read(fd, text, size - 1) : 0;
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
}

static void make(const struct life *life, const char *name)
{
	char path[256];

	path_of(life, name, path);
	assert_int_equal(mkdir(path, 0755), 0);
}

static void copy(const struct life *life, const char *from, const char *name)
{
	cleanup(freep) char *data = NULL;
	char path[256];
	struct stat st;
	int in = open(from, O_RDONLY | O_CLOEXEC), out;

	assert_true(in >= 0);
	assert_int_equal(fstat(in, &st), 0);
	data = malloc((size_t)st.st_size);
	assert_non_null(data);
	assert_int_equal(read(in, data, (size_t)st.st_size), st.st_size);
	path_of(life, name, path);
	out = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	assert_true(out >= 0);
	assert_int_equal(write(out, data, (size_t)st.st_size), st.st_size);
	close(in);
	close(out);
}

static void group_make(const struct life *life, const char *name)
{
	static const char *const files[][2] = {
		{ "cgroup.controllers", "cpuset cpu\n" },
		{ "cgroup.subtree_control", "cpuset cpu\n" },
		{ "cgroup.procs", "" },
		{ "cgroup.events", "populated 1\nfrozen 0\n" },
		{ "cpu.max", "max 100000\n" },
		{ "cpu.weight", "100\n" },
		{ "cpuset.cpus", "\n" },
		{ "cpuset.mems", "\n" },
	};
	char path[128];

	make(life, name);
	for (size_t i = 0; i < N_ELEMENTS(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", name, files[i][0]);
		put(life, path, files[i][1]);
	}
}

static const char workload[] = "[Workload]\nRole=data-plane\n[Match]\nCgroup=/pod\n"
			       "[CPU]\nMin=1\nMax=1\nExclusive=yes\n";

/* NULL: without the workload. */
static void configure(const struct life *life, const char *text)
{
	char path[256];

	path_of(life, "conf/workloads.d/w.conf", path);
	if (text)
		put(life, "conf/workloads.d/w.conf", text);
	else
		assert_int_equal(unlink(path), 0);
}

static void life_init(struct life *life)
{
	*life = (struct life){ .root = "/tmp/test_give_back.XXXXXX" };
	assert_non_null(mkdtemp(life->root));
	make(life, "bin");
	copy(life, SIDECARD, "bin/sidecard");
	copy(life, SIDECARD_PROBE, "bin/sidecard-probe");
	copy(life, SIDECARD_PLUGIN_HOST, "bin/sidecard-plugin-host");
	copy(life, APPLIER_KILLER, "bin/sidecard-apply");
	group_make(life, "cgroup");
	group_make(life, "cgroup/pod");
	make(life, "conf");
	make(life, "conf/workloads.d");
	put(life, "conf/workloads.d/w.conf", workload);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void life_done(struct life *life)
{
	if (life->daemon > 0) {
		kill(life->daemon, SIGKILL);
		waitpid(life->daemon, NULL, 0);
	}
	assert_int_equal(nftw(life->root, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* @when: what applier_killer.c takes; NULL: nobody is killed. */
static void life_begin(struct life *life, const char *when, enum apply_verb verb)
{
	char program[256], conf[256], run[256], cgroup[256], order[32];

	snprintf(order, sizeof(order), "%s %d\n", when ? when : "never", (int)verb);
	put(life, "bin/kill", order);
	path_of(life, "run/io.sidecard", program);
	unlink(program); /* a dead one leaves it */
	path_of(life, "bin/sidecard", program);
	path_of(life, "conf", conf);
	path_of(life, "run", run);
	path_of(life, "cgroup", cgroup);
	life->daemon = fork();
	assert_true(life->daemon >= 0);
	if (life->daemon == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl(program, program, "--no-bus", "--conf", conf, "--runtime-dir", run,
		      "--cgroup-root", cgroup, "--plugin-dir", PLUGIN_DIR, "--log-level", "err",
		      (char *)NULL);
		_exit(127);
	}
}

static void life_ends(struct life *life, int signal_number)
{
	int status;

	assert_int_equal(waitpid(life->daemon, &status, 0), life->daemon);
	life->daemon = 0;
	if (signal_number)
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == signal_number);
	else
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static bool is_listening(struct life *life);
static void until(struct life *life, const char *what, bool (*is)(struct life *life));

static void stop(struct life *life)
{
	until(life, "its socket", is_listening); /* its signals are in order then */
	kill(life->daemon, SIGTERM);
	life_ends(life, 0);
}

static bool is_ours(struct life *life)
{
	char cpus[256];

	get(life, "cgroup/pod/cpuset.cpus", cpus, sizeof(cpus));
	return cpus[0] != '\0';
}

static bool is_given_back(struct life *life)
{
	return !is_ours(life);
}

static bool is_remembered(struct life *life)
{
	char state[4096];

	get(life, "run/state.json", state, sizeof(state));
	return strstr(state, "\"cgroup\":\"/pod\"");
}

static bool is_forgotten(struct life *life)
{
	char state[4096];

	get(life, "run/state.json", state, sizeof(state));
	return state[0] && !strstr(state, "\"cgroup\":\"/pod\"");
}

static bool is_published(struct life *life)
{
	char text[4096];

	get(life, "run/env/w.env", text, sizeof(text));
	return text[0] != '\0';
}

static bool is_listening(struct life *life)
{
	char path[256];

	path_of(life, "run/io.sidecard", path);
	return access(path, F_OK) == 0;
}

/* A generous bound, no measure. */
static void until(struct life *life, const char *what, bool (*is)(struct life *life))
{
	const struct timespec wait = { .tv_nsec = 10000000 };

	for (int i = 0; i < 6000; i++) {
		if (is(life))
			return;
		nanosleep(&wait, NULL);
	}
	fail_msg("%s never came to be", what);
}

/* ---- tests ---- */

static void killed_at_a_first_write(void **state)
{
	static const struct {
		const char *why, *when;
		enum apply_verb verb;
		bool remembered, ours; /* what the dead one leaves */
	} rows[] = {
		{ "before it looked", "before", APPLY_LOOK, false, false },
		{ "it has looked, and could not say so", "after", APPLY_LOOK, false, false },
		{ "saved, and not yet written", "before", APPLY_SET, true, false },
		{ "written, and not yet known", "after", APPLY_SET, true, true },
	};

	(void)state;
	for (size_t i = 0; i < 2 * N_ELEMENTS(rows); i++) {
		bool stays = i & 1; /* is the workload still there in the next life? */
		struct life life;

		life_init(&life);
		life_begin(&life, rows[i / 2].when, rows[i / 2].verb);
		life_ends(&life, SIGKILL);
		if (is_remembered(&life) != rows[i / 2].remembered ||
		    is_ours(&life) != rows[i / 2].ours)
			fail_msg("%s: remembered %d, ours %d", rows[i / 2].why,
				 is_remembered(&life), is_ours(&life));
		if (!stays)
			configure(&life, NULL);
		life_begin(&life, NULL, 0);
		if (stays) {
			until(&life, "its place", is_published);
			until(&life, "its PUs", is_ours);
			stop(&life);
		} else {
			until(&life, "what was there", is_given_back);
			if (rows[i / 2].remembered)
				until(&life, "a state without it", is_forgotten);
			stop(&life);
		}
		assert_true(is_given_back(&life));
		life_done(&life);
	}
}

static void reload(struct life *life, const char *text)
{
	configure(life, text);
	kill(life->daemon, SIGHUP);
}

static void given_back_by_a_reload(void **state)
{
	struct life life;

	(void)state;
	life_init(&life);
	life_begin(&life, NULL, 0);
	until(&life, "its PUs", is_ours);
	until(&life, "its number", is_published);
	reload(&life, NULL);
	until(&life, "what was there", is_given_back);
	until(&life, "a state without it", is_forgotten);
	/* And again: what is remembered is what is there now. */
	put(&life, "cgroup/pod/cpuset.cpus", "0\n");
	reload(&life, workload);
	until(&life, "its place", is_remembered);
	until(&life, "its number", is_published);
	stop(&life);
	{
		char cpus[256];

		get(&life, "cgroup/pod/cpuset.cpus", cpus, sizeof(cpus));
		assert_string_equal(cpus, "0");
	}
	life_done(&life);
}

static void killed_while_giving_back(void **state)
{
	static const char *const moments[] = { "before", "after" };

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(moments); i++) {
		struct life life;

		life_init(&life);
		life_begin(&life, moments[i], APPLY_RESTORE);
		until(&life, "its PUs", is_ours);
		until(&life, "its number", is_published);
		reload(&life, NULL);
		life_ends(&life, SIGKILL);
		assert_int_equal(is_given_back(&life), i == 1);
		life_begin(&life, NULL, 0);
		until(&life, "what was there", is_given_back);
		until(&life, "a state without it", is_forgotten);
		stop(&life);
		life_done(&life);
	}
}

/* Somebody else has set it since: his. */
static void what_others_set_is_left_alone(void **state)
{
	struct life life;
	char cpus[256];

	(void)state;
	life_init(&life);
	life_begin(&life, "after", APPLY_SET);
	life_ends(&life, SIGKILL);
	put(&life, "cgroup/pod/cpuset.cpus", "0-8191\n");
	configure(&life, NULL);
	life_begin(&life, NULL, 0);
	until(&life, "a state without it", is_forgotten);
	stop(&life);
	get(&life, "cgroup/pod/cpuset.cpus", cpus, sizeof(cpus));
	assert_string_equal(cpus, "0-8191");
	life_done(&life);
}

static bool is_not_foreign(struct life *life)
{
	char cpus[256];

	get(life, "cgroup/pod/cpuset.cpus", cpus, sizeof(cpus));
	return strcmp(cpus, "0-8191") != 0 && cpus[0];
}

/* Somebody writes between our write and its answer: what we read back is older than what is there.
 */
static void what_others_set_meanwhile_is_seen(void **state)
{
	struct life life;

	(void)state;
	life_init(&life);
	life_begin(&life, "meddle", APPLY_SET);
	until(&life, "its number", is_published);
	until(&life, "its PUs", is_not_foreign);
	stop(&life);
	assert_true(is_given_back(&life));
	life_done(&life);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_at_a_first_write),
		cmocka_unit_test(given_back_by_a_reload),
		cmocka_unit_test(killed_while_giving_back),
		cmocka_unit_test(what_others_set_is_left_alone),
		cmocka_unit_test(what_others_set_meanwhile_is_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
