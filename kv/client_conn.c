/*
 * client_conn.c - see client_conn.h.
 *
 * A socket owns its gRPC state and lives from connect to its close callback; the connection points
 * to the one that takes new calls. So an old socket that finishes its calls after a GOAWAY, or is
 * closing, cannot be mixed up with the next.
 */
#include "kv/client_conn.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/mem.h"

enum { READ_SIZE = 64 * 1024, REASON_MAX = 256 };

enum conn_state { CONN_IDLE, CONN_RESOLVING, CONN_CONNECTING, CONN_UP };

struct conn_socket {
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write;
    struct list_node node; /* in conn->sockets */
    struct client_conn *conn;
    struct grpc *grpc; /* NULL until connected */
    size_t writing;    /* bytes of the write under way */
    bool closing;
    char buffer[READ_SIZE];
};

struct client_conn {
    struct client_conn_options options;
    char *name; /* host:port, as written */
    char *host;
    char *port;
    uint8_t state; /* enum conn_state */
    bool closing;
    int bad_name;     /* libuv's error for a name it does not even look up, or 0 */
    uint32_t handles; /* that keep this alive: sockets, timer, resolver */
    uv_timer_t timer;
    uv_getaddrinfo_t resolver;
    struct addrinfo *addresses;
    struct addrinfo *address;    /* the one being tried */
    struct conn_socket *current; /* being connected, or up */
    struct list sockets;
};

static void try_address(struct client_conn *c, int last_error);

/* ---- Names ---- */

static int bad_endpoint(struct buf *error, const char *endpoint, const char *why)
{
    if (error != NULL) {
        ERR_IGNORE(buf_printf(error, "endpoint '%s': %s", endpoint, why)); /* only a text */
    }
    return ERR_INVALID;
}

/* "host:port" or "[v6]:port" into host and port. */
static int split_name(struct client_conn *c, struct buf *error)
{
    const char *colon = strrchr(c->name, ':');
    const char *first = c->name;
    const char *end;
    char *rest = NULL;
    unsigned long port;

    if (colon == NULL || colon == c->name) {
        return bad_endpoint(error, c->name, "host:port is needed, like 127.0.0.1:2379");
    }
    end = colon;
    if (first[0] == '[') {
        if (end[-1] != ']') {
            return bad_endpoint(error, c->name, "an IPv6 address is written [address]:port");
        }
        first++;
        end--;
    } else if (memchr(first, ':', (size_t) (end - first)) != NULL) {
        return bad_endpoint(error, c->name, "an IPv6 address is written [address]:port");
    }
    port = strtoul(colon + 1, &rest, 10);
    if (colon[1] < '0' || colon[1] > '9' || *rest != '\0' || port == 0 || port > UINT16_MAX) {
        return bad_endpoint(error, c->name, "the port is a number from 1 to 65535");
    }
    c->host = xcalloc(1, (size_t) (end - first) + 1);
    memcpy(c->host, first, (size_t) (end - first));
    c->port = xstrdup(colon + 1);
    return OK;
}

static int parse_endpoint(struct client_conn *c, const char *endpoint, struct buf *error)
{
    const char *name = endpoint;
    size_t size;

    if (strncmp(name, "https://", 8) == 0) {
        return bad_endpoint(error, endpoint, "TLS is not supported by this version; use http://");
    }
    if (strncmp(name, "http://", 7) == 0) {
        name += 7;
    }
    size = strlen(name);
    if (size > 0 && name[size - 1] == '/') {
        size--;
    }
    c->name = xcalloc(1, size + 1);
    memcpy(c->name, name, size);
    return split_name(c, error);
}

/* ---- Life and death ---- */

static void conn_free(struct client_conn *c)
{
    if (c->addresses != NULL) {
        uv_freeaddrinfo(c->addresses);
    }
    free(c->name);
    free(c->host);
    free(c->port);
    free(c);
}

/* A handle is gone; with the last one of a closing connection, so is it. */
static void handle_gone(struct client_conn *c)
{
    void (*on_closed)(void *ctx) = c->options.on_closed;
    void *ctx = c->options.ctx;

    ASSERT(c->handles > 0);
    c->handles--;
    if (c->closing && c->handles == 0) {
        conn_free(c);
        on_closed(ctx);
    }
}

static void on_timer_closed(uv_handle_t *handle)
{
    handle_gone(handle->data);
}

static void on_socket_closed(uv_handle_t *handle)
{
    struct conn_socket *s = handle->data;
    struct client_conn *c = s->conn;

    list_remove(&s->node);
    grpc_free(s->grpc); /* ends its calls */
    free(s);
    handle_gone(c);
}

static void socket_close(struct conn_socket *s)
{
    if (s->closing) {
        return;
    }
    s->closing = true;
    if (s->conn->current == s) {
        s->conn->current = NULL;
    }
    uv_close((uv_handle_t *) &s->tcp, on_socket_closed);
}

int client_conn_new(const struct client_conn_options *options, struct client_conn **ret_conn,
                    struct buf *error)
{
    struct client_conn *c = xcalloc(1, sizeof(*c));
    int err;

