#include "model/cpuset.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t word_of(const struct bits *bits, uint32_t word)
{
	if (word < bits->first_word || word - bits->first_word >= bits->n_words)
		return 0;
	return bits->words[word - bits->first_word];
}

static uint32_t end_of(const struct bits *bits)
{
	return bits->first_word + bits->n_words;
}

static void bits_done(struct bits *bits)
{
	free(bits->words);
	*bits = (struct bits){ 0 };
}

/* Makes words [first, end) addressable. */
static int bits_reserve(struct bits *bits, uint32_t first, uint32_t end)
{
	uint64_t *words;

	if (bits->n_words > 0) {
		first = first < bits->first_word ? first : bits->first_word;
		end = end > end_of(bits) ? end : end_of(bits);
		if (first == bits->first_word && end == end_of(bits))
			return 0;
	}
	words = calloc(end - first, sizeof(*words));
	if (!words)
		return -ENOMEM;
	if (bits->n_words > 0)
		memcpy(words + (bits->first_word - first), bits->words,
		       bits->n_words * sizeof(*words));
	free(bits->words);
	*bits = (struct bits){ words, first, end - first };
	return 0;
}

static int bits_add_range(struct bits *bits, uint32_t first, uint32_t last, uint32_t max)
{
	int r;

	if (first > last)
		return -EINVAL;
	if (last >= max)
		return -ERANGE;
	r = bits_reserve(bits, first / 64, last / 64 + 1);
	if (r < 0)
		return r;
	for (uint32_t w = first / 64; w <= last / 64; w++) {
		uint64_t mask = UINT64_MAX;

		if (w == first / 64)
			mask &= UINT64_MAX << (first % 64);
		if (w == last / 64)
			mask &= UINT64_MAX >> (63 - last % 64);
		bits->words[w - bits->first_word] |= mask;
	}
	return 0;
}

static void bits_remove(struct bits *bits, uint32_t number)
{
	uint32_t w = number / 64;

	if (w >= bits->first_word && w < end_of(bits))
		bits->words[w - bits->first_word] &= ~(UINT64_C(1) << (number % 64));
}

static bool bits_has(const struct bits *bits, uint32_t number)
{
	return word_of(bits, number / 64) >> (number % 64) & 1;
}

static uint32_t bits_count(const struct bits *bits)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < bits->n_words; i++)
		n += (uint32_t)__builtin_popcountll(bits->words[i]);
	return n;
}

static uint32_t bits_first_from(const struct bits *bits, uint64_t from)
{
	uint32_t w = (uint32_t)(from / 64);
	uint64_t mask = UINT64_MAX << (from % 64);

	if (w < bits->first_word) {
		w = bits->first_word;
		mask = UINT64_MAX;
	}
	for (; w < end_of(bits); w++, mask = UINT64_MAX) {
		uint64_t word = bits->words[w - bits->first_word] & mask;

		if (word)
			return w * 64 + (uint32_t)__builtin_ctzll(word);
	}
	return SET_END;
}

static uint32_t bits_last(const struct bits *bits)
{
	for (uint32_t i = bits->n_words; i > 0; i--)
		if (bits->words[i - 1])
			return (bits->first_word + i) * 64 - 1 -
			       (uint32_t)__builtin_clzll(bits->words[i - 1]);
	return SET_END;
}

/* Copies the words between the lowest and the highest member only. */
static int bits_copy(struct bits *bits, const struct bits *other)
{
	uint32_t first = bits_first_from(other, 0), last = bits_last(other);
	struct bits copy = { 0 };

	if (bits == other)
		return 0;
	if (first != SET_END) {
		int r = bits_reserve(&copy, first / 64, last / 64 + 1);

		if (r < 0)
			return r;
		memcpy(copy.words, other->words + (copy.first_word - other->first_word),
		       copy.n_words * sizeof(*copy.words));
	}
	bits_done(bits);
	*bits = copy;
	return 0;
}

static int bits_union(struct bits *bits, const struct bits *other)
{
	uint32_t first = bits_first_from(other, 0), last = bits_last(other);
	int r;

	if (first == SET_END)
		return 0;
	r = bits_reserve(bits, first / 64, last / 64 + 1);
	if (r < 0)
		return r;
	for (uint32_t w = first / 64; w <= last / 64; w++)
		bits->words[w - bits->first_word] |= word_of(other, w);
	return 0;
}

static void bits_intersect(struct bits *bits, const struct bits *other)
{
	for (uint32_t i = 0; i < bits->n_words; i++)
		bits->words[i] &= word_of(other, bits->first_word + i);
}

static void bits_subtract(struct bits *bits, const struct bits *other)
{
	for (uint32_t i = 0; i < bits->n_words; i++)
		bits->words[i] &= ~word_of(other, bits->first_word + i);
}

static bool bits_is_subset(const struct bits *bits, const struct bits *of)
{
	for (uint32_t i = 0; i < bits->n_words; i++)
		if (bits->words[i] & ~word_of(of, bits->first_word + i))
			return false;
	return true;
}

static bool bits_intersects(const struct bits *bits, const struct bits *other)
{
	for (uint32_t i = 0; i < bits->n_words; i++)
		if (bits->words[i] & word_of(other, bits->first_word + i))
			return true;
	return false;
}

/* A decimal number without sign, blanks or leading zeros that mean octal to nobody; moves @at on.
 */
