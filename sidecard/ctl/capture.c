/* sidecarctl capture: this machine as a directory, for `--machine DIR`, for tests and for reports.
 * Holds no command line, no environment and no process numbers. Built beside its place and moved
 * there at the end, so a directory of that name is whole. */
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "ctl/arguments.h"
#include "ctl/ctl.h"
#include "sense/cgroup_find.h"
#include "sense/topo_load.h"

static const char help[] = "Usage: sidecarctl capture DIR [--json]\n"
			   "Saves this machine: topology, lists of PUs and NUMA nodes, cgroup v2 "
			   "limits. DIR must not\n"
			   "exist or be empty. Use it with --machine DIR.\n";

/* /proc/cpuinfo of 8,192 PUs takes some 12 MiB. */
#define N_FILE_MAX (32u << 20)

/* A host with more cgroups is captured in part, and MANIFEST says so. */
#define N_CGROUPS_MAX 16384u

static const char *const kernel_files[] = {
	"proc/cpuinfo",
	"proc/meminfo",
	"proc/version",
	"proc/self/cgroup",
	"proc/self/mountinfo",
	"sys/devices/system/cpu/isolated",
	"sys/devices/system/cpu/kernel_max",
	"sys/devices/system/cpu/nohz_full",
	"sys/devices/system/cpu/offline",
	"sys/devices/system/cpu/online",
	"sys/devices/system/cpu/possible",
	"sys/devices/system/cpu/present",
	"sys/devices/system/cpu/smt/control",
	"sys/devices/system/node/has_cpu",
	"sys/devices/system/node/has_memory",
	"sys/devices/system/node/online",
	"sys/devices/system/node/possible",
};

static const char *const node_files[] = { "cpulist", "distance", "meminfo" };

static const char *const cgroup_files[] = {
	"cgroup.controllers",	 "cgroup.subtree_control",
	"cgroup.type",		 "cpu.max",
	"cpu.max.burst",	 "cpu.weight",
	"cpuset.cpus",		 "cpuset.cpus.effective",
	"cpuset.cpus.exclusive", "cpuset.cpus.exclusive.effective",
	"cpuset.cpus.isolated",	 "cpuset.cpus.partition",
	"cpuset.mems",		 "cpuset.mems.effective",
};

struct capture {
	int fd; /* the directory that is being built */
	FILE *manifest;
	unsigned n_files, n_missing, n_cgroups, n_cgroups_lost;
};

