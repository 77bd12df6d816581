/*
 * fuzz_grpc.c - a gRPC connection on any bytes, in any pieces.
 *
 * Byte 0: how the rest is cut up. Byte 1: bit 0 a client instead of a server, bit 1 no connection
 * preface is put in front, bits 2-3 how the owner answers. The rest is the input. Checked:
 * callbacks name only calls that have begun and not ended, each call ends once, and a finished
 * connection says nothing more.
 */

#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/map.h"
#include "net/grpc.h"

#define CALLS_MAX 4096

enum answer { ANSWER_REPLY, ANSWER_STREAM, ANSWER_ERROR, ANSWER_CANCEL };

struct owner {
    struct map open; /* calls that have begun and not ended, to an address that is not NULL */
    enum answer answer;
    bool server;
    struct blob *reply;
};

static void call_opened(struct owner *o, uint32_t call)
{
    ASSERT(map_put(&o->open, call, o) == OK);
}

static void call_over(struct owner *o, uint32_t call)
{
    ASSERT(map_remove(&o->open, call) != NULL);
}

/* The owner's end of a call: every function answers that it is gone. */
static void call_finish(struct owner *o, struct grpc *g, uint32_t call)
{
    if (o->answer == ANSWER_CANCEL) {
        grpc_cancel(g, call);
    } else if (o->answer == ANSWER_REPLY) {
        ASSERT(grpc_reply(g, call, o->reply) == OK);
    } else {
        ASSERT(grpc_finish(g, call, GRPC_NOT_FOUND, "100% gone") == OK);
    }
    call_over(o, call);
    ASSERT(grpc_call_user(g, call) == NULL);
    ASSERT(grpc_finish(g, call, GRPC_OK, NULL) == ERR_NOT_FOUND);
}

static void on_begin(void *ctx, struct grpc *g, const struct grpc_begin *begin)
{
    struct owner *o = ctx;
    call_opened(o, begin->call);
    ASSERT(begin->path.size > 0);
    grpc_call_set_user(g, begin->call, o);
    if (o->answer == ANSWER_ERROR && begin->call % 4 == 1) {
        call_finish(o, g, begin->call);
    }
}

static void on_message(void *ctx, struct grpc *g, uint32_t call, struct blob *message)
{
    struct owner *o = ctx;
    ASSERT(map_get(&o->open, call) != NULL);
    ASSERT(message->size <= 2 * 1024 * 1024);
    if (o->server && o->answer == ANSWER_STREAM) {
        ASSERT(grpc_send(g, call, message) == OK);
    } else if (o->server && o->answer == ANSWER_CANCEL) {
        call_finish(o, g, call);
    }
}

static void on_half_close(void *ctx, struct grpc *g, uint32_t call)
{
    struct owner *o = ctx;
    ASSERT(o->server);
    ASSERT(map_get(&o->open, call) != NULL);
    ASSERT(grpc_call_user(g, call) == o);
    call_finish(o, g, call);
}

static void on_end(void *ctx, struct grpc *g, uint32_t call, int status, struct bytes text,
                   bool refused)
{
    (void) g;
    (void) text;
    struct owner *o = ctx;
    ASSERT(!o->server || status != GRPC_OK);
    ASSERT(!refused || status == GRPC_UNAVAILABLE);
    call_over(o, call);
}

static void on_goaway(void *ctx, struct grpc *g)
{
    (void) g;
    const struct owner *o = ctx;
    ASSERT(!o->server);
}

static void drain(struct grpc *g)
{
    struct bytes out = grpc_output(g);
    while (out.size > 0) {
        grpc_sent(g, out.size);
        out = grpc_output(g);
    }
}

static void feed(struct grpc *g, const uint8_t *data, size_t size, size_t piece)
{
    int err = OK;
    while (size > 0 && err == OK) {
        size_t n = size < piece ? size : piece;
        err = grpc_feed(g, bytes_of(data, n));
        data += n;
        size -= n;
        drain(g);
    }
    if (err != OK) {
        ASSERT(grpc_finished(g));
        ASSERT(grpc_feed(g, bytes_of("x", 1)) == ERR_CLOSED);
    }
}

static void client_calls(struct owner *o, struct grpc *g)
{
    for (int i = 0; i < 3; i++) {
        uint32_t call = 0;
        ASSERT(grpc_call(g, "/s/m", 1000000, NULL, 0, o, &call) == OK);
        call_opened(o, call);
        ASSERT(grpc_call_send(g, call, o->reply, i < 2) == OK);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
    if (size < 2) {
        return 0;
    }
    struct owner o = {.answer = (enum answer)((data[1] >> 2) & 3), .server = (data[1] & 1) == 0};
    map_init(&o.open, CALLS_MAX);
    o.reply = blob_copy(bytes_str("the answer"));
    struct grpc_callbacks callbacks = {on_begin, on_message, on_half_close, on_end, on_goaway, &o};
    struct grpc_limits limits;
    struct grpc *g = NULL;
    grpc_limits_init(&limits);
    if (o.server) {
        ASSERT(grpc_new_server(&callbacks, &limits, &g) == OK);
    } else {
        ASSERT(grpc_new_client(&callbacks, &limits, "host:1", &g) == OK);
        client_calls(&o, g);
    }
    drain(g);
    if ((data[1] & 2) == 0) {
        /* A server's preface is the SETTINGS frame without the magic (RFC 9113, 3.4). */
        size_t skip = o.server ? 0 : 24;
        feed(g, (const uint8_t *) preface + skip, sizeof preface - 1 - skip, SIZE_MAX);
    }
    if (!grpc_finished(g)) {
        feed(g, data + 2, size - 2, (size_t) data[0] + 1);
    }
    grpc_free(g);
    ASSERT(map_size(&o.open) == 0);
    map_release(&o.open);
    blob_unref(o.reply);
    return 0;
}
