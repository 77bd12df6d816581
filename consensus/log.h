/*
 * log.h - the log that all engines share: a window of slots, each EMPTY, ACCEPTED or CHOSEN.
 *
 *     1 ........ trimmed | first ...... | mem_first ............ commit ........ last
 *                gone      in the store   in memory and in the store (or on the way there)
 *
 * Raft fills it without holes and cuts suffixes; the Paxos engines may accept out of order and
 * leave holes. `commit` is the contiguous chosen prefix. Recent entries stay in memory up to a
 * limit; older ones are read back by the pump (consensus.h, "loads"). No I/O here: writing is what
 * an engine puts into its log_write.
 */
#ifndef SYNOD_CONSENSUS_LOG_H
#define SYNOD_CONSENSUS_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "consensus/message.h"

enum slot_state {
    SLOT_EMPTY = 0,
    SLOT_ACCEPTED = 1, /* raft: appended; paxos: accepted by this node's acceptor */
    SLOT_CHOSEN = 2,
};

struct slot {
    uint8_t state;       /* enum slot_state */
    bool stable;         /* this content is durable here */
    uint64_t epoch;      /* of the accepted or chosen value */
    uint64_t promised;   /* basic paxos: ballot promised for this slot; 0 none */
    struct value *value; /* one reference; NULL when EMPTY */
};

struct log;

/* memory_max: bytes of values kept beyond what must stay; slots_max: widest window in slots (both
 * at least 1). The log starts empty after `trimmed` ({0,0} for a new one). */
struct log *log_new(size_t memory_max, uint64_t slots_max, struct log_pos trimmed);
void log_free(struct log *l);

/* Cursors. */
/* last position that is gone from the store; epoch known */
struct log_pos log_trimmed(const struct log *l);
uint64_t log_first(const struct log *l); /* trimmed.index + 1 */
/* lowest index held in memory; last + 1 when none */
uint64_t log_mem_first(const struct log *l);
/* highest non-empty slot; trimmed.index when none */
uint64_t log_last(const struct log *l);
uint64_t log_commit(const struct log *l); /* contiguous chosen prefix */
uint64_t log_applied(const struct log *l);
uint64_t log_stable(const struct log *l); /* contiguous prefix durable here, never above last */

/* The slot, or NULL when it is outside memory [mem_first, last] (an EMPTY hole inside is returned).
 * An EMPTY slot above last that carries a promise is returned too. */
const struct slot *log_slot(const struct log *l, uint64_t index);

/* The entry as a struct whose value is borrowed. Errors: ERR_COMPACTED below first, ERR_AGAIN when
 * in the store only, ERR_NOT_FOUND for an EMPTY slot or beyond last. */
MUST_USE int log_entry(const struct log *l, uint64_t index, struct entry *ret_entry);

/* Epoch at index; answers for trimmed.index and index 0 too. Errors as log_entry. */
MUST_USE int log_epoch_at(const struct log *l, uint64_t index, uint64_t *ret_epoch);

/* (index, epoch) of the last entry. Its epoch is always in memory. */
struct log_pos log_last_pos(const struct log *l);

/* Room for one more slot at this index? False: window full, wait until more is applied. */
bool log_has_room(const struct log *l, uint64_t index);

/* Raft: appends at last + 1 (asserted). Takes a reference to the value. Errors: ERR_LIMIT (window
 * full). */
MUST_USE int log_append(struct log *l, const struct entry *entry);

/* Raft: drops [from, last]. from > commit is asserted (Raft 5.3: committed entries are never
 * removed). */
void log_truncate(struct log *l, uint64_t from);

/* Paxos: puts an accepted value into its slot, replacing one of a lower or equal epoch; opens holes
 * as needed. A CHOSEN slot keeps its value (only asserts that the value is the same); returns OK
 * then. Errors: ERR_LIMIT, ERR_COMPACTED (below mem_first: already chosen and applied). */
MUST_USE int log_accept(struct log *l, const struct entry *entry);

/* Basic Paxos: raises the promise of one slot (lower ones are ignored). Errors: ERR_LIMIT,
 * ERR_COMPACTED. */
MUST_USE int log_promise(struct log *l, struct slot_promise promise);

/* Paxos: marks a slot chosen, with the value that was chosen (may differ from what was accepted
 * here), and moves commit over the contiguous prefix. The slot keeps the higher of its epoch and
 * the entry's, and when that is the entry's it is stable again with the write of it only: others
 * judge what they accepted by the epoch of a chosen entry, after a restart of this node too. A
 * second value for a chosen slot is asserted against (P1). Errors: ERR_LIMIT. */
MUST_USE int log_choose(struct log *l, const struct entry *entry);

/* Raft: all up to index are chosen. Never moves back; index <= last is asserted. */
void log_commit_to(struct log *l, uint64_t index);

/* This write became durable: marks each slot below `below` that still has what was written, epoch
 * and value. (The value alone would not do, not even of a chosen slot: accepted, replaced by
 * another one and then chosen after all, it is in the store only when the third write is.) `below`
 * is the lowest cut asked for by any later write (UINT64_MAX: none): what is cut and put again
 * later is not durable by this write. */
void log_mark_stable(struct log *l, const struct log_write *write, uint64_t below);

/* Applied by the state machine; index <= commit. Lets memory go. */
void log_apply_to(struct log *l, uint64_t index);

/* The store dropped [.., pos.index]. pos.index <= applied and <= stable is asserted. */
void log_trim(struct log *l, struct log_pos pos);

/* Drops values from memory that are stable, applied and beyond memory_max, oldest first. Called by
 * the facade after each change of applied or stable. */
void log_evict(struct log *l);

/* The limit it was made with. */
uint64_t log_slots_max(const struct log *l);

/* Bytes of values held in memory. */
size_t log_memory(const struct log *l);

/* Recovery, once, into a new log: puts what logstore found; all of it is stable. Entries ascending;
 * holes legal. chosen_to: all at or below are chosen: the larger of hard state's commit and what
 * the state machine has durably applied. The memory window begins at the first entry given
 * (mem_first); entries between log_first and it stay in the store. The first entry given must be at
 * or below chosen_to (or be log_first), so that the epoch before what may still change is known.
 * The log store must be durable at least as far as the state database: chosen_to <= last.
 * The window may come out wider than slots_max; then there is no room until enough is applied.
 * Errors: ERR_INVALID (not so; the log may only be freed). */
MUST_USE int log_restore(struct log *l, const struct entry *entries, uint32_t count,
                         const struct slot_promise *promises, uint32_t promises_count,
                         uint64_t chosen_to);

#endif
