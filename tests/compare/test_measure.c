/*
 * test_measure.c - the numbers of a run from records made by hand: what is lost and duplicated (K1,
 * K2, D1), when a fault was noticed, elected over and committed over, down-time, costs.
 */
#include "tests/compare/measure.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests/compare/loss.h"

enum { MS = 1000 };

/* Records by hand. */

static struct scenario *scenario_of(const char *engine)
{
    static struct scenario s;
    scenario_init(&s, engine_by_name(engine), 7);
    s.nodes = 3;
    s.length_us = 10000 * MS;
    s.options[OPTION_ELECTION] = 500 * MS;
    return &s;
}

static void begin(struct record *r, const char *engine)
{
    struct scenario *s = scenario_of(engine);
    record_init(r, s, false);
    scenario_release(s);
}

static struct history_op *add(struct record *r, uint8_t kind, const char *key, const char *value,
                              uint64_t call_ms, uint64_t return_ms)
{
    const struct history_op op = {
        .client = history_count(r->history) + 1, /* each its own: no order but that of times */
        .kind = kind,
        .result = HIST_OK,
        .ok = true,
        .key = history_key(r->history, key),
        .value = value == NULL ? (struct history_value){0}
                               : history_value(r->history, value, strlen(value)),
        .call_ns = call_ms * 1000000,
        .return_ns = return_ms * 1000000,
    };
    return history_at(r->history, history_add(r->history, &op));
}

static void event(struct record *r, uint64_t at_ms, uint8_t kind, uint32_t node, uint64_t epoch,
                  const char *note)
{
    const struct trace_event e = {
        .time_us = at_ms * MS, .kind = kind, .node = node, .epoch = epoch, .note = note};
    record_event(r, &e);
}

/* A write every 100 ms but in the given hole. */
static void add_writes(struct record *r, uint64_t hole_from_ms, uint64_t hole_to_ms)
{
    char value[16];
    for (uint64_t ms = 0; ms + 10 < 10000; ms += 100) {
        if (ms < hole_from_ms || ms >= hole_to_ms) {
            (void) snprintf(value, sizeof value, "v%u", (unsigned) ms);
            ERR_IGNORE((int) add(r, HIST_PUT, "a", value, ms, ms + 10)->kind);
        }
    }
}

static struct measured *measure(struct record *r)
{
    static struct measured m;
    measure_record(r, &m);
    record_release(r);
    assert_true(m.done);
    return &m;
}

#define assert_near(value, expected) assert_true(fabs((value) - (expected)) < 1e-6)

/* Loss. */

/* K1, D1: an element that was acknowledged before the last read and is not in it. */
static void test_loss_missing_list_element_is_lost(void **state)
{
    (void) state;
    struct record r;
    begin(&r, "raft");
    (void) add(&r, HIST_APPEND, "l", "x", 0, 1);
    (void) add(&r, HIST_APPEND, "l", "y", 2, 3);
    add(&r, HIST_APPEND, "l", "z", 4, 5)->result = HIST_UNKNOWN; /* may be there or not */
    (void) add(&r, HIST_GET, "l", "x,y", 6, 7);                  /* an earlier read had all */
    (void) add(&r, HIST_GET, "l", "y", 100, 101);
    assert_int_equal(loss_lost(r.history), 1);
    assert_int_equal(loss_duplicated(r.history), 0);
    record_release(&r);
}

/* K2: applied twice. */
static void test_loss_element_that_is_there_twice_is_duplicated(void **state)
{
    (void) state;
    struct record r;
    begin(&r, "raft");
    (void) add(&r, HIST_APPEND, "l", "x", 0, 1);
    (void) add(&r, HIST_APPEND, "l", "xx", 2, 3);
    (void) add(&r, HIST_GET, "l", "x,xx,x", 100, 101);
    assert_int_equal(loss_lost(r.history), 0);
    assert_int_equal(loss_duplicated(r.history), 1);
    record_release(&r);
}

