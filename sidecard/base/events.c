#include "base/events.h"

#include <inttypes.h>
#include <systemd/sd-journal.h>

#include "base/log.h"

/* The journal gets the fields, a terminal the sentence; never both, or a service's log would say
 * all twice. */

void event_started(const char *version, size_t n_workloads, uint32_t n_pu, uint32_t n_node)
{
	if (!log_to_journal())
		log_line(LOG_INFO, "sidecard %s: %zu workloads on %u PUs, %u NUMA nodes", version,
			 n_workloads, n_pu, n_node);
	else
		sd_journal_send("MESSAGE=sidecard %s: %zu workloads on %u PUs, %u NUMA nodes",
				version, n_workloads, n_pu, n_node, "MESSAGE_ID=" MSG_STARTED,
				"PRIORITY=%i", LOG_INFO, NULL);
}

void event_stopped(void)
{
	if (!log_to_journal())
		log_line(LOG_INFO, "stopped");
	else
		sd_journal_send("MESSAGE=stopped", "MESSAGE_ID=" MSG_STOPPED, "PRIORITY=%i",
				LOG_INFO, NULL);
}

void event_reloaded(size_t n_workloads)
{
	if (!log_to_journal())
		log_line(LOG_INFO, "configuration reloaded: %zu workloads", n_workloads);
	else
		sd_journal_send("MESSAGE=configuration reloaded: %zu workloads", n_workloads,
				"MESSAGE_ID=" MSG_RELOADED, "PRIORITY=%i", LOG_INFO, NULL);
}

void event_config_refused(const char *fault)
{
	if (!log_to_journal())
		log_line(LOG_ERR, "%s", fault);
	else
		sd_journal_send("MESSAGE=%s", fault, "MESSAGE_ID=" MSG_CONFIG_REFUSED,
				"PRIORITY=%i", LOG_ERR, "SIDECARD_FAULT=%s", fault, NULL);
}

void event_plan_changed(const char *workload, const char *pus, uint32_t parallelism,
			const char *limited_by, uint64_t generation)
{
	if (!log_to_journal())
		log_line(LOG_NOTICE,
			 "workload '%s': PUs %s, parallelism %u, limited by %s (generation %" PRIu64
			 ")",
			 workload, pus, parallelism, limited_by, generation);
	else
		sd_journal_send("MESSAGE=workload '%s': PUs %s, parallelism %u, limited by %s",
				workload, pus, parallelism, limited_by,
				"MESSAGE_ID=" MSG_PLAN_CHANGED, "PRIORITY=%i", LOG_NOTICE,
				"SIDECARD_WORKLOAD=%s", workload, "SIDECARD_CPUSET=%s", pus,
				"SIDECARD_PARALLELISM=%u", parallelism, "SIDECARD_LIMITED_BY=%s",
				limited_by, "SIDECARD_GENERATION=%" PRIu64, generation, NULL);
}

void event_unplaced(const char *workload, const char *reason)
{
	if (!log_to_journal())
		log_line(LOG_WARNING, "workload '%s' is not placed: %s", workload, reason);
	else
		sd_journal_send("MESSAGE=workload '%s' is not placed: %s", workload, reason,
				"MESSAGE_ID=" MSG_UNPLACED, "PRIORITY=%i", LOG_WARNING,
				"SIDECARD_WORKLOAD=%s", workload, "SIDECARD_REASON=%s", reason,
				NULL);
}

void event_place_failed(const char *workload, const char *place, const char *text)
{
	if (!log_to_journal())
		log_line(LOG_WARNING, "workload '%s', %s: %s, retrying", workload, place, text);
	else
		sd_journal_send("MESSAGE=workload '%s', %s: %s, retrying", workload, place, text,
				"MESSAGE_ID=" MSG_PLACE_FAILED, "PRIORITY=%i", LOG_WARNING,
				"SIDECARD_WORKLOAD=%s", workload, "SIDECARD_PLACE=%s", place,
				"SIDECARD_TEXT=%s", text, NULL);
}

void event_degraded(const char *text)
{
	if (!log_to_journal())
		log_line(LOG_WARNING, "%s", text);
	else
		sd_journal_send("MESSAGE=%s", text, "MESSAGE_ID=" MSG_DEGRADED, "PRIORITY=%i",
				LOG_WARNING, "SIDECARD_TEXT=%s", text, NULL);
}

