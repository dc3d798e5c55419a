/* The probe's answer about cgroups: its text, both ways, and the question. */
#include "sense/cgroup_find.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "sense/topo_load.h"

static const char *const mode_names[] = {
	[CGROUP_NONE] = "none",
	[CGROUP_UNIFIED] = "unified",
	[CGROUP_HYBRID] = "hybrid",
	[CGROUP_LEGACY] = "legacy",
};

void cgroup_mount_done(struct cgroup_mount *mount)
{
	free(mount->path);
	free(mount->own);
	*mount = (struct cgroup_mount){ 0 };
}

char *cgroup_mount_format(const struct cgroup_mount *mount)
{
	char *text = NULL;
	int n;

	if (mount->path)
		n = asprintf(&text,
			     "mode %s\nnamespaced %d\ncpu %d\ncpuset %d\nmemory %d\npath %s\nown "
			     "%s\nend\n",
			     mode_names[mount->mode], mount->namespaced, mount->has_cpu,
			     mount->has_cpuset, mount->has_memory, mount->path, mount->own);
	else
		n = asprintf(&text, "mode %s\nnamespaced 0\ncpu 0\ncpuset 0\nmemory 0\nend\n",
			     mode_names[mount->mode]);
	return n < 0 ? NULL : text;
}

static int parse_mode(const char *value, enum cgroup_mode *mode)
{
	for (size_t i = 0; i < N_ELEMENTS(mode_names); i++) {
		if (strcmp(value, mode_names[i]) == 0) {
			*mode = (enum cgroup_mode)i;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_flag(const char *value, bool *flag)
{
	if (strcmp(value, "0") != 0 && strcmp(value, "1") != 0)
		return -EINVAL;
	*flag = value[0] == '1';
	return 0;
}

static int parse_path(const char *value, char **path)
{
	if (value[0] != '/' || *path)
		return -EINVAL;
	*path = strdup(value);
	return *path ? 0 : -ENOMEM;
}

static int parse_line(const char *key, const char *value, struct cgroup_mount *mount)
{
	if (strcmp(key, "mode") == 0)
		return parse_mode(value, &mount->mode);
	if (strcmp(key, "namespaced") == 0)
		return parse_flag(value, &mount->namespaced);
	if (strcmp(key, "cpu") == 0)
		return parse_flag(value, &mount->has_cpu);
	if (strcmp(key, "cpuset") == 0)
		return parse_flag(value, &mount->has_cpuset);
	if (strcmp(key, "memory") == 0)
		return parse_flag(value, &mount->has_memory);
	if (strcmp(key, "path") == 0)
		return parse_path(value, &mount->path);
	if (strcmp(key, "own") == 0)
		return parse_path(value, &mount->own);
	return -EINVAL;
}

static int check(const struct cgroup_mount *mount, struct fault *fault)
{
	bool has_v2 = mount->mode == CGROUP_UNIFIED || mount->mode == CGROUP_HYBRID;

	if (has_v2 != (mount->path != NULL) || has_v2 != (mount->own != NULL))
		return fault_set(fault, -EINVAL,
				 "answer about cgroups: mode %s, path '%s', own '%s'",
				 mode_names[mount->mode], mount->path ? mount->path : "",
				 mount->own ? mount->own : "");
	return 0;
}

int cgroup_mount_parse(const char *text, struct cgroup_mount *ret_mount, struct fault *fault)
{
	cleanup(cgroup_mount_done) struct cgroup_mount mount = { 0 };
	cleanup(freep) char *copy = strdup(text);
	char *line, *rest = copy;
	int r;

	if (!copy)
		return fault_set(fault, -ENOMEM, "no memory for the answer about cgroups");
	while ((line = strsep(&rest, "\n")) && strcmp(line, "end") != 0) {
		char *value = line;
		const char *key = strsep(&value, " ");

		r = value ? parse_line(key, value, &mount) : -EINVAL;
		if (r < 0)
			return fault_set(fault, r, "answer about cgroups has line '%.100s'", key);
	}
	if (!line)
		return fault_set(fault, -EINVAL,
				 "answer about cgroups ends without its 'end' line");
	r = check(&mount, fault);
	if (r < 0)
		return r;
	*ret_mount = mount;
	mount = (struct cgroup_mount){ 0 };
	return 0;
}

int cgroup_find_load(struct cgroup_mount *ret_mount, struct fault *fault)
{
	static const char *const question[] = { "cgroup", NULL };
	cleanup(freep) char *answer = NULL;
	int r = probe_ask(question, -1, &answer, fault);

	return r < 0 ? r : cgroup_mount_parse(answer, ret_mount, fault);
}
