/* The counters of a cgroup as texts and as files. */
#include "world_fixture.h"

#include "sense/sample.h"

#define STAT "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\n"

static void stats(void **state)
{
	static const struct {
		const char *why, *text;
		int result;
		struct sample_counters counters;
	} rows[] = {
		{ "no controller", STAT, 0, { 1500, 0, 0, 0, 0, 0 } },
		{ "with a quota",
		  STAT "nr_periods 30\nnr_throttled 2\nthrottled_usec 700\nnr_bursts 0\nburst_usec "
		       "0\n",
		  0,
		  { 1500, 30, 2, 700, 0, 0 } },
		{ "in another order, without a final newline",
		  "nr_periods 3\nusage_usec 7",
		  0,
		  { 7, 3, 0, 0, 0, 0 } },
		{ "a longer name is another one",
		  STAT "nr_periods_total 9\n",
		  0,
		  { 1500, 0, 0, 0, 0, 0 } },
		{ "the largest number",
		  "usage_usec 18446744073709551615\n",
		  0,
		  { UINT64_MAX, 0, 0, 0, 0, 0 } },
		{ "one more", "usage_usec 18446744073709551616\n", -EINVAL, { 0 } },
		{ "empty, as an ordinary file between truncation and text", "", -EINVAL, { 0 } },
		{ "no usage", "nr_periods 30\n", -EINVAL, { 0 } },
		{ "no number", "usage_usec\n", -EINVAL, { 0 } },
		{ "empty number", "usage_usec \n", -EINVAL, { 0 } },
		{ "negative", "usage_usec -1\n", -EINVAL, { 0 } },
		{ "two numbers", "usage_usec 1 2\n", -EINVAL, { 0 } },
		{ "an empty line", "\nusage_usec 1\n", -EINVAL, { 0 } },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct sample_counters counters = { 0 };

		if (sample_parse_stat(rows[i].text, &counters) != rows[i].result ||
		    memcmp(&counters, &rows[i].counters, sizeof(counters)) != 0)
			fail_msg("%s", rows[i].why);
	}
}

static void pressures(void **state)
{
	static const struct {
		const char *why, *text;
		int result;
		uint64_t total_us;
	} rows[] = {
		{ "as printed",
		  "some avg10=0.00 avg60=1.22 avg300=0.01 total=12345\n"
		  "full avg10=0.00 avg60=0.00 avg300=0.00 total=99\n",
		  0, 12345 },
		{ "some alone, as the root prints it on older kernels",
		  "some avg10=0.00 avg60=0.00 avg300=0.00 total=7\n", 0, 7 },
		{ "empty", "", -EINVAL, 1 },
		{ "full alone", "full avg10=0.00 avg60=0.00 avg300=0.00 total=99\n", -EINVAL, 1 },
		{ "no total in the first line", "some avg10=0.00\nfull total=99\n", -EINVAL, 1 },
		{ "no number", "some avg10=0.00 total=\n", -EINVAL, 1 },
		{ "a fraction", "some avg10=0.00 total=1.5\n", -EINVAL, 1 },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		uint64_t total_us = 1;

		if (sample_parse_pressure(rows[i].text, &total_us) != rows[i].result ||
		    total_us != rows[i].total_us)
			fail_msg("%s", rows[i].why);
	}
}

