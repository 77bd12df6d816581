/*
 * wire_kv.c - Range, Put, DeleteRange and Compact, requests and answers.
 *
 * Transactions, which hold all of these, are in wire_txn.c.
 */

#include "proto/wire_kv.h"

#include <protobuf-c/protobuf-c.h>

#include "base/assert.h"
#include "proto/rpc.pb-c.h"
#include "proto/wire_arena.h"
#include "proto/wire_convert.h"

void wire_range_request_load(const struct Etcdserverpb__RangeRequest *pb, struct range_request *r)
{
    r->key = WIRE_LOAD_BYTES(pb->key);
    r->range_end = WIRE_LOAD_BYTES(pb->range_end);
    r->limit = pb->limit;
    r->revision = pb->revision;
    r->sort_order = (int32_t) pb->sort_order;
    r->sort_target = (int32_t) pb->sort_target;
    r->serializable = pb->serializable != 0;
    r->keys_only = pb->keys_only != 0;
    r->count_only = pb->count_only != 0;
    r->min_mod_revision = pb->min_mod_revision;
    r->max_mod_revision = pb->max_mod_revision;
    r->min_create_revision = pb->min_create_revision;
    r->max_create_revision = pb->max_create_revision;
}

void wire_put_request_load(const struct Etcdserverpb__PutRequest *pb, struct put_request *r)
{
    r->key = WIRE_LOAD_BYTES(pb->key);
    r->value = WIRE_LOAD_BYTES(pb->value);
    r->lease = pb->lease;
    r->prev_kv = pb->prev_kv != 0;
    r->ignore_value = pb->ignore_value != 0;
    r->ignore_lease = pb->ignore_lease != 0;
}

void wire_delete_request_load(const struct Etcdserverpb__DeleteRangeRequest *pb,
                              struct delete_request *r)
{
    r->key = WIRE_LOAD_BYTES(pb->key);
    r->range_end = WIRE_LOAD_BYTES(pb->range_end);
    r->prev_kv = pb->prev_kv != 0;
}

int wire_range_request_decode(struct bytes in, struct arena *a, struct range_request *ret_request)
{
    ProtobufCMessage *m;
    int rc = wire_unpack(&etcdserverpb__range_request__descriptor, in, a, &m);
    if (rc == OK) {
        wire_range_request_load((const Etcdserverpb__RangeRequest *) m, ret_request);
    }
    return rc;
}

int wire_put_request_decode(struct bytes in, struct arena *a, struct put_request *ret_request)
{
    ProtobufCMessage *m;
    int rc = wire_unpack(&etcdserverpb__put_request__descriptor, in, a, &m);
    if (rc == OK) {
        wire_put_request_load((const Etcdserverpb__PutRequest *) m, ret_request);
    }
    return rc;
}

int wire_delete_request_decode(struct bytes in, struct arena *a, struct delete_request *ret_request)
{
    ProtobufCMessage *m;
    int rc = wire_unpack(&etcdserverpb__delete_range_request__descriptor, in, a, &m);
    if (rc == OK) {
        wire_delete_request_load((const Etcdserverpb__DeleteRangeRequest *) m, ret_request);
    }
    return rc;
}

int wire_compact_request_decode(struct bytes in, struct arena *a,
                                struct compact_request *ret_request)
{
    ProtobufCMessage *m;
    int rc = wire_unpack(&etcdserverpb__compaction_request__descriptor, in, a, &m);
    if (rc == OK) {
        const Etcdserverpb__CompactionRequest *pb = (const Etcdserverpb__CompactionRequest *) m;
        ret_request->revision = pb->revision;
        ret_request->physical = pb->physical != 0;
    }
    return rc;
}

void wire_range_request_dump(const struct range_request *r, struct Etcdserverpb__RangeRequest *pb)
{
    etcdserverpb__range_request__init(pb);
    WIRE_DUMP_BYTES(pb->key, r->key);
    WIRE_DUMP_BYTES(pb->range_end, r->range_end);
    pb->limit = r->limit;
    pb->revision = r->revision;
    pb->sort_order = (Etcdserverpb__RangeRequest__SortOrder) r->sort_order;
    pb->sort_target = (Etcdserverpb__RangeRequest__SortTarget) r->sort_target;
    pb->serializable = r->serializable;
    pb->keys_only = r->keys_only;
    pb->count_only = r->count_only;
    pb->min_mod_revision = r->min_mod_revision;
    pb->max_mod_revision = r->max_mod_revision;
    pb->min_create_revision = r->min_create_revision;
    pb->max_create_revision = r->max_create_revision;
}

