/*
 * mvcc_result.c - results: what a request answers, first by revision, then with rows.
 *
 * A result is made while the index is in the state it describes; the rows behind it may come later,
 * when the state has moved on. So everything it needs from the index is copied, and garbage rows
 * that a waiting result may want are not deleted from the store before it has them (tickets).
 */

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kv/mvcc_impl.h"

enum { RESULT_CHUNK = 1024 };

struct result *result_new(void)
{
    struct result *res = xcalloc(1, sizeof *res);
    arena_init(&res->arena, RESULT_CHUNK, SIZE_MAX);
    res->items = &res->item_space;
    res->items_capacity = 1;
    res->parts = &res->part_space;
    res->parts_capacity = 1;
    return res;
}

void mvcc_result_free(struct mvcc_result *pub)
{
    if (pub == NULL) {
        return;
    }
    struct result *res = container_of(pub, struct result, pub);
    if (list_node_linked(&res->waiting)) {
        list_remove(&res->waiting);
    }
    for (uint32_t i = 0; i < res->items_count; i++) {
        blob_unref(res->items[i].row);
    }
    if (res->items != &res->item_space) {
        free(res->items);
    }
    if (res->parts != &res->part_space) {
        free(res->parts);
    }
    free(res->missing);
    arena_release(&res->arena);
    free(res);
}

struct part *result_part(struct result *res, struct api_response *response)
{
    if (res->parts_count == res->parts_capacity) {
        res->parts_capacity *= 2;
        struct part *old = res->parts == &res->part_space ? NULL : res->parts;
        res->parts = xrealloc(old, res->parts_capacity * sizeof res->parts[0]);
        if (old == NULL) {
            res->parts[0] = res->part_space;
        }
    }
    struct part *part = &res->parts[res->parts_count++];
    memset(part, 0, sizeof *part);
    part->response = response;
    part->first = res->items_count;
    return part;
}

struct item *result_item(struct result *res)
{
    ASSERT(res->parts_count > 0);
    if (res->items_count == res->items_capacity) {
        res->items_capacity *= 2;
        struct item *old = res->items == &res->item_space ? NULL : res->items;
        res->items = xrealloc(old, res->items_capacity * sizeof res->items[0]);
        if (old == NULL) {
            res->items[0] = res->item_space;
        }
    }
    struct item *item = &res->items[res->items_count++];
    memset(item, 0, sizeof *item);
    item->row_needed = true;
    res->parts[res->parts_count - 1].count++;
    return item;
}

bool shape_passes(const struct range_shape *s, int64_t mod, int64_t create)
{
    return (s->min_mod == 0 || mod >= s->min_mod) && (s->max_mod == 0 || mod <= s->max_mod) &&
           (s->min_create == 0 || create >= s->min_create) &&
           (s->max_create == 0 || create <= s->max_create);
}

bool shape_filters(const struct range_shape *s)
{
    return s->min_mod != 0 || s->max_mod != 0 || s->min_create != 0 || s->max_create != 0;
}

static int compare_int64(const int64_t pair[2])
{
    return pair[0] < pair[1] ? -1 : pair[0] > pair[1];
}

int shape_compare(const struct range_shape *s, const struct api_kv *a, const struct api_kv *b)
{
    int order = 0;
    switch (s->target) {
    case SORT_VERSION:
        order = compare_int64((const int64_t[2]){a->version, b->version});
        break;
    case SORT_CREATE:
        order = compare_int64((const int64_t[2]){a->create_revision, b->create_revision});
        break;
    case SORT_MOD:
        order = compare_int64((const int64_t[2]){a->mod_revision, b->mod_revision});
        break;
    case SORT_VALUE:
        order = bytes_compare(a->value, b->value);
        break;
    default:
        order = bytes_compare(a->key, b->key);
        break;
    }
    if (order != 0) {
        return s->order == SORT_DESCEND ? (order < 0 ? 1 : -1) : order;
    }
    return bytes_compare(a->key, b->key); /* one order for all nodes */
}

/* Looks for the rows in memory and lists those that are not. */
static void result_gather(struct mvcc *m, struct result *res)
{
    uint32_t capacity = 0;
    for (uint32_t i = 0; i < res->items_count; i++) {
        struct item *item = &res->items[i];
        if (!item->row_needed) {
            continue;
        }
        item->row = blob_ref(records_get(&m->records, item->mod));
        if (item->row == NULL) {
            if (res->missing_count == capacity) {
                capacity = capacity == 0 ? 16 : capacity * 2;
                res->missing = xrealloc(res->missing, capacity * sizeof res->missing[0]);
            }
            res->missing[res->missing_count++] = i;
        }
    }
    res->pub.missing = res->missing_count;
}

void result_finish(struct mvcc *m, struct result *res)
{
    result_gather(m, res);
    if (res->missing_count == 0) {
        mvcc_result_complete(m, &res->pub);
        return;
    }
    res->ticket = m->ticket++;
    list_push_back(&m->waiting, &res->waiting);
}

