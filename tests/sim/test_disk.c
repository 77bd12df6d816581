/*
 * test_disk.c - the model disk (tests/sim/disk.h): every fault does what it says, and no other.
 *
 * Property ids are those of the design's durability table. The contract suites run over the model
 * as well; test_disk_faithful.c compares it with LevelDB.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/assert.h"
#include "base/enc.h"
#include "base/mem.h"
#include "base/rng.h"
#include "kv/store.h"
#include "tests/sim/disk.h"
#include "tests/sim/disk_internal.h"

enum {
    SEEDS = 200,
    VALUE_SIZE = 100,
    BUFFER = 2000, /* some twenty rows of VALUE_SIZE */
};

static const char log_path[] = "node/log";
static const char state_path[] = "node/state";

struct rig {
    struct sim_disk *disk;
    struct store *store;
    struct buf error;
    struct buf value;
};

static struct rig *rig_new(uint64_t seed, uint64_t buffer_bytes)
{
    struct rig *r = xcalloc(1, sizeof *r);
    const struct sim_disk_options options = {.seed = seed, .buffer_bytes = buffer_bytes};
    r->disk = sim_disk_new(&options);
    buf_init(&r->error, 4096);
    buf_init(&r->value, 1 << 20);
    return r;
}

static int rig_try_open(struct rig *r, const char *path, bool create)
{
    const struct store_options options = {.create = create, .device = r->disk};
    store_close(r->store);
    r->store = NULL;
    buf_clear(&r->error);
    return store_open(&sim_store_ops, path, &options, &r->store, &r->error);
}

static void rig_open(struct rig *r, const char *path, bool create)
{
    int rc = rig_try_open(r, path, create);
    ASSERT(rc == OK);
}

static void rig_close(struct rig *r)
{
    store_close(r->store);
    r->store = NULL;
}

static void rig_free(struct rig *r)
{
    rig_close(r);
    sim_disk_free(r->disk);
    buf_release(&r->error);
    buf_release(&r->value);
    free(r);
}

static bool error_mentions(struct rig *r, const char *text)
{
    struct bytes e = buf_bytes(&r->error);
    return memmem(e.data, e.size, text, strlen(text)) != NULL;
}

static struct sim_disk_counts counts(struct rig *r)
{
    struct sim_disk_counts c;
    sim_disk_counts(r->disk, &c);
    return c;
}

/* Row n: big-endian n -> `size` bytes of n. */
static int put(struct rig *r, uint32_t n, size_t size, bool sync)
{
    uint8_t key[4];
    uint8_t *value = xmalloc(size + 1);
    struct store_batch *batch = store_batch_new();
    enc_put_be32(key, n);
    memset(value, (int) (n % 251), size);
    store_batch_put(batch, bytes_of(key, sizeof key), bytes_of(value, size));
    int rc = store_write(r->store, batch, sync);
    store_batch_free(batch);
    free(value);
    return rc;
}

static void put_rows(struct rig *r, uint32_t first, uint32_t count)
{
    for (uint32_t n = first; n < first + count; n++) {
        int rc = put(r, n, VALUE_SIZE, true);
        ASSERT(rc == OK);
    }
}

static int get(struct rig *r, uint32_t n)
{
    uint8_t key[4];
    enc_put_be32(key, n);
    return store_get(r->store, bytes_of(key, sizeof key), &r->value);
}

/* How many rows there are, or the error; *ret_gap: a number below the highest is missing. */
static int read_rows(struct rig *r, bool *ret_gap)
{
    struct store_iter *it = NULL;
    uint32_t next = 0;
    int count = 0;
    *ret_gap = false;
    int rc = store_iter_new(r->store, true, &it);
    ASSERT(rc == OK);
    for (store_iter_seek(it, bytes_str("")); store_iter_valid(it); store_iter_next(it)) {
        uint32_t n = enc_get_be32(store_iter_key(it).data);
        struct bytes value = store_iter_value(it);
        ASSERT(value.size == 0 || value.data[value.size - 1] == n % 251);
        *ret_gap = *ret_gap || n != next;
        next = n + 1;
        count++;
    }
    rc = store_iter_error(it);
    store_iter_free(it);
    return rc != OK ? rc : count;
}

/* How many rows there are, all from 0 on; -1 when there is a gap; or the error of opening or
 * reading. */
