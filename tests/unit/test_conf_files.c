/* Which files count, which are refused, and what only shows when all are read. */
#include "conf_fixture.h"

#include <syslog.h>

#define X "workloads.d/x.conf:"

static void lines_and_files_have_a_length(void **state)
{
	cleanup(freep) char *text = malloc(70000);
	cleanup(conf_freep) struct conf *conf = NULL;

	memset(text, 'x', 70000);
	memcpy(text, "[Workload]\nDescription=", 23);
	memcpy(text + 11 + 181, "\n", 2);
	write_file(*state, "workloads.d/x.conf", text);
	expect_refused("one byte too long", *state, true,
		       X "2: line of 181 bytes, expected at most 180");
	memcpy(text + 11 + 180, "\n", 2);
	write_file(*state, "workloads.d/x.conf", text);
	conf = load_good(*state);
	assert_int_equal(strlen(conf->workloads[0]->description), 180 - 12);
	/* Exactly 64 KiB of comments are fine. */
	for (size_t i = 0; i < 65536; i += 64)
		memcpy(text + i,
		       "#23456789 123456789 123456789 123456789 123456789 123456789 123\n", 64);
	write_bytes(*state, "workloads.d/x.conf", text, 65536);
	conf = conf_free(conf);
	conf = load_good(*state);
	memcpy(text + 65536, "\n", 1);
	write_bytes(*state, "workloads.d/x.conf", text, 65537);
	expect_refused("one byte too many", *state, true,
		       "workloads.d/x.conf: more than 65536 bytes");
}

static void only_regular_files_are_read(void **state)
{
	cleanup(freep) char *fifo = path_in(*state, "workloads.d/fifo.conf");
	cleanup(freep) char *unreadable = path_in(*state, "workloads.d/secret.conf");
	cleanup(freep) char *loop = path_in(*state, "workloads.d/loop.conf");
	cleanup(freep) char *nowhere = path_in(*state, "nowhere");

	write_file(*state, "workloads.d/dir.conf/file", "");
	assert_int_equal(mkfifo(fifo, 0644), 0);
	write_file(*state, "workloads.d/secret.conf", "[CPU]\n");
	write_file(*state, "pools.d", "not a directory");
	assert_int_equal(chmod(unreadable, 0), 0);
	assert_int_equal(symlink("loop.conf", loop), 0);
	expect_refused(
		"special files", *state, true,
		geteuid() == 0
			? "pools.d: cannot open the directory: Not a directory\n"
			  "workloads.d/dir.conf: is a directory, expected a regular file\n"
			  "workloads.d/fifo.conf: is a FIFO, expected a regular file\n"
			  "workloads.d/loop.conf: cannot open: Too many levels of symbolic links"
			: "pools.d: cannot open the directory: Not a directory\n"
			  "workloads.d/dir.conf: is a directory, expected a regular file\n"
			  "workloads.d/fifo.conf: is a FIFO, expected a regular file\n"
			  "workloads.d/loop.conf: cannot open: Too many levels of symbolic links\n"
			  "workloads.d/secret.conf: cannot open: Permission denied");
	expect_refused("no directory at all", nowhere, true, ": no such directory");
}

static void names_of_files_are_names_of_workloads(void **state)
{
	cleanup(freep) char *path = NULL;
	char longest[256];

	memset(longest, 'a', sizeof(longest) - 1);
	longest[255] = '\0';
	memcpy(longest + 250, ".conf", 6);
	assert_true(asprintf(&path, "workloads.d/%s", longest) > 0);
	write_file(*state, path, "[CPU]\n");
	write_file(*state, "workloads.d/a\nb.conf", "[CPU]\n");
	write_file(*state, "workloads.d/Upper.conf", "[CPU]\n");
	write_file(*state, "workloads.d/-a.conf", "[CPU]\n");
	/* Hidden, or of another kind: not ours to judge. */
	write_file(*state, "workloads.d/...conf", "[Bad]\n");
	write_file(*state, "workloads.d/.hidden.conf", "[Bad]\n");
	write_file(*state, "workloads.d/good.conf.dpkg-new", "[Bad]\n");
	longest[250] = '\0';
	free(path);
	assert_true(asprintf(&path,
			     "workloads.d/-a.conf: '-a' is no name, expected %s\n"
			     "workloads.d/Upper.conf: 'Upper' is no name, expected %s\n"
			     "workloads.d/a\\x0ab.conf: 'a\\x0ab' is no name, expected %s\n"
			     "workloads.d/%s.conf: '%s' is no name, expected %s",
			     NAME_RULE, NAME_RULE, NAME_RULE, longest, longest, NAME_RULE) > 0);
	expect_refused("names", *state, true, path);
}

