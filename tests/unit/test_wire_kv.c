/*
 * test_wire_kv.c - etcd's messages: the bytes of each field written out by hand, both ways; what is
 * malformed, unknown, too deep or too large.
 */

#include "proto/wire_kv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests/support/guard.h"
#include "tests/support/hex.h"
#include "tests/support/wire_fixture.h"

/* ---- requests ---- */

static const char RANGE_ALL_FIELDS[] =
    "0a 01 61  12 01 62  18 03  20 04  28 02  30 03  38 01  40 01  48 01"
    "50 0a  58 0b  60 0c  68 0d";

static void test_wire_range_request_has_etcds_fields(void **state)
{
    struct wire_fixture *f = *state;
    struct range_request r;
    assert_int_equal(wire_range_request_decode(wire_fixture_place(f, RANGE_ALL_FIELDS), &f->arena,
                                               &r),
                     OK);
    assert_bytes(r.key, "a");
    assert_bytes(r.range_end, "b");
    assert_int_equal(r.limit, 3);
    assert_int_equal(r.revision, 4);
    assert_int_equal(r.sort_order, SORT_DESCEND);
    assert_int_equal(r.sort_target, SORT_MOD);
    assert_true(r.serializable);
    assert_true(r.keys_only);
    assert_true(r.count_only);
    assert_int_equal(r.min_mod_revision, 10);
    assert_int_equal(r.max_mod_revision, 11);
    assert_int_equal(r.min_create_revision, 12);
    assert_int_equal(r.max_create_revision, 13);
    assert_int_equal(wire_range_request_encode(&r, &f->out), OK);
    assert_encoded_as_in(f);
}

static void test_wire_range_request_flags_are_separate(void **state)
{
    struct wire_fixture *f = *state;
    struct range_request r;
    assert_int_equal(wire_range_request_decode(wire_fixture_place(f, "38 01"), &f->arena, &r), OK);
    assert_true(r.serializable && !r.keys_only && !r.count_only);
    assert_int_equal(wire_range_request_decode(wire_fixture_place(f, "40 01"), &f->arena, &r), OK);
    assert_true(!r.serializable && r.keys_only && !r.count_only);
    assert_int_equal(wire_range_request_decode(wire_fixture_place(f, "48 01"), &f->arena, &r), OK);
    assert_true(!r.serializable && !r.keys_only && r.count_only);
}

static void test_wire_put_request_has_etcds_fields(void **state)
{
    struct wire_fixture *f = *state;
    struct put_request r;
    struct bytes in =
        wire_fixture_place(f, "0a 03 666f6f  12 03 626172  18 05  20 01  28 01  30 01");
    assert_int_equal(wire_put_request_decode(in, &f->arena, &r), OK);
    assert_bytes(r.key, "foo");
    assert_bytes(r.value, "bar");
    assert_int_equal(r.lease, 5);
    assert_true(r.prev_kv);
    assert_true(r.ignore_value);
    assert_true(r.ignore_lease);
    assert_int_equal(wire_put_request_encode(&r, &f->out), OK);
    assert_encoded_as_in(f);
    assert_int_equal(wire_put_request_decode(wire_fixture_place(f, "28 01"), &f->arena, &r), OK);
    assert_true(!r.prev_kv && r.ignore_value && !r.ignore_lease);
}

static void test_wire_put_request_bytes_are_arbitrary(void **state)
{
    struct wire_fixture *f = *state;
    uint8_t every[256];
    for (size_t i = 0; i < sizeof every; i++) {
        every[i] = (uint8_t) i;
    }
    struct put_request r = {.key = bytes_of(every, 256), .value = bytes_of(every + 1, 200)};
    struct put_request got;
    assert_int_equal(wire_put_request_encode(&r, &f->out), OK);
    struct bytes in = guard_place(&f->guard, buf_bytes(&f->out));
    assert_int_equal(wire_put_request_decode(in, &f->arena, &got), OK);
    assert_true(bytes_equal(got.key, r.key));
    assert_true(bytes_equal(got.value, r.value));
}

