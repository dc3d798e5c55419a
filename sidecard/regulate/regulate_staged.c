/* Three stages. Cold start: few threads, since what a workload does in its first seconds says
 * little. Probing: a target from what is used and what is blocked, followed only where samples in a
 * row agree on the direction. Steady: locked, until a sample departs or a limit changes. */
#include <string.h>

#include "regulate/regulate_internal.h"

/* All slots busy all the time, but for what accounting leaves out. */
#define FULL_PERMILLE 990u

/* What the present use needs, in thousandths of a thread: so many slots that it fills them up to
 * RaiseAbove=. Where it all but fills what it has (halfway from there), more may be wanted than can
 * be seen: one thread more and more than a little; where it fills it, a whole step.
 *
 * The target's formula alone takes used PUs for less than they are, so what computes without
 * waiting would be told fewer threads than it uses, use fewer, and so on down to the least. */
static uint64_t need_milli(const struct regulate_rule *rule, const struct regulate_state *state,
			   const struct regulate_reading *from)
{
	const struct regulator *numbers = &rule->numbers;
	uint64_t value_milli = (uint64_t)state->value * 1000;
	uint64_t more_milli = value_milli * numbers->depart_permille / 1000 + 1;
	uint32_t used_permille = window_used_permille(state, from, state->value);
	uint64_t least_milli = 1000 *
			       (used_permille > FULL_PERMILLE ? (uint64_t)numbers->step_most : 1);

	if (used_permille > (1000 + numbers->raise_permille) / 2)
		return value_milli + (more_milli > least_milli ? more_milli : least_milli);
	return (uint64_t)window_used_permille(state, from, 1) * 1000 / numbers->raise_permille;
}

/* n_pu × (used weight × utilisation of the PUs + blocked weight × share of time blocked), in
 * thousandths of a thread, at least what the present use needs, inside the limits. */
static uint32_t target_milli(const struct regulate_rule *rule, const struct regulate_state *state,
			     const struct regulate_reading *from)
{
	const struct regulator *numbers = &rule->numbers;
	uint64_t used = smaller(window_used_permille(state, from, state->n_pu), 1000);
	uint64_t blocked = window_blocked_permille(state, from);
	uint64_t least = (uint64_t)value_least(rule, state) * 1000;
	uint64_t most = (uint64_t)value_most(rule, state) * 1000;
	uint64_t target = (used * numbers->used_permille + blocked * numbers->blocked_permille) *
			  state->n_pu / 1000;
	uint64_t need = need_milli(rule, state, from);

	if (target < need)
		target = need;
	if (target < least)
		target = least;
	return (uint32_t)(target < most ? target : most);
}

static bool departs(uint32_t from_milli, uint32_t milli, uint32_t permille)
{
	uint64_t difference = milli > from_milli ? milli - from_milli : from_milli - milli;

	return difference * 1000 > (uint64_t)from_milli * permille;
}

static void targets_add(const struct regulate_rule *rule, struct regulate_state *state,
			uint32_t milli)
{
	uint32_t n = rule->numbers.n_samples;

	if (state->n_targets >= n) {
		memmove(state->targets_milli, state->targets_milli + 1,
			(n - 1) * sizeof(*state->targets_milli));
		state->n_targets = n - 1;
	}
	state->targets_milli[state->n_targets++] = milli;
}

static uint32_t targets_mean(const struct regulate_state *state)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < state->n_targets; i++)
		sum += state->targets_milli[i];
	return (uint32_t)(sum / state->n_targets);
}

/* All of them on the same side of the value, and each by more than a little. */
static bool targets_depart(const struct regulate_rule *rule, const struct regulate_state *state)
{
	uint32_t value_milli = state->value * 1000, n_above = 0;

	for (uint32_t i = 0; i < state->n_targets; i++) {
		if (!departs(value_milli, state->targets_milli[i], rule->numbers.depart_permille))
			return false;
		n_above += state->targets_milli[i] > value_milli;
	}
	return n_above == 0 || n_above == state->n_targets;
}

