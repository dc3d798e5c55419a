/* Processes of other users, between sense and the applier: which executable they run is asked of
 * the applier, since the front has no capability; and the sockets that the service manager hands
 * over, one of which tells of new processes. */
#include "daemon_internal.h"

#include <errno.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#include "base/log.h"

/* How long the first publication waits for answers of the applier: without them a process that a
 * workload matches by its executable has no place yet, and its number would jump. */
#define FIRST_LATEST_US (500 * UINT64_C(1000))

/* By what they are, not by their order: sidecard.socket and sidecard-procs.socket come alone or
 * together. */
void listen_take(struct daemon *daemon)
{
	int n = sd_listen_fds(1);

	daemon->listen_fd = -1;
	for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + n; fd++)
		if (sd_is_socket(fd, AF_NETLINK, 0, -1) > 0)
			daemon->proc_events_fd = fd;
		else if (daemon->listen_fd < 0 && sd_is_socket(fd, AF_UNIX, SOCK_STREAM, 1) > 0)
			daemon->listen_fd = fd;
		else
			log_line(LOG_WARNING, "a socket that was handed over is of no use here, "
					      "ignoring");
}

int procs_identify(void *userdata, pid_t pid, uint64_t start_time)
{
	struct daemon *daemon = userdata;

	return daemon->apply ? apply_identify(daemon->apply, pid, start_time) : -ENOTSUP;
}

void procs_identified(void *userdata, pid_t pid, uint64_t start_time, const char *executable)
{
	struct daemon *daemon = userdata;

	world_identified(daemon->world, pid, start_time, executable);
	if (!world_is_identified(daemon->world))
		return;
	if (!daemon->started)
		round_begin(daemon);
	else if (daemon->sweep_waits || !daemon->is_ready)
		round_want(daemon);
}

void procs_first_round(struct daemon *daemon)
{
	if (world_is_identified(daemon->world))
		round_begin(daemon);
	else
		round_want_in(daemon, FIRST_LATEST_US);
}
