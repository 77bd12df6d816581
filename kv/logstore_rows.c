/*
 * logstore_rows.c - a log store as rows of an ordered store.
 *
 * Every change is one synced batch, so the rows are always those of some prefix of the writes (D4).
 * Trimming moves the trimmed row first: from then on nobody looks at the rows at or below it, and
 * they are deleted in small steps, a few with each later write, which costs no sync of its own and
 * never holds up an append. How far that came is in the trimmed row, so that recovery neither walks
 * over the remains of deleted rows nor forgets some.
 *
 * A reader works on one iterator, a consistent view with the trimmed row of the same moment, and
 * touches nothing that the writer changes.
 */

#include "kv/logstore_rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/enc.h"
#include "base/mem.h"
#include "consensus/consensus.h"
#include "kv/logrow.h"
#include "kv/logstore_impl.h"
#include "kv/store_impl.h"

enum {
    WRITE_BUFFER_DEFAULT = 64 << 20,
    CACHE_SIZE = 8 << 20, /* hardly anything is read twice */
    ROW_SIZE_MAX = 4096,  /* of rows other than entries */
    SWEEP_TRIM = 1024,    /* indexes whose rows a trim deletes at once */
    SWEEP_WRITE = 16,     /* and a write: this many, and two per entry it adds, so that deleting
                             keeps ahead of adding */
};

/* Where the log is; what a write changes is committed to this when it is durable. */
struct cursors {
    struct logrow_trimmed trimmed;
    uint64_t last;         /* no entry is above; exact in a log without holes */
    uint64_t promise_last; /* no promise is above */
    uint64_t written;      /* see struct logstore_recovery */
};

struct logstore_rows {
    struct logstore base;
    struct store *store;
    char *path;
    struct identity identity;
    bool contiguous; /* holes are damage: Raft's log has none */
    uint64_t incarnation;
    struct cursors at;
    struct store_batch *batch;
};

/* A closed range of indexes. */
struct log_range {
    uint64_t first;
    uint64_t last;
};

static struct logstore_rows *rows_of(struct logstore *base)
{
    return container_of(base, struct logstore_rows, base);
}

/* Reports damage: to the caller's buffer, and for logstore_last_error. */
static int rows_corrupt(struct logstore_rows *s, struct buf *error, const char *row, uint64_t index,
                        const char *what)
{
    char number[32] = "";
    char line[STORE_ERROR_MAX];
    if (index > 0) {
        (void) snprintf(number, sizeof number, " %" PRIu64, index);
    }
    (void) snprintf(line, sizeof line,
                    "%s: %s%s %s: the log is damaged; remove this member and add it anew, or "
                    "restore the directory from a copy",
                    s->path, row, number, what);
    store_base_note(s->store, line);
    store_error_line(error, "%s", line);
    return ERR_CORRUPT;
}

/* Reports that the store below failed. */
static int rows_failed(struct logstore_rows *s, struct buf *error, int rc)
{
    const char *text = store_last_error(s->store);
    store_error_line(error, "%s: cannot read the log: %s", s->path,
                     text[0] != '\0' ? text : err_text(rc));
    return rc;
}

/* ---- rows that are there once ---- */

static void put_row(struct store_batch *batch, enum logrow_tag tag, uint64_t index,
                    const uint8_t *row, size_t size)
{
    struct logrow_key key = logrow_key(tag, index);
    store_batch_put(batch, logrow_key_bytes(&key), bytes_of(row, size));
}

static void delete_row(struct store_batch *batch, enum logrow_tag tag, uint64_t index)
{
    struct logrow_key key = logrow_key(tag, index);
    store_batch_delete(batch, logrow_key_bytes(&key));
}

static void put_trimmed(struct store_batch *batch, const struct logrow_trimmed *trimmed)
{
    uint8_t row[LOGROW_TRIMMED_SIZE];
    logrow_put_trimmed(row, trimmed);
    put_row(batch, LOGROW_TRIMMED, 0, row, sizeof row);
}

