/*
 * test_trace_read.c - what a node writes into its trace is what is read back, while it is written
 * and over several lives.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "consensus/consensus.h"
#include "consensus/mark.h"
#include "consensus/message.h"
#include "kv/trace_json.h"
#include "tests/real/trace_read.h"
#include "tests/support/tempdir.h"

enum { EVENTS_MAX = 64, ERROR_MAX = 1024 };

struct bench {
    char dir[TEMPDIR_PATH_MAX];
    char path[TEMPDIR_PATH_MAX + 16];
    struct trace_read *reader;
    struct trace_event events[EVENTS_MAX];
    uint32_t count;
    char text[ERROR_MAX];
};

static void emit(void *ctx, const struct trace_event *event)
{
    struct bench *b = ctx;
    if (b->count < EVENTS_MAX) {
        b->events[b->count] = *event;
    }
    b->count++;
}

static void bench_init(struct bench *b)
{
    memset(b, 0, sizeof *b);
    tempdir_make(b->dir);
    (void) snprintf(b->path, sizeof b->path, "%s/n1.trace", b->dir);
    b->reader = trace_read_new(b->path);
}

static void bench_release(struct bench *b)
{
    trace_read_free(b->reader);
    tempdir_remove(b->dir);
}

static int poll(struct bench *b)
{
    const struct trace_sink sink = {.emit = emit, .ctx = b};
    struct buf error;
    buf_init(&error, sizeof b->text - 1);
    int err = trace_read_poll(b->reader, &sink, &error);
    if (error.size > 0) {
        memcpy(b->text, error.data, error.size);
    }
    b->text[error.size] = '\0';
    buf_release(&error);
    return err;
}

static void append(const struct bench *b, const char *text)
{
    FILE *f = fopen(b->path, "ab");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

static void assert_same(const struct trace_event *a, const struct trace_event *b)
{
    assert_int_equal(a->time_us, b->time_us);
    assert_int_equal(a->node, b->node);
    assert_int_equal(a->engine, b->engine);
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->message, b->message);
    assert_int_equal(a->from, b->from);
    assert_int_equal(a->to, b->to);
    assert_int_equal(a->epoch, b->epoch);
    assert_int_equal(a->index, b->index);
    assert_int_equal(a->last, b->last);
    assert_int_equal(a->ctx, b->ctx);
    assert_int_equal(a->hash, b->hash);
    if (a->note == NULL) {
        assert_null(b->note);
    } else {
        assert_string_equal(a->note, b->note);
    }
}

static void assert_round_trip(const struct trace_event *event)
{
    struct trace_event back;
    struct buf line;
    buf_init(&line, 4096);
    assert_int_equal(trace_json_format(event, &line), OK);
    memset(&back, 0xaa, sizeof back);
    assert_int_equal(trace_read_line(bytes_of(line.data, line.size - 1), &back, NULL), OK);
    assert_same(event, &back);
    buf_release(&line);
}

/* Every kind, engine and message, with all fields and with none. */
static void test_trace_read_line_every_event_comes_back_equal(void **state)
{
    static const uint8_t messages[] = {0,
#define X(number, name, text) number,
                                       MESSAGE_MAP(X)
#undef X
    };
    (void) state;
    for (uint8_t kind = 0; kind < TRACE_KINDS; kind++) {
        struct trace_event event = {.time_us = 1, .kind = kind};
        if (kind != TRACE_MARK) {
            assert_round_trip(&event);
        }
        event = (struct trace_event){.time_us = UINT64_MAX,
                                     .node = UINT32_MAX,
                                     .engine = engine_number(engine_at(kind % 3)),
                                     .kind = kind,
                                     .from = 1,
                                     .to = UINT32_MAX,
                                     .epoch = UINT64_MAX,
                                     .index = 1,
                                     .last = UINT64_MAX - 1,
                                     .ctx = UINT64_C(1) << 63,
                                     .hash = UINT64_C(0x00fedcba98765432),
                                     .note = mark_name(1)};
        for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
            event.message = messages[i];
            event.engine = messages[i] < MSG_PAXOS_PREPARE ? ENGINE_RAFT : ENGINE_MULTIPAXOS;
            assert_round_trip(&event);
        }
    }
    for (uint32_t mark = 0; mark < MARKS; mark++) {
        struct trace_event event = mark_event((enum mark) mark);
        event.time_us = mark + 1;
        assert_round_trip(&event);
    }
}

/* Notes are compared by address behind this. */
static void test_trace_read_line_equal_notes_are_one_string(void **state)
{
    struct trace_event a;
    struct trace_event b;
    (void) state;
    struct bytes line = bytes_str("{\"t\":5,\"node\":1,\"engine\":\"raft\",\"event\":\"stop\","
                                  "\"note\":\"asked to\"}");
    assert_int_equal(trace_read_line(line, &a, NULL), OK);
    assert_int_equal(trace_read_line(line, &b, NULL), OK);
    assert_ptr_equal(a.note, b.note);
}

