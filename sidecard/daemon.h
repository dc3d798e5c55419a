/* The one long-lived object: event loop, timers, order of the stages. The only place that knows
 * sense, apply and publish, and the only one that turns a fault into a log line. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

struct daemon_options {
	const char *conf_dir;	 /* NULL: as systemd searches */
	const char *runtime_dir; /* "/run/sidecard" */
	const char *cgroup_root; /* NULL: where cgroup v2 is mounted */
	const char *machine;	 /* "live", or what topo_load() takes */
	const char *plugin_dir;	 /* NULL: the one it was built for */
	int log_level;		 /* -1: as configured */
	bool use_bus;
	const char *bus_address; /* NULL: the system bus */
	bool dry_run;
	int applier_fd;	  /* our end of the applier's socketpair; -1: none (dry run) */
	int n_files_most; /* descriptors that we may have; 0: not known */
};

/* Runs until SIGTERM or SIGINT. 0, or -errno with @fault where it could not begin. */
int daemon_run(const struct daemon_options *options, struct fault *fault);
