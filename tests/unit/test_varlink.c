#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "publish/varlink_server.h"

#define TEXT(literal) literal, sizeof(literal) - 1

static void calls_are_understood(void **state)
{
	/* clang-format off */
	static const struct {
		const char *why, *text;
		const char *method;
		size_t n_parameters;
		bool more, oneway, upgrade;
	} rows[] = {
		{ "the least", "{\"method\":\"a.b.C\"}", "a.b.C", 0, false, false, false },
		{ "as sd-varlink sends it", "{\"method\":\"a.b.C\",\"parameters\":{}}", "a.b.C", 0,
		  false, false, false },
		{ "null parameters are none", "{\"method\":\"m\",\"parameters\":null}", "m", 0,
		  false, false, false },
		{ "parameters", "{\"parameters\":{\"x\":1,\"y\":[{}]},\"method\":\"m\"}", "m", 2,
		  false, false, false },
		{ "more", "{\"method\":\"m\",\"more\":true}", "m", 0, true, false, false },
		{ "not more", "{\"method\":\"m\",\"more\":false,\"oneway\":null}", "m", 0, false,
		  false, false },
		{ "oneway", "{\"method\":\"m\",\"oneway\":true}", "m", 0, false, true, false },
		{ "upgrade is for the caller to refuse", "{\"method\":\"m\",\"upgrade\":true}", "m",
		  0, false, false, true },
		{ "blanks", " {\n\t\"method\" : \"m\" }\r\n", "m", 0, false, false, false },
		{ "an escape", "{\"method\":\"\\u006d\"}", "m", 0, false, false, false },
		{ "brackets in a string have no depth",
		  "{\"method\":\"[[[[[[[[[[[[[[[[[[[[[[\\\"{{{{{{{{{{{{{{{{{{{\"}",
		  "[[[[[[[[[[[[[[[[[[[[[[\"{{{{{{{{{{{{{{{{{{{", 0, false, false, false },
		{ "16 levels",
		  "{\"method\":\"m\",\"parameters\":{\"x\":[[[[[[[[[[[[[[]]]]]]]]]]]]]]}}", "m", 1,
		  false, false, false },
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct varlink_call call = { 0 };
		struct fault fault = { 0 };
		int r = varlink_call_parse(rows[i].text, strlen(rows[i].text), &call, &fault);

		if (r < 0 || strcmp(call.method, rows[i].method) != 0 ||
		    json_object_size(call.parameters) != rows[i].n_parameters ||
		    call.more != rows[i].more || call.oneway != rows[i].oneway ||
		    call.upgrade != rows[i].upgrade)
			fail_msg("%s: %d '%s'", rows[i].why, r, fault.text);
		varlink_call_done(&call);
	}
}

static void what_is_no_call_is_refused(void **state)
{
	/* clang-format off */
	static const struct {
		const char *why, *text;
		size_t n_text;
	} rows[] = {
		{ "a NUL alone is an empty message", TEXT("") },
		{ "not JSON", TEXT("hello") },
		{ "cut", TEXT("{\"method\":\"m\"") },
		{ "something behind", TEXT("{\"method\":\"m\"} {}") },
		{ "an array", TEXT("[\"method\"]") },
		{ "a number", TEXT("1") },
		{ "no method", TEXT("{\"parameters\":{}}") },
		{ "method is no string", TEXT("{\"method\":1}") },
		{ "parameters are no object", TEXT("{\"method\":\"m\",\"parameters\":[1]}") },
		{ "more is no truth value", TEXT("{\"method\":\"m\",\"more\":1}") },
		{ "unknown key", TEXT("{\"method\":\"m\",\"less\":true}") },
		{ "a reply is no call", TEXT("{\"parameters\":{},\"continues\":true}") },
		{ "several replies and none",
		  TEXT("{\"method\":\"m\",\"more\":true,\"oneway\":true}") },
		{ "the same key twice", TEXT("{\"method\":\"a\",\"method\":\"b\"}") },
		{ "twice further in", TEXT("{\"method\":\"m\",\"parameters\":{\"a\":1,\"a\":2}}") },
		{ "not UTF-8", TEXT("{\"method\":\"\xff\"}") },
		{ "overlong slash", TEXT("{\"method\":\"\xc0\xaf\"}") },
		{ "a lone surrogate", TEXT("{\"method\":\"\\ud800\"}") },
		{ "NUL by escape", TEXT("{\"method\":\"a\\u0000b\"}") },
		{ "control byte in a string", TEXT("{\"method\":\"a\nb\"}") },
		{ "17 levels",
		  TEXT("{\"method\":\"m\","
		       "\"parameters\":{\"x\":[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]}}") },
		{ "a number that no integer holds",
		  TEXT("{\"method\":\"m\",\"parameters\":{\"x\":99999999999999999999}}") },
		{ "a number that no real holds",
		  TEXT("{\"method\":\"m\",\"parameters\":{\"x\":1e999}}") },
		{ "byte order mark", TEXT("\xef\xbb\xbf{\"method\":\"m\"}") },
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct varlink_call call = { 0 };
		struct fault fault = { 0 };
		int r = varlink_call_parse(rows[i].text, rows[i].n_text, &call, &fault);

		if (r != -EBADMSG || call.method || call.parameters || !fault.text[0])
			fail_msg("%s: %d '%s'", rows[i].why, r, fault.text);
	}
}

