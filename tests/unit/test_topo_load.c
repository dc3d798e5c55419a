/* Machines through the real probe, and how the probe is run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "paths.h"
#include "sense/cgroup_find.h"
#include "sense/topo_load.h"

/* A directory for this run's files; made in main(). */
static char scratch[] = "/tmp/sidecard-test-XXXXXX";

static char *scratch_path(const char *name)
{
	char *path = NULL;

	assert_true(asprintf(&path, "%s/%s", scratch, name) > 0);
	return path;
}

static char *write_file(const char *name, const void *bytes, size_t n_bytes)
{
	char *path = scratch_path(name);
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, n_bytes, file), n_bytes);
	assert_int_equal(fclose(file), 0);
	return path;
}

static void loads_synthetic_machines(void **state)
{
	/* clang-format off */
	static const struct {
		const char *why, *machine, *counts; /* PUs, cores, L2, L3, dies, packages, nodes */
	} rows[] = {
		{ "every level there is", "package:2 die:2 numa:2 l3:2 l2:2 core:2 pu:2", "128 64 32 16 4 2 8" },
		{ "a PU without a core is its own", "pu:4", "4 4 1 1 1 1 1" },
		{ "no L3 and no package: nodes are kept apart", "numa:2 core:2 pu:2", "8 4 2 2 1 1 2" },
		{ "no L3: the die stands in", "package:2 die:2 core:2 pu:2", "16 8 4 4 4 2 1" },
		{ "no L2: the L3 stands in", "package:1 l3:2 core:4 pu:1", "8 8 2 2 1 1 1" },
		{ "one L3 over two nodes", "package:1 l3:1 numa:2 core:2 pu:2", "8 4 1 1 1 1 2" },
		{ "cores of three PUs", "package:2 core:3 pu:3", "18 6 2 2 2 2 1" },
		{ "two nodes a package", "package:2 [numa] [numa] core:2 pu:2", "8 4 2 2 2 2 4" },
		{ "one of each", "package:1 core:1 pu:1", "1 1 1 1 1 1 1" },
		{ "levels without names", "2 2 2", "8 8 4 4 2 2 4" },
		{ "as large as it gets", "package:16 numa:1 core:256 pu:2", "8192 4096 16 16 16 16 16" },
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		cleanup(topology_freep) struct topology *t = NULL;
		cleanup(freep) char *counts = NULL, *machine = NULL;
		struct fault fault = { 0 };

		assert_true(asprintf(&machine, "synthetic:%s", rows[i].machine) > 0);
		if (topo_load(machine, &t, &fault) < 0)
			fail_msg("%s: %s", rows[i].why, fault.text);
		assert_true(asprintf(&counts, "%u %u %u %u %u %u %u", t->n_pu, t->n_core, t->n_l2,
				     t->n_l3, t->n_die, t->n_package, t->n_node) > 0);
		if (strcmp(counts, rows[i].counts) != 0)
			fail_msg("%s: %s, expected %s", rows[i].why, counts, rows[i].counts);
	}
}

/* Of two nodes beside the same PUs the first is theirs, the other memory-only. */
static void tells_memory_only_nodes(void **state)
{
	cleanup(topology_freep) struct topology *t = NULL;

	(void)state;
	assert_int_equal(
		topo_load("synthetic:package:2 [numa(memory=1GB)] [numa(memory=4GB)] core:2 pu:2",
			  &t, NULL),
		0);
	assert_int_equal(t->n_node, 4);
	for (uint32_t i = 0; i < t->n_node; i++) {
		bool has_pus = i % 2 == 0;

		assert_int_equal(t->nodes[i].node_os, i);
		assert_int_equal(t->nodes[i].n_pu, has_pus ? 4 : 0);
		assert_int_equal(t->nodes[i].package, has_pus ? i / 2 : TOPOLOGY_NONE);
		assert_int_equal(t->nodes[i].memory_bytes, has_pus ? 1000000000 : 4000000000);
	}
}