static void test_wire_numbers_keep_their_extremes(void **state)
{
    struct wire_fixture *f = *state;
    struct put_request put;
    struct bytes in = wire_fixture_place(f, "18 80 80 80 80 80 80 80 80 80 01");
    assert_int_equal(wire_put_request_decode(in, &f->arena, &put), OK);
    assert_true(put.lease == INT64_MIN);
    in = wire_fixture_place(f, "18 ff ff ff ff ff ff ff ff 7f");
    assert_int_equal(wire_put_request_decode(in, &f->arena, &put), OK);
    assert_true(put.lease == INT64_MAX);
    assert_int_equal(wire_put_request_encode(&put, &f->out), OK);
    assert_encoded_as_in(f);
    /* An enum of a newer client is kept as it is: api_check refuses it. */
    struct range_request range;
    in = wire_fixture_place(f, "28 ff ff ff ff ff ff ff ff ff 01 30 07");
    assert_int_equal(wire_range_request_decode(in, &f->arena, &range), OK);
    assert_int_equal(range.sort_order, -1);
    assert_int_equal(range.sort_target, 7);
}

static void test_wire_delete_and_compact_requests_have_etcds_fields(void **state)
{
    struct wire_fixture *f = *state;
    struct delete_request del;
    struct bytes in = wire_fixture_place(f, "0a 01 61  12 01 00  18 01");
    assert_int_equal(wire_delete_request_decode(in, &f->arena, &del), OK);
    assert_bytes(del.key, "a");
    assert_bytes(del.range_end, "\0");
    assert_true(del.prev_kv);
    assert_int_equal(wire_delete_request_encode(&del, &f->out), OK);
    assert_encoded_as_in(f);

    struct compact_request compact;
    in = wire_fixture_place(f, "08 96 01  10 01");
    assert_int_equal(wire_compact_request_decode(in, &f->arena, &compact), OK);
    assert_int_equal(compact.revision, 150);
    assert_true(compact.physical);
    buf_clear(&f->out);
    assert_int_equal(wire_compact_request_encode(&compact, &f->out), OK);
    assert_encoded_as_in(f);
}

static void test_wire_empty_input_is_a_message_of_zeros(void **state)
{
    struct wire_fixture *f = *state;
    struct put_request put = {.lease = 7};
    struct txn_request txn = {.compares_count = 7};
    struct bytes none = bytes_of(NULL, 0);
    assert_int_equal(wire_put_request_decode(none, &f->arena, &put), OK);
    assert_int_equal(put.key.size, 0);
    assert_int_equal(put.lease, 0);
    assert_int_equal(wire_txn_request_decode(none, &f->arena, &txn), OK);
    assert_int_equal(txn.compares_count, 0);
    assert_int_equal(wire_put_request_encode(&put, &f->out), OK);
    assert_int_equal(wire_txn_request_encode(&txn, &f->out), OK);
    assert_int_equal(f->out.size, 0);
}

/* ---- answers ---- */

static const struct api_header HEADER = {.cluster_id = 1,
                                         .member_id = 2,
                                         .revision = 99,
                                         .raft_term = 4};
static const char HEADER_HEX[] = "0a 08 08 01 10 02 18 03 20 04"; /* revision 3: the answer's */

/* Encodes `r` and compares with HEADER_HEX and `rest`; then decodes that and leaves it in *r. */
static void check_response(struct wire_fixture *f, struct api_response *r, const char *rest)
{
    char hex[512];
    assert_true(strlen(HEADER_HEX) + strlen(rest) < sizeof hex);
    strcpy(hex, HEADER_HEX);
    strcat(hex, rest);
    struct bytes in = wire_fixture_place(f, hex);
    buf_clear(&f->out);
    assert_int_equal(wire_response_encode(&HEADER, r, &f->out), OK);
    assert_encoded_as_in(f);
    struct api_header header;
    uint8_t kind = r->kind;
    memset(r, 0xff, sizeof *r);
    assert_int_equal(wire_response_decode(kind, in, &f->arena, &header, r), OK);
    assert_int_equal(r->kind, kind);
    assert_int_equal(r->revision, 3);
    assert_true(header.cluster_id == 1 && header.member_id == 2);
    assert_true(header.revision == 3 && header.raft_term == 4);
}

