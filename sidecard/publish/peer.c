#include "publish/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"

/* Linux 6.5, include/uapi/asm-generic/socket.h; Debian 12's headers are older. */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

#define GROUP_NAME "sidecard"

/* /proc/PID/stat: 52 numbers of at most 20 digits, and a name of at most 64 bytes. */
#define STAT_SIZE 2048
/* /proc/PID/status: the lists of allowed PUs and of groups are what makes it long. Longer ones are
 * refused. */
#define STATUS_SIZE 65536
/* user_namespaces(7): up to 340 lines in each map. Ours and a privileged peer's are a few bytes;
 * longer ones are refused. */
#define MAP_SIZE 4096
/* NGROUPS_MAX of Linux, limits.h */
#define N_GROUPS_MAX 65536

/* Reads @file of the process that @process names, a number. malloc'ed; NULL where it cannot be read
 * whole. */
static char *process_file(const struct sys *sys, const char *process, const char *file, size_t size)
{
	cleanup(freep) char *text = malloc(size);
	char path[64];
	ssize_t n;
	int fd;

	if (!text)
		return NULL;
	snprintf(path, sizeof(path), "%s/%s", process, file);
	fd = sys->open(sys, sys->proc_fd, path, O_RDONLY);
	if (fd < 0)
		return NULL;
	n = sys->read(sys, fd, text, size);
	sys->close(sys, fd);
	return n < 0 ? NULL : TAKE_PTR(text);
}

/* The three maps as one text. In a user namespace of its own a process has other ones, but for a
 * namespace that somebody privileged mapped one to one; those leave projid_map empty (systemd's
 * PrivateUsers=, container runtimes), which the first namespace never has. */
static char *id_maps_read(const struct sys *sys, const char *process)
{
	cleanup(freep) char *uids = process_file(sys, process, "uid_map", MAP_SIZE);
	cleanup(freep) char *gids = process_file(sys, process, "gid_map", MAP_SIZE);
	cleanup(freep) char *projids = process_file(sys, process, "projid_map", MAP_SIZE);
	char *maps;

	if (!uids || !gids || !projids || asprintf(&maps, "%s|%s|%s", uids, gids, projids) < 0)
		return NULL;
	return maps;
}

static ssize_t namespace_read(const struct sys *sys, const char *process, const char *kind,
			      char *ret_name, size_t size)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/ns/%s", process, kind);
	return sys->read_link(sys, sys->proc_fd, path, ret_name, size);
}

static void rules_read_group(struct peer_rules *rules)
{
	char buffer[16384]; /* a group's members; one with more is taken for not there */
	struct group group, *found = NULL;

	if (getgrnam_r(GROUP_NAME, &group, buffer, sizeof(buffer), &found) != 0 || !found)
		return;
	rules->has_group = true;
	rules->group_gid = found->gr_gid;
}

void peer_rules_open(const struct sys *sys, struct peer_rules *ret_rules)
{
	struct peer_rules rules = { .sys = sys, .own_uid = geteuid() };
	char self[32];

	rules_read_group(&rules);
	/* "self" must be the number that we know ourselves by: in a procfs of another PID namespace
	 * the numbers of our peers are those of strangers. */
	if (sys->read_link(sys, sys->proc_fd, "self", self, sizeof(self)) > 0 &&
	    strtol(self, NULL, 10) == getpid() &&
	    namespace_read(sys, self, "pid", rules.pid_namespace, sizeof(rules.pid_namespace)) >
		    0 &&
	    namespace_read(sys, self, "user", rules.user_namespace, sizeof(rules.user_namespace)) >
		    0) {
		rules.has_namespaces = true;
		rules.id_maps = id_maps_read(sys, self);
	}
	*ret_rules = rules;
}

void peer_rules_done(struct peer_rules *rules)
{
	free(rules->id_maps);
	*rules = (struct peer_rules){ 0 };
}

