/*
 * test_rng.c - the seeded generator.
 */

#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests/support/death.h"

static void below_zero(void *ctx)
{
    (void) rng_below(ctx, 0);
}

static void between_reversed(void *ctx)
{
    (void) rng_between(ctx, 2, 1);
}

/* From the reference code of xoshiro256** and splitmix64. */
static void test_rng_known_seed_gives_known_numbers(void **state)
{
    (void) state;
    struct rng r;
    rng_init(&r, 0);
    assert_true(rng_u64(&r) == UINT64_C(0x99ec5f36cb75f2b4));
    assert_true(rng_u64(&r) == UINT64_C(0xbf6e1f784956452a));
    assert_true(rng_u64(&r) == UINT64_C(0x1a5f849d4933e6e0));
    assert_true(rng_u64(&r) == UINT64_C(0x6aa594f1262d2d2c));
    rng_init(&r, 42);
    assert_true(rng_u64(&r) == UINT64_C(0x15780b2e0c2ec716));
    assert_true(rng_u64(&r) == UINT64_C(0x6104d9866d113a7e));
}

static void test_rng_same_seed_repeats_other_seed_differs(void **state)
{
    (void) state;
    struct rng a;
    struct rng b;
    struct rng c;
    rng_init(&a, 7);
    rng_init(&b, 7);
    rng_init(&c, 8);
    int same = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t x = rng_u64(&a);
        assert_true(x == rng_u64(&b));
        same += x == rng_u64(&c) ? 1 : 0;
    }
    assert_int_equal(same, 0);
}

static void test_rng_below_is_in_range_and_even(void **state)
{
    (void) state;
    struct rng r;
    rng_init(&r, 1);
    int counts[10] = {0};
    for (int i = 0; i < 100000; i++) {
        uint64_t x = rng_below(&r, ARRAY_SIZE(counts));
        assert_true(x < ARRAY_SIZE(counts));
        counts[x]++;
    }
    for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
        assert_in_range(counts[i], 9600, 10400); /* four standard deviations */
    }
    for (int i = 0; i < 100; i++) {
        assert_true(rng_below(&r, 1) == 0);
    }
    /* With bound 3 * 2^62 a plain remainder would make the first third twice as likely. */
    int low = 0;
    for (int i = 0; i < 30000; i++) {
        low += rng_below(&r, UINT64_C(3) << 62) < UINT64_C(1) << 62 ? 1 : 0;
    }
    assert_in_range(low, 9600, 10400);
}

static void test_rng_between_includes_both_ends(void **state)
{
    (void) state;
    struct rng r;
    rng_init(&r, 2);
    int lows = 0;
    int highs = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t x = rng_between(&r, 5, 7);
        assert_in_range(x, 5, 7);
        lows += x == 5 ? 1 : 0;
        highs += x == 7 ? 1 : 0;
    }
    assert_true(lows > 0);
    assert_true(highs > 0);
    assert_true(rng_between(&r, UINT64_MAX, UINT64_MAX) == UINT64_MAX);
    uint64_t any = rng_between(&r, 0, UINT64_MAX) | rng_between(&r, 0, UINT64_MAX);
    assert_true(any > UINT32_MAX);
}

static void test_rng_chance_follows_its_odds(void **state)
{
    (void) state;
    struct rng r;
    rng_init(&r, 3);
    int hits = 0;
    for (int i = 0; i < 40000; i++) {
        hits += rng_chance(&r, 1, 4) ? 1 : 0;
        assert_false(rng_chance(&r, 0, 9));
        assert_true(rng_chance(&r, 9, 9));
        assert_true(rng_chance(&r, 10, 9));
    }
    assert_in_range(hits, 9600, 10400);
}

static void test_rng_impossible_range_aborts(void **state)
{
    (void) state;
    struct rng r;
    rng_init(&r, 4);
    assert_true(death_aborts(below_zero, &r));
    assert_true(death_aborts(between_reversed, &r));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rng_known_seed_gives_known_numbers),
        cmocka_unit_test(test_rng_same_seed_repeats_other_seed_differs),
        cmocka_unit_test(test_rng_below_is_in_range_and_even),
        cmocka_unit_test(test_rng_between_includes_both_ends),
        cmocka_unit_test(test_rng_chance_follows_its_odds),
        cmocka_unit_test(test_rng_impossible_range_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
