/*
 * raft.h - what the files of the Raft engine share. Included by engine_raft.c and raft_*.c only.
 *
 * Raft: Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm (Extended
 * Version)", cited as "Raft 5.4.1"; Ongaro's dissertation, cited as "thesis 9.6".
 *
 *     engine_raft.c     operations, terms and roles, dispatch, the clock of a follower
 *     raft_election.c   pre-vote, votes, who may stand, what nodes tell each other while idle
 *     raft_fetch.c      a connected but stale candidate catches up before it stands again
 *     raft_leader.c     the clock of a leader: heartbeats, check-quorum, stuck disk, transfer
 *     raft_replicate.c  leader's half of AppendEntries: flow control, repair, commit
 *     raft_append.c     follower's half of AppendEntries
 *     raft_read.c       linearizable reads by ReadIndex
 */
#ifndef SYNOD_CONSENSUS_RAFT_H
#define SYNOD_CONSENSUS_RAFT_H

#include "base/assert.h"
#include "consensus/engine.h"
#include "consensus/reach.h"

enum {
    /* ctx of a vote request: stand although the leader lives, because it asked (thesis 4.2.3). */
    RAFT_CAMPAIGN_TRANSFER = 1,
    /* Uncommitted values a leader takes on, in units of inflight_max. */
    RAFT_UNCOMMITTED_FACTOR = 4,
    /* Rounds of read confirmation that may be under way at a time. */
    RAFT_READ_ROUNDS_MAX = 2,
    /* Slots a leader keeps free for the no-ops of leaders to come. */
    RAFT_SLOTS_RESERVED = 16,
    /* What an entry counts in a message beside its payload. */
    RAFT_ENTRY_OVERHEAD = 64,
};

enum raft_peer_state {
    RAFT_PROBE = 0,     /* where the logs agree is unknown: one append at a time */
    RAFT_REPLICATE = 1, /* known: appends are pipelined */
};

/* What a leader knows of another member. */
struct raft_peer {
    uint8_t state;        /* enum raft_peer_state */
    bool paused;          /* probe: unanswered, wait until resend */
    bool compacted;       /* it needs entries that are trimmed here */
    uint64_t match;       /* highest index known to be durable there and equal to ours */
    uint64_t next;        /* next index to send */
    uint64_t probe_last;  /* probe: last index of the one that is under way */
    uint64_t commit_sent; /* highest commit index told */
    uint64_t acked_us;    /* when it last answered in this term */
    uint64_t progress_us; /* when what is under way was sent, or last shown to move */
    uint64_t round;       /* newest heartbeat round it answered */
    uint64_t load_id;     /* entries for it are being read back; 0: no */
    /* the entry before `next`, when it came back alone because it fills a message by itself */
    struct log_pos loaded_prev;
    uint64_t *inflight; /* ring of inflight_max: last index of each unanswered append */
    uint32_t inflight_head;
    uint32_t inflight_count;
};

struct raft_read {
    uint64_t ctx;
    uint64_t round;    /* leader: heartbeat round; follower: batch asked for. 0: not yet sent */
    uint64_t index;    /* leader: commit when the round began */
    uint64_t asked_us; /* for the time-out */
    uint32_t from;     /* self, or the follower that forwarded it */
};

/* Catching up before standing for election (raft_fetch.c). */
struct raft_fetch {
    uint32_t donor; /* 0: none under way */
    uint64_t id;    /* of the newest request, echoed by the answer */
    struct log_pos prev;
    uint64_t resend_at_us;
    uint64_t until_us;
};

struct raft {
    struct engine base;
    uint64_t term;
    uint64_t recovered_term; /* in which an earlier life ended; 0 none */
    uint32_t vote;
    uint32_t leader; /* of this term; 0 unknown */
    uint8_t role;    /* enum consensus_role */
    bool pre;        /* candidate: still in the pre-vote */

    /* Followers and candidates. */
    uint64_t election_at_us;
    uint64_t contact_us; /* when a leader that hears a quorum was last heard; 0 never */
    uint64_t alive_at_us;
    uint64_t seen[NODES_MAX]; /* by rank: the set each member last said it hears */
    uint64_t matched;         /* up to here this log equals that of this term's leader */
    bool ack_due;             /* an append success is to be sent with this turn's write */
    uint64_t granted;         /* votes or pre-votes, by rank */
    uint64_t refused;
    bool transfer_campaign;
    uint64_t campaign_resend_us;
    uint32_t failed_rounds; /* campaigns since a leader was last heard, this one included */
    struct raft_fetch fetch;

    /* Leaders. */
    struct raft_peer peers[NODES_MAX];
    uint64_t *inflight_memory;
    uint64_t term_start; /* index of this leader's no-op */
    uint64_t led_since_us;
    uint64_t heartbeat_at_us;
    uint32_t transfer_to; /* 0: none */
    uint64_t transfer_until_us;
    struct hub_watch hub;

    /* Reads. */
    struct raft_read *reads;
    uint32_t reads_count;
    uint32_t reads_capacity;
    uint64_t round; /* leader: newest heartbeat round */
    /* Follower: newest request to the leader. Starts at random: the leader may still hold a request
     * of this node's earlier life, and answer it to this one. */
    uint64_t batch;
    uint64_t reads_sent_us;

