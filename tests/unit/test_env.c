/* Env files: what they say, and that a value reads alike in a shell and in systemd whatever bytes
 * it was made of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "placement.h"
#include "publish/publish.h"

#define SEED UINT64_C(0x5eed0002)

struct fixture {
	char path[32];
	int dirfd;
	struct placements *placements;
};

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	if (!fixture)
		return -1;
	strcpy(fixture->path, "/tmp/env-XXXXXX");
	assert_non_null(mkdtemp(fixture->path));
	fixture->dirfd = open(fixture->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(fchdir(fixture->dirfd), 0);
	fixture->placements = placements_new("envoy");
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	DIR *dir = fdopendir(fixture->dirfd);
	struct dirent *entry;

	while ((entry = readdir(dir)))
		if (unlinkat(fixture->dirfd, entry->d_name, 0) < 0)
			unlinkat(fixture->dirfd, entry->d_name, AT_REMOVEDIR);
	assert_int_equal(chdir("/"), 0);
	rmdir(fixture->path);
	closedir(dir);
	placements_free(fixture->placements);
	free(fixture);
	return 0;
}

static char *read_text(const char *name)
{
	FILE *file = fopen(name, "re");
	char *text = calloc(1, 1 << 20);

	assert_non_null(file);
	text[fread(text, 1, (1 << 20) - 1, file)] = '\0';
	fclose(file);
	return text;
}

/* ---- an EnvironmentFile= reader as systemd.exec(5) has it, for text without comments ---- */

enum { N_PAIRS_MAX = 64 };

struct pairs {
	char *keys[N_PAIRS_MAX], *values[N_PAIRS_MAX];
	size_t n_pairs;
};

static void pairs_done(struct pairs *pairs)
{
	for (size_t i = 0; i < pairs->n_pairs; i++) {
		free(pairs->keys[i]);
		free(pairs->values[i]);
	}
	pairs->n_pairs = 0;
}

/* Reads one value from @at to the newline that ends it; returns what follows. */
static const char *systemd_value(const char *at, char *value)
{
	size_t n = 0, n_kept = 0; /* trailing blanks outside of quotes are dropped */
	char quote = '\0';
	bool begun = false;

	for (; *at && (quote || *at != '\n'); at++) {
		if (quote && *at == quote) {
			quote = '\0';
		} else if (quote == '\'') {
			value[n++] = *at;
			n_kept = n;
		} else if (*at == '\\' && at[1]) {
			at++;
			if (*at == '\n')
				continue;
			if (quote && !strchr("\"\\`$", *at))
				value[n++] = '\\';
			value[n++] = *at;
			n_kept = n;
			begun = true;
		} else if (!quote && !begun && (*at == '"' || *at == '\'')) {
			quote = *at;
		} else if (!quote && strchr(" \t\r", *at)) {
			if (begun)
				value[n++] = *at;
		} else {
			value[n++] = *at;
			n_kept = n;
			begun = begun || !quote;
		}
	}
	value[n_kept] = '\0';
	return *at ? at + 1 : at;
}

static void systemd_read(const char *text, struct pairs *ret_pairs)
{
	while (*text) {
		size_t n_key = strcspn(text, "=\n");

		assert_true(text[n_key] == '=');
		assert_true(ret_pairs->n_pairs < N_PAIRS_MAX);
		ret_pairs->keys[ret_pairs->n_pairs] = strndup(text, n_key);
		ret_pairs->values[ret_pairs->n_pairs] = calloc(1, strlen(text) + 1);
		text = systemd_value(text + n_key + 1, ret_pairs->values[ret_pairs->n_pairs]);
		ret_pairs->n_pairs++;
	}
}

