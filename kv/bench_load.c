/*
 * bench_load.c - see bench_load.h. Meant to be cheap beside the servers it measures: one write per
 * connection and loop turn, a request is a copy of a template with another key.
 */
#include "kv/bench_load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/blob.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/rng.h"
#include "net/grpc.h"
#include "proto/wire_kv.h"

enum { READ_SIZE = 256 * 1024, KEY_SIZE_MAX = 1024 };

struct load;

struct connection {
    struct load *load;
    const struct bench_endpoint *endpoint;
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write;
    size_t write_size; /* of the write under way */
    struct grpc *grpc;
    struct list_node dirty;
    bool up;
    bool writing;
};

/* One call under way at most. */
struct client {
    struct connection *connection;
    uint64_t due_us;
    bool measured;
    struct list_node node; /* free: open loop */
};

struct load {
    const struct bench_options *options;
    struct bench_result *result;
    uv_loop_t loop;
    uv_prepare_t prepare;
    uv_timer_t timer;
    struct connection *connections;
    struct client *clients;
    struct list dirty;
    struct list free;
    struct rng rng;
    struct buf request; /* template; the key is at key_offset */
    size_t key_offset;
    const char *path;
    uint32_t up;
    uint32_t under_way;
    uint64_t begun;
    uint64_t start_us;
    uint64_t measure_us; /* when measuring began, 0 not yet */
    uint64_t last_us;
    uint64_t next_due_us;
    bool stopping;
    int err;
    char error[512];
    uint8_t read_buffer[READ_SIZE];
};

static uint64_t now_us(void)
{
    return uv_hrtime() / 1000;
}

static void fail(struct load *l, int err, const char *what, const struct bench_endpoint *e)
{
    if (l->err == OK) {
        l->err = err;
        (void) snprintf(l->error, sizeof(l->error), "%s:%u: %s", e->host, e->port, what);
    }
    l->stopping = true;
    uv_stop(&l->loop);
}

static void mark_dirty(struct connection *c)
{
    if (!list_node_linked(&c->dirty)) {
        list_push_back(&c->load->dirty, &c->dirty);
    }
}

/* The n-th call's request: the template with its key. */
static struct blob *make_request(struct load *l)
{
    const struct bench_options *o = l->options;
    uint64_t key = o->sequential ? l->begun % o->key_space : rng_below(&l->rng, o->key_space);
    struct blob *blob = blob_copy(buf_bytes(&l->request));

    for (uint32_t i = o->key_size; i > 0 && key > 0; i--) {
        blob->data[l->key_offset + i - 1] = (uint8_t) ('0' + key % 10);
        key /= 10;
    }
    return blob;
}

static bool load_over(const struct load *l, uint64_t now)
{
    const struct bench_options *o = l->options;

    if (l->stopping) {
        return true;
    }
    if (o->total > 0) {
        return l->begun >= o->total;
    }
    return now >= l->start_us + o->warmup_us + o->duration_us;
}

static void begin_call(struct load *l, struct client *client, uint64_t due_us)
{
    struct connection *c = client->connection;
    struct blob *request;
    uint32_t id;
    int err;

    if (l->measure_us == 0 && due_us >= l->start_us + l->options->warmup_us) {
        l->measure_us = due_us;
        if (l->options->on_measure != NULL) {
            l->options->on_measure(l->options->ctx);
        }
    }
    client->due_us = due_us;
    client->measured = l->measure_us != 0;
    err = grpc_call(c->grpc, l->path, l->options->timeout_us, NULL, 0, client, &id);
    if (err != OK) {
        fail(l, err, "the connection takes no more calls: fewer --clients or more --connections",
             c->endpoint);
        return;
    }
    request = make_request(l);
    ERR_IGNORE(grpc_call_send(c->grpc, id, request, true)); /* the call was begun just now */
    blob_unref(request);
    l->begun++;
    l->under_way++;
    mark_dirty(c);
}

static void finish(struct load *l)
{
    l->stopping = true;
    uv_stop(&l->loop);
}

static void on_end(void *ctx, struct grpc *g, uint32_t call, int status, struct bytes text,
                   bool refused)
{
    struct connection *c = ctx;
    struct load *l = c->load;
    struct client *client = grpc_call_user(g, call);
    uint64_t now = now_us();

    (void) refused;
    if (client == NULL || l->under_way == 0) {
        return;
    }
    l->under_way--;
    if (client->measured) {
        if (status == GRPC_OK) {
            l->result->done++;
            histogram_add(&l->result->latency_us, now - client->due_us);
        } else {
            l->result->failed++;
            if (l->result->first_error[0] == '\0') {
                (void) snprintf(l->result->first_error, sizeof(l->result->first_error), "%s: %.*s",
                                grpc_status_name(status), (int) text.size,
                                (const char *) text.data);
            }
        }
        l->last_us = now;
    }
    if (load_over(l, now)) {
        if (l->under_way == 0) {
            finish(l);
        }
    } else if (l->options->rate > 0) {
        list_push_back(&l->free, &client->node);
    } else {
        begin_call(l, client, now);
    }
}

