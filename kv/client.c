/*
 * client.c - calls, their deadlines and their repetition: see client.h.
 *
 *     submit -> WAITING (for a connection, or for the answer to "are you Synod?")
 *                  -> SENT -> answered -> result
 *                       `-> broke, Unavailable, no answer in time -> next endpoint, or
 *     PAUSED (all endpoints were tried: back-off) -> submit
 *
 * All results are given out in one place, the loop's prepare phase, which also does the flush: no
 * user's function runs inside a callback of gRPC or of a socket.
 */
#include "kv/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/rng.h"
#include "kv/client_conn.h"
#include "kv/timer_wheel.h"
#include "proto/wire_kv.h"

enum {
    CALLS_MAX = 1 << 24,
    STREAMS_MAX = 1 << 20, /* the server's limit is the real one */
    ATTEMPT_MIN_MS = 250,
    PROBE_TIMEOUT_MS = 2000,
    PROBE_ARENA = 64 * 1024,
    TEXT_MAX = 512,
    REASON_MAX = 256,
    BACKOFF_SHIFT_MAX = 16,
};

STATIC_ASSERT(CLIENT_ENDPOINTS_MAX <= 32, "sets of endpoints are 32 bits");

enum call_state { CALL_WAITING, CALL_SENT, CALL_PAUSED, CALL_DONE, CALL_GIVEN };
enum timer_kind { TIMER_CALL, TIMER_STEP, TIMER_ENDPOINT };
enum server_kind { SERVER_UNKNOWN, SERVER_ETCD, SERVER_SYNOD };

/* A session of the server's: names one write at a time. */
struct session {
    struct list_node node; /* in client.sessions when free */
    uint64_t id;
    uint64_t sequence; /* of the next write */
};

struct call {
    struct client *client;
    uint64_t id;
    struct list_node node; /* in endpoint.waiting or client.done */
    struct client_request request;
    bool probe; /* our own question whether it is Synod */

    uint8_t state; /* enum call_state */
    bool maybe;    /* a write that was sent and may be applied */
    int32_t endpoint;
    uint32_t tried;       /* set: failed there in this round */
    uint32_t unreachable; /* set: could not connect there since the call began */
    uint32_t rounds;
    struct grpc *grpc; /* CALL_SENT */
    uint32_t grpc_call;
    uint64_t deadline_us;
    struct timer timer; /* the deadline */
    struct timer step;  /* the attempt's, or the pause's */
    struct session *session;

    struct client_result result;
    char text[TEXT_MAX];
};

struct endpoint {
    struct client *client;
    uint32_t index;
    struct client_conn *conn;
    struct list waiting; /* calls */
    uint8_t kind;        /* enum server_kind, of this connection */
    bool probing;
    uint32_t failures;       /* to connect, in a row */
    char reason[REASON_MAX]; /* why the last connection ended */
    struct timer retry;      /* set: no attempt to connect before it fires */
};

struct client {
    struct client_options options;
    uv_loop_t *loop;
    uv_prepare_t prepare;
    uv_timer_t timer;
    struct timer_wheel wheel;
    struct rng rng;
    struct endpoint endpoints[CLIENT_ENDPOINTS_MAX];
    uint32_t endpoints_count;
    uint32_t current;
    uint32_t handles;
    bool closing;
    uint64_t next_id;
    struct map calls; /* by id; probes too */
    uint32_t probes;
    struct list done;
    struct list sessions;
    void (*on_closed)(void *ctx);
    void *closed_ctx;
};

static void submit(struct call *call);

static uint64_t now_us(void)
{
    return uv_hrtime() / 1000;
}

static uint32_t bit(int32_t endpoint)
{
    return UINT32_C(1) << endpoint;
}

/* ---- Sessions ---- */

static struct session *session_take(struct client *c)
{
    struct list_node *node = list_pop_front(&c->sessions);
    struct session *s;

    if (node != NULL) {
        return list_entry(node, struct session, node);
    }
    s = xcalloc(1, sizeof(*s));
    s->id = rng_u64(&c->rng) | UINT64_C(1) << 63;
    s->sequence = 1;
    return s;
}

/* A write that was answered leaves its session ready for the next one; otherwise nobody knows what
 * the session has seen, and it is dropped. */
