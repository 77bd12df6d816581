/*
 * test_bytes.c - borrowed slices.
 */

#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"

static void test_bytes_str_excludes_the_terminator(void **state)
{
    (void) state;
    assert_int_equal(bytes_str("abc").size, 3);
    assert_true(bytes_empty(bytes_str("")));
    assert_true(bytes_empty(bytes_str(NULL)));
    assert_false(bytes_empty(bytes_str("a")));
}

static void test_bytes_equal_compares_contents_not_pointers(void **state)
{
    (void) state;
    char a[] = "key";
    char b[] = "key";
    assert_true(bytes_equal(bytes_str(a), bytes_str(b)));
    b[2] = 'Y';
    assert_false(bytes_equal(bytes_str(a), bytes_str(b)));
    assert_false(bytes_equal(bytes_str("key"), bytes_str("ke")));
    assert_true(bytes_equal(bytes_of(NULL, 0), bytes_str("")));
}

static void test_bytes_compare_orders_by_unsigned_byte_then_length(void **state)
{
    (void) state;
    const struct bytes sorted[] = {bytes_of(NULL, 0),      bytes_of("\0", 1),
                                   bytes_of("\0\0", 2),    bytes_of("a", 1),
                                   bytes_of("a\0", 2),     bytes_of("aa", 2),
                                   bytes_of("ab", 2),      bytes_of("b", 1),
                                   bytes_of("\x7f", 1),    bytes_of("\x80", 1),
                                   bytes_of("\xff", 1),    bytes_of("\xff\x00", 2),
                                   bytes_of("\xff\xff", 2)};
    for (size_t i = 0; i < ARRAY_SIZE(sorted); i++) {
        for (size_t j = 0; j < ARRAY_SIZE(sorted); j++) {
            int order = bytes_compare(sorted[i], sorted[j]);
            assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
        }
    }
}

static void test_bytes_has_prefix_at_the_edges(void **state)
{
    (void) state;
    assert_true(bytes_has_prefix(bytes_str("abc"), bytes_str("ab")));
    assert_true(bytes_has_prefix(bytes_str("abc"), bytes_str("abc")));
    assert_true(bytes_has_prefix(bytes_str("abc"), bytes_of(NULL, 0)));
    assert_true(bytes_has_prefix(bytes_of(NULL, 0), bytes_of(NULL, 0)));
    assert_false(bytes_has_prefix(bytes_str("abc"), bytes_str("abcd")));
    assert_false(bytes_has_prefix(bytes_str("abc"), bytes_str("b")));
    assert_false(bytes_has_prefix(bytes_of(NULL, 0), bytes_str("a")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_str_excludes_the_terminator),
        cmocka_unit_test(test_bytes_equal_compares_contents_not_pointers),
        cmocka_unit_test(test_bytes_compare_orders_by_unsigned_byte_then_length),
        cmocka_unit_test(test_bytes_has_prefix_at_the_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