/* An append while the last read ran need not be in it. */
static void test_loss_overlapping_append_is_not_lost(void **state)
{
    (void) state;
    struct record r;
    begin(&r, "raft");
    (void) add(&r, HIST_APPEND, "l", "x", 0, 1);
    (void) add(&r, HIST_APPEND, "l", "y", 99, 101);
    (void) add(&r, HIST_GET, "l", "x", 100, 102);
    assert_int_equal(loss_lost(r.history), 0);
    record_release(&r);
}

static void test_loss_register_with_replaced_value_is_lost(void **state)
{
    (void) state;
    struct record r;
    begin(&r, "raft");
    (void) add(&r, HIST_PUT, "a", "1", 0, 1);
    (void) add(&r, HIST_PUT, "a", "2", 2, 3);
    (void) add(&r, HIST_PUT, "b", "3", 0, 5); /* these two overlap: either may be last */
    (void) add(&r, HIST_PUT, "b", "4", 2, 3);
    (void) add(&r, HIST_PUT, "c", "5", 0, 1);
    (void) add(&r, HIST_GET, "a", "1", 10, 11);
    (void) add(&r, HIST_GET, "b", "3", 10, 11);
    (void) add(&r, HIST_GET, "c", NULL, 10, 11)->ok;
    assert_int_equal(loss_lost(r.history), 2);
    record_release(&r);
}

static void test_loss_absent_after_a_delete_is_not_lost(void **state)
{
    (void) state;
    struct record r;
    begin(&r, "raft");
    (void) add(&r, HIST_PUT, "a", "1", 0, 1);
    add(&r, HIST_DEL, "a", NULL, 2, 3)->result = HIST_UNKNOWN;
    (void) add(&r, HIST_GET, "a", NULL, 10, 11);
    (void) add(&r, HIST_APPEND, "l", "x", 0, 1);
    (void) add(&r, HIST_DEL, "l", NULL, 2, 3);
    (void) add(&r, HIST_APPEND, "l", "y", 2, 4); /* before or after */
    (void) add(&r, HIST_GET, "l", NULL, 10, 11);
    assert_int_equal(loss_lost(r.history), 0);
    record_release(&r);
}

static void test_loss_absent_although_written_after_the_delete_is_lost(void **state)
{
    (void) state;
    struct record r;
    begin(&r, "raft");
    (void) add(&r, HIST_DEL, "a", NULL, 0, 1);
    (void) add(&r, HIST_PUT, "a", "1", 2, 3);
    (void) add(&r, HIST_GET, "a", NULL, 10, 11);
    (void) add(&r, HIST_DEL, "l", NULL, 0, 1);
    (void) add(&r, HIST_APPEND, "l", "x", 2, 3);
    (void) add(&r, HIST_GET, "l", NULL, 10, 11);
    assert_int_equal(loss_lost(r.history), 2);
    record_release(&r);
}

/* Measures. */

static void test_measure_times_count_from_the_fault(void **state)
{
    (void) state;
    struct record r;
    begin(&r, "raft");
    event(&r, 100, TRACE_BECAME_CANDIDATE, 1, 1, NULL);
    event(&r, 110, TRACE_BECAME_LEADER, 1, 1, NULL);
    event(&r, 5, TRACE_FAULT, 1, 0, "cut");         /* before anything worked: the stage */
    event(&r, 2000, TRACE_FAULT, 1, 0, "transfer"); /* moves, harms nothing */
    event(&r, 3000, TRACE_FAULT, 1, 0, "crash");
    event(&r, 3600, TRACE_BECAME_CANDIDATE, 2, 2, NULL);
    event(&r, 3650, TRACE_BECAME_LEADER, 2, 2, NULL);
    event(&r, 5000, TRACE_FAULT, 3, 0, "crash");
    event(&r, 6000, TRACE_BECAME_LEADER, 2, 2, NULL); /* the same epoch: no change */
    add_writes(&r, 3000, 3800);
    const struct measured *m = measure(&r);
    assert_int_equal(m->fault_us, 3000 * MS);
    assert_near(m->values[MEASURE_DETECT], 600.0 * MS);
    assert_near(m->values[MEASURE_ELECT], 650.0 * MS);
    assert_near(m->values[MEASURE_FIRST_COMMIT], 810.0 * MS);
    assert_near(m->values[MEASURE_LEADERS], 1);
    assert_near(m->values[MEASURE_CAMPAIGNS], 2);
    assert_int_equal(m->faults_count, 4);
}