static void session_give(struct client *c, struct session *s, bool answered)
{
    if (s == NULL) {
        return;
    }
    if (!answered) {
        free(s);
        return;
    }
    s->sequence++;
    list_push_back(&c->sessions, &s->node);
}

/* ---- Calls ---- */

static void call_unlink(struct call *call)
{
    struct client *c = call->client;

    timer_clear(&c->wheel, &call->timer);
    timer_clear(&c->wheel, &call->step);
    if (list_node_linked(&call->node)) {
        list_remove(&call->node);
    }
    if (call->grpc != NULL) {
        grpc_call_set_user(call->grpc, call->grpc_call, NULL);
        grpc_cancel(call->grpc, call->grpc_call);
        call->grpc = NULL;
    }
}

static void call_free(struct call *call)
{
    struct client *c = call->client;
    void *removed = map_remove(&c->calls, call->id);

    ASSERT(removed == call);
    c->probes -= call->probe;
    session_give(c, call->session, call->result.outcome == CLIENT_OK);
    blob_unref(call->request.message);
    blob_unref(call->result.message);
    free(call);
}

static void set_text(struct call *call, struct bytes text)
{
    size_t size = text.size < TEXT_MAX - 1 ? text.size : TEXT_MAX - 1;

    if (size > 0) {
        memcpy(call->text, text.data, size);
    }
    call->text[size] = '\0';
}

/* What the answer says of the server; at once, for the failures that arrive with it. */
static void probe_done(struct call *call)
{
    struct endpoint *e = &call->client->endpoints[call->request.endpoint];
    struct api_status status;
    struct arena arena;

    e->probing = false;
    if (call->result.outcome != CLIENT_OK) {
        /* Gone or hanging: nothing was learned. A server that answered and has no Status is not
         * ours. */
        if (call->result.outcome == CLIENT_REFUSED && call->result.status != GRPC_UNAVAILABLE) {
            e->kind = SERVER_ETCD;
        }
        return;
    }
    arena_init(&arena, 1024, PROBE_ARENA);
    e->kind = SERVER_ETCD;
    if (wire_status_decode(blob_bytes(call->result.message), &arena, NULL, &status) == OK &&
        memmem(status.version.data, status.version.size, "+synod.", 7) != NULL) {
        e->kind = SERVER_SYNOD;
    }
    arena_release(&arena);
}

/* The call is over; its result waits for the prepare phase. */
static void finish(struct call *call, uint8_t outcome, bool unknown)
{
    struct client *c = call->client;

    call_unlink(call);
    call->state = CALL_DONE;
    call->result.outcome = outcome;
    call->result.unknown = unknown;
    call->result.text = call->text;
    if (call->probe) {
        probe_done(call);
    }
    list_push_back(&c->done, &call->node);
}

static struct call *call_new(struct client *c, const struct client_request *request)
{
    struct call *call = xcalloc(1, sizeof(*call));

    call->client = c;
    call->id = c->next_id++;
    call->request = *request;
    call->request.message = blob_ref(request->message);
    call->endpoint = -1;
    call->result.endpoint = -1;
    call->result.status = GRPC_UNAVAILABLE;
    call->deadline_us = now_us() + request->timeout_ms * 1000;
    call->timer.kind = TIMER_CALL;
    call->step.kind = TIMER_STEP;
    timer_set(&c->wheel, &call->timer, call->deadline_us);
    return call;
}

uint64_t client_call(struct client *c, const struct client_request *request)
{
    struct call *call;
    int err;

    ASSERT(!c->closing);
    ASSERT(request->timeout_ms > 0);
    ASSERT(request->endpoint < (int32_t) c->endpoints_count);
    call = call_new(c, request);
    err = map_put(&c->calls, call->id, call);
    ASSERT(err == OK); /* CALLS_MAX calls at once is the program's fault */
    submit(call);
    return call->id;
}

/* Without a result. */
static void call_drop(struct call *call)
{
    call_unlink(call);
    call->result.outcome = CLIENT_TIMED_OUT; /* its session is not used again */
    call_free(call);
}

void client_cancel(struct client *c, uint64_t id)
{
    struct call *call = map_get(&c->calls, id);

    if (call != NULL && call->state != CALL_GIVEN) {
        call_drop(call);
    }
}

