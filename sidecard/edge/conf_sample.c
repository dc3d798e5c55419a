/* The table as a file that an administrator can begin with: every key at its default, commented
 * out. */
#include "edge/conf_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* Comments are read on terminals of 80 columns. */
#define SAMPLE_N_COLUMN 78u

/* clang-format off */
static const struct {
	const char *which, *head;
	enum conf_kind kind;
} samples[] = {
	{ "sidecard",
	  "sidecard.conf: the daemon and the machine as a whole. Every key is here at its default; "
	  "see sidecard.conf(5).",
	  CONF_DAEMON },
	{ "pool",
	  "pools.d/NAME.conf: PUs for a group of workloads. Every key is here at its default; see "
	  "sidecard.pool(5).",
	  CONF_POOL },
	{ "workload",
	  "workloads.d/NAME.conf: one workload. Every key is here at its default; see "
	  "sidecard.workload(5).",
	  CONF_WORKLOAD },
};
/* clang-format on */

/* @text as comment lines, broken at blanks. */
static void comment_print(FILE *file, const char *text)
{
	while (*text != '\0') {
		size_t n = strlen(text);

		if (n > SAMPLE_N_COLUMN) {
			n = SAMPLE_N_COLUMN;
			while (n > 1 && text[n] != ' ')
				n--;
		}
		fprintf(file, "# %.*s\n", (int)n, text);
		text += n;
		while (*text == ' ')
			text++;
	}
}

static void key_print(FILE *file, const struct conf_key *key)
{
	char expects[256], help[1024];

	key->type->expects(key, expects, sizeof(expects));
	snprintf(help, sizeof(help), "%s Takes %s.%s", key->help, expects,
		 key->flags & CONF_LIST ? " May be given several times." : "");
	fputc('\n', file);
	comment_print(file, help);
	fprintf(file, "#%s=%s\n", key->name, key->text);
}

static void sample_print(FILE *file, enum conf_kind kind, const char *head)
{
	const char *section;

	comment_print(file, head);
	for (size_t i = 0; (section = conf_section_at(kind, i)); i++) {
		fprintf(file, "\n[%s]\n", section);
		for (uint32_t k = 0; k < conf_n_keys; k++)
			if (conf_keys[k].kind == kind && strcmp(conf_keys[k].section, section) == 0)
				key_print(file, &conf_keys[k]);
		if (strcmp(section, CONF_PLUGIN_SECTION) == 0)
			fputs("# Keys of the workload's plugin.\n", file);
	}
}

char *conf_sample(const char *which)
{
	for (size_t i = 0; i < N_ELEMENTS(samples); i++) {
		char *text = NULL;
		size_t n_text = 0;
		FILE *file;
		bool whole;

		if (strcmp(samples[i].which, which) != 0)
			continue;
		file = open_memstream(&text, &n_text);
		if (!file)
			return NULL;
		sample_print(file, samples[i].kind, samples[i].head);
		whole = !ferror(file);
		if (fclose(file) != 0 || !whole) {
			free(text);
			return NULL;
		}
		return text;
	}
	return NULL;
}
