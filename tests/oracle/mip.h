/* Asks a solver of mixed-integer programs (CBC or GLPK) whether a plan could be better.
 *
 * Items are asked one after the other, as the objective orders them: "is there a plan that is no
 * worse in the items before and at least one better in this one?" A solver that finds the question
 * infeasible has proven the item; one that finds an answer gives the best value instead.
 *
 * The model knows PUs, cores of one or two PUs, L3 groups and nodes; every workload is exclusive
 * and has a size that does not change. Machines have a package for each node and equal distances:
 * then packages and distances follow from the nodes of each workload, and both are held at the
 * plan's own value while a later item is asked for. */
#pragma once

#include <stdio.h>

#include "oracle/grade.h"
#include "oracle/scene.h"

enum mip_goal {
	MIP_NODES,  /* item 3 */
	MIP_L3,	    /* item 6 */
	MIP_BESIDE, /* item 7 */
	MIP_MOVES,  /* item 9 */
	MIP_N_GOALS
};

enum mip_verdict {
	MIP_PROVEN, /* nothing better exists */
	MIP_BETTER, /* value: the best there is */
	MIP_FOUND,  /* value: better, but perhaps not the best: no time for more */
	MIP_OPEN,   /* no answer in time */
};

struct mip_solver {
	const char *path;
	bool is_glpk;
	unsigned deadline_s;
};

struct mip_question {
	const struct scene *scene;
	const struct plan *plan;   /* to be judged; everything in it is placed */
	const struct plan *before; /* MIP_MOVES: what was held, same workloads; else NULL */
	enum mip_goal goal;
	bool is_open; /* without asking for something better: the value is the optimum, for a check
			 of the model against the plan */
};

struct mip_answer {
	enum mip_verdict verdict;
	uint64_t ours, value;
	bool is_unseen; /* something better is said to exist, but the plan made of it is not better
			 */
};

/* A solver that is there; CBC first. False: neither is. */
bool mip_solver_find(const char *name, struct mip_solver *ret_solver);
/* Ends the program where the solver fails or says what it cannot mean. */
struct mip_answer mip_ask(const struct mip_solver *solver, const struct mip_question *question);
/* The program as text, malloc'ed. */
char *mip_text(const struct mip_question *question);
/* The plan that a solution (CBC's file) stands for; NULL where its PUs are not there. MIP_MOVES:
 * PUs are chosen without looking at what was held. */
struct plan *mip_witness(const struct mip_question *question, FILE *file);
/* Is that plan possible, and better? */
bool mip_is_seen(const struct mip_question *question, const struct plan *witness);
/* PUs that workloads of both plans could have kept and did not. */
uint64_t mip_moved(const struct plan *before, const struct plan *after);
