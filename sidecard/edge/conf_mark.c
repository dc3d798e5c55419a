/* Where keys were written: for faults that only show when everything is read, or on another
 * machine. */
#include "edge/conf_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int conf_mark_add(struct conf_loader *loader, const struct conf_mark *mark)
{
	struct conf *conf = loader->conf;

	if (conf->n_marks == loader->n_marks_room) {
		size_t n_room = loader->n_marks_room ? 2 * loader->n_marks_room : 64;
		struct conf_mark *marks = realloc(conf->marks, n_room * sizeof(*marks));

		if (!marks)
			return -ENOMEM;
		conf->marks = marks;
		loader->n_marks_room = n_room;
	}
	conf->marks[conf->n_marks++] = *mark;
	return 0;
}

/* Objects of a kind are read one after the other, so those of the present one are the last. */
void conf_marks_forget(struct conf_loader *loader, uint32_t object, uint32_t key)
{
	enum conf_kind kind = conf_keys[key].kind;
	struct conf_mark *marks = loader->conf->marks;
	size_t first = loader->conf->n_marks, kept;

	while (first > 0 && marks[first - 1].object == object &&
	       conf_keys[marks[first - 1].key].kind == kind)
		first--;
	kept = first;
	for (size_t i = first; i < loader->conf->n_marks; i++)
		if (marks[i].key != key)
			marks[kept++] = marks[i];
	loader->conf->n_marks = kept;
}

static const char *source_of(const struct conf *conf, enum conf_kind kind, uint32_t object)
{
	const char *source = NULL;

	switch (kind) {
	case CONF_DAEMON:
		source = conf->source;
		break;
	case CONF_POOL:
		source = conf->pools[object]->source;
		break;
	case CONF_WORKLOAD:
		source = conf->workloads[object]->source;
		break;
	}
	return source ? source : "(default)";
}

struct conf_at conf_mark_at(const struct conf *conf, const struct conf_mark *mark)
{
	const struct conf_key *key = &conf_keys[mark->key];

	return (struct conf_at){
		.file = mark->file == 0 ? source_of(conf, key->kind, mark->object)
					: conf->drop_ins.items[mark->file - 1],
		.line = mark->line,
		.section = key->section,
		.key = key->name,
	};
}

void conf_mark_find(const struct conf *conf, enum conf_kind kind, uint32_t object, const char *name,
		    size_t from_end, struct conf_at *ret_at)
{
	/* Faults are rare, and mostly about the object that was read last. */
	for (size_t i = conf->n_marks; i > 0; i--) {
		const struct conf_mark *mark = &conf->marks[i - 1];

		if (mark->object == object && conf_keys[mark->key].kind == kind &&
		    strcmp(conf_keys[mark->key].name, name) == 0 && from_end-- == 0) {
			*ret_at = conf_mark_at(conf, mark);
			return;
		}
	}
	*ret_at = (struct conf_at){
		.file = source_of(conf, kind, object),
		.section = conf_section_of(kind, name),
		.key = name,
	};
}

int conf_marks_keep(struct conf *conf)
{
	struct conf_mark *kept;
	size_t n = 0;

	for (size_t i = 0; i < conf->n_marks; i++)
		n += (conf_keys[conf->marks[i].key].flags & CONF_MACHINE) != 0;
	/* A new block rather than the old one shrunk: the old one is large and goes back to the
	 * system whole. */
	kept = calloc(n + 1, sizeof(*kept));
	if (!kept)
		return -ENOMEM;
	n = 0;
	for (size_t i = 0; i < conf->n_marks; i++)
		if (conf_keys[conf->marks[i].key].flags & CONF_MACHINE)
			kept[n++] = conf->marks[i];
	free(conf->marks);
	conf->marks = kept;
	conf->n_marks = n;
	return 0;
}
