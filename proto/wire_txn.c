/*
 * wire_txn.c - transactions, requests and answers: the messages that nest.
 *
 * protobuf-c recurses into sub-messages, so how deep a transaction nests is looked at before it is
 * parsed, by a scan that does not recurse. Conversions walk the tree with a list of what
 * is left to do instead of the stack.
 */

#include "proto/wire_kv.h"

#include <protobuf-c/protobuf-c.h>

#include "base/assert.h"
#include "base/enc.h"
#include "proto/rpc.pb-c.h"
#include "proto/wire_arena.h"
#include "proto/wire_convert.h"

/* ---- depth ---- */

enum {
    WIRE_VARINT = 0,
    WIRE_FIXED64 = 1,
    WIRE_SIZED = 2,
    WIRE_FIXED32 = 5,

    /* A Txn holds ops, an op may hold a Txn: two levels for each. */
    NESTING_MAX = 2 * WIRE_TXN_DEPTH_MAX,

    /* Numbers of the fields that lead a level down. */
    FIELD_OP_TXN = 4, /* in RequestOp and ResponseOp */
    FIELDS_REQUEST_OPS = 1 << 2 | 1 << 3,
    FIELDS_RESPONSE_OPS = 1 << 3,
};

/* Whether the field is a message that can nest further. `level` is even in a Txn, odd in an op. */
static bool nesting_enters(uint32_t level, uint32_t field, uint32_t ops_fields)
{
    if (level % 2 != 0) {
        return field == FIELD_OP_TXN;
    }
    return field < 32 && (ops_fields >> field & 1) != 0;
}

/* Skips what follows the key of a field that is not entered; false for what is no wire type. */
static bool nesting_skip(struct reader *r, uint32_t wire_type)
{
    switch (wire_type) {
    case WIRE_VARINT:
        (void) reader_varint(r);
        return true;
    case WIRE_FIXED64:
        (void) reader_u64(r);
        return true;
    case WIRE_FIXED32:
        (void) reader_u32(r);
        return true;
    default:
        return false;
    }
}

/*
 * Refuses what nests deeper than NESTING_MAX. It reads keys and sizes at least as strictly as
 * protobuf-c does, so what passes here cannot be seen as deeper there.
 * Errors: ERR_MALFORMED, ERR_LIMIT (too deep).
 */
static int nesting_check(struct bytes in, uint32_t ops_fields)
{
    const uint8_t *ends[NESTING_MAX]; /* of the message at each level */
    uint32_t level = 0;
    struct reader r;
    reader_init(&r, in);
    ends[0] = r.end;
    while (reader_left(&r) > 0) {
        uint64_t key = reader_varint(&r);
        uint32_t wire_type = key & 7;
        if (key > UINT32_MAX) {
            return ERR_MALFORMED;
        }
        if (wire_type == WIRE_SIZED) {
            uint64_t size = reader_varint(&r);
            if (r.failed || r.p > ends[level] || size > (uint64_t) (ends[level] - r.p)) {
                return ERR_MALFORMED;
            }
            if (!nesting_enters(level, (uint32_t) (key >> 3), ops_fields)) {
                (void) reader_bytes(&r, (size_t) size);
            } else if (level + 1 == NESTING_MAX) {
                return ERR_LIMIT;
            } else {
                level++;
                ends[level] = r.p + size;
            }
        } else if (!nesting_skip(&r, wire_type)) {
            return ERR_MALFORMED;
        }
        if (r.failed || r.p > ends[level]) {
            return ERR_MALFORMED;
        }
        while (level > 0 && r.p == ends[level]) {
            level--;
        }
    }
    /* The outer message ends with the input, and so does all that is in it. */
    return r.failed ? ERR_MALFORMED : OK;
}

/* ---- requests: from messages to ours ---- */

/* A transaction that was found inside another and is still to be converted. */
struct request_task {
    struct request_task *next;
    const Etcdserverpb__TxnRequest *pb;
    struct txn_request *txn;
};

