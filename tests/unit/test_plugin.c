#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "edge/plugin.h"

/* A plugin directory of our own: the build tree may be writable by a group. */
static int set_up(void **state)
{
	char *directory = strdup("/tmp/sidecard-plugin-XXXXXX");

	assert_non_null(mkdtemp(directory));
	*state = directory;
	return 0;
}

static int tear_down(void **state)
{
	DIR *stream = opendir(*state);
	struct dirent *entry;

	while ((entry = readdir(stream)))
		unlinkat(dirfd(stream), entry->d_name, 0);
	closedir(stream);
	rmdir(*state);
	free(*state);
	return 0;
}

static char *path_in(const char *directory, const char *name)
{
	char *path = NULL;

	assert_true(asprintf(&path, "%s/%s.so", directory, name) > 0);
	return path;
}

/* Copies the module that was built as @built to @name.so. */
static void install(const char *directory, const char *from_directory, const char *built,
		    const char *name)
{
	cleanup(freep) char *from = path_in(from_directory, built), *to = path_in(directory, name);
	cleanup(fclosep) FILE *in = fopen(from, "r"), *out = NULL;
	char buffer[8192];
	size_t n;

	assert_non_null(in);
	/* A new file: the old one may be mapped still. */
	unlink(to);
	out = fopen(to, "w");
	assert_non_null(out);
	while ((n = fread(buffer, 1, sizeof(buffer), in)) > 0)
		assert_int_equal(fwrite(buffer, 1, n, out), n);
	assert_int_equal(fchmod(fileno(out), 0644), 0);
}

static struct plugin *load(const char *directory, const char *name)
{
	struct plugin *plugin = NULL;
	struct fault fault;

	if (plugin_load(directory, name, &plugin, &fault) < 0)
		fail_msg("%s", fault.text);
	return plugin;
}

static void expect_refused(const char *directory, const char *name, int error, const char *text)
{
	struct plugin *plugin = NULL;
	struct fault fault = { 0 };
	int r = plugin_load(directory, name, &plugin, &fault);

	if (r != error || !strstr(fault.text, text))
		fail_msg("%s: %d '%s', expected %d '%s'", name, r, fault.text, error, text);
	assert_null(plugin);
	assert_int_equal(plugin_load(directory, name, &plugin, NULL), error);
}

static void tables_are_checked_before_use(void **state)
{
	static const struct {
		const char *built;
		int error;
		const char *text;
	} rows[] = {
		/* clang-format off */
		{ "vice_version", -EPROTO, "plugin 'unruly' has interface version 3, expected 2" },
		{ "vice_name", -EINVAL, "plugin 'unruly' calls itself 'somebody-else'" },
		{ "vice_null", -EINVAL, "plugin 'unruly' calls itself ''" },
		{ "vice_keys", -EINVAL, "plugin 'unruly' has a bad table of keys" },
		{ "vice_rounding", -EINVAL, "plugin 'unruly' has unknown rounding 7" },
		{ "vice_function", -EINVAL, "plugin 'unruly' has a bad table of live changes" },
		{ "vice_short", -EINVAL, "plugin 'unruly': its table is too short" },
		{ "vice_symbol", -EINVAL, "plugin 'unruly' has no symbol 'sidecard_plugin'" },
		/* clang-format on */
	};

	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		install(*state, TEST_PLUGIN_DIR, rows[i].built, "unruly");
		expect_refused(*state, "unruly", rows[i].error, rows[i].text);
	}
}

