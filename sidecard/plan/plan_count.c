/* How many PUs each exclusive workload gets. Minimums first, higher priority first; at equal
 * priority the control plane's small share, then data planes, then batch; then smaller minimums, so
 * that as many as possible are placed. What is left is shared by weight up to what each wants. PUs
 * for workloads that are not exclusive stay free: they guarantee each of those its minimum, so the
 * largest minimum decides; housekeeping PUs count for that only where exclusive minimums leave
 * nothing else. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "plan/plan_fill.h"
#include "plan/plan_sort.h"
#include "plan/plan_work.h"

/* ---- reasons ---- */

void demand_refuse(struct work *work, struct demand *demand, const char *format, ...)
{
	cleanup(freep) char *text = NULL;
	va_list args;
	int n;

	va_start(args, format);
	n = vasprintf(&text, format, args);
	va_end(args);
	if (n < 0)
		text = NULL;
	demand->n_got = 0;
	demand->reason = text ? arena_strdup(work->scratch, text) : NULL;
}

const char *demand_where_text(const struct work *work, const struct demand *demand)
{
	const struct snapshot_workload *snapshot = &work->snapshot->workloads[demand->workload];
	cleanup(freep) char *nodes = nodeset_format(&demand->conf->nodes);
	const char *text = arena_printf(
		work->scratch, "in pool '%s'%s%s%s%s", demand->conf->pool,
		nodes && *nodes ? " on nodes " : "", nodes ? nodes : "",
		demand->ceiling ? " within cpuset of " : "",
		demand->ceiling && snapshot->cpuset_path ? snapshot->cpuset_path : "");

	return text ? text : "in its pool";
}

const char *demand_need_text(const struct work *work, const struct demand *demand, uint32_t n)
{
	static const char *const how[] = { "", " in whole cores", " on cores of their own" };
	const char *text = arena_printf(work->scratch, "%u PU%s%s", n, n == 1 ? "" : "s",
					how[demand->smt]);

	return text ? text : "more PUs";
}

/* The end of a reason: a smaller minimum, where one would do. */
static const char *smaller_text(const struct work *work, uint32_t n)
{
	const char *text = n ? arena_printf(work->scratch, "; Min=%u would place it", n) : "";

	return text ? text : "";
}

/* ---- what each wants ---- */

uint32_t demand_wanted(const struct work *work, const struct demand *demand)
{
	uint32_t n_quota;

	if (demand->own_max != WORKLOAD_MAX_UNSET)
		return demand->own_max;
	if (demand->quota_mcpu == QUOTA_UNLIMITED_MCPU)
		return work->grid.domains[demand->domain].n_pu;
	/* More PUs than the quota pays for would lie idle; rounded up, so that half a PU is usable.
	 */
	n_quota = quota_ceil_pu(demand->quota_mcpu);
	return n_quota > demand->conf->min_pu ? n_quota : demand->conf->min_pu;
}

/* What it could have at most, if it were alone, and on the best single node. */
static uint32_t fit_alone(const struct work *work, const struct demand *demand, bool fresh,
			  uint32_t *ret_fit_node)
{
	const struct grid_domain *domain = &work->grid.domains[demand->domain];
	uint32_t n_fit = 0, n_node = 0;

	/* Before anybody was placed, and where all may be used, it is the same for all. */
	if (fresh && !demand_is_bounded(demand)) {
		struct room largest = { .n_free = domain->n_largest_node,
					.n_whole_core = domain->n_largest_cores,
					.n_whole_pu = domain->n_largest_whole };

		*ret_fit_node = room_fit(demand, &largest);
		return room_fit(demand, &domain->room);
	}
	for (uint32_t node = domain->first_node; node < domain->first_node + domain->n_node;
	     node++) {
		struct room room = room_of_node(work, demand, node);
		uint32_t n = room_fit(demand, &room);

		n_fit += n;
		n_node = n > n_node ? n : n_node;
	}
	*ret_fit_node = n_node;
	return n_fit;
}

