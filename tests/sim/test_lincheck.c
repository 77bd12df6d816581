/*
 * test_lincheck.c - the checker knows the classic anomalies by name, says which return is wrong,
 * keeps to its limits, and its command has the right exit codes. K1, K2, K3.
 */
#include "tests/sim/lincheck.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests/sim/cmd.h"
#include "tests/sim/lincheck_sample.h"

/* ---- Histories in a few words ---- */

static struct history_value value_of(struct history *h, const char *text)
{
    return history_value(h, text, text == NULL ? 0 : strlen(text));
}

/* Each operation has a client of its own, so that any two may overlap. */
static struct history_op *add(struct history *h, uint8_t kind, const char *value, uint64_t call_ns,
                              uint64_t return_ns)
{
    const struct history_op op = {.client = history_count(h),
                                  .kind = kind,
                                  .result = HIST_OK,
                                  .ok = value != NULL,
                                  .key = history_key(h, "k"),
                                  .value = value_of(h, value),
                                  .call_ns = call_ns,
                                  .return_ns = return_ns};

    return history_at(h, history_add(h, &op));
}

static void put(struct history *h, const char *value, uint64_t call_ns, uint64_t return_ns)
{
    (void) add(h, HIST_PUT, value, call_ns, return_ns);
}

static void append(struct history *h, const char *value, uint64_t call_ns, uint64_t return_ns)
{
    (void) add(h, HIST_APPEND, value, call_ns, return_ns);
}

/* value NULL: absent. */
static void get(struct history *h, const char *value, uint64_t call_ns, uint64_t return_ns)
{
    (void) add(h, HIST_GET, value, call_ns, return_ns);
}

static struct history_op *cas(struct history *h, const char *expected, const char *value, bool ok,
                              uint64_t call_ns, uint64_t return_ns)
{
    struct history_op *op = add(h, HIST_CAS, value, call_ns, return_ns);

    op->expected = value_of(h, expected);
    op->ok = ok;
    return op;
}

static void del(struct history *h, bool existed, uint64_t call_ns, uint64_t return_ns)
{
    add(h, HIST_DEL, NULL, call_ns, return_ns)->ok = existed;
}

/* A transaction over x and y. NULL in reads: absent; NULL in writes: not written. */
static struct history_op *txn(struct history *h, const char *const reads[2],
                              const char *const writes[2], uint64_t call_ns, uint64_t return_ns)
{
    static const char *const names[] = {"x", "y"};
    struct history_op *op = add(h, HIST_TXN, NULL, call_ns, return_ns);

    op->ok = true;
    op->reads = history_pairs(h, 2);
    op->writes = history_pairs(h, 2);
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t key = history_key(h, names[i]);
        if (reads != NULL) {
            op->reads[op->reads_count++] = (struct history_pair){key, value_of(h, reads[i])};
        }
        if (writes != NULL && writes[i] != NULL) {
            op->writes[op->writes_count++] = (struct history_pair){key, value_of(h, writes[i])};
        }
    }
    return op;
}

static void lose(struct history *h)
{
    struct history_op *op = history_at(h, history_count(h) - 1);

    op->result = HIST_UNKNOWN;
    op->return_ns = 0;
}

static void refuse(struct history *h)
{
    history_at(h, history_count(h) - 1)->result = HIST_FAIL;
}

/* Judges, frees. */
static void expect_ok(struct history *h)
{
    struct lincheck_report report;
    enum lincheck_verdict verdict = lincheck_run(h, NULL, &report);

    if (verdict != LINCHECK_OK) {
        print_message("%s\n", report.text);
    }
    assert_int_equal(verdict, LINCHECK_OK);
    assert_int_equal(report.op, UINT32_MAX);
    history_free(h);
}

