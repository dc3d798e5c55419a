#include "world_fixture.h"

static void quota_of_leaf_and_ancestor(void **state)
{
	struct fixture *f = fixture_new();
	static const struct {
		const char *why, *cgroup, *text;
		unsigned n_reported;
		uint32_t mcpu;
	} rows[] = {
		{ "leaf", "/proxy.slice/proxy.service", "150000 100000\n", 1, 1500 },
		{ "ancestor", "/proxy.slice", "50000 100000\n", 1, 500 },
		{ "unlimited again", "/proxy.slice", "max 100000\n", 1, QUOTA_UNLIMITED_MCPU },
		{ "the same value in other words", "/proxy.slice/proxy.service", "15000 10000\n", 0,
		  1500 },
		{ "malformed: what was known is kept", "/proxy.slice/proxy.service", "junk\n", 0,
		  1500 },
		{ "well again", "/proxy.slice/proxy.service", "200000 100000\n", 1, 2000 },
	};

	(void)state;
	cgroup_make(f, "/proxy.slice");
	cgroup_make(f, "/proxy.slice/proxy.service");
	cgroup_make(f, "/proxy.slice/other.service");
	workload_unit(f, "proxy", "proxy.service");
	fixture_start(f);
	assert_int_equal(n_places(f), 1);
	assert_int_equal(place_at(f, "/proxy.slice/proxy.service")->kind, PLACE_UNIT);
	assert_string_equal(place_at(f, "/proxy.slice/proxy.service")->unit, "proxy.service");
	assert_int_equal(limit_at(f, "/"), 0);
	assert_int_equal(limit_at(f, "/proxy.slice/other.service"), LIMIT_NONE);
	assert_int_equal(world_limit_of(f->world, 0), limit_at(f, "/proxy.slice/proxy.service"));
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		char file[128];

		snprintf(file, sizeof(file), "%s/cpu.max", rows[i].cgroup);
		fixture_forget(f);
		put(f, file, rows[i].text);
		fixture_run(f);
		if (f->n_quota != rows[i].n_reported || f->n_changed != 0)
			fail_msg("%s: %u quotas, %u changes", rows[i].why, f->n_quota,
				 f->n_changed);
		if (f->n_quota && f->last_limit != limit_at(f, rows[i].cgroup))
			fail_msg("%s: limit %u", rows[i].why, f->last_limit);
		if (quota_at(f, rows[i].cgroup) != rows[i].mcpu)
			fail_msg("%s: %u", rows[i].why, quota_at(f, rows[i].cgroup));
	}
	put(f, "/proxy.slice/other.service/cpu.max", "1000 100000\n");
	fixture_forget(f);
	fixture_run(f);
	assert_int_equal(f->n_quota, 0);
	fixture_free(f);
}

static void comes_goes_and_returns_as_another(void **state)
{
	struct fixture *f = fixture_new();
	uint64_t first;

	(void)state;
	workload_unit(f, "proxy", "proxy.service");
	workload_cgroup(f, "zpods", "/pods/a*/x");
	fixture_start(f);
	assert_int_equal(n_places(f), 0);
	assert_int_equal(world_limit_of(f->world, 0), LIMIT_NONE);

	cgroup_make(f, "/system.slice");
	cgroup_make(f, "/system.slice/proxy.service");
	put(f, "/system.slice/proxy.service/cpu.max", "300000 100000\n");
	fixture_run(f);
	assert_int_equal(f->changes, WORLD_PLACES);
	assert_int_equal(n_places(f), 1);
	assert_int_equal(quota_at(f, "/system.slice/proxy.service"), 3000);
	first = place_at(f, "/system.slice/proxy.service")->cgroup_id;

	fixture_forget(f);
	put(f, "/system.slice/proxy.service/cpu.max", "100000 100000\n");
	cgroup_remove(f, "/system.slice/proxy.service");
	cgroup_make(f, "/system.slice/proxy.service");
	fixture_run(f);
	assert_int_equal(f->changes, WORLD_PLACES);
	assert_int_equal(n_places(f), 1);
	assert_true(place_at(f, "/system.slice/proxy.service")->cgroup_id != first);
	assert_int_equal(quota_at(f, "/system.slice/proxy.service"), QUOTA_UNLIMITED_MCPU);

	/* Deep below a glob, one directory after the other; then the branch goes at once. */
	fixture_forget(f);
	cgroup_make(f, "/pods");
	cgroup_make(f, "/pods/b");
	cgroup_make(f, "/pods/b/x");
	fixture_run(f);
	assert_int_equal(f->n_changed, 0);
	cgroup_make(f, "/pods/a1");
	fixture_run(f);
	cgroup_make(f, "/pods/a1/x");
	fixture_run(f);
	assert_int_equal(place_at(f, "/pods/a1/x")->kind, PLACE_CGROUP);
	assert_int_equal(place_at(f, "/pods/a1/x")->workload, 1);
	cgroup_remove(f, "/pods");
	cgroup_remove(f, "/system.slice");
	fixture_run(f);
	assert_int_equal(n_places(f), 0);
	assert_int_equal(world_n_watched(f->world), 1);
	fixture_free(f);
}