static bool targets_agree(const struct regulate_rule *rule, const struct regulate_state *state)
{
	uint32_t least = UINT32_MAX, most = 0;

	for (uint32_t i = 0; i < state->n_targets; i++) {
		least = smaller(least, state->targets_milli[i]);
		most = state->targets_milli[i] > most ? state->targets_milli[i] : most;
	}
	return (uint64_t)(most - least) * 1000 <
	       (uint64_t)targets_mean(state) * rule->numbers.settle_permille;
}

/* The value that the targets ask for, no further than one step away. Downwards it is rounded up:
 * what is a little too small would be taken for busy next, and the way down and up had no end. */
static uint32_t targets_value(const struct regulate_rule *rule, const struct regulate_state *state)
{
	uint32_t mean = targets_mean(state), most = rule->numbers.step_most;
	uint32_t value = state->value;

	if (mean > value * 1000) {
		uint32_t goal = (mean + 500) / 1000;

		return goal - value > most ? value + most : goal;
	} else {
		uint32_t goal = (mean + 999) / 1000;

		return value - goal > most ? value - most : goal;
	}
}

static enum regulate_reason cold_decide(const struct regulate_rule *rule,
					struct regulate_state *state,
					const struct regulate_sample *sample,
					const struct regulate_reading *from)
{
	if (state->value >= rule->numbers.cold_most ||
	    window_used_permille(state, from, state->value) <= rule->numbers.raise_permille)
		return REASON_NONE;
	return value_step(rule, state, sample, state->value + 1) ? REASON_COLD_BUSY : REASON_NONE;
}

static enum regulate_reason probe_decide(const struct regulate_rule *rule,
					 struct regulate_state *state,
					 const struct regulate_sample *sample,
					 const struct regulate_reading *from)
{
	uint32_t value;

	targets_add(rule, state, target_milli(rule, state, from));
	if (state->n_targets < rule->numbers.n_samples)
		return REASON_NONE;
	value = targets_value(rule, state);
	if (value != state->value && targets_depart(rule, state)) {
		if (!value_step(rule, state, sample, value))
			return REASON_NONE;
		state->n_targets = 0;
		return REASON_PROBED;
	}
	if (!targets_agree(rule, state) || state->watch_from != 0)
		return REASON_NONE;
	state->stage = STAGE_STEADY;
	state->cached = state->value;
	state->locked_milli = targets_mean(state);
	return REASON_LOCKED;
}

static enum regulate_reason steady_decide(const struct regulate_rule *rule,
					  struct regulate_state *state,
					  const struct regulate_reading *from)
{
	uint32_t milli = target_milli(rule, state, from);

	if (!departs(state->locked_milli, milli, rule->numbers.depart_permille))
		return REASON_NONE;
	state->stage = STAGE_PROBING;
	state->n_targets = 0;
	targets_add(rule, state, milli);
	return REASON_UNLOCKED;
}

const struct regulate_reading *staged_decide(const struct regulate_rule *rule,
					     struct regulate_state *state,
					     const struct regulate_sample *sample,
					     enum regulate_reason *ret_reason)
{
	const struct regulate_reading *from = window_at(state, 0, 0);

	if (state->stage == STAGE_COLD &&
	    state->last.time_us - state->begun_us >= rule->numbers.cold_us) {
		state->stage = STAGE_PROBING;
		state->n_targets = 0;
	}
	if (!from)
		return NULL;
	switch ((enum regulate_stage)state->stage) {
	case STAGE_COLD:
		*ret_reason = cold_decide(rule, state, sample, from);
		break;
	case STAGE_PROBING:
		*ret_reason = probe_decide(rule, state, sample, from);
		break;
	case STAGE_STEADY:
		*ret_reason = steady_decide(rule, state, from);
		break;
	case STAGE_LOOP:
		break;
	}
	return from;
}