uint32_t client_calls(const struct client *c)
{
    return (uint32_t) map_size(&c->calls) - c->probes;
}

const char *client_endpoint(const struct client *c, uint32_t index)
{
    ASSERT(index < c->endpoints_count);
    return client_conn_name(c->endpoints[index].conn);
}

uint32_t client_endpoints(const struct client *c)
{
    return c->endpoints_count;
}

/* ---- Sending ---- */

static uint64_t attempt_us(const struct call *call)
{
    const struct client *c = call->client;
    uint64_t share = call->request.timeout_ms / (c->endpoints_count + 1);

    if (c->options.attempt_ms > 0) {
        return c->options.attempt_ms * 1000;
    }
    return u64_max(share, ATTEMPT_MIN_MS) * 1000;
}

/* Two numbers as metadata; they tell the server which write this is. */
struct session_metadata {
    struct grpc_metadata headers[2];
    char id[24];
    char sequence[24];
};

static void session_metadata(const struct session *s, struct session_metadata *m)
{
    (void) snprintf(m->id, sizeof(m->id), "%llu", (unsigned long long) s->id);
    (void) snprintf(m->sequence, sizeof(m->sequence), "%llu", (unsigned long long) s->sequence);
    m->headers[0] = (struct grpc_metadata){bytes_str("synod-session"), bytes_str(m->id)};
    m->headers[1] = (struct grpc_metadata){bytes_str("synod-sequence"), bytes_str(m->sequence)};
}

/* OK, or the call could not be put on this connection now. */
static int call_begin(struct call *call, struct grpc *g)
{
    struct session_metadata metadata;
    uint64_t now = now_us();
    uint64_t left = call->deadline_us > now ? call->deadline_us - now : 1;
    uint32_t count = 0;
    uint32_t id = 0;
    int err;

    if (call->request.write) {
        if (call->session == NULL) {
            call->session = session_take(call->client);
        }
        session_metadata(call->session, &metadata);
        count = 2;
    }
    err = grpc_call(g, call->request.path, left, metadata.headers, count, call, &id);
    if (err != OK) {
        return err;
    }
    err = grpc_call_send(g, id, call->request.message, true);
    if (err != OK) {
        grpc_call_set_user(g, id, NULL);
        grpc_cancel(g, id);
        return err;
    }
    call->grpc = g;
    call->grpc_call = id;
    return OK;
}

/* Whether the call may go to this server: a write that may be applied already is repeated only
 * where that is known to be harmless. */
static bool may_send(struct call *call, const struct endpoint *e)
{
    return !call->maybe || e->kind == SERVER_SYNOD;
}

/* Sends on an endpoint that is up, or leaves the call waiting there. */
static void send_or_wait(struct call *call, struct endpoint *e)
{
    struct client *c = call->client;
    struct grpc *g = client_conn_grpc(e->conn);

    ASSERT(call->state == CALL_WAITING && list_node_linked(&call->node));
    if (call->maybe && e->kind == SERVER_ETCD) {
        finish(call, CLIENT_REFUSED, true);
        return;
    }
    if (g == NULL || !may_send(call, e) || call_begin(call, g) != OK) {
        return;
    }
    list_remove(&call->node);
    timer_clear(&c->wheel, &call->step);
    call->state = CALL_SENT;
    call->result.attempts++;
    call->result.endpoint = call->endpoint;
    if (c->options.retry && c->endpoints_count > 1 && call->request.endpoint < 0) {
        timer_set(&c->wheel, &call->step, now_us() + attempt_us(call));
    }
}

static void endpoint_send(struct endpoint *e)
{
    LIST_FOR_EACH_SAFE(&e->waiting, node, after) {
        struct call *call = list_entry(node, struct call, node);

        send_or_wait(call, e);
        if (call->state == CALL_WAITING && may_send(call, e)) {
            return; /* the connection is full */
        }
    }
}

