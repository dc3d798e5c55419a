/* The program as text: the LP format that CBC and GLPK both read. */
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "oracle/mip.h"

/* Where PUs are taken from: nodes for MIP_NODES, else L3 groups. Inside of one every distribution
 * of its PUs is possible. */
struct bin {
	uint32_t n_two, n_one; /* cores of two and of one PU */
	uint32_t node;
};

struct writer {
	FILE *out;
	const struct mip_question *question;
	struct grade grade;
	struct bin *bins;
	uint32_t n_bins, n_nodes, n_workloads;
	uint32_t *n_pu, *n_node_pu; /* a workload's size; a node's PUs */
	uint32_t *held;		    /* MIP_MOVES: workload × bin */
};

static uint32_t bin_of(const struct writer *writer, const struct topo_pu *pu)
{
	return writer->question->goal == MIP_NODES ? pu->node : pu->l3;
}

static const struct workload *conf_of(const struct writer *writer, uint32_t w)
{
	return writer->question->scene->confs[w];
}

static bool is_whole(const struct writer *writer, uint32_t w)
{
	return conf_of(writer, w)->smt == SMT_WHOLE_CORE;
}

/* Does it matter who shares a core with whom? */
static bool has_pairs(const struct writer *writer)
{
	return writer->question->goal >= MIP_BESIDE;
}

/* Are cores of its own to be told apart? */
static bool has_cores(const struct writer *writer, uint32_t w)
{
	return is_whole(writer, w) || has_pairs(writer);
}

static void bins_count(struct writer *writer)
{
	const struct topology *topology = writer->question->scene->topology;

	for (uint32_t i = 0; i < topology->n_pu; i++) {
		const struct topo_pu *pu = &topology->pus[i];
		bool has_next = i + 1 < topology->n_pu && pu[1].core == pu->core;
		struct bin *bin = &writer->bins[bin_of(writer, pu)];

		bin->node = pu->node;
		writer->n_node_pu[pu->node]++;
		if (i > 0 && pu[-1].core == pu->core) {
			if (has_next)
				scene_end("a core of three PUs is not in the model");
			continue;
		}
		bin->n_two += has_next;
		bin->n_one += !has_next;
	}
}

static void held_count(struct writer *writer)
{
	const struct mip_question *question = writer->question;
	const struct topology *topology = question->scene->topology;

	for (uint32_t w = 0; question->goal == MIP_MOVES && w < writer->n_workloads; w++)
		cpuset_foreach (pu_os, &question->before->workloads[w].cpus) {
			const struct topo_pu *pu = &topology->pus[topology_pu_idx(topology, pu_os)];

			writer->held[w * writer->n_bins + bin_of(writer, pu)]++;
		}
}

/* ---- terms ---- */

/* PUs of @w in bin @b. */
static void write_pus(const struct writer *writer, uint32_t w, uint32_t b)
{
	if (!has_cores(writer, w))
		fprintf(writer->out, " + x_%u_%u", w, b);
	else if (is_whole(writer, w))
		fprintf(writer->out, " + 2 f_%u_%u + a_%u_%u", w, b, w, b);
	else
		fprintf(writer->out, " + 2 f_%u_%u + o_%u_%u + a_%u_%u", w, b, w, b, w, b);
	if (b % 8 == 7)
		fputc('\n', writer->out);
}

static void write_sum_nodes(const struct writer *writer, bool weighted)
{
	for (uint32_t w = 0; w < writer->n_workloads; w++) {
		for (uint32_t n = 0; n < writer->n_nodes; n++)
			fprintf(writer->out, " + %u y_%u_%u",
				weighted ? grade_weight(conf_of(writer, w)->role) : 1, w, n);
		fputc('\n', writer->out);
	}
}

static void write_sum_l3s(const struct writer *writer)
{
	for (uint32_t w = 0; w < writer->n_workloads; w++) {
		for (uint32_t b = 0; b < writer->n_bins; b++)
			fprintf(writer->out, " + z_%u_%u", w, b);
		fputc('\n', writer->out);
	}
}

static void write_sum_beside(const struct writer *writer)
{
	for (uint32_t b = 0; b < writer->n_bins; b++)
		fprintf(writer->out, " + 2 dd_%u + dn_%u\n", b, b);
}