/* The reader itself against the examples and sentences of the manual. */
static void the_reader_follows_the_manual(void **state)
{
	static const struct {
		const char *why, *text, *value;
	} rows[] = {
		{ "plain", "A=b c\n", "b c" },
		{ "blanks around are dropped", "A= \t b c \t\n", "b c" },
		{ "a quote inside is kept", "A=b\"c\"\n", "b\"c\"" },
		{ "unquoted: a backslash keeps the next character", "A=\\\\b\\ \n", "\\b " },
		{ "unquoted: the line goes on", "A=b\\\nc\n", "bc" },
		{ "single quotes keep everything", "A='\\\\ \"$\n b'\n", "\\\\ \"$\n b" },
		{ "double quotes: four escapes", "A=\"\\\"\\\\\\`\\$\"\n", "\"\\`$" },
		{ "double quotes: other backslashes stay", "A=\"\\n\\x\"\n", "\\n\\x" },
		{ "double quotes: the line goes on", "A=\"b\\\nc\"\n", "bc" },
		{ "blanks in quotes are kept", "A=\" b \"  \n", " b " },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct pairs pairs = { 0 };

		systemd_read(rows[i].text, &pairs);
		if (pairs.n_pairs != 1 || strcmp(pairs.values[0], rows[i].value) != 0)
			fail_msg("%s: '%s'", rows[i].why, pairs.values[0]);
		pairs_done(&pairs);
	}
}

/* ---- what is said ---- */

static void every_line_is_there(void **state)
{
	const struct fixture *fixture = *state;
	struct plan_workload workload = fixture->placements->items[3];
	char *items[] = { (char[]){ "GOMAXPROCS=4" }, (char[]){ "JAVA_OPTS=-Xmx1g -Dx=\"$HOME\"" },
			  (char[]){ "EMPTY=" } };
	struct strings extra = { items, N_ELEMENTS(items) };
	char *text;

	text = env_format(&workload, 17, &extra);
	assert_string_equal(text, "SIDECARD_GENERATION=17\n"
				  "SIDECARD_WORKLOAD=envoy\n"
				  "SIDECARD_CPUS=3-6,8188\n"
				  "SIDECARD_N_PU=5\n"
				  "SIDECARD_N_CORE=1003\n"
				  "SIDECARD_NODES=3\n"
				  "SIDECARD_MEMS=1020\n"
				  "SIDECARD_QUOTA_MCPU=31\n"
				  "SIDECARD_PARALLELISM=4\n"
				  "SIDECARD_PARALLELISM_FLOOR=2003\n"
				  "SIDECARD_PARALLELISM_CEIL=3003\n"
				  "SIDECARD_LIMITED_BY=\"cpu.max of /0003\"\n"
				  "GOMAXPROCS=4\n"
				  "JAVA_OPTS=\"-Xmx1g -Dx=\\\"\\$HOME\\\"\"\n"
				  "EMPTY=\n");
	free(text);

	/* Not placed: nothing that could pin to nothing, and still one thread. */
	workload.placed = false;
	workload.quota_mcpu = QUOTA_UNLIMITED_MCPU;
	workload.parallelism = (struct parallelism){ 0 };
	workload.limited_by = LIMITED_BY_PARTITION;
	workload.limited_by_path = NULL;
	text = env_format(&workload, 18, NULL);
	assert_string_equal(text, "SIDECARD_GENERATION=18\n"
				  "SIDECARD_WORKLOAD=envoy\n"
				  "SIDECARD_QUOTA_MCPU=max\n"
				  "SIDECARD_PARALLELISM=1\n"
				  "SIDECARD_PARALLELISM_FLOOR=1\n"
				  "SIDECARD_PARALLELISM_CEIL=1\n"
				  "SIDECARD_LIMITED_BY=partition\n");
	free(text);
}

