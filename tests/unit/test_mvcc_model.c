/*
 * test_mvcc_model.c - random requests against a naive model that keeps every change for ever; with
 * flushes, crashes and compactions in between, and a cache so small that rows must be brought. K2,
 * K4.
 */

#include "kv/mvcc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/rng.h"
#include "kv/api_check.h"
#include "tests/support/mvcc_model.h"
#include "tests/support/mvcc_rig.h"

enum { LATE_MAX = 4, CLIENTS = 3 };

struct late { /* a result whose rows are brought later */
    struct mvcc_result *res;
    struct buf text;
};

struct client {
    uint64_t id;
    uint64_t sequence;
    struct rig_entry last; /* payload malloc'ed; empty: none */
    struct buf text;
    int64_t compact; /* of the model when it was answered */
};

struct model {
    struct kv_model k;
    struct rng rng;
    struct mvcc_rig rig;
    struct mvcc *twin;        /* everything in memory, no answers, never restarted */
    struct mvcc_flush *flush; /* out */
    struct late late[LATE_MAX];
    struct client clients[CLIENTS];
    uint32_t commands;
    uint32_t refused;
    uint32_t failed;
    uint32_t retries;
};

static uint32_t pick(struct model *m, uint32_t bound)
{
    return (uint32_t) rng_below(&m->rng, bound);
}

static bool chance(struct model *m, uint32_t percent)
{
    return rng_chance(&m->rng, percent, 100);
}

/* ---- random requests ---- */

static struct bytes random_key(struct model *m)
{
    return bytes_str(kv_model_keys[pick(m, KV_MODEL_KEYS)]);
}

static struct bytes random_end(struct model *m)
{
    switch (pick(m, 4)) {
    case 0:
        return bytes_of("", 1);
    case 1:
        return bytes_of(NULL, 0);
    default:
        return random_key(m);
    }
}

static int64_t random_revision(struct model *m)
{
    if (chance(m, 50)) {
        return 0;
    }
    if (chance(m, 15)) {
        return m->k.revision + (int64_t) pick(m, 2);
    }
    int64_t low = m->k.compact < 1 ? -1 : m->k.compact - (int64_t) pick(m, 2);
    return low + (int64_t) rng_below(&m->rng, (uint64_t) (m->k.revision - low + 1));
}

static struct range_request random_range(struct model *m)
{
    struct range_request r = {.key = random_key(m), .range_end = random_end(m)};
    r.revision = random_revision(m);
    r.limit = chance(m, 40) ? (int64_t) pick(m, 6) - 1 : 0;
    r.keys_only = chance(m, 20);
    r.count_only = chance(m, 10);
    if (chance(m, 40)) {
        r.sort_order = (int32_t) pick(m, 3);
        r.sort_target = (int32_t) pick(m, 5);
    }
    int64_t *filters[] = {&r.min_mod_revision, &r.max_mod_revision, &r.min_create_revision,
                          &r.max_create_revision};
    for (uint32_t i = 0; i < 4; i++) {
        if (chance(m, 7)) {
            *filters[i] = 1 + (int64_t) rng_below(&m->rng, (uint64_t) m->k.revision);
        }
    }
    return r;
}

static struct put_request random_put(struct model *m)
{
    struct put_request r = {.key = random_key(m), .prev_kv = chance(m, 30)};
    r.ignore_value = chance(m, 10);
    r.ignore_lease = chance(m, 10);
    r.lease = !r.ignore_lease && chance(m, 4) ? 99 : 0;
    if (!r.ignore_value) {
        uint8_t *p = arena_alloc(&m->rig.arena, 400);
        size_t size = chance(m, 10) ? pick(m, 400) : pick(m, 6);
        for (size_t i = 0; i < size; i++) {
            p[i] = (uint8_t) ('0' + pick(m, 3));
        }
        r.value = bytes_of(p, size);
    }
    return r;
}