/* What comes after a violation is no down-time, and nobody looked for what was lost. */
static void test_measure_red_run_is_measured_until_then(void **state)
{
    (void) state;
    struct record r;
    begin(&r, "raft");
    add_writes(&r, 2000, 10000);
    record_fail(&r, "D8", "gone");
    r.end_us = 2100 * MS;
    const struct measured *m = measure(&r);
    assert_near(m->values[MEASURE_DOWN], 0);
    assert_near(m->values[MEASURE_GAP], 190.0 * MS);
    assert_true(m->values[MEASURE_THROUGHPUT] > 9);
    assert_true(isnan(m->values[MEASURE_LOST]));
    assert_true(isnan(m->values[MEASURE_DUPLICATED]));
}

/* Calls that wait for the heal are answered after the faults. */
static void test_measure_nothing_answered_before_the_end_is_one_gap(void **state)
{
    (void) state;
    struct record r;
    begin(&r, "raft");
    (void) add(&r, HIST_PUT, "a", "1", 100, 11000);
    (void) add(&r, HIST_PUT, "a", "2", 100, 12000);
    const struct measured *m = measure(&r);
    assert_near(m->values[MEASURE_GAP], 10000.0 * MS);
    assert_near(m->values[MEASURE_DOWN], 10000.0 * MS);
    assert_near(m->values[MEASURE_WINDOWS], 1);
}

/* Raft asks twice where others ask once; that is no second campaign. */
static void test_measure_pre_vote_and_election_are_one_campaign(void **state)
{
    (void) state;
    struct record r;
    begin(&r, "raft");
    event(&r, 100, TRACE_BECAME_CANDIDATE, 1, 1, "pre-vote");
    event(&r, 110, TRACE_BECAME_CANDIDATE, 1, 1, NULL);
    event(&r, 200, TRACE_BECAME_CANDIDATE, 1, 2, "pre-vote"); /* the vote was split */
    event(&r, 210, TRACE_BECAME_CANDIDATE, 1, 2, NULL);
    event(&r, 220, TRACE_BECAME_CANDIDATE, 2, 2, "pre-vote"); /* another node */
    event(&r, 230, TRACE_BECAME_FOLLOWER, 2, 2, NULL);
    event(&r, 400, TRACE_BECAME_CANDIDATE, 2, 2, "pre-vote");
    assert_near(measure(&r)->values[MEASURE_CAMPAIGNS], 4);
}

/* Of a leaderless engine nothing is elected. */
static void test_measure_leaderless_has_no_elections(void **state)
{
    (void) state;
    struct record r;
    begin(&r, "paxos");
    event(&r, 3000, TRACE_FAULT, 1, 0, "crash");
    add_writes(&r, 0, 0);
    const struct measured *m = measure(&r);
    assert_true(isnan(m->values[MEASURE_ELECT]));
    assert_true(isnan(m->values[MEASURE_LEADERS]));
    assert_near(m->values[MEASURE_FIRST_COMMIT], 10.0 * MS);
}

static void test_measure_down_time_is_gaps_beyond_an_election_timeout(void **state)
{
    (void) state;
    struct record r;
    begin(&r, "raft");
    add_writes(&r, 3000, 3900); /* answers at 2910 and 3910 */
    const struct measured *m = measure(&r);
    assert_near(m->values[MEASURE_GAP], 1000.0 * MS);
    assert_near(m->values[MEASURE_DOWN], 1000.0 * MS);
    assert_int_equal(m->windows_count, 1);
    assert_int_equal(m->windows[0].from_us, 2910 * MS);
    assert_int_equal(m->windows[0].to_us, 3910 * MS);
}