static int parse_number(const char **at, uint32_t max, uint32_t *ret_number)
{
	uint64_t number = 0;
	const char *p = *at;

	if (*p < '0' || *p > '9')
		return -EINVAL;
	for (; *p >= '0' && *p <= '9'; p++) {
		number = number * 10 + (uint64_t)(*p - '0');
		if (number >= max)
			return -ERANGE;
	}
	*at = p;
	*ret_number = (uint32_t)number;
	return 0;
}

static int bits_parse(const char *text, uint32_t max, struct bits *ret_bits)
{
	struct bits bits = { 0 };
	int r = 0;

	while (*text && *text != '\n') {
		uint32_t first, last;

		r = parse_number(&text, max, &first);
		if (r < 0)
			break;
		last = first;
		if (*text == '-') {
			text++;
			r = parse_number(&text, max, &last);
			if (r < 0)
				break;
		}
		r = bits_add_range(&bits, first, last, max);
		if (r < 0)
			break;
		if (*text == ',' && text[1] >= '0' && text[1] <= '9')
			text++;
		else if (*text && *text != '\n')
			r = -EINVAL;
		if (r < 0)
			break;
	}
	if (r == 0 && *text == '\n' && text[1])
		r = -EINVAL;
	if (r < 0) {
		bits_done(&bits);
		return r;
	}
	*ret_bits = bits;
	return 0;
}

static char *bits_format(const struct bits *bits)
{
	char *text = NULL;
	size_t n_text = 0;
	FILE *out = open_memstream(&text, &n_text);
	const char *comma = "";

	if (!out)
		return NULL;
	for (uint32_t first = bits_first_from(bits, 0); first != SET_END;) {
		uint32_t last = first;

		while (bits_has(bits, last + 1))
			last++;
		fprintf(out, last > first ? "%s%u-%u" : "%s%u", comma, first, last);
		comma = ",";
		first = bits_first_from(bits, (uint64_t)last + 1);
	}
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

#define SET_DEFINE(type, MAX)                                                    \
	void type##_done(struct type *set)                                       \
	{                                                                        \
		bits_done(&set->bits);                                           \
	}                                                                        \
	int type##_add(struct type *set, uint32_t number)                        \
	{                                                                        \
		return bits_add_range(&set->bits, number, number, MAX);          \
	}                                                                        \
	int type##_add_range(struct type *set, uint32_t first, uint32_t last)    \
	{                                                                        \
		return bits_add_range(&set->bits, first, last, MAX);             \
	}                                                                        \
	void type##_remove(struct type *set, uint32_t number)                    \
	{                                                                        \
		bits_remove(&set->bits, number);                                 \
	}                                                                        \
	bool type##_has(const struct type *set, uint32_t number)                 \
	{                                                                        \
		return bits_has(&set->bits, number);                             \
	}                                                                        \
	uint32_t type##_count(const struct type *set)                            \
	{                                                                        \
		return bits_count(&set->bits);                                   \
	}                                                                        \
	bool type##_is_empty(const struct type *set)                             \
	{                                                                        \
		return bits_first_from(&set->bits, 0) == SET_END;                \
	}                                                                        \
	uint32_t type##_first(const struct type *set)                            \
	{                                                                        \
		return bits_first_from(&set->bits, 0);                           \
	}                                                                        \
	uint32_t type##_next(const struct type *set, uint32_t number)            \
	{                                                                        \
		return bits_first_from(&set->bits, (uint64_t)number + 1);        \
	}                                                                        \
	uint32_t type##_last(const struct type *set)                             \
	{                                                                        \
		return bits_last(&set->bits);                                    \
	}                                                                        \
	int type##_copy(struct type *set, const struct type *other)              \
	{                                                                        \
		return bits_copy(&set->bits, &other->bits);                      \
	}                                                                        \
	int type##_union(struct type *set, const struct type *other)             \
	{                                                                        \
		return bits_union(&set->bits, &other->bits);                     \
	}                                                                        \
	void type##_intersect(struct type *set, const struct type *other)        \
	{                                                                        \
		bits_intersect(&set->bits, &other->bits);                        \
	}                                                                        \
	void type##_subtract(struct type *set, const struct type *other)         \
	{                                                                        \
		bits_subtract(&set->bits, &other->bits);                         \
	}                                                                        \
	bool type##_equal(const struct type *set, const struct type *other)      \
	{                                                                        \
		return bits_is_subset(&set->bits, &other->bits) &&               \
		       bits_is_subset(&other->bits, &set->bits);                 \
	}                                                                        \
	bool type##_is_subset(const struct type *set, const struct type *of)     \
	{                                                                        \
		return bits_is_subset(&set->bits, &of->bits);                    \
	}                                                                        \
	bool type##_intersects(const struct type *set, const struct type *other) \
	{                                                                        \
		return bits_intersects(&set->bits, &other->bits);                \
	}                                                                        \
	int type##_parse(const char *text, struct type *ret_set)                 \
	{                                                                        \
		struct bits bits;                                                \
		int r = bits_parse(text, MAX, &bits);                            \
                                                                                 \
		if (r == 0)                                                      \
			*ret_set = (struct type){ bits };                        \
		return r;                                                        \
	}                                                                        \
	char *type##_format(const struct type *set)                              \
	{                                                                        \
		return bits_format(&set->bits);                                  \
	}

SET_DEFINE(cpuset, CPUSET_MAX)
SET_DEFINE(nodeset, NODESET_MAX)
