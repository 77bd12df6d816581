/*
 * test_err.c - the table of error codes.
 */

#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

struct err_row {
    int value;
    const char *name;
    const char *text;
};

#define ERR_ROW(name, value, text) {(value), #name, (text)},

static const struct err_row rows[] = {ERR_MAP(ERR_ROW)};

static void test_err_every_code_has_its_name_and_text(void **state)
{
    (void) state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_string_equal(err_name(rows[i].value), rows[i].name);
        assert_string_equal(err_text(rows[i].value), rows[i].text);
        assert_true(strlen(rows[i].text) > 0);
    }
    assert_string_equal(err_name(OK), "OK");
    assert_string_equal(err_name(ERR_LIMIT), "ERR_LIMIT");
}

static void test_err_codes_are_negative_and_distinct(void **state)
{
    (void) state;
    assert_int_equal(OK, 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_true(rows[i].value < 0);
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(rows[i].value, rows[j].value);
            assert_string_not_equal(rows[i].text, rows[j].text);
        }
    }
}

static void test_err_unknown_code_has_a_name(void **state)
{
    (void) state;
    assert_string_equal(err_name(-999999), "ERR_UNKNOWN");
    assert_string_equal(err_name(7), "ERR_UNKNOWN");
    assert_string_equal(err_text(7), "unknown error");
}

static void test_err_storage_failures_are_fatal_and_nothing_else(void **state)
{
    (void) state;
    const int fatal[] = {ERR_IO, ERR_NO_SPACE, ERR_CORRUPT, ERR_VERSION, ERR_DIVERGED, ERR_STALE};
    size_t fatal_count = 0;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        fatal_count += err_is_fatal(rows[i].value) ? 1 : 0;
    }
    assert_int_equal(fatal_count, ARRAY_SIZE(fatal));
    for (size_t i = 0; i < ARRAY_SIZE(fatal); i++) {
        assert_true(err_is_fatal(fatal[i]));
    }
    assert_false(err_is_fatal(OK));
    assert_false(err_is_fatal(ERR_NO_SPACE_QUOTA));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_err_every_code_has_its_name_and_text),
        cmocka_unit_test(test_err_codes_are_negative_and_distinct),
        cmocka_unit_test(test_err_unknown_code_has_a_name),
        cmocka_unit_test(test_err_storage_failures_are_fatal_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