static int reopen_rows(struct rig *r, const char *path)
{
    bool gap = false;
    int rc = rig_try_open(r, path, false);
    if (rc != OK) {
        return rc;
    }
    int rows = read_rows(r, &gap);
    return gap ? -1 : rows;
}

/* ---- crashes ---- */

/* D2. */
static void test_disk_synced_write_survives_crash(void **state)
{
    (void) state;
    struct rig *r = rig_new(1, BUFFER);
    rig_open(r, state_path, true);
    for (uint32_t n = 0; n < 100; n++) {
        put_rows(r, n, 1);
        sim_disk_crash(r->disk);
        assert_int_equal(reopen_rows(r, state_path), n + 1);
    }
    assert_int_equal(counts(r).lost_records, 0);
    rig_free(r);
}

static void test_disk_unsynced_write_survives_kill_and_may_go_in_crash(void **state)
{
    (void) state;
    uint32_t lost = 0;
    uint32_t kept = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rig *r = rig_new(seed, BUFFER);
        rig_open(r, state_path, true);
        put_rows(r, 0, 1);
        assert_int_equal(put(r, 1, VALUE_SIZE, false), OK);
        sim_disk_kill(r->disk);
        assert_int_equal(reopen_rows(r, state_path), 2);
        assert_int_equal(put(r, 2, VALUE_SIZE, false), OK);
        sim_disk_crash(r->disk);
        int rows = reopen_rows(r, state_path);
        assert_true(rows == 2 || rows == 3);
        lost += rows == 2 ? 1 : 0;
        kept += rows == 3 ? 1 : 0;
        assert_int_equal(counts(r).lost_records, rows == 2 ? 1 : 0);
        rig_free(r);
    }
    assert_true(lost > SEEDS / 10);
    assert_true(kept > SEEDS / 10);
}

/* What a process wrote before it died is written, but a later power loss may take it. */
static void test_disk_crash_after_kill_takes_unsynced(void **state)
{
    (void) state;
    uint32_t lost = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rig *r = rig_new(seed, BUFFER);
        rig_open(r, state_path, true);
        assert_int_equal(put(r, 0, VALUE_SIZE, false), OK);
        sim_disk_kill(r->disk);
        sim_disk_crash(r->disk);
        lost += reopen_rows(r, state_path) == 0 ? 1 : 0;
        rig_free(r);
    }
    assert_true(lost > SEEDS / 10);
}

static void test_disk_torn_record_is_dropped(void **state)
{
    (void) state;
    uint32_t torn = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rig *r = rig_new(seed, 1 << 20);
        rig_open(r, state_path, true);
        put_rows(r, 0, 2);
        for (uint32_t n = 2; n < 5; n++) {
            assert_int_equal(put(r, n, 40000, false), OK); /* spans blocks of the file */
        }
        sim_disk_crash(r->disk);
        const struct sim_wal *w = sim_files_wal(&sim_disk_db(r->disk, SIM_FILE_STATE)->files);
        assert_true(!sim_wal_torn(w) || w->size % SIM_SECTOR == 0);
        uint64_t was_torn = counts(r).torn_records;
        int rows = reopen_rows(r, state_path);
        assert_true(rows >= 2 && rows <= 5);
        assert_true(was_torn == 0 || rows < 5);
        torn += was_torn > 0 ? 1 : 0;
        rig_free(r);
    }
    assert_true(torn > SEEDS / 10);
}

static void test_disk_dead_store_gives_errors(void **state)
{
    (void) state;
    for (int way = 0; way < 2; way++) {
        struct rig *r = rig_new(1, BUFFER);
        struct store_iter *it = NULL;
        rig_open(r, state_path, true);
        put_rows(r, 0, 3);
        struct store *old = r->store;
        r->store = NULL;
        if (way == 0) {
            sim_disk_crash(r->disk);
        } else {
            sim_disk_kill(r->disk);
        }
        rig_open(r, state_path, false); /* Before the dead one is closed. */
        struct store *live = r->store;
        r->store = old;
        assert_int_equal(put(r, 3, VALUE_SIZE, true), ERR_IO);
        assert_int_equal(get(r, 1), ERR_IO);
        assert_int_equal(store_iter_new(old, false, &it), ERR_IO);
        assert_string_not_equal(store_last_error(old), "");
        store_close(old);
        r->store = live;
        put_rows(r, 3, 1);
        assert_int_equal(reopen_rows(r, state_path), 4);
        rig_free(r);
    }
}

