/* Runs the probe and reads its answer. Relies on pidfd_open (Linux 5.3). */
#include "sense/topo_load.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "paths.h"

/* XML of 8,192 PUs takes 5 MiB; the distances of 1,024 nodes as text take 20. */
#define N_ANSWER_MAX (32u << 20)

/* One sentence; a sanitizer's report says more, of which the first line will do. */
#define N_COMPLAINT_MAX (1u << 20)

/* Where the build leaves the programs, seen from a program or a test of the same build. */
static const char *const build_places[] = { "",
					    "../sense/",
					    "../apply/",
					    "../edge/",
					    "sense/",
					    "apply/",
					    "edge/",
					    "../../sidecard/sense/",
					    "../../sidecard/apply/",
					    "../../sidecard/edge/" };

/* Beside the running program, which a build tree spreads over the folders of the stages; only what
 * belongs to the same user as the program itself. */
char *helper_path(const char *name)
{
	char directory[4096], *slash, *path;
	ssize_t n = readlink("/proc/self/exe", directory, sizeof(directory) - 1);
	struct stat own, st;

	if (n > 0 && stat("/proc/self/exe", &own) == 0) {
		directory[n] = '\0';
		slash = strrchr(directory, '/');
		if (slash)
			slash[1] = '\0';
		for (size_t i = 0; slash && i < N_ELEMENTS(build_places); i++) {
			if (asprintf(&path, "%s%s%s", directory, build_places[i], name) < 0)
				return NULL;
			if (stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
			    st.st_uid == own.st_uid && access(path, X_OK) == 0)
				return path;
			free(path);
		}
	}
	return asprintf(&path, "%s/%s", SIDECARD_LIBEXEC_DIR, name) < 0 ? NULL : path;
}

/* What the helper has said so far on one of its streams. */
struct stream {
	int fd;	    /* -1 once it has ended */
	char *text; /* terminated; NULL before the first read */
	size_t n_text, n_allocated, n_max;
};

struct run {
	struct stream answer, complaint;
	pid_t pid;
	int pidfd; /* -errno where there is none */
};

