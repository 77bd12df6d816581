/*
 * test_grpc.c - a gRPC client and a server back to back in memory. What the bytes on the wire are,
 * and what a decent client does not send, is in test_grpc_wire.c.
 */

#include "net/grpc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/rng.h"
#include "tests/support/grpc_end.h"

struct pair {
    struct end server;
    struct end client;
    struct rng rng;
    size_t piece_max; /* input is cut into random pieces up to this; 0: not at all */
};

static void pair_init_limits(struct pair *p, uint64_t seed, const struct grpc_limits *limits)
{
    rng_init(&p->rng, seed);
    p->piece_max = 0;
    struct grpc_callbacks server = end_init(&p->server);
    struct grpc_callbacks client = end_init(&p->client);
    struct grpc_limits defaults;
    grpc_limits_init(&defaults);
    assert_int_equal(grpc_new_server(&server, limits, &p->server.g), OK);
    assert_int_equal(grpc_new_client(&client, &defaults, "localhost:2379", &p->client.g), OK);
}

static void pair_init(struct pair *p)
{
    struct grpc_limits limits;
    grpc_limits_init(&limits);
    pair_init_limits(p, 1, &limits);
}

static void pair_release(struct pair *p)
{
    end_release(&p->client);
    end_release(&p->server);
}

/* Moves what `from` has to say to its wire; whether there was something. */
static bool drain(struct end *from)
{
    bool any = false;
    for (;;) {
        struct bytes out = grpc_output(from->g);
        if (out.size == 0) {
            return any;
        }
        any = true;
        assert_int_equal(buf_append_bytes(&from->out, out), OK);
        grpc_sent(from->g, out.size);
    }
}

/* Feeds the wire of `from` to `to`, in random pieces when the test wants them. */
static int deliver(struct pair *p, struct end *from, struct end *to)
{
    int err = OK;
    while (from->out.size > 0 && err == OK) {
        size_t n = from->out.size;
        if (p->piece_max > 0) {
            n = (size_t) rng_between(&p->rng, 1, u64_min(n, p->piece_max));
        }
        /* An exact copy, so that the sanitizer sees a read past the end. */
        uint8_t *copy = xmemdup(from->out.data, n);
        err = grpc_feed(to->g, bytes_of(copy, n));
        free(copy);
        buf_consume(&from->out, n);
    }
    return err;
}

/* Both ends talk until they have nothing to say. */
static void run(struct pair *p)
{
    bool any = true;
    while (any) {
        any = drain(&p->client);
        assert_int_equal(deliver(p, &p->client, &p->server), OK);
        any = drain(&p->server) || any;
        assert_int_equal(deliver(p, &p->server, &p->client), OK);
    }
}

static uint32_t begin_call(struct pair *p, const char *path)
{
    uint32_t call = 0;
    assert_int_equal(grpc_call(p->client.g, path, UINT64_MAX, NULL, 0, NULL, &call), OK);
    return call;
}

static void send_text(struct pair *p, uint32_t call, const char *text, bool last)
{
    struct blob *b = blob_copy(bytes_str(text));
    assert_int_equal(grpc_call_send(p->client.g, call, b, last), OK);
    blob_unref(b);
}

static void reply_text(struct pair *p, uint32_t call, const char *text, int expected)
{
    struct blob *b = blob_copy(bytes_str(text));
    assert_int_equal(grpc_reply(p->server.g, call, b), expected);
    blob_unref(b);
}

static struct blob *pattern(size_t size, uint32_t seed)
{
    struct blob *b = blob_new(size);
    for (size_t i = 0; i < size; i++) {
        b->data[i] = (uint8_t) (i * 13 + i / 251 + seed);
    }
    return b;
}

/* ---- Calls */

static void test_grpc_unary_call_carries_path_message_and_reply(void **state)
{
    (void) state;
    struct pair p;
    pair_init(&p);
    uint32_t call = begin_call(&p, "/etcdserverpb.KV/Range");
    send_text(&p, call, "question", true);
    run(&p);
    assert_events(&p.server, "begin 1 /etcdserverpb.KV/Range\nmessage 1 question\nhalf_close 1\n");
    assert_events(&p.client, "");
    assert_int_equal(grpc_calls(p.server.g), 1);
    reply_text(&p, 1, "answer", OK);
    run(&p);
    assert_events(&p.client, "message 1 answer\nend 1 OK \"\" user=\n");
    assert_events(&p.server, "");
    assert_int_equal(grpc_calls(p.server.g), 0);
    assert_int_equal(grpc_calls(p.client.g), 0);
    reply_text(&p, 1, "again", ERR_NOT_FOUND);
    assert_int_equal(grpc_queued(p.server.g), 0);
    pair_release(&p);
}

