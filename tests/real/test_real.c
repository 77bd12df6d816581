/*
 * test_real.c - scenarios on real processes: the three engines live through a crash of the leader,
 * and what must be red is red, by the right property. K1, R11, D6.
 *
 * run-tests: timeout=240
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests/real/real.h"
#include "tests/support/tempdir.h"

#define CLUSTER "nodes 3\noption election 800ms\noption heartbeat 100ms\n"
#define CLIENTS "clients 6 keys 4 think 0..20ms timeout 2s retry 50%\n"

enum { ERROR_MAX = 1024 };

struct bench {
    char dir[TEMPDIR_PATH_MAX]; /* TMPDIR meanwhile */
    struct scenario scenario;
    struct real_options options;
    struct record record;
    char error[ERROR_MAX];
    int err;
};

static bool can_run(void)
{
    struct real_options o;
    real_options_init(&o);
    return o.synod != NULL && o.shim != NULL;
}

static void bench_init(struct bench *b, const char *engine, const char *text)
{
    char whole[4096];
    struct buf error;
    memset(b, 0, sizeof *b);
    tempdir_make(b->dir);
    assert_int_equal(setenv("TMPDIR", b->dir, 1), 0);
    (void) snprintf(whole, sizeof whole, "scenario 2\nengine %s\n" CLUSTER "%s%s", engine,
                    strstr(text, "clients") == NULL ? CLIENTS : "", text);
    buf_init(&error, ERROR_MAX);
    if (scenario_parse(bytes_str(whole), &b->scenario, &error) != OK ||
        scenario_check(&b->scenario, &error) != OK) {
        print_error("%.*s\n", (int) error.size, (const char *) error.data);
        fail();
    }
    buf_release(&error);
    real_options_init(&b->options);
    record_init(&b->record, &b->scenario, true);
}

static void execute(struct bench *b)
{
    struct buf error;
    buf_init(&error, ERROR_MAX - 1);
    b->err = real_execute(&b->scenario, &b->options, &b->record, &error);
    if (error.size > 0) {
        memcpy(b->error, error.data, error.size);
    }
    b->error[error.size] = '\0';
    buf_release(&error);
    if (b->err != OK || b->record.red) {
        print_message("%s %s: %s %s\n", err_name(b->err), b->error, b->record.property,
                      b->record.text);
    }
}

/* Nothing stays: no child, no file. */
static void bench_release(struct bench *b)
{
    record_release(&b->record);
    scenario_release(&b->scenario);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(unsetenv("TMPDIR"), 0);
    assert_int_equal(rmdir(b->dir), 0);
}

static uint32_t events(const struct bench *b, uint8_t kind, const char *note)
{
    uint32_t count = 0;
    for (size_t i = 0; i < b->record.events_count; i++) {
        const struct trace_event *e = &b->record.events[i];
        count += e->kind == kind && (note == NULL || strcmp(e->note, note) == 0) ? 1 : 0;
    }
    return count;
}

static uint32_t answered(const struct bench *b, uint64_t from_us)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < history_count(b->record.history); i++) {
        const struct history_op *op = history_get(b->record.history, i);
        count += op->result == HIST_OK && op->call_ns >= from_us * 1000 ? 1 : 0;
    }
    return count;
}

static void assert_green(const struct bench *b)
{
    assert_int_equal(b->err, OK);
    assert_false(b->record.red);
    assert_false(b->record.undecided);
    for (size_t i = 1; i < b->record.events_count; i++) {
        assert_true(b->record.events[i - 1].time_us <= b->record.events[i].time_us);
    }
}

/* K1, D1, R11: the leader dies and comes back; writes go on in between and afterwards. */
static void crash_leader(const char *engine, bool leaders)
{
    struct bench b;
    if (!can_run()) {
        skip();
    }
    bench_init(&b, engine, "length 4s\nat 1s crash leader for 1500ms\n");
    execute(&b);
    assert_green(&b);
    assert_int_equal(events(&b, TRACE_FAULT, scenario_step_note(STEP_CRASH)), 1);
    assert_true(events(&b, TRACE_FAULT, scenario_step_note(STEP_RESTART)) >= 1);
    assert_true(events(&b, TRACE_START, NULL) >= 1);
    if (leaders) {
        assert_true(events(&b, TRACE_BECAME_LEADER, NULL) >= 2);
        assert_true(b.record.totals[TOTAL_CPU_LEADER_US] > 0);
    }
    assert_true(answered(&b, 0) > 50);
    assert_true(answered(&b, 3500000) > 5);
    assert_true(b.record.totals[TOTAL_MESSAGES] > 100);
    assert_true(b.record.totals[TOTAL_ROUNDS] > 10);
    assert_true(b.record.totals[TOTAL_BYTES] > 10000);
    assert_true(b.record.totals[TOTAL_SYNCS] > 50);
    assert_true(b.record.totals[TOTAL_COMMITS] > 20);
    assert_true(b.record.totals[TOTAL_CPU_US] > b.record.totals[TOTAL_CPU_LEADER_US]);
    bench_release(&b);
}

