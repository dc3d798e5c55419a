/* The breaker: what was worse after a step than before it is taken back, and nothing is tried for a
 * while; then one step on trial. The pattern is the circuit breaker of M. Nygard, Release It!,
 * chapter 5, with the cool-down doubling as retries do elsewhere. */
#include "regulate/regulate_internal.h"

/* One bad sample is not the majority of so many. */
#define WATCH_SAMPLES_LEAST 3u
/* Differences below are what an idle machine's timers and accounting make of nothing: two in a
 * hundred of the time, and the length of a scheduler's wake-up granularity. */
#define NOISE_PERMILLE 20u
#define NOISE_WAIT_US  200u

void breaker_watch_end(struct regulate_state *state)
{
	state->watch_from = 0;
	state->n_watched = 0;
}

void breaker_watch_begin(const struct regulate_rule *rule, struct regulate_state *state,
			 uint32_t from)
{
	const struct regulate_reading *base = window_within(state, rule->numbers.watch_us,
							    state->floor_us);

	breaker_watch_end(state);
	if (rule->numbers.tolerance_permille == 0 || !base)
		return;
	state->watch_from = from;
	state->watch = state->last;
	state->base_throttled_permille = window_throttled_permille(state, base);
	state->base_pressure_permille = window_pressure_permille(state, base);
	state->base_wait_us = window_wait_us(state, base);
}

bool breaker_allows(const struct regulate_state *state)
{
	if (state->breaker == BREAKER_HALF_OPEN)
		return state->watch_from == 0; /* one on trial */
	return state->breaker == BREAKER_CLOSED;
}

static bool is_worse(const struct regulate_rule *rule, uint32_t before, uint32_t after,
		     uint32_t noise)
{
	uint64_t bearable = before + (uint64_t)before * rule->numbers.tolerance_permille / 1000 +
			    noise;

	return before != REGULATE_UNKNOWN && after != REGULATE_UNKNOWN && after > bearable;
}

static bool watch_is_worse(const struct regulate_rule *rule, const struct regulate_state *state)
{
	const struct regulate_reading *since = &state->watch;

	return is_worse(rule, state->base_throttled_permille,
			window_throttled_permille(state, since), NOISE_PERMILLE) ||
	       is_worse(rule, state->base_pressure_permille, window_pressure_permille(state, since),
			NOISE_PERMILLE) ||
	       is_worse(rule, state->base_wait_us, window_wait_us(state, since), NOISE_WAIT_US);
}

static void breaker_open(const struct regulate_rule *rule, struct regulate_state *state)
{
	const struct regulator *numbers = &rule->numbers;
	uint32_t from = state->watch_from, value = state->value;

	if (state->breaker == BREAKER_HALF_OPEN && state->cool_us < numbers->cool_most_us)
		state->cool_us = state->cool_us < numbers->cool_most_us / 2 ? state->cool_us * 2
									    : numbers->cool_most_us;
	else if (state->breaker == BREAKER_CLOSED)
		state->cool_us = numbers->cool_us;
	state->breaker = BREAKER_OPEN;
	state->open_until_us = state->last.time_us + state->cool_us;
	breaker_watch_end(state);
	value_set(state, from);
	state->direction = from > value ? DIRECTION_UP : DIRECTION_DOWN;
	state->stepped_us = state->last.time_us;
}

bool breaker_check(const struct regulate_rule *rule, struct regulate_state *state,
		   const struct regulate_sample *sample)
{
	uint64_t now_us = state->last.time_us;

	if (state->breaker == BREAKER_OPEN && now_us >= state->open_until_us)
		state->breaker = BREAKER_HALF_OPEN;
	if (state->watch_from == 0)
		return false;
	state->n_watched++;
	if (state->n_watched < WATCH_SAMPLES_LEAST)
		return false;
	if (watch_is_worse(rule, state)) {
		if (!value_may_change(rule, state, sample))
			return false; /* at the next safe moment */
		breaker_open(rule, state);
		return true;
	}
	if (now_us - state->watch.time_us < rule->numbers.watch_us)
		return false;
	breaker_watch_end(state);
	state->breaker = BREAKER_CLOSED; /* it was on trial, or all was well anyway */
	return false;
}
