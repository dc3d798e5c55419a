/* INI → checked configuration. All or nothing, with every fault of every file; inih stays in
 * conf.c. */
#pragma once

#include "base/err.h"
#include "model/snapshot.h"

struct conf {
	/* [Daemon] */
	bool dry_run;
	bool restore_on_stop;
	int log_level;	    /* syslog level, LOG_INFO by default */
	uint64_t settle_us; /* how long a burst of changes is collected before a new plan; quotas
			       are never held back */
	/* [Partition] */
	struct housekeeping housekeeping;
	bool confine_system;
	/* [Regulator] */
	bool regulators_enabled;
	/* [Planner] */
	uint64_t deadline_us; /* how long a search may take */

	struct pool **pools; /* sorted by name; "default" always there */
	size_t n_pools;
	struct workload **workloads; /* sorted by name */
	size_t n_workloads;

	/* conf.c's own: where keys were written that the machine may contradict. */
	struct conf_mark *marks;
	size_t n_marks;
	char *source; /* sidecard.conf; NULL where there is none */
	struct strings drop_ins;
};

/* Every key at its default, pool "default", no workload; NULL where memory is short. */
struct conf *conf_default(void);

/* @directory: holds sidecard.conf, sidecard.conf.d/, pools.d/, workloads.d/ (each optional); NULL:
 * /usr/lib/sidecard, /etc/sidecard and /run/sidecard as systemd searches (/etc over /run over
 * /usr/lib; a file of the same name higher up masks, an empty one or a link to /dev/null removes;
 * NAME.conf.d/ drop-ins add).
 * @offline: [CPU] Quota= is accepted. 0, or -EINVAL with all faults in @faults ("file:line:
 * [section] key: text"), or -ENOMEM; @ret_conf untouched on failure. */
int conf_load(const char *directory, bool offline, struct conf **ret_conf,
	      struct fault_list *faults);

/* Checks that need the machine: PUs and nodes that do not exist, minimums above what there is, PUs
 * of two pools. 0, -EINVAL with @faults, or -ENOMEM. */
int conf_check_machine(const struct conf *conf, const struct topology *topology,
		       struct fault_list *faults);

struct conf *conf_free(struct conf *conf);
void conf_freep(struct conf **conf);

/* Every key with its default and help as a commented sample: --print-config and conf/sidecard.conf
 * come from these rows. @which: "sidecard", "workload", "pool". malloc'ed. */
char *conf_sample(const char *which);
