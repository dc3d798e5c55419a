/* Fills the structures of plugin_api.h from a plan, a topology and the user's settings. */
#include "edge/plugin_request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "plan/plan_steer.h"

void plugin_request_done(struct plugin_request *request)
{
	free(request->cpus);
	free(request->nodes);
	free(request->mems);
	free(request->pus);
	free(request->settings);
	free(request->environment);
	free(request->names);
	*request = (struct plugin_request){ 0 };
}

/* The PUs in the order of the machine. Where the machine lacks one of them (it went offline since)
 * none is told: half a list is worse than none. */
static int pus_fill(const struct plan_workload *placement, const struct topology *topology,
		    struct plugin_request *request)
{
	uint32_t n = 0;

	if (!topology || placement->n_pu == 0)
		return 0;
	request->pus = calloc(placement->n_pu, sizeof(*request->pus));
	if (!request->pus)
		return -ENOMEM;
	for (uint32_t i = 0; i < topology->n_pu && n < placement->n_pu; i++) {
		const struct topo_pu *pu = &topology->pus[i];

		if (cpuset_has(&placement->cpus, pu->pu_os))
			request->pus[n++] = (struct sidecard_pu){
				pu->pu_os, pu->core, topology->nodes[pu->node].node_os
			};
	}
	if (n == placement->n_pu)
		request->placement.pus = (struct sidecard_table){ request->pus, n,
								  sizeof(*request->pus) };
	return 0;
}

/* KEY=VALUE strings as pairs. What has no '=' is no variable and is left out. */
static int environment_fill(const struct strings *environment, struct plugin_request *request)
{
	size_t n_bytes = 0, used = 0;

	for (size_t i = 0; i < environment->n_items; i++)
		n_bytes += strcspn(environment->items[i], "=") + 1;
	request->environment = calloc(environment->n_items + 1, sizeof(*request->environment));
	request->names = calloc(1, n_bytes + 1);
	if (!request->environment || !request->names)
		return -ENOMEM;
	for (size_t i = 0; i < environment->n_items; i++) {
		const char *item = environment->items[i];
		size_t n_name = strcspn(item, "=");

		if (item[n_name] != '=')
			continue;
		memcpy(request->names + used, item, n_name);
		request->environment[request->request.n_environment++] = (struct sidecard_setting){
			request->names + used, item + n_name + 1
		};
		used += n_name + 1;
	}
	return 0;
}

static int placement_fill(const struct plugin_question *question, struct plugin_request *request)
{
	const struct plan_workload *workload = question->placement;

	request->cpus = cpuset_format(&workload->cpus);
	request->nodes = nodeset_format(&workload->nodes);
	request->mems = nodeset_format(&workload->mems);
	if (!request->cpus || !request->nodes || !request->mems)
		return -ENOMEM;
	request->placement = (struct sidecard_placement){
		.size = sizeof(request->placement),
		.workload = workload->conf->name,
		.cpus = request->cpus,
		.nodes = request->nodes,
		.mems = request->mems,
		.n_pu = workload->n_pu,
		.n_core = workload->n_core,
		.n_node = nodeset_count(&workload->nodes),
		.parallelism_floor = workload->parallelism.floor,
		.parallelism_ceil = workload->parallelism.ceil,
		.parallelism = workload->parallelism.advised,
		.quota_mcpu = workload->share_mcpu,
		.memory_limit_bytes = SIDECARD_UNLIMITED_BYTES,
	};
	return pus_fill(workload, question->topology, request);
}

static int settings_fill(const struct sidecard_plugin *table, const struct workload *workload,
			 struct plugin_request *request, struct fault *fault)
{
	struct fault_list faults = { 0 };
	int r = plugin_settings_make(table, workload, &request->settings, &faults);

	if (r == -EINVAL)
		fault_set(fault, r, "%s", faults.n_texts > 0 ? faults.texts[0] : "bad settings");
	fault_list_done(&faults);
	request->request.n_settings = table->keys.n_rows;
	request->request.settings = request->settings;
	return r;
}

/* True where the user wants it to, and its own rule leads to our number or below. */
static bool finds_its_number(const struct sidecard_plugin *table,
			     const struct plugin_question *question)
{
	const struct plan_workload *placement = question->placement;
	const struct sidecard_steer *steer = table->steer;
	struct steer_rule rule;
	const struct steer_input input = {
		.wanted = placement->parallelism.advised,
		.n_pu = placement->n_pu,
		.leaf_mcpu = question->leaf_mcpu ? question->leaf_mcpu : QUOTA_UNLIMITED_MCPU,
	};

	if (placement->conf->publish_mode != PUBLISH_STEER)
		return false;
	/* Only a plugin that can only be steered. */
	if (!(table->modes & SIDECARD_MODE_FIXED))
		return true;
	if (!steer || !(table->modes & SIDECARD_MODE_STEER))
		return false;
	rule = (struct steer_rule){ .reads_quota = steer->reads_quota,
				    .reads_affinity = steer->reads_affinity,
				    .rounds_up = steer->rounding == SIDECARD_ROUND_UP,
				    .quota_least = steer->quota_least };
	return steer_arrives(&rule, &input) <= input.wanted;
}

int plugin_request_make(const struct sidecard_plugin *table, const struct plugin_question *question,
			struct plugin_request *ret_request, struct fault *fault)
{
	const struct workload *workload = question->placement->conf;
	const struct strings *base = question->environment ? question->environment
							   : &workload->environment;
	struct plugin_request *request = ret_request;
	int r;

	*request = (struct plugin_request){ 0 };
	r = settings_fill(table, workload, request, fault);
	if (r == 0)
		r = placement_fill(question, request);
	if (r == 0)
		r = environment_fill(base, request);
	if (r < 0) {
		plugin_request_done(request);
		return r == -ENOMEM
			       ? fault_set(fault, r, "no memory to ask plugin '%s'", table->name)
			       : r;
	}
	request->request.size = sizeof(request->request);
	request->request.mode = finds_its_number(table, question) ? SIDECARD_MODE_STEER
								  : SIDECARD_MODE_FIXED;
	request->request.placement = &request->placement;
	request->request.environment = request->environment;
	return 0;
}
