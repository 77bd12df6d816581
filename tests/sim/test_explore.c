/*
 * test_explore.c - every engine, all runs of a small cluster within budgets: R1-R7 R9, P1-P7 P14
 * (explore_rules.c); and that the explorer sees broken rules, counts what it claims to, and takes
 * no two states for one that are not.
 *
 * Bounded by numbers of states, so that it is the same everywhere. SYNOD_SEED=s (make soak) draws
 * other budgets and goes further.
 */
#include "tests/sim/explore.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "consensus/engine.h"
#include "consensus/raft.h"
#include "tests/support/entries.h"

enum {
    STATES = 250000,       /* of each search of `make test` */
    STATES_SOAK = 3000000, /* of the one search of a soak, an engine */
    TEXT_MAX = 4096,
};

static const struct engine_ops *engine_of(void **state)
{
    return *state;
}

static void print_red(const struct explore_result *r)
{
    print_error("%s: %s\n%.*ssynod-sim explore --replay %.*s\n", r->property, r->text,
                (int) r->path.size, (const char *) r->path.data, (int) r->code.size,
                (const char *) r->code.data);
}

static struct explore_result explored(const struct explore_options *o)
{
    struct explore_result r;
    explore_run(o, &r);
    if (r.red) {
        print_red(&r);
    }
    assert_false(r.red);
    return r;
}

/* ---- The engines ---- */

/* The space of one proposal in a calm cluster is small enough to be exhausted. */
static void test_explore_one_command_is_exhausted(void **state)
{
    struct explore_options o;
    explore_options_init(&o, engine_of(state));
    o.commands = 1;
    o.timeouts = 0;
    o.crashes = 0;
    struct explore_result r = explored(&o);
    assert_true(r.complete);
    assert_true(r.chosen_max >= 1);
    explore_result_release(&r);
}

static void test_explore_crashes_and_elections_break_nothing(void **state)
{
    for (uint8_t start = 0; start < EXPLORE_STARTS; start++) {
        struct explore_options o;
        explore_options_init(&o, engine_of(state));
        o.start = start;
        o.states_max = STATES;
        struct explore_result r = explored(&o);
        assert_true(r.crashed > 0);
        assert_true(r.depth_complete >= 5);
        explore_result_release(&r);
    }
}

/* Without a crash, and with fewer choices at each step: deeper, so that values get chosen under
 * more than one leader. One entry a message: an old term's entry comes alone (Raft 5.4.2). */
static void test_explore_two_leaders_break_nothing(void **state)
{
    struct explore_options o;
    explore_options_init(&o, engine_of(state));
    o.crashes = 0;
    o.fifo = true;
    o.instant_disk = true;
    o.small_messages = true;
    o.states_max = 2 * STATES;
    struct explore_result r = explored(&o);
    assert_true(r.observed > 0);
    assert_true(r.chosen_max >= 2);
    if ((engine_capabilities(o.engine) & CAP_LEADER) != 0) {
        assert_true(r.led_max >= 2);
    }
    explore_result_release(&r);
}

/* As in production; a read and a duplicate (R9). */
static void test_explore_product_options_break_nothing(void **state)
{
    struct explore_options o;
    explore_options_init(&o, engine_of(state));
    o.product = true;
    o.reads = 1;
    o.duplicates = 1;
    o.commands = 1;
    o.states_max = STATES;
    struct explore_result r = explored(&o);
    explore_result_release(&r);
}

/* `make soak`: budgets by chance. */
static void test_explore_drawn_budgets_break_nothing(void **state)
{
    struct explore_options o;
    struct rng rng;
    if (seed_offset() == 0) {
        skip();
    }
    explore_options_init(&o, engine_of(state));
    rng_init(&rng, seed_offset());
    o.nodes = (uint32_t) rng_between(&rng, 2, 5);
    o.commands = (uint32_t) rng_between(&rng, 1, 3);
    o.reads = (uint32_t) rng_below(&rng, 2);
    o.timeouts = (uint32_t) rng_between(&rng, 1, 4);
    o.crashes = (uint32_t) rng_below(&rng, 3);
    o.duplicates = (uint32_t) rng_below(&rng, 2);
    o.start = (uint8_t) rng_below(&rng, EXPLORE_STARTS);
    o.product = rng_chance(&rng, 1, 3);
    o.fifo = rng_chance(&rng, 1, 2);
    o.instant_disk = rng_chance(&rng, 1, 2);
    o.small_messages = rng_chance(&rng, 1, 3);
    o.states_max = STATES_SOAK;
    struct explore_result r = explored(&o);
    explore_result_release(&r);
}

