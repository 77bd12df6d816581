/*
 * consensus.h - the contract: one interface over Basic Paxos, Multi-Paxos and Raft.
 *
 * Ring 1 has no I/O, no clock, no threads and no globals. Inputs come as calls, outputs are
 * collected and fetched with consensus_take(). A consensus instance belongs to one thread; calling
 * in while a call runs is asserted against. Time enters through consensus_tick() only: every other
 * call uses the last `now` it brought. All times are microseconds of one monotonic clock.
 *
 * The rule everything rests on (properties R6, P14): what promises something is put into
 * `ready.after` and may leave only when `ready.write` is durable; what promises nothing is in
 * `ready.now`. Messages to the node itself are legal in both lists and must be given back through
 * consensus_step() at the time they could have been sent: that is how a node's own vote, promise,
 * accept or append is counted, by the same rule as everybody else's.
 */
#ifndef SYNOD_CONSENSUS_CONSENSUS_H
#define SYNOD_CONSENSUS_CONSENSUS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "consensus/log.h"
#include "consensus/message.h"
#include "consensus/quorum.h"
#include "consensus/trace.h"

/* Stored on disk and sent to peers: numbers never change. */
enum engine_id {
    ENGINE_PAXOS = 1,
    ENGINE_MULTIPAXOS = 2,
    ENGINE_RAFT = 3,
};

/* What an engine can do beyond the common contract. */
enum engine_capability {
    CAP_LEADER = 1 << 0,   /* has a distinguished leader: commands are proposed there */
    CAP_TRANSFER = 1 << 1, /* consensus_transfer works */
    CAP_CHANGE = 1 << 2,   /* consensus_change works */
    CAP_SNAPSHOT = 1 << 3, /* can bring a node up from a snapshot */
};

struct engine_ops; /* consensus/engine.h */

/* The table of engines. NULL when unknown. engine_at(i) enumerates: NULL past the end. */
const struct engine_ops *engine_by_name(const char *name);
const struct engine_ops *engine_by_id(uint8_t id);
const struct engine_ops *engine_at(uint32_t i);
const char *engine_name(const struct engine_ops *ops);
uint8_t engine_number(const struct engine_ops *ops);
uint32_t engine_capabilities(const struct engine_ops *ops);

struct consensus_options {
    uint32_t self;
    struct membership members;
    uint64_t seed; /* of every random choice in the instance; another in each life of a node */

    /* base election time-out; drawn from [election_us, election_us + election_spread_us) (Raft
     * 9.3). Spread 0: as election_us; 1: all time-outs are equal */
    uint64_t election_us;
    uint64_t election_spread_us;
    /* leader-based engines: how long a candidate waits before it tries again, drawn from
     * [candidate_us, candidate_us + candidate_spread_us). Spread 0: as candidate_us. Both 0: what
     * the engine does by itself, raft the election time-out, multipaxos less */
    uint64_t candidate_us;
    uint64_t candidate_spread_us;
    /* that spread doubles with each attempt in vain, until a leader is heard */
    bool candidate_backoff;
    uint64_t heartbeat_us; /* well below election_us */
    uint64_t resend_us;    /* unanswered protocol messages are repeated after this */
    /* basic paxos: random, doubling back-off after a lost duel, from [0, min) up to [0, max) */
    uint64_t backoff_min_us;
    uint64_t backoff_max_us;
    uint64_t disk_stuck_us; /* a leader whose oldest write is older than this steps aside */

    uint32_t message_bytes_max; /* payload bytes in one append/accept/learn message */
    uint32_t inflight_max;      /* unanswered appends per peer, undecided slots of this proposer */
    uint32_t reads_max;         /* reads waiting inside the engine */

    bool pre_vote; /* raft: thesis 9.6 */
    /* raft: thesis 6.2; a leader that hears no quorum steps down. Off, nobody is held back from
     * deposing a leader, and a follower of multipaxos waits for whoever led last as long as it
     * hears it. */
    bool check_quorum;
    /* leader-based engines: only nodes that hear a quorum stand for election */
    bool quorum_connected;

    struct trace_sink trace;
};

/* Defaults for everything but self, members and seed. */
void consensus_options_init(struct consensus_options *o);

enum consensus_role {
    ROLE_FOLLOWER = 0,
    ROLE_CANDIDATE = 1,
    ROLE_LEADER = 2,
    ROLE_LEARNER = 3,
    ROLE_PROPOSER = 4, /* leaderless: every node */
};

const char *consensus_role_name(uint8_t role);

/* A read asked for with consensus_read(): may be served once applied >= index. err != OK: the read
 * failed and its caller may ask again (ERR_NO_LEADER, ERR_NOT_LEADER: leadership moved;
 * ERR_TIMEOUT). */
struct read_state {
    uint64_t ctx;
    uint64_t index;
    int err;
};

