/*
 * learner.h - how a node of a Paxos engine finds out what is chosen (Paxos Made Simple 2.3).
 *
 * "To learn that a value has been chosen, a learner must find out that a proposal has been accepted
 * by a majority of acceptors." Here the proposer that counted the majority tells everybody; who
 * missed it asks anybody who knows. Three ways, cheapest first:
 *
 *   notice   "slots [a, b] are chosen under ballot n". Who accepted under n, or under a higher
 *            ballot, holds the chosen value (P2b: every higher proposal carries it)
 *   entry    the chosen value itself
 *   asking   LEARN for a range; the answer carries values, old ones through the store
 *
 * A value learned goes into the log and into the write, under the ballot it was chosen with, unless
 * this node holds it already: a restart finds it again. Such an entry stands in the store like an
 * accepted one, possibly below a promise of this node. That is sound: it says that this acceptor
 * holds (n, v), v is chosen under n, and every proposal above n carries v anyway; it can only make
 * a later phase 1 find v sooner. It is not traced as ACCEPT, because no acceptor answered for it.
 *
 *     type               fields
 *     PAXOS_CHOSEN       entries: chosen values; or [pos.index, last] chosen under epoch; commit
 *     PAXOS_LEARN        [pos.index, last] slots asked for
 *     PAXOS_LEARN_REPLY  pos.index echoed; entries: chosen ones; commit; when pos.index was
 *                        trimmed: reject, hint.index = first slot still stored
 */
#ifndef SYNOD_CONSENSUS_LEARNER_H
#define SYNOD_CONSENSUS_LEARNER_H

#include "consensus/engine.h"

struct learner_load {
    uint64_t id; /* 0: none under way */
    uint64_t index;
};

struct learner {
    uint64_t peer_commit[NODES_MAX];      /* by rank: highest commit index heard of */
    struct learner_load loads[NODES_MAX]; /* by rank of the asker: one at a time */
    uint64_t chosen_count; /* slots that became chosen here; lets an engine see that some did */
    uint64_t watch_index;  /* the slot we wait for, known chosen elsewhere; 0: not behind */
    uint64_t ask_us;       /* when to ask (again) */
    uint64_t tried;        /* bitmap by rank: asked for watch_index in vain */
    uint64_t asked;        /* bit of the rank whose answer is awaited; 0: none */
};

/* The sender of a message knows that all up to `commit` is chosen. */
void learner_note_commit(struct learner *n, const struct engine *e, const struct message *m);

/* A slot's chosen value is known: into the log, and into the write if this node lacks it.
 * entry.epoch is a ballot under which it is chosen. Nothing happens when it is known already, or
 * beyond the window (it will be asked for again). */
void learner_choose(struct learner *n, struct engine *e, const struct entry *entry);

/* Notice: slots [first, last] are chosen under `ballot` or below. Stops at the first slot for which
 * this node does not hold the value. Returns the first slot it could not choose. */
struct notice {
    uint64_t first;
    uint64_t last;
    uint64_t ballot;
};
uint64_t learner_choose_notice(struct learner *n, struct engine *e, struct notice notice);

/* Messages. */
void learner_on_chosen(struct learner *n, struct engine *e, const struct message *m);
void learner_on_learn(struct learner *n, struct engine *e, const struct message *m);
void learner_on_learn_reply(struct learner *n, struct engine *e, const struct message *m);

/* Answer to a load asked for by learner_on_learn; ids of others are ignored. */
void learner_on_loaded(struct learner *n, struct engine *e, uint64_t load_id, int err,
                       const struct entry *entries, uint32_t count);

/* Asks when it is time. `prefer` is the rank to ask first, -1 none. Returns when to be called
 * again, UINT64_MAX when not behind. */
uint64_t learner_poll(struct learner *n, struct engine *e, int prefer);

/* The highest commit index heard of from others. */
uint64_t learner_known_commit(const struct learner *n, const struct engine *e);

#endif