static void test_grpc_call_carries_deadline_and_metadata(void **state)
{
    (void) state;
    struct pair p;
    pair_init(&p);
    struct grpc_metadata metadata[] = {
        {bytes_str("token"), bytes_str("secret")},
        {bytes_str("hasleader"), bytes_str("true")},
    };
    uint32_t call = 0;
    assert_int_equal(grpc_call(p.client.g, "/a/b", 2500000, metadata, 2, "user", &call), OK);
    assert_string_equal(grpc_call_user(p.client.g, call), "user");
    run(&p);
    assert_events(&p.server, "begin 1 /a/b timeout=2500000 token=secret hasleader=true\n");
    grpc_call_set_user(p.server.g, 1, "mine");
    assert_string_equal(grpc_call_user(p.server.g, 1), "mine");
    assert_int_equal(grpc_finish(p.server.g, 1, GRPC_OK, NULL), OK);
    assert_null(grpc_call_user(p.server.g, 1));
    run(&p);
    assert_events(&p.client, "end 1 OK \"\" user=user\n");
    pair_release(&p);
}

static void test_grpc_error_status_carries_its_text(void **state)
{
    (void) state;
    struct pair p;
    pair_init(&p);
    uint32_t call = begin_call(&p, "/a/b");
    send_text(&p, call, "x", true);
    run(&p);
    const char *text = "50% of \"\xc3\xa9\"\n\x7f";
    assert_int_equal(grpc_finish(p.server.g, 1, GRPC_OUT_OF_RANGE, text), OK);
    assert_int_equal(grpc_finish(p.server.g, 1, GRPC_OUT_OF_RANGE, text), ERR_NOT_FOUND);
    run(&p);
    assert_events(&p.client, "end 1 OutOfRange \"50% of \"\xc3\xa9\"\n\x7f\" user=\n");
    pair_release(&p);
}

static void test_grpc_error_after_messages_arrives_behind_them(void **state)
{
    (void) state;
    struct pair p;
    pair_init(&p);
    uint32_t call = begin_call(&p, "/a/b");
    send_text(&p, call, "x", true);
    run(&p);
    buf_clear(&p.server.events);
    struct blob *b = blob_copy(bytes_str("part"));
    assert_int_equal(grpc_send(p.server.g, 1, b), OK);
    run(&p);
    assert_events(&p.client, "message 1 part\n");
    assert_int_equal(grpc_send(p.server.g, 1, b), OK);
    assert_int_equal(grpc_send(p.server.g, 1, b), OK);
    assert_int_equal(grpc_finish(p.server.g, 1, GRPC_DATA_LOSS, "gone"), OK);
    run(&p);
    assert_events(&p.client, "message 1 part\nmessage 1 part\nend 1 DataLoss \"gone\" user=\n");
    blob_unref(b);
    pair_release(&p);
}

static void test_grpc_bidirectional_stream(void **state)
{
    (void) state;
    struct pair p;
    pair_init(&p);
    p.server.mode = MODE_ECHO_STREAM;
    uint32_t call = begin_call(&p, "/etcdserverpb.Watch/Watch");
    send_text(&p, call, "one", false);
    run(&p);
    assert_events(&p.client, "message 1 one\n");
    send_text(&p, call, "two", false);
    send_text(&p, call, "", false);
    run(&p);
    assert_events(&p.client, "message 1 two\nmessage 1 \n");
    assert_int_equal(grpc_call_send(p.client.g, call, NULL, true), OK);
    assert_int_equal(grpc_call_send(p.client.g, call, NULL, true), ERR_CLOSED);
    run(&p);
    assert_events(&p.client, "end 1 OK \"\" user=\n");
    assert_int_equal(grpc_calls(p.server.g), 0);
    pair_release(&p);
}

