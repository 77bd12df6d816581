/*
 * test_index.c - the key index, against a naive model under random operations. K4.
 */

#include "kv/index.h"

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
#include "kv/index_slab.h"

/* The model: every key that may ever occur, in order, with all its revisions. */
struct model_rev {
    struct revision mod;
    int64_t create;
    int64_t version; /* 0: tombstone */
    int64_t lease;
    bool swept;
};

struct model_key {
    struct bytes key;
    struct model_rev *revs;
    uint32_t count;
};

struct model {
    struct model_key *keys;
    uint32_t count;
    int64_t main;
    int64_t compacted;
    struct index *x;
    struct buf cursor;
    struct rng rng;
};

static int compare_keys(const void *a, const void *b)
{
    return bytes_compare(((const struct model_key *) a)->key, ((const struct model_key *) b)->key);
}

static size_t make_key(struct rng *r, uint8_t *out)
{
    switch (rng_below(r, 5)) {
    case 0:
        return (size_t) snprintf((char *) out, 64, "/registry/pods/ns%d/%d", (int) rng_below(r, 3),
                                 (int) rng_below(r, 1000));
    case 1:
        return (size_t) snprintf((char *) out, 64, "k%08d", (int) rng_below(r, 1000));
    case 2: { /* short keys of few letters, zero bytes and 0xff among them */
        size_t size = 1 + (size_t) rng_below(r, 8);
        for (size_t i = 0; i < size; i++) {
            out[i] = (uint8_t) (rng_below(r, 3) == 0 ? 0xff : rng_below(r, 2));
        }
        return size;
    }
    case 3: /* the same long beginning, keys that are prefixes of others */
        memset(out, 'z', 300);
        return 1 + (size_t) rng_below(r, 300);
    default:
        memset(out, 'p', 20);
        out[20] = (uint8_t) rng_below(r, 256);
        out[21] = (uint8_t) rng_below(r, 256);
        return 22;
    }
}

static void model_init(struct model *m, uint64_t seed, uint32_t keys)
{
    memset(m, 0, sizeof *m);
    rng_init(&m->rng, seed);
    m->keys = xcalloc(keys, sizeof m->keys[0]);
    for (uint32_t i = 0; i < keys; i++) {
        uint8_t key[400];
        size_t size = make_key(&m->rng, key);
        m->keys[i].key = bytes_of(xmemdup(key, size), size);
    }
    qsort(m->keys, keys, sizeof m->keys[0], compare_keys);
    for (uint32_t i = 0; i < keys; i++) {
        if (m->count > 0 && bytes_equal(m->keys[m->count - 1].key, m->keys[i].key)) {
            free((void *) (uintptr_t) m->keys[i].key.data);
            continue;
        }
        m->keys[m->count++] = m->keys[i];
    }
    m->main = 1;
    m->x = index_new();
    buf_init(&m->cursor, 1 << 20);
}

static void model_release(struct model *m)
{
    for (uint32_t i = 0; i < m->count; i++) {
        free((void *) (uintptr_t) m->keys[i].key.data);
        free(m->keys[i].revs);
    }
    free(m->keys);
    index_free(m->x);
    buf_release(&m->cursor);
}

static struct model_rev *model_last(struct model_key *k)
{
    return k->count == 0 ? NULL : &k->revs[k->count - 1];
}

static const struct model_rev *model_at(const struct model_key *k, int64_t at)
{
    const struct model_rev *r = NULL;
    for (uint32_t i = 0; i < k->count && k->revs[i].mod.main <= at; i++) {
        r = &k->revs[i];
    }
    return r == NULL || r->version == 0 ? NULL : r;
}

static struct model_rev *model_push(struct model_key *k)
{
    k->revs = xrealloc(k->revs, (k->count + 1) * sizeof k->revs[0]);
    memset(&k->revs[k->count], 0, sizeof k->revs[0]);
    return &k->revs[k->count++];
}

static void check_item(const struct model_key *k, const struct model_rev *r,
                       const struct index_item *item)
{
    assert_true(bytes_equal(k->key, item->key));
    assert_int_equal(revision_compare(r->mod, item->mod), 0);
    assert_int_equal(item->latest, r == &k->revs[k->count - 1]);
    assert_int_equal(item->create, item->latest ? r->create : 0);
    assert_int_equal(item->version, item->latest ? r->version : 0);
    assert_int_equal(item->lease, item->latest ? r->lease : 0);
}

