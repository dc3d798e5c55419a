#include "plan/plan_moves.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"

/* Of one workload. */
struct move {
	const struct plan_workload *before, *after;
	uint32_t n_moved, n_gained, n_lost;
	struct nodeset remote; /* nodes that it had and whose memory is no more among its own */
	uint64_t remote_bytes;
	bool differs;
};

static void move_done(struct move *move)
{
	nodeset_done(&move->remote);
}

static uint32_t n_common(const struct cpuset *a, const struct cpuset *b)
{
	uint32_t n = 0;

	cpuset_foreach (pu_os, a)
		n += cpuset_has(b, pu_os);
	return n;
}

/* Memory is taken to lie evenly on the nodes that it came from; a plan read from JSON tells only
 * PUs, and their nodes stand for those. */
static int move_of(const struct plan *held, const struct plan_workload *after,
		   const struct topology *topology, struct move *ret_move)
{
	struct move move = { .before = plan_find(held, after->conf->name), .after = after };
	cleanup(nodeset_done) struct nodeset had = { 0 };
	uint32_t n_before, n_kept, n_nodes;
	int r;

	if (!move.before || !move.before->placed || !after->placed)
		return 0;
	n_before = cpuset_count(&move.before->cpus);
	n_kept = n_common(&move.before->cpus, &after->cpus);
	move.differs = !cpuset_equal(&move.before->cpus, &after->cpus);
	move.n_moved = (n_before < after->n_pu ? n_before : after->n_pu) - n_kept;
	move.n_gained = after->n_pu > n_before ? after->n_pu - n_before : 0;
	move.n_lost = n_before > after->n_pu ? n_before - after->n_pu : 0;
	r = topology_nodes_of(topology, &move.before->cpus, &had);
	n_nodes = nodeset_count(&had);
	if (r == 0)
		r = nodeset_copy(&move.remote, &had);
	if (r < 0)
		return r;
	nodeset_subtract(&move.remote, &after->mems);
	if (after->conf->memory == MEMORY_NONE)
		nodeset_done(&move.remote);
	if (n_nodes > 0)
		move.remote_bytes = after->conf->memory_size_bytes / n_nodes *
				    nodeset_count(&move.remote);
	*ret_move = move;
	return 0;
}

static void moves_add(struct moves *moves, const struct move *move)
{
	moves->n_moved += move->n_moved;
	moves->n_gained += move->n_gained;
	moves->n_lost += move->n_lost;
	moves->n_workloads += move->differs;
	moves->remote_bytes += move->remote_bytes;
}

int plan_moves(const struct plan *plan, const struct plan *held, const struct topology *topology,
	       struct moves *ret_moves)
{
	struct moves moves = { 0 };

	for (size_t i = 0; i < plan->n_workloads; i++) {
		cleanup(move_done) struct move move = { 0 };
		int r = move_of(held, &plan->workloads[i], topology, &move);

		if (r < 0)
			return r;
		moves_add(&moves, &move);
	}
	*ret_moves = moves;
	return 0;
}

static json_t *move_json(const struct move *move)
{
	cleanup(freep) char *before = cpuset_format(&move->before->cpus);
	cleanup(freep) char *after = cpuset_format(&move->after->cpus);
	cleanup(freep) char *remote = nodeset_format(&move->remote);

	if (!before || !after || !remote)
		return NULL;
	return json_pack("{s:s, s:s, s:s, s:I, s:s}", "name", move->after->conf->name, "before",
			 before, "after", after, "n_moved", (json_int_t)move->n_moved,
			 "remote_nodes", remote);
}

json_t *plan_moves_json(const struct plan *plan, const struct plan *held,
			const struct topology *topology)
{
	cleanup(json_decrefp) json_t *list = json_array();
	struct moves moves = { 0 };

	for (size_t i = 0; i < plan->n_workloads; i++) {
		cleanup(move_done) struct move move = { 0 };

		if (move_of(held, &plan->workloads[i], topology, &move) < 0)
			return NULL;
		moves_add(&moves, &move);
		if (move.differs && json_array_append_new(list, move_json(&move)) < 0)
			return NULL;
	}
	return json_pack("{s:I, s:I, s:I, s:I, s:O}", "n_moved", (json_int_t)moves.n_moved,
			 "n_gained", (json_int_t)moves.n_gained, "n_lost", (json_int_t)moves.n_lost,
			 "remote_bytes", (json_int_t)moves.remote_bytes, "workloads", list);
}

static int moves_print(FILE *out, const struct plan *plan, const struct plan *held,
		       const struct topology *topology)
{
	struct moves moves = { 0 };

	for (size_t i = 0; i < plan->n_workloads; i++) {
		cleanup(move_done) struct move move = { 0 };
		cleanup(freep) char *before = NULL, *after = NULL, *remote = NULL;
		int r = move_of(held, &plan->workloads[i], topology, &move);

		if (r < 0)
			return r;
		moves_add(&moves, &move);
		if (!move.differs)
			continue;
		before = cpuset_format(&move.before->cpus);
		after = cpuset_format(&move.after->cpus);
		remote = nodeset_format(&move.remote);
		if (!before || !after || !remote)
			return -ENOMEM;
		fprintf(out, "%s: PUs %s become %s, %u moved%s%s\n", move.after->conf->name, before,
			after, move.n_moved, *remote ? ", pages left on node " : "", remote);
	}
	fprintf(out, "%u PUs moved, %u gained and %u lost by %u workloads; %llu MiB left remote\n",
		moves.n_moved, moves.n_gained, moves.n_lost, moves.n_workloads,
		(unsigned long long)(moves.remote_bytes >> 20));
	return 0;
}

char *plan_moves_text(const struct plan *plan, const struct plan *held,
		      const struct topology *topology)
{
	char *text = NULL;
	size_t n_text = 0;
	FILE *out = open_memstream(&text, &n_text);
	int r;

	if (!out)
		return NULL;
	r = moves_print(out, plan, held, topology);
	if (fclose(out) != 0 || r < 0) {
		free(text);
		return NULL;
	}
	return text;
}
