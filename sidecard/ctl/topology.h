/* A machine for people, for programs and for lstopo, with the owner of each PU where one is known.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "model/topology.h"

/* Who holds a PU. The name is a workload's (name_is_valid) and lives as long as the call; NULL:
 * nobody. A struct of zeros knows of no owners. */
struct topology_owners {
	const void *userdata;
	const char *(*owner_of)(const void *userdata, uint32_t pu_os);
};

/* A line for each L3 (for each kind of core in it), cores as groups of PU numbers: "[0,8] [1,9]a",
 * with a letter for each owner and a list of them at the end. @has_colour: for a terminal.
 * malloc'ed; NULL where memory is short. */
char *topology_picture(const struct topology *topology, const struct topology_owners *owners,
		       bool has_colour);

/* {"n_pu","n_core","n_l3","n_package","n_numa","pus":"0-15"} as in a plan's "machine", and arrays
 * "pu" and "node" with an object each; an owner that there is not is null. NULL where memory is
 * short. */
json_t *topology_json(const struct topology *topology, const struct topology_owners *owners);

/* hwloc XML of @machine (as topo_load() takes it); PUs and whole cores that have an owner carry a
 * colour of his own for lstopo. @topology: the same machine, loaded. malloc'ed. 0 or -errno. */
int topology_xml(const char *machine, const struct topology *topology,
		 const struct topology_owners *owners, char **ret_xml, struct fault *fault);

/* The owners that there are, in the order of the machine. */
struct owner_table {
	const char **names; /* n_names; borrowed */
	size_t n_names;
	uint32_t *owner; /* for each dense PU index: index into names[], or TOPOLOGY_NONE */
};

/* 0 or -ENOMEM. */
int owner_table_make(const struct topology *topology, const struct topology_owners *owners,
		     struct owner_table *ret_table);
void owner_table_done(struct owner_table *table);