static void compare_load(const Etcdserverpb__Compare *pb, struct compare *c)
{
    c->result = (int32_t) pb->result;
    c->target = (int32_t) pb->target;
    c->key = WIRE_LOAD_BYTES(pb->key);
    c->range_end = WIRE_LOAD_BYTES(pb->range_end);
    c->number = 0;
    c->value = bytes_of(NULL, 0);
    /* A member of the union that is not the target's counts as 0, as in etcd. */
    switch (pb->target_union_case) {
    case ETCDSERVERPB__COMPARE__TARGET_UNION_VERSION:
        c->number = c->target == COMPARE_VERSION ? pb->version : 0;
        break;
    case ETCDSERVERPB__COMPARE__TARGET_UNION_CREATE_REVISION:
        c->number = c->target == COMPARE_CREATE ? pb->create_revision : 0;
        break;
    case ETCDSERVERPB__COMPARE__TARGET_UNION_MOD_REVISION:
        c->number = c->target == COMPARE_MOD ? pb->mod_revision : 0;
        break;
    case ETCDSERVERPB__COMPARE__TARGET_UNION_LEASE:
        c->number = c->target == COMPARE_LEASE ? pb->lease : 0;
        break;
    case ETCDSERVERPB__COMPARE__TARGET_UNION_VALUE:
        if (c->target == COMPARE_VALUE) {
            c->value = WIRE_LOAD_BYTES(pb->value);
        }
        break;
    default:
        break;
    }
}

/* Converts one op; the transaction in it is put off into *tasks. Errors: ERR_LIMIT. */
static int request_op_load(const Etcdserverpb__RequestOp *pb, struct arena *a,
                           struct request_task **tasks, struct txn_op *op)
{
    op->kind = OP_NONE;
    switch (pb->request_case) {
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE:
        op->kind = OP_RANGE;
        wire_range_request_load(pb->request_range, &op->range);
        return OK;
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT:
        op->kind = OP_PUT;
        wire_put_request_load(pb->request_put, &op->put);
        return OK;
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE:
        op->kind = OP_DELETE;
        wire_delete_request_load(pb->request_delete_range, &op->del);
        return OK;
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN:
        break;
    default:
        return OK;
    }
    struct txn_request *txn = arena_try_alloc(a, sizeof(struct txn_request));
    struct request_task *task = arena_try_alloc(a, sizeof(struct request_task));
    if (txn == NULL || task == NULL) {
        return ERR_LIMIT;
    }
    task->pb = pb->request_txn;
    task->txn = txn;
    task->next = *tasks;
    *tasks = task;
    op->kind = OP_TXN;
    op->txn = txn;
    return OK;
}

/* Errors: ERR_LIMIT. */
static int request_ops_load(Etcdserverpb__RequestOp *const *pb, size_t count, struct arena *a,
                            struct request_task **tasks, const struct txn_op **ret_ops)
{
    struct txn_op *ops = arena_try_alloc(a, count * sizeof(struct txn_op));
    int rc = ops == NULL ? ERR_LIMIT : OK;
    for (size_t i = 0; rc == OK && i < count; i++) {
        rc = request_op_load(pb[i], a, tasks, &ops[i]);
    }
    if (rc == OK) {
        *ret_ops = ops;
    }
    return rc;
}

/* Converts one transaction without those nested in it, which are added to *tasks.
 * Errors: ERR_LIMIT. */
static int request_txn_load(const Etcdserverpb__TxnRequest *pb, struct arena *a,
                            struct request_task **tasks, struct txn_request *txn)
{
    struct compare *compares = arena_try_alloc(a, pb->n_compare * sizeof(struct compare));
    if (compares == NULL) {
        return ERR_LIMIT;
    }
    for (size_t i = 0; i < pb->n_compare; i++) {
        compare_load(pb->compare[i], &compares[i]);
    }
    txn->compares = compares;
    txn->compares_count = (uint32_t) pb->n_compare;
    txn->success_count = (uint32_t) pb->n_success;
    txn->failure_count = (uint32_t) pb->n_failure;
    int rc = request_ops_load(pb->success, pb->n_success, a, tasks, &txn->success);
    if (rc == OK) {
        rc = request_ops_load(pb->failure, pb->n_failure, a, tasks, &txn->failure);
    }
    return rc;
}

int wire_txn_request_decode(struct bytes in, struct arena *a, struct txn_request *ret_request)
{
    int rc = nesting_check(in, FIELDS_REQUEST_OPS);
    if (rc != OK) {
        return rc;
    }
    ProtobufCMessage *m;
    rc = wire_unpack(&etcdserverpb__txn_request__descriptor, in, a, &m);
    if (rc != OK) {
        return rc;
    }
    struct request_task *tasks = NULL;
    struct txn_request txn;
    rc = request_txn_load((const Etcdserverpb__TxnRequest *) m, a, &tasks, &txn);
    while (rc == OK && tasks != NULL) {
        const struct request_task *task = tasks;
        tasks = task->next;
        rc = request_txn_load(task->pb, a, &tasks, task->txn);
    }
    if (rc == OK) {
        *ret_request = txn;
    }
    return rc;
}