static void expect_wrong(struct history *h, uint32_t number, const char *words)
{
    struct lincheck_report report;
    enum lincheck_verdict verdict = lincheck_run(h, NULL, &report);

    assert_int_equal(verdict, LINCHECK_WRONG);
    if (strstr(report.text, words) == NULL) {
        assert_string_equal(report.text, words);
    }
    assert_int_equal(report.op, number);
    history_free(h);
}

/* ---- Anomalies ---- */

static void test_lincheck_empty_history_is_linearizable(void **state)
{
    (void) state;
    expect_ok(history_new());
}

static void test_lincheck_stale_read_is_wrong(void **state)
{
    (void) state;
    struct history *h = history_new();

    put(h, "1", 1, 2);
    put(h, "2", 3, 4);
    get(h, "1", 5, 6);
    expect_wrong(h, 2,
                 "not linearizable: key k: no order explains the return of get k read \"1\" by "
                 "client 2, called at 5 ns, returned at 6 ns; the longest order before it: put k "
                 "\"1\", put k \"2\"");
}

static void test_lincheck_overlapping_read_may_be_old_or_new(void **state)
{
    (void) state;
    for (int i = 0; i < 2; i++) {
        struct history *h = history_new();
        put(h, "1", 1, 2);
        put(h, "2", 3, 6);
        get(h, i == 0 ? "1" : "2", 4, 5);
        expect_ok(h);
    }
}

static void test_lincheck_equal_times_overlap(void **state)
{
    (void) state;
    struct history *h = history_new();

    put(h, "1", 1, 5);
    get(h, NULL, 5, 6);
    expect_ok(h);
}

static void test_lincheck_read_going_back_is_wrong(void **state)
{
    (void) state;
    struct history *h = history_new();

    put(h, "1", 1, 2);
    put(h, "2", 3, 20);
    get(h, "2", 4, 5);
    get(h, "1", 6, 7);
    expect_wrong(h, 3, "get k read \"1\"");
}

static void test_lincheck_read_of_what_nobody_wrote_is_wrong(void **state)
{
    (void) state;
    struct history *h = history_new();

    put(h, "1", 1, 2);
    get(h, "7", 3, 4);
    expect_wrong(h, 1, "get k read \"7\"");
}

static void test_lincheck_failed_write_that_is_seen_is_wrong(void **state)
{
    (void) state;
    struct history *h = history_new();

    put(h, "1", 1, 2);
    refuse(h);
    get(h, "1", 3, 4);
    expect_wrong(h, 1, "get k read \"1\"");
}

static void test_lincheck_lost_write_is_wrong(void **state)
{
    (void) state;
    struct history *h = history_new();

    put(h, "1", 1, 2);
    get(h, NULL, 3, 4);
    expect_wrong(h, 1, "get k read absent");
}

static void test_lincheck_lost_update_is_wrong(void **state)
{
    (void) state;
    struct history *h = history_new();

    put(h, "1", 1, 2);
    (void) cas(h, "1", "2", true, 3, 6);
    (void) cas(h, "1", "3", true, 4, 5);
    expect_wrong(h, 1, "cas k from \"1\" to \"2\"");
}

static void test_lincheck_cas_says_what_it_met(void **state)
{
    (void) state;
    struct history *h = history_new();

    (void) cas(h, NULL, "1", true, 1, 2);
    (void) cas(h, NULL, "2", false, 3, 4);
    (void) cas(h, "2", "3", false, 5, 6);
    (void) cas(h, "1", "3", true, 7, 8);
    get(h, "3", 9, 10);
    expect_ok(h);
    h = history_new();
    put(h, "1", 1, 2);
    (void) cas(h, "1", "2", false, 3, 4);
    expect_wrong(h, 1, "cas k from \"1\" to \"2\" (did not match)");
}