static void test_grpc_unknown_method_is_answered_in_on_begin(void **state)
{
    (void) state;
    struct pair p;
    pair_init(&p);
    p.server.mode = MODE_UNIMPLEMENTED;
    uint32_t call = begin_call(&p, "/no/such");
    send_text(&p, call, "x", true);
    run(&p);
    /* Neither the message nor the half-close reaches an owner that is done. */
    assert_events(&p.server, "begin 1 /no/such\nfinish 0\n");
    assert_events(&p.client, "end 1 Unimplemented \"unknown method\" user=\n");
    pair_release(&p);
}

static void test_grpc_status_while_client_still_sends_resets_the_stream(void **state)
{
    (void) state;
    struct pair p;
    pair_init(&p);
    uint32_t call = begin_call(&p, "/a/b");
    send_text(&p, call, "x", false);
    run(&p);
    assert_int_equal(grpc_finish(p.server.g, 1, GRPC_UNAVAILABLE, "no leader"), OK);
    run(&p);
    assert_events(&p.client, "end 1 Unavailable \"no leader\" user=\n");
    /* Without a RST_STREAM of either end the stream would stay half open. */
    assert_int_equal(grpc_calls(p.server.g), 0);
    assert_int_equal(grpc_calls(p.client.g), 0);
    pair_release(&p);
}

static void test_grpc_cancel_by_client_ends_the_call_at_the_server(void **state)
{
    (void) state;
    struct pair p;
    pair_init(&p);
    uint32_t call = begin_call(&p, "/a/b");
    send_text(&p, call, "x", true);
    run(&p);
    buf_clear(&p.server.events);
    grpc_call_set_user(p.server.g, 1, "watch");
    grpc_cancel(p.client.g, call);
    grpc_cancel(p.client.g, call);
    run(&p);
    assert_events(&p.client, "");
    assert_events(&p.server, "end 1 Canceled \"\" user=watch\n");
    reply_text(&p, 1, "late", ERR_NOT_FOUND);
    assert_int_equal(grpc_finish(p.server.g, 1, GRPC_OK, NULL), ERR_NOT_FOUND);
    assert_null(grpc_call_user(p.server.g, 1));
    pair_release(&p);
}

static void test_grpc_cancel_before_anything_is_sent(void **state)
{
    (void) state;
    struct pair p;
    pair_init(&p);
    uint32_t call = begin_call(&p, "/a/b");
    send_text(&p, call, "x", true);
    grpc_cancel(p.client.g, call);
    run(&p);
    assert_events(&p.client, "");
    assert_events(&p.server, "");
    assert_int_equal(grpc_calls(p.client.g), 0);
    assert_int_equal(grpc_queued(p.client.g), 0);
    pair_release(&p);
}

static void test_grpc_cancel_by_server_ends_the_call_at_the_client(void **state)
{
    (void) state;
    struct pair p;
    pair_init(&p);
    uint32_t call = begin_call(&p, "/a/b");
    send_text(&p, call, "x", true);
    run(&p);
    buf_clear(&p.server.events);
    grpc_cancel(p.server.g, 1);
    run(&p);
    assert_events(&p.client, "end 1 Canceled \"CANCEL\" user=\n");
    assert_events(&p.server, "");
    pair_release(&p);
}

static void test_grpc_lost_connection_ends_all_calls(void **state)
{
    (void) state;
    struct pair p;
    pair_init(&p);
    uint32_t call = begin_call(&p, "/a/b");
    send_text(&p, call, "x", true);
    run(&p);
    buf_clear(&p.server.events);
    (void) begin_call(&p, "/never/sent");
    grpc_free(p.client.g);
    p.client.g = NULL;
    grpc_free(p.server.g);
    p.server.g = NULL;
    assert_events(&p.server, "end 1 Canceled \"\" user=\n");
    assert_int_equal(buf_append(&p.client.events, "", 1), OK);
    const char *events = (const char *) p.client.events.data;
    assert_non_null(strstr(events, "end 1 Unavailable \"the connection is lost\" user=\n"));
    assert_non_null(strstr(events, "end 3 Unavailable refused \"the connection is lost\" user=\n"));
    pair_release(&p);
}

/* ---- Messages and frames */

