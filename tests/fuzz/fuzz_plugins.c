/* The boundary of plugins, both ways. Towards them: any thread name, arguments, settings,
 * environment and placement that the host may hand on; each plugin must answer within its rules.
 * From them: any proposal; what the host takes must be a variable, an argument or a line and
 * nothing more, and an environment file must hold it without a value that leaves its line or its
 * quotes.
 *
 * 32 bytes of numbers, then texts that end in NUL: comm, argv, settings, environment, and pairs of
 * name and value that are proposed. */
#include <stdint.h>

#include "../unit/plugins_fixture.h"
#include "plan/plan.h"
#include "publish/publish.h"

#define N_NUMBERS   32u
#define DATA_MAX    16384u
#define N_PU_MAX    64u
#define N_TEXTS_MAX 40u
#define FIXED_TEXTS 4u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data);

static const char *const names[] = { "generic",	 "go",	     "jvm",    "dotnet",  "rust",
				     "node",	 "python",   "openmp", "tbb",	  "beam",
				     "puma",	 "php-fpm",  "nginx",  "haproxy", "envoy",
				     "redis",	 "postgres", "dpdk",   "pytorch", "triton",
				     "llamacpp", "vllm" };

struct input {
	const uint8_t *numbers;
	const char *texts[N_TEXTS_MAX]; /* "" where there is none */
	size_t n_texts;
	char *copy;
};

static void input_split(struct input *input, const uint8_t *data, size_t n_data)
{
	size_t n_text = n_data - N_NUMBERS;

	input->numbers = data;
	input->copy = calloc(1, n_text + 1);
	assert(input->copy);
	memcpy(input->copy, data + N_NUMBERS, n_text);
	for (size_t i = 0; i < N_TEXTS_MAX; i++)
		input->texts[i] = "";
	for (size_t at = 0; at < n_text && input->n_texts < N_TEXTS_MAX;
	     at += strlen(input->copy + at) + 1)
		input->texts[input->n_texts++] = input->copy + at;
}

static uint32_t number(const struct input *input, size_t i)
{
	const uint8_t *at = input->numbers + i * 4;

	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
	       (uint32_t)at[3] << 24;
}

static const struct sidecard_plugin *plugin_get(uint32_t i)
{
	static const struct sidecard_plugin *open[N_ELEMENTS(names)];

	i %= N_ELEMENTS(names);
	if (!open[i])
		open[i] = plugin_open(names[i]);
	assert(open[i]);
	return open[i];
}

/* ---- what was taken ---- */

static void check_text(const char *text, size_t most)
{
	size_t n = strlen(text);

	assert(n <= most && text_is_utf8(text, n));
	for (size_t i = 0; i < n; i++)
		assert((unsigned char)text[i] >= 0x20 && text[i] != 0x7f);
}

static void check_name(const char *item, size_t n_name)
{
	assert(n_name > 0 && item[n_name] == '=' && !(item[0] >= '0' && item[0] <= '9'));
	for (size_t i = 0; i < n_name; i++)
		assert(item[i] == '_' || (item[i] >= '0' && item[i] <= '9') ||
		       (item[i] >= 'A' && item[i] <= 'Z') || (item[i] >= 'a' && item[i] <= 'z'));
	assert(strncmp(item, "LD_", 3) != 0 && strncmp(item, "SIDECARD_", 9) != 0 &&
	       strncmp(item, "PATH=", 5) != 0);
}

/* The base is kept whole and in order, and only ever grows at its end; the rest is the plugin's. */
static void check_environment(const struct strings *environment, const struct strings *base)
{
	assert(environment->n_items >= base->n_items);
	for (size_t i = 0; i < environment->n_items; i++) {
		const char *item = environment->items[i];
		size_t n_name = strcspn(item, "=");

		if (i < base->n_items) {
			assert(strncmp(item, base->items[i], strlen(base->items[i])) == 0);
			continue;
		}
		check_name(item, n_name);
		check_text(item + n_name + 1, 4096);
	}
}

