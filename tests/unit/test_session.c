/*
 * test_session.c - the exactly-once table. K2.
 */

#include "kv/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "kv/mvcc_rows.h"

#define NODE(node, incarnation) ((uint64_t) (node) << 32 | (incarnation))
#define CLIENT(n) (SESSION_CLIENT_BIT | (n))

static enum session_verdict check(const struct session_table *t, uint64_t id, uint64_t sequence)
{
    const struct session_answer *answer = NULL;
    return session_check(t, id, sequence, &answer);
}

static void apply(struct session_table *t, uint64_t id, uint64_t sequence)
{
    struct session_answer a = {.revision = (int64_t) sequence * 10};
    assert_int_equal(check(t, id, sequence), SESSION_APPLY);
    session_applied(t, id, sequence, &a);
    assert_int_equal(check(t, id, sequence), SESSION_DUPLICATE);
}

static void test_session_node_applies_each_once_in_any_order(void **state)
{
    (void) state;
    struct session_table *t = session_table_new(10);
    static const uint64_t order[] = {3, 1, 2, 7, 5, 4, 6, 8};
    for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
        apply(t, NODE(1, 5), order[i]);
    }
    for (uint64_t s = 1; s <= 8; s++) {
        assert_int_equal(check(t, NODE(1, 5), s), SESSION_DUPLICATE);
    }
    assert_int_equal(check(t, NODE(1, 5), 0), SESSION_DUPLICATE);
    assert_int_equal(check(t, NODE(1, 5), 9), SESSION_APPLY);
    assert_int_equal(check(t, NODE(2, 5), 1), SESSION_APPLY); /* another node */
    session_table_free(t);
}

static void test_session_node_window_bounds_what_is_above_the_mark(void **state)
{
    (void) state;
    struct session_table *t = session_table_new(10);
    uint64_t id = NODE(9, 1);
    apply(t, id, 1);
    assert_int_equal(check(t, id, 2 + SESSION_WINDOW), SESSION_DUPLICATE);
    apply(t, id, 1 + SESSION_WINDOW);
    for (uint64_t s = 2; s <= SESSION_WINDOW; s++) {
        assert_int_equal(check(t, id, s), SESSION_APPLY);
        session_applied(t, id, s, NULL);
    }
    assert_int_equal(check(t, id, 1 + SESSION_WINDOW), SESSION_DUPLICATE);
    apply(t, id, 2 + SESSION_WINDOW); /* the mark went on */
    session_table_free(t);
}

static void test_session_newer_incarnation_ends_the_older(void **state)
{
    (void) state;
    struct session_table *t = session_table_new(10);
    apply(t, NODE(1, 5), 1);
    apply(t, NODE(1, 5), 4);
    apply(t, NODE(1, 6), 1);
    assert_int_equal(check(t, NODE(1, 5), 2), SESSION_DUPLICATE);
    assert_int_equal(check(t, NODE(1, 5), 9), SESSION_DUPLICATE);
    assert_int_equal(check(t, NODE(1, 6), 4), SESSION_APPLY); /* the new one has its own */
    assert_int_equal(check(t, NODE(1, 6), 1), SESSION_DUPLICATE);
    session_table_free(t);
}

static void test_session_unknown_client_begins_at_one(void **state)
{
    (void) state;
    struct session_table *t = session_table_new(10);
    assert_int_equal(check(t, CLIENT(1), 2), SESSION_EXPIRED);
    assert_int_equal(check(t, CLIENT(1), 0), SESSION_EXPIRED);
    apply(t, CLIENT(1), 1);
    apply(t, CLIENT(1), 2);
    assert_int_equal(session_clients(t), 1);
    session_table_free(t);
}

/* K3: "expired" does not say "never applied". A batch can be in the log twice, and what was
 * overtaken by the first sequence comes again behind it. */
