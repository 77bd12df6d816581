/*
 * api_error.c - see api_error.h.
 */
#include "kv/api_error.h"

#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"
#include "net/grpc.h"

static const struct {
    int err;
    struct api_error answer;
} table[] = {
    {ERR_KEY_EMPTY, {GRPC_INVALID_ARGUMENT, "etcdserver: key is not provided"}},
    {ERR_KEY_NOT_FOUND, {GRPC_INVALID_ARGUMENT, "etcdserver: key not found"}},
    {ERR_VALUE_PROVIDED, {GRPC_INVALID_ARGUMENT, "etcdserver: value is provided"}},
    {ERR_LEASE_PROVIDED, {GRPC_INVALID_ARGUMENT, "etcdserver: lease is provided"}},
    {ERR_TOO_MANY_OPS, {GRPC_INVALID_ARGUMENT, "etcdserver: too many operations in txn request"}},
    {ERR_DUPLICATE_KEY, {GRPC_INVALID_ARGUMENT, "etcdserver: duplicate key given in txn request"}},
    {ERR_SORT_OPTION, {GRPC_INVALID_ARGUMENT, "etcdserver: invalid sort option"}},
    {ERR_REQUEST_TOO_LARGE, {GRPC_INVALID_ARGUMENT, "etcdserver: request is too large"}},
    {ERR_LEASE_NOT_FOUND, {GRPC_NOT_FOUND, "etcdserver: requested lease not found"}},
    {ERR_NO_SPACE_QUOTA, {GRPC_RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded"}},
    {ERR_TOO_MANY_REQUESTS, {GRPC_RESOURCE_EXHAUSTED, "etcdserver: too many requests"}},
    {ERR_NOT_LEADER, {GRPC_FAILED_PRECONDITION, "etcdserver: not leader"}},
    {ERR_UNSUPPORTED, {GRPC_FAILED_PRECONDITION, "etcdserver: not capable"}},
    {ERR_COMPACTED, {GRPC_OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted"}},
    {ERR_FUTURE_REVISION,
     {GRPC_OUT_OF_RANGE, "etcdserver: mvcc: required revision is a future revision"}},
    {ERR_NO_LEADER, {GRPC_UNAVAILABLE, "etcdserver: no leader"}},
    {ERR_STOPPING, {GRPC_UNAVAILABLE, "etcdserver: server stopped"}},
    {ERR_TIMEOUT, {GRPC_UNAVAILABLE, "etcdserver: request timed out"}},
    {ERR_SESSION_EXPIRED,
     {GRPC_FAILED_PRECONDITION,
      "synod: session expired: begin a new one with sequence 1; whether the request was applied "
      "before is unknown"}},
    {ERR_NOT_FOUND, {GRPC_NOT_FOUND, "unknown service"}},
    {ERR_MALFORMED, {GRPC_INTERNAL, "grpc: error while decoding the request message"}},
    {ERR_LIMIT, {GRPC_RESOURCE_EXHAUSTED, "etcdserver: too many requests"}},
    {ERR_BUSY, {GRPC_RESOURCE_EXHAUSTED, "etcdserver: too many requests"}},
    {ERR_CORRUPT, {GRPC_DATA_LOSS, "etcdserver: corrupt cluster"}},
    {ERR_DIVERGED, {GRPC_DATA_LOSS, "etcdserver: corrupt cluster"}},
};

struct api_error api_error_of(int err)
{
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        if (table[i].err == err) {
            return table[i].answer;
        }
    }
    return (struct api_error){GRPC_UNKNOWN, err_text(err)};
}
