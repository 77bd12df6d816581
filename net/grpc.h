#ifndef SYNOD_NET_GRPC_H
#define SYNOD_NET_GRPC_H

/*
 * grpc.h - gRPC over HTTP/2 (nghttp2), both ends, without I/O: bytes in, calls out; answers in,
 * bytes out.
 *
 * It knows nothing of keys, values or sockets. One `struct grpc` is one connection, server or
 * client side; calls are named by an id that is never reused within the connection, so an answer
 * for a call whose client vanished is simply not found. All streaming shapes are supported: a call
 * carries any number of messages each way. Loop thread only.
 *
 * Callbacks run inside grpc_feed, and on_end also inside grpc_output and grpc_free; they may call
 * any function here except grpc_free, grpc_feed, grpc_output and grpc_sent.
 *
 * What the pump does: feed what it read; once per loop turn, and again whenever a write is done,
 * write grpc_output and tell grpc_sent until the output is empty; close when grpc_finished. There
 * is no clock in here: deadlines, keepalive and the patience of a shutdown are the owner's.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/bytes.h"
#include "base/err.h"

/* gRPC status codes (grpc/doc/statuscodes.md). */
enum grpc_status {
    GRPC_OK = 0,
    GRPC_CANCELED = 1,
    GRPC_UNKNOWN = 2,
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_NOT_FOUND = 5,
    GRPC_ALREADY_EXISTS = 6,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_FAILED_PRECONDITION = 9,
    GRPC_ABORTED = 10,
    GRPC_OUT_OF_RANGE = 11,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_DATA_LOSS = 15,
    GRPC_UNAUTHENTICATED = 16,
};

/* "ResourceExhausted": the name as etcd's clients print it; "Code(n)" has no name: "Unknown". */
const char *grpc_status_name(int status);

struct grpc;

struct grpc_metadata {
    struct bytes name;  /* lower case */
    struct bytes value; /* as on the wire: "-bin" values are still base64 */
};

/* What a call began with (server side). Borrowed for the callback. */
struct grpc_begin {
    uint32_t call;
    struct bytes path;                    /* "/etcdserverpb.KV/Range" */
    uint64_t timeout_us;                  /* grpc-timeout; UINT64_MAX: none */
    const struct grpc_metadata *metadata; /* without pseudo, grpc- and HTTP's own headers */
    uint32_t metadata_count;
};

/* A callback that is NULL is not called. */
struct grpc_callbacks {
    /* Server: a call begins. Its user pointer can be set with grpc_call_set_user. */
    void (*on_begin)(void *ctx, struct grpc *g, const struct grpc_begin *begin);
    /* Both: one whole message. Borrowed; take a reference to keep it. */
    void (*on_message)(void *ctx, struct grpc *g, uint32_t call, struct blob *message);
    /* Server: the client has sent its last message. */
    void (*on_half_close)(void *ctx, struct grpc *g, uint32_t call);
    /*
     * The last callback of a call; its id is not found any more, its user pointer is still read by
     * grpc_call_user during the callback.
     * Server: the call ended without a status of the owner's: GRPC_CANCELED when the client reset
     * it or the connection is gone, or the status that was sent for broken or oversize input.
     * Client: the status arrived, or the call broke (GRPC_UNAVAILABLE, or what the code of the
     * reset means); `refused` says that the server certainly never saw it (GOAWAY, REFUSED_STREAM,
     * not sent yet).
     */
    void (*on_end)(void *ctx, struct grpc *g, uint32_t call, int status, struct bytes text,
                   bool refused);
    /* Client: the server is going away; no new calls on this connection. May come twice. */
    void (*on_goaway)(void *ctx, struct grpc *g);
    void *ctx;
};

struct grpc_limits {
    uint32_t message_max; /* bytes of a received message: beyond, the call ends with
                             ResourceExhausted "grpc: received message larger than max (N vs. M)" */
    uint32_t streams_max; /* concurrent calls of a connection */
    uint32_t headers_max; /* bytes of a header list, counted as HTTP/2 does: 32 more per header */
    size_t output_max;    /* bytes waiting for output beyond which grpc_send answers ERR_LIMIT; a
                             single message may be larger */
    uint32_t window;      /* flow control window of streams and connection, 65535 to 2^31-1 */
};

/* Defaults: 2 MiB messages (etcd's), 1024 calls, 16 KiB headers, 64 MiB output, 1 MiB window. */
void grpc_limits_init(struct grpc_limits *l);

/* A server's connection. `callbacks` and `limits` are copied. Errors: ERR_INVALID (limits). */
int grpc_new_server(const struct grpc_callbacks *callbacks, const struct grpc_limits *limits,
                    struct grpc **ret_grpc) MUST_USE;