static void put_hard(struct store_batch *batch, const struct hard_state *hard)
{
    uint8_t row[LOGROW_HARD_SIZE];
    logrow_put_hard(row, hard);
    put_row(batch, LOGROW_HARD, 0, row, sizeof row);
}

static void put_incarnation(struct store_batch *batch, uint64_t incarnation)
{
    uint8_t row[LOGROW_INCARNATION_SIZE];
    logrow_put_incarnation(row, incarnation);
    put_row(batch, LOGROW_INCARNATION, 0, row, sizeof row);
}

static void put_written(struct store_batch *batch, uint64_t written)
{
    uint8_t row[LOGROW_WRITTEN_SIZE];
    logrow_put_written(row, written);
    put_row(batch, LOGROW_WRITTEN, 0, row, sizeof row);
}

/* The rows of a new log: all that are there once, so that a missing one is always damage. */
static void put_initial(struct store_batch *batch, const struct identity *identity)
{
    const struct logrow_trimmed trimmed = {.swept = 0};
    const struct hard_state hard = {.epoch = 0};
    uint8_t row[LOGROW_IDENTITY_SIZE_MAX];
    size_t size = logrow_put_identity(row, identity);
    put_row(batch, LOGROW_IDENTITY, 0, row, size);
    put_incarnation(batch, 0);
    put_hard(batch, &hard);
    put_trimmed(batch, &trimmed);
}

/* Reads a row that need not be there: *ret_found false then. */
static int find_row(struct logstore_rows *s, enum logrow_tag tag, const char *name,
                    struct buf *ret_row, bool *ret_found, struct buf *error)
{
    struct logrow_key key = logrow_key(tag, 0);
    int rc = store_get(s->store, logrow_key_bytes(&key), ret_row);
    *ret_found = rc == OK;
    if (rc == ERR_LIMIT) {
        return rows_corrupt(s, error, name, 0, "is too large");
    }
    return rc == OK || rc == ERR_NOT_FOUND ? OK : rows_failed(s, error, rc);
}

/* Reads a row that must be there. */
static int get_row(struct logstore_rows *s, enum logrow_tag tag, const char *name,
                   struct buf *ret_row, struct buf *error)
{
    bool found = false;
    int rc = find_row(s, tag, name, ret_row, &found, error);
    return rc == OK && !found ? rows_corrupt(s, error, name, 0, "is missing") : rc;
}

static int read_identity(struct logstore_rows *s, struct buf *row, struct buf *error)
{
    int rc = get_row(s, LOGROW_IDENTITY, "the identity row", row, error);
    if (rc != OK) {
        return rc;
    }
    rc = logrow_get_identity(buf_bytes(row), &s->identity);
    if (rc == ERR_VERSION) {
        store_error_line(error,
                         "%s: the log was written in another format than %d, which is what this "
                         "version of the program reads; use the version that wrote it",
                         s->path, LOGROW_VERSION);
        return rc;
    }
    if (rc != OK) {
        return rows_corrupt(s, error, "the identity row", 0, "does not match its checksum");
    }
    s->contiguous = s->identity.engine == ENGINE_RAFT;
    return OK;
}

static int read_incarnation(struct logstore_rows *s, struct buf *row, struct buf *error)
{
    int rc = get_row(s, LOGROW_INCARNATION, "the incarnation row", row, error);
    if (rc == OK && logrow_get_incarnation(buf_bytes(row), &s->incarnation) != OK) {
        rc = rows_corrupt(s, error, "the incarnation row", 0, "does not match its checksum");
    }
    return rc;
}

/* A log that was last written by a version without this row begins to count. */
static int read_written(struct logstore_rows *s, struct buf *row, struct buf *error)
{
    bool found = false;
    int rc = find_row(s, LOGROW_WRITTEN, "the row of writes", row, &found, error);
    if (rc == OK && found && logrow_get_written(buf_bytes(row), &s->at.written) != OK) {
        rc = rows_corrupt(s, error, "the row of writes", 0, "does not match its checksum");
    }
    return rc;
}

