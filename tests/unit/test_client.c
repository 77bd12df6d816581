/*
 * test_client.c - which call goes where, how often and under which name: the client against servers
 * that fail on command. Property K2 from the client's side.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <uv.h>

#include <cmocka.h>

#include "base/mem.h"
#include "kv/client.h"
#include "net/grpc.h"
#include "tests/support/fake_etcd.h"

enum { SERVERS_MAX = 3, RESULTS_MAX = 16, TIMEOUT_MS = 10000, TEXT_MAX = 512 };

struct result {
    struct client_result r;
    char text[TEXT_MAX];
    bool done;
};

/* A client with some servers on one loop. */
struct bench {
    uv_loop_t loop;
    struct fake_etcd *servers[SERVERS_MAX];
    uint32_t servers_count;
    struct client *client;
    struct result results[RESULTS_MAX];
    uint32_t results_count;
    uint32_t open;
};

static void bench_init(struct bench *b, uint32_t servers, bool synod)
{
    memset(b, 0, sizeof(*b));
    assert_int_equal(uv_loop_init(&b->loop), 0);
    b->servers_count = servers;
    for (uint32_t i = 0; i < servers; i++) {
        b->servers[i] = fake_etcd_new(&b->loop, synod);
    }
}

static void bench_connect(struct bench *b, uint64_t attempt_ms)
{
    const char *endpoints[SERVERS_MAX];
    struct client_options options;

    for (uint32_t i = 0; i < b->servers_count; i++) {
        endpoints[i] = fake_etcd_endpoint(b->servers[i]);
    }
    client_options_init(&options);
    options.endpoints = endpoints;
    options.endpoints_count = b->servers_count;
    options.seed = 1;
    options.attempt_ms = attempt_ms;
    options.backoff_min_ms = 1;
    options.backoff_max_ms = 10;
    assert_int_equal(client_new(&b->loop, &options, &b->client, NULL), OK);
}

static void bench_release(struct bench *b)
{
    if (b->client != NULL) {
        client_close(b->client, NULL, NULL);
    }
    for (uint32_t i = 0; i < b->servers_count; i++) {
        if (b->servers[i] != NULL) {
            fake_etcd_close(b->servers[i]);
        }
    }
    assert_int_equal(uv_run(&b->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&b->loop), 0);
}

/* Where a result goes. */
struct target {
    struct bench *bench;
    uint32_t index;
};

static struct target targets[RESULTS_MAX];

static void on_done(void *ctx, const struct client_result *result)
{
    struct target *t = ctx;
    struct result *r = &t->bench->results[t->index];

    r->r = *result;
    r->r.message = NULL;
    strncpy(r->text, result->text, TEXT_MAX - 1);
    r->done = true;
    t->bench->open--;
    if (t->bench->open == 0) {
        uv_stop(&t->bench->loop);
    }
}

static uint64_t begin(struct bench *b, bool write, uint64_t timeout_ms)
{
    struct blob *empty = blob_new(0);
    struct client_request request = {
        .path = write ? CLIENT_PUT : CLIENT_RANGE,
        .message = empty,
        .write = write,
        .timeout_ms = timeout_ms,
        .endpoint = CLIENT_ANY,
        .on_done = on_done,
        .ctx = &targets[b->results_count],
    };
    uint64_t call;

    targets[b->results_count] = (struct target){b, b->results_count};
    b->results_count++;
    b->open++;
    call = client_call(b->client, &request);
    blob_unref(empty);
    return call;
}

static void run(struct bench *b)
{
    while (b->open > 0) {
        uv_run(&b->loop, UV_RUN_DEFAULT);
    }
}

static const struct client_result *call(struct bench *b, bool write, uint64_t timeout_ms)
{
    uint32_t index = b->results_count;

    (void) begin(b, write, timeout_ms);
    run(b);
    return &b->results[index].r;
}

static const struct fake_answer drop = {.action = FAKE_DROP};
static const struct fake_answer silence = {.action = FAKE_SILENCE};
static const struct fake_answer no_leader = {FAKE_STATUS, GRPC_UNAVAILABLE,
                                             "etcdserver: no leader"};
static const struct fake_answer timed_out = {FAKE_STATUS, GRPC_UNAVAILABLE,
                                             "etcdserver: request timed out"};

