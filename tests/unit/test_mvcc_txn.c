/*
 * test_mvcc_txn.c - transactions; what real etcd 3.4.23 answered is marked (obs). K1, K4.
 */

#include "kv/mvcc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests/support/mvcc_rig.h"

#define K(text) bytes_str(text)

static struct txn_op put(const char *key, const char *value)
{
    struct txn_op op = {.kind = OP_PUT, .put = {.key = K(key), .value = K(value)}};
    return op;
}

static struct txn_op get(const char *key, int64_t revision)
{
    struct txn_op op = {.kind = OP_RANGE, .range = {.key = K(key), .revision = revision}};
    return op;
}

static struct txn_op del(const char *key, const char *end)
{
    struct txn_op op = {.kind = OP_DELETE, .del = {.key = K(key), .range_end = K(end)}};
    return op;
}

static struct txn_op nested(struct txn_request *txn)
{
    struct txn_op op = {.kind = OP_TXN, .txn = txn};
    return op;
}

/* Applies success ops behind no compare; the result's text, or the error's name. */
static void expect(struct mvcc_rig *rig, const struct txn_request *txn, const char *want)
{
    struct buf text;
    struct rig_entry e = rig_txn_entry(rig, txn);
    struct mvcc_result *res = rig_apply(rig, &e);
    buf_init(&text, 1 << 20);
    if (res->err != OK) {
        assert_string_equal(err_name(res->err), want);
    } else {
        rig_print(&res->response, &text);
        assert_int_equal(buf_append(&text, "", 1), OK);
        assert_string_equal((const char *) text.data, want);
    }
    buf_release(&text);
    mvcc_result_free(res);
    arena_reset(&rig->arena);
}

#define EXPECT(rig, want, ...)                                                                     \
    do {                                                                                           \
        struct txn_op expect_ops[] = {__VA_ARGS__};                                                \
        struct txn_request expect_txn = {.success = expect_ops,                                    \
                                         .success_count = ARRAY_SIZE(expect_ops)};                 \
        expect((rig), &expect_txn, (want));                                                        \
    } while (0)

static void test_txn_ops_see_earlier_ops_and_share_the_revision(void **state)
{
    (void) state;
    struct mvcc_rig rig;
    rig_init(&rig, 1 << 20);
    assert_int_equal(rig_put(&rig, "a", "x"), 2);
    EXPECT(&rig,
           "txn then {\nrange count=1 more=0 [a=x c=2 m=2 v=1 l=0] rev=2\nput rev=3\n"
           "range count=1 more=0 [a=y c=2 m=3 v=2 l=0] rev=3\ndelete deleted=0 rev=3\n"
           "put rev=3\n} rev=3\n",
           get("a", 0), put("a", "y"), get("a", 0), del("zz", ""), put("b", "1"));
    rig_release(&rig);
}

/* (obs) the header of a nested answer is empty, those of its ops are not. */
static void test_txn_nested_header_is_empty(void **state)
{
    (void) state;
    struct mvcc_rig rig;
    rig_init(&rig, 1 << 20);
    struct txn_op inner_ops[] = {put("m", "1"), get("m", 0)};
    struct txn_request inner = {.success = inner_ops, .success_count = 2};
    EXPECT(&rig,
           "txn then {\nput rev=2\ntxn then {\nput rev=2\n"
           "range count=1 more=0 [m=1 c=2 m=2 v=1 l=0] rev=2\n} rev=0\n} rev=2\n",
           put("n", "1"), nested(&inner));
    rig_release(&rig);
}

static void test_txn_without_change_keeps_the_revision(void **state)
{
    (void) state;
    struct mvcc_rig rig;
    rig_init(&rig, 1 << 20);
    uint64_t hash = mvcc_hash(rig.m);
    struct txn_request empty = {.success_count = 0};
    expect(&rig, &empty, "txn then {\n} rev=1\n");
    EXPECT(&rig, "txn then {\ndelete deleted=0 rev=1\n} rev=1\n", del("a", "z"));
    EXPECT(&rig, "txn then {\nrange count=0 more=0 rev=1\n} rev=1\n", get("a", 0));
    assert_int_equal(mvcc_revision(rig.m), 1);
    assert_true(mvcc_hash(rig.m) == hash);
    rig_release(&rig);
}