static const struct workload *find(const struct conf *conf, const char *name)
{
	for (size_t i = 0; i < conf->n_workloads; i++)
		if (strcmp(conf->workloads[i]->name, name) == 0)
			return conf->workloads[i];
	return NULL;
}

/* Three roots, the highest first, as /etc, /run and /usr/lib are. */
static int load_roots(const char *directory, struct conf **ret_conf, struct fault_list *faults)
{
	cleanup(freep) char *etc = path_in(directory, "etc"), *run = path_in(directory, "run"),
			    *usr = path_in(directory, "usr");
	const char *const paths[] = { etc, run, usr };

	return conf_load_from(paths, 3, true, false, ret_conf, faults);
}

static void higher_files_mask_and_drop_ins_add(void **state)
{
	cleanup(freep) char *link = path_in(*state, "etc/workloads.d/gone.conf");
	cleanup(conf_freep) struct conf *conf = NULL;
	struct fault_list faults = { 0 };
	const char *d = *state;
	const struct workload *w;

	write_file(d, "usr/sidecard.conf", "[Daemon]\nDryRun=yes\n[Partition]\nHousekeeping=2\n");
	write_file(d, "run/sidecard.conf", "[Daemon]\nLogLevel=debug\nSettle=1ms\n");
	write_file(d, "usr/sidecard.conf.d/50.conf", "[Daemon]\nSettle=2ms\n");
	write_file(d, "run/sidecard.conf.d/40.conf", "[Daemon]\nSettle=3ms\nRestoreOnStop=no\n");
	write_file(d, "usr/sidecard.conf.d/60.conf", "[Daemon]\nSettle=4ms\n");
	write_file(d, "etc/sidecard.conf.d/60.conf", "[Daemon]\nLogLevel=\n");
	write_file(d, "usr/workloads.d/gone.conf", "[CPU]\nMin=2\n");
	make_parents(link);
	assert_int_equal(symlink("/dev/null", link), 0);
	write_file(d, "usr/workloads.d/empty.conf", "[CPU]\nMin=2\n");
	write_file(d, "run/workloads.d/empty.conf", "");
	write_file(d, "usr/workloads.d/w.conf", "[CPU]\nMin=2\nWeight=7\n");
	write_file(d, "etc/workloads.d/w.conf",
		   "[CPU]\nMin=3\nMax=9\n[Match]\nUnit=a.service\n[Plugin]\nK=1\nL=2\n");
	write_file(d, "usr/workloads.d/w.conf.d/a.conf",
		   "[CPU]\nMin=4\n[Match]\nUnit=b.service\n[Plugin]\nK=3\nL=\n");
	write_file(d, "run/workloads.d/w.conf.d/b.conf",
		   "[CPU]\nMax=\n[Match]\nUnit=\nUnit=c.service\nUnit=d.service\n");
	write_file(d, "usr/workloads.d/w.conf.d/b.conf", "[CPU]\nMin=5\n");
	write_file(d, "usr/workloads.d/absent.conf.d/a.conf", "[CPU]\nMin=5\n");
	write_file(d, "usr/pools.d/zz.conf", "[Pool]\n");
	write_file(d, "etc/pools.d/aa.conf", "[Pool]\n");
	if (load_roots(d, &conf, &faults) < 0)
		fail_msg("%s", faults.n_texts ? faults.texts[0] : "no fault");
	assert_false(conf->dry_run);
	assert_int_equal(conf->housekeeping.kind, HOUSEKEEPING_AUTO);
	assert_int_equal(conf->settle_us, 2000);
	assert_int_equal(conf->log_level, LOG_INFO);
	assert_false(conf->restore_on_stop);
	assert_int_equal(conf->n_workloads, 1);
	assert_int_equal(conf->n_pools, 3);
	assert_string_equal(conf->pools[0]->name, "aa");
	assert_string_equal(conf->pools[1]->name, "default");
	assert_string_equal(conf->pools[2]->name, "zz");
	w = find(conf, "w");
	assert_int_equal(w->min_pu, 4);
	assert_int_equal(w->max_pu, WORKLOAD_MAX_UNSET);
	assert_int_equal(w->weight, 100);
	assert_int_equal(w->match.units.n_items, 2);
	assert_string_equal(w->match.units.items[0], "c.service");
	assert_int_equal(w->n_settings, 1);
	assert_string_equal(w->settings[0].value, "3");
}

