/*
 * test_grpc_wire.c - the gRPC server against a raw HTTP/2 client, which sends what a decent one
 * does not and sees frames; and the texts inside the headers.
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
#include <nghttp2/nghttp2.h>

#include "base/buf.h"
#include "base/mem.h"
#include "net/grpc_text.h"
#include "tests/support/grpc_end.h"

/* ---- Raw clients: what a decent one does not send */

struct raw {
    struct end server;
    nghttp2_session *session;
    struct buf to_client;
    char status[16];      /* grpc-status */
    char message[256];    /* grpc-message, still encoded */
    char http_status[16]; /* :status */
    char encodings[32];   /* grpc-accept-encoding */
    uint32_t header_frames;
    uint32_t data_frames;
    bool ended;     /* END_STREAM */
    int64_t reset;  /* error code of RST_STREAM, -1: none */
    int64_t goaway; /* error code of GOAWAY, -1: none */
    const uint8_t *body;
    size_t body_size;
    bool half_open; /* the client does not end its side */
};

static void copy_value(char *to, size_t capacity, const uint8_t *value, size_t size)
{
    (void) snprintf(to, capacity, "%.*s", (int) size, (const char *) value);
}

static int raw_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                      size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                      void *user)
{
    (void) session;
    (void) frame;
    (void) flags;
    struct raw *r = user;
    struct bytes n = bytes_of(name, name_size);
    if (bytes_equal(n, bytes_str("grpc-status"))) {
        copy_value(r->status, sizeof r->status, value, value_size);
    } else if (bytes_equal(n, bytes_str("grpc-message"))) {
        copy_value(r->message, sizeof r->message, value, value_size);
    } else if (bytes_equal(n, bytes_str(":status"))) {
        copy_value(r->http_status, sizeof r->http_status, value, value_size);
    } else if (bytes_equal(n, bytes_str("grpc-accept-encoding"))) {
        copy_value(r->encodings, sizeof r->encodings, value, value_size);
    }
    return 0;
}

static int raw_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void) session;
    struct raw *r = user;
    r->header_frames += frame->hd.type == NGHTTP2_HEADERS ? 1 : 0;
    r->data_frames += frame->hd.type == NGHTTP2_DATA ? 1 : 0;
    if (frame->hd.type == NGHTTP2_RST_STREAM) {
        r->reset = frame->rst_stream.error_code;
    } else if (frame->hd.type == NGHTTP2_GOAWAY) {
        r->goaway = frame->goaway.error_code;
    } else if (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) {
        r->ended = r->ended || (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    }
    return 0;
}

static ssize_t raw_read(nghttp2_session *session, int32_t stream, uint8_t *to, size_t max,
                        uint32_t *flags, nghttp2_data_source *source, void *user)
{
    (void) session;
    (void) stream;
    (void) source;
    struct raw *r = user;
    if (r->body_size == 0 && r->half_open) {
        return NGHTTP2_ERR_DEFERRED;
    }
    size_t n = r->body_size < max ? r->body_size : max;
    if (n > 0) {
        memcpy(to, r->body, n);
        r->body += n;
        r->body_size -= n;
    }
    if (r->body_size == 0 && !r->half_open) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t) n;
}

static void raw_init(struct raw *r, enum end_mode mode)
{
    memset(r, 0, sizeof *r);
    r->reset = -1;
    r->goaway = -1;
    struct grpc_callbacks callbacks = end_init(&r->server);
    r->server.mode = mode;
    struct grpc_limits limits;
    grpc_limits_init(&limits);
    assert_int_equal(grpc_new_server(&callbacks, &limits, &r->server.g), OK);
    nghttp2_session_callbacks *c = NULL;
    assert_int_equal(nghttp2_session_callbacks_new(&c), 0);
    nghttp2_session_callbacks_set_on_header_callback(c, raw_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, raw_frame);
    nghttp2_option *option = NULL;
    assert_int_equal(nghttp2_option_new(&option), 0);
    nghttp2_option_set_no_http_messaging(option, 1);
    assert_int_equal(nghttp2_session_client_new2(&r->session, c, r, option), 0);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(c);
    assert_int_equal(nghttp2_submit_settings(r->session, NGHTTP2_FLAG_NONE, NULL, 0), 0);
}

static void raw_release(struct raw *r)
{
    nghttp2_session_del(r->session);
    end_release(&r->server);
}

