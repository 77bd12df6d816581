/*
 * test_stats.c - quantiles and ranges against values computed exactly (in rationals), and against
 * what they promise: a range at 95 % holds the truth in at least about 95 of 100 seeded samples.
 */
#include "tests/compare/stats.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-12 * fmax(1, fabs(b));
}

static void test_stats_nan_is_left_out(void **state)
{
    double samples[] = {NAN, 3, 1, NAN, 2};
    size_t count;
    double *sorted = stats_sorted(samples, ARRAY_SIZE(samples), &count);

    (void) state;
    assert_int_equal(count, 3);
    assert_true(sorted[0] == 1 && sorted[1] == 2 && sorted[2] == 3);
    assert_true(stats_mean(samples, ARRAY_SIZE(samples)) == 2);
    free(sorted);
}

static void test_stats_no_samples_give_nan(void **state)
{
    double samples[] = {NAN};
    struct stats_summary s;

    (void) state;
    stats_summary(samples, 1, &s);
    assert_int_equal(s.count, 0);
    assert_true(isnan(s.min) && isnan(s.median) && isnan(s.p99) && isnan(s.max) && isnan(s.mean));
    assert_true(isnan(s.low) && isnan(s.high) && !s.sure);
    stats_summary(NULL, 0, &s);
    assert_int_equal(s.count, 0);
}

/* Hyndman and Fan 1996, type 7: the value at (n - 1) p. */
static void test_stats_quantile_interpolates(void **state)
{
    static const double sorted[] = {1, 2, 4, 8, 16};
    static const struct {
        double share, value;
    } cases[] = {{0, 1},    {0.25, 2},   {0.5, 4},     {0.1, 1.4},    {0.6, 5.6},
                 {0.75, 8}, {0.9, 12.8}, {0.95, 14.4}, {0.99, 15.68}, {1, 16}};

    (void) state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_true(near(stats_quantile(sorted, 5, cases[i].share), cases[i].value));
    }
    assert_true(stats_quantile(sorted, 1, 0.99) == 1);
    assert_true(near(stats_quantile(sorted, 2, 0.5), 1.5));
}

static void test_stats_quantile_of_what_never_ended_is_infinite(void **state)
{
    static const double sorted[] = {1, 2, INFINITY, INFINITY};

    (void) state;
    assert_true(stats_quantile(sorted, 4, 1.0 / 3) == 2);
    assert_true(isinf(stats_quantile(sorted, 4, 0.5)));
    assert_true(isinf(stats_quantile(sorted, 4, 0.9)));
}

/* The numbers of the order statistics, from 1, for samples 1, 2, ... n. Exact binomial sums. */
static void test_stats_quantile_range_is_of_exact_order_statistics(void **state)
{
    static const struct {
        size_t count;
        double share;
        bool sure;
        double low, high;
    } cases[] = {{1, 0.5, false, 1, 1},          {5, 0.5, false, 1, 5}, /* 93.75 % */
                 {6, 0.5, true, 1, 6},                                  /* 96.9 % */
                 {9, 0.5, true, 2, 8},           {10, 0.5, true, 2, 9},
                 {20, 0.5, true, 6, 15},         {100, 0.5, true, 40, 61},
                 {100, 0.25, true, 17, 35},      {1000, 0.5, true, 469, 532},
                 {1000, 0.9, true, 881, 919},    {1000, 0.99, true, 983, 997},
                 {367, 0.99, false, 1, 367},     {368, 0.99, true, 360, 368},
                 {10000, 0.5, true, 4902, 5099}, {100000, 0.5, true, 49690, 50311},
                 {100, 0, false, 1, 100},        {100, 1, false, 1, 100}};
    double *sorted = xcalloc(100000, sizeof(*sorted));
    double low;
    double high;

    (void) state;
    for (size_t i = 0; i < 100000; i++) {
        sorted[i] = (double) (i + 1);
    }
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        bool sure = stats_quantile_range(sorted, cases[i].count, cases[i].share, &low, &high);

        assert_int_equal(sure, cases[i].sure);
        assert_true(low == cases[i].low);
        assert_true(high == cases[i].high);
    }
    free(sorted);
}

static double uniform(struct rng *r)
{
    return (double) (rng_u64(r) >> 11) * 0x1p-53;
}

