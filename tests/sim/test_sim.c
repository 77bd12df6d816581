/*
 * test_sim.c - the simulator itself: runs repeat, each fault happens and has the effect it should,
 * and a calm cluster answers everything.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests/sim/sim.h"

static const char *const engines[] = {"raft", "multipaxos", "paxos"};

/* The scenario of this text, for one engine. */
static void make(const char *text, const char *engine, uint64_t seed, struct scenario *s)
{
    struct buf error;
    buf_init(&error, 1024);
    int err = scenario_parse(bytes_str(text), s, &error);
    if (err != OK) {
        print_message("%.*s\n", (int) error.size, (const char *) error.data);
    }
    assert_int_equal(err, OK);
    buf_release(&error);
    s->engine = engine_by_name(engine);
    s->seed = seed;
}

static void run(const char *text, const char *engine, uint64_t seed, struct sim_result *result)
{
    struct scenario s;
    make(text, engine, seed, &s);
    sim_execute(&s, NULL, result);
    scenario_release(&s);
}

static void must_be_green(const char *engine, const struct sim_result *r)
{
    if (r->red) {
        print_message("%s: %s at %llu us: %s\n", engine, r->property, (unsigned long long) r->at_us,
                      r->text);
    }
    assert_false(r->red);
}

static const char calm[] = "scenario 2\nnodes 3\nlength 10s\nnetwork delay 100us..2ms loss 0% "
                           "duplicate 0%\n";

static void test_sim_in_calm_answers_every_call(void **state)
{
    (void) state;
    for (size_t e = 0; e < ARRAY_SIZE(engines); e++) {
        struct sim_result r;
        run(calm, engines[e], 1, &r);
        must_be_green(engines[e], &r);
        assert_true(r.counts[COUNT_WRITES_OK] > 50);
        assert_true(r.counts[COUNT_READS_OK] > 30);
        assert_int_equal(r.counts[COUNT_POWER_LOSSES] + r.counts[COUNT_STOPS], 0);
    }
}

/* S1. */
static void test_sim_same_scenario_gives_same_trace(void **state)
{
    static const char text[] =
        "scenario 2\nnodes 5\nlength 8s\nat 2s power-loss leader\nat 3s restart all\n"
        "at 4s partition 1 2 | 3 4 5\nat 6s heal\n";
    (void) state;
    for (size_t e = 0; e < ARRAY_SIZE(engines); e++) {
        struct sim_result first;
        struct sim_result again;
        struct sim_result other;
        run(text, engines[e], 7, &first);
        run(text, engines[e], 7, &again);
        run(text, engines[e], 8, &other);
        must_be_green(engines[e], &first);
        assert_memory_equal(&first, &again, sizeof first);
        assert_true(first.trace_hash != other.trace_hash);
        print_message("%s: trace hash %016llx\n", engines[e],
                      (unsigned long long) first.trace_hash);
    }
}

static void count_events(void *ctx, const struct trace_event *event)
{
    uint64_t *count = ctx;
    (void) event;
    (*count)++;
}

static void see_message(void *ctx, const struct message *m, uint64_t send_us, uint64_t arrive_us)
{
    uint64_t *count = ctx;
    assert_true(arrive_us == 0 || arrive_us > send_us);
    assert_true(m->to >= 1);
    (*count)++;
}

/* S1: who looks on changes nothing. */
static void test_sim_watched_run_is_the_same_run(void **state)
{
    struct scenario s;
    struct sim_result plain;
    struct sim_result watched;
    uint64_t events = 0;
    uint64_t messages = 0;
    (void) state;
    make(calm, "raft", 3, &s);
    s.options[OPTION_WIRE] = 1;
    struct history *history = history_new();
    const struct sim_hooks hooks = {.trace = {.emit = count_events, .ctx = &events},
                                    .message = see_message,
                                    .message_ctx = &messages,
                                    .history = history};
    sim_execute(&s, NULL, &plain);
    sim_execute(&s, &hooks, &watched);
    assert_int_equal(plain.trace_hash, watched.trace_hash);
    assert_int_equal(messages, watched.counts[COUNT_MESSAGES]);
    assert_true(events > messages);
    assert_true(history_count(history) > 50);
    history_free(history);
    scenario_release(&s);
}

