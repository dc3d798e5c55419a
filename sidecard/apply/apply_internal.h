/* What the files of the front's half share: apply.c (the loop), apply_batch.c (the orders under
 * way), apply_talk.c (requests and answers), apply_null.c (--dry-run) and apply_exit.c (the way
 * out). */
#pragma once

#include <systemd/sd-event.h>

#include "apply/apply.h"
#include "apply/apply_message.h"

/* In the order in which they happen. */
enum batch_phase { PHASE_LOOK, PHASE_NARROW, PHASE_RESTORE, PHASE_WIDEN, N_BATCH_PHASES };

enum entry_state { ENTRY_WAITS, ENTRY_SENT, ENTRY_DONE };

/* One step or one restore. */
struct entry {
	enum batch_phase phase; /* that it is in now: a look is followed by the step's own */
	enum entry_state state;
};

/* The orders of one apply_begin() call: entries of the steps, then those of the restores. */
struct batch {
	struct place *places; /* owned copies, one per entry */
	struct entry *entries;
	struct step *steps;
	struct step_outcome *outcomes; /* one per entry */
	struct restore *restores;
	struct cpuset *ours; /* of the restores */
	struct nodeset *our_mems;
	size_t n_steps, n_restores;
	size_t n_left[N_BATCH_PHASES]; /* entries that are not done */
	size_t next[N_BATCH_PHASES];   /* where to look for the next entry to send */
	size_t n_in_flight;
	bool has_looked; /* the listener is to be told once all looks are answered */
	size_t *failed;	 /* entries whose place kept PUs, or may have */
	size_t n_failed;
	/* A look at entry i has this serial plus i, everything else plus n_entries more. */
	uint64_t first_serial;
};

/* Which executable does it run? */
struct question {
	pid_t pid;
	uint64_t start_time;
};

struct apply {
	sd_event *event;
	sd_event_source *io, *done; /* @done ends a batch in its own turn of the loop */
	enum apply_mode mode;
	int fd; /* -1: dead, or nothing to talk to */
	struct apply_listener listener;
	void (*narrate)(void *userdata, const char *text);
	bool is_busy;
	struct batch batch;
	uint64_t next_serial;
	/* In the order asked: from first_question on to n_questions, of which the first n_asked
	 * were sent. */
	struct question *questions;
	size_t first_question, n_questions, n_questions_max, n_asked;
	uint64_t next_serial_question; /* of the first one, with QUESTION_BIT */
};

/* Serials of questions and of orders never meet. */
#define QUESTION_BIT (UINT64_C(1) << 63)

/* apply_batch.c */
int batch_init(struct batch *batch, const struct apply_orders *orders, uint64_t first_serial);
void batch_done(struct batch *batch);
size_t batch_n_entries(const struct batch *batch);
bool batch_is_finished(const struct batch *batch);
/* The next entry that waits, of the phase whose turn it is; batch_n_entries() where there is none.
 */
size_t batch_next(struct batch *batch);
/* The entry's phase is over, with what its outcome says: it goes on to the next one or is done. */
void batch_advance(struct batch *batch, size_t i);
void batch_fail(struct batch *batch, size_t i, int error, const char *text);
/* Would the widen step @i use PUs that somebody could not be driven from? */
bool batch_is_held_back(const struct batch *batch, size_t i);
/* The place has ended: nothing is left to do there, and nobody runs there. */
bool is_gone(int error);

/* apply_talk.c */
int make_request(const struct apply *apply, enum apply_verb verb, const struct place *place,
		 struct apply_request *ret_request);
void put_sets(struct apply_request *request, const struct cpuset *cpus, const struct nodeset *mems);
/* 0, -EAGAIN, or -ENOTCONN. */
int send_request(const struct apply *apply, const struct apply_request *request);
/* 0, -EAGAIN, or -ENOTCONN: ended, or not what an applier says. */
int receive_answer(const struct apply *apply, struct apply_answer *ret_answer);
/* Gives the answer to the entry or question that it is for. 0, -ENOTCONN where it is to nothing
 * that was asked, or -ENOMEM. */
int take_answer(struct apply *apply, const struct apply_answer *answer);
/* The next question to the applier. As send_request(). */
int send_question(struct apply *apply);
void questions_drop(struct apply *apply);
/* As send_request(); an entry that cannot be sent is done. */
int send_entry(struct apply *apply, size_t i);

/* apply_null.c: nothing but words. */
/* As if it all held. 0 or -ENOMEM. */
int narrate_all(struct apply *apply);
void narrate_restore(const struct apply *apply, const struct restore *restore);
