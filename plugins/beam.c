/* Erlang and Elixir (BEAM). Schedulers are created once and opened and closed live: as many as the
 * placement has PUs are created, as many as the parallelism are open. +S overrides the runtime's
 * own look at its quota, so Mode=steer leaves it out. Schedulers that wait in a busy loop spend the
 * quota of their neighbours, so that is switched off. +sbt is never told: it binds after the start,
 * against whoever pins from outside. */
#include "plugin_api.h"

/* erts: the largest number of schedulers. */
#define SCHEDULERS_MAX 1024u

static const struct sidecard_key keys[] = {
	{ "busy-wait", SIDECARD_KEY_WORD, .words = "none keep", .value = "none",
	  .help = "none: schedulers that have no work sleep at once; keep: the runtime's own." },
	{ "language", SIDECARD_KEY_WORD, .words = "erlang elixir", .value = "erlang",
	  .help = "The language that the command for live changes speaks, such as that of "
		  "'bin/app eval' or 'bin/app rpc'." },
};

static const struct sidecard_thread_rule thread_rules[] = {
	{ .comm = "erts_sched_*", .class = SIDECARD_THREAD_DATA },
	{ .comm = "erts_dcpus_*", .class = SIDECARD_THREAD_DATA },
	{ .comm = "erts_dios_*", .class = SIDECARD_THREAD_IO },
	{ .comm = "erts_poll_*", .class = SIDECARD_THREAD_IO },
	{ .comm = "erts_async_*", .class = SIDECARD_THREAD_IO },
	{ .comm = "erts_aux_*", .class = SIDECARD_THREAD_CONTROL },
	{ .comm = "erts_ssig_disp", .class = SIDECARD_THREAD_CONTROL },
	{ .comm = "erts_smsg_disp", .class = SIDECARD_THREAD_CONTROL },
	{ .comm = "beam.smp", .class = SIDECARD_THREAD_CONTROL },
	{ .comm = "erl_child_setup", .class = SIDECARD_THREAD_CONTROL },
};

static const struct sidecard_live lives[] = {
	{ .what = "schedulers online",
	  .change = SIDECARD_CHANGE_LIVE,
	  .way = SIDECARD_WAY_COMMAND,
	  .interval_us = 1000000,
	  .note = "up to the number that was created; dirty schedulers for processors follow" },
	{ .what = "schedulers created", .change = SIDECARD_CHANGE_START_ONLY },
};

static const struct sidecard_steer steer = {
	.size = sizeof(steer),
	.rounding = SIDECARD_ROUND_DOWN,
	.quota_least = 1,
	.reads_quota = 1,
	.reads_affinity = 1,
};

static uint32_t schedulers_online(const struct sidecard_placement *placement)
{
	uint32_t n = placement->parallelism < placement->n_pu ? placement->parallelism
							      : placement->n_pu;

	return n < SCHEDULERS_MAX ? n : SCHEDULERS_MAX;
}

static int environment(const struct sidecard_request *request, const struct sidecard_sink *sink)
{
	uint32_t n_created = request->placement->n_pu;
	uint32_t n_online = schedulers_online(request->placement);
	char buffer[160] = "";
	struct sidecard_text text = SIDECARD_TEXT(buffer);

	if (n_created > SCHEDULERS_MAX)
		n_created = SCHEDULERS_MAX;
	if (request->mode == SIDECARD_MODE_FIXED)
		sidecard_text_add(&text, "+S %u:%u +SDcpu %u:%u", n_created, n_online, n_created,
				  n_online);
	if (sidecard_setting_is(request, "busy-wait", "none"))
		sidecard_text_add(&text, "%s+sbwt none +sbwtdcpu none +sbwtdio none",
				  text.used > 0 ? " " : "");
	return text.used > 0 ? sidecard_append(sink, "ERL_FLAGS", &text) : 0;
}

static int command(const struct sidecard_request *request, const struct sidecard_sink *sink)
{
	uint32_t n = schedulers_online(request->placement);

	if (sidecard_setting_is(request, "language", "elixir"))
		return sidecard_argument(sink, ":erlang.system_flag(:schedulers_online, %u)", n);
	return sidecard_argument(sink, "erlang:system_flag(schedulers_online, %u).", n);
}

static int query(const struct sidecard_request *request, const struct sidecard_sink *sink)
{
	if (sidecard_setting_is(request, "language", "elixir"))
		return sidecard_argument(sink, "IO.puts(:erlang.system_info(:schedulers_online))");
	return sidecard_argument(sink, "erlang:system_info(schedulers_online).");
}

SIDECARD_PLUGIN_EXPORT const struct sidecard_plugin sidecard_plugin = {
	.api_version = SIDECARD_PLUGIN_API_VERSION,
	.size = sizeof(sidecard_plugin),
	.name = "beam",
	.version = "1",
	.runtime = "Erlang and Elixir",
	/* An m:n scheduler that sleeps when it has no work: it uses what is left of a PU. */
	.rounding = SIDECARD_ROUND_UP,
	.modes = SIDECARD_MODE_FIXED | SIDECARD_MODE_STEER,
	.overcommit_permille = 1000,
	.keys = SIDECARD_TABLE(keys),
	.thread_rules = SIDECARD_TABLE(thread_rules),
	.lives = SIDECARD_TABLE(lives),
	.steer = &steer,
	.environment = environment,
	.command = command,
	.query = query,
};