static void check_record(const struct api_kv *kv)
{
    assert_bytes(kv->key, "k");
    assert_bytes(kv->value, "v");
    assert_int_equal(kv->create_revision, 5);
    assert_int_equal(kv->mod_revision, 6);
    assert_int_equal(kv->version, 7);
    assert_int_equal(kv->lease, 8);
}

#define RECORD                                                                                     \
    {                                                                                              \
        .key = bytes_str("k"), .value = bytes_str("v"), .create_revision = 5, .mod_revision = 6,   \
        .version = 7, .lease = 8                                                                   \
    }

static void test_wire_range_response_has_etcds_fields(void **state)
{
    struct wire_fixture *f = *state;
    const struct api_kv kvs[2] = {RECORD, {.key = bytes_str("l")}};
    struct api_response r = {.kind = OP_RANGE, .revision = 3, .range = {kvs, 2, true, 10}};
    check_response(f, &r,
                   "12 0e 0a 01 6b 10 05 18 06 20 07 2a 01 76 30 08"
                   "12 03 0a 01 6c 18 01 20 0a");
    assert_int_equal(r.range.kvs_count, 2);
    check_record(&r.range.kvs[0]);
    assert_bytes(r.range.kvs[1].key, "l");
    assert_true(r.range.more);
    assert_int_equal(r.range.count, 10);
}

static void test_wire_put_response_has_etcds_fields(void **state)
{
    struct wire_fixture *f = *state;
    const struct api_kv kv = RECORD;
    struct api_response r = {.kind = OP_PUT, .revision = 3};
    check_response(f, &r, "");
    assert_null(r.put.prev);
    r = (struct api_response){.kind = OP_PUT, .revision = 3, .put = {&kv}};
    check_response(f, &r, "12 0e 0a 01 6b 10 05 18 06 20 07 2a 01 76 30 08");
    check_record(r.put.prev);
}

static void test_wire_delete_response_has_etcds_fields(void **state)
{
    struct wire_fixture *f = *state;
    const struct api_kv kv = RECORD;
    struct api_response r = {.kind = OP_DELETE, .revision = 3, .del = {1, &kv, 1}};
    check_response(f, &r, "10 01 1a 0e 0a 01 6b 10 05 18 06 20 07 2a 01 76 30 08");
    assert_int_equal(r.del.deleted, 1);
    assert_int_equal(r.del.prevs_count, 1);
    check_record(&r.del.prevs[0]);
}

static void test_wire_compact_response_is_a_header(void **state)
{
    struct wire_fixture *f = *state;
    struct api_response r = {.kind = OP_NONE, .revision = 3};
    check_response(f, &r, "");
}

static void test_wire_txn_response_nested_headers_hold_only_the_revision(void **state)
{
    struct wire_fixture *f = *state;
    const struct api_kv kv = RECORD;
    struct api_response deepest = {.kind = OP_PUT, .revision = 7};
    struct api_response ops[5] = {
        {.kind = OP_RANGE, .revision = 7, .range = {.count = 2}},
        {.kind = OP_PUT, .revision = 7, .put = {&kv}},
        {.kind = OP_DELETE, .revision = 7, .del = {.deleted = 1}},
        {.kind = OP_TXN, .revision = 7, .txn = {true, &deepest, 1}},
        {.kind = OP_NONE},
    };
    struct api_response r = {.kind = OP_TXN, .revision = 3, .txn = {true, ops, 5}};
    check_response(f, &r,
                   "10 01"
                   "1a 08 0a 06 0a 02 18 07 20 02"
                   "1a 16 12 14 0a 02 18 07 12 0e 0a 01 6b 10 05 18 06 20 07 2a 01 76 30 08"
                   "1a 08 1a 06 0a 02 18 07 10 01"
                   "1a 10 22 0e 0a 02 18 07 10 01 1a 06 12 04 0a 02 18 07"
                   "1a 00");
    assert_true(r.txn.succeeded);
    assert_int_equal(r.txn.responses_count, 5);
    const struct api_response *got = r.txn.responses;
    assert_true(got[0].kind == OP_RANGE && got[0].revision == 7 && got[0].range.count == 2);
    assert_true(got[1].kind == OP_PUT && got[1].revision == 7);
    check_record(got[1].put.prev);
    assert_true(got[2].kind == OP_DELETE && got[2].revision == 7 && got[2].del.deleted == 1);
    assert_true(got[3].kind == OP_TXN && got[3].revision == 7 && got[3].txn.succeeded);
    assert_int_equal(got[3].txn.responses_count, 1);
    assert_true(got[3].txn.responses[0].kind == OP_PUT);
    assert_true(got[3].txn.responses[0].revision == 7);
    assert_true(got[4].kind == OP_NONE && got[4].revision == 0);
}