static void refuses_bad_machines(void **state)
{
	cleanup(freep) char *fifo = scratch_path("fifo.xml");
	cleanup(freep) char *empty = write_file("empty.xml", "", 0);
	cleanup(freep) char *garbage = write_file("garbage.xml", "<topology><object", 17);
	cleanup(freep) char *other = write_file("other.xml", "<?xml version=\"1.0\"?><a/>\n", 26);
	cleanup(freep) char *nul = write_file("nul.xml", "<?xml\0?>", 8);
	cleanup(freep) char *missing = scratch_path("missing.xml");
	const struct {
		const char *why, *machine, *said;
	} rows[] = {
		{ "one PU too many", "synthetic:core:4097 pu:2", "more than 8192 PUs" },
		{ "hwloc takes minutes for this", "synthetic:numa:4096 pu:64",
		  "more than 8192 PUs" },
		{ "beyond 32 bits", "synthetic:numa:4294967297 pu:1", "more than 8192 PUs" },
		{ "beyond 64 bits", "synthetic:numa:99999999999999999999 pu:1", "more than" },
		{ "product beyond 32 bits", "synthetic:8192 8192 8192", "more than 8192 PUs" },
		{ "one node too many", "synthetic:numa:1025 pu:1", "1024 nodes" },
		{ "attached nodes count", "synthetic:core:1024 [numa] [numa] pu:1", "1024 nodes" },
		{ "nothing", "synthetic:", "is not a list" },
		{ "no count", "synthetic:numa:", "is not a list" },
		{ "no type", "synthetic::4", "is not a list" },
		{ "zero", "synthetic:numa:0 pu:2", "is not a list" },
		{ "negative", "synthetic:numa:-1 pu:2", "is not a list" },
		{ "hexadecimal", "synthetic:numa:0x10 pu:2", "is not a list" },
		{ "open bracket", "synthetic:[numa pu:2", "is not a list" },
		{ "open parenthesis", "synthetic:numa:2(memory=1 pu:2", "is not a list" },
		{ "a line break", "synthetic:numa:2\npu:2", "is not a list" },
		{ "no PUs at the end", "synthetic:numa:2 core:2", "does not accept" },
		{ "unknown type", "synthetic:lamp:2 pu:2", "does not accept" },
		{ "a PU number above all", "synthetic:pu:2(indexes=0,9999)",
		  "highest possible is 8191" },
		{ "missing file: not the real machine", missing, "No such file" },
		{ "a word", "liv", "No such file" },
		{ "empty word", "", "No such file" },
		{ "empty file", empty, "hwloc" },
		{ "garbage", garbage, "hwloc" },
		{ "other XML", other, "hwloc" },
		{ "a NUL byte", nul, "NUL byte" },
		{ "a FIFO would wait for ever", fifo, "neither a regular file" },
		{ "a device would never end", "/dev/zero", "neither a regular file" },
		{ "a directory without a machine", scratch, "holds neither" },
	};

	(void)state;
	assert_int_equal(mkfifo(fifo, 0600), 0);
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct topology *topology = NULL;
		struct fault fault = { 0 };
		int r = topo_load(rows[i].machine, &topology, &fault);

		if (r != -EINVAL || topology || !strstr(fault.text, rows[i].said))
			fail_msg("%s: gave %d, '%s', expected '%s'", rows[i].why, r, fault.text,
				 rows[i].said);
	}
}

static char *xml_of(const char *machine, int colours_fd)
{
	const char *const question[] = { "xml", machine, colours_fd >= 0 ? "-" : NULL, NULL };
	struct fault fault = { 0 };
	char *xml = NULL;

	if (probe_ask(question, colours_fd, &xml, &fault) < 0)
		fail_msg("%s: %s", machine, fault.text);
	return xml;
}

