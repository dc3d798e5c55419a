/* A plan out of a solver's answer: so that "there is a better one" is not believed but seen. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "oracle/mip.h"

/* The solution as CBC writes it: lines "INDEX NAME VALUE COST"; what is 0 is left out. */
struct solution {
	const struct mip_question *question;
	uint32_t n_bins, n_workloads;
	uint32_t *whole, *single, *half, *any; /* workload × bin: f, a, o, x */
};

static void value_keep(struct solution *solution, const char *name, uint32_t value)
{
	uint32_t w, b, *into;

	if (sscanf(name + 1, "_%u_%u", &w, &b) != 2 || w >= solution->n_workloads ||
	    b >= solution->n_bins)
		return;
	into = *name == 'f'   ? solution->whole
	       : *name == 'a' ? solution->single
	       : *name == 'o' ? solution->half
	       : *name == 'x' ? solution->any
			      : NULL;
	if (into)
		into[w * solution->n_bins + b] = value;
}

static void solution_read(struct solution *solution, FILE *file)
{
	char line[256], name[64];
	double value;

	while (fgets(line, sizeof(line), file))
		if (sscanf(line, " %*u %63s %lf", name, &value) == 2 && value > 0.5)
			value_keep(solution, name, (uint32_t)lround(value));
}

/* ---- PUs ---- */

#define NOBODY UINT32_MAX

struct table {
	const struct topology *topology;
	const struct mip_question *question;
	uint32_t *owners; /* by dense index */
};

static uint32_t bin_of(const struct table *table, uint32_t i)
{
	return table->question->goal == MIP_NODES ? table->topology->pus[i].node
						  : table->topology->pus[i].l3;
}

static bool is_first_of_two(const struct table *table, uint32_t i)
{
	return i + 1 < table->topology->n_pu &&
	       table->topology->pus[i + 1].core == table->topology->pus[i].core;
}

static bool is_alone(const struct table *table, uint32_t i)
{
	return !is_first_of_two(table, i) &&
	       (i == 0 || table->topology->pus[i - 1].core != table->topology->pus[i].core);
}

enum piece {
	PIECE_CORE,	  /* of two PUs */
	PIECE_ALONE,	  /* a core of one PU */
	PIECE_HALF,	  /* of a core that is free */
	PIECE_QUIET_HALF, /* the other half of a core, beside none of a data plane */
	PIECE_OTHER_HALF,
	PIECE_ANY
};

/* Does PU @i begin such a piece that is free? */
static bool suits(const struct table *table, uint32_t i, enum piece piece)
{
	const uint32_t *owners = table->owners;

	if (owners[i] != NOBODY)
		return false;
	switch (piece) {
	case PIECE_CORE:
	case PIECE_HALF:
		return is_first_of_two(table, i) && owners[i + 1] == NOBODY;
	case PIECE_ALONE:
		return is_alone(table, i);
	case PIECE_QUIET_HALF:
		return suits(table, i, PIECE_OTHER_HALF) &&
		       table->question->scene->confs[owners[i - 1]]->role != ROLE_DATA_PLANE;
	case PIECE_OTHER_HALF:
		return !is_alone(table, i) && !is_first_of_two(table, i) && owners[i - 1] != NOBODY;
	case PIECE_ANY:
		break;
	}
	return true;
}

/* False: there is none. */
static bool take(struct table *table, uint32_t b, enum piece piece, uint32_t w)
{
	for (uint32_t i = 0; i < table->topology->n_pu; i++) {
		if (bin_of(table, i) != b || !suits(table, i, piece))
			continue;
		table->owners[i] = w;
		if (piece == PIECE_CORE)
			table->owners[i + 1] = w;
		return true;
	}
	return false;
}

static bool is_data(const struct solution *solution, uint32_t w)
{
	return solution->question->scene->confs[w]->role == ROLE_DATA_PLANE;
}

/* Halves: data planes first, a core each as long as there are cores; then the other halves, beside
 * data planes last. So no more share than must. */
