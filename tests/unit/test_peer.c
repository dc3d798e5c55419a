/* Who asks, and who may change something. */
#include "socket_fixture.h"

#include <ftw.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static uint64_t own_start_time(pid_t pid)
{
	char path[64], text[1024] = "";
	uint64_t start_time = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	assert_non_null(file);
	assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
	fclose(file);
	assert_int_equal(peer_parse_start_time(text, &start_time), 0);
	return start_time;
}

static void who_registers_is_what_the_kernel_says(void **state)
{
	struct fixture *f = fixture_new(2);
	int fd = client_open(f);
	char page[128];
	bool has_page = false, has_quoted = false;
	json_t *reply, *line;
	size_t i;

	(void)state;
	assert_int_equal(strings_add(&f->published->environments[1], "OPTS=-x \"a\" $b \\c"), 0);
	reply = client_ask(f, fd,
			   "{\"method\":\"io.sidecard.Register\",\"parameters\":"
			   "{\"workload\":\"w00001\",\"lease_us\":3000000}}");
	assert_int_equal(f->asked.peer.pid, getpid());
	assert_int_equal(f->asked.peer.uid, getuid());
	assert_int_equal(f->asked.peer.gid, getgid());
	assert_int_equal(f->asked.peer.start_time, own_start_time(getpid()));
	assert_true(f->asked.peer.pidfd >= 0);
	assert_true(fcntl(f->asked.peer.pidfd, F_GETFD) & FD_CLOEXEC);
	assert_string_equal(f->asked.workload, "w00001");
	assert_int_equal(f->asked.lease_us, 3000000);
	assert_string_equal(text_at(reply, "parameters.workload.name"), "w00001");
	snprintf(page, sizeof(page), "%s/live/w00001", f->directory);
	assert_string_equal(text_at(reply, "parameters.page"), page);
	json_array_foreach (at(reply, "parameters.environment"), i, line) {
		has_page |= strncmp(json_string_value(line), "SIDECARD_PAGE=", 14) == 0 &&
			    strcmp(json_string_value(line) + 14, page) == 0;
		has_quoted |= strcmp(json_string_value(line), "OPTS=-x \"a\" $b \\c") == 0;
	}
	assert_true(has_page && has_quoted);
	json_decref(reply);
	/* A workload that is configured and not yet published. */
	reply = client_ask(f, fd,
			   "{\"method\":\"io.sidecard.Register\",\"parameters\":{\"workload\":"
			   "\"soon\",\"lease_us\":null}}");
	assert_true(json_is_null(at(reply, "parameters.workload")));
	assert_int_equal(f->asked.lease_us, 0);
	json_decref(reply);
	close(fd);
	fixture_free(f);
}

static bool is_first(const void *userdata, size_t i)
{
	(void)userdata;
	return i == 0;
}

#define W00000 "\"parameters\":{\"workload\":\"w00000\"}}"

/* The reply has the numbers of the moment when it may go out, and goes to who waits for it alone.
 */
