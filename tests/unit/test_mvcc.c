/*
 * test_mvcc.c - the state machine: revisions, exactly-once, waiting for rows, flush and restore.
 * K2, K4, D5.
 */

#include "kv/mvcc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "kv/session.h"
#include "kv/store.h"
#include "proto/wire_kv.h"
#include "tests/support/mvcc_rig.h"

#define K(text) bytes_str(text)
#define CLIENT (SESSION_CLIENT_BIT | 42)

static void expect_text(const struct mvcc_result *res, const char *want)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    assert_int_equal(res->err, OK);
    rig_print(&res->response, &text);
    assert_int_equal(buf_append(&text, "", 1), OK);
    assert_string_equal((const char *) text.data, want);
    buf_release(&text);
}

static void expect_get(struct mvcc_rig *rig, const char *key, int64_t revision, const char *want)
{
    struct range_request r = {.key = K(key), .revision = revision};
    struct mvcc_result *res = rig_range(rig, &r);
    expect_text(res, want);
    mvcc_result_free(res);
}

static void test_mvcc_new_store_is_at_revision_one(void **state)
{
    (void) state;
    struct mvcc_rig rig;
    rig_init(&rig, 1 << 20);
    assert_int_equal(mvcc_revision(rig.m), 1);
    assert_int_equal(mvcc_compact_revision(rig.m), -1);
    assert_int_equal(mvcc_applied(rig.m), 0);
    assert_int_equal(mvcc_keys(rig.m), 0);
    assert_null(mvcc_flush_begin(rig.m));
    assert_int_equal(mvcc_pending_operations(rig.m), 0);
    assert_int_equal(mvcc_restore_done(rig.m), OK); /* an empty database */
    assert_int_equal(rig_put(&rig, "a", "1"), 2);
    rig_release(&rig);
}

static void test_mvcc_create_version_and_revision_follow_etcd(void **state)
{
    (void) state;
    struct mvcc_rig rig;
    rig_init(&rig, 0);
    assert_int_equal(rig_put(&rig, "a", "1"), 2);
    assert_int_equal(rig_put(&rig, "b", "1"), 3);
    assert_int_equal(rig_put(&rig, "a", "2"), 4);
    assert_int_equal(rig_delete(&rig, "zz", ""), 4); /* nothing matched: the revision stays */
    assert_int_equal(rig_delete(&rig, "a", ""), 5);
    assert_int_equal(rig_delete(&rig, "a", ""), 5);
    assert_int_equal(rig_put(&rig, "a", "3"), 6);
    rig_settle(&rig);
    expect_get(&rig, "a", 2, "range count=1 more=0 [a=1 c=2 m=2 v=1 l=0] rev=6\n");
    expect_get(&rig, "a", 4, "range count=1 more=0 [a=2 c=2 m=4 v=2 l=0] rev=6\n");
    expect_get(&rig, "a", 5, "range count=0 more=0 rev=6\n");
    expect_get(&rig, "a", 0, "range count=1 more=0 [a=3 c=6 m=6 v=1 l=0] rev=6\n");
    expect_get(&rig, "a", -7, "range count=1 more=0 [a=3 c=6 m=6 v=1 l=0] rev=6\n");
    struct range_request future = {.key = K("a"), .revision = 7};
    struct mvcc_result *res = rig_range(&rig, &future);
    assert_int_equal(res->err, ERR_FUTURE_REVISION);
    assert_int_equal(res->revision, 6);
    mvcc_result_free(res);
    assert_int_equal(mvcc_keys(rig.m), 2);
    rig_release(&rig);
}

static struct mvcc_result *put(struct mvcc_rig *rig, struct put_request r)
{
    struct rig_entry e = rig_put_entry(rig, &r);
    return rig_apply(rig, &e);
}

