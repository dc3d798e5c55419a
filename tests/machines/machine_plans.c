#include "machines/machine_plans.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "oracle/grade.h"
#include "oracle/scene.h"
#include "plan/plan_text.h"

/* Each set fills a part of the machine, in tenths of its PUs, with pieces of one kind. */
struct piece_set {
	const char *why;
	uint32_t n_tenths;
	uint32_t n_each; /* PUs of a piece; 0: of 1 to 6 in turn; UINT32_MAX: of the largest node */
	enum workload_smt smt;
	enum numa_policy policy;
	bool has_shared; /* two that are not exclusive beside them */
};

static const struct piece_set sets[] = {
	{ "one on the largest node, and no other", 1, UINT32_MAX, SMT_ANY, NUMA_PREFER, false },
	{ "small ones of all sizes", 8, 0, SMT_ANY, NUMA_PREFER, true },
	{ "full to the last PU", 10, 1, SMT_ANY, NUMA_PREFER, false },
	{ "more than fits", 14, 0, SMT_ANY, NUMA_PREFER, true },
	{ "whole cores", 7, 2, SMT_WHOLE_CORE, NUMA_PREFER, true },
	{ "one PU of each core", 5, 2, SMT_ONE_PER_CORE, NUMA_PREFER, true },
	{ "on one node or not at all", 9, 3, SMT_ANY, NUMA_SINGLE, true },
	{ "spread over all nodes", 6, 8, SMT_ANY, NUMA_SPREAD, false },
};

static struct topology *topology_dup(const struct topology *topology)
{
	cleanup(freep) char *text = topology_format(topology);
	struct topology *copy = NULL;
	struct fault fault;

	assert_non_null(text);
	if (topology_parse(text, &copy, &fault) < 0)
		fail_msg("%s", fault.text);
	return copy;
}

static uint32_t largest_node(const struct topology *topology)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < topology->n_node; i++)
		n = topology->nodes[i].n_pu > n ? topology->nodes[i].n_pu : n;
	return n;
}

/* @is_turned: the same workloads by other names, the last one first. */
static void set_open(struct scene *scene, const struct topology *topology,
		     const struct piece_set *set, bool is_turned)
{
	struct scene_want wants[TOPOLOGY_N_PU_MAX / 8] = { 0 };
	uint32_t n_left = (topology->n_pu * set->n_tenths + 9) / 10, n = 0;

	scene_open_machine(scene, topology_dup(topology));
	for (uint32_t i = 0; n_left > 0 && n + 2 < N_ELEMENTS(wants); i++) {
		uint32_t n_each = set->n_each == UINT32_MAX ? largest_node(topology)
				  : set->n_each > 0	    ? set->n_each
							    : 1 + i % 6;

		wants[n++] = (struct scene_want){ .n_least = n_each,
						  .n_most = n_each,
						  .role = (enum workload_role)(i % 3),
						  .smt = set->smt,
						  .policy = set->policy };
		n_left -= n_each < n_left ? n_each : n_left;
	}
	for (uint32_t i = 0; i < 2 && set->has_shared; i++)
		wants[n++] = (struct scene_want){ .n_least = 1,
						  .n_most = WORKLOAD_MAX_UNSET,
						  .is_shared = true };
	for (uint32_t i = 0; i < n; i++)
		scene_add(scene, &wants[is_turned ? n - 1 - i : i]);
}

static char *text_of(const struct scene *scene, const struct plan *plan)
{
	json_t *json = plan_json(plan, scene->topology);
	char *text = json ? json_dumps(json, JSON_SORT_KEYS | JSON_REAL_PRECISION(10)) : NULL;

	json_decref(json);
	assert_non_null(text);
	return text;
}

static void check_smt(const char *machine, const struct piece_set *set, const struct scene *scene,
		      const struct plan_workload *workload)
{
	const struct topology *topology = scene->topology;

	for (uint32_t i = 0; i < topology->n_pu;) {
		uint32_t end = i, n = 0;

		for (; end < topology->n_pu && topology->pus[end].core == topology->pus[i].core;
		     end++)
			n += cpuset_has(&workload->cpus, topology->pus[end].pu_os);
		if ((set->smt == SMT_WHOLE_CORE && n > 0 && n < end - i) ||
		    (set->smt == SMT_ONE_PER_CORE && n > 1))
			fail_msg("%s, %s: %s has %u PUs of the core of PU %u", machine, set->why,
				 workload->conf->name, n, topology->pus[i].pu_os);
		i = end;
	}
}

