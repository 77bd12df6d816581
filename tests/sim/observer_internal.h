/*
 * observer_internal.h - what the files of the observer share. Included by observer*.c only.
 *
 *     observer.c         life cycle, what nodes say by trace, client calls
 *     observer_log.c     contents of slots, images of logs, what a restart finds
 *     observer_raft.c    R1-R7: votes, logs, commit
 *     observer_paxos.c   P1-P10, P14: acceptors and learners
 *     observer_phase1.c  P6-P8: what promises said, and which values they leave free
 *
 * A *record* is one content that a slot was ever given anywhere: it is named by (index, epoch),
 * because a term or ballot puts one value into a slot at most (R3, P5), and remembers on which
 * nodes it was ever durable. A slot's *place* knows its records and which one was chosen, for ever.
 *
 * Chosen, in Paxos: accepted durably, at one time or another, by a quorum under one ballot. In
 * Raft: the entry was durable on a quorum of nodes that were in the entry's own term when they
 * stored it, and with it all before it (Raft 5.4.2 and figure 8: an older entry on a majority is
 * not enough). Both may be true before anybody knows. `committed` is what some node knows.
 */
#ifndef SYNOD_TESTS_SIM_OBSERVER_INTERNAL_H
#define SYNOD_TESTS_SIM_OBSERVER_INTERNAL_H

#include "base/arena.h"
#include "base/map.h"
#include "tests/sim/observer.h"

enum {
    OBSERVER_NODES_MAX = 16,
    OBSERVER_TEXT_MAX = 512,
    OBSERVER_MAP_MAX = 1 << 24,   /* votes, leaders, commands; beyond it nothing new is checked */
    OBSERVER_INDEX_MAX = 1 << 26, /* a slot beyond it is a bug of the node */
};

/* Basic Paxos: what one node's promise for (slot, ballot) said. */
struct obs_report {
    uint64_t epoch; /* highest ballot accepted there below this one; 0 none */
    uint32_t crc;
    bool given;
};

struct obs_record {
    struct obs_record *next;    /* of the same slot */
    struct obs_report *reports; /* by node - 1; NULL: none */
    uint64_t epoch;
    uint64_t hash; /* raft: of the log up to here */
    uint32_t crc;
    uint16_t durable; /* by node - 1: ever counted as durable there */
    bool valued;      /* crc (and hash) are known */
    bool walked;      /* its commands were looked at (P2) */
    bool safe;        /* passed P6 */
};

struct obs_place {
    struct obs_record *records;
    uint64_t chosen_epoch;
    uint64_t chosen_hash; /* raft */
    uint64_t chosen_by;   /* raft: term whose majority chose it, at or above its own */
    uint64_t state_hash;  /* P9, R5: of the state machine after this index */
    uint32_t chosen_crc;
    bool chosen;
    bool applied; /* state_hash is known */
};

struct obs_slot {
    uint64_t epoch; /* 0: empty */
    uint64_t hash;
    uint64_t promise;
    uint32_t crc;
};

/* A log as it is on one disk, or will be when all that was handed out is. */
struct obs_image {
    struct obs_slot *slots; /* by index */
    uint64_t size;
    uint64_t last; /* highest index with an entry, or trimmed */
    uint64_t trimmed;
    struct hard_state hard;
};

/* Paxos: what is remembered of a node's slot beside its content. */
struct obs_mark {
    uint64_t accept;        /* highest ballot accepted here, by trace; or recovered */
    uint64_t accept_before; /* the one before it, of this life */
    uint64_t promise;       /* by trace, in this life */
    uint64_t sent;          /* highest ballot that others were told promised or accepted; ever */
};

struct obs_node {
    uint32_t id;
    bool up;
    bool lost;
    bool restored; /* an old image was put back once: its word may be broken (D9) */
    bool leader;   /* by trace */
    uint64_t lead_epoch;
    uint64_t epoch; /* highest term traced or handed in this life */
    uint64_t commit;
    uint64_t commit_checked; /* up to here `handed` was seen to hold what is chosen */
    uint64_t applied;
    uint64_t told; /* highest write id the node knows to be durable */
    struct obs_image handed;
    struct obs_image synced;
    struct log_write **pending; /* handed and not synced, in order; each referenced */
    uint32_t pending_head, pending_count, pending_capacity;

    /* Raft. */
    struct map votes;   /* term -> whom this node voted for, durably or aloud; ever */
    struct map granted; /* term -> whom it said so */
    bool cut_ok;        /* a cut was traced while it was no leader, and is not yet handed */
    uint64_t cut_from;  /* lowest cut that answers of before it may still be under way */
    uint64_t cut_write;

    /* Paxos. */
    struct obs_mark *marks; /* by index */
    uint64_t marks_size;
    uint64_t promised;    /* multipaxos: for all slots, by trace or write, in this life */
    uint64_t sent;        /* multipaxos: highest ballot that others were told; ever */
    uint64_t used;        /* highest ballot in a prepare of this life */
    uint64_t used_before; /* and of all before it */
    uint64_t barrier;     /* multipaxos leader: below or at it is nothing new, for sure */
    uint64_t proposed;    /* multipaxos leader: newest slot proposed */
};

