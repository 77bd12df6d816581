/*
 * transport_link.c - the outgoing connection to one peer.
 *
 *     WAITING --timer--> RESOLVING --> CONNECTING --> UP
 *        ^                   |     next address |      |
 *        +-------------------+------------------+------+   with a back-off that doubles
 *
 * A connection is an object of its own, freed in its close callback, so that a new attempt can
 * start while libuv still closes the old one. A link lives until the last of its connections, its
 * timer and its name lookup are gone.
 */

#include "net/transport_link.h"

#include <limits.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "base/assert.h"
#include "base/mem.h"
#include "net/frame.h"

/* Parts below this are copied: an element of a writev costs about as much. */
#define PART_COPY_MAX ((size_t) 512)
/* Elements of one writev; Linux takes 1024. */
#define WRITE_PARTS_MAX 512
#define KEEPALIVE_S 15

struct frame_part {
    const uint8_t *data;
    size_t size;
    struct blob *owner; /* one reference, or NULL */
};

struct out_frame {
    struct out_frame *next;
    size_t size;
    uint32_t count;
    struct frame_part parts[]; /* and behind them what was copied */
};

enum link_state { LINK_WAITING, LINK_RESOLVING, LINK_CONNECTING, LINK_UP, LINK_CLOSED };

struct link_conn {
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write;
    struct outgoing *link;
    char scratch[16]; /* for what a peer should not send */
    bool closing;
    bool writing; /* a uv_write is under way over the first write_size bytes */
    size_t write_size;
    struct out_frame *first;
    struct out_frame *last;
    size_t offset; /* bytes of the first frame that are gone */
    size_t queue_bytes;
    uint32_t queue_frames;
};

struct outgoing {
    struct link link;
    struct transport_shared *shared;
    char *host;
    uint16_t port;
    enum link_state state;
    uv_timer_t timer; /* back-off, or the connect timeout */
    uv_getaddrinfo_t lookup;
    struct addrinfo *addresses;
    const struct addrinfo *address; /* the one to try next */
    struct sockaddr_storage numeric;
    struct link_conn *conn; /* while CONNECTING and UP */
    uint64_t backoff_ms;    /* the next one */
    uint64_t up_since_ms;
    bool told; /* on_link was called */
    bool was_up;
    uint32_t refs; /* timer, lookup, connections */
};

static void connect_next(struct outgoing *o, const char *reason);

static struct outgoing *outgoing_of(struct link *link)
{
    return container_of(link, struct outgoing, link);
}

static void outgoing_hold(struct outgoing *o)
{
    o->refs++;
    transport_hold(o->shared);
}

static void outgoing_drop(struct outgoing *o)
{
    struct transport_shared *shared = o->shared;
    ASSERT(o->refs > 0);
    o->refs--;
    if (o->refs == 0) {
        ASSERT(o->state == LINK_CLOSED);
        uv_freeaddrinfo(o->addresses);
        free(o->host);
        free(o);
    }
    transport_drop(shared);
}

int transport_address(const char *host, uint16_t port, struct sockaddr_storage *ret_address)
{
    struct sockaddr_storage address;
    memset(&address, 0, sizeof address);
    if (uv_ip4_addr(host, port, (struct sockaddr_in *) &address) != 0 &&
        uv_ip6_addr(host, port, (struct sockaddr_in6 *) &address) != 0) {
        return ERR_INVALID;
    }
    *ret_address = address;
    return OK;
}

/* ---- The queue of a connection */

static void frame_free(struct out_frame *f)
{
    for (uint32_t i = 0; i < f->count; i++) {
        blob_unref(f->parts[i].owner);
    }
    free(f);
}

/* Builds a frame: neighbours that are small become one copied part. */
static struct out_frame *frame_new(struct bytes head, const struct bytes *parts,
                                   struct blob *const *owners, uint32_t count)
{
    size_t copied = FRAME_HEADER_SIZE + head.size;
    size_t capacity = 1;
    for (uint32_t i = 0; i < count; i++) {
        bool small = parts[i].size < PART_COPY_MAX;
        copied += small ? parts[i].size : 0;
        capacity += small ? 0 : 2;
    }
    struct out_frame *f = xmalloc(sizeof *f + capacity * sizeof(struct frame_part) + copied);
    uint8_t *to = (uint8_t *) &f->parts[capacity];
    frame_header_with(to, head, parts, count);
    if (head.size > 0) {
        memcpy(to + FRAME_HEADER_SIZE, head.data, head.size);
    }
    f->next = NULL;
    f->size = FRAME_HEADER_SIZE + head.size;
    f->count = 0;
    f->parts[0] = (struct frame_part){to, f->size, NULL};
    to += f->size;
    bool open = true; /* the last part is a copied one that can grow */
    for (uint32_t i = 0; i < count; i++) {
        f->size += parts[i].size;
        if (parts[i].size >= PART_COPY_MAX) {
            f->parts[++f->count] =
                (struct frame_part){parts[i].data, parts[i].size, blob_ref(owners[i])};
            open = false;
        } else if (parts[i].size > 0) {
            if (!open) {
                f->parts[++f->count] = (struct frame_part){to, 0, NULL};
                open = true;
            }
            memcpy(to, parts[i].data, parts[i].size);
            to += parts[i].size;
            f->parts[f->count].size += parts[i].size;
        }
    }
    f->count++;
    ASSERT(f->count <= capacity);
    return f;
}