/* Both talk until neither says anything; the last error of grpc_feed. */
static int raw_run(struct raw *r)
{
    int err = OK;
    for (;;) {
        bool any = false;
        const uint8_t *data = NULL;
        ssize_t n = 0;
        while ((n = nghttp2_session_mem_send(r->session, &data)) > 0) {
            any = true;
            err = err == OK ? grpc_feed(r->server.g, bytes_of(data, (size_t) n)) : err;
        }
        struct bytes out = grpc_output(r->server.g);
        if (out.size > 0) {
            any = true;
            assert_int_equal(nghttp2_session_mem_recv(r->session, out.data, out.size), out.size);
            grpc_sent(r->server.g, out.size);
        }
        if (!any) {
            return err;
        }
    }
}

/* A request of headers in pairs up to NULL, which replace the usual ones of the same name; a value
 * of "" leaves the header out. */
static void raw_request(struct raw *r, const char *const *changes, struct bytes body)
{
    static const char *const usual[] = {
        ":method", "POST",         ":scheme",          "http", ":path",   "/s/m", ":authority",
        "x",       "content-type", "application/grpc", "te",   "trailers"};
    nghttp2_nv nva[16];
    size_t count = 0;
    for (size_t i = 0; i < ARRAY_SIZE(usual); i += 2) {
        const char *value = usual[i + 1];
        for (size_t j = 0; changes != NULL && changes[j] != NULL; j += 2) {
            value = strcmp(changes[j], usual[i]) == 0 ? changes[j + 1] : value;
        }
        if (value[0] != '\0') {
            nghttp2_nv nv = {(uint8_t *) (uintptr_t) usual[i], (uint8_t *) (uintptr_t) value,
                             strlen(usual[i]), strlen(value), NGHTTP2_NV_FLAG_NONE};
            nva[count++] = nv;
        }
    }
    for (size_t j = 0; changes != NULL && changes[j] != NULL; j += 2) {
        bool known = false;
        for (size_t i = 0; i < ARRAY_SIZE(usual); i += 2) {
            known = known || strcmp(changes[j], usual[i]) == 0;
        }
        if (!known) {
            nghttp2_nv nv = {(uint8_t *) (uintptr_t) changes[j],
                             (uint8_t *) (uintptr_t) changes[j + 1], strlen(changes[j]),
                             strlen(changes[j + 1]), NGHTTP2_NV_FLAG_NONE};
            nva[count++] = nv;
        }
    }
    r->body = body.data;
    r->body_size = body.size;
    nghttp2_data_provider provider = {.source = {.ptr = NULL}, .read_callback = raw_read};
    assert_true(nghttp2_submit_request(r->session, NULL, nva, count, &provider, NULL) > 0);
}

struct refusal {
    const char *changes[3];
    const char *http_status;
    const char *status;
    const char *message;
};

