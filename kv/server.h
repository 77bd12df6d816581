/*
 * server.h - the pump of a real node: libuv loop, sockets, threads and time around ring 2
 * (kv/replica).
 *
 * Nothing is decided here: bytes go in, what replica_take() hands over is carried out. server.c has
 * the turn and the life cycle, server_conn.c the client connections, server_peer.c the peers,
 * server_disk.c the three workers, node_data.c what is on disk.
 */
#ifndef SYNOD_KV_SERVER_H
#define SYNOD_KV_SERVER_H

#include "base/buf.h"
#include "base/err.h"
#include "kv/api.h"
#include "kv/logstore.h"
#include "kv/replica.h"
#include "kv/store.h"
#include "net/grpc.h"
#include "net/transport.h"

/* Everything a node needs to know; all strings and arrays are borrowed until server_run returns. */
struct server_options {
    struct identity identity; /* who this node is; must agree with the data directory */
    const char *node_name;
    const char *data_dir;
    bool create;           /* the cluster is new: make data_dir if there is none */
    const char *log_store; /* names in the tables of logstore.h and store.h */
    const char *state_store;
    size_t log_write_buffer;
    size_t state_write_buffer;
    size_t state_cache;

    const char *client_host;
    uint16_t client_port;
    uint32_t connections_max;

    struct transport_options transport; /* hello, callbacks and ctx are filled in by the server */
    struct replica_options replica;     /* incarnation and trace are filled in by the server */
    struct api_options api;             /* disk_size is filled in by the server */
    struct grpc_limits grpc;

    uint64_t grace_us;      /* a graceful stop waits this long for open calls */
    const char *trace_path; /* NULL: no trace */
};

/*
 * Opens or creates the data directory, serves until SIGINT or SIGTERM, and stops gracefully. OK
 * then. On failure `error` has one line: what, where, remedy. Raises the process's limit of open
 * files as far as it may. Errors: all of logstore_open and store_open, ERR_MISMATCH (data of
 * another cluster, node or engine), ERR_ADDRESS_IN_USE, ERR_LIMIT (too few open files allowed),
 * ERR_INVALID, and the fatal ones that stopped a running node.
 */
MUST_USE int server_run(const struct server_options *options, struct buf *error);

#endif
