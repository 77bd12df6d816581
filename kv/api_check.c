/*
 * api_check.c - the rules a request must meet before it is let into the log.
 *
 * The recursion is as deep as transactions nest: WIRE_TXN_DEPTH_MAX at most, checked here.
 */

#include "kv/api_check.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "proto/wire_kv.h"

int api_check_range(const struct range_request *r)
{
    if (bytes_empty(r->key)) {
        return ERR_KEY_EMPTY;
    }
    if (r->sort_order < SORT_NONE || r->sort_order > SORT_DESCEND || r->sort_target < SORT_KEY ||
        r->sort_target > SORT_VALUE) {
        return ERR_SORT_OPTION;
    }
    return OK;
}

int api_check_put(const struct put_request *r)
{
    if (bytes_empty(r->key)) {
        return ERR_KEY_EMPTY;
    }
    if (r->ignore_value && !bytes_empty(r->value)) {
        return ERR_VALUE_PROVIDED;
    }
    return r->ignore_lease && r->lease != 0 ? ERR_LEASE_PROVIDED : OK;
}

int api_check_delete(const struct delete_request *r)
{
    return bytes_empty(r->key) ? ERR_KEY_EMPTY : OK;
}

static int check_parts(const struct txn_request *txn, uint32_t ops_max, uint32_t depth);

static int check_op(const struct txn_op *op, uint32_t ops_max, uint32_t depth)
{
    switch (op->kind) {
    case OP_RANGE:
        return api_check_range(&op->range);
    case OP_PUT:
        return api_check_put(&op->put);
    case OP_DELETE:
        return api_check_delete(&op->del);
    case OP_TXN:
        return check_parts(op->txn, ops_max, depth + 1);
    default:
        return ERR_KEY_NOT_FOUND; /* etcd's answer to an op with nothing set */
    }
}

/* Everything but duplicate keys. A nested transaction may use what this one leaves of ops_max. */
static int check_parts(const struct txn_request *txn, uint32_t ops_max, uint32_t depth)
{
    uint32_t most = txn->compares_count;
    most = txn->success_count > most ? txn->success_count : most;
    most = txn->failure_count > most ? txn->failure_count : most;
    if (most > ops_max || depth > WIRE_TXN_DEPTH_MAX) {
        return ERR_TOO_MANY_OPS;
    }
    for (uint32_t i = 0; i < txn->compares_count; i++) {
        if (bytes_empty(txn->compares[i].key)) {
            return ERR_KEY_EMPTY;
        }
    }
    int err = OK;
    for (uint32_t i = 0; i < txn->success_count && err == OK; i++) {
        err = check_op(&txn->success[i], ops_max - most, depth);
    }
    for (uint32_t i = 0; i < txn->failure_count && err == OK; i++) {
        err = check_op(&txn->failure[i], ops_max - most, depth);
    }
    return err;
}

/* ---- duplicate keys ---- */

/* A put key or a deleted range, and which op of the branch in view it is or is in. */
struct change {
    struct bytes key;
    struct bytes end; /* as range_end; of a delete */
    uint32_t op;
};

struct changes {
    struct change *list;
    uint32_t count;
    uint32_t capacity;
};

/* The puts and deletes of a branch and of all below it. */
struct writes {
    struct changes puts;
    struct changes deletes;
};

static void changes_add(struct changes *c, struct change change)
{
    if (c->count == c->capacity) {
        c->capacity = c->capacity == 0 ? 16 : c->capacity * 2;
        c->list = xrealloc(c->list, c->capacity * sizeof c->list[0]);
    }
    c->list[c->count++] = change;
}

static int compare_changes(const void *a, const void *b)
{
    const struct change *x = a;
    const struct change *y = b;
    int order = bytes_compare(x->key, y->key);
    return order != 0 ? order : (x->op < y->op ? -1 : x->op > y->op);
}

