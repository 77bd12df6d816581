/*
 * trace_read.h - reads the trace of a node back while the node writes it: the JSON lines of
 * kv/trace_json.c become struct trace_event again.
 *
 * A file has the lives of a node one after another. What is there up to the last newline is given;
 * the rest is waited for. A process that is killed may leave a line unfinished, and the next life
 * goes on behind it: that is told by trace_read_cut and forgiven once; anything else that is no
 * event is an error. Times are as in the file: CLOCK_MONOTONIC, as uv_hrtime() / 1000.
 */
#ifndef SYNOD_TESTS_REAL_TRACE_READ_H
#define SYNOD_TESTS_REAL_TRACE_READ_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "consensus/trace.h"

struct trace_read;

/* The file need not be there yet. */
struct trace_read *trace_read_new(const char *path);
void trace_read_free(struct trace_read *t); /* NULL is legal */

/*
 * Gives what was written since the last call to `sink`, in the order of the file; notes are static.
 * Errors, with a line that names file and line: ERR_IO, ERR_MALFORMED. Nothing is read after one.
 */
MUST_USE int trace_read_poll(struct trace_read *t, const struct trace_sink *sink,
                             struct buf *error);

/* The process that wrote was killed: the line it was writing may be cut. */
void trace_read_cut(struct trace_read *t);

/* One line without its newline. `error` (NULL legal) says what is wrong with it. Errors:
 * ERR_MALFORMED. */
MUST_USE int trace_read_line(struct bytes line, struct trace_event *ret_event, struct buf *error);

#endif