static void test_grpc_bad_request_headers_are_refused_by_the_specification(void **state)
{
    (void) state;
    static const struct refusal refusals[] = {
        {{"content-type", "text/plain", NULL}, "415", "13", "invalid gRPC request content-type"},
        {{"content-type", "", NULL}, "415", "13", "invalid gRPC request content-type"},
        {{"content-type", "application/grpc-web", NULL},
         "415",
         "13",
         "invalid gRPC request content-type"},
        {{":method", "PUT", NULL}, "405", "13", "the method of a gRPC request is POST"},
        {{"grpc-timeout", "12", NULL}, "200", "13", "malformed grpc-timeout"},
        {{"grpc-encoding", "gzip", NULL},
         "200",
         "12",
         "grpc: Decompressor is not installed for grpc-encoding \"gzip\""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
        struct raw r;
        raw_init(&r, MODE_ECHO);
        raw_request(&r, refusals[i].changes, bytes_of("\0\0\0\0\1x", 6));
        assert_int_equal(raw_run(&r), OK);
        assert_events(&r.server, "");
        assert_string_equal(r.http_status, refusals[i].http_status);
        assert_string_equal(r.status, refusals[i].status);
        assert_string_equal(r.message, refusals[i].message);
        assert_string_equal(r.encodings, strcmp(r.status, "12") == 0 ? "identity" : "");
        assert_int_equal(r.header_frames, 1);
        assert_int_equal(r.data_frames, 0);
        assert_true(r.ended);
        assert_int_equal(grpc_calls(r.server.g), 0);
        raw_release(&r);
    }
}

static void test_grpc_good_request_headers_are_accepted(void **state)
{
    (void) state;
    static const char *const changes[][3] = {
        {"content-type", "application/grpc+proto", NULL},
        {"content-type", "application/grpc;charset=utf-8", NULL},
        {"te", "", NULL}, /* as grpc-go, we do not insist */
        {"grpc-encoding", "identity", NULL},
        {"grpc-accept-encoding", "gzip", NULL},
        {":authority", "http://127.0.0.1:2379", NULL}, /* etcdctl endpoint status --cluster */
        {":authority", "/run/a socket", NULL},
        {":authority", "", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
        struct raw r;
        raw_init(&r, MODE_ECHO);
        raw_request(&r, changes[i], bytes_of("\0\0\0\0\1x", 6));
        assert_int_equal(raw_run(&r), OK);
        assert_events(&r.server, "begin 1 /s/m\nmessage 1 x\nhalf_close 1\n");
        assert_string_equal(r.http_status, "200");
        assert_string_equal(r.status, "0");
        assert_int_equal(r.header_frames, 2);
        raw_release(&r);
    }
}

static void test_grpc_malformed_request_is_reset_and_the_connection_goes_on(void **state)
{
    (void) state;
    static const char *const changes[][3] = {
        {":method", "", NULL},  {":scheme", "", NULL},        {":path", "", NULL},
        {":other", "x", NULL},  {":authority", "a\nb", NULL}, {":path", "/s/m\r", NULL},
        {"name", "a\nb", NULL}, {"two words", "value", NULL},
    };
    struct raw r;
    raw_init(&r, MODE_ECHO);
    for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
        r.reset = -1;
        raw_request(&r, changes[i], bytes_of("\0\0\0\0\1x", 6));
        assert_int_equal(raw_run(&r), OK);
        assert_int_equal(r.reset, NGHTTP2_PROTOCOL_ERROR);
        assert_events(&r.server, "");
        assert_int_equal(grpc_calls(r.server.g), 0);
    }
    raw_request(&r, NULL, bytes_of("\0\0\0\0\1x", 6));
    assert_int_equal(raw_run(&r), OK);
    assert_string_equal(r.status, "0");
    assert_int_equal(r.goaway, -1);
    raw_release(&r);
}

static void test_grpc_timeout_header_reaches_the_owner(void **state)
{
    (void) state;
    struct raw r;
    raw_init(&r, MODE_ECHO);
    static const char *const changes[] = {"grpc-timeout", "100m", NULL};
    raw_request(&r, changes, bytes_of("\0\0\0\0\1x", 6));
    assert_int_equal(raw_run(&r), OK);
    assert_events(&r.server, "begin 1 /s/m timeout=100000\nmessage 1 x\nhalf_close 1\n");
    raw_release(&r);
}

struct bad_body {
    struct bytes body;
    const char *status;
    const char *events;
};

static void test_grpc_bad_messages_end_the_call(void **state)
{
    (void) state;
    const struct bad_body bodies[] = {
        {bytes_of("\1\0\0\0\1x", 6), "12",
         "begin 1 /s/m\nend 1 Unimplemented \"grpc: compressed messages are not supported "
         "(identity only)\" user=\n"},
        {bytes_of("\2\0\0\0\1x", 6), "13",
         "begin 1 /s/m\nend 1 Internal \"grpc: received unexpected payload format\" user=\n"},
        {bytes_of("\0\0\0\0\5x", 6), "13",
         "begin 1 /s/m\nend 1 Internal \"the request ends inside a message\" user=\n"},
        {bytes_of("\0\0", 2), "13",
         "begin 1 /s/m\nend 1 Internal \"the request ends inside a message\" user=\n"},
        {bytes_of("\0\377\377\377\377", 5), "8",
         "begin 1 /s/m\nend 1 ResourceExhausted \"grpc: received message larger than max "
         "(4294967295 vs. 2097152)\" user=\n"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
        struct raw r;
        raw_init(&r, MODE_ECHO);
        raw_request(&r, NULL, bodies[i].body);
        assert_int_equal(raw_run(&r), OK);
        assert_events(&r.server, bodies[i].events);
        assert_string_equal(r.status, bodies[i].status);
        assert_int_equal(r.header_frames, 1);
        assert_int_equal(grpc_calls(r.server.g), 0);
        raw_release(&r);
    }
}

static void test_grpc_many_messages_in_one_frame(void **state)
{
    (void) state;
    struct raw r;
    raw_init(&r, MODE_ECHO_STREAM);
    raw_request(&r, NULL, bytes_of("\0\0\0\0\1a\0\0\0\0\0\0\0\0\0\2bc", 18));
    assert_int_equal(raw_run(&r), OK);
    assert_events(&r.server, "begin 1 /s/m\nmessage 1 a\nmessage 1 \nmessage 1 bc\nhalf_close 1\n");
    /* And the answers share one too. */
    assert_int_equal(r.data_frames, 1);
    raw_release(&r);
}

static void test_grpc_final_status_on_half_open_stream_is_followed_by_no_error_reset(void **state)
{
    (void) state;
    struct raw r;
    raw_init(&r, MODE_UNIMPLEMENTED);
    r.half_open = true;
    raw_request(&r, NULL, bytes_of("\0\0\0\0\1x", 6));
    assert_int_equal(raw_run(&r), OK);
    assert_string_equal(r.status, "12");
    assert_true(r.ended);
    assert_int_equal(r.reset, NGHTTP2_NO_ERROR);
    assert_int_equal(grpc_calls(r.server.g), 0);
    raw_release(&r);
}

static void test_grpc_complete_call_is_not_reset(void **state)
{
    (void) state;
    struct raw r;
    raw_init(&r, MODE_ECHO);
    raw_request(&r, NULL, bytes_of("\0\0\0\0\1x", 6));
    assert_int_equal(raw_run(&r), OK);
    assert_true(r.ended);
    assert_int_equal(r.reset, -1);
    raw_release(&r);
}

static void test_grpc_text_is_percent_encoded_on_the_wire(void **state)
{
    (void) state;
    struct raw r;
    raw_init(&r, MODE_MANUAL);
    raw_request(&r, NULL, bytes_of("\0\0\0\0\1x", 6));
    assert_int_equal(raw_run(&r), OK);
    assert_int_equal(grpc_finish(r.server.g, 1, GRPC_UNKNOWN, "100%\xff\n~ok"), OK);
    assert_int_equal(raw_run(&r), OK);
    assert_string_equal(r.message, "100%25%FF%0A~ok");
    assert_string_equal(r.status, "2");
    raw_release(&r);
}

static void test_grpc_http1_client_is_malformed(void **state)
{
    (void) state;
    struct raw r;
    raw_init(&r, MODE_ECHO);
    assert_int_equal(grpc_feed(r.server.g, bytes_str("GET /health HTTP/1.1\r\n\r\n")),
                     ERR_MALFORMED);
    assert_int_equal(grpc_feed(r.server.g, bytes_str("x")), ERR_CLOSED);
    struct bytes out = grpc_output(r.server.g);
    grpc_sent(r.server.g, out.size);
    assert_true(grpc_finished(r.server.g));
    raw_release(&r);
}

static void test_grpc_protocol_error_is_told_with_a_goaway(void **state)
{
    (void) state;
    struct raw r;
    raw_init(&r, MODE_ECHO);
    raw_request(&r, NULL, bytes_of("\0\0\0\0\1x", 6));
    assert_int_equal(raw_run(&r), OK);
    buf_clear(&r.server.events);
    /* DATA on stream 0. nghttp2 answers it by itself. */
    assert_int_equal(grpc_feed(r.server.g, bytes_of("\0\0\1\0\0\0\0\0\0x", 10)), OK);
    assert_false(grpc_finished(r.server.g));
    (void) raw_run(&r);
    assert_int_equal(r.goaway, NGHTTP2_PROTOCOL_ERROR);
    assert_int_equal(grpc_feed(r.server.g, bytes_str("x")), ERR_CLOSED);
    assert_true(grpc_finished(r.server.g));
    raw_release(&r);
}

static void test_grpc_ping_flood_is_a_limit(void **state)
{
    (void) state;
    struct raw r;
    raw_init(&r, MODE_ECHO);
    assert_int_equal(raw_run(&r), OK);
    int err = OK;
    int pings = 0;
    while (err == OK && pings < 10000) {
        err = grpc_feed(r.server.g, bytes_of("\0\0\10\6\0\0\0\0\0abcdefgh", 17));
        pings++;
    }
    assert_int_equal(err, ERR_LIMIT);
    assert_true(grpc_finished(r.server.g));
    raw_release(&r);
}

/* ---- Raw servers: what a client makes of their answers */

struct answer {
    const char *headers[7]; /* pairs up to NULL; a call is reset when there are none */
    uint32_t reset;
    struct bytes body;       /* DATA as it is */
    const char *trailers[5]; /* none: the DATA, or the headers without it, end the stream */
    const char *events;
};

static size_t answer_headers(const char *const *headers, nghttp2_nv *nva)
{
    size_t count = 0;
    for (size_t i = 0; headers[i] != NULL; i += 2) {
        nghttp2_nv nv = {(uint8_t *) (uintptr_t) headers[i], (uint8_t *) (uintptr_t) headers[i + 1],
                         strlen(headers[i]), strlen(headers[i + 1]), NGHTTP2_NV_FLAG_NONE};
        nva[count++] = nv;
    }
    return count;
}

static ssize_t answer_read(nghttp2_session *session, int32_t stream, uint8_t *to, size_t max,
                           uint32_t *flags, nghttp2_data_source *source, void *user)
{
    (void) source;
    const struct answer *a = user;
    nghttp2_nv nva[4];
    size_t count = answer_headers(a->trailers, nva);
    if (a->body.size > max) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (a->body.size > 0) {
        memcpy(to, a->body.data, a->body.size);
    }
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (count > 0) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        if (nghttp2_submit_trailer(session, stream, nva, count) != 0) {
            return NGHTTP2_ERR_CALLBACK_FAILURE;
        }
    }
    return (ssize_t) a->body.size;
}

static int answer_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    const struct answer *a = user;
    if (frame->hd.type != NGHTTP2_HEADERS) {
        return 0;
    }
    int32_t id = frame->hd.stream_id;
    nghttp2_nv nva[4];
    size_t count = answer_headers(a->headers, nva);
    if (count == 0) {
        return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, a->reset);
    }
    nghttp2_data_provider provider = {.source = {.ptr = NULL}, .read_callback = answer_read};
    bool data = a->body.size > 0 || a->trailers[0] != NULL;
    return nghttp2_submit_response(session, id, nva, count, data ? &provider : NULL);
}

