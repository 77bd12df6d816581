/*
 * proxy_conn.c - one connection through the proxy: what is read at the dialling side waits as the
 * link wants it and is written to the other.
 *
 * A chunk is what one read gave. It first waits for the line (rate), then for its time (delay,
 * stalls of lost packets) and for those before it. On a link without faults there are no chunks:
 * what was read is written at once, and only what the far socket does not take becomes one.
 *
 *     accepted --dial--> connecting --> connected --either side ends--> closed
 *
 * While the link is cut nothing moves here, not even a dial or an end; when the cut is over,
 * proxy.c resets the connection.
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "base/assert.h"
#include "base/enc.h"
#include "base/mem.h"
#include "tests/real/proxy_impl.h"

/* A socket that takes no more is tried again after this: what libuv is given to write could not be
 * taken back when the link is cut. */
#define FULL_AGAIN_US 200
/* TCP on Linux: the least time-out, then doubling; connections do not live through more. */
#define STALL_US 200000
#define STALLS_MAX 5
/* With a rate, a chunk is at most what the line sends in 1/50 s. */
#define RATE_CHUNKS 50
#define RATE_CHUNK_MIN 1448

struct chunk {
    struct chunk *next;
    size_t size;
    size_t offset;   /* bytes that are gone */
    uint64_t due_us; /* once it was sent */
    bool end;        /* not bytes: the dialling side has closed */
    bool broken;     /* lost too often: when it is due, the connection breaks */
    uint8_t data[];
};

struct proxy_conn {
    struct list_node node;
    struct proxy_link *link;
    uv_tcp_t in;
    uv_tcp_t out;
    uv_connect_t connect;
    struct chunk *first; /* all that wait */
    struct chunk *last;
    struct chunk *unsent; /* the first of them that the line has not sent */
    bool dialled, connected, reading, ended, closing;
    uint32_t handles;
    uint8_t header[FRAME_HEADER_SIZE]; /* of the frame that is being passed on */
    size_t header_size;
    uint64_t body_left;
};

struct proxy_conn *proxy_conn_of(struct list_node *node)
{
    return list_entry(node, struct proxy_conn, node);
}

/* ---- Chunks */

static void release_held(struct proxy_link *link, uint64_t bytes)
{
    bool above = link->held > PROXY_HELD_MAX / 2;
    ASSERT(link->held >= bytes);
    link->held -= bytes;
    if (above && link->held <= PROXY_HELD_MAX / 2) {
        LIST_FOR_EACH(&link->conns, node) {
            proxy_conn_update(proxy_conn_of(node));
        }
    }
}

static void push(struct proxy_conn *c, const uint8_t *data, size_t size)
{
    struct chunk *k = xmalloc(sizeof *k + size);
    *k = (struct chunk){.size = size, .end = size == 0};
    if (size > 0) {
        memcpy(k->data, data, size);
    }
    if (c->last == NULL) {
        c->first = k;
    } else {
        c->last->next = k;
    }
    c->last = k;
    if (c->unsent == NULL) {
        c->unsent = k;
    }
    c->link->held += size;
}

static void pop(struct proxy_conn *c)
{
    struct chunk *k = c->first;
    c->first = k->next;
    c->last = c->first == NULL ? NULL : c->last;
    c->unsent = c->unsent == k ? c->first : c->unsent;
    uint64_t left = k->size - k->offset;
    free(k);
    release_held(c->link, left);
}

/* What waits never arrives. */
static void lose(struct proxy_conn *c)
{
    while (c->first != NULL) {
        pop(c);
    }
}

/* ---- The end */

static void on_handle_closed(uv_handle_t *handle)
{
    struct proxy_conn *c = handle->data;
    struct proxy *p = c->link->proxy;
    c->handles--;
    if (c->handles == 0) {
        free(c);
    }
    proxy_drop(p);
}

static void leave(struct proxy_conn *c)
{
    ASSERT(!c->closing);
    c->closing = true;
    lose(c);
    list_remove(&c->node);
    c->link->conns_count--;
}

static void conn_close(struct proxy_conn *c)
{
    leave(c);
    uv_close((uv_handle_t *) &c->in, on_handle_closed);
    uv_close((uv_handle_t *) &c->out, on_handle_closed);
}

static void reset(uv_tcp_t *tcp)
{
    uv_os_fd_t fd = -1;
    /* A socket that is not there yet, or not any more, has nothing to be reset. */
    if (uv_fileno((const uv_handle_t *) tcp, &fd) != 0 ||
        uv_tcp_close_reset(tcp, on_handle_closed) != 0) {
        uv_close((uv_handle_t *) tcp, on_handle_closed);
    }
}

