/*
 * test_history.c - histories as JSON lines: what is read, what is refused and how, and that what
 * was written reads the same. The format is the border to real clusters (K1, K3).
 */
#include "tests/sim/history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "tests/sim/lincheck.h"
#include "tests/sim/lincheck_sample.h"

enum { ERROR_MAX = 1024, FUZZ_TRIES = 20000 };

#define TAIL "\"call_ns\":1,\"return_ns\":2,\"result\":\"ok\"}"

/* ---- Helpers ---- */

/* Reads a text; the error line, terminated, goes to error[ERROR_MAX]. */
static int read_text(const void *text, size_t size, struct history *h, char *error)
{
    FILE *file = tmpfile();
    struct buf line;
    int err;

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    rewind(file);
    buf_init(&line, ERROR_MAX - 1);
    err = history_read(file, h, &line);
    if (line.size > 0) {
        memcpy(error, line.data, line.size);
    }
    error[line.size] = '\0';
    buf_release(&line);
    assert_int_equal(fclose(file), 0);
    return err;
}

static struct history *expect_read(const char *text, uint32_t count)
{
    struct history *h = history_new();
    char error[ERROR_MAX];
    int err = read_text(text, strlen(text), h, error);

    assert_string_equal(error, "");
    assert_int_equal(err, OK);
    assert_int_equal(history_count(h), count);
    return h;
}

static void expect_refused(const char *text, const char *want)
{
    struct history *h = history_new();
    char error[ERROR_MAX];
    int err = read_text(text, strlen(text), h, error);

    assert_int_equal(err, ERR_MALFORMED);
    if (strstr(error, want) == NULL) {
        print_message("%s\n", text);
        assert_string_equal(error, want);
    }
    history_free(h);
}

static void value_is(struct history_value value, const char *data, size_t size)
{
    assert_non_null(value.data);
    assert_int_equal(value.size, size);
    assert_memory_equal(value.data, data, size);
}

static char *write_text(const struct history *h, size_t *ret_size)
{
    char *text = NULL;
    FILE *file = open_memstream(&text, ret_size);

    assert_non_null(file);
    assert_int_equal(history_write(h, file), OK);
    assert_int_equal(fclose(file), 0);
    return text;
}

/* ---- Reading ---- */

static void test_history_every_operation_is_read(void **state)
{
    (void) state;
    struct history *h =
        expect_read("{\"client\":\"c1\",\"op\":\"put\",\"key\":\"k\",\"value\":\"v\"," TAIL "\n"
                    "\n"
                    "{\"client\":7,\"op\":\"get\",\"key\":\"k\",\"value\":\"v\",\"ok\":true," TAIL
                    "\r\n"
                    "{\"client\":8,\"op\":\"get\",\"key\":\"j\",\"value\":null,\"ok\":false," TAIL
                    "\n"
                    "   \n"
                    "{\"client\":9,\"op\":\"cas\",\"key\":\"k\",\"value\":\"w\",\"expected\":null,"
                    "\"ok\":false," TAIL "\n"
                    "{\"client\":10,\"op\":\"del\",\"key\":\"k\",\"ok\":true," TAIL "\n"
                    "{\"client\":11,\"op\":\"append\",\"key\":\"l\",\"value\":\"\",\"call_ns\":5,"
                    "\"result\":\"unknown\"}\n"
                    "{\"client\":12,\"op\":\"txn\",\"reads\":{\"k\":\"v\",\"j\":null},"
                    "\"writes\":{\"n\":\"x\"},\"ok\":true," TAIL,
                    7);
    const struct history_op *op = history_get(h, 0);
    bool is_string = false;

    assert_int_equal(op->kind, HIST_PUT);
    assert_int_equal(op->line, 1);
    assert_true(bytes_equal(history_client_text(h, op->client, &is_string), bytes_str("c1")));
    assert_true(is_string);
    assert_string_equal(history_key_name(h, op->key), "k");
    value_is(op->value, "v", 1);
    op = history_get(h, 1);
    assert_int_equal(op->client, 7);
    assert_int_equal(op->line, 3);
    assert_true(op->ok);
    assert_null(history_get(h, 2)->value.data);
    op = history_get(h, 3);
    assert_int_equal(op->kind, HIST_CAS);
    assert_null(op->expected.data);
    assert_false(op->ok);
    op = history_get(h, 5);
    assert_int_equal(op->result, HIST_UNKNOWN);
    value_is(op->value, "", 0);
    op = history_get(h, 6);
    assert_int_equal(op->line, 9);
    assert_int_equal(op->reads_count, 2);
    assert_int_equal(op->writes_count, 1);
    value_is(op->reads[0].value, "v", 1);
    assert_null(op->reads[1].value.data);
    assert_string_equal(history_key_name(h, op->writes[0].key), "n");
    history_free(h);
}