static void test_real_raft_crash_of_the_leader_is_survived(void **state)
{
    (void) state;
    crash_leader("raft", true);
}

static void test_real_multipaxos_crash_of_the_leader_is_survived(void **state)
{
    (void) state;
    crash_leader("multipaxos", true);
}

static void test_real_paxos_crash_of_a_node_is_survived(void **state)
{
    (void) state;
    crash_leader("paxos", false);
}

/* K1: the old leader is cut off, and nobody reads from it what is old by then. */
static void test_real_isolated_leader_serves_nothing_old(void **state)
{
    struct bench b;
    (void) state;
    if (!can_run()) {
        skip();
    }
    bench_init(&b, "raft", "length 4s\nat 1s isolate leader for 2s\n");
    execute(&b);
    assert_green(&b);
    assert_int_equal(events(&b, TRACE_FAULT, scenario_step_note(STEP_ISOLATE)), 1);
    assert_int_equal(events(&b, TRACE_FAULT, scenario_step_note(STEP_REJOIN)), 1);
    assert_true(events(&b, TRACE_BECAME_LEADER, NULL) >= 2);
    bench_release(&b);
}

/* K1, a control: whoever reads from one node alone reads what is old, and the checker sees it. */
static void test_real_local_reads_of_an_isolated_leader_are_red(void **state)
{
    struct bench b;
    (void) state;
    if (!can_run()) {
        skip();
    }
    bench_init(&b, "raft",
               "clients 6 keys 2 think 0..20ms timeout 500ms reads local\nmix put 2 get 4\n"
               "length 4s\nat 1s isolate leader for 2500ms\n");
    execute(&b);
    assert_int_equal(b.err, OK);
    assert_true(b.record.red);
    assert_string_equal(b.record.property, "K1");
    bench_release(&b);
}

