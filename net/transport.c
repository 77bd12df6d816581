/*
 * transport.c - listening, the connections that peers opened, and the table of links.
 *
 * An accepted connection is nobody's until its first frame, the hello, says whose it is.
 */

#include "net/transport.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "base/assert.h"
#include "base/mem.h"
#include "net/frame.h"
#include "net/transport_link.h"

#define READ_SIZE ((size_t) 64 * 1024)
#define LISTEN_BACKLOG 128
#define KEEPALIVE_S 15

struct inbound {
    struct list_node node;
    uv_tcp_t tcp;
    struct transport *transport;
    struct frame_reader reader;
    uint64_t hello_deadline_ms;
    uint32_t peer;
    bool greeted; /* `peer` is known */
    bool closing;
};

struct transport {
    struct transport_shared shared;
    uv_tcp_t listener;
    uv_timer_t hello_timer; /* runs while somebody has not said hello */
    uint16_t port;
    struct list links; /* struct link */
    uint32_t links_changed;
    struct list inbound; /* struct inbound, in the order they were accepted */
    uint32_t inbound_count;
    void (*on_closed)(void *ctx);
    void *on_closed_ctx;
    uint8_t read_buffer[READ_SIZE];
};

/* ---- Lifetime */

void transport_hold(struct transport_shared *shared)
{
    shared->pending++;
}

void transport_drop(struct transport_shared *shared)
{
    ASSERT(shared->pending > 0);
    shared->pending--;
    if (shared->pending == 0) {
        ASSERT(shared->closing);
        shared->on_idle(shared);
    }
}

static void transport_idle(struct transport_shared *shared)
{
    struct transport *t = container_of(shared, struct transport, shared);
    void (*on_closed)(void *ctx) = t->on_closed;
    void *ctx = t->on_closed_ctx;
    ASSERT(list_empty(&t->links));
    blob_unref(shared->hello);
    free(t);
    if (on_closed != NULL) {
        on_closed(ctx);
    }
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct transport *t = handle->data;
    transport_drop(&t->shared);
}

/* ---- Accepted connections */

static void on_inbound_closed(uv_handle_t *handle)
{
    struct inbound *in = handle->data;
    struct transport *t = in->transport;
    frame_reader_release(&in->reader);
    free(in);
    transport_drop(&t->shared);
}

static void inbound_close(struct inbound *in)
{
    if (in->closing) {
        return;
    }
    in->closing = true;
    list_remove(&in->node);
    in->transport->inbound_count--;
    uv_close((uv_handle_t *) &in->tcp, on_inbound_closed);
}

/* Closes what was opened by this peer, except `keep`. */
static void inbound_close_peer(struct transport *t, uint32_t peer, const struct inbound *keep)
{
    LIST_FOR_EACH_SAFE(&t->inbound, node, after) {
        struct inbound *in = list_entry(node, struct inbound, node);
        if (in->greeted && in->peer == peer && in != keep) {
            inbound_close(in);
        }
    }
}

static void inbound_hello(struct inbound *in, const struct blob *body)
{
    struct transport *t = in->transport;
    uint32_t peer = 0;
    int err = t->shared.options.on_hello(t->shared.options.ctx, blob_bytes(body), &peer);
    if (in->closing) {
        return;
    }
    if (err != OK) {
        t->shared.stats.refused_hellos++;
        inbound_close(in);
        return;
    }
    in->peer = peer;
    in->greeted = true;
    inbound_close_peer(t, peer, in);
}

static void inbound_frame(struct inbound *in, struct blob *body)
{
    struct transport *t = in->transport;
    t->shared.stats.frames_received++;
    if (!in->greeted) {
        inbound_hello(in, body);
        return;
    }
    int err = t->shared.options.on_frame(t->shared.options.ctx, in->peer, body);
    if (err < 0 && !in->closing) {
        t->shared.stats.bad_frames++;
        inbound_close(in);
    }
}

