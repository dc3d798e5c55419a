/* sidecarctl replay FILE: a recording through the regulators again. The same file always gives the
 * same advice; with other numbers it shows what they would have made of the same load. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "ctl/arguments.h"
#include "ctl/ctl.h"
#include "ctl/recording.h"
#include "edge/conf_internal.h"
#include "regulate/regulate_text.h"

static const char help[] =
	"Usage: sidecarctl replay [OPTION]... FILE\n"
	"Puts a recording through the regulators again and prints each step and change of "
	"stage.\n\n"
	"  --set KEY=VALUE  another number than was recorded, as in [Regulator] of a pool; may be\n"
	"                   given several times\n"
	"  --json           print the advice as it stands in the recording, one object a line\n"
	"  --help           print this\n\n"
	"Exit: 0 done, 1 the regulators said something else than was recorded (never with --set),\n"
	"2 usage or file at fault.\n";

/* A line that begins a workload is some 10 KiB. */
#define LINE_MAX_BYTES (1u << 20)

struct replayed {
	char *name;
	struct regulate_rule rule;
	struct regulate_state state;
	uint64_t begun_us; /* of its first sample; 0: none yet */
	bool is_known;	   /* false: after a gap, until it begins again */
};

struct replay {
	const char *path;
	char **sets;
	int n_sets;
	bool json;
	struct replayed **items;
	size_t n_items;
	unsigned line;
	/* Said and not yet found in the recording, oldest first: as they should stand there. */
	char **said;
	size_t n_said;
	uint64_t n_samples, n_advice, n_different;
};

static void replay_done(struct replay *replay)
{
	for (size_t i = 0; i < replay->n_items; i++) {
		free(replay->items[i]->name);
		free(replay->items[i]);
	}
	free(replay->items);
	for (size_t i = 0; i < replay->n_said; i++)
		free(replay->said[i]);
	free(replay->said);
	free(replay->sets);
}

static struct replayed *replayed_find(struct replay *replay, const char *name)
{
	for (size_t i = 0; i < replay->n_items; i++)
		if (strcmp(replay->items[i]->name, name) == 0)
			return replay->items[i];
	return NULL;
}

static struct replayed *replayed_add(struct replay *replay, const char *name)
{
	struct replayed **items = realloc(replay->items,
					  (replay->n_items + 1) * sizeof(struct replayed *));
	struct replayed *item;

	if (!items)
		return NULL;
	replay->items = items;
	item = calloc(1, sizeof(*item));
	if (!item)
		return NULL;
	item->name = strdup(name);
	if (!item->name) {
		free(item);
		return NULL;
	}
	items[replay->n_items++] = item;
	return item;
}

/* ---- other numbers ---- */

static int set_apply(const char *text, struct regulator *regulator, struct fault *fault)
{
	cleanup(freep) char *name = strndup(text, strcspn(text, "="));
	const char *value = strchr(text, '=');
	cleanup(pool_freep) struct pool *pool = pool_new("replay");
	uint32_t key;
	int r;

	if (!name || !pool)
		return fault_set(fault, -ENOMEM, "no memory for --set");
	key = conf_key_find(CONF_POOL, "Regulator", name);
	if (!value || key == UINT32_MAX)
		return fault_set(fault, -EINVAL,
				 "--set is '%s', expected KEY=VALUE of [Regulator] in "
				 "sidecard.pool(5)",
				 text);
	pool->regulator = *regulator;
	r = conf_key_set(&conf_keys[key], value + 1, pool, fault);
	if (r == 0)
		*regulator = pool->regulator;
	return r;
}

