/*
 * test_engine_contract.c - what every engine promises, run over every engine of the table.
 *
 * engine_net checks agreement, write-before-send, read points and commit order at every step; these
 * tests make the weather and ask for progress.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/rng.h"
#include "tests/support/death.h"
#include "tests/support/engine_net.h"

enum {
    SEEDS = 12, /* per engine and kind of weather; SYNOD_SEEDS sets another number */
};

static const struct engine_ops *engine_of(void **state)
{
    return *state;
}

static struct engine_net *calm(void **state, uint32_t nodes, uint64_t seed)
{
    struct engine_net_options o;
    engine_net_options_init(&o, engine_of(state), nodes, seed);
    struct engine_net *net = engine_net_new(&o);
    engine_net_start(net);
    return net;
}

static uint64_t election_us(void)
{
    struct engine_net_options o;
    engine_net_options_init(&o, engine_at(0), 1, 1);
    return o.consensus.election_us;
}

static void finish(struct engine_net *net, uint64_t seed)
{
    if (engine_net_failure(net) != NULL) {
        print_error("seed %llu: %s\n", (unsigned long long) seed, engine_net_failure(net));
    }
    assert_null(engine_net_failure(net));
    engine_net_free(net);
}

/* Every number of nodes: a value proposed anywhere it is taken comes out everywhere, once. */
static void test_engine_proposed_value_is_applied_on_all_nodes(void **state)
{
    for (uint32_t nodes = 1; nodes <= 5; nodes++) {
        struct engine_net *net = calm(state, nodes, nodes);
        for (uint64_t command = 1; command <= 20; command++) {
            assert_int_equal(engine_net_submit(net, 10 * election_us(), command), OK);
        }
        for (uint64_t command = 1; command <= 20; command++) {
            assert_true(engine_net_run_to_applied(net, 10 * election_us(), command, nodes));
            assert_int_equal(engine_net_applied_times(net, 1, command), 1);
        }
        finish(net, nodes);
    }
}

/* A minority may be down. */
static void test_engine_minority_down_still_progresses(void **state)
{
    for (uint32_t nodes = 3; nodes <= 5; nodes += 2) {
        struct engine_net *net = calm(state, nodes, nodes);
        assert_int_equal(engine_net_submit(net, 10 * election_us(), 1), OK);
        assert_true(engine_net_run_to_applied(net, 10 * election_us(), 1, nodes));
        uint32_t down = nodes / 2;
        for (uint32_t i = 0; i < down; i++) {
            engine_net_crash(net, engine_net_leader(net)); /* the worst one, each time */
            engine_net_run(net, 5 * election_us());
        }
        assert_int_equal(engine_net_submit(net, 10 * election_us(), 2), OK);
        assert_true(engine_net_run_to_applied(net, 10 * election_us(), 2, nodes - down));
        finish(net, nodes);
    }
}

/* P1, R5: no majority, no progress. */
static void test_engine_minority_alone_commits_nothing(void **state)
{
    struct engine_net *net = calm(state, 3, 7);
    assert_int_equal(engine_net_submit(net, 10 * election_us(), 1), OK);
    assert_true(engine_net_run_to_applied(net, 10 * election_us(), 1, 3));
    uint32_t alone = engine_net_leader(net);
    for (uint32_t i = 1; i <= 3; i++) {
        if (i != alone) {
            engine_net_crash(net, i);
        }
    }
    int err = engine_net_propose(net, alone, 2);
    assert_true(err == OK || err == ERR_NO_LEADER || err == ERR_NOT_LEADER || err == ERR_BUSY);
    engine_net_run(net, 10 * election_us());
    assert_int_equal(engine_net_applied_on(net, 2), 0);
    finish(net, 7);
}

