/*
 * proxy.c - the links of the proxy: listeners, states, and the one timer for all that waits.
 *
 * The timer is a timerfd, because delays of links are tens of microseconds and timers of libuv are
 * milliseconds.
 */
#include "tests/real/proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <uv.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/real/proxy_impl.h"

enum { LISTEN_BACKLOG = 128 };

struct listener {
    struct proxy_link link;
    uv_tcp_t tcp;
};

struct proxy {
    struct link_layer layer; /* first: what the owner holds */
    uv_loop_t *loop;
    uint32_t nodes;
    uint16_t peer_ports[SIM_NODES_MAX];
    struct listener *links; /* nodes * nodes, those of a node with itself unused */
    struct rng rng;
    uv_poll_t timer;
    int timer_fd;
    uint64_t wake_us; /* UINT64_MAX: not set */
    uint32_t handles;
    bool closing;
    void (*on_closed)(void *ctx);
    void *closed_ctx;
    uint8_t scratch[PROXY_READ_MAX];
};

static struct proxy *proxy_of(struct link_layer *l)
{
    return container_of(l, struct proxy, layer);
}

static struct listener *listener_of(struct proxy *p, uint32_t from, uint32_t to)
{
    ASSERT(from >= 1);
    ASSERT(from <= p->nodes);
    ASSERT(to >= 1);
    ASSERT(to <= p->nodes);
    ASSERT(from != to);
    return &p->links[(from - 1) * p->nodes + (to - 1)];
}

/* ---- For the connections */

uint64_t proxy_now(const struct proxy *p)
{
    (void) p;
    return uv_hrtime() / 1000;
}

struct rng *proxy_rng(struct proxy *p)
{
    return &p->rng;
}

struct uv_loop_s *proxy_loop(struct proxy *p)
{
    return p->loop;
}

uint8_t *proxy_scratch(struct proxy *p)
{
    return p->scratch;
}

uint16_t proxy_peer_port(const struct proxy *p, uint32_t node)
{
    return p->peer_ports[node - 1];
}

void proxy_hold(struct proxy *p)
{
    p->handles++;
}

void proxy_drop(struct proxy *p)
{
    ASSERT(p->handles > 0);
    p->handles--;
    if (p->handles > 0 || !p->closing) {
        return;
    }
    void (*on_closed)(void *ctx) = p->on_closed;
    void *ctx = p->closed_ctx;
    free(p->links);
    free(p);
    if (on_closed != NULL) {
        on_closed(ctx);
    }
}

/* ---- Time */

