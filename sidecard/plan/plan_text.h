/* A plan as JSON and as text. D-Bus, the socket, --dry-run, golden files and `sidecarctl plan` are
 * this one form. */
#pragma once

#include <jansson.h>

#include "plan/plan.h"

/* One workload as in the contract of sidecarctl-plan:
 * {"name","role","pool","exclusive","placed","cpus","n_pu","n_core","nodes","mems","quota_mcpu","parallelism":{...},"limited_by"}
 * New reference; NULL where memory is short. */
json_t *plan_workload_json(const struct plan_workload *workload);

/* The whole contract: generation, optimal, bound, duration_us, machine, housekeeping, workloads,
 * unplaced. */
json_t *plan_json(const struct plan *plan, const struct topology *topology);

/* Placements (name → cpus) out of such a JSON, as a previous plan for plan_make(): only conf->name,
 * placed, cpus and generation are meaningful. The confs of the result borrow from @snapshot; names
 * it does not know are left out. 0, -EINVAL, -ENOMEM. */
int plan_parse_held(const json_t *json, const struct snapshot *snapshot, struct plan **ret_plan,
		    struct fault *fault);

/* A table for people, a line a workload: malloc'ed. */
char *plan_table(const struct plan *plan, const struct topology *topology);

/* Why a workload has what it has, a few sentences one a line: malloc'ed; NULL where memory is
 * short. */
char *plan_explain(const struct plan *plan, const struct snapshot *snapshot, const char *name);
