/*
 * test_raft_scenarios.c - whole clusters of Raft in the situations that are known by name.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "tests/support/engine_net.h"

enum {
    ELECTION_US = 100000,
    SEEDS = 10,
};

static struct engine_net *make(uint32_t nodes, uint64_t seed)
{
    struct engine_net_options o;
    engine_net_options_init(&o, engine_by_name("raft"), nodes, seed);
    o.consensus.election_us = ELECTION_US;
    return engine_net_new(&o);
}

static void finish(struct engine_net *net)
{
    if (engine_net_failure(net) != NULL) {
        print_error("%s\n", engine_net_failure(net));
    }
    assert_null(engine_net_failure(net));
    engine_net_free(net);
}

/* Filters. */

/* Only the node with this id may stand for election. */
static bool only_candidate(struct engine_net *net, const struct message *m, void *ctx)
{
    (void) net;
    const uint32_t *node = ctx;
    return (m->type != MSG_RAFT_PREVOTE && m->type != MSG_RAFT_VOTE) || m->from == *node;
}

static bool drop_first_appends(struct engine_net *net, const struct message *m, void *ctx)
{
    (void) net;
    uint32_t *left = ctx;
    if (m->type != MSG_RAFT_APPEND || m->entries_count == 0 || *left == 0) {
        return true;
    }
    (*left)--;
    return false;
}

static bool drop_append_replies(struct engine_net *net, const struct message *m, void *ctx)
{
    (void) net;
    (void) ctx;
    return m->type != MSG_RAFT_APPEND_REPLY;
}

static bool drop_heartbeat_replies(struct engine_net *net, const struct message *m, void *ctx)
{
    (void) net;
    (void) ctx;
    return m->type != MSG_RAFT_HEARTBEAT_REPLY;
}

/* Makes `node` leader by letting nobody else stand. */
static void lead(struct engine_net *net, uint32_t node)
{
    engine_net_filter(net, only_candidate, &node);
    for (uint32_t i = 0; i < 100 && engine_net_leader(net) != node; i++) {
        engine_net_run(net, ELECTION_US / 5);
    }
    engine_net_filter(net, NULL, NULL);
    assert_int_equal(engine_net_leader(net), node);
}

static void expect_equal_logs(struct engine_net *net, uint32_t nodes, uint32_t leader)
{
    uint64_t last = log_last(engine_net_log(net, leader));
    for (uint32_t i = 1; i <= nodes; i++) {
        assert_int_equal(log_last(engine_net_log(net, i)), last);
        for (uint64_t k = 1; k <= last; k++) {
            uint64_t ours;
            uint64_t theirs;
            assert_int_equal(log_epoch_at(engine_net_log(net, leader), k, &ours), OK);
            assert_int_equal(log_epoch_at(engine_net_log(net, i), k, &theirs), OK);
            assert_int_equal(ours, theirs);
        }
    }
}

/* Raft figure 7: all six follower logs at once are brought to the leader's. R3, R4. */
static void test_raft_figure_7(void **state)
{
    (void) state;
    static const struct {
        uint64_t epochs[12];
        uint32_t count;
    } logs[] = {
        {{1, 1, 1, 4, 4, 5, 5, 6, 6, 6}, 10},       /* the leader of term 8 */
        {{1, 1, 1, 4, 4, 5, 5, 6, 6}, 9},           /* a */
        {{1, 1, 1, 4}, 4},                          /* b */
        {{1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6}, 11},    /* c */
        {{1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7}, 12}, /* d */
        {{1, 1, 1, 4, 4, 4, 4}, 7},                 /* e */
        {{1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3}, 11},    /* f */
    };
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct engine_net *net = make(7, seed);
        for (uint32_t i = 0; i < 7; i++) {
            struct hard_state hard = {.epoch = 7, .commit = 3};
            engine_net_preload(net, i + 1, &hard, logs[i].epochs, logs[i].count);
        }
        engine_net_start(net);
        lead(net, 1);
        assert_int_equal(engine_net_submit(net, ELECTION_US, 77), OK);
        assert_true(engine_net_run_to_applied(net, 5 * ELECTION_US, 77, 7));
        expect_equal_logs(net, 7, 1);
        assert_true(engine_net_applied_on(net, 10006) == 7);
        finish(net);
    }
}

