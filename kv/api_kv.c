/*
 * api_kv.c - etcdserverpb.KV: Range, Put, DeleteRange, Txn, Compact (etcd-v3.md 4).
 *
 * A request is decoded and checked here once, at the node the client talks to; a write then goes
 * into the log as the very bytes the client sent.
 */
#include "kv/api_check.h"
#include "kv/api_internal.h"

static int submit_write(struct api_call *call, uint8_t tag, struct bytes request)
{
    const struct replica_write_args args = {
        .call = call->id,
        .deadline_us = call->deadline_us,
        .tag = tag,
        .request = request,
        .session = call->session,
        .sequence = call->sequence,
    };
    int err = replica_write(call->api->replica, &args);

    if (err == OK) {
        call->submitted = true;
    }
    return err;
}

static int submit_read(struct api_call *call, uint8_t kind, bool serializable, struct bytes request)
{
    const struct replica_read_args args = {
        .call = call->id,
        .deadline_us = call->deadline_us,
        .kind = kind,
        .serializable = serializable,
        .request = request,
    };
    int err = replica_read(call->api->replica, &args);

    if (err == OK) {
        call->submitted = true;
    }
    return err;
}

static int kv_range(struct api_call *call, struct bytes in)
{
    struct range_request request;
    int err = wire_range_request_decode(in, &call->api->arena, &request);

    if (err != OK) {
        return err;
    }
    err = api_check_range(&request);
    if (err != OK) {
        return err;
    }
    return submit_read(call, OP_RANGE, request.serializable, in);
}

static int kv_put(struct api_call *call, struct bytes in)
{
    struct put_request request;
    int err = wire_put_request_decode(in, &call->api->arena, &request);

    if (err != OK) {
        return err;
    }
    err = api_check_put(&request);
    if (err != OK) {
        return err;
    }
    return submit_write(call, TAG_PUT, in);
}

static int kv_delete_range(struct api_call *call, struct bytes in)
{
    struct delete_request request;
    int err = wire_delete_request_decode(in, &call->api->arena, &request);

    if (err != OK) {
        return err;
    }
    err = api_check_delete(&request);
    if (err != OK) {
        return err;
    }
    return submit_write(call, TAG_DELETE, in);
}

/* All ranges of a read-only transaction are serializable, nested ones are not looked into: those
 * wait. */
static bool txn_is_serializable(const struct txn_request *txn)
{
    const struct txn_op *branches[] = {txn->success, txn->failure};
    const uint32_t counts[] = {txn->success_count, txn->failure_count};

    for (uint32_t b = 0; b < 2; b++) {
        for (uint32_t i = 0; i < counts[b]; i++) {
            const struct txn_op *op = &branches[b][i];

            if (op->kind != OP_RANGE || !op->range.serializable) {
                return false;
            }
        }
    }
    return true;
}

static int kv_txn(struct api_call *call, struct bytes in)
{
    struct txn_request request;
    int err = wire_txn_request_decode(in, &call->api->arena, &request);

    if (err != OK) {
        return err;
    }
    err = api_check_txn(&request, call->api->options.txn_ops_max);
    if (err != OK) {
        return err;
    }
    if (mvcc_txn_is_read(&request)) {
        return submit_read(call, OP_TXN, txn_is_serializable(&request), in);
    }
    return submit_write(call, TAG_TXN, in);
}

static int kv_compact(struct api_call *call, struct bytes in)
{
    struct compact_request request;
    int err = wire_compact_request_decode(in, &call->api->arena, &request);

    if (err != OK) {
        return err;
    }
    return submit_write(call, TAG_COMPACT, in);
}

const struct api_method api_kv_methods[] = {
    {"/etcdserverpb.KV/Range", kv_range},
    {"/etcdserverpb.KV/Put", kv_put},
    {"/etcdserverpb.KV/DeleteRange", kv_delete_range},
    {"/etcdserverpb.KV/Txn", kv_txn},
    {"/etcdserverpb.KV/Compact", kv_compact},
    {NULL, NULL},
};
