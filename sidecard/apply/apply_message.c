#include "apply/apply_message.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

void message_put_cpus(const struct cpuset *cpus, uint64_t words[APPLY_CPU_WORDS])
{
	memset(words, 0, APPLY_CPU_WORDS * sizeof(*words));
	cpuset_foreach (pu_os, cpus)
		words[pu_os / 64] |= UINT64_C(1) << (pu_os % 64);
}

void message_put_nodes(const struct nodeset *nodes, uint64_t words[APPLY_NODE_WORDS])
{
	memset(words, 0, APPLY_NODE_WORDS * sizeof(*words));
	nodeset_foreach (node_os, nodes)
		words[node_os / 64] |= UINT64_C(1) << (node_os % 64);
}

int message_get_cpus(const uint64_t words[APPLY_CPU_WORDS], struct cpuset *ret_cpus)
{
	cleanup(cpuset_done) struct cpuset cpus = { 0 };

	for (uint32_t pu_os = 0; pu_os < CPUSET_MAX; pu_os++) {
		int r;

		if (!(words[pu_os / 64] >> (pu_os % 64) & 1))
			continue;
		r = cpuset_add(&cpus, pu_os);
		if (r < 0)
			return r;
	}
	*ret_cpus = cpuset_take(&cpus);
	return 0;
}

int message_get_nodes(const uint64_t words[APPLY_NODE_WORDS], struct nodeset *ret_nodes)
{
	cleanup(nodeset_done) struct nodeset nodes = { 0 };

	for (uint32_t node_os = 0; node_os < NODESET_MAX; node_os++) {
		int r;

		if (!(words[node_os / 64] >> (node_os % 64) & 1))
			continue;
		r = nodeset_add(&nodes, node_os);
		if (r < 0)
			return r;
	}
	*ret_nodes = nodeset_take(&nodes);
	return 0;
}

bool message_put_text(const char *text, char *field, uint32_t size)
{
	size_t n = strlen(text);

	memset(field, 0, size);
	if (n >= size)
		return false;
	memcpy(field, text, n);
	return true;
}

bool message_text_is_sane(const char *field, uint32_t size)
{
	const char *end = memchr(field, '\0', size);

	if (!end)
		return false;
	for (; end < field + size; end++)
		if (*end != '\0')
			return false;
	return true;
}

char *original_format(const struct original *original)
{
	cleanup(freep) char *cpus = cpuset_format(&original->cpus);
	cleanup(freep) char *mems = nodeset_format(&original->mems);
	bool has_mems = !nodeset_is_empty(&original->mems) || original->mems_have_dropin;
	char *text;

	if (!cpus || !mems)
		return NULL;
	if (asprintf(&text, "%s%s%s%s%s", cpus, original->cpus_have_dropin ? "+" : "",
		     has_mems ? ";" : "", mems, original->mems_have_dropin ? "+" : "") < 0)
		return NULL;
	return text;
}

/* Cuts a final '+' off. */
static bool take_plus(char *text)
{
	size_t n = strlen(text);

	if (n == 0 || text[n - 1] != '+')
		return false;
	text[n - 1] = '\0';
	return true;
}

int original_parse(const char *text, struct original *ret_original)
{
	cleanup(original_done) struct original original = { 0 };
	cleanup(freep) char *cpus = strdup(text);
	char *mems;
	int r;

	if (!cpus)
		return -ENOMEM;
	if (strpbrk(cpus, "\n\t "))
		return -EINVAL;
	mems = strchr(cpus, ';');
	if (mems) {
		*mems++ = '\0';
		original.mems_have_dropin = take_plus(mems);
		r = nodeset_parse(mems, &original.mems);
		if (r < 0)
			return r;
	}
	original.cpus_have_dropin = take_plus(cpus);
	r = cpuset_parse(cpus, &original.cpus);
	if (r < 0)
		return r;
	*ret_original = original;
	original = (struct original){ 0 };
	return 0;
}

void original_done(struct original *original)
{
	cpuset_done(&original->cpus);
	nodeset_done(&original->mems);
	*original = (struct original){ 0 };
}