static struct engine_net *figure_8(uint64_t seed)
{
    static const uint64_t two[] = {1, 2};
    static const uint64_t one[] = {1};
    static const uint64_t three[] = {1, 3};
    struct engine_net *net = make(5, seed);
    struct hard_state hard = {.epoch = 4, .commit = 1};
    engine_net_preload(net, 1, &hard, two, 2);
    engine_net_preload(net, 2, &hard, two, 2);
    engine_net_preload(net, 3, &hard, two, 2); /* (c): term 2 is on a majority, uncommitted */
    engine_net_preload(net, 4, &hard, one, 1);
    engine_net_preload(net, 5, &hard, three, 2);
    engine_net_start(net);
    return net;
}

/* Raft figure 8 (d): S5 may still overwrite the entry of term 2 although a majority has it. */
static void test_raft_figure_8_old_entry_may_be_overwritten(void **state)
{
    (void) state;
    struct engine_net *net = figure_8(1);
    lead(net, 5);
    assert_int_equal(engine_net_submit(net, ELECTION_US, 77), OK);
    assert_true(engine_net_run_to_applied(net, 5 * ELECTION_US, 77, 5));
    assert_int_equal(engine_net_applied_on(net, 2003), 5);
    assert_int_equal(engine_net_applied_on(net, 2002), 0);
    expect_equal_logs(net, 5, 5);
    finish(net);
}

/* Raft figure 8 (e): S1 commits it, by an entry of its own term; S5 can never win again. */
static void test_raft_figure_8_old_entry_commits_by_a_new_one(void **state)
{
    (void) state;
    struct engine_net *net = figure_8(2);
    lead(net, 1);
    assert_true(engine_net_run_to_applied(net, 5 * ELECTION_US, 2002, 3));
    engine_net_crash(net, 1);
    engine_net_run(net, 10 * ELECTION_US);
    assert_int_not_equal(engine_net_leader(net), 0);
    assert_int_equal(engine_net_applied_on(net, 2003), 0);
    finish(net);
}

/* Lost appends are repaired within a few resend times, under the same leader. */
static void test_raft_lost_appends_need_no_election(void **state)
{
    (void) state;
    struct engine_net *net = make(3, 3);
    engine_net_start(net);
    assert_true(engine_net_run_to_leader(net, 5 * ELECTION_US));
    uint32_t leader = engine_net_leader(net);
    engine_net_run(net, ELECTION_US);
    uint32_t left = 4;
    engine_net_filter(net, drop_first_appends, &left);
    for (uint64_t command = 1; command <= 5; command++) {
        assert_int_equal(engine_net_propose(net, leader, command), OK);
        engine_net_run(net, 1000);
    }
    assert_true(engine_net_run_to_applied(net, 90000, 5, 3)); /* 3 resend times */
    assert_int_equal(left, 0);
    /* No success at all comes through: heartbeat answers tell what is durable. */
    engine_net_filter(net, drop_append_replies, NULL);
    assert_int_equal(engine_net_propose(net, leader, 6), OK);
    assert_true(engine_net_run_to_applied(net, 60000, 6, 3));
    assert_int_equal(engine_net_leader(net), leader);
    finish(net);
}

/* Any loss and duplication: one leader stays useful. */
static void test_raft_lossy_network_makes_progress(void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct engine_net_options o;
        engine_net_options_init(&o, engine_by_name("raft"), 5, seed);
        o.loss = 25;
        o.duplicate = 25;
        o.delay_min_us = 100;
        o.delay_max_us = 8000;
        struct engine_net *net = engine_net_new(&o);
        engine_net_start(net);
        for (uint64_t command = 1; command <= 30; command++) {
            assert_int_equal(engine_net_submit(net, 20 * ELECTION_US, command), OK);
            engine_net_run(net, 3000);
        }
        engine_net_run(net, 5 * ELECTION_US);
        assert_true(engine_net_committed(net) >= 25);
        finish(net);
    }
}

/* R12: a node that was cut off comes back without unseating the leader or raising the term. */
static void test_raft_returner_does_not_depose_the_leader(void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct engine_net *net = make(3, seed);
        engine_net_start(net);
        assert_true(engine_net_run_to_leader(net, 5 * ELECTION_US));
        uint32_t leader = engine_net_leader(net);
        uint64_t term = engine_net_status(net, leader).epoch;
        engine_net_isolate(net, leader % 3 + 1);
        for (uint64_t command = 1; command <= 10; command++) {
            assert_int_equal(engine_net_propose(net, leader, command), OK);
            engine_net_run(net, ELECTION_US);
        }
        engine_net_heal(net);
        assert_true(engine_net_run_to_applied(net, 3 * ELECTION_US, 10, 3));
        assert_int_equal(engine_net_leader(net), leader);
        assert_int_equal(engine_net_status(net, leader).epoch, term);
        assert_int_equal(engine_net_status(net, leader % 3 + 1).epoch, term);
        finish(net);
    }
}

