/*
 * test_mark.c - names of rare branches, and how they look in a trace.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "consensus/consensus.h"
#include "consensus/mark.h"
#include "kv/trace_json.h"

STATIC_ASSERT(MARK_RAFT == 1u << ENGINE_RAFT, "the bitmap is by engine id");
STATIC_ASSERT(MARK_MULTIPAXOS == 1u << ENGINE_MULTIPAXOS, "the bitmap is by engine id");
STATIC_ASSERT(MARK_PAXOS == 1u << ENGINE_PAXOS, "the bitmap is by engine id");

static void test_mark_names_are_unique(void **state)
{
    (void) state;
    for (uint32_t i = 0; i < MARKS; i++) {
        assert_int_not_equal(mark_engines(i), 0);
        for (uint32_t k = i + 1; k < MARKS; k++) {
            assert_string_not_equal(mark_name(i), mark_name(k));
        }
    }
    assert_string_equal(mark_name(MARKS), "unknown");
    assert_int_equal(mark_engines(MARKS), 0);
}

/* The first part of the name says whose branch it is, where it is one engine's. */
static void test_mark_prefix_agrees_with_engines(void **state)
{
    (void) state;
    for (uint32_t i = 0; i < MARKS; i++) {
        const char *name = mark_name(i);
        bool raft = strncmp(name, "raft_", 5) == 0;
        bool paxos = strncmp(name, "paxos_", 6) == 0;
        bool multipaxos = strncmp(name, "multipaxos_", 11) == 0;
        assert_int_equal(raft, mark_engines(i) == MARK_RAFT);
        assert_int_equal(paxos, mark_engines(i) == MARK_PAXOS);
        assert_int_equal(multipaxos, mark_engines(i) == MARK_MULTIPAXOS);
    }
}

static void test_mark_event_in_json_has_name_and_no_number(void **state)
{
    (void) state;
    struct trace_event event = mark_event(MARK_REPLICA_TRIMMED);
    struct buf out;
    event.time_us = 7;
    event.node = 2;
    event.engine = ENGINE_RAFT;
    buf_init(&out, 1024);
    assert_int_equal(trace_json_format(&event, &out), OK);
    assert_int_equal(buf_append(&out, "", 1), OK);
    assert_string_equal((const char *) out.data,
                        "{\"t\":7,\"node\":2,\"engine\":\"raft\",\"event\":\"mark\","
                        "\"note\":\"replica_trimmed\"}\n");
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mark_names_are_unique),
        cmocka_unit_test(test_mark_prefix_agrees_with_engines),
        cmocka_unit_test(test_mark_event_in_json_has_name_and_no_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
