/*
 * reach.h - which links work both ways, as the heartbeats tell.
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

/* A peer that this node hears and that hears it, and that is in touch with a quorum as far as can
 * be told from here; 0 none. */
uint32_t reach_proxy(const struct reach *r, const struct engine *e);

/*
 * A leader's look for a better place. A member that works both ways with this leader and with all
 * that the leader works with, and with more, is one: whoever cannot talk with the leader both ways
 * has nobody to send its commands to, or does not learn what became of them.
 */
struct hub_watch {
    uint64_t since_us; /* a better place is seen since; 0 none */
    uint64_t moved_us; /* when leadership was last handed to one */
};

/* Called now and then by a leader: the node to hand over to now, 0 none. A better place must have
 * been one for two election time-outs, and ten pass between two moves. seen: by rank, as in struct
 * reach. */
uint32_t reach_hub(struct hub_watch *w, const uint64_t *seen, const struct engine *e);

#endif
