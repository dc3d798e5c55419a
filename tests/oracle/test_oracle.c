/* Is the planner's answer the best there is?
 *
 *   test_oracle mip N [SEED] [SOLVER]    N random machines up to 8 nodes × 128 workloads, each
 *                                        plan judged by a solver of mixed-integer programs
 *   test_oracle moves N [SEED] [SOLVER]  N times: a plan, one workload changes, a plan; judged for
 *                                        the PUs that moved
 *   test_oracle planted N [SEED] [MOST]  N full machines of 64 to MOST (8192) PUs cut into pieces,
 *                                        shuffled, 50 to 97 % planned again: the best is known
 *
 * A seed alone (N = 1) replays one case. Exit: 0, 1 (worse than was reached), 77 (no solver). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "oracle/mip.h"
#include "oracle/planted.h"

#define EXIT_SKIPPED 77

/* What is aimed at: of the cases that the solver closes 99 in 100 have no gap, and none more than
 * this. */
#define GAP_MOST       0.01
#define EXACT_PERMILLE 990u

/* What is reached, and must not get worse; where it is less than the target the output says so.
 * Seeds 166300, 221733 and 609764 are the gaps of the first hundred. A plan that follows another
 * moves too much where the search finds something better: movement is the ninth item and does not
 * hold it back. Planted machines of 8,192 PUs are not searched to the end within Deadline=. */
#define GAP_HELD		  0.16
#define EXACT_HELD_PERMILLE	  960u
#define MOVES_HELD		  6.0
#define PLANTED_GAP_HELD_PERMILLE 20u

#define N_WORKLOADS_MOST 128u

struct options {
	uint32_t n;
	uint64_t seed;
	struct mip_solver solver;
};

/* ---- random instances ---- */

struct instance {
	struct scene scene;
	uint32_t n_workloads;
};

/* Sizes: mostly small, some around a node. */
static uint32_t size_random(uint64_t *seed, uint32_t n_node_pu, uint32_t n_mean)
{
	if (random_once_in(seed, 6))
		return random_between(seed, 1, n_node_pu + n_node_pu / 2);
	return random_between(seed, 1, 2 * n_mean);
}

static void workloads_add(struct scene *scene, uint32_t n_workloads, uint64_t *seed)
{
	uint32_t n_pu = scene->topology->n_pu, n_node_pu = n_pu / scene->topology->n_node + 1;
	/* One PU stays: with workloads of whole cores the last one may be the half of nothing. */
	uint32_t n_left = n_pu * random_between(seed, 60, 100) / 100;
	uint32_t n_mean = n_left / n_workloads > 0 ? n_left / n_workloads : 1;
	bool has_whole = random_once_in(seed, 3);

	n_left = n_left == n_pu && has_whole ? n_left - 1 : n_left;
	for (uint32_t i = 0; i < n_workloads && n_left > 0; i++) {
		struct scene_want want = { .role = (enum workload_role)random_below(seed, 3) };
		uint32_t n = size_random(seed, n_node_pu, n_mean);

		n = n < n_left ? n : n_left;
		if (has_whole && n % 2 == 0 && random_once_in(seed, 2))
			want.smt = SMT_WHOLE_CORE;
		want.n_least = want.n_most = n;
		scene_add(scene, &want);
		n_left -= n;
	}
}

/* A package for each node, so that packages follow from nodes (mip.h). */
static void instance_make(struct scene *scene, uint64_t seed)
{
	struct scene_shape shape = {
		.n_package = random_between(&seed, 2, 8),
		.n_node = 1,
		.n_l3 = random_between(&seed, 1, 4),
		.n_core = random_between(&seed, 2, 8),
		.n_pu = random_between(&seed, 1, 2),
		.n_off_permille = random_once_in(&seed, 2) ? random_below(&seed, 150) : 0,
	};
	uint32_t n_pu, n_most;

	scene_open(scene, &shape, &seed);
	n_pu = scene->topology->n_pu;
	n_most = n_pu < N_WORKLOADS_MOST ? n_pu : N_WORKLOADS_MOST;
	workloads_add(scene, random_between(&seed, 1, n_most), &seed);
}

/* Each odd step visits many seeds; the generator mixes them further. */
static uint64_t seed_of(const struct options *options, uint32_t i)
{
	return options->seed + i * UINT64_C(7919);
}

/* ---- the table of gaps ---- */

struct tally {
	uint32_t n_cases, n_closed, n_open, n_gap, n_wrong;
	uint32_t n_claimed; /* without a gap, and the plan says so */
	double worst;
	uint64_t worst_seed;
	uint32_t n_gap_in[MIP_N_GOALS];
	uint32_t n_below[5]; /* of gaps: up to 0.1 %, 1 %, 3 %, 10 %, more */
};

