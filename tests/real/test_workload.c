/*
 * test_workload.c - what an answer, and what no answer, means for the history: K3 (what certainly
 * was not applied, and what may have been), K4, P2, R9 (answers that cannot be).
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include <cmocka.h>

#include "base/mem.h"
#include "net/grpc.h"
#include "tests/real/workload.h"
#include "tests/support/fake_etcd.h"

enum { PROPERTY_MAX = 8, TURNS_MAX = 100000 };

struct bench {
    uv_loop_t loop;
    struct fake_etcd *server; /* NULL: nobody listens */
    struct scenario scenario;
    struct history *history;
    struct workload *workload;
    uint32_t fails;
    char property[PROPERTY_MAX]; /* of the first */
    uint32_t writes;
};

static void on_fail(void *ctx, const char *property, const char *text)
{
    struct bench *b = ctx;
    (void) text;
    if (b->fails++ == 0) {
        (void) snprintf(b->property, sizeof b->property, "%s", property);
    }
}

static void on_write(void *ctx, uint64_t us)
{
    struct bench *b = ctx;
    (void) us;
    b->writes++;
}

/* One client and one node. */
static void bench_init(struct bench *b, uint32_t kind, uint64_t timeout_us)
{
    memset(b, 0, sizeof *b);
    assert_int_equal(uv_loop_init(&b->loop), 0);
    b->server = fake_etcd_new(&b->loop, true);
    scenario_init(&b->scenario, NULL, 3);
    b->scenario.nodes = 1;
    b->scenario.clients = 1;
    b->scenario.keys = 1;
    b->scenario.timeout_us = timeout_us;
    b->scenario.retry_percent = 0;
    b->scenario.think = (struct sim_span){0, 0};
    memset(b->scenario.mix, 0, sizeof b->scenario.mix);
    b->scenario.mix[kind] = 1;
    b->history = history_new();
}

static void bench_start(struct bench *b)
{
    const char *endpoint = fake_etcd_endpoint(b->server);
    const struct workload_options o = {.scenario = &b->scenario,
                                       .endpoints = &endpoint,
                                       .history = b->history,
                                       .start_ns = uv_hrtime(),
                                       .on_write = on_write,
                                       .on_fail = on_fail,
                                       .ctx = b};
    assert_int_equal(workload_new(&b->loop, &o, &b->workload, NULL), OK);
    workload_start(b->workload);
}

/* Runs until so many calls of clients have ended. */
static void run_ends(struct bench *b, uint64_t ends)
{
    for (uint32_t i = 0; i < TURNS_MAX; i++) {
        struct workload_counts n;
        workload_counts(b->workload, &n);
        if (n.writes_ok + n.reads_ok + n.failed + n.unknown >= ends) {
            return;
        }
        (void) uv_run(&b->loop, UV_RUN_ONCE);
    }
    fail();
}

static void bench_release(struct bench *b)
{
    workload_close(b->workload, NULL, NULL);
    if (b->server != NULL) {
        fake_etcd_close(b->server);
    }
    assert_int_equal(uv_run(&b->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&b->loop), 0);
    history_free(b->history);
    scenario_release(&b->scenario);
}

/* One operation ends so, and whether the client keeps its name then. */
static void assert_ends(struct fake_answer answer, uint8_t result, bool name_stays)
{
    struct bench b;
    bench_init(&b, SIM_OP_PUT, 300000);
    fake_etcd_then(b.server, answer);
    fake_etcd_then(b.server, (struct fake_answer){FAKE_STATUS, GRPC_RESOURCE_EXHAUSTED, "later"});
    bench_start(&b);
    run_ends(&b, 2);
    const struct history_op *first = history_get(b.history, 0);
    const struct history_op *second = history_get(b.history, 1);
    assert_int_equal(first->kind, HIST_PUT);
    assert_int_equal(first->result, result);
    assert_true(first->return_ns > first->call_ns);
    assert_true(second->call_ns > first->return_ns);
    assert_int_equal(first->client == second->client, name_stays);
    assert_int_equal(b.fails, 0);
    struct fake_call a = fake_etcd_call(b.server, 0);
    struct fake_call c = fake_etcd_call(b.server, 1);
    assert_true(a.session != 0);
    assert_true(c.session != a.session); /* it did not end well */
    bench_release(&b);
}

static void test_workload_refused_before_it_was_handed_on_is_failed(void **state)
{
    (void) state;
    assert_ends((struct fake_answer){FAKE_STATUS, GRPC_UNAVAILABLE, "etcdserver: no leader"},
                HIST_FAIL, true);
    assert_ends((struct fake_answer){FAKE_STATUS, GRPC_RESOURCE_EXHAUSTED,
                                     "etcdserver: too many requests"},
                HIST_FAIL, true);
}

static void test_workload_that_may_be_applied_is_unknown(void **state)
{
    (void) state;
    assert_ends((struct fake_answer){FAKE_STATUS, GRPC_UNAVAILABLE,
                                     "etcdserver: request timed out"},
                HIST_UNKNOWN, false);
    assert_ends((struct fake_answer){FAKE_STATUS, GRPC_DEADLINE_EXCEEDED, "late"}, HIST_UNKNOWN,
                false);
    assert_ends((struct fake_answer){FAKE_STATUS, GRPC_FAILED_PRECONDITION,
                                     "synod: session expired: begin a new one"},
                HIST_UNKNOWN, false);
    assert_ends((struct fake_answer){FAKE_DROP, 0, NULL}, HIST_UNKNOWN, false);
    assert_ends((struct fake_answer){FAKE_SILENCE, 0, NULL}, HIST_UNKNOWN, false);
}

