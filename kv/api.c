/*
 * api.c - calls of all services: see api.h.
 */
#include "kv/api.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kv/api_error.h"
#include "kv/api_internal.h"

enum {
    API_CALLS_MAX = 1 << 20, /* the replica's calls_max is the real limit */
    API_ARENA_CHUNK = 64 * 1024,
    API_ARENA_MAX = 64 * 1024 * 1024, /* a hostile request expands at most to this */
};

static const struct api_method *const services[] = {
    api_kv_methods,
    api_maintenance_methods,
    api_cluster_methods,
    api_health_methods,
};

struct api *api_new(const struct api_options *options, struct replica *replica)
{
    struct api *a = xcalloc(1, sizeof(*a));

    a->options = *options;
    a->replica = replica;
    a->next_id = 1;
    map_init(&a->calls, API_CALLS_MAX);
    list_init(&a->dirty);
    arena_init(&a->arena, API_ARENA_CHUNK, API_ARENA_MAX);
    buf_init(&a->out, options->response_bytes_max);
    return a;
}

void api_free(struct api *a)
{
    if (a == NULL) {
        return;
    }
    ASSERT(map_size(&a->calls) == 0);
    map_release(&a->calls);
    arena_release(&a->arena);
    buf_release(&a->out);
    free(a);
}

void api_tick(struct api *a, uint64_t now_us)
{
    struct replica_status status;

    replica_status(a->replica, &status);
    a->now_us = now_us;
    a->epoch = status.consensus.epoch;
}

uint32_t api_calls(const struct api *a)
{
    return (uint32_t) map_size(&a->calls);
}

struct api_header api_header_now(const struct api *a)
{
    struct replica_status status;

    replica_status(a->replica, &status);
    return (struct api_header){
        .cluster_id = a->options.cluster_id,
        .member_id = a->options.member_id,
        .revision = status.revision,
        .raft_term = status.consensus.epoch,
    };
}

void api_mark_dirty(struct api *a, struct api_connection *c)
{
    if (!list_node_linked(&c->dirty)) {
        list_push_back(&a->dirty, &c->dirty);
    }
}

struct api_connection *api_next_dirty(struct api *a)
{
    struct list_node *node = list_pop_front(&a->dirty);

    return node == NULL ? NULL : container_of(node, struct api_connection, dirty);
}

static struct api_call *call_new(struct api *a)
{
    struct api_call *call = xcalloc(1, sizeof(*call));

    call->api = a;
    call->id = a->next_id++;
    return call;
}

static void call_free(struct api_call *call)
{
    struct api *a = call->api;
    void *removed = map_remove(&a->calls, call->id);

    ASSERT(removed == call);
    /* The stream may live on until the client has read our status; it must not find us then. */
    grpc_call_set_user(call->connection->grpc, call->grpc_call, NULL);
    blob_unref(call->message);
    free(call);
}

void api_answer(struct api_call *call)
{
    struct api *a = call->api;
    struct blob *message = blob_copy(buf_bytes(&a->out));

    /* A call that is gone was removed by on_end; what is left to fail is the output limit, which
     * ends the connection. */
    ERR_IGNORE(grpc_reply(call->connection->grpc, call->grpc_call, message));
    blob_unref(message);
    api_mark_dirty(a, call->connection);
    call_free(call);
}

static void finish(struct api_call *call, int status, const char *text)
{
    ERR_IGNORE(grpc_finish(call->connection->grpc, call->grpc_call, status, text)); /* as above */
    api_mark_dirty(call->api, call->connection);
    call_free(call);
}

void api_fail(struct api_call *call, int err)
{
    struct api_error error = api_error_of(err);

    if (err == ERR_TIMEOUT && call->client_deadline) {
        error = (struct api_error){GRPC_DEADLINE_EXCEEDED, "context deadline exceeded"};
    }
    finish(call, error.status, error.text);
}

void api_reply(struct api *a, const struct replica_reply *reply)
{
    struct api_call *call = map_get(&a->calls, reply->call);
    struct api_header header = {
        .cluster_id = a->options.cluster_id,
        .member_id = a->options.member_id,
    };
    int err;

    if (call == NULL) {
        goto out;
    }
    call->submitted = false;
    if (reply->err != OK) {
        api_fail(call, reply->err);
        goto out;
    }
    header.raft_term = a->epoch;
    buf_clear(&a->out);
    err = wire_response_encode(&header, &reply->result->response, &a->out);
    if (err != OK) {
        finish(call, GRPC_RESOURCE_EXHAUSTED, "grpc: trying to send message larger than max");
        goto out;
    }
    api_answer(call);
out:
    mvcc_result_free(reply->result);
}