static void test_wire_response_without_header_has_an_empty_one(void **state)
{
    struct wire_fixture *f = *state;
    struct api_header header = HEADER;
    struct api_response r;
    struct bytes in = wire_fixture_place(f, "20 02");
    assert_int_equal(wire_response_decode(OP_RANGE, in, &f->arena, &header, &r), OK);
    assert_true(header.cluster_id == 0 && header.member_id == 0);
    assert_true(header.revision == 0 && header.raft_term == 0);
    assert_int_equal(r.revision, 0);
    assert_int_equal(r.range.count, 2);
}

static void test_wire_range_response_of_many_records(void **state)
{
    struct wire_fixture *f = *state;
    enum { COUNT = 3000 };
    static struct api_kv kvs[COUNT];
    static char keys[COUNT][16];
    for (int i = 0; i < COUNT; i++) {
        (void) snprintf(keys[i], sizeof keys[i], "k%d", i);
        kvs[i] = (struct api_kv){.key = bytes_str(keys[i]), .mod_revision = i};
    }
    struct api_response r = {.kind = OP_RANGE, .range = {kvs, COUNT, false, COUNT}};
    struct api_response got;
    assert_int_equal(wire_response_encode(&HEADER, &r, &f->out), OK);
    assert_int_equal(wire_response_decode(OP_RANGE, buf_bytes(&f->out), &f->arena, NULL, &got), OK);
    assert_int_equal(got.range.kvs_count, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_true(bytes_equal(got.range.kvs[i].key, kvs[i].key));
        assert_int_equal(got.range.kvs[i].mod_revision, i);
    }
}

/* ---- what is not right ---- */

/* One decoder behind one signature; *ret_touched says that a result was written. */
static int decode_kind(int kind, struct bytes in, struct arena *a, bool *ret_touched)
{
    union {
        struct range_request range;
        struct put_request put;
        struct delete_request del;
        struct txn_request txn;
        struct compact_request compact;
        struct api_response response;
        struct api_status status;
        struct bytes service;
        const struct api_member *members;
    } u, before;
    memset(&u, 0x5a, sizeof u);
    before = u;
    uint32_t count = 0;
    int rc;
    switch (kind) {
    case 0:
        rc = wire_range_request_decode(in, a, &u.range);
        break;
    case 1:
        rc = wire_put_request_decode(in, a, &u.put);
        break;
    case 2:
        rc = wire_delete_request_decode(in, a, &u.del);
        break;
    case 3:
        rc = wire_txn_request_decode(in, a, &u.txn);
        break;
    case 4:
        rc = wire_compact_request_decode(in, a, &u.compact);
        break;
    case 5:
        rc = wire_status_decode(in, a, NULL, &u.status);
        break;
    case 6:
        rc = wire_members_decode(in, a, NULL, &u.members, &count);
        break;
    case 7:
        rc = wire_health_request_decode(in, a, &u.service);
        break;
    default:
        rc = wire_response_decode((uint8_t) (kind - 8), in, a, NULL, &u.response);
        break;
    }
    *ret_touched = memcmp(&u, &before, sizeof u) != 0;
    return rc;
}

