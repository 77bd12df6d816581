/*
 * wire_kv.h - etcd v3 protobuf messages <-> the structs of proto/api.h, both directions (server and
 * client use the same).
 *
 * Decoding allocates from the caller's arena; the result is valid until the arena is reset and
 * while the input lives. It checks only that the bytes are the message; the rules of the API (empty
 * key, too many operations ...) are kv/api_check's.
 *
 * Every decoder leaves its results alone on failure. Errors: ERR_MALFORMED (not such a message),
 * ERR_LIMIT (the arena's limit; a transaction nested deeper than WIRE_TXN_DEPTH_MAX).
 * Every encoder appends to `out`. Errors: ERR_LIMIT (the buffer's, which is then unchanged; a
 * transaction nested too deep).
 */
#ifndef SYNOD_PROTO_WIRE_KV_H
#define SYNOD_PROTO_WIRE_KV_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "proto/api.h"

/* A transaction in a transaction in ...: this many at most, the outermost counted. */
enum { WIRE_TXN_DEPTH_MAX = 16 };

MUST_USE int wire_range_request_decode(struct bytes in, struct arena *a,
                                       struct range_request *ret_request);
MUST_USE int wire_put_request_decode(struct bytes in, struct arena *a,
                                     struct put_request *ret_request);
MUST_USE int wire_delete_request_decode(struct bytes in, struct arena *a,
                                        struct delete_request *ret_request);
MUST_USE int wire_txn_request_decode(struct bytes in, struct arena *a,
                                     struct txn_request *ret_request);
MUST_USE int wire_compact_request_decode(struct bytes in, struct arena *a,
                                         struct compact_request *ret_request);

MUST_USE int wire_range_request_encode(const struct range_request *request, struct buf *out);
MUST_USE int wire_put_request_encode(const struct put_request *request, struct buf *out);
MUST_USE int wire_delete_request_encode(const struct delete_request *request, struct buf *out);
MUST_USE int wire_txn_request_encode(const struct txn_request *request, struct buf *out);
MUST_USE int wire_compact_request_encode(const struct compact_request *request, struct buf *out);

/* The response message that belongs to response->kind (RangeResponse, PutResponse,
 * DeleteRangeResponse, TxnResponse; OP_NONE: CompactionResponse). header->revision is ignored,
 * response->revision counts; nested headers of a Txn carry only the revision. */
MUST_USE int wire_response_encode(const struct api_header *header,
                                  const struct api_response *response, struct buf *out);

/* kind says which message `in` is. ret_header may be NULL. */
MUST_USE int wire_response_decode(uint8_t kind, struct bytes in, struct arena *a,
                                  struct api_header *ret_header, struct api_response *ret_response);

/* Maintenance.Status, Cluster.MemberList, health. Texts hold no zero bytes. */
struct api_status {
    struct bytes version;
    int64_t db_size;
    int64_t db_size_in_use;
    int64_t db_size_quota;
    uint64_t leader;
    uint64_t raft_index;
    uint64_t raft_term;
    uint64_t raft_applied_index;
    bool is_learner;
    const struct bytes *errors; /* what is wrong, in etcd's words ("etcdserver: no leader") */
    uint32_t errors_count;
    struct bytes storage_version;
    /* Extension fields (numbers from 1000 on, ignored by etcd clients): */
    struct bytes engine;
    struct bytes role;
    uint64_t state_hash;
    uint64_t last_index;
    uint64_t durable_index;
    uint64_t incarnation;
};

struct api_member {
    uint64_t id;
    struct bytes name;
    const struct bytes *peer_urls;
    uint32_t peer_urls_count;
    const struct bytes *client_urls;
    uint32_t client_urls_count;
    bool is_learner;
};

/* ret_header of a decoder may be NULL. A StatusRequest is always empty. */
MUST_USE int wire_status_encode(const struct api_header *header, const struct api_status *status,
                                struct buf *out);
MUST_USE int wire_status_decode(struct bytes in, struct arena *a, struct api_header *ret_header,
                                struct api_status *ret_status);
MUST_USE int wire_members_encode(const struct api_header *header, const struct api_member *members,
                                 uint32_t count, struct buf *out);
MUST_USE int wire_members_decode(struct bytes in, struct arena *a, struct api_header *ret_header,
                                 const struct api_member **ret_members, uint32_t *ret_count);
MUST_USE int wire_members_request_decode(struct bytes in, struct arena *a, bool *ret_linearizable);

/* grpc.health.v1: Check request's service name; answer status 0 unknown, 1 serving, 2 not serving,
 * 3 service unknown. */
MUST_USE int wire_health_request_decode(struct bytes in, struct arena *a,
                                        struct bytes *ret_service);
MUST_USE int wire_health_response_encode(int32_t status, struct buf *out);

#endif