static void test_history_nothing_is_an_empty_history(void **state)
{
    (void) state;
    history_free(expect_read("", 0));
    history_free(expect_read("\n \t\r\n\n", 0));
}

static void test_history_unknown_fields_are_ignored(void **state)
{
    (void) state;
    history_free(expect_read("{\"a\":[1,-2.5e+3,{\"b\":[]},{}],\"client\":1,\"op\":\"put\","
                             "\"node\":\"n1\",\"key\":\"k\",\"value\":\"v\",\"b\":null," TAIL,
                             1));
    /* Known ones that the operation has no use for, too. */
    history_free(expect_read("{\"client\":1,\"op\":\"put\",\"key\":\"k\",\"value\":\"v\","
                             "\"expected\":null,\"ok\":null,\"reads\":{}," TAIL,
                             1));
}

static void test_history_integers_are_exact(void **state)
{
    (void) state;
    struct history *h =
        expect_read("{\"client\":9223372036854775807,\"op\":\"put\",\"key\":\"k\",\"value\":\"v\","
                    "\"call_ns\":9007199254740993,\"return_ns\":18446744073709551615,"
                    "\"result\":\"ok\"}",
                    1);

    assert_true(history_get(h, 0)->client == UINT64_C(9223372036854775807));
    assert_true(history_get(h, 0)->call_ns == UINT64_C(9007199254740993));
    assert_true(history_get(h, 0)->return_ns == UINT64_MAX);
    history_free(h);
}

static void test_history_names_and_integers_of_clients_differ(void **state)
{
    (void) state;
    /* All overlap: they must be four clients. */
    history_free(expect_read(
        "{\"client\":7,\"op\":\"del\",\"key\":\"k\",\"ok\":false," TAIL "\n"
        "{\"client\":\"7\",\"op\":\"del\",\"key\":\"k\",\"ok\":false," TAIL "\n"
        "{\"client\":18446744073709551615,\"op\":\"del\",\"key\":\"k\",\"ok\":false," TAIL "\n"
        "{\"client\":-7,\"op\":\"del\",\"key\":\"k\",\"ok\":false," TAIL "\n",
        4));
}

static void test_history_strings_are_decoded(void **state)
{
    (void) state;
    struct history *h = expect_read("{\"client\":1,\"op\":\"put\",\"key\":\"\\u006b\",\"value\":"
                                    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u20AC\\ud83d\\ude00"
                                    "\\u0000\\udcff\xc3\xa9\"," TAIL,
                                    1);
    static const char want[] = "\"\\/\b\f\n\r\t\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\0\xff\xc3\xa9";

    assert_string_equal(history_key_name(h, history_get(h, 0)->key), "k");
    value_is(history_get(h, 0)->value, want, sizeof(want) - 1);
    history_free(h);
}

/* ---- Refusals ---- */

static void test_history_what_is_no_json_is_refused(void **state)
{
    (void) state;
    static const char *const texts[] = {
        "hello",
        "[]",
        "7",
        "{",
        "}",
        "{\"client\"",
        "{\"client\":",
        "{\"client\":1",
        "{\"client\":1,",
        "{\"client\":1,}",
        "{,}",
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":-}",
        "{\"a\":1e}",
        "{\"a\":+1}",
        "{\"a\":nul}",
        "{\"a\":[1,]}",
        "{\"a\":[1}",
        "{\"a\":{\"b\"}}",
        "{\"a\":{\"b\":1]}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\ud800\\u0041\"}",
        "{\"a\":\"\\udc00\"}",
        "{\"a\":[\"\\q\"]}",
        "{\"a\":\"\x01\"}",
        "{\"a\":\"\xff\"}",
        "{\"a\":\"\xc0\x80\"}",
        "{\"a\":\"\xed\xa0\x80\"}",
        "{\"a\":\"\xf4\x90\x80\x80\"}",
        "{\"a\":\"b",
        "{\"a\":\"\\",
        "{} {}",
        "{'a':1}",
    };

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        expect_refused(texts[i], "line 1: not a JSON object");
    }
}

static void test_history_deep_nesting_is_refused(void **state)
{
    (void) state;
    char text[400];
    int size = snprintf(text, sizeof(text), "{\"a\":");

    memset(text + size, '[', 200);
    text[size + 200] = '\0';
    expect_refused(text, "expected less than 64 levels");
}

