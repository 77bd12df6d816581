/*
 * log.c - the window of slots, as a ring.
 *
 * slots[index & mask] holds the slot of each index in [mem_first, end). `end` is one past the
 * highest slot in use: past `last` when a promise was made above it. `before` is the position just
 * below the window; its epoch is kept so that log matching and the last position work when all else
 * is evicted (epoch 0: known to the store only, which is possible after a recovery alone).
 *
 * Invariants: trimmed.index <= before.index = mem_first - 1; applied <= commit; stable <= last;
 * slots leave memory only from below, and only when stable and applied.
 */

#include "consensus/log.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"

enum {
    RING_MIN = 64,
};

struct log {
    struct slot *slots;
    uint64_t mask; /* ring size - 1; the size is a power of two */
    uint64_t slots_max;
    size_t memory_max;
    size_t memory;
    struct log_pos trimmed;
    struct log_pos before;
    uint64_t end;
    uint64_t last;
    uint64_t commit;
    uint64_t applied;
    uint64_t stable;
};

struct log *log_new(size_t memory_max, uint64_t slots_max, struct log_pos trimmed)
{
    ASSERT(slots_max > 0);
    ASSERT(memory_max > 0);
    struct log *l = xcalloc(1, sizeof *l);
    l->slots = xcalloc(RING_MIN, sizeof *l->slots);
    l->mask = RING_MIN - 1;
    l->slots_max = slots_max;
    l->memory_max = memory_max;
    l->trimmed = trimmed;
    l->before = trimmed;
    l->end = trimmed.index + 1;
    l->last = trimmed.index;
    l->commit = trimmed.index;
    l->applied = trimmed.index;
    l->stable = trimmed.index;
    return l;
}

static struct slot *ring_at(const struct log *l, uint64_t index)
{
    return &l->slots[index & l->mask];
}

static bool in_window(const struct log *l, uint64_t index)
{
    return index > l->before.index && index < l->end;
}

static void slot_clear(struct log *l, struct slot *s)
{
    if (s->value != NULL) {
        ASSERT(l->memory >= s->value->bytes.size);
        l->memory -= s->value->bytes.size;
        value_unref(s->value);
    }
    *s = (struct slot){0};
}

/* Puts a value into the slot, dropping what was there. */
static void slot_set(struct log *l, struct slot *s, const struct entry *entry)
{
    struct value *value = value_ref(entry->value);
    l->memory += value->bytes.size;
    if (s->value != NULL) {
        l->memory -= s->value->bytes.size;
        value_unref(s->value);
    }
    s->value = value;
    s->epoch = entry->epoch;
    s->stable = false;
}

void log_free(struct log *l)
{
    if (l == NULL) {
        return;
    }
    for (uint64_t i = l->before.index + 1; i < l->end; i++) {
        slot_clear(l, ring_at(l, i));
    }
    free(l->slots);
    free(l);
}

struct log_pos log_trimmed(const struct log *l)
{
    return l->trimmed;
}

uint64_t log_first(const struct log *l)
{
    return l->trimmed.index + 1;
}

uint64_t log_mem_first(const struct log *l)
{
    return l->before.index + 1;
}

uint64_t log_last(const struct log *l)
{
    return l->last;
}

uint64_t log_commit(const struct log *l)
{
    return l->commit;
}

uint64_t log_applied(const struct log *l)
{
    return l->applied;
}

uint64_t log_stable(const struct log *l)
{
    return l->stable;
}

uint64_t log_slots_max(const struct log *l)
{
    return l->slots_max;
}

size_t log_memory(const struct log *l)
{
    return l->memory;
}

const struct slot *log_slot(const struct log *l, uint64_t index)
{
    return in_window(l, index) ? ring_at(l, index) : NULL;
}

int log_entry(const struct log *l, uint64_t index, struct entry *ret_entry)
{
    if (index <= l->trimmed.index) {
        return ERR_COMPACTED;
    }
    if (index <= l->before.index) {
        return ERR_AGAIN;
    }
    if (index > l->last) {
        return ERR_NOT_FOUND;
    }
    const struct slot *s = ring_at(l, index);
    if (s->state == SLOT_EMPTY) {
        return ERR_NOT_FOUND;
    }
    *ret_entry = (struct entry){.index = index, .epoch = s->epoch, .value = s->value};
    return OK;
}

int log_epoch_at(const struct log *l, uint64_t index, uint64_t *ret_epoch)
{
    if (index == 0) {
        *ret_epoch = 0;
        return OK;
    }
    if (index == l->trimmed.index) {
        *ret_epoch = l->trimmed.epoch;
        return OK;
    }
    if (index == l->before.index && l->before.epoch != 0) {
        *ret_epoch = l->before.epoch;
        return OK;
    }
    struct entry entry;
    int err = log_entry(l, index, &entry);
    if (err == OK) {
        *ret_epoch = entry.epoch;
    }
    return err;
}

