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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sim_in_calm_answers_every_call),
        cmocka_unit_test(test_sim_same_scenario_gives_same_trace),
        cmocka_unit_test(test_sim_watched_run_is_the_same_run),
        cmocka_unit_test(test_sim_each_fault_happens),
        cmocka_unit_test(test_sim_wiped_majority_is_safely_unavailable),
        cmocka_unit_test(test_sim_goes_on_without_its_leader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
