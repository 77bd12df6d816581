/*
 * client_retry.c - what an answer, a failure or a silence means for a call: the rules of "Retry" in
 * client.h. See client_impl.h.
 */
#include <stdio.h>
#include <string.h>

#include "kv/client_impl.h"

/* ---- Failures ---- */

/* The server's "no leader" is given before a write was handed on (K3 in properties.md). */
static bool certainly_not_applied(const struct client_op *op, bool refused)
{
    const struct client_server *e = &op->client->servers[op->endpoint];

    return refused || (e->kind == SERVER_SYNOD && strcmp(op->text, "etcdserver: no leader") == 0);
}

/* The attempt ended without an answer that settles it. The text is set. */
static void attempt_failed(struct client_op *op, bool certain)
{
    struct client *c = op->client;
    const struct client_server *e = &c->servers[op->endpoint];

    timer_clear(&c->wheel, &op->step);
    if (op->request.write && !certain) {
        op->maybe = true;
    }
    if (!c->options.retry || op->probe || (op->maybe && e->kind == SERVER_ETCD)) {
        client_op_finish(op, CLIENT_REFUSED, op->maybe);
        return;
    }
    if (c->current == e->index) {
        c->current = (c->current + 1) % c->servers_count;
    }
    op->tried |= client_bit(op->endpoint);
    client_op_submit(op);
}

static bool session_expired(const struct client_op *op)
{
    return op->session != NULL && op->result.status == GRPC_FAILED_PRECONDITION &&
           strncmp(op->text, "synod: session expired", 22) == 0;
}

/* The server answered with a status that is not OK. */
static void answered_no(struct client_op *op)
{
    if (session_expired(op)) {
        /* The server forgot the session. When this was the only copy, it was not applied: go on
         * under a new name. */
        if (!op->maybe && op->session->sequence > 1 && op->client->options.retry) {
            client_op_rename(op);
            client_op_submit(op);
            return;
        }
        client_op_finish(op, CLIENT_REFUSED, op->maybe);
        return;
    }
    switch (op->result.status) {
    case GRPC_INVALID_ARGUMENT:
    case GRPC_NOT_FOUND:
    case GRPC_FAILED_PRECONDITION:
    case GRPC_OUT_OF_RANGE:
        /* The rules of the request itself: the same for every copy of it. */
        client_op_finish(op, CLIENT_REFUSED, false);
        return;
    case GRPC_DEADLINE_EXCEEDED:
    case GRPC_CANCELED:
        client_op_finish(op, CLIENT_TIMED_OUT, op->request.write);
        return;
    default:
        client_op_finish(op, CLIENT_REFUSED, op->maybe);
        return;
    }
}

void client_on_message(void *ctx, struct grpc *g, uint32_t id, struct blob *message)
{
    struct client_op *op = grpc_call_user(g, id);

    (void) ctx;
    if (op != NULL && op->result.message == NULL) {
        op->result.message = blob_ref(message);
    }
}

void client_on_end(void *ctx, struct grpc *g, uint32_t id, int status, struct bytes text,
                   bool refused)
{
    struct client_op *op = grpc_call_user(g, id);
    const struct client_server *e;

    (void) ctx;
    if (op == NULL) {
        return;
    }
    ASSERT(op->state == OP_SENT && op->grpc == g);
    e = &op->client->servers[op->endpoint];
    op->grpc = NULL;
    timer_clear(&op->client->wheel, &op->step);
    op->result.status = status;
    if (status == GRPC_OK && op->result.message != NULL) {
        client_op_finish(op, CLIENT_OK, false);
        return;
    }
    blob_unref(op->result.message);
    op->result.message = NULL;
    client_op_text(op, text);
    if (status == GRPC_UNAVAILABLE && client_conn_grpc(e->conn) != g && e->reason[0] != '\0') {
        client_op_text(op, bytes_str(e->reason)); /* says more than "lost" */
    }
    if (status == GRPC_OK) {
        op->result.status = GRPC_INTERNAL;
        client_op_text(op, bytes_str("the answer has no message"));
        client_op_finish(op, CLIENT_REFUSED, op->request.write);
    } else if (status == GRPC_UNAVAILABLE || refused) {
        attempt_failed(op, certainly_not_applied(op, refused));
    } else {
        answered_no(op);
    }
}

