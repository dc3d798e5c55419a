/* The front's half: what it asks sidecard-plugin-host, and what it makes of the answers. They come
 * from a process in which a plugin may have done anything, so every member is looked at. */
#include "edge/plugin_wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* ---- questions ---- */

json_t *wire_describe(const char *plugin)
{
	return json_pack("{s:s, s:s}", "plugin", plugin, "ask", "describe");
}

static json_t *pus_json(const struct sidecard_table *table)
{
	json_t *rows = json_array();

	for (uint32_t i = 0; rows && i < table->n_rows; i++) {
		const struct sidecard_pu *pu = sidecard_row(table, i);

		if (json_array_append_new(rows, json_pack("[I, I, I]", (json_int_t)pu->pu,
							  (json_int_t)pu->core,
							  (json_int_t)pu->node)) < 0) {
			json_decref(rows);
			return NULL;
		}
	}
	return rows;
}

/* A value that JSON cannot carry (the caller's environment may hold any bytes) is left out. */
static json_t *pairs_json(const struct sidecard_setting *pairs, uint32_t n)
{
	json_t *rows = json_array();

	for (uint32_t i = 0; rows && i < n; i++) {
		if (!text_is_utf8(pairs[i].key, strlen(pairs[i].key)) ||
		    !text_is_utf8(pairs[i].value, strlen(pairs[i].value)))
			continue;
		if (json_array_append_new(rows, json_pack("[s, s]", pairs[i].key, pairs[i].value)) <
		    0) {
			json_decref(rows);
			return NULL;
		}
	}
	return rows;
}

static json_t *placement_json(const struct sidecard_placement *placement)
{
	json_t *quota = placement->quota_mcpu == SIDECARD_UNLIMITED
				? json_null()
				: json_integer(placement->quota_mcpu);
	json_t *memory = placement->memory_limit_bytes == SIDECARD_UNLIMITED_BYTES
				 ? json_null()
				 : json_integer((json_int_t)placement->memory_limit_bytes);

	return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o}",
			 "workload", placement->workload, "cpus", placement->cpus, "nodes",
			 placement->nodes, "mems", placement->mems, "n_pu",
			 (json_int_t)placement->n_pu, "n_core", (json_int_t)placement->n_core,
			 "n_node", (json_int_t)placement->n_node, "floor",
			 (json_int_t)placement->parallelism_floor, "ceil",
			 (json_int_t)placement->parallelism_ceil, "advised",
			 (json_int_t)placement->parallelism, "quota_mcpu", quota,
			 "memory_limit_bytes", memory, "pus", pus_json(&placement->pus));
}

json_t *wire_propose(const char *plugin, const struct sidecard_request *request)
{
	return json_pack("{s:s, s:s, s:I, s:o, s:o, s:o}", "plugin", plugin, "ask", "propose",
			 "mode", (json_int_t)request->mode, "placement",
			 placement_json(request->placement), "settings",
			 pairs_json(request->settings, request->n_settings), "environment",
			 pairs_json(request->environment, request->n_environment));
}

/* ---- answers ---- */

/* What the host itself said no with: 0 where it did not. */
static int fault_parse(const json_t *answer, struct fault *fault)
{
	const char *text = json_string_value(json_object_get(answer, "fault"));
	json_int_t error = json_integer_value(json_object_get(answer, "error"));

	if (!text)
		return 0;
	return fault_set(fault, error < 0 && error > -4096 ? (int)error : -EINVAL, "%s", text);
}

struct plugin_copy {
	json_t *answer; /* the strings are its */
	struct sidecard_plugin table;
	struct sidecard_steer steer;
	void *rows[3];
};

struct plugin_copy *plugin_copy_free(struct plugin_copy *copy)
{
	if (!copy)
		return NULL;
	for (size_t i = 0; i < N_ELEMENTS(copy->rows); i++)
		free(copy->rows[i]);
	json_decref(copy->answer);
	free(copy);
	return NULL;
}

static void plugin_copy_freep(struct plugin_copy **copy)
{
	plugin_copy_free(*copy);
}

const struct sidecard_plugin *plugin_copy_table(const struct plugin_copy *copy)
{
	return &copy->table;
}

static uint32_t count_at(const json_t *row, size_t i)
{
	json_int_t number = json_integer_value(json_array_get(row, i));

	/* Nothing in the tables is that large: refused by the check. */
	return number < 0 || number > UINT32_MAX ? UINT32_MAX : (uint32_t)number;
}

static const char *text_at(const json_t *row, size_t i)
{
	return json_string_value(json_array_get(row, i));
}

static void key_fill(const json_t *json, void *row)
{
	*(struct sidecard_key *)row = (struct sidecard_key){
		.name = text_at(json, 0),
		.type = count_at(json, 1),
		.least = (uint64_t)json_integer_value(json_array_get(json, 2)),
		.most = (uint64_t)json_integer_value(json_array_get(json, 3)),
		.words = text_at(json, 4),
		.value = text_at(json, 5),
		.help = text_at(json, 6),
	};
}

static void rule_fill(const json_t *json, void *row)
{
	*(struct sidecard_thread_rule *)row = (struct sidecard_thread_rule){
		.comm = text_at(json, 0),
		.argv = text_at(json, 1),
		.birth = count_at(json, 2),
		.class = count_at(json, 3),
	};
}

