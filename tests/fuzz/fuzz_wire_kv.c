/*
 * fuzz_wire_kv.c - the decoders of etcd's messages on arbitrary bytes: the first byte of the input
 * chooses one. What a decoder accepts is encoded, decoded and encoded again: both encodings must be
 * the same bytes.
 */

#include "tests/fuzz/fuzz.h"

#include "base/assert.h"
#include "proto/wire_kv.h"

enum {
    KIND_RESPONSE = 8, /* and above: the answer of an op kind */
    KINDS = KIND_RESPONSE + OP_TXN + 1,
    ARENA_MAX = 1 << 22,
};

static int recode_response(uint8_t kind, struct bytes in, struct arena *a, struct buf *out)
{
    struct api_header header;
    struct api_response response;
    int rc = wire_response_decode(kind, in, a, &header, &response);
    return rc == OK ? wire_response_encode(&header, &response, out) : rc;
}

static int recode_members(struct bytes in, struct arena *a, struct buf *out)
{
    struct api_header header;
    const struct api_member *members;
    uint32_t count;
    int rc = wire_members_decode(in, a, &header, &members, &count);
    return rc == OK ? wire_members_encode(&header, members, count, out) : rc;
}

static int recode_status(struct bytes in, struct arena *a, struct buf *out)
{
    struct api_header header;
    struct api_status status;
    int rc = wire_status_decode(in, a, &header, &status);
    return rc == OK ? wire_status_encode(&header, &status, out) : rc;
}

/* Decodes `in` and appends what was understood to `out`. */
static int recode(uint8_t kind, struct bytes in, struct arena *a, struct buf *out)
{
    union {
        struct range_request range;
        struct put_request put;
        struct delete_request del;
        struct txn_request txn;
        struct compact_request compact;
        struct bytes service;
    } u;
    int rc;
    switch (kind) {
    case 0:
        rc = wire_range_request_decode(in, a, &u.range);
        return rc == OK ? wire_range_request_encode(&u.range, out) : rc;
    case 1:
        rc = wire_put_request_decode(in, a, &u.put);
        return rc == OK ? wire_put_request_encode(&u.put, out) : rc;
    case 2:
        rc = wire_delete_request_decode(in, a, &u.del);
        return rc == OK ? wire_delete_request_encode(&u.del, out) : rc;
    case 3:
        rc = wire_txn_request_decode(in, a, &u.txn);
        return rc == OK ? wire_txn_request_encode(&u.txn, out) : rc;
    case 4:
        rc = wire_compact_request_decode(in, a, &u.compact);
        return rc == OK ? wire_compact_request_encode(&u.compact, out) : rc;
    case 5:
        return recode_status(in, a, out);
    case 6:
        return recode_members(in, a, out);
    case 7:
        return wire_health_request_decode(in, a, &u.service);
    default:
        return recode_response((uint8_t) (kind - KIND_RESPONSE), in, a, out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    uint8_t kind = data[0] % KINDS;
    struct arena arena;
    arena_init(&arena, 4096, ARENA_MAX);
    struct buf first;
    struct buf second;
    buf_init(&first, ARENA_MAX);
    buf_init(&second, ARENA_MAX);
    int rc = recode(kind, bytes_of(data + 1, size - 1), &arena, &first);
    ASSERT(rc == OK || rc == ERR_MALFORMED || rc == ERR_LIMIT);
    if (rc == OK) {
        arena_reset(&arena);
        rc = recode(kind, buf_bytes(&first), &arena, &second);
        ASSERT(rc == OK);
        ASSERT(bytes_equal(buf_bytes(&first), buf_bytes(&second)));
    }
    buf_release(&first);
    buf_release(&second);
    arena_release(&arena);
    return 0;
}