/* Negative: what is kept. */
static void write_sum_kept(const struct writer *writer)
{
	for (uint32_t w = 0; w < writer->n_workloads; w++)
		for (uint32_t b = 0; b < writer->n_bins; b++)
			if (writer->held[w * writer->n_bins + b])
				fprintf(writer->out, " - k_%u_%u\n", w, b);
}

static uint64_t moved_most(const struct mip_question *question)
{
	uint64_t n = 0;

	for (size_t w = 0; w < question->plan->n_workloads; w++) {
		uint32_t now = question->plan->workloads[w].n_pu;
		uint32_t then = question->before->workloads[w].n_pu;

		n += now < then ? now : then;
	}
	return n;
}

uint64_t mip_moved(const struct plan *before, const struct plan *after)
{
	uint64_t n = 0;

	for (size_t w = 0; w < after->n_workloads; w++) {
		const struct cpuset *then = &before->workloads[w].cpus;
		uint32_t n_then = before->workloads[w].n_pu, n_kept = 0;

		cpuset_foreach (pu_os, then)
			n_kept += cpuset_has(&after->workloads[w].cpus, pu_os);
		n += (n_then < after->workloads[w].n_pu ? n_then : after->workloads[w].n_pu) -
		     n_kept;
	}
	return n;
}

static void write_goal(const struct writer *writer)
{
	switch (writer->question->goal) {
	case MIP_NODES:
		write_sum_nodes(writer, true);
		break;
	case MIP_L3:
		write_sum_l3s(writer);
		break;
	case MIP_BESIDE:
		write_sum_beside(writer);
		break;
	default:
		write_sum_kept(writer);
	}
}

/* ---- rows ---- */

/* Each has what it wants; a PU in a bin means the bin and its node. */
static void write_workload(const struct writer *writer, uint32_t w)
{
	const struct snapshot *snapshot = &writer->question->scene->snapshot;
	bool has_l3s = writer->question->goal != MIP_NODES;
	uint32_t n = writer->n_pu[w];

	for (uint32_t b = 0; b < writer->n_bins; b++)
		write_pus(writer, w, b);
	fprintf(writer->out, " = %u\n", n);
	for (uint32_t b = 0; b < writer->n_bins && has_l3s; b++) {
		const struct bin *bin = &writer->bins[b];
		uint32_t room = 2 * bin->n_two + bin->n_one;

		write_pus(writer, w, b);
		fprintf(writer->out, " - %u z_%u_%u <= 0\n", room < n ? room : n, w, b);
		fprintf(writer->out, " z_%u_%u - y_%u_%u <= 0\n", w, b, w, bin->node);
	}
	for (uint32_t node = 0; node < writer->n_nodes; node++) {
		uint32_t room = writer->n_node_pu[node];

		for (uint32_t b = 0; b < writer->n_bins; b++)
			if (writer->bins[b].node == node)
				write_pus(writer, w, b);
		fprintf(writer->out, " - %u y_%u_%u <= 0\n", room < n ? room : n, w, node);
	}
	/* What no plan can do without: helps the solver, cuts nothing off. */
	for (uint32_t node = 0; node < writer->n_nodes; node++)
		fprintf(writer->out, " + y_%u_%u", w, node);
	fprintf(writer->out, " >= %u\n", grade_fewest_nodes(snapshot, n, is_whole(writer, w)));
	for (uint32_t b = 0; b < writer->n_bins && has_l3s; b++)
		fprintf(writer->out, " + z_%u_%u", w, b);
	if (has_l3s)
		fprintf(writer->out, " >= %u\n",
			grade_fewest_l3s(snapshot, n, is_whole(writer, w)));
}

/* A bin has no more than it has. Two cores that are each used by halves are one that is shared:
 * dd by two data planes, dn by a data plane and another, nn by two others. */
