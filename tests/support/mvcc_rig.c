/*
 * mvcc_rig.c - a state machine with a disk and a log.
 */

#include "tests/support/mvcc_rig.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kv/store.h"
#include "proto/wire_kv.h"

void rig_init(struct mvcc_rig *rig, size_t cache_bytes_max)
{
    memset(rig, 0, sizeof *rig);
    rig->options.cache_bytes_max = cache_bytes_max;
    rig->options.txn_ops_max = 128;
    rig->options.sessions_max = 4;
    rig->m = mvcc_new(&rig->options);
    arena_init(&rig->arena, 65536, SIZE_MAX);
}

static void bytes_free(struct bytes b)
{
    free((void *) (uintptr_t) b.data);
}

static struct bytes bytes_dup(struct bytes b)
{
    return bytes_of(xmemdup(b.data, b.size), b.size);
}

void rig_release(struct mvcc_rig *rig)
{
    mvcc_free(rig->m);
    for (uint32_t i = 0; i < rig->rows_count; i++) {
        bytes_free(rig->rows[i].key);
        bytes_free(rig->rows[i].value);
    }
    for (uint32_t i = 0; i < rig->log_count; i++) {
        bytes_free(rig->log[i].payload);
    }
    free(rig->rows);
    free(rig->log);
    arena_release(&rig->arena);
}

/* ---- the disk ---- */