struct revision mvcc_result_missing(const struct mvcc_result *pub, uint32_t i)
{
    const struct result *res = container_of(pub, struct result, pub);
    ASSERT(i < res->missing_count);
    return res->items[res->missing[i]].mod;
}

void mvcc_result_provide(struct mvcc_result *pub, uint32_t i, struct blob *row)
{
    struct result *res = container_of(pub, struct result, pub);
    ASSERT(i < res->missing_count);
    ASSERT(!res->completed);
    struct item *item = &res->items[res->missing[i]];
    ASSERT(item->row == NULL);
    ASSERT(pub->missing > 0);
    item->row = blob_ref(row);
    pub->missing--;
}

/* Checks the rows that came from the store. Errors: ERR_COMPACTED, ERR_SESSION_EXPIRED,
 * ERR_CORRUPT. */
static int missing_check(struct mvcc *m, struct result *res)
{
    for (uint32_t i = 0; i < res->missing_count; i++) {
        const struct item *item = &res->items[res->missing[i]];
        struct row_record record;
        if (item->row == NULL) {
            /* Tickets keep rows that a fresh result waits for; a kept answer has no such right. */
            if (item->mod.main > m->compact) {
                return ERR_CORRUPT;
            }
            return res->replayed ? ERR_SESSION_EXPIRED : ERR_COMPACTED;
        }
        int err = row_record_check(item->mod, blob_bytes(item->row), &record);
        if (err != OK) {
            return err;
        }
        records_cache(&m->records, item->mod, item->row);
    }
    return OK;
}

static int item_kv(const struct item *item, bool keys_only, struct api_kv *kv)
{
    struct row_record record;
    if (!item->row_needed) {
        ASSERT(item->index_known);
        *kv = (struct api_kv){.key = item->key,
                              .create_revision = item->create,
                              .mod_revision = item->mod.main,
                              .version = item->version,
                              .lease = item->lease};
        return OK;
    }
    int err = row_record_parse(blob_bytes(item->row), &record);
    if (err != OK || record.tombstone) {
        return ERR_CORRUPT;
    }
    *kv = (struct api_kv){.key = record.key,
                          .create_revision = record.create,
                          .mod_revision = item->mod.main,
                          .version = record.version,
                          .lease = record.lease};
    if (!keys_only) {
        kv->value = record.value;
    }
    return OK;
}

static int compare_kvs(const void *a, const void *b, void *ctx)
{
    return shape_compare(ctx, a, b);
}

/* Filters, orders and cuts; a late range keeps the values until it is ordered. */
static void late_shape(const struct part *part, struct api_kv *kvs, uint32_t *count, bool *ret_more)
{
    struct range_shape shape = part->shape;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < *count; i++) {
        if (shape_passes(&shape, kvs[i].mod_revision, kvs[i].create_revision)) {
            kvs[kept++] = kvs[i];
        }
    }
    if (shape.order != SORT_NONE && kept > 1) {
        qsort_r(kvs, kept, sizeof kvs[0], compare_kvs, &shape);
    }
    *ret_more = shape.limit > 0 && (int64_t) kept > shape.limit;
    *count = *ret_more ? (uint32_t) shape.limit : kept;
    for (uint32_t i = 0; i < *count && part->keys_only; i++) {
        kvs[i].value = bytes_of(NULL, 0);
    }
}

static int part_complete(struct result *res, const struct part *part)
{
    struct api_response *response = part->response;
    uint32_t count = part->count;
    struct api_kv *kvs = &res->kv_space;
    bool more = false;
    if (count > 1 || res->parts_count > 1) {
        kvs = arena_alloc(&res->arena, count * sizeof kvs[0]);
    }
    for (uint32_t i = 0; i < count; i++) {
        int err = item_kv(&res->items[part->first + i], part->keys_only && !part->late, &kvs[i]);
        if (err != OK) {
            return err;
        }
    }
    if (part->late) {
        late_shape(part, kvs, &count, &more);
    }
    switch (response->kind) {
    case OP_RANGE:
        response->range.kvs = kvs;
        response->range.kvs_count = count;
        response->range.more = part->late ? more : response->range.more;
        break;
    case OP_PUT:
        response->put.prev = count > 0 ? kvs : NULL;
        break;
    case OP_DELETE:
        response->del.prevs = kvs;
        response->del.prevs_count = count;
        break;
    default:
        UNREACHABLE();
    }
    return OK;
}

void mvcc_result_complete(struct mvcc *m, struct mvcc_result *pub)
{
    struct result *res = container_of(pub, struct result, pub);
    ASSERT(pub->missing == 0);
    ASSERT(!res->completed);
    res->completed = true;
    if (list_node_linked(&res->waiting)) {
        list_remove(&res->waiting);
    }
    pub->err = pub->err != OK ? pub->err : missing_check(m, res);
    for (uint32_t i = 0; i < res->parts_count && pub->err == OK; i++) {
        pub->err = part_complete(res, &res->parts[i]);
    }
}
