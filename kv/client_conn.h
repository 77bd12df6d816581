/*
 * client_conn.h - a client's connection to one endpoint: name, address, socket, gRPC; private to
 * kv/client*.c.
 *
 * It connects when asked and says when it is up or down. It decides nothing: when to try again, and
 * what happens to the calls, is client.c's. A connection that the server sends away (GOAWAY) is
 * kept until its calls have ended while a new one can be made.
 */
#ifndef SYNOD_KV_CLIENT_CONN_H
#define SYNOD_KV_CLIENT_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "net/grpc.h"

struct uv_loop_s;
struct client_conn;

struct client_conn_options {
    struct uv_loop_s *loop;
    const char *endpoint; /* see client_options.endpoints; copied */
    uint64_t connect_ms;
    struct grpc_limits limits;
    struct grpc_callbacks grpc; /* of every connection made; on_goaway is this module's */
    void (*on_up)(void *ctx);
    /* It could not be made, or is gone; the text is borrowed. Calls on it have ended or end now. */
    void (*on_down)(void *ctx, bool was_up, const char *reason);
    void (*on_closed)(void *ctx);
    void *ctx;
};

/* Errors: ERR_INVALID (the endpoint does not parse); `error` (NULL legal) gets one line. */
MUST_USE int client_conn_new(const struct client_conn_options *options,
                             struct client_conn **ret_conn, struct buf *error);

/* Begins to connect; on_up or on_down follow from the loop. Does nothing unless idle. */
void client_conn_connect(struct client_conn *c);

/* Where new calls go; NULL when it is not up. */
struct grpc *client_conn_grpc(const struct client_conn *c);

/* The endpoint without the scheme. */
const char *client_conn_name(const struct client_conn *c);

/* Writes what is waiting. Once per loop turn. */
void client_conn_flush(struct client_conn *c);

/* Closes everything; calls end; on_closed comes when it is freed, and nothing else after this. */
void client_conn_close(struct client_conn *c);

#endif