static void bursts_are_one_report(void **state)
{
	static const char *const files[] = { "cpu.weight",  "cpu.max.burst", "memory.max",
					     "io.weight",   "cpuset.cpus",   "pids.max",
					     "cgroup.type", "cpu.max" };
	struct fixture *f = fixture_new();

	(void)state;
	cgroup_make(f, "/a.slice");
	cgroup_make(f, "/a.slice/a.service");
	workload_unit(f, "a", "a.service");
	fixture_start(f);
	fixture_run(f);
	fixture_forget(f);
	for (unsigned round = 0; round < 4; round++)
		for (size_t i = 0; i < N_ELEMENTS(files); i++) {
			char file[128];

			snprintf(file, sizeof(file), "/a.slice/a.service/%s", files[i]);
			put(f, file, i == 7 ? "200000 100000\n" : i == 0 ? "300\n" : "1\n");
		}
	fixture_run(f);
	assert_int_equal(f->n_quota, 1);
	assert_int_equal(f->n_changed, 1);
	assert_int_equal(f->changes, WORLD_DRIFT | WORLD_WEIGHTS);
	/* Nothing is left to do: not one wake-up. */
	assert_int_equal(fixture_run(f), 0);
	/* What comes and goes within a burst is no change. */
	fixture_forget(f);
	cgroup_make(f, "/a.slice/b.service");
	cgroup_remove(f, "/a.slice/b.service");
	cgroup_make(f, "/c.slice");
	cgroup_remove(f, "/c.slice");
	fixture_run(f);
	assert_int_equal(f->n_changed, 0);
	fixture_free(f);
}

static void lost_events_are_found(void **state)
{
	struct fixture *f = fixture_new();

	(void)state;
	cgroup_make(f, "/a.slice");
	cgroup_make(f, "/a.slice/a1.service");
	workload_unit(f, "a", "a*.service");
	fixture_start(f);
	put(f, "/a.slice/cpu.max", "50000 100000\n");
	put(f, "/a.slice/cpu.weight", "7\n");
	cgroup_remove(f, "/a.slice/a1.service");
	cgroup_make(f, "/a.slice/a2.service");
	put(f, "/a.slice/a2.service/cpu.max", "70000 100000\n");
	f->overflow = true;
	fixture_run(f);
	assert_int_equal(quota_at(f, "/a.slice"), 500);
	assert_int_equal(quota_at(f, "/a.slice/a2.service"), 700);
	assert_int_equal(n_places(f), 1);
	assert_true(f->changes & WORLD_PLACES);
	fixture_free(f);
}