void wire_put_request_dump(const struct put_request *r, struct Etcdserverpb__PutRequest *pb)
{
    etcdserverpb__put_request__init(pb);
    WIRE_DUMP_BYTES(pb->key, r->key);
    WIRE_DUMP_BYTES(pb->value, r->value);
    pb->lease = r->lease;
    pb->prev_kv = r->prev_kv;
    pb->ignore_value = r->ignore_value;
    pb->ignore_lease = r->ignore_lease;
}

void wire_delete_request_dump(const struct delete_request *r,
                              struct Etcdserverpb__DeleteRangeRequest *pb)
{
    etcdserverpb__delete_range_request__init(pb);
    WIRE_DUMP_BYTES(pb->key, r->key);
    WIRE_DUMP_BYTES(pb->range_end, r->range_end);
    pb->prev_kv = r->prev_kv;
}

int wire_range_request_encode(const struct range_request *request, struct buf *out)
{
    Etcdserverpb__RangeRequest pb;
    wire_range_request_dump(request, &pb);
    return wire_pack(&pb.base, out);
}

int wire_put_request_encode(const struct put_request *request, struct buf *out)
{
    Etcdserverpb__PutRequest pb;
    wire_put_request_dump(request, &pb);
    return wire_pack(&pb.base, out);
}

int wire_delete_request_encode(const struct delete_request *request, struct buf *out)
{
    Etcdserverpb__DeleteRangeRequest pb;
    wire_delete_request_dump(request, &pb);
    return wire_pack(&pb.base, out);
}

int wire_compact_request_encode(const struct compact_request *request, struct buf *out)
{
    Etcdserverpb__CompactionRequest pb = ETCDSERVERPB__COMPACTION_REQUEST__INIT;
    pb.revision = request->revision;
    pb.physical = request->physical;
    return wire_pack(&pb.base, out);
}

/* ---- answers: from ours to messages ---- */

void wire_header_dump(const struct api_header *h, int64_t revision,
                      struct Etcdserverpb__ResponseHeader *pb)
{
    etcdserverpb__response_header__init(pb);
    pb->cluster_id = h->cluster_id;
    pb->member_id = h->member_id;
    pb->revision = revision;
    pb->raft_term = h->raft_term;
}

static void wire_record_dump(const struct api_kv *kv, Mvccpb__KeyValue *pb)
{
    mvccpb__key_value__init(pb);
    WIRE_DUMP_BYTES(pb->key, kv->key);
    WIRE_DUMP_BYTES(pb->value, kv->value);
    pb->create_revision = kv->create_revision;
    pb->mod_revision = kv->mod_revision;
    pb->version = kv->version;
    pb->lease = kv->lease;
}

/* The list of pointers that a repeated field wants. `count` is above 0. */
static Mvccpb__KeyValue **wire_records_dump(const struct api_kv *kvs, uint32_t count,
                                            struct arena *scratch)
{
    Mvccpb__KeyValue *records = arena_alloc(scratch, count * sizeof(Mvccpb__KeyValue));
    Mvccpb__KeyValue **list = arena_alloc(scratch, count * sizeof(Mvccpb__KeyValue *));
    for (uint32_t i = 0; i < count; i++) {
        wire_record_dump(&kvs[i], &records[i]);
        list[i] = &records[i];
    }
    return list;
}

void wire_range_response_dump(const struct range_response *r, struct arena *scratch,
                              struct Etcdserverpb__RangeResponse *pb)
{
    etcdserverpb__range_response__init(pb);
    if (r->kvs_count > 0) {
        pb->kvs = wire_records_dump(r->kvs, r->kvs_count, scratch);
        pb->n_kvs = r->kvs_count;
    }
    pb->more = r->more;
    pb->count = r->count;
}