static void extra_lines_stay_in_their_place(void **state)
{
	const struct fixture *fixture = *state;
	static const struct {
		const char *why, *line, *written;
	} rows[] = {
		{ "no name", "=x", "" },
		{ "no sign", "A", "" },
		{ "empty", "", "" },
		{ "begins with a digit", "1A=x", "" },
		{ "a command", "rm -rf=x", "" },
		{ "a comment", "#A=x", "" },
		{ "a second line before the sign", "A\nB=x", "" },
		{ "ours", "SIDECARD_CPUS=0-99", "" },
		{ "ours by prefix only", "SIDECARD_PAGE=/p/live/w", "SIDECARD_PAGE=/p/live/w\n" },
		{ "a second line in the value", "A=x\nLD_PRELOAD=y",
		  "A=\"x\\\\x0aLD_PRELOAD=y\"\n" },
		{ "carriage return", "A=x\r", "A=\"x\\\\x0d\"\n" },
		{ "a backslash at the end would join lines", "A=x\\", "A=\"x\\\\\"\n" },
		{ "a quote at the end", "A=x\"", "A=\"x\\\"\"\n" },
		{ "substitution", "A=$(id)`id`", "A=\"\\$(id)\\`id\\`\"\n" },
		{ "a home directory in a shell", "A=~root", "A=\"~root\"\n" },
		{ "outer blanks", "A= x ", "A=\" x \"\n" },
		{ "UTF-8 of the operator stays", "A=gr\xc3\xbc\xc3\x9f",
		  "A=\"gr\xc3\xbc\xc3\x9f\"\n" },
		{ "not UTF-8: systemd would refuse the file", "A=\xff\xc3",
		  "A=\"\\\\xff\\\\xc3\"\n" },
		{ "a byte order mark likewise", "A=\xef\xbb\xbf", "A=\"\\\\xef\\\\xbb\\\\xbf\"\n" },
		{ "a noncharacter likewise", "A=\xf0\x9f\xbf\xbe",
		  "A=\"\\\\xf0\\\\x9f\\\\xbf\\\\xbe\"\n" },
		{ "a control character of C1", "A=\xc2\x9b", "A=\"\\\\xc2\\\\x9b\"\n" },
	};
	const struct plan_workload *workload = &fixture->placements->items[0];
	char *bare = env_format(workload, 1, NULL);

	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		char *item = strdup(rows[i].line), *text;
		struct strings extra = { &item, 1 };

		text = env_format(workload, 1, &extra);
		if (strncmp(text, bare, strlen(bare)) != 0 ||
		    strcmp(text + strlen(bare), rows[i].written) != 0)
			fail_msg("%s: '%s'", rows[i].why, text);
		free(text);
		free(item);
	}
	free(bare);
}

/* ---- any bytes at all ---- */

/* Text of up to @n_max bytes, rich in what parsers stumble over. */
static char *random_text(uint64_t *seed, size_t n_max, bool keep_utf8)
{
	static const char *const spice[] = { "\"",	 "'",	  "\\",	  "\n",		 "$(id)",
					     "`",	 "$HOME", " ",	  "#",		 ";",
					     "=",	 "\r",	  "~",	  "!",		 "*",
					     "\xc3\xa4", "&",	  "|",	  "\\\n",	 "\t",
					     "\x7f",	 "%",	  "\x01", "\xe2\x82\xac" };
	size_t n = random_next(seed) % n_max, used = 0;
	char *text = calloc(1, n + 8);

	while (used < n) {
		const char *piece = spice[random_next(seed) % N_ELEMENTS(spice)];
		char letter[2] = { (char)(1 + random_next(seed) % 255), '\0' };

		if (random_next(seed) % 2)
			piece = letter;
		if (keep_utf8 && (!text_is_utf8(piece, strlen(piece)) ||
				  iscntrl((unsigned char)piece[0]) || strchr(piece, '\n')))
			continue;
		strcpy(text + used, piece);
		used += strlen(piece);
	}
	return text;
}

/* "cpu.max of " and the path, in the words of publish.h: bytes beyond printable ASCII as \xNN. */
static char *expected_limited_by(const char *path)
{
	char *text = calloc(1, 4 * strlen(path) + 16);
	size_t n = (size_t)sprintf(text, "cpu.max of ");

	for (; *path; path++) {
		unsigned char c = (unsigned char)*path;

		if (c >= 0x20 && c < 0x7f)
			text[n++] = *path;
		else
			n += (size_t)sprintf(text + n, "\\x%02x", c);
	}
	return text;
}

/* What a shell in an empty environment has in the variables once it has read the file, one a NUL.
 */
