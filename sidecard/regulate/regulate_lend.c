/* Lending of idle exclusive PUs: a decision about how many; which ones is the planner's. */
#include "regulate/regulate_internal.h"

/* Waiting that an idle machine's accounting can make of nothing. */
#define LEND_PRESSURE_PERMILLE 10u

uint32_t regulate_lend(struct regulate_loan *loan, const struct regulate_sample *sample,
		       uint64_t now_us)
{
	uint64_t span_us = now_us - loan->last_us;
	uint64_t usage_us = sample->usage_us - loan->usage_us;
	uint64_t pressure_us = sample->pressure_us - loan->pressure_us;
	bool is_usable = loan->has_last && now_us > loan->last_us &&
			 sample->usage_us >= loan->usage_us &&
			 sample->pressure_us >= loan->pressure_us;
	uint64_t n_busy, n_own;

	if (loan->has_last && now_us <= loan->last_us)
		return loan->n_lent;
	loan->has_last = 1;
	loan->last_us = now_us;
	loan->usage_us = sample->usage_us;
	loan->pressure_us = sample->pressure_us;
	n_own = sample->n_pu > loan->n_lent ? sample->n_pu - loan->n_lent : 0;
	n_busy = is_usable ? (usage_us + span_us - 1) / span_us : n_own;
	if (!is_usable || n_busy >= n_own || sample->is_moving ||
	    permille_of(pressure_us, span_us) > LEND_PRESSURE_PERMILLE)
		loan->n_lent = 0;
	else
		loan->n_lent += (uint32_t)((n_own - n_busy) / 2);
	return loan->n_lent;
}
