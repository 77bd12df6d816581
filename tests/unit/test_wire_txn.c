/*
 * test_wire_txn.c - transactions: the bytes of comparisons and operations, trees of them, and how
 * deep they may nest.
 */

#include "proto/wire_kv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/enc.h"
#include "base/mem.h"
#include "tests/support/wire_fixture.h"

/* What a Kubernetes API server sends to create a key: MOD("k") == 0 ? put k=v : get k. The 0 of the
 * comparison is written, since it is a member of a oneof. */
static const char TXN_CREATE[] = "0a 07 10 02 1a 01 6b 30 00"
                                 "12 08 12 06 0a 01 6b 12 01 76"
                                 "1a 05 0a 03 0a 01 6b";

static void test_wire_txn_create_as_kubernetes_sends_it(void **state)
{
    struct wire_fixture *f = *state;
    struct txn_request t;
    assert_int_equal(wire_txn_request_decode(wire_fixture_place(f, TXN_CREATE), &f->arena, &t), OK);
    assert_int_equal(t.compares_count, 1);
    assert_int_equal(t.compares[0].result, COMPARE_EQUAL);
    assert_int_equal(t.compares[0].target, COMPARE_MOD);
    assert_bytes(t.compares[0].key, "k");
    assert_int_equal(t.compares[0].number, 0);
    assert_int_equal(t.success_count, 1);
    assert_int_equal(t.success[0].kind, OP_PUT);
    assert_bytes(t.success[0].put.key, "k");
    assert_bytes(t.success[0].put.value, "v");
    assert_int_equal(t.failure_count, 1);
    assert_int_equal(t.failure[0].kind, OP_RANGE);
    assert_bytes(t.failure[0].range.key, "k");
    assert_int_equal(wire_txn_request_encode(&t, &f->out), OK);
    assert_encoded_as_in(f);
}

static void test_wire_compare_targets_have_etcds_numbers(void **state)
{
    struct wire_fixture *f = *state;
    /* result, target, member of the union; the last has a range_end, whose number is 64. */
    struct bytes in = wire_fixture_place(f, "0a 07 08 01 1a 01 61 20 01"
                                            "0a 09 08 02 10 01 1a 01 61 28 02"
                                            "0a 09 08 03 10 02 1a 01 61 30 03"
                                            "0a 09 10 03 1a 01 61 3a 02 76 77"
                                            "0a 0b 10 04 1a 01 61 40 05 82 04 01 62");
    struct txn_request t;
    assert_int_equal(wire_txn_request_decode(in, &f->arena, &t), OK);
    assert_int_equal(t.compares_count, 5);
    assert_int_equal(t.compares[0].result, COMPARE_GREATER);
    assert_int_equal(t.compares[0].target, COMPARE_VERSION);
    assert_int_equal(t.compares[0].number, 1);
    assert_int_equal(t.compares[1].result, COMPARE_LESS);
    assert_int_equal(t.compares[1].target, COMPARE_CREATE);
    assert_int_equal(t.compares[1].number, 2);
    assert_int_equal(t.compares[2].result, COMPARE_NOT_EQUAL);
    assert_int_equal(t.compares[2].target, COMPARE_MOD);
    assert_int_equal(t.compares[2].number, 3);
    assert_int_equal(t.compares[3].target, COMPARE_VALUE);
    assert_bytes(t.compares[3].value, "vw");
    assert_int_equal(t.compares[4].target, COMPARE_LEASE);
    assert_int_equal(t.compares[4].number, 5);
    assert_bytes(t.compares[4].range_end, "b");
    assert_int_equal(wire_txn_request_encode(&t, &f->out), OK);
    assert_encoded_as_in(f);
}

static void test_wire_compare_member_of_another_target_counts_as_zero(void **state)
{
    struct wire_fixture *f = *state;
    struct txn_request t;
    /* target MOD, but version = 9 is set; target VALUE, but lease = 9; target VERSION, value = v */
    struct bytes in = wire_fixture_place(f, "0a 04 10 02 20 09  0a 04 10 03 40 09  0a 03 3a 01 76");
    assert_int_equal(wire_txn_request_decode(in, &f->arena, &t), OK);
    assert_int_equal(t.compares_count, 3);
    assert_int_equal(t.compares[0].number, 0);
    assert_int_equal(t.compares[1].number, 0);
    assert_int_equal(t.compares[1].value.size, 0);
    assert_int_equal(t.compares[2].value.size, 0);
}

