/*
 * mvcc_rows.c - encoding and checking the rows of the state database.
 */

#include "kv/mvcc_rows.h"

#include <string.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/enc.h"

enum { RECORD_PUT = 1, RECORD_TOMBSTONE = 2 };

static uint32_t row_crc(struct bytes key, const uint8_t *row, size_t size)
{
    uint32_t crc = crc32c_bytes(0, key);
    crc = crc32c(crc, row, 1);
    return crc32c(crc, row + ROW_CHECK_SIZE, size - ROW_CHECK_SIZE);
}

void row_seal(struct bytes key, uint8_t *row, size_t size)
{
    ASSERT(size >= ROW_CHECK_SIZE);
    enc_put_u8(row, ROW_FORMAT);
    enc_put_u32(row + 1, row_crc(key, row, size));
}

int row_open(struct bytes key, struct bytes row, struct bytes *ret_rest)
{
    if (row.size < ROW_CHECK_SIZE) {
        return ERR_CORRUPT;
    }
    /* The checksum first: a flipped bit in the format byte is not a newer program. */
    if (enc_get_u32(row.data + 1) != row_crc(key, row.data, row.size)) {
        return ERR_CORRUPT;
    }
    if (row.data[0] != ROW_FORMAT) {
        return ERR_VERSION;
    }
    *ret_rest = bytes_of(row.data + ROW_CHECK_SIZE, row.size - ROW_CHECK_SIZE);
    return OK;
}

void row_record_key(struct revision revision, uint8_t ret_key[ROW_RECORD_KEY_SIZE])
{
    ASSERT(revision.main > 0);
    ASSERT(revision.sub >= 0);
    ASSERT(revision.sub <= (int64_t) UINT32_MAX);
    enc_put_u8(ret_key, ROW_RECORD);
    enc_put_be64(ret_key + 1, (uint64_t) revision.main);
    enc_put_be32(ret_key + 9, (uint32_t) revision.sub);
}

int row_record_key_parse(struct bytes key, struct revision *ret_revision)
{
    if (key.size != ROW_RECORD_KEY_SIZE || key.data[0] != ROW_RECORD) {
        return ERR_CORRUPT;
    }
    uint64_t main = enc_get_be64(key.data + 1);
    if (main == 0 || main > (uint64_t) INT64_MAX) {
        return ERR_CORRUPT;
    }
    ret_revision->main = (int64_t) main;
    ret_revision->sub = (int64_t) enc_get_be32(key.data + 9);
    return OK;
}

void row_session_key(uint64_t id, uint8_t ret_key[ROW_SESSION_KEY_SIZE])
{
    enc_put_u8(ret_key, ROW_SESSION);
    enc_put_be64(ret_key + 1, id);
}

int row_session_key_parse(struct bytes key, uint64_t *ret_id)
{
    if (key.size != ROW_SESSION_KEY_SIZE || key.data[0] != ROW_SESSION) {
        return ERR_CORRUPT;
    }
    *ret_id = enc_get_be64(key.data + 1);
    return OK;
}

struct blob *row_record_new(struct revision revision, const struct row_record *record,
                            uint32_t *ret_crc)
{
    uint8_t head[ROW_CHECK_SIZE + 1 + ENC_VARINT_MAX];
    uint8_t numbers[3 * ENC_VARINT_MAX];
    size_t numbers_size = 0;
    head[ROW_CHECK_SIZE] = record->tombstone ? RECORD_TOMBSTONE : RECORD_PUT;
    size_t head_size =
        ROW_CHECK_SIZE + 1 + enc_put_varint(head + ROW_CHECK_SIZE + 1, record->key.size);
    if (!record->tombstone) {
        ASSERT(record->version > 0);
        numbers_size += enc_put_varint(numbers + numbers_size, (uint64_t) record->create);
        numbers_size += enc_put_varint(numbers + numbers_size, (uint64_t) record->version);
        numbers_size += enc_put_varint(numbers + numbers_size, (uint64_t) record->lease);
    }
    ASSERT(!record->tombstone || record->value.size == 0);
    struct blob *row = blob_new(head_size + record->key.size + numbers_size + record->value.size);
    uint8_t *p = row->data;
    memcpy(p, head, head_size);
    p += head_size;
    if (record->key.size > 0) {
        memcpy(p, record->key.data, record->key.size);
    }
    p += record->key.size;
    memcpy(p, numbers, numbers_size);
    p += numbers_size;
    if (record->value.size > 0) {
        memcpy(p, record->value.data, record->value.size);
    }
    uint8_t key[ROW_RECORD_KEY_SIZE];
    row_record_key(revision, key);
    row_seal(bytes_of(key, sizeof key), row->data, row->size);
    *ret_crc = enc_get_u32(row->data + 1);
    return row;
}

