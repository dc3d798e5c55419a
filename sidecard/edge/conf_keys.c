/* The table of all keys: what the reader accepts, what samples and faults say, and what the man
 * pages are checked against, are these rows and nothing else. */
#include "edge/conf_internal.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <syslog.h>

#include "base/cleanup.h"

/* Each list in the order of its enum. */
static const char *const levels[] = { "err", "warning", "notice", "info", "debug", NULL };
static const char *const roles[] = { "control-plane", "data-plane", "batch", NULL };
static const char *const smts[] = { "any", "whole-core", "one-per-core", NULL };
static const char *const roundings[] = { "plugin", "floor", "ceil", "nearest", NULL };
static const char *const policies[] = { "prefer", "single", "spread", NULL };
static const char *const memories[] = { "preferred", "strict", "interleave", "none", NULL };
static const char *const pins[] = { "node", "none", NULL };
static const char *const modes[] = { "fixed", "steer", NULL };

#define DAEMON(section, name)	CONF_DAEMON, section, name
#define POOL(section, name)	CONF_POOL, section, name
#define WORKLOAD(section, name) CONF_WORKLOAD, section, name
#define IN_CONF(member)		.field = offsetof(struct conf, member)
#define IN_POOL(member)		.field = offsetof(struct pool, member)
#define IN_WORKLOAD(member)	.field = offsetof(struct workload, member)

