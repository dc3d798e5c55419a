/* Each structure is a table of its fields, so that what is written and what is read cannot come
 * apart. */
#include "regulate/regulate_text.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "model/cpuset.h"

struct field {
	const char *name;
	size_t offset;
	uint32_t n_bytes; /* of one number: 4 or 8 */
	uint32_t n;	  /* numbers side by side; an array where not 1 */
	uint64_t least, most;
};

/* Enough for any clock, counter and span, and a number that JSON libraries take. */
#define NUMBER_MAX ((uint64_t)INT64_MAX)
/* The longest span that configuration takes is a day; ten times that. */
#define SPAN_MAX (UINT64_C(10) * 86400 * 1000000)

#define NUMBER(type, member, low, high)                                                           \
	{                                                                                         \
#member, offsetof(struct type, member), sizeof(((struct type *)NULL)->member), 1, \
			(low), (high)                                                             \
	}
#define COUNT(type, member, high) NUMBER(type, member, 0, high)

#define RULE(member, low, high)                                                                  \
	{                                                                                        \
#member, offsetof(struct regulate_rule, numbers.member),                         \
			sizeof(((struct regulate_rule *)NULL)->numbers.member), 1, (low), (high) \
	}

_Static_assert(sizeof(enum regulator_type) == 4, "written as one number of four bytes");

static const struct field rule_fields[] = {
	RULE(type, REGULATOR_STAGED, REGULATOR_LOOP),
	RULE(least, 1, CPUSET_MAX),
	RULE(most_permille, 1, 16000),
	RULE(stable_us, 0, SPAN_MAX),
	RULE(cold_us, 0, SPAN_MAX),
	RULE(cold_least, 1, CPUSET_MAX),
	RULE(cold_most, 1, CPUSET_MAX),
	RULE(probe_us, 1, SPAN_MAX),
	RULE(used_permille, 0, 1000),
	RULE(blocked_permille, 0, 1000),
	RULE(n_samples, 1, REGULATOR_SAMPLES_MAX),
	RULE(depart_permille, 0, 1000),
	RULE(settle_permille, 0, 1000),
	RULE(step_most, 1, CPUSET_MAX),
	RULE(steady_us, 0, SPAN_MAX),
	RULE(interval_us, 1, SPAN_MAX),
	RULE(raise_permille, 1, 1000),
	RULE(raise_hold_us, 0, SPAN_MAX),
	RULE(raise_pause_us, 0, SPAN_MAX),
	RULE(lower_permille, 0, 1000),
	RULE(lower_hold_us, 0, SPAN_MAX),
	RULE(lower_pause_us, 0, SPAN_MAX),
	RULE(n_throttled, 1, 1000),
	RULE(n_periods, 1, 1000),
	RULE(tolerance_permille, 0, 100000),
	RULE(watch_us, 0, SPAN_MAX),
	RULE(cool_us, 0, SPAN_MAX),
	RULE(cool_most_us, 0, SPAN_MAX),
	NUMBER(regulate_rule, overcommit_permille, 1000, 16000),
	NUMBER(regulate_rule, safe_us, 0, SPAN_MAX),
};

static const struct field sample_fields[] = {
	NUMBER(regulate_sample, n_pu, 1, CPUSET_MAX),
	NUMBER(regulate_sample, most, 1, UINT32_MAX),
	COUNT(regulate_sample, usage_us, NUMBER_MAX),
	COUNT(regulate_sample, n_periods, NUMBER_MAX),
	COUNT(regulate_sample, n_throttled, NUMBER_MAX),
	COUNT(regulate_sample, throttled_us, NUMBER_MAX),
	COUNT(regulate_sample, pressure_us, NUMBER_MAX),
	COUNT(regulate_sample, blocked_us, NUMBER_MAX),
	COUNT(regulate_sample, wait_p99_us, UINT32_MAX),
	COUNT(regulate_sample, is_moving, 1),
};

#define N_IN_READING (sizeof(struct regulate_reading) / sizeof(uint64_t))
#define READINGS(member, count)                                           \
	{                                                                 \
#member, offsetof(struct regulate_state, member), 8,      \
			(uint32_t)(N_IN_READING * (count)), 0, NUMBER_MAX \
	}