/* The same machine by three ways: made up, as XML, and as a captured directory. */
static void loads_what_it_saved(void **state)
{
	static const char machine[] = "synthetic:package:2 numa:2 l3:1 l2:2 core:2 pu:2";
	cleanup(topology_freep) struct topology *made_up = NULL, *file = NULL, *captured = NULL;
	cleanup(freep) char *xml = xml_of(machine, -1),
			    *path = write_file("saved.xml", xml, strlen(xml));
	cleanup(freep) char *directory = scratch_path("captured"), *a = NULL, *b = NULL, *c = NULL;

	(void)state;
	assert_int_equal(mkdir(directory, 0700), 0);
	free(write_file("captured/topology.xml", xml, strlen(xml)));
	assert_int_equal(topo_load(machine, &made_up, NULL), 0);
	assert_int_equal(topo_load(path, &file, NULL), 0);
	assert_int_equal(topo_load(directory, &captured, NULL), 0);
	a = topology_format(made_up);
	b = topology_format(file);
	c = topology_format(captured);
	assert_string_equal(a, b);
	assert_string_equal(a, c);
}

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* hwloc's XML reader may crash; we may not, and a torn file is no machine. */
static void survives_damaged_xml(void **state)
{
	cleanup(freep) char *xml = xml_of("synthetic:package:2 numa:1 l3:1 core:2 pu:2", -1);
	size_t n_xml = strlen(xml);

	(void)state;
	for (uint64_t start = 1; start <= 150; start++) {
		uint64_t seed = start * 0x9e3779b97f4a7c15;
		cleanup(topology_freep) struct topology *topology = NULL;
		cleanup(freep) char *damaged = strdup(xml), *path = NULL;
		bool is_cut = start % 3 == 0;
		size_t n = is_cut ? next_random(&seed) % (n_xml - 20) : n_xml;
		struct fault fault = { 0 };
		int r;

		for (unsigned k = 0; !is_cut && k < 4; k++)
			damaged[next_random(&seed) % n] = (char)(next_random(&seed) % 127 + 1);
		path = write_file("damaged.xml", damaged, n);
		r = topo_load(path, &topology, &fault);
		if (is_cut && r == 0)
			fail_msg("seed %" PRIu64 ": %zu of %zu bytes were taken for a machine",
				 start, n, n_xml);
		if (r < 0 && fault.text[0] == '\0')
			fail_msg("seed %" PRIu64 ": failed with %d and no reason", start, r);
	}
}

static void reads_this_machine(void **state)
{
	cleanup(topology_freep) struct topology *topology = NULL;
	cleanup(cpuset_done) struct cpuset online = { 0 };
	cleanup(fclosep) FILE *file = fopen("/sys/devices/system/cpu/online", "re");
	cleanup(freep) char *line = NULL;
	struct fault fault = { 0 };
	size_t n_line = 0;

	(void)state;
	/* Whoever starts us must not choose the machine. */
	assert_int_equal(setenv("HWLOC_SYNTHETIC", "numa:3 pu:77", 1), 0);
	assert_int_equal(setenv("HWLOC_FSROOT", "/nonexistent", 1), 0);
	if (topo_load("live", &topology, &fault) < 0)
		fail_msg("%s", fault.text);
	assert_int_equal(unsetenv("HWLOC_SYNTHETIC"), 0);
	assert_int_equal(unsetenv("HWLOC_FSROOT"), 0);
	if (!file)
		skip();
	assert_true(getline(&line, &n_line, file) > 0);
	assert_int_equal(cpuset_parse(line, &online), 0);
	assert_true(cpuset_equal(&topology->cpus, &online));
}