static void refuse_size(struct work *work, struct demand *demand, uint32_t n_fit, uint32_t n_node)
{
	uint32_t n_max = demand->own_max;

	if (demand->n_least > n_max)
		demand_refuse(
			work, demand,
			"needs whole cores of %u PUs, none to be had between Min=%u and Max=%u; "
			"Max=%u would place it",
			demand->step, demand->own_min, n_max, demand->n_least);
	else if (n_fit >= demand->n_least)
		demand_refuse(
			work, demand, "needs %s on one node, the largest free node has %u%s%s",
			demand_need_text(work, demand, demand->n_least), n_node,
			smaller_text(work, n_node),
			n_node ? ", and so would Policy=prefer" : "; Policy=prefer would place it");
	else
		demand_refuse(work, demand, "needs %s, there %s %u %s%s",
			      demand_need_text(work, demand, demand->n_least),
			      n_fit == 1 ? "is" : "are", n_fit, demand_where_text(work, demand),
			      smaller_text(work, n_fit));
}

/* True where it could be placed if it were alone. */
static bool size_exclusive(struct work *work, struct demand *demand)
{
	const struct grid_domain *domain = &work->grid.domains[demand->domain];
	uint32_t n_fit, n_node, n_most;

	demand->step = demand->cost = 1;
	if (demand->smt == SMT_WHOLE_CORE && domain->core_size > 1)
		demand->step = domain->core_size;
	/* Where cores differ the count is an estimate from below; placing finds out. */
	if (demand->smt == SMT_ONE_PER_CORE && domain->core_size > 1)
		demand->cost = domain->core_size;
	demand->n_least = (demand->own_min + demand->step - 1) / demand->step * demand->step;
	n_most = demand_wanted(work, demand);
	if (demand->own_max == WORKLOAD_MAX_UNSET && n_most < demand->n_least)
		n_most = demand->n_least;
	n_fit = fit_alone(work, demand, true, &n_node);
	if (demand->n_least > n_most || demand->n_least > n_fit ||
	    (demand->conf->numa_policy == NUMA_SINGLE && demand->n_least > n_node)) {
		refuse_size(work, demand, n_fit, n_node);
		return false;
	}
	if (demand->conf->numa_policy == NUMA_SINGLE)
		n_fit = n_node;
	n_most = n_most < n_fit ? n_most : n_fit;
	demand->n_most = n_most - n_most % demand->step;
	return true;
}

/* ---- minimums ---- */

struct minimums {
	uint32_t n_used;     /* by exclusive minimums */
	uint32_t n_unheld;   /* that must stay free somewhere */
	uint32_t n_reserved; /* that stay free at a certain place: OWNER_RESERVED */
	bool has_exclusive;
};

/* Priority, role, minimum, then the name: demands stand in its order, and the sort is stable. */
static uint64_t admission_key(const struct workload *conf)
{
	return (uint64_t)(UINT32_MAX - conf->priority) << 32 | (uint64_t)conf->role << 30 |
	       conf->min_pu;
}

static bool minimums_fit(const struct grid_domain *domain, const struct minimums *minimums)
{
	uint32_t n_free = domain->room.n_free;
	uint32_t n_unheld = minimums->n_unheld > minimums->n_reserved ? minimums->n_unheld
								      : minimums->n_reserved;

	return minimums->n_used + minimums->n_reserved <= n_free &&
	       minimums->n_used + n_unheld <= n_free + domain->n_housekeeping;
}

/* PUs that @demand could use beside its free ones: kept for others like it already, or
 * housekeeping. */