static void echo_sizes(size_t piece_max, uint64_t seed)
{
    static const size_t sizes[] = {0, 1, 4, 5, 6, 16379, 16380, 16384, 16385, 100000, 1500000};
    struct pair p;
    struct grpc_limits limits;
    grpc_limits_init(&limits);
    pair_init_limits(&p, seed, &limits);
    p.piece_max = piece_max;
    p.server.mode = MODE_ECHO_STREAM;
    uint32_t call = begin_call(&p, "/a/b");
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct blob *b = pattern(sizes[i], (uint32_t) i);
        p.client.quiet = true;
        p.server.quiet = true;
        assert_int_equal(grpc_call_send(p.client.g, call, b, false), OK);
        blob_unref(b);
    }
    assert_int_equal(grpc_call_send(p.client.g, call, NULL, true), OK);
    run(&p);
    assert_int_equal(buf_append(&p.server.events, "", 1), OK);
    assert_int_equal(buf_append(&p.client.events, "", 1), OK);
    /* The client saw what the server saw, between the first line and the last. */
    char *sent = strchr((char *) p.server.events.data, '\n') + 1;
    char *half_close = strstr(sent, "half_close");
    char *end = strstr((char *) p.client.events.data, "end 1 OK");
    assert_non_null(half_close);
    assert_non_null(end);
    *half_close = '\0';
    *end = '\0';
    assert_string_equal((char *) p.client.events.data, sent);
    struct blob *b = pattern(1500000, 10);
    uint64_t sum = end_sum(b);
    blob_unref(b);
    char last[64];
    (void) snprintf(last, sizeof last, "message 1 size=1500000 sum=%llx\n",
                    (unsigned long long) sum);
    assert_non_null(strstr(sent, last));
    pair_release(&p);
}

static void test_grpc_messages_span_frames_and_share_them(void **state)
{
    (void) state;
    echo_sizes(0, 1);
}

static void test_grpc_input_in_random_pieces_gives_the_same(void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        echo_sizes(seed % 2 == 0 ? 300 : 20000, seed);
    }
    echo_sizes(1, 11);
}

static void test_grpc_many_calls_at_once_in_random_order(void **state)
{
    (void) state;
    struct pair p;
    pair_init(&p);
    p.piece_max = 1000;
    uint32_t calls[90];
    for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
        calls[i] = begin_call(&p, "/a/b");
        send_text(&p, calls[i], "x", true);
    }
    run(&p);
    assert_int_equal(grpc_calls(p.server.g), ARRAY_SIZE(calls));
    for (size_t i = ARRAY_SIZE(calls); i > 0; i--) {
        size_t k = (size_t) rng_below(&p.rng, i);
        uint32_t call = calls[k];
        calls[k] = calls[i - 1];
        reply_text(&p, call, "y", OK);
        char expected[100];
        (void) snprintf(expected, sizeof expected, "message %u y\nend %u OK \"\" user=\n", call,
                        call);
        run(&p);
        assert_events(&p.client, expected);
    }
    pair_release(&p);
}

static void test_grpc_oversize_message_is_resource_exhausted_with_etcds_text(void **state)
{
    (void) state;
    struct pair p;
    pair_init(&p);
    uint32_t call = begin_call(&p, "/a/b");
    struct blob *b = blob_new(2 * 1024 * 1024 + 1);
    memset(b->data, 0, b->size);
    assert_int_equal(grpc_call_send(p.client.g, call, b, true), OK);
    blob_unref(b);
    run(&p);
    assert_events(&p.client, "end 1 ResourceExhausted \"grpc: received message larger than max "
                             "(2097153 vs. 2097152)\" user=\n");
    assert_events(&p.server, "begin 1 /a/b\nend 1 ResourceExhausted \"grpc: received message "
                             "larger than max (2097153 vs. 2097152)\" user=\n");
    assert_int_equal(grpc_calls(p.server.g), 0);
    /* The connection is none the worse. */
    p.server.mode = MODE_ECHO;
    send_text(&p, begin_call(&p, "/a/b"), "next", true);
    run(&p);
    assert_events(&p.client, "message 3 next\nend 3 OK \"\" user=\n");
    pair_release(&p);
}

static void test_grpc_largest_message_is_accepted(void **state)
{
    (void) state;
    struct pair p;
    pair_init(&p);
    p.server.mode = MODE_ECHO;
    uint32_t call = begin_call(&p, "/a/b");
    struct blob *b = pattern(2 * 1024 * 1024, 3);
    assert_int_equal(grpc_call_send(p.client.g, call, b, true), OK);
    blob_unref(b);
    run(&p);
    assert_int_equal(buf_append(&p.client.events, "", 1), OK);
    assert_non_null(strstr((char *) p.client.events.data, "end 1 OK"));
    pair_release(&p);
}