static void test_mvcc_put_flags(void **state)
{
    (void) state;
    struct mvcc_rig rig;
    struct mvcc_result *res;
    rig_init(&rig, 0);
    rig_put(&rig, "a", "1");
    rig_settle(&rig);
    res = put(&rig, (struct put_request){.key = K("a"), .value = K("2"), .prev_kv = true});
    expect_text(res, "put [a=1 c=2 m=2 v=1 l=0] rev=3\n");
    mvcc_result_free(res);
    res = put(&rig, (struct put_request){.key = K("n"), .value = K("2"), .prev_kv = true});
    expect_text(res, "put rev=4\n");
    mvcc_result_free(res);
    rig_settle(&rig);
    uint64_t again = rig.again;
    res =
        put(&rig, (struct put_request){.key = K("a"), .ignore_value = true, .ignore_lease = true});
    expect_text(res, "put rev=5\n");
    mvcc_result_free(res);
    assert_int_equal(rig.again, again + 1);
    expect_get(&rig, "a", 0, "range count=1 more=0 [a=2 c=2 m=5 v=3 l=0] rev=5\n");
    uint64_t hash = mvcc_hash(rig.m);
    static const struct {
        struct put_request r;
        int err;
    } failing[] = {
        {{.key = {(const uint8_t *) "x", 1}, .ignore_value = true}, ERR_KEY_NOT_FOUND},
        {{.key = {(const uint8_t *) "x", 1}, .ignore_lease = true}, ERR_KEY_NOT_FOUND},
        {{.key = {(const uint8_t *) "a", 1}, .lease = 9}, ERR_LEASE_NOT_FOUND},
        /* (obs) alone the lease is looked at first */
        {{.key = {(const uint8_t *) "x", 1}, .ignore_value = true, .lease = 9},
         ERR_LEASE_NOT_FOUND},
    };
    for (size_t i = 0; i < ARRAY_SIZE(failing); i++) {
        res = put(&rig, failing[i].r);
        assert_int_equal(res->err, failing[i].err);
        assert_int_equal(res->revision, 5);
        mvcc_result_free(res);
    }
    assert_true(mvcc_hash(rig.m) == hash);
    rig_release(&rig);
}

static void test_mvcc_delete_range_answers_in_key_order(void **state)
{
    (void) state;
    struct mvcc_rig rig;
    rig_init(&rig, 0);
    rig_put(&rig, "c", "3");
    rig_put(&rig, "a", "1");
    rig_put(&rig, "b", "2");
    rig_settle(&rig);
    struct delete_request r = {.key = K("b"), .range_end = bytes_of("", 1), .prev_kv = true};
    struct rig_entry e = rig_delete_entry(&rig, &r);
    struct mvcc_result *res = rig_apply(&rig, &e);
    expect_text(res, "delete deleted=2 [b=2 c=4 m=4 v=1 l=0] [c=3 c=2 m=2 v=1 l=0] rev=5\n");
    mvcc_result_free(res);
    assert_int_equal(mvcc_keys(rig.m), 1);
    rig_release(&rig);
}

/* ---- exactly once (K2) ---- */

static int apply_raw(struct mvcc_rig *rig, const struct rig_entry *e, struct mvcc_result **ret_res)
{
    struct command c = {e->tag, e->session, e->sequence, e->payload};
    uint64_t index = mvcc_applied(rig->m) + 1;
    struct mvcc_result *none = NULL;
    int err = mvcc_apply(rig->m, index, &c, ret_res != NULL, ret_res != NULL ? ret_res : &none);
    if (err == OK) {
        mvcc_apply_done(rig->m, index);
    }
    return err;
}

static void test_mvcc_node_command_is_applied_once(void **state)
{
    (void) state;
    struct mvcc_rig rig;
    struct mvcc_result *res = NULL;
    rig_init(&rig, 1 << 20);
    struct put_request r = {.key = K("a"), .value = K("1")};
    struct rig_entry e = rig_put_entry(&rig, &r);
    assert_int_equal(apply_raw(&rig, &e, NULL), OK);
    uint64_t hash = mvcc_hash(rig.m);
    assert_int_equal(apply_raw(&rig, &e, &res), OK);
    assert_int_equal(res->err, ERR_SESSION_EXPIRED);
    assert_int_equal(res->missing, 0);
    mvcc_result_free(res);
    assert_true(mvcc_hash(rig.m) == hash);
    /* A newer life of the node, then the old one again. */
    e.session++;
    e.sequence = 1;
    assert_int_equal(apply_raw(&rig, &e, NULL), OK);
    assert_int_equal(mvcc_revision(rig.m), 3);
    e.session--;
    e.sequence = 2;
    assert_int_equal(apply_raw(&rig, &e, NULL), OK);
    assert_int_equal(mvcc_revision(rig.m), 3);
    /* Without a session nothing is remembered. */
    e.session = 0;
    assert_int_equal(apply_raw(&rig, &e, NULL), OK);
    assert_int_equal(apply_raw(&rig, &e, NULL), OK);
    assert_int_equal(mvcc_revision(rig.m), 5);
    rig_release(&rig);
}

