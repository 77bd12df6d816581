/*
 * test_wire_peer.c - messages between nodes: every field there and back, the bytes of a few, and
 * everything that a decoder must not let in.
 */

#include "proto/wire_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/assert.h"
#include "base/enc.h"
#include "base/mem.h"
#include "base/rng.h"
#include "tests/support/death.h"
#include "tests/support/guard.h"
#include "tests/support/hex.h"
#include "tests/support/wire_fixture.h"

static const struct envelope ENVELOPE = {.cluster_id = 0x1122334455667788,
                                         .from_incarnation = 3,
                                         .to_incarnation = 4};

/* A value of one command with this payload; one reference. */
static struct value *value_of(const char *payload)
{
    struct value_builder b;
    value_builder_init(&b, 1 << 20, 16);
    struct command c = {.tag = 1, .session = 9, .sequence = 10, .payload = bytes_str(payload)};
    int rc = value_builder_add(&b, &c);
    ASSERT(rc == OK);
    struct value *v = value_builder_detach(&b);
    value_builder_release(&b);
    return v;
}

/* Takes the reference to `value`. */
static void add_entry(struct message *m, struct log_pos pos, struct value *value)
{
    struct entry e = {.index = pos.index, .epoch = pos.epoch, .value = value};
    message_add_entry(m, &e);
    value_unref(value);
}

static struct message *message_of(enum message_type type)
{
    struct message *m = message_new(type, 2);
    m->from = 1;
    m->engine = 3;
    return m;
}

/* The whole body of `m`: head and values. One reference. */
static struct blob *body_of(struct wire_fixture *f, const struct message *m,
                            const struct envelope *envelope)
{
    buf_clear(&f->out);
    int rc = wire_peer_encode(m, envelope, &f->out);
    ASSERT(rc == OK);
    for (uint32_t i = 0; i < m->entries_count; i++) {
        rc = buf_append_bytes(&f->out, m->entries[i].value->bytes);
        ASSERT(rc == OK);
    }
    return blob_copy(buf_bytes(&f->out));
}

/* Decodes a body of head (hex of the PeerMessage) and values (text of bytes behind it). */
static int decode_hex(struct wire_fixture *f, const char *head, struct bytes values,
                      struct message **ret_message)
{
    struct bytes in = hex_parse(head, &f->in);
    struct blob *body = blob_new(4 + in.size + values.size);
    enc_put_u32(body->data, (uint32_t) in.size);
    if (in.size > 0) {
        memcpy(body->data + 4, in.data, in.size);
    }
    if (values.size > 0) {
        memcpy(body->data + 4 + in.size, values.data, values.size);
    }
    struct envelope envelope;
    arena_reset(&f->arena);
    int rc = wire_peer_decode(body, &f->arena, ret_message, &envelope);
    blob_unref(body);
    return rc;
}

/* Whether a head without values is refused; it leaves nothing behind. */
static int refused_hex(struct wire_fixture *f, const char *head)
{
    struct message *m = NULL;
    int rc = decode_hex(f, head, bytes_of(NULL, 0), &m);
    if (rc == OK) {
        message_free(m);
    } else {
        ASSERT(m == NULL);
    }
    return rc;
}

#define assert_same(a, b, field) assert_true((a)->field == (b)->field)