struct log_pos log_last_pos(const struct log *l)
{
    struct log_pos pos = {.index = l->last, .epoch = 0};
    int err = log_epoch_at(l, l->last, &pos.epoch);
    ASSERT(err == OK); /* log_restore and eviction see to it */
    return pos;
}

/* Can the lowest slot of the window leave memory? Only what is durable and applied is never needed
 * by an engine again, except to feed others, for whom the store has it. */
static bool can_evict(const struct log *l)
{
    uint64_t lowest = l->before.index + 1;
    return lowest <= l->applied && lowest <= l->stable;
}

static void evict_one(struct log *l)
{
    struct slot *s = ring_at(l, l->before.index + 1);
    ASSERT(s->state == SLOT_CHOSEN);
    l->before.index++;
    l->before.epoch = s->epoch;
    slot_clear(l, s);
}

void log_evict(struct log *l)
{
    while (l->memory > l->memory_max && can_evict(l)) {
        evict_one(l);
    }
}

/* The lowest index that must stay in memory. */
static uint64_t floor_index(const struct log *l)
{
    return u64_max(l->before.index, u64_min(l->applied, l->stable)) + 1;
}

bool log_has_room(const struct log *l, uint64_t index)
{
    return index - floor_index(l) < l->slots_max || index < floor_index(l);
}

static void ring_grow(struct log *l, uint64_t width)
{
    uint64_t size = l->mask + 1;
    while (size < width) {
        size *= 2;
    }
    struct slot *slots = xcalloc(size, sizeof *slots);
    for (uint64_t i = l->before.index + 1; i < l->end; i++) {
        slots[i & (size - 1)] = *ring_at(l, i);
    }
    free(l->slots);
    l->slots = slots;
    l->mask = size - 1;
}

/* The slot of an index above `before`, widening the window up to it. */
static struct slot *window_extend(struct log *l, uint64_t index)
{
    ASSERT(index > l->before.index);
    if (index >= l->end) {
        if (index - l->before.index > l->mask + 1) {
            ring_grow(l, index - l->before.index);
        }
        l->end = index + 1; /* slots outside the window are always clear */
    }
    return ring_at(l, index);
}

/* The same within the limit, dropping what can go; NULL when the window would be too wide. */
static struct slot *window_open(struct log *l, uint64_t index)
{
    if (index >= l->end) {
        if (!log_has_room(l, index)) {
            return NULL;
        }
        while (index - l->before.index > l->slots_max) {
            ASSERT(can_evict(l)); /* has_room counted on it */
            evict_one(l);
        }
    }
    return window_extend(l, index);
}

static void stable_advance(struct log *l)
{
    while (l->stable < l->last && ring_at(l, l->stable + 1)->stable) {
        l->stable++;
    }
}

static bool value_same(const struct value *a, const struct value *b)
{
    return a == b || (a->kind == b->kind && a->crc == b->crc && a->count == b->count &&
                      bytes_equal(a->bytes, b->bytes));
}

int log_append(struct log *l, const struct entry *entry)
{
    ASSERT(entry->index == l->last + 1);
    ASSERT(entry->epoch > 0);
    struct slot *s = window_open(l, entry->index);
    if (s == NULL) {
        return ERR_LIMIT;
    }
    ASSERT(s->state == SLOT_EMPTY);
    slot_set(l, s, entry);
    s->state = SLOT_ACCEPTED;
    l->last = entry->index;
    return OK;
}

void log_truncate(struct log *l, uint64_t from)
{
    ASSERT(from > l->commit); /* Raft 5.3: committed entries are never removed */
    while (l->end > from) {
        l->end--;
        slot_clear(l, ring_at(l, l->end));
    }
    l->last = u64_min(l->last, from - 1);
    l->stable = u64_min(l->stable, l->last);
}

int log_accept(struct log *l, const struct entry *entry)
{
    ASSERT(entry->epoch > 0);
    if (entry->index <= l->before.index) {
        return ERR_COMPACTED;
    }
    struct slot *s = window_open(l, entry->index);
    if (s == NULL) {
        return ERR_LIMIT;
    }
    if (s->state == SLOT_CHOSEN) {
        ASSERT(value_same(s->value, entry->value)); /* P1: one value for ever */
        return OK;
    }
    ASSERT(s->state == SLOT_EMPTY || s->epoch <= entry->epoch);
    slot_set(l, s, entry);
    s->state = SLOT_ACCEPTED;
    l->last = u64_max(l->last, entry->index);
    l->stable = u64_min(l->stable, entry->index - 1);
    return OK;
}

int log_promise(struct log *l, struct slot_promise promise)
{
    if (promise.index <= l->before.index) {
        return ERR_COMPACTED;
    }
    struct slot *s = window_open(l, promise.index);
    if (s == NULL) {
        return ERR_LIMIT;
    }
    s->promised = u64_max(s->promised, promise.ballot);
    return OK;
}