static void test_history_missing_fields_are_named(void **state)
{
    (void) state;
    expect_refused("{}", "line 1: field \"client\" is missing");
    expect_refused("\n\n{\"client\":1}", "line 3: field \"op\" is missing");
    expect_refused("{\"client\":1,\"op\":\"get\"}", "field \"result\" is missing");
    expect_refused("{\"client\":1,\"op\":\"get\",\"result\":\"ok\"}", "\"call_ns\" is missing");
    expect_refused("{\"client\":1,\"op\":\"get\",\"result\":\"ok\",\"call_ns\":1}",
                   "\"return_ns\" is missing");
    expect_refused("{\"client\":1,\"op\":\"get\",\"result\":\"fail\",\"call_ns\":1}",
                   "\"return_ns\" is missing");
    expect_refused("{\"client\":1,\"op\":\"get\"," TAIL, "field \"key\" is missing");
    expect_refused("{\"client\":1,\"op\":\"get\",\"key\":\"k\"," TAIL, "field \"ok\" is missing");
    expect_refused("{\"client\":1,\"op\":\"get\",\"key\":\"k\",\"ok\":true," TAIL,
                   "field \"value\" is missing");
    expect_refused("{\"client\":1,\"op\":\"put\",\"key\":\"k\"," TAIL, "\"value\" is missing");
    expect_refused("{\"client\":1,\"op\":\"del\",\"key\":\"k\"," TAIL, "field \"ok\" is missing");
    expect_refused("{\"client\":1,\"op\":\"cas\",\"key\":\"k\",\"value\":\"v\",\"ok\":true," TAIL,
                   "field \"expected\" is missing");
    expect_refused("{\"client\":1,\"op\":\"cas\",\"key\":\"k\",\"value\":\"v\",\"expected\":null,"
                   "\"call_ns\":1,\"return_ns\":2,\"result\":\"ok\"}",
                   "field \"ok\" is missing");
    expect_refused("{\"client\":1,\"op\":\"txn\"," TAIL, "field \"ok\" is missing");
}

static void test_history_wrong_types_are_named(void **state)
{
    (void) state;
    expect_refused("{\"client\":null,\"op\":\"get\"}", "field \"client\" is null");
    expect_refused("{\"client\":1.5,\"op\":\"get\"}", "field \"client\" has a wrong type");
    expect_refused("{\"client\":true}", "field \"client\" has a wrong type");
    expect_refused("{\"client\":1,\"op\":\"gett\"}", "one of put, get, cas, del, append, txn");
    expect_refused("{\"client\":1,\"op\":[]}", "one of put, get, cas, del, append, txn");
    expect_refused("{\"client\":1,\"op\":\"get\",\"result\":\"OK\"}", "one of ok, fail, unknown");
    expect_refused("{\"client\":1,\"op\":\"get\",\"result\":\"ok\",\"call_ns\":-1}", "\"call_ns\"");
    expect_refused("{\"client\":1,\"op\":\"get\",\"result\":\"ok\",\"call_ns\":1.0}",
                   "\"call_ns\"");
    expect_refused("{\"client\":1,\"op\":\"get\",\"result\":\"ok\",\"call_ns\":\"1\"}",
                   "\"call_ns\"");
    expect_refused(
        "{\"client\":1,\"op\":\"get\",\"result\":\"ok\",\"call_ns\":18446744073709551616}",
        "\"call_ns\"");
    expect_refused("{\"client\":1,\"op\":\"get\",\"key\":7," TAIL, "field \"key\"");
    expect_refused("{\"client\":1,\"op\":\"put\",\"key\":\"k\",\"value\":null," TAIL,
                   "field \"value\" is null; expected a string");
    expect_refused("{\"client\":1,\"op\":\"put\",\"key\":\"k\",\"value\":7," TAIL, "\"value\"");
    expect_refused("{\"client\":1,\"op\":\"get\",\"key\":\"k\",\"ok\":1," TAIL, "field \"ok\"");
    expect_refused("{\"client\":1,\"op\":\"txn\",\"ok\":true,\"reads\":[]," TAIL, "\"reads\"");
    expect_refused("{\"client\":1,\"op\":\"txn\",\"ok\":true,\"writes\":{\"a\":1}," TAIL,
                   "\"writes\"");
    expect_refused("{\"client\":1,\"op\":\"txn\",\"ok\":true,\"writes\":{\"a\":{}}," TAIL,
                   "\"writes\"");
}

