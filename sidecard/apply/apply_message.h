/* What the front and the applier say to each other over a SOCK_SEQPACKET socketpair: one structure
 * a request, one an answer, both of fixed size and in the machine's own byte order, since both ends
 * come from one build. Unused fields are zero; the applier refuses anything else, so a request has
 * one spelling only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "model/cpuset.h"

#define APPLY_MAGIC   UINT32_C(0x73636470)
#define APPLY_VERSION UINT32_C(2)

#define APPLY_CPU_WORDS	 (CPUSET_MAX / 64)
#define APPLY_NODE_WORDS (NODESET_MAX / 64)

#define APPLY_UNIT_SIZE	    256	 /* systemd: UNIT_NAME_MAX is 255 */
#define APPLY_CGROUP_SIZE   1024 /* a deeper path is refused by the front: -ENAMETOOLONG */
#define APPLY_ORIGINAL_SIZE 1024
#define APPLY_FOUND_SIZE    1024 /* an original, or the path of an executable */
#define APPLY_TEXT_SIZE	    512

enum apply_verb {
	APPLY_SET = 1,	/* give the place these PUs (and memory nodes) */
	APPLY_RESTORE,	/* where the place still has these: give it what is in @original */
	APPLY_LOOK,	/* what does the place have? Touches nothing */
	APPLY_IDENTIFY, /* which executable does the process run? Touches nothing */
};

/* Memory nodes may change under running work, and pages may be moved (Migrate=yes). */
#define APPLY_FLAG_MIGRATE UINT32_C(1)

struct apply_request {
	uint32_t magic, version;
	uint64_t serial; /* comes back in the answer */
	uint32_t verb;
	uint32_t kind;	/* enum place_kind */
	uint32_t phase; /* enum step_phase of APPLY_SET, else STEP_NARROW */
	uint32_t flags;
	/* APPLY_RESTORE on the way out: it is done or given up after about this; 0: the applier's
	 * own patience. */
	uint32_t budget_ms;
	uint32_t unused;
	int64_t pid;
	uint64_t start_time;
	uint64_t cgroup_id;
	uint64_t cpus[APPLY_CPU_WORDS];
	uint64_t mems[APPLY_NODE_WORDS];
	char unit[APPLY_UNIT_SIZE];
	char cgroup[APPLY_CGROUP_SIZE];
	char original[APPLY_ORIGINAL_SIZE];
};

struct apply_answer {
	uint32_t magic, version;
	uint64_t serial;
	int32_t error; /* 0 or -errno */
	uint32_t is_written;
	uint32_t n_writes;
	uint32_t has_found;
	uint64_t effective[APPLY_CPU_WORDS];
	char found[APPLY_FOUND_SIZE]; /* what LOOK and IDENTIFY ask for; terminated */
	char text[APPLY_TEXT_SIZE];   /* terminated; "": none */
};

/* Sets to and from bitmaps. get: -ENOMEM; @ret_… untouched on failure. */
void message_put_cpus(const struct cpuset *cpus, uint64_t words[APPLY_CPU_WORDS]);
void message_put_nodes(const struct nodeset *nodes, uint64_t words[APPLY_NODE_WORDS]);
int message_get_cpus(const uint64_t words[APPLY_CPU_WORDS], struct cpuset *ret_cpus);
int message_get_nodes(const uint64_t words[APPLY_NODE_WORDS], struct nodeset *ret_nodes);

/* Puts @text into a field of @size bytes, the rest zero. False where it does not fit. */
bool message_put_text(const char *text, char *field, uint32_t size);
/* True where the field is terminated and zero after that. */
bool message_text_is_sane(const char *field, uint32_t size);

/* What a place has, as APPLY_LOOK finds and step_outcome.original keeps it: "CPUS[+][;MEMS[+]]" in
 * the kernel's list format; an empty list: not set. '+': a runtime drop-in of somebody else's stood
 * behind it, so a restore leaves the file there. */
struct original {
	struct cpuset cpus;
	struct nodeset mems;
	bool cpus_have_dropin, mems_have_dropin;
};
/* malloc'ed; NULL where memory is short. */
char *original_format(const struct original *original);
/* 0, -EINVAL, -ERANGE, -ENOMEM. */
int original_parse(const char *text, struct original *ret_original);
void original_done(struct original *original);