static void check_answer(const struct plugin_answer *answer, const struct strings *base)
{
	check_environment(&answer->environment, base);
	for (size_t i = 0; i < answer->arguments.n_items; i++)
		check_text(answer->arguments.items[i], 4096);
	for (size_t i = 0; i < answer->lines.n_items; i++)
		check_text(answer->lines.items[i], 4096);
}

/* Reads one line as EnvironmentFile= and a shell do: NAME=, then harmless characters, or a quoted
 * text that ends with the line. */
static const char *line_check(const char *line)
{
	const char *at = line + strcspn(line, "=\n");

	assert(*at == '=' && at > line);
	at++;
	if (*at != '"') {
		assert(at[strcspn(at, "\"'`$\\;&|<>(){}*?#~! \t\n")] == '\n');
		return strchr(at, '\n') + 1;
	}
	for (at++; *at != '"'; at++) {
		if (*at == '\\') {
			at++;
			assert(*at && strchr("\"\\`$", *at));
			continue;
		}
		assert((unsigned char)*at >= 0x20 && *at != 0x7f && *at != '`' && *at != '$');
	}
	assert(at[1] == '\n');
	return at + 2;
}

static void check_file(const struct workload *workload, const struct strings *environment)
{
	const struct plan_workload placement = { .conf = workload, .parallelism = { 1, 1, 1 } };
	cleanup(freep) char *text = env_format(&placement, 1, environment);
	const char *line = text;
	size_t n_lines = 0, n_ours = 0;

	assert(text);
	for (; *line; n_lines++) {
		n_ours += strncmp(line, "SIDECARD_", 9) == 0;
		line = line_check(line);
	}
	assert(n_lines - n_ours <= environment->n_items);
}

/* ---- towards plugins ---- */

static void classify(const struct input *input)
{
	const struct sidecard_thread thread = { .size = sizeof(thread),
						.birth = number(input, 1),
						.comm = input->texts[0],
						.argv = input->texts[1] };

	for (uint32_t i = 0; i < N_ELEMENTS(names); i++)
		assert(sidecard_thread_classify(plugin_get(i), &thread) <
		       SIDECARD_N_THREAD_CLASSES);
}

struct place {
	struct sidecard_pu pus[N_PU_MAX];
	char cpus[N_PU_MAX * 12], nodes[64];
};

/* As the host makes it: ascending cores, every number within its range, nothing 0. */
static struct sidecard_placement placement_make(const struct input *input, struct place *place)
{
	uint32_t n_pu = number(input, 2) % N_PU_MAX + 1, flags = number(input, 3);
	uint32_t core = 0, n_core = 1, node = number(input, 4) % 1024;

	for (uint32_t i = 0; i < n_pu; i++) {
		if (i > 0 && flags >> i % 32 & 1) {
			core++;
			n_core++;
		}
		if (i > 0 && flags >> (i + 7) % 32 & 1)
			node = (node + 1) % 1024;
		place->pus[i] = (struct sidecard_pu){ (number(input, 5) + i * 37) % 8192, core,
						      node };
		snprintf(place->cpus + strlen(place->cpus),
			 sizeof(place->cpus) - strlen(place->cpus), "%s%u", i > 0 ? "," : "",
			 place->pus[i].pu);
	}
	snprintf(place->nodes, sizeof(place->nodes), "%u-%u", place->pus[0].node,
		 place->pus[0].node + flags % 8);
	return (struct sidecard_placement){
		.size = sizeof(struct sidecard_placement),
		.workload = "proxy",
		.cpus = place->cpus,
		.nodes = place->nodes,
		.mems = place->nodes,
		.n_pu = n_pu,
		.n_core = n_core,
		.n_node = flags % 8 + 1,
		.parallelism_floor = 1,
		.parallelism_ceil = number(input, 6) | 1,
		.parallelism = number(input, 6) | 1,
		.quota_mcpu = number(input, 7) | 1,
		.memory_limit_bytes = (uint64_t)number(input, 7) << (flags % 32),
		.pus = { place->pus, flags & 0x80000000 ? 0 : n_pu, sizeof(place->pus[0]) },
	};
}

