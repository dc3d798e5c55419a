/* What must hold for plans on any real machine. */
#pragma once

#include "model/topology.h"

/* Plans several sets of workloads and fails the running test, naming @machine, where a plan breaks
 * a rule. */
void machine_plans_check(const char *machine, const struct topology *topology);