static void run_done(struct run *run)
{
	close_fdp(&run->answer.fd);
	close_fdp(&run->complaint.fd);
	close_fdp(&run->pidfd);
	free(run->answer.text);
	free(run->complaint.text);
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int start(const struct helper_call *call, struct run *run, struct fault *fault)
{
	cleanup(close_fdp) int answer_fd = -1, complaint_fd = -1;
	int ends[2], r;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return fault_set(fault, -errno, "cannot make a pipe: %s", strerror(errno));
	run->answer.fd = ends[0];
	answer_fd = ends[1];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return fault_set(fault, -errno, "cannot make a second pipe: %s", strerror(errno));
	run->complaint.fd = ends[0];
	complaint_fd = ends[1];
	r = child_spawn(call->path, call->arguments,
			(int[]){ call->input_fd, answer_fd, complaint_fd }, &run->pid);
	if (r < 0)
		return fault_set(fault, r, "cannot start '%s': %s", call->path, strerror(-r));
	run->pidfd = pidfd_open(run->pid, 0);
	if (run->pidfd < 0)
		run->pidfd = -errno;
	return 0;
}

static int stream_grow(struct stream *stream)
{
	size_t n = stream->n_allocated ? 2 * stream->n_allocated : 4096;
	char *text;

	if (stream->n_text + 1 < stream->n_allocated)
		return 0;
	text = realloc(stream->text, n);
	if (!text)
		return -ENOMEM;
	stream->text = text;
	stream->n_allocated = n;
	return 0;
}

/* One read(2); closes the stream at its end. */
static int stream_read(struct stream *stream)
{
	ssize_t n;

	if (stream_grow(stream) < 0)
		return -ENOMEM;
	n = read(stream->fd, stream->text + stream->n_text,
		 stream->n_allocated - stream->n_text - 1);
	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : -errno;
	stream->n_text += (size_t)n;
	stream->text[stream->n_text] = '\0';
	if (stream->n_text > stream->n_max)
		return -EMSGSIZE;
	if (n == 0) {
		close(stream->fd);
		stream->fd = -1;
	}
	return 0;
}

/* Reads both streams to their end, then waits for the program's. 0, -ETIMEDOUT, -EMSGSIZE, -errno.
 */
static int listen_to(struct run *run, int64_t deadline_ms)
{
	for (;;) {
		bool talks = run->answer.fd >= 0 || run->complaint.fd >= 0;
		struct pollfd fds[] = {
			{ .fd = run->answer.fd, .events = POLLIN },
			{ .fd = run->complaint.fd, .events = POLLIN },
			{ .fd = talks ? -1 : run->pidfd, .events = POLLIN },
		};
		int64_t left_ms = deadline_ms - now_ms();
		int r = left_ms > 0 ? poll(fds, N_ELEMENTS(fds), (int)left_ms) : 0;

		if (r < 0 && errno != EINTR)
			return -errno;
		if (r == 0 && left_ms <= 0)
			return -ETIMEDOUT;
		if (r <= 0)
			continue;
		if (fds[2].revents)
			return 0;
		r = fds[0].revents ? stream_read(&run->answer) : 0;
		if (r == 0 && fds[1].revents)
			r = stream_read(&run->complaint);
		if (r < 0)
			return r;
	}
}

/* Why a program that ran did not succeed. */
static int explain(const struct helper_call *call, const struct run *run, const siginfo_t *end,
		   struct fault *fault)
{
	const char *complaint = run->complaint.text ? run->complaint.text : "";
	int n = (int)strcspn(complaint, "\n");

	if (end->si_code != CLD_EXITED)
		return fault_set(fault, -EIO, "'%s' for '%.200s' was ended by signal %d",
				 call->path,
				 call->arguments[0] && call->arguments[1] ? call->arguments[1] : "",
				 end->si_status);
	if (n == 0)
		return fault_set(fault, -EIO, "'%s' failed with exit code %d and no reason",
				 call->path, end->si_status);
	return fault_set(fault, -EINVAL, "%.*s", n, complaint);
}

/* Ends the program where it still runs, and reaps it. Where SIGCHLD is ignored the kernel reaps,
 * and the answer must speak for itself. */
static int finish(const struct helper_call *call, struct run *run, int r, struct fault *fault)
{
	siginfo_t end = { 0 };
	int reaped;

	if (r < 0)
		kill(run->pid, SIGKILL); /* not reaped yet, so the number is still its own */
	do
		reaped = waitid(P_PID, (id_t)run->pid, &end, WEXITED);
	while (reaped < 0 && errno == EINTR);
	if (r == -ETIMEDOUT)
		return fault_set(fault, r, "'%s' did not answer within %u ms", call->path,
				 call->deadline_ms);
	if (r == -EMSGSIZE)
		return fault_set(fault, r, "'%s' answered with more than %zu bytes", call->path,
				 call->n_answer_max);
	if (r < 0)
		return fault_set(fault, r, "cannot read what '%s' answers: %s", call->path,
				 strerror(-r));
	if (reaped == 0 && (end.si_code != CLD_EXITED || end.si_status != 0))
		return explain(call, run, &end, fault);
	if (run->answer.text && strlen(run->answer.text) != run->answer.n_text)
		return fault_set(fault, -EINVAL, "'%s' answered with a NUL byte", call->path);
	return 0;
}

int helper_run(const struct helper_call *call, char **ret_answer, struct fault *fault)
{
	cleanup(run_done) struct run run = {
		.answer = { .fd = -1, .n_max = call->n_answer_max },
		.complaint = { .fd = -1, .n_max = N_COMPLAINT_MAX },
		.pidfd = -1,
	};
	int64_t deadline_ms = now_ms() + call->deadline_ms;
	int r = start(call, &run, fault);

	if (r < 0)
		return r;
	r = run.pidfd < 0 ? run.pidfd : listen_to(&run, deadline_ms);
	r = finish(call, &run, r, fault);
	if (r < 0)
		return r;
	*ret_answer = run.answer.text ? TAKE_PTR(run.answer.text) : strdup("");
	return *ret_answer ? 0 : fault_set(fault, -ENOMEM, "no memory for an answer");
}

int probe_ask(const char *const *arguments, int input_fd, char **ret_answer, struct fault *fault)
{
	cleanup(freep) char *path = helper_path("sidecard-probe");
	struct helper_call call = {
		.path = path,
		.arguments = arguments,
		.input_fd = input_fd,
		.deadline_ms = TOPO_LOAD_DEADLINE_MS,
		.n_answer_max = N_ANSWER_MAX,
	};

	if (!path)
		return fault_set(fault, -ENOMEM, "no memory for the probe's path");
	return helper_run(&call, ret_answer, fault);
}

int topo_load(const char *machine, struct topology **ret_topology, struct fault *fault)
{
	const char *const question[] = { "topology", machine, NULL };
	cleanup(freep) char *answer = NULL;
	int r = probe_ask(question, -1, &answer, fault);

	return r < 0 ? r : topology_parse(answer, ret_topology, fault);
}

/* ---- the same, in an event loop ---- */

struct topo_loading {
	struct run run;
	struct helper_call call;
	char *path, *machine;
	const char *arguments[3];
	struct topo_listener listener;
	sd_event_source *answer, *complaint, *end, *timer;
};

struct topo_loading *topo_loading_free(struct topo_loading *loading)
{
	if (!loading)
		return NULL;
	sd_event_source_disable_unref(loading->answer);
	sd_event_source_disable_unref(loading->complaint);
	sd_event_source_disable_unref(loading->end);
	sd_event_source_disable_unref(loading->timer);
	if (loading->run.pid > 0)
		finish(&loading->call, &loading->run, -ECANCELED, NULL);
	run_done(&loading->run);
	free(loading->path);
	free(loading->machine);
	free(loading);
	return NULL;
}

/* @r: how the reading of its answer went. Reports, and is over; the listener frees it. */
static void loading_end(struct topo_loading *loading, int r)
{
	struct topology *topology = NULL;
	struct fault fault;

	sd_event_source_set_enabled(loading->timer, SD_EVENT_OFF);
	r = finish(&loading->call, &loading->run, r, &fault);
	loading->run.pid = 0;
	if (r == 0)
		r = topology_parse(loading->run.answer.text ? loading->run.answer.text : "",
				   &topology, &fault);
	loading->listener.loaded(loading->listener.userdata, topology, &fault);
}

static int on_loading_stream(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct topo_loading *loading = userdata;
	struct run *run = &loading->run;
	struct stream *stream = source == loading->answer ? &run->answer : &run->complaint;
	int r;

	(void)fd;
	(void)revents;
	r = stream_read(stream);
	if (stream->fd < 0)
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
	if (r < 0)
		loading_end(loading, r);
	else if (run->answer.fd < 0 && run->complaint.fd < 0)
		sd_event_source_set_enabled(loading->end, SD_EVENT_ON);
	return 0;
}

static int on_loading_over(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	(void)source;
	(void)fd;
	(void)revents;
	loading_end(userdata, 0);
	return 0;
}

static int on_loading_late(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)source;
	(void)usec;
	loading_end(userdata, -ETIMEDOUT);
	return 0;
}

