/*
 * test_shrink.c - a red scenario becomes a small one that is still red (S5), in a bounded number of
 * tries; what counts as red is made up here.
 */
#include "tests/sim/shrink.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests/sim/swarm.h"

enum { TEXT_MAX = 1 << 20, TRIES_MAX = 100000 };

struct judge {
    bool (*red)(const struct scenario *s);
    uint32_t calls;
    uint32_t progress_calls;
    bool wrong; /* something was not as promised */
    uint64_t at_us;
};

static bool on_red(void *ctx, const struct scenario *s)
{
    struct judge *judge = ctx;
    judge->calls++;
    judge->wrong = judge->wrong || scenario_check(s, NULL) != OK;
    return judge->red(s);
}

static uint64_t on_red_at(void *ctx)
{
    const struct judge *judge = ctx;
    return judge->at_us;
}

static void on_progress(void *ctx, const struct shrink_progress *progress)
{
    struct judge *judge = ctx;
    judge->progress_calls++;
    judge->wrong = judge->wrong || progress->tries != judge->calls || progress->what == NULL ||
                   (progress->smaller && !judge->red(progress->best));
}

static uint32_t shrink(struct judge *judge, const struct scenario *from, uint32_t tries_max,
                       struct scenario *ret)
{
    const struct shrink_options options = {.red = on_red,
                                           .red_at_us = on_red_at,
                                           .ctx = judge,
                                           .tries_max = tries_max,
                                           .progress = on_progress};
    assert_true(judge->red(from));
    uint32_t tries = shrink_scenario(from, &options, ret);
    assert_int_equal(tries, judge->calls);
    assert_int_equal(tries, judge->progress_calls);
    assert_false(judge->wrong);
    assert_true(judge->red(ret));
    assert_int_equal(scenario_check(ret, NULL), OK);
    return tries;
}

static void add(struct scenario *s, uint64_t at_us, uint32_t kind, uint32_t a, uint32_t b)
{
    const struct sim_step step = {.at_us = at_us, .kind = (uint8_t) kind, .a = a, .b = b};
    scenario_add(s, &step);
}

/* Steps of all sorts in which the two wanted ones are lost. */
static void messy(struct scenario *s)
{
    const struct swarm_options options = {5, SIM_SAFETY, false};
    for (uint64_t seed = 1;; seed++) {
        swarm_scenario(engine_by_name("raft"), seed, &options, s);
        if (s->steps_count > 200 && s->clients > 5) {
            break;
        }
        scenario_release(s);
    }
    add(s, s->length_us / 2 + 17, STEP_POWER_LOSS, 2, 0);
    add(s, s->length_us / 2 + 1234567, STEP_CUT, 1, 3);
}

/* Crash 2 and later cut 1->3, with two clients at least. */
static bool crash_then_cut(const struct scenario *s)
{
    bool crashed = false;
    for (uint32_t i = 0; i < s->steps_count; i++) {
        const struct sim_step *step = &s->steps[i];
        crashed = crashed || (step->kind == STEP_POWER_LOSS && step->a == 2);
        if (crashed && step->kind == STEP_CUT && step->a == 1 && step->b == 3) {
            return s->clients >= 2;
        }
    }
    return false;
}

static void test_shrink_finds_the_two_steps_that_matter(void **state)
{
    (void) state;
    struct judge judge = {.red = crash_then_cut};
    struct scenario from;
    struct scenario small;
    struct scenario usual;
    messy(&from);
    uint32_t tries = shrink(&judge, &from, TRIES_MAX, &small);
    assert_int_equal(small.steps_count, 2);
    assert_int_equal(small.steps[0].kind, STEP_POWER_LOSS);
    assert_int_equal(small.steps[1].kind, STEP_CUT);
    assert_int_equal(small.nodes, 3);
    assert_int_equal(small.clients, 2);
    assert_int_equal(small.keys, 1);
    assert_int_equal(small.steps[1].at_us % 1000, 0);
    assert_true(small.length_us < from.length_us);
    scenario_init(&usual, small.engine, small.seed);
    assert_memory_equal(small.options, usual.options, sizeof small.options);
    assert_int_equal(small.loss_permyriad, 0);
    assert_int_equal(small.duplicate_permyriad, 0);
    uint32_t weights = 0;
    for (uint32_t i = 0; i < SIM_OPS; i++) {
        weights += small.mix[i];
    }
    assert_int_equal(weights, 1);
    assert_true(tries < 250);
    scenario_release(&small);
    scenario_release(&from);
}

/* Far apart and of one kind with all others: in n log n and not in n^2 tries. */
static bool three_long_pauses(const struct scenario *s)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->steps_count; i++) {
        count += s->steps[i].kind == STEP_PAUSE && s->steps[i].for_us >= 7000000 ? 1 : 0;
    }
    return count >= 3;
}

