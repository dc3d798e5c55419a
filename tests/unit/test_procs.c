#include "world_fixture.h"

#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "sense/procs.h"

static void names_of_processes(void **state)
{
	static const struct {
		const char *why, *name;
		pid_t pid;
	} rows[] = {
		{ "a process", "4711", 4711 },
		{ "the first", "1", 1 },
		{ "a file", "cpuinfo", 0 },
		{ "leading zero", "007", 0 },
		{ "zero would be ourselves", "0", 0 },
		{ "negative", "-1", 0 },
		{ "trailing junk", "12x", 0 },
		{ "too large", "99999999999999999999", 0 },
		{ "largest", "2147483647", 2147483647 },
		{ "one more", "2147483648", 0 },
		{ "empty", "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++)
		if (pid_parse(rows[i].name) != rows[i].pid)
			fail_msg("%s: '%s' gave %d", rows[i].why, rows[i].name,
				 pid_parse(rows[i].name));
}

#define FIELDS_4_TO_21(flags) "1 2 3 0 -1 " flags " 1 2 3 4 5 6 7 8 20 0 1 0"

static void stat_lines(void **state)
{
	static const struct {
		const char *why, *text;
		int result;
		uint64_t start_time;
	} rows[] = {
		{ "plain", "7 (cat) S " FIELDS_4_TO_21("4194304") " 5123 99 7\n", 0, 5123 },
		{ "a name with everything in it",
		  "7 (a) R 1 ) (b\n) S " FIELDS_4_TO_21("0") " 12 3\n", 0, 12 },
		{ "zombie", "7 (cat) Z " FIELDS_4_TO_21("0") " 5123 9\n", -ESRCH, 0 },
		{ "kernel thread", "2 (kthreadd) S " FIELDS_4_TO_21("2129984") " 5 9\n", -ESRCH,
		  0 },
		{ "ends early", "7 (cat) S 1 2 3\n", -EINVAL, 0 },
		{ "no name", "7 cat S 1 2 3\n", -EINVAL, 0 },
		{ "ends behind the name", "7 (cat)", -EINVAL, 0 },
		{ "ends at the state", "7 (cat) ", -EINVAL, 0 },
		{ "a word for a number", "7 (cat) S " FIELDS_4_TO_21("x") " 5 9\n", -EINVAL, 0 },
		{ "a number beyond 64 bits",
		  "7 (cat) S " FIELDS_4_TO_21("0") " 99999999999999999999999 9\n", -EINVAL, 0 },
		{ "empty", "", -EINVAL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		uint64_t start_time = 0;
		int r = process_stat_parse(rows[i].text, &start_time);

		if (r != rows[i].result || start_time != rows[i].start_time)
			fail_msg("%s: %d, %lu", rows[i].why, r, (unsigned long)start_time);
	}
}

static void cgroup_lines(void **state)
{
	static const struct {
		const char *why, *text, *path; /* NULL: refused */
	} rows[] = {
		{ "unified", "0::/system.slice/a.service\n", "/system.slice/a.service" },
		{ "the root", "0::/\n", "/" },
		{ "hybrid", "12:cpu,cpuacct:/x\n1:name=systemd:/y\n0::/z\n", "/z" },
		{ "a v1 path that looks like ours", "1:name=systemd:/0::/evil\n0::/z\n", "/z" },
		{ "only v1", "12:cpu,cpuacct:/x\n", "" },
		{ "empty", "", "" },
		{ "removed under a zombie", "0::/a/b (deleted)\n", NULL },
		{ "outside our namespace", "0::/../b\n", NULL },
		{ "outside, further down", "0::/a/../../b\n", NULL },
		{ "outside, at the end", "0::/..\n", NULL },
		{ "dots that are a name", "0::/..a/b..\n", "/..a/b.." },
		{ "three dots are a name", "0::/...\n", "/..." },
		{ "not absolute", "0::a\n", NULL },
		{ "nothing", "0::\n", NULL },
		{ "control bytes are allowed in names", "0::/a\tb\x01\n", "/a\tb\x01" },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		char *path = NULL;
		int r = cgroup_line_parse(rows[i].text, &path);

		if (r != (rows[i].path ? 0 : -ESRCH) || (r == 0 && strcmp(path, rows[i].path) != 0))
			fail_msg("%s: %d, '%s'", rows[i].why, r, path ? path : "");
		free(path);
	}
}

#define MESSAGE_SIZE (NLMSG_HDRLEN + sizeof(struct cn_msg) + sizeof(struct proc_event))

static void message_put(char *data, uint32_t connector, uint32_t length,
			const struct proc_event *event)
{
	const struct nlmsghdr header = { .nlmsg_len = length, .nlmsg_type = NLMSG_DONE };
	const struct cb_id id = { connector, CN_VAL_PROC };

	memset(data, 0, MESSAGE_SIZE);
	memcpy(data, &header, sizeof(header));
	memcpy(data + NLMSG_HDRLEN, &id, sizeof(id));
	memcpy(data + NLMSG_HDRLEN + sizeof(struct cn_msg), event, sizeof(*event));
}

static void connector_messages(void **state)
{
	struct proc_event event = { .what = PROC_EVENT_FORK };
	struct proc_event_seen seen;
	char data[2 * NLMSG_ALIGN(MESSAGE_SIZE)] = { 0 };
	size_t offset = 0;

	(void)state;
	event.event_data.fork.parent_pid = 4;
	event.event_data.fork.parent_tgid = 3;
	event.event_data.fork.child_pid = 9;
	event.event_data.fork.child_tgid = 7; /* a thread */
	message_put(data, CN_IDX_PROC, MESSAGE_SIZE, &event);
	event.event_data.fork.child_tgid = 9;
	message_put(data + NLMSG_ALIGN(MESSAGE_SIZE), CN_IDX_PROC, MESSAGE_SIZE, &event);
	assert_true(proc_event_next(data, sizeof(data), &offset, &seen));
	assert_int_equal(seen.kind, PROC_FORKED);
	assert_int_equal(seen.pid, 9);
	assert_int_equal(seen.parent, 3);
	assert_false(proc_event_next(data, sizeof(data), &offset, &seen));

	/* Cut anywhere: never a byte beyond. */
	message_put(data, CN_IDX_PROC, MESSAGE_SIZE, &event);
	for (size_t n = 0; n <= MESSAGE_SIZE; n++) {
		char *exact = malloc(n + 1);

		memcpy(exact, data, n);
		offset = 0;
		assert_int_equal(proc_event_next(exact, n, &offset, &seen), n == MESSAGE_SIZE);
		free(exact);
	}
	message_put(data, CN_IDX_PROC + 1, MESSAGE_SIZE, &event);
	offset = 0;
	assert_false(proc_event_next(data, MESSAGE_SIZE, &offset, &seen)); /* another's */
	message_put(data, CN_IDX_PROC, 4, &event);
	offset = 0;
	assert_false(proc_event_next(data, MESSAGE_SIZE, &offset, &seen)); /* shorter than itself */
}

/* A child that runs `sleep 300.TAG`; its exec is over when this returns. */
static pid_t sleeper_start(const char *argument)
{
	int fds[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		execlp("sleep", "sleep", argument, NULL);
		_exit(127);
	}
	assert_true(pid > 0);
	close(fds[1]);
	assert_int_equal(read(fds[0], &byte, 1), 0); /* closed by exec */
	close(fds[0]);
	return pid;
}

static void sleeper_end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* Runs the loop until there are @n places; a generous bound, no measure. */
static void run_until_places(struct fixture *f, size_t n)
{
	for (int i = 0; i < 600 && n_places(f) != n; i++)
		sd_event_run(f->event, 100000);
	fixture_run(f);
	assert_int_equal(n_places(f), n);
}

static const char *tag(char buffer[static 32])
{
	static unsigned n;

	snprintf(buffer, 32, "300.%u%05u", (unsigned)getpid(), ++n);
	return buffer;
}

static void workload_command(struct fixture *f, const char *name, const char *argument)
{
	char glob[64];

	snprintf(glob, sizeof(glob), "sleep %s*", argument);
	assert_int_equal(strings_add(&workload_put(f, name)->match.command_lines, glob), 0);
}

static void comes_and_ends(struct fixture *f)
{
	char argument[32], other[32];
	uint64_t start_time;
	const struct place *place;
	pid_t first, second, stranger;
	size_t n;

	first = sleeper_start(tag(argument));
	stranger = sleeper_start(tag(other));
	workload_command(f, "w", argument);
	fixture_start(f);
	run_until_places(f, 1); /* was there before us */
	place = world_places(f->world, &n);
	assert_int_equal(place->kind, PLACE_PROCESS);
	assert_int_equal(place->pid, first);
	assert_int_equal(process_read(&f->sys, first, &start_time, NULL), 0);
	assert_int_equal(place->start_time, start_time);
	/* Its cgroup is the host's, of which the made-up tree has the root alone: as deep as we
	 * see. */
	assert_int_equal(world_limit_of(f->world, 0),
			 *place->cgroup ? limit_at(f, "/") : LIMIT_NONE);
	assert_true(process_matches(&f->sys, first, f->workloads[0]));
	assert_false(process_matches(&f->sys, stranger, f->workloads[0]));
	assert_false(process_matches(&f->sys, getpid(), f->workloads[0]));

	second = sleeper_start(argument);
	run_until_places(f, 2);
	assert_true(f->changes & WORLD_PLACES);
	sleeper_end(first);
	run_until_places(f, 1);
	assert_int_equal(f->n_ended, 0); /* nobody registered it */
	sleeper_end(second);
	run_until_places(f, 0);
	sleeper_end(stranger);
}

static struct fixture *fixture_of_processes(void)
{
	struct fixture *f = fixture_new();

	put(f, "/cpu.max", "400000 100000\n");
	return f;
}

static void found_without_the_connector(void **state)
{
	static const int errors[] = { -EPERM, -ECONNREFUSED, -EPROTONOSUPPORT };

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(errors); i++) {
		struct fixture *f = fixture_of_processes();

		f->proc_events_error = errors[i];
		comes_and_ends(f);
		assert_non_null(strstr(f->all_notices, "process connector not to be had"));
		fixture_free(f);
	}
}

static void found_as_the_kernel_has_it(void **state)
{
	struct fixture *f = fixture_of_processes();

	(void)state;
	comes_and_ends(f);
	print_message("process connector: %s\n", f->n_notices ? f->last_notice : "works");
	fixture_free(f);
}

static void no_connector_where_nobody_needs_it(void **state)
{
	struct fixture *f = fixture_of_processes();

	(void)state;
	f->proc_events_error = -EPERM;
	workload_unit(f, "a", "a.service");
	fixture_start(f);
	assert_null(strstr(f->all_notices, "process connector"));
	assert_int_equal(fixture_run(f), 0);
	fixture_free(f);
}

static void registered_children(void **state)
{
	struct fixture *f = fixture_of_processes();
	char argument[32];
	pid_t pid = sleeper_start(tag(argument)), other;
	uint64_t start_time;

	(void)state;
	workload_put(f, "w");
	workload_put(f, "x");
	fixture_start(f);
	assert_int_equal(process_read(&f->sys, pid, &start_time, NULL), 0);
	/* pidfds are taken over, also where it fails. */
	assert_int_equal(
		world_register(f->world, 0, pid, start_time + 1, f->sys.pidfd_open(&f->sys, pid)),
		-ESRCH);
	assert_int_equal(
		world_register(f->world, 7, pid, start_time, f->sys.pidfd_open(&f->sys, pid)),
		-ESRCH);
	assert_int_equal(
		world_register(f->world, 1, pid, start_time, f->sys.pidfd_open(&f->sys, pid)), 0);
	assert_int_equal(
		world_register(f->world, 1, pid, start_time, f->sys.pidfd_open(&f->sys, pid)),
		-EEXIST);
	fixture_run(f);
	assert_int_equal(f->changes, WORLD_PLACES);
	assert_int_equal(n_places(f), 1);

	/* "w" goes: the registration follows its workload by name. */
	workload_free(f->workloads[0]);
	f->workloads[0] = f->workloads[1];
	f->n_workloads = 1;
	fixture_configure(f);
	{
		size_t n;

		assert_int_equal(world_places(f->world, &n)[0].workload, 0);
	}
	assert_int_equal(world_release(f->world, pid, start_time + 1), -ESRCH);
	assert_int_equal(world_release(f->world, pid, start_time), 0);
	assert_int_equal(world_release(f->world, pid, start_time), -ESRCH);
	fixture_run(f);
	assert_int_equal(n_places(f), 0);
	assert_int_equal(f->n_ended, 0);

	assert_int_equal(
		world_register(f->world, 0, pid, start_time, f->sys.pidfd_open(&f->sys, pid)), 0);
	other = sleeper_start(tag(argument));
	assert_int_equal(process_read(&f->sys, other, &start_time, NULL), 0);
	assert_int_equal(
		world_register(f->world, 0, other, start_time, f->sys.pidfd_open(&f->sys, other)),
		0);
	run_until_places(f, 2);
	fixture_forget(f);
	sleeper_end(pid);
	run_until_places(f, 1);
	assert_int_equal(f->n_ended, 1);
	assert_int_equal(f->last_ended, pid);
	assert_int_equal(f->changes, WORLD_PLACES);
	/* A zombie is none: its registration comes too late. */
	kill(other, SIGKILL);
	run_until_places(f, 0);
	assert_int_equal(f->n_ended, 2);
	assert_int_equal(
		world_register(f->world, 0, other, start_time, f->sys.pidfd_open(&f->sys, other)),
		-ESRCH);
	sleeper_end(other);
	fixture_free(f);
}

static void first_workload_has_the_process(void **state)
{
	struct fixture *f = fixture_of_processes();
	char argument[32];
	pid_t pid = sleeper_start(tag(argument));
	uint64_t start_time;
	size_t n;

	(void)state;
	f->proc_events_error = -EPERM;
	workload_command(f, "a", argument);
	workload_command(f, "b", argument);
	workload_put(f, "c");
	fixture_start(f);
	run_until_places(f, 1);
	assert_int_equal(world_places(f->world, &n)[0].workload, 0);
	assert_non_null(strstr(f->all_notices, "workloads 'a' and 'b' both match processes"));
	/* Registered, it is the third's; released, the first's again. */
	assert_int_equal(process_read(&f->sys, pid, &start_time, NULL), 0);
	assert_int_equal(
		world_register(f->world, 2, pid, start_time, f->sys.pidfd_open(&f->sys, pid)), 0);
	fixture_run(f);
	assert_int_equal(n_places(f), 1);
	assert_int_equal(world_places(f->world, &n)[0].workload, 2);
	assert_int_equal(world_rescan(f->world, NULL), 0);
	assert_int_equal(world_places(f->world, &n)[0].workload, 2);
	assert_int_equal(world_release(f->world, pid, start_time), 0);
	fixture_run(f);
	assert_int_equal(world_places(f->world, &n)[0].workload, 0);
	sleeper_end(pid);
	fixture_free(f);
}

/* ---- executables that we may not read ---- */

static int identify_later(void *userdata, pid_t pid, uint64_t start_time)
{
	struct fixture *f = userdata;

	assert_true(start_time > 0);
	assert_true(f->n_asked < N_ELEMENTS(f->asked_pids));
	f->asked_pids[f->n_asked++] = pid;
	return 0;
}

static int identify_never(void *userdata, pid_t pid, uint64_t start_time)
{
	(void)userdata;
	(void)pid;
	(void)start_time;
	return -ENOTSUP;
}

/* Answers all questions that are open. */
static void answer_all(struct fixture *f, const char *executable)
{
	for (size_t i = 0; i < f->n_asked; i++) {
		uint64_t start_time = 0;

		process_read(&f->sys, f->asked_pids[i], &start_time, NULL);
		assert_int_equal(
			world_identified(f->world, f->asked_pids[i], start_time, executable), 0);
	}
	f->n_asked = 0;
	fixture_run(f);
}

static void executables_are_asked_for(void **state)
{
	struct fixture *f = fixture_of_processes();
	char argument[32];
	pid_t pid = sleeper_start(tag(argument));
	uint64_t start_time;

	(void)state;
	f->proc_events_error = -EPERM;
	f->identify = identify_later;
	/* The other keys rule out everybody else, without a question. */
	workload_command(f, "w", argument);
	assert_int_equal(strings_add(&f->workloads[0]->match.executables, "/bin/good"), 0);
	assert_int_equal(strings_add(&f->workloads[0]->match.executables, "/bin/better"), 0);
	fixture_start(f);
	assert_int_equal(f->n_asked, 1);
	assert_int_equal(f->asked_pids[0], pid);
	assert_false(world_is_identified(f->world));
	assert_false(world_is_known(f->world));
	assert_int_equal(n_places(f), 0);
	answer_all(f, "/bin/better (deleted)"); /* replaced by an upgrade, still the same */
	assert_true(world_is_known(f->world));
	assert_int_equal(n_places(f), 1);
	assert_int_equal(process_read(&f->sys, pid, &start_time, NULL), 0);
	assert_true(world_has(f->world, 0, pid, start_time));
	assert_false(world_has(f->world, 0, pid, start_time + 1));
	assert_false(world_has(f->world, 1, pid, start_time));
	/* Another configuration: it stays where it is, whatever is asked again. */
	fixture_configure(f);
	assert_int_equal(n_places(f), 1);
	answer_all(f, "/bin/good");
	assert_int_equal(n_places(f), 1);
	/* It executes something else. */
	assert_int_equal(world_rescan(f->world, NULL), 0);
	assert_int_equal(n_places(f), 1);
	answer_all(f, "/bin/bad");
	assert_int_equal(n_places(f), 0);
	/* An answer about somebody who had the number before. */
	assert_int_equal(world_rescan(f->world, NULL), 0);
	assert_int_equal(f->n_asked, 1);
	f->n_asked = 0;
	assert_int_equal(world_identified(f->world, pid, start_time + 1, "/bin/good"), 0);
	fixture_run(f);
	assert_int_equal(n_places(f), 0);
	assert_true(world_is_known(f->world));
	/* Nobody may tell: said once. */
	assert_null(strstr(f->all_notices, "executables of other users"));
	assert_int_equal(world_rescan(f->world, NULL), 0);
	answer_all(f, NULL); /* it was just ending */
	assert_null(strstr(f->all_notices, "executables of other users"));
	assert_int_equal(world_rescan(f->world, NULL), 0);
	answer_all(f, "");
	assert_non_null(strstr(f->all_notices, "executables of other users"));
	assert_int_equal(n_places(f), 0);
	sleeper_end(pid);
	fixture_free(f);
}

static void executables_that_nobody_tells(void **state)
{
	struct fixture *f = fixture_of_processes();
	char argument[32];
	pid_t pid = sleeper_start(tag(argument));

	(void)state;
	f->proc_events_error = -EPERM;
	f->identify = identify_never;
	workload_command(f, "w", argument);
	assert_int_equal(strings_add(&f->workloads[0]->match.executables, "/bin/good"), 0);
	workload_command(f, "x", argument);
	fixture_start(f);
	assert_non_null(strstr(f->all_notices, "executables of other users"));
	/* Who does not ask for the executable still has it. */
	assert_int_equal(n_places(f), 1);
	assert_true(world_is_known(f->world));
	sleeper_end(pid);
	fixture_free(f);
}

/* ---- a socket of process events that was handed over ---- */

static void event_send(struct fixture *f, const struct proc_event *event)
{
	char data[MESSAGE_SIZE];

	message_put(data, CN_IDX_PROC, MESSAGE_SIZE, event);
	assert_int_equal(send(f->procs_fds[1], data, sizeof(data), 0), sizeof(data));
}

static int says_yes(struct fixture *f)
{
	event_send(f, &(struct proc_event){ .what = PROC_EVENT_NONE });
	return 0;
}

static int says_no(struct fixture *f)
{
	struct proc_event event = { .what = PROC_EVENT_NONE };

	event.event_data.ack.err = EPERM;
	event_send(f, &event);
	return 0;
}

static int fails(struct fixture *f)
{
	(void)f;
	return -ECONNREFUSED;
}

static void events_by_a_given_socket(void **state)
{
	static const struct {
		const char *why;
		int (*answer)(struct fixture *f);
		bool works;
	} rows[] = {
		{ "Linux 6.6 and later: everybody may", says_yes, true },
		{ "before: refused, but somebody has switched it on, or there were no word",
		  says_no, true },
		{ "before, and nobody has", NULL, false },
		{ "not to be asked at all", fails, false },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct fixture *f = fixture_of_processes();
		struct proc_event event = { .what = PROC_EVENT_EXEC };
		char argument[32];
		pid_t pid;

		assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
					    f->procs_fds),
				 0);
		f->procs_answer = rows[i].answer;
		workload_command(f, "w", tag(argument));
		fixture_start(f);
		if (rows[i].works == (strstr(f->all_notices, "process connector") != NULL))
			fail_msg("%s: '%s'", rows[i].why, f->all_notices);
		if (rows[i].works) {
			fixture_run(f);
			pid = sleeper_start(argument);
			assert_int_equal(n_places(f), 0); /* nobody has told, nobody has looked */
			event.event_data.exec.process_pid = pid;
			event.event_data.exec.process_tgid = pid;
			event_send(f, &event);
			fixture_run(f);
			assert_int_equal(n_places(f), 1);
			sleeper_end(pid);
		}
		/* Nobody needs it any more; then somebody does again. */
		f->n_ignored = 0;
		strings_done(&f->workloads[0]->match.command_lines);
		fixture_configure(f);
		assert_int_equal(f->n_ignored, 1);
		f->procs_answer = says_yes;
		f->all_notices[0] = '\0';
		workload_command(f, "x", argument);
		fixture_configure(f);
		assert_null(strstr(f->all_notices, "process connector"));
		fixture_free(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_of_processes),
		cmocka_unit_test(stat_lines),
		cmocka_unit_test(cgroup_lines),
		cmocka_unit_test(connector_messages),
		cmocka_unit_test(no_connector_where_nobody_needs_it),
		cmocka_unit_test(registered_children),
		cmocka_unit_test(first_workload_has_the_process),
		cmocka_unit_test(executables_are_asked_for),
		cmocka_unit_test(executables_that_nobody_tells),
		cmocka_unit_test(events_by_a_given_socket),
		cmocka_unit_test(found_without_the_connector),
		cmocka_unit_test(found_as_the_kernel_has_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
