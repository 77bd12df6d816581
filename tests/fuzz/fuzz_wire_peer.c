/*
 * fuzz_wire_peer.c - what peers send, on arbitrary bytes: a hello if the first byte is odd, else
 * the body of a message. What is accepted must hold what wire_peer.h promises, and come back the
 * same.
 */

#include "tests/fuzz/fuzz.h"

#include "base/assert.h"
#include "proto/wire_peer.h"

enum { ARENA_MAX = 1 << 22 };

static void check_hello(struct bytes in, struct arena *arena)
{
    struct peer_hello hello;
    int rc = wire_hello_decode(in, arena, &hello);
    if (rc != OK) {
        ASSERT(rc == ERR_MALFORMED || rc == ERR_LIMIT);
        return;
    }
    ASSERT(hello.version > 0);
    ASSERT(hello.from > 0 && hello.from <= NODE_ID_MAX);
    ASSERT(hello.to <= NODE_ID_MAX);
    struct buf out;
    buf_init(&out, ARENA_MAX);
    struct peer_hello again;
    rc = wire_hello_encode(&hello, &out);
    ASSERT(rc == OK);
    rc = wire_hello_decode(buf_bytes(&out), arena, &again);
    ASSERT(rc == OK);
    ASSERT(again.from == hello.from && again.to == hello.to);
    ASSERT(again.cluster_id == hello.cluster_id && again.incarnation == hello.incarnation);
    buf_release(&out);
}

/* Appends the whole body of `m`. */
static void encode(const struct message *m, const struct envelope *envelope, struct buf *out)
{
    int rc = wire_peer_encode(m, envelope, out);
    ASSERT(rc == OK);
    for (uint32_t i = 0; i < m->entries_count; i++) {
        rc = buf_append_bytes(out, m->entries[i].value->bytes);
        ASSERT(rc == OK);
    }
}

static void check_message(const struct message *m, const struct envelope *envelope,
                          struct arena *arena)
{
    ASSERT(m->from > 0 && m->from <= NODE_ID_MAX);
    ASSERT(m->to > 0 && m->to <= NODE_ID_MAX);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < m->entries_count; i++) {
        bytes += m->entries[i].value->bytes.size;
        ASSERT(i == 0 || m->type >= MSG_REPLICA_FORWARD ||
               m->entries[i].index > m->entries[i - 1].index);
    }
    ASSERT(m->bytes == bytes);

    struct buf first;
    struct buf second;
    buf_init(&first, ARENA_MAX);
    buf_init(&second, ARENA_MAX);
    encode(m, envelope, &first);
    struct blob *body = blob_copy(buf_bytes(&first));
    struct message *again;
    struct envelope envelope_again;
    int rc = wire_peer_decode(body, arena, &again, &envelope_again);
    ASSERT(rc == OK);
    encode(again, &envelope_again, &second);
    ASSERT(bytes_equal(buf_bytes(&first), buf_bytes(&second)));
    message_free(again);
    blob_unref(body);
    buf_release(&first);
    buf_release(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct bytes in = bytes_of(data + 1, size - 1);
    struct arena arena;
    arena_init(&arena, 4096, ARENA_MAX);
    if (data[0] % 2 != 0) {
        check_hello(in, &arena);
        arena_release(&arena);
        return 0;
    }
    struct blob *body = blob_copy(in);
    struct message *m = NULL;
    struct envelope envelope;
    int rc = wire_peer_decode(body, &arena, &m, &envelope);
    if (rc == OK) {
        arena_reset(&arena);
        check_message(m, &envelope, &arena);
        message_free(m);
    } else {
        ASSERT(rc == ERR_MALFORMED || rc == ERR_CORRUPT || rc == ERR_LIMIT);
        ASSERT(m == NULL);
    }
    ASSERT(body->refs == 1);
    blob_unref(body);
    arena_release(&arena);
    return 0;
}