static void write_bin(const struct writer *writer, uint32_t b)
{
	const struct bin *bin = &writer->bins[b];
	bool pairs = has_pairs(writer);
	FILE *out = writer->out;

	for (uint32_t w = 0; w < writer->n_workloads; w++)
		write_pus(writer, w, b);
	fprintf(out, " <= %u\n", 2 * bin->n_two + bin->n_one);
	fprintf(out, " 0 one");
	for (uint32_t w = 0; w < writer->n_workloads; w++)
		if (has_cores(writer, w))
			fprintf(out, " + a_%u_%u\n", w, b);
	fprintf(out, " <= %u\n 0 one", bin->n_one);
	for (uint32_t w = 0; w < writer->n_workloads; w++) {
		if (has_cores(writer, w))
			fprintf(out, " + f_%u_%u\n", w, b);
		if (pairs && !is_whole(writer, w))
			fprintf(out, " + o_%u_%u\n", w, b);
	}
	if (pairs)
		fprintf(out, " - dd_%u - dn_%u - nn_%u", b, b, b);
	fprintf(out, " <= %u\n", bin->n_two);
	for (unsigned data = 0; data < 2 && pairs; data++) {
		fprintf(out, data ? " - 2 dd_%u - dn_%u" : " - 2 nn_%u - dn_%u", b, b);
		for (uint32_t w = 0; w < writer->n_workloads; w++)
			if (!is_whole(writer, w) &&
			    (conf_of(writer, w)->role == ROLE_DATA_PLANE) == (data == 1))
				fprintf(out, " + o_%u_%u\n", w, b);
		fprintf(out, " >= 0\n");
	}
}

/* The sum over pairs of nodes is convex in their number: tangents say the same. */
static void write_distances(const struct writer *writer)
{
	const struct topology *topology = writer->question->scene->topology;
	uint32_t each = topology->n_node > 1 ? topology->distances[1] : 1;

	for (uint32_t w = 0; w < writer->n_workloads; w++)
		for (uint32_t j = 1; j < writer->n_nodes; j++) {
			fprintf(writer->out, " p_%u", w);
			for (uint32_t n = 0; n < writer->n_nodes; n++)
				fprintf(writer->out, " - %u y_%u_%u", j, w, n);
			fprintf(writer->out, " >= -%u\n", j * (j + 1) / 2);
		}
	fprintf(writer->out, " 0 one");
	for (uint32_t w = 0; w < writer->n_workloads; w++)
		fprintf(writer->out, " + p_%u\n", w);
	fprintf(writer->out, " <= %llu\n",
		(unsigned long long)(writer->grade.items[GRADE_DISTANCE] / each / 2));
}

static void write_kept(const struct writer *writer)
{
	for (uint32_t w = 0; w < writer->n_workloads; w++)
		for (uint32_t b = 0; b < writer->n_bins; b++) {
			if (!writer->held[w * writer->n_bins + b])
				continue;
			fprintf(writer->out, " k_%u_%u <= %u\n k_%u_%u", w, b,
				writer->held[w * writer->n_bins + b], w, b);
			/* minus all of the PUs: the signs turn */
			fprintf(writer->out, " - 2 f_%u_%u - a_%u_%u", w, b, w, b);
			if (!is_whole(writer, w))
				fprintf(writer->out, " - o_%u_%u", w, b);
			fprintf(writer->out, " <= 0\n");
		}
}

/* Items before the one that is asked for: no worse than the plan has them. */
static void write_earlier(const struct writer *writer)
{
	enum mip_goal goal = writer->question->goal;
	const uint64_t *items = writer->grade.items;

	if (goal == MIP_NODES)
		return;
	write_sum_nodes(writer, true);
	fprintf(writer->out, " <= %llu\n", (unsigned long long)items[GRADE_NODES]);
	write_sum_nodes(writer, false);
	fprintf(writer->out, " <= %llu\n", (unsigned long long)items[GRADE_PACKAGES]);
	write_distances(writer);
	if (goal == MIP_L3)
		return;
	write_sum_l3s(writer);
	fprintf(writer->out, " <= %llu\n", (unsigned long long)items[GRADE_L3]);
	for (uint32_t w = 0; w < writer->n_workloads; w++)
		for (uint32_t b = 0; b < writer->n_bins; b++) {
			fprintf(writer->out, " + f_%u_%u + a_%u_%u", w, b, w, b);
			fprintf(writer->out, is_whole(writer, w) ? "\n" : " + o_%u_%u\n", w, b);
		}
	fprintf(writer->out, " <= %llu\n", (unsigned long long)items[GRADE_L2]);
	if (goal == MIP_BESIDE)
		return;
	write_sum_beside(writer);
	fprintf(writer->out, " <= %llu\n", (unsigned long long)items[GRADE_BESIDE]);
}