static void test_grpc_long_reply_does_not_hold_up_a_short_one(void **state)
{
    (void) state;
    struct pair p;
    pair_init(&p);
    p.server.mode = MODE_MANUAL;
    uint32_t a = begin_call(&p, "/long");
    uint32_t b = begin_call(&p, "/short");
    send_text(&p, a, "x", true);
    send_text(&p, b, "x", true);
    run(&p);
    struct blob *big = pattern(500000, 1);
    assert_int_equal(grpc_reply(p.server.g, a, big), OK);
    blob_unref(big);
    reply_text(&p, b, "short", OK);
    /* The first 64 KiB of output must hold all of the short answer. */
    struct bytes out = grpc_output(p.server.g);
    assert_true(out.size > 65536);
    assert_int_equal(grpc_feed(p.client.g, bytes_of(out.data, 65536)), OK);
    assert_events(&p.client, "message 3 short\nend 3 OK \"\" user=\n");
    pair_release(&p);
}

static void test_grpc_output_keeps_still_while_input_and_answers_come(void **state)
{
    (void) state;
    struct pair p;
    pair_init(&p);
    uint32_t a = begin_call(&p, "/a");
    uint32_t b = begin_call(&p, "/b");
    send_text(&p, a, "x", true);
    run(&p);
    reply_text(&p, a, "small", OK);
    struct bytes out = grpc_output(p.server.g);
    uint8_t *copy = xmemdup(out.data, out.size);
    struct blob *big = pattern(1000000, 1);
    assert_int_equal(grpc_send(p.server.g, b, big), OK);
    send_text(&p, b, "y", true);
    (void) drain(&p.client);
    assert_int_equal(deliver(&p, &p.client, &p.server), OK);
    assert_int_equal(grpc_reply(p.server.g, b, big), OK);
    assert_memory_equal(out.data, copy, out.size);
    /* Partial writes: what is left comes first. */
    grpc_sent(p.server.g, 3);
    struct bytes rest = grpc_output(p.server.g);
    assert_true(rest.size > 100000);
    assert_memory_equal(rest.data, copy + 3, out.size - 3);
    free(copy);
    blob_unref(big);
    pair_release(&p);
}

/* ---- Limits */

static void test_grpc_client_that_never_reads_loses_the_connection(void **state)
{
    (void) state;
    struct pair p;
    struct grpc_limits limits;
    grpc_limits_init(&limits);
    limits.output_max = 1000000;
    pair_init_limits(&p, 1, &limits);
    uint32_t call = begin_call(&p, "/a/b");
    send_text(&p, call, "x", true);
    run(&p);
    buf_clear(&p.server.events);
    struct blob *b = pattern(100000, 1);
    int err = OK;
    int sent = 0;
    grpc_call_set_user(p.server.g, 1, b);
    assert_false(grpc_broken(p.server.g));
    while (err == OK) {
        err = grpc_send(p.server.g, 1, b);
        sent += err == OK ? 1 : 0;
        (void) grpc_output(p.server.g); /* written to a socket that takes nothing */
        assert_true(sent < 100);
    }
    assert_int_equal(err, ERR_LIMIT);
    assert_int_equal(sent, 10);
    assert_true(grpc_finished(p.server.g));
    assert_true(grpc_broken(p.server.g));
    /* on_end is still to come: an owner that has freed what the pointer names must be able to say
     * so. */
    assert_ptr_equal(grpc_call_user(p.server.g, 1), b);
    grpc_call_set_user(p.server.g, 1, NULL);
    assert_null(grpc_call_user(p.server.g, 1));
    assert_int_equal(grpc_output(p.server.g).size, 0);
    assert_int_equal(grpc_send(p.server.g, 1, b), ERR_NOT_FOUND);
    assert_int_equal(grpc_feed(p.server.g, bytes_str("x")), ERR_CLOSED);
    blob_unref(b);
    pair_release(&p);
}

