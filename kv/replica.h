/*
 * replica.h - ring 2: one node's engine, log and state machine, without sockets, threads or clock.
 *
 * The pump (kv/server.c, the simulator) brings time, messages, client requests and completions, and
 * carries out what replica_take() hands over. Everything that decides is in here or below and is
 * therefore simulated: batching, write-before-send, forwarding, retry, exactly-once, reads,
 * back-pressure, trimming, divergence checks.
 *
 * How a write goes: replica_write() puts the command, named (own session, next sequence), into the
 * batch being formed; the batch becomes a value at the end of the turn if the engine can take one
 * more, and is proposed here or forwarded to the leader; when the command is applied on *this* node
 * its answer is computed and given. A batch whose value does not appear (lost forward, displaced,
 * leader gone) is proposed or forwarded again with the same names: sessions make that exactly-once.
 * A call whose deadline passes is answered ERR_TIMEOUT, outcome unknown, and so is that of
 * ERR_SESSION_EXPIRED; ERR_TOO_MANY_REQUESTS and
 * ERR_NO_LEADER are given before anything was sent and mean "certainly not applied" (K3).
 *
 * Deadlines are kept to a tick of 4 ms and never early.
 */
#ifndef SYNOD_KV_REPLICA_H
#define SYNOD_KV_REPLICA_H

#include <stdbool.h>
#include <stdint.h>

#include "consensus/consensus.h"
#include "kv/logstore.h"
#include "kv/mvcc.h"
#include "proto/wire_peer.h"

struct replica;

struct replica_options {
    const struct engine_ops *engine;
    struct consensus_options consensus;
    uint64_t cluster_id;
    uint64_t incarnation;

    size_t log_memory_max;    /* bytes of recent values kept */
    uint64_t log_slots_max;   /* widest window */
    uint32_t batch_bytes_max; /* of one value */
    uint32_t batch_commands_max;
    uint32_t calls_max;      /* client calls under way; beyond: ERR_TOO_MANY_REQUESTS */
    uint64_t call_bytes_max; /* bytes of requests not yet answered or not yet applied */
    uint64_t apply_lag_max;  /* commit - applied; beyond, new requests are refused */
    size_t unwritten_max;    /* rows not yet durable in state: beyond, new requests wait */
    uint64_t fetch_rows_max; /* rows for reads on their way from the store; or one read with more */
    uint64_t retry_us;       /* a batch not seen applied is sent again after this, doubling */
    uint64_t read_retry_us;
    uint64_t gossip_us;        /* interval of MSG_REPLICA_GOSSIP */
    uint64_t trim_keep;        /* entries kept behind the trim point */
    uint64_t flush_us;         /* state is flushed so long after the first unflushed change */
    uint32_t flush_operations; /* or at so many operations */
    size_t flush_bytes;        /* or bytes */
    struct mvcc_options mvcc;
};

void replica_options_init(struct replica_options *o);

/*
 * Makes the replica from what the log store recovered (entries' references are taken over; the
 * recovery is emptied) and from a state machine whose rows were restored (taken over on success).
 * Recover from mvcc_applied(mvcc) or below, so that the last entry is among those given.
 * Errors: ERR_INVALID (options; the last entry is missing), ERR_CORRUPT (log and state contradict:
 * applied is beyond the log's end, or the log begins after applied + 1).
 */
MUST_USE int replica_new(const struct replica_options *options, struct logstore_recovery *recovery,
                         struct mvcc *mvcc, struct replica **ret_replica);
void replica_free(struct replica *r);

/* Time; first in every turn. */
void replica_tick(struct replica *r, uint64_t now_us);
uint64_t replica_deadline(const struct replica *r);

/* A decoded message and its envelope. Borrowed. A stray is dropped and counted.
 * Errors: ERR_DIVERGED (fatal: a peer at the same index has another state hash: stop, say so),
 * ERR_STALE (fatal: the peer was told of writes that this node's disk no longer has: an older copy
 * of it was put back. Nothing of the message was looked at, and nothing but gossip was sent to that
 * peer in this life). */
MUST_USE int replica_receive(struct replica *r, const struct message *m,
                             const struct envelope *envelope);

/* A connection to a peer came up: its incarnation from the hello, or 0 when it is ours to it and
 * nothing is known. What the peer has seen of this node comes with each message (struct envelope),
 * so only gossip is sent to a peer before one of its messages came. */
void replica_peer_up(struct replica *r, uint32_t peer, uint64_t incarnation);

/*
 * Client calls. `call` names the call in the answer and is chosen by the caller, unique while open.
 * deadline_us absolute, UINT64_MAX none. Each returns OK when the call was taken; its answer comes
 * in replica_output.replies. Any error: not taken, certainly not applied.
 * Errors: ERR_TOO_MANY_REQUESTS (calls_max, call_bytes_max, apply_lag_max), ERR_STOPPING,
 * ERR_EXISTS (the call's name is in use), ERR_INVALID (not a client's session, or sequence 0).
 */