/* Encodes the answer as a client would see it. */
static void encode(const struct mvcc_result *res, struct buf *out)
{
    struct api_header header = {.cluster_id = 1, .member_id = 2, .raft_term = 3};
    assert_int_equal(res->err, OK);
    assert_int_equal(wire_response_encode(&header, &res->response, out), OK);
}

static void test_mvcc_client_retry_gets_the_same_bytes(void **state)
{
    (void) state;
    struct mvcc_rig rig;
    rig_init(&rig, 0);
    rig_put(&rig, "a", "1");
    rig_put(&rig, "b", "2");
    struct range_request sorted = {.key = K("a"), .range_end = K("z"), .limit = 2};
    sorted.sort_target = SORT_VALUE;
    sorted.sort_order = SORT_ASCEND; /* not the order of keys: a has the larger value */
    struct range_request keys = {.key = K("a"), .range_end = K("z"), .keys_only = true};
    struct range_request count = {.key = K("a"), .range_end = K("z"), .count_only = true};
    struct range_request old = {.key = K("b"), .revision = 3};
    struct txn_op inner_ops[] = {
        {.kind = OP_PUT, .put = {.key = K("c"), .value = K("3"), .prev_kv = true}},
        {.kind = OP_DELETE, .del = {.key = K("b"), .range_end = K("c"), .prev_kv = true}},
    };
    struct txn_request inner = {.success = inner_ops, .success_count = 2};
    struct txn_op ops[] = {
        {.kind = OP_PUT, .put = {.key = K("a"), .value = K("4"), .prev_kv = true}},
        {.kind = OP_RANGE, .range = sorted},
        {.kind = OP_TXN, .txn = &inner},
        {.kind = OP_RANGE, .range = keys},
        {.kind = OP_RANGE, .range = count},
        {.kind = OP_RANGE, .range = old},
    };
    struct txn_request t = {.success = ops, .success_count = ARRAY_SIZE(ops)};
    struct rig_entry e = rig_txn_entry(&rig, &t);
    e.session = CLIENT;
    e.sequence = 1;
    struct mvcc_result *first = rig_apply(&rig, &e);
    struct buf want;
    buf_init(&want, 1 << 20);
    encode(first, &want);
    assert_true(want.size > 100);
    mvcc_result_free(first);
    rig_settle(&rig);
    rig.sequence = 2;
    for (int round = 0; round < 3; round++) {
        rig_put(&rig, "a", "later");
        rig_delete(&rig, "a", "b");
        if (round == 1) {
            rig_settle(&rig);
            rig_restart(&rig);
        }
        int64_t revision = mvcc_revision(rig.m);
        struct buf got;
        buf_init(&got, 1 << 20);
        struct mvcc_result *res = rig_apply(&rig, &e);
        encode(res, &got);
        assert_true(bytes_equal(buf_bytes(&want), buf_bytes(&got)));
        assert_int_equal(mvcc_revision(rig.m), revision);
        mvcc_result_free(res);
        buf_release(&got);
    }
    /* The rows behind the answer are compacted: it is not known any more; that is no "failed". */
    assert_int_equal(rig_compact(&rig, mvcc_revision(rig.m)), OK);
    rig_settle(&rig);
    struct mvcc_result *res = rig_apply(&rig, &e);
    assert_int_equal(res->err, ERR_SESSION_EXPIRED);
    mvcc_result_free(res);
    buf_release(&want);
    rig_release(&rig);
}