static void test_wire_txn_ops_of_every_kind(void **state)
{
    struct wire_fixture *f = *state;
    /* range a, put b, delete c with prev_kv, txn {success: put d}, nothing set */
    struct bytes in = wire_fixture_place(f, "12 05 0a 03 0a 01 61"
                                            "12 05 12 03 0a 01 62"
                                            "12 07 1a 05 0a 01 63 18 01"
                                            "12 09 22 07 12 05 12 03 0a 01 64"
                                            "12 00");
    struct txn_request t;
    assert_int_equal(wire_txn_request_decode(in, &f->arena, &t), OK);
    assert_int_equal(t.success_count, 5);
    assert_int_equal(t.success[0].kind, OP_RANGE);
    assert_bytes(t.success[0].range.key, "a");
    assert_int_equal(t.success[1].kind, OP_PUT);
    assert_bytes(t.success[1].put.key, "b");
    assert_int_equal(t.success[2].kind, OP_DELETE);
    assert_bytes(t.success[2].del.key, "c");
    assert_true(t.success[2].del.prev_kv);
    assert_int_equal(t.success[3].kind, OP_TXN);
    assert_int_equal(t.success[3].txn->success_count, 1);
    assert_int_equal(t.success[3].txn->failure_count, 0);
    assert_bytes(t.success[3].txn->success[0].put.key, "d");
    assert_int_equal(t.success[4].kind, OP_NONE);
    assert_int_equal(wire_txn_request_encode(&t, &f->out), OK);
    assert_encoded_as_in(f);
}

/* Several transactions side by side on several levels keep their places. */
static void test_wire_txn_tree_keeps_its_shape(void **state)
{
    struct wire_fixture *f = *state;
    struct txn_op leaf[3];
    struct txn_request inner[3];
    struct txn_op outer[3];
    const char *keys[] = {"x", "y", "z"};
    for (size_t i = 0; i < 3; i++) {
        leaf[i] = (struct txn_op){.kind = OP_PUT, .put = {.key = bytes_str(keys[i])}};
        inner[i] = (struct txn_request){.failure = &leaf[i], .failure_count = 1};
        outer[i] = (struct txn_op){.kind = OP_TXN, .txn = &inner[i]};
    }
    struct txn_request root = {.success = outer, .success_count = 3};
    struct txn_request got;
    assert_int_equal(wire_txn_request_encode(&root, &f->out), OK);
    struct bytes in = guard_place(&f->guard, buf_bytes(&f->out));
    assert_int_equal(wire_txn_request_decode(in, &f->arena, &got), OK);
    assert_int_equal(got.success_count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(got.success[i].kind, OP_TXN);
        assert_int_equal(got.success[i].txn->failure_count, 1);
        assert_true(bytes_equal(got.success[i].txn->failure[0].put.key, bytes_str(keys[i])));
    }
}

/* Makes f->in a transaction `depth` deep (1: an empty one) out of the field that holds ops and the
 * one that holds a transaction in an op, from the inside out. */
static struct bytes nested(struct wire_fixture *f, size_t depth, const char *fields)
{
    size_t cap = depth * 2 * (1 + ENC_VARINT_MAX);
    uint8_t *bytes = xmalloc(cap);
    size_t at = cap;
    for (size_t i = 0; i < (depth - 1) * 2; i++) {
        uint8_t size[ENC_VARINT_MAX];
        size_t n = enc_put_varint(size, cap - at);
        at -= n;
        memcpy(bytes + at, size, n);
        at--;
        bytes[at] = (uint8_t) fields[1 - i % 2];
    }
    buf_clear(&f->in);
    int rc = buf_append(&f->in, bytes + at, cap - at);
    free(bytes);
    assert_int_equal(rc, OK);
    return buf_bytes(&f->in);
}

