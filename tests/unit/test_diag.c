/*
 * test_diag.c - the log for people.
 */

#include "base/diag.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/assert.h"
#include "base/mem.h"

/* What a sink was given. */
struct heard {
    int count;
    enum diag_level level;
    char text[2 * DIAG_TEXT_MAX];
};

static void hear(enum diag_level level, const char *text, void *ctx)
{
    struct heard *heard = ctx;
    ASSERT(strlen(text) < sizeof heard->text);
    heard->count++;
    heard->level = level;
    strcpy(heard->text, text);
}

static int diag_reset(void **state)
{
    (void) state;
    diag_set_sink(NULL, NULL);
    diag_set_level(DIAG_LEVEL_INFO);
    return 0;
}

static int evaluated(int *count)
{
    (*count)++;
    return *count;
}

static void test_diag_without_sink_is_silent(void **state)
{
    (void) state;
    int count = 0;
    assert_false(diag_enabled(DIAG_LEVEL_ERROR));
    DIAG_ERROR("%d", evaluated(&count));
    diag_write(DIAG_LEVEL_ERROR, "nobody listens");
    assert_int_equal(count, 0); /* the arguments are not even looked at */
}

static void test_diag_level_decides_what_is_heard(void **state)
{
    (void) state;
    struct heard heard = {0};
    diag_set_sink(hear, &heard);
    DIAG_DEBUG("dropped");
    assert_int_equal(heard.count, 0); /* info at first */
    for (int level = DIAG_LEVEL_ERROR; level <= DIAG_LEVEL_DEBUG; level++) {
        heard.count = 0;
        diag_set_level((enum diag_level) level);
        DIAG_ERROR("e");
        DIAG_WARN("w");
        DIAG_INFO("i");
        DIAG_DEBUG("d");
        assert_int_equal(heard.count, level + 1);
        assert_int_equal(heard.level, level);
    }
    DIAG_WARN("node %u: %s", 3u, "late");
    assert_string_equal(heard.text, "node 3: late");
}

static void test_diag_long_text_is_cut(void **state)
{
    (void) state;
    struct heard heard = {0};
    char text[DIAG_TEXT_MAX + 100];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    diag_set_sink(hear, &heard);
    DIAG_ERROR("%s", text);
    assert_int_equal(strlen(heard.text), DIAG_TEXT_MAX - 1);
}

static void test_diag_text_stays_on_one_line(void **state)
{
    (void) state;
    struct heard heard = {0};
    diag_set_sink(hear, &heard);
    DIAG_ERROR("a\nb\n\n");
    assert_string_equal(heard.text, "a b");
    DIAG_ERROR("%s", "\n");
    assert_string_equal(heard.text, "");
}

static void test_diag_stderr_sink_writes_one_stamped_line(void **state)
{
    (void) state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    int saved = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    diag_stderr_sink(DIAG_LEVEL_WARN, "disk is slow", NULL);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[1]);
    char line[256] = {0};
    ssize_t size = read(ends[0], line, sizeof line - 1);
    close(ends[0]);

    const char *shape = "dddd-dd-ddTdd:dd:dd.dddZ WARN  disk is slow\n";
    assert_int_equal(size, strlen(shape));
    for (size_t i = 0; i < 24; i++) {
        assert_true(shape[i] == 'd' ? isdigit((unsigned char) line[i]) : line[i] == shape[i]);
    }
    assert_string_equal(line + 24, shape + 24);
}

static void test_diag_level_names(void **state)
{
    (void) state;
    assert_string_equal(diag_level_name(DIAG_LEVEL_ERROR), "ERROR");
    assert_string_equal(diag_level_name(DIAG_LEVEL_WARN), "WARN");
    assert_string_equal(diag_level_name(DIAG_LEVEL_INFO), "INFO");
    assert_string_equal(diag_level_name(DIAG_LEVEL_DEBUG), "DEBUG");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_diag_without_sink_is_silent, diag_reset),
        cmocka_unit_test_setup(test_diag_level_decides_what_is_heard, diag_reset),
        cmocka_unit_test_setup(test_diag_long_text_is_cut, diag_reset),
        cmocka_unit_test_setup(test_diag_text_stays_on_one_line, diag_reset),
        cmocka_unit_test_setup(test_diag_stderr_sink_writes_one_stamped_line, diag_reset),
        cmocka_unit_test_setup(test_diag_level_names, diag_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
