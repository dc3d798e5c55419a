/* Real machines, as captured for the test suite of hwloc: unpacks each, loads it through the probe
 * and compares with what is known of it, and with what its own kernel said; then plans several sets
 * of workloads on it. Skips (77) where the captures are not there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "machines/machine_plans.h"
#include "sense/topo_load.h"

#define EXIT_SKIPPED 77

struct machine {
	const char *why, *archive;
	/* PUs, cores, L3 (or what stands in for it), packages, nodes, of these memory-only, ranks
	 */
	const char *counts;
	const char *cpus, *mems;
};

/* Counted with lstopo on the same files; cpus and mems by hand from their sysfs. */
/* clang-format off */
static const struct machine machines[] = {
	{ "clusters inside an L3, a node for each L3", "128arm-2pa2n8cluster4co",
	  "128 128 4 2 4 0 1", "0-127", "0-3" },
	{ "cpusets hide all but a few, and PU 4 is offline", "16amd64-8n2c-cpusets",
	  "15 15 8 8 8 0 1", "0-3,5-15", "0-7" },
	{ "offline PUs cut through cores", "16em64t-4s2c2t-offlines",
	  "12 7 4 4 1 0 1", "0-1,3-4,6-12,15", "0" },
	{ "two kinds of cores, told by frequency alone", "20em64t-hybrid-1p6c2t+2ca4co1t",
	  "20 14 1 1 1 0 2", "0-19", "0" },
	{ "eight packages of one core in a node, gaps in node numbers", "256ppc-8n8s4t",
	  "256 64 64 64 8 0 1", "0-255", "0-1,4-5,8-9,12-13" },
	{ "no cache and no NUMA known", "2arm-2c",
	  "2 2 1 1 1 0 1", "0-1", "0" },
	{ "a cgroup v2 cpuset", "32amd64-4s2n4c-cgroup2",
	  "32 32 8 4 8 0 1", "0-31", "0-7" },
	{ "PU numbers go around the packages", "40intel64-2g2n4c+pcilocality",
	  "40 40 4 4 4 0 1", "0-39", "0-3" },
	{ "node numbers with gaps", "48amd64-4pa2n6c-sparse",
	  "48 48 8 4 8 0 1", "0-47", "0-2,33-34,45,72-73" },
	{ "two cores share an L2", "64amd64-4s2n4ca2co",
	  "64 64 8 4 8 0 1", "0-63", "0-7" },
	{ "eight nodes claim all PUs: no NUMA", "8em64t-2s2ca2c-buggynuma",
	  "8 8 2 2 1 0 1", "0-7", "0" },
	{ "nodes larger than packages", "96em64t-4no4pa3ca2co",
	  "96 96 16 16 4 0 1", "0-95", "0-3" },
	{ "HBM and persistent memory beside DRAM", "fakeheteromemtiers",
	  "6 6 1 1 7 4 1", "0-5", "0-2,4,6,8-9" },
	{ "PU numbers with a gap; nodes of GPUs are nobody's", "nvidiagpunumanodes",
	  "32 8 4 2 2 0 1", "0-15,88-103", "0,8" },
};
/* clang-format on */

/* Where the archives are, and where one is unpacked; set in main(). */
static const char *archives;
static char scratch[64];

static void run(const char *program, const char *const *arguments)
{
	const struct helper_call call = { program, arguments, -1, 60000, 1 << 20 };
	cleanup(freep) char *answer = NULL;
	struct fault fault = { 0 };

	if (helper_run(&call, &answer, &fault) < 0)
		fail_msg("%s: %s", program, fault.text);
}

static void unpack(const struct machine *machine, const char *directory)
{
	cleanup(freep) char *archive = NULL;
	const char *const make[] = { directory, NULL };

	assert_true(asprintf(&archive, "%s/%s.tar.bz2", archives, machine->archive) > 0);
	run("/bin/mkdir", make);
	/* left out: thousands of files that no topology is read from */
	run("/bin/tar",
	    (const char *const[]){ "-xjf", archive, "-C", directory, "--strip-components=1",
				   "--exclude=node[0-9]*/memory[0-9]*",
				   "--exclude=sys/devices/pci*", NULL });
}

static uint32_t n_ranks(const struct topology *topology)
{
	uint32_t highest = 0;

	for (uint32_t i = 0; i < topology->n_pu; i++)
		if (topology->pus[i].efficiency_rank > highest)
			highest = topology->pus[i].efficiency_rank;
	return highest + 1;
}

static void check_counts(const struct machine *machine, const struct topology *topology)
{
	cleanup(freep) char *counts = NULL, *cpus = cpuset_format(&topology->cpus);
	cleanup(freep) char *mems = nodeset_format(&topology->mems);
	uint32_t n_memory_only = 0;

	for (uint32_t i = 0; i < topology->n_node; i++)
		n_memory_only += topology->nodes[i].n_pu == 0;
	assert_true(asprintf(&counts, "%u %u %u %u %u %u %u", topology->n_pu, topology->n_core,
			     topology->n_l3, topology->n_package, topology->n_node, n_memory_only,
			     n_ranks(topology)) > 0);
	if (strcmp(counts, machine->counts) != 0)
		fail_msg("%s (%s): counts %s, expected %s", machine->archive, machine->why, counts,
			 machine->counts);
	if (strcmp(cpus, machine->cpus) != 0 || strcmp(mems, machine->mems) != 0)
		fail_msg("%s (%s): PUs %s, nodes %s, expected %s and %s", machine->archive,
			 machine->why, cpus, mems, machine->cpus, machine->mems);
}

