/*
 * test_cli_txn_parse.c - etcdctl's text format of a transaction.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "kv/cli_txn_parse.h"
#include "tests/support/guard.h"

enum { ERROR_MAX = 1024, ARENA_CHUNK = 4096 };

struct parsed {
    struct arena arena;
    struct txn_request txn;
    char error[ERROR_MAX];
    int err;
};

static void parse_bytes(struct parsed *p, struct bytes text)
{
    struct buf error;

    memset(p, 0, sizeof(*p));
    arena_init(&p->arena, ARENA_CHUNK, SIZE_MAX / 2);
    buf_init(&error, ERROR_MAX - 1);
    p->err = cli_txn_parse(text, &p->arena, &p->txn, &error);
    if (error.size > 0) {
        memcpy(p->error, error.data, error.size);
    }
    buf_release(&error);
}

static void parse(struct parsed *p, const char *text)
{
    parse_bytes(p, bytes_str(text));
}

static void assert_bytes(struct bytes have, const char *want)
{
    assert_int_equal(have.size, strlen(want));
    assert_memory_equal(have.data, want, have.size);
}

static void test_cli_txn_three_parts_are_told_apart(void **state)
{
    struct parsed p;

    (void) state;
    parse(&p, "mod(\"k\") > \"3\"\nvalue(\"k\") = \"v\"\n\nput a 1\nget a\n\ndel a\n\n");
    assert_int_equal(p.err, OK);
    assert_int_equal(p.txn.compares_count, 2);
    assert_int_equal(p.txn.compares[0].target, COMPARE_MOD);
    assert_int_equal(p.txn.compares[0].result, COMPARE_GREATER);
    assert_int_equal(p.txn.compares[0].number, 3);
    assert_bytes(p.txn.compares[0].key, "k");
    assert_int_equal(p.txn.compares[1].target, COMPARE_VALUE);
    assert_bytes(p.txn.compares[1].value, "v");
    assert_int_equal(p.txn.success_count, 2);
    assert_int_equal(p.txn.success[0].kind, OP_PUT);
    assert_bytes(p.txn.success[0].put.key, "a");
    assert_bytes(p.txn.success[0].put.value, "1");
    assert_int_equal(p.txn.success[1].kind, OP_RANGE);
    assert_int_equal(p.txn.failure_count, 1);
    assert_int_equal(p.txn.failure[0].kind, OP_DELETE);
    arena_release(&p.arena);
}

static void test_cli_txn_parts_may_be_empty_or_missing(void **state)
{
    static const char *const texts[] = {"", "\n", "\n\n", "\n\n\n", "\n\n\n\n \n\t\n", "\r\n\r\n"};
    struct parsed p;

    (void) state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        parse(&p, texts[i]);
        assert_int_equal(p.err, OK);
        assert_int_equal(p.txn.compares_count + p.txn.success_count + p.txn.failure_count, 0);
        arena_release(&p.arena);
    }
    parse(&p, "\nput a b"); /* no newline at the end */
    assert_int_equal(p.err, OK);
    assert_int_equal(p.txn.success_count, 1);
    arena_release(&p.arena);
}

static void test_cli_txn_compares_of_every_kind(void **state)
{
    static const struct {
        const char *line;
        int32_t target;
        int32_t result;
        int64_t number;
    } cases[] = {
        {"mod(\"k\") = \"1\"", COMPARE_MOD, COMPARE_EQUAL, 1},
        {"m(k) != 2", COMPARE_MOD, COMPARE_NOT_EQUAL, 2},
        {"create(\"k\") < 3", COMPARE_CREATE, COMPARE_LESS, 3},
        {"c('k') > 4", COMPARE_CREATE, COMPARE_GREATER, 4},
        {"version(\"k\") = \"-5\"", COMPARE_VERSION, COMPARE_EQUAL, -5},
        {"ver ( \"k\" ) = 6", COMPARE_VERSION, COMPARE_EQUAL, 6},
        {"lease(\"k\") = \"1f\"", COMPARE_LEASE, COMPARE_EQUAL, 31},
        {"mod(\"k\") = 9223372036854775807", COMPARE_MOD, COMPARE_EQUAL, INT64_MAX},
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct parsed p;

        parse(&p, cases[i].line);
        assert_int_equal(p.err, OK);
        assert_int_equal(p.txn.compares_count, 1);
        assert_int_equal(p.txn.compares[0].target, cases[i].target);
        assert_int_equal(p.txn.compares[0].result, cases[i].result);
        assert_true(p.txn.compares[0].number == cases[i].number);
        assert_bytes(p.txn.compares[0].key, "k");
        arena_release(&p.arena);
    }
}

static void test_cli_txn_quotes_and_escapes(void **state)
{
    static const char value[] = "a\tb\"\\\0\xc3\xa9\xe2\x82\xac";
    struct parsed p;

    (void) state;
    parse(&p, "\nput \"a key\" \"a\\tb\\\"\\\\\\x00\\u00e9\\u20ac\"\n"
              "put 'as \\n is' \"\"\nput a\\b c\"d\n");
    assert_int_equal(p.err, OK);
    assert_int_equal(p.txn.success_count, 3);
    assert_bytes(p.txn.success[0].put.key, "a key");
    assert_int_equal(p.txn.success[0].put.value.size, sizeof(value) - 1);
    assert_memory_equal(p.txn.success[0].put.value.data, value, sizeof(value) - 1);
    assert_bytes(p.txn.success[1].put.key, "as \\n is");
    assert_int_equal(p.txn.success[1].put.value.size, 0);
    assert_bytes(p.txn.success[2].put.key, "a\\b");
    assert_bytes(p.txn.success[2].put.value, "c\"d");
    arena_release(&p.arena);
}

