/*
 * wire_arena.c - protobuf-c in and out of an arena and a buffer.
 */

#include "proto/wire_arena.h"

#include <protobuf-c/protobuf-c.h>

#include "base/assert.h"

static void *wire_arena_alloc(void *ctx, size_t size)
{
    struct wire_arena *w = ctx;
    void *p = arena_try_alloc(w->arena, size);
    if (p == NULL) {
        w->full = true;
    }
    return p;
}

/* protobuf-c frees its scratch memory and what a repeated field replaces; the reset of the arena
 * does. */
static void wire_arena_free(void *ctx, void *p)
{
    (void) ctx;
    (void) p;
}

void wire_arena_init(struct wire_arena *w, struct arena *a,
                     struct ProtobufCAllocator *ret_allocator)
{
    w->arena = a;
    w->full = false;
    ret_allocator->alloc = wire_arena_alloc;
    ret_allocator->free = wire_arena_free;
    ret_allocator->allocator_data = w;
}

int wire_unpack(const struct ProtobufCMessageDescriptor *type, struct bytes in, struct arena *a,
                struct ProtobufCMessage **ret_message)
{
    struct wire_arena w;
    struct ProtobufCAllocator allocator;
    wire_arena_init(&w, a, &allocator);
    /* protobuf-c counts in int and unsigned. */
    if (in.size > INT32_MAX) {
        return ERR_LIMIT;
    }
    ProtobufCMessage *message = protobuf_c_message_unpack(type, &allocator, in.size, in.data);
    if (message == NULL) {
        return w.full ? ERR_LIMIT : ERR_MALFORMED;
    }
    *ret_message = message;
    return OK;
}

int wire_pack(const struct ProtobufCMessage *message, struct buf *out)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    int rc = buf_reserve(out, size);
    if (rc != OK) {
        return rc;
    }
    size_t packed = size == 0 ? 0 : protobuf_c_message_pack(message, out->data + out->size);
    ASSERT(packed == size);
    buf_advance(out, size);
    return OK;
}
