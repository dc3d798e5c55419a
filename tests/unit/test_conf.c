/* What a file may say: every key, every value, every way to get a line wrong. */
#include "conf_fixture.h"

#include <syslog.h>
#include <time.h>

static void assert_same_strings(const struct strings *a, const struct strings *b)
{
	assert_int_equal(a->n_items, b->n_items);
	for (size_t i = 0; i < a->n_items; i++)
		assert_string_equal(a->items[i], b->items[i]);
}

static void assert_same_workload(const struct workload *a, const struct workload *b)
{
	assert_string_equal(a->description, b->description);
	assert_int_equal(a->role, b->role);
	assert_string_equal(a->pool, b->pool);
	assert_int_equal(a->priority, b->priority);
	assert_string_equal(a->plugin, b->plugin);
	assert_same_strings(&a->match.units, &b->match.units);
	assert_same_strings(&a->match.slices, &b->match.slices);
	assert_same_strings(&a->match.cgroups, &b->match.cgroups);
	assert_same_strings(&a->match.executables, &b->match.executables);
	assert_same_strings(&a->match.command_lines, &b->match.command_lines);
	assert_same_strings(&a->match.users, &b->match.users);
	assert_int_equal(a->min_pu, b->min_pu);
	assert_int_equal(a->max_pu, b->max_pu);
	assert_int_equal(a->weight, b->weight);
	assert_int_equal(a->exclusive, b->exclusive);
	assert_int_equal(a->smt, b->smt);
	assert_int_equal(a->rounding, b->rounding);
	assert_int_equal(a->quota_mcpu, b->quota_mcpu);
	assert_int_equal(a->numa_policy, b->numa_policy);
	assert_true(nodeset_equal(&a->nodes, &b->nodes));
	assert_int_equal(a->memory, b->memory);
	assert_int_equal(a->memory_size_bytes, b->memory_size_bytes);
	assert_int_equal(a->migrate, b->migrate);
	assert_int_equal(a->pin, b->pin);
	assert_int_equal(a->publish_mode, b->publish_mode);
	assert_same_strings(&a->environment, &b->environment);
	assert_int_equal(a->lease_us, b->lease_us);
	assert_int_equal(a->regulator, b->regulator);
	assert_int_equal(a->overcommit_permille, b->overcommit_permille);
	assert_int_equal(a->safe_us, b->safe_us);
	assert_int_equal(a->lend, b->lend);
	assert_int_equal(a->n_settings, b->n_settings);
}

static void assert_default_daemon(const struct conf *conf)
{
	assert_false(conf->dry_run);
	assert_true(conf->restore_on_stop);
	assert_int_equal(conf->log_level, LOG_INFO);
	assert_int_equal(conf->settle_us, 10000);
	assert_int_equal(conf->housekeeping.kind, HOUSEKEEPING_AUTO);
	assert_false(conf->confine_system);
	assert_string_equal(conf->pools[0]->name, "default");
}

/* workload_new() and the table are written apart: no key may have two defaults. */
static void table_and_model_have_the_same_defaults(void **state)
{
	cleanup(workload_freep) struct workload *model = workload_new("w");
	cleanup(workload_freep) struct workload *table = calloc(1, sizeof(*table));
	cleanup(conf_freep) struct conf *conf = conf_default();

	(void)state;
	table->name = strdup("w");
	assert_int_equal(conf_keys_default(CONF_WORKLOAD, table), 0);
	assert_same_workload(model, table);
	assert_default_daemon(conf);
	assert_int_equal(conf->n_pools, 1);
}

static void uncomment(const char *directory, const char *path, const char *which)
{
	cleanup(freep) char *sample = conf_sample(which);
	size_t n = 0;

	assert_non_null(sample);
	for (const char *in = sample; *in; in++)
		if (!(in[0] == '#' && in[1] >= 'A' && in[1] <= 'Z'))
			sample[n++] = *in;
	sample[n] = '\0';
	write_file(directory, path, sample);
}