static void test_trace_read_line_what_is_no_event_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "{}",
        "{\"t\":1}",
        "{\"t\":1,\"node\":1,\"engine\":\"raft\",\"event\":\"nonsense\"}",
        "{\"t\":1,\"node\":1,\"engine\":\"zab\",\"event\":\"stop\"}",
        "{\"t\":1,\"node\":1,\"engine\":\"raft\",\"event\":\"stop\",\"colour\":1}",
        "{\"t\":1,\"node\":1,\"engine\":\"raft\",\"event\":\"stop\"} ",
        "{\"t\":1,\"node\":4294967296,\"engine\":\"raft\",\"event\":\"stop\"}",
        "{\"t\":18446744073709551616,\"node\":1,\"engine\":\"raft\",\"event\":\"stop\"}",
        "{\"t\":1,\"node\":1,\"engine\":\"raft\",\"event\":\"stop\",\"hash\":\"12\"}",
        "{\"t\":1,\"node\":1,\"engine\":\"raft\",\"event\":\"mark\",\"note\":\"no such mark\"}",
        "{\"t\":1,\"node\":1,\"engine\":\"raft\",\"event\":\"send\",\"message\":\"unknown\"}",
        "{\"t\":1,,\"node\":1,\"engine\":\"raft\",\"event\":\"stop\"}",
        "{\"t\":1,\"node\":1,\"engine\":\"raft\",\"event\":\"stop",
        "{\"t\":1,\"node\":",
    };
    (void) state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct trace_event event = {.node = 77};
        assert_int_equal(trace_read_line(bytes_str(bad[i]), &event, NULL), ERR_MALFORMED);
        assert_int_equal(event.node, 77);
    }
}

static void test_trace_read_poll_a_file_that_grows_gives_each_line_once(void **state)
{
    struct bench b;
    (void) state;
    bench_init(&b);
    assert_int_equal(poll(&b), OK); /* not there yet */
    append(&b, "{\"t\":1,\"node\":1,\"engine\":\"raft\",\"event\":\"start\"}\n{\"t\":2,\"no");
    assert_int_equal(poll(&b), OK);
    assert_int_equal(b.count, 1);
    assert_int_equal(poll(&b), OK);
    assert_int_equal(b.count, 1);
    append(&b, "de\":1,\"engine\":\"raft\",\"event\":\"commit\",\"index\":7}");
    assert_int_equal(poll(&b), OK);
    assert_int_equal(b.count, 1);
    append(&b, "\n");
    assert_int_equal(poll(&b), OK);
    assert_int_equal(b.count, 2);
    assert_int_equal(b.events[1].kind, TRACE_COMMIT);
    assert_int_equal(b.events[1].index, 7);
    bench_release(&b);
}

static void test_trace_read_poll_what_the_writer_flushes_is_read(void **state)
{
    struct bench b;
    struct trace_json *writer = NULL;
    struct buf error;
    (void) state;
    bench_init(&b);
    buf_init(&error, 256);
    for (uint32_t life = 0; life < 2; life++) {
        assert_int_equal(trace_json_new(b.path, &writer, &error), OK);
        struct trace_sink sink = trace_json_sink(writer);
        for (uint32_t i = 0; i < 10; i++) {
            const struct trace_event event = {.time_us = 100 + life * 10 + i,
                                              .node = 2,
                                              .engine = 1,
                                              .kind = TRACE_APPLY,
                                              .index = i,
                                              .hash = i};
            sink.emit(sink.ctx, &event);
        }
        trace_json_flush(writer);
        assert_int_equal(poll(&b), OK);
        assert_int_equal(b.count, (life + 1) * 10);
        trace_json_free(writer);
    }
    for (uint32_t i = 0; i < 20; i++) {
        assert_int_equal(b.events[i].time_us, 100 + i);
        assert_int_equal(b.events[i].index, i % 10);
    }
    buf_release(&error);
    bench_release(&b);
}

static void test_trace_read_poll_a_line_cut_by_a_kill_is_left_out(void **state)
{
    struct bench b;
    (void) state;
    bench_init(&b);
    append(&b, "{\"t\":1,\"node\":1,\"engine\":\"raft\",\"event\":\"sta");
    trace_read_cut(b.reader);
    assert_int_equal(poll(&b), OK);
    append(&b, "{\"t\":2,\"node\":1,\"engine\":\"raft\",\"event\":\"start\"}\n");
    assert_int_equal(poll(&b), OK);
    assert_int_equal(b.count, 1);
    assert_int_equal(b.events[0].time_us, 2);
    bench_release(&b);
}

static void test_trace_read_poll_a_bad_line_names_file_and_line(void **state)
{
    struct bench b;
    char expected[TEMPDIR_PATH_MAX + 64];
    (void) state;
    bench_init(&b);
    append(&b, "{\"t\":1,\"node\":1,\"engine\":\"raft\",\"event\":\"start\"}\n");
    append(&b, "{\"t\":1,\"no{\"t\":2,\"node\":1,\"engine\":\"raft\",\"event\":\"start\"}\n");
    assert_int_equal(poll(&b), ERR_MALFORMED); /* nobody said that it was killed */
    assert_int_equal(b.count, 1);
    (void) snprintf(expected, sizeof expected, "%s, line 2: ", b.path);
    assert_memory_equal(b.text, expected, strlen(expected));
    bench_release(&b);
}

static void test_trace_read_poll_an_endless_line_is_an_error(void **state)
{
    struct bench b;
    char *text = xmalloc(100001);
    (void) state;
    bench_init(&b);
    memset(text, 'x', 100000);
    text[100000] = '\0';
    append(&b, text);
    assert_int_equal(poll(&b), ERR_MALFORMED);
    assert_non_null(strstr(b.text, "line 1"));
    free(text);
    bench_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trace_read_line_every_event_comes_back_equal),
        cmocka_unit_test(test_trace_read_line_equal_notes_are_one_string),
        cmocka_unit_test(test_trace_read_line_what_is_no_event_is_refused),
        cmocka_unit_test(test_trace_read_poll_a_file_that_grows_gives_each_line_once),
        cmocka_unit_test(test_trace_read_poll_what_the_writer_flushes_is_read),
        cmocka_unit_test(test_trace_read_poll_a_line_cut_by_a_kill_is_left_out),
        cmocka_unit_test(test_trace_read_poll_a_bad_line_names_file_and_line),
        cmocka_unit_test(test_trace_read_poll_an_endless_line_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