static int loading_listen(struct topo_loading *loading, sd_event *event)
{
	struct run *run = &loading->run;
	int r = run->pidfd < 0 ? run->pidfd : 0;

	if (r >= 0)
		r = sd_event_add_io(event, &loading->answer, run->answer.fd, EPOLLIN,
				    on_loading_stream, loading);
	if (r >= 0)
		r = sd_event_add_io(event, &loading->complaint, run->complaint.fd, EPOLLIN,
				    on_loading_stream, loading);
	if (r >= 0)
		r = sd_event_add_io(event, &loading->end, run->pidfd, EPOLLIN, on_loading_over,
				    loading);
	if (r >= 0)
		r = sd_event_source_set_enabled(loading->end, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_add_time_relative(event, &loading->timer, CLOCK_MONOTONIC,
					       TOPO_LOAD_DEADLINE_MS * UINT64_C(1000), 0,
					       on_loading_late, loading);
	return r;
}

int topo_load_begin(const char *machine, sd_event *event, const struct topo_listener *listener,
		    struct topo_loading **ret_loading, struct fault *fault)
{
	struct topo_loading *loading = calloc(1, sizeof(*loading));
	int r;

	if (!loading)
		return fault_set(fault, -ENOMEM, "no memory to look at the machine");
	loading->run = (struct run){
		.answer = { .fd = -1, .n_max = N_ANSWER_MAX },
		.complaint = { .fd = -1, .n_max = N_COMPLAINT_MAX },
		.pidfd = -1,
	};
	loading->listener = *listener;
	loading->path = helper_path("sidecard-probe");
	loading->machine = strdup(machine);
	loading->arguments[0] = "topology";
	loading->arguments[1] = loading->machine;
	loading->call = (struct helper_call){ loading->path, loading->arguments, -1,
					      TOPO_LOAD_DEADLINE_MS, N_ANSWER_MAX };
	r = loading->path && loading->machine
		    ? start(&loading->call, &loading->run, fault)
		    : fault_set(fault, -ENOMEM, "no memory to ask the probe");
	if (r == 0) {
		r = loading_listen(loading, event);
		if (r < 0)
			fault_set(fault, r, "cannot wait for the probe: %s", strerror(-r));
	}
	if (r < 0) {
		topo_loading_free(loading);
		return r;
	}
	*ret_loading = loading;
	return 0;
}