    c->options = *options;
    list_init(&c->sockets);
    err = parse_endpoint(c, options->endpoint, error);
    if (err != OK) {
        conn_free(c);
        return err;
    }
    c->options.endpoint = c->name;
    ERR_IGNORE(uv_timer_init(options->loop, &c->timer)); /* cannot fail */
    c->timer.data = c;
    c->resolver.data = c;
    c->handles = 1;
    *ret_conn = c;
    return OK;
}

void client_conn_close(struct client_conn *c)
{
    if (c->closing) {
        return;
    }
    c->closing = true;
    LIST_FOR_EACH(&c->sockets, node) {
        socket_close(list_entry(node, struct conn_socket, node));
    }
    if (c->state == CONN_RESOLVING) {
        ERR_IGNORE(uv_cancel((uv_req_t *) &c->resolver)); /* running: its callback comes later */
    }
    uv_close((uv_handle_t *) &c->timer, on_timer_closed);
}

/* The attempt or the connection ended. */
static void go_down(struct client_conn *c, const char *format, const char *detail)
{
    char reason[REASON_MAX];
    bool was_up = c->state == CONN_UP;

    if (c->closing || c->state == CONN_IDLE) {
        return;
    }
    (void) snprintf(reason, sizeof(reason), format, detail); /* a longer text is cut */
    ERR_IGNORE(uv_timer_stop(&c->timer));
    if (c->current != NULL) {
        socket_close(c->current);
    }
    c->state = CONN_IDLE;
    c->options.on_down(c->options.ctx, was_up, reason);
}

/* ---- Bytes ---- */

static void socket_flush(struct conn_socket *s);

