/*
 * test_buf.c - the growable buffer with a maximum.
 */

#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "tests/support/death.h"

static void consume_too_much(void *ctx)
{
    struct buf *b = ctx;
    buf_consume(b, b->size + 1);
}

static void advance_too_much(void *ctx)
{
    struct buf *b = ctx;
    buf_advance(b, b->cap + 1);
}

static void test_buf_new_is_empty_and_allocates_nothing(void **state)
{
    (void) state;
    struct buf b;
    buf_init(&b, 100);
    assert_int_equal(b.size, 0);
    assert_null(b.data);
    assert_int_equal(buf_append(&b, NULL, 0), OK);
    buf_consume(&b, 0);
    buf_truncate(&b, 0);
    buf_clear(&b);
    assert_true(bytes_empty(buf_bytes(&b)));
    assert_null(b.data);
    buf_release(&b);
}

static void test_buf_append_beyond_the_maximum_is_refused_whole(void **state)
{
    (void) state;
    struct buf b;
    buf_init(&b, 10);
    assert_int_equal(buf_append(&b, "0123456", 7), OK);
    assert_int_equal(buf_append(&b, "abcd", 4), ERR_LIMIT);
    assert_int_equal(buf_reserve(&b, SIZE_MAX), ERR_LIMIT);
    assert_true(bytes_equal(buf_bytes(&b), bytes_str("0123456")));
    assert_int_equal(buf_append(&b, "789", 3), OK);
    assert_int_equal(buf_append(&b, "x", 1), ERR_LIMIT);
    assert_int_equal(buf_append(&b, "", 0), OK);
    assert_true(b.cap <= 10);
    buf_consume(&b, 4);
    assert_int_equal(buf_append(&b, "abcd", 4), OK);
    assert_int_equal(buf_append(&b, "e", 1), ERR_LIMIT);
    assert_true(bytes_equal(buf_bytes(&b), bytes_str("456789abcd")));
    buf_release(&b);
    assert_int_equal(b.size_max, 10);
}

static void test_buf_maximum_zero_holds_nothing(void **state)
{
    (void) state;
    struct buf b;
    buf_init(&b, 0);
    assert_int_equal(buf_append(&b, "x", 1), ERR_LIMIT);
    assert_int_equal(buf_append(&b, "", 0), OK);
    assert_int_equal(buf_printf(&b, "%s", ""), OK);
    assert_int_equal(buf_printf(&b, "%d", 1), ERR_LIMIT);
    buf_release(&b);
}

static void test_buf_clear_keeps_the_memory(void **state)
{
    (void) state;
    struct buf b;
    buf_init(&b, 1 << 20);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(buf_append(&b, "0123456789", 10), OK);
    }
    size_t cap = b.cap;
    buf_consume(&b, 5000);
    buf_clear(&b);
    assert_int_equal(b.size, 0);
    const uint8_t *data = b.data;
    assert_int_equal(buf_reserve(&b, cap), OK);
    assert_ptr_equal(b.data, data);
    assert_int_equal(b.cap, cap);
    buf_release(&b);
}

static void test_buf_reserve_then_advance_adds_what_was_written(void **state)
{
    (void) state;
    struct buf b;
    buf_init(&b, 4096);
    assert_int_equal(buf_reserve(&b, 100), OK);
    memcpy(b.data + b.size, "hello", 5);
    buf_advance(&b, 5);
    assert_true(bytes_equal(buf_bytes(&b), bytes_str("hello")));
    assert_true(death_aborts(advance_too_much, &b));
    buf_release(&b);
}

static void test_buf_printf_at_the_exact_size_and_beyond(void **state)
{
    (void) state;
    struct buf b;
    buf_init(&b, 8);
    assert_int_equal(buf_printf(&b, "%s-%d", "ab", 12345), OK); /* 8 bytes: no room for a NUL */
    assert_true(bytes_equal(buf_bytes(&b), bytes_str("ab-12345")));
    assert_int_equal(buf_printf(&b, "%c", 'x'), ERR_LIMIT);
    assert_int_equal(b.size, 8);
    buf_release(&b);

    char text[1001]; /* longer than the buffer on the stack */
    memset(text, 'z', 1000);
    text[1000] = '\0';
    buf_init(&b, 2000);
    assert_int_equal(buf_printf(&b, "<%s>", text), OK);
    assert_int_equal(b.size, 1002);
    assert_int_equal(b.data[1001], '>');
    buf_release(&b);
}

static void test_buf_truncate_undoes_appends(void **state)
{
    (void) state;
    struct buf b;
    buf_init(&b, 100);
    assert_int_equal(buf_append_bytes(&b, bytes_str("head")), OK);
    assert_int_equal(buf_append_bytes(&b, bytes_str("tail")), OK);
    buf_truncate(&b, 4);
    assert_true(bytes_equal(buf_bytes(&b), bytes_str("head")));
    assert_true(death_aborts(consume_too_much, &b));
    buf_release(&b);
}

/* A queue of bytes in the plainest form, to compare with. */
struct model {
    uint8_t bytes[1 << 16];
    size_t head;
    size_t size;
};

static void test_buf_random_operations_match_a_model(void **state)
{
    (void) state;
    struct model *model = xcalloc(1, sizeof *model);
    struct rng rng;
    rng_init(&rng, 11);
    struct buf b;
    buf_init(&b, 700);
    uint8_t next = 0;
    for (int i = 0; i < 20000; i++) {
        uint8_t chunk[200];
        size_t size = (size_t) rng_below(&rng, sizeof chunk);
        if (rng_chance(&rng, 1, 2)) {
            for (size_t j = 0; j < size; j++) {
                chunk[j] = (uint8_t) (next + j);
            }
            int rc = buf_append(&b, chunk, size);
            assert_int_equal(rc, model->size + size <= 700 ? OK : ERR_LIMIT);
            if (rc == OK) {
                memcpy(model->bytes + model->head + model->size, chunk, size);
                model->size += size;
                next = (uint8_t) (next + size);
            }
        } else {
            size = (size_t) u64_min(size, model->size);
            buf_consume(&b, size);
            model->head += size;
            model->size -= size;
        }
        if (model->head > sizeof model->bytes / 2) {
            memmove(model->bytes, model->bytes + model->head, model->size);
            model->head = 0;
        }
        struct bytes expected = bytes_of(model->bytes + model->head, model->size);
        assert_true(bytes_equal(buf_bytes(&b), expected));
        assert_true(b.cap <= 700);
    }
    buf_release(&b);
    free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf_new_is_empty_and_allocates_nothing),
        cmocka_unit_test(test_buf_append_beyond_the_maximum_is_refused_whole),
        cmocka_unit_test(test_buf_maximum_zero_holds_nothing),
        cmocka_unit_test(test_buf_clear_keeps_the_memory),
        cmocka_unit_test(test_buf_reserve_then_advance_adds_what_was_written),
        cmocka_unit_test(test_buf_printf_at_the_exact_size_and_beyond),
        cmocka_unit_test(test_buf_truncate_undoes_appends),
        cmocka_unit_test(test_buf_random_operations_match_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