static void test_mvcc_client_errors_are_kept_too(void **state)
{
    (void) state;
    struct mvcc_rig rig;
    rig_init(&rig, 1 << 20);
    struct put_request r = {.key = K("x"), .ignore_value = true};
    struct rig_entry e = rig_put_entry(&rig, &r);
    e.session = CLIENT;
    e.sequence = 1;
    struct mvcc_result *res = rig_apply(&rig, &e);
    assert_int_equal(res->err, ERR_KEY_NOT_FOUND);
    mvcc_result_free(res);
    rig.sequence = 0;
    rig_put(&rig, "x", "now there");
    res = rig_apply(&rig, &e);
    assert_int_equal(res->err, ERR_KEY_NOT_FOUND);
    mvcc_result_free(res);
    e.sequence = 1;
    e.session = CLIENT + 1;
    e.sequence = 2; /* unknown sessions begin at 1 */
    res = rig_apply(&rig, &e);
    assert_int_equal(res->err, ERR_SESSION_EXPIRED);
    mvcc_result_free(res);
    rig_release(&rig);
}

/* A retry counts as use: another session goes when there is one too many (the rig has four). */
static void test_mvcc_client_retry_keeps_the_session(void **state)
{
    (void) state;
    struct mvcc_rig rig;
    rig_init(&rig, 1 << 20);
    struct put_request r = {.key = K("x")};
    struct rig_entry e = rig_put_entry(&rig, &r);
    e.sequence = 1;
    static const uint64_t uses[] = {1, 2, 3, 4, 1, 5};
    for (size_t i = 0; i < ARRAY_SIZE(uses); i++) {
        e.session = SESSION_CLIENT_BIT | uses[i];
        rig_apply_quiet(&rig, &e);
    }
    assert_int_equal(mvcc_revision(rig.m), 6);
    e.sequence = 2;
    e.session = SESSION_CLIENT_BIT | 1;
    rig_apply_quiet(&rig, &e);
    assert_int_equal(mvcc_revision(rig.m), 7);
    e.session = SESSION_CLIENT_BIT | 2;
    struct mvcc_result *res = rig_apply(&rig, &e);
    assert_int_equal(res->err, ERR_SESSION_EXPIRED);
    mvcc_result_free(res);
    rig_release(&rig);
}

/* An answer with more records than a session keeps. */
static void test_mvcc_client_large_answer_is_expired(void **state)
{
    (void) state;
    struct mvcc_rig rig;
    rig_init(&rig, 1 << 20);
    for (int i = 0; i < 2000; i++) {
        char key[8] = {'k',
                       (char) ('0' + i / 1000),
                       (char) ('0' + i / 100 % 10),
                       (char) ('0' + i / 10 % 10),
                       (char) ('0' + i % 10),
                       0};
        rig_put(&rig, key, "v");
    }
    struct delete_request r = {.key = K("k"), .range_end = K("l"), .prev_kv = true};
    struct rig_entry e = rig_delete_entry(&rig, &r);
    e.session = CLIENT;
    e.sequence = 1;
    struct mvcc_result *res = rig_apply(&rig, &e);
    assert_int_equal(res->response.del.deleted, 2000);
    mvcc_result_free(res);
    uint64_t hash = mvcc_hash(rig.m);
    res = rig_apply(&rig, &e);
    assert_int_equal(res->err, ERR_SESSION_EXPIRED);
    assert_true(mvcc_hash(rig.m) == hash);
    mvcc_result_free(res);
    rig_release(&rig);
}

static void test_mvcc_foreign_command_is_corrupt(void **state)
{
    (void) state;
    struct mvcc_rig rig;
    struct mvcc_result *res = NULL;
    rig_init(&rig, 1 << 20);
    struct put_request no_key = {.value = K("1")};
    struct txn_op twice[] = {{.kind = OP_PUT, .put = {.key = K("a")}},
                             {.kind = OP_PUT, .put = {.key = K("a")}}};
    struct txn_request duplicate = {.success = twice, .success_count = 2};
    struct rig_entry entries[] = {
        {.tag = 99, .session = RIG_SESSION, .sequence = 1},
        {.tag = TAG_PUT, .session = RIG_SESSION, .sequence = 1, .payload = K("\xff\xff")},
        rig_put_entry(&rig, &no_key),
        rig_txn_entry(&rig, &duplicate),
    };
    for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
        assert_int_equal(apply_raw(&rig, &entries[i], &res), ERR_CORRUPT);
        assert_null(res);
    }
    assert_int_equal(mvcc_revision(rig.m), 1);
    rig_release(&rig);
}

/* ---- rows that must be brought ---- */

