/*
 * test_store_leveldb.c - what LevelDB really does, and that kv/store_leveldb.c guards against it.
 *
 * The tests named test_leveldb_* look at LevelDB itself: each shows a behaviour that a guard of
 * ours exists for (design.md 6). When one fails, LevelDB changed: read docs/storage-format.md
 * again. Property ids (D4...) are those of the design's durability table.
 */

#include <errno.h>
#include <fcntl.h>
#include <leveldb/c.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/assert.h"
#include "base/enc.h"
#include "base/mem.h"
#include "kv/leveldb_check.h"
#include "kv/store.h"
#include "kv/store_dir.h"
#include "tests/support/syscalls.h"
#include "tests/support/tempdir.h"

enum {
    ROWS = 60,
    VALUE_SIZE = 200,
};

struct fixture {
    char dir[TEMPDIR_PATH_MAX];
    char path[TEMPDIR_PATH_MAX]; /* of the store under test */
    char copy[TEMPDIR_PATH_MAX]; /* of a damaged copy */
    struct buf error;
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    tempdir_make(f->dir);
    (void) snprintf(f->path, sizeof f->path, "%.400s/store", f->dir);
    (void) snprintf(f->copy, sizeof f->copy, "%.400s/copy", f->dir);
    buf_init(&f->error, 4096);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    buf_release(&f->error);
    tempdir_remove(f->dir);
    free(f);
    return 0;
}

static int open_store(struct fixture *f, const char *path, bool create, struct store **ret_store)
{
    const struct store_options options = {.write_buffer_size = 1 << 20, .create = create};
    buf_clear(&f->error);
    return store_open(store_by_name("leveldb"), path, &options, ret_store, &f->error);
}

static struct store *must_open(struct fixture *f, const char *path, bool create)
{
    struct store *s = NULL;
    int rc = open_store(f, path, create, &s);
    ASSERT(rc == OK);
    return s;
}

static bool error_mentions(struct fixture *f, const char *text)
{
    struct bytes e = buf_bytes(&f->error);
    return memmem(e.data, e.size, text, strlen(text)) != NULL;
}

/* Row n: big-endian n -> n and a pattern. */
static int put_row(struct store *s, uint32_t n, size_t size, bool sync)
{
    uint8_t key[4];
    uint8_t *value = xmalloc(size);
    struct store_batch *batch = store_batch_new();
    enc_put_be32(key, n);
    for (size_t i = 0; i < size; i++) {
        value[i] = (uint8_t) (n * 13 + i);
    }
    store_batch_put(batch, bytes_of(key, sizeof key), bytes_of(value, size));
    int rc = store_write(s, batch, sync);
    store_batch_free(batch);
    free(value);
    return rc;
}

static void put_rows(struct store *s, uint32_t first, uint32_t count)
{
    for (uint32_t n = first; n < first + count; n++) {
        int rc = put_row(s, n, VALUE_SIZE, true);
        ASSERT(rc == OK);
    }
}

static bool row_right(uint32_t n, struct bytes value)
{
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] != (uint8_t) (n * 13 + i)) {
            return false;
        }
    }
    return true;
}

/* The number of rows if they are 0, 1, 2 ... without a gap and all right, the error when the store
 * cannot be opened or read, and -1 when something wrong was given as data. */
static int read_prefix(struct fixture *f, const char *path)
{
    struct store *s = NULL;
    struct store_iter *it = NULL;
    uint32_t n = 0;
    bool right = true;
    int rc = open_store(f, path, false, &s);
    if (rc != OK) {
        return rc;
    }
    rc = store_iter_new(s, true, &it);
    ASSERT(rc == OK);
    for (store_iter_seek(it, bytes_str("")); store_iter_valid(it) && right; store_iter_next(it)) {
        struct bytes key = store_iter_key(it);
        right = key.size == 4 && enc_get_be32(key.data) == n && row_right(n, store_iter_value(it));
        n++;
    }
    rc = store_iter_error(it);
    store_iter_free(it);
    store_close(s);
    if (rc != OK) {
        return rc;
    }
    return right ? (int) n : -1;
}

/* A store with ROWS rows, all in the write-ahead file. */
static void make_with_log(struct fixture *f)
{
    struct store *s = must_open(f, f->path, true);
    put_rows(s, 0, ROWS);
    store_close(s);
}

/* A store with ROWS rows, all in a table, as opening writes what is in the write-ahead file there.
 */
static void make_with_table(struct fixture *f)
{
    make_with_log(f);
    store_close(must_open(f, f->path, false));
}

static void copy_store(struct fixture *f)
{
    tempdir_remove(f->copy);
    tempdir_copy(f->path, f->copy);
}

/* The one file with this ending in the copy. */
static const char *copy_file(struct fixture *f, const char *prefix, const char *suffix)
{
    static char file[TEMPDIR_PATH_MAX];
    int found = tempdir_find(f->copy, prefix, suffix, 0, file);
    ASSERT(found);
    return file;
}

