#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "sense/match.h"

static void globs(void **state)
{
	static const struct {
		const char *why, *pattern, *text;
		bool matches;
	} rows[] = {
		{ "plain", "proxy.service", "proxy.service", true },
		{ "plain, longer text", "proxy", "proxy.service", false },
		{ "plain, shorter text", "proxy.service", "proxy", false },
		{ "template instances", "web@*.service", "web@1.service", true },
		{ "a star may be empty", "web@*.service", "web@.service", true },
		{ "several stars", "*a*b*", "xxaxxbxx", true },
		{ "several stars, wrong order", "*a*b*", "xxbxxaxx", false },
		{ "a star crosses slashes in a command line", "java *-jar*",
		  "java -Xmx1g -jar /a/b.jar", true },
		{ "one character", "a?c", "abc", true },
		{ "one character is needed", "a?c", "ac", false },
		{ "class", "n[0-9]", "n7", true },
		{ "class, other character", "n[0-9]", "nx", false },
		{ "negated class", "n[!0-9]", "nx", true },
		{ "class with a bracket", "n[]x]", "n]", true },
		{ "class without an end is plain text", "n[0", "n[0", true },
		{ "backslash is plain: systemd escapes by it", "dev-a\\x2db.swap",
		  "dev-a\\x2db.swap", true },
		{ "empty pattern", "", "a", false },
		{ "empty both", "", "", true },
		{ "star matches nothing", "*", "", true },
		{ "bytes that are not UTF-8", "a*", "a\xff\xfe", true },
		{ "exponential in naive matchers", "*a*a*a*a*a*a*a*a*a*a*b",
		  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		  false },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++)
		if (glob_matches(rows[i].pattern, rows[i].text) != rows[i].matches)
			fail_msg("%s: '%s' on '%s'", rows[i].why, rows[i].pattern, rows[i].text);
}

static void path_globs(void **state)
{
	static const struct {
		const char *why, *pattern, *path;
		bool matches, may_be_below;
	} rows[] = {
		{ "equal", "/pods/a", "/pods/a", true, false },
		{ "a star ends at a slash", "/pods/*", "/pods/a/b", false, false },
		{ "parent", "/pods/*", "/pods", false, true },
		{ "the root is above all", "/pods/*", "/", false, true },
		{ "other branch", "/pods/*", "/system.slice", false, false },
		{ "branch by glob", "/p*/a/*", "/pods/a", false, true },
		{ "branch by glob, other", "/p*/a/*", "/pods/b", false, false },
		{ "final slash", "/pods/a/", "/pods/a", true, false },
		{ "the root itself", "/", "/", true, false },
		{ "deeper than the pattern", "/pods", "/pods/a", false, false },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		if (glob_matches_path(rows[i].pattern, rows[i].path) != rows[i].matches)
			fail_msg("%s: match of '%s'", rows[i].why, rows[i].path);
		if (glob_may_match_below(rows[i].pattern, rows[i].path) != rows[i].may_be_below)
			fail_msg("%s: below '%s'", rows[i].why, rows[i].path);
	}
}

static void units_by_directory(void **state)
{
	static const struct {
		const char *why, *path, *unit; /* NULL: none */
		bool may_be_below;
	} rows[] = {
		{ "the root is no unit", "/", NULL, true },
		{ "service in a slice", "/system.slice/a.service", "a.service", false },
		{ "slice", "/system.slice", "system.slice", true },
		{ "slice in a slice", "/a.slice/a-b.slice", "a-b.slice", true },
		{ "scope at the top", "/init.scope", "init.scope", false },
		{ "payload of a delegated unit", "/system.slice/c.service/payload", NULL, false },
		{ "a unit's name in delegated payload", "/user.slice/user@0.service/app.slice",
		  NULL, false },
		{ "no unit at all", "/docker/0123", NULL, false },
		{ "a unit's name below what is none", "/docker/a.service", NULL, false },
		{ "escaped: it would look like a kernel file", "/system.slice/_cpu.service",
		  "cpu.service", false },
		{ "no unit type of a cgroup", "/system.slice/a.target", NULL, false },
		{ "nothing before the suffix", "/.service", NULL, false },
	};
	char unit[UNIT_NAME_SIZE];

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		bool is_unit = unit_of_directory(rows[i].path, unit);

		if (is_unit != !!rows[i].unit || (is_unit && strcmp(unit, rows[i].unit) != 0))
			fail_msg("%s: '%s'", rows[i].why, rows[i].path);
		if (unit_may_be_below(rows[i].path) != rows[i].may_be_below)
			fail_msg("%s: below '%s'", rows[i].why, rows[i].path);
	}
}

