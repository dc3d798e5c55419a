/* Which cgroup directories and processes a [Match] section means. Pure: text in, answers out; the
 * text comes from names of cgroups and processes, which anybody may choose, so every answer takes
 * time linear in (pattern × text). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/workload.h"

/* UNIT_NAME_MAX of systemd and the final NUL (its src/basic/unit-name.h). */
#define UNIT_NAME_SIZE 256

/* '*', '?', "[a-z]", "[!a-z]"; '*' crosses '/'. A backslash is a plain byte: unit names are full of
 * them. */
bool glob_matches(const char *pattern, const char *text);
/* The same component by component, so nothing crosses '/'; repeated and final slashes do not
 * matter. */
bool glob_matches_path(const char *pattern, const char *path);
/* Could something strictly below the directory @path match? */
bool glob_may_match_below(const char *pattern, const char *path);
bool glob_is_plain(const char *pattern);

/* The unit whose own cgroup the directory @path is, as PID 1 lays them out: slices from the root
 * down, then at most one other unit. What is below that is delegated payload and no unit of PID 1.
 * @ret_name is unescaped. */
bool unit_of_directory(const char *path, char ret_name[static UNIT_NAME_SIZE]);
/* Can the directory @path contain a unit's cgroup: is it the root or a slice in a slice? */
bool unit_may_be_below(const char *path);
bool unit_is_slice(const char *name);
/* The name of the unit's directory: '_' in front where it would look like a kernel file (systemd's
 * cg_escape()). -ENAMETOOLONG. */
int unit_directory_name(const char *unit, char ret_name[static UNIT_NAME_SIZE]);
/* "a-b.slice" → "/a.slice/a-b.slice", "-.slice" → "/"; then unit @unit in it where that is not
 * NULL. malloc'ed; NULL where the names are malformed or memory is short. */
char *unit_path_predict(const char *slice, const char *unit);
/* "a-b.slice" → "a.slice"; "" for a top-level slice. False where @slice is no slice's name. */
bool unit_slice_parent(const char *slice, char ret_parent[static UNIT_NAME_SIZE]);

/* Is the directory @path a place of @workload? Only for a workload that does not match processes.
 */
bool match_directory(const struct workload *workload, const char *path);
/* Could a directory strictly below @path be one that the workload names (as a place, or as the
 * place to look for processes in)? */
bool match_may_be_below(const struct workload *workload, const char *path);
/* Do the cgroup keys of @workload allow a process in cgroup @path? True where there are none. */
bool match_cgroup_of_process(const struct workload *workload, const char *path);

/* What is known of a process. */
struct process_facts {
	uint64_t start_time; /* clock ticks since boot: field 22 of PID/stat */
	char *cgroup; /* path in the v2 hierarchy, "/" first; "" where there is no such hierarchy */
	char *executable;   /* NULL where we may not know */
	char *command_line; /* arguments joined by one blank; NULL where there are none */
	bool has_uid;
	uint32_t uid; /* effective */
};

/* Process keys and cgroup keys together. */
bool match_process(const struct workload *workload, const struct process_facts *facts);
/* The same but for Executable=: could it match, whatever it runs? */
bool match_process_otherwise(const struct workload *workload, const struct process_facts *facts);
/* Executable= alone: what one readlink can rule out. */
bool match_executable(const struct workload *workload, const char *executable);