static void depth_is_measured_before_parsing(void **state)
{
	enum { N = 30000 };
	cleanup(freep) char *text = malloc(2 * N + 64);
	struct varlink_call call;
	struct fault fault;
	int n = sprintf(text, "{\"method\":\"m\",\"parameters\":{\"x\":");

	(void)state;
	memset(text + n, '[', N);
	memset(text + n + N, ']', N);
	memcpy(text + n + 2 * N, "}}", 2);
	assert_int_equal(varlink_call_parse(text, (size_t)n + 2 * N + 2, &call, &fault), -EBADMSG);
	assert_non_null(strstr(fault.text, "deeper"));
	/* Closing brackets alone must not make room for opening ones. */
	memset(text, ']', N);
	memset(text + N, '[', N);
	assert_int_equal(varlink_call_parse(text, 2 * N, &call, &fault), -EBADMSG);
	assert_non_null(strstr(fault.text, "deeper"));
}

/* Feeds @text in pieces of @step bytes and writes what comes out, '|' after each message, to @out.
 */
static int feed(const char *text, size_t n_text, size_t step, char *out)
{
	struct varlink_input input = { 0 };
	const char *message;
	size_t n_message, at = 0, used = 0;
	int r = 0;

	while (at < n_text && r == 0) {
		char *room;
		size_t size, n;

		r = varlink_input_reserve(&input, &room, &size);
		if (r < 0)
			break;
		n = n_text - at < step ? n_text - at : step;
		n = n < size ? n : size;
		memcpy(room, text + at, n);
		varlink_input_received(&input, n);
		at += n;
		while (varlink_input_next(&input, &message, &n_message)) {
			assert_int_equal(message[n_message], 0);
			memcpy(out + used, message, n_message);
			used += n_message;
			out[used++] = '|';
		}
	}
	out[used] = '\0';
	varlink_input_done(&input);
	return r;
}

static void frames_do_not_depend_on_how_they_arrive(void **state)
{
	unsigned seed = (unsigned)time(NULL);
	char text[4096], once[8192], pieces[8192];

	(void)state;
	print_message("seed %u\n", seed);
	srand(seed);
	for (unsigned round = 0; round < 200; round++) {
		size_t n_text = 1 + (size_t)rand() % sizeof(text);

		for (size_t i = 0; i < n_text; i++)
			text[i] = rand() % 20 ? (char)('a' + rand() % 26) : '\0';
		assert_int_equal(feed(text, n_text, n_text, once), 0);
		assert_int_equal(feed(text, n_text, 1, pieces), 0);
		assert_string_equal(once, pieces);
		assert_int_equal(feed(text, n_text, 1 + (size_t)rand() % 600, pieces), 0);
		assert_string_equal(once, pieces);
	}
}

static void a_message_has_a_greatest_length(void **state)
{
	cleanup(freep) char *text = malloc(VARLINK_MESSAGE_MAX + 2);
	cleanup(freep) char *out = malloc(VARLINK_MESSAGE_MAX + 8);

	(void)state;
	memset(text, 'x', VARLINK_MESSAGE_MAX + 2);
	text[VARLINK_MESSAGE_MAX] = '\0';
	assert_int_equal(feed(text, VARLINK_MESSAGE_MAX + 1, 1000, out), 0);
	assert_int_equal(strlen(out), VARLINK_MESSAGE_MAX + 1);
	text[VARLINK_MESSAGE_MAX] = 'x';
	text[VARLINK_MESSAGE_MAX + 1] = '\0';
	assert_int_equal(feed(text, VARLINK_MESSAGE_MAX + 2, 1000, out), -EMSGSIZE);
}