static const struct field state_fields[] = {
	COUNT(regulate_state, value, CPUSET_MAX * 16),
	COUNT(regulate_state, n_pu, CPUSET_MAX),
	COUNT(regulate_state, most, UINT32_MAX),
	COUNT(regulate_state, stage, STAGE_LOOP),
	COUNT(regulate_state, breaker, BREAKER_HALF_OPEN),
	COUNT(regulate_state, begun_us, NUMBER_MAX),
	COUNT(regulate_state, floor_us, NUMBER_MAX),
	COUNT(regulate_state, changed_us, NUMBER_MAX),
	COUNT(regulate_state, stepped_us, NUMBER_MAX),
	COUNT(regulate_state, has_begun, 1),
	COUNT(regulate_state, has_changed, 1),
	COUNT(regulate_state, direction, 2),
	READINGS(last, 1),
	READINGS(before, 1),
	READINGS(kept, REGULATE_N_READINGS),
	COUNT(regulate_state, first_kept, REGULATE_N_READINGS - 1),
	COUNT(regulate_state, n_kept, REGULATE_N_READINGS),
	COUNT(regulate_state, n_read, 2),
	{ "targets_milli", offsetof(struct regulate_state, targets_milli), 4, REGULATOR_SAMPLES_MAX,
	  0, UINT32_MAX },
	COUNT(regulate_state, n_targets, REGULATOR_SAMPLES_MAX),
	COUNT(regulate_state, locked_milli, UINT32_MAX),
	COUNT(regulate_state, cached, CPUSET_MAX * 16),
	COUNT(regulate_state, watch_from, CPUSET_MAX * 16),
	COUNT(regulate_state, n_watched, UINT32_MAX),
	READINGS(watch, 1),
	COUNT(regulate_state, base_throttled_permille, UINT32_MAX),
	COUNT(regulate_state, base_pressure_permille, UINT32_MAX),
	COUNT(regulate_state, base_wait_us, UINT32_MAX),
	COUNT(regulate_state, cool_us, SPAN_MAX),
	COUNT(regulate_state, open_until_us, NUMBER_MAX),
};

static const struct field advice_fields[] = {
	COUNT(regulate_advice, parallelism, UINT32_MAX),
	COUNT(regulate_advice, from, UINT32_MAX),
	COUNT(regulate_advice, span_us, NUMBER_MAX),
	COUNT(regulate_advice, used_permille, UINT32_MAX),
	COUNT(regulate_advice, blocked_permille, UINT32_MAX),
	COUNT(regulate_advice, n_periods, UINT32_MAX),
	COUNT(regulate_advice, n_throttled, UINT32_MAX),
	COUNT(regulate_advice, pressure_permille, UINT32_MAX),
	COUNT(regulate_advice, wait_p99_us, UINT32_MAX),
};

/* ---- writing ---- */

static json_t *number_json(const struct field *field, const void *object, uint32_t i)
{
	const char *at = (const char *)object + field->offset + (size_t)i * field->n_bytes;
	uint32_t small;
	uint64_t large;

	if (field->n_bytes == sizeof(small)) {
		memcpy(&small, at, sizeof(small));
		return json_integer(small);
	}
	memcpy(&large, at, sizeof(large));
	return json_integer((json_int_t)(large < NUMBER_MAX ? large : NUMBER_MAX));
}

static json_t *field_json(const struct field *field, const void *object)
{
	json_t *array;

	if (field->n == 1)
		return number_json(field, object, 0);
	array = json_array();
	for (uint32_t i = 0; array && i < field->n; i++)
		if (json_array_append_new(array, number_json(field, object, i)) < 0) {
			json_decref(array);
			return NULL;
		}
	return array;
}

/* Adds the fields to @json; takes it over, so that NULL goes through. */
static json_t *fields_json(json_t *json, const struct field *fields, size_t n_fields,
			   const void *object)
{
	for (size_t i = 0; json && i < n_fields; i++)
		if (json_object_set_new(json, fields[i].name, field_json(&fields[i], object)) < 0) {
			json_decref(json);
			return NULL;
		}
	return json;
}

#define FIELDS_JSON(json, fields, object) fields_json(json, fields, N_ELEMENTS(fields), object)

json_t *regulate_begin_json(const char *name, const struct regulate_rule *rule,
			    const struct regulate_state *state)
{
	return json_pack("{s:s, s:o, s:o}", "begin", name, "rule",
			 FIELDS_JSON(json_object(), rule_fields, rule), "state",
			 FIELDS_JSON(json_object(), state_fields, state));
}

json_t *regulate_sample_json(const char *name, const struct regulate_sample *sample,
			     uint64_t time_us)
{
	return FIELDS_JSON(json_pack("{s:s, s:I}", "sample", name, "time_us", (json_int_t)time_us),
			   sample_fields, sample);
}

json_t *regulate_advice_json(const char *name, const struct regulate_advice *advice,
			     uint64_t time_us)
{
	return FIELDS_JSON(json_pack("{s:s, s:I, s:s, s:s, s:s}", "advice", name, "time_us",
				     (json_int_t)time_us, "reason",
				     regulate_reason_name(advice->reason), "stage",
				     regulate_stage_name(advice->stage), "breaker",
				     regulate_breaker_name(advice->breaker)),
			   advice_fields, advice);
}

/* ---- reading ---- */

static int number_read(const struct field *field, uint32_t i, const json_t *json, void *object,
		       struct fault *fault)
{
	char *at = (char *)object + field->offset + (size_t)i * field->n_bytes;
	json_int_t number = json_integer_value(json);
	uint64_t large = (uint64_t)number;
	uint32_t small = (uint32_t)large;

	if (!json_is_integer(json) || number < 0 || large < field->least || large > field->most)
		return fault_set(fault, -EINVAL,
				 "%s is no whole number from %" PRIu64 " to %" PRIu64, field->name,
				 field->least, field->most);
	memcpy(at, field->n_bytes == sizeof(small) ? (const void *)&small : &large, field->n_bytes);
	return 0;
}