void proxy_conn_reset(struct proxy_conn *c)
{
    leave(c);
    reset(&c->in);
    reset(&c->out);
}

/* ---- Passing on */

/* Counts the frames that end in these bytes; bodies are not looked at. */
static void count_passed(struct proxy_conn *c, const uint8_t *data, size_t size)
{
    struct link_stats *stats = &c->link->stats;
    stats->bytes += size;
    while (size > 0) {
        size_t n = 0;
        if (c->header_size < FRAME_HEADER_SIZE) {
            n = u64_min(FRAME_HEADER_SIZE - c->header_size, size);
            memcpy(c->header + c->header_size, data, n);
            c->header_size += n;
            if (c->header_size == FRAME_HEADER_SIZE) {
                c->body_left = enc_get_u32(c->header);
            }
        } else {
            n = u64_min(c->body_left, size);
            c->body_left -= n;
        }
        if (c->header_size == FRAME_HEADER_SIZE && c->body_left == 0) {
            stats->frames++;
            c->header_size = 0;
        }
        data += n;
        size -= n;
    }
}

/* Writes what the far socket takes; 0 also when that end is broken, which its read tells. */
static size_t write_some(struct proxy_conn *c, const uint8_t *data, size_t size)
{
    uv_buf_t b = uv_buf_init((char *) (uintptr_t) data, (unsigned int) size);
    int rv = uv_try_write((uv_stream_t *) &c->out, &b, 1);
    size_t n = rv > 0 ? (size_t) rv : 0;
    count_passed(c, data, n);
    return n;
}

static uint64_t draw(struct rng *rng, struct sim_span span)
{
    return span.max == 0 ? 0 : rng_between(rng, span.min, span.max);
}

/* The line sends a chunk: when does it arrive? */
static void send_chunk(struct proxy_conn *c, struct chunk *k, uint64_t now_us)
{
    struct proxy_link *link = c->link;
    struct rng *rng = proxy_rng(link->proxy);
    uint64_t stall_us = STALL_US;
    uint32_t stalls = 0;
    uint64_t arrives_us = now_us;
    if (link->state.rate > 0) {
        link->free_us = now_us + k->size * 1000000 / link->state.rate;
        arrives_us = link->free_us;
    }
    arrives_us += draw(rng, link->state.delay);
    while (link->state.loss_permyriad > 0 && rng_chance(rng, link->state.loss_permyriad, 10000)) {
        stalls++;
        if (stalls > STALLS_MAX) {
            k->broken = true;
            break;
        }
        link->stats.stalls++;
        arrives_us += stall_us;
        stall_us *= 2;
    }
    k->due_us = arrives_us;
}

static void dial(struct proxy_conn *c);

/* Lets the line send what it can; gives when it can send more. */
static uint64_t run_line(struct proxy_conn *c, uint64_t now_us)
{
    while (c->unsent != NULL) {
        if (c->link->state.rate > 0 && c->link->free_us > now_us) {
            return c->link->free_us;
        }
        send_chunk(c, c->unsent, now_us);
        c->unsent = c->unsent->next;
    }
    return UINT64_MAX;
}

uint64_t proxy_conn_run(struct proxy_conn *c, uint64_t now_us)
{
    const struct link_state *state = &c->link->state;
    if (c->closing || state->cut) {
        return UINT64_MAX;
    }
    if (state->clog_until_us > now_us) {
        return state->clog_until_us;
    }
    if (!c->dialled) {
        dial(c);
    }
    if (c->closing || !c->connected) {
        return UINT64_MAX;
    }
    uint64_t again_us = run_line(c, now_us);
    while (c->first != NULL && c->first != c->unsent && c->first->due_us <= now_us) {
        struct chunk *k = c->first;
        if (k->broken) {
            c->link->stats.resets++;
            proxy_conn_reset(c);
            return UINT64_MAX;
        }
        if (k->end) {
            conn_close(c);
            return UINT64_MAX;
        }
        size_t n = write_some(c, k->data + k->offset, k->size - k->offset);
        k->offset += n;
        release_held(c->link, n);
        if (k->offset < k->size) {
            return now_us + FULL_AGAIN_US;
        }
        pop(c);
    }
    if (c->first != NULL && c->first != c->unsent) {
        again_us = u64_min(again_us, c->first->due_us);
    }
    return again_us;
}

static void run(struct proxy_conn *c)
{
    struct proxy *p = c->link->proxy;
    uint64_t again_us = proxy_conn_run(c, proxy_now(p));
    if (again_us != UINT64_MAX) {
        proxy_wake(p, again_us);
    }
}

