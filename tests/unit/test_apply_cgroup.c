/* Cgroups as places, on a tree of ordinary files behind a struct sys that plays the kernel's part
 * (effective sets, ENOSPC) and fails any call that is asked to fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apply/applier.h"
#include "base/cleanup.h"

#define PARENT_CPUS "0-7"

/* ---- the tree and its kernel ---- */

struct tree {
	struct sys real, sys;
	struct applier_calls calls;
	struct applier applier;
	char root[64];
	int root_fd;
	struct {
		char name[64];
		int dirfd;
	} files[64]; /* by descriptor */
	bool is_delegated, manager_is_systemd;
	bool populated_clear_is_refused;
	unsigned n_calls, fail_call; /* the fail_call-th call fails with fail_error; 0: none */
	int fail_error;
};

static struct tree *tree_of(const struct sys *sys)
{
	return sys->state;
}

static bool must_fail(struct tree *tree)
{
	return ++tree->n_calls == tree->fail_call;
}

static int tree_open(const struct sys *sys, int dirfd, const char *path, int flags)
{
	struct tree *tree = tree_of(sys);
	int fd;

	if (must_fail(tree))
		return tree->fail_error;
	fd = tree->real.open(&tree->real, dirfd, path, flags);
	if (fd >= 0) {
		assert_true(fd < 64);
		snprintf(tree->files[fd].name, sizeof(tree->files[fd].name), "%s", path);
		tree->files[fd].dirfd = dirfd;
	}
	return fd;
}

static void tree_close(const struct sys *sys, int fd)
{
	tree_of(sys)->real.close(&tree_of(sys)->real, fd);
}

static ssize_t tree_read(const struct sys *sys, int fd, char *buffer, size_t buffer_size)
{
	struct tree *tree = tree_of(sys);

	return must_fail(tree) ? tree->fail_error
			       : tree->real.read(&tree->real, fd, buffer, buffer_size);
}

