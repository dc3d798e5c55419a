/* One parser for each type of value. A parser says what it found and, from the row of its key, what
 * was expected; where the value stands in which file is its caller's to add. */
#include "edge/conf_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"

/* Room for the longest "expected ..." of any row. */
#define EXPECTS_SIZE 256

static int refuse(const struct conf_key *key, const char *text, const char *what,
		  struct fault *fault)
{
	char expects[EXPECTS_SIZE];

	key->type->expects(key, expects, sizeof(expects));
	return fault_set(fault, -EINVAL, "'%s' %s, expected %s", text, what, expects);
}

/* What expects() says where it does not depend on the row. */
#define EXPECTS(type, words)                                                                     \
	static void type##_expects(const struct conf_key *key, char *buffer, size_t buffer_size) \
	{                                                                                        \
		(void)key;                                                                       \
		snprintf(buffer, buffer_size, "%s", words);                                      \
	}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Digits at the start of @text. 0, -EINVAL (none) or -ERANGE; @ret_rest is what follows them. */
static int digits_parse(const char *text, uint64_t *ret_number, const char **ret_rest)
{
	uint64_t number = 0;
	size_t n = 0;

	for (; is_digit(text[n]); n++)
		if (__builtin_mul_overflow(number, 10u, &number) ||
		    __builtin_add_overflow(number, (uint64_t)(text[n] - '0'), &number))
			return -ERANGE;
	if (n == 0)
		return -EINVAL;
	*ret_number = number;
	*ret_rest = text + n;
	return 0;
}

