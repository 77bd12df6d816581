/*
 * disk_files.c - the files of a database on the model disk, and what time and crashes do to them.
 *
 * Of a write-ahead file the offsets are real (LevelDB, doc/log_format.md: blocks of 32 KiB, a
 * header of 7 bytes for each fragment), the bytes are not: whole records are lists of rows.
 */

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/sim/disk_internal.h"

enum {
    BATCH_HEADER = 12,  /* sequence u64, count u32 */
    CURRENT_SIZE = 16,  /* "MANIFEST-000004\n" */
    MANIFEST_SIZE = 90, /* comparator, numbers */
    EDIT_SIZE = 60,     /* one table */
};

/* ---- records ---- */

static uint64_t varint_size(uint64_t v)
{
    uint64_t size = 1;
    while (v >= 128) {
        v >>= 7;
        size++;
    }
    return size;
}

struct sim_record *sim_record_new(const struct store_batch *batch)
{
    uint32_t count = store_batch_count(batch);
    struct sim_record *r = xmalloc(sizeof *r + count * sizeof(struct sim_row *));
    size_t cursor = 0;
    struct bytes key;
    struct bytes value;
    bool is_delete = false;
    r->refs = 1;
    r->count = 0;
    r->payload = BATCH_HEADER;
    r->end = 0;
    while (store_batch_next(batch, &cursor, &key, &value, &is_delete)) {
        ASSERT(r->count < count);
        r->rows[r->count] = sim_row_new(key, value, is_delete);
        r->count++;
        r->payload += 1 + varint_size(key.size) + key.size;
        r->payload += is_delete ? 0 : varint_size(value.size) + value.size;
    }
    return r;
}

void sim_record_unref(struct sim_record *r)
{
    ASSERT(r->refs > 0);
    r->refs--;
    if (r->refs > 0) {
        return;
    }
    for (uint32_t i = 0; i < r->count; i++) {
        sim_row_unref(r->rows[i]);
    }
    free(r);
}

/* ---- a write-ahead file ---- */

uint64_t sim_wal_end(uint64_t offset, uint64_t payload)
{
    do {
        uint64_t left = SIM_WAL_BLOCK - offset % SIM_WAL_BLOCK;
        if (left < SIM_WAL_HEADER) {
            offset += left; /* Padding. */
            left = SIM_WAL_BLOCK;
        }
        uint64_t piece = u64_min(left - SIM_WAL_HEADER, payload);
        offset += SIM_WAL_HEADER + piece;
        payload -= piece;
    } while (payload > 0);
    return offset;
}

uint64_t sim_wal_whole(const struct sim_wal *w)
{
    return w->count > 0 ? w->records[w->count - 1]->end : 0;
}

bool sim_wal_torn(const struct sim_wal *w)
{
    uint64_t whole = sim_wal_whole(w);
    uint64_t left = SIM_WAL_BLOCK - whole % SIM_WAL_BLOCK;
    bool padded = left < SIM_WAL_HEADER && w->size == whole + left;
    return w->size > whole && !padded;
}

static void wal_push(struct sim_wal *w, struct sim_record *record)
{
    if (w->count == w->capacity) {
        ASSERT(w->capacity <= UINT32_MAX / 2);
        w->capacity = w->capacity == 0 ? 16 : w->capacity * 2;
        w->records = xrealloc(w->records, w->capacity * sizeof w->records[0]);
    }
    w->records[w->count] = record;
    w->count++;
}

void sim_wal_append(struct sim_wal *w, struct sim_record *record)
{
    /* Whoever had written a part before could not go on: the store is finished. */
    ASSERT(!sim_wal_torn(w));
    record->end = sim_wal_end(w->size, record->payload);
    w->size = record->end;
    wal_push(w, record);
}

void sim_wal_append_part(struct sim_wal *w, uint64_t payload, uint64_t size)
{
    ASSERT(!sim_wal_torn(w));
    ASSERT(w->size + size < sim_wal_end(w->size, payload));
    w->size += size;
    w->torn_payload = payload;
}

uint32_t sim_wal_cut(struct sim_wal *w, uint64_t size)
{
    uint32_t gone = 0;
    ASSERT(size <= w->size);
    while (w->count > 0 && w->records[w->count - 1]->end > size) {
        struct sim_record *last = w->records[w->count - 1];
        w->torn_payload = last->payload;
        sim_record_unref(last);
        w->count--;
        gone++;
    }
    w->size = size;
    w->synced = u64_min(w->synced, size);
    w->held = u64_min(w->held, size);
    return gone;
}

uint64_t sim_wal_draw_cut(const struct sim_wal *w, struct rng *rng)
{
    ASSERT(w->synced <= w->size);
    if (w->synced == w->size) {
        return w->size;
    }
    uint64_t first = w->synced / SIM_SECTOR + 1;
    uint64_t borders = (w->size - 1) / SIM_SECTOR + 1 - first;
    uint64_t way = rng_below(rng, borders > 0 ? 4 : 2);
    if (way < 2) {
        return way == 0 ? w->synced : w->size;
    }
    return (first + rng_below(rng, borders)) * SIM_SECTOR;
}

static void wal_release(struct sim_wal *w)
{
    for (uint32_t i = 0; i < w->count; i++) {
        sim_record_unref(w->records[i]);
    }
    free(w->records);
    memset(w, 0, sizeof *w);
}