/* PUs of one core are neighbours and agree on all else; indices count up in the order of the
 * machine. */
static void check_order(const struct machine *machine, const struct topology *topology)
{
	uint32_t n_core = 0, n_package = 0;

	for (uint32_t i = 0; i < topology->n_pu; i++) {
		const struct topo_pu *pu = &topology->pus[i], *last = i > 0 ? pu - 1 : NULL;

		if (last && pu->core == last->core &&
		    (pu->l2 != last->l2 || pu->l3 != last->l3 || pu->die != last->die ||
		     pu->package != last->package || pu->node != last->node ||
		     pu->pu_os <= last->pu_os))
			fail_msg("%s: core %u is torn at PU %u", machine->archive, pu->core,
				 pu->pu_os);
		if (!last || pu->core != last->core) {
			if (pu->core != n_core++)
				fail_msg("%s: core %u out of order", machine->archive, pu->core);
		}
		if (!last || pu->package != last->package) {
			if (pu->package != n_package++)
				fail_msg("%s: package %u out of order", machine->archive,
					 pu->package);
		}
	}
}

static char *read_line(const char *format, const char *directory, uint32_t number)
	__attribute__((format(printf, 1, 0)));

static char *read_line(const char *format, const char *directory, uint32_t number)
{
	cleanup(freep) char *path = NULL;
	cleanup(fclosep) FILE *file = NULL;
	char *line = NULL;
	size_t n_line = 0;

	assert_true(asprintf(&path, format, directory, number) > 0);
	file = fopen(path, "re");
	if (file && getline(&line, &n_line, file) > 0)
		return line;
	free(line);
	return NULL;
}

/* The kernel counts each PU to one node, in cpulist; captures of old kernels have none, some are
 * empty, and one machine is known to lie. */
static void check_against_kernel(const struct machine *machine, const struct topology *topology,
				 const char *directory)
{
	for (uint32_t i = 0; i < topology->n_node; i++) {
		uint32_t node_os = topology->nodes[i].node_os;
		cleanup(freep) char *line = read_line("%s/sys/devices/system/node/node%u/cpulist",
						      directory, node_os);
		cleanup(cpuset_done) struct cpuset cpus = { 0 };

		if (!line || cpuset_parse(line, &cpus) < 0 || cpuset_is_empty(&cpus))
			continue;
		cpuset_intersect(&cpus, &topology->cpus);
		if (cpuset_count(&cpus) != topology->nodes[i].n_pu)
			fail_msg("%s: node %u has %u PUs, its kernel says %s", machine->archive,
				 node_os, topology->nodes[i].n_pu, line);
		cpuset_foreach (pu_os, &cpus)
			assert_int_equal(topology->pus[topology_pu_idx(topology, pu_os)].node, i);
	}
}

static void loads_as_known(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(machines); i++) {
		cleanup(topology_freep) struct topology *topology = NULL;
		cleanup(freep) char *directory = NULL;
		struct fault fault = { 0 };

		assert_true(asprintf(&directory, "%s/%zu", scratch, i) > 0);
		unpack(&machines[i], directory);
		if (topo_load(directory, &topology, &fault) < 0)
			fail_msg("%s (%s): %s", machines[i].archive, machines[i].why, fault.text);
		check_counts(&machines[i], topology);
		check_order(&machines[i], topology);
		check_against_kernel(&machines[i], topology, directory);
		machine_plans_check(machines[i].archive, topology);
		run("/bin/rm", (const char *const[]){ "-rf", directory, NULL });
	}
}

/* A machine that came to the folder needs its row. */
static void knows_every_archive(void **state)
{
	cleanup(closedirp) DIR *dir = opendir(archives);
	struct dirent *entry;

	(void)state;
	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		const char *dot = strstr(entry->d_name, ".tar.bz2");
		size_t i = 0;

		if (!dot)
			continue;
		while (i < N_ELEMENTS(machines) &&
		       (strlen(machines[i].archive) != (size_t)(dot - entry->d_name) ||
			strncmp(machines[i].archive, entry->d_name,
				(size_t)(dot - entry->d_name)) != 0))
			i++;
		if (i == N_ELEMENTS(machines))
			fail_msg("nothing is known of %s", entry->d_name);
	}
}

static int make_scratch(void **state)
{
	/* Tens of thousands of files are made and removed: in memory, where there is room for it.
	 */
	const char *in = access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp";

	(void)state;
	snprintf(scratch, sizeof(scratch), "%s/sidecard-machines-XXXXXX", in);
	return mkdtemp(scratch) ? 0 : -1;
}

static int remove_scratch(void **state)
{
	(void)state;
	run("/bin/rm", (const char *const[]){ "-rf", scratch, NULL });
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_every_archive),
		cmocka_unit_test(loads_as_known),
	};
	const char *data = getenv("SIDECARD_DATA");
	cleanup(freep) char *path = NULL;

	if (asprintf(&path, "%s/machines", data ? data : SIDECARD_DATA_DEFAULT) < 0)
		return 1;
	if (access(path, R_OK | X_OK) < 0) {
		printf("skipped: no captured machines at '%s'; SIDECARD_DATA names their folder\n",
		       path);
		return EXIT_SKIPPED;
	}
	archives = path;
	return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