static void queue_push(struct link_conn *c, struct out_frame *f)
{
    if (c->last == NULL) {
        c->first = f;
    } else {
        c->last->next = f;
    }
    c->last = f;
    c->queue_bytes += f->size;
    c->queue_frames++;
}

static void queue_pop(struct link_conn *c)
{
    struct out_frame *f = c->first;
    c->first = f->next;
    if (c->first == NULL) {
        c->last = NULL;
    }
    c->queue_bytes -= f->size - c->offset;
    c->queue_frames--;
    c->offset = 0;
    frame_free(f);
}

/* The first `size` bytes of the queue are written. */
static void queue_written(struct link_conn *c, size_t size)
{
    struct transport_stats *stats = &c->link->shared->stats;
    stats->bytes_sent += size;
    while (size > 0) {
        size_t left = c->first->size - c->offset;
        if (size < left) {
            c->offset += size;
            c->queue_bytes -= size;
            return;
        }
        size -= left;
        stats->frames_sent++;
        queue_pop(c);
    }
}

/* Fills `bufs` from the front of the queue; returns their number, and their bytes. */
static unsigned int queue_gather(const struct link_conn *c, uv_buf_t *bufs, size_t *ret_size)
{
    unsigned int n = 0;
    size_t total = 0;
    size_t skip = c->offset;
    for (const struct out_frame *f = c->first; f != NULL; f = f->next) {
        for (uint32_t i = 0; i < f->count; i++) {
            if (skip >= f->parts[i].size) {
                skip -= f->parts[i].size;
                continue;
            }
            if (n == WRITE_PARTS_MAX) {
                goto out;
            }
            bufs[n].base = (char *) (uintptr_t) (f->parts[i].data + skip);
            bufs[n].len = f->parts[i].size - skip;
            total += bufs[n].len;
            skip = 0;
            n++;
        }
    }
out:
    *ret_size = total;
    return n;
}

/* ---- Going down */

static void on_conn_closed(uv_handle_t *handle)
{
    struct link_conn *c = handle->data;
    struct outgoing *o = c->link;
    while (c->first != NULL) {
        queue_pop(c);
    }
    free(c);
    outgoing_drop(o);
}

/* Gives up the connection; its frames are lost. */
static void conn_close(struct outgoing *o)
{
    struct link_conn *c = o->conn;
    if (c == NULL) {
        return;
    }
    o->conn = NULL;
    c->closing = true;
    o->shared->stats.dropped_down += c->queue_frames;
    uv_close((uv_handle_t *) &c->tcp, on_conn_closed);
}

static void on_timer(uv_timer_t *timer);

/* The wait before the next attempt: half of the back-off, and a random part of the other half, so
 * that nodes that lost each other together do not all return together. */
static void backoff_start(struct outgoing *o)
{
    const struct transport_options *options = &o->shared->options;
    uint64_t wait = o->backoff_ms / 2 + rng_below(&o->shared->rng, o->backoff_ms / 2 + 1);
    o->backoff_ms = u64_min(o->backoff_ms * 2, options->reconnect_max_ms);
    o->state = LINK_WAITING;
    /* Cannot fail: the handle is initialised and not closing, the callback is not NULL. */
    (void) uv_timer_start(&o->timer, on_timer, u64_max(wait, 1), 0);
}

/* No connection (any more): waits for the next attempt, and tells the owner what it does not know.
 * The callback comes last, because it may close the link. */
static void link_failed(struct outgoing *o, const char *reason)
{
    struct transport_shared *shared = o->shared;
    bool tell = o->state == LINK_UP || !o->told;
    uint64_t now = uv_now(shared->loop);
    /* A peer that accepts and then closes, because it refuses the hello, is no reason to hurry. */
    if (o->state == LINK_UP && now - o->up_since_ms >= shared->options.reconnect_max_ms) {
        o->backoff_ms = shared->options.reconnect_min_ms;
    }
    conn_close(o);
    backoff_start(o);
    o->told = true;
    if (tell && shared->options.on_link != NULL) {
        shared->options.on_link(shared->options.ctx, o->link.peer, false, reason);
    }
}

