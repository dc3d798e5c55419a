/* Fault text: one failure, one sentence. Whoever fails says what was tried, on which object, what
 * was found and what was expected; only daemon.c and the tools turn it into a log line. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define FAULT_TEXT_SIZE 1024

struct fault {
	int error; /* negative errno, 0 where nothing failed */
	char text[FAULT_TEXT_SIZE];
};

/* Fills @fault (NULL is fine) and returns @error, a negative errno. The text begins lower case and
 * has no final full stop; what does not fit ends in "...". Control characters and bytes that are
 * not UTF-8, which only foreign values bring, are written as \xNN. */
int fault_set(struct fault *fault, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Many faults at once: a configuration is reported whole. */
struct fault_list {
	char **texts;
	size_t n_texts;
	size_t n_lost; /* faults that did not fit (more than FAULT_LIST_MAX) or found no memory */
};

#define FAULT_LIST_MAX 1000

void fault_list_add(struct fault_list *list, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void fault_list_done(struct fault_list *list);

/* Copies @text into @buffer with control characters and invalid UTF-8 written as \xNN; always
 * terminated; returns the length written. */
size_t text_escape(const char *text, size_t n_text, char *buffer, size_t buffer_size);

/* True where the @n_text bytes are well-formed UTF-8 (RFC 3629) without NUL. */
int text_is_utf8(const char *text, size_t n_text);

/* True where @name may name a workload or a pool: [a-z0-9][a-z0-9_.-]{0,62}. Such a name is safe as
 * a file name, a JSON string, a D-Bus path label after escaping and a journal field. */
int name_is_valid(const char *name);

/* The rule in words, for error texts. */
#define NAME_RULE "a letter a-z or digit, then up to 62 of a-z 0-9 _ . -"
