/* The front's half: orders go to the applier as requests, a few at a time, and come back as
 * outcomes; the event loop never waits for it. Nothing is written before what was there is known
 * and saved, no widen step leaves before every narrow step is answered, and none that would use PUs
 * which a loser could not be driven from. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "apply/apply_internal.h"
#include "base/cleanup.h"

/* The applier does one thing at a time; the second is there when it is done with the first. No
 * more: on the way out each of them is waited for. */
#define N_IN_FLIGHT_MAX 2

/* Executables of so many processes may be asked for at once; a host has some thousands. */
#define N_QUESTIONS_MAX 65536

/* ---- the loop ---- */

static void apply_dies(struct apply *apply)
{
	apply->io = sd_event_source_disable_unref(apply->io);
	close_fdp(&apply->fd);
	apply->fd = -1;
	apply->is_busy = false;
	questions_drop(apply);
	batch_done(&apply->batch);
	sd_event_source_set_enabled(apply->done, SD_EVENT_OFF);
	apply->listener.died(apply->listener.userdata);
}

/* Once, between the last look and the first write. */
static void tell_looked(struct apply *apply)
{
	struct batch *batch = &apply->batch;

	if (!batch->has_looked || batch->n_left[PHASE_LOOK] > 0)
		return;
	batch->has_looked = false;
	if (apply->listener.looked)
		apply->listener.looked(apply->listener.userdata, batch->steps, batch->outcomes,
				       batch->n_steps);
}

/* Orders before questions. 0, -EAGAIN, -ENOTCONN; 1: there is nothing to send now. */
static int send_next(struct apply *apply)
{
	struct batch *batch = &apply->batch;
	size_t i = batch_n_entries(batch);

	if (batch->n_in_flight + apply->n_asked >= N_IN_FLIGHT_MAX)
		return 1;
	if (apply->is_busy) {
		tell_looked(apply);
		i = batch_next(batch);
	}
	if (i < batch_n_entries(batch))
		return send_entry(apply, i);
	return apply->first_question + apply->n_asked < apply->n_questions ? send_question(apply)
									   : 1;
}

/* Sends what may be sent. 0 or -ENOTCONN. */
static int pump(struct apply *apply)
{
	uint32_t events = EPOLLIN;
	int r;

	do
		r = send_next(apply);
	while (r == 0);
	if (r == -EAGAIN)
		events |= EPOLLOUT;
	else if (r < 0)
		return r;
	r = sd_event_source_set_io_events(apply->io, events);
	if (r >= 0 && apply->is_busy && batch_is_finished(&apply->batch))
		r = sd_event_source_set_enabled(apply->done, SD_EVENT_ONESHOT);
	return r < 0 ? r : 0;
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct apply *apply = userdata;
	int r;

	(void)source;
	(void)fd;
	(void)events;
	for (;;) {
		struct apply_answer answer;

		r = receive_answer(apply, &answer);
		if (r == -EAGAIN)
			break;
		if (r == 0)
			r = take_answer(apply, &answer);
		if (r < 0) {
			apply_dies(apply);
			return 0;
		}
	}
	if (pump(apply) < 0)
		apply_dies(apply);
	return 0;
}

static void tell_restored(const struct apply *apply, const struct batch *batch)
{
	for (size_t k = 0; apply->listener.restored && k < batch->n_restores; k++) {
		const struct step_outcome *outcome = &batch->outcomes[batch->n_steps + k];

		apply->listener.restored(apply->listener.userdata, &batch->restores[k],
					 is_gone(outcome->error) ? 0 : outcome->error,
					 outcome->text);
	}
}

/* All orders are done: tells the listener, who may start the next ones or free us. */
static int on_done(sd_event_source *source, void *userdata)
{
	struct apply *apply = userdata;
	struct batch batch = apply->batch;

	(void)source;
	apply->batch = (struct batch){ 0 };
	apply->is_busy = false;
	tell_restored(apply, &batch);
	apply->listener.finished(apply->listener.userdata, batch.steps, batch.outcomes,
				 batch.n_steps);
	batch_done(&batch);
	return 0;
}

/* ---- opening and starting ---- */

int apply_open(sd_event *event, const struct apply_options *options,
	       const struct apply_listener *listener, struct apply **ret_apply, struct fault *fault)
{
	cleanup(apply_freep) struct apply *apply = calloc(1, sizeof(*apply));
	int r;

	if (!apply)
		return fault_set(fault, -ENOMEM, "no memory to talk to the applier");
	apply->event = sd_event_ref(event);
	apply->mode = options->mode;
	apply->listener = *listener;
	apply->narrate = options->narrate;
	apply->next_serial = 1;
	apply->next_serial_question = QUESTION_BIT;
	apply->fd = -1;
	r = sd_event_add_defer(event, &apply->done, on_done, apply);
	if (r >= 0)
		r = sd_event_source_set_enabled(apply->done, SD_EVENT_OFF);
	if (r >= 0 && options->mode == APPLY_REAL)
		r = sd_event_add_io(event, &apply->io, options->applier_fd, EPOLLIN, on_io, apply);
	if (r < 0)
		return fault_set(fault, r, "cannot watch the applier's socket: %s", strerror(-r));
	if (options->mode == APPLY_REAL)
		apply->fd = options->applier_fd;
	*ret_apply = TAKE_PTR(apply);
	return 0;
}

struct apply *apply_free(struct apply *apply)
{
	if (!apply)
		return NULL;
	sd_event_source_disable_unref(apply->io);
	sd_event_source_disable_unref(apply->done);
	close_fdp(&apply->fd);
	batch_done(&apply->batch);
	free(apply->questions);
	sd_event_unref(apply->event);
	free(apply);
	return NULL;
}

void apply_freep(struct apply **apply)
{
	*apply = apply_free(*apply);
}

bool apply_is_busy(const struct apply *apply)
{
	return apply->is_busy;
}

int apply_begin(struct apply *apply, const struct apply_orders *orders)
{
	int r;

	if (apply->is_busy)
		return -EBUSY;
	if (apply->mode == APPLY_REAL && apply->fd < 0)
		return -ENOTCONN;
	r = batch_init(&apply->batch, orders, apply->next_serial);
	if (r == 0) {
		apply->next_serial += 2 * batch_n_entries(&apply->batch);
		apply->is_busy = true;
		r = apply->mode == APPLY_NULL ? narrate_all(apply) : pump(apply);
	}
	if (r < 0) {
		/* Nothing is under way: only the very first send can fail, and then the socket is
		 * at its end. */
		batch_done(&apply->batch);
		apply->is_busy = false;
	}
	return r;
}

int apply_identify(struct apply *apply, pid_t pid, uint64_t start_time)
{
	if (apply->mode == APPLY_NULL)
		return -ENOTSUP;
	if (apply->fd < 0)
		return -ENOTCONN;
	if (apply->n_questions >= N_QUESTIONS_MAX)
		return -EAGAIN;
	if (apply->n_questions == apply->n_questions_max) {
		size_t n_max = apply->n_questions_max ? apply->n_questions_max * 2 : 16;
		struct question *bigger = realloc(apply->questions,
						  n_max * sizeof(*apply->questions));

		if (!bigger)
			return -ENOMEM;
		apply->questions = bigger;
		apply->n_questions_max = n_max;
	}
	apply->questions[apply->n_questions++] = (struct question){ pid, start_time };
	/* It leaves from the loop: the caller may be in the middle of looking at everything. */
	if (sd_event_source_set_io_events(apply->io, EPOLLIN | EPOLLOUT) < 0)
		return -ENOTCONN;
	return 0;
}
