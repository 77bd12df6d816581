/*
 * observer_rig.h - an observer driven by hand: what nodes would write, say and trace.
 *
 * Values are named by numbers: 0 is the no-op, others hold one command that is submitted when the
 * number is first used. The first violation is kept as `property`; "" none.
 */
#ifndef SYNOD_TESTS_SIM_OBSERVER_RIG_H
#define SYNOD_TESTS_SIM_OBSERVER_RIG_H

#include "tests/sim/observer.h"

enum { OBS_RIG_NODES_MAX = 8 };

struct observer_rig {
    struct observer *o;
    char property[8];
    char text[512];
    uint64_t ids[OBS_RIG_NODES_MAX + 1]; /* of the newest write, by node */
};

/* One entry of a log. */
struct obs_rig_entry {
    uint64_t index;
    uint64_t epoch;
    uint64_t number;
};

/* What a node finds when it starts. Arrays end with index 0. */
struct obs_rig_found {
    struct hard_state hard;
    struct log_pos trimmed;
    struct obs_rig_entry entries[8];
    struct slot_promise promises[8];
    uint64_t applied;
    bool restored;
};

/* All nodes start from empty disks. */
void obs_rig_init(struct observer_rig *r, const char *engine, uint32_t nodes);
void obs_rig_release(struct observer_rig *r);

uint32_t obs_rig_crc(uint64_t number);

/* A write of a node: made, filled, handed out, durable. obs_rig_synced frees it; obs_rig_store does
 * both. obs_rig_dropped: the node is gone, and the writer with it. */
struct log_write *obs_rig_write(struct observer_rig *r, uint32_t node);
void obs_rig_put(struct observer_rig *r, struct log_write *w, struct obs_rig_entry entry);
void obs_rig_hard(struct log_write *w, uint64_t epoch, uint32_t vote);
void obs_rig_handed(struct observer_rig *r, uint32_t node, const struct log_write *w);
void obs_rig_synced(struct observer_rig *r, uint32_t node, struct log_write *w);
void obs_rig_store(struct observer_rig *r, uint32_t node, struct log_write *w);

/* A crash and a start. */
void obs_rig_restart(struct observer_rig *r, uint32_t node, const struct obs_rig_found *found);

/* event.node is filled in. */
void obs_rig_trace(struct observer_rig *r, uint32_t node, struct trace_event event);

/* A message leaves its `from`; freed. */
struct message *obs_rig_message(enum message_type type, uint32_t from, uint32_t to);
void obs_rig_message_put(struct message *m, struct obs_rig_entry entry);
void obs_rig_send(struct observer_rig *r, struct message *m);

/* Short cuts that do all that is right. */

/* Raft: term and votes of `voters` (a bitmap of node ids, the leader's own vote included), and
 * became_leader. */
void obs_rig_elect(struct observer_rig *r, uint32_t leader, uint64_t term, uint32_t voters);
/* Raft: an entry becomes durable. */
void obs_rig_append(struct observer_rig *r, uint32_t node, struct obs_rig_entry entry);
/* Paxos: accepted, durable and told. */
void obs_rig_accept(struct observer_rig *r, uint32_t node, struct obs_rig_entry entry, uint32_t to);

#endif