static void test_shrink_of_many_steps_takes_few_tries(void **state)
{
    (void) state;
    struct judge judge = {.red = three_long_pauses};
    struct scenario from;
    struct scenario small;
    scenario_init(&from, NULL, 1);
    from.nodes = 7;
    for (uint32_t i = 0; i < 2000; i++) {
        const struct sim_step step = {.at_us = i * 10000,
                                      .kind = STEP_PAUSE,
                                      .a = i % 700 == 350 ? 7 : i % 3 + 1,
                                      .for_us = i % 700 == 350 ? 7654321 : 1000};
        scenario_add(&from, &step);
    }
    uint32_t tries = shrink(&judge, &from, TRIES_MAX, &small);
    assert_int_equal(small.steps_count, 3);
    assert_int_equal(small.steps[0].for_us, 7000000);
    assert_int_equal(small.nodes, 1); /* node 7 became node 1 */
    assert_true(tries < 250);
    scenario_release(&small);
    scenario_release(&from);
}

/* A disk can only be damaged while its node is down: what is not possible is not tried. */
static bool wiped(const struct scenario *s)
{
    for (uint32_t i = 0; i < s->steps_count; i++) {
        if (s->steps[i].kind == STEP_DISK_WIPE) {
            return true;
        }
    }
    return false;
}

static void test_shrink_keeps_what_a_step_needs(void **state)
{
    (void) state;
    struct judge judge = {.red = wiped};
    struct scenario from;
    struct scenario small;
    scenario_init(&from, NULL, 1);
    from.nodes = 7;
    for (uint32_t i = 1; i <= 7; i++) {
        add(&from, i * 1000, STEP_POWER_LOSS, i, 0);
        add(&from, i * 1001, STEP_DISK_WIPE, i, 0);
        add(&from, i * 1002, STEP_RESTART, i, 0);
    }
    (void) shrink(&judge, &from, TRIES_MAX, &small); /* the tries do not matter */
    assert_int_equal(small.steps_count, 2);
    assert_int_equal(small.steps[0].kind, STEP_POWER_LOSS);
    assert_int_equal(small.steps[1].kind, STEP_DISK_WIPE);
    assert_int_equal(small.nodes, 1);
    scenario_release(&small);
    scenario_release(&from);
}

/* Nodes are taken out of the middle: the others move up, in links, groups and core. */
static bool parted(const struct scenario *s)
{
    for (uint32_t i = 0; i < s->steps_count; i++) {
        const struct sim_step *step = &s->steps[i];
        uint32_t groups = 0;
        for (uint32_t k = 1; k <= s->nodes && step->kind == STEP_PARTITION; k++) {
            groups = groups > step->group[k] ? groups : step->group[k];
        }
        if (groups >= 2) {
            return s->mode == SIM_LIVENESS;
        }
    }
    return false;
}

static void test_shrink_renumbers_nodes(void **state)
{
    (void) state;
    struct judge judge = {.red = parted};
    struct scenario from;
    struct scenario small;
    struct scenario again;
    struct buf text;
    struct buf error;
    buf_init(&text, TEXT_MAX);
    buf_init(&error, 1024);
    static const char *const lines = "scenario 2\n"
                                     "nodes 7\n"
                                     "mode liveness core 2 4 5 7\n"
                                     "at 1s partition 1 2 | 3 5 | 4 6\n"
                                     "at 2s cut 6->7\n";
    assert_int_equal(scenario_parse(bytes_str(lines), &from, &error), OK);
    (void) shrink(&judge, &from, TRIES_MAX, &small); /* the tries do not matter */
    assert_true(small.nodes <= 3); /* two of the core, and one more may be needed for a group */
    assert_int_equal(small.core[1] + small.core[2] + small.core[3], 2);
    assert_int_equal(small.steps_count, 1);
    /* Group numbers are as they would be read. */
    assert_int_equal(scenario_print(&small, &text), OK);
    assert_int_equal(scenario_parse(buf_bytes(&text), &again, &error), OK);
    assert_memory_equal(again.steps[0].group, small.steps[0].group, sizeof small.steps[0].group);
    scenario_release(&again);
    scenario_release(&small);
    scenario_release(&from);
    buf_release(&text);
    buf_release(&error);
}

/* The first try cuts off what comes behind the violation. */
static bool early(const struct scenario *s)
{
    return s->length_us > 3456789;
}

static void test_shrink_cuts_right_behind_the_violation(void **state)
{
    (void) state;
    struct judge judge = {.red = early, .at_us = 3456789};
    struct scenario from;
    struct scenario small;
    scenario_init(&from, NULL, 1);
    from.length_us = 3600000000;
    for (uint32_t i = 1; i <= 1000; i++) {
        add(&from, i * 1000000, STEP_HEAL, 0, 0);
    }
    uint32_t tries = shrink(&judge, &from, 1, &small);
    assert_int_equal(tries, 1);
    assert_int_equal(small.length_us, 3457000);
    assert_int_equal(small.steps_count, 3);
    scenario_release(&small);
    scenario_release(&from);
}

