/*
 * client_op.c - one call: its name, its way to a connection, its end. See client_impl.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kv/client_impl.h"
#include "proto/wire_kv.h"

enum {
    ATTEMPT_MIN_MS = 250,
    PROBE_TIMEOUT_MS = 2000,
    PROBE_ARENA = 64 * 1024,
    BACKOFF_SHIFT_MAX = 16,
};

/* ---- Sessions ---- */

static struct client_session *session_take(struct client *c)
{
    struct list_node *node = list_pop_front(&c->sessions);
    struct client_session *s;

    if (node != NULL) {
        return list_entry(node, struct client_session, node);
    }
    s = xcalloc(1, sizeof(*s));
    s->id = rng_u64(&c->rng) | UINT64_C(1) << 63;
    s->sequence = 1;
    return s;
}

/* A write that was answered leaves its session ready for the next one; otherwise nobody knows what
 * the session has seen, and it is dropped. */
static void session_give(struct client *c, struct client_session *s, bool answered)
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

/* Takes it out of everything it is in but the map. */
static void op_unlink(struct client_op *op)
{
    struct client *c = op->client;

    timer_clear(&c->wheel, &op->timer);
    timer_clear(&c->wheel, &op->step);
    if (list_node_linked(&op->node)) {
        list_remove(&op->node);
    }
    if (op->grpc != NULL) {
        grpc_call_set_user(op->grpc, op->grpc_call, NULL);
        grpc_cancel(op->grpc, op->grpc_call);
        op->grpc = NULL;
    }
}

void client_op_free(struct client_op *op)
{
    struct client *c = op->client;
    void *removed = map_remove(&c->ops, op->id);

    ASSERT(removed == op);
    c->probes -= op->probe;
    session_give(c, op->session, op->result.outcome == CLIENT_OK);
    blob_unref(op->request.message);
    blob_unref(op->result.message);
    free(op);
}

void client_op_text(struct client_op *op, struct bytes text)
{
    size_t size = text.size < CLIENT_TEXT_MAX - 1 ? text.size : CLIENT_TEXT_MAX - 1;

    if (size > 0) {
        memcpy(op->text, text.data, size);
    }
    op->text[size] = '\0';
}

/* What the answer says of the server; at once, for the failures that arrive with it. */
static void probe_done(struct client_op *op)
{
    struct client_server *e = &op->client->servers[op->request.endpoint];
    struct api_status status;
    struct arena arena;

    e->probing = false;
    if (op->result.outcome != CLIENT_OK) {
        /* Gone or hanging: nothing was learned. A server that answered and has no Status is not
         * ours. */
        if (op->result.outcome == CLIENT_REFUSED && op->result.status != GRPC_UNAVAILABLE) {
            e->kind = SERVER_ETCD;
        }
        return;
    }
    arena_init(&arena, 1024, PROBE_ARENA);
    e->kind = SERVER_ETCD;
    if (wire_status_decode(blob_bytes(op->result.message), &arena, NULL, &status) == OK &&
        memmem(status.version.data, status.version.size, "+synod.", 7) != NULL) {
        e->kind = SERVER_SYNOD;
    }
    arena_release(&arena);
}

void client_op_finish(struct client_op *op, uint8_t outcome, bool unknown)
{
    struct client *c = op->client;

    op_unlink(op);
    op->state = OP_DONE;
    op->result.outcome = outcome;
    op->result.unknown = unknown;
    op->result.text = op->text;
    if (op->probe) {
        probe_done(op);
    }
    list_push_back(&c->done, &op->node);
}

struct client_op *client_op_new(struct client *c, const struct client_request *request)
{
    struct client_op *op = xcalloc(1, sizeof(*op));
    int err;

    op->client = c;
    op->id = c->next_id++;
    op->request = *request;
    op->request.message = blob_ref(request->message);
    op->endpoint = -1;
    op->result.endpoint = -1;
    op->result.status = GRPC_UNAVAILABLE;
    op->deadline_us = client_now_us() + request->timeout_ms * 1000;
    op->timer.kind = TIMER_OP;
    op->step.kind = TIMER_STEP;
    timer_set(&c->wheel, &op->timer, op->deadline_us);
    err = map_put(&c->ops, op->id, op);
    ASSERT(err == OK); /* so many calls at once are the program's fault */
    return op;
}

void client_op_rename(struct client_op *op)
{
    session_give(op->client, op->session, false);
    op->session = NULL;
}

void client_op_drop(struct client_op *op)
{
    op_unlink(op);
    op->result.outcome = CLIENT_TIMED_OUT; /* its session is not used again */
    client_op_free(op);
}

/* ---- Sending ---- */

