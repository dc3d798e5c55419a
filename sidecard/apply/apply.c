/* The front's half: steps go to the applier as requests, a few at a time, and come back as
 * outcomes; the event loop never waits for it. No widen step leaves before every narrow step is
 * answered, and none that would use PUs which a loser could not be driven from. */
#include "apply/apply.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "apply/apply_message.h"
#include "base/cleanup.h"

/* Enough that the applier never waits for us; a few requests of 3.6 KiB fit any socket buffer. */
#define N_IN_FLIGHT_MAX 8

enum step_state { STEP_WAITS, STEP_SENT, STEP_DONE };

/* The steps of one apply_steps() call. */
struct batch {
	struct place *places; /* owned copies, one per step */
	struct step *steps;
	struct step_outcome *outcomes;
	enum step_state *states;
	size_t n_steps;
	size_t n_narrow; /* of the narrow phase */
	size_t n_narrow_done, n_done, n_in_flight;
	size_t next[2]; /* per phase: where to look for the next step to send */
	size_t *failed; /* narrow steps whose place kept PUs, or may have */
	size_t n_failed;
	uint64_t first_serial; /* serial of step 0; the others follow */
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
};

/* ---- a batch ---- */

static void outcome_done(struct step_outcome *outcome)
{
	cpuset_done(&outcome->effective);
	free(outcome->original);
	free(outcome->text);
	*outcome = (struct step_outcome){ 0 };
}

static void batch_done(struct batch *batch)
{
	for (size_t i = 0; i < batch->n_steps; i++) {
		if (batch->places) {
			free(batch->places[i].unit);
			free(batch->places[i].cgroup);
		}
		if (batch->steps) {
			cpuset_done(&batch->steps[i].cpus);
			nodeset_done(&batch->steps[i].mems);
		}
		if (batch->outcomes)
			outcome_done(&batch->outcomes[i]);
	}
	free(batch->places);
	free(batch->steps);
	free(batch->outcomes);
	free(batch->states);
	free(batch->failed);
	*batch = (struct batch){ 0 };
}

static int place_copy(const struct place *place, struct place *copy)
{
	*copy = *place;
	copy->unit = place->unit ? strdup(place->unit) : NULL;
	copy->cgroup = place->cgroup ? strdup(place->cgroup) : NULL;
	return (place->unit && !copy->unit) || (place->cgroup && !copy->cgroup) ? -ENOMEM : 0;
}

static int batch_init(struct batch *batch, const struct steps *steps, uint64_t first_serial)
{
	size_t n = steps->n_items;

	*batch = (struct batch){ .n_steps = n, .first_serial = first_serial };
	batch->places = calloc(n + 1, sizeof(*batch->places));
	batch->steps = calloc(n + 1, sizeof(*batch->steps));
	batch->outcomes = calloc(n + 1, sizeof(*batch->outcomes));
	batch->states = calloc(n + 1, sizeof(*batch->states));
	batch->failed = calloc(n + 1, sizeof(*batch->failed));
	if (!batch->places || !batch->steps || !batch->outcomes || !batch->states || !batch->failed)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const struct step *step = &steps->items[i];

		if (place_copy(step->place, &batch->places[i]) < 0)
			return -ENOMEM;
		batch->steps[i].phase = step->phase;
		batch->steps[i].place = &batch->places[i];
		if (cpuset_copy(&batch->steps[i].cpus, &step->cpus) < 0 ||
		    nodeset_copy(&batch->steps[i].mems, &step->mems) < 0)
			return -ENOMEM;
		batch->n_narrow += step->phase == STEP_NARROW;
	}
	return 0;
}

static bool is_gone(int error)
{
	return error == -ENOENT || error == -ESRCH || error == -ENODEV;
}

/* Outcome @i is filled. */
static void step_is_done(struct batch *batch, size_t i)
{
	int error = batch->outcomes[i].error;

	batch->states[i] = STEP_DONE;
	batch->n_done++;
	if (batch->steps[i].phase != STEP_NARROW)
		return;
	batch->n_narrow_done++;
	if (error < 0 && !is_gone(error))
		batch->failed[batch->n_failed++] = i;
}

