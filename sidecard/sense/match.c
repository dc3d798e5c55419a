#include "sense/match.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* A stretch of text, not terminated. */
struct span {
	const char *at, *end;
};

static struct span span_of(const char *text)
{
	return (struct span){ text, text + strlen(text) };
}

/* One character class "[...]" at @class (behind the bracket). False where it has no end: then the
 * bracket is a plain byte. */
static bool class_end(struct span class, const char **ret_end)
{
	const char *p = class.at;

	if (p < class.end && (*p == '!' || *p == '^'))
		p++;
	if (p < class.end && *p == ']') /* a first ']' is a member */
		p++;
	for (; p < class.end; p++)
		if (*p == ']') {
			*ret_end = p;
			return true;
		}
	return false;
}

static bool class_has(struct span class, unsigned char c)
{
	const char *p = class.at;
	bool negated = p < class.end && (*p == '!' || *p == '^'), found = false;

	if (negated)
		p++;
	while (p < class.end) {
		unsigned char low = (unsigned char)*p, high = low;

		if (p + 2 < class.end && p[1] == '-') {
			high = (unsigned char)p[2];
			p += 2;
		}
		p++;
		found = found || (c >= low && c <= high);
	}
	return found != negated;
}

/* Length of the pattern's first element if it matches @c, 0 if not. '*' is the caller's. */
static size_t element_matches(struct span pattern, char c)
{
	struct span class = { pattern.at + 1, pattern.end };

	if (*pattern.at == '?')
		return 1;
	if (*pattern.at == '[' && class_end(class, &class.end))
		return class_has(class, (unsigned char)c) ? (size_t)(class.end + 1 - pattern.at)
							  : 0;
	return *pattern.at == c;
}

/* Only the last '*' ever needs to be tried again with a longer stretch, so the work is bounded by
 * pattern × text. */
static bool span_matches(struct span pattern, struct span text)
{
	const char *star = NULL, *retry = NULL;

	while (text.at < text.end) {
		size_t n = 0;

		if (pattern.at < pattern.end && *pattern.at == '*') {
			star = ++pattern.at;
			retry = text.at;
			continue;
		}
		if (pattern.at < pattern.end)
			n = element_matches(pattern, *text.at);
		if (n > 0) {
			pattern.at += n;
			text.at++;
		} else if (star) {
			pattern.at = star;
			text.at = ++retry;
		} else {
			return false;
		}
	}
	while (pattern.at < pattern.end && *pattern.at == '*')
		pattern.at++;
	return pattern.at == pattern.end;
}

bool glob_matches(const char *pattern, const char *text)
{
	return span_matches(span_of(pattern), span_of(text));
}

bool glob_is_plain(const char *pattern)
{
	return !strpbrk(pattern, "*?[");
}

/* The next component of a path; false at its end. */
static bool component_next(const char **at, struct span *ret_component)
{
	const char *p = *at + strspn(*at, "/");

	if (!*p)
		return false;
	*ret_component = (struct span){ p, p + strcspn(p, "/") };
	*at = ret_component->end;
	return true;
}

enum path_relation { PATH_APART, PATH_EQUAL, PATH_ABOVE, PATH_BELOW };

/* How the path lies to what the pattern means: PATH_ABOVE: something below @path may match;
 * PATH_BELOW: an ancestor of it matches. */
static enum path_relation path_relate(const char *pattern, const char *path)
{
	struct span wanted, component;

	for (;;) {
		bool more_pattern = component_next(&pattern, &wanted);
		bool more_path = component_next(&path, &component);

		if (!more_pattern || !more_path)
			return more_pattern ? PATH_ABOVE : more_path ? PATH_BELOW : PATH_EQUAL;
		if (!span_matches(wanted, component))
			return PATH_APART;
	}
}

bool glob_matches_path(const char *pattern, const char *path)
{
	return path_relate(pattern, path) == PATH_EQUAL;
}

bool glob_may_match_below(const char *pattern, const char *path)
{
	return path_relate(pattern, path) == PATH_ABOVE;
}

static bool span_ends(struct span name, const char *suffix)
{
	size_t n = strlen(suffix), n_name = (size_t)(name.end - name.at);

	return n_name > n && memcmp(name.end - n, suffix, n) == 0;
}

/* The unit types that have cgroups of their own (systemd.unit(5)). */
static bool span_is_unit(struct span name)
{
	static const char *const suffixes[] = { ".service", ".scope", ".slice",
						".socket",  ".mount", ".swap" };

	for (size_t i = 0; i < N_ELEMENTS(suffixes); i++)
		if (span_ends(name, suffixes[i]))
			return name.end - name.at < UNIT_NAME_SIZE;
	return false;
}