/* Thesis 3.10: leadership moves at once, and nothing committed is lost. */
static void test_raft_transfer_moves_leadership(void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct engine_net *net = make(5, seed);
        engine_net_start(net);
        assert_int_equal(engine_net_submit(net, 5 * ELECTION_US, 1), OK);
        assert_true(engine_net_run_to_applied(net, 5 * ELECTION_US, 1, 5));
        uint32_t leader = engine_net_leader(net);
        uint32_t to = leader % 5 + 1;
        assert_int_equal(engine_net_propose(net, leader, 2), OK);
        assert_int_equal(engine_net_transfer(net, leader, to), OK);
        engine_net_run(net, ELECTION_US / 2);
        assert_int_equal(engine_net_leader(net), to);
        assert_int_equal(engine_net_submit(net, ELECTION_US, 3), OK);
        assert_true(engine_net_run_to_applied(net, ELECTION_US, 3, 5));
        assert_int_equal(engine_net_applied_on(net, 2), 5);
        finish(net);
    }
}

static void test_raft_transfer_to_a_dead_node_is_given_up(void **state)
{
    (void) state;
    struct engine_net *net = make(3, 4);
    engine_net_start(net);
    assert_true(engine_net_run_to_leader(net, 5 * ELECTION_US));
    engine_net_run(net, ELECTION_US);
    uint32_t leader = engine_net_leader(net);
    engine_net_crash(net, leader % 3 + 1);
    assert_int_equal(engine_net_propose(net, leader, 1), OK);
    assert_int_equal(engine_net_transfer(net, leader, leader % 3 + 1), OK);
    assert_int_equal(engine_net_propose(net, leader, 2), ERR_BUSY);
    engine_net_run(net, 2 * ELECTION_US);
    assert_int_equal(engine_net_leader(net), leader);
    assert_int_equal(engine_net_propose(net, leader, 3), OK);
    assert_true(engine_net_run_to_applied(net, ELECTION_US, 3, 2));
    finish(net);
}

/* R9: an old leader that is cut off with a minority serves no read, while a new one commits. */
static void test_raft_cut_off_leader_serves_no_read(void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct engine_net *net = make(5, seed);
        engine_net_start(net);
        assert_int_equal(engine_net_submit(net, 5 * ELECTION_US, 1), OK);
        assert_true(engine_net_run_to_applied(net, ELECTION_US, 1, 5));
        uint32_t old = engine_net_leader(net);
        uint32_t friend = old % 5 + 1;
        for (uint32_t i = 1; i <= 5; i++) {
            if (i != old && i != friend) {
                engine_net_cut(net, old, i);
                engine_net_cut(net, friend, i);
            }
        }
        uint64_t reads[40];
        int errs[40];
        for (uint32_t i = 0; i < 40; i++) {
            errs[i] = engine_net_read(net, i % 2 == 0 ? old : friend, &reads[i]);
            uint32_t leader = engine_net_leader(net);
            if (leader != old && leader != 0) {
                assert_int_equal(engine_net_propose(net, leader, 100 + i), OK);
            }
            engine_net_run(net, ELECTION_US / 5);
        }
        assert_true(engine_net_applied_on(net, 139) == 3);
        for (uint32_t i = 0; i < 40; i++) {
            uint64_t index;
            assert_true(errs[i] != OK || engine_net_read_result(net, reads[i], &index) != OK);
        }
        finish(net);
    }
}

/* R9: the leader still holds a read request of a follower's earlier life; its answer is not taken
 * for one to a request of this life. (Found by random weather, seed 10368171.) */
static void test_raft_read_of_an_earlier_life_answers_nothing(void **state)
{
    (void) state;
    struct engine_net *net = make(3, 8);
    engine_net_start(net);
    assert_int_equal(engine_net_submit(net, 5 * ELECTION_US, 1), OK);
    assert_true(engine_net_run_to_applied(net, ELECTION_US, 1, 3));
    uint32_t leader = engine_net_leader(net);
    uint32_t asker = leader % 3 + 1;
    uint64_t ctx;
    engine_net_filter(net, drop_heartbeat_replies, NULL);
    assert_int_equal(engine_net_read(net, asker, &ctx), OK);
    engine_net_run(net, 4000); /* the leader has it, and waits for a quorum */
    engine_net_restart(net, asker);
    for (uint64_t command = 2; command <= 6; command++) {
        assert_int_equal(engine_net_propose(net, leader, command), OK);
        engine_net_run(net, 10000);
    }
    assert_int_equal(engine_net_leader(net), leader);
    assert_int_equal(engine_net_read(net, asker, &ctx), OK);
    engine_net_filter(net, NULL, NULL);
    engine_net_run(net, ELECTION_US);
    uint64_t index;
    assert_int_equal(engine_net_read_result(net, ctx, &index), OK);
    finish(net);
}