static void test_cli_txn_flags_of_operations(void **state)
{
    struct parsed p;

    (void) state;
    parse(&p, "\nget a --prefix --limit=3 --keys-only\nget b c\ndel --from-key d --prev-kv\n"
              "put --prev-kv -- --k v\nput \"--k\" v\nget --rev=7 e --count-only\n");
    assert_int_equal(p.err, OK);
    assert_int_equal(p.txn.success_count, 6);
    assert_bytes(p.txn.success[0].range.range_end, "b");
    assert_int_equal(p.txn.success[0].range.limit, 3);
    assert_true(p.txn.success[0].range.keys_only);
    assert_bytes(p.txn.success[1].range.range_end, "c");
    assert_int_equal(p.txn.success[2].del.range_end.size, 1);
    assert_true(p.txn.success[2].del.prev_kv);
    assert_true(p.txn.success[3].put.prev_kv);
    assert_bytes(p.txn.success[3].put.key, "--k");
    assert_bytes(p.txn.success[4].put.key, "--k");
    assert_int_equal(p.txn.success[5].range.revision, 7);
    assert_true(p.txn.success[5].range.count_only);
    arena_release(&p.arena);
}

static void test_cli_txn_errors_name_line_and_remedy(void **state)
{
    static const char *const cases[][2] = {
        {"mod \"k\" = \"1\"", "line 1: malformed compare; like mod(\"key\") = \"3\""},
        {"mod(\"k\") = \"1\"\nfoo(\"k\") = \"1\"", "line 2: unknown compare"},
        {"mod(\"k\") == \"1\"", "line 1: unknown operator"},
        {"mod(k)!=2", "line 1: malformed compare"}, /* as for etcdctl */
        {"mod(\"k\") = \"x\"", "line 1: a number is needed"},
        {"mod(\"k\") = \"\"", "line 1: a number is needed"},
        {"mod(\"k\") = \"99999999999999999999\"", "line 1: a number is needed"},
        {"value(\"k\" = \"v\"", "line 1: malformed compare"},
        {"\nput a", "line 2: malformed; like put KEY VALUE"},
        {"\nput a b c", "line 2: malformed; like put KEY VALUE"},
        {"\nwatch a", "line 2: unknown operation"},
        {"\nget", "line 2: malformed; like get KEY"},
        {"\nget a b --prefix", "line 2: malformed; like get KEY"},
        {"\nget a --prefix --from-key", "line 2: malformed; like get KEY"},
        {"\nput a --b", "line 2: unknown flag; quote it"},
        {"\nget a --limit=x", "line 2: a number is needed"},
        {"\nput a \"b", "line 2: a quote is not closed"},
        {"\nput a \"\\q\"", "line 2: unknown escape"},
        {"\nput a \"\\x0\"", "line 2: unknown escape"},
        {"\nput a \"\\ud800\"", "line 2: unknown escape"},
        {"\nput a \"\\", "line 2: unknown escape"},
        {"\n\n\nput a b", "line 4: a fourth part"},
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct parsed p;

        parse(&p, cases[i][0]);
        assert_int_equal(p.err, ERR_INVALID);
        if (strncmp(p.error, cases[i][1], strlen(cases[i][1])) != 0) {
            fail_msg("'%s' does not begin with '%s'", p.error, cases[i][1]);
        }
        arena_release(&p.arena);
    }
}

static void test_cli_txn_many_operations(void **state)
{
    enum { COUNT = 1000 };
    struct parsed p;
    struct buf text;

    (void) state;
    buf_init(&text, 1 << 20);
    assert_int_equal(buf_printf(&text, "\n"), OK);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(buf_printf(&text, "put k%d v%d\n", i, i), OK);
    }
    parse_bytes(&p, buf_bytes(&text));
    assert_int_equal(p.err, OK);
    assert_int_equal(p.txn.success_count, COUNT);
    assert_bytes(p.txn.success[0].put.key, "k0");
    assert_bytes(p.txn.success[COUNT - 1].put.value, "v999");
    arena_release(&p.arena);
    buf_release(&text);
}

/* Every cut and many small changes of a good text end at a guard page and give an answer. */
static void test_cli_txn_cut_or_changed_input_is_harmless(void **state)
{
    static const char good[] = "mod(\"k\") > \"3\"\nlease(\"l\") = \"1f\"\n\nput \"a\\x00\" 'b'\n"
                               "get a --prefix --limit=3\n\ndel a b\n";
    struct rng rng;
    struct guard g;

    (void) state;
    rng_init(&rng, 1);
    guard_init(&g, sizeof(good));
    for (size_t size = 0; size < sizeof(good); size++) {
        for (int change = 0; change < 40; change++) {
            struct parsed p;
            char text[sizeof(good)];

            memcpy(text, good, size);
            if (change > 0 && size > 0) {
                text[rng_below(&rng, size)] = (char) rng_u64(&rng);
            }
            parse_bytes(&p, guard_place(&g, bytes_of(text, size)));
            arena_release(&p.arena);
        }
    }
    guard_release(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cli_txn_three_parts_are_told_apart),
        cmocka_unit_test(test_cli_txn_parts_may_be_empty_or_missing),
        cmocka_unit_test(test_cli_txn_compares_of_every_kind),
        cmocka_unit_test(test_cli_txn_quotes_and_escapes),
        cmocka_unit_test(test_cli_txn_flags_of_operations),
        cmocka_unit_test(test_cli_txn_errors_name_line_and_remedy),
        cmocka_unit_test(test_cli_txn_many_operations),
        cmocka_unit_test(test_cli_txn_cut_or_changed_input_is_harmless),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
