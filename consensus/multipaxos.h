/*
 * multipaxos.h - the state of the Multi-Paxos engine, shared by its files and by nobody else.
 *
 *   engine_multipaxos.c  the operations, time, heartbeats, whom we follow
 *   multipaxos_elect.c   phase 1: standing for election, promises, the value rule
 *   multipaxos_lead.c    phase 2: accepts in flight, choosing, commit notices
 *   multipaxos_read.c    linearizable reads, at the leader and through it
 */
#ifndef SYNOD_CONSENSUS_MULTIPAXOS_H
#define SYNOD_CONSENSUS_MULTIPAXOS_H

#include "consensus/acceptor.h"
#include "consensus/engine.h"
#include "consensus/learner.h"
#include "consensus/reach.h"

enum mp_stage {
    MP_IDLE = 0,
    MP_ASKING,    /* pre-prepare: would a quorum promise? Nothing is promised yet */
    MP_PREPARING, /* phase 1a sent, or on its way to our own disk */
};

/* Whom we take for the distinguished proposer. */
struct mp_view {
    uint32_t leader;   /* 0: nobody; self while leading */
    uint64_t ballot;   /* under which it leads */
    uint64_t heard_us; /* when it last said so while it was in touch with a quorum */
    bool confirmed;    /* it said so itself; else we only promised to it */
    uint64_t asked;    /* highest slot from which it asked for (a page of) our promise */
};

struct mp_candidate {
    uint8_t stage;            /* enum mp_stage */
    uint64_t attempt;         /* rises; echoed in ctx */
    uint64_t ballot;          /* ours, while MP_PREPARING */
    uint64_t round_seen;      /* highest round heard of */
    uint32_t tries;           /* since a leader was last heard, this one included */
    uint64_t yes;             /* by rank: would promise; or whose promise is complete */
    uint64_t first;           /* lowest slot that the prepare covers */
    uint64_t next[NODES_MAX]; /* by rank: first slot not yet covered by its promise */
    uint64_t chosen_to;       /* highest commit index among the promises */
    struct entry *found;      /* ascending; per slot the value of the highest ballot; referenced */
    uint32_t found_count;
    uint32_t found_capacity;
    uint64_t resend_us;
    uint64_t give_up_us;
};

/* A slot proposed by this leader and not yet below its chosen prefix. */
struct mp_pending {
    uint64_t acks; /* by rank: accepted durably */
    uint64_t sent_us;
    uint64_t adopted; /* what it counts in the window of what is brought up again; 0: not adopted */
    bool chosen;
};

struct mp_leader {
    uint64_t ballot;
    uint64_t barrier;    /* highest slot that phase 1 brought up; reads wait for it */
    uint64_t learn_to;   /* chosen before us: to be learned, not proposed */
    uint64_t first;      /* lowest pending slot */
    uint64_t next;       /* lowest slot without a proposal of ours */
    uint64_t unsent;     /* lowest slot not yet sent to the peers */
    uint32_t found_next; /* cursor into candidate.found */
    uint64_t adopting;   /* bytes brought up again and not yet chosen */
    struct mp_pending *ring;
    uint64_t mask;                /* ring size - 1 */
    uint64_t acked[NODES_MAX];    /* by rank: highest slot accepted under our ballot */
    uint64_t moved_us[NODES_MAX]; /* by rank: when it last accepted something under our ballot */
    uint64_t told[NODES_MAX];     /* by rank: commit index sent */
    uint64_t resend_us;
    uint64_t progress_us; /* when the prefix up to learn_to last grew */
    uint64_t progress_commit;
    uint64_t hub_us; /* when a better place is looked for again */
};

struct mp_read {
    uint64_t ctx;
    uint32_t node;  /* who asked: 0 this node's replica, else the follower to answer */
    uint64_t round; /* of confirmation, or of the question to the leader; 0: not sent yet */
    uint64_t index;
    uint64_t asked_us;
};

struct mp_reads {
    struct mp_read *at; /* in the order asked */
    uint32_t count;
    uint32_t capacity;
    uint32_t unsent;           /* how many at the end have no round yet */
    uint64_t round;            /* newest one sent */
    uint64_t acked[NODES_MAX]; /* by rank: newest round echoed */
    uint64_t resend_us;
};

struct multipaxos {
    struct engine e;
    struct acceptor acceptor;
    struct learner learner;
    uint8_t role; /* enum consensus_role */
    struct mp_view view;
    uint32_t led_by; /* who led last, as far as it said so itself; 0: nobody in this life */
    struct mp_candidate candidate;
    struct mp_leader lead;
    struct mp_reads reads;
    struct reach reach;
    struct hub_watch hub;
    uint64_t peer_stable[NODES_MAX]; /* by rank: its contiguous durable prefix */
    uint64_t election_us;            /* when to stand if nobody leads by then */
    uint64_t heartbeat_us;           /* when the next heartbeat is due */
    uint64_t poll_us;                /* when the learner wants to be called */
    uint64_t elections;
    uint64_t leader_changes;
    uint64_t dropped;
};

/* engine_multipaxos.c */
int mp_rank(const struct multipaxos *mp, uint32_t node);
bool mp_leader_lives(const struct multipaxos *mp, uint32_t other_than);
bool mp_gives_time(const struct multipaxos *mp);
void mp_election_in(struct multipaxos *mp, uint64_t min_us, uint64_t max_us);
void mp_election_reset(struct multipaxos *mp);
void mp_send_heartbeats(struct multipaxos *mp);
void mp_follow(struct multipaxos *mp, uint32_t leader, uint64_t ballot, bool confirmed);
void mp_step_down(struct multipaxos *mp, const char *why);
void mp_hand_over(struct multipaxos *mp, uint32_t to, const char *why);

/* multipaxos_elect.c */
void mp_stand(struct multipaxos *mp);
void mp_prepare(struct multipaxos *mp);
void mp_candidate_clear(struct multipaxos *mp);
void mp_candidate_tick(struct multipaxos *mp);
uint64_t mp_candidate_deadline(const struct multipaxos *mp);
void mp_on_preprepare(struct multipaxos *mp, const struct message *m);
void mp_on_preprepare_reply(struct multipaxos *mp, const struct message *m);
void mp_on_prepare(struct multipaxos *mp, const struct message *m);
void mp_on_promise(struct multipaxos *mp, const struct message *m);
void mp_on_higher(struct multipaxos *mp, uint64_t ballot, const char *why);

/* multipaxos_lead.c */
void mp_lead(struct multipaxos *mp);
void mp_lead_clear(struct multipaxos *mp);
bool mp_lead_room(const struct multipaxos *mp);
void mp_lead_propose(struct multipaxos *mp, struct value *value);
void mp_lead_flush(struct multipaxos *mp);
void mp_lead_tick(struct multipaxos *mp);
uint64_t mp_lead_deadline(const struct multipaxos *mp);
void mp_on_accepted(struct multipaxos *mp, const struct message *m);

/* multipaxos_read.c */
int mp_read(struct multipaxos *mp, uint64_t ctx);
void mp_reads_flush(struct multipaxos *mp);
void mp_reads_confirm(struct multipaxos *mp, int rank, uint64_t round);
void mp_reads_fail(struct multipaxos *mp, int err);
void mp_reads_tick(struct multipaxos *mp);
uint64_t mp_reads_deadline(const struct multipaxos *mp);
void mp_on_read(struct multipaxos *mp, const struct message *m);
void mp_on_read_reply(struct multipaxos *mp, const struct message *m);

#endif
