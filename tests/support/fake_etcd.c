/*
 * fake_etcd.c - see fake_etcd.h.
 */
#include "tests/support/fake_etcd.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/mem.h"
#include "net/grpc.h"
#include "proto/wire_kv.h"

enum { READ_SIZE = 64 * 1024, SCRIPT_MAX = 64, BACKLOG = 16 };

#define STATUS_PATH "/etcdserverpb.Maintenance/Status"

struct connection {
    uv_tcp_t tcp;
    struct list_node node;
    struct fake_etcd *fake;
    struct grpc *grpc;
    uv_write_t write;
    size_t writing;
    bool drop; /* close when the callbacks of gRPC have returned */
    char buffer[READ_SIZE];
};

struct fake_etcd {
    uv_loop_t *loop;
    uv_tcp_t listener;
    uv_prepare_t prepare;
    struct list connections;
    char endpoint[32];
    bool synod;
    bool status_hangs;
    uint32_t handles;
    struct fake_answer script[SCRIPT_MAX];
    uint32_t script_count;
    uint32_t script_at;
    struct fake_call calls[FAKE_CALLS_MAX];
    uint32_t calls_count;
    uint32_t accepted;
};

static void handle_gone(struct fake_etcd *f)
{
    f->handles--;
    if (f->handles == 0) {
        free(f);
    }
}

static void on_handle_closed(uv_handle_t *handle)
{
    handle_gone(handle->data);
}

static void on_connection_closed(uv_handle_t *handle)
{
    struct connection *c = handle->data;
    struct fake_etcd *f = c->fake;

    list_remove(&c->node);
    grpc_free(c->grpc);
    free(c);
    handle_gone(f);
}

static void connection_close(struct connection *c)
{
    if (!uv_is_closing((uv_handle_t *) &c->tcp)) {
        uv_close((uv_handle_t *) &c->tcp, on_connection_closed);
    }
}

/* ---- Calls ---- */

static void reply_buf(struct grpc *g, uint32_t call, const struct buf *b)
{
    struct blob *message = blob_copy(buf_bytes(b));

    ERR_IGNORE(grpc_reply(g, call, message)); /* the client may be gone */
    blob_unref(message);
}

static void answer_status(struct fake_etcd *f, struct grpc *g, uint32_t call)
{
    const struct api_header header = {.cluster_id = 1, .member_id = 1, .revision = 1};
    const struct api_status status = {
        .version = bytes_str(f->synod ? "3.4.23+synod.0.1.0" : "3.4.23"),
    };
    struct buf b;
    int err;

    buf_init(&b, 4096);
    err = wire_status_encode(&header, &status, &b);
    ASSERT(err == OK);
    reply_buf(g, call, &b);
    buf_release(&b);
}

static uint64_t parse_u64(struct bytes text)
{
    uint64_t n = 0;

    for (size_t i = 0; i < text.size; i++) {
        n = n * 10 + (uint64_t) (text.data[i] - '0');
    }
    return n;
}

static void on_begin(void *ctx, struct grpc *g, const struct grpc_begin *begin)
{
    struct connection *c = ctx;
    struct fake_etcd *f = c->fake;
    struct fake_call *call;

    if (bytes_equal(begin->path, bytes_str(STATUS_PATH))) {
        grpc_call_set_user(g, begin->call, f); /* marks it */
        return;
    }
    ASSERT(f->calls_count < FAKE_CALLS_MAX);
    call = &f->calls[f->calls_count++];
    for (uint32_t i = 0; i < begin->metadata_count; i++) {
        if (bytes_equal(begin->metadata[i].name, bytes_str("synod-session"))) {
            call->session = parse_u64(begin->metadata[i].value);
        }
        if (bytes_equal(begin->metadata[i].name, bytes_str("synod-sequence"))) {
            call->sequence = parse_u64(begin->metadata[i].value);
        }
    }
}

static void on_half_close(void *ctx, struct grpc *g, uint32_t id)
{
    struct connection *c = ctx;
    struct fake_etcd *f = c->fake;
    struct fake_answer answer = {.action = FAKE_OK};
    struct buf empty;

    if (grpc_call_user(g, id) == f) {
        if (!f->status_hangs) {
            answer_status(f, g, id);
        }
        return;
    }
    if (f->script_at < f->script_count) {
        answer = f->script[f->script_at++];
    }
    buf_init(&empty, 0);
    switch (answer.action) {
    case FAKE_STATUS:
        ERR_IGNORE(grpc_finish(g, id, answer.status, answer.text)); /* the client may be gone */
        break;
    case FAKE_DROP:
        c->drop = true;
        break;
    case FAKE_SILENCE:
        break;
    case FAKE_GOAWAY:
        reply_buf(g, id, &empty);
        grpc_shutdown(g);
        break;
    default:
        reply_buf(g, id, &empty);
    }
}

/* ---- Bytes ---- */

static void connection_flush(struct connection *c);

