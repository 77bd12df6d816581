/*
 * cut_run.h - one set of directed cuts, tried on one engine: the run of figure E10.
 *
 * A short script: the cluster comes up, node 1 is made the leader where there is one, clients write
 * and read through any node; the links are cut, and the clients go on; they heal, and the clients
 * go on; then every key is read, and the whole history is judged. In election time-outs: cut at
 * CUT_AT, heal at HEAL_AT, end at CUT_END.
 */
#ifndef SYNOD_TESTS_COMPARE_CUT_RUN_H
#define SYNOD_TESTS_COMPARE_CUT_RUN_H

#include "tests/sim/sim.h"

enum {
    CUT_AT = 5,
    HEAL_AT = 13,
    CUT_END = 19, /* an election that splits its votes twice is over by then */
    CUT_ELECTION_US = 100000,
    CUT_AVAILABLE_ELECTIONS = 6, /* a majority must answer a write within so many */
    CUT_NEXT_SEED = 1 << 24,     /* seeds of runs of one figure are closer together */
};

struct cut_run {
    const struct engine_ops *engine;
    uint32_t nodes;
    uint32_t cuts; /* mask of tests/compare/cut_space.h; node 1 leads */
    uint64_t seed;
};

/* Plain data. */
struct cut_result {
    bool ran;         /* false: its process died */
    bool placed;      /* node 1 led when the links were cut; always true without leaders */
    bool unsafe;      /* a property other than R11 was violated: text says which */
    bool unrecovered; /* after the heal nodes did not agree, or no write was answered */
    bool undecided;   /* the history took the checker too long */
    char text[120];
    uint32_t first_us;  /* cut to the first answer of a write called after it; UINT32_MAX: none */
    uint32_t healed_us; /* the same after the heal */
    uint8_t answered;   /* bit n - 1: node n answered a linearizable call that was made while cut */
    uint8_t leaders;    /* leader changes while cut, at most 255 */
    uint8_t tries;      /* not set here: how many seeds were tried before, CUT_NEXT_SEED apart */
};

/* Initialises s: release it. */
void cut_run_scenario(const struct cut_run *run, struct scenario *s);

/* Runs it; a function of *run alone. */
void cut_run_execute(const struct cut_run *run, struct cut_result *ret_result);

#endif