static void step_fails(struct batch *batch, size_t i, int error, const char *text)
{
	batch->outcomes[i].error = error;
	batch->outcomes[i].text = strdup(text);
	step_is_done(batch, i);
}

static bool place_is(const struct place *a, const struct place *b)
{
	if (a->kind != b->kind)
		return false;
	if (a->kind == PLACE_UNIT)
		return strcmp(a->unit, b->unit) == 0;
	if (a->kind == PLACE_CGROUP)
		return a->cgroup_id == b->cgroup_id;
	return a->pid == b->pid && a->start_time == b->start_time;
}

/* May the loser of narrow step @failed still run on PUs that step @i would use? Not known what it
 * has: then on any PU that it should not have. */
static bool failure_blocks(const struct batch *batch, size_t failed, size_t i)
{
	const struct cpuset *has = &batch->outcomes[failed].effective;
	const struct cpuset *should_have = &batch->steps[failed].cpus;

	if (place_is(batch->steps[failed].place, batch->steps[i].place))
		return false;
	cpuset_foreach (pu_os, &batch->steps[i].cpus)
		if (!cpuset_has(should_have, pu_os) &&
		    (cpuset_is_empty(has) || cpuset_has(has, pu_os)))
			return true;
	return false;
}

static bool is_held_back(const struct batch *batch, size_t i)
{
	for (size_t k = 0; k < batch->n_failed; k++)
		if (failure_blocks(batch, batch->failed[k], i))
			return true;
	return false;
}

/* ---- requests and answers ---- */

static int put_place(const struct place *place, struct apply_request *request)
{
	bool fits = true;

	request->kind = place->kind;
	switch (place->kind) {
	case PLACE_UNIT:
		fits = message_put_text(place->unit, request->unit, sizeof(request->unit));
		break;
	case PLACE_CGROUP:
		fits = message_put_text(place->cgroup, request->cgroup, sizeof(request->cgroup));
		request->cgroup_id = place->cgroup_id;
		break;
	case PLACE_PROCESS:
		request->pid = place->pid;
		request->start_time = place->start_time;
		break;
	}
	return fits ? 0 : -ENAMETOOLONG;
}

static int make_request(const struct apply *apply, enum apply_verb verb, const struct place *place,
			const struct cpuset *cpus, const struct nodeset *mems,
			struct apply_request *ret_request)
{
	*ret_request = (struct apply_request){ .magic = APPLY_MAGIC,
					       .version = APPLY_VERSION,
					       .verb = verb };
	message_put_cpus(cpus, ret_request->cpus);
	if (mems)
		message_put_nodes(mems, ret_request->mems);
	if (apply->listener.may_migrate &&
	    apply->listener.may_migrate(apply->listener.userdata, place))
		ret_request->flags |= APPLY_FLAG_MIGRATE;
	return put_place(place, ret_request);
}