static void sample_without_comments_is_the_default(void **state)
{
	cleanup(conf_freep) struct conf *conf = NULL;
	cleanup(workload_freep) struct workload *model = workload_new("w");

	uncomment(*state, "sidecard.conf", "sidecard");
	uncomment(*state, "pools.d/p.conf", "pool");
	uncomment(*state, "workloads.d/w.conf", "workload");
	conf = load_good(*state);
	assert_default_daemon(conf);
	assert_int_equal(conf->n_pools, 2);
	assert_string_equal(conf->pools[1]->name, "p");
	assert_true(cpuset_is_empty(&conf->pools[1]->cpus));
	assert_true(nodeset_is_empty(&conf->pools[1]->nodes));
	assert_same_workload(conf->workloads[0], model);
	assert_null(conf_sample("nothing"));
}

static void every_key_reaches_its_field(void **state)
{
	cleanup(conf_freep) struct conf *conf = NULL;
	const struct workload *w;

	write_file(*state, "sidecard.conf",
		   "[Daemon]\nDryRun=yes\nRestoreOnStop=off\nLogLevel=debug\nSettle=5s\n"
		   "[Partition]\nHousekeeping=0-1,8\nConfineSystem=true\n");
	write_file(*state, "pools.d/gold.conf", "[Pool]\nDescription=Gold\nCPUs=4-7\nNodes=1,3\n");
	write_file(
		*state, "workloads.d/w.conf",
		"; a comment\n  # another\n\n[Workload]  \nDescription = a = b: c \nRole=batch\n"
		"Pool=gold\nPriority=0\nPlugin=go\n[Match]\nUnit=a.service\nUnit=b@*.service\n"
		"Slice=x-y.slice\nCgroup=/pods/a*\nExecutable=/usr/bin/envoy\n"
		"CommandLine=*envoy -c ?*\nUser=root\nUser=4711\n[CPU]\nMin=2\nMax=8192\n"
		"Weight=10000\nExclusive=on\nSmt=one-per-core\nRounding=nearest\nQuota=250%\n"
		"[NUMA]\nPolicy=spread\nNodes=0-1\nMemory=interleave\nMemorySize=3 G\nMigrate=on\n"
		"[Threads]\nPin=none\n[Publish]\nMode=steer\nEnvironment=A=1\n"
		"Environment=_b2=x;y \"z\"\nEnvironment=A=2\nLease=2min\n[Plugin]\nThing.x=#1\n");
	conf = load_good(*state);
	assert_true(conf->dry_run);
	assert_false(conf->restore_on_stop);
	assert_int_equal(conf->log_level, LOG_DEBUG);
	assert_int_equal(conf->settle_us, 5000000);
	assert_int_equal(conf->housekeeping.kind, HOUSEKEEPING_LIST);
	assert_int_equal(cpuset_count(&conf->housekeeping.cpus), 3);
	assert_true(conf->confine_system);
	assert_string_equal(conf->pools[1]->description, "Gold");
	assert_int_equal(cpuset_count(&conf->pools[1]->cpus), 4);
	assert_int_equal(nodeset_count(&conf->pools[1]->nodes), 2);
	w = conf->workloads[0];
	assert_string_equal(w->description, "a = b: c");
	assert_int_equal(w->role, ROLE_BATCH);
	assert_string_equal(w->pool, "gold");
	assert_int_equal(w->priority, 0);
	assert_string_equal(w->plugin, "go");
	assert_string_equal(w->match.units.items[1], "b@*.service");
	assert_string_equal(w->match.slices.items[0], "x-y.slice");
	assert_string_equal(w->match.cgroups.items[0], "/pods/a*");
	assert_string_equal(w->match.executables.items[0], "/usr/bin/envoy");
	assert_string_equal(w->match.command_lines.items[0], "*envoy -c ?*");
	assert_int_equal(w->match.uids[0], 0);
	assert_int_equal(w->match.uids[1], 4711);
	assert_int_equal(w->min_pu, 2);
	assert_int_equal(w->max_pu, 8192);
	assert_int_equal(w->weight, 10000);
	assert_true(w->exclusive);
	assert_int_equal(w->smt, SMT_ONE_PER_CORE);
	assert_int_equal(w->rounding, ROUNDING_NEAREST);
	assert_int_equal(w->quota_mcpu, 2500);
	assert_int_equal(w->numa_policy, NUMA_SPREAD);
	assert_int_equal(nodeset_count(&w->nodes), 2);
	assert_int_equal(w->memory, MEMORY_INTERLEAVE);
	assert_int_equal(w->memory_size_bytes, UINT64_C(3) << 30);
	assert_true(w->migrate);
	assert_int_equal(w->pin, PIN_NONE);
	assert_int_equal(w->publish_mode, PUBLISH_STEER);
	assert_int_equal(w->environment.n_items, 2);
	assert_string_equal(w->environment.items[0], "A=2");
	assert_string_equal(w->environment.items[1], "_b2=x;y \"z\"");
	assert_int_equal(w->lease_us, 120000000);
	assert_int_equal(w->n_settings, 1);
	assert_string_equal(w->settings[0].key, "Thing.x");
	assert_string_equal(w->settings[0].value, "#1");
	assert_int_equal(w->source_line, 5);
}

