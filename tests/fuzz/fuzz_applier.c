/* Any bytes as a request: the applier answers, and touches nothing but what a sane request names.
 * The system is a table that records what is touched and grants nothing. Input: raw bytes; or,
 * where the first byte is odd, patches (offset, length, bytes) on a request that is sane. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "apply/applier.h"
#include "base/cleanup.h"

#define N_PUS	16
#define N_NODES 4
#define OWN_PID 4242

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data);

struct touched {
	const struct apply_request *request;
	unsigned n;
};

static void must(bool condition)
{
	if (!condition)
		__builtin_trap();
}

static int none_open(const struct sys *sys, int dirfd, const char *path, int flags)
{
	struct touched *touched = sys->state;
	const struct apply_request *request = touched->request;

	(void)flags;
	touched->n++;
	must(dirfd == 100); /* the cgroup root; never procfs: no process is there */
	must(request->kind == PLACE_CGROUP && request->cgroup[0] == '/');
	must(strcmp(path, request->cgroup[1] ? request->cgroup + 1 : ".") == 0);
	must(path[0] != '/' && !strstr(path, "//") && !strchr(path, '\n'));
	must(strncmp(path, "../", 3) != 0 && !strstr(path, "/../") && strcmp(path, "..") != 0);
	must(strlen(path) < 3 || strcmp(path + strlen(path) - 3, "/..") != 0);
	return -ENOENT;
}

static void none_close(const struct sys *sys, int fd)
{
	(void)sys;
	(void)fd;
	must(false);
}

static ssize_t none_read(const struct sys *sys, int fd, char *buffer, size_t buffer_size)
{
	(void)sys;
	(void)fd;
	(void)buffer;
	(void)buffer_size;
	must(false);
	return -EIO;
}

static int none_write(const struct sys *sys, int fd, const char *text, size_t n_text)
{
	(void)sys;
	(void)fd;
	(void)text;
	(void)n_text;
	must(false);
	return -EIO;
}

static ssize_t none_read_link(const struct sys *sys, int dirfd, const char *path, char *buffer,
			      size_t buffer_size)
{
	(void)dirfd;
	(void)path;
	return none_read(sys, -1, buffer, buffer_size);
}

static int none_pidfd_open(const struct sys *sys, pid_t pid)
{
	struct touched *touched = sys->state;

	touched->n++;
	must(touched->request->kind == PLACE_PROCESS && touched->request->pid == pid);
	must(pid > 1 && pid != OWN_PID);
	return -ESRCH;
}

static int none_affinity_set(const struct sys *sys, pid_t tid, const struct cpuset *cpus)
{
	(void)sys;
	(void)tid;
	(void)cpus;
	must(false);
	return -EIO;
}

static bool is_sane(const struct apply_request *request)
{
	uint64_t any = 0, beyond = request->cpus[0] >> N_PUS | request->mems[0] >> N_NODES;

	for (size_t i = 0; i < APPLY_CPU_WORDS; i++)
		any |= request->cpus[i];
	for (size_t i = 1; i < APPLY_CPU_WORDS; i++)
		beyond |= request->cpus[i];
	for (size_t i = 1; i < APPLY_NODE_WORDS; i++)
		beyond |= request->mems[i];
	/* Sets where something is set, and nowhere else. */
	if ((any != 0) != (request->verb == APPLY_SET || request->verb == APPLY_RESTORE))
		return false;
	return request->magic == APPLY_MAGIC && request->version == APPLY_VERSION && !beyond &&
	       memchr(request->unit, 0, sizeof(request->unit)) &&
	       memchr(request->cgroup, 0, sizeof(request->cgroup)) &&
	       memchr(request->original, 0, sizeof(request->original));
}

static void make_sane(uint8_t choice, struct apply_request *request)
{
	*request = (struct apply_request){ .magic = APPLY_MAGIC,
					   .version = APPLY_VERSION,
					   .serial = 7 };
	request->verb = APPLY_SET + (choice >> 3 & 3);
	request->kind = choice >> 1 & 3;
	if (request->verb == APPLY_SET || request->verb == APPLY_RESTORE)
		request->cpus[0] = 0xf0;
	if (request->verb == APPLY_RESTORE)
		memcpy(request->original, "0-3+;1", 7);
	if (request->kind == PLACE_UNIT)
		memcpy(request->unit, "proxy.service", 14);
	if (request->kind == PLACE_CGROUP) {
		memcpy(request->cgroup, "/pods/a", 8);
		request->cgroup_id = 77;
	}
	if (request->kind == PLACE_PROCESS) {
		request->pid = 4711;
		request->start_time = 99;
	}
}

static size_t make_request(const uint8_t *data, size_t n_data, struct apply_request *request)
{
	size_t i = 1;

	if (n_data == 0 || !(data[0] & 1)) {
		size_t n = n_data > 0 ? n_data - 1 : 0;

		memset(request, 0, sizeof(*request));
		memcpy(request, data + (n_data > 0), n < sizeof(*request) ? n : sizeof(*request));
		return n;
	}
	make_sane(data[0], request);
	while (i + 3 <= n_data) {
		size_t offset = (data[i] | (size_t)data[i + 1] << 8) % sizeof(*request);
		size_t n = data[i + 2];

		i += 3;
		n = n < n_data - i ? n : n_data - i;
		n = n < sizeof(*request) - offset ? n : sizeof(*request) - offset;
		memcpy((uint8_t *)request + offset, data + i, n);
		i += n;
	}
	return sizeof(*request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data)
{
	struct apply_request request;
	struct apply_answer answer;
	struct touched touched = { .request = &request };
	struct sys sys = { .state = &touched,
			   .proc_fd = 101,
			   .open = none_open,
			   .close = none_close,
			   .read = none_read,
			   .write = none_write,
			   .read_link = none_read_link,
			   .pidfd_open = none_pidfd_open,
			   .affinity_set = none_affinity_set };
	struct applier applier = { .sys = &sys,
				   .calls = &applier_calls_linux,
				   .root_fd = 100,
				   .system_fd = -1,
				   .manager_fd = -1,
				   .front_fd = -1,
				   .pid = OWN_PID };
	size_t n_request = make_request(data, n_data, &request);

	must(cpuset_add_range(&applier.possible, 0, N_PUS - 1) == 0);
	must(nodeset_add_range(&applier.possible_nodes, 0, N_NODES - 1) == 0);
	applier_handle(&applier, &request, n_request, &answer);
	/* Nothing is there, so nothing can succeed; who is told what went wrong is told in text
	 * that ends. */
	must(answer.magic == APPLY_MAGIC && answer.error < 0 && !answer.is_written &&
	     !answer.has_found);
	must(message_text_is_sane(answer.text, sizeof(answer.text)) && answer.text[0]);
	must(message_text_is_sane(answer.found, sizeof(answer.found)));
	must(text_is_utf8(answer.text, strlen(answer.text)));
	if (answer.error == -EINVAL)
		must(touched.n == 0);
	else
		must(n_request == sizeof(request) && is_sane(&request) &&
		     answer.serial == request.serial);
	applier_done(&applier);
	return 0;
}
