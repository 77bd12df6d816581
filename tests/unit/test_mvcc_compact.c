/*
 * test_mvcc_compact.c - compaction: the rule, the sweep behind it, and crashes in the middle. K5,
 * D4.
 */

#include "kv/mvcc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "tests/support/mvcc_rig.h"

#define K(text) bytes_str(text)

static int read_at(struct mvcc_rig *rig, int64_t revision)
{
    struct range_request r = {.key = K("a"), .range_end = K("z"), .revision = revision};
    struct mvcc_result *res = rig_range(rig, &r);
    int err = res->err;
    mvcc_result_free(res);
    return err;
}

static void test_compact_revision_rules(void **state)
{
    (void) state;
    struct mvcc_rig rig;
    rig_init(&rig, 0);
    assert_int_equal(rig_compact(&rig, -1), ERR_COMPACTED); /* (obs) */
    assert_int_equal(rig_compact(&rig, 0), OK);             /* (obs) on an empty store */
    assert_int_equal(rig_compact(&rig, 0), ERR_COMPACTED);
    for (int i = 0; i < 5; i++) {
        rig_put(&rig, "a", "1"); /* 2 to 6 */
    }
    assert_int_equal(rig_compact(&rig, 7), ERR_FUTURE_REVISION);
    assert_int_equal(rig_compact(&rig, 4), OK);
    assert_int_equal(mvcc_compact_revision(rig.m), 4);
    assert_int_equal(rig_compact(&rig, 4), ERR_COMPACTED);
    assert_int_equal(rig_compact(&rig, 3), ERR_COMPACTED);
    assert_int_equal(read_at(&rig, 3), ERR_COMPACTED);
    assert_int_equal(read_at(&rig, 4), OK); /* (obs) */
    assert_int_equal(read_at(&rig, 6), OK);
    assert_int_equal(rig_compact(&rig, 6), OK);
    assert_int_equal(mvcc_revision(rig.m), 6);
    rig_settle(&rig);
    assert_int_equal(read_at(&rig, 6), OK);
    rig_release(&rig);
}

static uint32_t records(const struct mvcc_rig *rig)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < rig->rows_count; i++) {
        count += rig->rows[i].key.data[0] == 'r';
    }
    return count;
}

static void test_compact_is_finished_when_deletes_are_durable(void **state)
{
    (void) state;
    struct mvcc_rig rig;
    rig_init(&rig, 0);
    for (int i = 0; i < 5; i++) {
        rig_put(&rig, "a", "1");
    }
    rig_delete(&rig, "a", "");
    rig_settle(&rig);
    assert_int_equal(records(&rig), 6);
    uint64_t size = mvcc_size_in_use(rig.m);
    assert_int_equal(rig_compact(&rig, 7), OK);
    assert_false(mvcc_compact_finished(rig.m, 7));
    while (mvcc_work(rig.m, 1)) {
    }
    assert_false(mvcc_compact_finished(rig.m, 7));
    struct mvcc_flush *f = mvcc_flush_begin(rig.m);
    rig_write(&rig, f);
    assert_false(mvcc_compact_finished(rig.m, 7));
    mvcc_flush_done(rig.m, f);
    assert_true(mvcc_compact_finished(rig.m, 7));
    assert_false(mvcc_compact_finished(rig.m, 8));
    assert_int_equal(records(&rig), 0);
    assert_true(size > 0);
    assert_int_equal(mvcc_size_in_use(rig.m), 0);
    rig_restart(&rig);
    assert_true(mvcc_compact_finished(rig.m, 7));
    assert_false(mvcc_work(rig.m, 100));
    assert_int_equal(rig_put(&rig, "a", "new"), 8);
    rig_release(&rig);
}

/* A compaction that removes nothing is finished too, and says so on disk. */
static void test_compact_without_garbage_is_finished(void **state)
{
    (void) state;
    struct mvcc_rig rig;
    rig_init(&rig, 0);
    rig_put(&rig, "a", "1");
    assert_int_equal(rig_compact(&rig, 2), OK);
    rig_settle(&rig);
    assert_true(mvcc_compact_finished(rig.m, 2));
    rig_restart(&rig);
    assert_true(mvcc_compact_finished(rig.m, 2));
    rig_release(&rig);
}

