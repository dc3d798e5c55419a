/* Sets of PU and of NUMA node OS numbers: two value types that cannot be mixed.
 *
 * A set keeps only the words between its lowest and highest member, so that thousands of small sets
 * on a machine with 8,192 PUs stay small. A zeroed set is the empty set and owns nothing; *_done()
 * makes it that again. Operations that may grow a set return -ENOMEM and leave it as it was; the
 * others cannot fail. Numbers at or above the type's maximum are refused with -ERANGE. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* CONFIG_NR_CPUS is at most 8192 and MAX_NUMNODES at most 1024 in Linux (arch Kconfig files). */
#define CPUSET_MAX  8192u
#define NODESET_MAX 1024u

/* What *_first() and *_next() return where no member is left. */
#define SET_END UINT32_MAX

/* Shared body; use the two wrapped types below. */
struct bits {
	uint64_t *words;
	uint32_t first_word; /* words[0] holds members first_word * 64 ... */
	uint32_t n_words;
};

struct cpuset {
	struct bits bits;
};

struct nodeset {
	struct bits bits;
};

/* For each of the two types X:
 * X_done(set)                 frees, leaves the empty set; also a cleanup() function
 * X_add(set, n)               0, -ERANGE, -ENOMEM
 * X_add_range(set, a, b)      members a..b, both included
 * X_remove(set, n)            cannot fail
 * X_has(set, n)               membership
 * X_count(set)                number of members
 * X_is_empty(set)
 * X_first(set), X_next(set, n) lowest member; lowest member above n; SET_END where none
 * X_last(set)                 highest member or SET_END
 * X_copy(set, other)          set := other
 * X_union(set, other)         set := set | other
 * X_intersect(set, other)     set := set & other   (cannot fail)
 * X_subtract(set, other)      set := set \ other   (cannot fail)
 * X_equal, X_is_subset(set, of), X_intersects
 * X_parse(text, ret_set)      kernel list format "0-3,8" (also "" and a final newline); duplicates
 * are fine; -EINVAL malformed or reversed, -ERANGE number too large; ret_set untouched on failure
 * X_format(set)               the same format, malloc'ed ("" for the empty set); NULL where memory
 * is short X_take(set)                 moves the value out, leaving the empty set */
#define SET_DECLARE(type)                                                         \
	void type##_done(struct type *set);                                       \
	int type##_add(struct type *set, uint32_t number);                        \
	int type##_add_range(struct type *set, uint32_t first, uint32_t last);    \
	void type##_remove(struct type *set, uint32_t number);                    \
	bool type##_has(const struct type *set, uint32_t number);                 \
	uint32_t type##_count(const struct type *set);                            \
	bool type##_is_empty(const struct type *set);                             \
	uint32_t type##_first(const struct type *set);                            \
	uint32_t type##_next(const struct type *set, uint32_t number);            \
	uint32_t type##_last(const struct type *set);                             \
	int type##_copy(struct type *set, const struct type *other);              \
	int type##_union(struct type *set, const struct type *other);             \
	void type##_intersect(struct type *set, const struct type *other);        \
	void type##_subtract(struct type *set, const struct type *other);         \
	bool type##_equal(const struct type *set, const struct type *other);      \
	bool type##_is_subset(const struct type *set, const struct type *of);     \
	bool type##_intersects(const struct type *set, const struct type *other); \
	int type##_parse(const char *text, struct type *ret_set);                 \
	char *type##_format(const struct type *set);                              \
	static inline struct type type##_take(struct type *set)                   \
	{                                                                         \
		struct type taken = *set;                                         \
		*set = (struct type){ 0 };                                        \
		return taken;                                                     \
	}

SET_DECLARE(cpuset)
SET_DECLARE(nodeset)

#define cpuset_foreach(pu_os, set)                                   \
	for (uint32_t pu_os = cpuset_first(set); (pu_os) != SET_END; \
	     (pu_os) = cpuset_next(set, pu_os))
#define nodeset_foreach(node_os, set)                                     \
	for (uint32_t node_os = nodeset_first(set); (node_os) != SET_END; \
	     (node_os) = nodeset_next(set, node_os))
