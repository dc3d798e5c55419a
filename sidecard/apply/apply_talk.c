/* Requests to the applier and its answers, as apply_message.h lays them out. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "apply/apply_internal.h"

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

int make_request(const struct apply *apply, enum apply_verb verb, const struct place *place,
		 struct apply_request *ret_request)
{
	*ret_request = (struct apply_request){ .magic = APPLY_MAGIC,
					       .version = APPLY_VERSION,
					       .verb = verb };
	if ((verb == APPLY_SET || verb == APPLY_RESTORE) && apply->listener.may_migrate &&
	    apply->listener.may_migrate(apply->listener.userdata, place))
		ret_request->flags |= APPLY_FLAG_MIGRATE;
	return put_place(place, ret_request);
}

void put_sets(struct apply_request *request, const struct cpuset *cpus, const struct nodeset *mems)
{
	message_put_cpus(cpus, request->cpus);
	if (mems)
		message_put_nodes(mems, request->mems);
}

int send_request(const struct apply *apply, const struct apply_request *request)
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

/* ---- orders ---- */

/* 0 or -ENAMETOOLONG. */
static int entry_request(const struct apply *apply, size_t i, struct apply_request *ret_request)
{
	const struct batch *batch = &apply->batch;
	const struct restore *restore;
	const struct step *step = &batch->steps[i];
	int r;

	ret_request->serial = 0;
	switch (batch->entries[i].phase) {
	case PHASE_LOOK:
		r = make_request(apply, APPLY_LOOK, &batch->places[i], ret_request);
		ret_request->serial = batch->first_serial + i;
		return r;
	case PHASE_RESTORE:
		restore = &batch->restores[i - batch->n_steps];
		r = make_request(apply, APPLY_RESTORE, restore->place, ret_request);
		put_sets(ret_request, restore->ours, restore->our_mems);
		if (!message_put_text(restore->original, ret_request->original,
				      sizeof(ret_request->original)))
			r = -ENAMETOOLONG;
		break;
	default:
		r = make_request(apply, APPLY_SET, step->place, ret_request);
		put_sets(ret_request, &step->cpus, &step->mems);
		ret_request->phase = step->phase;
	}
	ret_request->serial = batch->first_serial + batch_n_entries(batch) + i;
	return r;
}

int send_entry(struct apply *apply, size_t i)
{
	struct batch *batch = &apply->batch;
	struct apply_request request;
	int r;

	if (batch->entries[i].phase == PHASE_WIDEN && batch_is_held_back(batch, i)) {
		batch_fail(batch, i, -EAGAIN,
			   "held back: a place that should leave these PUs could not be narrowed");
		return 0;
	}
	r = entry_request(apply, i, &request);
	if (r < 0) {
		batch_fail(batch, i, r, "its name is longer than the applier takes");
		return 0;
	}
	r = send_request(apply, &request);
	if (r < 0)
		return r;
	batch->entries[i].state = ENTRY_SENT;
	batch->n_in_flight++;
	return 0;
}

static int outcome_take(struct step_outcome *outcome, const struct apply_answer *answer)
{
	outcome->error = answer->error;
	outcome->written = answer->is_written;
	outcome->n_writes = answer->n_writes;
	if (answer->has_found)
		outcome->original = strdup(answer->found);
	if (answer->text[0])
		outcome->text = strdup(answer->text);
	if (message_get_cpus(answer->effective, &outcome->effective) < 0 ||
	    (answer->has_found && !outcome->original) || (answer->text[0] && !outcome->text))
		return -ENOMEM;
	return 0;
}

static int take_order(struct apply *apply, const struct apply_answer *answer)
{
	struct batch *batch = &apply->batch;
	size_t n = batch_n_entries(batch);
	uint64_t at = answer->serial - batch->first_serial;
	size_t i = at < n ? at : at - n;
	int r;

	if (!apply->is_busy || at >= 2 * n || batch->entries[i].state != ENTRY_SENT ||
	    (at < n) != (batch->entries[i].phase == PHASE_LOOK))
		return -ENOTCONN;
	r = outcome_take(&batch->outcomes[i], answer);
	if (r < 0)
		return r;
	batch->n_in_flight--;
	batch_advance(batch, i);
	return 0;
}

/* ---- questions ---- */

int send_question(struct apply *apply)
{
	const struct question *question = &apply->questions[apply->first_question + apply->n_asked];
	const struct place place = { .kind = PLACE_PROCESS,
				     .pid = question->pid,
				     .start_time = question->start_time };
	struct apply_request request;
	int r;

	make_request(apply, APPLY_IDENTIFY, &place, &request);
	request.serial = apply->next_serial_question + apply->n_asked;
	r = send_request(apply, &request);
	if (r == 0)
		apply->n_asked++;
	return r;
}

void questions_drop(struct apply *apply)
{
	apply->first_question = apply->n_questions = apply->n_asked = 0;
}

/* They are answered in their order: the applier does one request after the other. */
static int take_identity(struct apply *apply, const struct apply_answer *answer)
{
	struct question question;
	const char *executable = NULL;

	if (apply->n_asked == 0 || answer->serial != apply->next_serial_question)
		return -ENOTCONN;
	question = apply->questions[apply->first_question++];
	apply->n_asked--;
	apply->next_serial_question++;
	if (apply->first_question == apply->n_questions)
		questions_drop(apply);
	if (answer->error == 0 && answer->has_found)
		executable = answer->found;
	else if (answer->error == -EACCES || answer->error == -EPERM)
		executable = "";
	apply->listener.identified(apply->listener.userdata, question.pid, question.start_time,
				   executable);
	return 0;
}

/* ---- both ---- */

int receive_answer(const struct apply *apply, struct apply_answer *ret_answer)
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
	    !message_text_is_sane(ret_answer->found, sizeof(ret_answer->found)) ||
	    !message_text_is_sane(ret_answer->text, sizeof(ret_answer->text)))
		return -ENOTCONN;
	return 0;
}

int take_answer(struct apply *apply, const struct apply_answer *answer)
{
	return answer->serial & QUESTION_BIT ? take_identity(apply, answer)
					     : take_order(apply, answer);
}