static const char *const goal_names[] = { "nodes", "L3 groups", "beside others", "moves" };

static void tally_gap(struct tally *tally, double gap, uint64_t seed)
{
	static const double edges[] = { 0.001, 0.01, 0.03, 0.1 };
	unsigned i = 0;

	while (i < N_ELEMENTS(edges) && gap > edges[i])
		i++;
	tally->n_below[i]++;
	tally->n_gap++;
	if (gap > tally->worst) {
		tally->worst = gap;
		tally->worst_seed = seed;
	}
}

static int tally_print(const struct tally *tally, const char *what)
{
	uint32_t n_exact = tally->n_closed - tally->n_gap;
	bool is_met = tally->n_closed > 0 && tally->n_wrong == 0 && tally->worst <= GAP_MOST &&
		      (uint64_t)n_exact * 1000 >= (uint64_t)EXACT_PERMILLE * tally->n_closed;

	printf("%s: %u cases, %u closed, %u left open by the solver, %u wrong\n", what,
	       tally->n_cases, tally->n_closed, tally->n_open, tally->n_wrong);
	printf("  gap 0: %u (%.2f %%, target 99 %%); others up to 0.1 %%: %u, 1 %%: %u, 3 %%: %u, "
	       "10 %%: %u, more: %u\n",
	       n_exact, tally->n_closed ? 100.0 * n_exact / tally->n_closed : 0, tally->n_below[0],
	       tally->n_below[1], tally->n_below[2], tally->n_below[3], tally->n_below[4]);
	printf("  %u of those without a gap say that they are optimal\n", tally->n_claimed);
	for (unsigned i = 0; i < MIP_N_GOALS; i++)
		if (tally->n_gap_in[i] > 0)
			printf("  %u in %s\n", tally->n_gap_in[i], goal_names[i]);
	printf("  worst: %.2f %% (target 1 %%)%s", 100 * tally->worst, is_met ? "\n" : "");
	if (!is_met)
		printf(", seed %llu: TARGET MISSED\n", (unsigned long long)tally->worst_seed);
	fflush(stdout);
	return tally->n_closed > 0 && tally->n_wrong == 0 && tally->worst <= GAP_HELD &&
			       (uint64_t)n_exact * 1000 >=
				       (uint64_t)EXACT_HELD_PERMILLE * tally->n_closed
		       ? EXIT_SUCCESS
		       : EXIT_FAILURE;
}

/* ---- judged by a solver ---- */

static void say(const struct options *options, uint64_t seed, enum mip_goal goal,
		const struct mip_answer *answer)
{
	static const char *const words[] = {
		[MIP_PROVEN] = "proven",
		[MIP_BETTER] = "better",
		[MIP_FOUND] = "better, perhaps not the best",
		[MIP_OPEN] = "open",
	};

	if (answer->verdict != MIP_PROVEN || options->n == 1)
		printf("seed %llu: %s %llu, %s: %llu\n", (unsigned long long)seed, goal_names[goal],
		       (unsigned long long)answer->ours, words[answer->verdict],
		       (unsigned long long)answer->value);
	fflush(stdout);
}

/* The model must take our plan for possible: else what it proves is worth nothing. */
static void check_model(const struct options *options, const struct mip_question *question,
			uint64_t seed, struct tally *tally)
{
	struct mip_question open = *question;
	struct mip_answer answer;

	open.is_open = true;
	answer = mip_ask(&options->solver, &open);
	if (answer.verdict == MIP_BETTER && answer.value == answer.ours)
		return;
	if (answer.verdict == MIP_OPEN || answer.verdict == MIP_FOUND)
		return;
	printf("seed %llu: the model says %llu for %s, the plan has %llu: THE MODEL IS WRONG\n",
	       (unsigned long long)seed, (unsigned long long)answer.value,
	       goal_names[question->goal], (unsigned long long)answer.ours);
	tally->n_wrong++;
}

/* What the plan says of itself must not be refuted by what the solver found. */
static bool claim_holds(const struct mip_question *question, const struct mip_answer *answer)
{
	static const uint32_t items[] = { 3, 6, 7, 9 };
	const struct plan *plan = question->plan;
	uint32_t item = items[question->goal];

	if (plan->optimal)
		return false;
	if (isnan(plan->bound) || plan->bound_item == 0 || plan->bound_item < item)
		return true;
	return plan->bound_item == item &&
	       plan->bound + 1e-9 >= (double)(answer->ours - answer->value);
}