/* What stays broken at the end of a liveness run is at the end of a shorter one as well. */
static bool broken_at_the_end(const struct scenario *s)
{
    const struct sim_step *last = s->steps_count == 0 ? NULL : &s->steps[s->steps_count - 1];
    return last != NULL && last->kind == STEP_CUT && last->at_us == s->length_us;
}

static void test_shrink_keeps_the_last_steps_last(void **state)
{
    (void) state;
    struct judge judge = {.red = broken_at_the_end};
    struct scenario from;
    struct scenario small;
    scenario_init(&from, NULL, 1);
    add(&from, 5000000, STEP_HEAL, 0, 0);
    add(&from, from.length_us, STEP_CUT, 1, 2);
    (void) shrink(&judge, &from, TRIES_MAX, &small); /* the tries do not matter */
    assert_int_equal(small.steps_count, 1);
    assert_true(small.length_us < 100000);
    scenario_release(&small);
    scenario_release(&from);
}

static bool always(const struct scenario *s)
{
    (void) s;
    return true;
}

static void test_shrink_of_what_is_always_red_is_next_to_nothing(void **state)
{
    (void) state;
    struct judge judge = {.red = always};
    struct scenario from;
    struct scenario small;
    struct buf text;
    buf_init(&text, TEXT_MAX);
    messy(&from);
    uint32_t tries = shrink(&judge, &from, TRIES_MAX, &small);
    assert_int_equal(small.steps_count, 0);
    assert_int_equal(small.nodes, 1);
    assert_int_equal(small.clients, 1);
    assert_true(tries < 60);
    assert_int_equal(scenario_print(&small, &text), OK);
    assert_true(text.size < 400);
    scenario_release(&small);
    scenario_release(&from);
    buf_release(&text);
}

static bool has_condition_of_3(const struct scenario *s)
{
    for (uint32_t i = 0; i < s->steps_count; i++) {
        const struct sim_when *when = &s->steps[i].when;
        if (when->kind == WHEN_LEADER_IS && when->node >= 1 && s->steps[i].kind == STEP_CRASH) {
            return true;
        }
    }
    return false;
}

/* Steps with conditions go like others, what is left of one is plain, and what the scenario is
 * about and expects stays. */
static void test_shrink_leaves_out_conditions_and_keeps_what_is_expected(void **state)
{
    static const char text[] = "# What it is about.\n"
                               "scenario 2\n"
                               "nodes 5\n"
                               "clients 8 keys 5 rate 200 value 256 reads local\n"
                               "when leader changes times 3 crash leader for 1s\n"
                               "when leader is 4 from 1234567us after 7654321us times 9 crash 2\n"
                               "when stops 3 heal\n"
                               "at 2s link 1->2 rate 1MiB\n"
                               "expect red K1\n";
    (void) state;
    struct judge judge = {.red = has_condition_of_3};
    struct scenario from;
    struct scenario small;
    assert_int_equal(scenario_parse(bytes_str(text), &from, NULL), OK);
    from.engine = engine_by_name("raft");
    (void) shrink(&judge, &from, TRIES_MAX, &small);
    assert_false(judge.wrong);
    assert_int_equal(small.steps_count, 1);
    assert_int_equal(small.steps[0].when.kind, WHEN_LEADER_IS);
    assert_int_equal(small.steps[0].when.times, 1);
    assert_int_equal(small.steps[0].when.after_us, 0);
    assert_int_equal(small.nodes, 2); /* the condition's node and the step's */
    assert_true(small.steps[0].when.node <= 2);
    assert_int_equal(small.rate, 0);
    assert_int_equal(small.value.max, 0);
    assert_string_equal(small.about, "What it is about.");
    assert_true(small.expect_red);
    assert_string_equal(small.expect_property, "K1");
    scenario_release(&from);
    scenario_release(&small);
}

static void test_shrink_stops_at_the_most_tries(void **state)
{
    (void) state;
    struct judge judge = {.red = crash_then_cut};
    struct scenario from;
    struct scenario small;
    messy(&from);
    assert_int_equal(shrink(&judge, &from, 7, &small), 7);
    assert_true(small.steps_count < from.steps_count);
    scenario_release(&small);
    judge = (struct judge){.red = crash_then_cut};
    assert_int_equal(shrink(&judge, &from, 0, &small), 0);
    assert_int_equal(small.steps_count, from.steps_count);
    scenario_release(&small);
    scenario_release(&from);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shrink_finds_the_two_steps_that_matter),
        cmocka_unit_test(test_shrink_of_many_steps_takes_few_tries),
        cmocka_unit_test(test_shrink_keeps_what_a_step_needs),
        cmocka_unit_test(test_shrink_renumbers_nodes),
        cmocka_unit_test(test_shrink_cuts_right_behind_the_violation),
        cmocka_unit_test(test_shrink_keeps_the_last_steps_last),
        cmocka_unit_test(test_shrink_of_what_is_always_red_is_next_to_nothing),
        cmocka_unit_test(test_shrink_leaves_out_conditions_and_keeps_what_is_expected),
        cmocka_unit_test(test_shrink_stops_at_the_most_tries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