/* The endpoint to try next, or -1: each was tried in this round. */
static int32_t pick(const struct call *call)
{
    const struct client *c = call->client;
    int32_t first = -1;

    if (call->request.endpoint >= 0) {
        return (call->tried & bit(call->request.endpoint)) == 0 ? call->request.endpoint : -1;
    }
    for (uint32_t i = 0; i < c->endpoints_count; i++) {
        int32_t e = (int32_t) ((c->current + i) % c->endpoints_count);

        if ((call->tried & bit(e)) != 0) {
            continue;
        }
        if (client_conn_grpc(c->endpoints[e].conn) != NULL) {
            return e;
        }
        if (first < 0) {
            first = e;
        }
    }
    return first;
}

static uint64_t backoff_us(struct client *c, uint32_t failures)
{
    uint64_t shift = u64_min(failures, BACKOFF_SHIFT_MAX);
    uint64_t ms = u64_min(c->options.backoff_min_ms << shift, c->options.backoff_max_ms);

    return rng_between(&c->rng, ms * 500, ms * 1000);
}

/* Asks a connection whether it is Synod, beside whatever else goes there. */
static void probe_send(struct endpoint *e)
{
    struct client *c = e->client;
    struct blob *empty;
    struct call *call;
    int err;

    if (e->probing) {
        return;
    }
    empty = blob_new(0); /* a StatusRequest has no fields */
    call = call_new(c, &(struct client_request){
                           .path = CLIENT_STATUS,
                           .message = empty,
                           .timeout_ms = PROBE_TIMEOUT_MS,
                           .endpoint = (int32_t) e->index,
                       });
    blob_unref(empty);
    err = map_put(&c->calls, call->id, call);
    ASSERT(err == OK);
    e->probing = true;
    call->probe = true;
    c->probes++;
    call->state = CALL_WAITING;
    call->endpoint = (int32_t) e->index;
    list_push_front(&e->waiting, &call->node);
}

/* A write that may be applied already waits until the server is known, and not for ever. */
static void ask_kind(struct call *call, struct endpoint *e)
{
    if (e->kind == SERVER_UNKNOWN) {
        probe_send(e);
        timer_set(&call->client->wheel, &call->step, now_us() + attempt_us(call));
    }
}

static void submit(struct call *call)
{
    struct client *c = call->client;
    int32_t index = pick(call);
    struct endpoint *e;

    if (index < 0) {
        call->tried = 0;
        call->state = CALL_PAUSED;
        timer_set(&c->wheel, &call->step, now_us() + backoff_us(c, call->rounds++));
        return;
    }
    e = &c->endpoints[index];
    call->endpoint = index;
    call->state = CALL_WAITING;
    list_push_back(&e->waiting, &call->node);
    if (client_conn_grpc(e->conn) != NULL) {
        if (!may_send(call, e)) {
            ask_kind(call, e);
        }
        send_or_wait(call, e);
    } else if (!timer_is_set(&e->retry)) {
        client_conn_connect(e->conn);
    }
}

/* ---- Failures ---- */

/* The server's "no leader" is given before a write was handed on (K3 in properties.md). */
static bool certainly_not_applied(const struct call *call, bool refused)
{
    const struct endpoint *e = &call->client->endpoints[call->endpoint];

    return refused || (e->kind == SERVER_SYNOD && strcmp(call->text, "etcdserver: no leader") == 0);
}

/* The attempt ended without an answer that settles it. The text is set. */
static void attempt_failed(struct call *call, bool certain)
{
    struct client *c = call->client;
    const struct endpoint *e = &c->endpoints[call->endpoint];

    timer_clear(&c->wheel, &call->step);
    if (call->request.write && !certain) {
        call->maybe = true;
    }
    if (!c->options.retry || call->probe || (call->maybe && e->kind == SERVER_ETCD)) {
        finish(call, CLIENT_REFUSED, call->maybe);
        return;
    }
    if (c->current == e->index) {
        c->current = (c->current + 1) % c->endpoints_count;
    }
    call->tried |= bit(call->endpoint);
    submit(call);
}

static bool session_expired(const struct call *call)
{
    return call->session != NULL && call->result.status == GRPC_FAILED_PRECONDITION &&
           strncmp(call->text, "synod: session expired", 22) == 0;
}