static uint32_t row_lower(const struct mvcc_rig *rig, struct bytes key)
{
    uint32_t low = 0;
    uint32_t high = rig->rows_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (bytes_compare(rig->rows[middle].key, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

uint32_t rig_find(const struct mvcc_rig *rig, struct bytes key)
{
    uint32_t i = row_lower(rig, key);
    return i < rig->rows_count && bytes_equal(rig->rows[i].key, key) ? i : rig->rows_count;
}

void rig_row_set(struct mvcc_rig *rig, struct bytes key, struct bytes value)
{
    struct bytes copy = bytes_dup(value);
    uint32_t i = row_lower(rig, key);
    if (i < rig->rows_count && bytes_equal(rig->rows[i].key, key)) {
        bytes_free(rig->rows[i].value);
        rig->rows[i].value = copy;
        return;
    }
    rig->rows = xrealloc(rig->rows, (rig->rows_count + 1) * sizeof rig->rows[0]);
    memmove(rig->rows + i + 1, rig->rows + i, (rig->rows_count - i) * sizeof rig->rows[0]);
    rig->rows_count++;
    rig->rows[i].key = bytes_dup(key);
    rig->rows[i].value = copy;
}

void rig_row_remove(struct mvcc_rig *rig, struct bytes key)
{
    uint32_t i = rig_find(rig, key);
    if (i == rig->rows_count) {
        return;
    }
    bytes_free(rig->rows[i].key);
    bytes_free(rig->rows[i].value);
    rig->rows_count--;
    memmove(rig->rows + i, rig->rows + i + 1, (rig->rows_count - i) * sizeof rig->rows[0]);
}

struct blob *rig_fetch(struct mvcc_rig *rig, struct revision revision)
{
    uint8_t key[MVCC_ROW_KEY_SIZE];
    mvcc_row_key(revision, key);
    uint32_t i = rig_find(rig, bytes_of(key, sizeof key));
    rig->fetched++;
    return i == rig->rows_count ? NULL : blob_copy(rig->rows[i].value);
}

void rig_write(struct mvcc_rig *rig, const struct mvcc_flush *f)
{
    struct store_batch *batch = store_batch_new();
    struct bytes key;
    struct bytes value;
    size_t cursor = 0;
    bool removed;
    mvcc_flush_fill(f, batch);
    while (store_batch_next(batch, &cursor, &key, &value, &removed)) {
        if (removed) {
            rig_row_remove(rig, key);
        } else {
            rig_row_set(rig, key, value);
        }
    }
    store_batch_free(batch);
}

bool rig_flush(struct mvcc_rig *rig)
{
    struct mvcc_flush *f = mvcc_flush_begin(rig->m);
    if (f == NULL) {
        return false;
    }
    ASSERT(mvcc_flush_index(f) == mvcc_applied(rig->m));
    rig_write(rig, f);
    mvcc_flush_done(rig->m, f);
    return true;
}

void rig_settle(struct mvcc_rig *rig)
{
    bool more = true;
    while (more) {
        more = mvcc_work(rig->m, 3);
        more = rig_flush(rig) || more;
    }
}

int rig_restore(struct mvcc_rig *rig, struct mvcc **ret_m)
{
    struct mvcc *m = mvcc_new(&rig->options);
    int err = OK;
    for (uint32_t i = 0; i < rig->rows_count && err == OK; i++) {
        err = mvcc_restore_row(m, rig->rows[i].key, rig->rows[i].value);
    }
    if (err == OK) {
        err = mvcc_restore_done(m);
    }
    if (err != OK) {
        mvcc_free(m);
        return err;
    }
    *ret_m = m;
    return OK;
}

/* ---- the log ---- */

uint32_t rig_provide(struct mvcc_rig *rig)
{
    const struct revision *wanted;
    uint32_t count = mvcc_wanted(rig->m, &wanted);
    struct revision *copy = xmemdup(wanted, count * sizeof copy[0]);
    for (uint32_t i = 0; i < count; i++) {
        ASSERT(i == 0 || revision_compare(copy[i - 1], copy[i]) < 0);
        struct blob *row = rig_fetch(rig, copy[i]);
        int err = mvcc_provide(rig->m, copy[i], row);
        ASSERT(err == OK);
        blob_unref(row);
    }
    free(copy);
    return count;
}

void rig_complete(struct mvcc_rig *rig, struct mvcc_result *res)
{
    uint32_t count = res->missing;
    if (count == 0) {
        return;
    }
    for (uint32_t i = count; i-- > 0;) {
        struct blob *row = rig_fetch(rig, mvcc_result_missing(res, i));
        mvcc_result_provide(res, i, row);
        blob_unref(row);
    }
    ASSERT(res->missing == 0);
    mvcc_result_complete(rig->m, res);
}

/* Applies the entry at `index`, with the waits that it asks for. */
static struct mvcc_result *play(struct mvcc_rig *rig, uint64_t index, const struct rig_entry *entry,
                                bool want_result)
{
    struct command c = {entry->tag, entry->session, entry->sequence, entry->payload};
    struct mvcc_result *res = NULL;
    int err = mvcc_apply(rig->m, index, &c, want_result, &res);
    while (err == ERR_AGAIN) {
        uint64_t hash = mvcc_hash(rig->m);
        uint32_t count = rig_provide(rig);
        ASSERT(count > 0);
        ASSERT(mvcc_hash(rig->m) == hash);
        rig->again++;
        err = mvcc_apply(rig->m, index, &c, want_result, &res);
    }
    ASSERT(err == OK);
    ASSERT((res != NULL) == want_result);
    mvcc_apply_done(rig->m, index);
    return res;
}

static void log_append(struct mvcc_rig *rig, const struct rig_entry *entry)
{
    rig->log = xrealloc(rig->log, (rig->log_count + 1) * sizeof rig->log[0]);
    rig->log[rig->log_count] = *entry;
    rig->log[rig->log_count].payload = bytes_dup(entry->payload);
    rig->log_count++;
}

struct mvcc_result *rig_apply(struct mvcc_rig *rig, const struct rig_entry *entry)
{
    log_append(rig, entry);
    struct mvcc_result *res = play(rig, rig->log_count, entry, true);
    rig_complete(rig, res);
    return res;
}

void rig_apply_quiet(struct mvcc_rig *rig, const struct rig_entry *entry)
{
    log_append(rig, entry);
    ERR_IGNORE(play(rig, rig->log_count, entry, false) == NULL ? OK : ERR_INVALID);
}

void rig_restart(struct mvcc_rig *rig)
{
    struct mvcc *m = NULL;
    int err = rig_restore(rig, &m);
    ASSERT(err == OK);
    mvcc_free(rig->m);
    rig->m = m;
    for (uint64_t index = mvcc_applied(m) + 1; index <= rig->log_count; index++) {
        const struct rig_entry *entry = &rig->log[index - 1];
        ERR_IGNORE(play(rig, index, entry, false) == NULL ? OK : ERR_INVALID);
    }
}

/* ---- requests ---- */

static struct rig_entry entry_of(struct mvcc_rig *rig, uint8_t tag, struct buf *encoded, int err)
{
    ASSERT(err == OK);
    struct rig_entry e = {.tag = tag, .session = RIG_SESSION, .sequence = ++rig->sequence};
    e.payload = arena_copy(&rig->arena, buf_bytes(encoded));
    buf_release(encoded);
    return e;
}

struct rig_entry rig_put_entry(struct mvcc_rig *rig, const struct put_request *r)
{
    struct buf b;
    buf_init(&b, SIZE_MAX / 2);
    int err = wire_put_request_encode(r, &b);
    return entry_of(rig, TAG_PUT, &b, err);
}

struct rig_entry rig_delete_entry(struct mvcc_rig *rig, const struct delete_request *r)
{
    struct buf b;
    buf_init(&b, SIZE_MAX / 2);
    int err = wire_delete_request_encode(r, &b);
    return entry_of(rig, TAG_DELETE, &b, err);
}

struct rig_entry rig_txn_entry(struct mvcc_rig *rig, const struct txn_request *r)
{
    struct buf b;
    buf_init(&b, SIZE_MAX / 2);
    int err = wire_txn_request_encode(r, &b);
    return entry_of(rig, TAG_TXN, &b, err);
}

struct rig_entry rig_compact_entry(struct mvcc_rig *rig, int64_t revision)
{
    struct compact_request r = {.revision = revision};
    struct buf b;
    buf_init(&b, SIZE_MAX / 2);
    int err = wire_compact_request_encode(&r, &b);
    return entry_of(rig, TAG_COMPACT, &b, err);
}

struct mvcc_result *rig_range(struct mvcc_rig *rig, const struct range_request *r)
{
    struct mvcc_result *res = NULL;
    int err = mvcc_range(rig->m, r, &res);
    ASSERT(err == OK);
    rig_complete(rig, res);
    return res;
}

struct mvcc_result *rig_txn_read(struct mvcc_rig *rig, const struct txn_request *r)
{
    struct mvcc_result *res = NULL;
    int err = mvcc_txn_read(rig->m, r, &res);
    while (err == ERR_AGAIN) {
        uint32_t count = rig_provide(rig);
        ASSERT(count > 0);
        rig->again++;
        err = mvcc_txn_read(rig->m, r, &res);
    }
    ASSERT(err == OK);
    rig_complete(rig, res);
    return res;
}

static int64_t apply_ok(struct mvcc_rig *rig, struct rig_entry entry)
{
    struct mvcc_result *res = rig_apply(rig, &entry);
    int64_t revision = res->response.revision;
    ASSERT(res->err == OK);
    ASSERT(res->revision == revision);
    mvcc_result_free(res);
    arena_reset(&rig->arena);
    return revision;
}

int64_t rig_put(struct mvcc_rig *rig, const char *key, const char *value)
{
    struct put_request r = {.key = bytes_str(key), .value = bytes_str(value)};
    return apply_ok(rig, rig_put_entry(rig, &r));
}

int64_t rig_delete(struct mvcc_rig *rig, const char *key, const char *end)
{
    struct delete_request r = {.key = bytes_str(key), .range_end = bytes_str(end)};
    return apply_ok(rig, rig_delete_entry(rig, &r));
}

int rig_compact(struct mvcc_rig *rig, int64_t revision)
{
    struct rig_entry e = rig_compact_entry(rig, revision);
    struct mvcc_result *res = rig_apply(rig, &e);
    int err = res->err;
    mvcc_result_free(res);
    arena_reset(&rig->arena);
    return err;
}

/* ---- text ---- */

static void print(struct buf *out, const char *text)
{
    int err = buf_append(out, text, strlen(text));
    ASSERT(err == OK);
}

static void print_number(struct buf *out, const char *name, int64_t number)
{
    int err = buf_printf(out, " %s=%lld", name, (long long) number);
    ASSERT(err == OK);
}

static void print_bytes(struct buf *out, struct bytes b)
{
    for (size_t i = 0; i < b.size; i++) {
        int err = b.data[i] > ' ' && b.data[i] < 127 ? buf_printf(out, "%c", b.data[i])
                                                     : buf_printf(out, "\\%02x", b.data[i]);
        ASSERT(err == OK);
    }
}

static void print_kv(const struct api_kv *kv, struct buf *out)
{
    print(out, " [");
    print_bytes(out, kv->key);
    print(out, "=");
    print_bytes(out, kv->value);
    print_number(out, "c", kv->create_revision);
    print_number(out, "m", kv->mod_revision);
    print_number(out, "v", kv->version);
    print_number(out, "l", kv->lease);
    print(out, "]");
}

void rig_print(const struct api_response *r, struct buf *out)
{
    switch (r->kind) {
    case OP_RANGE:
        print(out, "range");
        print_number(out, "count", r->range.count);
        print_number(out, "more", r->range.more);
        for (uint32_t i = 0; i < r->range.kvs_count; i++) {
            print_kv(&r->range.kvs[i], out);
        }
        break;
    case OP_PUT:
        print(out, "put");
        if (r->put.prev != NULL) {
            print_kv(r->put.prev, out);
        }
        break;
    case OP_DELETE:
        print(out, "delete");
        print_number(out, "deleted", r->del.deleted);
        for (uint32_t i = 0; i < r->del.prevs_count; i++) {
            print_kv(&r->del.prevs[i], out);
        }
        break;
    case OP_TXN:
        print(out, r->txn.succeeded ? "txn then {\n" : "txn else {\n");
        for (uint32_t i = 0; i < r->txn.responses_count; i++) {
            rig_print(&r->txn.responses[i], out);
        }
        print(out, "}");
        break;
    default:
        print(out, "compact");
        break;
    }
    print_number(out, "rev", r->revision);
    print(out, "\n");
}
