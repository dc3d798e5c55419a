/* A placement in the words of plugin_api.h: what is told to a plugin, whichever process it runs in.
 */
#pragma once

#include "base/err.h"
#include "edge/plugin_api.h"
#include "edge/plugin_check.h"
#include "model/topology.h"
#include "plan/plan.h"

struct plugin_question {
	const struct plan_workload *placement; /* one that is placed */
	const struct topology *topology;       /* NULL: not known, and then no PU is told */
	const struct strings *environment; /* KEY=VALUE that the program would get without us; NULL:
					      the workload's Environment= */
	uint32_t leaf_mcpu; /* the quota of its own cgroup, QUOTA_UNLIMITED_MCPU; 0: not known, and
			       taken for that */
};

struct plugin_request {
	struct sidecard_request request;
	struct sidecard_placement placement;
	/* Owned. */
	char *cpus, *nodes, *mems;
	struct sidecard_pu *pus;
	struct sidecard_setting *settings;
	struct sidecard_setting *environment;
	char *names; /* of the variables of @environment */
};

/* Borrows from @question and @table. Mode=steer asks for what Mode=fixed does where the runtime's
 * own rule would lead above the number: because the limit is an ancestor's, which it does not see,
 * or because no quota brings it so low. 0, -EINVAL (a setting that the plugin does not take) or
 * -ENOMEM. @ret_request must not be moved. */
int plugin_request_make(const struct sidecard_plugin *table, const struct plugin_question *question,
			struct plugin_request *ret_request, struct fault *fault);
void plugin_request_done(struct plugin_request *request);
