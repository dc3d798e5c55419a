/* What the files of the socket share: publish_socket.c (connections), varlink_methods.c (what each
 * method does) and varlink_stream.c (List and Watch, whose answers may be long or never end). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "publish/account.h"
#include "publish/peer.h"
#include "publish/publish.h"
#include "publish/varlink.h"

/* A name that was there and is gone, for watchers that have not heard of it yet. */
struct departure {
	uint64_t generation; /* of the update that it was no longer in */
	char *name;
};

/* Departures remembered. One configuration reload that removes more makes watchers start afresh. */
#define N_DEPARTURES_MAX 1024u

struct history {
	char **names; /* of the newest update, sorted, each owned */
	size_t n_names;
	bool has_names;		      /* false: who goes at the next update will not be known */
	struct departure *departures; /* oldest first */
	size_t n_departures;
	uint64_t known_since; /* what went before this generation is not known (any more) */
};

enum stream_kind { STREAM_NONE, STREAM_LIST, STREAM_WATCH };

/* An answer that goes out piece by piece as the peer reads: however long it is and however slow the
 * peer, a connection holds one piece. It goes on by name, not by index, so workloads may come and
 * go meanwhile. */
struct stream {
	enum stream_kind kind;
	bool more;	     /* Watch: go on after a reply */
	bool in_reply;	     /* a reply is half sent; what follows describes it */
	bool full;	     /* every workload, not only the changed ones */
	bool has_elements;   /* a comma is due */
	uint64_t told;	     /* Watch: the peer knows everything up to here */
	uint64_t after;	     /* this reply: what is newer than that */
	uint64_t generation; /* this reply: when it was begun */
	char name[64];	     /* the last workload sent; "" at the beginning */
	char only[64];	     /* Watch: this workload alone; "": all */
};

/* Most watchers follow from the same generation, so an update makes their reply once. Holds
 * something while sockets_update() runs only. */
struct shared_reply {
	bool is_open;
	bool is_made;
	uint64_t after;
	struct varlink_output text; /* up to and with the last workload */
};

struct sockets;

struct connection {
	struct sockets *sockets;
	struct connection *next;
	sd_event_source *source;
	int fd;
	struct peer peer;
	struct varlink_input input;
	struct varlink_output output;
	struct stream stream;
	uint64_t deadline_us; /* for the first complete message; UINT64_MAX once there was one */
	uint64_t paused_until_us; /* its user's account is overdrawn; 0: it is not */
	uint32_t events;	  /* what the source waits for now */
	bool reloads;		  /* its call waits for sockets_reload_finished() */
	char registers[64];	  /* its call waits for sockets_registered(), with this workload */
	bool oneway;		  /* and wants no reply to it */
	bool at_end;		  /* the peer sends no more */
	bool failed;		  /* to be closed as soon as nobody is busy with it */
};

struct sockets {
	struct publish_handler handler; /* a copy: only its userdata must outlive us */
	const struct publish_view *const *view;
	const struct sys *sys;
	char *runtime_dir;
	struct peer_rules rules;
	struct history history;
	struct shared_reply shared;

	sd_event *event;
	sd_event_source *listener;
	int listen_fd;
	bool is_own_listener; /* we made it and remove it */
	uint64_t socket_inode;
	int runtime_dirfd;
	int reserve_fd; /* given up for a moment to turn somebody away when there is no other
			   descriptor */
	sd_event_source *pause_timer;
	sd_event_source *handshake_timer;
	sd_event_source *overdraft_timer; /* the first paused connection goes on */
	struct accounts accounts;
	uint64_t extra_us; /* what the call under way costs beside its own time */

	struct connection *connections;
	unsigned n_connections;
	unsigned n_busy; /* above 0 no connection is freed: a caller further up holds one */
};

/* publish_listen.c: @listen_fd as in struct publish_options. Removing takes away only what is still
 * ours. */
int listener_open(struct sockets *sockets, int listen_fd, struct fault *fault);
void listener_remove(const struct sockets *sockets);

/* varlink_methods.c: does what @call says and adds the reply, or begins a stream. 0, or -ENOMEM:
 * the connection cannot go on. */
int methods_call(struct connection *connection, const struct varlink_call *call);
/* The reply to Register. 0 or -ENOMEM. */
int methods_registered(struct connection *connection);
/* The reply to Reload. 0 or -ENOMEM. */
int methods_reloaded(struct connection *connection, int result, const struct fault_list *faults);
/* Its names, NULL beyond the last, for the check that the description and the code agree. */
const char *methods_name(size_t i);

/* varlink_stream.c */
void stream_list(struct connection *connection);
/* @only: a workload, NULL for all. @after: what the peer knows already. */
void stream_watch(struct connection *connection, const char *only, uint64_t after, bool more);
/* Adds the next piece where one is due; there is no output before it. 0 or -ENOMEM. */
int stream_continue(struct connection *connection);
/* True where stream_continue() would add something. */
bool stream_is_due(const struct connection *connection);
/* Begins or ends the time in which replies are shared: nothing that is published changes in it. */
void stream_share(struct sockets *sockets, bool is_open);
/* {..., "generation":N} of one workload; NULL where memory is short. */
json_t *placement_json(const struct publish_view *view, size_t i);
/* The word of Memory=. */
const char *memory_word(enum memory_policy memory);
/* Index of the workload; -1 where there is none or nothing is published yet. */
ssize_t view_find(const struct publish_view *view, const char *name);

void history_update(struct history *history, const struct publish_view *view);
void history_done(struct history *history);
