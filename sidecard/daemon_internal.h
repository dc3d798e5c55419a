/* What the daemon's files share: daemon.c (life and configuration), daemon_round.c (one round:
 * snapshot, plan, apply), daemon_held.c (what places have), daemon_restore.c (what they had before
 * us), daemon_edition.c (what is published) and daemon_registry.c (registered children, and what a
 * next life needs to know). */
#pragma once

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "apply/apply.h"
#include "base/sys.h"
#include "daemon.h"
#include "daemon_regulate.h"
#include "edge/conf.h"
#include "edge/plugins.h"
#include "plan/plan_text.h"
#include "publish/publish.h"
#include "sense/cgroup_find.h"
#include "sense/world.h"

/* One value that we set. */
struct ours {
	struct cpuset cpus;
	struct nodeset mems;
};

/* A place that we have looked at or changed: what it has now, and what it had before us. Keyed as
 * the place is. */
struct held {
	struct place place;  /* owned copy */
	struct cpuset cpus;  /* what we last asked for and saw applied; empty: nothing yet */
	struct nodeset mems; /* the same for memory nodes; empty: left alone */
	char *original;	     /* what to give back; NULL: we have not looked, or there is nothing */
	/* Values that may stand there instead of @cpus: about to be written, or of a life that
	 * ended before it could read back. */
	struct ours *maybe;
	size_t n_maybe;
	char *failure;	  /* the last failure that was logged; NULL: it holds */
	bool is_verified; /* it was seen to hold since somebody may have written */
	bool seen;	  /* scratch: still a place in this round */
	bool leaves;	  /* scratch: gets its original back in this round */
};

struct restores {
	struct restore *items;
	size_t n_items;
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

/* What a workload's plugin was asked last. Generations are the workload's own. */
struct edition_ask {
	uint64_t token; /* of the question that is not answered yet; 0: none */
	uint64_t asked; /* the generation that it is about */
	uint64_t made;	/* the one that the environment belongs to; 0: none yet */
};

/* What is published: a plan and what belongs to each of its workloads. */
struct edition {
	struct plan *plan;     /* NULL before the first one */
	uint64_t *generations; /* n_workloads of the plan; all the following likewise */
	struct strings *environments, *arguments, *appended, *lines;
	struct edition_ask *asks;
};

struct daemon {
	const struct daemon_options *options;
	struct sys sys;
	sd_event *event;
	sd_bus *bus; /* NULL: none now */
	int runtime_dirfd;

	struct conf *conf;
	struct conf *retired_conf; /* what the edition still borrows from while a newer plan is
				      being applied */
	struct conf *next_conf;	   /* checked, waits for the applier to be idle */
	struct topology *topology;
	struct topo_loading *topology_loading; /* NULL: nobody looks at the machine now */
	bool topology_is_stale;		       /* it changed since */
	struct cgroup_mount mount;
	struct plugins *plugins;
	struct plugins *next_plugins; /* of next_conf */
	struct conf *learning_conf;   /* checked, waits for what its plugins say of themselves */
	struct plugins *learning_plugins;
	uint64_t n_asked; /* for tokens of questions to plugins */

	struct world *world;
	struct apply *apply;
	struct publish *publish;
	struct regulation *regulation;

	struct snapshot
		snapshot; /* of this instant; what it borrows lives in conf, topology and world */
	struct snapshot_workload *snapshot_workloads;
	struct cpuset allowed;

	struct planner *planner; /* NULL before the first round */
	struct edition edition;
	struct plan *pending; /* applied at this moment; becomes the edition's plan */
	uint64_t generation;
	struct publish_view view;
	bool *changed; /* scratch, n_workloads of conf */
	bool *untold;  /* the same: news that the journal does not have yet */

	struct held *helds;
	size_t n_helds;
	/* How often somebody may have written, in all and when the round under way began: what it
	 * read back may be older than that. */
	uint64_t n_forgets, n_forgets_begun;
	struct place own_unit;	  /* .unit NULL: we are no service */
	struct cpuset *held_cpus; /* scratch for plan_diff(): one per place */
	struct registration *registrations;
	size_t n_registrations;