static bool halves_take(const struct solution *solution, struct table *table, uint32_t b)
{
	for (unsigned data = 2; data-- > 0;)
		for (uint32_t w = 0; w < solution->n_workloads; w++) {
			uint32_t n = solution->half[w * solution->n_bins + b];

			if (is_data(solution, w) != (data == 1))
				continue;
			for (; n > 0; n--)
				if (!take(table, b, PIECE_HALF, w) &&
				    !take(table, b, PIECE_QUIET_HALF, w) &&
				    !take(table, b, PIECE_OTHER_HALF, w))
					return false;
		}
	return true;
}

static bool pieces_take(struct table *table, uint32_t b, enum piece piece, uint32_t w, uint32_t n)
{
	while (n > 0 && take(table, b, piece, w))
		n--;
	return n == 0;
}

static bool bin_take(const struct solution *solution, struct table *table, uint32_t b)
{
	bool fits = true;

	for (uint32_t w = 0; w < solution->n_workloads; w++) {
		uint32_t at = w * solution->n_bins + b;

		fits = fits && pieces_take(table, b, PIECE_CORE, w, solution->whole[at]) &&
		       pieces_take(table, b, PIECE_ALONE, w, solution->single[at]);
	}
	fits = fits && halves_take(solution, table, b);
	for (uint32_t w = 0; w < solution->n_workloads; w++)
		fits = fits &&
		       pieces_take(table, b, PIECE_ANY, w, solution->any[w * solution->n_bins + b]);
	return fits;
}

/* ---- the plan ---- */

static struct plan *plan_of(const struct solution *solution, const struct table *table)
{
	struct plan *plan = scene_alloc(1, sizeof(*plan));

	plan->n_workloads = solution->n_workloads;
	plan->workloads = scene_alloc(plan->n_workloads, sizeof(*plan->workloads));
	for (uint32_t w = 0; w < solution->n_workloads; w++) {
		struct plan_workload *workload = &plan->workloads[w];

		workload->conf = solution->question->scene->confs[w];
		workload->placed = true;
		for (uint32_t i = 0; i < table->topology->n_pu; i++)
			if (table->owners[i] == w &&
			    cpuset_add(&workload->cpus, table->topology->pus[i].pu_os) < 0)
				scene_end("no memory");
		if (topology_nodes_of(table->topology, &workload->cpus, &workload->nodes) < 0)
			scene_end("no memory");
		workload->n_pu = cpuset_count(&workload->cpus);
	}
	return plan;
}

struct plan *mip_witness(const struct mip_question *question, FILE *file)
{
	const struct topology *topology = question->scene->topology;
	struct solution solution = {
		.question = question,
		.n_bins = question->goal == MIP_NODES ? topology->n_node : topology->n_l3,
		.n_workloads = (uint32_t)question->plan->n_workloads,
	};
	size_t n = (size_t)solution.n_workloads * solution.n_bins;
	cleanup(freep) uint32_t *values = scene_alloc(4 * n, sizeof(*values));
	cleanup(freep) uint32_t *owners = scene_alloc(topology->n_pu, sizeof(*owners));
	struct table table = { topology, question, owners };

	solution.whole = values;
	solution.single = values + n;
	solution.half = values + 2 * n;
	solution.any = values + 3 * n;
	memset(owners, 0xff, topology->n_pu * sizeof(*owners));
	solution_read(&solution, file);
	for (uint32_t b = 0; b < solution.n_bins; b++)
		if (!bin_take(&solution, &table, b))
			return NULL;
	return plan_of(&solution, &table);
}

bool mip_is_seen(const struct mip_question *question, const struct plan *witness)
{
	struct grade seen, ours;
	enum grade_item item;

	for (size_t w = 0; w < witness->n_workloads; w++)
		if (witness->workloads[w].n_pu != question->plan->workloads[w].n_pu)
			return false;
	if (grade_plan(&question->scene->snapshot, witness, &seen) < 0 ||
	    grade_plan(&question->scene->snapshot, question->plan, &ours) < 0)
		scene_end("no memory");
	/* Nodes of all, or the weights of roles: an item before the one asked for may be better. */
	if (question->goal != MIP_MOVES)
		return grade_gap(&seen, &ours, &item) < 0;
	return mip_moved(question->before, witness) < mip_moved(question->before, question->plan) &&
	       grade_gap(&seen, &ours, &item) <= 0;
}