static void check_old(const struct model_rev *r, const struct index_old *old)
{
    assert_int_equal(old->live, r != NULL && r->version > 0);
    if (r != NULL && !r->swept) {
        assert_int_equal(revision_compare(r->mod, old->mod), 0);
        assert_int_equal(old->create, r->create);
        assert_int_equal(old->version, r->version);
        assert_int_equal(old->lease, r->lease);
    } else {
        assert_int_equal(old->mod.main, 0);
    }
}

static void step_put(struct model *m, int64_t sub)
{
    struct model_key *k = &m->keys[rng_below(&m->rng, m->count)];
    struct model_rev *last = model_last(k);
    struct revision mod = {m->main, sub};
    int64_t lease = rng_chance(&m->rng, 1, 10) ? 77 : 0;
    struct index_old old;
    struct index_item item;
    index_put(m->x, k->key, mod, lease, &old, &item);
    check_old(last, &old);
    bool live = last != NULL && last->version > 0;
    struct model_rev r = {.mod = mod, .lease = lease, .create = mod.main, .version = 1};
    if (live) {
        r.create = last->create;
        r.version = last->version + 1;
    }
    *model_push(k) = r;
    check_item(k, model_last(k), &item);
}

static void step_delete(struct model *m, int64_t sub)
{
    struct model_key *k = &m->keys[rng_below(&m->rng, m->count)];
    struct model_rev *last = model_last(k);
    struct revision mod = {m->main, sub};
    struct index_old old;
    bool live = last != NULL && last->version > 0;
    assert_int_equal(index_delete(m->x, k->key, mod, &old), live);
    if (live) {
        check_old(last, &old);
        model_push(k)->mod = mod;
    }
}

static int64_t random_at(struct model *m)
{
    if (rng_chance(&m->rng, 1, 3)) {
        return INDEX_LATEST;
    }
    int64_t low = m->compacted < 0 ? 0 : m->compacted;
    return low + (int64_t) rng_below(&m->rng, (uint64_t) (m->main - low + 2));
}

static struct index_range random_range(struct model *m)
{
    struct index_range r = {m->keys[rng_below(&m->rng, m->count)].key, {NULL, 0}};
    switch (rng_below(&m->rng, 4)) {
    case 0:
        break;
    case 1:
        r.end = bytes_of("", 1);
        break;
    default:
        r.end = m->keys[rng_below(&m->rng, m->count)].key;
        break;
    }
    return r;
}

static bool in_range(const struct index_range *r, struct bytes key)
{
    if (r->end.size == 0) {
        return bytes_equal(r->key, key);
    }
    return bytes_compare(r->key, key) <= 0 &&
           ((r->end.size == 1 && r->end.data[0] == 0) || bytes_compare(key, r->end) < 0);
}

static void step_range(struct model *m)
{
    struct index_range range = random_range(m);
    int64_t at = random_at(m);
    struct index_cursor c;
    struct index_item item;
    uint64_t skip = at == INDEX_LATEST ? rng_below(&m->rng, 20) : 0;
    uint64_t count = 0;
    if (skip > 0) {
        index_seek_skip(m->x, &range, skip, &c);
    } else {
        index_seek(m->x, &range, at, &c);
    }
    for (uint32_t i = 0; i < m->count; i++) {
        const struct model_rev *r = model_at(&m->keys[i], at);
        if (r == NULL || !in_range(&range, m->keys[i].key)) {
            continue;
        }
        count++;
        if (count > skip) {
            assert_true(index_next(&c, &item));
            check_item(&m->keys[i], r, &item);
        }
    }
    assert_false(index_next(&c, &item));
    assert_int_equal(index_count(m->x, &range, at), count);
}

static void step_get(struct model *m)
{
    const struct model_key *k = &m->keys[rng_below(&m->rng, m->count)];
    int64_t at = random_at(m);
    struct index_item item;
    const struct model_rev *r = model_at(k, at);
    assert_int_equal(index_get(m->x, k->key, at, &item), r != NULL);
    if (r != NULL) {
        check_item(k, r, &item);
    }
}

/* Marks a swept revision in the model: it must exist, be named once, and be the oldest of its
 * key. */
static void on_swept(void *ctx, struct revision revision)
{
    struct model *m = ctx;
    for (uint32_t i = 0; i < m->count; i++) {
        bool older = false;
        for (uint32_t j = 0; j < m->keys[i].count; j++) {
            struct model_rev *r = &m->keys[i].revs[j];
            if (revision_compare(r->mod, revision) == 0) {
                assert_false(r->swept);
                assert_false(older);
                r->swept = true;
                return;
            }
            older = older || !r->swept;
        }
    }
    fail_msg("a revision that never was: %lld", (long long) revision.main);
}