/* LevelDB with its defaults: the number of rows it gives, and whether it reported anything. */
static uint32_t raw_rows(const char *path, bool paranoid, bool verify, bool create,
                         bool *ret_reported)
{
    char *error = NULL;
    uint32_t rows = 0;
    leveldb_options_t *options = leveldb_options_create();
    leveldb_options_set_paranoid_checks(options, paranoid);
    leveldb_options_set_create_if_missing(options, create);
    leveldb_t *db = leveldb_open(options, path, &error);
    if (db != NULL) {
        leveldb_readoptions_t *reads = leveldb_readoptions_create();
        leveldb_readoptions_set_verify_checksums(reads, verify);
        leveldb_iterator_t *it = leveldb_create_iterator(db, reads);
        for (leveldb_iter_seek_to_first(it); leveldb_iter_valid(it); leveldb_iter_next(it)) {
            rows++;
        }
        leveldb_iter_get_error(it, &error);
        leveldb_iter_destroy(it);
        leveldb_readoptions_destroy(reads);
        leveldb_close(db);
    }
    *ret_reported = error != NULL;
    leveldb_free(error);
    leveldb_options_destroy(options);
    return rows;
}

/* ---- fact 1: without paranoid_checks damage in the write-ahead file is skipped in silence ---- */

static void test_leveldb_without_paranoid_checks_drops_damaged_record(void **state)
{
    struct fixture *f = *state;
    bool reported = true;
    make_with_log(f);
    copy_store(f);
    const char *log = copy_file(f, NULL, ".log");
    file_flip(log, file_size(log) / 2, 0x04);
    uint32_t rows = raw_rows(f->copy, false, false, false, &reported);
    assert_true(rows < ROWS);
    assert_false(reported);
}

static void test_store_leveldb_damaged_log_is_corrupt(void **state)
{
    struct fixture *f = *state;
    make_with_log(f);
    copy_store(f);
    const char *log = copy_file(f, NULL, ".log");
    file_flip(log, file_size(log) / 2, 0x04);
    assert_int_equal(read_prefix(f, f->copy), ERR_CORRUPT);
    assert_true(error_mentions(f, log)); /* D5: says which file */
    assert_true(error_mentions(f, "offset"));
    assert_true(error_mentions(f, "add it anew"));
}

/* D8: a flip in the last acknowledged record is not a torn end. */
static void test_store_leveldb_damaged_last_record_is_corrupt(void **state)
{
    struct fixture *f = *state;
    make_with_log(f);
    for (size_t back = 1; back < 7 + VALUE_SIZE; back += 10) {
        copy_store(f);
        const char *log = copy_file(f, NULL, ".log");
        file_flip(log, file_size(log) - back, 0x01);
        assert_int_equal(read_prefix(f, f->copy), ERR_CORRUPT);
    }
}

/* D8: what no writer can have begun is not a torn end. */
static void test_store_leveldb_overwritten_log_is_corrupt(void **state)
{
    struct fixture *f = *state;
    struct store *s = must_open(f, f->path, true);
    put_rows(s, 0, 5); /* less than a block */
    store_close(s);
    for (int way = 0; way < 2; way++) {
        copy_store(f);
        const char *log = copy_file(f, NULL, ".log");
        file_flip(log, 0, 0xff);                   /* the checksum fits nothing */
        file_flip(log, 5, way == 0 ? 0x80 : 0x40); /* larger than a block, or than the file */
        file_flip(log, 6, way == 0 ? 0x00 : 0x80); /* and of an unknown type */
        assert_int_equal(read_prefix(f, f->copy), ERR_CORRUPT);
    }
}

/* ---- fact 2: without verify_checksums a flipped bit in a table is data ---- */

static void test_leveldb_without_verify_checksums_returns_flipped_bit(void **state)
{
    struct fixture *f = *state;
    bool reported = true;
    make_with_table(f);
    copy_store(f);
    const char *table = copy_file(f, NULL, ".ldb");
    file_flip(table, 1000, 0x04);
    uint32_t rows = raw_rows(f->copy, true, false, false, &reported);
    assert_int_equal(rows, ROWS);
    assert_false(reported);
}

static void test_store_leveldb_damaged_table_is_corrupt(void **state)
{
    struct fixture *f = *state;
    struct buf value;
    uint8_t key[4];
    buf_init(&value, 4096);
    make_with_table(f);
    copy_store(f);
    const char *table = copy_file(f, NULL, ".ldb");
    size_t size = file_size(table);
    for (size_t at = 0; at < size; at += 97) {
        copy_store(f);
        file_flip(copy_file(f, NULL, ".ldb"), at, 0x40);
        int rc = read_prefix(f, f->copy);
        assert_true(rc == ERR_CORRUPT || rc == ROWS); /* The footer has padding. */
        assert_true(rc == ERR_CORRUPT || at > size - 48);
    }
    copy_store(f);
    file_flip(copy_file(f, NULL, ".ldb"), 1000, 0x04);
    struct store *s = must_open(f, f->copy, false);
    enc_put_be32(key, 5);
    assert_int_equal(store_get(s, bytes_of(key, sizeof key), &value), ERR_CORRUPT);
    assert_non_null(strstr(store_last_error(s), "Corruption"));
    buf_release(&value);
    store_close(s);
}

