/*
 * test_outage.c - outages: the graphs are what they say, runs repeat, and what is known of each
 * elector from the papers shows in short ones (R11).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests/compare/outage_set.h"

enum { T = 100000, LASTS = 20 * T };

static struct outage outage(const char *engine, uint8_t graph, uint8_t elector)
{
    return (struct outage){.engine = engine_by_name(engine),
                           .graph = graph,
                           .elector = elector,
                           .election_us = T,
                           .lasts_us = LASTS,
                           .seed = 1};
}

static struct outage_result run(const char *engine, uint8_t graph, uint8_t elector)
{
    struct outage_result r;
    struct outage o = outage(engine, graph, elector);
    outage_run(&o, &r);
    assert_true(r.ran);
    assert_true(r.placed);
    if (r.red) {
        fail_msg("%s", r.text);
    }
    return r;
}

static void test_outage_every_scenario_is_possible(void **state)
{
    (void) state;
    for (uint32_t e = 0; engine_at(e) != NULL; e++) {
        for (uint8_t g = 0; g < OUTAGE_GRAPHS; g++) {
            for (uint8_t v = 0; v < OUTAGE_ELECTORS; v++) {
                for (uint64_t t = 50000; t <= 5000000; t *= 10) {
                    struct outage o = outage(engine_name(engine_at(e)), g, v);
                    struct scenario s;
                    struct buf error;
                    o.election_us = t;
                    o.lasts_us = 60000000;
                    outage_scenario(&o, &s);
                    buf_init(&error, 256);
                    if (scenario_check(&s, &error) != OK) {
                        fail_msg("%s: %.*s", outage_graph_word(g), (int) error.size,
                                 (const char *) error.data);
                    }
                    buf_release(&error);
                    scenario_release(&s);
                }
            }
        }
    }
}

/* Which links are cut right after the links break, from the steps alone. */
static uint32_t cut_links(const struct scenario *s, uint64_t at_us, bool cut[8][8])
{
    uint32_t count = 0;
    memset(cut, 0, sizeof(bool[8][8]));
    for (uint32_t i = 0; i < s->steps_count && s->steps[i].at_us <= at_us; i++) {
        const struct sim_step *step = &s->steps[i];
        if (step->kind == STEP_CUT) {
            cut[step->a][step->b] = true;
            cut[step->b][step->a] = cut[step->b][step->a] || step->both;
        }
    }
    for (uint32_t a = 1; a <= s->nodes; a++) {
        for (uint32_t b = 1; b <= s->nodes; b++) {
            count += cut[a][b] ? 1 : 0;
        }
    }
    return count;
}

static void test_outage_graphs_cut_what_their_papers_say(void **state)
{
    static const uint32_t links[OUTAGE_GRAPHS] = {
        [OUTAGE_QUORUM_LOSS] = 12, [OUTAGE_CONSTRAINED] = 14, [OUTAGE_CHAINED] = 2,
        [OUTAGE_TWO_LEAVES] = 10,  [OUTAGE_LEADER_LEAF] = 4,  [OUTAGE_MUTE] = 4,
        [OUTAGE_DEAF] = 4,         [OUTAGE_HALF_MUTE] = 1,    [OUTAGE_HALF_DEAF] = 1,
        [OUTAGE_FLAPPING] = 2,
    };
    (void) state;
    for (uint8_t g = 0; g < OUTAGE_GRAPHS; g++) {
        struct outage o = outage("raft", g, ELECTOR_FULL);
        struct scenario s;
        bool cut[8][8];
        outage_scenario(&o, &s);
        assert_int_equal(cut_links(&s, outage_cut_us(&o), cut), links[g]);
        /* The hub and the leader of the constrained election do not hear each other either. */
        assert_int_equal(cut[1][3] && cut[3][1], g == OUTAGE_CONSTRAINED || g == OUTAGE_CHAINED);
        assert_int_equal(s.steps[s.steps_count - 1].kind, STEP_HEAL);
        scenario_release(&s);
    }
}

static void test_outage_run_is_a_function_of_its_outage(void **state)
{
    (void) state;
    struct outage_result a = run("raft", OUTAGE_QUORUM_LOSS, ELECTOR_CLASSIC);
    struct outage_result b = run("raft", OUTAGE_QUORUM_LOSS, ELECTOR_CLASSIC);
    assert_memory_equal(&a, &b, sizeof a);
    assert_true(a.writes > 0);
}

/* The mirror image of Omni-Paxos, table 1. */
static void test_outage_classic_electors_die_where_published(void **state)
{
    (void) state;
    struct outage_result r = run("multipaxos", OUTAGE_QUORUM_LOSS, ELECTOR_CLASSIC);
    assert_true(r.down_us > LASTS * 9 / 10);
    assert_int_equal(r.first_us, UINT64_MAX);
    assert_int_equal(r.leaders, 0);
    r = run("multipaxos", OUTAGE_CONSTRAINED, ELECTOR_CLASSIC);
    assert_true(r.down_us < 4 * T);
    r = run("raft", OUTAGE_CONSTRAINED, ELECTOR_CLASSIC);
    assert_true(r.down_us > LASTS * 9 / 10);
    r = run("raft", OUTAGE_CONSTRAINED, ELECTOR_BOTH);
    assert_true(r.down_us > LASTS * 9 / 10);
    r = run("raft", OUTAGE_QUORUM_LOSS, ELECTOR_BOTH);
    assert_true(r.down_us < 4 * T);
}