/* D9: found out once, it is not believed again. */
static int check_stale(struct logstore_rows *s, struct buf *row, struct buf *error)
{
    bool found = false;
    uint64_t seen = 0;
    int rc = find_row(s, LOGROW_STALE, "the stale row", row, &found, error);
    if (rc != OK || !found) {
        return rc;
    }
    if (logrow_get_stale(buf_bytes(row), &seen) != OK) {
        return rows_corrupt(s, error, "the stale row", 0, "does not match its checksum");
    }
    store_error_line(error,
                     "%s is older than what this node has already told others, who had seen write "
                     "%" PRIu64 " of it when they found out: an old copy was put back, or the disk "
                     "lost synced writes; put back the newest copy of the data directory, or "
                     "leave the node stopped",
                     s->path, seen);
    return ERR_STALE;
}

static int read_hard(struct logstore_rows *s, struct hard_state *ret_hard, struct buf *error)
{
    struct buf row;
    buf_init(&row, ROW_SIZE_MAX);
    int rc = get_row(s, LOGROW_HARD, "the hard state row", &row, error);
    if (rc == OK && logrow_get_hard(buf_bytes(&row), ret_hard) != OK) {
        rc = rows_corrupt(s, error, "the hard state row", 0, "does not match its checksum");
    }
    buf_release(&row);
    return rc;
}

/* ---- scanning ---- */

static void scan_seek(struct store_iter *it, enum logrow_tag tag, uint64_t index)
{
    struct logrow_key key = logrow_key(tag, index);
    store_iter_seek(it, logrow_key_bytes(&key));
}

/* The index of the row that the iterator is at; 0 when it is past the rows of this tag. */
static int scan_index(struct logstore_rows *s, const struct store_iter *it, enum logrow_tag tag,
                      uint64_t *ret_index, struct buf *error)
{
    if (!store_iter_valid(it)) {
        int rc = store_iter_error(it);
        if (rc != OK) {
            return rows_failed(s, error, rc);
        }
        *ret_index = 0;
        return OK;
    }
    struct bytes key = store_iter_key(it);
    if (key.size == 0 || key.data[0] != (uint8_t) tag) {
        *ret_index = 0;
        return OK;
    }
    uint64_t index = 0;
    if (key.size == LOGROW_KEY_SIZE_MAX) {
        index = enc_get_be64(key.data + 1);
    }
    if (index == 0) {
        return rows_corrupt(s, error, "a key", 0, "has the wrong form");
    }
    *ret_index = index;
    return OK;
}

/* The trimmed row of the iterator's moment. */
static int scan_trimmed(struct logstore_rows *s, struct store_iter *it,
                        struct logrow_trimmed *ret_trimmed, struct buf *error)
{
    struct logrow_key key = logrow_key(LOGROW_TRIMMED, 0);
    store_iter_seek(it, logrow_key_bytes(&key));
    if (!store_iter_valid(it)) {
        int rc = store_iter_error(it);
        if (rc != OK) {
            return rows_failed(s, error, rc);
        }
    }
    if (!store_iter_valid(it) || !bytes_equal(store_iter_key(it), logrow_key_bytes(&key))) {
        return rows_corrupt(s, error, "the trimmed row", 0, "is missing");
    }
    if (logrow_get_trimmed(store_iter_value(it), ret_trimmed) != OK) {
        return rows_corrupt(s, error, "the trimmed row", 0, "does not match its checksum");
    }
    return OK;
}

/* The highest index with a row of this tag, or `floor` when there is none above it. A binary search
 * by seeks, which does not read what is between. */
static int find_last(struct logstore_rows *s, struct store_iter *it, enum logrow_tag tag,
                     uint64_t floor, uint64_t *ret_last, struct buf *error)
{
    uint64_t low = floor;       /* the highest one seen */
    uint64_t high = UINT64_MAX; /* none is at or above */
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        uint64_t index = 0;
        scan_seek(it, tag, middle);
        int rc = scan_index(s, it, tag, &index, error);
        if (rc != OK) {
            return rc;
        }
        if (index == 0) {
            high = middle;
        } else {
            low = index;
        }
    }
    *ret_last = low;
    return OK;
}

