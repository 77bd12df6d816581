/*
 * value.h - what a slot of the log holds: an immutable batch of commands.
 *
 * A value is encoded once, where the batch is formed, and from then on the very same bytes go to
 * the disk and to every peer. The consensus core never looks inside; the replica walks the commands
 * when the value is applied.
 *
 * Encoding of a value's bytes, little-endian, one record after another (`count` of them):
 *
 *     tag u8 | session u64 | sequence u64 | size u32 | payload (size bytes)
 *
 * The checksum covers kind, count and bytes, not the slot: a Paxos proposer may carry a value to
 * another slot, and a new leader stamps it with a new ballot.
 */
#ifndef SYNOD_CONSENSUS_VALUE_H
#define SYNOD_CONSENSUS_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"

/* What a value is for. Stored on disk and sent to peers: numbers never change. */
enum value_kind {
    VALUE_NOOP = 0,     /* fills a gap or opens a term; no commands */
    VALUE_COMMANDS = 1, /* commands for the state machine */
    VALUE_CONFIG = 2,   /* membership; reserved */
};

enum {
    VALUE_COMMAND_HEADER_SIZE = 1 + 8 + 8 + 4,
};

/* Immutable, reference-counted; counts change on the owning loop's thread only, other threads
 * borrow. */
struct value {
    uint32_t refs;
    uint32_t crc; /* crc32c over kind, count and bytes */
    uint32_t count;
    uint8_t kind;
    struct bytes bytes; /* encoded commands; points into owner */
    struct blob *owner; /* NULL when bytes is empty */
};

/* The fields that travel beside a value's bytes. */
struct value_head {
    uint8_t kind;
    uint32_t count;
    uint32_t crc;
};

/* One command inside a value. The payload is borrowed from the value. */
struct command {
    uint8_t tag;       /* the application's discriminator of payload, opaque here */
    uint64_t session;  /* who asks; with sequence it makes the command exactly-once */
    uint64_t sequence; /* rises by one per command of a session, from 1 */
    struct bytes payload;
};

/* A fresh no-op value with one reference. */
struct value *value_new_noop(void);

/*
 * A value over bytes that live inside `owner` (one reference to owner is taken over; NULL only when
 * bytes is empty). Used by the borders that read from the network or the disk: checks kind,
 * checksum and that exactly `count` well-formed commands fill `bytes`. On failure owner is not
 * consumed. Errors: ERR_MALFORMED (commands do not parse, unknown kind), ERR_CORRUPT (the checksum
 * differs).
 */
MUST_USE int value_new_adopt(const struct value_head *head, struct bytes bytes, struct blob *owner,
                             struct value **ret_value);

/* One more reference; returns v. */
struct value *value_ref(struct value *v);

/* Drops a reference and frees with the last one. NULL is legal. */
void value_unref(struct value *v);

/* The checksum that a value with this head and these bytes must carry. */
uint32_t value_crc(uint8_t kind, uint32_t count, struct bytes bytes);

/* Walks the commands of a value: start with *cursor = 0; false when there is no further one. */
bool value_next(const struct value *v, size_t *cursor, struct command *ret_command);

/* Collects commands into one value. Embedded; bounded by bytes and by count. */
struct value_builder {
    struct buf buf;
    size_t size_max;
    uint32_t count;
    uint32_t count_max;
};

/* size_max counts encoded bytes; one command larger than it is still accepted when it is alone in
 * the batch. */
void value_builder_init(struct value_builder *b, size_t size_max, uint32_t count_max);
void value_builder_release(struct value_builder *b);

/* Would a payload of this size still fit? True for an empty builder whatever the size. */
bool value_builder_fits(const struct value_builder *b, size_t payload_size);

/* Copies the command into the batch; detach copies the batch once more, in one piece, so that a
 * value takes exactly the memory it needs. From there on its bytes are never copied.
 * Errors: ERR_LIMIT when it does not fit; the batch is unchanged. */
MUST_USE int value_builder_add(struct value_builder *b, const struct command *command);

/* Takes what was collected as a VALUE_COMMANDS value with one reference and empties the builder;
 * NULL when empty. */
struct value *value_builder_detach(struct value_builder *b);

#endif
