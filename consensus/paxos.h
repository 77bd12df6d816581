/*
 * paxos.h - the state of the Basic Paxos engine, shared by its files and by nobody else.
 *
 *   engine_paxos.c   the operations, heartbeats, finishing what others left
 *   paxos_round.c    the proposer: both phases for a slot, duels, displaced values
 *   paxos_read.c     quorum reads
 */
#ifndef SYNOD_CONSENSUS_PAXOS_H
#define SYNOD_CONSENSUS_PAXOS_H

#include "consensus/acceptor.h"
#include "consensus/engine.h"
#include "consensus/learner.h"
#include "consensus/reach.h"

enum px_phase {
    PX_PREPARE = 0,
    PX_ACCEPT,
    PX_BACKOFF, /* lost a duel over a slot that our value is bound to: waits, then a new ballot */
};

/* This node's attempt at one slot. */
struct px_round {
    uint64_t index;
    uint64_t ballot;
    uint8_t phase; /* enum px_phase */
    bool unsent;   /* the phase's request goes out with this turn's flush */
    bool bound;    /* an accept carried `own` for this slot: it may be chosen here, now or later */
    bool done;     /* to be removed */
    uint64_t yes;  /* by rank: promised, or accepted, under `ballot` */
    uint64_t no;   /* by rank: refused */
    uint64_t found_ballot;
    struct value *found; /* P2c: of the highest-numbered proposal among the promises, or NULL */
    struct value *own;   /* ours, wants a slot; NULL: we only finish the slot */
    struct value *value; /* what phase 2 sends */
    uint64_t due_us;     /* repeat the request, or end of the back-off */
    uint32_t duels;      /* lost in a row */
};

/* A slot that we saw chosen by counting accepts: the others are to be told. */
struct px_notice {
    uint64_t index;
    uint64_t ballot;
    uint64_t lack; /* by rank: refused the accept, so they need the value */
};

/* Reads asked in one turn. */
struct px_batch {
    struct list_node node;
    uint32_t peer; /* asked by this peer, under its ctx `asked`; 0: by ourselves */
    uint64_t asked;
    uint64_t id;      /* ctx of the messages */
    uint64_t yes;     /* by rank: answered */
    uint64_t highest; /* slot, among the answers */
    uint64_t asked_us;
    uint64_t resend_us;
    uint64_t *ctxs;
    uint32_t count;
    uint32_t capacity;
};

struct paxos {
    struct engine e;
    struct acceptor acceptor;
    struct learner learner;
    struct reach reach;
    struct px_round **rounds; /* ascending by index; each owned */
    uint32_t rounds_count;
    uint32_t rounds_capacity;
    struct value **queue; /* our values without a slot, oldest first; one reference each */
    uint32_t queue_count;
    uint32_t queue_capacity;
    struct px_notice *notices; /* of this turn */
    uint32_t notices_count;
    uint32_t notices_capacity;
    uint64_t cursor;      /* new values go to this slot or above */
    uint64_t round;       /* highest ballot round used or heard of */
    uint64_t reserved;    /* ballot rounds up to this one are durably ours to use */
    uint64_t hard_epoch;  /* newest reservation, as written */
    uint64_t highest;     /* ballot seen anywhere */
    uint32_t hops;        /* slots given up in a row */
    uint64_t hold_us;     /* the queue waits until then */
    uint64_t chosen_seen; /* learner.chosen_count and commit when rounds were last looked over */
    uint64_t commit_seen;
    uint64_t want;        /* highest slot that a read waits for */
    uint64_t watch_index; /* lowest unfinished slot being watched; 0: none */
    uint64_t watch_last;  /* highest slot in use when the watch began */
    uint64_t watch_us;    /* when to finish it ourselves */
    uint32_t watch_tries; /* how often we tried, since it is the lowest */
    struct list batches;
    uint32_t reads_count;
    uint64_t batch_id;
    uint64_t heartbeat_us;
    uint64_t poll_us;
    uint64_t elections; /* prepares started */
    uint64_t displaced;
};

/* engine_paxos.c */
bool px_connected(const struct paxos *px);
uint32_t px_proxy(const struct paxos *px);

/* paxos_round.c */
uint32_t px_own_count(const struct paxos *px);
void px_queue_push(struct paxos *px, struct value *value);
void px_start_queued(struct paxos *px);
void px_repair(struct paxos *px, uint64_t first, uint64_t last);
void px_rounds_flush(struct paxos *px);
void px_rounds_tick(struct paxos *px);
void px_rounds_settle(struct paxos *px);
uint64_t px_rounds_deadline(const struct paxos *px);
void px_rounds_free(struct paxos *px);
void px_on_promise(struct paxos *px, const struct message *m);
void px_on_accepted(struct paxos *px, const struct message *m);
void px_on_nack(struct paxos *px, const struct message *m);

/* paxos_read.c */
int px_read(struct paxos *px, uint64_t ctx);
void px_reads_flush(struct paxos *px);
void px_reads_tick(struct paxos *px);
uint64_t px_reads_deadline(const struct paxos *px);
void px_reads_free(struct paxos *px);
void px_on_read(struct paxos *px, const struct message *m);
void px_on_read_for(struct paxos *px, const struct message *m);
void px_on_read_reply(struct paxos *px, const struct message *m);

#endif