/* Not a helper with cmocka's asserts in another frame: a macro in the test's own. */
#define assert_message_equal(a, b)                                                                 \
    do {                                                                                           \
        assert_same(a, b, engine);                                                                 \
        assert_same(a, b, type);                                                                   \
        assert_same(a, b, reject);                                                                 \
        assert_same(a, b, from);                                                                   \
        assert_same(a, b, to);                                                                     \
        assert_same(a, b, epoch);                                                                  \
        assert_same(a, b, pos.index);                                                              \
        assert_same(a, b, pos.epoch);                                                              \
        assert_same(a, b, last);                                                                   \
        assert_same(a, b, commit);                                                                 \
        assert_same(a, b, hint.index);                                                             \
        assert_same(a, b, hint.epoch);                                                             \
        assert_same(a, b, ctx);                                                                    \
        assert_same(a, b, seen);                                                                   \
        assert_same(a, b, write_age_us);                                                           \
        assert_same(a, b, applied);                                                                \
        assert_same(a, b, durable);                                                                \
        assert_same(a, b, hash_index);                                                             \
        assert_same(a, b, hash);                                                                   \
        assert_same(a, b, revision);                                                               \
        assert_same(a, b, entries_count);                                                          \
        assert_same(a, b, bytes);                                                                  \
        for (uint32_t i_ = 0; i_ < (a)->entries_count; i_++) {                                     \
            const struct entry *x_ = &(a)->entries[i_];                                            \
            const struct entry *y_ = &(b)->entries[i_];                                            \
            assert_same(x_, y_, index);                                                            \
            assert_same(x_, y_, epoch);                                                            \
            assert_same(x_, y_, value->kind);                                                      \
            assert_same(x_, y_, value->count);                                                     \
            assert_same(x_, y_, value->crc);                                                       \
            assert_true(bytes_equal(x_->value->bytes, y_->value->bytes));                          \
        }                                                                                          \
    } while (0)

/* ---- there and back ---- */

static void test_wire_peer_every_field_comes_back(void **state)
{
    struct wire_fixture *f = *state;
    struct message *m = message_of(MSG_PAXOS_PROMISE);
    m->to = NODE_ID_MAX;
    m->from = 40000;
    m->engine = 255;
    m->reject = true;
    m->epoch = 101;
    m->pos = (struct log_pos){102, 103};
    m->last = 104;
    m->commit = 105;
    m->hint = (struct log_pos){106, 107};
    m->ctx = 108;
    m->seen = 109;
    m->write_age_us = 110;
    m->applied = 111;
    m->durable = 112;
    m->hash_index = 113;
    m->hash = 114;
    m->revision = 115;
    add_entry(m, (struct log_pos){5, 7}, value_of("first"));
    add_entry(m, (struct log_pos){6, 3}, value_new_noop());
    add_entry(m, (struct log_pos){9, UINT64_MAX}, value_of("third"));
    add_entry(m, (struct log_pos){UINT64_MAX, 0}, value_of(""));

    const struct envelope full = {7, 3, 4, 5, 6};
    struct blob *body = body_of(f, m, &full);
    struct message *got;
    struct envelope envelope;
    assert_int_equal(wire_peer_decode(body, &f->arena, &got, &envelope), OK);
    assert_message_equal(m, got);
    assert_true(envelope.cluster_id == 7);
    assert_true(envelope.from_incarnation == 3);
    assert_true(envelope.to_incarnation == 4);
    assert_true(envelope.from_written == 5);
    assert_true(envelope.to_seen == 6);
    message_free(m);
    message_free(got);
    blob_unref(body);
}

static void test_wire_peer_every_number_keeps_its_extremes(void **state)
{
    struct wire_fixture *f = *state;
    const struct envelope all = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
    struct message *m = message_of(MSG_REPLICA_GOSSIP);
    m->epoch = UINT64_MAX;
    m->pos = m->hint = (struct log_pos){UINT64_MAX, UINT64_MAX};
    m->last = m->commit = m->ctx = m->seen = UINT64_MAX;
    m->write_age_us = m->applied = m->durable = UINT64_MAX;
    m->hash_index = m->hash = m->revision = UINT64_MAX;
    struct blob *body = body_of(f, m, &all);
    struct message *got;
    struct envelope envelope;
    assert_int_equal(wire_peer_decode(body, &f->arena, &got, &envelope), OK);
    assert_message_equal(m, got);
    assert_true(envelope.cluster_id == UINT64_MAX);
    assert_true(envelope.from_incarnation == UINT64_MAX);
    assert_true(envelope.to_incarnation == UINT64_MAX);
    assert_true(envelope.from_written == UINT64_MAX);
    assert_true(envelope.to_seen == UINT64_MAX);
    message_free(m);
    message_free(got);
    blob_unref(body);
}

static void test_wire_peer_every_type_is_known(void **state)
{
    struct wire_fixture *f = *state;
    const enum message_type types[] = {
#define X(number, name, text) MSG_##name,
        MESSAGE_MAP(X)
#undef X
    };
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        struct message *m = message_of(types[i]);
        struct blob *body = body_of(f, m, &ENVELOPE);
        struct message *got;
        struct envelope envelope;
        assert_int_equal(wire_peer_decode(body, &f->arena, &got, &envelope), OK);
        assert_int_equal(got->type, types[i]);
        message_free(m);
        message_free(got);
        blob_unref(body);
    }
}