/* S4: what a step does, by the counter that proves it. */
static void test_sim_each_fault_happens(void **state)
{
    static const struct {
        const char *steps;
        enum sim_count count;
    } faults[] = {
        {"at 3s power-loss 2\nat 4s restart 2\n", COUNT_POWER_LOSSES},
        {"at 3s crash all\nat 3500ms restart all\n", COUNT_CRASHES},
        {"at 3s power-loss all\nat 4s restart all\n", COUNT_RESTARTS},
        {"at 3s pause leader for 3s\n", COUNT_PAUSES},
        {"at 3s slow 1 turn 2ms for 3s\n", COUNT_SLOW_NODES},
        {"at 3s cut 1->2\nat 6s heal\n", COUNT_CUT_OFF},
        {"at 3s isolate leader\nat 6s heal\n", COUNT_ISOLATIONS},
        {"at 3s partition 1 | 2 3\nat 6s heal\n", COUNT_PARTITIONS},
        {"at 3s clog 1<->2 for 1s\n", COUNT_CLOGGED},
        {"at 3s link 1<->2 delay 1ms..20ms loss 20% duplicate 20%\n", COUNT_DROPPED},
        {"at 3s link 1<->2 delay 1ms..20ms loss 20% duplicate 20%\n", COUNT_DUPLICATED},
        {"at 3s link 1<->2 delay 1ms..50ms loss 0% duplicate 0%\n", COUNT_REORDERED},
        {"at 3s disk 2 slow 50\n", COUNT_SLOW_DISKS},
        {"at 3s disk 2 hang for 2s\n", COUNT_HUNG_DISKS},
        {"at 3s disk 2 eio write\nat 5s restart 2\n", COUNT_EIO_WRITES},
        {"at 3s disk 2 eio sync\nat 5s restart 2\n", COUNT_EIO_SYNCS},
        {"at 3s disk 2 enospc\nat 5s restart 2\n", COUNT_ENOSPC},
        {"at 3s disk 2 enospc\nat 5s restart 2\n", COUNT_STOPS},
        {"at 3s power-loss 2\nat 4s disk 2 wipe\nat 5s restart 2\n", COUNT_REFUSALS},
        {"at 3s disk 2 save\nat 5s power-loss 2\nat 6s disk 2 restore\nat 7s restart 2\n",
         COUNT_STALE},
        {"at 3s clock 2 jump 5s\n", COUNT_CLOCK_JUMPS},
        {"at 3s clock 2 drift 50000ppm\n", COUNT_CLOCK_DRIFTS},
        {"at 3s disk 2 delay 50ms\n", COUNT_SLOW_DISKS},
        {"at 3s disk 2 lie for 2s\n", COUNT_LYING_DISKS},
        {"at 3s crash 2 for 1s\n", COUNT_RESTARTS},
        {"when writes 20 crash 2 for 1s\n", COUNT_RESTARTS},
        {"when commit 20 power-loss leader for 1s\n", COUNT_POWER_LOSSES},
        {"at 3s crash 2\nwhen stops 2 after 1s restart 2\n", COUNT_RESTARTS},
        {"clients 1 rate 200\n", COUNT_MISSED},
    };
    (void) state;
    for (size_t e = 0; e < ARRAY_SIZE(engines); e++) {
        for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
            char text[512];
            struct sim_result r;
            (void) snprintf(text, sizeof text, "%s%s", calm, faults[i].steps);
            run(text, engines[e], 5 + i, &r);
            must_be_green(engines[e], &r);
            if (r.counts[faults[i].count] == 0) {
                print_message("%s: %s: did not happen\n", engines[e], faults[i].steps);
            }
            assert_true(r.counts[faults[i].count] > 0);
        }
    }
}

