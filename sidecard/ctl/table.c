#include "ctl/table.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

#define CELL_SIZE 256

const char *table_quota(const json_t *placement, char *buffer, size_t buffer_size)
{
	const json_t *quota = json_object_get(placement, "quota_mcpu");
	json_int_t mcpu = json_integer_value(quota);

	if (!json_is_integer(quota))
		snprintf(buffer, buffer_size, "max");
	else if (mcpu % 1000 == 0)
		snprintf(buffer, buffer_size, "%" JSON_INTEGER_FORMAT, mcpu / 1000);
	else
		snprintf(buffer, buffer_size, "%.*f", mcpu % 100 ? 3 : 1, (double)mcpu / 1000);
	return buffer;
}

const char *table_text(const json_t *placement, const char *key, char *buffer, size_t buffer_size)
{
	const json_t *value = json_object_get(placement, key);

	if (json_is_string(value) && json_string_length(value) > 0)
		snprintf(buffer, buffer_size, "%s", json_string_value(value));
	else if (json_is_integer(value))
		snprintf(buffer, buffer_size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else
		snprintf(buffer, buffer_size, "-");
	return buffer;
}

static const char *cell(const json_t *placement, size_t column, char *buffer)
{
	static const char *const keys[] = { "name",  "role", "pool", "cpus",
					    "nodes", NULL,   NULL,   "limited_by" };
	const json_t *parallelism = json_object_get(placement, "parallelism");

	if (column == 5)
		return table_quota(placement, buffer, CELL_SIZE);
	if (column == 6)
		return table_text(parallelism, "advised", buffer, CELL_SIZE);
	table_text(placement, keys[column], buffer, CELL_SIZE);
	if (column == 3 && json_is_true(json_object_get(placement, "exclusive")))
		strncat(buffer, " !", CELL_SIZE - strlen(buffer) - 1);
	if (column == 7 && json_is_false(json_object_get(placement, "placed")))
		snprintf(buffer, CELL_SIZE, "not placed");
	return buffer;
}

void table_print(const json_t *workloads)
{
	static const char *const titles[] = { "WORKLOAD", "ROLE",  "POOL",	  "PUS",
					      "NODES",	  "QUOTA", "PARALLELISM", "LIMITED BY" };
	size_t widths[N_ELEMENTS(titles)], i;
	char buffer[CELL_SIZE];
	const json_t *placement;
	bool exclusive = false;

	for (size_t column = 0; column < N_ELEMENTS(titles); column++) {
		widths[column] = strlen(titles[column]);
		json_array_foreach (workloads, i, placement) {
			size_t n = strlen(cell(placement, column, buffer));

			widths[column] = n > widths[column] ? n : widths[column];
			exclusive |= json_is_true(json_object_get(placement, "exclusive"));
		}
	}
	for (size_t column = 0; column < N_ELEMENTS(titles); column++)
		printf("%-*s%s", column + 1 < N_ELEMENTS(titles) ? (int)widths[column] : 0,
		       titles[column], column + 1 < N_ELEMENTS(titles) ? "  " : "\n");
	json_array_foreach (workloads, i, placement)
		for (size_t column = 0; column < N_ELEMENTS(titles); column++)
			printf("%-*s%s", column + 1 < N_ELEMENTS(titles) ? (int)widths[column] : 0,
			       cell(placement, column, buffer),
			       column + 1 < N_ELEMENTS(titles) ? "  " : "\n");
	if (exclusive)
		puts("(! these PUs are its own)");
}