/* ---- Up: writing */

static void conn_flush(struct link_conn *c);

static void on_write(uv_write_t *request, int status)
{
    struct link_conn *c = request->data;
    c->writing = false;
    if (c->closing) {
        return;
    }
    if (status < 0) {
        link_failed(c->link, uv_strerror(status));
        return;
    }
    queue_written(c, c->write_size);
    conn_flush(c);
}

/* Hands the rest to libuv, which writes when the socket takes more. Returns a libuv error. */
static int conn_write(struct link_conn *c)
{
    uv_buf_t bufs[WRITE_PARTS_MAX];
    unsigned int n = queue_gather(c, bufs, &c->write_size);
    c->write.data = c;
    c->link->shared->stats.writes++;
    int rv = uv_write(&c->write, (uv_stream_t *) &c->tcp, bufs, n, on_write);
    c->writing = rv == 0;
    return rv;
}

static void conn_flush(struct link_conn *c)
{
    uv_buf_t bufs[WRITE_PARTS_MAX];
    while (c->first != NULL && !c->writing) {
        size_t size = 0;
        unsigned int n = queue_gather(c, bufs, &size);
        c->link->shared->stats.writes++;
        int rv = uv_try_write((uv_stream_t *) &c->tcp, bufs, n);
        size_t written = rv > 0 ? (size_t) rv : 0;
        if (rv >= 0 || rv == UV_EAGAIN) {
            queue_written(c, written);
            rv = written < size ? conn_write(c) : 0;
        }
        if (rv < 0) {
            link_failed(c->link, uv_strerror(rv));
            return;
        }
    }
}

/* A peer says nothing on a connection we opened: this only notices its end. */
static void on_peer_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct link_conn *c = handle->data;
    (void) suggested;
    *buf = uv_buf_init(c->scratch, sizeof c->scratch);
}

static void on_peer_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    (void) buf;
    struct link_conn *c = stream->data;
    if (c->closing || n == 0) {
        return;
    }
    link_failed(c->link, n > 0 ? "the peer sends where it should not"
                               : (n == UV_EOF ? "closed by the peer" : uv_strerror((int) n)));
}

/* After a partition TCP would repeat its packets ever more rarely, and find out minutes late that
 * the network is back. A connection that fails early is replaced by one that works at once. */
static void limit_silence(struct link_conn *c)
{
#ifdef TCP_USER_TIMEOUT
    uv_os_fd_t fd = -1;
    uint64_t timeout_ms = u64_min(c->link->shared->options.connect_timeout_ms, INT_MAX);
    unsigned int value = (unsigned int) timeout_ms;
    if (uv_fileno((const uv_handle_t *) &c->tcp, &fd) == 0) {
        /* Without it the connection is slower to fail, not broken. */
        (void) setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &value, sizeof value);
    }
#else
    (void) c;
#endif
}

static void link_up(struct outgoing *o)
{
    struct transport_shared *shared = o->shared;
    struct link_conn *c = o->conn;
    (void) uv_timer_stop(&o->timer); /* never fails */
    uv_freeaddrinfo(o->addresses);
    o->addresses = NULL;
    o->address = NULL;
    o->state = LINK_UP;
    o->up_since_ms = uv_now(shared->loop);
    o->told = true;
    shared->stats.reconnects += o->was_up ? 1 : 0;
    o->was_up = true;
    /* Without these two it is a slower connection, not a broken one. */
    (void) uv_tcp_nodelay(&c->tcp, 1);
    (void) uv_tcp_keepalive(&c->tcp, 1, KEEPALIVE_S);
    limit_silence(c);
    int rv = uv_read_start((uv_stream_t *) &c->tcp, on_peer_alloc, on_peer_read);
    if (rv < 0) {
        link_failed(o, uv_strerror(rv));
        return;
    }
    struct bytes hello = blob_bytes(shared->hello);
    queue_push(c, frame_new(hello, NULL, NULL, 0));
    conn_flush(c);
    if (o->conn == c && shared->options.on_link != NULL) {
        shared->options.on_link(shared->options.ctx, o->link.peer, true, "connected");
    }
}

/* ---- Connecting */

static void on_connect(uv_connect_t *request, int status)
{
    struct link_conn *c = request->data;
    if (c->closing) {
        return;
    }
    if (status < 0) {
        connect_next(c->link, uv_strerror(status));
    } else {
        link_up(c->link);
    }
}

