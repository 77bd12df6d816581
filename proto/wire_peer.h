/*
 * wire_peer.h - consensus messages <-> bytes between nodes: the border that validates.
 *
 * Body of a frame (net/frame.h adds length and checksum):
 *
 *     head_size u32 LE | head: PeerMessage of proto/peer.proto (head_size bytes) |
 *     value bytes of each entry, one after another
 *
 * The head names kind, count, size and crc of every value; the bytes themselves are attached behind
 * it so that they are neither copied into nor out of protobuf: sending refers to the value,
 * receiving points into the frame's blob.
 */
#ifndef SYNOD_PROTO_WIRE_PEER_H
#define SYNOD_PROTO_WIRE_PEER_H

#include "base/arena.h"
#include "base/blob.h"
#include "base/buf.h"
#include "base/err.h"
#include "consensus/message.h"

/* Around every message: a stray from another cluster or an earlier life is dropped and counted. */
struct envelope {
    uint64_t cluster_id;
    uint64_t from_incarnation;
    uint64_t to_incarnation; /* 0: not known yet, accepted by anyone */
    /* How many writes of its log are durable at the sender, over all its lives (kv/logstore.h);
     * 0: it does not tell. */
    uint64_t from_written;
    /* The highest number of that kind that the sender had from the receiver. A receiver that is not
     * as far has lost writes that it promised by (D9). 0: none known. */
    uint64_t to_seen;
};

/* First message on every connection, both ways. */
struct peer_hello {
    uint64_t cluster_id;
    uint32_t from;
    uint32_t to; /* 0: whoever listens there */
    uint64_t incarnation;
    uint8_t engine;
    uint32_t version;      /* of the peer protocol: PEER_VERSION */
    uint32_t sessions_max; /* what the state machine depends on must be equal on all nodes */
};

enum {
    PEER_VERSION = 1,
    PEER_ENTRIES_MAX = 1 << 16, /* entries of one message */
};

/*
 * Appends head_size and head to `head`; the body is complete when the value bytes of m->entries
 * follow, in order. Entries ascend by index, except in the messages of the replica (type 64 and
 * above), whose entries have no place in the log.
 * Errors: ERR_LIMIT (the buffer's, which is then unchanged; more than PEER_ENTRIES_MAX entries).
 */
MUST_USE int wire_peer_encode(const struct message *m, const struct envelope *env,
                              struct buf *head);

/*
 * Decodes a body. Values of entries are adopted over `body` (a reference each, no copy). The
 * message is the caller's; what is in the arena is not needed by it. Whether the sender is a member
 * and speaks for itself, the engine's number and the envelope are for the caller to check.
 * Errors: ERR_MALFORMED (does not parse, unknown type, node ids out of range, sizes do not add up,
 * entries not ascending, more than PEER_ENTRIES_MAX of them, a value that is none), ERR_CORRUPT (a
 * value's checksum), ERR_LIMIT (the arena's limit).
 */
MUST_USE int wire_peer_decode(struct blob *body, struct arena *arena, struct message **ret_message,
                              struct envelope *ret_envelope);

/* Appends a hello. Errors: ERR_LIMIT. */
MUST_USE int wire_hello_encode(const struct peer_hello *hello, struct buf *out);

/*
 * A hello is the same in every version of the protocol, so that each side can say which version the
 * other one speaks: the caller compares `version` with PEER_VERSION, as it does the rest.
 * Errors: ERR_MALFORMED (does not parse, version 0, node ids or engine out of range), ERR_LIMIT
 * (the arena's limit).
 */
MUST_USE int wire_hello_decode(struct bytes in, struct arena *arena, struct peer_hello *ret_hello);

#endif