void event_registered(const char *workload, int64_t pid)
{
	if (!log_to_journal())
		log_line(LOG_INFO, "process %" PRIi64 " registered with workload '%s'", pid,
			 workload);
	else
		sd_journal_send("MESSAGE=process %" PRIi64 " registered with workload '%s'", pid,
				workload, "MESSAGE_ID=" MSG_REGISTERED, "PRIORITY=%i", LOG_INFO,
				"SIDECARD_WORKLOAD=%s", workload, "SIDECARD_PID=%" PRIi64, pid,
				NULL);
}

void event_registration_ended(const char *workload, int64_t pid, const char *why)
{
	if (!log_to_journal())
		log_line(LOG_INFO,
			 "process %" PRIi64 " is no longer registered with workload '%s': %s", pid,
			 workload, why);
	else
		sd_journal_send("MESSAGE=process %" PRIi64
				" is no longer registered with workload '%s': %s",
				pid, workload, why, "MESSAGE_ID=" MSG_REGISTRATION_ENDED,
				"PRIORITY=%i", LOG_INFO, "SIDECARD_WORKLOAD=%s", workload,
				"SIDECARD_PID=%" PRIi64, pid, "SIDECARD_WHY=%s", why, NULL);
}

void event_applier_died(const char *what_follows)
{
	if (!log_to_journal())
		log_line(LOG_ERR, "the applier process died: %s", what_follows);
	else
		sd_journal_send("MESSAGE=the applier process died: %s", what_follows,
				"MESSAGE_ID=" MSG_APPLIER_DIED, "PRIORITY=%i", LOG_ERR,
				"SIDECARD_TEXT=%s", what_follows, NULL);
}

void event_restored(size_t n_places)
{
	if (!log_to_journal())
		log_line(LOG_INFO, "gave back what %zu places had before", n_places);
	else
		sd_journal_send("MESSAGE=gave back what %zu places had before", n_places,
				"MESSAGE_ID=" MSG_RESTORED, "PRIORITY=%i", LOG_INFO, NULL);
}

void event_regulated(const char *workload, uint32_t from, uint32_t to, const char *samples)
{
	if (!log_to_journal())
		log_line(LOG_NOTICE, "workload '%s': parallelism %u → %u (%s)", workload, from, to,
			 samples);
	else
		sd_journal_send("MESSAGE=workload '%s': parallelism %u → %u (%s)", workload, from,
				to, samples, "MESSAGE_ID=" MSG_REGULATED, "PRIORITY=%i", LOG_NOTICE,
				"SIDECARD_WORKLOAD=%s", workload, "SIDECARD_FROM=%u", from,
				"SIDECARD_PARALLELISM=%u", to, "SIDECARD_SAMPLES=%s", samples,
				NULL);
}

void event_rolled_back(const char *workload, uint32_t from, uint32_t to, const char *samples)
{
	if (!log_to_journal())
		log_line(LOG_WARNING, "workload '%s': back from parallelism %u to %u (%s)",
			 workload, from, to, samples);
	else
		sd_journal_send("MESSAGE=workload '%s': back from parallelism %u to %u (%s)",
				workload, from, to, samples, "MESSAGE_ID=" MSG_ROLLED_BACK,
				"PRIORITY=%i", LOG_WARNING, "SIDECARD_WORKLOAD=%s", workload,
				"SIDECARD_FROM=%u", from, "SIDECARD_PARALLELISM=%u", to,
				"SIDECARD_SAMPLES=%s", samples, NULL);
}

void event_regulator_stage(const char *workload, uint32_t parallelism, const char *stage,
			   const char *samples)
{
	if (!log_to_journal())
		log_line(LOG_INFO, "workload '%s': regulator in stage %s at parallelism %u (%s)",
			 workload, stage, parallelism, samples);
	else
		sd_journal_send(
			"MESSAGE=workload '%s': regulator in stage %s at parallelism %u (%s)",
			workload, stage, parallelism, samples, "MESSAGE_ID=" MSG_REGULATOR_STAGE,
			"PRIORITY=%i", LOG_INFO, "SIDECARD_WORKLOAD=%s", workload,
			"SIDECARD_PARALLELISM=%u", parallelism, "SIDECARD_STAGE=%s", stage,
			"SIDECARD_SAMPLES=%s", samples, NULL);
}