void proxy_wake(struct proxy *p, uint64_t at_us)
{
    if (at_us >= p->wake_us || p->closing) {
        return;
    }
    at_us = u64_max(at_us, 1); /* zero would switch it off */
    struct itimerspec when = {
        .it_value = {(time_t) (at_us / 1000000), (int32_t) (at_us % 1000000) * 1000}};
    int rc = timerfd_settime(p->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
    ASSERT(rc == 0); /* a good descriptor and a good time */
    p->wake_us = at_us;
}

static uint64_t run_link(struct proxy_link *link, uint64_t now_us)
{
    uint64_t again_us = UINT64_MAX;
    LIST_FOR_EACH_SAFE(&link->conns, node, after) {
        again_us = u64_min(again_us, proxy_conn_run(proxy_conn_of(node), now_us));
    }
    return again_us;
}

static void on_timer(uv_poll_t *handle, int status, int events)
{
    struct proxy *p = handle->data;
    uint64_t expired = 0;
    uint64_t again_us = UINT64_MAX;
    (void) status;
    (void) events;
    if (read(p->timer_fd, &expired, sizeof expired) < 0) {
        return; /* set anew meanwhile */
    }
    p->wake_us = UINT64_MAX;
    uint64_t now_us = proxy_now(p);
    for (uint32_t i = 0; i < p->nodes * p->nodes; i++) {
        if (p->links[i].link.conns_count > 0) {
            again_us = u64_min(again_us, run_link(&p->links[i].link, now_us));
        }
    }
    if (again_us != UINT64_MAX) {
        proxy_wake(p, again_us);
    }
}

/* ---- The layer */

static void proxy_address(struct link_layer *l, uint32_t from, uint32_t to, char host[64],
                          uint16_t *ret_port)
{
    (void) snprintf(host, 64, "127.0.0.1");
    *ret_port = listener_of(proxy_of(l), from, to)->link.port;
}

static int proxy_set(struct link_layer *l, uint32_t from, uint32_t to,
                     const struct link_state *state)
{
    struct proxy *p = proxy_of(l);
    struct proxy_link *link = &listener_of(p, from, to)->link;
    bool was_cut = link->state.cut;
    uint64_t now_us = proxy_now(p);
    if (state->rate != link->state.rate) {
        link->free_us = u64_min(link->free_us, now_us); /* the rest goes at the new rate */
    }
    link->state = *state;
    LIST_FOR_EACH_SAFE(&link->conns, node, after) {
        struct proxy_conn *c = proxy_conn_of(node);
        if (was_cut && !state->cut) {
            link->stats.resets++;
            proxy_conn_reset(c);
        } else {
            proxy_conn_update(c);
        }
    }
    uint64_t again_us = run_link(link, now_us);
    if (again_us != UINT64_MAX) {
        proxy_wake(p, again_us);
    }
    return OK;
}

static void proxy_stats(struct link_layer *l, uint32_t from, uint32_t to,
                        struct link_stats *ret_stats)
{
    *ret_stats = listener_of(proxy_of(l), from, to)->link.stats;
}

static void on_listener_closed(uv_handle_t *handle)
{
    proxy_drop(handle->data);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct proxy *p = handle->data;
    (void) close(p->timer_fd);
    proxy_drop(p);
}

static void proxy_close(struct link_layer *l, void (*on_closed)(void *ctx), void *ctx)
{
    struct proxy *p = proxy_of(l);
    ASSERT(!p->closing);
    p->closing = true;
    p->on_closed = on_closed;
    p->closed_ctx = ctx;
    for (uint32_t i = 0; i < p->nodes * p->nodes; i++) {
        struct listener *s = &p->links[i];
        if (s->link.proxy == NULL) {
            continue;
        }
        LIST_FOR_EACH_SAFE(&s->link.conns, node, after) {
            proxy_conn_reset(proxy_conn_of(node));
        }
        uv_close((uv_handle_t *) &s->tcp, on_listener_closed);
    }
    uv_close((uv_handle_t *) &p->timer, on_timer_closed);
}

static const struct link_ops proxy_ops = {
    .name = "proxy",
    .address = proxy_address,
    .set = proxy_set,
    .stats = proxy_stats,
    .close = proxy_close,
};

/* ---- Making it */

static void on_connection(uv_stream_t *stream, int status)
{
    struct proxy *p = stream->data;
    struct listener *s = container_of(stream, struct listener, tcp);
    if (status == 0 && !p->closing) {
        proxy_conn_accept(&s->link, stream);
    }
}

static int link_open(struct proxy *p, uint32_t from, uint32_t to)
{
    struct listener *s = listener_of(p, from, to);
    struct sockaddr_in address;
    int size = sizeof address;
    int rv = uv_tcp_init(p->loop, &s->tcp);
    if (rv != 0) {
        return rv;
    }
    s->tcp.data = p;
    s->link.proxy = p;
    s->link.from = from;
    s->link.to = to;
    list_init(&s->link.conns);
    proxy_hold(p);
    (void) uv_ip4_addr("127.0.0.1", 0, &address); /* a good address */
    rv = uv_tcp_bind(&s->tcp, (const struct sockaddr *) &address, 0);
    if (rv == 0) {
        rv = uv_listen((uv_stream_t *) &s->tcp, LISTEN_BACKLOG, on_connection);
    }
    if (rv == 0) {
        rv = uv_tcp_getsockname(&s->tcp, (struct sockaddr *) &address, &size);
    }
    s->link.port = rv == 0 ? ntohs(address.sin_port) : 0;
    return rv;
}

static int links_open(struct proxy *p)
{
    for (uint32_t from = 1; from <= p->nodes; from++) {
        for (uint32_t to = 1; to <= p->nodes; to++) {
            int rv = from == to ? 0 : link_open(p, from, to);
            if (rv != 0) {
                return rv;
            }
        }
    }
    return uv_poll_start(&p->timer, UV_READABLE, on_timer);
}

int proxy_new(struct uv_loop_s *loop, const struct proxy_options *options,
              struct link_layer **ret_layer, struct buf *error)
{
    ASSERT(options->nodes >= 1);
    ASSERT(options->nodes <= SIM_NODES_MAX);
    struct proxy *p = xcalloc(1, sizeof *p);
    p->layer.ops = &proxy_ops;
    p->loop = loop;
    p->nodes = options->nodes;
    p->wake_us = UINT64_MAX;
    memcpy(p->peer_ports, options->peer_ports, options->nodes * sizeof *p->peer_ports);
    rng_init(&p->rng, options->seed);
    p->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    int rv = p->timer_fd < 0 ? uv_translate_sys_error(errno)
                             : uv_poll_init(loop, &p->timer, p->timer_fd);
    if (rv != 0) {
        ERR_IGNORE(buf_printf(error, "no timer for the proxy: %s", uv_strerror(rv)));
        if (p->timer_fd >= 0) {
            (void) close(p->timer_fd);
        }
        free(p);
        return ERR_IO;
    }
    p->timer.data = p;
    proxy_hold(p);
    p->links = xcalloc((size_t) p->nodes * p->nodes, sizeof *p->links);
    rv = links_open(p);
    if (rv != 0) {
        ERR_IGNORE(buf_printf(error, "the proxy cannot listen: %s", uv_strerror(rv)));
        proxy_close(&p->layer, NULL, NULL);
        return rv == UV_EADDRINUSE ? ERR_ADDRESS_IN_USE : ERR_IO;
    }
    *ret_layer = &p->layer;
    return OK;
}
