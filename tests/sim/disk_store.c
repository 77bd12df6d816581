/*
 * disk_store.c - kv/store.h over the model disk.
 *
 * Life of a write, as in LevelDB: when the write-ahead file is full, a new one is begun and the
 * rows so far wait to become a table; the batch is appended; the file is synced if that was asked;
 * then, and only then, readers see it. LevelDB makes the table in another thread: here it is made
 * at the start of a write that is drawn when the wait begins, at the latest when a third
 * write-ahead file would be needed. If making it fails, it is that write which says so.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kv/store_impl.h"
#include "tests/sim/disk_internal.h"

enum { BUFFER_DEFAULT = 64 << 20 };

struct sim_store {
    struct store base;
    struct sim_db *db;
    uint64_t generation;
    uint64_t buffer_bytes;
    bool bad; /* a compaction meets damage */
};

struct sim_iter {
    struct store_iter base;
    struct sim_store *owner;
    struct sim_tree rows;
    struct sim_cursor cursor;
    int error;
};

static struct sim_store *store_of(struct store *base)
{
    return container_of(base, struct sim_store, base);
}

static bool alive(const struct sim_store *s)
{
    return s->generation == s->db->generation;
}

static const char *text_of(int err)
{
    return err == ERR_NO_SPACE ? "No space left on device" : "Input/output error";
}

/* Keeps the words LevelDB would have. That every later write gives the code again is done by the
 * facade (store_write), for all stores. */
static int write_failed(struct sim_store *s, uint64_t number, const char *suffix, int rc)
{
    char text[STORE_ERROR_MAX];
    (void) snprintf(text, sizeof text, "IO error: %.400s/%06" PRIu64 ".%s: %s", s->db->path, number,
                    suffix, text_of(rc));
    store_base_note(&s->base, text);
    return rc;
}

static int read_corrupt(struct sim_store *s)
{
    char text[STORE_ERROR_MAX];
    (void) snprintf(text, sizeof text, "Corruption: block checksum mismatch: %.400s/*.ldb",
                    s->db->path);
    store_base_note(&s->base, text);
    s->db->disk->counts.corrupt_reads++;
    return ERR_CORRUPT;
}

static int dead(struct sim_store *s)
{
    store_base_note(&s->base, "the model disk crashed, or the process was killed");
    return ERR_IO;
}

/* ---- opening ---- */

/* The calls that making a table, a MANIFEST and CURRENT takes. */
static int make_calls(struct sim_disk *d)
{
    int rc = sim_disk_call(d, SIM_CALL_WRITE);
    d->counts.failed_writes += rc != OK ? 1 : 0;
    d->counts.no_space_writes += rc == ERR_NO_SPACE ? 1 : 0;
    if (rc != OK) {
        return rc;
    }
    rc = sim_disk_call(d, SIM_CALL_SYNC);
    d->counts.failed_syncs += rc != OK ? 1 : 0;
    return rc;
}

static int open_failed(const char *what, const char *path, int rc, struct buf *error)
{
    store_error_line(error, "cannot %s %s: IO error: %s; %s", what, path, text_of(rc),
                     rc == ERR_NO_SPACE ? "free space on that file system, then start again"
                                        : "check the disk and the kernel log");
    return rc;
}

/* A new database under its name, whole or not at all (D4). */
static int db_create(struct sim_disk *d, const char *path, const struct store_options *options,
                     struct sim_db **ret_db, struct buf *error)
{
    struct sim_db *db = sim_disk_db_at(d, path, true);
    if (db->exists) {
        store_error_line(error,
                         "cannot create %s: something is there already; start the node without "
                         "creating it, or choose another data directory",
                         path);
        return ERR_EXISTS;
    }
    int rc = make_calls(d);
    if (rc != OK) {
        return open_failed("create", path, rc, error);
    }
    sim_files_init(&db->files);
    if (options->initial != NULL) {
        sim_wal_append(&db->files.wals[0], sim_record_new(options->initial));
    }
    db->exists = true;
    db->held = d->hold;
    *ret_db = db;
    return OK;
}

static int db_find(struct sim_disk *d, const char *path, struct sim_db **ret_db, struct buf *error)
{
    struct sim_db *db = sim_disk_db_at(d, path, false);
    if (db == NULL || !db->exists) {
        store_error_line(error, "cannot open %s: there is no such directory; create the node",
                         path);
        return ERR_NOT_FOUND;
    }
    if (db->open) {
        store_error_line(error,
                         "cannot open %s: it is used by a running process; stop it, or choose "
                         "another data directory",
                         path);
        return ERR_LOCKED;
    }
    int rc = sim_files_check(&db->files, path, error);
    if (rc != OK) {
        d->counts.refused_opens++;
        return rc;
    }
    rc = make_calls(d);
    if (rc != OK) {
        return open_failed("open", path, rc, error);
    }
    *ret_db = db;
    return OK;
}