/* clang-format off */
const struct conf_key conf_keys[] = {
	{ DAEMON("Daemon", "DryRun"), &conf_bool, .text = "no", IN_CONF(dry_run),
	  .help = "Log each step and touch nothing." },
	{ DAEMON("Daemon", "RestoreOnStop"), &conf_bool, .text = "yes", IN_CONF(restore_on_stop),
	  .help = "When the daemon stops, give back what it found, except what somebody changed "
		"since." },
	{ DAEMON("Daemon", "LogLevel"), &conf_word, LOG_ERR, LOG_DEBUG, levels, "info",
	  IN_CONF(log_level),
	  .help = "The least important messages that are still logged." },
	{ DAEMON("Daemon", "Settle"), &conf_span, 0, 5000000, .text = "10ms", IN_CONF(settle_us),
	  .help = "How long a burst of changes is collected before a new plan. A change of quota "
		"alone is never held back." },

	{ DAEMON("Partition", "Housekeeping"), &conf_housekeeping, 1, CPUSET_MAX, .text = "auto",
	  IN_CONF(housekeeping), CONF_MACHINE,
	  .help = "PUs kept for processes that no workload matches. auto: one whole core, none on "
		"machines with less than 4 PUs." },
	{ DAEMON("Partition", "ConfineSystem"), &conf_bool, .text = "no", IN_CONF(confine_system),
	  .help = "Keep system.slice, user.slice and init.scope off the PUs that exclusive "
		"workloads hold." },

	{ POOL("Pool", "Description"), &conf_text, .text = "", IN_POOL(description),
	  .help = "For people." },
	{ POOL("Pool", "CPUs"), &conf_cpus, .text = "", IN_POOL(cpus), CONF_MACHINE,
	  .help = "Only these PUs. Empty: any that no other pool names." },
	{ POOL("Pool", "Nodes"), &conf_nodes, .text = "", IN_POOL(nodes), CONF_MACHINE,
	  .help = "Only PUs of these NUMA nodes. Empty: any." },

	{ WORKLOAD("Workload", "Description"), &conf_text, .text = "", IN_WORKLOAD(description),
	  .help = "For people." },
	{ WORKLOAD("Workload", "Role"), &conf_word, ROLE_CONTROL_PLANE, ROLE_BATCH, roles,
	  "data-plane", IN_WORKLOAD(role),
	  .help = "A control plane gets its small share first, a data plane whole cores and near "
		"memory, batch runs on what nobody holds." },
	{ WORKLOAD("Workload", "Pool"), &conf_name, .text = "default", IN_WORKLOAD(pool),
	  .help = "The pool whose PUs it may use." },
	{ WORKLOAD("Workload", "Priority"), &conf_uint, 0, 1000000, .text = "100",
	  IN_WORKLOAD(priority),
	  .help = "Whose Min= is met first where not all can be: the higher one." },
	{ WORKLOAD("Workload", "Plugin"), &conf_name, .text = "generic", IN_WORKLOAD(plugin),
	  .help = "The plugin that knows the settings of the workload's runtime." },

	{ WORKLOAD("Match", "Unit"), &conf_unit, .text = "", IN_WORKLOAD(match.units), CONF_LIST,
	  .help = "A systemd unit by its full name; wildcards are allowed." },
	{ WORKLOAD("Match", "Slice"), &conf_slice, .text = "", IN_WORKLOAD(match.slices), CONF_LIST,
	  .help = "A slice by its full name: everything in it." },
	{ WORKLOAD("Match", "Cgroup"), &conf_cgroup, .text = "",
	  IN_WORKLOAD(match.cgroups), CONF_LIST,
	  .help = "A cgroup by its path below the cgroup root; wildcards are allowed." },
	{ WORKLOAD("Match", "Executable"), &conf_path, .text = "",
	  IN_WORKLOAD(match.executables), CONF_LIST,
	  .help = "Processes that run this file." },
	{ WORKLOAD("Match", "CommandLine"), &conf_glob, .text = "",
	  IN_WORKLOAD(match.command_lines), CONF_LIST,
	  .help = "Processes whose arguments, joined by one blank, match." },
	{ WORKLOAD("Match", "User"), &conf_user, .text = "", IN_WORKLOAD(match.users), CONF_LIST,
	  .help = "Processes of this user." },

	{ WORKLOAD("CPU", "Min"), &conf_uint, 1, CPUSET_MAX, .text = "1",
	  IN_WORKLOAD(min_pu), CONF_MACHINE,
	  .help = "PUs that are guaranteed." },
	{ WORKLOAD("CPU", "Max"), &conf_maximum, 1, CPUSET_MAX, .text = "", IN_WORKLOAD(max_pu),
	  .help = "PUs that it can use at most. Empty: no bound." },
	{ WORKLOAD("CPU", "Weight"), &conf_uint, 1, 10000, .text = "100", IN_WORKLOAD(weight),
	  .help = "Its part of what is left when all minimums are met." },
	{ WORKLOAD("CPU", "Exclusive"), &conf_bool, .text = "no", IN_WORKLOAD(exclusive),
	  .help = "Nobody else runs on its PUs." },
	{ WORKLOAD("CPU", "Smt"), &conf_word, SMT_ANY, SMT_ONE_PER_CORE, smts, "any",
	  IN_WORKLOAD(smt),
	  .help = "Whether cores may be shared with others (any), are held with all their PUs "
		"(whole-core), or give one PU each (one-per-core)." },
	{ WORKLOAD("CPU", "Rounding"), &conf_word, ROUNDING_PLUGIN, ROUNDING_NEAREST, roundings,
	  "plugin", IN_WORKLOAD(rounding),
	  .help = "How a fractional quota becomes a number of threads. plugin: as the runtime's "
		"plugin prefers." },
	{ WORKLOAD("CPU", "Quota"), &conf_quota, .text = "", IN_WORKLOAD(quota_mcpu), CONF_OFFLINE,
	  .help = "Stands in for a cgroup's cpu.max, in offline plans only. Empty: no limit." },

	{ WORKLOAD("NUMA", "Policy"), &conf_word, NUMA_PREFER, NUMA_SPREAD, policies, "prefer",
	  IN_WORKLOAD(numa_policy),
	  .help = "One NUMA node where one can hold it (prefer), one or none at all (single), or "
		"evenly over several (spread)." },
	{ WORKLOAD("NUMA", "Nodes"), &conf_nodes, .text = "", IN_WORKLOAD(nodes), CONF_MACHINE,
	  .help = "Only PUs of these NUMA nodes. Empty: any." },
	{ WORKLOAD("NUMA", "Memory"), &conf_word, MEMORY_PREFERRED, MEMORY_NONE, memories,
	  "preferred", IN_WORKLOAD(memory),
	  .help = "Where its memory comes from: near nodes first, near nodes only, near nodes in "
		"turn, or as the kernel likes." },
	{ WORKLOAD("NUMA", "MemorySize"), &conf_size, 0, UINT64_C(1) << 52, .text = "0",
	  IN_WORKLOAD(memory_size_bytes),
	  .help = "Memory that the chosen nodes must have. 0: not stated." },
	{ WORKLOAD("NUMA", "Migrate"), &conf_bool, .text = "no", IN_WORKLOAD(migrate),
	  .help = "Also change the memory nodes of what runs already. The kernel moves its pages "
		"then, which can hold up the whole host for seconds." },

	{ WORKLOAD("Threads", "Pin"), &conf_word, PIN_NODE, PIN_NONE, pins, "node",
	  IN_WORKLOAD(pin),
	  .help = "Where processes are placed one by one (Executable=, CommandLine=, User=, "
		"registered children): bind their threads to the workload's PUs, or only tell "
		"them." },

	{ WORKLOAD("Publish", "Mode"), &conf_word, PUBLISH_FIXED, PUBLISH_STEER, modes, "fixed",
	  IN_WORKLOAD(publish_mode),
	  .help = "fixed: publish the runtime's own variables. steer: publish none of them, so "
		"that the runtime goes on following its cgroup." },
	{ WORKLOAD("Publish", "Environment"), &conf_environment, .text = "",
	  IN_WORKLOAD(environment), CONF_LIST,
	  .help = "One more variable for the environment file." },
	{ WORKLOAD("Publish", "Lease"), &conf_span, 0, UINT64_C(86400000000), .text = "0",
	  IN_WORKLOAD(lease_us),
	  .help = "How often a registered child must give a sign of life. 0: it stays registered "
		"as long as its process lives." },
};
/* clang-format on */

