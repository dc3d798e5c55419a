/* What the configuration says against the machine it would run on: PUs and nodes that are not
 * there, more PUs than there are, PUs of two pools. The same for the daemon, `check` and `plan`.
 * Whether PUs that are there can be had in the wanted shape, and beside other workloads, is the
 * planner's to say, with what would do instead.
 *
 * The topology knows online PUs only, so that a PU that is offline at this moment looks like one
 * that was never there. A list is therefore refused where it names a number above the last PU or no
 * PU at all, not for a gap. */
#include "edge/conf_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* What workloads of one pool, of the same nodes and exclusive alike could have. */
struct room {
	const struct workload *example; /* NULL: nothing was counted yet */
	uint32_t n_pu;
};

struct checker {
	const struct conf *conf;
	const struct topology *topology;
	struct fault_list *faults;
	bool failed; /* out of memory: what was not checked must not pass */
	bool found;
	struct room room; /* that was counted last */
};

static void report(struct checker *checker, const struct conf_at *at, const char *text)
{
	cleanup(freep) char *place = conf_at_format(at);

	checker->found = true;
	if (place)
		fault_list_add(checker->faults, "%s: %s", place, text);
	else
		checker->faults->n_lost++;
}

static void report_key(struct checker *checker, enum conf_kind kind, size_t object, const char *key,
		       const struct fault *fault)
{
	struct conf_at at;

	conf_mark_find(checker->conf, kind, (uint32_t)object, key, 0, &at);
	report(checker, &at, fault->text);
}

static void check_cpus(struct checker *checker, enum conf_kind kind, size_t object, const char *key,
		       const struct cpuset *cpus)
{
	const struct topology *topology = checker->topology;
	cleanup(freep) char *written = NULL, *present = NULL;
	struct fault fault;

	if (cpuset_is_empty(cpus) ||
	    (cpuset_last(cpus) < topology->n_os && cpuset_intersects(cpus, &topology->cpus)))
		return;
	written = cpuset_format(cpus);
	present = cpuset_format(&topology->cpus);
	fault_set(&fault, -EINVAL, "PUs '%s', but this machine has %s online",
		  written ? written : "", present ? present : "");
	report_key(checker, kind, object, key, &fault);
}

static void check_nodes(struct checker *checker, enum conf_kind kind, size_t object,
			const struct nodeset *nodes)
{
	cleanup(freep) char *written = NULL, *present = NULL;
	struct fault fault;

	if (nodeset_is_subset(nodes, &checker->topology->mems))
		return;
	written = nodeset_format(nodes);
	present = nodeset_format(&checker->topology->mems);
	fault_set(&fault, -EINVAL, "NUMA nodes '%s', but this machine has %s",
		  written ? written : "", present ? present : "");
	report_key(checker, kind, object, "Nodes", &fault);
}

/* ---- minimums ---- */

static int keep_nodes(const struct topology *topology, const struct nodeset *nodes,
		      struct cpuset *cpus)
{
	cleanup(cpuset_done) struct cpuset of_nodes = { 0 };

	if (nodeset_is_empty(nodes))
		return 0;
	for (uint32_t i = 0; i < topology->n_pu; i++) {
		const struct topo_pu *pu = &topology->pus[i];

		if (nodeset_has(nodes, topology->nodes[pu->node].node_os) &&
		    cpuset_add(&of_nodes, pu->pu_os) < 0)
			return -ENOMEM;
	}
	cpuset_intersect(cpus, &of_nodes);
	return 0;
}

/* PUs that the workload could have if it were alone. */
static int reachable(const struct checker *checker, const struct workload *workload,
		     struct cpuset *ret_cpus)
{
	const struct housekeeping *housekeeping = &checker->conf->housekeeping;
	cleanup(cpuset_done) struct cpuset cpus = { 0 };
	int r = cpuset_copy(&cpus, &checker->topology->cpus);

	for (size_t i = 0; r == 0 && i < checker->conf->n_pools; i++) {
		const struct pool *pool = checker->conf->pools[i];

		if (strcmp(pool->name, workload->pool) != 0)
			continue;
		if (!cpuset_is_empty(&pool->cpus))
			cpuset_intersect(&cpus, &pool->cpus);
		r = keep_nodes(checker->topology, &pool->nodes, &cpus);
	}
	if (r == 0)
		r = keep_nodes(checker->topology, &workload->nodes, &cpus);
	if (r < 0)
		return r;
	if (workload->exclusive && housekeeping->kind == HOUSEKEEPING_LIST)
		cpuset_subtract(&cpus, &housekeeping->cpus);
	*ret_cpus = cpuset_take(&cpus);
	return 0;
}

static int room_count(const struct checker *checker, const struct workload *workload,
		      struct room *ret_room)
{
	cleanup(cpuset_done) struct cpuset cpus = { 0 };

	if (reachable(checker, workload, &cpus) < 0)
		return -ENOMEM;
	*ret_room = (struct room){ .example = workload, .n_pu = cpuset_count(&cpus) };
	return 0;
}