static void test_session_client_expired_command_may_apply_later(void **state)
{
    const struct session_answer answer = {.revision = 1};
    (void) state;
    struct session_table *t = session_table_new(10);
    assert_int_equal(check(t, CLIENT(7), 2), SESSION_EXPIRED);
    assert_int_equal(check(t, CLIENT(7), 1), SESSION_APPLY);
    session_applied(t, CLIENT(7), 1, &answer);
    assert_int_equal(check(t, CLIENT(7), 2), SESSION_APPLY);
    session_table_free(t);
}

static void test_session_client_keeps_sixteen_answers(void **state)
{
    (void) state;
    struct session_table *t = session_table_new(10);
    const struct session_answer *a = NULL;
    for (uint64_t s = 1; s <= 20; s++) {
        struct session_answer answer = {.revision = (int64_t) s, .err = -(int) s, .kind = 3};
        answer.detail = bytes_of(&s, 1 + s % 8);
        assert_int_equal(check(t, CLIENT(7), s), SESSION_APPLY);
        session_applied(t, CLIENT(7), s, &answer);
    }
    for (uint64_t s = 1; s <= 20; s++) {
        if (s <= 20 - SESSION_ANSWERS) {
            assert_int_equal(check(t, CLIENT(7), s), SESSION_EXPIRED);
            continue;
        }
        assert_int_equal(session_check(t, CLIENT(7), s, &a), SESSION_DUPLICATE);
        assert_int_equal(a->revision, s);
        assert_int_equal(a->err, -(int) s);
        assert_true(a->kept);
        assert_true(bytes_equal(a->detail, bytes_of(&s, 1 + s % 8)));
    }
    session_table_free(t);
}

/* A client has several under way and they may overtake each other: none is lost for that. */
static void test_session_overtaken_client_command_is_applied(void **state)
{
    (void) state;
    struct session_table *t = session_table_new(10);
    apply(t, CLIENT(7), 1);
    apply(t, CLIENT(7), 5);
    apply(t, CLIENT(7), 3);
    apply(t, CLIENT(7), 2);
    apply(t, CLIENT(7), 21);
    assert_int_equal(check(t, CLIENT(7), 4), SESSION_EXPIRED);
    assert_int_equal(check(t, CLIENT(7), 5), SESSION_EXPIRED);
    assert_int_equal(check(t, CLIENT(7), 6), SESSION_APPLY);
    session_table_free(t);
}

static void test_session_large_answer_is_not_kept(void **state)
{
    (void) state;
    struct session_table *t = session_table_new(10);
    static uint8_t bytes[SESSION_DETAIL_MAX + 1];
    const struct session_answer *a = NULL;
    struct session_answer answer = {.detail = bytes_of(bytes, SESSION_DETAIL_MAX)};
    session_applied(t, CLIENT(7), 1, &answer);
    assert_int_equal(session_check(t, CLIENT(7), 1, &a), SESSION_DUPLICATE);
    assert_true(a->kept);
    answer.detail.size++;
    session_applied(t, CLIENT(7), 2, &answer);
    assert_int_equal(session_check(t, CLIENT(7), 2, &a), SESSION_DUPLICATE);
    assert_false(a->kept);
    assert_int_equal(a->detail.size, 0);
    session_table_free(t);
}

static void test_session_least_recently_used_client_goes(void **state)
{
    (void) state;
    struct session_table *t = session_table_new(3);
    apply(t, NODE(1, 1), 1);
    apply(t, CLIENT(1), 1);
    apply(t, CLIENT(2), 1);
    apply(t, CLIENT(3), 1);
    session_used(t, CLIENT(1)); /* a retry counts as use */
    apply(t, CLIENT(4), 1);
    assert_int_equal(session_clients(t), 3);
    assert_int_equal(check(t, CLIENT(2), 2), SESSION_EXPIRED);
    assert_int_equal(check(t, CLIENT(1), 2), SESSION_APPLY);
    assert_int_equal(check(t, NODE(1, 1), 1), SESSION_DUPLICATE); /* nodes never go */
    session_table_free(t);
}