static void kinds_and_claims(void **state)
{
	struct fixture *f = fixture_new();
	size_t n;
	const struct place *places;

	(void)state;
	cgroup_make(f, "/s.slice");
	cgroup_make(f, "/s.slice/d.service");
	cgroup_make(f, "/s.slice/d.service/payload");
	cgroup_make(f, "/plain");
	workload_cgroup(f, "a", "/s.slice/d.service/*");
	workload_unit(f, "b", "d.service");
	workload_unit(f, "c", "d.service");
	workload_cgroup(f, "d", "/plain");
	workload_cgroup(f, "e", "/pl*");
	strings_add(&workload_put(f, "f")->match.slices, "s.slice");
	fixture_start(f);
	places = world_places(f->world, &n);
	assert_int_equal(n, 4);
	assert_string_equal(places[0].cgroup, "/s.slice/d.service/payload");
	assert_int_equal(places[0].kind, PLACE_CGROUP);
	assert_string_equal(places[1].unit, "d.service");
	assert_int_equal(places[1].workload, 1);
	assert_string_equal(places[2].cgroup, "/plain");
	assert_int_equal(places[2].workload, 3);
	assert_string_equal(places[3].unit, "s.slice");
	assert_non_null(
		strstr(f->all_notices,
		       "workloads 'b' and 'c' both claim '/s.slice/d.service', 'b' has it"));
	assert_non_null(
		strstr(f->all_notices, "workloads 'd' and 'e' both claim '/plain', 'd' has it"));
	n = f->n_notices;
	assert_int_equal(world_rescan(f->world, NULL), 0);
	assert_int_equal(f->n_notices, n); /* once */
	assert_int_equal(f->n_changed, 0);
	/* The other one gets it when the first goes. */
	workload_free(f->workloads[1]);
	memmove(&f->workloads[1], &f->workloads[2], 4 * sizeof(f->workloads[0]));
	f->n_workloads--;
	fixture_configure(f);
	assert_int_equal(place_at(f, "/s.slice/d.service")->workload, 1);
	fixture_free(f);
}

static void limits_shared_and_apart(void **state)
{
	struct fixture *f = fixture_new();

	(void)state;
	cgroup_make(f, "/a.slice");
	cgroup_make(f, "/a.slice/a1.service");
	cgroup_make(f, "/a.slice/a2.service");
	cgroup_make(f, "/b.slice");
	cgroup_make(f, "/b.slice/b1.service");
	put(f, "/b.slice/cpu.max", "100000 100000\n");
	workload_unit(f, "a", "a*.service");
	workload_unit(f, "m", "?1.service");
	fixture_start(f);
	/* "a" comes first: both services are its; common to both is the slice. */
	assert_int_equal(world_limit_of(f->world, 0), limit_at(f, "/a.slice"));
	assert_int_equal(world_limit_of(f->world, 1), limit_at(f, "/b.slice/b1.service"));
	cgroup_make(f, "/b.slice/a3.service");
	fixture_run(f);
	assert_int_equal(world_limit_of(f->world, 0), limit_at(f, "/b.slice/a3.service"));
	put(f, "/a.slice/cpu.max", "50000 100000\n");
	fixture_run(f);
	assert_int_equal(world_limit_of(f->world, 0), limit_at(f, "/a.slice/a1.service"));
	assert_int_equal(world_limit_of(f->world, 2), LIMIT_NONE);
	fixture_free(f);
}

static void bounds_by_cpusets(void **state)
{
	struct fixture *f = fixture_new();
	const char *path = NULL;
	static const char online[] = "online@/devices/system/cpu/cpu3\0ACTION=online";
	static const char other[] = "add@/devices/pci0000:00/0000:00:01.0\0ACTION=add";

	(void)state;
	put(f, "/cpuset.cpus.effective", "0-7\n");
	put(f, "/cgroup.controllers", "cpuset memory\n");
	cgroup_make(f, "/a.slice");
	cgroup_make(f, "/a.slice/a.service");
	put(f, "/a.slice/a.service/cpuset.cpus.effective", "2\n");
	workload_unit(f, "a", "a.service");
	fixture_start(f);
	assert_non_null(strstr(f->all_notices, "no v2 cpu controller at "));
	assert_null(strstr(f->all_notices, "no v2 cpuset controller at "));
	assert_int_equal(cpuset_count(world_allowed(f->world)), 8);
	assert_null(world_cpuset_of(f->world, 0, &path)); /* its own file is ours to write */
	put(f, "/a.slice/cpuset.cpus.effective", "4-5\n");
	fixture_run(f);
	assert_int_equal(f->changes, WORLD_CPUSETS);
	assert_int_equal(cpuset_count(world_cpuset_of(f->world, 0, &path)), 2);
	assert_string_equal(path, "/a.slice");
	put(f, "/a.slice/cpuset.cpus.effective", "0-15\n");
	fixture_run(f);
	assert_null(world_cpuset_of(f->world, 0, &path)); /* covers all that is allowed */
	fixture_forget(f);
	put(f, "/a.slice/a.service/cpuset.cpus", "2-3\n");
	fixture_run(f);
	assert_int_equal(f->changes, WORLD_DRIFT);
	fixture_forget(f);
	assert_int_equal(send(f->uevent_fds[1], other, sizeof(other), 0), sizeof(other));
	fixture_run(f);
	assert_int_equal(f->changes, 0);
	assert_int_equal(send(f->uevent_fds[1], online, sizeof(online), 0), sizeof(online));
	fixture_run(f);
	assert_int_equal(f->changes, WORLD_TOPOLOGY);
	fixture_free(f);
}