int peer_parse_start_time(const char *stat, uint64_t *ret_start_time)
{
	const char *at = strrchr(stat, ')');
	uint64_t start_time;
	char *end;

	/* proc_pid_stat(5): the name is field 2, start time field 22; one blank before each. */
	for (unsigned field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	if (!at || at[1] < '0' || at[1] > '9')
		return -EINVAL;
	errno = 0;
	start_time = strtoull(at + 1, &end, 10);
	if (errno != 0 || (*end != ' ' && *end != '\n' && *end != '\0'))
		return -EINVAL;
	*ret_start_time = start_time;
	return 0;
}

static int start_time_read(const struct sys *sys, pid_t pid, uint64_t *ret_start_time)
{
	cleanup(freep) char *stat = NULL;
	char process[32];

	snprintf(process, sizeof(process), "%lld", (long long)pid);
	stat = process_file(sys, process, "stat", STAT_SIZE);
	return stat ? peer_parse_start_time(stat, ret_start_time) : -ESRCH;
}

/* "NSpid:\t123\n": one number means that the process has no PID namespace below that of procfs,
 * ours (proc_pid_status(5)). */
static bool status_has_one_pid(const char *status)
{
	const char *at = strstr(status, "\nNSpid:");

	if (!at)
		return false;
	at += strlen("\nNSpid:");
	at += strspn(at, " \t");
	at += strspn(at, "0123456789");
	return *at == '\n';
}

/* For a process whose links are closed to us: they need ptrace rights, and we have no capability
 * while root's own shell has them all (kernel: security/commoncap.c, cap_ptrace_access_check). What
 * these files say is open to everybody. */
static bool tables_are_ours(const struct peer_rules *rules, const char *process)
{
	cleanup(freep) char *status = process_file(rules->sys, process, "status", STATUS_SIZE);
	cleanup(freep) char *maps = id_maps_read(rules->sys, process);

	return status && maps && rules->id_maps && status_has_one_pid(status) &&
	       strcmp(maps, rules->id_maps) == 0;
}

bool peer_is_in_our_namespaces(const struct peer_rules *rules, pid_t pid)
{
	char process[32], of_pids[64], of_users[64];
	ssize_t n_pids, n_users;

	if (!rules->has_namespaces || pid <= 0)
		return false;
	snprintf(process, sizeof(process), "%lld", (long long)pid);
	n_pids = namespace_read(rules->sys, process, "pid", of_pids, sizeof(of_pids));
	n_users = namespace_read(rules->sys, process, "user", of_users, sizeof(of_users));
	if (n_pids > 0 && n_users > 0)
		return strcmp(of_pids, rules->pid_namespace) == 0 &&
		       strcmp(of_users, rules->user_namespace) == 0;
	if ((n_pids == -EACCES || n_pids == -EPERM) && (n_users == -EACCES || n_users == -EPERM))
		return tables_are_ours(rules, process);
	return false;
}

bool peer_may_change(const struct peer_rules *rules, uint32_t uid, const uint32_t *gids,
		     size_t n_gids)
{
	if (uid == 0 || uid == rules->own_uid)
		return true;
	for (size_t i = 0; rules->has_group && i < n_gids; i++)
		if (gids[i] == rules->group_gid)
			return true;
	return false;
}

static bool pidfd_has_ended(int pidfd)
{
	struct pollfd poll_fd = { .fd = pidfd, .events = POLLIN };
	int r;

	do /* pidfd_open(2): readable once the process has ended */
		r = poll(&poll_fd, 1, 0);
	while (r < 0 && errno == EINTR);
	return r != 0;
}

bool peer_is_alive(const struct peer *peer)
{
	return peer->pid > 0 && peer->pidfd >= 0 && peer->start_time > 0 &&
	       !pidfd_has_ended(peer->pidfd);
}

void peer_done(struct peer *peer)
{
	if (peer->pidfd >= 0)
		close(peer->pidfd);
	*peer = (struct peer){ .pidfd = -1 };
}

/* Fills in start time and privilege of a peer whose pidfd is open; only while the process lives do
 * the files of its number speak of it. */
static void peer_establish(const struct peer_rules *rules, bool may_change, struct peer *peer)
{
	uint64_t start_time = 0;
	bool is_ours;

	if (peer->pidfd < 0)
		return;
	is_ours = may_change && peer_is_in_our_namespaces(rules, peer->pid);
	if (!rules->has_namespaces || start_time_read(rules->sys, peer->pid, &start_time) < 0 ||
	    pidfd_has_ended(peer->pidfd)) {
		close(peer->pidfd);
		peer->pidfd = -1;
		return;
	}
	peer->start_time = start_time;
	peer->is_privileged = is_ours;
}

/* Before Linux 6.5: the number may have gone to a stranger before we open it. That the start time
 * is the same before and after shows at least that no such change happened while we looked. */
static int pidfd_open_checked(const struct sys *sys, pid_t pid)
{
	uint64_t before, after;
	int pidfd;

	if (start_time_read(sys, pid, &before) < 0)
		return -ESRCH;
	pidfd = sys->pidfd_open(sys, pid);
	if (pidfd < 0)
		return pidfd;
	if (start_time_read(sys, pid, &after) < 0 || after != before) {
		close(pidfd);
		return -ESRCH;
	}
	return pidfd;
}

static int pidfd_of_socket(const struct sys *sys, int fd, pid_t pid)
{
	int pidfd = -1;
	socklen_t n_bytes = sizeof(pidfd);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &n_bytes) == 0)
		return pidfd;
	return errno == ENOPROTOOPT ? pidfd_open_checked(sys, pid) : -errno;
}