static uint32_t n_reserved_for(const struct work *work, const struct demand *demand, uint32_t owner)
{
	const struct grid *grid = &work->grid;
	const struct grid_domain *domain = &grid->domains[demand->domain];
	uint32_t n = 0;

	for (uint32_t pu = domain->first_pu; pu < domain->first_pu + domain->n_pu; pu++)
		if (grid->pus[pu].owner == owner && demand_may_use(demand, grid->pus[pu].pu_os) &&
		    demand_may_use_node(work, demand,
					grid->l3s[grid->cores[grid->pus[pu].core].l3].node))
			n++;
	return n;
}

/* A workload that may only use certain PUs, or needs several on one node, gets them reserved: all
 * or none. */
static void reserve_there(struct work *work, struct demand *demand, struct minimums *minimums)
{
	const struct grid_domain *domain = &work->grid.domains[demand->domain];
	struct minimums more = *minimums;
	uint32_t n_have = n_reserved_for(work, demand, OWNER_RESERVED), n_node;
	uint32_t n_need = demand->conf->min_pu, n_fit = fit_alone(work, demand, false, &n_node);

	if (demand->conf->numa_policy == NUMA_SINGLE && n_need > 1)
		n_have = 0; /* those may lie on several nodes */
	if (n_have >= n_need)
		return;
	n_need -= n_have;
	if (demand->conf->numa_policy == NUMA_SINGLE)
		n_fit = n_node;
	if (n_fit < n_need) {
		/* Housekeeping is the last resort; whether it does is seen when all is placed. */
		if (n_fit + n_reserved_for(work, demand, OWNER_HOUSEKEEPING) < n_need)
			return;
		n_need = n_fit;
	}
	more.n_reserved += n_need;
	if (n_need == 0 || !minimums_fit(domain, &more))
		return;
	demand->n_least = n_need;
	if (nodes_place(work, demand, n_need) == n_need)
		*minimums = more;
}

/* One that finds nothing to keep may still find enough that nobody took. */
static void admit_unheld(struct work *work, struct demand *demand, struct minimums *minimums)
{
	const struct grid_domain *domain = &work->grid.domains[demand->domain];
	struct minimums more = *minimums;
	uint32_t n = demand->conf->min_pu;

	demand->step = demand->cost = 1;
	if (minimums->has_exclusive &&
	    (demand_is_bounded(demand) || (demand->conf->numa_policy == NUMA_SINGLE && n > 1))) {
		reserve_there(work, demand, minimums);
		return;
	}
	if (more.n_unheld < n)
		more.n_unheld = n;
	if (minimums_fit(domain, &more))
		*minimums = more;
}

static uint32_t minimums_left(const struct grid_domain *domain, const struct minimums *minimums)
{
	uint32_t n_free = domain->room.n_free, n_used = minimums->n_used;
	uint32_t n_unheld = minimums->n_unheld > minimums->n_reserved ? minimums->n_unheld
								      : minimums->n_reserved;
	uint32_t n_left = n_free - n_used - minimums->n_reserved;
	uint32_t n_left_unheld = n_free + domain->n_housekeeping - n_used - n_unheld;

	return n_left < n_left_unheld ? n_left : n_left_unheld;
}

static bool admit_exclusive(struct work *work, struct demand *demand, struct minimums *minimums)
{
	const struct grid_domain *domain = &work->grid.domains[demand->domain];
	struct minimums more = *minimums;
	uint32_t n_left;

	/* What it shares with others must stay free too. */
	if (demand->shares && more.n_unheld < demand->rest_min)
		more.n_unheld = demand->rest_min;
	n_left = minimums_fit(domain, &more) ? minimums_left(domain, &more) / demand->cost : 0;
	n_left -= n_left % demand->step;
	if (demand->n_least <= n_left) {
		more.n_used += demand->n_least * demand->cost;
		*minimums = more;
		return true;
	}
	demand_refuse(work, demand,
		      "needs %s, %u %s left %s after minimums of the same or a higher priority%s",
		      demand_need_text(work, demand, demand->n_least), n_left,
		      n_left == 1 ? "is" : "are", demand_where_text(work, demand),
		      smaller_text(work, n_left));
	return false;
}

