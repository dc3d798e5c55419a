/* Stands between the daemon and its applier, and does something at one place of their talk: the
 * file "kill" beside this program says "before VERB" or "after VERB" (the daemon is killed with
 * SIGKILL) or "meddle VERB" (somebody else writes the cgroup's set, and the answer comes later than
 * what tells of that). The number is that of the verb whose first request is meant. Everything else
 * passes through. */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "apply/apply_message.h"

#define FRONT_FD 3 /* as applier_start() has it */

/* @file in the directory of this program. */
static bool path_beside(const char *file, char path[static 4096])
{
	ssize_t n = readlink("/proc/self/exe", path, 4095);
	char *slash;

	path[n > 0 ? n : 0] = '\0';
	slash = strrchr(path, '/');
	if (!slash)
		return false;
	snprintf(slash + 1, 4096 - (size_t)(slash + 1 - path), "%s", file);
	return true;
}

static void read_order(char when[static 16], unsigned *verb)
{
	char path[4096];
	FILE *file;

	when[0] = '\0';
	file = path_beside("kill", path) ? fopen(path, "re") : NULL;
	if (!file)
		return;
	if (fscanf(file, "%15s %u", when, verb) != 2)
		when[0] = '\0';
	fclose(file);
}

static int start_applier(char **argv)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) < 0)
		return -1;
	if (fork() == 0) {
		int fd = dup2(fds[1], FRONT_FD);

		close(fds[0]);
		close(fds[1]);
		if (fd >= 0)
			execv(SIDECARD_APPLY, argv);
		_exit(127);
	}
	close(fds[1]);
	return fds[0];
}

static void meddle(void)
{
	/* Long enough for the daemon to hear of the write before it hears of its own. */
	const struct timespec wait = { .tv_nsec = 200000000 };
	char path[4096];
	FILE *file = path_beside("../cgroup/pod/cpuset.cpus", path) ? fopen(path, "we") : NULL;

	if (file) {
		fputs("0-8191\n", file);
		fclose(file);
	}
	nanosleep(&wait, NULL);
}

static void kill_front(void)
{
	kill(getppid(), SIGKILL);
	_exit(0);
}

int main(int argc, char **argv)
{
	unsigned verb = 0;
	char when[16];
	int applier_fd;

	(void)argc;
	read_order(when, &verb);
	applier_fd = start_applier(argv);
	for (;;) {
		struct apply_request request;
		struct apply_answer answer;

		if (recv(FRONT_FD, &request, sizeof(request), 0) != sizeof(request))
			return 0;
		if (strcmp(when, "before") == 0 && request.verb == verb)
			kill_front();
		if (send(applier_fd, &request, sizeof(request), MSG_NOSIGNAL) < 0 ||
		    recv(applier_fd, &answer, sizeof(answer), 0) != sizeof(answer))
			return 1;
		if (strcmp(when, "after") == 0 && request.verb == verb)
			kill_front();
		if (strcmp(when, "meddle") == 0 && request.verb == verb) {
			meddle();
			when[0] = '\0';
		}
		if (send(FRONT_FD, &answer, sizeof(answer), MSG_NOSIGNAL) < 0)
			return 0;
	}
}
