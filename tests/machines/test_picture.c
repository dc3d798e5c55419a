/* What people and programs see of a machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "ctl/topology.h"
#include "sense/topo_load.h"

/* PUs below 4 are envoy's, PU 5 is agent's, the rest nobody's. */
static const char *owner_of(const void *userdata, uint32_t pu_os)
{
	(void)userdata;
	return pu_os < 4 ? "envoy" : pu_os == 5 ? "agent" : NULL;
}

static const struct topology_owners nobody = { 0 }, some = { .owner_of = owner_of };

static void draws(void **state)
{
	static const struct {
		const char *why, *machine;
		const struct topology_owners *owners;
		bool has_colour;
		const char *picture;
	} rows[] = {
		{ "the smallest", "synthetic:package:1 core:1 pu:1", &nobody, false,
		  "1 PU, 1 core, 1 L3, 1 package, 1 NUMA node\n\n"
		  "package 0\n"
		  "  node 0       1.0 GiB\n"
		  "    L3 0   [0]\n" },
		{ "owners have letters, whole cores one",
		  "synthetic:package:2 numa:1 l3:1 core:2 pu:2", &some, false,
		  "8 PUs, 4 cores, 2 L3, 2 packages, 2 NUMA nodes\n"
		  "distances are to nodes 0 1\n\n"
		  "package 0\n"
		  "  node 0       1.0 GiB   distances 10 20\n"
		  "    L3 0   [0,1]a [2,3]a\n"
		  "package 1\n"
		  "  node 1       1.0 GiB   distances 20 10\n"
		  "    L3 1   [4,5b] [6,7]\n"
		  "owners  a envoy (4)  b agent (1)\n" },
		{ "colour for a terminal", "synthetic:package:1 core:3 pu:2", &some, true,
		  "6 PUs, 3 cores, 1 L3, 1 package, 1 NUMA node\n\n"
		  "package 0\n"
		  "  node 0       1.0 GiB\n"
		  "    L3 0   \x1b[31m[0,1]a\x1b[0m \x1b[31m[2,3]a\x1b[0m [4,5b]\n"
		  "owners \x1b[31m a envoy (4)\x1b[0m \x1b[32m b agent (1)\x1b[0m\n" },
		{ "no memory known, memory-only nodes",
		  "synthetic:package:1 [numa(memory=512MiB)] [numa(memory=1024)] core:2 pu:1",
		  &nobody, false,
		  "2 PUs, 2 cores, 1 L3, 1 package, 2 NUMA nodes\n"
		  "distances are to nodes 0 1\n\n"
		  "package 0\n"
		  "  node 0       512 MiB   distances 10 20\n"
		  "    L3 0   [0] [1]\n"
		  "memory only\n"
		  "  node 1         0 MiB   distances 20 10\n" },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		cleanup(topology_freep) struct topology *topology = NULL;
		cleanup(freep) char *picture = NULL;

		assert_int_equal(topo_load(rows[i].machine, &topology, NULL), 0);
		picture = topology_picture(topology, rows[i].owners, rows[i].has_colour);
		if (strcmp(picture, rows[i].picture) != 0)
			fail_msg("%s:\n%s\nexpected\n%s", rows[i].why, picture, rows[i].picture);
	}
}

/* Every PU stands in the picture once, and no line is wider than a terminal. */
static void draws_large_machines(void **state)
{
	static const char *const names[] = { "synthetic:package:2 numa:2 l3:4 core:8 pu:2",
					     "synthetic:package:1 core:512 pu:8",
					     "synthetic:numa:256 core:8 pu:4" };

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(names); i++) {
		cleanup(topology_freep) struct topology *topology = NULL;
		cleanup(freep) char *picture = NULL;
		uint32_t n_pu = 0;
		size_t n_line = 0;

		assert_int_equal(topo_load(names[i], &topology, NULL), 0);
		picture = topology_picture(topology, &nobody, false);
		for (const char *at = picture; *at; at++) {
			bool begins = at > picture && (at[-1] == '[' || at[-1] == ',') &&
				      *at != ' ';

			n_pu += begins;
			n_line = *at == '\n' ? 0 : n_line + 1;
			if (n_line > 100)
				fail_msg("%s: a line of more than 100 columns", names[i]);
		}
		if (n_pu != topology->n_pu)
			fail_msg("%s: %u of %u PUs are drawn", names[i], n_pu, topology->n_pu);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(draws),
		cmocka_unit_test(draws_large_machines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