static void confines_the_system(void **state)
{
	struct fixture *f = fixture_new();

	(void)state;
	cgroup_make(f, "/init.scope");
	cgroup_make(f, "/user.slice");
	cgroup_make(f, "/system.slice");
	cgroup_make(f, "/system.slice/cron.service");
	cgroup_make(f, "/system.slice/sidecard.service");
	cgroup_make(f, "/proxy.slice");
	cgroup_make(f, "/proxy.slice/proxy.service");
	workload_unit(f, "a", "proxy.service");
	fixture_start_with(f, NULL, "/system.slice/sidecard.service");
	assert_int_equal(n_places(f), 1);
	world_set_confine_system(f->world, true);
	assert_int_equal(n_places(f), 4);
	assert_int_equal(place_at(f, "/system.slice")->workload, PLACE_NOBODY);
	assert_string_equal(place_at(f, "/init.scope")->unit, "init.scope");
	assert_int_equal(limit_at(f, "/system.slice"), LIMIT_NONE); /* nobody's limit */

	/* A workload inside: then the others one by one, and never ourselves. */
	cgroup_make(f, "/system.slice/b.service");
	workload_unit(f, "b", "b.service");
	fixture_configure(f);
	assert_null(place_at(f, "/system.slice"));
	assert_int_equal(place_at(f, "/system.slice/b.service")->workload, 1);
	assert_int_equal(place_at(f, "/system.slice/cron.service")->workload, PLACE_NOBODY);
	assert_null(place_at(f, "/system.slice/sidecard.service"));
	cgroup_make(f, "/system.slice/new.service");
	fixture_run(f);
	assert_int_equal(place_at(f, "/system.slice/new.service")->workload, PLACE_NOBODY);
	assert_true(f->changes & WORLD_PLACES);
	cgroup_remove(f, "/system.slice/b.service");
	fixture_run(f);
	assert_non_null(place_at(f, "/system.slice"));
	assert_null(place_at(f, "/system.slice/cron.service"));
	world_set_confine_system(f->world, false);
	assert_int_equal(n_places(f), 1);
	fixture_free(f);
}

static void controllers_come_and_go(void **state)
{
	struct fixture *f = fixture_new();

	(void)state;
	cgroup_make(f, "/a.slice");
	cgroup_make(f, "/a.slice/a.service");
	cgroup_remove(f, "/a.slice/a.service/cpu.max");
	workload_unit(f, "a", "a.service");
	fixture_start(f);
	assert_int_equal(quota_at(f, "/a.slice/a.service"), QUOTA_UNLIMITED_MCPU);
	/* In an ordinary directory the file's creation is seen; in cgroupfs only the write to the
	 * parent's subtree_control is. */
	put(f, "/a.slice/a.service/cpu.max", "20000 100000\n");
	put(f, "/a.slice/cgroup.subtree_control", "cpu\n");
	fixture_run(f);
	assert_int_equal(quota_at(f, "/a.slice/a.service"), 200);
	assert_int_equal(f->n_quota, 1);
	cgroup_remove(f, "/a.slice/a.service/cpu.max");
	put(f, "/a.slice/cgroup.subtree_control", "\n");
	fixture_run(f);
	assert_int_equal(quota_at(f, "/a.slice/a.service"), QUOTA_UNLIMITED_MCPU);
	fixture_free(f);
}

