/*
 * store_leveldb.c - the store on LevelDB. The only file that includes its header.
 *
 * What LevelDB 1.23 does by default and we do not want, and where it is turned off (design.md 6,
 * docs/storage-format.md; tests/unit/test_store_leveldb.c shows that each is still so):
 *
 *  - a damaged record is skipped, a flipped bit in a table is returned as data: db_open and
 *    store_leveldb_open set paranoid_checks and verify_checksums, for every read and iterator;
 *  - damage at certain places is dropped even so: leveldb_check runs before every open;
 *  - a missing database is created in silence: create_if_missing only in create_at;
 *  - a failed write may be forgotten by the next one: the facade (store_write) stops at the first;
 *  - values are compressed with Snappy: off, it costs more time than it saves here.
 */

#include <inttypes.h>
#include <leveldb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kv/leveldb_check.h"
#include "kv/store_dir.h"
#include "kv/store_impl.h"

enum {
    WRITE_BUFFER_DEFAULT = 64 << 20, /* 4 MB: twice the CPU, and stalls of 40-100 ms */
    CACHE_DEFAULT = 8 << 20,
    BATCH_KEEP_MAX = 8 << 20, /* a larger batch is given back to malloc after its write */
};

struct store_leveldb {
    struct store base;
    struct store_dir *dir;
    leveldb_t *db;
    leveldb_options_t *options;
    leveldb_cache_t *cache;
    leveldb_readoptions_t *get_options;
    leveldb_readoptions_t *scan_options; /* does not fill the cache */
    leveldb_writeoptions_t *sync_options;
    leveldb_writeoptions_t *async_options;
    leveldb_writebatch_t *batch; /* writer's thread; kept because its memory is reused */
};

struct iter_leveldb {
    struct store_iter base;
    struct store_leveldb *owner;
    leveldb_iterator_t *it;
    int error; /* what the last move met */
};