/* ---- The explorer ---- */

/* What is a state of a node is known from the engine's fields (explore_engine.c). Telling states
 * apart by all that was given to the node needs no such knowledge, and must come to the same. */
static void test_explore_merged_states_are_the_same(void **state)
{
    for (uint32_t variant = 0; variant < 4; variant++) {
        struct explore_options o;
        explore_options_init(&o, engine_of(state));
        o.product = variant == 1;
        o.start = variant == 2 ? EXPLORE_SPLIT : EXPLORE_LED;
        o.instant_disk = variant == 3;
        o.reads = variant == 1 ? 1 : 0;
        o.depth = 5;
        o.count_views = true;
        struct explore_result merged = explored(&o);
        o.histories = true;
        struct explore_result told_apart = explored(&o);
        assert_int_equal(merged.depth_complete, 5);
        assert_int_equal(told_apart.depth_complete, 5);
        assert_true(merged.views > 10);
        assert_true(merged.states <= told_apart.states);
        assert_int_equal(merged.views, told_apart.views);
        assert_int_equal(merged.views_hash, told_apart.views_hash);
        explore_result_release(&merged);
        explore_result_release(&told_apart);
    }
}

/* S1 */
static void test_explore_twice_is_the_same(void **state)
{
    struct explore_options o;
    explore_options_init(&o, engine_of(state));
    o.states_max = 20000;
    o.count_views = true;
    struct explore_result a = explored(&o);
    struct explore_result b = explored(&o);
    assert_int_equal(a.states, b.states);
    assert_int_equal(a.transitions, b.transitions);
    assert_int_equal(a.local_states, b.local_states);
    assert_int_equal(a.views_hash, b.views_hash);
    explore_result_release(&a);
    explore_result_release(&b);
}

/* An engine with one rule broken must not get through (S5); and its path must be red again. */

/* Raft 5.2: "each server will vote for at most one candidate in a given term". */
static void vote_twice(struct engine *e, const struct message *m)
{
    if (m->type == MSG_RAFT_VOTE) {
        raft_of(e)->vote = 0;
    }
    engine_raft_ops.step(e, m);
}

/* Raft 5.4.1: only who has an up-to-date log gets votes. */
static void vote_for_anybody(struct engine *e, const struct message *m)
{
    struct message copy = *m;
    if (m->type == MSG_RAFT_VOTE) {
        copy.pos = log_last_pos(e->log);
    }
    engine_raft_ops.step(e, &copy);
}

/* Raft 5.3: success only if the entry before is the same. */
static void append_blindly(struct engine *e, const struct message *m)
{
    struct message copy = *m;
    if (m->type == MSG_RAFT_APPEND && m->epoch == raft_of(e)->term) {
        uint64_t epoch;
        if (log_epoch_at(e->log, m->pos.index, &epoch) == OK) {
            copy.pos.epoch = epoch;
        }
    }
    engine_raft_ops.step(e, &copy);
}

/* Paxos Made Simple 2.2, P2c: the value of the highest-numbered proposal among the promises. */
static void ignore_promised(struct engine *e, const struct message *m)
{
    struct message copy = *m;
    if (m->type == MSG_PAXOS_PROMISE) {
        copy.entries_count = 0;
    }
    e->ops->id == ENGINE_PAXOS ? engine_paxos_ops.step(e, &copy)
                               : engine_multipaxos_ops.step(e, &copy);
}

/* 2.2, 2(b): chosen only when a majority has accepted. */
static void count_twice(struct engine *e, const struct message *m)
{
    void (*step)(struct engine *, const struct message *) =
        e->ops->id == ENGINE_PAXOS ? engine_paxos_ops.step : engine_multipaxos_ops.step;
    step(e, m);
    if (m->type == MSG_PAXOS_ACCEPTED) {
        struct message copy = *m;
        copy.from = m->from % e->options.members.count + 1;
        step(e, &copy);
    }
}