static int colours(const char *text)
{
	int fd = memfd_create("colours", MFD_CLOEXEC);

	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static void paints_owners(void **state)
{
	static const char *const question[] = { "xml", "synthetic:core:2 pu:2", "-", NULL };
	static const char *const refused[] = { "0 #ff0000\n",	       "0 red envoy\n",
					       "0 #ff00 envoy\n",      "9 #ff0000 envoy\n",
					       "0 #ff0000 en voy\n",   "0 #ff0000 a\n0 #00ff00 b\n",
					       "0 #ff0000 \"><evil\n", "x\n" };
	cleanup(close_fdp) int fd = colours("0 #ff0000 envoy\n1 #ff0000 envoy\n2 #00ff00 agent\n");
	cleanup(freep) char *xml = xml_of("synthetic:core:2 pu:2", fd);
	unsigned n_red = 0, n_green = 0;

	(void)state;
	for (const char *at = xml; (at = strstr(at, "Background=#ff0000;Text=#ffffff")); at++)
		n_red++;
	for (const char *at = xml; (at = strstr(at, "Background=#00ff00;Text=#000000")); at++)
		n_green++;
	assert_int_equal(n_red, 3);   /* two PUs and their core */
	assert_int_equal(n_green, 1); /* its core is not all agent's */
	for (size_t i = 0; i < N_ELEMENTS(refused); i++) {
		cleanup(close_fdp) int refused_fd = colours(refused[i]);
		char *answer = NULL;
		struct fault fault = { 0 };

		if (probe_ask(question, refused_fd, &answer, &fault) != -EINVAL ||
		    strncmp(fault.text, "colours", 7) != 0)
			fail_msg("'%s' was not refused: '%s'", refused[i], fault.text);
	}
}

static void reports_how_helpers_end(void **state)
{
	static const struct {
		const char *why, *script;
		int result;
		const char *said; /* the answer, or part of the fault */
	} rows[] = {
		{ "an answer", "echo yes", 0, "yes\n" },
		{ "no answer is an answer", ":", 0, "" },
		{ "complaints do not count where it succeeds", "echo oops >&2; echo yes", 0,
		  "yes\n" },
		{ "its sentence", "echo some; echo 'this is why' >&2; exit 2", -EINVAL,
		  "this is why" },
		{ "the first line of many", "printf 'one\\ntwo\\n' >&2; exit 2", -EINVAL, "one" },
		{ "control characters are no sentence", "printf 'a\\033b' >&2; exit 2", -EINVAL,
		  "a\\x1bb" },
		{ "fails in silence", "exit 3", -EIO, "exit code 3 and no reason" },
		{ "crashes", "kill -SEGV $$", -EIO, "ended by signal 11" },
		{ "hangs", "exec sleep 1000", -ETIMEDOUT, "did not answer within" },
		{ "hangs with its output closed", "exec >&- 2>&-; exec sleep 1000", -ETIMEDOUT,
		  "did not answer within" },
		{ "talks without end", "exec yes", -EMSGSIZE, "more than 10000 bytes" },
		{ "complains without end", "exec yes >&2", -EMSGSIZE, "more than" },
		{ "a NUL byte", "printf 'a\\0b'", -EINVAL, "NUL byte" },
		{ "hears nothing", "cat", 0, "" },
		{ "has no environment of ours",
		  "tr '\\0' '\\n' </proc/self/environ | grep -c SIDECARD_TEST;"
		  " exit 0",
		  0, "0\n" },
		{ "no descriptor but its own",
		  "for fd in /proc/$$/fd/*; do [ ${fd##*/} -le 2 ] ||"
		  " readlink $fd; done; exit 0",
		  0, "" },
		/* signals 32 and 33 are the C library's own */
		{ "no signal blocked or ignored",
		  "while read key value; do case $key in SigBlk:|SigIgn:) echo $((0x$value & "
		  "0x7fffffff));;"
		  " esac; done </proc/self/status",
		  0, "0\n0\n" },
	};
	sigset_t all, before;
	int leaked = open("/dev/null", O_RDONLY); /* without O_CLOEXEC: must not reach the helper */

	(void)state;
	assert_true(leaked >= 0);
	assert_int_equal(setenv("SIDECARD_TEST", "1", 1), 0);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	signal(SIGUSR1, SIG_IGN);
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		const char *const arguments[] = { "-c", rows[i].script, NULL };
		const struct helper_call call = {
			.path = "/bin/sh",
			.arguments = arguments,
			.input_fd = -1,
			.deadline_ms = rows[i].result == -ETIMEDOUT ? 100 : 20000,
			.n_answer_max = 10000,
		};
		cleanup(freep) char *answer = NULL;
		struct fault fault = { 0 };
		int r = helper_run(&call, &answer, &fault);

		if (r != rows[i].result || (r < 0 && answer) ||
		    (r < 0 ? !strstr(fault.text, rows[i].said) : strcmp(answer, rows[i].said) != 0))
			fail_msg("%s: gave %d, answer '%s', fault '%s'", rows[i].why, r,
				 answer ? answer : "", fault.text);
	}
	signal(SIGUSR1, SIG_DFL);
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(leaked);
}

