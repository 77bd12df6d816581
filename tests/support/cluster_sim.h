/*
 * cluster_sim.h - N replicas over disks in memory, a network with faults, and clients, all under
 * virtual time in one thread.
 *
 *     struct cluster_sim_options o;
 *     cluster_sim_options_init(&o, engine_by_name("raft"), 3, seed);
 *     o.fault_interval_us = 300000;                   something breaks that often
 *     struct cluster_sim *sim = cluster_sim_new(&o);  nodes start from empty disks, clients too
 *     cluster_sim_run(sim, 5000000);
 *     cluster_sim_settle(sim, 20000000);              heal, restart, let everybody catch up
 *     cluster_sim_check(sim);                         every acknowledged write is there ...
 *     assert_null(cluster_sim_failure(sim));
 *     cluster_sim_free(sim);
 *
 * Everything is a function of the options and the calls made: equal options give an equal trace
 * hash (S1). Checked while it runs, first failure kept as text: state hashes equal at equal index
 * on all nodes and over restarts (R5), one leader an epoch (R1), nothing sent before it is durable
 * (R6, P14), reads and writes never older than what was answered before they were asked (K1, R9), a
 * node that stops. Checked at the end: acknowledged writes (D1), retried ones applied once (K2).
 *
 * Disks complete a write in order and as a group; a crash loses what is not complete, and half of
 * the time what is under way at that moment is on the disk all the same, without an answer.
 */
#ifndef SYNOD_TESTS_SUPPORT_CLUSTER_SIM_H
#define SYNOD_TESTS_SUPPORT_CLUSTER_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "kv/replica.h"

enum { CLUSTER_SIM_NODES_MAX = 9, CLUSTER_SIM_CLIENTS_MAX = 64, CLUSTER_SIM_KEYS_MAX = 64 };

struct cluster_sim;

/* A span that values are drawn from. */
struct sim_span {
    uint64_t min_us;
    uint64_t max_us;
};

struct cluster_sim_options {
    const struct engine_ops *engine;
    uint32_t nodes; /* 1..N */
    uint64_t seed;
    struct replica_options replica; /* who, seed and trace are filled in per node */
    uint32_t loss_permille;         /* of messages, when nothing else is broken */
    uint32_t duplicate_permille;
    struct sim_span delay;    /* of a message; what lies between reorders */
    struct sim_span log_disk; /* a group of writes */
    struct sim_span state_disk;
    struct sim_span reads; /* rows and entries back */
    uint32_t clients;
    uint32_t keys;
    struct sim_span think;      /* of a client between calls */
    uint64_t call_timeout_us;   /* deadline given to the replica */
    uint64_t fault_interval_us; /* mean; 0: no faults but those the test makes */
    struct trace_sink trace;    /* a copy of every event; NULL emit: none */
};

/* A lively network, fast time-outs, no faults, eight clients. Limits vary with the seed. */
void cluster_sim_options_init(struct cluster_sim_options *o, const struct engine_ops *engine,
                              uint32_t nodes, uint64_t seed);

struct cluster_sim *cluster_sim_new(const struct cluster_sim_options *options);
void cluster_sim_free(struct cluster_sim *sim);

void cluster_sim_run(struct cluster_sim *sim, uint64_t us);
/* Until the condition holds (then true), at most so long. */
bool cluster_sim_run_until(struct cluster_sim *sim, uint64_t us,
                           bool (*condition)(struct cluster_sim *sim, void *ctx), void *ctx);
uint64_t cluster_sim_now(const struct cluster_sim *sim);

/* Faults. Nodes are 1..N; a restart of a node that is up is a crash and a start. */
void cluster_sim_crash(struct cluster_sim *sim, uint32_t node);
void cluster_sim_restart(struct cluster_sim *sim, uint32_t node);
void cluster_sim_cut(struct cluster_sim *sim, uint32_t from, uint32_t to); /* one way */
void cluster_sim_isolate(struct cluster_sim *sim, uint32_t node);          /* both ways, all */
void cluster_sim_heal(struct cluster_sim *sim);                            /* cuts, loss, disks */

/* NULL when the node is down. To look at, not to call into. */
const struct replica *cluster_sim_replica(const struct cluster_sim *sim, uint32_t node);
uint32_t cluster_sim_leader(const struct cluster_sim *sim); /* 0: none, or several */

/* Heals, restarts, ends faults and clients, and runs until all calls are answered and all nodes
 * have applied the same; false (and a failure) when that takes longer. */
bool cluster_sim_settle(struct cluster_sim *sim, uint64_t us);

/* After settle: reads everything back. Takes virtual time. */
void cluster_sim_check(struct cluster_sim *sim);

const char *cluster_sim_failure(const struct cluster_sim *sim); /* NULL: none */
uint64_t cluster_sim_trace_hash(const struct cluster_sim *sim);

struct cluster_sim_counts {
    uint64_t events;
    uint64_t messages, lost, duplicated;
    uint64_t crashes, cuts, transfers, slow_disks;
    uint64_t writes_acked, writes_unknown, writes_failed, reads_acked, reads_failed, retries;
    uint64_t fetches, loads, trims, flushes;
};

void cluster_sim_counts(const struct cluster_sim *sim, struct cluster_sim_counts *ret_counts);

#endif
