/*
 * client.h - an etcd v3 client over net/grpc and libuv: several endpoints, deadlines, retry.
 *
 * Calls are asynchronous; struct client_blocking below wraps them for programs that do one thing at
 * a time. It knows paths and bytes, not messages: encode and decode with proto/wire_kv.
 *
 * One connection per endpoint, made when it is needed. Calls go to the current endpoint until it
 * fails; a program that wants several connections makes several clients. What is submitted in one
 * loop turn leaves with one write.
 *
 * Retry. A read is sent again, at another endpoint, when an attempt breaks, is answered Unavailable
 * or gets no answer in attempt_ms. A write is sent again when the server certainly never applied
 * it; and when it may have, only to a Synod server: there each write carries a session (of 64
 * random bits, bit 63 set) and a sequence (from 1), a repetition carries the same two, and the
 * cluster applies it once. A plain etcd is recognised by its version and gets no second copy. A
 * session has one write under way; writes side by side take one each. A session whose last write
 * did not end well is not used again.
 *
 * Loop thread only. The process ignores SIGPIPE.
 */
#ifndef SYNOD_KV_CLIENT_H
#define SYNOD_KV_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/blob.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"

struct uv_loop_s;
struct client;

/* Methods, for `path`. */
#define CLIENT_RANGE "/etcdserverpb.KV/Range"
#define CLIENT_PUT "/etcdserverpb.KV/Put"
#define CLIENT_DELETE "/etcdserverpb.KV/DeleteRange"
#define CLIENT_TXN "/etcdserverpb.KV/Txn"
#define CLIENT_COMPACT "/etcdserverpb.KV/Compact"
#define CLIENT_STATUS "/etcdserverpb.Maintenance/Status"
#define CLIENT_MEMBERS "/etcdserverpb.Cluster/MemberList"

enum { CLIENT_ENDPOINTS_MAX = 32, CLIENT_ANY = -1 };

struct client_options {
    const char *const *endpoints; /* "host:port", "http://host:port", "[::1]:port"; copied */
    uint32_t endpoints_count;
    uint32_t first;          /* where to begin: index of an endpoint */
    uint64_t connect_ms;     /* of one attempt to connect */
    uint64_t attempt_ms;     /* without an answer for so long: try elsewhere; 0: a share of the
                                call's timeout */
    uint64_t backoff_min_ms; /* between two rounds over the endpoints, doubling, with jitter */
    uint64_t backoff_max_ms;
    bool retry;          /* false: each call is sent once, as for measuring */
    uint64_t seed;       /* sessions and jitter; give every process another one */
    uint32_t answer_max; /* bytes of one answer */
};

/* Defaults for everything but endpoints and seed: connect 2 s, back-off 20 ms to 1 s, retry,
 * answers of up to 256 MiB. */
void client_options_init(struct client_options *o);

enum client_outcome {
    CLIENT_OK,          /* answered: message */
    CLIENT_REFUSED,     /* the server said no: status, text. Not applied, unless `unknown` */
    CLIENT_UNREACHABLE, /* no endpoint could be reached. Certainly not applied */
    CLIENT_TIMED_OUT,   /* no answer in time; `unknown` says whether a write may be applied */
};

/* Borrowed for the callback, but for what a reference is taken of. */
struct client_result {
    uint8_t outcome; /* enum client_outcome */
    bool unknown;    /* a write that may be applied, now or later */
    int status; /* enum grpc_status: the server's last word, or Unavailable, DeadlineExceeded */
    const char *text;     /* never NULL: the server's, or what went wrong on the way */
    struct blob *message; /* CLIENT_OK: the answer, else NULL */
    int32_t endpoint;     /* index of the one that answered or was tried last; -1: none */
    uint32_t attempts;    /* times it was sent */
};

struct client_request {
    const char *path;     /* static storage */
    struct blob *message; /* encoded; a reference is taken */
    bool write;           /* changes something: see "Retry" above */
    uint64_t timeout_ms;  /* for all attempts together; above 0 */
    int32_t endpoint;     /* CLIENT_ANY, or only this one */
    void (*on_done)(void *ctx, const struct client_result *result);
    void *ctx;
};

/*
 * Makes a client on `loop`, which stays alive until client_close. `error` (NULL legal) gets one
 * line. What a failed call has to close is closed by the next turns of the loop.
 * Errors: ERR_INVALID (an endpoint does not parse, or there is none or too many).
 */
MUST_USE int client_new(struct uv_loop_s *loop, const struct client_options *options,
                        struct client **ret_client, struct buf *error);

/* Ends all calls (without on_done) and closes; on_closed (NULL legal) comes from the loop when the
 * last handle is gone and the client is freed. Legal in on_done. */
void client_close(struct client *c, void (*on_closed)(void *ctx), void *ctx);

/* Begins a call; on_done comes later, exactly once, from the loop, never from in here. The result
 * names the call for client_cancel. */
uint64_t client_call(struct client *c, const struct client_request *request);

/* Drops a call: no on_done. A write may be applied all the same. One that ended is legal. */
void client_cancel(struct client *c, uint64_t call);

/* Calls under way. */
uint32_t client_calls(const struct client *c);

/* As given, without the scheme. */
const char *client_endpoint(const struct client *c, uint32_t index);
uint32_t client_endpoints(const struct client *c);

/* ---- One thing at a time ---- */

/* A loop with a client on it. */
struct client_blocking;

MUST_USE int client_blocking_new(const struct client_options *options,
                                 struct client_blocking **ret_blocking, struct buf *error);
void client_blocking_free(struct client_blocking *b); /* NULL is legal */

/*
 * Makes `count` calls side by side and returns when all have ended. on_done and ctx of the requests
 * are ignored. ret_results: texts and messages live until the next call or the free.
 */
void client_blocking_call(struct client_blocking *b, const struct client_request *requests,
                          uint32_t count, struct client_result *ret_results);

/* The client inside, for its names of endpoints. */
struct client *client_blocking_client(struct client_blocking *b);

/* Waits `ms` in the loop's timer; for polling with a deadline. Returns the loop's time in ms. */
uint64_t client_blocking_wait(struct client_blocking *b, uint64_t ms);

#endif
