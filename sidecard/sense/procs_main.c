/* sidecard-procs listen|ignore: switches the kernel's process events on or off. Before Linux 6.6
 * there is one switch for everybody, and only CAP_NET_ADMIN may move it; the service manager runs
 * this for sidecard-procs.socket, so that the daemon needs no such capability. Later kernels let
 * each listener ask for himself (and count a request like ours for ever): there this does nothing
 * (drivers/connector/cn_proc.c). */
#include <errno.h>
#include <linux/capability.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/sys.h"

/* May anybody listen? What is tried without the capability tells it without leaving a trace. 1, 0
 * or -errno. */
static int everybody_may_listen(int fd)
{
	const struct sockaddr_nl group = { .nl_family = AF_NETLINK, .nl_groups = CN_IDX_PROC };
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct had[2] = { 0 }, without[2];
	int r;

	if (syscall(SYS_capget, &header, had) < 0)
		return -errno;
	memcpy(without, had, sizeof(without));
	without[0].effective &= ~(1u << CAP_NET_ADMIN);
	if (syscall(SYS_capset, &header, without) < 0)
		return -errno;
	r = bind(fd, (const struct sockaddr *)&group, sizeof(group)) == 0;
	return syscall(SYS_capset, &header, had) < 0 ? -errno : r;
}

static int move_switch(bool listens)
{
	cleanup(close_fdp) int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC,
					   NETLINK_CONNECTOR);
	struct sys sys;
	int r;

	if (fd < 0)
		return -errno;
	r = everybody_may_listen(fd);
	if (r != 0)
		return r < 0 ? r : 0;
	r = sys_linux_open("/proc", &sys);
	if (r < 0)
		return r;
	r = listens ? sys.proc_events_listen(&sys, fd) : sys.proc_events_ignore(&sys, fd);
	sys_linux_close(&sys);
	return r;
}

int main(int argc, char **argv)
{
	bool listens = argc == 2 && strcmp(argv[1], "listen") == 0;
	int r;

	if (!listens && (argc != 2 || strcmp(argv[1], "ignore") != 0)) {
		fputs("usage: sidecard-procs listen|ignore\n", stderr);
		return 2;
	}
	r = move_switch(listens);
	if (r == 0)
		return EXIT_SUCCESS;
	fprintf(stderr, "sidecard-procs: the kernel's process events cannot be switched: %s\n",
		strerror(-r));
	return EXIT_FAILURE;
}
