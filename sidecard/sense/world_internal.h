/* The insides of struct world, shared by the files world*.c alone.
 *
 * Events mark what is to be looked at (enum dirty) and ask for one settling round, which reads it,
 * builds the views anew and reports once. Only a quota is read and reported straight from the
 * event. What the views point into lives until the next views replace them: a removed node waits in
 * the list of the dead. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sense/match.h"
#include "sense/unit_read.h"
#include "sense/watch.h"
#include "sense/world.h"

/* PATH_MAX of Linux; /proc/PID/cgroup shows nothing longer. */
#define CGROUP_PATH_SIZE 4096

enum dirty {
	DIRTY_RESCAN = 1 << 0,	  /* events were lost: everything */
	DIRTY_NODES = 1 << 1,	  /* nodes whose `stale` is set */
	DIRTY_PLACES = 1 << 2,	  /* places or limits may differ */
	DIRTY_CPUSETS = 1 << 3,	  /* effective sets may differ */
	DIRTY_PROCESSES = 1 << 4, /* processes may have come that nobody told us of */
	DIRTY_MOVED = 1 << 5,	  /* processes may be in other cgroups */
};

enum stale {
	STALE_QUOTA = 1 << 0, /* cpu.max: another file by this name, or it could not be read */
	STALE_WEIGHT = 1 << 1,
	STALE_CHILDREN =
		1 << 2, /* subtree_control was written: files of the children came or went */
};

/* One cgroup directory. It is there because it is (or contains) a place, or because one may appear
 * in it. */
struct node {
	struct node *parent;	/* NULL: the root we see */
	struct node **children; /* sorted by name */
	uint32_t n_children, n_children_max;
	char *path;	  /* "/a/b" */
	const char *name; /* its last component */
	uint64_t inode;
	int dir_fd;	     /* -1: expected only: PID 1 says it will be there once its unit runs */
	int max_fd;	     /* cpu.max, kept for limits; -1 where there is none */
	int watch;	     /* 0: none */
	uint32_t limit;	     /* index into limits[] */
	uint32_t next_limit; /* the same while new views are built */
	uint32_t quota_mcpu; /* valid for limits */
	uint32_t weight;
	uint32_t claim; /* the workload whose place it is; PLACE_NOBODY */
	uint32_t n_processes;
	struct cpuset effective;
	struct node *next_dead;
	unsigned stale;		/* enum stale */
	bool is_unit;		/* a unit's own cgroup, by its place in the tree */
	bool scan;		/* something that a workload names may appear in it */
	bool look;		/* a workload looks for processes in it */
	bool confined;		/* a place of PLACE_NOBODY */
	bool confine_scan;	/* its children are confined one by one */
	bool holds;		/* it or something below belongs to a workload */
	bool is_limit;		/* cpu.max is kept open */
	bool needed;		/* while views are built */
	bool is_fresh;		/* during a rescan: it was read in the same pass already */
	bool effective_is_read; /* @effective is current; empty: the file is not there */
};

struct process {
	struct world *world;
	pid_t pid;
	uint64_t start_time;
	uint32_t workload;
	bool registered;
	char *workload_name; /* registered: found again by name when the configuration changes */
	struct node *node;   /* deepest cgroup we see that it is in; NULL: not known */
	char *cgroup;
	char *executable; /* where somebody had to be asked for it, else NULL */
	int pidfd;
	sd_event_source *source;
	struct process *next_ended;
};

/* A plain Unit= or Cgroup= by text, so that ten thousand workloads need no ten thousand comparisons
 * per directory. */
struct plain_key {
	const char *text;
	uint32_t workload;
};

struct plain_keys {
	struct plain_key *items; /* sorted by text, then workload */
	size_t n_items;
};

struct bound {
	size_t first_place, n_places;
	struct cpuset cpus; /* empty: none */
	char *path;
};

/* What others see; replaced as a whole. */
struct views {
	struct limit *limits;
	struct node **limit_nodes;
	size_t n_limits;
	struct place *places;
	struct node **place_nodes; /* NULL where not known */
	size_t n_places;
	struct bound *bounds; /* n_bounds: one a workload */
	size_t n_bounds;
};

#define N_NOTICES_MAX 256u

struct world {
	const struct sys *sys;
	sd_event *event;
	struct world_options options;
	struct world_listener listener;

	struct watch watch;
	struct node *root; /* NULL: no cgroups at all */
	struct node *dead;
	struct views views;
	struct cpuset allowed;

	const struct workload *const *workloads;
	size_t n_workloads;
	struct plain_keys plain_units, plain_cgroups;
	struct plain_keys asked_units; /* what PID 1 is asked for, in the order of workloads */
	uint32_t *others;	       /* workloads that the plain keys do not cover */
	size_t n_others;
	uint32_t *seekers; /* workloads that match processes */
	size_t n_seekers;
	unsigned process_wants; /* of all of them */
	bool confine;