/* Without paranoid_checks a compaction copies a flipped bit into a new table, with a good checksum:
 * from then on it is data for everybody. */
static void test_store_leveldb_compaction_does_not_launder_damage(void **state)
{
    struct fixture *f = *state;
    struct store *s = NULL;
    int rc = OK;
    make_with_table(f);
    char table[TEMPDIR_PATH_MAX];
    assert_true(tempdir_find(f->path, NULL, ".ldb", 0, table));
    file_flip(table, 5000, 0x04);
    const struct store_options options = {.write_buffer_size = 64 << 10};
    assert_int_equal(store_open(store_by_name("leveldb"), f->path, &options, &s, NULL), OK);
    /* Tables that overlap the damaged one, until they must be merged. */
    for (uint32_t i = 0; i < 4000 && rc == OK; i++) {
        rc = put_row(s, i % 2 == 0 ? 0 : ROWS - 1, 4000, false);
    }
    store_close(s);
    assert_int_equal(rc, ERR_CORRUPT);
    assert_int_equal(read_prefix(f, f->path), ERR_CORRUPT);
}

/* ---- fact 3: a missing CURRENT is an empty database, for who lets LevelDB create one ---- */

static void test_leveldb_with_create_if_missing_forgets_everything(void **state)
{
    struct fixture *f = *state;
    bool reported = true;
    make_with_table(f);
    copy_store(f);
    (void) unlink(copy_file(f, "CURRENT", NULL));
    assert_int_equal(raw_rows(f->copy, true, true, true, &reported), 0);
    assert_false(reported);
}

static void test_store_leveldb_missing_current_is_not_an_empty_store(void **state)
{
    struct fixture *f = *state;
    struct store *s = NULL;
    make_with_table(f);
    copy_store(f);
    (void) unlink(copy_file(f, "CURRENT", NULL));
    assert_int_equal(open_store(f, f->copy, false, &s), ERR_CORRUPT);
    assert_true(error_mentions(f, f->copy));
    assert_true(error_mentions(f, "CURRENT"));
    assert_int_equal(open_store(f, f->copy, true, &s), ERR_EXISTS);
}

static void test_store_leveldb_missing_file_is_corrupt(void **state)
{
    struct fixture *f = *state;
    static const char *const suffixes[] = {".log", ".ldb"};
    make_with_table(f);
    struct store *s = must_open(f, f->path, false);
    assert_int_equal(put_row(s, ROWS, VALUE_SIZE, true), OK);
    store_close(s);
    assert_int_equal(read_prefix(f, f->path), ROWS + 1);
    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
        copy_store(f);
        (void) unlink(copy_file(f, NULL, suffixes[i]));
        assert_int_equal(read_prefix(f, f->copy), ERR_CORRUPT);
        assert_true(error_mentions(f, f->copy));
    }
    copy_store(f);
    (void) unlink(copy_file(f, "MANIFEST-", NULL));
    assert_int_equal(read_prefix(f, f->copy), ERR_CORRUPT);
    copy_store(f);
    file_write(copy_file(f, "CURRENT", NULL), "MANIFEST-");
    assert_int_equal(read_prefix(f, f->copy), ERR_CORRUPT);
    assert_true(error_mentions(f, "CURRENT"));
}

/* ---- fact 4: even paranoid, some damage is taken for the end of the file ---- */

static void test_leveldb_damaged_record_size_drops_all_behind_it(void **state)
{
    struct fixture *f = *state;
    bool reported = true;
    make_with_log(f);
    copy_store(f);
    /* The size of the first record, in the high byte: points beyond the end of the file. */
    file_flip(copy_file(f, NULL, ".log"), 5, 0x40);
    uint32_t rows = raw_rows(f->copy, true, true, false, &reported);
    assert_int_equal(rows, 0); /* All of them were acknowledged. */
    assert_false(reported);
}

static void test_leveldb_zeroed_block_is_skipped(void **state)
{
    struct fixture *f = *state;
    bool reported = true;
    make_with_log(f);
    copy_store(f);
    const char *log = copy_file(f, NULL, ".log");
    file_zero(log, 0, 4096);
    assert_int_equal(raw_rows(f->copy, true, true, false, &reported), 0);
    assert_false(reported);
}

static void test_leveldb_missing_log_is_not_noticed(void **state)
{
    struct fixture *f = *state;
    bool reported = true;
    make_with_log(f);
    copy_store(f);
    (void) unlink(copy_file(f, NULL, ".log"));
    assert_int_equal(raw_rows(f->copy, true, true, false, &reported), 0);
    assert_false(reported);
}

