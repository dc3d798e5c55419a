/* The text picture of sidecarctl topology. Compact first: 16 PUs fit on half a screen and 256 on
 * one with a line for each L3. */
#include "ctl/topology.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define N_COLUMNS 100

/* Rows of the distance matrix are readable up to here; --json has them all. */
#define N_DISTANCES_SHOWN 16u

void owner_table_done(struct owner_table *table)
{
	free(table->names);
	free(table->owner);
	*table = (struct owner_table){ 0 };
}

static uint32_t owner_index(struct owner_table *table, const char *name)
{
	for (size_t i = table->n_names; i-- > 0;) /* neighbours mostly have the same owner */
		if (strcmp(table->names[i], name) == 0)
			return (uint32_t)i;
	table->names[table->n_names] = name;
	return (uint32_t)table->n_names++;
}

int owner_table_make(const struct topology *topology, const struct topology_owners *owners,
		     struct owner_table *ret_table)
{
	struct owner_table table = { 0 };

	table.names = calloc(topology->n_pu, sizeof(*table.names));
	table.owner = calloc(topology->n_pu, sizeof(*table.owner));
	if (!table.names || !table.owner) {
		owner_table_done(&table);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < topology->n_pu; i++) {
		const char *name = NULL;

		if (owners->owner_of)
			name = owners->owner_of(owners->userdata, topology->pus[i].pu_os);
		table.owner[i] = name ? owner_index(&table, name) : TOPOLOGY_NONE;
	}
	*ret_table = table;
	return 0;
}

struct picture {
	const struct topology *topology;
	const struct owner_table *owners;
	FILE *out;
	bool has_colour;
	size_t n_column; /* where the line that is being drawn stands */
	size_t n_indent; /* of the lines that continue it */
};

/* a … z, aa … zz, aaa …: @label of at least 8 bytes. */
static const char *owner_label(uint32_t owner, char *label)
{
	char *at = label + 7;

	*at = '\0';
	for (uint32_t rest = owner + 1; rest > 0; rest = (rest - 1) / 26)
		*--at = (char)('a' + (rest - 1) % 26);
	return at;
}

/* ECMA-48 colours 31 to 36, then their bright kin: black and white are the terminal's own. */
static int owner_colour(uint32_t owner)
{
	return (owner / 6 % 2 ? 91 : 31) + (int)(owner % 6);
}

