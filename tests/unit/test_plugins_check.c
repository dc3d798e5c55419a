/* Tables of plugins that are wrong in one point each, and proposals: what is refused, and why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "edge/plugin_check.h"

/* A table that is right, with parts that a row may spoil. */
struct table {
	struct sidecard_plugin plugin;
	struct sidecard_key keys[2];
	struct sidecard_thread_rule rules[1];
	struct sidecard_live lives[1];
	struct sidecard_steer steer;
};

static int command(const struct sidecard_request *request, const struct sidecard_sink *sink)
{
	(void)request;
	(void)sink;
	return 0;
}

static void table_make(struct table *table)
{
	*table = (struct table){
		.keys = { { "one", SIDECARD_KEY_UINT, .least = 1, .most = 9, .value = "",
			    .help = "A number." },
			  { "two", SIDECARD_KEY_WORD, .words = "a b", .value = "b",
			    .help = "A word." } },
		.rules = { { .comm = "x*", .class = SIDECARD_THREAD_IO } },
		.lives = { { .what = "threads",
			     .change = SIDECARD_CHANGE_LIVE,
			     .way = SIDECARD_WAY_COMMAND,
			     .interval_us = 1 } },
		.steer = { sizeof(table->steer), SIDECARD_ROUND_UP, 1, 1, 1, 1 },
	};
	table->plugin = (struct sidecard_plugin){
		.api_version = SIDECARD_PLUGIN_API_VERSION,
		.size = sizeof(table->plugin),
		.name = "x",
		.version = "1",
		.runtime = "X",
		.modes = SIDECARD_MODE_FIXED | SIDECARD_MODE_STEER,
		.overcommit_permille = 1000,
		.keys = SIDECARD_TABLE(table->keys),
		.thread_rules = SIDECARD_TABLE(table->rules),
		.lives = SIDECARD_TABLE(table->lives),
		.steer = &table->steer,
		.command = command,
	};
}

#define SPOIL(name, change)                                      \
	static void name(struct table *table)                    \
	{                                                        \
		struct sidecard_plugin *plugin = &table->plugin; \
		(void)plugin;                                    \
		change;                                          \
	}

/* clang-format off */
SPOIL(nothing, (void)0)
SPOIL(no_name, plugin->name = NULL)
SPOIL(older_size, plugin->size--)
SPOIL(rounding, plugin->rounding = 2)
SPOIL(no_version, plugin->version = NULL)
SPOIL(empty_version, plugin->version = "")
SPOIL(no_runtime, plugin->runtime = "\n")
SPOIL(overcommit_low, plugin->overcommit_permille = 999)
SPOIL(overcommit_high, plugin->overcommit_permille = 64001)
SPOIL(no_modes, plugin->modes = 0)
SPOIL(unknown_mode, plugin->modes = 4)
SPOIL(fixed_only, plugin->modes = SIDECARD_MODE_FIXED; plugin->steer = NULL)
SPOIL(no_steer, plugin->steer = NULL)
SPOIL(steer_size, table->steer.size--)
SPOIL(steer_rounding, table->steer.rounding = 2)
SPOIL(steer_least, table->steer.quota_least = 0)
SPOIL(steer_reads_nothing, table->steer.reads_quota = table->steer.reads_affinity = 0)
SPOIL(keys_null, plugin->keys.rows = NULL)
SPOIL(keys_many, plugin->keys.n_rows = 129)
SPOIL(keys_narrow, plugin->keys.row_size -= 8)
SPOIL(keys_askew, plugin->keys.row_size += 1)
SPOIL(keys_none, plugin->keys = (struct sidecard_table){ 0 })
SPOIL(key_nameless, table->keys[0].name = NULL)
SPOIL(key_capital, table->keys[0].name = "One")
SPOIL(key_break, table->keys[0].name = "o\nne")
SPOIL(key_equals, table->keys[0].name = "o=e")
SPOIL(key_hyphen, table->keys[0].name = "-one")
SPOIL(key_twice, table->keys[1].name = "one")
SPOIL(key_type, table->keys[0].type = 4)
SPOIL(key_range, table->keys[0].least = 10)
SPOIL(key_default, table->keys[0].value = "10")
SPOIL(key_default_null, table->keys[0].value = NULL)
SPOIL(key_help, table->keys[0].help = NULL)
SPOIL(key_words, table->keys[1].words = NULL)
SPOIL(key_word, table->keys[1].value = "c")
SPOIL(key_half_word, table->keys[1].words = "ab b2"; table->keys[1].value = "b")
SPOIL(key_text, table->keys[0].type = SIDECARD_KEY_TEXT; table->keys[0].most = 1025)
SPOIL(rule_class, table->rules[0].class = 5)
SPOIL(rule_empty, table->rules[0].comm = "")
SPOIL(rule_bytes, table->rules[0].argv = "\xff")
SPOIL(lives_none, plugin->lives.n_rows = 0)
SPOIL(live_what, table->lives[0].what = "")
SPOIL(live_note, table->lives[0].note = "\033[2J")
SPOIL(live_change, table->lives[0].change = 3)
SPOIL(live_way, table->lives[0].way = 6)
SPOIL(live_wayless, table->lives[0].way = SIDECARD_WAY_NONE)
SPOIL(live_storm, table->lives[0].interval_us = 0)
SPOIL(live_commandless, plugin->command = NULL)
SPOIL(live_signal, table->lives[0].signal_more = 1)
SPOIL(live_kill, table->lives[0].way = SIDECARD_WAY_SIGNAL; table->lives[0].signal_more = 9;
      table->lives[0].signal_fewer = 10)