static void who_registers_waits_for_the_round_that_saw_him(void **state)
{
	static const char *const calls[] = {
		"{\"method\":\"io.sidecard.Register\",\"parameters\":{\"workload\":\"w00000\"}}",
		"{\"method\":\"io.sidecard.Register\",\"parameters\":{\"workload\":\"w00001\"}}",
		("{\"method\":\"io.sidecard.Register\",\"oneway\":true," W00000),
	};
	struct fixture *f = fixture_new(2);
	struct strings *arguments = calloc(2, sizeof(*arguments));
	int fds[N_ELEMENTS(calls)];
	json_t *reply;

	(void)state;
	f->asked.register_result = PUBLISH_LATER;
	for (size_t i = 0; i < N_ELEMENTS(calls); i++) {
		fds[i] = client_open(f);
		client_call(f, fds[i], calls[i]);
		settle(f);
		assert_true(client_is_waiting(f, fds[i]));
	}
	assert_int_equal(f->asked.n_register, 3);
	assert_int_equal(strings_add(&arguments[0], "--two words"), 0);
	f->published->view.arguments = arguments;
	sockets_registered(f->sockets, is_first, NULL);
	reply = client_reply(f, fds[0]);
	assert_string_equal(text_at(reply, "parameters.workload.name"), "w00000");
	assert_string_equal(json_string_value(json_array_get(at(reply, "parameters.arguments"), 0)),
			    "--two words");
	assert_string_equal(text_at(reply, "parameters.memory"), "preferred");
	assert_true(json_is_true(at(reply, "parameters.pin")));
	json_decref(reply);
	assert_true(client_is_waiting(f, fds[1]));
	assert_true(client_is_waiting(f, fds[2]));
	/* Nobody waits twice; and one who has gone meanwhile is no trouble. */
	close(fds[1]);
	settle(f);
	sockets_registered(f->sockets, is_first, NULL);
	assert_true(client_is_waiting(f, fds[0]));
	reply = client_ask(f, fds[2], "{\"method\":\"io.sidecard.List\"}");
	assert_null(at(reply, "error"));
	json_decref(reply);
	close(fds[0]);
	close(fds[2]);
	f->published->view.arguments = NULL;
	strings_done(&arguments[0]);
	free(arguments);
	fixture_free(f);
}

static void refusals_have_their_names(void **state)
{
	static const struct {
		const char *method;
		int result;
		const char *error;
	} rows[] = {
		{ "Register", -EACCES, "io.sidecard.NotAuthorized" },
		{ "Register", -EPERM, "io.sidecard.NotAuthorized" },
		{ "Register", -ENOENT, "io.sidecard.NoSuchWorkload" },
		{ "Register", -EEXIST, "io.sidecard.AlreadyRegistered" },
		{ "Register", -ENOSPC, "io.sidecard.TooManyRegistrations" },
		{ "Register", -ENOMEM, "io.sidecard.Failed" },
		{ "Heartbeat", -ENOENT, "io.sidecard.NotRegistered" },
		{ "Heartbeat", -EACCES, "io.sidecard.NotAuthorized" },
		{ "Release", -ENOENT, "io.sidecard.NotRegistered" },
		{ "Release", -EIO, "io.sidecard.Failed" },
		{ "Reload", -EIO, "io.sidecard.Failed" },
	};
	struct fixture *f = fixture_new(1);
	int fd = client_open(f);

	(void)state;
	f->asked.fault = "because of \"this\"";
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		bool is_register = strcmp(rows[i].method, "Register") == 0;
		char call[256];
		json_t *reply;

		f->asked.result = rows[i].result;
		snprintf(call, sizeof(call), "{\"method\":\"io.sidecard.%s\",\"parameters\":{%s}}",
			 rows[i].method, is_register ? "\"workload\":\"w00000\"" : "");
		reply = client_ask(f, fd, call);
		if (strcmp(text_at(reply, "error"), rows[i].error) != 0)
			fail_msg("%s %d: %s", rows[i].method, rows[i].result, json_dumps(reply, 0));
		json_decref(reply);
	}
	close(fd);
	fixture_free(f);
}

static void reload_reports_every_fault(void **state)
{
	struct fixture *f = fixture_new(1);
	int fd = client_open(f);
	json_t *reply;

	(void)state;
	f->asked.result = -EINVAL;
	f->asked.faults[0] = "a.conf:1: [CPU] Min: '0'";
	f->asked.faults[1] = "b.conf:2: [CPU] Max: 'x'";
	reply = client_ask(f, fd, "{\"method\":\"io.sidecard.Reload\"}");
	assert_int_equal(json_array_size(at(reply, "parameters.faults")), 2);
	assert_string_equal(text_at(reply, "parameters.faults.1"), "b.conf:2: [CPU] Max: 'x'");
	json_decref(reply);
	f->asked = (struct asked){ 0 };
	reply = client_ask(f, fd, "{\"method\":\"io.sidecard.Reload\"}");
	assert_int_equal(json_array_size(at(reply, "parameters.faults")), 0);
	assert_non_null(at(reply, "parameters.faults"));
	assert_int_equal(f->asked.n_reload, 1);
	json_decref(reply);
	close(fd);
	fixture_free(f);
}

