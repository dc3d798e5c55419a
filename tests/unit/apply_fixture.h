/* An apply under test, its event loop, its steps and what its listener saw: shared by test_apply.c,
 * which plays the applier itself, and test_applier.c, which runs the real one. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "apply/apply.h"
#include "apply/apply_message.h"
#include "base/cleanup.h"
#include "base/sys.h"

struct fixture {
	sd_event *event;
	struct apply *apply;
	int far_fd; /* the applier's end; -1 where a program has it */
	pid_t pid;
	struct place places[40];
	struct step items[40];
	bool looks[40];
	struct restore restores[8];
	size_t n_restores;
	struct steps steps;
	char names[40][32];
	/* what the listener saw */
	int n_finished, n_died, n_looked, n_restored, n_identified;
	int restore_errors[8];
	char identified[256];
	size_t n_outcomes;
	int errors[40];
	bool written[40];
	uint32_t n_writes[40];
	char effective[40][64];
	char originals[40][64];
	char texts[40][160];
	char narrated[1024];
	bool migrates;
};

static inline void on_finished(void *userdata, const struct step *steps,
			       const struct step_outcome *outcomes, size_t n_steps)
{
	struct fixture *fixture = userdata;

	fixture->n_finished++;
	fixture->n_outcomes = n_steps;
	for (size_t i = 0; i < n_steps && i < 40; i++) {
		cleanup(freep) char *effective = cpuset_format(&outcomes[i].effective);

		assert_true(steps[i].phase == fixture->items[i].phase);
		fixture->errors[i] = outcomes[i].error;
		fixture->written[i] = outcomes[i].written;
		fixture->n_writes[i] = outcomes[i].n_writes;
		snprintf(fixture->effective[i], 64, "%s", effective);
		snprintf(fixture->originals[i], 64, "%s",
			 outcomes[i].original ? outcomes[i].original : "NULL");
		snprintf(fixture->texts[i], 160, "%s", outcomes[i].text ? outcomes[i].text : "");
	}
}

static inline void on_looked(void *userdata, const struct step *steps,
			     const struct step_outcome *outcomes, size_t n_steps)
{
	struct fixture *fixture = userdata;

	(void)steps;
	fixture->n_looked++;
	for (size_t i = 0; i < n_steps && i < 40; i++)
		snprintf(fixture->originals[i], 64, "%s",
			 outcomes[i].original ? outcomes[i].original : "NULL");
}

static inline void on_restored(void *userdata, const struct restore *restore, int error,
			       const char *text)
{
	struct fixture *fixture = userdata;

	(void)text;
	assert_non_null(restore->original);
	assert_int_equal(fixture->n_finished, 0);
	fixture->restore_errors[fixture->n_restored++] = error;
}

static inline void on_identified(void *userdata, pid_t pid, uint64_t start_time,
				 const char *executable)
{
	struct fixture *fixture = userdata;
	size_t used = strlen(fixture->identified);

	fixture->n_identified++;
	snprintf(fixture->identified + used, sizeof(fixture->identified) - used,
		 "%d/%" PRIu64 " %s;", (int)pid, start_time, executable ? executable : "NULL");
}

static inline void on_died(void *userdata)
{
	((struct fixture *)userdata)->n_died++;
}

static inline bool on_may_migrate(void *userdata, const struct place *place)
{
	(void)place;
	return ((struct fixture *)userdata)->migrates;
}

static inline void on_narrate(void *userdata, const char *text)
{
	struct fixture *fixture = userdata;
	size_t used = strlen(fixture->narrated);

	snprintf(fixture->narrated + used, sizeof(fixture->narrated) - used, "%s\n", text);
}

static inline void fixture_open(struct fixture *fixture, enum apply_mode mode, int fd)
{
	struct apply_listener listener = { .userdata = fixture,
					   .looked = on_looked,
					   .restored = on_restored,
					   .finished = on_finished,
					   .died = on_died,
					   .may_migrate = on_may_migrate,
					   .identified = on_identified };
	struct apply_options options = { .mode = mode, .applier_fd = fd, .narrate = on_narrate };
	struct fault fault;

	assert_true(sd_event_new(&fixture->event) >= 0);
	assert_int_equal(apply_open(fixture->event, &options, &listener, &fixture->apply, &fault),
			 0);
}

static inline void fixture_init(struct fixture *fixture)
{
	int fds[2];

	*fixture = (struct fixture){ .far_fd = -1 };
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
			 0);
	fixture->far_fd = fds[1];
	fixture_open(fixture, APPLY_REAL, fds[0]);
}

static inline void fixture_clear_steps(struct fixture *fixture)
{
	for (size_t i = 0; i < fixture->steps.n_items; i++) {
		cpuset_done(&fixture->items[i].cpus);
		nodeset_done(&fixture->items[i].mems);
	}
	fixture->steps.n_items = 0;
}

static inline void fixture_done(struct fixture *fixture)
{
	fixture_clear_steps(fixture);
	apply_free(fixture->apply);
	sd_event_unref(fixture->event);
	close_fdp(&fixture->far_fd);
	if (fixture->pid > 0) {
		int status;

		assert_int_equal(waitpid(fixture->pid, &status, 0), fixture->pid);
		/* It ends with the socket, in peace, unless the test killed it. */
		assert_true((WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
			    (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
	}
}

static inline size_t add_step(struct fixture *fixture, enum step_phase phase, const char *unit,
			      const char *cpus)
{
	size_t i = fixture->steps.n_items++;

	snprintf(fixture->names[i], sizeof(fixture->names[i]), "%s", unit);
	fixture->places[i] = (struct place){ .kind = PLACE_UNIT, .unit = fixture->names[i] };
	fixture->items[i] = (struct step){ .phase = phase, .place = &fixture->places[i] };
	assert_int_equal(cpuset_parse(cpus, &fixture->items[i].cpus), 0);
	fixture->steps.items = fixture->items;
	return i;
}

static inline size_t add_process(struct fixture *fixture, pid_t pid, uint64_t start_time,
				 const char *cpus)
{
	size_t i = add_step(fixture, STEP_NARROW, "", cpus);

	fixture->places[i] = (struct place){ .kind = PLACE_PROCESS,
					     .pid = pid,
					     .start_time = start_time };
	return i;
}

/* Starts what was added. */
static inline int begin(struct fixture *fixture)
{
	return apply_begin(fixture->apply, &(struct apply_orders){
						   .steps = &fixture->steps,
						   .looks = fixture->looks,
						   .restores = fixture->restores,
						   .n_restores = fixture->n_restores,
					   });
}

static inline void turn(struct fixture *fixture)
{
	while (sd_event_run(fixture->event, 0) > 0)
		;
}

/* Until the batch has ended; the test's own time limit is the only one. */
static inline void run_to_end(struct fixture *fixture)
{
	int before = fixture->n_finished + fixture->n_died;

	while (fixture->n_finished + fixture->n_died == before)
		assert_true(sd_event_run(fixture->event, UINT64_MAX) >= 0);
}