static const struct api_method *find_method(struct bytes path)
{
    for (size_t i = 0; i < ARRAY_SIZE(services); i++) {
        for (const struct api_method *m = services[i]; m->path != NULL; m++) {
            if (bytes_equal(path, bytes_str(m->path))) {
                return m;
            }
        }
    }
    return NULL;
}

/* Decimal number of a metadata value; false when it is none. */
static bool parse_number(struct bytes value, uint64_t *ret_number)
{
    uint64_t number = 0;

    if (value.size == 0 || value.size > 20) {
        return false;
    }
    for (size_t i = 0; i < value.size; i++) {
        uint8_t digit = (uint8_t) (value.data[i] - '0');

        if (digit > 9 || number > (UINT64_MAX - digit) / 10) {
            return false;
        }
        number = number * 10 + digit;
    }
    *ret_number = number;
    return true;
}

/* Client sessions: "synod-session" and "synod-sequence" make a write exactly-once over retries
 * through other nodes (docs/engines.md). */
static bool read_session(struct api_call *call, const struct grpc_begin *begin)
{
    for (uint32_t i = 0; i < begin->metadata_count; i++) {
        const struct grpc_metadata *md = &begin->metadata[i];

        if (bytes_equal(md->name, bytes_str("synod-session"))) {
            if (!parse_number(md->value, &call->session)) {
                return false;
            }
        } else if (bytes_equal(md->name, bytes_str("synod-sequence"))) {
            if (!parse_number(md->value, &call->sequence)) {
                return false;
            }
        }
    }
    return (call->session == 0) == (call->sequence == 0) &&
           (call->session == 0 || call->session >> 63 == 1);
}

static void set_deadline(struct api_call *call, uint64_t timeout_us)
{
    uint64_t limit = call->api->options.request_timeout_us;

    call->client_deadline = timeout_us <= limit;
    call->deadline_us = call->api->now_us + u64_min(timeout_us, limit);
}

static void on_begin(void *ctx, struct grpc *g, const struct grpc_begin *begin)
{
    struct api_connection *c = ctx;
    struct api *a = c->api;
    const struct api_method *method = find_method(begin->path);
    struct api_call *call;

    api_mark_dirty(a, c);
    if (method == NULL) {
        ERR_IGNORE(grpc_finish(g, begin->call, GRPC_UNIMPLEMENTED, "unknown service or method"));
        return;
    }
    call = call_new(a);
    if (map_put(&a->calls, call->id, call) != OK) {
        free(call);
        ERR_IGNORE(
            grpc_finish(g, begin->call, GRPC_RESOURCE_EXHAUSTED, "etcdserver: too many requests"));
        return;
    }
    call->connection = c;
    call->method = method;
    call->grpc_call = begin->call;
    set_deadline(call, begin->timeout_us);
    if (!read_session(call, begin)) {
        finish(call, GRPC_INVALID_ARGUMENT,
               "synod: synod-session (with bit 63 set) and synod-sequence (from 1) must be given "
               "together, as decimal numbers");
        return;
    }
    grpc_call_set_user(g, begin->call, call);
}

static void on_message(void *ctx, struct grpc *g, uint32_t id, struct blob *message)
{
    struct api_call *call = grpc_call_user(g, id);

    (void) ctx;
    if (call == NULL) {
        return;
    }
    if (call->message != NULL) {
        finish(call, GRPC_INTERNAL, "a unary call carries one request message");
        return;
    }
    call->message = blob_ref(message);
}

static void on_half_close(void *ctx, struct grpc *g, uint32_t id)
{
    struct api_call *call = grpc_call_user(g, id);
    int err;

    (void) ctx;
    if (call == NULL) {
        return;
    }
    if (call->message == NULL) {
        finish(call, GRPC_INTERNAL, "a unary call carries one request message");
        return;
    }
    if (call->message->size > call->api->options.request_bytes_max) {
        api_fail(call, ERR_REQUEST_TOO_LARGE);
        return;
    }
    arena_reset(&call->api->arena);
    err = call->method->execute(call, blob_bytes(call->message));
    if (err != OK) {
        api_fail(call, err);
    }
}

static void on_end(void *ctx, struct grpc *g, uint32_t id, int status, struct bytes text,
                   bool refused)
{
    struct api_call *call = grpc_call_user(g, id);

    (void) ctx;
    (void) status;
    (void) text;
    (void) refused;
    if (call == NULL) {
        return;
    }
    if (call->submitted) {
        replica_cancel(call->api->replica, call->id);
    }
    call_free(call);
}

void api_connection_init(struct api *a, struct api_connection *c,
                         struct grpc_callbacks *ret_callbacks)
{
    memset(c, 0, sizeof(*c));
    c->api = a;
    *ret_callbacks = (struct grpc_callbacks){
        .on_begin = on_begin,
        .on_message = on_message,
        .on_half_close = on_half_close,
        .on_end = on_end,
        .ctx = c,
    };
}
