/*
 * test_assert.c - assertions abort, and only when they do not hold.
 */

#include "base/assert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/death.h"

STATIC_ASSERT(sizeof(uint64_t) == 8, "a static assertion compiles at file scope");

static void assert_on(void *ctx)
{
    const int *value = ctx;
    ASSERT(*value == 1);
}

static void assert_unreachable(void *ctx)
{
    (void) ctx;
    UNREACHABLE();
}

static void test_assert_true_condition_continues(void **state)
{
    (void) state;
    int evaluated = 0;
    ASSERT(++evaluated == 1);
    assert_int_equal(evaluated, 1); /* evaluated once, and not compiled out */
}

static void test_assert_false_condition_aborts(void **state)
{
    (void) state;
    int one = 1;
    int two = 2;
    assert_false(death_aborts(assert_on, &one));
    assert_true(death_aborts(assert_on, &two));
}

static void test_assert_unreachable_aborts(void **state)
{
    (void) state;
    assert_true(death_aborts(assert_unreachable, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_assert_true_condition_continues),
        cmocka_unit_test(test_assert_false_condition_aborts),
        cmocka_unit_test(test_assert_unreachable_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
