/* Placement → /run/sidecard/env/NAME.env, for EnvironmentFile=, shells and entry points.
 *
 * Relies on two grammars: systemd.exec(5), EnvironmentFile=, and POSIX.1-2017 XCU 2.2 (quoting).
 * They agree on a value of plain characters and on one in double quotes in which " \ ` $ carry a
 * backslash. They disagree on text after a closing quote, so a value is one quoted piece. */
#include "publish/publish.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"

/* No workload's name begins with a dot, so these clash with nothing. */
#define TEMPORARY_PREFIX ".new."
#define TEMPORARY_SIZE	 48
/* A name may be taken by a directory that somebody put there; sixteen of them are no accident. */
#define N_TEMPORARY_TRIES 16

#define ENV_SUFFIX    ".env"
#define ENV_FILE_SIZE 80 /* name_is_valid(): at most 63 characters */

enum charset { CHARSET_UTF8, CHARSET_ASCII };

/* One character at @at: its length and number; 0 where there is no well-formed one. */
static size_t utf8_decode(const unsigned char *at, size_t n_left, uint32_t *ret_char)
{
	size_t n = at[0] < 0x80 ? 1 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
	uint32_t c;

	if (n > n_left || !text_is_utf8((const char *)at, n))
		return 0;
	c = n == 1 ? at[0] : at[0] & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++)
		c = c << 6 | (at[i] & 0x3f);
	*ret_char = c;
	return n;
}

/* systemd refuses the whole file for a noncharacter or a byte order mark (systemd.exec(5)); control
 * characters end lines or drive terminals. */
static bool char_is_harmless(uint32_t c)
{
	return c >= 0x20 && !(c >= 0x7f && c <= 0x9f) && c != 0xfeff &&
	       !(c >= 0xfdd0 && c <= 0xfdef) && (c & 0xfffe) != 0xfffe;
}

static bool value_is_plain(const char *value)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
				    "_.,:/@%+=-";

	return value[strspn(value, plain)] == '\0';
}

/* CHARSET_ASCII is for bytes of strangers: in a locale such as Big5 or GBK a shell may take the
 * last byte of a UTF-8 character and the backslash after it for one character, and the quote that
 * it guards is open. */
static void put_quoted(FILE *file, const char *value, enum charset charset)
{
	const unsigned char *at = (const unsigned char *)value;
	size_t n_left = strlen(value), n;

	fputc('"', file);
	for (; n_left > 0; at += n, n_left -= n) {
		uint32_t c = 0;

		n = utf8_decode(at, n_left, &c);
		if (n == 0 || !char_is_harmless(c) || (charset == CHARSET_ASCII && c >= 0x80)) {
			n = 1;
			/* The doubled backslash is one in the value. */
			fprintf(file, "\\\\x%02x", at[0]);
			continue;
		}
		if (c < 0x80 && strchr("\"\\`$", (int)c))
			fputc('\\', file);
		fwrite(at, 1, n, file);
	}
	fputc('"', file);
}

static void put_value(FILE *file, const char *value, enum charset charset)
{
	if (value_is_plain(value))
		fputs(value, file);
	else
		put_quoted(file, value, charset);
	fputc('\n', file);
}

static void put(FILE *file, const char *key, const char *value, enum charset charset)
{
	fprintf(file, "%s=", key);
	put_value(file, value, charset);
}

static void put_number(FILE *file, const char *key, uint64_t number)
{
	fprintf(file, "%s=%" PRIu64 "\n", key, number);
}

static uint32_t at_least_one(uint32_t n)
{
	return n > 0 ? n : 1;
}

static void put_parallelism(FILE *file, const struct parallelism *parallelism)
{
	put_number(file, "SIDECARD_PARALLELISM", at_least_one(parallelism->advised));
	put_number(file, "SIDECARD_PARALLELISM_FLOOR", at_least_one(parallelism->floor));
	put_number(file, "SIDECARD_PARALLELISM_CEIL", at_least_one(parallelism->ceil));
}

/* 0 or -ENOMEM. */
static int put_place(FILE *file, const struct plan_workload *workload)
{
	cleanup(freep) char *cpus = cpuset_format(&workload->cpus);
	cleanup(freep) char *nodes = nodeset_format(&workload->nodes);
	cleanup(freep) char *mems = nodeset_format(&workload->mems);

	if (!cpus || !nodes || !mems)
		return -ENOMEM;
	put(file, "SIDECARD_CPUS", cpus, CHARSET_ASCII);
	put_number(file, "SIDECARD_N_PU", workload->n_pu);
	put_number(file, "SIDECARD_N_CORE", workload->n_core);
	put(file, "SIDECARD_NODES", nodes, CHARSET_ASCII);
	put(file, "SIDECARD_MEMS", mems, CHARSET_ASCII);
	return 0;
}

static bool key_is_ours(const char *key, size_t n_key)
{
	static const char *const ours[] = {
		"SIDECARD_GENERATION",
		"SIDECARD_WORKLOAD",
		"SIDECARD_CPUS",
		"SIDECARD_N_PU",
		"SIDECARD_N_CORE",
		"SIDECARD_NODES",
		"SIDECARD_MEMS",
		"SIDECARD_QUOTA_MCPU",
		"SIDECARD_PARALLELISM",
		"SIDECARD_PARALLELISM_FLOOR",
		"SIDECARD_PARALLELISM_CEIL",
		"SIDECARD_LIMITED_BY",
	};

	for (size_t i = 0; i < N_ELEMENTS(ours); i++)
		if (strlen(ours[i]) == n_key && memcmp(ours[i], key, n_key) == 0)
			return true;
	return false;
}

