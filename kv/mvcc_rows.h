/*
 * mvcc_rows.h - the rows of the state database, byte by byte. Integers are little-endian, those in
 * keys big-endian so that key order is their order; varints as in base/enc.h.
 *
 *     key                          value
 *     'm'                          meta, one row, rewritten by each flush
 *     'r' main be64, sub be32      record: what one change of one key left, in revision order
 *     's' id be64                  session
 *
 * Every value begins with
 *
 *     0  format u8    1; another one was written by a newer program (ERR_VERSION)
 *     1  crc u32      CRC-32C of the row's key, the format byte and all after the crc
 *
 * Meta continues with
 *
 *     5  applied u64          log index that the rows reflect
 *    13  revision u64         store revision
 *    21  compact revision u64 two's complement; -1: never compacted
 *    29  swept revision u64   compactions up to here have released their space; two's complement
 *    37  hash u64             state hash
 *    45  session clock u64    see kv/session.h
 *    53  records u64          how many record rows there are: one that lacks is noticed
 *    61  sessions u64         the same of session rows
 *
 * A record continues with
 *
 *     5  kind u8              1 put, 2 tombstone
 *     6  key size varint, key
 *        put only: create revision varint, version varint, lease varint (two's complement
 *        as u64), then the value up to the row's end
 *
 * The mod revision of a record is its row key. A session row's rest is kv/session.c's.
 */
#ifndef SYNOD_KV_MVCC_ROWS_H
#define SYNOD_KV_MVCC_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "kv/revision.h"

enum {
    ROW_FORMAT = 1,
    ROW_CHECK_SIZE = 1 + 4, /* format and crc */
    ROW_RECORD_KEY_SIZE = 1 + 8 + 4,
    ROW_SESSION_KEY_SIZE = 1 + 8,
    ROW_META_KEY_SIZE = 1,
    ROW_META_SIZE = ROW_CHECK_SIZE + 8 * 8,

    ROW_META = 'm',
    ROW_RECORD = 'r',
    ROW_SESSION = 's',
};

struct row_meta {
    uint64_t applied;
    int64_t revision;
    int64_t compact_revision;
    int64_t swept_revision;
    uint64_t hash;
    uint64_t session_clock;
    uint64_t records;
    uint64_t sessions;
};

/* The content of a record; key and value are borrowed from the row. */
struct row_record {
    bool tombstone;
    struct bytes key;
    int64_t create; /* this and the next three: 0 or empty for a tombstone */
    int64_t version;
    int64_t lease;
    struct bytes value;
};

void row_record_key(struct revision revision, uint8_t ret_key[ROW_RECORD_KEY_SIZE]);
void row_session_key(uint64_t id, uint8_t ret_key[ROW_SESSION_KEY_SIZE]);

/* What a row key says. Errors: ERR_CORRUPT (not the key of a record, of a session). */
MUST_USE int row_record_key_parse(struct bytes key, struct revision *ret_revision);
MUST_USE int row_session_key_parse(struct bytes key, uint64_t *ret_id);

/* The row of one change, complete with checksum: the caller's reference. *ret_crc is the
 * checksum. */
struct blob *row_record_new(struct revision revision, const struct row_record *record,
                            uint32_t *ret_crc);

/*
 * Parses a row that this process wrote or checked before: no checksum.
 * Errors: ERR_CORRUPT, ERR_VERSION.
 */
MUST_USE int row_record_parse(struct bytes row, struct row_record *ret_record);

/* As row_record_parse, with the checksum. */
MUST_USE int row_record_check(struct revision revision, struct bytes row,
                              struct row_record *ret_record);

void row_meta_encode(const struct row_meta *meta, uint8_t ret_row[ROW_META_SIZE]);
/* Errors: ERR_CORRUPT, ERR_VERSION. */
MUST_USE int row_meta_parse(struct bytes row, struct row_meta *ret_meta);

/* The frame of other rows: row[0 .. ROW_CHECK_SIZE) is filled in around the rest. */
void row_seal(struct bytes key, uint8_t *row, size_t size);
/* Checks it and gives the rest. Errors: ERR_CORRUPT, ERR_VERSION. */
MUST_USE int row_open(struct bytes key, struct bytes row, struct bytes *ret_rest);

#endif