/* Nor is a cluster up that takes for ever to begin. */
static void test_measure_down_time_begins_when_the_cluster_should_have(void **state)
{
    (void) state;
    struct record r;
    begin(&r, "raft");
    add_writes(&r, 0, 9000);
    const struct measured *m = measure(&r);
    assert_near(m->values[MEASURE_DOWN], (9010.0 - 8 * 500) * MS);
    assert_int_equal(m->windows[0].from_us, 4000 * MS);
}

/* Short gaps are no down-time, and what never comes back is down until the end. */
static void test_measure_down_time_ends_with_the_run(void **state)
{
    (void) state;
    struct record r;
    begin(&r, "raft");
    add_writes(&r, 6000, 10000);
    const struct measured *m = measure(&r);
    assert_near(m->values[MEASURE_DOWN], (10000.0 - 5910.0) * MS);
    assert_near(m->values[MEASURE_WINDOWS], 1);
    begin(&r, "raft");
    m = measure(&r); /* nothing was ever answered */
    assert_near(m->values[MEASURE_DOWN], 10000.0 * MS);
    assert_true(isnan(m->values[MEASURE_LATENCY_P50]));
}

static void test_measure_operations_by_outcome_without_the_reads_of_the_end(void **state)
{
    (void) state;
    struct record r;
    begin(&r, "raft");
    (void) add(&r, HIST_PUT, "a", "1", 0, 4);
    (void) add(&r, HIST_GET, "a", "1", 10, 12);
    add(&r, HIST_PUT, "a", "2", 20, 30)->result = HIST_FAIL;
    add(&r, HIST_PUT, "a", "3", 20, 0)->result = HIST_UNKNOWN;
    (void) add(&r, HIST_GET, "a", "1", 10001, 10002);
    const struct measured *m = measure(&r);
    assert_near(m->values[MEASURE_OK], 2);
    assert_near(m->values[MEASURE_FAILED], 1);
    assert_near(m->values[MEASURE_UNKNOWN], 1);
    assert_near(m->values[MEASURE_THROUGHPUT], 0.2);
    assert_near(m->values[MEASURE_LATENCY_MAX], 4.0 * MS);
    uint32_t sum = 0;
    for (uint32_t i = 0; i < m->buckets; i++) {
        sum += m->ok[i];
    }
    assert_int_equal(sum, 2);
}

/* The same request to several peers, and again, is one round; an append without entries is none. */
static void test_measure_rounds_count_requests_once(void **state)
{
    (void) state;
    struct record r;
    begin(&r, "raft");
    for (uint32_t to = 2; to <= 3; to++) {
        for (uint64_t last = 0; last <= 2; last++) {
            const struct trace_event e = {.kind = TRACE_SEND,
                                          .message = MSG_RAFT_APPEND,
                                          .from = 1,
                                          .to = to,
                                          .epoch = 1,
                                          .index = last == 0 ? 5 : last - 1,
                                          .last = last};
            record_event(&r, &e);
            record_event(&r, &e);
        }
    }
    const struct trace_event commit = {.kind = TRACE_COMMIT, .index = 2};
    record_event(&r, &commit);
    assert_int_equal(r.totals[TOTAL_MESSAGES], 12);
    const struct measured *m = measure(&r);
    assert_near(m->values[MEASURE_ROUNDS], 1);
}

