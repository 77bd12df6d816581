/*
 * logrow.c - the rows of a log in an ordered store: keys, encodings, checksums.
 */

#include "kv/logrow.h"

#include <string.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/enc.h"

static const uint8_t identity_magic[8] = {'S', 'Y', 'N', 'O', 'D', 'L', 'O', 'G'};

bool logrow_indexed(enum logrow_tag tag)
{
    return tag == LOGROW_ENTRY || tag == LOGROW_PROMISE;
}

struct logrow_key logrow_key(enum logrow_tag tag, uint64_t index)
{
    struct logrow_key key = {.size = 1};
    enc_put_u8(key.data, (uint8_t) tag);
    if (logrow_indexed(tag)) {
        enc_put_be64(key.data + 1, index);
        key.size = LOGROW_KEY_SIZE_MAX;
    }
    return key;
}

struct bytes logrow_key_bytes(const struct logrow_key *key)
{
    return bytes_of(key->data, key->size);
}

/* The checksum of a row: its key, then what follows the checksum, `size` bytes in all. */
static uint32_t row_crc(enum logrow_tag tag, uint64_t index, const uint8_t *row, size_t size)
{
    struct logrow_key key = logrow_key(tag, index);
    uint32_t crc = crc32c_bytes(0, logrow_key_bytes(&key));
    return crc32c(crc, row + LOGROW_CRC_SIZE, size - LOGROW_CRC_SIZE);
}

static void row_seal(enum logrow_tag tag, uint64_t index, uint8_t *row, size_t size)
{
    enc_put_u32(row, row_crc(tag, index, row, size));
}

/* Whether a row is at least `size` bytes long and its first `size` have the right checksum. */
static bool row_sound(enum logrow_tag tag, uint64_t index, struct bytes row, size_t size)
{
    ASSERT(size >= LOGROW_CRC_SIZE);
    return row.size >= size && enc_get_u32(row.data) == row_crc(tag, index, row.data, size);
}

void logrow_put_entry(uint8_t row[LOGROW_ENTRY_HEAD_SIZE], const struct entry *entry)
{
    const struct value *v = entry->value;
    ASSERT(v->bytes.size <= UINT32_MAX);
    /* Values are immutable; one that was written to meanwhile would make this log unreadable. */
    ASSERT(v->crc == value_crc(v->kind, v->count, v->bytes));
    enc_put_u64(row + 4, entry->epoch);
    enc_put_u8(row + 12, v->kind);
    enc_put_u32(row + 13, v->count);
    enc_put_u32(row + 17, v->crc);
    enc_put_u32(row + 21, (uint32_t) v->bytes.size);
    row_seal(LOGROW_ENTRY, entry->index, row, LOGROW_ENTRY_HEAD_SIZE);
}

int logrow_get_entry(uint64_t index, struct bytes row, struct logrow_entry *ret_entry)
{
    if (!row_sound(LOGROW_ENTRY, index, row, LOGROW_ENTRY_HEAD_SIZE)) {
        return ERR_CORRUPT;
    }
    size_t size = enc_get_u32(row.data + 21);
    if (row.size != LOGROW_ENTRY_HEAD_SIZE + size) {
        return ERR_CORRUPT;
    }
    ret_entry->epoch = enc_get_u64(row.data + 4);
    ret_entry->head.kind = enc_get_u8(row.data + 12);
    ret_entry->head.count = enc_get_u32(row.data + 13);
    ret_entry->head.crc = enc_get_u32(row.data + 17);
    ret_entry->bytes = bytes_of(row.data + LOGROW_ENTRY_HEAD_SIZE, size);
    return OK;
}

void logrow_put_hard(uint8_t row[LOGROW_HARD_SIZE], const struct hard_state *hard)
{
    enc_put_u64(row + 4, hard->epoch);
    enc_put_u32(row + 12, hard->vote);
    enc_put_u64(row + 16, hard->commit);
    row_seal(LOGROW_HARD, 0, row, LOGROW_HARD_SIZE);
}

int logrow_get_hard(struct bytes row, struct hard_state *ret_hard)
{
    if (row.size != LOGROW_HARD_SIZE || !row_sound(LOGROW_HARD, 0, row, row.size)) {
        return ERR_CORRUPT;
    }
    ret_hard->epoch = enc_get_u64(row.data + 4);
    ret_hard->vote = enc_get_u32(row.data + 12);
    ret_hard->commit = enc_get_u64(row.data + 16);
    return OK;
}

void logrow_put_incarnation(uint8_t row[LOGROW_INCARNATION_SIZE], uint64_t incarnation)
{
    enc_put_u64(row + 4, incarnation);
    row_seal(LOGROW_INCARNATION, 0, row, LOGROW_INCARNATION_SIZE);
}

int logrow_get_incarnation(struct bytes row, uint64_t *ret_incarnation)
{
    if (row.size != LOGROW_INCARNATION_SIZE || !row_sound(LOGROW_INCARNATION, 0, row, row.size)) {
        return ERR_CORRUPT;
    }
    *ret_incarnation = enc_get_u64(row.data + 4);
    return OK;
}