/* What all children that ended have used. */
static uint64_t children_cpu_us(void)
{
    struct rusage u;
    assert_int_equal(getrusage(RUSAGE_CHILDREN, &u), 0);
    return (uint64_t) (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
           (uint64_t) (u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* R11: three nodes of which two are down answer nothing, and the scenario expected otherwise. What
 * it cost until then is counted once. */
static void test_real_longer_gap_than_expected_is_red(void **state)
{
    struct bench b;
    (void) state;
    if (!can_run()) {
        skip();
    }
    bench_init(&b, "multipaxos", "length 5s\nat 3s crash 1 2\nexpect gap 2\n");
    uint64_t before_us = children_cpu_us();
    execute(&b);
    assert_int_equal(b.err, OK);
    assert_true(b.record.red);
    assert_string_equal(b.record.property, "R11");
    assert_true(b.record.totals[TOTAL_CPU_US] > 0);
    assert_true(b.record.totals[TOTAL_CPU_US] <= children_cpu_us() - before_us);
    bench_release(&b);
}

/* D6: a node whose disk fails stops, and that is no fault of it; after a restart it is as new. */
static void test_real_failed_disk_stops_its_node(void **state)
{
    struct bench b;
    (void) state;
    if (!can_run()) {
        skip();
    }
    bench_init(&b, "raft",
               "length 4s\nat 1s disk 2 eio\nwhen stops 2 after 500ms restart 2\n"
               "at 2500ms disk 3 hang for 300ms\nat 2s disk 1 delay 5ms\n");
    execute(&b);
    assert_green(&b);
    assert_int_equal(events(&b, TRACE_STOP, NULL), 1);
    assert_true(events(&b, TRACE_START, NULL) >= 1);
    bench_release(&b);
}

/* Node 2's disk fails; where its process was, a shell does this when it has stopped. */
static void failed_disk_and(const char *afterwards, const char *property)
{
    struct bench b;
    char path[TEMPDIR_PATH_MAX + 16];
    char text[8192];
    if (!can_run()) {
        skip();
    }
    bench_init(&b, "raft", "length 3s\nat 1s disk 2 eio\n");
    (void) snprintf(path, sizeof path, "%s/synod", b.dir);
    (void) snprintf(text, sizeof text,
                    "#!/bin/sh\n"
                    "case \"$*\" in *'--node 2'*) timeout 60 %s \"$@\"; %s ;; esac\n"
                    "exec %s \"$@\"\n",
                    b.options.synod, afterwards, b.options.synod);
    file_write(path, text);
    assert_int_equal(chmod(path, 0755), 0);
    b.options.synod = path;
    execute(&b);
    assert_int_equal(b.err, OK);
    assert_true(b.record.red);
    assert_string_equal(b.record.property, property);
    assert_int_equal(unlink(path), 0);
    bench_release(&b);
}

/* D6: a node that outlives its disk is red. */
static void test_real_node_that_outlives_its_disk_is_red(void **state)
{
    (void) state;
    failed_disk_and("exec sleep 30", "D6");
}

/* Whatever the disk did: a crash has no excuse. */
static void test_real_crash_over_a_failed_disk_is_red(void **state)
{
    (void) state;
    failed_disk_and("kill -SEGV $$", "");
}

/* D9: an old image, a wiped disk: such a node is never believed again; the others go on. */
static void test_real_old_image_is_found_out(void **state)
{
    struct bench b;
    (void) state;
    if (!can_run()) {
        skip();
    }
    bench_init(&b, "raft",
               "length 4s\nat 800ms disk 3 save\nat 1800ms crash 3\nat 1900ms disk 3 restore\n"
               "at 2s restart 3\n");
    execute(&b);
    assert_green(&b);
    assert_int_equal(events(&b, TRACE_FAULT, scenario_step_note(STEP_DISK_RESTORE)), 1);
    assert_int_equal(events(&b, TRACE_STOP, NULL), 1);
    bench_release(&b);
}

static void test_real_supports_names_the_step_that_cannot_be(void **state)
{
    struct bench b;
    struct buf error;
    (void) state;
    bench_init(&b, "raft", "at 1s crash 1\nat 2s clock 2 jump 5s\n");
    buf_init(&error, ERROR_MAX);
    assert_int_equal(real_supports(&b.scenario, &b.options, &error), ERR_UNSUPPORTED);
    assert_non_null(memmem(error.data, error.size, "clock 2 jump 5s", 15));
    buf_release(&error);
    bench_release(&b);
}

/* A run that is stopped leaves nothing behind. */
static bool stop_at_once(void *ctx, uint64_t now_us, const char *what)
{
    (void) ctx;
    (void) what;
    return now_us == 0;
}

static void test_real_stopped_run_has_no_verdict(void **state)
{
    struct bench b;
    (void) state;
    if (!can_run()) {
        skip();
    }
    bench_init(&b, "paxos", "length 20s\n");
    b.options.progress = stop_at_once;
    execute(&b);
    assert_int_equal(b.err, ERR_CANCELED);
    bench_release(&b);
}

/* A port that somebody else took between two lives is no fault of the node: no verdict. */
static void test_real_taken_port_has_no_verdict(void **state)
{
    struct bench b;
    char path[TEMPDIR_PATH_MAX + 16];
    char text[8192];
    (void) state;
    if (!can_run()) {
        skip();
    }
    bench_init(&b, "raft", "length 3s\nat 1s crash 3 for 300ms\n");
    (void) snprintf(path, sizeof path, "%s/synod", b.dir);
    (void) snprintf(text, sizeof text,
                    "#!/bin/sh\n"
                    "case \"$*\" in *--init*) exec %s \"$@\" ;; esac\n"
                    "echo 'client address 127.0.0.1:1 is in use: another node or etcd runs there'\n"
                    "exit 1\n",
                    b.options.synod);
    file_write(path, text);
    assert_int_equal(chmod(path, 0755), 0);
    b.options.synod = path;
    execute(&b);
    assert_int_equal(b.err, ERR_IO);
    assert_false(b.record.red);
    assert_non_null(strstr(b.error, "in use"));
    assert_int_equal(unlink(path), 0);
    bench_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_real_supports_names_the_step_that_cannot_be),
        cmocka_unit_test(test_real_raft_crash_of_the_leader_is_survived),
        cmocka_unit_test(test_real_multipaxos_crash_of_the_leader_is_survived),
        cmocka_unit_test(test_real_paxos_crash_of_a_node_is_survived),
        cmocka_unit_test(test_real_isolated_leader_serves_nothing_old),
        cmocka_unit_test(test_real_local_reads_of_an_isolated_leader_are_red),
        cmocka_unit_test(test_real_longer_gap_than_expected_is_red),
        cmocka_unit_test(test_real_failed_disk_stops_its_node),
        cmocka_unit_test(test_real_node_that_outlives_its_disk_is_red),
        cmocka_unit_test(test_real_crash_over_a_failed_disk_is_red),
        cmocka_unit_test(test_real_old_image_is_found_out),
        cmocka_unit_test(test_real_taken_port_has_no_verdict),
        cmocka_unit_test(test_real_stopped_run_has_no_verdict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
