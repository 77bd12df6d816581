/*
 * wire_peer.c - consensus messages between nodes.
 *
 * The heads of a message's entries travel as packed columns (proto/peer.proto): protobuf-c then
 * makes one array for each, instead of an object for every entry.
 */

#include "proto/wire_peer.h"

#include <protobuf-c/protobuf-c.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/enc.h"
#include "base/mem.h"
#include "proto/peer.pb-c.h"
#include "proto/wire_arena.h"

enum {
    HEAD_SIZE_SIZE = 4,
    REPLICA_TYPES_FROM = MSG_REPLICA_FORWARD, /* the replica's own messages */
    ENTRIES_ON_STACK = 64,
    COLUMN_WORDS = 4, /* 8-byte words that the columns take for one entry */
};

STATIC_ASSERT(2 * sizeof(uint64_t) + 4 * sizeof(uint32_t) == COLUMN_WORDS * sizeof(uint64_t),
              "two columns of 64 bits and four of 32 fill the words of an entry");

static bool node_id_valid(uint32_t id)
{
    return id > 0 && id <= NODE_ID_MAX;
}

static bool type_valid(uint32_t type)
{
    switch (type) {
#define X(number, name, text) case number:
        MESSAGE_MAP(X)
#undef X
        return true;
    default:
        return false;
    }
}

/* ---- encoding ---- */

/* Lays the columns of the entries' heads out in `words`, COLUMN_WORDS of them for each entry. */
static void columns_dump(const struct message *m, uint64_t *words, Synod__Peer__PeerMessage *pb)
{
    size_t count = m->entries_count;
    pb->entry_index = words;
    pb->entry_epoch = (int64_t *) (words + count);
    pb->entry_kind = (uint32_t *) (words + 2 * count);
    pb->entry_count = pb->entry_kind + count;
    pb->entry_size = pb->entry_count + count;
    pb->entry_crc = pb->entry_size + count;
    pb->n_entry_index = count;
    pb->n_entry_epoch = count;
    pb->n_entry_kind = count;
    pb->n_entry_count = count;
    pb->n_entry_size = count;
    pb->n_entry_crc = count;
    uint64_t index = 0;
    uint64_t epoch = 0;
    for (size_t i = 0; i < count; i++) {
        const struct entry *e = &m->entries[i];
        ASSERT(e->index > index || m->type >= REPLICA_TYPES_FROM);
        ASSERT(e->value->bytes.size <= UINT32_MAX);
        pb->entry_index[i] = e->index - index;
        pb->entry_epoch[i] = (int64_t) (e->epoch - epoch);
        pb->entry_kind[i] = e->value->kind;
        pb->entry_count[i] = e->value->count;
        pb->entry_size[i] = (uint32_t) e->value->bytes.size;
        pb->entry_crc[i] = e->value->crc;
        index = e->index;
        epoch = e->epoch;
    }
}

/* Fills everything but the columns. */
static void message_dump(const struct message *m, const struct envelope *env,
                         Synod__Peer__PeerMessage *pb)
{
    synod__peer__peer_message__init(pb);
    pb->type = m->type;
    pb->engine = m->engine;
    pb->from = m->from;
    pb->to = m->to;
    pb->cluster_id = env->cluster_id;
    pb->from_incarnation = env->from_incarnation;
    pb->to_incarnation = env->to_incarnation;
    pb->from_written = env->from_written;
    pb->to_seen = env->to_seen;
    pb->epoch = m->epoch;
    pb->pos_index = m->pos.index;
    pb->pos_epoch = m->pos.epoch;
    pb->last = m->last;
    pb->commit = m->commit;
    pb->ctx = m->ctx;
    pb->reject = m->reject;
    pb->hint_index = m->hint.index;
    pb->hint_epoch = m->hint.epoch;
    pb->seen = m->seen;
    pb->write_age_us = m->write_age_us;
    pb->applied = m->applied;
    pb->durable = m->durable;
    pb->hash_index = m->hash_index;
    pb->hash = m->hash;
    pb->revision = m->revision;
}

/* Appends the size and the bytes of `pb` as one. Errors: ERR_LIMIT. */
static int head_pack(const Synod__Peer__PeerMessage *pb, struct buf *head)
{
    size_t size = synod__peer__peer_message__get_packed_size(pb);
    if (size > UINT32_MAX) {
        return ERR_LIMIT;
    }
    int rc = buf_reserve(head, HEAD_SIZE_SIZE + size);
    if (rc != OK) {
        return rc;
    }
    uint8_t *p = head->data + head->size;
    enc_put_u32(p, (uint32_t) size);
    size_t packed = synod__peer__peer_message__pack(pb, p + HEAD_SIZE_SIZE);
    ASSERT(packed == size);
    buf_advance(head, HEAD_SIZE_SIZE + size);
    return OK;
}

