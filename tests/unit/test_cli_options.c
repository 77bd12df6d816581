/*
 * test_cli_options.c - flags, values and suggestions of the command line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "kv/cli_options.h"

enum { PREFIX, LIMIT, ORDER, TIMEOUT, FILE_NAME, FLAGS_COUNT };

static const char *const orders[] = {"ascend", "descend", NULL};

static const struct cli_flag flags[] = {
    [PREFIX] = {"prefix", 'p', FLAG_SWITCH, NULL, "", NULL},
    [LIMIT] = {"limit", 'l', FLAG_NUMBER, "N", "", NULL},
    [ORDER] = {"order", 0, FLAG_CHOICE, "ORDER", "", orders},
    [TIMEOUT] = {"timeout", 0, FLAG_DURATION, "TIME", "", NULL},
    [FILE_NAME] = {"file", 'f', FLAG_TEXT, "FILE", "", NULL},
};

enum { WORDS_MAX = 16, ERROR_MAX = 1024 };

/* Words for a parse, and what came of it. */
struct parsed {
    char *argv[WORDS_MAX];
    struct cli_args args;
    char error[ERROR_MAX];
    int err;
};

/* Splits at blanks; the first word stands for the command. */
static void parse(struct parsed *p, char *line)
{
    struct buf error;
    char *rest = NULL;
    int argc = 0;

    memset(p, 0, sizeof(*p));
    for (char *word = strtok_r(line, " ", &rest); word != NULL && argc < WORDS_MAX - 1;
         word = strtok_r(NULL, " ", &rest)) {
        p->argv[argc++] = word;
    }
    buf_init(&error, ERROR_MAX - 1);
    p->err = cli_parse("synod x", flags, FLAGS_COUNT, argc, p->argv, &p->args, &error);
    if (error.size > 0) {
        memcpy(p->error, error.data, error.size);
    }
    buf_release(&error);
}

static void test_cli_options_flags_and_words_in_any_order_are_taken(void **state)
{
    char line[] = "x a --limit 7 b -p --order=DESCEND -ffile --timeout 250ms -- --c";
    struct parsed p;

    (void) state;
    parse(&p, line);
    assert_int_equal(p.err, OK);
    assert_true(p.args.values[PREFIX].set);
    assert_int_equal(p.args.values[LIMIT].number, 7);
    assert_int_equal(p.args.values[ORDER].number, 1);
    assert_int_equal(p.args.values[TIMEOUT].number, 250);
    assert_string_equal(p.args.values[FILE_NAME].text, "file");
    assert_int_equal(p.args.words_count, 3);
    assert_string_equal(p.args.words[0], "a");
    assert_string_equal(p.args.words[1], "b");
    assert_string_equal(p.args.words[2], "--c");
}

static void test_cli_options_lone_dash_is_a_word(void **state)
{
    char line[] = "x key -";
    struct parsed p;

    (void) state;
    parse(&p, line);
    assert_int_equal(p.err, OK);
    assert_int_equal(p.args.words_count, 2);
    assert_string_equal(p.args.words[1], "-");
}

static void test_cli_options_wrong_flags_are_explained(void **state)
{
    static const char *const cases[][2] = {
        {"x --prefxi",
         "synod x: unknown flag --prefxi; did you mean --prefix? see 'synod x --help'"},
        {"x --nothing=3", "synod x: unknown flag --nothing; see 'synod x --help'"},
        {"x -pq", "synod x: unknown flag -q; see 'synod x --help'"},
        {"x --limit", "synod x: --limit needs a value: --limit N; see 'synod x --help'"},
        {"x -l", "synod x: --limit needs a value: --limit N; see 'synod x --help'"},
        {"x --prefix=1", "synod x: --prefix takes no value; see 'synod x --help'"},
        {"x --limit 1x", "synod x: --limit 1x: a number from 0 on is needed; see 'synod x --help'"},
        {"x --limit=-3", "synod x: --limit -3: a number from 0 on is needed; see 'synod x --help'"},
        {"x --order up", "synod x: --order up: one of ascend, descend; see 'synod x --help'"},
        {"x --timeout 0",
         "synod x: --timeout 0: a duration is needed, like 5s, 250ms or 2m; see 'synod x --help'"},
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char line[64] = "";
        struct parsed p;

        memcpy(line, cases[i][0], strlen(cases[i][0]));
        parse(&p, line);
        assert_int_equal(p.err, ERR_INVALID);
        assert_string_equal(p.error, cases[i][1]);
    }
}

static void test_cli_options_durations(void **state)
{
    int64_t ms = 0;

    (void) state;
    assert_int_equal(cli_parse_duration("5s", &ms), OK);
    assert_int_equal(ms, 5000);
    assert_int_equal(cli_parse_duration("1.5s", &ms), OK);
    assert_int_equal(ms, 1500);
    assert_int_equal(cli_parse_duration("3", &ms), OK);
    assert_int_equal(ms, 3000);
    assert_int_equal(cli_parse_duration("2m", &ms), OK);
    assert_int_equal(ms, 120000);
    assert_int_equal(cli_parse_duration("1h", &ms), OK);
    assert_int_equal(ms, 3600000);
    assert_int_equal(cli_parse_duration("", &ms), ERR_INVALID);
    assert_int_equal(cli_parse_duration("-1s", &ms), ERR_INVALID);
    assert_int_equal(cli_parse_duration("1d", &ms), ERR_INVALID);
    assert_int_equal(cli_parse_duration("1e300s", &ms), ERR_INVALID);
    assert_int_equal(cli_parse_duration("0.1ms", &ms), ERR_INVALID);
    assert_int_equal(ms, 3600000); /* untouched by failures */
}

static void test_cli_options_numbers(void **state)
{
    int64_t n = 5;

    (void) state;
    assert_int_equal(cli_parse_number("9223372036854775807", &n), OK);
    assert_true(n == INT64_MAX);
    assert_int_equal(cli_parse_number("9223372036854775808", &n), ERR_INVALID);
    assert_int_equal(cli_parse_number("", &n), ERR_INVALID);
    assert_int_equal(cli_parse_number(" 1", &n), ERR_INVALID);
    assert_int_equal(cli_parse_number("+1", &n), ERR_INVALID);
    assert_int_equal(cli_parse_number("1 ", &n), ERR_INVALID);
    assert_true(n == INT64_MAX);
}

static void test_cli_options_suggestions(void **state)
{
    static const char *const names[] = {"put", "get", "del", "status", "cluster up"};
    const uint32_t count = ARRAY_SIZE(names);

    (void) state;
    assert_string_equal(cli_suggest("gte", names, count), "get");
    assert_string_equal(cli_suggest("statsu", names, count), "status");
    assert_string_equal(cli_suggest("stat", names, count), "status");
    assert_string_equal(cli_suggest("delete", names, count), "del");
    assert_string_equal(cli_suggest("cluster upp", names, count), "cluster up");
    assert_null(cli_suggest("xyzzy", names, count));
    assert_null(cli_suggest("", names, count));
    assert_null(cli_suggest("a-word-that-is-longer-than-any-flag-or-command", names, count));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cli_options_flags_and_words_in_any_order_are_taken),
        cmocka_unit_test(test_cli_options_lone_dash_is_a_word),
        cmocka_unit_test(test_cli_options_wrong_flags_are_explained),
        cmocka_unit_test(test_cli_options_durations),
        cmocka_unit_test(test_cli_options_numbers),
        cmocka_unit_test(test_cli_options_suggestions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