static int child_registers(struct fixture *f)
{
	int fd = child_connect(f);

	return fd >= 0 && child_asks(fd,
				     "{\"method\":\"io.sidecard.Register\",\"parameters\":{"
				     "\"workload\":\"w00000\"}}",
				     "SIDECARD_WORKLOAD=w00000")
		       ? 0
		       : 1;
}

static void a_child_is_known_by_its_own_process(void **state)
{
	struct fixture *f = fixture_new(1);

	(void)state;
	assert_int_equal(in_a_child(f, getuid(), child_registers), 0);
	assert_int_equal(f->asked.n_register, 1);
	assert_true(f->asked.peer.pid > 0 && f->asked.peer.pid != getpid());
	assert_int_equal(f->sockets->n_connections, 0); /* its descriptors went with it */
	fixture_free(f);
}

static void the_holder_of_a_dead_process_s_socket_is_nobody(void **state)
{
	struct fixture *f = fixture_new(1);
	int pair[2], fd = -1;
	json_t *reply;
	pid_t pid;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	pid = fork();
	if (pid == 0) {
		/* Connects, hands the connection over, and ends. */
		char control[CMSG_SPACE(sizeof(int))] = { 0 };
		struct iovec iov = { .iov_base = control, .iov_len = 1 };
		struct msghdr message = { .msg_iov = &iov,
					  .msg_iovlen = 1,
					  .msg_control = control,
					  .msg_controllen = sizeof(control) };
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		int mine = child_connect(f);

		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &mine, sizeof(int));
		if (!child_asks(mine, "{\"method\":\"io.sidecard.Heartbeat\"}", "parameters"))
			_exit(1);
		_exit(sendmsg(pair[1], &message, 0) == 1 ? 0 : 2);
	}
	for (unsigned i = 0; fd < 0 && i < N_TURNS; i++) {
		char byte, control[CMSG_SPACE(sizeof(int))] = { 0 };
		struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
		struct msghdr message = { .msg_iov = &iov,
					  .msg_iovlen = 1,
					  .msg_control = control,
					  .msg_controllen = sizeof(control) };

		turn(f);
		if (recvmsg(pair[0], &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) == 1)
			memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
	}
	assert_true(fd >= 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	reply = client_ask(
		f, fd,
		"{\"method\":\"io.sidecard.Register\",\"parameters\":{\"workload\":\"w00000\"}}");
	assert_string_equal(text_at(reply, "error"), "io.sidecard.NotAuthorized");
	assert_int_equal(f->asked.n_register, 0);
	json_decref(reply);
	/* Reading is for everybody. */
	reply = client_ask(f, fd, "{\"method\":\"io.sidecard.List\"}");
	assert_null(at(reply, "error"));
	json_decref(reply);
	close(fd);
	close(pair[0]);
	close(pair[1]);
	fixture_free(f);
}

static int stranger_reloads(struct fixture *f)
{
	int fd = child_connect(f);

	if (fd < 0 ||
	    !child_asks(fd, "{\"method\":\"io.sidecard.Reload\"}", "io.sidecard.NotAuthorized"))
		return 1;
	if (!child_asks(fd, "{\"method\":\"io.sidecard.List\"}", "w00000"))
		return 2;
	/* A stranger may register: whether that workload is its own is the daemon's question. */
	return child_asks(fd,
			  "{\"method\":\"io.sidecard.Register\",\"parameters\":{\"workload\":"
			  "\"w00000\"}}",
			  "page")
		       ? 0
		       : 3;
}