static uint64_t random_number(struct rng *rng)
{
    return rng_u64(rng) >> rng_below(rng, 64);
}

static void test_wire_peer_random_messages_come_back(void **state)
{
    struct wire_fixture *f = *state;
    struct rng rng;
    rng_init(&rng, 20);
    for (int round = 0; round < 300; round++) {
        struct message *m = message_of(MSG_RAFT_APPEND);
        m->epoch = random_number(&rng);
        m->pos.index = random_number(&rng);
        m->ctx = random_number(&rng);
        m->hash = random_number(&rng);
        uint64_t index = 0;
        uint64_t count = rng_below(&rng, 200); /* above and below what fits on the stack */
        for (uint64_t i = 0; i < count; i++) {
            index += 1 + (rng_chance(&rng, 1, 8) ? random_number(&rng) >> 8 : 0);
            struct log_pos pos = {index, random_number(&rng)};
            add_entry(m, pos, rng_chance(&rng, 1, 4) ? value_new_noop() : value_of("payload"));
        }
        struct blob *body = body_of(f, m, &ENVELOPE);
        struct message *got;
        struct envelope envelope;
        arena_reset(&f->arena);
        assert_int_equal(wire_peer_decode(body, &f->arena, &got, &envelope), OK);
        assert_message_equal(m, got);
        message_free(m);
        message_free(got);
        blob_unref(body);
    }
}

static void test_wire_peer_values_point_into_the_body_and_keep_it(void **state)
{
    struct wire_fixture *f = *state;
    struct message *m = message_of(MSG_RAFT_APPEND);
    add_entry(m, (struct log_pos){1, 1}, value_of("payload"));
    add_entry(m, (struct log_pos){2, 1}, value_new_noop());
    struct blob *body = body_of(f, m, &ENVELOPE);
    struct message *got;
    struct envelope envelope;
    assert_int_equal(wire_peer_decode(body, &f->arena, &got, &envelope), OK);
    assert_int_equal(body->refs, 2); /* ours and the first value's; a no-op pins nothing */
    const struct value *v = got->entries[0].value;
    assert_ptr_equal(v->bytes.data + v->bytes.size, body->data + body->size);
    assert_int_equal(v->refs, 1);
    arena_reset(&f->arena);
    message_free(got);
    assert_int_equal(body->refs, 1);
    blob_unref(body);
    message_free(m);
}

/* ---- bytes ---- */

static void test_wire_peer_append_has_the_stated_bytes(void **state)
{
    struct wire_fixture *f = *state;
    struct message *m = message_of(MSG_RAFT_APPEND);
    m->epoch = 7;
    m->pos = (struct log_pos){10, 6};
    m->commit = 9;
    add_entry(m, (struct log_pos){11, 7}, value_new_noop());
    add_entry(m, (struct log_pos){12, 7}, value_new_noop());
    uint32_t crc = m->entries[0].value->crc;
    assert_int_equal(wire_peer_encode(m, &ENVELOPE, &f->out), OK);
    struct bytes want = hex_parse("3f 00 00 00"
                                  "08 05  10 03  18 01  20 02  29 88 77 66 55 44 33 22 11"
                                  "30 03  38 04  40 07  48 0a  50 06  60 09"
                                  "72 02 0b 01  7a 02 0e 00" /* index and epoch: differences */
                                  "82 01 02 00 00  8a 01 02 00 00  92 01 02 00 00"
                                  "9a 01 08 00 00 00 00 00 00 00 00",
                                  &f->in);
    enc_put_u32(f->in.data + f->in.size - 8, crc);
    enc_put_u32(f->in.data + f->in.size - 4, crc);
    assert_int_equal(f->out.size, want.size);
    assert_memory_equal(f->out.data, want.data, want.size);
    message_free(m);
}