static int sim_store_open(const char *path, const struct store_options *options,
                          struct store **ret_store, struct buf *error)
{
    struct sim_disk *d = options->device;
    struct sim_db *db = NULL;
    ASSERT(d != NULL);
    int rc =
        options->create ? db_create(d, path, options, &db, error) : db_find(d, path, &db, error);
    if (rc != OK) {
        return rc;
    }
    struct sim_store *s = xcalloc(1, sizeof *s);
    store_base_init(&s->base, &sim_store_ops);
    s->db = db;
    s->generation = db->generation;
    s->buffer_bytes = d->options.buffer_bytes;
    if (s->buffer_bytes == 0) {
        s->buffer_bytes = options->write_buffer_size;
    }
    if (s->buffer_bytes == 0) {
        s->buffer_bytes = BUFFER_DEFAULT;
    }
    uint32_t tables = db->files.tables_count;
    s->bad = sim_files_recover(&db->files);
    d->counts.files++;
    d->counts.tables += db->files.tables_count - tables;
    d->counts.syncs += 2;
    sim_tree_copy(&db->rows, &db->files.tables);
    db->open = true;
    d->stores++;
    *ret_store = &s->base;
    return OK;
}

static void sim_store_close(struct store *base)
{
    struct sim_store *s = store_of(base);
    ASSERT(s->db->disk->stores > 0);
    s->db->disk->stores--;
    if (alive(s)) {
        s->db->open = false;
        sim_tree_clear(&s->db->rows);
        sim_tree_clear(&s->db->full);
    }
    store_base_release(base);
    free(s);
}

/* ---- writing ---- */

/* Makes the table of the older write-ahead file. */
static int make_table(struct sim_store *s)
{
    struct sim_db *db = s->db;
    int rc = make_calls(db->disk);
    if (rc != OK) {
        return write_failed(s, db->files.next_number, "ldb", rc);
    }
    s->bad = sim_files_drop_wal(&db->files, &db->full);
    sim_tree_clear(&db->full);
    db->disk->counts.tables++;
    db->disk->counts.syncs += 2;
    return OK;
}

/* What is to be done before there is room for a batch. While syncs are held no table is finished:
 * the power goes before. */
static int make_room(struct sim_store *s)
{
    struct sim_db *db = s->db;
    struct sim_files *f = &db->files;
    bool full = sim_files_wal(f)->size >= s->buffer_bytes;
    if (f->wals_count == SIM_WALS_MAX && !db->disk->hold && (full || db->wait == 0)) {
        int rc = make_table(s);
        if (rc != OK) {
            return rc;
        }
    }
    db->wait -= db->wait > 0 ? 1 : 0;
    if (s->bad) {
        return read_corrupt(s);
    }
    if (full && f->wals_count < SIM_WALS_MAX) {
        /* A synced write that is under way began after the ones before it were synced. */
        struct sim_wal *w = sim_files_wal(f);
        w->synced = w->held > w->synced ? w->held : w->synced;
        sim_tree_copy(&db->full, &db->rows);
        sim_files_begin_wal(f);
        db->disk->counts.files++;
        db->wait = rng_chance(&db->disk->rng, 1, 2)
                       ? 0
                       : (uint32_t) rng_between(&db->disk->rng, 1, SIM_WAIT_MAX);
    }
    return OK;
}

/* What a failed write may have left: nothing, a part or, if it was not for lack of space, all. */
static void append_failed(struct sim_disk *d, struct sim_wal *w, struct sim_record *record, int rc)
{
    uint64_t size = sim_wal_end(w->size, record->payload) - w->size;
    uint64_t way = rc == ERR_NO_SPACE ? 0 : rng_below(&d->rng, 3);
    d->counts.failed_writes++;
    d->counts.no_space_writes += rc == ERR_NO_SPACE ? 1 : 0;
    if (way == 2) {
        sim_wal_append(w, record);
        return;
    }
    if (way == 0) {
        sim_wal_append_part(w, record->payload, rng_between(&d->rng, 1, size - 1));
        d->counts.partial_appends++;
    }
    sim_record_unref(record);
}

/* Syncs the file that is written, and no other. */
static int sync_wal(struct sim_store *s, struct sim_wal *w)
{
    struct sim_disk *d = s->db->disk;
    int rc = sim_disk_call(d, SIM_CALL_SYNC);
    if (rc != OK) {
        d->counts.failed_syncs++;
        if (rng_chance(&d->rng, 1, 2)) {
            /* The kernel dropped what it could not write. */
            sim_wal_cut(w, sim_wal_draw_cut(w, &d->rng));
        }
        return write_failed(s, w->number, "log", rc);
    }
    d->counts.syncs++;
    if (d->lie) {
        d->counts.lies++;
        d->lied = true;
    } else if (d->hold) {
        w->held = w->size;
    } else {
        w->synced = w->size;
        sim_disk_flushed(d);
    }
    return OK;
}