static void strangers_change_nothing(void **state)
{
	struct fixture *f;

	(void)state;
	if (getuid() != 0)
		skip(); /* only root can become somebody else */
	f = fixture_new(1);
	assert_int_equal(in_a_child(f, 65534, stranger_reloads), 0);
	assert_int_equal(f->asked.n_reload, 0);
	assert_int_equal(f->asked.peer.uid, 65534);
	assert_false(f->asked.peer.is_privileged);
	fixture_free(f);
}

/* A made-up procfs: process 500 is the peer, we are ourselves. */
struct proc {
	char root[64];
	struct sys sys;
};

static ssize_t closed_read_link(const struct sys *sys, int dirfd, const char *path, char *buffer,
				size_t size)
{
	ssize_t n;

	/* As the kernel does to who has fewer capabilities than the process. */
	(void)sys;
	if (strncmp(path, "500/ns/", 7) == 0)
		return -EACCES;
	n = readlinkat(dirfd, path, buffer, size - 1);
	if (n >= 0)
		buffer[n] = '\0';
	return n < 0 ? -errno : n;
}

static void proc_file(const struct proc *proc, const char *process, const char *name,
		      const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s/%s", proc->root, process, name);
	unlink(path);
	if (!text)
		return;
	file = fopen(path, "we");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void proc_link(const struct proc *proc, const char *process, const char *name,
		      const char *target)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s/%s", proc->root, process, name);
	unlink(path);
	if (target)
		assert_int_equal(symlink(target, path), 0);
}

#define MAP "         0          0 4294967295\n"

static void proc_process(const struct proc *proc, const char *process)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", proc->root, process);
	assert_int_equal(mkdir(path, 0755), 0);
	snprintf(path, sizeof(path), "%s/%s/ns", proc->root, process);
	assert_int_equal(mkdir(path, 0755), 0);
	proc_link(proc, process, "ns/pid", "pid:[1]");
	proc_link(proc, process, "ns/user", "user:[2]");
	proc_file(proc, process, "status", "Name:\tx\nNSpid:\t500\nThreads:\t1\n");
	proc_file(proc, process, "uid_map", MAP);
	proc_file(proc, process, "gid_map", MAP);
	proc_file(proc, process, "projid_map", MAP);
}

static void proc_open(struct proc *proc)
{
	char self[16], path[128];

	strcpy(proc->root, "/tmp/sidecard-proc-XXXXXX");
	assert_non_null(mkdtemp(proc->root));
	snprintf(self, sizeof(self), "%d", (int)getpid());
	proc_process(proc, self);
	proc_process(proc, "500");
	snprintf(path, sizeof(path), "%s/self", proc->root);
	assert_int_equal(symlink(self, path), 0);
	assert_int_equal(sys_linux_open(proc->root, &proc->sys), 0);
}

static int proc_remove(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
	(void)status;
	(void)kind;
	(void)walk;
	return remove(path);
}

