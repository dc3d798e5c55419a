/* Two plans → steps. The steps are played on what places hold, and after each one nobody may run on
 * another's exclusive PUs. */
#include "plan_fixture.h"

/* A place as "w HELD": index of the workload (-1: the system's own) and what it has now. */
struct place_row {
	int workload;
	const char *held;
	enum place_kind kind;
	uint64_t cgroup_id;
};

struct row {
	const char *why, *workloads;
	struct place_row places[4];
	const char *steps;
};

static char *steps_text(const struct steps *steps, const struct place *places)
{
	char *text = NULL;
	size_t n_text = 0;
	FILE *out = open_memstream(&text, &n_text);

	assert_non_null(out);
	for (size_t i = 0; i < steps->n_items; i++) {
		const struct step *step = &steps->items[i];
		cleanup(freep) char *cpus = cpuset_format(&step->cpus);
		cleanup(freep) char *mems = nodeset_format(&step->mems);

		fprintf(out, "%s%c%zu %s", i > 0 ? ", " : "",
			step->phase == STEP_NARROW ? '-' : '+', (size_t)(step->place - places),
			cpus);
		if (*mems)
			fprintf(out, " mem %s", mems);
	}
	fclose(out);
	return text;
}

static size_t places_fill(const struct row *row, struct place *places, struct cpuset *held)
{
	size_t n = 0;

	for (; n < 4 && row->places[n].held; n++) {
		places[n] = (struct place){
			.kind = row->places[n].kind,
			.workload = row->places[n].workload < 0 ? PLACE_NOBODY
								: (uint32_t)row->places[n].workload,
			.cgroup_id = row->places[n].cgroup_id,
		};
		held[n] = (struct cpuset){ 0 };
		assert_int_equal(cpuset_parse(row->places[n].held, &held[n]), 0);
	}
	return n;
}

static const struct row rows[] = {
	{ "what holds gets no step",
	  "a own nodes=0\nb batch nodes=1",
	  { { 0, "0-3", 0, 1 }, { 1, "4-7", 0, 1 } },
	  "" },
	{ "not known: written",
	  "a own nodes=0\nb batch nodes=1",
	  { { 0, "", 0, 1 }, { 1, "4-7", 0, 1 } },
	  "-0 0-3" },
	{ "only loses", "a own nodes=0", { { 0, "0-7", 0, 1 } }, "-0 0-3" },
	{ "only gains", "a own nodes=0", { { 0, "1", 0, 1 } }, "+0 0-3" },
	{ "loses and gains: first what it keeps",
	  "a own nodes=0",
	  { { 0, "2-5", 0, 1 } },
	  "-0 2-3, +0 0-3" },
	{ "moves to free PUs at once", "a own nodes=0", { { 0, "4-7", 0, 1 } }, "-0 0-3" },
	{ "narrowing comes before widening, whoever comes first",
	  "a own nodes=0\nb own nodes=1",
	  { { 0, "0-1", 0, 1 }, { 1, "2-7", 0, 1 } },
	  "-1 4-7, +0 0-3" },
	{ "two change places: one PU is nobody's, there they wait",
	  "a own nodes=0 cpuset=0-2\nb own nodes=1",
	  { { 0, "4-7", 0, 1 }, { 1, "0-2", 0, 1 } },
	  "-0 3, -1 3, +0 0-2, +1 4-7" },
	{ "what may be another's own is not waited on",
	  "a own nodes=0\nb nodes=1 own=2 max=4",
	  { { 0, "4-5", 0, 1 }, { 1, "0-3", 0, 1 } },
	  "-0 6-7, -1 6-7, +0 0-3, +1 4-7" },
	{ "its own PUs are left before another gets them",
	  "a own nodes=0\nb nodes=1 own=2 max=4",
	  { { 0, "2-3", 0, 1 }, { 1, "0-1,4-7", 0, 1 } },
	  "-1 4-7, +0 0-3" },
	{ "the system leaves exclusive PUs",
	  "a own nodes=0",
	  { { 0, "", 0, 1 }, { -1, "0-7", 0, 1 } },
	  "-0 0-3, -1 4-7" },
	{ "the system gets PUs back",
	  "a own nodes=0 max=1",
	  { { 0, "0-3", 0, 1 }, { -1, "4-7", 0, 1 } },
	  "-0 0, +1 1-7" },
	{ "several places of one workload",
	  "a own nodes=0",
	  { { 0, "0-7", 0, 1 }, { 0, "0-3", PLACE_PROCESS, 0 }, { 0, "0", PLACE_PROCESS, 0 } },
	  "-0 0-3, +2 0-3" },
	{ "not placed: off what others have, like the system",
	  "a own nodes=0\nb own min=99",
	  { { 0, "0-3", 0, 1 }, { 1, "0-7", 0, 1 } },
	  "-1 4-7" },
	{ "everything is exclusive: the system stays, there is nothing else",
	  "a own",
	  { { 0, "0-7", 0, 1 }, { -1, "0-7", 0, 1 } },
	  "" },
	{ "memory before the first process",
	  "a own nodes=0 strict",
	  { { 0, "", PLACE_UNIT, 0 } },
	  "-0 0-3 mem 0" },
	{ "not while it runs", "a own nodes=0 strict", { { 0, "", PLACE_UNIT, 7 } }, "-0 0-3" },
	{ "unless Migrate=yes",
	  "a own nodes=0 strict migrate",
	  { { 0, "2-5", PLACE_UNIT, 7 } },
	  "-0 2-3, +0 0-3 mem 0" },
	{ "preferred memory is the kernel's own choice",
	  "a own nodes=0",
	  { { 0, "", PLACE_UNIT, 0 } },
	  "-0 0-3" },
	{ "no memory asked for",
	  "a own nodes=0 nomem migrate",
	  { { 0, "", PLACE_UNIT, 0 } },
	  "-0 0-3" },
};

static void makes_steps(void **state)
{
	size_t n_wrong = 0;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct fixture fixture;
		struct place places[4];
		struct cpuset held[4];
		size_t n = places_fill(&rows[i], places, held);
		struct steps steps;
		struct plan *plan;
		char *text;

		fixture_open(&fixture, "1/2/1/4/1");
		fixture_add_all(&fixture, rows[i].workloads);
		plan = fixture_plan(&fixture, NULL);
		assert_int_equal(plan_diff(plan, places, n, held, &steps), 0);
		text = steps_text(&steps, places);
		if (strcmp(text, rows[i].steps) != 0) {
			print_error("%s: got \"%s\", expected \"%s\"\n", rows[i].why, text,
				    rows[i].steps);
			n_wrong++;
		}
		free(text);
		steps_done(&steps);
		for (size_t k = 0; k < n; k++)
			cpuset_done(&held[k]);
		plan_free(plan);
		fixture_close(&fixture);
	}
	assert_int_equal(n_wrong, 0);
}

static void nothing_to_do(void **state)
{
	struct fixture fixture;
	struct steps steps = { (struct step *)&fixture, 9 };
	struct plan *plan;

	(void)state;
	fixture_open(&fixture, "1/1/1/2/1");
	plan = fixture_plan(&fixture, NULL);
	assert_int_equal(plan_diff(plan, NULL, 0, NULL, &steps), 0);
	assert_int_equal(steps.n_items, 0);
	steps_done(&steps);
	plan_free(plan);
	fixture_close(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(makes_steps),
		cmocka_unit_test(nothing_to_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