/* D5: each byte of the write-ahead file and of the MANIFEST, one bit at a time. */
static void test_store_leveldb_flip_anywhere_is_corrupt(void **state)
{
    struct fixture *f = *state;
    uint32_t silent = 0;
    make_with_log(f);
    copy_store(f);
    char log[TEMPDIR_PATH_MAX];
    (void) snprintf(log, sizeof log, "%s", copy_file(f, NULL, ".log"));
    size_t size = file_size(log);
    for (size_t at = 0; at < size; at++) {
        uint8_t mask = (uint8_t) (1 << at % 8);
        file_flip(log, at, mask);
        assert_int_equal(leveldb_check(f->copy, NULL), ERR_CORRUPT);
        if (at % 50 == 0) {
            assert_int_equal(read_prefix(f, f->copy), ERR_CORRUPT);
        }
        file_flip(log, at, mask);
    }
    assert_int_equal(leveldb_check(f->copy, NULL), OK);
    copy_store(f);
    size = file_size(copy_file(f, "MANIFEST-", NULL));
    for (size_t at = 0; at < size; at++) {
        copy_store(f);
        file_flip(copy_file(f, "MANIFEST-", NULL), at, (uint8_t) (1 << at % 8));
        silent += read_prefix(f, f->copy) == ERR_CORRUPT ? 0 : 1;
    }
    assert_int_equal(silent, 0);
}

static void test_store_leveldb_zeroed_block_is_corrupt(void **state)
{
    struct fixture *f = *state;
    struct store *s = must_open(f, f->path, true);
    put_rows(s, 0, 400); /* several blocks */
    store_close(s);
    copy_store(f);
    size_t size = file_size(copy_file(f, NULL, ".log"));
    assert_true(size > 2 * 32768);
    for (size_t at = 0; at + 4096 < size; at += 4096) {
        copy_store(f);
        file_zero(copy_file(f, NULL, ".log"), at, 4096);
        assert_int_equal(read_prefix(f, f->copy), ERR_CORRUPT);
    }
    copy_store(f);
    file_zero(copy_file(f, NULL, ".log"), 0, 32768); /* a whole block */
    assert_int_equal(read_prefix(f, f->copy), ERR_CORRUPT);
    copy_store(f);
    file_cut(copy_file(f, NULL, ".log"), 20000); /* all in one block */
    file_zero(copy_file(f, NULL, ".log"), 0, 4096);
    assert_int_equal(read_prefix(f, f->copy), ERR_CORRUPT);
    copy_store(f);
    file_zero(copy_file(f, NULL, ".log"), 0, size);
    assert_int_equal(read_prefix(f, f->copy), 0); /* All zeros: as if nothing was ever written. */
}

/* As above, where the next block begins with a record of its own and so gives nothing away. */
static void test_store_leveldb_zeroed_first_block_is_corrupt(void **state)
{
    struct fixture *f = *state;
    struct store *s = must_open(f, f->path, true);
    const size_t value_size = 32768 - 7 - 12 - 1 - 1 - 4 - 3; /* fills a block to its last byte */
    assert_int_equal(put_row(s, 0, value_size, true), OK);
    put_rows(s, 1, 3);
    store_close(s);
    copy_store(f);
    assert_int_equal(leveldb_check(f->copy, NULL), OK);
    file_zero(copy_file(f, NULL, ".log"), 0, 32768);
    assert_int_equal(leveldb_check(f->copy, NULL), ERR_CORRUPT);
}

/* A fragment in the wrong place has a good checksum. */
static void test_store_leveldb_misplaced_block_is_corrupt(void **state)
{
    struct fixture *f = *state;
    static uint8_t block[32768];
    struct store *s = must_open(f, f->path, true);
    assert_int_equal(put_row(s, 0, 100000, true), OK); /* FIRST, MIDDLE, MIDDLE, LAST */
    put_rows(s, 1, 400);
    store_close(s);
    static const off_t moves[][2] = {{1, 0}, {0, 1}};
    for (size_t i = 0; i < ARRAY_SIZE(moves); i++) {
        copy_store(f);
        int fd = open(copy_file(f, NULL, ".log"), O_RDWR);
        assert_int_equal(pread(fd, block, sizeof block, moves[i][0] * 32768), sizeof block);
        assert_int_equal(pwrite(fd, block, sizeof block, moves[i][1] * 32768), sizeof block);
        close(fd);
        assert_int_equal(leveldb_check(f->copy, NULL), ERR_CORRUPT);
    }
}

/* D4, D8: a crash cuts the write-ahead file anywhere; what is left is a prefix. */
static void test_store_leveldb_cut_log_is_a_prefix(void **state)
{
    struct fixture *f = *state;
    int before = -1;
    struct store *s = must_open(f, f->path, true);
    put_rows(s, 0, 20);
    assert_int_equal(put_row(s, 20, 70000, true), OK); /* spans blocks */
    assert_int_equal(put_row(s, 21, VALUE_SIZE, true), OK);
    store_close(s);
    copy_store(f);
    size_t size = file_size(copy_file(f, NULL, ".log"));
    for (size_t cut = 0; cut <= size; cut += cut + 40000 < size && cut > 5000 ? 997 : 61) {
        copy_store(f);
        file_cut(copy_file(f, NULL, ".log"), cut);
        int rows = read_prefix(f, f->copy);
        assert_true(rows >= 0);
        assert_true(rows >= before);
        before = rows;
    }
    assert_true(before >= 20);
    assert_int_equal(read_prefix(f, f->path), 22);
}

