/* Pseudo-random numbers with a seed that can be printed and given again. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* xorshift64*: small, and good enough to choose test cases. The seed is never 0. */
static inline uint64_t random_next(uint64_t *seed)
{
	*seed ^= *seed >> 12;
	*seed ^= *seed << 25;
	*seed ^= *seed >> 27;
	return *seed * UINT64_C(2685821657736338717);
}

/* 0 .. n - 1 */
static inline uint32_t random_below(uint64_t *seed, uint32_t n)
{
	return (uint32_t)((random_next(seed) >> 32) % n);
}

static inline uint32_t random_between(uint64_t *seed, uint32_t least, uint32_t most)
{
	return least + random_below(seed, most - least + 1);
}

/* True once in @n. */
static inline bool random_once_in(uint64_t *seed, uint32_t n)
{
	return random_below(seed, n) == 0;
}