static void put(int dirfd, const char *file, const char *text)
{
	int fd = openat(dirfd, file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

/* What the kernel makes of a wish: its common part with the parent's, or all of the parent's. */
static void put_effective(int dirfd, const char *text)
{
	cleanup(cpuset_done) struct cpuset cpus = { 0 }, parent = { 0 };
	cleanup(freep) char *list = NULL;

	assert_int_equal(cpuset_parse(text, &cpus), 0);
	assert_int_equal(cpuset_parse(PARENT_CPUS, &parent), 0);
	cpuset_intersect(&cpus, &parent);
	list = cpuset_format(cpuset_is_empty(&cpus) ? &parent : &cpus);
	put(dirfd, "cpuset.cpus.effective", list);
}

static int tree_write(const struct sys *sys, int fd, const char *text, size_t n_text)
{
	struct tree *tree = tree_of(sys);
	const char *name = tree->files[fd].name;
	int dirfd = tree->files[fd].dirfd, r;

	if (must_fail(tree))
		return tree->fail_error;
	if (n_text == 1 && text[0] == '\n' && tree->populated_clear_is_refused)
		return -ENOSPC;
	r = tree->real.write(&tree->real, fd, text, n_text);
	if (r < 0)
		return r;
	if (strcmp(name, "cpuset.cpus") == 0)
		put_effective(dirfd, text);
	if (strcmp(name, "cpuset.mems") == 0)
		put(dirfd, "cpuset.mems.effective", text);
	if (strcmp(name, "cgroup.subtree_control") == 0) {
		/* The controller's files appear in the child. */
		int child = openat(dirfd, "child", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		put(dirfd, "cgroup.subtree_control", "cpuset cpu\n");
		if (child >= 0) {
			put(child, "cgroup.controllers", "cpuset cpu\n");
			put(child, "cpuset.cpus", "\n");
			put(child, "cpuset.mems", "\n");
			put_effective(child, "");
			put(child, "cpuset.mems.effective", "0-1\n");
			close(child);
		}
	}
	return 0;
}

static int tree_file_id(const struct sys *sys, int fd, uint64_t *ret_inode)
{
	struct tree *tree = tree_of(sys);

	return must_fail(tree) ? tree->fail_error : tree->real.file_id(&tree->real, fd, ret_inode);
}

static struct tree *current; /* applier_calls carry no state */

static bool calls_is_cgroup2(int fd)
{
	(void)fd;
	return true;
}

static bool calls_is_delegated(int fd)
{
	(void)fd;
	return current->is_delegated;
}

static bool calls_manager_is_systemd(void)
{
	return current->manager_is_systemd;
}

static void tree_make_cgroup(struct tree *tree, const char *path, const char *cpus)
{
	int fd;

	assert_int_equal(mkdirat(tree->root_fd, path, 0755), 0);
	fd = openat(tree->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	put(fd, "cgroup.procs", "");
	put(fd, "cgroup.type", "domain\n");
	put(fd, "cgroup.events", "populated 1\nfrozen 0\n");
	put(fd, "cgroup.controllers", cpus ? "cpuset cpu\n" : "cpu\n");
	put(fd, "cgroup.subtree_control", cpus ? "cpuset cpu\n" : "\n");
	if (cpus) {
		put(fd, "cpuset.cpus", cpus);
		put(fd, "cpuset.mems", "\n");
		put_effective(fd, cpus);
		put(fd, "cpuset.mems.effective", "0-1\n");
	}
	close(fd);
}

static void tree_init(struct tree *tree)
{
	*tree = (struct tree){ .root = "/tmp/test_apply_cgroup.XXXXXX" };
	current = tree;
	assert_non_null(mkdtemp(tree->root));
	tree->root_fd = open(tree->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(sys_linux_open("/proc", &tree->real), 0);
	tree->sys = tree->real;
	tree->sys.state = tree;
	tree->sys.open = tree_open;
	tree->sys.close = tree_close;
	tree->sys.read = tree_read;
	tree->sys.write = tree_write;
	tree->sys.file_id = tree_file_id;
	tree->calls = applier_calls_linux;
	tree->calls.is_cgroup2 = calls_is_cgroup2;
	tree->calls.is_delegated = calls_is_delegated;
	tree->calls.manager_is_systemd = calls_manager_is_systemd;
	tree->applier = (struct applier){
		.sys = &tree->sys,
		.calls = &tree->calls,
		.root_fd = tree->root_fd,
		.root_is_cgroup2 = true,
		.system_fd = -1,
		.manager_fd = -1,
		.front_fd = -1,
		.pid = getpid(),
	};
	assert_int_equal(cpuset_parse("0-15", &tree->applier.possible), 0);
	assert_int_equal(nodeset_parse("0-3", &tree->applier.possible_nodes), 0);
	put(tree->root_fd, "cgroup.controllers", "cpuset cpu\n");
	put(tree->root_fd, "cgroup.subtree_control", "cpuset cpu\n");
	tree_make_cgroup(tree, "a", "\n");
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void tree_done(struct tree *tree)
{
	applier_done(&tree->applier);
	close(tree->root_fd);
	sys_linux_close(&tree->real);
	assert_int_equal(nftw(tree->root, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static uint64_t id_of(struct tree *tree, const char *path)
{
	struct stat st;

	assert_int_equal(fstatat(tree->root_fd, path[1] ? path + 1 : ".", &st, 0), 0);
	return st.st_ino;
}

static void get(struct tree *tree, const char *path, char *text, size_t size)
{
	int fd = openat(tree->root_fd, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	assert_true(n >= 0);
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	close(fd);
}

static void expect_file(struct tree *tree, const char *path, const char *expected)
{
	char text[128];

	get(tree, path, text, sizeof(text));
	assert_string_equal(text, expected);
}

struct ask {
	enum apply_verb verb;
	const char *path;
	uint64_t id; /* 0: the right one */
	const char *cpus, *mems, *original;
	bool migrates;
};

static void handle(struct tree *tree, const struct ask *ask, struct apply_answer *answer)
{
	struct apply_request request = { .magic = APPLY_MAGIC,
					 .version = APPLY_VERSION,
					 .verb = ask->verb,
					 .kind = PLACE_CGROUP,
					 .flags = ask->migrates ? APPLY_FLAG_MIGRATE : 0 };
	cleanup(cpuset_done) struct cpuset cpus = { 0 };
	cleanup(nodeset_done) struct nodeset mems = { 0 };

	assert_int_equal(cpuset_parse(ask->cpus ? ask->cpus : "", &cpus), 0);
	assert_int_equal(nodeset_parse(ask->mems ? ask->mems : "", &mems), 0);
	message_put_cpus(&cpus, request.cpus);
	message_put_nodes(&mems, request.mems);
	message_put_text(ask->path, request.cgroup, sizeof(request.cgroup));
	message_put_text(ask->original ? ask->original : "", request.original,
			 sizeof(request.original));
	request.cgroup_id = ask->id ? ask->id : id_of(tree, ask->path);
	applier_handle(&tree->applier, &request, sizeof(request), answer);
}

static void expect_effective(const struct apply_answer *answer, const char *expected)
{
	cleanup(cpuset_done) struct cpuset cpus = { 0 };
	cleanup(freep) char *list = NULL;

	assert_int_equal(message_get_cpus(answer->effective, &cpus), 0);
	list = cpuset_format(&cpus);
	assert_string_equal(list, expected);
}

/* ---- tests ---- */

static void writes_what_differs(void **state)
{
	static const struct {
		const char *why, *before, *cpus;
		int error;
		unsigned n_writes;
		const char *after, *effective, *original;
	} rows[] = {
		{ "nothing was set", "\n", "0-3", 0, 1, "0-3", "0-3", "" },
		{ "something else was set", "4-5\n", "0-3", 0, 1, "0-3", "0-3", "4-5" },
		{ "a longer text before", "0,2,4,6\n", "1", 0, 1, "1", "1", "0,2,4,6" },
		{ "it holds already", "0-3\n", "0-3", 0, 0, "0-3", "0-3", "0-3" },
		{ "it holds already, spelt differently", "0,1,2-3\n", "0-3", 0, 0, "0,1,2-3", "0-3",
		  "0-3" },
		{ "part of it is the parent's", "\n", "6-9", 0, 1, "6-9", "6-7", "" },
		{ "none of it is: the kernel gives the parent's all", "\n", "8-9", -EXDEV, 1, "8-9",
		  "0-7", "" },
		{ "the same, found at a second look", "8-9\n", "8-9", -EXDEV, 0, "8-9", "0-7",
		  "8-9" },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct tree tree;
		struct apply_answer answer;
		int fd;

		tree_init(&tree);
		fd = openat(tree.root_fd, "a", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		put(fd, "cpuset.cpus", rows[i].before);
		put_effective(fd, rows[i].before);
		close(fd);
		/* First a look, which writes nothing. */
		handle(&tree, &(struct ask){ APPLY_LOOK, "/a" }, &answer);
		assert_int_equal(answer.error, 0);
		assert_int_equal(answer.n_writes, 0);
		assert_true(answer.has_found);
		assert_string_equal(answer.found, rows[i].original);
		handle(&tree, &(struct ask){ APPLY_SET, "/a", .cpus = rows[i].cpus }, &answer);
		if (answer.error != rows[i].error || answer.n_writes != rows[i].n_writes)
			fail_msg("%s: %d, %u writes, '%s'", rows[i].why, answer.error,
				 answer.n_writes, answer.text);
		expect_file(&tree, "a/cpuset.cpus", rows[i].after);
		expect_effective(&answer, rows[i].effective);
		assert_false(answer.has_found);
		assert_int_equal(answer.text[0] != '\0',
				 rows[i].error < 0 || strcmp(rows[i].effective, rows[i].cpus) != 0);
		tree_done(&tree);
	}
}

static void tells_gone_from_failed(void **state)
{
	struct tree tree;
	struct apply_answer answer;

	(void)state;
	tree_init(&tree);
	handle(&tree, &(struct ask){ APPLY_SET, "/nowhere", 1, "0" }, &answer);
	assert_int_equal(answer.error, -ENOENT);
	/* The same name, another cgroup. */
	handle(&tree, &(struct ask){ APPLY_SET, "/a", id_of(&tree, "/a") + 1, "0" }, &answer);
	assert_int_equal(answer.error, -ENOENT);
	expect_file(&tree, "a/cpuset.cpus", "");
	/* A link is not followed, wherever it leads. */
	assert_int_equal(symlinkat("a", tree.root_fd, "link"), 0);
	handle(&tree, &(struct ask){ APPLY_SET, "/link", id_of(&tree, "/a"), "0" }, &answer);
	assert_true(answer.error < 0 && answer.error != -ENOENT && answer.error != -ENODEV);
	expect_file(&tree, "a/cpuset.cpus", "");
	tree_done(&tree);
}

static void memory_moves_only_where_allowed(void **state)
{
	static const struct {
		const char *why, *events;
		bool migrates;
		const char *mems_after;
		unsigned n_writes;
	} rows[] = {
		{ "running work keeps its pages", "populated 1\n", false, "", 1 },
		{ "unless it may migrate", "populated 1\n", true, "1", 2 },
		{ "nobody is there yet", "populated 0\n", false, "1", 2 },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct tree tree;
		struct apply_answer answer;
		int fd;

		tree_init(&tree);
		fd = openat(tree.root_fd, "a", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		put(fd, "cgroup.events", rows[i].events);
		close(fd);
		handle(&tree,
		       &(struct ask){ APPLY_SET, "/a", .cpus = "0-3", .mems = "1",
				      .migrates = rows[i].migrates },
		       &answer);
		if (answer.error != 0 || answer.n_writes != rows[i].n_writes)
			fail_msg("%s: %d, %u, %s", rows[i].why, answer.error, answer.n_writes,
				 answer.text);
		expect_file(&tree, "a/cpuset.mems", rows[i].mems_after);
		tree_done(&tree);
	}
}

static void gives_back_what_is_ours(void **state)
{
	static const struct {
		const char *why, *present, *present_mems, *ours, *our_mems, *original;
		bool refuses_clear;
		const char *after, *mems_after;
		bool is_written;
	} rows[] = {
		{ "a set comes back", "0-3\n", "\n", "0-3", NULL, "4-5", false, "4-5", "", true },
		{ "cleared by a newline", "0-3\n", "\n", "0-3", NULL, "", false, "", "", true },
		{ "a populated cgroup cannot be cleared", "0-3\n", "\n", "0-3", NULL, "", true,
		  "0-15", "", true },
		{ "somebody wrote it since", "0-2\n", "\n", "0-3", NULL, "4-5", false, "0-2", "",
		  false },
		{ "memory too", "0-3\n", "1\n", "0-3", "1", "4-5;0-1", false, "4-5", "0-1", true },
		{ "memory that is not ours any more", "0-3\n", "0\n", "0-3", "1", "4-5;0-1", false,
		  "4-5", "0", true },
		{ "memory that would shrink under work", "0-3\n", "0-1\n", "0-3", "0-1", "4-5;0",
		  false, "4-5", "0-1", true },
		{ "memory was not set", "0-3\n", "1\n", "0-3", "1", "", true, "0-15", "0-3", true },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct tree tree;
		struct apply_answer answer;
		int fd;

		tree_init(&tree);
		fd = openat(tree.root_fd, "a", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		put(fd, "cpuset.cpus", rows[i].present);
		put(fd, "cpuset.mems", rows[i].present_mems);
		put_effective(fd, rows[i].present);
		close(fd);
		tree.populated_clear_is_refused = rows[i].refuses_clear;
		handle(&tree,
		       &(struct ask){ APPLY_RESTORE, "/a", .cpus = rows[i].ours,
				      .mems = rows[i].our_mems, .original = rows[i].original },
		       &answer);
		if (answer.error != 0 || answer.is_written != rows[i].is_written)
			fail_msg("%s: %d, '%s'", rows[i].why, answer.error, answer.text);
		expect_file(&tree, "a/cpuset.cpus", rows[i].after);
		expect_file(&tree, "a/cpuset.mems", rows[i].mems_after);
		tree_done(&tree);
	}
}

static void switches_the_controller_on_where_it_may(void **state)
{
	static const struct {
		const char *why, *parent;
		bool is_delegated, has_tasks;
		int error;
	} rows[] = {
		{ "outside of all units", "free", false, false, 0 },
		{ "a slice is PID 1's", "x.slice", true, false, -ENOTSUP },
		{ "a unit without Delegate=", "x.service", false, false, -ENOTSUP },
		{ "a unit with Delegate=", "x.service", true, false, 0 },
		{ "a scope with Delegate=", "x.scope", true, false, 0 },
		{ "processes would become \"domain threaded\"", "free", false, true, -ENOTSUP },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct tree tree;
		struct apply_answer answer;
		char child[64], path[80];
		int fd;

		tree_init(&tree);
		tree.is_delegated = rows[i].is_delegated;
		tree_make_cgroup(&tree, rows[i].parent, NULL);
		fd = openat(tree.root_fd, rows[i].parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		put(fd, "cgroup.controllers", "cpuset cpu\n");
		if (rows[i].has_tasks)
			put(fd, "cgroup.procs", "77\n");
		close(fd);
		snprintf(child, sizeof(child), "%s/child", rows[i].parent);
		tree_make_cgroup(&tree, child, NULL);
		snprintf(path, sizeof(path), "/%s", child);
		handle(&tree, &(struct ask){ APPLY_SET, path, .cpus = "2" }, &answer);
		if (answer.error != rows[i].error)
			fail_msg("%s: %d, '%s'", rows[i].why, answer.error, answer.text);
		snprintf(path, sizeof(path), "%s/cgroup.subtree_control", rows[i].parent);
		expect_file(&tree, path, rows[i].error ? "" : "cpuset cpu");
		if (rows[i].error == 0) {
			expect_effective(&answer, "2");
			assert_int_equal(answer.n_writes, 2);
		}
		tree_done(&tree);
	}
}

static size_t n_open_files(void)
{
	cleanup(closedirp) DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	while (readdir(dir))
		n++;
	return n;
}

/* Each call of a whole step fails once with each error: never a success that does not hold, never
 * "gone" while the cgroup is there, no descriptor lost, and the next try succeeds. */
static void every_call_may_fail(void **state)
{
	static const int errors[] = { -EACCES, -EBUSY,	-ENOSPC, -EINVAL, -EROFS,
				      -ENODEV, -ENOENT, -EMFILE, -EIO };
	static const struct ask asks[] = {
		{ APPLY_SET, "/a", .cpus = "0-3", .mems = "1", .migrates = true },
		{ APPLY_RESTORE, "/a", .cpus = "4-5", .mems = "0", .original = "0-3;1",
		  .migrates = true },
		{ APPLY_SET, "/free/child", .cpus = "0-3" },
	};
	unsigned n_injected = 0;

	(void)state;
	for (size_t a = 0; a < N_ELEMENTS(asks); a++)
		for (size_t e = 0; e < N_ELEMENTS(errors); e++)
			for (unsigned call = 1;; call++) {
				struct tree tree;
				struct apply_answer answer;
				char file[64];
				size_t n_before;
				unsigned n_calls;
				int fd;

				tree_init(&tree);
				fd = openat(tree.root_fd, "a", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
				put(fd, "cpuset.cpus", "4-5");
				put(fd, "cpuset.mems", "0");
				put_effective(fd, "4-5");
				close(fd);
				tree_make_cgroup(&tree, "free", NULL);
				tree_make_cgroup(&tree, "free/child", NULL);
				fd = openat(tree.root_fd, "free",
					    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
				put(fd, "cgroup.controllers", "cpuset cpu\n");
				close(fd);
				snprintf(file, sizeof(file), "%s/cpuset.cpus", asks[a].path + 1);
				n_before = n_open_files();
				tree.fail_call = call;
				tree.fail_error = errors[e];
				handle(&tree, &asks[a], &answer);
				n_calls = tree.n_calls;
				assert_int_equal(n_open_files(), n_before);
				n_injected++;
				if (answer.error == 0)
					expect_file(&tree, file, "0-3");
				else
					assert_true(answer.text[0] != '\0');
				/* Call 1 opens the place: there ENOENT and ENODEV do mean it. */
				if (call > 1 && (answer.error == -ENOENT ||
						 answer.error == -ENODEV || answer.error == -ESRCH))
					fail_msg("ask %zu: call %u with %d is taken for gone: '%s'",
						 a, call, errors[e], answer.text);
				if (answer.error < 0 && asks[a].verb == APPLY_SET) {
					tree.fail_call = 0;
					handle(&tree, &asks[a], &answer);
					if (answer.error)
						fail_msg("ask %zu after call %u with %d: '%s'", a,
							 call, errors[e], answer.text);
					expect_file(&tree, file, "0-3");
				}
				tree_done(&tree);
				if (n_calls < call)
					break;
			}
	assert_true(n_injected > 200);
}

static void ordinary_directories_do(void **state)
{
	struct tree tree;
	struct apply_answer answer;

	(void)state;
	tree_init(&tree);
	/* No kernel, no effective set: what was written is what is. */
	tree.applier.root_is_cgroup2 = false;
	tree.applier.sys = &tree.real;
	assert_int_equal(unlinkat(tree.root_fd, "a/cpuset.cpus.effective", 0), 0);
	handle(&tree, &(struct ask){ APPLY_SET, "/a", .cpus = "10-15" }, &answer);
	assert_int_equal(answer.error, 0);
	handle(&tree, &(struct ask){ APPLY_SET, "/a", .cpus = "1" }, &answer);
	assert_int_equal(answer.error, 0);
	expect_effective(&answer, "1");
	handle(&tree, &(struct ask){ APPLY_LOOK, "/a" }, &answer);
	assert_string_equal(answer.found, "1");
	tree_done(&tree);
}

static void refuses_what_is_not_sane(void **state)
{
	static const struct {
		const char *why, *path, *cpus, *mems;
	} rows[] = {
		{ "up and out", "/../a", "0", "" },
		{ "up in the middle", "/a/../../b", "0", "" },
		{ "up at the end", "/a/..", "0", "" },
		{ "itself", "/./a", "0", "" },
		{ "not from the root", "a", "0", "" },
		{ "no path", "", "0", "" },
		{ "an empty part", "//a", "0", "" },
		{ "ends in a slash", "/a/", "0", "" },
		{ "a newline", "/a\nb", "0", "" },
		{ "no PU", "/a", "", "" },
		{ "a PU that cannot be", "/a", "0,16", "" },
		{ "a node that cannot be", "/a", "0", "4" },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct tree tree;
		struct apply_answer answer;

		tree_init(&tree);
		tree.n_calls = 0;
		handle(&tree,
		       &(struct ask){ APPLY_SET, rows[i].path, 7, rows[i].cpus, rows[i].mems },
		       &answer);
		if (answer.error != -EINVAL || tree.n_calls != 0)
			fail_msg("%s: %d after %u calls", rows[i].why, answer.error, tree.n_calls);
		tree_done(&tree);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_what_differs),
		cmocka_unit_test(tells_gone_from_failed),
		cmocka_unit_test(memory_moves_only_where_allowed),
		cmocka_unit_test(gives_back_what_is_ours),
		cmocka_unit_test(switches_the_controller_on_where_it_may),
		cmocka_unit_test(every_call_may_fail),
		cmocka_unit_test(ordinary_directories_do),
		cmocka_unit_test(refuses_what_is_not_sane),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