static int text_replace(char **field, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

/* ---- yes and no ---- */

EXPECTS(bool, "yes or no")

static int bool_parse(const struct conf_key *key, const char *text, void *field,
		      struct fault *fault)
{
	static const char *const words[] = { "no", "yes", "false", "true", "off", "on", "0", "1" };

	for (size_t i = 0; i < N_ELEMENTS(words); i++)
		if (strcasecmp(words[i], text) == 0) {
			*(bool *)field = i % 2 == 1;
			return 0;
		}
	return refuse(key, text, "is neither", fault);
}

/* ---- whole numbers ---- */

static void uint_expects(const struct conf_key *key, char *buffer, size_t buffer_size)
{
	snprintf(buffer, buffer_size, "a whole number from %llu to %llu",
		 (unsigned long long)key->least, (unsigned long long)key->most);
}

static int uint_parse(const struct conf_key *key, const char *text, void *field,
		      struct fault *fault)
{
	uint64_t number = 0;
	const char *rest = text;
	int r = digits_parse(text, &number, &rest);

	if (r == -EINVAL || (r == 0 && *rest != '\0'))
		return refuse(key, text, "is no whole number", fault);
	if (r < 0 || number < key->least || number > key->most)
		return refuse(key, text, "is out of range", fault);
	*(uint32_t *)field = (uint32_t)number;
	return 0;
}

static void maximum_expects(const struct conf_key *key, char *buffer, size_t buffer_size)
{
	snprintf(buffer, buffer_size, "a number of PUs up to %llu, such as 4 or 3.5",
		 (unsigned long long)key->most);
}

/* Empty: unbounded. Sets Max= in whole PUs and in thousandths. */
static int maximum_parse(const struct conf_key *key, const char *text, void *field,
			 struct fault *fault)
{
	struct workload *workload = (void *)((char *)field - key->field);
	uint32_t mcpu = WORKLOAD_MAX_UNSET;
	int r = text[0] != '\0' ? quota_parse_pu(text, &mcpu) : 0;

	if (r == -EINVAL || (text[0] != '\0' && !is_digit(text[0])))
		return refuse(key, text, "is no number of PUs", fault);
	if (r < 0 || (mcpu != WORKLOAD_MAX_UNSET && mcpu > key->most * 1000))
		return refuse(key, text, "is out of range", fault);
	workload->max_mcpu = mcpu;
	workload->max_pu = mcpu == WORKLOAD_MAX_UNSET ? WORKLOAD_MAX_UNSET : (mcpu + 999) / 1000;
	return 0;
}

static void exclusive_expects(const struct conf_key *key, char *buffer, size_t buffer_size)
{
	snprintf(buffer, buffer_size, "yes, no or a number of PUs from %llu to %llu",
		 (unsigned long long)key->least, (unsigned long long)key->most);
}

/* 1 and 0 are one PU and none, not yes and no: Exclusive=1 of Max=1 means the same in both. */
static int exclusive_parse(const struct conf_key *key, const char *text, void *field,
			   struct fault *fault)
{
	struct workload *workload = (void *)((char *)field - key->field);
	uint32_t n = 0;
	int r = 0;

	if (is_digit(text[0]) && strcmp(text, "0") != 0)
		r = uint_parse(key, text, &n, fault);
	else
		r = bool_parse(key, text, field, fault);
	if (r < 0)
		return r;
	workload->n_exclusive = n;
	if (n > 0)
		workload->exclusive = false;
	return 0;
}

/* ---- words ---- */

static void word_expects(const struct conf_key *key, char *buffer, size_t buffer_size)
{
	size_t used = (size_t)snprintf(buffer, buffer_size, "one of ");

	for (size_t i = 0; key->words[i] && used < buffer_size; i++)
		used += (size_t)snprintf(buffer + used, buffer_size - used, "%s%s", i ? "|" : "",
					 key->words[i]);
}

static int word_parse(const struct conf_key *key, const char *text, void *field,
		      struct fault *fault)
{
	for (size_t i = 0; key->words[i]; i++)
		if (strcmp(key->words[i], text) == 0) {
			/* Every enum of ours and the syslog level have the size and values of an
			 * int. */
			*(int *)field = (int)(key->least + i);
			return 0;
		}
	return refuse(key, text, "is unknown", fault);
}

/* ---- numbers with a unit ---- */

struct unit {
	const char *name;
	uint64_t factor;
};

/* The largest first: what is printed uses the first that divides. A bare number is in the last one
 * but for time, where it means seconds as in systemd's own files. */
static const struct unit time_units[] = {
	/* clang-format off */
	{ "h", UINT64_C(3600000000) },
	{ "min", 60000000 },
	{ "s", 1000000 },
	{ "", 1000000 },
	{ "ms", 1000 },
	{ "us", 1 },
	/* clang-format on */
};
static const struct unit size_units[] = {
	/* clang-format off */
	{ "T", UINT64_C(1) << 40 },
	{ "G", 1u << 30 },
	{ "M", 1u << 20 },
	{ "K", 1u << 10 },
	{ "", 1 },
	/* clang-format on */
};

static void quantity_format(const struct unit *units, size_t n_units, uint64_t number, char *buffer,
			    size_t buffer_size)
{
	size_t i = 0;

	while (i + 1 < n_units && (number % units[i].factor != 0 || units[i].name[0] == '\0'))
		i++;
	if (number == 0)
		snprintf(buffer, buffer_size, "0");
	else
		snprintf(buffer, buffer_size, "%llu%s",
			 (unsigned long long)(number / units[i].factor), units[i].name);
}

/* 0, -EINVAL, -ERANGE. */
static int quantity_parse(const struct unit *units, size_t n_units, const char *text,
			  uint64_t *ret_number)
{
	uint64_t number = 0;
	const char *rest = text;
	int r = digits_parse(text, &number, &rest);

	if (r < 0)
		return r;
	while (*rest == ' ')
		rest++;
	for (size_t i = 0; i < n_units; i++)
		if (strcmp(units[i].name, rest) == 0)
			return __builtin_mul_overflow(number, units[i].factor, ret_number) ? -ERANGE
											   : 0;
	return -EINVAL;
}

static void span_expects(const struct conf_key *key, char *buffer, size_t buffer_size)
{
	char least[32], most[32];

	quantity_format(time_units, N_ELEMENTS(time_units), key->least, least, sizeof(least));
	quantity_format(time_units, N_ELEMENTS(time_units), key->most, most, sizeof(most));
	snprintf(buffer, buffer_size, "a time from %s to %s in us, ms, s, min or h", least, most);
}

static int span_parse(const struct conf_key *key, const char *text, void *field,
		      struct fault *fault)
{
	uint64_t span_us;
	int r = quantity_parse(time_units, N_ELEMENTS(time_units), text, &span_us);

	if (r == -EINVAL)
		return refuse(key, text, "is no time", fault);
	if (r < 0 || span_us < key->least || span_us > key->most)
		return refuse(key, text, "is out of range", fault);
	*(uint64_t *)field = span_us;
	return 0;
}

static void size_expects(const struct conf_key *key, char *buffer, size_t buffer_size)
{
	char most[32];

	quantity_format(size_units, N_ELEMENTS(size_units), key->most, most, sizeof(most));
	snprintf(buffer, buffer_size, "a size up to %s, in bytes or with K, M, G or T (1024 each)",
		 most);
}

static int size_parse(const struct conf_key *key, const char *text, void *field,
		      struct fault *fault)
{
	uint64_t n_bytes;
	int r = quantity_parse(size_units, N_ELEMENTS(size_units), text, &n_bytes);

	if (r == -EINVAL)
		return refuse(key, text, "is no size", fault);
	if (r < 0 || n_bytes > key->most)
		return refuse(key, text, "is too large", fault);
	*(uint64_t *)field = n_bytes;
	return 0;
}

EXPECTS(quota, "a number of PUs such as 2.5 or 250%, or max")

static int quota_value_parse(const struct conf_key *key, const char *text, void *field,
			     struct fault *fault)
{
	uint32_t mcpu = QUOTA_UNLIMITED_MCPU;
	int r = text[0] != '\0' ? quota_parse_pu(text, &mcpu) : 0;

	if (r < 0)
		return refuse(key, text, r == -ERANGE ? "is out of range" : "is no quota", fault);
	*(uint32_t *)field = mcpu;
	return 0;
}

/* In thousandths of @key's own bounds. */
static void ratio_expects(const struct conf_key *key, char *buffer, size_t buffer_size)
{
	snprintf(buffer, buffer_size, "a share or factor from %llu.%03llu to %llu.%03llu, or in %%",
		 (unsigned long long)key->least / 1000, (unsigned long long)key->least % 1000,
		 (unsigned long long)key->most / 1000, (unsigned long long)key->most % 1000);
}

static int ratio_parse(const struct conf_key *key, const char *text, void *field,
		       struct fault *fault)
{
	bool is_zero = strcmp(text, "0") == 0 || strcmp(text, "0%") == 0;
	uint32_t permille = 0;
	int r = is_zero ? 0 : quota_parse_pu(text, &permille);

	if (r == -EINVAL || (r == 0 && permille == QUOTA_UNLIMITED_MCPU))
		return refuse(key, text, "is no share", fault);
	if (r < 0 || permille < key->least || permille > key->most)
		return refuse(key, text, "is out of range", fault);
	*(uint32_t *)field = permille;
	return 0;
}

/* ---- sets ---- */

EXPECTS(cpus, "PU numbers such as 0-3,8, each below 8192")

static int cpus_parse(const struct conf_key *key, const char *text, void *field,
		      struct fault *fault)
{
	struct cpuset cpus = { 0 };
	int r = cpuset_parse(text, &cpus);

	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return refuse(key, text, r == -ERANGE ? "has a number too large" : "is no list",
			      fault);
	cpuset_done(field);
	*(struct cpuset *)field = cpus;
	return 0;
}

EXPECTS(nodes, "NUMA node numbers such as 0-1,3, each below 1024")

static int nodes_parse(const struct conf_key *key, const char *text, void *field,
		       struct fault *fault)
{
	struct nodeset nodes = { 0 };
	int r = nodeset_parse(text, &nodes);

	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return refuse(key, text, r == -ERANGE ? "has a number too large" : "is no list",
			      fault);
	nodeset_done(field);
	*(struct nodeset *)field = nodes;
	return 0;
}

EXPECTS(housekeeping, "auto, none, how many PUs (1 to 8192), or which: 0-1 or cpus:3")

/* A bare number says how many. A list is told by its '-' or ',', or by "cpus:" before it. */
static int housekeeping_parse(const struct conf_key *key, const char *text, void *field,
			      struct fault *fault)
{
	struct housekeeping *housekeeping = field;
	struct housekeeping found = { .kind = HOUSEKEEPING_LIST };
	static const char prefix[] = "cpus:";
	bool prefixed = strncmp(text, prefix, sizeof(prefix) - 1) == 0;
	int r = 0;

	if (strcmp(text, "auto") == 0) {
		found.kind = HOUSEKEEPING_AUTO;
	} else if (strcmp(text, "none") == 0) {
		found.kind = HOUSEKEEPING_NONE;
	} else if (prefixed || strpbrk(text, "-,")) {
		r = cpus_parse(key, prefixed ? text + sizeof(prefix) - 1 : text, &found.cpus,
			       fault);
		if (r == 0 && cpuset_is_empty(&found.cpus))
			r = refuse(key, text, "names no PU", fault);
	} else {
		found.kind = HOUSEKEEPING_COUNT;
		r = uint_parse(key, text, &found.n_pu, fault);
	}
	if (r < 0)
		return r;
	cpuset_done(&housekeeping->cpus);
	*housekeeping = found;
	return 0;
}

/* ---- texts ---- */

EXPECTS(text, "any text")

static int text_parse(const struct conf_key *key, const char *text, void *field,
		      struct fault *fault)
{
	(void)key;
	(void)fault;
	return text_replace(field, text);
}

EXPECTS(name, "a name: " NAME_RULE)

static int name_parse(const struct conf_key *key, const char *text, void *field,
		      struct fault *fault)
{
	if (!name_is_valid(text))
		return refuse(key, text, "is no name", fault);
	return text_replace(field, text);
}

/* ---- lists: each parser checks one item ---- */

static int item_add(const char *text, struct strings *strings, struct fault *fault)
{
	if (strings->n_items >= CONF_ITEMS_MAX)
		return fault_set(fault, -EINVAL, "more than %u lines", CONF_ITEMS_MAX);
	return strings_add(strings, text);
}

/* systemd's VALID_CHARS of unit names, and what makes a pattern. */
static bool is_unit_text(const char *text, size_t n, bool wildcards)
{
	for (size_t i = 0; i < n; i++)
		if (!is_letter(text[i]) && !is_digit(text[i]) && !strchr(":-_.\\@", text[i]) &&
		    !(wildcards && strchr("*?[]!", text[i])))
			return false;
	return true;
}

/* systemd's UNIT_NAME_MAX is 256 with the final NUL. */
#define UNIT_NAME_MAX_BYTES 255u

static bool is_unit_name(const char *text, const char *suffix, bool wildcards)
{
	size_t n = strlen(text), n_suffix = strlen(suffix);

	return n > n_suffix && n <= UNIT_NAME_MAX_BYTES &&
	       strcmp(text + n - n_suffix, suffix) == 0 && text[0] != '.' &&
	       is_unit_text(text, n - n_suffix, wildcards);
}

EXPECTS(unit, "the full name of a .service, .scope or .slice unit; * and ? stand for anything")

static int unit_parse(const struct conf_key *key, const char *text, void *field,
		      struct fault *fault)
{
	if (text[0] == '\0') {
		strings_done(field);
		return 0;
	}
	if (!is_unit_name(text, ".service", true) && !is_unit_name(text, ".scope", true) &&
	    !is_unit_name(text, ".slice", true))
		return refuse(key, text, "is no such name", fault);
	if (strcmp(text, "-.slice") == 0 || strcmp(text, "init.scope") == 0)
		return refuse(key, text, "holds PID 1", fault);
	return item_add(text, field, fault);
}

EXPECTS(slice, "the full name of a slice, such as proxy.slice")

static int slice_parse(const struct conf_key *key, const char *text, void *field,
		       struct fault *fault)
{
	if (text[0] == '\0') {
		strings_done(field);
		return 0;
	}
	if (!is_unit_name(text, ".slice", false))
		return refuse(key, text, "is no slice", fault);
	if (strcmp(text, "-.slice") == 0)
		return refuse(key, text, "holds everything", fault);
	return item_add(text, field, fault);
}

/* True where @path is absolute, not the root, and has neither empty parts nor "." nor "..". */
static bool is_clean_path(const char *path)
{
	if (path[0] != '/')
		return false;
	for (const char *part = path + 1;;) {
		size_t n = strcspn(part, "/");

		if (n == 0 || (n == 1 && part[0] == '.') || (n == 2 && memcmp(part, "..", 2) == 0))
			return false;
		if (part[n] == '\0')
			return true;
		part += n + 1;
	}
}

EXPECTS(cgroup, "a path below the cgroup root, such as /pods/a*, without '..' and final '/'")

static int cgroup_parse(const struct conf_key *key, const char *text, void *field,
			struct fault *fault)
{
	if (text[0] == '\0') {
		strings_done(field);
		return 0;
	}
	if (!is_clean_path(text))
		return refuse(key, text, "is no such path", fault);
	return item_add(text, field, fault);
}

EXPECTS(path, "the absolute path of a program, without '..'")

static int path_parse(const struct conf_key *key, const char *text, void *field,
		      struct fault *fault)
{
	if (text[0] == '\0') {
		strings_done(field);
		return 0;
	}
	if (!is_clean_path(text))
		return refuse(key, text, "is no absolute path", fault);
	return item_add(text, field, fault);
}

EXPECTS(device, "the name of a device: eth0, sda, 0000:3b:00.0")

static int device_parse(const struct conf_key *key, const char *text, void *field,
			struct fault *fault)
{
	if (text[0] == '\0') {
		strings_done(field);
		return 0;
	}
	if (strlen(text) > TOPOLOGY_NAME_MAX_BYTES || strpbrk(text, " \t"))
		return refuse(key, text, "is no such name", fault);
	return item_add(text, field, fault);
}

EXPECTS(glob, "a pattern; * and ? stand for anything")

static int glob_parse(const struct conf_key *key, const char *text, void *field,
		      struct fault *fault)
{
	(void)key;
	if (text[0] == '\0') {
		strings_done(field);
		return 0;
	}
	return item_add(text, field, fault);
}

EXPECTS(user, "the name or number of a user")

/* Only the form: conf_check.c asks who that is. (uid_t)-1 means "no change" to the kernel, never a
 * user. */
static int user_parse(const struct conf_key *key, const char *text, void *field,
		      struct fault *fault)
{
	uint64_t uid = 0;
	const char *rest = text;

	if (text[0] == '\0') {
		strings_done(field);
		return 0;
	}
	if (is_digit(text[0]) &&
	    (digits_parse(text, &uid, &rest) < 0 || *rest != '\0' || uid >= UINT32_MAX))
		return refuse(key, text, "is no user number", fault);
	if (strpbrk(text, " \t:/,"))
		return refuse(key, text, "is no user name", fault);
	return item_add(text, field, fault);
}

EXPECTS(environment, "NAME=VALUE")

static int environment_name_check(const struct conf_key *key, const char *text, size_t n_name,
				  struct fault *fault)
{
	if (n_name == 0 || text[n_name] != '=' || is_digit(text[0]))
		return refuse(key, text, "is no variable", fault);
	for (size_t i = 0; i < n_name; i++)
		if (!is_letter(text[i]) && !is_digit(text[i]) && text[i] != '_')
			return refuse(key, text, "has a name with other than letters, digits and _",
				      fault);
	if (strncmp(text, "SIDECARD_", 9) == 0)
		return refuse(key, text, "begins with SIDECARD_, which is sidecard's own", fault);
	if (strncmp(text, "LD_", 3) == 0)
		return refuse(key, text, "would steer the dynamic linker", fault);
	return 0;
}

/* A later line replaces an earlier one of the same name, so that a drop-in can. */
static int environment_parse(const struct conf_key *key, const char *text, void *field,
			     struct fault *fault)
{
	struct strings *strings = field;
	size_t n_name = strcspn(text, "=");
	int r;

	if (text[0] == '\0') {
		strings_done(field);
		return 0;
	}
	r = environment_name_check(key, text, n_name, fault);
	if (r < 0)
		return r;
	if (strchr(text, '\t'))
		return refuse(key, text, "has a tab", fault);
	for (size_t i = 0; i < strings->n_items; i++)
		if (strncmp(strings->items[i], text, n_name + 1) == 0)
			return text_replace(&strings->items[i], text);
	return item_add(text, strings, fault);
}

/* ---- types ---- */

const struct conf_type conf_bool = { bool_parse, bool_expects };
const struct conf_type conf_uint = { uint_parse, uint_expects };
const struct conf_type conf_maximum = { maximum_parse, maximum_expects };
const struct conf_type conf_exclusive = { exclusive_parse, exclusive_expects };
const struct conf_type conf_device = { device_parse, device_expects };
const struct conf_type conf_word = { word_parse, word_expects };
const struct conf_type conf_span = { span_parse, span_expects };
const struct conf_type conf_size = { size_parse, size_expects };
const struct conf_type conf_quota = { quota_value_parse, quota_expects };
const struct conf_type conf_ratio = { ratio_parse, ratio_expects };
const struct conf_type conf_cpus = { cpus_parse, cpus_expects };
const struct conf_type conf_nodes = { nodes_parse, nodes_expects };
const struct conf_type conf_housekeeping = { housekeeping_parse, housekeeping_expects };
const struct conf_type conf_text = { text_parse, text_expects };
const struct conf_type conf_name = { name_parse, name_expects };
const struct conf_type conf_unit = { unit_parse, unit_expects };
const struct conf_type conf_slice = { slice_parse, slice_expects };
const struct conf_type conf_cgroup = { cgroup_parse, cgroup_expects };
const struct conf_type conf_path = { path_parse, path_expects };
const struct conf_type conf_glob = { glob_parse, glob_expects };
const struct conf_type conf_user = { user_parse, user_expects };
const struct conf_type conf_environment = { environment_parse, environment_expects };
