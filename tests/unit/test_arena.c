/*
 * test_arena.c - the bump allocator.
 */

#include "base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

static void test_arena_allocations_are_aligned_and_do_not_overlap(void **state)
{
    (void) state;
    struct arena a;
    arena_init(&a, 100, SIZE_MAX);
    uint8_t *p[200];
    for (size_t i = 0; i < ARRAY_SIZE(p); i++) {
        size_t size = i; /* some larger than a chunk, the first of size 0 */
        p[i] = arena_alloc(&a, size);
        assert_non_null(p[i]);
        assert_int_equal((uintptr_t) p[i] % ARENA_ALIGN, 0);
        memset(p[i], (int) i, size);
    }
    for (size_t i = 0; i < ARRAY_SIZE(p); i++) {
        for (size_t j = 0; j < i; j++) {
            assert_int_equal(p[i][j], (uint8_t) i);
        }
    }
    arena_release(&a);
}

static void test_arena_size_zero_gives_distinct_pointers(void **state)
{
    (void) state;
    struct arena a;
    arena_init(&a, 64, 64);
    void *first = arena_alloc(&a, 0);
    void *second = arena_try_alloc(&a, 0);
    assert_non_null(first);
    assert_non_null(second);
    assert_ptr_not_equal(first, second);
    arena_release(&a);
}

static void test_arena_try_alloc_stops_at_the_limit(void **state)
{
    (void) state;
    struct arena a;
    arena_init(&a, 64, 160);
    assert_non_null(arena_try_alloc(&a, 96));
    assert_null(arena_try_alloc(&a, 65));
    assert_null(arena_try_alloc(&a, SIZE_MAX));
    assert_null(arena_try_alloc(&a, SIZE_MAX - ARENA_ALIGN));
    assert_non_null(arena_try_alloc(&a, 63)); /* 64 with the rounding: exactly full */
    assert_null(arena_try_alloc(&a, 0));
    assert_non_null(arena_alloc(&a, 1000)); /* counts, but is not held by the limit */
    assert_null(arena_try_alloc(&a, 1));
    arena_reset(&a);
    assert_non_null(arena_try_alloc(&a, 160));
    assert_null(arena_try_alloc(&a, 1));
    arena_release(&a);
}

static void test_arena_reset_reuses_the_first_chunk(void **state)
{
    (void) state;
    struct arena a;
    arena_init(&a, 256, SIZE_MAX);
    void *first = arena_alloc(&a, 100);
    for (int i = 0; i < 50; i++) {
        (void) arena_alloc(&a, 100);
    }
    arena_reset(&a);
    assert_int_equal(a.used, 0);
    assert_ptr_equal(arena_alloc(&a, 100), first);
    arena_release(&a);
    arena_release(&a); /* an empty one may be released, and used, again */
    assert_non_null(arena_alloc(&a, 1));
    arena_release(&a);
}

static void test_arena_large_allocation_first_keeps_a_usual_chunk(void **state)
{
    (void) state;
    struct arena a;
    arena_init(&a, 64, SIZE_MAX);
    uint8_t *large = arena_alloc(&a, 100000);
    memset(large, 1, 100000);
    uint8_t *small = arena_alloc(&a, 10);
    memset(small, 2, 10);
    assert_int_equal(large[99999], 1);
    arena_reset(&a); /* gives the large one back, keeps the small chunk */
    assert_ptr_equal(arena_alloc(&a, 10), small);
    arena_release(&a);
}

static void test_arena_copies_are_independent(void **state)
{
    (void) state;
    struct arena a;
    arena_init(&a, 64, SIZE_MAX);
    char src[] = "text";
    struct bytes copy = arena_copy(&a, bytes_of(src, 4));
    char *string = arena_strdup(&a, src);
    src[0] = 'n';
    assert_true(bytes_equal(copy, bytes_str("text")));
    assert_string_equal(string, "text");
    assert_int_equal(arena_copy(&a, bytes_of(NULL, 0)).size, 0);
    assert_string_equal(arena_strdup(&a, ""), "");
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arena_allocations_are_aligned_and_do_not_overlap),
        cmocka_unit_test(test_arena_size_zero_gives_distinct_pointers),
        cmocka_unit_test(test_arena_try_alloc_stops_at_the_limit),
        cmocka_unit_test(test_arena_reset_reuses_the_first_chunk),
        cmocka_unit_test(test_arena_large_allocation_first_keeps_a_usual_chunk),
        cmocka_unit_test(test_arena_copies_are_independent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
