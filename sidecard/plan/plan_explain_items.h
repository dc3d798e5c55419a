/* A part of plan_explain(): the objective item by item. */
#pragma once

#include <stdio.h>

#include "plan/plan.h"

/* A line an item for an exclusive workload, with its best possible value and who is in the way; for
 * one that is not placed who holds what it could have. @workload: its index in both. 0 or -ENOMEM.
 */
int explain_items(FILE *out, const struct plan *plan, const struct snapshot *snapshot,
		  uint32_t workload);
