/* One INI text into one object. The only file that knows inih, and the one that keeps it from what
 * it gets wrong (Debian's release 55): it cuts or splits lines at 199 bytes and section names at
 * 49, reads an indented line as part of the value before it, a NUL as the end of a line, keys after
 * an unterminated section as part of the section before, and cuts values at a blank and ';'. So
 * each line is checked here first, and only lines with exactly one meaning are handed on. */
#include "edge/conf_internal.h"

#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* No plugin has so many. */
#define SETTINGS_MAX 64u

enum section_state {
	SECTION_NONE, /* before the first one */
	SECTION_GOOD,
	SECTION_SKIP, /* reported already: its keys would only repeat that */
};

struct reader {
	struct conf_loader *loader;
	const struct conf_target *target;
	const char *text; /* the rest of the file */
	size_t n_text;
	unsigned line;
	enum section_state state;
	unsigned n_given, n_taken;	/* lines with a key that went into and came out of inih */
	unsigned seen[CONF_N_KEYS_MAX]; /* line that set the key in this file; 0: none */
	struct strings settings_seen;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool is_word(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char c = text[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '_' || c == '-' || c == '.'))
			return false;
	}
	return n > 0;
}

/* ---- what the text says ---- */

static void setting_remove(struct workload *workload, size_t i)
{
	free(workload->settings[i].key);
	free(workload->settings[i].value);
	workload->n_settings--;
	memmove(&workload->settings[i], &workload->settings[i + 1],
		(workload->n_settings - i) * sizeof(*workload->settings));
}

static int setting_set(struct workload *workload, const char *name, const char *value,
		       unsigned line)
{
	cleanup(freep) char *key = strdup(name), *copy = strdup(value);
	struct setting *settings;
	size_t i = 0;

	if (!key || !copy)
		return -ENOMEM;
	while (i < workload->n_settings && strcmp(workload->settings[i].key, name) != 0)
		i++;
	if (i < workload->n_settings)
		setting_remove(workload, i);
	if (value[0] == '\0')
		return 0;
	settings = realloc(workload->settings, (workload->n_settings + 1) * sizeof(*settings));
	if (!settings)
		return -ENOMEM;
	workload->settings = settings;
	settings[workload->n_settings++] = (struct setting){ TAKE_PTR(key), TAKE_PTR(copy), line };
	return 0;
}

/* A key of the plugin's own; what it means is checked when the plugin is loaded. */
static void take_setting(struct reader *reader, const char *name, const char *value)
{
	const struct conf_at at = { reader->target->file, reader->line, CONF_PLUGIN_SECTION, name };
	struct workload *workload = reader->target->object;

	for (size_t i = 0; i < reader->settings_seen.n_items; i++)
		if (strcmp(reader->settings_seen.items[i], name) == 0) {
			conf_fault_add(reader->loader, &at, "given twice in one file");
			return;
		}
	if (reader->settings_seen.n_items >= SETTINGS_MAX || workload->n_settings >= SETTINGS_MAX) {
		conf_fault_add(reader->loader, &at, "one of more than %u keys of the plugin",
			       SETTINGS_MAX);
		return;
	}
	if (strings_add(&reader->settings_seen, name) < 0 ||
	    setting_set(workload, name, value, reader->line) < 0)
		reader->loader->no_memory = true;
}

static void unknown_key(struct reader *reader, const struct conf_at *at)
{
	enum conf_kind kind = reader->target->kind;
	const char *nearest = conf_nearest(kind, at->section, at->key);
	const char *home = conf_section_of(kind, at->key);

	if (home)
		conf_fault_add(reader->loader, at, "unknown key here, it belongs to [%s]", home);
	else if (nearest)
		conf_fault_add(reader->loader, at, "unknown key, did you mean '%s'?", nearest);
	else
		conf_fault_add(reader->loader, at, "unknown key");
}

static void set_key(struct reader *reader, uint32_t k, const char *value, const struct conf_at *at)
{
	const struct conf_target *target = reader->target;
	struct conf_loader *loader = reader->loader;
	struct conf_mark mark = { target->object_index, k, target->file_index, reader->line };
	struct fault fault = { 0 };
	int r = conf_key_set(&conf_keys[k], value, target->object, &fault);

	if (r == -ENOMEM) {
		loader->no_memory = true;
		return;
	}
	if (r < 0) {
		conf_fault_add(loader, at, "%s", fault.text);
		return;
	}
	if (!(conf_keys[k].flags & CONF_LIST) || value[0] == '\0')
		conf_marks_forget(loader, mark.object, k);
	if (value[0] != '\0' && conf_mark_add(loader, &mark) < 0)
		loader->no_memory = true;
}

