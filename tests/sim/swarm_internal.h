/*
 * swarm_internal.h - what the files of the swarm share.
 *
 *     swarm.c          cluster, time-outs, limits, workload, speeds; which faults, and when
 *     swarm_nodes.c    faults of nodes, their disks and their clocks
 *     swarm_network.c  faults of links
 *     swarm_damage.c   the atlas: who may lose what on disk, and the end of a liveness run
 *
 * Every domain draws from a generator of its own (swarm_fork), so that one more draw in one changes
 * nothing in the others. Times of faults are drawn on a line that lacks the reserved time; only
 * swarm_emit knows of it.
 */
#ifndef SYNOD_TESTS_SIM_SWARM_INTERNAL_H
#define SYNOD_TESTS_SIM_SWARM_INTERNAL_H

#include "base/rng.h"
#include "tests/sim/swarm.h"

enum swarm_domain {
    DOMAIN_CLUSTER = 1,
    DOMAIN_TIMEOUTS,
    DOMAIN_LIMITS,
    DOMAIN_WORKLOAD,
    DOMAIN_SPEEDS,
    DOMAIN_CLOCKS,
    DOMAIN_CHOICE, /* of faults */
    DOMAIN_ATLAS,
    DOMAIN_END,
    DOMAIN_FAULTS, /* and on: one for each kind of fault */
};

struct swarm {
    struct scenario *s;
    struct swarm_options options;
    uint64_t seed;
    uint64_t election_us;
    uint64_t begin_us; /* faults happen from here */
    uint64_t end_us;   /* to here, on the line without the reserved time */
    /* An old image is put back in here, and nothing else happens; 0, 0: there is none. */
    uint64_t reserved_at_us;
    uint64_t reserved_us;
    uint64_t budget;                /* steps that faults may still make */
    bool victim[SIM_NODES_MAX + 1]; /* its disk is damaged some time: it may stay out for ever */
    uint8_t failing[SIM_NODES_MAX + 1]; /* the call of its disk that fails, always the same */
};

/* One kind of fault at work. */
struct storm {
    struct swarm *w;
    struct rng rng;
};

/* X(name, needs): needs is the number of nodes without which the fault is none. */
#define SWARM_FAULT_MAP(X)                                                                         \
    X(crash_one, 1)                                                                                \
    X(crash_leader, 1)                                                                             \
    X(crash_loop, 1)                                                                               \
    X(crash_all, 1)                                                                                \
    X(crash_majority, 2)                                                                           \
    X(pause, 1)                                                                                    \
    X(slow_node, 1)                                                                                \
    X(one_way, 2)                                                                                  \
    X(partition, 2)                                                                                \
    X(partial, 3)                                                                                  \
    X(ring, 4)                                                                                     \
    X(star, 3)                                                                                     \
    X(swizzle, 2)                                                                                  \
    X(isolate_leader, 2)                                                                           \
    X(churn, 2)                                                                                    \
    X(isolate_one, 2)                                                                              \
    X(flap, 2)                                                                                     \
    X(bad_link, 2)                                                                                 \
    X(delay_spike, 2)                                                                              \
    X(disk_slow, 1)                                                                                \
    X(disk_hang, 1)                                                                                \
    X(disk_eio, 1)                                                                                 \
    X(disk_enospc, 1)                                                                              \
    X(transfer, 2)                                                                                 \
    X(clock_jump, 1)                                                                               \
    X(clock_drift, 1)

/* Each makes the steps of one such fault that begins at at_us. */
#define X(name, needs) void swarm_fault_##name(struct storm *storm, uint64_t at_us);
SWARM_FAULT_MAP(X)
#undef X

void swarm_fork(const struct swarm *w, uint32_t domain, struct rng *ret_rng);

/* Adds a step at a time of the line of faults: behind the reserved time when that is due, cut to
 * end before it; dropped behind the end of the run, or when there are too many. */
void swarm_emit(struct swarm *w, struct sim_step step);

/* Draws. */
uint64_t swarm_around(struct rng *rng, uint64_t us); /* half to double, evenly by magnitude */
uint64_t swarm_lasting(struct storm *storm);         /* how long a fault lasts */
uint32_t swarm_node(struct storm *storm);            /* any node */
uint32_t swarm_node_or_leader(struct storm *storm);  /* often whoever leads */
uint64_t swarm_pick(struct rng *rng, const uint64_t *choices, uint32_t count);
/* Numbers 1..count, shuffled. */
void swarm_shuffle(struct rng *rng, uint32_t *ret_numbers, uint32_t count);

/* Chooses victims, reserves time; then emits. Comes before the storms. */
void swarm_atlas(struct swarm *w);
/* What stays broken outside of the core: the last steps. */
void swarm_end_liveness(struct swarm *w);

#endif
