/*
 * observer.h - checks every property of the protocols while a simulated cluster runs, from outside.
 *
 * It sees what each node hands to its log, what is durable there, what it sends, what it traces and
 * what it recovers with, keeps shadows of its own (which outlive restarts), and compares. It never
 * looks into an engine. The first violation is given to `fail` with the property's id and stays;
 * the calls after it do nothing.
 *
 *     R1 R2 R3 R4 R5 R6 R7 R12  elections, log, commit
 *     P1-P9 P14, P10 (slots)    acceptors, proposers, learners
 *     R9 D1                     reads and answers
 *     D4 D8 D9                  what is recovered, and what a node with an old image says
 *
 * Two images of a node's log: `handed` (all that its engine decided to write) and `synced` (what a
 * power loss leaves). A restart resets both to what was recovered, after comparing: everything that
 * was synced must be there (D4), whole writes that were only handed may be, in their order (D8),
 * votes and promises must not have fallen (R1, P4).
 *
 * What a node counts of its own (its vote, promise, accept) is judged without its messages to
 * itself, which never leave the replica: at became_leader, propose and commit by the synced image.
 *
 * Order of calls within a turn of a node: first the writes of a replica_take (handed), then its
 * answers and messages; synced before the replica hears of it. Node numbers are 1..nodes, times
 * virtual. One thread. O(1) an event but where said.
 */
#ifndef SYNOD_TESTS_SIM_OBSERVER_H
#define SYNOD_TESTS_SIM_OBSERVER_H

#include "consensus/consensus.h"
#include "kv/logstore.h"

struct observer;

struct observer_options {
    const struct engine_ops *engine;
    uint32_t nodes;
    /* once, at the first violation: property is "R6", text one line naming node, index, epoch */
    void (*fail)(void *ctx, const char *property, const char *text);
    void *ctx;
};

struct observer *observer_new(const struct observer_options *options);
void observer_free(struct observer *o);

/* Every event of every node, in order, with time_us = virtual time. */
void observer_trace(struct observer *o, const struct trace_event *event);

/* A node handed out this write / it is durable there / the log up to here was dropped. */
void observer_handed(struct observer *o, uint32_t node, const struct log_write *w);
void observer_synced(struct observer *o, uint32_t node, const struct log_write *w);
void observer_trimmed(struct observer *o, uint32_t node, struct log_pos pos);

/* The node starts (again) from this; all kept entries are in it (recovered from index 1). `applied`
 * is what its state database holds. restored: an old image was put back, nothing is compared with
 * what was synced; what it then says against its earlier word is D9. A node whose disk is damaged
 * for good does not start, and observer_lost says so: it holds nothing from then on. O(log). */
void observer_recovered(struct observer *o, uint32_t node, const struct logstore_recovery *recovery,
                        uint64_t applied, bool restored);
void observer_lost(struct observer *o, uint32_t node);
void observer_crashed(struct observer *o, uint32_t node);

/* A message that replica_take handed out, in the same turn, delivered or lost (R6, P14; P3 from
 * notices, P5 and P7 from accepts, P6 from promises). Messages of a node to itself may come too. */
void observer_send(struct observer *o, uint32_t node, const struct message *m);

/* A client's command is given to a node: from now on it may be chosen (P2). `request` is what
 * replica_write gets. */
void observer_submit(struct observer *o, uint8_t tag, struct bytes request);

/* Client calls: at the invocation, and when a node answers OK. Reads reflect the floor (R9), but of
 * local ones nothing is due: floor 0. Writes are held by a quorum (D1); the floor is not asked of
 * them, because the answer to one that is tried again may be that of its first try. applied: the
 * answering node's applied index at that moment. */
uint64_t observer_invoked(struct observer *o); /* a floor, to be given back */
void observer_answered(struct observer *o, uint32_t node, uint64_t floor, uint64_t applied,
                       bool write);

/* The highest index that any node knew to be committed so far, verified. */
uint64_t observer_committed(const struct observer *o);

/* The highest epoch that had a leader, how many leaders there were (R11: bounded), and how many of
 * them fell to a higher epoch instead of stepping down (R12: in calm, none). */
uint64_t observer_epoch(const struct observer *o);
uint64_t observer_leader_changes(const struct observer *o);
uint64_t observer_deposed(const struct observer *o);

#endif