/* What a gap is a fraction of: the best value; for PUs beside others, whose best is mostly 0, the
 * PUs of all data planes. */
static double gap_base(const struct mip_question *question, const struct mip_answer *answer)
{
	uint64_t n = 0;

	if (question->goal != MIP_BESIDE)
		return answer->value > 0 ? (double)answer->value : 1;
	for (size_t w = 0; w < question->plan->n_workloads; w++)
		if (question->plan->workloads[w].conf->role == ROLE_DATA_PLANE)
			n += question->plan->workloads[w].n_pu;
	return n > 0 ? (double)n : 1;
}

/* Once in how many cases the model itself is checked. */
#define CHECK_MODEL_EVERY 16u

/* One item after the other up to the first that could be better. False: that one was found or was
 * left open. */
static bool judge(const struct options *options, struct mip_question *question, uint64_t seed,
		  struct tally *tally)
{
	struct mip_answer answer = mip_ask(&options->solver, question);
	double gap;

	say(options, seed, question->goal, &answer);
	if (answer.verdict == MIP_PROVEN) {
		if (tally->n_cases % CHECK_MODEL_EVERY == 0 || options->n == 1)
			check_model(options, question, seed, tally);
		return true;
	}
	if (answer.verdict == MIP_OPEN) {
		tally->n_open++;
		return false;
	}
	if (answer.is_unseen) {
		printf("seed %llu: the plan that the solver found for %s is not better: THE MODEL "
		       "IS "
		       "WRONG\n",
		       (unsigned long long)seed, goal_names[question->goal]);
		tally->n_wrong++;
	}
	if (!claim_holds(question, &answer)) {
		printf("seed %llu: the plan says %s, bound %.1f in item %u: WRONG\n",
		       (unsigned long long)seed,
		       question->plan->optimal ? "optimal" : "not optimal", question->plan->bound,
		       question->plan->bound_item);
		tally->n_wrong++;
	}
	gap = (double)(answer.ours - answer.value) / gap_base(question, &answer);
	tally->n_closed++;
	tally->n_gap_in[question->goal]++;
	tally_gap(tally, gap, seed);
	return false;
}

/* False: not all is placed, though there is room for all. */
static bool all_placed(const struct plan *plan, uint64_t seed, struct tally *tally)
{
	for (size_t w = 0; w < plan->n_workloads; w++) {
		const struct plan_workload *workload = &plan->workloads[w];

		if (workload->placed && workload->n_pu == workload->conf->min_pu)
			continue;
		printf("seed %llu: %s of %u PUs is not placed: %s\n", (unsigned long long)seed,
		       workload->conf->name, workload->conf->min_pu,
		       workload->reason ? workload->reason : "fewer PUs");
		tally->n_wrong++;
		return false;
	}
	return true;
}

static void mip_case(const struct options *options, uint64_t seed, struct tally *tally)
{
	struct scene scene;
	struct plan *plan;
	struct mip_question question = { .scene = &scene };

	instance_make(&scene, seed);
	question.plan = plan = scene_plan(&scene, NULL);
	tally->n_cases++;
	if (all_placed(plan, seed, tally)) {
		bool is_proven = true;

		for (unsigned goal = MIP_NODES; goal <= MIP_BESIDE && is_proven; goal++) {
			question.goal = (enum mip_goal)goal;
			is_proven = judge(options, &question, seed, tally);
		}
		tally->n_closed += is_proven;
		tally->n_claimed += is_proven && plan->optimal;
	}
	plan_free(plan);
	scene_close(&scene);
}

static int run_mip(const struct options *options)
{
	struct tally tally = { 0 };

	for (uint32_t i = 0; i < options->n; i++)
		mip_case(options, seed_of(options, i), &tally);
	return tally_print(&tally, "items 3, 6, 7 against the solver");
}

/* ---- movement ---- */

/* One workload gets another size that still fits. */
static void change_one(struct scene *scene, uint64_t *seed)
{
	uint32_t n_free = scene->topology->n_pu, w;
	struct workload *conf;

	for (size_t i = 0; i < scene->snapshot.n_workloads; i++)
		n_free -= scene->confs[i]->min_pu;
	w = random_below(seed, (uint32_t)scene->snapshot.n_workloads);
	conf = scene->confs[w];
	conf->smt = SMT_ANY;
	conf->min_pu = conf->max_pu = random_between(seed, 1, conf->min_pu + n_free);
}

struct moves {
	uint64_t n_ours, n_least;
	uint32_t n_cases, n_open, n_more, n_worse, n_unplaced;
	double worst;
};

