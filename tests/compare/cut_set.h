/*
 * cut_set.h - the runs of figure E10: which sets of cuts are tried on which engine, and what their
 * results add up to.
 *
 * An engine with a leader is tried on the orbits that keep the leader's node, a leaderless one on
 * the orbits of all nodes (cut_space.h). What is counted of an orbit counts for each of its sets.
 */
#ifndef SYNOD_TESTS_COMPARE_CUT_SET_H
#define SYNOD_TESTS_COMPARE_CUT_SET_H

#include "tests/compare/cut_run.h"
#include "tests/compare/cut_space.h"
#include "tests/compare/figure.h"

enum {
    CUT_ENGINES_MAX = 4,
    CUT_SIZES = 2, /* of clusters: CUT_NODES */
    CUT_LINKS_MAX = CUT_NODES_MAX * (CUT_NODES_MAX - 1),
};

extern const uint32_t CUT_NODES[CUT_SIZES]; /* 3, 5 */

struct cut_job {
    struct cut_run run;
    uint32_t weight; /* sets that the run stands for */
    uint8_t size;    /* index into CUT_NODES */
    uint8_t engine;
    bool core, hub;
};

/* What the runs of one engine and size add up to; sets are weighted. */
struct cut_tally {
    uint32_t classes; /* of the space */
    uint32_t runs;
    uint32_t died, misplaced, unsafe, unrecovered, undecided;
    uint32_t core_runs, core_down;     /* and no write was answered in time */
    uint32_t core_part;                /* and a node of it got no answer while cut */
    uint32_t hub_runs, hub_down;       /* and no write was answered at all while cut */
    uint32_t wonders;                  /* no hub, and yet a write was answered */
    uint64_t sets, up;                 /* sets; and a write was answered */
    uint64_t leader_up, follower_up;   /* node 1 answered; the others, summed */
    uint32_t worst_us, worst_heal_us;  /* first write with a core; after the heal */
    uint64_t at[CUT_LINKS_MAX + 1];    /* sets by number of cuts */
    uint64_t up_at[CUT_LINKS_MAX + 1]; /* and a write was answered */
    int64_t first_bad, first_part;     /* jobs to show; -1: none */
};

/* What is so of all sets of cuts of so many nodes, whoever runs on them. */
struct cut_totals {
    uint64_t sets, core, hub;
    uint64_t at[CUT_LINKS_MAX + 1]; /* by number of cuts */
    uint64_t core_at[CUT_LINKS_MAX + 1];
    uint64_t hub_at[CUT_LINKS_MAX + 1];
};

struct cut_set {
    struct cut_job *jobs; /* owned */
    uint32_t count, capacity;
    struct cut_result *results; /* one for each, NULL before cut_set_run */
    uint32_t engines;
    bool sampled; /* not all classes of five nodes are run */
    struct cut_totals totals[CUT_SIZES];
    struct cut_tally tallies[CUT_SIZES][CUT_ENGINES_MAX]; /* after cut_set_run */
};

/* Plans the runs: of five nodes so many classes for each engine, each as likely as any other; 0:
 * all. Seeds follow from options->seed. Release it. */
void cut_set_init(struct cut_set *set, const struct figure_options *options, uint32_t classes);
void cut_set_release(struct cut_set *set);

/* Runs and counts. Errors: ERR_CANCELED (progress said so). */
MUST_USE int cut_set_run(struct cut_set *set, const struct figure_options *options);

/* The run of a job as it was in the end: the seed with which node 1 led. */
struct cut_run cut_set_job(const struct cut_set *set, int64_t job);

#endif