static void test_lincheck_del_says_whether_it_existed(void **state)
{
    (void) state;
    struct history *h = history_new();

    del(h, false, 1, 2);
    put(h, "1", 3, 4);
    del(h, true, 5, 6);
    get(h, NULL, 7, 8);
    expect_ok(h);
    h = history_new();
    put(h, "1", 1, 2);
    del(h, true, 3, 4);
    del(h, true, 5, 6);
    expect_wrong(h, 2, "del k (existed)");
}

static void test_lincheck_keys_do_not_mix(void **state)
{
    (void) state;
    struct history *h = history_new();
    struct lincheck_report report;

    put(h, "1", 1, 2);
    get(h, NULL, 3, 4);
    history_at(h, 1)->key = history_key(h, "other");
    assert_int_equal(lincheck_run(h, NULL, &report), LINCHECK_OK);
    assert_int_equal(report.partitions, 2);
    assert_int_equal(report.operations, 2);
    history_free(h);
}

static void test_lincheck_earliest_wrong_return_of_all_keys_is_named(void **state)
{
    (void) state;
    struct history *h = history_new();

    for (uint32_t i = 0; i < 6; i++) {
        char name[16];
        (void) snprintf(name, sizeof(name), "key%u", i);
        get(h, "nothing", 100 - 10 * (i % 3), 105 - 10 * (i % 3) + i);
        history_at(h, i)->key = history_key(h, name);
    }
    expect_wrong(h, 2, "key key2:");
}

/* ---- Lists ---- */

static void test_lincheck_list_reads_as_its_elements(void **state)
{
    (void) state;
    struct history *h = history_new();

    append(h, "a", 1, 2);
    append(h, "b", 3, 9);
    append(h, "c", 4, 8);
    get(h, "a,c", 5, 7);
    get(h, "a,c,b", 10, 11);
    put(h, "x,y", 12, 13);
    append(h, "z", 14, 15);
    get(h, "x,y,z", 16, 17);
    del(h, true, 18, 19);
    append(h, "d,e", 20, 21);
    (void) cas(h, "d,e", "", true, 22, 23);
    append(h, "f", 24, 25);
    get(h, ",f", 26, 27);
    expect_ok(h);
}

static void test_lincheck_element_twice_is_wrong(void **state)
{
    (void) state;
    struct history *h = history_new();

    append(h, "a", 1, 2);
    append(h, "b", 3, 4);
    get(h, "a,b,b", 5, 6);
    expect_wrong(h, 2, "get k read \"a,b,b\"");
}

static void test_lincheck_lost_element_is_wrong(void **state)
{
    (void) state;
    struct history *h = history_new();

    append(h, "a", 1, 2);
    append(h, "b", 3, 4);
    append(h, "c", 5, 6);
    get(h, "a,c", 7, 8);
    expect_wrong(h, 3, "get k read \"a,c\"");
}

static void test_lincheck_elements_that_change_places_are_wrong(void **state)
{
    (void) state;
    struct history *h = history_new();

    append(h, "a", 1, 10);
    append(h, "b", 1, 10);
    get(h, "a,b", 11, 12);
    get(h, "b,a", 13, 14);
    expect_wrong(h, 3, "get k read \"b,a\"");
}

/* ---- Transactions ---- */

static void test_lincheck_torn_transaction_is_wrong(void **state)
{
    (void) state;
    struct history *h = history_new();

    (void) txn(h, NULL, (const char *const[]){"1", "1"}, 1, 2);
    (void) txn(h, NULL, (const char *const[]){"2", "2"}, 3, 9);
    (void) txn(h, (const char *const[]){"2", "1"}, NULL, 4, 5);
    expect_wrong(h, 2, "txn read x=\"2\", y=\"1\"");
}

static void test_lincheck_write_skew_is_wrong(void **state)
{
    (void) state;
    struct history *h = history_new();

    (void) txn(h, NULL, (const char *const[]){"0", "0"}, 1, 2);
    (void) txn(h, (const char *const[]){"0", "0"}, (const char *const[]){"1", NULL}, 3, 6);
    (void) txn(h, (const char *const[]){"0", "0"}, (const char *const[]){NULL, "1"}, 4, 5);
    expect_wrong(h, 1, "txn read x=\"0\", y=\"0\" wrote x=\"1\"");
}