/* Entries wanted back from the store: [first, last], stop after bytes_max payload bytes but give at
 * least one. Answer with consensus_loaded(). */
struct load {
    uint64_t id;
    uint64_t first;
    uint64_t last;
    uint64_t bytes_max;
};

/*
 * Everything that became due since the last take. Lists and the write belong to the caller from
 * here on (message_free, log_write_free); the arrays stay valid until the next call of any
 * consensus function.
 */
struct ready {
    struct log_write *write; /* NULL: nothing to write */
    /* `after` may leave when the write with this id, the newest so far, is durable; 0: at once */
    uint64_t after_write;
    struct list after; /* of struct message */
    struct list now;   /* of struct message */
    uint64_t commit;   /* contiguous chosen prefix: [applied + 1, commit] may be applied */
    const struct read_state *reads;
    uint32_t reads_count;
    const struct load *loads;
    uint32_t loads_count;
};

struct consensus_status {
    uint8_t engine;
    uint8_t role;
    uint32_t self;
    uint32_t leader; /* 0: none known, or leaderless */
    /* whom to give this node's commands to: the leader; leaderless: itself, or while it is out of
     * touch with a quorum a peer that is not; 0: nobody known */
    uint32_t proposer;
    uint64_t epoch; /* term or highest ballot */
    uint64_t commit;
    uint64_t applied;
    uint64_t last;
    uint64_t stable;
    uint64_t heard; /* bitmap by rank: heard from within an election time-out, self included */
    uint64_t match[NODES_MAX]; /* by rank; what a leader knows to be durable there, else 0 */
    uint64_t elections;        /* started here since the instance began */
    uint64_t leader_changes;
    uint64_t proposals_dropped;
    uint64_t displaced;        /* paxos: values that lost their slot */
    uint64_t messages_dropped; /* steps refused: other engine, not a member, not for us */
    uint64_t writes;           /* atomic writes handed out */
};

struct consensus;

/*
 * Makes an instance over a recovered log (borrowed: it must outlive the instance; the engine fills
 * it, the replica reads it). `hard` is what the log store found, all zero for a new node. Messages
 * and entries of other engines are refused. Errors: ERR_INVALID (self not a member, time-outs out
 * of order, zero limits).
 */
MUST_USE int consensus_new(const struct engine_ops *engine, const struct consensus_options *options,
                           const struct hard_state *hard, struct log *log,
                           struct consensus **ret_consensus);
void consensus_free(struct consensus *c);

/* Moves time to now_us (never back: asserted) and does what is due. */
void consensus_tick(struct consensus *c, uint64_t now_us);

/* When the next tick is wanted, absolute; UINT64_MAX: none. */
uint64_t consensus_deadline(const struct consensus *c);

/* A message for this node. Borrowed. Errors: ERR_INVALID (other engine, not a member, not for us):
 * dropped, counted. */
MUST_USE int consensus_step(struct consensus *c, const struct message *m);

/*
 * Proposes a value (a reference is taken on success). "OK" promises nothing: only the appearance in
 * the committed range does. Errors: ERR_NO_LEADER, ERR_NOT_LEADER (ask status().proposer), ERR_BUSY
 * (in-flight limit or window full: again after the next commit), ERR_UNSUPPORTED.
 */
MUST_USE int consensus_propose(struct consensus *c, struct value *value);

/* May another value be proposed now? False while propose would return an error. */
bool consensus_can_propose(const struct consensus *c);

/* Asks for a linearizable read point; the answer comes in ready.reads with the same ctx. ctx is
 * unique while pending. Errors: ERR_NO_LEADER, ERR_BUSY (reads_max). */
MUST_USE int consensus_read(struct consensus *c, uint64_t ctx);

/* All writes up to and including write_id are durable. */
void consensus_stored(struct consensus *c, uint64_t write_id);

/* The state machine has applied up to index (<= commit). */
void consensus_applied(struct consensus *c, uint64_t index);

/* Answer to a load. entries are borrowed; err != OK: ERR_COMPACTED (trimmed meanwhile) or a fatal
 * storage error. */
void consensus_loaded(struct consensus *c, uint64_t load_id, int err, const struct entry *entries,
                      uint32_t count);

/* Hands leadership over. Errors: ERR_UNSUPPORTED (leaderless engine), ERR_NOT_LEADER, ERR_NOT_FOUND
 * (no such member). */
MUST_USE int consensus_transfer(struct consensus *c, uint32_t to);

/* Changes membership. Errors: ERR_UNSUPPORTED as long as the engine lacks CAP_CHANGE. */
MUST_USE int consensus_change(struct consensus *c, const struct membership *to);

/* Anything for take to fetch? */
bool consensus_has_ready(const struct consensus *c);

/* Fetches all that is due; *ret is overwritten. */
void consensus_take(struct consensus *c, struct ready *ret_ready);

void consensus_status(const struct consensus *c, struct consensus_status *ret_status);

#endif