static uint64_t attempt_us(const struct client_op *op)
{
    const struct client *c = op->client;
    uint64_t share = op->request.timeout_ms / (c->servers_count + 1);

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

static void session_metadata(const struct client_session *s, struct session_metadata *m)
{
    (void) snprintf(m->id, sizeof(m->id), "%llu", (unsigned long long) s->id);
    (void) snprintf(m->sequence, sizeof(m->sequence), "%llu", (unsigned long long) s->sequence);
    m->headers[0] = (struct grpc_metadata){bytes_str("synod-session"), bytes_str(m->id)};
    m->headers[1] = (struct grpc_metadata){bytes_str("synod-sequence"), bytes_str(m->sequence)};
}

/* OK, or the call could not be put on this connection now. */
static int call_begin(struct client_op *op, struct grpc *g)
{
    struct session_metadata metadata;
    uint64_t now = client_now_us();
    uint64_t left = op->deadline_us > now ? op->deadline_us - now : 1;
    uint32_t count = 0;
    uint32_t id = 0;
    int err;

    if (op->request.write) {
        if (op->session == NULL) {
            op->session = session_take(op->client);
        }
        session_metadata(op->session, &metadata);
        count = 2;
    }
    err = grpc_call(g, op->request.path, left, metadata.headers, count, op, &id);
    if (err != OK) {
        return err;
    }
    err = grpc_call_send(g, id, op->request.message, true);
    if (err != OK) {
        grpc_call_set_user(g, id, NULL);
        grpc_cancel(g, id);
        return err;
    }
    op->grpc = g;
    op->grpc_call = id;
    return OK;
}

/* Whether the call may go to this server: a write that may be applied already is repeated only
 * where that is known to be harmless. */
static bool may_send(struct client_op *op, const struct client_server *e)
{
    return !op->maybe || e->kind == SERVER_SYNOD;
}

/* Sends on an endpoint that is up, or leaves the call waiting there. */
static void send_or_wait(struct client_op *op, struct client_server *e)
{
    struct client *c = op->client;
    struct grpc *g = client_conn_grpc(e->conn);

    ASSERT(op->state == OP_WAITING && list_node_linked(&op->node));
    if (op->maybe && e->kind == SERVER_ETCD) {
        client_op_finish(op, CLIENT_REFUSED, true);
        return;
    }
    if (g == NULL || !may_send(op, e) || call_begin(op, g) != OK) {
        return;
    }
    list_remove(&op->node);
    timer_clear(&c->wheel, &op->step);
    op->state = OP_SENT;
    op->result.attempts++;
    op->result.endpoint = op->endpoint;
    if (c->options.retry && c->servers_count > 1 && op->request.endpoint < 0) {
        timer_set(&c->wheel, &op->step, client_now_us() + attempt_us(op));
    }
}

void client_server_send(struct client_server *e)
{
    LIST_FOR_EACH_SAFE(&e->waiting, node, after) {
        struct client_op *op = list_entry(node, struct client_op, node);

        send_or_wait(op, e);
        if (op->state == OP_WAITING && may_send(op, e)) {
            return; /* the connection is full */
        }
    }
}

/* The endpoint to try next, or -1: each was tried in this round. */
static int32_t pick(const struct client_op *op)
{
    const struct client *c = op->client;
    int32_t first = -1;

    if (op->request.endpoint >= 0) {
        return (op->tried & client_bit(op->request.endpoint)) == 0 ? op->request.endpoint : -1;
    }
    for (uint32_t i = 0; i < c->servers_count; i++) {
        int32_t e = (int32_t) ((c->current + i) % c->servers_count);

        if ((op->tried & client_bit(e)) != 0) {
            continue;
        }
        if (client_conn_grpc(c->servers[e].conn) != NULL) {
            return e;
        }
        if (first < 0) {
            first = e;
        }
    }
    return first;
}

uint64_t client_backoff_us(struct client *c, uint32_t failures)
{
    uint64_t shift = u64_min(failures, BACKOFF_SHIFT_MAX);
    uint64_t ms = u64_min(c->options.backoff_min_ms << shift, c->options.backoff_max_ms);

    return rng_between(&c->rng, ms * 500, ms * 1000);
}

void client_server_probe(struct client_server *e)
{
    struct client *c = e->client;
    struct blob *empty;
    struct client_op *op;

    if (e->probing) {
        return;
    }
    empty = blob_new(0); /* a StatusRequest has no fields */
    op = client_op_new(c, &(struct client_request){
                              .path = CLIENT_STATUS,
                              .message = empty,
                              .timeout_ms = PROBE_TIMEOUT_MS,
                              .endpoint = (int32_t) e->index,
                          });
    blob_unref(empty);
    e->probing = true;
    op->probe = true;
    c->probes++;
    op->state = OP_WAITING;
    op->endpoint = (int32_t) e->index;
    list_push_front(&e->waiting, &op->node);
}

/* A write that may be applied already waits until the server is known, and not for ever. */
static void ask_kind(struct client_op *op, struct client_server *e)
{
    if (e->kind == SERVER_UNKNOWN) {
        client_server_probe(e);
        timer_set(&op->client->wheel, &op->step, client_now_us() + attempt_us(op));
    }
}

void client_op_submit(struct client_op *op)
{
    struct client *c = op->client;
    int32_t index = pick(op);
    struct client_server *e;

    if (index < 0) {
        op->tried = 0;
        op->state = OP_PAUSED;
        timer_set(&c->wheel, &op->step, client_now_us() + client_backoff_us(c, op->rounds++));
        return;
    }
    e = &c->servers[index];
    op->endpoint = index;
    op->state = OP_WAITING;
    list_push_back(&e->waiting, &op->node);
    if (client_conn_grpc(e->conn) != NULL) {
        if (!may_send(op, e)) {
            ask_kind(op, e);
        }
        send_or_wait(op, e);
    } else if (!timer_is_set(&e->retry)) {
        client_conn_connect(e->conn);
    }
}