static void test_lincheck_transaction_that_wrote_nothing_read_all_the_same(void **state)
{
    (void) state;
    struct history *h = history_new();

    (void) txn(h, NULL, (const char *const[]){"0", "0"}, 1, 2);
    txn(h, (const char *const[]){"0", "0"}, (const char *const[]){"1", "1"}, 3, 4)->ok = false;
    (void) txn(h, (const char *const[]){"0", "0"}, NULL, 5, 6);
    expect_ok(h);
    h = history_new();
    (void) txn(h, NULL, (const char *const[]){"0", "0"}, 1, 2);
    txn(h, (const char *const[]){"1", "0"}, (const char *const[]){"1", "1"}, 3, 4)->ok = false;
    expect_wrong(h, 1, "txn read x=\"1\"");
}

/* ---- Unknown outcomes ---- */

static void test_lincheck_unknown_write_may_come_late_or_never(void **state)
{
    (void) state;
    struct history *h = history_new();

    put(h, "1", 1, 0);
    lose(h);
    get(h, NULL, 2, 3);
    put(h, "2", 4, 5);
    get(h, "2", 6, 7);
    get(h, "1", 8, 9);
    expect_ok(h);
    h = history_new();
    put(h, "1", 1, 0);
    lose(h);
    get(h, NULL, 2, 3);
    expect_ok(h);
}

static void test_lincheck_unknown_write_comes_once(void **state)
{
    (void) state;
    struct history *h = history_new();

    put(h, "1", 1, 0);
    lose(h);
    get(h, "1", 2, 3);
    put(h, "2", 4, 5);
    get(h, "1", 6, 7);
    expect_wrong(h, 3, "get k read \"1\"");
}

static void test_lincheck_unknown_write_comes_after_its_call(void **state)
{
    (void) state;
    struct history *h = history_new();

    get(h, "1", 1, 2);
    put(h, "1", 3, 0);
    lose(h);
    expect_wrong(h, 0, "nothing came before it");
}

static void test_lincheck_unknown_append_comes_once(void **state)
{
    (void) state;
    struct history *h = history_new();

    append(h, "a", 1, 0);
    lose(h);
    append(h, "b", 2, 3);
    get(h, "b,a", 4, 5);
    expect_ok(h);
    h = history_new();
    append(h, "a", 1, 0);
    lose(h);
    append(h, "b", 2, 3);
    get(h, "a,b,a", 4, 5);
    expect_wrong(h, 2, "get k read \"a,b,a\"");
}

static void test_lincheck_unknown_write_nobody_read_explains_what_did_not_match(void **state)
{
    (void) state;
    struct history *h = history_new();

    /* The put is never read, but without it the cas would have matched, the del not existed. */
    put(h, "1", 1, 2);
    put(h, "2", 3, 0);
    lose(h);
    (void) cas(h, "1", "3", false, 4, 5);
    expect_ok(h);
    h = history_new();
    put(h, "2", 1, 0);
    lose(h);
    del(h, true, 2, 3);
    expect_ok(h);
    h = history_new();
    put(h, "2", 1, 0);
    lose(h);
    del(h, true, 2, 3);
    put(h, "3", 4, 5);
    del(h, true, 6, 7);
    del(h, true, 8, 9);
    expect_wrong(h, 4, "del k (existed)");
}

static void test_lincheck_unknown_cas_needs_what_it_expected(void **state)
{
    (void) state;
    struct history *h = history_new();

    put(h, "1", 1, 2);
    (void) cas(h, "0", "2", true, 3, 4);
    lose(h);
    get(h, "2", 5, 6);
    expect_wrong(h, 2, "get k read \"2\"");
}