static void replies_can_be_read_back(void **state)
{
	struct varlink_output output = { 0 };
	json_t *reply;

	(void)state;
	assert_int_equal(varlink_reply(&output, json_pack("{s:s}", "x", "a\n\"\xc3\xa4")), 0);
	assert_int_equal(output.bytes[output.end - 1], 0);
	reply = json_loads(output.bytes, 0, NULL);
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(reply, "parameters"), "x")),
		"a\n\"\xc3\xa4");
	assert_int_equal(json_object_size(reply), 1);
	json_decref(reply);
	varlink_output_sent(&output, varlink_output_n_bytes(&output));
	assert_null(output.bytes); /* an idle connection holds no memory */

	assert_int_equal(varlink_reply_error(&output, "a.b.Bad", json_pack("{s:i}", "n", 1)), 0);
	reply = json_loads(output.bytes, 0, NULL);
	assert_string_equal(json_string_value(json_object_get(reply, "error")), "a.b.Bad");
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(reply, "parameters"), "n")), 1);
	json_decref(reply);
	/* No memory for the parameters: no half reply either. */
	varlink_output_sent(&output, 6);
	assert_int_equal(varlink_reply(&output, NULL), -ENOMEM);
	assert_string_equal(output.bytes + output.begin,
			    "r\":\"a.b.Bad\",\"parameters\":{\"n\":1}}");
	varlink_output_done(&output);
}

/* The linker sends every realloc() of ours here (meson.build). */
static unsigned n_reallocs_left = UINT32_MAX;

void *__real_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size);

void *__wrap_realloc(void *p, size_t size)
{
	if (n_reallocs_left == 0) {
		n_reallocs_left = UINT32_MAX; /* one failure: what comes after it works again */
		return NULL;
	}
	n_reallocs_left -= n_reallocs_left != UINT32_MAX;
	return __real_realloc(p, size);
}

static void without_memory_no_reply_is_cut(void **state)
{
	unsigned n_failed = 0;

	(void)state;
	/* Grows at a key at least once: those jansson forgets to check. */
	for (unsigned n = 0;; n++) {
		struct varlink_output output = { 0 };
		json_t *parameters = json_object();
		char key[64];
		int r;

		for (unsigned i = 0; i < 100; i++) {
			snprintf(key, sizeof(key), "a-rather-long-key-%u", i);
			json_object_set_new(parameters, key, json_integer(i));
		}
		assert_int_equal(varlink_output_add(&output, "before", 6), 0);
		n_reallocs_left = n;
		r = varlink_reply(&output, parameters);
		n_reallocs_left = UINT32_MAX;
		if (r == 0) {
			assert_int_equal(output.bytes[output.end - 1], 0);
			varlink_output_done(&output);
			break;
		}
		assert_int_equal(r, -ENOMEM);
		assert_int_equal(varlink_output_n_bytes(&output), 6);
		varlink_output_done(&output);
		n_failed++;
	}
	assert_true(n_failed >= 3);
}

/* A reader of interface descriptions, as strict as systemd's: no comment behind the last field, no
 * comma before ')'. */
struct idl {
	const char *at;
	const char *types[16];
	size_t n_types;
	const char *methods[32], *errors[32];
	size_t n_methods, n_errors;
};

static void idl_blanks(struct idl *idl)
{
	idl->at += strspn(idl->at, " \t\n");
}

static bool idl_take(struct idl *idl, const char *token)
{
	idl_blanks(idl);
	if (strncmp(idl->at, token, strlen(token)) != 0)
		return false;
	idl->at += strlen(token);
	return true;
}

static void idl_comments(struct idl *idl)
{
	while (idl_take(idl, "#"))
		idl->at += strcspn(idl->at, "\n");
}

/* [A-Z][A-Za-z0-9]* or [A-Za-z](_?[A-Za-z0-9])* */
static const char *idl_name(struct idl *idl, bool is_field)
{
	const char *begin;

	idl_blanks(idl);
	begin = idl->at;
	assert_true(is_field ? isalpha(*begin) : isupper(*begin));
	while (isalnum(*idl->at) || (is_field && *idl->at == '_' && isalnum(idl->at[1])))
		idl->at++;
	return begin;
}

static bool idl_same(const char *a, const char *b)
{
	while (isalnum(*a) && *a == *b)
		a++, b++;
	return !isalnum(*a) && !isalnum(*b);
}

static void idl_type(struct idl *idl)
{
	static const char *const simple[] = { "bool", "int", "float", "string", "object" };

	idl_blanks(idl);
	if (*idl->at == '?')
		idl->at++;
	if (strncmp(idl->at, "[]", 2) == 0)
		idl->at += 2;
	for (size_t i = 0; i < N_ELEMENTS(simple); i++)
		if (idl_same(idl->at, simple[i])) {
			idl->at += strlen(simple[i]);
			return;
		}
	for (size_t i = 0; i < idl->n_types; i++)
		if (idl_same(idl->at, idl->types[i])) {
			idl_name(idl, false);
			return;
		}
	fail_msg("unknown type at '%.30s'", idl->at);
}