static int fields_read(const struct field *fields, size_t n_fields, const json_t *json,
		       void *object, struct fault *fault)
{
	for (size_t i = 0; i < n_fields; i++) {
		const struct field *field = &fields[i];
		const json_t *value = json_object_get(json, field->name);
		int r = 0;

		if (field->n > 1 && json_array_size(value) != field->n)
			return fault_set(fault, -EINVAL, "%s is no list of %u numbers", field->name,
					 field->n);
		for (uint32_t k = 0; r == 0 && k < field->n; k++)
			r = number_read(field, k, field->n > 1 ? json_array_get(value, k) : value,
					object, fault);
		if (r < 0)
			return r;
	}
	return 0;
}

#define FIELDS_READ(fields, json, object, fault) \
	fields_read(fields, N_ELEMENTS(fields), json, object, fault)

static int begin_read(const json_t *json, struct regulate_line *line, struct fault *fault)
{
	int r = FIELDS_READ(rule_fields, json_object_get(json, "rule"), &line->rule, fault);

	if (r == 0)
		r = FIELDS_READ(state_fields, json_object_get(json, "state"), &line->state, fault);
	if (r < 0)
		return r;
	/* What one number alone cannot tell. */
	if (line->state.n_targets > line->rule.numbers.n_samples ||
	    (line->state.stage == STAGE_LOOP) != (line->rule.numbers.type == REGULATOR_LOOP) ||
	    (line->state.has_begun && (line->state.n_pu == 0 || line->state.value == 0)))
		return fault_set(fault, -EINVAL, "the state does not belong to the rule");
	return 0;
}

int regulate_line_parse(const json_t *json, struct regulate_line *ret_line, struct fault *fault)
{
	static const char *const kinds[] = { "begin", "sample", "advice" };
	struct regulate_line line = { 0 };
	int r = -EINVAL;

	for (size_t i = 0; i < N_ELEMENTS(kinds) && !line.name; i++) {
		line.kind = (enum regulate_line_kind)i;
		line.name = json_string_value(json_object_get(json, kinds[i]));
	}
	if (!line.name || !name_is_valid(line.name))
		return fault_set(fault, r, "no begin, sample or advice of a workload");
	if (line.kind != LINE_BEGIN) {
		static const struct field time = COUNT(regulate_line, time_us, NUMBER_MAX);

		r = fields_read(&time, 1, json, &line, fault);
		if (r < 0)
			return r;
	}
	r = line.kind == LINE_BEGIN    ? begin_read(json, &line, fault)
	    : line.kind == LINE_SAMPLE ? FIELDS_READ(sample_fields, json, &line.sample, fault)
				       : 0;
	if (r == 0)
		*ret_line = line;
	return r;
}

/* ---- words ---- */

const char *regulate_stage_name(enum regulate_stage stage)
{
	static const char *const names[] = { "cold start", "probing", "steady", "loop" };

	return (size_t)stage < N_ELEMENTS(names) ? names[stage] : NULL;
}

const char *regulate_breaker_name(enum regulate_breaker breaker)
{
	static const char *const names[] = { "closed", "open", "half-open" };

	return (size_t)breaker < N_ELEMENTS(names) ? names[breaker] : NULL;
}

const char *regulate_reason_name(enum regulate_reason reason)
{
	static const char *const names[] = {
		[REASON_NONE] = "none",
		[REASON_BEGUN] = "begun",
		[REASON_LIMITED] = "limits",
		[REASON_COLD_BUSY] = "busy in cold start",
		[REASON_PROBED] = "probed",
		[REASON_LOCKED] = "steady",
		[REASON_UNLOCKED] = "departed",
		[REASON_BUSY] = "busy",
		[REASON_IDLE] = "idle",
		[REASON_THROTTLED] = "throttled",
		[REASON_ROLLED_BACK] = "worse after the last step",
	};

	return (size_t)reason < N_ELEMENTS(names) ? names[reason] : NULL;
}

char *regulate_advice_text(const struct regulate_advice *advice)
{
	char wait[48] = "";
	char *text = NULL;

	if (advice->span_us == 0)
		return strdup(regulate_reason_name(advice->reason));
	if (advice->wait_p99_us != REGULATE_UNKNOWN)
		snprintf(wait, sizeof(wait), ", run queue p99 %u us", advice->wait_p99_us);
	if (asprintf(&text,
		     "%s: %u.%u%% of %u slots used, %u of %u periods throttled, pressure %u.%u%%, "
		     "blocked %u.%u%%%s, over %" PRIu64 " ms",
		     regulate_reason_name(advice->reason), advice->used_permille / 10,
		     advice->used_permille % 10, advice->from, advice->n_throttled,
		     advice->n_periods, advice->pressure_permille / 10,
		     advice->pressure_permille % 10, advice->blocked_permille / 10,
		     advice->blocked_permille % 10, wait, advice->span_us / 1000) < 0)
		return NULL;
	return text;
}
