/*
 * test_disk.c - the model disk (tests/sim/disk.h): crashes, calls that fail, whole disks. Damage is
 * in test_disk_damage.c.
 *
 * Property ids are those of the design's durability table. The contract suites run over the model
 * as well; test_disk_faithful.c compares it with LevelDB.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/assert.h"
#include "base/enc.h"
#include "base/rng.h"
#include "tests/sim/disk_internal.h"
#include "tests/sim/disk_rig.h"

enum { SEEDS = 200 };

/* ---- crashes ---- */

/* D2. */
static void test_disk_synced_write_survives_crash(void **state)
{
    (void) state;
    struct rig *r = disk_rig_new(1, RIG_BUFFER);
    disk_rig_open(r, disk_rig_state, true);
    for (uint32_t n = 0; n < 100; n++) {
        disk_rig_put_rows(r, n, 1);
        sim_disk_crash(r->disk);
        assert_int_equal(disk_rig_reopen_rows(r, disk_rig_state), n + 1);
    }
    assert_int_equal(disk_rig_counts(r).lost_records, 0);
    disk_rig_free(r);
}

static void test_disk_unsynced_write_survives_kill_and_may_go_in_crash(void **state)
{
    (void) state;
    uint32_t lost = 0;
    uint32_t kept = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rig *r = disk_rig_new(seed, RIG_BUFFER);
        disk_rig_open(r, disk_rig_state, true);
        disk_rig_put_rows(r, 0, 1);
        assert_int_equal(disk_rig_put(r, 1, RIG_VALUE_SIZE, false), OK);
        sim_disk_kill(r->disk);
        assert_int_equal(disk_rig_reopen_rows(r, disk_rig_state), 2);
        assert_int_equal(disk_rig_put(r, 2, RIG_VALUE_SIZE, false), OK);
        sim_disk_crash(r->disk);
        int rows = disk_rig_reopen_rows(r, disk_rig_state);
        assert_true(rows == 2 || rows == 3);
        lost += rows == 2 ? 1 : 0;
        kept += rows == 3 ? 1 : 0;
        assert_int_equal(disk_rig_counts(r).lost_records, rows == 2 ? 1 : 0);
        disk_rig_free(r);
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
        struct rig *r = disk_rig_new(seed, RIG_BUFFER);
        disk_rig_open(r, disk_rig_state, true);
        assert_int_equal(disk_rig_put(r, 0, RIG_VALUE_SIZE, false), OK);
        sim_disk_kill(r->disk);
        sim_disk_crash(r->disk);
        lost += disk_rig_reopen_rows(r, disk_rig_state) == 0 ? 1 : 0;
        disk_rig_free(r);
    }
    assert_true(lost > SEEDS / 10);
}

static void test_disk_torn_record_is_dropped(void **state)
{
    (void) state;
    uint32_t torn = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rig *r = disk_rig_new(seed, 1 << 20);
        disk_rig_open(r, disk_rig_state, true);
        disk_rig_put_rows(r, 0, 2);
        for (uint32_t n = 2; n < 5; n++) {
            assert_int_equal(disk_rig_put(r, n, 40000, false), OK); /* spans blocks of the file */
        }
        sim_disk_crash(r->disk);
        const struct sim_wal *w = sim_files_wal(&sim_disk_db(r->disk, SIM_FILE_STATE)->files);
        assert_true(!sim_wal_torn(w) || w->size % SIM_SECTOR == 0);
        uint64_t was_torn = disk_rig_counts(r).torn_records;
        int rows = disk_rig_reopen_rows(r, disk_rig_state);
        assert_true(rows >= 2 && rows <= 5);
        assert_true(was_torn == 0 || rows < 5);
        torn += was_torn > 0 ? 1 : 0;
        disk_rig_free(r);
    }
    assert_true(torn > SEEDS / 10);
}

