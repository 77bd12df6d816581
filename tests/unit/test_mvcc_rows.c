/*
 * test_mvcc_rows.c - the rows of the state database, byte by byte. D5.
 */

#include "kv/mvcc_rows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "base/enc.h"
#include "base/mem.h"
#include "tests/support/guard.h"

static const struct revision REVISION = {0x0102030405, 6};

static struct blob *example(bool tombstone)
{
    struct row_record r = {.tombstone = tombstone, .key = bytes_str("key")};
    uint32_t crc = 0;
    if (!tombstone) {
        r.create = 300;
        r.version = 2;
        r.lease = -1;
        r.value = bytes_str("value");
    }
    struct blob *row = row_record_new(REVISION, &r, &crc);
    assert_int_equal(crc, enc_get_u32(row->data + 1));
    return row;
}

/* The format is on disks: these bytes never change while the format is 1. */
static void test_rows_record_bytes_are_as_documented(void **state)
{
    (void) state;
    static const uint8_t key[] = {'r', 0, 0, 0, 1, 2, 3, 4, 5, 0, 0, 0, 6};
    static const uint8_t rest[] = {1,    3,    'k',  'e',  'y',  0xac, 0x02, 2,
                                   0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                   0xff, 0x01, 'v',  'a',  'l',  'u',  'e'};
    uint8_t got[ROW_RECORD_KEY_SIZE];
    row_record_key(REVISION, got);
    assert_memory_equal(got, key, sizeof key);
    struct blob *row = example(false);
    assert_int_equal(row->size, ROW_CHECK_SIZE + sizeof rest);
    assert_int_equal(row->data[0], 1);
    assert_memory_equal(row->data + ROW_CHECK_SIZE, rest, sizeof rest);
    assert_int_equal(enc_get_u32(row->data + 1), 0x42e7f0e3u);
    blob_unref(row);
}

static void test_rows_record_comes_back(void **state)
{
    (void) state;
    struct row_record r;
    struct blob *row = example(false);
    assert_int_equal(row_record_check(REVISION, blob_bytes(row), &r), OK);
    assert_false(r.tombstone);
    assert_true(bytes_equal(r.key, bytes_str("key")));
    assert_true(bytes_equal(r.value, bytes_str("value")));
    assert_int_equal(r.create, 300);
    assert_int_equal(r.version, 2);
    assert_int_equal(r.lease, -1);
    blob_unref(row);
    row = example(true);
    assert_int_equal(row_record_check(REVISION, blob_bytes(row), &r), OK);
    assert_true(r.tombstone);
    assert_true(bytes_equal(r.key, bytes_str("key")));
    assert_int_equal(r.value.size, 0);
    blob_unref(row);
}

static void test_rows_key_order_is_revision_order(void **state)
{
    (void) state;
    static const struct revision order[] = {{1, 0},   {1, 1},        {1, 255}, {1, 256},
                                            {2, 0},   {255, 0},      {256, 0}, {256, UINT32_MAX},
                                            {257, 0}, {INT64_MAX, 0}};
    uint8_t last[ROW_RECORD_KEY_SIZE] = {0};
    for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
        uint8_t key[ROW_RECORD_KEY_SIZE];
        struct revision back;
        row_record_key(order[i], key);
        assert_true(memcmp(last, key, sizeof key) < 0);
        assert_int_equal(row_record_key_parse(bytes_of(key, sizeof key), &back), OK);
        assert_int_equal(revision_compare(back, order[i]), 0);
        memcpy(last, key, sizeof key);
    }
}

static void test_rows_any_flipped_bit_is_corrupt(void **state)
{
    (void) state;
    for (int tombstone = 0; tombstone < 2; tombstone++) {
        struct blob *row = example(tombstone != 0);
        struct row_record r;
        for (size_t bit = 0; bit < row->size * 8; bit++) {
            row->data[bit / 8] ^= (uint8_t) (1 << bit % 8);
            assert_int_equal(row_record_check(REVISION, blob_bytes(row), &r), ERR_CORRUPT);
            row->data[bit / 8] ^= (uint8_t) (1 << bit % 8);
        }
        /* A row under another key is not that key's row. */
        struct revision other = {REVISION.main, REVISION.sub + 1};
        assert_int_equal(row_record_check(other, blob_bytes(row), &r), ERR_CORRUPT);
        blob_unref(row);
    }
}

/* Cut rows with a checksum that is right again: the parser itself holds. */
static void test_rows_cut_record_is_corrupt(void **state)
{
    (void) state;
    struct guard g;
    guard_init(&g, 4096);
    for (int tombstone = 0; tombstone < 2; tombstone++) {
        struct blob *row = example(tombstone != 0);
        size_t value = tombstone != 0 ? 0 : 5;
        for (size_t size = 0; size < row->size - value; size++) {
            struct row_record r;
            struct bytes cut = guard_place(&g, bytes_of(row->data, size));
            assert_int_equal(row_record_parse(cut, &r), ERR_CORRUPT);
            assert_int_equal(row_record_check(REVISION, cut, &r), ERR_CORRUPT);
        }
        blob_unref(row);
    }
    guard_release(&g);
}