/* ---- requests: from ours to messages ---- */

struct request_dump_task {
    struct request_dump_task *next;
    const struct txn_request *txn;
    Etcdserverpb__TxnRequest *pb;
    uint32_t depth; /* 1 is the outermost */
};

static void compare_dump(const struct compare *c, Etcdserverpb__Compare *pb)
{
    etcdserverpb__compare__init(pb);
    pb->result = (Etcdserverpb__Compare__CompareResult) c->result;
    pb->target = (Etcdserverpb__Compare__CompareTarget) c->target;
    WIRE_DUMP_BYTES(pb->key, c->key);
    WIRE_DUMP_BYTES(pb->range_end, c->range_end);
    switch (c->target) {
    case COMPARE_VERSION:
        pb->target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_VERSION;
        pb->version = c->number;
        break;
    case COMPARE_CREATE:
        pb->target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_CREATE_REVISION;
        pb->create_revision = c->number;
        break;
    case COMPARE_MOD:
        pb->target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_MOD_REVISION;
        pb->mod_revision = c->number;
        break;
    case COMPARE_VALUE:
        pb->target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_VALUE;
        WIRE_DUMP_BYTES(pb->value, c->value);
        break;
    case COMPARE_LEASE:
        pb->target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_LEASE;
        pb->lease = c->number;
        break;
    default:
        break;
    }
}

static void request_op_dump(const struct txn_op *op, const struct request_dump_task *parent,
                            struct arena *scratch, struct request_dump_task **tasks,
                            Etcdserverpb__RequestOp *pb)
{
    etcdserverpb__request_op__init(pb);
    switch ((enum op_kind) op->kind) {
    case OP_RANGE:
        pb->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
        pb->request_range = arena_alloc(scratch, sizeof *pb->request_range);
        wire_range_request_dump(&op->range, pb->request_range);
        break;
    case OP_PUT:
        pb->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
        pb->request_put = arena_alloc(scratch, sizeof *pb->request_put);
        wire_put_request_dump(&op->put, pb->request_put);
        break;
    case OP_DELETE:
        pb->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
        pb->request_delete_range = arena_alloc(scratch, sizeof *pb->request_delete_range);
        wire_delete_request_dump(&op->del, pb->request_delete_range);
        break;
    case OP_TXN: {
        struct request_dump_task *task = arena_alloc(scratch, sizeof *task);
        pb->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN;
        pb->request_txn = arena_alloc(scratch, sizeof *pb->request_txn);
        task->pb = pb->request_txn;
        task->txn = op->txn;
        task->depth = parent->depth + 1;
        task->next = *tasks;
        *tasks = task;
        break;
    }
    case OP_NONE:
        break;
    }
}

static Etcdserverpb__RequestOp **request_ops_dump(const struct txn_op *ops, uint32_t count,
                                                  const struct request_dump_task *parent,
                                                  struct arena *scratch,
                                                  struct request_dump_task **tasks)
{
    Etcdserverpb__RequestOp *pb = arena_alloc(scratch, count * sizeof *pb);
    Etcdserverpb__RequestOp **list = arena_alloc(scratch, count * sizeof *list);
    for (uint32_t i = 0; i < count; i++) {
        list[i] = &pb[i];
        request_op_dump(&ops[i], parent, scratch, tasks, &pb[i]);
    }
    return list;
}

static void request_txn_dump(const struct request_dump_task *task, struct arena *scratch,
                             struct request_dump_task **tasks)
{
    const struct txn_request *txn = task->txn;
    Etcdserverpb__TxnRequest *pb = task->pb;
    etcdserverpb__txn_request__init(pb);
    Etcdserverpb__Compare *compares = arena_alloc(scratch, txn->compares_count * sizeof *compares);
    pb->n_compare = txn->compares_count;
    pb->compare = arena_alloc(scratch, txn->compares_count * sizeof *pb->compare);
    for (uint32_t i = 0; i < txn->compares_count; i++) {
        pb->compare[i] = &compares[i];
        compare_dump(&txn->compares[i], &compares[i]);
    }
    pb->n_success = txn->success_count;
    pb->success = request_ops_dump(txn->success, txn->success_count, task, scratch, tasks);
    pb->n_failure = txn->failure_count;
    pb->failure = request_ops_dump(txn->failure, txn->failure_count, task, scratch, tasks);
}