void wire_put_response_dump(const struct put_response *r, struct Mvccpb__KeyValue *prev,
                            struct Etcdserverpb__PutResponse *pb)
{
    etcdserverpb__put_response__init(pb);
    if (r->prev != NULL) {
        wire_record_dump(r->prev, prev);
        pb->prev_kv = prev;
    }
}

void wire_delete_response_dump(const struct delete_response *r, struct arena *scratch,
                               struct Etcdserverpb__DeleteRangeResponse *pb)
{
    etcdserverpb__delete_range_response__init(pb);
    pb->deleted = r->deleted;
    if (r->prevs_count > 0) {
        pb->prev_kvs = wire_records_dump(r->prevs, r->prevs_count, scratch);
        pb->n_prev_kvs = r->prevs_count;
    }
}

static int wire_range_response_encode(Etcdserverpb__ResponseHeader *header,
                                      const struct range_response *r, struct buf *out)
{
    struct arena scratch;
    arena_init(&scratch, WIRE_SCRATCH_CHUNK, SIZE_MAX);
    Etcdserverpb__RangeResponse pb;
    wire_range_response_dump(r, &scratch, &pb);
    pb.header = header;
    int rc = wire_pack(&pb.base, out);
    arena_release(&scratch);
    return rc;
}

static int wire_put_response_encode(Etcdserverpb__ResponseHeader *header,
                                    const struct put_response *r, struct buf *out)
{
    Mvccpb__KeyValue prev;
    Etcdserverpb__PutResponse pb;
    wire_put_response_dump(r, &prev, &pb);
    pb.header = header;
    return wire_pack(&pb.base, out);
}

static int wire_delete_response_encode(Etcdserverpb__ResponseHeader *header,
                                       const struct delete_response *r, struct buf *out)
{
    struct arena scratch;
    arena_init(&scratch, WIRE_SCRATCH_CHUNK, SIZE_MAX);
    Etcdserverpb__DeleteRangeResponse pb;
    wire_delete_response_dump(r, &scratch, &pb);
    pb.header = header;
    int rc = wire_pack(&pb.base, out);
    arena_release(&scratch);
    return rc;
}

static int wire_compact_response_encode(Etcdserverpb__ResponseHeader *header, struct buf *out)
{
    Etcdserverpb__CompactionResponse pb = ETCDSERVERPB__COMPACTION_RESPONSE__INIT;
    pb.header = header;
    return wire_pack(&pb.base, out);
}

int wire_response_encode(const struct api_header *header, const struct api_response *response,
                         struct buf *out)
{
    ASSERT(response->kind <= OP_TXN);
    Etcdserverpb__ResponseHeader pb;
    wire_header_dump(header, response->revision, &pb);
    switch ((enum op_kind) response->kind) {
    case OP_RANGE:
        return wire_range_response_encode(&pb, &response->range, out);
    case OP_PUT:
        return wire_put_response_encode(&pb, &response->put, out);
    case OP_DELETE:
        return wire_delete_response_encode(&pb, &response->del, out);
    case OP_TXN:
        return wire_txn_response_encode(header, response, out);
    case OP_NONE:
        return wire_compact_response_encode(&pb, out);
    }
    UNREACHABLE();
}

/* ---- answers: from messages to ours ---- */

void wire_header_load(const struct Etcdserverpb__ResponseHeader *pb, struct api_header *h)
{
    *h = (struct api_header){0};
    if (pb != NULL) {
        h->cluster_id = pb->cluster_id;
        h->member_id = pb->member_id;
        h->revision = pb->revision;
        h->raft_term = pb->raft_term;
    }
}

static void wire_record_load(const Mvccpb__KeyValue *pb, struct api_kv *kv)
{
    kv->key = WIRE_LOAD_BYTES(pb->key);
    kv->value = WIRE_LOAD_BYTES(pb->value);
    kv->create_revision = pb->create_revision;
    kv->mod_revision = pb->mod_revision;
    kv->version = pb->version;
    kv->lease = pb->lease;
}

/* Errors: ERR_LIMIT. */
static int wire_records_load(Mvccpb__KeyValue *const *pb, size_t count, struct arena *a,
                             const struct api_kv **ret_kvs)
{
    struct api_kv *kvs = arena_try_alloc(a, count * sizeof(struct api_kv));
    if (kvs == NULL) {
        return ERR_LIMIT;
    }
    for (size_t i = 0; i < count; i++) {
        wire_record_load(pb[i], &kvs[i]);
    }
    *ret_kvs = kvs;
    return OK;
}

