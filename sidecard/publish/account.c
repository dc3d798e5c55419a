#include "publish/account.h"

#include <stddef.h>

/* A clock that jumps, or a cost that somebody miscounted, is paid off within that time. */
#define DEBT_MAX_US (360 * UINT64_C(1000000))

#define TIME_PER_PAID (1000u / ACCOUNT_SHARE_PERMILLE)

static void account_drain(struct account *account, uint64_t now_us)
{
	uint64_t passed_us = now_us > account->at_us ? now_us - account->at_us : 0;
	uint64_t paid_us = passed_us / TIME_PER_PAID;

	if (paid_us >= account->debt_us) {
		account->debt_us = 0;
		account->at_us = now_us;
		return;
	}
	/* What is too little to pay a microsecond counts the next time. */
	account->debt_us -= paid_us;
	account->at_us += paid_us * TIME_PER_PAID;
}

/* The account of @uid: NULL where it has none. Those without debt are closed on the way. */
static struct account *account_find(struct accounts *accounts, uint32_t uid, uint64_t now_us)
{
	for (unsigned i = 0; i < accounts->n_items;) {
		struct account *account = &accounts->items[i];

		if (account->uid == uid) {
			account_drain(account, now_us);
			return account;
		}
		account_drain(account, now_us);
		if (account->debt_us == 0) {
			*account = accounts->items[--accounts->n_items];
			continue;
		}
		i++;
	}
	return NULL;
}

uint64_t accounts_wait_us(struct accounts *accounts, uint32_t uid, uint64_t now_us)
{
	const struct account *account = account_find(accounts, uid, now_us);

	if (!account) {
		if (accounts->n_items < N_ACCOUNTS_MAX)
			return 0;
		account_drain(&accounts->others, now_us);
		account = &accounts->others;
	}
	if (account->debt_us <= ACCOUNT_CREDIT_US)
		return 0;
	return (account->debt_us - ACCOUNT_CREDIT_US) * TIME_PER_PAID;
}

void accounts_charge(struct accounts *accounts, uint32_t uid, uint64_t now_us, uint64_t cost_us)
{
	struct account *account = account_find(accounts, uid, now_us);

	if (!account && accounts->n_items < N_ACCOUNTS_MAX) {
		account = &accounts->items[accounts->n_items++];
		*account = (struct account){ .uid = uid, .at_us = now_us };
	}
	if (!account) {
		account = &accounts->others;
		account_drain(account, now_us);
	}
	account->debt_us += cost_us;
	if (account->debt_us > DEBT_MAX_US)
		account->debt_us = DEBT_MAX_US;
}
