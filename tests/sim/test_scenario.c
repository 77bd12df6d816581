/*
 * test_scenario.c - scenarios as text: exact both ways, errors that name line and word, nothing
 * impossible is let in. A red run is kept as such a text (S5), so it must say the same for ever.
 */
#include "tests/sim/scenario.h"

#include <dirent.h>
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
#include "kv/replica.h"
#include "tests/sim/scenario_internal.h"
#include "tests/support/guard.h"
#include "tests/support/tempdir.h"

enum { TEXT_MAX = 1 << 20 };

static bool steps_equal(const struct sim_step *a, const struct sim_step *b)
{
    return a->at_us == b->at_us && a->kind == b->kind && a->what == b->what && a->both == b->both &&
           a->a == b->a && a->b == b->b && a->for_us == b->for_us && a->amount == b->amount &&
           a->delay.min == b->delay.min && a->delay.max == b->delay.max &&
           a->loss_permyriad == b->loss_permyriad &&
           a->duplicate_permyriad == b->duplicate_permyriad && a->rate == b->rate &&
           a->when.kind == b->when.kind && a->when.node == b->when.node &&
           a->when.count == b->when.count && a->when.after_us == b->when.after_us &&
           a->when.times == b->when.times && memcmp(a->group, b->group, sizeof a->group) == 0;
}

static bool spans_equal(struct sim_span a, struct sim_span b)
{
    return a.min == b.min && a.max == b.max;
}

static bool scenarios_equal(const struct scenario *a, const struct scenario *b)
{
    bool equal =
        a->engine == b->engine && a->nodes == b->nodes && a->seed == b->seed &&
        a->length_us == b->length_us && a->mode == b->mode && a->clients == b->clients &&
        a->keys == b->keys && spans_equal(a->think, b->think) && a->timeout_us == b->timeout_us &&
        a->retry_percent == b->retry_percent && spans_equal(a->delay, b->delay) &&
        a->loss_permyriad == b->loss_permyriad &&
        a->duplicate_permyriad == b->duplicate_permyriad && spans_equal(a->log_disk, b->log_disk) &&
        spans_equal(a->state_disk, b->state_disk) && spans_equal(a->reads, b->reads) &&
        a->rate == b->rate && spans_equal(a->value, b->value) && a->reads_local == b->reads_local &&
        strcmp(a->about, b->about) == 0 && a->expect_red == b->expect_red &&
        strcmp(a->expect_property, b->expect_property) == 0 &&
        a->gap_elections == b->gap_elections && a->steps_count == b->steps_count &&
        memcmp(a->core, b->core, sizeof a->core) == 0 &&
        memcmp(a->options, b->options, sizeof a->options) == 0 &&
        memcmp(a->mix, b->mix, sizeof a->mix) == 0;
    for (uint32_t i = 0; equal && i < a->steps_count; i++) {
        equal = steps_equal(&a->steps[i], &b->steps[i]);
    }
    return equal;
}

/* A number of any magnitude, often a round one. */
static uint64_t any_number(struct rng *rng, uint64_t max)
{
    uint64_t number = rng_u64(rng) >> rng_below(rng, 64);
    uint64_t unit = 1;
    for (uint64_t i = rng_below(rng, 7); i > 0; i--) {
        unit *= 10;
    }
    number = rng_chance(rng, 1, 2) ? number : number / unit * unit;
    return number <= max ? number : number % (max + 1);
}

static struct sim_span any_span(struct rng *rng)
{
    uint64_t a = any_number(rng, UINT64_MAX / 4);
    uint64_t b = rng_chance(rng, 1, 4) ? a : any_number(rng, UINT64_MAX / 4);
    return (struct sim_span){a < b ? a : b, a < b ? b : a};
}

static uint32_t any_node(struct rng *rng)
{
    uint32_t node = (uint32_t) rng_between(rng, 1, SIM_NODES_MAX + 2);
    return node == SIM_NODES_MAX + 1   ? SIM_NODE_ALL
           : node == SIM_NODES_MAX + 2 ? SIM_NODE_LEADER
                                       : node;
}