/* ---- opening ---- */

static int find_cursors(struct logstore_rows *s, struct buf *error)
{
    struct store_iter *it = NULL;
    int rc = store_iter_new(s->store, true, &it);
    if (rc != OK) {
        return rows_failed(s, error, rc);
    }
    rc = scan_trimmed(s, it, &s->at.trimmed, error);
    if (rc != OK) {
        goto out;
    }
    uint64_t floor = s->at.trimmed.pos.index;
    rc = find_last(s, it, LOGROW_ENTRY, floor, &s->at.last, error);
    if (rc != OK) {
        goto out;
    }
    rc = find_last(s, it, LOGROW_PROMISE, floor, &s->at.promise_last, error);
out:
    store_iter_free(it);
    return rc;
}

int logstore_rows_open(const struct logstore_ops *ops, const struct store_ops *rows,
                       const char *path, const struct logstore_options *options,
                       struct logstore **ret_store, struct buf *error)
{
    struct buf row;
    buf_init(&row, ROW_SIZE_MAX);
    struct logstore_rows *s = xcalloc(1, sizeof *s);
    s->base.ops = ops;
    s->path = xstrdup(path);
    s->batch = store_batch_new();
    size_t buffer = options->write_buffer_size;
    const struct store_options store_options = {
        .write_buffer_size = buffer == 0 ? WRITE_BUFFER_DEFAULT : buffer,
        .cache_size = CACHE_SIZE,
        .create = options->create != NULL,
        .initial = options->create != NULL ? s->batch : NULL,
        .device = options->device,
    };
    if (options->create != NULL) {
        put_initial(s->batch, options->create);
    }
    int rc = store_open(rows, path, &store_options, &s->store, error);
    if (rc != OK) {
        goto out;
    }
    rc = read_identity(s, &row, error);
    if (rc != OK) {
        goto out;
    }
    rc = read_incarnation(s, &row, error);
    if (rc != OK) {
        goto out;
    }
    rc = read_written(s, &row, error);
    if (rc != OK) {
        goto out;
    }
    rc = check_stale(s, &row, error);
    if (rc != OK) {
        goto out;
    }
    rc = find_cursors(s, error);
out:
    buf_release(&row);
    if (rc != OK) {
        logstore_rows_close(&s->base);
        return rc;
    }
    *ret_store = &s->base;
    return OK;
}

void logstore_rows_close(struct logstore *base)
{
    struct logstore_rows *s = rows_of(base);
    store_close(s->store);
    store_batch_free(s->batch);
    free(s->path);
    free(s);
}

int logstore_rows_identity(struct logstore *base, struct identity *ret_identity)
{
    *ret_identity = rows_of(base)->identity;
    return OK;
}

int logstore_rows_bump_incarnation(struct logstore *base, uint64_t *ret_incarnation)
{
    struct logstore_rows *s = rows_of(base);
    store_batch_clear(s->batch);
    put_incarnation(s->batch, s->incarnation + 1);
    int rc = store_write(s->store, s->batch, true);
    if (rc != OK) {
        return rc;
    }
    s->incarnation++;
    *ret_incarnation = s->incarnation;
    return OK;
}

/* ---- recovery ---- */

/* Makes an entry with a value of its own from a row. */
static int make_entry(uint64_t index, const struct logrow_entry *row, struct entry *ret_entry)
{
    struct blob *owner = row->bytes.size == 0 ? NULL : blob_copy(row->bytes);
    struct value *value = NULL;
    int rc = value_new_adopt(&row->head, blob_bytes(owner), owner, &value);
    if (rc != OK) {
        blob_unref(owner);
        return ERR_CORRUPT;
    }
    ret_entry->index = index;
    ret_entry->epoch = row->epoch;
    ret_entry->value = value;
    return OK;
}

