/* The regulators of the running daemon: which workloads have one, when the next sample is due, and
 * how advice reaches publication. daemon_regulate.c is their life, daemon_samples.c what others are
 * told of it: recordings, measurements, and the values that a next life begins with. */
#pragma once

#include <jansson.h>
#include <systemd/sd-event.h>

#include "regulate/regulate.h"
#include "sense/sample.h"

struct daemon;

/* A cgroup that a workload's places are in. */
struct regulated_cgroup {
	char *path;
	uint64_t id;
	struct sample_source source; /* open only while a regulator is on */
};

struct regulated_cgroups {
	struct regulated_cgroup *items;
	size_t n_items;
};

/* One workload with a regulator. */
struct regulated {
	char *name, *pool;
	uint32_t index; /* in conf */
	struct regulate_rule rule;
	struct regulate_state state;
	struct regulate_loan loan;
	uint64_t retry_us;	     /* no sample before: the last one could not be had */
	struct regulate_advice last; /* with the newest reason other than REASON_NONE */
	enum lend_locality lend;
	struct regulated_cgroups cgroups; /* none: it does not run */
};

/* A pool's own timer: off while none of its regulators wants a sample. */
struct regulated_pool {
	struct regulation *regulation;
	char *name;
	sd_event_source *timer;
};

/* Where a workload was steady, on a machine like this one. */
struct steady {
	char *name;
	uint64_t machine;
	uint32_t parallelism;
};

struct recording;

struct regulation {
	struct daemon *daemon;
	int root_fd;		  /* of the cgroup tree; -1: none, nothing is regulated */
	struct regulated **items; /* by index in conf; NULL: no regulator */
	size_t n_items;
	struct regulated_pool **pools;
	size_t n_pools;
	struct steady *steadies;
	size_t n_steadies;
	struct recording *recording; /* NULL: nobody has asked yet */
};

/* daemon_regulate.c */
int regulation_open(struct daemon *daemon, struct regulation **ret_regulation);
struct regulation *regulation_free(struct regulation *regulation);
/* After daemon->conf has become another one: regulators whose numbers stay go on as they are. */
void regulation_adopt_conf(struct regulation *regulation);
/* Places came or went. */
void regulation_places_changed(struct regulation *regulation);
/* What the regulator of workload @i asks for; 0: it has none, or none yet. */
uint32_t regulation_value(const struct regulation *regulation, size_t i);
/* The cgroups of workload @i; none below another one. What they were before goes. */
int regulated_cgroups_make(struct regulation *regulation, size_t i,
			   struct regulated_cgroups *cgroups);
void regulated_cgroups_done(const struct regulation *regulation, struct regulated_cgroups *cgroups);
int regulated_cgroup_open(const struct regulation *regulation, struct regulated_cgroup *cgroup);

/* daemon_samples.c */
/* Lines for recordings; nothing while nobody records. */
void recording_begin(struct regulation *regulation, const struct regulated *regulated);
void recording_sample(struct regulation *regulation, const struct regulated *regulated,
		      const struct regulate_sample *sample, uint64_t now_us,
		      const struct regulate_advice *advice);
struct recording *recording_free(struct recording *recording);
/* For publish_handler. New references, NULL where memory is short. */
json_t *samples_told(struct regulation *regulation, uint64_t after);
json_t *measurements_told(struct regulation *regulation, const char *after);
/* For the checkpoint. */
json_t *steadies_json(const struct regulation *regulation);
void steadies_load(struct regulation *regulation, const json_t *json);
void steadies_done(struct regulation *regulation);
/* 0 where nothing is known. */
uint32_t steady_find(const struct regulation *regulation, const char *name);
int steady_set(struct regulation *regulation, const char *name, uint32_t parallelism);