/* The socket broke: the connection is down if it was its current one. */
static void socket_broke(struct conn_socket *s, const char *format, const char *detail)
{
    struct client_conn *c = s->conn;

    if (c->current == s) {
        go_down(c, format, detail);
    } else {
        socket_close(s);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    struct conn_socket *s = handle->data;

    (void) suggested;
    *ret_buf = uv_buf_init(s->buffer, sizeof(s->buffer));
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *read)
{
    struct conn_socket *s = stream->data;
    int err;

    if (s->closing || size == 0) {
        return;
    }
    if (size == UV_EOF) {
        socket_broke(s, "%s", "the server closed the connection");
        return;
    }
    if (size < 0) {
        socket_broke(s, "connection lost: %s", uv_strerror((int) size));
        return;
    }
    err = grpc_feed(s->grpc, bytes_of(read->base, (size_t) size));
    if (err != OK) {
        socket_flush(s); /* what the server should hear about it */
        socket_broke(s, "%s", "what answers there does not speak gRPC (HTTP/2)");
    }
}

static void on_written(uv_write_t *write, int status)
{
    struct conn_socket *s = write->data;
    size_t size = s->writing;

    s->writing = 0;
    if (s->closing) {
        return;
    }
    if (status < 0) {
        socket_broke(s, "connection lost: %s", uv_strerror(status));
        return;
    }
    grpc_sent(s->grpc, size);
    socket_flush(s);
}

/* Writes at once what the socket takes, and leaves the rest to libuv. */
static void socket_flush(struct conn_socket *s)
{
    while (!s->closing && s->grpc != NULL && s->writing == 0) {
        struct bytes out = grpc_output(s->grpc);
        uv_buf_t b = uv_buf_init((char *) (uintptr_t) out.data, (unsigned) out.size);
        int n;

        if (out.size == 0) {
            return;
        }
        n = uv_try_write((uv_stream_t *) &s->tcp, &b, 1);
        if (n > 0) {
            grpc_sent(s->grpc, (size_t) n);
            continue;
        }
        s->write.data = s;
        n = uv_write(&s->write, (uv_stream_t *) &s->tcp, &b, 1, on_written);
        if (n < 0) {
            socket_broke(s, "connection lost: %s", uv_strerror(n));
            return;
        }
        s->writing = out.size;
    }
}

void client_conn_flush(struct client_conn *c)
{
    /* A socket that breaks meanwhile stays in the list until its close callback. */
    LIST_FOR_EACH(&c->sockets, node) {
        struct conn_socket *s = list_entry(node, struct conn_socket, node);

        socket_flush(s);
        if (!s->closing && s->grpc != NULL && grpc_finished(s->grpc)) {
            socket_broke(s, "%s", "the server ended the connection, or does not speak gRPC");
        } else if (s != c->current && s->grpc != NULL && s->writing == 0 &&
                   grpc_calls(s->grpc) == 0) {
            socket_close(s); /* sent away, and its calls have ended */
        }
    }
}

struct grpc *client_conn_grpc(const struct client_conn *c)
{
    return c->state == CONN_UP && c->current != NULL ? c->current->grpc : NULL;
}

const char *client_conn_name(const struct client_conn *c)
{
    return c->name;
}

/* ---- Connecting ---- */

/* The server goes away: calls on this socket end there, new ones want a new socket. */
static void on_goaway(void *ctx, struct grpc *g)
{
    struct client_conn *c = ctx;

    if (c->current != NULL && c->current->grpc == g && c->state == CONN_UP) {
        c->current = NULL;
        c->state = CONN_IDLE;
    }
}

static void relay_message(void *ctx, struct grpc *g, uint32_t call, struct blob *message)
{
    const struct client_conn *c = ctx;

    c->options.grpc.on_message(c->options.grpc.ctx, g, call, message);
}

static void relay_end(void *ctx, struct grpc *g, uint32_t call, int status, struct bytes text,
                      bool refused)
{
    const struct client_conn *c = ctx;

    c->options.grpc.on_end(c->options.grpc.ctx, g, call, status, text, refused);
}

static void connected(struct conn_socket *s)
{
    struct client_conn *c = s->conn;
    const struct grpc_callbacks callbacks = {
        .on_message = relay_message,
        .on_end = relay_end,
        .on_goaway = on_goaway,
        .ctx = c,
    };
    int err = grpc_new_client(&callbacks, &c->options.limits, c->name, &s->grpc);

    if (err != OK) {
        go_down(c, "%s", err_text(err));
        return;
    }
    ERR_IGNORE(uv_tcp_nodelay(&s->tcp, 1)); /* only slower without */
    err = uv_read_start((uv_stream_t *) &s->tcp, on_alloc, on_read);
    if (err < 0) {
        go_down(c, "cannot read: %s", uv_strerror(err));
        return;
    }
    ERR_IGNORE(uv_timer_stop(&c->timer));
    c->state = CONN_UP;
    c->options.on_up(c->options.ctx);
}

static void on_connect(uv_connect_t *connect, int status)
{
    struct conn_socket *s = connect->data;
    struct client_conn *c = s->conn;

    if (s->closing) {
        return;
    }
    ASSERT(c->current == s && c->state == CONN_CONNECTING);
    if (status == 0) {
        connected(s);
        return;
    }
    socket_close(s);
    c->address = c->address->ai_next;
    try_address(c, status);
}

/* Connects to c->address and, when that fails, to those after it. */
static void try_address(struct client_conn *c, int last_error)
{
    while (c->address != NULL) {
        struct conn_socket *s = xcalloc(1, sizeof(*s));

        ERR_IGNORE(uv_tcp_init(c->options.loop, &s->tcp)); /* makes no socket yet: cannot fail */
        s->conn = c;
        s->tcp.data = s;
        s->connect.data = s;
        list_push_back(&c->sockets, &s->node);
        c->handles++;
        c->current = s;
        last_error = uv_tcp_connect(&s->connect, &s->tcp, c->address->ai_addr, on_connect);
        if (last_error == 0) {
            return;
        }
        socket_close(s);
        c->address = c->address->ai_next;
    }
    go_down(c, "%s", uv_strerror(last_error));
}

static void on_timeout(uv_timer_t *timer)
{
    struct client_conn *c = timer->data;

    if (c->state == CONN_RESOLVING) {
        /* The request is still with libuv: the state stays, so that it is not begun twice; its
         * callback, late or canceled, ends the attempt. */
        if (uv_cancel((uv_req_t *) &c->resolver) == 0) {
            return;
        }
        c->options.on_down(c->options.ctx, false, "resolving the name takes too long");
        return;
    }
    if (c->bad_name != 0) {
        go_down(c, "cannot resolve the name: %s", uv_strerror(c->bad_name));
        return;
    }
    go_down(c, "%s", "connecting timed out");
}

static void on_resolved(uv_getaddrinfo_t *resolver, int status, struct addrinfo *addresses)
{
    struct client_conn *c = resolver->data;

    if (c->closing || c->state != CONN_RESOLVING) {
        uv_freeaddrinfo(addresses);
        handle_gone(c);
        return;
    }
    c->handles--; /* the timer still keeps it alive */
    if (status != 0) {
        go_down(c, "cannot resolve the name: %s",
                status == UV_ECANCELED ? "no answer in time" : uv_strerror(status));
        return;
    }
    c->addresses = addresses;
    c->address = addresses;
    c->state = CONN_CONNECTING;
    /* Anew: a late answer may come after the timer of its attempt. */
    ERR_IGNORE(uv_timer_start(&c->timer, on_timeout, c->options.connect_ms, 0));
    try_address(c, UV_EAI_NODATA);
}

void client_conn_connect(struct client_conn *c)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    int err;

    if (c->closing || c->state != CONN_IDLE) {
        return;
    }
    if (c->addresses != NULL) {
        uv_freeaddrinfo(c->addresses);
        c->addresses = NULL;
    }
    c->state = CONN_RESOLVING;
    ERR_IGNORE(uv_timer_start(&c->timer, on_timeout, c->options.connect_ms, 0)); /* not closing */
    err = uv_getaddrinfo(c->options.loop, &c->resolver, on_resolved, c->host, c->port, &hints);
    if (err != 0) {
        /* A name that is too long or not legal. Said from the loop, as every failure. */
        c->state = CONN_CONNECTING;
        c->bad_name = err;
        ERR_IGNORE(uv_timer_start(&c->timer, on_timeout, 0, 0));
        return;
    }
    c->handles++;
}