static void housekeeping_is_a_count_or_a_list(void **state)
{
	static const struct {
		const char *text;
		enum housekeeping_kind kind;
		uint32_t n;
	} rows[] = {
		/* clang-format off */
		{ "auto", HOUSEKEEPING_AUTO, 0 },
		{ "none", HOUSEKEEPING_NONE, 0 },
		{ "3", HOUSEKEEPING_COUNT, 3 },
		{ "0-3", HOUSEKEEPING_LIST, 4 },
		{ "0,2", HOUSEKEEPING_LIST, 2 },
		{ "cpus:3", HOUSEKEEPING_LIST, 1 },
		{ "cpus:1-2", HOUSEKEEPING_LIST, 2 },
		/* clang-format on */
	};

	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		cleanup(conf_freep) struct conf *conf = NULL;
		char text[64];

		snprintf(text, sizeof(text), "[Partition]\nHousekeeping=%s\n", rows[i].text);
		write_file(*state, "sidecard.conf", text);
		conf = load_good(*state);
		assert_int_equal(conf->housekeeping.kind, rows[i].kind);
		assert_int_equal(rows[i].kind == HOUSEKEEPING_COUNT
					 ? conf->housekeeping.n_pu
					 : cpuset_count(&conf->housekeeping.cpus),
				 rows[i].n);
	}
}

#define X "workloads.d/x.conf:"
/* What the table of keys says it expects. */
#define A_UNIT                                                                              \
	", expected the full name of a .service, .scope or .slice unit; * and ? stand for " \
	"anything"
#define A_SLICE ", expected the full name of a slice, such as proxy.slice"
#define A_CGROUP \
	", expected a path below the cgroup root, such as /pods/a*, without '..' and final '/'"
#define A_PROGRAM      ", expected the absolute path of a program, without '..'"
#define A_NODE	       ", expected NUMA node numbers such as 0-1,3, each below 1024"
#define A_SIZE	       ", expected a size up to 4096T, in bytes or with K, M, G or T (1024 each)"
#define A_QUOTA	       ", expected a number of PUs such as 2.5 or 250%, or max"
#define A_LINE	       ", expected KEY=VALUE, [SECTION] or # comment"
#define A_NUMBER(most) ", expected a whole number from 1 to " most
#define A_SPAN(most)   ", expected a time from 0 to " most " in us, ms, s, min or h"
#define A_NAME	       ", expected a name: " NAME_RULE
#define A_VARIABLE     ", expected NAME=VALUE"

