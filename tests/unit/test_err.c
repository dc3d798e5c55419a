#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/err.h"

static void names_follow_the_rule(void **state)
{
	static const struct {
		const char *name;
		int valid;
	} rows[] = {
		{ "envoy", 1 },
		{ "a", 1 },
		{ "0.a_b-c", 1 },
		{ "", 0 },
		{ "..", 0 },
		{ "../x", 0 },
		{ "a/b", 0 },
		{ "-a", 0 },
		{ ".a", 0 },
		{ "Envoy", 0 },
		{ "a\nb", 0 },
		{ "a b", 0 },
		{ "\xc3\xa4", 0 },
		{ "a12345678901234567890123456789012345678901234567890123456789012", 1 },
		{ "a123456789012345678901234567890123456789012345678901234567890123", 0 },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++)
		if (name_is_valid(rows[i].name) != rows[i].valid)
			fail_msg("'%s'", rows[i].name);
}

static void foreign_bytes_are_escaped(void **state)
{
	static const struct {
		const char *why, *text, *escaped;
	} rows[] = {
		{ "newline would begin a log line", "a\nb", "a\\x0ab" },
		{ "terminal escape", "\x1b[31m", "\\x1b[31m" },
		{ "UTF-8 stays", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
		  "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80" },
		{ "overlong slash", "\xc0\xaf", "\\xc0\\xaf" },
		{ "surrogate", "\xed\xa0\x80", "\\xed\\xa0\\x80" },
		{ "cut sequence", "\xe2\x82", "\\xe2\\x82" },
		{ "C1 control", "\xc2\x9b", "\\xc2\\x9b" },
	};
	char buffer[64];

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		text_escape(rows[i].text, strlen(rows[i].text), buffer, sizeof(buffer));
		if (strcmp(buffer, rows[i].escaped) != 0)
			fail_msg("%s: '%s'", rows[i].why, buffer);
	}
	assert_int_equal(text_escape("abc\n", 4, buffer, 4), 3);
	assert_string_equal(buffer, "abc");
	assert_true(text_is_utf8("\xc3\xa4", 2));
	assert_false(text_is_utf8("a\0b", 3));
	assert_false(text_is_utf8("\xf5\x80\x80\x80", 4));
}

static void faults_keep_to_their_room(void **state)
{
	struct fault fault;
	char longer[FAULT_TEXT_SIZE * 2];
	struct fault_list list = { 0 };

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(fault_set(&fault, -EINVAL, "%s", longer), -EINVAL);
	assert_string_equal(fault.text + strlen(fault.text) - 3, "...");
	assert_int_equal(fault_set(NULL, -EIO, "nobody listens"), -EIO);
	for (unsigned i = 0; i < FAULT_LIST_MAX + 5; i++)
		fault_list_add(&list, "fault %u", i);
	assert_int_equal(list.n_texts, FAULT_LIST_MAX);
	assert_int_equal(list.n_lost, 5);
	assert_string_equal(list.texts[999], "fault 999");
	fault_list_done(&list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_follow_the_rule),
		cmocka_unit_test(foreign_bytes_are_escaped),
		cmocka_unit_test(faults_keep_to_their_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