/* A state belongs to the numbers it was made with: with others a workload begins anew. */
static int sets_apply(const struct replay *replay, struct replayed *item, struct fault *fault)
{
	int r = 0;

	for (int i = 0; r == 0 && i < replay->n_sets; i++)
		r = set_apply(replay->sets[i], &item->rule.numbers, fault);
	if (r == 0 && replay->n_sets > 0) {
		if (item->rule.numbers.type == REGULATOR_NONE)
			return fault_set(fault, -EINVAL,
					 "--set Type=none leaves nothing to replay");
		regulate_begin(&item->rule, item->state.cached, &item->state);
	}
	return r;
}

/* ---- lines ---- */

static void advice_print(const struct replayed *item, const struct regulate_advice *advice,
			 uint64_t now_us)
{
	cleanup(freep) char *text = regulate_advice_text(advice);
	uint64_t ms = (now_us - item->begun_us) / 1000;

	printf("%6" PRIu64 ".%03u  %s  %u", ms / 1000, (unsigned)(ms % 1000), item->name,
	       advice->from);
	if (advice->parallelism != advice->from)
		printf(" → %u", advice->parallelism);
	printf("  %s, breaker %s  (%s)\n", regulate_stage_name(advice->stage),
	       regulate_breaker_name(advice->breaker), text ? text : "");
}

static int said_add(struct replay *replay, char *line)
{
	char **said = realloc(replay->said, (replay->n_said + 1) * sizeof(*said));

	if (!said || !line) {
		free(line);
		return -ENOMEM;
	}
	replay->said = said;
	said[replay->n_said++] = line;
	return 0;
}

static void said_drop_first(struct replay *replay)
{
	free(replay->said[0]);
	memmove(replay->said, replay->said + 1, --replay->n_said * sizeof(*replay->said));
}

/* The advice that stands in the file directly behind its sample. */
static void said_compare(struct replay *replay, const char *recorded)
{
	if (replay->n_sets > 0)
		return;
	if (replay->n_said > 0 && (!recorded || strcmp(replay->said[0], recorded) == 0)) {
		replay->n_different += !recorded;
		said_drop_first(replay);
		return;
	}
	replay->n_different += recorded != NULL;
}

static int sample_replay(struct replay *replay, const struct regulate_line *line,
			 struct replayed *item)
{
	struct regulate_advice advice;
	cleanup(json_decrefp) json_t *json = NULL;
	char *text;

	if (item->begun_us == 0)
		item->begun_us = line->time_us;
	regulate(&item->rule, &item->state, &line->sample, line->time_us, &advice);
	replay->n_samples++;
	if (advice.reason == REASON_NONE)
		return 0;
	replay->n_advice++;
	json = regulate_advice_json(item->name, &advice, line->time_us);
	text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	if (!text)
		return -ENOMEM;
	if (replay->json)
		printf("%s\n", text);
	else
		advice_print(item, &advice, line->time_us);
	if (replay->n_sets == 0)
		return said_add(replay, text);
	free(text);
	return 0;
}

static int line_replay(struct replay *replay, const struct regulate_line *line, const char *text,
		       struct fault *fault)
{
	struct replayed *item = replayed_find(replay, line->name);

	if (line->kind != LINE_ADVICE)
		while (replay->n_said > 0)
			said_compare(replay, NULL);
	switch (line->kind) {
	case LINE_BEGIN:
		if (!item)
			item = replayed_add(replay, line->name);
		if (!item)
			return fault_set(fault, -ENOMEM, "no memory for workload '%s'", line->name);
		item->rule = line->rule;
		item->state = line->state;
		item->is_known = true;
		return sets_apply(replay, item, fault);
	case LINE_SAMPLE:
		if (!item || !item->is_known)
			return 0;
		if (sample_replay(replay, line, item) < 0)
			return fault_set(fault, -ENOMEM, "no memory for an advice");
		return 0;
	case LINE_ADVICE:
		if (item && item->is_known)
			said_compare(replay, text);
		return 0;
	}
	return 0;
}