/* What the frame reader answered: a frame, the need for more, or garbage. */
static void inbound_result(struct inbound *in, int err, struct blob *body)
{
    if (err == OK) {
        inbound_frame(in, body);
        blob_unref(body);
    } else if (err != ERR_AGAIN) {
        in->transport->shared.stats.bad_frames++;
        inbound_close(in);
    }
}

static void on_inbound_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void) suggested;
    struct inbound *in = handle->data;
    size_t size = 0;
    uint8_t *space = frame_reader_space(&in->reader, &size);
    if (space == NULL) {
        space = in->transport->read_buffer;
        size = READ_SIZE;
    }
    buf->base = (char *) space;
    buf->len = size;
}

static void on_inbound_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct inbound *in = stream->data;
    struct transport *t = in->transport;
    if (in->closing || n == 0) {
        return;
    }
    if (n < 0) {
        inbound_close(in);
        return;
    }
    t->shared.stats.bytes_received += (uint64_t) n;
    struct blob *body = NULL;
    if (buf->base != (const char *) t->read_buffer) {
        int err = frame_reader_received(&in->reader, (size_t) n, &body);
        inbound_result(in, err, body);
        return;
    }
    struct bytes left = bytes_of(buf->base, (size_t) n);
    int err = OK;
    while (err == OK && !in->closing) {
        err = frame_reader_next(&in->reader, &left, &body);
        inbound_result(in, err, body);
    }
}

static void on_hello_timer(uv_timer_t *timer);

static void hello_timer_start(struct transport *t, const struct inbound *in)
{
    uint64_t now = uv_now(t->shared.loop);
    uint64_t wait = in->hello_deadline_ms > now ? in->hello_deadline_ms - now : 0;
    /* Cannot fail: the handle is initialised and not closing, the callback is not NULL. */
    (void) uv_timer_start(&t->hello_timer, on_hello_timer, wait, 0);
}

/* All wait equally long, so the list is in the order of the deadlines. */
static void on_hello_timer(uv_timer_t *timer)
{
    struct transport *t = timer->data;
    uint64_t now = uv_now(t->shared.loop);
    LIST_FOR_EACH_SAFE(&t->inbound, node, after) {
        struct inbound *in = list_entry(node, struct inbound, node);
        if (in->greeted) {
            continue;
        }
        if (in->hello_deadline_ms > now) {
            hello_timer_start(t, in);
            return;
        }
        t->shared.stats.refused_hellos++;
        inbound_close(in);
    }
}

/* A connection without its place in the list, or NULL. */
static struct inbound *inbound_accept(struct transport *t)
{
    struct inbound *in = xcalloc(1, sizeof *in);
    in->transport = t;
    frame_reader_init(&in->reader, t->shared.options.frame_size_max);
    if (uv_tcp_init(t->shared.loop, &in->tcp) < 0) {
        free(in);
        return NULL;
    }
    in->tcp.data = in;
    transport_hold(&t->shared);
    list_push_back(&t->inbound, &in->node);
    t->inbound_count++;
    if (uv_accept((uv_stream_t *) &t->listener, (uv_stream_t *) &in->tcp) < 0) {
        inbound_close(in);
        return NULL;
    }
    return in;
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct transport *t = listener->data;
    if (status < 0 || t->shared.closing) {
        return;
    }
    struct inbound *in = inbound_accept(t);
    if (in == NULL) {
        return;
    }
    if (t->inbound_count > t->shared.options.connections_max) {
        t->shared.stats.refused_connections++;
        inbound_close(in);
        return;
    }
    /* Without these two it is a slower connection, not a broken one. */
    (void) uv_tcp_nodelay(&in->tcp, 1);
    (void) uv_tcp_keepalive(&in->tcp, 1, KEEPALIVE_S);
    in->hello_deadline_ms = uv_now(t->shared.loop) + t->shared.options.handshake_timeout_ms;
    if (uv_is_active((const uv_handle_t *) &t->hello_timer) == 0) {
        hello_timer_start(t, in);
    }
    if (uv_read_start((uv_stream_t *) &in->tcp, on_inbound_alloc, on_inbound_read) < 0) {
        inbound_close(in);
    }
}