static void test_rows_newer_format_is_version(void **state)
{
    (void) state;
    struct blob *row = example(false);
    uint8_t key[ROW_RECORD_KEY_SIZE];
    struct row_record r;
    row_record_key(REVISION, key);
    /* As a newer program would write it: another format byte under a right checksum. */
    uint8_t sealed[64];
    memcpy(sealed, row->data, row->size);
    sealed[0] = 2;
    uint32_t sum = crc32c(0, key, sizeof key);
    sum = crc32c(sum, sealed, 1);
    sum = crc32c(sum, sealed + ROW_CHECK_SIZE, row->size - ROW_CHECK_SIZE);
    enc_put_u32(sealed + 1, sum);
    assert_int_equal(row_record_check(REVISION, bytes_of(sealed, row->size), &r), ERR_VERSION);
    blob_unref(row);
}

static void test_rows_meta_comes_back_and_is_checked(void **state)
{
    (void) state;
    struct row_meta m = {9, 8, 7, -1, UINT64_C(0xfedcba9876543210), 5, 10, 11};
    struct row_meta back;
    uint8_t row[ROW_META_SIZE];
    row_meta_encode(&m, row);
    assert_int_equal(row_meta_parse(bytes_of(row, sizeof row), &back), OK);
    assert_memory_equal(&m, &back, sizeof m);
    for (size_t bit = 0; bit < sizeof row * 8; bit++) {
        row[bit / 8] ^= (uint8_t) (1 << bit % 8);
        assert_int_equal(row_meta_parse(bytes_of(row, sizeof row), &back), ERR_CORRUPT);
        row[bit / 8] ^= (uint8_t) (1 << bit % 8);
    }
    for (size_t size = 0; size < sizeof row; size++) {
        assert_int_equal(row_meta_parse(bytes_of(row, size), &back), ERR_CORRUPT);
    }
    static const struct row_meta wrong[] = {
        {.revision = 0, .compact_revision = -1, .swept_revision = -1}, /* revision below 1 */
        {.revision = 5,
         .compact_revision = 6,
         .swept_revision = -1}, /* compacted beyond the revision */
        {.revision = 5, .compact_revision = -2, .swept_revision = -2},
        {.revision = 5,
         .compact_revision = 3,
         .swept_revision = 4}, /* swept beyond the compaction */
    };
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        row_meta_encode(&wrong[i], row);
        assert_int_equal(row_meta_parse(bytes_of(row, sizeof row), &back), ERR_CORRUPT);
    }
}

static void test_rows_foreign_keys_are_corrupt(void **state)
{
    (void) state;
    uint8_t key[ROW_RECORD_KEY_SIZE + 1] = {'r', 0, 0, 0, 0, 0, 0, 0, 1};
    struct revision r;
    uint64_t id;
    assert_int_equal(row_record_key_parse(bytes_of(key, sizeof key - 1), &r), OK);
    assert_int_equal(row_record_key_parse(bytes_of(key, sizeof key), &r), ERR_CORRUPT);
    assert_int_equal(row_record_key_parse(bytes_of(key, 12), &r), ERR_CORRUPT);
    key[1] = 0x80; /* a negative revision */
    assert_int_equal(row_record_key_parse(bytes_of(key, sizeof key - 1), &r), ERR_CORRUPT);
    memset(key + 1, 0, 8);
    assert_int_equal(row_record_key_parse(bytes_of(key, sizeof key - 1), &r), ERR_CORRUPT);
    assert_int_equal(row_session_key_parse(bytes_of(key, ROW_SESSION_KEY_SIZE), &id), ERR_CORRUPT);
    row_session_key(UINT64_C(0x8000000000000001), key);
    assert_int_equal(row_session_key_parse(bytes_of(key, ROW_SESSION_KEY_SIZE), &id), OK);
    assert_true(id == UINT64_C(0x8000000000000001));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_record_bytes_are_as_documented),
        cmocka_unit_test(test_rows_record_comes_back),
        cmocka_unit_test(test_rows_key_order_is_revision_order),
        cmocka_unit_test(test_rows_any_flipped_bit_is_corrupt),
        cmocka_unit_test(test_rows_cut_record_is_corrupt),
        cmocka_unit_test(test_rows_newer_format_is_version),
        cmocka_unit_test(test_rows_meta_comes_back_and_is_checked),
        cmocka_unit_test(test_rows_foreign_keys_are_corrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