static void predicts_paths(void **state)
{
	static const struct {
		const char *why, *slice, *unit, *path;
	} rows[] = {
		{ "in the root slice", "-.slice", "a.scope", "/a.scope" },
		{ "in a top slice", "system.slice", "a.service", "/system.slice/a.service" },
		{ "in a nested slice", "a-b-c.slice", "x.service",
		  "/a.slice/a-b.slice/a-b-c.slice/x.service" },
		{ "a slice", "a-b.slice", NULL, "/a.slice/a-b.slice" },
		{ "the root slice", "-.slice", NULL, "/" },
		{ "escaped", "system.slice", "cpu.service", "/system.slice/_cpu.service" },
		{ "a slice's name like a controller's", "io.slice", NULL, "/_io.slice" },
		{ "no slice", "a.service", "b.service", NULL },
		{ "a dash at the start", "-a.slice", NULL, NULL },
		{ "a slash in a name", "a.slice", "../b.service", NULL },
		{ "empty name", "a.slice", "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		char *path = unit_path_predict(rows[i].slice, rows[i].unit);

		if (!path != !rows[i].path || (path && strcmp(path, rows[i].path) != 0))
			fail_msg("%s: '%s'", rows[i].why, path ? path : "(none)");
		free(path);
	}
}

struct keys {
	const char *unit, *slice, *cgroup, *executable, *command_line;
	uint32_t uid; /* 0: no User= */
};

static struct workload *workload_with(const struct keys *keys)
{
	struct workload *workload = workload_new("w");

	if (keys->unit)
		strings_add(&workload->match.units, keys->unit);
	if (keys->slice)
		strings_add(&workload->match.slices, keys->slice);
	if (keys->cgroup)
		strings_add(&workload->match.cgroups, keys->cgroup);
	if (keys->executable)
		strings_add(&workload->match.executables, keys->executable);
	if (keys->command_line)
		strings_add(&workload->match.command_lines, keys->command_line);
	if (keys->uid) {
		strings_add(&workload->match.users, "somebody");
		workload->match.uids = malloc(sizeof(uint32_t));
		workload->match.uids[0] = keys->uid;
	}
	return workload;
}

static void directories(void **state)
{
	static const struct {
		const char *why;
		struct keys keys;
		const char *path;
		bool matches, below;
	} rows[] = {
		{ "unit", { .unit = "a.service" }, "/system.slice/a.service", true, false },
		{ "unit, not yet", { .unit = "a.service" }, "/system.slice", false, true },
		{ "payload is no unit",
		  { .unit = "a.service" },
		  "/b.service/a.service",
		  false,
		  false },
		{ "slice alone is the slice itself",
		  { .slice = "p.slice" },
		  "/p.slice",
		  true,
		  true },
		{ "and not what is in it",
		  { .slice = "p.slice" },
		  "/p.slice/a.service",
		  false,
		  false },
		{ "unit in a slice",
		  { .unit = "*.service", .slice = "p.slice" },
		  "/p.slice/a.service",
		  true,
		  false },
		{ "unit in another slice",
		  { .unit = "*.service", .slice = "p.slice" },
		  "/q.slice/a.service",
		  false,
		  false },
		{ "cgroup", { .cgroup = "/pods/*" }, "/pods/a", true, false },
		{ "cgroup in a slice",
		  { .cgroup = "/p.slice/x*", .slice = "p.slice" },
		  "/p.slice/x1",
		  true,
		  false },
		{ "cgroup and unit",
		  { .cgroup = "/p.slice/*", .unit = "a.*" },
		  "/p.slice/b.service",
		  false,
		  false },
		{ "nothing names a directory", { .executable = "/bin/x" }, "/a", false, false },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		cleanup(workload_freep) struct workload *workload = workload_with(&rows[i].keys);

		if (match_directory(workload, rows[i].path) != rows[i].matches)
			fail_msg("%s: match", rows[i].why);
		if (match_may_be_below(workload, rows[i].path) != rows[i].below)
			fail_msg("%s: below", rows[i].why);
	}
}

static void processes(void **state)
{
	static const struct {
		const char *why;
		struct keys keys;
		const char *cgroup, *executable, *command_line;
		uint32_t uid;
		bool matches;
	} rows[] = {
		{ "executable", { .executable = "/bin/x" }, "/", "/bin/x", "x", 1, true },
		{ "another", { .executable = "/bin/x" }, "/", "/bin/y", "x", 1, false },
		{ "replaced by an upgrade",
		  { .executable = "/bin/x" },
		  "/",
		  "/bin/x (deleted)",
		  "x",
		  1,
		  true },
		{ "we may not know it", { .executable = "/bin/x" }, "/", NULL, "x", 1, false },
		{ "command line",
		  { .command_line = "envoy *-c a*" },
		  "/",
		  NULL,
		  "envoy -x -c a.yaml",
		  1,
		  true },
		{ "none", { .command_line = "*" }, "/", NULL, NULL, 1, false },
		{ "user", { .uid = 7 }, "/", NULL, NULL, 7, true },
		{ "another user", { .uid = 7 }, "/", NULL, NULL, 8, false },
		{ "keys are and",
		  { .executable = "/bin/x", .uid = 7 },
		  "/",
		  "/bin/x",
		  NULL,
		  8,
		  false },
		{ "in a unit",
		  { .executable = "/bin/x", .unit = "a.service" },
		  "/s.slice/a.service/sub",
		  "/bin/x",
		  NULL,
		  1,
		  true },
		{ "in another unit",
		  { .executable = "/bin/x", .unit = "a.service" },
		  "/s.slice/b.service",
		  "/bin/x",
		  NULL,
		  1,
		  false },
		{ "in a slice",
		  { .executable = "/bin/x", .slice = "s.slice" },
		  "/s.slice/b.service",
		  "/bin/x",
		  NULL,
		  1,
		  true },
		{ "below a cgroup",
		  { .executable = "/bin/x", .cgroup = "/pods/*" },
		  "/pods/a/b",
		  "/bin/x",
		  NULL,
		  1,
		  true },
		{ "beside it",
		  { .executable = "/bin/x", .cgroup = "/pods/*" },
		  "/pods",
		  "/bin/x",
		  NULL,
		  1,
		  false },
		{ "no v2 hierarchy",
		  { .executable = "/bin/x", .cgroup = "/pods/*" },
		  "",
		  "/bin/x",
		  NULL,
		  1,
		  false },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		cleanup(workload_freep) struct workload *workload = workload_with(&rows[i].keys);
		const struct process_facts facts = { .cgroup = (char *)rows[i].cgroup,
						     .executable = (char *)rows[i].executable,
						     .command_line = (char *)rows[i].command_line,
						     .has_uid = true,
						     .uid = rows[i].uid };

		if (match_process(workload, &facts) != rows[i].matches)
			fail_msg("%s", rows[i].why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(globs),
		cmocka_unit_test(path_globs),
		cmocka_unit_test(units_by_directory),
		cmocka_unit_test(predicts_paths),
		cmocka_unit_test(directories),
		cmocka_unit_test(processes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
