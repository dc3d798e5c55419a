/* Options, log set-up, the applier while there still is privilege, then one call to daemon_run().
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "apply/apply.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "daemon.h"
#include "edge/conf.h"
#include "sense/cgroup_find.h"
#include "sense/topo_load.h"

enum { EXIT_RUNTIME = 1, EXIT_USAGE = 2 };

static const char help[] =
	"Usage: sidecard [OPTION]...\n"
	"Places workloads on processors and NUMA nodes and tells each how many threads to run.\n"
	"\n"
	"  --conf DIR         read sidecard.conf, pools.d/ and workloads.d/ below DIR alone\n"
	"                     (default: /usr/lib/sidecard, /etc/sidecard and /run/sidecard)\n"
	"  --runtime-dir DIR  publish below DIR (default /run/sidecard)\n"
	"  --cgroup-root DIR  the cgroup v2 hierarchy (default: where it is mounted)\n"
	"  --machine MACHINE  live (default), synthetic:STRING, FILE.xml or a captured DIR;\n"
	"                     any but live implies --dry-run\n"
	"  --plugin-dir DIR   load plugins from DIR\n"
	"  --no-bus           sidecar mode: no D-Bus, no units\n"
	"  --dry-run          log each step that would be taken and touch nothing\n"
	"  --log-level LEVEL  err, warning, notice, info or debug; over LogLevel=\n"
	"  --print-config     print sidecard.conf with every key at its default and exit\n"
	"  --check            check the configuration and exit: 0 right, 2 faults\n"
	"  --version          print the version and exit\n"
	"  --help             print this and exit\n"
	"\n"
	"Signals: SIGHUP reloads, SIGTERM and SIGINT stop.\n"
	"Exit: 0 stopped, 1 failed while running, 2 usage or configuration.\n"
	"See sidecard(8), sidecard.conf(5), sidecard.workload(5).\n";

enum option_number {
	OPTION_CONF = 256,
	OPTION_RUNTIME_DIR,
	OPTION_CGROUP_ROOT,
	OPTION_MACHINE,
	OPTION_PLUGIN_DIR,
	OPTION_NO_BUS,
	OPTION_DRY_RUN,
	OPTION_LOG_LEVEL,
	OPTION_PRINT_CONFIG,
	OPTION_CHECK,
	OPTION_VERSION,
	OPTION_HELP,
};

static const struct option options_table[] = {
	{ "conf", required_argument, NULL, OPTION_CONF },
	{ "runtime-dir", required_argument, NULL, OPTION_RUNTIME_DIR },
	{ "cgroup-root", required_argument, NULL, OPTION_CGROUP_ROOT },
	{ "machine", required_argument, NULL, OPTION_MACHINE },
	{ "plugin-dir", required_argument, NULL, OPTION_PLUGIN_DIR },
	{ "no-bus", no_argument, NULL, OPTION_NO_BUS },
	{ "dry-run", no_argument, NULL, OPTION_DRY_RUN },
	{ "log-level", required_argument, NULL, OPTION_LOG_LEVEL },
	{ "print-config", no_argument, NULL, OPTION_PRINT_CONFIG },
	{ "check", no_argument, NULL, OPTION_CHECK },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ 0 },
};

static int log_level_parse(const char *word)
{
	static const struct {
		const char *word;
		int level;
	} levels[] = { { "err", LOG_ERR },
		       { "warning", LOG_WARNING },
		       { "notice", LOG_NOTICE },
		       { "info", LOG_INFO },
		       { "debug", LOG_DEBUG } };

	for (size_t i = 0; i < N_ELEMENTS(levels); i++)
		if (strcmp(levels[i].word, word) == 0)
			return levels[i].level;
	return -EINVAL;
}

static int print_config(void)
{
	cleanup(freep) char *sample = conf_sample("sidecard");

	if (!sample)
		return EXIT_RUNTIME;
	fputs(sample, stdout);
	return fflush(stdout) == 0 ? 0 : EXIT_RUNTIME;
}

static int check_config(const char *conf_dir)
{
	cleanup(conf_freep) struct conf *conf = NULL;
	struct fault_list faults = { 0 };
	int r = conf_load(conf_dir, false, &conf, &faults);

	for (size_t i = 0; i < faults.n_texts; i++)
		fprintf(stderr, "%s\n", faults.texts[i]);
	fault_list_done(&faults);
	return r < 0 ? EXIT_USAGE : 0;
}

/* What an option asks for beyond a value: -1 to go on, else the exit code. */
static int take_option(int number, struct daemon_options *options, bool *ret_check)
{
	switch (number) {
	case OPTION_CONF:
		options->conf_dir = optarg;
		break;
	case OPTION_RUNTIME_DIR:
		options->runtime_dir = optarg;
		break;
	case OPTION_CGROUP_ROOT:
		options->cgroup_root = optarg;
		break;
	case OPTION_MACHINE:
		options->machine = optarg;
		break;
	case OPTION_PLUGIN_DIR:
		options->plugin_dir = optarg;
		break;
	case OPTION_NO_BUS:
		options->use_bus = false;
		break;
	case OPTION_DRY_RUN:
		options->dry_run = true;
		break;
	case OPTION_LOG_LEVEL:
		options->log_level = log_level_parse(optarg);
		if (options->log_level >= 0)
			break;
		fprintf(stderr,
			"sidecard: --log-level is '%s', expected err, warning, notice, info or "
			"debug\n",
			optarg);
		return EXIT_USAGE;
	case OPTION_PRINT_CONFIG:
		return print_config();
	case OPTION_CHECK:
		*ret_check = true;
		break;
	case OPTION_VERSION:
		puts("sidecard " SIDECARD_VERSION);
		return 0;
	case OPTION_HELP:
		fputs(help, stdout);
		return 0;
	default:
		fputs("Try 'sidecard --help'.\n", stderr);
		return EXIT_USAGE;
	}
	return -1;
}

