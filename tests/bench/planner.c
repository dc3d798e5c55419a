/* How fast the planner is, beside others where they can do the same work: a row for each figure
 * that is a time, and how the times grow.
 *
 *   bench_planner               the table
 *   bench_planner once N M [R]  one plan of M workloads on N PUs, then a change of one: R changes
 * (0); for callgrind
 *
 * A time is the processor's for planner_make() alone, by a planner that is kept, as the daemon
 * keeps it. Machines and workloads come from a fixed seed, so every run of the program times the
 * same work.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bench/planner_peers.h"
#include "bench/planner_times.h"
#include "oracle/grade.h"
#include "oracle/scene.h"

#define SEED	    UINT64_C(20240607)
#define N_RUNS	    1000u
#define N_RUNS_MOST 4000u

/* What ends the runs of one row early, where one run takes long. */
#define ROW_BUDGET_US 20e6

/* Machines as they are sold: nodes of 32 PUs and L3 groups of 16 up to 256 PUs, nodes of 128
 * beyond. */
static struct scene_shape shape_of(uint32_t n_pu)
{
	uint32_t n_l3 = n_pu > 512 ? 8 : 2, n_node = n_pu / (n_l3 * 16);

	return (struct scene_shape){ .n_package = n_node > 1 ? n_node / 2 : 1,
				     .n_node = n_node > 1 ? 2 : 1,
				     .n_l3 = n_l3,
				     .n_core = 8,
				     .n_pu = 2 };
}

/* @n workloads: a fifth of the exclusive ones belongs to control planes; all of these together want
 * nine tenths of the machine, and where there are more workloads than that can serve the rest
 * shares what is left. */
static void mix_add(struct scene *scene, uint32_t n, uint64_t *seed)
{
	uint32_t n_pu = scene->topology->n_pu, n_budget = n_pu - n_pu / 10;
	uint32_t n_exclusive = n > n_pu / 4 ? n_pu / 4 : n, n_mean = n_budget / n_exclusive;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t want = random_between(seed, 1, n_mean > 1 ? 2 * n_mean - 1 : 1);
		struct scene_want one = { .n_least = 1,
					  .n_most = 4,
					  .role = (enum workload_role)random_below(seed, 3),
					  .is_shared = true };

		/* Evenly among the others, whatever their number. */
		if ((uint64_t)i * n_exclusive / n != (uint64_t)(i + 1) * n_exclusive / n) {
			want = want > n_budget ? n_budget : want;
			one.is_shared = want == 0;
			one.n_least = one.n_most = want ? want : 1;
			one.role = random_once_in(seed, 5) ? ROLE_CONTROL_PLANE : ROLE_DATA_PLANE;
			n_budget -= want;
		}
		scene_add(scene, &one);
	}
}

static void mix_open(struct scene *scene, uint32_t n_pu, uint32_t n, uint64_t *seed)
{
	const struct scene_shape shape = shape_of(n_pu);

	scene_open(scene, &shape, seed);
	mix_add(scene, n, seed);
}

/* ---- rows ---- */

/* A request on a machine of which a third is taken: PUs at random, as allocators are tested. */
static void row_request(uint32_t n_pu, const char *target)
{
	cleanup(freep) double *times_us = scene_alloc(N_RUNS, sizeof(double));
	cleanup(planner_freep) struct planner *planner = planner_new();
	const struct scene_shape shape = shape_of(n_pu);
	uint64_t seed = SEED;
	struct scene scene;
	char what[64];

	scene_open(&scene, &shape, &seed);
	for (uint32_t i = 0; i < N_RUNS; i++) {
		struct scene_want want = { .role = ROLE_DATA_PLANE };
		struct plan *plan;
		double before_us;

		scene_allow_some(&scene, 333, &seed);
		want.n_least = want.n_most = random_between(&seed, 1, n_pu / 4);
		scene_remove_all(&scene);
		scene_add(&scene, &want);
		before_us = times_now_us();
		plan = scene_plan_by(&scene, planner, NULL);
		times_us[i] = times_now_us() - before_us;
		plan_free(plan);
	}
	snprintf(what, sizeof(what), "one request on %u PUs, a third taken at random", n_pu);
	row_times(what, target, times_us, N_RUNS, "kubelet: 15-23 ms / 117-141 ms / 36-43 s");
	scene_close(&scene);
}

