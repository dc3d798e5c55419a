/* sidecard-probe: reads a machine for others, so that hwloc and libcgroup run only where they can
 * be killed. Clears its environment and limits itself before it looks at anything.
 *
 *   sidecard-probe topology MACHINE        the flattened machine (topology_format)
 *   sidecard-probe xml MACHINE [COLOURS]   hwloc XML; COLOURS: a file, or - for standard input
 *   sidecard-probe cgroup                  where cgroup v2 is mounted, "key value" lines
 *
 * Exit 0 with the whole answer on standard output, or 2 with one sentence on standard error. */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "sense/cgroup_find.h"
#include "sense/topo_load.h"
#include "sense/topo_read.h"

/* gcc says it by a macro, clang by a feature. */
#if defined(__has_feature)
#define HAS_ADDRESS_SANITIZER __has_feature(address_sanitizer)
#elif defined(__SANITIZE_ADDRESS__)
#define HAS_ADDRESS_SANITIZER 1
#else
#define HAS_ADDRESS_SANITIZER 0
#endif

/* A line a PU, none longer than a workload's name and 16 more. */
#define COLOURS_SIZE_MAX (TOPOLOGY_N_PU_MAX * 80u)

/* The address space of 8,192 PUs in 1,024 nodes from XML stays under 256 MiB. */
#define ADDRESS_SPACE_BYTES (512ull << 20)

static int limit(int resource, rlim_t value, struct fault *fault)
{
	struct rlimit limit;

	if (getrlimit((__rlimit_resource_t)resource, &limit) < 0)
		return fault_set(fault, -errno, "cannot read limit %d: %s", resource,
				 strerror(errno));
	if (limit.rlim_max != RLIM_INFINITY && value > limit.rlim_max)
		value = limit.rlim_max;
	limit = (struct rlimit){ value, value };
	if (setrlimit((__rlimit_resource_t)resource, &limit) < 0)
		return fault_set(fault, -errno, "cannot set limit %d: %s", resource,
				 strerror(errno));
	return 0;
}

static int limit_all(struct fault *fault)
{
	static const struct {
		int resource;
		rlim_t value;
	} limits[] = {
		{ RLIMIT_CPU, TOPO_LOAD_DEADLINE_MS / 1000 },
		{ RLIMIT_CORE, 0 },
		{ RLIMIT_NOFILE, 64 },
#if !HAS_ADDRESS_SANITIZER /* which reserves terabytes of addresses */
		{ RLIMIT_AS, ADDRESS_SPACE_BYTES },
#endif
	};

	for (size_t i = 0; i < N_ELEMENTS(limits); i++) {
		int r = limit(limits[i].resource, limits[i].value, fault);

		if (r < 0)
			return r;
	}
	/* A file that never answers, with nobody left who would kill us. */
	alarm(2 * TOPO_LOAD_DEADLINE_MS / 1000);
	return 0;
}

/* No file is written, made or run from here on, whatever a hostile machine file makes of us; what
 * is open stays open. Kernels without Landlock (landlock(7), Linux 5.13) go on without. */
static int deny_writes(struct fault *fault)
{
	struct landlock_ruleset_attr denied = {
		.handled_access_fs = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |
				     LANDLOCK_ACCESS_FS_REMOVE_DIR |
				     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
				     LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
				     LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
				     LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM,
	};
	cleanup(close_fdp) int rules = -1;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fault_set(fault, -errno, "cannot give up new privileges: %s",
				 strerror(errno));
	rules = (int)syscall(SYS_landlock_create_ruleset, &denied, sizeof(denied), 0);
	if (rules < 0)
		return 0;
	if (syscall(SYS_landlock_restrict_self, rules, 0) < 0)
		return fault_set(fault, -errno, "cannot give up writing files: %s",
				 strerror(errno));
	return 0;
}

static int print(const char *text, struct fault *fault)
{
	if (fputs(text, stdout) < 0 || fflush(stdout) != 0)
		return fault_set(fault, -EIO, "cannot write the answer: %s", strerror(errno));
	return 0;
}

static int print_topology(const char *machine, struct fault *fault)
{
	cleanup(topology_freep) struct topology *topology = NULL;
	cleanup(freep) char *text = NULL;
	int r = topo_read(machine, &topology, fault);

	if (r < 0)
		return r;
	text = topology_format(topology);
	if (!text)
		return fault_set(fault, -ENOMEM, "no memory for the answer");
	return print(text, fault);
}

static int read_colours(const char *path, char **ret_text, struct fault *fault)
{
	cleanup(close_fdp) int fd = strcmp(path, "-") == 0
					    ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
					    : open(path,
						   O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	cleanup(freep) char *text = malloc(COLOURS_SIZE_MAX + 1);
	size_t used = 0;

	if (fd < 0)
		return fault_set(fault, -errno, "cannot open colours '%s': %s", path,
				 strerror(errno));
	if (!text)
		return fault_set(fault, -ENOMEM, "no memory for colours '%s'", path);
	for (;;) {
		ssize_t n = read(fd, text + used, COLOURS_SIZE_MAX + 1 - used);

		if (n < 0)
			return fault_set(fault, -errno, "cannot read colours '%s': %s", path,
					 strerror(errno));
		if (n == 0)
			break;
		used += (size_t)n;
		if (used > COLOURS_SIZE_MAX)
			return fault_set(fault, -EFBIG, "colours '%s' have more than %u bytes",
					 path, COLOURS_SIZE_MAX);
	}
	text[used] = '\0';
	*ret_text = TAKE_PTR(text);
	return 0;
}

static int print_xml(const char *machine, const char *colours_path, struct fault *fault)
{
	cleanup(freep) char *colours = NULL, *xml = NULL;
	int r = colours_path ? read_colours(colours_path, &colours, fault) : 0;

	if (r < 0)
		return r;
	r = topo_read_xml(machine, colours, &xml, fault);
	return r < 0 ? r : print(xml, fault);
}

static int print_cgroup(struct fault *fault)
{
	cleanup(cgroup_mount_done) struct cgroup_mount mount = { 0 };
	cleanup(freep) char *text = NULL;
	int r = cgroup_find(&mount, fault);

	if (r < 0)
		return r;
	text = cgroup_mount_format(&mount);
	if (!text)
		return fault_set(fault, -ENOMEM, "no memory for the answer about cgroups");
	return print(text, fault);
}

static int answer(int argc, char **argv, struct fault *fault)
{
	int r = topo_read_init(fault);

	if (r == 0)
		r = limit_all(fault);
	if (r == 0)
		r = deny_writes(fault);
	if (r < 0)
		return r;
	if (argc == 3 && strcmp(argv[1], "topology") == 0)
		return print_topology(argv[2], fault);
	if ((argc == 3 || argc == 4) && strcmp(argv[1], "xml") == 0)
		return print_xml(argv[2], argc == 4 ? argv[3] : NULL, fault);
	if (argc == 2 && strcmp(argv[1], "cgroup") == 0)
		return print_cgroup(fault);
	return fault_set(fault, -EINVAL,
			 "usage: sidecard-probe topology MACHINE | xml MACHINE [COLOURS] | cgroup");
}

int main(int argc, char **argv)
{
	struct fault fault = { 0 };

	if (answer(argc, argv, &fault) == 0)
		return 0;
	fprintf(stderr, "%s\n", fault.text);
	return 2;
}