/* 0, -EAGAIN, or -ENOTCONN. */
static int send_request(const struct apply *apply, const struct apply_request *request)
{
	ssize_t n;

	if (apply->fd < 0)
		return -ENOTCONN;
	do
		n = send(apply->fd, request, sizeof(*request), MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? -EAGAIN : -ENOTCONN;
	return 0;
}

/* 0, -EAGAIN, or -ENOTCONN: ended, or not what an applier says. */
static int receive_answer(const struct apply *apply, struct apply_answer *ret_answer)
{
	ssize_t n;

	if (apply->fd < 0)
		return -ENOTCONN;
	do
		n = recv(apply->fd, ret_answer, sizeof(*ret_answer), MSG_DONTWAIT | MSG_TRUNC);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return -EAGAIN;
	if (n != sizeof(*ret_answer) || ret_answer->magic != APPLY_MAGIC ||
	    ret_answer->version != APPLY_VERSION || ret_answer->error > 0 ||
	    !message_text_is_sane(ret_answer->original, sizeof(ret_answer->original)) ||
	    !message_text_is_sane(ret_answer->text, sizeof(ret_answer->text)))
		return -ENOTCONN;
	return 0;
}

/* 0, -ENOTCONN where the answer is to nothing that was asked, or -ENOMEM. */
static int take_answer(struct batch *batch, const struct apply_answer *answer)
{
	uint64_t i = answer->serial - batch->first_serial;
	struct step_outcome *outcome;

	if (i >= batch->n_steps || batch->states[i] != STEP_SENT)
		return -ENOTCONN;
	outcome = &batch->outcomes[i];
	outcome->error = answer->error;
	outcome->written = answer->is_written;
	outcome->n_writes = answer->n_writes;
	if (answer->has_original)
		outcome->original = strdup(answer->original);
	if (answer->text[0])
		outcome->text = strdup(answer->text);
	batch->n_in_flight--;
	if (message_get_cpus(answer->effective, &outcome->effective) < 0 ||
	    (answer->has_original && !outcome->original) || (answer->text[0] && !outcome->text))
		return -ENOMEM;
	step_is_done(batch, i);
	return 0;
}

/* ---- the loop ---- */

static void apply_dies(struct apply *apply)
{
	apply->io = sd_event_source_disable_unref(apply->io);
	close_fdp(&apply->fd);
	apply->fd = -1;
	apply->is_busy = false;
	batch_done(&apply->batch);
	sd_event_source_set_enabled(apply->done, SD_EVENT_OFF);
	apply->listener.died(apply->listener.userdata);
}

/* The next step that waits, of the phase whose turn it is; n_steps where there is none. */
static size_t next_step(struct batch *batch)
{
	enum step_phase phase = batch->n_narrow_done < batch->n_narrow ? STEP_NARROW : STEP_WIDEN;
	size_t *next = &batch->next[phase];

	while (*next < batch->n_steps &&
	       (batch->steps[*next].phase != phase || batch->states[*next] != STEP_WAITS))
		++*next;
	return *next;
}

static int send_step(struct apply *apply, size_t i)
{
	struct batch *batch = &apply->batch;
	const struct step *step = &batch->steps[i];
	struct apply_request request;
	int r;

	if (step->phase == STEP_WIDEN && is_held_back(batch, i)) {
		step_fails(batch, i, -EAGAIN,
			   "held back: a place that should leave these PUs could not be narrowed");
		return 0;
	}
	r = make_request(apply, APPLY_SET, step->place, &step->cpus, &step->mems, &request);
	if (r < 0) {
		step_fails(batch, i, r, "its name is longer than the applier takes");
		return 0;
	}
	request.phase = step->phase;
	request.serial = batch->first_serial + i;
	r = send_request(apply, &request);
	if (r < 0)
		return r;
	batch->states[i] = STEP_SENT;
	batch->n_in_flight++;
	return 0;
}

/* Sends what may be sent. 0 or -ENOTCONN. */
static int pump(struct apply *apply)
{
	struct batch *batch = &apply->batch;
	uint32_t events = EPOLLIN;
	int r;

	while (batch->n_in_flight < N_IN_FLIGHT_MAX) {
		size_t i = next_step(batch);

		if (i == batch->n_steps)
			break;
		r = send_step(apply, i);
		if (r == -EAGAIN) {
			events |= EPOLLOUT;
			break;
		}
		if (r < 0)
			return r;
	}
	r = sd_event_source_set_io_events(apply->io, events);
	if (r >= 0 && batch->n_done == batch->n_steps)
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
			r = apply->is_busy ? take_answer(&apply->batch, &answer) : -ENOTCONN;
		if (r < 0) {
			apply_dies(apply);
			return 0;
		}
	}
	if (apply->is_busy && pump(apply) < 0)
		apply_dies(apply);
	return 0;
}

/* All steps are done: tells the listener, who may start the next ones or free us. */
static int on_done(sd_event_source *source, void *userdata)
{
	struct apply *apply = userdata;
	struct batch batch = apply->batch;

	(void)source;
	apply->batch = (struct batch){ 0 };
	apply->is_busy = false;
	apply->listener.finished(apply->listener.userdata, batch.steps, batch.outcomes,
				 batch.n_steps);
	batch_done(&batch);
	return 0;
}