static void judge_moves(const struct options *options, const struct scene *scene,
			const struct plan *before, uint64_t seed, struct moves *moves)
{
	struct plan *after = scene_plan(scene, before), *anew = scene_plan(scene, NULL);
	struct mip_question question = {
		.scene = scene, .plan = after, .before = before, .goal = MIP_MOVES
	};
	struct mip_answer answer = mip_ask(&options->solver, &question);
	struct grade ours, other;
	enum grade_item item;

	if (grade_plan(&scene->snapshot, after, &ours) < 0 ||
	    grade_plan(&scene->snapshot, anew, &other) < 0)
		scene_end("no memory");
	if (grade_gap(&ours, &other, &item) > 0) {
		moves->n_worse++;
		printf("seed %llu: %s %llu after the change, %llu from scratch\n",
		       (unsigned long long)seed, grade_name(item),
		       (unsigned long long)ours.items[item], (unsigned long long)other.items[item]);
	}
	say(options, seed, MIP_MOVES, &answer);
	moves->n_cases++;
	moves->n_open += answer.verdict == MIP_OPEN || answer.verdict == MIP_FOUND;
	if (answer.verdict == MIP_PROVEN || answer.verdict == MIP_BETTER) {
		double ratio = answer.value ? (double)answer.ours / (double)answer.value
					    : (double)answer.ours + 1;

		moves->n_ours += answer.ours;
		moves->n_least += answer.value;
		moves->n_more += answer.ours > answer.value;
		moves->worst = ratio > moves->worst ? ratio : moves->worst;
	}
	plan_free(after);
	plan_free(anew);
}

static void moves_case(const struct options *options, uint64_t seed, struct moves *moves)
{
	struct scene scene;
	struct plan *before;
	uint64_t change = seed ^ UINT64_C(0x9e3779b97f4a7c15);

	instance_make(&scene, seed);
	before = scene_plan(&scene, NULL);
	/* The plan keeps its sizes; what it borrows of the workloads is their names. */
	change_one(&scene, &change);
	judge_moves(options, &scene, before, seed, moves);
	plan_free(before);
	scene_close(&scene);
}

static int run_moves(const struct options *options)
{
	struct moves moves = { 0 };
	double ratio;

	for (uint32_t i = 0; i < options->n; i++)
		moves_case(options, seed_of(options, i), &moves);
	ratio = moves.n_least ? (double)moves.n_ours / (double)moves.n_least
			      : (double)moves.n_ours + 1;
	printf("one workload changes: %u cases, %u open, %u moved more than they must, %u are "
	       "worse "
	       "than from scratch\n"
	       "  %llu PUs moved, %llu must: ratio %.3f (target 1.1), worst case %.2f\n",
	       moves.n_cases, moves.n_open, moves.n_more, moves.n_worse,
	       (unsigned long long)moves.n_ours, (unsigned long long)moves.n_least, ratio,
	       moves.worst);
	if (ratio > 1.1)
		printf("  TARGET MISSED\n");
	return ratio <= MOVES_HELD && moves.n_worse == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---- planted ---- */

static int run_planted(const struct options *options, uint32_t n_pu_most)
{
	struct planted_tally tally = { 0 };

	for (uint32_t i = 0; i < options->n; i++)
		planted_case(seed_of(options, i), n_pu_most, &tally);
	planted_print(&tally);
	if (tally.n_gap > 0)
		printf("  TARGET MISSED\n");
	return tally.n_gap * 1000ull <= (uint64_t)PLANTED_GAP_HELD_PERMILLE * options->n &&
			       tally.n_unplaced == 0
		       ? EXIT_SUCCESS
		       : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	struct options options = { .seed = 1 };
	const char *verb = argc > 2 ? argv[1] : "";
	const char *last = argc > 4 ? argv[4] : NULL;

	if (argc > 2)
		options.n = (uint32_t)strtoul(argv[2], NULL, 10);
	if (argc > 3)
		options.seed = strtoull(argv[3], NULL, 10);
	if (options.n == 0 || options.seed == 0)
		scene_end("usage: test_oracle mip|moves|planted N [SEED] [SOLVER|MOST]");
	if (strcmp(verb, "planted") == 0)
		return run_planted(&options, last ? (uint32_t)strtoul(last, NULL, 10) : 8192);
	if (!mip_solver_find(last, &options.solver)) {
		printf("skipped: neither cbc nor glpsol is installed\n");
		return EXIT_SKIPPED;
	}
	if (getenv("SIDECARD_ORACLE_SECONDS"))
		options.solver.deadline_s = (unsigned)strtoul(getenv("SIDECARD_ORACLE_SECONDS"),
							      NULL, 10);
	return strcmp(verb, "moves") == 0 ? run_moves(&options) : run_mip(&options);
}
