/* What a shell cannot see; compiled in the guest against the installed header and library, as any
 * program that reads its page would be.
 *
 * observe page NAME      the live page as KEY=VALUE lines
 * observe writes FILE    one line on stdout for each write to FILE (of any length, also one that
 *                        changes nothing) until it is killed */
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <sidecard.h>

static int show_page(const char *name)
{
	const struct sidecard_page *page;
	struct sidecard_answer answer;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "/run/sidecard/live/%s", name);
	page = sidecard_open(path);
	if (!page) {
		perror(path);
		return 1;
	}
	sidecard_page_read(page, &answer);
	printf("GENERATION=%llu\nPARALLELISM=%u\nN_PU=%u\nLIMITED_BY=%s\n",
	       (unsigned long long)answer.generation, answer.parallelism, answer.n_pu,
	       answer.limited_by);
	if (answer.quota_mcpu == UINT32_MAX)
		puts("QUOTA_MCPU=max");
	else
		printf("QUOTA_MCPU=%u\n", answer.quota_mcpu);
	sidecard_close(page);
	return 0;
}

static int tell_writes(const char *file)
{
	int fd = inotify_init1(IN_CLOEXEC);
	char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));

	if (fd < 0 || inotify_add_watch(fd, file, IN_MODIFY) < 0) {
		perror(file);
		return 1;
	}
	puts("watching");
	fflush(stdout);
	for (;;) {
		ssize_t n = read(fd, events, sizeof(events));

		if (n <= 0)
			return 1;
		puts("written");
		fflush(stdout);
	}
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "page") == 0)
		return show_page(argv[2]);
	if (argc == 3 && strcmp(argv[1], "writes") == 0)
		return tell_writes(argv[2]);
	fputs("usage: observe page NAME | observe writes FILE\n", stderr);
	return 2;
}
