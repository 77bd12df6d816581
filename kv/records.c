/*
 * records.c - rows in memory, by revision.
 *
 * Entries live in a pool and are found by an open-addressed table of pool indices, so that adding a
 * row allocates nothing once the pool has grown. Clean entries are chained by last use.
 */

#include "kv/records.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kv/mvcc_rows.h"

#define NIL UINT32_MAX

enum {
    RECORD_OVERHEAD = 80, /* blob header, malloc, pool entry and table slots, about */
    SLOTS_MIN = 64,
};

struct record {
    int64_t main;
    uint32_t sub;
    bool clean;
    uint32_t prev; /* towards newer; clean only */
    uint32_t next; /* towards older; or the next free one */
    struct blob *row;
};

struct record_slot {
    uint32_t index; /* into the pool; NIL: empty */
    uint32_t tag;   /* of the hash, saves reading the pool on a collision */
};

void records_init(struct records *r, size_t clean_bytes_max)
{
    memset(r, 0, sizeof *r);
    r->pool_free = NIL;
    r->newest = NIL;
    r->oldest = NIL;
    r->clean_bytes_max = clean_bytes_max;
}

void records_release(struct records *r)
{
    for (uint32_t i = 0; i < r->slots_count; i++) {
        if (r->slots[i].index != NIL) {
            blob_unref(r->pool[r->slots[i].index].row);
        }
    }
    free(r->pool);
    free(r->slots);
    free(r->pending.rows);
    records_init(r, r->clean_bytes_max);
}

static uint64_t revision_hash(struct revision revision)
{
    uint64_t h = (uint64_t) revision.main * UINT64_C(0x9e3779b97f4a7c15);
    h ^= (uint64_t) revision.sub * UINT64_C(0xbf58476d1ce4e5b9);
    return h ^ (h >> 29);
}

/* The slot of the revision, or the empty one where it belongs. */
static uint32_t slot_find(const struct records *r, struct revision revision)
{
    uint64_t hash = revision_hash(revision);
    uint32_t tag = (uint32_t) (hash >> 32);
    uint32_t mask = r->slots_count - 1;
    uint32_t at = (uint32_t) hash & mask;
    while (r->slots[at].index != NIL) {
        const struct record *e = &r->pool[r->slots[at].index];
        if (r->slots[at].tag == tag && e->main == revision.main &&
            (int64_t) e->sub == revision.sub) {
            break;
        }
        at = (at + 1) & mask;
    }
    return at;
}

static struct revision record_revision(const struct record *e)
{
    struct revision revision = {e->main, (int64_t) e->sub};
    return revision;
}

/* Twice as many slots, or the first ones. */
static void slots_grow(struct records *r)
{
    struct record_slot *old = r->slots;
    uint32_t old_count = r->slots_count;
    ASSERT(old_count < UINT32_MAX / 2);
    r->slots_count = old_count == 0 ? SLOTS_MIN : old_count * 2;
    r->slots = xmalloc(r->slots_count * sizeof r->slots[0]);
    for (uint32_t i = 0; i < r->slots_count; i++) {
        r->slots[i].index = NIL;
    }
    for (uint32_t i = 0; i < old_count; i++) {
        if (old[i].index != NIL) {
            uint32_t at = slot_find(r, record_revision(&r->pool[old[i].index]));
            r->slots[at] = old[i];
        }
    }
    free(old);
}

static uint32_t pool_take(struct records *r)
{
    uint32_t index = r->pool_free;
    if (index != NIL) {
        r->pool_free = r->pool[index].next;
        return index;
    }
    if (r->pool_count == r->pool_capacity) {
        r->pool_capacity = r->pool_capacity == 0 ? SLOTS_MIN : r->pool_capacity * 2;
        r->pool = xrealloc(r->pool, r->pool_capacity * sizeof r->pool[0]);
    }
    return r->pool_count++;
}

/* Adds an entry at an empty slot found before. */
static struct record *record_add(struct records *r, struct revision revision, struct blob *row)
{
    if ((uint64_t) (r->count + 1) * 4 > (uint64_t) r->slots_count * 3) {
        slots_grow(r);
    }
    uint32_t at = slot_find(r, revision);
    ASSERT(r->slots[at].index == NIL);
    uint32_t index = pool_take(r);
    r->slots[at].index = index;
    r->slots[at].tag = (uint32_t) (revision_hash(revision) >> 32);
    r->count++;
    struct record *e = &r->pool[index];
    e->main = revision.main;
    e->sub = (uint32_t) revision.sub;
    e->clean = false;
    e->prev = NIL;
    e->next = NIL;
    e->row = row;
    return e;
}

