/*
 * test_hash.c - hashes that never change.
 */

#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "tests/support/guard.h"

static int bits_set(uint64_t x)
{
    return __builtin_popcountll(x);
}

/* From an implementation in another language. A change here makes nodes of two versions disagree
 * about equal states. */
static void test_hash_known_input_gives_known_value(void **state)
{
    (void) state;
    struct bytes fox = bytes_str("The quick brown fox jumps over the lazy dog");
    assert_true(hash64_bytes(0, bytes_of(NULL, 0)) == UINT64_C(0xbcbbb18960e086c4));
    assert_true(hash64_bytes(0, bytes_str("a")) == UINT64_C(0x3e8d5b012ee53ced));
    assert_true(hash64_bytes(1, bytes_str("a")) == UINT64_C(0xaffe49a514b2414f));
    assert_true(hash64_bytes(0, fox) == UINT64_C(0xb3221baf48c0b9da));
    assert_true(hash64_mix(1, 2) == UINT64_C(0xbde0fce23e83c024));
    assert_true(hash64_mix(0, 0) == UINT64_C(0x708778e4f48d2d9a));
}

static void test_hash_mix_depends_on_the_order(void **state)
{
    (void) state;
    assert_true(hash64_mix(1, 2) != hash64_mix(2, 1));
    assert_true(hash64_mix(hash64_mix(0, 1), 2) != hash64_mix(hash64_mix(0, 2), 1));
}

static void test_hash_bytes_ignores_alignment_and_stays_inside(void **state)
{
    (void) state;
    const char *text = "abcdefghijklmnopqrstuvwxyz";
    struct guard guard;
    guard_init(&guard, 32);
    for (size_t size = 0; size <= 26; size++) {
        uint64_t expected = hash64_bytes(9, bytes_of(text, size));
        for (size_t at = 0; at < 8; at++) {
            uint8_t moved[40] = {0};
            memcpy(moved + at, text, size);
            assert_true(hash64_bytes(9, bytes_of(moved + at, size)) == expected);
        }
        struct bytes guarded = guard_place(&guard, bytes_of(text, size));
        assert_true(hash64_bytes(9, guarded) == expected);
    }
    guard_release(&guard);
}

static void test_hash_bytes_tells_sizes_of_zeros_apart(void **state)
{
    (void) state;
    static const uint8_t zeros[64];
    for (size_t i = 0; i <= sizeof zeros; i++) {
        for (size_t j = 0; j < i; j++) {
            assert_true(hash64_bytes(0, bytes_of(zeros, i)) != hash64_bytes(0, bytes_of(zeros, j)));
        }
    }
}

static void test_hash_one_bit_changes_about_half_of_the_result(void **state)
{
    (void) state;
    struct rng rng;
    rng_init(&rng, 6);
    uint8_t data[20];
    int changed = 0;
    int flips = 0;
    for (int round = 0; round < 20; round++) {
        for (size_t i = 0; i < sizeof data; i++) {
            data[i] = (uint8_t) rng_u64(&rng);
        }
        uint64_t seed = rng_u64(&rng);
        uint64_t before = hash64_bytes(seed, bytes_of(data, sizeof data));
        for (size_t bit = 0; bit < 8 * sizeof data; bit++) {
            data[bit / 8] ^= (uint8_t) (1u << (bit % 8));
            int bits = bits_set(before ^ hash64_bytes(seed, bytes_of(data, sizeof data)));
            assert_in_range(bits, 10, 54);
            changed += bits;
            flips++;
            data[bit / 8] ^= (uint8_t) (1u << (bit % 8));
        }
    }
    assert_in_range(changed / flips, 31, 32);
    assert_in_range(bits_set(hash64_mix(5, 1) ^ hash64_mix(5, 3)), 10, 54);
    assert_in_range(bits_set(hash64_mix(1, 5) ^ hash64_mix(3, 5)), 10, 54);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash_known_input_gives_known_value),
        cmocka_unit_test(test_hash_mix_depends_on_the_order),
        cmocka_unit_test(test_hash_bytes_ignores_alignment_and_stays_inside),
        cmocka_unit_test(test_hash_bytes_tells_sizes_of_zeros_apart),
        cmocka_unit_test(test_hash_one_bit_changes_about_half_of_the_result),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