static void on_written(uv_write_t *request, int status);

/* One write at a time; the bytes stay valid in grpc until they are reported sent. */
static void flush(struct connection *c)
{
    while (!c->writing && c->grpc != NULL) {
        struct bytes out = grpc_output(c->grpc);
        uv_buf_t buf = uv_buf_init((char *) (uintptr_t) out.data, (unsigned) out.size);
        int n;

        if (out.size == 0) {
            return;
        }
        n = uv_try_write((uv_stream_t *) &c->tcp, &buf, 1);
        if (n > 0) {
            grpc_sent(c->grpc, (size_t) n);
            continue;
        }
        c->writing = true;
        c->write.data = c;
        if (uv_write(&c->write, (uv_stream_t *) &c->tcp, &buf, 1, on_written) != 0) {
            fail(c->load, ERR_CLOSED, "the connection broke", c->endpoint);
            return;
        }
        c->write_size = out.size;
    }
}

static void on_written(uv_write_t *request, int status)
{
    struct connection *c = request->data;

    c->writing = false;
    if (status < 0 || c->grpc == NULL) {
        return;
    }
    grpc_sent(c->grpc, c->write_size);
    flush(c);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    struct connection *c = handle->data;

    (void) suggested;
    *ret_buf = uv_buf_init((char *) c->load->read_buffer, READ_SIZE);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct connection *c = stream->data;

    if (n == 0 || c->load->stopping) {
        return;
    }
    if (n < 0) {
        fail(c->load, ERR_CLOSED, "the server closed the connection", c->endpoint);
        return;
    }
    if (grpc_feed(c->grpc, bytes_of((const uint8_t *) buf->base, (size_t) n)) != OK) {
        fail(c->load, ERR_MALFORMED, "the server does not speak gRPC", c->endpoint);
        return;
    }
    mark_dirty(c);
}

static void begin_all(struct load *l)
{
    l->start_us = now_us();
    l->next_due_us = l->start_us;
    for (uint32_t i = 0; i < l->options->clients && !l->stopping; i++) {
        if (l->options->rate > 0) {
            list_push_back(&l->free, &l->clients[i].node);
        } else if (!load_over(l, l->start_us)) {
            begin_call(l, &l->clients[i], l->start_us);
        }
    }
}

static void on_connect(uv_connect_t *request, int status)
{
    struct connection *c = request->handle->data;
    struct load *l = c->load;

    if (l->stopping) {
        return;
    }
    if (status < 0) {
        fail(l, ERR_UNREACHABLE, uv_strerror(status), c->endpoint);
        return;
    }
    ERR_IGNORE(uv_tcp_nodelay(&c->tcp, 1)); /* slower without, not wrong */
    if (uv_read_start((uv_stream_t *) &c->tcp, on_alloc, on_read) != 0) {
        fail(l, ERR_UNREACHABLE, "cannot read", c->endpoint);
        return;
    }
    c->up = true;
    if (++l->up == l->options->connections) {
        begin_all(l);
    }
}

/* Open loop: begins every call that is due. */
static void begin_due(struct load *l, uint64_t now)
{
    uint64_t step = 1000000 / l->options->rate;

    while (l->next_due_us <= now && !load_over(l, l->next_due_us)) {
        struct list_node *node = list_pop_front(&l->free);

        if (node == NULL) {
            l->result->late++;
            return; /* it begins with the next free client, measured from its moment */
        }
        begin_call(l, container_of(node, struct client, node), l->next_due_us);
        l->next_due_us += step == 0 ? 1 : step;
    }
}

static void on_timer(uv_timer_t *timer)
{
    (void) timer; /* wakes the loop; the turn does the work */
}

static void turn(uv_prepare_t *prepare)
{
    struct load *l = prepare->data;
    struct list_node *node;
    uint64_t now = now_us();

    if (l->start_us != 0 && l->options->rate > 0) {
        begin_due(l, now);
    }
    if (l->start_us != 0 && load_over(l, now) && l->under_way == 0) {
        finish(l);
    }
    while ((node = list_pop_front(&l->dirty)) != NULL) {
        flush(container_of(node, struct connection, dirty));
    }
}

static int make_template(struct load *l)
{
    const struct bench_options *o = l->options;
    uint8_t key[KEY_SIZE_MAX];
    uint8_t *value = xmalloc(o->value_size + 1);
    int err;

    memset(key, '0', o->key_size);
    key[0] = 'k';
    for (uint32_t i = 0; i < o->value_size; i++) {
        value[i] = (uint8_t) rng_below(&l->rng, 256);
    }
    buf_init(&l->request, (size_t) o->value_size + KEY_SIZE_MAX + 64);
    if (o->kind == BENCH_PUT) {
        const struct put_request put = {
            .key = bytes_of(key, o->key_size),
            .value = bytes_of(value, o->value_size),
        };

        l->path = "/etcdserverpb.KV/Put";
        err = wire_put_request_encode(&put, &l->request);
    } else {
        const struct range_request range = {
            .key = bytes_of(key, o->key_size),
            .serializable = o->serializable,
        };

        l->path = "/etcdserverpb.KV/Range";
        err = wire_range_request_encode(&range, &l->request);
    }
    free(value);
    /* Field 1 is the key in both: a tag byte, its length, its bytes. */
    l->key_offset = o->key_size < 128 ? 2 : 3;
    return err;
}

