#include "ctl/words.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define ARGUMENTS "%{arguments}"

/* Where a value is in a reply to Register: below @parent, which is below the workload. */
static const struct placeholder {
	const char *name, *parent, *key;
} placeholders[] = {
	{ "parallelism", "parallelism", "advised" },
	{ "parallelism_floor", "parallelism", "floor" },
	{ "parallelism_ceil", "parallelism", "ceil" },
	{ "cpus", NULL, "cpus" },
	{ "n_pu", NULL, "n_pu" },
	{ "n_core", NULL, "n_core" },
	{ "nodes", NULL, "nodes" },
	{ "mems", NULL, "mems" },
	{ "quota_mcpu", NULL, "quota_mcpu" },
	{ "workload", NULL, "name" },
};

static int unknown(const char *name, size_t n_name, struct fault *fault)
{
	char known[256];
	size_t n = 0;

	for (size_t i = 0; i < N_ELEMENTS(placeholders); i++)
		n += (size_t)snprintf(known + n, sizeof(known) - n, " %s", placeholders[i].name);
	return fault_set(fault, -EINVAL,
			 "placeholder '%%{%.*s}' is not known, expected one of%s page, "
			 "%s as a word of its own, or %%%%{ for the text itself",
			 (int)(n_name < 32 ? n_name : 32), name, known, ARGUMENTS);
}

static int put_value(FILE *out, const json_t *value, const char *name, struct fault *fault)
{
	if (json_is_integer(value))
		fprintf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else if (json_is_string(value))
		fputs(json_string_value(value), out);
	else
		return fault_set(fault, -ENODATA,
				 "placeholder '%%{%s}' has no value, the workload is not placed",
				 name);
	return 0;
}

/* @name is the text between the braces. */
static int put(FILE *out, const char *name, size_t n_name, const json_t *reply, struct fault *fault)
{
	const json_t *workload = json_object_get(reply, "workload");

	if (n_name == strlen("page") && memcmp(name, "page", n_name) == 0)
		return put_value(out, json_object_get(reply, "page"), "page", fault);
	for (size_t i = 0; i < N_ELEMENTS(placeholders); i++) {
		const struct placeholder *row = &placeholders[i];
		const json_t *value;

		if (strlen(row->name) != n_name || memcmp(row->name, name, n_name) != 0)
			continue;
		value = json_object_get(
			row->parent ? json_object_get(workload, row->parent) : workload, row->key);
		if (strcmp(row->name, "quota_mcpu") == 0 && json_is_null(value)) {
			fputs("max", out);
			return 0;
		}
		return put_value(out, value, row->name, fault);
	}
	return unknown(name, n_name, fault);
}

/* 0 or -errno. */
static int write_word(FILE *out, const char *word, const json_t *reply, struct fault *fault)
{
	while (*word) {
		const char *end = strncmp(word, "%{", 2) == 0 ? strchr(word, '}') : NULL;
		int r;

		if (end) {
			r = put(out, word + 2, (size_t)(end - word) - 2, reply, fault);
			if (r < 0)
				return r;
			word = end + 1;
			continue;
		}
		if (strncmp(word, "%%", 2) == 0)
			word++;
		fputc(*word++, out);
	}
	return 0;
}

static int add_word(const char *word, const json_t *reply, struct strings *words,
		    struct fault *fault)
{
	cleanup(freep) char *text = NULL;
	size_t n_text;
	FILE *out = open_memstream(&text, &n_text);
	int r;

	if (!out)
		return fault_set(fault, -ENOMEM, "no memory for a word of the command");
	r = write_word(out, word, reply, fault);
	if (fclose(out) != 0 && r == 0)
		r = fault_set(fault, -ENOMEM, "no memory for '%s'", word);
	if (r == 0 && strings_add(words, text) < 0)
		r = fault_set(fault, -ENOMEM, "no memory for the words of the command");
	return r;
}

static int add_arguments(const json_t *reply, struct strings *words, struct fault *fault)
{
	const json_t *argument;
	size_t i;

	json_array_foreach (json_object_get(reply, "arguments"), i, argument)
		if (json_is_string(argument) && strings_add(words, json_string_value(argument)) < 0)
			return fault_set(fault, -ENOMEM, "no memory for the plugin's arguments");
	return 0;
}

int words_expand(char *const *words, size_t n_words, const json_t *reply, struct strings *ret_words,
		 struct fault *fault)
{
	struct strings expanded = { 0 };
	int r = 0;

	for (size_t i = 0; i < n_words && r == 0; i++)
		r = strcmp(words[i], ARGUMENTS) == 0 ? add_arguments(reply, &expanded, fault)
						     : add_word(words[i], reply, &expanded, fault);
	if (r < 0) {
		strings_done(&expanded);
		return r;
	}
	*ret_words = expanded;
	return 0;
}
