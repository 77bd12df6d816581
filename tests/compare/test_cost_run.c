/*
 * test_cost_run.c - what a write costs is what the papers say, counted twice: by latency and by
 * messages.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/compare/cost_run.h"

static struct cost_result run(const char *engine, uint32_t nodes)
{
    struct cost_result r;
    cost_run_execute(engine_by_name(engine), nodes, 1, &r);
    assert_true(r.ran);
    if (r.red) {
        fail_msg("%s", r.text);
    }
    return r;
}

/* Per write, rounded: a write may meet something else once in a while. */
static uint64_t mean(uint64_t sum, const struct cost *c)
{
    assert_true(c->writes >= 8);
    return (sum + c->writes / 2) / c->writes;
}

/* Paxos Made Simple 2.2: two phases, each a round trip and a durable write of the acceptors. */
static void test_cost_run_paxos_needs_both_phases(void **state)
{
    (void) state;
    for (uint32_t nodes = 3; nodes <= 5; nodes += 2) {
        struct cost_result r = run("paxos", nodes);
        const struct cost *c = &r.of[COST_OTHER];
        assert_int_equal(r.of[COST_LEADER].writes, 0);
        assert_int_equal(mean(c->hops, c), 4);
        assert_int_equal(mean(c->syncs, c), 2);
        assert_int_equal(mean(c->rounds, c), 2);
        assert_int_equal(mean(c->written, c), 2 * nodes);
        /* prepare, promise, accept, accepted, chosen: to or from each of the others */
        assert_int_equal(mean(c->messages, c), 5 * (nodes - 1));
    }
}

/* A stable leader: one round trip and one durable write; through another node one more of each way
 * to the leader and back. */
static void test_cost_run_leaders_need_one_round_trip(void **state)
{
    static const char *const engines[] = {"multipaxos", "raft"};
    (void) state;
    for (uint32_t e = 0; e < 2; e++) {
        for (uint32_t nodes = 3; nodes <= 5; nodes += 2) {
            struct cost_result r = run(engines[e], nodes);
            const struct cost *leader = &r.of[COST_LEADER];
            const struct cost *other = &r.of[COST_OTHER];
            assert_int_equal(mean(leader->hops, leader), 2);
            assert_int_equal(mean(other->hops, other), 4);
            assert_int_equal(mean(leader->syncs, leader), 1);
            assert_int_equal(mean(other->syncs, other), 1);
            assert_int_equal(mean(leader->rounds, leader), 1);
            assert_int_equal(mean(other->rounds, other), 1);
            assert_int_equal(mean(leader->written, leader), nodes);
            /* append, answer, notice of the commit; and the forward */
            assert_int_equal(mean(leader->messages, leader), 3 * (nodes - 1));
            assert_int_equal(mean(other->messages, other), 3 * (nodes - 1) + 1);
            assert_true(leader->odd + other->odd <= 2);
        }
    }
}

static void test_cost_run_latency_is_made_of_hops_and_syncs(void **state)
{
    (void) state;
    struct cost_result r = run("raft", 3);
    const struct cost *c = &r.of[COST_LEADER];
    assert_int_equal(c->latency_us, (uint64_t) c->hops * COST_HOP_US + c->syncs * COST_SYNC_US);
    assert_true(c->bytes > 100 * c->writes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cost_run_paxos_needs_both_phases),
        cmocka_unit_test(test_cost_run_leaders_need_one_round_trip),
        cmocka_unit_test(test_cost_run_latency_is_made_of_hops_and_syncs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