static bool same_room(const struct workload *a, const struct workload *b)
{
	return a && a->exclusive == b->exclusive && strcmp(a->pool, b->pool) == 0 &&
	       nodeset_equal(&a->nodes, &b->nodes);
}

static void check_minimum(struct checker *checker, size_t index)
{
	const struct workload *workload = checker->conf->workloads[index];
	const struct housekeeping *housekeeping = &checker->conf->housekeeping;
	const struct room *room = &checker->room;
	struct fault fault = { 0 };

	if (workload->min_pu <= 1)
		return;
	/* Neighbours are mostly alike, and counting takes a while on 8,192 PUs. */
	if (!same_room(room->example, workload) &&
	    room_count(checker, workload, &checker->room) < 0) {
		checker->failed = true;
		return;
	}
	if (workload->min_pu > room->n_pu)
		fault_set(&fault, -EINVAL, "Min=%u, but pool, nodes and machine leave it %u PUs",
			  workload->min_pu, room->n_pu);
	else if (workload->exclusive && housekeeping->kind == HOUSEKEEPING_COUNT &&
		 (uint64_t)workload->min_pu + housekeeping->n_pu > checker->topology->n_pu)
		fault_set(&fault, -EINVAL,
			  "Min=%u of its own and Housekeeping=%u, but this machine has %u PUs",
			  workload->min_pu, housekeeping->n_pu, checker->topology->n_pu);
	if (fault.error < 0)
		report_key(checker, CONF_WORKLOAD, index, "Min", &fault);
}

/* ---- pools ---- */

/* The PUs that @pool claims for itself; none where it names neither PUs nor nodes. */
static int pool_claims(const struct checker *checker, const struct pool *pool,
		       struct cpuset *ret_cpus)
{
	cleanup(cpuset_done) struct cpuset cpus = { 0 };
	int r;

	if (cpuset_is_empty(&pool->cpus) && nodeset_is_empty(&pool->nodes))
		return 0;
	r = cpuset_copy(&cpus,
			cpuset_is_empty(&pool->cpus) ? &checker->topology->cpus : &pool->cpus);
	if (r == 0)
		r = keep_nodes(checker->topology, &pool->nodes, &cpus);
	if (r == 0)
		*ret_cpus = cpuset_take(&cpus);
	return r;
}

static const char *pool_key(const struct pool *pool)
{
	return cpuset_is_empty(&pool->cpus) ? "Nodes" : "CPUs";
}

static void report_shared(struct checker *checker, size_t first, size_t second,
			  const struct cpuset *shared)
{
	struct pool *const *pools = checker->conf->pools;
	cleanup(freep) char *list = cpuset_format(shared), *other = NULL;
	struct conf_at at;
	struct fault fault;

	conf_mark_find(checker->conf, CONF_POOL, (uint32_t)first, pool_key(pools[first]), 0, &at);
	other = conf_at_format(&at);
	fault_set(&fault, -EINVAL, "PUs '%s' are those of pool '%s' already (%s)", list ? list : "",
		  pools[first]->name, other ? other : pools[first]->source);
	report_key(checker, CONF_POOL, second, pool_key(pools[second]), &fault);
}

/* A change inside one pool never moves another's PUs: so no PU can be of two. */
static int check_pools(struct checker *checker)
{
	size_t n = checker->conf->n_pools;
	struct cpuset *claims = calloc(n + 1, sizeof(*claims));
	int r = claims ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < n; i++)
		r = pool_claims(checker, checker->conf->pools[i], &claims[i]);
	for (size_t i = 0; r == 0 && i < n; i++)
		for (size_t k = 0; r == 0 && k < i; k++) {
			cleanup(cpuset_done) struct cpuset shared = { 0 };

			if (!cpuset_intersects(&claims[i], &claims[k]))
				continue;
			r = cpuset_copy(&shared, &claims[i]);
			cpuset_intersect(&shared, &claims[k]);
			if (r == 0)
				report_shared(checker, k, i, &shared);
		}
	for (size_t i = 0; claims && i < n; i++)
		cpuset_done(&claims[i]);
	free(claims);
	return r;
}

int conf_check_machine(const struct conf *conf, const struct topology *topology,
		       struct fault_list *faults)
{
	struct checker checker = { .conf = conf, .topology = topology, .faults = faults };

	if (conf->housekeeping.kind == HOUSEKEEPING_LIST)
		check_cpus(&checker, CONF_DAEMON, 0, "Housekeeping", &conf->housekeeping.cpus);
	for (size_t i = 0; i < conf->n_pools; i++) {
		check_cpus(&checker, CONF_POOL, i, "CPUs", &conf->pools[i]->cpus);
		check_nodes(&checker, CONF_POOL, i, &conf->pools[i]->nodes);
	}
	if (check_pools(&checker) < 0)
		checker.failed = true;
	for (size_t i = 0; i < conf->n_workloads; i++) {
		check_nodes(&checker, CONF_WORKLOAD, i, &conf->workloads[i]->nodes);
		check_minimum(&checker, i);
	}
	if (checker.found)
		return -EINVAL;
	return checker.failed ? -ENOMEM : 0;
}
