#include "plan/plan_arena.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* The first block holds a plan of a few workloads; later ones double, so that a large plan needs
 * few. */
#define BLOCK_BYTES_FIRST 1024u
#define BLOCK_BYTES_MOST  (64u * 1024u)
#define ALIGN_BYTES	  16u

struct block {
	struct block *next;
	size_t n_used, n_bytes;
	_Alignas(ALIGN_BYTES) unsigned char bytes[];
};

struct plan_arena {
	struct block *blocks;
	size_t n_next;	  /* bytes of the next block */
	bool is_recycled; /* the first block was used before: clear what is given out */
};

struct plan_arena *arena_new(void)
{
	struct plan_arena *arena = calloc(1, sizeof(*arena));

	if (arena)
		arena->n_next = BLOCK_BYTES_FIRST;
	return arena;
}

static void blocks_free(struct plan_arena *arena)
{
	while (arena->blocks) {
		struct block *next = arena->blocks->next;

		free(arena->blocks);
		arena->blocks = next;
	}
	arena->is_recycled = false;
}

struct plan_arena *arena_free(struct plan_arena *arena)
{
	if (!arena)
		return NULL;
	blocks_free(arena);
	free(arena);
	return NULL;
}

void arena_freep(struct plan_arena **arena)
{
	arena_free(*arena);
}

size_t arena_n_bytes(const struct plan_arena *arena)
{
	size_t n = 0;

	for (const struct block *block = arena->blocks; block; block = block->next)
		n += sizeof(*block) + block->n_bytes;
	return n;
}

void arena_reset(struct plan_arena *arena)
{
	size_t n_used = 0;

	for (const struct block *block = arena->blocks; block; block = block->next)
		n_used += block->n_used;
	if (arena->blocks && !arena->blocks->next) {
		arena->blocks->n_used = 0;
		arena->is_recycled = true;
		return;
	}
	blocks_free(arena);
	arena->n_next = n_used > BLOCK_BYTES_FIRST ? n_used : BLOCK_BYTES_FIRST;
}

static struct block *block_new(struct plan_arena *arena, size_t n_bytes)
{
	size_t n_block = n_bytes > arena->n_next ? n_bytes : arena->n_next;
	struct block *block = calloc(1, sizeof(*block) + n_block);

	if (!block)
		return NULL;
	block->n_bytes = n_block;
	block->next = arena->blocks;
	arena->blocks = block;
	arena->is_recycled = false;
	/* Behind a piece as large as all of the last time little more is needed. */
	if (arena->n_next < BLOCK_BYTES_MOST)
		arena->n_next *= 2;
	else
		arena->n_next = BLOCK_BYTES_MOST;
	return block;
}

void *arena_alloc(struct plan_arena *arena, size_t n_bytes)
{
	struct block *block = arena->blocks;
	void *at;

	n_bytes = (n_bytes + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
	if (!block || block->n_bytes - block->n_used < n_bytes)
		block = block_new(arena, n_bytes);
	if (!block)
		return NULL;
	at = block->bytes + block->n_used;
	block->n_used += n_bytes;
	return arena->is_recycled ? memset(at, 0, n_bytes) : at;
}

char *arena_strdup(struct plan_arena *arena, const char *text)
{
	size_t n_bytes = strlen(text) + 1;
	char *copy = arena_alloc(arena, n_bytes);

	return copy ? memcpy(copy, text, n_bytes) : NULL;
}

char *arena_printf(struct plan_arena *arena, const char *format, ...)
{
	cleanup(freep) char *text = NULL;
	va_list args;
	int n;

	va_start(args, format);
	n = vasprintf(&text, format, args);
	va_end(args);
	if (n < 0) {
		text = NULL;
		return NULL;
	}
	return arena_strdup(arena, text);
}

static int make_bits(struct plan_arena *arena, uint32_t first, uint32_t last, struct bits *ret_bits)
{
	struct bits bits = { .first_word = first / 64, .n_words = last / 64 - first / 64 + 1 };

	bits.words = arena_alloc(arena, bits.n_words * sizeof(*bits.words));
	if (!bits.words)
		return -ENOMEM;
	*ret_bits = bits;
	return 0;
}

int arena_make_cpuset(struct plan_arena *arena, uint32_t first, uint32_t last,
		      struct cpuset *ret_set)
{
	return make_bits(arena, first, last, &ret_set->bits);
}

int arena_copy_cpuset(struct plan_arena *arena, const struct cpuset *other, struct cpuset *ret_set)
{
	uint32_t first = cpuset_first(other);
	struct cpuset set = { 0 };

	if (first != SET_END) {
		if (make_bits(arena, first, cpuset_last(other), &set.bits) < 0)
			return -ENOMEM;
		cpuset_union(&set, other); /* within its room: cannot fail */
	}
	*ret_set = set;
	return 0;
}

int arena_copy_nodeset(struct plan_arena *arena, const struct nodeset *other,
		       struct nodeset *ret_set)
{
	uint32_t first = nodeset_first(other);
	struct nodeset set = { 0 };

	if (first != SET_END) {
		if (make_bits(arena, first, nodeset_last(other), &set.bits) < 0)
			return -ENOMEM;
		nodeset_union(&set, other);
	}
	*ret_set = set;
	return 0;
}