static struct delete_request random_delete(struct model *m)
{
    struct delete_request r = {.key = random_key(m), .prev_kv = chance(m, 30)};
    if (chance(m, 30)) {
        r.range_end = random_key(m);
    } else if (chance(m, 4)) {
        r.range_end = bytes_of("", 1);
    }
    return r;
}

static struct txn_request *random_txn(struct model *m, uint32_t depth, bool read);

static struct txn_op *random_ops(struct model *m, uint32_t count, uint32_t depth, bool read)
{
    struct txn_op *ops = arena_alloc(&m->rig.arena, count * sizeof ops[0]);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t what = pick(m, 100);
        memset(&ops[i], 0, sizeof ops[i]);
        if (what < 20 && depth < 4) {
            ops[i].kind = OP_TXN;
            ops[i].txn = random_txn(m, depth + 1, read);
        } else if (what < 50 || read) {
            ops[i].kind = OP_RANGE;
            ops[i].range = random_range(m);
            if (chance(m, 70)) {
                ops[i].range.revision = 0;
            }
        } else if (what < 85) {
            ops[i].kind = OP_PUT;
            ops[i].put = random_put(m);
        } else {
            ops[i].kind = OP_DELETE;
            ops[i].del = random_delete(m);
        }
    }
    return ops;
}

static struct compare random_compare(struct model *m)
{
    struct compare c = {.key = random_key(m)};
    c.result = (int32_t) pick(m, 4);
    c.target = (int32_t) pick(m, 5);
    if (chance(m, 20)) {
        c.range_end = random_end(m);
    }
    if (c.target == COMPARE_VALUE) {
        const struct kv_change *k = kv_model_at(&m->k, kv_model_key(c.key), INT64_MAX, m->k.count);
        c.value = k != NULL && chance(m, 70) ? k->value : bytes_str("1");
    } else if (c.target == COMPARE_VERSION) {
        c.number = (int64_t) pick(m, 3);
    } else if (c.target != COMPARE_LEASE) {
        c.number = (int64_t) rng_below(&m->rng, (uint64_t) m->k.revision + 1);
    }
    return c;
}

static struct txn_request *random_txn(struct model *m, uint32_t depth, bool read)
{
    struct txn_request *t = arena_alloc(&m->rig.arena, sizeof *t);
    struct compare *compares = arena_alloc(&m->rig.arena, 3 * sizeof compares[0]);
    t->compares_count = pick(m, 4);
    for (uint32_t i = 0; i < t->compares_count; i++) {
        compares[i] = random_compare(m);
    }
    t->compares = compares;
    t->success_count = pick(m, 4);
    t->failure_count = pick(m, 4);
    t->success = random_ops(m, t->success_count, depth, read);
    t->failure = random_ops(m, t->failure_count, depth, read);
    return t;
}

/* ---- steps ---- */

static void print_result(int err, const struct api_response *response, struct buf *out)
{
    if (err != OK) {
        int e = buf_printf(out, "%s\n", err_name(err));
        ASSERT(e == OK);
        return;
    }
    rig_print(response, out);
}

static void expect_same(const struct buf *want, const struct buf *got)
{
    if (!bytes_equal(buf_bytes(want), buf_bytes(got))) {
        print_error("want: %.*s\ngot:  %.*s\n", (int) want->size, (const char *) want->data,
                    (int) got->size, (const char *) got->data);
        fail();
    }
}

static void text_init(struct buf *b)
{
    buf_init(b, 1 << 24);
}

/* The result is what the model says. Takes it. */
static void expect_result(struct model *m, struct mvcc_result *res, int err,
                          const struct api_response *want)
{
    struct buf a;
    struct buf b;
    text_init(&a);
    text_init(&b);
    print_result(err, want, &a);
    print_result(res->err, &res->response, &b);
    expect_same(&a, &b);
    assert_int_equal(res->revision, m->k.revision);
    mvcc_result_free(res);
    buf_release(&a);
    buf_release(&b);
}

