/*
 * explore.h - all runs of a small cluster, instead of some: every order of deliveries, disk
 * completions, time-outs, proposals and crashes of the real engines, within budgets.
 *
 * One node with its disk is a deterministic automaton: what it does next is a function of what it
 * was given so far. So the engine is run once for each (state of a node, input), the outcome is
 * kept, and the search over whole clusters combines outcomes without running anything. States of
 * the cluster are visited breadth first and once each: when the search is cut short it can still
 * say up to which depth it saw everything, and the first violation found is one with the shortest
 * path.
 *
 * The properties are checked by rules of its own, at each transition and made for that (they are
 * part of the state); some of the paths are run again under the simulator's observer, which knows
 * more of them but has to see a whole run.
 *
 * Not here: time that passes without a time-out, damaged disks, clients, the replica (sim.h).
 */
#ifndef SYNOD_TESTS_SIM_EXPLORE_H
#define SYNOD_TESTS_SIM_EXPLORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "consensus/consensus.h"

enum {
    EXPLORE_NODES_MAX = 5,
    EXPLORE_COMMANDS_MAX = 4,
    EXPLORE_READS_MAX = 2,
    EXPLORE_BUDGET_MAX = 15, /* of time-outs, crashes, duplicates */
};

/* From where. EMPTY: just started. QUIET: and what was said at the start is delivered. LED: a node
 * leads and all is calm (paxos: one command is chosen and known). SPLIT: two nodes stand at the
 * same moment (paxos: propose for the same slot), nothing delivered. */
#define EXPLORE_START_MAP(X) X(EMPTY, "empty") X(QUIET, "quiet") X(LED, "led") X(SPLIT, "split")

enum explore_start {
#define X(name, word) EXPLORE_##name,
    EXPLORE_START_MAP(X)
#undef X
        EXPLORE_STARTS
};

struct explore_options {
    const struct engine_ops *engine;
    uint32_t nodes;
    uint32_t commands;   /* proposed by any node that takes them, in order */
    uint32_t reads;      /* linearizable, by any node */
    uint32_t timeouts;   /* of any nodes together */
    uint32_t crashes;    /* power loss and restart */
    uint32_t duplicates; /* messages delivered once more */
    uint8_t start;       /* enum explore_start */
    /* pre-vote, check-quorum and quorum-connected election as in production; false: off, which
     * leaves the protocols of the papers and lets the budgets reach further */
    bool product;
    /* Two ways to reach deeper with less: links that keep the order of messages (but still lose
     * any), as connections do; disks on which a write is durable at once. */
    bool fifo;
    bool instant_disk;
    bool small_messages; /* one entry in each at most: more of them, in more orders */
    /* tell states of a node apart by what it was given instead of by what it is: slower, and needs
     * no knowledge of the engines; to check the former against it */
    bool histories;
    uint32_t depth; /* choices after the start; 0: until the budgets are used up */
    uint64_t states_max;
    uint32_t observe; /* ways to states, spread over all, that are run again under observer.h */
    bool count_views; /* fill in result.views */
    bool (*stop)(void *ctx); /* asked now and then: true ends the search; NULL: never */
    void *ctx;
};

void explore_options_init(struct explore_options *o, const struct engine_ops *engine);

struct explore_result {
    bool red;
    char property[8];
    char text[256];
    struct buf path; /* red: the choices, a line each, then the state they lead to */
    struct buf code; /* red: the path for explore_replay, with the options */

    bool complete;           /* everything within the budgets was seen */
    uint32_t depth_complete; /* everything up to here was seen */
    uint32_t depth_reached;
    const char *bound;     /* why it ended */
    uint64_t states;       /* of the cluster, different from each other */
    uint64_t transitions;  /* between them */
    uint64_t local_states; /* of single nodes */
    uint64_t local_steps;  /* inputs given to engines, without those repeated */
    uint64_t replayed;     /* inputs repeated to get an instance back into a state */
    uint64_t messages;     /* different ones */
    uint64_t beyond;       /* choices not followed: the log or another table would be too long */
    uint64_t observed;     /* paths run again under the observer */
    uint64_t chosen_max;   /* slots chosen in a state, the most */
    uint64_t led_max;      /* epochs led in a path, the most */
    uint64_t crashed;      /* states with a crash behind them */
    uint64_t views;        /* different (role, epoch, commit, log, disk) of all nodes together */
    uint64_t views_hash;   /* of the set of them; both if options.count_views */
};

/* ret_result is initialised by this and wants explore_result_release. */
void explore_run(const struct explore_options *options, struct explore_result *ret_result);
void explore_result_release(struct explore_result *r);

/* Runs one path again and describes each step in ret_result->path, red or not. `error` gets one
 * line. Errors: ERR_INVALID (not a code, or it leads to a choice that does not exist). */
MUST_USE int explore_replay(const char *code, struct explore_result *ret_result, struct buf *error);

const char *explore_start_name(uint8_t start);

#endif