/* Decodes the entry under the iterator; ret_entry NULL: checks it only. */
static int scan_entry(struct logstore_rows *s, const struct store_iter *it, uint64_t index,
                      struct entry *ret_entry, struct buf *error)
{
    struct logrow_entry row;
    if (logrow_get_entry(index, store_iter_value(it), &row) != OK) {
        return rows_corrupt(s, error, "entry", index, "does not match its checksum");
    }
    if (ret_entry == NULL) {
        bool sound = value_crc(row.head.kind, row.head.count, row.bytes) == row.head.crc;
        return sound ? OK : rows_corrupt(s, error, "entry", index, "has a damaged value");
    }
    if (make_entry(index, &row, ret_entry) != OK) {
        return rows_corrupt(s, error, "entry", index, "has a damaged value");
    }
    return OK;
}

/* Checks all entries and collects those from `from` on. */
static int recover_entries(struct logstore_rows *s, struct store_iter *it, uint64_t from,
                           struct logstore_recovery *r, struct buf *error)
{
    struct entry_list list = {.count = 0};
    uint64_t expected = r->trimmed.index + 1;
    int rc = OK;
    scan_seek(it, LOGROW_ENTRY, expected);
    for (;;) {
        uint64_t index = 0;
        struct entry entry;
        rc = scan_index(s, it, LOGROW_ENTRY, &index, error);
        if (rc != OK || index == 0) {
            break;
        }
        if (s->contiguous && index != expected) {
            rc = rows_corrupt(s, error, "entry", expected, "is missing");
            break;
        }
        rc = scan_entry(s, it, index, index >= from ? &entry : NULL, error);
        if (rc != OK) {
            break;
        }
        if (index >= from) {
            entry_list_take(&list, entry);
        }
        r->last = index;
        expected = index + 1;
        store_iter_next(it);
    }
    r->entries = list.entries;
    r->entries_count = list.count;
    return rc;
}

static int recover_promises(struct logstore_rows *s, struct store_iter *it,
                            struct logstore_recovery *r, struct buf *error)
{
    uint32_t capacity = 0;
    scan_seek(it, LOGROW_PROMISE, r->trimmed.index + 1);
    for (;;) {
        uint64_t index = 0;
        struct slot_promise promise;
        int rc = scan_index(s, it, LOGROW_PROMISE, &index, error);
        if (rc != OK || index == 0) {
            return rc;
        }
        if (logrow_get_promise(index, store_iter_value(it), &promise) != OK) {
            return rows_corrupt(s, error, "promise", index, "does not match its checksum");
        }
        if (r->promises_count == capacity) {
            ASSERT(capacity <= UINT32_MAX / 2);
            capacity = capacity == 0 ? 64 : capacity * 2;
            r->promises = xrealloc(r->promises, capacity * sizeof r->promises[0]);
        }
        r->promises[r->promises_count] = promise;
        r->promises_count++;
        store_iter_next(it);
    }
}

int logstore_rows_recover(struct logstore *base, uint64_t from,
                          struct logstore_recovery *ret_recovery, struct buf *error)
{
    struct logstore_rows *s = rows_of(base);
    struct logstore_recovery r = {.last = 0};
    struct logrow_trimmed trimmed;
    struct store_iter *it = NULL;
    int rc = store_iter_new(s->store, true, &it);
    if (rc != OK) {
        return rows_failed(s, error, rc);
    }
    r.written = s->at.written;
    rc = read_hard(s, &r.hard, error);
    if (rc != OK) {
        goto out;
    }
    rc = scan_trimmed(s, it, &trimmed, error);
    if (rc != OK) {
        goto out;
    }
    r.trimmed = trimmed.pos;
    r.last = trimmed.pos.index;
    rc = recover_entries(s, it, from, &r, error);
    if (rc != OK) {
        goto out;
    }
    rc = recover_promises(s, it, &r, error);
out:
    store_iter_free(it);
    if (rc != OK) {
        logstore_recovery_release(&r);
        return rc;
    }
    *ret_recovery = r;
    return OK;
}

/* ---- writing ---- */