static void test_wire_peer_heartbeat_is_small(void **state)
{
    struct wire_fixture *f = *state;
    struct message *m = message_of(MSG_RAFT_HEARTBEAT);
    m->epoch = 12;
    m->commit = 100000;
    m->seen = 7;
    m->ctx = 1000;
    assert_int_equal(wire_peer_encode(m, &ENVELOPE, &f->out), OK);
    assert_true(f->out.size <= 40);
    message_free(m);
}

/* ---- what must not get in ---- */

/* type, engine, from, to: enough for a message. */
#define GOOD "08 07 10 03 18 01 20 02 "

static void test_wire_peer_head_out_of_range_is_malformed(void **state)
{
    struct wire_fixture *f = *state;
    assert_int_equal(refused_hex(f, GOOD), OK);
    assert_int_equal(refused_hex(f, ""), ERR_MALFORMED);
    assert_int_equal(refused_hex(f, GOOD "08 00"), ERR_MALFORMED);       /* type 0 */
    assert_int_equal(refused_hex(f, GOOD "08 1f"), ERR_MALFORMED);       /* type 31 */
    assert_int_equal(refused_hex(f, GOOD "08 87 02"), ERR_MALFORMED);    /* 256 + 7 */
    assert_int_equal(refused_hex(f, GOOD "10 00"), ERR_MALFORMED);       /* engine 0 */
    assert_int_equal(refused_hex(f, GOOD "10 80 02"), ERR_MALFORMED);    /* engine 256 */
    assert_int_equal(refused_hex(f, GOOD "18 00"), ERR_MALFORMED);       /* from 0 */
    assert_int_equal(refused_hex(f, GOOD "18 80 80 04"), ERR_MALFORMED); /* from 65536 */
    assert_int_equal(refused_hex(f, GOOD "18 ff ff 03"), OK);            /* from 65535 */
    assert_int_equal(refused_hex(f, GOOD "20 00"), ERR_MALFORMED);       /* to 0 */
    assert_int_equal(refused_hex(f, GOOD "20 80 80 04"), ERR_MALFORMED); /* to 65536 */
    assert_int_equal(refused_hex(f, GOOD "0a 01 07"), ERR_MALFORMED);    /* wrong wire type */
    assert_int_equal(refused_hex(f, GOOD "fa 07 02 aa bb"), OK);         /* unknown field */
}

/* The columns of one no-op at 1. Its checksum is that of no bytes, kind 0 and count 0. */
#define COLUMN_INDEX "72 01 01 "
#define COLUMN_EPOCH "7a 01 02 "
#define COLUMN_KIND "82 01 01 00 "
#define COLUMN_COUNT "8a 01 01 00 "
#define COLUMN_SIZE "92 01 01 00 "

/* The column of checksums of `count` no-ops. */
static const char *column_crc(uint32_t count, char out[128])
{
    uint8_t le[4];
    enc_put_u32(le, value_crc(VALUE_NOOP, 0, bytes_of(NULL, 0)));
    int n = snprintf(out, 128, "9a 01 %02x ", count * 4);
    for (uint32_t i = 0; i < count; i++) {
        n += snprintf(out + n, 128 - (size_t) n, "%02x%02x%02x%02x ", le[0], le[1], le[2], le[3]);
    }
    return out;
}

static int refused_parts(struct wire_fixture *f, const char *a, const char *b)
{
    char hex[512];
    ASSERT(strlen(a) + strlen(b) < sizeof hex);
    strcpy(hex, a);
    strcat(hex, b);
    return refused_hex(f, hex);
}

static void test_wire_peer_columns_of_different_lengths_are_malformed(void **state)
{
    struct wire_fixture *f = *state;
    char crc[128];
    column_crc(1, crc);
    assert_int_equal(
        refused_parts(f, GOOD COLUMN_INDEX COLUMN_EPOCH COLUMN_KIND COLUMN_COUNT COLUMN_SIZE, crc),
        OK);
    const char *missing[] = {
        GOOD COLUMN_EPOCH COLUMN_KIND COLUMN_COUNT COLUMN_SIZE,
        GOOD COLUMN_INDEX COLUMN_KIND COLUMN_COUNT COLUMN_SIZE,
        GOOD COLUMN_INDEX COLUMN_EPOCH COLUMN_COUNT COLUMN_SIZE,
        GOOD COLUMN_INDEX COLUMN_EPOCH COLUMN_KIND COLUMN_SIZE,
        GOOD COLUMN_INDEX COLUMN_EPOCH COLUMN_KIND COLUMN_COUNT,
    };
    for (size_t i = 0; i < ARRAY_SIZE(missing); i++) {
        assert_int_equal(refused_parts(f, missing[i], crc), ERR_MALFORMED);
    }
    assert_int_equal(
        refused_parts(f, GOOD COLUMN_INDEX COLUMN_EPOCH COLUMN_KIND COLUMN_COUNT COLUMN_SIZE, ""),
        ERR_MALFORMED);
    /* One longer than the others. */
    assert_int_equal(refused_parts(f,
                                   GOOD
                                   "72 02 01 01 " COLUMN_EPOCH COLUMN_KIND COLUMN_COUNT COLUMN_SIZE,
                                   crc),
                     ERR_MALFORMED);
}

