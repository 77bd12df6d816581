/*
 * logrow.h - the rows of a log in an ordered store: keys, encodings, checksums. No I/O.
 *
 * docs/storage-format.md shows every byte. Each row begins with a crc32c over the row's key and the
 * rest of the row, so that a row in the wrong place is as wrong as one with a flipped bit. Of an
 * entry it covers the head only: the head holds the value's own checksum, which covers the rest.
 */
#ifndef SYNOD_KV_LOGROW_H
#define SYNOD_KV_LOGROW_H

#include <stdint.h>

#include "base/bytes.h"
#include "consensus/message.h"
#include "kv/logstore.h"

enum {
    LOGROW_VERSION = 1, /* of the whole layout; in the identity row */

    LOGROW_CRC_SIZE = 4,
    LOGROW_KEY_SIZE_MAX = 1 + 8,
    LOGROW_ENTRY_HEAD_SIZE = LOGROW_CRC_SIZE + 8 + 1 + 4 + 4 + 4,
    LOGROW_HARD_SIZE = LOGROW_CRC_SIZE + 8 + 4 + 8,
    LOGROW_INCARNATION_SIZE = LOGROW_CRC_SIZE + 8,
    LOGROW_TRIMMED_SIZE = LOGROW_CRC_SIZE + 8 + 8 + 8 + 8,
    LOGROW_PROMISE_SIZE = LOGROW_CRC_SIZE + 8,
    LOGROW_WRITTEN_SIZE = LOGROW_CRC_SIZE + 8,
    LOGROW_STALE_SIZE = LOGROW_CRC_SIZE + 8,
    LOGROW_IDENTITY_HEAD_SIZE = LOGROW_CRC_SIZE + 8 + 4 + 8 + 4 + 1 + 4,
    LOGROW_IDENTITY_SIZE_MAX = LOGROW_IDENTITY_HEAD_SIZE + 4 * NODES_MAX,
};

/* First byte of a key. Entries and promises go on with their index, big-endian. */
enum logrow_tag {
    LOGROW_ENTRY = 'e',
    LOGROW_HARD = 'h',
    LOGROW_IDENTITY = 'i',
    LOGROW_INCARNATION = 'n',
    LOGROW_PROMISE = 'p',
    LOGROW_STALE = 's',
    LOGROW_TRIMMED = 't',
    LOGROW_WRITTEN = 'w',
};

/* Whether keys with this tag carry an index. */
bool logrow_indexed(enum logrow_tag tag);

struct logrow_key {
    uint8_t data[LOGROW_KEY_SIZE_MAX];
    size_t size;
};

/* The key of a row; `index` is ignored by tags that have none. */
struct logrow_key logrow_key(enum logrow_tag tag, uint64_t index);
struct bytes logrow_key_bytes(const struct logrow_key *key);

/* What a trim left to do: rows in (swept, sweep_to] are below `pos` and may still be there. */
struct logrow_trimmed {
    struct log_pos pos;
    uint64_t swept;
    uint64_t sweep_to;
};

/* An entry's row, its bytes borrowed. */
struct logrow_entry {
    uint64_t epoch;
    struct value_head head;
    struct bytes bytes;
};

/* Each put fills `row` and, where the size varies, returns it. An entry's row is this head followed
 * by the value's bytes. */
void logrow_put_entry(uint8_t row[LOGROW_ENTRY_HEAD_SIZE], const struct entry *entry);
void logrow_put_hard(uint8_t row[LOGROW_HARD_SIZE], const struct hard_state *hard);
void logrow_put_incarnation(uint8_t row[LOGROW_INCARNATION_SIZE], uint64_t incarnation);
void logrow_put_trimmed(uint8_t row[LOGROW_TRIMMED_SIZE], const struct logrow_trimmed *trimmed);
void logrow_put_promise(uint8_t row[LOGROW_PROMISE_SIZE], struct slot_promise promise);
void logrow_put_written(uint8_t row[LOGROW_WRITTEN_SIZE], uint64_t written);
void logrow_put_stale(uint8_t row[LOGROW_STALE_SIZE], uint64_t seen);
size_t logrow_put_identity(uint8_t row[LOGROW_IDENTITY_SIZE_MAX], const struct identity *identity);

/*
 * Each get checks and decodes. That of an entry checks head and size, not yet the value's checksum:
 * value_new_adopt or value_crc do.
 * Errors: ERR_CORRUPT; logrow_get_identity also ERR_VERSION.
 */
MUST_USE int logrow_get_entry(uint64_t index, struct bytes row, struct logrow_entry *ret_entry);
MUST_USE int logrow_get_hard(struct bytes row, struct hard_state *ret_hard);
MUST_USE int logrow_get_incarnation(struct bytes row, uint64_t *ret_incarnation);
MUST_USE int logrow_get_trimmed(struct bytes row, struct logrow_trimmed *ret_trimmed);
MUST_USE int logrow_get_promise(uint64_t index, struct bytes row, struct slot_promise *ret_promise);
MUST_USE int logrow_get_written(struct bytes row, uint64_t *ret_written);
MUST_USE int logrow_get_stale(struct bytes row, uint64_t *ret_seen);
MUST_USE int logrow_get_identity(struct bytes row, struct identity *ret_identity);

#endif