/* Deletes the rows of up to `indexes_max` indexes that a trim left. */
static void add_sweep(struct store_batch *batch, struct cursors *at, uint64_t indexes_max)
{
    struct logrow_trimmed *t = &at->trimmed;
    uint64_t to = u64_min(t->sweep_to, t->swept + indexes_max);
    for (uint64_t index = t->swept + 1; index <= to; index++) {
        delete_row(batch, LOGROW_ENTRY, index);
        if (index <= at->promise_last) {
            delete_row(batch, LOGROW_PROMISE, index);
        }
    }
    t->swept = to;
}

static void add_truncate(struct store_batch *batch, struct cursors *at, uint64_t from)
{
    from = u64_max(from, at->trimmed.pos.index + 1);
    for (uint64_t index = from; index <= at->last; index++) {
        delete_row(batch, LOGROW_ENTRY, index);
    }
    at->last = u64_min(at->last, from - 1);
}

static void add_entries(struct logstore_rows *s, struct cursors *at, const struct log_write *w)
{
    for (uint32_t i = 0; i < w->entries_count; i++) {
        const struct entry *entry = &w->entries[i];
        ASSERT(i == 0 || w->entries[i - 1].index < entry->index);
        if (entry->index <= at->trimmed.pos.index) {
            continue;
        }
        ASSERT(!s->contiguous || entry->index <= at->last + 1);
        uint8_t head[LOGROW_ENTRY_HEAD_SIZE];
        logrow_put_entry(head, entry);
        struct logrow_key key = logrow_key(LOGROW_ENTRY, entry->index);
        store_batch_put_parts(s->batch, logrow_key_bytes(&key), bytes_of(head, sizeof head),
                              entry->value->bytes);
        at->last = u64_max(at->last, entry->index);
    }
}

static void add_promises(struct store_batch *batch, struct cursors *at, const struct log_write *w)
{
    for (uint32_t i = 0; i < w->promises_count; i++) {
        struct slot_promise promise = w->promises[i];
        if (promise.index <= at->trimmed.pos.index) {
            continue;
        }
        uint8_t row[LOGROW_PROMISE_SIZE];
        logrow_put_promise(row, promise);
        put_row(batch, LOGROW_PROMISE, promise.index, row, sizeof row);
        at->promise_last = u64_max(at->promise_last, promise.index);
    }
}

/* Makes the batch durable, and `at` true. */
static int commit_batch(struct logstore_rows *s, const struct cursors *at)
{
    int rc = store_write(s->store, s->batch, true);
    if (rc == OK) {
        s->at = *at;
    }
    return rc;
}

int logstore_rows_write(struct logstore *base, const struct log_write *const *writes,
                        uint32_t count)
{
    struct logstore_rows *s = rows_of(base);
    struct cursors at = s->at;
    const struct hard_state *hard = NULL;
    uint64_t entries = 0;
    store_batch_clear(s->batch);
    /* Operations of a batch apply in order, so a later cut removes what an earlier write put. */
    for (uint32_t i = 0; i < count; i++) {
        const struct log_write *w = writes[i];
        if (w->truncate_from > 0) {
            add_truncate(s->batch, &at, w->truncate_from);
        }
        add_entries(s, &at, w);
        add_promises(s->batch, &at, w);
        hard = w->hard_set ? &w->hard : hard;
        entries += w->entries_count;
    }
    if (hard != NULL) {
        put_hard(s->batch, hard); /* Only the last one can ever be read. */
    }
    if (count == 0) {
        return OK;
    }
    at.written += count;
    put_written(s->batch, at.written);
    if (at.trimmed.swept < at.trimmed.sweep_to) {
        add_sweep(s->batch, &at, SWEEP_WRITE + 2 * entries);
        put_trimmed(s->batch, &at.trimmed);
    }
    return commit_batch(s, &at);
}

/* Deletes all that the trims so far left. */
static int sweep_all(struct logstore_rows *s)
{
    while (s->at.trimmed.swept < s->at.trimmed.sweep_to) {
        struct cursors at = s->at;
        store_batch_clear(s->batch);
        add_sweep(s->batch, &at, SWEEP_TRIM);
        put_trimmed(s->batch, &at.trimmed);
        int rc = commit_batch(s, &at);
        if (rc != OK) {
            return rc;
        }
    }
    return OK;
}

