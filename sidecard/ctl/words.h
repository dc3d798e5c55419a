/* The words of a command with placeholders: "--threads=%{parallelism}" → "--threads=4". */
#pragma once

#include <jansson.h>

#include "base/err.h"
#include "model/workload.h"

/* Replaces in each of the @n_words words
 *
 *	%{workload} %{cpus} %{n_pu} %{n_core} %{nodes} %{mems} %{quota_mcpu} (max: unlimited)
 *	%{parallelism} %{parallelism_floor} %{parallelism_ceil} %{page}
 *
 * out of @reply, the parameters of a reply to Register. A word that is %{arguments} becomes what
 *the plugin proposes, which may be no word at all. %% is %; any other % stays as it is. 0; -EINVAL:
 * a placeholder that there is not; -ENODATA: one that has no value, as the workload is not placed;
 * -ENOMEM. */
int words_expand(char *const *words, size_t n_words, const json_t *reply, struct strings *ret_words,
		 struct fault *fault);
