/* The planner's desk: the machine cut into domains and arranged node → L3 → core → PU, what each
 * workload wants, and who has what so far. Private to plan/.
 *
 * A domain is the PUs of one pool that names PUs or nodes, or those of all pools that name none.
 * Workloads of different domains never compete, so each domain is planned on its own. Every level
 * keeps counts of what is free in it, so that choosing looks at nodes, then at L3 groups, then at
 * cores, and never at all PUs. All is membership: a core is whole where every PU that the machine
 * has online in it is free and in this domain. */
#pragma once

#include "plan/plan.h"
#include "plan/plan_arena.h"
#include "plan/plan_fill.h"
#include "plan/plan_sort.h"

#define GRID_NONE UINT32_MAX

/* Who has a PU; below these: an index of a workload in the snapshot. */
#define OWNER_NOBODY	   UINT32_MAX
#define OWNER_HOUSEKEEPING (UINT32_MAX - 1)
#define OWNER_RESERVED	   (UINT32_MAX - 2) /* kept for workloads that are not exclusive */
#define OWNER_IDLE	   (UINT32_MAX - 3) /* sibling of a PU of Smt=one-per-core: nobody may use it */

/* What is free somewhere. */
struct room {
	uint32_t n_free;
	uint32_t n_whole_core, n_whole_pu; /* cores that are whole, and their PUs */
	uint32_t n_held; /* of the free: held in the previous plan by a workload that has not been
			    placed yet */
	uint32_t n_fast; /* of the free: on cores of the performance kind */
};

struct grid_pu {
	uint32_t pu_os;
	uint32_t core;
	uint32_t owner;
	uint32_t
		holder; /* who had it in the previous plan and has not been placed yet; GRID_NONE */
};

struct grid_core {
	uint32_t first_pu, n_pu; /* those of this domain */
	uint32_t n_online;	 /* those that the machine has, whoever may use them */
	uint32_t l3;
	uint32_t l2, die, package; /* dense indices of the topology */
	bool is_fast;		   /* of the performance kind, where there are several */
	uint32_t n_free, n_held;
	uint32_t n_data; /* PUs that exclusive data planes have here: their siblings had better stay
			    quiet */
};

struct grid_l3 {
	uint32_t first_core, n_core;
	uint32_t node;
	struct room room;
};

struct grid_node {
	uint32_t first_l3, n_l3;
	uint32_t topo_idx;
	uint32_t core_size;   /* PUs of each core; 0 where they differ */
	uint64_t memory_left; /* not yet spoken for by MemorySize=; UINT64_MAX where the machine
				 does not tell */
	struct room room;
	/* Of its L3 groups, as of the last look at them: the largest of each kind of room, and how
	 * many have any. */
	struct room l3_most, l3_some;
	bool l3_is_known;
};

struct grid_domain {
	const struct pool *pool; /* NULL: what no pool names */
	uint32_t first_node, n_node;
	uint32_t first_pu, n_pu;
	uint32_t core_size; /* PUs of each core; 0 where they differ */
	uint32_t core_most; /* PUs of the largest core */
	uint32_t n_housekeeping;
	struct room room;	 /* before anybody was placed */
	uint32_t n_largest_node; /* free PUs of the largest node, before anybody was placed */
	uint32_t n_largest_l3, n_largest_l2, n_largest_die;
	uint32_t n_largest_cores, n_largest_whole; /* the same of whole cores and their PUs */
};

struct grid {
	struct grid_pu *pus;
	struct grid_core *cores;
	struct grid_l3 *l3s;
	struct grid_node *nodes;
	struct grid_domain *domains; /* [0] is that of the pools that name nothing */
	uint32_t n_pu, n_core, n_l3, n_node, n_domain;
	uint32_t *at_of_os; /* n_os entries: index into pus, or GRID_NONE */
	uint32_t n_os;
};

