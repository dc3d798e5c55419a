/* Why a workload has what it has, in sentences. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "plan/plan_explain_items.h"
#include "plan/plan_text.h"

/* What there is to say, as text. */
struct story {
	const struct plan *plan;
	const struct snapshot *snapshot;
	const struct plan_workload *workload;
	const struct snapshot_workload *sensed;
	char *cpus, *nodes, *mems, *limited_by;
};

static const char *plural(uint32_t n)
{
	return n == 1 ? "" : "s";
}

static void say_place(FILE *out, const struct story *story)
{
	const struct plan_workload *workload = story->workload;
	const struct workload *conf = workload->conf;

	fprintf(out, "%s is a %s workload of pool '%s', priority %u.\n", conf->name,
		workload_role_name(conf->role), conf->pool, conf->priority);
	if (!workload->placed) {
		fprintf(out, "It is not placed: %s.\n", workload->reason);
		return;
	}
	fprintf(out, "It %s PU%s %s: %u PU%s in %u core%s on NUMA node%s %s.\n",
		conf->exclusive ? "alone has" : "shares", plural(workload->n_pu), story->cpus,
		workload->n_pu, plural(workload->n_pu), workload->n_core, plural(workload->n_core),
		plural(nodeset_count(&workload->nodes)), story->nodes);
	if (*story->mems)
		fprintf(out, "Its memory comes from node%s %s.\n",
			plural(nodeset_count(&workload->mems)), story->mems);
}

static void say_wish(FILE *out, const struct story *story)
{
	static const char *const smt[] = { "", ", in whole cores", ", one a core" };
	static const char *const policy[] = { "one NUMA node where one holds it",
					      "one NUMA node in any case",
					      "spread over the NUMA nodes" };
	const struct workload *conf = story->workload->conf;

	fprintf(out, "It asks for at least %u PU%s", conf->min_pu, plural(conf->min_pu));
	if (conf->max_pu != WORKLOAD_MAX_UNSET)
		fprintf(out, " and at most %u", conf->max_pu);
	fprintf(out, "%s%s, %s.\n", conf->exclusive ? " of its own" : "",
		conf->exclusive ? smt[conf->smt] : "", policy[conf->numa_policy]);
}

/* The limit that leaves it least, before sharing. */
static const struct limit *tightest(const struct story *story)
{
	const struct snapshot *snapshot = story->snapshot;
	const struct limit *found = NULL;

	for (uint32_t i = story->sensed->limit; i != LIMIT_NONE && i < snapshot->n_limits;
	     i = snapshot->limits[i].parent)
		if (snapshot->limits[i].quota_mcpu != QUOTA_UNLIMITED_MCPU &&
		    (!found || snapshot->limits[i].quota_mcpu < found->quota_mcpu))
			found = &snapshot->limits[i];
	return found;
}

static void say_quota(FILE *out, const struct story *story)
{
	const struct plan_workload *workload = story->workload;
	const struct limit *limit = tightest(story);

	if (!limit || workload->quota_mcpu == QUOTA_UNLIMITED_MCPU) {
		fputs("No quota limits it or anything above it.\n", out);
		return;
	}
	fprintf(out, "cpu.max of %s leaves %u.%03u PUs", limit->path ? limit->path : "its cgroup",
		workload->quota_mcpu / 1000, workload->quota_mcpu % 1000);
	if (workload->share_mcpu < workload->quota_mcpu)
		fprintf(out, "; shared with the others below, its part is %u.%03u",
			workload->share_mcpu / 1000, workload->share_mcpu % 1000);
	fputs(".\n", out);
}

static void say_parallelism(FILE *out, const struct story *story)
{
	const struct parallelism *parallelism = &story->workload->parallelism;

	fprintf(out, "It should run %u thread%s (%u rounded down, %u rounded up), limited by %s.\n",
		parallelism->advised, plural(parallelism->advised), parallelism->floor,
		parallelism->ceil, story->limited_by);
}

static char *tell(const struct story *story)
{
	char *text = NULL;
	size_t n_text = 0;
	FILE *out = open_memstream(&text, &n_text);
	int r;

	if (!out)
		return NULL;
	say_place(out, story);
	say_wish(out, story);
	say_quota(out, story);
	if (story->workload->placed)
		say_parallelism(out, story);
	r = explain_items(out, story->plan, story->snapshot,
			  (uint32_t)(story->workload - story->plan->workloads));
	if (fclose(out) != 0 || r < 0) {
		free(text);
		return NULL;
	}
	return text;
}

char *plan_explain(const struct plan *plan, const struct snapshot *snapshot, const char *name)
{
	const struct plan_workload *workload = plan_find(plan, name);
	struct story story = { .plan = plan, .snapshot = snapshot, .workload = workload };
	char *text = NULL;

	if (!workload)
		return NULL;
	for (size_t i = 0; i < snapshot->n_workloads; i++)
		if (strcmp(snapshot->workloads[i].conf->name, name) == 0)
			story.sensed = &snapshot->workloads[i];
	story.cpus = cpuset_format(&workload->cpus);
	story.nodes = nodeset_format(&workload->nodes);
	story.mems = nodeset_format(&workload->mems);
	story.limited_by = plan_limited_by_text(workload);
	if (story.sensed && story.cpus && story.nodes && story.mems && story.limited_by)
		text = tell(&story);
	free(story.cpus);
	free(story.nodes);
	free(story.mems);
	free(story.limited_by);
	return text;
}
