/* The way out: what is under way is waited for, then every place gets back what it had before us.
 */
#include <errno.h>
#include <poll.h>
#include <time.h>

#include "apply/apply_internal.h"

/* Least share of the time that one place gets, however many there are: a unit's change is one turn
 * of PID 1's loop. */
#define BUDGET_LEAST_MS 200u

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

/* Waits for what is under way. What its answers say was known before it was sent. */
static int drain(struct apply *apply, uint64_t deadline_ms)
{
	size_t n = apply->batch.n_in_flight + apply->n_asked;

	for (; n > 0; n--) {
		struct apply_answer answer;
		int r = await_answer(apply, deadline_ms, &answer);

		if (r < 0)
			return r;
	}
	return 0;
}

static int restore_one(struct apply *apply, const struct restore *restore, unsigned budget_ms,
		       uint64_t deadline_ms)
{
	struct apply_request request;
	struct apply_answer answer;
	int r = make_request(apply, APPLY_RESTORE, restore->place, &request);

	if (r < 0 ||
	    !message_put_text(restore->original, request.original, sizeof(request.original)))
		return -ENAMETOOLONG;
	put_sets(&request, restore->ours, restore->our_mems);
	request.budget_ms = budget_ms;
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

/* Those of one kind; @n_left counts down what is still to come, of any kind. */
static int restore_kind(struct apply *apply, enum place_kind kind, const struct restore *restores,
			size_t n_restores, size_t *n_left, uint64_t deadline_ms)
{
	int first = 0;

	for (size_t i = 0; i < n_restores; i++) {
		uint64_t now = now_ms(), left_ms = now < deadline_ms ? deadline_ms - now : 0;
		unsigned budget_ms;
		int r;

		if (restores[i].place->kind != kind)
			continue;
		budget_ms = (unsigned)(left_ms / (*n_left)--);
		r = restore_one(apply, &restores[i],
				budget_ms > BUDGET_LEAST_MS ? budget_ms : BUDGET_LEAST_MS,
				deadline_ms);
		if (r == -ETIMEDOUT && now_ms() < deadline_ms)
			r = -EBUSY; /* this place's own time, not ours: the others get theirs */
		if (r < 0 && first == 0)
			first = r;
		if (r == -ETIMEDOUT || r == -ENOTCONN)
			return r;
	}
	return first;
}

int apply_restore(struct apply *apply, const struct restore *restores, size_t n_restores,
		  unsigned timeout_ms)
{
	uint64_t now = now_ms();
	size_t n_left = n_restores;
	int first = 0, r;

	if (apply->mode == APPLY_NULL) {
		for (size_t i = 0; i < n_restores; i++)
			narrate_restore(apply, &restores[i]);
		return 0;
	}
	/* What is under way may be a unit whose kernel value does not come: half of the time is
	 * the others'. */
	r = drain(apply, now + timeout_ms / 2);
	batch_done(&apply->batch);
	questions_drop(apply);
	apply->is_busy = false;
	sd_event_source_set_enabled(apply->done, SD_EVENT_OFF);
	/* PID 1 may be slow; nothing else is. */
	for (enum place_kind kind = PLACE_PROCESS; r == 0; kind--) {
		int failed = restore_kind(apply, kind, restores, n_restores, &n_left,
					  now + timeout_ms);

		if (failed < 0 && first == 0)
			first = failed;
		if (kind == PLACE_UNIT || failed == -ETIMEDOUT || failed == -ENOTCONN)
			break;
	}
	return r < 0 ? r : first;
}
