/*
 * test_election.c - the bench of elections: its counting, its settings, that it repeats.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "base/buf.h"
#include "proto/wire_peer.h"
#include "tests/compare/election_lines.h"
#include "tests/support/engine_net.h"

static struct election_options plain(const char *engine)
{
    struct election_options o;
    election_options_init(&o, engine_by_name(engine));
    return o;
}

static struct election_result run(struct election_options o, uint64_t seed)
{
    struct election_result r;
    o.seed = seed;
    election_run(&o, &r);
    if (r.broken) {
        print_error("%s\n", r.failure);
    }
    return r;
}

/* Thesis 9.3: 0.06 %, 5.2 %, 18.1 % for five servers of which one is dead. */
static void test_election_split_chance_is_that_of_the_thesis(void **state)
{
    (void) state;
    assert_true(fabs(100 * election_split_chance(5, 4, 0.01) - 0.06) < 0.005);
    assert_true(fabs(100 * election_split_chance(5, 4, 0.1) - 5.2) < 0.05);
    assert_true(fabs(100 * election_split_chance(5, 4, 0.2) - 18.1) < 0.05);
}

/* The oracle of figure E1, small: one shot, all may win, a fifth of the range on the way. */
static void test_election_splits_as_the_formula_says(void **state)
{
    enum { TRIALS = 2000 };
    (void) state;
    struct election_options o = plain("raft");
    election_timeouts(&o, 1000000, 100000);
    o.way_min_us = 19800;
    o.way_max_us = 19800;
    o.disk_us = 200;
    o.long_nodes = 0;
    o.one_shot = true;
    uint32_t splits = 0;
    for (uint64_t seed = 1; seed <= TRIALS; seed++) {
        struct election_result r = run(o, seed);
        assert_false(r.broken);
        splits += r.leader_seen ? 0 : 1;
    }
    double expected = TRIALS * election_split_chance(5, 4, 0.2);
    assert_true(fabs(splits - expected) < 3.3 * sqrt(expected));
}

/* S1. */
static void test_election_same_seed_same_result(void **state)
{
    (void) state;
    for (uint32_t i = 0; engine_at(i) != NULL; i++) {
        struct election_options o = plain(engine_name(engine_at(i)));
        o.loss = 5;
        struct election_result a = run(o, 7);
        struct election_result b = run(o, 7);
        struct election_result c = run(o, 8);
        assert_false(a.broken);
        assert_memory_equal(&a, &b, sizeof a);
        assert_memory_not_equal(&a, &c, sizeof a);
    }
}

/* Raft 5.4.1: two of the four lack an entry. Anybody may lead in Multi-Paxos. */
static void test_election_only_the_complete_win_in_raft(void **state)
{
    enum { TRIALS = 60 };
    (void) state;
    uint32_t raft = 0;
    uint32_t paxos = 0;
    for (uint64_t seed = 1; seed <= TRIALS; seed++) {
        struct election_result r = run(plain("raft"), seed);
        assert_true(r.elected && r.committed && !r.broken);
        assert_true(r.won_us < r.elected_us && r.won_us < r.commit_us);
        assert_true(r.packets >= 6);
        raft += r.winner_had_tail;
        r = run(plain("multipaxos"), seed);
        assert_true(r.elected && r.committed && !r.broken);
        paxos += r.winner_had_tail;
    }
    assert_int_equal(raft, TRIALS);
    assert_in_range(paxos, TRIALS / 4, TRIALS * 3 / 4);
}

/* The leader dies within one interval of its last heartbeat: half of the least time-out. */
static void test_election_death_lies_within_a_heartbeat(void **state)
{
    (void) state;
    struct election_options o = plain("multipaxos"); /* never splits */
    election_timeouts(&o, 150000, 0);
    o.long_nodes = 0;
    uint64_t least = UINT64_MAX;
    uint64_t most = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct election_result r = run(o, seed);
        assert_true(r.elected);
        least = r.won_us < least ? r.won_us : least;
        most = r.won_us > most ? r.won_us : most;
    }
    /* From 150 - 75 + a round of 3 ms to 150 + 3 and a little for the duel. */
    assert_in_range(least, 75000, 85000);
    assert_in_range(most, 145000, 165000);
}

static void test_election_first_is_who_was_asked_to(void **state)
{
    (void) state;
    struct election_options o = plain("multipaxos");
    election_timeouts(&o, 150000, 1);
    o.tail = 50;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        o.first = ELECTION_SHORT_FIRST;
        assert_int_equal(run(o, seed).winner_had_tail, 0);
        o.first = ELECTION_LONG_FIRST;
        assert_int_equal(run(o, seed).winner_had_tail, 1);
    }
}