static void test_lincheck_unknown_writes_chain(void **state)
{
    (void) state;
    struct history *h = history_new();

    (void) cas(h, "2", "3", true, 1, 0);
    lose(h);
    (void) cas(h, "1", "2", true, 1, 0);
    lose(h);
    put(h, "1", 1, 0);
    lose(h);
    get(h, "3", 2, 3);
    get(h, "3", 4, 5);
    expect_ok(h);
}

/* ---- Limits ---- */

static bool always(void *ctx)
{
    uint32_t *asked = ctx;

    (*asked)++;
    return true;
}

static struct history *large_history(void)
{
    const struct lincheck_sample sample = {
        .seed = 3, .operations = 6000, .clients = 10, .keys = 2, .kinds = {1, 1}};

    return lincheck_sample(&sample);
}

static void test_lincheck_steps_are_limited(void **state)
{
    (void) state;
    struct history *h = large_history();
    struct lincheck_options options = {.steps_max = 100};
    struct lincheck_report report;

    assert_int_equal(lincheck_run(h, &options, &report), LINCHECK_GAVE_UP);
    assert_int_equal(report.steps, 101);
    assert_non_null(strstr(report.text, "gave up after 101 steps"));
    options.steps_max = 0;
    assert_int_equal(lincheck_run(h, &options, &report), LINCHECK_OK);
    assert_true(report.steps > 1000);
    history_free(h);
}

static void test_lincheck_caller_ends_the_search(void **state)
{
    (void) state;
    struct history *h = large_history();
    uint32_t asked = 0;
    struct lincheck_options options = {.give_up = always, .ctx = &asked};
    struct lincheck_report report;

    assert_int_equal(lincheck_run(h, &options, &report), LINCHECK_GAVE_UP);
    assert_int_equal(asked, 1);
    history_free(h);
}

static void test_lincheck_impossible_history_is_invalid(void **state)
{
    (void) state;
    struct history *h = history_new();
    struct lincheck_report report;

    put(h, "1", 5, 9);
    put(h, "1", 7, 8);
    history_at(h, 1)->client = 0;
    assert_int_equal(lincheck_run(h, NULL, &report), LINCHECK_INVALID);
    assert_non_null(strstr(report.text, "a client has one call at a time"));
    history_at(h, 1)->client = 1;
    history_at(h, 1)->return_ns = 6;
    assert_int_equal(lincheck_run(h, NULL, &report), LINCHECK_INVALID);
    assert_non_null(strstr(report.text, "returns before its call"));
    history_free(h);
}

static void test_lincheck_long_verdict_is_cut(void **state)
{
    (void) state;
    struct history *h = history_new();
    struct lincheck_report report;
    char long_text[300];

    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    for (uint64_t i = 0; i < 20; i++) {
        long_text[0] = (char) ('a' + i);
        put(h, long_text, 10 * i, 10 * i + 1);
        history_at(h, (uint32_t) i)->key = history_key(h, long_text + 100);
    }
    get(h, "y", 1000, 1001);
    history_at(h, 20)->key = history_key(h, long_text + 100);
    assert_int_equal(lincheck_run(h, NULL, &report), LINCHECK_WRONG);
    assert_true(strlen(report.text) < sizeof(report.text));
    assert_non_null(strstr(report.text, "; the longest order before it: ..., put "));
    history_free(h);
}

/* ---- The command ---- */

static uint64_t now_us;

/* The command's clock, here without a main. Each look at it takes a second. */
uint64_t cmd_now_us(void)
{
    now_us += 1000000;
    return now_us;
}

static int run_check(const struct history *h, const char *limit)
{
    char path[] = "/tmp/test_lincheck_XXXXXX";
    int fd = mkstemp(path);
    char *argv[] = {(char[]){"check"}, (char[]){"--time-limit"}, xstrdup(limit), path, NULL};
    FILE *file;
    int code;

    assert_true(fd >= 0);
    file = fdopen(fd, "w");
    assert_non_null(file);
    assert_int_equal(history_write(h, file), OK);
    assert_int_equal(fclose(file), 0);
    code = cmd_check(4, argv);
    assert_int_equal(unlink(path), 0);
    free(argv[2]);
    return code;
}

