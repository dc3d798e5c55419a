/* Log lines for people: to the journal's stream with a level prefix, or to a terminal. Only
 * daemon.c, events.c and the tools call it. */
#pragma once

#include <stdbool.h>
#include <syslog.h>

/* Lines above @level are dropped. Under systemd (JOURNAL_STREAM names our stderr) a line begins
 * with <N>; else with the level's name. */
void log_init(const char *program, int level);
/* True where stderr is the journal's stream. */
bool log_to_journal(void);
void log_set_level(int level);
/* One line, escaped: foreign text cannot begin another one. */
void log_line(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));