/* S4: what a script says and what did not happen is told. */
static void test_measure_missing_names_the_step_that_never_happened(void **state)
{
    (void) state;
    static const char text[] = "scenario 2\nengine raft\nat 1s crash leader\nat 2s disk 2 eio\n"
                               "at 3s heal\nwhen commit 100000 isolate 3\n";
    struct scenario s;
    struct record r;
    struct measured m;
    assert_int_equal(scenario_parse(bytes_str(text), &s, NULL), OK);
    record_init(&r, &s, false);
    add_writes(&r, 0, 0);
    event(&r, 1000, TRACE_FAULT, 1, 0, "crash");
    event(&r, 2000, TRACE_FAULT, 2, 0, "EIO"); /* said, and never asked */
    measure_record(&r, &m);
    measure_missing(&s, &r, &m);
    assert_int_equal(m.missing, 2);
    r.totals[TOTAL_DISK_FAILURES] = 1;
    measure_record(&r, &m);
    measure_missing(&s, &r, &m);
    assert_int_equal(m.missing, 1);
    assert_string_equal(m.missing_step, "when commit 100000 isolate 3");
    record_release(&r);
    record_init(&r, &s, false); /* and clients that nobody answers */
    measure_record(&r, &m);
    measure_missing(&s, &r, &m);
    assert_string_equal(m.missing_step, "an answered operation");
    record_release(&r);
    scenario_release(&s);
}

/* Each latency is in the bucket whose edges hold it. */
static void test_measure_latency_buckets_hold_what_they_count(void **state)
{
    (void) state;
    for (uint64_t us = 1; us < UINT64_C(600) * 1000000; us = us * 9 / 8 + 1) {
        struct record r;
        begin(&r, "raft");
        struct history_op *op = add(&r, HIST_PUT, "a", "1", 0, 1);
        op->call_ns = 0;
        op->return_ns = us * 1000;
        const struct measured *m = measure(&r);
        uint32_t bucket = 0;
        while (m->latencies[bucket] == 0) {
            bucket++;
        }
        assert_true(measured_latency_us(bucket) <= (double) us);
        assert_true(bucket == MEASURED_LATENCIES - 1 ||
                    measured_latency_us(bucket + 1) > (double) us);
        assert_true(us < 16 ||
                    measured_latency_us(bucket + 1) < 1.07 * measured_latency_us(bucket));
    }
}

/* Traces of processes come a little out of order. */
static void test_record_events_are_kept_in_the_order_of_time(void **state)
{
    (void) state;
    struct record r;
    begin(&r, "raft");
    event(&r, 30, TRACE_START, 1, 0, NULL);
    event(&r, 10, TRACE_START, 2, 0, NULL);
    event(&r, 20, TRACE_START, 3, 0, NULL);
    event(&r, 11000, TRACE_START, 3, 0, NULL); /* behind the end */
    assert_int_equal(r.events_count, 3);
    assert_int_equal(r.events[0].node, 2);
    assert_int_equal(r.events[1].node, 3);
    assert_int_equal(r.events[2].node, 1);
    record_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loss_missing_list_element_is_lost),
        cmocka_unit_test(test_loss_element_that_is_there_twice_is_duplicated),
        cmocka_unit_test(test_loss_overlapping_append_is_not_lost),
        cmocka_unit_test(test_loss_register_with_replaced_value_is_lost),
        cmocka_unit_test(test_loss_absent_after_a_delete_is_not_lost),
        cmocka_unit_test(test_loss_absent_although_written_after_the_delete_is_lost),
        cmocka_unit_test(test_measure_times_count_from_the_fault),
        cmocka_unit_test(test_measure_red_run_is_measured_until_then),
        cmocka_unit_test(test_measure_nothing_answered_before_the_end_is_one_gap),
        cmocka_unit_test(test_measure_pre_vote_and_election_are_one_campaign),
        cmocka_unit_test(test_measure_leaderless_has_no_elections),
        cmocka_unit_test(test_measure_down_time_is_gaps_beyond_an_election_timeout),
        cmocka_unit_test(test_measure_down_time_begins_when_the_cluster_should_have),
        cmocka_unit_test(test_measure_down_time_ends_with_the_run),
        cmocka_unit_test(test_measure_operations_by_outcome_without_the_reads_of_the_end),
        cmocka_unit_test(test_measure_rounds_count_requests_once),
        cmocka_unit_test(test_measure_missing_names_the_step_that_never_happened),
        cmocka_unit_test(test_measure_latency_buckets_hold_what_they_count),
        cmocka_unit_test(test_record_events_are_kept_in_the_order_of_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