/* ---- Creation */

static void error_text(struct buf *error, const struct transport_options *options, const char *why)
{
    if (error != NULL) {
        /* A line that does not fit is not worth a second error. */
        ERR_IGNORE(buf_printf(error, "cannot listen for peers on %s:%u: %s", options->listen_host,
                              (unsigned int) options->listen_port, why));
    }
}

static bool options_valid(const struct transport_options *o)
{
    for (uint32_t i = 0; i < o->peers_count; i++) {
        for (uint32_t j = 0; j < i; j++) {
            if (o->peers[i].id == o->peers[j].id) {
                return false;
            }
        }
        if (o->peers[i].id == o->self) {
            return false;
        }
    }
    return o->listen_host != NULL && o->on_hello != NULL && o->on_frame != NULL &&
           o->queue_bytes_max > 0 && o->queue_frames_max > 0 && o->frame_size_max > 0 &&
           o->reconnect_min_ms > 0 && o->reconnect_max_ms >= o->reconnect_min_ms &&
           o->hello.size <= o->frame_size_max;
}

/* The address to listen on. Looking up a name blocks, which is right before anything runs. */
static int listen_address(struct transport *t, const struct transport_options *options,
                          struct sockaddr_storage *ret_address, const char **ret_why)
{
    if (transport_address(options->listen_host, options->listen_port, ret_address) == OK) {
        return OK;
    }
    char port[8];
    int n = snprintf(port, sizeof port, "%u", (unsigned int) options->listen_port);
    ASSERT(n > 0);
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE};
    uv_getaddrinfo_t request;
    int rv = uv_getaddrinfo(t->shared.loop, &request, NULL, options->listen_host, port, &hints);
    if (rv < 0) {
        *ret_why = uv_strerror(rv);
        return ERR_INVALID;
    }
    memcpy(ret_address, request.addrinfo->ai_addr, request.addrinfo->ai_addrlen);
    uv_freeaddrinfo(request.addrinfo);
    return OK;
}

static int listen_error(int rv)
{
    if (rv == UV_EADDRINUSE) {
        return ERR_ADDRESS_IN_USE;
    }
    return rv == UV_EADDRNOTAVAIL || rv == UV_EINVAL ? ERR_INVALID : ERR_IO;
}

static int transport_listen(struct transport *t, const struct transport_options *options,
                            const char **ret_why)
{
    struct sockaddr_storage address;
    memset(&address, 0, sizeof address);
    int err = listen_address(t, options, &address, ret_why);
    if (err != OK) {
        return err;
    }
    int size = sizeof address;
    int rv = uv_tcp_bind(&t->listener, (const struct sockaddr *) &address, 0);
    if (rv == 0) {
        rv = uv_listen((uv_stream_t *) &t->listener, LISTEN_BACKLOG, on_connection);
    }
    if (rv == 0) {
        rv = uv_tcp_getsockname(&t->listener, (struct sockaddr *) &address, &size);
    }
    if (rv < 0) {
        *ret_why = rv == UV_EADDRINUSE
                       ? "address already in use: another node runs there; end it or "
                         "choose another port"
                       : uv_strerror(rv);
        return listen_error(rv);
    }
    t->port =
        ntohs(address.ss_family == AF_INET6 ? ((const struct sockaddr_in6 *) &address)->sin6_port
                                            : ((const struct sockaddr_in *) &address)->sin_port);
    return OK;
}