/* Fewer bytes than a header are left at the end of a block: what is there is no record. */
static void test_disk_padding_is_no_torn_end(void **state)
{
    (void) state;
    struct rig *r = disk_rig_new(1, 1 << 20);
    disk_rig_open(r, disk_rig_state, true);
    const size_t overhead = SIM_WAL_HEADER + 12 + 1 + 1 + 4 + 3; /* of a record with one row */
    assert_int_equal(disk_rig_put(r, 0, SIM_WAL_BLOCK - overhead - 3, true), OK);
    assert_int_equal(disk_rig_put(r, 1, RIG_VALUE_SIZE, false), OK);
    struct sim_wal *w = sim_files_wal(&sim_disk_db(r->disk, SIM_FILE_STATE)->files);
    assert_int_equal(sim_wal_whole(w), SIM_WAL_BLOCK + overhead - 2 + RIG_VALUE_SIZE);
    assert_int_equal(sim_wal_cut(w, SIM_WAL_BLOCK + 1), 1);
    assert_int_equal(sim_wal_whole(w), SIM_WAL_BLOCK - 3);
    assert_true(sim_wal_torn(w));
    assert_int_equal(sim_wal_cut(w, SIM_WAL_BLOCK), 0);
    assert_false(sim_wal_torn(w));
    assert_int_equal(sim_wal_cut(w, SIM_WAL_BLOCK - 1), 0);
    assert_true(sim_wal_torn(w)); /* A writer pads whole blocks only. */
    assert_int_equal(sim_wal_cut(w, SIM_WAL_BLOCK - 3), 0);
    assert_false(sim_wal_torn(w));
    disk_rig_free(r);
}

static void test_disk_dead_store_gives_errors(void **state)
{
    (void) state;
    for (int way = 0; way < 2; way++) {
        struct rig *r = disk_rig_new(1, RIG_BUFFER);
        struct store_iter *it = NULL;
        disk_rig_open(r, disk_rig_state, true);
        disk_rig_put_rows(r, 0, 3);
        struct store *old = r->store;
        r->store = NULL;
        if (way == 0) {
            sim_disk_crash(r->disk);
        } else {
            sim_disk_kill(r->disk);
        }
        disk_rig_open(r, disk_rig_state, false); /* Before the dead one is closed. */
        struct store *live = r->store;
        r->store = old;
        assert_int_equal(disk_rig_put(r, 3, RIG_VALUE_SIZE, true), ERR_IO);
        assert_int_equal(disk_rig_get(r, 1), ERR_IO);
        assert_int_equal(store_iter_new(old, false, &it), ERR_IO);
        assert_string_not_equal(store_last_error(old), "");
        store_close(old);
        r->store = live;
        disk_rig_put_rows(r, 3, 1);
        assert_int_equal(disk_rig_reopen_rows(r, disk_rig_state), 4);
        disk_rig_free(r);
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
        struct rig *r = disk_rig_new(seed, RIG_BUFFER);
        disk_rig_open(r, disk_rig_state, true);
        for (uint32_t n = 0; n < 60; n++) {
            assert_int_equal(disk_rig_put(r, n, RIG_VALUE_SIZE, n % 20 == 0), OK);
        }
        sim_disk_crash(r->disk);
        uint64_t lost_holes = disk_rig_counts(r).lost_holes;
        int rows = disk_rig_reopen_rows(r, disk_rig_state);
        assert_true(rows >= -1 || rows == ERR_CORRUPT);
        assert_int_equal(lost_holes > 0, rows < 0);
        holes += rows == -1 ? 1 : 0;
        refused += rows == ERR_CORRUPT ? 1 : 0;
        if (rows == ERR_CORRUPT) {
            assert_true(disk_rig_error_mentions(r, "incomplete record"));
        }
        disk_rig_free(r);
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
            int rc = disk_rig_put(r, h->tried, rng_below(rng, 1500), true);
            ASSERT(rc == OK);
            h->tried++; /* Told, but the power is gone. */
        }
        sim_disk_crash(r->disk);
        return;
    case 1:
        sim_disk_fail(r->disk, rng_chance(rng, 1, 2) ? SIM_CALL_WRITE : SIM_CALL_SYNC,
                      rng_chance(rng, 1, 2) ? ERR_IO : ERR_NO_SPACE);
        int rc = disk_rig_put(r, h->tried, rng_below(rng, 1500), true);
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
    struct rig *r = disk_rig_new(seed, RIG_BUFFER);
    struct rng rng;
    struct history h = {0, 0};
    rng_init(&rng, seed ^ 0x5eed);
    disk_rig_open(r, disk_rig_state, true);
    for (uint32_t round = 0; round < 20; round++) {
        for (uint64_t more = rng_below(&rng, 60); more > 0; more--) {
            int rc = disk_rig_put(r, h.tried, rng_below(&rng, rng_chance(&rng, 1, 20) ? 3000 : 200),
                                  true);
            ASSERT(rc == OK);
            h.tried++;
        }
        h.told = h.tried;
        random_fault(r, &rng, &h);
        int rows = disk_rig_reopen_rows(r, disk_rig_state);
        assert_true(rows >= (int) h.told);
        assert_true(rows <= (int) h.tried);
        h.tried = (uint32_t) rows;
        h.told = (uint32_t) rows;
    }
    *ret_counts = disk_rig_counts(r);
    disk_rig_free(r);
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
/* A sync that lies is OK and makes nothing durable; the next one that is one makes all durable. */
static void test_disk_lying_sync_is_lost_until_the_next_honest_one(void **state)
{
    (void) state;
    uint32_t lost = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rig *r = disk_rig_new(seed, RIG_BUFFER);
        disk_rig_open(r, disk_rig_state, true);
        disk_rig_put_rows(r, 0, 2);
        sim_disk_lie(r->disk, true);
        disk_rig_put_rows(r, 2, 2);
        assert_int_equal(disk_rig_counts(r).lies, 2);
        sim_disk_lie(r->disk, false);
        if (seed % 2 == 0) {
            disk_rig_put_rows(r, 4, 1);
        }
        sim_disk_crash(r->disk);
        int rows = disk_rig_reopen_rows(r, disk_rig_state);
        if (seed % 2 == 0) {
            assert_int_equal(rows, 5);
        } else {
            assert_true(rows >= 2);
            lost += rows < 4 ? 1 : 0;
        }
        disk_rig_free(r);
    }
    assert_true(lost > SEEDS / 10);
}

