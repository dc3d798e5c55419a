#include "apply/apply_threads.h"

#include <errno.h>
#include <numa.h>
#include <numaif.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

#define WORD_BITS (8 * sizeof(unsigned long))

/* libnuma calls these where something fails; its own print to stderr and may exit. Every result is
 * checked here, so there is nothing left to say. */
void numa_error(char *where)
{
	(void)where;
}

void numa_warn(int num, char *fmt, ...)
{
	(void)num;
	(void)fmt;
}

/* struct bitmask with storage of our own: numa_bitmask_alloc() exits where memory is short. */
struct cpu_words {
	unsigned long words[CPUSET_MAX / WORD_BITS];
};

struct node_words {
	unsigned long words[NODESET_MAX / WORD_BITS];
};

static struct bitmask cpu_bitmask(const struct cpuset *cpus, struct cpu_words *storage)
{
	*storage = (struct cpu_words){ 0 };
	cpuset_foreach (pu_os, cpus)
		storage->words[pu_os / WORD_BITS] |= 1UL << (pu_os % WORD_BITS);
	return (struct bitmask){ .size = CPUSET_MAX, .maskp = storage->words };
}

static struct bitmask node_bitmask(const struct nodeset *nodes, struct node_words *storage)
{
	*storage = (struct node_words){ 0 };
	nodeset_foreach (node_os, nodes)
		storage->words[node_os / WORD_BITS] |= 1UL << (node_os % WORD_BITS);
	return (struct bitmask){ .size = NODESET_MAX, .maskp = storage->words };
}

static int bind_cpus(const struct cpuset *cpus, struct fault *fault)
{
	struct cpu_words storage;
	struct bitmask bitmask = cpu_bitmask(cpus, &storage);
	cleanup(freep) char *text = NULL;
	int error;

	if (numa_sched_setaffinity(gettid(), &bitmask) >= 0)
		return 0;
	error = errno;
	text = cpuset_format(cpus);
	return fault_set(fault, -error, "cannot bind to PUs '%s': %s", text ? text : "?",
			 strerror(error));
}

/* The kernel takes one from the number of bits it is told (get_nodes() in mm/mempolicy.c). */
static int set_policy(int mode, const struct bitmask *nodes)
{
	return set_mempolicy(mode, nodes->maskp, nodes->size + 1) < 0 ? -errno : 0;
}

static int prefer(const struct nodeset *mems)
{
	struct node_words storage;
	struct bitmask nodes = node_bitmask(mems, &storage);
	cleanup(nodeset_done) struct nodeset first = { 0 };
	int r;

	if (nodeset_count(mems) > 1) {
		r = set_policy(MPOL_PREFERRED_MANY, &nodes);
		if (r != -EINVAL)
			return r;
	}
	r = nodeset_add(&first, nodeset_first(mems));
	if (r < 0)
		return r;
	nodes = node_bitmask(&first, &storage);
	return set_policy(MPOL_PREFERRED, &nodes);
}

static int bind_memory(const struct nodeset *mems, enum memory_policy policy, struct fault *fault)
{
	struct node_words storage;
	struct bitmask nodes = node_bitmask(mems, &storage);
	cleanup(freep) char *text = NULL;
	int r = 0;

	switch (policy) {
	case MEMORY_PREFERRED:
		r = prefer(mems);
		break;
	case MEMORY_STRICT:
		r = set_policy(MPOL_BIND, &nodes);
		break;
	case MEMORY_INTERLEAVE:
		r = set_policy(MPOL_INTERLEAVE, &nodes);
		break;
	case MEMORY_NONE:
		break;
	}
	if (r == 0 || r == -ENOSYS) /* a kernel without NUMA: all memory is on the one node */
		return 0;
	text = nodeset_format(mems);
	return fault_set(fault, r, "cannot take memory from NUMA nodes '%s': %s", text ? text : "?",
			 r == -EINVAL ? "none of them has memory and is in our cpuset"
				      : strerror(-r));
}

int threads_bind_self(const struct cpuset *cpus, const struct nodeset *mems,
		      enum memory_policy policy, struct fault *fault)
{
	if (!cpuset_is_empty(cpus)) {
		int r = bind_cpus(cpus, fault);

		if (r < 0)
			return r;
	}
	if (!mems || nodeset_is_empty(mems))
		return 0;
	return bind_memory(mems, policy, fault);
}

int threads_migrate(pid_t pid, const struct nodeset *possible, const struct nodeset *mems,
		    struct fault *fault)
{
	cleanup(nodeset_done) struct nodeset others = { 0 };
	struct node_words from_storage, to_storage;
	struct bitmask from, to;
	int r = nodeset_copy(&others, possible);

	if (r < 0)
		return fault_set(fault, r, "process %d: no memory to move pages", (int)pid);
	nodeset_subtract(&others, mems);
	if (nodeset_is_empty(&others))
		return 0;
	from = node_bitmask(&others, &from_storage);
	to = node_bitmask(mems, &to_storage);
	r = numa_migrate_pages(pid, &from, &to);
	if (r >= 0)
		return r;
	r = -errno;
	if (r == -ENOSYS)
		return 0;
	return fault_set(fault, r, "process %d: its pages cannot be moved: %s", (int)pid,
			 r == -EPERM ? "CAP_SYS_PTRACE is needed" : strerror(-r));
}