int transport_new(struct uv_loop_s *loop, const struct transport_options *options,
                  struct transport **ret_transport, struct buf *error)
{
    if (!options_valid(options)) {
        error_text(error, options, "the options contradict each other");
        return ERR_INVALID;
    }
    struct transport *t = xcalloc(1, sizeof *t);
    t->shared.loop = loop;
    t->shared.options = *options;
    t->shared.options.peers = NULL;
    t->shared.options.listen_host = NULL;
    t->shared.options.hello = bytes_of(NULL, 0);
    t->shared.on_idle = transport_idle;
    rng_init(&t->shared.rng, options->seed);
    list_init(&t->links);
    list_init(&t->inbound);
    t->listener.data = t;
    t->hello_timer.data = t;
    if (uv_tcp_init(loop, &t->listener) < 0) {
        error_text(error, options, "no handle");
        free(t);
        return ERR_IO;
    }
    transport_hold(&t->shared);
    (void) uv_timer_init(loop, &t->hello_timer); /* never fails */
    transport_hold(&t->shared);
    t->shared.hello = blob_copy(options->hello);
    const char *why = "";
    int err = transport_listen(t, options, &why);
    for (uint32_t i = 0; err == OK && i < options->peers_count; i++) {
        err = transport_add_peer(t, &options->peers[i]);
    }
    if (err != OK) {
        error_text(error, options, why);
        transport_close(t, NULL, NULL);
        return err;
    }
    *ret_transport = t;
    return OK;
}

uint16_t transport_port(const struct transport *t)
{
    return t->port;
}

/* ---- Peers */

/* A handful of peers: a walk is faster than any table. */
static struct link *find_link(const struct transport *t, uint32_t peer)
{
    LIST_FOR_EACH(&t->links, node) {
        struct link *link = list_entry(node, struct link, node);
        if (link->peer == peer) {
            return link;
        }
    }
    return NULL;
}

int transport_add_peer(struct transport *t, const struct transport_peer *peer)
{
    if (t->shared.closing) {
        return ERR_CLOSED;
    }
    if (peer->id == t->shared.options.self) {
        return ERR_INVALID;
    }
    if (find_link(t, peer->id) != NULL) {
        return ERR_EXISTS;
    }
    struct link *link = link_new(&t->shared, peer);
    list_push_back(&t->links, &link->node);
    return OK;
}

int transport_remove_peer(struct transport *t, uint32_t peer)
{
    struct link *link = find_link(t, peer);
    if (link == NULL) {
        return ERR_NOT_FOUND;
    }
    list_remove(&link->node);
    t->links_changed++;
    link_close(link);
    inbound_close_peer(t, peer, NULL);
    return OK;
}

int transport_send(struct transport *t, uint32_t peer, struct bytes head, const struct bytes *parts,
                   struct blob *const *owners, uint32_t count)
{
    struct link *link = find_link(t, peer);
    if (link == NULL) {
        return ERR_NOT_FOUND;
    }
    return link_send(link, head, parts, owners, count);
}

void transport_flush(struct transport *t)
{
    /* A lost connection calls on_link, which may remove any peer: start again after each change. */
    struct list_node *node = list_first(&t->links);
    uint32_t changes = t->links_changed;
    while (node != NULL) {
        link_flush(list_entry(node, struct link, node));
        if (changes != t->links_changed) {
            changes = t->links_changed;
            node = list_first(&t->links);
        } else {
            node = list_next(&t->links, node);
        }
    }
}

bool transport_connected(const struct transport *t, uint32_t peer)
{
    const struct link *link = find_link(t, peer);
    return link != NULL && link_connected(link);
}

void transport_stats(const struct transport *t, struct transport_stats *ret_stats)
{
    *ret_stats = t->shared.stats;
}

/* ---- The end */

void transport_close(struct transport *t, void (*on_closed)(void *ctx), void *ctx)
{
    ASSERT(!t->shared.closing);
    t->shared.closing = true;
    t->on_closed = on_closed;
    t->on_closed_ctx = ctx;
    for (struct list_node *n = list_pop_front(&t->links); n != NULL;
         n = list_pop_front(&t->links)) {
        link_close(list_entry(n, struct link, node));
    }
    t->links_changed++;
    while (!list_empty(&t->inbound)) {
        inbound_close(list_entry(list_first(&t->inbound), struct inbound, node));
    }
    uv_close((uv_handle_t *) &t->listener, on_handle_closed);
    uv_close((uv_handle_t *) &t->hello_timer, on_handle_closed);
}