/* Returns the median. */
static double time_whole(const struct scene *scene, double *times_us, uint32_t *ret_n)
{
	cleanup(planner_freep) struct planner *planner = planner_new();
	double end_us = times_now_us() + ROW_BUDGET_US;
	uint32_t n = 0;

	while (n < N_RUNS && times_now_us() < end_us) {
		double before_us = times_now_us();
		struct plan *plan = scene_plan_by(scene, planner, NULL);

		times_us[n++] = times_now_us() - before_us;
		plan_free(plan);
	}
	*ret_n = n;
	times_sort(times_us, n);
	return times_at(times_us, n, 500);
}

/* @deadline_us: of the search for something better; 0: the default, 2 ms. */
static void row_whole(uint32_t n_pu, uint32_t n_workloads, uint64_t deadline_us, const char *target)
{
	cleanup(freep) double *times_us = scene_alloc(N_RUNS, sizeof(double));
	uint64_t seed = SEED;
	struct scene scene;
	struct plan *plan;
	struct grade grade;
	char what[64], remark[128];
	uint32_t n;

	mix_open(&scene, n_pu, n_workloads, &seed);
	scene.snapshot.deadline_us = deadline_us;
	time_whole(&scene, times_us, &n);
	plan = scene_plan(&scene, NULL);
	if (grade_plan(&scene.snapshot, plan, &grade) < 0)
		scene_end("no memory");
	snprintf(what, sizeof(what), "whole plan: %u PUs x %u workloads, Deadline=%s", n_pu,
		 n_workloads, deadline_us ? "10us" : "2ms");
	snprintf(remark, sizeof(remark),
		 "%s, bound %.4f; %llu exclusive PUs, %llu unplaced, %llu straddling",
		 plan->optimal ? "optimal" : "not proven optimal", plan->bound,
		 (unsigned long long)grade.n_pu, (unsigned long long)grade.items[GRADE_UNPLACED],
		 (unsigned long long)grade.n_straddling);
	row_times(what, target, times_us, n, remark);
	plan_free(plan);
	scene_close(&scene);
}

/* One exclusive workload gets another size, then its old one again. */
struct changes {
	struct scene *scene;
	struct planner *planner;
	struct plan *plan;
	uint32_t changed, n_before; /* its size; 0: nothing is changed now */
	uint64_t seed;
	uint64_t n_moved;
};

static void change_one(struct changes *changes)
{
	struct scene *scene = changes->scene;
	struct workload *conf;

	if (changes->n_before == 0) {
		do
			changes->changed = random_below(&changes->seed,
							(uint32_t)scene->snapshot.n_workloads);
		while (!scene->confs[changes->changed]->exclusive);
		conf = scene->confs[changes->changed];
		changes->n_before = conf->min_pu;
		conf->min_pu = conf->max_pu = conf->min_pu > 1 ? conf->min_pu - 1 : 2;
	} else {
		conf = scene->confs[changes->changed];
		conf->min_pu = conf->max_pu = changes->n_before;
		changes->n_before = 0;
	}
}

/* PUs that others lost. */
static uint64_t n_others_moved(const struct changes *changes, const struct plan *after)
{
	uint64_t n = 0;

	for (size_t w = 0; w < after->n_workloads; w++) {
		const struct plan_workload *then = &changes->plan->workloads[w];

		if (w == changes->changed || !then->placed || !then->conf->exclusive)
			continue;
		if (cpuset_is_subset(&then->cpus, &after->workloads[w].cpus))
			continue;
		cpuset_foreach (pu_os, &then->cpus)
			n += !cpuset_has(&after->workloads[w].cpus, pu_os);
	}
	return n;
}

static double change_and_time(struct changes *changes)
{
	double before_us, after_us;
	struct plan *plan;

	change_one(changes);
	before_us = times_now_us();
	plan = scene_plan_by(changes->scene, changes->planner, changes->plan);
	after_us = times_now_us();
	changes->n_moved += n_others_moved(changes, plan);
	plan_free(changes->plan);
	changes->plan = plan;
	return after_us - before_us;
}

static void row_change(uint32_t n_pu, uint32_t n_workloads, uint64_t deadline_us,
		       const char *target)
{
	cleanup(freep) double *times_us = scene_alloc(N_RUNS_MOST, sizeof(double));
	double end_us = times_now_us() + ROW_BUDGET_US;
	uint64_t seed = SEED;
	struct scene scene;
	cleanup(planner_freep) struct planner *planner = planner_new();
	struct changes changes = { .scene = &scene, .planner = planner, .seed = SEED };
	char what[64], remark[64];
	uint32_t n = 0;

	mix_open(&scene, n_pu, n_workloads, &seed);
	scene.snapshot.deadline_us = deadline_us;
	changes.plan = scene_plan_by(&scene, planner, NULL);
	while (n < N_RUNS_MOST && times_now_us() < end_us)
		times_us[n++] = change_and_time(&changes);
	snprintf(what, sizeof(what), "change of one: %u PUs x %u workloads, Deadline=%s", n_pu,
		 n_workloads, deadline_us ? "10us" : "2ms");
	snprintf(remark, sizeof(remark), "%.3f PUs of others moved a change",
		 (double)changes.n_moved / n);
	row_times(what, target, times_us, n, remark);
	plan_free(changes.plan);
	scene_close(&scene);
}

