/* What the regulate_*.c files share. */
#pragma once

#include <stddef.h>

#include "regulate/regulate.h"

enum regulate_direction { DIRECTION_NONE, DIRECTION_UP, DIRECTION_DOWN };

static inline uint32_t smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static inline uint64_t permille_of(uint64_t part, uint64_t whole)
{
	uint64_t scaled;

	if (whole == 0)
		return 0;
	return __builtin_mul_overflow(part, 1000u, &scaled) ? part / whole * 1000 : scaled / whole;
}

/* ---- regulate.c: value and limits ---- */

uint32_t value_most(const struct regulate_rule *rule, const struct regulate_state *state);
uint32_t value_least(const struct regulate_rule *rule, const struct regulate_state *state);
/* A change is allowed now: the runtime's safe interval is over and nothing moves. */
bool value_may_change(const struct regulate_rule *rule, const struct regulate_state *state,
		      const struct regulate_sample *sample);
/* Steps to @value, or as far as limits allow, where windows and breaker allow it. True where it
 * did. */
bool value_step(const struct regulate_rule *rule, struct regulate_state *state,
		const struct regulate_sample *sample, uint32_t value);
/* The bare change: no question asked, readings of the old value no longer count. */
void value_set(struct regulate_state *state, uint32_t value);

/* ---- regulate_window.c: readings ---- */

void window_clear(struct regulate_state *state);
void window_add(const struct regulate_rule *rule, struct regulate_state *state,
		const struct regulate_sample *sample, uint64_t now_us);
/* The newest reading that is at least @age_us older than the last one and not before @floor_us;
 * NULL. @age_us 0: the one before the last. */
const struct regulate_reading *window_at(const struct regulate_state *state, uint64_t age_us,
					 uint64_t floor_us);
/* The oldest kept one that is at most @age_us older than the last one and not before @floor_us;
 * NULL. */
const struct regulate_reading *window_within(const struct regulate_state *state, uint64_t age_us,
					     uint64_t floor_us);
/* The newest one with at least @n_periods between it and the last one, not before @floor_us; NULL.
 */
const struct regulate_reading *window_periods(const struct regulate_state *state,
					      uint64_t n_periods, uint64_t floor_us);

/* CPU time of @from to the last reading, of what @value slots could have had. */
uint32_t window_used_permille(const struct regulate_state *state,
			      const struct regulate_reading *from, uint32_t value);
uint32_t window_blocked_permille(const struct regulate_state *state,
				 const struct regulate_reading *from);
uint32_t window_pressure_permille(const struct regulate_state *state,
				  const struct regulate_reading *from);
/* Throttled periods of all; where no quota is set, 0. */
uint32_t window_throttled_permille(const struct regulate_state *state,
				   const struct regulate_reading *from);
uint32_t window_wait_us(const struct regulate_state *state, const struct regulate_reading *from);

/* ---- the regulators: the span they decided on, for the event; NULL: nothing to tell ---- */

const struct regulate_reading *staged_decide(const struct regulate_rule *rule,
					     struct regulate_state *state,
					     const struct regulate_sample *sample,
					     enum regulate_reason *ret_reason);
const struct regulate_reading *loop_decide(const struct regulate_rule *rule,
					   struct regulate_state *state,
					   const struct regulate_sample *sample,
					   enum regulate_reason *ret_reason);

/* ---- regulate_breaker.c ---- */

/* A step from @from is about to be made. */
void breaker_watch_begin(const struct regulate_rule *rule, struct regulate_state *state,
			 uint32_t from);
void breaker_watch_end(struct regulate_state *state);
/* Steps are allowed now. */
bool breaker_allows(const struct regulate_state *state);
/* After each reading. True where the last step was taken back. */
bool breaker_check(const struct regulate_rule *rule, struct regulate_state *state,
		   const struct regulate_sample *sample);