int wire_range_response_load(const struct Etcdserverpb__RangeResponse *pb, struct arena *a,
                             struct range_response *r)
{
    r->kvs_count = (uint32_t) pb->n_kvs;
    r->more = pb->more != 0;
    r->count = pb->count;
    return wire_records_load(pb->kvs, pb->n_kvs, a, &r->kvs);
}

int wire_put_response_load(const struct Etcdserverpb__PutResponse *pb, struct arena *a,
                           struct put_response *r)
{
    r->prev = NULL;
    return pb->prev_kv == NULL ? OK : wire_records_load(&pb->prev_kv, 1, a, &r->prev);
}

int wire_delete_response_load(const struct Etcdserverpb__DeleteRangeResponse *pb, struct arena *a,
                              struct delete_response *r)
{
    r->deleted = pb->deleted;
    r->prevs_count = (uint32_t) pb->n_prev_kvs;
    return wire_records_load(pb->prev_kvs, pb->n_prev_kvs, a, &r->prevs);
}

static int wire_range_response_decode(struct bytes in, struct arena *a, struct api_header *h,
                                      struct range_response *r)
{
    ProtobufCMessage *m;
    int rc = wire_unpack(&etcdserverpb__range_response__descriptor, in, a, &m);
    if (rc != OK) {
        return rc;
    }
    const Etcdserverpb__RangeResponse *pb = (const Etcdserverpb__RangeResponse *) m;
    wire_header_load(pb->header, h);
    return wire_range_response_load(pb, a, r);
}

static int wire_put_response_decode(struct bytes in, struct arena *a, struct api_header *h,
                                    struct put_response *r)
{
    ProtobufCMessage *m;
    int rc = wire_unpack(&etcdserverpb__put_response__descriptor, in, a, &m);
    if (rc != OK) {
        return rc;
    }
    const Etcdserverpb__PutResponse *pb = (const Etcdserverpb__PutResponse *) m;
    wire_header_load(pb->header, h);
    return wire_put_response_load(pb, a, r);
}

static int wire_delete_response_decode(struct bytes in, struct arena *a, struct api_header *h,
                                       struct delete_response *r)
{
    ProtobufCMessage *m;
    int rc = wire_unpack(&etcdserverpb__delete_range_response__descriptor, in, a, &m);
    if (rc != OK) {
        return rc;
    }
    const Etcdserverpb__DeleteRangeResponse *pb = (const Etcdserverpb__DeleteRangeResponse *) m;
    wire_header_load(pb->header, h);
    return wire_delete_response_load(pb, a, r);
}

static int wire_compact_response_decode(struct bytes in, struct arena *a, struct api_header *h)
{
    ProtobufCMessage *m;
    int rc = wire_unpack(&etcdserverpb__compaction_response__descriptor, in, a, &m);
    if (rc == OK) {
        wire_header_load(((const Etcdserverpb__CompactionResponse *) m)->header, h);
    }
    return rc;
}

int wire_response_decode(uint8_t kind, struct bytes in, struct arena *a,
                         struct api_header *ret_header, struct api_response *ret_response)
{
    ASSERT(kind <= OP_TXN);
    struct api_header header;
    struct api_response response = {.kind = kind};
    int rc = ERR_MALFORMED;
    switch ((enum op_kind) kind) {
    case OP_RANGE:
        rc = wire_range_response_decode(in, a, &header, &response.range);
        break;
    case OP_PUT:
        rc = wire_put_response_decode(in, a, &header, &response.put);
        break;
    case OP_DELETE:
        rc = wire_delete_response_decode(in, a, &header, &response.del);
        break;
    case OP_TXN:
        rc = wire_txn_response_decode(in, a, &header, &response.txn);
        break;
    case OP_NONE:
        rc = wire_compact_response_decode(in, a, &header);
        break;
    }
    if (rc != OK) {
        return rc;
    }
    response.revision = header.revision;
    if (ret_header != NULL) {
        *ret_header = header;
    }
    *ret_response = response;
    return OK;
}