/* D3, D5: a majority that lost its data stays out; what is left answers nothing wrong. */
static void test_sim_wiped_majority_is_safely_unavailable(void **state)
{
    static const char steps[] = "at 3s power-loss all\nat 4s disk 1 wipe\nat 4s disk 2 wipe\n"
                                "at 5s restart all\n";
    char text[512];
    (void) state;
    (void) snprintf(text, sizeof text, "%s%s", calm, steps);
    for (size_t e = 0; e < ARRAY_SIZE(engines); e++) {
        struct sim_result r;
        run(text, engines[e], 11, &r);
        must_be_green(engines[e], &r);
        assert_int_equal(r.counts[COUNT_REFUSALS], 2);
    }
}

/* R11: without its leader the cluster goes on within four election time-outs. */
static void test_sim_goes_on_without_its_leader(void **state)
{
    static const char steps[] =
        "clients 8 keys 8 think 0..50ms\nat 4s power-loss leader\nexpect gap 4\n";
    char text[512];
    (void) state;
    (void) snprintf(text, sizeof text, "%s%s", calm, steps);
    for (size_t e = 0; e < ARRAY_SIZE(engines); e++) {
        struct sim_result r;
        run(text, engines[e], 13, &r);
        must_be_green(engines[e], &r);
        assert_int_equal(r.counts[COUNT_POWER_LOSSES], 1);
    }
}

/* Runs three nodes of Raft with these lines and gives back the events that are asked for. */
struct watched {
    struct sim_result result;
    uint64_t at_us[64]; /* of events of the kind, with the note unless that is NULL */
    uint32_t node[64];
    uint32_t count;
    uint8_t kind;
    const char *note;
};

static void watch(void *ctx, const struct trace_event *e)
{
    struct watched *w = ctx;
    bool same = w->note == NULL || (e->note != NULL && strcmp(e->note, w->note) == 0);
    if (e->kind == w->kind && same && w->count < ARRAY_SIZE(w->at_us)) {
        w->at_us[w->count] = e->time_us;
        w->node[w->count] = e->node;
        w->count++;
    }
}

static void run_watched(const char *lines, struct watched *w)
{
    char text[512];
    struct scenario s;
    const struct sim_hooks hooks = {.trace = {.emit = watch, .ctx = w}};
    (void) snprintf(text, sizeof text, "%s%s", calm, lines);
    make(text, "raft", 5, &s);
    assert_int_equal(scenario_check(&s, NULL), OK);
    sim_execute(&s, &hooks, &w->result);
    scenario_release(&s);
}

/* S4: a condition becomes true, the step comes after so long, and so does its end, as often as was
 * said. */
static void test_sim_conditions_make_steps_due(void **state)
{
    (void) state;
    struct watched leaders = {.kind = TRACE_BECAME_LEADER};
    struct watched crashes = {.kind = TRACE_FAULT, .note = "crash"};
    struct watched restarts = {.kind = TRACE_FAULT, .note = "restart"};
    static const char lines[] = "option election 300ms\nat 2s crash leader for 1s\n"
                                "when leader changes after 50ms times 2 crash leader for 500ms\n";
    run_watched(lines, &leaders);
    run_watched(lines, &crashes);
    run_watched(lines, &restarts);
    must_be_green("raft", &crashes.result);
    assert_int_equal(crashes.result.trace_hash, leaders.result.trace_hash);
    assert_true(leaders.count >= 4);
    assert_int_equal(crashes.count, 3);
    assert_int_equal(restarts.count, 3);
    assert_int_equal(crashes.at_us[0], 2000000);
    for (uint32_t i = 1; i <= 2; i++) {
        assert_int_equal(crashes.at_us[i], leaders.at_us[i] + 50000);
        assert_int_equal(crashes.node[i], leaders.node[i]);
    }
    assert_int_equal(restarts.node[0], crashes.node[0]);
}