static void proc_done(struct proc *proc)
{
	sys_linux_close(&proc->sys);
	assert_int_equal(nftw(proc->root, proc_remove, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static void root_elsewhere_is_not_root_here(void **state)
{
	/* clang-format off */
	static const struct {
		const char *why;
		const char *pid_link, *user_link; /* NULL: gone */
		bool links_are_closed;
		const char *status, *uid_map, *gid_map, *projid_map; /* NULL: as ours */
		bool is_ours;
	} rows[] = {
		{ "ours", "pid:[1]", "user:[2]", false, NULL, NULL, NULL, NULL, true },
		{ "a container", "pid:[9]", "user:[2]", false, NULL, NULL, NULL, NULL, false },
		{ "a user namespace", "pid:[1]", "user:[9]", false, NULL, NULL, NULL, NULL, false },
		{ "links say no, maps say yes", "pid:[9]", "user:[9]", false, NULL, NULL, NULL,
		  NULL, false },
		{ "it has ended", NULL, NULL, false, NULL, NULL, NULL, NULL, false },
		{ "one link is missing", "pid:[1]", NULL, false, NULL, NULL, NULL, NULL, false },
		{ "links closed, tables ours", "pid:[1]", "user:[2]", true, NULL, NULL, NULL, NULL,
		  true },
		{ "links closed, a container", "pid:[9]", "user:[2]", true,
		  "Name:\tx\nNSpid:\t500\t1\nx\n", NULL, NULL, NULL, false },
		{ "a name cannot forge the line", "pid:[9]", "user:[2]", true,
		  "Name:\tNSpid:\t1\nNSpid:\t500\t1\n", NULL, NULL, NULL, false },
		{ "links closed, no such line", "pid:[9]", "user:[2]", true, "Name:\tx\n", NULL,
		  NULL, NULL, false },
		{ "links closed, mapped", "pid:[1]", "user:[9]", true, NULL, "0 100000 65536\n",
		  "0 100000 65536\n", "", false },
		{ "links closed, mapped one to one", "pid:[1]", "user:[9]", true, NULL, NULL, NULL,
		  "", false },
		{ "links closed, groups mapped", "pid:[1]", "user:[9]", true, NULL, NULL, "0 0 1\n",
		  NULL, false },
	};
	/* clang-format on */
	struct proc proc;

	(void)state;
	proc_open(&proc);
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct peer_rules rules;

		proc_link(&proc, "500", "ns/pid", rows[i].pid_link);
		proc_link(&proc, "500", "ns/user", rows[i].user_link);
		proc_file(&proc, "500", "status",
			  rows[i].status ? rows[i].status : "Name:\tx\nNSpid:\t500\nThreads:\t1\n");
		proc_file(&proc, "500", "uid_map", rows[i].uid_map ? rows[i].uid_map : MAP);
		proc_file(&proc, "500", "gid_map", rows[i].gid_map ? rows[i].gid_map : MAP);
		proc_file(&proc, "500", "projid_map",
			  rows[i].projid_map ? rows[i].projid_map : MAP);
		peer_rules_open(&proc.sys, &rules);
		assert_true(rules.has_namespaces);
		if (rows[i].links_are_closed)
			proc.sys.read_link = closed_read_link;
		if (peer_is_in_our_namespaces(&rules, 500) != rows[i].is_ours)
			fail_msg("%s", rows[i].why);
		assert_false(peer_is_in_our_namespaces(&rules, 0));
		assert_false(peer_is_in_our_namespaces(&rules, 501));
		peer_rules_done(&rules);
		sys_linux_close(&proc.sys);
		assert_int_equal(sys_linux_open(proc.root, &proc.sys), 0);
	}
	proc_done(&proc);
}

static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };

	return (int)syscall(SYS_capset, &header, none);
}

/* What a front without any capability says of process @pid. */
static int judge_without_capabilities(pid_t pid, bool is_closed)
{
	struct peer_rules rules;
	struct sys sys;
	char link[64];
	int is_ours;

	if (drop_capabilities() < 0 || sys_linux_open("/proc", &sys) < 0)
		return 100;
	snprintf(link, sizeof(link), "%d/ns/pid", (int)pid);
	if (is_closed && sys.read_link(&sys, sys.proc_fd, link, link, sizeof(link)) != -EACCES)
		return 101; /* then this test shows nothing */
	peer_rules_open(&sys, &rules);
	is_ours = peer_is_in_our_namespaces(&rules, pid);
	peer_rules_done(&rules);
	sys_linux_close(&sys);
	return is_ours;
}

/* The verdict of such a front (user namespaces are open to the user who made them:
 * user_namespaces(7)) on a process that entered @namespaces (for a PID namespace: its first child).
 */