/* What one workload wants and has got. */
struct demand {
	const struct workload *conf;
	const struct cpuset *ceiling; /* PUs that foreign cpusets leave it; NULL: all */
	const struct plan_workload
		*before;	       /* itself in the previous plan; NULL: it was not there */
	const struct cpuset *previous; /* its PUs there; NULL: none */
	uint32_t workload;	       /* its index */
	uint32_t domain;
	enum workload_smt
		smt; /* any where it is not exclusive: nobody's sibling is its business then */
	uint32_t quota_mcpu;	  /* over all ancestors */
	uint32_t n_least, n_most; /* PUs, rounded to what Smt= and the machine allow */
	uint32_t n_target;	  /* its share */
	uint32_t n_got;
	uint32_t step;	  /* Smt=whole-core on equal cores: PUs of a core; else 1 */
	uint32_t cost;	  /* PUs that one of its PUs takes away: Smt=one-per-core on equal cores: a
			     core's; else 1 */
	bool is_sized;	  /* exclusive, and could be placed if it were alone */
	bool is_admitted; /* its minimum fits by count too */
	bool owns,
		shares; /* PUs of its own; PUs that others may use too: one of the two, or both */
	uint32_t own_min, own_max;   /* Min= and Max= of those that are its own */
	uint32_t rest_min, rest_max; /* of those that it shares, where it has both */
	struct cpuset rest;	     /* these */
	enum core_type core_type;    /* any where the machine has one kind */
	struct nodeset *near;	     /* nodes near its NearDevice=; NULL: none known */
	bool is_bounded;  /* may only have some of the domain's PUs: a cpuset or Nodes= */
	bool names_nodes; /* Nodes= */
	bool is_listed;	  /* scratch */
	/* plan_improve.c: its PUs among all; groups of which it was counted */
	uint32_t first_slot, n_slot, seen_l3, seen_l2, seen_die;
	/* filled by results_make() */
	uint32_t first_node, n_node, n_l3, last_core, last_l3;
	char *reason; /* why it has nothing; in scratch */
};

struct work {
	const struct snapshot *snapshot;
	const struct plan *previous;
	struct plan *plan;
	struct plan_arena *scratch;
	struct grid grid;
	struct demand *demands; /* one a workload, in the snapshot's order */
	uint32_t *order;	/* demands by domain: n_workloads */
	uint32_t *first_order;	/* domain d: order[first_order[d]] .. order[first_order[d + 1]] */
	uint32_t *sorted;	/* n_workloads */
	struct sort_item *sort_items, *sort_scratch; /* n_workloads */

	/* of the workload being placed */
	struct room *rooms;			       /* a node of the grid: what is free for it */
	uint32_t *fits;				       /* PUs it could have there */
	uint32_t *own_nodes, *own_l3s;		       /* PUs it had there and could have again */
	uint32_t n_own;				       /* the same in all */
	uint32_t *largest, *chosen, *trial, *distance; /* sets of nodes: plan_nodes.c */
	struct fill_item *items;		       /* one a node */
	struct sort_item *l3_items, *l3_scratch;       /* one an L3 group */
	uint32_t *core_next;			       /* lists of cores by rank */
	uint32_t *reach;			       /* sums of core sizes: n_pu + 1 */

	uint32_t *picked; /* PUs in the order in which they were given away, for taking them back */
	uint32_t n_picked;
	int64_t n_slack; /* PUs of the domain that may stay idle beside data planes without anybody
			    missing them */
	uint32_t n_capacity;	 /* PUs of the domain that exclusive workloads may have */
	int64_t n_steps;	 /* of the search that are left: plan_improve.c */
	int64_t n_steps_scratch; /* of those, for plans from scratch: plan_domain.c */
	bool is_best; /* the domain's score cannot be better, were the machine each one's own */
};

/* Nodes of one workload that are told apart when a span is scored: more are equally bad. */
#define SPAN_SCORED_MOST 64u

/* PUs that a pool with Isolation= got where it names none. Lies in the plan's arena. */
struct plan_carve {
	const char *pool;
	struct cpuset cpus;
};

struct planner {
	struct plan_arena *scratch;
	struct work work;	 /* as the last plan left it */
	const struct plan *plan; /* that plan, only to be compared; NULL: none */
};