/* A client's connection. authority: "host:port" for :authority. As grpc_new_server. */
int grpc_new_client(const struct grpc_callbacks *callbacks, const struct grpc_limits *limits,
                    const char *authority, struct grpc **ret_grpc) MUST_USE;

/* Frees (NULL legal); on_end is called for every open call first (server: canceled; client:
 * unavailable). */
void grpc_free(struct grpc *g);

/*
 * Received bytes. Most protocol errors are no error here: they end in a GOAWAY in the output, and
 * after it the connection is finished.
 * Errors: ERR_MALFORMED (not HTTP/2: flush what grpc_output gives, then close), ERR_LIMIT (a flood,
 * or the owner reached output_max: close), ERR_CLOSED (the connection ended by an earlier error;
 * nothing is read any more).
 */
int grpc_feed(struct grpc *g, struct bytes in) MUST_USE;

/*
 * Bytes to be sent, collected over everything that was submitted, about 256 KiB at a time: after
 * the last byte is sent there may be more, so go on until it is empty. Valid until the next
 * grpc_output, grpc_sent or grpc_free: grpc_feed and new answers do not move it, so a write may be
 * under way meanwhile. Empty when nothing is to be sent.
 */
struct bytes grpc_output(struct grpc *g);

/* The first `n` bytes of the output are gone. */
void grpc_sent(struct grpc *g, size_t n);

/* Nothing more will come or go: close the socket. */
bool grpc_finished(const struct grpc *g);
/* Nothing more goes in or out, so what the socket has not taken yet need not wait: close at once.
 */
bool grpc_broken(const struct grpc *g);

/*
 * Server: sends a message on a call. The blob is referenced until it is in the output, which
 * happens in pieces of at most a frame (16 KiB) as the client's flow control allows.
 * Errors: ERR_NOT_FOUND (call is gone), ERR_LIMIT (output_max: the client does not read; the
 * connection is finished, close it).
 */
int grpc_send(struct grpc *g, uint32_t call, struct blob *message) MUST_USE;

/*
 * Server: ends a call. text: NULL or "" for none; percent-encoded on the wire. Without a message
 * before it is one HEADERS frame. What was sent before still arrives before.
 * Errors: ERR_NOT_FOUND (call is gone).
 */
int grpc_finish(struct grpc *g, uint32_t call, int status, const char *text) MUST_USE;

/* Server: message and OK in one go, the common case. Errors: as grpc_send. */
int grpc_reply(struct grpc *g, uint32_t call, struct blob *message) MUST_USE;

/* Server: graceful shutdown: GOAWAY with the highest id, a PING round trip, then the real GOAWAY;
 * grpc_finished() once calls are done. A second call does nothing. */
void grpc_shutdown(struct grpc *g);

/*
 * Client: begins a call. timeout_us: UINT64_MAX for none. user: may be NULL. The other end sees it
 * with the next output.
 * Errors: ERR_LIMIT (peer's concurrent streams, or ours), ERR_CLOSED (going away or broken).
 */
int grpc_call(struct grpc *g, const char *path, uint64_t timeout_us,
              const struct grpc_metadata *metadata, uint32_t metadata_count, void *user,
              uint32_t *ret_call) MUST_USE;

/*
 * Client: a message on it; last: half-close with it. message may be NULL with last.
 * Errors: ERR_NOT_FOUND (call is gone), ERR_CLOSED (after last), ERR_LIMIT (output_max).
 */
int grpc_call_send(struct grpc *g, uint32_t call, struct blob *message, bool last) MUST_USE;

/* Both: RST_STREAM; on_end is not called. A call that is gone is legal. */
void grpc_cancel(struct grpc *g, uint32_t call);

/* Remembers a pointer with the call, also when grpc_broken; a call that is gone is legal. */
void grpc_call_set_user(struct grpc *g, uint32_t call, void *user);
void *grpc_call_user(const struct grpc *g, uint32_t call); /* NULL when the call is gone */

/* Calls of the connection whose stream is not closed yet, finished ones with unsent output too. */
uint32_t grpc_calls(const struct grpc *g);

/* Bytes that wait for output: of the connection, and of one call (0 when it is gone). A streaming
 * owner looks here before it sends more. */
size_t grpc_queued(const struct grpc *g);
size_t grpc_call_queued(const struct grpc *g, uint32_t call);

/* Both: keepalive. Sends a PING; grpc_pings_pending counts those not answered yet. */
void grpc_ping(struct grpc *g);
uint32_t grpc_pings_pending(const struct grpc *g);

#endif
