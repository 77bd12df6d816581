/*
 * disk.c - the model disk as a whole: faults, crashes, damage, images.
 */

#include "tests/sim/disk.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kv/logstore_rows.h"
#include "tests/sim/disk_internal.h"

struct sim_disk *sim_disk_new(const struct sim_disk_options *options)
{
    struct sim_disk *d = xcalloc(1, sizeof *d);
    d->options = *options;
    rng_init(&d->rng, options->seed);
    list_init(&d->dbs);
    return d;
}

static void db_forget(struct sim_db *db)
{
    sim_files_release(&db->files);
    db->exists = false;
    db->held = false;
}

void sim_disk_free(struct sim_disk *d)
{
    if (d == NULL) {
        return;
    }
    ASSERT(d->stores == 0);
    LIST_FOR_EACH_SAFE(&d->dbs, node, after) {
        struct sim_db *db = list_entry(node, struct sim_db, node);
        list_remove(&db->node);
        db_forget(db);
        sim_tree_clear(&db->rows);
        sim_tree_clear(&db->full);
        free(db->path);
        free(db);
    }
    free(d);
}

static enum sim_file file_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return strcmp(slash == NULL ? path : slash + 1, "log") == 0 ? SIM_FILE_LOG : SIM_FILE_STATE;
}

struct sim_db *sim_disk_db_at(struct sim_disk *d, const char *path, bool make)
{
    LIST_FOR_EACH(&d->dbs, node) {
        struct sim_db *db = list_entry(node, struct sim_db, node);
        if (strcmp(db->path, path) == 0) {
            return db;
        }
    }
    if (!make) {
        return NULL;
    }
    struct sim_db *db = xcalloc(1, sizeof *db);
    db->disk = d;
    db->path = xstrdup(path);
    db->file = file_of(path);
    list_push_back(&d->dbs, &db->node);
    return db;
}

struct sim_db *sim_disk_db(struct sim_disk *d, enum sim_file file)
{
    LIST_FOR_EACH(&d->dbs, node) {
        struct sim_db *db = list_entry(node, struct sim_db, node);
        if (db->file == file && db->exists) {
            return db;
        }
    }
    return NULL;
}

/* The store that is open on it dies. */
static void db_die(struct sim_db *db)
{
    db->generation++;
    db->open = false;
    sim_tree_clear(&db->rows);
    sim_tree_clear(&db->full);
}

void sim_disk_hold_syncs(struct sim_disk *d)
{
    d->hold = true;
}

void sim_disk_lie(struct sim_disk *d, bool lie)
{
    d->lie = lie;
}

void sim_disk_flushed(struct sim_disk *d)
{
    if (!d->lied) {
        return;
    }
    d->lied = false;
    LIST_FOR_EACH(&d->dbs, node) {
        struct sim_db *db = list_entry(node, struct sim_db, node);
        for (uint32_t i = 0; db->exists && i < db->files.wals_count; i++) {
            db->files.wals[i].synced = db->files.wals[i].size;
        }
    }
}

void sim_disk_crash(struct sim_disk *d)
{
    LIST_FOR_EACH(&d->dbs, node) {
        struct sim_db *db = list_entry(node, struct sim_db, node);
        db_die(db);
        if (db->exists && db->held && rng_chance(&d->rng, 1, 2)) {
            db_forget(db); /* The rename was not synced. */
        }
        if (db->exists) {
            sim_files_crash(&db->files, d);
        }
        db->held = false;
    }
    d->hold = false;
    d->lied = false;
}

void sim_disk_kill(struct sim_disk *d)
{
    LIST_FOR_EACH(&d->dbs, node) {
        db_die(list_entry(node, struct sim_db, node));
    }
}

void sim_disk_fail(struct sim_disk *d, enum sim_disk_call call, int err)
{
    ASSERT(call == SIM_CALL_WRITE || call == SIM_CALL_SYNC);
    ASSERT(err == ERR_IO || err == ERR_NO_SPACE);
    d->fail[call] = err;
}

int sim_disk_call(struct sim_disk *d, enum sim_disk_call call)
{
    int rc = d->fail[call];
    d->fail[call] = OK;
    return rc;
}