static void memories(void **state)
{
	static const struct {
		const char *why, *text;
		int result;
		uint64_t near_bytes, remote_bytes;
	} rows[] = {
		{ "two nodes, the first is near",
		  "anon N0=100 N1=10\nfile N0=20 N1=2\nkernel_stack N0=5 N1=5\n", 0, 120, 12 },
		{ "one node", "anon N0=100\nfile N0=1\n", 0, 101, 0 },
		{ "nodes with gaps", "anon N0=1 N7=2 N1023=4\n", 0, 1, 6 },
		{ "names that only begin alike", "anon_thp N0=100\nfile_mapped N1=9\n", 0, 0, 0 },
		{ "nothing at all", "", 0, 0, 0 },
		{ "no node", "anon\n", -EINVAL, 0, 0 },
		{ "not a node", "anon X0=1\n", -EINVAL, 0, 0 },
		{ "beyond any node", "anon N1024=1\n", -EINVAL, 0, 0 },
		{ "no bytes", "anon N0=\n", -EINVAL, 0, 0 },
		{ "no equals sign", "anon N0 N1=3\n", -EINVAL, 0, 0 },
	};
	struct nodeset near = { 0 };

	(void)state;
	assert_int_equal(nodeset_parse("0", &near), 0);
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct sample_memory memory = { 0 };

		if (sample_parse_memory(rows[i].text, &near, &memory) != rows[i].result ||
		    memory.near_bytes != rows[i].near_bytes ||
		    memory.remote_bytes != rows[i].remote_bytes)
			fail_msg("%s", rows[i].why);
	}
	nodeset_done(&near);
}

static int open_root(const struct fixture *f)
{
	char full[512];

	fixture_path(f, "", full, sizeof(full));
	return open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void files(void **state)
{
	struct fixture *f = fixture_new();
	struct sample_counters counters = { 0 };
	struct sample_memory memory = { 0 };
	struct nodeset near = { 0 };
	struct sample_source source;
	char *missing;
	int dir_fd = open_root(f);

	(void)state;
	assert_int_equal(nodeset_parse("1", &near), 0);
	assert_int_equal(sample_open(&f->sys, dir_fd, &source), -ENOENT);
	put(f, "/cpu.stat", STAT "nr_periods 3\n");
	assert_int_equal(sample_open(&f->sys, dir_fd, &source), 0);
	missing = sample_missing(&source);
	assert_string_equal(missing, "cpu.pressure, io.pressure");
	free(missing);
	assert_int_equal(sample_read(&f->sys, &source, &counters), 0);
	assert_int_equal(counters.usage_us, 1500);
	assert_int_equal(counters.pressure_us, 0);
	assert_int_equal(sample_read_memory(&f->sys, &source, &near, &memory), -ENOENT);
	sample_close(&f->sys, &source);

	put(f, "/cpu.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=11\n");
	put(f, "/io.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=22\n");
	put(f, "/memory.numa_stat", "anon N0=1 N1=2\nfile N0=3 N1=4\n");
	assert_int_equal(sample_open(&f->sys, dir_fd, &source), 0);
	missing = sample_missing(&source);
	assert_string_equal(missing, "");
	free(missing);
	/* Added to what another cgroup of the workload gave. */
	assert_int_equal(sample_read(&f->sys, &source, &counters), 0);
	assert_int_equal(counters.usage_us, 3000);
	assert_int_equal(counters.n_periods, 6);
	assert_int_equal(counters.pressure_us, 11);
	assert_int_equal(counters.blocked_us, 22);
	assert_int_equal(sample_read_memory(&f->sys, &source, &near, &memory), 0);
	assert_int_equal(memory.near_bytes, 6);
	assert_int_equal(memory.remote_bytes, 4);
	/* What is read is what is there now, on the same descriptors. */
	put(f, "/cpu.stat", "usage_usec 9000\n");
	assert_int_equal(sample_read(&f->sys, &source, &counters), 0);
	assert_int_equal(counters.usage_us, 12000);
	/* Pressure that cannot be read is none. */
	put(f, "/cpu.pressure", "");
	assert_int_equal(sample_read(&f->sys, &source, &counters), 0);
	/* A read that fails leaves the sum as it was. */
	for (int k = 1; k <= 3; k++) {
		struct sample_counters before = counters;

		f->n_calls = 0;
		f->fail_at = k;
		f->fail_with = -ENODEV;
		assert_int_equal(sample_read(&f->sys, &source, &counters), -ENODEV);
		assert_memory_equal(&before, &counters, sizeof(before));
	}
	f->fail_at = 0;
	sample_close(&f->sys, &source);
	assert_int_equal(source.stat_fd, -1);
	nodeset_done(&near);
	close(dir_fd);
	fixture_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stats),
		cmocka_unit_test(pressures),
		cmocka_unit_test(memories),
		cmocka_unit_test(files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
