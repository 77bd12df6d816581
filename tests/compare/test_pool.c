/*
 * test_pool.c - jobs in processes: each runs once and leaves its result, one that dies or hangs
 * takes nothing else with it, and a stop is a stop.
 */
#include "tests/compare/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static void square(void *ctx, uint64_t i, void *slot)
{
    (void) ctx;
    *(uint64_t *) slot += i * i + 1;
}

static void test_pool_each_job_runs_once(void **state)
{
    (void) state;
    const struct pool_options options = {.workers = 3};
    struct pool_result result;
    uint64_t *slots = pool_slots(1000, sizeof *slots);
    assert_non_null(slots);
    pool_run(&options, 1000, sizeof *slots, slots, square, NULL, &result);
    assert_int_equal(result.done, 1000);
    assert_int_equal(result.broken, 0);
    for (uint64_t i = 0; i < 1000; i++) {
        assert_int_equal(slots[i], i * i + 1);
    }
    pool_slots_free(slots, 1000, sizeof *slots);
}

static void die_at_ten(void *ctx, uint64_t i, void *slot)
{
    (void) ctx;
    if (i == 10) {
        _exit(3);
    }
    *(uint64_t *) slot = 1;
}

static void test_pool_job_that_dies_takes_only_its_chunk(void **state)
{
    (void) state;
    const struct pool_options options = {.workers = 2, .chunk = 4};
    struct pool_result result;
    uint64_t *slots = pool_slots(40, sizeof *slots);
    pool_run(&options, 40, sizeof *slots, slots, die_at_ten, NULL, &result);
    assert_int_equal(result.done, 36);
    assert_int_equal(result.broken, 1);
    for (uint64_t i = 0; i < 40; i++) {
        assert_int_equal(slots[i], i == 10 || i == 11 ? 0 : 1);
    }
    pool_slots_free(slots, 40, sizeof *slots);
}

static void hang_at_one(void *ctx, uint64_t i, void *slot)
{
    (void) ctx;
    while (i == 1) {
        (void) pause(); /* for ever */
    }
    *(uint64_t *) slot = 1;
}

static void test_pool_job_that_hangs_is_ended(void **state)
{
    (void) state;
    const struct pool_options options = {.workers = 2, .chunk = 1, .limit_s = 1};
    struct pool_result result;
    uint64_t *slots = pool_slots(4, sizeof *slots);
    pool_run(&options, 4, sizeof *slots, slots, hang_at_one, NULL, &result);
    assert_int_equal(result.done, 3);
    assert_int_equal(result.broken, 1);
    assert_int_equal(slots[1], 0);
    pool_slots_free(slots, 4, sizeof *slots);
}

static bool stop_soon(void *ctx, uint64_t done, uint64_t total)
{
    (void) total;
    *(uint64_t *) ctx = done;
    return done < 3;
}

static void test_pool_progress_can_stop_it(void **state)
{
    (void) state;
    uint64_t seen = 0;
    const struct pool_options options = {.workers = 2,
                                         .chunk = 1,
                                         .progress = stop_soon,
                                         .ctx = &seen};
    struct pool_result result;
    uint64_t *slots = pool_slots(1000, sizeof *slots);
    pool_run(&options, 1000, sizeof *slots, slots, square, NULL, &result);
    assert_true(result.stopped);
    assert_true(seen >= 3);
    assert_true(result.done < 1000);
    pool_slots_free(slots, 1000, sizeof *slots);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pool_each_job_runs_once),
        cmocka_unit_test(test_pool_job_that_dies_takes_only_its_chunk),
        cmocka_unit_test(test_pool_job_that_hangs_is_ended),
        cmocka_unit_test(test_pool_progress_can_stop_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
