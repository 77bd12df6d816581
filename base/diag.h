#ifndef SYNOD_BASE_DIAG_H
#define SYNOD_BASE_DIAG_H

/*
 * diag.h - the log for people: lines with a level, given to a sink.
 *
 * There is no sink at first, so library code is silent. It is not the trace: tests never compare
 * these lines. Sink and level are the only mutable globals below the mains: set them before the
 * first thread starts. DIAG_x may then be called by any thread, so a sink must stand that.
 */

#include <stdbool.h>

enum diag_level {
    DIAG_LEVEL_ERROR = 0,
    DIAG_LEVEL_WARN = 1,
    DIAG_LEVEL_INFO = 2,
    DIAG_LEVEL_DEBUG = 3,
};

/* The longest text of a line, with its terminator; what is longer is cut. */
#define DIAG_TEXT_MAX 1024

/* Receives one line: `text` is borrowed for the call and has no newline of its own at the end. */
typedef void (*diag_sink_fn)(enum diag_level level, const char *text, void *ctx);

/* Sends lines to `fn` with `ctx` from now on; NULL drops them. `ctx` stays the caller's. */
void diag_set_sink(diag_sink_fn fn, void *ctx);

/* Drops lines that are more detailed than `level` from now on; DIAG_LEVEL_INFO at first. */
void diag_set_level(enum diag_level level);

/* Whether a line of `level` would reach a sink. */
bool diag_enabled(enum diag_level level);

/* "ERROR", "WARN", "INFO" or "DEBUG". */
const char *diag_level_name(enum diag_level level);

/* Formats one line and gives it to the sink. Call it through the macros below, which skip the
 * formatting when nobody listens. */
void diag_write(enum diag_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A sink that writes "2026-01-02T03:04:05.123Z INFO  text" to stderr in one write; `ctx` is not
 * used. It reads the clock, so it is for mains only. Any thread. */
void diag_stderr_sink(enum diag_level level, const char *text, void *ctx);

#define DIAG_AT(level, ...)                                                                        \
    do {                                                                                           \
        if (diag_enabled(level)) {                                                                 \
            diag_write((level), __VA_ARGS__);                                                      \
        }                                                                                          \
    } while (0)

#define DIAG_ERROR(...) DIAG_AT(DIAG_LEVEL_ERROR, __VA_ARGS__)
#define DIAG_WARN(...) DIAG_AT(DIAG_LEVEL_WARN, __VA_ARGS__)
#define DIAG_INFO(...) DIAG_AT(DIAG_LEVEL_INFO, __VA_ARGS__)
#define DIAG_DEBUG(...) DIAG_AT(DIAG_LEVEL_DEBUG, __VA_ARGS__)

#endif