int wire_peer_encode(const struct message *m, const struct envelope *env, struct buf *head)
{
    ASSERT(type_valid(m->type));
    ASSERT(m->engine != 0);
    ASSERT(node_id_valid(m->from));
    ASSERT(node_id_valid(m->to));
    if (m->entries_count > PEER_ENTRIES_MAX) {
        return ERR_LIMIT;
    }
    Synod__Peer__PeerMessage pb;
    message_dump(m, env, &pb);
    uint64_t stack[ENTRIES_ON_STACK * COLUMN_WORDS];
    uint64_t *heap = NULL;
    if (m->entries_count > ENTRIES_ON_STACK) {
        heap = xmalloc(m->entries_count * COLUMN_WORDS * sizeof(uint64_t));
    }
    if (m->entries_count > 0) {
        columns_dump(m, heap == NULL ? stack : heap, &pb);
    }
    int rc = head_pack(&pb, head);
    free(heap);
    return rc;
}

/* ---- decoding ---- */

/* Whether the columns agree with each other. */
static bool columns_valid(const Synod__Peer__PeerMessage *pb)
{
    size_t count = pb->n_entry_index;
    return count <= PEER_ENTRIES_MAX && pb->n_entry_epoch == count && pb->n_entry_kind == count &&
           pb->n_entry_count == count && pb->n_entry_size == count && pb->n_entry_crc == count;
}

/* Whether the entries' indexes ascend from above 0, without running over. */
static bool indexes_ascend(const Synod__Peer__PeerMessage *pb)
{
    uint64_t index = 0;
    for (size_t i = 0; i < pb->n_entry_index; i++) {
        uint64_t step = pb->entry_index[i];
        if (step == 0 || step > UINT64_MAX - index) {
            return false;
        }
        index += step;
    }
    return true;
}

/* Whether the values take exactly `size` bytes. */
static bool sizes_add_up(const Synod__Peer__PeerMessage *pb, size_t size)
{
    uint64_t sum = 0; /* of at most PEER_ENTRIES_MAX 32-bit numbers */
    for (size_t i = 0; i < pb->n_entry_size; i++) {
        sum += pb->entry_size[i];
    }
    return sum == size;
}

static bool message_valid(const Synod__Peer__PeerMessage *pb, size_t values_size)
{
    return type_valid(pb->type) && pb->engine > 0 && pb->engine <= UINT8_MAX &&
           node_id_valid(pb->from) && node_id_valid(pb->to) && columns_valid(pb) &&
           (pb->type >= REPLICA_TYPES_FROM || indexes_ascend(pb)) && sizes_add_up(pb, values_size);
}

/* Everything but the entries. */
static struct message *message_load(const Synod__Peer__PeerMessage *pb)
{
    struct message *m = message_new((enum message_type) pb->type, pb->to);
    m->engine = (uint8_t) pb->engine;
    m->from = pb->from;
    m->epoch = pb->epoch;
    m->pos.index = pb->pos_index;
    m->pos.epoch = pb->pos_epoch;
    m->last = pb->last;
    m->commit = pb->commit;
    m->ctx = pb->ctx;
    m->reject = pb->reject != 0;
    m->hint.index = pb->hint_index;
    m->hint.epoch = pb->hint_epoch;
    m->seen = pb->seen;
    m->write_age_us = pb->write_age_us;
    m->applied = pb->applied;
    m->durable = pb->durable;
    m->hash_index = pb->hash_index;
    m->hash = pb->hash;
    m->revision = pb->revision;
    return m;
}

/* A value over `bytes`, which are in `body`: one reference to `body` if it is not empty.
 * Errors: ERR_MALFORMED, ERR_CORRUPT. */
static int value_load(const Synod__Peer__PeerMessage *pb, size_t i, struct bytes bytes,
                      struct blob *body, struct value **ret_value)
{
    if (pb->entry_kind[i] > UINT8_MAX) {
        return ERR_MALFORMED;
    }
    struct value_head head = {
        .kind = (uint8_t) pb->entry_kind[i],
        .count = pb->entry_count[i],
        .crc = pb->entry_crc[i],
    };
    if (bytes.size == 0) {
        return value_new_adopt(&head, bytes_of(NULL, 0), NULL, ret_value);
    }
    int rc = value_new_adopt(&head, bytes, blob_ref(body), ret_value);
    if (rc != OK) {
        blob_unref(body);
    }
    return rc;
}