/* After a whole sweep exactly the invisible revisions are gone. */
static void check_swept(struct model *m, int64_t at)
{
    for (uint32_t i = 0; i < m->count; i++) {
        struct model_key *k = &m->keys[i];
        const struct model_rev *seen = model_at(k, at);
        for (uint32_t j = 0; j < k->count; j++) {
            bool want = k->revs[j].mod.main <= at && &k->revs[j] != seen;
            assert_int_equal(k->revs[j].swept, want);
        }
    }
}

static void model_run(struct model *m, uint32_t steps)
{
    int64_t sweeping = 0;
    for (uint32_t step = 0; step < steps; step++) {
        uint32_t what = (uint32_t) rng_below(&m->rng, 100);
        if (what < 45) {
            m->main++;
            int64_t subs = 1 + (int64_t) rng_below(&m->rng, 3);
            for (int64_t sub = 0; sub < subs; sub++) {
                if (rng_chance(&m->rng, 1, 3)) {
                    step_delete(m, sub);
                } else {
                    step_put(m, sub);
                }
            }
        } else if (what < 70) {
            step_get(m);
        } else if (what < 90) {
            step_range(m);
        } else if (sweeping == 0 && rng_chance(&m->rng, 1, 20)) {
            sweeping = m->compacted +
                       (int64_t) rng_below(&m->rng, (uint64_t) (m->main + 1 - m->compacted));
            m->compacted = sweeping;
            buf_clear(&m->cursor);
        } else if (sweeping > 0) {
            uint32_t keys = 1 + (uint32_t) rng_below(&m->rng, 200);
            if (!index_sweep(m->x, &m->cursor, sweeping, keys, on_swept, m)) {
                buf_clear(&m->cursor); /* a second, quiet pass finds what was added behind */
                while (index_sweep(m->x, &m->cursor, sweeping, 7, on_swept, m)) {
                }
                check_swept(m, sweeping);
                sweeping = 0;
            }
            index_verify(m->x);
        }
    }
    index_verify(m->x);
}

static void test_index_random_operations_match_model(void **state)
{
    (void) state;
    static const uint32_t sizes[] = {5, 70, 400, 3000};
    for (uint64_t seed = 0; seed < 24; seed++) {
        struct model m;
        model_init(&m, seed, sizes[seed % ARRAY_SIZE(sizes)]);
        model_run(&m, 3000);
        model_release(&m);
    }
}

static void ignore_swept(void *ctx, struct revision revision)
{
    (void) ctx;
    (void) revision;
}

/* Everything is deleted and swept away: the tree shrinks to nothing, and grows again. */
static void test_index_sweep_of_all_keys_empties_tree(void **state)
{
    (void) state;
    struct model m;
    model_init(&m, 99, 6000);
    size_t empty = index_memory(m.x);
    for (int round = 0; round < 3; round++) {
        struct index_old old;
        struct index_item item;
        for (uint32_t i = 0; i < m.count; i++) {
            struct revision mod = {++m.main, 0};
            index_put(m.x, m.keys[(uint64_t) i * 7919 % m.count].key, mod, 0, &old, &item);
        }
        index_verify(m.x);
        for (uint32_t i = 0; i < m.count; i++) {
            struct revision mod = {m.main + 1, i};
            assert_true(index_delete(m.x, m.keys[i].key, mod, &old));
        }
        m.main++;
        assert_int_equal(index_live(m.x), 0);
        index_verify(m.x);
        buf_clear(&m.cursor);
        for (uint32_t i = 0; i < m.count; i++) {
            m.keys[i].count = 0;
        }
        bool more = true;
        uint64_t size = index_size(m.x);
        while (more) {
            uint64_t before = index_size(m.x);
            more = index_sweep(m.x, &m.cursor, m.main, 100, ignore_swept, NULL);
            assert_true(before - index_size(m.x) <= 100);
            index_verify(m.x);
        }
        assert_true(size > 0);
        assert_int_equal(index_size(m.x), 0);
    }
    assert_true(index_memory(m.x) - empty < 2u << 20);
    model_release(&m);
}

