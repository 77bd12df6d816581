/*
 * test_disk_damage.c - the model disk (tests/sim/disk.h): flipped bits and lost files, and who
 * notices. Property ids are those of the design's durability table.
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

/* ---- damage (D5, D8) ---- */

/* The classes of files there are, by what was done: everything in a write-ahead file; in a table;
 * in both. */
static struct rig *damage_rig(uint64_t seed, uint32_t in_table, uint32_t in_log)
{
    struct rig *r = disk_rig_new(seed, 1 << 20);
    disk_rig_open(r, disk_rig_state, true);
    disk_rig_put_rows(r, 0, in_table);
    disk_rig_open(r, disk_rig_state, false);
    disk_rig_put_rows(r, in_table, in_log);
    disk_rig_close(r);
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
                assert_int_equal(disk_rig_reopen_rows(r, disk_rig_state), ERR_CORRUPT);
            }
            assert_true(disk_rig_error_mentions(r, disk_rig_state));
            assert_true(disk_rig_error_mentions(r, "add it anew"));
            assert_int_equal(disk_rig_counts(r).flips, 1);
            assert_int_equal(disk_rig_counts(r).refused_opens, 2);
            assert_int_equal(disk_rig_try_open(r, disk_rig_state, true), ERR_EXISTS);
            disk_rig_free(r);
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
        struct rig *r = disk_rig_new(seed, 1 << 20);
        disk_rig_open(r, disk_rig_state, true);
        sim_disk_hold_syncs(r->disk);
        assert_int_equal(disk_rig_put(r, 0, 3000, true), OK);
        sim_disk_crash(r->disk);
        struct sim_db *db = sim_disk_db(r->disk, SIM_FILE_STATE);
        if (sim_wal_torn(sim_files_wal(&db->files))) {
            for (int more = 0; more < 3; more++) {
                assert_true(sim_db_flip(db, SIM_CLASS_WAL_OLDER));
            }
            int rows = disk_rig_reopen_rows(r, disk_rig_state);
            assert_true(rows == 0 || rows == ERR_CORRUPT);
            harmless += rows == 0 ? 1 : 0;
            corrupt += rows == ERR_CORRUPT ? 1 : 0;
        }
        disk_rig_free(r);
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
        disk_rig_open(r, disk_rig_state, false); /* Nobody reads it here. */
        for (uint32_t n = 0; n < ROWS; n++) {
            int rc = disk_rig_get(r, n);
            assert_true(rc == OK || rc == ERR_CORRUPT);
            bad += rc == OK ? 0 : 1;
        }
        int rows = disk_rig_reopen_rows(r, disk_rig_state);
        assert_int_equal(rows, bad == 0 ? ROWS : ERR_CORRUPT);
        assert_true(bad == 0 || strstr(store_last_error(r->store), "Corruption") != NULL);
        assert_true(bad == 0 || disk_rig_counts(r).corrupt_reads == bad + 1);
        /* A block has 4096 bytes of rows, the last one what is left. */
        uint32_t block = 4096 / (4 + RIG_VALUE_SIZE + 11) + 1;
        assert_true(bad == 0 || bad == block || bad == ROWS % block || bad == ROWS);
        blocks += bad > 0 && bad < ROWS ? 1 : 0;
        disk_rig_free(r);
    }
    assert_true(blocks > SEEDS / 2);
}

/* An iterator gives what is before the damage and then stops; a newer row hides the old one from a
 * disk_rig_get, but not from an iterator. */
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
            disk_rig_open(r, disk_rig_state, false);
            assert_int_equal(disk_rig_get(r, first), ERR_CORRUPT);
            assert_int_equal(disk_rig_put(r, first, 7, true), OK);
            assert_int_equal(disk_rig_get(r, first), OK);
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
        disk_rig_free(r);
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
            disk_rig_open(r, disk_rig_state, false);
            rc = disk_rig_put(r, 100 + n, RIG_VALUE_SIZE, true);
        }
        assert_int_equal(rc, harmless ? OK : ERR_CORRUPT);
        disk_rig_open(r, disk_rig_state, false);
        assert_int_equal(disk_rig_put(r, 200, RIG_VALUE_SIZE, true), harmless ? OK : ERR_CORRUPT);
        disk_rig_free(r);
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
            assert_int_equal(disk_rig_reopen_rows(r, disk_rig_state), ERR_CORRUPT);
            assert_true(disk_rig_error_mentions(r, "missing"));
            assert_int_equal(disk_rig_try_open(r, disk_rig_state, true), ERR_EXISTS);
            assert_int_equal(disk_rig_counts(r).lost_files, 1);
            disk_rig_free(r);
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
        struct rig *r = disk_rig_new(seed, RIG_BUFFER);
        r->disk->options.lose_unnoticed = seed % 2 == 0;
        disk_rig_open(r, disk_rig_state, true);
        disk_rig_put_rows(r, 0, 25);
        disk_rig_close(r);
        assert_true(sim_disk_lose(r->disk, SIM_FILE_STATE));
        int rows = disk_rig_reopen_rows(r, disk_rig_state);
        assert_int_equal(disk_rig_counts(r).silent_losses > 0, rows != ERR_CORRUPT);
        assert_true(rows == ERR_CORRUPT || (rows > 0 && rows < 25));
        assert_true(rows == ERR_CORRUPT || seed % 2 == 0);
        silent += rows != ERR_CORRUPT ? 1 : 0;
        disk_rig_free(r);
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
        disk_rig_open(r, disk_rig_log, true);
        disk_rig_put_rows(r, 0, 3);
        disk_rig_close(r);
        assert_true(sim_disk_flip(r->disk, SIM_FILE_STATE));
        assert_int_equal(disk_rig_reopen_rows(r, disk_rig_log), 3);
        int rc = disk_rig_try_open(r, disk_rig_state, false);
        opened += rc == OK ? 1 : 0;
        refused += rc == ERR_CORRUPT ? 1 : 0;
        disk_rig_free(r);
    }
    assert_int_equal(opened + refused, SEEDS);
    assert_true(opened > SEEDS / 10); /* tables */
    assert_true(refused > SEEDS / 2); /* the three others */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_disk_flip_of_checked_file_refuses_to_open),
        cmocka_unit_test(test_disk_flip_in_torn_end_is_no_new_damage),
        cmocka_unit_test(test_disk_flip_in_table_is_corrupt_where_it_is_read),
        cmocka_unit_test(test_disk_iterator_stops_at_damaged_block),
        cmocka_unit_test(test_disk_compaction_meets_damage),
        cmocka_unit_test(test_disk_lost_file_refuses_to_open),
        cmocka_unit_test(test_disk_lost_newer_log_is_not_noticed),
        cmocka_unit_test(test_disk_damage_is_drawn_over_files_of_one_database),
    };
    return cmocka_run_group_tests_name("disk_damage", tests, NULL, NULL);
}
