/* hwloc's view of a machine, flattened; hwloc stays in topo_read.c, which runs in the probe only.
 */
#pragma once

#include "base/err.h"
#include "model/topology.h"

/* Clears the environment and sets what steers hwloc. Call it first, before any other call into
 * hwloc: HWLOC_* of whoever started us could make it load plugins or another machine. 0 or -errno.
 */
int topo_read_init(struct fault *fault);

/* @machine as in topo_load(). The answer has pus[], nodes[] and, where the machine tells them,
 * distances[]; nothing is derived yet (topology_finish). 0, -EINVAL, -ERANGE (more than
 * TOPOLOGY_N_PU_MAX PUs or TOPOLOGY_N_NODE_MAX nodes, or a number beyond them) or another -errno.
 */
int topo_read(const char *machine, struct topology **ret_topology, struct fault *fault);

/* The machine as hwloc XML, malloc'ed. @colours: lines "PU_OS #rrggbb NAME", at most one a PU; PUs,
 * and cores whose PUs are all NAME's, carry that colour for lstopo. NULL: none. 0 or -errno. */
int topo_read_xml(const char *machine, const char *colours, char **ret_xml, struct fault *fault);

/* The rest is for topo_read.c and needs no hwloc (topo_source.c). */

/* Refuses synthetic descriptions with more PUs or nodes than we can hold, or not in hwloc's format,
 * before hwloc allocates for them: it has no bound of its own. 0, -EINVAL, -ERANGE. */
int topo_check_synthetic(const char *description, struct fault *fault);

/* Reads a machine's XML whole: a regular file of at most 32 MiB without NUL bytes. Never waits. The
 * text is malloc'ed. 0, -EINVAL, -EFBIG or another -errno. */
int topo_read_xml_file(const char *path, char **ret_text, struct fault *fault);
