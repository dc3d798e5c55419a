#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"

static struct {
	const char *program;
	int level;
	int to_journal;
} state = { "sidecard", LOG_INFO, 0 };

/* systemd.exec(5): $JOURNAL_STREAM holds device:inode of the stream; compare, since a redirection
 * may have replaced it. */
static int stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	if (!stream || sscanf(stream, "%llu:%llu", &device, &inode) != 2 ||
	    fstat(STDERR_FILENO, &st) < 0)
		return 0;
	return st.st_dev == device && st.st_ino == inode;
}

void log_init(const char *program, int level)
{
	state.program = program;
	state.level = level;
	state.to_journal = stderr_is_journal();
}

bool log_to_journal(void)
{
	return state.to_journal;
}

void log_set_level(int level)
{
	state.level = level;
}

void log_line(int level, const char *format, ...)
{
	static const char *const names[] = { "emergency", "alert",  "critical", "error",
					     "warning",	  "notice", "info",	"debug" };
	char raw[2048], escaped[2048];
	va_list args;

	if (level > state.level || level < 0 || level > LOG_DEBUG)
		return;
	va_start(args, format);
	vsnprintf(raw, sizeof(raw), format, args);
	va_end(args);
	text_escape(raw, strlen(raw), escaped, sizeof(escaped));
	if (state.to_journal)
		fprintf(stderr, "<%d>%s\n", level, escaped);
	else
		fprintf(stderr, "%s: %s: %s\n", state.program, names[level], escaped);
}
