/* The host's half: a question of the front, put to the plugin's table and functions. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "edge/plugin_wire.h"

/* An answer without end is cut off here; what of it is believed is for the front to say. */
#define N_PROPOSALS_MAX 1024u
#define TEXT_MAX_BYTES	8192u
#define N_PUS_MAX	8192u

static json_t *fault_json(const struct fault *fault)
{
	return json_pack("{s:s, s:i}", "fault", fault->text, "error", fault->error);
}

/* Text of a plugin, whatever its bytes: NULL as null; what JSON cannot carry is escaped, and
 * refused by the front's rules like every byte that is not printable. */
static json_t *text_json(const char *text)
{
	cleanup(freep) char *escaped = NULL;
	size_t n = text ? strnlen(text, TEXT_MAX_BYTES) : 0;

	if (!text)
		return json_null();
	if (text_is_utf8(text, n))
		return json_stringn(text, n);
	escaped = malloc(4 * n + 2);
	if (!escaped)
		return NULL;
	/* A control character in front keeps it from passing for harmless text. */
	escaped[0] = '\033';
	text_escape(text, n, escaped + 1, 4 * n + 1);
	return json_string(escaped);
}

/* ---- describe: the table is checked already ---- */

static json_t *keys_json(const struct sidecard_table *table)
{
	json_t *rows = json_array();

	for (uint32_t i = 0; rows && i < table->n_rows; i++) {
		const struct sidecard_key *key = sidecard_row(table, i);
		json_t *row = json_pack("[o, I, I, I, o, o, o]", text_json(key->name),
					(json_int_t)key->type, (json_int_t)key->least,
					(json_int_t)key->most, text_json(key->words),
					text_json(key->value), text_json(key->help));

		if (json_array_append_new(rows, row) < 0)
			break;
	}
	return rows;
}

static json_t *rules_json(const struct sidecard_table *table)
{
	json_t *rows = json_array();

	for (uint32_t i = 0; rows && i < table->n_rows; i++) {
		const struct sidecard_thread_rule *rule = sidecard_row(table, i);
		json_t *row = json_pack("[o, o, I, I]", text_json(rule->comm),
					text_json(rule->argv), (json_int_t)rule->birth,
					(json_int_t)rule->class);

		if (json_array_append_new(rows, row) < 0)
			break;
	}
	return rows;
}

static json_t *lives_json(const struct sidecard_table *table)
{
	json_t *rows = json_array();

	for (uint32_t i = 0; rows && i < table->n_rows; i++) {
		const struct sidecard_live *live = sidecard_row(table, i);
		json_t *row = json_pack("[o, I, I, I, I, I, o]", text_json(live->what),
					(json_int_t)live->change, (json_int_t)live->way,
					(json_int_t)live->interval_us,
					(json_int_t)live->signal_more,
					(json_int_t)live->signal_fewer, text_json(live->note));

		if (json_array_append_new(rows, row) < 0)
			break;
	}
	return rows;
}

static json_t *steer_json(const struct sidecard_steer *steer)
{
	return steer ? json_pack("[I, I, I, I, I]", (json_int_t)steer->rounding,
				 (json_int_t)steer->quota_least, (json_int_t)steer->reads_quota,
				 (json_int_t)steer->reads_affinity, (json_int_t)steer->follows)
		     : json_null();
}

static json_t *describe(const struct sidecard_plugin *table)
{
	return json_pack("{s:{s:o, s:o, s:o, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:b}}", "table",
			 "name", text_json(table->name), "version", text_json(table->version),
			 "runtime", text_json(table->runtime), "rounding",
			 (json_int_t)table->rounding, "modes", (json_int_t)table->modes,
			 "overcommit_permille", (json_int_t)table->overcommit_permille, "keys",
			 keys_json(&table->keys), "thread_rules", rules_json(&table->thread_rules),
			 "lives", lives_json(&table->lives), "steer", steer_json(table->steer),
			 "command", table->command != NULL);
}

/* ---- propose ---- */

struct collected {
	json_t *proposals;
	int error; /* the first one: what a plugin does after it does not count */
};

