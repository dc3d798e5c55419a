#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Length of the well-formed UTF-8 sequence at @text, 0 where there is none (RFC 3629, table 3-7 of
 * the Unicode standard: no overlong forms, no surrogates, nothing above U+10FFFF). */
static size_t utf8_length(const unsigned char *text, size_t n_text)
{
	unsigned char c = text[0], low = 0x80, high = 0xbf;
	size_t n;

	if (c < 0x80)
		return c != 0;
	if (c >= 0xc2 && c <= 0xdf)
		n = 2;
	else if (c >= 0xe0 && c <= 0xef)
		n = 3;
	else if (c >= 0xf0 && c <= 0xf4)
		n = 4;
	else
		return 0;
	if (n > n_text)
		return 0;
	if (c == 0xe0)
		low = 0xa0;
	else if (c == 0xed)
		high = 0x9f;
	else if (c == 0xf0)
		low = 0x90;
	else if (c == 0xf4)
		high = 0x8f;
	if (text[1] < low || text[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

int text_is_utf8(const char *text, size_t n_text)
{
	for (size_t i = 0; i < n_text;) {
		size_t n = utf8_length((const unsigned char *)text + i, n_text - i);

		if (n == 0)
			return 0;
		i += n;
	}
	return 1;
}

size_t text_escape(const char *text, size_t n_text, char *buffer, size_t buffer_size)
{
	size_t used = 0;

	for (size_t i = 0; i < n_text;) {
		const unsigned char *at = (const unsigned char *)text + i;
		size_t n = utf8_length(at, n_text - i);
		/* U+0080..U+009F are control characters too: terminals obey them. */
		int control = at[0] < 0x20 || at[0] == 0x7f ||
			      (at[0] == 0xc2 && n == 2 && at[1] < 0xa0);

		if (n == 0 || control) {
			if (used + 5 > buffer_size)
				break;
			snprintf(buffer + used, 5, "\\x%02x", at[0]);
			used += 4;
			i++;
			continue;
		}
		if (used + n + 1 > buffer_size)
			break;
		memcpy(buffer + used, at, n);
		used += n;
		i += n;
	}
	if (buffer_size > 0)
		buffer[used] = '\0';
	return used;
}

int fault_set(struct fault *fault, int error, const char *format, ...)
{
	char raw[FAULT_TEXT_SIZE];
	va_list args;
	int n;

	if (!fault)
		return error;
	va_start(args, format);
	n = vsnprintf(raw, sizeof(raw), format, args);
	va_end(args);
	if (n < 0)
		raw[0] = '\0';
	text_escape(raw, strlen(raw), fault->text, sizeof(fault->text));
	if (n >= (int)sizeof(raw))
		memcpy(fault->text + sizeof(fault->text) - 4, "...", 4);
	fault->error = error;
	return error;
}

void fault_list_add(struct fault_list *list, const char *format, ...)
{
	char raw[FAULT_TEXT_SIZE], escaped[FAULT_TEXT_SIZE];
	va_list args;
	char **texts;

	if (list->n_texts >= FAULT_LIST_MAX) {
		list->n_lost++;
		return;
	}
	va_start(args, format);
	vsnprintf(raw, sizeof(raw), format, args);
	va_end(args);
	text_escape(raw, strlen(raw), escaped, sizeof(escaped));
	texts = realloc(list->texts, (list->n_texts + 1) * sizeof(*texts));
	if (!texts) {
		list->n_lost++;
		return;
	}
	list->texts = texts;
	texts[list->n_texts] = strdup(escaped);
	if (texts[list->n_texts])
		list->n_texts++;
	else
		list->n_lost++;
}

void fault_list_done(struct fault_list *list)
{
	for (size_t i = 0; i < list->n_texts; i++)
		free(list->texts[i]);
	free(list->texts);
	*list = (struct fault_list){ 0 };
}

int name_is_valid(const char *name)
{
	size_t n = strlen(name);

	if (n < 1 || n > 63)
		return 0;
	for (size_t i = 0; i < n; i++) {
		char c = name[i];

		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
			continue;
		if (i > 0 && (c == '_' || c == '.' || c == '-'))
			continue;
		return 0;
	}
	return 1;
}
