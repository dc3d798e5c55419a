/* The real sidecard-plugin-host, with plugins that behave and one that has every vice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "edge/plugin_host.h"
#include "edge/plugins.h"

/* Hanging plugins are waited for that long; every other answer comes long before. */
#define SHORT_MS 700u
/* On a busy machine a host may take its time to begin. */
#define LONG_MS 60000u

struct fixture {
	char directory[64]; /* of plugins */
	char conf[64];
};

static void write_file(const char *directory, const char *name, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static void install(const struct fixture *f, const char *built, const char *name, mode_t mode)
{
	char from[512], to[256], buffer[8192];
	cleanup(fclosep) FILE *in = NULL, *out = NULL;
	size_t n;

	snprintf(from, sizeof(from), "%s/%s.so", TEST_PLUGIN_DIR, built);
	snprintf(to, sizeof(to), "%s/%s.so", f->directory, name);
	in = fopen(from, "r");
	out = fopen(to, "w");
	assert_non_null(in);
	assert_non_null(out);
	while ((n = fread(buffer, 1, sizeof(buffer), in)) > 0)
		assert_int_equal(fwrite(buffer, 1, n, out), n);
	assert_int_equal(fchmod(fileno(out), mode), 0);
}

static void remove_all(const char *path)
{
	DIR *stream = opendir(path);
	struct dirent *entry;

	while (stream && (entry = readdir(stream))) {
		char below[512];

		if (entry->d_name[0] == '.')
			continue;
		snprintf(below, sizeof(below), "%s/%s", path, entry->d_name);
		if (unlink(below) < 0)
			remove_all(below);
	}
	if (stream)
		closedir(stream);
	rmdir(path);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char path[128];

	if (!f)
		return -1;
	strcpy(f->directory, "/tmp/sidecard-plugins-XXXXXX");
	strcpy(f->conf, "/tmp/sidecard-conf-XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	assert_non_null(mkdtemp(f->conf));
	snprintf(path, sizeof(path), "%s/workloads.d", f->conf);
	assert_int_equal(mkdir(path, 0755), 0);
	install(f, "host_vicious", "vicious", 0644);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	remove_all(f->directory);
	remove_all(f->conf);
	free(f);
	/* No process is left behind, and none waits to be reaped. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	return 0;
}

static void workload_write(const struct fixture *f, const char *name, const char *plugin,
			   const char *vice)
{
	char file[64], text[256];

	snprintf(file, sizeof(file), "workloads.d/%s.conf", name);
	snprintf(text, sizeof(text),
		 "[Workload]\nPlugin=%s\n[Publish]\nEnvironment=MINE=1\n[Plugin]\nvice=%s\n",
		 plugin, vice);
	write_file(f->conf, file, text);
}

static struct conf *load(const struct fixture *f)
{
	struct fault_list faults = { 0 };
	struct conf *conf = NULL;

	if (conf_load(f->conf, false, &conf, &faults) < 0)
		fail_msg("%s", faults.texts[0]);
	return conf;
}

static struct plugins *open_plugins(const struct fixture *f, unsigned deadline_ms)
{
	const struct plugins_options options = { .program = SIDECARD_PLUGIN_HOST,
						 .directory = f->directory,
						 .deadline_ms = deadline_ms };
	struct plugins *plugins = NULL;

	assert_int_equal(plugins_open(&options, &plugins), 0);
	return plugins;
}

static struct plan_workload placement_of(const struct conf *conf, size_t i, uint32_t advised)
{
	struct plan_workload placement = { .conf = conf->workloads[i],
					   .placed = true,
					   .n_pu = 2,
					   .n_core = 1,
					   .quota_mcpu = QUOTA_UNLIMITED_MCPU,
					   .share_mcpu = QUOTA_UNLIMITED_MCPU,
					   .parallelism = { 1, 2, advised } };

	assert_int_equal(cpuset_add_range(&placement.cpus, 0, 1), 0);
	return placement;
}

static bool has(const struct strings *strings, const char *text)
{
	for (size_t i = 0; i < strings->n_items; i++)
		if (strcmp(strings->items[i], text) == 0)
			return true;
	return false;
}

/* Asks about workload @i and compares: @fault NULL: it is answered; and @variable is there. */
static void expect(struct plugins *plugins, const struct conf *conf, size_t i, const char *fault,
		   const char *variable)
{
	struct plan_workload placement = placement_of(conf, i, 7);
	const struct plugin_question question = { &placement, NULL, NULL };
	struct plugin_answer answer = { 0 };
	struct fault said = { 0 };
	int r = plugins_ask_now(plugins, &question, &answer, &said);

	if ((r < 0) != (fault != NULL) || (fault && !strstr(said.text, fault)))
		fail_msg("'%s': %d '%s', expected '%s'", conf->workloads[i]->name, r, said.text,
			 fault ? fault : "");
	assert_true(has(&answer.environment, "MINE=1"));
	if (variable && !has(&answer.environment, variable))
		fail_msg("'%s': no %s", conf->workloads[i]->name, variable);
	assert_int_equal(answer.environment.n_items, variable ? 2 : 1);
	plugin_answer_done(&answer);
	cpuset_done(&placement.cpus);
}

static void a_good_plugin_is_asked(void **state)
{
	struct fixture *f = *state;
	cleanup(conf_freep) struct conf *conf = NULL;
	cleanup(plugins_freep) struct plugins *plugins = open_plugins(f, LONG_MS);
	struct fault_list faults = { 0 };

	workload_write(f, "a", "vicious", "");
	conf = load(f);
	assert_int_equal(plugins_learn(plugins, conf), 0);
	assert_int_equal(plugins_check(plugins, conf, &faults), 0);
	assert_true(plugins_rounds_up(plugins, conf->workloads[0]));
	assert_string_equal(plugins_table(plugins, conf->workloads[0])->name, "vicious");
	for (unsigned i = 0; i < 3; i++)
		expect(plugins, conf, 0, NULL, "GOOD=7");
}

/* Each costs its own workload its variables; the one beside it goes on. */
static void a_vice_harms_nobody_else(void **state)
{
	static const struct {
		const char *vice, *fault, *variable;
	} rows[] = {
		/* clang-format off */
		{ "crash", "plugin 'vicious' crashed and was ended", NULL },
		{ "exit", "plugin 'vicious' crashed and was ended", NULL },
		{ "forge", "plugin 'vicious' answered with something that is no answer", NULL },
		{ "print", NULL, "PRINTED=1" }, /* to nobody */
		{ "bytes", "a value that is not printable UTF-8", NULL },
		{ "linker", "a name that steers the dynamic linker", NULL },
		/* clang-format on */
	};
	struct fixture *f = *state;

	workload_write(f, "good", "vicious", "");
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		cleanup(conf_freep) struct conf *conf = NULL;
		cleanup(plugins_freep) struct plugins *plugins = open_plugins(f, LONG_MS);

		workload_write(f, "bad", "vicious", rows[i].vice);
		conf = load(f);
		assert_int_equal(plugins_learn(plugins, conf), 0);
		expect(plugins, conf, 1, NULL, "GOOD=7");
		expect(plugins, conf, 0, rows[i].fault, rows[i].variable);
		expect(plugins, conf, 1, NULL, "GOOD=7");
	}
}

static void one_that_hangs_is_ended(void **state)
{
	struct fixture *f = *state;
	cleanup(conf_freep) struct conf *conf = NULL;
	cleanup(plugins_freep) struct plugins *plugins = NULL;

	workload_write(f, "bad", "vicious", "hang");
	workload_write(f, "good", "vicious", "");
	conf = load(f);
	plugins = open_plugins(f, SHORT_MS);
	assert_int_equal(plugins_learn(plugins, conf), 0);
	for (unsigned i = 0; i < PLUGIN_STRIKES_MAX; i++)
		expect(plugins, conf, 0, "did not answer in time and was ended", NULL);
	/* From here on nobody waits for it any more: not for what it would do well, either. */
	expect(plugins, conf, 0, "is not asked any more", NULL);
	expect(plugins, conf, 1, "is not asked any more", NULL);
}

#if defined(__has_feature)
#define HAS_ADDRESS_SANITIZER __has_feature(address_sanitizer)
#elif defined(__SANITIZE_ADDRESS__)
#define HAS_ADDRESS_SANITIZER 1
#else
#define HAS_ADDRESS_SANITIZER 0
#endif

/* Under AddressSanitizer, which needs the address space, there is no such limit. */
static void memory_has_an_end(void **state)
{
	struct fixture *f = *state;
	cleanup(conf_freep) struct conf *conf = NULL;
	cleanup(plugins_freep) struct plugins *plugins = NULL;

	if (HAS_ADDRESS_SANITIZER)
		skip();
	plugins = open_plugins(f, LONG_MS);
	workload_write(f, "bad", "vicious", "memory");
	conf = load(f);
	assert_int_equal(plugins_learn(plugins, conf), 0);
	expect(plugins, conf, 0, NULL, "HELD=0");
}

/* Where the kernel has Landlock. */
static void nothing_is_written_or_executed(void **state)
{
	struct fixture *f = *state;
	cleanup(conf_freep) struct conf *conf = NULL;
	cleanup(plugins_freep) struct plugins *plugins = open_plugins(f, LONG_MS);
	struct plan_workload placement;
	struct plugin_answer answer = { 0 };
	struct fault fault = { 0 };

	workload_write(f, "bad", "vicious", "escape");
	conf = load(f);
	assert_int_equal(plugins_learn(plugins, conf), 0);
	placement = placement_of(conf, 0, 1);
	if (plugins_ask_now(plugins, &(struct plugin_question){ &placement, NULL, NULL }, &answer,
			    &fault) == 0) {
		assert_true(has(&answer.environment, "EXECUTED=0"));
		assert_true(has(&answer.environment, "WROTE=0"));
	}
	plugin_answer_done(&answer);
	cpuset_done(&placement.cpus);
}

static void what_cannot_be_had_is_told_with_its_place(void **state)
{
	struct fixture *f = *state;
	cleanup(conf_freep) struct conf *conf = NULL;
	cleanup(plugins_freep) struct plugins *plugins = NULL;
	struct fault_list faults = { 0 };
	static const char *const words[] = {
		"absent.conf:2: [Workload] Plugin: plugin 'nobody': cannot open",
		"generic.conf:2: [Plugin] vice: plugin 'generic' has no such key",
		"key.conf:4: [Plugin] nice: plugin 'vicious' has no such key",
		"late.conf:2: [Workload] Plugin: plugin 'late' did not answer in time",
		"open.conf:2: [Workload] Plugin: ",
		"steer.conf:", /* [Publish] Mode: the plugin has it not */
		"value.conf:4: [Plugin] vice: ",
	};

	install(f, "host_late", "late", 0644);
	install(f, "host_vicious", "open", 0666);
	write_file(f->conf, "workloads.d/absent.conf", "[Workload]\nPlugin=nobody\n");
	write_file(f->conf, "workloads.d/generic.conf", "[Plugin]\nvice=x\n");
	write_file(f->conf, "workloads.d/good.conf", "[Workload]\nPlugin=vicious\n");
	write_file(f->conf, "workloads.d/key.conf",
		   "[Workload]\nPlugin=vicious\n[Plugin]\nnice=1\n");
	write_file(f->conf, "workloads.d/late.conf", "[Workload]\nPlugin=late\n");
	write_file(f->conf, "workloads.d/open.conf", "[Workload]\nPlugin=open\n");
	write_file(f->conf, "workloads.d/steer.conf",
		   "[Workload]\nPlugin=vicious\n[Publish]\nMode=steer\n");
	write_file(f->conf, "workloads.d/value.conf",
		   "[Workload]\nPlugin=vicious\n[Plugin]\n"
		   "vice=123456789012345678901234567890123\n");
	conf = load(f);
	plugins = open_plugins(f, SHORT_MS);
	assert_int_equal(plugins_learn(plugins, conf), 0);
	assert_int_equal(plugins_check(plugins, conf, &faults), -EINVAL);
	assert_int_equal(faults.n_texts, N_ELEMENTS(words));
	for (size_t i = 0; i < N_ELEMENTS(words); i++)
		if (!strstr(faults.texts[i], words[i]))
			fail_msg("'%s', expected '%s'", faults.texts[i], words[i]);
	fault_list_done(&faults);
	/* Only the good one has its plugin; the others are as with generic. */
	for (size_t i = 0; i < conf->n_workloads; i++) {
		const struct workload *workload = conf->workloads[i];

		assert_string_equal(plugins_table(plugins, workload)->name,
				    strcmp(workload->name, "good") == 0 ? "vicious" : "generic");
	}
}

static void generic_needs_no_host(void **state)
{
	struct fixture *f = *state;
	const struct plugins_options options = { .program = "/nonexistent/host" };
	cleanup(conf_freep) struct conf *conf = NULL;
	cleanup(plugins_freep) struct plugins *plugins = NULL;
	struct fault_list faults = { 0 };

	write_file(f->conf, "workloads.d/a.conf", "[Publish]\nEnvironment=MINE=1\n");
	write_file(f->conf, "workloads.d/b.conf",
		   "[Workload]\nPlugin=vicious\n[Publish]\nEnvironment=MINE=1\n");
	conf = load(f);
	assert_int_equal(plugins_open(&options, &plugins), 0);
	assert_int_equal(plugins_learn(plugins, conf), 0);
	assert_int_equal(plugins_check(plugins, conf, &faults), -EINVAL);
	assert_int_equal(faults.n_texts, 1);
	assert_non_null(strstr(faults.texts[0], "b.conf:2: [Workload] Plugin: cannot start"));
	fault_list_done(&faults);
	expect(plugins, conf, 0, NULL, NULL);
	expect(plugins, conf, 1, NULL, NULL);
}

/* ---- in an event loop, in a batch ---- */

#define N_BATCH 40u

struct batch {
	struct plugins *plugins;
	const struct conf *conf;
	bool is_learned;
	unsigned n_answers, n_good, n_bad;
	uint64_t last;
};

static void on_learned(void *userdata)
{
	((struct batch *)userdata)->is_learned = true;
}

static void on_answered(void *userdata, uint64_t token, const json_t *json,
			const struct fault *fault)
{
	struct batch *batch = userdata;
	struct plan_workload placement = placement_of(batch->conf, token % 2, (uint32_t)token + 1);
	const struct plugin_question question = { &placement, NULL, NULL };
	struct plugin_answer answer = { 0 };
	struct fault own = { 0 };
	char good[32];

	/* In the order of the questions, each once. */
	assert_int_equal(token, batch->n_answers++);
	if (json) {
		assert_int_equal(plugins_take(&question, json, &answer, &own), 0);
		snprintf(good, sizeof(good), "GOOD=%u", (unsigned)token + 1);
		assert_true(has(&answer.environment, good));
		plugin_answer_done(&answer);
		batch->n_good++;
	} else {
		assert_int_not_equal(fault->error, 0);
		batch->n_bad++;
	}
	cpuset_done(&placement.cpus);
}

/* Two of forty kill the host: the others are answered all the same, by the next one. */
static void a_batch_survives_its_worst(void **state)
{
	struct fixture *f = *state;
	struct batch batch = { 0 };
	struct plugins_options options = { .program = SIDECARD_PLUGIN_HOST,
					   .directory = f->directory,
					   .deadline_ms = LONG_MS,
					   .userdata = &batch,
					   .learned = on_learned,
					   .answered = on_answered };
	cleanup(conf_freep) struct conf *conf = NULL;
	struct fault fault;

	assert_true(sd_event_new(&options.event) >= 0);
	workload_write(f, "bad", "vicious", "crash");
	workload_write(f, "good", "vicious", "");
	conf = load(f);
	batch.conf = conf;
	assert_int_equal(plugins_open(&options, &batch.plugins), 0);
	assert_int_equal(plugins_learn(batch.plugins, conf), 1);
	while (!batch.is_learned)
		assert_true(sd_event_run(options.event, UINT64_MAX) >= 0);
	for (uint64_t token = 0; token < N_BATCH; token++) {
		size_t i = token == 6 || token == 20 ? 0 : 1;
		struct plan_workload placement = placement_of(conf, i, (uint32_t)token + 1);
		struct plugin_answer none;

		assert_int_equal(plugins_ask(batch.plugins,
					     &(struct plugin_question){ &placement, NULL, NULL },
					     token, &none, &fault),
				 0);
		cpuset_done(&placement.cpus);
	}
	assert_int_equal(batch.n_answers, 0);
	while (batch.n_answers < N_BATCH)
		assert_true(sd_event_run(options.event, UINT64_MAX) >= 0);
	assert_int_equal(batch.n_bad, 2);
	assert_int_equal(batch.n_good, N_BATCH - 2);
	/* And an idle host wakes nobody. */
	while (sd_event_run(options.event, 0) > 0)
		;
	assert_int_equal(sd_event_run(options.event, 10000), 0);
	plugins_free(batch.plugins);
	sd_event_unref(options.event);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_good_plugin_is_asked),
		TEST(a_vice_harms_nobody_else),
		TEST(one_that_hangs_is_ended),
		TEST(memory_has_an_end),
		TEST(nothing_is_written_or_executed),
		TEST(what_cannot_be_had_is_told_with_its_place),
		TEST(generic_needs_no_host),
		TEST(a_batch_survives_its_worst),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
