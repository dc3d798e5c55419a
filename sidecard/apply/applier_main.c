/* sidecard-apply: the small privileged process. Reads requests from the socket that it was started
 * with, does them one after the other, answers each, and ends with the socket. What it did stays.
 * It may block in a kernel write as long as that takes: nobody but the front waits for it. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "apply/applier.h"
#include "base/cleanup.h"
#include "base/log.h"

struct arguments {
	int fd;
	const char *cgroup_root, *bus_address;
	bool use_bus, may_inspect;
};

static int parse_arguments(int argc, char **argv, struct arguments *arguments)
{
	static const struct option options[] = {
		{ "fd", required_argument, NULL, 'f' },
		{ "cgroup-root", required_argument, NULL, 'c' },
		{ "bus", no_argument, NULL, 'b' },
		{ "bus-address", required_argument, NULL, 'a' },
		{ "inspect", no_argument, NULL, 'i' },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (option == 'f' && optarg[0] >= '3' && optarg[0] <= '9' && !optarg[1])
			arguments->fd = optarg[0] - '0';
		else if (option == 'c')
			arguments->cgroup_root = optarg;
		else if (option == 'a')
			arguments->bus_address = optarg;
		else if (option == 'b')
			arguments->use_bus = true;
		else if (option == 'i')
			arguments->may_inspect = true;
		else
			return -EINVAL;
	}
	return arguments->fd < 0 || optind < argc ? -EINVAL : 0;
}

/* Keeps CAP_SYS_NICE (binding other users' threads), and CAP_SYS_PTRACE only where other users'
 * processes are to be told by their executable or their pages moved. uid 0 needs nothing to write
 * its own files below cgroupfs and /run, or to talk to PID 1. Nothing can come back: no_new_privs,
 * and this process executes nothing. */
static int drop_privileges(bool may_inspect, struct fault *fault)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct had[2] = { 0 }, kept[2] = { 0 };
	uint32_t wanted = 1u << CAP_SYS_NICE | (may_inspect ? 1u << CAP_SYS_PTRACE : 0);

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_capget, &header, had) < 0)
		return fault_set(fault, -errno, "cannot look at privileges: %s", strerror(errno));
	kept[0].permitted = kept[0].effective = had[0].permitted & wanted;
	if (syscall(SYS_capset, &header, kept) < 0)
		return fault_set(fault, -errno, "cannot drop privileges: %s", strerror(errno));
	return 0;
}

static int open_roots(const struct arguments *arguments, struct applier *applier,
		      struct fault *fault)
{
	applier->system_fd = open("/sys/devices/system", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (applier->system_fd < 0)
		return fault_set(fault, -errno, "cannot open devices of sysfs: %s",
				 strerror(errno));
	/* Not there without systemd: then there are no drop-ins either. */
	applier->manager_fd = open("/run/systemd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (!arguments->cgroup_root)
		return 0;
	applier->root_fd = open(arguments->cgroup_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (applier->root_fd < 0)
		return fault_set(fault, -errno, "cannot open the cgroup root '%s': %s",
				 arguments->cgroup_root, strerror(errno));
	applier->root_is_cgroup2 = applier->calls->is_cgroup2(applier->root_fd);
	return 0;
}

/* Until the socket ends: 0. */
static int serve(struct applier *applier, struct fault *fault)
{
	for (;;) {
		struct apply_request request;
		struct apply_answer answer;
		/* MSG_TRUNC: the true length, so that a longer message is not taken for a whole
		 * one. */
		ssize_t n = recv(applier->front_fd, &request, sizeof(request), MSG_TRUNC);

		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fault_set(fault, -errno, "cannot receive from the front: %s",
					 strerror(errno));
		applier_handle(applier, &request, (size_t)n, &answer);
		do
			n = send(applier->front_fd, &answer, sizeof(answer), MSG_NOSIGNAL);
		while (n < 0 && errno == EINTR);
		if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
			return 0;
		if (n < 0)
			return fault_set(fault, -errno, "cannot answer the front: %s",
					 strerror(errno));
	}
}

static int run(const struct arguments *arguments, struct fault *fault)
{
	struct sys sys;
	struct applier applier = {
		.sys = &sys,
		.calls = &applier_calls_linux,
		.root_fd = -1,
		.system_fd = -1,
		.manager_fd = -1,
		.front_fd = arguments->fd,
		.pid = getpid(),
		.use_bus = arguments->use_bus || arguments->bus_address,
		.bus_address = arguments->bus_address,
	};
	int r = sys_linux_open("/proc", &sys);

	if (r < 0)
		return fault_set(fault, r, "cannot open procfs: %s", strerror(-r));
	r = open_roots(arguments, &applier, fault);
	if (r == 0)
		r = applier_init(&applier, fault);
	if (r == 0)
		r = drop_privileges(arguments->may_inspect, fault);
	if (r == 0)
		r = serve(&applier, fault);
	applier_done(&applier);
	close_fdp(&applier.root_fd);
	close_fdp(&applier.manager_fd);
	close_fdp(&applier.system_fd);
	sys_linux_close(&sys);
	return r;
}

int main(int argc, char **argv)
{
	struct arguments arguments = { .fd = -1 };
	struct fault fault;

	log_init("sidecard-apply", LOG_INFO);
	if (parse_arguments(argc, argv, &arguments) < 0) {
		log_line(LOG_ERR,
			 "started by sidecard, not by hand: --fd N [--cgroup-root DIR] [--bus]"
			 " [--bus-address ADDRESS] [--inspect]");
		return EXIT_FAILURE;
	}
	if (run(&arguments, &fault) < 0) {
		log_line(LOG_ERR, "%s", fault.text);
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