static void test_history_contradictions_are_refused(void **state)
{
    (void) state;
    expect_refused("{\"client\":1,\"op\":\"get\",\"key\":\"k\",\"ok\":true,\"value\":null," TAIL,
                   "field \"value\" is null");
    expect_refused("{\"client\":1,\"op\":\"get\",\"key\":\"k\",\"ok\":false,\"value\":\"v\"," TAIL,
                   "not found");
    expect_refused("{\"client\":1,\"client\":1}", "field \"client\" is there twice");
    expect_refused("{\"client\":1,\"op\":\"put\",\"key\":\"k\",\"value\":\"v\",\"call_ns\":2,"
                   "\"return_ns\":1,\"result\":\"ok\"}",
                   "line 1: returns before its call");
    expect_refused(
        "{\"client\":1,\"op\":\"txn\",\"ok\":true,\"reads\":{\"a\":null,\"a\":null}," TAIL,
        "reads or writes a key twice");
}

#define PUT_AT(client, call, end)                                                                  \
    "{\"client\":" client ",\"op\":\"put\",\"key\":\"k\",\"value\":\"v\",\"call_ns\":" call        \
    ",\"return_ns\":" end ",\"result\":\"ok\"}\n"
#define LOST_AT(client, call)                                                                      \
    "{\"client\":" client ",\"op\":\"put\",\"key\":\"k\",\"value\":\"v\",\"call_ns\":" call        \
    ",\"result\":\"unknown\"}\n"

static void test_history_overlapping_calls_of_a_client_are_refused(void **state)
{
    (void) state;
    /* In whatever order the lines come. */
    expect_refused(PUT_AT("1", "10", "20") PUT_AT("2", "1", "30") PUT_AT("1", "1", "11"),
                   "line 1: client 1: put is called while the call of this client at line 3");
    expect_refused(PUT_AT("1", "1", "9") PUT_AT("1", "2", "3"), "a client has one call at a time");
    expect_refused(LOST_AT("\"a\"", "1") PUT_AT("\"a\"", "5", "9"),
                   "after an unknown outcome a client gets a new name");
    /* One may begin when the other ends. */
    history_free(expect_read(PUT_AT("1", "1", "2") PUT_AT("1", "2", "2") PUT_AT("1", "2", "5"), 3));
    history_free(expect_read(PUT_AT("1", "1", "2") LOST_AT("1", "2") PUT_AT("3", "3", "4"), 3));
}

static void test_history_too_long_line_is_refused(void **state)
{
    (void) state;
    size_t size = (size_t) 3 * HISTORY_LINE_MAX;
    char *text = xmalloc(size);
    struct history *h = history_new();
    char error[ERROR_MAX];

    memset(text, ' ', size);
    text[0] = '\n';
    assert_int_equal(read_text(text, size, h, error), ERR_LIMIT);
    assert_string_equal(error, "line 2: longer than 1048576 bytes");
    text[HISTORY_LINE_MAX + 2] = '\n';
    assert_int_equal(read_text(text, HISTORY_LINE_MAX + 3, h, error), ERR_LIMIT);
    text[HISTORY_LINE_MAX + 1] = '\n';
    assert_int_equal(read_text(text, HISTORY_LINE_MAX + 2, h, error), OK);
    history_free(h);
    free(text);
}

/* ---- Round trip ---- */

static void expect_same_text(const struct history *h)
{
    size_t size = 0;
    char *text = write_text(h, &size);
    struct history *copy = history_new();
    char error[ERROR_MAX];
    size_t copy_size = 0;
    char *copy_text;

    assert_int_equal(read_text(text, size, copy, error), OK);
    assert_int_equal(history_count(copy), history_count(h));
    copy_text = write_text(copy, &copy_size);
    assert_int_equal(copy_size, size);
    assert_memory_equal(copy_text, text, size);
    history_free(copy);
    free(copy_text);
    free(text);
}

