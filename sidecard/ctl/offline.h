/* A snapshot without a daemon: a configuration on this or any other machine. What `plan` and `env`
 * have in common. */
#pragma once

#include "edge/conf.h"
#include "edge/plugins.h"
#include "plan/plan.h"

struct offline_options {
	const char *verb;	/* begins each sentence on stderr */
	const char *machine;	/* as topo_load() takes it */
	const char *conf;	/* NULL: as the daemon searches */
	const char *allowed;	/* the only PUs that may be used; NULL: all */
	const char *plugin_dir; /* NULL: the one it was built for */
	const char *held;	/* a file with an earlier plan as JSON; NULL: none */
	uint32_t quota_mcpu;	/* of a cgroup that holds all workloads; QUOTA_UNLIMITED_MCPU */
};

#define OFFLINE_DEFAULTS(name)                                                        \
	{                                                                             \
		.verb = (name), .machine = "live", .quota_mcpu = QUOTA_UNLIMITED_MCPU \
	}

/* Rows for getopt_long() that `plan` and `env` have alike, and what each is there. */
enum {
	OFFLINE_MACHINE = 'm',
	OFFLINE_CONF = 'c',
	OFFLINE_ALLOWED = 'a',
	OFFLINE_QUOTA = 'q',
	OFFLINE_PLUGIN_DIR = 'P',
};

#define OFFLINE_OPTIONS                                                        \
	{ "machine", required_argument, NULL, OFFLINE_MACHINE },               \
		{ "conf", required_argument, NULL, OFFLINE_CONF },             \
		{ "allowed", required_argument, NULL, OFFLINE_ALLOWED },       \
		{ "plugin-dir", required_argument, NULL, OFFLINE_PLUGIN_DIR }, \
	{                                                                      \
		"quota", required_argument, NULL, OFFLINE_QUOTA                \
	}

/* Takes one of them: 1. 0: @option is none of them. EXIT_FAULT after saying what is wrong. */
int offline_option(int option, const char *value, struct offline_options *options);

/* Everything that a plan is made of. */
struct offline {
	struct topology *topology;
	struct conf *conf;
	struct plugins *plugins;
	struct cpuset allowed;
	struct snapshot_workload *workloads;
	struct limit *limits;
	char **paths; /* of the limits: n_limits */
	struct snapshot snapshot;
	struct plan *held; /* NULL: none */
};

/* Fills @ret_offline, which was all zeros; to be undone by offline_done() in any case. 0, or the
 * exit code after saying on stderr what is wrong. */
int offline_load(const struct offline_options *options, struct offline *ret_offline);
void offline_done(struct offline *offline);

/* The variables that @workload's environment file would have beside sidecard's own: its plugin's
 * and its Environment= lines. A plugin that fails is said on stderr and costs its variables. 0, or
 * the exit code where memory is short. */
int offline_environment(const struct offline *offline, const struct offline_options *options,
			const struct plan_workload *workload, struct strings *ret_environment);

/* Asks for every plugin that @conf names. 0 or -ENOMEM. */
int offline_plugins(const char *plugin_dir, const struct conf *conf, struct plugins **ret_plugins);

/* Says a fault on stderr and returns the exit code. */
int offline_say(const struct offline_options *options, const struct fault *fault);
