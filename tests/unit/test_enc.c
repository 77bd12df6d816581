/*
 * test_enc.c - encodings and the bounds-checked reader.
 */

#include "base/enc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "tests/support/guard.h"

static void test_enc_fixed_integers_have_the_stated_byte_order(void **state)
{
    (void) state;
    uint8_t out[8];
    enc_put_u8(out, 0x01);
    assert_memory_equal(out, "\x01", 1);
    enc_put_u16(out, 0x0102);
    assert_memory_equal(out, "\x02\x01", 2);
    enc_put_u32(out, 0x01020304);
    assert_memory_equal(out, "\x04\x03\x02\x01", 4);
    enc_put_u64(out, 0x0102030405060708);
    assert_memory_equal(out, "\x08\x07\x06\x05\x04\x03\x02\x01", 8);
    enc_put_be32(out, 0x01020304);
    assert_memory_equal(out, "\x01\x02\x03\x04", 4);
    enc_put_be64(out, 0x0102030405060708);
    assert_memory_equal(out, "\x01\x02\x03\x04\x05\x06\x07\x08", 8);
}

static void test_enc_get_reads_what_put_wrote_at_any_alignment(void **state)
{
    (void) state;
    const uint64_t values[] = {0, 1, 0x7f, 0x80, 0xfedcba9876543210, UINT64_MAX};
    uint8_t out[16];
    for (size_t i = 0; i < ARRAY_SIZE(values) * 8; i++) {
        uint64_t v = values[i / 8];
        uint8_t *p = out + i % 8;
        enc_put_u8(p, (uint8_t) v);
        assert_int_equal(enc_get_u8(p), (uint8_t) v);
        enc_put_u16(p, (uint16_t) v);
        assert_int_equal(enc_get_u16(p), (uint16_t) v);
        enc_put_u32(p, (uint32_t) v);
        assert_int_equal(enc_get_u32(p), (uint32_t) v);
        enc_put_u64(p, v);
        assert_true(enc_get_u64(p) == v);
        enc_put_be32(p, (uint32_t) v);
        assert_int_equal(enc_get_be32(p), (uint32_t) v);
        enc_put_be64(p, v);
        assert_true(enc_get_be64(p) == v);
    }
}

static void test_enc_big_endian_sorts_as_numbers(void **state)
{
    (void) state;
    struct rng rng;
    rng_init(&rng, 3);
    for (int i = 0; i < 1000; i++) {
        uint64_t x = rng_u64(&rng) >> rng_below(&rng, 64);
        uint64_t y = rng_u64(&rng) >> rng_below(&rng, 64);
        uint8_t a[8];
        uint8_t b[8];
        enc_put_be64(a, x);
        enc_put_be64(b, y);
        int order = bytes_compare(bytes_of(a, 8), bytes_of(b, 8));
        assert_int_equal((order > 0) - (order < 0), (x > y) - (x < y));
    }
}

