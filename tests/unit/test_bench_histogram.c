/*
 * test_bench_histogram.c - the histogram that latencies are read from.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kv/bench_histogram.h"

static struct histogram h;

static void test_histogram_empty_is_zero(void **state)
{
    (void) state;
    memset(&h, 0, sizeof(h));
    assert_int_equal(histogram_quantile(&h, 500000), 0);
    assert_int_equal(histogram_mean(&h), 0);
}

static void test_histogram_small_values_are_exact(void **state)
{
    (void) state;
    memset(&h, 0, sizeof(h));
    for (uint64_t i = 1; i <= 100; i++) {
        histogram_add(&h, i);
    }
    assert_int_equal(histogram_quantile(&h, 500000), 50);
    assert_int_equal(histogram_quantile(&h, 990000), 99);
    assert_int_equal(histogram_quantile(&h, 1000000), 100);
    assert_int_equal(histogram_mean(&h), 50);
}

static void test_histogram_large_values_are_within_one_percent(void **state)
{
    (void) state;
    for (uint64_t value = 1; value < UINT32_MAX; value = value * 3 + 1) {
        uint64_t read;

        memset(&h, 0, sizeof(h));
        histogram_add(&h, value);
        histogram_add(&h, UINT32_MAX); /* so that max does not cap the answer */
        read = histogram_quantile(&h, 500000);
        assert_true(read >= value);
        assert_true(read - value <= value / 100 + 1);
    }
}

static void test_histogram_huge_value_counts_as_largest(void **state)
{
    (void) state;
    memset(&h, 0, sizeof(h));
    histogram_add(&h, UINT64_MAX / 2);
    assert_int_equal(h.count, 1);
    assert_true(histogram_quantile(&h, 990000) >= UINT32_MAX);
    assert_int_equal(h.max, UINT64_MAX / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_histogram_empty_is_zero),
        cmocka_unit_test(test_histogram_small_values_are_exact),
        cmocka_unit_test(test_histogram_large_values_are_within_one_percent),
        cmocka_unit_test(test_histogram_huge_value_counts_as_largest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