/* The server answered with a status that is not OK. */
static void answered_no(struct call *call)
{
    struct client *c = call->client;

    if (session_expired(call)) {
        /* The server forgot the session. When this was the only copy, it was not applied: go on
         * under a new name. */
        if (!call->maybe && call->session->sequence > 1 && c->options.retry) {
            session_give(c, call->session, false);
            call->session = NULL;
            submit(call);
            return;
        }
        finish(call, CLIENT_REFUSED, call->maybe);
        return;
    }
    switch (call->result.status) {
    case GRPC_INVALID_ARGUMENT:
    case GRPC_NOT_FOUND:
    case GRPC_FAILED_PRECONDITION:
    case GRPC_OUT_OF_RANGE:
        /* The rules of the request itself: the same for every copy of it. */
        finish(call, CLIENT_REFUSED, false);
        return;
    case GRPC_DEADLINE_EXCEEDED:
    case GRPC_CANCELED:
        finish(call, CLIENT_TIMED_OUT, call->request.write);
        return;
    default:
        finish(call, CLIENT_REFUSED, call->maybe);
        return;
    }
}

static void on_message(void *ctx, struct grpc *g, uint32_t id, struct blob *message)
{
    struct call *call = grpc_call_user(g, id);

    (void) ctx;
    if (call != NULL && call->result.message == NULL) {
        call->result.message = blob_ref(message);
    }
}

static void on_end(void *ctx, struct grpc *g, uint32_t id, int status, struct bytes text,
                   bool refused)
{
    struct call *call = grpc_call_user(g, id);
    const struct endpoint *e;

    (void) ctx;
    if (call == NULL) {
        return;
    }
    ASSERT(call->state == CALL_SENT && call->grpc == g);
    e = &call->client->endpoints[call->endpoint];
    call->grpc = NULL;
    timer_clear(&call->client->wheel, &call->step);
    call->result.status = status;
    if (status == GRPC_OK && call->result.message != NULL) {
        finish(call, CLIENT_OK, false);
        return;
    }
    blob_unref(call->result.message);
    call->result.message = NULL;
    set_text(call, text);
    if (status == GRPC_UNAVAILABLE && client_conn_grpc(e->conn) != g && e->reason[0] != '\0') {
        set_text(call, bytes_str(e->reason)); /* says more than "lost" */
    }
    if (status == GRPC_OK) {
        call->result.status = GRPC_INTERNAL;
        set_text(call, bytes_str("the answer has no message"));
        finish(call, CLIENT_REFUSED, call->request.write);
    } else if (status == GRPC_UNAVAILABLE || refused) {
        attempt_failed(call, certainly_not_applied(call, refused));
    } else {
        answered_no(call);
    }
}

/* No answer in time: the node hangs, or is cut off from its leader. */
static void attempt_timed_out(struct call *call)
{
    const struct endpoint *e = &call->client->endpoints[call->endpoint];

    if (call->request.write && e->kind != SERVER_SYNOD) {
        return; /* a second copy could be applied too: wait on */
    }
    grpc_call_set_user(call->grpc, call->grpc_call, NULL);
    grpc_cancel(call->grpc, call->grpc_call);
    call->grpc = NULL;
    set_text(call, bytes_str("no answer"));
    call->result.status = GRPC_DEADLINE_EXCEEDED;
    attempt_failed(call, false);
}

static void call_timed_out(struct call *call)
{
    bool unknown = call->maybe || (call->request.write && call->state == CALL_SENT);
    char before[TEXT_MAX];

    if (call->text[0] == '\0') {
        set_text(call, bytes_str(call->result.attempts == 0 ? "no connection" : "no answer"));
    } else if (call->state == CALL_SENT) {
        memcpy(before, call->text, sizeof(before));
        /* A longer text is cut. */
        (void) snprintf(call->text, TEXT_MAX, "no answer; before that: %.400s", before);
    }
    if (call->state == CALL_SENT) {
        call->result.status = GRPC_DEADLINE_EXCEEDED;
    }
    finish(call, call->result.attempts == 0 ? CLIENT_UNREACHABLE : CLIENT_TIMED_OUT, unknown);
}

/* ---- Endpoints ---- */

static void on_up(void *ctx)
{
    struct endpoint *e = ctx;

    e->failures = 0;
    e->kind = SERVER_UNKNOWN;
    if (e->client->options.retry) {
        probe_send(e);
    }
    endpoint_send(e);
}

