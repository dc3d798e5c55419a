/* Asks the probe (sidecard-probe, a process of its own with limits and a deadline) for a machine and reads its answer: hwloc, which
 * reads files from outside, never runs in the process that asks. */
#pragma once

#include "base/err.h"
#include "model/topology.h"

#define TOPO_LOAD_DEADLINE_MS 5000

/* @machine: "live"; "synthetic:STRING" (hwloc's synthetic format, at most CPUSET_MAX PUs); a file ending in .xml; a directory: a captured
 * machine, ours (`sidecarctl capture`: topology.xml inside) or a root with sys/ and proc/ as hwloc's own test suite captures them.
 * Missing or malformed is an error, never the real machine. Blocks up to the deadline. 0 or -errno (-ETIMEDOUT) with @fault. */
int topo_load(const char *machine, struct topology **ret_topology, struct fault *fault);

/* The probe's file: beside the running program, else the libexec directory it was built for. malloc'ed or NULL. Also for "sidecard-apply". */
char *helper_path(const char *name);