/* A failing check inside fails all, and nothing is changed. */
static void test_txn_failing_check_changes_nothing(void **state)
{
    (void) state;
    struct mvcc_rig rig;
    rig_init(&rig, 1 << 20);
    rig_put(&rig, "a", "1");
    rig_put(&rig, "a", "2");
    rig_put(&rig, "a", "3");
    assert_int_equal(rig_compact(&rig, 3), OK);
    uint64_t hash = mvcc_hash(rig.m);
    struct txn_op lease = put("b", "1");
    struct txn_op ignore = put("b", "");
    struct txn_op both = put("b", "");
    lease.put.lease = 77;
    ignore.put.ignore_value = true;
    both.put.ignore_value = true;
    both.put.lease = 77;
    struct txn_op late_ops[] = {lease};
    struct txn_request late = {.success = late_ops, .success_count = 1};
    EXPECT(&rig, "ERR_LEASE_NOT_FOUND", put("a", "9"), lease);
    EXPECT(&rig, "ERR_LEASE_NOT_FOUND", put("a", "9"), nested(&late));
    EXPECT(&rig, "ERR_KEY_NOT_FOUND", put("a", "9"), ignore);
    EXPECT(&rig, "ERR_KEY_NOT_FOUND", put("a", "9"), both); /* (obs) in a Txn before the lease */
    EXPECT(&rig, "ERR_FUTURE_REVISION", put("a", "9"), get("a", 5));
    EXPECT(&rig, "ERR_COMPACTED", put("a", "9"), get("a", 2));
    EXPECT(&rig, "ERR_COMPACTED", put("a", "9"), get("a", -5)); /* (obs) */
    EXPECT(&rig, "ERR_LEASE_NOT_FOUND", get("a", 99), lease);   /* (obs) puts are checked first */
    assert_true(mvcc_hash(rig.m) == hash);
    assert_int_equal(mvcc_revision(rig.m), 4);
    /* What is not on the way taken is not checked. */
    struct compare never = {.key = K("a"), .target = COMPARE_VERSION, .number = 99};
    struct txn_op good = put("a", "4");
    struct txn_request other = {&never, 1, &lease, 1, &good, 1};
    expect(&rig, &other, "txn else {\nput rev=5\n} rev=5\n");
    rig_release(&rig);
}

/* (obs) a range at the revision that was current before the Txn does not see its puts. */
static void test_txn_range_at_a_revision_reads_history(void **state)
{
    (void) state;
    struct mvcc_rig rig;
    rig_init(&rig, 1 << 20);
    rig_put(&rig, "a", "old");
    EXPECT(&rig,
           "txn then {\nrange count=1 more=0 [a=old c=2 m=2 v=1 l=0] rev=2\nput rev=3\n"
           "range count=1 more=0 [a=old c=2 m=2 v=1 l=0] rev=3\n} rev=3\n",
           get("a", 2), put("a", "new"), get("a", 2));
    EXPECT(&rig, "ERR_FUTURE_REVISION", put("a", "x"), get("a", 4));
    rig_release(&rig);
}

static bool holds(struct mvcc_rig *rig, struct compare c)
{
    struct txn_request t = {.compares = &c, .compares_count = 1};
    struct mvcc_result *res = rig_txn_read(rig, &t);
    assert_int_equal(res->err, OK);
    bool succeeded = res->response.txn.succeeded;
    mvcc_result_free(res);
    return succeeded;
}