/* R11: the gate, for every graph that has a majority to go on with. */
static void test_outage_quorum_connected_is_down_at_most_four_timeouts(void **state)
{
    (void) state;
    for (uint32_t e = 0; engine_at(e) != NULL; e++) {
        for (uint8_t g = 0; g < OUTAGE_GRAPHS; g++) {
            struct outage_result r = run(engine_name(engine_at(e)), g, ELECTOR_FULL);
            if (r.down_us > 4 * T) {
                fail_msg("%s, %s: down for %u us", engine_name(engine_at(e)), outage_graph_word(g),
                         (unsigned) r.down_us);
            }
        }
    }
}

static void test_outage_measures_agree_with_each_other(void **state)
{
    (void) state;
    struct outage o = outage("raft", OUTAGE_LEADER_LEAF, ELECTOR_FULL);
    struct outage_result r = run("raft", OUTAGE_LEADER_LEAF, ELECTOR_FULL);
    uint64_t inside = 0;
    uint64_t first = outage_lead_us(&o) / outage_bucket_us(&o);
    uint64_t last = (outage_lead_us(&o) + LASTS) / outage_bucket_us(&o);
    for (uint64_t i = first + 1; i < last; i++) {
        inside += r.written[i];
    }
    assert_true(inside <= r.writes);
    assert_true(r.writes <= inside + r.written[first] + r.written[last]);
    assert_true(r.first_us >= T / 2 && r.first_us <= r.down_us + T);
    assert_true(r.silent_us >= r.down_us); /* it is longer than a time-out */
    assert_true(r.leaders >= 1 && r.campaigns >= r.leaders);
    assert_true(r.last_us > LASTS / 2);
}

static void test_outage_command_is_the_same_scenario(void **state)
{
    (void) state;
    struct outage o = outage("raft", OUTAGE_CHAINED, ELECTOR_BOTH);
    struct scenario s, again;
    struct buf command, text, twice, error;
    buf_init(&command, 1 << 16);
    buf_init(&text, 1 << 16);
    buf_init(&twice, 1 << 16);
    buf_init(&error, 1 << 10);
    outage_scenario(&o, &s);
    assert_int_equal(buf_append(&command, "cd $(mktemp -d) && ", 19), OK);
    outage_command("cat run.fault; rm -r \"$PWD\" #", &s, &command);
    assert_int_equal(buf_append(&command, "", 1), OK);
    FILE *pipe = popen((const char *) command.data, "r");
    assert_non_null(pipe);
    char part[256];
    size_t size;
    while ((size = fread(part, 1, sizeof part, pipe)) > 0) {
        assert_int_equal(buf_append(&text, part, size), OK);
    }
    assert_int_equal(pclose(pipe), 0);
    assert_int_equal(scenario_parse(buf_bytes(&text), &again, &error), OK);
    assert_int_equal(scenario_print(&again, &twice), OK);
    assert_true(bytes_equal(buf_bytes(&text), buf_bytes(&twice)));
    assert_int_equal(again.steps_count, s.steps_count);
    assert_int_equal(again.options[OPTION_QUORUM_CONNECTED], 0);
    scenario_release(&again);
    scenario_release(&s);
    buf_release(&command);
    buf_release(&text);
    buf_release(&twice);
    buf_release(&error);
}

/* Three runs like each other and one that is not. */
static void test_outage_set_takes_samples_of_like_runs(void **state)
{
    (void) state;
    struct outage_set set;
    struct outage chain = outage("raft", OUTAGE_CHAINED, ELECTOR_FULL);
    struct outage other = outage("multipaxos", OUTAGE_CHAINED, ELECTOR_FULL);
    const struct figure_options options = {.workers = 2, .program = "synod-sim"};
    double samples[4];
    double rates[OUTAGE_BUCKETS];
    outage_set_init(&set);
    outage_set_add(&set, &chain, 3);
    outage_set_add(&set, &other, 1);
    assert_int_equal(outage_set_run(&set, &options), OK);
    assert_int_equal(outage_set_samples(&set, &chain, OUTAGE_WRITES, samples), 3);
    assert_true(samples[0] == set.results[0].writes && samples[2] == set.results[2].writes);
    assert_int_equal(outage_set_samples(&set, &other, OUTAGE_DEAD, samples), 1);
    assert_true(samples[0] == 0);
    const struct outage *worst = outage_set_worst(&set, &chain);
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(set.results[worst->seed - 1].down_us >= set.results[i].down_us);
    }
    outage_set_rates(&set, &other, rates);
    assert_true(rates[OUTAGE_BUCKETS / 2] > 0);
    outage_set_release(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outage_every_scenario_is_possible),
        cmocka_unit_test(test_outage_graphs_cut_what_their_papers_say),
        cmocka_unit_test(test_outage_run_is_a_function_of_its_outage),
        cmocka_unit_test(test_outage_classic_electors_die_where_published),
        cmocka_unit_test(test_outage_quorum_connected_is_down_at_most_four_timeouts),
        cmocka_unit_test(test_outage_measures_agree_with_each_other),
        cmocka_unit_test(test_outage_command_is_the_same_scenario),
        cmocka_unit_test(test_outage_set_takes_samples_of_like_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
