/*
 * test_mem.c - allocation that does not fail.
 */

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/death.h"

/* Read by the address sanitizer, which else would end the process before xmalloc sees the NULL. */
const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

/* Not a constant to the compiler, which would warn of it. */
static volatile size_t huge = SIZE_MAX / 2 - 64;

static void malloc_huge(void *ctx)
{
    (void) ctx;
    free(xmalloc(huge));
}

static void calloc_overflowing(void *ctx)
{
    (void) ctx;
    free(xcalloc(huge, 16));
}

static void realloc_huge(void *ctx)
{
    (void) ctx;
    free(xrealloc(xmalloc(1), huge));
}

static void test_mem_size_zero_gives_a_pointer(void **state)
{
    (void) state;
    void *p[] = {xmalloc(0), xcalloc(0, 8), xcalloc(8, 0), xrealloc(NULL, 0), xmemdup(NULL, 0)};
    for (size_t i = 0; i < ARRAY_SIZE(p); i++) {
        assert_non_null(p[i]);
        free(p[i]);
    }
    char *kept = xrealloc(xmalloc(10), 0);
    assert_non_null(kept);
    free(kept);
}

static void test_mem_calloc_is_zeroed_and_realloc_keeps_contents(void **state)
{
    (void) state;
    uint8_t *p = xcalloc(100, 3);
    for (size_t i = 0; i < 300; i++) {
        assert_int_equal(p[i], 0);
        p[i] = (uint8_t) i;
    }
    p = xrealloc(p, 100000);
    for (size_t i = 0; i < 300; i++) {
        assert_int_equal(p[i], (uint8_t) i);
    }
    free(p);
}

static void test_mem_copies_are_independent(void **state)
{
    (void) state;
    char src[] = "a\0b";
    char *copy = xmemdup(src, sizeof src);
    char *text = xstrdup(src);
    src[0] = 'x';
    assert_memory_equal(copy, "a\0b", 4);
    assert_string_equal(text, "a");
    free(copy);
    free(text);
}

static void test_mem_exhaustion_aborts(void **state)
{
    (void) state;
    assert_true(death_aborts(malloc_huge, NULL));
    assert_true(death_aborts(calloc_overflowing, NULL));
    assert_true(death_aborts(realloc_huge, NULL));
}

static void test_mem_container_of_finds_the_object(void **state)
{
    (void) state;
    struct outer {
        uint64_t first;
        char inner;
    } object;
    assert_ptr_equal(container_of(&object.inner, struct outer, inner), &object);
    assert_ptr_equal(container_of(&object.first, struct outer, first), &object);
}

static void test_mem_min_and_max_at_the_edges(void **state)
{
    (void) state;
    assert_true(u64_min(0, UINT64_MAX) == 0);
    assert_true(u64_max(0, UINT64_MAX) == UINT64_MAX);
    assert_true(u64_min(7, 7) == 7);
    assert_true(u64_max(INT64_MAX, (uint64_t) INT64_MAX + 1) == (uint64_t) INT64_MAX + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mem_size_zero_gives_a_pointer),
        cmocka_unit_test(test_mem_calloc_is_zeroed_and_realloc_keeps_contents),
        cmocka_unit_test(test_mem_copies_are_independent),
        cmocka_unit_test(test_mem_exhaustion_aborts),
        cmocka_unit_test(test_mem_container_of_finds_the_object),
        cmocka_unit_test(test_mem_min_and_max_at_the_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
