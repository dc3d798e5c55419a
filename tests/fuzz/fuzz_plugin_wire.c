/* Any answer of a plugin's host: what comes of it is a table that keeps every rule, proposals that
 * do, or a fault. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "edge/plugin_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data);

static void must(bool condition)
{
	if (!condition)
		__builtin_trap();
}

static void table_try(const json_t *answer)
{
	struct workload workload = { .name = (char *)"w", .plugin = (char *)"go" };
	struct plugin_copy *copy = NULL;
	struct sidecard_setting *settings = NULL;
	struct fault fault = { 0 };
	int r = wire_table_parse(answer, "go", &copy, &fault);

	must((r == 0) == (copy != NULL));
	must(r == 0 || fault.error == r);
	if (r < 0)
		return;
	must(strcmp(plugin_copy_table(copy)->name, "go") == 0);
	/* The defaults of what passed must fit, in its own mode. */
	workload.publish_mode = plugin_copy_table(copy)->modes & SIDECARD_MODE_FIXED
					? PUBLISH_FIXED
					: PUBLISH_STEER;
	must(plugin_settings_make(plugin_copy_table(copy), &workload, &settings, NULL) == 0);
	free(settings);
	plugin_copy_free(copy);
}

static void proposals_try(const json_t *answer)
{
	struct fault fault = { 0 };
	struct plugin_proposals proposals = { .plugin = "go", .workload = "w", .fault = &fault };
	char *mine[] = { (char *)"JAVA_TOOL_OPTIONS=-Xmx1g", (char *)"GOMAXPROCS=3" };
	struct strings base = { mine, N_ELEMENTS(mine) };
	struct plugin_answer merged = { 0 };

	if (wire_proposals_parse(answer, &proposals) == 0 &&
	    plugin_answer_make(&proposals, &base, &merged) == 0)
		for (size_t i = 0; i < merged.environment.n_items; i++) {
			const char *line = merged.environment.items[i];

			must(!strpbrk(line, "\n\r\033") && strchr(line, '='));
			must(strncmp(line, "LD_", 3) != 0 && strncmp(line, "SIDECARD_", 9) != 0);
		}
	plugin_answer_done(&merged);
	plugin_proposals_done(&proposals);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data)
{
	json_error_t error;
	json_t *answer = json_loadb((const char *)data, n_data, JSON_REJECT_DUPLICATES, &error);

	if (answer) {
		table_try(answer);
		proposals_try(answer);
	}
	json_decref(answer);
	return 0;
}