static void test_txn_compare_operators(void **state)
{
    (void) state;
    struct mvcc_rig rig;
    rig_init(&rig, 0);       /* values must be brought */
    rig_put(&rig, "a", "m"); /* 2 */
    rig_put(&rig, "b", "m"); /* 3 */
    rig_put(&rig, "b", "n"); /* 4: create 3, version 2 */
    rig_settle(&rig);
    static const struct {
        int32_t target;
        int64_t is;
    } numbers[] = {{COMPARE_VERSION, 2}, {COMPARE_CREATE, 3}, {COMPARE_MOD, 4}, {COMPARE_LEASE, 0}};
    for (uint32_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        for (int64_t d = -1; d <= 1; d++) {
            struct compare c = {.key = K("b"), .target = numbers[i].target};
            c.number = numbers[i].is + d;
            c.result = COMPARE_EQUAL;
            assert_int_equal(holds(&rig, c), d == 0);
            c.result = COMPARE_NOT_EQUAL;
            assert_int_equal(holds(&rig, c), d != 0);
            c.result = COMPARE_GREATER;
            assert_int_equal(holds(&rig, c), d < 0);
            c.result = COMPARE_LESS;
            assert_int_equal(holds(&rig, c), d > 0);
            c.result = 7; /* (obs) an unknown operator holds */
            assert_true(holds(&rig, c));
        }
    }
    static const char *const values[] = {"mz", "n", "na"};
    for (int d = -1; d <= 1; d++) {
        struct compare c = {.key = K("b"), .target = COMPARE_VALUE, .value = K(values[d + 1])};
        c.result = COMPARE_EQUAL;
        assert_int_equal(holds(&rig, c), d == 0);
        c.result = COMPARE_NOT_EQUAL;
        assert_int_equal(holds(&rig, c), d != 0);
        c.result = COMPARE_GREATER;
        assert_int_equal(holds(&rig, c), d < 0);
        c.result = COMPARE_LESS;
        assert_int_equal(holds(&rig, c), d > 0);
    }
    assert_true(rig.again > 0);
    rig_release(&rig);
}

static void test_txn_compare_of_missing_keys_and_ranges(void **state)
{
    (void) state;
    struct mvcc_rig rig;
    rig_init(&rig, 1 << 20);
    rig_put(&rig, "a", "m"); /* 2 */
    rig_put(&rig, "b", "m"); /* 3 */
    rig_put(&rig, "b", "n"); /* 4 */
    for (int32_t operator= 0; operator<= 3; operator++) {
        struct compare c = {.result = operator, .target = COMPARE_VALUE, .key = K("x")};
        assert_false(holds(&rig, c)); /* (obs) whatever the operator */
        c.range_end = K("z");
        assert_false(holds(&rig, c)); /* (obs) an empty range */
        c.target = COMPARE_VERSION;
        assert_int_equal(holds(&rig, c), operator== COMPARE_EQUAL); /* (obs) 0 = 0 */
    }
    struct compare all = {.key = K("a"), .range_end = K("c"), .target = COMPARE_MOD};
    all.result = COMPARE_GREATER;
    all.number = 1;
    assert_true(holds(&rig, all));
    all.number = 2; /* a is not above */
    assert_false(holds(&rig, all));
    all.key = K("b");
    assert_true(holds(&rig, all));
    all.range_end = bytes_of("", 1);
    assert_true(holds(&rig, all));
    struct compare value = {.key = K("a"), .range_end = K("c"), .target = COMPARE_VALUE};
    value.value = K("m");
    assert_false(holds(&rig, value));
    value.result = COMPARE_NOT_EQUAL;
    assert_false(holds(&rig, value));
    value.result = COMPARE_LESS;
    value.value = K("z");
    assert_true(holds(&rig, value));
    rig_release(&rig);
}

/* Nested compares look at the state before the whole transaction. */
static void test_txn_nested_compare_sees_state_before(void **state)
{
    (void) state;
    struct mvcc_rig rig;
    rig_init(&rig, 1 << 20);
    rig_put(&rig, "a", "1");
    struct compare is_one = {.key = K("a"), .target = COMPARE_VALUE, .value = K("1")};
    struct txn_op then = put("b", "then");
    struct txn_op other = put("b", "else");
    struct txn_request inner = {&is_one, 1, &then, 1, &other, 1};
    EXPECT(&rig, "txn then {\nput rev=3\ntxn then {\nput rev=3\n} rev=0\n} rev=3\n", put("a", "2"),
           nested(&inner));
    EXPECT(&rig, "txn then {\nput rev=4\ntxn else {\nput rev=4\n} rev=0\n} rev=4\n", put("a", "1"),
           nested(&inner));
    rig_release(&rig);
}