static int verdict_on(int namespaces)
{
	int ready[2], status = 0, kept = 102;
	pid_t root, judge, grandchild = 0;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	root = fork();
	if (root == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (namespaces && unshare(namespaces) < 0)
			_exit(1);
		grandchild = namespaces & CLONE_NEWPID ? fork() : 0;
		if (grandchild == 0)
			prctl(PR_SET_PDEATHSIG, SIGKILL);
		grandchild = grandchild > 0 ? grandchild : getpid();
		if (!(namespaces & CLONE_NEWPID) || grandchild != 1)
			if (write(ready[1], &grandchild, sizeof(grandchild)) < 0)
				_exit(2);
		pause();
		_exit(0);
	}
	close(ready[1]);
	if (read(ready[0], &grandchild, sizeof(grandchild)) == sizeof(grandchild)) {
		judge = fork();
		if (judge == 0)
			_exit(judge_without_capabilities(grandchild, namespaces != CLONE_NEWUSER));
		waitpid(judge, &status, 0);
		kept = WIFEXITED(status) ? WEXITSTATUS(status) : 103;
	}
	close(ready[0]);
	kill(root, SIGKILL);
	waitpid(root, NULL, 0);
	return kept;
}

static void a_front_without_capabilities_knows_root(void **state)
{
	(void)state;
	if (getuid() != 0)
		skip(); /* only root has something to drop */
	assert_int_equal(verdict_on(0), 1);
	/* 102: namespaces are not to be had here */
	assert_true(verdict_on(CLONE_NEWPID) == 0 || verdict_on(CLONE_NEWPID) == 102);
	assert_true(verdict_on(CLONE_NEWUSER) == 0 || verdict_on(CLONE_NEWUSER) == 102);
}

static void a_strange_procfs_makes_nobody_privileged(void **state)
{
	struct peer peer = { .pidfd = -1 };
	struct peer_rules rules;
	struct proc proc;
	char path[128];
	int pair[2];

	(void)state;
	proc_open(&proc);
	snprintf(path, sizeof(path), "%s/self", proc.root);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("500", path),
			 0); /* another PID namespace's: numbers mean others there */
	peer_rules_open(&proc.sys, &rules);
	assert_false(rules.has_namespaces);
	assert_false(peer_is_in_our_namespaces(&rules, 500));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(peer_of_socket(&rules, pair[0], &peer), 0);
	assert_int_equal(peer.uid, getuid());
	assert_false(peer.is_privileged);
	assert_false(peer_is_alive(&peer));
	close(pair[0]);
	close(pair[1]);
	peer_rules_done(&rules);
	proc_done(&proc);
}

static void who_may_change_something(void **state)
{
	/* clang-format off */
	static const struct {
		const char *why;
		uint32_t uid, gids[3];
		size_t n_gids;
		bool has_group, may;
	} rows[] = {
		{ "root", 0, { 0 }, 1, true, true },
		{ "our own user", 77, { 77 }, 1, true, true },
		{ "a stranger", 1000, { 1000 }, 1, true, false },
		{ "group sidecard first", 1000, { 990 }, 1, true, true },
		{ "group sidecard among others", 1000, { 1000, 4, 990 }, 3, true, true },
		{ "beyond the end", 1000, { 1000, 4, 990 }, 2, true, false },
		{ "that group does not exist here", 1000, { 990 }, 1, false, false },
		{ "group root is not enough", 1000, { 0 }, 1, true, false },
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct peer_rules rules = { .own_uid = 77,
					    .has_group = rows[i].has_group,
					    .group_gid = 990 };

		if (peer_may_change(&rules, rows[i].uid, rows[i].gids, rows[i].n_gids) !=
		    rows[i].may)
			fail_msg("%s", rows[i].why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_registers_is_what_the_kernel_says),
		cmocka_unit_test(who_registers_waits_for_the_round_that_saw_him),
		cmocka_unit_test(refusals_have_their_names),
		cmocka_unit_test(reload_reports_every_fault),
		cmocka_unit_test(a_child_is_known_by_its_own_process),
		cmocka_unit_test(the_holder_of_a_dead_process_s_socket_is_nobody),
		cmocka_unit_test(strangers_change_nothing),
		cmocka_unit_test(root_elsewhere_is_not_root_here),
		cmocka_unit_test(a_front_without_capabilities_knows_root),
		cmocka_unit_test(a_strange_procfs_makes_nobody_privileged),
		cmocka_unit_test(who_may_change_something),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