/* ---- shares ---- */

/* Fills n_target of every exclusive workload that is admitted and, where @again, has got something.
 */
static int share_out(struct work *work, uint32_t domain, bool again)
{
	uint32_t first = work->first_order[domain], end = work->first_order[domain + 1];
	cleanup(freep) struct fill_item *items = calloc(end - first + 1, sizeof(*items));
	size_t n_items = 0;

	if (!items)
		return -ENOMEM;
	for (uint32_t i = first; i < end; i++) {
		const struct demand *demand = &work->demands[work->sorted[i]];
		uint32_t n_least = again ? demand->n_got : demand->n_least;

		if (!demand->is_admitted || !demand->owns || n_least == 0)
			continue;
		items[n_items++] = (struct fill_item){
			.least = n_least * demand->cost,
			/* What was got of cores of different sizes may be no multiple. */
			.most = (n_least +
				 (demand->n_most - n_least) / demand->step * demand->step) *
				demand->cost,
			.weight = demand->conf->weight,
			.step = demand->step * demand->cost,
		};
	}
	plan_fill(items, n_items, work->n_capacity);
	n_items = 0;
	for (uint32_t i = first; i < end; i++) {
		struct demand *demand = &work->demands[work->sorted[i]];
		uint32_t n_least = again ? demand->n_got : demand->n_least;

		if (demand->is_admitted && demand->owns && n_least > 0)
			demand->n_target = items[n_items++].amount / demand->cost;
	}
	return 0;
}

int count_targets(struct work *work, uint32_t domain)
{
	return share_out(work, domain, false);
}

int count_again(struct work *work, uint32_t domain, bool *ret_more)
{
	int r = share_out(work, domain, true);

	*ret_more = false;
	for (uint32_t i = work->first_order[domain]; i < work->first_order[domain + 1]; i++) {
		const struct demand *demand = &work->demands[work->order[i]];

		if (demand->is_admitted && demand->n_got > 0 && demand->n_target > demand->n_got)
			*ret_more = true;
	}
	return r;
}

void count_sizes(struct work *work, uint32_t domain)
{
	for (uint32_t i = work->first_order[domain]; i < work->first_order[domain + 1]; i++) {
		struct demand *demand = &work->demands[work->order[i]];

		demand->is_sized = demand->owns && size_exclusive(work, demand);
		demand->is_admitted = !demand->owns;
	}
}

int count_domain(struct work *work, uint32_t domain)
{
	const struct grid_domain *at = &work->grid.domains[domain];
	uint32_t first = work->first_order[domain], end = work->first_order[domain + 1];
	struct minimums minimums = { 0 };
	uint32_t n_unheld;

	for (uint32_t i = first; i < end; i++) {
		const struct workload *conf = work->demands[work->order[i]].conf;

		work->sort_items[i] = (struct sort_item){ admission_key(conf), work->order[i] };
		minimums.has_exclusive |= workload_owns(conf);
	}
	plan_sort_keys(work->sort_items + first, work->sort_scratch, end - first);
	for (uint32_t i = first; i < end; i++)
		work->sorted[i] = work->sort_items[i].item;
	for (uint32_t i = first; i < end; i++) {
		struct demand *demand = &work->demands[work->sorted[i]];

		if (!demand->owns)
			admit_unheld(work, demand, &minimums);
		else if (demand->is_sized)
			demand->is_admitted = admit_exclusive(work, demand, &minimums);
	}
	n_unheld = minimums.n_unheld > minimums.n_reserved ? minimums.n_unheld
							   : minimums.n_reserved;
	work->n_capacity = at->room.n_free -
			   (n_unheld < at->room.n_free ? n_unheld : at->room.n_free);
	if (work->n_capacity < minimums.n_used)
		work->n_capacity = minimums.n_used;
	return share_out(work, domain, false);
}
