/*
 * bench_load.h - load on a cluster: connections, clients, and what came of it. One loop, one
 * thread.
 *
 * Closed loop: each of `clients` has one call under way and begins the next when it is answered.
 * Open loop (rate > 0): calls begin at fixed moments whatever the answers do, and latency counts
 * from the moment a call was due, so a stall is not hidden; what cannot begin because `clients`
 * calls are under way is counted as late, not dropped.
 */
#ifndef SYNOD_KV_BENCH_LOAD_H
#define SYNOD_KV_BENCH_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "kv/bench_histogram.h"

struct bench_endpoint {
    char host[256];
    uint16_t port;
};

enum bench_kind { BENCH_PUT, BENCH_GET };

struct bench_options {
    uint8_t kind; /* enum bench_kind */
    const struct bench_endpoint *endpoints;
    uint32_t endpoints_count;
    uint32_t connections; /* spread over the endpoints in turn */
    uint32_t clients;     /* calls under way at most, spread over the connections in turn */
    uint32_t value_size;
    uint32_t key_size;
    uint64_t key_space;
    bool sequential;   /* keys in order instead of at random */
    bool serializable; /* gets */
    uint64_t total;    /* calls; 0: by duration */
    uint64_t duration_us;
    uint64_t warmup_us; /* calls begun before are not measured */
    uint64_t rate;      /* calls a second, 0: closed loop */
    uint64_t timeout_us;
    uint64_t seed;
    /* The measured part begins. */
    void (*on_measure)(void *ctx);
    void *ctx;
};

struct bench_result {
    uint64_t done; /* measured, answered OK */
    uint64_t failed;
    uint64_t late; /* open loop: begun after their moment for want of a free client */
    uint64_t elapsed_us;
    struct histogram latency_us;
    char first_error[256];
};

/* Runs the load. `error` gets a line. Errors: ERR_UNREACHABLE (an endpoint does not answer),
 * ERR_INVALID. */
MUST_USE int bench_run(const struct bench_options *options, struct bench_result *ret_result,
                       struct buf *error);

#endif