/* clang-format off */
static const struct {
	const char *why, *text, *fault;
} bad_lines[] = {
	{ "a slip of the finger", "[CPU]\nWieght=1\n",
	  X "2: [CPU] Wieght: unknown key, did you mean 'Weight'?" },
	{ "right key, wrong section", "[CPU]\nNodes=1\n",
	  X "2: [CPU] Nodes: unknown key here, it belongs to [NUMA]" },
	{ "nothing like it", "[CPU]\nQqqqqqqq=1\n", X "2: [CPU] Qqqqqqqq: unknown key" },
	{ "section in other letters; its keys are not faults again", "[Cpu]\nMin=1\n",
	  X "1: [Cpu]: unknown section, did you mean 'CPU'?" },
	{ "section of another file", "[Partition]\nHousekeeping=1\n",
	  X "1: [Partition]: unknown section, expected one of "
		"Workload|Match|CPU|NUMA|Threads|Publish|Regulator|Plugin" },
	{ "a word", "[CPU]\nSmt=always\n",
	  X "2: [CPU] Smt: 'always' is unknown, expected one of "
		"any|whole-core|one-per-core" },
	{ "not a number", "[CPU]\nMin=two\n",
	  X "2: [CPU] Min: 'two' is no whole number" A_NUMBER("8192") },
	{ "number with a tail", "[CPU]\nMin=2x\n",
	  X "2: [CPU] Min: '2x' is no whole number" A_NUMBER("8192") },
	{ "below", "[CPU]\nMin=0\n",
	  X "2: [CPU] Min: '0' is out of range" A_NUMBER("8192") },
	{ "negative", "[CPU]\nMin=-1\n",
	  X "2: [CPU] Min: '-1' is no whole number" A_NUMBER("8192") },
	{ "above 64 bits", "[CPU]\nMin=99999999999999999999999\n",
	  X "2: [CPU] Min: '99999999999999999999999' is out of range" A_NUMBER("8192") },
	{ "above 32 bits", "[CPU]\nWeight=4294967297\n",
	  X "2: [CPU] Weight: '4294967297' is out of range" A_NUMBER("10000") },
	{ "a boolean", "[CPU]\nExclusive=maybe\n",
	  X "2: [CPU] Exclusive: 'maybe' is neither, expected yes, no or a number of PUs from 1 to 8192" },
	{ "minimum above maximum", "[CPU]\nMax=2\nMin=3\n",
	  X "3: [CPU] Min: Min=3 is above Max=2" },
	{ "a quota of nothing", "[CPU]\nQuota=0\n",
	  X "2: [CPU] Quota: '0' is out of range" A_QUOTA },
	{ "reversed range", "[NUMA]\nNodes=3-1\n",
	  X "2: [NUMA] Nodes: '3-1' is no list" A_NODE },
	{ "a node beyond any kernel", "[NUMA]\nNodes=1024\n",
	  X "2: [NUMA] Nodes: '1024' has a number too large" A_NODE },
	{ "a size", "[NUMA]\nMemorySize=4X\n",
	  X "2: [NUMA] MemorySize: '4X' is no size" A_SIZE },
	{ "a size beyond 64 bits", "[NUMA]\nMemorySize=99999999999T\n",
	  X "2: [NUMA] MemorySize: '99999999999T' is too large" A_SIZE },
	{ "a time", "[Publish]\nLease=5 parsecs\n",
	  X "2: [Publish] Lease: '5 parsecs' is no time" A_SPAN("24h") },
	{ "a pool that nobody defines", "[Workload]\nPool=gold\n",
	  X "2: [Workload] Pool: there is no pool 'gold'" },
	{ "a pool as a path", "[Workload]\nPool=../x\n",
	  X "2: [Workload] Pool: '../x' is no name" A_NAME },
	{ "a plugin as a path", "[Workload]\nPlugin=/tmp/x\n",
	  X "2: [Workload] Plugin: '/tmp/x' is no name" A_NAME },
	{ "unit without a suffix", "[Match]\nUnit=proxy\n",
	  X "2: [Match] Unit: 'proxy' is no such name" A_UNIT },
	{ "unit that has no processes", "[Match]\nUnit=a.mount\n",
	  X "2: [Match] Unit: 'a.mount' is no such name" A_UNIT },
	{ "unit with a slash", "[Match]\nUnit=a/b.service\n",
	  X "2: [Match] Unit: 'a/b.service' is no such name" A_UNIT },
	{ "everything at once", "[Match]\nSlice=-.slice\n",
	  X "2: [Match] Slice: '-.slice' holds everything" A_SLICE },
	{ "a service as a slice", "[Match]\nSlice=a.service\n",
	  X "2: [Match] Slice: 'a.service' is no slice" A_SLICE },
	{ "cgroup upwards", "[Match]\nCgroup=/a/../b\n",
	  X "2: [Match] Cgroup: '/a/../b' is no such path" A_CGROUP },
	{ "cgroup root", "[Match]\nCgroup=/\n",
	  X "2: [Match] Cgroup: '/' is no such path" A_CGROUP },
	{ "relative program", "[Match]\nExecutable=envoy\n",
	  X "2: [Match] Executable: 'envoy' is no absolute path" A_PROGRAM },
	{ "nobody has this name", "[Match]\nUser=root\nUser=no-such-user-0\n",
	  X "3: [Match] User: there is no user 'no-such-user-0'" },
	{ "the user number that means no change", "[Match]\nUser=4294967295\n",
	  X "2: [Match] User: '4294967295' is no user number, expected the name or number "
		"of a user" },
	{ "variable without a value", "[Publish]\nEnvironment=A\n",
	  X "2: [Publish] Environment: 'A' is no variable" A_VARIABLE },
	{ "variable of the linker", "[Publish]\nEnvironment=LD_PRELOAD=/x\n",
	  X "2: [Publish] Environment: 'LD_PRELOAD=/x' would steer the dynamic linker"
	  A_VARIABLE },
	{ "variable of ours", "[Publish]\nEnvironment=SIDECARD_N_PU=9\n",
	  X "2: [Publish] Environment: 'SIDECARD_N_PU=9' begins with SIDECARD_, which is "
		"sidecard's own"
	  A_VARIABLE },
	{ "variable with a blank", "[Publish]\nEnvironment=A B=9\n",
	  X "2: [Publish] Environment: 'A B=9' has a name with other than letters, digits "
		"and _"
	  A_VARIABLE },
	{ "key twice", "[CPU]\nMin=1\n[NUMA]\n[CPU]\nMin=2\n",
	  X "5: [CPU] Min: given twice in one file, first on line 2" },
	{ "key of a plugin twice", "[Plugin]\na=1\na=2\n",
	  X "3: [Plugin] a: given twice in one file" },
	{ "no section", "Min=1\n", X "1: key before the first section: 'Min'" },
	{ "no equals sign", "[CPU]\nMin\n", X "2: 'Min' is not understood" A_LINE },
	{ "inih would take the colon", "[CPU]\nMin:2\n",
	  X "2: 'Min:2' is not understood" A_LINE },
	{ "inih would take the colon before the sign", "[CPU]\nMin:2=3\n",
	  X "2: 'Min:2=3' is not understood" A_LINE },
	{ "empty key", "[CPU]\n=2\n", X "2: '=2' is not understood" A_LINE },
	{ "inih would continue the value", "[Match]\nUnit=a.service\n  Min=2\n",
	  X "3: blank at the start of the line: values cannot be continued" },
	{ "inih would keep the section before", "[CPU]\n[NUMA\nMin=1\n",
	  X "2: section without its ']': '[NUMA'" },
	{ "inih would ignore the rest", "[CPU] Min=1\n",
	  X "1: text after the section's ']': '[CPU] Min=1'" },
	{ "a section of nothing", "[]\n", X "1: '[]' is no section" },
	{ "inih would cut the section",
	  "[CPUaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]\n",
	  X "1: '[CPUaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]' is "
		"no section" },
	{ "inih would cut the value", "[Match]\nCommandLine=a ;b\n",
	  X "2: ';' after a blank in a value, expected a comment on a line of its own" },
	{ "not UTF-8", "[Workload]\nDescription=\xff\n", X "2: text that is not UTF-8" },
	{ "a terminal's escape", "[Workload]\nDescription=\033[2J\n",
	  X "2: control character \\x1b" },
	{ "lines of another system", "[Workload]\r\n",
	  X "1: control character \\x0d, expected lines that end in a newline alone" },
	{ "byte order mark", "\xef\xbb\xbf[CPU]\nMin=1\n",
	  X "1: byte order mark, expected plain UTF-8" },
};