static int open_connection(struct load *l, struct connection *c)
{
    struct grpc_callbacks callbacks = {.on_end = on_end, .ctx = c};
    struct grpc_limits limits;
    struct sockaddr_storage address;
    char authority[300];
    int err;

    grpc_limits_init(&limits);
    limits.streams_max = UINT16_MAX;
    (void) snprintf(authority, sizeof(authority), "%s:%u", c->endpoint->host, c->endpoint->port);
    err = grpc_new_client(&callbacks, &limits, authority, &c->grpc);
    if (err != OK) {
        return err;
    }
    if (uv_ip4_addr(c->endpoint->host, c->endpoint->port, (struct sockaddr_in *) &address) != 0 &&
        uv_ip6_addr(c->endpoint->host, c->endpoint->port, (struct sockaddr_in6 *) &address) != 0) {
        fail(l, ERR_INVALID, "not an IP address", c->endpoint);
        return ERR_INVALID;
    }
    if (uv_tcp_connect(&c->connect, &c->tcp, (const struct sockaddr *) &address, on_connect) != 0) {
        fail(l, ERR_UNREACHABLE, "cannot connect", c->endpoint);
        return ERR_UNREACHABLE;
    }
    return OK;
}

static int open_all(struct load *l)
{
    const struct bench_options *o = l->options;
    int err = OK;

    for (uint32_t i = 0; i < o->connections; i++) {
        struct connection *c = &l->connections[i];

        c->load = l;
        c->endpoint = &o->endpoints[i % o->endpoints_count];
        c->tcp.data = c;
        ERR_IGNORE(uv_tcp_init(&l->loop, &c->tcp)); /* makes no system call */
    }
    for (uint32_t i = 0; i < o->connections && err == OK; i++) {
        err = open_connection(l, &l->connections[i]);
    }
    for (uint32_t i = 0; i < o->clients; i++) {
        l->clients[i].connection = &l->connections[i % o->connections];
    }
    return err;
}

static void close_all(struct load *l)
{
    l->stopping = true;
    for (uint32_t i = 0; i < l->options->connections; i++) {
        struct connection *c = &l->connections[i];

        l->under_way = 0; /* what is still open is not counted */
        grpc_free(c->grpc);
        c->grpc = NULL;
        uv_close((uv_handle_t *) &c->tcp, NULL);
    }
    uv_close((uv_handle_t *) &l->prepare, NULL);
    uv_close((uv_handle_t *) &l->timer, NULL);
    ERR_IGNORE(uv_run(&l->loop, UV_RUN_DEFAULT));
}

int bench_run(const struct bench_options *options, struct bench_result *ret_result,
              struct buf *error)
{
    struct load *l = xcalloc(1, sizeof(*l));
    struct bench_result *result = xcalloc(1, sizeof(*result));
    int err;

    if (options->connections == 0 || options->clients == 0 || options->key_space == 0 ||
        options->key_size < 2 || options->key_size > KEY_SIZE_MAX || uv_loop_init(&l->loop) != 0) {
        free(result);
        free(l);
        return ERR_INVALID;
    }
    l->options = options;
    l->result = result;
    rng_init(&l->rng, options->seed);
    list_init(&l->dirty);
    list_init(&l->free);
    l->connections = xcalloc(options->connections, sizeof(*l->connections));
    l->clients = xcalloc(options->clients, sizeof(*l->clients));
    ERR_IGNORE(uv_prepare_init(&l->loop, &l->prepare)); /* these four make no system call */
    ERR_IGNORE(uv_timer_init(&l->loop, &l->timer));
    l->prepare.data = l;
    ERR_IGNORE(uv_prepare_start(&l->prepare, turn));
    ERR_IGNORE(uv_timer_start(&l->timer, on_timer, 1, options->rate > 0 ? 1 : 100));
    err = make_template(l);
    if (err == OK) {
        err = open_all(l);
    }
    if (err == OK) {
        ERR_IGNORE(uv_run(&l->loop, UV_RUN_DEFAULT));
        err = l->err;
    }
    close_all(l);
    if (err != OK) {
        ERR_IGNORE(buf_printf(error, "%s", l->err != OK ? l->error : err_text(err)));
    } else {
        result->elapsed_us = l->last_us > l->measure_us ? l->last_us - l->measure_us : 0;
        *ret_result = *result;
    }
    ERR_IGNORE(uv_loop_close(&l->loop));
    buf_release(&l->request);
    free(l->connections);
    free(l->clients);
    free(l);
    free(result);
    return err;
}