static uint64_t ours(const struct writer *writer)
{
	const struct mip_question *question = writer->question;

	switch (question->goal) {
	case MIP_NODES:
		return writer->grade.items[GRADE_NODES];
	case MIP_L3:
		return writer->grade.items[GRADE_L3];
	case MIP_BESIDE:
		return writer->grade.items[GRADE_BESIDE];
	default:
		return mip_moved(question->before, question->plan);
	}
}

static void write_better(const struct writer *writer)
{
	const struct mip_question *question = writer->question;
	int64_t most = (int64_t)ours(writer) - 1;

	if (question->is_open)
		return;
	if (question->goal == MIP_MOVES)
		most -= (int64_t)moved_most(question);
	write_goal(writer);
	fprintf(writer->out, " <= %lld\n", (long long)most);
}

/* ---- kinds of variables ---- */

static void write_integers(const struct writer *writer)
{
	bool pairs = has_pairs(writer);

	fprintf(writer->out, "Bounds\n one = 1\nGeneral\n");
	for (uint32_t w = 0; w < writer->n_workloads; w++)
		for (uint32_t b = 0; b < writer->n_bins; b++) {
			if (!has_cores(writer, w))
				fprintf(writer->out, " x_%u_%u\n", w, b);
			else
				fprintf(writer->out, " f_%u_%u\n a_%u_%u\n", w, b, w, b);
			if (pairs && !is_whole(writer, w))
				fprintf(writer->out, " o_%u_%u\n", w, b);
		}
	for (uint32_t b = 0; b < writer->n_bins && pairs; b++)
		fprintf(writer->out, " dd_%u\n dn_%u\n nn_%u\n", b, b, b);
	fprintf(writer->out, "Binary\n");
	for (uint32_t w = 0; w < writer->n_workloads; w++) {
		for (uint32_t n = 0; n < writer->n_nodes; n++)
			fprintf(writer->out, " y_%u_%u\n", w, n);
		for (uint32_t b = 0; b < writer->n_bins; b++)
			if (writer->question->goal != MIP_NODES)
				fprintf(writer->out, " z_%u_%u\n", w, b);
	}
	fprintf(writer->out, "End\n");
}

static void write_all(const struct writer *writer)
{
	/* "one" stands where a row must have a term. */
	fprintf(writer->out, "Minimize\n obj: 0 one");
	write_goal(writer);
	fprintf(writer->out, "Subject To\n");
	for (uint32_t w = 0; w < writer->n_workloads; w++)
		write_workload(writer, w);
	for (uint32_t b = 0; b < writer->n_bins; b++)
		write_bin(writer, b);
	if (writer->question->goal == MIP_MOVES)
		write_kept(writer);
	write_earlier(writer);
	write_better(writer);
	write_integers(writer);
}

char *mip_text(const struct mip_question *question)
{
	const struct topology *topology = question->scene->topology;
	struct writer writer = {
		.question = question,
		.n_bins = question->goal == MIP_NODES ? topology->n_node : topology->n_l3,
		.n_nodes = topology->n_node,
		.n_workloads = (uint32_t)question->plan->n_workloads,
	};
	cleanup(freep) struct bin *bins = scene_alloc(writer.n_bins, sizeof(*bins));
	cleanup(freep) uint32_t *n_pu = scene_alloc(writer.n_workloads, sizeof(*n_pu));
	cleanup(freep) uint32_t *n_node_pu = scene_alloc(writer.n_nodes, sizeof(*n_node_pu));
	cleanup(freep) uint32_t *held = scene_alloc((size_t)writer.n_workloads * writer.n_bins,
						    sizeof(*held));
	char *text = NULL;
	size_t n_text = 0;

	writer.bins = bins;
	writer.n_pu = n_pu;
	writer.n_node_pu = n_node_pu;
	writer.held = held;
	writer.out = open_memstream(&text, &n_text);
	if (!writer.out ||
	    grade_plan(&question->scene->snapshot, question->plan, &writer.grade) < 0)
		scene_end("no memory");
	for (uint32_t w = 0; w < writer.n_workloads; w++)
		n_pu[w] = question->plan->workloads[w].n_pu;
	bins_count(&writer);
	held_count(&writer);
	write_all(&writer);
	if (fclose(writer.out) != 0)
		scene_end("no memory");
	return text;
}
