/* Samples, advice and everything that a regulator knows as JSON, one object a line: what the
 * daemon tells, `sidecarctl record` writes and `sidecarctl replay` reads. The same numbers always
 * make the same bytes. */
#pragma once

#include <jansson.h>

#include "base/err.h"
#include "regulate/regulate.h"

enum regulate_line_kind {
	LINE_BEGIN,  /* a workload's rule, and what its regulator knew at this time */
	LINE_SAMPLE, /* what it was given */
	LINE_ADVICE, /* what it said; only where something happened */
};

struct regulate_line {
	enum regulate_line_kind kind;
	const char *name; /* workload; lent by the JSON that it was read from */
	uint64_t time_us;
	struct regulate_rule rule;     /* LINE_BEGIN */
	struct regulate_state state;   /* LINE_BEGIN */
	struct regulate_sample sample; /* LINE_SAMPLE */
};

/* New references; NULL where memory is short. */
json_t *regulate_begin_json(const char *name, const struct regulate_rule *rule,
			    const struct regulate_state *state);
json_t *regulate_sample_json(const char *name, const struct regulate_sample *sample,
			     uint64_t time_us);
json_t *regulate_advice_json(const char *name, const struct regulate_advice *advice,
			     uint64_t time_us);

/* Any JSON from outside: every number is there, whole and in its range, and nothing is left that a
 * regulator could stumble over. Of advice only kind, name and time are read. 0, or -EINVAL with
 * @fault. */
int regulate_line_parse(const json_t *json, struct regulate_line *ret_line, struct fault *fault);

/* "staged" …, "cold start", "closed", "busy"; NULL beyond the enum. */
const char *regulate_stage_name(enum regulate_stage stage);
const char *regulate_breaker_name(enum regulate_breaker breaker);
const char *regulate_reason_name(enum regulate_reason reason);

/* The samples that caused it in words: "busy: 95% of 4 slots used, 12 of 30 periods throttled,
 * pressure 3.1%, over 3s". malloc'ed; NULL where memory is short. */
char *regulate_advice_text(const struct regulate_advice *advice);