static void test_wire_peer_entries_must_ascend(void **state)
{
    struct wire_fixture *f = *state;
    char crc[128];
    column_crc(2, crc);
#define TWO(index) index " 7a 02 02 00  82 01 02 00 00  8a 01 02 00 00  92 01 02 00 00 "
    assert_int_equal(refused_parts(f, GOOD TWO("72 02 01 01"), crc), OK);
    assert_int_equal(refused_parts(f, GOOD TWO("72 02 00 01"), crc), ERR_MALFORMED); /* from 0 */
    assert_int_equal(refused_parts(f, GOOD TWO("72 02 01 00"), crc), ERR_MALFORMED); /* twice */
    /* 2^64 - 1 steps further wraps around to the index before. */
    assert_int_equal(refused_parts(f, GOOD TWO("72 0b 05 ff ff ff ff ff ff ff ff ff 01"), crc),
                     ERR_MALFORMED);
    /* What the replica sends has no place in the log. */
    assert_int_equal(refused_parts(f, GOOD "08 40 " TWO("72 02 00 00"), crc), OK);
#undef TWO
}

static void test_wire_peer_sizes_must_add_up(void **state)
{
    struct wire_fixture *f = *state;
    struct message *m = message_of(MSG_RAFT_APPEND);
    add_entry(m, (struct log_pos){1, 1}, value_of("one"));
    add_entry(m, (struct log_pos){2, 1}, value_of("two"));
    struct blob *body = body_of(f, m, &ENVELOPE);
    struct message *got = NULL;
    struct envelope envelope;
    struct blob *longer = blob_new(body->size + 1);
    memcpy(longer->data, body->data, body->size);
    longer->data[body->size] = 0;
    assert_int_equal(wire_peer_decode(longer, &f->arena, &got, &envelope), ERR_MALFORMED);
    blob_unref(longer);
    struct blob *shorter = blob_copy(bytes_of(body->data, body->size - 1));
    assert_int_equal(wire_peer_decode(shorter, &f->arena, &got, &envelope), ERR_MALFORMED);
    blob_unref(shorter);
    assert_null(got);
    blob_unref(body);
    message_free(m);
}

static void test_wire_peer_head_size_beyond_the_body_is_malformed(void **state)
{
    struct wire_fixture *f = *state;
    const char *bodies[] = {"",
                            "00",
                            "00 00 00",
                            "01 00 00 00",
                            "ff ff ff ff 08 07",
                            "09 00 00 00 08 07 10 03 18 01 20 02",
                            "fc ff ff ff 08 07 10 03 18 01 20 02"};
    for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
        struct blob *body = blob_copy(hex_parse(bodies[i], &f->in));
        struct message *got = NULL;
        struct envelope envelope;
        assert_int_equal(wire_peer_decode(body, &f->arena, &got, &envelope), ERR_MALFORMED);
        assert_null(got);
        blob_unref(body);
    }
}

static void test_wire_peer_flipped_value_bit_is_corrupt(void **state)
{
    struct wire_fixture *f = *state;
    struct message *m = message_of(MSG_RAFT_APPEND);
    add_entry(m, (struct log_pos){1, 1}, value_of("one"));
    add_entry(m, (struct log_pos){2, 1}, value_of("two"));
    size_t values = m->bytes;
    struct blob *body = body_of(f, m, &ENVELOPE);
    for (size_t i = body->size - values; i < body->size; i++) {
        struct blob *bad = blob_copy(blob_bytes(body));
        bad->data[i] ^= 1;
        struct message *got = NULL;
        struct envelope envelope;
        assert_int_equal(wire_peer_decode(bad, &f->arena, &got, &envelope), ERR_CORRUPT);
        assert_null(got);
        assert_int_equal(bad->refs, 1);
        blob_unref(bad);
    }
    blob_unref(body);
    message_free(m);
}

