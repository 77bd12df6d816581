/*
 * mvcc_model.c - etcd's data model in the simplest way.
 */

#include "tests/support/mvcc_model.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

/* In key order. */
const char *const kv_model_keys[KV_MODEL_KEYS] = {
    "a", "a/", "a/1", "a/10", "a/2", "aa", "ab",  "b",  "bb", "b\x7f",
    "c", "k1", "k10", "k100", "k11", "k2", "k20", "k3", "z",  "zzzzzzzzzzzzzzzzzzzzzzzzzz"};
void kv_model_init(struct kv_model *m, struct arena *arena)
{
    memset(m, 0, sizeof *m);
    m->revision = 1;
    m->compact = -1;
    m->arena = arena;
}

void kv_model_release(struct kv_model *m)
{
    for (uint32_t i = 0; i < m->count; i++) {
        free((void *) (uintptr_t) m->changes[i].value.data);
    }
    free(m->changes);
}

const struct kv_change *kv_model_at(const struct kv_model *m, uint32_t key, int64_t at,
                                    uint32_t count)
{
    const struct kv_change *c = NULL;
    for (uint32_t i = 0; i < count; i++) {
        if (m->changes[i].key == key && m->changes[i].main <= at) {
            c = &m->changes[i];
        }
    }
    return c == NULL || c->version == 0 ? NULL : c;
}

static bool covers(struct bytes key, struct bytes end, uint32_t i)
{
    struct bytes k = bytes_str(kv_model_keys[i]);
    if (end.size == 0) {
        return bytes_equal(key, k);
    }
    return bytes_compare(key, k) <= 0 &&
           ((end.size == 1 && end.data[0] == 0) || bytes_compare(k, end) < 0);
}

static void model_kv(const struct kv_change *c, bool keys_only, struct api_kv *kv)
{
    *kv = (struct api_kv){.key = bytes_str(kv_model_keys[c->key]),
                          .create_revision = c->create,
                          .mod_revision = c->main,
                          .version = c->version};
    if (!keys_only) {
        kv->value = c->value;
    }
}

static int kv_order(const struct range_request *r, const struct api_kv *a, const struct api_kv *b)
{
    int64_t d = 0;
    switch (r->sort_target) {
    case SORT_VERSION:
        d = a->version - b->version;
        break;
    case SORT_CREATE:
        d = a->create_revision - b->create_revision;
        break;
    case SORT_MOD:
        d = a->mod_revision - b->mod_revision;
        break;
    case SORT_VALUE:
        d = bytes_compare(a->value, b->value);
        break;
    default:
        d = bytes_compare(a->key, b->key);
        break;
    }
    d = r->sort_order == SORT_DESCEND ? -d : d;
    return d != 0 ? (d < 0 ? -1 : 1) : bytes_compare(a->key, b->key);
}

void kv_model_range(struct kv_model *m, const struct range_request *r, int64_t now,
                    struct api_response *response)
{
    struct api_kv *kvs = arena_alloc(m->arena, KV_MODEL_KEYS * sizeof kvs[0]);
    int64_t at = r->revision > 0 ? r->revision : now;
    uint32_t n = 0;
    *response = (struct api_response){.kind = OP_RANGE, .revision = now};
    for (uint32_t i = 0; i < KV_MODEL_KEYS; i++) {
        const struct kv_change *c = kv_model_at(m, i, at, m->count);
        if (c == NULL || !covers(r->key, r->range_end, i)) {
            continue;
        }
        response->range.count++;
        if ((r->min_mod_revision != 0 && c->main < r->min_mod_revision) ||
            (r->max_mod_revision != 0 && c->main > r->max_mod_revision) ||
            (r->min_create_revision != 0 && c->create < r->min_create_revision) ||
            (r->max_create_revision != 0 && c->create > r->max_create_revision)) {
            continue;
        }
        model_kv(c, false, &kvs[n++]);
    }
    if (r->count_only) {
        return;
    }
    for (uint32_t i = 0; i < n; i++) { /* by selection */
        for (uint32_t j = i + 1; j < n; j++) {
            if (kv_order(r, &kvs[j], &kvs[i]) < 0) {
                struct api_kv other = kvs[i];
                kvs[i] = kvs[j];
                kvs[j] = other;
            }
        }
    }
    if (r->limit > 0 && n > r->limit) {
        n = (uint32_t) r->limit;
        response->range.more = true;
    }
    for (uint32_t i = 0; i < n && r->keys_only; i++) {
        kvs[i].value = bytes_of(NULL, 0);
    }
    response->range.kvs = kvs;
    response->range.kvs_count = n;
}

static void model_change(struct kv_model *m, int64_t main, uint32_t key, const struct bytes *value)
{
    const struct kv_change *old = kv_model_at(m, key, INT64_MAX, m->count);
    struct kv_change c = {.main = main, .key = key};
    if (value != NULL) {
        c.value = bytes_of(xmemdup(value->data, value->size), value->size);
        c.create = old == NULL ? main : old->create;
        c.version = old == NULL ? 1 : old->version + 1;
    }
    m->changes = xrealloc(m->changes, (m->count + 1) * sizeof m->changes[0]);
    m->changes[m->count++] = c;
}

uint32_t kv_model_key(struct bytes key)
{
    uint32_t i = 0;
    while (!bytes_equal(bytes_str(kv_model_keys[i]), key)) {
        i++;
    }
    return i;
}