static void idl_fields(struct idl *idl)
{
	assert_true(idl_take(idl, "("));
	idl_comments(idl);
	if (idl_take(idl, ")"))
		return;
	do {
		idl_comments(idl);
		idl_name(idl, true);
		assert_true(idl_take(idl, ":"));
		idl_type(idl);
	} while (idl_take(idl, ","));
	if (!idl_take(idl, ")"))
		fail_msg("expected ')' at '%.30s'", idl->at);
}

static void idl_read(struct idl *idl, const char *text, const char *interface)
{
	idl->at = text;
	idl_comments(idl);
	assert_true(idl_take(idl, "interface "));
	assert_true(idl_take(idl, interface));
	assert_int_equal(*idl->at, '\n');
	for (idl_comments(idl); *idl->at; idl_comments(idl)) {
		if (idl_take(idl, "type ")) {
			idl->types[idl->n_types++] = idl_name(idl, false);
		} else if (idl_take(idl, "error ")) {
			idl->errors[idl->n_errors++] = idl_name(idl, false);
		} else {
			assert_true(idl_take(idl, "method "));
			idl->methods[idl->n_methods++] = idl_name(idl, false);
			idl_fields(idl);
			assert_true(idl_take(idl, "->"));
		}
		idl_fields(idl);
		idl_blanks(idl);
	}
}

static bool methods_have(const char *interface, const char *name)
{
	char full[128];

	snprintf(full, sizeof(full), "%s.%.*s", interface, (int)strcspn(name, "("), name);
	for (size_t i = 0; methods_name(i); i++)
		if (strcmp(methods_name(i), full) == 0)
			return true;
	return false;
}

static void descriptions_parse_and_agree_with_the_code(void **state)
{
	size_t n_described = 0, n_methods = 0;

	(void)state;
	for (const char *const *name = varlink_interfaces(); *name; name++) {
		struct idl idl = { 0 };

		idl_read(&idl, varlink_interface_description(*name), *name);
		for (size_t i = 0; i < idl.n_methods; i++)
			assert_true(methods_have(*name, idl.methods[i]));
		assert_true(idl.n_errors >= 4);
		n_described += idl.n_methods;
	}
	while (methods_name(n_methods))
		n_methods++;
	assert_int_equal(n_described, n_methods);
	assert_null(varlink_interface_description("io.sidecard1"));
}

static void start_times_are_found_behind_any_name(void **state)
{
	/* clang-format off */
	static const struct {
		const char *why, *stat;
		int result;
		uint64_t start_time;
	} rows[] = {
		{ "plain", "7 (cat) S 1 7 7 0 -1 4 1 0 0 0 0 0 0 0 20 0 1 0 4711 99 1", 0, 4711 },
		{ "blanks and brackets in the name",
		  "7 (a) S 1) (b c) S 1 7 7 0 -1 4 1 0 0 0 0 0 0 0 20 0 1 0 42 99 1", 0, 42 },
		{ "last field", "7 (cat) S 1 7 7 0 -1 4 1 0 0 0 0 0 0 0 20 0 1 0 4711\n", 0, 4711 },
		{ "cut", "7 (cat) S 1 7 7 0 -1 4 1 0", -EINVAL, 0 },
		{ "empty", "", -EINVAL, 0 },
		{ "no bracket", "7 cat S 1 7 7 0 -1 4 1 0 0 0 0 0 0 0 20 0 1 0 4711 99 1", -EINVAL,
		  0 },
		{ "no number", "7 (cat) S 1 7 7 0 -1 4 1 0 0 0 0 0 0 0 20 0 1 0 x 99 1", -EINVAL,
		  0 },
		{ "negative", "7 (cat) S 1 7 7 0 -1 4 1 0 0 0 0 0 0 0 20 0 1 0 -1 99 1", -EINVAL,
		  0 },
		{ "too large",
		  "7 (cat) S 1 7 7 0 -1 4 1 0 0 0 0 0 0 0 20 0 1 0 99999999999999999999 9", -EINVAL,
		  0 },
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		uint64_t start_time = 0;
		int r = peer_parse_start_time(rows[i].stat, &start_time);

		if (r != rows[i].result || start_time != rows[i].start_time)
			fail_msg("%s: %d %llu", rows[i].why, r, (unsigned long long)start_time);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_are_understood),
		cmocka_unit_test(what_is_no_call_is_refused),
		cmocka_unit_test(depth_is_measured_before_parsing),
		cmocka_unit_test(frames_do_not_depend_on_how_they_arrive),
		cmocka_unit_test(a_message_has_a_greatest_length),
		cmocka_unit_test(replies_can_be_read_back),
		cmocka_unit_test(without_memory_no_reply_is_cut),
		cmocka_unit_test(descriptions_parse_and_agree_with_the_code),
		cmocka_unit_test(start_times_are_found_behind_any_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