static void test_grpc_concurrent_calls_are_limited(void **state)
{
    (void) state;
    struct pair p;
    struct grpc_limits limits;
    grpc_limits_init(&limits);
    limits.streams_max = 3;
    pair_init_limits(&p, 1, &limits);
    run(&p); /* the settings arrive */
    for (int i = 0; i < 3; i++) {
        (void) begin_call(&p, "/a");
    }
    uint32_t call = 0;
    assert_int_equal(grpc_call(p.client.g, "/a", UINT64_MAX, NULL, 0, NULL, &call), ERR_LIMIT);
    run(&p);
    assert_int_equal(grpc_calls(p.server.g), 3);
    assert_int_equal(grpc_finish(p.server.g, 1, GRPC_OK, NULL), OK);
    run(&p);
    assert_int_equal(grpc_call(p.client.g, "/a", UINT64_MAX, NULL, 0, NULL, &call), OK);
    pair_release(&p);
}

static void test_grpc_call_beyond_the_servers_limit_is_refused(void **state)
{
    (void) state;
    struct pair p;
    struct grpc_limits limits;
    grpc_limits_init(&limits);
    limits.streams_max = 1;
    pair_init_limits(&p, 1, &limits);
    /* The settings are not there yet, so the client believes it may. */
    (void) begin_call(&p, "/a");
    (void) begin_call(&p, "/b");
    run(&p);
    assert_events(&p.server, "begin 1 /a\n");
    assert_events(&p.client, "end 3 Unavailable refused \"REFUSED_STREAM\" user=\n");
    pair_release(&p);
}

static void test_grpc_too_large_headers_are_resource_exhausted(void **state)
{
    (void) state;
    struct pair p;
    pair_init(&p);
    char value[9000];
    memset(value, 'v', sizeof value);
    struct grpc_metadata metadata[2] = {
        {bytes_str("a"), bytes_of(value, sizeof value)},
        {bytes_str("b"), bytes_of(value, sizeof value)},
    };
    uint32_t call = 0;
    assert_int_equal(grpc_call(p.client.g, "/a", UINT64_MAX, metadata, 2, NULL, &call), OK);
    run(&p);
    assert_events(&p.server, "");
    assert_events(&p.client, "end 1 ResourceExhausted \"the header list is too large\" user=\n");
    assert_int_equal(grpc_call(p.client.g, "/a", UINT64_MAX, metadata, 1, NULL, &call), OK);
    run(&p);
    assert_int_equal(memcmp(p.server.events.data, "begin 3 /a a=vvv", 16), 0);
    pair_release(&p);
}

static void test_grpc_bad_limits_are_refused(void **state)
{
    (void) state;
    struct grpc_callbacks callbacks = {0};
    struct grpc_limits limits;
    struct grpc *g = NULL;
    grpc_limits_init(&limits);
    limits.window = 1000;
    assert_int_equal(grpc_new_server(&callbacks, &limits, &g), ERR_INVALID);
    grpc_limits_init(&limits);
    limits.message_max = 0;
    assert_int_equal(grpc_new_server(&callbacks, &limits, &g), ERR_INVALID);
    assert_null(g);
}

/* ---- Shutdown and keepalive */

static void test_grpc_shutdown_lets_calls_end_and_refuses_new_ones(void **state)
{
    (void) state;
    struct pair p;
    pair_init(&p);
    uint32_t call = begin_call(&p, "/a");
    send_text(&p, call, "x", true);
    run(&p);
    buf_clear(&p.server.events);
    grpc_shutdown(p.server.g);
    grpc_shutdown(p.server.g);
    /* A call that crosses the first GOAWAY on the wire is still served. */
    send_text(&p, begin_call(&p, "/crossing"), "y", true);
    run(&p);
    assert_events(&p.server, "begin 3 /crossing\nmessage 3 y\nhalf_close 3\n");
    assert_events(&p.client, "goaway\ngoaway\n");
    uint32_t late = 0;
    assert_int_equal(grpc_call(p.client.g, "/late", UINT64_MAX, NULL, 0, NULL, &late), ERR_CLOSED);
    assert_false(grpc_finished(p.server.g));
    reply_text(&p, 1, "a", OK);
    reply_text(&p, 3, "c", OK);
    assert_false(grpc_finished(p.server.g));
    run(&p);
    assert_true(grpc_finished(p.server.g));
    assert_true(grpc_finished(p.client.g));
    assert_events(&p.client, "message 1 a\nend 1 OK \"\" user=\nmessage 3 c\n"
                             "end 3 OK \"\" user=\n");
    pair_release(&p);
}