/* google/leveldb#193: un-synced rows at the end of a write-ahead file, synced ones in the next. Cut
 * between records it is a hole; inside one, the check refuses the file. */
static void test_disk_mixed_writes_leave_holes(void **state)
{
    (void) state;
    uint32_t holes = 0;
    uint32_t refused = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rig *r = rig_new(seed, BUFFER);
        rig_open(r, state_path, true);
        for (uint32_t n = 0; n < 60; n++) {
            assert_int_equal(put(r, n, VALUE_SIZE, n % 20 == 0), OK);
        }
        sim_disk_crash(r->disk);
        uint64_t lost_holes = counts(r).lost_holes;
        int rows = reopen_rows(r, state_path);
        assert_true(rows >= -1 || rows == ERR_CORRUPT);
        assert_int_equal(lost_holes > 0, rows < 0);
        holes += rows == -1 ? 1 : 0;
        refused += rows == ERR_CORRUPT ? 1 : 0;
        if (rows == ERR_CORRUPT) {
            assert_true(error_mentions(r, "incomplete record"));
        }
        rig_free(r);
    }
    assert_true(holes > 0);
    assert_true(refused > 0);
}

/* ---- all writes synced: what a node does (D4, D8) ---- */

struct history {
    uint32_t told;  /* rows that were acknowledged */
    uint32_t tried; /* rows that may be there */
};

/* Writes and then makes the next fault; the store is dead or failed afterwards. */
static void random_fault(struct rig *r, struct rng *rng, struct history *h)
{
    switch (rng_below(rng, 4)) {
    case 0:
        sim_disk_hold_syncs(r->disk);
        for (uint64_t more = rng_below(rng, 40); more > 0; more--) {
            int rc = put(r, h->tried, rng_below(rng, 1500), true);
            ASSERT(rc == OK);
            h->tried++; /* Told, but the power is gone. */
        }
        sim_disk_crash(r->disk);
        return;
    case 1:
        sim_disk_fail(r->disk, rng_chance(rng, 1, 2) ? SIM_CALL_WRITE : SIM_CALL_SYNC,
                      rng_chance(rng, 1, 2) ? ERR_IO : ERR_NO_SPACE);
        int rc = put(r, h->tried, rng_below(rng, 1500), true);
        ASSERT(rc != OK);
        h->tried++;
        break;
    default:
        break;
    }
    if (rng_chance(rng, 1, 2)) {
        sim_disk_kill(r->disk);
    }
    if (rng_chance(rng, 1, 2)) {
        sim_disk_crash(r->disk);
    }
}

/* A random life; the rows at the end. Asserts that no acknowledged row is lost and no gap is there.
 */
static uint32_t random_life(uint64_t seed, struct sim_disk_counts *ret_counts)
{
    struct rig *r = rig_new(seed, BUFFER);
    struct rng rng;
    struct history h = {0, 0};
    rng_init(&rng, seed ^ 0x5eed);
    rig_open(r, state_path, true);
    for (uint32_t round = 0; round < 20; round++) {
        for (uint64_t more = rng_below(&rng, 60); more > 0; more--) {
            int rc = put(r, h.tried, rng_below(&rng, rng_chance(&rng, 1, 20) ? 3000 : 200), true);
            ASSERT(rc == OK);
            h.tried++;
        }
        h.told = h.tried;
        random_fault(r, &rng, &h);
        int rows = reopen_rows(r, state_path);
        assert_true(rows >= (int) h.told);
        assert_true(rows <= (int) h.tried);
        h.tried = (uint32_t) rows;
        h.told = (uint32_t) rows;
    }
    *ret_counts = counts(r);
    rig_free(r);
    return h.told;
}

static void test_disk_synced_writes_are_a_prefix_with_all_acknowledged(void **state)
{
    (void) state;
    struct sim_disk_counts sum = {0};
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_disk_counts c;
        (void) random_life(seed, &c);
        assert_int_equal(c.lost_holes, 0);
        assert_int_equal(c.refused_opens, 0);
        sum.lost_records += c.lost_records;
        sum.torn_records += c.torn_records;
        sum.partial_appends += c.partial_appends;
        sum.failed_writes += c.failed_writes;
        sum.failed_syncs += c.failed_syncs;
        sum.tables += c.tables;
    }
    assert_true(sum.lost_records > 0); /* S4: it was not for want of faults. */
    assert_true(sum.torn_records > 0);
    assert_true(sum.partial_appends > 0);
    assert_true(sum.failed_writes > 0);
    assert_true(sum.failed_syncs > 0);
    assert_true(sum.tables > 0);
}

