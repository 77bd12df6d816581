#ifndef SYNOD_NET_TRANSPORT_LINK_H
#define SYNOD_NET_TRANSPORT_LINK_H

/*
 * transport_link.h - the outgoing connection to one peer: resolve, connect, write, and again.
 * Private to net/transport*.c.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/list.h"
#include "base/rng.h"
#include "net/transport.h"

/* What a transport shares with its links. */
struct transport_shared {
    struct uv_loop_s *loop;
    struct transport_options options; /* without the borrowed texts and peers */
    struct blob *hello;               /* the body */
    struct transport_stats stats;
    struct rng rng;
    bool closing;
    uint32_t pending; /* handles and requests that a callback of libuv still refers to */
    void (*on_idle)(struct transport_shared *shared); /* pending is 0 and closing */
};

/* Takes or drops a share in the life of the transport. */
void transport_hold(struct transport_shared *shared);
void transport_drop(struct transport_shared *shared);

struct link {
    struct list_node node; /* in the transport's list of peers */
    uint32_t peer;
};

/* Makes an address of a numeric host. Errors: ERR_INVALID (a name, or nothing of an address). */
struct sockaddr_storage;
int transport_address(const char *host, uint16_t port,
                      struct sockaddr_storage *ret_address) MUST_USE;

/* Starts to connect in the next turn of the loop. The caller links it into its list. */
struct link *link_new(struct transport_shared *shared, const struct transport_peer *peer);

/* As transport_send. */
int link_send(struct link *link, struct bytes head, const struct bytes *parts,
              struct blob *const *owners, uint32_t count) MUST_USE;

/* As transport_flush. */
void link_flush(struct link *link);

bool link_connected(const struct link *link);

/* Closes and frees `link`, which is in no list any more, when libuv has let go of it. */
void link_close(struct link *link);

#endif
