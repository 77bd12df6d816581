/*
 * client_impl.h - the inside of the client; private to kv/client.c, client_op.c and client_retry.c.
 *
 *     submit -> WAITING (for a connection, or for the answer to "are you Synod?")
 *                  -> SENT -> answered -> DONE (waits for the prepare phase) -> GIVEN
 *                       `-> broke, Unavailable, no answer in time -> next endpoint, or
 *     PAUSED (all endpoints were tried: back-off) -> submit
 *
 * client.c has the loop and the life cycle, client_op.c one call and its sending, client_retry.c
 * what happens when it does not go well.
 */
#ifndef SYNOD_KV_CLIENT_IMPL_H
#define SYNOD_KV_CLIENT_IMPL_H

#include "base/assert.h"
#include "base/list.h"
#include "base/map.h"
#include "base/rng.h"
#include "kv/client.h"
#include "kv/client_conn.h"
#include "kv/timer_wheel.h"

enum {
    CLIENT_TEXT_MAX = 512,
    CLIENT_REASON_MAX = 256,
};

STATIC_ASSERT(CLIENT_ENDPOINTS_MAX <= 32, "sets of endpoints are 32 bits");

enum client_op_state { OP_WAITING, OP_SENT, OP_PAUSED, OP_DONE, OP_GIVEN };
enum client_timer { TIMER_OP, TIMER_STEP, TIMER_SERVER };
enum client_server_kind { SERVER_UNKNOWN, SERVER_ETCD, SERVER_SYNOD };

/* A session of the server's: names one write at a time. */
struct client_session {
    struct list_node node; /* in client.sessions when free */
    uint64_t id;
    uint64_t sequence; /* of the next write */
};

/* A call. */
struct client_op {
    struct client *client;
    uint64_t id;
    struct list_node node; /* in client_server.waiting or client.done */
    struct client_request request;
    bool probe; /* our own question whether it is Synod */

    uint8_t state; /* enum client_op_state */
    bool maybe;    /* a write that was sent and may be applied */
    int32_t endpoint;
    uint32_t tried;       /* set: failed there in this round */
    uint32_t unreachable; /* set: could not connect there since the call began */
    uint32_t rounds;
    struct grpc *grpc; /* OP_SENT */
    uint32_t grpc_call;
    uint64_t deadline_us;
    struct timer timer; /* the deadline */
    struct timer step;  /* the attempt's, or the pause's */
    struct client_session *session;

    struct client_result result;
    char text[CLIENT_TEXT_MAX];
};

/* An endpoint. */
struct client_server {
    struct client *client;
    uint32_t index;
    struct client_conn *conn;
    struct list waiting; /* of calls */
    uint8_t kind;        /* enum client_server_kind, of this connection */
    bool probing;
    uint32_t failures;              /* to connect, in a row */
    char reason[CLIENT_REASON_MAX]; /* why the last connection ended */
    struct timer retry;             /* set: no attempt to connect before it fires */
};

struct client_handles; /* of libuv */

struct client {
    struct client_options options;
    struct uv_loop_s *loop;
    struct client_handles *handles;
    uint32_t open; /* handles and connections that keep this alive */
    bool closing;
    void (*on_closed)(void *ctx);
    void *closed_ctx;

    struct timer_wheel wheel;
    struct rng rng;
    struct client_server servers[CLIENT_ENDPOINTS_MAX];
    uint32_t servers_count;
    uint32_t current; /* server that is asked first */

    uint64_t next_id;
    struct map ops; /* by id; probes too */
    uint32_t probes;
    struct list done;     /* results to be given out */
    struct list sessions; /* free ones */
};

/* ---- client.c ---- */

/* Monotonic. */
uint64_t client_now_us(void);

/* ---- client_op.c ---- */

/* Makes a call and sets its deadline; it is found by its id from then on. */
struct client_op *client_op_new(struct client *c, const struct client_request *request);
/* Sends it, or lets it wait for a connection or a pause. */
void client_op_submit(struct client_op *op);
/* It is over: its result waits for the prepare phase. */
void client_op_finish(struct client_op *op, uint8_t outcome, bool unknown);
/* Forgets it without a result. */
void client_op_drop(struct client_op *op);
void client_op_free(struct client_op *op);
/* What its result will say; a longer text is cut. */
void client_op_text(struct client_op *op, struct bytes text);
/* Takes the name away from a write: the next attempt gets another one. */
void client_op_rename(struct client_op *op);

/* The set of one endpoint. */
static inline uint32_t client_bit(int32_t endpoint)
{
    return UINT32_C(1) << endpoint;
}

/* Sends what waits there, as far as it may and can be sent now. */
void client_server_send(struct client_server *e);
/* Asks a connection whether it is Synod, beside whatever else goes there. */
void client_server_probe(struct client_server *e);

/* With jitter; doubles with each failure in a row. */
uint64_t client_backoff_us(struct client *c, uint32_t failures);

/* ---- client_retry.c ---- */

/* Timers. */
void client_op_attempt_timed_out(struct client_op *op);
void client_op_timed_out(struct client_op *op);

/* Callbacks of connections; ctx is a struct client_server. */
void client_on_up(void *ctx);
void client_on_down(void *ctx, bool was_up, const char *reason);
/* Callbacks of gRPC; the call's user pointer is a struct client_op, or NULL: not wanted any more.
 */
void client_on_message(void *ctx, struct grpc *g, uint32_t call, struct blob *message);
void client_on_end(void *ctx, struct grpc *g, uint32_t call, int status, struct bytes text,
                   bool refused);

#endif