static void test_mvcc_missing_rows_are_asked_for_and_checked(void **state)
{
    (void) state;
    struct mvcc_rig rig;
    struct mvcc_result *res = NULL;
    rig_init(&rig, 0);
    rig_put(&rig, "a", "1");
    struct range_request r = {.key = K("a")};
    assert_int_equal(mvcc_range(rig.m, &r, &res), OK);
    assert_int_equal(res->missing, 0); /* not written yet */
    mvcc_result_free(res);
    rig_settle(&rig);
    assert_int_equal(mvcc_range(rig.m, &r, &res), OK);
    assert_int_equal(res->missing, 1);
    assert_int_equal(mvcc_result_missing(res, 0).main, 2);
    struct blob *row = rig_fetch(&rig, mvcc_result_missing(res, 0));
    row->data[row->size - 1] ^= 1;
    mvcc_result_provide(res, 0, row);
    assert_int_equal(res->missing, 0);
    mvcc_result_complete(rig.m, res);
    assert_int_equal(res->err, ERR_CORRUPT);
    mvcc_result_free(res);
    /* Not there at all, though nothing was compacted. */
    assert_int_equal(mvcc_range(rig.m, &r, &res), OK);
    mvcc_result_provide(res, 0, NULL);
    mvcc_result_complete(rig.m, res);
    assert_int_equal(res->err, ERR_CORRUPT);
    mvcc_result_free(res);
    struct revision revision = {2, 0};
    assert_int_equal(mvcc_provide(rig.m, revision, NULL), ERR_CORRUPT);
    assert_int_equal(mvcc_provide(rig.m, revision, row), ERR_CORRUPT);
    blob_unref(row);
    rig_release(&rig);
}

static void test_mvcc_keys_only_and_count_need_no_rows(void **state)
{
    (void) state;
    struct mvcc_rig rig;
    rig_init(&rig, 0);
    rig_put(&rig, "a", "1");
    rig_put(&rig, "b", "1");
    rig_put(&rig, "a", "2");
    rig_settle(&rig);
    uint64_t fetched = rig.fetched;
    struct range_request r = {.key = K("a"), .range_end = K("z"), .keys_only = true};
    struct mvcc_result *res = rig_range(&rig, &r);
    expect_text(res, "range count=2 more=0 [a= c=2 m=4 v=2 l=0] [b= c=3 m=3 v=1 l=0] rev=4\n");
    mvcc_result_free(res);
    r.count_only = true;
    res = rig_range(&rig, &r);
    expect_text(res, "range count=2 more=0 rev=4\n");
    mvcc_result_free(res);
    assert_int_equal(rig.fetched, fetched);
    /* Newest first, one of many: one row. */
    struct range_request newest = {.key = K("a"), .range_end = K("z"), .limit = 1};
    newest.sort_target = SORT_MOD;
    newest.sort_order = SORT_DESCEND;
    res = rig_range(&rig, &newest);
    expect_text(res, "range count=2 more=1 [a=2 c=2 m=4 v=2 l=0] rev=4\n");
    mvcc_result_free(res);
    assert_int_equal(rig.fetched, fetched + 1);
    rig_release(&rig);
}

static void test_mvcc_result_outlives_the_state_machine(void **state)
{
    (void) state;
    struct mvcc_rig rig;
    struct mvcc_result *res = NULL;
    rig_init(&rig, 0);
    rig_put(&rig, "a", "1");
    rig_settle(&rig);
    struct range_request r = {.key = K("a")};
    assert_int_equal(mvcc_range(rig.m, &r, &res), OK);
    rig_release(&rig);
    mvcc_result_free(res);
}

/* ---- flush and restore ---- */