static void wal_copy(struct sim_wal *to, const struct sim_wal *from)
{
    *to = *from;
    to->records = NULL;
    to->capacity = 0;
    to->count = 0;
    for (uint32_t i = 0; i < from->count; i++) {
        from->records[i]->refs++;
        wal_push(to, from->records[i]);
    }
}

/* ---- the files of a database ---- */

struct sim_wal *sim_files_wal(struct sim_files *f)
{
    ASSERT(f->wals_count > 0);
    return &f->wals[f->wals_count - 1];
}

void sim_files_begin_wal(struct sim_files *f)
{
    ASSERT(f->wals_count < SIM_WALS_MAX);
    struct sim_wal *w = &f->wals[f->wals_count];
    f->wals_count++;
    memset(w, 0, sizeof *w);
    w->number = f->next_number;
    f->next_number++;
}

void sim_files_init(struct sim_files *f)
{
    memset(f, 0, sizeof *f);
    f->manifest_number = 2; /* As LevelDB counts. */
    f->next_number = 3;
    sim_files_begin_wal(f);
}

void sim_files_release(struct sim_files *f)
{
    for (uint32_t i = 0; i < f->wals_count; i++) {
        wal_release(&f->wals[i]);
    }
    for (uint32_t i = 0; i < f->damage_count; i++) {
        sim_damage_release(&f->damage[i]);
    }
    sim_tree_clear(&f->tables);
    memset(f, 0, sizeof *f);
}

void sim_files_copy(struct sim_files *to, const struct sim_files *from, bool synced)
{
    *to = *from;
    memset(&to->tables, 0, sizeof to->tables);
    sim_tree_copy(&to->tables, &from->tables);
    for (uint32_t i = 0; i < from->wals_count; i++) {
        struct sim_wal *w = &to->wals[i];
        wal_copy(w, &from->wals[i]);
        if (synced) {
            sim_wal_cut(w, w->synced);
        }
    }
    for (uint32_t i = 0; i < from->damage_count; i++) {
        sim_damage_copy(&to->damage[i], &from->damage[i]);
    }
}

/* A table was added. LevelDB merges tables when there are some, and then reads all of them: there
 * damage is met that no reader came by. */
static bool count_table(struct sim_files *f)
{
    bool met = false;
    f->tables_count++;
    f->next_number++;
    for (uint32_t i = 0; i < f->damage_count; i++) {
        struct sim_damage *m = &f->damage[i];
        m->tables_left -= m->tables_left > 0 ? 1 : 0;
        met = met || m->tables_left == 0;
    }
    return met;
}

bool sim_files_drop_wal(struct sim_files *f, const struct sim_tree *tables)
{
    ASSERT(f->wals_count == SIM_WALS_MAX);
    sim_tree_copy(&f->tables, tables);
    wal_release(&f->wals[0]);
    f->wals[0] = f->wals[1];
    memset(&f->wals[1], 0, sizeof f->wals[1]);
    f->wals_count--;
    return count_table(f);
}

bool sim_files_recover(struct sim_files *f)
{
    bool met = false;
    bool any = false;
    for (uint32_t i = 0; i < f->wals_count; i++) {
        struct sim_wal *w = &f->wals[i];
        for (uint32_t k = 0; k < w->count; k++) {
            for (uint32_t n = 0; n < w->records[k]->count; n++) {
                sim_tree_apply(&f->tables, w->records[k]->rows[n]);
            }
        }
        any = any || w->count > 0;
        wal_release(w);
    }
    f->wals_count = 0;
    if (any) {
        met = count_table(f);
    }
    for (uint32_t i = 0; i < f->damage_count; i++) {
        met = met || f->damage[i].tables_left == 0; /* It is tried again after each start. */
    }
    f->manifest_number = f->next_number;
    f->next_number++;
    sim_files_begin_wal(f);
    return met;
}

/*
 * Every write-ahead file is cut on its own. If a part of the older one goes and records of the
 * newer one stay, there is a hole. Cut at the end of a record it shows nowhere. Cut inside a
 * record: LevelDB, which takes the end of any file for the end of what was written, would drop the
 * torn record and go on with the newer file; kv/leveldb_check refuses that with ERR_CORRUPT
 * (sim_files_check), as the older file was complete before the newer one was begun.
 */
void sim_files_crash(struct sim_files *f, struct sim_disk *d)
{
    uint32_t older = 0;
    for (uint32_t i = 0; i < f->wals_count; i++) {
        struct sim_wal *w = &f->wals[i];
        bool was_torn = sim_wal_torn(w);
        uint32_t gone = sim_wal_cut(w, sim_wal_draw_cut(w, &d->rng));
        w->synced = w->size;
        w->held = w->size;
        d->counts.lost_records += gone;
        d->counts.torn_records += !was_torn && sim_wal_torn(w) ? 1 : 0;
        if (i > 0 && w->count > 0) {
            d->counts.lost_holes += older;
        }
        older += gone;
    }
}

uint64_t sim_files_size(const struct sim_files *f)
{
    uint64_t size = CURRENT_SIZE + MANIFEST_SIZE + (uint64_t) f->tables_count * EDIT_SIZE;
    size += f->tables.bytes;
    for (uint32_t i = 0; i < f->wals_count; i++) {
        size += f->wals[i].size;
    }
    return size;
}