/* Groups as they are numbered when read: in the order of their first mention. */
static void any_groups(struct rng *rng, struct sim_step *step)
{
    uint8_t group = 0;
    while (group == 0) {
        for (uint32_t i = 1; i <= SIM_NODES_MAX; i++) {
            if (group == 0 || rng_chance(rng, 1, 3)) {
                group++;
                step->group[i] = group;
            } else {
                step->group[i] = (uint8_t) rng_between(rng, 0, group);
            }
        }
    }
}

static struct sim_when any_when(struct rng *rng)
{
    struct sim_when when = {.kind = (uint8_t) rng_below(rng, WHEN_KINDS)};
    if (when.kind == WHEN_TIME) {
        return when;
    }
    if (scenario_when_operand(when.kind) == OPERAND_NODE) {
        when.node = (uint32_t) rng_between(rng, 1, SIM_NODES_MAX);
    } else if (scenario_when_operand(when.kind) == OPERAND_COUNT) {
        when.count = any_number(rng, UINT64_MAX);
    }
    when.after_us = rng_chance(rng, 1, 2) ? 0 : any_number(rng, UINT64_MAX);
    when.times = rng_chance(rng, 1, 2) ? 1 : (uint32_t) any_number(rng, UINT32_MAX);
    return when;
}

static struct sim_step any_step(struct rng *rng, uint32_t kind)
{
    struct sim_step step = {.at_us = any_number(rng, UINT64_MAX),
                            .when = any_when(rng),
                            .kind = (uint8_t) kind};
    if (scenario_step_ends(step.kind) && rng_chance(rng, 1, 2)) {
        step.for_us = any_number(rng, UINT64_MAX);
    }
    switch (scenario_step_form(kind)) {
    case FORM_NONE:
        return step;
    case FORM_GROUPS:
        any_groups(rng, &step);
        return step;
    case FORM_QUALITY:
        step.delay = any_span(rng);
        step.loss_permyriad = (uint32_t) rng_below(rng, 10001);
        step.duplicate_permyriad = (uint32_t) rng_below(rng, 10001);
        step.rate = rng_chance(rng, 1, 2) ? 0 : any_number(rng, UINT64_MAX);
        step.both = rng_chance(rng, 1, 2);
        step.a = (uint32_t) rng_between(rng, 1, SIM_NODES_MAX);
        step.b = (uint32_t) rng_between(rng, 1, SIM_NODES_MAX);
        return step;
    case FORM_LINK_FOR:
        step.for_us = any_number(rng, UINT64_MAX);
        step.both = rng_chance(rng, 1, 2);
        step.a = (uint32_t) rng_between(rng, 1, SIM_NODES_MAX);
        step.b = (uint32_t) rng_between(rng, 1, SIM_NODES_MAX);
        return step;
    case FORM_LINK:
        step.both = rng_chance(rng, 1, 2);
        step.a = (uint32_t) rng_between(rng, 1, SIM_NODES_MAX);
        step.b = (uint32_t) rng_between(rng, 1, SIM_NODES_MAX);
        return step;
    case FORM_NODE_TURN:
        step.amount = (int64_t) any_number(rng, INT64_MAX);
        step.for_us = any_number(rng, UINT64_MAX);
        break;
    case FORM_NODE_FOR:
    case FORM_DISK_FOR:
        step.for_us = any_number(rng, UINT64_MAX);
        break;
    case FORM_DISK_FACTOR:
    case FORM_DISK_TIME:
    case FORM_CLOCK_TIME:
        step.amount = (int64_t) any_number(rng, INT64_MAX);
        break;
    case FORM_CLOCK_PPM:
        step.amount = (int64_t) any_number(rng, INT64_MAX) * (rng_chance(rng, 1, 2) ? 1 : -1);
        break;
    case FORM_DISK_CALL:
    case FORM_DISK_FILE:
        step.what = (uint8_t) rng_between(rng, 1, 2);
        break;
    case FORM_NODE:
    case FORM_DISK:
        break;
    }
    step.a = any_node(rng);
    return step;
}