/* Called by inih, with the section that it keeps itself. */
static int take_key(void *userdata, const char *section, const char *name, const char *value)
{
	struct reader *reader = userdata;
	const struct conf_at at = { reader->target->file, reader->line, section, name };
	enum conf_kind kind = reader->target->kind;
	uint32_t k;

	reader->n_taken++;
	if (kind == CONF_WORKLOAD && strcmp(section, CONF_PLUGIN_SECTION) == 0) {
		take_setting(reader, name, value);
		return 1;
	}
	k = conf_key_find(kind, section, name);
	if (k == UINT32_MAX) {
		unknown_key(reader, &at);
		return 1;
	}
	if (reader->seen[k] && !(conf_keys[k].flags & CONF_LIST)) {
		conf_fault_add(reader->loader, &at, "given twice in one file, first on line %u",
			       reader->seen[k]);
		return 1;
	}
	reader->seen[k] = reader->line;
	if ((conf_keys[k].flags & CONF_OFFLINE) && !reader->loader->offline) {
		conf_fault_add(reader->loader, &at,
			       "for offline plans only, what runs has the cpu.max of its cgroup");
		return 1;
	}
	set_key(reader, k, value, &at);
	return 1;
}

/* ---- what each line looks like ---- */

static bool is_control(const char *text, size_t n)
{
	unsigned char c = (unsigned char)text[0];

	/* U+0080..U+009F, written c2 80..9f, are control characters too. */
	return (c < 0x20 && c != '\t') || c == 0x7f ||
	       (c == 0xc2 && n > 1 && (unsigned char)text[1] < 0xa0);
}

static bool check_bytes(struct reader *reader, const char *line, size_t n)
{
	const struct conf_at at = { reader->target->file, reader->line, NULL, NULL };

	if (n > CONF_LINE_MAX_BYTES) {
		conf_fault_add(reader->loader, &at, "line of %zu bytes, expected at most %u", n,
			       CONF_LINE_MAX_BYTES);
		return false;
	}
	if (memchr(line, '\0', n)) {
		conf_fault_add(reader->loader, &at, "NUL byte");
		return false;
	}
	if (!text_is_utf8(line, n)) {
		conf_fault_add(reader->loader, &at, "text that is not UTF-8");
		return false;
	}
	if (reader->line == 1 && n >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) {
		conf_fault_add(reader->loader, &at, "byte order mark, expected plain UTF-8");
		return false;
	}
	for (size_t i = 0; i < n; i++)
		if (is_control(line + i, n - i)) {
			conf_fault_add(reader->loader, &at, "control character \\x%02x%s",
				       (unsigned char)line[i],
				       line[i] == '\r'
					       ? ", expected lines that end in a newline alone"
					       : "");
			return false;
		}
	return true;
}

static void unknown_section(struct reader *reader, const char *section)
{
	enum conf_kind kind = reader->target->kind;
	const struct conf_at at = { reader->target->file, reader->line, section, NULL };
	const char *nearest = conf_nearest(kind, NULL, section), *candidate;
	char all[160] = "";

	for (size_t i = 0; (candidate = conf_section_at(kind, i)); i++) {
		if (i > 0)
			strcat(all, "|");
		strcat(all, candidate); /* seven short names at most: the table's, not foreign */
	}
	if (nearest)
		conf_fault_add(reader->loader, &at, "unknown section, did you mean '%s'?", nearest);
	else
		conf_fault_add(reader->loader, &at, "unknown section, expected one of %s", all);
}

static bool check_section(struct reader *reader, const char *line, size_t n)
{
	const struct conf_at at = { reader->target->file, reader->line, NULL, NULL };
	const char *end = memchr(line, ']', n);
	char section[CONF_SECTION_MAX_BYTES + 1];
	size_t n_section;

	reader->state = SECTION_SKIP;
	if (!end) {
		conf_fault_add(reader->loader, &at, "section without its ']': '%.*s'", (int)n,
			       line);
		return false;
	}
	for (const char *c = end + 1; c < line + n; c++)
		if (!is_blank(*c)) {
			conf_fault_add(reader->loader, &at, "text after the section's ']': '%.*s'",
				       (int)n, line);
			return false;
		}
	n_section = (size_t)(end - line - 1);
	if (n_section > CONF_SECTION_MAX_BYTES || !is_word(line + 1, n_section)) {
		conf_fault_add(reader->loader, &at, "'%.*s' is no section", (int)n, line);
		return false;
	}
	memcpy(section, line + 1, n_section);
	section[n_section] = '\0';
	if (!conf_section_exists(reader->target->kind, section)) {
		unknown_section(reader, section);
		return false;
	}
	reader->state = SECTION_GOOD;
	return true;
}