enum { KINDS = 8 + OP_TXN + 1 };

static void test_wire_malformed_input_is_refused_by_every_decoder(void **state)
{
    struct wire_fixture *f = *state;
    const char *bad[] = {
        "0a",                                  /* key without a size */
        "0a 05 61",                            /* fewer bytes than the size says */
        "0a ff ff ff ff 0f",                   /* a size of 4 GB */
        "0a ff ff ff ff ff ff ff ff ff 01",    /* a size of 2^64 - 1 */
        "80",                                  /* half a key */
        "80 80 80 80 80 80 80 80 80 80 80 01", /* a key without an end */
        "f8 07",                               /* field 127, a number, no bytes */
        "f8 07 ff ff ff ff ff ff ff ff ff ff", /* a number without an end */
        "fd 07 01 02 03",                      /* 4 bytes, one missing */
        "f9 07 01 02 03 04 05 06 07",          /* 8 bytes, one missing */
        "fb 07 fc 07",                         /* a group: not in proto3 */
        "ff 07",                               /* no wire type at all */
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        for (int kind = 0; kind < KINDS; kind++) {
            bool touched;
            arena_reset(&f->arena);
            assert_int_equal(decode_kind(kind, wire_fixture_place(f, bad[i]), &f->arena, &touched),
                             ERR_MALFORMED);
            assert_false(touched);
        }
    }
}

static void test_wire_wrong_type_of_a_known_field_is_refused(void **state)
{
    struct wire_fixture *f = *state;
    struct put_request put;
    struct txn_request txn;
    assert_int_equal(wire_put_request_decode(wire_fixture_place(f, "08 01"), &f->arena, &put),
                     ERR_MALFORMED);
    assert_int_equal(wire_put_request_decode(wire_fixture_place(f, "1a 01 01"), &f->arena, &put),
                     ERR_MALFORMED);
    assert_int_equal(wire_txn_request_decode(wire_fixture_place(f, "10 01"), &f->arena, &txn),
                     ERR_MALFORMED);
}

static void test_wire_unknown_fields_are_ignored(void **state)
{
    struct wire_fixture *f = *state;
    /* Field 127: number, sized, 4 and 8 bytes. */
    const char unknown[] =
        "f8 07 01  fa 07 02 aa bb  fd 07 01 02 03 04  f9 07 01 02 03 04 05 06 07 08";
    for (int kind = 0; kind < KINDS; kind++) {
        bool touched;
        arena_reset(&f->arena);
        assert_int_equal(decode_kind(kind, wire_fixture_place(f, unknown), &f->arena, &touched),
                         OK);
        assert_true(touched);
    }
    struct put_request put;
    struct bytes in = wire_fixture_place(f, "f8 07 01 0a 01 61 fa 07 01 00 12 01 62");
    assert_int_equal(wire_put_request_decode(in, &f->arena, &put), OK);
    assert_bytes(put.key, "a");
    assert_bytes(put.value, "b");
}

static void test_wire_last_of_a_repeated_field_counts(void **state)
{
    struct wire_fixture *f = *state;
    struct put_request put;
    struct bytes in = wire_fixture_place(f, "0a 01 61 0a 01 62 18 01 18 02");
    assert_int_equal(wire_put_request_decode(in, &f->arena, &put), OK);
    assert_bytes(put.key, "b");
    assert_int_equal(put.lease, 2);
    /* The last member of a oneof replaces the others. */
    struct txn_request txn;
    in = wire_fixture_place(f, "12 0a 12 03 0a 01 61 1a 03 0a 01 62");
    assert_int_equal(wire_txn_request_decode(in, &f->arena, &txn), OK);
    assert_int_equal(txn.success[0].kind, OP_DELETE);
    assert_bytes(txn.success[0].del.key, "b");
}