/* The end joins the links of the node that led then, not of the one that leads now. */
static void test_sim_isolated_leader_rejoins_as_the_node_it_was(void **state)
{
    (void) state;
    struct watched out = {.kind = TRACE_FAULT, .note = "isolate"};
    struct watched back = {.kind = TRACE_FAULT, .note = "rejoin"};
    run_watched("at 3s isolate leader for 2s\n", &out);
    run_watched("at 3s isolate leader for 2s\n", &back);
    must_be_green("raft", &out.result);
    assert_true(out.result.counts[COUNT_CUT_OFF] > 0);
    assert_true(out.result.counts[COUNT_LEADERS] >= 2);
    assert_int_equal(back.count, 1);
    assert_int_equal(back.at_us[0], 5000000);
    assert_int_equal(back.node[0], out.node[0]);
    /* All of them: each is cut off. */
    struct watched all = {.kind = TRACE_FAULT, .note = "isolate"};
    run_watched("at 3s isolate all for 2s\n", &all);
    assert_int_equal(all.count, 3);
    assert_true(all.result.gap_us >= 2000000);
}

/* A message takes its bytes' time of a link, and those behind it wait. */
static void test_sim_links_have_a_bandwidth(void **state)
{
    (void) state;
    static const char slow[] = "clients 4 keys 3 value 8KiB timeout 5s\nmix put 1\n"
                               "at 1s link 1<->2 rate 100KiB\nat 1s link 1<->3 rate 100KiB\n"
                               "at 1s link 2<->3 rate 100KiB\n";
    static const char fast[] = "clients 4 keys 3 value 8KiB timeout 5s\nmix put 1\n";
    struct watched limited = {.kind = TRACE_FAULT};
    struct watched any = {.kind = TRACE_FAULT};
    run_watched(slow, &limited);
    run_watched(fast, &any);
    must_be_green("raft", &limited.result);
    must_be_green("raft", &any.result);
    uint64_t writes = limited.result.length_counts[COUNT_WRITES_OK];
    assert_true(writes > 20);
    assert_true(2 * writes < any.result.length_counts[COUNT_WRITES_OK]);
    /* 10 s, six directions: no more bytes than they let through, but for the first second's. */
    assert_true(limited.result.length_counts[COUNT_BYTES] < UINT64_C(6) * 102400 * 10);
    assert_true(any.result.counts[COUNT_BYTES] > any.result.counts[COUNT_WRITES_OK] * 2 * 8192);
}

/* Each sync of a slow disk takes so much longer, until that ends. */
static void test_sim_slow_syncs_take_as_long_as_was_said(void **state)
{
    (void) state;
    struct watched all = {.kind = TRACE_FAULT};
    struct watched part = {.kind = TRACE_FAULT};
    run_watched("at 0 disk all delay 200ms\n", &all);
    run_watched("at 0 disk all delay 200ms for 5s\n", &part);
    must_be_green("raft", &all.result);
    must_be_green("raft", &part.result);
    uint64_t syncs = all.result.length_counts[COUNT_LOG_SYNCS];
    assert_true(syncs > 20 && syncs <= 3 * 50); /* three nodes, five a second, 10 s */
    assert_true(part.result.length_counts[COUNT_LOG_SYNCS] > 2 * syncs);
}