int wire_txn_request_encode(const struct txn_request *request, struct buf *out)
{
    struct arena scratch;
    arena_init(&scratch, WIRE_SCRATCH_CHUNK, SIZE_MAX);
    Etcdserverpb__TxnRequest pb;
    struct request_dump_task root = {.txn = request, .pb = &pb, .depth = 1};
    struct request_dump_task *tasks = &root;
    int rc = OK;
    while (rc == OK && tasks != NULL) {
        const struct request_dump_task *task = tasks;
        tasks = task->next;
        if (task->depth > WIRE_TXN_DEPTH_MAX) {
            rc = ERR_LIMIT;
        } else {
            request_txn_dump(task, &scratch, &tasks);
        }
    }
    if (rc == OK) {
        rc = wire_pack(&pb.base, out);
    }
    arena_release(&scratch);
    return rc;
}

/* ---- answers: from ours to messages ---- */

struct response_dump_task {
    struct response_dump_task *next;
    const struct txn_response *txn;
    Etcdserverpb__TxnResponse *pb;
    uint32_t depth;
};

/* The header of an answer inside a transaction carries the revision only. */
static Etcdserverpb__ResponseHeader *nested_header_dump(int64_t revision, struct arena *scratch)
{
    Etcdserverpb__ResponseHeader *pb = arena_alloc(scratch, sizeof *pb);
    etcdserverpb__response_header__init(pb);
    pb->revision = revision;
    return pb;
}

static void response_op_dump(const struct api_response *r, const struct response_dump_task *parent,
                             struct arena *scratch, struct response_dump_task **tasks,
                             Etcdserverpb__ResponseOp *pb)
{
    etcdserverpb__response_op__init(pb);
    switch ((enum op_kind) r->kind) {
    case OP_RANGE:
        pb->response_case = ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE;
        pb->response_range = arena_alloc(scratch, sizeof *pb->response_range);
        wire_range_response_dump(&r->range, scratch, pb->response_range);
        pb->response_range->header = nested_header_dump(r->revision, scratch);
        break;
    case OP_PUT:
        pb->response_case = ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_PUT;
        pb->response_put = arena_alloc(scratch, sizeof *pb->response_put);
        wire_put_response_dump(&r->put, arena_alloc(scratch, sizeof(Mvccpb__KeyValue)),
                               pb->response_put);
        pb->response_put->header = nested_header_dump(r->revision, scratch);
        break;
    case OP_DELETE:
        pb->response_case = ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_DELETE_RANGE;
        pb->response_delete_range = arena_alloc(scratch, sizeof *pb->response_delete_range);
        wire_delete_response_dump(&r->del, scratch, pb->response_delete_range);
        pb->response_delete_range->header = nested_header_dump(r->revision, scratch);
        break;
    case OP_TXN: {
        struct response_dump_task *task = arena_alloc(scratch, sizeof *task);
        pb->response_case = ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_TXN;
        pb->response_txn = arena_alloc(scratch, sizeof *pb->response_txn);
        etcdserverpb__txn_response__init(pb->response_txn);
        pb->response_txn->header = nested_header_dump(r->revision, scratch);
        task->pb = pb->response_txn;
        task->txn = &r->txn;
        task->depth = parent->depth + 1;
        task->next = *tasks;
        *tasks = task;
        break;
    }
    case OP_NONE:
        break;
    }
}

/* Fills all but the header of the task's message. */
static void response_txn_dump(const struct response_dump_task *task, struct arena *scratch,
                              struct response_dump_task **tasks)
{
    const struct txn_response *txn = task->txn;
    uint32_t count = txn->responses_count;
    Etcdserverpb__ResponseOp *ops = arena_alloc(scratch, count * sizeof *ops);
    task->pb->succeeded = txn->succeeded;
    task->pb->n_responses = count;
    task->pb->responses = arena_alloc(scratch, count * sizeof *task->pb->responses);
    for (uint32_t i = 0; i < count; i++) {
        task->pb->responses[i] = &ops[i];
        response_op_dump(&txn->responses[i], task, scratch, tasks, &ops[i]);
    }
}

