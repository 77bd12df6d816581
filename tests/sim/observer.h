/*
 * observer.h - checks every property of the protocols while a simulated cluster runs, from outside.
 *
 * It sees what each node hands to its log, what is durable there, what it sends, what it traces and
 * what it recovers with, keeps shadows of its own (which outlive restarts), and compares. It never
 * looks into an engine. The first violation is given to `fail` with the property's id and stays;
 * the calls after it do nothing.
 *
 *     R1 R2 R3 R4 R5 R6 R7 R12  elections, log, commit      P1-P9 P14, P10 as far as slots are
 * trimmed R9 D1                     reads and answers           D4 D8 what is recovered
 *
 * Two images of a node's log: `handed` (all that its engine decided to write) and `synced` (what a
 * power loss leaves). A restart resets both to what was recovered, after comparing: everything that
 * was synced must be there (D4), votes and promises must not have fallen (R1, P4).
 *
 * Node numbers are 1..nodes, times virtual. One thread. Costs O(1) an event but where said.
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
 * is what its state database holds. restored: an old image was put back (D9), nothing is compared
 * with what was synced, but votes and promises are. After a violation of the disk (wiped) it does
 * not start, and observer_lost says so: it is counted as holding nothing from then on. */
void observer_recovered(struct observer *o, uint32_t node, const struct logstore_recovery *recovery,
                        uint64_t applied, bool restored);
void observer_lost(struct observer *o, uint32_t node);
void observer_crashed(struct observer *o, uint32_t node);

/* A message leaves the node at this moment (R6, P14; P5, P6 from accepts and promises). Messages to
 * itself come here too, when they are given back to the node. */
void observer_send(struct observer *o, uint32_t node, const struct message *m);

/* A client's command is given to a node: from now on it may be chosen (P2). `request` is what
 * replica_write gets. */
void observer_submit(struct observer *o, uint8_t tag, struct bytes request);

/* Client calls (R9, D1): at the invocation, and when a node answers OK. `linearizable` false: of
 * local reads nothing is due. applied: the answering node's applied index at that moment. */
uint64_t observer_invoked(struct observer *o); /* a floor, to be given back */
void observer_answered(struct observer *o, uint32_t node, uint64_t floor, uint64_t applied,
                       bool write);

/* The highest index chosen anywhere so far, contiguous from 1: what is committed. */
uint64_t observer_committed(const struct observer *o);

/* Highest epoch's leader and number of leader changes seen (R11: bounded). */
uint64_t observer_epoch(const struct observer *o);
uint64_t observer_leader_changes(const struct observer *o);

#endif