/* The first of the ordered puts whose key is not below `key`. */
static uint32_t puts_lower(const struct change *puts, uint32_t count, struct bytes key)
{
    uint32_t low = 0;
    while (low < count) {
        uint32_t middle = low + (count - low) / 2;
        if (bytes_compare(puts[middle].key, key) < 0) {
            low = middle + 1;
        } else {
            count = middle;
        }
    }
    return low;
}

/* Whether the delete covers a put of another op. other[i]: the first put behind i of another op. */
static bool delete_covers(const struct change *d, const struct change *puts, uint32_t count,
                          const uint32_t *other)
{
    uint32_t low = puts_lower(puts, count, d->key);
    uint32_t high = count;
    if (bytes_empty(d->end)) {
        high = low;
        while (high < count && bytes_equal(puts[high].key, d->key)) {
            high = other[high]; /* equal keys are of one op here: one step */
        }
    } else if (d->end.size != 1 || d->end.data[0] != 0) {
        high = puts_lower(puts, count, d->end);
    }
    return low < high && (puts[low].op != d->op || other[low] < high);
}

/* Judges what one branch holds, from the given positions on: no key is put by two ops, and none
 * that one puts is deleted by another. The two ways of a nested transaction are one op: only one is
 * gone. */
static int judge(struct writes *w, uint32_t puts_from, uint32_t deletes_from)
{
    struct change *puts = w->puts.list + puts_from;
    uint32_t count = w->puts.count - puts_from;
    int err = OK;
    if (count == 0) {
        return OK;
    }
    qsort(puts, count, sizeof puts[0], compare_changes);
    uint32_t *other = xmalloc(count * sizeof other[0]);
    other[count - 1] = count;
    for (uint32_t i = count - 1; i-- > 0;) {
        other[i] = puts[i].op == puts[i + 1].op ? other[i + 1] : i + 1;
        if (puts[i].op != puts[i + 1].op && bytes_equal(puts[i].key, puts[i + 1].key)) {
            err = ERR_DUPLICATE_KEY;
        }
    }
    for (uint32_t i = deletes_from; i < w->deletes.count && err == OK; i++) {
        if (delete_covers(&w->deletes.list[i], puts, count, other)) {
            err = ERR_DUPLICATE_KEY;
        }
    }
    free(other);
    return err;
}

/* Adds the writes of a branch and those below it; each branch is judged by itself first. */
static int collect(struct writes *w, const struct txn_op *ops, uint32_t count)
{
    uint32_t puts_from = w->puts.count;
    uint32_t deletes_from = w->deletes.count;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t puts_of_op = w->puts.count;
        uint32_t deletes_of_op = w->deletes.count;
        if (ops[i].kind == OP_PUT) {
            changes_add(&w->puts, (struct change){.key = ops[i].put.key});
        } else if (ops[i].kind == OP_DELETE) {
            struct change d = {.key = ops[i].del.key, .end = ops[i].del.range_end};
            changes_add(&w->deletes, d);
        } else if (ops[i].kind == OP_TXN) {
            const struct txn_request *txn = ops[i].txn;
            int err = collect(w, txn->success, txn->success_count);
            err = err == OK ? collect(w, txn->failure, txn->failure_count) : err;
            if (err != OK) {
                return err;
            }
        }
        for (uint32_t j = puts_of_op; j < w->puts.count; j++) {
            w->puts.list[j].op = i;
        }
        for (uint32_t j = deletes_of_op; j < w->deletes.count; j++) {
            w->deletes.list[j].op = i;
        }
    }
    return judge(w, puts_from, deletes_from);
}

int api_check_txn(const struct txn_request *request, uint32_t ops_max)
{
    struct writes w = {{NULL, 0, 0}, {NULL, 0, 0}};
    int err = check_parts(request, ops_max, 1);
    if (err == OK && request->success_count > 0) {
        err = collect(&w, request->success, request->success_count);
    }
    if (err == OK && request->failure_count > 0) {
        w.puts.count = 0;
        w.deletes.count = 0;
        err = collect(&w, request->failure, request->failure_count);
    }
    free(w.puts.list);
    free(w.deletes.list);
    return err;
}