int wire_txn_response_encode(const struct api_header *header, const struct api_response *response,
                             struct buf *out)
{
    ASSERT(response->kind == OP_TXN);
    struct arena scratch;
    arena_init(&scratch, WIRE_SCRATCH_CHUNK, SIZE_MAX);
    Etcdserverpb__ResponseHeader pb_header;
    wire_header_dump(header, response->revision, &pb_header);
    Etcdserverpb__TxnResponse pb = ETCDSERVERPB__TXN_RESPONSE__INIT;
    pb.header = &pb_header;
    struct response_dump_task root = {.txn = &response->txn, .pb = &pb, .depth = 1};
    struct response_dump_task *tasks = &root;
    int rc = OK;
    while (rc == OK && tasks != NULL) {
        const struct response_dump_task *task = tasks;
        tasks = task->next;
        if (task->depth > WIRE_TXN_DEPTH_MAX) {
            rc = ERR_LIMIT;
        } else {
            response_txn_dump(task, &scratch, &tasks);
        }
    }
    if (rc == OK) {
        rc = wire_pack(&pb.base, out);
    }
    arena_release(&scratch);
    return rc;
}

/* ---- answers: from messages to ours ---- */

struct response_task {
    struct response_task *next;
    const Etcdserverpb__TxnResponse *pb;
    struct txn_response *txn;
};

/* Converts the answer in `pb`; that of a transaction is put off into *tasks. Errors: ERR_LIMIT. */
static int response_op_load(const Etcdserverpb__ResponseOp *pb, struct arena *a,
                            struct response_task **tasks, struct api_response *r)
{
    const Etcdserverpb__ResponseHeader *pb_header = NULL;
    int rc = OK;
    *r = (struct api_response){.kind = OP_NONE};
    switch (pb->response_case) {
    case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE:
        r->kind = OP_RANGE;
        pb_header = pb->response_range->header;
        rc = wire_range_response_load(pb->response_range, a, &r->range);
        break;
    case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_PUT:
        r->kind = OP_PUT;
        pb_header = pb->response_put->header;
        rc = wire_put_response_load(pb->response_put, a, &r->put);
        break;
    case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_DELETE_RANGE:
        r->kind = OP_DELETE;
        pb_header = pb->response_delete_range->header;
        rc = wire_delete_response_load(pb->response_delete_range, a, &r->del);
        break;
    case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_TXN: {
        struct response_task *task = arena_try_alloc(a, sizeof *task);
        if (task == NULL) {
            return ERR_LIMIT;
        }
        r->kind = OP_TXN;
        pb_header = pb->response_txn->header;
        task->pb = pb->response_txn;
        task->txn = &r->txn;
        task->next = *tasks;
        *tasks = task;
        break;
    }
    default:
        break;
    }
    r->revision = pb_header == NULL ? 0 : pb_header->revision;
    return rc;
}

/* Errors: ERR_LIMIT. */
static int response_txn_load(const Etcdserverpb__TxnResponse *pb, struct arena *a,
                             struct response_task **tasks, struct txn_response *txn)
{
    size_t count = pb->n_responses;
    struct api_response *responses = arena_try_alloc(a, count * sizeof(struct api_response));
    int rc = responses == NULL ? ERR_LIMIT : OK;
    for (size_t i = 0; rc == OK && i < count; i++) {
        rc = response_op_load(pb->responses[i], a, tasks, &responses[i]);
    }
    txn->succeeded = pb->succeeded != 0;
    txn->responses = responses;
    txn->responses_count = (uint32_t) count;
    return rc;
}

int wire_txn_response_decode(struct bytes in, struct arena *a, struct api_header *ret_header,
                             struct txn_response *ret_response)
{
    int rc = nesting_check(in, FIELDS_RESPONSE_OPS);
    if (rc != OK) {
        return rc;
    }
    ProtobufCMessage *m;
    rc = wire_unpack(&etcdserverpb__txn_response__descriptor, in, a, &m);
    if (rc != OK) {
        return rc;
    }
    const Etcdserverpb__TxnResponse *pb = (const Etcdserverpb__TxnResponse *) m;
    struct response_task *tasks = NULL;
    struct txn_response txn;
    rc = response_txn_load(pb, a, &tasks, &txn);
    while (rc == OK && tasks != NULL) {
        const struct response_task *task = tasks;
        tasks = task->next;
        rc = response_txn_load(task->pb, a, &tasks, task->txn);
    }
    if (rc == OK) {
        wire_header_load(pb->header, ret_header);
        *ret_response = txn;
    }
    return rc;
}
