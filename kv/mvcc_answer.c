/*
 * mvcc_answer.c - the answers that client sessions keep (kv/session.h): every record by its
 * revision, not its bytes, so that keeping one costs little and needs no value that is not in
 * memory. A retry reads the rows again; if a compaction took one, the retry is answered as expired.
 *
 * A response, in order of the transaction:
 *
 *     kind u8 | header revision varint | by kind:
 *     put     records
 *     delete  deleted varint | records
 *     range   flags u8 (1 more, 2 keys only, 4 late, 8 has records) | count varint |
 *             if late: limit, order, target, min mod, max mod, min create, max create (varints) |
 *             if it has records: records
 *     txn     succeeded u8 | count varint | that many responses
 *
 *     records: count varint | count times: main varint, sub varint
 *
 * The recursion is as deep as transactions nest: WIRE_TXN_DEPTH_MAX at most.
 */

#include <string.h>

#include "base/assert.h"
#include "base/enc.h"
#include "kv/mvcc_impl.h"
#include "proto/wire_kv.h"

enum { FLAG_MORE = 1, FLAG_KEYS_ONLY = 2, FLAG_LATE = 4, FLAG_RECORDS = 8 };

static void put_u8(struct buf *out, uint8_t v)
{
    int err = buf_put_u8(out, v);
    ASSERT(err == OK); /* no limit but memory */
}

static void put_varint(struct buf *out, uint64_t v)
{
    int err = buf_put_varint(out, v);
    ASSERT(err == OK);
}

/* Walks the parts of a result in the order they were made, which is that of the responses. */
struct answer_writer {
    const struct result *res;
    uint32_t part;
    struct buf *out;
};

/* The part that holds a response's records; NULL: it has none. */
static const struct part *part_of(struct answer_writer *w, const struct api_response *response)
{
    if (w->part < w->res->parts_count && w->res->parts[w->part].response == response) {
        return &w->res->parts[w->part++];
    }
    return NULL;
}

static void put_records(struct answer_writer *w, const struct part *part)
{
    uint32_t count = part == NULL ? 0 : part->count;
    put_varint(w->out, count);
    for (uint32_t i = 0; i < count; i++) {
        const struct item *item = &w->res->items[part->first + i];
        put_varint(w->out, (uint64_t) item->mod.main);
        put_varint(w->out, (uint64_t) item->mod.sub);
    }
}

static void put_range(struct answer_writer *w, const struct api_response *response)
{
    const struct part *part = part_of(w, response);
    uint8_t flags = response->range.more ? FLAG_MORE : 0;
    if (part != NULL) {
        flags = (uint8_t) (flags | FLAG_RECORDS | (part->keys_only ? FLAG_KEYS_ONLY : 0) |
                           (part->late ? FLAG_LATE : 0));
    }
    put_u8(w->out, flags);
    put_varint(w->out, (uint64_t) response->range.count);
    if (part == NULL) {
        return;
    }
    if (part->late) {
        const struct range_shape *s = &part->shape;
        put_varint(w->out, (uint64_t) s->limit);
        put_varint(w->out, (uint64_t) s->order);
        put_varint(w->out, (uint64_t) s->target);
        put_varint(w->out, (uint64_t) s->min_mod);
        put_varint(w->out, (uint64_t) s->max_mod);
        put_varint(w->out, (uint64_t) s->min_create);
        put_varint(w->out, (uint64_t) s->max_create);
    }
    put_records(w, part);
}

static void put_response(struct answer_writer *w, const struct api_response *response)
{
    put_u8(w->out, response->kind);
    put_varint(w->out, (uint64_t) response->revision);
    switch ((enum op_kind) response->kind) {
    case OP_RANGE:
        put_range(w, response);
        break;
    case OP_PUT:
        put_records(w, part_of(w, response));
        break;
    case OP_DELETE:
        put_varint(w->out, (uint64_t) response->del.deleted);
        put_records(w, part_of(w, response));
        break;
    case OP_TXN:
        put_u8(w->out, response->txn.succeeded);
        put_varint(w->out, response->txn.responses_count);
        for (uint32_t i = 0; i < response->txn.responses_count; i++) {
            put_response(w, &response->txn.responses[i]);
        }
        break;
    case OP_NONE:
        break;
    }
}

void answer_encode(const struct result *res, struct buf *out)
{
    struct answer_writer w = {res, 0, out};
    put_response(&w, &res->pub.response);
    ASSERT(w.part == res->parts_count);
}

static void get_records(struct reader *r, struct result *res)
{
    uint64_t count = reader_varint(r);
    for (uint64_t i = 0; i < count && !r->failed; i++) {
        struct item *item = result_item(res);
        item->mod.main = (int64_t) reader_varint(r);
        item->mod.sub = (int64_t) reader_varint(r);
        if (item->mod.main <= 0 || item->mod.sub < 0 || item->mod.sub > (int64_t) UINT32_MAX) {
            r->failed = true;
            item->row_needed = false;
        }
    }
}

static void get_range(struct reader *r, struct result *res, struct api_response *response)
{
    uint8_t flags = reader_u8(r);
    response->range.more = (flags & FLAG_MORE) != 0;
    response->range.count = (int64_t) reader_varint(r);
    if ((flags & FLAG_RECORDS) == 0) {
        return;
    }
    struct part *part = result_part(res, response);
    part->keys_only = (flags & FLAG_KEYS_ONLY) != 0;
    part->late = (flags & FLAG_LATE) != 0;
    if (part->late) {
        part->shape.limit = (int64_t) reader_varint(r);
        part->shape.order = (int32_t) reader_varint(r);
        part->shape.target = (int32_t) reader_varint(r);
        part->shape.min_mod = (int64_t) reader_varint(r);
        part->shape.max_mod = (int64_t) reader_varint(r);
        part->shape.min_create = (int64_t) reader_varint(r);
        part->shape.max_create = (int64_t) reader_varint(r);
    }
    get_records(r, res);
}

static void get_response(struct reader *r, struct result *res, struct api_response *response,
                         uint32_t depth)
{
    memset(response, 0, sizeof *response);
    response->kind = reader_u8(r);
    response->revision = (int64_t) reader_varint(r);
    switch (response->kind) {
    case OP_RANGE:
        get_range(r, res, response);
        break;
    case OP_PUT:
        (void) result_part(res, response);
        get_records(r, res);
        break;
    case OP_DELETE:
        response->del.deleted = (int64_t) reader_varint(r);
        (void) result_part(res, response);
        get_records(r, res);
        break;
    case OP_TXN: {
        response->txn.succeeded = reader_u8(r) != 0;
        uint64_t count = reader_varint(r);
        if (count > reader_left(r) || depth == WIRE_TXN_DEPTH_MAX) {
            r->failed = true;
            return;
        }
        struct api_response *all = arena_alloc(&res->arena, (size_t) count * sizeof all[0]);
        for (uint64_t i = 0; i < count && !r->failed; i++) {
            get_response(r, res, &all[i], depth + 1);
        }
        response->txn.responses = all;
        response->txn.responses_count = (uint32_t) count;
        break;
    }
    case OP_NONE:
        break;
    default:
        r->failed = true;
        break;
    }
}

int answer_decode(struct bytes in, struct result *res)
{
    struct reader r;
    reader_init(&r, in);
    get_response(&r, res, &res->pub.response, 0);
    if (r.failed || reader_left(&r) != 0) {
        res->items_count = 0;
        res->parts_count = 0;
        return ERR_CORRUPT;
    }
    return OK;
}