/* The other state machine applies it, too, without an answer, and comes to the same. */
static void twin_apply(struct model *m, const struct rig_entry *e)
{
    struct command c = {e->tag, e->session, e->sequence, e->payload};
    struct mvcc_result *res = NULL;
    uint64_t index = mvcc_applied(m->twin) + 1;
    assert_int_equal(mvcc_apply(m->twin, index, &c, false, &res), OK);
    assert_null(res);
    mvcc_apply_done(m->twin, index);
    assert_true(mvcc_hash(m->twin) == mvcc_hash(m->rig.m));
}

/* Makes the command a client's, sometimes. */
static struct client *maybe_client(struct model *m, struct rig_entry *e)
{
    if (!chance(m, 30)) {
        return NULL;
    }
    struct client *c = &m->clients[pick(m, CLIENTS)];
    m->rig.sequence--;
    e->session = c->id;
    e->sequence = ++c->sequence;
    return c;
}

static void client_remember(struct model *m, struct client *c, const struct rig_entry *e, int err,
                            const struct api_response *want)
{
    free((void *) (uintptr_t) c->last.payload.data);
    c->last = *e;
    c->last.payload = bytes_of(xmemdup(e->payload.data, e->payload.size), e->payload.size);
    c->compact = m->k.compact;
    buf_clear(&c->text);
    print_result(err, want, &c->text);
}

/* K2: the same command again, answered the same, nothing changed. */
static void step_retry(struct model *m)
{
    struct client *c = &m->clients[pick(m, CLIENTS)];
    struct buf got;
    if (c->last.payload.data == NULL) {
        return;
    }
    uint64_t hash = mvcc_hash(m->rig.m);
    struct mvcc_result *res = rig_apply(&m->rig, &c->last);
    twin_apply(m, &c->last);
    assert_true(mvcc_hash(m->rig.m) == hash);
    text_init(&got);
    print_result(res->err, &res->response, &got);
    if (res->err != ERR_SESSION_EXPIRED || m->k.compact == c->compact) {
        expect_same(&c->text, &got);
    }
    m->retries++;
    mvcc_result_free(res);
    buf_release(&got);
}

static void run_command(struct model *m, struct rig_entry *e, int err, uint32_t before,
                        struct api_response *want)
{
    struct client *client = maybe_client(m, e);
    if (m->k.count > before) {
        m->k.revision++;
    }
    m->commands++;
    m->failed += err != OK;
    want->revision = want->kind == OP_TXN || want->kind == OP_NONE ? m->k.revision : want->revision;
    if (client == NULL && chance(m, 20)) {
        rig_apply_quiet(&m->rig, e);
    } else {
        expect_result(m, rig_apply(&m->rig, e), err, want);
    }
    twin_apply(m, e);
    if (client != NULL) {
        client_remember(m, client, e, err, want);
    }
}

static void step_write(struct model *m)
{
    struct api_response want = {.kind = OP_NONE};
    struct rig_entry e;
    uint32_t before = m->k.count;
    uint32_t what = pick(m, 100);
    int err = OK;
    if (what < 40) {
        struct put_request r = random_put(m);
        err = kv_model_check_put(&m->k, &r, true);
        e = rig_put_entry(&m->rig, &r);
        if (err == OK) {
            kv_model_put(&m->k, &r, &want);
        }
    } else if (what < 50) {
        struct delete_request r = random_delete(m);
        e = rig_delete_entry(&m->rig, &r);
        kv_model_delete(&m->k, &r, &want);
    } else if (what < 97) {
        struct txn_request *t = random_txn(m, 1, false);
        if (api_check_txn(t, m->rig.options.txn_ops_max) != OK) {
            m->refused++;
            return;
        }
        err = kv_model_check_txn(&m->k, t, OP_PUT);
        err = err == OK ? kv_model_check_txn(&m->k, t, OP_RANGE) : err;
        e = rig_txn_entry(&m->rig, t);
        if (err == OK) {
            kv_model_txn(&m->k, t, m->k.count, &want);
        }
    } else {
        int64_t r = m->k.compact +
                    (int64_t) rng_below(&m->rng, (uint64_t) (m->k.revision - m->k.compact + 2));
        err = r <= m->k.compact ? ERR_COMPACTED : r > m->k.revision ? ERR_FUTURE_REVISION : OK;
        e = rig_compact_entry(&m->rig, r);
        m->k.compact = err == OK ? r : m->k.compact;
    }
    run_command(m, &e, err, before, &want);
}

