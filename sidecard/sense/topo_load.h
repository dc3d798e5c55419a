/* Asks the probe (sidecard-probe, a process of its own with limits and a deadline) for a machine
 * and reads its answer: hwloc, which reads files from outside, never runs in the process that asks.
 */
#pragma once

#include <systemd/sd-event.h>

#include "base/err.h"
#include "model/topology.h"

#define TOPO_LOAD_DEADLINE_MS 5000

/* @machine: "live"; "synthetic:STRING" (hwloc's synthetic format, at most CPUSET_MAX PUs); a file
 * ending in .xml; a directory: a captured machine, ours (`sidecarctl capture`: topology.xml inside)
 * or a root with sys/ and proc/ as hwloc's own test suite captures them. Missing or malformed is an
 * error, never the real machine. Blocks up to the deadline. 0 or -errno (-ETIMEDOUT) with @fault.
 */
int topo_load(const char *machine, struct topology **ret_topology, struct fault *fault);

struct topo_listener {
	void *userdata;
	/* Takes over @topology; NULL: @fault says why there is none. To be followed by
	 * topo_loading_free(), from within too. */
	void (*loaded)(void *userdata, struct topology *topology, const struct fault *fault);
};

/* The same without blocking: the answer comes from @event. */
struct topo_loading;
int topo_load_begin(const char *machine, sd_event *event, const struct topo_listener *listener,
		    struct topo_loading **ret_loading, struct fault *fault);
/* Ends the probe where it still runs; then loaded() is not called. */
struct topo_loading *topo_loading_free(struct topo_loading *loading);

/* The probe's file: beside the running program, else the libexec directory it was built for.
 * malloc'ed or NULL. Also for "sidecard-apply". */
char *helper_path(const char *name);

/* Asks sidecard-probe; @arguments: its arguments, ended by NULL; @input_fd: its standard input, -1:
 * /dev/null. The answer is malloc'ed text. 0, -ETIMEDOUT, -EINVAL (what it said it did not like, in
 * @fault), -EIO (it crashed or ran into its limits), -EMSGSIZE (answer too long) or -errno. */
int probe_ask(const char *const *arguments, int input_fd, char **ret_answer, struct fault *fault);

struct helper_call {
	const char *path;
	const char *const *arguments; /* without the program's own name; ended by NULL */
	int input_fd;		      /* -1: /dev/null */
	unsigned deadline_ms;
	size_t n_answer_max; /* bytes */
};

/* Runs a program with an empty environment, no signal blocked or ignored and no descriptor but the
 * three; collects what it prints; ends it at the deadline and reaps it in any case. Its exit code 0
 * is success; its first line on standard error is the fault. Returns as probe_ask(). */
int helper_run(const struct helper_call *call, char **ret_answer, struct fault *fault);
