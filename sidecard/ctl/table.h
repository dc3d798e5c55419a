/* Placements as the socket gives them, as lines for people. */
#pragma once

#include <jansson.h>

/* A header and a line a workload (JSON array of placements), columns as wide as they must be. */
void table_print(const json_t *workloads);
/* "4", "1.5" or "max" out of a placement's quota_mcpu; @buffer of at least 16 bytes. */
const char *table_quota(const json_t *placement, char *buffer, size_t buffer_size);
/* A string or a number of @placement as text; "-" where there is none. */
const char *table_text(const json_t *placement, const char *key, char *buffer, size_t buffer_size);