/* Multi-Paxos: the promises for one ballot. */
struct obs_found {
    uint64_t index;
    uint64_t epoch;
    uint32_t crc;
};

struct obs_promise {
    uint64_t from; /* slots [from, to) are covered; 0: none */
    uint64_t to;   /* UINT64_MAX: complete */
    uint64_t commit;
    uint64_t top;            /* highest slot with anything accepted or chosen that it told of */
    struct obs_found *found; /* ascending by index, all below the ballot */
    uint32_t count, capacity;
};

struct obs_ballot {
    struct obs_promise promises[OBSERVER_NODES_MAX];
};

struct observer {
    struct observer_options options;
    uint8_t engine; /* enum engine_id */
    uint32_t quorum;
    bool failed;
    bool damaged; /* some node lost durable data: what was on a majority may not be any more */
    uint32_t noop_crc;
    struct arena arena; /* of records and reports */
    struct obs_place *places;
    uint64_t places_size;
    uint64_t chosen_prefix; /* all from 1 to here are chosen */
    uint64_t committed;     /* highest that a node knew to be committed */
    struct map leaders;     /* epoch -> node */
    struct map commands;    /* hashes of what clients submitted */
    struct map ballots;     /* ballot -> struct obs_ballot, owned */
    uint64_t epoch;
    uint64_t leader_changes;
    uint64_t deposed;
    struct obs_node nodes[OBSERVER_NODES_MAX + 1]; /* by id */
};

/* observer.c */
void observer_fail(struct observer *o, const char *property, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
struct obs_node *observer_node(struct observer *o, uint32_t node);
/* Notes who leads an epoch; false (R1): another one does. */
bool observer_note_leader(struct observer *o, struct obs_node *n, uint64_t epoch);
/* The node knows that all up to index is committed; it is chosen. */
void observer_note_commit(struct observer *o, struct obs_node *n, uint64_t index);

/* observer_log.c */
struct obs_place *observer_place(struct observer *o, uint64_t index);
struct obs_record *observer_record(struct observer *o, uint64_t index, uint64_t epoch);
struct obs_record *observer_record_find(const struct observer *o, uint64_t index, uint64_t epoch);
/* Each command of a value was submitted, once for each record (P2). */
void observer_walk(struct observer *o, struct obs_record *r, const struct obs_node *n,
                   const struct entry *entry);
struct obs_report *observer_report(struct observer *o, struct obs_record *r, uint32_t node);
const struct obs_slot *observer_slot(const struct obs_image *image, uint64_t index);
struct obs_slot *observer_slot_at(struct obs_image *image, uint64_t index);
/* A write, with hashes from its records. */
void observer_image_write(const struct observer *o, struct obs_image *image,
                          const struct log_write *w);
void observer_image_release(struct obs_image *image);
/* Do as many images of nodes hold the chosen value as make a quorum (D1)? */
bool observer_on_quorum(const struct observer *o, uint64_t index);
/* Is an image's slot what was chosen there? */
bool observer_holds(const struct observer *o, const struct obs_image *image, uint64_t index);
/* D4, D8, R1, P4: is what was found what must be? Fills `found`, to be released. */
void observer_compare(struct observer *o, struct obs_node *n, const struct obs_image *found);
void observer_image_fill(struct obs_image *image, const struct logstore_recovery *recovery);
void observer_pending_drop(struct obs_node *n, uint32_t count);

/* observer_raft.c */
void observer_raft_trace(struct observer *o, struct obs_node *n, const struct trace_event *e);
void observer_raft_handed(struct observer *o, struct obs_node *n, const struct log_write *w);
void observer_raft_synced(struct observer *o, struct obs_node *n, const struct log_write *w);
void observer_raft_recovered(struct observer *o, struct obs_node *n,
                             const struct logstore_recovery *recovery, struct obs_image *found);
void observer_raft_send(struct observer *o, struct obs_node *n, const struct message *m);

/* observer_paxos.c */
void observer_paxos_trace(struct observer *o, struct obs_node *n, const struct trace_event *e);
void observer_paxos_handed(struct observer *o, struct obs_node *n, const struct log_write *w);
void observer_paxos_synced(struct observer *o, struct obs_node *n, const struct log_write *w);
void observer_paxos_recovered(struct observer *o, struct obs_node *n,
                              const struct logstore_recovery *recovery);
void observer_paxos_send(struct observer *o, struct obs_node *n, const struct message *m);
struct obs_mark *observer_mark(struct obs_node *n, uint64_t index);
/* The record of a value put into a slot under a ballot; NULL after a violation (P5). */
struct obs_record *observer_content(struct observer *o, const struct obs_node *n,
                                    struct log_pos pos, uint32_t crc);

/* observer_phase1.c */
/* Basic Paxos: the node's own acceptor promised to its own proposer. */
void observer_promised_own(struct observer *o, struct obs_node *n, struct log_pos pos);
void observer_promise_sent(struct observer *o, struct obs_node *n, const struct message *m);
void observer_led(struct observer *o, struct obs_node *n, const struct trace_event *e);
void observer_proposed(struct observer *o, struct obs_node *n, struct log_pos pos, uint32_t crc);
void observer_ballots_release(struct observer *o);

#endif