/* An older write-ahead file was complete before the newer one was begun. */
static void test_store_leveldb_torn_older_log_is_corrupt(void **state)
{
    struct fixture *f = *state;
    char newer[TEMPDIR_PATH_MAX];
    make_with_log(f);
    copy_store(f);
    char older[TEMPDIR_PATH_MAX];
    (void) snprintf(older, sizeof older, "%s", copy_file(f, NULL, ".log"));
    (void) snprintf(newer, sizeof newer, "%.400s/000999.log", f->copy);
    file_cut(older, file_size(older) - 3);
    file_write(newer, "");
    assert_int_equal(leveldb_check(f->copy, NULL), OK); /* Begun, nothing in it yet. */
    (void) unlink(newer);
    tempdir_remove(f->copy);
    copy_store(f);
    int rc = link(copy_file(f, NULL, ".log"), newer);
    assert_int_equal(rc, 0);
    assert_int_equal(leveldb_check(f->copy, NULL), OK);
    (void) unlink(older);
    char original[TEMPDIR_PATH_MAX];
    assert_true(tempdir_find(f->path, NULL, ".log", 0, original));
    file_cut(original, file_size(original) - 3);
    assert_int_equal(rename(original, older), 0);
    buf_clear(&f->error);
    assert_int_equal(leveldb_check(f->copy, &f->error), ERR_CORRUPT);
    assert_true(error_mentions(f, older));
}

static void test_store_leveldb_cut_table_or_manifest_is_never_wrong_data(void **state)
{
    struct fixture *f = *state;
    make_with_table(f);
    copy_store(f);
    size_t size = file_size(copy_file(f, NULL, ".ldb"));
    for (size_t cut = 0; cut < size; cut += 501) {
        copy_store(f);
        file_cut(copy_file(f, NULL, ".ldb"), cut);
        assert_int_equal(read_prefix(f, f->copy), ERR_CORRUPT);
    }
}

/* ---- fact 5: an iterator steps over a damaged block, and shows what was replaced in there ---- */

/* Two tables: the newer one has each row again, one byte longer. Its first block is damaged. */
static void make_with_replaced_rows(struct fixture *f)
{
    char newer[TEMPDIR_PATH_MAX];
    make_with_table(f);
    struct store *s = must_open(f, f->path, false);
    for (uint32_t n = 0; n < ROWS; n++) {
        assert_int_equal(put_row(s, n, VALUE_SIZE + 1, true), OK);
    }
    store_close(s);
    store_close(must_open(f, f->path, false));
    assert_true(tempdir_find(f->path, NULL, ".ldb", 1, newer));
    file_flip(newer, 1000, 0x04);
}

static void test_leveldb_iterator_shows_replaced_rows_behind_damage(void **state)
{
    struct fixture *f = *state;
    bool reported = false;
    make_with_replaced_rows(f);
    assert_int_equal(raw_rows(f->path, true, true, false, &reported), ROWS);
    assert_true(reported); /* Only for who asks, and it never stopped. */
}

static void test_store_leveldb_iterator_ends_at_damage(void **state)
{
    struct fixture *f = *state;
    struct store_iter *it = NULL;
    uint32_t stale = 0;
    make_with_replaced_rows(f);
    struct store *s = must_open(f, f->path, false);
    assert_int_equal(store_iter_new(s, true, &it), OK);
    for (store_iter_seek(it, bytes_str("")); store_iter_valid(it); store_iter_next(it)) {
        stale += store_iter_value(it).size == VALUE_SIZE + 1 ? 0 : 1;
    }
    assert_int_equal(stale, 0);
    assert_int_equal(store_iter_error(it), ERR_CORRUPT);
    store_iter_seek(it, bytes_str("\xff")); /* It does not recover. */
    assert_false(store_iter_valid(it));
    assert_int_equal(store_iter_error(it), ERR_CORRUPT);
    store_iter_free(it);
    store_close(s);
}

/* ---- creation is atomic (D4) ---- */

struct creation {
    const char *path;
};

static void create_in_child(void *ctx)
{
    const struct creation *c = ctx;
    struct store *s = NULL;
    struct store_batch *initial = store_batch_new();
    store_batch_put(initial, bytes_of("\0\0\0\0", 4), bytes_of("", 0));
    const struct store_options options = {.create = true, .initial = initial};
    syscalls_mark();
    int rc = store_open(store_by_name("leveldb"), c->path, &options, &s, NULL);
    syscalls_mark();
    _exit(rc == OK ? 0 : 1); /* As if killed: nothing is closed. */
}

