#include "plan/plan_text.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* ---- JSON ---- */

/* Adds a new reference under @key; what could not be made or added is counted, so that a caller
 * checks once. */
static void put(json_t *object, const char *key, json_t *value, unsigned *n_failed)
{
	*n_failed += json_object_set_new(object, key, value) < 0;
}

static void put_text(json_t *object, const char *key, const char *text, unsigned *n_failed)
{
	put(object, key, text ? json_string(text) : NULL, n_failed);
}

static void put_cpus(json_t *object, const char *key, const struct cpuset *cpus, unsigned *n_failed)
{
	cleanup(freep) char *text = cpuset_format(cpus);

	put_text(object, key, text, n_failed);
}

static void put_nodes(json_t *object, const char *key, const struct nodeset *nodes,
		      unsigned *n_failed)
{
	cleanup(freep) char *text = nodeset_format(nodes);

	put_text(object, key, text, n_failed);
}

static json_t *parallelism_json(const struct parallelism *parallelism)
{
	return json_pack("{s:I, s:I, s:I}", "floor", (json_int_t)parallelism->floor, "ceil",
			 (json_int_t)parallelism->ceil, "advised",
			 (json_int_t)parallelism->advised);
}

json_t *plan_workload_json(const struct plan_workload *workload)
{
	cleanup(json_decrefp) json_t *object = json_object();
	cleanup(freep) char *limited_by = plan_limited_by_text(workload);
	bool unlimited = workload->quota_mcpu == QUOTA_UNLIMITED_MCPU;
	unsigned n_failed = 0;

	put_text(object, "name", workload->conf->name, &n_failed);
	put_text(object, "role", workload_role_name(workload->conf->role), &n_failed);
	put_text(object, "pool", workload->conf->pool, &n_failed);
	put(object, "exclusive", json_boolean(workload->conf->exclusive), &n_failed);
	put(object, "placed", json_boolean(workload->placed), &n_failed);
	put_cpus(object, "cpus", &workload->cpus, &n_failed);
	put(object, "n_pu", json_integer(workload->n_pu), &n_failed);
	put(object, "n_core", json_integer(workload->n_core), &n_failed);
	put_nodes(object, "nodes", &workload->nodes, &n_failed);
	put_nodes(object, "mems", &workload->mems, &n_failed);
	put(object, "quota_mcpu", unlimited ? json_null() : json_integer(workload->quota_mcpu),
	    &n_failed);
	put(object, "parallelism", parallelism_json(&workload->parallelism), &n_failed);
	put_text(object, "limited_by", limited_by, &n_failed);
	if (workload->conf->n_exclusive > 0)
		put_cpus(object, "own", &workload->own, &n_failed);
	return n_failed ? NULL : TAKE_PTR(object);
}

static json_t *machine_json(const struct topology *topology)
{
	cleanup(json_decrefp) json_t *object = json_object();
	unsigned n_failed = 0;

	put(object, "n_pu", json_integer(topology->n_pu), &n_failed);
	put(object, "n_core", json_integer(topology->n_core), &n_failed);
	put(object, "n_numa", json_integer(topology->n_node), &n_failed);
	put_cpus(object, "pus", &topology->cpus, &n_failed);
	return n_failed ? NULL : TAKE_PTR(object);
}

static json_t *housekeeping_json(const struct plan *plan)
{
	cleanup(json_decrefp) json_t *object = json_object();
	unsigned n_failed = 0;

	put_cpus(object, "cpus", &plan->housekeeping, &n_failed);
	return n_failed ? NULL : TAKE_PTR(object);
}

static json_t *workloads_json(const struct plan *plan)
{
	cleanup(json_decrefp) json_t *array = json_array();
	unsigned n_failed = 0;

	for (size_t i = 0; i < plan->n_workloads; i++)
		n_failed += json_array_append_new(array, plan_workload_json(&plan->workloads[i])) <
			    0;
	return n_failed || !array ? NULL : TAKE_PTR(array);
}

static json_t *unplaced_json(const struct plan *plan)
{
	cleanup(json_decrefp) json_t *array = json_array();
	unsigned n_failed = 0;

	for (size_t i = 0; i < plan->n_workloads; i++) {
		const struct plan_workload *workload = &plan->workloads[i];

		if (workload->placed)
			continue;
		n_failed += json_array_append_new(array, json_pack("{s:s, s:s}", "name",
								   workload->conf->name, "reason",
								   workload->reason)) < 0;
	}
	return n_failed || !array ? NULL : TAKE_PTR(array);
}