/* HWLOC_*, LD_* and the like steer libraries that we load: none of it is ours to obey. What the
 * service manager told us stays. */
static void clear_environment(void)
{
	static const char *const kept[] = {
		"NOTIFY_SOCKET",  "WATCHDOG_USEC", "WATCHDOG_PID",
		"JOURNAL_STREAM", "LISTEN_FDS",	   "LISTEN_PID",
		"LISTEN_FDNAMES", "INVOCATION_ID", "DBUS_SYSTEM_BUS_ADDRESS"
	};
	char *values[N_ELEMENTS(kept)];

	for (size_t i = 0; i < N_ELEMENTS(kept); i++) {
		const char *value = getenv(kept[i]);

		values[i] = value ? strdup(value) : NULL;
	}
	clearenv();
	for (size_t i = 0; i < N_ELEMENTS(kept); i++) {
		if (values[i])
			setenv(kept[i], values[i], 1);
		free(values[i]);
	}
}

/* The front needs no capability from here on: the applier, already started, holds the one that
 * matters. capset(2) with empty sets cannot fail. */
static void drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };

	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	syscall(SYS_capset, &header, none);
}

/* Up to two descriptors for each watched cgroup: the soft limit of 1,024 is for select(2), which
 * nobody here calls. Returns how many there may be; 0: not known. */
static int raise_n_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 0;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 0;
	return limit.rlim_max < INT_MAX ? (int)limit.rlim_max : INT_MAX;
}

static int start_applier(struct daemon_options *options, struct fault *fault)
{
	cleanup(freep) char *path = helper_path("sidecard-apply");
	cleanup(cgroup_mount_done) struct cgroup_mount mount = { 0 };
	struct applier_options applier = { .path = path,
					   .use_bus = options->use_bus,
					   .bus_address = getenv("DBUS_SYSTEM_BUS_ADDRESS"),
					   .may_inspect = true };
	pid_t pid;
	int r;

	if (!path)
		return fault_set(fault, -ENOENT, "cannot find the program sidecard-apply");
	applier.cgroup_root = options->cgroup_root;
	if (!applier.cgroup_root) {
		r = cgroup_find_load(&mount, fault);
		if (r < 0)
			return r;
		applier.cgroup_root = mount.path;
	}
	return applier_start(&applier, &options->applier_fd, &pid, fault);
}

int main(int argc, char **argv)
{
	struct daemon_options options = {
		.runtime_dir = "/run/sidecard",
		.machine = "live",
		.log_level = -1,
		.use_bus = true,
		.applier_fd = -1,
	};
	struct fault fault = { 0 };
	bool check = false;
	int number, r;

	while ((number = getopt_long(argc, argv, "", options_table, NULL)) != -1) {
		r = take_option(number, &options, &check);
		if (r >= 0)
			return r;
	}
	if (optind < argc) {
		fprintf(stderr, "sidecard: unexpected argument '%s'\nTry 'sidecard --help'.\n",
			argv[optind]);
		return EXIT_USAGE;
	}
	if (check)
		return check_config(options.conf_dir);
	clear_environment();
	log_init("sidecard", options.log_level < 0 ? LOG_INFO : options.log_level);
	if (strcmp(options.machine, "live") != 0)
		options.dry_run = true;
	options.n_files_most = raise_n_files();
	if (!options.dry_run && start_applier(&options, &fault) < 0) {
		log_line(LOG_ERR, "%s", fault.text);
		return EXIT_RUNTIME;
	}
	drop_capabilities();
	options.bus_address = getenv("DBUS_SYSTEM_BUS_ADDRESS");
	r = daemon_run(&options, &fault);
	if (r < 0)
		log_line(LOG_ERR, "%s", fault.text);
	return r < 0 ? EXIT_RUNTIME : 0;
}