/* A follower far behind is fed from the store when memory no longer has the entries. */
static void feed_laggard(uint32_t message_bytes_max)
{
    struct engine_net_options o;
    engine_net_options_init(&o, engine_by_name("raft"), 3, 6);
    o.memory_max = 300;
    o.consensus.message_bytes_max = message_bytes_max;
    struct engine_net *net = engine_net_new(&o);
    engine_net_start(net);
    assert_true(engine_net_run_to_leader(net, 5 * ELECTION_US));
    uint32_t leader = engine_net_leader(net);
    uint32_t lagging = leader % 3 + 1;
    engine_net_crash(net, lagging);
    for (uint64_t command = 1; command <= 500; command++) {
        assert_int_equal(engine_net_submit(net, ELECTION_US, command), OK);
        engine_net_run(net, 2000);
    }
    assert_true(log_mem_first(engine_net_log(net, leader)) > 400);
    engine_net_restart(net, lagging);
    assert_true(engine_net_run_to_applied(net, 10 * ELECTION_US, 500, 3));
    assert_int_equal(engine_net_applied_times(net, lagging, 1), 1);
    assert_int_equal(engine_net_leader(net), leader);
    finish(net);
}

static void test_raft_laggard_is_fed_from_the_store(void **state)
{
    (void) state;
    feed_laggard(1000);
}

/* R11: values that fill a message by themselves: what is read back holds no two of them, so the
 * entry before and the one to send never come together. */
static void test_raft_laggard_is_fed_values_as_large_as_a_message(void **state)
{
    (void) state;
    feed_laggard(1);
}

/* A follower says that appends have arrived, and loses them in a crash before its disk has them.
 * The leader must notice without a new proposal. (Found by random weather, seed 143792917.) */
static void test_raft_entries_lost_in_a_crash_are_sent_again(void **state)
{
    (void) state;
    struct engine_net *net = make(3, 12);
    engine_net_start(net);
    assert_int_equal(engine_net_submit(net, 5 * ELECTION_US, 1), OK);
    assert_true(engine_net_run_to_applied(net, ELECTION_US, 1, 3));
    uint32_t leader = engine_net_leader(net);
    uint32_t follower = leader % 3 + 1;
    engine_net_run(net, ELECTION_US);
    uint32_t left = 2; /* to both: the leader falls back to probing */
    engine_net_filter(net, drop_first_appends, &left);
    engine_net_hold_disk(net, follower, true);
    for (uint64_t command = 2; command <= 9; command++) {
        assert_int_equal(engine_net_propose(net, leader, command), OK);
    }
    engine_net_run(net, ELECTION_US);
    engine_net_hold_disk(net, follower, false);
    engine_net_restart(net, follower);
    assert_true(engine_net_run_to_applied(net, ELECTION_US, 9, 3));
    assert_int_equal(engine_net_leader(net), leader);
    finish(net);
}

/* R1 over restarts: every node restarts again and again while elections run. */
static void test_raft_restarts_keep_votes_and_commits(void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct engine_net *net = make(3, seed);
        engine_net_start(net);
        for (uint64_t command = 1; command <= 20; command++) {
            bool applied = false;
            for (uint32_t i = 0; i < 5 && !applied; i++) { /* a leader may fall with it */
                assert_int_equal(engine_net_submit(net, 20 * ELECTION_US, command), OK);
                applied = engine_net_run_to_applied(net, 5 * ELECTION_US, command, 2);
            }
            assert_true(applied);
            for (uint32_t i = 1; i <= 3; i++) {
                engine_net_restart(net, i);
                engine_net_run(net, (command * 7919 + seed) % 50000);
            }
        }
        assert_true(engine_net_run_to_applied(net, 20 * ELECTION_US, 20, 3));
        for (uint64_t command = 1; command <= 20; command++) {
            assert_true(engine_net_applied_times(net, 1, command) >= 1);
        }
        finish(net);
    }
}