/* ---- Reading at the dialling side */

static bool link_is_clean(const struct proxy_link *link, uint64_t now_us)
{
    const struct link_state *s = &link->state;
    return !s->cut && s->delay.max == 0 && s->loss_permyriad == 0 && s->rate == 0 &&
           s->clog_until_us <= now_us;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *b)
{
    const struct proxy_conn *c = handle->data;
    uint64_t size = PROXY_READ_MAX;
    uint64_t rate = c->link->state.rate;
    (void) suggested;
    if (rate > 0) {
        size = u64_min(size, u64_max(RATE_CHUNK_MIN, rate / RATE_CHUNKS));
    }
    *b = uv_buf_init((char *) proxy_scratch(c->link->proxy), (unsigned int) size);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
    struct proxy_conn *c = stream->data;
    const uint8_t *data = (const uint8_t *) b->base;
    if (c->closing || n == 0) {
        return;
    }
    if (n < 0 && n != UV_EOF) {
        proxy_conn_reset(c); /* as it was at the other side */
        return;
    }
    size_t size = n == UV_EOF ? 0 : (size_t) n;
    if (n == UV_EOF) {
        c->ended = true;
    } else if (c->first == NULL && link_is_clean(c->link, proxy_now(c->link->proxy))) {
        size_t written = write_some(c, data, size);
        if (written == size) {
            return;
        }
        data += written;
        size -= written;
    }
    push(c, data, size);
    run(c);
    if (!c->closing) {
        proxy_conn_update(c);
    }
}

void proxy_conn_update(struct proxy_conn *c)
{
    const struct proxy_link *link = c->link;
    uint64_t limit = c->reading ? PROXY_HELD_MAX : PROXY_HELD_MAX / 2 + 1;
    bool want = !c->closing && c->connected && !c->ended && !link->state.cut && link->held < limit;
    if (want == c->reading) {
        return;
    }
    c->reading = want;
    if (!want) {
        (void) uv_read_stop((uv_stream_t *) &c->in); /* never fails */
    } else {
        int rv = uv_read_start((uv_stream_t *) &c->in, on_alloc, on_read);
        ASSERT(rv == 0); /* connected, not closing, not reading */
    }
}

/* ---- The far side */

static void on_far_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
    struct proxy_conn *c = stream->data;
    (void) b; /* it has nothing to say but that it ends */
    if (c->closing || n >= 0) {
        return;
    }
    if (c->link->state.cut) {
        (void) uv_read_stop(stream); /* nobody hears of it; the end of the cut resets */
        return;
    }
    if (n == UV_EOF) {
        conn_close(c);
    } else {
        proxy_conn_reset(c);
    }
}

static void on_connect(uv_connect_t *request, int status)
{
    struct proxy_conn *c = request->data;
    if (c->closing) {
        return;
    }
    if (status < 0 || uv_read_start((uv_stream_t *) &c->out, on_alloc, on_far_read) != 0) {
        c->link->stats.refused++;
        proxy_conn_reset(c);
        return;
    }
    (void) uv_tcp_nodelay(&c->out, 1); /* without it is slower, not broken */
    c->connected = true;
    proxy_conn_update(c);
    run(c);
}

static void dial(struct proxy_conn *c)
{
    struct sockaddr_in address;
    struct proxy_link *link = c->link;
    c->dialled = true;
    (void) uv_ip4_addr("127.0.0.1", proxy_peer_port(link->proxy, link->to), &address);
    if (uv_tcp_connect(&c->connect, &c->out, (const struct sockaddr *) &address, on_connect) != 0) {
        link->stats.refused++;
        proxy_conn_reset(c);
    }
}

void proxy_conn_accept(struct proxy_link *link, struct uv_stream_s *listener)
{
    struct proxy_conn *c = xcalloc(1, sizeof *c);
    uv_loop_t *loop = proxy_loop(link->proxy);
    c->link = link;
    c->in.data = c;
    c->out.data = c;
    c->connect.data = c;
    list_push_back(&link->conns, &c->node);
    link->conns_count++;
    int rv = uv_tcp_init(loop, &c->in);
    ASSERT(rv == 0); /* makes no socket yet */
    rv = uv_tcp_init(loop, &c->out);
    ASSERT(rv == 0);
    c->handles = 2;
    proxy_hold(link->proxy);
    proxy_hold(link->proxy);
    if (uv_accept(listener, (uv_stream_t *) &c->in) != 0 || link->conns_count > PROXY_CONNS_MAX) {
        link->stats.refused++;
        proxy_conn_reset(c);
        return;
    }
    run(c);
}