static void test_wire_peer_value_that_is_none_is_malformed(void **state)
{
    struct wire_fixture *f = *state;
    /* Kind 9 does not exist; kind 256 must not be taken for a no-op. */
    uint32_t crc = value_crc(9, 0, bytes_of(NULL, 0));
    char hex[256];
    (void) snprintf(hex, sizeof hex,
                    GOOD COLUMN_INDEX COLUMN_EPOCH "82 01 01 09 " COLUMN_COUNT COLUMN_SIZE
                                                   "9a 01 04 %02x%02x%02x%02x",
                    crc & 0xff, crc >> 8 & 0xff, crc >> 16 & 0xff, crc >> 24);
    assert_int_equal(refused_hex(f, hex), ERR_MALFORMED);
    char column[128];
    column_crc(1, column);
    assert_int_equal(refused_parts(f,
                                   GOOD COLUMN_INDEX COLUMN_EPOCH
                                   "82 01 02 80 02 " COLUMN_COUNT COLUMN_SIZE,
                                   column),
                     ERR_MALFORMED);
}

static void test_wire_peer_too_many_entries_are_refused(void **state)
{
    struct wire_fixture *f = *state;
    struct message *m = message_of(MSG_RAFT_APPEND);
    struct value *noop = value_new_noop();
    m->entries_capacity = PEER_ENTRIES_MAX + 1;
    m->entries = xcalloc(m->entries_capacity, sizeof *m->entries);
    for (uint32_t i = 0; i <= PEER_ENTRIES_MAX; i++) {
        m->entries[i] = (struct entry){.index = i + 1, .epoch = 1, .value = value_ref(noop)};
    }
    m->entries_count = PEER_ENTRIES_MAX;
    struct blob *body = body_of(f, m, &ENVELOPE);
    struct message *got = NULL;
    struct envelope envelope;
    assert_int_equal(wire_peer_decode(body, &f->arena, &got, &envelope), OK);
    assert_int_equal(got->entries_count, PEER_ENTRIES_MAX);
    message_free(got);
    blob_unref(body);

    m->entries_count++;
    buf_clear(&f->out);
    assert_int_equal(wire_peer_encode(m, &ENVELOPE, &f->out), ERR_LIMIT);
    assert_int_equal(f->out.size, 0);
    message_free(m);
    value_unref(noop);
}

/* A repeated field may come in pieces: the limit counts them all. */
static void test_wire_peer_too_many_entries_in_pieces_are_refused(void **state)
{
    struct wire_fixture *f = *state;
    buf_clear(&f->out);
    uint32_t zero = 0;
    assert_int_equal(buf_append(&f->out, &zero, 4), OK);
    struct bytes good = hex_parse(GOOD, &f->in);
    assert_int_equal(buf_append_bytes(&f->out, good), OK);
    struct bytes unpacked[] = {bytes_str("\x70\x01"), bytes_str("\x78\x02"),
                               bytes_of("\x80\x01\x00", 3), bytes_of("\x88\x01\x00", 3),
                               bytes_of("\x90\x01\x00", 3)};
    uint8_t crc[6] = {0x9d, 0x01};
    enc_put_u32(crc + 2, value_crc(VALUE_NOOP, 0, bytes_of(NULL, 0)));
    for (uint64_t i = 0; i <= PEER_ENTRIES_MAX; i++) {
        for (size_t k = 0; k < ARRAY_SIZE(unpacked); k++) {
            assert_int_equal(buf_append_bytes(&f->out, unpacked[k]), OK);
        }
        assert_int_equal(buf_append(&f->out, crc, sizeof crc), OK);
    }
    enc_put_u32(f->out.data, (uint32_t) f->out.size - 4);
    struct blob *body = blob_copy(buf_bytes(&f->out));
    struct message *got = NULL;
    struct envelope envelope;
    assert_int_equal(wire_peer_decode(body, &f->arena, &got, &envelope), ERR_MALFORMED);
    assert_null(got);
    blob_unref(body);
}