static void test_store_leveldb_create_killed_anywhere_is_all_or_nothing(void **state)
{
    struct fixture *f = *state;
    const struct creation c = {.path = f->path};
    uint32_t nothing = 0;
    uint32_t all = 0;
    for (uint32_t kill_at = 0;; kill_at++) {
        struct syscalls calls;
        struct store *s = NULL;
        tempdir_remove(f->path); /* path.tmp stays, as a real crash would leave it */
        syscalls_run(create_in_child, (void *) (uintptr_t) &c, kill_at, &calls);
        bool finished = calls.finished;
        bool supported = calls.supported;
        syscalls_release(&calls);
        if (!supported) {
            print_message("tracing is not permitted here: skipped\n");
            skip();
        }
        int rows = read_prefix(f, f->path);
        if (rows == ERR_NOT_FOUND) {
            nothing++;
            if (kill_at % 10 == 0) { /* and it can be created after all */
                assert_int_equal(open_store(f, f->path, true, &s), OK);
                store_close(s);
            }
        } else {
            assert_int_equal(rows, 1);
            all++;
        }
        if (finished) {
            break;
        }
    }
    assert_true(nothing > 20);
    assert_true(all > 0);
}

static bool is_rename(uint32_t number)
{
#ifdef SYS_rename
    if (number == SYS_rename) {
        return true;
    }
#endif
    return number == SYS_renameat || number == SYS_renameat2;
}

/* The order that makes the rename safe: the files, the directory, rename, the parent. LevelDB
 * renames too (CURRENT); ours is the one right after a sync of the directory. */
static void test_store_leveldb_create_syncs_around_rename(void **state)
{
    struct fixture *f = *state;
    const struct creation c = {.path = f->path};
    struct syscalls calls;
    uint32_t syncs = 0;
    uint32_t before = 0;
    bool after = false;
    syscalls_run(create_in_child, (void *) (uintptr_t) &c, UINT32_MAX, &calls);
    if (!calls.supported) {
        syscalls_release(&calls);
        skip();
    }
    for (uint32_t i = 1; i + 4 < calls.count && before == 0; i++) {
        if (is_rename(calls.numbers[i]) && calls.numbers[i - 1] == SYS_fsync) {
            before = syncs;
            for (uint32_t k = 1; k <= 4; k++) {
                after = after || calls.numbers[i + k] == SYS_fsync;
            }
        } else if (is_rename(calls.numbers[i])) {
            syncs = 0;
        } else if (calls.numbers[i] == SYS_fsync) {
            syncs++;
        }
    }
    bool finished = calls.finished;
    syscalls_release(&calls);
    assert_true(finished);
    assert_true(before >= 5); /* MANIFEST, CURRENT, write-ahead file, LOG, LOCK, directory */
    assert_true(after);
}

static void test_store_leveldb_half_made_directory_is_not_found(void **state)
{
    struct fixture *f = *state;
    struct store *s = NULL;
    char temporary[TEMPDIR_PATH_MAX];
    char file[TEMPDIR_PATH_MAX];
    (void) snprintf(temporary, sizeof temporary, "%.400s.tmp", f->path);
    assert_int_equal(mkdir(temporary, 0700), 0);
    (void) snprintf(file, sizeof file, "%.400s/MANIFEST-000001", temporary);
    file_write(file, "half");
    assert_int_equal(open_store(f, f->path, false, &s), ERR_NOT_FOUND);
    assert_true(error_mentions(f, "interrupted"));
    s = must_open(f, f->path, true);
    put_rows(s, 0, 3);
    store_close(s);
    assert_int_equal(read_prefix(f, f->path), 3);
    assert_int_not_equal(access(temporary, F_OK), 0);
}

static void test_store_leveldb_create_where_something_is_touches_nothing(void **state)
{
    struct fixture *f = *state;
    struct store *s = NULL;
    char file[TEMPDIR_PATH_MAX];
    assert_int_equal(mkdir(f->path, 0700), 0);
    assert_int_equal(open_store(f, f->path, false, &s), ERR_NOT_FOUND);
    assert_true(error_mentions(f, "empty"));
    (void) snprintf(file, sizeof file, "%.400s/letters", f->path);
    file_write(file, "dear");
    assert_int_equal(open_store(f, f->path, true, &s), ERR_EXISTS);
    assert_int_equal(open_store(f, f->path, false, &s), ERR_CORRUPT);
    assert_int_equal(file_size(file), 4);
    (void) unlink(file);
    s = must_open(f, f->path, true); /* An empty directory is no obstacle. */
    store_close(s);
}

/* A directory below path.tmp is not of our making: it is not emptied away. */
static void test_store_leveldb_create_refuses_strange_leftovers(void **state)
{
    struct fixture *f = *state;
    struct store *s = NULL;
    char inner[TEMPDIR_PATH_MAX];
    (void) snprintf(inner, sizeof inner, "%.400s.tmp", f->path);
    assert_int_equal(mkdir(inner, 0700), 0);
    (void) snprintf(inner, sizeof inner, "%.400s.tmp/precious", f->path);
    assert_int_equal(mkdir(inner, 0700), 0);
    assert_int_equal(open_store(f, f->path, true, &s), ERR_IO);
    assert_true(error_mentions(f, "cannot empty"));
    assert_int_equal(access(inner, F_OK), 0);
}

