/* Nothing of a plugin is believed: here are the rules that its table and its proposals must keep.
 * What it may do is propose variables, arguments and lines; what it may not is listed in
 * proposal_check(). */
#include "edge/plugin_check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define VARIABLE_NAME_MAX_BYTES 64u
/* More than any runtime has; an answer without end is cut off here. */
#define VALUE_MAX_BYTES	   4096u
#define VARIABLES_MAX	   64u
#define ARGUMENTS_MAX	   256u
#define ANSWER_MAX_BYTES   65536u
#define ROWS_MAX	   128u
#define KEY_NAME_MAX_BYTES 64u
#define KEY_TEXT_MAX_BYTES 1024u
#define HELP_MAX_BYTES	   1024u
#define PATTERN_MAX_BYTES  64u
#define OVERCOMMIT_LEAST   1000u
#define OVERCOMMIT_MOST	   64000u

/* ---- texts ---- */

/* U+0080..U+009F, written c2 80..9f, are control characters too. */
static bool is_printable(const char *text, size_t n_text)
{
	for (size_t i = 0; i < n_text; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c < 0x20 || c == 0x7f || (c == 0xc2 && (unsigned char)text[i + 1] < 0xa0))
			return false;
	}
	return text_is_utf8(text, n_text);
}

/* Printable and of @least to @most bytes. */
static bool text_is_fit(const char *text, size_t least, size_t most)
{
	size_t n = text ? strnlen(text, most + 1) : 0;

	return text && n >= least && n <= most && is_printable(text, n);
}

static bool key_name_is_valid(const char *name)
{
	size_t n = name ? strnlen(name, KEY_NAME_MAX_BYTES + 1) : 0;

	return n > 0 && n <= KEY_NAME_MAX_BYTES && name[0] != '-' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

/* A decimal number without sign, blank or leading zero, or -EINVAL. */
static int uint_parse(const char *text, uint64_t *ret_value)
{
	size_t n = strnlen(text, 21);
	uint64_t value = 0;

	if (n == 0 || n > 20 || strspn(text, "0123456789") != n || (text[0] == '0' && n > 1))
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value))
			return -EINVAL;
	*ret_value = value;
	return 0;
}

/* ---- keys ---- */