/* S1. */
static void test_disk_same_seed_does_the_same(void **state)
{
    (void) state;
    uint32_t different = 0;
    struct sim_disk_counts before = {0};
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct sim_disk_counts a;
        struct sim_disk_counts b;
        assert_int_equal(random_life(seed, &a), random_life(seed, &b));
        assert_memory_equal(&a, &b, sizeof a);
        different += memcmp(&a, &before, sizeof a) != 0 ? 1 : 0;
        before = a;
    }
    assert_int_equal(different, 20);
}

/* The later of two writes under way began when the earlier was synced: also over the beginning of a
 * new write-ahead file. */
static void test_disk_held_writes_go_from_the_end(void **state)
{
    (void) state;
    uint32_t none = 0;
    uint32_t all = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rig *r = rig_new(seed, BUFFER);
        rig_open(r, state_path, true);
        put_rows(r, 0, 15);
        sim_disk_hold_syncs(r->disk);
        put_rows(r, 15, 10);
        assert_int_equal(get(r, 24), OK);
        sim_disk_crash(r->disk);
        int rows = reopen_rows(r, state_path);
        assert_true(rows >= 15 && rows <= 25);
        none += rows == 15 ? 1 : 0;
        all += rows == 25 ? 1 : 0;
        put_rows(r, (uint32_t) rows, 1); /* It was until the crash only. */
        sim_disk_crash(r->disk);
        assert_int_equal(reopen_rows(r, state_path), rows + 1);
        rig_free(r);
    }
    assert_true(all > 0);
    assert_int_equal(none, 0); /* The first file was full: what is in the second began later. */
}

/* D4: also the whole database. */
static void test_disk_held_creation_is_all_or_nothing(void **state)
{
    (void) state;
    uint32_t there = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rig *r = rig_new(seed, BUFFER);
        struct store_batch *initial = store_batch_new();
        store_batch_put(initial, bytes_of("\0\0\0\0", 4), bytes_of(NULL, 0));
        const struct store_options options = {.create = true,
                                              .initial = initial,
                                              .device = r->disk};
        sim_disk_hold_syncs(r->disk);
        assert_int_equal(store_open(&sim_store_ops, log_path, &options, &r->store, NULL), OK);
        sim_disk_crash(r->disk);
        int rows = reopen_rows(r, log_path);
        assert_true(rows == 1 || rows == ERR_NOT_FOUND);
        there += rows == 1 ? 1 : 0;
        if (rows == ERR_NOT_FOUND) {
            rig_open(r, log_path, true);
        }
        store_batch_free(initial);
        rig_free(r);
    }
    assert_true(there > SEEDS / 10);
    assert_true(there < SEEDS - SEEDS / 10);
}

/* ---- calls that fail (D6, D7) ---- */

static void failed_write(enum sim_disk_call call, int err, bool *ret_lost, bool *ret_kept,
                         uint64_t seed)
{
    struct rig *r = rig_new(seed, BUFFER);
    rig_open(r, state_path, true);
    put_rows(r, 0, 5);
    sim_disk_fail(r->disk, call, err);
    assert_int_equal(put(r, 5, VALUE_SIZE, true), err);
    assert_int_equal(get(r, 5), ERR_NOT_FOUND); /* Not for readers of this process. */
    assert_int_equal(put(r, 5, VALUE_SIZE, true), err);
    assert_int_equal(put(r, 6, VALUE_SIZE, false), err);
    assert_non_null(
        strstr(store_last_error(r->store), err == ERR_IO ? "Input/output error" : "No space left"));
    assert_int_equal(get(r, 4), OK);
    rig_close(r);
    const struct sim_wal *w = sim_files_wal(&sim_disk_db(r->disk, SIM_FILE_STATE)->files);
    assert_int_equal(sim_wal_torn(w) && call == SIM_CALL_WRITE, counts(r).partial_appends == 1);
    int rows = reopen_rows(r, state_path);
    assert_true(rows == 5 || rows == 6);
    assert_true(rows == 5 || err == ERR_IO || call == SIM_CALL_SYNC);
    *ret_lost = *ret_lost || rows == 5;
    *ret_kept = *ret_kept || rows == 6;
    put_rows(r, 5, 2);
    sim_disk_crash(r->disk);
    assert_int_equal(reopen_rows(r, state_path), 7);
    assert_int_equal(counts(r).failed_writes, call == SIM_CALL_WRITE ? 1 : 0);
    assert_int_equal(counts(r).failed_syncs, call == SIM_CALL_SYNC ? 1 : 0);
    assert_true(err == ERR_IO || call == SIM_CALL_SYNC || counts(r).partial_appends == 1);
    rig_free(r);
}