static void test_mvcc_flush_carries_what_was_applied_before_it(void **state)
{
    (void) state;
    struct mvcc_rig rig;
    rig_init(&rig, 0);
    rig_put(&rig, "a", "1");
    size_t unwritten = mvcc_unwritten(rig.m);
    assert_true(unwritten > 0);
    assert_int_equal(mvcc_pending_operations(rig.m), 3); /* meta, record, session */
    assert_true(mvcc_pending_bytes(rig.m) >= unwritten);
    struct mvcc_flush *f = mvcc_flush_begin(rig.m);
    assert_int_equal(mvcc_flush_index(f), 1);
    assert_null(mvcc_flush_begin(rig.m));
    rig_put(&rig, "a", "2"); /* while it is being written */
    struct range_request r = {.key = K("a"), .revision = 2};
    struct mvcc_result *res = NULL;
    assert_int_equal(mvcc_range(rig.m, &r, &res), OK);
    assert_int_equal(res->missing, 0); /* still in memory: not durable */
    mvcc_result_free(res);
    rig_write(&rig, f);
    assert_int_equal(mvcc_durable(rig.m), 0);
    mvcc_flush_done(rig.m, f);
    assert_int_equal(mvcc_durable(rig.m), 1);
    assert_int_equal(mvcc_applied(rig.m), 2);
    struct mvcc *m = NULL;
    assert_int_equal(rig_restore(&rig, &m), OK);
    assert_int_equal(mvcc_applied(m), 1);
    assert_int_equal(mvcc_revision(m), 2);
    mvcc_free(m);
    rig_restart(&rig);
    expect_get(&rig, "a", 0, "range count=1 more=0 [a=2 c=2 m=3 v=2 l=0] rev=3\n");
    rig_release(&rig);
}

static void test_mvcc_entry_without_commands_is_durable_too(void **state)
{
    (void) state;
    struct mvcc_rig rig;
    rig_init(&rig, 0);
    mvcc_apply_done(rig.m, 1);
    assert_true(mvcc_pending_operations(rig.m) > 0);
    assert_true(rig_flush(&rig));
    assert_int_equal(mvcc_durable(rig.m), 1);
    assert_false(rig_flush(&rig));
    rig_release(&rig);
}

static void test_mvcc_hash_depends_on_every_change(void **state)
{
    (void) state;
    static const char *const changes[][3] = {
        {"a", "1", "a"}, {"a", "2", "a"}, {"b", "1", "b"}, {"a", "1", "b"}, {"a", "", "a"}};
    uint64_t hashes[ARRAY_SIZE(changes) + 1];
    for (size_t i = 0; i <= ARRAY_SIZE(changes); i++) {
        struct mvcc_rig rig;
        rig_init(&rig, 0);
        rig_put(&rig, "b", "0");
        rig_put(&rig, "a", "0");
        if (i < ARRAY_SIZE(changes)) {
            rig_put(&rig, changes[i][0], changes[i][1]);
            rig_delete(&rig, changes[i][2], "");
        } else {
            assert_int_equal(rig_compact(&rig, 2), OK);
        }
        hashes[i] = mvcc_hash(rig.m);
        for (size_t j = 0; j < i; j++) {
            assert_true(hashes[i] != hashes[j]);
        }
        rig_release(&rig);
    }
}

/* A disk with a little of everything. */
static void fill_disk(struct mvcc_rig *rig)
{
    rig_init(rig, 0);
    rig_put(rig, "z", "alone: no other row tells of this one");
    rig_put(rig, "a", "1");
    rig_put(rig, "b", "1");
    rig_put(rig, "a", "2");
    rig_delete(rig, "a", "c");
    rig_put(rig, "b", "2");
    rig_put(rig, "b", "3");
    assert_int_equal(rig_compact(rig, 4), OK);
    struct put_request r = {.key = K("c"), .value = K("client")};
    struct rig_entry e = rig_put_entry(rig, &r);
    e.session = CLIENT;
    e.sequence = 1;
    rig_apply_quiet(rig, &e);
    rig_settle(rig);
}

/* D5: damage to any row, anywhere, is found at the start. */
static void test_mvcc_restore_finds_any_flipped_bit(void **state)
{
    (void) state;
    struct mvcc_rig rig;
    struct mvcc *m = NULL;
    fill_disk(&rig);
    for (uint32_t i = 0; i < rig.rows_count; i++) {
        uint8_t *value = (uint8_t *) (uintptr_t) rig.rows[i].value.data;
        uint8_t *key = (uint8_t *) (uintptr_t) rig.rows[i].key.data;
        for (size_t bit = 0; bit < rig.rows[i].value.size * 8; bit++) {
            value[bit / 8] ^= (uint8_t) (1 << bit % 8);
            assert_int_equal(rig_restore(&rig, &m), ERR_CORRUPT);
            value[bit / 8] ^= (uint8_t) (1 << bit % 8);
        }
        for (size_t bit = 0; bit < rig.rows[i].key.size * 8; bit++) {
            key[bit / 8] ^= (uint8_t) (1 << bit % 8);
            assert_int_equal(rig_restore(&rig, &m), ERR_CORRUPT);
            key[bit / 8] ^= (uint8_t) (1 << bit % 8);
        }
    }
    assert_int_equal(rig_restore(&rig, &m), OK);
    mvcc_free(m);
    rig_release(&rig);
}