static void files_are_checked_before_loading(void **state)
{
	cleanup(freep) char *path = path_in(*state, "unruly"), *link = path_in(*state, "link"),
			    *fifo = path_in(*state, "fifo"), *directory = path_in(*state, "dir"),
			    *text = path_in(*state, "text");
	FILE *file;

	install(*state, TEST_PLUGIN_DIR, "vice_none", "unruly");
	assert_int_equal(symlink(path, link), 0);
	expect_refused(*state, "link", -EPERM, "it is a symbolic link");
	assert_int_equal(mkfifo(fifo, 0644), 0);
	expect_refused(*state, "fifo", -EPERM, "is not a regular file");
	assert_int_equal(mkdir(directory, 0755), 0);
	expect_refused(*state, "dir", -EPERM, "is not a regular file");
	assert_int_equal(rmdir(directory), 0);
	file = fopen(text, "w");
	fputs("\177ELF and nothing more\n", file);
	fclose(file);
	assert_int_equal(chmod(text, 0644), 0);
	expect_refused(*state, "text", -EINVAL, "plugin 'text' cannot be loaded");
	expect_refused(*state, "absent", -ENOENT, "No such file");
	expect_refused("/nonexistent", "unruly", -ENOENT, "cannot open directory");
	expect_refused(*state, "../unruly", -EINVAL, "is no name of a plugin");
	expect_refused(*state, "", -EINVAL, "is no name of a plugin");
	assert_int_equal(chmod(path, 0664), 0);
	expect_refused(*state, "unruly", -EPERM, "can be written by others (mode 0664)");
	assert_int_equal(chmod(path, 0646), 0);
	expect_refused(*state, "unruly", -EPERM, "can be written by others (mode 0646)");
	if (geteuid() == 0) {
		assert_int_equal(chmod(path, 0644), 0);
		assert_int_equal(chown(path, 12345, 0), 0);
		expect_refused(*state, "unruly", -EPERM, "belongs to user 12345, expected root");
		assert_int_equal(chown(path, 0, 0), 0);
	}
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(chmod(*state, 0777), 0);
	expect_refused(*state, "unruly", -EPERM, "can be written by others (mode 0777)");
	assert_int_equal(chmod(*state, 0755), 0);
	plugin_free(load(*state, "unruly"));
}

static int fd_count(void)
{
	DIR *stream = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(stream))
		n++;
	closedir(stream);
	return n;
}

/* The linker knows objects by name, descriptors are used again: two plugins must stay two, and a
 * new file under an old name must be new. */
static void each_file_is_itself(void **state)
{
	struct plugin *first[200], *generic, *newer;
	int n_fds = fd_count();
	struct plugin *none = NULL;

	install(*state, TEST_PLUGIN_DIR, "vice_none", "unruly");
	install(*state, GENERIC_PLUGIN_DIR, "generic", "generic");
	for (size_t i = 0; i < N_ELEMENTS(first); i++)
		first[i] = load(*state, "unruly");
	generic = load(*state, "generic");
	assert_true(plugin_rounds_up(first[0]));
	assert_false(plugin_rounds_up(generic));
	/* Replaced while the old one is in use: the new one's version is seen. */
	install(*state, TEST_PLUGIN_DIR, "vice_version", "unruly");
	assert_int_equal(plugin_load(*state, "unruly", &none, NULL), -EPROTO);
	install(*state, TEST_PLUGIN_DIR, "vice_none", "unruly");
	newer = load(*state, "unruly");
	assert_int_equal(fd_count(), n_fds);
	for (size_t i = 0; i < N_ELEMENTS(first); i++)
		plugin_free(first[i]);
	plugin_free(generic);
	plugin_free(newer);
	assert_null(plugin_free(NULL));
}

/* ---- answers ---- */

static int ask(const struct plugin *plugin, struct workload *workload,
	       struct strings *ret_variables, struct fault *fault)
{
	struct plan_workload placement = {
		.conf = workload,
		.placed = true,
		.n_pu = 3,
		.n_core = 2,
		.quota_mcpu = 3500,
		.share_mcpu = 2500,
		.parallelism = { 2, 3, 3 },
	};
	struct plugin_answer answer = { 0 };
	int r;

	assert_int_equal(cpuset_parse("4-5,9", &placement.cpus), 0);
	assert_int_equal(nodeset_parse("1-2", &placement.nodes), 0);
	assert_int_equal(nodeset_parse("1-3", &placement.mems), 0);
	r = plugin_ask(plugin, &(struct plugin_question){ &placement, NULL, NULL }, &answer, fault);
	if (r == 0)
		*ret_variables = answer.environment;
	cpuset_done(&placement.cpus);
	nodeset_done(&placement.nodes);
	nodeset_done(&placement.mems);
	return r;
}

static struct workload *with_setting(const char *key, const char *value)
{
	struct workload *workload = workload_new("proxy");

	workload->settings = calloc(1, sizeof(*workload->settings));
	workload->settings[0] = (struct setting){ strdup(key), strdup(value), 7 };
	workload->n_settings = 1;
	workload->source = strdup("/x/proxy.conf");
	return workload;
}