/* Empties a slot and moves back what was probed past it. */
static void slot_remove(struct records *r, uint32_t hole)
{
    uint32_t mask = r->slots_count - 1;
    for (uint32_t i = (hole + 1) & mask; r->slots[i].index != NIL; i = (i + 1) & mask) {
        const struct record *e = &r->pool[r->slots[i].index];
        uint32_t home = (uint32_t) revision_hash(record_revision(e)) & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            r->slots[hole] = r->slots[i];
            hole = i;
        }
    }
    r->slots[hole].index = NIL;
}

static size_t row_cost(const struct blob *row)
{
    return row->size + RECORD_OVERHEAD;
}

static void clean_unlink(struct records *r, struct record *e)
{
    if (e->prev != NIL) {
        r->pool[e->prev].next = e->next;
    } else {
        r->newest = e->next;
    }
    if (e->next != NIL) {
        r->pool[e->next].prev = e->prev;
    } else {
        r->oldest = e->prev;
    }
}

static void clean_link(struct records *r, uint32_t index)
{
    struct record *e = &r->pool[index];
    e->prev = NIL;
    e->next = r->newest;
    if (r->newest != NIL) {
        r->pool[r->newest].prev = index;
    } else {
        r->oldest = index;
    }
    r->newest = index;
}

static void clean_remove(struct records *r, uint32_t at)
{
    uint32_t index = r->slots[at].index;
    struct record *e = &r->pool[index];
    clean_unlink(r, e);
    slot_remove(r, at);
    r->clean_bytes -= row_cost(e->row);
    blob_unref(e->row);
    e->row = NULL;
    e->next = r->pool_free;
    r->pool_free = index;
    r->count--;
}

static void evict(struct records *r)
{
    while (r->clean_bytes > r->clean_bytes_max) {
        ASSERT(r->oldest != NIL);
        clean_remove(r, slot_find(r, record_revision(&r->pool[r->oldest])));
    }
}

static void make_clean(struct records *r, uint32_t index)
{
    struct record *e = &r->pool[index];
    ASSERT(!e->clean);
    e->clean = true;
    clean_link(r, index);
    r->clean_bytes += row_cost(e->row);
}

void records_add_take(struct records *r, struct revision revision, struct blob *row)
{
    struct records_batch *b = &r->pending;
    const struct record *e = record_add(r, revision, row);
    ASSERT(b->count == 0 || revision_compare(b->rows[b->count - 1].revision, revision) < 0);
    if (b->count == b->capacity) {
        b->capacity = b->capacity == 0 ? SLOTS_MIN : b->capacity * 2;
        b->rows = xrealloc(b->rows, b->capacity * sizeof b->rows[0]);
    }
    b->rows[b->count].revision = revision;
    b->rows[b->count].row = row;
    b->rows[b->count].index = (uint32_t) (e - r->pool);
    b->count++;
    b->bytes += ROW_RECORD_KEY_SIZE + row->size;
}

void records_cache(struct records *r, struct revision revision, struct blob *row)
{
    if (r->slots_count > 0 && r->slots[slot_find(r, revision)].index != NIL) {
        return;
    }
    if (row_cost(row) > r->clean_bytes_max) {
        return;
    }
    struct record *e = record_add(r, revision, blob_ref(row));
    make_clean(r, (uint32_t) (e - r->pool));
    evict(r);
}

struct blob *records_get(struct records *r, struct revision revision)
{
    if (r->count == 0) {
        return NULL;
    }
    uint32_t index = r->slots[slot_find(r, revision)].index;
    if (index == NIL) {
        return NULL;
    }
    struct record *e = &r->pool[index];
    if (e->clean && r->newest != index) {
        clean_unlink(r, e);
        clean_link(r, index);
    }
    return e->row;
}

void records_drop(struct records *r, struct revision revision)
{
    if (r->count == 0) {
        return;
    }
    uint32_t at = slot_find(r, revision);
    if (r->slots[at].index != NIL && r->pool[r->slots[at].index].clean) {
        clean_remove(r, at);
    }
}

void records_flush_begin(struct records *r, struct records_batch *ret_batch)
{
    ASSERT(r->flushing_bytes == 0);
    *ret_batch = r->pending;
    r->flushing_bytes = r->pending.bytes;
    memset(&r->pending, 0, sizeof r->pending);
}

void records_flush_done(struct records *r, struct records_batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        ASSERT(r->pool[batch->rows[i].index].row == batch->rows[i].row);
        make_clean(r, batch->rows[i].index);
    }
    evict(r);
    r->flushing_bytes = 0;
    free(batch->rows);
    memset(batch, 0, sizeof *batch);
}

size_t records_unwritten(const struct records *r)
{
    return r->pending.bytes + r->flushing_bytes;
}
