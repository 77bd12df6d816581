/*
 * proxy_impl.h - what the files of the proxy share: proxy.c has the links, proxy_conn.c the
 * connections on them and the bytes that wait.
 */
#ifndef SYNOD_TESTS_REAL_PROXY_IMPL_H
#define SYNOD_TESTS_REAL_PROXY_IMPL_H

#include "base/list.h"
#include "base/rng.h"
#include "net/frame.h"
#include "tests/real/proxy.h"

enum {
    PROXY_READ_MAX = 64 << 10, /* bytes of one read */
    PROXY_CONNS_MAX = 64,      /* open on one link; more are reset at once */
};

struct proxy;
struct proxy_conn;

struct proxy_link {
    struct proxy *proxy;
    uint32_t from;
    uint32_t to;
    uint16_t port; /* of the listener */
    struct link_state state;
    struct link_stats stats;
    uint64_t free_us;  /* when the line has sent what it is sending */
    struct list conns; /* struct proxy_conn */
    uint32_t conns_count;
    uint64_t held; /* bytes of all of them that wait */
};

/* A look at all links for what is due, no later than at_us; proxy.c. */
void proxy_wake(struct proxy *p, uint64_t at_us);
uint64_t proxy_now(const struct proxy *p);
struct rng *proxy_rng(struct proxy *p);
struct uv_loop_s *proxy_loop(struct proxy *p);
uint8_t *proxy_scratch(struct proxy *p); /* PROXY_READ_MAX bytes for one read */
uint16_t proxy_peer_port(const struct proxy *p, uint32_t node);
/* Handles that keep the proxy alive. */
void proxy_hold(struct proxy *p);
void proxy_drop(struct proxy *p);

/* Takes a connection from the listener; it belongs to the link from then on. */
struct uv_stream_s;
void proxy_conn_accept(struct proxy_link *link, struct uv_stream_s *listener);

/* Passes on what is due; gives the time to come back at the latest, UINT64_MAX: when something
 * happens. It may end the connection. */
uint64_t proxy_conn_run(struct proxy_conn *c, uint64_t now_us);

/* Reads, or reads no more, as the state and the bytes that wait want it. */
void proxy_conn_update(struct proxy_conn *c);

/* Ends it at both sides, with a reset. */
void proxy_conn_reset(struct proxy_conn *c);

struct proxy_conn *proxy_conn_of(struct list_node *node);

#endif
