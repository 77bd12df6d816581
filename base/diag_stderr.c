/*
 * diag_stderr.c - the log sink of the programs: timestamped lines on stderr.
 *
 * This is the only file below the mains that reads a clock. It may, because nothing reads the
 * result back: the time goes into text for people, never into a decision, a record or a trace. It
 * is in a file of its own so that the rule can be checked by script, and a program that does not
 * name diag_stderr_sink does not link it.
 */

#include "base/diag.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

void diag_stderr_sink(enum diag_level level, const char *text, void *ctx)
{
    (void) ctx;
    struct timespec now = {0, 0};
    struct tm utc = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    char stamp[32];
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    char line[DIAG_TEXT_MAX + 64];
    int length = snprintf(line, sizeof line, "%s.%03dZ %-5s %s\n", stamp,
                          (int) (now.tv_nsec / 1000000), diag_level_name(level), text);
    if (length > 0) {
        size_t size = (size_t) length < sizeof line ? (size_t) length : sizeof line - 1;
        /* One write, so that lines of two threads do not mix. A log that cannot be written has no
         * place to say so. */
        ssize_t written = write(STDERR_FILENO, line, size);
        (void) written;
    }
}
