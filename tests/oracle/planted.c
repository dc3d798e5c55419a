#include "oracle/planted.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "oracle/grade.h"
#include "oracle/scene.h"

/* A piece, in cores; the rest of its last core stays idle. */
struct piece {
	uint32_t n_core;
	uint32_t n_pu; /* that it asks for */
	enum workload_role role;
	enum workload_smt smt;
};

struct cut {
	struct scene_shape shape;
	struct piece *pieces;
	uint32_t n_pieces;
	uint32_t n_pu;	  /* that all pieces ask for */
	uint64_t best[3]; /* nodes (weighted), L3 groups, beside: 0 */
};

static uint32_t power_between(uint64_t *seed, uint32_t least, uint32_t most)
{
	uint32_t n = least;

	while (n < most && !random_once_in(seed, 3))
		n *= 2;
	return n < most ? n : most;
}

/* A machine of about @n_pu PUs. */
static struct scene_shape shape_random(uint64_t *seed, uint32_t n_pu)
{
	struct scene_shape shape = { .n_pu = random_between(seed, 1, 2) };
	uint32_t n_core = n_pu / shape.n_pu;

	shape.n_core = power_between(seed, 4, 16);
	shape.n_l3 = power_between(seed, 1, 8);
	while (shape.n_core * shape.n_l3 * 2 > n_core)
		shape.n_l3 = shape.n_l3 > 1 ? shape.n_l3 / 2 : 1;
	shape.n_node = 1;
	shape.n_package = n_core / (shape.n_core * shape.n_l3);
	return shape;
}

static uint32_t n_l3s_of(const struct cut *cut, uint32_t n_core)
{
	return (n_core + cut->shape.n_core - 1) / cut->shape.n_core;
}

static void piece_add(struct cut *cut, uint32_t n_core, uint64_t *seed)
{
	uint32_t size = cut->shape.n_pu, n_node_core = cut->shape.n_l3 * cut->shape.n_core;
	struct piece *piece = &cut->pieces[cut->n_pieces++];

	*piece = (struct piece){ .n_core = n_core,
				 .n_pu = n_core * size,
				 .role = (enum workload_role)random_below(seed, 3) };
	/* Now and then the sibling of its last PU is left idle. */
	if (size > 1 && random_once_in(seed, 12))
		piece->n_pu--;
	else if (random_once_in(seed, 4))
		piece->smt = SMT_WHOLE_CORE;
	cut->n_pu += piece->n_pu;
	cut->best[0] += (uint64_t)grade_weight(piece->role) *
			((n_core + n_node_core - 1) / n_node_core);
	cut->best[1] += n_l3s_of(cut, n_core);
}

/* One L3 group: pieces that lie in it. */
static void l3_cut(struct cut *cut, uint32_t n_mean, uint64_t *seed)
{
	for (uint32_t n_left = cut->shape.n_core; n_left > 0;) {
		uint32_t n = random_between(seed, 1, 2 * n_mean);

		n = n < n_left ? n : n_left;
		piece_add(cut, n, seed);
		n_left -= n;
	}
}

/* One node: pieces of several whole L3 groups and perhaps a part of one more, whose rest is cut
 * up. */
static void node_cut(struct cut *cut, uint32_t n_mean, uint64_t *seed)
{
	uint32_t n_l3 = cut->shape.n_l3, n_core = cut->shape.n_core;

	while (n_l3 > 0) {
		uint32_t n_whole = random_between(seed, 1, n_l3), n_part = 0;

		if (random_once_in(seed, 3)) {
			if (n_whole < n_l3)
				n_part = random_below(seed, n_core);
			piece_add(cut, n_whole * n_core + n_part, seed);
			n_l3 -= n_whole;
			if (n_part == 0)
				continue;
			n_l3--;
			for (uint32_t n_left = n_core - n_part; n_left > 0;) {
				uint32_t n = random_between(seed, 1, n_left);

				piece_add(cut, n, seed);
				n_left -= n;
			}
		} else {
			l3_cut(cut, n_mean, seed);
			n_l3--;
		}
	}
}

static void machine_cut(struct cut *cut, uint64_t *seed)
{
	uint32_t n_node_core = cut->shape.n_l3 * cut->shape.n_core;
	uint32_t n_mean = random_between(seed, 1, cut->shape.n_core);

	cut->pieces = scene_alloc((size_t)cut->shape.n_package * n_node_core, sizeof(struct piece));
	for (uint32_t node = 0; node < cut->shape.n_package;) {
		uint32_t n_more = cut->shape.n_package - node - 1;

		if (n_more > 0 && random_once_in(seed, 10)) {
			uint32_t n = random_between(seed, 2, n_more < 3 ? n_more + 1 : 4);

			piece_add(cut, n * n_node_core, seed);
			node += n;
		} else {
			node_cut(cut, n_mean, seed);
			node++;
		}
	}
}