/* Makes the directories above @path, which stays as it was. */
static int make_parents(const struct capture *capture, const char *path)
{
	cleanup(freep) char *copy = strdup(path);

	if (!copy)
		return -ENOMEM;
	for (char *slash = strchr(copy, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdirat(capture->fd, copy, 0777) < 0 && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return 0;
}

static int write_all(int fd, const char *text, size_t n_text)
{
	for (size_t used = 0; used < n_text;) {
		ssize_t n = write(fd, text + used, n_text - used);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			used += (size_t)n;
	}
	return 0;
}

static int save(struct capture *capture, const char *path, const char *text, size_t n_text,
		struct fault *fault)
{
	cleanup(close_fdp) int fd = -1;
	int r = make_parents(capture, path);

	if (r < 0)
		return fault_set(fault, r, "cannot make the directory of '%s': %s", path,
				 strerror(-r));
	fd = openat(capture->fd, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
	if (fd < 0)
		return fault_set(fault, -errno, "cannot make '%s': %s", path, strerror(errno));
	r = write_all(fd, text, n_text);
	if (r < 0)
		return fault_set(fault, r, "cannot write '%s': %s", path, strerror(-r));
	capture->n_files++;
	return 0;
}

/* A kernel file has no size until it is read. -ENOENT and other errors of the kernel as they are.
 */
static int read_kernel_file(const char *path, char **ret_text, size_t *ret_n_text)
{
	cleanup(close_fdp) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW);
	cleanup(freep) char *text = NULL;
	size_t used = 0, size = 0;

	if (fd < 0)
		return -errno;
	for (;;) {
		ssize_t n;

		if (used == size) {
			char *grown = realloc(text, size ? 2 * size : 4096);

			if (!grown)
				return -ENOMEM;
			text = grown;
			size = size ? 2 * size : 4096;
		}
		n = read(fd, text + used, size - used);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			break;
		if (n > 0)
			used += (size_t)n;
		if (used > N_FILE_MAX)
			return -EFBIG;
	}
	*ret_text = TAKE_PTR(text);
	*ret_n_text = used;
	return 0;
}

/* A file that this kernel or this privilege does not show is named in MANIFEST; failing to write
 * ends the capture. */
static int copy(struct capture *capture, const char *from, const char *to, struct fault *fault)
{
	cleanup(freep) char *text = NULL;
	size_t n_text;
	int r = read_kernel_file(from, &text, &n_text);

	if (r == -ENOMEM)
		return fault_set(fault, r, "no memory for '%s'", from);
	if (r < 0) {
		capture->n_missing++;
		fprintf(capture->manifest, "missing %s: %s\n", to, strerror(-r));
		return 0;
	}
	return save(capture, to, text, n_text, fault);
}

static int copy_from_root(struct capture *capture, const char *path, struct fault *fault)
{
	cleanup(freep) char *from = NULL;

	if (asprintf(&from, "/%s", path) < 0)
		return fault_set(fault, -ENOMEM, "no memory for the path '%s'", path);
	return copy(capture, from, path, fault);
}

static int save_kernel_files(struct capture *capture, const struct topology *topology,
			     struct fault *fault)
{
	for (size_t i = 0; i < N_ELEMENTS(kernel_files); i++) {
		int r = copy_from_root(capture, kernel_files[i], fault);

		if (r < 0)
			return r;
	}
	for (uint32_t i = 0; i < topology->n_node; i++) {
		for (size_t k = 0; k < N_ELEMENTS(node_files); k++) {
			char path[96];
			int r;

			snprintf(path, sizeof(path), "sys/devices/system/node/node%u/%s",
				 topology->nodes[i].node_os, node_files[k]);
			r = copy_from_root(capture, path, fault);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int save_topology(struct capture *capture, struct topology **ret_topology,
			 struct fault *fault)
{
	static const char *const xml_question[] = { "xml", "live", NULL };
	cleanup(topology_freep) struct topology *topology = NULL;
	cleanup(freep) char *xml = NULL, *text = NULL;
	int r = probe_ask(xml_question, -1, &xml, fault);

	if (r == 0)
		r = save(capture, "topology.xml", xml, strlen(xml), fault);
	if (r == 0)
		r = topo_load("live", &topology, fault);
	if (r < 0)
		return r;
	text = topology_format(topology);
	if (!text)
		return fault_set(fault, -ENOMEM, "no memory for the topology as text");
	r = save(capture, "topology.txt", text, strlen(text), fault);
	if (r == 0)
		*ret_topology = TAKE_PTR(topology);
	return r;
}

/* One cgroup: its directory, and those of its files that this kernel and its controllers have. */
static int save_cgroup(struct capture *capture, const char *directory, const char *below,
		       struct fault *fault)
{
	cleanup(freep) char *to_directory = NULL;
	int r;

	if (asprintf(&to_directory, "cgroup%s/", below) < 0)
		return fault_set(fault, -ENOMEM, "no memory for cgroup '%s'", below);
	r = make_parents(capture, to_directory);
	for (size_t i = 0; r == 0 && i < N_ELEMENTS(cgroup_files); i++) {
		cleanup(freep) char *from = NULL, *to = NULL, *text = NULL;
		size_t n_text;

		if (asprintf(&from, "%s/%s", directory, cgroup_files[i]) < 0 ||
		    asprintf(&to, "%s%s", to_directory, cgroup_files[i]) < 0)
			return fault_set(fault, -ENOMEM, "no memory for a file of cgroup '%s'",
					 below);
		if (read_kernel_file(from, &text, &n_text) < 0)
			continue; /* no such controller here, or the cgroup is gone */
		r = save(capture, to, text, n_text, fault);
		if (r < 0)
			return r;
	}
	return r < 0 ? fault_set(fault, r, "cannot save cgroup '%s': %s", below, strerror(-r)) : 0;
}

static int save_cgroup_tree(struct capture *capture, const char *root, struct fault *fault)
{
	char *const roots[] = { (char *)root, NULL };
	FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
	FTSENT *entry;
	int r = 0;

	if (!tree)
		return fault_set(fault, -errno, "cannot list cgroups below '%s': %s", root,
				 strerror(errno));
	while (r == 0 && (entry = fts_read(tree))) {
		const char *below = entry->fts_path + strlen(root);

		if (entry->fts_info != FTS_D)
			continue;
		/* The copy's path must fit as well, prefix and file name included. */
		if (capture->n_cgroups >= N_CGROUPS_MAX || strlen(below) + 64 > PATH_MAX) {
			capture->n_cgroups_lost++;
			fts_set(tree, entry, FTS_SKIP);
			continue;
		}
		capture->n_cgroups++;
		r = save_cgroup(capture, entry->fts_path, below, fault);
	}
	fts_close(tree);
	return r;
}

static int save_cgroups(struct capture *capture, struct fault *fault)
{
	cleanup(cgroup_mount_done) struct cgroup_mount mount = { 0 };
	cleanup(freep) char *text = NULL;
	int r = cgroup_find_load(&mount, fault);

	if (r < 0)
		return r;
	text = cgroup_mount_format(&mount);
	if (!text)
		return fault_set(fault, -ENOMEM, "no memory for what is known of cgroups");
	r = save(capture, "cgroup.txt", text, strlen(text), fault);
	return r < 0 || !mount.path ? r : save_cgroup_tree(capture, mount.path, fault);
}

static int save_manifest(struct capture *capture, struct fault *fault)
{
	struct utsname name;

	if (uname(&name) == 0)
		fprintf(capture->manifest, "kernel %s %s\nkernel_version %s\n", name.release,
			name.machine, name.version);
	fprintf(capture->manifest, "files %u\ncgroups %u\ncgroups_left_out %u\nend\n",
		capture->n_files, capture->n_cgroups, capture->n_cgroups_lost);
	if (fflush(capture->manifest) != 0 || ferror(capture->manifest))
		return fault_set(fault, -EIO, "cannot write 'MANIFEST': %s", strerror(errno));
	return 0;
}

static int save_all(struct capture *capture, struct fault *fault)
{
	cleanup(topology_freep) struct topology *topology = NULL;
	cleanup(fclosep) FILE *manifest = NULL;
	int fd = openat(capture->fd, "MANIFEST", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666), r;

	if (fd < 0)
		return fault_set(fault, -errno, "cannot make 'MANIFEST': %s", strerror(errno));
	manifest = fdopen(fd, "w");
	if (!manifest) {
		close(fd);
		return fault_set(fault, -ENOMEM, "no memory for 'MANIFEST'");
	}
	capture->manifest = manifest;
	fprintf(manifest, "sidecard-capture 1\nsidecard %s\n", SIDECARD_VERSION);
	r = save_topology(capture, &topology, fault);
	if (r == 0)
		r = save_kernel_files(capture, topology, fault);
	if (r == 0)
		r = save_cgroups(capture, fault);
	return r < 0 ? r : save_manifest(capture, fault);
}

/* Removes what was begun; what cannot be removed stays, under a name that says what it is. */
static void remove_tree(const char *path)
{
	char *const roots[] = { (char *)path, NULL };
	FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
	FTSENT *entry;

	if (!tree)
		return;
	while ((entry = fts_read(tree)))
		if (entry->fts_info != FTS_D)
			remove(entry->fts_path);
	fts_close(tree);
}

/* Renaming replaces an empty directory and refuses any other, whatever happened meanwhile. */
static int move_in_place(int fd, const char *from, const char *to, struct fault *fault)
{
	mode_t mask = umask(0);

	umask(mask);
	if (fchmod(fd, 0777 & ~mask) < 0 || rename(from, to) < 0)
		return fault_set(fault, -errno, "cannot make '%s': %s", to,
				 errno == ENOTEMPTY || errno == EEXIST ? "it is not empty"
								       : strerror(errno));
	return 0;
}

/* A first look, so that nobody waits for a capture that cannot be put in place. */
static int check_target(const char *path, struct fault *fault)
{
	cleanup(closedirp) DIR *dir = opendir(path);
	struct dirent *entry;

	if (!dir)
		return errno == ENOENT
			       ? 0
			       : fault_set(fault, -errno, "cannot use '%s' as a directory: %s",
					   path, strerror(errno));
	while ((entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			return fault_set(fault, -ENOTEMPTY, "directory '%s' is not empty", path);
	return 0;
}

static int capture_machine(const char *path, struct capture *capture, struct fault *fault)
{
	cleanup(freep) char *building = NULL;
	cleanup(close_fdp) int fd = -1;
	size_t n_path = strlen(path);
	int r = check_target(path, fault);

	if (r < 0)
		return r;
	while (n_path > 1 && path[n_path - 1] == '/')
		n_path--;
	if (asprintf(&building, "%.*s.tmp-XXXXXX", (int)n_path, path) < 0)
		return fault_set(fault, -ENOMEM, "no memory for a path beside '%s'", path);
	if (!mkdtemp(building))
		return fault_set(fault, -errno, "cannot make a directory beside '%s': %s", path,
				 strerror(errno));
	fd = open(building, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	capture->fd = fd;
	r = fd < 0 ? fault_set(fault, -errno, "cannot open '%s': %s", building, strerror(errno))
		   : save_all(capture, fault);
	if (r == 0)
		r = move_in_place(fd, building, path, fault);
	if (r < 0)
		remove_tree(building);
	return r;
}

static int print_result(const char *path, const struct capture *capture, bool as_json)
{
	json_t *json;
	int r;

	if (!as_json) {
		printf("captured %u files and %u cgroups in %s\n", capture->n_files,
		       capture->n_cgroups, path);
		if (capture->n_missing + capture->n_cgroups_lost > 0)
			printf("not there to capture: %u files, %u cgroups; see MANIFEST\n",
			       capture->n_missing, capture->n_cgroups_lost);
		return EXIT_DONE;
	}
	json = json_pack("{ss si si si si}", "directory", path, "n_files", (int)capture->n_files,
			 "n_missing", (int)capture->n_missing, "n_cgroups", (int)capture->n_cgroups,
			 "n_cgroups_left_out", (int)capture->n_cgroups_lost);
	r = verb_print_json(json);
	json_decref(json);
	return r;
}

int verb_capture(int argc, char **argv)
{
	struct arguments arguments;
	struct capture capture = { .fd = -1 };
	struct fault fault = { 0 };
	int r = arguments_parse(argc, argv, help, 1, 1, &arguments);

	if (r >= 0)
		return r;
	if (capture_machine(arguments.operands[0], &capture, &fault) < 0) {
		fprintf(stderr, "sidecarctl: %s\n", fault.text);
		return EXIT_FAULT;
	}
	return print_result(arguments.operands[0], &capture, arguments.json);
}