/* clang-format on */

static void bad_lines_are_refused(void **state)
{
	for (size_t i = 0; i < N_ELEMENTS(bad_lines); i++) {
		write_file(*state, "workloads.d/x.conf", bad_lines[i].text);
		expect_refused(bad_lines[i].why, *state, true, bad_lines[i].fault);
	}
	write_file(*state, "workloads.d/x.conf", "[CPU]\nQuota=1\n");
	expect_refused(
		"a quota of something that runs", *state, false,
		X
		"2: [CPU] Quota: for offline plans only, what runs has the cpu.max of its cgroup");
	write_bytes(*state, "workloads.d/x.conf", "[CPU]\nMin=1\0Max=2\nMin=x\n", 24);
	expect_refused("inih would stop at the NUL", *state, true,
		       X "2: NUL byte\n" X "3: [CPU] Min: 'x' is no whole number" A_NUMBER("8192"));
	write_file(*state, "workloads.d/x.conf", "");
	write_file(*state, "sidecard.conf",
		   "[Partition]\nHousekeeping=0\n[Daemon]\nSettle=6s\nLogLevel=loud\n");
	expect_refused("the daemon's file", *state, true,
		       "sidecard.conf:2: [Partition] Housekeeping: '0' is out of range, expected "
		       "auto, none, how many PUs (1 to 8192), or which: 0-1 or cpus:3\n"
		       "sidecard.conf:4: [Daemon] Settle: '6s' is out of range, expected a time "
		       "from 0 to 5s in us, ms, s, min or h\n"
		       "sidecard.conf:5: [Daemon] LogLevel: 'loud' is unknown, expected one of "
		       "err|warning|notice|info|debug");
}