/* ---- rows ---- */

struct disk {
    struct {
        uint64_t id;
        uint8_t *row;
        size_t size;
    } rows[64];
    uint32_t count;
};

static void disk_write(struct disk *d, struct session_table *t)
{
    struct session_rows rows;
    uint32_t dirty = session_dirty(t);
    session_flush(t, &rows);
    assert_true(rows.count <= dirty);
    assert_int_equal(session_dirty(t), 0);
    for (uint32_t i = 0; i < rows.count; i++) {
        assert_true(i == 0 || rows.rows[i - 1].id < rows.rows[i].id);
        uint32_t j = 0;
        while (j < d->count && d->rows[j].id != rows.rows[i].id) {
            j++;
        }
        if (rows.rows[i].removed) {
            if (j < d->count) {
                free(d->rows[j].row);
                d->rows[j] = d->rows[--d->count];
            }
            continue;
        }
        if (j == d->count) {
            d->rows[j].row = NULL;
            d->count++;
            assert_true(d->count < ARRAY_SIZE(d->rows));
        }
        free(d->rows[j].row);
        d->rows[j].id = rows.rows[i].id;
        d->rows[j].size = rows.rows[i].size;
        d->rows[j].row = xmemdup(rows.data.data + rows.rows[i].offset, rows.rows[i].size);
    }
    session_rows_release(&rows);
}

static void disk_release(struct disk *d)
{
    for (uint32_t i = 0; i < d->count; i++) {
        free(d->rows[i].row);
    }
    d->count = 0;
}

static struct session_table *disk_read(const struct disk *d, uint32_t clients_max, uint64_t clock)
{
    struct session_table *t = session_table_new(clients_max);
    session_restore_clock(t, clock);
    for (uint32_t i = 0; i < d->count; i++) {
        assert_int_equal(session_restore_row(t, d->rows[i].id,
                                             bytes_of(d->rows[i].row, d->rows[i].size)),
                         OK);
    }
    assert_int_equal(session_restore_done(t), OK);
    return t;
}

static void expect_same(const struct session_table *a, const struct session_table *b, uint64_t id,
                        uint64_t sequence)
{
    const struct session_answer *x = NULL;
    const struct session_answer *y = NULL;
    assert_int_equal(session_check(a, id, sequence, &x), session_check(b, id, sequence, &y));
    assert_int_equal(x == NULL, y == NULL);
    if (x != NULL) {
        assert_int_equal(x->err, y->err);
        assert_int_equal(x->revision, y->revision);
        assert_int_equal(x->kind, y->kind);
        assert_int_equal(x->kept, y->kept);
        assert_true(bytes_equal(x->detail, y->detail));
    }
}

/* One table is written and restored at random points, the other never: they decide the same. */
static void test_session_restored_table_decides_the_same(void **state)
{
    (void) state;
    struct rng rng;
    rng_init(&rng, 11);
    struct session_table *a = session_table_new(4);
    struct session_table *b = session_table_new(4);
    struct disk d = {.count = 0};
    uint64_t low[3] = {0, 0, 0};
    for (uint32_t i = 0; i < 20000; i++) {
        uint64_t id;
        uint64_t sequence;
        uint32_t what = (uint32_t) rng_below(&rng, 100);
        if (what < 60) {
            uint32_t node = (uint32_t) rng_below(&rng, 3);
            id = NODE(node + 1, 1 + i / 5000);
            low[node] += rng_below(&rng, 2);
            sequence = 1 + low[node] % 1500 + rng_below(&rng, 60);
        } else {
            id = CLIENT(rng_below(&rng, 6));
            sequence = 1 + rng_below(&rng, 1 + i / 200 % 30);
        }
        expect_same(a, b, id, sequence);
        if (check(a, id, sequence) == SESSION_APPLY) {
            struct session_answer answer = {.revision = (int64_t) i, .err = i % 3 == 0 ? -7 : 0};
            answer.detail = bytes_of(&i, i % 5);
            session_applied(a, id, sequence, &answer);
            session_applied(b, id, sequence, &answer);
        } else {
            session_used(a, id);
            session_used(b, id);
        }
        if (rng_chance(&rng, 1, 50)) {
            disk_write(&d, b);
        }
        if (rng_chance(&rng, 1, 200)) {
            disk_write(&d, b);
            uint64_t clock = session_clock(b);
            assert_true(clock == session_clock(a));
            session_table_free(b);
            b = disk_read(&d, 4, clock);
        }
    }
    assert_int_equal(session_clients(a), session_clients(b));
    session_table_free(a);
    session_table_free(b);
    disk_release(&d);
}

