/* Any bytes as a configuration file: either everything in it is set and within its range, or there
 * is a fault. The first byte chooses which file it is; the second, for a workload, where the text
 * is cut into a file and its drop-in. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "edge/conf_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data);

static void check_strings(const struct strings *strings)
{
	assert(strings->n_items <= CONF_ITEMS_MAX);
	for (size_t i = 0; i < strings->n_items; i++) {
		size_t n = strlen(strings->items[i]);

		assert(n > 0 && n <= CONF_LINE_MAX_BYTES && text_is_utf8(strings->items[i], n));
		assert(!strpbrk(strings->items[i], "\n\r\033"));
	}
}

static void check_workload(const struct workload *workload)
{
	const struct match *match = &workload->match;
	const struct strings *const lists[] = { &match->units,	       &match->slices,
						&match->cgroups,       &match->executables,
						&match->command_lines, &match->users,
						&workload->environment };

	assert(workload->role <= ROLE_BATCH && workload->smt <= SMT_ONE_PER_CORE);
	assert(workload->rounding <= ROUNDING_NEAREST && workload->numa_policy <= NUMA_SPREAD);
	assert(workload->memory <= MEMORY_NONE && workload->pin <= PIN_NONE);
	assert(workload->publish_mode <= PUBLISH_STEER);
	assert(workload->min_pu >= 1 && workload->min_pu <= CPUSET_MAX);
	assert(workload->max_pu == WORKLOAD_MAX_UNSET ||
	       (workload->max_pu >= 1 && workload->max_pu <= CPUSET_MAX));
	assert(workload->weight >= 1 && workload->weight <= 10000 && workload->priority <= 1000000);
	assert(workload->quota_mcpu >= 1);
	assert(name_is_valid(workload->pool) && name_is_valid(workload->plugin));
	for (size_t i = 0; i < N_ELEMENTS(lists); i++)
		check_strings(lists[i]);
	for (size_t i = 0; i < workload->environment.n_items; i++) {
		const char *variable = workload->environment.items[i];

		assert(strchr(variable, '=') && strchr(variable, '=') != variable);
		assert(strncmp(variable, "LD_", 3) != 0 && strncmp(variable, "SIDECARD_", 9) != 0);
	}
	for (size_t i = 0; i < workload->n_settings; i++)
		assert(workload->settings[i].key[0] && workload->settings[i].value[0]);
}

static void check_daemon(const struct conf *conf)
{
	assert(conf->settle_us <= 5000000);
	assert(conf->housekeeping.kind <= HOUSEKEEPING_LIST);
	assert(conf->housekeeping.kind != HOUSEKEEPING_COUNT || conf->housekeeping.n_pu >= 1);
	assert((conf->housekeeping.kind == HOUSEKEEPING_LIST) ==
	       !cpuset_is_empty(&conf->housekeeping.cpus));
}

static void read_workload(struct conf_loader *loader, const char *text, size_t n_text, size_t cut)
{
	struct conf_target target = { CONF_WORKLOAD, NULL, 0, "w.conf", 0 };
	struct conf *conf = loader->conf;

	conf->workloads = calloc(1, sizeof(struct workload *));
	if (!conf->workloads)
		return;
	conf->workloads[0] = workload_new("w");
	if (!conf->workloads[0])
		return;
	conf->n_workloads = 1;
	target.object = conf->workloads[0];
	cut = cut < n_text ? cut : n_text;
	conf_read_text(loader, &target, text, cut);
	if (strings_add(&conf->drop_ins, "w.conf.d/1.conf") == 0) {
		target.file = conf->drop_ins.items[0];
		target.file_index = 1;
		conf_read_text(loader, &target, text + cut, n_text - cut);
	}
	check_workload(conf->workloads[0]);
	assert(conf_check_claims(loader) == 0);
	assert(conf_marks_keep(conf) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data)
{
	cleanup(conf_loader_done) struct conf_loader loader = { .conf = conf_default() };
	struct conf_target target = { CONF_DAEMON, loader.conf, 0, "sidecard.conf", 0 };
	const char *text = (const char *)data + 2;

	if (!loader.conf || n_data < 2 || n_data > CONF_FILE_MAX_BYTES)
		return 0;
	loader.offline = data[0] & 4;
	switch (data[0] % 3) {
	case CONF_DAEMON:
		conf_read_text(&loader, &target, text, n_data - 2);
		check_daemon(loader.conf);
		break;
	case CONF_POOL:
		target = (struct conf_target){ CONF_POOL, loader.conf->pools[0], 0, "p.conf", 0 };
		conf_read_text(&loader, &target, text, n_data - 2);
		break;
	default:
		read_workload(&loader, text, n_data - 2, (size_t)data[1] * 4);
	}
	for (size_t i = 0; i < loader.n_faults; i++)
		assert(loader.faults[i].text[0] != '\0');
	return 0;
}

#ifdef FUZZ_REPLAY
/* Without libFuzzer: each argument is a file to try. */
int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		cleanup(fclosep) FILE *file = fopen(argv[i], "r");
		cleanup(freep) uint8_t *data = malloc(CONF_FILE_MAX_BYTES);
		size_t n;

		if (!file || !data) {
			fprintf(stderr, "cannot read %s\n", argv[i]);
			return 1;
		}
		n = fread(data, 1, CONF_FILE_MAX_BYTES, file);
		LLVMFuzzerTestOneInput(data, n);
	}
	printf("%d files\n", argc - 1);
	return argc > 1 ? 0 : 1;
}
#endif
