/* Publication as a whole: which files appear, change and go when a view does, and whom a failure
 * stops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "placement.h"
#include "publish/publish.h"

enum { N_WORKLOADS_MAX = 8 };

struct fixture {
	char path[40];
	char runtime_dir[64];
	struct publish *publish;

	struct placements *placements;
	struct workload *confs[N_WORKLOADS_MAX];
	struct plan_workload workloads[N_WORKLOADS_MAX];
	struct strings environments[N_WORKLOADS_MAX], lines[N_WORKLOADS_MAX];
	uint64_t generations[N_WORKLOADS_MAX];
	bool changed[N_WORKLOADS_MAX];
	struct plan plan;
	struct publish_view view;
};

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	if (!fixture)
		return -1;
	strcpy(fixture->path, "/tmp/publish-XXXXXX");
	assert_non_null(mkdtemp(fixture->path));
	snprintf(fixture->runtime_dir, sizeof(fixture->runtime_dir), "%s/sidecard", fixture->path);
	assert_int_equal(chdir(fixture->path), 0);
	fixture->placements = placements_new("unused");
	*state = fixture;
	return 0;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *at)
{
	(void)status;
	(void)kind;
	(void)at;
	return remove(path);
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	publish_free(fixture->publish);
	assert_int_equal(chdir("/"), 0);
	nftw(fixture->path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	for (size_t i = 0; i < N_WORKLOADS_MAX; i++) {
		workload_free(fixture->confs[i]);
		strings_done(&fixture->lines[i]);
	}
	placements_free(fixture->placements);
	free(fixture);
	return 0;
}

static int open_publish(struct fixture *fixture, struct publish **ret_publish, struct fault *fault)
{
	const struct publish_options options = { .runtime_dir = fixture->runtime_dir };
	static const struct publish_handler nobody;

	return publish_open(&options, &nobody, ret_publish, fault);
}

/* A new life. */
static void restart(struct fixture *fixture)
{
	struct fault fault = { 0 };

	fixture->publish = publish_free(fixture->publish);
	if (open_publish(fixture, &fixture->publish, &fault) < 0)
		fail_msg("%s", fault.text);
	assert_int_equal(fault.error, 0);
}

/* The view has the workloads named by the letters of @names; those in capitals changed. */
static int update(struct fixture *fixture, const char *names, uint64_t generation,
		  struct fault *fault)
{
	size_t n = strlen(names);
	int r, q;

	for (size_t i = 0; i < n; i++) {
		char name[2] = { (char)(names[i] | 0x20), '\0' };

		workload_free(fixture->confs[i]);
		fixture->confs[i] = workload_new(name);
		fixture->changed[i] = names[i] != name[0];
		fixture->workloads[i] = *placement_of(fixture->placements, generation);
		fixture->workloads[i].conf = fixture->confs[i];
		fixture->generations[i] = generation;
	}
	fixture->plan = (struct plan){ .workloads = fixture->workloads, .n_workloads = n };
	fixture->view = (struct publish_view){ .plan = &fixture->plan,
					       .generation = generation,
					       .generations = fixture->generations,
					       .environments = fixture->environments,
					       .lines = fixture->lines };
	r = publish_update(fixture->publish, &fixture->view, fixture->changed, fault);
	q = publish_files(fixture->publish, fault);
	return q < 0 ? q : r;
}

/* What page and env file say: their generation, 0 where there is none. */
static uint64_t page_generation(const struct fixture *fixture, const char *name)
{
	const struct sidecard_page *page;
	struct sidecard_answer answer;
	char path[128];

	snprintf(path, sizeof(path), "%s/live/%s", fixture->runtime_dir, name);
	page = sidecard_open(path);
	if (!page)
		return 0;
	sidecard_page_read(page, &answer);
	assert_true(answer_is_whole(fixture->placements, &answer));
	sidecard_close(page);
	return answer.generation;
}

static uint64_t env_generation(const struct fixture *fixture, const char *name)
{
	unsigned long long generation = 0;
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/env/%s.env", fixture->runtime_dir, name);
	file = fopen(path, "re");
	if (!file)
		return 0;
	assert_int_equal(fscanf(file, "SIDECARD_GENERATION=%llu", &generation), 1);
	fclose(file);
	return generation;
}