/* The directory itself, without LevelDB behind it. */
static void test_store_dir_second_open_is_locked(void **state)
{
    struct fixture *f = *state;
    struct store_dir *first = NULL;
    struct store_dir *second = NULL;
    assert_int_equal(store_dir_create(f->path, &first, NULL), OK);
    assert_int_equal(store_dir_create(f->path, &second, NULL), ERR_LOCKED);
    char file[TEMPDIR_PATH_MAX];
    (void) snprintf(file, sizeof file, "%.400s/data", store_dir_path(first));
    file_write(file, "12345");
    assert_int_equal(store_dir_open(f->path, "data", &second, NULL), ERR_NOT_FOUND);
    assert_int_equal(store_dir_commit(first, NULL), OK);
    assert_string_equal(store_dir_path(first), f->path);
    assert_int_equal(store_dir_size(first), 5);
    assert_int_equal(store_dir_open(f->path, "data", &second, NULL), ERR_LOCKED);
    store_dir_close(first);
    assert_int_equal(store_dir_open(f->path, "data", &second, NULL), OK);
    store_dir_close(second);
    second = NULL;
    assert_int_equal(store_dir_open(f->path, "marker", &second, &f->error), ERR_CORRUPT);
    assert_true(error_mentions(f, "marker"));
    assert_null(second);
    store_dir_close(NULL);
}

static void test_store_leveldb_create_in_missing_parent_names_remedy(void **state)
{
    struct fixture *f = *state;
    struct store *s = NULL;
    char path[TEMPDIR_PATH_MAX];
    (void) snprintf(path, sizeof path, "%.400s/no/such", f->dir);
    assert_int_equal(open_store(f, path, true, &s), ERR_IO);
    assert_true(error_mentions(f, path));
    assert_true(error_mentions(f, "No such file or directory"));
    assert_true(error_mentions(f, "create the directory"));
}

static void test_store_leveldb_trailing_slash_is_the_same_store(void **state)
{
    struct fixture *f = *state;
    char path[TEMPDIR_PATH_MAX];
    (void) snprintf(path, sizeof path, "%.400s//", f->path);
    struct store *s = must_open(f, path, true);
    put_rows(s, 0, 2);
    store_close(s);
    assert_int_equal(read_prefix(f, f->path), 2);
}

/* ---- locks ---- */

static void test_store_leveldb_lock_of_other_process_is_locked(void **state)
{
    struct fixture *f = *state;
    struct store *s = NULL;
    int to_child[2];
    int to_parent[2];
    char byte = 0;
    make_with_log(f);
    assert_int_equal(pipe(to_child), 0);
    assert_int_equal(pipe(to_parent), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(to_child[1]);
        struct store *mine = must_open(f, f->path, false);
        ssize_t n = write(to_parent[1], "x", 1);
        n += read(to_child[0], &byte, 1);
        (void) n;
        (void) mine;
        _exit(0);
    }
    close(to_child[0]);
    assert_int_equal(read(to_parent[0], &byte, 1), 1);
    assert_int_equal(open_store(f, f->path, false, &s), ERR_LOCKED);
    assert_true(error_mentions(f, f->path));
    assert_true(error_mentions(f, "running process"));
    close(to_child[1]);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(read_prefix(f, f->path), ROWS); /* The dead hold no lock. */
    close(to_parent[0]);
    close(to_parent[1]);
}

/* ---- writes are synced, and a failed one is final ---- */

static void write_in_child(void *ctx)
{
    const struct creation *c = ctx;
    const struct store_options options = {.create = false};
    struct store *s = NULL;
    int rc = store_open(store_by_name("leveldb"), c->path, &options, &s, NULL);
    ASSERT(rc == OK);
    syscalls_mark();
    rc = put_row(s, ROWS, VALUE_SIZE, true);
    ASSERT(rc == OK);
    syscalls_mark();
    rc = put_row(s, ROWS + 1, VALUE_SIZE, false);
    ASSERT(rc == OK);
    syscalls_mark();
}

static void test_store_leveldb_sync_write_is_synced(void **state)
{
    struct fixture *f = *state;
    const struct creation c = {.path = f->path};
    struct syscalls calls;
    make_with_log(f);
    syscalls_run(write_in_child, (void *) (uintptr_t) &c, UINT32_MAX, &calls);
    if (!calls.supported) {
        syscalls_release(&calls);
        skip();
    }
    assert_true(calls.finished);
    assert_int_equal(syscalls_between(&calls, 0, SYS_fdatasync), 1);
    assert_int_equal(syscalls_between(&calls, 1, SYS_fdatasync), 0);
    syscalls_release(&calls);
}

static bool mount_small(const char *dir)
{
    if (mount("tmpfs", dir, "tmpfs", 0, "size=3m") == 0) {
        return true;
    }
    print_message("mounting a small tmpfs is not permitted here (%s): skipped\n", strerror(errno));
    return false;
}