static void reports_what_cannot_start(void **state)
{
	static const char *const many[] = { "1", "2", "3",  "4",  "5",	"6",  "7",
					    "8", "9", "10", "11", "12", "13", NULL };
	static const char *const none[] = { NULL };
	const struct {
		const char *why, *path;
		const char *const *arguments;
		int result;
	} rows[] = {
		{ "no such program", "/nonexistent/probe", none, -ENOENT },
		{ "a directory", "/tmp", none, -EACCES },
		{ "too many arguments", "/bin/true", many, -E2BIG },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		const struct helper_call call = { rows[i].path, rows[i].arguments, -1, 5000, 100 };
		struct fault fault = { 0 };
		char *answer = NULL;
		int r = helper_run(&call, &answer, &fault);

		if (r != rows[i].result || fault.text[0] == '\0')
			fail_msg("%s: gave %d, '%s'", rows[i].why, r, fault.text);
	}
}

static void falls_back_to_libexec(void **state)
{
	cleanup(freep) char *probe = helper_path("sidecard-probe");
	cleanup(freep) char *unknown = helper_path("no-such-helper");

	(void)state;
	assert_int_equal(access(probe, X_OK), 0);
	assert_string_equal(unknown, SIDECARD_LIBEXEC_DIR "/no-such-helper");
}

#define CGROUP_HEAD "mode unified\nnamespaced 0\ncpu 1\ncpuset 1\nmemory 1\n"

static void parses_answers_about_cgroups(void **state)
{
	static const struct {
		const char *why, *text;
		int result;
	} rows[] = {
		{ "unified", CGROUP_HEAD "path /sys/fs/cgroup\nown /a b\nend\n", 0 },
		{ "none", "mode none\nnamespaced 0\ncpu 0\ncpuset 0\nmemory 0\nend\n", 0 },
		{ "nothing", "", -EINVAL },
		{ "no end", CGROUP_HEAD "path /sys/fs/cgroup\nown /\n", -EINVAL },
		{ "unified without a path", CGROUP_HEAD "own /\nend\n", -EINVAL },
		{ "unified without our own", CGROUP_HEAD "path /sys/fs/cgroup\nend\n", -EINVAL },
		{ "none with a path", "mode none\npath /a\nown /\nend\n", -EINVAL },
		{ "two paths", CGROUP_HEAD "path /a\npath /b\nown /\nend\n", -EINVAL },
		{ "relative path", CGROUP_HEAD "path a\nown /\nend\n", -EINVAL },
		{ "relative cgroup", CGROUP_HEAD "path /a\nown \nend\n", -EINVAL },
		{ "unknown mode", "mode odd\nend\n", -EINVAL },
		{ "unknown key", CGROUP_HEAD "path /a\nown /\nlamp 1\nend\n", -EINVAL },
		{ "no value", CGROUP_HEAD "path\nown /\nend\n", -EINVAL },
		{ "no flag", "mode none\ncpu 2\nend\n", -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		cleanup(cgroup_mount_done) struct cgroup_mount mount = { 0 };
		struct fault fault = { 0 };
		int r = cgroup_mount_parse(rows[i].text, &mount, &fault);
		cleanup(freep) char *again = NULL;

		if (r != rows[i].result || (r < 0) != (fault.text[0] != '\0'))
			fail_msg("%s: gave %d, '%s'", rows[i].why, r, fault.text);
		if (r < 0)
			continue;
		again = cgroup_mount_format(&mount);
		assert_string_equal(again, rows[i].text);
	}
}

struct loaded {
	struct topo_loading *loading;
	struct topology *topology;
	struct fault fault;
	unsigned n;
};

static void on_loaded(void *userdata, struct topology *topology, const struct fault *fault)
{
	struct loaded *loaded = userdata;

	loaded->n++;
	loaded->topology = topology;
	if (!topology)
		loaded->fault = *fault;
	loaded->loading = topo_loading_free(loaded->loading);
}

/* The same answers, and the loop is free meanwhile. */
static void loads_in_the_background(void **state)
{
	static const struct {
		const char *machine, *fault; /* NULL: there is a machine */
	} rows[] = {
		{ "synthetic:numa:2 core:4 pu:2", NULL },
		{ "synthetic:numa:64 core:64 pu:2", NULL }, /* more than a pipe holds */
		{ "synthetic:nonsense", "is not a list of TYPE:COUNT" },
		{ "/nonexistent/machine.xml", "No such file or directory" },
	};
	sd_event *event = NULL;
	struct fault fault;

	(void)state;
	assert_true(sd_event_new(&event) >= 0);
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		cleanup(topology_freep) struct topology *expected = NULL;
		struct loaded loaded = { 0 };
		const struct topo_listener listener = { &loaded, on_loaded };

		assert_int_equal(
			topo_load_begin(rows[i].machine, event, &listener, &loaded.loading, &fault),
			0);
		assert_int_equal(loaded.n, 0);
		while (loaded.n == 0)
			assert_true(sd_event_run(event, UINT64_MAX) >= 0);
		assert_int_equal(topo_load(rows[i].machine, &expected, &fault),
				 rows[i].fault ? -EINVAL : 0);
		if (rows[i].fault) {
			assert_null(loaded.topology);
			if (!strstr(loaded.fault.text, rows[i].fault))
				fail_msg("'%s'", loaded.fault.text);
			continue;
		}
		assert_non_null(loaded.topology);
		assert_int_equal(loaded.topology->n_pu, expected->n_pu);
		assert_int_equal(loaded.topology->n_node, expected->n_node);
		topology_free(loaded.topology);
	}
	/* Given up half-way: nothing is reported, and no process is left. */
	for (unsigned n_turns = 0; n_turns < 3; n_turns++) {
		struct loaded loaded = { 0 };
		const struct topo_listener listener = { &loaded, on_loaded };

		assert_int_equal(topo_load_begin("synthetic:numa:64 core:64 pu:2", event, &listener,
						 &loaded.loading, &fault),
				 0);
		for (unsigned k = 0; k < n_turns; k++)
			assert_true(sd_event_run(event, UINT64_MAX) >= 0);
		if (loaded.n == 0)
			topo_loading_free(loaded.loading);
		topology_free(loaded.topology);
	}
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	sd_event_unref(event);
}