static void test_wire_truncated_input_never_reads_past_its_end(void **state)
{
    struct wire_fixture *f = *state;
    struct buf whole;
    buf_init(&whole, 1024);
    const char *messages[] = {RANGE_ALL_FIELDS, HEADER_HEX,
                              /* a transaction: compare, put, get */
                              "0a 07 10 02 1a 01 6b 30 00 12 08 12 06 0a 01 6b 12 01 76"
                              "1a 05 0a 03 0a 01 6b"};
    for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
        struct bytes in = hex_parse(messages[i], &whole);
        for (size_t size = 0; size <= in.size; size++) {
            for (int kind = 0; kind < KINDS; kind++) {
                bool touched;
                arena_reset(&f->arena);
                struct bytes cut = guard_place(&f->guard, bytes_of(in.data, size));
                int rc = decode_kind(kind, cut, &f->arena, &touched);
                assert_true(rc == OK || rc == ERR_MALFORMED);
                assert_true(touched == (rc == OK));
            }
        }
    }
    buf_release(&whole);
}

static void test_wire_arena_limit_is_reported_as_such(void **state)
{
    struct wire_fixture *f = *state;
    struct txn_request request = {0};
    struct txn_op ops[64];
    for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
        ops[i] = (struct txn_op){.kind = OP_PUT, .put = {.key = bytes_str("key")}};
    }
    request.success = ops;
    request.success_count = ARRAY_SIZE(ops);
    assert_int_equal(wire_txn_request_encode(&request, &f->out), OK);
    size_t enough = 0;
    for (size_t size_max = 0; enough == 0; size_max += 256) {
        struct arena small;
        arena_init(&small, 4096, size_max);
        struct txn_request got = {.compares_count = 77};
        int rc = wire_txn_request_decode(buf_bytes(&f->out), &small, &got);
        if (rc == OK) {
            enough = size_max;
        } else {
            assert_int_equal(rc, ERR_LIMIT);
            assert_int_equal(got.compares_count, 77);
        }
        arena_release(&small);
    }
    assert_true(enough > 4096);
}

static void test_wire_buffer_limit_leaves_the_buffer_alone(void **state)
{
    struct wire_fixture *f = *state;
    struct put_request put = {.key = bytes_str("key"), .value = bytes_str("value")};
    assert_int_equal(wire_put_request_encode(&put, &f->out), OK);
    struct buf small;
    buf_init(&small, f->out.size + 1);
    assert_int_equal(buf_append(&small, "ab", 2), OK);
    assert_int_equal(wire_put_request_encode(&put, &small), ERR_LIMIT);
    assert_bytes(buf_bytes(&small), "ab");
    buf_release(&small);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, wire_fixture_setup, wire_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_wire_range_request_has_etcds_fields),
        TEST(test_wire_range_request_flags_are_separate),
        TEST(test_wire_put_request_has_etcds_fields),
        TEST(test_wire_put_request_bytes_are_arbitrary),
        TEST(test_wire_numbers_keep_their_extremes),
        TEST(test_wire_delete_and_compact_requests_have_etcds_fields),
        TEST(test_wire_empty_input_is_a_message_of_zeros),
        TEST(test_wire_range_response_has_etcds_fields),
        TEST(test_wire_put_response_has_etcds_fields),
        TEST(test_wire_delete_response_has_etcds_fields),
        TEST(test_wire_compact_response_is_a_header),
        TEST(test_wire_txn_response_nested_headers_hold_only_the_revision),
        TEST(test_wire_response_without_header_has_an_empty_one),
        TEST(test_wire_range_response_of_many_records),
        TEST(test_wire_malformed_input_is_refused_by_every_decoder),
        TEST(test_wire_wrong_type_of_a_known_field_is_refused),
        TEST(test_wire_unknown_fields_are_ignored),
        TEST(test_wire_last_of_a_repeated_field_counts),
        TEST(test_wire_truncated_input_never_reads_past_its_end),
        TEST(test_wire_arena_limit_is_reported_as_such),
        TEST(test_wire_buffer_limit_leaves_the_buffer_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