/* D5: so is any row that lacks. */
static void test_mvcc_restore_finds_a_missing_row(void **state)
{
    (void) state;
    struct mvcc_rig rig;
    fill_disk(&rig);
    assert_true(rig.rows_count > 8);
    for (uint32_t i = 0; i < rig.rows_count; i++) {
        struct rig_row row = rig.rows[i];
        struct mvcc *m = NULL;
        uint32_t behind = rig.rows_count - i - 1;
        memmove(rig.rows + i, rig.rows + i + 1, behind * sizeof rig.rows[0]);
        rig.rows_count--;
        assert_int_equal(rig_restore(&rig, &m), ERR_CORRUPT);
        memmove(rig.rows + i + 1, rig.rows + i, behind * sizeof rig.rows[0]);
        rig.rows_count++;
        rig.rows[i] = row;
    }
    rig_release(&rig);
}

static void test_mvcc_restore_refuses_foreign_and_unordered_rows(void **state)
{
    (void) state;
    struct mvcc_rig rig;
    fill_disk(&rig);
    struct mvcc *m = NULL;
    rig_row_set(&rig, K("x"), K("?"));
    assert_int_equal(rig_restore(&rig, &m), ERR_CORRUPT);
    rig_row_remove(&rig, K("x"));
    m = mvcc_new(&rig.options);
    assert_int_equal(mvcc_restore_row(m, rig.rows[1].key, rig.rows[1].value), ERR_CORRUPT);
    mvcc_free(m);
    m = mvcc_new(&rig.options);
    assert_int_equal(mvcc_restore_row(m, rig.rows[0].key, rig.rows[0].value), OK);
    assert_int_equal(mvcc_restore_row(m, rig.rows[0].key, rig.rows[0].value), ERR_CORRUPT);
    mvcc_free(m);
    m = mvcc_new(&rig.options);
    assert_int_equal(mvcc_restore_row(m, rig.rows[0].key, rig.rows[0].value), OK);
    assert_int_equal(mvcc_restore_row(m, rig.rows[1].key, rig.rows[1].value), OK);
    assert_int_equal(mvcc_restore_row(m, rig.rows[1].key, rig.rows[1].value), ERR_CORRUPT);
    mvcc_free(m);
    rig_release(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mvcc_new_store_is_at_revision_one),
        cmocka_unit_test(test_mvcc_create_version_and_revision_follow_etcd),
        cmocka_unit_test(test_mvcc_put_flags),
        cmocka_unit_test(test_mvcc_delete_range_answers_in_key_order),
        cmocka_unit_test(test_mvcc_node_command_is_applied_once),
        cmocka_unit_test(test_mvcc_client_retry_gets_the_same_bytes),
        cmocka_unit_test(test_mvcc_client_errors_are_kept_too),
        cmocka_unit_test(test_mvcc_client_retry_keeps_the_session),
        cmocka_unit_test(test_mvcc_client_large_answer_is_expired),
        cmocka_unit_test(test_mvcc_foreign_command_is_corrupt),
        cmocka_unit_test(test_mvcc_missing_rows_are_asked_for_and_checked),
        cmocka_unit_test(test_mvcc_keys_only_and_count_need_no_rows),
        cmocka_unit_test(test_mvcc_result_outlives_the_state_machine),
        cmocka_unit_test(test_mvcc_flush_carries_what_was_applied_before_it),
        cmocka_unit_test(test_mvcc_entry_without_commands_is_durable_too),
        cmocka_unit_test(test_mvcc_hash_depends_on_every_change),
        cmocka_unit_test(test_mvcc_restore_finds_any_flipped_bit),
        cmocka_unit_test(test_mvcc_restore_finds_a_missing_row),
        cmocka_unit_test(test_mvcc_restore_refuses_foreign_and_unordered_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