json_t *plan_json(const struct plan *plan, const struct topology *topology)
{
	cleanup(json_decrefp) json_t *object = json_object();
	double tenths = round(plan->duration_us * 10) / 10;
	unsigned n_failed = 0;

	put(object, "generation", json_integer((json_int_t)plan->generation), &n_failed);
	put(object, "optimal", json_boolean(plan->optimal), &n_failed);
	put(object, "bound", isnan(plan->bound) ? json_null() : json_real(plan->bound), &n_failed);
	if (plan->bound_item > 0)
		put(object, "bound_item", json_integer(plan->bound_item), &n_failed);
	put(object, "duration_us", json_real(tenths), &n_failed);
	put(object, "machine", machine_json(topology), &n_failed);
	put(object, "housekeeping", housekeeping_json(plan), &n_failed);
	put(object, "workloads", workloads_json(plan), &n_failed);
	put(object, "unplaced", unplaced_json(plan), &n_failed);
	return n_failed ? NULL : TAKE_PTR(object);
}

/* ---- a previous plan out of JSON ---- */

static size_t find_workload(const struct snapshot *snapshot, const char *name)
{
	size_t first = 0, end = snapshot->n_workloads;

	while (first < end) {
		size_t middle = first + (end - first) / 2;
		int order = strcmp(snapshot->workloads[middle].conf->name, name);

		if (order == 0)
			return middle;
		if (order < 0)
			first = middle + 1;
		else
			end = middle;
	}
	return SIZE_MAX;
}

static int parse_workload(const json_t *json, size_t n, const struct snapshot *snapshot,
			  struct plan *plan, struct fault *fault)
{
	const char *name = json_string_value(json_object_get(json, "name"));
	const char *cpus = json_string_value(json_object_get(json, "cpus"));
	const char *own = json_string_value(json_object_get(json, "own"));
	struct plan_workload *workload;
	size_t i;
	int r;

	if (!name || !cpus)
		return fault_set(fault, -EINVAL,
				 "held plan: workload number %zu has no texts 'name' and 'cpus'",
				 n + 1);
	i = find_workload(snapshot, name);
	if (i == SIZE_MAX)
		return 0; /* gone since then */
	workload = &plan->workloads[i];
	if (workload->conf)
		return fault_set(fault, -EINVAL, "held plan: workload '%s' comes twice", name);
	r = cpuset_parse(cpus, &workload->cpus);
	if (r < 0)
		return fault_set(
			fault, r,
			"held plan: workload '%s' has cpus '%s', expected a list such as '0-3,8'",
			name, cpus);
	if (own) {
		r = cpuset_parse(own, &workload->own);
		if (r < 0)
			return fault_set(fault, r,
					 "held plan: workload '%s' has own '%s', expected a list "
					 "such as '0-3,8'",
					 name, own);
	}
	workload->conf = snapshot->workloads[i].conf;
	workload->placed = json_is_true(json_object_get(json, "placed")) &&
			   !cpuset_is_empty(&workload->cpus);
	workload->n_pu = cpuset_count(&workload->cpus);
	workload->limit = LIMIT_NONE;
	workload->quota_mcpu = workload->share_mcpu = QUOTA_UNLIMITED_MCPU;
	return 0;
}

/* Closes the gaps of workloads that the JSON did not name. */
static void drop_unnamed(struct plan *plan)
{
	size_t n = 0;

	for (size_t i = 0; i < plan->n_workloads; i++) {
		if (!plan->workloads[i].conf)
			continue;
		if (n != i) {
			plan->workloads[n] = plan->workloads[i];
			plan->workloads[i] = (struct plan_workload){ 0 };
		}
		n++;
	}
	plan->n_workloads = n;
}

int plan_parse_held(const json_t *json, const struct snapshot *snapshot, struct plan **ret_plan,
		    struct fault *fault)
{
	cleanup(plan_freep) struct plan *plan = calloc(1, sizeof(*plan));
	const json_t *workloads = json_object_get(json, "workloads");
	const json_t *generation = json_object_get(json, "generation");
	size_t n = json_array_size(workloads);
	int r = 0;

	if (!json_is_array(workloads))
		return fault_set(fault, -EINVAL, "held plan: no list 'workloads'");
	if (generation && (!json_is_integer(generation) || json_integer_value(generation) < 0))
		return fault_set(fault, -EINVAL, "held plan: 'generation' is no number from 0 on");
	if (plan)
		plan->workloads = calloc(snapshot->n_workloads + 1, sizeof(*plan->workloads));
	if (!plan || !plan->workloads)
		return fault_set(fault, -ENOMEM, "no memory for the held plan");
	plan->n_workloads = snapshot->n_workloads;
	plan->generation = (uint64_t)json_integer_value(generation);
	plan->bound = NAN;
	for (size_t i = 0; i < n && r == 0; i++)
		r = parse_workload(json_array_get(workloads, i), i, snapshot, plan, fault);
	if (r < 0)
		return r;
	drop_unnamed(plan);
	*ret_plan = TAKE_PTR(plan);
	return 0;
}