/* No answer in time: the node hangs, or is cut off from its leader. */
void client_op_attempt_timed_out(struct client_op *op)
{
    const struct client_server *e = &op->client->servers[op->endpoint];

    if (op->request.write && e->kind == SERVER_ETCD) {
        return; /* a second copy could be applied too: wait on */
    }
    /* A server that has not even said what it is hangs; the next one says it for the cluster, and
     * the write is repeated only if that is Synod. */
    grpc_call_set_user(op->grpc, op->grpc_call, NULL);
    grpc_cancel(op->grpc, op->grpc_call);
    op->grpc = NULL;
    client_op_text(op, bytes_str("no answer"));
    op->result.status = GRPC_DEADLINE_EXCEEDED;
    attempt_failed(op, false);
}

void client_op_timed_out(struct client_op *op)
{
    bool unknown = op->maybe || (op->request.write && op->state == OP_SENT);
    char before[CLIENT_TEXT_MAX];

    if (op->text[0] == '\0') {
        client_op_text(op, bytes_str(op->result.attempts == 0 ? "no connection" : "no answer"));
    } else if (op->state == OP_SENT) {
        memcpy(before, op->text, sizeof(before));
        /* A longer text is cut. */
        (void) snprintf(op->text, CLIENT_TEXT_MAX, "no answer; before that: %.400s", before);
    }
    if (op->state == OP_SENT) {
        op->result.status = GRPC_DEADLINE_EXCEEDED;
    }
    client_op_finish(op, op->result.attempts == 0 ? CLIENT_UNREACHABLE : CLIENT_TIMED_OUT, unknown);
}

/* ---- Endpoints ---- */

void client_on_up(void *ctx)
{
    struct client_server *e = ctx;

    e->failures = 0;
    e->kind = SERVER_UNKNOWN;
    if (e->client->options.retry) {
        client_server_probe(e);
    }
    client_server_send(e);
}

/* A call that waited for a connection that cannot be made goes on to the next endpoint. */
static void connect_failed(struct client_op *op, const char *reason)
{
    const struct client *c = op->client;
    uint32_t all = UINT32_MAX >> (32 - c->servers_count);
    uint32_t wanted = op->request.endpoint >= 0 ? client_bit(op->request.endpoint) : all;

    list_remove(&op->node);
    op->unreachable |= client_bit(op->endpoint);
    op->tried |= client_bit(op->endpoint);
    op->result.endpoint = op->endpoint;
    op->result.status = GRPC_UNAVAILABLE;
    client_op_text(op, bytes_str(reason));
    if (op->probe || (op->result.attempts == 0 && (op->unreachable & wanted) == wanted)) {
        client_op_finish(op, CLIENT_UNREACHABLE, false);
        return;
    }
    client_op_submit(op);
}

void client_on_down(void *ctx, bool was_up, const char *reason)
{
    struct client_server *e = ctx;
    struct client *c = e->client;
    struct list waiting;

    if (c->closing) {
        return;
    }
    timer_set(&c->wheel, &e->retry,
              client_now_us() + client_backoff_us(c, was_up ? 0 : e->failures));
    e->failures += !was_up;
    (void) snprintf(e->reason, sizeof(e->reason), "%s", reason); /* a longer one is cut */
    if (c->current == e->index) {
        c->current = (c->current + 1) % c->servers_count;
    }
    list_init(&waiting);
    list_splice_back(&waiting, &e->waiting);
    while (!list_empty(&waiting)) {
        connect_failed(list_entry(list_first(&waiting), struct client_op, node), reason);
    }
}