static int sim_store_write(struct store *base, const struct store_batch *batch, bool sync)
{
    struct sim_store *s = store_of(base);
    struct sim_db *db = s->db;
    if (!alive(s)) {
        return dead(s);
    }
    int rc = make_room(s);
    if (rc != OK) {
        return rc;
    }
    struct sim_wal *w = sim_files_wal(&db->files);
    struct sim_record *record = sim_record_new(batch);
    db->disk->counts.writes++;
    rc = sim_disk_call(db->disk, SIM_CALL_WRITE);
    if (rc != OK) {
        append_failed(db->disk, w, record, rc);
        return write_failed(s, w->number, "log", rc);
    }
    sim_wal_append(w, record);
    rc = sync ? sync_wal(s, w) : OK;
    if (rc != OK) {
        return rc;
    }
    for (uint32_t i = 0; i < record->count; i++) {
        sim_tree_apply(&db->rows, record->rows[i]);
    }
    return OK;
}

/* ---- reading ---- */

static int sim_store_get(struct store *base, struct bytes key, struct buf *ret_value)
{
    struct sim_store *s = store_of(base);
    if (!alive(s)) {
        return dead(s);
    }
    const struct sim_row *row = sim_tree_find(&s->db->rows, key);
    if (s->db->files.damage_count > 0 && sim_files_bad_get(&s->db->files, key, row)) {
        return read_corrupt(s);
    }
    if (row == NULL) {
        return ERR_NOT_FOUND;
    }
    if (row->value_size > ret_value->size_max) {
        return ERR_LIMIT;
    }
    buf_clear(ret_value);
    return buf_append_bytes(ret_value, sim_row_value(row));
}

static const struct store_iter_ops sim_iter_ops;

static int sim_store_iter_new(struct store *base, bool snapshot, struct store_iter **ret_iter)
{
    struct sim_store *s = store_of(base);
    (void) snapshot; /* There is no cache to spare. */
    if (!alive(s)) {
        return dead(s);
    }
    struct sim_iter *it = xcalloc(1, sizeof *it);
    it->base.ops = &sim_iter_ops;
    it->owner = s;
    sim_tree_copy(&it->rows, &s->db->rows);
    sim_cursor_init(&it->cursor);
    *ret_iter = &it->base;
    return OK;
}

static uint64_t sim_store_disk_size(struct store *base)
{
    return sim_files_size(&store_of(base)->db->files);
}

static void sim_iter_free(struct store_iter *base)
{
    struct sim_iter *it = container_of(base, struct sim_iter, base);
    sim_cursor_release(&it->cursor);
    sim_tree_clear(&it->rows);
    free(it);
}

/* Damage comes while nobody has the disk open, so it is the same during all of the iterator. */
static bool sim_iter_reads_damage(struct sim_iter *it, struct bytes key, bool behind)
{
    const struct sim_files *f = &it->owner->db->files;
    if (it->error == OK && f->damage_count > 0 && alive(it->owner) &&
        sim_files_bad_seek(f, key, behind)) {
        it->error = read_corrupt(it->owner);
    }
    return it->error != OK;
}

static void sim_iter_seek(struct store_iter *base, struct bytes key)
{
    struct sim_iter *it = container_of(base, struct sim_iter, base);
    if (!sim_iter_reads_damage(it, key, false)) {
        sim_cursor_seek(&it->cursor, &it->rows, key);
    }
}

static bool sim_iter_valid(const struct store_iter *base)
{
    const struct sim_iter *it = (const struct sim_iter *) base;
    return it->error == OK && sim_cursor_row(&it->cursor) != NULL;
}

static void sim_iter_next(struct store_iter *base)
{
    struct sim_iter *it = container_of(base, struct sim_iter, base);
    if (!sim_iter_reads_damage(it, sim_row_key(sim_cursor_row(&it->cursor)), true)) {
        sim_cursor_next(&it->cursor);
    }
}

static struct bytes sim_iter_key(const struct store_iter *base)
{
    return sim_row_key(sim_cursor_row(&((const struct sim_iter *) base)->cursor));
}

static struct bytes sim_iter_value(const struct store_iter *base)
{
    return sim_row_value(sim_cursor_row(&((const struct sim_iter *) base)->cursor));
}

static int sim_iter_error(const struct store_iter *base)
{
    return ((const struct sim_iter *) base)->error;
}

static const struct store_iter_ops sim_iter_ops = {
    .free = sim_iter_free,
    .seek = sim_iter_seek,
    .valid = sim_iter_valid,
    .next = sim_iter_next,
    .key = sim_iter_key,
    .value = sim_iter_value,
    .error = sim_iter_error,
};

const struct store_ops sim_store_ops = {
    .name = "sim",
    .open = sim_store_open,
    .close = sim_store_close,
    .get = sim_store_get,
    .write = sim_store_write,
    .iter_new = sim_store_iter_new,
    .disk_size = sim_store_disk_size,
    .last_error = store_base_error,
};