static void test_session_damaged_rows_are_refused(void **state)
{
    (void) state;
    struct session_table *t = session_table_new(4);
    struct disk d = {.count = 0};
    struct session_answer answer = {.revision = 5, .kind = 2, .detail = bytes_str("detail")};
    apply(t, NODE(1, 1), 1);
    apply(t, NODE(1, 1), 3);
    session_applied(t, CLIENT(1), 1, &answer);
    disk_write(&d, t);
    assert_int_equal(d.count, 2);
    for (uint32_t i = 0; i < d.count; i++) {
        for (size_t bit = 0; bit < d.rows[i].size * 8; bit++) {
            struct session_table *other = session_table_new(4);
            d.rows[i].row[bit / 8] ^= (uint8_t) (1 << bit % 8);
            struct bytes row = bytes_of(d.rows[i].row, d.rows[i].size);
            assert_int_equal(session_restore_row(other, d.rows[i].id, row), ERR_CORRUPT);
            d.rows[i].row[bit / 8] ^= (uint8_t) (1 << bit % 8);
            session_table_free(other);
        }
        /* Shorter and longer ones, with a right checksum. */
        uint8_t key[ROW_SESSION_KEY_SIZE];
        row_session_key(d.rows[i].id, key);
        for (size_t size = ROW_CHECK_SIZE; size <= d.rows[i].size + 1; size++) {
            uint8_t *row = xcalloc(1, size);
            memcpy(row, d.rows[i].row, size < d.rows[i].size ? size : d.rows[i].size);
            row_seal(bytes_of(key, sizeof key), row, size);
            struct session_table *other = session_table_new(4);
            int want = size == d.rows[i].size ? OK : ERR_CORRUPT;
            assert_int_equal(session_restore_row(other, d.rows[i].id, bytes_of(row, size)), want);
            session_table_free(other);
            free(row);
        }
    }
    /* A use that the clock does not know of. */
    struct session_table *other = session_table_new(4);
    session_restore_clock(other, session_clock(t) - 1);
    for (uint32_t i = 0; i < d.count; i++) {
        struct bytes row = bytes_of(d.rows[i].row, d.rows[i].size);
        assert_int_equal(session_restore_row(other, d.rows[i].id, row), OK);
        assert_int_equal(session_restore_row(other, d.rows[i].id, row), ERR_CORRUPT); /* twice */
    }
    assert_int_equal(session_restore_done(other), ERR_CORRUPT);
    session_table_free(other);
    session_table_free(t);
    disk_release(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_session_node_applies_each_once_in_any_order),
        cmocka_unit_test(test_session_node_window_bounds_what_is_above_the_mark),
        cmocka_unit_test(test_session_newer_incarnation_ends_the_older),
        cmocka_unit_test(test_session_unknown_client_begins_at_one),
        cmocka_unit_test(test_session_client_expired_command_may_apply_later),
        cmocka_unit_test(test_session_client_keeps_sixteen_answers),
        cmocka_unit_test(test_session_overtaken_client_command_is_applied),
        cmocka_unit_test(test_session_large_answer_is_not_kept),
        cmocka_unit_test(test_session_least_recently_used_client_goes),
        cmocka_unit_test(test_session_restored_table_decides_the_same),
        cmocka_unit_test(test_session_damaged_rows_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