static nghttp2_session *answer_session(const struct answer *a)
{
    nghttp2_session *session = NULL;
    nghttp2_session_callbacks *c = NULL;
    assert_int_equal(nghttp2_session_callbacks_new(&c), 0);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, answer_frame);
    assert_int_equal(nghttp2_session_server_new(&session, c, (void *) (uintptr_t) a), 0);
    nghttp2_session_callbacks_del(c);
    assert_int_equal(nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, NULL, 0), 0);
    return session;
}

/* One call, whose client has not half-closed, against that answer. */
static void answer_run(const struct answer *a)
{
    struct end client;
    struct grpc_callbacks callbacks = end_init(&client);
    struct grpc_limits limits;
    uint32_t call = 0;
    grpc_limits_init(&limits);
    limits.message_max = 100;
    assert_int_equal(grpc_new_client(&callbacks, &limits, "h:1", &client.g), OK);
    assert_int_equal(grpc_call(client.g, "/s/m", UINT64_MAX, NULL, 0, NULL, &call), OK);
    nghttp2_session *session = answer_session(a);
    for (int round = 0; round < 4; round++) {
        struct bytes out = grpc_output(client.g);
        assert_int_equal(nghttp2_session_mem_recv(session, out.data, out.size), out.size);
        grpc_sent(client.g, out.size);
        const uint8_t *data = NULL;
        ssize_t n = 0;
        while ((n = nghttp2_session_mem_send(session, &data)) > 0) {
            assert_int_equal(grpc_feed(client.g, bytes_of(data, (size_t) n)), OK);
        }
    }
    assert_events(&client, a->events);
    assert_int_equal(grpc_calls(client.g), 0);
    nghttp2_session_del(session);
    end_release(&client);
}

