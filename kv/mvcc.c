/*
 * mvcc.c - the state machine: its making, its figures, and the rows it waits for.
 */

#include "kv/mvcc.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kv/mvcc_impl.h"

STATIC_ASSERT((int) MVCC_ROW_KEY_SIZE == (int) ROW_RECORD_KEY_SIZE, "one format, two headers");

enum {
    DECODE_CHUNK = 16 * 1024,
    CURSOR_MAX = 1 << 30,
};

#define DECODE_MAX ((size_t) 1 << 30) /* requests in the log were let in by a lower limit */

struct mvcc *mvcc_new(const struct mvcc_options *options)
{
    struct mvcc *m = xcalloc(1, sizeof *m);
    m->options = *options;
    m->index = index_new();
    records_init(&m->records, options->cache_bytes_max);
    m->sessions = session_table_new(options->sessions_max);
    arena_init(&m->arena, DECODE_CHUNK, DECODE_MAX);
    buf_init(&m->path, CURSOR_MAX);
    buf_init(&m->sweep_cursor, CURSOR_MAX);
    list_init(&m->waiting);
    m->revision = 1; /* of an empty store, as etcd counts */
    m->compact = -1;
    m->swept = -1;
    m->swept_flushed = -1;
    m->swept_durable = -1;
    m->ticket = 1;
    return m;
}

void mvcc_free(struct mvcc *m)
{
    if (m == NULL) {
        return;
    }
    if (m->flush != NULL) {
        mvcc_flush_done(m, m->flush);
    }
    /* Results are their holders': those that still wait only leave the list. */
    while (list_pop_front(&m->waiting) != NULL) {
    }
    mvcc_provided_clear(m);
    index_free(m->index);
    records_release(&m->records);
    session_table_free(m->sessions);
    arena_release(&m->arena);
    buf_release(&m->path);
    buf_release(&m->sweep_cursor);
    free(m->garbage);
    free(m->wanted);
    free(m->provided);
    free(m);
}

uint64_t mvcc_applied(const struct mvcc *m)
{
    return m->applied;
}

uint64_t mvcc_durable(const struct mvcc *m)
{
    return m->durable;
}

int64_t mvcc_revision(const struct mvcc *m)
{
    return m->revision;
}

int64_t mvcc_compact_revision(const struct mvcc *m)
{
    return m->compact;
}

uint64_t mvcc_hash(const struct mvcc *m)
{
    return m->hash;
}

uint64_t mvcc_keys(const struct mvcc *m)
{
    return index_live(m->index);
}

size_t mvcc_unwritten(const struct mvcc *m)
{
    return records_unwritten(&m->records);
}

uint64_t mvcc_size_in_use(const struct mvcc *m)
{
    return m->rows_bytes;
}

void mvcc_row_key(struct revision revision, uint8_t ret_key[MVCC_ROW_KEY_SIZE])
{
    row_record_key(revision, ret_key);
}

/* ---- rows that a command or a read waits for ---- */

/* Where a revision is among the provided rows, or belongs. */
static uint32_t provided_position(const struct mvcc *m, struct revision revision)
{
    uint32_t low = 0;
    uint32_t high = m->provided_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (revision_compare(m->provided[middle].revision, revision) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool provided_at(const struct mvcc *m, uint32_t i, struct revision revision)
{
    return i < m->provided_count && revision_compare(m->provided[i].revision, revision) == 0;
}

static void want(struct mvcc *m, struct revision revision)
{
    if (m->wanted_count == m->wanted_capacity) {
        m->wanted_capacity = m->wanted_capacity == 0 ? 16 : m->wanted_capacity * 2;
        m->wanted = xrealloc(m->wanted, m->wanted_capacity * sizeof m->wanted[0]);
    }
    m->wanted[m->wanted_count++] = revision;
}

int mvcc_record(struct mvcc *m, struct revision revision, struct row_record *ret_record)
{
    struct blob *row = records_get(&m->records, revision);
    if (row == NULL) {
        uint32_t i = provided_position(m, revision);
        if (!provided_at(m, i, revision)) {
            want(m, revision);
            return ERR_AGAIN;
        }
        row = m->provided[i].row;
    }
    if (row == NULL) {
        return ERR_CORRUPT; /* live in the index, not in the store */
    }
    int err = row_record_parse(blob_bytes(row), ret_record);
    return err == OK && ret_record->tombstone ? ERR_CORRUPT : err;
}

static int compare_wanted(const void *a, const void *b)
{
    return revision_compare(*(const struct revision *) a, *(const struct revision *) b);
}

void mvcc_wanted_settle(struct mvcc *m)
{
    uint32_t kept = 0;
    if (m->wanted_count < 2) {
        return;
    }
    qsort(m->wanted, m->wanted_count, sizeof m->wanted[0], compare_wanted);
    for (uint32_t i = 1; i < m->wanted_count; i++) {
        if (revision_compare(m->wanted[kept], m->wanted[i]) != 0) {
            m->wanted[++kept] = m->wanted[i];
        }
    }
    m->wanted_count = kept + 1;
}

void mvcc_wanted_clear(struct mvcc *m)
{
    m->wanted_count = 0;
}

void mvcc_provided_clear(struct mvcc *m)
{
    for (uint32_t i = 0; i < m->provided_count; i++) {
        blob_unref(m->provided[i].row);
    }
    m->provided_count = 0;
}

uint32_t mvcc_wanted(const struct mvcc *m, const struct revision **ret_revisions)
{
    *ret_revisions = m->wanted;
    return m->wanted_count;
}

int mvcc_provide(struct mvcc *m, struct revision revision, struct blob *row)
{
    struct row_record record;
    if (row == NULL && revision.main > m->compact) {
        return ERR_CORRUPT;
    }
    if (row != NULL) {
        int err = row_record_check(revision, blob_bytes(row), &record);
        if (err != OK) {
            return err;
        }
        records_cache(&m->records, revision, row);
    }
    uint32_t i = provided_position(m, revision);
    if (provided_at(m, i, revision)) {
        return OK;
    }
    if (m->provided_count == m->provided_capacity) {
        m->provided_capacity = m->provided_capacity == 0 ? 16 : m->provided_capacity * 2;
        m->provided = xrealloc(m->provided, m->provided_capacity * sizeof m->provided[0]);
    }
    memmove(m->provided + i + 1, m->provided + i, (m->provided_count - i) * sizeof m->provided[0]);
    m->provided_count++;
    m->provided[i].revision = revision;
    m->provided[i].row = blob_ref(row);
    return OK;
}