/* In both write-ahead files and both databases. */
static void test_disk_honest_sync_flushes_the_whole_disk(void **state)
{
    (void) state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rig *r = disk_rig_new(seed, RIG_BUFFER);
        disk_rig_open(r, disk_rig_state, true);
        sim_disk_lie(r->disk, true);
        disk_rig_put_rows(r, 0, 30);
        sim_disk_lie(r->disk, false);
        disk_rig_open(r, disk_rig_log, true);
        disk_rig_put_rows(r, 0, 1);
        sim_disk_crash(r->disk);
        assert_int_equal(disk_rig_reopen_rows(r, disk_rig_state), 30);
        disk_rig_free(r);
    }
}

static void test_disk_held_writes_go_from_the_end(void **state)
{
    (void) state;
    uint32_t none = 0;
    uint32_t all = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rig *r = disk_rig_new(seed, RIG_BUFFER);
        disk_rig_open(r, disk_rig_state, true);
        disk_rig_put_rows(r, 0, 15);
        sim_disk_hold_syncs(r->disk);
        disk_rig_put_rows(r, 15, 10);
        assert_int_equal(disk_rig_get(r, 24), OK);
        sim_disk_crash(r->disk);
        int rows = disk_rig_reopen_rows(r, disk_rig_state);
        assert_true(rows >= 15 && rows <= 25);
        none += rows == 15 ? 1 : 0;
        all += rows == 25 ? 1 : 0;
        disk_rig_put_rows(r, (uint32_t) rows, 1); /* It was until the crash only. */
        sim_disk_crash(r->disk);
        assert_int_equal(disk_rig_reopen_rows(r, disk_rig_state), rows + 1);
        disk_rig_free(r);
    }
    assert_true(all > 0);
    assert_true(all < SEEDS);
    assert_int_equal(none, 0); /* The first file was full: what is in the second began later. */
}

/* D4: also the whole database. */
static void test_disk_held_creation_is_all_or_nothing(void **state)
{
    (void) state;
    uint32_t there = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rig *r = disk_rig_new(seed, RIG_BUFFER);
        struct store_batch *initial = store_batch_new();
        store_batch_put(initial, bytes_of("\0\0\0\0", 4), bytes_of(NULL, 0));
        const struct store_options options = {.create = true,
                                              .initial = initial,
                                              .device = r->disk};
        sim_disk_hold_syncs(r->disk);
        assert_int_equal(store_open(&sim_store_ops, disk_rig_log, &options, &r->store, NULL), OK);
        sim_disk_crash(r->disk);
        int rows = disk_rig_reopen_rows(r, disk_rig_log);
        assert_true(rows == 1 || rows == ERR_NOT_FOUND);
        there += rows == 1 ? 1 : 0;
        if (rows == ERR_NOT_FOUND) {
            disk_rig_open(r, disk_rig_log, true);
        }
        store_batch_free(initial);
        disk_rig_free(r);
    }
    assert_true(there > SEEDS / 10);
    assert_true(there < SEEDS - SEEDS / 10);
}

/* ---- calls that fail (D6, D7) ---- */