/* ---- straddling ---- */

static void fills_count(const struct scene *scene, struct peer_node *nodes)
{
	const struct topology *topology = scene->topology;

	memset(nodes, 0, topology->n_node * sizeof(*nodes));
	for (uint32_t i = 0; i < topology->n_pu; i += 2) {
		uint32_t n = 0;

		/* cores of two, side by side */
		for (uint32_t k = i; k < i + 2; k++)
			n += cpuset_has(&scene->allowed, topology->pus[k].pu_os);
		nodes[topology->pus[i].node].n_whole_core += n == 2;
		nodes[topology->pus[i].node].n_single += n == 1;
	}
}

/* Random fills and random requests that one node could hold. */
static void row_straddle(uint32_t n_nodes, uint32_t n_core)
{
	const struct scene_shape shape = { n_nodes, 1, 1, n_core, 2, 0 };
	cleanup(freep) struct peer_node *nodes = scene_alloc(n_nodes, sizeof(*nodes));
	uint32_t n_ours = 0, n_packed = 0;
	uint64_t seed = SEED;
	struct scene scene;
	char what[64], ours[16], packed[64];

	scene_open(&scene, &shape, &seed);
	for (uint32_t i = 0; i < N_RUNS; i++) {
		struct scene_want want = { .role = ROLE_DATA_PLANE };
		struct plan *plan;
		uint32_t n_most = 1;

		scene_allow_some(&scene, random_between(&seed, 100, 800), &seed);
		fills_count(&scene, nodes);
		for (uint32_t k = 0; k < n_nodes; k++) {
			uint32_t n_free = 2 * nodes[k].n_whole_core + nodes[k].n_single;

			n_most = n_free > n_most ? n_free : n_most;
		}
		want.n_least = want.n_most = random_between(&seed, 1, n_most);
		scene_remove_all(&scene);
		scene_add(&scene, &want);
		plan = scene_plan(&scene, NULL);
		n_ours += !plan->workloads[0].placed ||
			  nodeset_count(&plan->workloads[0].nodes) != 1;
		n_packed += peer_packed_nodes(nodes, n_nodes, 2, want.n_least) > 1;
		plan_free(plan);
	}
	snprintf(what, sizeof(what), "on one node where one can hold it: %u PUs, %u nodes",
		 scene.topology->n_pu, n_nodes);
	snprintf(ours, sizeof(ours), "%.1f %%", 100.0 * (N_RUNS - n_ours) / N_RUNS);
	snprintf(packed, sizeof(packed), "packed filling straddles in %.1f %%",
		 100.0 * n_packed / N_RUNS);
	row_print(what, "100 %", ours, "", "1000", packed);
	scene_close(&scene);
}

/* ---- growth ---- */

/* The exponent of a power law through the points: least squares on logarithms. */
static double exponent_of(const double *x, const double *y, uint32_t n)
{
	double sx = 0, sy = 0, sxx = 0, sxy = 0;

	for (uint32_t i = 0; i < n; i++) {
		sx += log(x[i]);
		sy += log(y[i]);
		sxx += log(x[i]) * log(x[i]);
		sxy += log(x[i]) * log(y[i]);
	}
	return (n * sxy - sx * sy) / (n * sxx - sx * sx);
}

/* The steepest of the steps from one size to the next. */
static double steepest_of(const double *x, const double *y, uint32_t n)
{
	double steepest = 0;

	for (uint32_t i = 1; i < n; i++) {
		double exponent = log(y[i] / y[i - 1]) / log(x[i] / x[i - 1]);

		steepest = exponent > steepest ? exponent : steepest;
	}
	return steepest;
}

static void growth_print(const char *what, const double *sizes, const double *medians, uint32_t n)
{
	char text[256];
	size_t at = 0;
	char median[32], steepest[32];

	for (uint32_t i = 0; i < n && at < sizeof(text); i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%.0f: %.1f us",
				       i > 0 ? ", " : "", sizes[i], medians[i]);
	snprintf(median, sizeof(median), "n^%.2f", exponent_of(sizes, medians, n));
	snprintf(steepest, sizeof(steepest), "step n^%.2f", steepest_of(sizes, medians, n));
	row_print(what, "near linear", median, steepest, "", text);
}