static void step_read(struct model *m)
{
    struct api_response want = {.kind = OP_NONE};
    struct mvcc_result *res = NULL;
    int err = OK;
    if (chance(m, 30)) {
        struct txn_request *t = random_txn(m, 1, true);
        if (api_check_txn(t, m->rig.options.txn_ops_max) != OK) {
            return;
        }
        assert_true(mvcc_txn_is_read(t));
        err = kv_model_check_txn(&m->k, t, OP_RANGE);
        if (err == OK) {
            kv_model_txn(&m->k, t, m->k.count, &want);
            want.revision = m->k.revision;
        }
        expect_result(m, rig_txn_read(&m->rig, t), err, &want);
        return;
    }
    struct range_request r = random_range(m);
    err = kv_model_check_range(&m->k, &r, false);
    if (err == OK) {
        kv_model_range(&m->k, &r, m->k.revision, &want);
    }
    assert_int_equal(mvcc_range(m->rig.m, &r, &res), OK);
    struct late *late = &m->late[pick(m, LATE_MAX)];
    if (res->missing > 0 && late->res == NULL && chance(m, 50)) {
        late->res = res;
        buf_clear(&late->text);
        print_result(err, &want, &late->text);
        return;
    }
    rig_complete(&m->rig, res);
    expect_result(m, res, err, &want);
}

/* Rows that a result waits for are still there, whatever was compacted in between. */
static void step_late(struct model *m)
{
    struct late *late = &m->late[pick(m, LATE_MAX)];
    struct buf got;
    if (late->res == NULL) {
        return;
    }
    if (chance(m, 90)) {
        text_init(&got);
        rig_complete(&m->rig, late->res);
        print_result(late->res->err, &late->res->response, &got);
        expect_same(&late->text, &got);
        buf_release(&got);
    }
    mvcc_result_free(late->res);
    late->res = NULL;
}

static void step_flush(struct model *m)
{
    if (m->flush == NULL) {
        m->flush = mvcc_flush_begin(m->rig.m);
        return;
    }
    assert_null(mvcc_flush_begin(m->rig.m));
    rig_write(&m->rig, m->flush);
    mvcc_flush_done(m->rig.m, m->flush);
    m->flush = NULL;
}

static void step_crash(struct model *m)
{
    uint64_t hash = mvcc_hash(m->rig.m);
    for (uint32_t i = 0; i < LATE_MAX; i++) {
        mvcc_result_free(m->late[i].res);
        m->late[i].res = NULL;
    }
    if (m->flush != NULL && chance(m, 50)) {
        rig_write(&m->rig, m->flush); /* durable, but nobody was told */
    }
    m->flush = NULL;
    rig_restart(&m->rig);
    assert_true(mvcc_hash(m->rig.m) == hash);
    assert_int_equal(mvcc_revision(m->rig.m), m->k.revision);
    assert_int_equal(mvcc_compact_revision(m->rig.m), m->k.compact);
    assert_int_equal(mvcc_keys(m->rig.m), mvcc_keys(m->twin));
}

static void model_init(struct model *m, uint64_t seed, size_t cache)
{
    memset(m, 0, sizeof *m);
    rng_init(&m->rng, seed);
    rig_init(&m->rig, cache);
    struct mvcc_options o = m->rig.options;
    o.cache_bytes_max = 1 << 30;
    m->twin = mvcc_new(&o);
    kv_model_init(&m->k, &m->rig.arena);
    for (uint32_t i = 0; i < LATE_MAX; i++) {
        text_init(&m->late[i].text);
    }
    for (uint32_t i = 0; i < CLIENTS; i++) {
        m->clients[i].id = (UINT64_C(1) << 63) + 1000 * i;
        text_init(&m->clients[i].text);
    }
}