struct replica_write_args {
    uint64_t call;
    uint64_t deadline_us;
    uint8_t tag;          /* enum command_tag */
    struct bytes request; /* the client's message, already decoded and checked once; copied */
    uint64_t session;     /* a client's own (bit 63 set), for retries through other nodes; or 0 */
    uint64_t sequence;    /* with session: the client's number for this command */
};
MUST_USE int replica_write(struct replica *r, const struct replica_write_args *args);

struct replica_read_args {
    uint64_t call;
    uint64_t deadline_us;
    uint8_t kind;         /* OP_RANGE or OP_TXN (mvcc_txn_is_read) */
    bool serializable;    /* answer from this node's state, now */
    struct bytes request; /* the client's message, kept (copied) until answered */
};
MUST_USE int replica_read(struct replica *r, const struct replica_read_args *args);

/* The client is gone: no answer wanted. The command may still be applied. */
void replica_cancel(struct replica *r, uint64_t call);

/* Completions. */
void replica_log_stored(struct replica *r, uint64_t write_id); /* this and all before are durable */
/* Empties `entries`. Errors: fatal ones of the store, ERR_CORRUPT (an entry to apply is gone). */
MUST_USE int replica_log_loaded(struct replica *r, uint64_t load_id, int err,
                                struct entry_list *entries);
void replica_log_trimmed(struct replica *r, struct log_pos pos);
/* err OK: the flush is durable; else nothing of it counts and the replica is finished. Freed here.
 */
void replica_state_flushed(struct replica *r, struct mvcc_flush *flush, int err);
/* rows are borrowed. Errors: ERR_CORRUPT (fatal: a row that must be there is not). */
MUST_USE int replica_rows_fetched(struct replica *r, uint64_t fetch_id, struct blob *const *rows,
                                  uint32_t count);

/* Errors: those of consensus_transfer. */
MUST_USE int replica_transfer(struct replica *r, uint32_t to);

/* Before a graceful stop: no new calls (ERR_STOPPING); open ones are still answered. A leader hands
 * over if the engine can. */
void replica_stop(struct replica *r);
bool replica_idle(const struct replica *r); /* no call is open */

/* Rows wanted from the state store, in this order. Answer with as many blobs (NULL: not found)
 * through replica_rows_fetched. */
struct replica_fetch {
    uint64_t id;
    const struct revision *revisions; /* borrowed until the next replica call: copy */
    uint32_t count;
};

/* An answer. err OK: result is complete and owned by the receiver (mvcc_result_free); else result
 * is NULL. A request that was applied and failed by its own rules comes as err too. */
struct replica_reply {
    uint64_t call;
    int err;
    struct mvcc_result *result;
};

/* Everything to be done since the last take. Arrays are borrowed until the next replica call, the
 * objects in them are handed over. */
struct replica_output {
    struct list messages;          /* of struct message: send, then message_free */
    struct envelope envelope_base; /* cluster and own incarnation; receiver's: replica_envelope */
    struct list writes;            /* of struct log_write: make durable in order, report each or the
                                      last, then log_write_free on this thread */
    struct log_pos trim;           /* index 0: nothing */
    const struct load *loads;
    uint32_t loads_count;
    struct mvcc_flush *flush; /* NULL: nothing */
    const struct replica_fetch *fetches;
    uint32_t fetches_count;
    const struct replica_reply *replies;
    uint32_t replies_count;
};

bool replica_has_output(const struct replica *r);
/* End of a turn: closes the batch, applies what is committed, and hands everything over.
 * Errors (fatal): ERR_CORRUPT, ERR_DIVERGED. */
MUST_USE int replica_take(struct replica *r, struct replica_output *ret_output);

/* Of a message to this peer that leaves now: made when it leaves, because it tells what is durable
 * here and what was heard from the peer (D9). */
struct envelope replica_envelope(const struct replica *r, uint32_t to);

/* More work is waiting (applying, reads, compaction): call take again soon even without input. */
bool replica_busy(const struct replica *r);

struct replica_peer_status {
    uint32_t id;
    uint64_t incarnation;
    uint64_t applied; /* as last heard */
    uint64_t durable;
    uint64_t heard_us; /* when, 0 never */
};

struct replica_status {
    struct consensus_status consensus;
    uint64_t applied;
    uint64_t durable_applied;
    int64_t revision;
    int64_t compact_revision;
    uint64_t hash;
    uint64_t keys;
    uint64_t size_in_use;
    uint64_t incarnation;
    uint32_t calls;
    uint64_t writes, reads, retries, forwards, strays, timeouts, refused; /* counters */
    uint64_t log_first;
    uint32_t peers_count;
    struct replica_peer_status peers[NODES_MAX];
};

void replica_status(const struct replica *r, struct replica_status *ret_status);

#endif
