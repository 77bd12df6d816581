/*
 * acceptor.h - the acceptor of Paxos Made Simple 2.2, shared by the two Paxos engines.
 *
 * P1a: "An acceptor can accept a proposal numbered n iff it has not responded to a prepare request
 * having a number greater than n." The promise is either per slot (Basic Paxos) or one for all
 * slots (Multi-Paxos); the effective promise of a slot is the higher of the two, so both may be
 * used on one log. State lives in the log's slots and in `promised_all`; every change is put into
 * the engine's write before the answer is sent after it (P4, P14).
 *
 * Answers. Promise and accepted leave after the write, because they promise; nack leaves at once,
 * because it promises nothing. A slot whose value is chosen is answered "chosen" with the value, or
 * with the commit index alone when the value is no longer in memory: the asker learns it by
 * MSG_PAXOS_LEARN (learner.h), which reads the store. It is never answered "nothing accepted"
 * (P10).
 *
 * A value that is known to be accepted but not to be chosen is always in memory, so that no promise
 * ever waits for the store.
 *
 *     type             fields
 *     PAXOS_PROMISE    epoch = ballot; [pos.index, last] the slots covered; entries: what was
 *                      accepted there (entry.epoch = accepted ballot); commit; ctx echoed;
 *                      hint.index = where to ask on, 0 when the promise is complete (one for all)
 *     PAXOS_ACCEPTED   epoch = ballot; [pos.index, last] the slots; commit
 *     PAXOS_NACK       epoch = ballot refused; [pos.index, last] the slots; hint.epoch = promised;
 *                      ctx echoed
 *     PAXOS_CHOSEN     entries: chosen ones; commit. The other form is in learner.h
 */
#ifndef SYNOD_CONSENSUS_ACCEPTOR_H
#define SYNOD_CONSENSUS_ACCEPTOR_H

#include "consensus/engine.h"

struct acceptor {
    uint64_t promised_all; /* ballot promised for every slot; durable as hard_state.epoch */
    uint64_t recovered;    /* what promised_all was when this life began */
    bool all_slots;        /* multipaxos: accepting raises promised_all too */
};

enum acceptor_result {
    ACCEPTOR_YES = 0,
    ACCEPTOR_HIGHER, /* a higher ballot is promised: nack */
    ACCEPTOR_CHOSEN, /* the slot's value is chosen: say so */
    ACCEPTOR_FULL,   /* beyond the log's window: no answer; the asker tries again later */
};

/* The ballot below which nothing may be accepted in this slot. */
uint64_t acceptor_promised(const struct acceptor *a, const struct log *l, uint64_t index);

/* Phase 1b for all slots at once; raises promised_all and writes it. */
MUST_USE enum acceptor_result acceptor_promise_all(struct acceptor *a, struct engine *e,
                                                   uint64_t ballot);

/* Phase 1b for one slot. */
MUST_USE enum acceptor_result acceptor_promise_slot(struct acceptor *a, struct engine *e,
                                                    struct slot_promise promise);

/* Phase 2b: entry.epoch is the ballot. Accepting what is accepted already is YES and writes
 * nothing. */
MUST_USE enum acceptor_result acceptor_accept(struct acceptor *a, struct engine *e,
                                              const struct entry *entry);

/* Refuses a PREPARE for all slots: the answer tells promised_all. */
void acceptor_nack_all(const struct acceptor *a, struct engine *e, const struct message *m);

/* PREPARE for all slots from pos.index on: answers with one page of a promise, or a nack. */
void acceptor_on_prepare_all(struct acceptor *a, struct engine *e, const struct message *m);

/* PREPARE for each slot of [pos.index, last]: answers promises, nacks and chosen ones. */
void acceptor_on_prepare_slots(struct acceptor *a, struct engine *e, const struct message *m);

/* ACCEPT of m's entries under m's ballot: answers accepted, nacks and chosen ones. */
void acceptor_on_accept(struct acceptor *a, struct engine *e, const struct message *m);

#endif