bool unit_is_slice(const char *name)
{
	return span_ends(span_of(name), ".slice");
}

/* systemd's cg_unescape(): one leading '_' goes. */
static struct span unescaped(struct span name)
{
	if (name.at < name.end && *name.at == '_')
		name.at++;
	return name;
}

/* The next unit on the way down @at: slices, then one other unit. False where the units end. */
static bool unit_next(const char **at, struct span *ret_unit)
{
	if (!component_next(at, ret_unit))
		return false;
	*ret_unit = unescaped(*ret_unit);
	if (!span_is_unit(*ret_unit))
		return false;
	return true;
}

bool unit_of_directory(const char *path, char ret_name[static UNIT_NAME_SIZE])
{
	struct span unit;

	while (unit_next(&path, &unit)) {
		if (!path[strspn(path, "/")]) {
			memcpy(ret_name, unit.at, (size_t)(unit.end - unit.at));
			ret_name[unit.end - unit.at] = '\0';
			return true;
		}
		if (!span_ends(unit, ".slice"))
			return false;
	}
	return false;
}

bool unit_may_be_below(const char *path)
{
	struct span component;

	while (component_next(&path, &component))
		if (!span_is_unit(unescaped(component)) || !span_ends(component, ".slice"))
			return false;
	return true;
}

/* Names that cgroupfs or older systemd give a meaning of their own. Controllers: those of Linux
 * that systemd knows. */