static bool contains(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

/* LevelDB reports with strings only. What is not recognised is an I/O error: fatal, as it must be.
 */
static int err_of_text(const char *text)
{
    if (contains(text, "No space left on device") || contains(text, "Disk quota exceeded")) {
        return ERR_NO_SPACE;
    }
    if (contains(text, "does not exist (create_if_missing is false)")) {
        return ERR_NOT_FOUND;
    }
    if (contains(text, "exists (error_if_exists is true)")) {
        return ERR_EXISTS;
    }
    if (contains(text, "lock ") &&
        (contains(text, "already held") || contains(text, "Resource temporarily unavailable"))) {
        return ERR_LOCKED;
    }
    if (strncmp(text, "Corruption", strlen("Corruption")) == 0 ||
        contains(text, "No such file or directory") || contains(text, ".ldb: Invalid argument")) {
        /* A file the database needs went away, or ends before the place to be read. */
        return ERR_CORRUPT;
    }
    return ERR_IO;
}

static const char *remedy_of(int err)
{
    switch (err) {
    case ERR_NO_SPACE:
        return "free space on that file system, then start the node again";
    case ERR_NOT_FOUND:
        return "create the node";
    case ERR_EXISTS:
        return "start the node without creating it, or choose another data directory";
    case ERR_LOCKED:
        return "stop the process that uses it, or choose another data directory";
    case ERR_CORRUPT:
        return "remove this member and add it anew, or restore the directory from a copy";
    default:
        return "check the disk and the kernel log";
    }
}

/* Keeps LevelDB's words, frees them, and gives the code. */
static int leveldb_fail(struct store_leveldb *s, char *text)
{
    int rc = err_of_text(text);
    if (!err_is_fatal(rc)) {
        rc = ERR_IO; /* On an open database these cannot be what they seem. */
    }
    store_base_note(&s->base, text);
    leveldb_free(text);
    return rc;
}

static void options_init(struct store_leveldb *s, const struct store_options *options)
{
    size_t buffer = options->write_buffer_size;
    size_t cache = options->cache_size;
    s->cache = leveldb_cache_create_lru(cache == 0 ? CACHE_DEFAULT : cache);
    s->options = leveldb_options_create();
    leveldb_options_set_paranoid_checks(s->options, 1);
    leveldb_options_set_compression(s->options, leveldb_no_compression);
    leveldb_options_set_write_buffer_size(s->options, buffer == 0 ? WRITE_BUFFER_DEFAULT : buffer);
    leveldb_options_set_cache(s->options, s->cache);
    leveldb_options_set_create_if_missing(s->options, 0);
    s->get_options = leveldb_readoptions_create();
    leveldb_readoptions_set_verify_checksums(s->get_options, 1);
    s->scan_options = leveldb_readoptions_create();
    leveldb_readoptions_set_verify_checksums(s->scan_options, 1);
    leveldb_readoptions_set_fill_cache(s->scan_options, 0);
    s->sync_options = leveldb_writeoptions_create();
    leveldb_writeoptions_set_sync(s->sync_options, 1);
    s->async_options = leveldb_writeoptions_create();
    leveldb_writeoptions_set_sync(s->async_options, 0);
    s->batch = leveldb_writebatch_create();
}

static void store_leveldb_close(struct store *base)
{
    struct store_leveldb *s = container_of(base, struct store_leveldb, base);
    if (s->db != NULL) {
        leveldb_close(s->db);
    }
    leveldb_writebatch_destroy(s->batch);
    leveldb_writeoptions_destroy(s->async_options);
    leveldb_writeoptions_destroy(s->sync_options);
    leveldb_readoptions_destroy(s->scan_options);
    leveldb_readoptions_destroy(s->get_options);
    leveldb_options_destroy(s->options);
    leveldb_cache_destroy(s->cache);
    store_dir_close(s->dir); /* Last: it holds the lock. */
    store_base_release(base);
    free(s);
}

/* Opens the database where the directory is now. */
static int db_open(struct store_leveldb *s, struct buf *error)
{
    char *text = NULL;
    ASSERT(s->db == NULL);
    s->db = leveldb_open(s->options, store_dir_path(s->dir), &text);
    if (text == NULL) {
        return OK;
    }
    s->db = NULL;
    int rc = err_of_text(text);
    store_error_line(error, "cannot open %s: %s; %s", store_dir_path(s->dir), text, remedy_of(rc));
    leveldb_free(text);
    return rc;
}

static void batch_fill(struct store_leveldb *s, const struct store_batch *batch)
{
    size_t cursor = 0;
    struct bytes key;
    struct bytes value;
    bool is_delete = false;
    leveldb_writebatch_clear(s->batch);
    while (store_batch_next(batch, &cursor, &key, &value, &is_delete)) {
        if (is_delete) {
            leveldb_writebatch_delete(s->batch, (const char *) key.data, key.size);
        } else {
            leveldb_writebatch_put(s->batch, (const char *) key.data, key.size,
                                   (const char *) value.data, value.size);
        }
    }
}

static int store_leveldb_write(struct store *base, const struct store_batch *batch, bool sync)
{
    struct store_leveldb *s = container_of(base, struct store_leveldb, base);
    char *text = NULL;
    batch_fill(s, batch);
    leveldb_write(s->db, sync ? s->sync_options : s->async_options, s->batch, &text);
    if (store_batch_size(batch) > BATCH_KEEP_MAX) {
        leveldb_writebatch_destroy(s->batch);
        s->batch = leveldb_writebatch_create();
    }
    return text == NULL ? OK : leveldb_fail(s, text);
}

/* Makes a whole new database in a temporary directory, closes it, and gives it its name. */
static int create_at(struct store_leveldb *s, const char *path, const struct store_batch *initial,
                     struct buf *error)
{
    int rc = store_dir_create(path, &s->dir, error);
    if (rc != OK) {
        return rc;
    }
    leveldb_options_set_create_if_missing(s->options, 1);
    leveldb_options_set_error_if_exists(s->options, 1);
    rc = db_open(s, error);
    leveldb_options_set_create_if_missing(s->options, 0);
    leveldb_options_set_error_if_exists(s->options, 0);
    if (rc != OK) {
        return rc;
    }
    if (initial != NULL) {
        rc = store_leveldb_write(&s->base, initial, true);
        if (rc != OK) {
            store_error_line(error, "cannot create %s: %s; %s", path, store_base_error(&s->base),
                             remedy_of(rc));
            return rc;
        }
    }
    leveldb_close(s->db);
    s->db = NULL;
    return store_dir_commit(s->dir, error);
}

static int store_leveldb_open(const char *path, const struct store_options *options,
                              struct store **ret_store, struct buf *error)
{
    struct store_leveldb *s = xcalloc(1, sizeof *s);
    store_base_init(&s->base, &store_leveldb_ops);
    options_init(s, options);
    int rc = options->create ? create_at(s, path, options->initial, error)
                             : store_dir_open(path, "CURRENT", &s->dir, error);
    if (rc != OK) {
        goto out;
    }
    rc = leveldb_check(store_dir_path(s->dir), error);
    if (rc != OK) {
        goto out;
    }
    rc = db_open(s, error);
    if (rc != OK) {
        goto out;
    }
    /* LevelDB has begun a write-ahead file and renamed CURRENT, and does not sync the directory
     * behind that. A file system may keep what is synced in that file from now on and lose the
     * rename: then the file before it, which a crash may have torn, would still count. */
    rc = store_dir_sync(s->dir, error);
out:
    if (rc != OK) {
        store_leveldb_close(&s->base);
        return rc;
    }
    *ret_store = &s->base;
    return OK;
}

static int store_leveldb_get(struct store *base, struct bytes key, struct buf *ret_value)
{
    struct store_leveldb *s = container_of(base, struct store_leveldb, base);
    char *text = NULL;
    size_t size = 0;
    char *value =
        leveldb_get(s->db, s->get_options, (const char *) key.data, key.size, &size, &text);
    if (text != NULL) {
        return leveldb_fail(s, text);
    }
    if (value == NULL) {
        return ERR_NOT_FOUND;
    }
    int rc = ERR_LIMIT;
    if (size <= ret_value->size_max) {
        buf_clear(ret_value);
        rc = buf_append(ret_value, value, size);
    }
    leveldb_free(value);
    return rc;
}

/* An iterator of LevelDB sees the rows of the moment it was made, also without a snapshot. */
static const struct store_iter_ops iter_leveldb_ops;

static int store_leveldb_iter_new(struct store *base, bool snapshot, struct store_iter **ret_iter)
{
    struct store_leveldb *s = container_of(base, struct store_leveldb, base);
    struct iter_leveldb *it = xcalloc(1, sizeof *it);
    it->base.ops = &iter_leveldb_ops;
    it->owner = s;
    it->it = leveldb_create_iterator(s->db, snapshot ? s->scan_options : s->get_options);
    *ret_iter = &it->base;
    return OK;
}

static uint64_t store_leveldb_disk_size(struct store *base)
{
    struct store_leveldb *s = container_of(base, struct store_leveldb, base);
    return store_dir_size(s->dir);
}

static void iter_leveldb_free(struct store_iter *base)
{
    struct iter_leveldb *it = container_of(base, struct iter_leveldb, base);
    leveldb_iter_destroy(it->it);
    free(it);
}

/* An iterator of LevelDB steps over a damaged block and goes on behind it, and shows what the rows
 * in there had replaced. So its status is asked after each move, and with an error it is at its
 * end. */
static void iter_leveldb_moved(struct iter_leveldb *it)
{
    char *text = NULL;
    leveldb_iter_get_error(it->it, &text);
    if (text != NULL) {
        it->error = leveldb_fail(it->owner, text);
    }
}

static void iter_leveldb_seek(struct store_iter *base, struct bytes key)
{
    struct iter_leveldb *it = container_of(base, struct iter_leveldb, base);
    leveldb_iter_seek(it->it, (const char *) key.data, key.size);
    iter_leveldb_moved(it);
}

static bool iter_leveldb_valid(const struct store_iter *base)
{
    const struct iter_leveldb *it = (const struct iter_leveldb *) base;
    return it->error == OK && leveldb_iter_valid(it->it) != 0;
}

static void iter_leveldb_next(struct store_iter *base)
{
    struct iter_leveldb *it = container_of(base, struct iter_leveldb, base);
    leveldb_iter_next(it->it);
    iter_leveldb_moved(it);
}

static struct bytes iter_leveldb_key(const struct store_iter *base)
{
    size_t size = 0;
    const char *key = leveldb_iter_key(((const struct iter_leveldb *) base)->it, &size);
    return bytes_of(key, size);
}

static struct bytes iter_leveldb_value(const struct store_iter *base)
{
    size_t size = 0;
    const char *value = leveldb_iter_value(((const struct iter_leveldb *) base)->it, &size);
    return bytes_of(value, size);
}

static int iter_leveldb_error(const struct store_iter *base)
{
    return ((const struct iter_leveldb *) base)->error;
}

static const struct store_iter_ops iter_leveldb_ops = {
    .free = iter_leveldb_free,
    .seek = iter_leveldb_seek,
    .valid = iter_leveldb_valid,
    .next = iter_leveldb_next,
    .key = iter_leveldb_key,
    .value = iter_leveldb_value,
    .error = iter_leveldb_error,
};

const struct store_ops store_leveldb_ops = {
    .name = "leveldb",
    .open = store_leveldb_open,
    .close = store_leveldb_close,
    .get = store_leveldb_get,
    .write = store_leveldb_write,
    .iter_new = store_leveldb_iter_new,
    .disk_size = store_leveldb_disk_size,
    .last_error = store_base_error,
};
