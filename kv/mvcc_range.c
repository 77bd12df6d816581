/*
 * mvcc_range.c - reading ranges (etcd-v3.md 4).
 *
 * What the index knows decides as early as possible which records are in the answer, so that rows
 * are brought for those only: at the newest revision everything but the values, at older ones
 * the mod revision.
 */

#include <stdlib.h>

#include "base/assert.h"
#include "kv/mvcc_impl.h"

int mvcc_check_range(const struct mvcc *m, const struct range_request *r, bool in_txn)
{
    if (r->revision > m->revision) {
        return ERR_FUTURE_REVISION;
    }
    /* A negative revision is the newest one, but compacted inside a Txn: as etcd 3.4 answers. */
    bool asked = in_txn ? r->revision != 0 : r->revision > 0;
    return asked && r->revision < m->compact ? ERR_COMPACTED : OK;
}

static void shape_init(struct range_shape *s, const struct range_request *r)
{
    s->limit = r->limit > 0 ? r->limit : 0;
    s->order = r->sort_order;
    s->target = r->sort_target;
    if (s->order == SORT_NONE && s->target != SORT_KEY) {
        s->order = SORT_ASCEND;
    }
    s->min_mod = r->min_mod_revision;
    s->max_mod = r->max_mod_revision;
    s->min_create = r->min_create_revision;
    s->max_create = r->max_create_revision;
}

static bool in_key_order(const struct range_shape *s)
{
    return s->target == SORT_KEY && !shape_filters(s);
}

/* Whether the index alone can filter and order. */
static bool is_early(const struct range_shape *s, int64_t at)
{
    if (s->target == SORT_VALUE) {
        return false;
    }
    return at == INDEX_LATEST || (s->min_create == 0 && s->max_create == 0 &&
                                  (s->target == SORT_KEY || s->target == SORT_MOD));
}

static void item_take(struct result *res, const struct index_item *from)
{
    struct item *item = result_item(res);
    item->mod = from->mod;
    item->key = from->key;
    item->index_known = from->latest;
    item->create = from->create;
    item->version = from->version;
    item->lease = from->lease;
}

static void items_reverse(struct item *items, uint32_t count)
{
    for (uint32_t i = 0; i < count / 2; i++) {
        struct item other = items[i];
        items[i] = items[count - 1 - i];
        items[count - 1 - i] = other;
    }
}

static int compare_items(const void *a, const void *b, void *ctx)
{
    const struct item *x = a;
    const struct item *y = b;
    struct api_kv kx = {.key = x->key,
                        .create_revision = x->create,
                        .mod_revision = x->mod.main,
                        .version = x->version};
    struct api_kv ky = {.key = y->key,
                        .create_revision = y->create,
                        .mod_revision = y->mod.main,
                        .version = y->version};
    return shape_compare(ctx, &kx, &ky);
}

/* The newest state in key order: the tree counts, so only what is answered is looked at. */
static uint64_t collect_newest(const struct mvcc *m, struct result *res,
                               const struct index_range *range, const struct range_shape *s)
{
    struct index_cursor c;
    struct index_item item;
    uint64_t count = index_count(m->index, range, INDEX_LATEST);
    uint64_t take = s->limit > 0 && (uint64_t) s->limit < count ? (uint64_t) s->limit : count;
    uint64_t skip = s->order == SORT_DESCEND ? count - take : 0;
    index_seek_skip(m->index, range, skip, &c);
    for (uint64_t i = 0; i < take; i++) {
        bool more = index_next(&c, &item);
        ASSERT(more);
        item_take(res, &item);
    }
    return count;
}

/* Everything that passes the filters (unless they are late); counts what does not, too. */
static uint64_t collect_all(const struct mvcc *m, struct result *res,
                            const struct index_range *range, const struct range_shape *s,
                            int64_t at)
{
    struct index_cursor c;
    struct index_item item;
    uint64_t count = 0;
    bool early = is_early(s, at);
    /* In key order from the front the rest is only counted. */
    bool cut = early && in_key_order(s) && s->order != SORT_DESCEND && s->limit > 0;
    index_seek(m->index, range, at, &c);
    while (index_next(&c, &item)) {
        count++;
        if ((cut && count > (uint64_t) s->limit) ||
            (early && !shape_passes(s, item.mod.main, item.create))) {
            continue;
        }
        item_take(res, &item);
    }
    return count;
}

/* Orders and cuts the newest part of the result by what the index knows. */
static void part_shape(struct result *res, const struct range_shape *s, uint64_t count)
{
    struct part *part = &res->parts[res->parts_count - 1];
    struct item *items = res->items + part->first;
    if (s->target == SORT_KEY && s->order == SORT_DESCEND) {
        items_reverse(items, part->count);
    } else if (s->target != SORT_KEY && part->count > 1) {
        struct range_shape shape = *s;
        qsort_r(items, part->count, sizeof items[0], compare_items, &shape);
    }
    uint64_t passed = in_key_order(s) ? count : part->count;
    part->response->range.more = s->limit > 0 && passed > (uint64_t) s->limit;
    if (s->limit > 0 && part->count > (uint64_t) s->limit) {
        res->items_count -= part->count - (uint32_t) s->limit;
        part->count = (uint32_t) s->limit;
    }
}

/* Borrows nothing from the index any more; keys alone need no rows where the index knows the
 * rest. */
static void part_settle(struct result *res)
{
    const struct part *part = &res->parts[res->parts_count - 1];
    for (uint32_t i = 0; i < part->count; i++) {
        struct item *item = &res->items[part->first + i];
        if (part->keys_only && !part->late && item->index_known) {
            item->row_needed = false;
            item->key = arena_copy(&res->arena, item->key);
        } else {
            item->key = bytes_of(NULL, 0);
        }
    }
}

void run_range(struct run *run, const struct range_request *r, struct api_response *response)
{
    const struct mvcc *m = run->m;
    struct index_range range = {r->key, r->range_end};
    if (run->res == NULL) {
        return;
    }
    /* At the current revision the newest state is what is asked for, unless this run changed it. */
    bool newest = r->revision <= 0 || (r->revision == m->revision && run->next.sub == 0);
    int64_t at = newest ? INDEX_LATEST : r->revision;
    response->kind = OP_RANGE;
    response->revision = run_revision(run);
    if (r->count_only) {
        response->range.count = (int64_t) index_count(m->index, &range, at);
        return;
    }
    struct part *part = result_part(run->res, response);
    struct range_shape shape;
    shape_init(&shape, r);
    part->keys_only = r->keys_only;
    part->late = !is_early(&shape, at);
    part->shape = shape;
    uint64_t count = newest && in_key_order(&shape) ? collect_newest(m, run->res, &range, &shape)
                                                    : collect_all(m, run->res, &range, &shape, at);
    response->range.count = (int64_t) count;
    if (!part->late) {
        part_shape(run->res, &shape, count);
    }
    part_settle(run->res);
}

int mvcc_range(struct mvcc *m, const struct range_request *request, struct mvcc_result **ret_result)
{
    struct result *res = result_new();
    struct run run = {.m = m, .res = res, .next = {m->revision + 1, 0}};
    res->pub.revision = m->revision;
    res->pub.err = mvcc_check_range(m, request, false);
    if (res->pub.err == OK) {
        run_range(&run, request, &res->pub.response);
    }
    result_finish(m, res);
    *ret_result = &res->pub;
    return OK;
}