static void row_growth_pus(void)
{
	cleanup(freep) double *times_us = scene_alloc(N_RUNS, sizeof(double));
	double sizes[8], medians[8];
	uint32_t n = 0;

	for (uint32_t n_pu = 64; n_pu <= 8192; n_pu *= 2, n++) {
		uint64_t seed = SEED;
		struct scene scene;
		uint32_t n_done;

		mix_open(&scene, n_pu, n_pu / 4, &seed);
		scene.snapshot.deadline_us = 10;
		sizes[n] = n_pu;
		medians[n] = time_whole(&scene, times_us, &n_done);
		scene_close(&scene);
	}
	growth_print("growth with PUs, a workload for every 4, Deadline=10us", sizes, medians, n);
}

static void row_growth_workloads(void)
{
	static const uint32_t counts[] = { 10, 32, 100, 316, 1000, 3162, 10000 };
	cleanup(freep) double *times_us = scene_alloc(N_RUNS, sizeof(double));
	double sizes[N_ELEMENTS(counts)], medians[N_ELEMENTS(counts)];

	for (size_t i = 0; i < N_ELEMENTS(counts); i++) {
		uint64_t seed = SEED;
		struct scene scene;
		uint32_t n_done;

		mix_open(&scene, 8192, counts[i], &seed);
		scene.snapshot.deadline_us = 10;
		sizes[i] = counts[i];
		medians[i] = time_whole(&scene, times_us, &n_done);
		scene_close(&scene);
	}
	growth_print("growth with workloads on 8192 PUs, Deadline=10us", sizes, medians,
		     N_ELEMENTS(counts));
}

/* ---- peers ---- */

static void row_distrib(const char *synthetic, uint32_t n_pu, uint32_t n)
{
	cleanup(freep) double *times_us = scene_alloc(N_RUNS, sizeof(double));
	uint32_t n_runs = n > 1000 ? 200 : N_RUNS;
	char what[64];

	snprintf(what, sizeof(what), "  hwloc_distrib: %u PUs x %u", n_pu, n);
	if (peer_hwloc_distrib(synthetic, n, times_us, n_runs))
		row_times(what, "", times_us, n_runs,
			  "sets of equal size, no limits, no memory of before");
	else
		row_print(what, "", "-", "-", "", "hwloc does not take the description");
}

/* ---- all ---- */

static int once(uint32_t n_pu, uint32_t n, uint32_t n_changes)
{
	uint64_t seed = SEED;
	struct scene scene;
	cleanup(planner_freep) struct planner *planner = planner_new();
	struct changes changes = { .scene = &scene, .planner = planner, .seed = SEED };

	mix_open(&scene, n_pu, n, &seed);
	/* so that the search, whose length follows from the deadline, does not hide the rest */
	scene.snapshot.deadline_us = 10;
	changes.plan = scene_plan_by(&scene, planner, NULL);
	for (uint32_t i = 0; i < n_changes; i++)
		change_and_time(&changes);
	plan_free(changes.plan);
	scene_close(&scene);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	if (argc >= 4 && strcmp(argv[1], "once") == 0)
		return once((uint32_t)strtoul(argv[2], NULL, 10),
			    (uint32_t)strtoul(argv[3], NULL, 10),
			    argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : 0);
	row_print("what", "target", "median", "p99", "runs", "remark, peer");
	row_straddle(4, 10);
	row_straddle(8, 16);
	row_straddle(2, 96);
	row_request(256, "<= 20 us");
	row_request(512, "<= 30 us");
	row_request(8192, "<= 300 us");
	row_whole(256, 100, 0, "<= 50 us");
	row_whole(256, 100, 10, "<= 50 us");
	row_distrib("pack:4 numa:2 l3:2 core:8 pu:2", 256, 100);
	row_whole(8192, 10000, 0, "<= 2 ms");
	row_whole(8192, 10000, 10, "<= 2 ms");
	row_distrib("pack:32 numa:2 l3:8 core:8 pu:2", 8192, 10000);
	row_change(256, 100, 0, "<= 20 us p99");
	row_change(256, 100, 10, "<= 20 us p99");
	row_change(8192, 10000, 0, "<= 20 us p99");
	row_change(8192, 10000, 10, "<= 20 us p99");
	row_growth_pus();
	row_growth_workloads();
	return EXIT_SUCCESS;
}
