/* What both regulators have around them: limits, when a step is allowed, and what is told of it. */
#include "regulate/regulate.h"

#include "regulate/regulate_internal.h"

/* ---- value and limits ---- */

uint32_t value_most(const struct regulate_rule *rule, const struct regulate_state *state)
{
	uint64_t share = rule->numbers.most_permille < rule->overcommit_permille
				 ? rule->numbers.most_permille
				 : rule->overcommit_permille;
	uint64_t most = state->n_pu * share / 1000;

	if (most > state->most)
		most = state->most;
	return most > 0 ? (uint32_t)most : 1;
}

uint32_t value_least(const struct regulate_rule *rule, const struct regulate_state *state)
{
	return smaller(rule->numbers.least, value_most(rule, state));
}

static uint32_t value_clamp(const struct regulate_rule *rule, const struct regulate_state *state,
			    uint32_t value)
{
	uint32_t least = value_least(rule, state), most = value_most(rule, state);

	return value < least ? least : value > most ? most : value;
}

bool value_may_change(const struct regulate_rule *rule, const struct regulate_state *state,
		      const struct regulate_sample *sample)
{
	return !sample->is_moving &&
	       (!state->has_changed || state->last.time_us - state->changed_us >= rule->safe_us);
}

void value_set(struct regulate_state *state, uint32_t value)
{
	state->value = value;
	state->has_changed = 1;
	state->changed_us = state->floor_us = state->last.time_us;
	state->n_targets = 0;
}

bool value_step(const struct regulate_rule *rule, struct regulate_state *state,
		const struct regulate_sample *sample, uint32_t value)
{
	enum regulate_direction direction;
	uint32_t from = state->value;

	value = value_clamp(rule, state, value);
	if (value == from || !value_may_change(rule, state, sample) || !breaker_allows(state))
		return false;
	direction = value > from ? DIRECTION_UP : DIRECTION_DOWN;
	if (state->direction != DIRECTION_NONE && state->direction != direction &&
	    state->last.time_us - state->stepped_us < rule->numbers.stable_us)
		return false;
	breaker_watch_begin(rule, state, from);
	value_set(state, value);
	state->direction = direction;
	state->stepped_us = state->last.time_us;
	return true;
}

/* ---- a life ---- */

void regulate_begin(const struct regulate_rule *rule, uint32_t cached,
		    struct regulate_state *ret_state)
{
	bool staged = rule->numbers.type == REGULATOR_STAGED;

	*ret_state = (struct regulate_state){
		.stage = !staged      ? STAGE_LOOP
			 : cached > 0 ? STAGE_PROBING
				      : STAGE_COLD,
		.value = !staged      ? 0
			 : cached > 0 ? cached
				      : rule->numbers.cold_least,
		.cached = cached,
		.cool_us = rule->numbers.cool_us,
	};
}

void regulate_rebase(struct regulate_state *state)
{
	window_clear(state);
	breaker_watch_end(state);
	state->n_targets = 0;
}

/* The first sample, or other PUs or quotas than before: what was seen so far says nothing of what
 * will be. */
static enum regulate_reason limits_follow(const struct regulate_rule *rule,
					  struct regulate_state *state,
					  const struct regulate_sample *sample, uint64_t now_us)
{
	uint32_t value = state->value;

	if (state->has_begun && sample->n_pu == state->n_pu && sample->most == state->most)
		return REASON_NONE;
	state->n_pu = sample->n_pu;
	state->most = sample->most;
	state->floor_us = now_us;
	state->n_targets = 0;
	breaker_watch_end(state);
	if (state->stage == STAGE_STEADY)
		state->stage = STAGE_PROBING;
	state->value = value_clamp(rule, state, value > 0 ? value : sample->n_pu);
	if (!state->has_begun) {
		state->has_begun = 1;
		state->begun_us = now_us;
		return REASON_BEGUN;
	}
	if (state->value == value)
		return REASON_NONE;
	state->has_changed = 1;
	state->changed_us = now_us;
	return REASON_LIMITED;
}

static void advice_fill(const struct regulate_state *state, const struct regulate_reading *from,
			uint32_t value, struct regulate_advice *advice)
{
	if (!from)
		return;
	advice->span_us = state->last.time_us - from->time_us;
	advice->used_permille = window_used_permille(state, from, value);
	advice->blocked_permille = window_blocked_permille(state, from);
	advice->n_periods = smaller(UINT32_MAX,
				    (uint32_t)(state->last.n_periods - from->n_periods));
	advice->n_throttled = (uint32_t)(state->last.n_throttled - from->n_throttled);
	advice->pressure_permille = window_pressure_permille(state, from);
	advice->wait_p99_us = window_wait_us(state, from);
}

void regulate(const struct regulate_rule *rule, struct regulate_state *state,
	      const struct regulate_sample *sample, uint64_t now_us,
	      struct regulate_advice *ret_advice)
{
	struct regulate_advice advice = { .from = state->value, .wait_p99_us = REGULATE_UNKNOWN };
	uint32_t value = state->value;
	struct regulate_reading watch = state->watch;
	const struct regulate_reading *from = NULL;

	if (state->n_read == 0 || now_us > state->last.time_us) {
		advice.reason = limits_follow(rule, state, sample, now_us);
		value = state->value;
		window_add(rule, state, sample, now_us);
		if (breaker_check(rule, state, sample)) {
			advice.reason = REASON_ROLLED_BACK;
			from = &watch;
		} else if (advice.reason == REASON_NONE) {
			from = rule->numbers.type == REGULATOR_STAGED
				       ? staged_decide(rule, state, sample, &advice.reason)
				       : loop_decide(rule, state, sample, &advice.reason);
		}
	}
	advice.parallelism = state->value;
	advice.stage = state->stage;
	advice.breaker = state->breaker;
	if (advice.reason != REASON_NONE)
		advice_fill(state, from, value, &advice);
	*ret_advice = advice;
}

uint64_t regulate_next_us(const struct regulate_rule *rule, const struct regulate_state *state)
{
	const struct regulator *numbers = &rule->numbers;
	uint64_t after_us = numbers->interval_us;

	if (state->stage == STAGE_STEADY)
		after_us = numbers->steady_us > 0 ? numbers->steady_us : UINT64_MAX;
	else if (state->stage != STAGE_LOOP)
		after_us = numbers->probe_us;
	if (state->n_read == 0 || after_us == UINT64_MAX)
		return state->n_read == 0 ? 0 : UINT64_MAX;
	return state->last.time_us + after_us;
}