static void test_disk_failed_write_is_final_and_proves_nothing(void **state)
{
    (void) state;
    bool lost[3] = {false};
    bool kept[3] = {false};
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        failed_write(SIM_CALL_WRITE, ERR_IO, &lost[0], &kept[0], seed);
        failed_write(SIM_CALL_SYNC, ERR_IO, &lost[1], &kept[1], seed);
        failed_write(SIM_CALL_WRITE, ERR_NO_SPACE, &lost[2], &kept[2], seed);
    }
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(lost[i]);
        assert_int_equal(kept[i], i < 2);
    }
}

static void test_disk_failed_sync_spares_unsynced_write(void **state)
{
    (void) state;
    struct rig *r = rig_new(1, BUFFER);
    rig_open(r, state_path, true);
    sim_disk_fail(r->disk, SIM_CALL_SYNC, ERR_IO);
    assert_int_equal(put(r, 0, VALUE_SIZE, false), OK); /* It makes no such call. */
    assert_int_equal(put(r, 1, VALUE_SIZE, true), ERR_IO);
    rig_free(r);
}

static void test_disk_fault_meets_open_and_create(void **state)
{
    (void) state;
    for (uint32_t i = 0; i < 2; i++) {
        struct rig *r = rig_new(1, BUFFER);
        enum sim_disk_call call = i == 0 ? SIM_CALL_WRITE : SIM_CALL_SYNC;
        sim_disk_fail(r->disk, call, ERR_NO_SPACE);
        assert_int_equal(rig_try_open(r, state_path, true), ERR_NO_SPACE);
        assert_true(error_mentions(r, "free space"));
        assert_true(error_mentions(r, state_path));
        assert_int_equal(rig_try_open(r, state_path, false), ERR_NOT_FOUND);
        rig_open(r, state_path, true);
        put_rows(r, 0, 3);
        sim_disk_fail(r->disk, call, ERR_IO);
        assert_int_equal(reopen_rows(r, state_path), ERR_IO);
        assert_int_equal(reopen_rows(r, state_path), 3);
        rig_free(r);
    }
}

/* ---- damage (D5, D8) ---- */

/* The classes of files there are, by what was done: everything in a write-ahead file; in a table;
 * in both. */
static struct rig *damage_rig(uint64_t seed, uint32_t in_table, uint32_t in_log)
{
    struct rig *r = rig_new(seed, 1 << 20);
    rig_open(r, state_path, true);
    put_rows(r, 0, in_table);
    rig_open(r, state_path, false);
    put_rows(r, in_table, in_log);
    rig_close(r);
    return r;
}

static void test_disk_flip_of_checked_file_refuses_to_open(void **state)
{
    (void) state;
    static const enum sim_class classes[] = {SIM_CLASS_CURRENT, SIM_CLASS_MANIFEST,
                                             SIM_CLASS_WAL_OLDER};
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        for (uint32_t i = 0; i < ARRAY_SIZE(classes); i++) {
            struct rig *r = damage_rig(seed, 5, 5);
            assert_true(sim_db_flip(sim_disk_db(r->disk, SIM_FILE_STATE), classes[i]));
            for (int again = 0; again < 2; again++) {
                assert_int_equal(reopen_rows(r, state_path), ERR_CORRUPT);
            }
            assert_true(error_mentions(r, state_path));
            assert_true(error_mentions(r, "add it anew"));
            assert_int_equal(counts(r).flips, 1);
            assert_int_equal(counts(r).refused_opens, 2);
            assert_int_equal(rig_try_open(r, state_path, true), ERR_EXISTS);
            rig_free(r);
        }
    }
}

/* D8: the last record that was synced is no torn end, but a torn end is one: most flips in there
 * tell nobody, and none brings anything back. */