/* A leader whose disk is stuck hands over; the cluster goes on without it. */
static void test_raft_leader_with_a_stuck_disk_steps_aside(void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct engine_net *net = make(3, seed);
        engine_net_start(net);
        assert_int_equal(engine_net_submit(net, 5 * ELECTION_US, 1), OK);
        assert_true(engine_net_run_to_applied(net, ELECTION_US, 1, 3));
        uint32_t stuck = engine_net_leader(net);
        engine_net_hold_disk(net, stuck, true);
        assert_int_equal(engine_net_propose(net, stuck, 2), OK); /* two followers commit it */
        assert_true(engine_net_run_to_applied(net, ELECTION_US, 2, 3));
        engine_net_run(net, 8 * ELECTION_US);
        uint32_t leader = engine_net_leader(net);
        assert_int_not_equal(leader, stuck);
        assert_int_not_equal(leader, 0);
        assert_int_equal(engine_net_propose(net, leader, 3), OK);
        assert_true(engine_net_run_to_applied(net, ELECTION_US, 3, 2));
        engine_net_hold_disk(net, stuck, false);
        assert_true(engine_net_run_to_applied(net, 5 * ELECTION_US, 3, 3));
        finish(net);
    }
}

/* Partial partitions (experiments E8, E9): the time from the cut until something new is committed.
 */

static uint64_t down_time(struct engine_net *net, uint32_t nodes, uint64_t limit_us)
{
    uint64_t start_us = engine_net_now(net);
    uint64_t before = engine_net_committed(net);
    uint64_t command = 1000000;
    while (engine_net_now(net) - start_us < limit_us) {
        for (uint32_t i = 1; i <= nodes; i++) {
            if (engine_net_node(net, i) != NULL) {
                ERR_IGNORE(engine_net_propose(net, i, command++)); /* whoever leads */
            }
        }
        engine_net_run(net, 1000);
        if (engine_net_committed(net) > before) {
            break;
        }
    }
    return engine_net_now(net) - start_us;
}

/* Still live a while later, and with few changes of leader. */
static void expect_calm(struct engine_net *net, uint32_t nodes)
{
    uint64_t changes = 0;
    for (uint32_t i = 1; i <= nodes; i++) {
        changes =
            changes > engine_net_status(net, i).epoch ? changes : engine_net_status(net, i).epoch;
    }
    uint64_t terms = changes;
    engine_net_run(net, 100 * ELECTION_US);
    assert_true(down_time(net, nodes, 10 * ELECTION_US) <= ELECTION_US);
    for (uint32_t i = 1; i <= nodes; i++) {
        assert_true(engine_net_status(net, i).epoch <= terms + 4);
    }
}

/* Five nodes and their leader, with everything applied everywhere. */
static struct engine_net *settled(uint32_t nodes, uint64_t seed, uint32_t leader)
{
    struct engine_net *net = make(nodes, seed);
    engine_net_start(net);
    lead(net, leader);
    assert_int_equal(engine_net_submit(net, ELECTION_US, 1), OK);
    assert_true(engine_net_run_to_applied(net, 5 * ELECTION_US, 1, nodes));
    engine_net_run(net, seed * 3001 % ELECTION_US);
    return net;
}

/* Only the links to `hub` stay. */
static void star(struct engine_net *net, uint32_t nodes, uint32_t hub)
{
    for (uint32_t a = 1; a <= nodes; a++) {
        for (uint32_t b = a + 1; b <= nodes; b++) {
            if (a != hub && b != hub) {
                engine_net_cut(net, a, b);
            }
        }
    }
}

/* E8 quorum loss: everybody still reaches node 1 only; the leader was another. */
static void test_raft_e8_quorum_loss(void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct engine_net *net = settled(5, seed, 3);
        star(net, 5, 1);
        assert_true(down_time(net, 5, 40 * ELECTION_US) <= 4 * ELECTION_US);
        assert_int_equal(engine_net_leader(net), 1);
        expect_calm(net, 5);
        finish(net);
    }
}

/* E8 constrained election: the leader dies, everybody else reaches node 1 only, and node 1 lacks
 * entries that are committed. Raft as published never elects again. */
