/*
 * sim.h - runs a scenario: a whole cluster, its clients and its faults, in one thread and under
 * virtual time, and judges it.
 *
 *     struct sim_result result;
 *     sim_execute(&scenario, NULL, &result);
 *     if (result.red) ... result.property, result.text
 *
 * The nodes are the replica, log store, engines and state machine of the product, linked from the
 * same archives as `synod`; the simulator supplies clock, network, disks and clients. A run is a
 * function of the scenario: equal scenarios give equal trace hashes (S1), in every build.
 */
#ifndef SYNOD_TESTS_SIM_SIM_H
#define SYNOD_TESTS_SIM_SIM_H

#include "consensus/mark.h"
#include "tests/sim/history.h"
#include "tests/sim/scenario.h"

/* What happened in a run: proof that faults were faults (S4), and how much was done. */
#define SIM_COUNT_MAP(X)                                                                           \
    X(EVENTS, "events")                                                                            \
    X(MESSAGES, "messages sent")                                                                   \
    X(BYTES, "bytes sent") /* as frames of net/frame.h, also when messages travel as objects */    \
    X(DROPPED, "dropped by loss")                                                                  \
    X(CUT_OFF, "dropped by a cut")                                                                 \
    X(DUPLICATED, "duplicated")                                                                    \
    X(REORDERED, "overtaken by a later one")                                                       \
    X(CLOGGED, "held by a clogged link")                                                           \
    X(POWER_LOSSES, "power losses")                                                                \
    X(CRASHES, "crashes")                                                                          \
    X(RESTARTS, "restarts")                                                                        \
    X(PAUSES, "pauses")                                                                            \
    X(SLOW_NODES, "slow nodes")                                                                    \
    X(TRANSFERS, "transfers")                                                                      \
    X(CUTS, "cuts")                                                                                \
    X(ISOLATIONS, "isolations")                                                                    \
    X(PARTITIONS, "partitions")                                                                    \
    X(HEALS, "heals")                                                                              \
    X(CLOCK_JUMPS, "clock jumps")                                                                  \
    X(CLOCK_DRIFTS, "clock drifts")                                                                \
    X(SLOW_DISKS, "slow disks")                                                                    \
    X(HUNG_DISKS, "hung disks")                                                                    \
    X(LYING_DISKS, "lying disks")                                                                  \
    X(LOST_RECORDS, "un-synced records lost")                                                      \
    X(TORN_RECORDS, "torn records")                                                                \
    X(EIO_WRITES, "EIO of write")                                                                  \
    X(EIO_SYNCS, "EIO of fsync")                                                                   \
    X(ENOSPC, "ENOSPC with a partial append")                                                      \
    X(FLIPS, "flipped bits")                                                                       \
    X(LOST_FILES, "lost files")                                                                    \
    X(WIPES, "wiped disks")                                                                        \
    X(ROLLBACKS, "old images put back")                                                            \
    X(STOPS, "nodes that stopped for a failed write")                                              \
    X(REFUSALS, "nodes that refused to start on a damaged disk")                                   \
    X(STALE, "nodes that found their image to be old")                                             \
    X(LEADERS, "leader changes")                                                                   \
    X(COMMITS, "slots committed")                                                                  \
    X(CALLS, "client calls")                                                                       \
    X(MISSED, "calls not begun, as every client had one open") /* with a rate */                   \
    X(WRITES_OK, "writes answered")                                                                \
    X(READS_OK, "reads answered")                                                                  \
    X(FAILED, "calls refused")                                                                     \
    X(UNKNOWN, "calls with unknown outcome")                                                       \
    X(RETRIES, "retries through another node")                                                     \
    X(ABANDONED, "calls abandoned by their client")                                                \
    X(UNDECIDED, "histories that took the checker too long")                                       \
    X(LOG_SYNCS, "log writes made durable") /* groups: one sync each */                            \
    X(STATE_SYNCS, "state writes made durable")                                                    \
    X(FLUSHES, "state flushes")                                                                    \
    X(TRIMS, "log trims")                                                                          \
    X(LOADS, "entries read back from disk")                                                        \
    X(FETCHES, "rows read back from disk")

enum sim_count {
#define X(name, text) COUNT_##name,
    SIM_COUNT_MAP(X)
#undef X
        SIM_COUNTS
};

const char *sim_count_text(uint32_t count);

/* Plain data: may be copied, and sent through a pipe. */
struct sim_result {
    bool red;
    char property[8]; /* "R6"; "" when it is none of the table: a node that stopped for no reason
                         ... */
    char text[768];   /* one line */
    uint64_t at_us;   /* of the violation */
    uint64_t trace_hash;
    uint64_t virtual_us;
    uint64_t gap_us;    /* longest time without an answered write, from the first one to the end of
                           faults */
    uint64_t settle_us; /* how long the end took */
    uint64_t counts[SIM_COUNTS];
    uint64_t length_counts[SIM_COUNTS]; /* the same, from the start to the end of the faults */
    uint64_t marks[MARKS];
};

/* Optional outputs of a run. */
struct sim_hooks {
    struct trace_sink trace; /* a copy of every event, with virtual time; faults too */
    /* messages as they travel, for diagrams: arrive_us 0: lost. NULL: none */
    void (*message)(void *ctx, const struct message *m, uint64_t send_us, uint64_t arrive_us);
    void *message_ctx;
    struct history *history; /* filled with what clients saw; NULL: kept inside */
    uint64_t stop_us;        /* ends the run there, unjudged; 0: not */
};

/* engine must be set and scenario_check OK (asserted). hooks NULL: none. */
void sim_execute(const struct scenario *scenario, const struct sim_hooks *hooks,
                 struct sim_result *ret_result);

/* Is this what the scenario expects? A control (`expect red`) must be red, and by the property it
 * names, if it names one; everything else must not. */
bool sim_as_expected(const struct scenario *scenario, const struct sim_result *result);

#endif
