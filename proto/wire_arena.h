#ifndef SYNOD_PROTO_WIRE_ARENA_H
#define SYNOD_PROTO_WIRE_ARENA_H

/*
 * wire_arena.h - protobuf-c in and out of an arena and a buffer: what every wire_*.c shares.
 *
 * Private to proto/. protobuf-c allocates each field; here it gets the memory from an arena, so
 * that a message costs no malloc and is given back by one reset. Its types are only named: who uses
 * this includes the generated header.
 */

#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"

struct ProtobufCAllocator;
struct ProtobufCMessage;
struct ProtobufCMessageDescriptor;

/* The state behind an allocator. */
struct wire_arena {
    struct arena *arena; /* borrowed */
    bool full;           /* an allocation was refused: the arena's limit */
};

/* Makes `ret_allocator` take memory from `a` and give none back; it refers to `w` and `a`. */
void wire_arena_init(struct wire_arena *w, struct arena *a,
                     struct ProtobufCAllocator *ret_allocator);

/*
 * Parses `in` as a message of `type` into `a`; valid until the arena is reset, independent of `in`.
 * What it is nested in is bounded by the caller (protobuf-c recurses into sub-messages).
 * Errors: ERR_MALFORMED, ERR_LIMIT (the arena's limit).
 */
MUST_USE int wire_unpack(const struct ProtobufCMessageDescriptor *type, struct bytes in,
                         struct arena *a, struct ProtobufCMessage **ret_message);

/* Appends the bytes of `message`. Errors: ERR_LIMIT (the buffer's; it is unchanged). */
MUST_USE int wire_pack(const struct ProtobufCMessage *message, struct buf *out);

#endif