static void commit_advance(struct log *l)
{
    while (l->commit < l->last && ring_at(l, l->commit + 1)->state == SLOT_CHOSEN) {
        l->commit++;
    }
}

int log_choose(struct log *l, const struct entry *entry)
{
    ASSERT(entry->epoch > 0);
    if (entry->index <= l->before.index) {
        return OK; /* chosen and gone from memory */
    }
    struct slot *s = window_open(l, entry->index);
    if (s == NULL) {
        return ERR_LIMIT;
    }
    if (s->state != SLOT_EMPTY && value_same(s->value, entry->value)) {
        if (entry->epoch > s->epoch) {
            /* The value may be durable already, but under a ballot that proves nothing. */
            s->epoch = entry->epoch;
            s->stable = false;
            l->stable = u64_min(l->stable, entry->index - 1);
        }
    } else {
        ASSERT(s->state != SLOT_CHOSEN); /* P1: one value for ever */
        slot_set(l, s, entry);
        l->stable = u64_min(l->stable, entry->index - 1);
    }
    s->state = SLOT_CHOSEN;
    l->last = u64_max(l->last, entry->index);
    commit_advance(l);
    return OK;
}

void log_commit_to(struct log *l, uint64_t index)
{
    ASSERT(index <= l->last);
    while (l->commit < index) {
        l->commit++;
        if (l->commit > l->before.index) {
            ASSERT(ring_at(l, l->commit)->state != SLOT_EMPTY);
            ring_at(l, l->commit)->state = SLOT_CHOSEN;
        }
    }
}

void log_mark_stable(struct log *l, const struct log_write *write, uint64_t below)
{
    for (uint32_t i = 0; i < write->entries_count; i++) {
        const struct entry *entry = &write->entries[i];
        if (entry->index >= below || !in_window(l, entry->index)) {
            continue;
        }
        struct slot *s = ring_at(l, entry->index);
        /* The epoch too, chosen or not: a write between this one and that of the slot's epoch may
         * put another value, accepted in vain, over this one. */
        if (s->state != SLOT_EMPTY && s->epoch == entry->epoch &&
            value_same(s->value, entry->value)) {
            s->stable = true;
        }
    }
    stable_advance(l);
}

void log_apply_to(struct log *l, uint64_t index)
{
    ASSERT(index <= l->commit);
    l->applied = u64_max(l->applied, index);
}

void log_trim(struct log *l, struct log_pos pos)
{
    ASSERT(pos.index <= l->applied);
    ASSERT(pos.index <= l->stable);
    if (pos.index <= l->trimmed.index) {
        return;
    }
    while (l->before.index < pos.index && l->before.index + 1 < l->end) {
        evict_one(l);
    }
    if (l->before.index <= pos.index) {
        ASSERT(l->before.epoch == 0 || l->before.epoch == pos.epoch);
        l->before = pos;
    }
    l->trimmed = pos;
}

static int restore_check(const struct log *l, const struct entry *entries, uint32_t count,
                         uint64_t chosen_to)
{
    if (count == 0) {
        return chosen_to <= l->trimmed.index ? OK : ERR_INVALID;
    }
    uint64_t first = entries[0].index;
    if (first <= l->trimmed.index || (first > chosen_to && chosen_to > l->trimmed.index)) {
        return ERR_INVALID;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (entries[i].epoch == 0 || (i > 0 && entries[i].index <= entries[i - 1].index)) {
            return ERR_INVALID;
        }
    }
    return chosen_to <= entries[count - 1].index ? OK : ERR_INVALID;
}

int log_restore(struct log *l, const struct entry *entries, uint32_t count,
                const struct slot_promise *promises, uint32_t promises_count, uint64_t chosen_to)
{
    ASSERT(l->last == l->trimmed.index);
    int err = restore_check(l, entries, count, chosen_to);
    if (err != OK) {
        return err;
    }
    if (count > 0 && chosen_to > l->trimmed.index && entries[0].index > l->trimmed.index + 1) {
        l->before = (struct log_pos){.index = entries[0].index - 1, .epoch = 0};
        l->end = entries[0].index;
        l->last = l->before.index;
        l->commit = l->before.index;
        l->stable = l->before.index;
    }
    /* No limit here: what was appended within it, before applied moved, must be found again. */
    for (uint32_t i = 0; i < count; i++) {
        struct slot *s = window_extend(l, entries[i].index);
        slot_set(l, s, &entries[i]);
        s->state = entries[i].index <= chosen_to ? SLOT_CHOSEN : SLOT_ACCEPTED;
        s->stable = true;
        l->last = entries[i].index;
    }
    for (uint32_t i = 0; i < promises_count; i++) {
        if (promises[i].index > l->before.index) { /* below: chosen, a promise means nothing */
            window_extend(l, promises[i].index)->promised = promises[i].ballot;
        }
    }
    commit_advance(l);
    stable_advance(l);
    return l->commit >= chosen_to ? OK : ERR_INVALID;
}