/* plan_grid.c */
int grid_make(struct work *work, const uint32_t *domain_of_pu, uint32_t n_domain);
void grid_take(struct work *work, uint32_t pu, uint32_t owner);
void grid_give(struct work *work, uint32_t pu);
/* Takes back everything that was picked since @n_picked was that. */
void grid_undo(struct work *work, uint32_t n_picked);
/* Marks what workloads of the domain had in the previous plan, and forgets the mark of one. */
void grid_hold(struct work *work, uint32_t domain);
void grid_unhold(struct work *work, const struct demand *demand);

static inline bool demand_may_use(const struct demand *demand, uint32_t pu_os)
{
	return !demand->ceiling || cpuset_has(demand->ceiling, pu_os);
}
static inline bool demand_is_data(const struct demand *demand)
{
	return demand->owns && demand->conf->role == ROLE_DATA_PLANE;
}
static inline bool demand_is_bounded(const struct demand *demand)
{
	return demand->is_bounded;
}
/* Free PUs of the kind of cores that it wants. */
static inline uint32_t room_of_type(const struct demand *demand, const struct room *room)
{
	if (demand->core_type == CORE_ANY)
		return room->n_free;
	return demand->core_type == CORE_PERFORMANCE ? room->n_fast : room->n_free - room->n_fast;
}
/* Is the node near no device that it names? */
bool demand_is_far(const struct work *work, const struct demand *demand, uint32_t node);
bool demand_may_use_node(const struct work *work, const struct demand *demand, uint32_t node);
/* What of a core, an L3 group or a node @demand may have. */
struct room room_of_core(const struct work *work, const struct demand *demand, uint32_t core);
struct room room_of_l3(const struct work *work, const struct demand *demand, uint32_t l3);
struct room room_of_node(const struct work *work, const struct demand *demand, uint32_t node);
/* l3_most and l3_some of a node are right after this. */
void grid_sum_l3s(struct grid *grid, uint32_t node);
static inline void grid_look_at_l3s(struct grid *grid, uint32_t node)
{
	if (!grid->nodes[node].l3_is_known)
		grid_sum_l3s(grid, node);
}
/* PUs that @demand could have in such a room. */
static inline uint32_t room_fit(const struct demand *demand, const struct room *room)
{
	if (demand->smt == SMT_ANY)
		return room->n_free;
	/* Where step is a core's PUs all cores have so many: it divides them. */
	return demand->smt == SMT_WHOLE_CORE ? room->n_whole_pu : room->n_whole_core;
}

/* plan_count.c: what each exclusive workload of the domain could have if it were alone. */
void count_sizes(struct work *work, uint32_t domain);
/* How many PUs each gets; also keeps PUs for those that are not exclusive. */
int count_domain(struct work *work, uint32_t domain);
/* The shares anew, as if nobody had been placed: new n_target. */
int count_targets(struct work *work, uint32_t domain);
/* Shares what is left once more among those that could grow: new n_target. True where somebody can.
 */