	struct units *units;
	struct process **processes; /* sorted by pid */
	size_t n_processes;
	struct process *ended; /* not told of yet */
	bool connector_works;
	bool every_seeker_has_executable; /* so one readlink rules most processes out */
	uint64_t look_again_us; /* interval of the timer where the connector does not work */
	uint64_t looked_us;	/* when all processes were looked at last */

	sd_event_source *watch_source, *settle_source, *uevent_source, *connector_source,
		*timer_source;
	int uevent_fd, connector_fd;
	size_t n_unidentified; /* executables that were asked for */
	unsigned n_reads;      /* of events since the last settling round */
	unsigned dirty;	       /* enum dirty */
	unsigned changes;      /* enum world_change, not reported yet */
	bool quiet;	       /* the caller will look at everything anyway */
	bool reloaded;
	uint64_t noticed[N_NOTICES_MAX]; /* hashes of texts */
	unsigned n_noticed;
};

/* world.c */
void world_notice(struct world *world, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void world_mark(struct world *world, unsigned dirty);
/* Brings the views up to date now. 0 or -ENOMEM, with everything still marked. */
int world_settle(struct world *world);

/* world_tree.c */
int tree_open(struct world *world, const char *path, struct fault *fault);
void tree_free(struct world *world);
struct node *tree_child(const struct node *parent, const char *name);
/* Looks whether the directory @name of @parent is there, is still the same, and is one for us;
 * makes the tree agree. 0 or -ENOMEM. */
int tree_check(struct world *world, struct node *parent, const char *name);
/* Checks every child, known or not. */
int tree_scan(struct world *world, struct node *node);
/* Everything below @node again, with quota and weight. */
int tree_rescan(struct world *world, struct node *node);
void tree_remove(struct world *world, struct node *node);
void tree_bury(struct world *world); /* frees the dead */
/* The deepest directory on @path that is there, opened where it was not known; NULL without a tree.
 * 0 or -ENOMEM. */
int tree_ensure(struct world *world, const char *path, struct node **ret_node);
/* The node of @path, as one that is expected where there is no such directory. 0, -EINVAL or
 * -ENOMEM. */
int tree_expect(struct world *world, const char *path, struct node **ret_node);
struct node *tree_find(const struct world *world, const char *path);
/* In order: a parent before its children, those by name. */
struct node *tree_next(const struct node *node);
/* The next one that is not below @node. */
struct node *tree_next_beside(const struct node *node);

/* world_level.c: one node as a limit */
void level_open(struct world *world, struct node *node);
void level_close(struct world *world, struct node *node);
/* Reads cpu.max on the kept descriptor and reports a difference at once. The hot path. */
void level_read_quota(struct world *world, struct node *node);
void level_refresh(struct world *world, struct node *node);
/* What PID 1 states for a node that is expected only. */
void level_expect(struct world *world, struct node *node, uint32_t quota_mcpu, uint32_t weight);
const struct cpuset *level_effective(struct world *world, struct node *node);

/* world_index.c */
struct verdict {
	uint32_t claim; /* PLACE_NOBODY */
	bool scan, look;
};
int index_build(struct world *world);
void index_done(struct world *world);
/* What the workloads say of the directory @path. */
struct verdict index_judge(struct world *world, const char *path);

/* world_events.c */
int events_open(struct world *world, struct fault *fault);
void events_close(struct world *world);

/* world_procs.c: the table of processes. world_seek.c: how they are found */
int process_add(struct world *world, const struct process *process);
struct process *process_find(const struct world *world, pid_t pid);
/* Out of the table, freed, told to nobody. */
void process_drop(struct world *world, struct process *process);
/* Finds the node of process->cgroup. 0 or -ENOMEM. */
int process_place(struct world *world, struct process *process);
int procs_settle(struct world *world);
void procs_close(struct world *world);
void procs_forget_node(struct world *world, const struct node *node);
/* The workloads are others now. */
void procs_configure(struct world *world);
int seek_settle(struct world *world);
void seek_configure(struct world *world);
/* seek_check() of a process whose executable is known: from an answer; "" where nobody can tell. */
int seek_check_as(struct world *world, pid_t pid, const char *executable);
void seek_close(struct world *world);
/* Does a workload match this process now? Makes the table agree. 0 or -ENOMEM. */
int seek_check(struct world *world, pid_t pid);
/* Something of ours ended: what replaces it comes soon. */
void seek_hurry(struct world *world);
/* Tells of registered processes that ended and frees all ended ones. */
void procs_report_ended(struct world *world);

/* world_views.c */
int views_build(struct world *world);
void views_done(struct views *views);
/* Effective sets that bound workloads, and what is allowed at all. */
int views_bounds(struct world *world);

/* world_units.c */
int units_configure(struct world *world);
int units_expect(struct world *world);
int confine_mark(struct world *world);