/* The supplementary groups that the peer had when it connected. 0 or -errno. */
static int groups_of_socket(int fd, uint32_t **ret_gids, size_t *ret_n_gids)
{
	/* unix(7), SO_PEERGROUPS: with too little room it tells how much there must be. */
	socklen_t n_bytes = 64 * sizeof(uint32_t);

	for (unsigned i = 0; i < 2; i++) {
		cleanup(freep) uint32_t *gids = malloc(n_bytes);

		if (!gids)
			return -ENOMEM;
		if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, gids, &n_bytes) == 0) {
			*ret_gids = TAKE_PTR(gids);
			*ret_n_gids = n_bytes / sizeof(uint32_t);
			return 0;
		}
		if (errno != ERANGE || n_bytes > N_GROUPS_MAX * sizeof(uint32_t))
			return -errno;
	}
	return -ERANGE;
}

static bool socket_may_change(const struct peer_rules *rules, int fd, const struct ucred *cred)
{
	cleanup(freep) uint32_t *gids = NULL;
	size_t n_gids = 0;

	if (peer_may_change(rules, cred->uid, &cred->gid, 1))
		return true;
	if (!rules->has_group || groups_of_socket(fd, &gids, &n_gids) < 0)
		return false;
	return peer_may_change(rules, cred->uid, gids, n_gids);
}

int peer_of_socket(const struct peer_rules *rules, int fd, struct peer *ret_peer)
{
	struct peer peer = { .pidfd = -1 };
	struct ucred cred = { 0 };
	socklen_t n_bytes = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n_bytes) < 0)
		return -errno;
	if (n_bytes != sizeof(cred))
		return -ENODATA;
	peer.uid = cred.uid;
	peer.gid = cred.gid;
	peer.pid = cred.pid;
	if (cred.pid > 0) /* 0: in a PID namespace that we do not see */
		peer.pidfd = pidfd_of_socket(rules->sys, fd, cred.pid);
	if (peer.pidfd < 0)
		peer.pidfd = -1;
	peer_establish(rules, socket_may_change(rules, fd, &cred), &peer);
	*ret_peer = peer;
	return 0;
}

void peer_of_bus(const struct peer_rules *rules, const struct peer *noted, const uint32_t *gids,
		 size_t n_gids, struct peer *ret_peer)
{
	struct peer peer = { .uid = noted->uid, .gid = noted->gid, .pid = noted->pid, .pidfd = -1 };

	if (noted->pid > 0)
		peer.pidfd = pidfd_open_checked(rules->sys, noted->pid);
	if (peer.pidfd < 0)
		peer.pidfd = -1;
	peer_establish(rules, peer_may_change(rules, noted->uid, gids, n_gids), &peer);
	*ret_peer = peer;
}
