/* Starts the applier: a socketpair, a fork, an execve with nothing inherited but the socket as
 * descriptor 3, standard output and standard error. */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "apply/apply.h"
#include "base/cleanup.h"

#define APPLIER_FD 3

/* Above every descriptor that the child rearranges. */
#define ASIDE_FD 16

#define N_ARGUMENTS_MAX 10

static void build_arguments(const struct applier_options *options, const char **argv)
{
	size_t n = 0;

	argv[n++] = "sidecard-apply";
	argv[n++] = "--fd";
	argv[n++] = "3";
	if (options->cgroup_root) {
		argv[n++] = "--cgroup-root";
		argv[n++] = options->cgroup_root;
	}
	if (options->use_bus)
		argv[n++] = "--bus";
	if (options->use_bus && options->bus_address) {
		argv[n++] = "--bus-address";
		argv[n++] = options->bus_address;
	}
	if (options->may_inspect)
		argv[n++] = "--inspect";
	argv[n] = NULL;
}

/* In the child, between fork and exec: nothing but system calls. Returns only on failure: errno. */
static int become_applier(const char *path, const char **argv, int fd)
{
	static char *const environment[] = { NULL };
	/* The end is the front's to say: it may still restore while systemd or a terminal signals
	 * the whole group. What is ignored stays so over an exec. */
	static const int ignored[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT };
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t none;

	for (size_t i = 0; i < N_ELEMENTS(ignored); i++)
		signal(ignored[i], SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(fd, APPLIER_FD) < 0 ||
	    syscall(SYS_close_range, APPLIER_FD + 1, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		return errno;
	execve(path, (char *const *)argv, environment);
	return errno;
}

/* The child's errno through a pipe that a successful exec closes. 0 where it was executed. */
static int read_error(int pipe_fd)
{
	int error = 0;
	ssize_t n;

	do
		n = read(pipe_fd, &error, sizeof(error));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno;
	return n == sizeof(error) ? error : 0;
}

static void reap(pid_t pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

int applier_start(const struct applier_options *options, int *ret_fd, pid_t *ret_pid,
		  struct fault *fault)
{
	const char *argv[N_ARGUMENTS_MAX];
	int fds[2], pipe_fds[2];
	cleanup(close_fdp) int ours = -1, theirs = -1, error_read = -1, error_write = -1;
	cleanup(close_fdp) int theirs_aside = -1, error_aside = -1;
	pid_t pid;
	int error;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return fault_set(fault, -errno, "cannot make a socket for the applier: %s",
				 strerror(errno));
	ours = fds[0];
	theirs = fds[1];
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return fault_set(fault, -errno, "cannot make a pipe for the applier: %s",
				 strerror(errno));
	error_read = pipe_fds[0];
	error_write = pipe_fds[1];
	theirs_aside = fcntl(theirs, F_DUPFD_CLOEXEC, ASIDE_FD);
	error_aside = fcntl(error_write, F_DUPFD_CLOEXEC, ASIDE_FD);
	if (theirs_aside < 0 || error_aside < 0 || fcntl(ours, F_SETFL, O_NONBLOCK) < 0)
		return fault_set(fault, -errno, "cannot set up descriptors for the applier: %s",
				 strerror(errno));
	build_arguments(options, argv);
	pid = fork();
	if (pid < 0)
		return fault_set(fault, -errno, "cannot fork for the applier: %s", strerror(errno));
	if (pid == 0) {
		error = become_applier(options->path, argv, theirs_aside);
		_exit(write(error_aside, &error, sizeof(error)) == sizeof(error) ? 127 : 126);
	}
	/* Ours to close now, or the pipe would never end. */
	close_fdp(&error_aside);
	error_aside = -1;
	close_fdp(&error_write);
	error_write = -1;
	error = read_error(error_read);
	if (error) {
		reap(pid);
		return fault_set(fault, -error, "cannot execute '%s': %s", options->path,
				 strerror(error));
	}
	*ret_fd = TAKE_FD(ours);
	*ret_pid = pid;
	return 0;
}