static void live_fill(const json_t *json, void *row)
{
	*(struct sidecard_live *)row = (struct sidecard_live){
		.what = text_at(json, 0),
		.change = count_at(json, 1),
		.way = count_at(json, 2),
		.interval_us = (uint64_t)json_integer_value(json_array_get(json, 3)),
		.signal_more = count_at(json, 4),
		.signal_fewer = count_at(json, 5),
		.note = text_at(json, 6),
	};
}

/* @json: an array of rows. 0 or -ENOMEM; anything but an array is an empty table. */
static int rows_fill(struct plugin_copy *copy, size_t which, const json_t *json, size_t row_size,
		     void (*fill)(const json_t *json, void *row))
{
	struct sidecard_table *const tables[] = { &copy->table.keys, &copy->table.thread_rules,
						  &copy->table.lives };
	size_t n = json_array_size(json);
	char *rows = calloc(n + 1, row_size);

	if (!rows)
		return -ENOMEM;
	copy->rows[which] = rows;
	for (size_t i = 0; i < n; i++)
		fill(json_array_get(json, i), rows + i * row_size);
	*tables[which] = (struct sidecard_table){ rows, (uint32_t)n, (uint32_t)row_size };
	return 0;
}

static void steer_fill(const json_t *json, struct plugin_copy *copy)
{
	if (!json_is_array(json))
		return;
	copy->steer = (struct sidecard_steer){
		.size = sizeof(copy->steer),
		.rounding = count_at(json, 0),
		.quota_least = count_at(json, 1),
		.reads_quota = count_at(json, 2),
		.reads_affinity = count_at(json, 3),
		.follows = count_at(json, 4),
	};
	copy->table.steer = &copy->steer;
}

static uint32_t member_count(const json_t *json, const char *key)
{
	json_int_t number = json_integer_value(json_object_get(json, key));

	return number < 0 || number > UINT32_MAX ? UINT32_MAX : (uint32_t)number;
}

/* Stands for a function that the plugin has: it is only ever compared with NULL here. */
static int elsewhere(const struct sidecard_request *request, const struct sidecard_sink *sink)
{
	(void)request;
	(void)sink;
	return -ENOSYS;
}

static int table_fill(const json_t *json, struct plugin_copy *copy)
{
	int r;

	copy->table = (struct sidecard_plugin){
		.api_version = SIDECARD_PLUGIN_API_VERSION,
		.size = sizeof(copy->table),
		.name = json_string_value(json_object_get(json, "name")),
		.version = json_string_value(json_object_get(json, "version")),
		.runtime = json_string_value(json_object_get(json, "runtime")),
		.rounding = member_count(json, "rounding"),
		.modes = member_count(json, "modes"),
		.overcommit_permille = member_count(json, "overcommit_permille"),
		.command = json_is_true(json_object_get(json, "command")) ? elsewhere : NULL,
	};
	steer_fill(json_object_get(json, "steer"), copy);
	r = rows_fill(copy, 0, json_object_get(json, "keys"), sizeof(struct sidecard_key),
		      key_fill);
	if (r == 0)
		r = rows_fill(copy, 1, json_object_get(json, "thread_rules"),
			      sizeof(struct sidecard_thread_rule), rule_fill);
	if (r == 0)
		r = rows_fill(copy, 2, json_object_get(json, "lives"), sizeof(struct sidecard_live),
			      live_fill);
	return r;
}

int wire_table_parse(const json_t *answer, const char *name, struct plugin_copy **ret_copy,
		     struct fault *fault)
{
	cleanup(plugin_copy_freep) struct plugin_copy *copy = NULL;
	const json_t *json = json_object_get(answer, "table");
	int r = fault_parse(answer, fault);

	if (r < 0)
		return r;
	if (!json_is_object(json))
		return fault_set(fault, -EINVAL,
				 "plugin '%s': what its host tells of it is no table", name);
	copy = calloc(1, sizeof(*copy));
	if (!copy)
		return fault_set(fault, -ENOMEM, "no memory for the table of plugin '%s'", name);
	copy->answer = json_incref((json_t *)answer);
	if (table_fill(json, copy) < 0)
		return fault_set(fault, -ENOMEM, "no memory for the rows of plugin '%s'", name);
	r = plugin_table_check(&copy->table, sizeof(copy->table), name, fault);
	if (r < 0)
		return r;
	*ret_copy = TAKE_PTR(copy);
	return 0;
}

int wire_proposals_parse(const json_t *answer, struct plugin_proposals *proposals)
{
	const json_t *rows = json_object_get(answer, "proposals");
	int r = fault_parse(answer, proposals->fault);

	if (r < 0)
		return r;
	if (!json_is_array(rows))
		return fault_set(proposals->fault, -EINVAL,
				 "plugin '%s': what its host answers for workload '%s' is no list",
				 proposals->plugin, proposals->workload);
	for (size_t i = 0; r == 0 && i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		uint32_t kind = count_at(row, 0);

		if (!json_is_integer(json_array_get(row, 0)) || kind >= N_PROPOSAL)
			return fault_set(proposals->fault, -EINVAL,
					 "plugin '%s': a proposal for workload '%s' is of no kind",
					 proposals->plugin, proposals->workload);
		r = plugin_proposals_add(proposals, (enum proposal)kind, text_at(row, 1),
					 text_at(row, 2));
	}
	return r;
}