static void failed_write(enum sim_disk_call call, int err, bool *ret_lost, bool *ret_kept,
                         uint64_t seed)
{
    struct rig *r = disk_rig_new(seed, RIG_BUFFER);
    disk_rig_open(r, disk_rig_state, true);
    disk_rig_put_rows(r, 0, 5);
    sim_disk_fail(r->disk, call, err);
    assert_int_equal(disk_rig_put(r, 5, RIG_VALUE_SIZE, true), err);
    assert_int_equal(disk_rig_get(r, 5), ERR_NOT_FOUND); /* Not for readers of this process. */
    assert_int_equal(disk_rig_put(r, 5, RIG_VALUE_SIZE, true), err);
    assert_int_equal(disk_rig_put(r, 6, RIG_VALUE_SIZE, false), err);
    assert_non_null(
        strstr(store_last_error(r->store), err == ERR_IO ? "Input/output error" : "No space left"));
    assert_int_equal(disk_rig_get(r, 4), OK);
    disk_rig_close(r);
    const struct sim_wal *w = sim_files_wal(&sim_disk_db(r->disk, SIM_FILE_STATE)->files);
    assert_int_equal(sim_wal_torn(w) && call == SIM_CALL_WRITE,
                     disk_rig_counts(r).partial_appends == 1);
    int rows = disk_rig_reopen_rows(r, disk_rig_state);
    assert_true(rows == 5 || rows == 6);
    assert_true(rows == 5 || err == ERR_IO || call == SIM_CALL_SYNC);
    *ret_lost = *ret_lost || rows == 5;
    *ret_kept = *ret_kept || rows == 6;
    disk_rig_put_rows(r, 5, 2);
    sim_disk_crash(r->disk);
    assert_int_equal(disk_rig_reopen_rows(r, disk_rig_state), 7);
    assert_int_equal(disk_rig_counts(r).failed_writes, call == SIM_CALL_WRITE ? 1 : 0);
    assert_int_equal(disk_rig_counts(r).failed_syncs, call == SIM_CALL_SYNC ? 1 : 0);
    assert_int_equal(disk_rig_counts(r).no_space_writes, err == ERR_NO_SPACE ? 1 : 0);
    assert_true(err == ERR_IO || call == SIM_CALL_SYNC || disk_rig_counts(r).partial_appends == 1);
    disk_rig_free(r);
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
    struct rig *r = disk_rig_new(1, RIG_BUFFER);
    disk_rig_open(r, disk_rig_state, true);
    sim_disk_fail(r->disk, SIM_CALL_SYNC, ERR_IO);
    assert_int_equal(disk_rig_put(r, 0, RIG_VALUE_SIZE, false), OK); /* It makes no such call. */
    assert_int_equal(disk_rig_put(r, 1, RIG_VALUE_SIZE, true), ERR_IO);
    disk_rig_free(r);
}

static void test_disk_fault_meets_open_and_create(void **state)
{
    (void) state;
    for (uint32_t i = 0; i < 2; i++) {
        struct rig *r = disk_rig_new(1, RIG_BUFFER);
        enum sim_disk_call call = i == 0 ? SIM_CALL_WRITE : SIM_CALL_SYNC;
        sim_disk_fail(r->disk, call, ERR_NO_SPACE);
        assert_int_equal(disk_rig_try_open(r, disk_rig_state, true), ERR_NO_SPACE);
        assert_true(disk_rig_error_mentions(r, "free space"));
        assert_true(disk_rig_error_mentions(r, disk_rig_state));
        assert_int_equal(disk_rig_try_open(r, disk_rig_state, false), ERR_NOT_FOUND);
        disk_rig_open(r, disk_rig_state, true);
        disk_rig_put_rows(r, 0, 3);
        sim_disk_fail(r->disk, call, ERR_IO);
        assert_int_equal(disk_rig_reopen_rows(r, disk_rig_state), ERR_IO);
        assert_int_equal(disk_rig_reopen_rows(r, disk_rig_state), 3);
        disk_rig_free(r);
    }
}

/* ---- whole disks (D3, D9) ---- */