const uint32_t conf_n_keys = N_ELEMENTS(conf_keys);
_Static_assert(N_ELEMENTS(conf_keys) <= CONF_N_KEYS_MAX, "a row too many");

uint32_t conf_key_find(enum conf_kind kind, const char *section, const char *name)
{
	for (uint32_t i = 0; i < conf_n_keys; i++)
		if (conf_keys[i].kind == kind && strcmp(conf_keys[i].section, section) == 0 &&
		    strcmp(conf_keys[i].name, name) == 0)
			return i;
	return UINT32_MAX;
}

const char *conf_section_at(enum conf_kind kind, size_t i)
{
	const char *section = NULL;

	for (uint32_t k = 0; k < conf_n_keys; k++) {
		if (conf_keys[k].kind != kind)
			continue;
		if (section && strcmp(section, conf_keys[k].section) == 0)
			continue;
		section = conf_keys[k].section;
		if (i-- == 0)
			return section;
	}
	return kind == CONF_WORKLOAD && i == 0 ? CONF_PLUGIN_SECTION : NULL;
}

bool conf_section_exists(enum conf_kind kind, const char *section)
{
	const char *candidate;

	for (size_t i = 0; (candidate = conf_section_at(kind, i)); i++)
		if (strcmp(candidate, section) == 0)
			return true;
	return false;
}

const char *conf_section_of(enum conf_kind kind, const char *name)
{
	for (uint32_t i = 0; i < conf_n_keys; i++)
		if (conf_keys[i].kind == kind && strcmp(conf_keys[i].name, name) == 0)
			return conf_keys[i].section;
	return NULL;
}

/* Longest word that is compared; no key or section is near that long. */
#define WORD_MAX 32u

/* How many letters must be changed, added, left out or swapped with their neighbour to get from @a
 * to @b, in either case. UINT32_MAX where one is longer than any key of ours. */
static unsigned word_distance(const char *a, const char *b)
{
	unsigned rows[3][WORD_MAX + 1];
	size_t n_a = strlen(a), n_b = strlen(b);

	if (n_a > WORD_MAX || n_b > WORD_MAX)
		return UINT32_MAX;
	for (unsigned j = 0; j <= n_b; j++)
		rows[0][j] = j;
	for (unsigned i = 1; i <= n_a; i++) {
		unsigned *now = rows[i % 3], *last = rows[(i + 2) % 3], *older = rows[(i + 1) % 3];

		now[0] = i;
		for (unsigned j = 1; j <= n_b; j++) {
			int x = tolower((unsigned char)a[i - 1]),
			    y = tolower((unsigned char)b[j - 1]);
			unsigned best = last[j - 1] + (x != y);

			if (last[j] + 1 < best)
				best = last[j] + 1;
			if (now[j - 1] + 1 < best)
				best = now[j - 1] + 1;
			if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) &&
			    y == tolower((unsigned char)a[i - 2]) && older[j - 2] + 1 < best)
				best = older[j - 2] + 1;
			now[j] = best;
		}
	}
	return rows[n_a % 3][n_b];
}

const char *conf_nearest(enum conf_kind kind, const char *section, const char *name)
{
	/* More than a third of the letters wrong is another word, not a slip. */
	unsigned best = (unsigned)(strlen(name) + 2) / 3 + 1;
	const char *nearest = NULL, *candidate;

	for (size_t i = 0; !section && (candidate = conf_section_at(kind, i)); i++) {
		unsigned distance = word_distance(name, candidate);

		if (distance < best) {
			best = distance;
			nearest = candidate;
		}
	}
	for (uint32_t i = 0; section && i < conf_n_keys; i++) {
		unsigned distance = word_distance(name, conf_keys[i].name);

		if (conf_keys[i].kind != kind || strcmp(conf_keys[i].section, section) != 0)
			continue;
		if (distance < best) {
			best = distance;
			nearest = conf_keys[i].name;
		}
	}
	return nearest;
}

int conf_key_set(const struct conf_key *key, const char *text, void *object, struct fault *fault)
{
	void *field = (char *)object + key->field;

	return key->type->parse(key, text[0] != '\0' ? text : key->text, field, fault);
}

int conf_keys_default(enum conf_kind kind, void *object)
{
	for (uint32_t i = 0; i < conf_n_keys; i++) {
		int r = conf_keys[i].kind == kind ? conf_key_set(&conf_keys[i], "", object, NULL)
						  : 0;

		if (r < 0)
			return r;
	}
	return 0;
}
