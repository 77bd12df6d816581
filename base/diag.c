/*
 * diag.c - the log for people, up to the sink.
 */

#include "base/diag.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include "base/assert.h"

/* Set before the first thread starts, read by all. */
static diag_sink_fn diag_sink;
static void *diag_sink_ctx;
static enum diag_level diag_level_max = DIAG_LEVEL_INFO;

void diag_set_sink(diag_sink_fn fn, void *ctx)
{
    diag_sink = fn;
    diag_sink_ctx = ctx;
}

void diag_set_level(enum diag_level level)
{
    diag_level_max = level;
}

bool diag_enabled(enum diag_level level)
{
    return diag_sink != NULL && level <= diag_level_max;
}

const char *diag_level_name(enum diag_level level)
{
    switch (level) {
    case DIAG_LEVEL_ERROR:
        return "ERROR";
    case DIAG_LEVEL_WARN:
        return "WARN";
    case DIAG_LEVEL_INFO:
        return "INFO";
    case DIAG_LEVEL_DEBUG:
        return "DEBUG";
    }
    UNREACHABLE();
}

void diag_write(enum diag_level level, const char *format, ...)
{
    if (!diag_enabled(level)) {
        return;
    }
    char text[DIAG_TEXT_MAX];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (length < 0) {
        return;
    }
    size_t end = (size_t) length < sizeof text ? (size_t) length : sizeof text - 1;
    /* One call is one line: a newline at the end is dropped, one inside becomes a blank. */
    while (end > 0 && text[end - 1] == '\n') {
        end--;
    }
    text[end] = '\0';
    for (size_t i = 0; i < end; i++) {
        if (text[i] == '\n') {
            text[i] = ' ';
        }
    }
    diag_sink(level, text, diag_sink_ctx);
}