/* Gives `m`, which has none yet, the entries. The sizes were checked. On failure it holds those
 * that were good. Errors: ERR_MALFORMED, ERR_CORRUPT. */
static int entries_load(const Synod__Peer__PeerMessage *pb, const uint8_t *values,
                        struct blob *body, struct message *m)
{
    size_t count = pb->n_entry_index;
    if (count == 0) {
        return OK;
    }
    m->entries = xmalloc(count * sizeof *m->entries);
    m->entries_capacity = (uint32_t) count;
    struct entry entry = {0};
    for (size_t i = 0; i < count; i++) {
        struct bytes bytes = bytes_of(values, pb->entry_size[i]);
        int rc = value_load(pb, i, bytes, body, &entry.value);
        if (rc != OK) {
            return rc;
        }
        entry.index += pb->entry_index[i];
        entry.epoch += (uint64_t) pb->entry_epoch[i];
        m->entries[i] = entry;
        m->entries_count++;
        m->bytes += bytes.size;
        values += bytes.size;
    }
    return OK;
}

int wire_peer_decode(struct blob *body, struct arena *arena, struct message **ret_message,
                     struct envelope *ret_envelope)
{
    struct bytes in = blob_bytes(body);
    if (in.size < HEAD_SIZE_SIZE) {
        return ERR_MALFORMED;
    }
    size_t head_size = enc_get_u32(in.data);
    if (head_size > in.size - HEAD_SIZE_SIZE) {
        return ERR_MALFORMED;
    }
    const uint8_t *values = in.data + HEAD_SIZE_SIZE + head_size;
    ProtobufCMessage *unpacked;
    int rc = wire_unpack(&synod__peer__peer_message__descriptor,
                         bytes_of(in.data + HEAD_SIZE_SIZE, head_size), arena, &unpacked);
    if (rc != OK) {
        return rc;
    }
    const Synod__Peer__PeerMessage *pb = (const Synod__Peer__PeerMessage *) unpacked;
    if (!message_valid(pb, in.size - HEAD_SIZE_SIZE - head_size)) {
        return ERR_MALFORMED;
    }
    struct message *m = message_load(pb);
    rc = entries_load(pb, values, body, m);
    if (rc != OK) {
        message_free(m);
        return rc;
    }
    ret_envelope->cluster_id = pb->cluster_id;
    ret_envelope->from_incarnation = pb->from_incarnation;
    ret_envelope->to_incarnation = pb->to_incarnation;
    ret_envelope->from_written = pb->from_written;
    ret_envelope->to_seen = pb->to_seen;
    *ret_message = m;
    return OK;
}

/* ---- hello ---- */

int wire_hello_encode(const struct peer_hello *hello, struct buf *out)
{
    ASSERT(node_id_valid(hello->from));
    ASSERT(hello->to == 0 || node_id_valid(hello->to));
    Synod__Peer__PeerHello pb = SYNOD__PEER__PEER_HELLO__INIT;
    pb.version = hello->version;
    pb.cluster_id = hello->cluster_id;
    pb.from = hello->from;
    pb.to = hello->to;
    pb.incarnation = hello->incarnation;
    pb.engine = hello->engine;
    pb.sessions_max = hello->sessions_max;
    return wire_pack(&pb.base, out);
}

int wire_hello_decode(struct bytes in, struct arena *arena, struct peer_hello *ret_hello)
{
    ProtobufCMessage *unpacked;
    int rc = wire_unpack(&synod__peer__peer_hello__descriptor, in, arena, &unpacked);
    if (rc != OK) {
        return rc;
    }
    const Synod__Peer__PeerHello *pb = (const Synod__Peer__PeerHello *) unpacked;
    if (pb->version == 0 || !node_id_valid(pb->from) || (pb->to != 0 && !node_id_valid(pb->to)) ||
        pb->engine == 0 || pb->engine > UINT8_MAX) {
        return ERR_MALFORMED;
    }
    ret_hello->cluster_id = pb->cluster_id;
    ret_hello->from = pb->from;
    ret_hello->to = pb->to;
    ret_hello->incarnation = pb->incarnation;
    ret_hello->engine = (uint8_t) pb->engine;
    ret_hello->sessions_max = pb->sessions_max;
    ret_hello->version = pb->version;
    return OK;
}
