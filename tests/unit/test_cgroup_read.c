#include "world_fixture.h"

#include "sense/cgroup_read.h"

static int open_file(const struct fixture *f, const char *path)
{
	char full[512];

	fixture_path(f, path, full, sizeof(full));
	return open(full, O_RDONLY | O_CLOEXEC);
}

static void quotas(void **state)
{
	static const struct {
		const char *why, *text;
		int result;
		uint32_t mcpu;
	} rows[] = {
		{ "unlimited", "max 100000\n", 0, QUOTA_UNLIMITED_MCPU },
		{ "limited", "150000 100000\n", 0, 1500 },
		{ "empty, as an ordinary file between truncation and text", "", -EINVAL, 0 },
		{ "longer than any kernel prints",
		  "0000000000000000000000000000000000000000000000000000000000000000000000000001 "
		  "100000\n",
		  -EINVAL, 0 },
		{ "junk", "fast\n", -EINVAL, 0 },
	};
	struct fixture *f = fixture_new();

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct quota quota = { 7, 7 };
		int fd, r;

		put(f, "/cpu.max", rows[i].text);
		fd = open_file(f, "/cpu.max");
		r = cgroup_read_quota(&f->sys, fd, &quota);
		close(fd);
		if (r != rows[i].result || (r == 0 && quota_mcpu(&quota) != rows[i].mcpu))
			fail_msg("%s: %d", rows[i].why, r);
		if (r < 0)
			assert_int_equal(quota.quota_us, 7);
	}
	put(f, "/cpu.max", "max 100000\n");
	{
		char full[128];
		struct quota quota;
		int fd;

		fixture_path(f, "/cpu.max", full, sizeof(full));
		fd = open(full, O_WRONLY | O_CLOEXEC);
		assert_int_equal(pwrite(fd, "max\0 100000", 11, 0), 11);
		close(fd);
		fd = open_file(f, "/cpu.max");
		assert_int_equal(cgroup_read_quota(&f->sys, fd, &quota), -EINVAL);
		close(fd);
	}
	fixture_free(f);
}

static void other_files(void **state)
{
	static const struct {
		const char *why, *file, *text;
		int weight, n_cpus, has_cpu; /* results; -errno where negative */
	} rows[] = {
		{ "no file at all", NULL, NULL, -ENOENT, -ENOENT, -ENOENT },
		{ "weight", "/cpu.weight", "100\n", 100, -ENOENT, -ENOENT },
		{ "idle", "/cpu.weight", "0\n", 1, -ENOENT, -ENOENT },
		{ "weight out of range", "/cpu.weight", "10001\n", -EINVAL, -ENOENT, -ENOENT },
		{ "weight with junk", "/cpu.weight", "100 x\n", -EINVAL, -ENOENT, -ENOENT },
		{ "negative weight", "/cpu.weight", "-1\n", -EINVAL, -ENOENT, -ENOENT },
		{ "PUs", "/cpuset.cpus.effective", "0-3,8\n", -EINVAL, 5, -ENOENT },
		{ "no PU", "/cpuset.cpus.effective", "\n", -EINVAL, -ENODATA, -ENOENT },
		{ "malformed PUs", "/cpuset.cpus.effective", "3-0\n", -EINVAL, -EINVAL, -ENOENT },
		{ "controllers", "/cgroup.controllers", "cpuset cpu io\n", -EINVAL, -EINVAL, 1 },
		{ "only a longer name", "/cgroup.controllers", "cpuset io\n", -EINVAL, -EINVAL, 0 },
		{ "no controller", "/cgroup.controllers", "\n", -EINVAL, -EINVAL, 0 },
	};
	struct fixture *f = fixture_new();
	int dir_fd = open_file(f, "");

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct cpuset cpus = { 0 };
		uint32_t weight = 0;
		int r;

		if (rows[i].file)
			put(f, rows[i].file, rows[i].text);
		r = cgroup_read_weight(&f->sys, dir_fd, &weight);
		if ((r < 0 ? r : (int)weight) != rows[i].weight)
			fail_msg("%s: weight %d", rows[i].why, r < 0 ? r : (int)weight);
		r = cgroup_read_effective(&f->sys, dir_fd, &cpus);
		if ((r < 0 ? r : (int)cpuset_count(&cpus)) != rows[i].n_cpus)
			fail_msg("%s: PUs %d", rows[i].why, r);
		cpuset_done(&cpus);
		r = cgroup_has_controller(&f->sys, dir_fd, "cpu");
		if (r != rows[i].has_cpu)
			fail_msg("%s: controller %d", rows[i].why, r);
	}
	close(dir_fd);
	fixture_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(quotas),
		cmocka_unit_test(other_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