static bool directory_name_clashes(const char *unit)
{
	static const char *const prefixes[] = { "cgroup.",	 "cpu.",	"cpuacct.",
						"cpuset.",	 "io.",		"blkio.",
						"memory.",	 "devices.",	"pids.",
						"bpf-firewall.", "bpf-devices." };

	if (*unit == '_' || *unit == '.')
		return true;
	for (size_t i = 0; i < N_ELEMENTS(prefixes); i++)
		if (strncmp(unit, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return false;
}

int unit_directory_name(const char *unit, char ret_name[static UNIT_NAME_SIZE])
{
	int n = snprintf(ret_name, UNIT_NAME_SIZE, "%s%s", directory_name_clashes(unit) ? "_" : "",
			 unit);

	return n < UNIT_NAME_SIZE ? 0 : -ENAMETOOLONG;
}

bool unit_slice_parent(const char *slice, char ret_parent[static UNIT_NAME_SIZE])
{
	size_t n_stem = strlen(slice);
	const char *dash;

	if (!unit_is_slice(slice) || n_stem >= UNIT_NAME_SIZE || strchr(slice, '/'))
		return false;
	n_stem -= strlen(".slice");
	dash = memrchr(slice, '-', n_stem);
	if (!dash || dash == slice) {
		*ret_parent = '\0';
		return !dash || n_stem == 1; /* "-.slice" is the root, "-a.slice" is no name */
	}
	snprintf(ret_parent, UNIT_NAME_SIZE, "%.*s.slice", (int)(dash - slice), slice);
	return true;
}

static int path_put(FILE *out, const char *unit)
{
	char name[UNIT_NAME_SIZE];
	int r = unit_directory_name(unit, name);

	if (r == 0)
		fprintf(out, "/%s", name);
	return r;
}

/* Writes the directories of @slice in order: each is the name up to one more dash. */
static int path_put_slices(FILE *out, const char *slice)
{
	char name[UNIT_NAME_SIZE], parent[UNIT_NAME_SIZE];
	size_t n_stem = strlen(slice) - strlen(".slice");

	for (size_t i = 1; i <= n_stem; i++) {
		int r;

		if (i < n_stem && slice[i] != '-')
			continue;
		snprintf(name, sizeof(name), "%.*s.slice", (int)i, slice);
		if (!unit_slice_parent(name, parent))
			return -EINVAL;
		r = path_put(out, name);
		if (r < 0)
			return r;
	}
	return 0;
}

char *unit_path_predict(const char *slice, const char *unit)
{
	char parent[UNIT_NAME_SIZE];
	char *path = NULL;
	size_t n_path = 0;
	bool at_root = strcmp(slice, "-.slice") == 0 || *slice == '\0';
	FILE *out;
	int r = 0;

	if ((!at_root && !unit_slice_parent(slice, parent)) ||
	    (unit && (!*unit || strchr(unit, '/') || strlen(unit) >= UNIT_NAME_SIZE)))
		return NULL;
	out = open_memstream(&path, &n_path);
	if (!out)
		return NULL;
	if (!at_root)
		r = path_put_slices(out, slice);
	if (r == 0 && unit)
		r = path_put(out, unit);
	else if (r == 0 && at_root)
		fputc('/', out);
	if (fclose(out) != 0 || r < 0) {
		free(path);
		return NULL;
	}
	return path;
}

static bool strings_have_glob(const struct strings *globs, const char *text)
{
	for (size_t i = 0; i < globs->n_items; i++)
		if (glob_matches(globs->items[i], text))
			return true;
	return false;
}

static bool strings_have_span(const struct strings *strings, struct span text)
{
	size_t n = (size_t)(text.end - text.at);

	for (size_t i = 0; i < strings->n_items; i++)
		if (strlen(strings->items[i]) == n && memcmp(strings->items[i], text.at, n) == 0)
			return true;
	return false;
}

/* Do the slices that @path goes through (itself included) have one of @slices? */
static bool path_has_slice(const struct strings *slices, const char *path)
{
	struct span unit;

	while (unit_next(&path, &unit) && span_ends(unit, ".slice"))
		if (strings_have_span(slices, unit))
			return true;
	return false;
}

static bool path_has_unit(const struct strings *units, const char *path)
{
	struct span unit;

	while (unit_next(&path, &unit)) {
		for (size_t i = 0; i < units->n_items; i++)
			if (span_matches(span_of(units->items[i]), unit))
				return true;
		if (!span_ends(unit, ".slice"))
			break;
	}
	return false;
}

/* Relation of @path to the globs: is one of them equal (or, with @or_below, above)? */
static bool path_has_glob(const struct strings *globs, const char *path, enum path_relation other)
{
	for (size_t i = 0; i < globs->n_items; i++) {
		enum path_relation relation = path_relate(globs->items[i], path);

		if (relation == PATH_EQUAL || relation == other)
			return true;
	}
	return false;
}

bool match_directory(const struct workload *workload, const char *path)
{
	const struct match *match = &workload->match;
	char unit[UNIT_NAME_SIZE];
	bool is_unit = unit_of_directory(path, unit);

	if (!match->units.n_items && !match->slices.n_items && !match->cgroups.n_items)
		return false;
	if (match->units.n_items && (!is_unit || !strings_have_glob(&match->units, unit)))
		return false;
	if (match->cgroups.n_items && !path_has_glob(&match->cgroups, path, PATH_EQUAL))
		return false;
	if (!match->slices.n_items)
		return true;
	/* Slice= beside another key says where to look; alone it means the slice itself. */
	if (match->units.n_items || match->cgroups.n_items)
		return path_has_slice(&match->slices, path);
	return is_unit && strings_have_span(&match->slices, span_of(unit));
}

bool match_may_be_below(const struct workload *workload, const char *path)
{
	const struct match *match = &workload->match;

	if (!match->units.n_items && !match->slices.n_items && !match->cgroups.n_items)
		return false;
	if ((match->units.n_items || match->slices.n_items) && !match->cgroups.n_items)
		return unit_may_be_below(path);
	for (size_t i = 0; i < match->cgroups.n_items; i++)
		if (path_relate(match->cgroups.items[i], path) == PATH_ABOVE)
			return true;
	return false;
}

bool match_cgroup_of_process(const struct workload *workload, const char *path)
{
	const struct match *match = &workload->match;

	return (!match->units.n_items || path_has_unit(&match->units, path)) &&
	       (!match->slices.n_items || path_has_slice(&match->slices, path)) &&
	       (!match->cgroups.n_items || path_has_glob(&match->cgroups, path, PATH_BELOW));
}

bool match_executable(const struct workload *workload, const char *executable)
{
	const struct strings *wanted = &workload->match.executables;
	struct span name;

	if (!wanted->n_items)
		return true;
	if (!executable)
		return false;
	name = span_of(executable);
	/* An upgrade replaced the file; the process that still runs the old one is the same
	 * workload (d_path() in fs/d_path.c). */
	if (span_ends(name, " (deleted)"))
		name.end -= strlen(" (deleted)");
	return strings_have_span(wanted, name);
}

static bool match_user(const struct match *match, const struct process_facts *facts)
{
	if (!match->users.n_items)
		return true;
	for (size_t i = 0; facts->has_uid && match->uids && i < match->users.n_items; i++)
		if (match->uids[i] == facts->uid)
			return true;
	return false;
}

bool match_process_otherwise(const struct workload *workload, const struct process_facts *facts)
{
	const struct match *match = &workload->match;

	return match_user(match, facts) &&
	       (!match->command_lines.n_items ||
		(facts->command_line &&
		 strings_have_glob(&match->command_lines, facts->command_line))) &&
	       match_cgroup_of_process(workload, facts->cgroup ? facts->cgroup : "");
}

bool match_process(const struct workload *workload, const struct process_facts *facts)
{
	return match_executable(workload, facts->executable) &&
	       match_process_otherwise(workload, facts);
}