static void test_client_read_goes_on_when_unavailable(void **state)
{
    struct bench b;

    (void) state;
    bench_init(&b, 2, false);
    fake_etcd_then(b.servers[0], no_leader);
    bench_connect(&b, 0);
    assert_int_equal(call(&b, false, TIMEOUT_MS)->outcome, CLIENT_OK);
    assert_int_equal(b.results[0].r.endpoint, 1);
    assert_int_equal(b.results[0].r.attempts, 2);
    assert_int_equal(fake_etcd_call(b.servers[1], 0).session, 0); /* reads have no name */
    bench_release(&b);
}

static void test_client_read_goes_on_when_connection_breaks(void **state)
{
    struct bench b;

    (void) state;
    bench_init(&b, 1, false);
    fake_etcd_then(b.servers[0], drop);
    fake_etcd_then(b.servers[0], drop);
    bench_connect(&b, 0);
    assert_int_equal(call(&b, false, TIMEOUT_MS)->outcome, CLIENT_OK);
    assert_int_equal(fake_etcd_calls(b.servers[0]), 3);
    bench_release(&b);
}

static void test_client_read_goes_on_when_server_hangs(void **state)
{
    struct bench b;

    (void) state;
    bench_init(&b, 2, false);
    fake_etcd_then(b.servers[0], silence);
    bench_connect(&b, 20);
    assert_int_equal(call(&b, false, TIMEOUT_MS)->outcome, CLIENT_OK);
    assert_int_equal(b.results[0].r.endpoint, 1);
    bench_release(&b);
}

static void test_client_write_to_synod_keeps_its_name_over_servers(void **state)
{
    static const struct fake_answer failures[] = {{.action = FAKE_DROP},
                                                  {.action = FAKE_SILENCE},
                                                  {FAKE_STATUS, GRPC_UNAVAILABLE,
                                                   "etcdserver: request timed out"}};

    (void) state;
    for (size_t i = 0; i < ARRAY_SIZE(failures); i++) {
        struct bench b;
        struct fake_call first;
        struct fake_call second;

        bench_init(&b, 2, true);
        fake_etcd_then(b.servers[0], failures[i]);
        bench_connect(&b, 20);
        assert_int_equal(call(&b, true, TIMEOUT_MS)->outcome, CLIENT_OK);
        assert_false(b.results[0].r.unknown);
        assert_int_equal(fake_etcd_calls(b.servers[0]), 1);
        assert_int_equal(fake_etcd_calls(b.servers[1]), 1);
        first = fake_etcd_call(b.servers[0], 0);
        second = fake_etcd_call(b.servers[1], 0);
        assert_true(first.session >> 63 == 1);
        assert_true(first.session == second.session);
        assert_int_equal(first.sequence, 1);
        assert_int_equal(second.sequence, 1);
        bench_release(&b);
    }
}

static void test_client_write_to_etcd_is_never_sent_twice(void **state)
{
    static const struct fake_answer failures[] = {{.action = FAKE_DROP},
                                                  {FAKE_STATUS, GRPC_UNAVAILABLE,
                                                   "etcdserver: request timed out"},
                                                  {FAKE_STATUS, GRPC_UNAVAILABLE,
                                                   "etcdserver: no leader"}};

    (void) state;
    for (size_t i = 0; i < ARRAY_SIZE(failures); i++) {
        struct bench b;

        bench_init(&b, 2, false);
        fake_etcd_then(b.servers[0], failures[i]);
        bench_connect(&b, 20);
        assert_int_equal(call(&b, true, TIMEOUT_MS)->outcome, CLIENT_REFUSED);
        assert_true(b.results[0].r.unknown);
        assert_int_equal(fake_etcd_calls(b.servers[0]), 1);
        assert_int_equal(fake_etcd_calls(b.servers[1]), 0);
        bench_release(&b);
    }
}

static void test_client_write_to_hanging_etcd_is_unknown(void **state)
{
    struct bench b;

    (void) state;
    bench_init(&b, 2, false);
    fake_etcd_then(b.servers[0], silence);
    bench_connect(&b, 10);
    assert_int_equal(call(&b, true, 100)->outcome, CLIENT_TIMED_OUT);
    assert_true(b.results[0].r.unknown);
    assert_int_equal(fake_etcd_calls(b.servers[1]), 0);
    bench_release(&b);
}