static void test_disk_flip_in_torn_end_is_no_new_damage(void **state)
{
    (void) state;
    uint32_t harmless = 0;
    uint32_t corrupt = 0;
    for (uint64_t seed = 0; seed < 2 * SEEDS; seed++) {
        struct rig *r = rig_new(seed, 1 << 20);
        rig_open(r, state_path, true);
        sim_disk_hold_syncs(r->disk);
        assert_int_equal(put(r, 0, 3000, true), OK);
        sim_disk_crash(r->disk);
        struct sim_db *db = sim_disk_db(r->disk, SIM_FILE_STATE);
        if (sim_wal_torn(sim_files_wal(&db->files))) {
            for (int more = 0; more < 3; more++) {
                assert_true(sim_db_flip(db, SIM_CLASS_WAL_OLDER));
            }
            int rows = reopen_rows(r, state_path);
            assert_true(rows == 0 || rows == ERR_CORRUPT);
            harmless += rows == 0 ? 1 : 0;
            corrupt += rows == ERR_CORRUPT ? 1 : 0;
        }
        rig_free(r);
    }
    assert_true(harmless > 0);
    assert_true(corrupt > 0);
}

static void test_disk_flip_in_table_is_corrupt_where_it_is_read(void **state)
{
    (void) state;
    enum { ROWS = 200 };
    uint32_t blocks = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        uint32_t bad = 0;
        struct rig *r = damage_rig(seed, ROWS, 0);
        struct sim_db *db = sim_disk_db(r->disk, SIM_FILE_STATE);
        assert_true(sim_db_flip(db, SIM_CLASS_TABLE));
        rig_open(r, state_path, false); /* Nobody reads it here. */
        for (uint32_t n = 0; n < ROWS; n++) {
            int rc = get(r, n);
            assert_true(rc == OK || rc == ERR_CORRUPT);
            bad += rc == OK ? 0 : 1;
        }
        int rows = reopen_rows(r, state_path);
        assert_int_equal(rows, bad == 0 ? ROWS : ERR_CORRUPT);
        assert_true(bad == 0 || strstr(store_last_error(r->store), "Corruption") != NULL);
        assert_true(bad == 0 || counts(r).corrupt_reads == bad + 1);
        /* A block has 4096 bytes of rows, the last one what is left. */
        uint32_t block = 4096 / (4 + VALUE_SIZE + 11) + 1;
        assert_true(bad == 0 || bad == block || bad == ROWS % block || bad == ROWS);
        blocks += bad > 0 && bad < ROWS ? 1 : 0;
        rig_free(r);
    }
    assert_true(blocks > SEEDS / 2);
}

/* An iterator gives what is before the damage and then stops; a newer row hides the old one from a
 * get, but not from an iterator. */
static void test_disk_iterator_stops_at_damaged_block(void **state)
{
    (void) state;
    enum { ROWS = 200 };
    uint32_t tried = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rig *r = damage_rig(seed, ROWS, 0);
        struct sim_db *db = sim_disk_db(r->disk, SIM_FILE_STATE);
        assert_true(sim_db_flip(db, SIM_CLASS_TABLE));
        const struct sim_damage *m = &db->files.damage[0];
        if (db->files.damage_count == 1 && m->before != NULL && !m->whole) {
            struct store_iter *it = NULL;
            uint32_t first = enc_get_be32(sim_row_key(m->first).data);
            uint32_t next = 0;
            rig_open(r, state_path, false);
            assert_int_equal(get(r, first), ERR_CORRUPT);
            assert_int_equal(put(r, first, 7, true), OK);
            assert_int_equal(get(r, first), OK);
            assert_int_equal(r->value.size, 7);
            assert_int_equal(store_iter_new(r->store, false, &it), OK);
            for (store_iter_seek(it, bytes_str("")); store_iter_valid(it); store_iter_next(it)) {
                assert_int_equal(enc_get_be32(store_iter_key(it).data), next);
                next++;
            }
            assert_int_equal(next, first);
            assert_int_equal(store_iter_error(it), ERR_CORRUPT);
            store_iter_seek(it, bytes_str(""));
            assert_false(store_iter_valid(it)); /* It does not recover. */
            store_iter_free(it);
            tried++;
        }
        rig_free(r);
    }
    assert_true(tried > 0);
}

