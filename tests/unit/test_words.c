/* Placeholders in the words of a command. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "ctl/words.h"

static const char placed[] =
	"{\"page\": \"/run/sidecard/live/w\", \"arguments\": [\"-g\", \"worker_processes 3;\"],"
	" \"workload\": {\"name\": \"w\", \"cpus\": \"0-2,8\", \"n_pu\": 4, \"n_core\": 3,"
	"  \"nodes\": \"0\", \"mems\": \"0-1\", \"quota_mcpu\": 2500,"
	"  \"parallelism\": {\"floor\": 2, \"ceil\": 3, \"advised\": 3}}}";
static const char unlimited[] = "{\"page\": \"/p\", \"arguments\": [], \"workload\": {\"name\": "
				"\"w\", \"quota_mcpu\": null,"
				"  \"parallelism\": {\"floor\": 1, \"ceil\": 1, \"advised\": 1}}}";
static const char pending[] = "{\"page\": \"/p\", \"arguments\": [], \"workload\": null}";
static const char older[] = "{}";

static const struct row {
	const char *why, *reply;
	const char *words[4];
	int r;
	const char *expanded; /* each word and a bar; or what the fault tells */
} rows[] = {
	{ "nothing to replace", placed, { "sleep", "1" }, 0, "sleep|1|" },
	{ "a word", placed, { "w", "%{parallelism}" }, 0, "w|3|" },
	{ "within a word, twice",
	  placed,
	  { "--n=%{parallelism_floor}-%{parallelism_ceil};" },
	  0,
	  "--n=2-3;|" },
	{ "all the others",
	  placed,
	  { "%{cpus} %{n_pu} %{n_core} %{nodes} %{mems} %{quota_mcpu} %{workload} %{page}" },
	  0,
	  "0-2,8 4 3 0 0-1 2500 w /run/sidecard/live/w|" },
	{ "no quota is max, as the kernel says", unlimited, { "%{quota_mcpu}" }, 0, "max|" },
	{ "arguments are words of their own",
	  placed,
	  { "nginx", "%{arguments}", "-q" },
	  0,
	  "nginx|-g|worker_processes 3;|-q|" },
	{ "no arguments, no word", unlimited, { "x", "%{arguments}", "y" }, 0, "x|y|" },
	{ "nor from a daemon that knows none", older, { "x", "%{arguments}" }, 0, "x|" },
	{ "amid a word they would be one", placed, { "-a%{arguments}" }, -EINVAL, "%{arguments}" },
	{ "per cent for per cent", placed, { "100%%", "%%%%" }, 0, "100%|%%|" },
	{ "the text itself", placed, { "%%{cpus}" }, 0, "%{cpus}|" },
	{ "other signs of per cent stay", placed, { "+%s", "%", "5%n" }, 0, "+%s|%|5%n|" },
	{ "no end of a name", placed, { "%{cpus" }, 0, "%{cpus|" },
	{ "a value is not looked at again", placed, { "%{%{cpus}}" }, -EINVAL, "'%{%{cpus}'" },
	{ "an empty word stays", placed, { "", "x" }, 0, "|x|" },
	{ "a name that there is not", placed, { "%{http_code}" }, -EINVAL, "'%{http_code}'" },
	{ "no name", placed, { "%{}" }, -EINVAL, "'%{}'" },
	{ "the beginning of a name", placed, { "%{cpu}" }, -EINVAL, "'%{cpu}'" },
	{ "not placed: nothing to tell", pending, { "%{cpus}" }, -ENODATA, "%{cpus}" },
	{ "placed without PUs", unlimited, { "%{cpus}" }, -ENODATA, "%{cpus}" },
	{ "its page is known all the same", pending, { "%{page}" }, 0, "/p|" },
	{ "not placed, nothing asked", pending, { "true" }, 0, "true|" },
};

static size_t count(const struct row *row)
{
	size_t n = 0;

	while (n < N_ELEMENTS(row->words) && row->words[n])
		n++;
	return n;
}

static void check(const struct row *row)
{
	json_t *reply = json_loads(row->reply, 0, NULL);
	struct strings words = { 0 };
	struct fault fault = { 0 };
	char text[512] = "";
	int r;

	assert_non_null(reply);
	r = words_expand((char *const *)(uintptr_t)row->words, count(row), reply, &words, &fault);
	for (size_t i = 0; i < words.n_items; i++) {
		strcat(text, words.items[i]);
		strcat(text, "|");
	}
	if (r != row->r)
		fail_msg("%s: %d (%s), wanted %d", row->why, r, fault.text, row->r);
	if (r == 0 && strcmp(text, row->expanded) != 0)
		fail_msg("%s: '%s', wanted '%s'", row->why, text, row->expanded);
	if (r < 0 && (!strstr(fault.text, row->expanded) || words.n_items > 0))
		fail_msg("%s: '%s' does not tell '%s'", row->why, fault.text, row->expanded);
	strings_done(&words);
	json_decref(reply);
}

static void words_are_replaced(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++)
		check(&rows[i]);
}

static void a_long_foreign_name_is_cut(void **state)
{
	char word[4096];
	char *words[] = { word };
	struct strings expanded = { 0 };
	struct fault fault = { 0 };

	(void)state;
	memset(word, 'x', sizeof(word));
	memcpy(word, "%{", 2);
	memcpy(word + sizeof(word) - 2, "}", 2);
	assert_int_equal(words_expand(words, 1, NULL, &expanded, &fault), -EINVAL);
	assert_non_null(strstr(fault.text, "expected one of"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_are_replaced),
		cmocka_unit_test(a_long_foreign_name_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