static void system_files_must_be_safe(void **state)
{
	cleanup(freep) char *writable = path_in(*state, "etc/workloads.d/open.conf"),
			    *link = path_in(*state, "etc/workloads.d/link.conf"),
			    *target = path_in(*state, "elsewhere"),
			    *pools = path_in(*state, "run/pools.d"),
			    *foreign = path_in(*state, "usr/workloads.d/their.conf");
	struct fault_list faults = { 0 };
	cleanup(conf_freep) struct conf *conf = NULL;

	write_file(*state, "etc/workloads.d/open.conf", "[CPU]\n");
	write_file(*state, "elsewhere", "[CPU]\n");
	write_file(*state, "run/pools.d/p.conf", "[Pool]\n");
	write_file(*state, "usr/workloads.d/their.conf", "[CPU]\n");
	assert_int_equal(chmod(writable, 0664), 0);
	assert_int_equal(chmod(pools, 0777), 0);
	assert_int_equal(symlink(target, link), 0);
	if (geteuid() == 0)
		assert_int_equal(chown(foreign, 12345, 0), 0);
	assert_int_equal(load_roots(*state, &conf, &faults), -EINVAL);
	expect_faults("safe", *state, &faults,
		      geteuid() == 0
			      ? "etc/workloads.d/link.conf: is a symbolic link, expected a regular "
				"file or a link to /dev/null\n"
				"etc/workloads.d/open.conf: can be written by others (mode 0664)\n"
				"run/pools.d: can be written by others (mode 0777)\n"
				"usr/workloads.d/their.conf: belongs to user 12345, expected root"
			      : "etc/workloads.d/link.conf: is a symbolic link, expected a regular "
				"file or a link to /dev/null\n"
				"etc/workloads.d/open.conf: can be written by others (mode 0664)\n"
				"run/pools.d: can be written by others (mode 0777)");
	fault_list_done(&faults);
}

/* An orchestrator mounts its volumes as links to files in a hidden directory. */
static void a_named_directory_may_be_all_links(void **state)
{
	cleanup(freep) char *link = path_in(*state, "workloads.d/w.conf"),
			    *null = path_in(*state, "workloads.d/null.conf");
	cleanup(conf_freep) struct conf *conf = NULL;

	write_file(*state, "workloads.d/..data/w.conf", "[CPU]\nMin=2\n");
	assert_int_equal(symlink("..data/w.conf", link), 0);
	assert_int_equal(symlink("/dev/null", null), 0);
	conf = load_good(*state);
	assert_int_equal(conf->n_workloads, 1);
	assert_int_equal(conf->workloads[0]->min_pu, 2);
}