static void test_wire_peer_arena_limit_is_reported_as_such(void **state)
{
    struct wire_fixture *f = *state;
    struct message *m = message_of(MSG_RAFT_APPEND);
    for (uint64_t i = 1; i <= 100; i++) {
        add_entry(m, (struct log_pos){i, 1}, value_new_noop());
    }
    struct blob *body = body_of(f, m, &ENVELOPE);
    struct arena small;
    arena_init(&small, 4096, 1000);
    struct message *got = NULL;
    struct envelope envelope;
    assert_int_equal(wire_peer_decode(body, &small, &got, &envelope), ERR_LIMIT);
    assert_null(got);
    arena_release(&small);
    blob_unref(body);
    message_free(m);
}

static void test_wire_peer_buffer_limit_leaves_the_buffer_alone(void **state)
{
    (void) state;
    struct message *m = message_of(MSG_RAFT_APPEND);
    struct buf small;
    buf_init(&small, 20);
    assert_int_equal(buf_append(&small, "ab", 2), OK);
    assert_int_equal(wire_peer_encode(m, &ENVELOPE, &small), ERR_LIMIT);
    assert_int_equal(small.size, 2);
    buf_release(&small);
    message_free(m);
}

static void encode_without_sender(void *ctx)
{
    struct message *m = message_of(MSG_RAFT_VOTE);
    m->from = 0;
    int rc = wire_peer_encode(m, &ENVELOPE, ctx);
    (void) rc;
}

static void encode_out_of_order(void *ctx)
{
    struct message *m = message_of(MSG_RAFT_APPEND);
    add_entry(m, (struct log_pos){2, 1}, value_new_noop());
    add_entry(m, (struct log_pos){2, 1}, value_new_noop());
    int rc = wire_peer_encode(m, &ENVELOPE, ctx);
    (void) rc;
}

static void test_wire_peer_bad_message_of_ours_aborts(void **state)
{
    struct wire_fixture *f = *state;
    assert_true(death_aborts(encode_without_sender, &f->out));
    assert_true(death_aborts(encode_out_of_order, &f->out));
}

/* Cut and changed at every byte: an error or a message, never a crash; whatever is accepted can be
 * encoded again. */
static void test_wire_peer_damaged_bodies_are_survived(void **state)
{
    struct wire_fixture *f = *state;
    struct message *m = message_of(MSG_PAXOS_ACCEPT);
    m->epoch = 300;
    add_entry(m, (struct log_pos){1000, 300}, value_of("one"));
    add_entry(m, (struct log_pos){1001, 300}, value_new_noop());
    struct blob *body = body_of(f, m, &ENVELOPE);
    for (size_t i = 0; i < body->size; i++) {
        for (uint32_t change = 0; change < 256; change++) {
            struct blob *bad =
                change == 0 ? blob_copy(bytes_of(body->data, i)) : blob_copy(blob_bytes(body));
            if (change != 0) {
                bad->data[i] ^= (uint8_t) change;
            }
            struct message *got = NULL;
            struct envelope envelope;
            arena_reset(&f->arena);
            int rc = wire_peer_decode(bad, &f->arena, &got, &envelope);
            assert_true((rc == OK) == (got != NULL));
            if (rc == OK) {
                buf_clear(&f->out);
                assert_int_equal(wire_peer_encode(got, &envelope, &f->out), OK);
            }
            message_free(got);
            assert_int_equal(bad->refs, 1);
            blob_unref(bad);
        }
    }
    blob_unref(body);
    message_free(m);
}

/* ---- hello ---- */

static const struct peer_hello HELLO = {.version = PEER_VERSION,
                                        .cluster_id = 0x1122334455667788,
                                        .from = 1,
                                        .to = NODE_ID_MAX,
                                        .incarnation = 9,
                                        .engine = 2,
                                        .sessions_max = 65536};