/* Everything at once, in files that do not know of each other: every fault, sorted by file and
 * line. */
static void one_broken_directory_is_reported_whole(void **state)
{
	struct fault_list faults = { 0 };
	struct conf *conf = NULL;
	const char *d = *state;
	cleanup(freep) char *expected = NULL;

	write_file(d, "sidecard.conf",
		   "[Daemon]\nDryRun=perhaps\n[Partition]\nHousekeeping=1-\n[Pool]\nCPUs=1\n");
	write_file(d, "sidecard.conf.d/10.conf", "[Daemon]\nSettle=-1\n");
	write_file(d, "pools.d/Gold.conf", "[Pool]\n");
	write_file(d, "pools.d/silver.conf", "[Pool]\nCPUs=a-b\nNode=1\n");
	write_file(d, "workloads.d/a.conf",
		   "[CPU]\nMin=4\nMax=2\nSmt=no\n[Match]\nUnit=x.service\n");
	write_file(d, "workloads.d/b.conf",
		   "[Workload]\nPool=Gold\nRole=king\n[Match]\nUnit=x.service\n");
	write_file(d, "workloads.d/b.conf.d/z.conf",
		   "[Match]\nUser=no-such-user-0\n\n[NUMA\nNodes=0\n");
	write_file(
		d, "workloads.d/c.conf",
		"[Workload]\nPool=silver\n[Match]\nUnit=x.service\n[Publish]\nEnvironment=PATH\n");
	assert_true(
		asprintf(&expected,
			 "pools.d/Gold.conf: 'Gold' is no name, expected " NAME_RULE "\n"
			 "pools.d/silver.conf:2: [Pool] CPUs: 'a-b' is no list, expected PU "
			 "numbers such as 0-3,8, each below 8192\n"
			 "pools.d/silver.conf:3: [Pool] Node: unknown key, did you mean 'Nodes'?\n"
			 "sidecard.conf:2: [Daemon] DryRun: 'perhaps' is neither, expected yes or "
			 "no\n"
			 "sidecard.conf:4: [Partition] Housekeeping: '1-' is no list, expected "
			 "auto, none, how many PUs (1 to 8192), or which: 0-1 or cpus:3\n"
			 "sidecard.conf:5: [Pool]: unknown section, expected one of "
			 "Daemon|Partition|Planner|Regulator\n"
			 "sidecard.conf.d/10.conf:2: [Daemon] Settle: '-1' is no time, expected a "
			 "time from 0 to 5s in us, ms, s, min or h\n"
			 "workloads.d/a.conf:2: [CPU] Min: Min=4 is above Max=2\n"
			 "workloads.d/a.conf:4: [CPU] Smt: 'no' is unknown, expected one of "
			 "any|whole-core|one-per-core\n"
			 "workloads.d/b.conf:2: [Workload] Pool: 'Gold' is no name, expected a "
			 "name: " NAME_RULE "\n"
			 "workloads.d/b.conf:3: [Workload] Role: 'king' is unknown, expected one "
			 "of control-plane|data-plane|batch\n"
			 "workloads.d/b.conf.d/z.conf:2: [Match] User: there is no user "
			 "'no-such-user-0'\n"
			 "workloads.d/b.conf.d/z.conf:4: section without its ']': '[NUMA'\n"
			 "workloads.d/c.conf:4: [Match] Unit: 'x.service' is claimed by workload "
			 "'a' already (%s/workloads.d/a.conf:6)\n"
			 "workloads.d/c.conf:6: [Publish] Environment: 'PATH' is no variable, "
			 "expected NAME=VALUE",
			 d) > 0);
	assert_int_equal(conf_load(d, true, &conf, &faults), -EINVAL);
	expect_faults("broken", d, &faults, expected);
	fault_list_done(&faults);
}

