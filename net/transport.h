#ifndef SYNOD_NET_TRANSPORT_H
#define SYNOD_NET_TRANSPORT_H

/*
 * transport.h - connections between the nodes of a cluster: frames over TCP by libuv.
 *
 * Each node connects to every peer and sends on the connection it opened; what it receives comes on
 * connections that peers opened. Lost messages are legal (engines repeat), so a full queue drops
 * and counts. What is queued in one loop turn leaves with one writev. Loop thread only. Not here:
 * what the bytes mean (the owner's callbacks check the hello and decode frames).
 *
 * The process ignores SIGPIPE: libuv writes with writev. The loop's idea of now is the only clock.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"

struct uv_loop_s;
struct transport;

struct transport_peer {
    uint32_t id;
    const char *host; /* name or address */
    uint16_t port;
};

struct transport_options {
    const char *listen_host; /* name or address, "::" for all */
    uint16_t listen_port;    /* 0: any, see transport_port */
    uint32_t self;
    const struct transport_peer *peers; /* without self */
    uint32_t peers_count;
    size_t queue_bytes_max;    /* per peer, bytes waiting to be written */
    uint32_t queue_frames_max; /* per peer */
    uint32_t frame_size_max;   /* larger frames received cost the connection */
    uint32_t connections_max;  /* accepted connections; more are closed at once */
    uint64_t reconnect_min_ms; /* back-off, doubling with jitter, at least 1 */
    uint64_t reconnect_max_ms;
    uint64_t connect_timeout_ms;   /* also: written bytes must be acknowledged within */
    uint64_t handshake_timeout_ms; /* an accepted connection must say hello within */
    uint64_t seed;
    /* First frame on each outgoing connection. Borrowed: copied at creation. */
    struct bytes hello;
    /* First frame of an accepted connection: the peer's id through ret_peer, or an error: the
     * connection is closed, and counted. A newer connection of a peer replaces the older one. */
    int (*on_hello)(void *ctx, struct bytes body, uint32_t *ret_peer);
    /* A frame from that peer. body: borrowed (take a reference to keep). A negative return closes
     * the connection, nothing else. */
    int (*on_frame)(void *ctx, uint32_t peer, struct blob *body);
    /* An outgoing connection came up or went down; also, once, that the first attempt to connect
     * failed. reason: for the log. May be NULL. */
    void (*on_link)(void *ctx, uint32_t peer, bool up, const char *reason);
    void *ctx; /* of the three callbacks, which may call any function here */
};

struct transport_stats {
    uint64_t frames_sent; /* hellos too, as in frames_received */
    uint64_t bytes_sent;
    uint64_t writes; /* system calls */
    uint64_t frames_received;
    uint64_t bytes_received;
    uint64_t dropped_full;        /* frames: queue limit */
    uint64_t dropped_down;        /* frames: no connection, or lost with it */
    uint64_t bad_frames;          /* checksum, size, refused by on_frame */
    uint64_t refused_hellos;      /* or none in time */
    uint64_t refused_connections; /* beyond connections_max */
    uint64_t reconnects;
};

/*
 * Binds and listens at once. `error` (NULL legal) gets one line on failure. What a failed call has
 * to close is closed by the next turns of the loop.
 * Errors: ERR_ADDRESS_IN_USE, ERR_INVALID (address, limits, two peers of one id), ERR_IO.
 */
int transport_new(struct uv_loop_s *loop, const struct transport_options *options,
                  struct transport **ret_transport, struct buf *error) MUST_USE;

/* The port it listens on. */
uint16_t transport_port(const struct transport *t);

/* Connects to one more peer (a member was added). Errors: ERR_EXISTS, ERR_INVALID (its id is ours),
 * ERR_CLOSED. */
int transport_add_peer(struct transport *t, const struct transport_peer *peer) MUST_USE;

/* Closes the connection to the peer and those it opened; what is queued is dropped. Errors:
 * ERR_NOT_FOUND. */
int transport_remove_peer(struct transport *t, uint32_t peer) MUST_USE;

/*
 * Queues a frame: `head` is copied, each part's bytes are borrowed from `owners[i]`, of which a
 * reference is taken until written. An owner that is NULL stands for bytes that live as long as the
 * transport. Small parts are copied, without a reference.
 * Errors: ERR_NOT_FOUND (no such peer), ERR_CLOSED (not connected: dropped), ERR_LIMIT (queue full:
 * dropped), ERR_TOO_LARGE (above frame_size_max).
 */
int transport_send(struct transport *t, uint32_t peer, struct bytes head, const struct bytes *parts,
                   struct blob *const *owners, uint32_t count) MUST_USE;

/* Writes what was queued; the owner calls it once per loop turn. */
void transport_flush(struct transport *t);

/* Whether frames to the peer are queued rather than dropped now. */
bool transport_connected(const struct transport *t, uint32_t peer);

void transport_stats(const struct transport *t, struct transport_stats *ret_stats);

/* Closes everything; on_closed (NULL legal) is called from the loop when the last handle is gone
 * and t is freed. No other callback comes after this call. Call it once. */
void transport_close(struct transport *t, void (*on_closed)(void *ctx), void *ctx);

#endif