static const char REQUEST_FIELDS[] = {0x1a, 0x22};  /* failure = 3, request_txn = 4 */
static const char RESPONSE_FIELDS[] = {0x1a, 0x22}; /* responses = 3, response_txn = 4 */

static void test_wire_txn_request_nesting_is_limited(void **state)
{
    struct wire_fixture *f = *state;
    struct txn_request t;
    struct bytes in = nested(f, WIRE_TXN_DEPTH_MAX, REQUEST_FIELDS);
    assert_int_equal(wire_txn_request_decode(in, &f->arena, &t), OK);
    uint32_t depth = 1;
    for (const struct txn_request *p = &t; p->failure_count == 1; p = p->failure[0].txn) {
        depth++;
    }
    assert_int_equal(depth, WIRE_TXN_DEPTH_MAX);
    assert_int_equal(wire_txn_request_encode(&t, &f->out), OK);
    assert_encoded_as_in(f);

    in = nested(f, WIRE_TXN_DEPTH_MAX + 1, REQUEST_FIELDS);
    assert_int_equal(wire_txn_request_decode(in, &f->arena, &t), ERR_LIMIT);
    /* Far more than a stack has room for. */
    in = nested(f, 200000, REQUEST_FIELDS);
    assert_int_equal(wire_txn_request_decode(in, &f->arena, &t), ERR_LIMIT);
}

static void test_wire_txn_request_too_deep_is_not_encoded(void **state)
{
    struct wire_fixture *f = *state;
    struct txn_request txns[WIRE_TXN_DEPTH_MAX + 1] = {0};
    struct txn_op ops[WIRE_TXN_DEPTH_MAX + 1] = {0};
    for (size_t i = 0; i < WIRE_TXN_DEPTH_MAX; i++) {
        ops[i] = (struct txn_op){.kind = OP_TXN, .txn = &txns[i + 1]};
        txns[i].success = &ops[i];
        txns[i].success_count = 1;
    }
    assert_int_equal(wire_txn_request_encode(&txns[0], &f->out), ERR_LIMIT);
    assert_int_equal(f->out.size, 0);
    assert_int_equal(wire_txn_request_encode(&txns[1], &f->out), OK);
}

static void test_wire_txn_response_nesting_is_limited(void **state)
{
    struct wire_fixture *f = *state;
    struct api_response r;
    struct bytes in = nested(f, WIRE_TXN_DEPTH_MAX, RESPONSE_FIELDS);
    assert_int_equal(wire_response_decode(OP_TXN, in, &f->arena, NULL, &r), OK);
    in = nested(f, WIRE_TXN_DEPTH_MAX + 1, RESPONSE_FIELDS);
    assert_int_equal(wire_response_decode(OP_TXN, in, &f->arena, NULL, &r), ERR_LIMIT);
    in = nested(f, 200000, RESPONSE_FIELDS);
    assert_int_equal(wire_response_decode(OP_TXN, in, &f->arena, NULL, &r), ERR_LIMIT);
}

/* A size inside the outer message must not reach past the message it is in. */
static void test_wire_txn_inner_size_past_its_message_is_malformed(void **state)
{
    struct wire_fixture *f = *state;
    struct txn_request t;
    struct bytes in = wire_fixture_place(f, "12 04 22 05 12 00 12 00 12 00");
    assert_int_equal(wire_txn_request_decode(in, &f->arena, &t), ERR_MALFORMED);
    in = wire_fixture_place(f, "12 03 22 01 18 00 12 00"); /* a number whose bytes are outside */
    assert_int_equal(wire_txn_request_decode(in, &f->arena, &t), ERR_MALFORMED);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, wire_fixture_setup, wire_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_wire_txn_create_as_kubernetes_sends_it),
        TEST(test_wire_compare_targets_have_etcds_numbers),
        TEST(test_wire_compare_member_of_another_target_counts_as_zero),
        TEST(test_wire_txn_ops_of_every_kind),
        TEST(test_wire_txn_tree_keeps_its_shape),
        TEST(test_wire_txn_request_nesting_is_limited),
        TEST(test_wire_txn_request_too_deep_is_not_encoded),
        TEST(test_wire_txn_response_nesting_is_limited),
        TEST(test_wire_txn_inner_size_past_its_message_is_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