void kv_model_put(struct kv_model *m, const struct put_request *r, struct api_response *response)
{
    uint32_t key = kv_model_key(r->key);
    const struct kv_change *old = kv_model_at(m, key, INT64_MAX, m->count);
    *response = (struct api_response){.kind = OP_PUT, .revision = m->revision + 1};
    if (r->prev_kv && old != NULL) {
        struct api_kv *kv = arena_alloc(m->arena, sizeof *kv);
        model_kv(old, false, kv);
        response->put.prev = kv;
    }
    struct bytes value = r->ignore_value ? old->value : r->value;
    model_change(m, m->revision + 1, key, &value);
}

static int64_t model_now(const struct kv_model *m)
{
    return m->count > 0 && m->changes[m->count - 1].main > m->revision ? m->revision + 1
                                                                       : m->revision;
}

void kv_model_delete(struct kv_model *m, const struct delete_request *r,
                     struct api_response *response)
{
    struct api_kv *kvs = arena_alloc(m->arena, KV_MODEL_KEYS * sizeof kvs[0]);
    *response = (struct api_response){.kind = OP_DELETE};
    for (uint32_t i = 0; i < KV_MODEL_KEYS; i++) {
        const struct kv_change *old = kv_model_at(m, i, INT64_MAX, m->count);
        if (old != NULL && covers(r->key, r->range_end, i)) {
            model_kv(old, false, &kvs[response->del.deleted++]);
            model_change(m, m->revision + 1, i, NULL);
        }
    }
    response->revision = model_now(m);
    if (r->prev_kv) {
        response->del.prevs = kvs;
        response->del.prevs_count = (uint32_t) response->del.deleted;
    }
}

static bool operator_holds(int32_t operator, int64_t d)
{
    switch (operator) {
    case COMPARE_EQUAL:
        return d == 0;
    case COMPARE_GREATER:
        return d > 0;
    case COMPARE_LESS:
        return d < 0;
    default:
        return d != 0;
    }
}

/* With `count` changes seen: those before the transaction. */
static bool model_compare(const struct kv_model *m, const struct compare *c, uint32_t count)
{
    bool any = false;
    for (uint32_t i = 0; i <= KV_MODEL_KEYS; i++) {
        static const struct kv_change none = {.key = 0};
        const struct kv_change *k =
            i == KV_MODEL_KEYS ? &none : kv_model_at(m, i, INT64_MAX, count);
        if (k == NULL || (i < KV_MODEL_KEYS && !covers(c->key, c->range_end, i)) ||
            (i == KV_MODEL_KEYS && any)) {
            continue;
        }
        any = true;
        if (i == KV_MODEL_KEYS && c->target == COMPARE_VALUE) {
            return false;
        }
        int64_t d = c->target == COMPARE_VALUE     ? bytes_compare(k->value, c->value)
                    : c->target == COMPARE_VERSION ? k->version - c->number
                    : c->target == COMPARE_CREATE  ? k->create - c->number
                    : c->target == COMPARE_MOD     ? k->main - c->number
                                                   : 0 - c->number;
        if (!operator_holds(c->result, d)) {
            return false;
        }
    }
    return true;
}

static bool model_branch(const struct kv_model *m, const struct txn_request *t, uint32_t count)
{
    for (uint32_t i = 0; i < t->compares_count; i++) {
        if (!model_compare(m, &t->compares[i], count)) {
            return false;
        }
    }
    return true;
}

int kv_model_check_range(const struct kv_model *m, const struct range_request *r, bool in_txn)
{
    if (r->revision > m->revision) {
        return ERR_FUTURE_REVISION;
    }
    bool asked = r->revision > 0 || (in_txn && r->revision < 0);
    return asked && r->revision < m->compact ? ERR_COMPACTED : OK;
}

int kv_model_check_put(const struct kv_model *m, const struct put_request *r, bool lease_first)
{
    if (lease_first && r->lease != 0) {
        return ERR_LEASE_NOT_FOUND;
    }
    if ((r->ignore_value || r->ignore_lease) &&
        kv_model_at(m, kv_model_key(r->key), INT64_MAX, m->count) == NULL) {
        return ERR_KEY_NOT_FOUND;
    }
    return r->lease != 0 ? ERR_LEASE_NOT_FOUND : OK;
}

int kv_model_check_txn(const struct kv_model *m, const struct txn_request *t, uint8_t kind)
{
    bool success = model_branch(m, t, m->count);
    const struct txn_op *ops = success ? t->success : t->failure;
    uint32_t n = success ? t->success_count : t->failure_count;
    for (uint32_t i = 0; i < n; i++) {
        int err = ops[i].kind == OP_TXN ? kv_model_check_txn(m, ops[i].txn, kind)
                  : ops[i].kind != kind ? OK
                  : kind == OP_PUT      ? kv_model_check_put(m, &ops[i].put, false)
                                        : kv_model_check_range(m, &ops[i].range, true);
        if (err != OK) {
            return err;
        }
    }
    return OK;
}

void kv_model_txn(struct kv_model *m, const struct txn_request *t, uint32_t before,
                  struct api_response *response)
{
    bool success = model_branch(m, t, before);
    const struct txn_op *ops = success ? t->success : t->failure;
    uint32_t n = success ? t->success_count : t->failure_count;
    struct api_response *all = arena_alloc(m->arena, n * sizeof all[0]);
    *response = (struct api_response){.kind = OP_TXN};
    response->txn.succeeded = success;
    response->txn.responses = all;
    response->txn.responses_count = n;
    for (uint32_t i = 0; i < n; i++) {
        switch (ops[i].kind) {
        case OP_PUT:
            kv_model_put(m, &ops[i].put, &all[i]);
            break;
        case OP_DELETE:
            kv_model_delete(m, &ops[i].del, &all[i]);
            break;
        case OP_RANGE:
            kv_model_range(m, &ops[i].range, model_now(m), &all[i]);
            break;
        default:
            kv_model_txn(m, ops[i].txn, before, &all[i]);
            break;
        }
    }
}
