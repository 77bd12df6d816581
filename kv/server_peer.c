/*
 * server_peer.c - between the transport and the replica: hello, frames in, messages out.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/diag.h"
#include "base/mem.h"
#include "kv/server_internal.h"
#include "proto/wire_peer.h"

enum { PEER_ARENA_CHUNK = 64 * 1024, PEER_ARENA_MAX = 64 * 1024 * 1024, PEER_PARTS = 64 };

static int on_hello(void *ctx, struct bytes body, uint32_t *ret_peer)
{
    struct server *s = ctx;
    const struct identity *self = &s->options->identity;
    struct peer_hello hello;
    int err;

    arena_reset(&s->peer_arena);
    err = wire_hello_decode(body, &s->peer_arena, &hello);
    if (err != OK) {
        DIAG_WARN("a connection on the peer port did not begin with a hello: closed");
        return err;
    }
    if (hello.version != PEER_VERSION) {
        DIAG_WARN("peer %u speaks version %u of the peer protocol, this node %u: closed",
                  hello.from, hello.version, (unsigned) PEER_VERSION);
        return ERR_VERSION;
    }
    if (hello.cluster_id != self->cluster_id) {
        DIAG_WARN("node %u of another cluster (%016" PRIx64 ", this is %016" PRIx64
                  ") connected: closed; check the addresses of its members",
                  hello.from, hello.cluster_id, self->cluster_id);
        return ERR_MISMATCH;
    }
    if (hello.engine != self->engine) {
        DIAG_WARN("node %u runs another engine: closed; all nodes of a cluster use the same",
                  hello.from);
        return ERR_MISMATCH;
    }
    if (hello.sessions_max != s->options->replica.mvcc.sessions_max) {
        DIAG_WARN("node %u has limits.sessions_max %u, this node %u: closed; what is remembered of "
                  "clients must be equal on all nodes",
                  hello.from, hello.sessions_max, s->options->replica.mvcc.sessions_max);
        return ERR_MISMATCH;
    }
    if (hello.from == self->node) {
        DIAG_WARN("a node with this node's own id (%u) connected: closed; give each node its own",
                  hello.from);
        return ERR_MISMATCH;
    }
    if (membership_rank(&s->options->replica.consensus.members, hello.from) < 0) {
        DIAG_WARN("node %u is no member of this cluster: closed", hello.from);
        return ERR_MISMATCH;
    }
    replica_peer_up(s->replica, hello.from, hello.incarnation);
    *ret_peer = hello.from;
    return OK;
}

/* D9. */
static void fail_stale(struct server *s, uint32_t peer, const struct envelope *envelope)
{
    const struct envelope ours = replica_envelope(s->replica, peer);

    s->stale_seen = envelope->to_seen;
    server_fail(s, ERR_STALE,
                "data directory %s is older than what this node has already told others (node %u "
                "has seen start %" PRIu64 " and write %" PRIu64 " of it, here are %" PRIu64
                " and %" PRIu64 "): an old copy was put back, or the disk lost synced writes; with "
                "it this node would break votes and promises that it forgot; put back the newest "
                "copy, or leave the node stopped",
                s->options->data_dir, peer, envelope->to_incarnation, envelope->to_seen,
                ours.from_incarnation, ours.from_written);
}

static int on_frame(void *ctx, uint32_t peer, struct blob *body)
{
    struct server *s = ctx;
    struct message *m;
    struct envelope envelope;
    int err;

    if (server_disk_behind(s)) {
        /* Losing messages is legal, a queue without end is not. */
        if (s->peer_frames_refused++ == 0) {
            DIAG_WARN("the disk of the log is far behind: messages of other nodes are dropped "
                      "until it catches up");
        }
        return OK;
    }
    arena_reset(&s->peer_arena);
    err = wire_peer_decode(body, &s->peer_arena, &m, &envelope);
    if (err != OK) {
        DIAG_WARN("node %u sent a message that does not decode (%s): connection closed", peer,
                  err_name(err));
        return err;
    }
    if (m->from != peer) {
        DIAG_WARN("node %u sent a message in the name of node %u: connection closed", peer,
                  m->from);
        message_free(m);
        return ERR_MALFORMED;
    }
    err = replica_receive(s->replica, m, &envelope);
    message_free(m);
    if (err == ERR_STALE) {
        fail_stale(s, peer, &envelope);
    } else if (err_is_fatal(err)) {
        server_fail(s, err,
                    "node %u: %s; this node stops rather than answer from a state that may "
                    "be wrong; compare `synod status` of all nodes",
                    peer, err_text(err));
    }
    return OK;
}

static void on_link(void *ctx, uint32_t peer, bool up, const char *reason)
{
    struct server *s = ctx;

    if (up) {
        replica_peer_up(s->replica, peer, 0);
        DIAG_INFO("connected to node %u", peer);
    } else {
        DIAG_INFO("connection to node %u lost: %s", peer, reason);
    }
}

int server_peer_start(struct server *s, struct buf *error)
{
    const struct identity *self = &s->options->identity;
    struct transport_options options = s->options->transport;
    const struct peer_hello hello = {
        .cluster_id = self->cluster_id,
        .from = self->node,
        .incarnation = s->data.incarnation,
        .engine = self->engine,
        .version = PEER_VERSION,
        .sessions_max = s->options->replica.mvcc.sessions_max,
    };
    int err;

    arena_init(&s->peer_arena, PEER_ARENA_CHUNK, PEER_ARENA_MAX);
    buf_init(&s->peer_head, SIZE_MAX);
    buf_init(&s->hello, 4096);
    err = wire_hello_encode(&hello, &s->hello);
    if (err != OK) {
        return err;
    }
    options.connections_max = s->peers_max;
    options.hello = buf_bytes(&s->hello);
    options.on_hello = on_hello;
    options.on_frame = on_frame;
    options.on_link = on_link;
    options.ctx = s;
    return transport_new(s->loop, &options, &s->transport, error);
}

/* The message's head is copied, the values are referred to. */
static int send_one(struct server *s, const struct message *m)
{
    const struct envelope envelope = replica_envelope(s->replica, m->to);
    struct bytes parts_small[PEER_PARTS];
    struct blob *owners_small[PEER_PARTS];
    struct bytes *parts = parts_small;
    struct blob **owners = owners_small;
    int err;

    if (m->entries_count > PEER_PARTS) {
        parts = xcalloc(m->entries_count, sizeof(*parts));
        owners = xcalloc(m->entries_count, sizeof(*owners));
    }
    for (uint32_t i = 0; i < m->entries_count; i++) {
        parts[i] = m->entries[i].value->bytes;
        owners[i] = m->entries[i].value->owner;
    }
    buf_clear(&s->peer_head);
    err = wire_peer_encode(m, &envelope, &s->peer_head);
    if (err == OK) {
        err = transport_send(s->transport, m->to, buf_bytes(&s->peer_head), parts, owners,
                             m->entries_count);
    }
    if (parts != parts_small) {
        free(parts);
        free(owners);
    }
    return err;
}

void server_peer_send(struct server *s, struct list *messages)
{
    while (!list_empty(messages)) {
        struct message *m = container_of(list_pop_front(messages), struct message, node);

        ERR_IGNORE(send_one(s, m)); /* a lost message is legal; the transport counts it */
        message_free(m);
    }
}