static int collect(struct collected *collected, enum proposal kind, const char *name,
		   const char *value)
{
	if (collected->error < 0)
		return collected->error;
	if (json_array_size(collected->proposals) >= N_PROPOSALS_MAX)
		return collected->error = -E2BIG;
	if (json_array_append_new(
		    collected->proposals,
		    json_pack("[i, o, o]", (int)kind, text_json(name), text_json(value))) < 0)
		return collected->error = -ENOMEM;
	return 0;
}

static int on_variable(void *userdata, const char *name, const char *value)
{
	return collect(userdata, PROPOSAL_VARIABLE, name, value);
}

static int on_append(void *userdata, const char *name, const char *value)
{
	return collect(userdata, PROPOSAL_APPEND, name, value);
}

static int on_argument(void *userdata, const char *argument)
{
	return collect(userdata, PROPOSAL_ARGUMENT, NULL, argument);
}

static int on_line(void *userdata, const char *line)
{
	return collect(userdata, PROPOSAL_LINE, NULL, line);
}

static uint32_t count_of(const json_t *json, const char *key)
{
	return (uint32_t)json_integer_value(json_object_get(json, key));
}

static const char *text_of(const json_t *json)
{
	const char *text = json_string_value(json);

	return text ? text : "";
}

static const char *member_text(const json_t *json, const char *key)
{
	return text_of(json_object_get(json, key));
}

static struct sidecard_setting *settings_of(const json_t *pairs, uint32_t *ret_n)
{
	size_t n = json_array_size(pairs);
	struct sidecard_setting *settings = calloc(n + 1, sizeof(*settings));

	for (size_t i = 0; settings && i < n; i++) {
		const json_t *pair = json_array_get(pairs, i);

		settings[i] = (struct sidecard_setting){ text_of(json_array_get(pair, 0)),
							 text_of(json_array_get(pair, 1)) };
	}
	*ret_n = (uint32_t)n;
	return settings;
}

static struct sidecard_pu *pus_of(const json_t *rows, uint32_t *ret_n)
{
	size_t n = json_array_size(rows) < N_PUS_MAX ? json_array_size(rows) : N_PUS_MAX;
	struct sidecard_pu *pus = calloc(n + 1, sizeof(*pus));

	for (size_t i = 0; pus && i < n; i++) {
		const json_t *row = json_array_get(rows, i);

		pus[i].pu = (uint32_t)json_integer_value(json_array_get(row, 0));
		pus[i].core = (uint32_t)json_integer_value(json_array_get(row, 1));
		pus[i].node = (uint32_t)json_integer_value(json_array_get(row, 2));
	}
	*ret_n = (uint32_t)n;
	return pus;
}

static void placement_fill(const json_t *json, struct sidecard_placement *placement)
{
	const json_t *quota = json_object_get(json, "quota_mcpu");
	const json_t *memory = json_object_get(json, "memory_limit_bytes");

	*placement = (struct sidecard_placement){
		.size = sizeof(*placement),
		.workload = member_text(json, "workload"),
		.cpus = member_text(json, "cpus"),
		.nodes = member_text(json, "nodes"),
		.mems = member_text(json, "mems"),
		.n_pu = count_of(json, "n_pu"),
		.n_core = count_of(json, "n_core"),
		.n_node = count_of(json, "n_node"),
		.parallelism_floor = count_of(json, "floor"),
		.parallelism_ceil = count_of(json, "ceil"),
		.parallelism = count_of(json, "advised"),
		.quota_mcpu = json_is_integer(quota) ? (uint32_t)json_integer_value(quota)
						     : SIDECARD_UNLIMITED,
		.memory_limit_bytes = json_is_integer(memory) ? (uint64_t)json_integer_value(memory)
							      : SIDECARD_UNLIMITED_BYTES,
	};
}

