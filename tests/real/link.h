/*
 * link.h - the directed links between the nodes of a real cluster, and what can be wrong with them.
 *
 * Two implementations: proxy.h (user space) and netns.h (network namespaces). Node numbers from 1.
 * Loop thread only.
 */
#ifndef SYNOD_TESTS_REAL_LINK_H
#define SYNOD_TESTS_REAL_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "tests/sim/scenario.h"

/* What a direction does to bytes. Zero is a link as the machine has it. */
struct link_state {
    bool cut;                /* nothing arrives; connections break when it ends */
    struct sim_span delay;   /* us, drawn for each chunk, order kept */
    uint32_t loss_permyriad; /* of chunks: a lost packet is a stall of 200 ms (TCP's least
                                time-out), doubling when it is lost again, and a reset of the
                                connection after the fifth in a row */
    uint64_t rate;           /* bytes a second, 0: any */
    uint64_t clog_until_us;  /* uv_hrtime / 1000; held until then */
};

struct link_stats {
    uint64_t frames, bytes; /* that were passed on */
    uint64_t stalls, resets, refused;
};

struct link_layer;

struct link_ops {
    const char *name; /* "proxy" */
    /* Where node `from` has to dial to reach the peer port of node `to`. */
    void (*address)(struct link_layer *l, uint32_t from, uint32_t to, char host[64],
                    uint16_t *ret_port);
    /* From now on. Errors: ERR_UNSUPPORTED (this layer cannot), ERR_IO. */
    int (*set)(struct link_layer *l, uint32_t from, uint32_t to, const struct link_state *state);
    void (*stats)(struct link_layer *l, uint32_t from, uint32_t to, struct link_stats *ret_stats);
    /* Closes; on_closed from the loop when the last handle is gone and l is freed. */
    void (*close)(struct link_layer *l, void (*on_closed)(void *ctx), void *ctx);
};

struct link_layer {
    const struct link_ops *ops;
};

#endif
