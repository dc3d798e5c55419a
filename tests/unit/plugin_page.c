/* The part of sidecard.plugins(7) that the plugins' own tables tell: keys, modes, rounding, what
 * changes live, and an example. tests/plugin_page.sh holds page and tables together. */
#include "plugins_fixture.h"

/* A text as roff: no sequence of it means anything else. */
static void put(const char *text)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", stdout);
	for (; *text; text++) {
		if (*text == '-')
			fputs("\\-", stdout);
		else if (*text == '\\')
			fputs("\\e", stdout);
		else if (strncmp(text, "…", strlen("…")) == 0)
			fputs("\\[u2026]", stdout), text += strlen("…") - 1;
		else
			fputc(*text, stdout);
	}
}

static void put_words(const char *words)
{
	for (const char *at = words; *at; at++)
		fputs(*at == ' ' ? ", "
				 : (char[]){ *at == '-' ? '\\' : *at, *at == '-' ? '-' : 0, 0 },
		      stdout);
}

static void print_key(const struct sidecard_key *key)
{
	fputs(".TP\n.B ", stdout);
	put(key->name);
	fputc('=', stdout);
	put(key->value);
	fputc('\n', stdout);
	switch (key->type) {
	case SIDECARD_KEY_UINT:
		printf("%llu to %llu. ", (unsigned long long)key->least,
		       (unsigned long long)key->most);
		break;
	case SIDECARD_KEY_BOOL:
		printf("A boolean. ");
		break;
	case SIDECARD_KEY_WORD:
		printf("One of ");
		put_words(key->words);
		printf(". ");
		break;
	default:
		printf("%llu to %llu characters. ", (unsigned long long)key->least,
		       (unsigned long long)key->most);
	}
	put(key->help);
	fputc('\n', stdout);
}

static const char *change_name(const struct sidecard_live *live)
{
	static const char *const ways[] = {
		[SIDECARD_WAY_NONE] = "at the next start",
		[SIDECARD_WAY_RELOAD] = "by a reload",
		[SIDECARD_WAY_SIGNAL] = "live, by signals",
		[SIDECARD_WAY_COMMAND] = "live, by a command",
		[SIDECARD_WAY_CGROUP] = "live, as the runtime looks at its cgroup and affinity",
		[SIDECARD_WAY_ASK] = "live, where the program asks",
	};

	return ways[live->way];
}

static void print_lives(const struct sidecard_plugin *plugin)
{
	for (uint32_t i = 0; i < plugin->lives.n_rows; i++) {
		const struct sidecard_live *live = sidecard_row(&plugin->lives, i);

		printf(i == 0 ? "What changes: " : "; ");
		put(live->what);
		printf(": %s", change_name(live));
		if (live->note) {
			fputs(" (", stdout);
			put(live->note);
			fputc(')', stdout);
		}
	}
	puts(".");
}

static void print_example(const struct sidecard_plugin *plugin)
{
	const struct plugin_case row = { .quota_mcpu = 2500, .n_pu = 6, .n_node = 1 };
	cleanup(plugin_answer_done) struct plugin_answer answer = { 0 };
	const struct {
		const char *title;
		const struct strings *strings;
	} parts[] = { { "Variables", &answer.environment },
		      { "Arguments", &answer.arguments },
		      { "Lines", &answer.lines } };
	struct fault fault;

	if (case_ask(plugin, &row, &answer, &fault) < 0) {
		fprintf(stderr, "%s\n", fault.text);
		exit(1);
	}
	for (size_t i = 0; i < N_ELEMENTS(parts); i++) {
		if (parts[i].strings->n_items == 0)
			continue;
		printf(".PP\n%s:\n.PP\n.nf\n", parts[i].title);
		for (size_t k = 0; k < parts[i].strings->n_items; k++) {
			put(parts[i].strings->items[k]);
			fputc('\n', stdout);
		}
		puts(".fi");
	}
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const struct sidecard_plugin *plugin = plugin_open(argv[i]);

		if (!plugin)
			return 1;
		printf(".SS ");
		put(plugin->name);
		printf("\n");
		put(plugin->runtime);
		printf(". %s; a fraction of a PU counts %s.\n",
		       plugin->modes & SIDECARD_MODE_STEER ? "Can be steered" : "Cannot be steered",
		       plugin->rounding == SIDECARD_ROUND_UP ? "up" : "down");
		print_lives(plugin);
		print_example(plugin);
		for (uint32_t k = 0; k < plugin->keys.n_rows; k++)
			print_key(sidecard_row(&plugin->keys, k));
	}
	return 0;
}