static void one_thing_has_one_workload(void **state)
{
	struct fault_list faults = { 0 };
	cleanup(freep) char *expected = NULL;
	struct conf *conf = NULL;
	const char *d = *state;

	write_file(d, "workloads.d/a.conf",
		   "[Match]\nUnit=x.service\nUnit=y.service\nSlice=s.slice\n");
	write_file(d, "workloads.d/b.conf", "[Match]\nUnit=z.service\nUnit=y.service\n");
	/* Processes of it, so both may be right. */
	write_file(d, "workloads.d/c.conf", "[Match]\nUnit=x.service\nExecutable=/bin/x\n");
	/* a's narrower key is the unit, so the slice is free. */
	write_file(d, "workloads.d/d.conf", "[Match]\nSlice=s.slice\n");
	write_file(d, "workloads.d/e.conf", "[Match]\nUnit=\nSlice=s.slice\n");
	write_file(d, "workloads.d/f.conf", "[Match]\nCgroup=/pods/*\n");
	write_file(d, "workloads.d/g.conf", "[Match]\nCgroup=/other\nCgroup=/pods/*\n");
	write_file(d, "workloads.d/g.conf.d/more.conf", "[Match]\nCgroup=/third\n");
	/* Taken back by its drop-in. */
	write_file(d, "workloads.d/h.conf", "[Match]\nUnit=x.service\n");
	write_file(d, "workloads.d/h.conf.d/10.conf", "[Match]\nUnit=\nUnit=h.service\n");
	assert_true(asprintf(&expected,
			     "workloads.d/b.conf:3: [Match] Unit: 'y.service' is claimed by "
			     "workload 'a' already (%s/workloads.d/a.conf:3)\n"
			     "workloads.d/e.conf:3: [Match] Slice: 's.slice' is claimed by "
			     "workload 'd' already (%s/workloads.d/d.conf:2)\n"
			     "workloads.d/g.conf:3: [Match] Cgroup: '/pods/*' is claimed by "
			     "workload 'f' already (%s/workloads.d/f.conf:2)",
			     d, d, d) > 0);
	assert_int_equal(conf_load(d, false, &conf, &faults), -EINVAL);
	expect_faults("claims", d, &faults, expected);
	fault_list_done(&faults);
}

static struct topology *machine(void)
{
	/* Two nodes of two cores of two PUs; PU 2 is offline. */
	static const char text[] =
		"sidecard-topology 1\n"
		"pu 0 0 0 0 0 0 0 0\npu 1 0 0 0 0 0 0 0\npu 3 1 1 0 0 0 0 0\n"
		"pu 4 2 2 1 1 1 1 0\npu 5 2 2 1 1 1 1 0\n"
		"pu 6 3 3 1 1 1 1 0\npu 7 3 3 1 1 1 1 0\n"
		"node 0 0 1000\nnode 1 1 1000\n"
		"distance 0 0 10\ndistance 0 1 20\ndistance 1 0 20\ndistance 1 1 10\n"
		"end\n";
	struct topology *topology = NULL;
	struct fault fault;

	if (topology_parse(text, &topology, &fault) < 0)
		fail_msg("%s", fault.text);
	return topology;
}

static void what_the_machine_lacks_is_told(void **state)
{
	cleanup(topology_freep) struct topology *topology = machine();
	cleanup(conf_freep) struct conf *conf = NULL;
	struct fault_list faults = { 0 };

	write_file(*state, "sidecard.conf", "[Partition]\nHousekeeping=6-9\n");
	write_file(*state, "pools.d/few.conf", "[Pool]\nCPUs=4-5\n");
	write_file(*state, "pools.d/gone.conf", "[Pool]\nNodes=2-3\n");
	/* An offline PU in the middle was there yesterday. */
	write_file(*state, "pools.d/gap.conf", "[Pool]\nCPUs=2-3\n");
	write_file(*state, "pools.d/none.conf", "[Pool]\nCPUs=18\n");
	write_file(*state, "workloads.d/a.conf", "[CPU]\nMin=7\n");
	write_file(*state, "workloads.d/b.conf", "[CPU]\nMin=8\n");
	write_file(*state, "workloads.d/c.conf", "[Workload]\nPool=few\n[CPU]\nMin=3\n");
	/* More than a node or the cores have: there are enough PUs, so it is the planner's to say.
	 */
	write_file(*state, "workloads.d/e.conf", "[CPU]\nMin=5\n[NUMA]\nPolicy=single\n");
	write_file(*state, "workloads.d/f.conf", "[CPU]\nMin=5\nExclusive=yes\nSmt=one-per-core\n");
	write_file(*state, "workloads.d/g.conf", "[NUMA]\nNodes=3\n");
	write_file(*state, "workloads.d/h.conf", "[CPU]\nMin=6\nExclusive=yes\n");
	write_file(*state, "workloads.d/i.conf", "[CPU]\nMin=4\n");
	write_file(*state, "workloads.d/i.conf.d/x.conf", "[NUMA]\nNodes=0\n");
	conf = load_good(*state);
	assert_int_equal(conf_check_machine(conf, topology, &faults), -EINVAL);
	expect_faults(
		"machine", *state, &faults,
		"sidecard.conf:2: [Partition] Housekeeping: PUs '6-9', but this machine has "
		"0-1,3-7 online\n"
		"pools.d/gone.conf:2: [Pool] Nodes: NUMA nodes '2-3', but this machine has 0-1\n"
		"pools.d/none.conf:2: [Pool] CPUs: PUs '18', but this machine has 0-1,3-7 online\n"
		"workloads.d/b.conf:2: [CPU] Min: Min=8, but pool, nodes and machine leave it 7 "
		"PUs\n"
		"workloads.d/c.conf:4: [CPU] Min: Min=3, but pool, nodes and machine leave it 2 "
		"PUs\n"
		"workloads.d/g.conf:2: [NUMA] Nodes: NUMA nodes '3', but this machine has 0-1\n"
		"workloads.d/h.conf:2: [CPU] Min: Min=6, but pool, nodes and machine leave it 5 "
		"PUs\n"
		"workloads.d/i.conf:2: [CPU] Min: Min=4, but pool, nodes and machine leave it 3 "
		"PUs");
	fault_list_done(&faults);
}

