#include "model/quota.h"

#include <errno.h>
#include <string.h>

static int parse_decimal(const char **at, uint64_t *ret_value)
{
	uint64_t value = 0;
	const char *p = *at;

	if (*p < '0' || *p > '9')
		return -EINVAL;
	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
			return -ERANGE;
	*at = p;
	*ret_value = value;
	return 0;
}

int quota_parse(const char *text, struct quota *ret_quota)
{
	struct quota quota = { .quota_us = QUOTA_UNLIMITED_US };

	if (strncmp(text, "max", 3) == 0)
		text += 3;
	else if (parse_decimal(&text, &quota.quota_us) < 0 || quota.quota_us == 0)
		return -EINVAL;
	if (*text++ != ' ')
		return -EINVAL;
	if (parse_decimal(&text, &quota.period_us) < 0 || quota.period_us == 0)
		return -EINVAL;
	if (strcmp(text, "") != 0 && strcmp(text, "\n") != 0)
		return -EINVAL;
	*ret_quota = quota;
	return 0;
}

uint32_t quota_mcpu(const struct quota *quota)
{
	__extension__ unsigned __int128 mcpu;

	if (quota->quota_us == QUOTA_UNLIMITED_US)
		return QUOTA_UNLIMITED_MCPU;
	mcpu = quota->quota_us;
	mcpu = mcpu * 1000 / quota->period_us;
	if (mcpu == 0)
		return 1;
	return mcpu < QUOTA_UNLIMITED_MCPU ? (uint32_t)mcpu : QUOTA_UNLIMITED_MCPU - 1;
}

uint32_t quota_effective_mcpu(const struct quota *levels, size_t n_levels)
{
	uint32_t tightest = QUOTA_UNLIMITED_MCPU;

	for (size_t i = 0; i < n_levels; i++) {
		uint32_t mcpu = quota_mcpu(&levels[i]);

		if (mcpu < tightest)
			tightest = mcpu;
	}
	return tightest;
}

uint32_t quota_floor_pu(uint32_t mcpu)
{
	uint32_t n_pu;

	if (mcpu == QUOTA_UNLIMITED_MCPU)
		return UINT32_MAX;
	n_pu = (uint32_t)(((uint64_t)mcpu + 1) / 1000);
	return n_pu > 0 ? n_pu : 1;
}

uint32_t quota_ceil_pu(uint32_t mcpu)
{
	uint32_t n_pu;

	if (mcpu == QUOTA_UNLIMITED_MCPU)
		return UINT32_MAX;
	n_pu = (uint32_t)(((uint64_t)mcpu + 998) / 1000);
	return n_pu > 0 ? n_pu : 1;
}

int quota_parse_pu(const char *text, uint32_t *ret_mcpu)
{
	uint64_t whole, mcpu, scale = 100;
	int r;

	if (strcmp(text, "max") == 0) {
		*ret_mcpu = QUOTA_UNLIMITED_MCPU;
		return 0;
	}
	r = parse_decimal(&text, &whole);
	if (r < 0)
		return r;
	if (whole > UINT32_MAX / 1000)
		return -ERANGE;
	mcpu = whole * 1000;
	if (strcmp(text, "%") == 0) {
		mcpu = whole * 10;
		text++;
	} else if (*text == '.') {
		if (text[1] < '0' || text[1] > '9')
			return -EINVAL;
		for (text++; *text >= '0' && *text <= '9' && scale > 0; text++, scale /= 10)
			mcpu += (uint64_t)(*text - '0') * scale;
	}
	if (*text)
		return -EINVAL;
	if (mcpu == 0 || mcpu >= QUOTA_UNLIMITED_MCPU)
		return -ERANGE;
	*ret_mcpu = (uint32_t)mcpu;
	return 0;
}