static void test_disk_wipe_leaves_nothing(void **state)
{
    (void) state;
    struct rig *r = disk_rig_new(1, RIG_BUFFER);
    disk_rig_open(r, disk_rig_log, true);
    disk_rig_put_rows(r, 0, 3);
    disk_rig_open(r, disk_rig_state, true);
    disk_rig_put_rows(r, 0, 3);
    sim_disk_crash(r->disk);
    sim_disk_wipe(r->disk);
    assert_int_equal(disk_rig_try_open(r, disk_rig_log, false), ERR_NOT_FOUND);
    assert_true(disk_rig_error_mentions(r, "create the node"));
    assert_int_equal(disk_rig_try_open(r, disk_rig_state, false), ERR_NOT_FOUND);
    disk_rig_open(r, disk_rig_state, true);
    assert_int_equal(disk_rig_get(r, 0), ERR_NOT_FOUND);
    assert_int_equal(disk_rig_counts(r).wipes, 1);
    disk_rig_free(r);
}

static void test_disk_restore_brings_synced_image_back(void **state)
{
    (void) state;
    struct rig *r = disk_rig_new(1, 1 << 20);
    disk_rig_open(r, disk_rig_log, true);
    disk_rig_put_rows(r, 0, 3);
    disk_rig_open(r, disk_rig_log, false);
    disk_rig_put_rows(r, 3, 3);
    assert_int_equal(disk_rig_put(r, 6, RIG_VALUE_SIZE, false), OK);
    struct sim_disk_image *image = sim_disk_save(r->disk); /* The store is open. */
    disk_rig_put_rows(r, 7, 3);
    disk_rig_open(r, disk_rig_state, true);
    disk_rig_put_rows(r, 0, 1);
    disk_rig_close(r);
    assert_true(sim_db_lose(sim_disk_db(r->disk, SIM_FILE_LOG), SIM_CLASS_CURRENT));
    for (int again = 0; again < 2; again++) {
        sim_disk_restore(r->disk, image);
        assert_int_equal(disk_rig_reopen_rows(r, disk_rig_log), 6);
        disk_rig_put_rows(r, 6, 1); /* The image does not change with it. */
        assert_int_equal(disk_rig_try_open(r, disk_rig_state, false), ERR_NOT_FOUND);
    }
    assert_int_equal(disk_rig_counts(r).restores, 2);
    sim_disk_image_free(image);
    image = sim_disk_save(r->disk);
    disk_rig_free(r);
    sim_disk_image_free(image); /* It lives longer than the disk. */
}

/* The time of a table is not part of what is saved: an image of two write-ahead files opens. */
static void test_disk_image_is_what_a_crash_leaves(void **state)
{
    (void) state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rig *r = disk_rig_new(seed, RIG_BUFFER);
        disk_rig_open(r, disk_rig_log, true);
        disk_rig_put_rows(r, 0, (uint32_t) (10 + seed));
        struct sim_disk_image *image = sim_disk_save(r->disk);
        disk_rig_put_rows(r, (uint32_t) (10 + seed), 50);
        disk_rig_close(r);
        sim_disk_restore(r->disk, image);
        assert_int_equal(disk_rig_reopen_rows(r, disk_rig_log), 10 + seed);
        sim_disk_image_free(image);
        disk_rig_free(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_disk_synced_write_survives_crash),
        cmocka_unit_test(test_disk_unsynced_write_survives_kill_and_may_go_in_crash),
        cmocka_unit_test(test_disk_crash_after_kill_takes_unsynced),
        cmocka_unit_test(test_disk_torn_record_is_dropped),
        cmocka_unit_test(test_disk_padding_is_no_torn_end),
        cmocka_unit_test(test_disk_dead_store_gives_errors),
        cmocka_unit_test(test_disk_mixed_writes_leave_holes),
        cmocka_unit_test(test_disk_synced_writes_are_a_prefix_with_all_acknowledged),
        cmocka_unit_test(test_disk_same_seed_does_the_same),
        cmocka_unit_test(test_disk_lying_sync_is_lost_until_the_next_honest_one),
        cmocka_unit_test(test_disk_honest_sync_flushes_the_whole_disk),
        cmocka_unit_test(test_disk_held_writes_go_from_the_end),
        cmocka_unit_test(test_disk_held_creation_is_all_or_nothing),
        cmocka_unit_test(test_disk_failed_write_is_final_and_proves_nothing),
        cmocka_unit_test(test_disk_failed_sync_spares_unsynced_write),
        cmocka_unit_test(test_disk_fault_meets_open_and_create),
        cmocka_unit_test(test_disk_wipe_leaves_nothing),
        cmocka_unit_test(test_disk_restore_brings_synced_image_back),
        cmocka_unit_test(test_disk_image_is_what_a_crash_leaves),
    };
    return cmocka_run_group_tests_name("disk", tests, NULL, NULL);
}