/* Calls begin at random moments at the rate that was asked for, whatever the answers take. */
static void test_sim_rate_is_that_of_calls_and_does_not_wait_for_answers(void **state)
{
    (void) state;
    struct watched w = {.kind = TRACE_FAULT};
    struct watched slow = {.kind = TRACE_FAULT};
    run_watched("clients 64 keys 8 rate 200 retry 0%\nmix put 1\n", &w);
    must_be_green("raft", &w.result);
    /* 2,000 in 10 s: the standard deviation is 45. */
    uint64_t moments = w.result.length_counts[COUNT_CALLS] + w.result.length_counts[COUNT_MISSED];
    assert_true(moments > 1800 && moments < 2200);
    assert_true(w.result.length_counts[COUNT_CALLS] > 1500);
    /* Each client has one call at a time: so many are all there can be. */
    run_watched("clients 2 keys 8 rate 200\ndisk log 50ms\n", &slow);
    must_be_green("raft", &slow.result);
    assert_true(slow.result.counts[COUNT_MISSED] > 1000);
}

/* S1, P2: values have the sizes that were asked for, and still each is written once. */
static void test_sim_values_have_their_sizes(void **state)
{
    (void) state;
    struct watched w = {.kind = TRACE_FAULT};
    struct watched again = {.kind = TRACE_FAULT};
    static const char lines[] = "clients 8 keys 3 value 1KiB..4KiB\n"
                                "mix put 3 get 3 cas 2 append 2 txn 2\nat 4s crash leader for 1s\n";
    run_watched(lines, &w);
    run_watched(lines, &again);
    must_be_green("raft", &w.result);
    assert_memory_equal(&w.result, &again.result, sizeof w.result);
    assert_true(w.result.counts[COUNT_BYTES] > w.result.counts[COUNT_WRITES_OK] * 1024);
}

/* D1, D3: what a lying disk said was durable can be gone after a power loss; without one it shows
 * nowhere. */
static void test_sim_lying_disk_loses_what_it_said_was_durable(void **state)
{
    (void) state;
    struct watched safe = {.kind = TRACE_FAULT};
    struct watched lost = {.kind = TRACE_FAULT};
    uint32_t red = 0;
    run_watched("at 2s disk all lie for 4s\nat 3s crash all\nat 3500ms restart all\n", &safe);
    must_be_green("raft", &safe.result);
    static const char lines[] =
        "at 2s disk all lie for 4s\nat 3s power-loss all\nat 3500ms restart all\n";
    for (uint64_t seed = 1; seed <= 20; seed++) {
        char text[512];
        (void) snprintf(text, sizeof text, "%s%s", calm, lines);
        run(text, "raft", seed, &lost.result);
        red += lost.result.red ? 1 : 0;
    }
    assert_true(red > 10);
}

/* R9, K1: the control. A node alone answers with what was true before; the checker finds it. */
static void test_sim_local_reads_are_found_stale(void **state)
{
    static const char text[] =
        "scenario 2\nnodes 3\nlength 8s\nclients 9 keys 1 think 0..20ms%s\nmix put 1 get 3\n"
        "at 2s isolate leader for 4s\nexpect red K1\n";
    (void) state;
    for (size_t e = 0; e < ARRAY_SIZE(engines); e++) {
        for (uint32_t control = 0; control <= 1; control++) {
            char lines[512];
            struct scenario s;
            struct sim_result r;
            (void) snprintf(lines, sizeof lines, text, control == 1 ? " reads local" : "");
            make(lines, engines[e], 3, &s);
            sim_execute(&s, NULL, &r);
            assert_int_equal(r.red, control == 1);
            assert_string_equal(r.property, control == 1 ? "K1" : "");
            assert_int_equal(sim_as_expected(&s, &r), control == 1);
            /* By another property, it is not what was expected. */
            (void) snprintf(s.expect_property, sizeof s.expect_property, "K2");
            assert_false(sim_as_expected(&s, &r));
            s.expect_property[0] = '\0'; /* by any */
            assert_int_equal(sim_as_expected(&s, &r), control == 1);
            s.expect_red = false;
            assert_int_equal(sim_as_expected(&s, &r), control == 0);
            scenario_release(&s);
        }
    }
}