/* Values are wanted before anything is done, and only while they matter. */
static void test_txn_waits_for_values_before_it_changes_anything(void **state)
{
    (void) state;
    struct mvcc_rig rig;
    rig_init(&rig, 0);
    rig_put(&rig, "a", "1");
    rig_put(&rig, "b", "1");
    rig_settle(&rig);
    uint64_t hash = mvcc_hash(rig.m);
    struct compare compares[] = {
        {.key = K("a"), .target = COMPARE_VALUE, .value = K("1")},
        {.key = K("b"), .target = COMPARE_VALUE, .value = K("1")},
        {.key = K("a"), .range_end = K("c"), .target = COMPARE_VALUE, .value = K("1")},
        {.key = K("a"), .target = COMPARE_VERSION, .number = 1},
    };
    struct txn_op ops[] = {put("c", "1"), put("a", "")};
    ops[1].put.ignore_value = true;
    struct txn_request t = {compares, 4, ops, 2, NULL, 0};
    struct rig_entry e = rig_txn_entry(&rig, &t);
    struct command c = {e.tag, e.session, e.sequence, e.payload};
    struct mvcc_result *res = NULL;
    const struct revision *wanted;
    uint64_t index = mvcc_applied(rig.m) + 1;
    assert_int_equal(mvcc_apply(rig.m, index, &c, true, &res), ERR_AGAIN);
    assert_null(res);
    assert_true(mvcc_hash(rig.m) == hash);
    assert_int_equal(mvcc_wanted(rig.m, &wanted), 2); /* each once */
    assert_int_equal(wanted[0].main, 2);
    assert_int_equal(wanted[1].main, 3);
    assert_int_equal(mvcc_apply(rig.m, index, &c, true, &res), ERR_AGAIN);
    /* A compare that is false without values makes them needless. */
    compares[3].number = 2;
    struct rig_entry other = rig_txn_entry(&rig, &t);
    c.payload = other.payload;
    assert_int_equal(mvcc_apply(rig.m, index, &c, true, &res), OK);
    assert_false(res->response.txn.succeeded);
    mvcc_result_free(res);
    rig_release(&rig);
}

static void test_txn_is_read_looks_at_every_branch(void **state)
{
    (void) state;
    struct txn_op read = get("a", 0);
    struct txn_op write = put("a", "1");
    struct txn_op erase = del("a", "");
    struct txn_request t = {.success_count = 0};
    assert_true(mvcc_txn_is_read(&t));
    t.success = &read;
    t.success_count = 1;
    assert_true(mvcc_txn_is_read(&t));
    t.failure = &write;
    t.failure_count = 1;
    assert_false(mvcc_txn_is_read(&t));
    struct txn_op inner = nested(&t);
    struct txn_request outer = {.success = &inner, .success_count = 1};
    assert_false(mvcc_txn_is_read(&outer));
    t.failure = &erase;
    assert_false(mvcc_txn_is_read(&outer));
    t.failure = &read;
    assert_true(mvcc_txn_is_read(&outer));
}

static void test_txn_subs_count_changes_in_order(void **state)
{
    (void) state;
    struct mvcc_rig rig;
    rig_init(&rig, 0);
    rig_put(&rig, "x", "1");
    rig_put(&rig, "y", "1");
    EXPECT(&rig, "txn then {\nput rev=4\ndelete deleted=2 rev=4\nput rev=4\n} rev=4\n",
           put("a", "1"), del("x", "z"), put("b", "1"));
    rig_settle(&rig);
    for (int64_t sub = 0; sub < 5; sub++) {
        struct revision r = {4, sub};
        struct blob *row = rig_fetch(&rig, r);
        assert_int_equal(row != NULL, sub < 4);
        blob_unref(row);
    }
    rig_release(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_txn_ops_see_earlier_ops_and_share_the_revision),
        cmocka_unit_test(test_txn_nested_header_is_empty),
        cmocka_unit_test(test_txn_without_change_keeps_the_revision),
        cmocka_unit_test(test_txn_failing_check_changes_nothing),
        cmocka_unit_test(test_txn_range_at_a_revision_reads_history),
        cmocka_unit_test(test_txn_compare_operators),
        cmocka_unit_test(test_txn_compare_of_missing_keys_and_ranges),
        cmocka_unit_test(test_txn_nested_compare_sees_state_before),
        cmocka_unit_test(test_txn_waits_for_values_before_it_changes_anything),
        cmocka_unit_test(test_txn_is_read_looks_at_every_branch),
        cmocka_unit_test(test_txn_subs_count_changes_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
