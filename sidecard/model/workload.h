/* A workload and a pool as configured: what edge/conf.c checked, and nothing that was sensed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/cpuset.h"
#include "model/quota.h"
#include "model/regulator.h"

enum workload_role { ROLE_CONTROL_PLANE, ROLE_DATA_PLANE, ROLE_BATCH };
enum workload_smt { SMT_ANY, SMT_WHOLE_CORE, SMT_ONE_PER_CORE };
enum workload_rounding { ROUNDING_PLUGIN, ROUNDING_FLOOR, ROUNDING_CEIL, ROUNDING_NEAREST };
enum numa_policy { NUMA_PREFER, NUMA_SINGLE, NUMA_SPREAD };
enum memory_policy { MEMORY_PREFERRED, MEMORY_STRICT, MEMORY_INTERLEAVE, MEMORY_NONE };
enum thread_pin { PIN_NODE, PIN_NONE };
/* Performance: the kind of cores with the highest rank that the machine tells of; efficient: all
 * others. Where it tells of one kind only, both are that. */
enum core_type { CORE_ANY, CORE_PERFORMANCE, CORE_EFFICIENT };
/* Which of equally good places: the one that keeps most in one piece, or the emptiest. */
enum balance { BALANCE_PACK, BALANCE_SPREAD };
/* What exclusive workloads of a pool do not share with other pools. */
enum pool_isolation { ISOLATION_NONE, ISOLATION_CORE, ISOLATION_L3, ISOLATION_NODE };
enum publish_mode { PUBLISH_FIXED, PUBLISH_STEER };

#define WORKLOAD_MAX_UNSET UINT32_MAX

/* NULL-terminated list of strings; NULL is the empty list. */
struct strings {
	char **items; /* n_items, each owned */
	size_t n_items;
};

/* [Match]: lines of one key: or; keys: and. Empty everywhere: only registered children belong to
 * it. */
struct match {
	struct strings units;  /* full unit names, glob allowed: "proxy.service", "web@*.service" */
	struct strings slices; /* full slice names: "proxy.slice" */
	struct strings cgroups;	      /* globs on the path below the cgroup root: "/pods/a*" */
	struct strings executables;   /* absolute path of /proc/PID/exe */
	struct strings command_lines; /* globs on the arguments joined by one blank */
	struct strings users;	      /* user names or numbers as written */
	uint32_t *uids; /* users resolved when the config was read, n_items of users */
};

struct setting {
	char *key, *value;
	unsigned line;
};

struct workload {
	char *name; /* name_is_valid() */
	char *description;
	enum workload_role role;
	char *pool;
	uint32_t priority; /* 0..1000000, higher first */
	char *plugin;

	struct match match;

	uint32_t min_pu;      /* ≥ 1 */
	uint32_t max_pu;      /* ≥ min_pu, or WORKLOAD_MAX_UNSET; Max= rounded up */
	uint32_t max_mcpu;    /* Max= as written: 3.5 is 3500; WORKLOAD_MAX_UNSET: max_pu says it */
	uint32_t weight;      /* 1..10000 */
	bool exclusive;	      /* all its PUs are its own */
	uint32_t n_exclusive; /* Exclusive=2: so many are, the rest is shared; 0 where exclusive
				 says it. Below max_pu */
	enum workload_smt smt;
	enum core_type core_type;
	enum balance balance;
	enum workload_rounding rounding;
	uint32_t quota_mcpu; /* [CPU] Quota=, offline plans only; QUOTA_UNLIMITED_MCPU where not
				given */

	enum numa_policy numa_policy;
	struct nodeset nodes; /* empty: any */
	enum memory_policy memory;
	uint64_t memory_size_bytes;  /* 0: not stated */
	struct strings near_devices; /* names of devices: eth0, sda, 0000:3b:00.0 */
	bool migrate;

	enum thread_pin pin;
	enum publish_mode publish_mode;
	struct strings environment; /* checked KEY=VALUE lines */
	uint64_t lease_us;	    /* heartbeat a registered child owes; 0: none */

	enum regulator_type regulator; /* REGULATOR_POOL: as its pool says */
	uint32_t overcommit_permille;  /* of its PUs: how many threads it may be told */
	uint64_t safe_us;	       /* between two changes, where its plugin says less */
	enum lend_locality lend;

	struct setting *settings; /* [Plugin] */
	size_t n_settings;

	char *source; /* file that defined it, for faults found later */
	unsigned source_line;
};

struct pool {
	char *name; /* "default" always exists */
	char *description;
	struct cpuset cpus;   /* CPUs=: only these PUs; empty: any that no other pool names */
	struct nodeset nodes; /* Nodes=: only PUs of these nodes; empty: any */
	enum pool_isolation isolation;
	struct regulator regulator; /* of its workloads, each for itself */
	char *source;
};

void strings_done(struct strings *strings);
int strings_add(struct strings *strings, const char *item);

/* A workload with every default; NULL where memory is short. */
struct workload *workload_new(const char *name);
struct workload *workload_free(struct workload *workload);
void workload_freep(struct workload **workload);

struct pool *pool_new(const char *name);
struct pool *pool_free(struct pool *pool);
void pool_freep(struct pool **pool);

/* True where a workload names processes (Executable=, CommandLine=, User=) and so acts on them, not
 * on a whole cgroup. */
bool workload_matches_processes(const struct workload *workload);
/* True where [Match] is empty: only registered children belong to it. */
bool workload_is_registered_only(const struct workload *workload);

/* True where some of its PUs are its own, all or the first n_exclusive. */
static inline bool workload_owns(const struct workload *workload)
{
	return workload->exclusive || workload->n_exclusive > 0;
}
/* The words of the config file and of JSON; NULL beyond the enum. */
const char *workload_role_name(enum workload_role role);
