/*
 * outage.h - partial partitions of E8 and E9: the graphs, the electors, and one run of a graph.
 *
 * A run in the simulator: the cluster comes up, leadership is moved to where the graph wants it,
 * clients write at random nodes all the time, the links of the graph break at `cut`, stay so for
 * as long as asked, and heal. What is measured lies between cut and heal. Times are virtual
 * microseconds. Most faults are cuts of links; a graph may also take a node's power.
 */
#ifndef SYNOD_TESTS_COMPARE_OUTAGE_H
#define SYNOD_TESTS_COMPARE_OUTAGE_H

#include "tests/compare/figure.h"
#include "tests/sim/sim.h"

/* X(name, word, title, nodes) */
#define OUTAGE_GRAPH_MAP(X)                                                                        \
    X(QUORUM_LOSS, "quorum-loss", "quorum loss", 5)                                                \
    X(CONSTRAINED, "constrained-election", "constrained election", 5)                              \
    X(CHAINED, "chained", "chained", 3)                                                            \
    X(TWO_LEAVES, "two-leaves", "two leaves", 5)                                                   \
    X(LEADER_LEAF, "leader-on-a-leaf", "leader on a leaf", 5)                                      \
    X(MUTE, "mute-leader", "leader that nobody hears", 5)                                          \
    X(DEAF, "deaf-leader", "leader that hears nobody", 5)                                          \
    X(HALF_MUTE, "half-mute-leader", "leader that one does not hear", 3)                           \
    X(HALF_DEAF, "half-deaf-leader", "leader that does not hear one", 3)                           \
    X(FLAPPING, "flapping", "flapping link of the leader", 3)

enum outage_graph {
#define X(name, word, title, nodes) OUTAGE_##name,
    OUTAGE_GRAPH_MAP(X)
#undef X
        OUTAGE_GRAPHS
};

/* What consensus_options.pre_vote, check_quorum and quorum_connected are.
 * X(name, title, pre_vote, check_quorum, quorum_connected) */
#define OUTAGE_ELECTOR_MAP(X)                                                                      \
    X(CLASSIC, "classic", 0, 0, 0)                                                                 \
    X(PRE_VOTE, "pre-vote", 1, 0, 0)                                                               \
    X(CHECK_QUORUM, "check-quorum", 0, 1, 0)                                                       \
    X(BOTH, "PV+CQ", 1, 1, 0)                                                                      \
    X(FULL, "quorum-connected", 1, 1, 1)

enum outage_elector {
#define X(name, title, pre_vote, check_quorum, quorum_connected) ELECTOR_##name,
    OUTAGE_ELECTOR_MAP(X)
#undef X
        OUTAGE_ELECTORS
};

const char *outage_graph_word(uint32_t graph);
const char *outage_graph_title(uint32_t graph);
const char *outage_elector_title(uint32_t elector);

enum { OUTAGE_BUCKETS = 120 };

struct outage {
    const struct engine_ops *engine;
    uint8_t graph;   /* enum outage_graph */
    uint8_t elector; /* enum outage_elector; leaderless engines know quorum_connected alone */
    uint64_t election_us;
    uint64_t lasts_us; /* the partition */
    uint64_t seed;
};

/* When the links break; the buckets of a result begin outage_lead_us before it. */
uint64_t outage_cut_us(const struct outage *o);
uint64_t outage_lead_us(const struct outage *o);
uint64_t outage_bucket_us(const struct outage *o);

/* Initialises s: release it. */
void outage_scenario(const struct outage *o, struct scenario *s);

/* Plain data. Between cut and heal, if nothing else is said. */
struct outage_result {
    bool ran;           /* false: the process of the run died */
    bool placed;        /* the leader was where the graph wants it when the links broke */
    bool red;           /* a property was violated: text says which */
    char text[256];     /* "" when green */
    uint64_t down_us;   /* longest time without an answered write */
    uint64_t silent_us; /* sum of all such times that are longer than an election time-out */
    uint64_t last_us;   /* cut to the last answered write; 0: none was */
    uint64_t first_us;  /* cut to the first answer of a write called after it; UINT64_MAX: none */
    uint64_t commits;   /* slots of the log that became chosen */
    uint32_t writes;    /* answered */
    uint32_t leaders;   /* a node became leader */
    uint32_t campaigns; /* a node became candidate */
    uint32_t written[OUTAGE_BUCKETS]; /* answered writes, from outage_lead_us before the cut */
};

/* A line for a shell that writes this scenario to run.fault and runs it with `synod-sim run`,
 * judged to the end; program as it was called. Cut when out is full. */
void outage_command(const char *program, const struct scenario *s, struct buf *out);

/* Runs it; a function of *o alone. */
void outage_run(const struct outage *o, struct outage_result *ret_result);

#endif
