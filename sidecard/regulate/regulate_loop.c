/* The closed loop: a thread more while the slots are nearly all busy, one less while most are idle,
 * one less at once where the quota is used up before its period is over. */
#include "regulate/regulate_internal.h"

static bool paused(const struct regulate_state *state, uint64_t pause_us)
{
	return state->direction != DIRECTION_NONE &&
	       state->last.time_us - state->stepped_us < pause_us;
}

static const struct regulate_reading *throttled_since(const struct regulate_rule *rule,
						      const struct regulate_state *state)
{
	const struct regulator *numbers = &rule->numbers;
	const struct regulate_reading *from = window_periods(state, numbers->n_periods,
							     state->floor_us);
	uint64_t n_periods, n_throttled;

	if (!from)
		return NULL;
	n_periods = state->last.n_periods - from->n_periods;
	n_throttled = state->last.n_throttled - from->n_throttled;
	/* One sample may hold more periods than are asked for: the same part of them then. */
	return n_throttled * numbers->n_periods >= n_periods * numbers->n_throttled ? from : NULL;
}

const struct regulate_reading *loop_decide(const struct regulate_rule *rule,
					   struct regulate_state *state,
					   const struct regulate_sample *sample,
					   enum regulate_reason *ret_reason)
{
	const struct regulator *numbers = &rule->numbers;
	const struct regulate_reading *raise = window_at(state, numbers->raise_hold_us,
							 state->floor_us);
	const struct regulate_reading *lower = window_at(state, numbers->lower_hold_us,
							 state->floor_us);
	const struct regulate_reading *throttled = throttled_since(rule, state);
	uint32_t value = state->value;

	if (throttled && value_step(rule, state, sample, value - 1)) {
		*ret_reason = REASON_THROTTLED;
		return throttled;
	}
	if (raise && !throttled && !paused(state, numbers->raise_pause_us) &&
	    window_used_permille(state, raise, value) > numbers->raise_permille &&
	    value_step(rule, state, sample, value + 1)) {
		*ret_reason = REASON_BUSY;
		return raise;
	}
	if (lower && !paused(state, numbers->lower_pause_us) &&
	    window_used_permille(state, lower, value) < numbers->lower_permille &&
	    value_step(rule, state, sample, value - 1)) {
		*ret_reason = REASON_IDLE;
		return lower;
	}
	return NULL;
}