/* A node that is stopped does not say what it is either; the next one does. */
static void test_client_write_leaves_a_server_that_hangs_altogether(void **state)
{
    struct bench b;

    (void) state;
    bench_init(&b, 2, true);
    fake_etcd_hang_status(b.servers[0]);
    fake_etcd_then(b.servers[0], silence);
    bench_connect(&b, 20);
    assert_int_equal(call(&b, true, TIMEOUT_MS)->outcome, CLIENT_OK);
    assert_int_equal(b.results[0].r.endpoint, 1);
    assert_int_equal(fake_etcd_call(b.servers[1], 0).sequence, 1);
    bench_release(&b);
}

static void test_client_write_refused_by_synod_for_no_leader_is_not_unknown(void **state)
{
    struct bench b;

    (void) state;
    bench_init(&b, 1, true);
    bench_connect(&b, 0);
    assert_int_equal(call(&b, true, TIMEOUT_MS)->outcome, CLIENT_OK); /* it is known to be Synod */
    for (int i = 0; i < 40; i++) {
        fake_etcd_then(b.servers[0], no_leader);
    }
    assert_int_equal(call(&b, true, 50)->outcome, CLIENT_TIMED_OUT);
    assert_false(b.results[1].r.unknown);
    assert_non_null(strstr(b.results[1].text, "etcdserver: no leader"));
    assert_true(b.results[1].r.attempts > 1);
    bench_release(&b);
}

static void test_client_sequence_rises_and_a_failed_session_is_left(void **state)
{
    static const struct fake_answer no = {FAKE_STATUS, GRPC_INVALID_ARGUMENT, "etcdserver: no"};
    struct bench b;
    uint64_t session;

    (void) state;
    bench_init(&b, 1, true);
    bench_connect(&b, 0);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(call(&b, true, TIMEOUT_MS)->outcome, CLIENT_OK);
        assert_int_equal(fake_etcd_call(b.servers[0], i).sequence, i + 1);
    }
    session = fake_etcd_call(b.servers[0], 0).session;
    assert_true(fake_etcd_call(b.servers[0], 2).session == session);
    fake_etcd_then(b.servers[0], no);
    assert_int_equal(call(&b, true, TIMEOUT_MS)->outcome, CLIENT_REFUSED);
    assert_int_equal(b.results[3].r.status, GRPC_INVALID_ARGUMENT);
    assert_string_equal(b.results[3].text, "etcdserver: no");
    assert_false(b.results[3].r.unknown);
    assert_int_equal(call(&b, true, TIMEOUT_MS)->outcome, CLIENT_OK);
    assert_int_equal(fake_etcd_call(b.servers[0], 4).sequence, 1);
    assert_true(fake_etcd_call(b.servers[0], 4).session != session);
    bench_release(&b);
}

static void test_client_writes_side_by_side_have_sessions_of_their_own(void **state)
{
    struct bench b;

    (void) state;
    bench_init(&b, 1, true);
    bench_connect(&b, 0);
    for (int i = 0; i < 4; i++) {
        (void) begin(&b, true, TIMEOUT_MS);
    }
    assert_int_equal(client_calls(b.client), 4);
    run(&b);
    assert_int_equal(client_calls(b.client), 0);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(b.results[i].r.outcome, CLIENT_OK);
        assert_int_equal(fake_etcd_call(b.servers[0], i).sequence, 1);
        for (uint32_t k = 0; k < i; k++) {
            assert_true(fake_etcd_call(b.servers[0], i).session !=
                        fake_etcd_call(b.servers[0], k).session);
        }
    }
    bench_release(&b);
}

static void test_client_expired_session_is_replaced_if_the_write_was_sent_once(void **state)
{
    static const struct fake_answer expired = {FAKE_STATUS, GRPC_FAILED_PRECONDITION,
                                               "synod: session expired: begin a new one"};
    struct bench b;

    (void) state;
    bench_init(&b, 1, true);
    bench_connect(&b, 0);
    assert_int_equal(call(&b, true, TIMEOUT_MS)->outcome, CLIENT_OK);
    fake_etcd_then(b.servers[0], expired);
    assert_int_equal(call(&b, true, TIMEOUT_MS)->outcome, CLIENT_OK);
    assert_int_equal(fake_etcd_call(b.servers[0], 1).sequence, 2);
    assert_int_equal(fake_etcd_call(b.servers[0], 2).sequence, 1);
    fake_etcd_then(b.servers[0], timed_out);
    fake_etcd_then(b.servers[0], expired);
    assert_int_equal(call(&b, true, TIMEOUT_MS)->outcome, CLIENT_REFUSED);
    assert_true(b.results[2].r.unknown);
    bench_release(&b);
}

