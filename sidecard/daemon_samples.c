/* What others are told of samples and regulators: recordings as lines, measurements of this moment,
 * and steady values for a next life. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/events.h"
#include "daemon_internal.h"
#include "daemon_regulate.h"
#include "regulate/regulate_text.h"

/* ---- recordings ---- */

/* Lines are kept so long after somebody asked for them last. */
#define RECORDING_LASTS_US UINT64_C(30000000)
/* A recorder that is slower than this many lines loses some, and is told so. */
#define LINES_MAX 8192u
/* One reply: a line that begins a workload is some 10 KiB, one of a sample 200 bytes. */
#define REPLY_BYTES (256u << 10)

struct recording {
	char *lines[LINES_MAX]; /* line number n is at n % LINES_MAX */
	uint64_t n_lines;	/* ever written: the number of the next one */
	uint64_t until_us;
};

struct recording *recording_free(struct recording *recording)
{
	if (!recording)
		return NULL;
	for (size_t i = 0; i < LINES_MAX; i++)
		free(recording->lines[i]);
	free(recording);
	return NULL;
}

static bool is_recording(const struct regulation *regulation)
{
	const struct sys *sys = &regulation->daemon->sys;

	return regulation->recording && sys->now_us(sys) < regulation->recording->until_us;
}

/* Takes over @json. What memory is too short for is a gap like any other. */
static void line_add(struct recording *recording, json_t *json)
{
	char **line = &recording->lines[recording->n_lines++ % LINES_MAX];

	free(*line);
	*line = json ? json_dumps(json, JSON_COMPACT) : NULL;
	json_decref(json);
}

void recording_begin(struct regulation *regulation, const struct regulated *regulated)
{
	if (is_recording(regulation))
		line_add(regulation->recording,
			 regulate_begin_json(regulated->name, &regulated->rule, &regulated->state));
}

void recording_sample(struct regulation *regulation, const struct regulated *regulated,
		      const struct regulate_sample *sample, uint64_t now_us,
		      const struct regulate_advice *advice)
{
	if (!is_recording(regulation))
		return;
	line_add(regulation->recording, regulate_sample_json(regulated->name, sample, now_us));
	if (advice->reason != REASON_NONE)
		line_add(regulation->recording,
			 regulate_advice_json(regulated->name, advice, now_us));
}

/* Nobody has recorded for a while: what is said from now on begins with what all know. */
static int recording_start(struct regulation *regulation)
{
	if (!regulation->recording)
		regulation->recording = calloc(1, sizeof(*regulation->recording));
	if (!regulation->recording)
		return -ENOMEM;
	for (size_t i = 0; i < LINES_MAX; i++) {
		free(regulation->recording->lines[i]);
		regulation->recording->lines[i] = NULL;
	}
	/* Numbers go on, so that a recorder that was away learns of its gap. */
	regulation->recording->n_lines += LINES_MAX;
	for (size_t i = 0; i < regulation->n_items; i++) {
		const struct regulated *regulated = regulation->items[i];

		if (regulated && regulated->cgroups.n_items > 0)
			line_add(regulation->recording,
				 regulate_begin_json(regulated->name, &regulated->rule,
						     &regulated->state));
	}
	return 0;
}

json_t *samples_told(struct regulation *regulation, uint64_t after)
{
	const struct daemon *daemon = regulation->daemon;
	uint64_t now_us = daemon->sys.now_us(&daemon->sys), first, n_bytes = 0;
	bool is_start = !is_recording(regulation);
	struct recording *recording;
	json_t *lines = json_array();

	if (is_start && recording_start(regulation) < 0) {
		json_decref(lines);
		return NULL;
	}
	recording = regulation->recording;
	recording->until_us = now_us + RECORDING_LASTS_US;
	first = recording->n_lines > LINES_MAX ? recording->n_lines - LINES_MAX : 0;
	first = after > first && after <= recording->n_lines ? after : first;
	while (first < recording->n_lines && !recording->lines[first % LINES_MAX])
		first++; /* of before the start */
	for (uint64_t at = first; at < recording->n_lines && n_bytes < REPLY_BYTES; at++) {
		const char *line = recording->lines[at % LINES_MAX];

		n_bytes += line ? strlen(line) : 0;
		if (line && json_array_append_new(lines, json_string(line)) < 0) {
			json_decref(lines);
			return NULL;
		}
		first = at + 1;
	}
	return json_pack("{s:o, s:I, s:b}", "lines", lines, "next", (json_int_t)first, "lost",
			 after > 0 && (is_start || after + LINES_MAX < recording->n_lines ||
				       after > recording->n_lines));
}