/* ---- nothing but words ---- */

static const char *place_text(const struct place *place, char *buffer, size_t buffer_size)
{
	if (place->kind == PLACE_UNIT)
		snprintf(buffer, buffer_size, "unit '%s'", place->unit);
	else if (place->kind == PLACE_CGROUP)
		snprintf(buffer, buffer_size, "cgroup '%s'", place->cgroup);
	else
		snprintf(buffer, buffer_size, "process %d", (int)place->pid);
	return buffer;
}

/* As if it held. 0 or -ENOMEM. */
static int narrate_step(const struct apply *apply, const struct step *step,
			struct step_outcome *outcome)
{
	cleanup(freep) char *cpus = cpuset_format(&step->cpus);
	cleanup(freep) char *mems = nodeset_format(&step->mems);
	cleanup(freep) char *text = NULL;
	char place[APPLY_CGROUP_SIZE + 16];

	if (!cpus || !mems || cpuset_copy(&outcome->effective, &step->cpus) < 0)
		return -ENOMEM;
	if (asprintf(&text, "would %s %s to PUs %s%s%s",
		     step->phase == STEP_NARROW ? "narrow" : "widen",
		     place_text(step->place, place, sizeof(place)), cpus,
		     mems[0] ? ", its memory to NUMA nodes " : "", mems) < 0) {
		text = NULL;
		return -ENOMEM;
	}
	if (apply->narrate)
		apply->narrate(apply->listener.userdata, text);
	return 0;
}

static int narrate_all(struct apply *apply)
{
	struct batch *batch = &apply->batch;
	size_t i;

	while ((i = next_step(batch)) < batch->n_steps) {
		int r = narrate_step(apply, &batch->steps[i], &batch->outcomes[i]);

		if (r < 0)
			return r;
		step_is_done(batch, i);
	}
	return sd_event_source_set_enabled(apply->done, SD_EVENT_ONESHOT);
}

