/*
 * test_crc32c.c - CRC-32C, by instruction and by table.
 */

#include "base/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "tests/support/guard.h"

/* One bit at a time, straight from the definition (reflected polynomial 0x1edc6f41). */
static uint32_t crc_by_bits(uint32_t crc, const uint8_t *p, size_t size)
{
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78 : 0);
        }
    }
    return ~crc;
}

static void assert_crc(const void *data, size_t size, uint32_t expected)
{
    assert_int_equal(crc32c(0, data, size), expected);
    assert_int_equal(crc32c_portable(0, data, size), expected);
}

static void test_crc32c_published_vectors_match(void **state)
{
    (void) state;
    uint8_t block[32];
    assert_crc(NULL, 0, 0);
    assert_crc("a", 1, 0xc1d04330);
    assert_crc("123456789", 9, 0xe3069283);
    /* RFC 3720 B.4 */
    memset(block, 0, sizeof block);
    assert_crc(block, sizeof block, 0x8a9136aa);
    memset(block, 0xff, sizeof block);
    assert_crc(block, sizeof block, 0x62a8ab43);
    for (size_t i = 0; i < sizeof block; i++) {
        block[i] = (uint8_t) i;
    }
    assert_crc(block, sizeof block, 0x46dd794e);
    for (size_t i = 0; i < sizeof block; i++) {
        block[i] = (uint8_t) (31 - i);
    }
    assert_crc(block, sizeof block, 0x113fdb5c);
}

static void test_crc32c_both_ways_agree_at_every_size_and_alignment(void **state)
{
    (void) state;
    struct rng rng;
    rng_init(&rng, 5);
    uint8_t data[160];
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t) rng_u64(&rng);
    }
    for (size_t at = 0; at < 16; at++) {
        for (size_t size = 0; size <= sizeof data - 16; size++) {
            uint32_t seed = (uint32_t) rng_u64(&rng);
            uint32_t expected = crc_by_bits(seed, data + at, size);
            assert_int_equal(crc32c(seed, data + at, size), expected);
            assert_int_equal(crc32c_portable(seed, data + at, size), expected);
        }
    }
}

static void test_crc32c_continued_equals_whole(void **state)
{
    (void) state;
    struct bytes text = bytes_str("the checksum of every record we store or send");
    uint32_t whole = crc32c_bytes(0, text);
    for (size_t cut = 0; cut <= text.size; cut++) {
        uint32_t crc = crc32c(0, text.data, cut);
        assert_int_equal(crc32c(crc, text.data + cut, text.size - cut), whole);
    }
}

static void test_crc32c_reads_nothing_behind_the_data(void **state)
{
    (void) state;
    static const uint8_t zeros[64];
    struct guard guard;
    guard_init(&guard, sizeof zeros);
    for (size_t size = 0; size <= sizeof zeros; size++) {
        struct bytes src = guard_place(&guard, bytes_of(zeros, size));
        assert_int_equal(crc32c_bytes(0, src), crc_by_bits(0, zeros, size));
        assert_int_equal(crc32c_portable(0, src.data, src.size), crc_by_bits(0, zeros, size));
    }
    guard_release(&guard);
}

static void test_crc32c_every_single_bit_flip_is_seen(void **state)
{
    (void) state;
    uint8_t data[40] = {1, 2, 3};
    uint32_t crc = crc32c(0, data, sizeof data);
    for (size_t bit = 0; bit < 8 * sizeof data; bit++) {
        data[bit / 8] ^= (uint8_t) (1u << (bit % 8));
        assert_int_not_equal(crc32c(0, data, sizeof data), crc);
        data[bit / 8] ^= (uint8_t) (1u << (bit % 8));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc32c_published_vectors_match),
        cmocka_unit_test(test_crc32c_both_ways_agree_at_every_size_and_alignment),
        cmocka_unit_test(test_crc32c_continued_equals_whole),
        cmocka_unit_test(test_crc32c_reads_nothing_behind_the_data),
        cmocka_unit_test(test_crc32c_every_single_bit_flip_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
