/*
 * test_wire_status.c - Maintenance.Status, Cluster.MemberList and the health check: the bytes of
 * each field.
 */

#include "proto/wire_kv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/wire_fixture.h"

static void test_wire_status_has_etcds_fields_and_ours_from_1000(void **state)
{
    struct wire_fixture *f = *state;
    struct bytes in = wire_fixture_place(
        f, "0a 08 08 01 10 02 18 63 20 04  12 01 76  18 03  20 04  28 05  30 06  38 07"
           "42 01 65  42 02 65 66  48 09  50 01  5a 01 73  60 0c"
           "c2 3e 04 72 61 66 74  ca 3e 01 4c  d1 3e 01 02 03 04 05 06 07 08"
           "d8 3e 0b  e0 3e 0c  e8 3e 0d");
    struct api_header header;
    struct api_status s;
    assert_int_equal(wire_status_decode(in, &f->arena, &header, &s), OK);
    assert_true(header.cluster_id == 1 && header.member_id == 2);
    assert_true(header.revision == 99 && header.raft_term == 4);
    assert_bytes(s.version, "v");
    assert_int_equal(s.db_size, 3);
    assert_int_equal(s.leader, 4);
    assert_int_equal(s.raft_index, 5);
    assert_int_equal(s.raft_term, 6);
    assert_int_equal(s.raft_applied_index, 7);
    assert_int_equal(s.errors_count, 2);
    assert_bytes(s.errors[0], "e");
    assert_bytes(s.errors[1], "ef");
    assert_int_equal(s.db_size_in_use, 9);
    assert_true(s.is_learner);
    assert_bytes(s.storage_version, "s");
    assert_int_equal(s.db_size_quota, 12);
    assert_bytes(s.engine, "raft");
    assert_bytes(s.role, "L");
    assert_true(s.state_hash == 0x0807060504030201);
    assert_int_equal(s.last_index, 11);
    assert_int_equal(s.durable_index, 12);
    assert_int_equal(s.incarnation, 13);
    assert_int_equal(wire_status_encode(&header, &s, &f->out), OK);
    assert_encoded_as_in(f);
}

static void test_wire_members_have_etcds_fields(void **state)
{
    struct wire_fixture *f = *state;
    struct bytes in = wire_fixture_place(f, "0a 02 08 01"
                                            "12 10 08 07 12 01 6e 1a 01 70 1a 01 71 22 01 63 28 01"
                                            "12 02 08 08");
    struct api_header header;
    const struct api_member *members;
    uint32_t count;
    assert_int_equal(wire_members_decode(in, &f->arena, &header, &members, &count), OK);
    assert_int_equal(header.cluster_id, 1);
    assert_int_equal(count, 2);
    assert_int_equal(members[0].id, 7);
    assert_bytes(members[0].name, "n");
    assert_int_equal(members[0].peer_urls_count, 2);
    assert_bytes(members[0].peer_urls[0], "p");
    assert_bytes(members[0].peer_urls[1], "q");
    assert_int_equal(members[0].client_urls_count, 1);
    assert_bytes(members[0].client_urls[0], "c");
    assert_true(members[0].is_learner);
    assert_int_equal(members[1].id, 8);
    assert_int_equal(members[1].name.size, 0);
    assert_int_equal(wire_members_encode(&header, members, count, &f->out), OK);
    assert_encoded_as_in(f);
    bool linearizable = false;
    assert_int_equal(wire_members_request_decode(wire_fixture_place(f, "08 01"), &f->arena,
                                                 &linearizable),
                     OK);
    assert_true(linearizable);
}

static void test_wire_health_has_the_standard_fields(void **state)
{
    struct wire_fixture *f = *state;
    struct bytes service;
    struct bytes in = wire_fixture_place(f, "0a 02 4b 56");
    assert_int_equal(wire_health_request_decode(in, &f->arena, &service), OK);
    assert_bytes(service, "KV");
    assert_int_equal(wire_health_response_encode(2, &f->out), OK);
    wire_fixture_place(f, "08 02");
    assert_encoded_as_in(f);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, wire_fixture_setup, wire_fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_wire_status_has_etcds_fields_and_ours_from_1000),
        TEST(test_wire_members_have_etcds_fields),
        TEST(test_wire_health_has_the_standard_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
