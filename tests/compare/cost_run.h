/*
 * cost_run.h - what one write costs, counted in a calm simulated cluster.
 *
 * One client writes, one call at a time, with so much time between that everything a call caused is
 * over before the next one. Every message takes exactly HOP_US and every durable write exactly
 * SYNC_US, which divide each other with a rest, so that the latency alone says how many of each lie
 * one after another on its way.
 */
#ifndef SYNOD_TESTS_COMPARE_COST_RUN_H
#define SYNOD_TESTS_COMPARE_COST_RUN_H

#include "tests/sim/sim.h"

enum { COST_HOP_US = 10000, COST_SYNC_US = 700 };

enum cost_role {
    COST_LEADER,
    COST_OTHER,
    COST_ROLES
}; /* whom the client asks; leaderless: OTHER */

/* Of the writes that one kind of node was asked for: sums. */
struct cost {
    uint32_t writes;
    uint32_t hops;     /* messages one after another, by latency */
    uint32_t syncs;    /* durable writes one after another, by latency */
    uint32_t odd;      /* writes whose latency is no sum of both */
    uint64_t rounds;   /* requests that need a quorum of answers */
    uint64_t messages; /* between nodes, without heartbeats and gossip */
    uint64_t bytes;    /* of those, as frames */
    uint64_t written;  /* durable writes of all logs */
    uint64_t latency_us;
};

/* Plain data. */
struct cost_result {
    bool ran;
    bool red;
    char text[120];
    struct cost of[COST_ROLES];
};

/* Initialises s: release it. */
void cost_run_scenario(const struct engine_ops *engine, uint32_t nodes, uint64_t seed,
                       struct scenario *s);
void cost_run_execute(const struct engine_ops *engine, uint32_t nodes, uint64_t seed,
                      struct cost_result *ret_result);

#endif