/* ---- measurements ---- */

/* Each is up to four files of each of its cgroups: so many in one turn of the event loop. */
#define MEASUREMENTS_MAX 64u

static json_t *regulator_json(const struct regulated *regulated)
{
	cleanup(freep) char *text = NULL;

	if (!regulated)
		return json_null();
	text = regulate_advice_text(&regulated->last);
	return json_pack("{s:s, s:s, s:i, s:s?, s:i}", "stage",
			 regulate_stage_name(regulated->state.stage), "breaker",
			 regulate_breaker_name(regulated->state.breaker), "parallelism",
			 (int)regulated->state.value, "reason",
			 regulated->last.reason != REASON_NONE ? text : NULL, "n_lendable",
			 (int)regulated->loan.n_lent);
}

static json_t *measurement_json(struct regulation *regulation, size_t i)
{
	const struct daemon *daemon = regulation->daemon;
	const struct plan_workload *placed = &daemon->edition.plan->workloads[i];
	struct regulated_cgroups cgroups = { 0 };
	struct sample_counters counters = { 0 };
	struct sample_memory memory = { 0 };
	bool runs = false;
	json_t *json;

	if (regulated_cgroups_make(regulation, i, &cgroups) < 0)
		return NULL;
	for (size_t k = 0; k < cgroups.n_items; k++) {
		if (regulated_cgroup_open(regulation, &cgroups.items[k]) < 0)
			continue;
		if (sample_read(&daemon->sys, &cgroups.items[k].source, &counters) == 0)
			runs = true;
		sample_read_memory(&daemon->sys, &cgroups.items[k].source, &placed->nodes, &memory);
	}
	json = json_pack(
		"{s:s, s:I, s:b, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "name",
		placed->conf->name, "time_us", (json_int_t)daemon->sys.now_us(&daemon->sys), "runs",
		runs, "n_pu", (int)placed->n_pu, "parallelism", (int)placed->parallelism.advised,
		"usage_us", (json_int_t)counters.usage_us, "n_periods",
		(json_int_t)counters.n_periods, "n_throttled", (json_int_t)counters.n_throttled,
		"throttled_us", (json_int_t)counters.throttled_us, "pressure_us",
		(json_int_t)counters.pressure_us, "blocked_us", (json_int_t)counters.blocked_us,
		"near_bytes", (json_int_t)memory.near_bytes, "remote_bytes",
		(json_int_t)memory.remote_bytes, "regulator",
		regulator_json(i < regulation->n_items ? regulation->items[i] : NULL));
	regulated_cgroups_done(regulation, &cgroups);
	return json;
}

json_t *measurements_told(struct regulation *regulation, const char *after)
{
	const struct daemon *daemon = regulation->daemon;
	const struct plan *plan = daemon->retired_conf ? NULL : daemon->edition.plan;
	json_t *workloads = json_array();
	size_t n = plan ? plan->n_workloads : 0, i = 0;

	while (i < n && after && strcmp(plan->workloads[i].conf->name, after) <= 0)
		i++;
	for (size_t end = i + MEASUREMENTS_MAX; i < n && i < end; i++)
		if (json_array_append_new(workloads, measurement_json(regulation, i)) < 0) {
			json_decref(workloads);
			return NULL;
		}
	return json_pack("{s:o, s:s?}", "workloads", workloads, "next",
			 i < n ? plan->workloads[i - 1].conf->name : NULL);
}