#define OK_HEADERS ":status", "200", "content-type", "application/grpc"

static void test_grpc_client_understands_every_answer(void **state)
{
    (void) state;
    const struct answer answers[] = {
        {{OK_HEADERS, "grpc-status", "5", NULL},
         0,
         {NULL, 0},
         {NULL},
         "end 1 NotFound \"\" user=\n"},
        {{OK_HEADERS, NULL},
         0,
         bytes_of("\0\0\0\0\1x", 6),
         {"grpc-status", "14", "grpc-message", "a%20b%", NULL},
         "message 1 x\nend 1 Unavailable \"a b%\" user=\n"},
        {{OK_HEADERS, NULL},
         0,
         bytes_of("\0\0\0\0\1x", 6),
         {NULL},
         "message 1 x\nend 1 Unknown \"the answer has no status\" user=\n"},
        {{OK_HEADERS, NULL},
         0,
         bytes_of("\0\0\0\0\2x", 6),
         {"grpc-status", "0", NULL},
         "end 1 Internal \"the answer ends inside a message\" user=\n"},
        {{OK_HEADERS, NULL},
         0,
         bytes_of("\1\0\0\0\1x", 6),
         {"grpc-status", "0", NULL},
         "end 1 Unimplemented \"grpc: compressed messages are not supported (identity only)\" "
         "user=\n"},
        {{OK_HEADERS, NULL},
         0,
         bytes_of("\0\0\0\0\145", 5),
         {"grpc-status", "0", NULL},
         "end 1 ResourceExhausted \"grpc: received message larger than max (101 vs. 100)\" "
         "user=\n"},
        {{":status", "503", NULL},
         0,
         {NULL, 0},
         {NULL},
         "end 1 Unavailable \"unexpected HTTP status 503\" user=\n"},
        {{":status", "404", "content-type", "text/html", NULL},
         0,
         bytes_of("<html>", 6),
         {NULL},
         "end 1 Unimplemented \"unexpected HTTP status 404\" user=\n"},
        {{":status", "200", "content-type", "text/html", NULL},
         0,
         {NULL, 0},
         {NULL},
         "end 1 Unknown \"the content-type of the answer is not gRPC's\" user=\n"},
        {{NULL},
         NGHTTP2_REFUSED_STREAM,
         {NULL, 0},
         {NULL},
         "end 1 Unavailable refused \"REFUSED_STREAM\" user=\n"},
        {{NULL},
         NGHTTP2_ENHANCE_YOUR_CALM,
         {NULL, 0},
         {NULL},
         "end 1 ResourceExhausted \"ENHANCE_YOUR_CALM\" user=\n"},
        {{NULL},
         NGHTTP2_INTERNAL_ERROR,
         {NULL, 0},
         {NULL},
         "end 1 Internal \"INTERNAL_ERROR\" user=\n"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        answer_run(&answers[i]);
    }
}

/* ---- Texts */

static void test_grpc_timeout_units(void **state)
{
    (void) state;
    static const struct {
        const char *text;
        uint64_t us;
    } good[] = {
        {"1H", 3600000000},
        {"2M", 120000000},
        {"3S", 3000000},
        {"4m", 4000},
        {"5u", 5},
        {"6000n", 6},
        {"6001n", 7},
        {"00000001S", 0},
        {"0m", 0},
        {"1n", 1},
        {"99999999H", 359999996400000000},
        {"99999999n", 100000},
    };
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        uint64_t us = 77;
        bool too_long = strlen(good[i].text) > 9;
        int err = grpc_timeout_parse(bytes_str(good[i].text), &us);
        if (strcmp(good[i].text, "00000001S") == 0) {
            assert_int_equal(err, OK);
            assert_int_equal(us, 1000000);
            continue;
        }
        assert_int_equal(err, too_long ? ERR_MALFORMED : OK);
        assert_int_equal(us, good[i].us);
    }
    static const char *const bad[] = {"",     "S",   "1",          "1s", "-1S", "+1S", " 1S",
                                      "1.5S", "1S ", "123456789S", "1h", "m1",  "0x1S"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        uint64_t us = 77;
        assert_int_equal(grpc_timeout_parse(bytes_str(bad[i]), &us), ERR_MALFORMED);
        assert_int_equal(us, 77);
    }
}