/* Words of printable characters with one blank between them. */
static void any_about(struct rng *rng, char about[SCENARIO_ABOUT_MAX])
{
    size_t size = (size_t) rng_below(rng, SCENARIO_ABOUT_MAX);
    for (size_t i = 0; i < size; i++) {
        bool blank = i > 0 && i + 1 < size && about[i - 1] != ' ' && rng_chance(rng, 1, 7);
        about[i] = blank ? ' ' : (char) rng_between(rng, '!', '~');
    }
    about[size] = '\0';
}

static void any_expectation(struct rng *rng, struct scenario *s)
{
    s->expect_red = rng_chance(rng, 1, 3);
    if (!s->expect_red) {
        s->gap_elections = (uint32_t) any_number(rng, UINT32_MAX);
    } else if (rng_chance(rng, 1, 2)) {
        (void) snprintf(s->expect_property, sizeof s->expect_property, "%c%u",
                        (char) rng_between(rng, 'A', 'Z'), (unsigned) rng_below(rng, 1000000));
    }
}

/* Every field has any value that its text can hold; it need not make sense. */
static void any_scenario(struct rng *rng, struct scenario *s)
{
    scenario_init(s, engine_at((uint32_t) rng_below(rng, 4)), rng_u64(rng));
    s->nodes = (uint32_t) rng_below(rng, SIM_NODES_MAX + 1);
    s->length_us = any_number(rng, UINT64_MAX);
    s->mode = rng_chance(rng, 1, 2) ? SIM_SAFETY : SIM_LIVENESS;
    for (uint32_t i = 1; s->mode == SIM_LIVENESS && i <= SIM_NODES_MAX; i++) {
        s->core[i] = i == 3 || rng_chance(rng, 1, 2);
    }
    for (uint32_t i = 0; i < SCENARIO_OPTIONS; i++) {
        bool flag = scenario_option_unit(i) == UNIT_FLAG;
        s->options[i] = rng_chance(rng, 1, 3) ? s->options[i]
                        : flag                ? rng_below(rng, 2)
                                              : any_number(rng, UINT64_MAX);
    }
    s->clients = (uint32_t) rng_below(rng, SIM_CLIENTS_MAX + 1);
    s->keys = (uint32_t) rng_below(rng, SIM_KEYS_MAX + 1);
    s->think = any_span(rng);
    s->timeout_us = any_number(rng, UINT64_MAX);
    s->retry_percent = (uint32_t) rng_below(rng, 101);
    for (uint32_t i = 0; i < SIM_OPS; i++) {
        s->mix[i] = (uint32_t) any_number(rng, UINT32_MAX);
    }
    s->delay = any_span(rng);
    s->loss_permyriad = (uint32_t) rng_below(rng, 10001);
    s->duplicate_permyriad = (uint32_t) rng_below(rng, 10001);
    s->log_disk = any_span(rng);
    s->state_disk = any_span(rng);
    s->reads = any_span(rng);
    s->rate = (uint32_t) any_number(rng, UINT32_MAX);
    s->value = rng_chance(rng, 1, 3) ? (struct sim_span){0, 0} : any_span(rng);
    s->reads_local = rng_chance(rng, 1, 3);
    any_about(rng, s->about);
    any_expectation(rng, s);
    for (uint64_t i = rng_below(rng, 40); i > 0; i--) {
        struct sim_step step = any_step(rng, (uint32_t) rng_below(rng, STEP_KINDS));
        scenario_add(s, &step);
    }
}

static void assert_parses(struct bytes text, struct scenario *ret)
{
    struct buf error;
    buf_init(&error, 1024);
    if (scenario_parse(text, ret, &error) != OK) {
        fail_msg("%.*s, of:\n%.*s", (int) error.size, (char *) error.data, (int) text.size,
                 (const char *) text.data);
    }
    buf_release(&error);
}