static void assert_out(const struct fixture *fixture, const char *name, uint64_t generation)
{
	uint64_t page = page_generation(fixture, name), env = env_generation(fixture, name);

	if (page != generation || env != generation)
		fail_msg("'%s': page %llu, env file %llu, expected %llu", name,
			 (unsigned long long)page, (unsigned long long)env,
			 (unsigned long long)generation);
}

static void the_directories_are_made_for_readers(void **state)
{
	struct fixture *fixture = *state;
	static const char *const made[] = { "sidecard", "sidecard/env", "sidecard/live" };
	mode_t mask = umask(077);
	struct stat status;

	restart(fixture);
	umask(mask);
	for (size_t i = 0; i < N_ELEMENTS(made); i++) {
		assert_int_equal(stat(made[i], &status), 0);
		assert_int_equal(status.st_mode & 07777, 0755);
	}
	assert_int_equal(publish_found_generation(fixture->publish), 0);
	/* What a life that ended too early left closed is opened; the mode of the whole is its
	 * owner's choice. */
	assert_int_equal(chmod("sidecard/live", 0700), 0);
	assert_int_equal(chmod("sidecard", 0700), 0);
	restart(fixture);
	assert_int_equal(stat("sidecard/live", &status), 0);
	assert_int_equal(status.st_mode & 07777, 0755);
	assert_int_equal(stat("sidecard", &status), 0);
	assert_int_equal(status.st_mode & 07777, 0700);
}

static int make_writable(void)
{
	return mkdir("sidecard", 0755) < 0 ? -1 : chmod("sidecard", 0775);
}

static int make_sticky(void)
{
	return mkdir("sidecard", 0755) < 0 ? -1 : chmod("sidecard", 01777);
}

static int make_file(void)
{
	int fd = open("sidecard", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	return fd < 0 ? -1 : close(fd);
}

static int make_link(void)
{
	return mkdir("elsewhere", 0755) < 0 ? -1 : symlink("elsewhere", "sidecard");
}

static int make_live_writable(void)
{
	return mkdir("sidecard", 0755) < 0 || mkdir("sidecard/live", 0755) < 0
		       ? -1
		       : chmod("sidecard/live", 0757);
}

static int make_env_link(void)
{
	return mkdir("elsewhere", 0755) < 0 || mkdir("sidecard", 0755) < 0
		       ? -1
		       : symlink("../elsewhere", "sidecard/env");
}

static int make_lock_link(void)
{
	return mkdir("sidecard", 0755) < 0 ? -1 : symlink("../victim", "sidecard/.lock");
}

static int make_foreign(void)
{
	return mkdir("sidecard", 0755) < 0 ? -1 : chown("sidecard", 65534, 65534);
}

static void an_unsafe_directory_is_refused(void **state)
{
	static const struct {
		const char *why;
		int (*make)(void);
		int result;
		const char *said;
	} rows[] = {
		{ "the group may plant files", make_writable, -EPERM, "mode 0775" },
		{ "anybody may, as in /tmp", make_sticky, -EPERM, "mode 1777" },
		{ "a file", make_file, -ENOTDIR, "sidecard" },
		{ "a link leads elsewhere", make_link, -ENOTDIR, "sidecard" },
		{ "others may plant pages", make_live_writable, -EPERM, "'live'" },
		{ "env files would go elsewhere", make_env_link, -ENOTDIR, "'env'" },
		{ "a lock would be made elsewhere", make_lock_link, -ELOOP, ".lock" },
		{ "somebody else's", make_foreign, -EPERM, "user 65534" },
	};

	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct fixture *fixture;
		struct fault fault = { 0 };
		int r;

		if (rows[i].make == make_foreign && geteuid() != 0) {
			print_message("%s: only root can give a directory away\n", rows[i].why);
			continue;
		}
		set_up((void **)&fixture);
		assert_int_equal(rows[i].make(), 0);
		r = open_publish(fixture, &fixture->publish, &fault);
		if (r != rows[i].result || !strstr(fault.text, rows[i].said))
			fail_msg("%s: %d '%s'", rows[i].why, r, fault.text);
		assert_null(fixture->publish);
		assert_int_equal(access("victim", F_OK), -1);
		tear_down((void **)&fixture);
	}
	assert_int_equal(chdir(((struct fixture *)*state)->path), 0);
}