/* The time-outs of elections are those of the options. */
static void test_sim_election_options_reach_the_nodes(void **state)
{
    (void) state;
    struct watched w = {.kind = TRACE_BECAME_CANDIDATE};
    struct watched wide = {.kind = TRACE_BECAME_CANDIDATE};
    struct watched backoff = {.kind = TRACE_BECAME_CANDIDATE};
    run_watched("option election 2s\noption election-spread 1ms\n", &w);
    run_watched("option election 2s\noption election-spread 6s\n", &wide);
    run_watched("option election 2s\noption election-spread 1ms\noption candidate 20ms\n"
                "option candidate-spread 10ms\noption candidate-backoff on\n",
                &backoff);
    assert_true(w.count >= 3);
    for (uint32_t i = 0; i < 3; i++) { /* all three at once */
        assert_true(w.at_us[i] >= 2000000 && w.at_us[i] < 2020000);
    }
    assert_true(wide.at_us[0] > 2020000 && wide.at_us[0] < 8000000);
    for (uint32_t i = 1; i < wide.count; i++) { /* nobody comes into the first one's way */
        assert_int_equal(wide.node[i], wide.node[0]);
    }
    /* Who did not win waits no second time-out. */
    assert_true(backoff.count > 3 && backoff.at_us[3] < 2200000);
}

/* Durable writes and bytes are counted, and to the end of the faults once more. */
static void test_sim_counts_what_is_compared(void **state)
{
    (void) state;
    for (size_t e = 0; e < ARRAY_SIZE(engines); e++) {
        struct sim_result r;
        run(calm, engines[e], 1, &r);
        must_be_green(engines[e], &r);
        assert_true(r.counts[COUNT_LOG_SYNCS] > r.counts[COUNT_WRITES_OK]);
        assert_true(r.counts[COUNT_STATE_SYNCS] > 0);
        assert_true(r.counts[COUNT_BYTES] > 40 * r.counts[COUNT_MESSAGES]);
        /* When messages travel as bytes they are as long as was counted without that (asserted for
         * each of them by sim_network.c). */
        struct sim_result wire;
        char text[512];
        (void) snprintf(text, sizeof text, "%soption wire on\n", calm);
        run(text, engines[e], 1, &wire);
        assert_int_equal(wire.trace_hash, r.trace_hash);
        assert_int_equal(wire.counts[COUNT_BYTES], r.counts[COUNT_BYTES]);
        assert_true(r.length_counts[COUNT_MESSAGES] < r.counts[COUNT_MESSAGES]);
        assert_true(r.length_counts[COUNT_COMMITS] > 0);
        assert_true(r.length_counts[COUNT_COMMITS] <= r.counts[COUNT_COMMITS]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sim_in_calm_answers_every_call),
        cmocka_unit_test(test_sim_same_scenario_gives_same_trace),
        cmocka_unit_test(test_sim_watched_run_is_the_same_run),
        cmocka_unit_test(test_sim_each_fault_happens),
        cmocka_unit_test(test_sim_wiped_majority_is_safely_unavailable),
        cmocka_unit_test(test_sim_goes_on_without_its_leader),
        cmocka_unit_test(test_sim_conditions_make_steps_due),
        cmocka_unit_test(test_sim_isolated_leader_rejoins_as_the_node_it_was),
        cmocka_unit_test(test_sim_links_have_a_bandwidth),
        cmocka_unit_test(test_sim_slow_syncs_take_as_long_as_was_said),
        cmocka_unit_test(test_sim_rate_is_that_of_calls_and_does_not_wait_for_answers),
        cmocka_unit_test(test_sim_values_have_their_sizes),
        cmocka_unit_test(test_sim_lying_disk_loses_what_it_said_was_durable),
        cmocka_unit_test(test_sim_local_reads_are_found_stale),
        cmocka_unit_test(test_sim_election_options_reach_the_nodes),
        cmocka_unit_test(test_sim_counts_what_is_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