static void test_client_nobody_there_is_unreachable_at_once(void **state)
{
    struct bench b;

    (void) state;
    bench_init(&b, 2, true);
    bench_connect(&b, 0);
    for (uint32_t i = 0; i < 2; i++) { /* the ports are free again: connections are refused */
        fake_etcd_close(b.servers[i]);
        b.servers[i] = NULL;
    }
    uv_run(&b.loop, UV_RUN_NOWAIT);
    assert_int_equal(call(&b, true, TIMEOUT_MS)->outcome, CLIENT_UNREACHABLE);
    assert_false(b.results[0].r.unknown);
    assert_int_equal(b.results[0].r.attempts, 0);
    assert_string_equal(b.results[0].text, "connection refused");
    bench_release(&b);
}

static void test_client_finds_the_server_that_is_left(void **state)
{
    struct bench b;

    (void) state;
    bench_init(&b, 3, true);
    bench_connect(&b, 0);
    fake_etcd_close(b.servers[0]);
    fake_etcd_close(b.servers[1]);
    b.servers[0] = NULL;
    b.servers[1] = NULL;
    assert_int_equal(call(&b, true, TIMEOUT_MS)->outcome, CLIENT_OK);
    assert_int_equal(b.results[0].r.endpoint, 2);
    assert_int_equal(b.results[0].r.attempts, 1);
    bench_release(&b);
}

static void test_client_makes_a_new_connection_after_goaway(void **state)
{
    static const struct fake_answer away = {.action = FAKE_GOAWAY};
    struct bench b;

    (void) state;
    bench_init(&b, 1, true);
    bench_connect(&b, 0);
    fake_etcd_then(b.servers[0], away);
    assert_int_equal(call(&b, true, TIMEOUT_MS)->outcome, CLIENT_OK);
    assert_int_equal(call(&b, true, TIMEOUT_MS)->outcome, CLIENT_OK);
    assert_int_equal(call(&b, true, TIMEOUT_MS)->outcome, CLIENT_OK);
    assert_int_equal(fake_etcd_calls(b.servers[0]), 3);
    assert_int_equal(fake_etcd_accepted(b.servers[0]), 2);
    assert_int_equal(fake_etcd_open(b.servers[0]), 1); /* the old one was closed */
    bench_release(&b);
}

static void test_client_canceled_call_has_no_result(void **state)
{
    struct bench b;
    uint64_t canceled;

    (void) state;
    bench_init(&b, 1, true);
    fake_etcd_then(b.servers[0], silence);
    bench_connect(&b, 0);
    canceled = begin(&b, true, TIMEOUT_MS);
    (void) begin(&b, true, TIMEOUT_MS);
    client_cancel(b.client, canceled);
    client_cancel(b.client, canceled); /* is legal */
    b.open--;
    run(&b);
    assert_false(b.results[0].done);
    assert_true(b.results[1].done);
    bench_release(&b);
}

static void test_client_closed_with_calls_open_ends_quietly(void **state)
{
    struct bench b;

    (void) state;
    bench_init(&b, 1, true);
    fake_etcd_then(b.servers[0], silence);
    bench_connect(&b, 0);
    (void) begin(&b, true, TIMEOUT_MS); /* will be sent */
    for (int i = 0; i < 20 && fake_etcd_calls(b.servers[0]) == 0; i++) {
        uv_run(&b.loop, UV_RUN_ONCE);
    }
    (void) begin(&b, true, TIMEOUT_MS); /* not even that */
    bench_release(&b);
    assert_false(b.results[0].done);
    assert_false(b.results[1].done);
}

static void on_done_close(void *ctx, const struct client_result *result)
{
    struct bench *b = ctx;

    b->results[0].r = *result;
    client_close(b->client, NULL, NULL);
    b->client = NULL;
}