/* The leader does not count itself before its own write: with all disks stuck nothing is chosen. */
static void test_engine_nothing_commits_before_a_quorum_of_disks(void **state)
{
    struct engine_net *net = calm(state, 3, 9);
    assert_int_equal(engine_net_submit(net, 10 * election_us(), 1), OK);
    assert_true(engine_net_run_to_applied(net, 10 * election_us(), 1, 3));
    uint32_t leader = engine_net_leader(net);
    for (uint32_t i = 1; i <= 3; i++) {
        engine_net_hold_disk(net, i, i != leader % 3 + 1); /* one of three may write */
    }
    assert_int_equal(engine_net_propose(net, leader, 2), OK);
    engine_net_run(net, election_us() / 2);
    assert_int_equal(engine_net_applied_on(net, 2), 0);
    engine_net_hold_disk(net, (leader + 1) % 3 + 1, false); /* two followers, not the leader */
    assert_true(engine_net_run_to_applied(net, 20 * election_us(), 2, 2));
    finish(net, 9);
}

/* A single node commits when its own disk has it, not before. */
static void test_engine_single_node_waits_for_its_disk(void **state)
{
    struct engine_net *net = calm(state, 1, 3);
    assert_int_equal(engine_net_submit(net, 10 * election_us(), 1), OK);
    assert_true(engine_net_run_to_applied(net, election_us(), 1, 1));
    engine_net_hold_disk(net, 1, true);
    assert_int_equal(engine_net_propose(net, 1, 2), OK);
    engine_net_run(net, 2 * election_us());
    assert_int_equal(engine_net_applied_on(net, 2), 0);
    engine_net_hold_disk(net, 1, false);
    assert_true(engine_net_run_to_applied(net, 2 * election_us(), 2, 1));
    engine_net_restart(net, 1);
    assert_true(engine_net_run_to_applied(net, 5 * election_us(), 2, 1)); /* D2 */
    finish(net, 3);
}

/* R9: a read at any node sees what was applied anywhere before it was asked. */
static void test_engine_reads_are_linearizable_on_every_node(void **state)
{
    struct engine_net *net = calm(state, 3, 21);
    for (uint64_t command = 1; command <= 10; command++) {
        assert_int_equal(engine_net_submit(net, 10 * election_us(), command), OK);
        assert_true(engine_net_run_to_applied(net, 10 * election_us(), command, 1));
        uint64_t ctx[4];
        for (uint32_t node = 1; node <= 3; node++) {
            int err = engine_net_read(net, node, &ctx[node]);
            for (int tries = 0; err == ERR_NO_LEADER && tries < 100; tries++) {
                engine_net_run(net, election_us() / 10); /* it has not heard of the leader yet */
                err = engine_net_read(net, node, &ctx[node]);
            }
            assert_int_equal(err, OK);
        }
        engine_net_run(net, election_us());
        for (uint32_t node = 1; node <= 3; node++) {
            uint64_t index;
            assert_int_equal(engine_net_read_result(net, ctx[node], &index), OK);
            assert_true(index >= command);
        }
    }
    finish(net, 21);
}

/* R9: who is cut off from the majority serves no read, whoever it thinks it is. */
static void test_engine_read_in_a_minority_is_not_served(void **state)
{
    struct engine_net *net = calm(state, 3, 22);
    assert_int_equal(engine_net_submit(net, 10 * election_us(), 1), OK);
    assert_true(engine_net_run_to_applied(net, 10 * election_us(), 1, 3));
    uint32_t alone = engine_net_leader(net);
    engine_net_isolate(net, alone);
    uint64_t ctx = 0;
    int err = engine_net_read(net, alone, &ctx);
    engine_net_run(net, 10 * election_us());
    if (err == OK) {
        uint64_t index;
        assert_int_not_equal(engine_net_read_result(net, ctx, &index), OK);
    }
    finish(net, 22);
}