/* D6, D7. Room appears again after the failure, and still nothing is written. */
static void test_store_leveldb_full_disk_is_final_and_keeps_what_was_acknowledged(void **state)
{
    struct fixture *f = *state;
    char filler[TEMPDIR_PATH_MAX];
    if (!mount_small(f->dir)) {
        skip();
    }
    (void) snprintf(filler, sizeof filler, "%.400s/filler", f->dir);
    struct store *s = must_open(f, f->path, true);
    put_rows(s, 0, ROWS);
    int fd = open(filler, O_WRONLY | O_CREAT, 0600);
    static const uint8_t zeros[65536];
    while (write(fd, zeros, sizeof zeros) > 0) {
    }
    close(fd);
    uint32_t acknowledged = ROWS;
    int rc = OK;
    while (rc == OK && acknowledged < 1000000) {
        rc = put_row(s, acknowledged, 3000, true);
        acknowledged += rc == OK ? 1 : 0;
    }
    bool named = strstr(store_last_error(s), "No space left") != NULL;
    (void) unlink(filler);
    int again = put_row(s, acknowledged, 10, true);
    int more = put_row(s, acknowledged + 1, 10, false);
    store_close(s);
    int rows = read_prefix(f, f->path);
    (void) umount2(f->dir, MNT_DETACH);
    assert_int_equal(rc, ERR_NO_SPACE);
    assert_true(named);
    assert_int_equal(again, ERR_NO_SPACE);
    assert_int_equal(more, ERR_NO_SPACE);
    assert_true(rows == (int) acknowledged || rows == (int) acknowledged + 1);
}

static void test_store_leveldb_create_on_full_disk_is_no_space(void **state)
{
    struct fixture *f = *state;
    char filler[TEMPDIR_PATH_MAX];
    struct store *s = NULL;
    if (!mount_small(f->dir)) {
        skip();
    }
    (void) snprintf(filler, sizeof filler, "%.400s/filler", f->dir);
    int fd = open(filler, O_WRONLY | O_CREAT, 0600);
    static const uint8_t zeros[4096];
    while (write(fd, zeros, sizeof zeros) > 0) {
    }
    close(fd);
    int full = open_store(f, f->path, true, &s);
    bool named = error_mentions(f, "free space");
    (void) unlink(filler);
    int missing = open_store(f, f->path, false, &s);
    int roomy = open_store(f, f->path, true, &s);
    if (roomy == OK) {
        store_close(s);
    }
    (void) umount2(f->dir, MNT_DETACH);
    assert_int_equal(full, ERR_NO_SPACE);
    assert_true(named);
    assert_int_equal(missing, ERR_NOT_FOUND);
    assert_int_equal(roomy, OK);
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(test_leveldb_without_paranoid_checks_drops_damaged_record),
        STORE_TEST(test_store_leveldb_damaged_log_is_corrupt),
        STORE_TEST(test_store_leveldb_damaged_last_record_is_corrupt),
        STORE_TEST(test_store_leveldb_overwritten_log_is_corrupt),
        STORE_TEST(test_leveldb_without_verify_checksums_returns_flipped_bit),
        STORE_TEST(test_store_leveldb_damaged_table_is_corrupt),
        STORE_TEST(test_store_leveldb_compaction_does_not_launder_damage),
        STORE_TEST(test_leveldb_with_create_if_missing_forgets_everything),
        STORE_TEST(test_store_leveldb_missing_current_is_not_an_empty_store),
        STORE_TEST(test_store_leveldb_missing_file_is_corrupt),
        STORE_TEST(test_leveldb_damaged_record_size_drops_all_behind_it),
        STORE_TEST(test_leveldb_zeroed_block_is_skipped),
        STORE_TEST(test_leveldb_missing_log_is_not_noticed),
        STORE_TEST(test_store_leveldb_flip_anywhere_is_corrupt),
        STORE_TEST(test_store_leveldb_zeroed_block_is_corrupt),
        STORE_TEST(test_store_leveldb_zeroed_first_block_is_corrupt),
        STORE_TEST(test_store_leveldb_misplaced_block_is_corrupt),
        STORE_TEST(test_store_leveldb_cut_log_is_a_prefix),
        STORE_TEST(test_store_leveldb_torn_older_log_is_corrupt),
        STORE_TEST(test_store_leveldb_cut_table_or_manifest_is_never_wrong_data),
        STORE_TEST(test_leveldb_iterator_shows_replaced_rows_behind_damage),
        STORE_TEST(test_store_leveldb_iterator_ends_at_damage),
        STORE_TEST(test_store_leveldb_create_killed_anywhere_is_all_or_nothing),
        STORE_TEST(test_store_leveldb_create_syncs_around_rename),
        STORE_TEST(test_store_leveldb_half_made_directory_is_not_found),
        STORE_TEST(test_store_leveldb_create_where_something_is_touches_nothing),
        STORE_TEST(test_store_leveldb_create_refuses_strange_leftovers),
        STORE_TEST(test_store_dir_second_open_is_locked),
        STORE_TEST(test_store_leveldb_create_in_missing_parent_names_remedy),
        STORE_TEST(test_store_leveldb_trailing_slash_is_the_same_store),
        STORE_TEST(test_store_leveldb_lock_of_other_process_is_locked),
        STORE_TEST(test_store_leveldb_sync_write_is_synced),
        STORE_TEST(test_store_leveldb_full_disk_is_final_and_keeps_what_was_acknowledged),
        STORE_TEST(test_store_leveldb_create_on_full_disk_is_no_space),
    };
    return cmocka_run_group_tests_name("store_leveldb", tests, NULL, NULL);
}
