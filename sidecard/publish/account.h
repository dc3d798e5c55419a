/* What each user's clients may take of the event loop. Time is what they take, so time is what is
 * counted, whatever they ask for: an account is a debt in microseconds of the loop that drains at a
 * fixed rate. A user in debt is not refused, only served later, so who asks too much waits on
 * himself. Whoever may change something (root, group sidecard) has no account. */
#pragma once

#include <stdint.h>

/* Of the loop's time, for each user. */
#define ACCOUNT_SHARE_PERMILLE 100u
/* What may be taken at once after a rest: a thousand ordinary calls. */
#define ACCOUNT_CREDIT_US 100000u
/* Users with a debt at a time; the ones beyond share one account, so that memory has a bound and no
 * debt is ever forgiven. */
#define N_ACCOUNTS_MAX 256u

struct account {
	uint32_t uid;
	uint64_t debt_us;
	uint64_t at_us; /* when that was so */
};

struct accounts {
	struct account items[N_ACCOUNTS_MAX]; /* the first n_items, sorted by nothing */
	unsigned n_items;
	struct account others;
};

/* 0: may go on; else how long until it may, at most an hour. */
uint64_t accounts_wait_us(struct accounts *accounts, uint32_t uid, uint64_t now_us);
void accounts_charge(struct accounts *accounts, uint32_t uid, uint64_t now_us, uint64_t cost_us);