static void test_grpc_shutdown_waits_for_the_ping_before_the_real_goaway(void **state)
{
    (void) state;
    struct pair p;
    pair_init(&p);
    (void) begin_call(&p, "/open");
    run(&p);
    grpc_shutdown(p.server.g);
    (void) drain(&p.server);
    assert_int_equal(deliver(&p, &p.server, &p.client), OK);
    assert_events(&p.client, "goaway\n");
    assert_false(drain(&p.server)); /* nothing more without the answer to the PING */
    (void) drain(&p.client);
    assert_int_equal(deliver(&p, &p.client, &p.server), OK);
    assert_true(drain(&p.server));
    assert_int_equal(deliver(&p, &p.server, &p.client), OK);
    assert_events(&p.client, "goaway\n");
    pair_release(&p);
}

static void test_grpc_unsent_call_is_refused_by_a_goaway(void **state)
{
    (void) state;
    struct pair p;
    pair_init(&p);
    run(&p);
    grpc_shutdown(p.server.g);
    (void) drain(&p.server);
    send_text(&p, begin_call(&p, "/unsent"), "x", true);
    assert_int_equal(deliver(&p, &p.server, &p.client), OK);
    run(&p);
    assert_events(&p.server, "");
    assert_events(&p.client, "goaway\nend 1 Unavailable refused \"the connection is going away\" "
                             "user=\n");
    /* A client without calls has nothing to wait for, and closes. */
    assert_true(grpc_finished(p.client.g));
    pair_release(&p);
}

static void test_grpc_ping_is_counted_until_answered(void **state)
{
    (void) state;
    struct pair p;
    pair_init(&p);
    grpc_ping(p.client.g);
    grpc_ping(p.client.g);
    (void) drain(&p.client);
    assert_int_equal(grpc_pings_pending(p.client.g), 2);
    run(&p);
    assert_int_equal(deliver(&p, &p.client, &p.server), OK);
    run(&p);
    assert_int_equal(grpc_pings_pending(p.client.g), 0);
    pair_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grpc_unary_call_carries_path_message_and_reply),
        cmocka_unit_test(test_grpc_call_carries_deadline_and_metadata),
        cmocka_unit_test(test_grpc_error_status_carries_its_text),
        cmocka_unit_test(test_grpc_error_after_messages_arrives_behind_them),
        cmocka_unit_test(test_grpc_bidirectional_stream),
        cmocka_unit_test(test_grpc_unknown_method_is_answered_in_on_begin),
        cmocka_unit_test(test_grpc_status_while_client_still_sends_resets_the_stream),
        cmocka_unit_test(test_grpc_cancel_by_client_ends_the_call_at_the_server),
        cmocka_unit_test(test_grpc_cancel_before_anything_is_sent),
        cmocka_unit_test(test_grpc_cancel_by_server_ends_the_call_at_the_client),
        cmocka_unit_test(test_grpc_lost_connection_ends_all_calls),
        cmocka_unit_test(test_grpc_messages_span_frames_and_share_them),
        cmocka_unit_test(test_grpc_input_in_random_pieces_gives_the_same),
        cmocka_unit_test(test_grpc_many_calls_at_once_in_random_order),
        cmocka_unit_test(test_grpc_oversize_message_is_resource_exhausted_with_etcds_text),
        cmocka_unit_test(test_grpc_largest_message_is_accepted),
        cmocka_unit_test(test_grpc_long_reply_does_not_hold_up_a_short_one),
        cmocka_unit_test(test_grpc_output_keeps_still_while_input_and_answers_come),
        cmocka_unit_test(test_grpc_client_that_never_reads_loses_the_connection),
        cmocka_unit_test(test_grpc_concurrent_calls_are_limited),
        cmocka_unit_test(test_grpc_call_beyond_the_servers_limit_is_refused),
        cmocka_unit_test(test_grpc_too_large_headers_are_resource_exhausted),
        cmocka_unit_test(test_grpc_bad_limits_are_refused),
        cmocka_unit_test(test_grpc_shutdown_lets_calls_end_and_refuses_new_ones),
        cmocka_unit_test(test_grpc_shutdown_waits_for_the_ping_before_the_real_goaway),
        cmocka_unit_test(test_grpc_unsent_call_is_refused_by_a_goaway),
        cmocka_unit_test(test_grpc_ping_is_counted_until_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