static void on_written(uv_write_t *write, int status)
{
    struct connection *c = write->data;

    if (status == 0) {
        grpc_sent(c->grpc, c->writing);
        c->writing = 0;
        connection_flush(c);
    }
}

static void connection_flush(struct connection *c)
{
    struct bytes out;
    uv_buf_t b;

    if (c->writing > 0 || uv_is_closing((uv_handle_t *) &c->tcp)) {
        return;
    }
    out = grpc_output(c->grpc);
    if (out.size > 0) {
        b = uv_buf_init((char *) (uintptr_t) out.data, (unsigned) out.size);
        c->write.data = c;
        c->writing = out.size;
        if (uv_write(&c->write, (uv_stream_t *) &c->tcp, &b, 1, on_written) != 0) {
            connection_close(c);
        }
    } else if (grpc_finished(c->grpc)) {
        connection_close(c);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    struct connection *c = handle->data;

    (void) suggested;
    *ret_buf = uv_buf_init(c->buffer, sizeof(c->buffer));
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *read)
{
    struct connection *c = stream->data;

    if (size < 0 || (size > 0 && grpc_feed(c->grpc, bytes_of(read->base, (size_t) size)) != OK) ||
        c->drop) {
        connection_close(c);
    }
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct fake_etcd *f = prepare->data;

    LIST_FOR_EACH(&f->connections, node) {
        connection_flush(list_entry(node, struct connection, node));
    }
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct fake_etcd *f = listener->data;
    struct connection *c = xcalloc(1, sizeof(*c));
    const struct grpc_callbacks callbacks = {
        .on_begin = on_begin,
        .on_half_close = on_half_close,
        .ctx = c,
    };
    struct grpc_limits limits;
    int err;

    ASSERT(status == 0);
    grpc_limits_init(&limits);
    err = grpc_new_server(&callbacks, &limits, &c->grpc);
    ASSERT(err == OK);
    err = uv_tcp_init(f->loop, &c->tcp);
    ASSERT(err == 0);
    c->fake = f;
    c->tcp.data = c;
    list_push_back(&f->connections, &c->node);
    f->handles++;
    f->accepted++;
    if (uv_accept(listener, (uv_stream_t *) &c->tcp) != 0 ||
        uv_read_start((uv_stream_t *) &c->tcp, on_alloc, on_read) != 0) {
        connection_close(c);
    }
}

/* ---- For tests ---- */

void fake_etcd_hang_status(struct fake_etcd *f)
{
    f->status_hangs = true;
}

struct fake_etcd *fake_etcd_new(struct uv_loop_s *loop, bool synod)
{
    struct fake_etcd *f = xcalloc(1, sizeof(*f));
    struct sockaddr_in address;
    int size = sizeof(address);
    int err = uv_ip4_addr("127.0.0.1", 0, &address);

    ASSERT(err == 0);
    f->loop = loop;
    f->synod = synod;
    f->handles = 2;
    list_init(&f->connections);
    err = uv_tcp_init(loop, &f->listener);
    ASSERT(err == 0);
    err = uv_prepare_init(loop, &f->prepare);
    ASSERT(err == 0);
    f->listener.data = f;
    f->prepare.data = f;
    err = uv_tcp_bind(&f->listener, (const struct sockaddr *) &address, 0);
    ASSERT(err == 0);
    err = uv_listen((uv_stream_t *) &f->listener, BACKLOG, on_connection);
    ASSERT(err == 0);
    err = uv_tcp_getsockname(&f->listener, (struct sockaddr *) &address, &size);
    ASSERT(err == 0);
    err = uv_prepare_start(&f->prepare, on_prepare);
    ASSERT(err == 0);
    (void) snprintf(f->endpoint, sizeof(f->endpoint), "127.0.0.1:%u",
                    ntohs(address.sin_port)); /* it fits */
    return f;
}

void fake_etcd_close(struct fake_etcd *f)
{
    LIST_FOR_EACH(&f->connections, node) {
        connection_close(list_entry(node, struct connection, node));
    }
    uv_close((uv_handle_t *) &f->listener, on_handle_closed);
    uv_close((uv_handle_t *) &f->prepare, on_handle_closed);
}

const char *fake_etcd_endpoint(const struct fake_etcd *f)
{
    return f->endpoint;
}

void fake_etcd_then(struct fake_etcd *f, struct fake_answer answer)
{
    ASSERT(f->script_count < SCRIPT_MAX);
    f->script[f->script_count++] = answer;
}

uint32_t fake_etcd_calls(const struct fake_etcd *f)
{
    return f->calls_count;
}

struct fake_call fake_etcd_call(const struct fake_etcd *f, uint32_t i)
{
    ASSERT(i < f->calls_count);
    return f->calls[i];
}

uint32_t fake_etcd_accepted(const struct fake_etcd *f)
{
    return f->accepted;
}

uint32_t fake_etcd_open(const struct fake_etcd *f)
{
    uint32_t count = 0;

    LIST_FOR_EACH(&f->connections, node) {
        count++;
    }
    return count;
}