void logrow_put_trimmed(uint8_t row[LOGROW_TRIMMED_SIZE], const struct logrow_trimmed *trimmed)
{
    ASSERT(trimmed->swept <= trimmed->sweep_to);
    ASSERT(trimmed->sweep_to <= trimmed->pos.index);
    enc_put_u64(row + 4, trimmed->pos.index);
    enc_put_u64(row + 12, trimmed->pos.epoch);
    enc_put_u64(row + 20, trimmed->swept);
    enc_put_u64(row + 28, trimmed->sweep_to);
    row_seal(LOGROW_TRIMMED, 0, row, LOGROW_TRIMMED_SIZE);
}

int logrow_get_trimmed(struct bytes row, struct logrow_trimmed *ret_trimmed)
{
    if (row.size != LOGROW_TRIMMED_SIZE || !row_sound(LOGROW_TRIMMED, 0, row, row.size)) {
        return ERR_CORRUPT;
    }
    struct logrow_trimmed t = {
        .pos = {.index = enc_get_u64(row.data + 4), .epoch = enc_get_u64(row.data + 12)},
        .swept = enc_get_u64(row.data + 20),
        .sweep_to = enc_get_u64(row.data + 28),
    };
    if (t.swept > t.sweep_to || t.sweep_to > t.pos.index) {
        return ERR_CORRUPT;
    }
    *ret_trimmed = t;
    return OK;
}

void logrow_put_promise(uint8_t row[LOGROW_PROMISE_SIZE], struct slot_promise promise)
{
    enc_put_u64(row + 4, promise.ballot);
    row_seal(LOGROW_PROMISE, promise.index, row, LOGROW_PROMISE_SIZE);
}

int logrow_get_promise(uint64_t index, struct bytes row, struct slot_promise *ret_promise)
{
    if (row.size != LOGROW_PROMISE_SIZE || !row_sound(LOGROW_PROMISE, index, row, row.size)) {
        return ERR_CORRUPT;
    }
    ret_promise->index = index;
    ret_promise->ballot = enc_get_u64(row.data + 4);
    return OK;
}

void logrow_put_written(uint8_t row[LOGROW_WRITTEN_SIZE], uint64_t written)
{
    enc_put_u64(row + 4, written);
    row_seal(LOGROW_WRITTEN, 0, row, LOGROW_WRITTEN_SIZE);
}

int logrow_get_written(struct bytes row, uint64_t *ret_written)
{
    if (row.size != LOGROW_WRITTEN_SIZE || !row_sound(LOGROW_WRITTEN, 0, row, row.size)) {
        return ERR_CORRUPT;
    }
    *ret_written = enc_get_u64(row.data + 4);
    return OK;
}

void logrow_put_stale(uint8_t row[LOGROW_STALE_SIZE], uint64_t seen)
{
    enc_put_u64(row + 4, seen);
    row_seal(LOGROW_STALE, 0, row, LOGROW_STALE_SIZE);
}

int logrow_get_stale(struct bytes row, uint64_t *ret_seen)
{
    if (row.size != LOGROW_STALE_SIZE || !row_sound(LOGROW_STALE, 0, row, row.size)) {
        return ERR_CORRUPT;
    }
    *ret_seen = enc_get_u64(row.data + 4);
    return OK;
}

size_t logrow_put_identity(uint8_t row[LOGROW_IDENTITY_SIZE_MAX], const struct identity *identity)
{
    ASSERT(identity->members_count <= NODES_MAX);
    memcpy(row + 4, identity_magic, sizeof identity_magic);
    enc_put_u32(row + 12, LOGROW_VERSION);
    enc_put_u64(row + 16, identity->cluster_id);
    enc_put_u32(row + 24, identity->node);
    enc_put_u8(row + 28, identity->engine);
    enc_put_u32(row + 29, identity->members_count);
    for (uint32_t i = 0; i < identity->members_count; i++) {
        ASSERT(i == 0 || identity->members[i - 1] < identity->members[i]);
        enc_put_u32(row + LOGROW_IDENTITY_HEAD_SIZE + (size_t) i * 4, identity->members[i]);
    }
    size_t size = LOGROW_IDENTITY_HEAD_SIZE + (size_t) identity->members_count * 4;
    row_seal(LOGROW_IDENTITY, 0, row, size);
    return size;
}

int logrow_get_identity(struct bytes row, struct identity *ret_identity)
{
    /* Checksum, magic and version stay where they are in every later version. */
    if (row.size < 16 || !row_sound(LOGROW_IDENTITY, 0, row, row.size) ||
        memcmp(row.data + 4, identity_magic, sizeof identity_magic) != 0) {
        return ERR_CORRUPT;
    }
    if (enc_get_u32(row.data + 12) != LOGROW_VERSION) {
        return ERR_VERSION;
    }
    if (row.size < LOGROW_IDENTITY_HEAD_SIZE) {
        return ERR_CORRUPT;
    }
    struct identity id = {
        .cluster_id = enc_get_u64(row.data + 16),
        .node = enc_get_u32(row.data + 24),
        .engine = enc_get_u8(row.data + 28),
        .members_count = enc_get_u32(row.data + 29),
    };
    if (id.members_count > NODES_MAX ||
        row.size != LOGROW_IDENTITY_HEAD_SIZE + (size_t) id.members_count * 4) {
        return ERR_CORRUPT;
    }
    for (uint32_t i = 0; i < id.members_count; i++) {
        id.members[i] = enc_get_u32(row.data + LOGROW_IDENTITY_HEAD_SIZE + (size_t) i * 4);
        if (i > 0 && id.members[i - 1] >= id.members[i]) {
            return ERR_CORRUPT;
        }
    }
    *ret_identity = id;
    return OK;
}
