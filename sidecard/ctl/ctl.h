/* sidecarctl's verbs: one file each. argv[0] is the verb. They print their answer on standard
 * output and one sentence on standard error, and return the exit code. */
#pragma once

enum verb_exit {
	EXIT_DONE = 0,
	EXIT_UNPLACED = 1, /* something is not placed; the answer is printed all the same */
	EXIT_FAULT = 2,	   /* usage, configuration, machine or daemon at fault; no answer */
};

int verb_status(int argc, char **argv);
int verb_list(int argc, char **argv);
int verb_show(int argc, char **argv);
int verb_topology(int argc, char **argv);
int verb_plan(int argc, char **argv);
int verb_explain(int argc, char **argv);
int verb_env(int argc, char **argv);
int verb_run(int argc, char **argv);
int verb_watch(int argc, char **argv);
int verb_check(int argc, char **argv);
int verb_capture(int argc, char **argv);
int verb_top(int argc, char **argv);
int verb_record(int argc, char **argv);
int verb_replay(int argc, char **argv);
int verb_reload(int argc, char **argv);