/* ---- steady values ---- */

/* A checkpoint of any content is survived, and grows no further than this. */
#define STEADIES_MAX 32768u

/* FNV-1a (Fowler, Noll, Vo) over which PU is where: the same on the same machine. */
static uint64_t machine_of(const struct topology *topology)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (uint32_t i = 0; i < topology->n_pu; i++) {
		const uint32_t words[] = { topology->pus[i].pu_os, topology->pus[i].core,
					   topology->pus[i].l3, topology->pus[i].node };

		for (size_t k = 0; k < N_ELEMENTS(words); k++)
			hash = (hash ^ words[k]) * UINT64_C(0x100000001b3);
	}
	return hash >> 1; /* JSON libraries take 63 bits */
}

static struct steady *steady_of(const struct regulation *regulation, const char *name,
				uint64_t machine)
{
	for (size_t i = 0; i < regulation->n_steadies; i++)
		if (regulation->steadies[i].machine == machine &&
		    strcmp(regulation->steadies[i].name, name) == 0)
			return &regulation->steadies[i];
	return NULL;
}

uint32_t steady_find(const struct regulation *regulation, const char *name)
{
	const struct steady *steady = steady_of(regulation, name,
						machine_of(regulation->daemon->topology));

	return steady ? steady->parallelism : 0;
}

static int steady_add(struct regulation *regulation, const char *name, uint64_t machine,
		      uint32_t parallelism)
{
	struct steady *steady = steady_of(regulation, name, machine);
	struct steady *steadies;

	if (steady) {
		int is_news = steady->parallelism != parallelism;

		steady->parallelism = parallelism;
		return is_news;
	}
	if (regulation->n_steadies >= STEADIES_MAX)
		return -ENOSPC;
	steadies = realloc(regulation->steadies, (regulation->n_steadies + 1) * sizeof(*steadies));
	if (!steadies)
		return -ENOMEM;
	regulation->steadies = steadies;
	steadies[regulation->n_steadies] = (struct steady){ strdup(name), machine, parallelism };
	if (!steadies[regulation->n_steadies].name)
		return -ENOMEM;
	regulation->n_steadies++;
	return 1;
}

/* 1: that is news; 0; or -errno, which only means that a next life begins cold. */
int steady_set(struct regulation *regulation, const char *name, uint32_t parallelism)
{
	return steady_add(regulation, name, machine_of(regulation->daemon->topology), parallelism);
}

void steadies_done(struct regulation *regulation)
{
	for (size_t i = 0; i < regulation->n_steadies; i++)
		free(regulation->steadies[i].name);
	free(regulation->steadies);
	regulation->steadies = NULL;
	regulation->n_steadies = 0;
}

json_t *steadies_json(const struct regulation *regulation)
{
	json_t *json = json_array();

	for (size_t i = 0; regulation && i < regulation->n_steadies; i++)
		json_array_append_new(
			json, json_pack("{s:s, s:I, s:i}", "workload", regulation->steadies[i].name,
					"machine", (json_int_t)regulation->steadies[i].machine,
					"parallelism", (int)regulation->steadies[i].parallelism));
	return json;
}

void steadies_load(struct regulation *regulation, const json_t *json)
{
	json_t *item;
	size_t i;

	json_array_foreach (json, i, item) {
		const char *name = json_string_value(json_object_get(item, "workload"));
		json_int_t machine = json_integer_value(json_object_get(item, "machine"));
		json_int_t parallelism = json_integer_value(json_object_get(item, "parallelism"));

		if (name && name_is_valid(name) && machine > 0 && parallelism > 0 &&
		    parallelism <= CPUSET_MAX)
			steady_add(regulation, name, (uint64_t)machine, (uint32_t)parallelism);
	}
	for (size_t k = 0; k < regulation->n_items; k++) {
		struct regulated *regulated = regulation->items[k];

		if (regulated && !regulated->state.has_begun)
			regulate_begin(&regulated->rule, steady_find(regulation, regulated->name),
				       &regulated->state);
	}
}