static void a_parent_that_is_not_there_is_a_fault(void **state)
{
	struct fixture *fixture = *state;
	struct fault fault = { 0 };

	snprintf(fixture->runtime_dir, sizeof(fixture->runtime_dir), "%s/no/where", fixture->path);
	assert_int_equal(open_publish(fixture, &fixture->publish, &fault), -ENOENT);
	assert_non_null(strstr(fault.text, "no/where"));
}

static void two_lives_do_not_share_a_directory(void **state)
{
	struct fixture *fixture = *state;
	struct publish *second = NULL;
	struct fault fault = { 0 };

	restart(fixture);
	assert_int_equal(open_publish(fixture, &second, &fault), -EBUSY);
	assert_null(second);
	restart(fixture);
}

static void a_change_is_written_and_nothing_else(void **state)
{
	struct fixture *fixture = *state;
	static const struct {
		const char *why, *names;
		uint64_t generation;
		struct {
			const char *name;
			uint64_t generation;
		} out[4];
	} rows[] = {
		{ "the first update writes all", "abC", 1, { { "a", 1 }, { "b", 1 }, { "c", 1 } } },
		{ "one changed", "aBc", 2, { { "a", 1 }, { "b", 2 }, { "c", 1 } } },
		{ "nothing changed", "abc", 3, { { "a", 1 }, { "b", 2 }, { "c", 1 } } },
		{ "one went", "ac", 4, { { "a", 1 }, { "b", 0 }, { "c", 1 } } },
		{ "one came, between", "aBc", 5, { { "a", 1 }, { "b", 5 }, { "c", 1 } } },
		{ "one came that is said not to have changed",
		  "abcd",
		  6,
		  { { "c", 1 }, { "d", 6 } } },
		{ "the ends went", "bc", 7, { { "a", 0 }, { "b", 5 }, { "c", 1 }, { "d", 0 } } },
		{ "all others", "AD", 8, { { "a", 8 }, { "b", 0 }, { "c", 0 }, { "d", 8 } } },
		{ "none", "", 9, { { "a", 0 }, { "d", 0 } } },
		{ "back again", "A", 10, { { "a", 10 } } },
	};

	restart(fixture);
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct fault fault = { 0 };

		if (update(fixture, rows[i].names, rows[i].generation, &fault) < 0)
			fail_msg("%s: %s", rows[i].why, fault.text);
		for (size_t k = 0; k < 4 && rows[i].out[k].name; k++) {
			const char *name = rows[i].out[k].name;

			if (page_generation(fixture, name) != rows[i].out[k].generation ||
			    env_generation(fixture, name) != rows[i].out[k].generation)
				fail_msg("%s: '%s'", rows[i].why, name);
		}
	}
}

static void a_promise_of_the_same_names_is_enough(void **state)
{
	struct fixture *fixture = *state;

	restart(fixture);
	assert_int_equal(update(fixture, "abcd", 1, NULL), 0);
	for (uint64_t generation = 2; generation < 40; generation++) {
		for (size_t i = 0; i < 4; i++) {
			fixture->changed[i] = generation % (i + 2) == 0;
			if (fixture->changed[i])
				fixture->generations[i] = generation;
		}
		fixture->view.same_workloads = true;
		fixture->view.generation = generation;
		for (size_t i = 0; i < 4; i++) {
			fixture->workloads[i] = *placement_of(fixture->placements, generation);
			fixture->workloads[i].conf = fixture->confs[i];
		}
		assert_int_equal(
			publish_update(fixture->publish, &fixture->view, fixture->changed, NULL),
			0);
		assert_int_equal(publish_files(fixture->publish, NULL), 0);
		for (size_t i = 0; i < 4; i++) {
			uint64_t last = generation - generation % (i + 2);

			assert_out(fixture, fixture->confs[i]->name, last > 1 ? last : 1);
		}
	}
}