/* 0, the first failure of one of the functions, or -ENOMEM. */
static int call_all(const struct sidecard_plugin *table, const struct sidecard_request *request,
		    struct collected *collected, const char **ret_function)
{
	const struct sidecard_sink sink = { sizeof(sink), collected,   on_variable,
					    on_append,	  on_argument, on_line };
	const struct {
		const char *name;
		int (*function)(const struct sidecard_request *, const struct sidecard_sink *);
	} rows[] = { { "environment", table->environment },
		     { "arguments", table->arguments },
		     { "fragment", table->fragment } };

	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		int r = rows[i].function ? rows[i].function(request, &sink) : 0;

		*ret_function = rows[i].name;
		if (collected->error < 0)
			return collected->error;
		if (r != 0)
			return r;
	}
	return 0;
}

static int ask(const struct sidecard_plugin *table, const json_t *question,
	       struct collected *collected, const char **ret_function)
{
	const json_t *json = json_object_get(question, "placement");
	struct sidecard_placement placement;
	struct sidecard_request request = { .size = sizeof(request),
					    .mode = count_of(question, "mode"),
					    .placement = &placement };
	cleanup(freep) struct sidecard_setting *settings = NULL, *environment = NULL;
	cleanup(freep) struct sidecard_pu *pus = NULL;
	uint32_t n_pus;

	settings = settings_of(json_object_get(question, "settings"), &request.n_settings);
	environment = settings_of(json_object_get(question, "environment"), &request.n_environment);
	pus = pus_of(json_object_get(json, "pus"), &n_pus);
	if (!settings || !environment || !pus)
		return -ENOMEM;
	placement_fill(json, &placement);
	placement.pus = (struct sidecard_table){ pus, n_pus, sizeof(*pus) };
	request.settings = settings;
	request.environment = environment;
	return call_all(table, &request, collected, ret_function);
}

static json_t *propose(const struct sidecard_plugin *table, const json_t *question)
{
	struct collected collected = { .proposals = json_array() };
	const char *workload = member_text(json_object_get(question, "placement"), "workload");
	const char *function = "environment";
	struct fault fault;
	int r = collected.proposals ? ask(table, question, &collected, &function) : -ENOMEM;

	if (r == 0)
		return json_pack("{s:o}", "proposals", collected.proposals);
	json_decref(collected.proposals);
	if (collected.error == -E2BIG)
		fault_set(&fault, -EINVAL, "plugin '%s' proposes more than %u things for '%s'",
			  table->name, N_PROPOSALS_MAX, workload);
	else
		fault_set(&fault, -EINVAL, "plugin '%s' failed for workload '%s' in '%s': %d",
			  table->name, workload, function, r);
	return fault_json(&fault);
}

/* ---- the shelf ---- */

void plugin_shelf_done(struct plugin_shelf *shelf)
{
	for (size_t i = 0; i < shelf->n_plugins; i++)
		plugin_free(shelf->plugins[i]);
	free(shelf->plugins);
	*shelf = (struct plugin_shelf){ 0 };
}

static const struct sidecard_plugin *shelf_find(struct plugin_shelf *shelf, const char *name,
						struct fault *fault)
{
	struct plugin **plugins, *plugin;

	for (size_t i = 0; i < shelf->n_plugins; i++)
		if (strcmp(plugin_table(shelf->plugins[i])->name, name) == 0)
			return plugin_table(shelf->plugins[i]);
	plugins = realloc(shelf->plugins, (shelf->n_plugins + 1) * sizeof(struct plugin *));
	if (!plugins) {
		fault_set(fault, -ENOMEM, "no memory for one more plugin, '%s'", name);
		return NULL;
	}
	shelf->plugins = plugins;
	if (plugin_load(shelf->directory, name, &plugin, fault) < 0)
		return NULL;
	shelf->plugins[shelf->n_plugins++] = plugin;
	return plugin_table(plugin);
}

json_t *plugin_shelf_answer(struct plugin_shelf *shelf, const json_t *question)
{
	struct fault fault;
	const struct sidecard_plugin *table = shelf_find(shelf, member_text(question, "plugin"),
							 &fault);

	if (!table)
		return fault_json(&fault);
	return strcmp(member_text(question, "ask"), "describe") == 0 ? describe(table)
								     : propose(table, question);
}