static void test_stats_quantile_range_covers_the_quantile(void **state)
{
    enum { ROUNDS = 20000, COUNT_MAX = 1000 };
    static const struct {
        size_t count;
        double share;
    } cases[] = {{10, 0.5}, {33, 0.5}, {100, 0.25}, {500, 0.9}, {400, 0.99}};
    double samples[COUNT_MAX];
    struct rng r;

    (void) state;
    rng_init(&r, 1);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint32_t rounds = (uint32_t) (ROUNDS * 10 / (10 + cases[i].count / 10));
        uint32_t covered = 0;

        for (uint32_t k = 0; k < rounds; k++) {
            double *sorted;
            double low;
            double high;
            size_t count;

            for (size_t s = 0; s < cases[i].count; s++) {
                samples[s] = uniform(&r);
            }
            sorted = stats_sorted(samples, cases[i].count, &count);
            assert_true(stats_quantile_range(sorted, count, cases[i].share, &low, &high));
            covered += low <= cases[i].share && cases[i].share <= high;
            free(sorted);
        }
        /* At least 95 %, but for three deviations of the simulation; and not simply everything. */
        assert_true(covered >= 0.95 * rounds - 3 * sqrt(0.95 * 0.05 * rounds));
        assert_true(covered < 0.99 * rounds);
    }
}

static void test_stats_share_range_is_the_score_interval(void **state)
{
    static const struct {
        uint64_t hits, count;
        double low, high;
    } cases[] = {{0, 0, 0, 1},
                 {0, 10, 0, 0.2775327998628892},
                 {10, 10, 0.7224672001371107, 1},
                 {5, 10, 0.236593090512564, 0.7634069094874361},
                 {1, 100, 0.0017674320641406505, 0.054486196178705315},
                 {81, 263, 0.2552885198782742, 0.36620957698280004}, /* Newcombe 1998 */
                 {200, 200, 0.9811546736227335, 1}};
    double low;
    double high;

    (void) state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        stats_share_range(cases[i].hits, cases[i].count, &low, &high);
        assert_true(near(low, cases[i].low));
        assert_true(near(high, cases[i].high));
    }
}

static void test_stats_share_range_covers_the_share(void **state)
{
    enum { ROUNDS = 20000, COUNT = 200 };
    struct rng r;
    uint32_t covered = 0;

    (void) state;
    rng_init(&r, 2);
    for (uint32_t k = 0; k < ROUNDS; k++) {
        uint64_t hits = 0;
        double low;
        double high;

        for (uint32_t i = 0; i < COUNT; i++) {
            hits += rng_chance(&r, 3, 10);
        }
        stats_share_range(hits, COUNT, &low, &high);
        covered += low <= 0.3 && 0.3 <= high;
    }
    /* The score interval has 95 % on average over shares, not at each. */
    assert_true(covered > 0.94 * ROUNDS);
    assert_true(covered < 0.965 * ROUNDS);
}

static void test_stats_summary_holds_together(void **state)
{
    double samples[101];
    struct stats_summary s;

    (void) state;
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        samples[i] = (double) (100 - i);
    }
    stats_summary(samples, ARRAY_SIZE(samples), &s);
    assert_int_equal(s.count, 101);
    assert_true(s.min == 0 && s.p25 == 25 && s.median == 50 && s.p75 == 75);
    assert_true(near(s.p90, 90) && near(s.p95, 95) && near(s.p99, 99) && s.max == 100);
    assert_true(s.mean == 50 && s.sure && s.low == 40 && s.high == 60);
    assert_true(samples[0] == 100); /* not sorted in place */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stats_nan_is_left_out),
        cmocka_unit_test(test_stats_no_samples_give_nan),
        cmocka_unit_test(test_stats_quantile_interpolates),
        cmocka_unit_test(test_stats_quantile_of_what_never_ended_is_infinite),
        cmocka_unit_test(test_stats_quantile_range_is_of_exact_order_statistics),
        cmocka_unit_test(test_stats_quantile_range_covers_the_quantile),
        cmocka_unit_test(test_stats_share_range_is_the_score_interval),
        cmocka_unit_test(test_stats_share_range_covers_the_share),
        cmocka_unit_test(test_stats_summary_holds_together),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