static char *shell_read(const char *name)
{
	char *argv[] = { (char[]){ "sh" },
			 (char[]){ "-c" },
			 (char[]){ ". ./\"$1\"; printf '%s\\0%s\\0%s\\0' \"$SIDECARD_LIMITED_BY\" "
				   "\"$EXTRA\" \"$LAST\"" },
			 (char[]){ "sh" },
			 (char *)(uintptr_t)name,
			 NULL };
	char *environment[] = { NULL }, *text = calloc(1, 1 << 16);
	size_t used = 0;
	ssize_t n;
	int fds[2], status;
	pid_t pid;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		dup2(fds[1], STDOUT_FILENO);
		execve("/bin/sh", argv, environment);
		_exit(127);
	}
	close(fds[1]);
	while ((n = read(fds[0], text + used, (1 << 16) - 1 - used)) > 0)
		used += (size_t)n;
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	return text;
}

static void check_pair(const struct pairs *pairs, size_t i, const char *key, const char *value)
{
	if (strcmp(pairs->keys[i], key) != 0 || strcmp(pairs->values[i], value) != 0)
		fail_msg("line %zu: %s='%s', expected %s='%s'", i, pairs->keys[i], pairs->values[i],
			 key, value);
}

static void systemd_and_a_shell_read_the_same(void **state)
{
	const struct fixture *fixture = *state;
	uint64_t seed = SEED;

	print_message("seed %#llx\n", (unsigned long long)seed);
	for (unsigned i = 0; i < 20000; i++) {
		struct plan_workload workload = fixture->placements->items[i % N_PLACEMENTS];
		char *path = random_text(&seed, 60, false), *value = random_text(&seed, 60, true);
		char *items[2] = { NULL, (char[]){ "LAST=here" } };
		struct strings extra = { items, 2 };
		struct pairs pairs = { 0 };
		char *expected = expected_limited_by(path), *text;

		assert_true(asprintf(&items[0], "EXTRA=%s", value) > 0);
		workload.limited_by_path = path;
		text = env_format(&workload, i, &extra);
		assert_true(text_is_utf8(text, strlen(text)));
		systemd_read(text, &pairs);
		assert_int_equal(pairs.n_pairs, 14);
		check_pair(&pairs, 11, "SIDECARD_LIMITED_BY", expected);
		check_pair(&pairs, 12, "EXTRA", value);
		check_pair(&pairs, 13, "LAST", "here");
		/* Some by a real shell: it takes a thousand times as long. */
		if (i % 200 == 0) {
			char *read, *at;

			assert_int_equal(env_write(fixture->dirfd, &workload, i, &extra, NULL), 0);
			at = read = shell_read("envoy.env");
			assert_string_equal(at, expected);
			at += strlen(at) + 1;
			assert_string_equal(at, value);
			at += strlen(at) + 1;
			assert_string_equal(at, "here");
			free(read);
		}
		pairs_done(&pairs);
		free(text);
		free(expected);
		free(path);
		free(value);
		free(items[0]);
	}
}

/* ---- the file ---- */

static unsigned count_entries(void)
{
	DIR *dir = opendir(".");
	struct dirent *entry;
	unsigned n = 0;

	while ((entry = readdir(dir)))
		n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	closedir(dir);
	return n;
}

static void a_file_is_replaced_whole(void **state)
{
	const struct fixture *fixture = *state;
	mode_t mask = umask(077);
	struct stat status;
	char *text;
	int old;

	assert_int_equal(env_write(fixture->dirfd, &fixture->placements->items[1], 1, NULL, NULL),
			 0);
	old = open("envoy.env", O_RDONLY | O_CLOEXEC);
	assert_int_equal(env_write(fixture->dirfd, &fixture->placements->items[2], 2, NULL, NULL),
			 0);
	umask(mask);
	assert_int_equal(fstat(old, &status), 0);
	assert_int_equal(status.st_nlink, 0);
	assert_int_equal(status.st_mode & 07777, 0644);
	close(old);
	text = read_text("envoy.env");
	assert_ptr_equal(strstr(text, "SIDECARD_GENERATION=2\n"), text);
	free(text);
	assert_int_equal(count_entries(), 1);
	assert_int_equal(env_remove(fixture->dirfd, "envoy"), 0);
	assert_int_equal(env_remove(fixture->dirfd, "envoy"), 0);
	assert_int_equal(env_remove(fixture->dirfd, "../x"), -EINVAL);
	assert_int_equal(count_entries(), 0);
}