static void test_client_may_be_closed_by_a_result(void **state)
{
    struct bench b;
    struct blob *empty = blob_new(0);
    const struct client_request request = {
        .path = CLIENT_RANGE,
        .message = empty,
        .timeout_ms = TIMEOUT_MS,
        .endpoint = CLIENT_ANY,
        .on_done = on_done_close,
        .ctx = &b,
    };

    (void) state;
    bench_init(&b, 1, true);
    bench_connect(&b, 0);
    (void) client_call(b.client, &request);
    (void) begin(&b, true, TIMEOUT_MS);
    while (b.client != NULL) {
        uv_run(&b.loop, UV_RUN_ONCE);
    }
    assert_int_equal(b.results[0].r.outcome, CLIENT_OK);
    bench_release(&b);
    blob_unref(empty);
}

static void test_client_refuses_endpoints_that_do_not_parse(void **state)
{
    static const char *const bad[] = {"",         "host",        "host:", ":2379",
                                      "host:0",   "h:65536",     "h:1x",  "::1:2379",
                                      "[::1:2",   "https://h:1", "h: 1",  "http://:2379",
                                      "http://h/"};
    uv_loop_t loop;

    (void) state;
    assert_int_equal(uv_loop_init(&loop), 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct client_options options;
        struct client *client = NULL;
        struct buf error;

        client_options_init(&options);
        options.endpoints = &bad[i];
        options.endpoints_count = 1;
        buf_init(&error, TEXT_MAX);
        assert_int_equal(client_new(&loop, &options, &client, &error), ERR_INVALID);
        assert_null(client);
        assert_true(error.size > 0);
        buf_release(&error);
    }
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void test_client_blocking_calls_several_at_once(void **state)
{
    struct bench b;
    struct client_options options;
    struct client_blocking *blocking = NULL;
    const char *nobody[] = {"127.0.0.1:1", "[::1]:1"};
    struct client_request requests[2];
    struct client_result results[2];
    struct blob *empty = blob_new(0);

    (void) state;
    (void) b;
    client_options_init(&options);
    options.endpoints = nobody;
    options.endpoints_count = 2;
    assert_int_equal(client_blocking_new(&options, &blocking, NULL), OK);
    for (int32_t i = 0; i < 2; i++) {
        requests[i] = (struct client_request){.path = CLIENT_STATUS,
                                              .message = empty,
                                              .timeout_ms = TIMEOUT_MS,
                                              .endpoint = i};
    }
    client_blocking_call(blocking, requests, 2, results);
    for (int32_t i = 0; i < 2; i++) {
        assert_int_equal(results[i].outcome, CLIENT_UNREACHABLE);
        assert_int_equal(results[i].endpoint, i);
        assert_true(strlen(results[i].text) > 0);
    }
    assert_string_equal(client_endpoint(client_blocking_client(blocking), 1), "[::1]:1");
    client_blocking_free(blocking);
    client_blocking_free(NULL);
    blob_unref(empty);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_client_read_goes_on_when_unavailable),
        cmocka_unit_test(test_client_read_goes_on_when_connection_breaks),
        cmocka_unit_test(test_client_read_goes_on_when_server_hangs),
        cmocka_unit_test(test_client_write_to_synod_keeps_its_name_over_servers),
        cmocka_unit_test(test_client_write_to_etcd_is_never_sent_twice),
        cmocka_unit_test(test_client_write_to_hanging_etcd_is_unknown),
        cmocka_unit_test(test_client_write_leaves_a_server_that_hangs_altogether),
        cmocka_unit_test(test_client_write_refused_by_synod_for_no_leader_is_not_unknown),
        cmocka_unit_test(test_client_sequence_rises_and_a_failed_session_is_left),
        cmocka_unit_test(test_client_writes_side_by_side_have_sessions_of_their_own),
        cmocka_unit_test(test_client_expired_session_is_replaced_if_the_write_was_sent_once),
        cmocka_unit_test(test_client_nobody_there_is_unreachable_at_once),
        cmocka_unit_test(test_client_finds_the_server_that_is_left),
        cmocka_unit_test(test_client_makes_a_new_connection_after_goaway),
        cmocka_unit_test(test_client_canceled_call_has_no_result),
        cmocka_unit_test(test_client_closed_with_calls_open_ends_quietly),
        cmocka_unit_test(test_client_may_be_closed_by_a_result),
        cmocka_unit_test(test_client_refuses_endpoints_that_do_not_parse),
        cmocka_unit_test(test_client_blocking_calls_several_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
