/* What a regulator knows, was given and said goes through text and back without a difference. */
#include "regulate_fixture.h"

#include <errno.h>
#include <stdlib.h>

#include "regulate/regulate_text.h"

static char *dumped(json_t *json)
{
	char *text = json_dumps(json, JSON_COMPACT);

	assert_non_null(text);
	json_decref(json);
	return text;
}

static void parse(const char *text, struct regulate_line *line)
{
	json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	struct fault fault;

	assert_non_null(json);
	if (regulate_line_parse(json, line, &fault) < 0)
		fail_msg("%s", fault.text);
	line->name = NULL;
	json_decref(json);
}

/* A load that makes steps, roll-backs and locks. */
static void vary(struct sim *sim, unsigned i)
{
	uint64_t span_us = regulate_next_us(&sim->rule, &sim->state) - sim->now_us;

	span_us = span_us > 60 * S ? 60 * S : span_us;
	sim->sample.n_periods += span_us / (100 * MS);
	sim->sample.n_throttled += i % 7 == 0;
	sim->sample.pressure_us += (i / 100 % 3) * span_us / 10;
	sim->sample.blocked_us += (i / 50 % 2) * span_us / 2;
	sim->sample.wait_p99_us = i % 500 < 250 ? REGULATE_UNKNOWN : i * 3;
	if (i % 1000 == 999)
		sim->sample.n_pu = 4 + i / 1000;
	sim_step(sim, span_us, (i / 200 % 3) * sim->state.value * 490);
}

/* From any moment on, what was recorded gives the same advice, byte for byte. */
static void replayed(void **state)
{
	(void)state;
	for (enum regulator_type type = REGULATOR_STAGED; type <= REGULATOR_LOOP; type++) {
		unsigned n_told = 0;

		for (unsigned begin = 1; begin < 4000; begin += 777) {
			/* Some 10 KiB each. */
			static struct regulate_line line;
			static struct sim sim, again;
			char *text;

			sim_begin(&sim, type, 16);
			sim.rule.safe_us = 1 * S;
			sim_sample(&sim);
			for (unsigned i = 1; i < begin; i++)
				vary(&sim, i);
			text = dumped(regulate_begin_json("web", &sim.rule, &sim.state));
			parse(text, &line);
			free(text);
			assert_int_equal(line.kind, LINE_BEGIN);
			assert_memory_equal(&line.rule.numbers, &sim.rule.numbers,
					    sizeof(line.rule.numbers));
			assert_int_equal(line.rule.overcommit_permille, 1000);
			assert_int_equal(line.rule.safe_us, 1 * S);
			assert_memory_equal(&line.state, &sim.state, sizeof(line.state));
			again = (struct sim){ .rule = line.rule, .state = line.state };
			for (unsigned i = begin; i < begin + 2000; i++) {
				char *said, *expected;

				vary(&sim, i);
				text = dumped(regulate_sample_json("web", &sim.sample, sim.now_us));
				parse(text, &line);
				free(text);
				assert_int_equal(line.kind, LINE_SAMPLE);
				assert_memory_equal(&line.sample, &sim.sample, sizeof(line.sample));
				again.sample = line.sample;
				again.now_us = line.time_us;
				sim_sample(&again);
				said = dumped(
					regulate_advice_json("web", &again.advice, again.now_us));
				expected = dumped(
					regulate_advice_json("web", &sim.advice, sim.now_us));
				assert_string_equal(said, expected);
				parse(said, &line);
				assert_int_equal(line.kind, LINE_ADVICE);
				n_told += sim.advice.reason != REASON_NONE;
				free(said);
				free(expected);
			}
		}
		assert_true(n_told > 20); /* something happened at all */
	}
}

/* @old of a good line replaced by @new. */
static char *spoilt(const char *text, const char *old, const char *new)
{
	const char *at = strstr(text, old);
	char *result = NULL;

	assert_non_null(at);
	assert_true(asprintf(&result, "%.*s%s%s", (int)(at - text), text, new, at + strlen(old)) >
		    0);
	return result;
}