SPOIL(live_half, table->lives[0].way = SIDECARD_WAY_SIGNAL; table->lives[0].signal_more = 21)
SPOIL(live_signals, table->lives[0].way = SIDECARD_WAY_SIGNAL; table->lives[0].signal_more = 21;
      table->lives[0].signal_fewer = 22)

#define SHORT "its table is too short"
#define KEYS "a bad table of keys"
#define THREADS "a bad table of threads"
#define LIVES "a bad table of live changes"
#define STEER "bad modes or a bad rule for steering"
#define ROW(function) #function, function
static const struct {
	const char *why;
	void (*spoil)(struct table *table);
	const char *what; /* NULL: fine */
} rows[] = {
	{ ROW(nothing), NULL }, { ROW(fixed_only), NULL }, { ROW(keys_none), NULL },
	{ ROW(live_signals), NULL },
	{ ROW(no_name), "calls itself ''" }, { ROW(older_size), SHORT },
	{ ROW(rounding), "unknown rounding 2" }, { ROW(no_version), "no version" },
	{ ROW(empty_version), "no version" }, { ROW(no_runtime), "no version or runtime" },
	{ ROW(overcommit_low), "an overcommit out of range" },
	{ ROW(overcommit_high), "an overcommit out of range" },
	{ ROW(no_modes), STEER }, { ROW(unknown_mode), STEER }, { ROW(no_steer), STEER },
	{ ROW(steer_size), STEER }, { ROW(steer_rounding), STEER }, { ROW(steer_least), STEER },
	{ ROW(steer_reads_nothing), STEER },
	{ ROW(keys_null), KEYS }, { ROW(keys_many), KEYS }, { ROW(keys_narrow), KEYS },
	{ ROW(keys_askew), KEYS }, { ROW(key_nameless), KEYS }, { ROW(key_capital), KEYS },
	{ ROW(key_break), KEYS }, { ROW(key_equals), KEYS }, { ROW(key_hyphen), KEYS },
	{ ROW(key_twice), KEYS }, { ROW(key_type), KEYS }, { ROW(key_range), KEYS },
	{ ROW(key_default), KEYS }, { ROW(key_default_null), KEYS }, { ROW(key_help), KEYS },
	{ ROW(key_words), KEYS }, { ROW(key_word), KEYS }, { ROW(key_half_word), KEYS },
	{ ROW(key_text), KEYS },
	{ ROW(rule_class), THREADS }, { ROW(rule_empty), THREADS }, { ROW(rule_bytes), THREADS },
	{ ROW(lives_none), LIVES }, { ROW(live_what), LIVES }, { ROW(live_note), LIVES },
	{ ROW(live_change), LIVES }, { ROW(live_way), LIVES }, { ROW(live_wayless), LIVES },
	{ ROW(live_storm), LIVES }, { ROW(live_commandless), LIVES }, { ROW(live_signal), LIVES },
	{ ROW(live_kill), LIVES }, { ROW(live_half), LIVES },
};
/* clang-format on */

static void a_table_is_right_or_refused(void **state)
{
	int n_wrong = 0;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct fault fault = { 0 };
		struct table table;
		int r;

		table_make(&table);
		rows[i].spoil(&table);
		r = plugin_table_check(&table.plugin, sizeof(table.plugin), "x", &fault);
		if (r != (rows[i].what ? -EINVAL : 0) ||
		    (rows[i].what && !strstr(fault.text, rows[i].what))) {
			print_error("%s: %d '%s'\n", rows[i].why, r, fault.text);
			n_wrong++;
		}
	}
	assert_int_equal(n_wrong, 0);
}

/* Of another version nothing but the version is read; of a short one nothing beyond it. */
static void a_version_is_told_from_a_stump(void **state)
{
	struct fault fault;
	struct table table;

	(void)state;
	table_make(&table);
	table.plugin.api_version = SIDECARD_PLUGIN_API_VERSION + 1;
	assert_int_equal(plugin_table_check(&table.plugin, 4, "x", &fault), -EPROTO);
	table.plugin.api_version = SIDECARD_PLUGIN_API_VERSION;
	assert_int_equal(plugin_table_check(&table.plugin, 4, "x", &fault), -EINVAL);
	assert_int_equal(plugin_table_check(&table.plugin, 0, "x", &fault), -EINVAL);
}

