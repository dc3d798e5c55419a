/* Who is at the other end: what the kernel says, never what a message says.
 *
 * Identity (pid, start time, pidfd) is for following a process; authority comes from the user and
 * groups that the kernel noted when the peer connected, and only inside our own PID and user
 * namespaces: root of a container is not root here. Whatever cannot be established is missing, and
 * what needs it is refused. */
#pragma once

#include "base/err.h"
#include "base/sys.h"
#include "publish/publish.h"

/* What peers are measured against; read once, since a look-up of a group may ask the network. */
struct peer_rules {
	const struct sys *sys;
	uint32_t own_uid;
	bool has_group; /* group "sidecard" exists here */
	uint32_t group_gid;
	bool has_namespaces; /* false: our own could not be read, so nobody is privileged */
	char pid_namespace[64], user_namespace[64]; /* "pid:[4026531836]" */
	char *id_maps; /* our uid_map, gid_map and projid_map; NULL: not known */
};

/* Never fails: what could not be read makes the rules stricter. */
void peer_rules_open(const struct sys *sys, struct peer_rules *ret_rules);
void peer_rules_done(struct peer_rules *rules);

/* The peer of a connected AF_UNIX socket. A peer that ended, or lives where we cannot see it, has
 * pidfd -1 and start_time 0. The pidfd is the caller's: peer_done(). 0, or -errno where the socket
 * has no credentials at all. */
int peer_of_socket(const struct peer_rules *rules, int fd, struct peer *ret_peer);
/* The same from the user, groups and pid that the message bus noted. */
void peer_of_bus(const struct peer_rules *rules, const struct peer *noted, const uint32_t *gids,
		 size_t n_gids, struct peer *ret_peer);
void peer_done(struct peer *peer);

/* True where the process is known and has not ended: only then may it be followed. */
bool peer_is_alive(const struct peer *peer);

/* The parts of it, for tests of their own. */
bool peer_may_change(const struct peer_rules *rules, uint32_t uid, const uint32_t *gids,
		     size_t n_gids);
bool peer_is_in_our_namespaces(const struct peer_rules *rules, pid_t pid);
/* Start time (field 22) out of the text of /proc/PID/stat. 0 or -EINVAL. The name in it may hold
 * anything, ")" too. */
int peer_parse_start_time(const char *stat, uint64_t *ret_start_time);