/* Also rows that nobody reads: merging tables does. Then the writer is told, after each start. */
static void test_disk_compaction_meets_damage(void **state)
{
    (void) state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rig *r = damage_rig(seed, 20, 0);
        struct sim_db *db = sim_disk_db(r->disk, SIM_FILE_STATE);
        assert_true(sim_db_flip(db, SIM_CLASS_TABLE));
        bool harmless = db->files.damage_count == 0;
        int rc = OK;
        for (uint32_t n = 0; n < 20 && rc == OK; n++) {
            rig_open(r, state_path, false);
            rc = put(r, 100 + n, VALUE_SIZE, true);
        }
        assert_int_equal(rc, harmless ? OK : ERR_CORRUPT);
        rig_open(r, state_path, false);
        assert_int_equal(put(r, 200, VALUE_SIZE, true), harmless ? OK : ERR_CORRUPT);
        rig_free(r);
    }
}

static void test_disk_lost_file_refuses_to_open(void **state)
{
    (void) state;
    static const enum sim_class classes[] = {SIM_CLASS_CURRENT, SIM_CLASS_MANIFEST,
                                             SIM_CLASS_WAL_OLDER, SIM_CLASS_TABLE};
    for (uint32_t in_log = 0; in_log < 2; in_log++) { /* An empty write-ahead file too. */
        for (uint32_t i = 0; i < ARRAY_SIZE(classes); i++) {
            struct rig *r = damage_rig(1, 5, in_log);
            struct sim_db *db = sim_disk_db(r->disk, SIM_FILE_STATE);
            assert_true(sim_db_lose(db, classes[i]));
            assert_false(sim_db_lose(db, classes[i]));
            assert_false(in_log > 0 && sim_db_flip(db, classes[i]));
            assert_int_equal(reopen_rows(r, state_path), ERR_CORRUPT);
            assert_true(error_mentions(r, "missing"));
            assert_int_equal(rig_try_open(r, state_path, true), ERR_EXISTS);
            assert_int_equal(counts(r).lost_files, 1);
            rig_free(r);
        }
    }
}

/* The newer of two write-ahead files is in no MANIFEST. That is beyond any check, so it is done
 * only to who asks for it. */
static void test_disk_lost_newer_log_is_not_noticed(void **state)
{
    (void) state;
    uint32_t silent = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rig *r = rig_new(seed, BUFFER);
        r->disk->options.lose_unnoticed = seed % 2 == 0;
        rig_open(r, state_path, true);
        put_rows(r, 0, 25);
        rig_close(r);
        assert_true(sim_disk_lose(r->disk, SIM_FILE_STATE));
        int rows = reopen_rows(r, state_path);
        assert_int_equal(counts(r).silent_losses > 0, rows != ERR_CORRUPT);
        assert_true(rows == ERR_CORRUPT || (rows > 0 && rows < 25));
        assert_true(rows == ERR_CORRUPT || seed % 2 == 0);
        silent += rows != ERR_CORRUPT ? 1 : 0;
        rig_free(r);
    }
    assert_true(silent > 0);
}

/* Files are drawn: all kinds come, and only of the database that was meant. */
static void test_disk_damage_is_drawn_over_files_of_one_database(void **state)
{
    (void) state;
    uint32_t opened = 0;
    uint32_t refused = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rig *r = damage_rig(seed, 5, 5);
        assert_false(sim_disk_flip(r->disk, SIM_FILE_LOG));
        assert_false(sim_disk_lose(r->disk, SIM_FILE_LOG));
        rig_open(r, log_path, true);
        put_rows(r, 0, 3);
        rig_close(r);
        assert_true(sim_disk_flip(r->disk, SIM_FILE_STATE));
        assert_int_equal(reopen_rows(r, log_path), 3);
        int rc = rig_try_open(r, state_path, false);
        opened += rc == OK ? 1 : 0;
        refused += rc == ERR_CORRUPT ? 1 : 0;
        rig_free(r);
    }
    assert_int_equal(opened + refused, SEEDS);
    assert_true(opened > SEEDS / 10); /* tables */
    assert_true(refused > SEEDS / 2); /* the three others */
}

/* ---- whole disks (D3, D9) ---- */