/* Limits are errors: reads_max and the window. */
static void test_engine_limits_give_busy(void **state)
{
    struct engine_net_options o;
    engine_net_options_init(&o, engine_of(state), 3, 5);
    o.consensus.reads_max = 4;
    o.consensus.inflight_max = 2;
    o.slots_max = 64;
    struct engine_net *net = engine_net_new(&o);
    engine_net_start(net);
    assert_int_equal(engine_net_submit(net, 10 * election_us(), 1), OK);
    assert_true(engine_net_run_to_applied(net, 10 * election_us(), 1, 3));
    uint32_t leader = engine_net_leader(net);
    for (uint32_t i = 1; i <= 3; i++) {
        engine_net_hold_disk(net, i, true);
    }
    int err = OK;
    uint64_t command = 2;
    for (; err == OK && command < 1000; command++) {
        bool can = consensus_can_propose(engine_net_node(net, leader));
        err = engine_net_propose(net, leader, command);
        assert_true(can == (err == OK));
    }
    assert_int_equal(err, ERR_BUSY);
    assert_false(consensus_can_propose(engine_net_node(net, leader)));
    uint64_t ctx;
    for (err = OK; err == OK && command < 2000; command++) {
        err = engine_net_read(net, leader, &ctx);
    }
    assert_int_equal(err, ERR_BUSY);
    for (uint32_t i = 1; i <= 3; i++) {
        engine_net_hold_disk(net, i, false);
    }
    assert_int_equal(engine_net_submit(net, 10 * election_us(), 5000), OK);
    assert_true(engine_net_run_to_applied(net, 10 * election_us(), 5000, 3));
    finish(net, 5);
}

/* What an engine cannot do is a clear error. */
static void test_engine_missing_capability_is_unsupported(void **state)
{
    struct engine_net *net = calm(state, 3, 6);
    assert_true(engine_net_run_to_leader(net, 10 * election_us()));
    uint32_t leader = engine_net_leader(net);
    uint32_t caps = engine_capabilities(engine_of(state));
    int err = engine_net_transfer(net, leader, leader % 3 + 1);
    assert_int_equal(err, (caps & CAP_TRANSFER) != 0 ? OK : ERR_UNSUPPORTED);
    if ((caps & CAP_TRANSFER) != 0) {
        assert_int_equal(engine_net_transfer(net, leader, 77), ERR_NOT_FOUND);
    }
    struct membership to = {.count = 1, .ids = {1}};
    err = consensus_change(engine_net_node(net, leader), &to);
    assert_true((caps & CAP_CHANGE) != 0 || err == ERR_UNSUPPORTED);
    assert_ptr_equal(engine_by_id(engine_number(engine_of(state))), engine_of(state));
    assert_ptr_equal(engine_by_name(engine_name(engine_of(state))), engine_of(state));
    finish(net, 6);
}

/* Bad options are refused; strays are dropped and counted. */
static void test_engine_bad_options_and_strays_are_refused(void **state)
{
    struct engine_net *net = calm(state, 3, 8);
    struct consensus *c = engine_net_node(net, 1);
    uint8_t id = engine_number(engine_of(state));
    struct message *m = message_new(MSG_RAFT_HEARTBEAT, 1);
    m->engine = id;
    m->from = 9;
    assert_int_equal(consensus_step(c, m), ERR_INVALID); /* not a member */
    m->from = 2;
    m->to = 3;
    assert_int_equal(consensus_step(c, m), ERR_INVALID); /* not for us */
    m->to = 1;
    m->engine = (uint8_t) (id % 3 + 1);
    assert_int_equal(consensus_step(c, m), ERR_INVALID); /* another engine */
    message_free(m);
    assert_int_equal(engine_net_status(net, 1).messages_dropped, 3);

    struct consensus_options o;
    consensus_options_init(&o);
    uint32_t ids[] = {1, 2, 3};
    assert_int_equal(membership_init(&o.members, ids, 3), OK);
    struct hard_state hard = {0};
    struct log *log = log_new(1, 1, (struct log_pos){0, 0});
    struct consensus *made = NULL;
    o.self = 4;
    assert_int_equal(consensus_new(engine_of(state), &o, &hard, log, &made), ERR_INVALID);
    o.self = 1;
    o.heartbeat_us = o.election_us;
    assert_int_equal(consensus_new(engine_of(state), &o, &hard, log, &made), ERR_INVALID);
    assert_null(made);
    log_free(log);
    finish(net, 8);
}

static void reenter(void *ctx, const struct trace_event *event)
{
    (void) event;
    struct consensus **c = ctx;
    if (*c != NULL) {
        consensus_tick(*c, 1u << 30);
    }
}

