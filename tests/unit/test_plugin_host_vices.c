/* A plugin that does what no plugin may, for test_plugin_host.c: its key "vice" says what. As
 * "late" it misbehaves while it is loaded already. */
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "plugin_api.h"

#ifdef VICE_LATE
#define NAME "late"

/* Never returns: the host is ended in dlopen(). */
__attribute__((constructor)) static void hang(void)
{
	for (;;)
		pause();
}
#else
#define NAME "vicious"
#endif

static int hold_memory(const struct sidecard_sink *sink)
{
	size_t n = 0;

	/* What is got is used; beyond the limit there is none. */
	for (; n < 1024; n++) {
		char *megabyte = malloc(1u << 20);

		if (!megabyte)
			break;
		memset(megabyte, 1, 1u << 20);
	}
	return sidecard_variable_uint(sink, "HELD", n >= 1024);
}

/* Whatever of it works is told. */
static int escape(const struct sidecard_sink *sink)
{
	int fd = open("/tmp/sidecard-plugin-was-here", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	int r = sidecard_variable_uint(sink, "WROTE", fd >= 0);
	char program[] = "/bin/true", *argv[] = { program, NULL };

	if (fd >= 0) {
		unlink("/tmp/sidecard-plugin-was-here");
		close(fd);
	}
	if (r < 0)
		return r;
	/* Where it works nobody is left to answer. */
	execve("/bin/true", argv, argv + 1);
	return sidecard_variable_uint(sink, "EXECUTED", 0);
}

static int environment(const struct sidecard_request *request, const struct sidecard_sink *sink)
{
	const char *vice = sidecard_setting(request, "vice");
	static const char noise[] = "{\"id\":1,\"proposals\":[]}\n";

	if (strcmp(vice, "hang") == 0)
		for (;;)
			pause();
	if (strcmp(vice, "crash") == 0)
		raise(SIGSEGV);
	if (strcmp(vice, "exit") == 0)
		_exit(0);
	if (strcmp(vice, "memory") == 0)
		return hold_memory(sink);
	if (strcmp(vice, "escape") == 0)
		return escape(sink);
	if (strcmp(vice, "print") == 0 && puts("some words") != EOF && fflush(stdout) == 0)
		return sidecard_variable_uint(sink, "PRINTED", 1);
	/* Every descriptor that it finds: the answer is no answer, or another question's. */
	for (int fd = 3; strcmp(vice, "forge") == 0 && fd < 16; fd++)
		if (write(fd, noise, sizeof(noise) - 1) < 0)
			continue;
	if (strcmp(vice, "bytes") == 0)
		return sink->variable(sink->userdata, "BYTES", "\xff\xfe");
	if (strcmp(vice, "linker") == 0)
		return sink->variable(sink->userdata, "LD_PRELOAD", "/x");
	return sidecard_variable_uint(sink, "GOOD", request->placement->parallelism);
}

static const struct sidecard_key keys[] = {
	{ .name = "vice",
	  .type = SIDECARD_KEY_TEXT,
	  .most = 32,
	  .value = "",
	  .help = "What it does." },
};

static const struct sidecard_live lives[] = {
	{ .what = "the number of threads" },
};

SIDECARD_PLUGIN_EXPORT const struct sidecard_plugin sidecard_plugin = {
	.api_version = SIDECARD_PLUGIN_API_VERSION,
	.size = sizeof(sidecard_plugin),
	.name = NAME,
	.version = "1",
	.runtime = "none",
	.rounding = SIDECARD_ROUND_UP,
	.modes = SIDECARD_MODE_FIXED,
	.overcommit_permille = 1000,
	.keys = SIDECARD_TABLE(keys),
	.lives = SIDECARD_TABLE(lives),
	.environment = environment,
};
