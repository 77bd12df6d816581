/*
 * server_internal.h - the parts of a running node that server*.c share.
 */
#ifndef SYNOD_KV_SERVER_INTERNAL_H
#define SYNOD_KV_SERVER_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"
#include "kv/node_data.h"
#include "kv/server.h"
#include "kv/trace_json.h"
#include "kv/worker.h"

struct uv_loop_s;
struct server_loop;    /* server.c: libuv handles */
struct server_clients; /* server_conn.c */

struct server {
    const struct server_options *options;
    struct uv_loop_s *loop;
    struct server_loop *handles;
    struct node_data data; /* stores; mvcc and recovery are handed to the replica */
    struct replica *replica;
    struct api *api;
    struct trace_json *trace;
    uint32_t clients_max; /* connections, as configured or as the limit of open files allows */
    uint32_t peers_max;
    struct transport *transport;
    struct server_clients *clients;
    struct worker *log_worker;
    struct worker *state_worker;
    struct worker *read_worker;
    struct arena peer_arena; /* decoding of peer messages */
    struct buf peer_head;    /* encoding of peer messages */
    struct buf hello;
    uint64_t peer_frames_refused; /* disk too far behind: dropped, peers repeat */
    uint64_t disk_size;           /* of both stores, refreshed by the reader now and then */
    uint64_t disk_size_asked_us;
    bool disk_size_pending;
    int fatal;           /* first fatal error; stops the loop */
    uint64_t stale_seen; /* with ERR_STALE: the writes that a peer has seen */
    struct buf error;    /* its line */
};

/* Stops the node with one line. Only the first call counts. */
void server_fail(struct server *s, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* server_disk.c: the three workers. */
MUST_USE int server_disk_start(struct server *s, struct buf *error);
void server_disk_stop(struct server *s); /* runs what is queued to its end */
void server_disk_carry_out(struct server *s, struct replica_output *output);
bool server_disk_behind(const struct server *s); /* too many writes wait: take no more from peers */
void server_disk_ask_size(struct server *s, uint64_t now_us);

/* server_peer.c: the other nodes. */
MUST_USE int server_peer_start(struct server *s, struct buf *error);
void server_peer_send(struct server *s, struct list *messages); /* frees them */

/* server_conn.c: client connections. */
MUST_USE int server_clients_start(struct server *s, struct buf *error);
void server_clients_flush(struct server *s);    /* writes what calls have produced in this turn */
void server_clients_shutdown(struct server *s); /* no new connections; GOAWAY on the open ones */
void server_clients_close(struct server *s);    /* closes all at once */
bool server_clients_gone(const struct server *s);
void server_clients_free(struct server *s); /* after the loop has run all close callbacks */

#endif
