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
static const char *const core_types[] = { "any", "performance", "efficient", NULL };
static const char *const balances[] = { "pack", "spread", NULL };
static const char *const isolations[] = { "none", "core", "l3", "node", NULL };
static const char *const modes[] = { "fixed", "steer", NULL };

/* The first is a workload's only. */
static const char *const regulators[] = { "pool", "none", "staged", "loop", NULL };
static const char *const lendings[] = { "none", "core", "l3", "node", NULL };

/* Seconds and days in microseconds. */
#define SECOND UINT64_C(1000000)
#define DAY    (86400 * SECOND)

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

	{ DAEMON("Planner", "Deadline"), &conf_span, 10, 1000000, .text = "2ms",
	  IN_CONF(deadline_us),
	  .help = "How long the search for the best nodes of large workloads may take. After it the "
		"best plan found is used, with a bound of what a better one could gain." },

	{ DAEMON("Regulator", "Enabled"), &conf_bool, .text = "yes", IN_CONF(regulators_enabled),
	  .help = "No: no regulator runs, whatever pools and workloads say, and no timer with it." },

	{ POOL("Pool", "Description"), &conf_text, .text = "", IN_POOL(description),
	  .help = "For people." },
	{ POOL("Pool", "CPUs"), &conf_cpus, .text = "", IN_POOL(cpus), CONF_MACHINE,
	  .help = "Only these PUs. Empty: any that no other pool names." },
	{ POOL("Pool", "Nodes"), &conf_nodes, .text = "", IN_POOL(nodes), CONF_MACHINE,
	  .help = "Only PUs of these NUMA nodes. Empty: any." },
	{ POOL("Pool", "Isolation"), &conf_word, ISOLATION_NONE, ISOLATION_NODE, isolations, "none",
	  IN_POOL(isolation),
	  .help = "What workloads of other pools never share with this pool's: nothing (none), "
		"cores, L3 caches or NUMA nodes." },

	{ POOL("Regulator", "Type"), &conf_word, REGULATOR_NONE, REGULATOR_LOOP, regulators + 1, "none",
	  IN_POOL(regulator.type),
	  .help = "How the parallelism of the pool's workloads is regulated, where they "
		"do not say otherwise: not at all, in three stages (cold start, "
		"probing, steady), or in a closed loop." },
	{ POOL("Regulator", "Least"), &conf_uint, 1, CPUSET_MAX, .text = "2",
	  IN_POOL(regulator.least),
	  .help = "No regulator goes below so many threads, where PUs and quotas allow "
		"them." },
	{ POOL("Regulator", "Most"), &conf_ratio, 1, 16000, .text = "2",
	  IN_POOL(regulator.most_permille),
	  .help = "Nor above so many times the PUs; above the PUs only with Overcommit= "
		"of the workload, and never above its quotas." },
	{ POOL("Regulator", "Stabilisation"), &conf_span, 0, DAY, .text = "10s",
	  IN_POOL(regulator.stable_us),
	  .help = "After a step, no step in the other direction for so long." },
	{ POOL("Regulator", "ColdStart"), &conf_span, 0, DAY, .text = "30s",
	  IN_POOL(regulator.cold_us),
	  .help = "Staged: how long a workload that starts is left with few threads." },
	{ POOL("Regulator", "ColdParallelism"), &conf_uint, 1, CPUSET_MAX, .text = "2",
	  IN_POOL(regulator.cold_least),
	  .help = "Staged: how many that are." },
	{ POOL("Regulator", "ColdMost"), &conf_uint, 1, CPUSET_MAX, .text = "4",
	  IN_POOL(regulator.cold_most),
	  .help = "Staged: one more each time all of them are busy (RaiseAbove=), up to "
		"so many." },
	{ POOL("Regulator", "Probe"), &conf_span, 100000, DAY, .text = "5s",
	  IN_POOL(regulator.probe_us),
	  .help = "Staged: time between samples, in cold start and while probing." },
	{ POOL("Regulator", "UsedWeight"), &conf_ratio, 0, 1000, .text = "0.6",
	  IN_POOL(regulator.used_permille),
	  .help = "Staged: the target is so many threads for each PU in use," },
	{ POOL("Regulator", "BlockedWeight"), &conf_ratio, 0, 1000, .text = "0.4",
	  IN_POOL(regulator.blocked_permille),
	  .help = "and so many for each PU by the share of time in which threads are "
		"blocked; at least what the present use fills up to RaiseAbove=." },
	{ POOL("Regulator", "Samples"), &conf_uint, 1, REGULATOR_SAMPLES_MAX, .text = "3",
	  IN_POOL(regulator.n_samples),
	  .help = "Staged: so many samples in a row must agree, for a step and for "
		"locking." },
	{ POOL("Regulator", "Departure"), &conf_ratio, 0, 1000, .text = "15%",
	  IN_POOL(regulator.depart_permille),
	  .help = "Staged: targets that differ from the number by more than this, all in "
		"the same direction, make a step; one that differs so much from a "
		"locked one unlocks it." },
	{ POOL("Regulator", "Variation"), &conf_ratio, 0, 1000, .text = "5%",
	  IN_POOL(regulator.settle_permille),
	  .help = "Staged: targets that differ by less than this from each other, and "
		"ask for no step, lock the number." },
	{ POOL("Regulator", "Step"), &conf_uint, 1, CPUSET_MAX, .text = "2",
	  IN_POOL(regulator.step_most),
	  .help = "Staged: threads more or less at once, at most." },
	{ POOL("Regulator", "SteadyCheck"), &conf_span, 0, DAY, .text = "5min",
	  IN_POOL(regulator.steady_us),
	  .help = "Staged: time between looks while the number is locked. 0: none; a "
		"change of PUs or quotas unlocks it all the same." },
	{ POOL("Regulator", "Interval"), &conf_span, 10000, DAY, .text = "100ms",
	  IN_POOL(regulator.interval_us),
	  .help = "Loop: time between samples." },
	{ POOL("Regulator", "RaiseAbove"), &conf_ratio, 1, 1000, .text = "90%",
	  IN_POOL(regulator.raise_permille),
	  .help = "Loop: one thread more where the mean utilisation of those it has is "
		"above this" },
	{ POOL("Regulator", "RaiseHold"), &conf_span, 0, DAY, .text = "3s",
	  IN_POOL(regulator.raise_hold_us),
	  .help = "for so long," },
	{ POOL("Regulator", "RaisePause"), &conf_span, 0, DAY, .text = "5s",
	  IN_POOL(regulator.raise_pause_us),
	  .help = "and the last step is so long ago." },
	{ POOL("Regulator", "LowerBelow"), &conf_ratio, 0, 1000, .text = "40%",
	  IN_POOL(regulator.lower_permille),
	  .help = "Loop: one thread less where it is below this" },
	{ POOL("Regulator", "LowerHold"), &conf_span, 0, DAY, .text = "10s",
	  IN_POOL(regulator.lower_hold_us),
	  .help = "for so long," },
	{ POOL("Regulator", "LowerPause"), &conf_span, 0, DAY, .text = "10s",
	  IN_POOL(regulator.lower_pause_us),
	  .help = "and the last step is so long ago." },
	{ POOL("Regulator", "ThrottledPeriods"), &conf_uint, 1, 1000, .text = "2",
	  IN_POOL(regulator.n_throttled),
	  .help = "Loop: one thread less at once where so many periods of the quota" },
	{ POOL("Regulator", "ThrottledOf"), &conf_uint, 1, 1000, .text = "3",
	  IN_POOL(regulator.n_periods),
	  .help = "of so many were throttled." },
	{ POOL("Regulator", "Tolerance"), &conf_ratio, 0, 100000, .text = "20%",
	  IN_POOL(regulator.tolerance_permille),
	  .help = "Breaker: a step after which throttling, CPU pressure or run-queue "
		"latency is worse by more than this is taken back. 0: no breaker." },
	{ POOL("Regulator", "Watch"), &conf_span, 0, DAY, .text = "5s",
	  IN_POOL(regulator.watch_us),
	  .help = "Breaker: how long after a step, and before it, they are compared; "
		"three samples at least." },
	{ POOL("Regulator", "CoolDown"), &conf_span, 0, DAY, .text = "30s",
	  IN_POOL(regulator.cool_us),
	  .help = "Breaker: no step for so long afterwards, then one on trial; where "
		"that fails too, twice as long," },
	{ POOL("Regulator", "CoolDownMost"), &conf_span, 0, DAY, .text = "10min",
	  IN_POOL(regulator.cool_most_us),
	  .help = "up to this." },

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
	  CONF_MACHINE, /* what is installed may contradict it too */
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
	  .help = "PUs that it can use at most. Empty: no bound. A fraction bounds the parallelism "
		"of what is shared." },
	{ WORKLOAD("CPU", "Weight"), &conf_uint, 1, 10000, .text = "100", IN_WORKLOAD(weight),
	  .help = "Its part of what is left when all minimums are met." },
	{ WORKLOAD("CPU", "Exclusive"), &conf_exclusive, 1, CPUSET_MAX, .text = "no",
	  IN_WORKLOAD(exclusive),
	  .help = "Nobody else runs on its PUs. A number: on so many of them; the others are "
		"shared." },
	{ WORKLOAD("CPU", "Smt"), &conf_word, SMT_ANY, SMT_ONE_PER_CORE, smts, "any",
	  IN_WORKLOAD(smt),
	  .help = "Whether cores may be shared with others (any), are held with all their PUs "
		"(whole-core), or give one PU each (one-per-core)." },
	{ WORKLOAD("CPU", "CoreType"), &conf_word, CORE_ANY, CORE_EFFICIENT, core_types, "any",
	  IN_WORKLOAD(core_type),
	  .help = "The kind of cores that it had better run on, where the machine has several." },
	{ WORKLOAD("CPU", "Balance"), &conf_word, BALANCE_PACK, BALANCE_SPREAD, balances, "pack",
	  IN_WORKLOAD(balance),
	  .help = "Which of equally good places: the one that keeps most of the machine in one "
		"piece (pack), or the emptiest (spread)." },
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
	{ WORKLOAD("NUMA", "NearDevice"), &conf_device, .text = "",
	  IN_WORKLOAD(near_devices), CONF_LIST | CONF_MACHINE,
	  .help = "A device that it had better run near: a network interface, a block device, a "
		"PCI address such as 0000:3b:00.0, or any other name of hwloc's." },
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

	{ WORKLOAD("Regulator", "Type"), &conf_word, REGULATOR_POOL, REGULATOR_LOOP, regulators,
	  "pool", IN_WORKLOAD(regulator),
	  .help = "How its parallelism is regulated: as its pool says, not at all, in three stages, "
		"or in a closed loop. The numbers are the pool's." },
	{ WORKLOAD("Regulator", "Overcommit"), &conf_ratio, 1000, 16000, .text = "1",
	  IN_WORKLOAD(overcommit_permille),
	  .help = "A regulator may ask for so many times its PUs, where its quotas pay for them: "
		"for runtimes whose threads wait most of the time." },
	{ WORKLOAD("Regulator", "SafeInterval"), &conf_span, 0, DAY, .text = "0",
	  IN_WORKLOAD(safe_us),
	  .help = "No two changes within so long, since each costs the runtime something; what its "
		"plugin says is kept in any case." },
	{ WORKLOAD("Regulator", "Lend"), &conf_word, LEND_NONE, LEND_NODE, lendings, "none",
	  IN_WORKLOAD(lend),
	  .help = "Of an exclusive data plane: how near to its own PUs batch workloads may be that "
		"could use its idle ones. Shown so far, not yet acted on." },
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
