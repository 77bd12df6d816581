/*
 * trace_json.c - see trace_json.h.
 */
#include "kv/trace_json.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/diag.h"
#include "base/mem.h"
#include "consensus/consensus.h"
#include "consensus/message.h"

enum { TRACE_BUFFER_MAX = 1024 * 1024, TRACE_BUFFER_FLUSH = 64 * 1024 };

struct trace_json {
    int fd;
    bool broken;
    struct buf buf;
};

static void emit(void *ctx, const struct trace_event *event)
{
    struct trace_json *t = ctx;

    if (t->broken) {
        return;
    }
    if (t->buf.size >= TRACE_BUFFER_FLUSH) {
        trace_json_flush(t);
    }
    ERR_IGNORE(trace_json_format(event, &t->buf)); /* the flush above made room */
}

int trace_json_new(const char *path, struct trace_json **ret_trace, struct buf *error)
{
    struct trace_json *t;
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

    if (fd < 0) {
        ERR_IGNORE(buf_printf(error, "trace file %s: %s; name a file that can be written", path,
                              strerror(errno)));
        return ERR_IO;
    }
    t = xcalloc(1, sizeof(*t));
    t->fd = fd;
    buf_init(&t->buf, TRACE_BUFFER_MAX);
    *ret_trace = t;
    return OK;
}

void trace_json_free(struct trace_json *t)
{
    if (t == NULL) {
        return;
    }
    trace_json_flush(t);
    ERR_IGNORE(close(t->fd));
    buf_release(&t->buf);
    free(t);
}

struct trace_sink trace_json_sink(struct trace_json *t)
{
    return (struct trace_sink){.emit = emit, .ctx = t};
}

void trace_json_flush(struct trace_json *t)
{
    while (t->buf.size > 0 && !t->broken) {
        ssize_t n = write(t->fd, t->buf.data, t->buf.size);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            DIAG_WARN("the trace ends here: write: %s", strerror(errno));
            t->broken = true;
            break;
        }
        buf_consume(&t->buf, (size_t) n);
    }
    if (t->broken) {
        buf_clear(&t->buf);
    }
}

static int add_number(struct buf *out, const char *name, uint64_t number)
{
    return number == 0 ? OK : buf_printf(out, ",\"%s\":%" PRIu64, name, number);
}

int trace_json_format(const struct trace_event *event, struct buf *out)
{
    const struct {
        const char *name;
        uint64_t number;
    } fields[] = {
        {"epoch", event->epoch},
        {"index", event->kind == TRACE_MARK ? 0 : event->index}, /* its name says it */
        {"last", event->last},
        {"from", event->from},
        {"to", event->to},
        {"ctx", event->ctx},
    };
    const struct engine_ops *engine = engine_by_id(event->engine);
    int err;

    err = buf_printf(out, "{\"t\":%" PRIu64 ",\"node\":%u,\"engine\":\"%s\",\"event\":\"%s\"",
                     event->time_us, event->node, engine == NULL ? "" : engine_name(engine),
                     trace_kind_name(event->kind));
    if (err == OK && event->message != 0) {
        err = buf_printf(out, ",\"message\":\"%s\"", message_name(event->message));
    }
    for (size_t i = 0; i < ARRAY_SIZE(fields) && err == OK; i++) {
        err = add_number(out, fields[i].name, fields[i].number);
    }
    if (err == OK && event->hash != 0) {
        err = buf_printf(out, ",\"hash\":\"%016" PRIx64 "\"", event->hash);
    }
    if (err == OK && event->note != NULL) {
        err = buf_printf(out, ",\"note\":\"%s\"", event->note); /* static strings without quotes */
    }
    return err == OK ? buf_printf(out, "}\n") : err;
}