/* Length of the name in NAME=VALUE; 0 where the line is none, or not one to be published. */
static size_t extra_key_length(const char *line)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
	size_t n = strspn(line, letters);

	if (n == 0 || line[n] != '=' || (line[0] >= '0' && line[0] <= '9') || key_is_ours(line, n))
		return 0;
	return n;
}

static void put_extra(FILE *file, const struct strings *extra)
{
	for (size_t i = 0; i < extra->n_items; i++) {
		const char *line = extra->items[i];
		size_t n_key = extra_key_length(line);

		if (n_key == 0)
			continue;
		fprintf(file, "%.*s=", (int)n_key, line);
		put_value(file, line + n_key + 1, CHARSET_UTF8);
	}
}

/* 0 or -ENOMEM. */
static int put_all(FILE *file, const struct plan_workload *workload, uint64_t generation,
		   const struct strings *extra)
{
	cleanup(freep) char *limited_by = plan_limited_by_text(workload);

	if (!limited_by)
		return -ENOMEM;
	put_number(file, "SIDECARD_GENERATION", generation);
	put(file, "SIDECARD_WORKLOAD", workload->conf->name, CHARSET_ASCII);
	if (workload->placed && !cpuset_is_empty(&workload->cpus) && put_place(file, workload) < 0)
		return -ENOMEM;
	if (workload->quota_mcpu == QUOTA_UNLIMITED_MCPU)
		put(file, "SIDECARD_QUOTA_MCPU", "max", CHARSET_ASCII);
	else
		put_number(file, "SIDECARD_QUOTA_MCPU", workload->quota_mcpu);
	put_parallelism(file, &workload->parallelism);
	put(file, "SIDECARD_LIMITED_BY", limited_by, CHARSET_ASCII);
	if (extra)
		put_extra(file, extra);
	return 0;
}

char *env_format(const struct plan_workload *workload, uint64_t generation,
		 const struct strings *extra)
{
	cleanup(freep) char *text = NULL;
	size_t n_text;
	FILE *file = open_memstream(&text, &n_text);
	int r;

	if (!file)
		return NULL;
	r = put_all(file, workload, generation, extra);
	if (ferror(file))
		r = -ENOMEM;
	if (fclose(file) != 0 || r < 0)
		return NULL;
	return TAKE_PTR(text);
}

static void env_file_name(const char *name, char ret_file[static ENV_FILE_SIZE])
{
	snprintf(ret_file, ENV_FILE_SIZE, "%s" ENV_SUFFIX, name);
}

int env_write(int env_dirfd, const struct plan_workload *workload, uint64_t generation,
	      const struct strings *extra, struct fault *fault)
{
	const char *name = workload->conf->name;
	cleanup(freep) char *text = NULL;
	char file[ENV_FILE_SIZE];
	int r;

	if (!name_is_valid(name))
		return fault_set(fault, -EINVAL, "env file: '%s' is no name, expected %s", name,
				 NAME_RULE);
	env_file_name(name, file);
	text = env_format(workload, generation, extra);
	if (!text)
		return fault_set(fault, -ENOMEM, "env file of workload '%s': no memory", name);
	r = file_replace(env_dirfd, file, text, strlen(text));
	if (r < 0)
		return fault_set(fault, r,
				 "env file '%s': cannot be replaced: %s, keeping the old one", file,
				 strerror(-r));
	return 0;
}

int env_remove(int env_dirfd, const char *name)
{
	char file[ENV_FILE_SIZE];

	if (!name_is_valid(name))
		return -EINVAL;
	env_file_name(name, file);
	if (unlinkat(env_dirfd, file, 0) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

/* The process number keeps two lives that overlap for a moment from renaming each other's half
 * file. */
static int temporary_create(int dirfd, char ret_name[static TEMPORARY_SIZE])
{
	for (unsigned i = 0; i < N_TEMPORARY_TRIES; i++) {
		int fd;

		snprintf(ret_name, TEMPORARY_SIZE, TEMPORARY_PREFIX "%d.%u", (int)getpid(), i);
		fd = openat(dirfd, ret_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			    0600);
		if (fd >= 0)
			return fd;
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

static int write_whole(int fd, const char *data, size_t n_bytes)
{
	while (n_bytes > 0) {
		ssize_t n = write(fd, data, n_bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		data += n;
		n_bytes -= (size_t)n;
	}
	return 0;
}

/* No fsync: the directory is one of /run, and after a loss of power its content is void anyway. */
int file_replace(int dirfd, const char *name, const void *data, size_t n_bytes)
{
	char temporary[TEMPORARY_SIZE];
	int fd = temporary_create(dirfd, temporary);
	int r;

	if (fd < 0)
		return fd;
	r = write_whole(fd, data, n_bytes);
	/* Not left to the umask: others must read it. */
	if (r == 0 && fchmod(fd, 0644) < 0)
		r = -errno;
	/* Network file systems tell of a full disk only now. */
	if (close(fd) < 0 && r == 0)
		r = -errno;
	if (r == 0 && renameat(dirfd, temporary, dirfd, name) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(dirfd, temporary, 0);
	return r;
}

void file_sweep(int dirfd)
{
	cleanup(closedirp) DIR *dir = NULL;
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;

	if (fd < 0)
		return;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return;
	}
	while ((entry = readdir(dir)))
		if (strncmp(entry->d_name, TEMPORARY_PREFIX, strlen(TEMPORARY_PREFIX)) == 0)
			unlinkat(dirfd, entry->d_name, 0);
}