/* Most keys go: nodes are merged around those that stay, and counts stay right. */
static void test_index_sweep_of_most_keys_merges_nodes(void **state)
{
    (void) state;
    struct model m;
    struct index_old old;
    struct index_item item;
    model_init(&m, 7, 6000);
    for (uint32_t i = 0; i < m.count; i++) {
        struct revision mod = {++m.main, 0};
        index_put(m.x, m.keys[i].key, mod, 0, &old, &item);
    }
    size_t full = index_memory(m.x);
    uint64_t kept = 0;
    for (uint32_t i = 0; i < m.count; i++) {
        struct revision mod = {++m.main, 0};
        if (rng_chance(&m.rng, 1, 20)) {
            kept++;
        } else {
            assert_true(index_delete(m.x, m.keys[i].key, mod, &old));
        }
    }
    while (index_sweep(m.x, &m.cursor, m.main, 64, ignore_swept, NULL)) {
        index_verify(m.x);
        assert_int_equal(index_live(m.x), kept);
    }
    assert_int_equal(index_size(m.x), kept);
    struct index_range all = {bytes_of("", 1), bytes_of("", 1)};
    assert_int_equal(index_count(m.x, &all, INDEX_LATEST), kept);
    size_t nodes = full - index_memory(m.x);
    assert_true(nodes > 50000); /* given back */
    model_release(&m);
}

/* A walk survives tombstones made under it, as a range delete does. */
static void test_index_delete_keeps_cursors(void **state)
{
    (void) state;
    struct index *x = index_new();
    struct index_old old;
    struct index_item item;
    char key[16];
    for (int i = 0; i < 1000; i++) {
        int size = snprintf(key, sizeof key, "%06d", i);
        struct revision mod = {2 + i, 0};
        index_put(x, bytes_of(key, (size_t) size), mod, 0, &old, &item);
    }
    struct index_range all = {bytes_str("0"), bytes_of("", 1)};
    struct index_cursor c;
    index_seek(x, &all, INDEX_LATEST, &c);
    int64_t sub = 0;
    while (index_next(&c, &item)) {
        struct revision mod = {5000, sub++};
        assert_true(index_delete(x, item.key, mod, &old));
    }
    assert_int_equal(sub, 1000);
    assert_int_equal(index_live(x), 0);
    assert_int_equal(index_count(x, &all, 4999), 1000);
    index_verify(x);
    index_free(x);
}

static void test_index_memory_beside_the_key_is_bounded(void **state)
{
    (void) state;
    struct index *x = index_new();
    struct index_old old;
    struct index_item item;
    struct rng r;
    rng_init(&r, 1);
    uint64_t bytes = 0;
    for (int64_t i = 0; i < 200000; i++) {
        char key[64];
        int size = snprintf(key, sizeof key, "/bench/%016llx", (unsigned long long) rng_u64(&r));
        bytes += (uint64_t) size;
        struct revision mod = {2 + i, 0};
        index_put(x, bytes_of(key, (size_t) size), mod, 0, &old, &item);
    }
    size_t beside = (index_memory(x) - bytes) / index_size(x);
    assert_true(beside <= 64);
    index_free(x);
}

static void test_slab_reuses_and_does_not_overlap(void **state)
{
    (void) state;
    struct slab s;
    struct rng r;
    rng_init(&r, 3);
    slab_init(&s);
    struct {
        uint8_t *p;
        size_t size;
    } held[500] = {{NULL, 0}};
    for (uint32_t i = 0; i < 50000; i++) {
        uint32_t at = (uint32_t) rng_below(&r, 500);
        if (held[at].p != NULL) {
            for (size_t j = 0; j < held[at].size; j++) {
                assert_int_equal(held[at].p[j], (uint8_t) at);
            }
            slab_free(&s, held[at].p, held[at].size);
        }
        held[at].size = 8 + (size_t) rng_below(&r, 300);
        held[at].p = slab_alloc(&s, held[at].size);
        assert_int_equal((uintptr_t) held[at].p % 8, 0);
        memset(held[at].p, (int) (uint8_t) at, held[at].size);
    }
    assert_true(s.bytes < 2000000);
    for (uint32_t i = 0; i < 500; i++) {
        if (held[i].p != NULL) {
            slab_free(&s, held[i].p, held[i].size);
        }
    }
    slab_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_index_random_operations_match_model),
        cmocka_unit_test(test_index_sweep_of_all_keys_empties_tree),
        cmocka_unit_test(test_index_sweep_of_most_keys_merges_nodes),
        cmocka_unit_test(test_index_delete_keeps_cursors),
        cmocka_unit_test(test_index_memory_beside_the_key_is_bounded),
        cmocka_unit_test(test_slab_reuses_and_does_not_overlap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
