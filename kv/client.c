/*
 * client.c - the client's loop and life: see client.h, and client_impl.h for the inside.
 *
 * All results are given out in one place, the loop's prepare phase, which also does the flush: no
 * user's function runs inside a callback of gRPC or of a socket.
 */
#include "kv/client.h"

#include <stdlib.h>
#include <uv.h>

#include "base/mem.h"
#include "kv/client_impl.h"

enum {
    OPS_MAX = 1 << 24,
    STREAMS_MAX = 1 << 20, /* the server's limit is the real one */
};

struct client_handles {
    uv_prepare_t prepare;
    uv_timer_t timer;
};

uint64_t client_now_us(void)
{
    return uv_hrtime() / 1000;
}

uint64_t client_call(struct client *c, const struct client_request *request)
{
    struct client_op *op;

    ASSERT(!c->closing);
    ASSERT(request->timeout_ms > 0);
    ASSERT(request->endpoint < (int32_t) c->servers_count);
    op = client_op_new(c, request);
    client_op_submit(op);
    return op->id;
}

void client_cancel(struct client *c, uint64_t id)
{
    struct client_op *op = map_get(&c->ops, id);

    if (op != NULL && op->state != OP_GIVEN) {
        client_op_drop(op);
    }
}

uint32_t client_calls(const struct client *c)
{
    return (uint32_t) map_size(&c->ops) - c->probes;
}

const char *client_endpoint(const struct client *c, uint32_t index)
{
    ASSERT(index < c->servers_count);
    return client_conn_name(c->servers[index].conn);
}

uint32_t client_endpoints(const struct client *c)
{
    return c->servers_count;
}

/* ---- The loop ---- */

static void fire(struct timer *t)
{
    struct client_op *op;

    if (t->kind == TIMER_SERVER) {
        struct client_server *e = container_of(t, struct client_server, retry);

        if (!list_empty(&e->waiting)) {
            client_conn_connect(e->conn);
        }
        return;
    }
    if (t->kind == TIMER_OP) {
        client_op_timed_out(container_of(t, struct client_op, timer));
        return;
    }
    op = container_of(t, struct client_op, step);
    switch (op->state) {
    case OP_SENT:
        client_op_attempt_timed_out(op);
        return;
    case OP_WAITING: /* for the kind of the server */
        list_remove(&op->node);
        op->tried |= client_bit(op->endpoint);
        client_op_submit(op);
        return;
    default:
        ASSERT(op->state == OP_PAUSED);
        client_op_submit(op);
    }
}

/* Gives out results; false when the client was closed meanwhile. */
static bool deliver(struct client *c)
{
    while (!list_empty(&c->done)) {
        struct client_op *op = list_entry(list_pop_front(&c->done), struct client_op, node);

        op->state = OP_GIVEN;
        if (op->request.on_done != NULL) {
            op->request.on_done(op->request.ctx, &op->result);
        }
        client_op_free(op);
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
    uint64_t now = client_now_us();
    uint64_t ms = deadline <= now ? 0 : (deadline - now + 999) / 1000;

    if (deadline == UINT64_MAX) {
        ERR_IGNORE(uv_timer_stop(&c->handles->timer));
        return;
    }
    ERR_IGNORE(uv_timer_start(&c->handles->timer, on_timer, ms, 0)); /* fails only when closing */
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct client *c = prepare->data;
    struct timer *t;

    timer_wheel_advance(&c->wheel, client_now_us());
    while ((t = timer_wheel_pop(&c->wheel)) != NULL) {
        fire(t);
    }
    do {
        if (!deliver(c)) {
            return;
        }
        for (uint32_t i = 0; i < c->servers_count; i++) {
            client_server_send(&c->servers[i]); /* what a full connection left waiting */
            client_conn_flush(c->servers[i].conn);
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
    ASSERT(map_size(&c->ops) == 0);
    map_release(&c->ops);
    while (!list_empty(&c->sessions)) {
        free(list_entry(list_pop_front(&c->sessions), struct client_session, node));
    }
    free(c->handles);
    free(c);
}

static void handle_gone(struct client *c)
{
    void (*on_closed)(void *ctx) = c->on_closed;
    void *ctx = c->closed_ctx;

    ASSERT(c->open > 0);
    c->open--;
    if (c->open > 0) {
        return;
    }
    client_free(c);
    if (on_closed != NULL) {
        on_closed(ctx);
    }
}

static void on_conn_closed(void *ctx)
{
    const struct client_server *e = ctx;

    handle_gone(e->client);
}

static void on_handle_closed(uv_handle_t *handle)
{
    handle_gone(handle->data);
}

static int endpoint_init(struct client *c, const char *name, struct buf *error)
{
    struct client_server *e = &c->servers[c->servers_count];
    struct client_conn_options options = {
        .loop = c->loop,
        .endpoint = name,
        .connect_ms = c->options.connect_ms,
        .grpc = {.on_message = client_on_message, .on_end = client_on_end},
        .on_up = client_on_up,
        .on_down = client_on_down,
        .on_closed = on_conn_closed,
        .ctx = e,
    };
    int err;

    e->client = c;
    e->index = c->servers_count;
    e->retry.kind = TIMER_SERVER;
    list_init(&e->waiting);
    grpc_limits_init(&options.limits);
    options.limits.message_max = c->options.answer_max;
    options.limits.streams_max = STREAMS_MAX;
    err = client_conn_new(&options, &e->conn, error);
    if (err == OK) {
        c->servers_count++;
        c->open++;
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
    c->handles = xcalloc(1, sizeof(*c->handles));
    c->next_id = 1;
    c->current = options->first % options->endpoints_count;
    rng_init(&c->rng, options->seed);
    map_init(&c->ops, OPS_MAX);
    list_init(&c->done);
    list_init(&c->sessions);
    timer_wheel_init(&c->wheel);
    timer_wheel_advance(&c->wheel, client_now_us());
    ERR_IGNORE(uv_prepare_init(loop, &c->handles->prepare)); /* these three cannot fail */
    ERR_IGNORE(uv_timer_init(loop, &c->handles->timer));
    ERR_IGNORE(uv_prepare_start(&c->handles->prepare, on_prepare));
    c->handles->prepare.data = c;
    c->handles->timer.data = c;
    c->open = 2;
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
    while (map_next(&c->ops, &cursor, NULL, &value)) {
        struct client_op *op = value;

        if (op->state != OP_GIVEN) { /* deliver frees that one */
            client_op_drop(op);
            cursor = 0; /* the map has changed */
        }
    }
    for (uint32_t i = 0; i < c->servers_count; i++) {
        client_conn_close(c->servers[i].conn);
    }
    uv_close((uv_handle_t *) &c->handles->prepare, on_handle_closed);
    uv_close((uv_handle_t *) &c->handles->timer, on_handle_closed);
}
