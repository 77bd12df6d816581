/*
 * grpc_end.c - one end of a gRPC connection that records its callbacks.
 */

#include "tests/support/grpc_end.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

#define EVENTS_MAX ((size_t) 1 << 20)
#define WIRE_MAX ((size_t) 1 << 26)

void end_note(struct end *e, const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    ASSERT(n >= 0);
    size_t size = (size_t) n < sizeof line ? (size_t) n : sizeof line - 1;
    ASSERT(buf_append(&e->events, line, size) == OK);
}

uint64_t end_sum(const struct blob *message)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < message->size; i++) {
        sum = sum * 31 + message->data[i];
    }
    return sum;
}

static void on_begin(void *ctx, struct grpc *g, const struct grpc_begin *begin)
{
    struct end *e = ctx;
    end_note(e, "begin %u %.*s", begin->call, (int) begin->path.size,
             (const char *) begin->path.data);
    if (begin->timeout_us != UINT64_MAX) {
        end_note(e, " timeout=%llu", (unsigned long long) begin->timeout_us);
    }
    for (uint32_t i = 0; i < begin->metadata_count; i++) {
        const struct grpc_metadata *m = &begin->metadata[i];
        end_note(e, " %.*s=%.*s", (int) m->name.size, (const char *) m->name.data,
                 (int) m->value.size, (const char *) m->value.data);
    }
    end_note(e, "\n");
    if (e->mode == MODE_UNIMPLEMENTED) {
        end_note(e, "finish %d\n",
                 grpc_finish(g, begin->call, GRPC_UNIMPLEMENTED, "unknown method"));
    }
}

static void on_message(void *ctx, struct grpc *g, uint32_t call, struct blob *message)
{
    struct end *e = ctx;
    if (message->size <= 64 && !e->quiet) {
        end_note(e, "message %u %.*s\n", call, (int) message->size, (const char *) message->data);
    } else {
        end_note(e, "message %u size=%zu sum=%llx\n", call, message->size,
                 (unsigned long long) end_sum(message));
    }
    if (e->mode == MODE_ECHO) {
        blob_unref(e->kept);
        e->kept = blob_ref(message);
    } else if (e->mode == MODE_ECHO_STREAM && grpc_send(g, call, message) != OK) {
        end_note(e, "send failed\n");
    }
}

static void on_half_close(void *ctx, struct grpc *g, uint32_t call)
{
    struct end *e = ctx;
    end_note(e, "half_close %u\n", call);
    int err = OK;
    if (e->mode == MODE_ECHO) {
        err = grpc_reply(g, call, e->kept);
    } else if (e->mode == MODE_ECHO_STREAM) {
        err = grpc_finish(g, call, GRPC_OK, NULL);
    }
    if (err != OK) {
        end_note(e, "answer failed\n");
    }
}

static void on_end(void *ctx, struct grpc *g, uint32_t call, int status, struct bytes text,
                   bool refused)
{
    struct end *e = ctx;
    end_note(e, "end %u %s%s \"%.*s\" user=%s\n", call, grpc_status_name(status),
             refused ? " refused" : "", (int) text.size, (const char *) text.data,
             grpc_call_user(g, call) == NULL ? "" : (const char *) grpc_call_user(g, call));
}

static void on_goaway(void *ctx, struct grpc *g)
{
    (void) g;
    end_note(ctx, "goaway\n");
}

struct grpc_callbacks end_init(struct end *e)
{
    memset(e, 0, sizeof *e);
    buf_init(&e->events, EVENTS_MAX);
    buf_init(&e->out, WIRE_MAX);
    struct grpc_callbacks c = {on_begin, on_message, on_half_close, on_end, on_goaway, e};
    return c;
}

void end_release(struct end *e)
{
    grpc_free(e->g);
    blob_unref(e->kept);
    buf_release(&e->events);
    buf_release(&e->out);
}