static void test_lincheck_command_exits_by_verdict(void **state)
{
    (void) state;
    struct history *h = large_history();

    assert_int_equal(run_check(h, "0"), 0);
    assert_int_equal(run_check(h, "1"), 3);
    assert_int_equal(run_check(h, "soon"), 2);
    history_free(h);
    h = history_new();
    get(h, "1", 1, 2);
    assert_int_equal(run_check(h, "10"), 1);
    get(h, "1", 5, 4);
    assert_int_equal(run_check(h, "10"), 2);
    history_free(h);
    assert_int_equal(cmd_check(2, (char *[]){(char[]){"check"}, (char[]){"/nonexistent"}, NULL}),
                     2);
    assert_int_equal(cmd_check(1, (char *[]){(char[]){"check"}, NULL}), 2);
    assert_int_equal(cmd_check(2, (char *[]){(char[]){"check"}, (char[]){"--help"}, NULL}), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lincheck_empty_history_is_linearizable),
        cmocka_unit_test(test_lincheck_stale_read_is_wrong),
        cmocka_unit_test(test_lincheck_overlapping_read_may_be_old_or_new),
        cmocka_unit_test(test_lincheck_equal_times_overlap),
        cmocka_unit_test(test_lincheck_read_going_back_is_wrong),
        cmocka_unit_test(test_lincheck_read_of_what_nobody_wrote_is_wrong),
        cmocka_unit_test(test_lincheck_failed_write_that_is_seen_is_wrong),
        cmocka_unit_test(test_lincheck_lost_write_is_wrong),
        cmocka_unit_test(test_lincheck_lost_update_is_wrong),
        cmocka_unit_test(test_lincheck_cas_says_what_it_met),
        cmocka_unit_test(test_lincheck_del_says_whether_it_existed),
        cmocka_unit_test(test_lincheck_keys_do_not_mix),
        cmocka_unit_test(test_lincheck_earliest_wrong_return_of_all_keys_is_named),
        cmocka_unit_test(test_lincheck_list_reads_as_its_elements),
        cmocka_unit_test(test_lincheck_element_twice_is_wrong),
        cmocka_unit_test(test_lincheck_lost_element_is_wrong),
        cmocka_unit_test(test_lincheck_elements_that_change_places_are_wrong),
        cmocka_unit_test(test_lincheck_torn_transaction_is_wrong),
        cmocka_unit_test(test_lincheck_write_skew_is_wrong),
        cmocka_unit_test(test_lincheck_transaction_that_wrote_nothing_read_all_the_same),
        cmocka_unit_test(test_lincheck_unknown_write_may_come_late_or_never),
        cmocka_unit_test(test_lincheck_unknown_write_comes_once),
        cmocka_unit_test(test_lincheck_unknown_write_comes_after_its_call),
        cmocka_unit_test(test_lincheck_unknown_append_comes_once),
        cmocka_unit_test(test_lincheck_unknown_write_nobody_read_explains_what_did_not_match),
        cmocka_unit_test(test_lincheck_unknown_cas_needs_what_it_expected),
        cmocka_unit_test(test_lincheck_unknown_writes_chain),
        cmocka_unit_test(test_lincheck_steps_are_limited),
        cmocka_unit_test(test_lincheck_caller_ends_the_search),
        cmocka_unit_test(test_lincheck_impossible_history_is_invalid),
        cmocka_unit_test(test_lincheck_long_verdict_is_cut),
        cmocka_unit_test(test_lincheck_command_exits_by_verdict),
    };
    return cmocka_run_group_tests_name("lincheck", tests, NULL, NULL);
}