int row_record_parse(struct bytes row, struct row_record *ret_record)
{
    struct row_record record = {.tombstone = false};
    struct reader r;
    reader_init(&r, row);
    uint8_t format = reader_u8(&r);
    (void) reader_u32(&r);
    uint8_t kind = reader_u8(&r);
    uint64_t key_size = reader_varint(&r);
    if (r.failed || key_size > reader_left(&r)) {
        return ERR_CORRUPT;
    }
    if (format != ROW_FORMAT) {
        return ERR_VERSION;
    }
    record.key = reader_bytes(&r, (size_t) key_size);
    if (kind == RECORD_TOMBSTONE) {
        record.tombstone = true;
        if (reader_left(&r) != 0) {
            return ERR_CORRUPT;
        }
    } else if (kind == RECORD_PUT) {
        record.create = (int64_t) reader_varint(&r);
        record.version = (int64_t) reader_varint(&r);
        record.lease = (int64_t) reader_varint(&r);
        if (r.failed || record.create <= 0 || record.version <= 0) {
            return ERR_CORRUPT;
        }
        record.value = reader_bytes(&r, reader_left(&r));
    } else {
        return ERR_CORRUPT;
    }
    *ret_record = record;
    return OK;
}

int row_record_check(struct revision revision, struct bytes row, struct row_record *ret_record)
{
    uint8_t key[ROW_RECORD_KEY_SIZE];
    struct bytes rest;
    row_record_key(revision, key);
    int err = row_open(bytes_of(key, sizeof key), row, &rest);
    return err != OK ? err : row_record_parse(row, ret_record);
}

void row_meta_encode(const struct row_meta *meta, uint8_t ret_row[ROW_META_SIZE])
{
    static const uint8_t key[] = {ROW_META};
    uint8_t *p = ret_row + ROW_CHECK_SIZE;
    enc_put_u64(p, meta->applied);
    enc_put_u64(p + 8, (uint64_t) meta->revision);
    enc_put_u64(p + 16, (uint64_t) meta->compact_revision);
    enc_put_u64(p + 24, (uint64_t) meta->swept_revision);
    enc_put_u64(p + 32, meta->hash);
    enc_put_u64(p + 40, meta->session_clock);
    enc_put_u64(p + 48, meta->records);
    enc_put_u64(p + 56, meta->sessions);
    row_seal(bytes_of(key, sizeof key), ret_row, ROW_META_SIZE);
}

int row_meta_parse(struct bytes row, struct row_meta *ret_meta)
{
    static const uint8_t key[] = {ROW_META};
    struct bytes rest;
    int err = row_open(bytes_of(key, sizeof key), row, &rest);
    if (err != OK) {
        return err;
    }
    if (rest.size != ROW_META_SIZE - ROW_CHECK_SIZE) {
        return ERR_CORRUPT;
    }
    struct row_meta m = {
        .applied = enc_get_u64(rest.data),
        .revision = (int64_t) enc_get_u64(rest.data + 8),
        .compact_revision = (int64_t) enc_get_u64(rest.data + 16),
        .swept_revision = (int64_t) enc_get_u64(rest.data + 24),
        .hash = enc_get_u64(rest.data + 32),
        .session_clock = enc_get_u64(rest.data + 40),
        .records = enc_get_u64(rest.data + 48),
        .sessions = enc_get_u64(rest.data + 56),
    };
    if (m.revision < 1 || m.compact_revision < -1 || m.compact_revision > m.revision ||
        m.swept_revision < -1 || m.swept_revision > m.compact_revision) {
        return ERR_CORRUPT;
    }
    *ret_meta = m;
    return OK;
}
