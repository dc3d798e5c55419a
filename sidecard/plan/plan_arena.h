/* Memory of one plan: given out piece by piece, freed as a whole. A plan of 10,000 workloads has
 * tens of thousands of small sets and texts; one malloc() each would cost more than the planning.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "model/cpuset.h"

struct plan_arena;

struct plan_arena *arena_new(void);
struct plan_arena *arena_free(struct plan_arena *arena);
void arena_freep(struct plan_arena **arena);
/* Forgets what was given out and keeps the memory, in one piece, for the next time: the same work
 * done again then asks the system for nothing. */
void arena_reset(struct plan_arena *arena);
/* Bytes that it has from the system. */
size_t arena_n_bytes(const struct plan_arena *arena);

/* Zeroed and aligned for any type; NULL where memory is short. */
void *arena_alloc(struct plan_arena *arena, size_t n_bytes);
char *arena_strdup(struct plan_arena *arena, const char *text);
char *arena_printf(struct plan_arena *arena, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* A copy of @other, trimmed to its members, whose words lie in the arena. 0 or -ENOMEM. */
int arena_copy_cpuset(struct plan_arena *arena, const struct cpuset *other, struct cpuset *ret_set);
int arena_copy_nodeset(struct plan_arena *arena, const struct nodeset *other,
		       struct nodeset *ret_set);
/* An empty set with room for members @first to @last: cpuset_add() within it cannot fail and does
 * not allocate. */
int arena_make_cpuset(struct plan_arena *arena, uint32_t first, uint32_t last,
		      struct cpuset *ret_set);