static void refused(void **state)
{
	static const struct {
		const char *why, *old, *new;
		bool of_begin;
	} rows[] = {
		{ "not ours", "\"sample\"", "\"simple\"", false },
		{ "a name that could be anything", "\"web\"", "\"../web\"", false },
		{ "no time", "\"time_us\"", "\"time\"", false },
		{ "negative", "\"n_periods\":0", "\"n_periods\":-1", false },
		{ "a fraction", "\"n_periods\":0", "\"n_periods\":0.5", false },
		{ "a text", "\"n_periods\":0", "\"n_periods\":\"0\"", false },
		{ "no PU", "\"n_pu\":16", "\"n_pu\":0", false },
		{ "more PUs than there can be", "\"n_pu\":16", "\"n_pu\":8193", false },
		{ "too large for its field", "\"most\":4294967295", "\"most\":4294967296", false },
		{ "a number that divides", "\"raise_permille\":900", "\"raise_permille\":0", true },
		{ "no samples in a row", "\"n_samples\":3", "\"n_samples\":0", true },
		{ "more than there is room for", "\"n_samples\":3", "\"n_samples\":17", true },
		{ "more targets than samples", "\"n_targets\":0", "\"n_targets\":4", true },
		{ "beyond the readings", "\"first_kept\":0", "\"first_kept\":128", true },
		{ "more readings than room", "\"n_kept\":0", "\"n_kept\":129", true },
		{ "a list too short", "\"last\":[0,", "\"last\":[", true },
		{ "no list", "\"last\":[0,0,0,0,0,0,0,0,0]", "\"last\":0", true },
		{ "a loop's state and a staged rule", "\"stage\":0", "\"stage\":3", true },
		{ "no such stage", "\"stage\":0", "\"stage\":4", true },
		{ "begun without a value", "\"has_begun\":0", "\"has_begun\":1", true },
		{ "no rule", "\"rule\"", "\"role\"", true },
	};
	struct regulate_line line;
	struct sim sim;
	char *begin, *sample;

	(void)state;
	sim_begin(&sim, REGULATOR_STAGED, 16);
	begin = dumped(regulate_begin_json("web", &sim.rule, &sim.state));
	sample = dumped(regulate_sample_json("web", &sim.sample, 5));
	parse(begin, &line);
	parse(sample, &line);
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		char *text = spoilt(rows[i].of_begin ? begin : sample, rows[i].old, rows[i].new);
		json_t *json = json_loads(text, 0, NULL);
		struct fault fault = { 0 };

		assert_non_null(json);
		if (regulate_line_parse(json, &line, &fault) != -EINVAL || fault.text[0] == '\0')
			fail_msg("%s was taken", rows[i].why);
		json_decref(json);
		free(text);
	}
	free(begin);
	free(sample);
}

static void words(void **state)
{
	struct regulate_advice advice = { .reason = REASON_BUSY,
					  .from = 4,
					  .span_us = 3 * S,
					  .used_permille = 952,
					  .n_periods = 30,
					  .n_throttled = 2,
					  .pressure_permille = 7,
					  .blocked_permille = 100,
					  .wait_p99_us = REGULATE_UNKNOWN };
	char *text = regulate_advice_text(&advice);

	(void)state;
	assert_string_equal(text, "busy: 95.2% of 4 slots used, 2 of 30 periods throttled, "
				  "pressure 0.7%, blocked 10.0%, over 3000 ms");
	free(text);
	advice.wait_p99_us = 1234;
	text = regulate_advice_text(&advice);
	assert_non_null(strstr(text, ", run queue p99 1234 us, over"));
	free(text);
	advice = (struct regulate_advice){ .reason = REASON_BEGUN };
	text = regulate_advice_text(&advice);
	assert_string_equal(text, "begun");
	free(text);
	for (unsigned i = 0; i <= REASON_ROLLED_BACK; i++)
		assert_non_null(regulate_reason_name((enum regulate_reason)i));
	assert_null(regulate_reason_name((enum regulate_reason)(REASON_ROLLED_BACK + 1)));
	assert_null(regulate_stage_name((enum regulate_stage)(STAGE_LOOP + 1)));
	assert_null(regulate_breaker_name((enum regulate_breaker)(BREAKER_HALF_OPEN + 1)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replayed),
		cmocka_unit_test(refused),
		cmocka_unit_test(words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
