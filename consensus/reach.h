/*
 * reach.h - which links work both ways, as the heartbeats of the Paxos engines tell.
 *
 * Everybody tells everybody whom it hears (`seen`). A link counts only if each end hears the other;
 * a node is in touch with a quorum if such links lead to one. Nothing safe depends on it: it keeps
 * nodes that cannot finish anything from disturbing those that can (experiments.md E8, E9).
 */
#ifndef SYNOD_CONSENSUS_REACH_H
#define SYNOD_CONSENSUS_REACH_H

#include "consensus/engine.h"

struct reach {
    uint64_t seen[NODES_MAX]; /* by rank: whom that peer heard within an election time-out */
};

/* A heartbeat came. */
void reach_note(struct reach *r, const struct engine *e, const struct message *m);

/* Was the peer with this rank heard within an election time-out? */
bool reach_heard(const struct engine *e, uint32_t rank);

/* Does this node hear a quorum that hears it too? */
bool reach_quorum(const struct reach *r, const struct engine *e);

#endif