static void start_line(struct picture *picture, size_t n_indent, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void start_line(struct picture *picture, size_t n_indent, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vfprintf(picture->out, format, args);
	va_end(args);
	picture->n_column = n > 0 ? (size_t)n : 0;
	picture->n_indent = n_indent;
}

/* One group, on a line of its own where it no longer fits. */
static void put_group(struct picture *picture, const char *text, uint32_t owner)
{
	size_t n = strlen(text) + 1;

	if (picture->n_column + n > N_COLUMNS && picture->n_column > picture->n_indent) {
		fprintf(picture->out, "\n%*s", (int)picture->n_indent, "");
		picture->n_column = picture->n_indent;
	}
	if (picture->has_colour && owner != TOPOLOGY_NONE)
		fprintf(picture->out, " \x1b[%dm%s\x1b[0m", owner_colour(owner), text);
	else
		fprintf(picture->out, " %s", text);
	picture->n_column += n;
}

/* The PUs of one core, from @first on: "[0,8]a" where one owner has them all, else "[0a,8]".
 * Returns the first PU behind it. */
static uint32_t draw_core(struct picture *picture, uint32_t first)
{
	const struct topology *topology = picture->topology;
	const uint32_t *owner = picture->owners->owner;
	uint32_t last = first;
	char text[512], label[8];
	bool is_shared = false;
	size_t used = 0;

	while (last + 1 < topology->n_pu &&
	       topology->pus[last + 1].core == topology->pus[first].core) {
		last++;
		is_shared = is_shared || owner[last] != owner[first];
	}
	/* A core has at most 8 PUs on any machine (POWER); a made-up one is cut. */
	for (uint32_t i = first; i <= last && used + 32 < sizeof(text); i++)
		used += (size_t)snprintf(
			text + used, sizeof(text) - used, "%c%u%s", i == first ? '[' : ',',
			topology->pus[i].pu_os,
			is_shared && owner[i] != TOPOLOGY_NONE ? owner_label(owner[i], label) : "");
	snprintf(text + used, sizeof(text) - used, "]%s",
		 !is_shared && owner[first] != TOPOLOGY_NONE ? owner_label(owner[first], label)
							     : "");
	put_group(picture, text, is_shared ? TOPOLOGY_NONE : owner[first]);
	return last + 1;
}

static void format_memory(uint64_t bytes, char *text, size_t n_text)
{
	if (bytes == 0)
		snprintf(text, n_text, "no memory known");
	else if (bytes < 1ull << 30)
		snprintf(text, n_text, "%" PRIu64 " MiB", bytes >> 20);
	else
		snprintf(text, n_text, "%.1f GiB", (double)bytes / (double)(1ull << 30));
}

static bool shows_distances(const struct topology *topology)
{
	return topology->n_node > 1 && topology->n_node <= N_DISTANCES_SHOWN;
}

static void draw_node(struct picture *picture, uint32_t idx)
{
	const struct topology *topology = picture->topology;
	const struct topo_node *node = &topology->nodes[idx];
	char memory[32];

	format_memory(node->memory_bytes, memory, sizeof(memory));
	fprintf(picture->out, "  node %-4u %10s", node->node_os, memory);
	if (shows_distances(topology)) {
		fputs("   distances", picture->out);
		for (uint32_t to = 0; to < topology->n_node; to++)
			fprintf(picture->out, " %u",
				topology->distances[idx * topology->n_node + to]);
	}
	fputc('\n', picture->out);
}

/* True where PU @i begins a line: another L3, or another kind of core. */
static bool begins_line(const struct topology *topology, uint32_t i)
{
	const struct topo_pu *pu = &topology->pus[i], *before = pu - 1;

	return i == 0 || pu->l3 != before->l3 || pu->node != before->node ||
	       pu->package != before->package || pu->efficiency_rank != before->efficiency_rank;
}

static bool has_ranks(const struct topology *topology)
{
	for (uint32_t i = 1; i < topology->n_pu; i++)
		if (topology->pus[i].efficiency_rank != topology->pus[0].efficiency_rank)
			return true;
	return false;
}

static void draw_pus(struct picture *picture)
{
	const struct topology *topology = picture->topology;
	bool ranks = has_ranks(topology);

	for (uint32_t i = 0; i < topology->n_pu;) {
		const struct topo_pu *pu = &topology->pus[i];
		bool new_package = i == 0 || pu->package != pu[-1].package;

		if (begins_line(topology, i)) {
			if (i > 0)
				fputc('\n', picture->out);
			if (new_package)
				fprintf(picture->out, "package %u\n", pu->package);
			if (new_package || pu->node != pu[-1].node)
				draw_node(picture, pu->node);
			if (ranks)
				start_line(picture, 17, "    L3 %-3u rank %u ", pu->l3,
					   pu->efficiency_rank);
			else
				start_line(picture, 10, "    L3 %-3u", pu->l3);
		}
		i = draw_core(picture, i);
	}
	fputc('\n', picture->out);
}

static void draw_memory_only(struct picture *picture)
{
	bool any = false;

	for (uint32_t i = 0; i < picture->topology->n_node; i++) {
		if (picture->topology->nodes[i].n_pu > 0)
			continue;
		if (!any)
			fputs("memory only\n", picture->out);
		any = true;
		draw_node(picture, i);
	}
}

static void draw_owners(struct picture *picture)
{
	const struct owner_table *owners = picture->owners;
	char text[128], label[8];

	if (owners->n_names == 0)
		return;
	start_line(picture, 6, "owners");
	for (size_t i = 0; i < owners->n_names; i++) {
		unsigned n_pu = 0;

		for (uint32_t pu = 0; pu < picture->topology->n_pu; pu++)
			n_pu += owners->owner[pu] == i;
		snprintf(text, sizeof(text), " %s %.64s (%u)", owner_label((uint32_t)i, label),
			 owners->names[i], n_pu);
		put_group(picture, text, (uint32_t)i);
	}
	fputc('\n', picture->out);
}

static void draw_count(FILE *out, uint32_t n, const char *what)
{
	fprintf(out, ", %u %s%s", n, what, n == 1 ? "" : "s");
}

char *topology_picture(const struct topology *topology, const struct topology_owners *owners,
		       bool has_colour)
{
	cleanup(owner_table_done) struct owner_table table = { 0 };
	struct picture picture = { .topology = topology,
				   .owners = &table,
				   .has_colour = has_colour };
	char *text = NULL;
	size_t n_text;

	if (owner_table_make(topology, owners, &table) < 0)
		return NULL;
	picture.out = open_memstream(&text, &n_text);
	if (!picture.out)
		return NULL;
	fprintf(picture.out, "%u PU%s", topology->n_pu, topology->n_pu == 1 ? "" : "s");
	draw_count(picture.out, topology->n_core, "core");
	fprintf(picture.out, ", %u L3", topology->n_l3);
	draw_count(picture.out, topology->n_package, "package");
	draw_count(picture.out, topology->n_node, "NUMA node");
	fputc('\n', picture.out);
	if (shows_distances(topology)) {
		fputs("distances are to nodes", picture.out);
		for (uint32_t i = 0; i < topology->n_node; i++)
			fprintf(picture.out, " %u", topology->nodes[i].node_os);
		fputc('\n', picture.out);
	}
	fputc('\n', picture.out);
	draw_pus(&picture);
	draw_memory_only(&picture);
	draw_owners(&picture);
	if (fclose(picture.out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