/* True where @value is one of @words, which one blank separates. */
static bool word_is_among(const char *value, const char *words)
{
	size_t n = strlen(value);

	if (n == 0 || strchr(value, ' '))
		return false;
	for (const char *at = words; (at = strstr(at, value)); at += n)
		if ((at == words || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0'))
			return true;
	return false;
}

/* What @key accepts, for people. */
static void key_expects(const struct sidecard_key *key, char *buffer, size_t buffer_size)
{
	switch (key->type) {
	case SIDECARD_KEY_UINT:
		snprintf(buffer, buffer_size, "a whole number from %llu to %llu",
			 (unsigned long long)key->least, (unsigned long long)key->most);
		break;
	case SIDECARD_KEY_BOOL:
		snprintf(buffer, buffer_size, "yes or no");
		break;
	case SIDECARD_KEY_WORD:
		snprintf(buffer, buffer_size, "one of: %s", key->words);
		break;
	default:
		snprintf(buffer, buffer_size, "%llu to %llu printable bytes",
			 (unsigned long long)key->least, (unsigned long long)key->most);
	}
}

static bool key_accepts(const struct sidecard_key *key, const char *value)
{
	uint64_t number;

	if (value[0] == '\0' && key->value[0] == '\0')
		return true;
	switch (key->type) {
	case SIDECARD_KEY_UINT:
		return uint_parse(value, &number) == 0 && number >= key->least &&
		       number <= key->most;
	case SIDECARD_KEY_BOOL:
		return strcmp(value, "yes") == 0 || strcmp(value, "no") == 0;
	case SIDECARD_KEY_WORD:
		return word_is_among(value, key->words);
	default:
		return text_is_fit(value, key->least, key->most);
	}
}

static bool key_is_sound(const struct sidecard_key *key)
{
	if (!key_name_is_valid(key->name) || key->type > SIDECARD_KEY_TEXT ||
	    key->least > key->most || !text_is_fit(key->help, 1, HELP_MAX_BYTES) ||
	    !text_is_fit(key->value, 0, KEY_TEXT_MAX_BYTES))
		return false;
	if (key->type == SIDECARD_KEY_WORD && !text_is_fit(key->words, 1, KEY_TEXT_MAX_BYTES))
		return false;
	if (key->type == SIDECARD_KEY_TEXT && key->most > KEY_TEXT_MAX_BYTES)
		return false;
	return key_accepts(key, key->value);
}

static const struct sidecard_key *key_find(const struct sidecard_plugin *table, const char *name)
{
	for (uint32_t i = 0; i < table->keys.n_rows; i++) {
		const struct sidecard_key *key = sidecard_row(&table->keys, i);

		if (strcmp(key->name, name) == 0)
			return key;
	}
	return NULL;
}

/* ---- the table ---- */

static bool is_table(const struct sidecard_table *table, size_t row_size)
{
	return table->n_rows == 0 ||
	       (table->rows && table->n_rows <= ROWS_MAX && table->row_size >= row_size &&
		table->row_size <= 4096 && table->row_size % _Alignof(uint64_t) == 0);
}

static bool keys_are_sound(const struct sidecard_plugin *table)
{
	for (uint32_t i = 0; i < table->keys.n_rows; i++) {
		const struct sidecard_key *key = sidecard_row(&table->keys, i);

		/* The first of its name, or a later one hides behind it. */
		if (!key_is_sound(key) || key_find(table, key->name) != key)
			return false;
	}
	return true;
}

static bool rules_are_sound(const struct sidecard_plugin *table)
{
	for (uint32_t i = 0; i < table->thread_rules.n_rows; i++) {
		const struct sidecard_thread_rule *rule = sidecard_row(&table->thread_rules, i);

		if (rule->class >= SIDECARD_N_THREAD_CLASSES ||
		    (rule->comm && !text_is_fit(rule->comm, 1, PATTERN_MAX_BYTES)) ||
		    (rule->argv && !text_is_fit(rule->argv, 1, PATTERN_MAX_BYTES)))
			return false;
	}
	return true;
}

/* Signals that tell a program something; none that only ends it. */
static bool signal_is_sound(const struct sidecard_live *live, uint32_t number)
{
	if (live->way != SIDECARD_WAY_SIGNAL)
		return number == 0;
	return number > 0 && number < 32 && number != 9 && number != 19;
}

static bool lives_are_sound(const struct sidecard_plugin *table)
{
	for (uint32_t i = 0; i < table->lives.n_rows; i++) {
		const struct sidecard_live *live = sidecard_row(&table->lives, i);

		if (!text_is_fit(live->what, 1, HELP_MAX_BYTES) ||
		    (live->note && !text_is_fit(live->note, 1, HELP_MAX_BYTES)) ||
		    live->change > SIDECARD_CHANGE_LIVE || live->way > SIDECARD_WAY_ASK ||
		    (live->change == SIDECARD_CHANGE_START_ONLY) !=
			    (live->way == SIDECARD_WAY_NONE) ||
		    (live->change == SIDECARD_CHANGE_START_ONLY) != (live->interval_us == 0) ||
		    !signal_is_sound(live, live->signal_more) ||
		    !signal_is_sound(live, live->signal_fewer) ||
		    (live->way == SIDECARD_WAY_COMMAND && !table->command))
			return false;
	}
	return table->lives.n_rows > 0;
}

static bool steer_is_sound(const struct sidecard_plugin *table)
{
	const struct sidecard_steer *steer = table->steer;

	if (table->modes == 0 || table->modes > (SIDECARD_MODE_FIXED | SIDECARD_MODE_STEER))
		return false;
	if (!(table->modes & SIDECARD_MODE_STEER))
		return true;
	return steer && steer->size >= sizeof(*steer) && steer->rounding <= SIDECARD_ROUND_UP &&
	       steer->quota_least >= 1 && steer->quota_least <= 64 && steer->reads_quota <= 1 &&
	       steer->reads_affinity <= 1 && steer->follows <= 1 &&
	       (steer->reads_quota || steer->reads_affinity);
}

int plugin_table_check(const struct sidecard_plugin *table, size_t table_size, const char *name,
		       struct fault *fault)
{
	const char *what = NULL;

	if (table_size >= sizeof(table->api_version) &&
	    table->api_version != SIDECARD_PLUGIN_API_VERSION)
		return fault_set(fault, -EPROTO,
				 "plugin '%s' has interface version %u, expected %u", name,
				 table->api_version, SIDECARD_PLUGIN_API_VERSION);
	if (table_size < sizeof(*table) || table->size < sizeof(*table))
		return fault_set(fault, -EINVAL, "plugin '%s': its table is too short", name);
	if (!table->name || strncmp(table->name, name, 64) != 0)
		return fault_set(fault, -EINVAL, "plugin '%s' calls itself '%.64s'", name,
				 table->name ? table->name : "");
	if (table->rounding > SIDECARD_ROUND_UP)
		return fault_set(fault, -EINVAL, "plugin '%s' has unknown rounding %u", name,
				 table->rounding);
	if (!text_is_fit(table->version, 1, 64) || !text_is_fit(table->runtime, 1, HELP_MAX_BYTES))
		what = "no version or runtime";
	else if (table->overcommit_permille < OVERCOMMIT_LEAST ||
		 table->overcommit_permille > OVERCOMMIT_MOST)
		what = "an overcommit out of range";
	else if (!is_table(&table->keys, sizeof(struct sidecard_key)) || !keys_are_sound(table))
		what = "a bad table of keys";
	else if (!is_table(&table->thread_rules, sizeof(struct sidecard_thread_rule)) ||
		 !rules_are_sound(table))
		what = "a bad table of threads";
	else if (!is_table(&table->lives, sizeof(struct sidecard_live)) || !lives_are_sound(table))
		what = "a bad table of live changes";
	else if (!steer_is_sound(table))
		what = "bad modes or a bad rule for steering";
	return what ? fault_set(fault, -EINVAL, "plugin '%s' has %s", name, what) : 0;
}

/* ---- settings ---- */

static bool setting_check(const struct sidecard_plugin *table, const struct workload *workload,
			  const struct setting *setting, struct fault_list *faults)
{
	const char *source = workload->source ? workload->source : workload->name;
	const struct sidecard_key *key = key_find(table, setting->key);
	char expected[KEY_TEXT_MAX_BYTES + 64];

	if (key && key_accepts(key, setting->value))
		return true;
	if (!faults)
		return false;
	if (!key) {
		fault_list_add(faults, "%s:%u: [Plugin] %s: plugin '%s' has no such key", source,
			       setting->line, setting->key, table->name);
		return false;
	}
	key_expects(key, expected, sizeof(expected));
	fault_list_add(faults, "%s:%u: [Plugin] %s: '%s' is not %s", source, setting->line,
		       setting->key, setting->value, expected);
	return false;
}

static bool mode_check(const struct sidecard_plugin *table, const struct workload *workload,
		       struct fault_list *faults)
{
	bool is_steer = workload->publish_mode == PUBLISH_STEER;

	if (table->modes & (is_steer ? SIDECARD_MODE_STEER : SIDECARD_MODE_FIXED))
		return true;
	if (faults)
		fault_list_add(faults,
			       "%s:%u: [Publish] Mode: plugin '%s' does not know '%s', "
			       "expected '%s'",
			       workload->source ? workload->source : workload->name,
			       workload->source_line, table->name, is_steer ? "steer" : "fixed",
			       is_steer ? "fixed" : "steer");
	return false;
}

int plugin_settings_make(const struct sidecard_plugin *table, const struct workload *workload,
			 struct sidecard_setting **ret_settings, struct fault_list *faults)
{
	cleanup(freep) struct sidecard_setting *settings = NULL;
	bool sound = true;

	settings = calloc((size_t)table->keys.n_rows + 1, sizeof(*settings));
	if (!settings)
		return -ENOMEM;
	for (uint32_t i = 0; i < table->keys.n_rows; i++) {
		const struct sidecard_key *key = sidecard_row(&table->keys, i);

		settings[i] = (struct sidecard_setting){ key->name, key->value };
		for (size_t k = 0; k < workload->n_settings; k++)
			if (strcmp(workload->settings[k].key, key->name) == 0)
				settings[i].value = workload->settings[k].value;
	}
	for (size_t k = 0; k < workload->n_settings; k++)
		if (!setting_check(table, workload, &workload->settings[k], faults))
			sound = false;
	if (!mode_check(table, workload, faults))
		sound = false;
	if (!sound)
		return -EINVAL;
	*ret_settings = TAKE_PTR(settings);
	return 0;
}

/* ---- proposals ---- */

static bool is_variable(enum proposal kind)
{
	return kind == PROPOSAL_VARIABLE || kind == PROPOSAL_APPEND;
}

/* The item of @strings that sets the variable @name; NULL where there is none. */
static char **variable_find(const struct strings *strings, const char *name, size_t n_name)
{
	for (size_t i = 0; i < strings->n_items; i++)
		if (strncmp(strings->items[i], name, n_name) == 0 &&
		    strings->items[i][n_name] == '=')
			return &strings->items[i];
	return NULL;
}

/* What these say is about more than one runtime's own settings. */
static const char *const foreign_names[] = {
	"PATH",	    "HOME",	      "SHELL",	    "IFS",	    "ENV",
	"BASH_ENV", "GLIBC_TUNABLES", "GCONV_PATH", "NOTIFY_SOCKET"
};

static const char *name_check(const struct plugin_proposals *proposals, const char *name)
{
	size_t n = name ? strnlen(name, VARIABLE_NAME_MAX_BYTES + 1) : 0;

	if (n == 0 || n > VARIABLE_NAME_MAX_BYTES || (name[0] >= '0' && name[0] <= '9') ||
	    strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") != n)
		return "a name other than [A-Za-z_][A-Za-z0-9_]{0,63}";
	for (size_t i = 0; i < N_ELEMENTS(foreign_names); i++)
		if (strcmp(name, foreign_names[i]) == 0)
			return "a name that belongs to the shell or the C library";
	if (strncmp(name, "SIDECARD_", 9) == 0)
		return "a name that is sidecard's own";
	if (strncmp(name, "LD_", 3) == 0)
		return "a name that steers the dynamic linker";
	if (variable_find(&proposals->items[PROPOSAL_VARIABLE], name, n) ||
	    variable_find(&proposals->items[PROPOSAL_APPEND], name, n))
		return "one variable twice";
	return NULL;
}

/* What is wrong with it; NULL: nothing. */
static const char *proposal_check(const struct plugin_proposals *proposals, enum proposal kind,
				  const char *name, const char *value)
{
	size_t n = value ? strnlen(value, VALUE_MAX_BYTES + 1) : 0;
	const char *what = is_variable(kind) ? name_check(proposals, name) : NULL;

	if (what)
		return what;
	if (!value)
		return "no value";
	if (n > VALUE_MAX_BYTES)
		return "a value longer than 4096 bytes";
	if (!is_printable(value, n))
		return "a value that is not printable UTF-8";
	if (kind == PROPOSAL_APPEND && n == 0)
		return "nothing to append";
	if (proposals->n_bytes + n > ANSWER_MAX_BYTES)
		return "more than 65536 bytes";
	if (is_variable(kind) && proposals->items[PROPOSAL_VARIABLE].n_items +
						 proposals->items[PROPOSAL_APPEND].n_items >=
					 VARIABLES_MAX)
		return "more than 64 variables";
	if (!is_variable(kind) && proposals->items[kind].n_items >= ARGUMENTS_MAX)
		return "more than 256 arguments or lines";
	return NULL;
}

static int proposal_store(struct plugin_proposals *proposals, enum proposal kind, const char *name,
			  const char *value)
{
	cleanup(freep) char *item = NULL;
	int r;

	if (!is_variable(kind))
		return strings_add(&proposals->items[kind], value);
	r = asprintf(&item, "%s=%s", name, value);
	if (r < 0) {
		item = NULL;
		return -ENOMEM;
	}
	return strings_add(&proposals->items[kind], item);
}

int plugin_proposals_add(struct plugin_proposals *proposals, enum proposal kind, const char *name,
			 const char *value)
{
	const char *what;

	if (proposals->error < 0)
		return proposals->error;
	what = proposal_check(proposals, kind, name, value);
	if (what)
		return proposals->error = fault_set(
			       proposals->fault, -EINVAL,
			       "plugin '%s' proposes %s for workload '%s' ('%.64s')",
			       proposals->plugin, what, proposals->workload, name ? name : "");
	proposals->n_bytes += strlen(value);
	if (proposal_store(proposals, kind, name, value) < 0)
		proposals->error = fault_set(proposals->fault, -ENOMEM,
					     "no memory for proposals of plugin '%s'",
					     proposals->plugin);
	return proposals->error;
}

void plugin_proposals_done(struct plugin_proposals *proposals)
{
	for (uint32_t i = 0; i < N_PROPOSAL; i++)
		strings_done(&proposals->items[i]);
}

/* ---- the answer ---- */

static bool ends_with_words(const char *text, const char *words)
{
	size_t n_text = strlen(text), n_words = strlen(words);

	return n_text >= n_words && strcmp(text + n_text - n_words, words) == 0 &&
	       (n_text == n_words || text[n_text - n_words - 1] == ' ');
}

/* @item is KEY=VALUE, to stand behind what @environment has for KEY. */
static int append_one(struct plugin_proposals *proposals, struct strings *environment,
		      const char *item)
{
	size_t n_name = strcspn(item, "=");
	char **present = variable_find(environment, item, n_name);
	const char *old = present ? *present + n_name + 1 : "", *added = item + n_name + 1;
	char *joined = NULL;

	if (!present)
		return strings_add(environment, item);
	if (ends_with_words(old, added))
		return 0;
	if (strlen(old) + 1 + strlen(added) > VALUE_MAX_BYTES)
		return fault_set(proposals->fault, -EINVAL,
				 "workload '%s': %.*s with what plugin '%s' appends is longer than "
				 "4096 bytes",
				 proposals->workload, (int)n_name, item, proposals->plugin);
	if (asprintf(&joined, "%s%s%s", *present, old[0] ? " " : "", added) < 0)
		return -ENOMEM;
	free(*present);
	*present = joined;
	return 0;
}

static int environment_merge(struct plugin_proposals *proposals, const struct strings *base,
			     struct strings *environment)
{
	const struct strings *variables = &proposals->items[PROPOSAL_VARIABLE];
	const struct strings *appended = &proposals->items[PROPOSAL_APPEND];
	int r = 0;

	for (size_t i = 0; base && i < base->n_items && r == 0; i++)
		r = strings_add(environment, base->items[i]);
	for (size_t i = 0; i < variables->n_items && r == 0; i++)
		if (!variable_find(environment, variables->items[i],
				   strcspn(variables->items[i], "=")))
			r = strings_add(environment, variables->items[i]);
	for (size_t i = 0; i < appended->n_items && r == 0; i++)
		r = append_one(proposals, environment, appended->items[i]);
	return r;
}

static int appended_names(const struct plugin_proposals *proposals, struct strings *names)
{
	const struct strings *appended = &proposals->items[PROPOSAL_APPEND];

	for (size_t i = 0; i < appended->n_items; i++) {
		cleanup(freep) char *name = strndup(appended->items[i],
						    strcspn(appended->items[i], "="));
		int r = name ? strings_add(names, name) : -ENOMEM;

		if (r < 0)
			return r;
	}
	return 0;
}

int plugin_answer_make(struct plugin_proposals *proposals, const struct strings *base,
		       struct plugin_answer *ret_answer)
{
	cleanup(plugin_answer_done) struct plugin_answer answer = { 0 };
	int r = environment_merge(proposals, base, &answer.environment);

	if (r == 0)
		r = appended_names(proposals, &answer.appended);
	if (r == -ENOMEM)
		fault_set(proposals->fault, r, "no memory for variables of plugin '%s'",
			  proposals->plugin);
	if (r < 0)
		return r;
	*ret_answer = answer;
	answer = (struct plugin_answer){ 0 };
	ret_answer->arguments = proposals->items[PROPOSAL_ARGUMENT];
	ret_answer->lines = proposals->items[PROPOSAL_LINE];
	proposals->items[PROPOSAL_ARGUMENT] = (struct strings){ 0 };
	proposals->items[PROPOSAL_LINE] = (struct strings){ 0 };
	return 0;
}

void plugin_answer_done(struct plugin_answer *answer)
{
	strings_done(&answer->environment);
	strings_done(&answer->appended);
	strings_done(&answer->arguments);
	strings_done(&answer->lines);
}