/* The page is what somebody waits on; a burst of changes costs one file. */
static void files_are_owed_until_they_are_asked_for(void **state)
{
	struct fixture *fixture = *state;

	restart(fixture);
	assert_int_equal(update(fixture, "ab", 1, NULL), 0);
	fixture->changed[0] = true;
	fixture->changed[1] = false;
	for (uint64_t generation = 2; generation < 5; generation++) {
		fixture->view.generation = fixture->generations[0] = generation;
		fixture->workloads[0] = *placement_of(fixture->placements, generation);
		fixture->workloads[0].conf = fixture->confs[0];
		assert_int_equal(
			publish_update(fixture->publish, &fixture->view, fixture->changed, NULL),
			0);
		assert_int_equal(page_generation(fixture, "a"), generation);
		assert_int_equal(env_generation(fixture, "a"), 1);
	}
	assert_int_equal(publish_files(fixture->publish, NULL), 0);
	assert_out(fixture, "a", 4);
	assert_out(fixture, "b", 1);
}

static void the_next_life_adopts_and_clears(void **state)
{
	struct fixture *fixture = *state;

	restart(fixture);
	assert_int_equal(update(fixture, "ABC", 20, NULL), 0);
	assert_int_equal(mkdir("sidecard/live/d", 0755), 0);
	assert_int_equal(symlink("x", "sidecard/env/e.env"), 0);
	assert_int_equal(unlink("sidecard/env/c.env"), 0);
	close(open("sidecard/env/f.env", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
	close(open("sidecard/env/.new.1.2", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
	close(open("sidecard/.new.io.sidecard.1", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
	close(open("sidecard/env/Notes", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
	restart(fixture);
	assert_int_equal(publish_found_generation(fixture->publish), 20);
	/* Before the first update all of it holds. */
	assert_out(fixture, "a", 20);
	assert_out(fixture, "b", 20);
	assert_int_equal(access("sidecard/env/.new.1.2", F_OK), -1);
	assert_int_equal(access("sidecard/.new.io.sidecard.1", F_OK), -1);
	assert_int_equal(update(fixture, "b", 21, NULL), 0);
	assert_out(fixture, "a", 0);
	assert_out(fixture, "b", 21);
	assert_out(fixture, "c", 0);
	assert_int_equal(access("sidecard/env/f.env", F_OK), -1);
	assert_int_equal(access("sidecard/env/Notes", F_OK), 0);
	assert_int_equal(access("sidecard/live/d", F_OK), 0);
}

/* A directory in a file's place is a failure that needs no privilege. */
static void a_failure_stops_nobody_else_and_is_made_good(void **state)
{
	struct fixture *fixture = *state;
	struct fault fault = { 0 };

	restart(fixture);
	assert_int_equal(mkdir("sidecard/live/b", 0755), 0);
	assert_int_equal(mkdir("sidecard/env/c.env", 0755), 0);
	assert_int_equal(update(fixture, "ABCD", 1, &fault), -EISDIR);
	assert_non_null(strstr(fault.text, "c.env"));
	assert_out(fixture, "a", 1);
	assert_out(fixture, "d", 1);
	assert_int_equal(env_generation(fixture, "b"), 1);
	assert_int_equal(page_generation(fixture, "c"), 1);

	/* Still in the way, and still owed although other workloads come and go. */
	assert_int_equal(update(fixture, "abce", 2, &fault), -EISDIR);
	assert_out(fixture, "d", 0);
	assert_int_equal(rmdir("sidecard/live/b"), 0);
	assert_int_equal(rmdir("sidecard/env/c.env"), 0);
	assert_int_equal(update(fixture, "abce", 3, &fault), 0);
	assert_out(fixture, "a", 1);
	assert_int_equal(page_generation(fixture, "b"), 3);
	assert_int_equal(env_generation(fixture, "b"), 1);
	assert_int_equal(env_generation(fixture, "c"), 3);
	assert_int_equal(page_generation(fixture, "c"), 1);
	assert_int_equal(update(fixture, "abce", 4, &fault), 0);
	assert_int_equal(page_generation(fixture, "b"), 3);
}

static void a_way_that_cannot_be_opened_stops_no_other(void **state)
{
	struct fixture *fixture = *state;
	struct publish_options options = { .runtime_dir = fixture->runtime_dir };
	static const struct publish_handler nobody;
	struct fault fault = { 0 };
	sd_event *event = NULL;
	struct sys sys;

	restart(fixture);
	fixture->publish = publish_free(fixture->publish);
	assert_int_equal(mkdir("sidecard/io.sidecard", 0755), 0);
	assert_int_equal(sys_linux_open("/proc", &sys), 0);
	assert_true(sd_event_new(&event) >= 0);
	options.event = event;
	options.sys = &sys;
	assert_int_equal(publish_open(&options, &nobody, &fixture->publish, &fault), 0);
	assert_true(fault.error < 0);
	assert_non_null(strstr(fault.text, "io.sidecard"));
	assert_int_equal(update(fixture, "A", 1, &fault), 0);
	assert_out(fixture, "a", 1);
	fixture->publish = publish_free(fixture->publish);
	sd_event_unref(event);
	sys_linux_close(&sys);
}

static void assert_fragment(const char *name, const char *expected)
{
	char path[64], text[128] = "";
	FILE *file;

	snprintf(path, sizeof(path), "sidecard/conf/%s.conf", name);
	file = fopen(path, "re");
	assert_int_equal(file != NULL, expected != NULL);
	if (!file)
		return;
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	assert_string_equal(text, expected);
}

static ino_t inode_of(const char *path)
{
	struct stat status;

	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0644);
	return status.st_ino;
}

static void fragments_come_change_and_go(void **state)
{
	struct fixture *fixture = *state;
	ino_t before;

	restart(fixture);
	assert_int_equal(strings_add(&fixture->lines[0], "worker_processes 2;"), 0);
	assert_int_equal(update(fixture, "AB", 1, NULL), 0);
	assert_fragment("a", "worker_processes 2;\n");
	assert_fragment("b", NULL);
	/* The same again is not written: somebody may watch it. */
	before = inode_of("sidecard/conf/a.conf");
	assert_int_equal(update(fixture, "AB", 2, NULL), 0);
	assert_int_equal(inode_of("sidecard/conf/a.conf"), before);
	assert_out(fixture, "a", 2);
	/* One that begins like it is another one. */
	assert_int_equal(strings_add(&fixture->lines[0], "x 1;"), 0);
	assert_int_equal(update(fixture, "AB", 3, NULL), 0);
	assert_fragment("a", "worker_processes 2;\nx 1;\n");
	strings_done(&fixture->lines[0]);
	fixture->lines[0] = (struct strings){ 0 };
	assert_int_equal(strings_add(&fixture->lines[1], "nbthread 1"), 0);
	assert_int_equal(update(fixture, "AB", 4, NULL), 0);
	assert_fragment("a", NULL);
	assert_fragment("b", "nbthread 1\n");
	/* With its workload, and what an earlier life left of others. */
	close(open("sidecard/conf/z.conf", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
	restart(fixture);
	assert_int_equal(update(fixture, "a", 5, NULL), 0);
	assert_fragment("b", NULL);
	assert_fragment("z", NULL);
}

/* It costs the fragment alone, and is made good. */
static void a_fragment_that_cannot_be_written_stops_nobody(void **state)
{
	struct fixture *fixture = *state;

	restart(fixture);
	assert_int_equal(strings_add(&fixture->lines[0], "nbthread 1"), 0);
	assert_int_equal(mkdir("sidecard/conf/a.conf", 0755), 0);
	assert_true(update(fixture, "AB", 1, NULL) < 0);
	assert_out(fixture, "a", 1);
	assert_out(fixture, "b", 1);
	assert_int_equal(rmdir("sidecard/conf/a.conf"), 0);
	assert_int_equal(publish_files(fixture->publish, NULL), 0);
	assert_fragment("a", "nbthread 1\n");
}

#define PUBLISH_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PUBLISH_TEST(the_directories_are_made_for_readers),
		PUBLISH_TEST(an_unsafe_directory_is_refused),
		PUBLISH_TEST(a_parent_that_is_not_there_is_a_fault),
		PUBLISH_TEST(two_lives_do_not_share_a_directory),
		PUBLISH_TEST(a_change_is_written_and_nothing_else),
		PUBLISH_TEST(a_promise_of_the_same_names_is_enough),
		PUBLISH_TEST(files_are_owed_until_they_are_asked_for),
		PUBLISH_TEST(the_next_life_adopts_and_clears),
		PUBLISH_TEST(a_failure_stops_nobody_else_and_is_made_good),
		PUBLISH_TEST(a_way_that_cannot_be_opened_stops_no_other),
		PUBLISH_TEST(fragments_come_change_and_go),
		PUBLISH_TEST(a_fragment_that_cannot_be_written_stops_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
