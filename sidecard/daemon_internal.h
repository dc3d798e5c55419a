/* What the daemon's three files share: daemon.c (life and configuration), daemon_round.c (one
 * round: snapshot, plan, apply, publish) and daemon_registry.c (registered children, and what a
 * next life needs to know). */
#pragma once

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "apply/apply.h"
#include "base/sys.h"
#include "daemon.h"
#include "edge/conf.h"
#include "edge/plugin.h"
#include "plan/plan_text.h"
#include "publish/publish.h"
#include "sense/cgroup_find.h"
#include "sense/world.h"

/* A place that we have looked at or changed: what it has now, and what it had before us. Keyed as
 * the place is. */
struct held {
	struct place place;  /* owned copy */
	struct cpuset cpus;  /* what we last asked for and saw applied; empty: nothing yet */
	struct nodeset mems; /* the same for memory nodes; empty: left alone */
	char *original;	     /* what to give back; NULL: we changed nothing */
	char *failure;	     /* the last failure that was logged; NULL: it holds */
	bool is_verified;    /* it was seen to hold since somebody may have written */
	bool seen;	     /* scratch: still a place in this round */
};

struct registration {
	char *workload;
	pid_t pid;
	uint64_t start_time;
	uint32_t uid;
	uint64_t lease_us; /* 0: as long as the process lives */
	uint64_t
		deadline_us; /* of the next heartbeat, by sys->now_us; UINT64_MAX without a lease */
};

/* What is published: a plan and what belongs to each of its workloads. */
struct edition {
	struct plan *plan;	      /* NULL before the first one */
	uint64_t *generations;	      /* n_workloads of the plan */
	struct strings *environments; /* the same */
};

struct daemon {
	const struct daemon_options *options;
	struct sys sys;
	sd_event *event;
	sd_bus *bus; /* NULL: none */
	int runtime_dirfd;

	struct conf *conf;
	struct conf *retired_conf; /* what the edition still borrows from while a newer plan is
				      being applied */
	struct conf *next_conf;	   /* checked, waits for the applier to be idle */
	struct topology *topology;
	struct cgroup_mount mount;
	struct plugin **plugins; /* n_workloads of conf; NULL where one could not be loaded */

	struct world *world;
	struct apply *apply;
	struct publish *publish;

	struct snapshot
		snapshot; /* of this instant; what it borrows lives in conf, topology and world */
	struct snapshot_workload *snapshot_workloads;
	struct cpuset allowed;

	struct edition edition;
	struct plan *pending; /* applied at this moment; becomes the edition's plan */
	uint64_t generation;
	struct publish_view view;
	bool *changed; /* scratch, n_workloads of conf */

	struct held *helds;
	size_t n_helds;
	struct cpuset *held_cpus; /* scratch for plan_diff(): one per place */
	struct registration *registrations;
	size_t n_registrations;

	sd_event_source *ready_timer; /* the longest that PID 1 is waited for before we say READY */
	sd_event_source *settle_timer; /* collects a burst */
	sd_event_source *retry_timer;  /* after a place that did not hold; doubles */
	sd_event_source *lease_timer;
	uint64_t retry_us;
	bool round_wanted;   /* something changed while the applier was busy */
	bool round_is_known; /* the round under way had every place that PID 1 can tell of */
	bool is_ready;	     /* the service manager was told */
	bool started;	     /* the first publication is out */
};

/* daemon.c */
int daemon_index(const struct daemon *daemon, const char *workload); /* of conf; -1 */
int daemon_reload(struct daemon *daemon, struct fault_list *faults);
void daemon_adopt_next_conf(struct daemon *daemon);
int daemon_load_topology(struct daemon *daemon, struct fault *fault);
void daemon_started(struct daemon *daemon);
void daemon_ready(struct daemon *daemon);

/* daemon_round.c */
void round_want(struct daemon *daemon);	 /* soon, with what else comes within Settle= */
void round_begin(struct daemon *daemon); /* now */
void round_quota_changed(struct daemon *daemon, uint32_t limit);
void round_places_changed(struct daemon *daemon);
void round_finished(void *userdata, const struct step *steps, const struct step_outcome *outcomes,
		    size_t n_steps);
void round_forget_held(struct daemon *daemon);
int round_snapshot(struct daemon *daemon);
void round_environments(void *userdata);
void round_restore(struct daemon *daemon);
void edition_done(struct edition *edition);
void helds_done(struct daemon *daemon);
struct held *held_find(struct daemon *daemon, const struct place *place);
int held_add(struct daemon *daemon, const struct place *place, struct held **ret_held);

/* daemon_registry.c */
int registry_register(void *userdata, const struct peer *peer, const char *workload,
		      uint64_t lease_us, struct fault *fault);
int registry_heartbeat(void *userdata, const struct peer *peer, struct fault *fault);
int registry_release(void *userdata, const struct peer *peer, struct fault *fault);
void registry_process_ended(void *userdata, uint32_t workload, pid_t pid, uint64_t start_time);
/* /run/sidecard/state.json: hints for a next life, written whole and atomically. Any content is
 * survived. */
int registry_save(struct daemon *daemon, struct fault *fault);
void registry_load(struct daemon *daemon);
void registry_done(struct daemon *daemon);