static void call_inside_a_call(void *ctx)
{
    struct consensus_options o;
    consensus_options_init(&o);
    o.self = 1;
    uint32_t ids[] = {1};
    ERR_IGNORE(membership_init(&o.members, ids, 1)); /* a fixed, valid list */
    struct consensus *c = NULL;
    o.trace = (struct trace_sink){.emit = reenter, .ctx = &c};
    struct hard_state hard = {0};
    struct log *log = log_new(1 << 20, 64, (struct log_pos){0, 0});
    ERR_IGNORE(consensus_new(ctx, &o, &hard, log, &c)); /* then c is NULL and nothing aborts */
    for (uint64_t now = 1; now < 100 * o.election_us; now += o.election_us) {
        consensus_tick(c, now);
        struct value *v = value_new_noop();
        ERR_IGNORE(consensus_propose(c, v)); /* whatever makes the engine trace something */
        value_unref(v);
        struct ready ready;
        consensus_take(c, &ready);
    }
}

static void test_engine_call_inside_a_call_aborts(void **state)
{
    assert_true(death_aborts(call_inside_a_call, *state));
}

/* Random weather: loss, duplication, reordering, crashes, cuts, held disks; then calm and progress,
 * and every value that was applied anywhere is applied everywhere at the same index. */

static uint64_t seeds_wanted(void)
{
    const char *text = getenv("SYNOD_SEEDS");
    return text == NULL ? SEEDS : strtoull(text, NULL, 10);
}

/* SYNOD_SEED=s begins with s instead of 1: `make soak` never repeats itself. */
static uint64_t seed_first(void)
{
    const char *text = getenv("SYNOD_SEED");
    return text == NULL ? 1 : strtoull(text, NULL, 10);
}

static void fault(struct engine_net *net, struct rng *rng, uint32_t nodes)
{
    uint32_t node = (uint32_t) rng_between(rng, 1, nodes);
    uint32_t other = (uint32_t) rng_between(rng, 1, nodes);
    switch (rng_below(rng, 10)) {
    case 0:
        engine_net_crash(net, node);
        break;
    case 1:
    case 2:
        engine_net_restart(net, node);
        break;
    case 3:
        if (node != other) {
            engine_net_cut(net, node, other);
        }
        break;
    case 4:
        if (node != other) {
            engine_net_link(net, node, other, false);
        }
        break;
    case 5:
        engine_net_isolate(net, node);
        break;
    case 6:
    case 7:
        engine_net_heal(net);
        break;
    case 8:
        engine_net_hold_disk(net, node, true);
        break;
    default:
        engine_net_hold_disk(net, node, false);
        break;
    }
}

static void weather(void **state, uint32_t nodes, uint64_t seed, bool small_memory)
{
    struct engine_net_options o;
    engine_net_options_init(&o, engine_of(state), nodes, seed);
    o.loss = 10;
    o.duplicate = 10;
    o.delay_min_us = 500;
    o.delay_max_us = 12000;
    o.disk_us = 3000;
    if (small_memory) {
        o.memory_max = 200; /* a handful of values: laggards are fed from the store */
        o.slots_max = 128;
        o.consensus.message_bytes_max = 400;
        o.consensus.inflight_max = 4;
    }
    struct engine_net *net = engine_net_new(&o);
    engine_net_start(net);
    struct rng rng;
    rng_init(&rng, seed ^ 0x5eed);
    uint64_t command = 1;
    for (uint32_t step = 0; step < 150; step++) {
        uint32_t node = (uint32_t) rng_between(&rng, 1, nodes);
        for (uint64_t i = rng_below(&rng, 4); i > 0; i--) {
            /* Refusals are part of the weather. */
            ERR_IGNORE(engine_net_propose(net, node, command++));
        }
        uint32_t leader = engine_net_leader(net);
        if (leader != 0) {
            ERR_IGNORE(engine_net_propose(net, leader, command++));
        }
        uint64_t ctx;
        ERR_IGNORE(engine_net_read(net, node, &ctx));
        if (rng_chance(&rng, 1, 4)) {
            fault(net, &rng, nodes);
        }
        engine_net_run(net, rng_below(&rng, election_us() / 2));
        if (engine_net_failure(net) != NULL) {
            break;
        }
    }
    engine_net_heal(net);
    engine_net_set_loss(net, 0, 0);
    for (uint32_t i = 1; i <= nodes; i++) {
        engine_net_hold_disk(net, i, false);
        if (engine_net_node(net, i) == NULL) {
            engine_net_restart(net, i);
        }
    }
    engine_net_run(net, 10 * election_us());
    int err = engine_net_submit(net, 20 * election_us(), 1000000);
    bool applied = engine_net_run_to_applied(net, 20 * election_us(), 1000000, nodes);
    if (err != OK || !applied) {
        print_error("seed %llu, %u nodes: no progress after healing: %s\n",
                    (unsigned long long) seed, nodes, err_name(err));
    }
    assert_int_equal(err, OK);
    assert_true(applied);
    finish(net, seed);
}