/* inih accepts KEY: VALUE too, and takes the first of both signs. */
static bool check_key(struct reader *reader, const char *line, size_t n)
{
	const struct conf_at at = { reader->target->file, reader->line, NULL, NULL };
	const char *equals = memchr(line, '=', n);
	size_t n_key = equals ? (size_t)(equals - line) : 0;

	while (n_key > 0 && is_blank(line[n_key - 1]))
		n_key--;
	if (!equals || n_key > CONF_SECTION_MAX_BYTES || !is_word(line, n_key)) {
		conf_fault_add(
			reader->loader, &at,
			"'%.*s' is not understood, expected KEY=VALUE, [SECTION] or # comment",
			(int)n, line);
		return false;
	}
	for (const char *c = equals + 1; c + 1 < line + n; c++)
		if (is_blank(c[0]) && c[1] == ';') {
			conf_fault_add(reader->loader, &at,
				       "';' after a blank in a value, expected a comment on a line "
				       "of its own");
			return false;
		}
	if (reader->state == SECTION_NONE) {
		conf_fault_add(reader->loader, &at, "key before the first section: '%.*s'",
			       (int)n_key, line);
		return false;
	}
	return true;
}

/* True where inih shall see the line. */
static bool check_line(struct reader *reader, const char *line, size_t n)
{
	const struct conf_at at = { reader->target->file, reader->line, NULL, NULL };
	size_t n_blank = 0;

	if (!check_bytes(reader, line, n)) {
		/* It may have been meant to begin a section. */
		if (n > 0 && (line[0] == '[' || reader->line == 1))
			reader->state = SECTION_SKIP;
		return false;
	}
	while (n_blank < n && is_blank(line[n_blank]))
		n_blank++;
	if (n_blank == n || line[n_blank] == '#' || line[n_blank] == ';')
		return false;
	if (n_blank > 0) {
		conf_fault_add(reader->loader, &at,
			       "blank at the start of the line: values cannot be continued");
		return false;
	}
	if (line[0] == '[')
		return check_section(reader, line, n);
	if (reader->state == SECTION_SKIP || !check_key(reader, line, n))
		return false;
	reader->n_given++;
	return true;
}

/* inih's fgets(): the next line that has one meaning. */
static char *next_line(char *buffer, int size, void *stream)
{
	struct reader *reader = stream;

	while (reader->n_text > 0) {
		const char *line = reader->text;
		const char *end = memchr(line, '\n', reader->n_text);
		size_t n = end ? (size_t)(end - line) : reader->n_text;

		reader->text += n + (end != NULL);
		reader->n_text -= n + (end != NULL);
		reader->line++;
		if (!check_line(reader, line, n))
			continue;
		if (n + 2 > (size_t)size) {
			const struct conf_at at = { reader->target->file, reader->line, NULL,
						    NULL };

			conf_fault_add(reader->loader, &at,
				       "line of %zu bytes, the parser takes %d", n, size - 2);
			continue;
		}
		memcpy(buffer, line, n);
		memcpy(buffer + n, "\n", 2);
		return buffer;
	}
	return NULL;
}

void conf_read_text(struct conf_loader *loader, const struct conf_target *target, const char *text,
		    size_t n_text)
{
	struct reader reader = {
		.loader = loader,
		.target = target,
		.text = text,
		.n_text = n_text,
	};
	const struct conf_at at = { target->file, 0, NULL, NULL };
	int r = ini_parse_stream(next_line, &reader, take_key, &reader);

	strings_done(&reader.settings_seen);
	/* Each line was checked: a parser that sees something else in it is not the one we know. */
	if (r == -2)
		loader->no_memory = true;
	else if (r != 0 || reader.n_given != reader.n_taken)
		conf_fault_add(loader, &at, "the parser took %u keys, expected %u", reader.n_taken,
			       reader.n_given);
}
