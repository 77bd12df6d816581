/*
 * test_timer_wheel.c - timers fire in time, once, never early, also far ahead and after a sleep.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "kv/timer_wheel.h"

enum { TICK_US = 1 << TIMER_TICK_SHIFT, ROUND_US = TICK_US * TIMER_WHEEL_SLOTS };

static void test_timer_wheel_empty_has_no_deadline(void **state)
{
    struct timer_wheel *w = xmalloc(sizeof *w);
    (void) state;
    timer_wheel_init(w);
    assert_true(timer_wheel_deadline(w) == UINT64_MAX);
    timer_wheel_advance(w, UINT64_MAX / 2);
    assert_null(timer_wheel_pop(w));
    free(w);
}

static void test_timer_wheel_fires_within_a_tick_and_once(void **state)
{
    struct timer_wheel *w = xmalloc(sizeof *w);
    struct timer t = {0};
    (void) state;
    timer_wheel_init(w);
    timer_set(w, &t, 10 * TICK_US + 1);
    assert_true(timer_wheel_deadline(w) == 11 * TICK_US);
    timer_wheel_advance(w, 11 * TICK_US - 1);
    assert_null(timer_wheel_pop(w));
    timer_wheel_advance(w, 11 * TICK_US);
    assert_ptr_equal(timer_wheel_pop(w), &t);
    assert_false(timer_is_set(&t));
    assert_null(timer_wheel_pop(w));
    assert_true(timer_wheel_deadline(w) == UINT64_MAX);
    free(w);
}

static void test_timer_wheel_cleared_timer_does_not_fire(void **state)
{
    struct timer_wheel *w = xmalloc(sizeof *w);
    struct timer a = {0};
    struct timer b = {0};
    (void) state;
    timer_wheel_init(w);
    timer_set(w, &a, 5 * TICK_US);
    timer_set(w, &b, 5 * TICK_US);
    timer_clear(w, &a);
    timer_wheel_advance(w, 6 * TICK_US);
    assert_ptr_equal(timer_wheel_pop(w), &b);
    timer_set(w, &b, UINT64_MAX); /* none */
    assert_false(timer_is_set(&b));
    timer_set(w, &a, 0); /* past: with the next tick */
    timer_wheel_advance(w, 7 * TICK_US);
    assert_ptr_equal(timer_wheel_pop(w), &a);
    free(w);
}

/* A timer that is due but not yet popped may be cleared by one that was popped before it. */
static void test_timer_wheel_due_timer_can_be_cleared(void **state)
{
    struct timer_wheel *w = xmalloc(sizeof *w);
    struct timer a = {0};
    struct timer b = {0};
    (void) state;
    timer_wheel_init(w);
    timer_set(w, &a, TICK_US);
    timer_set(w, &b, TICK_US);
    timer_wheel_advance(w, TICK_US);
    assert_ptr_equal(timer_wheel_pop(w), &a);
    timer_clear(w, &b);
    assert_null(timer_wheel_pop(w));
    free(w);
}

struct model {
    struct timer timer;
    uint64_t at_us; /* 0: not set */
};

/* Against a list: what is due has fired, nothing else has, and the deadline is never late. */
static void test_timer_wheel_agrees_with_a_list(void **state)
{
    enum { TIMERS = 200, STEPS = 20000 };
    struct timer_wheel *w = xmalloc(sizeof *w);
    struct model *m = xcalloc(TIMERS, sizeof *m);
    struct rng rng;
    uint64_t now = 0;
    uint64_t wrong = 0;
    (void) state;
    rng_init(&rng, 42);
    timer_wheel_init(w);
    for (uint32_t step = 0; step < STEPS; step++) {
        struct model *one = &m[rng_below(&rng, TIMERS)];
        uint64_t far = rng_chance(&rng, 1, 10) ? 3 * (uint64_t) ROUND_US : 50 * TICK_US;
        one->at_us = rng_chance(&rng, 1, 5) ? 0 : now + 1 + rng_below(&rng, far);
        timer_set(w, &one->timer, one->at_us == 0 ? UINT64_MAX : one->at_us);
        uint64_t earliest = UINT64_MAX;
        for (uint32_t i = 0; i < TIMERS; i++) {
            earliest = m[i].at_us == 0 ? earliest : u64_min(earliest, m[i].at_us);
        }
        uint64_t deadline = timer_wheel_deadline(w);
        wrong += earliest != UINT64_MAX && deadline > earliest + 2 * TICK_US;
        now += rng_chance(&rng, 1, 500) ? 2 * (uint64_t) ROUND_US : rng_below(&rng, 3 * TICK_US);
        timer_wheel_advance(w, now);
        struct timer *t;
        while ((t = timer_wheel_pop(w)) != NULL) {
            struct model *fired = container_of(t, struct model, timer);
            wrong += fired->at_us == 0 || fired->at_us > now;
            fired->at_us = 0;
        }
        for (uint32_t i = 0; i < TIMERS; i++) {
            wrong += m[i].at_us != 0 && m[i].at_us + 2 * TICK_US <= now;
        }
    }
    assert_int_equal(wrong, 0);
    free(m);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timer_wheel_empty_has_no_deadline),
        cmocka_unit_test(test_timer_wheel_fires_within_a_tick_and_once),
        cmocka_unit_test(test_timer_wheel_cleared_timer_does_not_fire),
        cmocka_unit_test(test_timer_wheel_due_timer_can_be_cleared),
        cmocka_unit_test(test_timer_wheel_agrees_with_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