static void thousands_of_faults_are_bounded(void **state)
{
	struct fault_list faults = { 0 };
	struct conf *conf = NULL;
	cleanup(freep) char *text = malloc(65000);

	for (size_t i = 0; i < 65000; i += 4)
		memcpy(text + i, "x=1\n", 4);
	memcpy(text, "[A]\n", 4);
	memcpy(text + 4, "[CPU]\n#\n", 8);
	write_bytes(*state, "workloads.d/x.conf", text, 65000);
	assert_int_equal(conf_load(*state, true, &conf, &faults), -EINVAL);
	assert_int_equal(faults.n_texts, FAULT_LIST_MAX);
	assert_true(faults.n_lost > 10000);
	fault_list_done(&faults);
}

/* Whatever a file holds: an answer, and either a whole configuration or at least one fault. */
static void any_bytes_have_an_answer(void **state)
{
	static const char good[] =
		"[Workload]\nRole=batch\n# c\n[Match]\nUnit=a.service\n[CPU]\nMin=2\n"
		"[Publish]\nEnvironment=A=b\n[Plugin]\nx=y\n";
	unsigned seed = (unsigned)time(NULL);

	print_message("seed %u\n", seed);
	for (size_t n = 0; n < sizeof(good) + 3000; n++) {
		struct fault_list faults = { 0 };
		cleanup(conf_freep) struct conf *conf = NULL;
		char text[sizeof(good)];
		size_t n_text = n < sizeof(good) ? n : sizeof(good) - 1;
		int r;

		memcpy(text, good, sizeof(good));
		for (size_t i = sizeof(good); i < n; i += 600)
			text[(size_t)rand_r(&seed) % n_text] = (char)rand_r(&seed);
		write_bytes(*state, "workloads.d/x.conf", text, n_text);
		r = conf_load(*state, true, &conf, &faults);
		if (!((r == 0 && conf && faults.n_texts == 0) ||
		      (r == -EINVAL && !conf && faults.n_texts > 0)))
			fail_msg("%d with %zu faults: %.*s", r, faults.n_texts, (int)n_text, text);
		fault_list_done(&faults);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(table_and_model_have_the_same_defaults),
		TEST(sample_without_comments_is_the_default),
		TEST(every_key_reaches_its_field),
		TEST(housekeeping_is_a_count_or_a_list),
		TEST(bad_lines_are_refused),
		TEST(one_broken_directory_is_reported_whole),
		TEST(thousands_of_faults_are_bounded),
		TEST(any_bytes_have_an_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
