/*
 * test_value.c - values: building, walking, checks at the border, references.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "consensus/value.h"

static struct command command_of(uint64_t sequence, const char *payload)
{
    return (struct command){.tag = 3,
                            .session = 7,
                            .sequence = sequence,
                            .payload = bytes_str(payload)};
}

static struct value *two_commands(void)
{
    struct value_builder b;
    value_builder_init(&b, 1000, 10);
    struct command one = command_of(1, "first");
    struct command two = command_of(2, "");
    assert_int_equal(value_builder_add(&b, &one), OK);
    assert_int_equal(value_builder_add(&b, &two), OK);
    struct value *v = value_builder_detach(&b);
    assert_null(value_builder_detach(&b)); /* emptied */
    value_builder_release(&b);
    return v;
}

static void test_value_commands_come_back_in_order(void **state)
{
    (void) state;
    struct value *v = two_commands();
    assert_int_equal(v->count, 2);
    size_t cursor = 0;
    struct command c;
    assert_true(value_next(v, &cursor, &c));
    assert_int_equal(c.tag, 3);
    assert_int_equal(c.session, 7);
    assert_int_equal(c.sequence, 1);
    assert_true(bytes_equal(c.payload, bytes_str("first")));
    assert_true(value_next(v, &cursor, &c));
    assert_int_equal(c.sequence, 2);
    assert_int_equal(c.payload.size, 0);
    assert_false(value_next(v, &cursor, &c));
    value_unref(v);
}

static void test_value_noop_has_no_commands(void **state)
{
    (void) state;
    struct value *v = value_new_noop();
    size_t cursor = 0;
    struct command c;
    assert_false(value_next(v, &cursor, &c));
    assert_int_equal(v->crc, value_crc(VALUE_NOOP, 0, bytes_of(NULL, 0)));
    value_unref(v);
    value_unref(NULL);
}

/* Takes a copy of the value's bytes through the border, changed by the caller. */
static int adopt(const struct value *v, struct value_head head, size_t flip, size_t size)
{
    struct blob *owner = blob_copy(v->bytes);
    if (flip < owner->size) {
        owner->data[flip] ^= 1;
    }
    struct value *made = NULL;
    int err = value_new_adopt(&head, bytes_of(owner->data, size), owner, &made);
    if (err == OK) {
        assert_int_equal(made->refs, 1);
        value_unref(made); /* frees owner too */
    } else {
        assert_null(made);
        blob_unref(owner); /* not consumed */
    }
    return err;
}

static void test_value_adopt_checks_everything(void **state)
{
    (void) state;
    struct value *v = two_commands();
    struct value_head head = {.kind = v->kind, .count = v->count, .crc = v->crc};
    size_t size = v->bytes.size;
    assert_int_equal(adopt(v, head, SIZE_MAX, size), OK);
    for (size_t i = 0; i < size; i++) {
        assert_int_equal(adopt(v, head, i, size), ERR_CORRUPT); /* any flipped bit */
    }
    struct value_head bad = head;
    bad.kind = VALUE_NOOP;
    assert_int_equal(adopt(v, bad, SIZE_MAX, size), ERR_CORRUPT); /* kind is in the checksum */
    bad = head;
    bad.count = 1; /* fewer commands than the bytes hold, with a good checksum */
    bad.crc = value_crc(bad.kind, bad.count, v->bytes);
    assert_int_equal(adopt(v, bad, SIZE_MAX, size), ERR_MALFORMED);
    bad.count = 3;
    bad.crc = value_crc(bad.kind, bad.count, v->bytes);
    assert_int_equal(adopt(v, bad, SIZE_MAX, size), ERR_MALFORMED);
    bad.kind = 9;
    bad.count = 2;
    bad.crc = value_crc(bad.kind, bad.count, v->bytes);
    assert_int_equal(adopt(v, bad, SIZE_MAX, size), ERR_MALFORMED);
    for (size_t cut = 0; cut < size; cut++) { /* a checksum that matches a cut value */
        bad = head;
        bad.crc = value_crc(bad.kind, bad.count, bytes_of(v->bytes.data, cut));
        assert_int_equal(adopt(v, bad, SIZE_MAX, cut), ERR_MALFORMED);
    }
    value_unref(v);
}

static void test_value_references_keep_it_alive(void **state)
{
    (void) state;
    struct value *v = two_commands();
    assert_ptr_equal(value_ref(v), v);
    assert_int_equal(v->refs, 2);
    value_unref(v);
    assert_int_equal(v->refs, 1);
    value_unref(v);
}

static void test_value_builder_holds_its_limits(void **state)
{
    (void) state;
    struct value_builder b;
    value_builder_init(&b, 100, 3);
    char big[300] = {0};
    struct command large = command_of(1, "");
    large.payload = bytes_of(big, sizeof big);
    assert_true(value_builder_fits(&b, sizeof big)); /* alone, whatever its size */
    assert_int_equal(value_builder_add(&b, &large), OK);
    struct command small = command_of(2, "x");
    assert_int_equal(value_builder_add(&b, &small), ERR_LIMIT);
    value_unref(value_builder_detach(&b));
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(value_builder_add(&b, &small), OK);
    }
    assert_int_equal(value_builder_add(&b, &small), ERR_LIMIT); /* count_max */
    struct value *v = value_builder_detach(&b);
    assert_int_equal(v->count, 3);
    value_unref(v);
    value_builder_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_value_commands_come_back_in_order),
        cmocka_unit_test(test_value_noop_has_no_commands),
        cmocka_unit_test(test_value_adopt_checks_everything),
        cmocka_unit_test(test_value_references_keep_it_alive),
        cmocka_unit_test(test_value_builder_holds_its_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
