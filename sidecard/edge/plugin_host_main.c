/* sidecard-plugin-host: the one process in which plugins run, so that one that hangs, crashes,
 * leaks or lies harms nobody. Reads questions from standard input, a line each, and answers each
 * with a line on standard output (plugin_wire.h); ends with its input. The front kills it where an
 * answer stays out.
 *
 *   sidecard-plugin-host [DIRECTORY]     where the plugins are
 */
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
#include "edge/plugin_host.h"
#include "edge/plugin_wire.h"

/* gcc says it by a macro, clang by a feature. */
#if defined(__has_feature)
#define HAS_ADDRESS_SANITIZER __has_feature(address_sanitizer)
#elif defined(__SANITIZE_ADDRESS__)
#define HAS_ADDRESS_SANITIZER 1
#else
#define HAS_ADDRESS_SANITIZER 0
#endif

/* libc, jansson and two dozen plugins take 20 MiB of addresses. */
#define ADDRESS_SPACE_BYTES (256ull << 20)

static void limit(int resource, rlim_t value)
{
	struct rlimit limit;

	if (getrlimit((__rlimit_resource_t)resource, &limit) < 0)
		return;
	if (limit.rlim_max != RLIM_INFINITY && value > limit.rlim_max)
		value = limit.rlim_max;
	limit = (struct rlimit){ value, value };
	setrlimit((__rlimit_resource_t)resource, &limit);
}

/* As in sidecard-probe: from here on no file is written, made or run; executing a program is what
 * would be left of a fork, and a process of root's may fork beyond RLIMIT_NPROC. A kernel without
 * Landlock (landlock(7), Linux 5.13) goes on without. */
static int confine(void)
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

	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_NOFILE, 64);
	limit(RLIMIT_NPROC, 0);
#if !HAS_ADDRESS_SANITIZER /* which reserves terabytes of addresses */
	limit(RLIMIT_AS, ADDRESS_SPACE_BYTES);
#endif
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	rules = (int)syscall(SYS_landlock_create_ruleset, &denied, sizeof(denied), 0);
	if (rules >= 0 && syscall(SYS_landlock_restrict_self, rules, 0) < 0)
		return -errno;
	return 0;
}

struct channel {
	FILE *in, *out;
};

/* Takes standard input and output for ourselves: what a plugin prints goes nowhere. */
static int channel_open(struct channel *ret_channel)
{
	int in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	int out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (in < 0 || out < 0 || null < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(null, STDOUT_FILENO) < 0)
		return -errno;
	close(null);
	ret_channel->in = fdopen(in, "r");
	ret_channel->out = fdopen(out, "w");
	return ret_channel->in && ret_channel->out ? 0 : -ENOMEM;
}

/* One line each way. 0, or -EIO: nobody listens any more, or memory is short. */
static int answer_line(struct plugin_shelf *shelf, const char *line, size_t n_line, FILE *out)
{
	json_error_t error;
	json_t *question = json_loadb(line, n_line, 0, &error);
	json_t *answer = question ? plugin_shelf_answer(shelf, question) : NULL;
	int r = -EIO;

	/* So that the front can tell an answer from one to an earlier question. */
	if (answer && json_object_set(answer, "id", json_object_get(question, "id")) == 0 &&
	    json_dumpf(answer, out, JSON_COMPACT) == 0 && putc('\n', out) != EOF &&
	    fflush(out) == 0)
		r = 0;
	json_decref(answer);
	json_decref(question);
	return r;
}

int main(int argc, char **argv)
{
	struct plugin_shelf shelf = { .directory = argc > 1 ? argv[1] : NULL };
	struct channel channel = { 0 };
	char *line = NULL;
	size_t room = 0;
	ssize_t n;
	int r = channel_open(&channel);

	if (r == 0)
		r = confine();
	while (r == 0 && (n = getline(&line, &room, channel.in)) > 0) {
		/* With nobody left who would kill us. Per question: a host lives long. */
		alarm(2 * PLUGIN_DEADLINE_MS / 1000);
		r = answer_line(&shelf, line, (size_t)n, channel.out);
		alarm(0);
	}
	free(line);
	plugin_shelf_done(&shelf);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
