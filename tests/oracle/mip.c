#include "oracle/mip.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sense/topo_load.h"

/* Room for what a solver says of a large program. */
#define N_ANSWER_MOST (16u << 20)

bool mip_solver_find(const char *name, struct mip_solver *ret_solver)
{
	static const struct mip_solver solvers[] = {
		{ "/usr/bin/cbc", false, 10 },
		{ "/usr/bin/glpsol", true, 10 },
	};

	for (size_t i = 0; i < N_ELEMENTS(solvers); i++) {
		if ((name && !strstr(solvers[i].path, name)) || access(solvers[i].path, X_OK) < 0)
			continue;
		*ret_solver = solvers[i];
		return true;
	}
	return false;
}

static uint64_t ours(const struct mip_question *question)
{
	static const enum grade_item items[] = { GRADE_NODES, GRADE_L3, GRADE_BESIDE };
	struct grade grade;

	if (question->goal == MIP_MOVES)
		return mip_moved(question->before, question->plan);
	if (grade_plan(&question->scene->snapshot, question->plan, &grade) < 0)
		scene_end("no memory");
	return grade.items[items[question->goal]];
}

/* The program goes through a file: solvers read no standard input. */
static void write_file(const char *text, char *path)
{
	int fd = mkostemps(path, 3, O_CLOEXEC);
	size_t n = strlen(text);
	FILE *file;

	if (fd < 0)
		scene_end("'%s' cannot be made", path);
	file = fdopen(fd, "w");
	if (!file || fwrite(text, 1, n, file) != n || fclose(file) != 0)
		scene_end("'%s' cannot be written", path);
}

/* NULL: it does not come to an end. */
static char *run(const struct mip_solver *solver, const char *path, const char *solution)
{
	char seconds[16];
	const char *const cbc[] = { path, "seconds", seconds, "solve", "solution", solution, NULL };
	const char *const glpsol[] = { "--lp", path, "--tmlim", seconds, "--cuts", NULL };
	struct helper_call call = {
		.path = solver->path,
		.arguments = solver->is_glpk ? glpsol : cbc,
		.input_fd = -1,
		/* its seconds are of work; on a busy machine they take longer */
		.deadline_ms = (solver->deadline_s * 10 + 60) * 1000,
		.n_answer_max = N_ANSWER_MOST,
	};
	char *answer = NULL;
	struct fault fault = { 0 };
	int r;

	snprintf(seconds, sizeof(seconds), "%u", solver->deadline_s);
	r = helper_run(&call, &answer, &fault);
	if (r < 0 && r != -ETIMEDOUT)
		scene_end("%s: %s", path, fault.text);
	return answer;
}

/* The number after @label, rounded: all that is counted is whole. */
static bool number_after(const char *text, const char *label, int64_t *ret_number)
{
	const char *at = strstr(text, label);
	char *end;
	double number;

	if (!at)
		return false;
	at += strlen(label);
	number = strtod(at, &end);
	if (end == at || fabs(number) > 1e15)
		return false;
	*ret_number = llround(number);
	return true;
}

static enum mip_verdict read_cbc(const char *text, int64_t *ret_value)
{
	/* Nothing here is unbounded: every variable is a part of a machine. */
	if (strstr(text, "Problem is infeasible") || strstr(text, "infeasible or unbounded") ||
	    strstr(text, "roblem proven infeasible") || strstr(text, "PrimalInfeasible"))
		return MIP_PROVEN;
	if (strstr(text, "Result - Optimal solution found") &&
	    number_after(text, "Objective value:", ret_value))
		return MIP_BETTER;
	if (strstr(text, "No feasible solution found"))
		return MIP_OPEN;
	if (strstr(text, "Result - Stopped on time limit") &&
	    number_after(text, "Objective value:", ret_value))
		return MIP_FOUND;
	scene_end("the solver says: %s", text);
}

static enum mip_verdict read_glpk(const char *text, int64_t *ret_value)
{
	const char *at = text, *last = NULL;
	bool has_solution = false;

	/* "+  123: mip =   5.0e+00 >= ..." for each that is better than those before */
	while ((at = strstr(at, "mip = "))) {
		has_solution |= strncmp(at, "mip =     not found yet", 23) != 0;
		last = at++;
	}
	if (strstr(text, "NO PRIMAL FEASIBLE SOLUTION") || strstr(text, "NO INTEGER FEASIBLE") ||
	    (strstr(text, "HAS NO") && strstr(text, "FEASIBLE")))
		return MIP_PROVEN;
	if (strstr(text, "INTEGER OPTIMAL SOLUTION FOUND BY MIP PREPROCESSOR"))
		return number_after(text, "Objective value =", ret_value) ? MIP_BETTER : MIP_OPEN;
	if (has_solution && last && number_after(last, "mip =", ret_value))
		return strstr(text, "INTEGER OPTIMAL SOLUTION FOUND") ? MIP_BETTER : MIP_FOUND;
	if (strstr(text, "TIME LIMIT EXCEEDED"))
		return MIP_OPEN;
	scene_end("the solver says: %s", text);
}

/* MIP_MOVES counts what is kept, with a minus. */
static uint64_t value_of(const struct mip_question *question, int64_t objective)
{
	uint64_t n_most = 0;

	if (question->goal != MIP_MOVES)
		return (uint64_t)objective;
	for (size_t w = 0; w < question->plan->n_workloads; w++) {
		uint32_t now = question->plan->workloads[w].n_pu;
		uint32_t then = question->before->workloads[w].n_pu;

		n_most += now < then ? now : then;
	}
	return n_most + (uint64_t)objective;
}

/* GLPK's verdict stands by itself; movement is counted inside of L3 groups only. */
static bool is_unseen(const struct mip_solver *solver, const struct mip_question *question,
		      const char *path)
{
	cleanup(plan_freep) struct plan *witness = NULL;
	cleanup(fclosep) FILE *file = NULL;

	if (solver->is_glpk || question->is_open || question->goal == MIP_MOVES)
		return false;
	file = fopen(path, "re");
	if (!file)
		scene_end("'%s' cannot be read", path);
	witness = mip_witness(question, file);
	return !witness || !mip_is_seen(question, witness);
}

struct mip_answer mip_ask(const struct mip_solver *solver, const struct mip_question *question)
{
	struct mip_answer answer = { .verdict = MIP_PROVEN, .ours = ours(question) };
	cleanup(freep) char *text = NULL, *said = NULL;
	char path[] = "/tmp/sidecard-oracle-XXXXXX.lp", solution[sizeof(path) + 4];
	int64_t objective = 0;

	answer.value = answer.ours;
	/* Nothing is below nothing. */
	if (answer.ours == 0 && !question->is_open)
		return answer;
	text = mip_text(question);
	write_file(text, path);
	snprintf(solution, sizeof(solution), "%s.sol", path);
	said = run(solver, path, solution);
	answer.verdict = !said		   ? MIP_OPEN
			 : solver->is_glpk ? read_glpk(said, &objective)
					   : read_cbc(said, &objective);
	if (answer.verdict == MIP_BETTER || answer.verdict == MIP_FOUND) {
		answer.value = value_of(question, objective);
		answer.is_unseen = is_unseen(solver, question, solution);
	}
	unlink(solution);
	if (!getenv("SIDECARD_ORACLE_KEEP"))
		unlink(path);
	return answer;
}
