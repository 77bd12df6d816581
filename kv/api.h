/*
 * api.h - the client API: gRPC calls in, replica requests out; answers back (etcd-v3.md). Without
 * I/O.
 *
 * One file per etcd service (api_kv, api_maintenance, api_cluster, api_health) fills a table of
 * methods; this module finds the method, keeps the call while the replica works on it and writes
 * the answer into the connection it came from. A call is known to the replica by a number, never by
 * a pointer: its client may vanish meanwhile. Loop thread only.
 */
#ifndef SYNOD_KV_API_H
#define SYNOD_KV_API_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "kv/replica.h"
#include "net/grpc.h"
#include "proto/wire_kv.h"

struct api;

struct api_options {
    uint64_t cluster_id;
    uint64_t member_id;
    const struct api_member *members; /* borrowed for the lifetime */
    uint32_t members_count;
    uint32_t txn_ops_max;
    uint32_t request_bytes_max;  /* etcd: 1.5 MiB; larger ones: "request is too large" */
    size_t response_bytes_max;   /* of one encoded answer */
    uint64_t request_timeout_us; /* of a call whose client set none, and the longest any may wait */
    /* Bytes on disk, for Status; any moment. */
    uint64_t (*disk_size)(void *ctx);
    void *ctx;
};

/* The part of a client connection the API needs; embedded by its owner, which creates grpc with
 * api_callbacks. */
struct api_connection {
    struct api *api;
    struct grpc *grpc;
    struct list_node dirty; /* linked while grpc has new output */
};

struct api *api_new(const struct api_options *options, struct replica *replica);
void api_free(struct api *a); /* after all connections are gone */

/* Time of this turn. */
void api_tick(struct api *a, uint64_t now_us);

/* Prepares c (all but grpc, which the owner sets right after) and the callbacks for its
 * grpc_new_server. */
void api_connection_init(struct api *a, struct api_connection *c,
                         struct grpc_callbacks *ret_callbacks);

/* Hands an answer of the replica to its call; takes the result over. A call that is gone is fine.
 */
void api_reply(struct api *a, const struct replica_reply *reply);

/* The owner fed the connection or changed its grpc: there may be output. */
void api_mark_dirty(struct api *a, struct api_connection *c);

/* The next connection with new output since it was last returned, or NULL. */
struct api_connection *api_next_dirty(struct api *a);

/* Calls under way. */
uint32_t api_calls(const struct api *a);

#endif