static void assert_closed(const struct sim_disk *d)
{
    LIST_FOR_EACH(&d->dbs, node) {
        ASSERT(!list_entry(node, struct sim_db, node)->open);
    }
}

/* Tries the kinds of files in a drawn order until there is one of that kind. */
static bool damage_some(struct sim_disk *d, enum sim_file file, bool lose)
{
    enum sim_class order[SIM_CLASSES];
    uint32_t count = 0;
    struct sim_db *db = sim_disk_db(d, file);
    assert_closed(d);
    if (db == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < SIM_CLASSES; i++) {
        bool unnoticed = lose && i == SIM_CLASS_WAL_NEWER && !d->options.lose_unnoticed;
        if (!unnoticed) {
            order[count] = (enum sim_class) i;
            count++;
        }
    }
    while (count > 0) {
        uint32_t i = (uint32_t) rng_below(&d->rng, count);
        if (lose ? sim_db_lose(db, order[i]) : sim_db_flip(db, order[i])) {
            return true;
        }
        count--;
        order[i] = order[count];
    }
    return false;
}

bool sim_disk_flip(struct sim_disk *d, enum sim_file file)
{
    return damage_some(d, file, false);
}

bool sim_disk_lose(struct sim_disk *d, enum sim_file file)
{
    return damage_some(d, file, true);
}

void sim_disk_wipe(struct sim_disk *d)
{
    assert_closed(d);
    LIST_FOR_EACH(&d->dbs, node) {
        db_forget(list_entry(node, struct sim_db, node));
    }
    d->counts.wipes++;
}

/* ---- images ---- */

struct image_db {
    char *path;
    struct sim_files files;
};

struct sim_disk_image {
    uint32_t count;
    struct image_db dbs[];
};

struct sim_disk_image *sim_disk_save(struct sim_disk *d)
{
    uint32_t count = 0;
    LIST_FOR_EACH(&d->dbs, node) {
        count += list_entry(node, struct sim_db, node)->exists ? 1 : 0;
    }
    struct sim_disk_image *image = xcalloc(1, sizeof *image + count * sizeof image->dbs[0]);
    LIST_FOR_EACH(&d->dbs, node) {
        const struct sim_db *db = list_entry(node, struct sim_db, node);
        if (db->exists) {
            struct image_db *to = &image->dbs[image->count];
            to->path = xstrdup(db->path);
            sim_files_copy(&to->files, &db->files, true);
            image->count++;
        }
    }
    return image;
}

void sim_disk_restore(struct sim_disk *d, const struct sim_disk_image *image)
{
    assert_closed(d);
    LIST_FOR_EACH(&d->dbs, node) {
        db_forget(list_entry(node, struct sim_db, node));
    }
    for (uint32_t i = 0; i < image->count; i++) {
        struct sim_db *db = sim_disk_db_at(d, image->dbs[i].path, true);
        sim_files_copy(&db->files, &image->dbs[i].files, false);
        db->exists = true;
    }
    d->counts.restores++;
}

void sim_disk_image_free(struct sim_disk_image *image)
{
    if (image == NULL) {
        return;
    }
    for (uint32_t i = 0; i < image->count; i++) {
        free(image->dbs[i].path);
        sim_files_release(&image->dbs[i].files);
    }
    free(image);
}

void sim_disk_counts(const struct sim_disk *d, struct sim_disk_counts *ret_counts)
{
    *ret_counts = d->counts;
}

/* ---- the log ---- */

static int sim_logstore_open(const char *path, const struct logstore_options *options,
                             struct logstore **ret_store, struct buf *error)
{
    return logstore_rows_open(&sim_logstore_ops, &sim_store_ops, path, options, ret_store, error);
}

const struct logstore_ops sim_logstore_ops = {
    .name = "sim",
    .open = sim_logstore_open,
    .close = logstore_rows_close,
    .identity = logstore_rows_identity,
    .bump_incarnation = logstore_rows_bump_incarnation,
    .recover = logstore_rows_recover,
    .write = logstore_rows_write,
    .trim = logstore_rows_trim,
    .condemn = logstore_rows_condemn,
    .read = logstore_rows_read,
    .disk_size = logstore_rows_disk_size,
    .last_error = logstore_rows_last_error,
};