/* Throws pieces away until no more than @permille of the machine is asked for. */
static void pieces_drop(struct cut *cut, uint32_t n_pu, uint32_t permille, uint64_t *seed)
{
	uint32_t n_node_core = cut->shape.n_l3 * cut->shape.n_core;

	while (cut->n_pieces > 1 && (uint64_t)cut->n_pu * 1000 > (uint64_t)n_pu * permille) {
		uint32_t i = random_below(seed, cut->n_pieces);
		struct piece gone = cut->pieces[i];

		cut->pieces[i] = cut->pieces[--cut->n_pieces];
		cut->n_pu -= gone.n_pu;
		cut->best[0] -= (uint64_t)grade_weight(gone.role) *
				((gone.n_core + n_node_core - 1) / n_node_core);
		cut->best[1] -= n_l3s_of(cut, gone.n_core);
	}
}

static void judge(const struct cut *cut, const struct scene *scene, uint64_t seed,
		  struct planted_tally *tally)
{
	static const enum grade_item items[] = { GRADE_NODES, GRADE_L3, GRADE_BESIDE };
	uint32_t *const counts[] = { &tally->n_gap_nodes, &tally->n_gap_l3, &tally->n_gap_beside };
	struct plan *plan = scene_plan(scene, NULL);
	struct grade grade;

	if (grade_plan(&scene->snapshot, plan, &grade) < 0)
		scene_end("no memory");
	plan_free(plan);
	tally->n_cases++;
	if (grade.items[GRADE_UNPLACED] > 0) {
		printf("seed %llu: %llu not placed\n", (unsigned long long)seed,
		       (unsigned long long)grade.items[GRADE_UNPLACED]);
		tally->n_unplaced++;
		return;
	}
	for (unsigned i = 0; i < N_ELEMENTS(items); i++) {
		uint64_t ours = grade.items[items[i]], best = cut->best[i];
		double gap = ((double)ours - (double)best) / (double)(best > 0 ? best : cut->n_pu);

		if (ours == best)
			continue;
		if (ours < best)
			scene_end("seed %llu: better than the best in %s: the cut is wrong",
				  (unsigned long long)seed, grade_name(items[i]));
		printf("seed %llu: %u PUs, %u pieces, %.0f %% full: %s %llu, planted %llu\n",
		       (unsigned long long)seed, scene->topology->n_pu, cut->n_pieces,
		       100.0 * cut->n_pu / scene->topology->n_pu, grade_name(items[i]),
		       (unsigned long long)ours, (unsigned long long)best);
		tally->n_gap++;
		++*counts[i];
		if (gap > tally->worst) {
			tally->worst = gap;
			tally->worst_seed = seed;
		}
		return;
	}
}

void planted_case(uint64_t seed, uint32_t n_pu_most, struct planted_tally *tally)
{
	uint64_t random = seed;
	uint32_t n_pu = power_between(&random, 64, n_pu_most < 64 ? 64 : n_pu_most);
	struct cut cut = { .shape = shape_random(&random, n_pu) };
	cleanup(freep) struct piece *pieces = NULL;
	cleanup(freep) uint32_t *order = NULL;
	struct scene scene;

	scene_open(&scene, &cut.shape, &random);
	machine_cut(&cut, &random);
	pieces = cut.pieces;
	pieces_drop(&cut, scene.topology->n_pu, random_between(&random, 500, 970), &random);
	order = scene_shuffle(cut.n_pieces, &random);
	for (uint32_t i = 0; i < cut.n_pieces; i++) {
		const struct piece *piece = &cut.pieces[order[i]];

		scene_add(&scene, &(struct scene_want){ .n_least = piece->n_pu,
							.n_most = piece->n_pu,
							.role = piece->role,
							.smt = piece->smt });
	}
	judge(&cut, &scene, seed, tally);
	scene_close(&scene);
}

void planted_print(const struct planted_tally *tally)
{
	printf("planted optima: %u cases, %u with a gap (target 0): %u in nodes, %u in L3 groups, "
	       "%u "
	       "beside others; %u not all placed; worst %.2f %%",
	       tally->n_cases, tally->n_gap, tally->n_gap_nodes, tally->n_gap_l3,
	       tally->n_gap_beside, tally->n_unplaced, 100 * tally->worst);
	if (tally->n_gap > 0)
		printf(", seed %llu", (unsigned long long)tally->worst_seed);
	printf("\n");
}