static void narrate_restore(const struct apply *apply, const struct restore *restore)
{
	cleanup(freep) char *text = NULL;
	char place[APPLY_CGROUP_SIZE + 16];

	if (asprintf(&text, "would give %s back PUs '%s'",
		     place_text(restore->place, place, sizeof(place)), restore->original) < 0) {
		text = NULL;
		return;
	}
	if (apply->narrate)
		apply->narrate(apply->listener.userdata, text);
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

int apply_steps(struct apply *apply, const struct steps *steps)
{
	int r;

	if (apply->is_busy)
		return -EBUSY;
	if (apply->mode == APPLY_REAL && apply->fd < 0)
		return -ENOTCONN;
	r = batch_init(&apply->batch, steps, apply->next_serial);
	if (r == 0) {
		apply->next_serial += steps->n_items;
		r = apply->mode == APPLY_NULL ? narrate_all(apply) : pump(apply);
	}
	if (r < 0) {
		/* Nothing is under way: only the very first send can fail, and then the socket is
		 * at its end. */
		batch_done(&apply->batch);
		return r;
	}
	apply->is_busy = true;
	return 0;
}

/* ---- the way out ---- */

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Waits until the socket is ready. 0 or -ETIMEDOUT. */
static int wait_ready(const struct apply *apply, short events, uint64_t deadline_ms)
{
	for (;;) {
		struct pollfd fd = { .fd = apply->fd, .events = events };
		uint64_t now = now_ms();
		int n = poll(&fd, 1, now < deadline_ms ? (int)(deadline_ms - now) : 0);

		if (n > 0)
			return 0;
		if (n == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

static int await_answer(const struct apply *apply, uint64_t deadline_ms,
			struct apply_answer *ret_answer)
{
	for (;;) {
		int r = receive_answer(apply, ret_answer);

		if (r != -EAGAIN)
			return r;
		r = wait_ready(apply, POLLIN, deadline_ms);
		if (r < 0)
			return r;
	}
}

/* Waits for the steps that are under way. */
static int drain(struct apply *apply, uint64_t deadline_ms)
{
	while (apply->batch.n_in_flight > 0) {
		struct apply_answer answer;
		int r = await_answer(apply, deadline_ms, &answer);

		if (r == 0)
			r = take_answer(&apply->batch, &answer);
		if (r < 0)
			return r;
	}
	return 0;
}

static int restore_one(struct apply *apply, const struct restore *restore, uint64_t deadline_ms)
{
	struct apply_request request;
	struct apply_answer answer;
	int r = make_request(apply, APPLY_RESTORE, restore->place, restore->ours, restore->our_mems,
			     &request);

	if (r < 0 ||
	    !message_put_text(restore->original, request.original, sizeof(request.original)))
		return -ENAMETOOLONG;
	request.serial = apply->next_serial++;
	while ((r = send_request(apply, &request)) == -EAGAIN) {
		r = wait_ready(apply, POLLOUT, deadline_ms);
		if (r < 0)
			return r;
	}
	if (r == 0)
		r = await_answer(apply, deadline_ms, &answer);
	if (r == 0 && answer.serial != request.serial)
		r = -ENOTCONN;
	if (r < 0)
		return r;
	return is_gone(answer.error) ? 0 : answer.error;
}

/* The last step of the unfinished batch that changed @place; NULL. */
static const struct step *last_written(const struct batch *batch, const struct place *place)
{
	for (size_t i = batch->n_steps; i-- > 0;)
		if (batch->states[i] == STEP_DONE && batch->outcomes[i].written &&
		    place_is(batch->steps[i].place, place))
			return &batch->steps[i];
	return NULL;
}

static bool is_among(const struct place *place, const struct restore *restores, size_t n_restores)
{
	for (size_t i = 0; i < n_restores; i++)
		if (place_is(place, restores[i].place))
			return true;
	return false;
}

/* What the caller knows of, as it is now, then what only the unfinished batch changed. */
static size_t collect(const struct batch *batch, const struct restore *restores, size_t n_restores,
		      struct restore *ret_all)
{
	size_t n = n_restores;

	for (size_t i = 0; i < n_restores; i++) {
		const struct step *step = last_written(batch, restores[i].place);

		ret_all[i] = restores[i];
		if (step)
			ret_all[i].ours = &step->cpus;
	}
	for (size_t i = 0; i < batch->n_steps; i++) {
		const struct place *place = batch->steps[i].place;

		if (batch->states[i] == STEP_DONE && batch->outcomes[i].original &&
		    !is_among(place, ret_all, n))
			ret_all[n++] = (struct restore){
				.place = place,
				.original = batch->outcomes[i].original,
				.ours = &last_written(batch, place)->cpus,
				.our_mems = &batch->steps[i].mems,
			};
	}
	return n;
}

int apply_restore(struct apply *apply, const struct restore *restores, size_t n_restores,
		  unsigned timeout_ms)
{
	uint64_t deadline_ms = now_ms() + timeout_ms;
	cleanup(freep) struct restore *all = NULL;
	size_t n_all;
	int first = 0, r;

	if (apply->mode == APPLY_NULL) {
		for (size_t i = 0; i < n_restores; i++)
			narrate_restore(apply, &restores[i]);
		return 0;
	}
	r = drain(apply, deadline_ms);
	all = calloc(n_restores + apply->batch.n_steps + 1, sizeof(*all));
	if (r == 0 && !all)
		r = -ENOMEM;
	n_all = r == 0 ? collect(&apply->batch, restores, n_restores, all) : 0;
	for (size_t i = 0; i < n_all; i++) {
		r = restore_one(apply, &all[i], deadline_ms);
		if (r < 0 && first == 0)
			first = r;
		if (r == -ETIMEDOUT || r == -ENOTCONN)
			break;
	}
	batch_done(&apply->batch);
	apply->is_busy = false;
	sd_event_source_set_enabled(apply->done, SD_EVENT_OFF);
	return first ? first : r < 0 ? r : 0;
}