static void ask(const struct input *input)
{
	const struct sidecard_plugin *plugin = plugin_get(number(input, 0));
	const struct plugin_case row = { .settings = input->texts[2],
					 .environment = input->texts[3],
					 .steer = number(input, 0) >> 31 };
	cleanup(workload_freep) struct workload *workload = case_workload(&row);
	cleanup(freep) struct sidecard_setting *settings = NULL;
	cleanup(plugin_answer_done) struct plugin_answer answer = { 0 };
	struct place place = { 0 };
	struct sidecard_placement placement = placement_make(input, &place);
	struct fault fault = { 0 };
	cleanup(plugin_proposals_done) struct plugin_proposals proposals = { .plugin = plugin->name,
									     .workload = "proxy",
									     .fault = &fault };
	struct sidecard_request request = {
		.size = sizeof(request),
		.mode = row.steer ? SIDECARD_MODE_STEER : SIDECARD_MODE_FIXED,
		.placement = &placement,
		.n_settings = plugin->keys.n_rows,
	};
	struct fault_list faults = { 0 };
	int r = plugin_settings_make(plugin, workload, &settings, &faults);

	assert((r == -EINVAL) == (faults.n_texts + faults.n_lost > 0));
	fault_list_done(&faults);
	if (r < 0)
		return;
	request.settings = settings;
	r = case_propose(plugin, &request, &proposals);
	/* Ours never propose what is refused; they may give up on a setting. */
	assert(proposals.error == 0);
	if (r < 0)
		return;
	if (plugin_answer_make(&proposals, &workload->environment, &answer) < 0)
		return;
	check_answer(&answer, &workload->environment);
	check_file(workload, &answer.environment);
}

/* ---- from plugins ---- */

static void propose(const struct input *input)
{
	const struct plugin_case row = { .environment = input->texts[3] };
	cleanup(workload_freep) struct workload *workload = case_workload(&row);
	cleanup(plugin_answer_done) struct plugin_answer answer = { 0 };
	struct fault fault = { 0 };
	cleanup(plugin_proposals_done) struct plugin_proposals proposals = { .plugin = "x",
									     .workload = "proxy",
									     .fault = &fault };

	for (size_t i = FIXED_TEXTS; i + 1 < input->n_texts; i += 2) {
		int r = plugin_proposals_add(
			&proposals, (enum proposal)(input->numbers[i % N_NUMBERS] % N_PROPOSAL),
			input->texts[i], input->texts[i + 1]);

		assert(r == 0 || (r < 0 && fault.text[0]));
	}
	if (proposals.error < 0 ||
	    plugin_answer_make(&proposals, &workload->environment, &answer) < 0)
		return;
	check_answer(&answer, &workload->environment);
	check_file(workload, &answer.environment);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data)
{
	struct input input = { 0 };

	if (n_data < N_NUMBERS || n_data > DATA_MAX)
		return 0;
	input_split(&input, data, n_data);
	classify(&input);
	ask(&input);
	propose(&input);
	free(input.copy);
	return 0;
}

#ifdef FUZZ_REPLAY
/* Without libFuzzer: each argument is a file to try. */
int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		cleanup(fclosep) FILE *file = fopen(argv[i], "r");
		cleanup(freep) uint8_t *data = malloc(DATA_MAX);

		if (!file || !data) {
			fprintf(stderr, "cannot read %s\n", argv[i]);
			return 1;
		}
		LLVMFuzzerTestOneInput(data, fread(data, 1, DATA_MAX, file));
	}
	printf("%d files\n", argc - 1);
	return argc > 1 ? 0 : 1;
}
#endif
