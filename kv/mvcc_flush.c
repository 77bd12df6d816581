/*
 * mvcc_flush.c - what was applied, as one atomic batch for the state database.
 *
 * A flush owns copies of the meta and session rows and borrows the record rows, which neither
 * change nor go before it is done: filling the batch needs no lock.
 */

#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kv/mvcc_impl.h"
#include "kv/store.h"

enum {
    FLUSH_DELETES_MAX = 16384, /* garbage rows in one flush */
    DELETE_BYTES = ROW_RECORD_KEY_SIZE,
    SESSION_BYTES = 128, /* about */
};

struct mvcc_flush {
    uint64_t index;
    int64_t swept; /* when it is done */
    uint8_t meta[ROW_META_SIZE];
    struct records_batch records;
    struct session_rows sessions;
    struct revision *deletes;
    uint32_t deletes_count;
};

static uint32_t deletes_ready(const struct mvcc *m)
{
    uint32_t ready = mvcc_garbage_ready(m);
    return ready < FLUSH_DELETES_MAX ? ready : FLUSH_DELETES_MAX;
}

/* The revision that is swept once `deletes` more rows are deleted. */
static int64_t swept_after(const struct mvcc *m, uint32_t deletes)
{
    return m->garbage_taken + deletes >= m->garbage_swept ? m->swept : m->swept_flushed;
}

static bool flush_is_due(const struct mvcc *m)
{
    uint32_t deletes = deletes_ready(m);
    return m->applied > m->flushed || deletes > 0 || swept_after(m, deletes) > m->swept_flushed;
}

uint32_t mvcc_pending_operations(const struct mvcc *m)
{
    if (!flush_is_due(m)) {
        return 0;
    }
    return 1 + m->records.pending.count + session_dirty(m->sessions) + deletes_ready(m);
}

size_t mvcc_pending_bytes(const struct mvcc *m)
{
    if (!flush_is_due(m)) {
        return 0;
    }
    return ROW_META_KEY_SIZE + ROW_META_SIZE + m->records.pending.bytes +
           (size_t) session_dirty(m->sessions) * SESSION_BYTES +
           (size_t) deletes_ready(m) * DELETE_BYTES;
}

static void take_garbage(struct mvcc *m, struct mvcc_flush *f)
{
    uint32_t count = deletes_ready(m);
    f->deletes = xmalloc(count * sizeof f->deletes[0]);
    f->deletes_count = count;
    for (uint32_t i = 0; i < count; i++) {
        f->deletes[i] = m->garbage[m->garbage_head + i].revision;
    }
    m->garbage_head += count;
    m->garbage_count -= count;
    m->garbage_taken += count;
    if (m->garbage_count == 0) {
        m->garbage_head = 0;
    }
}

struct mvcc_flush *mvcc_flush_begin(struct mvcc *m)
{
    ASSERT(!m->entry_open);
    if (m->flush != NULL || !flush_is_due(m)) {
        return NULL;
    }
    struct mvcc_flush *f = xcalloc(1, sizeof *f);
    f->index = m->applied;
    records_flush_begin(&m->records, &f->records);
    session_flush(m->sessions, &f->sessions);
    take_garbage(m, f);
    ASSERT(m->stored + f->records.count >= f->deletes_count);
    m->stored += f->records.count;
    m->stored -= f->deletes_count;
    m->swept_flushed = swept_after(m, 0);
    f->swept = m->swept_flushed;
    struct row_meta meta = {
        .applied = m->applied,
        .revision = m->revision,
        .compact_revision = m->compact,
        .swept_revision = f->swept,
        .hash = m->hash,
        .session_clock = session_clock(m->sessions),
        .records = m->stored,
        .sessions = session_count(m->sessions),
    };
    row_meta_encode(&meta, f->meta);
    m->flushed = m->applied;
    m->flush = f;
    return f;
}

uint64_t mvcc_flush_index(const struct mvcc_flush *f)
{
    return f->index;
}

void mvcc_flush_fill(const struct mvcc_flush *f, struct store_batch *batch)
{
    static const uint8_t meta_key[] = {ROW_META};
    uint8_t key[ROW_RECORD_KEY_SIZE];
    uint8_t session_key[ROW_SESSION_KEY_SIZE];
    store_batch_put(batch, bytes_of(meta_key, sizeof meta_key), bytes_of(f->meta, sizeof f->meta));
    for (uint32_t i = 0; i < f->records.count; i++) {
        row_record_key(f->records.rows[i].revision, key);
        store_batch_put(batch, bytes_of(key, sizeof key), blob_bytes(f->records.rows[i].row));
    }
    /* Behind the puts: garbage may have been written by this very flush. */
    for (uint32_t i = 0; i < f->deletes_count; i++) {
        row_record_key(f->deletes[i], key);
        store_batch_delete(batch, bytes_of(key, sizeof key));
    }
    for (uint32_t i = 0; i < f->sessions.count; i++) {
        const struct session_row *row = &f->sessions.rows[i];
        struct bytes k = bytes_of(session_key, sizeof session_key);
        row_session_key(row->id, session_key);
        if (row->removed) {
            store_batch_delete(batch, k);
        } else {
            store_batch_put(batch, k, bytes_of(f->sessions.data.data + row->offset, row->size));
        }
    }
}

void mvcc_flush_done(struct mvcc *m, struct mvcc_flush *f)
{
    ASSERT(m->flush == f);
    ASSERT(f->index >= m->durable);
    records_flush_done(&m->records, &f->records);
    session_rows_release(&f->sessions);
    m->durable = f->index;
    m->swept_durable = f->swept;
    m->flush = NULL;
    free(f->deletes);
    free(f);
}