/* S5: print -> parse -> print is the identity, whatever is in the fields. */
static void test_scenario_text_gives_back_every_field(void **state)
{
    (void) state;
    struct rng rng;
    rng_init(&rng, 11);
    for (uint32_t round = 0; round < 3000; round++) {
        struct scenario before;
        struct scenario after;
        struct buf text;
        struct buf again;
        buf_init(&text, TEXT_MAX);
        buf_init(&again, TEXT_MAX);
        any_scenario(&rng, &before);
        assert_int_equal(scenario_print(&before, &text), OK);
        assert_parses(buf_bytes(&text), &after);
        assert_int_equal(scenario_print(&after, &again), OK);
        if (!bytes_equal(buf_bytes(&text), buf_bytes(&again))) {
            fail_msg("first:\n%.*s\nthen:\n%.*s", (int) text.size, (char *) text.data,
                     (int) again.size, (char *) again.data);
        }
        assert_true(scenarios_equal(&before, &after));
        scenario_release(&before);
        scenario_release(&after);
        buf_release(&text);
        buf_release(&again);
    }
}

static void test_scenario_durations_are_short_and_exact(void **state)
{
    (void) state;
    static const struct {
        uint64_t us;
        const char *text;
    } cases[] = {
        {0, "0"},
        {1, "1us"},
        {250, "250us"},
        {1000, "1ms"},
        {1500, "1.5ms"},
        {12345, "12345us"},
        {50000, "50ms"},
        {500000, "500ms"},
        {1000000, "1s"},
        {1500000, "1.5s"},
        {1234567, "1234567us"},
        {20000000, "20s"},
        {20001000, "20001ms"},
        {3600000000, "3600s"},
        {UINT64_MAX, "18446744073709551615us"},
    };
    for (uint32_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[SCENARIO_SHORT_MAX];
        scenario_duration_text(cases[i].us, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void test_scenario_defaults_are_those_of_production(void **state)
{
    (void) state;
    struct replica_options r;
    struct scenario s;
    struct buf text;
    buf_init(&text, TEXT_MAX);
    replica_options_init(&r);
    scenario_init(&s, engine_by_name("raft"), 7);
    assert_int_equal(scenario_check(&s, NULL), OK);
    assert_int_equal(s.options[OPTION_ELECTION], r.consensus.election_us);
    assert_int_equal(s.options[OPTION_BATCH_COMMANDS], r.batch_commands_max);
    assert_int_equal(s.options[OPTION_PRE_VOTE], 1);
    assert_int_equal(s.nodes, 3);
    /* What is as always is not said. */
    assert_int_equal(scenario_print(&s, &text), OK);
    assert_int_equal(buf_append(&text, "", 1), OK);
    assert_null(strstr((char *) text.data, "option"));
    s.options[OPTION_ELECTION] = 1000000;
    s.options[OPTION_LOG_MEMORY] = 65536;
    s.options[OPTION_WIRE] = 1;
    buf_clear(&text);
    assert_int_equal(scenario_print(&s, &text), OK);
    assert_int_equal(buf_append(&text, "", 1), OK);
    assert_non_null(strstr((char *) text.data,
                           "option election 1s\noption log-memory 64KiB\noption wire on\nclients"));
    buf_release(&text);
    scenario_release(&s);
}

static const char *const EXAMPLE = "# all there is\n"
                                   "\n"
                                   "scenario 2\n"
                                   "  engine multipaxos   # a comment\r\n"
                                   "nodes 5\n"
                                   "seed 42\n"
                                   "length 20s\n"
                                   "mode liveness core 1 3 5\n"
                                   "option election 1s\n"
                                   "option cache-bytes 0\n"
                                   "option pre-vote off\n"
                                   "clients 8 keys 3 think 0..200ms timeout 5s retry 25%\n"
                                   "mix put 3 local 1\n"
                                   "network delay 100us..3ms loss 0.5% duplicate 0.05%\n"
                                   "disk log 2ms\n"
                                   "at 6s heal\n"
                                   "at 1.5s power-loss leader\n"
                                   "at 1.5s restart all\n"
                                   "at 2s partition 1 2 | 3 4\n"
                                   "at 2s clog 1<->3 for 3s\n"
                                   "at 3s link 2->1 delay 20ms..40ms loss 5%\n"
                                   "at 3s slow 2 turn 5ms for 1s\n"
                                   "at 4s disk leader eio sync\n"
                                   "at 4s disk 2 slow 100\n"
                                   "at 4s clock 2 drift -200ppm\n"
                                   "at 5s clock all jump 5s\n"
                                   "at 5s power-loss 4\n"
                                   "at 5s disk 4 flip state\n"
                                   "at 7s pause 1 1.5 election-timeouts\n"
                                   "at 7s link 1->2 rate 1MiB for 2 elections\n"
                                   "when no leader from 2s times 3 crash 2 3 for 1s\n"
                                   "when leader changes after 50ms disk leader slow 200ms\n"
                                   "expect safe\n"
                                   "expect gap 4";

static void test_scenario_example_is_read_as_written(void **state)
{
    (void) state;
    struct scenario s;
    assert_parses(bytes_str(EXAMPLE), &s);
    assert_int_equal(scenario_check(&s, NULL), OK);
    assert_ptr_equal(s.engine, engine_by_name("multipaxos"));
    assert_int_equal(s.nodes, 5);
    assert_int_equal(s.mode, SIM_LIVENESS);
    assert_true(s.core[1] && !s.core[2] && s.core[3] && !s.core[4] && s.core[5]);
    assert_int_equal(s.options[OPTION_ELECTION], 1000000);
    assert_int_equal(s.options[OPTION_CACHE_BYTES], 0);
    assert_int_equal(s.options[OPTION_PRE_VOTE], 0);
    assert_int_equal(s.retry_percent, 25);
    assert_int_equal(s.mix[SIM_OP_PUT], 3);
    assert_int_equal(s.mix[SIM_OP_GET], 0);
    assert_int_equal(s.loss_permyriad, 50);
    assert_int_equal(s.duplicate_permyriad, 5);
    assert_true(spans_equal(s.log_disk, (struct sim_span){2000, 2000}));
    assert_true(spans_equal(s.state_disk, (struct sim_span){500, 5000}));
    assert_int_equal(s.gap_elections, 4);
    assert_int_equal(s.steps_count, 18);
    assert_string_equal(s.about, "all there is");
    assert_int_equal(s.steps[0].kind, STEP_DISK_DELAY); /* looked for from the start */
    memmove(s.steps, s.steps + 1, 17 * sizeof s.steps[0]);
    assert_int_equal(s.steps[0].kind, STEP_POWER_LOSS);
    assert_int_equal(s.steps[0].a, SIM_NODE_LEADER);
    assert_int_equal(s.steps[1].kind, STEP_RESTART); /* behind the other of that time */
    assert_int_equal(s.steps[2].group[2], 1);
    assert_int_equal(s.steps[2].group[4], 2);
    assert_int_equal(s.steps[2].group[5], 0);
    assert_true(s.steps[3].both);
    assert_int_equal(s.steps[4].when.kind, WHEN_NO_LEADER);
    assert_int_equal(s.steps[4].when.times, 3);
    assert_int_equal(s.steps[4].a, 2);
    assert_int_equal(s.steps[5].a, 3);
    assert_int_equal(s.steps[5].for_us, 1000000);
    assert_int_equal(s.steps[6].loss_permyriad, 500);
    assert_int_equal(s.steps[6].duplicate_permyriad, 5); /* as the network has it */
    assert_int_equal(s.steps[7].kind, STEP_SLOW);
    assert_int_equal(s.steps[7].amount, 5000);
    assert_int_equal(s.steps[8].what, SIM_CALL_SYNC);
    assert_int_equal(s.steps[9].kind, STEP_DISK_SLOW);
    assert_int_equal(s.steps[10].amount, -200);
    assert_int_equal(s.steps[14].kind, STEP_HEAL);
    assert_int_equal(s.steps[15].for_us, 1500000);
    assert_int_equal(s.steps[16].rate, 1 << 20);
    assert_int_equal(s.steps[16].for_us, 2000000);
    assert_true(spans_equal(s.steps[16].delay, (struct sim_span){100, 3000}));
    scenario_release(&s);
}

static void test_scenario_damage_of_a_node_that_is_down_is_possible(void **state)
{
    (void) state;
    struct scenario s;
    assert_parses(bytes_str("scenario 2\n"
                            "mode liveness core 1 3\n"
                            "at 1s disk 2 save\n"
                            "at 2s power-loss all\n"
                            "at 2s disk 2 restore\n"
                            "at 2s restart all\n"
                            "at 10s crash 2 for 1s\n"
                            "at 10500ms disk 2 flip log\n"
                            "when stops 2 from 12s disk 2 flip state\n"
                            "at 20s crash 2\n"
                            "at 20s disk 2 wipe\n"),
                  &s);
    assert_int_equal(scenario_check(&s, NULL), OK);
    scenario_release(&s);
}

static void test_scenario_error_is_cut_to_the_room_there_is(void **state)
{
    (void) state;
    struct scenario s;
    struct buf error;
    struct buf out;
    buf_init(&error, 10);
    buf_init(&out, 30);
    assert_int_equal(scenario_parse(bytes_str("scenario 2\nnodes x"), &s, &error), ERR_INVALID);
    assert_true(bytes_equal(buf_bytes(&error), bytes_str("line 2: `x")));
    scenario_release(&s);
    assert_int_equal(scenario_parse(bytes_str("nodes x"), &s, NULL), ERR_INVALID);
    scenario_release(&s);
    scenario_init(&s, NULL, 1);
    assert_int_equal(scenario_print(&s, &out), ERR_LIMIT);
    scenario_release(&s);
    buf_release(&error);
    buf_release(&out);
}

static void test_scenario_too_many_steps_are_refused(void **state)
{
    (void) state;
    struct buf text;
    struct buf error;
    struct scenario s;
    buf_init(&text, TEXT_MAX);
    buf_init(&error, 256);
    assert_int_equal(buf_printf(&text, "scenario 2\n"), OK);
    for (uint32_t i = 0; i <= SIM_STEPS_MAX; i++) {
        assert_int_equal(buf_printf(&text, "at 1s heal\n"), OK);
    }
    assert_int_equal(scenario_parse(buf_bytes(&text), &s, &error), ERR_INVALID);
    assert_true(bytes_equal(buf_bytes(&error), bytes_str("line 4098: more than 4096 steps")));
    scenario_release(&s);
    buf_release(&text);
    buf_release(&error);
}

/* Bytes changed, dropped, doubled: never a crash, and what is taken is printed and taken again. */
static void test_scenario_parse_survives_any_bytes(void **state)
{
    (void) state;
    static const char alphabet[] = "0123456789.%|<->\n # usmKiB\r\t";
    struct guard guard;
    struct rng rng;
    uint8_t text[4096];
    rng_init(&rng, 5);
    guard_init(&guard, sizeof text);
    uint32_t taken = 0;
    for (uint32_t round = 0; round < 20000; round++) {
        size_t size = strlen(EXAMPLE);
        memcpy(text, EXAMPLE, size);
        for (uint64_t i = rng_between(&rng, 1, 4); i > 0; i--) {
            size_t at = (size_t) rng_below(&rng, size);
            switch (rng_below(&rng, 4)) {
            case 0:
                text[at] = (uint8_t) rng_below(&rng, 256);
                break;
            case 1:
                text[at] = (uint8_t) alphabet[rng_below(&rng, sizeof alphabet - 1)];
                break;
            case 2:
                memmove(text + at, text + at + 1, size - at - 1);
                size--;
                break;
            default:
                memmove(text + at + 1, text + at, size - at);
                size++;
                break;
            }
        }
        if (rng_chance(&rng, 1, 4)) {
            size = (size_t) rng_below(&rng, size) + 1;
        }
        struct scenario s;
        struct scenario again;
        struct buf error;
        struct buf out;
        buf_init(&error, 1024);
        buf_init(&out, TEXT_MAX);
        int err = scenario_parse(guard_place(&guard, bytes_of(text, size)), &s, &error);
        if (err == OK) {
            taken++;
            ERR_IGNORE(scenario_check(&s, &error)); /* it need only survive */
            assert_int_equal(scenario_print(&s, &out), OK);
            assert_parses(buf_bytes(&out), &again);
            assert_true(scenarios_equal(&s, &again));
            scenario_release(&again);
        } else {
            assert_int_equal(err, ERR_INVALID);
            assert_true(error.size > 0);
            assert_null(memchr(error.data, '\n', error.size));
        }
        scenario_release(&s);
        buf_release(&error);
        buf_release(&out);
    }
    assert_true(taken > 1000);
    guard_release(&guard);
}

static void test_scenario_add_keeps_the_order_of_time(void **state)
{
    (void) state;
    struct scenario s;
    struct scenario copy;
    scenario_init(&s, NULL, 1);
    for (uint32_t i = 0; i < 300; i++) {
        const struct sim_step step = {.at_us = i * 7919 % 10, .kind = STEP_POWER_LOSS, .a = i};
        scenario_add(&s, &step);
    }
    for (uint32_t i = 1; i < s.steps_count; i++) {
        assert_true(s.steps[i - 1].at_us <= s.steps[i].at_us);
        assert_true(s.steps[i - 1].at_us < s.steps[i].at_us || s.steps[i - 1].a < s.steps[i].a);
    }
    scenario_copy(&copy, &s);
    assert_true(scenarios_equal(&copy, &s));
    const struct sim_step step = {.kind = STEP_HEAL};
    scenario_add(&copy, &step);
    assert_int_equal(s.steps_count, 300);
    scenario_release(&copy);
    scenario_release(&s);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static void test_scenario_load_names_the_file(void **state)
{
    (void) state;
    char dir[TEMPDIR_PATH_MAX];
    char path[TEMPDIR_PATH_MAX + 16];
    char expected[2 * TEMPDIR_PATH_MAX];
    struct scenario s;
    struct buf error;
    buf_init(&error, 2048);
    tempdir_make(dir);
    (void) snprintf(path, sizeof path, "%s/a.scenario", dir);
    assert_int_equal(scenario_load(path, &s, &error), ERR_NOT_FOUND);
    scenario_release(&s);
    write_file(path, EXAMPLE);
    assert_int_equal(scenario_load(path, &s, NULL), OK);
    assert_int_equal(s.nodes, 5);
    scenario_release(&s);
    write_file(path, "scenario 2\nat 1s power-loss 5\n");
    buf_clear(&error);
    assert_int_equal(scenario_load(path, &s, &error), ERR_INVALID);
    (void) snprintf(expected, sizeof expected,
                    "%s: `at 1s power-loss 5`: node 5 is not there; nodes 1 to 3 are", path);
    assert_true(bytes_equal(buf_bytes(&error), bytes_str(expected)));
    scenario_release(&s);
    tempdir_remove(dir);
    buf_release(&error);
}

/* What is kept can be run, and says by itself what it is about. */
static void test_scenario_kept_files_are_possible(void **state)
{
    (void) state;
    uint32_t count = 0;
    DIR *dir = opendir("tests/fault");
    assert_non_null(dir);
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        char path[TEMPDIR_PATH_MAX];
        struct scenario s;
        struct buf error;
        if (strstr(entry->d_name, ".fault") == NULL) {
            continue;
        }
        buf_init(&error, 2048);
        (void) snprintf(path, sizeof path, "tests/fault/%s", entry->d_name);
        if (scenario_load(path, &s, &error) != OK) {
            fail_msg("%.*s", (int) error.size, (char *) error.data);
        }
        assert_null(s.engine);
        assert_true(strlen(s.about) > 20);
        count++;
        scenario_release(&s);
        buf_release(&error);
    }
    (void) closedir(dir); /* it was read only */
    assert_true(count >= 34);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scenario_text_gives_back_every_field),
        cmocka_unit_test(test_scenario_durations_are_short_and_exact),
        cmocka_unit_test(test_scenario_defaults_are_those_of_production),
        cmocka_unit_test(test_scenario_example_is_read_as_written),
        cmocka_unit_test(test_scenario_damage_of_a_node_that_is_down_is_possible),
        cmocka_unit_test(test_scenario_error_is_cut_to_the_room_there_is),
        cmocka_unit_test(test_scenario_too_many_steps_are_refused),
        cmocka_unit_test(test_scenario_parse_survives_any_bytes),
        cmocka_unit_test(test_scenario_add_keeps_the_order_of_time),
        cmocka_unit_test(test_scenario_load_names_the_file),
        cmocka_unit_test(test_scenario_kept_files_are_possible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