	sd_event_source *ready_timer; /* the longest that PID 1 is waited for before we say READY */
	sd_event_source *settle_timer; /* collects a burst */
	sd_event_source *files_timer;  /* collects changes that env files and the journal get */
	sd_event_source *retry_timer;  /* after a place that did not hold; doubles */
	sd_event_source *lease_timer;
	sd_event_source *bus_timer; /* looks for the bus again; doubles */
	uint64_t bus_retry_us;
	bool bus_was_lost;
	bool bus_is_given; /* world and publish have it; false: it may not even listen yet */
	uint64_t retry_us;
	int listen_fd;	     /* handed over by the service manager; -1: none */
	int proc_events_fd;  /* the same, of the process connector; 0: none */
	bool sweep_waits;    /* it is not known yet who has left */
	bool conf_is_new;    /* no round has looked yet for places that it leaves to themselves */
	bool restore_failed; /* in the round under way */
	bool round_wanted;   /* something changed while the applier was busy */
	bool round_is_known; /* the round under way had every place that PID 1 can tell of */
	bool is_ready;	     /* the service manager was told */
	bool started;	     /* the first publication is out */
};

/* daemon.c */
/* (Re)starts a one-shot timer, made at its first use. 0 or -errno. */
int daemon_timer_arm(struct daemon *daemon, sd_event_source **timer, uint64_t delay_us,
		     sd_event_time_handler_t handler);
int daemon_index(const struct daemon *daemon, const char *workload); /* of conf; -1 */
int daemon_reload(struct daemon *daemon, struct fault_list *faults);
void daemon_adopt_next_conf(struct daemon *daemon);
/* The plugins of learning_conf are known. */
void daemon_learned(struct daemon *daemon);
void daemon_started(struct daemon *daemon);
void daemon_ready(struct daemon *daemon);
/* The same once nothing is missing: units that are ordered after us begin in their place only where
 * PID 1 has told of them and been told, and read their plugin's words where those are written. */
void daemon_ready_try(struct daemon *daemon);

/* daemon_round.c */
void round_want(struct daemon *daemon); /* soon, with what else comes within Settle= */
void round_want_in(struct daemon *daemon, uint64_t delay_us);
void round_begin(struct daemon *daemon); /* now */
void round_finished(void *userdata, const struct step *steps, const struct step_outcome *outcomes,
		    size_t n_steps);
int round_snapshot(struct daemon *daemon);

/* daemon_held.c */
void helds_done(struct daemon *daemon);
struct held *held_find(struct daemon *daemon, const struct place *place);
int held_add(struct daemon *daemon, const struct place *place, struct held **ret_held);
/* A value that is about to be written. 1: that is news, 0: known, -ENOMEM. */
int held_expect(struct held *held, const struct cpuset *cpus, const struct nodeset *mems);
/* It was read back. 0 or -ENOMEM. */
int held_confirm(struct held *held, const struct cpuset *cpus, const struct nodeset *mems);
void helds_forget(struct daemon *daemon);
void helds_settle(struct daemon *daemon);
void helds_drop(struct daemon *daemon, bool (*is_dropped)(const struct held *held));

/* daemon_procs.c */
void listen_take(struct daemon *daemon);
int procs_identify(void *userdata, pid_t pid, uint64_t start_time);
void procs_identified(void *userdata, pid_t pid, uint64_t start_time, const char *executable);
void procs_first_round(struct daemon *daemon);

/* daemon_restore.c */
void own_unit_open(struct daemon *daemon);
int own_unit_step(struct daemon *daemon, struct steps *steps);
/* Which places are still there, which are left to themselves, which are forgotten. */
void helds_sweep(struct daemon *daemon, const struct place *places, size_t n_places);
int restore_prepare(struct daemon *daemon, const struct steps *steps, bool **ret_looks,
		    struct restores *ret_restores);
void restores_done(struct restores *restores);
void restore_looked(void *userdata, const struct step *steps, const struct step_outcome *outcomes,
		    size_t n_steps);
void restore_done(void *userdata, const struct restore *restore, int error, const char *text);
/* True where all that were to leave have left. */
bool restore_finished(struct daemon *daemon);
void restore_all(struct daemon *daemon);

/* daemon_edition.c */
/* @plan holds (it was applied and read back, or moves nothing): everybody may know. Takes it over.
 */
void edition_publish(struct daemon *daemon, struct plan *plan);
/* A regulator below @limit asks for another number. */
void edition_advice_changed(struct daemon *daemon, uint32_t limit);
void edition_quota_changed(struct daemon *daemon, uint32_t limit);
void edition_places_changed(struct daemon *daemon);
void edition_files(struct daemon *daemon);	/* now, whatever is owed */
void edition_files_want(struct daemon *daemon); /* soon */
bool edition_is_current(const struct daemon *daemon);
void edition_done(struct edition *edition);

/* daemon_topology.c */
/* Blocks: for the start. */
int daemon_load_topology(struct daemon *daemon, struct fault *fault);
/* Looks at the machine again, in the background. */
void topology_want(struct daemon *daemon);

/* daemon_bus.c */
/* A connection, or the first of the attempts to get one. */
void bus_open_first(struct daemon *daemon);
/* The one for world and publish; NULL: none now. */
sd_bus *bus_of(const struct daemon *daemon);

/* daemon_plugins.c */
int plugins_start(struct daemon *daemon, struct plugins **ret_plugins);
/* Whoever is not served by its own plugin: a line each in the journal. */
void plugins_report(const struct plugins *plugins, const struct conf *conf,
		    struct fault_list *faults);
/* Answers for one workload's environment; see publish_handler.environment_wanted. */
int plugins_environment(void *userdata, size_t i);
/* True where no environment is still to come. */
bool plugins_are_done(const struct daemon *daemon);

/* daemon_registry.c */
int registry_register(void *userdata, const struct peer *peer, const char *workload,
		      uint64_t lease_us, struct fault *fault);
int registry_heartbeat(void *userdata, const struct peer *peer, struct fault *fault);
int registry_release(void *userdata, const struct peer *peer, struct fault *fault);
/* Answers who has registered, where nothing is being planned or applied any more. */
void registry_answer(struct daemon *daemon);
bool registry_has(struct daemon *daemon, pid_t pid, uint64_t start_time);
void registry_process_ended(void *userdata, uint32_t workload, pid_t pid, uint64_t start_time);
/* /run/sidecard/state.json: hints for a next life, written whole and atomically. Any content is
 * survived. */
int registry_save(struct daemon *daemon, struct fault *fault);
void registry_load(struct daemon *daemon);
void registry_done(struct daemon *daemon);
