#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "model/topology.h"

/* Two packages, two cores of two PUs each, a node a package. */
#define PUS                                        \
	"pu 0 0 0 0 0 0 0 0\npu 4 0 0 0 0 0 0 0\n" \
	"pu 1 1 1 1 1 1 1 0\npu 5 1 1 1 1 1 1 0\n"
#define NODES	  "node 0 0 1024\nnode 1 1 2048\n"
#define DISTANCES "distance 0 0 10\ndistance 0 1 21\ndistance 1 0 21\ndistance 1 1 10\n"
#define HEAD	  "sidecard-topology 1\n"

static void refuses_what_is_malformed(void **state)
{
	static const struct {
		const char *why, *text;
		int result;
	} rows[] = {
		{ "all is well", HEAD PUS NODES DISTANCES "end\n", 0 },
		{ "no distances known", HEAD PUS NODES "end\n", 0 },
		{ "a package of -1: none", HEAD PUS "node 0 -1 0\nnode 1 1 0\nend\n", 0 },
		{ "no last newline", HEAD PUS NODES "end", 0 },
		{ "what stands behind the end does not count", HEAD PUS NODES "end\npu x\n", 0 },
		{ "memory-only node", HEAD PUS NODES "node 7 -1 512\nend\n", 0 },
		{ "nothing at all", "", -EINVAL },
		{ "head only", HEAD, -EINVAL },
		{ "head and end", HEAD "end\n", -EINVAL },
		{ "no head", PUS NODES "end\n", -EINVAL },
		{ "another version", "sidecard-topology 2\n" PUS NODES "end\n", -EINVAL },
		{ "no end", HEAD PUS NODES DISTANCES, -EINVAL },
		{ "no PU", HEAD NODES "end\n", -EINVAL },
		{ "no node", HEAD PUS "end\n", -EINVAL },
		{ "unknown word", HEAD PUS NODES "core 1\nend\n", -EINVAL },
		{ "empty line", HEAD PUS "\n" NODES "end\n", -EINVAL },
		{ "PU twice", HEAD PUS "pu 4 1 1 1 1 1 1 0\n" NODES "end\n", -EINVAL },
		{ "node twice", HEAD PUS NODES "node 1 1 2048\nend\n", -EINVAL },
		{ "PU with a field too few", HEAD PUS "pu 6 1 1 1 1 1 1\n" NODES "end\n", -EINVAL },
		{ "PU with a field too many", HEAD PUS "pu 6 1 1 1 1 1 1 0 0\n" NODES "end\n",
		  -EINVAL },
		{ "PU number is no number", HEAD PUS "pu x 1 1 1 1 1 1 0\n" NODES "end\n",
		  -EINVAL },
		{ "PU number too large", HEAD PUS "pu 8192 1 1 1 1 1 1 0\n" NODES "end\n",
		  -EINVAL },
		{ "negative PU number", HEAD PUS "pu -1 1 1 1 1 1 1 0\n" NODES "end\n", -EINVAL },
		{ "core out of range", HEAD PUS "pu 6 5 1 1 1 1 1 0\n" NODES "end\n", -EINVAL },
		{ "L2 out of range", HEAD PUS "pu 6 1 5 1 1 1 1 0\n" NODES "end\n", -EINVAL },
		{ "L3 out of range", HEAD PUS "pu 6 1 1 5 1 1 1 0\n" NODES "end\n", -EINVAL },
		{ "die out of range", HEAD PUS "pu 6 1 1 1 5 1 1 0\n" NODES "end\n", -EINVAL },
		{ "package out of range", HEAD PUS "pu 6 1 1 1 1 5 1 0\n" NODES "end\n", -EINVAL },
		{ "node out of range", HEAD PUS "pu 6 1 1 1 1 1 2 0\n" NODES "end\n", -EINVAL },
		{ "node of a negative index", HEAD PUS "pu 6 1 1 1 1 1 -1 0\n" NODES "end\n",
		  -EINVAL },
		{ "node number too large", HEAD PUS NODES "node 1024 0 1\nend\n", -ERANGE },
		{ "node with a field too few", HEAD PUS NODES "node 2 0\nend\n", -EINVAL },
		{ "node with a field too many", HEAD PUS NODES "node 2 0 0 0\nend\n", -EINVAL },
		{ "distance from nowhere", HEAD PUS NODES DISTANCES "distance 2 0 10\nend\n",
		  -EINVAL },
		{ "distance to nowhere", HEAD PUS NODES DISTANCES "distance 0 2 10\nend\n",
		  -EINVAL },
		{ "distance of nothing", HEAD PUS NODES DISTANCES "distance 0 1 0\nend\n",
		  -EINVAL },
		{ "distance before its node", HEAD PUS DISTANCES NODES "end\n", -EINVAL },
		{ "negative rank", HEAD PUS "pu 6 1 1 1 1 1 1 -1\n" NODES "end\n", -EINVAL },
		{ "a plus sign", HEAD PUS "pu +6 1 1 1 1 1 1 0\n" NODES "end\n", -EINVAL },
		{ "two blanks", HEAD PUS "pu  6 1 1 1 1 1 1 0\n" NODES "end\n", -EINVAL },
		{ "a number that wraps to 6",
		  HEAD PUS "pu 4294967302 1 1 1 1 1 1 0\n" NODES "end\n", -EINVAL },
		{ "some distances only", HEAD PUS NODES "distance 0 1 20\nend\n", -EINVAL },
		{ "a distance twice", HEAD PUS NODES DISTANCES "distance 0 1 22\nend\n", -EINVAL },
		{ "far from itself", HEAD PUS NODES "distance 0 0 20\nend\n", -EINVAL },
		{ "a core in two packages", HEAD PUS "pu 6 1 1 1 1 0 1 0\n" NODES "end\n",
		  -EINVAL },
		{ "a core in two places", HEAD PUS "pu 6 0 0 0 0 0 0 0\n" NODES "end\n", -EINVAL },
		{ "a gap in the numbers of cores", HEAD PUS "pu 6 3 1 1 1 1 1 0\n" NODES "end\n",
		  -EINVAL },
		{ "node in no such package", HEAD PUS "node 0 7 0\nnode 1 1 0\nend\n", -EINVAL },
		{ "node in package -2", HEAD PUS "node 0 -2 0\nnode 1 1 0\nend\n", -EINVAL },
		{ "negative memory", HEAD PUS "node 0 0 -1\nnode 1 1 0\nend\n", -EINVAL },
		{ "memory beyond 64 bits",
		  HEAD PUS "node 0 0 18446744073709551616\nnode 1 1 0\nend\n", -EINVAL },
		{ "node behind distances", HEAD PUS NODES DISTANCES "node 2 0 1\nend\n", -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct topology *topology = NULL;
		struct fault fault = { 0 };
		int r = topology_parse(rows[i].text, &topology, &fault);

		if (r != rows[i].result)
			fail_msg("%s: gave %d, '%s'", rows[i].why, r, fault.text);
		if ((r == 0) != (topology != NULL) || (r < 0) != (fault.text[0] != '\0'))
			fail_msg("%s: %d, but topology %p and fault '%s'", rows[i].why, r,
				 (void *)topology, fault.text);
		topology_free(topology);
	}
}

/* Whatever is missing at the end, the answer is not taken for a smaller machine. */
static void refuses_what_is_cut_short(void **state)
{
	static const char whole[] = HEAD PUS NODES DISTANCES "end\n";
	size_t n_whole = strlen(whole) - 1; /* the last newline may be missing */

	(void)state;
	for (size_t n = 0; n < n_whole; n++) {
		cleanup(freep) char *part = strndup(whole, n);
		struct topology *topology = NULL;

		if (topology_parse(part, &topology, NULL) >= 0 || topology)
			fail_msg("%zu of %zu bytes were accepted", n, n_whole);
	}
}

static void refuses_too_many(void **state)
{
	cleanup(freep) char *text = NULL;
	size_t n_text = 0;
	struct topology *topology = NULL;
	FILE *out = open_memstream(&text, &n_text);

	(void)state;
	fputs(HEAD, out);
	for (unsigned i = 0; i <= TOPOLOGY_N_PU_MAX; i++)
		fprintf(out, "pu %u 0 0 0 0 0 0 0\n", i % TOPOLOGY_N_PU_MAX);
	fputs("node 0 0 0\nend\n", out);
	assert_int_equal(fclose(out), 0);
	assert_int_equal(topology_parse(text, &topology, NULL), -ERANGE);
	free(text);
	text = NULL;
	out = open_memstream(&text, &n_text);
	fputs(HEAD "pu 0 0 0 0 0 0 0 0\n", out);
	for (unsigned i = 0; i <= TOPOLOGY_N_NODE_MAX; i++)
		fprintf(out, "node %u 0 0\n", i);
	fputs("end\n", out);
	assert_int_equal(fclose(out), 0);
	assert_int_equal(topology_parse(text, &topology, NULL), -ERANGE);
	assert_null(topology);
}

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static uint32_t pick(uint64_t *seed, uint32_t least, uint32_t most)
{
	return least + (uint32_t)(next_random(seed) % (most - least + 1));
}

/* A machine of 1 to 3 packages with 1 to 3 nodes, L3 and cores of 1 to 4 PUs each, none like its
 * neighbour, offline PUs and gaps in all OS numbers, and up to 2 memory-only nodes. */
static struct topology *random_machine(uint64_t *seed)
{
	struct topology *topology = calloc(1, sizeof(*topology));
	uint32_t n_package = pick(seed, 1, 3), stride = pick(seed, 1, 97), l3 = 0, core = 0;

	topology->pus = calloc(512, sizeof(*topology->pus));
	topology->nodes = calloc(32, sizeof(*topology->nodes));
	for (uint32_t package = 0; package < n_package; package++) {
		for (uint32_t n_node = pick(seed, 1, 3); n_node > 0; n_node--, l3++) {
			uint32_t node = topology->n_node++;

			topology->nodes[node].node_os = node * 7;
			topology->nodes[node].package = package;
			topology->nodes[node].memory_bytes = next_random(seed) >> 20;
			for (uint32_t n_core = pick(seed, 1, 4); n_core > 0; n_core--, core++)
				for (uint32_t n_pu = pick(seed, 1, 4); n_pu > 0; n_pu--) {
					uint32_t i = topology->n_pu++;

					topology->pus[i] = (struct topo_pu){
						/* 1,009 is prime: no number comes twice */
						i * stride % 1009, core,    l3,	  l3,
						package,	   package, node, pick(seed, 0, 1)
					};
				}
		}
	}
	for (uint32_t n = pick(seed, 0, 2); n > 0; n--, topology->n_node++)
		topology->nodes[topology->n_node] = (struct topo_node){ .node_os = 1023 - n,
									.package = TOPOLOGY_NONE,
									.memory_bytes = 1 };
	if (pick(seed, 0, 1) == 0)
		return topology;
	topology->distances = calloc((size_t)topology->n_node * topology->n_node, sizeof(uint32_t));
	for (uint32_t i = 0; i < topology->n_node * topology->n_node; i++)
		topology->distances[i] = i % (topology->n_node + 1) == 0 ? TOPOLOGY_LOCAL
									 : pick(seed, 11, 254);
	return topology;
}

static void check_same(const struct topology *a, const struct topology *b, uint64_t seed)
{
	size_t n_distances = (size_t)a->n_node * a->n_node;

	if (a->n_pu != b->n_pu || a->n_core != b->n_core || a->n_l2 != b->n_l2 ||
	    a->n_l3 != b->n_l3 || a->n_die != b->n_die || a->n_package != b->n_package ||
	    a->n_node != b->n_node || a->n_os != b->n_os)
		fail_msg("seed %" PRIu64 ": counts differ", seed);
	if (memcmp(a->pus, b->pus, a->n_pu * sizeof(*a->pus)) != 0)
		fail_msg("seed %" PRIu64 ": PUs differ", seed);
	for (uint32_t i = 0; i < a->n_node; i++)
		if (a->nodes[i].node_os != b->nodes[i].node_os ||
		    a->nodes[i].package != b->nodes[i].package ||
		    a->nodes[i].n_pu != b->nodes[i].n_pu ||
		    a->nodes[i].memory_bytes != b->nodes[i].memory_bytes)
			fail_msg("seed %" PRIu64 ": node %u differs", seed, i);
	if (memcmp(a->distances, b->distances, n_distances * sizeof(uint32_t)) != 0)
		fail_msg("seed %" PRIu64 ": distances differ", seed);
	if (!cpuset_equal(&a->cpus, &b->cpus) || !nodeset_equal(&a->mems, &b->mems))
		fail_msg("seed %" PRIu64 ": sets differ", seed);
}

/* What topology_finish() derives, counted another way. */
static void check_derived(const struct topology *topology, uint64_t seed)
{
	uint32_t n_of_nodes = 0, n_known = 0;

	for (uint32_t i = 0; i < topology->n_node; i++) {
		n_of_nodes += topology->nodes[i].n_pu;
		if (topology_node_idx(topology, topology->nodes[i].node_os) != i ||
		    !nodeset_has(&topology->mems, topology->nodes[i].node_os))
			fail_msg("seed %" PRIu64 ": node %u is lost", seed, i);
	}
	for (uint32_t pu_os = 0; pu_os < 2000; pu_os++) {
		uint32_t idx = topology_pu_idx(topology, pu_os);

		n_known += idx != TOPOLOGY_NONE;
		if (idx != TOPOLOGY_NONE && topology->pus[idx].pu_os != pu_os)
			fail_msg("seed %" PRIu64 ": PU %u is at %u", seed, pu_os, idx);
	}
	if (n_of_nodes != topology->n_pu || n_known != topology->n_pu ||
	    cpuset_count(&topology->cpus) != topology->n_pu ||
	    nodeset_count(&topology->mems) != topology->n_node ||
	    topology_n_core_of(topology, &topology->cpus) != topology->n_core)
		fail_msg("seed %" PRIu64 ": derived counts are wrong", seed);
}

static void parses_what_it_formats(void **state)
{
	(void)state;
	for (uint64_t start = 1; start <= 500; start++) {
		uint64_t seed = start * 0x9e3779b97f4a7c15;
		cleanup(topology_freep) struct topology *machine = random_machine(&seed);
		cleanup(topology_freep) struct topology *parsed = NULL;
		cleanup(freep) char *unfinished = topology_format(machine);
		cleanup(freep) char *again = NULL, *finished = NULL;
		struct fault fault = { 0 };

		if (topology_finish(machine, &fault) < 0 ||
		    topology_parse(unfinished, &parsed, &fault) < 0)
			fail_msg("seed %" PRIu64 ": %s", start, fault.text);
		check_same(machine, parsed, start);
		check_derived(parsed, start);
		finished = topology_format(machine);
		again = topology_format(parsed);
		assert_string_equal(finished, again);
	}
}

/* Cut, doubled or changed anywhere, the text is refused or read as a machine that is whole. */
static void survives_damage(void **state)
{
	(void)state;
	for (uint64_t start = 1; start <= 3000; start++) {
		uint64_t seed = start * 0x9e3779b97f4a7c15;
		cleanup(topology_freep) struct topology *machine = random_machine(&seed);
		cleanup(topology_freep) struct topology *parsed = NULL;
		cleanup(freep) char *text = topology_format(machine);
		size_t n_text = strlen(text);

		for (unsigned k = pick(&seed, 1, 3); k > 0; k--)
			text[next_random(&seed) % n_text] =
				"0123456789 -\npndx"[pick(&seed, 0, 15)];
		if (topology_parse(text, &parsed, NULL) < 0)
			continue;
		for (uint32_t i = 0; i < parsed->n_pu; i++)
			if (parsed->pus[i].node >= parsed->n_node ||
			    parsed->pus[i].core >= parsed->n_core ||
			    parsed->pus[i].l3 >= parsed->n_l3 ||
			    parsed->pus[i].package >= parsed->n_package ||
			    parsed->pus[i].pu_os >= TOPOLOGY_N_PU_MAX)
				fail_msg("seed %" PRIu64 ": PU %u points outside", start, i);
	}
}

static void answers_about_sets(void **state)
{
	cleanup(topology_freep) struct topology *topology = NULL;
	cleanup(cpuset_done) struct cpuset cpus = { 0 };
	cleanup(nodeset_done) struct nodeset nodes = { 0 };

	(void)state;
	assert_int_equal(topology_parse(HEAD PUS NODES "node 9 -1 512\nend\n", &topology, NULL), 0);
	assert_int_equal(topology->n_pu, 4);
	assert_int_equal(topology->n_core, 2);
	assert_int_equal(topology->n_node, 3);
	assert_int_equal(topology->n_os, 6);
	assert_int_equal(topology->nodes[2].n_pu, 0);
	assert_int_equal(topology->distances[0], TOPOLOGY_LOCAL);
	assert_int_equal(topology->distances[1], 20);
	assert_int_equal(topology_pu_idx(topology, 2), TOPOLOGY_NONE);
	assert_int_equal(topology_pu_idx(topology, 6), TOPOLOGY_NONE);
	assert_int_equal(topology_node_idx(topology, 2), TOPOLOGY_NONE);
	assert_int_equal(cpuset_parse("2-4,7000", &cpus),
			 0); /* PUs that do not exist count for nothing */
	assert_int_equal(topology_n_core_of(topology, &cpus), 1);
	assert_int_equal(topology_nodes_of(topology, &cpus, &nodes), 0);
	assert_int_equal(nodeset_count(&nodes), 1);
	assert_true(nodeset_has(&nodes, 0));
	cpuset_done(&cpus);
	assert_int_equal(topology_nodes_of(topology, &cpus, &nodes), 0);
	assert_true(nodeset_is_empty(&nodes));
	assert_int_equal(topology_n_core_of(topology, &cpus), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_what_is_malformed),
		cmocka_unit_test(refuses_what_is_cut_short),
		cmocka_unit_test(refuses_too_many),
		cmocka_unit_test(parses_what_it_formats),
		cmocka_unit_test(survives_damage),
		cmocka_unit_test(answers_about_sets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
