/*
 * server_conn.c - client connections: TCP bytes between libuv and gRPC, one write per loop turn and
 * connection.
 */
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/assert.h"
#include "base/diag.h"
#include "base/mem.h"
#include "kv/server_internal.h"

enum {
    READ_BUFFER_SIZE = 256 * 1024,
    LISTEN_BACKLOG = 1024,
};

struct server_clients {
    struct server *server;
    uv_tcp_t listener;
    bool listening;
    struct list connections; /* of struct client */
    uint32_t count;
    uint64_t refused;
    uint8_t
        read_buffer[READ_BUFFER_SIZE]; /* one for all: bytes are consumed in the read callback */
};

struct client {
    struct api_connection api; /* first: the API gives it back */
    struct server_clients *clients;
    struct list_node node;
    uv_tcp_t tcp;
    uv_write_t write;
    uint8_t *unsent; /* a copy of what the socket did not take at once; NULL when no write is under
                        way */
    bool closing;
    bool broken; /* protocol error: close once the last output is gone */
};

static void on_closed(uv_handle_t *handle)
{
    struct client *c = handle->data;

    free(c->unsent);
    free(c);
}

static void client_close(struct client *c)
{
    if (c->closing) {
        return;
    }
    c->closing = true;
    list_remove(&c->node);
    c->clients->count--;
    grpc_free(c->api.grpc); /* ends its calls */
    c->api.grpc = NULL;
    if (list_node_linked(&c->api.dirty)) {
        list_remove(&c->api.dirty);
    }
    uv_close((uv_handle_t *) &c->tcp, on_closed);
}

static void client_flush(struct client *c);

static void on_written(uv_write_t *request, int status)
{
    struct client *c = request->data;

    if (c->closing) {
        return; /* freed by on_closed */
    }
    free(c->unsent);
    c->unsent = NULL;
    if (status < 0) {
        client_close(c);
        return;
    }
    client_flush(c);
}

/* Writes what gRPC has ready. The rest of what the socket does not take is copied and goes when it
 * is writable; until then nothing more is asked of gRPC, whose own limit ends a connection that
 * never reads. */