static void test_engine_random_weather_three_nodes(void **state)
{
    for (uint64_t seed = seed_first(); seed < seed_first() + seeds_wanted(); seed++) {
        weather(state, 3, seed, false);
    }
}

static void test_engine_random_weather_five_nodes(void **state)
{
    for (uint64_t seed = seed_first(); seed < seed_first() + seeds_wanted(); seed++) {
        weather(state, 5, seed * 7919, false);
    }
}

static void test_engine_random_weather_small_memory(void **state)
{
    for (uint64_t seed = seed_first(); seed < seed_first() + seeds_wanted(); seed++) {
        weather(state, 3, seed * 104729, true);
    }
}

/* The same seed gives the same run. */
static void test_engine_same_seed_same_run(void **state)
{
    uint64_t sent[2];
    uint64_t committed[2];
    for (uint32_t i = 0; i < 2; i++) {
        struct engine_net_options o;
        engine_net_options_init(&o, engine_of(state), 3, 99);
        o.loss = 20;
        o.delay_max_us = 9000;
        struct engine_net *net = engine_net_new(&o);
        engine_net_start(net);
        for (uint64_t command = 1; command < 50; command++) {
            ERR_IGNORE(engine_net_submit(net, election_us(), command)); /* loss may refuse it */
            engine_net_run(net, 2000);
        }
        sent[i] = engine_net_sent_all(net);
        committed[i] = engine_net_committed(net);
        finish(net, 99);
    }
    assert_int_equal(sent[0], sent[1]);
    assert_int_equal(committed[0], committed[1]);
}

#define CONTRACT(test)                                                                             \
    {                                                                                              \
#test, test, NULL, NULL, NULL                                                              \
    }

int main(void)
{
    const struct CMUnitTest contract[] = {
        CONTRACT(test_engine_proposed_value_is_applied_on_all_nodes),
        CONTRACT(test_engine_minority_down_still_progresses),
        CONTRACT(test_engine_minority_alone_commits_nothing),
        CONTRACT(test_engine_nothing_commits_before_a_quorum_of_disks),
        CONTRACT(test_engine_single_node_waits_for_its_disk),
        CONTRACT(test_engine_reads_are_linearizable_on_every_node),
        CONTRACT(test_engine_read_in_a_minority_is_not_served),
        CONTRACT(test_engine_limits_give_busy),
        CONTRACT(test_engine_missing_capability_is_unsupported),
        CONTRACT(test_engine_bad_options_and_strays_are_refused),
        CONTRACT(test_engine_call_inside_a_call_aborts),
        CONTRACT(test_engine_random_weather_three_nodes),
        CONTRACT(test_engine_random_weather_five_nodes),
        CONTRACT(test_engine_random_weather_small_memory),
        CONTRACT(test_engine_same_seed_same_run),
    };
    enum { TESTS = ARRAY_SIZE(contract) };
    int failed = 0;
    const char *only = getenv("SYNOD_ENGINE");
    const struct engine_ops *ops;
    for (uint32_t i = 0; (ops = engine_at(i)) != NULL; i++) {
        if (only != NULL && engine_by_name(only) != ops) {
            continue;
        }
        struct CMUnitTest tests[TESTS];
        char names[TESTS][128];
        for (uint32_t k = 0; k < TESTS; k++) {
            tests[k] = contract[k];
            (void) snprintf(names[k], sizeof names[k], "%s[%s]", contract[k].name,
                            engine_name(ops));
            tests[k].name = names[k];
            tests[k].initial_state = (void *) (uintptr_t) ops;
        }
        failed += cmocka_run_group_tests(tests, NULL, NULL);
    }
    return failed == 0 ? 0 : 1;
}
