/*
 * test_multipaxos_adoption.c - a new leader with much to bring up again, and candidates where a
 * round trip is long.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/support/engine_net.h"

enum {
    TAIL = 600,
    PAYLOAD = 2048,
};

static void finish(struct engine_net *net)
{
    const char *failure = engine_net_failure(net);
    if (failure != NULL) {
        print_error("%s\n", failure);
    }
    assert_null(failure);
    engine_net_free(net);
}

static const struct hard_state HARD = {.epoch = UINT64_C(1) << BALLOT_NODE_BITS | 5};

static void preload(struct engine_net *net, uint32_t node, uint64_t first, uint64_t count)
{
    struct value *value = engine_net_value(7, PAYLOAD);
    const struct engine_net_run_of run = {first, count, HARD.epoch, value};
    engine_net_preload_run(net, node, &HARD, &run);
    value_unref(value);
}

static void options(struct engine_net_options *o, uint64_t seed)
{
    engine_net_options_init(o, engine_by_name("multipaxos"), 5, seed);
    o->memory_max = 64u << 20;
    o->consensus.message_bytes_max = 16384;
}

static bool all_committed(struct engine_net *net, void *ctx)
{
    const uint64_t *index = ctx;
    return engine_net_committed(net) >= *index;
}

/* P8, R11: more than a window of slots was left open. They are sent as fast as they are accepted,
 * not when somebody asks why they did not come. */
static void test_multipaxos_long_tail_does_not_wait_for_resend(void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct engine_net_options o;
        options(&o, seed);
        o.consensus.resend_us = 5000000;
        struct engine_net *net = engine_net_new(&o);
        preload(net, 1, 1, TAIL);
        preload(net, 2, 1, TAIL);
        for (uint32_t i = 1; i <= 4; i++) {
            engine_net_start_node(net, i);
        }
        assert_true(engine_net_run_to_leader(net, 1000000));
        uint64_t index = TAIL;
        assert_true(engine_net_run_until(net, 1000000, all_committed, &index));
        finish(net);
    }
}

/* The links are slow: it takes ten times resend_us to send the tail. Nothing is sent twice because
 * of that, and followers go on to hear their leader. */
static void test_multipaxos_long_tail_is_sent_once(void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct engine_net_options o;
        options(&o, seed);
        o.link_rate = 4000000;
        o.disk_rate = 100000000;
        struct engine_net *net = engine_net_new(&o);
        preload(net, 1, 1, TAIL);
        preload(net, 2, 1, TAIL);
        for (uint32_t i = 1; i <= 4; i++) {
            engine_net_start_node(net, i);
        }
        uint64_t index = TAIL;
        assert_true(engine_net_run_until(net, 20000000, all_committed, &index));
        uint64_t tail_bytes = (uint64_t) TAIL * PAYLOAD;
        uint64_t sent = engine_net_traffic(net, MSG_PAXOS_ACCEPT).bytes;
        assert_in_range(sent, 2 * tail_bytes, 3 * tail_bytes * 13 / 10); /* three peers */
        finish(net);
    }
}

/* Loss, on top: what is lost is repeated although its receiver goes on to accept other slots. */
static void test_multipaxos_lost_accepts_of_a_tail_are_repeated(void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct engine_net_options o;
        options(&o, seed);
        o.loss = 20;
        struct engine_net *net = engine_net_new(&o);
        preload(net, 1, 1, TAIL);
        preload(net, 2, 1, TAIL);
        for (uint32_t i = 1; i <= 4; i++) {
            engine_net_start_node(net, i);
        }
        uint64_t index = TAIL;
        assert_true(engine_net_run_until(net, 20000000, all_committed, &index));
        finish(net);
    }
}

/* P6, P8: slots of its own lie between those that the promises bring. */
static void test_multipaxos_own_slots_between_others_are_kept(void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct engine_net_options o;
        options(&o, seed);
        struct engine_net *net = engine_net_new(&o);
        for (uint64_t i = 1; i <= 100; i++) {
            preload(net, i % 3 == 0 ? 1 : i % 3 == 1 ? 2 : 3, i, 1);
        }
        struct value *value = engine_net_value(7, PAYLOAD);
        for (uint32_t i = 1; i <= 3; i++) {
            engine_net_start_node(net, i);
        }
        uint64_t index = 100;
        assert_true(engine_net_run_until(net, 2000000, all_committed, &index));
        engine_net_run(net, 1000000);
        for (uint64_t i = 1; i <= 100; i++) {
            for (uint32_t n = 1; n <= 3; n++) {
                struct entry entry = engine_net_disk_entry(net, n, i);
                assert_non_null(entry.value);
                assert_int_equal(entry.value->crc, value->crc); /* not a no-op */
            }
        }
        value_unref(value);
        finish(net);
    }
}

/* P12, R11: answers come when the next question has already been asked. They count. */
static void test_multipaxos_leader_where_a_round_trip_is_a_time_out(void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct engine_net_options o;
        options(&o, seed);
        o.delay_min_us = 35000;
        o.delay_max_us = 45000; /* there and back: most of a time-out of 100 ms */
        struct engine_net *net = engine_net_new(&o);
        engine_net_start(net);
        assert_true(engine_net_run_to_leader(net, 5000000));
        finish(net);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_multipaxos_long_tail_does_not_wait_for_resend),
        cmocka_unit_test(test_multipaxos_long_tail_is_sent_once),
        cmocka_unit_test(test_multipaxos_lost_accepts_of_a_tail_are_repeated),
        cmocka_unit_test(test_multipaxos_own_slots_between_others_are_kept),
        cmocka_unit_test(test_multipaxos_leader_where_a_round_trip_is_a_time_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