static void finds_the_cgroups_of_this_machine(void **state)
{
	cleanup(cgroup_mount_done) struct cgroup_mount mount = { 0 };
	cleanup(freep) char *own = NULL;
	struct fault fault = { 0 };
	struct statfs fs;

	(void)state;
	if (cgroup_find_load(&mount, &fault) < 0)
		fail_msg("%s", fault.text);
	if (!mount.path) {
		assert_true(mount.mode == CGROUP_NONE || mount.mode == CGROUP_LEGACY);
		return;
	}
	assert_int_equal(statfs(mount.path, &fs), 0);
	assert_int_equal(fs.f_type, CGROUP2_SUPER_MAGIC);
	assert_true(asprintf(&own, "%s%s/cgroup.procs", mount.path, mount.own) > 0);
	assert_int_equal(access(own, F_OK), 0);
}

static int make_scratch(void **state)
{
	(void)state;
	return mkdtemp(scratch) ? 0 : -1;
}

static int remove_scratch(void **state)
{
	static const char *const names[] = {
		"fifo.xml",  "empty.xml",   "garbage.xml",	     "other.xml", "nul.xml",
		"saved.xml", "damaged.xml", "captured/topology.xml", "captured"
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(names); i++) {
		cleanup(freep) char *path = scratch_path(names[i]);

		remove(path);
	}
	return rmdir(scratch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loads_synthetic_machines),
		cmocka_unit_test(tells_memory_only_nodes),
		cmocka_unit_test(refuses_bad_machines),
		cmocka_unit_test(loads_what_it_saved),
		cmocka_unit_test(survives_damaged_xml),
		cmocka_unit_test(reads_this_machine),
		cmocka_unit_test(paints_owners),
		cmocka_unit_test(reports_how_helpers_end),
		cmocka_unit_test(reports_what_cannot_start),
		cmocka_unit_test(falls_back_to_libexec),
		cmocka_unit_test(parses_answers_about_cgroups),
		cmocka_unit_test(loads_in_the_background),
		cmocka_unit_test(finds_the_cgroups_of_this_machine),
	};

	return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