int logstore_rows_trim(struct logstore *base, struct log_pos pos)
{
    struct logstore_rows *s = rows_of(base);
    if (pos.index <= s->at.trimmed.pos.index) {
        return OK;
    }
    /* After a jump (a snapshot) the rows that wait do not border on those that come now. */
    if (s->at.trimmed.sweep_to < s->at.trimmed.pos.index) {
        int rc = sweep_all(s);
        if (rc != OK) {
            return rc;
        }
    }
    struct cursors at = s->at;
    struct logrow_trimmed *t = &at.trimmed;
    if (t->swept == t->sweep_to) {
        t->swept = t->pos.index;
        t->sweep_to = t->pos.index;
    }
    t->sweep_to = u64_max(t->sweep_to, u64_min(pos.index, u64_max(at.last, at.promise_last)));
    t->pos = pos;
    at.last = u64_max(at.last, pos.index);
    store_batch_clear(s->batch);
    add_sweep(s->batch, &at, SWEEP_TRIM);
    put_trimmed(s->batch, t);
    return commit_batch(s, &at);
}

int logstore_rows_condemn(struct logstore *base, uint64_t seen)
{
    struct logstore_rows *s = rows_of(base);
    uint8_t row[LOGROW_STALE_SIZE];
    logrow_put_stale(row, seen);
    store_batch_clear(s->batch);
    put_row(s->batch, LOGROW_STALE, 0, row, sizeof row);
    return store_write(s->store, s->batch, true);
}

/* ---- reading ---- */

/* Collects the entries of the range; the iterator is at its first row. */
static int read_range(struct logstore_rows *s, struct store_iter *it, struct log_range range,
                      uint64_t bytes_max, struct entry_list *list)
{
    uint64_t expected = range.first;
    for (;;) {
        uint64_t index = 0;
        struct entry entry;
        int rc = scan_index(s, it, LOGROW_ENTRY, &index, NULL);
        if (rc != OK || index == 0) {
            return rc;
        }
        if (s->contiguous && index != expected && expected <= range.last) {
            return rows_corrupt(s, NULL, "entry", expected, "is missing");
        }
        if (index > range.last) {
            return OK;
        }
        size_t size = store_iter_value(it).size;
        size -= size < LOGROW_ENTRY_HEAD_SIZE ? size : LOGROW_ENTRY_HEAD_SIZE;
        if (list->count > 0 && (list->bytes >= bytes_max || size > bytes_max - list->bytes)) {
            return OK;
        }
        rc = scan_entry(s, it, index, &entry, NULL);
        if (rc != OK) {
            return rc;
        }
        entry_list_take(list, entry);
        expected = index + 1;
        store_iter_next(it);
    }
}

int logstore_rows_read(struct logstore *base, uint64_t first, uint64_t last, uint64_t bytes_max,
                       struct entry_list *ret_entries)
{
    struct logstore_rows *s = rows_of(base);
    struct entry_list list = {.count = 0};
    struct logrow_trimmed trimmed;
    struct store_iter *it = NULL;
    int rc = store_iter_new(s->store, true, &it);
    if (rc != OK) {
        return rc;
    }
    rc = scan_trimmed(s, it, &trimmed, NULL);
    if (rc != OK) {
        goto out;
    }
    if (first <= trimmed.pos.index) {
        rc = ERR_COMPACTED;
        goto out;
    }
    scan_seek(it, LOGROW_ENTRY, first);
    const struct log_range range = {.first = first, .last = last};
    rc = read_range(s, it, range, bytes_max, &list);
out:
    store_iter_free(it);
    if (rc != OK) {
        entry_list_release(&list);
        return rc;
    }
    *ret_entries = list;
    return OK;
}

uint64_t logstore_rows_disk_size(struct logstore *base)
{
    return store_disk_size(rows_of(base)->store);
}

const char *logstore_rows_last_error(struct logstore *base)
{
    return store_last_error(rows_of(base)->store);
}
