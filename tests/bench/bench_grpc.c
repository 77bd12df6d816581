/*
 * bench_grpc.c - what a unary call costs in the gRPC layer alone: a client and a server back to
 * back in memory, no socket, no state machine.
 *
 *     bench_grpc [CALLS] [BATCH] [REQUEST_SIZE] [REPLY_SIZE]
 *
 * BATCH calls arrive in one read. For instructions per call of the server's side:
 *
 *     valgrind --tool=callgrind --toggle-collect=server_turn bench_grpc 20000 32
 *
 * and divide by CALLS (the first batch warms up pools and header tables, and is counted too).
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/blob.h"
#include "base/buf.h"
#include "base/err.h"
#include "net/grpc.h"

struct bench {
    struct grpc *server;
    struct grpc *client;
    struct blob *request;
    struct blob *reply;
    uint64_t answered;
    uint64_t failed;
    uint64_t server_ns;
};

static uint64_t now_ns(void)
{
    struct timespec ts;
    ASSERT(clock_gettime(CLOCK_MONOTONIC, &ts) == 0);
    return (uint64_t) ts.tv_sec * UINT64_C(1000000000) + (uint64_t) ts.tv_nsec;
}

static void on_half_close(void *ctx, struct grpc *g, uint32_t call)
{
    struct bench *b = ctx;
    ASSERT(grpc_reply(g, call, b->reply) == OK);
}

static void on_end(void *ctx, struct grpc *g, uint32_t call, int status, struct bytes text,
                   bool refused)
{
    (void) g;
    (void) call;
    (void) text;
    (void) refused;
    struct bench *b = ctx;
    b->answered++;
    b->failed += status == GRPC_OK ? 0 : 1;
}

/* The server's part of one loop turn: all of `in` in one read, all answers in as few writes as the
 * output gives. Not inlined, so that callgrind can count it alone. */
__attribute__((noinline)) void server_turn(struct bench *b, struct bytes in, struct buf *out);
__attribute__((noinline)) void server_turn(struct bench *b, struct bytes in, struct buf *out)
{
    ASSERT(grpc_feed(b->server, in) == OK);
    for (;;) {
        struct bytes answer = grpc_output(b->server);
        if (answer.size == 0) {
            break;
        }
        ASSERT(buf_append_bytes(out, answer) == OK);
        grpc_sent(b->server, answer.size);
    }
}

static void client_output(struct bench *b, struct buf *out)
{
    for (;;) {
        struct bytes part = grpc_output(b->client);
        if (part.size == 0) {
            break;
        }
        ASSERT(buf_append_bytes(out, part) == OK);
        grpc_sent(b->client, part.size);
    }
}

static void turn(struct bench *b, struct buf *to_server, struct buf *to_client)
{
    client_output(b, to_server);
    uint64_t start = now_ns();
    server_turn(b, buf_bytes(to_server), to_client);
    b->server_ns += now_ns() - start;
    buf_clear(to_server);
    ASSERT(grpc_feed(b->client, buf_bytes(to_client)) == OK);
    buf_clear(to_client);
}

static void run(struct bench *b, uint64_t calls, uint64_t batch)
{
    struct buf to_server;
    struct buf to_client;
    buf_init(&to_server, SIZE_MAX / 4);
    buf_init(&to_client, SIZE_MAX / 4);
    uint64_t begun = 0;
    while (begun < calls) {
        for (uint64_t i = 0; i < batch && begun < calls; i++, begun++) {
            uint32_t call = 0;
            ASSERT(grpc_call(b->client, "/etcdserverpb.KV/Put", 5000000, NULL, 0, NULL, &call) ==
                   OK);
            ASSERT(grpc_call_send(b->client, call, b->request, true) == OK);
        }
        while (b->answered < begun) {
            turn(b, &to_server, &to_client);
        }
    }
    buf_release(&to_server);
    buf_release(&to_client);
}

static size_t argument(int argc, char **argv, int i, size_t fallback)
{
    return i < argc ? (size_t) strtoull(argv[i], NULL, 10) : fallback;
}

int main(int argc, char **argv)
{
    uint64_t calls = argument(argc, argv, 1, 1000000);
    uint64_t batch = argument(argc, argv, 2, 32);
    struct bench b = {.request = blob_new(argument(argc, argv, 3, 300)),
                      .reply = blob_new(argument(argc, argv, 4, 30))};
    memset(b.request->data, 'q', b.request->size);
    memset(b.reply->data, 'a', b.reply->size);
    struct grpc_limits limits;
    grpc_limits_init(&limits);
    struct grpc_callbacks server = {.on_half_close = on_half_close, .ctx = &b};
    struct grpc_callbacks client = {.on_end = on_end, .ctx = &b};
    ASSERT(grpc_new_server(&server, &limits, &b.server) == OK);
    ASSERT(grpc_new_client(&client, &limits, "localhost:2379", &b.client) == OK);
    batch = batch > 64 ? 64 : batch; /* below what the client may assume before the SETTINGS */

    uint64_t start = now_ns();
    run(&b, calls, batch);
    double all_us = (double) (now_ns() - start) / 1000.0;
    double server_us = (double) b.server_ns / 1000.0;
    double count = (double) calls;
    printf("calls %.0f batch %llu failed %llu\n", count, (unsigned long long) batch,
           (unsigned long long) b.failed);
    printf("server: %.2f us a call, %.0f calls/s\n", server_us / count, count / server_us * 1e6);
    printf("client: %.2f us a call\n", (all_us - server_us) / count);

    grpc_free(b.client);
    grpc_free(b.server);
    blob_unref(b.request);
    blob_unref(b.reply);
    return b.failed == 0 ? 0 : 1;
}