static void model_release(struct model *m)
{
    for (uint32_t i = 0; i < LATE_MAX; i++) {
        mvcc_result_free(m->late[i].res);
        buf_release(&m->late[i].text);
    }
    for (uint32_t i = 0; i < CLIENTS; i++) {
        free((void *) (uintptr_t) m->clients[i].last.payload.data);
        buf_release(&m->clients[i].text);
    }
    kv_model_release(&m->k);
    mvcc_free(m->twin);
    rig_release(&m->rig);
}

/* All garbage goes, and no more: as many rows remain as the model says can be seen. */
static void check_rows(struct model *m)
{
    if (m->flush != NULL) {
        step_flush(m);
    }
    for (uint32_t i = 0; i < LATE_MAX; i++) {
        mvcc_result_free(m->late[i].res);
        m->late[i].res = NULL;
    }
    rig_settle(&m->rig);
    uint32_t visible = 0;
    for (uint32_t i = 0; i < m->k.count; i++) {
        const struct kv_change *c = &m->k.changes[i];
        visible +=
            c->main > m->k.compact || kv_model_at(&m->k, c->key, m->k.compact, m->k.count) == c;
    }
    uint32_t records = 0;
    for (uint32_t i = 0; i < m->rig.rows_count; i++) {
        records += m->rig.rows[i].key.data[0] == 'r';
    }
    assert_int_equal(records, visible);
    assert_true(m->k.compact < 0 || mvcc_compact_finished(m->rig.m, m->k.compact));
    assert_int_equal(mvcc_durable(m->rig.m), mvcc_applied(m->rig.m));
}

static void run(uint64_t seed, size_t cache, uint32_t steps)
{
    struct model m;
    model_init(&m, seed, cache);
    for (uint32_t i = 0; i < steps; i++) {
        uint32_t what = pick(&m, 1000);
        if (what < 500) {
            step_write(&m);
        } else if (what < 800) {
            step_read(&m);
        } else if (what < 850) {
            step_late(&m);
        } else if (what < 900) {
            step_flush(&m);
        } else if (what < 950) {
            ERR_IGNORE(mvcc_work(m.rig.m, 1 + pick(&m, 5)) ? OK : ERR_AGAIN);
        } else if (what < 985) {
            step_retry(&m);
        } else if (what < 995) {
            step_crash(&m);
        } else {
            check_rows(&m);
        }
        arena_reset(&m.rig.arena);
    }
    check_rows(&m);
    step_crash(&m);
    /* The run went through what it is for. */
    assert_true(m.commands > steps / 5);
    assert_true(m.failed > 0);
    assert_true(m.refused > 0);
    assert_true(m.retries > 0);
    if (cache < 1000) {
        assert_true(m.rig.fetched > 10);
        assert_true(m.rig.again > 0);
    }
    model_release(&m);
}

static void test_mvcc_model_with_no_cache(void **state)
{
    (void) state;
    for (uint64_t seed = 0; seed < 25; seed++) {
        run(seed, 0, 1500);
    }
}

static void test_mvcc_model_with_small_cache(void **state)
{
    (void) state;
    for (uint64_t seed = 100; seed < 125; seed++) {
        run(seed, 700, 1500);
    }
}

static void test_mvcc_model_with_large_cache(void **state)
{
    (void) state;
    for (uint64_t seed = 200; seed < 210; seed++) {
        run(seed, 1 << 20, 1500);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mvcc_model_with_no_cache),
        cmocka_unit_test(test_mvcc_model_with_small_cache),
        cmocka_unit_test(test_mvcc_model_with_large_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