/* A call that waited for a connection that cannot be made goes on to the next endpoint. */
static void connect_failed(struct call *call, const char *reason)
{
    const struct client *c = call->client;
    uint32_t all = UINT32_MAX >> (32 - c->endpoints_count);
    uint32_t wanted = call->request.endpoint >= 0 ? bit(call->request.endpoint) : all;

    list_remove(&call->node);
    call->unreachable |= bit(call->endpoint);
    call->tried |= bit(call->endpoint);
    call->result.endpoint = call->endpoint;
    call->result.status = GRPC_UNAVAILABLE;
    set_text(call, bytes_str(reason));
    if (call->probe || (call->result.attempts == 0 && (call->unreachable & wanted) == wanted)) {
        finish(call, CLIENT_UNREACHABLE, false);
        return;
    }
    submit(call);
}

static void on_down(void *ctx, bool was_up, const char *reason)
{
    struct endpoint *e = ctx;
    struct client *c = e->client;
    struct list waiting;

    if (c->closing) {
        return;
    }
    timer_set(&c->wheel, &e->retry, now_us() + backoff_us(c, was_up ? 0 : e->failures));
    e->failures += !was_up;
    (void) snprintf(e->reason, sizeof(e->reason), "%s", reason); /* a longer one is cut */
    if (c->current == e->index) {
        c->current = (c->current + 1) % c->endpoints_count;
    }
    list_init(&waiting);
    list_splice_back(&waiting, &e->waiting);
    while (!list_empty(&waiting)) {
        connect_failed(list_entry(list_first(&waiting), struct call, node), reason);
    }
}

/* ---- The loop ---- */

static void fire(struct timer *t)
{
    struct call *call;

    if (t->kind == TIMER_ENDPOINT) {
        struct endpoint *e = container_of(t, struct endpoint, retry);

        if (!list_empty(&e->waiting)) {
            client_conn_connect(e->conn);
        }
        return;
    }
    if (t->kind == TIMER_CALL) {
        call_timed_out(container_of(t, struct call, timer));
        return;
    }
    call = container_of(t, struct call, step);
    switch (call->state) {
    case CALL_SENT:
        attempt_timed_out(call);
        return;
    case CALL_WAITING: /* for the kind of the server */
        list_remove(&call->node);
        call->tried |= bit(call->endpoint);
        submit(call);
        return;
    default:
        ASSERT(call->state == CALL_PAUSED);
        submit(call);
    }
}

/* Gives out results; false when the client was closed meanwhile. */
static bool deliver(struct client *c)
{
    while (!list_empty(&c->done)) {
        struct call *call = list_entry(list_pop_front(&c->done), struct call, node);

        call->state = CALL_GIVEN;
        if (call->request.on_done != NULL) {
            call->request.on_done(call->request.ctx, &call->result);
        }
        call_free(call);
        if (c->closing) {
            return false;
        }
    }
    return true;
}

static void on_timer(uv_timer_t *timer)
{
    (void) timer; /* wakes the loop; the prepare phase does the work */
}

static void set_timer(struct client *c)
{
    uint64_t deadline = timer_wheel_deadline(&c->wheel);
    uint64_t now = now_us();
    uint64_t ms = deadline <= now ? 0 : (deadline - now + 999) / 1000;

    if (deadline == UINT64_MAX) {
        ERR_IGNORE(uv_timer_stop(&c->timer));
        return;
    }
    ERR_IGNORE(uv_timer_start(&c->timer, on_timer, ms, 0)); /* fails only when closing */
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct client *c = prepare->data;
    struct timer *t;

    timer_wheel_advance(&c->wheel, now_us());
    while ((t = timer_wheel_pop(&c->wheel)) != NULL) {
        fire(t);
    }
    do {
        if (!deliver(c)) {
            return;
        }
        for (uint32_t i = 0; i < c->endpoints_count; i++) {
            endpoint_send(&c->endpoints[i]); /* what a full connection left waiting */
            client_conn_flush(c->endpoints[i].conn);
        }
    } while (!list_empty(&c->done));
    set_timer(c);
}

/* ---- Life and death ---- */

void client_options_init(struct client_options *o)
{
    *o = (struct client_options){
        .connect_ms = 2000,
        .backoff_min_ms = 20,
        .backoff_max_ms = 1000,
        .retry = true,
        .answer_max = 256 * 1024 * 1024,
    };
}

