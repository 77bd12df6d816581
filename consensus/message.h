/*
 * message.h - the vocabulary of all engines: positions, entries, hard state, writes, and one flat
 * message.
 *
 * One struct serves Paxos, Multi-Paxos and Raft, so that transport, trace, simulator and wire
 * format know a single shape; docs/engines.md says which fields each message type uses. Not here:
 * the bytes on the wire (proto/wire_peer).
 */
#ifndef SYNOD_CONSENSUS_MESSAGE_H
#define SYNOD_CONSENSUS_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "consensus/value.h"

enum {
    NODES_MAX = 64,        /* members of a cluster; sets of nodes are bitmaps of their rank */
    BALLOT_NODE_BITS = 16, /* a ballot is round << BALLOT_NODE_BITS | node id */
    NODE_ID_MAX = (1 << BALLOT_NODE_BITS) - 1,
};

/* A place in the log with the epoch (term, ballot) of the entry there. index 0 is "before the first
 * entry". */
struct log_pos {
    uint64_t index;
    uint64_t epoch;
};

/* A slot's content. epoch: the term in which it was created (raft), the ballot under which it was
 * accepted (paxos). */
struct entry {
    uint64_t index;
    uint64_t epoch;
    struct value *value; /* one reference */
};

/* Basic Paxos promises slot by slot. */
struct slot_promise {
    uint64_t index;
    uint64_t ballot;
};

/* What an engine must find again after a restart, besides its entries. */
struct hard_state {
    /* current term; the ballot promised for all slots (multipaxos); highest round used (paxos) */
    uint64_t epoch;
    uint32_t vote;   /* raft: candidate voted for in this term, 0 none; 0 in the paxos engines */
    uint64_t commit; /* highest index known chosen; a hint, may lag, never ahead of the truth */
};

/*
 * One atomic, durable step of the log: all of it or nothing. In order: cut the suffix from
 * truncate_from on (0: no cut), put the entries (an entry replaces what stands in its slot), put
 * the slot promises, set the hard state.
 *
 * Heap object with a reference count, because the facade must remember what a write held until it
 * is durable while the pump owns it: log_write_free drops one reference. Loop thread only, like the
 * counts of values; a writer thread borrows. Nothing changes in it after consensus_take() gave it.
 */
struct log_write {
    struct list_node node; /* for the queue of whoever took it */
    uint32_t refs;
    uint64_t id;           /* rises by one per write of an engine instance, from 1 */
    bool hard_set;
    struct hard_state hard;
    uint64_t truncate_from;
    struct entry *entries; /* ascending by index */
    uint32_t entries_count;
    uint32_t entries_capacity;
    struct slot_promise *promises; /* ascending by index */
    uint32_t promises_count;
    uint32_t promises_capacity;
    uint64_t bytes; /* payload bytes of all entries, for limits and figures */
};

struct log_write *log_write_new(void);

/* One more reference; returns w. */
struct log_write *log_write_ref(struct log_write *w);

/* Drops a reference and frees with the last one. NULL is legal. */
void log_write_free(struct log_write *w);

/* Puts an entry, replacing an earlier one of the same slot; takes a reference to its value. */
void log_write_add(struct log_write *w, const struct entry *entry);

/* Puts a slot promise, replacing an earlier one of the same slot. */
void log_write_promise(struct log_write *w, struct slot_promise promise);

/* Cuts from `from` on: forgets the entries put so far at or above it, and lowers truncate_from. */
void log_write_truncate(struct log_write *w, uint64_t from);

/* Nothing in it: no entry, no promise, no cut, no hard state. */
bool log_write_empty(const struct log_write *w);