static void test_enc_varint_has_the_stated_bytes(void **state)
{
    (void) state;
    const struct {
        uint64_t value;
        const char *bytes;
        size_t size;
    } rows[] = {
        {0, "\x00", 1},
        {1, "\x01", 1},
        {127, "\x7f", 1},
        {128, "\x80\x01", 2},
        {300, "\xac\x02", 2},
        {16383, "\xff\x7f", 2},
        {16384, "\x80\x80\x01", 3},
        {UINT64_C(1) << 63, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 10},
        {UINT64_MAX, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint8_t out[ENC_VARINT_MAX];
        assert_int_equal(enc_put_varint(out, rows[i].value), rows[i].size);
        assert_int_equal(enc_varint_size(rows[i].value), rows[i].size);
        assert_memory_equal(out, rows[i].bytes, rows[i].size);
        struct reader r;
        reader_init(&r, bytes_of(out, rows[i].size));
        assert_true(reader_varint(&r) == rows[i].value);
        assert_false(r.failed);
        assert_int_equal(reader_left(&r), 0);
    }
}

static void test_enc_varint_malformed_fails(void **state)
{
    (void) state;
    const struct bytes malformed[] = {
        bytes_of(NULL, 0),
        bytes_of("\x80", 1),
        bytes_of("\xff\xff\xff\xff\xff\xff\xff\xff\xff", 9),
        bytes_of("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10),     /* bit 64 */
        bytes_of("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 11), /* an eleventh byte */
    };
    struct guard guard;
    guard_init(&guard, 16);
    for (size_t i = 0; i < ARRAY_SIZE(malformed); i++) {
        struct reader r;
        reader_init(&r, guard_place(&guard, malformed[i]));
        assert_true(reader_varint(&r) == 0);
        assert_true(r.failed);
    }
    struct reader r;
    reader_init(&r, bytes_of("\x80\x00", 2)); /* longer than needed, as protobuf allows */
    assert_true(reader_varint(&r) == 0);
    assert_false(r.failed);
    guard_release(&guard);
}

static void test_enc_reader_stops_before_the_guard_page(void **state)
{
    (void) state;
    struct guard guard;
    guard_init(&guard, 16);
    for (size_t size = 0; size <= 8; size++) {
        struct bytes src = guard_place(&guard, bytes_of("\x01\x02\x03\x04\x05\x06\x07\x08", size));
        struct reader r;
        reader_init(&r, src);
        assert_int_equal(reader_u8(&r), size >= 1 ? 1 : 0);
        assert_int_equal(r.failed, size < 1);
        reader_init(&r, src);
        assert_int_equal(reader_u16(&r), size >= 2 ? 0x0201 : 0);
        assert_int_equal(r.failed, size < 2);
        reader_init(&r, src);
        assert_int_equal(reader_u32(&r), size >= 4 ? 0x04030201 : 0);
        assert_int_equal(r.failed, size < 4);
        reader_init(&r, src);
        assert_int_equal(reader_be32(&r), size >= 4 ? 0x01020304 : 0);
        assert_int_equal(r.failed, size < 4);
        reader_init(&r, src);
        assert_true(reader_u64(&r) == (size >= 8 ? 0x0807060504030201 : 0));
        assert_int_equal(r.failed, size < 8);
        reader_init(&r, src);
        assert_true(reader_be64(&r) == (size >= 8 ? 0x0102030405060708 : 0));
        assert_int_equal(r.failed, size < 8);
        reader_init(&r, src);
        assert_int_equal(reader_bytes(&r, 5).size, size >= 5 ? 5 : 0);
        assert_int_equal(r.failed, size < 5);
    }
    guard_release(&guard);
}

static void test_enc_reader_failure_is_sticky(void **state)
{
    (void) state;
    struct reader r;
    reader_init(&r, bytes_of("\x01\x02\x03", 3));
    assert_int_equal(reader_u32(&r), 0);
    assert_true(r.failed);
    /* A byte is there, but what follows a failed read means nothing. */
    assert_int_equal(reader_u8(&r), 0);
    assert_int_equal(reader_bytes(&r, 1).size, 0);
    assert_int_equal(reader_bytes(&r, 0).size, 0);
    assert_true(reader_varint(&r) == 0);
    assert_int_equal(reader_left(&r), 0);
    assert_true(r.failed);
}

static void test_enc_reader_bytes_at_the_edges(void **state)
{
    (void) state;
    struct reader r;
    reader_init(&r, bytes_of(NULL, 0));
    assert_int_equal(reader_bytes(&r, 0).size, 0);
    assert_false(r.failed);
    assert_int_equal(reader_bytes(&r, SIZE_MAX).size, 0);
    assert_true(r.failed);

    reader_init(&r, bytes_str("abc"));
    assert_true(bytes_equal(reader_bytes(&r, 2), bytes_str("ab")));
    assert_int_equal(reader_left(&r), 1);
    assert_int_equal(reader_bytes(&r, SIZE_MAX).size, 0);
    assert_true(r.failed);
}

static void test_enc_buffer_roundtrip_and_limit(void **state)
{
    (void) state;
    struct buf b;
    buf_init(&b, 1 + 2 + 4 + 8 + 4 + 8 + 3);
    assert_int_equal(buf_put_u8(&b, 0xfe), OK);
    assert_int_equal(buf_put_u16(&b, 0xfedc), OK);
    assert_int_equal(buf_put_u32(&b, 0xfedcba98), OK);
    assert_int_equal(buf_put_u64(&b, 0xfedcba9876543210), OK);
    assert_int_equal(buf_put_be32(&b, 0x01020304), OK);
    assert_int_equal(buf_put_be64(&b, 0x0102030405060708), OK);
    assert_int_equal(buf_put_varint(&b, UINT64_MAX), ERR_LIMIT);
    assert_int_equal(buf_put_varint(&b, 100000), OK); /* three bytes */
    assert_int_equal(buf_put_u8(&b, 0), ERR_LIMIT);

    struct reader r;
    reader_init(&r, buf_bytes(&b));
    assert_int_equal(reader_u8(&r), 0xfe);
    assert_int_equal(reader_u16(&r), 0xfedc);
    assert_int_equal(reader_u32(&r), 0xfedcba98);
    assert_true(reader_u64(&r) == 0xfedcba9876543210);
    assert_int_equal(reader_be32(&r), 0x01020304);
    assert_true(reader_be64(&r) == 0x0102030405060708);
    assert_true(reader_varint(&r) == 100000);
    assert_int_equal(reader_left(&r), 0);
    assert_false(r.failed);
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_enc_fixed_integers_have_the_stated_byte_order),
        cmocka_unit_test(test_enc_get_reads_what_put_wrote_at_any_alignment),
        cmocka_unit_test(test_enc_big_endian_sorts_as_numbers),
        cmocka_unit_test(test_enc_varint_has_the_stated_bytes),
        cmocka_unit_test(test_enc_varint_malformed_fails),
        cmocka_unit_test(test_enc_reader_stops_before_the_guard_page),
        cmocka_unit_test(test_enc_reader_failure_is_sticky),
        cmocka_unit_test(test_enc_reader_bytes_at_the_edges),
        cmocka_unit_test(test_enc_buffer_roundtrip_and_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
