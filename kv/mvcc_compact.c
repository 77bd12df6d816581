/*
 * mvcc_compact.c - the sweep behind a compaction. The compaction itself is one number; its garbage
 * is found a few keys at a time and deleted from the store with the flushes.
 */

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kv/mvcc_impl.h"

enum {
    GARBAGE_MAX = 1 << 16, /* a sweep rests while so many rows wait to be deleted */
};

static void sweep_begin(struct mvcc *m)
{
    m->sweeping = true;
    m->sweep_revision = m->compact;
    buf_clear(&m->sweep_cursor);
}

void mvcc_compact_begin(struct mvcc *m, int64_t revision)
{
    ASSERT(revision > m->compact);
    ASSERT(revision <= m->revision);
    m->compact = revision;
    if (!m->sweeping) {
        sweep_begin(m);
    }
}

static void garbage_reserve(struct mvcc *m)
{
    if (m->garbage_head + m->garbage_count < m->garbage_capacity) {
        return;
    }
    if (m->garbage_head > m->garbage_count) {
        memmove(m->garbage, m->garbage + m->garbage_head, m->garbage_count * sizeof m->garbage[0]);
        m->garbage_head = 0;
        return;
    }
    m->garbage_capacity = m->garbage_capacity == 0 ? 64 : m->garbage_capacity * 2;
    m->garbage = xrealloc(m->garbage, m->garbage_capacity * sizeof m->garbage[0]);
}

static void on_swept(void *ctx, struct revision revision)
{
    struct mvcc *m = ctx;
    garbage_reserve(m);
    struct swept_row *row = &m->garbage[m->garbage_head + m->garbage_count++];
    row->revision = revision;
    row->ticket = m->ticket;
    records_drop(&m->records, revision);
    /* The size of a row that is on disk only is not known: the average goes. */
    ASSERT(m->rows_count > 0);
    m->rows_bytes -= m->rows_bytes / m->rows_count;
    m->rows_count--;
}

bool mvcc_work(struct mvcc *m, uint32_t keys)
{
    if (!m->sweeping || m->garbage_count >= GARBAGE_MAX) {
        return false; /* at the maximum the next flush makes room, and its end is an event */
    }
    if (index_sweep(m->index, &m->sweep_cursor, m->compact, keys, on_swept, m)) {
        return true;
    }
    m->swept = m->sweep_revision;
    m->garbage_swept = m->garbage_taken + m->garbage_count;
    m->sweeping = false;
    if (m->compact > m->swept) {
        sweep_begin(m);
    }
    return m->sweeping;
}

bool mvcc_compact_finished(const struct mvcc *m, int64_t revision)
{
    return m->swept_durable >= revision;
}

uint32_t mvcc_garbage_ready(const struct mvcc *m)
{
    const struct list_node *first = list_first(&m->waiting);
    if (first == NULL) {
        return m->garbage_count;
    }
    uint64_t ticket = list_entry(first, const struct result, waiting)->ticket;
    uint32_t low = 0;
    uint32_t high = m->garbage_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (m->garbage[m->garbage_head + middle].ticket <= ticket) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}
