/*
 * sim_wire.c - how many bytes a message is between real nodes, without encoding it: a frame of
 * net/frame.h around a body of proto/wire_peer.h, whose head is PeerMessage of proto/peer.proto.
 * Encoding every message to count its bytes would cost a simulated run a third more.
 */
#include "net/frame.h"
#include "tests/sim/sim_internal.h"

enum {
    HEAD_SIZE_SIZE = 4,
    FIXED_SIZE = 8,
    TAG_LONG_FROM = 16, /* numbers of fields from here on take two bytes */
};

static uint64_t varint_size(uint64_t value)
{
    uint32_t bits = 64 - (uint32_t) __builtin_clzll(value | 1);
    return (bits + 6) / 7;
}

static uint64_t tag_size(uint32_t field)
{
    return field < TAG_LONG_FROM ? 1 : 2;
}

/* proto3: what is 0 is not there. */
static uint64_t number_size(uint32_t field, uint64_t value)
{
    return value == 0 ? 0 : tag_size(field) + varint_size(value);
}

static uint64_t fixed_size(uint32_t field, uint64_t value)
{
    return value == 0 ? 0 : tag_size(field) + FIXED_SIZE;
}

/* A packed column of so many bytes. */
static uint64_t column_size(uint32_t field, uint64_t bytes)
{
    return tag_size(field) + varint_size(bytes) + bytes;
}

static uint64_t zigzag(uint64_t difference)
{
    return difference << 1 ^ (uint64_t) ((int64_t) difference >> 63);
}

/* Fields 14 to 19: a column for each thing that is said of entries. */
static uint64_t entries_size(const struct message *m)
{
    uint64_t index = 0;
    uint64_t epoch = 0;
    uint64_t bytes[5] = {0};
    if (m->entries_count == 0) {
        return 0;
    }
    for (uint32_t i = 0; i < m->entries_count; i++) {
        const struct entry *e = &m->entries[i];
        bytes[0] += varint_size(e->index - index);
        bytes[1] += varint_size(zigzag(e->epoch - epoch));
        bytes[2] += varint_size(e->value->kind);
        bytes[3] += varint_size(e->value->count);
        bytes[4] += varint_size(e->value->bytes.size);
        index = e->index;
        epoch = e->epoch;
    }
    return column_size(14, bytes[0]) + column_size(15, bytes[1]) + column_size(16, bytes[2]) +
           column_size(17, bytes[3]) + column_size(18, bytes[4]) +
           column_size(19, UINT64_C(4) * m->entries_count);
}

static uint64_t envelope_size(const struct envelope *e)
{
    return fixed_size(5, e->cluster_id) + number_size(6, e->from_incarnation) +
           number_size(7, e->to_incarnation) + number_size(30, e->from_written) +
           number_size(31, e->to_seen);
}

uint64_t sim_wire_size(const struct message *m, const struct envelope *envelope)
{
    uint64_t size = FRAME_HEADER_SIZE + HEAD_SIZE_SIZE + m->bytes;
    size += envelope_size(envelope) + entries_size(m);
    size += number_size(1, m->type) + number_size(2, m->engine) + number_size(3, m->from);
    size += number_size(4, m->to) + number_size(8, m->epoch) + number_size(9, m->pos.index);
    size += number_size(10, m->pos.epoch) + number_size(11, m->last) + number_size(12, m->commit);
    size += number_size(13, m->ctx) + number_size(20, m->reject ? 1 : 0);
    size += number_size(21, m->hint.index) + number_size(22, m->hint.epoch);
    size += number_size(23, m->seen) + number_size(24, m->write_age_us);
    size += number_size(25, m->applied) + number_size(26, m->durable);
    size += number_size(27, m->hash_index) + fixed_size(28, m->hash);
    size += number_size(29, (uint64_t) m->revision);
    return size;
}