static void client_flush(struct client *c)
{
    if (grpc_broken(c->api.grpc)) {
        client_close(c);
        return;
    }
    while (c->unsent == NULL) {
        struct bytes out = grpc_output(c->api.grpc);
        uv_buf_t buf = uv_buf_init((char *) (uintptr_t) out.data, (unsigned) out.size);
        int n;

        if (out.size == 0) {
            if (c->broken || grpc_finished(c->api.grpc)) {
                client_close(c);
            }
            return;
        }
        n = uv_try_write((uv_stream_t *) &c->tcp, &buf, 1);
        if (n < 0 && n != UV_EAGAIN) {
            client_close(c);
            return;
        }
        n = n < 0 ? 0 : n;
        if ((size_t) n < out.size) {
            buf.len = out.size - (size_t) n;
            c->unsent = xmemdup(out.data + n, buf.len);
            buf.base = (char *) c->unsent;
            c->write.data = c;
            if (uv_write(&c->write, (uv_stream_t *) &c->tcp, &buf, 1, on_written) != 0) {
                client_close(c);
                return;
            }
        }
        grpc_sent(c->api.grpc, out.size);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    struct client *c = handle->data;

    (void) suggested;
    *ret_buf = uv_buf_init((char *) c->clients->read_buffer, READ_BUFFER_SIZE);
}

static void mark_dirty(struct client *c)
{
    api_mark_dirty(c->api.api, &c->api);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct client *c = stream->data;

    if (n == 0) {
        return;
    }
    if (n < 0) {
        client_close(c);
        return;
    }
    if (grpc_feed(c->api.grpc, bytes_of((const uint8_t *) buf->base, (size_t) n)) != OK) {
        c->broken = true;
        ERR_IGNORE(uv_read_stop(stream));
    }
    mark_dirty(c);
}

static int client_open(struct client *c)
{
    struct server *s = c->clients->server;
    struct grpc_callbacks callbacks;
    int err;

    api_connection_init(s->api, &c->api, &callbacks);
    err = grpc_new_server(&callbacks, &s->options->grpc, &c->api.grpc);
    if (err != OK) {
        return err;
    }
    ERR_IGNORE(uv_tcp_nodelay(&c->tcp, 1)); /* slower without, not wrong */
    if (uv_read_start((uv_stream_t *) &c->tcp, on_alloc, on_read) != 0) {
        grpc_free(c->api.grpc);
        return ERR_IO;
    }
    return OK;
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct server_clients *clients = listener->data;
    struct client *c;

    if (status < 0) {
        DIAG_WARN("a client could not be accepted: %s", uv_strerror(status));
        return;
    }
    c = xcalloc(1, sizeof(*c));
    c->clients = clients;
    c->tcp.data = c;
    ERR_IGNORE(uv_tcp_init(clients->server->loop, &c->tcp)); /* makes no system call */
    if (uv_accept(listener, (uv_stream_t *) &c->tcp) != 0) {
        goto refuse;
    }
    if (clients->count >= clients->server->clients_max) {
        if (clients->refused++ == 0) {
            DIAG_WARN("%u clients are connected: further ones are refused; raise %s",
                      clients->count,
                      clients->count >= clients->server->options->connections_max
                          ? "limits.connections_max"
                          : "the limit of open files (ulimit -n)");
        }
        goto refuse;
    }
    if (client_open(c) != OK) {
        goto refuse;
    }
    list_push_back(&clients->connections, &c->node);
    clients->count++;
    mark_dirty(c); /* our SETTINGS frame */
    return;

refuse:
    c->closing = true;
    uv_close((uv_handle_t *) &c->tcp, on_closed);
}

static int bind_listener(struct server *s, struct server_clients *clients, struct buf *error)
{
    const char *host = s->options->client_host;
    uint16_t port = s->options->client_port;
    struct sockaddr_storage address;
    int rc;

    if (uv_ip4_addr(host, port, (struct sockaddr_in *) &address) != 0 &&
        uv_ip6_addr(host, port, (struct sockaddr_in6 *) &address) != 0) {
        ERR_IGNORE(buf_printf(error,
                              "client address %s:%u: not an IP address; the address to listen on "
                              "must be numeric (0.0.0.0 for all interfaces)",
                              host, port));
        return ERR_INVALID;
    }
    rc = uv_tcp_bind(&clients->listener, (const struct sockaddr *) &address, 0);
    if (rc == 0) {
        rc = uv_listen((uv_stream_t *) &clients->listener, LISTEN_BACKLOG, on_connection);
    }
    if (rc == UV_EADDRINUSE) {
        ERR_IGNORE(buf_printf(error,
                              "client address %s:%u is in use: another node or etcd runs there; "
                              "end it or choose another port",
                              host, port));
        return ERR_ADDRESS_IN_USE;
    }
    if (rc != 0) {
        ERR_IGNORE(buf_printf(error, "client address %s:%u: %s", host, port, uv_strerror(rc)));
        return ERR_IO;
    }
    return OK;
}

int server_clients_start(struct server *s, struct buf *error)
{
    struct server_clients *clients = xcalloc(1, sizeof(*clients));

    clients->server = s;
    list_init(&clients->connections);
    ERR_IGNORE(uv_tcp_init(s->loop, &clients->listener)); /* makes no system call */
    clients->listener.data = clients;
    clients->listening = true;
    s->clients = clients;
    return bind_listener(s, clients, error);
}

void server_clients_flush(struct server *s)
{
    struct api_connection *c;

    while ((c = api_next_dirty(s->api)) != NULL) {
        client_flush(container_of(c, struct client, api));
    }
}

static void stop_listening(struct server_clients *clients)
{
    if (clients->listening) {
        clients->listening = false;
        uv_close((uv_handle_t *) &clients->listener, NULL);
    }
}

void server_clients_shutdown(struct server *s)
{
    stop_listening(s->clients);
    LIST_FOR_EACH(&s->clients->connections, node) {
        struct client *c = container_of(node, struct client, node);

        grpc_shutdown(c->api.grpc);
        mark_dirty(c);
    }
}

void server_clients_close(struct server *s)
{
    if (s->clients == NULL) {
        return;
    }
    stop_listening(s->clients);
    while (!list_empty(&s->clients->connections)) {
        client_close(container_of(list_first(&s->clients->connections), struct client, node));
    }
}

bool server_clients_gone(const struct server *s)
{
    return s->clients->count == 0;
}

void server_clients_free(struct server *s)
{
    free(s->clients);
    s->clients = NULL;
}