/* ---- a table ---- */

#define N_COLUMNS 10

struct row {
	char *cells[N_COLUMNS];
};

static char *printed(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char *printed(const char *format, ...)
{
	char *text = NULL;
	va_list args;
	int n;

	va_start(args, format);
	n = vasprintf(&text, format, args);
	va_end(args);
	return n < 0 ? NULL : text;
}

/* "4", "1.5" */
static char *pu_text(uint32_t mcpu)
{
	char text[32];
	size_t n;

	if (mcpu == QUOTA_UNLIMITED_MCPU)
		return strdup("-");
	n = (size_t)snprintf(text, sizeof(text), "%u.%03u", mcpu / 1000, mcpu % 1000);
	while (text[n - 1] == '0')
		n--;
	if (text[n - 1] == '.')
		n--;
	text[n] = '\0';
	return strdup(text);
}

static struct row workload_row(const struct plan_workload *workload)
{
	struct row row = { {
		strdup(workload->conf->name),
		strdup(workload_role_name(workload->conf->role)),
		strdup(workload->conf->pool),
		strdup(workload->conf->exclusive ? "own" : "free"),
		cpuset_format(&workload->cpus),
		nodeset_format(&workload->nodes),
		printed("%u", workload->n_core),
		pu_text(workload->quota_mcpu),
		printed("%u", workload->parallelism.advised),
		plan_limited_by_text(workload),
	} };

	return row;
}

static void rows_free(struct row *rows, size_t n_rows)
{
	for (size_t i = 0; rows && i < n_rows; i++)
		for (size_t c = 0; c < N_COLUMNS; c++)
			free(rows[i].cells[c]);
	free(rows);
}

/* The last column is not padded, so that no line ends in blanks. */
static int rows_print(FILE *out, const struct row *rows, size_t n_rows)
{
	static const char *const heads[N_COLUMNS] = { "NAME",	 "ROLE",      "POOL",  "USE",
						      "PUS",	 "NODES",     "CORES", "QUOTA",
						      "THREADS", "LIMITED BY" };
	int widths[N_COLUMNS];

	for (size_t c = 0; c < N_COLUMNS; c++)
		widths[c] = (int)strlen(heads[c]);
	for (size_t i = 0; i < n_rows; i++)
		for (size_t c = 0; c < N_COLUMNS; c++) {
			if (!rows[i].cells[c])
				return -ENOMEM;
			if ((int)strlen(rows[i].cells[c]) > widths[c])
				widths[c] = (int)strlen(rows[i].cells[c]);
		}
	for (size_t c = 0; c + 1 < N_COLUMNS; c++)
		fprintf(out, "%-*s  ", widths[c], heads[c]);
	fprintf(out, "%s\n", heads[N_COLUMNS - 1]);
	for (size_t i = 0; i < n_rows; i++) {
		for (size_t c = 0; c + 1 < N_COLUMNS; c++)
			fprintf(out, "%-*s  ", widths[c], rows[i].cells[c]);
		fprintf(out, "%s\n", rows[i].cells[N_COLUMNS - 1]);
	}
	return 0;
}

static int table_print(FILE *out, const struct plan *plan, const struct topology *topology)
{
	struct row *rows = calloc(plan->n_workloads + 1, sizeof(*rows));
	cleanup(freep) char *pus = cpuset_format(&plan->cpus);
	cleanup(freep) char *housekeeping = cpuset_format(&plan->housekeeping);
	size_t n_rows = 0;
	int r;

	if (!rows || !pus || !housekeeping) {
		free(rows);
		return -ENOMEM;
	}
	for (size_t i = 0; i < plan->n_workloads; i++)
		if (plan->workloads[i].placed)
			rows[n_rows++] = workload_row(&plan->workloads[i]);
	r = rows_print(out, rows, n_rows);
	rows_free(rows, n_rows);
	for (size_t i = 0; i < plan->n_workloads; i++)
		if (!plan->workloads[i].placed)
			fprintf(out, "%s: not placed: %s\n", plan->workloads[i].conf->name,
				plan->workloads[i].reason);
	fprintf(out, "PUs %s planned (%u cores, %u NUMA nodes), housekeeping %s\n",
		*pus ? pus : "none", topology_n_core_of(topology, &plan->cpus), topology->n_node,
		*housekeeping ? housekeeping : "none");
	return r;
}

char *plan_table(const struct plan *plan, const struct topology *topology)
{
	char *text = NULL;
	size_t n_text = 0;
	FILE *out = open_memstream(&text, &n_text);
	int r;

	if (!out)
		return NULL;
	r = table_print(out, plan, topology);
	if (fclose(out) != 0 || r < 0) {
		free(text);
		return NULL;
	}
	return text;
}