static int text_replay(struct replay *replay, const char *text, struct fault *fault)
{
	cleanup(json_decrefp) json_t *json = NULL;
	cleanup(freep) struct regulate_line *line = malloc(sizeof(*line));
	json_error_t error;
	struct fault why;

	if (!line)
		return fault_set(fault, -ENOMEM, "no memory for a line");
	if (replay->line == 1)
		return strcmp(text, RECORDING_HEAD) == 0
			       ? 0
			       : fault_set(fault, -EINVAL, "'%s' is no recording of sidecarctl",
					   replay->path);
	if (strcmp(text, RECORDING_GAP) == 0) {
		for (size_t i = 0; i < replay->n_items; i++)
			replay->items[i]->is_known = false;
		return 0;
	}
	json = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	if (!json)
		return fault_set(fault, -EINVAL, "%s:%u: %s", replay->path, replay->line,
				 error.text);
	if (regulate_line_parse(json, line, &why) < 0)
		return fault_set(fault, -EINVAL, "%s:%u: %s", replay->path, replay->line, why.text);
	return line_replay(replay, line, text, fault);
}

static int file_replay(struct replay *replay, FILE *file, struct fault *fault)
{
	cleanup(freep) char *text = NULL;
	size_t size = 0;
	ssize_t n;
	int r = 0;

	while (r == 0 && (n = getline(&text, &size, file)) >= 0) {
		replay->line++;
		if (n > 0 && text[n - 1] == '\n')
			text[--n] = '\0';
		else if (replay->line > 1)
			break; /* the recorder was cut short in its last line */
		if ((size_t)n > LINE_MAX_BYTES || strlen(text) != (size_t)n)
			return fault_set(fault, -EINVAL, "%s:%u: no line of a recording",
					 replay->path, replay->line);
		r = text_replay(replay, text, fault);
	}
	while (replay->n_said > 0)
		said_compare(replay, NULL);
	if (r == 0 && replay->line == 0)
		r = fault_set(fault, -EINVAL, "'%s' is empty", replay->path);
	return r;
}

/* ---- the command line ---- */

static int options_parse(int argc, char **argv, struct replay *replay)
{
	static const struct option options[] = {
		{ "set", required_argument, NULL, 's' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int option;

	replay->sets = calloc((size_t)argc, sizeof(*replay->sets));
	if (!replay->sets)
		return EXIT_FAULT;
	optind = 0; /* glibc: begin anew */
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 's':
			replay->sets[replay->n_sets++] = optarg;
			break;
		case 'j':
			replay->json = true;
			break;
		case 'h':
			fputs(help, stdout);
			return EXIT_DONE;
		default:
			fprintf(stderr, "Try 'sidecarctl replay --help'.\n");
			return EXIT_FAULT;
		}
	}
	if (optind + 1 != argc) {
		fprintf(stderr, "sidecarctl replay: expected one file\n%s", help);
		return EXIT_FAULT;
	}
	replay->path = argv[optind];
	return -1;
}

int verb_replay(int argc, char **argv)
{
	cleanup(replay_done) struct replay replay = { 0 };
	cleanup(fclosep) FILE *file = NULL;
	struct fault fault;
	int r = options_parse(argc, argv, &replay);

	if (r >= 0)
		return r;
	file = strcmp(replay.path, "-") == 0 ? fdopen(dup(STDIN_FILENO), "r")
					     : fopen(replay.path, "re");
	r = file ? file_replay(&replay, file, &fault)
		 : fault_set(&fault, -errno, "cannot open '%s': %s", replay.path, strerror(errno));
	if (r < 0) {
		fprintf(stderr, "sidecarctl: %s\n", fault.text);
		return EXIT_FAULT;
	}
	fprintf(stderr, "%" PRIu64 " samples, %" PRIu64 " advices, %" PRIu64 " not as recorded\n",
		replay.n_samples, replay.n_advice, replay.n_different);
	if (fflush(stdout) != 0)
		return EXIT_FAULT;
	return replay.n_different > 0 ? EXIT_UNPLACED : EXIT_DONE;
}
