/*
 * raft_solo.h - one Raft instance with the test in place of its peers.
 *
 * Node 1 of up to five is real. What it sends stands in `sent`: messages of `now` at once, those of
 * `after` once solo_store() has made the writes durable. Time moves by solo_tick() only.
 */
#ifndef SYNOD_TESTS_SUPPORT_RAFT_SOLO_H
#define SYNOD_TESTS_SUPPORT_RAFT_SOLO_H

#include "consensus/consensus.h"

enum {
    ELECTION_US = 100000,
};

struct solo {
    struct consensus *c;
    struct log *log;
    uint64_t now_us;
    struct list held; /* of `after`, waiting for solo_store() */
    struct list sent;
    struct hard_state hard; /* durable */
    struct hard_state hard_pending;
    uint64_t write_id;
    struct read_state read; /* last answer */
};

/* Short time-outs, node 1 of `nodes`. */
void solo_options(struct consensus_options *o, uint32_t nodes);

/* A node in this hard state, with a durable log of no-ops of these epochs (at most 16). */
struct solo *solo_new_with(const struct consensus_options *o, struct hard_state hard,
                           const uint64_t *epochs, uint32_t count);
struct solo *solo_new(uint32_t nodes, struct hard_state hard, const uint64_t *epochs,
                      uint32_t count);
void solo_free(struct solo *s);

/* Fetches the output until there is none. Every call below that needs it does so itself. */
void solo_pump(struct solo *s);

/* Completes all writes; messages of the node to itself come back to it. */
void solo_store(struct solo *s);
void solo_tick(struct solo *s, uint64_t us);
struct consensus_status solo_status(const struct solo *s);

/* The oldest message of this type that has left for this node (0: anyone); NULL: none. Borrowed. */
const struct message *solo_sent(const struct solo *s, uint8_t type, uint32_t to);

/* Empties `sent`. */
void solo_forget(struct solo *s);

/* Messages to the node. A `from` hears everybody; solo_step gives a message to the node and frees
 * it. */
struct message *solo_from(uint32_t node, enum message_type type, uint64_t epoch);
struct message *solo_append_of(uint32_t node, uint64_t term, struct log_pos prev);
void solo_with_entry(struct message *m, uint64_t epoch);
struct message *solo_vote_of(uint32_t node, uint64_t term, struct log_pos last);
void solo_step(struct solo *s, struct message *m);

/* Makes it leader by the votes of so many others; its own vote is durable then. */
void solo_elect(struct solo *s, uint32_t voters);

/* The node has all up to match. */
void solo_acknowledge(struct solo *s, uint32_t node, uint64_t match);

/* Proposes a no-op. */
int solo_propose(struct solo *s);

#endif