static void a_plugin_is_told_everything(void **state)
{
	cleanup(workload_freep) struct workload *workload = with_setting("other", "1");
	cleanup(workload_freep) struct workload *stranger = with_setting("others", "1");
	struct strings variables = { 0 };
	struct fault_list faults = { 0 };
	struct plugin *plugin;
	struct fault fault;

	install(*state, TEST_PLUGIN_DIR, "vice_none", "unruly");
	plugin = load(*state, "unruly");
	assert_int_equal(ask(plugin, workload, &variables, &fault), 0);
	assert_int_equal(variables.n_items, 3);
	assert_string_equal(variables.items[0], "TOLD=1 proxy 4-5,9 1-2 1-3 3 2 2 2 3 3 2500");
	assert_string_equal(variables.items[1], "N_SETTINGS=2");
	assert_string_equal(variables.items[2], "_OTHER=1");
	strings_done(&variables);
	assert_int_equal(plugin_check(plugin, workload, &faults), 0);
	assert_int_equal(plugin_check(plugin, stranger, &faults), -EINVAL);
	assert_int_equal(faults.n_texts, 1);
	assert_string_equal(faults.texts[0],
			    "/x/proxy.conf:7: [Plugin] others: plugin 'unruly' has no such key");
	fault_list_done(&faults);
	/* With a setting that it does not know it is not asked. */
	assert_int_equal(ask(plugin, stranger, &variables, &fault), -EINVAL);
	assert_string_equal(fault.text,
			    "/x/proxy.conf:7: [Plugin] others: plugin 'unruly' has no such key");
	plugin_free(plugin);
}

static void one_bad_variable_refuses_all(void **state)
{
	/* clang-format off */
	static const struct {
		const char *vice, *what; /* NULL: fine */
	} rows[] = {
		{ "newline", "a value that is not printable UTF-8" },
		{ "escape", "a value that is not printable UTF-8" },
		{ "c1", "a value that is not printable UTF-8" },
		{ "bytes", "a value that is not printable UTF-8" },
		{ "preload", "a name that steers the dynamic linker" },
		{ "ours", "a name that is sidecard's own" },
		{ "hyphen", "a name other than [A-Za-z_][A-Za-z0-9_]{0,63}" },
		{ "path", "a name that belongs to the shell or the C library" },
		{ "lower", NULL },
		{ "digit", "a name other than [A-Za-z_][A-Za-z0-9_]{0,63}" },
		{ "equals", "a name other than [A-Za-z_][A-Za-z0-9_]{0,63}" },
		{ "empty", "a name other than [A-Za-z_][A-Za-z0-9_]{0,63}" },
		{ "nameless", "a name other than [A-Za-z_][A-Za-z0-9_]{0,63}" },
		{ "long-name", "a name other than [A-Za-z_][A-Za-z0-9_]{0,63}" },
		{ "longest-name", NULL },
		{ "valueless", "no value" },
		{ "long-value", "a value longer than 4096 bytes" },
		{ "longest-value", NULL },
		{ "thousand", "more than 64 variables" },
		{ "64", NULL },
		{ "twice", "one variable twice" },
		{ "prefix", NULL },
		{ "stubborn", "a name that steers the dynamic linker" },
		{ "fails", "plugin 'unruly' failed for workload 'proxy': -5" },
		{ "fails-upwards", "plugin 'unruly' failed for workload 'proxy': 1" },
	};
	/* clang-format on */
	struct plugin *plugin;

	install(*state, TEST_PLUGIN_DIR, "vice_none", "unruly");
	plugin = load(*state, "unruly");
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		cleanup(workload_freep) struct workload *workload = with_setting("vice",
										 rows[i].vice);
		struct strings variables = { 0 };
		struct fault fault = { 0 };
		int r = ask(plugin, workload, &variables, &fault);

		if (r != (rows[i].what ? -EINVAL : 0))
			fail_msg("%s: %d '%s'", rows[i].vice, r, fault.text);
		if (rows[i].what && !strstr(fault.text, rows[i].what))
			fail_msg("%s: '%s'", rows[i].vice, fault.text);
		assert_int_equal(variables.n_items > 0, rows[i].what == NULL);
		strings_done(&variables);
		assert_int_equal(ask(plugin, workload, &variables, NULL), r);
		strings_done(&variables);
	}
	plugin_free(plugin);
}

static void generic_adds_nothing_and_rounds_down(void **state)
{
	cleanup(workload_freep) struct workload *workload = workload_new("proxy");
	struct strings variables = { 0 };
	struct plugin *plugin;
	struct fault fault;

	install(*state, GENERIC_PLUGIN_DIR, "generic", "generic");
	plugin = load(*state, "generic");
	assert_false(plugin_rounds_up(plugin));
	assert_int_equal(ask(plugin, workload, &variables, &fault), 0);
	assert_int_equal(variables.n_items, 0);
	plugin_free(plugin);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(tables_are_checked_before_use), TEST(files_are_checked_before_loading),
		TEST(each_file_is_itself),	     TEST(a_plugin_is_told_everything),
		TEST(one_bad_variable_refuses_all),  TEST(generic_adds_nothing_and_rounds_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
