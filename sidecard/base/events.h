/* One function per event that an operator may filter for. Under systemd each goes to the journal
 * with its MESSAGE_ID (explained in the message catalog) and SIDECARD_… fields; elsewhere it is a
 * line on stderr. The only caller of sd_journal_send. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define MSG_STARTED	       "29c0f70aa9734e70a060f91cb4119f08"
#define MSG_STOPPED	       "32f5d6c35f1b4f45a1c2bc16fc65542e"
#define MSG_RELOADED	       "2e93a1bbd484457e8bfb0d18e8927b99"
#define MSG_CONFIG_REFUSED     "3ea810ca8f034a42961f9e4941d225d3"
#define MSG_PLAN_CHANGED       "7b60fee372ac4ebb94958cc135cd50d4"
#define MSG_UNPLACED	       "582570beeb8746b499d786d82612270b"
#define MSG_PLACE_FAILED       "c067e36b731a493f847060c76b899183"
#define MSG_DEGRADED	       "cb64e724f555492ea80691fd971ac536"
#define MSG_REGISTERED	       "e7305ef8614e464b9e85d2d9b6638768"
#define MSG_REGISTRATION_ENDED "faba5678ec3b478fbc50e451a025fa61"
#define MSG_APPLIER_DIED       "d16f4b551e214152b824677b9e76921e"
#define MSG_RESTORED	       "b193b166de9042f2bb1d7007e29be286"
#define MSG_REGULATED	       "c674e85e613f4ed493fb15dcad96eb76"
#define MSG_ROLLED_BACK	       "8b4bf985b2384044b15a144d95268f57"
#define MSG_REGULATOR_STAGE    "8c2caeabb63647d5943f13e7316dd638"

void event_started(const char *version, size_t n_workloads, uint32_t n_pu, uint32_t n_node);
void event_stopped(void);
void event_reloaded(size_t n_workloads);
/* One per fault of a configuration. */
void event_config_refused(const char *fault);
/* @pus: kernel list; a workload's partition or number is new. */
void event_plan_changed(const char *workload, const char *pus, uint32_t parallelism,
			const char *limited_by, uint64_t generation);
void event_unplaced(const char *workload, const char *reason);
/* A step did not hold: said once per text. */
void event_place_failed(const char *workload, const char *place, const char *text);
/* Something that is missing here and that we do without. */
void event_degraded(const char *text);
void event_registered(const char *workload, int64_t pid);
void event_registration_ended(const char *workload, int64_t pid, const char *why);
void event_applier_died(const char *what_follows);
void event_restored(size_t n_places);
/* A regulator's step, and the samples that caused it. */
void event_regulated(const char *workload, uint32_t from, uint32_t to, const char *samples);
/* The breaker took a step back. */
void event_rolled_back(const char *workload, uint32_t from, uint32_t to, const char *samples);
/* A regulator that goes on to another stage and stays at its number. */
void event_regulator_stage(const char *workload, uint32_t parallelism, const char *stage,
			   const char *samples);