/* One life with much in it, for injected faults and random ones. */
static void scenario(struct fixture *f)
{
	cgroup_make(f, "/a.slice/a2.service");
	put(f, "/a.slice/a2.service/cpu.max", "70000 100000\n");
	put(f, "/a.slice/cpu.max", "50000 100000\n");
	put(f, "/a.slice/cpu.weight", "7\n");
	fixture_run(f);
	cgroup_remove(f, "/a.slice/a1.service");
	put(f, "/a.slice/cpuset.cpus.effective", "0\n");
	fixture_run(f);
	cgroup_make(f, "/a.slice/a1.service");
	cgroup_make(f, "/pods");
	cgroup_make(f, "/pods/x");
	fixture_run(f);
}

static void scenario_tree(struct fixture *f)
{
	put(f, "/cpuset.cpus.effective", "0-3\n");
	cgroup_make(f, "/a.slice");
	cgroup_make(f, "/a.slice/a1.service");
	workload_unit(f, "a", "a*.service");
	workload_cgroup(f, "p", "/pods/*");
	workload_unit(f, "q", "a1.service");
}

/* What an untroubled world says of the same tree. */
static char *truth_of(struct fixture *f)
{
	const struct world_options options = { .cgroup_root = f->root };
	const struct world_listener listener = { f, on_quota, on_changed, on_ended, on_notice };
	struct world *world = NULL;
	char *text;

	assert_int_equal(world_open(&f->kernel, f->event, &options, &listener, &world, NULL), 0);
	assert_int_equal(world_set_workloads(world, (const struct workload *const *)f->workloads,
					     f->n_workloads, NULL),
			 0);
	world_set_confine_system(world, f->confine);
	text = views_text(world, f->n_workloads);
	world_free(world);
	return text;
}

static void assert_views_are_true(struct fixture *f, const char *why, long number)
{
	cleanup(freep) char *truth = truth_of(f);
	cleanup(freep) char *views = views_text(f->world, f->n_workloads);

	if (strcmp(truth, views) != 0)
		fail_msg("%s %ld:\n%s-- but --\n%s", why, number, truth, views);
}

/* The scenario with call number @n failing; how many calls there were in all. */
static long scenario_with_fault(long n, int error)
{
	struct fixture *f = fixture_new();
	const struct world_options options = { .cgroup_root = f->root };
	const struct world_listener listener = { f, on_quota, on_changed, on_ended, on_notice };
	struct fault fault = { 0 };
	long n_calls = 0;
	int r;

	scenario_tree(f);
	f->fail_at = n;
	f->fail_with = error;
	r = world_open(&f->sys, f->event, &options, &listener, &f->world, &fault);
	if (r < 0) {
		assert_int_equal(r, error);
		assert_true(strlen(fault.text) > 0);
	} else {
		r = world_set_workloads(f->world, (const struct workload *const *)f->workloads,
					f->n_workloads, &fault);
		assert_true(r == 0 || r == -ENOMEM);
		scenario(f);
		n_calls = f->n_calls;
		f->fail_at = 0;
		assert_int_equal(world_rescan(f->world, NULL), 0);
		fixture_run(f);
		assert_views_are_true(f, strerror(-error), n);
	}
	fixture_free(f);
	return n_calls;
}

static void every_call_may_fail_once(void **state)
{
	static const int errors[] = { -ENOENT, -ENODEV, -EACCES, -EMFILE, -ENOMEM };
	long n_calls = scenario_with_fault(0, 0);

	(void)state;
	assert_true(n_calls > 50);
	for (size_t e = 0; e < N_ELEMENTS(errors); e++)
		for (long n = 1; n <= n_calls; n++)
			scenario_with_fault(n, errors[e]);
}

