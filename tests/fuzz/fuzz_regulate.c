/* Any bytes as a recording and as the files of a cgroup: either a line is refused, or a regulator
 * goes on with what it says, inside the limits that the line itself states. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "regulate/regulate_text.h"
#include "sense/sample.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data);

static void check_files(const char *text)
{
	struct sample_counters counters = { 0 };
	struct sample_memory memory = { 0 };
	cleanup(nodeset_done) struct nodeset near = { 0 };
	uint64_t total_us;

	assert(nodeset_parse("0", &near) == 0);
	sample_parse_stat(text, &counters);
	sample_parse_pressure(text, &total_us);
	sample_parse_memory(text, &near, &memory);
}

/* A state from outside, and samples that go on from there. */
static void check_life(struct regulate_line *begin, const struct regulate_sample *first)
{
	struct regulate_sample sample = *first;
	struct regulate_advice advice;
	uint64_t now_us = begin->state.last.time_us;

	for (unsigned i = 0; i < 40; i++) {
		now_us += begin->rule.numbers.interval_us;
		sample.usage_us += i * 1000;
		sample.n_periods++;
		sample.n_throttled += i % 3 == 0;
		regulate(&begin->rule, &begin->state, &sample, now_us, &advice);
		assert(advice.parallelism >= 1 || begin->state.n_read == 0 ||
		       now_us <= begin->state.last.time_us);
		assert(begin->state.n_kept <= REGULATE_N_READINGS);
		assert(begin->state.n_targets <= REGULATOR_SAMPLES_MAX);
		free(regulate_advice_text(&advice));
		regulate_next_us(&begin->rule, &begin->state);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data)
{
	cleanup(freep) char *text = strndup((const char *)data, n_data);
	struct regulate_sample sample = { .n_pu = 8, .most = 8, .wait_p99_us = REGULATE_UNKNOWN };
	struct regulate_line begin, line;
	bool has_begun = false;

	check_files(text);
	for (char *rest = text, *at; (at = strsep(&rest, "\n"));) {
		json_t *json = json_loads(at, JSON_REJECT_DUPLICATES, NULL);
		struct fault fault = { 0 };
		int r = regulate_line_parse(json, &line, &fault);

		assert(r == 0 || fault.text[0] != '\0');
		if (r == 0 && line.kind == LINE_BEGIN) {
			begin = line;
			has_begun = true;
		} else if (r == 0 && line.kind == LINE_SAMPLE) {
			sample = line.sample;
		}
		json_decref(json);
	}
	if (has_begun)
		check_life(&begin, &sample);
	return 0;
}