/* 64 MB must cross a link of 125 MB/s to make a quorum: half a second, and not many of them. */
static void test_election_long_tails_take_the_links_time(void **state)
{
    (void) state;
    struct election_options o = plain("raft");
    o.tail = 1000;
    o.tail_bytes = 64000;
    o.link_rate = 125000000;
    o.disk_rate = 200000000;
    struct election_result r = run(o, 3);
    assert_true(r.committed && !r.broken);
    assert_in_range(r.commit_us - r.won_us, 512000, 2500000);
    assert_int_equal(r.rewritten, 0);
    o.engine = engine_by_name("multipaxos");
    o.first = ELECTION_SHORT_FIRST;
    election_connected(&o);
    r = run(o, 3);
    assert_true(r.committed && !r.broken);
    assert_true(r.vote_bytes > o.tail * o.tail_bytes);
    assert_true(r.rewritten >= o.tail);
}

static void test_election_clients_without_a_leader_are_served(void **state)
{
    (void) state;
    struct election_options o = plain("paxos");
    o.tail = 0;
    o.long_nodes = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        o.clients = 1;
        struct election_result one = run(o, seed);
        o.clients = 4;
        struct election_result four = run(o, seed);
        assert_true(one.committed && !one.broken && four.committed && !four.broken);
        /* Two phases, each out, written and back; nobody's time-out is waited for. */
        assert_in_range(one.commit_us, 4000, 10000);
    }
}

/* Each of the open questions ends too. */
static void test_election_axes_end(void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct election_options o = plain(seed % 2 == 0 ? "raft" : "multipaxos");
        o.unequal_terms = seed % 5 == 0;
        o.asymmetric = seed % 5 == 1;
        o.one_way = seed % 5 == 2;
        o.drift_percent = seed % 5 == 3 ? 10 : 0;
        o.loss = seed % 5 == 4 ? 10 : 0;
        struct election_result r = run(o, seed);
        assert_true(r.elected && r.committed && !r.broken);
    }
}

/* What engine_net counts as bytes is about what the wire format makes of it. */
static void test_election_message_sizes_are_near_the_wire(void **state)
{
    (void) state;
    for (uint32_t entries = 0; entries <= 100; entries += 50) {
        struct message *m = message_new(MSG_RAFT_APPEND, 2);
        m->engine = ENGINE_RAFT;
        m->from = 1;
        m->epoch = 7;
        m->pos = (struct log_pos){.index = 100000, .epoch = 6};
        m->commit = 99990;
        m->seen = 31;
        struct value *value = engine_net_value(1, 64);
        for (uint32_t i = 0; i < entries; i++) {
            const struct entry entry = {100001 + i, 7, value};
            message_add_entry(m, &entry);
        }
        const struct envelope envelope = {.cluster_id = UINT64_MAX / 3,
                                          .from_incarnation = 3,
                                          .to_incarnation = 4,
                                          .from_written = 123456,
                                          .to_seen = 123450};
        struct buf head;
        buf_init(&head, 1 << 20);
        assert_int_equal(wire_peer_encode(m, &envelope, &head), OK);
        uint64_t wire = head.size + m->bytes;
        uint64_t counted = engine_net_message_size(m);
        assert_in_range(counted, wire * 3 / 4, wire * 5 / 4);
        buf_release(&head);
        value_unref(value);
        message_free(m);
    }
}

static struct election_lines two_lines(const struct figure_options *options, bool both)
{
    struct election_lines lines;
    struct election_options o = plain("multipaxos");
    struct buf error;
    buf_init(&error, 256);
    election_lines_init(&lines);
    if (both) {
        (void) election_lines_add(&lines, &o, 5, "other");
    }
    (void) election_lines_add(&lines, &o, 0, "line %d", 1);
    int err = election_lines_run(&lines, options, &error);
    assert_int_equal(err, OK);
    buf_release(&error);
    return lines;
}

/* A trial is what it is, whatever runs beside it, and in however many processes. */
static void test_election_lines_do_not_depend_on_each_other(void **state)
{
    (void) state;
    struct figure_options options = {.seed = 5, .trials = 12, .workers = 1};
    struct election_lines alone = two_lines(&options, false);
    options.workers = 2;
    struct election_lines both = two_lines(&options, true);
    assert_int_equal(alone.at[0].trials, 12);
    assert_memory_equal(alone.at[0].results, both.at[1].results, 12 * sizeof *alone.at[0].results);
    struct election_summary sum = election_sum(&alone.at[0], ELECTION_ELECTED);
    assert_int_equal(sum.missing, 0);
    assert_true(sum.stats.median > 75 && sum.stats.median < 310);
    assert_true(election_share(&alone.at[0], ELECTION_ELECTED, 1000) == 1.0);
    election_lines_release(&alone);
    election_lines_release(&both);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_election_split_chance_is_that_of_the_thesis),
        cmocka_unit_test(test_election_splits_as_the_formula_says),
        cmocka_unit_test(test_election_same_seed_same_result),
        cmocka_unit_test(test_election_only_the_complete_win_in_raft),
        cmocka_unit_test(test_election_death_lies_within_a_heartbeat),
        cmocka_unit_test(test_election_first_is_who_was_asked_to),
        cmocka_unit_test(test_election_long_tails_take_the_links_time),
        cmocka_unit_test(test_election_clients_without_a_leader_are_served),
        cmocka_unit_test(test_election_axes_end),
        cmocka_unit_test(test_election_message_sizes_are_near_the_wire),
        cmocka_unit_test(test_election_lines_do_not_depend_on_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
