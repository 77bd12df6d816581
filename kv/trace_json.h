/*
 * trace_json.h - trace events as JSON lines in a file (design.md 10; fields in
 * docs/architecture.md).
 *
 * Loop thread only. Lines are buffered and written once per turn by trace_json_flush.
 */
#ifndef SYNOD_KV_TRACE_JSON_H
#define SYNOD_KV_TRACE_JSON_H

#include "base/buf.h"
#include "base/err.h"
#include "consensus/trace.h"

struct trace_json;

/* Appends to the file, making it if needed. `error` gets one line. Errors: ERR_IO. */
MUST_USE int trace_json_new(const char *path, struct trace_json **ret_trace, struct buf *error);
void trace_json_free(struct trace_json *t); /* flushes; NULL is legal */

/* The sink to put into consensus_options.trace; valid until free. */
struct trace_sink trace_json_sink(struct trace_json *t);

/* Writes what is buffered. A failed write drops the rest of the trace and says so once: a trace
 * never stops a node. */
void trace_json_flush(struct trace_json *t);

/* Appends one event as a line (with '\n'). Errors: ERR_LIMIT. */
MUST_USE int trace_json_format(const struct trace_event *event, struct buf *out);

#endif