    /* Figures. */
    uint64_t elections;
    uint64_t leader_changes;
    uint64_t proposals_dropped;
};

static inline struct raft *raft_of(struct engine *e)
{
    return (struct raft *) (void *) e;
}

static inline const struct raft *raft_of_const(const struct engine *e)
{
    return (const struct raft *) (const void *) e;
}

static inline uint32_t raft_members(const struct raft *r)
{
    return r->base.options.members.count;
}

static inline uint32_t raft_id(const struct raft *r, uint32_t rank)
{
    return r->base.options.members.ids[rank];
}

static inline uint32_t raft_rank(const struct raft *r, uint32_t id)
{
    int rank = membership_rank(&r->base.options.members, id);
    ASSERT(rank >= 0); /* the facade lets only members through */
    return (uint32_t) rank;
}

static inline bool raft_is_self(const struct raft *r, uint32_t rank)
{
    return rank == (uint32_t) r->base.self_rank;
}

/* engine_raft.c */

/* A message with term, the set of peers heard and the age of the oldest write filled in. */
struct message *raft_message(const struct raft *r, enum message_type type, uint32_t to);

/* Enters `term` (>= the current one) as a follower of `leader` (0: not known). */
void raft_become_follower(struct raft *r, uint64_t term, uint32_t leader);

/* A leader gives up in its term, and tells the others so that they need not wait. */
void raft_step_down(struct raft *r, const char *why);

/* Draws the next election time-out. */
void raft_reset_timer(struct raft *r);

/* Makes term, vote and commit hint part of the write. */
void raft_write_hard(struct raft *r);

/* Moves commit to index (Raft: never back) and notes it as a hint. */
void raft_commit_to(struct raft *r, uint64_t index);

/* raft_election.c */
void raft_campaign(struct raft *r);
void raft_start_election(struct raft *r, bool transfer);
void raft_election_tick(struct raft *r);
bool raft_may_stand(const struct raft *r);
bool raft_sticky(const struct raft *r);
bool raft_pos_newer(struct log_pos a, struct log_pos b);
void raft_send_alive(struct raft *r, bool to_leader);
void raft_on_prevote(struct raft *r, const struct message *m);
void raft_on_prevote_reply(struct raft *r, const struct message *m);
void raft_on_vote(struct raft *r, const struct message *m);
void raft_on_vote_reply(struct raft *r, const struct message *m);
void raft_on_alive(struct raft *r, const struct message *m);
void raft_on_timeout_now(struct raft *r, const struct message *m);

/* raft_fetch.c */
void raft_fetch_consider(struct raft *r, const struct message *refusal);
void raft_fetch_cancel(struct raft *r);
void raft_fetch_tick(struct raft *r);
void raft_on_fetch(struct raft *r, const struct message *m);
void raft_on_fetch_reply(struct raft *r, const struct message *m);

/* raft_leader.c */
void raft_become_leader(struct raft *r);
void raft_leader_tick(struct raft *r);
uint64_t raft_leader_deadline(const struct raft *r);
void raft_heartbeat_all(struct raft *r);
void raft_on_heartbeat_reply(struct raft *r, const struct message *m);
int raft_transfer(struct raft *r, uint32_t to);
void raft_transfer_check(struct raft *r);
bool raft_can_propose(const struct raft *r);
int raft_propose(struct raft *r, struct value *value);

/* raft_replicate.c */
void raft_peer_reset(struct raft *r, uint32_t rank);
void raft_replicate_all(struct raft *r);
void raft_peer_tick(struct raft *r, uint32_t rank);
uint64_t raft_peer_deadline(const struct raft *r, uint32_t rank);
void raft_peer_acked(struct raft *r, uint32_t rank, uint64_t match);
void raft_peer_at(struct raft *r, uint32_t rank, struct log_pos last);
void raft_on_append_reply(struct raft *r, const struct message *m);
void raft_maybe_commit(struct raft *r);
void raft_loaded(struct raft *r, uint64_t load_id, int err, const struct entry *entries,
                 uint32_t count);

/* raft_append.c */

/* Largest index <= pos.index whose epoch here is <= pos.epoch: above it the logs differ for sure.
 */
struct log_pos raft_find_conflict(const struct raft *r, struct log_pos pos);

/* Has this log an entry at pos.index of pos.epoch? (Then all before it agree too: Raft 5.3.) */
bool raft_log_matches(const struct raft *r, struct log_pos pos);

/* Are the message's entries the ones that follow its pos, of rising epochs up to its own? */
bool raft_entries_valid(const struct message *m);

/* Puts the message's entries behind its pos, which matches; returns the last index now equal. */
uint64_t raft_merge(struct raft *r, const struct message *m);

void raft_on_append(struct raft *r, const struct message *m);
void raft_on_heartbeat(struct raft *r, const struct message *m);
void raft_on_commit(struct raft *r, const struct message *m);
void raft_ack_flush(struct raft *r);

/* raft_read.c */
int raft_read(struct raft *r, uint64_t ctx);
void raft_reads_flush(struct raft *r);
void raft_reads_tick(struct raft *r);
uint64_t raft_reads_deadline(const struct raft *r);
void raft_reads_requeue(struct raft *r);
void raft_reads_confirm(struct raft *r);
void raft_on_read_index(struct raft *r, const struct message *m);
void raft_on_read_index_reply(struct raft *r, const struct message *m);

#endif