static void test_wire_hello_comes_back(void **state)
{
    struct wire_fixture *f = *state;
    assert_int_equal(wire_hello_encode(&HELLO, &f->out), OK);
    struct bytes want = hex_parse(
        "08 01  11 88 77 66 55 44 33 22 11  18 01  20 ff ff 03  28 09  30 02  38 80 80 04", &f->in);
    assert_int_equal(f->out.size, want.size);
    assert_memory_equal(f->out.data, want.data, want.size);
    struct peer_hello got;
    struct bytes in = guard_place(&f->guard, buf_bytes(&f->out));
    assert_int_equal(wire_hello_decode(in, &f->arena, &got), OK);
    assert_same(&got, &HELLO, version);
    assert_same(&got, &HELLO, cluster_id);
    assert_same(&got, &HELLO, from);
    assert_same(&got, &HELLO, to);
    assert_same(&got, &HELLO, incarnation);
    assert_same(&got, &HELLO, engine);
    assert_same(&got, &HELLO, sessions_max);
}

#define GOOD_HELLO "08 01 18 01 20 02 30 02 "

static int hello_hex(struct wire_fixture *f, const char *hex)
{
    struct peer_hello got = {.from = 77};
    struct bytes in = guard_place(&f->guard, hex_parse(hex, &f->in));
    int rc = wire_hello_decode(in, &f->arena, &got);
    ASSERT(rc == OK || got.from == 77);
    return rc;
}

static void test_wire_hello_out_of_range_is_refused(void **state)
{
    struct wire_fixture *f = *state;
    assert_int_equal(hello_hex(f, GOOD_HELLO), OK);
    assert_int_equal(hello_hex(f, ""), ERR_MALFORMED);
    assert_int_equal(hello_hex(f, GOOD_HELLO "08 00"), ERR_MALFORMED); /* version 0 */
    assert_int_equal(hello_hex(f, GOOD_HELLO "08 02"), OK);            /* the caller's to judge */
    assert_int_equal(hello_hex(f, GOOD_HELLO "18 00"), ERR_MALFORMED);
    assert_int_equal(hello_hex(f, GOOD_HELLO "18 80 80 04"), ERR_MALFORMED);
    assert_int_equal(hello_hex(f, GOOD_HELLO "20 00"), OK); /* to whoever listens there */
    assert_int_equal(hello_hex(f, GOOD_HELLO "20 80 80 04"), ERR_MALFORMED);
    assert_int_equal(hello_hex(f, GOOD_HELLO "30 00"), ERR_MALFORMED);
    assert_int_equal(hello_hex(f, GOOD_HELLO "30 80 02"), ERR_MALFORMED);
    assert_int_equal(hello_hex(f, GOOD_HELLO "18"), ERR_MALFORMED);
    assert_int_equal(hello_hex(f, GOOD_HELLO "f8 07 01"), OK); /* a field of a newer version */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, wire_fixture_setup, wire_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_wire_peer_every_field_comes_back),
        TEST(test_wire_peer_every_number_keeps_its_extremes),
        TEST(test_wire_peer_every_type_is_known),
        TEST(test_wire_peer_random_messages_come_back),
        TEST(test_wire_peer_values_point_into_the_body_and_keep_it),
        TEST(test_wire_peer_append_has_the_stated_bytes),
        TEST(test_wire_peer_heartbeat_is_small),
        TEST(test_wire_peer_head_out_of_range_is_malformed),
        TEST(test_wire_peer_columns_of_different_lengths_are_malformed),
        TEST(test_wire_peer_entries_must_ascend),
        TEST(test_wire_peer_sizes_must_add_up),
        TEST(test_wire_peer_head_size_beyond_the_body_is_malformed),
        TEST(test_wire_peer_flipped_value_bit_is_corrupt),
        TEST(test_wire_peer_value_that_is_none_is_malformed),
        TEST(test_wire_peer_too_many_entries_are_refused),
        TEST(test_wire_peer_too_many_entries_in_pieces_are_refused),
        TEST(test_wire_peer_arena_limit_is_reported_as_such),
        TEST(test_wire_peer_buffer_limit_leaves_the_buffer_alone),
        TEST(test_wire_peer_bad_message_of_ours_aborts),
        TEST(test_wire_peer_damaged_bodies_are_survived),
        TEST(test_wire_hello_comes_back),
        TEST(test_wire_hello_out_of_range_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