/* Starts to connect to one address. Returns a libuv error. */
static int conn_start(struct outgoing *o, const struct sockaddr *address)
{
    struct link_conn *c = xcalloc(1, sizeof *c);
    c->link = o;
    c->connect.data = c;
    int rv = uv_tcp_init(o->shared->loop, &c->tcp);
    if (rv < 0) {
        free(c);
        return rv;
    }
    c->tcp.data = c;
    outgoing_hold(o);
    o->conn = c;
    o->state = LINK_CONNECTING;
    /* Cannot fail, see backoff_start. */
    (void) uv_timer_start(&o->timer, on_timer, o->shared->options.connect_timeout_ms, 0);
    return uv_tcp_connect(&c->connect, &c->tcp, address, on_connect);
}

/* Tries the addresses that are left; `reason` is why the one before did not do. */
static void connect_next(struct outgoing *o, const char *reason)
{
    conn_close(o);
    while (o->address != NULL) {
        const struct addrinfo *a = o->address;
        o->address = a->ai_next;
        int rv = conn_start(o, a->ai_addr);
        if (rv == 0) {
            return;
        }
        reason = uv_strerror(rv);
        conn_close(o);
    }
    link_failed(o, reason);
}

static void on_lookup(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses)
{
    struct outgoing *o = request->data;
    if (o->state != LINK_RESOLVING) {
        uv_freeaddrinfo(addresses);
    } else if (status < 0) {
        link_failed(o, uv_strerror(status));
    } else {
        uv_freeaddrinfo(o->addresses);
        o->addresses = addresses;
        o->address = addresses;
        connect_next(o, "the name has no address");
    }
    outgoing_drop(o);
}

static void lookup_start(struct outgoing *o)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    char port[8];
    int n = snprintf(port, sizeof port, "%u", (unsigned int) o->port);
    ASSERT(n > 0);
    o->state = LINK_RESOLVING;
    o->lookup.data = o;
    int rv = uv_getaddrinfo(o->shared->loop, &o->lookup, on_lookup, o->host, port, &hints);
    if (rv < 0) {
        link_failed(o, uv_strerror(rv));
    } else {
        outgoing_hold(o);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct outgoing *o = timer->data;
    if (o->state == LINK_CONNECTING) {
        connect_next(o, "connecting timed out");
    } else if (o->state == LINK_WAITING) {
        if (transport_address(o->host, o->port, &o->numeric) != OK) {
            lookup_start(o);
            return;
        }
        int rv = conn_start(o, (const struct sockaddr *) &o->numeric);
        if (rv < 0) {
            link_failed(o, uv_strerror(rv));
        }
    }
}

/* ---- The interface */

struct link *link_new(struct transport_shared *shared, const struct transport_peer *peer)
{
    struct outgoing *o = xcalloc(1, sizeof *o);
    o->link.peer = peer->id;
    o->shared = shared;
    o->host = xstrdup(peer->host);
    o->port = peer->port;
    o->backoff_ms = shared->options.reconnect_min_ms;
    o->state = LINK_WAITING;
    o->timer.data = o;
    /* Neither fails: they only fill the handle. */
    (void) uv_timer_init(shared->loop, &o->timer);
    outgoing_hold(o);
    (void) uv_timer_start(&o->timer, on_timer, 0, 0);
    return &o->link;
}

int link_send(struct link *link, struct bytes head, const struct bytes *parts,
              struct blob *const *owners, uint32_t count)
{
    struct outgoing *o = outgoing_of(link);
    struct transport_shared *shared = o->shared;
    size_t size = head.size;
    for (uint32_t i = 0; i < count; i++) {
        size += parts[i].size;
    }
    if (size > shared->options.frame_size_max) {
        return ERR_TOO_LARGE;
    }
    if (o->state != LINK_UP) {
        shared->stats.dropped_down++;
        return ERR_CLOSED;
    }
    struct link_conn *c = o->conn;
    if (c->queue_frames >= shared->options.queue_frames_max ||
        c->queue_bytes + FRAME_HEADER_SIZE + size > shared->options.queue_bytes_max) {
        shared->stats.dropped_full++;
        return ERR_LIMIT;
    }
    queue_push(c, frame_new(head, parts, owners, count));
    return OK;
}

void link_flush(struct link *link)
{
    struct outgoing *o = outgoing_of(link);
    if (o->state == LINK_UP) {
        conn_flush(o->conn);
    }
}

bool link_connected(const struct link *link)
{
    return ((const struct outgoing *) (const void *) link)->state == LINK_UP;
}

static void on_timer_closed(uv_handle_t *handle)
{
    outgoing_drop(handle->data);
}

void link_close(struct link *link)
{
    struct outgoing *o = outgoing_of(link);
    ASSERT(o->state != LINK_CLOSED);
    if (o->state == LINK_RESOLVING) {
        /* When it is too late to cancel, on_lookup comes with a result that nobody wants. */
        (void) uv_cancel((uv_req_t *) &o->lookup);
    }
    o->state = LINK_CLOSED;
    conn_close(o);
    uv_close((uv_handle_t *) &o->timer, on_timer_closed);
}