static void a_pu_has_one_pool(void **state)
{
	cleanup(topology_freep) struct topology *topology = machine();
	cleanup(conf_freep) struct conf *conf = NULL;
	struct fault_list faults = { 0 };
	char *d = *state;
	cleanup(freep) char *expected = NULL;

	write_file(d, "pools.d/a.conf", "[Pool]\nCPUs=0-3\n");
	write_file(d, "pools.d/b.conf", "# A comment.\n[Pool]\nCPUs=3-4\n");
	/* PUs 4-7 by their node; within it PU 7 alone is nobody else's. */
	write_file(d, "pools.d/c.conf", "[Pool]\nNodes=1\n");
	write_file(d, "pools.d/d.conf", "[Pool]\nCPUs=0-5\nNodes=1\n");
	write_file(d, "pools.d/any.conf", "[Pool]\n");
	conf = load_good(d);
	assert_true(
		asprintf(&expected,
			 "pools.d/b.conf:3: [Pool] CPUs: PUs '3' are those of pool 'a' already "
			 "(%s/pools.d/a.conf:2: [Pool] CPUs)\n"
			 "pools.d/c.conf:2: [Pool] Nodes: PUs '4' are those of pool 'b' already "
			 "(%s/pools.d/b.conf:3: [Pool] CPUs)\n"
			 "pools.d/d.conf:2: [Pool] CPUs: PUs '4' are those of pool 'b' already "
			 "(%s/pools.d/b.conf:3: [Pool] CPUs)\n"
			 "pools.d/d.conf:2: [Pool] CPUs: PUs '4-5' are those of pool 'c' "
			 "already (%s/pools.d/c.conf:2: [Pool] Nodes)",
			 d, d, d, d) > 0);
	assert_int_equal(conf_check_machine(conf, topology, &faults), -EINVAL);
	expect_faults("pools", d, &faults, expected);
	fault_list_done(&faults);
}

static void housekeeping_and_a_minimum_must_both_fit(void **state)
{
	cleanup(topology_freep) struct topology *topology = machine();
	struct fault_list faults = { 0 };

	write_file(*state, "workloads.d/a.conf", "[CPU]\nMin=5\nExclusive=yes\n");
	for (unsigned n = 2; n <= 3; n++) {
		cleanup(conf_freep) struct conf *conf = NULL;
		char text[64];

		snprintf(text, sizeof(text), "[Partition]\nHousekeeping=%u\n", n);
		write_file(*state, "sidecard.conf", text);
		conf = load_good(*state);
		assert_int_equal(conf_check_machine(conf, topology, &faults), n == 2 ? 0 : -EINVAL);
	}
	expect_faults("both", *state, &faults,
		      "workloads.d/a.conf:2: [CPU] Min: Min=5 of its own and Housekeeping=3, but "
		      "this machine has 7 PUs");
	fault_list_done(&faults);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(lines_and_files_have_a_length),
		TEST(only_regular_files_are_read),
		TEST(names_of_files_are_names_of_workloads),
		TEST(higher_files_mask_and_drop_ins_add),
		TEST(system_files_must_be_safe),
		TEST(a_named_directory_may_be_all_links),
		TEST(one_thing_has_one_workload),
		TEST(what_the_machine_lacks_is_told),
		TEST(a_pu_has_one_pool),
		TEST(housekeeping_and_a_minimum_must_both_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