static void test_workload_nobody_listens_is_failed(void **state)
{
    struct bench b;
    (void) state;
    bench_init(&b, SIM_OP_PUT, 300000);
    bench_start(&b);
    fake_etcd_close(b.server);
    b.server = NULL;
    run_ends(&b, 2);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(history_get(b.history, i)->result, HIST_FAIL);
    }
    bench_release(&b);
}

/* A read without an answer has no effect. */
static void test_workload_read_without_answer_is_failed(void **state)
{
    struct bench b;
    (void) state;
    bench_init(&b, SIM_OP_GET, 100000);
    fake_etcd_then(b.server, (struct fake_answer){FAKE_SILENCE, 0, NULL});
    bench_start(&b);
    run_ends(&b, 1);
    assert_int_equal(history_get(b.history, 0)->kind, HIST_GET);
    assert_int_equal(history_get(b.history, 0)->result, HIST_FAIL);
    bench_release(&b);
}

static void test_workload_answer_that_says_nothing_to_the_call_is_told(void **state)
{
    struct bench b;
    (void) state;
    bench_init(&b, SIM_OP_PUT, 300000);
    fake_etcd_then(b.server, (struct fake_answer){FAKE_STATUS, GRPC_INVALID_ARGUMENT, "no key"});
    bench_start(&b);
    run_ends(&b, 1);
    assert_int_equal(b.fails, 1);
    assert_string_equal(b.property, "");
    bench_release(&b);
}

/* K4: a write is answered with a revision that is not above those known before. */
static void test_workload_write_that_raises_no_revision_is_told(void **state)
{
    struct bench b;
    (void) state;
    bench_init(&b, SIM_OP_PUT, 300000);
    fake_etcd_then(b.server, (struct fake_answer){FAKE_OK, 0, NULL}); /* revision 0 */
    bench_start(&b);
    run_ends(&b, 1);
    assert_string_equal(b.property, "K4");
    assert_int_equal(b.writes, 1);
    bench_release(&b);
}

/* What is open when it is closed stays unknown. */
static void test_workload_close_leaves_open_calls_unknown(void **state)
{
    struct bench b;
    (void) state;
    bench_init(&b, SIM_OP_PUT, 10000000);
    fake_etcd_then(b.server, (struct fake_answer){FAKE_SILENCE, 0, NULL});
    bench_start(&b);
    for (uint32_t i = 0; i < TURNS_MAX && fake_etcd_calls(b.server) == 0; i++) {
        (void) uv_run(&b.loop, UV_RUN_ONCE);
    }
    assert_int_equal(fake_etcd_calls(b.server), 1);
    assert_int_equal(history_count(b.history), 1);
    assert_int_equal(history_get(b.history, 0)->result, HIST_UNKNOWN);
    bench_release(&b);
}

/* The reads of the end are all keys there are: r0, l0, t0a, t0b. */
static void test_workload_final_reads_every_key(void **state)
{
    struct bench b;
    uint32_t found = 0;
    (void) state;
    bench_init(&b, SIM_OP_GET, 300000);
    bench_start(&b);
    run_ends(&b, 1);
    workload_stop(b.workload);
    for (uint32_t i = 0; i < TURNS_MAX && !workload_idle(b.workload); i++) {
        (void) uv_run(&b.loop, UV_RUN_ONCE);
    }
    uint32_t before = history_count(b.history);
    workload_final(b.workload);
    for (uint32_t i = 0; i < TURNS_MAX && !workload_idle(b.workload); i++) {
        (void) uv_run(&b.loop, UV_RUN_ONCE);
    }
    assert_int_equal(history_count(b.history), before + 4);
    for (uint32_t i = before; i < before + 4; i++) {
        const struct history_op *op = history_get(b.history, i);
        assert_int_equal(op->kind, HIST_GET);
        assert_int_equal(op->result, HIST_OK);
        found |= 1U << op->key;
    }
    assert_int_equal(__builtin_popcount(found), 4);
    bench_release(&b);
}

static int ignore_sigpipe(void **state)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void) state;
    return sigaction(SIGPIPE, &ignore, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_workload_refused_before_it_was_handed_on_is_failed),
        cmocka_unit_test(test_workload_that_may_be_applied_is_unknown),
        cmocka_unit_test(test_workload_nobody_listens_is_failed),
        cmocka_unit_test(test_workload_read_without_answer_is_failed),
        cmocka_unit_test(test_workload_answer_that_says_nothing_to_the_call_is_told),
        cmocka_unit_test(test_workload_write_that_raises_no_revision_is_told),
        cmocka_unit_test(test_workload_close_leaves_open_calls_unknown),
        cmocka_unit_test(test_workload_final_reads_every_key),
    };
    return cmocka_run_group_tests(tests, ignore_sigpipe, NULL);
}