static void test_raft_e8_constrained_election(void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct engine_net *net = settled(5, seed, 3);
        engine_net_isolate(net, 1);
        for (uint64_t command = 2; command <= 20; command++) {
            assert_int_equal(engine_net_propose(net, 3, command), OK);
            engine_net_run(net, 5000);
        }
        engine_net_run(net, ELECTION_US / 2);
        assert_true(engine_net_applied_on(net, 20) == 4);
        engine_net_crash(net, 3);
        engine_net_heal(net);
        star(net, 5, 1);
        assert_true(down_time(net, 5, 40 * ELECTION_US) <= 4 * ELECTION_US);
        assert_int_equal(engine_net_leader(net), 1);
        assert_int_equal(engine_net_applied_times(net, 1, 20), 1);
        engine_net_heal(net);
        engine_net_restart(net, 3);
        engine_net_run(net, 20 * ELECTION_US);
        assert_true(down_time(net, 5, 10 * ELECTION_US) <= ELECTION_US);
        finish(net);
    }
}

/* E8 chained: 1 - 2 - 3, the leader at one end. It goes on, and moves to the middle for good. */
static void test_raft_e8_chained(void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct engine_net *net = settled(3, seed, 1);
        engine_net_cut(net, 1, 3);
        assert_true(down_time(net, 3, 40 * ELECTION_US) <= 4 * ELECTION_US);
        engine_net_run(net, 20 * ELECTION_US);
        assert_int_equal(engine_net_leader(net), 2);
        expect_calm(net, 3);
        finish(net);
    }
}

/* E9 (a): 1-2-3 full, 4 reaches only 2, 5 reaches only 3; every possible leader before. */
static void test_raft_e9_five_nodes_with_two_leaves(void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct engine_net *net = settled(5, seed, (uint32_t) (seed % 5) + 1);
        engine_net_cut(net, 4, 1);
        engine_net_cut(net, 4, 3);
        engine_net_cut(net, 4, 5);
        engine_net_cut(net, 5, 1);
        engine_net_cut(net, 5, 2);
        assert_true(down_time(net, 5, 40 * ELECTION_US) <= 4 * ELECTION_US);
        expect_calm(net, 5);
        finish(net);
    }
}

/* E9 (b): the leader 4 reaches only 2, node 5 is dead. */
static void test_raft_e9_leader_on_a_leaf(void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct engine_net *net = settled(5, seed, 4);
        engine_net_crash(net, 5);
        engine_net_cut(net, 4, 1);
        engine_net_cut(net, 4, 3);
        assert_true(down_time(net, 5, 40 * ELECTION_US) <= 4 * ELECTION_US);
        expect_calm(net, 5);
        finish(net);
    }
}

/* One-way cuts: the leader still hears everybody, but only a minority hears it, or the reverse. */
static void test_raft_one_way_cuts(void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        for (uint32_t inward = 0; inward < 2; inward++) {
            struct engine_net *net = settled(5, seed, 1);
            for (uint32_t i = 2; i <= 4; i++) {
                engine_net_link(net, inward != 0 ? i : 1, inward != 0 ? 1 : i, false);
            }
            assert_true(down_time(net, 5, 40 * ELECTION_US) <= 4 * ELECTION_US);
            expect_calm(net, 5);
            finish(net);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_raft_figure_7),
        cmocka_unit_test(test_raft_figure_8_old_entry_may_be_overwritten),
        cmocka_unit_test(test_raft_figure_8_old_entry_commits_by_a_new_one),
        cmocka_unit_test(test_raft_lost_appends_need_no_election),
        cmocka_unit_test(test_raft_lossy_network_makes_progress),
        cmocka_unit_test(test_raft_returner_does_not_depose_the_leader),
        cmocka_unit_test(test_raft_transfer_moves_leadership),
        cmocka_unit_test(test_raft_transfer_to_a_dead_node_is_given_up),
        cmocka_unit_test(test_raft_cut_off_leader_serves_no_read),
        cmocka_unit_test(test_raft_read_of_an_earlier_life_answers_nothing),
        cmocka_unit_test(test_raft_laggard_is_fed_from_the_store),
        cmocka_unit_test(test_raft_laggard_is_fed_values_as_large_as_a_message),
        cmocka_unit_test(test_raft_entries_lost_in_a_crash_are_sent_again),
        cmocka_unit_test(test_raft_restarts_keep_votes_and_commits),
        cmocka_unit_test(test_raft_leader_with_a_stuck_disk_steps_aside),
        cmocka_unit_test(test_raft_e8_quorum_loss),
        cmocka_unit_test(test_raft_e8_constrained_election),
        cmocka_unit_test(test_raft_e8_chained),
        cmocka_unit_test(test_raft_e9_five_nodes_with_two_leaves),
        cmocka_unit_test(test_raft_e9_leader_on_a_leaf),
        cmocka_unit_test(test_raft_one_way_cuts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
