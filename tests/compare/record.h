/*
 * record.h - what is kept of one run to be measured and drawn: events, counts, the clients'
 * history, the verdict. Both back ends fill it; nothing behind it knows which one did.
 *
 * Events are those of SIM and node traces (consensus/trace.h) that measure.h and the diagram need.
 * SEND is only counted: messages, and rounds (below). Times are microseconds since the run began,
 * on one clock for all nodes, clients and faults.
 *
 * A round is a request that a proposer sends to its peers and needs a quorum of answers to before
 * it can go on: prepare, accept, append with entries. The same request sent to several peers, or
 * again, is one round. Rounds per commit are the round trips of the papers.
 */
#ifndef SYNOD_TESTS_COMPARE_RECORD_H
#define SYNOD_TESTS_COMPARE_RECORD_H

#include "base/map.h"
#include "consensus/consensus.h"
#include "tests/sim/history.h"
#include "tests/sim/scenario.h"

enum { RECORD_EVENTS_MAX = 1 << 20 };

/* X(name, word): over all nodes, from the start of the run to the end of its faults */
#define RECORD_TOTAL_MAP(X)                                                                        \
    X(MESSAGES, "messages") /* between nodes */                                                    \
    X(BYTES, "bytes")       /* of those */                                                         \
    X(SYNCS, "syncs")       /* durable writes of logs */                                           \
    X(STATE_SYNCS, "state_syncs")                                                                  \
    X(ROUNDS, "rounds")                                                                            \
    X(DISK_FAILURES, "disk_failures") /* calls of disks that were made to fail */                  \
    X(COMMITS, "commits")             /* slots of the log */                                       \
    X(CPU_US, "cpu_us")               /* of all nodes; 0 in the simulator */                       \
    X(CPU_LEADER_US, "cpu_leader_us") /* of each node while it led; 0 in the simulator */

enum record_total {
#define X(name, word) TOTAL_##name,
    RECORD_TOTAL_MAP(X)
#undef X
        RECORD_TOTALS
};

struct record {
    const struct engine_ops *engine;
    uint32_t nodes;
    uint64_t seed;
    uint64_t length_us;   /* end of the faults */
    uint64_t end_us;      /* of what is measured: that, or when the run turned red before */
    uint64_t election_us; /* the option of the scenario */
    uint64_t start_us;    /* scenario_start_us */
    bool real;            /* processes instead of the simulator */

    struct trace_event *events; /* ascending by time */
    size_t events_count;
    size_t events_capacity;
    uint64_t dropped; /* events beyond RECORD_EVENTS_MAX */

    struct history *history; /* owned */
    uint64_t totals[RECORD_TOTALS];
    struct map rounds; /* requests seen, see above */

    bool skipped; /* it could not be run here; text says why */
    bool red;
    bool undecided; /* the checker gave up in its time */
    char property[SCENARIO_PROPERTY_MAX];
    char text[768];
};

/* An empty record of a run of this scenario. */
void record_init(struct record *r, const struct scenario *scenario, bool real);
void record_release(struct record *r);

/* Takes an event of any kind (note must be static); counts or keeps it. */
void record_event(struct record *r, const struct trace_event *event);
struct trace_sink record_sink(struct record *r); /* valid while r is */

/* A verdict; the first one stays. */
void record_fail(struct record *r, const char *property, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