/* Events alone lead to the same views as looking at everything anew, whatever happens. */
static void events_tell_everything(void **state)
{
	static const char *const cgroups[] = { "/a.slice",
					       "/a.slice/a1.service",
					       "/a.slice/a2.service",
					       "/a.slice/b.service",
					       "/pods",
					       "/pods/x",
					       "/pods/y",
					       "/a.slice/a1.service/in",
					       "/system.slice",
					       "/system.slice/a3.service",
					       "/system.slice/c.service",
					       "/system.slice/c.service/sub" };
	const char *given = getenv("SEED");
	unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)getpid();
	struct fixture *f = fixture_new();

	(void)state;
	print_message("seed %u\n", seed);
	put(f, "/cpuset.cpus.effective", "0-3\n");
	workload_unit(f, "a", "a*.service");
	workload_cgroup(f, "p", "/pods/*");
	workload_cgroup(f, "q", "/a.slice/*/in");
	fixture_start(f);
	f->confine = seed % 2;
	world_set_confine_system(f->world, f->confine);
	for (long step = 0; step < 400; step++) {
		for (unsigned i = 0; i <= (unsigned)rand_r(&seed) % 6; i++) {
			const char *cgroup = cgroups[(unsigned)rand_r(&seed) % N_ELEMENTS(cgroups)];
			char path[256], text[64];

			fixture_path(f, cgroup, path, sizeof(path));
			if (access(path, F_OK) < 0) {
				char *slash = strrchr(path, '/');

				*slash = '\0';
				if (access(path, F_OK) == 0)
					cgroup_make(f, cgroup);
			} else if (rand_r(&seed) % 4 == 0) {
				cgroup_remove(f, cgroup);
			} else {
				static const char *const files[] = { "cpu.max", "cpu.weight",
								     "cpuset.cpus.effective" };
				unsigned file = (unsigned)rand_r(&seed) % 3;

				snprintf(path, sizeof(path), "%s/%s", cgroup, files[file]);
				if (file == 0)
					snprintf(text, sizeof(text), "%u 100000\n",
						 1000 + (unsigned)rand_r(&seed) % 4 * 1000);
				else
					snprintf(text, sizeof(text), "%u\n",
						 1 + (unsigned)rand_r(&seed) % 3);
				put(f, path, text);
			}
		}
		fixture_run(f);
		assert_views_are_true(f, "step", step);
	}
	fixture_free(f);
}

static void without_cgroups(void **state)
{
	struct fixture *f = fixture_new();
	const struct world_options options = { 0 };
	const struct world_options missing = { .cgroup_root = "/nonexistent" };
	const struct world_listener listener = { f, on_quota, on_changed, on_ended, on_notice };
	struct fault fault = { 0 };
	size_t n;

	(void)state;
	workload_unit(f, "a", "a.service");
	assert_int_equal(world_open(&f->sys, f->event, &missing, &listener, &f->world, &fault),
			 -ENOENT);
	assert_non_null(strstr(fault.text, "'/nonexistent'"));
	assert_int_equal(world_open(&f->sys, f->event, &options, &listener, &f->world, &fault), 0);
	fixture_configure(f);
	world_set_confine_system(f->world, true);
	assert_int_equal(world_rescan(f->world, NULL), 0);
	world_limits(f->world, &n);
	assert_int_equal(n, 0);
	assert_int_equal(n_places(f), 0);
	assert_true(cpuset_count(world_allowed(f->world)) > 0);
	assert_non_null(strstr(f->all_notices, "no cgroup v2 hierarchy"));
	fixture_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(quota_of_leaf_and_ancestor),
		cmocka_unit_test(comes_goes_and_returns_as_another),
		cmocka_unit_test(bursts_are_one_report),
		cmocka_unit_test(lost_events_are_found),
		cmocka_unit_test(kinds_and_claims),
		cmocka_unit_test(limits_shared_and_apart),
		cmocka_unit_test(bounds_by_cpusets),
		cmocka_unit_test(confines_the_system),
		cmocka_unit_test(controllers_come_and_go),
		cmocka_unit_test(every_call_may_fail_once),
		cmocka_unit_test(events_tell_everything),
		cmocka_unit_test(without_cgroups),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