static void test_history_round_trip_keeps_every_byte(void **state)
{
    (void) state;
    struct history *h = history_new();
    uint8_t all[1024];

    /* Every byte alone, behind a lead byte, and as what looks like UTF-8. */
    for (uint32_t i = 0; i < sizeof(all); i++) {
        all[i] = (uint8_t) (i % 2 == 0 ? i / 2 : 0xe0 + i / 64);
    }
    struct history_op op = {.client = UINT64_MAX, .kind = HIST_PUT, .result = HIST_OK};
    op.key = history_key_bytes(h, bytes_of(all, 300));
    op.value = history_value(h, all, sizeof(all));
    op.return_ns = UINT64_MAX;
    (void) history_add(h, &op);
    expect_same_text(h);

    size_t size = 0;
    char *text = write_text(h, &size);
    struct history *copy = history_new();
    char error[ERROR_MAX];
    assert_int_equal(read_text(text, size, copy, error), OK);
    value_is(history_get(copy, 0)->value, (const char *) all, sizeof(all));
    assert_true(bytes_equal(history_key_text(copy, 0), bytes_of(all, 300)));
    history_free(copy);
    history_free(h);
    free(text);
}

static void test_history_round_trip_keeps_verdict(void **state)
{
    (void) state;
    struct lincheck_sample sample = {.seed = 5,
                                     .operations = 2000,
                                     .clients = 8,
                                     .keys = 6,
                                     .unknown_percent = 10,
                                     .kinds = {3, 3, 2, 1, 2, 1}};
    struct history *h = lincheck_sample(&sample);

    expect_same_text(h);
    history_free(h);
}

/* ---- Fuzz ---- */

/* Whatever comes: an answer, and one line for a refusal. */
static void test_history_mutated_lines_never_break_the_reader(void **state)
{
    (void) state;
    static const char seed_text[] =
        "{\"client\":\"c\\u00e9\",\"op\":\"txn\",\"reads\":{\"k\":\"v\",\"j\":null},\"writes\":"
        "{\"n\":\"\\ud83d\\ude00\"},\"ok\":true,\"x\":[1,{\"y\":-2.5e3}]," TAIL "\n"
        "{\"client\":2,\"op\":\"cas\",\"key\":\"k\",\"value\":\"\xc3\xa9\",\"expected\":null,"
        "\"ok\":false," TAIL;
    static const char marks[] = "{}[]:,\"\\u019-+.etfn \n\0\xff\xc3\xed";
    struct rng rng;
    uint32_t read = 0;

    rng_init(&rng, 77);
    for (uint32_t i = 0; i < FUZZ_TRIES; i++) {
        size_t size = sizeof(seed_text) - 1;
        char *text = xmemdup(seed_text, size);
        struct history *h = history_new();
        char error[ERROR_MAX];
        int err;
        for (uint64_t n = rng_below(&rng, 4); n > 0 && size > 0; n--) {
            size_t at = (size_t) rng_below(&rng, size);
            if (rng_chance(&rng, 1, 3)) {
                size_t cut = (size_t) rng_below(&rng, u64_min(20, size - at) + 1);
                memmove(text + at, text + at + cut, size - at - cut);
                size -= cut;
            } else {
                text[at] = marks[rng_below(&rng, sizeof(marks) - 1)];
            }
        }
        err = read_text(text, size, h, error);
        read += err == OK ? 1 : 0;
        assert_true(err == OK || err == ERR_MALFORMED);
        assert_int_equal(error[0] != '\0', err != OK);
        assert_null(strchr(error, '\n'));
        if (err == OK) {
            struct lincheck_report report;
            assert_int_not_equal(lincheck_run(h, NULL, &report), LINCHECK_INVALID);
            expect_same_text(h);
        }
        history_free(h);
        free(text);
    }
    print_message("%u of %u mutants were read\n", read, FUZZ_TRIES);
    assert_true(read > FUZZ_TRIES / 20);
    assert_true(read < FUZZ_TRIES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_history_every_operation_is_read),
        cmocka_unit_test(test_history_nothing_is_an_empty_history),
        cmocka_unit_test(test_history_unknown_fields_are_ignored),
        cmocka_unit_test(test_history_integers_are_exact),
        cmocka_unit_test(test_history_names_and_integers_of_clients_differ),
        cmocka_unit_test(test_history_strings_are_decoded),
        cmocka_unit_test(test_history_what_is_no_json_is_refused),
        cmocka_unit_test(test_history_deep_nesting_is_refused),
        cmocka_unit_test(test_history_missing_fields_are_named),
        cmocka_unit_test(test_history_wrong_types_are_named),
        cmocka_unit_test(test_history_contradictions_are_refused),
        cmocka_unit_test(test_history_overlapping_calls_of_a_client_are_refused),
        cmocka_unit_test(test_history_too_long_line_is_refused),
        cmocka_unit_test(test_history_round_trip_keeps_every_byte),
        cmocka_unit_test(test_history_round_trip_keeps_verdict),
        cmocka_unit_test(test_history_mutated_lines_never_break_the_reader),
    };
    return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