/* A limit on the size of files stands in for a full disk: the write fails after some bytes. */
static void a_failed_write_leaves_the_old_file(void **state)
{
	const struct fixture *fixture = *state;
	const struct rlimit small = { 100, RLIM_INFINITY }, none = { RLIM_INFINITY, RLIM_INFINITY };
	struct fault fault = { 0 };
	char *before, *after;
	int r;

	assert_int_equal(env_write(fixture->dirfd, &fixture->placements->items[1], 1, NULL, NULL),
			 0);
	before = read_text("envoy.env");
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	r = env_write(fixture->dirfd, &fixture->placements->items[2], 2, NULL, &fault);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	signal(SIGXFSZ, SIG_DFL);
	assert_int_equal(r, -EFBIG);
	assert_non_null(strstr(fault.text, "envoy.env"));
	after = read_text("envoy.env");
	assert_string_equal(before, after);
	assert_int_equal(count_entries(), 1);
	free(before);
	free(after);
}

static void what_has_the_name_is_replaced_not_followed(void **state)
{
	const struct fixture *fixture = *state;
	struct fault fault = { 0 };
	struct stat status;

	assert_int_equal(symlink("outside", "envoy.env"), 0);
	assert_int_equal(env_write(fixture->dirfd, &fixture->placements->items[1], 1, NULL, NULL),
			 0);
	assert_int_equal(lstat("envoy.env", &status), 0);
	assert_true(S_ISREG(status.st_mode));
	assert_int_equal(access("outside", F_OK), -1);
	assert_int_equal(unlink("envoy.env"), 0);
	assert_int_equal(mkdir("envoy.env", 0755), 0);
	assert_int_equal(env_write(fixture->dirfd, &fixture->placements->items[1], 1, NULL, &fault),
			 -EISDIR);
	assert_non_null(strstr(fault.text, "envoy.env"));
	assert_int_equal(count_entries(), 1);
}

static void an_unsound_name_is_no_path(void **state)
{
	const struct fixture *fixture = *state;
	static const char *const names[] = { "../x", "a/b", "", ".", "a\nb", "A" };

	for (size_t i = 0; i < N_ELEMENTS(names); i++) {
		struct plan_workload workload = fixture->placements->items[1];
		struct workload conf = *workload.conf;

		conf.name = (char *)(uintptr_t)names[i];
		workload.conf = &conf;
		assert_int_equal(env_write(fixture->dirfd, &workload, 1, NULL, NULL), -EINVAL);
	}
	assert_int_equal(count_entries(), 0);
}

static void half_made_files_are_swept(void **state)
{
	const struct fixture *fixture = *state;
	char own[32];

	close(open(".new.1.0", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	close(open("x.env", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	assert_int_equal(mkdir(".new.2.0", 0755), 0);
	file_sweep(fixture->dirfd);
	assert_int_equal(count_entries(), 2);
	/* A name that is taken is passed by. */
	snprintf(own, sizeof(own), ".new.%d.0", (int)getpid());
	assert_int_equal(mkdir(own, 0755), 0);
	assert_int_equal(env_write(fixture->dirfd, &fixture->placements->items[1], 1, NULL, NULL),
			 0);
	assert_int_equal(count_entries(), 4);
}

#define ENV_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_reader_follows_the_manual),
		ENV_TEST(every_line_is_there),
		ENV_TEST(extra_lines_stay_in_their_place),
		ENV_TEST(systemd_and_a_shell_read_the_same),
		ENV_TEST(a_file_is_replaced_whole),
		ENV_TEST(a_failed_write_leaves_the_old_file),
		ENV_TEST(what_has_the_name_is_replaced_not_followed),
		ENV_TEST(an_unsound_name_is_no_path),
		ENV_TEST(half_made_files_are_swept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