static void client_free(struct client *c)
{
    ASSERT(map_size(&c->calls) == 0);
    map_release(&c->calls);
    while (!list_empty(&c->sessions)) {
        free(list_entry(list_pop_front(&c->sessions), struct session, node));
    }
    free(c);
}

static void handle_gone(struct client *c)
{
    void (*on_closed)(void *ctx) = c->on_closed;
    void *ctx = c->closed_ctx;

    ASSERT(c->handles > 0);
    c->handles--;
    if (c->handles > 0) {
        return;
    }
    client_free(c);
    if (on_closed != NULL) {
        on_closed(ctx);
    }
}

static void on_conn_closed(void *ctx)
{
    const struct endpoint *e = ctx;

    handle_gone(e->client);
}

static void on_handle_closed(uv_handle_t *handle)
{
    handle_gone(handle->data);
}

static int endpoint_init(struct client *c, const char *name, struct buf *error)
{
    struct endpoint *e = &c->endpoints[c->endpoints_count];
    struct client_conn_options options = {
        .loop = c->loop,
        .endpoint = name,
        .connect_ms = c->options.connect_ms,
        .grpc = {.on_message = on_message, .on_end = on_end},
        .on_up = on_up,
        .on_down = on_down,
        .on_closed = on_conn_closed,
        .ctx = e,
    };
    int err;

    e->client = c;
    e->index = c->endpoints_count;
    e->retry.kind = TIMER_ENDPOINT;
    list_init(&e->waiting);
    grpc_limits_init(&options.limits);
    options.limits.message_max = c->options.answer_max;
    options.limits.streams_max = STREAMS_MAX;
    err = client_conn_new(&options, &e->conn, error);
    if (err == OK) {
        c->endpoints_count++;
        c->handles++;
    }
    return err;
}

int client_new(struct uv_loop_s *loop, const struct client_options *options,
               struct client **ret_client, struct buf *error)
{
    struct client *c;
    int err = OK;

    if (options->endpoints_count == 0 || options->endpoints_count > CLIENT_ENDPOINTS_MAX) {
        if (error != NULL) {
            ERR_IGNORE(buf_printf(error, "between 1 and %d endpoints are needed",
                                  (int) CLIENT_ENDPOINTS_MAX)); /* only a text */
        }
        return ERR_INVALID;
    }
    c = xcalloc(1, sizeof(*c));
    c->options = *options;
    c->loop = loop;
    c->next_id = 1;
    c->current = options->first % options->endpoints_count;
    rng_init(&c->rng, options->seed);
    map_init(&c->calls, CALLS_MAX);
    list_init(&c->done);
    list_init(&c->sessions);
    timer_wheel_init(&c->wheel);
    timer_wheel_advance(&c->wheel, now_us());
    ERR_IGNORE(uv_prepare_init(loop, &c->prepare)); /* these three cannot fail */
    ERR_IGNORE(uv_timer_init(loop, &c->timer));
    ERR_IGNORE(uv_prepare_start(&c->prepare, on_prepare));
    c->prepare.data = c;
    c->timer.data = c;
    c->handles = 2;
    for (uint32_t i = 0; i < options->endpoints_count && err == OK; i++) {
        err = endpoint_init(c, options->endpoints[i], error);
    }
    if (err != OK) {
        client_close(c, NULL, NULL);
        return err;
    }
    *ret_client = c;
    return OK;
}

void client_close(struct client *c, void (*on_closed)(void *ctx), void *ctx)
{
    size_t cursor = 0;
    void *value = NULL;

    ASSERT(!c->closing);
    c->closing = true;
    c->on_closed = on_closed;
    c->closed_ctx = ctx;
    while (map_next(&c->calls, &cursor, NULL, &value)) {
        struct call *call = value;

        if (call->state != CALL_GIVEN) { /* deliver frees that one */
            call_drop(call);
            cursor = 0; /* the map has changed */
        }
    }
    for (uint32_t i = 0; i < c->endpoints_count; i++) {
        client_conn_close(c->endpoints[i].conn);
    }
    uv_close((uv_handle_t *) &c->prepare, on_handle_closed);
    uv_close((uv_handle_t *) &c->timer, on_handle_closed);
}