static void test_grpc_timeout_format_rounds_up_and_parses_back(void **state)
{
    (void) state;
    static const struct {
        uint64_t us;
        const char *text;
    } cases[] = {
        {0, "0u"},
        {99999999, "99999999u"},
        {100000000, "100000m"},
        {100000001, "100001m"},
        {UINT64_MAX - 1, "99999999H"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[GRPC_TIMEOUT_TEXT_MAX];
        grpc_timeout_format(cases[i].us, text);
        assert_string_equal(text, cases[i].text);
        uint64_t us = 0;
        assert_int_equal(grpc_timeout_parse(bytes_str(text), &us), OK);
    }
}

static void test_grpc_percent_coding_round_trips_all_bytes(void **state)
{
    (void) state;
    uint8_t all[256];
    for (size_t i = 0; i < sizeof all; i++) {
        all[i] = (uint8_t) i;
    }
    struct buf encoded;
    struct buf decoded;
    buf_init(&encoded, 1024);
    buf_init(&decoded, 1024);
    assert_int_equal(grpc_percent_encode(&encoded, bytes_of(all, sizeof all)), OK);
    for (size_t i = 0; i < encoded.size; i++) {
        assert_true(encoded.data[i] >= 0x20 && encoded.data[i] <= 0x7e);
    }
    assert_int_equal(grpc_percent_decode(&decoded, buf_bytes(&encoded)), OK);
    assert_int_equal(decoded.size, sizeof all);
    assert_memory_equal(decoded.data, all, sizeof all);
    buf_clear(&decoded);
    /* Broken escapes are literal. */
    assert_int_equal(grpc_percent_decode(&decoded, bytes_str("%%41%4%zz%e9%")), OK);
    assert_int_equal(decoded.size, 9);
    assert_memory_equal(decoded.data, "%A%4%zz\xe9%", 9);
    buf_release(&encoded);
    buf_release(&decoded);
}

static void test_grpc_status_mappings(void **state)
{
    (void) state;
    assert_int_equal(grpc_status_parse(bytes_str("0")), GRPC_OK);
    assert_int_equal(grpc_status_parse(bytes_str("14")), GRPC_UNAVAILABLE);
    assert_int_equal(grpc_status_parse(bytes_str("")), GRPC_UNKNOWN);
    assert_int_equal(grpc_status_parse(bytes_str("x")), GRPC_UNKNOWN);
    assert_int_equal(grpc_status_parse(bytes_str("1234")), GRPC_UNKNOWN);
    assert_int_equal(grpc_status_of_http(503), GRPC_UNAVAILABLE);
    assert_int_equal(grpc_status_of_http(404), GRPC_UNIMPLEMENTED);
    assert_int_equal(grpc_status_of_http(418), GRPC_UNKNOWN);
    assert_int_equal(grpc_status_of_reset(NGHTTP2_REFUSED_STREAM), GRPC_UNAVAILABLE);
    assert_int_equal(grpc_status_of_reset(NGHTTP2_CANCEL), GRPC_CANCELED);
    assert_int_equal(grpc_status_of_reset(NGHTTP2_ENHANCE_YOUR_CALM), GRPC_RESOURCE_EXHAUSTED);
    assert_int_equal(grpc_status_of_reset(NGHTTP2_INADEQUATE_SECURITY), GRPC_PERMISSION_DENIED);
    assert_int_equal(grpc_status_of_reset(NGHTTP2_PROTOCOL_ERROR), GRPC_INTERNAL);
    assert_string_equal(grpc_status_name(GRPC_UNAUTHENTICATED), "Unauthenticated");
    assert_string_equal(grpc_status_name(17), "Unknown");
    assert_string_equal(grpc_status_name(-1), "Unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grpc_bad_request_headers_are_refused_by_the_specification),
        cmocka_unit_test(test_grpc_good_request_headers_are_accepted),
        cmocka_unit_test(test_grpc_malformed_request_is_reset_and_the_connection_goes_on),
        cmocka_unit_test(test_grpc_timeout_header_reaches_the_owner),
        cmocka_unit_test(test_grpc_bad_messages_end_the_call),
        cmocka_unit_test(test_grpc_many_messages_in_one_frame),
        cmocka_unit_test(test_grpc_final_status_on_half_open_stream_is_followed_by_no_error_reset),
        cmocka_unit_test(test_grpc_complete_call_is_not_reset),
        cmocka_unit_test(test_grpc_text_is_percent_encoded_on_the_wire),
        cmocka_unit_test(test_grpc_http1_client_is_malformed),
        cmocka_unit_test(test_grpc_protocol_error_is_told_with_a_goaway),
        cmocka_unit_test(test_grpc_ping_flood_is_a_limit),
        cmocka_unit_test(test_grpc_client_understands_every_answer),
        cmocka_unit_test(test_grpc_timeout_units),
        cmocka_unit_test(test_grpc_timeout_format_rounds_up_and_parses_back),
        cmocka_unit_test(test_grpc_percent_coding_round_trips_all_bytes),
        cmocka_unit_test(test_grpc_status_mappings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