/* A newer plugin's rows are longer than ours: the known part of each is read. */
static void longer_rows_are_walked(void **state)
{
	struct {
		struct sidecard_key key;
		uint64_t more;
	} keys[2] = { { { "one", SIDECARD_KEY_BOOL, .value = "no", .help = "x" }, 1 },
		      { { "two", SIDECARD_KEY_BOOL, .value = "yes", .help = "x" }, 2 } };
	cleanup(freep) struct sidecard_setting *settings = NULL;
	struct workload *workload = workload_new("w");
	struct table table;

	(void)state;
	table_make(&table);
	table.plugin.keys = (struct sidecard_table)SIDECARD_TABLE(keys);
	assert_int_equal(plugin_table_check(&table.plugin, sizeof(table.plugin), "x", NULL), 0);
	assert_int_equal(plugin_settings_make(&table.plugin, workload, &settings, NULL), 0);
	assert_string_equal(settings[1].key, "two");
	assert_string_equal(settings[1].value, "yes");
	workload_free(workload);
}

static int add(struct plugin_proposals *proposals, enum proposal kind, const char *value)
{
	return plugin_proposals_add(proposals, kind, NULL, value);
}

static void proposals_have_bounds(void **state)
{
	struct fault fault = { 0 };
	struct plugin_proposals proposals = { .plugin = "x", .workload = "w", .fault = &fault };
	char text[4098];
	int n = 0;

	(void)state;
	while (n < 1000 && add(&proposals, PROPOSAL_ARGUMENT, "") == 0)
		n++;
	assert_int_equal(n, 256);
	assert_non_null(strstr(fault.text, "more than 256 arguments or lines"));
	/* After the first fault nothing counts. */
	assert_int_equal(add(&proposals, PROPOSAL_LINE, "x"), -EINVAL);
	plugin_proposals_done(&proposals);

	proposals = (struct plugin_proposals){ .plugin = "x", .workload = "w", .fault = &fault };
	memset(text, 'a', sizeof(text));
	text[4096] = '\0';
	for (n = 0; n < 1000 && add(&proposals, PROPOSAL_LINE, text) == 0;)
		n++;
	assert_int_equal(n, 16);
	assert_non_null(strstr(fault.text, "more than 65536 bytes"));
	plugin_proposals_done(&proposals);

	proposals = (struct plugin_proposals){ .plugin = "x", .workload = "w", .fault = &fault };
	assert_int_equal(add(&proposals, PROPOSAL_LINE, "a\nb"), -EINVAL);
	plugin_proposals_done(&proposals);
	proposals = (struct plugin_proposals){ .plugin = "x", .workload = "w", .fault = &fault };
	assert_int_equal(add(&proposals, PROPOSAL_ARGUMENT, NULL), -EINVAL);
	plugin_proposals_done(&proposals);
}

static void what_is_appended_has_room_or_is_refused(void **state)
{
	struct fault fault = { 0 };
	struct plugin_proposals proposals = { .plugin = "x", .workload = "w", .fault = &fault };
	struct plugin_answer answer = { 0 };
	struct strings base = { 0 };
	char text[4200] = "A=";

	(void)state;
	memset(text + 2, 'a', 4090);
	assert_int_equal(strings_add(&base, text), 0);
	assert_int_equal(plugin_proposals_add(&proposals, PROPOSAL_APPEND, "A", "12345"), 0);
	assert_int_equal(plugin_answer_make(&proposals, &base, &answer), 0);
	assert_int_equal(strlen(answer.environment.items[0]), 2 + 4096);
	assert_string_equal(answer.appended.items[0], "A");
	plugin_answer_done(&answer);
	plugin_proposals_done(&proposals);

	proposals = (struct plugin_proposals){ .plugin = "x", .workload = "w", .fault = &fault };
	assert_int_equal(plugin_proposals_add(&proposals, PROPOSAL_APPEND, "A", "123456"), 0);
	assert_int_equal(plugin_answer_make(&proposals, &base, &answer), -EINVAL);
	assert_non_null(strstr(fault.text, "A with what plugin 'x' appends is longer than 4096"));
	plugin_proposals_done(&proposals);
	proposals = (struct plugin_proposals){ .plugin = "x", .workload = "w", .fault = &fault };
	assert_int_equal(plugin_proposals_add(&proposals, PROPOSAL_APPEND, "A", ""), -EINVAL);
	plugin_proposals_done(&proposals);
	strings_done(&base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_table_is_right_or_refused),
		cmocka_unit_test(a_version_is_told_from_a_stump),
		cmocka_unit_test(longer_rows_are_walked),
		cmocka_unit_test(proposals_have_bounds),
		cmocka_unit_test(what_is_appended_has_room_or_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