int count_again(struct work *work, uint32_t domain, bool *ret_more);
void demand_refuse(struct work *work, struct demand *demand, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* "in pool 'gold', on nodes 0-1, within cpuset of /a", for reasons. */
const char *demand_where_text(const struct work *work, const struct demand *demand);
/* "6 PUs", "6 PUs in whole cores" */
const char *demand_need_text(const struct work *work, const struct demand *demand, uint32_t n);

/* plan_place.c: which PUs; says in work->is_best whether none could be better. @keeps: who need not
 * move does not. */
int place_domain(struct work *work, uint32_t domain, bool keeps);

/* plan_domain.c: count, place and share out one domain: near what holds where that is as good as a
 * plan from scratch. */
int domain_plan(struct work *work, uint32_t domain);
/* Divides what Deadline= pays for. */
void domain_steps(struct work *work);

/* plan_nodes.c: which nodes. Returns how many PUs @demand got: 0 (with its reason), or n_least ..
 * @n_target. */
uint32_t nodes_place(struct work *work, struct demand *demand, uint32_t n_target);
/* Takes what @demand had where that is still @n PUs that it may have; others may be better. */
bool nodes_keep(struct work *work, struct demand *demand, uint32_t n);
/* Tries again for who got less than its share: on another single node, if one has more room.
 * @n_picked: where the domain's picks begin. */
void nodes_replace(struct work *work, struct demand *demand, uint32_t n_picked);
/* Which L3 groups, cores and PUs inside a node, at most @n; returns how many were taken. */
uint32_t pick_in_node(struct work *work, const struct demand *demand, uint32_t node, uint32_t n);
/* The most that @demand can have in a node with cores of different sizes, at most @n, whole cores
 * only. */
uint32_t pick_reach(struct work *work, const struct demand *demand, uint32_t node, uint32_t n);
/* L3 groups that it takes to hold @n PUs in a node. */
uint32_t pick_n_l3(struct work *work, const struct demand *demand, uint32_t node, uint32_t n);
/* Takes one PU for @demand and what its Smt= takes away with it. */
void pick_pu(struct work *work, const struct demand *demand, uint32_t pu);

/* Items 3 and 5 to 8 of the objective, in order, of all exclusive workloads of a domain. */
enum {
	SCORE_NODES,
	SCORE_PACKAGES,
	SCORE_DISTANCE,
	SCORE_FAR,
	SCORE_L3S,
	SCORE_DIES,
	SCORE_L2S,
	SCORE_BESIDE,	     /* beside exclusive ones; plan_improve.c: all */
	SCORE_BESIDE_SHARED, /* beside workloads that are not exclusive */
	SCORE_KIND,
	N_SCORES
};

struct score {
	int64_t items[N_SCORES];
};

/* plan_improve.c: searches for better places of who could have one. @mark: where the domain's picks
 * begin; they are forgotten. @ret_best: nobody could have it better, were the machine its own. 0 or
 * -ENOMEM. */
int improve_domain(struct work *work, uint32_t domain, uint32_t mark, bool *ret_best);
/* plan_settle.c: brings a plan made from scratch nearer to what held, without making it worse. Uses
 * up work->n_steps. 0 or -ENOMEM. */
int settle_domain(struct work *work, uint32_t domain);
/* Below 0 where @a is better. */
int score_compare(const struct score *a, const struct score *b);
/* Steps that Deadline= pays for. */
int64_t search_steps(const struct snapshot *snapshot);

/* plan_unheld.c: workloads that are not exclusive, once the others have theirs. */
int unheld_domain(struct work *work, uint32_t domain);

/* plan_setup.c: what the snapshot says, checked and laid out: base set, housekeeping, domains,
 * demands, grid. */
int setup(struct work *work, struct fault *fault);
static inline bool pool_names_pus(const struct pool *pool)
{
	return !cpuset_is_empty(&pool->cpus) || !nodeset_is_empty(&pool->nodes);
}
/* plan_isolate.c: Isolation= of pools. Changes @domain_of_pu so that each domain's units of that
 * kind are its own: a pool that names PUs loses those on units that others have PUs of (GRID_NONE:
 * nobody's then), one that names none gets whole units out of domain 0. 0 or -ENOMEM. */
int isolate_make(struct work *work, const uint32_t *domain_of_pool, uint32_t *domain_of_pu);
/* PUs that an exclusive workload would like to have. */
uint32_t demand_wanted(const struct work *work, const struct demand *demand);
/* PUs in both. */
uint32_t cpuset_n_common(const struct cpuset *a, const struct cpuset *b);

/* plan_keep.c: mixes a value into a fingerprint. */
void fingerprint_mix(uint64_t *hash, uint64_t value);
void fingerprint_mix_text(uint64_t *hash, const char *text);
/* domains where nothing changed. 1: everything is as it was in the previous plan; 0:
 * it has to be planned; -ENOMEM. */
int keep_domain(struct work *work, uint32_t domain);

/* plan_result.c: who has what → sets, nodes, memory, limited_by, reasons. */
int results_make(struct work *work);

/* plan_bound.c: fills optimal and bound. */
int bound_make(struct work *work);

/* plan_share.c */
int share_make(struct plan *plan, const struct snapshot *snapshot);
struct plan_share *share_free(struct plan_share *share);