/* Written in traces and sent to peers: numbers never change. */
#define MESSAGE_MAP(X)                                                                             \
    X(1, RAFT_PREVOTE, "prevote")                                                                  \
    X(2, RAFT_PREVOTE_REPLY, "prevote_reply")                                                      \
    X(3, RAFT_VOTE, "vote_request")                                                                \
    X(4, RAFT_VOTE_REPLY, "vote")                                                                  \
    X(5, RAFT_APPEND, "append")                                                                    \
    X(6, RAFT_APPEND_REPLY, "append_reply")                                                        \
    X(7, RAFT_HEARTBEAT, "heartbeat")                                                              \
    X(8, RAFT_HEARTBEAT_REPLY, "heartbeat_reply")                                                  \
    X(9, RAFT_READ_INDEX, "read_index")                                                            \
    X(10, RAFT_READ_INDEX_REPLY, "read_index_reply")                                               \
    X(11, RAFT_TIMEOUT_NOW, "timeout_now")                                                         \
    X(12, RAFT_SNAPSHOT, "snapshot")                                                               \
    X(13, RAFT_SNAPSHOT_REPLY, "snapshot_reply")                                                   \
    X(14, RAFT_ALIVE, "alive")                                                                     \
    X(15, RAFT_FETCH, "fetch")                                                                     \
    X(16, RAFT_FETCH_REPLY, "fetch_reply")                                                         \
    X(17, RAFT_COMMIT, "commit_notice")                                                            \
    X(32, PAXOS_PREPARE, "prepare")                                                                \
    X(33, PAXOS_PROMISE, "promise")                                                                \
    X(34, PAXOS_ACCEPT, "accept")                                                                  \
    X(35, PAXOS_ACCEPTED, "accepted")                                                              \
    X(36, PAXOS_NACK, "nack")                                                                      \
    X(37, PAXOS_CHOSEN, "chosen")                                                                  \
    X(38, PAXOS_LEARN, "learn")                                                                    \
    X(39, PAXOS_LEARN_REPLY, "learn_reply")                                                        \
    X(40, PAXOS_READ, "read")                                                                      \
    X(41, PAXOS_READ_REPLY, "read_reply")                                                          \
    X(42, PAXOS_HEARTBEAT, "heartbeat")                                                            \
    X(43, PAXOS_HEARTBEAT_REPLY, "heartbeat_reply")                                                \
    X(44, PAXOS_PREPREPARE, "preprepare")                                                          \
    X(45, PAXOS_PREPREPARE_REPLY, "preprepare_reply")                                              \
    X(46, PAXOS_TIMEOUT_NOW, "paxos_timeout_now")                                                  \
    X(64, REPLICA_FORWARD, "forward")                                                              \
    X(65, REPLICA_FORWARD_REPLY, "forward_reply")                                                  \
    X(66, REPLICA_GOSSIP, "gossip")

enum message_type {
#define X(number, name, text) MSG_##name = (number),
    MESSAGE_MAP(X)
#undef X
};

/* Stable name for traces; "unknown" for a number that is not in the map. */
const char *message_name(uint8_t type);

/*
 * Heap object. Fields a type does not use are 0. `entries` holds references to values.
 * The envelope (cluster id, incarnations) is put on and checked by the replica, not by engines.
 */
struct message {
    struct list_node node;
    uint8_t engine; /* enum engine_id of the sender */
    uint8_t type;   /* enum message_type */
    bool reject;
    uint32_t from;
    /* from == to is legal: "tell me when this is durable"; the replica loops it back */
    uint32_t to;
    uint64_t epoch; /* sender's term, or the ballot the message speaks of */
    /* entry before `entries`, last entry of a candidate, slot, first slot asked for */
    struct log_pos pos;
    uint64_t last;       /* end of a range of slots, match index */
    uint64_t commit;     /* contiguous chosen prefix the sender knows */
    struct log_pos hint; /* where to go on after a rejection; higher ballot */
    uint64_t ctx;        /* read or round identifier, echoed */
    /* bitmap by member rank: peers the sender heard from within an election time-out */
    uint64_t seen;
    uint64_t write_age_us; /* age of the sender's oldest write not yet durable */
    uint64_t applied;      /* replica gossip: applied, and in hash the state hash at hash_index */
    uint64_t durable;      /* replica gossip: applied and durable in the state database */
    uint64_t hash_index;
    uint64_t hash;
    uint64_t revision;
    struct entry *entries;
    uint32_t entries_count;
    uint32_t entries_capacity;
    uint64_t bytes; /* payload bytes of all entries */
};

struct message *message_new(enum message_type type, uint32_t to);

/* A copy with references of its own, in no list. */
struct message *message_copy(const struct message *m);

/* Adds an entry; takes a reference to its value. */
void message_add_entry(struct message *m, const struct entry *entry);

/* Frees with its references. NULL is legal. */
void message_free(struct message *m);

/* Frees every message and empties the list. */
void message_list_free(struct list *messages);

/* Ballots (Paxos Made Simple 2.2: "different proposers choose their numbers from disjoint sets").
 * 0 is "none". */
uint64_t ballot_make(uint64_t round, uint32_t node);
uint64_t ballot_round(uint64_t ballot);
uint32_t ballot_node(uint64_t ballot);

#endif