static void test_disk_wipe_leaves_nothing(void **state)
{
    (void) state;
    struct rig *r = rig_new(1, BUFFER);
    rig_open(r, log_path, true);
    put_rows(r, 0, 3);
    rig_open(r, state_path, true);
    put_rows(r, 0, 3);
    sim_disk_crash(r->disk);
    sim_disk_wipe(r->disk);
    assert_int_equal(rig_try_open(r, log_path, false), ERR_NOT_FOUND);
    assert_true(error_mentions(r, "create the node"));
    assert_int_equal(rig_try_open(r, state_path, false), ERR_NOT_FOUND);
    rig_open(r, state_path, true);
    assert_int_equal(get(r, 0), ERR_NOT_FOUND);
    assert_int_equal(counts(r).wipes, 1);
    rig_free(r);
}

static void test_disk_restore_brings_synced_image_back(void **state)
{
    (void) state;
    struct rig *r = rig_new(1, 1 << 20);
    rig_open(r, log_path, true);
    put_rows(r, 0, 3);
    rig_open(r, log_path, false);
    put_rows(r, 3, 3);
    assert_int_equal(put(r, 6, VALUE_SIZE, false), OK);
    struct sim_disk_image *image = sim_disk_save(r->disk); /* The store is open. */
    put_rows(r, 7, 3);
    rig_open(r, state_path, true);
    put_rows(r, 0, 1);
    rig_close(r);
    assert_true(sim_db_lose(sim_disk_db(r->disk, SIM_FILE_LOG), SIM_CLASS_CURRENT));
    for (int again = 0; again < 2; again++) {
        sim_disk_restore(r->disk, image);
        assert_int_equal(reopen_rows(r, log_path), 6);
        put_rows(r, 6, 1); /* The image does not change with it. */
        assert_int_equal(rig_try_open(r, state_path, false), ERR_NOT_FOUND);
    }
    assert_int_equal(counts(r).restores, 2);
    sim_disk_image_free(image);
    image = sim_disk_save(r->disk);
    rig_free(r);
    sim_disk_image_free(image); /* It lives longer than the disk. */
}

/* The time of a table is not part of what is saved: an image of two write-ahead files opens. */
static void test_disk_image_is_what_a_crash_leaves(void **state)
{
    (void) state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rig *r = rig_new(seed, BUFFER);
        rig_open(r, log_path, true);
        put_rows(r, 0, (uint32_t) (10 + seed));
        struct sim_disk_image *image = sim_disk_save(r->disk);
        put_rows(r, (uint32_t) (10 + seed), 50);
        rig_close(r);
        sim_disk_restore(r->disk, image);
        assert_int_equal(reopen_rows(r, log_path), 10 + seed);
        sim_disk_image_free(image);
        rig_free(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_disk_synced_write_survives_crash),
        cmocka_unit_test(test_disk_unsynced_write_survives_kill_and_may_go_in_crash),
        cmocka_unit_test(test_disk_crash_after_kill_takes_unsynced),
        cmocka_unit_test(test_disk_torn_record_is_dropped),
        cmocka_unit_test(test_disk_dead_store_gives_errors),
        cmocka_unit_test(test_disk_mixed_writes_leave_holes),
        cmocka_unit_test(test_disk_synced_writes_are_a_prefix_with_all_acknowledged),
        cmocka_unit_test(test_disk_same_seed_does_the_same),
        cmocka_unit_test(test_disk_held_writes_go_from_the_end),
        cmocka_unit_test(test_disk_held_creation_is_all_or_nothing),
        cmocka_unit_test(test_disk_failed_write_is_final_and_proves_nothing),
        cmocka_unit_test(test_disk_failed_sync_spares_unsynced_write),
        cmocka_unit_test(test_disk_fault_meets_open_and_create),
        cmocka_unit_test(test_disk_flip_of_checked_file_refuses_to_open),
        cmocka_unit_test(test_disk_flip_in_torn_end_is_no_new_damage),
        cmocka_unit_test(test_disk_flip_in_table_is_corrupt_where_it_is_read),
        cmocka_unit_test(test_disk_iterator_stops_at_damaged_block),
        cmocka_unit_test(test_disk_compaction_meets_damage),
        cmocka_unit_test(test_disk_lost_file_refuses_to_open),
        cmocka_unit_test(test_disk_lost_newer_log_is_not_noticed),
        cmocka_unit_test(test_disk_damage_is_drawn_over_files_of_one_database),
        cmocka_unit_test(test_disk_wipe_leaves_nothing),
        cmocka_unit_test(test_disk_restore_brings_synced_image_back),
        cmocka_unit_test(test_disk_image_is_what_a_crash_leaves),
    };
    return cmocka_run_group_tests_name("disk", tests, NULL, NULL);
}