/* Rows that an answer waits for stay on disk until it has them. */
static void test_compact_keeps_rows_that_a_result_waits_for(void **state)
{
    (void) state;
    struct mvcc_rig rig;
    struct mvcc_result *old = NULL;
    struct mvcc_result *prev = NULL;
    rig_init(&rig, 0);
    rig_put(&rig, "a", "1");
    rig_put(&rig, "a", "2");
    rig_settle(&rig);
    struct range_request r = {.key = K("a"), .revision = 2};
    assert_int_equal(mvcc_range(rig.m, &r, &old), OK);
    assert_int_equal(old->missing, 1);
    struct put_request p = {.key = K("a"), .value = K("3"), .prev_kv = true};
    struct rig_entry e = rig_put_entry(&rig, &p);
    struct command c = {e.tag, e.session, e.sequence, e.payload};
    uint64_t index = mvcc_applied(rig.m) + 1;
    assert_int_equal(mvcc_apply(rig.m, index, &c, true, &prev), OK);
    mvcc_apply_done(rig.m, index);
    assert_int_equal(prev->missing, 1);
    struct mvcc_result *res = NULL;
    struct rig_entry k = rig_compact_entry(&rig, 4);
    c = (struct command){k.tag, k.session, k.sequence, k.payload};
    assert_int_equal(mvcc_apply(rig.m, index + 1, &c, true, &res), OK);
    mvcc_apply_done(rig.m, index + 1);
    assert_int_equal(res->err, OK);
    mvcc_result_free(res);
    for (int i = 0; i < 5; i++) {
        ERR_IGNORE(mvcc_work(rig.m, 10) ? OK : ERR_AGAIN);
        ERR_IGNORE(rig_flush(&rig) ? OK : ERR_AGAIN);
    }
    assert_int_equal(records(&rig), 3);
    assert_false(mvcc_compact_finished(rig.m, 4));
    rig_complete(&rig, old);
    assert_int_equal(old->err, OK);
    assert_memory_equal(old->response.range.kvs[0].value.data, "1", 1);
    mvcc_result_free(old);
    assert_true(rig_flush(&rig) || records(&rig) == 3); /* the other still waits */
    rig_complete(&rig, prev);
    assert_int_equal(prev->err, OK);
    assert_memory_equal(prev->response.put.prev->value.data, "2", 1);
    mvcc_result_free(prev);
    rig_settle(&rig);
    assert_int_equal(records(&rig), 1);
    assert_true(mvcc_compact_finished(rig.m, 4));
    rig_release(&rig);
}

/* What readers may see: every key at every revision that is not compacted. */
static void dump(struct mvcc_rig *rig, struct buf *out)
{
    buf_clear(out);
    for (int64_t at = mvcc_compact_revision(rig->m); at <= mvcc_revision(rig->m); at++) {
        struct range_request r = {.key = bytes_of("", 1), .range_end = bytes_of("", 1)};
        r.revision = at;
        struct mvcc_result *res = rig_range(rig, &r);
        assert_int_equal(res->err, OK);
        rig_print(&res->response, out);
        mvcc_result_free(res);
    }
}

/* D4: a crash after each step of the sweep and each flush leaves the same to read, and nothing dead
 * comes back to life. */
static void test_compact_survives_a_crash_at_each_step(void **state)
{
    (void) state;
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct mvcc_rig rig;
        struct rng rng;
        struct buf want;
        struct buf got;
        rng_init(&rng, seed);
        rig_init(&rig, 0);
        buf_init(&want, 1 << 24);
        buf_init(&got, 1 << 24);
        for (int i = 0; i < 120; i++) {
            char key[16];
            snprintf(key, sizeof key, "k%d", (int) rng_below(&rng, 20));
            if (rng_chance(&rng, 1, 3)) {
                rig_delete(&rig, key, "");
            } else {
                rig_put(&rig, key, "value");
            }
            if (rng_chance(&rng, 1, 10)) {
                ERR_IGNORE(rig_flush(&rig) ? OK : ERR_AGAIN);
            }
        }
        int64_t compact = mvcc_revision(rig.m) - (int64_t) rng_below(&rng, 30);
        assert_int_equal(rig_compact(&rig, compact), OK);
        dump(&rig, &want);
        uint32_t steps = 0;
        while (!mvcc_compact_finished(rig.m, compact)) {
            ERR_IGNORE(mvcc_work(rig.m, 1 + (uint32_t) rng_below(&rng, 4)) ? OK : ERR_AGAIN);
            if (rng_chance(&rng, 1, 2)) {
                ERR_IGNORE(rig_flush(&rig) ? OK : ERR_AGAIN);
            }
            if (rng_chance(&rng, 1, 6)) {
                rig_restart(&rig);
            }
            dump(&rig, &got);
            assert_true(bytes_equal(buf_bytes(&want), buf_bytes(&got)));
            steps++;
            assert_true(steps < 10000);
        }
        rig_restart(&rig);
        dump(&rig, &got);
        assert_true(bytes_equal(buf_bytes(&want), buf_bytes(&got)));
        buf_release(&want);
        buf_release(&got);
        rig_release(&rig);
    }
}

/* Compactions that come faster than a sweep ends do not keep it from ending. */
static void test_compact_again_and_again_still_finishes(void **state)
{
    (void) state;
    struct mvcc_rig rig;
    rig_init(&rig, 0);
    for (int i = 0; i < 100; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        rig_put(&rig, key, "1");
    }
    int64_t first = mvcc_revision(rig.m);
    assert_int_equal(rig_compact(&rig, first), OK);
    for (int i = 0; i < 60; i++) {
        int64_t revision = rig_put(&rig, "k5", "again");
        assert_int_equal(rig_compact(&rig, revision), OK);
        ERR_IGNORE(mvcc_work(rig.m, 2) ? OK : ERR_AGAIN);
        ERR_IGNORE(rig_flush(&rig) ? OK : ERR_AGAIN);
    }
    assert_true(mvcc_compact_finished(rig.m, first));
    rig_settle(&rig);
    assert_int_equal(records(&rig), 100);
    assert_true(mvcc_compact_finished(rig.m, mvcc_revision(rig.m)));
    rig_release(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compact_revision_rules),
        cmocka_unit_test(test_compact_is_finished_when_deletes_are_durable),
        cmocka_unit_test(test_compact_without_garbage_is_finished),
        cmocka_unit_test(test_compact_keeps_rows_that_a_result_waits_for),
        cmocka_unit_test(test_compact_survives_a_crash_at_each_step),
        cmocka_unit_test(test_compact_again_and_again_still_finishes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