static const struct {
    const struct engine_ops *engine;
    void (*step)(struct engine *e, const struct message *m);
    uint8_t start;
    const char *properties; /* one of them is named */
} breaks[] = {
    {&engine_raft_ops, vote_twice, EXPLORE_SPLIT, "R1 R6"},
    {&engine_raft_ops, vote_for_anybody, EXPLORE_LED, "R4 R5 R7"},
    {&engine_raft_ops, append_blindly, EXPLORE_SPLIT, "R3 R5 R7"},
    {&engine_multipaxos_ops, ignore_promised, EXPLORE_SPLIT, "P1 P6"},
    {&engine_paxos_ops, ignore_promised, EXPLORE_SPLIT, "P1 P6"},
    {&engine_multipaxos_ops, count_twice, EXPLORE_LED, "P3"},
    {&engine_paxos_ops, count_twice, EXPLORE_SPLIT, "P3"},
};

static void test_explore_broken_rules_are_found(void **state)
{
    (void) state;
    for (uint32_t k = 0; k < ARRAY_SIZE(breaks); k++) {
        struct engine_ops broken = *breaks[k].engine;
        struct explore_options o;
        struct explore_result r;
        broken.step = breaks[k].step;
        explore_options_init(&o, &broken);
        o.start = breaks[k].start;
        o.crashes = 0;
        o.instant_disk = true;
        o.states_max = 10 * STATES;
        explore_run(&o, &r);
        if (!r.red || strstr(breaks[k].properties, r.property) == NULL) {
            print_error("break %u: %s %s\n", k, r.property, r.text);
        }
        assert_true(r.red);
        assert_true(r.property[0] != '\0');
        assert_non_null(strstr(breaks[k].properties, r.property));
        assert_true(r.code.size > 0);
        assert_true(r.path.size > 0);
        explore_result_release(&r);
    }
}

/* A path's code leads to the same states again; what is no code is refused in one line. */
static void test_explore_replay_follows_the_code(void **state)
{
    struct explore_result r;
    struct buf error;
    (void) state;
    buf_init(&error, TEXT_MAX);
    assert_int_equal(explore_replay("raft-led-bare-n3c2r0t2x1d0.0.0.0", &r, &error), OK);
    assert_false(r.red);
    assert_int_equal(r.depth_reached, 3);
    assert_non_null(memmem(r.path.data, r.path.size, "propose c1", strlen("propose c1")));
    explore_result_release(&r);
    static const char *const wrong[] = {"",
                                        "raft",
                                        "raft-split-bare-n1c2r0t2x1d0",
                                        "raft-led-bare-n9c2r0t2x1d0",
                                        "raft-led-bare-n3c2r0t2x1d0.99",
                                        "raft-led-bare-n3c2r0t2x1d0.",
                                        "raft-led-bare-n3c2r0t2x1d0.0x",
                                        "raft-led-bare+flow-n3c2r0t2x1d0.0",
                                        "craft-led-bare-n3c2r0t2x1d0.0"};
    for (uint32_t k = 0; k < ARRAY_SIZE(wrong); k++) {
        buf_clear(&error);
        assert_int_equal(explore_replay(wrong[k], &r, &error), ERR_INVALID);
        assert_true(error.size > 0);
    }
    buf_release(&error);
}

int main(void)
{
    enum { PER_ENGINE = 7 };
    static const struct CMUnitTest each[PER_ENGINE] = {
        cmocka_unit_test(test_explore_one_command_is_exhausted),
        cmocka_unit_test(test_explore_crashes_and_elections_break_nothing),
        cmocka_unit_test(test_explore_two_leaders_break_nothing),
        cmocka_unit_test(test_explore_product_options_break_nothing),
        cmocka_unit_test(test_explore_drawn_budgets_break_nothing),
        cmocka_unit_test(test_explore_merged_states_are_the_same),
        cmocka_unit_test(test_explore_twice_is_the_same),
    };
    static const struct CMUnitTest once[] = {
        cmocka_unit_test(test_explore_broken_rules_are_found),
        cmocka_unit_test(test_explore_replay_follows_the_code),
    };
    int failed = 0;
    for (uint32_t i = 0; engine_at(i) != NULL; i++) {
        struct CMUnitTest tests[PER_ENGINE];
        for (uint32_t k = 0; k < PER_ENGINE; k++) {
            tests[k] = each[k];
            tests[k].initial_state = (void *) engine_at(i);
        }
        failed += cmocka_run_group_tests_name(engine_name(engine_at(i)), tests, NULL, NULL);
    }
    return failed + cmocka_run_group_tests(once, NULL, NULL) == 0 ? 0 : 1;
}
