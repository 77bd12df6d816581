/*
 * test_blob.c - immutable bytes with a reference count.
 */

#include "base/blob.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/death.h"

static void unref_dead(void *ctx)
{
    struct blob *b = ctx;
    b->refs = 0; /* as after a last blob_unref, without reading freed memory */
    blob_unref(b);
}

static void ref_dead(void *ctx)
{
    struct blob *b = ctx;
    b->refs = 0;
    (void) blob_ref(b);
}

static void ref_too_often(void *ctx)
{
    struct blob *b = ctx;
    b->refs = UINT32_MAX;
    (void) blob_ref(b);
}

static void test_blob_copy_is_independent_of_its_source(void **state)
{
    (void) state;
    char src[] = "payload";
    struct blob *b = blob_copy(bytes_str(src));
    src[0] = 'x';
    assert_true(bytes_equal(blob_bytes(b), bytes_str("payload")));
    assert_int_equal(b->refs, 1);
    assert_int_equal((uintptr_t) b->data % 16, 0);
    blob_unref(b);
}

static void test_blob_lives_until_the_last_unref(void **state)
{
    (void) state;
    struct blob *b = blob_new(1000);
    memset(b->data, 7, 1000);
    assert_ptr_equal(blob_ref(b), b);
    assert_int_equal(b->refs, 2);
    blob_unref(b);
    assert_int_equal(b->refs, 1);
    assert_int_equal(b->data[999], 7); /* the sanitizer would tell a free too early */
    blob_unref(b);                     /* and a leak */
}

static void test_blob_null_and_empty_are_legal(void **state)
{
    (void) state;
    blob_unref(NULL);
    assert_null(blob_ref(NULL));
    assert_int_equal(blob_bytes(NULL).size, 0);
    struct blob *b = blob_copy(bytes_of(NULL, 0));
    assert_int_equal(blob_bytes(b).size, 0);
    blob_unref(b);
}

static void test_blob_wrong_count_aborts(void **state)
{
    (void) state;
    struct blob *b = blob_new(1);
    assert_true(death_aborts(unref_dead, b));
    assert_true(death_aborts(ref_dead, b));
    assert_true(death_aborts(ref_too_often, b));
    blob_unref(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blob_copy_is_independent_of_its_source),
        cmocka_unit_test(test_blob_lives_until_the_last_unref),
        cmocka_unit_test(test_blob_null_and_empty_are_legal),
        cmocka_unit_test(test_blob_wrong_count_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