/* Each workload by itself: what it may be, whatever the others have. */
static void check_workloads(const char *machine, const struct piece_set *set,
			    const struct scene *scene, const struct plan *plan)
{
	for (size_t w = 0; w < plan->n_workloads; w++) {
		const struct plan_workload *workload = &plan->workloads[w];

		if (workload->placed != !cpuset_is_empty(&workload->cpus) ||
		    workload->placed == (workload->reason != NULL) ||
		    !cpuset_is_subset(&workload->cpus, &scene->topology->cpus) ||
		    (!workload->conf->exclusive &&
		     cpuset_intersects(&workload->cpus, &plan->exclusive)))
			fail_msg("%s, %s: %s is placed as it must not be", machine, set->why,
				 workload->conf->name);
		if (!workload->conf->exclusive || !workload->placed)
			continue;
		if (set->policy == NUMA_SINGLE && nodeset_count(&workload->nodes) != 1)
			fail_msg("%s, %s: %s is on several nodes", machine, set->why,
				 workload->conf->name);
		check_smt(machine, set, scene, workload);
	}
}

static void check_grade(const char *machine, const struct piece_set *set, const struct scene *scene,
			const struct plan *plan, struct grade *ret_grade)
{
	assert_int_equal(grade_plan(&scene->snapshot, plan, ret_grade), 0);
	if (ret_grade->items[GRADE_SHARED] > 0)
		fail_msg("%s, %s: an exclusive PU has two owners", machine, set->why);
	/* Pieces of one PU: there is no plan but one that places all of them. */
	if (set->n_tenths == 10 && ret_grade->n_pu != scene->topology->n_pu)
		fail_msg("%s, %s: %llu of %u PUs", machine, set->why,
			 (unsigned long long)ret_grade->n_pu, scene->topology->n_pu);
	if (set->n_each == UINT32_MAX && ret_grade->n_straddling > 0)
		fail_msg("%s, %s: it straddles nodes", machine, set->why);
}

/* Twice the same input: the same text. Other names, which is another order: as good. */
static void check_set(const char *machine, const struct topology *topology,
		      const struct piece_set *set)
{
	struct scene scene, turned;
	struct plan *plan, *again, *next, *other;
	cleanup(freep) char *text = NULL, *text_again = NULL;
	struct grade grade, grade_turned;
	enum grade_item item;

	set_open(&scene, topology, set, false);
	set_open(&turned, topology, set, true);
	plan = scene_plan(&scene, NULL);
	again = scene_plan(&scene, NULL);
	next = scene_plan(&scene, plan);
	other = scene_plan(&turned, NULL);
	text = text_of(&scene, plan);
	text_again = text_of(&scene, again);
	if (strcmp(text, text_again) != 0)
		fail_msg("%s, %s: equal input, two plans:\n%s\n%s", machine, set->why, text,
			 text_again);
	for (size_t w = 0; w < plan->n_workloads; w++)
		if (!plan_workload_same_answer(&plan->workloads[w], &next->workloads[w]))
			fail_msg("%s, %s: nothing changed, but %s has", machine, set->why,
				 plan->workloads[w].conf->name);
	check_workloads(machine, set, &scene, plan);
	check_grade(machine, set, &scene, plan, &grade);
	check_grade(machine, set, &turned, other, &grade_turned);
	if (grade_gap(&grade, &grade_turned, &item) != 0)
		fail_msg("%s, %s: %s %llu, in another order %llu", machine, set->why,
			 grade_name(item), (unsigned long long)grade.items[item],
			 (unsigned long long)grade_turned.items[item]);
	plan_free(plan);
	plan_free(again);
	plan_free(next);
	plan_free(other);
	scene_close(&scene);
	scene_close(&turned);
}

void machine_plans_check(const char *machine, const struct topology *topology)
{
	for (size_t i = 0; i < N_ELEMENTS(sets); i++)
		check_set(machine, topology, &sets[i]);
}
