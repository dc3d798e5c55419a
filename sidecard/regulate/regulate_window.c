/* Readings of the counters, and what they say of a span of time. Counters grow, so the mean over a
 * span is one subtraction, however many samples it holds. */
#include "regulate/regulate_internal.h"

/* A span that somebody looks back over is known to this part of it. REGULATE_N_READINGS leaves room
 * for readings that come late. */
#define WINDOW_GRAINS 100u

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t window_grain_us(const struct regulator *numbers)
{
	uint64_t reach_us = larger(numbers->raise_hold_us, numbers->lower_hold_us);

	return larger(reach_us, numbers->watch_us) / WINDOW_GRAINS;
}

void window_clear(struct regulate_state *state)
{
	state->first_kept = state->n_kept = state->n_read = 0;
}

static const struct regulate_reading *kept_at(const struct regulate_state *state, uint32_t i)
{
	return &state->kept[(state->first_kept + i) % REGULATE_N_READINGS];
}

static void keep(struct regulate_state *state)
{
	if (state->n_kept == REGULATE_N_READINGS)
		state->first_kept = (state->first_kept + 1) % REGULATE_N_READINGS;
	else
		state->n_kept++;
	state->kept[(state->first_kept + state->n_kept - 1) % REGULATE_N_READINGS] = state->last;
}

/* A counter that went back belongs to another cgroup: nothing from before can be compared. */
static bool is_continuation(const struct regulate_reading *last,
			    const struct regulate_sample *sample)
{
	return sample->usage_us >= last->usage_us && sample->n_periods >= last->n_periods &&
	       sample->n_throttled >= last->n_throttled &&
	       sample->throttled_us >= last->throttled_us &&
	       sample->pressure_us >= last->pressure_us && sample->blocked_us >= last->blocked_us;
}

void window_add(const struct regulate_rule *rule, struct regulate_state *state,
		const struct regulate_sample *sample, uint64_t now_us)
{
	bool has_wait = sample->wait_p99_us != REGULATE_UNKNOWN;

	if (state->n_read > 0 && !is_continuation(&state->last, sample)) {
		window_clear(state);
		breaker_watch_end(state);
	}
	if (state->n_read == 0)
		state->last = (struct regulate_reading){ 0 };
	state->before = state->last;
	state->last = (struct regulate_reading){
		.time_us = now_us,
		.usage_us = sample->usage_us,
		.n_periods = sample->n_periods,
		.n_throttled = sample->n_throttled,
		.throttled_us = sample->throttled_us,
		.pressure_us = sample->pressure_us,
		.blocked_us = sample->blocked_us,
		.wait_sum_us = state->before.wait_sum_us + (has_wait ? sample->wait_p99_us : 0),
		.n_waits = state->before.n_waits + has_wait,
	};
	if (state->n_read < 2)
		state->n_read++;
	if (state->n_kept == 0 ||
	    now_us - kept_at(state, state->n_kept - 1)->time_us >= window_grain_us(&rule->numbers))
		keep(state);
}

const struct regulate_reading *window_at(const struct regulate_state *state, uint64_t age_us,
					 uint64_t floor_us)
{
	if (age_us == 0)
		return state->n_read > 1 && state->before.time_us >= floor_us ? &state->before
									      : NULL;
	for (uint32_t i = state->n_kept; i-- > 0;) {
		const struct regulate_reading *reading = kept_at(state, i);

		if (reading->time_us < floor_us)
			return NULL;
		if (state->last.time_us - reading->time_us >= age_us)
			return reading;
	}
	return NULL;
}

const struct regulate_reading *window_within(const struct regulate_state *state, uint64_t age_us,
					     uint64_t floor_us)
{
	for (uint32_t i = 0; i < state->n_kept; i++) {
		const struct regulate_reading *reading = kept_at(state, i);

		if (reading->time_us >= floor_us && reading->time_us < state->last.time_us &&
		    state->last.time_us - reading->time_us <= age_us)
			return reading;
	}
	return window_at(state, 0, floor_us);
}

const struct regulate_reading *window_periods(const struct regulate_state *state,
					      uint64_t n_periods, uint64_t floor_us)
{
	for (uint32_t i = state->n_kept; i-- > 0;) {
		const struct regulate_reading *reading = kept_at(state, i);

		if (reading->time_us < floor_us)
			return NULL;
		if (state->last.n_periods - reading->n_periods >= n_periods)
			return reading;
	}
	return NULL;
}

static uint32_t capped(uint64_t permille)
{
	return permille < REGULATE_UNKNOWN ? (uint32_t)permille : REGULATE_UNKNOWN - 1;
}

static uint64_t span_of(const struct regulate_state *state, const struct regulate_reading *from)
{
	return state->last.time_us - from->time_us;
}

uint32_t window_used_permille(const struct regulate_state *state,
			      const struct regulate_reading *from, uint32_t value)
{
	return capped(permille_of(state->last.usage_us - from->usage_us,
				  span_of(state, from) * (value > 0 ? value : 1)));
}

/* Kernels account pressure in batches: more than all of a span is all of it. */
static uint32_t share_permille(uint64_t part_us, uint64_t span_us)
{
	return smaller(capped(permille_of(part_us, span_us)), 1000);
}

uint32_t window_blocked_permille(const struct regulate_state *state,
				 const struct regulate_reading *from)
{
	return share_permille(state->last.blocked_us - from->blocked_us, span_of(state, from));
}

uint32_t window_pressure_permille(const struct regulate_state *state,
				  const struct regulate_reading *from)
{
	return share_permille(state->last.pressure_us - from->pressure_us, span_of(state, from));
}

uint32_t window_throttled_permille(const struct regulate_state *state,
				   const struct regulate_reading *from)
{
	return share_permille(state->last.n_throttled - from->n_throttled,
			      state->last.n_periods - from->n_periods);
}

uint32_t window_wait_us(const struct regulate_state *state, const struct regulate_reading *from)
{
	uint64_t n = state->last.n_waits - from->n_waits;

	return n > 0 ? capped((state->last.wait_sum_us - from->wait_sum_us) / n) : REGULATE_UNKNOWN;
}
